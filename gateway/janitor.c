/* Background work of one server: garbage, abandoned uploads, orphans, lost
 * shards, strays, and idle memory. One thread; garbage every gc_interval_ms. In
 * a cluster garbage and uploads are seen to where the catalogue is led, the
 * rest by each server for its own drives.
 *
 * Garbage: runs that the catalogue no longer names since gc_delay_ms are
 * deleted from the drives first and forgotten by the catalogue after; a crash
 * between leaves rows whose shards are gone, and deleting again is no error.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/latch.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/pool.h"
#include "cluster/cluster.h"
#include "gateway/gateway_internal.h"
#include "meta/meta.h"
#include "object/object_gc.h"
#include "object/object_mend.h"
#include "object/object_move.h"

#define BATCH 1000
#define ORPHANS_EVERY_MS ((uint64_t)60000)
#define UPLOADS_EVERY_MS ((uint64_t)60000)
#define STRAYS_EVERY_MS ((uint64_t)2000) /* while there are some */
#define MEND_EVERY_MS ((uint64_t)500)    /* asking costs nothing */
#define CLOCK_EVERY_MS ((uint64_t)15000)
#define COMPLAIN_EVERY_MS ((uint64_t)86400000)

struct janitor {
    struct gateway *gateway;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards stopping */
    pthread_cond_t cond;
    bool stopping;
    uint64_t garbage_at_ms, orphans_at_ms, uploads_at_ms, strays_at_ms;
    uint64_t clock_at_ms, complain_at_ms;
    bool left_out;          /* of the first walk of a mend */
    uint32_t settled_epoch; /* of the layout that has no strays here */
    struct metric *garbage_runs, *uploads_aborted, *orphan_shards;
};

static bool stopping(struct janitor *j)
{
    bool stop;

    pthread_mutex_lock(&j->mutex);
    stop = j->stopping;
    pthread_mutex_unlock(&j->mutex);
    return stop;
}

/* One batch; gives how many runs were collected. */
static size_t collect_batch(struct janitor *j)
{
    struct gateway *g = j->gateway;
    struct meta_garbage *rows = NULL;
    uint64_t ids[BATCH];
    size_t count = 0, done = 0;
    struct buf command = {0};
    struct err err = {{0}};
    uint64_t now = clock_real_ms();
    uint64_t before =
        now > g->options->gc_delay_ms ? now - g->options->gc_delay_ms : 0;

    if (meta_garbage_list(g->meta, before, BATCH, &rows, &count, &err) != 0) {
        log_errf(LOG_WARN, "garbage", "%s", err.text);
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        int rc = object_delete(g->objects, rows[i].manifest,
                               rows[i].manifest_len, &err);
        if (rc != 0) {
            log_errf(LOG_WARN, "garbage", "%s", err.text);
        }
        ids[done++] = rows[i].id;
        meta_garbage_free(&rows[i]);
    }
    free(rows);
    if (done > 0) {
        command_garbage_done(&command, ids, done);
        if (meta_propose_wait(g->meta, &command, NULL, &err) != 0) {
            log_errf(LOG_WARN, "garbage", "%s", err.text);
            done = 0;
        }
        buf_free(&command);
        metric_add(j->garbage_runs, done);
    }
    return done;
}

static void abort_old_uploads(struct janitor *j)
{
    struct gateway *g = j->gateway;
    uint64_t now = clock_real_ms();
    struct meta_upload *uploads = NULL;
    size_t count = 0;
    struct err err = {{0}};

    if (now < g->options->upload_expiry_ms ||
        meta_uploads_older(g->meta, now - g->options->upload_expiry_ms, BATCH,
                           &uploads, &count, &err) != 0) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct buf command = {0};
        command_upload_abort(&command, uploads[i].bucket, uploads[i].key,
                             uploads[i].id, now);
        if (meta_propose_wait(g->meta, &command, NULL, &err) == 0) {
            metric_add(j->uploads_aborted, 1);
        }
        buf_free(&command);
        meta_upload_free(&uploads[i]);
    }
    free(uploads);
}

