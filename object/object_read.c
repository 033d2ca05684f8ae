/* Read part of one chunk, by any means.
 *
 * All pieces that the range touches are asked of their drives at once. When
 * some are missing, bad, or slower than hedge_ms, a rescue asks for the same
 * bytes of just those of the chunk's other shards that the codec needs: of the
 * piece's local group where there is one, else of any k. It plans anew whenever
 * one fails, and without those that are slow whenever hedge_ms passes again.
 * Answers come into buffers that live until the last drive has answered, so a
 * drive that hangs never writes into memory that the caller has left.
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
#include "erasure/lrc.h"
#include "node/peers.h"
#include "object/drive_pulse.h"
#include "object/object_handoff.h"
#include "object/object_internal.h"

/* A range of one shard, asked of its drive. */
struct fetch {
    struct shard_get get;
    struct pulse_ask pulse;
    struct chunk_read *read;
    uint32_t begin, end; /* within the shard; end is cut at the shard's end */
    uint8_t *data;       /* where begin is */
    bool asked;          /* the reader's */
    bool done;           /* guarded by read->mutex, as is status */
    int status;
};

/* What is asked for more when pieces are bad: the same range of all shards.
 * Masks are of shards. */
struct rescue {
    uint32_t begin, end;
    uint32_t wanted; /* besides the bad pieces; never asked */
    uint32_t from;   /* what may be asked */
    uint32_t late;   /* asked, and not answered within hedge_ms */
    bool looked;     /* for strays */
    struct fetch fetches[GEOMETRY_SLOTS_MAX];
    struct object_bytes spans[GEOMETRY_SLOTS_MAX];
};

struct chunk_read {
    struct object_store *store;
    struct chunk_ref chunk;
    struct chunk_shape shape;
    uint32_t offset, length; /* within the chunk */
    unsigned first, last;    /* pieces that the range touches */
    uint64_t start_ms;
    struct object_bytes window; /* length bytes, in the chunk's order */
    struct rescue *rescue;      /* the reader's; NULL while all goes well */

    pthread_mutex_t mutex; /* guards all below, and done, status of fetches */
    pthread_cond_t cond;
    unsigned refs;  /* drives that have not answered, and the reader */
    struct err err; /* of the last that failed */
    struct fetch pieces[GEOMETRY_K_MAX];
};

static void read_unref(struct chunk_read *r)
{
    bool last;

    pthread_mutex_lock(&r->mutex);
    last = --r->refs == 0;
    pthread_mutex_unlock(&r->mutex);
    if (!last) {
        return;
    }
    for (unsigned i = 0; r->rescue != NULL && i < GEOMETRY_SLOTS_MAX; i++) {
        object_bytes_free(r->store, &r->rescue->spans[i]);
    }
    free(r->rescue);
    object_bytes_free(r->store, &r->window);
    pthread_cond_destroy(&r->cond);
    pthread_mutex_destroy(&r->mutex);
    free(r);
}

/* ---- asking ---- */

static void on_fetched(struct shard_get *get, int status, const struct err *err)
{
    struct fetch *f = LIST_OF(get, struct fetch, get);
    struct chunk_read *r = f->read;
    struct object_store *s = r->store;

    pulse_answered(&f->pulse);
    pthread_mutex_lock(&r->mutex);
    CHECK(!f->done);
    f->done = true;
    f->status = status;
    if (status != 0 && err != NULL) {
        r->err = *err;
    }
    pthread_cond_signal(&r->cond);
    pthread_mutex_unlock(&r->mutex);
    read_unref(r);
    atomic_fetch_sub(&s->pending, 1);
}

static uint16_t drive_of(const struct chunk_read *r, unsigned shard)
{
    return object_drive(r->store, &r->chunk, shard_slot(&r->shape, shard));
}

static bool is_hung(const struct chunk_read *r, unsigned shard)
{
    return drive_is_hung(r->store->pulse, drive_of(r, shard), PULSE_READ);
}

static uint32_t shard_bytes(const struct chunk_read *r, unsigned shard)
{
    return geometry_shard_bytes(&r->shape, shard_slot(&r->shape, shard));
}

