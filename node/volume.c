#include "node/volume.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

struct volume *volume_new(const struct drive_ops *ops, const char *dir,
                          uint16_t drive, const uint8_t cluster[16])
{
    struct volume *v = mem_alloc(sizeof *v);

    v->ops = ops;
    v->dir = mem_strdup(dir);
    v->drive = drive;
    memcpy(v->cluster, cluster, 16);
    v->index = shard_index_new();
    v->next_sequence = 1;
    list_init(&v->free_segments);
    list_init(&v->retired);
    return v;
}

static void segment_free(struct volume *v, struct segment *g)
{
    CHECK(g->refs == 0);
    v->ops->close(v->ops->data, g->writer);
    v->ops->close(v->ops->data, g->reader);
    free(g->entries);
    free(g);
}

void volume_free(struct volume *v)
{
    if (v == NULL) {
        return;
    }
    for (uint32_t i = 0; i < v->segment_count; i++) {
        if (v->segments[i] != NULL) {
            segment_free(v, v->segments[i]);
        }
    }
    free(v->segments);
    shard_index_free(v->index);
    v->ops->close(v->ops->data, v->lock);
    free(v->dir);
    free(v);
}

void segment_name(uint32_t number, char out[SEGMENT_NAME_MAX])
{
    snprintf(out, SEGMENT_NAME_MAX, "%08x.seg", (unsigned)number);
}

uint32_t volume_unused_number(const struct volume *v)
{
    uint32_t number = 0;

    while (number < v->segment_count && v->segments[number] != NULL) {
        number++;
    }
    return number;
}

struct segment *volume_add_segment(struct volume *v, uint32_t number)
{
    struct segment *g = mem_alloc(sizeof *g);

    if (number >= v->segment_count) {
        v->segments =
            mem_realloc(v->segments, (number + 1) * sizeof *v->segments);
        while (v->segment_count <= number) {
            v->segments[v->segment_count++] = NULL;
        }
    }
    CHECK(v->segments[number] == NULL);
    v->segments[number] = g;
    g->number = number;
    g->state = SEGMENT_FREE;
    list_init(&g->node);
    return g;
}

void volume_drop_segment(struct volume *v, struct segment *g)
{
    CHECK(g->state == SEGMENT_FREE && g->live_bytes == 0);
    CHECK(v->segments[g->number] == g);
    v->segments[g->number] = NULL;
    segment_free(v, g);
}

void volume_push_free(struct volume *v, struct segment *g)
{
    CHECK(g->state == SEGMENT_FREE);
    list_push(&v->free_segments, &g->node);
    v->free_count++;
}

struct segment *volume_pop_free(struct volume *v)
{
    struct list_node *node = list_pop(&v->free_segments);

    if (node == NULL) {
        return NULL;
    }
    v->free_count--;
    return LIST_OF(node, struct segment, node);
}

void segment_add_entry(struct segment *g, const struct segment_entry *e)
{
    if (g->count == g->cap) {
        g->cap = g->cap == 0 ? 64 : g->cap * 2;
        g->entries = mem_realloc(g->entries, g->cap * sizeof *g->entries);
    }
    g->entries[g->count++] = *e;
}

static void add_live(struct volume *v, struct segment *g, uint64_t bytes)
{
    g->live_bytes += bytes;
    v->live_bytes += bytes;
}

static void subtract_live(struct volume *v, uint32_t number, uint64_t bytes)
{
    struct segment *g = v->segments[number];

    CHECK(g != NULL && g->live_bytes >= bytes && v->live_bytes >= bytes);
    g->live_bytes -= bytes;
    v->live_bytes -= bytes;
}

static void grow_stale(struct index_entry *x)
{
    if (x->stale < INDEX_STALE_MAX) {
        x->stale++;
    }
}

/* What the entry points to is superseded or deleted. */
static void unplace(struct volume *v, struct index_entry *x)
{
    if (x->state == INDEX_LIVE) {
        subtract_live(v, x->segment, record_span(x->length));
        v->data_bytes -= x->length;
        v->shards--;
        grow_stale(x);
    } else if (x->state == INDEX_TOMBSTONE && x->segment != INDEX_NOWHERE) {
        subtract_live(v, x->segment, VOLUME_TOMBSTONE_BYTES);
    } else if (x->state == INDEX_LOST) {
        v->shards--;
    }
    x->segment = INDEX_NOWHERE;
    x->unit = 0;
}

