/* Goal: the formats of a segment are what docs/DISK.md says, and no bytes,
 * whatever they are, make the decoders read beyond them or take as a record
 * what is none.
 *
 * Method: a segment is built in memory, compared with the golden file of the
 * version byte for byte, decoded and built again; then bytes are changed one
 * by one. GODWIT_GOLDEN=1 writes the golden file instead.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/wire.h"
#include "crypto/digest.h"
#include "node/segment.h"
#include "node/shard_index.h"

#define GOLDEN "tests/golden/segment-v1.bin"
#define SEQUENCE 41
#define SALT 0x1122334455667788u
#define LARGE 40000
#define UNITS 17 /* header, 2 small, 1 tombstones, 11 large, footer 2 */
#define SEEN_MAX 64

struct seen {
    struct segment_entry e[SEEN_MAX];
    unsigned count;
    const uint8_t *bytes;
    uint64_t len;
    uint64_t unreadable; /* offset of a bad place; 0: none */
};

static const struct segment_header header = {
    .sequence = SEQUENCE,
    .salt = SALT,
    .segment_bytes = 1 << 20,
    .drive = 5,
    .in_use = true,
    .cluster = "0123456789abcdef",
};

static uint8_t data[LARGE];

static void fill_data(void)
{
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i * 31 + i / 256);
    }
}

static uint32_t put_record(uint8_t *at, enum record_type type,
                           struct shard_key key, const void *p, uint32_t length)
{
    struct record_header h = {
        .type = type,
        .key = key,
        .group = type == RECORD_SHARD ? 77 : 0,
        .length = length,
        .sequence = SEQUENCE,
        .salt = SALT,
    };

    record_checksum(&h, p);
    record_header_encode(&h, at);
    memcpy(at + record_data_offset(length), p, length);
    return record_span(length);
}

/* UNITS units; the caller frees them. */
static uint8_t *build(void)
{
    static const struct shard_key small = {1, 2, 3};
    static const struct shard_key large = {UINT64_MAX, 0, 255};
    static const struct shard_key dead[2] = {{9, 8, 7}, {1, 2, 3}};
    uint8_t *bytes = mem_calloc(UNITS, SEGMENT_UNIT);
    uint8_t list[2 * TOMBSTONE_BYTES];
    struct segment_entry e[4] = {
        {small, RECORD_SHARD, 77, 4096, 1, false},
        {dead[0], RECORD_TOMBSTONES, 0, sizeof list, 3, false},
        {dead[1], RECORD_TOMBSTONES, 0, sizeof list, 3, false},
        {large, RECORD_SHARD, 77, LARGE, 4, false},
    };
    uint64_t at = SEGMENT_UNIT;

    fill_data();
    segment_header_encode(&header, bytes);
    at += put_record(bytes + at, RECORD_SHARD, small, data, 4096);
    tombstone_encode(&dead[0], list);
    tombstone_encode(&dead[1], list + TOMBSTONE_BYTES);
    at += put_record(bytes + at, RECORD_TOMBSTONES, (struct shard_key){0}, list,
                     sizeof list);
    at += put_record(bytes + at, RECORD_SHARD, large, data, LARGE);
    assert_int_equal(at, 15 * SEGMENT_UNIT);
    assert_int_equal(segment_footer_bytes(4), 2 * SEGMENT_UNIT);
    segment_footer_encode(&header, at, e, 4, bytes + at);
    return bytes;
}

static const uint8_t *seen_read(void *arg, uint64_t offset, size_t len)
{
    struct seen *s = arg;

    assert_true(len <= SHARD_BLOCK);
    if (offset + len > s->len ||
        (s->unreadable != 0 && offset <= s->unreadable &&
         s->unreadable < offset + len)) {
        return NULL;
    }
    return s->bytes + offset;
}