/* An answer without a question. */
static void settle(struct chunk_read *r, struct fetch *f, int status,
                   const struct err *err)
{
    pthread_mutex_lock(&r->mutex);
    f->asked = true;
    f->done = true;
    f->status = status;
    if (status != 0) {
        r->err = *err;
    }
    pthread_mutex_unlock(&r->mutex);
}

/* Ask for [f->begin, f->end) of @shard into f->data. */
static void ask(struct chunk_read *r, struct fetch *f, unsigned shard,
                uint16_t drive)
{
    f->asked = true;
    f->read = r;
    f->get = (struct shard_get){
        .key = chunk_key(&r->chunk, shard_slot(&r->shape, shard)),
        .offset = f->begin,
        .length = f->end - f->begin,
        .out = f->data,
        .done = on_fetched,
    };
    pthread_mutex_lock(&r->mutex);
    r->refs++;
    pthread_mutex_unlock(&r->mutex);
    atomic_fetch_add(&r->store->pending, 1);
    pulse_begin(r->store->pulse, &f->pulse, drive, PULSE_READ);
    peers_get(r->store->options.peers, drive, &f->get);
}

static void ask_pieces(struct chunk_read *r)
{
    uint32_t s = r->shape.piece_bytes;
    uint8_t *data = r->window.p;

    for (unsigned i = r->first; i <= r->last; i++) {
        struct fetch *f = &r->pieces[i];
        uint32_t end = r->offset + r->length - i * s;
        f->begin = i == r->first ? r->offset - i * s : 0;
        f->end = end < s ? end : s;
        f->data = data;
        data += f->end - f->begin;
        if (is_hung(r, i)) {
            struct err err;
            err_set(&err, ERR_TIMEOUT, "drive %u does not answer",
                    (unsigned)drive_of(r, i));
            settle(r, f, ERR_TIMEOUT, &err);
        } else {
            ask(r, f, i, drive_of(r, i));
        }
    }
}

static struct chunk_read *read_new(struct object_store *s,
                                   const struct chunk_ref *chunk,
                                   const struct chunk_shape *shape,
                                   uint32_t window_bytes, bool only_pool)
{
    struct chunk_read *r;
    struct object_bytes window;

    if (!object_bytes_new(s, window_bytes, only_pool, &window)) {
        return NULL;
    }
    r = mem_alloc(sizeof *r);
    r->store = s;
    r->chunk = *chunk;
    r->shape = *shape;
    r->start_ms = clock_mono_ms();
    r->window = window;
    r->refs = 1;
    CHECK(pthread_mutex_init(&r->mutex, NULL) == 0);
    latch_cond_init(&r->cond);
    return r;
}

struct chunk_read *object_read_start(struct object_store *s,
                                     const struct chunk_ref *chunk,
                                     uint32_t offset, uint32_t length,
                                     bool only_pool)
{
    struct chunk_shape shape = geometry_shape(chunk->policy, chunk->bytes);
    struct chunk_read *r = read_new(s, chunk, &shape, length, only_pool);

    CHECK(length > 0);
    CHECK(offset < chunk->bytes && length <= chunk->bytes - offset);
    if (r == NULL) {
        return NULL;
    }
    r->offset = offset;
    r->length = length;
    r->first = offset / shape.piece_bytes;
    r->last = (offset + length - 1) / shape.piece_bytes;
    ask_pieces(r);
    return r;
}

/* ---- rescue ---- */

static bool is_good(const struct fetch *f)
{
    return f->done && f->status == 0;
}

/* Lock held. Pieces of the range that did not come (yet). */
static uint32_t bad_pieces(const struct chunk_read *r)
{
    uint32_t bad = 0;

    for (unsigned i = r->first; i <= r->last; i++) {
        bad |= is_good(&r->pieces[i]) ? 0 : 1u << i;
    }
    return bad;
}

/* Does @f have all that @shard has of the rescue's range? */
static bool covers(const struct chunk_read *r, const struct fetch *f,
                   unsigned shard)
{
    uint32_t bytes = shard_bytes(r, shard);
    uint32_t end = r->rescue->end < bytes ? r->rescue->end : bytes;

    return is_good(f) && f->begin <= r->rescue->begin && f->end >= end;
}

