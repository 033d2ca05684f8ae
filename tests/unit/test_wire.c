/* test_wire.c: little-endian encoding and bounded decoding.
 *
 * Goal: bytes are as docs/WIRE.md counts on them, and no cut or lying input
 * makes a reader look past its end.
 * Method: one message with every kind of field: written and read back, then
 * read again at each shorter length from memory of just that length (so that
 * the sanitizer sees a step too far), then with lengths that lie.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/wire.h"

static void put_message(struct buf *b)
{
    put_u8(b, 0x01);
    put_u16(b, 0x0203);
    put_u32(b, 0x04050607);
    put_u64(b, 0x08090a0b0c0d0e0full);
    put_bytes(b, "raw", 3);
    put_blob(b, "bl\0b", 4);
    put_text(b, "text");
    put_text(b, "");
    put_text(b, NULL);
}

/* Read the message; true when every field was as put. */
static bool get_message(struct wire_reader *r)
{
    bool same = true;
    const uint8_t *p;
    size_t len;
    char *text;

    same &= get_u8(r) == 0x01;
    same &= get_u16(r) == 0x0203;
    same &= get_u32(r) == 0x04050607;
    same &= get_u64(r) == 0x08090a0b0c0d0e0full;
    p = get_bytes(r, 3);
    same &= p != NULL && memcmp(p, "raw", 3) == 0;
    p = get_blob(r, 4, &len);
    same &= p != NULL && len == 4 && memcmp(p, "bl\0b", 4) == 0;
    text = get_text(r, 4);
    same &= text != NULL && strcmp(text, "text") == 0;
    free(text);
    text = get_text(r, 0);
    same &= text != NULL && *text == 0;
    free(text);
    text = get_text(r, 0);
    same &= text == NULL;
    free(text);
    return same;
}

static void bytes_are_little_endian(void **state)
{
    static const char expected[] =
        "\x01"
        "\x03\x02"
        "\x07\x06\x05\x04"
        "\x0f\x0e\x0d\x0c\x0b\x0a\x09\x08"
        "raw"
        "\4\0\0\0bl\0b"
        "\4\0\0\0text"
        "\0\0\0\0"
        "\xff\xff\xff\xff";
    struct buf b = {0};

    (void)state;
    put_message(&b);
    assert_int_equal(b.len, sizeof expected - 1);
    assert_memory_equal(b.data, expected, b.len);
    buf_free(&b);
}

static void what_was_put_is_got(void **state)
{
    struct buf b = {0};
    struct wire_reader r;

    (void)state;
    put_message(&b);
    wire_init(&r, b.data, b.len);
    assert_true(get_message(&r));
    assert_true(wire_ok(&r));
    assert_true(wire_done(&r));
    put_u8(&b, 0);
    wire_init(&r, b.data, b.len);
    assert_true(get_message(&r));
    assert_true(wire_ok(&r));
    assert_false(wire_done(&r)); /* one byte is left over */
    buf_free(&b);
}

static void every_cut_message_fails(void **state)
{
    struct buf b = {0};

    (void)state;
    put_message(&b);
    for (size_t len = 0; len < b.len; len++) {
        uint8_t *cut = mem_dup(b.data, len);
        struct wire_reader r;
        wire_init(&r, cut, len);
        get_message(&r);
        assert_false(wire_ok(&r));
        assert_false(wire_done(&r));
        free(cut);
    }
    buf_free(&b);
}

static void the_first_failure_sticks(void **state)
{
    struct wire_reader r;
    size_t len = 9;

    (void)state;
    wire_init(&r, "\1\2\3\4\5\6\7\0", 8);
    assert_null(get_bytes(&r, 9));
    assert_int_equal(get_u8(&r), 0);
    assert_int_equal(get_u16(&r), 0);
    assert_int_equal(get_u32(&r), 0);
    assert_int_equal(get_u64(&r), 0);
    assert_null(get_bytes(&r, 0));
    assert_null(get_blob(&r, 100, &len));
    assert_int_equal(len, 0);
    assert_null(get_text(&r, 100));
    assert_false(wire_ok(&r));
}

static void fail_is_for_the_decoder_s_own_bounds(void **state)
{
    struct wire_reader r;

    (void)state;
    wire_init(&r, "\1", 1);
    assert_int_equal(get_u8(&r), 1);
    assert_true(wire_done(&r));
    wire_fail(&r);
    assert_false(wire_ok(&r));
    assert_false(wire_done(&r));
}

static void lengths_that_lie_are_refused(void **state)
{
    static const char *const lies[] = {
        "\5\0\0\0abcd",         /* one more than there is */
        "\377\377\377\177abcd", /* far more */
        "\376\377\377\377abcd",
    };
    struct wire_reader r;
    size_t len;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        wire_init(&r, lies[i], 8);
        assert_null(get_blob(&r, SIZE_MAX, &len));
        assert_false(wire_ok(&r));
        wire_init(&r, lies[i], 8);
        assert_null(get_text(&r, SIZE_MAX));
        assert_false(wire_ok(&r));
    }
    /* A blob has no NULL. */
    wire_init(&r, "\xff\xff\xff\xff", 4);
    assert_null(get_blob(&r, SIZE_MAX, &len));
    assert_false(wire_ok(&r));
}

static void blobs_and_texts_over_their_bound_are_refused(void **state)
{
    struct wire_reader r;
    size_t len;

    (void)state;
    wire_init(&r, "\4\0\0\0abcd", 8);
    assert_null(get_blob(&r, 3, &len));
    assert_false(wire_ok(&r));
    wire_init(&r, "\4\0\0\0abcd", 8);
    assert_null(get_text(&r, 3));
    assert_false(wire_ok(&r));
}

static void texts_with_a_nul_inside_are_refused(void **state)
{
    struct wire_reader r;

    (void)state;
    wire_init(&r, "\3\0\0\0a\0b", 7);
    assert_null(get_text(&r, 100));
    assert_false(wire_ok(&r));
}

static void empty_input_may_be_null(void **state)
{
    struct wire_reader r;

    (void)state;
    wire_init(&r, NULL, 0);
    assert_true(wire_done(&r));
    assert_int_equal(get_u8(&r), 0);
    assert_false(wire_ok(&r));
}

static void fixed_places_may_be_unaligned(void **state)
{
    uint8_t bytes[16] = {0};

    (void)state;
    store_u16(bytes + 1, 0x0102);
    store_u32(bytes + 3, 0x03040506);
    store_u64(bytes + 7, 0x0708090a0b0c0d0eull);
    assert_memory_equal(bytes,
                        "\0\2\1\6\5\4\3\x0e\x0d\x0c\x0b\x0a\x09\x08\x07\0", 16);
    assert_int_equal(load_u16(bytes + 1), 0x0102);
    assert_int_equal(load_u32(bytes + 3), 0x03040506);
    assert_true(load_u64(bytes + 7) == 0x0708090a0b0c0d0eull);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_little_endian),
        cmocka_unit_test(what_was_put_is_got),
        cmocka_unit_test(every_cut_message_fails),
        cmocka_unit_test(the_first_failure_sticks),
        cmocka_unit_test(fail_is_for_the_decoder_s_own_bounds),
        cmocka_unit_test(lengths_that_lie_are_refused),
        cmocka_unit_test(blobs_and_texts_over_their_bound_are_refused),
        cmocka_unit_test(texts_with_a_nul_inside_are_refused),
        cmocka_unit_test(empty_input_may_be_null),
        cmocka_unit_test(fixed_places_may_be_unaligned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
