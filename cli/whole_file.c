#include "cli/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cli/download.h"

int whole_file_open(const char *path, struct whole_file *out, struct err *err)
{
    struct whole_file f = {.fd = STDOUT_FILENO};

    if (strcmp(path, "-") != 0) {
        f.part = mem_printf("%s.%016llx" DOWNLOAD_SUFFIX, path,
                            (unsigned long long)rng_u64());
        f.fd = open(f.part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (f.fd < 0) {
            int rc = err_errno(err, "%s", f.part);
            free(f.part);
            return rc;
        }
    }
    f.path = mem_strdup(path);
    *out = f;
    return 0;
}

int whole_file_write(void *file, const void *p, size_t len, struct err *err)
{
    struct whole_file *f = file;
    const char *at = p;

    while (len > 0) {
        ssize_t n = write(f->fd, at, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return err_errno(err, "write to %s",
                             f->part != NULL ? f->path : "standard output");
        }
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

static void end(struct whole_file *f)
{
    free(f->path);
    free(f->part);
    *f = (struct whole_file){.fd = -1};
}

int whole_file_commit(struct whole_file *f, struct err *err)
{
    int rc = 0;

    if (f->part != NULL) {
        if (close(f->fd) != 0 || rename(f->part, f->path) != 0) {
            rc = err_errno(err, "%s", f->path);
            unlink(f->part);
        }
    }
    end(f);
    return rc;
}

void whole_file_abort(struct whole_file *f)
{
    if (f->part != NULL) {
        close(f->fd);
        unlink(f->part);
    }
    end(f);
}
