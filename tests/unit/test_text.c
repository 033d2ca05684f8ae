/* test_text.c: numbers, encodings, UTF-8 and dates.
 *
 * Goal: parsers take exactly what the header allows and leave the output alone
 * otherwise; printers and parsers are each other's inverse.
 * Method: tables of good and bad texts, RFC 4648's vectors, every byte and
 * every day through both directions, the clock by a fake.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"

#define UNTOUCHED 0x5a5a5a5a5a5a5a5aull
#define COUNT(a) (sizeof(a) / sizeof(a)[0])

struct number_case {
    const char *text;
    uint64_t value;
};

static void expect_numbers(bool (*parse)(const char *s, uint64_t *out),
                           const struct number_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t v = UNTOUCHED;
        if (!parse(cases[i].text, &v) || v != cases[i].value) {
            fail_msg("\"%s\" gave %llu", cases[i].text, (unsigned long long)v);
        }
    }
}

static void expect_refused(bool (*parse)(const char *s, uint64_t *out),
                           const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t v = UNTOUCHED;
        if (parse(texts[i], &v)) {
            fail_msg("\"%s\" was taken", texts[i]);
        }
        assert_int_equal(v, UNTOUCHED);
    }
}

static void u64_takes_digits_alone(void **state)
{
    static const struct number_case good[] = {
        {"0", 0},
        {"7", 7},
        {"007", 7},
        {"18446744073709551615", UINT64_MAX},
    };
    static const char *const bad[] = {
        "",
        "-1",
        "+1",
        " 1",
        "1 ",
        "0x10",
        "1.0",
        "a",
        "1e3",
        "18446744073709551616",
        "99999999999999999999",
        "\xd9\xa1",
    };
    uint64_t v;

    (void)state;
    expect_numbers(text_u64, good, COUNT(good));
    expect_refused(text_u64, bad, COUNT(bad));
    assert_true(text_u64_n("123xyz", 3, &v));
    assert_int_equal(v, 123);
    assert_false(text_u64_n("12\0", 3, &v));
}

static void sizes_have_binary_units(void **state)
{
    static const struct number_case good[] = {
        {"0", 0},
        {"4096", 4096},
        {"64KiB", 65536},
        {"64K", 65536},
        {"8MiB", 8 << 20},
        {"8M", 8 << 20},
        {"1GiB", 1 << 30},
        {"1G", 1 << 30},
        {"2TiB", 2ull << 40},
        {"2T", 2ull << 40},
        {"16777215TiB", 16777215ull << 40},
    };
    static const char *const bad[] = {
        "",     "K",   "KiB", "1kib",  "1 KiB",       "1KB",
        "1.5G", "-1K", "1B",  "1KiBs", "16777216TiB", "1Ki",
    };

    (void)state;
    expect_numbers(text_size, good, COUNT(good));
    expect_refused(text_size, bad, COUNT(bad));
}

static void durations_default_to_seconds(void **state)
{
    static const struct number_case good[] = {
        {"0", 0},        {"250ms", 250},    {"30", 30000},     {"30s", 30000},
        {"10m", 600000}, {"24h", 86400000}, {"7d", 604800000},
    };
    static const char *const bad[] = {
        "",
        "s",
        "ms",
        "1w",
        "1.5s",
        "-1s",
        "1 s",
        "1S",
        "1d1h",
        "18446744073709551s1",
        "213503982335d",
    };

    (void)state;
    expect_numbers(text_duration_ms, good, COUNT(good));
    expect_refused(text_duration_ms, bad, COUNT(bad));
}

static void human_sizes_have_one_decimal_at_most(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {1, "1 B"},
        {1023, "1023 B"},
        {1024, "1 KiB"},
        {1536, "1.5 KiB"},
        {(1 << 20) - 1, "1 MiB"},
        {3ull << 29, "1.5 GiB"},
        {10ull << 40, "10 TiB"},
        {UINT64_MAX, "16 EiB"},
    };
    char out[TEXT_SIZE_MAX];

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_string_equal(text_size_human(cases[i].bytes, out),
                            cases[i].text);
    }
}

static void starts_and_ieq_compare_ascii(void **state)
{
    (void)state;
    assert_true(text_starts("x-amz-date", "x-amz-"));
    assert_true(text_starts("x", ""));
    assert_false(text_starts("x-am", "x-amz-"));
    assert_false(text_starts("X-amz-date", "x-amz-"));
    assert_true(text_ieq("Content-MD5", "content-md5"));
    assert_true(text_ieq("", ""));
    assert_false(text_ieq("abc", "ab"));
    assert_false(text_ieq("ab", "abc"));
    assert_false(text_ieq("[", "{")); /* differ in bit 5 alone */
}

