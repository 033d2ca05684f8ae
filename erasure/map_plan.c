#include "erasure/map_plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "erasure/hash.h"
#include "erasure/lrc.h"
#include "erasure/map_balancing.h"
#include "erasure/map_shares.h"
#include "erasure/map_state.h"

#define IDS 65536
#define MAKE_ROUNDS 64 /* in which a first map grows */
#define NUMBER_TRIES \
    64 /* at random, of the slots of a group with local groups */

/* --- A first map --- */

static void shuffle(uint64_t by, uint32_t *at, unsigned n)
{
    for (unsigned i = n; i > 1; i--) {
        unsigned j = (unsigned)(hash_pair(by, i) % i);
        uint32_t t = at[i - 1];
        at[i - 1] = at[j];
        at[j] = t;
    }
}

/* How many slots are in zones and nodes that the group cannot lose, with its
 * slots on the drives @at. Matters with local groups alone. */
static unsigned exposed(const struct map_state *st, struct ec_policy p,
                        const uint32_t *at)
{
    unsigned count = 0;

    for (unsigned s = 0; s < st->slots; s++) {
        const struct map_usable *d = &st->shares.drives[at[s]];
        uint32_t zone = 0, node = 0;
        for (unsigned t = 0; t < st->slots; t++) {
            zone |= (uint32_t)(at[t] >= d->zone_first && at[t] < d->zone_end)
                    << t;
            node |= (uint32_t)(at[t] >= d->node_first && at[t] < d->node_end)
                    << t;
        }
        count += !lrc_decodes(p.k, p.l, (unsigned)p.m - p.l, ~zone);
        count += !lrc_decodes(p.k, p.l, (unsigned)p.m - p.l, ~node);
    }
    return count;
}

/* Number the slots of a group: at random, so that data and parity are spread
 * over all drives; with local groups at random until no zone or node holds too
 * much of one, if that can be. */
static void number_slots(const struct map_state *st, struct ec_policy p,
                         uint32_t group, uint32_t *at)
{
    uint32_t best[GEOMETRY_SLOTS_MAX];
    unsigned least = UINT32_MAX;

    shuffle(group, at, st->slots);
    for (unsigned i = 0; p.l > 0 && i < NUMBER_TRIES && least > 0; i++) {
        unsigned count = exposed(st, p, at);
        if (count < least) {
            least = count;
            memcpy(best, at, st->slots * sizeof at[0]);
        }
        shuffle((uint64_t)(i + 1) << 32 | group, at, st->slots);
    }
    if (p.l > 0) {
        memcpy(at, best, st->slots * sizeof at[0]);
    }
}

/* Drives grow together, in rounds: were the large ones filled first, they would
 * share their groups with each other alone. */
static void fill(struct map_state *st)
{
    uint32_t rounds = st->groups < MAKE_ROUNDS ? st->groups : MAKE_ROUNDS;
    uint32_t group = 0;

    for (uint32_t round = 1; round <= rounds; round++) {
        uint32_t end = (uint32_t)((uint64_t)st->groups * round / rounds);
        state_set_bands(st, round, rounds);
        for (; group < end; group++) {
            for (unsigned s = 0; s < st->slots; s++) {
                uint32_t ref = group * st->slots + s;
                uint32_t d = state_neediest(st, ref);
                if (d != MAP_NO_NUMBER) {
                    state_put(st, ref, d);
                }
            }
        }
    }
}

int map_make(struct ec_policy policy, uint32_t groups,
             const struct map_drive *drives, size_t count,
             struct placement_map *out, struct err *err)
{
    struct placement_map map = {.epoch = 1, .policy = policy, .count = groups};
    unsigned n = (unsigned)policy.k + policy.m;
    struct map_shares shares;
    struct map_drive *all;
    struct map_state *st;
    uint32_t *was;
    int rc;

    CHECK(ec_policy_is_valid(policy));
    CHECK(groups >= 1 && groups <= PLACEMENT_GROUPS_MAX);
    all = mem_dup(drives, count * sizeof drives[0]);
    for (size_t i = 0; i < count; i++) {
        all[i].free_bytes = 1; /* nothing is stored yet */
    }
    rc = map_shares_new(all, count, n, groups, NULL, &shares, err);
    free(all);
    if (rc != 0) {
        return err_wrap(err, rc, "placement map");
    }
    st = state_new(&shares, n, groups);
    was = mem_calloc((size_t)groups * n, sizeof was[0]);
    memset(was, 0xff, (size_t)groups * n * sizeof was[0]);
    fill(st);
    map_balancing_run(
        &(struct map_balancing){.st = st, .was = was, .strict = true});
    map.groups = mem_calloc(groups, sizeof map.groups[0]);
    for (uint32_t g = 0; g < groups; g++) {
        struct placement_group *group = &map.groups[g];
        *group = (struct placement_group){.id = g, .epoch = 1};
        group->policy = policy;
        number_slots(st, policy, g, st->at + (size_t)g * n);
        for (unsigned s = 0; s < n; s++) {
            group->slots[s] = st->shares.drives[st->at[g * n + s]].id;
        }
    }
    free(was);
    state_free(st);
    *out = map;
    return 0;
}

