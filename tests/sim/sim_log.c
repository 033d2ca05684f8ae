#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "tests/sim/sim.h"

uint64_t sim_hash(uint64_t seed, const void *p, size_t len)
{
    const uint8_t *b = p;
    uint64_t h = seed ^ 0xcbf29ce484222325ull;

    for (size_t i = 0; i < len; i++) {
        h = (h ^ b[i]) * 0x100000001b3ull;
    }
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9ull;
    return h ^ (h >> 32);
}

struct sim_entry *sim_entry_new(const struct sim_log *follows, uint64_t term,
                                unsigned type, const void *data, size_t len)
{
    struct sim_entry *e = mem_alloc(sizeof *e + len);
    uint64_t parts[4];

    e->refs = 1;
    e->type = (uint16_t)type;
    e->index = sim_log_last(follows) + 1;
    e->term = term;
    e->len = len;
    memcpy(e->data, data, len);
    parts[0] = term;
    parts[1] = type;
    parts[2] = sim_hash(len, data, len);
    e->hash = sim_hash(1, parts, 3 * sizeof *parts);
    parts[3] = sim_log_chain(follows);
    e->chain = sim_hash(2, parts, sizeof parts);
    return e;
}

struct sim_entry *sim_entry_ref(struct sim_entry *e)
{
    e->refs++;
    return e;
}

void sim_entry_free(struct sim_entry *e)
{
    if (e != NULL && --e->refs == 0) {
        free(e);
    }
}

uint64_t sim_log_last(const struct sim_log *l)
{
    return l->before + l->count;
}

uint64_t sim_log_last_term(const struct sim_log *l)
{
    return l->count > 0 ? l->entries[l->count - 1]->term : l->before_term;
}

uint64_t sim_log_chain(const struct sim_log *l)
{
    return l->count > 0 ? l->entries[l->count - 1]->chain : l->before_chain;
}

struct sim_entry *sim_log_at(const struct sim_log *l, uint64_t index)
{
    if (index <= l->before || index > sim_log_last(l)) {
        return NULL;
    }
    return l->entries[index - l->before - 1];
}

void sim_log_push(struct sim_log *l, struct sim_entry *e)
{
    if (l->count == l->room) {
        l->room = l->room * 2 + 64;
        l->entries = mem_realloc(l->entries, l->room * sizeof *l->entries);
    }
    l->entries[l->count++] = e;
}

void sim_log_truncate(struct sim_log *l, uint64_t index)
{
    while (l->count > 0 && sim_log_last(l) >= index) {
        sim_entry_free(l->entries[--l->count]);
    }
}

void sim_log_cut(struct sim_log *l, uint64_t index)
{
    size_t n = index > l->before ? index - l->before : 0;

    n = n < l->count ? n : l->count;
    if (n == 0) {
        return;
    }
    l->before += n;
    l->before_term = l->entries[n - 1]->term;
    l->before_chain = l->entries[n - 1]->chain;
    for (size_t i = 0; i < n; i++) {
        sim_entry_free(l->entries[i]);
    }
    l->count -= n;
    memmove(l->entries, l->entries + n, l->count * sizeof *l->entries);
}

void sim_log_reset(struct sim_log *l, uint64_t index, uint64_t term,
                   uint64_t chain)
{
    sim_log_truncate(l, 0);
    l->before = index;
    l->before_term = term;
    l->before_chain = chain;
}

void sim_log_copy(struct sim_log *to, const struct sim_log *from)
{
    sim_log_reset(to, from->before, from->before_term, from->before_chain);
    for (size_t i = 0; i < from->count; i++) {
        sim_log_push(to, sim_entry_ref(from->entries[i]));
    }
}

void sim_log_free(struct sim_log *l)
{
    sim_log_truncate(l, 0);
    free(l->entries);
    *l = (struct sim_log){0};
}