static bool run_known(void *arg, uint64_t hi, uint64_t lo)
{
    struct janitor *j = arg;
    struct gateway *g = j->gateway;

    /* In this order: a put that had ended when its server was asked is in the
     * catalogue by then. */
    return meta_run_known(g->meta, hi, lo) ||
           (g->cluster != NULL && (cluster_put_in_flight(g->cluster, hi, lo) ||
                                   meta_run_known(g->meta, hi, lo)));
}

static bool mend_one(void *arg, const char *bucket, const char *key,
                     uint32_t part, const void *manifest, size_t len)
{
    struct janitor *j = arg;

    (void)bucket;
    (void)key;
    (void)part;
    object_mend(j->gateway->objects, manifest, len);
    return !stopping(j);
}

static bool mend_urgent(void *arg, const char *bucket, const char *key,
                        uint32_t part, const void *manifest, size_t len)
{
    struct janitor *j = arg;

    (void)bucket;
    (void)key;
    (void)part;
    if (object_mend_urgent(j->gateway->objects, manifest, len)) {
        j->left_out = true;
    }
    return !stopping(j);
}

/* A drive came up, or scrub found damage: look through everything. */
static void mend(struct janitor *j)
{
    struct meta *m = j->gateway->meta;
    struct err err = {{0}};
    int rc;

    if (!object_mend_wanted(j->gateway->objects)) {
        return;
    }
    j->left_out = false;
    rc = meta_each_manifest(m, mend_urgent, j, &err);
    if (rc == 0 && j->left_out && !stopping(j)) {
        rc = meta_each_manifest(m, mend_one, j, &err);
    }
    if (rc != 0) {
        log_errf(LOG_WARN, "mend", "%s", err.text);
    }
}

/* Shards that the layout has elsewhere by now. Looked for while there are some
 * since the layout changed, and with the orphans: who still knew an older
 * layout may have put some here. */
static void settle(struct janitor *j, bool anyway)
{
    struct gateway *g = j->gateway;
    uint32_t own = g->cluster != NULL ? cluster_epoch(g->cluster) : 0;
    struct buf layout = {0};
    uint32_t epoch = 0;
    uint64_t strays;

    if ((!anyway && own == j->settled_epoch) ||
        meta_layout(g->meta, &epoch, &layout, NULL) != 0) {
        return;
    }
    buf_free(&layout);
    if (g->cluster != NULL && epoch != own) {
        return; /* not heard of yet */
    }
    strays = object_settle(g->objects);
    j->settled_epoch = strays == 0 ? own : UINT32_MAX;
    if (strays > 0) {
        log_errf(LOG_INFO, "strays", "%llu shards are handed on",
                 (unsigned long long)strays);
    }
}

#define TOLD_AGAIN_MS 1000

struct telling {
    struct meta_proposal proposal;
    struct buf command;
};

static void told(struct meta_proposal *p)
{
    struct telling *t = LIST_OF(p, struct telling, proposal);

    buf_free(&t->command);
    free(t);
}

void janitor_tell_time(struct gateway *g)
{
    struct command_clock vote = {.time_ms = clock_vouch_ms()};
    uint64_t now = clock_mono_ms();
    unsigned long long last = atomic_load(&g->told_ms);
    struct telling *t;

    if (g->cluster != NULL || now - last < TOLD_AGAIN_MS ||
        !atomic_compare_exchange_strong(&g->told_ms, &last, now)) {
        return;
    }
    t = mem_alloc(sizeof *t);
    command_clock_vote(&t->command, &vote, 1);
    t->proposal.command = t->command.data;
    t->proposal.command_len = t->command.len;
    t->proposal.done = told;
    meta_propose(g->meta, &t->proposal);
}

/* Alone: what time it is for retention; in a cluster the leader's keeper asks
 * all (cluster/keeper.c). */
