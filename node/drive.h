/* drive.h: the seam between the shard store and a disk.
 *
 * The store does all its I/O through a struct of function pointers, so that
 * tests can put a disk in memory, a hung one or a failing one in place of the
 * system's. A test that only wants faults copies *drive_posix() and replaces
 * the functions that shall fail, calling the originals for the rest.
 *
 * Each function gets the struct's @data first and the drive's folder as a
 * path. Errors are ERR_FULL (no space), ERR_NOT_FOUND (no such file or
 * folder), ERR_LOCKED, ERR_BUSY (too many files are open: says nothing of the
 * drive), or ERR_IO.
 *
 * Alignment: files opened with DRIVE_DIRECT are read and written in multiples
 * of MEM_PAGE at multiples of MEM_PAGE, from memory at page boundaries.
 *
 * Threads: any; one file may be used by several at once.
 */
#ifndef GODWIT_NODE_DRIVE_H
#define GODWIT_NODE_DRIVE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"

struct drive_file; /* known to the ops that opened it */

enum drive_flags {
    DRIVE_WRITE = 1,  /* else for reading only */
    DRIVE_CREATE = 2, /* made when missing; implies DRIVE_WRITE */
    DRIVE_DIRECT = 4, /* past the system's cache where the disk allows it */
    DRIVE_FRESH = 8,  /* forget what the system has cached of the file */
    DRIVE_LOCK = 16,  /* take the exclusive lock, or fail with ERR_LOCKED */
};

struct drive_ops {
    void *data;

    /* Make the folder and what is missing above it. */
    int (*make_dir)(void *data, const char *dir, struct err *err);
    /* Call @fn with each name in the folder but "." and "..". */
    int (*list)(void *data, const char *dir,
                void (*fn)(void *arg, const char *name), void *arg,
                struct err *err);
    /* Make the folder's entries durable. */
    int (*sync_dir)(void *data, const char *dir, struct err *err);
    /* Bytes that may still be used, and the size, of the disk. */
    int (*space)(void *data, const char *dir, uint64_t *free_bytes,
                 uint64_t *size_bytes, struct err *err);
    int (*rename)(void *data, const char *dir, const char *from, const char *to,
                  struct err *err);
    int (*unlink)(void *data, const char *dir, const char *name,
                  struct err *err);

    int (*open)(void *data, const char *dir, const char *name, unsigned flags,
                struct drive_file **out, struct err *err);
    void (*close)(void *data, struct drive_file *file); /* NULL: nothing */
    int (*size)(void *data, struct drive_file *file, uint64_t *bytes,
                struct err *err);
    /* All or an error. At most DRIVE_IOV_MAX pieces. */
    int (*write)(void *data, struct drive_file *file, const struct iovec *iov,
                 int count, uint64_t offset, struct err *err);
    /* Fill the pieces; *@got is less than their sum only at the file's end. */
    int (*read)(void *data, struct drive_file *file, const struct iovec *iov,
                int count, uint64_t offset, size_t *got, struct err *err);
    /* Make what was written to the file durable; fails when the file is no
     * longer in its folder. After a failure what was written is unknown. */
    int (*sync)(void *data, struct drive_file *file, struct err *err);
    /* Disk space for @bytes at the end of the file, @offset, which read as
     * zeros: less work than writing them, but the sync after the first write
     * there costs a turn of the file system's journal. */
    int (*allocate)(void *data, struct drive_file *file, uint64_t offset,
                    uint64_t bytes, struct err *err);
    int (*truncate)(void *data, struct drive_file *file, uint64_t bytes,
                    struct err *err);
};

#define DRIVE_IOV_MAX 1024 /* IOV_MAX of Linux */

/* The system's disks. */
const struct drive_ops *drive_posix(void);

#endif
