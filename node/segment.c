#include "node/segment.h"

#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/wire.h"
#include "crypto/digest.h"

#define HEADER_MAGIC 0x47535747u  /* "GWSG" */
#define RECORD_MAGIC 0x52535747u  /* "GWSR" */
#define TRAILER_MAGIC 0x46535747u /* "GWSF" */
#define FORMAT_VERSION 1

#define HEADER_CRC_AT 56
#define RECORD_CRCS_AT 52
#define TRAILER_CRC_AT 52
#define ENTRY_BYTES 32

#define STATE_IN_USE 1
#define STATE_FREE 2

_Static_assert(RECORD_CRCS_AT + 4 * SEGMENT_BLOCKS_MAX + 4 <= SEGMENT_UNIT,
               "a record's header fits in one unit");
_Static_assert(RECORD_CRCS_AT + 8 + TOMBSTONES_MAX * TOMBSTONE_BYTES <=
                   SEGMENT_UNIT,
               "a record of tombstones fits in one unit");

void segment_header_encode(const struct segment_header *h, uint8_t *block)
{
    memset(block, 0, SEGMENT_UNIT);
    store_u32(block, HEADER_MAGIC);
    store_u16(block + 4, FORMAT_VERSION);
    store_u16(block + 6, h->in_use ? STATE_IN_USE : STATE_FREE);
    store_u64(block + 8, h->sequence);
    store_u64(block + 16, h->salt);
    store_u64(block + 24, h->segment_bytes);
    store_u16(block + 32, h->drive);
    memcpy(block + 40, h->cluster, 16);
    store_u32(block + HEADER_CRC_AT, crc32c(0, block, HEADER_CRC_AT));
}

