#include "node/shard_store_private.h"

#include <string.h>

#include "base/check.h"
#include "base/latch.h"
#include "base/mem.h"
#include "base/text.h"

#define STEP_MIN ((uint64_t)256 << 10)
#define STEP_MAX ((uint64_t)16 << 20)
#define ZERO_BYTES ((size_t)1 << 20)

uint64_t supply_step(const struct shard_store *s)
{
    uint64_t step = s->segment_bytes / 8;

    step = step < STEP_MIN ? STEP_MIN : step;
    return step > STEP_MAX ? STEP_MAX : step;
}

/* Write zeros over [from, to) and make them durable. */
static int zero(struct shard_store *s, struct drive_file *file, uint64_t from,
                uint64_t to, struct err *err)
{
    void *pages = mem_pages(ZERO_BYTES);
    int status = 0;

    if (pages == NULL) {
        return err_set(err, ERR_FULL, "%s", err_text(ERR_NOMEM));
    }
    memset(pages, 0, ZERO_BYTES);
    while (from < to && status == 0) {
        struct iovec iov = {pages, ZERO_BYTES};
        if (to - from < ZERO_BYTES) {
            iov.iov_len = to - from;
        }
        status = s->ops->write(s->ops->data, file, &iov, 1, from, err);
        from += iov.iov_len;
    }
    if (status == 0) {
        status = s->ops->sync(s->ops->data, file, err);
    }
    mem_pages_free(pages, ZERO_BYTES);
    return status;
}

/* Space for [from, to), which @file did not have. Written zeros spare small
 * batches a turn of the file system's journal; large ones hide it, and zeros
 * would take half the drive from them. */
static int extend(struct shard_store *s, struct drive_file *file, uint64_t from,
                  uint64_t to, bool in_bulk, struct err *err)
{
    if (in_bulk && from < to) {
        return s->ops->allocate(s->ops->data, file, from, to - from, err);
    }
    return zero(s, file, from, to, err);
}

/* Free space now; lock held, let go for the call. */
static int refresh_space(struct shard_store *s, struct err *err)
{
    uint64_t free_bytes = 0;
    uint64_t size_bytes = 0;
    int status;

    pthread_mutex_unlock(&s->mutex);
    status =
        s->ops->space(s->ops->data, s->path, &free_bytes, &size_bytes, err);
    pthread_mutex_lock(&s->mutex);
    if (status == 0) {
        s->free_bytes = free_bytes;
        s->size_bytes = size_bytes;
    }
    return status;
}

static void say_full(struct shard_store *s, struct err *err)
{
    char a[TEXT_SIZE_MAX];
    char b[TEXT_SIZE_MAX];

    err_set(err, ERR_FULL, "drive %u: %s free is below the reserve of %s",
            (unsigned)s->drive, text_size_human(s->free_bytes, a),
            text_size_human(s->reserve_bytes, b));
}

static void become(struct shard_store *s, enum drive_state state,
                   const char *reason)
{
    if (s->state != DRIVE_FAILED) {
        s->state = state;
        memcpy(s->reason, reason, strlen(reason) + 1);
    }
}

/* May @bytes more be taken from the disk? Lock held. */
static int check_space(struct shard_store *s, uint64_t bytes, bool inner,
                       struct err *err)
{
    int status = refresh_space(s, err);

    if (status != 0 || inner) {
        return status;
    }
    if (s->free_bytes < s->reserve_bytes + bytes) {
        say_full(s, err);
        return ERR_FULL;
    }
    return 0;
}

/* Extend the active segment up to @end at least. Lock held, let go for I/O. */
static int grow(struct shard_store *s, uint64_t end, bool inner,
                struct err *err)
{
    struct segment *g = s->volume->active;
    uint64_t from = g->file_bytes;
    uint64_t to = from + supply_step(s);
    bool in_bulk = s->batch_bytes >= s->bulk_bytes;
    char name[SEGMENT_NAME_MAX];
    int status;

    to = to < end ? mem_round_up(end, SEGMENT_UNIT) : to;
    to = to > g->header.segment_bytes ? g->header.segment_bytes : to;
    g->refs++;
    s->growing = g;
    status = check_space(s, to - from, inner, err);
    if (status == 0) {
        pthread_mutex_unlock(&s->mutex);
        segment_name(g->number, name);
        status = extend(s, g->writer, from, to, in_bulk, err);
        if (status == ERR_FULL) {
            s->ops->truncate(s->ops->data, g->writer, from, NULL);
        }
        if (status != 0) {
            err_wrap(err, status, "drive %u: %s", (unsigned)s->drive, name);
        }
        pthread_mutex_lock(&s->mutex);
    }
    g->refs--;
    s->growing = NULL;
    pthread_cond_broadcast(&s->quiet_cond);
    if (status == 0) {
        g->file_bytes = to;
        s->volume->used_bytes += to - from;
    }
    return status;
}

