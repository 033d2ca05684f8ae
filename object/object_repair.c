/* Rebuild shards that drives miss: one thread, one queue with a bound.
 *
 * What is forgotten at the bound or at a stop is found again by the next read
 * or by godwit verify.
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
#include "object/drive_pulse.h"
#include "object/object_internal.h"

#define RETRY_MS_MIN 1000
#define RETRY_MS_MAX 60000
#define TRIES_MAX 2000 /* a day and more */
#define LOST_TRIES 8   /* of a chunk that cannot be read at all; 3 minutes */

struct repair {
    struct chunk_ref chunk;
    uint32_t slots;
    unsigned tries;
    uint64_t not_before_ms;
    bool forgotten;        /* while it is worked on: its chunk was deleted */
    uint32_t away;         /* slots whose drives are not there */
    uint32_t more;         /* while it is worked on: slots queued again */
    struct repair *next;   /* in its bucket; waiting ones only */
    struct list_node node; /* in store->repairs */
};

/* ---- the queue; lock held ---- */

/* Repairs of as many tries wait equally long, so each list is in the order in
 * which they are due. */
static unsigned level_of(const struct repair *r)
{
    return r->tries < OBJECT_REPAIR_LEVELS ? r->tries
                                           : OBJECT_REPAIR_LEVELS - 1;
}

/* How many of its shards are missing, as far as is known. */
static unsigned danger_of(const struct repair *r)
{
    unsigned missing = (unsigned)__builtin_popcount(r->slots | r->away);

    return missing < OBJECT_REPAIR_DANGERS ? missing
                                           : OBJECT_REPAIR_DANGERS - 1;
}

/* In the order in which they are looked at: most danger, fewest tries first. */
static struct list_node *list_at(struct object_store *s, unsigned i)
{
    return &s->repairs[OBJECT_REPAIR_DANGERS - 1 - i / OBJECT_REPAIR_LEVELS]
                      [i % OBJECT_REPAIR_LEVELS];
}

/* Nothing, then 1 s doubled with each try, at most a minute. */
static uint64_t delay_ms(unsigned level)
{
    uint64_t ms = level > 0 ? (uint64_t)RETRY_MS_MIN << (level - 1) : 0;

    return ms < RETRY_MS_MAX ? ms : RETRY_MS_MAX;
}

static struct repair **bucket_of(struct object_store *s, uint64_t hi,
                                 uint64_t lo)
{
    uint64_t h = (hi ^ lo * 0x9e3779b97f4a7c15u) * 0x9e3779b97f4a7c15u;

    return &s->repair_table[(h >> 32) % OBJECT_REPAIR_BUCKETS];
}

static struct repair *find(struct object_store *s, uint64_t hi, uint64_t lo)
{
    struct repair *r = *bucket_of(s, hi, lo);

    while (r != NULL && (r->chunk.id_hi != hi || r->chunk.id_lo != lo)) {
        r = r->next;
    }
    return r;
}

static void enqueue(struct object_store *s, struct repair *r)
{
    struct repair **bucket = bucket_of(s, r->chunk.id_hi, r->chunk.id_lo);

    r->next = *bucket;
    *bucket = r;
    list_push(&s->repairs[danger_of(r)][level_of(r)], &r->node);
    s->repair_count++;
}

static void dequeue(struct object_store *s, struct repair *r)
{
    struct repair **at = bucket_of(s, r->chunk.id_hi, r->chunk.id_lo);

    while (*at != r) {
        at = &(*at)->next;
    }
    *at = r->next;
    list_remove(&r->node);
    s->repair_count--;
}

static bool is_repairing(const struct object_store *s, uint64_t hi, uint64_t lo)
{
    const struct repair *r = s->repairing;

    return r != NULL && r->chunk.id_hi == hi && r->chunk.id_lo == lo;
}

uint32_t object_away_slots(struct object_store *s,
                           const struct chunk_ref *chunk)
{
    struct chunk_shape shape = geometry_shape(chunk->policy, chunk->bytes);
    uint32_t away = 0;

    for (unsigned n = 0; n < (unsigned)shape.pieces + shape.m; n++) {
        unsigned slot = shard_slot(&shape, n);
        enum peer_state state =
            peers_state(s->options.peers, object_drive(s, chunk, slot));
        away |= state != PEER_UP && state != PEER_FULL ? 1u << slot : 0;
    }
    return away;
}

