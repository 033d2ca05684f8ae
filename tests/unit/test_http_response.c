/* test_http_response.c: the strict parser of heads and bodies.
 *
 * Goal: what RFC 9112 allows is read right however it is split; what it forbids
 * is ERR_CORRUPT and leaves nothing behind.
 * Method: tables of good and bad heads and bodies; every body split in two at
 * each byte, and given byte by byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "client/http_response.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define OK "HTTP/1.1 200 OK\r\n"

static void expect_refused(const char *head, size_t len, const char *why)
{
    struct http_response r = {0};
    struct err err = {{0}};
    int rc = http_response_parse(&r, head, len, &err);

    if (rc != ERR_CORRUPT || strstr(err.text, why) == NULL) {
        fail_msg("\"%.60s\": %s: %s", head, err_name(rc), err.text);
    }
    assert_null(r.text);
    assert_int_equal(r.status, 0);
}

static void a_plain_head_is_read(void **state)
{
    static const char head[] =
        OK "Content-Length: 12\r\nETag:\t\"abc\" \r\nX-Empty:\r\n\r\n";
    struct http_response r = {0};

    (void)state;
    assert_int_equal(http_response_parse(&r, head, sizeof head - 1, NULL), 0);
    assert_int_equal(r.status, 200);
    assert_true(r.keep_alive);
    assert_true(r.has_length);
    assert_int_equal(r.length, 12);
    assert_false(r.chunked);
    assert_string_equal(http_response_header(&r, "etag"), "\"abc\"");
    assert_string_equal(http_response_header(&r, "X-EMPTY"), "");
    assert_null(http_response_header(&r, "x-none"));
    http_response_free(&r);
    assert_null(r.text);
}

static void connections_end_when_they_must(void **state)
{
    static const struct {
        const char *head;
        bool keep_alive;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\n\r\n", true},
        {"HTTP/1.1 200\r\n\r\n", true},
        {"HTTP/1.0 200 OK\r\n\r\n", false},
        {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", true},
        {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", false},
        {"HTTP/1.1 200 OK\r\nConnection: Close\r\n\r\n", false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct http_response r = {0};
        assert_int_equal(
            http_response_parse(&r, cases[i].head, strlen(cases[i].head), NULL),
            0);
        assert_int_equal(r.keep_alive, cases[i].keep_alive);
        http_response_free(&r);
    }
}

static void bad_heads_are_refused(void **state)
{
    static const struct {
        const char *head;
        const char *why;
    } cases[] = {
        {"\r\n\r\n", "status line"},
        {"HTTP/2 200 OK\r\n\r\n", "status line"},
        {"HTTP/1.2 200 OK\r\n\r\n", "status line"},
        {"http/1.1 200 OK\r\n\r\n", "status line"},
        {"HTTP/1.1\t200 OK\r\n\r\n", "status line"},
        {"ICY 200 OK\r\n\r\n", "status line"},
        {"HTTP/1.1 20 OK\r\n\r\n", "three digits"},
        {"HTTP/1.1 2000 OK\r\n\r\n", "three digits"},
        {"HTTP/1.1 2x0 OK\r\n\r\n", "three digits"},
        {"HTTP/1.1 -20 OK\r\n\r\n", "three digits"},
        {"HTTP/1.1 099 OK\r\n\r\n", "out of range"},
        {"HTTP/1.1 600 OK\r\n\r\n", "out of range"},
        {OK "A: b\nC: d\r\n\r\n", "CR LF"},
        {OK "A: b\rC: d\r\n\r\n", "CR LF"},
        {OK "A b\r\n\r\n", "token"},
        {OK ": b\r\n\r\n", "token"},
        {OK "A : b\r\n\r\n", "token"},
        {OK " folded: b\r\n\r\n", "token"},
        {OK "A: b\r\n more\r\n\r\n", "token"},
        {OK "A(: b\r\n\r\n", "token"},
        {OK "A: b\x01\r\n\r\n", "control"},
        {OK "A: b\x7f\r\n\r\n", "control"},
        {OK "Content-Length: x\r\n\r\n", "not a number"},
        {OK "Content-Length: -1\r\n\r\n", "not a number"},
        {OK "Content-Length: 1, 1\r\n\r\n", "not a number"},
        {OK "Content-Length:\r\n\r\n", "not a number"},
        {OK "Content-Length: 18446744073709551616\r\n\r\n", "not a number"},
        {OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "differs"},
        {OK "Transfer-Encoding: gzip\r\n\r\n", "chunked"},
        {OK "Transfer-Encoding: gzip, chunked\r\n\r\n", "chunked"},
        {OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
         "chunked"},
        {OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
         "with Transfer-Encoding"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        expect_refused(cases[i].head, strlen(cases[i].head), cases[i].why);
    }
    expect_refused("HTTP/1.1 200 \0K\r\n\r\n", 19, "NUL");
}

static void the_same_length_twice_is_one_length(void **state)
{
    static const char head[] =
        OK "Content-Length: 7\r\nContent-Length: 7\r\n\r\n";
    struct http_response r = {0};

    (void)state;
    assert_int_equal(http_response_parse(&r, head, sizeof head - 1, NULL), 0);
    assert_int_equal(r.length, 7);
    http_response_free(&r);
}

static void bounds_of_a_head_hold(void **state)
{
    struct buf b = {0};
    struct http_response r = {0};

    (void)state;
    buf_str(&b, OK);
    for (unsigned i = 0; i < HTTP_HEADERS_MAX; i++) {
        buf_printf(&b, "h%u: v\r\n", i);
    }
    buf_str(&b, "\r\n");
    assert_int_equal(http_response_parse(&r, b.data, b.len, NULL), 0);
    assert_int_equal(r.header_count, HTTP_HEADERS_MAX);
    http_response_free(&r);
    b.len -= 2;
    buf_str(&b, "one: more\r\n\r\n");
    expect_refused((char *)b.data, b.len, "too many");
    buf_clear(&b);
    buf_str(&b, OK "long: ");
    for (size_t i = 0; i < HTTP_HEAD_MAX; i++) {
        buf_char(&b, 'x');
    }
    buf_str(&b, "\r\n\r\n");
    expect_refused((char *)b.data, b.len, "64 KiB");
    buf_free(&b);
}

static void the_end_of_a_head_is_found(void **state)
{
    (void)state;
    assert_int_equal(http_response_head_end("abc\r\n\r\nbody", 11), 7);
    assert_int_equal(http_response_head_end("abc\r\n\r", 6), 0);
    assert_int_equal(http_response_head_end("", 0), 0);
    assert_int_equal(http_response_head_end("a\n\n", 3), 0);
}

/* ---- bodies ---- */

