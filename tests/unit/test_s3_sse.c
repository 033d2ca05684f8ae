/* test_s3_sse.c: objects that are sealed with a key of the client's.
 *
 * Goal: headers are judged as AWS does, and the arithmetic of segments holds:
 * what is sealed fits where it is put, at every length around the edges.
 * Method: a table of headers; all lengths beside multiples of a segment.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_judged_as_aws_does),
        cmocka_unit_test(a_run_is_longer_by_a_tag_for_each_segment),
        cmocka_unit_test(what_fills_a_room_fits_it_sealed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
