#include "object/object_gc.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/latch.h"
#include "base/mem.h"
#include "erasure/codec.h"
#include "node/peers.h"
#include "object/drive_pulse.h"
#include "object/manifest.h"
#include "object/object_internal.h"

#define PAGE 1024
/* Deletes in flight at once; enough to fill a drive's batches. */
#define DELETES_MAX 256

/* ---- deleting ---- */

/* Deletes under way together. Lives until the last drive has answered. */
struct deletes {
    struct object_store *store;
    struct latch latch;
    atomic_uint refs;
    unsigned count;
    struct shard_delete_item {
        struct shard_delete del;
        struct pulse_ask pulse;
        struct deletes *all;
    } items[DELETES_MAX];
};

static struct deletes *deletes_new(struct object_store *s)
{
    struct deletes *d = mem_alloc(sizeof *d);

    d->store = s;
    latch_init(&d->latch);
    atomic_store(&d->refs, 1);
    return d;
}

static void deletes_unref(struct deletes *d)
{
    if (atomic_fetch_sub(&d->refs, 1) == 1) {
        latch_close(&d->latch);
        free(d);
    }
}

static void on_deleted(struct shard_delete *del, int status,
                       const struct err *err)
{
    struct shard_delete_item *item =
        LIST_OF(del, struct shard_delete_item, del);
    struct deletes *d = item->all;
    struct object_store *s = d->store;

    pulse_answered(&item->pulse);
    (void)status; /* a shard that stays is an orphan */
    (void)err;
    latch_signal(&d->latch);
    deletes_unref(d);
    atomic_fetch_sub(&s->pending, 1);
}

/* Wait for what is under way and begin anew. */
static struct deletes *deletes_flush(struct deletes *d)
{
    struct object_store *s = d->store;

    if (!latch_wait(&d->latch, d->count, s->options.put_timeout_ms)) {
        for (unsigned i = 0; i < d->count; i++) {
            pulse_abandon(&d->items[i].pulse);
        }
    }
    deletes_unref(d);
    return deletes_new(s);
}

static struct deletes *deletes_add(struct deletes *d, uint16_t drive,
                                   const struct shard_key *key)
{
    struct shard_delete_item *item;

    if (drive_is_hung(d->store->pulse, drive, PULSE_WRITE)) {
        return d; /* an orphan */
    }
    if (d->count == DELETES_MAX) {
        d = deletes_flush(d);
    }
    item = &d->items[d->count++];
    item->all = d;
    item->del = (struct shard_delete){.key = *key, .done = on_deleted};
    atomic_fetch_add(&d->refs, 1);
    atomic_fetch_add(&d->store->pending, 1);
    pulse_begin(d->store->pulse, &item->pulse, drive, PULSE_WRITE);
    peers_delete(d->store->options.peers, drive, &item->del);
    return d;
}

static struct deletes *delete_slots(struct deletes *d,
                                    const struct chunk_ref *chunk,
                                    uint32_t slots)
{
    for (unsigned slot = 0; slot < GEOMETRY_SLOTS_MAX; slot++) {
        struct shard_key key = chunk_key(chunk, slot);
        if (slots >> slot & 1) {
            d = deletes_add(d, object_drive(d->store, chunk, slot), &key);
        }
    }
    return d;
}

void object_delete_shards(struct object_store *s, const struct chunk_ref *chunk,
                          uint32_t slots)
{
    if (slots != 0) {
        deletes_unref(
            deletes_flush(delete_slots(deletes_new(s), chunk, slots)));
    }
}

struct forgotten {
    struct shard_delete del;
    struct object_store *store;
};

static void on_forgotten(struct shard_delete *del, int status,
                         const struct err *err)
{
    struct forgotten *f = LIST_OF(del, struct forgotten, del);
    struct object_store *s = f->store;

    (void)status; /* it is a stray, or an orphan */
    (void)err;
    free(f);
    atomic_fetch_sub(&s->pending, 1);
}

