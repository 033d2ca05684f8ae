/* whole_file.h: a file that gets its name when it is whole.
 *
 * Bytes go to NAME.<16 hex>.godwit-part beside it; commit renames, abort
 * removes. "-" is standard output, which has no such mercy.
 *
 * Threads: one at a time.
 */
#ifndef GODWIT_CLI_WHOLE_FILE_H
#define GODWIT_CLI_WHOLE_FILE_H

#include <stddef.h>

struct err;

struct whole_file {
    int fd;
    char *path;
    char *part; /* NULL for standard output */
};

int whole_file_open(const char *path, struct whole_file *out, struct err *err);
/* A sink: @file is a struct whole_file. */
int whole_file_write(void *file, const void *p, size_t len, struct err *err);
/* Either of both ends it; a commit that fails aborts. */
int whole_file_commit(struct whole_file *f, struct err *err);
void whole_file_abort(struct whole_file *f);

#endif