/* Lock held. Shards that can serve as input, as a mask. */
static uint32_t sources(const struct chunk_read *r)
{
    uint32_t have = 0;

    for (unsigned i = 0; i < (unsigned)r->shape.pieces + r->shape.m; i++) {
        if (is_good(&r->rescue->fetches[i]) ||
            (i < r->shape.pieces && covers(r, &r->pieces[i], i))) {
            have |= 1u << i;
        }
    }
    return have;
}

/* Ask one more shard for the rescue's range. */
static void rescue_ask(struct chunk_read *r, unsigned shard, uint16_t drive)
{
    struct rescue *x = r->rescue;
    struct fetch *f = &x->fetches[shard];
    uint32_t bytes = shard_bytes(r, shard);
    uint32_t length = x->end - x->begin;

    if (x->spans[shard].p == NULL &&
        !object_bytes_new(r->store, length, false, &x->spans[shard])) {
        struct err err;
        err_set(&err, ERR_NOMEM, "no memory for a read");
        settle(r, f, ERR_NOMEM, &err);
        return;
    }
    f->begin = x->begin;
    f->end = x->end < bytes ? x->end : bytes;
    f->data = x->spans[shard].p;
    if (f->end <= f->begin) { /* all of it is padding */
        f->end = f->begin;
        memset(f->data, 0, length);
        settle(r, f, 0, NULL);
        return;
    }
    memset(f->data + (f->end - f->begin), 0, length - (f->end - f->begin));
    ask(r, f, shard, drive);
}

/* How a rescue stands. */
struct rescue_view {
    uint32_t bad;  /* shards still wanted */
    uint32_t have; /* shards at hand */
    uint32_t open; /* asked in the rescue, not answered */
    bool slow;     /* a piece may still come */
};

/* Lock held. */
static struct rescue_view view(const struct chunk_read *r)
{
    const struct rescue *x = r->rescue;
    struct rescue_view v = {.bad = bad_pieces(r) | x->wanted,
                            .have = sources(r)};

    for (unsigned i = 0; i < GEOMETRY_SLOTS_MAX; i++) {
        v.open |= x->fetches[i].asked && !x->fetches[i].done ? 1u << i : 0;
    }
    for (unsigned i = r->first; i <= r->last; i++) {
        v.slow = v.slow || !r->pieces[i].done;
    }
    return v;
}

/* Is @shard worth asking? Not a piece that is still awaited; what failed is not
 * asked again, but for a drive that gave no answer. */
static bool is_worth_asking(const struct chunk_read *r, unsigned shard)
{
    const struct rescue *x = r->rescue;
    const struct fetch *f;

    if (x->fetches[shard].asked || !(x->from >> shard & 1)) {
        return false;
    }
    if (shard >= r->shape.pieces || !r->pieces[shard].asked) {
        return true;
    }
    f = &r->pieces[shard];
    return f->done && (f->status == ERR_TIMEOUT ||
                       (f->status == 0 && !covers(r, f, shard)));
}

/* Lock held. Shards worth asking whose drives are hung, or are not. */
static uint32_t worth_asking(const struct chunk_read *r, bool hung)
{
    uint32_t mask = 0;

    for (unsigned i = 0; i < (unsigned)r->shape.pieces + r->shape.m; i++) {
        if (is_worth_asking(r, i) && is_hung(r, i) == hung) {
            mask |= 1u << i;
        }
    }
    return mask;
}

/* Can the bad ones be had from the shards in @can, themselves perhaps among
 * them? Then *@use are those that it takes. */
static bool suffices(const struct chunk_read *r, uint32_t can, uint32_t bad,
                     uint32_t *use)
{
    if (codec_plan(codec_of(&r->shape), can, bad, use, NULL) != 0) {
        return false;
    }
    *use |= bad & can;
    return true;
}

/* Lock held. What to ask now: as little as will do, if all answer that are not
 * late. When it cannot be done without those, or without hung drives, then all
 * others: one of them may still be the earlier. */