static void seen_add(void *arg, const struct segment_entry *e)
{
    struct seen *s = arg;

    assert_true(s->count < SEEN_MAX);
    s->e[s->count++] = *e;
}

static uint64_t scan(struct seen *s, const uint8_t *bytes, uint64_t len)
{
    struct segment_source source = {
        .read = seen_read, .arg = s, .size_bytes = len};

    s->bytes = bytes;
    s->len = len;
    s->count = 0;
    return segment_scan(&source, SEQUENCE, SALT, seen_add, s);
}

static void golden_segment_is_written_byte_for_byte(void **state)
{
    uint8_t *bytes = build();
    struct buf golden = {0};
    struct err err;

    (void)state;
    if (getenv("GODWIT_GOLDEN") != NULL) {
        FILE *f = fopen(GOLDEN, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(bytes, SEGMENT_UNIT, UNITS, f), UNITS);
        fclose(f);
    }
    assert_int_equal(fs_read(GOLDEN, 1 << 20, &golden, &err), 0);
    assert_int_equal(golden.len, UNITS * SEGMENT_UNIT);
    assert_memory_equal(golden.data, bytes, golden.len);
    buf_free(&golden);
    free(bytes);
}

static void golden_segment_is_decoded(void **state)
{
    struct segment_header h;
    struct segment_trailer t;
    struct segment_entry e[4];
    struct buf golden = {0};
    struct record_header r;
    struct seen s = {0};
    struct err err;
    uint64_t tail;

    (void)state;
    fill_data();
    assert_int_equal(fs_read(GOLDEN, 1 << 20, &golden, &err), 0);
    assert_int_equal(segment_header_decode(golden.data, &h, &err), 0);
    assert_int_equal(h.sequence, SEQUENCE);
    assert_int_equal(h.salt, SALT);
    assert_int_equal(h.segment_bytes, 1 << 20);
    assert_int_equal(h.drive, 5);
    assert_true(h.in_use);
    assert_memory_equal(h.cluster, "0123456789abcdef", 16);

    tail = scan(&s, golden.data, golden.len);
    assert_int_equal(tail, 15 * SEGMENT_UNIT);
    assert_int_equal(
        segment_trailer_decode(golden.data + 16 * SEGMENT_UNIT, &t, &err), 0);
    assert_int_equal(t.tail, tail);
    assert_int_equal(t.count, 4);
    assert_int_equal(t.entries_bytes, SEGMENT_UNIT);
    assert_int_equal(
        segment_entries_decode(&t, golden.data + 15 * SEGMENT_UNIT, e, &err),
        0);
    assert_int_equal(s.count, 4);
    for (unsigned i = 0; i < 4; i++) { /* footer and scan tell the same */
        assert_int_equal(shard_key_compare(&s.e[i].key, &e[i].key), 0);
        assert_int_equal(s.e[i].type, e[i].type);
        assert_int_equal(s.e[i].group, e[i].group);
        assert_int_equal(s.e[i].length, e[i].length);
        assert_int_equal(s.e[i].unit, e[i].unit);
        assert_false(s.e[i].bad);
    }
    assert_int_equal(record_header_decode(golden.data + 4 * SEGMENT_UNIT,
                                          SEGMENT_UNIT, &r, &err),
                     0);
    assert_int_equal(r.length, LARGE);
    assert_memory_equal(golden.data + 5 * SEGMENT_UNIT, data, LARGE);
    buf_free(&golden);
}

static void stale_sequence_and_foreign_salt_end_the_run(void **state)
{
    uint8_t *bytes = build();
    struct seen s = {0};
    struct segment_source source = {
        .read = seen_read, .arg = &s, .size_bytes = UNITS * SEGMENT_UNIT};

    (void)state;
    s.bytes = bytes;
    s.len = source.size_bytes;
    assert_int_equal(segment_scan(&source, SEQUENCE + 1, SALT, seen_add, &s),
                     SEGMENT_UNIT);
    assert_int_equal(segment_scan(&source, SEQUENCE, SALT + 1, seen_add, &s),
                     SEGMENT_UNIT);
    assert_int_equal(s.count, 0);
    free(bytes);
}

