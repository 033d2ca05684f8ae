#include "edge-agent/watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "edge-agent/intake.h"

#define READ_SIZE (64U * 1024)
#define TURN (1024U * 1024) /* bytes read in one turn of the loop */
#define TICK_MS 250

enum state { WAITING, READING, FINISHED };

struct watched {
    struct list_node node;
    struct watch *watch;
    unsigned dir;
    char *name;
    enum state state;
    uint64_t due_ms;
    struct stat seen; /* as it was when it became due to wait, or was opened */
    int fd;
    struct intake_put *put;
};

struct folder {
    int fd;
    int descriptor; /* inotify's */
    char *path;
};

struct watch {
    struct loop *loop;
    struct intake *intake;
    char *bucket, *prefix;
    struct folder dirs[WATCH_DIRS_MAX];
    unsigned dir_count;
    struct loop_fd events;
    struct loop_timer tick, rescan;
    struct list_node files;
    size_t count, open;
    bool missed; /* a scan found more than fit */
    uint8_t *run;
    struct watch_status status;
};

static void soon(struct watch *w)
{
    loop_timer_set(w->loop, &w->tick, 0);
}

/* ---- knowing files ---- */

static bool ends_in(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);

    return n >= m && strcmp(s + n - m, end) == 0;
}

static bool wanted(const char *name)
{
    return name[0] != '.' && !ends_in(name, ".tmp") && !ends_in(name, ".part");
}

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
           a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void let_go(struct watched *f)
{
    struct watch *w = f->watch;

    if (f->state != WAITING) {
        w->open--;
    }
    intake_put_abort(f->put);
    if (f->fd >= 0) {
        close(f->fd);
    }
    list_remove(&f->node);
    w->count--;
    free(f->name);
    free(f);
}

static void wait_again(struct watched *f, uint64_t ms)
{
    if (f->state != WAITING) {
        f->watch->open--;
    }
    intake_put_abort(f->put);
    f->put = NULL;
    if (f->fd >= 0) {
        close(f->fd);
        f->fd = -1;
    }
    f->state = WAITING;
    f->due_ms = clock_mono_ms() + ms;
    if (fstatat(f->watch->dirs[f->dir].fd, f->name, &f->seen,
                AT_SYMLINK_NOFOLLOW) != 0) {
        let_go(f);
    }
}

