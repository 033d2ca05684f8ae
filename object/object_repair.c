/* Rebuild shards that drives miss: one thread, one queue with a bound.
 *
 * What is forgotten at the bound or at a stop is found again by the next read,
 * by scrub, or by godwit verify.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/latch.h"
#include "base/log.h"
#include "base/mem.h"
#include "erasure/codec.h"
#include "node/peers.h"
#include "object/object_internal.h"

#define RETRY_MS 2000
#define TRIES_MAX 1000

struct repair {
    struct chunk_ref chunk;
    uint32_t slots;
    unsigned tries;
    uint64_t not_before_ms;
    struct list_node node;
};

void object_repair_queue(struct object_store *s, const struct chunk_ref *chunk,
                         uint32_t slots)
{
    struct repair *r = NULL;

    pthread_mutex_lock(&s->mutex);
    LIST_EACH (node, &s->repairs) {
        struct repair *known = LIST_OF(node, struct repair, node);
        if (known->chunk.id_hi == chunk->id_hi &&
            known->chunk.id_lo == chunk->id_lo) {
            known->slots |= slots;
            r = known;
            break;
        }
    }
    if (r == NULL && s->repair_count < OBJECT_REPAIRS_MAX && !s->stopping) {
        r = mem_alloc(sizeof *r);
        r->chunk = *chunk;
        r->slots = slots;
        list_push(&s->repairs, &r->node);
        s->repair_count++;
        pthread_cond_signal(&s->cond);
    }
    pthread_mutex_unlock(&s->mutex);
}

/* ---- one shard ---- */

/* A put or get on the heap, for a drive that may answer after we gave up. */
struct shard_job {
    struct object_store *store;
    struct shard_put put;
    uint8_t *data;
    size_t data_bytes;
    struct latch latch;
    atomic_uint refs;
    int status;
    struct err err;
};

static void job_unref(struct shard_job *j)
{
    if (atomic_fetch_sub(&j->refs, 1) == 1) {
        latch_close(&j->latch);
        mem_pages_free(j->data, j->data_bytes);
        free(j);
    }
}

static void on_put(struct shard_put *put, int status, const struct err *err)
{
    struct shard_job *j = LIST_OF(put, struct shard_job, put);
    struct object_store *s = j->store;

    j->status = status;
    if (err != NULL) {
        j->err = *err;
    }
    latch_signal(&j->latch);
    job_unref(j);
    atomic_fetch_sub(&s->pending, 1);
}

/* Write @data (taken) as the shard in @slot and wait. */
static int put_shard(struct object_store *s, const struct chunk_ref *chunk,
                     unsigned slot, uint8_t *data, size_t data_bytes,
                     uint32_t length, struct err *err)
{
    struct shard_job *j = mem_alloc(sizeof *j);
    int rc;

    j->store = s;
    j->data = data;
    j->data_bytes = data_bytes;
    latch_init(&j->latch);
    atomic_store(&j->refs, 2);
    j->put = (struct shard_put){.key = chunk_key(chunk, slot),
                                .group = chunk->group,
                                .data = data,
                                .length = length,
                                .done = on_put};
    atomic_fetch_add(&s->pending, 1);
    peers_put(s->options.peers, object_drive(s, chunk, slot), &j->put);
    if (!latch_wait(&j->latch, 1, s->options.put_timeout_ms)) {
        rc = err_set(err, ERR_TIMEOUT, "no answer in time");
    } else {
        rc = j->status;
        if (rc != 0 && err != NULL) {
            *err = j->err;
        }
    }
    job_unref(j);
    return rc;
}

int object_repair_shard(struct object_store *s, const struct chunk_ref *chunk,
                        unsigned slot, struct err *err)
{
    struct chunk_shape shape = geometry_shape(chunk->policy, chunk->bytes);
    size_t whole = (size_t)shape.piece_bytes * shape.pieces;
    uint32_t length = geometry_shard_bytes(&shape, slot);
    size_t shard_bytes = mem_round_up(shape.piece_bytes, MEM_PAGE);
    uint8_t *data, *shard;
    int rc;

    CHECK(length > 0);
    data = mem_pages(whole);
    shard = mem_pages(shard_bytes);
    if (data == NULL || shard == NULL) {
        mem_pages_free(data, whole);
        mem_pages_free(shard, shard_bytes);
        return err_set(err, ERR_NOMEM, "no memory for a repair");
    }
    /* Zeros behind the chunk: mem_pages gives them. */
    rc = object_read_chunk(s, chunk, 0, chunk->bytes, data, err);
    if (rc != 0) {
        mem_pages_free(shard, shard_bytes);
        goto out;
    }
    if (slot < shape.k || shape.pieces == 1) {
        size_t at = slot < shape.k ? (size_t)slot * shape.piece_bytes : 0;
        memcpy(shard, data + at, length);
    } else {
        const uint8_t *pieces[GEOMETRY_K_MAX];
        uint8_t *parity[GEOMETRY_M_MAX];
        uint8_t *scratch = mem_alloc((size_t)shape.piece_bytes * shape.m);
        for (unsigned i = 0; i < shape.pieces; i++) {
            pieces[i] = data + (size_t)i * shape.piece_bytes;
        }
        for (unsigned j = 0; j < shape.m; j++) {
            parity[j] = scratch + (size_t)j * shape.piece_bytes;
        }
        codec_encode(codec_get(shape.pieces, shape.m), shape.piece_bytes,
                     pieces, parity);
        memcpy(shard, parity[slot - shape.k], length);
        free(scratch);
    }
    rc = put_shard(s, chunk, slot, shard, shard_bytes, length, err);
    if (rc == 0) {
        atomic_fetch_add(&s->shards_repaired, 1);
    }
out:
    mem_pages_free(data, whole);
    return rc;
}

