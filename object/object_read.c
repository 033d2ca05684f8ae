/* Read part of one chunk, by any means.
 *
 * Each piece that the range touches is asked of its own drive. When one is
 * missing, bad, or slower than hedge_ms, the same bytes of the chunk's other
 * shards are asked too, and the first `pieces` answers give it back. Answers
 * come into buffers that live until the last drive has answered, so a drive
 * that hangs never writes into memory that the caller has left.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/latch.h"
#include "base/mem.h"
#include "crypto/digest.h"
#include "erasure/codec.h"
#include "node/peers.h"
#include "object/object_internal.h"

struct read;

/* One range of one shard. */
struct fetch {
    struct shard_get get;
    struct read *read;
    uint8_t *data;  /* range bytes; what the shard lacks is zeros */
    unsigned shard; /* codec number: data, then parity */
    bool asked, done;
    int status;
};

/* The same byte range of the shards of one chunk. */
struct read {
    struct object_store *store;
    struct chunk_shape shape;
    uint32_t begin, length; /* within the shards */
    size_t buffer_bytes;

    pthread_mutex_t mutex; /* guards all below, and fetch.done, .status */
    pthread_cond_t cond;
    unsigned refs; /* drives that have not answered, and the reader */
    unsigned answers;
    struct err err; /* of the last that failed */
    struct fetch fetches[GEOMETRY_SLOTS_MAX];
};

static struct read *read_new(struct object_store *s,
                             const struct chunk_shape *shape, uint32_t begin,
                             uint32_t length)
{
    struct read *r = mem_alloc(sizeof *r);

    r->store = s;
    r->shape = *shape;
    r->begin = begin;
    r->length = length;
    r->buffer_bytes = mem_round_up(length, MEM_PAGE);
    r->refs = 1;
    CHECK(pthread_mutex_init(&r->mutex, NULL) == 0);
    latch_cond_init(&r->cond);
    return r;
}

static void read_unref(struct read *r)
{
    bool last;

    pthread_mutex_lock(&r->mutex);
    last = --r->refs == 0;
    pthread_mutex_unlock(&r->mutex);
    if (!last) {
        return;
    }
    for (unsigned i = 0; i < GEOMETRY_SLOTS_MAX; i++) {
        mem_pages_free(r->fetches[i].data, r->buffer_bytes);
    }
    pthread_cond_destroy(&r->cond);
    pthread_mutex_destroy(&r->mutex);
    free(r);
}

static void on_fetched(struct shard_get *get, int status, const struct err *err)
{
    struct fetch *f = LIST_OF(get, struct fetch, get);
    struct read *r = f->read;
    struct object_store *s = r->store;

    pthread_mutex_lock(&r->mutex);
    CHECK(!f->done);
    f->done = true;
    f->status = status;
    r->answers++;
    if (status != 0 && err != NULL) {
        r->err = *err;
    }
    pthread_cond_signal(&r->cond);
    pthread_mutex_unlock(&r->mutex);
    read_unref(r);
    atomic_fetch_sub(&s->pending, 1);
}

/* Ask shard @i for the range. A shard shorter than the range gives what it
 * has; the rest is zeros, as it was coded. */
static void ask(struct read *r, const struct chunk_ref *chunk, unsigned i)
{
    struct fetch *f = &r->fetches[i];
    unsigned slot = shard_slot(&r->shape, i);
    uint32_t bytes = geometry_shard_bytes(&r->shape, slot);
    uint32_t have = r->begin >= bytes ? 0 : bytes - r->begin;

    have = have < r->length ? have : r->length;
    f->asked = true;
    f->shard = i;
    f->read = r;
    f->data = mem_pages(r->buffer_bytes); /* zeroed by the system */
    pthread_mutex_lock(&r->mutex);
    r->refs++;
    pthread_mutex_unlock(&r->mutex);
    atomic_fetch_add(&r->store->pending, 1);
    f->get = (struct shard_get){
        .key = chunk_key(chunk, slot),
        .offset = r->begin,
        .length = have,
        .out = f->data,
        .done = on_fetched,
    };
    if (f->data == NULL) {
        struct err err;
        err_set(&err, ERR_NOMEM, "no memory for a read");
        on_fetched(&f->get, ERR_NOMEM, &err);
    } else if (have == 0) {
        on_fetched(&f->get, 0, NULL);
    } else {
        peers_get(r->store->options.peers, object_drive(r->store, chunk, slot),
                  &f->get);
    }
}

static bool is_good(const struct fetch *f)
{
    return f->done && f->status == 0;
}

/* Shards that answered well, as a mask; *@open: those still asked. */
static uint32_t good_mask(const struct read *r, unsigned *open)
{
    uint32_t mask = 0;

    *open = 0;
    for (unsigned i = 0; i < (unsigned)r->shape.pieces + r->shape.m; i++) {
        const struct fetch *f = &r->fetches[i];
        mask |= is_good(f) ? 1u << i : 0;
        *open += f->asked && !f->done;
    }
    return mask;
}

/* Wait until @want answered well, or enough others did, or nobody is left to
 * answer, or the deadline. Gives the good ones. */
