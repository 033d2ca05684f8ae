/* test_s3_range.c: which bytes a Range header asks for.
 *
 * Goal: every legal single range gives exactly its bytes, and nothing else is
 * ever taken for one.
 * Method: tables of headers by their outcome, borders of the object one byte to
 * either side; then all small ranges over all small sizes against the rule in
 * the RFC's words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "gateway/s3_range.h"

static void expect(const char *text, uint64_t size, uint64_t offset,
                   uint64_t length)
{
    uint64_t got_offset = 77, got_length = 77;

    if (s3_range_parse(text, size, &got_offset, &got_length) != S3_RANGE_OK) {
        fail_msg("%s of %llu is not taken", text, (unsigned long long)size);
    }
    assert_int_equal(got_offset, offset);
    assert_int_equal(got_length, length);
}

static void expect_not(const char *text, uint64_t size,
                       enum s3_range_result want)
{
    uint64_t offset = 77, length = 78;

    if (s3_range_parse(text, size, &offset, &length) != want) {
        fail_msg("%s of %llu has the wrong outcome", text,
                 (unsigned long long)size);
    }
    assert_int_equal(offset, 77);
    assert_int_equal(length, 78);
}

static void first_and_last_byte_are_both_given(void **state)
{
    (void)state;
    expect("bytes=0-0", 10, 0, 1);
    expect("bytes=0-9", 10, 0, 10);
    expect("bytes=3-5", 10, 3, 3);
    expect("bytes=9-9", 10, 9, 1);
}

static void a_last_byte_past_the_end_means_the_end(void **state)
{
    (void)state;
    expect("bytes=5-10", 10, 5, 5);
    expect("bytes=5-18446744073709551615", 10, 5, 5);
    expect("bytes=5-99999999999999999999999", 10, 5, 5);
}

static void an_open_range_goes_to_the_end(void **state)
{
    (void)state;
    expect("bytes=0-", 10, 0, 10);
    expect("bytes=9-", 10, 9, 1);
}

static void a_suffix_gives_the_last_bytes(void **state)
{
    (void)state;
    expect("bytes=-1", 10, 9, 1);
    expect("bytes=-10", 10, 0, 10);
    expect("bytes=-11", 10, 0, 10);
    expect("bytes=-99999999999999999999999", 10, 0, 10);
}

static void unit_is_of_any_case_and_blanks_are_skipped(void **state)
{
    (void)state;
    expect("Bytes=1-2", 10, 1, 2);
    expect("bytes= 1-2\t", 10, 1, 2);
}

static void what_begins_past_the_end_is_unsatisfiable(void **state)
{
    (void)state;
    expect_not("bytes=10-", 10, S3_RANGE_UNSATISFIABLE);
    expect_not("bytes=10-20", 10, S3_RANGE_UNSATISFIABLE);
    expect_not("bytes=18446744073709551616-", 10, S3_RANGE_UNSATISFIABLE);
    expect_not("bytes=-0", 10, S3_RANGE_UNSATISFIABLE);
    expect_not("bytes=0-", 0, S3_RANGE_UNSATISFIABLE);
    expect_not("bytes=0-0", 0, S3_RANGE_UNSATISFIABLE);
    expect_not("bytes=-5", 0, S3_RANGE_UNSATISFIABLE);
}

static void what_is_not_one_range_is_ignored(void **state)
{
    static const char *const texts[] = {
        "",           "bytes",       "bytes=",        "bytes=-",
        "bytes=a-b",  "bytes=5-2",   "bytes=1-2-3",   "bytes=1",
        "bytes=0-1,", "lines=0-1",   "bytes=0-1,3-4", "bytes=+1-2",
        "bytes=1- 2", "bytes=--1",   "bytes:0-1",     "0-1",
        "bytes=0x1-", "bytes=1.0-2", "bytes =0-1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        expect_not(texts[i], 10, S3_RANGE_IGNORED);
        expect_not(texts[i], 0, S3_RANGE_IGNORED);
    }
}

static void small_ranges_are_as_the_rfc_says(void **state)
{
    char text[32];

    (void)state;
    for (uint64_t size = 0; size < 8; size++) {
        for (uint64_t a = 0; a < 10; a++) {
            for (uint64_t b = 0; b < 10; b++) {
                snprintf(text, sizeof text, "bytes=%d-%d", (int)a, (int)b);
                if (b < a) {
                    expect_not(text, size, S3_RANGE_IGNORED);
                } else if (a >= size) {
                    expect_not(text, size, S3_RANGE_UNSATISFIABLE);
                } else {
                    uint64_t last = b < size ? b : size - 1;
                    expect(text, size, a, last - a + 1);
                }
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_and_last_byte_are_both_given),
        cmocka_unit_test(a_last_byte_past_the_end_means_the_end),
        cmocka_unit_test(an_open_range_goes_to_the_end),
        cmocka_unit_test(a_suffix_gives_the_last_bytes),
        cmocka_unit_test(unit_is_of_any_case_and_blanks_are_skipped),
        cmocka_unit_test(what_begins_past_the_end_is_unsatisfiable),
        cmocka_unit_test(what_is_not_one_range_is_ignored),
        cmocka_unit_test(small_ranges_are_as_the_rfc_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