static void hex_of_every_byte_comes_back(void **state)
{
    uint8_t in[256];
    uint8_t out[256];
    char hex[2 * 256 + 1];

    (void)state;
    for (size_t i = 0; i < sizeof in; i++) {
        in[i] = (uint8_t)i;
    }
    text_hex(in, sizeof in, hex);
    assert_int_equal(strlen(hex), 512);
    assert_memory_equal(hex, "000102030405060708090a0b", 24);
    assert_true(text_unhex(hex, 512, out, sizeof out));
    assert_memory_equal(in, out, sizeof in);
    assert_true(text_unhex("aBCdEf", 6, out, 3));
    assert_memory_equal(out, "\xab\xcd\xef", 3);
    assert_true(text_unhex("", 0, out, 0));
}

static void unhex_refuses_other_digits_and_lengths(void **state)
{
    uint8_t out[4] = {9, 9, 9, 9};

    (void)state;
    assert_false(text_unhex("abcdefg0", 8, out, 4));
    assert_false(text_unhex("abcdef0", 7, out, 4));
    assert_false(text_unhex("abcdef0", 7, out, 3));
    assert_false(text_unhex("abcdef", 6, out, 4));
    assert_false(text_unhex("abcdef0011", 10, out, 4));
    assert_false(text_unhex("0x123456", 8, out, 4));
    assert_memory_equal(out, "\x09\x09\x09\x09", 4);
}

static void base64_agrees_with_rfc_4648(void **state)
{
    static const char *const vectors[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xfb\xff\xbf", "+/+/"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(vectors); i++) {
        const char *plain = vectors[i][0];
        const char *coded = vectors[i][1];
        char text[TEXT_BASE64_MAX(8)];
        uint8_t back[9];
        size_t len = 99;
        assert_string_equal(text_base64(plain, strlen(plain), text), coded);
        assert_true(text_unbase64(coded, strlen(coded), back, &len));
        assert_int_equal(len, strlen(plain));
        assert_memory_equal(back, plain, len);
    }
}

static void base64_of_every_byte_comes_back(void **state)
{
    uint8_t in[256];
    uint8_t out[3 * (TEXT_BASE64_MAX(256) / 4)];
    char text[TEXT_BASE64_MAX(256)];
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof in; i++) {
        in[i] = (uint8_t)(i * 167 + 13);
    }
    for (size_t n = 0; n <= sizeof in; n++) {
        text_base64(in, n, text);
        assert_true(strlen(text) < TEXT_BASE64_MAX(n));
        assert_true(text_unbase64(text, strlen(text), out, &len));
        assert_int_equal(len, n);
        assert_memory_equal(in, out, n);
    }
}

static void unbase64_is_strict(void **state)
{
    static const char *const bad[] = {
        "Zg",   "Zg=",   "Z===",   "====",         "Zg==Zg==", "Zm9v=",
        "Z g=", "Zm9v ", "Zm-v",   "Zm9_",         "Zh==",     "Zm9=",
        "=g==", "Z=g=",  "Zm9v\n", "Zm9vYg==\r\n",
    };
    uint8_t out[16] = {7};
    size_t len = 42;

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (text_unbase64(bad[i], strlen(bad[i]), out, &len)) {
            fail_msg("\"%s\" was taken", bad[i]);
        }
        assert_int_equal(len, 42);
        assert_int_equal(out[0], 7);
    }
    assert_false(text_unbase64("Zm\0v", 4, out, &len));
}

