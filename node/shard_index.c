#include "node/shard_index.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

#define LEAF_MAX 256

struct leaf {
    unsigned count; /* 1..cap, but 0 in the only leaf of an empty index */
    unsigned cap;
    struct index_entry *entries;
};

struct shard_index {
    struct leaf *leaves; /* in key order; at least one */
    size_t leaf_count;
    size_t leaf_cap;
    size_t count;
};

struct place {
    size_t leaf;
    unsigned at;
};

struct shard_key index_entry_key(const struct index_entry *e)
{
    return (struct shard_key){.hi = e->hi, .lo = e->lo, .slot = e->slot};
}

static int compare(uint64_t hi, uint64_t lo, uint8_t slot, const void *key)
{
    const struct shard_key *k = key;

    if (hi != k->hi) {
        return hi < k->hi ? -1 : 1;
    }
    if (lo != k->lo) {
        return lo < k->lo ? -1 : 1;
    }
    return (int)slot - (int)k->slot;
}

int shard_key_compare(const struct shard_key *a, const struct shard_key *b)
{
    return compare(a->hi, a->lo, a->slot, b);
}

static int compare_entry(const struct index_entry *e,
                         const struct shard_key *key)
{
    return compare(e->hi, e->lo, e->slot, key);
}

struct shard_index *shard_index_new(void)
{
    struct shard_index *x = mem_alloc(sizeof *x);

    x->leaf_cap = 16;
    x->leaves = mem_calloc(x->leaf_cap, sizeof *x->leaves);
    x->leaf_count = 1;
    return x;
}

void shard_index_free(struct shard_index *x)
{
    if (x == NULL) {
        return;
    }
    for (size_t i = 0; i < x->leaf_count; i++) {
        free(x->leaves[i].entries);
    }
    free(x->leaves);
    free(x);
}

size_t shard_index_count(const struct shard_index *x)
{
    return x->count;
}

/* Where @key stands or would stand; true when it is there. */
static bool seek(const struct shard_index *x, const struct shard_key *key,
                 struct place *out)
{
    size_t low = 0;
    size_t high = x->leaf_count;
    const struct leaf *l;
    unsigned a = 0;
    unsigned b;

    while (high - low > 1) { /* the last leaf whose first is not above key */
        size_t middle = (low + high) / 2;
        if (compare_entry(&x->leaves[middle].entries[0], key) <= 0) {
            low = middle;
        } else {
            high = middle;
        }
    }
    l = &x->leaves[low];
    b = l->count;
    while (a < b) { /* the first entry not below key */
        unsigned middle = (a + b) / 2;
        if (compare_entry(&l->entries[middle], key) < 0) {
            a = middle + 1;
        } else {
            b = middle;
        }
    }
    out->leaf = low;
    out->at = a;
    return a < l->count && compare_entry(&l->entries[a], key) == 0;
}

struct index_entry *shard_index_find(struct shard_index *x,
                                     const struct shard_key *key)
{
    struct place p;

    return seek(x, key, &p) ? &x->leaves[p.leaf].entries[p.at] : NULL;
}

/* Cut a full leaf in two; @p follows its entry. */
static void split(struct shard_index *x, struct place *p)
{
    struct leaf *l;
    struct leaf *right;
    unsigned keep = LEAF_MAX / 2;

    /* Keys that come in order leave full leaves behind them. */
    if (p->leaf == x->leaf_count - 1 && p->at == LEAF_MAX) {
        keep = LEAF_MAX - 1;
    }
    if (x->leaf_count == x->leaf_cap) {
        x->leaf_cap *= 2;
        x->leaves = mem_realloc(x->leaves, x->leaf_cap * sizeof *x->leaves);
    }
    l = &x->leaves[p->leaf];
    right = l + 1;
    memmove(right + 1, right,
            (x->leaf_count - p->leaf - 1) * sizeof *x->leaves);
    x->leaf_count++;
    right->cap = LEAF_MAX;
    right->count = l->count - keep;
    right->entries = mem_calloc(right->cap, sizeof *right->entries);
    memcpy(right->entries, l->entries + keep,
           right->count * sizeof *right->entries);
    l->count = keep;
    if (p->at > keep) {
        p->leaf++;
        p->at -= keep;
    }
}

struct index_entry *shard_index_insert(struct shard_index *x,
                                       const struct shard_key *key)
{
    struct place p;
    struct leaf *l;
    struct index_entry *e;

    if (seek(x, key, &p)) {
        return &x->leaves[p.leaf].entries[p.at];
    }
    l = &x->leaves[p.leaf];
    if (l->count == LEAF_MAX) {
        split(x, &p);
        l = &x->leaves[p.leaf];
    }
    if (l->count == l->cap) {
        l->cap = l->cap == 0 ? 8 : l->cap * 2;
        l->entries = mem_realloc(l->entries, l->cap * sizeof *l->entries);
    }
    e = &l->entries[p.at];
    memmove(e + 1, e, (l->count - p.at) * sizeof *e);
    memset(e, 0, sizeof *e);
    e->hi = key->hi;
    e->lo = key->lo;
    e->slot = key->slot;
    e->segment = INDEX_NOWHERE;
    l->count++;
    x->count++;
    return e;
}

void shard_index_remove(struct shard_index *x, const struct shard_key *key)
{
    struct place p;
    struct leaf *l;

    if (!seek(x, key, &p)) {
        return;
    }
    l = &x->leaves[p.leaf];
    memmove(l->entries + p.at, l->entries + p.at + 1,
            (l->count - p.at - 1) * sizeof *l->entries);
    l->count--;
    x->count--;
    if (l->count == 0 && x->leaf_count > 1) {
        free(l->entries);
        memmove(l, l + 1, (x->leaf_count - p.leaf - 1) * sizeof *l);
        x->leaf_count--;
    }
}

/* The place of the first entry after @after, perhaps past its leaf's end. */
static struct place place_after(const struct shard_index *x,
                                const struct shard_key *after)
{
    struct place p = {0};

    if (after != NULL && seek(x, after, &p)) {
        p.at++;
    }
    return p;
}

void shard_index_walk(struct shard_index *x, const struct shard_key *after,
                      bool (*fn)(void *arg, struct index_entry *e), void *arg)
{
    struct place p = place_after(x, after);

    for (; p.leaf < x->leaf_count; p.leaf++, p.at = 0) {
        struct leaf *l = &x->leaves[p.leaf];
        for (; p.at < l->count; p.at++) {
            if (!fn(arg, &l->entries[p.at])) {
                return;
            }
        }
    }
}

static bool take_first(void *arg, struct index_entry *e)
{
    *(struct index_entry **)arg = e;
    return false;
}

struct index_entry *shard_index_after(struct shard_index *x,
                                      const struct shard_key *after)
{
    struct index_entry *first = NULL;

    shard_index_walk(x, after, take_first, &first);
    return first;
}
