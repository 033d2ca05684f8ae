/* test_s3_sign.c: requests signed for S3.
 *
 * Goal: signatures are those of AWS's examples, and count what they should.
 * Method: the two examples of the Amazon S3 API Reference ("Signature
 * Calculations for the Authorization Header") that sign what we sign; the rest
 * is judged by a real store in tests/e2e.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "edge-agent/s3_sign.h"
#include "tests/lib/temp_dir.h"

static char access[] = "AKIAIOSFODNN7EXAMPLE";
static char secret[] = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
static char region[] = "us-east-1";
static const struct s3_keys keys = {access, secret, region};

/* At 2013-05-24T00:00:00Z. */
static char *sign(const char *method, const char *path, const char *fields,
                  const char *body)
{
    const struct s3_sign_request r = {.method = method,
                                      .path = path,
                                      .host = "examplebucket.s3.amazonaws.com",
                                      .fields = fields,
                                      .body = body,
                                      .body_len = strlen(body),
                                      .time_ms = 1369353600000ull};
    struct buf out = {0};
    size_t len;

    s3_sign(&keys, &r, &out);
    return (char *)buf_take(&out, &len);
}

static void signatures_are_those_of_the_examples(void **state)
{
    static const struct {
        const char *path, *signature;
    } rows[] = {
        {"/?lifecycle",
         "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
        {"/?max-keys=2&prefix=J",
         "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
        {"/?prefix=J&max-keys=2",
         "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *got = sign("GET", rows[i].path, NULL, "");
        assert_non_null(strstr(got, rows[i].signature));
        assert_non_null(
            strstr(got, "SignedHeaders=host;x-amz-content-sha256;x-amz-date,"));
        assert_non_null(strstr(got, "/20130524/us-east-1/s3/aws4_request,"));
        free(got);
    }
}

static char *signature_of(const char *method, const char *path,
                          const char *fields, const char *body)
{
    char *all = sign(method, path, fields, body);
    char *out = mem_strdup(strstr(all, "Signature="));

    free(all);
    return out;
}

static void every_part_counts(void **state)
{
    static const struct {
        const char *method, *path, *fields, *body;
        bool same;
    } rows[] = {
        {"PUT", "/b/k", "x-amz-meta-a: 1\r\n", "x", true},
        {"PUT", "/b/k", "X-Amz-Meta-A:   1  \r\n", "x", true},
        {"PUT", "/b/k", "Content-Type: t\r\nx-amz-meta-a: 1\r\n", "x", true},
        {"POST", "/b/k", "x-amz-meta-a: 1\r\n", "x", false},
        {"PUT", "/b/l", "x-amz-meta-a: 1\r\n", "x", false},
        {"PUT", "/b/k?a", "x-amz-meta-a: 1\r\n", "x", false},
        {"PUT", "/b/k", "x-amz-meta-a: 2\r\n", "x", false},
        {"PUT", "/b/k", "x-amz-meta-b: 1\r\n", "x", false},
        {"PUT", "/b/k", NULL, "x", false},
        {"PUT", "/b/k", "x-amz-meta-a: 1\r\n", "y", false},
    };
    char *want = signature_of(rows[0].method, rows[0].path, rows[0].fields,
                              rows[0].body);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *got = signature_of(rows[i].method, rows[i].path, rows[i].fields,
                                 rows[i].body);
        assert_int_equal(strcmp(got, want) == 0, rows[i].same);
        free(got);
    }
    free(want);
}

static void names_are_signed_in_their_order(void **state)
{
    char *got = sign("PUT", "/b/k",
                     "x-amz-meta-b: 1\r\nx-amz-meta-a-b: 2\r\n"
                     "x-amz-meta-a: 3\r\nContent-MD5: x\r\n",
                     "");

    (void)state;
    assert_non_null(strstr(got,
                           "SignedHeaders=host;x-amz-content-sha256;"
                           "x-amz-date;x-amz-meta-a;x-amz-meta-a-b;"
                           "x-amz-meta-b,"));
    assert_non_null(strstr(got, "Content-MD5: x\r\n"));
    free(got);
}

static void keys_stand_in_two_lines(void **state)
{
    static const char *const good[] = {"AK\nSK\n", "AK\r\nSK\r\n", "AK\nSK"};
    static const char *const bad[] = {"", "AK", "AK\n", "\n\n"};
    char *dir = temp_dir_new();
    char *path = mem_printf("%s/keys", dir);
    struct s3_keys k;
    struct err err;

    (void)state;
    assert_int_equal(s3_keys_read(path, "r", &k, &err), ERR_NOT_FOUND);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(fs_write(path, good[i], strlen(good[i]), 0600, NULL),
                         0);
        assert_int_equal(s3_keys_read(path, "r", &k, &err), 0);
        assert_string_equal(k.access, "AK");
        assert_string_equal(k.secret, "SK");
        assert_string_equal(k.region, "r");
        s3_keys_free(&k);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(fs_write(path, bad[i], strlen(bad[i]), 0600, NULL), 0);
        assert_int_equal(s3_keys_read(path, "r", &k, &err), ERR_BAD_INPUT);
        assert_non_null(strstr(err.text, "second"));
    }
    free(path);
    temp_dir_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_are_those_of_the_examples),
        cmocka_unit_test(every_part_counts),
        cmocka_unit_test(names_are_signed_in_their_order),
        cmocka_unit_test(keys_stand_in_two_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
