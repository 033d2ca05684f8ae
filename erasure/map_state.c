#include "erasure/map_state.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "erasure/hash.h"

#define HASH_BITS 20

static void tree_init(struct state_tree *t, uint32_t count)
{
    t->leaves = 1;
    while (t->leaves < count) {
        t->leaves *= 2;
    }
    t->keys = mem_calloc(t->leaves, sizeof t->keys[0]);
    t->winners = mem_calloc(2 * (size_t)t->leaves, sizeof t->winners[0]);
    for (uint32_t i = 0; i < t->leaves; i++) {
        t->keys[i] = STATE_NO_KEY;
        t->winners[t->leaves + i] = i;
    }
    for (uint32_t i = t->leaves; i-- > 1;) {
        t->winners[i] = t->winners[2 * i];
    }
}

static uint32_t tree_better(const struct state_tree *t, uint32_t a, uint32_t b)
{
    if (t->keys[a] != t->keys[b]) {
        return t->keys[a] > t->keys[b] ? a : b;
    }
    return a < b ? a : b;
}

static void tree_set(struct state_tree *t, uint32_t leaf, int64_t key)
{
    t->keys[leaf] = key;
    for (uint32_t i = (t->leaves + leaf) / 2; i >= 1; i /= 2) {
        t->winners[i] =
            tree_better(t, t->winners[2 * i], t->winners[2 * i + 1]);
    }
}

/* The winner of @first..@end-1, or MAP_NO_NUMBER when no key there is set. */
static uint32_t tree_best(const struct state_tree *t, uint32_t first,
                          uint32_t end)
{
    uint32_t low = first + t->leaves, high = end + t->leaves;
    uint32_t best = first;

    if (first >= end) {
        return MAP_NO_NUMBER;
    }
    for (; low < high; low /= 2, high /= 2) {
        if (low & 1) {
            best = tree_better(t, best, t->winners[low++]);
        }
        if (high & 1) {
            best = tree_better(t, best, t->winners[--high]);
        }
    }
    return t->keys[best] == STATE_NO_KEY ? MAP_NO_NUMBER : best;
}

static void tree_free(struct state_tree *t)
{
    free(t->keys);
    free(t->winners);
}

struct map_state *state_new(struct map_shares *shares, unsigned slots,
                            uint32_t groups)
{
    struct map_state *st = mem_alloc(sizeof *st);
    size_t refs = (size_t)slots * groups;

    st->slots = slots;
    st->groups = groups;
    st->shares = *shares;
    *shares = (struct map_shares){0};
    st->at = mem_calloc(refs, sizeof st->at[0]);
    st->index = mem_calloc(refs, sizeof st->index[0]);
    memset(st->at, 0xff, refs * sizeof st->at[0]);
    st->held = mem_calloc(st->shares.count, sizeof st->held[0]);
    st->low = mem_calloc(st->shares.count, sizeof st->low[0]);
    st->high = mem_calloc(st->shares.count, sizeof st->high[0]);
    tree_init(&st->need, st->shares.count);
    tree_init(&st->give, st->shares.count);
    for (uint32_t d = 0; d < st->shares.count; d++) {
        st->shares.drives[d].load = 0;
    }
    return st;
}

void state_free(struct map_state *st)
{
    for (uint32_t d = 0; d < st->shares.count; d++) {
        free(st->held[d].refs);
    }
    map_shares_free(&st->shares);
    tree_free(&st->need);
    tree_free(&st->give);
    free(st->at);
    free(st->index);
    free(st->held);
    free(st->low);
    free(st->high);
    free(st);
}

int64_t state_need(const struct map_state *st, uint32_t drive)
{
    int64_t load = st->shares.drives[drive].load;

    if (load < st->low[drive]) {
        return st->low[drive] - load;
    }
    return load < st->high[drive] ? 0 : st->high[drive] - load - 1;
}

int64_t state_surplus(const struct map_state *st, uint32_t drive)
{
    int64_t load = st->shares.drives[drive].load;

    if (load > st->high[drive]) {
        return load - st->high[drive];
    }
    return load > st->low[drive] ? 0 : load - st->low[drive] - 1;
}

static int64_t key_of(const struct map_state *st, uint32_t drive, int64_t level)
{
    const struct map_usable *d = &st->shares.drives[drive];
    int64_t noise = (int64_t)(hash_pair(d->id, d->load) >> (64 - HASH_BITS));

    return level * (1 << HASH_BITS) + noise;
}

static void refresh(struct map_state *st, uint32_t drive)
{
    if (!st->shares.drives[drive].full) {
        tree_set(&st->need, drive, key_of(st, drive, state_need(st, drive)));
    }
    if (st->give.keys[drive] != STATE_NO_KEY) {
        state_show(st, drive);
    }
}

void state_set_bands(struct map_state *st, uint32_t part, uint32_t whole)
{
    int64_t one = (int64_t)MAP_SHARE_ONE * whole;

    for (uint32_t d = 0; d < st->shares.count; d++) {
        int64_t share = st->shares.drives[d].share * part;
        st->low[d] = share / one;
        st->high[d] = (share + one - 1) / one;
        refresh(st, d);
        state_show(st, d);
    }
}

