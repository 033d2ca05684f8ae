/* object_internal.h: what the files of object/ share.
 *
 * Threads: as each function says.
 */
#ifndef GODWIT_OBJECT_OBJECT_INTERNAL_H
#define GODWIT_OBJECT_OBJECT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "erasure/geometry.h"
#include "node/shard_store.h"
#include "object/manifest.h"
#include "object/object_bytes.h"
#include "object/object_store.h"
#include "object/pace.h"

struct chunk_read;
struct drive_pulse;
struct err;
struct object_mend;
struct packers;
struct peer_info;
struct repair;

#define OBJECT_REPAIRS_MAX 20000
#define OBJECT_REPAIR_BUCKETS 4096 /* of the table that finds them */
#define OBJECT_REPAIR_LEVELS 8     /* by tries: each waits longer */
#define OBJECT_REPAIR_DANGERS 8    /* by shards missing, 7 or more are one */

/* One chunk, as much of it as finding and checking it needs. */
struct chunk_ref {
    struct ec_policy policy;
    uint32_t group;
    uint64_t id_hi;
    uint64_t id_lo; /* with the chunk's index */
    uint32_t bytes;
    uint64_t crc64;
};

#define OBJECT_POLICIES_MAX 32

/* The groups of one policy. */
struct group_range {
    struct ec_policy policy;
    uint32_t first, count;
};

/* Read without a lock: slots are changed in place, one by one; when groups are
 * added there is a new table, and the old one stays for who still reads it. */
struct group_table {
    struct group_table *older;
    unsigned range_count;
    struct group_range ranges[OBJECT_POLICIES_MAX];
    uint32_t count;
    struct placement_group groups[];
};

struct object_store {
    struct object_store_options options;
    struct group_table *_Atomic table;

    pthread_mutex_t mutex; /* guards all below but the counters */
    pthread_cond_t cond;
    struct list_node puts; /* in flight: struct object_put */
    /* struct repair: by missing shards, then by tries. */
    struct list_node repairs[OBJECT_REPAIR_DANGERS][OBJECT_REPAIR_LEVELS];
    struct repair *repair_table[OBJECT_REPAIR_BUCKETS];
    struct repair *repairing; /* what the thread works on */
    size_t repair_count;
    struct pace pace; /* of repairs and moves */
    unsigned gets;
    bool stopping;
    pthread_t repair_thread;

    struct drive_pulse *pulse;
    struct object_mend *mend;
    struct packers *packers;
    atomic_uint pending; /* shard requests that drives still hold */
    atomic_ullong chunks_written, shards_missed, reads_degraded, reads_hedged,
        shards_repaired, repairs_dropped, orphans_collected;
};

struct chunk_ref object_chunk_ref(const struct manifest *m, uint32_t chunk);
/* The drive of @slot of the chunk; PLACEMENT_NO_DRIVE for an unknown group. */
uint16_t object_drive(const struct object_store *s,
                      const struct chunk_ref *chunk, unsigned slot);
/* The groups of @policy, else of that of the store; borrowed from a table. */
const struct group_range *object_groups(const struct object_store *s,
                                        struct ec_policy policy);
/* The same by the group's number. */
uint16_t object_group_drive(const struct object_store *s, uint32_t group,
                            unsigned slot);
/* Slots of the chunk whose drives are not there now. Without the lock: drives
 * have theirs. */
uint32_t object_away_slots(struct object_store *s,
                           const struct chunk_ref *chunk);
/* @bytes were rebuilt or moved: wait as the pace wants it. Ends early when the
 * store closes or @go_on (may be NULL) says no. */
void object_pace(struct object_store *s, uint64_t bytes,
                 bool (*go_on)(void *arg, uint64_t bytes), void *arg);
/* Up, and answering. */
bool object_drive_is_well(struct object_store *s, uint16_t drive);
/* Every drive that is known, of this server and others; free(). */
struct peer_info *object_all_drives(struct object_store *s, size_t *count);
static inline struct shard_key chunk_key(const struct chunk_ref *c,
                                         unsigned slot)
{
    return (struct shard_key){c->id_hi, c->id_lo, (uint8_t)slot};
}