void object_forget_shard(struct object_store *s, uint16_t drive,
                         const struct shard_key *key)
{
    struct forgotten *f = mem_alloc(sizeof *f);

    f->store = s;
    f->del = (struct shard_delete){.key = *key, .done = on_forgotten};
    atomic_fetch_add(&s->pending, 1);
    peers_delete(s->options.peers, drive, &f->del);
}

int object_delete(struct object_store *s, const void *manifest, size_t len,
                  struct err *err)
{
    struct manifest m;
    struct deletes *d;
    int rc = manifest_decode(manifest, len, &m, err);

    if (rc != 0) {
        return rc;
    }
    d = deletes_new(s);
    for (uint32_t i = 0; i < m.count; i++) {
        struct chunk_ref chunk = object_chunk_ref(&m, i);
        struct chunk_shape shape = geometry_shape(m.policy, chunk.bytes);
        uint32_t slots = 0;
        for (unsigned n = 0; n < (unsigned)shape.pieces + shape.m; n++) {
            slots |= 1u << shard_slot(&shape, n);
        }
        object_repair_forget(s, chunk.id_hi, chunk.id_lo);
        d = delete_slots(d, &chunk, slots);
    }
    deletes_unref(deletes_flush(d));
    manifest_free(&m);
    return 0;
}

/* ---- orphans ---- */

struct orphan_walk {
    struct object_store *store;
    bool (*known)(void *arg, uint64_t hi, uint64_t lo);
    void *arg;
    uint64_t before_ms;
    uint64_t hi, lo; /* the run judged last */
    bool judged, orphan;
};

/* Steps (2) to (4) of docs/ARCHITECTURE.md, "Collecting orphans"; step (1), the
 * listing, came before. */
static bool is_orphan(struct orphan_walk *w, const struct shard_key *key)
{
    uint64_t lo = key->lo & ~MANIFEST_CHUNK_LO_MASK;

    if (w->judged && w->hi == key->hi && w->lo == lo) {
        return w->orphan;
    }
    w->judged = true;
    w->hi = key->hi;
    w->lo = lo;
    w->orphan = key->hi >> 16 < w->before_ms &&
                !object_put_in_flight(w->store, key->hi, lo) &&
                !w->known(w->arg, key->hi, lo);
    return w->orphan;
}

static uint64_t collect_drive(struct orphan_walk *w, uint16_t drive,
                              struct shard_store *store)
{
    struct shard_info *page = mem_calloc(PAGE, sizeof *page);
    struct deletes *d = deletes_new(w->store);
    struct shard_key after;
    const struct shard_key *from = NULL;
    uint64_t collected = 0;
    size_t n;

    while (!drive_is_hung(w->store->pulse, drive, PULSE_WRITE) &&
           (n = shard_store_list(store, from, page, PAGE)) > 0) {
        w->judged = false; /* a page is listed anew: judge anew */
        for (size_t i = 0; i < n; i++) {
            if (is_orphan(w, &page[i].key)) {
                d = deletes_add(d, drive, &page[i].key);
                collected++;
            }
        }
        after = page[n - 1].key;
        from = &after;
    }
    deletes_unref(deletes_flush(d));
    free(page);
    return collected;
}

uint64_t object_collect_orphans(struct object_store *s,
                                bool (*known)(void *arg, uint64_t hi,
                                              uint64_t lo),
                                void *arg)
{
    uint64_t now = clock_real_ms();
    uint64_t age = s->options.orphan_age_ms;
    struct orphan_walk w = {.store = s,
                            .known = known,
                            .arg = arg,
                            .before_ms = now > age ? now - age : 0};
    struct shard_store *store;
    uint64_t collected = 0;
    uint16_t drive;

    for (size_t i = 0; peers_at(s->options.peers, i, &drive, &store); i++) {
        collected += collect_drive(&w, drive, store);
    }
    atomic_fetch_add(&s->orphans_collected, collected);
    return collected;
}

/* ---- verifying ---- */

struct verify {
    struct object_store *store;
    bool repair;
    void (*report)(void *arg, enum object_defect defect,
                   const struct shard_key *key, uint16_t drive,
                   const char *why);
    void *arg;
    uint64_t defects;
};

