#include "object/object_store.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/latch.h"
#include "base/mem.h"
#include "node/peers.h"
#include "object/drive_pulse.h"
#include "object/object_internal.h"
#include "object/pace.h"
#include "object/pack.h"

#define PACE_SLICE_US 100000ull

/* The groups as a table; those of a policy stand together, and those of the
 * store's come first. */
static int make_table(const struct placement_group *groups, uint32_t count,
                      struct ec_policy policy, struct group_table **out,
                      struct err *err)
{
    struct group_table *t = mem_alloc(sizeof *t + count * sizeof t->groups[0]);
    struct group_range *r = t->ranges;

    *r = (struct group_range){.policy = policy};
    for (uint32_t i = 0; i < count; i++) {
        bool known = false;
        if (groups[i].id != i) {
            free(t);
            return err_set(err, ERR_BAD_INPUT,
                           "placement group %u stands in place %u",
                           groups[i].id, i);
        }
        for (struct group_range *o = t->ranges; o <= r; o++) {
            known = known || ec_policy_same(o->policy, groups[i].policy);
        }
        if (!ec_policy_same(groups[i].policy, r->policy)) {
            char is[EC_POLICY_TEXT_MAX], should[EC_POLICY_TEXT_MAX];
            if (r->count == 0 || known ||
                r + 1 == t->ranges + OBJECT_POLICIES_MAX) {
                err_set(err, ERR_BAD_INPUT, "placement group %u is %s, not %s",
                        i, ec_policy_text(groups[i].policy, is),
                        ec_policy_text(r->policy, should));
                free(t);
                return ERR_BAD_INPUT;
            }
            *++r = (struct group_range){.policy = groups[i].policy, .first = i};
        }
        r->count++;
    }
    if (count == 0) {
        free(t);
        return err_set(err, ERR_BAD_INPUT, "there is no placement group");
    }
    t->range_count = (unsigned)(r - t->ranges) + 1;
    t->count = count;
    memcpy(t->groups, groups, count * sizeof groups[0]);
    *out = t;
    return 0;
}

int object_store_open(const struct object_store_options *options,
                      struct object_store **out, struct err *err)
{
    struct object_store *s;
    struct group_table *table;
    int rc = make_table(options->groups, options->group_count, options->policy,
                        &table, err);

    if (rc != 0) {
        return rc;
    }
    s = mem_alloc(sizeof *s);
    s->options = *options;
    s->options.groups = NULL; /* the caller's */
    s->table = table;
    s->pace.rate = options->repair_rate;
    s->pulse = drive_pulse_new(PLACEMENT_NO_DRIVE);
    CHECK(pthread_mutex_init(&s->mutex, NULL) == 0);
    latch_cond_init(&s->cond);
    list_init(&s->puts);
    s->mend = object_mend_new(s);
    s->packers = packers_new();
    object_repair_start(s);
    *out = s;
    return 0;
}

static void free_tables(struct group_table *t)
{
    while (t != NULL) {
        struct group_table *older = t->older;
        free(t);
        t = older;
    }
}

void object_store_close(struct object_store *s)
{
    if (s == NULL) {
        return;
    }
    object_repair_stop(s);
    object_mend_free(s->mend);
    CHECK(list_empty(&s->puts));
    CHECK(s->gets == 0);
    while (atomic_load(&s->pending) > 0) {
        clock_sleep_ms(1); /* drives answer each request, also at their end */
    }
    pthread_cond_destroy(&s->cond);
    pthread_mutex_destroy(&s->mutex);
    drive_pulse_free(s->pulse);
    packers_free(s->packers);
    free_tables(s->table);
    free(s);
}

/* Is @now what @old was, on other drives perhaps, and no shorter? */
static bool follows(const struct group_table *old,
                    const struct group_table *now)
{
    if (now->count < old->count) {
        return false;
    }
    for (uint32_t i = 0; i < old->count; i++) {
        if (!ec_policy_same(old->groups[i].policy, now->groups[i].policy)) {
            return false;
        }
    }
    return true;
}

/* Slot by slot and in place, so that readers need no lock: a group never
 * changes by more than a move at a time. Gives whether a drive of this server
 * got a slot. */
static bool change_slots(struct object_store *s, struct group_table *old,
                         const struct group_table *now)
{
    bool came = false;

    for (uint32_t i = 0; i < old->count; i++) {
        const struct placement_group *g = &now->groups[i];
        for (unsigned n = 0; n < (unsigned)g->policy.k + g->policy.m; n++) {
            came = came || (g->slots[n] != old->groups[i].slots[n] &&
                            peers_store(s->options.peers, g->slots[n]) != NULL);
            __atomic_store_n(&old->groups[i].slots[n], g->slots[n],
                             __ATOMIC_RELAXED);
        }
    }
    return came;
}

