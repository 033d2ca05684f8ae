/* test_manifest.c: where the bytes of one put stand, as bytes.
 *
 * Goal: what is encoded is decoded; the layout is the one of the header; each
 * condition of validity is refused by itself, and no byte string crashes.
 * Method: a golden encoding byte by byte; every truncation; each field broken
 * in turn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/wire.h"
#include "object/manifest.h"

static struct manifest_chunk two[] = {
    {.bytes = 8388608, .crc64 = 0x1122334455667788u},
    {.bytes = 1, .crc64 = 0xffeeddccbbaa9988u},
};

static const struct manifest sample = {
    .policy = {.k = 4, .m = 2},
    .group = 0x01020304,
    .id_hi = 0x1011121314151617u,
    .id_lo = 0x2021222324000000u,
    .count = 2,
    .chunks = two,
};

static const uint8_t golden[] = {
    1,    4,    2,    0,                                        /* k, m */
    0x04, 0x03, 0x02, 0x01,                                     /* group */
    0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, 0x10,             /* hi */
    0,    0,    0,    0x24, 0x23, 0x22, 0x21, 0x20,             /* lo */
    2,    0,    0,    0,                                        /* count */
    0,    0,    0x80, 0,    0x88, 0x77, 0x66, 0x55, 0x44, 0x33, /* chunk 0 */
    0x22, 0x11,                                                 /**/
    1,    0,    0,    0,    0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, /* chunk 1 */
    0xee, 0xff,
};

static void the_encoding_is_the_one_of_the_header(void **state)
{
    struct buf b = {0};

    (void)state;
    manifest_encode(&sample, &b);
    assert_int_equal(b.len, 28 + 12 * 2);
    assert_int_equal(b.len, sizeof golden);
    assert_memory_equal(b.data, golden, sizeof golden);
    buf_free(&b);
}

static void what_is_encoded_is_decoded(void **state)
{
    struct manifest m;

    (void)state;
    assert_int_equal(manifest_decode(golden, sizeof golden, &m, NULL), 0);
    assert_int_equal(m.policy.k, 4);
    assert_int_equal(m.policy.m, 2);
    assert_int_equal(m.group, sample.group);
    assert_int_equal(m.id_hi, sample.id_hi);
    assert_int_equal(m.id_lo, sample.id_lo);
    assert_int_equal(m.count, 2);
    assert_int_equal(m.chunks[0].bytes, two[0].bytes);
    assert_int_equal(m.chunks[0].crc64, two[0].crc64);
    assert_int_equal(m.chunks[1].bytes, two[1].bytes);
    assert_int_equal(m.chunks[1].crc64, two[1].crc64);
    assert_int_equal(manifest_bytes(&m), 8388609);
    manifest_free(&m);
    manifest_free(&m);
}

/* What is 0 in the manifests of before is the count of local groups. */
static void local_groups_stand_in_byte_3(void **state)
{
    struct manifest m = sample, got;
    struct buf b = {0};

    (void)state;
    assert_int_equal(manifest_decode(golden, sizeof golden, &got, NULL), 0);
    assert_int_equal(got.policy.l, 0);
    manifest_free(&got);
    m.policy = (struct ec_policy){.k = 6, .m = 4, .l = 2};
    manifest_encode(&m, &b);
    assert_int_equal(b.len, sizeof golden);
    assert_memory_equal(b.data, ((uint8_t[]){1, 6, 4, 2}), 4);
    assert_memory_equal(b.data + 4, golden + 4, sizeof golden - 4);
    assert_int_equal(manifest_decode(b.data, b.len, &got, NULL), 0);
    assert_int_equal(got.policy.k, 6);
    assert_int_equal(got.policy.m, 4);
    assert_int_equal(got.policy.l, 2);
    manifest_free(&got);
    buf_free(&b);
}

/* Of all bytes k, m, l those that are a policy are taken, and no others. */
static void only_policies_are_taken(void **state)
{
    uint8_t bytes[sizeof golden];
    unsigned taken = 0;

    (void)state;
    memcpy(bytes, golden, sizeof golden);
    for (unsigned k = 0; k < 32; k++) {
        for (unsigned m = 0; m < 16; m++) {
            for (unsigned l = 0; l < 256; l++) {
                struct ec_policy p = {(uint8_t)k, (uint8_t)m, (uint8_t)l};
                struct manifest got;
                int rc;
                bytes[1] = p.k;
                bytes[2] = p.m;
                bytes[3] = p.l;
                rc = manifest_decode(bytes, sizeof bytes, &got, NULL);
                assert_int_equal(rc, ec_policy_is_valid(p) ? 0 : ERR_CORRUPT);
                if (rc == 0) {
                    taken += l > 0;
                    manifest_free(&got);
                }
            }
        }
    }
    assert_true(taken > 20);
}