/* A file was seen; @complete: it was renamed into the folder. */
static void know(struct watch *w, unsigned dir, const char *name, bool complete)
{
    struct watched *f = NULL;
    struct stat st;

    if (!wanted(name) ||
        fstatat(w->dirs[dir].fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(st.st_mode)) {
        return;
    }
    LIST_EACH (node, &w->files) {
        struct watched *known = LIST_OF(node, struct watched, node);
        if (known->dir == dir && strcmp(known->name, name) == 0) {
            f = known;
            break;
        }
    }
    if (f != NULL && (f->state != WAITING || !complete)) {
        return; /* what is open is compared before it is deleted */
    }
    if (f == NULL) {
        if (w->count == WATCH_FILES_MAX) {
            w->missed = true;
            return;
        }
        f = mem_alloc(sizeof *f);
        f->watch = w;
        f->dir = dir;
        f->name = mem_strdup(name);
        f->fd = -1;
        list_push(&w->files, &f->node);
        w->count++;
    }
    f->seen = st;
    f->due_ms = clock_mono_ms() + (complete ? 0 : WATCH_STABLE_MS);
    soon(w);
}

static void scan(struct watch *w, unsigned dir)
{
    int fd = openat(w->dirs[dir].fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

    if (d == NULL) {
        log_line(LOG_WARN, "a watched folder cannot be read", "dir",
                 w->dirs[dir].path, NULL);
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    for (struct dirent *e; (e = readdir(d)) != NULL && !w->missed;) {
        know(w, dir, e->d_name, false);
    }
    closedir(d);
}

static void scan_all(struct watch *w)
{
    w->missed = false;
    for (unsigned i = 0; i < w->dir_count; i++) {
        scan(w, i);
    }
    loop_timer_set(w->loop, &w->rescan, WATCH_RESCAN_MS);
}

static void on_rescan(struct loop_timer *t)
{
    scan_all(LIST_OF(t, struct watch, rescan));
}

static void on_events(struct loop_fd *fd, uint32_t events)
{
    struct watch *w = LIST_OF(fd, struct watch, events);
    union {
        struct inotify_event first; /* for its alignment */
        char bytes[16 * 1024];
    } b;
    ssize_t n = read(fd->fd, b.bytes, sizeof b.bytes);

    (void)events;
    for (char *p = b.bytes; n > 0 && p < b.bytes + n;) {
        struct inotify_event *e = (struct inotify_event *)(void *)p;
        p += sizeof *e + e->len;
        if ((e->mask & IN_Q_OVERFLOW) != 0) {
            log_line(LOG_WARN, "events of watched folders were lost", NULL);
            scan_all(w);
            continue;
        }
        for (unsigned i = 0; e->len > 0 && i < w->dir_count; i++) {
            if (w->dirs[i].descriptor == e->wd) {
                know(w, i, e->name, (e->mask & IN_MOVED_TO) != 0);
            }
        }
    }
}

/* ---- taking files ---- */

static void refused(struct watched *f, int code, const char *why)
{
    struct watch *w = f->watch;

    w->status.refused++;
    log_line(LOG_WARN, "a watched file has to wait", "file", f->name, "code",
             err_name(code), "err", why, NULL);
    wait_again(f, WATCH_RETRY_MS);
}

static void on_done(void *arg, int code, const char *why)
{
    struct watched *f = arg;
    struct watch *w = f->watch;
    int dir = w->dirs[f->dir].fd;
    struct stat st;

    soon(w);
    if (code != 0) {
        refused(f, code, why);
        return;
    }
    w->status.taken++;
    if (fstatat(dir, f->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        !same(&st, &f->seen)) {
        wait_again(f, WATCH_STABLE_MS); /* it was written again meanwhile */
        return;
    }
    if (unlinkat(dir, f->name, 0) != 0 && errno != ENOENT) {
        log_line(LOG_ERROR, "a file that was taken cannot be deleted", "dir",
                 w->dirs[f->dir].path, "file", f->name, "err", strerror(errno),
                 NULL);
        wait_again(f, WATCH_RESCAN_MS);
        return;
    }
    let_go(f);
}

static int open_file(struct watched *f, struct err *err)
{
    struct watch *w = f->watch;
    char *key = mem_printf("%s/%s%s", w->bucket, w->prefix, f->name);
    struct intake_what what = {
        .key = key, .key_len = strlen(key), .class_id = INTAKE_CLASS};
    int code = 0;

    f->fd = openat(w->dirs[f->dir].fd, f->name,
                   O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (f->fd < 0 || fstat(f->fd, &f->seen) != 0) {
        code = err_errno(err, "open %s", f->name);
    } else {
        what.size = (uint64_t)f->seen.st_size;
        code = intake_put_open(w->intake, &what, &f->put, err);
    }
    free(key);
    f->state = READING;
    w->open++;
    return code;
}

/* Read some; @budget goes down by what was read. */
static void read_file(struct watched *f, size_t *budget)
{
    struct watch *w = f->watch;
    struct err err;
    int code = 0;

    while (*budget > 0 && code == 0) {
        ssize_t n = read(f->fd, w->run, READ_SIZE);
        if (n > 0) {
            *budget -= *budget < (size_t)n ? *budget : (size_t)n;
            code = intake_put_update(f->put, w->run, (size_t)n, &err);
        } else if (n < 0 && errno != EINTR) {
            code = err_errno(&err, "read %s", f->name);
        } else if (n == 0) {
            struct stat st;
            if (fstat(f->fd, &st) == 0 && !same(&st, &f->seen)) {
                wait_again(f, WATCH_STABLE_MS); /* it is being written */
                return;
            }
            code = intake_put_finish(f->put, on_done, f, &err);
            if (code == 0) {
                f->put = NULL;
                f->state = FINISHED;
                close(f->fd);
                f->fd = -1;
                return;
            }
        }
    }
    if (code != 0) {
        refused(f, code, err.text);
    }
}

/* It waited long enough: is it still as it was? */
static void begin_file(struct watched *f)
{
    struct stat st;
    struct err err;
    int code;

    if (fstatat(f->watch->dirs[f->dir].fd, f->name, &st, AT_SYMLINK_NOFOLLOW) !=
            0 ||
        !S_ISREG(st.st_mode)) {
        let_go(f);
    } else if (!same(&st, &f->seen)) {
        f->seen = st;
        f->due_ms = clock_mono_ms() + WATCH_STABLE_MS;
    } else if ((code = open_file(f, &err)) != 0) {
        refused(f, code, err.text);
    }
}

static void on_tick(struct loop_timer *t)
{
    struct watch *w = LIST_OF(t, struct watch, tick);
    uint64_t now = clock_mono_ms();
    size_t budget = TURN;
    bool reading = false;

    LIST_EACH_SAFE (node, &w->files) {
        struct watched *f = LIST_OF(node, struct watched, node);
        if (f->state == WAITING && f->due_ms <= now &&
            w->open < WATCH_OPEN_MAX) {
            begin_file(f); /* may free it */
        }
    }
    LIST_EACH_SAFE (node, &w->files) {
        struct watched *f = LIST_OF(node, struct watched, node);
        if (f->state == READING) {
            read_file(f, &budget);
            reading = reading || budget == 0;
        }
    }
    if (w->missed && w->count < WATCH_FILES_MAX / 2) {
        scan_all(w);
    }
    if (w->count > 0) {
        loop_timer_set(w->loop, &w->tick, reading ? 0 : TICK_MS);
    }
}

/* ---- life ---- */

struct watch *watch_new(struct loop *loop, struct intake *in,
                        const char *bucket, const char *prefix)
{
    struct watch *w = mem_alloc(sizeof *w);

    w->loop = loop;
    w->intake = in;
    w->bucket = mem_strdup(bucket);
    w->prefix = mem_strdup(prefix);
    w->events = (struct loop_fd){-1, on_events};
    w->run = mem_alloc(READ_SIZE);
    list_init(&w->files);
    loop_timer_init(&w->tick, on_tick);
    loop_timer_init(&w->rescan, on_rescan);
    return w;
}

int watch_add(struct watch *w, const char *dir, struct err *err)
{
    struct folder *f = &w->dirs[w->dir_count];

    if (w->dir_count == WATCH_DIRS_MAX) {
        return err_set(err, ERR_LIMIT, "at most %d watched folders",
                       WATCH_DIRS_MAX);
    }
    if (w->events.fd < 0) {
        w->events.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (w->events.fd < 0) {
            return err_errno(err, "inotify");
        }
        loop_add_fd(w->loop, &w->events, EPOLLIN);
    }
    f->fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->fd < 0) {
        return err_errno(err, "watch %s", dir);
    }
    f->descriptor = inotify_add_watch(
        w->events.fd, dir, IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR);
    if (f->descriptor < 0) {
        int code = err_errno(err, "watch %s", dir);
        close(f->fd);
        return code;
    }
    f->path = mem_strdup(dir);
    w->dir_count++;
    scan_all(w);
    return 0;
}

void watch_status(const struct watch *w, struct watch_status *out)
{
    *out = w->status;
    out->waiting = w->count;
}

void watch_free(struct watch *w)
{
    if (w == NULL) {
        return;
    }
    while (!list_empty(&w->files)) {
        struct watched *f = LIST_OF(w->files.next, struct watched, node);
        intake_forget(w->intake, f);
        let_go(f);
    }
    for (unsigned i = 0; i < w->dir_count; i++) {
        close(w->dirs[i].fd);
        free(w->dirs[i].path);
    }
    if (w->events.fd >= 0) {
        loop_remove_fd(w->loop, &w->events);
        close(w->events.fd);
    }
    loop_timer_clear(&w->tick);
    loop_timer_clear(&w->rescan);
    mem_wipe(w->run, READ_SIZE);
    free(w->run);
    free(w->bucket);
    free(w->prefix);
    free(w);
}
