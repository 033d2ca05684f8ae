/* fs.h: small files and folders, whole and durable.
 *
 * For configuration, identities and slots; the data path has its own seam
 * (node/drive.h, meta/raft_log.h).
 *
 * Threads: any.
 */
#ifndef GODWIT_BASE_FS_H
#define GODWIT_BASE_FS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct buf;
struct err;

/* Make @path and what is missing above it, mode 0700. */
int fs_mkdirs(const char *path, struct err *err);

/* Append the file's bytes to @out; ERR_LIMIT over @size_max. */
int fs_read(const char *path, size_t size_max, struct buf *out,
            struct err *err);

/* Replace @path whole or not at all, durably: temporary file, fsync, rename,
 * fsync of the folder. */
int fs_write(const char *path, const void *p, size_t len, mode_t mode,
             struct err *err);

/* fsync a folder. */
int fs_sync_dir(const char *path, struct err *err);

/* Take the exclusive lock of @path (made when missing) for as long as the
 * process lives; ERR_LOCKED when another has it. Gives *@fd. */
int fs_lock(const char *path, int *fd, struct err *err);

/* Bytes that an unprivileged writer may still use, and the size, of the file
 * system that holds @path. */
int fs_space(const char *path, uint64_t *free_bytes, uint64_t *size_bytes,
             struct err *err);

#endif
