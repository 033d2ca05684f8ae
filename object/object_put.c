#include "object/object_put.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/latch.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/text.h"
#include "crypto/digest.h"
#include "erasure/codec.h"
#include "node/peers.h"
#include "object/drive_pulse.h"
#include "object/manifest.h"
#include "object/object_gc.h"
#include "object/object_handoff.h"
#include "object/object_internal.h"
#include "object/pack.h"

#define PUT_MAGIC 0x474f5055u
#define IN_FLIGHT_MAX 2
/* How long stragglers are waited for once the quorum stands. */
#define GRACE_MS 2000
/* How long drives may take, when without them there is no quorum, before their
 * shards are written elsewhere, too. */
#define HANDOFF_MS 1000
/* Groups looked at to find one whose drives are all up. */
#define GROUP_TRIES_MAX 16

struct chunk_write;

struct shard_write {
    struct shard_put put;
    struct pulse_ask pulse;
    struct chunk_write *chunk;
    unsigned slot;
    uint16_t drive;
    bool handoff; /* to another drive than the slot's own */
    bool done;
    int status;
    char *why; /* of a failure */
};

/* The shards, and once more those that go to other drives. */
#define WRITES_MAX (2 * GEOMETRY_SLOTS_MAX)

/* One chunk on its way to the drives. Lives until the last drive has answered:
 * a drive that hangs keeps its buffer, not the put. Nor does a put that gets no
 * further: the buffer goes back with the last answer, whoever looks at it. */
struct chunk_write {
    struct object_store *store;
    struct chunk_ref ref;
    struct chunk_shape shape;
    uint8_t *buffer; /* until all have answered */
    size_t buffer_bytes;
    struct object_bytes wide; /* instead of a buffer that is too small */

    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t cond;
    unsigned refs; /* drives that have not answered, and the put */
    unsigned sent, answered, full;
    uint32_t stored; /* slots that are on stable media, wherever */
    uint32_t own;    /* and on their own drives */
    struct shard_write shards[WRITES_MAX];
};

enum put_state { PUT_OPEN, PUT_COMMITTED };

struct object_put {
    uint32_t magic;
    struct object_store *store;
    struct object_put_how how;
    enum put_state state;
    struct manifest manifest;
    uint32_t capacity;                            /* of manifest.chunks */
    uint32_t block_capacity;                      /* of manifest.blocks */
    struct chunk_write *in_flight[IN_FLIGHT_MAX]; /* oldest first */
    unsigned in_flight_count;
    int status; /* of an earlier chunk */
    struct err err;
    struct list_node node; /* in store->puts */
};

/* ---- groups ---- */

/* A group of the range at random whose drives are all up, else the one with
 * most of those looked at. */
static uint32_t choose_group(struct object_store *s,
                             const struct group_range *range)
{
    unsigned slots = (unsigned)range->policy.k + range->policy.m;
    uint32_t first = (uint32_t)(rng_u64() % range->count);
    uint32_t best = range->first + first;
    unsigned most = 0;

    for (uint32_t i = 0; i < range->count && i < GROUP_TRIES_MAX; i++) {
        uint32_t id = range->first + (first + i) % range->count;
        unsigned up = 0;
        for (unsigned slot = 0; slot < slots; slot++) {
            up += object_drive_is_well(s, object_group_drive(s, id, slot));
        }
        if (up == slots) {
            return id;
        }
        if (up > most) {
            most = up;
            best = id;
        }
    }
    return best;
}

struct object_put *object_put_open(struct object_store *s)
{
    return object_put_open_as(s, &(struct object_put_how){0});
}

struct object_put *object_put_open_as(struct object_store *s,
                                      const struct object_put_how *how)
{
    struct object_put *p = mem_alloc(sizeof *p);
    const struct group_range *range =
        object_groups(s, how->policy.k > 0 ? how->policy : s->options.policy);

    p->magic = PUT_MAGIC;
    p->store = s;
    p->how = *how;
    p->manifest.policy = range->policy;
    p->manifest.group = choose_group(s, range);
    p->manifest.id_hi = clock_real_ms() << 16 | (rng_u64() & 0xffff);
    p->manifest.id_lo = rng_u64() & ~MANIFEST_CHUNK_LO_MASK;
    pthread_mutex_lock(&s->mutex);
    list_push(&s->puts, &p->node);
    pthread_mutex_unlock(&s->mutex);
    return p;
}

