/* shard_store_private.h: what the files of the shard store share.
 *
 * Threads of a drive, and who may do what:
 *   writer  appends to the active segment, applies to the index, calls done()
 *           of puts and deletes                           (shard_writer.c)
 *   reader  several; gets                                 (shard_reader.c)
 *   supply  zeroes ahead of the writer, makes segments, watches the free
 *           space                                         (segment_supply.c)
 *   keeper  footers, compaction, scrub; notices a lost folder; takes a failed
 *           drive down and brings it up again             (keeper.c)
 *
 * One mutex guards all fields but the constant ones; no I/O is done under it.
 * A thread that does I/O on the volume says so first (writer_busy,
 * supply_busy, gets_busy), and the keeper, who alone replaces the volume,
 * waits until none is busy. What a busy thread may rely on without the lock:
 * the volume and its segments stay; the active segment's tail is the
 * writer's.
 *
 * Ownership of a segment's files: writer handle: writer and supply while
 * ACTIVE, keeper from RETIRED on, once growing is false. reader handle: who
 * holds a ref.
 */
#ifndef GODWIT_NODE_SHARD_STORE_PRIVATE_H
#define GODWIT_NODE_SHARD_STORE_PRIVATE_H

#include <pthread.h>

#include "node/recovery.h"
#include "node/volume.h"

#define QUEUE_MAX 16384     /* puts, deletes and gets that may wait */
#define READERS_MAX 64      /* threads */
#define OPEN_READERS_MAX 64 /* segments kept open for gets */
#define FREE_SEGMENTS_KEPT 2
#define RESERVE_CHECK_MS 1000
#define PROBE_MS 1000
#define IDLE_MS 2000
#define TOLERATE_AFTER \
    3 /* openings that failed, before bad places are skipped */

enum supply_demand { SUPPLY_NONE, SUPPLY_GROW, SUPPLY_SEGMENT };

/* A record that compaction writes again. */
struct shard_copy {
    struct segment *from;
    struct segment_entry entry;   /* as it stands in @from */
    struct record_header *header; /* of a shard; its block_crc are kept */
    const uint8_t *data;          /* of a shard */
    void (*done)(struct shard_copy *c, int status);
    void *arg;
    struct list_node node;
};

struct shard_store {
    /* Constant. */
    const struct drive_ops *ops;
    char *path;
    uint16_t drive;
    uint8_t cluster[16];
    uint64_t segment_bytes_option;
    uint64_t reserve_bytes;
    unsigned reader_threads;
    uint64_t scrub_interval_ms;
    uint64_t compact_bytes_per_s;
    uint64_t bulk_bytes;

    pthread_mutex_t mutex; /* guards all below */
    enum drive_state state;
    char reason[ERR_TEXT_SIZE];
    struct volume *volume;  /* NULL while FAILED */
    uint64_t segment_bytes; /* of new segments */
    uint64_t free_bytes, size_bytes;

    struct list_node puts, deletes, copies;
    size_t waiting; /* puts and deletes not done */
    uint64_t turn;
    bool writer_stop, writer_busy;
    uint64_t batch_bytes; /* of the writer's batches lately, a running mean */
    pthread_cond_t writer_cond;

    struct list_node gets;
    size_t gets_waiting;
    unsigned gets_busy;
    bool readers_stop;
    pthread_cond_t reader_cond;

    enum supply_demand demand;
    bool demand_inner; /* of deletes and compaction: may use the reserve */
    uint64_t demand_end;
    int denied; /* the answer to the last demand */
    struct err denied_err;
    bool supply_stop, supply_busy;
    struct segment *growing;
    pthread_cond_t supply_cond;   /* there is a demand */
    pthread_cond_t supplied_cond; /* it was answered */

    bool keeper_stop;
    bool compact_asked;    /* by shard_store_compact_now */
    unsigned failed_opens; /* in a row */
    pthread_cond_t keeper_cond;
    pthread_cond_t quiet_cond; /* a busy flag fell, a ref went, a round ended */

    void (*on_bad)(void *arg, const struct shard_info *bad);
    void *on_bad_arg;
    struct shard_key scrub_at;
    bool scrub_started;
    uint64_t scrub_ms; /* when the last round was */
    uint64_t probe_ms; /* when the folder was last looked at */
    uint64_t write_ms; /* when something was last put or deleted */

    uint64_t count_puts, count_gets, count_deletes, count_syncs;
    uint64_t count_corrupt, count_scrubbed, count_compacted;

    pthread_t writer, supply, keeper;
    pthread_t readers[READERS_MAX];
};

void *writer_main(void *arg);
void *reader_main(void *arg);
void *supply_main(void *arg);
void *keeper_main(void *arg);

/* The drive does not work any more; the first reason stays. Takes the lock. */
void store_fail(struct shard_store *s, const struct err *why);
/* The same, lock held. */
void store_fail_locked(struct shard_store *s, const struct err *why);
/* Does an error speak of the drive, or of this process alone? */
bool store_is_fatal(int status);
/* ERR_IO and the reason, lock held. */
int store_failed(struct shard_store *s, struct err *err);

/* Open the drive's folder and put its volume in place. Keeper, or at open. */
int store_attach(struct shard_store *s, bool first, struct err *err);

/* Zeroing and new files go this far ahead at a time. */
uint64_t supply_step(const struct shard_store *s);
/* Keeper: unlink free segments over @keep. */
void supply_trim(struct shard_store *s, unsigned keep);

/* Lock held: end the active segment; the keeper gives it a footer. */
void writer_retire(struct shard_store *s);
/* Write the footers of retired segments. */
void keeper_seal_retired(struct shard_store *s);
/* Look at the folder if a second passed since; footers that wait. */
void keeper_housekeeping(struct shard_store *s);
/* Sleep, with housekeeping, until @ms passed or the keeper must end or the
 * drive failed; false then. */
bool keeper_pause(struct shard_store *s, uint64_t ms);

/* A whole record in memory. */
struct record_bytes {
    uint8_t *pages; /* mem_pages_free(pages, span) */
    uint32_t span;
    struct record_header header;
    bool header_good;
    uint32_t bad_blocks;
};
void record_bytes_free(struct record_bytes *r);

/* Read the record of @e in @g, which has a ref or is the caller's, past the
 * cache, and check it. 0 also when bad: see @out. ERR_IO, ERR_NOMEM. Blocks
 * that give read errors are zeros and count as bad. */
int reader_read_record(struct shard_store *s, struct segment *g,
                       const struct segment_entry *e, struct record_bytes *out,
                       struct err *err);

/* Read and check one shard; @span gets the bytes read. */
int reader_verify(struct shard_store *s, const struct shard_key *key,
                  uint32_t *span, struct err *err);
void store_report_bad(struct shard_store *s, const struct shard_info *bad);

/* Nothing was put or deleted for a while. Lock held. */
bool store_idle(const struct shard_store *s);

/* Empty one segment if it is time to; true when one was emptied. @asked: as if
 * idle, and at full speed. */
bool compact_round(struct shard_store *s, bool asked);
/* Read what is due. */
void scrub_round(struct shard_store *s);

#endif
