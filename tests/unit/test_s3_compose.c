/* test_s3_compose.c: ETag and checksum of an object from those of its parts.
 *
 * Goal: what AWS documents for multipart uploads, for every kind of checksum,
 * and no checksum at all where one would not be true.
 * Method: FULL_OBJECT against the CRC of the joined bytes in one go, for cuts
 * at many places; ETag and COMPOSITE against values that were computed by
 * another program (Python's hashlib and zlib) and against one-shot digests;
 * parts whose checksum is missing, of another kind or damaged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/text.h"
#include "gateway/s3_attrs.h"
#include "gateway/s3_compose.h"

static const enum digest_kind kinds[] = {
    DIGEST_SHA1, DIGEST_SHA256, DIGEST_CRC32, DIGEST_CRC32C, DIGEST_CRC64NVME};
#define KINDS (sizeof kinds / sizeof kinds[0])
#define FIRST_CRC 2

/* MD5 of "hello " and of "world". */
#define MD5_HELLO "f814893777bcc2295fff05f00e508da6"
#define MD5_WORLD "7d793037a0760186574b0282f2f435e7"

static char *check_of(enum digest_kind kind, const char *p, size_t len)
{
    uint8_t sum[DIGEST_MAX];
    char value[TEXT_BASE64_MAX(DIGEST_MAX)];
    size_t size = digest_of(kind, p, len, sum);

    return mem_printf("%s:%s", s3_checksum_header(kind),
                      text_base64(sum, size, value));
}

static void add(struct s3_compose *c, enum digest_kind kind, const char *p,
                size_t len)
{
    uint8_t sum[DIGEST_MAX];
    char etag[33];
    char *check = check_of(kind, p, len);

    digest_of(DIGEST_MD5, p, len, sum);
    assert_true(s3_compose_add(c, text_hex(sum, 16, etag), check, len));
    free(check);
}

static void expect_none(struct s3_compose *c)
{
    char value[S3_COMPOSE_VALUE] = "untouched";

    assert_false(s3_compose_checksum(c, value));
    assert_string_equal(value, "untouched");
    s3_compose_close(c);
}

static void etag_is_the_md5_of_the_md5s_and_the_number_of_parts(void **state)
{
    struct s3_compose c;
    char etag[META_ETAG_MAX + 1];

    (void)state;
    s3_compose_init(&c);
    assert_true(s3_compose_add(&c, MD5_HELLO, NULL, 6));
    assert_true(s3_compose_add(&c, MD5_WORLD, NULL, 5));
    assert_int_equal(c.size_bytes, 11);
    assert_string_equal(s3_compose_etag(&c, etag),
                        "e09e4fd6265b36115fe3db32df945d84-2");
    s3_compose_close(&c);

    s3_compose_init(&c); /* one part is a multipart object too */
    assert_true(s3_compose_add(&c, MD5_HELLO, NULL, 6));
    assert_string_equal(s3_compose_etag(&c, etag),
                        "875ddeafb76eca4041e9437988c57cc6-1");
    s3_compose_close(&c);
}

static void an_etag_that_is_no_md5_is_refused_and_adds_nothing(void **state)
{
    static const char *const bad[] = {"",
                                      "abc",
                                      MD5_HELLO "0",
                                      MD5_HELLO "-2",
                                      "g814893777bcc2295fff05f00e508da6",
                                      "\"" MD5_HELLO "\""};
    struct s3_compose c;
    char etag[META_ETAG_MAX + 1];

    (void)state;
    s3_compose_init(&c);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(s3_compose_add(&c, bad[i], NULL, 6));
    }
    assert_int_equal(c.count, 0);
    assert_int_equal(c.size_bytes, 0);
    assert_true(s3_compose_add(&c, MD5_HELLO, NULL, 6));
    assert_string_equal(s3_compose_etag(&c, etag),
                        "875ddeafb76eca4041e9437988c57cc6-1");
    s3_compose_close(&c);
}

static void ten_thousand_parts_fit(void **state)
{
    struct s3_compose c;
    char etag[META_ETAG_MAX + 1];
    char value[S3_COMPOSE_VALUE];

    (void)state;
    s3_compose_init(&c);
    s3_compose_kind(&c, DIGEST_SHA256, true);
    for (int i = 0; i < META_PARTS_MAX; i++) {
        add(&c, DIGEST_SHA256, "x", 1);
    }
    assert_string_equal(s3_compose_etag(&c, etag) + 32, "-10000");
    assert_true(s3_compose_checksum(&c, value));
    assert_int_equal(strlen(value), 44 + 6);
    assert_string_equal(value + 44, "-10000");
    s3_compose_close(&c);
}

static void composite_is_the_digest_of_the_digests(void **state)
{
    static const char *const wants[KINDS] = {
        "9oeo+kMlG3hL6irRRMB+8GuSWwc=-2",
        "Zhie15keHg/OBlOZxcoF/BXCgYZaeimRvdZnwUZqkaQ=-2", "1Fu2mQ==-2",
        "vUZpoA==-2", "6sDIYil0oVY=-2"};

    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        struct s3_compose c;
        char value[S3_COMPOSE_VALUE];
        s3_compose_init(&c);
        s3_compose_kind(&c, kinds[i], true);
        add(&c, kinds[i], "hello ", 6);
        add(&c, kinds[i], "world", 5);
        assert_true(s3_compose_checksum(&c, value));
        assert_string_equal(value, wants[i]);
        s3_compose_close(&c);
    }
}