static uint32_t next_shards(const struct chunk_read *r,
                            const struct rescue_view *v)
{
    uint32_t others = worth_asking(r, false), hung = worth_asking(r, true);
    uint32_t use;

    if (suffices(r, v->have | (v->open & ~r->rescue->late) | others, v->bad,
                 &use)) {
        return use & others;
    }
    if (suffices(r, v->have | v->open | others, v->bad, &use)) {
        return others;
    }
    if (suffices(r, v->have | v->open | others | hung, v->bad, &use)) {
        return others | (use & hung);
    }
    return others | hung;
}

/* Lock held, let go to ask. False when there is nothing to ask. */
static bool ask_more(struct chunk_read *r, const struct rescue_view *v)
{
    uint32_t shards = next_shards(r, v);

    pthread_mutex_unlock(&r->mutex);
    for (uint32_t rest = shards; rest != 0; rest &= rest - 1) {
        unsigned shard = (unsigned)__builtin_ctz(rest);
        rescue_ask(r, shard, drive_of(r, shard));
    }
    pthread_mutex_lock(&r->mutex);
    return shards != 0;
}

/* Shards that their drives do not have may be on others: written while theirs
 * were gone, or not yet moved. Looked for once, when nothing else is left. Lock
 * held, let go to ask. False when none was found. */
static bool ask_strays(struct chunk_read *r, const struct rescue_view *v)
{
    struct rescue *x = r->rescue;
    uint32_t rest = x->from & ~v->have;
    bool found = false;

    if (x->looked) {
        return false;
    }
    x->looked = true;
    pthread_mutex_unlock(&r->mutex);
    for (; rest != 0; rest &= rest - 1) {
        unsigned shard = (unsigned)__builtin_ctz(rest);
        struct shard_key key =
            chunk_key(&r->chunk, shard_slot(&r->shape, shard));
        uint16_t drive = object_find_stray(r->store, &key, drive_of(r, shard));
        if (drive != PLACEMENT_NO_DRIVE) {
            x->fetches[shard] = (struct fetch){0};
            rescue_ask(r, shard, drive);
            found = true;
        }
    }
    pthread_mutex_lock(&r->mutex);
    return found;
}

static int too_few(struct chunk_read *r, uint32_t have, int rc, struct err *err)
{
    const char *why =
        r->err.text[0] != '\0' ? r->err.text : "no answer in time";
    int count = __builtin_popcount(have);

    if (count >= r->shape.pieces) { /* of local groups: not the right ones */
        return err_set(err, rc, "the %d shards that can be read do not do: %s",
                       count, why);
    }
    return err_set(err, rc, "%d of %u shards needed can be read: %s", count,
                   r->shape.pieces, why);
}

/* Ask and wait until nothing is bad any more or enough is at hand to decode:
 * then *@use. */
static int gather(struct chunk_read *r, uint64_t deadline,
                  struct rescue_view *out, uint32_t *use, struct err *err)
{
    uint64_t hedge_ms = r->store->options.hedge_ms + 1; /* never a spin */
    uint64_t now = clock_mono_ms();
    uint64_t hedge_at = now + hedge_ms;
    int rc = 0;

    pthread_mutex_lock(&r->mutex);
    for (;;) {
        struct rescue_view v = view(r);
        *out = v;
        if (suffices(r, v.have, v.bad, use)) {
            break;
        }
        if (now >= deadline) {
            rc = too_few(r, v.have, ERR_TIMEOUT, err);
            break;
        }
        if (ask_more(r, &v)) {
            continue; /* some may have answered already */
        }
        if (v.open == 0 && !v.slow) {
            if (ask_strays(r, &v)) {
                continue;
            }
            rc = too_few(r, v.have, ERR_UNAVAILABLE, err);
            break;
        }
        latch_cond_wait(&r->cond, &r->mutex,
                        (hedge_at < deadline ? hedge_at : deadline) - now);
        now = clock_mono_ms();
        if (now >= hedge_at) {
            r->rescue->late |= view(r).open;
            hedge_at = now + hedge_ms;
        }
    }
    pthread_mutex_unlock(&r->mutex);
    return rc;
}

