#include "meta/raft_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "meta/raft_log_format.h"
#include "meta/raft_log_internal.h"

#define PAGES_KEEP (1u << 20) /* a larger write buffer is not kept */
#define ZERO_STEP (1u << 20)

/* ---- files ---- */

int raft_log_write_at(struct raft_log *l, int fd, const void *p, size_t n,
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

void raft_log_segment_path(const struct raft_log *l, uint64_t sequence,
                           char *out)
{
    snprintf(out, RAFT_LOG_PATH_MAX, "%s/" RAFT_LOG_SEGMENT_PREFIX "%016llx",
             l->dir, (unsigned long long)sequence);
}

void raft_log_spare_path(const struct raft_log *l, uint64_t id, char *out)
{
    snprintf(out, RAFT_LOG_PATH_MAX, "%s/" RAFT_LOG_SPARE_PREFIX "%016llx",
             l->dir, (unsigned long long)id);
}

int raft_log_sync_dir(struct raft_log *l, struct err *err)
{
    if (l->files->sync_dir(l->files->data, l->dir) != 0) {
        return err_errno(err, "%s: fsync", l->dir);
    }
    return 0;
}

/* Write @bytes zeros over the file, durably but for its name. */
static int write_zeros(struct raft_log *l, const char *path, int flags,
                       uint64_t bytes, struct err *err)
{
    int fd = l->files->open(l->files->data, path, O_RDWR | flags);
    uint8_t *zeros;
    int rc = 0;

    if (fd < 0) {
        return err_errno(err, "%s: open", path);
    }
    zeros = mem_alloc(ZERO_STEP);
    for (uint64_t at = 0; at < bytes && rc == 0; at += ZERO_STEP) {
        uint64_t left = bytes - at;
        rc = raft_log_write_at(l, fd, zeros,
                               left < ZERO_STEP ? (size_t)left : ZERO_STEP, at);
    }
    free(zeros);
    if (rc != 0) {
        rc = err_errno(err, "%s: write", path);
    } else if (l->files->fdatasync(l->files->data, fd) != 0) {
        rc = err_errno(err, "%s: fdatasync", path);
    }
    l->files->close(l->files->data, fd);
    return rc;
}

static int make_zeroed(struct raft_log *l, const char *path, uint64_t bytes,
                       struct err *err)
{
    int rc = write_zeros(l, path, O_CREAT | O_TRUNC, bytes, err);

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
    raft_log_spare_path(l, id, path);
    return ready ? 0 : make_zeroed(l, path, l->segment_bytes, err);
}

int raft_log_prepare(struct raft_log *l, struct err *err)
{
    char path[RAFT_LOG_PATH_MAX];
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
    raft_log_spare_path(l, id, path);
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

static void spare_give(struct raft_log *l, uint64_t id)
{
    pthread_mutex_lock(&l->mutex);
    if (l->spare_count < RAFT_LOG_SPARES_MAX) {
        l->spares[l->spare_count++] = id;
    }
    pthread_mutex_unlock(&l->mutex);
}

/* A segment's file is no longer needed: keep it as a spare or remove it. What
 * is to be forgotten gets another name before it is written over, as a start
 * would miss it by its old one. */
static int recycle(struct raft_log *l, const struct raft_log_segment *g,
                   struct err *err)
{
    char from[RAFT_LOG_PATH_MAX];
    char to[RAFT_LOG_PATH_MAX];
    bool forget = g->sequence <= l->forget;
    uint64_t id;
    bool keep;
    int rc = 0;

    raft_log_segment_path(l, g->sequence, from);
    pthread_mutex_lock(&l->mutex);
    keep = g->bytes == l->segment_bytes && l->spare_count < RAFT_LOG_SPARES_MAX;
    id = l->spare_next++;
    pthread_mutex_unlock(&l->mutex);
    raft_log_spare_path(l, id, to);
    if (l->files->rename(l->files->data, from, to) != 0) {
        return err_errno(err, "%s: rename", from);
    }
    if (forget) {
        rc = raft_log_sync_dir(l, err);
    }
    if (rc == 0 && forget) {
        rc = write_zeros(l, to, 0, g->bytes, err);
    }
    if (rc == 0 && !keep && l->files->unlink(l->files->data, to) != 0) {
        rc = err_errno(err, "%s: unlink", to);
    }
    if (rc == 0 && keep) {
        spare_give(l, id);
    }
    return rc;
}

/* What spares were recycled may have is written over. */
static int wipe_spares(struct raft_log *l, struct err *err)
{
    uint64_t ids[RAFT_LOG_SPARES_MAX];
    char path[RAFT_LOG_PATH_MAX];
    size_t count;
    int rc = 0;

    pthread_mutex_lock(&l->mutex);
    count = l->spare_count;
    memcpy(ids, l->spares, count * sizeof ids[0]);
    l->spare_count = 0;
    pthread_mutex_unlock(&l->mutex);
    for (size_t i = 0; i < count && rc == 0; i++) {
        raft_log_spare_path(l, ids[i], path);
        rc = write_zeros(l, path, 0, l->segment_bytes, err);
        if (rc == 0) {
            spare_give(l, ids[i]);
        }
    }
    return rc;
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
    l->shown_first = l->count > 0 ? l->segments[0].sequence : 0;
    pthread_mutex_unlock(&l->mutex);
}

uint64_t raft_log_bound_of(const struct raft_log *l, size_t i)
{
    uint64_t bound = RAFT_LOG_NO_BOUND;

    for (size_t j = i + 1; j < l->count; j++) {
        if (l->segments[j].first < bound) {
            bound = l->segments[j].first;
        }
    }
    return bound;
}

static int write_segment_head(struct raft_log *l, const char *path,
                              const struct raft_log_segment *g, struct err *err)
{
    uint8_t *head = mem_alloc(RAFT_LOG_BLOCK);
    int fd = l->files->open(l->files->data, path, O_RDWR);
    int rc = 0;

    raft_log_head_encode(head, g->sequence, g->salt, g->first, g->bytes);
    if (fd < 0) {
        rc = err_errno(err, "%s: open", path);
    } else if (raft_log_write_at(l, fd, head, RAFT_LOG_BLOCK, 0) != 0) {
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
    struct raft_log_segment g = {
        .sequence = l->count > 0 ? l->segments[l->count - 1].sequence + 1 : 1,
        .first = first,
        .salt = rng_u64(),
        .bytes = l->segment_bytes,
    };
    char from[RAFT_LOG_PATH_MAX];
    char to[RAFT_LOG_PATH_MAX];
    int fd;
    int rc;

    if (RAFT_LOG_BLOCK + record_bytes > l->segment_bytes) {
        g.bytes = RAFT_LOG_BLOCK + record_bytes;
        pthread_mutex_lock(&l->mutex);
        raft_log_spare_path(l, l->spare_next++, from);
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
    raft_log_segment_path(l, g.sequence, to);
    if (l->files->rename(l->files->data, from, to) != 0) {
        return err_errno(err, "%s: rename", from);
    }
    rc = raft_log_sync_dir(l, err);
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

/* Recycle the segments that say true; the last one stays. */
static int drop_segments(struct raft_log *l, uint64_t below, struct err *err)
{
    size_t kept = 0;
    size_t dropped = 0;
    int rc = 0;

    for (size_t i = 0; i + 1 < l->count && rc == 0; i++) {
        uint64_t bound = raft_log_bound_of(l, i);
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
    return rc == 0 && dropped > 0 ? raft_log_sync_dir(l, err) : rc;
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
    rc = raft_log_list(l, err);
    if (rc == 0) {
        rc = raft_log_read(l, options->after, fn, arg, err);
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
    const struct raft_log_segment *g = &l->segments[l->count - 1];
    uint8_t *p = pages(l, bytes);
    size_t at = 0;
    char path[RAFT_LOG_PATH_MAX];

    for (size_t i = 0; i < n; i++) {
        at += raft_log_record_encode(p + at, &entries[i], g->salt,
                                     entries[0].index);
    }
    CHECK(at == bytes);
    raft_log_segment_path(l, g->sequence, path);
    if (raft_log_write_at(l, l->fd, p, bytes, l->offset) != 0) {
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

int raft_log_forget(struct raft_log *l, struct err *err)
{
    uint64_t sequence = l->segments[l->count - 1].sequence;
    int rc;

    CHECK(!l->broken);
    rc = wipe_spares(l, err);
    if (rc == 0) {
        rc = begin_segment(l, l->last + 1, 0, err);
    }
    l->broken = rc != 0;
    pthread_mutex_lock(&l->mutex);
    l->forget = sequence;
    pthread_mutex_unlock(&l->mutex);
    return rc;
}

bool raft_log_forgot(struct raft_log *l)
{
    bool forgot;

    pthread_mutex_lock(&l->mutex);
    forgot = l->shown_first > l->forget;
    pthread_mutex_unlock(&l->mutex);
    return forgot;
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
