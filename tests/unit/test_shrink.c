/* test_shrink.c: zstd where it pays.
 *
 * Goal: what is shrunk unfolds to what it was, in any runs; what would not be
 * shorter stays; what is no frame is refused. Method: texts that repeat and
 * texts that do not, by a seed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "edge-agent/shrink.h"

static uint8_t *text_of(size_t len, bool random)
{
    uint8_t *p = mem_calloc(len + 1, 1);
    uint64_t x = 88172645463325252ull;

    for (size_t i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        p[i] = random ? (uint8_t)(x >> 32) : (uint8_t)("temp=21.5;"[i % 10]);
    }
    return p;
}

static void unfold(const struct buf *frame, size_t step, const uint8_t *want,
                   size_t len)
{
    struct unshrink *u = unshrink_new();
    struct buf out = {0};

    for (size_t at = 0; at < frame->len; at += step) {
        size_t n = frame->len - at < step ? frame->len - at : step;
        assert_int_equal(unshrink_update(u, frame->data + at, n, &out, NULL),
                         0);
    }
    assert_int_equal(unshrink_final(u, NULL), 0);
    assert_int_equal(out.len, len);
    assert_true(len == 0 || memcmp(out.data, want, len) == 0);
    buf_free(&out);
    unshrink_free(u);
}

static void what_is_shrunk_unfolds(void **state)
{
    static const size_t lens[] = {64, 65, 1000, 65536};
    struct shrink *s = shrink_new();

    (void)state;
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        uint8_t *p = text_of(lens[i], false);
        struct buf frame = {0};
        assert_true(shrink_whole(s, p, lens[i], &frame));
        assert_true(frame.len <= lens[i] - lens[i] / 16);
        unfold(&frame, 1, p, lens[i]);
        unfold(&frame, 70000, p, lens[i]);
        buf_free(&frame);
        free(p);
    }
    shrink_free(s);
}

static void what_does_not_pay_stays(void **state)
{
    static const size_t lens[] = {0, 1, 63, 64, 1000, 65536};
    struct shrink *s = shrink_new();
    struct buf frame = {0};

    (void)state;
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        uint8_t *p = text_of(lens[i], true);
        assert_false(shrink_whole(s, p, lens[i], &frame));
        assert_int_equal(frame.len, 0);
        free(p);
    }
    assert_false(shrink_whole(s, "aaaaaaaaaaaaaaaaaaaaaaaa", 24, &frame));
    buf_free(&frame);
    shrink_free(s);
}

static void runs_of_any_length_make_one_frame(void **state)
{
    static const size_t steps[] = {1, 1000, 65536, 300000};
    size_t len = 300000;
    uint8_t *p = text_of(len, false);
    struct shrink *s = shrink_new();

    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct buf frame = {0};
        for (size_t at = 0; at < len; at += steps[i]) {
            size_t n = len - at < steps[i] ? len - at : steps[i];
            shrink_update(s, p + at, n, &frame);
        }
        shrink_final(s, &frame);
        unfold(&frame, 777, p, len);
        buf_free(&frame);
    }
    shrink_free(s);
    free(p);
}

static void what_is_no_frame_is_refused(void **state)
{
    uint8_t *p = text_of(5000, false);
    struct shrink *s = shrink_new();
    struct buf frame = {0}, out = {0};
    struct unshrink *u;
    struct err err;

    (void)state;
    assert_true(shrink_whole(s, p, 5000, &frame));
    u = unshrink_new();
    assert_int_equal(unshrink_update(u, p, 5000, &out, &err), ERR_CORRUPT);
    unshrink_free(u);
    u = unshrink_new();
    assert_int_equal(unshrink_update(u, frame.data, frame.len - 1, &out, &err),
                     0);
    assert_int_equal(unshrink_final(u, &err), ERR_CORRUPT);
    assert_int_equal(
        unshrink_update(u, frame.data + frame.len - 1, 1, &out, &err), 0);
    assert_int_equal(unshrink_final(u, &err), 0);
    assert_int_equal(unshrink_update(u, "x", 1, &out, &err), ERR_CORRUPT);
    unshrink_free(u);
    frame.data[frame.len - 1] ^= 1; /* of the checksum */
    u = unshrink_new();
    assert_int_equal(unshrink_update(u, frame.data, frame.len, &out, &err),
                     ERR_CORRUPT);
    unshrink_free(u);
    buf_free(&frame);
    buf_free(&out);
    shrink_free(s);
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_shrunk_unfolds),
        cmocka_unit_test(what_does_not_pay_stays),
        cmocka_unit_test(runs_of_any_length_make_one_frame),
        cmocka_unit_test(what_is_no_frame_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
