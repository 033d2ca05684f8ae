/* spool_index.h: which objects a spool holds, in 32 bytes each.
 *
 * Entries stand in the order of their ids. By a key's hash one finds the
 * candidates, the newest first; the key itself is on the disk. Entries that are
 * done stay as gaps until all before them are done, too, or until gaps are more
 * than entries.
 *
 * Threads: the agent's loop.
 */
#ifndef GODWIT_EDGE_SPOOL_INDEX_H
#define GODWIT_EDGE_SPOOL_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "edge-agent/spool_format.h"

struct spool_index;

struct index_entry {
    uint64_t id;
    uint32_t hash;
    uint32_t older; /* the index's */
    uint32_t at;    /* of the record in its segment */
    uint32_t stored_size;
    uint16_t slot; /* number of its segment */
    uint8_t kind;
    uint8_t class_id;
    bool parts;
    bool live; /* the index's */
};

struct spool_index *spool_index_new(void);
void spool_index_free(struct spool_index *x);

/* Append; its id is above all others. */
void spool_index_add(struct spool_index *x, const struct index_entry *e);
/* Borrowed until the next add or remove; NULL when there is none. */
struct index_entry *spool_index_get(struct spool_index *x, uint64_t id);
struct index_entry *spool_index_after(struct spool_index *x, uint64_t id);
/* The next one down. */
struct index_entry *spool_index_before(struct spool_index *x, uint64_t id);
/* The newest of @hash with an id below @below. */
struct index_entry *spool_index_find(struct spool_index *x, uint32_t hash,
                                     uint64_t below);
/* The oldest of a class. */
struct index_entry *spool_index_oldest(struct spool_index *x, uint8_t class_id);
void spool_index_remove(struct spool_index *x, uint64_t id);

size_t spool_index_count(const struct spool_index *x);
size_t spool_index_class_count(const struct spool_index *x, uint8_t class_id);
uint64_t spool_index_class_bytes(const struct spool_index *x, uint8_t class_id);
uint64_t spool_index_bytes(const struct spool_index *x); /* stored sizes */

#endif