/* Slots of codec shard i (data then parity) and back: a short chunk leaves
 * slots pieces..k-1 empty. */
static inline unsigned shard_slot(const struct chunk_shape *shape, unsigned i)
{
    return i < shape->pieces ? i : i - shape->pieces + shape->k;
}
static inline unsigned slot_shard(const struct chunk_shape *shape,
                                  unsigned slot)
{
    return slot < shape->k ? slot : slot - shape->k + shape->pieces;
}

/* ---- object_mend.c ---- */

struct object_mend *object_mend_new(struct object_store *s);
void object_mend_free(struct object_mend *m);
/* Drives of this server got slots, which may not have been copied whole: look
 * once no more have come for a while. Any thread. */
void object_mend_later(struct object_store *s);

/* ---- object_read.c ---- */

/* Read bytes [@offset, @offset + @length) of a chunk into @out, by any means;
 * the chunk's CRC64NVME is checked when that is all of it. Blocks for at most
 * get_timeout_ms. */
int object_read_chunk(struct object_store *s, const struct chunk_ref *chunk,
                      uint32_t offset, uint32_t length, uint8_t *out,
                      struct err *err);

/* The same in two steps: ask the drives now, and later wait for the bytes, or
 * drop them. Start gives NULL when there is no memory; with @only_pool also
 * when the pool has none to spare. */
struct chunk_read *object_read_start(struct object_store *s,
                                     const struct chunk_ref *chunk,
                                     uint32_t offset, uint32_t length,
                                     bool only_pool);
/* Gives the memory that the drives wrote to, if it can. */
int object_read_take(struct chunk_read *r, struct object_bytes *out,
                     struct err *err);
void object_read_drop(struct chunk_read *r); /* NULL is nothing */

/* Make the shard in @slot (piece_bytes of them, padded) from the others of its
 * local group, without reading it: k/l reads. ERR_UNAVAILABLE when it has no
 * local group, or not all of it can be read; ERR_TIMEOUT when one does not
 * answer within PULSE_LOST_MS: then there is still object_read_chunk. Nothing
 * says that the bytes are those that were put but the checksums of the shards
 * read. Blocks. */
int object_read_local(struct object_store *s, const struct chunk_ref *chunk,
                      unsigned slot, uint8_t *out, struct err *err);

/* Can the drive of @slot be asked, and is its shard good? As a get of the
 * whole shard; ERR_TIMEOUT when the drive does not answer in time. Blocks. */
int object_probe_shard(struct object_store *s, const struct chunk_ref *chunk,
                       unsigned slot, struct err *err);

/* ---- object_repair.c ---- */

/* Queue the rebuilding of shards (bit mask of slots). Any thread; counts and
 * forgets what is over OBJECT_REPAIRS_MAX. */
void object_repair_queue(struct object_store *s, const struct chunk_ref *chunk,
                         uint32_t slots);
/* A chunk is about to be deleted: what is queued for it is forgotten, and what
 * is just being written for it will be deleted again. Any thread. */
void object_repair_forget(struct object_store *s, uint64_t hi, uint64_t lo);
/* Rebuild and write one shard now. Blocks. */
int object_repair_shard(struct object_store *s, const struct chunk_ref *chunk,
                        unsigned slot, struct err *err);
void object_repair_start(struct object_store *s);
void object_repair_stop(struct object_store *s);

/* ---- object_gc.c ---- */

/* Delete the shards in @slots of a chunk; waits for drives that answer. */
void object_delete_shards(struct object_store *s, const struct chunk_ref *chunk,
                          uint32_t slots);
/* Have one shard deleted; does not wait, and nothing tells. */
void object_forget_shard(struct object_store *s, uint16_t drive,
                         const struct shard_key *key);

#endif
