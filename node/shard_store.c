#include "node/shard_store.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/latch.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/shard_store_private.h"

#define READER_THREADS 2
#define COMPACT_BYTES_PER_S ((uint64_t)64 << 20)
#define BULK_BYTES ((uint64_t)256 << 10)

static struct shard_store *store_new(const struct shard_store_options *o)
{
    struct shard_store *s = mem_alloc(sizeof *s);

    s->ops = o->ops != NULL ? o->ops : drive_posix();
    s->path = mem_strdup(o->path);
    s->drive = o->drive;
    memcpy(s->cluster, o->cluster, sizeof s->cluster);
    s->segment_bytes_option = o->segment_bytes & ~(uint64_t)(SEGMENT_UNIT - 1);
    s->reserve_bytes = o->reserve_bytes;
    s->reader_threads =
        o->reader_threads != 0 ? o->reader_threads : READER_THREADS;
    s->scrub_interval_ms = o->scrub_interval_ms;
    s->compact_bytes_per_s = o->compact_bytes_per_s != 0
                                 ? o->compact_bytes_per_s
                                 : COMPACT_BYTES_PER_S;
    s->bulk_bytes = o->bulk_bytes != 0 ? o->bulk_bytes : BULK_BYTES;
    CHECK(pthread_mutex_init(&s->mutex, NULL) == 0);
    latch_cond_init(&s->writer_cond);
    latch_cond_init(&s->reader_cond);
    latch_cond_init(&s->supply_cond);
    latch_cond_init(&s->supplied_cond);
    latch_cond_init(&s->keeper_cond);
    latch_cond_init(&s->quiet_cond);
    list_init(&s->puts);
    list_init(&s->deletes);
    list_init(&s->copies);
    list_init(&s->gets);
    return s;
}

static void store_free(struct shard_store *s)
{
    volume_free(s->volume);
    pthread_cond_destroy(&s->quiet_cond);
    pthread_cond_destroy(&s->keeper_cond);
    pthread_cond_destroy(&s->supplied_cond);
    pthread_cond_destroy(&s->supply_cond);
    pthread_cond_destroy(&s->reader_cond);
    pthread_cond_destroy(&s->writer_cond);
    pthread_mutex_destroy(&s->mutex);
    free(s->path);
    free(s);
}

static void start(pthread_t *id, void *(*fn)(void *arg), struct shard_store *s,
                  const char *name)
{
    CHECK(pthread_create(id, NULL, fn, s) == 0);
    pthread_setname_np(*id, name);
}

int shard_store_open(const struct shard_store_options *options,
                     struct shard_store **out, struct err *err)
{
    struct err why = {{0}};
    struct shard_store *s;
    int status;

    CHECK(options->path != NULL);
    CHECK(options->reader_threads <= READERS_MAX);
    CHECK(options->segment_bytes == 0 ||
          (options->segment_bytes >= SEGMENT_BYTES_MIN &&
           options->segment_bytes <= SEGMENT_BYTES_MAX));
    s = store_new(options);
    status = store_attach(s, true, &why);
    if (status == ERR_MISMATCH || status == ERR_VERSION ||
        status == ERR_LOCKED) {
        store_free(s);
        return err_set(err, status, "drive %u: %.280s",
                       (unsigned)options->drive, why.text);
    }
    if (status != 0) {
        store_fail(s, &why);
    }
    start(&s->writer, writer_main, s, "drive-writer");
    start(&s->supply, supply_main, s, "drive-supply");
    start(&s->keeper, keeper_main, s, "drive-keeper");
    for (unsigned i = 0; i < s->reader_threads; i++) {
        start(&s->readers[i], reader_main, s, "drive-reader");
    }
    *out = s;
    return 0;
}

static void stop(struct shard_store *s, bool *flag, pthread_t *ids, unsigned n)
{
    pthread_mutex_lock(&s->mutex);
    *flag = true;
    pthread_cond_broadcast(&s->writer_cond);
    pthread_cond_broadcast(&s->reader_cond);
    pthread_cond_broadcast(&s->supply_cond);
    pthread_cond_broadcast(&s->keeper_cond);
    pthread_cond_broadcast(&s->quiet_cond);
    pthread_mutex_unlock(&s->mutex);
    for (unsigned i = 0; i < n; i++) {
        pthread_join(ids[i], NULL);
    }
}

void shard_store_close(struct shard_store *s)
{
    if (s == NULL) {
        return;
    }
    /* The keeper waits for the writer, and the writer for supply. */
    stop(s, &s->keeper_stop, &s->keeper, 1);
    stop(s, &s->writer_stop, &s->writer, 1);
    stop(s, &s->readers_stop, s->readers, s->reader_threads);
    stop(s, &s->supply_stop, &s->supply, 1);
    if (s->state != DRIVE_FAILED) {
        if (s->volume->active != NULL && s->volume->active->tail > 0) {
            writer_retire(s);
        }
        keeper_seal_retired(s);
    }
    store_free(s);
}

/* False when too many wait. Lock held. */
static bool enter(struct shard_store *s, uint64_t *turn)
{
    if (s->waiting >= QUEUE_MAX) {
        return false;
    }
    s->waiting++;
    *turn = s->turn++;
    pthread_cond_signal(&s->writer_cond);
    return true;
}

static int busy(const struct shard_store *s, struct err *err)
{
    return err_set(err, ERR_BUSY, "drive %u: %u requests wait already",
                   (unsigned)s->drive, (unsigned)QUEUE_MAX);
}

