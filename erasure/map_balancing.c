#include "erasure/map_balancing.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "erasure/hash.h"
#include "erasure/map_plan.h"

/* What may be looked at in searches for ways over other drives: a second or
 * two. */
#define SEARCH_SLOTS 50000000
#define COST_MAX 8 /* moves for one slot */
#define PASSES 8

static void move(struct map_state *st, uint32_t ref, uint32_t drive)
{
    state_take(st, ref);
    state_put(st, ref, drive);
}

/* How far out of its band a drive may be before slots move for that alone. */
static int64_t slack(const struct map_balancing *b, uint32_t drive)
{
    int64_t share = b->st->high[drive] * MAP_SLACK_PERCENT / 100;

    return b->strict ? 0 : share > 1 ? share : 1;
}

/* A slot of @from that may go to @to; one that moves anyway before others.
 * MAP_NO_NUMBER when there is none. */
static uint32_t slot_for(const struct map_balancing *b, uint32_t from,
                         uint32_t to)
{
    const struct state_held *h = &b->st->held[from];
    uint32_t start, found = MAP_NO_NUMBER;

    if (h->count == 0) {
        return MAP_NO_NUMBER;
    }
    start =
        (uint32_t)(hash_pair(b->st->shares.drives[to].id, h->count) % h->count);
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

/* Move up to @want slots to @to from drives that can spare them; how many.
 * @within_slack: also from such as then are below their band. */
static uint32_t pull(const struct map_balancing *b, uint32_t to, uint32_t want,
                     bool within_slack)
{
    struct map_state *st = b->st;
    uint32_t *hidden = mem_calloc(st->shares.count, sizeof hidden[0]);
    uint32_t hides = 0, moved = 0, first, end;

    givers(st, to, &first, &end);
    while (moved < want) {
        uint32_t from = state_richest(st, first, end);
        uint32_t ref = MAP_NO_NUMBER;
        if (from == MAP_NO_NUMBER ||
            (!within_slack && state_surplus(st, from) < 0)) {
            break;
        }
        if (from != to &&
            state_surplus(st, from) >= (within_slack ? -slack(b, from) : 0)) {
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
static bool push(const struct map_balancing *b, uint32_t from, bool anyway)
{
    struct map_state *st = b->st;
    const struct state_held *h = &st->held[from];
    uint32_t best_ref = MAP_NO_NUMBER, best_to = MAP_NO_NUMBER;
    int64_t best = -1;
    uint32_t start = (uint32_t)(hash_pair(st->shares.drives[from].id, 0) %
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

static void spend(struct map_balancing *b, uint64_t looks)
{
    b->budget -= b->budget < looks ? b->budget : looks;
}

/* Note that @d is reached from @at by @ref. */
static void reach(const struct map_balancing *b, struct search *s, uint32_t at,
                  uint32_t d, uint32_t ref, uint32_t cost_max)
{
    uint32_t cost = s->cost[at] + (b->was[ref] == b->st->at[ref]);

    if (cost > cost_max || cost >= s->cost[d]) {
        return;
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

static bool is_worth(const struct map_balancing *b, const struct search *s,
                     uint32_t at, uint32_t d)
{
    uint32_t to = s->way == WAY_FROM ? d : at;

    return d != at && !s->done[d] && s->cost[d] > s->cost[at] &&
           !b->st->shares.drives[to].full;
}

/* Look one slot further from @at. */
static void search_widen(struct map_balancing *b, struct search *s, uint32_t at,
                         uint32_t cost_max)
{
    for (uint32_t d = 0; d < b->st->shares.count; d++) {
        uint32_t from = s->way == WAY_FROM ? at : d;
        uint32_t to = s->way == WAY_FROM ? d : at;
        uint32_t ref;
        if (!is_worth(b, s, at, d)) {
            continue;
        }
        spend(b, b->st->held[from].count);
        ref = slot_for(b, from, to);
        if (ref != MAP_NO_NUMBER) {
            reach(b, s, at, d, ref, cost_max);
        }
    }
}

/* The same by the slots alone that move in any case. */
static void search_widen_loose(struct map_balancing *b, struct search *s,
                               uint32_t at)
{
    const struct map_state *st = b->st;

    spend(b, b->loose_count);
    for (size_t i = 0; i < b->loose_count; i++) {
        uint32_t ref = b->loose[i], from = st->at[ref];
        if (from == MAP_NO_NUMBER || b->was[ref] == from) {
            continue;
        }
        if (s->way == WAY_TO) {
            if (is_worth(b, s, at, from) && state_fits(st, ref, at)) {
                reach(b, s, at, from, ref, 0);
            }
            continue;
        }
        spend(b, from == at ? st->shares.count : 0);
        for (uint32_t d = 0; from == at && d < st->shares.count; d++) {
            if (is_worth(b, s, at, d) && state_fits(st, ref, d)) {
                reach(b, s, at, d, ref, 0);
            }
        }
    }
}

/* Move along the way that ends at @at; all or nothing: two slots of the same
 * group may be in each other's way. */
static bool walk(const struct map_balancing *b, const struct search *s,
                 uint32_t root, uint32_t at)
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
static bool find_way(struct map_balancing *b, enum way way, uint32_t root,
                     uint32_t cost_max)
{
    const struct map_state *st = b->st;
    struct search s;
    bool moved = false;

    if (cost_max == 0 && b->loose_count == 0) {
        return false;
    }
    search_init(&s, way, st->shares.count, root);
    while (!moved && s.head < s.tail && b->budget > 0) {
        uint32_t at = s.queue[s.head++];
        int64_t room = slack(b, at) + (way == WAY_FROM ? state_need(st, at)
                                                       : state_surplus(st, at));
        if (s.done[at]) {
            continue;
        }
        s.done[at] = true;
        if (at != root && room >= 0) {
            moved = walk(b, &s, root, at);
            break;
        }
        if (cost_max == 0) {
            search_widen_loose(b, &s, at);
        } else {
            search_widen(b, &s, at, cost_max);
        }
    }
    search_free(&s);
    return moved;
}

/* Take from what is above its band; what moves anyway first. */
static bool lower(struct map_balancing *b)
{
    struct map_state *st = b->st;
    bool moved = false;

    for (int step = 0; step < 4; step++) {
        for (uint32_t d = 0; d < st->shares.count; d++) {
            bool done = state_surplus(st, d) <= slack(b, d);
            while (!done && state_surplus(st, d) > 0) {
                bool ok = step == 0   ? push(b, d, true)
                          : step == 1 ? find_way(b, WAY_FROM, d, 0)
                          : step == 2 ? push(b, d, false)
                                      : find_way(b, WAY_FROM, d, COST_MAX);
                done = !ok;
                moved |= ok;
            }
        }
    }
    return moved;
}

/* Give to what is below its band. */
static bool raise(struct map_balancing *b)
{
    struct map_state *st = b->st;
    bool moved = false;

    for (int step = 0; step < 4; step++) {
        for (uint32_t d = 0; d < st->shares.count; d++) {
            bool done =
                state_need(st, d) <= slack(b, d) || st->shares.drives[d].full;
            while (!done && state_need(st, d) > 0) {
                uint32_t want = (uint32_t)state_need(st, d);
                bool ok = step == 0   ? find_way(b, WAY_TO, d, 0)
                          : step == 1 ? pull(b, d, want, false) > 0
                          : step == 2 ? pull(b, d, want, true) > 0
                                      : find_way(b, WAY_TO, d, COST_MAX);
                done = !ok;
                moved |= ok;
            }
        }
    }
    return moved;
}

void map_balancing_run(struct map_balancing *b)
{
    bool moved = true;

    b->budget = SEARCH_SLOTS;
    for (int pass = 0; pass < PASSES && moved; pass++) {
        moved = lower(b);
        moved |= raise(b);
    }
}

size_t map_balancing_rest(const struct map_balancing *b)
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