bool object_put_in_flight(struct object_store *s, uint64_t hi, uint64_t lo)
{
    bool found = false;

    pthread_mutex_lock(&s->mutex);
    LIST_EACH (node, &s->puts) {
        const struct object_put *p = LIST_OF(node, struct object_put, node);
        found = found || (p->manifest.id_hi == hi && p->manifest.id_lo == lo);
    }
    pthread_mutex_unlock(&s->mutex);
    return found;
}

/* ---- one chunk ---- */

static void chunk_write_unref(struct chunk_write *w)
{
    bool last;

    pthread_mutex_lock(&w->mutex);
    last = --w->refs == 0;
    pthread_mutex_unlock(&w->mutex);
    if (!last) {
        return;
    }
    for (unsigned i = 0; i < w->sent; i++) {
        free(w->shards[i].why);
    }
    pthread_cond_destroy(&w->cond);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}

static unsigned slots_of(uint32_t mask)
{
    return (unsigned)__builtin_popcount(mask);
}

/* Lock held. */
static void answer(struct shard_write *shard, int status, const char *why)
{
    struct chunk_write *w = shard->chunk;

    CHECK(!shard->done);
    shard->done = true;
    shard->status = status;
    w->answered++;
    w->full += status == ERR_FULL;
    if (status == 0) {
        w->stored |= 1u << shard->slot;
        w->own |= (uint32_t)!shard->handoff << shard->slot;
    } else {
        shard->why = mem_strdup(why);
    }
}

/* Another drive for a shard that @shard's own did not take: none that failed,
 * or (@late) keeps us waiting as well. Lock held. With at
 * most m / spare shards on a drive, as many drives can go as the quorum says;
 * with local groups it matters which shards go, so each has its own drive. */
static uint16_t substitute(struct shard_write *shard, bool late)
{
    struct chunk_write *w = shard->chunk;
    unsigned spare = geometry_write_quorum(&w->shape) - w->shape.pieces;
    unsigned max = w->shape.l > 0 || spare == 0 ? 1 : w->shape.m / spare;
    uint16_t used[WRITES_MAX * GEOMETRY_M_MAX];
    size_t count = 0;

    for (unsigned i = 0; i < w->sent; i++) {
        const struct shard_write *other = &w->shards[i];
        bool bad = other->done ? other->status != 0 : late;
        for (unsigned n = 0; n < (bad ? max : 1); n++) {
            used[count++] = other->drive;
        }
    }
    return object_substitute(w->store, used, count, max, shard->drive);
}

/* Is the chunk safe with the shards that are stored, or (@hoped) with those
 * that may be? The quorum must stand, and, when shards were handed off, as many
 * drives must be able to go as the quorum says: with the fullest of them gone,
 * as many shards must be left as there are pieces. Lock held. */
static bool is_safe(const struct chunk_write *w, bool hoped)
{
    unsigned quorum = geometry_write_quorum(&w->shape);
    unsigned spare = quorum - w->shape.pieces;
    unsigned on[WRITES_MAX] = {0}; /* shards of a drive, at its first write */
    unsigned left = 0, fullest;
    uint32_t slots = 0;
    bool handed = false, distinct = true;

    for (unsigned i = 0; i < w->sent; i++) {
        const struct shard_write *shard = &w->shards[i];
        unsigned first = 0;
        if ((shard->done ? shard->status != 0 : !hoped) ||
            slots >> shard->slot & 1) {
            continue;
        }
        while (w->shards[first].drive != shard->drive) {
            first++;
        }
        handed = handed || shard->handoff;
        distinct = distinct && on[first] == 0;
        slots |= 1u << shard->slot;
        on[first]++;
        left++;
    }
    if (left < quorum || !handed || distinct) {
        return left >= quorum;
    }
    for (; spare > 0; spare--) {
        fullest = 0;
        for (unsigned i = 1; i < w->sent; i++) {
            fullest = on[i] > on[fullest] ? i : fullest;
        }
        left -= on[fullest];
        on[fullest] = 0;
    }
    return w->shape.l == 0 && left >= w->shape.pieces;
}

static void on_stored(struct shard_put *put, int status, const struct err *err);

