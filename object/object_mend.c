#include "object/object_mend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/peers.h"
#include "object/object_internal.h"

#define BAD_MAX 4096
#define DRIVE_IDS 65536
#define QUEUE_ENOUGH 2000
#define URGENT_ENOUGH (OBJECT_REPAIRS_MAX / 2)
#define QUEUE_WAIT_MS 50
#define QUIET_MS 5000 /* without slots coming, before a look */

struct object_mend {
    struct object_store *store;
    pthread_mutex_t mutex;         /* guards bad, bad_count; innermost */
    struct shard_key bad[BAD_MAX]; /* what scrub found since the last pass */
    size_t bad_count;
    /* Of the one thread that mends. */
    struct shard_key pass[BAD_MAX]; /* what this pass looks for, sorted */
    size_t pass_count;
    bool was_up[DRIVE_IDS];   /* drives of this server */
    bool was_lost[DRIVE_IDS]; /* drives of others */
    atomic_ullong due_ms;     /* of a look; 0: none */
};

static int compare_keys(const void *a, const void *b)
{
    const struct shard_key *x = a;
    const struct shard_key *y = b;

    if (x->hi != y->hi) {
        return x->hi < y->hi ? -1 : 1;
    }
    if (x->lo != y->lo) {
        return x->lo < y->lo ? -1 : 1;
    }
    return (int)x->slot - (int)y->slot;
}

/* On a drive's thread: scrub has found a shard bad. */
static void on_bad(void *arg, const struct shard_info *info)
{
    struct object_mend *m = arg;
    char chunk[40];
    char slot[8];
    bool known = false;

    pthread_mutex_lock(&m->mutex);
    for (size_t i = 0; i < m->bad_count && !known; i++) {
        known = compare_keys(&m->bad[i], &info->key) == 0;
    }
    if (!known && m->bad_count < BAD_MAX) {
        m->bad[m->bad_count++] = info->key;
    }
    pthread_mutex_unlock(&m->mutex);
    if (!known) {
        snprintf(chunk, sizeof chunk, "%016llx%016llx",
                 (unsigned long long)info->key.hi,
                 (unsigned long long)info->key.lo);
        snprintf(slot, sizeof slot, "%u", info->key.slot);
        log_line(LOG_WARN, "scrub found a shard bad; it will be rebuilt",
                 "chunk", chunk, "slot", slot, NULL);
    }
}

struct object_mend *object_mend_new(struct object_store *s)
{
    struct object_mend *m = mem_alloc(sizeof *m);
    struct shard_store *store;
    uint16_t drive;

    m->store = s;
    CHECK(pthread_mutex_init(&m->mutex, NULL) == 0);
    for (size_t i = 0; peers_at(s->options.peers, i, &drive, &store); i++) {
        shard_store_on_bad(store, on_bad, m);
    }
    return m;
}

void object_mend_free(struct object_mend *m)
{
    struct shard_store *store;
    uint16_t drive;

    for (size_t i = 0; peers_at(m->store->options.peers, i, &drive, &store);
         i++) {
        shard_store_on_bad(store, NULL, NULL); /* no call is under way after */
    }
    pthread_mutex_destroy(&m->mutex);
    free(m);
}

/* Has a drive of this server come up since it was last looked at, or has a
 * server been found again, which may have missed ours as we missed it? */
static bool drive_came_up(struct object_mend *m)
{
    struct peers *peers = m->store->options.peers;
    size_t count;
    struct peer_info *all = object_all_drives(m->store, &count);
    bool came = false;

    for (size_t i = 0; i < count; i++) {
        uint16_t drive = all[i].drive;
        enum peer_state state = peers_state(peers, drive);
        if (all[i].server == 0) {
            came = came || (state == PEER_UP && !m->was_up[drive]);
            m->was_up[drive] = state == PEER_UP;
        } else {
            bool lost = state == PEER_UNREACHABLE;
            came = came || (!lost && m->was_lost[drive]);
            m->was_lost[drive] = lost;
        }
    }
    free(all);
    return came;
}

void object_mend_later(struct object_store *s)
{
    atomic_store(&s->mend->due_ms, clock_mono_ms() + QUIET_MS);
}

static bool is_due(struct object_mend *m)
{
    unsigned long long due = atomic_load(&m->due_ms);

    return due != 0 && clock_mono_ms() >= due &&
           atomic_compare_exchange_strong(&m->due_ms, &due, 0);
}

