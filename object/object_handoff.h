/* object_handoff.h: where a shard goes when its own drive cannot take it.
 *
 * A write that would miss its quorum puts shards on other drives, which keep
 * them as strays: their servers hand them on when the drives are back
 * (object_move.h), and a read that finds too few shards looks for them there.
 *
 * Threads: any.
 */
#ifndef GODWIT_OBJECT_OBJECT_HANDOFF_H
#define GODWIT_OBJECT_OBJECT_HANDOFF_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct object_store;
struct shard_key;

/* A drive that is up for one more shard of a chunk whose others are, or were
 * tried, on @used: one that has fewest of them, then one whose server has, and
 * fewer than @max. Never @own; PLACEMENT_NO_DRIVE when there is none. */
uint16_t object_substitute(struct object_store *s, const uint16_t *used,
                           size_t count, unsigned max, uint16_t own);

/* The drive other than @own that has the shard; PLACEMENT_NO_DRIVE. Asks all
 * that are up, one after the other. */
uint16_t object_find_stray(struct object_store *s, const struct shard_key *key,
                           uint16_t own);

#endif
