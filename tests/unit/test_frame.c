/* Goal: a frame's header decodes to what was encoded, and any damage is seen
 * before a length is believed. Method: examples; every bit flipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/wire.h"
#include "crypto/digest.h"
#include "net/frame.h"
#include "net/net.h"

static const struct frame example = {.kind = FRAME_REQUEST,
                                     .service = NET_SHARD,
                                     .type = 9,
                                     .id = 0x0102030405060708u,
                                     .value = 5000,
                                     .head_len = 17,
                                     .body_len = NET_BODY_MAX,
                                     .head_crc = 0xdeadbeef,
                                     .body_crc = 1};

/* Change a field and make the checksum right again. */
static void put(uint8_t *p, size_t at, uint32_t v)
{
    store_u32(p + at, v);
    store_u32(p + 36, crc32c(0, p, 36));
}

static void a_frame_comes_back_as_it_was(void **state)
{
    uint8_t b[FRAME_BYTES];
    struct frame got;

    (void)state;
    frame_encode(&example, b);
    assert_int_equal(frame_decode(b, &got, NULL), 0);
    assert_int_equal(got.kind, example.kind);
    assert_int_equal(got.service, example.service);
    assert_int_equal(got.type, example.type);
    assert_int_equal(got.id, example.id);
    assert_int_equal(got.value, example.value);
    assert_int_equal(got.head_len, example.head_len);
    assert_int_equal(got.body_len, example.body_len);
    assert_int_equal(got.head_crc, example.head_crc);
    assert_int_equal(got.body_crc, example.body_crc);
    assert_memory_equal(b, "GWNF\1\1\4\11", 8); /* as WIRE.md has it */
}

static void any_flipped_bit_is_seen(void **state)
{
    uint8_t b[FRAME_BYTES];
    struct frame got;
    struct err err;

    (void)state;
    frame_encode(&example, b);
    for (unsigned i = 0; i < FRAME_BYTES * 8; i++) {
        b[i / 8] ^= (uint8_t)(1u << i % 8);
        assert_int_not_equal(frame_decode(b, &got, &err), 0);
        assert_true(err.text[0] != '\0');
        b[i / 8] ^= (uint8_t)(1u << i % 8);
    }
}

static void lengths_over_the_limits_are_refused(void **state)
{
    uint8_t b[FRAME_BYTES];
    struct frame got;

    (void)state;
    frame_encode(&example, b);
    put(b, 20, NET_HEAD_MAX + 1);
    assert_int_equal(frame_decode(b, &got, NULL), ERR_LIMIT);
    put(b, 20, NET_HEAD_MAX);
    assert_int_equal(frame_decode(b, &got, NULL), 0);
    put(b, 24, NET_BODY_MAX + 1);
    assert_int_equal(frame_decode(b, &got, NULL), ERR_LIMIT);
}

static void unknown_versions_kinds_and_services_are_refused(void **state)
{
    uint8_t b[FRAME_BYTES];
    struct frame got;

    (void)state;
    frame_encode(&example, b);
    b[4] = 2;
    assert_int_equal(frame_decode(b, &got, NULL), ERR_VERSION);
    for (unsigned kind = 0; kind < 256; kind++) {
        frame_encode(&example, b);
        b[5] = (uint8_t)kind;
        put(b, 16, 0);
        assert_int_equal(frame_decode(b, &got, NULL),
                         kind >= 1 && kind <= 5 ? 0 : ERR_CORRUPT);
    }
    frame_encode(&example, b);
    b[6] = NET_SERVICES;
    put(b, 16, 0);
    assert_int_equal(frame_decode(b, &got, NULL), ERR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_comes_back_as_it_was),
        cmocka_unit_test(any_flipped_bit_is_seen),
        cmocka_unit_test(lengths_over_the_limits_are_refused),
        cmocka_unit_test(unknown_versions_kinds_and_services_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