/* A packed chunk of three blocks, the middle one as it is, and one that is not
 * packed. */
static uint32_t packed_blocks[] = {0x1000, 0x10000, 0x20};
static struct manifest_chunk packed_chunks[] = {
    {.bytes = 0x11020, .crc64 = 0x1122334455667788u, .plain = 0x20100},
    {.bytes = 1, .crc64 = 0xffeeddccbbaa9988u},
};

static const uint8_t golden_packed[] = {
    2,    4,    2,    0,                                     /* k, m */
    0x04, 0x03, 0x02, 0x01,                                  /* group */
    0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, 0x10,          /* hi */
    0,    0,    0,    0x24, 0x23, 0x22, 0x21, 0x20,          /* lo */
    2,    0,    0,    0,                                     /* count */
    16,                                                      /* shift */
    0x20, 0x10, 1,    0,    0x88, 0x77, 0x66, 0x55, 0x44,    /* chunk 0 */
    0x33, 0x22, 0x11, 0,    1,    2,    0,                   /* its plain */
    0,    0x10, 0,    0,    0,    0,    1,    0,    0x20, 0, /* its blocks */
    0,    0,                                                 /**/
    1,    0,    0,    0,    0x88, 0x99, 0xaa, 0xbb, 0xcc,    /* chunk 1 */
    0xdd, 0xee, 0xff, 0,    0,    0,    0,                   /**/
};

static void packed_chunks_make_version_2(void **state)
{
    struct manifest m = sample, got;
    struct pack_shape shape;
    struct buf b = {0};

    (void)state;
    m.shift = 16;
    m.chunks = packed_chunks;
    m.blocks = packed_blocks;
    m.block_count = 3;
    manifest_encode(&m, &b);
    assert_int_equal(b.len, sizeof golden_packed);
    assert_memory_equal(b.data, golden_packed, sizeof golden_packed);
    assert_int_equal(manifest_decode(b.data, b.len, &got, NULL), 0);
    assert_int_equal(got.chunks[0].bytes, 0x11020);
    assert_int_equal(manifest_plain(&got, 0), 0x20100);
    assert_int_equal(manifest_plain(&got, 1), 1);
    assert_int_equal(manifest_bytes(&got), 0x20101);
    shape = manifest_shape(&got, 0);
    assert_int_equal(shape.shift, 16);
    assert_memory_equal(shape.blocks, packed_blocks, sizeof packed_blocks);
    manifest_free(&got);
    for (size_t len = 0; len < b.len; len++) {
        uint8_t *copy = malloc(len + 1);
        memcpy(copy, b.data, len);
        copy = realloc(copy, len > 0 ? len : 1);
        assert_int_equal(manifest_decode(copy, len, &got, NULL), ERR_CORRUPT);
        free(copy);
    }
    buf_free(&b);
}

static void each_condition_of_version_2_is_refused_by_name(void **state)
{
    static const struct {
        size_t at;
        uint64_t value;
        size_t bytes;
        const char *says;
    } rows[] = {
        {28, 0, 1, "size of blocks"},
        {28, 15, 1, "size of blocks"},
        {28, 21, 1, "size of blocks"},
        {29, 0x11021, 4, "chunk 0: its blocks do not add up"},
        {29, 0x20100, 4, "chunk 0: its plain bytes"},
        {41, 0xffffffff, 4, "chunk 0: the plain bytes"},
        {41, 0x30001, 4, "chunk 0: "}, /* one block more */
        {41, 0, 4, "chunk 1: "},       /* blocks that are no chunk's */
        {45, 0, 4, "chunk 0: the bytes of a block"},
        {45, 0x10001, 4, "chunk 0: the bytes of a block"},
        {57, 0, 4, "chunk 1: its bytes"},
        {69, 1, 4, "chunk 1: "},
        {24, 3, 4, "does not fit the length"},
        {24, 1, 4, "does not fit the length"},
        {24, 100, 4, "does not fit the length"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t bytes[sizeof golden_packed];
        struct manifest m = {.count = 77};
        struct err err = {{0}};
        memcpy(bytes, golden_packed, sizeof bytes);
        memcpy(bytes + rows[i].at, &rows[i].value, rows[i].bytes);
        assert_int_equal(manifest_decode(bytes, sizeof bytes, &m, &err),
                         ERR_CORRUPT);
        if (strstr(err.text, rows[i].says) == NULL) {
            fail_msg("row %zu: %s", i, err.text);
        }
        assert_int_equal(m.count, 77);
    }
}

static void shards_are_named_by_chunk_and_slot(void **state)
{
    struct shard_key key = manifest_shard(&sample, 1, 5);

    (void)state;
    assert_int_equal(key.hi, sample.id_hi);
    assert_int_equal(key.lo, sample.id_lo + 1);
    assert_int_equal(key.slot, 5);
}

static void every_truncation_is_refused(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof golden; len++) {
        uint8_t *copy = malloc(len + 1);
        struct manifest m = {.count = 77};
        memcpy(copy, golden, len);
        copy = realloc(copy, len > 0 ? len : 1); /* ASan sees one byte more */
        assert_int_equal(manifest_decode(copy, len, &m, NULL), ERR_CORRUPT);
        assert_int_equal(m.count, 77);
        free(copy);
    }
}