void object_repair_queue(struct object_store *s, const struct chunk_ref *chunk,
                         uint32_t slots)
{
    uint32_t away = object_away_slots(s, chunk);
    struct repair *r;

    pthread_mutex_lock(&s->mutex);
    r = find(s, chunk->id_hi, chunk->id_lo);
    if (is_repairing(s, chunk->id_hi, chunk->id_lo)) {
        s->repairing->more |= slots; /* by its own reads, often */
    } else if (r != NULL && (slots & ~r->slots) != 0) {
        dequeue(s, r);
        r->slots |= slots;
        r->away = away;
        r->tries = 0; /* so that its new list stays in order */
        r->not_before_ms = 0;
        enqueue(s, r);
        pthread_cond_signal(&s->cond);
    } else if (r != NULL) {
        /* that is known */
    } else if (s->repair_count >= OBJECT_REPAIRS_MAX) {
        atomic_fetch_add(&s->repairs_dropped, 1);
    } else if (!s->stopping) {
        r = mem_alloc(sizeof *r);
        r->chunk = *chunk;
        r->slots = slots;
        r->away = away;
        enqueue(s, r);
        pthread_cond_signal(&s->cond);
    }
    pthread_mutex_unlock(&s->mutex);
}

void object_repair_forget(struct object_store *s, uint64_t hi, uint64_t lo)
{
    struct repair *r;

    pthread_mutex_lock(&s->mutex);
    r = find(s, hi, lo);
    if (r != NULL) {
        dequeue(s, r);
        free(r);
    }
    if (is_repairing(s, hi, lo)) {
        s->repairing->forgotten = true;
    }
    pthread_mutex_unlock(&s->mutex);
}

/* ---- one shard ---- */

/* A put or get on the heap, for a drive that may answer after we gave up. */
struct shard_job {
    struct object_store *store;
    struct shard_put put;
    struct pulse_ask pulse;
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

