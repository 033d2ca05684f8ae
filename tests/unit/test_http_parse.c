/* test_http_parse.c: heads and chunked bodies, read strictly.
 *
 * Goal: what is well formed is read, what two readers could read in two ways is
 * refused with the right status. Method: tables of heads; bodies fed in runs of
 * every length.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "edge-agent/http_parse.h"

static int parse(const char *text, struct http_head *h, int *status)
{
    static char copy[HTTP_HEAD_MAX];
    size_t len = strlen(text);

    assert_int_equal(http_head_end(text, len), len);
    memcpy(copy, text, len + 1);
    return http_head_parse(copy, len, h, status, NULL);
}

static void a_head_is_read(void **state)
{
    struct http_head h;
    int status = 0;

    (void)state;
    assert_int_equal(parse("PUT /a/b%20c?x=1&y HTTP/1.1\r\nHost: h\r\n"
                           "Content-Length: 12\r\nX-Empty:\r\n"
                           "x-amz-meta-A: \t two  words \r\n"
                           "Expect: 100-Continue\r\n\r\n",
                           &h, &status),
                     0);
    assert_string_equal(h.method, "PUT");
    assert_string_equal(h.path, "/a/b%20c");
    assert_string_equal(h.query, "x=1&y");
    assert_true(h.has_length && !h.chunked && h.keep_alive &&
                h.expect_continue);
    assert_int_equal(h.content_length, 12);
    assert_string_equal(http_field(&h, "X-AMZ-META-a"), "two  words");
    assert_string_equal(http_field(&h, "x-empty"), "");
    assert_null(http_field(&h, "x-other"));
}

static void connections_live_as_their_version_says(void **state)
{
    struct http_head h;
    int status = 0;

    (void)state;
    assert_int_equal(
        parse("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", &h,
              &status),
        0);
    assert_false(h.keep_alive);
    assert_int_equal(parse("GET / HTTP/1.0\r\n\r\n", &h, &status), 0);
    assert_false(h.keep_alive);
    assert_int_equal(
        parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &h, &status),
        0);
    assert_true(h.keep_alive);
}

static void what_is_malformed_is_refused(void **state)
{
    static const struct {
        const char *text;
        int status;
    } rows[] = {
        {"GET /\r\nHost: h\r\n\r\n", 400},
        {"\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
        {"GET / FTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"G(T / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"GET /\x80 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", 400},
        {"GET / HTTP/1.1\nHost: h\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\r\nnocolon\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: h\r\nA: \x01\r\n\r\n", 400},
        {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n"
         "Content-Length: 1\r\n\r\n",
         400},
        {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\n", 400},
        {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1,1\r\n\r\n", 400},
        {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n"
         "Transfer-Encoding: chunked\r\n\r\n",
         400},
        {"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
        {"PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9999999999999\r\n\r\n",
         413},
        {"PUT / HTTP/1.1\r\nHost: h\r\nExpect: magic\r\n\r\n", 417},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_head h;
        int status = 0;
        if (parse(rows[i].text, &h, &status) != ERR_BAD_INPUT ||
            status != rows[i].status) {
            fail_msg("row %zu: status %d", i, status);
        }
    }
}

static void more_fields_than_fit_are_refused(void **state)
{
    char text[HTTP_HEAD_MAX] = "GET / HTTP/1.1\r\nHost: h\r\n";
    struct http_head h;
    int status = 0;

    (void)state;
    for (int i = 0; i < HTTP_FIELDS_MAX; i++) {
        strcat(text, "a: b\r\n");
    }
    strcat(text, "\r\n");
    assert_int_equal(parse(text, &h, &status), ERR_BAD_INPUT);
    assert_int_equal(status, 431);
}

/* Feed @text in runs of @run bytes; gives the code, and the body. */
static int chunks(const char *text, size_t run, char *body, size_t *left)
{
    struct http_chunks c = {0};
    size_t len = strlen(text), at = 0, n = 0;
    bool end = false;
    int code = 0;

    while (code == 0 && !end && at < len) {
        size_t used, data_len, have = len - at < run ? len - at : run;
        const uint8_t *data;
        code = http_chunks_read(&c, (const uint8_t *)text + at, have, &used,
                                &data, &data_len, &end, NULL);
        if (data_len > 0) {
            memcpy(body + n, data, data_len);
            n += data_len;
        }
        at += used;
    }
    body[n] = '\0';
    *left = len - at;
    return code != 0 ? code : end ? 0 : -1;
}

