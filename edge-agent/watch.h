/* watch.h: files that come into folders become objects.
 *
 * A file that is renamed into a watched folder is complete and taken at once.
 * One that is written there is taken when its size and time have not changed
 * for WATCH_STABLE_MS, for the end of a killed writer looks like that of a
 * patient one. The folder is read whole at the start, when events were lost,
 * and each WATCH_RESCAN_MS. A file is deleted only after its object is durable,
 * and only if it is still as it was read; else it is taken again.
 *
 * Folders are not followed into; names that begin with '.' or end in ".tmp" or
 * ".part" are left alone, as is all that is no plain file. The key is the
 * prefix and the file's name.
 *
 * Threads: the agent's loop.
 */
#ifndef GODWIT_EDGE_WATCH_H
#define GODWIT_EDGE_WATCH_H

#include <stdint.h>

struct err;
struct intake;
struct loop;
struct watch;

#define WATCH_DIRS_MAX 16
#define WATCH_FILES_MAX \
    1024                  /* known at a time; others wait for the next scan */
#define WATCH_OPEN_MAX 32 /* being read, or waiting to be durable */
#define WATCH_STABLE_MS 2000
#define WATCH_RESCAN_MS (60 * 1000)
#define WATCH_RETRY_MS (10 * 1000) /* after the spool refused a file */

struct watch_status {
    uint64_t taken, refused, waiting;
};

struct watch *watch_new(struct loop *loop, struct intake *in,
                        const char *bucket, const char *prefix);
void watch_free(struct watch *w);
/* ERR_NOT_FOUND, ERR_IO: the folder cannot be watched. ERR_LIMIT. */
int watch_add(struct watch *w, const char *dir, struct err *err);
void watch_status(const struct watch *w, struct watch_status *out);

#endif
