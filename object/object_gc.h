/* object_gc.h: delete runs of chunks, collect orphans, verify.
 *
 * Threads: any; calls block, with deadlines.
 */
#ifndef GODWIT_OBJECT_OBJECT_GC_H
#define GODWIT_OBJECT_OBJECT_GC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/shard_store.h"

struct err;
struct object_store;

/* Delete every shard of a run. Drives that do not answer keep theirs, which
 * are then orphans. ERR_CORRUPT: not a manifest. */
int object_delete(struct object_store *s, const void *manifest, size_t len,
                  struct err *err);

/* Is a put of this run under way here? Does not block. */
bool object_put_in_flight(struct object_store *s, uint64_t hi, uint64_t lo);

/* Walk all drives of this server; for each chunk that is older than
 * orphan_age_ms and not of a put in flight, ask @known (chunk id with the low
 * 24 bits of lo cleared: a run); delete the shards of runs that are not known.
 * Gives the count. Safe because a put stays in flight until its manifest is in
 * the catalogue: see docs/ARCHITECTURE.md, "Collecting orphans". */
uint64_t object_collect_orphans(struct object_store *s,
                                bool (*known)(void *arg, uint64_t hi,
                                              uint64_t lo),
                                void *arg);

enum object_defect {
    OBJECT_SHARD_MISSING,
    OBJECT_SHARD_CORRUPT,
    OBJECT_SHARD_UNREADABLE, /* the drive does not answer */
    OBJECT_CHUNK_LOST,       /* what is good does not give the rest */
    OBJECT_MANIFEST_BAD,
};

/* Read and check every shard of a run; @report is called for each defect
 * (@slot is of no meaning for the last two). When @repair, what can be rebuilt
 * is. Gives the count of defects. */
uint64_t object_verify(struct object_store *s, const void *manifest, size_t len,
                       bool repair,
                       void (*report)(void *arg, enum object_defect defect,
                                      const struct shard_key *key,
                                      uint16_t drive, const char *why),
                       void *arg);

#endif
