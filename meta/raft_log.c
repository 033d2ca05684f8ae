#include "meta/raft_log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/wire.h"
#include "crypto/digest.h"
#include "meta/raft_log_format.h"

#define SEGMENT_PREFIX "log-"
#define SPARE_PREFIX "spare-"
#define NAME_DIGITS 16
#define PATH_SIZE 4096
#define PAGES_KEEP (1u << 20) /* a larger write buffer is not kept */
#define ZERO_STEP (1u << 20)
#define NO_BOUND UINT64_MAX

struct segment {
    uint64_t sequence;
    uint64_t first; /* index of its first record */
    uint64_t salt;
    uint64_t bytes; /* of the file */
};

struct raft_log {
    char *dir;
    uint32_t segment_bytes;
    const struct raft_log_files *files;
    struct segment *segments; /* by sequence; the last is being written */
    size_t count;
    int fd; /* of the last */
    uint64_t offset;
    uint64_t last;      /* index */
    uint64_t last_read; /* while opening: index of the last record */
    bool broken;
    uint8_t *pages;
    size_t pages_bytes;
    uint64_t vote_sequence;
    pthread_mutex_t mutex; /* guards what follows */
    uint64_t spares[RAFT_LOG_SPARES_MAX];
    size_t spare_count;
    uint64_t spare_next;
    bool preparing;
    uint64_t bytes; /* of segments */
    size_t shown;   /* count, for raft_log_segments */
};

/* ---- files ---- */

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

static int write_at(struct raft_log *l, int fd, const void *p, size_t n,
                    uint64_t at)
{
    const uint8_t *from = p;

    while (n > 0) {
        ssize_t done = l->files->pwrite(l->files->data, fd, from, n, (off_t)at);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            if (done == 0) {
                errno = EIO;
            }
            return -1;
        }
        from += done;
        n -= (size_t)done;
        at += (uint64_t)done;
    }
    return 0;
}

static void segment_path(const struct raft_log *l, uint64_t sequence, char *out)
{
    snprintf(out, PATH_SIZE, "%s/" SEGMENT_PREFIX "%016llx", l->dir,
             (unsigned long long)sequence);
}

static void spare_path(const struct raft_log *l, uint64_t id, char *out)
{
    snprintf(out, PATH_SIZE, "%s/" SPARE_PREFIX "%016llx", l->dir,
             (unsigned long long)id);
}

static int sync_dir(struct raft_log *l, struct err *err)
{
    if (l->files->sync_dir(l->files->data, l->dir) != 0) {
        return err_errno(err, "%s: fsync", l->dir);
    }
    return 0;
}

/* Make a file of @bytes zeros, durably but for its name. */
static int make_zeroed(struct raft_log *l, const char *path, uint64_t bytes,
                       struct err *err)
{
    int fd = l->files->open(l->files->data, path, O_RDWR | O_CREAT | O_TRUNC);
    uint8_t *zeros;
    int rc = 0;

    if (fd < 0) {
        return err_errno(err, "%s: open", path);
    }
    zeros = mem_alloc(ZERO_STEP);
    for (uint64_t at = 0; at < bytes && rc == 0; at += ZERO_STEP) {
        uint64_t left = bytes - at;
        rc = write_at(l, fd, zeros, left < ZERO_STEP ? (size_t)left : ZERO_STEP,
                      at);
    }
    free(zeros);
    if (rc != 0) {
        rc = err_errno(err, "%s: write", path);
    } else if (l->files->fdatasync(l->files->data, fd) != 0) {
        rc = err_errno(err, "%s: fdatasync", path);
    }
    l->files->close(l->files->data, fd);
    if (rc != 0) {
        l->files->unlink(l->files->data, path);
    }
    return rc;
}

/* ---- spares ---- */

/* Take a ready spare, or make one; gives its path. */
static int spare_take(struct raft_log *l, char *path, struct err *err)
{
    uint64_t id;
    bool ready;

    pthread_mutex_lock(&l->mutex);
    ready = l->spare_count > 0;
    if (ready) {
        id = l->spares[--l->spare_count];
    } else {
        id = l->spare_next++;
    }
    pthread_mutex_unlock(&l->mutex);
    spare_path(l, id, path);
    return ready ? 0 : make_zeroed(l, path, l->segment_bytes, err);
}

