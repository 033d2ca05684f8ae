#include "edge-agent/spool_format.h"

#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wire.h"
#include "crypto/digest.h"

#define MAGIC_HEAD 0x53535747u   /* "GWSS" */
#define MAGIC_RECORD 0x52535747u /* "GWSR" */
#define MAGIC_FOOTER 0x46535747u /* "GWSF" */
#define MAGIC_CURSOR 0x43535747u /* "GWSC" */

/* Of an entry's first word. */
#define ENTRY_AT_MASK 0xfffffu
#define ENTRY_KIND_SHIFT 20
#define ENTRY_PARTS_SHIFT 23
#define ENTRY_CLASS_SHIFT 24

_Static_assert(SPOOL_SEGMENT / 8 <= ENTRY_AT_MASK, "a place fits in an entry");
_Static_assert(SPOOL_HEAD + SPOOL_HEADER_MAX <= SPOOL_BLOCK,
               "a head is read by one block");

size_t spool_head_size(size_t header_len)
{
    return mem_round_up(SPOOL_HEAD + header_len, 8);
}

size_t spool_record_size(size_t key_len, size_t meta_len, size_t payload_len)
{
    return mem_round_up(SPOOL_RECORD + key_len + meta_len + payload_len, 8);
}

size_t spool_footer_room(size_t count)
{
    return mem_round_up(SPOOL_TRAILER + count * SPOOL_ENTRY, SPOOL_BLOCK);
}

void spool_head_write(const struct spool_head *h, uint8_t *out)
{
    size_t size = spool_head_size(h->header_len);

    CHECK(h->header_len <= SPOOL_HEADER_MAX);
    memset(out, 0, size);
    store_u32(out, MAGIC_HEAD);
    out[8] = SPOOL_VERSION;
    store_u16(out + 10, h->header_len);
    store_u32(out + 12, h->salt);
    store_u64(out + 16, h->sequence);
    if (h->header_len > 0) {
        memcpy(out + SPOOL_HEAD, h->header, h->header_len);
    }
    store_u32(out + 4, crc32c(0, out + 8, SPOOL_HEAD - 8 + h->header_len));
}

