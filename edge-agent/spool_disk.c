#include "edge-agent/spool_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"

struct folder {
    int fd;
};

#define NAME_SIZE 32

static const char *name_of(uint32_t number, char name[NAME_SIZE])
{
    if (number == SPOOL_CURSOR_FILE) {
        snprintf(name, NAME_SIZE, "cursor");
    } else {
        snprintf(name, NAME_SIZE, "segment-%05u", number);
    }
    return name;
}

static int disk_open(void *data, uint32_t number, bool create, int *file,
                     struct err *err)
{
    const struct folder *f = data;
    char name[NAME_SIZE];
    int fd = openat(f->fd, name_of(number, name),
                    O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600);

    if (fd < 0) {
        return err_errno(err, "spool: open %s", name);
    }
    *file = fd;
    return 0;
}

static void disk_close(void *data, int file)
{
    (void)data;
    close(file);
}

static int disk_size(void *data, int file, uint64_t *out, struct err *err)
{
    struct stat st;

    (void)data;
    if (fstat(file, &st) != 0) {
        return err_errno(err, "spool: stat");
    }
    *out = (uint64_t)st.st_size;
    return 0;
}

static int disk_read(void *data, int file, uint64_t at, void *p, size_t len,
                     struct err *err)
{
    uint8_t *to = p;

    (void)data;
    while (len > 0) {
        ssize_t n = pread(file, to, len, (off_t)at);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return err_errno(err, "spool: read");
        }
        if (n == 0) {
            return err_set(err, ERR_CORRUPT, "spool: the file ends too soon");
        }
        to += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

static int disk_write(void *data, int file, uint64_t at, const void *p,
                      size_t len, struct err *err)
{
    const uint8_t *from = p;

    (void)data;
    while (len > 0) {
        ssize_t n = pwrite(file, from, len, (off_t)at);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return err_errno(err, "spool: write");
        }
        from += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

static int disk_sync(void *data, int file, struct err *err)
{
    (void)data;
    return fdatasync(file) == 0 ? 0 : err_errno(err, "spool: fdatasync");
}

static int disk_sync_dir(void *data, struct err *err)
{
    const struct folder *f = data;

    return fsync(f->fd) == 0 ? 0 : err_errno(err, "spool: fsync of the folder");
}

static int disk_segments(void *data, uint32_t *count, struct err *err)
{
    const struct folder *f = data;
    int fd = openat(f->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    uint32_t n = 0;

    if (dir == NULL) {
        int code = err_errno(err, "spool: read the folder");
        if (fd >= 0) {
            close(fd);
        }
        return code;
    }
    for (struct dirent *e; errno = 0, (e = readdir(dir)) != NULL;) {
        unsigned number;
        char rest;
        if (sscanf(e->d_name, "segment-%5u%c", &number, &rest) == 1 &&
            number < SPOOL_SLOTS_MAX && number >= n) {
            n = number + 1;
        }
    }
    if (errno != 0) { /* a segment not seen would be written over */
        int code = err_errno(err, "spool: read the folder");
        closedir(dir);
        return code;
    }
    closedir(dir);
    *count = n;
    return 0;
}

int spool_disk_open(const char *path, struct spool_disk *out, struct err *err)
{
    struct folder *f;
    int code = fs_mkdirs(path, err);
    int fd;

    if (code != 0) {
        return code;
    }
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return err_errno(err, "open %s", path);
    }
    f = mem_alloc(sizeof *f);
    f->fd = fd;
    *out = (struct spool_disk){
        .data = f,
        .open = disk_open,
        .close = disk_close,
        .size = disk_size,
        .read = disk_read,
        .write = disk_write,
        .sync = disk_sync,
        .sync_dir = disk_sync_dir,
        .segments = disk_segments,
    };
    return 0;
}

void spool_disk_close(struct spool_disk *d)
{
    struct folder *f = d->data;

    if (f != NULL) {
        close(f->fd);
        free(f);
        d->data = NULL;
    }
}