/* ---- the thread ---- */

enum shard_need { SHARD_GOOD, SHARD_OWED, SHARD_LATER };

/* Does the drive of @slot want this shard, and can it take it now? */
static enum shard_need shard_need(struct object_store *s,
                                  const struct chunk_ref *chunk, unsigned slot)
{
    struct shard_store *store =
        peers_store(s->options.peers, object_drive(s, chunk, slot));
    struct shard_key key = chunk_key(chunk, slot);
    struct shard_store_stats stats;

    if (store == NULL) {
        return SHARD_LATER;
    }
    shard_store_stats(store, &stats);
    if (stats.state != DRIVE_UP) {
        return SHARD_LATER;
    }
    return shard_store_verify(store, &key, NULL) == 0 ? SHARD_GOOD : SHARD_OWED;
}

/* Rebuild what can be; gives the slots still owed. */
static uint32_t try_repair(struct object_store *s, struct repair *r)
{
    uint32_t owed = r->slots;

    for (unsigned slot = 0; slot < GEOMETRY_SLOTS_MAX; slot++) {
        struct err err = {{0}};
        enum shard_need need;
        int rc;
        if (!(owed >> slot & 1)) {
            continue;
        }
        need = shard_need(s, &r->chunk, slot);
        if (need == SHARD_GOOD) {
            owed &= ~(1u << slot);
        }
        if (need != SHARD_OWED) {
            continue;
        }
        rc = object_repair_shard(s, &r->chunk, slot, &err);
        if (rc == 0) {
            owed &= ~(1u << slot);
        } else if (rc == ERR_UNAVAILABLE || rc == ERR_CORRUPT) {
            /* Deleted meanwhile, or lost: not ours to mend. */
            log_errf(LOG_DEBUG, "repair", "%s", err.text);
            return 0;
        }
    }
    return owed;
}

/* The first repair that is due; else NULL, and *@wait_ms until one may be. */
static struct repair *next_repair(struct object_store *s, uint64_t *wait_ms)
{
    uint64_t now = clock_mono_ms();

    *wait_ms = 60000;
    LIST_EACH (node, &s->repairs) {
        struct repair *r = LIST_OF(node, struct repair, node);
        if (r->not_before_ms <= now) {
            list_remove(node);
            s->repair_count--;
            return r;
        }
        if (r->not_before_ms - now < *wait_ms) {
            *wait_ms = r->not_before_ms - now;
        }
    }
    return NULL;
}

static void *repair_main(void *arg)
{
    struct object_store *s = arg;

    pthread_mutex_lock(&s->mutex);
    while (!s->stopping) {
        uint64_t wait_ms;
        struct repair *r = next_repair(s, &wait_ms);
        if (r == NULL) {
            latch_cond_wait(&s->cond, &s->mutex, wait_ms);
            continue;
        }
        pthread_mutex_unlock(&s->mutex);
        r->slots = try_repair(s, r);
        pthread_mutex_lock(&s->mutex);
        if (r->slots != 0 && ++r->tries < TRIES_MAX) {
            r->not_before_ms = clock_mono_ms() + RETRY_MS;
            list_push(&s->repairs, &r->node);
            s->repair_count++;
        } else {
            free(r);
        }
    }
    for (struct list_node *n; (n = list_pop(&s->repairs)) != NULL;) {
        free(LIST_OF(n, struct repair, node));
    }
    s->repair_count = 0;
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

void object_repair_start(struct object_store *s)
{
    CHECK(pthread_create(&s->repair_thread, NULL, repair_main, s) == 0);
    pthread_setname_np(s->repair_thread, "repair");
}

void object_repair_stop(struct object_store *s)
{
    pthread_mutex_lock(&s->mutex);
    s->stopping = true;
    pthread_cond_signal(&s->cond);
    pthread_mutex_unlock(&s->mutex);
    pthread_join(s->repair_thread, NULL);
}
