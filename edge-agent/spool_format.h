/* spool_format.h: what stands in a spool, byte by byte.
 *
 * A segment is SPOOL_SEGMENT bytes, zeroed once when its file is made, reused
 * for ever, never truncated. Little-endian. docs/DISK.md tells the whole.
 *
 *     head     at 0, of the first round's write
 *              0  4  "GWSS"
 *              4  4  CRC32C of all that follows, seal header included
 *              8  1  version, 1
 *              9  1  0
 *             10  2  bytes of the seal header, at most SPOOL_HEADER_MAX
 *             12  4  salt: random, the start value of the records' CRCs
 *             16  8  sequence of the segment
 *             24     seal header, zeros to a multiple of 8
 *     records  one after another, each at a multiple of 8; each round of writes
 *              starts at a multiple of SPOOL_BLOCK, zeros before that
 *              0  4  "GWSR"
 *              4  4  CRC32C, begun with the salt, of all that follows
 *              8  4  bytes of the payload
 *             12  2  bytes of the key, at most SPOOL_KEY_MAX
 *             14  2  bytes of the metadata, at most SPOOL_META_MAX
 *             16  8  sequence of the segment
 *             24  8  id: the device's sequence; of a part: the upload's tag
 *             32  8  time, ms since 1970, by the device
 *             40  8  bytes of the text; of a part: its number, from 0
 *             48  1  kind: SPOOL_OBJECT, SPOOL_PART, SPOOL_DELETE
 *             49  1  class, 0 to SPOOL_CLASSES - 1, the highest matters most
 *             50  1  flags: SPOOL_FLAG_*
 *             51  1  flags of the seal
 *             52  4  link of the seal; with SPOOL_FLAG_PARTS: the upload's tag
 *             56  4  segment number of the part before, or SPOOL_NONE
 *             60  4  its place
 *             64  8  bytes stored: of the payload, or of all parts
 *             72 16  MD5 of the text, masked: edge-agent/intake.h
 *             88     key, metadata, payload, zeros to a multiple of 8
 *     footer   at the end, written when the segment is full: entries of
 *              SPOOL_ENTRY bytes, then at SPOOL_SEGMENT - 32
 *              0  4  "GWSF"
 *              4  4  CRC32C of the entries and of all that follows
 *              8  8  sequence of the segment
 *             16  8  id of the first entry
 *             24  4  count of entries
 *             28  4  0
 *              entry: u32 place / 8, kind << 20, has parts << 23, class << 24;
 *              u32 hash of the key; u32 bytes stored, at most UINT32_MAX; u32
 * id - first id
 *
 *     cursor   a file of two slots at 0 and SPOOL_BLOCK, written in turn; the
 *              valid one of the higher generation counts: spool_cursor_*
 *
 * A record is valid when magic, bounds, sequence of its segment and CRC agree.
 *
 * Threads: any.
 */
#ifndef GODWIT_EDGE_SPOOL_FORMAT_H
#define GODWIT_EDGE_SPOOL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define SPOOL_SEGMENT (1024U * 1024)
#define SPOOL_BLOCK 4096U
#define SPOOL_VERSION 1
#define SPOOL_HEADER_MAX 1024 /* crypto/seal_key.h: 712 */
#define SPOOL_KEY_MAX 1088    /* S3: bucket 63, '/', key 1,024 */
#define SPOOL_META_MAX 8192   /* content type and 2 KiB of metadata, encoded */
#define SPOOL_CLASSES 10
#define SPOOL_NONE UINT32_MAX

#define SPOOL_HEAD 24U
#define SPOOL_RECORD 88U
#define SPOOL_ENTRY 16U
#define SPOOL_TRAILER 32U
#define SPOOL_CURSOR 96U

enum spool_kind { SPOOL_OBJECT = 1, SPOOL_PART = 2, SPOOL_DELETE = 3 };

#define SPOOL_FLAG_PARTS 1u    /* the bytes stand in parts */
#define SPOOL_FLAG_ENVELOPE 2u /* the bytes are an envelope, not a body */

struct spool_head {
    uint64_t sequence;
    uint32_t salt;
    uint16_t header_len;
    const uint8_t *header; /* in the input */
};

struct spool_record {
    uint32_t payload_len;
    uint16_t key_len;
    uint16_t meta_len;
    uint64_t sequence; /* of the segment */
    uint64_t id;
    uint64_t time_ms;
    uint64_t plain_size;
    uint8_t kind;
    uint8_t class_id;
    uint8_t flags;
    uint8_t seal_flags;
    uint32_t link;
    uint32_t prev_slot;
    uint32_t prev_at;
    uint64_t stored_size;
    uint8_t etag[16];
};

struct spool_entry {
    uint32_t at;
    uint8_t kind;
    uint8_t class_id;
    bool parts;
    uint32_t hash;
    uint32_t stored_size;
    uint64_t id;
};

/* Counters live as long as the spool. */
struct spool_cursor {
    uint64_t generation;
    uint64_t done; /* all ids up to this are delivered or shed */
    uint64_t next_id;
    uint64_t accepted_objects;
    uint64_t accepted_bytes;
    uint64_t delivered_objects;
    uint64_t shed_objects;
    uint64_t shed_bytes;
    uint64_t damaged_objects;
    uint64_t flash_bytes; /* written to the disk, zeroing included */
};

/* Bytes of the head with a seal header of @header_len bytes; of a record. */
size_t spool_head_size(size_t header_len);
size_t spool_record_size(size_t key_len, size_t meta_len, size_t payload_len);
/* Bytes kept at the end for a footer of @count entries: whole blocks. */
size_t spool_footer_room(size_t count);

void spool_head_write(const struct spool_head *h, uint8_t *out);
/* From the first SPOOL_BLOCK bytes of a segment. ERR_NOT_FOUND: all zero there;
 * ERR_CORRUPT; ERR_VERSION. */
int spool_head_read(const uint8_t *p, struct spool_head *out, struct err *err);

/* Write the fixed part to @out, where key, metadata and payload already follow,
 * and the zeros after them. */
void spool_record_write(const struct spool_record *r, uint32_t salt,
                        uint8_t *out);
/* The fixed part alone from SPOOL_RECORD bytes: bounds are checked, the CRC is
 * not. @room: bytes from the record to the segment's end. */
int spool_record_peek(const uint8_t *p, size_t room, uint64_t sequence,
                      struct spool_record *out, struct err *err);
/* The whole record stands at @p: compare the CRC. */
int spool_record_check(const uint8_t *p, const struct spool_record *r,
                       uint32_t salt, struct err *err);

void spool_entry_write(const struct spool_entry *e, uint64_t first_id,
                       uint8_t *out);
/* @ends is the segment's end: the @count entries stand before the trailer. */
void spool_footer_seal(uint8_t *ends, uint64_t sequence, uint64_t first_id,
                       uint32_t count);
/* From SPOOL_TRAILER bytes: how many entries, if it is of @sequence. */
bool spool_trailer_peek(const uint8_t *p, uint64_t sequence, uint32_t *count);
/* Entries and trailer stand before @ends: compare the CRC. */
bool spool_footer_check(const uint8_t *ends, uint32_t count);
bool spool_entry_read(const uint8_t *ends, uint32_t count, uint32_t i,
                      struct spool_entry *out);

void spool_cursor_write(const struct spool_cursor *c, uint8_t *out);
bool spool_cursor_read(const uint8_t *p, struct spool_cursor *out);

/* Of a key, for the index. */
uint32_t spool_hash(const void *key, size_t len);

#endif
