#include "node/drive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fs.h"
#include "base/mem.h"

struct drive_file {
    unsigned magic;
    int fd;
};

#define DRIVE_FILE_MAGIC 0x64726676u

static int posix_make_dir(void *data, const char *dir, struct err *err)
{
    (void)data;
    return fs_mkdirs(dir, err);
}

static int posix_list(void *data, const char *dir,
                      void (*fn)(void *arg, const char *name), void *arg,
                      struct err *err)
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    int number;

    (void)data;
    if (d == NULL) {
        return err_errno(err, "open folder %s", dir);
    }
    errno = 0;
    while ((entry = readdir(d)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 &&
            strcmp(entry->d_name, "..") != 0) {
            fn(arg, entry->d_name);
        }
        errno = 0;
    }
    number = errno;
    closedir(d);
    if (number != 0) {
        errno = number;
        return err_errno(err, "list folder %s", dir);
    }
    return 0;
}

static int posix_sync_dir(void *data, const char *dir, struct err *err)
{
    (void)data;
    return fs_sync_dir(dir, err);
}

static int posix_space(void *data, const char *dir, uint64_t *free_bytes,
                       uint64_t *size_bytes, struct err *err)
{
    struct statvfs v;

    (void)data;
    if (statvfs(dir, &v) != 0) {
        return err_errno(err, "free space of %s", dir);
    }
    *free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
    *size_bytes = (uint64_t)v.f_blocks * v.f_frsize;
    return 0;
}

static int posix_rename(void *data, const char *dir, const char *from,
                        const char *to, struct err *err)
{
    char *a = mem_printf("%s/%s", dir, from);
    char *b = mem_printf("%s/%s", dir, to);
    int status = 0;

    (void)data;
    if (rename(a, b) != 0) {
        status = err_errno(err, "rename %s to %s", a, to);
    }
    free(a);
    free(b);
    return status;
}

static int posix_unlink(void *data, const char *dir, const char *name,
                        struct err *err)
{
    char *path = mem_printf("%s/%s", dir, name);
    int status = 0;

    (void)data;
    if (unlink(path) != 0) {
        status = err_errno(err, "remove %s", path);
    }
    free(path);
    return status;
}

/* Open, without O_DIRECT where the file system has none (tmpfs). */
static int open_fd(const char *path, unsigned flags)
{
    int mode = O_CLOEXEC | ((flags & DRIVE_WRITE) ? O_RDWR : O_RDONLY) |
               ((flags & DRIVE_CREATE) ? O_CREAT : 0);
    int fd = -1;

    if (flags & DRIVE_DIRECT) {
        fd = open(path, mode | O_DIRECT, 0600);
        if (fd >= 0 || errno != EINVAL) {
            return fd;
        }
    }
    return open(path, mode, 0600);
}

static int posix_open(void *data, const char *dir, const char *name,
                      unsigned flags, struct drive_file **out, struct err *err)
{
    char *path = mem_printf("%s/%s", dir, name);
    struct drive_file *file;
    int status = 0;
    int fd;

    (void)data;
    if (flags & DRIVE_CREATE) {
        flags |= DRIVE_WRITE;
    }
    fd = open_fd(path, flags);
    if (fd < 0) {
        status =
            errno == EMFILE || errno == ENFILE
                ? err_set(err, ERR_BUSY, "open %s: too many open files", path)
                : err_errno(err, "open %s", path);
        goto err_after_path;
    }
    if ((flags & DRIVE_LOCK) && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        status = errno == EWOULDBLOCK
                     ? err_set(err, ERR_LOCKED,
                               "%s is in use by another process", path)
                     : err_errno(err, "lock %s", path);
        close(fd);
        goto err_after_path;
    }
    if (flags & DRIVE_FRESH) {
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    }
    if (!(flags & (DRIVE_WRITE | DRIVE_DIRECT))) {
        posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM); /* no read-ahead */
    }
    file = mem_alloc(sizeof *file);
    file->magic = DRIVE_FILE_MAGIC;
    file->fd = fd;
    *out = file;
err_after_path:
    free(path);
    return status;
}

static void posix_close(void *data, struct drive_file *file)
{
    (void)data;
    if (file == NULL) {
        return;
    }
    CHECK_OBJ(file, DRIVE_FILE_MAGIC);
    close(file->fd);
    file->magic = 0;
    free(file);
}

static int posix_size(void *data, struct drive_file *file, uint64_t *bytes,
                      struct err *err)
{
    struct stat st;

    (void)data;
    CHECK_OBJ(file, DRIVE_FILE_MAGIC);
    if (fstat(file->fd, &st) != 0) {
        return err_errno(err, "fstat");
    }
    *bytes = (uint64_t)st.st_size;
    return 0;
}

