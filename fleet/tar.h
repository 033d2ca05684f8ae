/* tar.h: tape archives, read and written.
 *
 * Read are ustar, pax, GNU's and those from before, as far as they hold files
 * and folders: whatever else stands in one is told as TAR_OTHER. A member's
 * bytes are not looked at: the caller has where they lie.
 *
 *     block    512 bytes: a header, or a member's bytes with zeros at the end
 *     header   name 100, mode 8, uid 8, gid 8, size 12, mtime 12, checksum 8,
 *              type 1, link 100, "ustar" 6, version 2, user 32, group 32,
 *              device 16, prefix 155, rest
 *     type     0, NUL, 7: a file; 5: a folder; x, g: pax records ("LEN
 * key=value LF") for the next, for all; L, K: GNU's long name, long link end
 * two blocks of zeros, or the end of the bytes
 *
 * Source: POSIX.1-2017, pax, ustar Interchange Format; GNU tar manual, Basic
 * Tar Format. Threads: a reader belongs to its caller.
 */
#ifndef GODWIT_FLEET_TAR_H
#define GODWIT_FLEET_TAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

#define TAR_BLOCK 512
#define TAR_PATH_MAX 4096          /* longer than any key */
#define TAR_RECORDS_MAX (64 << 10) /* of pax, or a long name */

enum tar_type { TAR_FILE, TAR_FOLDER, TAR_OTHER };

struct tar_member {
    enum tar_type type;
    char path[TAR_PATH_MAX + 1]; /* as it stands there: judge it */
    uint64_t size;               /* 0 unless it is a file */
    uint64_t offset;             /* of its bytes, in the archive */
    uint64_t mtime_s;            /* 0: before 1970, or none */
};

/* Give @len bytes from @offset on, all below the archive's size; borrowed until
 * the next call. What it returns ends the reading. */
typedef int (*tar_fetch)(void *arg, uint64_t offset, size_t len,
                         const uint8_t **p, struct err *err);

struct tar_reader {
    tar_fetch fetch;
    void *arg;
    uint64_t size; /* of the archive */
    uint64_t at;   /* 0 at first */
};

/* The next member; *@more false: there is none. ERR_BAD_INPUT: it is no tar,
 * from the byte on that is named; ERR_LIMIT: records or a name are too long. */
int tar_next(struct tar_reader *r, struct tar_member *out, bool *more,
             struct err *err);

/* What tar_path_key refuses of a path and why; else NULL. *@key is where the
 * key begins that it stands for: leading "./" and '/' are dropped. A part of it
 * that is ".." is refused, and nothing at all. */
const char *tar_path_key(const char *path, const char **key);

/* ---- writing ---- */

/* Append the header of a file, with pax records when @path needs them; then
 * come its bytes and tar_pad. */
void tar_header(struct buf *out, const char *path, uint64_t size,
                uint64_t mtime_s);
/* Append the zeros behind a file of @size bytes. */
void tar_pad(struct buf *out, uint64_t size);
void tar_end(struct buf *out);

#endif