/* The rescue's range of a shard at hand, padded. */
static uint8_t *source_data(struct chunk_read *r, unsigned shard)
{
    struct rescue *x = r->rescue;
    uint32_t length = x->end - x->begin;
    const struct fetch *f;

    if (is_good(&x->fetches[shard])) {
        return x->fetches[shard].data;
    }
    f = &r->pieces[shard];
    if (f->end >= x->end) {
        return f->data + (x->begin - f->begin);
    }
    if (x->spans[shard].p == NULL &&
        !object_bytes_new(r->store, length, false, &x->spans[shard])) {
        return NULL;
    }
    memset(x->spans[shard].p, 0, length);
    if (f->end > x->begin) {
        memcpy(x->spans[shard].p, f->data + (x->begin - f->begin),
               f->end - x->begin);
    }
    return x->spans[shard].p;
}

/* Where the rescue's range of the shards in @use is; others are NULL. */
static int find_inputs(struct chunk_read *r, uint32_t use, uint8_t **inputs,
                       struct err *err)
{
    for (unsigned i = 0; i < GEOMETRY_SLOTS_MAX; i++) {
        inputs[i] = use >> i & 1 ? source_data(r, i) : NULL;
        if ((use >> i & 1) && inputs[i] == NULL) {
            return err_set(err, ERR_NOMEM, "no memory for a read");
        }
    }
    return 0;
}

/* [@begin, @end) of @shard from the rescue's range of the shards in @use. */
static int make_bytes(const struct chunk_read *r, uint8_t *const *inputs,
                      uint32_t use, unsigned shard, uint32_t begin,
                      uint32_t end, uint8_t *out, struct err *err)
{
    uint32_t skip = begin - r->rescue->begin;
    uint8_t *shards[GEOMETRY_SLOTS_MAX];

    if (inputs[shard] != NULL) { /* its drive was asked again and answered */
        memcpy(out, inputs[shard] + skip, end - begin);
        return 0;
    }
    for (unsigned i = 0; i < GEOMETRY_SLOTS_MAX; i++) {
        shards[i] = inputs[i] != NULL ? inputs[i] + skip : NULL;
    }
    shards[shard] = out;
    return codec_rebuild(codec_of(&r->shape), end - begin, shards, use,
                         1u << shard, err);
}

/* Make the bad pieces' part of the range from the shards in @use. */
static int decode(struct chunk_read *r, uint32_t bad, uint32_t use,
                  uint8_t *out, struct err *err)
{
    uint8_t *inputs[GEOMETRY_SLOTS_MAX];
    int rc = find_inputs(r, use, inputs, err);

    for (unsigned i = r->first; rc == 0 && i <= r->last; i++) {
        const struct fetch *f = &r->pieces[i];
        if (bad >> i & 1) {
            rc = make_bytes(r, inputs, use, i, f->begin, f->end,
                            out + (f->data - r->window.p), err);
        }
    }
    atomic_fetch_add(&r->store->reads_degraded, rc == 0);
    return rc;
}

/* Get the pieces in @bad by other means, straight to their place in @out, but
 * for those that came by themselves meanwhile: gives what is not in the
 * window. */
static int rescue(struct chunk_read *r, uint32_t bad, uint64_t deadline,
                  uint8_t *out, uint32_t *made, struct err *err)
{
    struct rescue *x = mem_alloc(sizeof *x);
    struct rescue_view v;
    uint32_t use;
    int rc;

    x->from = UINT32_MAX;
    x->begin = r->shape.piece_bytes;
    for (unsigned i = r->first; i <= r->last; i++) {
        const struct fetch *f = &r->pieces[i];
        if (bad >> i & 1) {
            x->begin = f->begin < x->begin ? f->begin : x->begin;
            x->end = f->end > x->end ? f->end : x->end;
        }
    }
    r->rescue = x;
    rc = gather(r, deadline, &v, &use, err);
    if (rc != 0) {
        return rc;
    }
    *made = v.bad;
    return v.bad != 0 ? decode(r, v.bad, use, out, err) : 0;
}

/* ---- the end ---- */

/* Wait until all pieces of the range are there, or hedge_ms; gives the bad
 * ones, and counts when some are just slow. */