/* Decode @in in steps of @first, then @rest bytes; gives rc and payload. */
static int decode(const char *head, const char *method, const char *in,
                  size_t len, size_t first, size_t rest, struct buf *out,
                  struct http_body *b)
{
    struct http_response r = {0};
    struct err err = {{0}};
    size_t at = 0;
    size_t step = first;

    assert_int_equal(http_response_parse(&r, head, strlen(head), NULL), 0);
    http_body_init(b, &r, method);
    http_response_free(&r);
    while (at < len && b->state != HTTP_BODY_DONE) {
        size_t end = at + step < len ? at + step : len;
        while (at < end && b->state != HTTP_BODY_DONE) {
            const uint8_t *p;
            size_t p_len;
            size_t n = end - at;
            int rc = http_body_decode(b, (const uint8_t *)in + at, &n, &p,
                                      &p_len, &err);
            if (rc != 0) {
                return rc;
            }
            assert_true(n > 0 && n <= end - at);
            assert_true(p_len <= n);
            buf_append(out, p, p_len);
            at += n;
        }
        step = rest;
    }
    return http_body_end(b, &err);
}

static void expect_body(const char *head, const char *in, const char *payload)
{
    size_t len = strlen(in);

    for (size_t split = 1; split <= len; split++) {
        struct http_body b;
        struct buf out = {0};
        int rc = decode(head, "GET", in, len, split, len, &out, &b);
        if (rc != 0 || out.len != strlen(payload) ||
            (out.len > 0 && memcmp(out.data, payload, out.len) != 0)) {
            fail_msg("\"%s\" split at %zu: %s, %zu bytes", in, split,
                     err_name(rc), out.len);
        }
        buf_clear(&out);
        assert_int_equal(decode(head, "GET", in, len, 1, 1, &out, &b), 0);
        assert_int_equal(out.len, strlen(payload));
        buf_free(&out);
    }
}

#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"

static void bodies_are_read_however_they_are_split(void **state)
{
    (void)state;
    expect_body(OK "Content-Length: 5\r\n\r\n", "hello", "hello");
    expect_body(OK "\r\n", "until the end", "until the end");
    expect_body(CHUNKED, "5\r\nhello\r\n0\r\n\r\n", "hello");
    expect_body(CHUNKED, "1\r\na\r\n00A\r\n0123456789\r\n0\r\n\r\n",
                "a0123456789");
    expect_body(CHUNKED, "5;name=value\r\nhello\r\n0;x\r\nTrail: er\r\n\r\n",
                "hello");
    expect_body(CHUNKED, "0\r\n\r\n", "");
}

