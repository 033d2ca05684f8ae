#include "tests/lib/power_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"

#define SECTOR 512
#define NEVER (-1)

/* How a sector was when its file was last synced. */
struct undo {
    struct undo *next;
    uint64_t at;
    uint8_t was[SECTOR];
};

struct file {
    struct file *next;
    dev_t dev;
    ino_t ino;
    int fd; /* of our own: outlives names */
    struct undo *undos;
};

enum change_kind { CREATED, RENAMED, UNLINKED };

struct change {
    struct change *next; /* the one before */
    enum change_kind kind;
    char *from;
    char *to; /* UNLINKED: where the file is kept meanwhile */
};

struct power_files {
    struct raft_log_files ops;
    uint64_t random;
    long calls;
    long cut_at;
    long fail_at;
    bool cut;
    struct file *files;
    struct change *changes; /* the latest first */
    size_t change_count;
    unsigned hidden;
};

static uint64_t draw(struct power_files *p)
{
    p->random ^= p->random << 13;
    p->random ^= p->random >> 7;
    p->random ^= p->random << 17;
    return p->random * 0x2545f4914f6cdd1dull;
}

/* True when the call must fail; *@last when it is the one in which the power
 * goes. */
static bool count(struct power_files *p, bool *last)
{
    long n = p->calls++;

    *last = n == p->cut_at;
    if (*last) {
        p->cut = true;
    }
    if (p->cut || n == p->fail_at) {
        errno = EIO;
        return true;
    }
    return false;
}

static struct file *file_of(struct power_files *p, int fd)
{
    struct stat st;
    struct file *f;
    char path[64];

    CHECK(fstat(fd, &st) == 0);
    for (f = p->files; f != NULL; f = f->next) {
        if (f->dev == st.st_dev && f->ino == st.st_ino) {
            return f;
        }
    }
    f = mem_alloc(sizeof *f);
    f->dev = st.st_dev;
    f->ino = st.st_ino;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    f->fd = open(path, O_RDWR | O_CLOEXEC);
    CHECK(f->fd >= 0);
    f->next = p->files;
    p->files = f;
    return f;
}

static void forget_undos(struct file *f)
{
    while (f->undos != NULL) {
        struct undo *u = f->undos;
        f->undos = u->next;
        free(u);
    }
}

static void remember(struct file *f, uint64_t at)
{
    struct undo *u;

    for (u = f->undos; u != NULL; u = u->next) {
        if (u->at == at) {
            return;
        }
    }
    u = mem_alloc(sizeof *u); /* zeros where the file does not reach */
    u->at = at;
    CHECK(pread(f->fd, u->was, SECTOR, (off_t)at) >= 0);
    u->next = f->undos;
    f->undos = u;
}

static void add_change(struct power_files *p, enum change_kind kind,
                       const char *from, const char *to)
{
    struct change *c = mem_alloc(sizeof *c);

    c->kind = kind;
    c->from = mem_strdup(from);
    c->to = to != NULL ? mem_strdup(to) : NULL;
    c->next = p->changes;
    p->changes = c;
    p->change_count++;
}

static int pf_open(void *data, const char *path, int flags)
{
    struct power_files *p = data;
    bool last;
    bool creates = access(path, F_OK) != 0;
    int fd;

    if (count(p, &last)) {
        return -1;
    }
    fd = open(path, (flags & ~O_DIRECT) | O_CLOEXEC, 0600);
    if (fd >= 0) {
        file_of(p, fd);
        if (creates) {
            add_change(p, CREATED, path, NULL);
        }
    }
    return fd;
}

static int pf_close(void *data, int fd)
{
    (void)data;
    return close(fd);
}

static ssize_t pf_pwrite(void *data, int fd, const void *bytes, size_t n,
                         off_t at)
{
    struct power_files *p = data;
    struct file *f = file_of(p, fd);
    bool last;
    bool failed = count(p, &last);

    if (failed && !last) {
        return -1;
    }
    CHECK((uint64_t)at % SECTOR == 0 && n % SECTOR == 0);
    for (size_t i = 0; i < n; i += SECTOR) {
        remember(f, (uint64_t)at + i);
    }
    CHECK(pwrite(fd, bytes, n, at) == (ssize_t)n);
    errno = EIO;
    return failed ? -1 : (ssize_t)n;
}