static bool all_zero(const uint8_t *p, size_t len)
{
    return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

int segment_header_decode(const uint8_t *block, struct segment_header *out,
                          struct err *err)
{
    uint16_t state = load_u16(block + 6);

    if (all_zero(block, HEADER_CRC_AT + 4)) {
        return err_set(err, ERR_NOT_FOUND, "segment header: never written");
    }
    if (load_u32(block) != HEADER_MAGIC ||
        load_u32(block + HEADER_CRC_AT) != crc32c(0, block, HEADER_CRC_AT)) {
        return err_set(err, ERR_CORRUPT, "segment header: wrong checksum");
    }
    if (load_u16(block + 4) != FORMAT_VERSION) {
        return err_set(err, ERR_VERSION,
                       "segment header: format %u is not known here",
                       (unsigned)load_u16(block + 4));
    }
    if ((state != STATE_IN_USE && state != STATE_FREE) ||
        load_u64(block + 24) > SEGMENT_BYTES_MAX) {
        return err_set(err, ERR_CORRUPT, "segment header: bad field");
    }
    out->sequence = load_u64(block + 8);
    out->salt = load_u64(block + 16);
    out->segment_bytes = load_u64(block + 24);
    out->drive = load_u16(block + 32);
    out->in_use = state == STATE_IN_USE;
    memcpy(out->cluster, block + 40, 16);
    return 0;
}

uint32_t record_blocks(uint32_t length)
{
    return (length + SHARD_BLOCK - 1) / SHARD_BLOCK;
}

uint32_t record_header_bytes(uint32_t length)
{
    return RECORD_CRCS_AT + 4 * record_blocks(length) + 4;
}

uint32_t record_data_offset(uint32_t length)
{
    return length >= SEGMENT_APART ? SEGMENT_UNIT : record_header_bytes(length);
}

uint32_t record_span(uint32_t length)
{
    return (uint32_t)mem_round_up(record_data_offset(length) + length,
                                  SEGMENT_UNIT);
}

void record_checksum(struct record_header *h, const void *data)
{
    const uint8_t *p = data;

    for (uint32_t i = 0, left = h->length; left > 0; i++) {
        uint32_t n = left < SHARD_BLOCK ? left : SHARD_BLOCK;
        h->block_crc[i] = crc32c(0, p, n);
        p += n;
        left -= n;
    }
}

void record_header_encode(const struct record_header *h, uint8_t *out)
{
    uint32_t bytes = record_header_bytes(h->length);

    CHECK(h->length > 0 && h->length <= SHARD_BYTES_MAX);
    store_u32(out, RECORD_MAGIC);
    store_u16(out + 4, FORMAT_VERSION);
    out[6] = (uint8_t)h->type;
    out[7] = h->key.slot;
    store_u64(out + 8, h->sequence);
    store_u64(out + 16, h->salt);
    store_u64(out + 24, h->key.hi);
    store_u64(out + 32, h->key.lo);
    store_u32(out + 40, h->group);
    store_u32(out + 44, h->length);
    store_u32(out + 48, record_data_offset(h->length));
    memcpy(out + RECORD_CRCS_AT, h->block_crc, 4 * record_blocks(h->length));
    store_u32(out + bytes - 4, crc32c(0, out, bytes - 4));
}

int record_header_decode(const uint8_t *in, size_t len,
                         struct record_header *out, struct err *err)
{
    uint32_t length;
    uint32_t bytes;

    if (len < RECORD_CRCS_AT || load_u32(in) != RECORD_MAGIC ||
        load_u16(in + 4) != FORMAT_VERSION) {
        return err_set(err, ERR_CORRUPT, "record header: not one");
    }
    length = load_u32(in + 44);
    if (length == 0 || length > SHARD_BYTES_MAX ||
        record_header_bytes(length) > len) {
        return err_set(err, ERR_CORRUPT, "record header: bad length");
    }
    bytes = record_header_bytes(length);
    if (load_u32(in + bytes - 4) != crc32c(0, in, bytes - 4)) {
        return err_set(err, ERR_CORRUPT, "record header: wrong checksum");
    }
    if ((in[6] != RECORD_SHARD && in[6] != RECORD_TOMBSTONES) ||
        load_u32(in + 48) != record_data_offset(length) ||
        (in[6] == RECORD_TOMBSTONES &&
         (length % TOMBSTONE_BYTES != 0 ||
          length > TOMBSTONES_MAX * TOMBSTONE_BYTES))) {
        return err_set(err, ERR_CORRUPT, "record header: bad field");
    }
    memset(out, 0, sizeof *out);
    out->type = in[6];
    out->key.slot = in[7];
    out->sequence = load_u64(in + 8);
    out->salt = load_u64(in + 16);
    out->key.hi = load_u64(in + 24);
    out->key.lo = load_u64(in + 32);
    out->group = load_u32(in + 40);
    out->length = length;
    memcpy(out->block_crc, in + RECORD_CRCS_AT, 4 * record_blocks(length));
    return 0;
}

void tombstone_encode(const struct shard_key *key, uint8_t *out)
{
    memset(out, 0, TOMBSTONE_BYTES);
    store_u64(out, key->hi);
    store_u64(out + 8, key->lo);
    out[16] = key->slot;
}

void tombstone_decode(const uint8_t *in, struct shard_key *out)
{
    memset(out, 0, sizeof *out);
    out->hi = load_u64(in);
    out->lo = load_u64(in + 8);
    out->slot = in[16];
}

static uint64_t entries_bytes(uint32_t count)
{
    return mem_round_up((size_t)count * ENTRY_BYTES, SEGMENT_UNIT);
}

uint64_t segment_footer_bytes(uint32_t count)
{
    return entries_bytes(count) + SEGMENT_UNIT;
}

void segment_footer_encode(const struct segment_header *h, uint64_t tail,
                           const struct segment_entry *entries, uint32_t count,
                           uint8_t *out)
{
    uint64_t bytes = entries_bytes(count);
    uint8_t *trailer = out + bytes;

    memset(out, 0, bytes + SEGMENT_UNIT);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *p = out + (size_t)i * ENTRY_BYTES;
        store_u64(p, entries[i].key.hi);
        store_u64(p + 8, entries[i].key.lo);
        store_u32(p + 16, entries[i].unit);
        store_u32(p + 20, entries[i].length);
        store_u32(p + 24, entries[i].group);
        p[28] = entries[i].key.slot;
        p[29] = (uint8_t)entries[i].type;
    }
    store_u32(trailer, TRAILER_MAGIC);
    store_u16(trailer + 4, FORMAT_VERSION);
    store_u64(trailer + 8, h->sequence);
    store_u64(trailer + 16, h->salt);
    store_u64(trailer + 24, tail);
    store_u64(trailer + 32, bytes);
    store_u32(trailer + 40, count);
    store_u32(trailer + 44, crc32c(0, out, bytes));
    store_u32(trailer + TRAILER_CRC_AT, crc32c(0, trailer, TRAILER_CRC_AT));
}

int segment_trailer_decode(const uint8_t *block, struct segment_trailer *out,
                           struct err *err)
{
    uint32_t count = load_u32(block + 40);

