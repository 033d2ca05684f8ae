/* shard_store.h: the shards of one drive.
 *
 * A drive is a folder with log-structured segments (docs/DISK.md gives each
 * format by offset). Puts and deletes are queued; one writer thread takes all
 * that wait, writes them with one pwritev and one fdatasync, and calls each
 * request's done(). Reads run on the drive's reader threads and check every
 * 64 KiB block that they touch. The requests are structs of the caller, which
 * stay until done() is called; done() runs on a thread of the drive and must
 * not block.
 *
 * States: a drive is UP, FULL (below its reserve: refuses puts with ERR_FULL,
 * still reads and deletes, recovers by itself when space returns), or FAILED
 * (its folder is gone, read-only or gives I/O errors: everything fails with
 * ERR_IO and the reason; it is probed and comes back when it answers again
 * with the same identity).
 *
 * Invariants: (1) done(0) of a put means the record is on stable media. (2) A
 * block that holds an acknowledged record is never rewritten before the record
 * is dead. (3) A get never gives bytes whose checksum does not match. (4) A
 * delete acknowledged may reappear after a crash (it is then an orphan and is
 * collected again); a put never disappears.
 *
 * Threads: all functions any, but close, which comes last.
 */
#ifndef GODWIT_NODE_SHARD_STORE_H
#define GODWIT_NODE_SHARD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"

struct drive_ops;
struct shard_store;

/* A chunk id is 128 bits, given by object/; see object/manifest.h. */
struct shard_key {
    uint64_t hi;
    uint64_t lo;
    uint8_t slot;
};

#define SHARD_BLOCK ((uint32_t)65536)
#define SHARD_BYTES_MAX ((uint32_t)8 << 20)

enum drive_state { DRIVE_UP, DRIVE_FULL, DRIVE_FAILED };

struct shard_store_options {
    const char *path;        /* the drive's folder; made when missing */
    uint16_t drive;          /* id; kept in the folder, checked at open */
    uint8_t cluster[16];     /* id; a drive of another one is refused */
    uint64_t segment_bytes;  /* size of new segments; 0: by the disk's size */
    uint64_t reserve_bytes;  /* free space below which puts are refused */
    unsigned reader_threads; /* 0: 2 */
    uint64_t scrub_interval_ms;   /* read all once in this time; 0: never */
    uint64_t compact_bytes_per_s; /* pace; 0: 64 MiB/s */
    uint64_t bulk_bytes; /* batches this large want no zeros; 0: 256 KiB */
    const struct drive_ops *ops; /* node/drive.h; kept; NULL: the system's */
};

/* Open the drive, or make a new empty one; starts its threads. An unusable
 * folder is no error: the store opens FAILED and comes up when it can.
 * ERR_MISMATCH: the folder is another drive's or another cluster's.
 * ERR_VERSION: written by a newer godwit. ERR_LOCKED: in use by another
 * process. */
int shard_store_open(const struct shard_store_options *options,
                     struct shard_store **out, struct err *err);
/* Finish what is queued, then end. */
void shard_store_close(struct shard_store *s);

struct shard_put {
    struct shard_key key;
    uint32_t group;   /* placement group */
    const void *data; /* borrowed until done; page-aligned is fastest */
    uint32_t length;  /* 1..SHARD_BYTES_MAX */
    void (*done)(struct shard_put *p, int status, const struct err *err);
    struct list_node node; /* the store's */
    uint64_t turn;         /* the store's */
};

struct shard_get {
    struct shard_key key;
    uint32_t offset; /* within the shard */
    uint32_t length;
    void *out; /* filled before done(0) */
    void (*done)(struct shard_get *g, int status, const struct err *err);
    struct list_node node;
};

struct shard_delete {
    struct shard_key key;
    void (*done)(struct shard_delete *d, int status, const struct err *err);
    struct list_node node;
    uint64_t turn; /* the store's */
};

/* A put of a key that exists replaces it. Errors: ERR_FULL, ERR_IO, ERR_LIMIT
 * (longer than SHARD_BYTES_MAX or than a segment has room for), ERR_BUSY (too
 * many wait: done() is called at once, by the caller's thread), ERR_NOMEM. */
void shard_store_put(struct shard_store *s, struct shard_put *p);
/* Errors: ERR_NOT_FOUND, ERR_CORRUPT, ERR_RANGE, ERR_IO. */
void shard_store_get(struct shard_store *s, struct shard_get *g);
/* A key that is not there is no error. */
void shard_store_delete(struct shard_store *s, struct shard_delete *d);

struct shard_info {
    struct shard_key key;
    uint32_t group;
    uint32_t length;
};

/* Up to @max shards in key order after @after (NULL: from the first); gives
 * the number. Shows what is acknowledged, and may show more. */
size_t shard_store_list(struct shard_store *s, const struct shard_key *after,
                        struct shard_info *out, size_t max);
/* False when the drive has no such shard. */
bool shard_store_stat(struct shard_store *s, const struct shard_key *key,
                      struct shard_info *out);
/* Read a shard whole and check every block: 0, ERR_NOT_FOUND, ERR_CORRUPT,
 * ERR_IO. Blocks. */
int shard_store_verify(struct shard_store *s, const struct shard_key *key,
                       struct err *err);

struct shard_store_stats {
    enum drive_state state;
    char reason[ERR_TEXT_SIZE]; /* of FULL and FAILED */
    uint16_t drive;
    uint64_t shards;
    uint64_t live_bytes; /* of shards that can be read */
    uint64_t used_bytes; /* of segments that hold records */
    uint64_t free_bytes; /* of the file system */
    uint64_t size_bytes;
    uint64_t segments;
    uint64_t puts, gets, deletes, syncs;
    uint64_t corrupt; /* blocks found bad since start */
    uint64_t scrubbed_bytes;
    uint64_t compacted_bytes;
};

void shard_store_stats(struct shard_store *s, struct shard_store_stats *out);
/* The state alone: cheap. */
enum drive_state shard_store_state(struct shard_store *s);
const char *shard_store_path(const struct shard_store *s);

/* Called (on the drive's thread) with each shard that scrub or compaction finds
 * bad. @fn must not call the store; once this has returned with another @fn or
 * NULL, the one before is not called any more. */
void shard_store_on_bad(struct shard_store *s,
                        void (*fn)(void *arg, const struct shard_info *bad),
                        void *arg);

/* Compact until no segment is emptier than it may be. For tests and tools. */
void shard_store_compact_now(struct shard_store *s);

#endif