static void bad_chunks_are_refused(void **state)
{
    static const char *const cases[] = {
        "\r\nhello\r\n0\r\n\r\n", "x\r\n",
        "-5\r\nhello\r\n",        "0x5\r\nhello\r\n",
        "5 \r\nhello\r\n",        "5\nhello\r\n",
        "5\r\nhelloX\r\n",        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\rX0\r\n\r\n", "10000000000000000\r\n",
        "5;a\rb\r\nhello\r\n",    "0\r\nTrail: er\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t len = strlen(cases[i]);
        for (size_t split = 1; split <= len; split++) {
            struct http_body b;
            struct buf out = {0};
            int rc =
                decode(CHUNKED, "GET", cases[i], len, split, len, &out, &b);
            if (rc != ERR_CORRUPT) {
                fail_msg("case %zu split at %zu: %s", i, split, err_name(rc));
            }
            buf_free(&out);
        }
    }
}

static void bounds_of_chunk_lines_and_trailers_hold(void **state)
{
    struct http_body b;
    struct buf in = {0};
    struct buf out = {0};

    (void)state;
    buf_str(&in, "5;");
    for (unsigned i = 0; i < HTTP_CHUNK_LINE_MAX; i++) {
        buf_char(&in, 'x');
    }
    assert_int_equal(
        decode(CHUNKED, "GET", (char *)in.data, in.len, 7, 7, &out, &b),
        ERR_CORRUPT);
    buf_clear(&in);
    buf_str(&in, "0\r\n");
    while (in.len <= HTTP_TRAILERS_MAX + 64) {
        buf_str(&in, "a: trailing header of some bytes\r\n");
    }
    buf_str(&in, "\r\n");
    assert_int_equal(
        decode(CHUNKED, "GET", (char *)in.data, in.len, 7, 7, &out, &b),
        ERR_CORRUPT);
    buf_free(&in);
    buf_free(&out);
}

static void a_body_that_ends_early_is_told(void **state)
{
    static const struct {
        const char *head;
        const char *in;
    } cases[] = {
        {OK "Content-Length: 5\r\n\r\n", "hell"},
        {CHUNKED, "5\r\nhell"},
        {CHUNKED, "5\r\nhello"},
        {CHUNKED, "5\r\nhello\r\n"},
        {CHUNKED, "5\r\nhello\r\n0\r\n"},
        {CHUNKED, "5"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct http_body b;
        struct buf out = {0};
        assert_int_equal(decode(cases[i].head, "GET", cases[i].in,
                                strlen(cases[i].in), 3, 1, &out, &b),
                         ERR_CLOSED);
        buf_free(&out);
    }
}

static void answers_without_a_body_have_none(void **state)
{
    static const struct {
        const char *head;
        const char *method;
    } cases[] = {
        {OK "Content-Length: 5\r\n\r\n", "HEAD"},
        {"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", "DELETE"},
        {"HTTP/1.1 304 Not\r\nContent-Length: 5\r\n\r\n", "GET"},
        {"HTTP/1.1 100 Go\r\n\r\n", "PUT"},
        {OK "Content-Length: 0\r\n\r\n", "GET"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct http_response r = {0};
        struct http_body b;
        const uint8_t *p;
        size_t p_len;
        size_t n = 4;
        assert_int_equal(
            http_response_parse(&r, cases[i].head, strlen(cases[i].head), NULL),
            0);
        http_body_init(&b, &r, cases[i].method);
        assert_int_equal(b.state, HTTP_BODY_DONE);
        assert_int_equal(
            http_body_decode(&b, (const uint8_t *)"next", &n, &p, &p_len, NULL),
            0);
        assert_int_equal(n, 0); /* it belongs to the next answer */
        assert_int_equal(http_body_end(&b, NULL), 0);
        http_response_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_head_is_read),
        cmocka_unit_test(connections_end_when_they_must),
        cmocka_unit_test(bad_heads_are_refused),
        cmocka_unit_test(the_same_length_twice_is_one_length),
        cmocka_unit_test(bounds_of_a_head_hold),
        cmocka_unit_test(the_end_of_a_head_is_found),
        cmocka_unit_test(bodies_are_read_however_they_are_split),
        cmocka_unit_test(bad_chunks_are_refused),
        cmocka_unit_test(bounds_of_chunk_lines_and_trailers_hold),
        cmocka_unit_test(a_body_that_ends_early_is_told),
        cmocka_unit_test(answers_without_a_body_have_none),
    };

    return cmocka_run_group_tests_name("http_response", tests, NULL, NULL);
}
