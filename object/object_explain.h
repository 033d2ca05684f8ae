/* object_explain.h: where the shards of a run are.
 *
 * Threads: any; calls block, with deadlines.
 */
#ifndef GODWIT_OBJECT_OBJECT_EXPLAIN_H
#define GODWIT_OBJECT_OBJECT_EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "erasure/geometry.h"

struct err;
struct object_store;

enum object_shard_state {
    OBJECT_SHARD_HERE,
    OBJECT_SHARD_LOST,   /* the drive answers and has it not */
    OBJECT_SHARD_SILENT, /* the drive does not answer */
};

struct object_shard {
    uint32_t chunk; /* of the run */
    uint32_t chunks;
    uint32_t chunk_bytes; /* stored */
    uint32_t plain_bytes; /* 0: it is not compressed */
    uint32_t group;
    struct ec_policy policy;
    uint64_t id_hi, id_lo;
    uint8_t slot;
    bool parity;
    uint16_t drive; /* by the layout */
    uint32_t bytes;
    enum object_shard_state state;
};

/* @fn for each shard of the chunks @first..@first+@max-1. ERR_CORRUPT: not a
 * manifest. */
int object_explain(struct object_store *s, const void *manifest, size_t len,
                   uint32_t first, uint32_t max,
                   void (*fn)(void *arg, const struct object_shard *shard),
                   void *arg, struct err *err);

#endif