/* Drop the first @done bytes of the run; gives the pieces left. */
static int skip(struct iovec *iov, int count, size_t done)
{
    int i = 0;

    while (i < count && done >= iov[i].iov_len) {
        done -= iov[i].iov_len;
        i++;
    }
    if (i < count) {
        iov[i].iov_base = (char *)iov[i].iov_base + done;
        iov[i].iov_len -= done;
    }
    memmove(iov, iov + i, (size_t)(count - i) * sizeof *iov);
    return count - i;
}

/* Some file systems take O_DIRECT at open and refuse the write. */
static bool undirect(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags >= 0 && (flags & O_DIRECT) != 0 &&
           fcntl(fd, F_SETFL, flags & ~O_DIRECT) == 0;
}

static int posix_write(void *data, struct drive_file *file,
                       const struct iovec *iov, int count, uint64_t offset,
                       struct err *err)
{
    struct iovec left[DRIVE_IOV_MAX];
    ssize_t n;

    (void)data;
    CHECK_OBJ(file, DRIVE_FILE_MAGIC);
    CHECK(count > 0 && count <= DRIVE_IOV_MAX);
    memcpy(left, iov, (size_t)count * sizeof *iov);
    while (count > 0) {
        n = pwritev(file->fd, left, count, (off_t)offset);
        if (n < 0 &&
            (errno == EINTR || (errno == EINVAL && undirect(file->fd)))) {
            continue;
        }
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            return err_errno(err, "write");
        }
        offset += (uint64_t)n;
        count = skip(left, count, (size_t)n);
    }
    return 0;
}

static int posix_read(void *data, struct drive_file *file,
                      const struct iovec *iov, int count, uint64_t offset,
                      size_t *got, struct err *err)
{
    struct iovec left[DRIVE_IOV_MAX];
    size_t total = 0;
    ssize_t n;

    (void)data;
    CHECK_OBJ(file, DRIVE_FILE_MAGIC);
    CHECK(count > 0 && count <= DRIVE_IOV_MAX);
    memcpy(left, iov, (size_t)count * sizeof *iov);
    while (count > 0) {
        n = preadv(file->fd, left, count, (off_t)(offset + total));
        if (n < 0 &&
            (errno == EINTR || (errno == EINVAL && undirect(file->fd)))) {
            continue;
        }
        if (n < 0) {
            return err_errno(err, "read");
        }
        if (n == 0) {
            break;
        }
        total += (size_t)n;
        count = skip(left, count, (size_t)n);
    }
    *got = total;
    return 0;
}

static int posix_sync(void *data, struct drive_file *file, struct err *err)
{
    struct stat st;

    (void)data;
    CHECK_OBJ(file, DRIVE_FILE_MAGIC);
    if (fdatasync(file->fd) != 0) {
        return err_errno(err, "fdatasync");
    }
    /* A removed file takes writes as before, and loses them. */
    if (fstat(file->fd, &st) != 0) {
        return err_errno(err, "fstat");
    }
    if (st.st_nlink == 0) {
        return err_set(err, ERR_IO, "the file was removed from its folder");
    }
    return 0;
}

/* A file system that cannot gives space when it is written to. */
static int posix_allocate(void *data, struct drive_file *file, uint64_t offset,
                          uint64_t bytes, struct err *err)
{
    (void)data;
    CHECK_OBJ(file, DRIVE_FILE_MAGIC);
    if (fallocate(file->fd, 0, (off_t)offset, (off_t)bytes) != 0 &&
        (errno != EOPNOTSUPP ||
         ftruncate(file->fd, (off_t)(offset + bytes)) != 0)) {
        return err_errno(err, "allocate");
    }
    return 0;
}

static int posix_truncate(void *data, struct drive_file *file, uint64_t bytes,
                          struct err *err)
{
    (void)data;
    CHECK_OBJ(file, DRIVE_FILE_MAGIC);
    if (ftruncate(file->fd, (off_t)bytes) != 0) {
        return err_errno(err, "truncate");
    }
    return 0;
}

const struct drive_ops *drive_posix(void)
{
    static const struct drive_ops ops = {
        .make_dir = posix_make_dir,
        .list = posix_list,
        .sync_dir = posix_sync_dir,
        .space = posix_space,
        .rename = posix_rename,
        .unlink = posix_unlink,
        .open = posix_open,
        .allocate = posix_allocate,
        .close = posix_close,
        .size = posix_size,
        .write = posix_write,
        .read = posix_read,
        .sync = posix_sync,
        .truncate = posix_truncate,
    };

    return &ops;
}