static int pf_fdatasync(void *data, int fd)
{
    struct power_files *p = data;
    bool last;

    if (count(p, &last)) {
        return -1;
    }
    forget_undos(file_of(p, fd));
    return 0;
}

static int pf_rename(void *data, const char *from, const char *to)
{
    struct power_files *p = data;
    bool last;

    if (count(p, &last)) {
        return -1;
    }
    CHECK(access(to, F_OK) != 0); /* could not be taken back */
    if (rename(from, to) != 0) {
        return -1;
    }
    add_change(p, RENAMED, from, to);
    return 0;
}

static int pf_unlink(void *data, const char *path)
{
    struct power_files *p = data;
    bool last;
    char *hidden;
    int rc;

    if (count(p, &last)) {
        return -1;
    }
    hidden = mem_printf("%s.hidden%u", path, p->hidden++);
    rc = rename(path, hidden);
    if (rc == 0) {
        add_change(p, UNLINKED, path, hidden);
    }
    free(hidden);
    return rc;
}

static void drop_change(struct power_files *p, bool undo)
{
    struct change *c = p->changes;

    if (undo) {
        switch (c->kind) {
            case CREATED:
                CHECK(unlink(c->from) == 0);
                break;
            case RENAMED:
            case UNLINKED:
                CHECK(rename(c->to, c->from) == 0);
                break;
        }
    } else if (c->kind == UNLINKED) {
        unlink(c->to);
    }
    p->changes = c->next;
    p->change_count--;
    free(c->from);
    free(c->to);
    free(c);
}

static int pf_sync_dir(void *data, const char *path)
{
    struct power_files *p = data;
    bool last;

    (void)path;
    if (count(p, &last)) {
        return -1;
    }
    while (p->changes != NULL) {
        drop_change(p, false);
    }
    return 0;
}

static void forget_files(struct power_files *p)
{
    while (p->files != NULL) {
        struct file *f = p->files;
        p->files = f->next;
        forget_undos(f);
        close(f->fd);
        free(f);
    }
}

struct power_files *power_files_new(uint64_t seed)
{
    struct power_files *p = mem_alloc(sizeof *p);

    p->random = seed * 2 + 1;
    for (int i = 0; i < 8; i++) {
        draw(p);
    }
    p->cut_at = NEVER;
    p->fail_at = NEVER;
    p->ops = (struct raft_log_files){
        .data = p,
        .open = pf_open,
        .close = pf_close,
        .pwrite = pf_pwrite,
        .fdatasync = pf_fdatasync,
        .rename = pf_rename,
        .unlink = pf_unlink,
        .sync_dir = pf_sync_dir,
    };
    return p;
}

void power_files_free(struct power_files *p)
{
    while (p->changes != NULL) {
        drop_change(p, false);
    }
    forget_files(p);
    free(p);
}

const struct raft_log_files *power_files_ops(struct power_files *p)
{
    return &p->ops;
}

long power_files_calls(const struct power_files *p)
{
    return p->calls;
}

void power_files_cut_at(struct power_files *p, long n)
{
    p->cut_at = p->calls + n;
}

void power_files_fail_at(struct power_files *p, long n)
{
    p->fail_at = p->calls + n;
}

bool power_files_is_cut(const struct power_files *p)
{
    return p->cut;
}

void power_files_power_on(struct power_files *p)
{
    size_t lost = p->change_count > 0 ? draw(p) % (p->change_count + 1) : 0;

    for (struct file *f = p->files; f != NULL; f = f->next) {
        uint64_t keep = draw(p) % 5; /* all, none, or some of them */
        for (struct undo *u = f->undos; u != NULL; u = u->next) {
            if (keep != 0 && (keep == 1 || draw(p) % 2 == 0)) {
                CHECK(pwrite(f->fd, u->was, SECTOR, (off_t)u->at) == SECTOR);
            }
        }
    }
    while (p->changes != NULL) {
        drop_change(p, lost > 0);
        lost -= lost > 0;
    }
    forget_files(p);
    p->cut = false;
    p->cut_at = NEVER;
    p->fail_at = NEVER;
}
