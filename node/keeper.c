#include "node/shard_store_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/latch.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/drive_identity.h"

#define SMALL_DISK ((uint64_t)4 << 40)
#define SEGMENT_BYTES_SMALL ((uint64_t)64 << 20)
#define SEGMENT_BYTES_LARGE ((uint64_t)256 << 20)
#define TICK_MS_MIN 10
#define TICK_MS_MAX 1000

void store_fail_locked(struct shard_store *s, const struct err *why)
{
    char drive[16];

    if (s->state == DRIVE_FAILED) {
        return;
    }
    s->state = DRIVE_FAILED;
    memcpy(s->reason, why->text, sizeof s->reason);
    snprintf(drive, sizeof drive, "%u", (unsigned)s->drive);
    log_line(LOG_ERROR, "drive failed; it is probed until it answers again",
             "drive", drive, "path", s->path, "err", s->reason, NULL);
    pthread_cond_broadcast(&s->writer_cond);
    pthread_cond_broadcast(&s->supplied_cond);
    pthread_cond_broadcast(&s->keeper_cond);
    pthread_cond_broadcast(&s->quiet_cond);
}

void store_fail(struct shard_store *s, const struct err *why)
{
    pthread_mutex_lock(&s->mutex);
    store_fail_locked(s, why);
    pthread_mutex_unlock(&s->mutex);
}

bool store_is_fatal(int status)
{
    return status != 0 && status != ERR_BUSY && status != ERR_NOMEM;
}

int store_failed(struct shard_store *s, struct err *err)
{
    return err_set(err, ERR_IO, "drive %u: %.280s", (unsigned)s->drive,
                   s->reason);
}

bool store_idle(const struct shard_store *s)
{
    return clock_mono_ms() - s->write_ms >= IDLE_MS;
}

int store_attach(struct shard_store *s, bool first, struct err *err)
{
    uint64_t free_bytes = 0;
    uint64_t size_bytes = 0;
    struct volume *v;
    bool made = false;
    int status = 0;

    if (first) {
        status = s->ops->make_dir(s->ops->data, s->path, err);
    }
    if (status == 0) {
        status =
            recovery_open(s->ops, s->path, s->drive, s->cluster,
                          s->failed_opens >= TOLERATE_AFTER, &v, &made, err);
    }
    if (status != 0) {
        s->failed_opens++;
        return err_wrap(err, status, "%s", s->path);
    }
    if (s->ops->space(s->ops->data, s->path, &free_bytes, &size_bytes, NULL) !=
        0) {
        free_bytes = 0;
    }
    if (made && !first) {
        log_line(LOG_WARN, "drive came back empty and begins anew", "path",
                 s->path, NULL);
    }
    pthread_mutex_lock(&s->mutex);
    s->failed_opens = 0;
    s->volume = v;
    s->free_bytes = free_bytes;
    s->size_bytes = size_bytes;
    s->segment_bytes = s->segment_bytes_option;
    if (s->segment_bytes == 0) {
        s->segment_bytes =
            size_bytes > SMALL_DISK ? SEGMENT_BYTES_LARGE : SEGMENT_BYTES_SMALL;
    }
    s->state = DRIVE_UP;
    s->reason[0] = '\0';
    s->probe_ms = clock_mono_ms();
    s->demand = SUPPLY_NONE;
    pthread_mutex_unlock(&s->mutex);
    return 0;
}

/* Where the footer goes and how long the file is then: a file that is nearly
 * full keeps its size, so that it need not be zeroed again. */
static uint64_t footer_place(const struct segment *g, uint64_t *file_bytes)
{
    uint64_t footer = segment_footer_bytes(g->count);
    uint64_t end = g->tail + footer;

    *file_bytes = end;
    if (end <= g->file_bytes && end > g->file_bytes - g->file_bytes / 4) {
        *file_bytes = g->file_bytes;
    }
    return *file_bytes - footer;
}