static void send(struct shard_write *shard)
{
    struct object_store *s = shard->chunk->store;

    atomic_fetch_add(&s->pending, 1);
    pulse_begin(s->pulse, &shard->pulse, shard->drive, PULSE_WRITE);
    peers_put(s->options.peers, shard->drive, &shard->put);
}

/* Slots that are not stored and, unless @pending, are not on their way either.
 * Lock held. */
static uint32_t wanting(const struct chunk_write *w, bool pending)
{
    uint32_t slots = 0, open = 0;

    for (unsigned i = 0; i < w->sent; i++) {
        slots |= 1u << w->shards[i].slot;
        open |= (uint32_t)!w->shards[i].done << w->shards[i].slot;
    }
    return slots & ~w->stored & (pending ? UINT32_MAX : ~open);
}

/* Other drives for @slots. Gives the first of the new writes, to be sent
 * without the lock; they end at w->sent. Lock held. */
static unsigned hand_off(struct chunk_write *w, uint32_t slots, bool late)
{
    unsigned first = w->sent;

    for (unsigned i = 0; i < first && w->sent < WRITES_MAX; i++) {
        struct shard_write *shard = &w->shards[i];
        struct shard_write *twin = &w->shards[w->sent];
        uint16_t other;
        if (shard->handoff || !(slots >> shard->slot & 1) ||
            (other = substitute(shard, late)) == PLACEMENT_NO_DRIVE) {
            continue;
        }
        *twin = (struct shard_write){.chunk = w,
                                     .slot = shard->slot,
                                     .drive = other,
                                     .handoff = true,
                                     .put = {.key = shard->put.key,
                                             .group = shard->put.group,
                                             .data = shard->put.data,
                                             .length = shard->put.length,
                                             .done = on_stored}};
        w->sent++;
        w->refs++;
    }
    return first;
}

static void give_buffer_back(struct chunk_write *w)
{
    if (w->wide.p != NULL) {
        object_bytes_free(w->store, &w->wide);
    } else {
        pool_put(w->store->options.pool, w->buffer, w->buffer_bytes);
    }
}

static void on_stored(struct shard_put *put, int status, const struct err *err)
{
    struct shard_write *shard = LIST_OF(put, struct shard_write, put);
    struct chunk_write *w = shard->chunk;
    struct object_store *s = w->store;
    unsigned from, to;
    bool all;

    pulse_answered(&shard->pulse);
    pthread_mutex_lock(&w->mutex);
    answer(shard, status, err != NULL ? err->text : err_text(status));
    from = to = w->sent;
    if (status != 0 && !is_safe(w, true)) {
        from = hand_off(w, wanting(w, false), false);
        to = w->sent;
    }
    all = w->answered == w->sent;
    if (all) { /* before the put knows: its end gives all memory back */
        give_buffer_back(w);
    }
    if (all || is_safe(w, false)) {
        pthread_cond_signal(&w->cond);
    }
    pthread_mutex_unlock(&w->mutex);
    for (unsigned i = from; i < to; i++) {
        send(&w->shards[i]);
    }
    chunk_write_unref(w);
    atomic_fetch_sub(&s->pending, 1);
}

/* Parity behind the data; data padded with zeros to whole pieces. */
static void encode(struct chunk_write *w, uint8_t *shards[])
{
    const struct chunk_shape *shape = &w->shape;
    size_t s = shape->piece_bytes;
    size_t padded = s * shape->pieces;
    const uint8_t *data[GEOMETRY_K_MAX];

    for (unsigned i = 0; i < shape->pieces; i++) {
        data[i] = shards[i] = w->buffer + i * s;
    }
    if (shape->pieces == 1) {
        for (unsigned j = 0; j < shape->m; j++) {
            shards[1 + j] = w->buffer; /* copies: the same bytes */
        }
        return;
    }
    memset(w->buffer + shape->chunk_bytes, 0, padded - shape->chunk_bytes);
    for (unsigned j = 0; j < shape->m; j++) {
        shards[shape->pieces + j] = w->buffer + padded + j * s;
    }
    codec_encode(codec_of(shape), s, data, shards + shape->pieces);
}

/* Shards of hung drives are not sent, as many as the quorum can do without:
 * they would hold the buffer, and the pool would run dry. The others go to
 * other drives at once, too. */