static void apply_shard(struct volume *v, struct segment *g,
                        const struct segment_entry *e)
{
    struct index_entry *x = shard_index_insert(v->index, &e->key);

    if (e->bad && (x->state == INDEX_LIVE || x->state == INDEX_TOMBSTONE)) {
        return; /* perhaps torn: it does not stand in for what is good */
    }
    unplace(v, x);
    x->state = INDEX_LIVE;
    x->segment = g->number;
    x->unit = e->unit;
    x->group = e->group;
    x->length = e->length;
    add_live(v, g, record_span(e->length));
    v->data_bytes += e->length;
    v->shards++;
}

static void apply_tombstone(struct volume *v, struct segment *g,
                            const struct segment_entry *e)
{
    struct index_entry *x = shard_index_find(v->index, &e->key);

    if (x == NULL ||
        (x->state == INDEX_TOMBSTONE && x->segment != INDEX_NOWHERE)) {
        return;
    }
    unplace(v, x);
    if (x->stale == 0) {
        shard_index_remove(v->index, &e->key);
        return;
    }
    x->state = INDEX_TOMBSTONE;
    x->segment = g->number;
    x->unit = e->unit;
    add_live(v, g, VOLUME_TOMBSTONE_BYTES);
}

void volume_apply(struct volume *v, struct segment *g,
                  const struct segment_entry *e)
{
    if (e->type == RECORD_SHARD) {
        apply_shard(v, g, e);
    } else {
        apply_tombstone(v, g, e);
    }
}

void volume_forget(struct volume *v, const struct shard_key *key)
{
    struct index_entry *x = shard_index_find(v->index, key);

    if (x == NULL || x->state == INDEX_TOMBSTONE) {
        return;
    }
    unplace(v, x);
    x->state = INDEX_TOMBSTONE;
    if (x->stale == 0) {
        shard_index_remove(v->index, key);
    }
}

bool volume_is_current(struct volume *v, const struct segment *g,
                       const struct segment_entry *e)
{
    const struct index_entry *x = shard_index_find(v->index, &e->key);

    return x != NULL && x->segment == g->number && x->unit == e->unit &&
           x->state == (e->type == RECORD_SHARD ? INDEX_LIVE : INDEX_TOMBSTONE);
}

bool volume_move(struct volume *v, struct segment *from, uint32_t from_unit,
                 struct segment *g, const struct segment_entry *e)
{
    struct segment_entry old = *e;
    struct index_entry *x;
    uint64_t bytes = VOLUME_TOMBSTONE_BYTES;

    old.unit = from_unit;
    if (!volume_is_current(v, from, &old)) {
        return false;
    }
    x = shard_index_find(v->index, &e->key);
    if (e->type == RECORD_SHARD) {
        bytes = record_span(e->length);
        grow_stale(x);
    }
    subtract_live(v, from->number, bytes);
    add_live(v, g, bytes);
    x->segment = g->number;
    x->unit = e->unit;
    return true;
}

void volume_lose(struct volume *v, const struct shard_key *key)
{
    struct index_entry *x = shard_index_find(v->index, key);

    if (x == NULL || x->state != INDEX_LIVE) {
        return;
    }
    unplace(v, x);
    x->state = INDEX_LOST;
    v->shards++;
}

void volume_unplace_tombstone(struct volume *v, const struct shard_key *key)
{
    struct index_entry *x = shard_index_find(v->index, key);

    if (x != NULL && x->state == INDEX_TOMBSTONE) {
        unplace(v, x);
    }
}

void volume_unstale(struct volume *v, const struct shard_key *key)
{
    struct index_entry *x = shard_index_find(v->index, key);

    if (x == NULL || x->stale == 0 || x->stale == INDEX_STALE_MAX) {
        return;
    }
    x->stale--;
    if (x->stale == 0 && x->state == INDEX_TOMBSTONE) {
        unplace(v, x);
        shard_index_remove(v->index, key);
    }
}