int raft_log_prepare(struct raft_log *l, struct err *err)
{
    char path[PATH_SIZE];
    uint64_t id = 0;
    bool make;
    int rc;

    pthread_mutex_lock(&l->mutex);
    make = l->spare_count == 0 && !l->preparing;
    if (make) {
        id = l->spare_next++;
        l->preparing = true;
    }
    pthread_mutex_unlock(&l->mutex);
    if (!make) {
        return 0;
    }
    spare_path(l, id, path);
    rc = make_zeroed(l, path, l->segment_bytes, err);
    pthread_mutex_lock(&l->mutex);
    l->preparing = false;
    if (rc == 0 && l->spare_count < RAFT_LOG_SPARES_MAX) {
        l->spares[l->spare_count++] = id;
    } else if (rc == 0) {
        l->files->unlink(l->files->data, path);
    }
    pthread_mutex_unlock(&l->mutex);
    return rc;
}

/* A segment's file is no longer needed: keep it as a spare or remove it. */
static int recycle(struct raft_log *l, const struct segment *g, struct err *err)
{
    char from[PATH_SIZE];
    char to[PATH_SIZE];
    uint64_t id = 0;
    bool keep;

    segment_path(l, g->sequence, from);
    pthread_mutex_lock(&l->mutex);
    keep = g->bytes == l->segment_bytes && l->spare_count < RAFT_LOG_SPARES_MAX;
    if (keep) {
        id = l->spare_next++;
    }
    pthread_mutex_unlock(&l->mutex);
    if (!keep) {
        if (l->files->unlink(l->files->data, from) != 0) {
            return err_errno(err, "%s: unlink", from);
        }
        return 0;
    }
    spare_path(l, id, to);
    if (l->files->rename(l->files->data, from, to) != 0) {
        return err_errno(err, "%s: rename", from);
    }
    pthread_mutex_lock(&l->mutex);
    if (l->spare_count < RAFT_LOG_SPARES_MAX) {
        l->spares[l->spare_count++] = id;
    }
    pthread_mutex_unlock(&l->mutex);
    return 0;
}

/* ---- segments ---- */

static void show(struct raft_log *l)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < l->count; i++) {
        bytes += l->segments[i].bytes;
    }
    pthread_mutex_lock(&l->mutex);
    l->bytes = bytes;
    l->shown = l->count;
    pthread_mutex_unlock(&l->mutex);
}

/* The index below which segment @i counts: where a later one goes on. */
static uint64_t bound_of(const struct raft_log *l, size_t i)
{
    uint64_t bound = NO_BOUND;

    for (size_t j = i + 1; j < l->count; j++) {
        if (l->segments[j].first < bound) {
            bound = l->segments[j].first;
        }
    }
    return bound;
}

static int write_segment_head(struct raft_log *l, const char *path,
                              const struct segment *g, struct err *err)
{
    uint8_t *head = mem_alloc(RAFT_LOG_BLOCK);
    int fd = l->files->open(l->files->data, path, O_RDWR);
    int rc = 0;

    raft_log_head_encode(head, g->sequence, g->salt, g->first, g->bytes);
    if (fd < 0) {
        rc = err_errno(err, "%s: open", path);
    } else if (write_at(l, fd, head, RAFT_LOG_BLOCK, 0) != 0) {
        rc = err_errno(err, "%s: write", path);
    } else if (l->files->fdatasync(l->files->data, fd) != 0) {
        rc = err_errno(err, "%s: fdatasync", path);
    }
    if (fd >= 0) {
        l->files->close(l->files->data, fd);
    }
    free(head);
    return rc;
}

/* Start a segment whose first record has index @first. It is durable, name and
 * header, before any record goes into it. */