static uint32_t slot_bytes(const struct chunk_ref *chunk, unsigned slot)
{
    struct chunk_shape shape = geometry_shape(chunk->policy, chunk->bytes);

    return geometry_shard_bytes(&shape, slot);
}

/* Read a shard past the system's cache, once the drive is known to answer:
 * that read has no deadline where the drive is. */
static int check_shard(struct object_store *s, const struct chunk_ref *chunk,
                       unsigned slot, uint16_t drive, struct err *err)
{
    struct shard_key key = chunk_key(chunk, slot);
    struct shard_info info;
    int rc;

    if (peers_state(s->options.peers, drive) == PEER_UNKNOWN) {
        return err_set(err, ERR_IO, "drive %u is not known here",
                       (unsigned)drive);
    }
    if (drive_is_hung(s->pulse, drive, PULSE_READ)) {
        return err_set(err, ERR_TIMEOUT, "drive %u does not answer",
                       (unsigned)drive);
    }
    rc = object_probe_shard(s, chunk, slot, err);
    if (rc != 0) {
        return rc;
    }
    rc = peers_verify(s->options.peers, drive, &key, &info, err);
    if (rc == 0 && info.length != slot_bytes(chunk, slot)) {
        rc = err_set(err, ERR_CORRUPT, "drive %u: the shard has %u bytes",
                     (unsigned)drive, info.length);
    }
    return rc;
}

static bool verify_shard(struct verify *v, const struct chunk_ref *chunk,
                         unsigned slot)
{
    uint16_t drive = object_drive(v->store, chunk, slot);
    struct shard_key key = chunk_key(chunk, slot);
    enum object_defect defect = OBJECT_SHARD_UNREADABLE;
    struct err err = {{0}};

    switch (check_shard(v->store, chunk, slot, drive, &err)) {
        case 0:
            return true;
        case ERR_NOT_FOUND:
            defect = OBJECT_SHARD_MISSING;
            break;
        case ERR_CORRUPT:
        case ERR_RANGE: /* shorter than it should be */
            defect = OBJECT_SHARD_CORRUPT;
            break;
        default:
            break;
    }
    v->defects++;
    v->report(v->arg, defect, &key, drive, err.text);
    return false;
}

static void verify_chunk(struct verify *v, const struct chunk_ref *chunk)
{
    struct chunk_shape shape = geometry_shape(chunk->policy, chunk->bytes);
    unsigned count = (unsigned)shape.pieces + shape.m;
    uint32_t good = 0, bad = 0; /* shards; slots */
    uint32_t read;

    for (unsigned i = 0; i < count; i++) {
        unsigned slot = shard_slot(&shape, i);
        if (verify_shard(v, chunk, slot)) {
            good |= 1u << i;
        } else {
            bad |= 1u << slot;
        }
    }
    if (codec_plan(codec_of(&shape), good, (1u << count) - 1, &read, NULL) !=
        0) {
        struct shard_key key = chunk_key(chunk, 0);
        v->defects++;
        v->report(v->arg, OBJECT_CHUNK_LOST, &key, 0, "");
        return;
    }
    for (unsigned slot = 0; v->repair && slot < GEOMETRY_SLOTS_MAX; slot++) {
        if (bad >> slot & 1) {
            object_repair_shard(v->store, chunk, slot, NULL);
        }
    }
}

uint64_t object_verify(struct object_store *s, const void *manifest, size_t len,
                       bool repair,
                       void (*report)(void *arg, enum object_defect defect,
                                      const struct shard_key *key,
                                      uint16_t drive, const char *why),
                       void *arg)
{
    struct verify v = {
        .store = s, .repair = repair, .report = report, .arg = arg};
    struct manifest m;
    struct err err;

    if (manifest_decode(manifest, len, &m, &err) != 0) {
        report(arg, OBJECT_MANIFEST_BAD, NULL, 0, err.text);
        return 1;
    }
    for (uint32_t i = 0; i < m.count; i++) {
        struct chunk_ref chunk = object_chunk_ref(&m, i);
        verify_chunk(&v, &chunk);
    }
    manifest_free(&m);
    return v.defects;
}