static void choose_for_hung(struct chunk_write *w)
{
    unsigned spare = w->sent - geometry_write_quorum(&w->shape);
    uint32_t slow = 0;

    for (unsigned i = 0; i < w->sent; i++) {
        struct shard_write *shard = &w->shards[i];
        if (!drive_is_hung(w->store->pulse, shard->drive, PULSE_WRITE)) {
            continue;
        }
        if (spare > 0) {
            answer(shard, ERR_TIMEOUT, "does not answer");
            w->refs--;
            spare--;
        } else {
            slow |= 1u << shard->slot;
        }
    }
    hand_off(w, slow, false);
}

static void send_shards(struct chunk_write *w)
{
    struct object_store *s = w->store;
    unsigned count = (unsigned)w->shape.pieces + w->shape.m;
    uint8_t *shards[GEOMETRY_SLOTS_MAX];
    bool skip[WRITES_MAX];

    encode(w, shards);
    w->sent = count;
    w->refs = 1 + count;
    for (unsigned i = 0; i < count; i++) {
        struct shard_write *shard = &w->shards[i];
        shard->slot = shard_slot(&w->shape, i);
        shard->chunk = w;
        shard->drive = object_drive(s, &w->ref, shard->slot);
        shard->put = (struct shard_put){
            .key = chunk_key(&w->ref, shard->slot),
            .group = w->ref.group,
            .data = shards[i],
            .length = geometry_shard_bytes(&w->shape, shard->slot),
            .done = on_stored,
        };
    }
    choose_for_hung(w);
    count = w->sent; /* what is added from here on is sent by who adds it */
    for (unsigned i = 0; i < count; i++) {
        skip[i] = w->shards[i].done;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!skip[i]) {
            send(&w->shards[i]);
        }
    }
}

/* Wait until every drive has answered; once the quorum stands, for at most
 * GRACE_MS more; in all for put_timeout_ms. */
static void wait_for_drives(struct chunk_write *w)
{
    uint64_t now = clock_mono_ms();
    uint64_t deadline = now + w->store->options.put_timeout_ms;
    uint64_t handoff = now + HANDOFF_MS; /* 0: was done */
    bool stands = false;

    pthread_mutex_lock(&w->mutex);
    while (w->answered < w->sent && now < deadline) {
        if (!stands && is_safe(w, false)) {
            stands = true;
            deadline = now + GRACE_MS < deadline ? now + GRACE_MS : deadline;
        }
        if (!stands && handoff != 0 && now >= handoff) {
            unsigned from = hand_off(w, wanting(w, true), true), to = w->sent;
            handoff = 0;
            pthread_mutex_unlock(&w->mutex);
            for (; from < to; from++) {
                send(&w->shards[from]);
            }
            pthread_mutex_lock(&w->mutex);
            now = clock_mono_ms();
            continue;
        }
        latch_cond_wait(
            &w->cond, &w->mutex,
            (!stands && handoff != 0 && handoff < deadline ? handoff
                                                           : deadline) -
                now);
        now = clock_mono_ms();
    }
    for (unsigned i = 0; i < w->sent; i++) {
        if (!w->shards[i].done) {
            pulse_abandon(&w->shards[i].pulse);
        }
    }
    pthread_mutex_unlock(&w->mutex);
}

/* Which drives did not store their shard, and why. Lock held. */
static int explain(struct chunk_write *w, unsigned quorum, struct err *err)
{
    struct buf why = {0};
    unsigned count = (unsigned)w->shape.pieces + w->shape.m;
    int rc = w->full > 0 && w->full == w->answered - slots_of(w->stored)
                 ? ERR_FULL
                 : ERR_UNAVAILABLE;

    for (unsigned i = 0; i < w->sent; i++) {
        const struct shard_write *shard = &w->shards[i];
        const char *text = shard->done ? shard->why : "no answer in time";
        char name[24];
        if (w->stored >> shard->slot & 1) {
            continue;
        }
        snprintf(name, sizeof name, "drive %u: ", (unsigned)shard->drive);
        buf_printf(&why, "%s%s%.60s", why.len > 0 ? "; " : "",
                   text != NULL && text_starts(text, "drive ") ? "" : name,
                   text != NULL ? text : "came too late");
    }
    err_set(err, rc, "%u of %u shards stored, %u needed: %s",
            slots_of(w->stored), count, quorum, (const char *)why.data);
    buf_free(&why);
    return rc;
}

