/* object_store.h: erasure-coded runs of chunks over many drives.
 *
 * What object_put, object_get and object_gc share: the drives (peers), the
 * placement map, the pool of buffers, and the puts that are in flight. Has
 * never heard of HTTP or SQL.
 *
 * Threads: open and close at start and end; the rest any.
 */
#ifndef GODWIT_OBJECT_OBJECT_STORE_H
#define GODWIT_OBJECT_OBJECT_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "erasure/placement.h"

struct err;
struct object_store;
struct peers;
struct pool;

struct object_store_options {
    struct peers *peers;     /* kept */
    struct pool *pool;       /* kept; chunk buffers come from here */
    struct ec_policy policy; /* for puts that name no other */
    /* Copied; ids 0..group_count-1; those of a policy stand together, the ones
     * of @policy first. */
    const struct placement_group *groups;
    uint32_t group_count;
    uint64_t put_timeout_ms; /* for a drive to make a shard durable */
    uint64_t get_timeout_ms; /* for a read to succeed by any means */
    uint64_t hedge_ms;       /* before one more shard is asked for */
    uint64_t orphan_age_ms;  /* before an unknown shard is collected */
    uint64_t repair_rate; /* bytes of shards a second that this server rebuilds
                             and moves; 0: unbounded */
};

/* ERR_BAD_INPUT: no groups, or not as above. */
int object_store_open(const struct object_store_options *options,
                      struct object_store **out, struct err *err);
/* CHECKs that no put or get is open; waits for shards still being written. */
void object_store_close(struct object_store *s);

/* The placement groups from now on: the same ids and policies on drives that
 * may be others, and perhaps more of further policies behind them. Puts and
 * reads under way may still use the old ones. Any thread, one at a time.
 * ERR_BAD_INPUT: not so. */
int object_store_set_groups(struct object_store *s,
                            const struct placement_group *groups,
                            uint32_t count, struct err *err);

/* Are there groups of @policy, so that a put can be by it? */
bool object_store_knows(struct object_store *s, struct ec_policy policy);

/* Bytes of the pool buffer that a chunk of @chunk_bytes needs: the data with
 * room for padding, then the parity, by the policy of the store; it is the same
 * whatever groups come later. */
size_t object_buffer_bytes(const struct object_store *s, uint32_t chunk_bytes);

struct object_store_stats {
    uint64_t chunks_written;
    uint64_t shards_missed;  /* of chunks written with a quorum, not all */
    uint64_t reads_degraded; /* chunks that had to be decoded */
    uint64_t reads_hedged;
    uint64_t shards_repaired; /* written again after a bad read */
    uint64_t orphans_collected;
    uint64_t repairs_waiting; /* and the one that is worked on */
    uint64_t repairs_dropped; /* for want of room in the queue */
};

void object_store_stats(struct object_store *s, struct object_store_stats *out);

#endif
