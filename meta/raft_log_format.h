/* raft_log_format.h: the bytes of raft_log's files.
 *
 * Segment: a header block, then records, each from a multiple of 4 KiB on.
 * Header (4096 bytes):
 *
 *     off  len  field
 *       0    8  "GWLOGSEG"
 *       8    4  version, 1
 *      12    4  zero
 *      16    8  sequence, as in the file's name
 *      24    8  salt: random, stands in each record of the segment
 *      32    8  index of the first record
 *      40    8  bytes of the file
 *      48 4044  zero
 *    4092    4  CRC32C of bytes 0..4091
 *
 * Record:
 *
 *       0    4  "GLR1"
 *       4    4  n, bytes of data
 *       8    8  salt of the segment
 *      16    8  term
 *      24    8  index
 *      32    8  index of the first record written in the same append
 *      40    2  type, of libraft
 *      42    2  zero
 *      44    4  CRC32C of bytes 0..43 and of the data
 *      48    n  data
 *               zeros up to a multiple of 4 KiB
 *
 * File "vote": two slots of 4096 bytes, written in turn:
 *
 *       0    8  "GWRVOTE1"
 *       8    4  version, 1
 *      12    4  zero
 *      16    8  sequence; the higher of two whole slots counts
 *      24    8  term
 *      32    8  vote: member id, 0 for none
 *      40 4052  zero
 *    4092    4  CRC32C of bytes 0..4091
 *
 * The salt keeps what a user wrote into an object from ever looking like a
 * record, and a recycled segment's old records from looking like new ones.
 *
 * Threads: any.
 */
#ifndef GODWIT_META_RAFT_LOG_FORMAT_H
#define GODWIT_META_RAFT_LOG_FORMAT_H

#include <stdbool.h>

#include "meta/raft_log.h"

#define RAFT_LOG_VERSION 1
#define RAFT_LOG_RECORD_HEAD 48
#define RAFT_VOTE_SLOTS 2

struct raft_log_head {
    uint64_t sequence;
    uint64_t salt;
    uint64_t first;
    uint64_t bytes;
};

/* Blocks are RAFT_LOG_BLOCK bytes. */
void raft_log_head_encode(uint8_t *block, uint64_t sequence, uint64_t salt,
                          uint64_t first, uint64_t bytes);
/* ERR_CORRUPT, ERR_VERSION. */
int raft_log_head_decode(const uint8_t *block, struct raft_log_head *out,
                         struct err *err);

/* Bytes that a record with @len bytes of data takes. */
size_t raft_log_record_bytes(size_t len);
/* Write a record, padding included; gives its bytes. */
size_t raft_log_record_encode(uint8_t *p, const struct raft_log_entry *e,
                              uint64_t salt, uint64_t batch);

struct raft_log_record {
    struct raft_log_entry entry; /* data borrowed */
    uint64_t batch;
    size_t bytes;
};
/* False when no whole record of this salt stands in the @left bytes at @p. */
bool raft_log_record_decode(const uint8_t *p, uint64_t left, uint64_t salt,
                            struct raft_log_record *out);

void raft_vote_encode(uint8_t *block, const struct raft_vote *v,
                      uint64_t sequence);
bool raft_vote_decode(const uint8_t *block, struct raft_vote *out,
                      uint64_t *sequence);

#endif