static uint32_t wait_for(struct read *r, unsigned want, bool others,
                         uint64_t deadline)
{
    uint64_t now = clock_mono_ms();
    uint32_t good;
    unsigned open;

    pthread_mutex_lock(&r->mutex);
    for (;;) {
        good = good_mask(r, &open);
        if (good >> want & 1 ||
            (others && (unsigned)__builtin_popcount(good) >= r->shape.pieces) ||
            open == 0 || now >= deadline ||
            (!others && r->fetches[want].done)) {
            break;
        }
        latch_cond_wait(&r->cond, &r->mutex, deadline - now);
        now = clock_mono_ms();
    }
    pthread_mutex_unlock(&r->mutex);
    return good;
}

/* Rebuild piece @want from @pieces of the good shards. */
static int decode(struct read *r, unsigned want, uint32_t good, uint8_t *out,
                  struct err *err)
{
    uint8_t *shards[GEOMETRY_SLOTS_MAX] = {NULL};

    for (unsigned i = 0; i < (unsigned)r->shape.pieces + r->shape.m; i++) {
        shards[i] = r->fetches[i].data;
    }
    shards[want] = out;
    return codec_rebuild(codec_get(r->shape.pieces, r->shape.m), r->length,
                         shards, good, 1u << want, err);
}

/* A drive that has the shard no more, or has it wrong, gets it again. One that
 * does not answer at all may still have it. */
static void queue_repairs(struct read *r, const struct chunk_ref *chunk)
{
    uint32_t slots = 0;

    pthread_mutex_lock(&r->mutex);
    for (unsigned i = 0; i < (unsigned)r->shape.pieces + r->shape.m; i++) {
        const struct fetch *f = &r->fetches[i];
        if (f->done &&
            (f->status == ERR_NOT_FOUND || f->status == ERR_CORRUPT)) {
            slots |= 1u << shard_slot(&r->shape, i);
        }
    }
    pthread_mutex_unlock(&r->mutex);
    if (slots != 0) {
        object_repair_queue(r->store, chunk, slots);
    }
}

static int too_few(struct read *r, uint32_t good, bool timed_out,
                   struct err *err)
{
    int rc = timed_out ? ERR_TIMEOUT : ERR_UNAVAILABLE;

    pthread_mutex_lock(&r->mutex);
    err_set(err, rc, "%d of %u shards needed can be read: %s",
            __builtin_popcount(good), r->shape.pieces,
            r->err.text[0] != '\0' ? r->err.text : "no answer in time");
    pthread_mutex_unlock(&r->mutex);
    return rc;
}

/* One more read that needed others: because its drive was slow, or failed. */
static void count_why(struct read *r, unsigned want)
{
    bool slow;

    pthread_mutex_lock(&r->mutex);
    slow = !r->fetches[want].done;
    pthread_mutex_unlock(&r->mutex);
    atomic_fetch_add(slow ? &r->store->reads_hedged : &r->store->reads_degraded,
                     1);
}

/* Bytes [@begin, @begin + @length) of piece @want, into @out. */
static int read_piece(struct object_store *s, const struct chunk_ref *chunk,
                      const struct chunk_shape *shape, unsigned want,
                      uint32_t begin, uint32_t length, uint8_t *out,
                      struct err *err)
{
    struct read *r = read_new(s, shape, begin, length);
    uint64_t start = clock_mono_ms();
    uint32_t good;
    int rc = 0;

    ask(r, chunk, want);
    good = wait_for(r, want, false, start + s->options.hedge_ms);
    if (!(good >> want & 1)) {
        count_why(r, want);
        for (unsigned i = 0; i < (unsigned)shape->pieces + shape->m; i++) {
            if (i != want) {
                ask(r, chunk, i);
            }
        }
        good = wait_for(r, want, true, start + s->options.get_timeout_ms);
    }
    if (good >> want & 1) {
        memcpy(out, r->fetches[want].data, length);
    } else if ((unsigned)__builtin_popcount(good) >= shape->pieces) {
        rc = decode(r, want, good, out, err);
    } else {
        rc = too_few(r, good,
                     clock_mono_ms() >= start + s->options.get_timeout_ms, err);
    }
    queue_repairs(r, chunk);
    read_unref(r);
    return rc;
}

int object_read_chunk(struct object_store *s, const struct chunk_ref *chunk,
                      uint32_t offset, uint32_t length, uint8_t *out,
                      struct err *err)
{
    struct chunk_shape shape = geometry_shape(chunk->policy, chunk->bytes);
    uint32_t at = offset;
    uint32_t end = offset + length;

    CHECK(end <= chunk->bytes);
    while (at < end) {
        unsigned piece = at / shape.piece_bytes;
        uint32_t begin = at % shape.piece_bytes;
        uint32_t n = shape.piece_bytes - begin;
        int rc;
        n = n < end - at ? n : end - at;
        rc = read_piece(s, chunk, &shape, piece, begin, n, out + (at - offset),
                        err);
        if (rc != 0) {
            return rc;
        }
        at += n;
    }
    if (offset == 0 && length == chunk->bytes &&
        crc64nvme(0, out, length) != chunk->crc64) {
        return err_set(err, ERR_CORRUPT,
                       "chunk %016llx%016llx: its CRC64NVME does not match",
                       (unsigned long long)chunk->id_hi,
                       (unsigned long long)chunk->id_lo);
    }
    return 0;
}