/* One field broken: its place, its bytes, and what the error must say. */
static void each_condition_is_refused_by_name(void **state)
{
    static const struct {
        size_t at;
        uint64_t value;
        size_t bytes;
        const char *says;
    } rows[] = {
        {0, 0, 1, "version"},
        {0, 3, 1, "version"},
        {3, 1, 1, "local groups"},
        {3, 2, 1, "local groups"}, /* 4+2+0 */
        {3, 255, 1, "local groups"},
        {1, 0, 1, "k or m"},
        {1, 17, 1, "k or m"},
        {2, 7, 1, "k or m"},
        {16, 1, 1, "does not start a run"},
        {18, 1, 1, "does not start a run"},
        {24, 0, 4, "count"},
        {24, 1, 4, "count"},
        {24, 3, 4, "count"},
        {24, MANIFEST_CHUNKS_MAX + 1, 4, "count"},
        {24, 0xffffffff, 4, "count"},
        {28, 0, 4, "chunk 0: its bytes"},
        {28, GEOMETRY_CHUNK_MAX + 1, 4, "chunk 0: its bytes"},
        {40, 0, 4, "chunk 1: its bytes"},
        {40, 0xffffffff, 4, "chunk 1: its bytes"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t bytes[sizeof golden];
        struct manifest m = {.count = 77};
        struct err err = {{0}};
        memcpy(bytes, golden, sizeof golden);
        memcpy(bytes + rows[i].at, &rows[i].value, rows[i].bytes);
        assert_int_equal(manifest_decode(bytes, sizeof bytes, &m, &err),
                         ERR_CORRUPT);
        assert_true(strstr(err.text, rows[i].says) != NULL);
        assert_int_equal(m.count, 77);
    }
}

static void what_is_left_over_is_refused(void **state)
{
    uint8_t bytes[sizeof golden + 12] = {0};
    struct manifest m;

    (void)state;
    memcpy(bytes, golden, sizeof golden);
    for (size_t more = 1; more <= 12; more++) {
        assert_int_equal(manifest_decode(bytes, sizeof golden + more, &m, NULL),
                         ERR_CORRUPT);
    }
}

static void the_longest_run_is_taken(void **state)
{
    struct manifest m = sample, got;
    struct buf b = {0};

    (void)state;
    m.count = MANIFEST_CHUNKS_MAX;
    m.chunks = calloc(m.count, sizeof m.chunks[0]);
    for (uint32_t i = 0; i < m.count; i++) {
        m.chunks[i] =
            (struct manifest_chunk){.bytes = GEOMETRY_CHUNK_MAX, .crc64 = i};
    }
    manifest_encode(&m, &b);
    assert_int_equal(manifest_decode(b.data, b.len, &got, NULL), 0);
    assert_int_equal(manifest_bytes(&got), (uint64_t)8 << 40);
    assert_int_equal(got.chunks[m.count - 1].crc64, m.count - 1);
    manifest_free(&got);
    manifest_free(&m);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_encoding_is_the_one_of_the_header),
        cmocka_unit_test(what_is_encoded_is_decoded),
        cmocka_unit_test(local_groups_stand_in_byte_3),
        cmocka_unit_test(only_policies_are_taken),
        cmocka_unit_test(packed_chunks_make_version_2),
        cmocka_unit_test(each_condition_of_version_2_is_refused_by_name),
        cmocka_unit_test(shards_are_named_by_chunk_and_slot),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(each_condition_is_refused_by_name),
        cmocka_unit_test(what_is_left_over_is_refused),
        cmocka_unit_test(the_longest_run_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
