/* volume.h: what one opened drive holds: its segments and its index.
 *
 * A volume is made by recovery_open from what is on the disk and thrown away
 * whole when the drive fails; nothing of it is trusted after a failed write or
 * sync. shard_store_private.h says who works on it and under which lock.
 *
 * Segments are files "%08x.seg"; a segment's number is its place in
 * volume.segments.
 *
 * Invariants:
 * (1) A key that has any shard record in a segment that is not FREE has an
 *     index entry, whose stale is the number of those that are dead.
 * (2) A tombstone's entry goes, and with it its record, when stale is 0: then
 *     no older record can come back.
 * (3) Sequences rise in the order in which segments were begun, so the newest
 *     record of a key is the last by (sequence, offset).
 * (4) A segment counts as FREE only once a header that says so is durable.
 *
 * Threads: none of its own; the store's lock.
 */
#ifndef GODWIT_NODE_VOLUME_H
#define GODWIT_NODE_VOLUME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "node/drive.h"
#include "node/segment.h"
#include "node/shard_index.h"

enum segment_state {
    SEGMENT_FREE,    /* on volume.free_segments */
    SEGMENT_ACTIVE,  /* the writer appends here */
    SEGMENT_RETIRED, /* ended, waits for its footer */
    SEGMENT_SEALED,  /* has what it will ever have */
    SEGMENT_LEAVING, /* compaction empties it */
    SEGMENT_BAD,     /* cannot be read; left alone */
};

struct segment {
    uint32_t number;
    enum segment_state state;
    struct segment_header header;  /* of the current use */
    uint64_t file_bytes;           /* all of it written before */
    uint64_t tail;                 /* end of the records */
    uint64_t live_bytes;           /* spans of live records and tombstones */
    struct drive_file *writer;     /* of ACTIVE and RETIRED */
    struct drive_file *reader;     /* opened by the first get */
    bool emptied;                  /* nothing in it is needed any more */
    unsigned refs;                 /* gets in flight */
    uint64_t last_get;             /* turn of the last one, to close readers */
    struct segment_entry *entries; /* of ACTIVE and RETIRED */
    uint32_t count;
    uint32_t cap;
    struct list_node node; /* in free_segments or retired */
};

struct volume {
    const struct drive_ops *ops; /* kept */
    char *dir;
    uint16_t drive;
    uint8_t cluster[16];
    struct drive_file *lock; /* the identity file */
    struct shard_index *index;
    struct segment **segments; /* by number; NULL: no such file */
    uint32_t segment_count;
    uint64_t next_sequence;
    struct segment *active; /* may be NULL */
    struct list_node free_segments;
    unsigned free_count;
    struct list_node retired;
    uint64_t shards;     /* live or lost */
    uint64_t live_bytes; /* of segments' live_bytes */
    uint64_t data_bytes; /* lengths of live shards */
    uint64_t used_bytes; /* file_bytes of segments not FREE */
    unsigned bad_segments;
    unsigned open_readers;
    uint64_t get_turn;
};

#define VOLUME_TOMBSTONE_BYTES 32 /* what a tombstone counts as live */

/* An empty one with no lock, which the caller sets. */
struct volume *volume_new(const struct drive_ops *ops, const char *dir,
                          uint16_t drive, const uint8_t cluster[16]);
/* Closes all files; no get may be in flight. */
void volume_free(struct volume *v);

/* "%08x.seg" */
#define SEGMENT_NAME_MAX 16
void segment_name(uint32_t number, char out[SEGMENT_NAME_MAX]);

/* A number that has no file, and a segment of a number; FREE, not on the free
 * list, sizes 0. */
uint32_t volume_unused_number(const struct volume *v);
struct segment *volume_add_segment(struct volume *v, uint32_t number);
/* Forget a segment whose file is gone. */
void volume_drop_segment(struct volume *v, struct segment *g);
void volume_push_free(struct volume *v, struct segment *g);
/* NULL when there is none. */
struct segment *volume_pop_free(struct volume *v);

/* The record of @e in @g is on disk and newer than all of its key. */
void volume_apply(struct volume *v, struct segment *g,
                  const struct segment_entry *e);
/* A delete that could not be written: dead in memory until the next open. */
void volume_forget(struct volume *v, const struct shard_key *key);
/* Compaction wrote a live record of @from_unit in @from again as @e in @g;
 * false when it was not live any more. */
bool volume_move(struct volume *v, struct segment *from, uint32_t from_unit,
                 struct segment *g, const struct segment_entry *e);
/* The record can no longer be read and loses its place. */
void volume_lose(struct volume *v, const struct shard_key *key);
/* A tombstone that could not be written again: in memory only from now on. */
void volume_unplace_tombstone(struct volume *v, const struct shard_key *key);
/* One of a key's dead shard records goes away with its segment; the last one
 * takes the key's tombstone along. */
void volume_unstale(struct volume *v, const struct shard_key *key);

/* True when @e of @g is what the index points to. */
bool volume_is_current(struct volume *v, const struct segment *g,
                       const struct segment_entry *e);

void segment_add_entry(struct segment *g, const struct segment_entry *e);

#endif
