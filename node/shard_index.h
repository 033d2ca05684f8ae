/* shard_index.h: where each shard of a drive stands, in memory.
 *
 * Entries of 40 bytes in sorted leaves of at most 256, under one sorted array
 * of leaves. A hash would be as large (its load is at most 3/4) and could not
 * list in key order, which repair needs; two binary searches cost about a
 * microsecond at ten million shards.
 *
 * Threads: none of its own; the owner locks.
 */
#ifndef GODWIT_NODE_SHARD_INDEX_H
#define GODWIT_NODE_SHARD_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "node/shard_store.h"

struct shard_index;

enum index_state {
    INDEX_NEW = 0, /* just inserted */
    INDEX_LIVE,
    INDEX_TOMBSTONE, /* deleted, older records may be on the drive */
    INDEX_LOST,      /* a shard that cannot be read and has no place */
};

struct index_entry {
    uint64_t hi;
    uint64_t lo;
    uint32_t segment; /* number; INDEX_NOWHERE for what has no record */
    uint32_t unit;
    uint32_t group;
    uint32_t length;
    uint16_t stale; /* dead shard records of this key in all segments */
    uint8_t state;
    uint8_t slot;
};
_Static_assert(sizeof(struct index_entry) == 40, "memory for each shard");

#define INDEX_NOWHERE UINT32_MAX
/* At this number stale is not exact any more and never falls. */
#define INDEX_STALE_MAX UINT16_MAX

struct shard_index *shard_index_new(void);
void shard_index_free(struct shard_index *x);

size_t shard_index_count(const struct shard_index *x);

/* Entries are borrowed until the next insert or remove. */
struct index_entry *shard_index_find(struct shard_index *x,
                                     const struct shard_key *key);
/* The entry of @key, made with state INDEX_NEW when there is none. */
struct index_entry *shard_index_insert(struct shard_index *x,
                                       const struct shard_key *key);
/* Nothing when there is none. */
void shard_index_remove(struct shard_index *x, const struct shard_key *key);

/* The first entry after @after (NULL: the first of all); NULL past the end. */
struct index_entry *shard_index_after(struct shard_index *x,
                                      const struct shard_key *after);
/* Calls @fn for each entry in key order until it gives false, beginning after
 * @after (NULL: at the first). @fn must not insert or remove. */
void shard_index_walk(struct shard_index *x, const struct shard_key *after,
                      bool (*fn)(void *arg, struct index_entry *e), void *arg);

struct shard_key index_entry_key(const struct index_entry *e);
int shard_key_compare(const struct shard_key *a, const struct shard_key *b);

#endif