    if (load_u32(block) != TRAILER_MAGIC ||
        load_u16(block + 4) != FORMAT_VERSION ||
        load_u32(block + TRAILER_CRC_AT) != crc32c(0, block, TRAILER_CRC_AT)) {
        return err_set(err, ERR_CORRUPT, "segment footer: none");
    }
    if (load_u64(block + 32) != entries_bytes(count) ||
        load_u64(block + 24) > SEGMENT_BYTES_MAX ||
        load_u64(block + 24) % SEGMENT_UNIT != 0) {
        return err_set(err, ERR_CORRUPT, "segment footer: bad field");
    }
    out->sequence = load_u64(block + 8);
    out->salt = load_u64(block + 16);
    out->tail = load_u64(block + 24);
    out->entries_bytes = load_u64(block + 32);
    out->count = count;
    out->entries_crc = load_u32(block + 44);
    return 0;
}

static bool entry_valid(const struct segment_entry *e, uint64_t tail)
{
    uint64_t begin = (uint64_t)e->unit * SEGMENT_UNIT;

    if (e->type != RECORD_SHARD && e->type != RECORD_TOMBSTONES) {
        return false;
    }
    return e->length > 0 && e->length <= SHARD_BYTES_MAX &&
           begin >= SEGMENT_UNIT && begin + record_span(e->length) <= tail;
}

int segment_entries_decode(const struct segment_trailer *t, const uint8_t *in,
                           struct segment_entry *out, struct err *err)
{
    if (crc32c(0, in, t->entries_bytes) != t->entries_crc) {
        return err_set(err, ERR_CORRUPT, "segment footer: wrong checksum");
    }
    for (uint32_t i = 0; i < t->count; i++) {
        const uint8_t *p = in + (size_t)i * ENTRY_BYTES;
        memset(&out[i], 0, sizeof out[i]);
        out[i].key.hi = load_u64(p);
        out[i].key.lo = load_u64(p + 8);
        out[i].unit = load_u32(p + 16);
        out[i].length = load_u32(p + 20);
        out[i].group = load_u32(p + 24);
        out[i].key.slot = p[28];
        out[i].type = p[29];
        if (!entry_valid(&out[i], t->tail)) {
            return err_set(err, ERR_CORRUPT, "segment footer: bad entry");
        }
    }
    return 0;
}

static bool data_good(const struct segment_source *source, uint64_t offset,
                      const struct record_header *h)
{
    for (uint32_t i = 0, left = h->length; left > 0; i++) {
        uint32_t n = left < SHARD_BLOCK ? left : SHARD_BLOCK;
        const uint8_t *p = source->read(source->arg, offset, n);
        if (p == NULL || crc32c(0, p, n) != h->block_crc[i]) {
            return false;
        }
        offset += n;
        left -= n;
    }
    return true;
}

static void show_tombstones(
    const struct segment_source *source, uint64_t offset,
    const struct record_header *h, struct segment_entry *e,
    void (*fn)(void *arg, const struct segment_entry *e), void *arg)
{
    uint8_t list[TOMBSTONES_MAX * TOMBSTONE_BYTES];
    const uint8_t *p;

    if (e->bad) {
        return; /* whose they are is not known */
    }
    p = source->read(source->arg, offset, h->length);
    if (p == NULL) {
        return;
    }
    memcpy(list, p, h->length);
    for (uint32_t at = 0; at < h->length; at += TOMBSTONE_BYTES) {
        tombstone_decode(list + at, &e->key);
        fn(arg, e);
    }
}

uint64_t segment_scan(const struct segment_source *source, uint64_t sequence,
                      uint64_t salt,
                      void (*fn)(void *arg, const struct segment_entry *e),
                      void *arg)
{
    const uint64_t gap_max = record_span(SHARD_BYTES_MAX);
    struct record_header h;
    uint64_t tail = SEGMENT_UNIT;
    uint64_t at = SEGMENT_UNIT;

    while (at + SEGMENT_UNIT <= source->size_bytes && at <= tail + gap_max) {
        const uint8_t *p = source->read(source->arg, at, SEGMENT_UNIT);
        struct segment_entry e;
        if (p == NULL || record_header_decode(p, SEGMENT_UNIT, &h, NULL) != 0 ||
            h.sequence != sequence || h.salt != salt ||
            record_span(h.length) > source->size_bytes - at) {
            at += SEGMENT_UNIT;
            continue;
        }
        e = (struct segment_entry){
            .key = h.key,
            .type = h.type,
            .group = h.group,
            .length = h.length,
            .unit = (uint32_t)(at / SEGMENT_UNIT),
        };
        at += record_data_offset(h.length);
        e.bad = !data_good(source, at, &h);
        if (h.type == RECORD_TOMBSTONES) {
            show_tombstones(source, at, &h, &e, fn, arg);
        } else {
            fn(arg, &e);
        }
        at = (uint64_t)e.unit * SEGMENT_UNIT + record_span(h.length);
        tail = at;
    }
    return tail;
}
