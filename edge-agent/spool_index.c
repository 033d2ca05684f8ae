#include "edge-agent/spool_index.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

#define CHUNK_ENTRIES 1024u
#define BUCKETS_MIN 1024u
#define GAPS_MIN 4096u /* fewer are not worth a rebuild */

_Static_assert(sizeof(struct index_entry) == 32, "100,000 entries in 3.2 MB");

/* Places count up for ever, modulo 2^32; a chunk holds CHUNK_ENTRIES of them.
 * A link of a chain always leads to an older place; one outside [first, next)
 * ends it, so entries that fall off the front need no unlinking. */
struct spool_index {
    struct index_entry **chunks; /* ring by (place / CHUNK_ENTRIES) */
    uint32_t chunk_cap;          /* a power of two */
    uint32_t first, next;        /* places */
    uint32_t *buckets;           /* the newest place of each hash */
    uint32_t bucket_mask;
    size_t count;
    size_t classes[SPOOL_CLASSES];
    uint64_t lowest_from[SPOOL_CLASSES]; /* no live id of a class before */
    uint64_t bytes;
    uint64_t class_bytes[SPOOL_CLASSES];
};

static struct index_entry **chunk_of(struct spool_index *x, uint32_t place)
{
    return &x->chunks[(place / CHUNK_ENTRIES) & (x->chunk_cap - 1)];
}

/* The first place that is not in the chunk of the one before @place. */
static uint32_t chunk_end(uint32_t place)
{
    return (place + CHUNK_ENTRIES - 1) & ~(CHUNK_ENTRIES - 1);
}

static struct index_entry *entry_at(struct spool_index *x, uint32_t place)
{
    return *chunk_of(x, place) + place % CHUNK_ENTRIES;
}

static uint32_t *bucket_of(struct spool_index *x, uint32_t hash)
{
    return &x->buckets[(hash ^ hash >> 16) & x->bucket_mask];
}

static void set_buckets(struct spool_index *x, uint32_t count)
{
    free(x->buckets);
    x->buckets = mem_calloc(count, sizeof x->buckets[0]);
    x->bucket_mask = count - 1;
    for (uint32_t i = 0; i < count; i++) {
        x->buckets[i] = x->first - 1;
    }
    for (uint32_t p = x->first; p != x->next; p++) {
        struct index_entry *e = entry_at(x, p);
        uint32_t *bucket = bucket_of(x, e->hash);
        e->older = *bucket;
        *bucket = p;
    }
}

struct spool_index *spool_index_new(void)
{
    struct spool_index *x = mem_alloc(sizeof *x);

    x->chunk_cap = 4;
    x->chunks = mem_calloc(x->chunk_cap, sizeof(struct index_entry *));
    set_buckets(x, BUCKETS_MIN);
    return x;
}

void spool_index_free(struct spool_index *x)
{
    if (x == NULL) {
        return;
    }
    for (uint32_t i = 0; i < x->chunk_cap; i++) {
        free(x->chunks[i]);
    }
    free(x->chunks);
    free(x->buckets);
    free(x);
}

/* Room for one more chunk: the ring must not bite its tail. */
static void grow_ring(struct spool_index *x)
{
    uint32_t mask = ~(CHUNK_ENTRIES - 1);
    uint32_t used = ((x->next & mask) - (x->first & mask)) / CHUNK_ENTRIES + 1;
    uint32_t cap = x->chunk_cap * 2;
    struct index_entry **chunks;

    if (used < x->chunk_cap) {
        return;
    }
    chunks = mem_calloc(cap, sizeof(struct index_entry *));
    for (uint32_t i = 0; i < used; i++) {
        uint32_t n = x->first / CHUNK_ENTRIES + i;
        chunks[n & (cap - 1)] = x->chunks[n & (x->chunk_cap - 1)];
    }
    free(x->chunks);
    x->chunks = chunks;
    x->chunk_cap = cap;
}

/* Let go of gaps at the front, and of chunks with nothing but gaps. */
static void trim(struct spool_index *x)
{
    while (x->first != x->next && !entry_at(x, x->first)->live) {
        x->first++;
        if (x->first % CHUNK_ENTRIES == 0) {
            struct index_entry **chunk = chunk_of(x, x->first - 1);
            free(*chunk);
            *chunk = NULL;
        }
    }
}