static int make_file(struct shard_store *s, const char *name, uint64_t bytes,
                     bool in_bulk, struct err *err)
{
    const struct drive_ops *ops = s->ops;
    struct drive_file *file;
    int status = ops->open(ops->data, s->path, name,
                           DRIVE_CREATE | DRIVE_DIRECT, &file, err);

    if (status != 0) {
        return status;
    }
    status = extend(s, file, 0, bytes, in_bulk, err);
    ops->close(ops->data, file);
    if (status == 0) {
        status = ops->sync_dir(ops->data, s->path, err);
    }
    if (status == ERR_FULL) {
        ops->unlink(ops->data, s->path, name, NULL);
    }
    return status;
}

/* Make one more free segment. Lock held, let go for I/O. */
static int make_segment(struct shard_store *s, bool inner, struct err *err)
{
    struct volume *v = s->volume;
    uint64_t bytes = supply_step(s);
    bool in_bulk = s->batch_bytes >= s->bulk_bytes;
    char name[SEGMENT_NAME_MAX];
    struct segment *g;
    int status = check_space(s, bytes, inner, err);

    if (status != 0) {
        return status;
    }
    g = volume_add_segment(v, volume_unused_number(v));
    pthread_mutex_unlock(&s->mutex);
    segment_name(g->number, name);
    status = make_file(s, name, bytes, in_bulk, err);
    if (status != 0) {
        err_wrap(err, status, "drive %u: %s", (unsigned)s->drive, name);
    }
    pthread_mutex_lock(&s->mutex);
    if (status != 0) {
        volume_drop_segment(v, g);
        return status;
    }
    g->file_bytes = bytes;
    volume_push_free(v, g);
    return 0;
}

/* What the writer will need soon, though it has not asked yet. */
static enum supply_demand foresee(const struct shard_store *s)
{
    const struct segment *g = s->volume->active;
    uint64_t near;

    if (g == NULL) {
        return SUPPLY_NONE;
    }
    near = g->tail + supply_step(s) / 2;
    if (g->file_bytes < g->header.segment_bytes) {
        return near > g->file_bytes ? SUPPLY_GROW : SUPPLY_NONE;
    }
    return near > g->header.segment_bytes && s->volume->free_count == 0
               ? SUPPLY_SEGMENT
               : SUPPLY_NONE;
}

/* Lock held. */
static void supply(struct shard_store *s, enum supply_demand what, bool asked)
{
    struct err err = {{0}};
    bool inner = asked && s->demand_inner;
    int status;

    s->supply_busy = true;
    status = what == SUPPLY_GROW
                 ? grow(s, asked ? s->demand_end : 0, inner, &err)
                 : make_segment(s, inner, &err);
    s->supply_busy = false;
    pthread_cond_broadcast(&s->quiet_cond);
    if (status == ERR_FULL) {
        become(s, DRIVE_FULL, err.text);
    } else if (store_is_fatal(status)) {
        store_fail_locked(s, &err);
    } else if (status == 0 && s->state == DRIVE_FULL && !inner) {
        become(s, DRIVE_UP, "");
    }
    if (asked) {
        s->denied = status;
        s->denied_err = err;
        s->demand = SUPPLY_NONE;
        pthread_cond_signal(&s->supplied_cond);
    }
}

/* Once a second: the free space, and whether a full drive is full still. */
static void watch(struct shard_store *s)
{
    struct err err;

    s->supply_busy = true;
    if (refresh_space(s, &err) == 0 && s->state == DRIVE_FULL &&
        s->free_bytes >= s->reserve_bytes + supply_step(s)) {
        become(s, DRIVE_UP, "");
    }
    s->supply_busy = false;
    pthread_cond_broadcast(&s->quiet_cond);
}

void *supply_main(void *arg)
{
    struct shard_store *s = arg;

    pthread_mutex_lock(&s->mutex);
    while (!s->supply_stop) {
        enum supply_demand next = SUPPLY_NONE;
        bool up = s->volume != NULL && s->state != DRIVE_FAILED;
        if (up && s->demand != SUPPLY_NONE) {
            supply(s, s->demand, true);
            continue;
        }
        if (up && s->state == DRIVE_UP) {
            next = foresee(s);
        }
        if (next != SUPPLY_NONE) {
            supply(s, next, false);
            continue;
        }
        if (!latch_cond_wait(&s->supply_cond, &s->mutex, RESERVE_CHECK_MS) &&
            s->volume != NULL && s->state != DRIVE_FAILED) {
            watch(s);
        }
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

void supply_trim(struct shard_store *s, unsigned keep)
{
    pthread_mutex_lock(&s->mutex);
    while (s->volume->free_count > keep && s->state != DRIVE_FAILED) {
        struct segment *g = volume_pop_free(s->volume);
        char name[SEGMENT_NAME_MAX];
        struct err err;
        int status;
        segment_name(g->number, name);
        pthread_mutex_unlock(&s->mutex);
        status = s->ops->unlink(s->ops->data, s->path, name, &err);
        pthread_mutex_lock(&s->mutex);
        if (status != 0) {
            volume_push_free(s->volume, g);
            if (store_is_fatal(status)) {
                store_fail_locked(s, &err);
            }
            break;
        }
        volume_drop_segment(s->volume, g);
    }
    pthread_mutex_unlock(&s->mutex);
}