static void chunks_become_a_body_however_they_come(void **state)
{
    static const char text[] =
        "5\r\nhello\r\n1;ext=\"x\"\r\n \r\nA\r\n"
        "world12345\r\n0\r\nTrailer: x\r\n\r\nNEXT";
    char body[64];
    size_t left;

    (void)state;
    for (size_t run = 1; run < sizeof text; run++) {
        assert_int_equal(chunks(text, run, body, &left), 0);
        assert_string_equal(body, "hello world12345");
        assert_int_equal(left, 4);
    }
    assert_int_equal(chunks("5\r\nhel", 3, body, &left), -1);
}

static void bad_chunks_are_refused(void **state)
{
    static const struct {
        const char *text;
        int code;
    } rows[] = {
        {"\r\n", ERR_BAD_INPUT},
        {"x\r\n", ERR_BAD_INPUT},
        {"-1\r\n", ERR_BAD_INPUT},
        {"0x5\r\nhello\r\n", ERR_BAD_INPUT},
        {" 5\r\nhello\r\n", ERR_BAD_INPUT},
        {"5\nhello", ERR_BAD_INPUT},
        {"5\r\nhelloX\r\n", ERR_BAD_INPUT},
        {"5\r\nhello\n\n", ERR_BAD_INPUT},
        {"5\rxhello", ERR_BAD_INPUT},
        {"ffffffffffffffff\r\n", ERR_LIMIT},
        {"10000000000\r\n", ERR_LIMIT},
        {"0\r\nA: \x01\r\n\r\n", ERR_BAD_INPUT},
    };
    char body[64], longest[HTTP_CHUNK_LINE_MAX + 8];
    size_t left;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (chunks(rows[i].text, 7, body, &left) != rows[i].code) {
            fail_msg("row %zu", i);
        }
    }
    memset(longest, 'x', sizeof longest);
    memcpy(longest, "5;", 2);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(chunks(longest, 100, body, &left), ERR_LIMIT);
}

static void trailers_have_a_bound(void **state)
{
    size_t lines = HTTP_TRAILER_MAX / 8 + 2;
    char *text = calloc(1, 16 + lines * 10);
    char body[8];
    size_t left;

    (void)state;
    strcpy(text, "0\r\n");
    for (size_t i = 0; i < lines; i++) {
        memcpy(text + 3 + i * 10, "A: 12345\r\n", 10);
    }
    assert_int_equal(chunks(text, 1000, body, &left), ERR_LIMIT);
    free(text);
}

static int parse_reply(const char *text, struct http_head *h, int *status)
{
    static char copy[HTTP_HEAD_MAX];
    size_t len = strlen(text);

    memcpy(copy, text, len + 1);
    return http_reply_parse(copy, len, h, status, NULL);
}

static void an_answer_is_read(void **state)
{
    struct http_head h;
    int status = 0;

    (void)state;
    assert_int_equal(parse_reply("HTTP/1.1 503 Slow Down\r\nDate: x\r\n"
                                 "Content-Length: 7\r\n\r\n",
                                 &h, &status),
                     0);
    assert_int_equal(status, 503);
    assert_true(h.has_length && h.content_length == 7 && h.keep_alive);
    assert_string_equal(http_field(&h, "date"), "x");
    assert_null(h.method);
    assert_int_equal(
        parse_reply("HTTP/1.1 204\r\nConnection: close\r\n\r\n", &h, &status),
        0);
    assert_true(status == 204 && !h.keep_alive && !h.has_length);
    assert_int_equal(parse_reply("HTTP/1.0 200 OK\r\n\r\n", &h, &status), 0);
    assert_false(h.keep_alive);
}

static void bad_answers_are_refused(void **state)
{
    static const char *const bad[] = {
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 099 Low\r\n\r\n",
        "HTTP/1.1 600 High\r\n\r\n",
        "HTTP/1.1 +20 OK\r\n\r\n",
        "HTTP/1.1 200OK\r\n\r\n",
        "HTTP/1.1 20\r\n\r\n",
        "HTTP/1.1 200 O\001K\r\n\r\n",
        "HTTP/1.1 200 OK\nA: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
        "Transfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "\r\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct http_head h;
        int status = -1;
        assert_int_equal(parse_reply(bad[i], &h, &status), ERR_BAD_INPUT);
        assert_int_equal(status, -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_is_read),
        cmocka_unit_test(connections_live_as_their_version_says),
        cmocka_unit_test(what_is_malformed_is_refused),
        cmocka_unit_test(more_fields_than_fit_are_refused),
        cmocka_unit_test(chunks_become_a_body_however_they_come),
        cmocka_unit_test(bad_chunks_are_refused),
        cmocka_unit_test(trailers_have_a_bound),
        cmocka_unit_test(an_answer_is_read),
        cmocka_unit_test(bad_answers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