static int write_footer(struct shard_store *s, struct segment *g,
                        uint64_t *file_bytes, struct err *err)
{
    const struct drive_ops *ops = s->ops;
    uint64_t place = footer_place(g, file_bytes);
    struct iovec iov = {.iov_len = segment_footer_bytes(g->count)};
    char name[SEGMENT_NAME_MAX];
    int status = 0;

    segment_name(g->number, name);
    if (g->writer == NULL) {
        status = ops->open(ops->data, s->path, name, DRIVE_WRITE | DRIVE_DIRECT,
                           &g->writer, err);
        if (status != 0) {
            return err_wrap(err, status, "%s", name);
        }
    }
    iov.iov_base = mem_pages(iov.iov_len);
    if (iov.iov_base == NULL) {
        return err_set(err, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
    }
    segment_footer_encode(&g->header, g->tail, g->entries, g->count,
                          iov.iov_base);
    status = ops->write(ops->data, g->writer, &iov, 1, place, err);
    if (status == 0 && *file_bytes < g->file_bytes) {
        status = ops->truncate(ops->data, g->writer, *file_bytes, err);
    }
    if (status == 0) {
        status = ops->sync(ops->data, g->writer, err);
    }
    mem_pages_free(iov.iov_base, iov.iov_len);
    return status == 0 ? 0 : err_wrap(err, status, "footer of %s", name);
}

void keeper_seal_retired(struct shard_store *s)
{
    struct err err = {{0}};

    pthread_mutex_lock(&s->mutex);
    while (s->state != DRIVE_FAILED && !list_empty(&s->volume->retired)) {
        struct volume *v = s->volume;
        struct segment *g = LIST_OF(v->retired.next, struct segment, node);
        struct drive_file *writer;
        uint64_t file_bytes = g->file_bytes;
        int status;
        while (s->growing == g) {
            pthread_cond_wait(&s->quiet_cond, &s->mutex);
        }
        pthread_mutex_unlock(&s->mutex);
        status = write_footer(s, g, &file_bytes, &err);
        pthread_mutex_lock(&s->mutex);
        if (store_is_fatal(status) && status != ERR_FULL) {
            store_fail_locked(s, &err);
        }
        if (status != 0 && status != ERR_FULL) {
            break; /* tried again later */
        }
        if (status == 0) { /* without a footer it is scanned when needed */
            v->used_bytes += file_bytes - g->file_bytes;
            g->file_bytes = file_bytes;
        }
        list_remove(&g->node);
        g->state = SEGMENT_SEALED;
        free(g->entries);
        g->entries = NULL;
        g->count = g->cap = 0;
        writer = g->writer;
        g->writer = NULL;
        pthread_mutex_unlock(&s->mutex);
        s->ops->close(s->ops->data, writer);
        pthread_mutex_lock(&s->mutex);
    }
    pthread_mutex_unlock(&s->mutex);
}

/* A folder that was removed or replaced takes writes as before through the
 * open files; its identity tells. */
static void probe(struct shard_store *s)
{
    struct err err = {{0}};
    int status;

    if (clock_mono_ms() - s->probe_ms < PROBE_MS) {
        return;
    }
    status = drive_identity_check(s->ops, s->path, s->drive, s->cluster, &err);
    if (status == ERR_NOT_FOUND) {
        err_wrap(&err, status, "the drive's folder is gone");
    }
    if (store_is_fatal(status)) {
        store_fail(s, &err);
    }
    s->probe_ms = clock_mono_ms();
}

void keeper_housekeeping(struct shard_store *s)
{
    probe(s);
    keeper_seal_retired(s);
}

static bool running(const struct shard_store *s)
{
    return !s->keeper_stop && s->state != DRIVE_FAILED;
}

bool keeper_pause(struct shard_store *s, uint64_t ms)
{
    uint64_t end = clock_mono_ms() + ms;
    bool go_on;

    pthread_mutex_lock(&s->mutex);
    while (running(s) && clock_mono_ms() < end) {
        uint64_t left = end - clock_mono_ms();
        latch_cond_wait(&s->keeper_cond, &s->mutex,
                        left > PROBE_MS ? PROBE_MS : left);
        pthread_mutex_unlock(&s->mutex);
        keeper_housekeeping(s);
        pthread_mutex_lock(&s->mutex);
    }
    go_on = running(s);
    pthread_mutex_unlock(&s->mutex);
    return go_on;
}

/* Lock held: all but the keeper have let go of the volume; false when the
 * keeper must end first. */
static bool wait_quiet(struct shard_store *s)
{
    while (!s->keeper_stop &&
           (s->writer_busy || s->supply_busy || s->gets_busy > 0)) {
        pthread_cond_wait(&s->quiet_cond, &s->mutex);
    }
    return !s->keeper_stop;
}

/* Lock held, let go for I/O: a failed drive is taken down and probed. */
static void revive(struct shard_store *s)
{
    struct volume *v;
    struct err err = {{0}};
    char drive[16];
    int status;

    if (!wait_quiet(s)) {
        return;
    }
    v = s->volume;
    s->volume = NULL;
    pthread_mutex_unlock(&s->mutex);
    volume_free(v);
    status = store_attach(s, false, &err);
    if (status == 0) {
        snprintf(drive, sizeof drive, "%u", (unsigned)s->drive);
        log_line(LOG_INFO, "drive is up again", "drive", drive, "path", s->path,
                 NULL);
    }
    pthread_mutex_lock(&s->mutex);
    if (status != 0) {
        memcpy(s->reason, err.text, sizeof s->reason);
        if (!s->keeper_stop) {
            latch_cond_wait(&s->keeper_cond, &s->mutex, PROBE_MS);
        }
    }
}

static uint64_t tick_ms(const struct shard_store *s)
{
    uint64_t ms = s->scrub_interval_ms / 16;

    if (ms == 0 || ms > TICK_MS_MAX) {
        return TICK_MS_MAX;
    }
    return ms < TICK_MS_MIN ? TICK_MS_MIN : ms;
}

/* All that is due, once. No lock held. */
static void work(struct shard_store *s, bool asked)
{
    bool idle;

    keeper_housekeeping(s);
    while (compact_round(s, asked)) {
        keeper_housekeeping(s);
    }
    pthread_mutex_lock(&s->mutex);
    idle = store_idle(s) || asked;
    pthread_mutex_unlock(&s->mutex);
    /* Who writes again gets a new one made ahead of him, step by step. */
    supply_trim(s, idle ? 0 : FREE_SEGMENTS_KEPT);
    scrub_round(s);
}

void *keeper_main(void *arg)
{
    struct shard_store *s = arg;

    pthread_mutex_lock(&s->mutex);
    while (!s->keeper_stop) {
        bool asked = s->compact_asked;
        if (s->state == DRIVE_FAILED) {
            revive(s);
            continue;
        }
        pthread_mutex_unlock(&s->mutex);
        work(s, asked);
        pthread_mutex_lock(&s->mutex);
        if (asked) {
            s->compact_asked = false;
            pthread_cond_broadcast(&s->quiet_cond);
        }
        if (running(s) && !s->compact_asked) {
            latch_cond_wait(&s->keeper_cond, &s->mutex, tick_ms(s));
        }
    }
    s->compact_asked = false;
    pthread_cond_broadcast(&s->quiet_cond);
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}