    pulse_answered(&j->pulse);
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
    pulse_begin(s->pulse, &j->pulse, object_drive(s, chunk, slot), PULSE_WRITE);
    peers_put(s->options.peers, object_drive(s, chunk, slot), &j->put);
    if (!latch_wait(&j->latch, 1, s->options.put_timeout_ms)) {
        pulse_abandon(&j->pulse);
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

/* The bytes of the shard in @slot of a chunk that stands, padded, in @data. */
static void make_shard(const struct chunk_shape *shape, uint8_t *data,
                       unsigned slot, uint8_t *shard)
{
    size_t s = shape->piece_bytes;
    uint8_t *shards[GEOMETRY_SLOTS_MAX] = {NULL};
    unsigned i = slot_shard(shape, slot);

    if (slot < shape->k || shape->pieces == 1) {
        memcpy(shard, slot < shape->k ? data + slot * s : data,
               geometry_shard_bytes(shape, slot));
        return;
    }
    for (unsigned piece = 0; piece < shape->pieces; piece++) {
        shards[piece] = data + piece * s;
    }
    shards[i] = shard;
    /* All pieces are there: it cannot fail. */
    CHECK(codec_rebuild(codec_of(shape), s, shards, (1u << shape->pieces) - 1,
                        1u << i, NULL) == 0);
}

/* The same from the drives: all of the chunk, whose checksum is checked. */
static int remake_shard(struct object_store *s, const struct chunk_ref *chunk,
                        const struct chunk_shape *shape, unsigned slot,
                        uint8_t *shard, struct err *err)
{
    size_t whole = (size_t)shape->piece_bytes * shape->pieces;
    uint8_t *data = mem_pages(whole);
    int rc;

    if (data == NULL) {
        return err_set(err, ERR_NOMEM, "no memory for a repair");
    }
    rc = object_read_chunk(s, chunk, 0, chunk->bytes, data, err);
    if (rc == 0) {
        memset(data + chunk->bytes, 0, whole - chunk->bytes);
        make_shard(shape, data, slot, shard);
    }
    mem_pages_free(data, whole);
    return rc;
}

int object_repair_shard(struct object_store *s, const struct chunk_ref *chunk,
                        unsigned slot, struct err *err)
{
    struct chunk_shape shape = geometry_shape(chunk->policy, chunk->bytes);
    size_t shard_bytes = mem_round_up(shape.piece_bytes, MEM_PAGE);
    uint8_t *shard;
    int rc;

    CHECK(geometry_shard_bytes(&shape, slot) > 0);
    shard = mem_pages(shard_bytes);
    if (shard == NULL) {
        return err_set(err, ERR_NOMEM, "no memory for a repair");
    }
    rc = object_read_local(s, chunk, slot, shard, NULL);
    if (rc != 0) {
        rc = remake_shard(s, chunk, &shape, slot, shard, err);
    }
    if (rc != 0) {
        mem_pages_free(shard, shard_bytes);
        return rc;
    }
    rc = put_shard(s, chunk, slot, shard, shard_bytes,
                   geometry_shard_bytes(&shape, slot), err);
    atomic_fetch_add(&s->shards_repaired, rc == 0);
    return rc;
}

/* ---- the thread ---- */

enum shard_need { SHARD_GOOD, SHARD_OWED, SHARD_LATER };

/* Does the drive of @slot want this shard, and can it take it now? */
static enum shard_need shard_need(struct object_store *s,
                                  const struct chunk_ref *chunk, unsigned slot)
{
    uint16_t drive = object_drive(s, chunk, slot);

    if (peers_state(s->options.peers, drive) != PEER_UP ||
        drive_is_hung(s->pulse, drive, PULSE_WRITE) ||
        drive_is_hung(s->pulse, drive, PULSE_READ)) {
        return SHARD_LATER;
    }
    switch (object_probe_shard(s, chunk, slot, NULL)) {
        case 0:
            return SHARD_GOOD;
        case ERR_NOT_FOUND:
        case ERR_CORRUPT:
        case ERR_RANGE: /* of another length: not ours */
            return SHARD_OWED;
        default:
            return SHARD_LATER;
    }
}

static uint32_t shard_bytes(const struct chunk_ref *chunk, unsigned slot)
{
    struct chunk_shape shape = geometry_shape(chunk->policy, chunk->bytes);

    return geometry_shard_bytes(&shape, slot);
}

/* Rebuild what can be of *@owed, which becomes what is left; gives those
 * *@written. False when it is no use to try again. */
static bool try_repair(struct object_store *s, const struct repair *r,
                       uint32_t *owed, uint32_t *written)
{
    for (unsigned slot = 0; slot < GEOMETRY_SLOTS_MAX; slot++) {
        struct err err = {{0}};
        enum shard_need need;
        int rc;
        if (!(*owed >> slot & 1)) {
            continue;
        }
        need = shard_need(s, &r->chunk, slot);
        if (need == SHARD_GOOD) {
            *owed &= ~(1u << slot);
        }
        if (need != SHARD_OWED) {
            continue;
        }
        rc = object_repair_shard(s, &r->chunk, slot, &err);
        if (rc == 0) {
            *owed &= ~(1u << slot);
            *written |= 1u << slot;
            object_pace(s, shard_bytes(&r->chunk, slot), NULL, NULL);
        } else if (rc == ERR_UNAVAILABLE && r->tries >= LOST_TRIES) {
            return false; /* deleted meanwhile, most likely */
        } else if (rc == ERR_CORRUPT) {
            log_errf(LOG_ERROR, "repair", "%s", err.text);
            return false;
        }
    }
    return true;
}

/* Of those that are due the one whose chunk misses most; NULL when none is yet,
 * and *@wait_ms until one may be. */
static struct repair *next_repair(struct object_store *s, uint64_t *wait_ms)
{
    uint64_t now = clock_mono_ms();

    *wait_ms = 60000;
    for (unsigned i = 0; i < OBJECT_REPAIR_DANGERS * OBJECT_REPAIR_LEVELS;
         i++) {
        struct list_node *list = list_at(s, i);
        struct repair *r;
        if (list_empty(list)) {
            continue;
        }
        r = LIST_OF(list->next, struct repair, node);
        if (r->not_before_ms <= now) {
            return r;
        }
        if (r->not_before_ms - now < *wait_ms) {
            *wait_ms = r->not_before_ms - now;
        }
    }
    return NULL;
}

/* Lock held, let go for the work. */
static void work_on(struct object_store *s, struct repair *r)
{
    uint32_t owed = r->slots, written = 0;
    bool keep;

    dequeue(s, r);
    r->more = 0;
    s->repairing = r;
    pthread_mutex_unlock(&s->mutex);
    keep = try_repair(s, r, &owed, &written);
    r->away = object_away_slots(s, &r->chunk);
    pthread_mutex_lock(&s->mutex);
    s->repairing = NULL;
    if (r->forgotten) {
        pthread_mutex_unlock(&s->mutex);
        object_delete_shards(s, &r->chunk, written);
        pthread_mutex_lock(&s->mutex);
        keep = false;
    }
    r->slots = owed | (r->more & ~written);
    if (keep && r->slots != 0 && ++r->tries < TRIES_MAX) {
        r->not_before_ms = clock_mono_ms() + delay_ms(level_of(r));
        enqueue(s, r);
    } else {
        free(r);
    }
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
        } else {
            work_on(s, r);
        }
    }
    for (unsigned i = 0; i < OBJECT_REPAIR_DANGERS * OBJECT_REPAIR_LEVELS;
         i++) {
        struct list_node *list = list_at(s, i);
        while (!list_empty(list)) {
            struct repair *r = LIST_OF(list->next, struct repair, node);
            dequeue(s, r);
            free(r);
        }
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

void object_repair_start(struct object_store *s)
{
    for (unsigned i = 0; i < OBJECT_REPAIR_DANGERS * OBJECT_REPAIR_LEVELS;
         i++) {
        list_init(list_at(s, i));
    }
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