static uint32_t wait_for_pieces(struct chunk_read *r)
{
    uint64_t hedge_at = r->start_ms + r->store->options.hedge_ms;
    uint64_t now = clock_mono_ms();
    uint32_t bad;
    bool open;

    pthread_mutex_lock(&r->mutex);
    for (;;) {
        open = false;
        for (unsigned i = r->first; i <= r->last; i++) {
            open = open || !r->pieces[i].done;
        }
        if (!open || now >= hedge_at) {
            break;
        }
        latch_cond_wait(&r->cond, &r->mutex, hedge_at - now);
        now = clock_mono_ms();
    }
    bad = bad_pieces(r);
    pthread_mutex_unlock(&r->mutex);
    if (open) {
        atomic_fetch_add(&r->store->reads_hedged, 1);
    }
    return bad;
}

/* A drive that has the shard no more, or has it wrong, gets it again. One that
 * does not answer at all may still have it. Lock held. */
static uint32_t repairs_of(struct chunk_read *r, struct fetch *f,
                           unsigned shard)
{
    if (!f->asked) {
        return 0;
    }
    if (!f->done) {
        pulse_abandon(&f->pulse);
        return 0;
    }
    return f->status == ERR_NOT_FOUND || f->status == ERR_CORRUPT
               ? 1u << shard_slot(&r->shape, shard)
               : 0;
}

/* Leave; what is still open is abandoned. */
static void leave(struct chunk_read *r)
{
    uint32_t slots = 0;

    pthread_mutex_lock(&r->mutex);
    for (unsigned i = r->first; i <= r->last; i++) {
        slots |= repairs_of(r, &r->pieces[i], i);
    }
    for (unsigned i = 0; r->rescue != NULL && i < GEOMETRY_SLOTS_MAX; i++) {
        slots |= repairs_of(r, &r->rescue->fetches[i], i);
    }
    pthread_mutex_unlock(&r->mutex);
    if (slots != 0) {
        object_repair_queue(r->store, &r->chunk, slots);
    }
    read_unref(r);
}

static int check_whole(const struct chunk_read *r, const uint8_t *out,
                       struct err *err)
{
    if (r->length < r->chunk.bytes ||
        crc64nvme(0, out, r->length) == r->chunk.crc64) {
        return 0;
    }
    return err_set(
        err, ERR_CORRUPT, "chunk %016llx%016llx: its CRC64NVME does not match",
        (unsigned long long)r->chunk.id_hi, (unsigned long long)r->chunk.id_lo);
}

/* All bytes into @out, when the pieces in @bad do not come. */
static int finish(struct chunk_read *r, uint32_t bad, uint64_t deadline,
                  uint8_t *out, struct err *err)
{
    uint32_t made = 0;
    int rc = bad != 0 ? rescue(r, bad, deadline, out, &made, err) : 0;

    for (unsigned i = r->first; rc == 0 && i <= r->last; i++) {
        const struct fetch *f = &r->pieces[i];
        if (!(made >> i & 1)) {
            memcpy(out + (f->data - r->window.p), f->data, f->end - f->begin);
        }
    }
    return rc != 0 ? rc : check_whole(r, out, err);
}

static uint64_t deadline_of(const struct chunk_read *r)
{
    return clock_mono_ms() + r->store->options.get_timeout_ms;
}

/* When every piece came, none will be written any more: the window itself can
 * go to the caller. */
int object_read_take(struct chunk_read *r, struct object_bytes *out,
                     struct err *err)
{
    uint64_t deadline = deadline_of(r);
    uint32_t bad = wait_for_pieces(r);
    int rc;

    *out = (struct object_bytes){0};
    if (bad == 0) {
        rc = check_whole(r, r->window.p, err);
        if (rc == 0) {
            *out = r->window;
            r->window = (struct object_bytes){0};
        }
    } else if (object_bytes_new(r->store, r->length, false, out)) {
        rc = finish(r, bad, deadline, out->p, err);
        if (rc != 0) {
            object_bytes_free(r->store, out);
        }
    } else {
        rc = err_set(err, ERR_NOMEM, "no memory for a read");
    }
    if (rc == 0) {
        out->len = r->length;
    }
    leave(r);
    return rc;
}

void object_read_drop(struct chunk_read *r)
{
    if (r != NULL) {
        leave(r);
    }
}

