#include "erasure/map_plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "erasure/lrc.h"
#include "erasure/map_shares.h"
#include "erasure/map_state.h"

#define IDS 65536
#define MAKE_ROUNDS 64 /* in which a first map grows */
/* Bounds of the search for ways over other drives: a second or two. */
#define SEARCH_SLOTS 50000000
#define NUMBER_TRIES \
    64             /* at random, of the slots of a group with local groups */
#define COST_MAX 8 /* moves for one slot */
#define BALANCE_PASSES 8

/* --- Balance --- */

struct balance {
    struct map_state *st;
    const uint32_t *was; /* [ref] drive before the plan */
    bool loose;          /* some slots move in any case */
    bool strict;         /* no slack */
    uint64_t budget;     /* slots that may still be looked at in searches */
};

static void move(struct map_state *st, uint32_t ref, uint32_t drive)
{
    state_take(st, ref);
    state_put(st, ref, drive);
}

/* A slot of @from that may go to @to; one that moves anyway before others.
 * MAP_NO_NUMBER when there is none. */
static uint32_t slot_for(const struct balance *b, uint32_t from, uint32_t to)
{
    const struct state_held *h = &b->st->held[from];
    uint32_t start, found = MAP_NO_NUMBER;

    if (h->count == 0) {
        return MAP_NO_NUMBER;
    }
    start = (uint32_t)(state_hash(b->st->shares.drives[to].id, h->count) %
                       h->count);
    for (uint32_t i = 0; i < h->count; i++) {
        uint32_t ref = h->refs[(start + i) % h->count];
        bool moves = b->was[ref] != from;
        if ((moves || found == MAP_NO_NUMBER) && state_fits(b->st, ref, to)) {
            found = ref;
            if (moves) {
                break;
            }
        }
    }
    return found;
}

/* The drives among which a slot for @to must be sought: where every group has
 * all that fits in a zone or node, only those in it can give. */
static void givers(const struct map_state *st, uint32_t to, uint32_t *first,
                   uint32_t *end)
{
    const struct map_usable *d = &st->shares.drives[to];
    uint64_t in_node = 0, in_zone = 0;

    *first = 0;
    *end = st->shares.count;
    for (uint32_t i = d->zone_first; i < d->zone_end; i++) {
        uint32_t load = st->shares.drives[i].load;
        in_zone += load;
        in_node += i >= d->node_first && i < d->node_end ? load : 0;
    }
    if (in_node >= (uint64_t)st->shares.caps.node * st->groups) {
        *first = d->node_first;
        *end = d->node_end;
    } else if (in_zone >= (uint64_t)st->shares.caps.zone * st->groups) {
        *first = d->zone_first;
        *end = d->zone_end;
    }
}

/* Move up to @want slots to @to from drives that can spare them; how many. */
static uint32_t pull(const struct balance *b, uint32_t to, uint32_t want)
{
    struct map_state *st = b->st;
    uint32_t *hidden = mem_calloc(st->shares.count, sizeof hidden[0]);
    uint32_t hides = 0, moved = 0, first, end;

    givers(st, to, &first, &end);
    while (moved < want) {
        uint32_t from = state_richest(st, first, end);
        uint32_t ref = MAP_NO_NUMBER;
        if (from == MAP_NO_NUMBER || state_surplus(st, from) < 0) {
            break;
        }
        if (from != to) {
            ref = slot_for(b, from, to);
        }
        if (ref == MAP_NO_NUMBER) {
            hidden[hides++] = from;
            state_hide(st, from);
            continue;
        }
        move(st, ref, to);
        moved++;
        givers(st, to, &first, &end);
    }
    while (hides > 0) {
        state_show(st, hidden[--hides]);
    }
    free(hidden);
    return moved;
}

/* Move one slot of @from to a drive that needs one, or has room; whether.
 * @anyway: only one that moves anyway. */