static void uri_encode_leaves_the_unreserved(void **state)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
    struct buf b = {0};

    (void)state;
    text_uri_encode(&b, plain, strlen(plain), false);
    assert_string_equal(b.data, plain);
    buf_clear(&b);
    text_uri_encode(&b, "a/b c+d%\xc3\xa9*", 11, true);
    assert_string_equal(b.data, "a/b%20c%2Bd%25%C3%A9%2A");
    buf_clear(&b);
    text_uri_encode(&b, "a/b", 3, false);
    assert_string_equal(b.data, "a%2Fb");
    buf_free(&b);
}

static void uri_of_every_byte_comes_back(void **state)
{
    uint8_t in[256];
    struct buf coded = {0};
    struct buf back = {0};

    (void)state;
    for (size_t i = 0; i < sizeof in; i++) {
        in[i] = (uint8_t)i;
    }
    text_uri_encode(&coded, in, sizeof in, false);
    assert_int_equal(coded.len, 66 + 3 * 190);
    assert_true(text_uri_decode(&back, (char *)coded.data, coded.len));
    assert_int_equal(back.len, sizeof in);
    assert_memory_equal(back.data, in, sizeof in);
    buf_free(&coded);
    buf_free(&back);
}

static void uri_decode_refuses_bad_escapes(void **state)
{
    static const char *const bad[] = {"%",      "a%",   "a%4", "%zz",  "%4g",
                                      "ok%20%", "% 41", "%-1", "%0x41"};
    struct buf b = {0};

    (void)state;
    buf_str(&b, "kept");
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_false(text_uri_decode(&b, bad[i], strlen(bad[i])));
        assert_string_equal(b.data, "kept");
    }
    /* The escape ends where the text ends, not where the memory does. */
    assert_false(text_uri_decode(&b, "%41", 2));
    assert_true(text_uri_decode(&b, "+%2b%2B%41", 10));
    assert_string_equal(b.data, "kept+++A");
    buf_free(&b);
}

static void utf8_follows_table_3_7(void **state)
{
    static const char *const good[] = {
        "",
        "plain",
        "\x7f",
        "\xc2\x80",
        "\xdf\xbf",
        "\xe0\xa0\x80",
        "\xe1\x80\x80",
        "\xed\x9f\xbf",
        "\xee\x80\x80",
        "\xef\xbf\xbf",
        "\xf0\x90\x80\x80",
        "\xf3\xbf\xbf\xbf",
        "\xf4\x8f\xbf\xbf",
        "a\xc3\xa9z\xe2\x82\xac",
    };
    static const char *const bad[] = {
        "\x80",             /* continuation alone */
        "\xc0\x80",         /* overlong NUL */
        "\xc1\xbf",         /* overlong */
        "\xe0\x9f\xbf",     /* overlong */
        "\xed\xa0\x80",     /* surrogate */
        "\xed\xbf\xbf",     /* surrogate */
        "\xf0\x8f\xbf\xbf", /* overlong */
        "\xf4\x90\x80\x80", /* above U+10FFFF */
        "\xf5\x80\x80\x80",
        "\xff",
        "\xfe",
        "\xc3",         /* cut */
        "\xe2\x82",     /* cut */
        "\xf0\x9f\x98", /* cut */
        "\xc3(",
        "\xe2(\xac",
        "\xe2\x82(",
        "\xf0\x9f\x98(",
        "ok\xa9",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        assert_true(text_utf8(good[i], strlen(good[i])));
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (text_utf8(bad[i], strlen(bad[i]))) {
            fail_msg("bad text %zu was taken", i);
        }
    }
    assert_true(text_utf8("a\0b", 3));
    assert_false(text_utf8("\xc3\xa9", 1));
}

/* From date -u -d. */
#define T2026 1795395723456ull /* 2026-11-23T01:02:03.456Z, a Monday */
#define T1994 784111777000ull  /* 1994-11-06T08:49:37Z, a Sunday */

