#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "meta/raft_log.h"

static int posix_open(void *data, const char *path, int flags)
{
    int fd;

    (void)data;
    do {
        fd = open(path, flags | O_CLOEXEC, 0600);
        if (fd < 0 && errno == EINVAL && (flags & O_DIRECT) != 0) {
            flags &= ~O_DIRECT; /* tmpfs and others */
            errno = EINTR;
        }
    } while (fd < 0 && errno == EINTR);
    return fd;
}

static int posix_close(void *data, int fd)
{
    (void)data;
    return close(fd);
}

static ssize_t posix_pwrite(void *data, int fd, const void *p, size_t n,
                            off_t at)
{
    (void)data;
    return pwrite(fd, p, n, at);
}

static int posix_fdatasync(void *data, int fd)
{
    (void)data;
    return fdatasync(fd);
}

static int posix_rename(void *data, const char *from, const char *to)
{
    (void)data;
    return rename(from, to);
}

static int posix_unlink(void *data, const char *path)
{
    (void)data;
    return unlink(path);
}

static int posix_sync_dir(void *data, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc;

    (void)data;
    if (fd < 0) {
        return -1;
    }
    rc = fsync(fd);
    close(fd);
    return rc;
}

const struct raft_log_files raft_log_files_posix = {
    .open = posix_open,
    .close = posix_close,
    .pwrite = posix_pwrite,
    .fdatasync = posix_fdatasync,
    .rename = posix_rename,
    .unlink = posix_unlink,
    .sync_dir = posix_sync_dir,
};