/* --- A plan --- */

struct planner {
    const struct placement_map *map;
    const struct map_drive **by_id; /* NULL for one that is not known */
    struct map_state *st;
    uint32_t *was;
    struct map_plan *plan;
    size_t room; /* in plan->moves */
};

enum urgency { URGENCY_LOST, URGENCY_DRAINING, URGENCY_REST };

static enum urgency urgency_of(const struct planner *p, uint16_t id)
{
    if (p->by_id[id] == NULL || p->by_id[id]->state == MAP_DRIVE_GONE) {
        return URGENCY_LOST;
    }
    return p->st->shares.number[id] == MAP_NO_NUMBER ? URGENCY_DRAINING
                                                     : URGENCY_REST;
}

/* Keep of @group a largest set that the caps allow, slots of poor drives before
 * those of rich ones. */
static void keep_what_fits(struct planner *p, uint32_t group)
{
    struct map_state *st = p->st;
    uint32_t first = group * st->slots;
    uint32_t refs[GEOMETRY_SLOTS_MAX], from[GEOMETRY_SLOTS_MAX];
    unsigned count = 0;
    bool all_fit = true;

    for (uint32_t r = first; r < first + st->slots; r++) {
        uint32_t d = st->at[r];
        unsigned i = count;
        if (d == MAP_NO_NUMBER) {
            continue;
        }
        all_fit = all_fit && state_fits(st, r, d);
        count++;
        for (; i > 0 && state_surplus(st, d) < state_surplus(st, from[i - 1]);
             i--) {
            refs[i] = refs[i - 1];
            from[i] = from[i - 1];
        }
        refs[i] = r;
        from[i] = d;
    }
    if (all_fit) {
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        state_take(st, refs[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        if (state_fits(st, refs[i], from[i])) {
            state_put(st, refs[i], from[i]);
        }
    }
}

/* Gives the slots that had no place, in @count. */
static uint32_t *place_the_rest(struct planner *p, size_t *count)
{
    uint32_t refs = p->st->groups * p->st->slots;
    uint32_t *rest = NULL;
    size_t room = 0;

    *count = 0;
    for (uint32_t ref = 0; ref < refs; ref++) {
        uint32_t d;
        if (p->st->at[ref] != MAP_NO_NUMBER) {
            continue;
        }
        if (*count == room) {
            room = room == 0 ? 64 : room * 2;
            rest = mem_realloc(rest, room * sizeof rest[0]);
        }
        rest[(*count)++] = ref;
        d = state_neediest(p->st, ref);
        if (d != MAP_NO_NUMBER) {
            state_put(p->st, ref, d);
        } else {
            p->plan->homeless++;
        }
    }
    return rest;
}

static void add_move(struct planner *p, const struct map_move *move,
                     enum urgency urgency)
{
    struct map_plan *plan = p->plan;

    if (plan->count == p->room) {
        p->room = p->room == 0 ? 64 : p->room * 2;
        plan->moves = mem_realloc(plan->moves, p->room * sizeof plan->moves[0]);
    }
    plan->moves[plan->count++] = *move;
    plan->evacuated += urgency != URGENCY_REST;
    plan->waves = move->wave >= plan->waves ? move->wave + 1 : plan->waves;
}

/* The drives that @group gets and those that it gives up; a slot whose drive it
 * keeps stays on it, whatever was shuffled on the way. */
static unsigned changes(const struct planner *p, uint32_t group,
                        unsigned *leaving, uint32_t *coming, unsigned *comes)
{
    unsigned n = p->st->slots, leaves = 0;
    const uint32_t *was = p->was + (size_t)group * n;
    uint32_t now[GEOMETRY_SLOTS_MAX];

    memcpy(now, p->st->at + (size_t)group * n, n * sizeof now[0]);
    for (unsigned s = 0; s < n; s++) {
        unsigned i = 0;
        while (i < n && (now[i] != was[s] || was[s] == MAP_NO_NUMBER)) {
            i++;
        }
        if (i < n) {
            now[i] = MAP_NO_NUMBER;
        } else {
            leaving[leaves++] = s;
        }
    }
    *comes = 0;
    for (unsigned i = 0; i < n; i++) {
        if (now[i] != MAP_NO_NUMBER) {
            coming[(*comes)++] = now[i];
        }
    }
    return leaves;
}

/* Which of @coming slot @s of @group takes: one of its own zone if it can, so
 * that the group stays spread between its moves. */
static unsigned match(const struct planner *p, uint16_t from,
                      const uint32_t *coming, unsigned comes)
{
    const struct map_drive *d = p->by_id[from];

    for (unsigned i = 0; d != NULL && i < comes; i++) {
        if (p->by_id[p->st->shares.drives[coming[i]].id]->zone == d->zone) {
            return i;
        }
    }
    return 0;
}

static void plan_group(struct planner *p, uint32_t group)
{
    const struct placement_group *g = &p->map->groups[group];
    unsigned leaving[GEOMETRY_SLOTS_MAX], comes;
    uint32_t coming[GEOMETRY_SLOTS_MAX];
    unsigned leaves = changes(p, group, leaving, coming, &comes);
    uint32_t wave = 0;

    for (int urgency = URGENCY_LOST; urgency <= URGENCY_REST; urgency++) {
        bool any = false;
        for (unsigned i = 0; i < leaves && comes > 0; i++) {
            uint16_t from = g->slots[leaving[i]];
            unsigned to;
            if ((int)urgency_of(p, from) != urgency) {
                continue;
            }
            to = match(p, from, coming, comes);
            add_move(
                p,
                &(struct map_move){.group = group,
                                   .slot = (uint8_t)leaving[i],
                                   .from = from,
                                   .to = p->st->shares.drives[coming[to]].id,
                                   .wave = wave},
                urgency);
            coming[to] = coming[--comes];
            any = true;
            wave += urgency != URGENCY_LOST;
        }
        wave += urgency == URGENCY_LOST && any;
    }
}

struct order {
    uint64_t key;
    struct map_move move;
};

static int by_key(const void *a, const void *b)
{
    const struct order *x = a, *y = b;

    return x->key < y->key ? -1 : x->key > y->key;
}

/* By wave, urgency, group, slot. */
static void order_moves(struct planner *p)
{
    struct map_plan *plan = p->plan;
    struct order *o = mem_calloc(plan->count + 1, sizeof o[0]);

    for (size_t i = 0; i < plan->count; i++) {
        const struct map_move *m = &plan->moves[i];
        o[i].move = *m;
        o[i].key = (uint64_t)m->wave << 40 |
                   (uint64_t)urgency_of(p, m->from) << 32 |
                   (uint64_t)m->group << 8 | m->slot;
    }
    qsort(o, plan->count, sizeof o[0], by_key);
    for (size_t i = 0; i < plan->count; i++) {
        plan->moves[i] = o[i].move;
    }
    free(o);
}

/* Where every slot is now; those on drives that are not usable are on none. */
static void enter_map(struct planner *p)
{
    unsigned n = p->st->slots;

    for (uint32_t g = 0; g < p->map->count; g++) {
        for (unsigned s = 0; s < n; s++) {
            uint32_t d = p->st->shares.number[p->map->groups[g].slots[s]];
            uint32_t ref = g * n + s;
            p->was[ref] = d;
            if (d != MAP_NO_NUMBER) {
                state_put(p->st, ref, d);
            }
        }
    }
}

int map_plan(const struct placement_map *map, const struct map_drive *drives,
             size_t count, struct map_plan *out, struct err *err)
{
    unsigned n = map_slots(map);
    struct map_plan plan = {0};
    struct planner p = {.map = map, .plan = &plan};
    struct map_shares shares;
    struct map_balancing b = {0};
    uint32_t *loose;
    int rc = map_shares_new(drives, count, n, map->count, map, &shares, err);

    if (rc != 0) {
        return err_wrap(err, rc, "placement plan");
    }
    p.by_id = mem_calloc(IDS, sizeof p.by_id[0]);
    for (size_t i = 0; i < count; i++) {
        p.by_id[drives[i].id] = &drives[i];
    }
    p.st = state_new(&shares, n, map->count);
    p.was = mem_calloc((size_t)map->count * n, sizeof p.was[0]);
    state_set_bands(p.st, 1, 1);
    enter_map(&p);
    for (uint32_t g = 0; g < map->count; g++) {
        keep_what_fits(&p, g);
    }
    loose = place_the_rest(&p, &b.loose_count);
    b.st = p.st;
    b.was = p.was;
    b.loose = loose;
    map_balancing_run(&b);
    for (uint32_t g = 0; g < map->count; g++) {
        plan_group(&p, g);
    }
    order_moves(&p);
    plan.uneven = map_balancing_rest(&b);
    state_free(p.st);
    free(loose);
    free(p.was);
    free(p.by_id);
    *out = plan;
    return 0;
}

void map_plan_free(struct map_plan *plan)
{
    free(plan->moves);
    *plan = (struct map_plan){0};
}
