/* test_s3_sse.c: objects that are sealed.
 *
 * Goal: headers are judged as AWS does, and the arithmetic of segments holds:
 * what is sealed fits where it is put, at every length around the edges.
 * Method: a table of headers; all lengths beside multiples of a segment.
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
#include "gateway/s3_attrs.h"
#include "gateway/s3_sse.h"

/* 32 zero bytes, and their MD5: `head -c 32 /dev/zero | md5sum`. */
#define ZEROS "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define ZEROS_MD5 "cLyPS3KoaSFGi/joRB3OUQ=="

static void headers_are_judged_as_aws_does(void **state)
{
    static const struct {
        struct s3_sse_headers headers;
        enum s3_error error;
        const char *says;
    } rows[] = {
        {{"AES256", ZEROS, ZEROS_MD5}, S3_OK, ""},
        {{NULL, ZEROS, ZEROS_MD5}, S3_InvalidArgument, "algorithm"},
        {{"aes256", ZEROS, ZEROS_MD5},
         S3_InvalidEncryptionAlgorithmError,
         "AES256"},
        {{"AES256", NULL, ZEROS_MD5},
         S3_InvalidArgument,
         "appropriate secret key"},
        {{"AES256", ZEROS, NULL}, S3_InvalidArgument, "calculated MD5"},
        {{"AES256", "", ZEROS_MD5}, S3_InvalidArgument, "secret key was"},
        {{"AES256", "AAAA", ZEROS_MD5}, S3_InvalidArgument, "secret key was"},
        {{"AES256", ZEROS "AAAA", ZEROS_MD5},
         S3_InvalidArgument,
         "secret key was"},
        {{"AES256", ZEROS, ""}, S3_InvalidArgument, "did not match"},
        {{"AES256", ZEROS, "AAAAAAAAAAAAAAAAAAAAAA=="},
         S3_InvalidArgument,
         "did not match"},
        {{"AES256", ZEROS, ZEROS_MD5 "AAAA"},
         S3_InvalidArgument,
         "did not match"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t key[AEAD_KEY];
        struct err err = {{0}};
        enum s3_error e = s3_sse_judge(&rows[i].headers, key, &err);
        if (e != rows[i].error || strstr(err.text, rows[i].says) == NULL) {
            fail_msg("row %zu: %s: %s", i, s3_error_code(e), err.text);
        }
    }
}

static void a_run_is_longer_by_a_tag_for_each_segment(void **state)
{
    (void)state;
    assert_int_equal(s3_sse_sealed_bytes(0), 0);
    assert_int_equal(s3_sse_sealed_bytes(1), 17);
    assert_int_equal(s3_sse_sealed_bytes(65536), 65552);
    assert_int_equal(s3_sse_sealed_bytes(65537), 65569);
    assert_int_equal(s3_sse_sealed_bytes((uint64_t)5 << 30),
                     ((uint64_t)5 << 30) + 81920 * 16);
}

static void what_fills_a_room_fits_it_sealed(void **state)
{
    (void)state;
    for (uint32_t room = 16384; room <= 8 << 20; room *= 2) {
        for (uint32_t r = room - 20; r <= room + 20; r++) {
            uint32_t plain = s3_sse_room(r);
            assert_true(s3_sse_sealed_bytes(plain) <= r);
            /* Only whole segments can be followed by more. */
            assert_true(r < S3_SSE_SEALED || plain % AEAD_SEGMENT == 0);
            assert_true(plain > 0 && r - plain < S3_SSE_SEALED + r / 4096);
        }
    }
}

static void a_part_has_a_key_by_its_salt(void **state)
{
    static const char one[] =
        "godwit-salt:00112233445566778899aabbccddeeff;x-amz-checksum-crc32:AA";
    static const char two[] =
        "godwit-salt:00112233445566778899aabbccddeefe;x-amz-checksum-crc32:AA";
    const uint8_t key[AEAD_KEY] = {5};
    uint8_t a[AEAD_KEY], b[AEAD_KEY];

    (void)state;
    assert_true(s3_sse_part_key(key, one, a));
    assert_true(s3_sse_part_key(key, one, b));
    assert_memory_equal(a, b, sizeof a);
    assert_true(s3_sse_part_key(key, two, b));
    assert_memory_not_equal(a, b, sizeof a);
    assert_memory_not_equal(a, key, sizeof a);
    assert_string_equal(s3_sse_unsalted(one), "x-amz-checksum-crc32:AA");
    assert_string_equal(s3_sse_unsalted("x-amz-checksum-crc32:AA"),
                        "x-amz-checksum-crc32:AA");
    assert_null(s3_sse_unsalted(NULL));
    assert_false(s3_sse_part_key(key, NULL, a));
    assert_false(s3_sse_part_key(key, "x-amz-checksum-crc32:AA", a));
    assert_false(s3_sse_part_key(key, "godwit-salt:0011;x", a));
    assert_false(s3_sse_part_key(
        key, "godwit-salt:00112233445566778899aabbccddeefg;x", a));
}

static void ids_of_keys_are_read_as_clients_write_them(void **state)
{
    static const char *const rows[][2] = {
        {"mine", "mine"},
        {"alias/mine", "mine"},
        {"arn:aws:kms:us-east-1:1:key/mine", "mine"},
        {"arn:aws:kms:us-east-1:1:alias/mine", "mine"},
        {"alias/aws/s3", "s3"},
        {"dir/mine", "dir/mine"},
        {"", NULL},
        {"a b", NULL},
        {"arn:aws:kms:us-east-1:1:mine", NULL},
        {"arn:aws:kms:us-east-1:1:key/", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char name[META_MASTER_NAME_MAX + 1];
        bool good = s3_sse_key_name(rows[i][0], name);
        assert_int_equal(good, rows[i][1] != NULL);
        if (good) {
            assert_string_equal(name, rows[i][1]);
        }
    }
}

static void attrs_say_how_an_object_is_sealed(void **state)
{
    struct buf attrs = {0}, plain = {0};
    struct s3_sse_how how;
    char *type;

    (void)state;
    s3_attrs_begin(&attrs);
    s3_attrs_add(&attrs, "content-type", "a/b");
    s3_sse_how_of(attrs.data, attrs.len, &how);
    assert_int_equal(how.kind, S3_SSE_NONE);
    s3_attrs_add(&attrs, "x-amz-server-side-encryption", "aws:kms");
    s3_attrs_add(&attrs, "x-amz-server-side-encryption-bucket-key-enabled",
                 "true");
    s3_attrs_add(&attrs, "godwit-sse-key", "mine 7 AAAA");
    s3_sse_how_of(attrs.data, attrs.len, &how);
    assert_int_equal(how.kind, S3_SSE_KMS);
    assert_string_equal(how.name, "mine");
    assert_true(how.bucket_key);
    s3_attrs_begin(&plain);
    s3_attrs_copy_plain(attrs.data, attrs.len, true, &plain);
    s3_sse_how_of(plain.data, plain.len, &how);
    assert_int_equal(how.kind, S3_SSE_NONE);
    type = s3_attrs_get(plain.data, plain.len, "content-type");
    assert_string_equal(type, "a/b");
    free(type);
    buf_free(&attrs);
    buf_free(&plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_judged_as_aws_does),
        cmocka_unit_test(a_run_is_longer_by_a_tag_for_each_segment),
        cmocka_unit_test(what_fills_a_room_fits_it_sealed),
        cmocka_unit_test(a_part_has_a_key_by_its_salt),
        cmocka_unit_test(ids_of_keys_are_read_as_clients_write_them),
        cmocka_unit_test(attrs_say_how_an_object_is_sealed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