/* The slots of the chunk. */
static uint32_t all_slots(const struct chunk_write *w)
{
    uint32_t slots = 0;

    for (unsigned i = 0; i < (unsigned)w->shape.pieces + w->shape.m; i++) {
        slots |= 1u << shard_slot(&w->shape, i);
    }
    return slots;
}

/* What a chunk that will not be has elsewhere than its run says. */
static void drop_handoffs(struct chunk_write *w)
{
    for (unsigned i = 0; i < w->sent; i++) {
        const struct shard_write *shard = &w->shards[i];
        if (shard->handoff && shard->done && shard->status == 0) {
            object_forget_shard(w->store, shard->drive, &shard->put.key);
        }
    }
}

/* End a chunk: durable on its quorum, or an error. What its drives missed is
 * repaired unless the chunk is @unwanted. */
static int settle(struct chunk_write *w, bool unwanted, struct err *err)
{
    unsigned quorum = geometry_write_quorum(&w->shape);
    uint32_t missed = 0;
    int rc = 0;

    wait_for_drives(w);
    pthread_mutex_lock(&w->mutex);
    if (!is_safe(w, false)) {
        rc = explain(w, quorum, err);
    } else {
        missed = all_slots(w) & ~w->own;
    }
    if (rc != 0 || unwanted) {
        drop_handoffs(w);
    }
    pthread_mutex_unlock(&w->mutex);
    if (rc == 0 && !unwanted) {
        atomic_fetch_add(&w->store->chunks_written, 1);
        if (missed != 0) {
            atomic_fetch_add(&w->store->shards_missed, slots_of(missed));
            object_repair_queue(w->store, &w->ref, missed);
        }
    }
    chunk_write_unref(w);
    return rc;
}

static void settle_oldest(struct object_put *p, bool unwanted)
{
    struct chunk_write *w = p->in_flight[0];
    struct err err = {{0}};
    int rc;

    CHECK(p->in_flight_count > 0);
    memmove(&p->in_flight[0], &p->in_flight[1],
            sizeof p->in_flight[0] * --p->in_flight_count);
    rc = settle(w, unwanted, &err);
    if (rc != 0 && p->status == 0) {
        p->status = rc;
        p->err = err;
    }
}

/* ---- the run ---- */

/* Pack the chunk in @buffer, if it pays; gives its bytes from now on. */
static uint32_t compress(struct object_put *p, uint8_t *buffer, uint32_t bytes,
                         uint32_t *plain)
{
    struct manifest *m = &p->manifest;
    uint32_t room = m->block_count + PACK_BLOCKS_MAX;
    uint32_t packed;

    if (p->block_capacity < room) {
        p->block_capacity = room + m->block_count;
        m->blocks =
            mem_realloc(m->blocks, p->block_capacity * sizeof m->blocks[0]);
    }
    packed = pack_chunk(p->store->packers, buffer, bytes, PACK_SHIFT,
                        m->blocks + m->block_count);
    *plain = packed > 0 ? bytes : 0;
    return packed > 0 ? packed : bytes;
}

static void add_to_manifest(struct object_put *p, const uint8_t *data,
                            uint32_t bytes, uint32_t plain)
{
    struct manifest *m = &p->manifest;

    if (m->count == p->capacity) {
        p->capacity = p->capacity > 0 ? p->capacity * 2 : 4;
        m->chunks = mem_realloc(m->chunks, p->capacity * sizeof m->chunks[0]);
    }
    m->chunks[m->count++] = (struct manifest_chunk){
        bytes, crc64nvme(0, data, bytes), plain, m->block_count};
    m->shift = plain > 0 ? PACK_SHIFT : m->shift;
    m->block_count += plain > 0 ? pack_blocks(plain, m->shift) : 0;
}

static int failed(const struct object_put *p, struct err *err)
{
    if (err != NULL) {
        *err = p->err;
    }
    return p->status;
}

/* Copies need no room: they are sent from where the data is. */
static size_t room_for(const struct chunk_shape *shape)
{
    return shape->pieces == 1 ? mem_round_up(shape->chunk_bytes, MEM_PAGE)
                              : geometry_buffer_bytes(shape);
}