/* The full-object checksum of @p in parts that end at @a, @b and @len. */
static void expect_full(enum digest_kind kind, bool told, const char *p,
                        size_t a, size_t b, size_t len)
{
    uint8_t sum[DIGEST_MAX];
    char want[TEXT_BASE64_MAX(DIGEST_MAX)];
    char value[S3_COMPOSE_VALUE];
    size_t size = digest_of(kind, p, len, sum);
    struct s3_compose c;

    s3_compose_init(&c);
    if (told) {
        s3_compose_kind(&c, kind, false);
    }
    add(&c, kind, p, a);
    add(&c, kind, p + a, b - a);
    add(&c, kind, p + b, len - b);
    assert_true(s3_compose_checksum(&c, value));
    assert_string_equal(value, text_base64(sum, size, want));
    assert_int_equal(c.kind, kind);
    assert_false(c.composite);
    s3_compose_close(&c);
}

static void full_object_is_the_crc_of_all_bytes_wherever_cut(void **state)
{
    enum { LEN = 70001 };
    static const size_t cuts[][2] = {{0, 0},         {0, 1},     {1, 1},
                                     {1, 2},         {7, 64},    {64, 128},
                                     {4096, 65536},  {35000, 0}, {LEN, LEN},
                                     {LEN - 1, LEN}, {0, LEN}};
    char *p = mem_alloc(LEN);

    (void)state;
    for (size_t i = 0; i < LEN; i++) {
        p[i] = (char)(i * 131 + i / 251);
    }
    for (size_t k = FIRST_CRC; k < KINDS; k++) {
        for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
            size_t a = cuts[i][0];
            size_t b = cuts[i][1] < a ? a : cuts[i][1];
            expect_full(kinds[k], true, p, a, b, LEN);
            expect_full(kinds[k], false, p, a, b, LEN);
        }
    }
    free(p);
}

static void hashes_without_a_kind_make_no_checksum(void **state)
{
    (void)state;
    for (size_t k = 0; k < FIRST_CRC; k++) {
        struct s3_compose c;
        s3_compose_init(&c);
        add(&c, kinds[k], "hello ", 6);
        add(&c, kinds[k], "world", 5);
        assert_false(c.has_kind);
        expect_none(&c);
    }
}

static void one_part_without_the_checksum_leaves_the_object_without(
    void **state)
{
    static const char *const bad[] = {
        NULL,
        "",
        "x-amz-checksum-crc32",           /* no value */
        "x-amz-checksum-crc32:",          /* an empty one */
        "x-amz-checksum-crc32:AAAA",      /* too short */
        "x-amz-checksum-crc32:AAAAAAA=",  /* too long */
        "x-amz-checksum-crc32:AAAAA*==",  /* not base64 */
        "x-amz-checksum-crc32c:AAAAAA==", /* another kind */
        "x-amz-checksum-what:AAAAAA==",   /* no kind */
        "x-amz-checksum-crc32:"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        for (int at = 0; at < 3; at++) {
            for (int composite = 0; composite < 2; composite++) {
                struct s3_compose c;
                s3_compose_init(&c);
                s3_compose_kind(&c, DIGEST_CRC32, composite != 0);
                for (int n = 0; n < 3; n++) {
                    if (n == at) {
                        assert_true(s3_compose_add(&c, MD5_HELLO, bad[i], 6));
                    } else {
                        add(&c, DIGEST_CRC32, "hello ", 6);
                    }
                }
                assert_true(c.broken);
                assert_int_equal(c.count, 3); /* the part is counted */
                expect_none(&c);
            }
        }
    }
}

static void parts_of_two_kinds_make_no_checksum(void **state)
{
    struct s3_compose c;

    (void)state;
    s3_compose_init(&c);
    add(&c, DIGEST_CRC64NVME, "hello ", 6);
    add(&c, DIGEST_CRC32C, "world", 5);
    expect_none(&c);

    /* The first part decides: a later one brings no kind. */
    s3_compose_init(&c);
    assert_true(s3_compose_add(&c, MD5_HELLO, NULL, 6));
    add(&c, DIGEST_CRC32C, "world", 5);
    assert_false(c.has_kind);
    expect_none(&c);
}

static void no_parts_make_no_checksum(void **state)
{
    struct s3_compose c;

    (void)state;
    s3_compose_init(&c);
    s3_compose_kind(&c, DIGEST_CRC32, true);
    expect_none(&c);
}

static void close_takes_zeroed_and_closed_ones(void **state)
{
    struct s3_compose c = {.count = 0};

    (void)state;
    s3_compose_close(&c);
    s3_compose_init(&c);
    s3_compose_kind(&c, DIGEST_SHA256, true);
    add(&c, DIGEST_SHA256, "hello ", 6);
    s3_compose_close(&c);
    s3_compose_close(&c);
    assert_null(c.md5.context);
    assert_null(c.check.context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(etag_is_the_md5_of_the_md5s_and_the_number_of_parts),
        cmocka_unit_test(an_etag_that_is_no_md5_is_refused_and_adds_nothing),
        cmocka_unit_test(ten_thousand_parts_fit),
        cmocka_unit_test(composite_is_the_digest_of_the_digests),
        cmocka_unit_test(full_object_is_the_crc_of_all_bytes_wherever_cut),
        cmocka_unit_test(hashes_without_a_kind_make_no_checksum),
        cmocka_unit_test(
            one_part_without_the_checksum_leaves_the_object_without),
        cmocka_unit_test(parts_of_two_kinds_make_no_checksum),
        cmocka_unit_test(no_parts_make_no_checksum),
        cmocka_unit_test(close_takes_zeroed_and_closed_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