void shard_store_put(struct shard_store *s, struct shard_put *p)
{
    struct err err;
    bool ok;

    CHECK(p->done != NULL);
    pthread_mutex_lock(&s->mutex);
    ok = enter(s, &p->turn);
    if (ok) {
        list_push(&s->puts, &p->node);
    }
    pthread_mutex_unlock(&s->mutex);
    if (!ok) {
        p->done(p, busy(s, &err), &err);
    }
}

void shard_store_delete(struct shard_store *s, struct shard_delete *d)
{
    struct err err;
    bool ok;

    CHECK(d->done != NULL);
    pthread_mutex_lock(&s->mutex);
    ok = enter(s, &d->turn);
    if (ok) {
        list_push(&s->deletes, &d->node);
    }
    pthread_mutex_unlock(&s->mutex);
    if (!ok) {
        d->done(d, busy(s, &err), &err);
    }
}

void shard_store_get(struct shard_store *s, struct shard_get *g)
{
    struct err err;
    bool ok;

    CHECK(g->done != NULL);
    pthread_mutex_lock(&s->mutex);
    ok = s->gets_waiting < QUEUE_MAX;
    if (ok) {
        s->gets_waiting++;
        list_push(&s->gets, &g->node);
        pthread_cond_signal(&s->reader_cond);
    }
    pthread_mutex_unlock(&s->mutex);
    if (!ok) {
        g->done(g, busy(s, &err), &err);
    }
}

struct listing {
    struct shard_info *out;
    size_t max;
    size_t count;
};

static void describe(const struct index_entry *x, struct shard_info *out)
{
    *out = (struct shard_info){
        .key = index_entry_key(x), .group = x->group, .length = x->length};
}

static bool is_shard(const struct index_entry *x)
{
    return x->state == INDEX_LIVE || x->state == INDEX_LOST;
}

static bool list_one(void *arg, struct index_entry *x)
{
    struct listing *l = arg;

    if (is_shard(x)) {
        describe(x, &l->out[l->count++]);
    }
    return l->count < l->max;
}

size_t shard_store_list(struct shard_store *s, const struct shard_key *after,
                        struct shard_info *out, size_t max)
{
    struct listing l = {.out = out, .max = max};

    pthread_mutex_lock(&s->mutex);
    if (s->state != DRIVE_FAILED && max > 0) {
        shard_index_walk(s->volume->index, after, list_one, &l);
    }
    pthread_mutex_unlock(&s->mutex);
    return l.count;
}

bool shard_store_stat(struct shard_store *s, const struct shard_key *key,
                      struct shard_info *out)
{
    const struct index_entry *x = NULL;

    pthread_mutex_lock(&s->mutex);
    if (s->state != DRIVE_FAILED) {
        x = shard_index_find(s->volume->index, key);
    }
    if (x != NULL && !is_shard(x)) {
        x = NULL;
    }
    if (x != NULL) {
        describe(x, out);
    }
    pthread_mutex_unlock(&s->mutex);
    return x != NULL;
}

int shard_store_verify(struct shard_store *s, const struct shard_key *key,
                       struct err *err)
{
    uint32_t span;

    return reader_verify(s, key, &span, err);
}

static uint64_t count_segments(const struct volume *v)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < v->segment_count; i++) {
        count += v->segments[i] != NULL;
    }
    return count;
}

void shard_store_stats(struct shard_store *s, struct shard_store_stats *out)
{
    memset(out, 0, sizeof *out);
    pthread_mutex_lock(&s->mutex);
    out->state = s->state;
    memcpy(out->reason, s->reason, sizeof out->reason);
    out->drive = s->drive;
    out->free_bytes = s->free_bytes;
    out->size_bytes = s->size_bytes;
    if (s->volume != NULL && s->state != DRIVE_FAILED) {
        out->shards = s->volume->shards;
        out->live_bytes = s->volume->data_bytes;
        out->used_bytes = s->volume->used_bytes;
        out->segments = count_segments(s->volume);
    }
    out->puts = s->count_puts;
    out->gets = s->count_gets;
    out->deletes = s->count_deletes;
    out->syncs = s->count_syncs;
    out->corrupt = s->count_corrupt;
    out->scrubbed_bytes = s->count_scrubbed;
    out->compacted_bytes = s->count_compacted;
    pthread_mutex_unlock(&s->mutex);
}

enum drive_state shard_store_state(struct shard_store *s)
{
    enum drive_state state;

    pthread_mutex_lock(&s->mutex);
    state = s->state;
    pthread_mutex_unlock(&s->mutex);
    return state;
}

const char *shard_store_path(const struct shard_store *s)
{
    return s->path;
}

void shard_store_on_bad(struct shard_store *s,
                        void (*fn)(void *arg, const struct shard_info *bad),
                        void *arg)
{
    pthread_mutex_lock(&s->mutex);
    s->on_bad = fn;
    s->on_bad_arg = arg;
    pthread_mutex_unlock(&s->mutex);
}

void shard_store_compact_now(struct shard_store *s)
{
    pthread_mutex_lock(&s->mutex);
    s->compact_asked = true;
    pthread_cond_broadcast(&s->keeper_cond);
    while (s->compact_asked && s->state != DRIVE_FAILED && !s->keeper_stop) {
        pthread_cond_wait(&s->quiet_cond, &s->mutex);
    }
    pthread_mutex_unlock(&s->mutex);
}