static void wrong_data_show_as_bad_and_what_follows_is_found(void **state)
{
    uint8_t *bytes = build();
    struct seen s = {0};

    (void)state;
    bytes[SEGMENT_UNIT + 2000] ^= 1; /* of the small shard */
    scan(&s, bytes, UNITS * SEGMENT_UNIT);
    assert_int_equal(s.count, 4);
    assert_true(s.e[0].bad);
    assert_false(s.e[3].bad);
    free(bytes);
}

static void a_damaged_header_hides_its_record_alone(void **state)
{
    uint8_t *bytes = build();
    struct seen s = {0};
    uint64_t tail;

    (void)state;
    bytes[SEGMENT_UNIT + 20] ^= 1;
    tail = scan(&s, bytes, UNITS * SEGMENT_UNIT);
    assert_int_equal(s.count, 3);
    assert_int_equal(tail, 15 * SEGMENT_UNIT);
    free(bytes);
}

static void a_place_that_cannot_be_read_is_bad(void **state)
{
    uint8_t *bytes = build();
    struct seen s = {.unreadable = 6 * SEGMENT_UNIT};

    (void)state;
    scan(&s, bytes, UNITS * SEGMENT_UNIT);
    assert_int_equal(s.count, 4);
    assert_true(s.e[3].bad);
    free(bytes);
}

static void a_cut_file_ends_before_the_record_that_it_cuts(void **state)
{
    uint8_t *bytes = build();
    struct seen s = {0};

    (void)state;
    for (uint32_t units = 1; units < 15; units++) {
        uint64_t tail = scan(&s, bytes, units * SEGMENT_UNIT);
        assert_true(tail <= units * SEGMENT_UNIT);
        assert_int_equal(s.count, units < 3 ? 0 : (units < 4 ? 1 : 3));
    }
    free(bytes);
}

static void users_bytes_do_not_pass_as_a_record(void **state)
{
    uint8_t *bytes = build();
    uint8_t *inner = mem_calloc(4, SEGMENT_UNIT);
    struct record_header h = {.type = RECORD_SHARD,
                              .length = 10,
                              .sequence = SEQUENCE,
                              .salt = 0}; /* which they cannot know */
    struct seen s = {0};

    (void)state;
    record_checksum(&h, "0123456789");
    record_header_encode(&h, inner);
    memcpy(bytes + 6 * SEGMENT_UNIT, inner, SEGMENT_UNIT);
    bytes[4 * SEGMENT_UNIT + 9] ^= 1; /* the header around them is damaged */
    scan(&s, bytes, UNITS * SEGMENT_UNIT);
    assert_int_equal(s.count, 3);
    free(inner);
    free(bytes);
}

static void every_changed_byte_of_a_header_is_noticed(void **state)
{
    uint8_t *bytes = build();
    struct segment_header h;
    struct segment_trailer t;
    struct segment_entry e[4];
    struct record_header r;

    (void)state;
    for (unsigned i = 0; i < 60; i++) {
        bytes[i] ^= 0x10;
        assert_int_equal(segment_header_decode(bytes, &h, NULL), ERR_CORRUPT);
        bytes[i] ^= 0x10;
    }
    for (unsigned i = 0; i < record_header_bytes(LARGE); i++) {
        uint8_t *p = bytes + 4 * SEGMENT_UNIT;
        p[i] ^= 0x10;
        assert_int_equal(record_header_decode(p, SEGMENT_UNIT, &r, NULL),
                         ERR_CORRUPT);
        p[i] ^= 0x10;
    }
    for (unsigned i = 0; i < 56; i++) {
        uint8_t *p = bytes + 16 * SEGMENT_UNIT;
        p[i] ^= 0x10;
        assert_int_equal(segment_trailer_decode(p, &t, NULL), ERR_CORRUPT);
        p[i] ^= 0x10;
    }
    assert_int_equal(
        segment_trailer_decode(bytes + 16 * SEGMENT_UNIT, &t, NULL), 0);
    bytes[15 * SEGMENT_UNIT + 20] ^= 1;
    assert_int_equal(
        segment_entries_decode(&t, bytes + 15 * SEGMENT_UNIT, e, NULL),
        ERR_CORRUPT);
    free(bytes);
}

