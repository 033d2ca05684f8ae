/* spool_disk.h: the seam between the spool and the disk.
 *
 * A folder of numbered files: segments from 0, and the cursor. The spool does
 * all its I/O here, so that a test can play every power cut: what write gave is
 * safe only after sync of that file, and a new file's name only after sync_dir.
 *
 * spool_disk_open gives the real one. All functions fail with ERR_IO, ERR_FULL
 * or ERR_NOT_FOUND and a sentence.
 *
 * Threads: the agent's loop.
 */
#ifndef GODWIT_EDGE_SPOOL_DISK_H
#define GODWIT_EDGE_SPOOL_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define SPOOL_CURSOR_FILE UINT32_MAX
#define SPOOL_SLOTS_MAX 65535 /* a slot's number has 16 bits in the index */

struct spool_disk {
    void *data;
    /* Open file @number for reading and writing; made when @create and
     * missing. */
    int (*open)(void *data, uint32_t number, bool create, int *file,
                struct err *err);
    void (*close)(void *data, int file);
    int (*size)(void *data, int file, uint64_t *out, struct err *err);
    /* All of @len bytes: ERR_CORRUPT when the file is shorter. */
    int (*read)(void *data, int file, uint64_t at, void *p, size_t len,
                struct err *err);
    int (*write)(void *data, int file, uint64_t at, const void *p, size_t len,
                 struct err *err);
    int (*sync)(void *data, int file, struct err *err); /* data, and size */
    int (*sync_dir)(void *data, struct err *err);
    /* One more than the highest segment that there is. */
    int (*segments)(void *data, uint32_t *count, struct err *err);
};

/* The files of folder @path, made when missing: "segment-00000", "cursor".
 * Gives
 * *@out; spool_disk_close releases it. */
int spool_disk_open(const char *path, struct spool_disk *out, struct err *err);
void spool_disk_close(struct spool_disk *d);

#endif