bool object_mend_wanted(struct object_store *s)
{
    struct object_mend *m = s->mend;
    /* Asked without the lock: on_bad takes it under the store's. */
    bool wanted = drive_came_up(m);

    wanted = is_due(m) || wanted;

    pthread_mutex_lock(&m->mutex);
    wanted = wanted || m->bad_count > 0;
    memcpy(m->pass, m->bad, m->bad_count * sizeof m->bad[0]);
    m->pass_count = m->bad_count;
    m->bad_count = 0;
    qsort(m->pass, m->pass_count, sizeof m->pass[0], compare_keys);
    pthread_mutex_unlock(&m->mutex);
    return wanted;
}

/* Must the shard in @slot be rebuilt, as far as its drive's index and the last
 * scrub know? Drives of other servers are their own servers' care. One that is
 * full or away is passed over, and looked at once more when it is up, also if
 * that is so at the next look already. */
static bool is_wanting(struct object_mend *m, const struct chunk_ref *chunk,
                       unsigned slot)
{
    struct object_store *s = m->store;
    uint16_t drive = object_drive(s, chunk, slot);
    struct shard_store *store = peers_store(s->options.peers, drive);
    struct shard_key key = chunk_key(chunk, slot);
    struct shard_info info;

    if (store == NULL) {
        return false;
    }
    if (shard_store_stat(store, &key, &info)) {
        return bsearch(&key, m->pass, m->pass_count, sizeof key,
                       compare_keys) != NULL;
    }
    if (shard_store_state(store) != DRIVE_UP) {
        m->was_up[drive] = false;
        return false;
    }
    return true;
}

enum room { ROOM, NO_ROOM, CLOSING };

static enum room look_at_queue(struct object_store *s, size_t enough)
{
    enum room room;

    pthread_mutex_lock(&s->mutex);
    room = s->stopping ? CLOSING : s->repair_count >= enough ? NO_ROOM : ROOM;
    pthread_mutex_unlock(&s->mutex);
    return room;
}

/* False when the store is closing. */
static bool wait_for_queue(struct object_store *s, size_t enough)
{
    enum room room;

    while ((room = look_at_queue(s, enough)) == NO_ROOM) {
        clock_sleep_ms(QUEUE_WAIT_MS);
    }
    return room == ROOM;
}

static uint32_t wanting_slots(struct object_store *s,
                              const struct chunk_ref *chunk)
{
    struct chunk_shape shape = geometry_shape(chunk->policy, chunk->bytes);
    uint32_t slots = 0;

    for (unsigned n = 0; n < (unsigned)shape.pieces + shape.m; n++) {
        unsigned slot = shard_slot(&shape, n);
        slots |= is_wanting(s->mend, chunk, slot) ? 1u << slot : 0;
    }
    return slots;
}

static bool misses_many(struct object_store *s, const struct chunk_ref *chunk,
                        uint32_t slots)
{
    return __builtin_popcount(slots | object_away_slots(s, chunk)) > 1;
}

/* @first: leave out what can wait; gives whether some was. */
static bool mend_run(struct object_store *s, const void *manifest, size_t len,
                     bool first)
{
    struct manifest m;
    bool left_out = false;

    if (manifest_decode(manifest, len, &m, NULL) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < m.count; i++) {
        struct chunk_ref chunk = object_chunk_ref(&m, i);
        uint32_t slots = wanting_slots(s, &chunk);
        if (slots == 0) {
            continue;
        }
        if (first && !misses_many(s, &chunk, slots)) {
            if (look_at_queue(s, QUEUE_ENOUGH) == ROOM) {
                object_repair_queue(s, &chunk, slots);
            } else {
                left_out = true;
            }
            continue;
        }
        if (!wait_for_queue(s, first ? URGENT_ENOUGH : QUEUE_ENOUGH)) {
            break;
        }
        object_repair_queue(s, &chunk, slots);
    }
    manifest_free(&m);
    return left_out;
}

void object_mend(struct object_store *s, const void *manifest, size_t len)
{
    mend_run(s, manifest, len, false);
}

bool object_mend_urgent(struct object_store *s, const void *manifest,
                        size_t len)
{
    return mend_run(s, manifest, len, true);
}
