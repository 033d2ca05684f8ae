/* segment.h: the formats of a segment: header, records, footer.
 *
 * docs/DISK.md gives each by offset with its numbered validity conditions;
 * this file encodes and decodes them and has no I/O of its own.
 *
 *     0        header block (SEGMENT_UNIT bytes)
 *     4096     records, each at a multiple of SEGMENT_UNIT, back to back
 *     tail     zeros or what is left of an earlier use
 *     end      footer: entries, then a trailer in the file's last block
 *
 * Invariants: (1) Every record carries the segment's sequence and salt; one
 * that differs is of an earlier use and ends the run. (2) No block belongs to
 * two records. (3) Header and trailer fit in 512 bytes, which a disk writes
 * whole or not at all.
 *
 * Threads: any; pure functions.
 */
#ifndef GODWIT_NODE_SEGMENT_H
#define GODWIT_NODE_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "node/shard_store.h"

#define SEGMENT_UNIT ((uint32_t)4096)
#define SEGMENT_BYTES_MIN ((uint64_t)1 << 20)
#define SEGMENT_BYTES_MAX ((uint64_t)1 << 30)
#define SEGMENT_BLOCKS_MAX (SHARD_BYTES_MAX / SHARD_BLOCK)
/* From this length the data of a record begin in a block of their own, so
 * that they are written from where they stand. */
#define SEGMENT_APART ((uint32_t)32768)

/* What stands at offset 0. */
struct segment_header {
    uint64_t sequence;
    uint64_t salt; /* random, so that no user's bytes can pass as a record */
    uint64_t segment_bytes;
    uint16_t drive;
    bool in_use; /* false: its records are dead */
    uint8_t cluster[16];
};

void segment_header_encode(const struct segment_header *h, uint8_t *block);
/* ERR_NOT_FOUND: all zeros, never used. ERR_CORRUPT, ERR_VERSION. */
int segment_header_decode(const uint8_t *block, struct segment_header *out,
                          struct err *err);

enum record_type { RECORD_SHARD = 1, RECORD_TOMBSTONES = 2 };

struct record_header {
    enum record_type type;
    struct shard_key key; /* of a shard; zero for tombstones */
    uint32_t group;
    uint32_t length; /* of the data: the shard, or the list of tombstones */
    uint64_t sequence;
    uint64_t salt;
    uint32_t block_crc[SEGMENT_BLOCKS_MAX]; /* of each SHARD_BLOCK of data */
};

/* Number of SHARD_BLOCKs, bytes of the header, where the data begin, and
 * bytes that a record takes in all, for data of @length. */
uint32_t record_blocks(uint32_t length);
uint32_t record_header_bytes(uint32_t length);
uint32_t record_data_offset(uint32_t length);
uint32_t record_span(uint32_t length);

/* Fill @h->block_crc from the data. */
void record_checksum(struct record_header *h, const void *data);
/* Write record_header_bytes(@h->length). */
void record_header_encode(const struct record_header *h, uint8_t *out);
/* @len bytes are at hand; a header fits in SEGMENT_UNIT. ERR_CORRUPT. */
int record_header_decode(const uint8_t *in, size_t len,
                         struct record_header *out, struct err *err);

/* A record of tombstones holds a list of keys. */
#define TOMBSTONE_BYTES 24
#define TOMBSTONES_MAX 168 /* with the header in one SEGMENT_UNIT */

void tombstone_encode(const struct shard_key *key, uint8_t *out);
void tombstone_decode(const uint8_t *in, struct shard_key *out);

/* What the footer and a scan tell of a record; one for each tombstone. */
struct segment_entry {
    struct shard_key key;
    enum record_type type;
    uint32_t group;
    uint32_t length;
    uint32_t unit; /* of the record: its offset / SEGMENT_UNIT */
    bool bad;      /* a scan found wrong data; never in a footer */
};

struct segment_trailer {
    uint64_t sequence;
    uint64_t salt;
    uint64_t tail;          /* where the records end */
    uint64_t entries_bytes; /* how far before the trailer the entries begin */
    uint32_t count;
    uint32_t entries_crc;
};

/* Bytes of a footer of @count entries, trailer and padding included. */
uint64_t segment_footer_bytes(uint32_t count);
/* Write segment_footer_bytes(@count) to @out. */
void segment_footer_encode(const struct segment_header *h, uint64_t tail,
                           const struct segment_entry *entries, uint32_t count,
                           uint8_t *out);
int segment_trailer_decode(const uint8_t *block, struct segment_trailer *out,
                           struct err *err);
/* Decode the @t->entries_bytes before the trailer to @t->count entries. */
int segment_entries_decode(const struct segment_trailer *t, const uint8_t *in,
                           struct segment_entry *out, struct err *err);

/* The bytes of a segment's file, for a scan. */
struct segment_source {
    /* Borrow @len (at most SHARD_BLOCK) bytes at @offset until the next call;
     * NULL when they cannot be read. */
    const uint8_t *(*read)(void *arg, uint64_t offset, size_t len);
    void *arg;
    uint64_t size_bytes;
};

/* Find every record of this @sequence and @salt and call @fn with its entries
 * in their order; gives where the records end. A record whose data are wrong
 * is shown as bad; where a header is wrong the next good one is looked for
 * within the size of the largest record. */
uint64_t segment_scan(const struct segment_source *source, uint64_t sequence,
                      uint64_t salt,
                      void (*fn)(void *arg, const struct segment_entry *e),
                      void *arg);

#endif