static bool push(const struct balance *b, uint32_t from, bool anyway)
{
    struct map_state *st = b->st;
    const struct state_held *h = &st->held[from];
    uint32_t best_ref = MAP_NO_NUMBER, best_to = MAP_NO_NUMBER;
    int64_t best = -1;
    uint32_t start = (uint32_t)(state_hash(st->shares.drives[from].id, 0) %
                                (h->count > 0 ? h->count : 1));

    for (int pass = 0; pass < (anyway ? 1 : 2) && best <= 0; pass++) {
        for (uint32_t i = 0; i < h->count && best <= 0; i++) {
            uint32_t ref = h->refs[(start + i) % h->count];
            uint32_t to;
            if ((b->was[ref] != from) != (pass == 0)) {
                continue; /* what moves anyway comes first */
            }
            to = state_neediest(st, ref);
            if (to != MAP_NO_NUMBER && state_need(st, to) > best) {
                best = state_need(st, to);
                best_ref = ref;
                best_to = to;
            }
        }
    }
    if (best_ref == MAP_NO_NUMBER) {
        return false;
    }
    move(st, best_ref, best_to);
    return true;
}

/* --- Ways over other drives --- */

enum way { WAY_FROM, WAY_TO }; /* the drive that is known is its first, last */

/* Drives that a way has reached, each with the slot by which. Cheapest first:
 * a slot that moves anyway costs nothing, another one move. */
struct search {
    enum way way;
    uint32_t *queue; /* both ends are used: room for 2 * drives */
    uint32_t head, tail;
    uint32_t *before; /* [drive] the one from which it was reached */
    uint32_t *ref;    /* [drive] the slot that moves between the two */
    uint32_t *cost;   /* [drive] */
    bool *done;
};

static void search_init(struct search *s, enum way way, uint32_t drives,
                        uint32_t root)
{
    s->way = way;
    s->queue = mem_calloc(4 * (size_t)drives + 2, sizeof s->queue[0]);
    s->head = s->tail = 2 * drives + 1;
    s->before = mem_calloc(drives, sizeof s->before[0]);
    s->ref = mem_calloc(drives, sizeof s->ref[0]);
    s->cost = mem_calloc(drives, sizeof s->cost[0]);
    s->done = mem_calloc(drives, sizeof s->done[0]);
    memset(s->cost, 0xff, drives * sizeof s->cost[0]);
    s->cost[root] = 0;
    s->queue[s->tail++] = root;
}

static void search_free(struct search *s)
{
    free(s->queue);
    free(s->before);
    free(s->ref);
    free(s->cost);
    free(s->done);
}

/* Look one slot further from @at. */
static void search_widen(struct balance *b, struct search *s, uint32_t at,
                         uint32_t cost_max)
{
    const struct map_state *st = b->st;

    for (uint32_t d = 0; d < st->shares.count; d++) {
        uint32_t from = s->way == WAY_FROM ? at : d;
        uint32_t to = s->way == WAY_FROM ? d : at;
        uint32_t ref, cost;
        if (d == at || s->done[d] || s->cost[d] <= s->cost[at] ||
            st->shares.drives[to].full) {
            continue;
        }
        b->budget -=
            b->budget < st->held[from].count ? b->budget : st->held[from].count;
        ref = slot_for(b, from, to);
        if (ref == MAP_NO_NUMBER) {
            continue;
        }
        cost = s->cost[at] + (b->was[ref] == from);
        if (cost > cost_max || cost >= s->cost[d]) {
            continue;
        }
        s->cost[d] = cost;
        s->before[d] = at;
        s->ref[d] = ref;
        if (cost == s->cost[at] && s->head > 0) {
            s->queue[--s->head] = d;
        } else {
            s->queue[s->tail++] = d;
        }
    }
}

/* Move along the way that ends at @at; all or nothing: two slots of the same
 * group may be in each other's way. */
static bool walk(const struct balance *b, const struct search *s, uint32_t root,
                 uint32_t at)
{
    struct map_state *st = b->st;
    uint32_t end = at;
    bool fits = true;

    for (; at != root && fits; at = s->before[at]) {
        uint32_t from = s->way == WAY_FROM ? s->before[at] : at;
        uint32_t to = s->way == WAY_FROM ? at : s->before[at];
        fits = st->at[s->ref[at]] == from && state_fits(st, s->ref[at], to);
        if (!fits) {
            break;
        }
        move(st, s->ref[at], to);
    }
    if (fits) {
        return true;
    }
    for (uint32_t back = end; back != at; back = s->before[back]) {
        move(st, s->ref[back], s->way == WAY_FROM ? s->before[back] : back);
    }
    return false;
}

/* One slot from or to @root by the cheapest way, over as many drives as it
 * takes; whether there was one within @cost_max moves. */
