#include "base/fs.h"

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

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"

#define READ_STEP 65536

static int open_retry(const char *path, int flags, mode_t mode)
{
    int fd;

    do {
        fd = open(path, flags | O_CLOEXEC, mode);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

/* The folder that holds @path; caller frees. */
static char *parent_of(const char *path)
{
    size_t len = strlen(path);

    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    while (len > 0 && path[len - 1] != '/') {
        len--;
    }
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    return len == 0 ? mem_strdup(".") : mem_strndup(path, len);
}

static int check_dir(const char *path, struct err *err)
{
    struct stat st;

    if (stat(path, &st) != 0) {
        return err_errno(err, "%s: stat", path);
    }
    if (!S_ISDIR(st.st_mode)) {
        errno = ENOTDIR;
        return err_errno(err, "%s", path);
    }
    return 0;
}

/* One level; a new folder's name is made durable in its parent. */
static int make_dir(const char *path, struct err *err)
{
    char *parent;
    int rc;

    if (mkdir(path, 0700) != 0) {
        int number = errno;
        struct stat st;
        /* EROFS, EACCES and the like do not matter for what is there. */
        if (stat(path, &st) == 0) {
            return check_dir(path, err);
        }
        errno = number;
        return err_errno(err, "%s: mkdir", path);
    }
    parent = parent_of(path);
    rc = fs_sync_dir(parent, err);
    free(parent);
    return rc;
}

int fs_mkdirs(const char *path, struct err *err)
{
    char *part = mem_strdup(path);
    size_t len = strlen(part);
    int rc = 0;

    for (size_t i = 1; i < len && rc == 0; i++) {
        if (part[i] == '/' && part[i - 1] != '/') {
            part[i] = 0;
            rc = make_dir(part, err);
            part[i] = '/';
        }
    }
    if (rc == 0 && (len == 0 || part[len - 1] != '/')) {
        rc = make_dir(part, err);
    }
    free(part);
    return rc;
}

int fs_read(const char *path, size_t size_max, struct buf *out, struct err *err)
{
    size_t start = out->len;
    int fd = open_retry(path, O_RDONLY, 0);
    int rc;

    if (fd < 0) {
        return err_errno(err, "%s: open", path);
    }
    for (;;) {
        ssize_t n;
        buf_reserve(out, READ_STEP);
        n = read(fd, out->data + out->len, READ_STEP);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            rc = err_errno(err, "%s: read", path);
            goto err_after_open;
        }
        if (n == 0) {
            break;
        }
        out->len += (size_t)n;
        if (out->len - start > size_max) {
            rc = err_set(err, ERR_LIMIT, "%s: larger than %zu bytes", path,
                         size_max);
            goto err_after_open;
        }
    }
    out->data[out->len] = 0;
    close(fd);
    return 0;

err_after_open:
    /* What was read may be half of a secret. */
    mem_wipe(out->data + start, out->len - start);
    out->len = start;
    out->data[start] = 0;
    close(fd);
    return rc;
}

static int write_all(int fd, const void *p, size_t len)
{
    const uint8_t *from = p;

    while (len > 0) {
        ssize_t n = write(fd, from, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -1;
        }
        from += n;
        len -= (size_t)n;
    }
    return 0;
}

/* A new file @path that holds the bytes durably; removed again on failure. */
static int write_new(const char *path, const void *p, size_t len, mode_t mode,
                     struct err *err)
{
    int fd = open_retry(path, O_WRONLY | O_CREAT | O_EXCL, mode & 0777);
    int rc;

    if (fd < 0) {
        return err_errno(err, "%s: create", path);
    }
    /* The mode asked for, whatever the umask. */
    if (fchmod(fd, mode & 0777) != 0) {
        rc = err_errno(err, "%s: chmod", path);
        goto err_after_open;
    }
    if (write_all(fd, p, len) != 0) {
        rc = err_errno(err, "%s: write", path);
        goto err_after_open;
    }
    if (fsync(fd) != 0) {
        rc = err_errno(err, "%s: fsync", path);
        goto err_after_open;
    }
    close(fd);
    return 0;

err_after_open:
    close(fd);
    unlink(path);
    return rc;
}

int fs_write(const char *path, const void *p, size_t len, mode_t mode,
             struct err *err)
{
    char *temporary =
        mem_printf("%s.%016llx.tmp", path, (unsigned long long)rng_u64());
    char *parent = parent_of(path);
    int rc = write_new(temporary, p, len, mode, err);

    if (rc != 0) {
        goto done;
    }
    if (rename(temporary, path) != 0) {
        rc = err_errno(err, "%s: rename", path);
        unlink(temporary);
        goto done;
    }
    rc = fs_sync_dir(parent, err);
done:
    free(parent);
    free(temporary);
    return rc;
}

int fs_sync_dir(const char *path, struct err *err)
{
    int fd = open_retry(path, O_RDONLY | O_DIRECTORY, 0);
    int rc = 0;

    if (fd < 0) {
        return err_errno(err, "%s: open", path);
    }
    if (fsync(fd) != 0) {
        rc = err_errno(err, "%s: fsync", path);
    }
    close(fd);
    return rc;
}

int fs_lock(const char *path, int *fd, struct err *err)
{
    int new_fd = open_retry(path, O_RDWR | O_CREAT, 0600);
    int rc;

    if (new_fd < 0) {
        return err_errno(err, "%s: open", path);
    }
    do {
        rc = flock(new_fd, LOCK_EX | LOCK_NB);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0) {
        rc = errno == EWOULDBLOCK
                 ? err_set(err, ERR_LOCKED, "%s: in use by another process",
                           path)
                 : err_errno(err, "%s: lock", path);
        close(new_fd);
        return rc;
    }
    *fd = new_fd;
    return 0;
}

int fs_space(const char *path, uint64_t *free_bytes, uint64_t *size_bytes,
             struct err *err)
{
    struct statvfs st;

    if (statvfs(path, &st) != 0) {
        return err_errno(err, "%s: statvfs", path);
    }
    *free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
    *size_bytes = (uint64_t)st.f_blocks * st.f_frsize;
    return 0;
}