static bool all_zero(const uint8_t *p, size_t len)
{
    return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

int spool_head_read(const uint8_t *p, struct spool_head *out, struct err *err)
{
    uint16_t header_len = load_u16(p + 10);

    if (all_zero(p, SPOOL_BLOCK)) {
        return err_set(err, ERR_NOT_FOUND, "the segment was never used");
    }
    if (load_u32(p) != MAGIC_HEAD || header_len > SPOOL_HEADER_MAX ||
        load_u32(p + 4) != crc32c(0, p + 8, SPOOL_HEAD - 8 + header_len)) {
        return err_set(err, ERR_CORRUPT, "the segment has no valid head");
    }
    if (p[8] != SPOOL_VERSION) {
        return err_set(err, ERR_VERSION,
                       "the segment is of version %u, this agent reads %u",
                       p[8], SPOOL_VERSION);
    }
    out->sequence = load_u64(p + 16);
    out->salt = load_u32(p + 12);
    out->header_len = header_len;
    out->header = p + SPOOL_HEAD;
    return 0;
}

/* Bytes that the CRC covers: all from the payload's length on, no padding. */
static size_t covered(const struct spool_record *r)
{
    return SPOOL_RECORD - 8 + (size_t)r->key_len + r->meta_len + r->payload_len;
}

void spool_record_write(const struct spool_record *r, uint32_t salt,
                        uint8_t *out)
{
    size_t end = 8 + covered(r);

    store_u32(out, MAGIC_RECORD);
    store_u32(out + 8, r->payload_len);
    store_u16(out + 12, r->key_len);
    store_u16(out + 14, r->meta_len);
    store_u64(out + 16, r->sequence);
    store_u64(out + 24, r->id);
    store_u64(out + 32, r->time_ms);
    store_u64(out + 40, r->plain_size);
    out[48] = r->kind;
    out[49] = r->class_id;
    out[50] = r->flags;
    out[51] = r->seal_flags;
    store_u32(out + 52, r->link);
    store_u32(out + 56, r->prev_slot);
    store_u32(out + 60, r->prev_at);
    store_u64(out + 64, r->stored_size);
    memcpy(out + 72, r->etag, sizeof r->etag);
    memset(out + end, 0, mem_round_up(end, 8) - end);
    store_u32(out + 4, crc32c(salt, out + 8, covered(r)));
}

int spool_record_peek(const uint8_t *p, size_t room, uint64_t sequence,
                      struct spool_record *out, struct err *err)
{
    struct spool_record r = {
        .payload_len = load_u32(p + 8),
        .key_len = load_u16(p + 12),
        .meta_len = load_u16(p + 14),
        .sequence = load_u64(p + 16),
        .id = load_u64(p + 24),
        .time_ms = load_u64(p + 32),
        .plain_size = load_u64(p + 40),
        .kind = p[48],
        .class_id = p[49],
        .flags = p[50],
        .seal_flags = p[51],
        .link = load_u32(p + 52),
        .prev_slot = load_u32(p + 56),
        .prev_at = load_u32(p + 60),
        .stored_size = load_u64(p + 64),
    };

    if (load_u32(p) != MAGIC_RECORD || r.sequence != sequence ||
        r.key_len > SPOOL_KEY_MAX || r.meta_len > SPOOL_META_MAX ||
        r.payload_len > SPOOL_SEGMENT || r.kind < SPOOL_OBJECT ||
        r.kind > SPOOL_DELETE || r.class_id >= SPOOL_CLASSES ||
        spool_record_size(r.key_len, r.meta_len, r.payload_len) > room) {
        return err_set(err, ERR_CORRUPT, "no valid record of the spool");
    }
    memcpy(r.etag, p + 72, sizeof r.etag);
    *out = r;
    return 0;
}

int spool_record_check(const uint8_t *p, const struct spool_record *r,
                       uint32_t salt, struct err *err)
{
    return load_u32(p + 4) == crc32c(salt, p + 8, covered(r))
               ? 0
               : err_set(err, ERR_CORRUPT,
                         "a record of the spool differs from its checksum");
}

void spool_entry_write(const struct spool_entry *e, uint64_t first_id,
                       uint8_t *out)
{
    store_u32(out, e->at / 8 | (uint32_t)e->kind << ENTRY_KIND_SHIFT |
                       (uint32_t)e->parts << ENTRY_PARTS_SHIFT |
                       (uint32_t)e->class_id << ENTRY_CLASS_SHIFT);
    store_u32(out + 4, e->hash);
    store_u32(out + 8, e->stored_size);
    store_u32(out + 12, (uint32_t)(e->id - first_id));
}

/* From the entries' first byte to the trailer's end, but the CRC itself. */
static uint32_t footer_crc(const uint8_t *ends, uint32_t count)
{
    const uint8_t *trailer = ends - SPOOL_TRAILER;
    size_t entries = (size_t)count * SPOOL_ENTRY;
    uint32_t crc = crc32c(0, trailer - entries, entries);

    return crc32c(crc, trailer + 8, SPOOL_TRAILER - 8);
}

void spool_footer_seal(uint8_t *ends, uint64_t sequence, uint64_t first_id,
                       uint32_t count)
{
    uint8_t *trailer = ends - SPOOL_TRAILER;

    memset(trailer, 0, SPOOL_TRAILER);
    store_u32(trailer, MAGIC_FOOTER);
    store_u64(trailer + 8, sequence);
    store_u64(trailer + 16, first_id);
    store_u32(trailer + 24, count);
    store_u32(trailer + 4, footer_crc(ends, count));
}

bool spool_trailer_peek(const uint8_t *p, uint64_t sequence, uint32_t *count)
{
    if (load_u32(p) != MAGIC_FOOTER || load_u64(p + 8) != sequence ||
        load_u32(p + 24) > SPOOL_SEGMENT / SPOOL_RECORD) {
        return false;
    }
    *count = load_u32(p + 24);
    return true;
}

bool spool_footer_check(const uint8_t *ends, uint32_t count)
{
    return load_u32(ends - SPOOL_TRAILER + 4) == footer_crc(ends, count);
}

bool spool_entry_read(const uint8_t *ends, uint32_t count, uint32_t i,
                      struct spool_entry *out)
{
    const uint8_t *trailer = ends - SPOOL_TRAILER;
    const uint8_t *p = trailer - (size_t)(count - i) * SPOOL_ENTRY;
    uint32_t word = load_u32(p);
    struct spool_entry e = {
        .at = (word & ENTRY_AT_MASK) * 8,
        .kind = (uint8_t)(word >> ENTRY_KIND_SHIFT & 0x7),
        .parts = (word >> ENTRY_PARTS_SHIFT & 1) != 0,
        .class_id = (uint8_t)(word >> ENTRY_CLASS_SHIFT),
        .hash = load_u32(p + 4),
        .stored_size = load_u32(p + 8),
        .id = load_u64(trailer + 16) + load_u32(p + 12),
    };

    CHECK(i < count);
    if (e.at > SPOOL_SEGMENT - SPOOL_RECORD || e.class_id >= SPOOL_CLASSES ||
        (e.kind != SPOOL_OBJECT && e.kind != SPOOL_DELETE)) {
        return false;
    }
    *out = e;
    return true;
}

void spool_cursor_write(const struct spool_cursor *c, uint8_t *out)
{
    const uint64_t words[] = {
        c->generation,       c->done,           c->next_id,
        c->accepted_objects, c->accepted_bytes, c->delivered_objects,
        c->shed_objects,     c->shed_bytes,     c->damaged_objects,
        c->flash_bytes,
    };

    _Static_assert(16 + sizeof words == SPOOL_CURSOR, "size of the cursor");
    memset(out, 0, SPOOL_CURSOR);
    store_u32(out, MAGIC_CURSOR);
    out[8] = SPOOL_VERSION;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        store_u64(out + 16 + 8 * i, words[i]);
    }
    store_u32(out + 4, crc32c(0, out + 8, SPOOL_CURSOR - 8));
}

bool spool_cursor_read(const uint8_t *p, struct spool_cursor *out)
{
    if (load_u32(p) != MAGIC_CURSOR || p[8] != SPOOL_VERSION ||
        load_u32(p + 4) != crc32c(0, p + 8, SPOOL_CURSOR - 8)) {
        return false;
    }
    *out = (struct spool_cursor){
        .generation = load_u64(p + 16),
        .done = load_u64(p + 24),
        .next_id = load_u64(p + 32),
        .accepted_objects = load_u64(p + 40),
        .accepted_bytes = load_u64(p + 48),
        .delivered_objects = load_u64(p + 56),
        .shed_objects = load_u64(p + 64),
        .shed_bytes = load_u64(p + 72),
        .damaged_objects = load_u64(p + 80),
        .flash_bytes = load_u64(p + 88),
    };
    return true;
}

uint32_t spool_hash(const void *key, size_t len)
{
    return crc32c(0x9e3779b9u, key, len);
}