static bool find_way(struct balance *b, enum way way, uint32_t root,
                     uint32_t cost_max)
{
    const struct map_state *st = b->st;
    struct search s;
    bool moved = false;

    search_init(&s, way, st->shares.count, root);
    while (!moved && s.head < s.tail && b->budget > 0) {
        uint32_t at = s.queue[s.head++];
        int64_t room =
            way == WAY_FROM ? state_need(st, at) : state_surplus(st, at);
        if (s.done[at]) {
            continue;
        }
        s.done[at] = true;
        if (at != root && room >= 0) {
            moved = walk(b, &s, root, at);
            break;
        }
        search_widen(b, &s, at, cost_max);
    }
    search_free(&s);
    return moved;
}

/* How far out of its band a drive may be before slots move for that alone. */
static int64_t slack(const struct balance *b, uint32_t drive)
{
    int64_t share = b->st->high[drive] * MAP_SLACK_PERCENT / 100;

    return b->strict ? 0 : share > 1 ? share : 1;
}

/* Take from what is above its band. */
static bool lower(struct balance *b)
{
    struct map_state *st = b->st;
    bool moved = false;

    for (int step = 0; step < 4; step++) {
        for (uint32_t d = 0; d < st->shares.count; d++) {
            if (state_surplus(st, d) <= slack(b, d)) {
                continue;
            }
            while (state_surplus(st, d) > 0 &&
                   (step == 0   ? push(b, d, true)
                    : step == 1 ? b->loose && find_way(b, WAY_FROM, d, 0)
                    : step == 2 ? push(b, d, false)
                                : find_way(b, WAY_FROM, d, COST_MAX))) {
                moved = true;
            }
        }
    }
    return moved;
}

/* Give to what is below its band. */
static bool raise(struct balance *b)
{
    struct map_state *st = b->st;
    bool moved = false;

    for (int step = 0; step < 3; step++) {
        for (uint32_t d = 0; d < st->shares.count; d++) {
            if (state_need(st, d) <= slack(b, d)) {
                continue;
            }
            while (state_need(st, d) > 0 && !st->shares.drives[d].full &&
                   (step == 0   ? b->loose && find_way(b, WAY_TO, d, 0)
                    : step == 1 ? pull(b, d, (uint32_t)state_need(st, d)) > 0
                                : find_way(b, WAY_TO, d, COST_MAX))) {
                moved = true;
            }
        }
    }
    return moved;
}

/* Bring every drive into its band, as far as there is a way. */
static void balance(struct balance *b)
{
    bool moved = true;

    for (int pass = 0; pass < BALANCE_PASSES && moved; pass++) {
        moved = lower(b);
        moved |= raise(b);
    }
}

static size_t uneven(const struct balance *b)
{
    size_t slots = 0;

    for (uint32_t d = 0; d < b->st->shares.count; d++) {
        int64_t need = state_need(b->st, d);
        int64_t surplus = state_surplus(b->st, d);
        slots += surplus > slack(b, d) ? (size_t)surplus : 0;
        slots += need > slack(b, d) ? (size_t)need : 0;
    }
    return slots;
}

/* --- A first map --- */

static void shuffle(uint64_t by, uint32_t *at, unsigned n)
{
    for (unsigned i = n; i > 1; i--) {
        unsigned j = (unsigned)(state_hash(by, i) % i);
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
    balance(&(struct balance){st, was, true, true, SEARCH_SLOTS});
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

/* Whether there was any. */
static bool place_the_rest(struct planner *p)
{
    size_t refs = (size_t)p->st->groups * p->st->slots;
    bool any = false;

    for (uint32_t ref = 0; ref < refs; ref++) {
        if (p->st->at[ref] == MAP_NO_NUMBER) {
            uint32_t d = state_neediest(p->st, ref);
            any = true;
            if (d != MAP_NO_NUMBER) {
                state_put(p->st, ref, d);
            } else {
                p->plan->homeless++;
            }
        }
    }
    return any;
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
    struct balance b;
    bool loose;
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
    loose = place_the_rest(&p);
    b = (struct balance){p.st, p.was, loose, false, SEARCH_SLOTS};
    balance(&b);
    for (uint32_t g = 0; g < map->count; g++) {
        plan_group(&p, g);
    }
    order_moves(&p);
    plan.uneven = uneven(&b);
    state_free(p.st);
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
