/* test_load.c: the load generator counts what happens, no more and no less.
 *
 * Goal: requests, bytes, refusals and lost connections are told as they were;
 * a bounded run asks for each number once; latencies land in their buckets.
 * Method: one connection against answers that the test wrote down; the buckets
 * by arithmetic.
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
#include "cli/load.h"
#include "client/http_conn.h"
#include "tests/lib/canned_server.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define FIVE "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"

static int run(const struct canned_reply *replies, size_t count,
               enum load_op op, uint64_t size, uint64_t requests,
               struct canned_server **server, struct load_result *r)
{
    struct canned_server *s = canned_start(replies, count);
    struct http_endpoint e;
    struct load_options o = {.endpoint = &e,
                             .identity = {.access_key = "AK",
                                          .secret_key = "secret",
                                          .region = "us-east-1"},
                             .op = op,
                             .bucket = "b",
                             .prefix = "p/",
                             .size = size,
                             .connections = 1,
                             .threads = 1,
                             .requests = requests};
    int rc;

    assert_int_equal(http_endpoint_parse(canned_endpoint(s), &e, NULL), 0);
    o.identity.authority = e.authority;
    rc = load_run(&o, r, NULL);
    http_endpoint_free(&e);
    *server = s;
    return rc;
}

static void gets_are_counted_and_numbered(void **state)
{
    const struct canned_reply replies[] = {
        {.text = FIVE}, {.text = FIVE, .bytewise = true}, {.text = FIVE}};
    struct load_result *r = calloc(1, sizeof *r);
    struct canned_server *s;

    (void)state;
    assert_int_equal(run(replies, 3, LOAD_GET, 5, 3, &s, r), 0);
    assert_int_equal(r->requests, 3);
    assert_int_equal(r->errors, 0);
    assert_int_equal(r->bytes, 15);
    assert_int_equal(canned_connections(s), 1);
    assert_non_null(strstr(canned_request(s, 0), "GET /b/p/0000000000 "));
    assert_non_null(strstr(canned_request(s, 2), "GET /b/p/0000000002 "));
    canned_stop(s);
    free(r);
}

static void puts_send_their_bodies(void **state)
{
    static const uint64_t sizes[] = {0, 1, 4096, 300000};

    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        const struct canned_reply reply = {
            .text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"};
        struct load_result *r = calloc(1, sizeof *r);
        struct canned_server *s;
        char length[64];
        assert_int_equal(run(&reply, 1, LOAD_PUT, sizes[i], 1, &s, r), 0);
        assert_int_equal(r->requests, 1);
        assert_int_equal(r->bytes, sizes[i]);
        snprintf(length, sizeof length, "\r\nContent-Length: %llu\r\n",
                 (unsigned long long)sizes[i]);
        assert_non_null(strstr(canned_request(s, 0), length));
        canned_stop(s);
        free(r);
    }
}

static void refusals_and_wrong_sizes_are_errors(void **state)
{
    const struct canned_reply replies[] = {
        {.text = "HTTP/1.1 503 Slow\r\nContent-Length: 2\r\n\r\nno"},
        {.text = FIVE},
        {.text = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell"},
    };
    struct load_result *r = calloc(1, sizeof *r);
    struct canned_server *s;

    (void)state;
    assert_int_equal(run(replies, 3, LOAD_GET, 5, 3, &s, r), 0);
    assert_int_equal(r->requests, 1);
    assert_int_equal(r->errors, 2);
    assert_int_equal(r->bytes, 5);
    assert_string_equal(r->first_error, "the server answered 503");
    canned_stop(s);
    free(r);
}

static void lost_connections_are_errors_and_replaced(void **state)
{
    const struct canned_reply replies[] = {
        {.text = FIVE, .close = true}, /* without saying so before */
        {.text = NULL},
        {.text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: "
                 "close\r\n\r\nhello",
         .close = true},
        {.text = "nonsense\r\n\r\n", .close = true},
        {.text = FIVE},
        {.text = FIVE},
        {.text = FIVE},
        {.text = FIVE},
    };
    struct load_result *r = calloc(1, sizeof *r);
    struct canned_server *s;

    (void)state;
    assert_int_equal(run(replies, COUNT(replies), LOAD_GET, 5, 6, &s, r), 0);
    assert_int_equal(r->requests + r->errors, 6);
    assert_true(r->requests >= 3);
    assert_true(r->errors >= 2);
    canned_stop(s);
    free(r);
}

static void no_server_is_unavailable(void **state)
{
    struct http_endpoint e;
    struct load_options o = {.endpoint = &e,
                             .identity = {.unsigned_requests = true},
                             .op = LOAD_GET,
                             .bucket = "b",
                             .prefix = "",
                             .connections = 2,
                             .threads = 2,
                             .requests = 1};
    struct load_result *r = calloc(1, sizeof *r);
    struct err err;

    (void)state;
    assert_int_equal(http_endpoint_parse("http://127.0.0.1:1", &e, NULL), 0);
    o.identity.authority = e.authority;
    assert_int_equal(load_run(&o, r, &err), ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "127.0.0.1:1"));
    http_endpoint_free(&e);
    free(r);
}

static void buckets_are_fine_and_rise(void **state)
{
    unsigned before = 0;

    (void)state;
    for (uint64_t us = 0; us < 100000; us++) {
        unsigned b = load_bucket(us);
        uint64_t middle = load_bucket_us(b);
        uint64_t off = middle > us ? middle - us : us - middle;
        assert_true(b == before || b == before + 1);
        assert_true(off * 32 <= us);
        before = b;
    }
    for (unsigned shift = 0; shift < 64; shift++) {
        assert_true(load_bucket((uint64_t)1 << shift) < LOAD_BUCKETS);
    }
    assert_true(load_bucket(UINT64_MAX) < LOAD_BUCKETS);
}

static void percentiles_are_those_of_the_counts(void **state)
{
    struct load_result *r = calloc(1, sizeof *r);

    (void)state;
    assert_int_equal(load_percentile(r, 0.5), 0);
    for (uint64_t us = 1; us <= 1000; us++) {
        r->buckets[load_bucket(us)]++;
        r->requests++;
        r->max_us = us;
    }
    assert_in_range(load_percentile(r, 0.5), 480, 520);
    assert_in_range(load_percentile(r, 0.99), 960, 1000);
    assert_in_range(load_percentile(r, 1.0), 985, 1000);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gets_are_counted_and_numbered),
        cmocka_unit_test(puts_send_their_bodies),
        cmocka_unit_test(refusals_and_wrong_sizes_are_errors),
        cmocka_unit_test(lost_connections_are_errors_and_replaced),
        cmocka_unit_test(no_server_is_unavailable),
        cmocka_unit_test(buckets_are_fine_and_rise),
        cmocka_unit_test(percentiles_are_those_of_the_counts),
    };

    return cmocka_run_group_tests_name("load", tests, NULL, NULL);
}