int object_read_chunk(struct object_store *s, const struct chunk_ref *chunk,
                      uint32_t offset, uint32_t length, uint8_t *out,
                      struct err *err)
{
    struct chunk_read *r = object_read_start(s, chunk, offset, length, false);
    uint64_t deadline;
    int rc;

    if (r == NULL) {
        return err_set(err, ERR_NOMEM, "no memory for a read");
    }
    deadline = deadline_of(r);
    rc = finish(r, wait_for_pieces(r), deadline, out, err);
    leave(r);
    return rc;
}

/* ---- one shard ---- */

int object_probe_shard(struct object_store *s, const struct chunk_ref *chunk,
                       unsigned slot, struct err *err)
{
    struct chunk_shape shape = geometry_shape(chunk->policy, chunk->bytes);
    unsigned shard = slot_shard(&shape, slot);
    struct chunk_read *r = read_new(s, chunk, &shape, shape.piece_bytes, false);
    uint64_t now = clock_mono_ms();
    uint64_t deadline = now + s->options.get_timeout_ms;
    struct rescue *x;
    struct fetch *f;
    int rc;

    if (r == NULL) {
        return err_set(err, ERR_NOMEM, "no memory for a read");
    }
    r->rescue = x = mem_alloc(sizeof *x);
    f = &x->fetches[shard];
    f->end = shard_bytes(r, shard);
    f->data = r->window.p;
    ask(r, f, shard, drive_of(r, shard));
    pthread_mutex_lock(&r->mutex);
    while (!f->done && now < deadline) {
        latch_cond_wait(&r->cond, &r->mutex, deadline - now);
        now = clock_mono_ms();
    }
    rc = f->done ? f->status : ERR_TIMEOUT;
    if (!f->done) {
        pulse_abandon(&f->pulse);
        err_set(err, rc, "drive %u does not answer",
                (unsigned)drive_of(r, shard));
    } else if (rc != 0 && err != NULL) {
        *err = r->err;
    }
    pthread_mutex_unlock(&r->mutex);
    read_unref(r);
    return rc;
}

/* Do the drives of all these slots seem to answer? */
static bool all_answer(struct object_store *s, const struct chunk_ref *chunk,
                       uint32_t slots)
{
    for (; slots != 0; slots &= slots - 1) {
        uint16_t drive = object_drive(s, chunk, (unsigned)__builtin_ctz(slots));
        enum peer_state state = peers_state(s->options.peers, drive);
        if ((state != PEER_UP && state != PEER_FULL) ||
            drive_is_hung(s->pulse, drive, PULSE_READ)) {
            return false;
        }
    }
    return true;
}

int object_read_local(struct object_store *s, const struct chunk_ref *chunk,
                      unsigned slot, uint8_t *out, struct err *err)
{
    struct chunk_shape shape = geometry_shape(chunk->policy, chunk->bytes);
    unsigned shard = slot_shard(&shape, slot);
    uint32_t others =
        lrc_group(shape.k, shape.l, shard) & ~((uint32_t)1 << shard);
    uint8_t *inputs[GEOMETRY_SLOTS_MAX];
    struct rescue_view v;
    struct chunk_read *r;
    uint32_t use;
    int rc;

    if (others == 0 || !all_answer(s, chunk, others)) { /* shards are slots */
        return err_set(err, ERR_UNAVAILABLE, "slot %u has no local group%s",
                       slot, others == 0 ? "" : " that answers");
    }
    r = read_new(s, chunk, &shape, 1, false);
    if (r == NULL) {
        return err_set(err, ERR_NOMEM, "no memory for a read");
    }
    r->first = 1; /* no piece: last is 0 */
    r->rescue = mem_alloc(sizeof *r->rescue);
    r->rescue->end = shape.piece_bytes;
    r->rescue->wanted = 1u << shard;
    r->rescue->from = others;
    rc = gather(r, clock_mono_ms() + PULSE_LOST_MS, &v, &use, err);
    if (rc == 0 && (rc = find_inputs(r, use, inputs, err)) == 0) {
        rc = make_bytes(r, inputs, use, shard, 0, shape.piece_bytes, out, err);
    }
    leave(r);
    return rc;
}