/* Write the live entries again without gaps. */
static void close_gaps(struct spool_index *x)
{
    uint32_t to = x->first;
    uint32_t end = x->next;

    for (uint32_t p = x->first; p != end; p++) {
        if (entry_at(x, p)->live) {
            *entry_at(x, to++) = *entry_at(x, p);
        }
    }
    x->next = to;
    /* Unsigned, so that it is right where places start again at 0. */
    for (uint32_t p = chunk_end(to); p != chunk_end(end); p += CHUNK_ENTRIES) {
        struct index_entry **chunk = chunk_of(x, p);
        free(*chunk);
        *chunk = NULL;
    }
    set_buckets(x, x->bucket_mask + 1);
}

void spool_index_add(struct spool_index *x, const struct index_entry *e)
{
    struct index_entry *to;
    uint32_t *bucket;

    CHECK(x->first == x->next || e->id > entry_at(x, x->next - 1)->id);
    CHECK(e->class_id < SPOOL_CLASSES);
    if (x->next - x->first > 2 * x->count + GAPS_MIN) {
        close_gaps(x);
    }
    if (x->count > x->bucket_mask) {
        set_buckets(x, (x->bucket_mask + 1) * 2);
    }
    grow_ring(x);
    if (*chunk_of(x, x->next) == NULL) {
        *chunk_of(x, x->next) =
            mem_calloc(CHUNK_ENTRIES, sizeof(struct index_entry));
    }
    to = entry_at(x, x->next);
    bucket = bucket_of(x, e->hash);
    *to = *e;
    to->older = *bucket;
    to->live = true;
    *bucket = x->next++;
    if (x->classes[e->class_id]++ == 0) {
        x->lowest_from[e->class_id] = e->id;
    }
    x->count++;
    x->bytes += e->stored_size;
    x->class_bytes[e->class_id] += e->stored_size;
}

/* The first place whose id is at least @id; next when there is none. */
static uint32_t place_of(struct spool_index *x, uint64_t id)
{
    uint32_t low = 0;
    uint32_t high = x->next - x->first;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (entry_at(x, x->first + middle)->id < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return x->first + low;
}

struct index_entry *spool_index_get(struct spool_index *x, uint64_t id)
{
    uint32_t p = place_of(x, id);
    struct index_entry *e = p != x->next ? entry_at(x, p) : NULL;

    return e != NULL && e->id == id && e->live ? e : NULL;
}

struct index_entry *spool_index_after(struct spool_index *x, uint64_t id)
{
    if (id == UINT64_MAX) {
        return NULL;
    }
    for (uint32_t p = place_of(x, id + 1); p != x->next; p++) {
        if (entry_at(x, p)->live) {
            return entry_at(x, p);
        }
    }
    return NULL;
}

struct index_entry *spool_index_before(struct spool_index *x, uint64_t id)
{
    for (uint32_t p = place_of(x, id); p != x->first; p--) {
        if (entry_at(x, p - 1)->live) {
            return entry_at(x, p - 1);
        }
    }
    return NULL;
}

struct index_entry *spool_index_find(struct spool_index *x, uint32_t hash,
                                     uint64_t below)
{
    uint32_t p = *bucket_of(x, hash);
    uint32_t window = x->next - x->first;

    while (p - x->first < window) {
        struct index_entry *e = entry_at(x, p);
        if (e->live && e->hash == hash && e->id < below) {
            return e;
        }
        window = p - x->first; /* what follows is older */
        p = e->older;
    }
    return NULL;
}

struct index_entry *spool_index_oldest(struct spool_index *x, uint8_t class_id)
{
    CHECK(class_id < SPOOL_CLASSES);
    if (x->classes[class_id] == 0) {
        return NULL;
    }
    for (uint32_t p = place_of(x, x->lowest_from[class_id]); p != x->next;
         p++) {
        struct index_entry *e = entry_at(x, p);
        if (e->live && e->class_id == class_id) {
            x->lowest_from[class_id] = e->id;
            return e;
        }
    }
    return NULL;
}

void spool_index_remove(struct spool_index *x, uint64_t id)
{
    struct index_entry *e = spool_index_get(x, id);

    CHECK(e != NULL);
    e->live = false;
    x->count--;
    x->classes[e->class_id]--;
    x->bytes -= e->stored_size;
    x->class_bytes[e->class_id] -= e->stored_size;
    trim(x);
}

size_t spool_index_count(const struct spool_index *x)
{
    return x->count;
}

size_t spool_index_class_count(const struct spool_index *x, uint8_t class_id)
{
    CHECK(class_id < SPOOL_CLASSES);
    return x->classes[class_id];
}

uint64_t spool_index_bytes(const struct spool_index *x)
{
    return x->bytes;
}

uint64_t spool_index_class_bytes(const struct spool_index *x, uint8_t class_id)
{
    CHECK(class_id < SPOOL_CLASSES);
    return x->class_bytes[class_id];
}