static void times_print_in_three_forms(void **state)
{
    char out[TEXT_TIME_MAX];

    (void)state;
    assert_string_equal(text_iso8601(T2026, out), "2026-11-23T01:02:03.456Z");
    assert_string_equal(text_basic8601(T2026, out), "20261123T010203Z");
    assert_string_equal(text_http_date(T2026, out),
                        "Mon, 23 Nov 2026 01:02:03 GMT");
    assert_string_equal(text_http_date(T1994, out),
                        "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_string_equal(text_iso8601(0, out), "1970-01-01T00:00:00.000Z");
    assert_string_equal(text_iso8601(951782400000ull, out),
                        "2000-02-29T00:00:00.000Z");
    assert_string_equal(text_iso8601(4107542399999ull, out),
                        "2100-02-28T23:59:59.999Z");
    assert_string_equal(text_iso8601(4107542400000ull, out),
                        "2100-03-01T00:00:00.000Z");
}

static void the_largest_time_fits_its_buffer(void **state)
{
    char out[TEXT_TIME_MAX];

    (void)state;
    assert_string_equal(text_iso8601(UINT64_MAX, out),
                        "584556019-04-03T14:25:51.615Z");
    assert_true(strlen(text_http_date(UINT64_MAX, out)) < TEXT_TIME_MAX - 1);
    assert_true(strlen(text_basic8601(UINT64_MAX, out)) < TEXT_TIME_MAX - 1);
}

static void every_day_to_2404_comes_back(void **state)
{
    uint64_t end = 13695696000000ull; /* 2404-01-01: every kind of century */
    uint64_t days = 0;

    (void)state;
    for (uint64_t t = 43201000; t < end; t += 86400000, days++) {
        char out[TEXT_TIME_MAX];
        uint64_t back = 0;
        assert_true(text_parse_iso8601(text_iso8601(t, out), &back));
        assert_int_equal(back, t);
        assert_true(text_parse_basic8601(text_basic8601(t, out), &back));
        assert_int_equal(back, t);
        assert_true(text_parse_http_date(text_http_date(t, out), &back));
        assert_int_equal(back, t);
    }
    assert_int_equal(days, 158515); /* 434 years, 105 of them leap */
}

static void iso8601_takes_fractions(void **state)
{
    static const struct number_case good[] = {
        {"2026-11-23T01:02:03Z", T2026 - 456},
        {"2026-11-23T01:02:03.4Z", T2026 - 56},
        {"2026-11-23T01:02:03.456Z", T2026},
        {"2026-11-23T01:02:03.456999999Z", T2026},
        {"1970-01-01T00:00:00Z", 0},
        {"9999-12-31T23:59:59.999Z", 253402300799999ull},
        {"2024-02-29T00:00:00Z", 1709164800000ull},
    };

    (void)state;
    expect_numbers(text_parse_iso8601, good, COUNT(good));
}

static void iso8601_refuses_the_rest(void **state)
{
    static const char *const bad[] = {
        "",
        "2026-11-23",
        "2026-11-23T01:02:03",
        "2026-11-23T01:02:03+00:00",
        "2026-11-23T01:02:03.Z",
        "2026-11-23T01:02:03.1234567890Z",
        "2026-11-23T01:02:03Z ",
        " 2026-11-23T01:02:03Z",
        "2026-11-23 01:02:03Z",
        "2026-11-23t01:02:03z",
        "2026-1-23T01:02:03Z",
        "2026-00-23T01:02:03Z",
        "2026-13-23T01:02:03Z",
        "2026-11-00T01:02:03Z",
        "2026-11-31T01:02:03Z",
        "2026-02-29T01:02:03Z",
        "2100-02-29T01:02:03Z",
        "2024-02-30T01:02:03Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T01:60:03Z",
        "2026-11-23T01:02:60Z",
        "1969-12-31T23:59:59Z",
        "0000-01-01T00:00:00Z",
        "-026-11-23T01:02:03Z",
        "+026-11-23T01:02:03Z",
        "2026-11-23T-1:02:03Z",
    };

    (void)state;
    expect_refused(text_parse_iso8601, bad, COUNT(bad));
}

static void basic8601_refuses_all_but_its_form(void **state)
{
    static const struct number_case good[] = {
        {"20261123T010203Z", T2026 - 456},
        {"20240229T000000Z", 1709164800000ull},
    };
    static const char *const bad[] = {
        "",
        "20261123",
        "20261123T010203",
        "20261123T010203ZZ",
        "20261123T010203.0Z",
        "20261123 010203Z",
        "2026-11-23T01:02:03Z",
        "20260229T010203Z",
        "20261323T010203Z",
        "20261123T250203Z",
        "20261123T01020 Z",
        "19691231T235959Z",
    };

    (void)state;
    expect_numbers(text_parse_basic8601, good, COUNT(good));
    expect_refused(text_parse_basic8601, bad, COUNT(bad));
}

static void http_dates_come_in_three_forms(void **state)
{
    static const struct number_case good[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", T1994},
        {"Sunday, 06-Nov-94 08:49:37 GMT", T1994},
        {"Sun Nov  6 08:49:37 1994", T1994},
        {"Mon, 23 Nov 2026 01:02:03 GMT", T2026 - 456},
        {"Mon Nov 23 01:02:03 2026", T2026 - 456},
    };

    (void)state;
    expect_numbers(text_parse_http_date, good, COUNT(good));
}

static void http_dates_are_strict(void **state)
{
    static const char *const bad[] = {
        "",
        "Sun",
        "Sun,",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun,06 Nov 1994 08:49:37 GMT",
        "sun, 06 nov 1994 08:49:37 gmt",
        "Son, 06 Nov 1994 08:49:37 GMT",
        "Mon, 06 Nov 1994 08:49:37 GMT", /* was a Sunday */
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",      /* short day, RFC 850 */
        "Sunday, 06 Nov 1994 08:49:37 GMT", /* long day, IMF */
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sund, 06-Nov-94 08:49:37 GMT",
        "Sundays, 06-Nov-94 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov  6 08:49:37 1994 GMT",
        "Sun Nov  06 08:49:37 1994",
        "Sunday Nov  6 08:49:37 1994",
        "Sun, 23 Nov 1969 01:02:03 GMT",
    };

    (void)state;
    expect_refused(text_parse_http_date, bad, COUNT(bad));
}

static uint64_t fake_now(void *data)
{
    return *(uint64_t *)data;
}

static void two_digit_years_are_near_the_present(void **state)
{
    uint64_t now = T2026;
    struct clock_ops fake = {.real_ms = fake_now, .data = &now};
    char out[TEXT_TIME_MAX];
    uint64_t t;

    (void)state;
    clock_use(&fake);
    /* 2076 is fifty years away, 2077 would be further. */
    assert_true(text_parse_http_date("Wednesday, 01-Jan-76 00:00:00 GMT", &t));
    assert_string_equal(text_iso8601(t, out), "2076-01-01T00:00:00.000Z");
    assert_true(text_parse_http_date("Saturday, 01-Jan-77 00:00:00 GMT", &t));
    assert_string_equal(text_iso8601(t, out), "1977-01-01T00:00:00.000Z");
    now += 60ull * 366 * 86400000;
    assert_true(text_parse_http_date("Wednesday, 01-Jan-10 00:00:00 GMT", &t));
    assert_string_equal(text_iso8601(t, out), "2110-01-01T00:00:00.000Z");
    clock_use(NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(u64_takes_digits_alone),
        cmocka_unit_test(sizes_have_binary_units),
        cmocka_unit_test(durations_default_to_seconds),
        cmocka_unit_test(human_sizes_have_one_decimal_at_most),
        cmocka_unit_test(starts_and_ieq_compare_ascii),
        cmocka_unit_test(hex_of_every_byte_comes_back),
        cmocka_unit_test(unhex_refuses_other_digits_and_lengths),
        cmocka_unit_test(base64_agrees_with_rfc_4648),
        cmocka_unit_test(base64_of_every_byte_comes_back),
        cmocka_unit_test(unbase64_is_strict),
        cmocka_unit_test(uri_encode_leaves_the_unreserved),
        cmocka_unit_test(uri_of_every_byte_comes_back),
        cmocka_unit_test(uri_decode_refuses_bad_escapes),
        cmocka_unit_test(utf8_follows_table_3_7),
        cmocka_unit_test(times_print_in_three_forms),
        cmocka_unit_test(the_largest_time_fits_its_buffer),
        cmocka_unit_test(every_day_to_2404_comes_back),
        cmocka_unit_test(iso8601_takes_fractions),
        cmocka_unit_test(iso8601_refuses_the_rest),
        cmocka_unit_test(basic8601_refuses_all_but_its_form),
        cmocka_unit_test(http_dates_come_in_three_forms),
        cmocka_unit_test(http_dates_are_strict),
        cmocka_unit_test(two_digit_years_are_near_the_present),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