/* A buffer is as the policy of the store needs it; another policy may need a
 * larger one. */
static int widen(struct object_put *p, void *buffer, size_t buffer_bytes,
                 uint32_t bytes, struct object_bytes *out, struct err *err)
{
    struct chunk_shape shape = geometry_shape(p->manifest.policy, bytes);
    size_t need = room_for(&shape);

    *out = (struct object_bytes){0};
    if (need <= buffer_bytes) {
        return 0;
    }
    if (!object_bytes_new(p->store, need, false, out)) {
        return err_set(err, ERR_NOMEM, "no memory for a chunk");
    }
    memcpy(out->p, buffer, bytes);
    return 0;
}

int object_put_write(struct object_put *p, void *buffer, uint32_t buffer_for,
                     uint32_t bytes, struct err *err)
{
    size_t buffer_bytes = object_buffer_bytes(p->store, buffer_for);
    struct object_bytes wide;
    struct chunk_write *w;
    uint32_t plain = 0;

    CHECK_OBJ(p, PUT_MAGIC);
    CHECK(p->state == PUT_OPEN);
    CHECK(bytes >= 1 && bytes <= buffer_for);
    if (p->in_flight_count == IN_FLIGHT_MAX) {
        settle_oldest(p, false);
    }
    if (p->status != 0) {
        return failed(p, err);
    }
    if (p->manifest.count == MANIFEST_CHUNKS_MAX) {
        return err_set(err, ERR_LIMIT, "more than %u chunks in one put",
                       MANIFEST_CHUNKS_MAX);
    }
    if (p->how.compress) {
        bytes = compress(p, buffer, bytes, &plain);
    }
    if (widen(p, buffer, buffer_bytes, bytes, &wide, err) != 0) {
        return ERR_NOMEM;
    }
    if (wide.p != NULL) {
        pool_put(p->store->options.pool, buffer, buffer_bytes);
    }
    w = mem_alloc(sizeof *w);
    CHECK(pthread_mutex_init(&w->mutex, NULL) == 0);
    latch_cond_init(&w->cond);
    w->store = p->store;
    w->wide = wide;
    w->buffer = wide.p != NULL ? wide.p : buffer;
    w->buffer_bytes = buffer_bytes;
    add_to_manifest(p, w->buffer, bytes, plain);
    w->ref = object_chunk_ref(&p->manifest, p->manifest.count - 1);
    w->shape = geometry_shape(w->ref.policy, w->ref.bytes);
    send_shards(w);
    p->in_flight[p->in_flight_count++] = w;
    return 0;
}

int object_put_commit(struct object_put *p, struct buf *manifest,
                      struct err *err)
{
    CHECK_OBJ(p, PUT_MAGIC);
    CHECK(p->state == PUT_OPEN);
    CHECK(p->manifest.count > 0);
    while (p->in_flight_count > 0) {
        settle_oldest(p, false);
    }
    if (p->status != 0) {
        return failed(p, err);
    }
    manifest_encode(&p->manifest, manifest);
    p->state = PUT_COMMITTED;
    return 0;
}

static void put_free(struct object_put *p)
{
    struct object_store *s = p->store;

    pthread_mutex_lock(&s->mutex);
    list_remove(&p->node);
    pthread_mutex_unlock(&s->mutex);
    manifest_free(&p->manifest);
    p->magic = 0;
    free(p);
}

/* Delete what was written; what a drive does not delete is an orphan. */
static void undo(struct object_put *p)
{
    struct buf manifest = {0};

    while (p->in_flight_count > 0) {
        settle_oldest(p, true);
    }
    if (p->manifest.count > 0) {
        manifest_encode(&p->manifest, &manifest);
        object_delete(p->store, manifest.data, manifest.len, NULL);
        buf_free(&manifest);
    }
}

void object_put_close(struct object_put *p, int stored)
{
    CHECK_OBJ(p, PUT_MAGIC);
    CHECK(p->state == PUT_COMMITTED);
    if (!stored) {
        undo(p);
    }
    put_free(p);
}

void object_put_abort(struct object_put *p)
{
    CHECK_OBJ(p, PUT_MAGIC);
    CHECK(p->state == PUT_OPEN);
    undo(p);
    put_free(p);
}
