/* test_load_request.c: prepared requests are signed as others are.
 *
 * Goal: whatever number, time and kind, the server's half of SigV4 accepts the
 * request, and with a byte changed it does not.
 * Method: the text is parsed as a gateway does and verified.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "cli/load_request.h"
#include "crypto/sigv4.h"

#define NOW_MS ((uint64_t)1795395723000)
#define EMPTY_SHA256 \
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const struct load_identity identity = {.authority = "127.0.0.1:9000",
                                              .access_key = "AKTEST",
                                              .secret_key = "secret",
                                              .region = "us-east-1"};

/* The verdict on the text of @q; its target is written to @target. */
static enum sigv4_status judge(const struct load_request *q, uint64_t now_ms,
                               char *target_out)
{
    char *text = mem_strndup(q->text, q->len);
    struct sigv4_header headers[16];
    struct sigv4_request r = {.headers = headers, .query = ""};
    struct sigv4_auth auth;
    enum sigv4_status status;
    char *save = NULL;
    char *query;
    char *target;
    uint8_t key[32];

    assert_memory_equal(text + q->len - 4, "\r\n\r\n", 4);
    r.method = strtok_r(text, " ", &save);
    target = strtok_r(NULL, " ", &save);
    strcpy(target_out, target);
    assert_string_equal(strtok_r(NULL, "\r\n", &save), "HTTP/1.1");
    for (char *line; (line = strtok_r(NULL, "\r\n", &save)) != NULL;) {
        char *colon = strchr(line, ':');
        assert_non_null(colon);
        *colon = '\0';
        headers[r.header_count].name = line;
        headers[r.header_count++].value = colon + 2;
    }
    query = strchr(target, '?');
    if (query != NULL) {
        *query = '\0';
        r.query = query + 1;
    }
    r.path = target;
    status = sigv4_parse(&r, &auth, NULL);
    if (status == SIGV4_OK) {
        sigv4_signing_key("secret", auth.date, "us-east-1", "s3", key);
        status = sigv4_verify(&r, &auth, "us-east-1", key, now_ms, NULL);
    }
    free(text);
    return status;
}

static void a_put_is_signed_for_every_number(void **state)
{
    struct load_request r;
    char target[256];

    (void)state;
    load_request_init(&r, &identity, "PUT", "/bucket/pre-fix/", true, "",
                      "UNSIGNED-PAYLOAD", 4096, NOW_MS);
    load_request_set(&r, 0);
    assert_int_equal(judge(&r, NOW_MS, target), SIGV4_OK);
    assert_string_equal(target, "/bucket/pre-fix/0000000000");
    load_request_set(&r, 9876543210);
    assert_int_equal(judge(&r, NOW_MS, target), SIGV4_OK);
    assert_string_equal(target, "/bucket/pre-fix/9876543210");
    assert_non_null(strstr(r.text, "\r\nContent-Length: 4096\r\n"));
}

static void a_listing_is_signed_with_its_query(void **state)
{
    struct load_request r;
    char target[256];

    (void)state;
    load_request_init(&r, &identity, "GET", "/bucket", false,
                      "list-type=2&max-keys=1000", EMPTY_SHA256, 0, NOW_MS);
    load_request_set(&r, 7);
    assert_int_equal(judge(&r, NOW_MS, target), SIGV4_OK);
    assert_string_equal(target, "/bucket?list-type=2&max-keys=1000");
    assert_null(strstr(r.text, "Content-Length"));
}

static void another_second_is_signed_anew(void **state)
{
    uint64_t later_ms = NOW_MS + 20 * 60 * 1000;
    struct load_request r;
    char target[256];

    (void)state;
    load_request_init(&r, &identity, "DELETE", "/b/", true, "", EMPTY_SHA256, 0,
                      NOW_MS);
    load_request_set(&r, 1);
    assert_int_equal(judge(&r, later_ms, target), SIGV4_SKEWED);
    load_request_set_time(&r, later_ms);
    assert_int_equal(judge(&r, later_ms, target), SIGV4_MISMATCH);
    load_request_set(&r, 1);
    assert_int_equal(judge(&r, later_ms, target), SIGV4_OK);
}

static void a_changed_byte_is_seen(void **state)
{
    struct load_request r;
    char target[256];

    (void)state;
    load_request_init(&r, &identity, "GET", "/b/", true, "", EMPTY_SHA256, 0,
                      NOW_MS);
    load_request_set(&r, 1);
    r.text[r.number_at + 9] = '2';
    assert_int_equal(judge(&r, NOW_MS, target), SIGV4_MISMATCH);
}

static void unsigned_requests_carry_no_names(void **state)
{
    struct load_identity id = identity;
    struct load_request r;
    char target[256];

    (void)state;
    id.unsigned_requests = true;
    id.access_key = id.secret_key = id.region = NULL;
    load_request_init(&r, &id, "GET", "/b/", true, "", EMPTY_SHA256, 0, NOW_MS);
    load_request_set_time(&r, NOW_MS + 1000);
    load_request_set(&r, 12);
    assert_int_equal(judge(&r, NOW_MS, target), SIGV4_ANONYMOUS);
    assert_string_equal(target, "/b/0000000012");
    assert_null(strstr(r.text, "X-Amz"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_put_is_signed_for_every_number),
        cmocka_unit_test(a_listing_is_signed_with_its_query),
        cmocka_unit_test(another_second_is_signed_anew),
        cmocka_unit_test(a_changed_byte_is_seen),
        cmocka_unit_test(unsigned_requests_carry_no_names),
    };

    return cmocka_run_group_tests_name("load_request", tests, NULL, NULL);
}