static int begin_segment(struct raft_log *l, uint64_t first,
                         uint64_t record_bytes, struct err *err)
{
    struct segment g = {
        .sequence = l->count > 0 ? l->segments[l->count - 1].sequence + 1 : 1,
        .first = first,
        .salt = rng_u64(),
        .bytes = l->segment_bytes,
    };
    char from[PATH_SIZE];
    char to[PATH_SIZE];
    int fd;
    int rc;

    if (RAFT_LOG_BLOCK + record_bytes > l->segment_bytes) {
        g.bytes = RAFT_LOG_BLOCK + record_bytes;
        pthread_mutex_lock(&l->mutex);
        spare_path(l, l->spare_next++, from);
        pthread_mutex_unlock(&l->mutex);
        rc = make_zeroed(l, from, g.bytes, err);
    } else {
        rc = spare_take(l, from, err);
    }
    if (rc == 0) {
        rc = write_segment_head(l, from, &g, err);
    }
    if (rc != 0) {
        return rc;
    }
    segment_path(l, g.sequence, to);
    if (l->files->rename(l->files->data, from, to) != 0) {
        return err_errno(err, "%s: rename", from);
    }
    rc = sync_dir(l, err);
    if (rc != 0) {
        return rc;
    }
    fd = l->files->open(l->files->data, to, O_RDWR | O_DIRECT);
    if (fd < 0) {
        return err_errno(err, "%s: open", to);
    }
    if (l->fd >= 0) {
        l->files->close(l->files->data, l->fd);
    }
    l->fd = fd;
    l->offset = RAFT_LOG_BLOCK;
    l->segments =
        mem_realloc(l->segments, (l->count + 1) * sizeof *l->segments);
    l->segments[l->count++] = g;
    show(l);
    return 0;
}

/* ---- opening ---- */

static bool parse_name(const char *name, const char *prefix, uint64_t *out)
{
    size_t skip = strlen(prefix);
    char *end;

    if (strncmp(name, prefix, skip) != 0 ||
        strlen(name + skip) != NAME_DIGITS) {
        return false;
    }
    *out = strtoull(name + skip, &end, 16);
    return *end == '\0';
}

static int by_sequence(const void *a, const void *b)
{
    const struct segment *x = a;
    const struct segment *y = b;

    return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

static void found_spare(struct raft_log *l, uint64_t id)
{
    char path[PATH_SIZE];
    struct stat st;

    if (id >= l->spare_next) {
        l->spare_next = id + 1;
    }
    spare_path(l, id, path);
    if (l->spare_count < RAFT_LOG_SPARES_MAX && stat(path, &st) == 0 &&
        (uint64_t)st.st_size == l->segment_bytes) {
        l->spares[l->spare_count++] = id;
    } else {
        l->files->unlink(l->files->data, path);
    }
}

static int list_files(struct raft_log *l, struct err *err)
{
    DIR *d = opendir(l->dir);
    struct dirent *e;

    if (d == NULL) {
        return err_errno(err, "%s: opendir", l->dir);
    }
    while ((e = readdir(d)) != NULL) {
        uint64_t n;
        if (parse_name(e->d_name, SPARE_PREFIX, &n)) {
            found_spare(l, n);
        } else if (parse_name(e->d_name, SEGMENT_PREFIX, &n)) {
            l->segments =
                mem_realloc(l->segments, (l->count + 1) * sizeof *l->segments);
            l->segments[l->count++] = (struct segment){.sequence = n};
        }
    }
    closedir(d);
    if (l->count > 0) {
        qsort(l->segments, l->count, sizeof *l->segments, by_sequence);
    }
    return 0;
}

static int read_head(struct raft_log *l, struct segment *g, struct err *err)
{
    uint8_t head[RAFT_LOG_BLOCK];
    struct raft_log_head h;
    char path[PATH_SIZE];
    struct stat st;
    ssize_t n;
    int fd;
    int rc;

    segment_path(l, g->sequence, path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return err_errno(err, "%s: open", path);
    }
    n = pread(fd, head, sizeof head, 0);
    rc = n < 0 || fstat(fd, &st) != 0 ? err_errno(err, "%s: read", path) : 0;
    close(fd);
    if (rc != 0) {
        return rc;
    }
    if (n != (ssize_t)sizeof head) {
        return err_set(err, ERR_CORRUPT, "%s: offset 0: no segment header",
                       path);
    }
    rc = raft_log_head_decode(head, &h, err);
    if (rc != 0) {
        return err_wrap(err, rc, "%s: offset 0", path);
    }
    if (h.sequence != g->sequence || h.bytes != (uint64_t)st.st_size) {
        return err_set(err, ERR_CORRUPT,
                       "%s: offset 0: header of segment %llx with %llu bytes, "
                       "the file has %lld",
                       path, (unsigned long long)h.sequence,
                       (unsigned long long)h.bytes, (long long)st.st_size);
    }
    g->first = h.first;
    g->salt = h.salt;
    g->bytes = h.bytes;
    return 0;
}

/* A whole segment in memory while it is read. */
struct scan {
    const struct segment *g;
    const uint8_t *p;
    char path[PATH_SIZE];
    uint64_t at;   /* offset of the next record */
    uint64_t next; /* its index */
};

static int load_segment(struct raft_log *l, struct scan *s, uint8_t **out,
                        struct err *err)
{
    size_t want = (size_t)s->g->bytes;
    uint8_t *p = mem_realloc(NULL, want);
    size_t have = 0;
    int fd = l->files->open(l->files->data, s->path, O_RDWR);
    int rc = 0;

    if (fd < 0) {
        rc = err_errno(err, "%s: open", s->path);
        goto err_after_alloc;
    }
    while (have < want && rc == 0) {
        ssize_t n = pread(fd, p + have, want - have, (off_t)have);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            rc = n < 0 ? err_errno(err, "%s: offset %zu: read", s->path, have)
                       : err_set(err, ERR_CORRUPT, "%s: offset %zu: file ends",
                                 s->path, have);
        } else {
            have += (size_t)n;
        }
    }
    /* What a killed process wrote last may be in the page cache alone; it is
     * about to count as stored. */
    if (rc == 0 && l->files->fdatasync(l->files->data, fd) != 0) {
        rc = err_errno(err, "%s: fdatasync", s->path);
    }
    l->files->close(l->files->data, fd);
    if (rc != 0) {
        goto err_after_alloc;
    }
    *out = p;
    return 0;

err_after_alloc:
    free(p);
    return rc;
}