static void tell_time(struct janitor *j, uint64_t now)
{
    struct command_clock vote = {.time_ms = clock_vouch_ms()};
    uint64_t real = clock_real_ms();
    struct buf command = {0};

    if (j->gateway->cluster == NULL) {
        command_clock_vote(&command, &vote, 1);
        meta_propose_wait(j->gateway->meta, &command, NULL, NULL);
        buf_free(&command);
    }
    if (real > vote.time_ms && now >= j->complain_at_ms) {
        log_errf(LOG_WARN, "clock set ahead",
                 "by %llu s since this server started; retention does not "
                 "follow it before a restart",
                 (unsigned long long)(real - vote.time_ms) / 1000);
        j->complain_at_ms = now + COMPLAIN_EVERY_MS;
    }
    j->clock_at_ms = now + CLOCK_EVERY_MS;
}

static uint64_t at_most(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void round_of(struct janitor *j)
{
    const struct server_options *o = j->gateway->options;
    uint64_t now = clock_mono_ms();
    bool leader = gateway_leads(j->gateway);

    if (now >= j->clock_at_ms) {
        tell_time(j, now);
    }
    if (leader && now >= j->garbage_at_ms) {
        while (!stopping(j) && collect_batch(j) == BATCH) {
        }
        j->garbage_at_ms = now + o->gc_interval_ms;
    }
    if (leader && !stopping(j) && now >= j->uploads_at_ms) {
        abort_old_uploads(j);
        j->uploads_at_ms = now + at_most(UPLOADS_EVERY_MS, o->upload_expiry_ms);
    }
    if (!stopping(j) && now >= j->orphans_at_ms) {
        uint64_t n = object_collect_orphans(j->gateway->objects, run_known, j);
        metric_add(j->orphan_shards, n);
        if (n > 0) {
            log_errf(LOG_INFO, "orphans", "%llu shards collected",
                     (unsigned long long)n);
        }
        j->orphans_at_ms =
            now + at_most(ORPHANS_EVERY_MS, o->orphan_age_ms + 1);
        settle(j, true);
    }
    if (!stopping(j) && now >= j->strays_at_ms) {
        settle(j, false);
        j->strays_at_ms = now + STRAYS_EVERY_MS;
    }
    if (!stopping(j)) {
        mend(j);
    }
    if (pool_used(j->gateway->pool) == 0) {
        pool_trim(j->gateway->pool);
    }
}

static void *janitor_main(void *arg)
{
    struct janitor *j = arg;

    while (!stopping(j)) {
        round_of(j);
        pthread_mutex_lock(&j->mutex);
        if (!j->stopping) {
            latch_cond_wait(
                &j->cond, &j->mutex,
                at_most(j->gateway->options->gc_interval_ms, MEND_EVERY_MS));
        }
        pthread_mutex_unlock(&j->mutex);
    }
    return NULL;
}

struct janitor *janitor_start(struct gateway *g)
{
    struct janitor *j = mem_alloc(sizeof *j);

    j->gateway = g;
    j->garbage_runs = metric_counter("godwit_garbage_runs_total", NULL,
                                     "Runs of chunks deleted from drives.");
    j->uploads_aborted =
        metric_counter("godwit_uploads_expired_total", NULL,
                       "Unfinished multipart uploads aborted by age.");
    j->orphan_shards = metric_counter("godwit_orphan_shards_total", NULL,
                                      "Shards collected that nothing named.");
    CHECK(pthread_mutex_init(&j->mutex, NULL) == 0);
    latch_cond_init(&j->cond);
    CHECK(pthread_create(&j->thread, NULL, janitor_main, j) == 0);
    pthread_setname_np(j->thread, "janitor");
    return j;
}

void janitor_stop(struct janitor *j)
{
    if (j == NULL) {
        return;
    }
    pthread_mutex_lock(&j->mutex);
    j->stopping = true;
    pthread_cond_signal(&j->cond);
    pthread_mutex_unlock(&j->mutex);
    pthread_join(j->thread, NULL);
    pthread_cond_destroy(&j->cond);
    pthread_mutex_destroy(&j->mutex);
    free(j);
}