int object_store_set_groups(struct object_store *s,
                            const struct placement_group *groups,
                            uint32_t count, struct err *err)
{
    struct group_table *old = s->table, *now;
    int rc = make_table(groups, count, s->options.policy, &now, err);

    if (rc != 0) {
        return rc;
    }
    if (!follows(old, now)) {
        rc = err_set(err, ERR_BAD_INPUT, "%u placement groups do not follow %u",
                     count, old->count);
        free(now);
        return rc;
    }
    if (change_slots(s, old, now)) {
        object_mend_later(s);
    }
    if (now->count > old->count) {
        now->older = old;
        atomic_store(&s->table, now);
    } else {
        free(now);
    }
    return 0;
}

const struct group_range *object_groups(const struct object_store *s,
                                        struct ec_policy policy)
{
    const struct group_table *t = s->table;

    for (unsigned i = 0; i < t->range_count; i++) {
        if (ec_policy_same(t->ranges[i].policy, policy)) {
            return &t->ranges[i];
        }
    }
    return &t->ranges[0];
}

bool object_store_knows(struct object_store *s, struct ec_policy policy)
{
    return ec_policy_same(object_groups(s, policy)->policy, policy);
}

/* The need of a chunk is greatest at whole cells: of @chunk_bytes and of the
 * last whole cell below it the greater. */
size_t object_buffer_bytes(const struct object_store *s, uint32_t chunk_bytes)
{
    struct chunk_shape shape = geometry_shape(s->options.policy, chunk_bytes);
    size_t need = geometry_buffer_bytes(&shape);
    uint32_t cells = chunk_bytes / GEOMETRY_CELL * GEOMETRY_CELL;

    if (cells > 0 && cells < chunk_bytes) {
        shape = geometry_shape(s->options.policy, cells);
        if (geometry_buffer_bytes(&shape) > need) {
            need = geometry_buffer_bytes(&shape);
        }
    }
    return need;
}

void object_store_stats(struct object_store *s, struct object_store_stats *out)
{
    memset(out, 0, sizeof *out);
    out->chunks_written = atomic_load(&s->chunks_written);
    out->shards_missed = atomic_load(&s->shards_missed);
    out->reads_degraded = atomic_load(&s->reads_degraded);
    out->reads_hedged = atomic_load(&s->reads_hedged);
    out->shards_repaired = atomic_load(&s->shards_repaired);
    out->repairs_dropped = atomic_load(&s->repairs_dropped);
    out->orphans_collected = atomic_load(&s->orphans_collected);
    pthread_mutex_lock(&s->mutex);
    out->repairs_waiting = s->repair_count + (s->repairing != NULL);
    pthread_mutex_unlock(&s->mutex);
}

struct chunk_ref object_chunk_ref(const struct manifest *m, uint32_t chunk)
{
    CHECK(chunk < m->count);
    return (struct chunk_ref){
        .policy = m->policy,
        .group = m->group,
        .id_hi = m->id_hi,
        .id_lo = m->id_lo + chunk,
        .bytes = m->chunks[chunk].bytes,
        .crc64 = m->chunks[chunk].crc64,
    };
}

uint16_t object_group_drive(const struct object_store *s, uint32_t group,
                            unsigned slot)
{
    const struct group_table *t = s->table;
    const struct placement_group *g;

    if (group >= t->count) {
        return PLACEMENT_NO_DRIVE;
    }
    g = &t->groups[group];
    if (slot >= (unsigned)g->policy.k + g->policy.m) {
        return PLACEMENT_NO_DRIVE;
    }
    return __atomic_load_n(&g->slots[slot], __ATOMIC_RELAXED);
}

uint16_t object_drive(const struct object_store *s,
                      const struct chunk_ref *chunk, unsigned slot)
{
    return object_group_drive(s, chunk->group, slot);
}

bool object_drive_is_well(struct object_store *s, uint16_t drive)
{
    return peers_state(s->options.peers, drive) == PEER_UP &&
           !drive_is_hung(s->pulse, drive, PULSE_WRITE);
}

struct peer_info *object_all_drives(struct object_store *s, size_t *count)
{
    size_t room = peers_all(s->options.peers, NULL, 0);
    struct peer_info *all = mem_calloc(room + 1, sizeof *all);
    size_t known = peers_all(s->options.peers, all, room);

    *count = known < room ? known : room;
    return all;
}

void object_pace(struct object_store *s, uint64_t bytes,
                 bool (*go_on)(void *arg, uint64_t bytes), void *arg)
{
    uint64_t wait_us, end_us;
    bool stopping;

    pthread_mutex_lock(&s->mutex);
    end_us = clock_mono_us();
    wait_us = pace_take(&s->pace, bytes, end_us);
    stopping = s->stopping;
    pthread_mutex_unlock(&s->mutex);
    end_us += wait_us;
    while (wait_us > 0 && !stopping && (go_on == NULL || go_on(arg, 0))) {
        clock_sleep_ms(wait_us < PACE_SLICE_US ? wait_us / 1000 + 1
                                               : PACE_SLICE_US / 1000);
        pthread_mutex_lock(&s->mutex);
        stopping = s->stopping;
        pthread_mutex_unlock(&s->mutex);
        wait_us = clock_mono_us() < end_us ? end_us - clock_mono_us() : 0;
    }
}