/* Right checksums around wrong fields: what a bug or an attacker writes. */
static void fields_out_of_bounds_are_refused(void **state)
{
    static const uint32_t lengths[] = {0, SHARD_BYTES_MAX + 1, UINT32_MAX,
                                       0x80000000u};
    struct record_header r;
    uint8_t *bytes = build();
    uint8_t *p = bytes + SEGMENT_UNIT;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        store_u32(p + 44, lengths[i]);
        store_u32(p + 56, crc32c(0, p, 56));
        assert_int_equal(record_header_decode(p, SEGMENT_UNIT, &r, NULL),
                         ERR_CORRUPT);
    }
    store_u32(p + 44, 4096);
    p[6] = 3; /* no such type */
    store_u32(p + 56, crc32c(0, p, 56));
    assert_int_equal(record_header_decode(p, SEGMENT_UNIT, &r, NULL),
                     ERR_CORRUPT);
    p[6] = RECORD_TOMBSTONES; /* of a length that is no list */
    store_u32(p + 56, crc32c(0, p, 56));
    assert_int_equal(record_header_decode(p, SEGMENT_UNIT, &r, NULL),
                     ERR_CORRUPT);
    free(bytes);
}

static void an_unknown_version_is_told_apart(void **state)
{
    uint8_t *bytes = build();
    struct segment_header h;
    struct err err;

    (void)state;
    store_u16(bytes + 4, 2);
    store_u32(bytes + 56, crc32c(0, bytes, 56));
    assert_int_equal(segment_header_decode(bytes, &h, &err), ERR_VERSION);
    assert_string_equal(err.text, "segment header: format 2 is not known here");
    memset(bytes, 0, SEGMENT_UNIT);
    assert_int_equal(segment_header_decode(bytes, &h, &err), ERR_NOT_FOUND);
    free(bytes);
}

static void sizes_are_what_the_design_says(void **state)
{
    (void)state;
    assert_int_equal(record_span(4096), 8192);
    assert_int_equal(record_span(4036), 4096);
    assert_int_equal(record_span(4037), 8192);
    assert_int_equal(record_span(65536), 4096 + 65536);
    assert_int_equal(record_data_offset(32767), record_header_bytes(32767));
    assert_int_equal(record_data_offset(32768), 4096);
    assert_int_equal(record_blocks(SHARD_BYTES_MAX), 128);
    assert_true(record_header_bytes(SHARD_BYTES_MAX) <= SEGMENT_UNIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_segment_is_written_byte_for_byte),
        cmocka_unit_test(golden_segment_is_decoded),
        cmocka_unit_test(stale_sequence_and_foreign_salt_end_the_run),
        cmocka_unit_test(wrong_data_show_as_bad_and_what_follows_is_found),
        cmocka_unit_test(a_damaged_header_hides_its_record_alone),
        cmocka_unit_test(a_place_that_cannot_be_read_is_bad),
        cmocka_unit_test(a_cut_file_ends_before_the_record_that_it_cuts),
        cmocka_unit_test(users_bytes_do_not_pass_as_a_record),
        cmocka_unit_test(every_changed_byte_of_a_header_is_noticed),
        cmocka_unit_test(fields_out_of_bounds_are_refused),
        cmocka_unit_test(an_unknown_version_is_told_apart),
        cmocka_unit_test(sizes_are_what_the_design_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