void state_put(struct map_state *st, uint32_t ref, uint32_t drive)
{
    struct state_held *h = &st->held[drive];

    CHECK(st->at[ref] == MAP_NO_NUMBER);
    if (h->count == h->room) {
        h->room = h->room == 0 ? 16 : h->room * 2;
        h->refs = mem_realloc(h->refs, h->room * sizeof h->refs[0]);
    }
    st->at[ref] = drive;
    st->index[ref] = h->count;
    h->refs[h->count++] = ref;
    st->shares.drives[drive].load = h->count;
    refresh(st, drive);
}

void state_take(struct map_state *st, uint32_t ref)
{
    uint32_t drive = st->at[ref];
    struct state_held *h;

    CHECK(drive != MAP_NO_NUMBER);
    h = &st->held[drive];
    h->count--;
    h->refs[st->index[ref]] = h->refs[h->count];
    st->index[h->refs[h->count]] = st->index[ref];
    st->at[ref] = MAP_NO_NUMBER;
    st->shares.drives[drive].load = h->count;
    refresh(st, drive);
}

bool state_fits(const struct map_state *st, uint32_t ref, uint32_t drive)
{
    const struct map_usable *d = &st->shares.drives[drive];
    const struct map_caps *caps = &st->shares.caps;
    uint32_t first = ref - ref % st->slots;
    unsigned in_drive = 0, in_node = 0, in_zone = 0;

    for (uint32_t r = first; r < first + st->slots; r++) {
        uint32_t o = st->at[r];
        if (r == ref || o == MAP_NO_NUMBER) {
            continue;
        }
        in_drive += o == drive;
        in_node += o >= d->node_first && o < d->node_end;
        in_zone += o >= d->zone_first && o < d->zone_end;
    }
    return in_drive < caps->drive && in_node < caps->node &&
           in_zone < caps->zone;
}

struct span {
    uint32_t first, end;
};

static int by_first(const void *a, const void *b)
{
    const struct span *x = a, *y = b;

    return x->first < y->first ? -1 : x->first > y->first;
}

/* The drives that the other slots of the group bar to @ref, as ranges in order
 * (they lie within each other or apart). */
static unsigned barred(const struct map_state *st, uint32_t ref,
                       struct span *out)
{
    uint32_t first = ref - ref % st->slots;
    unsigned count = 0;

    for (uint32_t r = first; r < first + st->slots; r++) {
        const struct map_usable *d;
        unsigned in_drive = 0, in_node = 0, in_zone = 0;
        if (r == ref || st->at[r] == MAP_NO_NUMBER) {
            continue;
        }
        d = &st->shares.drives[st->at[r]];
        for (uint32_t q = first; q < first + st->slots; q++) {
            uint32_t o = st->at[q];
            if (q != ref && o != MAP_NO_NUMBER) {
                in_drive += o == st->at[r];
                in_node += o >= d->node_first && o < d->node_end;
                in_zone += o >= d->zone_first && o < d->zone_end;
            }
        }
        if (in_zone >= st->shares.caps.zone) {
            out[count++] = (struct span){d->zone_first, d->zone_end};
        } else if (in_node >= st->shares.caps.node) {
            out[count++] = (struct span){d->node_first, d->node_end};
        } else if (in_drive >= st->shares.caps.drive) {
            out[count++] = (struct span){st->at[r], st->at[r] + 1};
        }
    }
    if (st->at[ref] != MAP_NO_NUMBER) {
        out[count++] = (struct span){st->at[ref], st->at[ref] + 1};
    }
    qsort(out, count, sizeof out[0], by_first);
    return count;
}

uint32_t state_neediest(const struct map_state *st, uint32_t ref)
{
    uint32_t best = tree_best(&st->need, 0, st->shares.count);
    struct span bars[GEOMETRY_SLOTS_MAX];
    unsigned count;
    uint32_t from = 0;

    if (best == MAP_NO_NUMBER ||
        (best != st->at[ref] && state_fits(st, ref, best))) {
        return best; /* the common case, and the same answer */
    }
    best = MAP_NO_NUMBER;
    count = barred(st, ref, bars);
    for (unsigned i = 0; i <= count; i++) {
        uint32_t end = i < count ? bars[i].first : st->shares.count;
        uint32_t d = tree_best(&st->need, from, end);
        if (d != MAP_NO_NUMBER) {
            best = best == MAP_NO_NUMBER ? d : tree_better(&st->need, best, d);
        }
        if (i < count && bars[i].end > from) {
            from = bars[i].end;
        }
    }
    return best;
}

uint32_t state_richest(const struct map_state *st, uint32_t first, uint32_t end)
{
    return tree_best(&st->give, first, end);
}

void state_hide(struct map_state *st, uint32_t drive)
{
    tree_set(&st->give, drive, STATE_NO_KEY);
}

void state_show(struct map_state *st, uint32_t drive)
{
    tree_set(&st->give, drive, key_of(st, drive, state_surplus(st, drive)));
}