/* In the last segment nothing says how far it goes. One append is written at a
 * time, and the next only after it is durable: so if a record of a later append
 * follows, the one that cannot be read had been acknowledged. */
static int check_tail(const struct scan *s, struct err *err)
{
    for (uint64_t at = s->at; at < s->g->bytes; at += RAFT_LOG_BLOCK) {
        struct raft_log_record r;
        if (raft_log_record_decode(s->p + at, s->g->bytes - at, s->g->salt,
                                   &r) &&
            r.batch > s->next) {
            return err_set(
                err, ERR_CORRUPT,
                "%s: offset %llu: record %llu is damaged, and "
                "record %llu of a later write follows at %llu",
                s->path, (unsigned long long)s->at, (unsigned long long)s->next,
                (unsigned long long)r.entry.index, (unsigned long long)at);
        }
    }
    return 0;
}

static int scan_segment(struct raft_log *l, size_t i, uint64_t after,
                        raft_log_entry_fn fn, void *arg, struct err *err)
{
    struct scan s = {.g = &l->segments[i],
                     .at = RAFT_LOG_BLOCK,
                     .next = l->segments[i].first};
    uint64_t bound = bound_of(l, i);
    uint8_t *p = NULL;
    int rc;

    segment_path(l, s.g->sequence, s.path);
    rc = load_segment(l, &s, &p, err);
    if (rc != 0) {
        return rc;
    }
    s.p = p;
    while (s.next < bound && s.at < s.g->bytes) {
        struct raft_log_record r;
        if (!raft_log_record_decode(p + s.at, s.g->bytes - s.at, s.g->salt,
                                    &r) ||
            r.entry.index != s.next) {
            break;
        }
        if (s.next > after) {
            rc = fn(arg, &r.entry, err);
            if (rc != 0) {
                goto out;
            }
        }
        l->last_read = s.next;
        s.next++;
        s.at += r.bytes;
    }
    if (bound == NO_BOUND) {
        rc = check_tail(&s, err);
    } else if ((s.next > after ? s.next : after + 1) < bound) {
        rc = err_set(err, ERR_CORRUPT,
                     "%s: offset %llu: record %llu is damaged or missing; the "
                     "log goes on with %llu in a later file",
                     s.path, (unsigned long long)s.at,
                     (unsigned long long)s.next, (unsigned long long)bound);
    }
out:
    free(p);
    return rc;
}

static int read_all(struct raft_log *l, uint64_t after, raft_log_entry_fn fn,
                    void *arg, struct err *err)
{
    uint64_t start;

    if (l->count == 0) {
        if (after > 0) {
            return err_set(err, ERR_CORRUPT,
                           "%s: there is a snapshot but no log", l->dir);
        }
        return 0;
    }
    for (size_t i = 0; i < l->count; i++) {
        int rc = read_head(l, &l->segments[i], err);
        if (rc != 0) {
            return rc;
        }
    }
    start = bound_of(l, 0) < l->segments[0].first ? bound_of(l, 0)
                                                  : l->segments[0].first;
    if (start > after + 1) {
        return err_set(err, ERR_CORRUPT,
                       "%s: the log starts with record %llu, the snapshot "
                       "ends with %llu",
                       l->dir, (unsigned long long)start,
                       (unsigned long long)after);
    }
    for (size_t i = 0; i < l->count; i++) {
        int rc;
        if (l->segments[i].first >= bound_of(l, i)) {
            continue; /* cut off, or never used */
        }
        rc = scan_segment(l, i, after, fn, arg, err);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* Recycle the segments that say true; the last one stays. */
static int drop_segments(struct raft_log *l, uint64_t below, struct err *err)
{
    size_t kept = 0;
    size_t dropped = 0;
    int rc = 0;

    for (size_t i = 0; i + 1 < l->count && rc == 0; i++) {
        uint64_t bound = bound_of(l, i);
        if (bound > below && bound > l->segments[i].first) {
            continue;
        }
        rc = recycle(l, &l->segments[i], err);
        if (rc == 0) {
            l->segments[i].bytes = 0; /* gone */
            dropped++;
        }
    }
    for (size_t i = 0; i < l->count; i++) {
        if (l->segments[i].bytes > 0) {
            l->segments[kept++] = l->segments[i];
        }
    }
    l->count = kept;
    show(l);
    return rc == 0 && dropped > 0 ? sync_dir(l, err) : rc;
}

int raft_log_open(const struct raft_log_options *options, raft_log_entry_fn fn,
                  void *arg, struct raft_log **out, struct err *err)
{
    struct raft_log *l = mem_alloc(sizeof *l);
    int rc;

    l->dir = mem_strdup(options->dir);
    l->segment_bytes = options->segment_bytes != 0 ? options->segment_bytes
                                                   : RAFT_LOG_SEGMENT_DEFAULT;
    CHECK(l->segment_bytes >= RAFT_LOG_SEGMENT_MIN);
    CHECK(l->segment_bytes % RAFT_LOG_BLOCK == 0);
    l->files = options->files != NULL ? options->files : &raft_log_files_posix;
    l->fd = -1;
    CHECK(pthread_mutex_init(&l->mutex, NULL) == 0);
    rc = list_files(l, err);
    if (rc == 0) {
        rc = read_all(l, options->after, fn, arg, err);
    }
    if (rc != 0) {
        goto err_after_alloc;
    }
    l->last = l->last_read > options->after ? l->last_read : options->after;
    rc = begin_segment(l, l->last + 1, 0, err);
    if (rc == 0) {
        rc = drop_segments(l, options->after + 1, err);
    }
    if (rc != 0) {
        goto err_after_alloc;
    }
    *out = l;
    return 0;

err_after_alloc:
    raft_log_close(l);
    return rc;
}

void raft_log_close(struct raft_log *l)
{
    if (l == NULL) {
        return;
    }
    if (l->fd >= 0) {
        l->files->close(l->files->data, l->fd);
    }
    if (l->pages != NULL) {
        mem_pages_free(l->pages, l->pages_bytes);
    }
    pthread_mutex_destroy(&l->mutex);
    free(l->segments);
    free(l->dir);
    free(l);
}

uint64_t raft_log_last(const struct raft_log *l)
{
    return l->last;
}

/* ---- appending ---- */

static uint8_t *pages(struct raft_log *l, size_t bytes)
{
    if (l->pages_bytes < bytes) {
        if (l->pages != NULL) {
            mem_pages_free(l->pages, l->pages_bytes);
        }
        l->pages = mem_pages(bytes);
        CHECK(l->pages != NULL);
        l->pages_bytes = bytes;
    }
    return l->pages;
}

/* Write entries that fit in the last segment with one pwrite and one sync. */
static int write_records(struct raft_log *l,
                         const struct raft_log_entry *entries, size_t n,
                         size_t bytes, struct err *err)
{
    const struct segment *g = &l->segments[l->count - 1];
    uint8_t *p = pages(l, bytes);
    size_t at = 0;
    char path[PATH_SIZE];

    for (size_t i = 0; i < n; i++) {
        at += raft_log_record_encode(p + at, &entries[i], g->salt,
                                     entries[0].index);
    }
    CHECK(at == bytes);
    segment_path(l, g->sequence, path);
    if (write_at(l, l->fd, p, bytes, l->offset) != 0) {
        return err_errno(err, "%s: offset %llu: write", path,
                         (unsigned long long)l->offset);
    }
    if (l->files->fdatasync(l->files->data, l->fd) != 0) {
        return err_errno(err, "%s: fdatasync", path);
    }
    l->offset += bytes;
    l->last = entries[n - 1].index;
    if (l->pages_bytes > PAGES_KEEP) {
        mem_pages_free(l->pages, l->pages_bytes);
        l->pages = NULL;
        l->pages_bytes = 0;
    }
    return 0;
}

int raft_log_append(struct raft_log *l, const struct raft_log_entry *entries,
                    size_t n, struct err *err)
{
    size_t done = 0;
    int rc = 0;

    CHECK(!l->broken);
    while (done < n && rc == 0) {
        uint64_t room = l->segments[l->count - 1].bytes - l->offset;
        size_t fit = 0;
        size_t bytes = 0;
        size_t record = 0;
        for (size_t i = done; i < n; i++) {
            CHECK(entries[i].index == l->last + 1 + (i - done));
            CHECK(entries[i].len <= RAFT_LOG_RECORD_MAX);
            record = raft_log_record_bytes(entries[i].len);
            if (bytes + record > room) {
                break;
            }
            bytes += record;
            fit++;
        }
        if (fit == 0) {
            rc = begin_segment(l, l->last + 1, record, err);
            continue;
        }
        rc = write_records(l, entries + done, fit, bytes, err);
        done += fit;
    }
    l->broken = rc != 0;
    return rc;
}

int raft_log_truncate(struct raft_log *l, uint64_t index, struct err *err)
{
    int rc;

    CHECK(!l->broken);
    CHECK(index > 0);
    if (index > l->last) {
        return 0;
    }
    rc = begin_segment(l, index, 0, err);
    if (rc == 0) {
        l->last = index - 1;
    }
    l->broken = rc != 0;
    return rc;
}

int raft_log_cut(struct raft_log *l, uint64_t index, struct err *err)
{
    int rc = 0;

    CHECK(!l->broken);
    if (index > l->last) {
        rc = begin_segment(l, index + 1, 0, err);
        if (rc == 0) {
            l->last = index;
        }
    }
    if (rc == 0) {
        rc = drop_segments(l, index + 1, err);
    }
    l->broken = rc != 0;
    return rc;
}

uint64_t raft_log_bytes(struct raft_log *l)
{
    uint64_t bytes;

    pthread_mutex_lock(&l->mutex);
    bytes = l->bytes + l->spare_count * (uint64_t)l->segment_bytes;
    pthread_mutex_unlock(&l->mutex);
    return bytes;
}

size_t raft_log_segments(struct raft_log *l)
{
    size_t n;

    pthread_mutex_lock(&l->mutex);
    n = l->shown;
    pthread_mutex_unlock(&l->mutex);
    return n;
}

size_t raft_log_spares(struct raft_log *l)
{
    size_t n;

    pthread_mutex_lock(&l->mutex);
    n = l->spare_count;
    pthread_mutex_unlock(&l->mutex);
    return n;
}

/* ---- term and vote ---- */

static void vote_path(const struct raft_log *l, const char *suffix, char *out)
{
    snprintf(out, PATH_SIZE, "%s/vote%s", l->dir, suffix);
}

int raft_vote_load(struct raft_log *l, struct raft_vote *out, struct err *err)
{
    uint8_t slots[RAFT_VOTE_SLOTS * RAFT_LOG_BLOCK];
    struct raft_vote best = {0};
    uint64_t sequence = 0;
    char path[PATH_SIZE];
    ssize_t n;
    int fd;

    vote_path(l, "", path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        *out = best;
        return 0;
    }
    if (fd < 0) {
        return err_errno(err, "%s: open", path);
    }
    n = pread(fd, slots, sizeof slots, 0);
    close(fd);
    if (n < 0) {
        return err_errno(err, "%s: read", path);
    }
    for (int i = 0; i < RAFT_VOTE_SLOTS; i++) {
        struct raft_vote v;
        uint64_t seq;
        if (n >= (i + 1) * RAFT_LOG_BLOCK &&
            raft_vote_decode(slots + i * RAFT_LOG_BLOCK, &v, &seq) &&
            seq > sequence) {
            best = v;
            sequence = seq;
        }
    }
    if (sequence == 0) {
        return err_set(err, ERR_CORRUPT,
                       "%s: offset 0: neither slot of term and vote is whole",
                       path);
    }
    l->vote_sequence = sequence;
    *out = best;
    return 0;
}

/* The first store makes the file with both slots, whole or not at all. */
static int vote_create(struct raft_log *l, const uint8_t *slot, struct err *err)
{
    char temporary[PATH_SIZE];
    char path[PATH_SIZE];
    int rc = 0;
    int fd;

    vote_path(l, ".new", temporary);
    vote_path(l, "", path);
    fd = l->files->open(l->files->data, temporary, O_RDWR | O_CREAT | O_TRUNC);
    if (fd < 0) {
        return err_errno(err, "%s: open", temporary);
    }
    for (int i = 0; i < RAFT_VOTE_SLOTS && rc == 0; i++) {
        rc =
            write_at(l, fd, slot, RAFT_LOG_BLOCK, (uint64_t)i * RAFT_LOG_BLOCK);
    }
    if (rc == 0) {
        rc = l->files->fdatasync(l->files->data, fd);
    }
    if (rc != 0) {
        rc = err_errno(err, "%s: write", temporary);
    }
    l->files->close(l->files->data, fd);
    if (rc == 0 && l->files->rename(l->files->data, temporary, path) != 0) {
        rc = err_errno(err, "%s: rename", temporary);
    }
    return rc == 0 ? sync_dir(l, err) : rc;
}

int raft_vote_store(struct raft_log *l, const struct raft_vote *v,
                    struct err *err)
{
    uint8_t *slot = mem_pages(RAFT_LOG_BLOCK);
    uint64_t sequence = l->vote_sequence + 1;
    char path[PATH_SIZE];
    int rc = 0;
    int fd;

    CHECK(slot != NULL);
    raft_vote_encode(slot, v, sequence);
    vote_path(l, "", path);
    fd = l->files->open(l->files->data, path, O_RDWR);
    if (fd < 0 && errno == ENOENT) {
        rc = vote_create(l, slot, err);
    } else if (fd < 0) {
        rc = err_errno(err, "%s: open", path);
    } else {
        if (write_at(l, fd, slot, RAFT_LOG_BLOCK,
                     sequence % RAFT_VOTE_SLOTS * RAFT_LOG_BLOCK) != 0) {
            rc = err_errno(err, "%s: write", path);
        } else if (l->files->fdatasync(l->files->data, fd) != 0) {
            rc = err_errno(err, "%s: fdatasync", path);
        }
        l->files->close(l->files->data, fd);
    }
    mem_pages_free(slot, RAFT_LOG_BLOCK);
    if (rc == 0) {
        l->vote_sequence = sequence;
    }
    return rc;
}
