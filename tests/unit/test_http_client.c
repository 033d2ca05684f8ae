/* test_http_client.c: requests and answers over real sockets.
 *
 * Goal: bodies go and come whole both ways; connections are kept and replaced;
 * every way an answer can be broken gives its error and hangs nobody.
 * Method: a server in this process that says what the test wrote down, also
 * byte by byte; the requests as it got them are compared.
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
#include "client/http_client.h"
#include "tests/lib/canned_server.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define OK "HTTP/1.1 200 OK\r\n"
#define HELLO OK "Content-Length: 5\r\n\r\nhello"

static struct http_client *client_of(struct canned_server *s)
{
    struct http_client_options o = {.endpoint = canned_endpoint(s),
                                    .io_timeout_ms = 10000};
    struct http_client *c;

    assert_int_equal(http_client_new(&o, &c, NULL), 0);
    return c;
}

static void expect_body(const struct http_response *r, const char *body)
{
    assert_int_equal(r->body.len, strlen(body));
    assert_memory_equal(r->body.data, body, strlen(body));
}

static void a_get_gathers_its_body_and_keeps_the_connection(void **state)
{
    const struct canned_reply replies[] = {
        {.text = HELLO},
        {.text = OK "Transfer-Encoding: chunked\r\n\r\n"
                    "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"},
        {.text = HELLO, .bytewise = true},
        {.text = "HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\ngone"},
        {.text = OK "Content-Length: 99\r\n\r\n"}, /* to HEAD */
        {.text = HELLO},
    };
    static const char *const methods[] = {"GET", "GET",  "GET",
                                          "GET", "HEAD", "GET"};
    static const char *const bodies[] = {"hello", "hello", "hello",
                                         "gone",  "",      "hello"};
    struct http_header headers[] = {{"x-test", "a value"}};
    struct canned_server *s = canned_start(replies, COUNT(replies));
    struct http_client *c = client_of(s);

    (void)state;
    for (size_t i = 0; i < COUNT(replies); i++) {
        struct http_request q = {.method = methods[i],
                                 .target = "/b/k?x=y",
                                 .headers = headers,
                                 .header_count = 1};
        struct http_response r = {0};
        assert_int_equal(http_client_request(c, &q, &r, NULL), 0);
        expect_body(&r, bodies[i]);
        http_response_free(&r);
    }
    assert_int_equal(canned_connections(s), 1);
    assert_ptr_equal(strstr(canned_request(s, 0), "GET /b/k?x=y HTTP/1.1\r\n"),
                     canned_request(s, 0));
    assert_non_null(strstr(canned_request(s, 0), "\r\nx-test: a value\r\n"));
    assert_non_null(strstr(canned_request(s, 0), "\r\nHost: 127.0.0.1:"));
    assert_null(strstr(canned_request(s, 0), "Content-Length"));
    http_client_free(c);
    canned_stop(s);
}

struct stream {
    const char *data;
    size_t len, at, step;
    int fail;
};

static int read_stream(void *arg, void *p, size_t max, size_t *len,
                       struct err *err)
{
    struct stream *s = arg;
    size_t n = s->len - s->at;

    if (s->fail != 0 && s->at >= s->len / 2) {
        return err_set(err, s->fail, "as told");
    }
    n = n < s->step ? n : s->step;
    n = n < max ? n : max;
    memcpy(p, s->data + s->at, n);
    s->at += n;
    *len = n;
    return 0;
}

static void bodies_go_out_from_memory_and_from_a_stream(void **state)
{
    const struct canned_reply replies[] = {
        {.text = HELLO}, {.text = HELLO}, {.text = HELLO}, {.text = HELLO}};
    struct canned_server *s = canned_start(replies, COUNT(replies));
    struct http_client *c = client_of(s);
    char data[20000];
    struct stream stream = {.data = data, .len = sizeof data, .step = 777};
    struct http_request q = {.method = "PUT", .target = "/k"};
    struct http_response r = {0};
    const char *seen;

    (void)state;
    memset(data, 'z', sizeof data);
    q.body = data;
    q.body_len = sizeof data;
    assert_int_equal(http_client_request(c, &q, &r, NULL), 0);
    http_response_free(&r);
    seen = canned_request(s, 0);
    assert_non_null(strstr(seen, "\r\nContent-Length: 20000\r\n"));
    assert_memory_equal(strstr(seen, "\r\n\r\n") + 4, data, sizeof data);

    q = (struct http_request){.method = "PUT",
                              .target = "/k",
                              .body_read = read_stream,
                              .body_arg = &stream,
                              .body_size = sizeof data};
    assert_int_equal(http_client_request(c, &q, &r, NULL), 0);
    http_response_free(&r);
    seen = canned_request(s, 1);
    assert_memory_equal(strstr(seen, "\r\n\r\n") + 4, data, sizeof data);

    stream.at = 0;
    q.body_size = HTTP_SIZE_UNKNOWN;
    assert_int_equal(http_client_request(c, &q, &r, NULL), 0);
    http_response_free(&r);
    seen = canned_request(s, 2);
    assert_non_null(strstr(seen, "\r\nTransfer-Encoding: chunked\r\n"));
    assert_null(strstr(seen, "Content-Length"));
    assert_non_null(strstr(seen, "\r\n\r\n309\r\nzzz"));

    /* A PUT of nothing says so. */
    q = (struct http_request){.method = "PUT", .target = "/k"};
    assert_int_equal(http_client_request(c, &q, &r, NULL), 0);
    http_response_free(&r);
    assert_non_null(strstr(canned_request(s, 3), "\r\nContent-Length: 0\r\n"));
    assert_int_equal(canned_connections(s), 1);
    http_client_free(c);
    canned_stop(s);
}

static void a_broken_source_breaks_the_request(void **state)
{
    const struct canned_reply replies[] = {{.text = HELLO}};
    struct canned_server *s = canned_start(replies, COUNT(replies));
    struct http_client *c = client_of(s);
    char data[10000] = {0};
    struct stream stream = {
        .data = data, .len = sizeof data, .step = 1000, .fail = ERR_FULL};
    struct http_request q = {.method = "PUT",
                             .target = "/k",
                             .body_read = read_stream,
                             .body_arg = &stream,
                             .body_size = sizeof data};
    struct http_response r = {0};
    struct err err;

    (void)state;
    assert_int_equal(http_client_request(c, &q, &r, &err), ERR_FULL);
    assert_string_equal(err.text, "as told");
    stream = (struct stream){.data = data, .len = 10, .step = 10};
    assert_int_equal(http_client_request(c, &q, &r, &err), ERR_IO);
    assert_non_null(strstr(err.text, "ends before"));
    http_client_free(c);
    canned_stop(s);
}

static void a_large_body_waits_for_leave(void **state)
{
    size_t size = (size_t)HTTP_EXPECT_MIN + 5;
    const struct canned_reply replies[] = {
        {.text = HELLO, .go_on = true},
        {.text = "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno",
         .early = true,
         .close = true},
    };
    struct canned_server *s = canned_start(replies, COUNT(replies));
    struct http_client *c = client_of(s);
    char *data = mem_alloc(size);
    struct stream stream = {.data = data, .len = size, .step = 100000};
    struct http_request q = {.method = "PUT",
                             .target = "/k",
                             .body_read = read_stream,
                             .body_arg = &stream,
                             .body_size = size};
    struct http_response r = {0};

    (void)state;
    assert_int_equal(http_client_request(c, &q, &r, NULL), 0);
    assert_int_equal(r.status, 200);
    http_response_free(&r);
    assert_int_equal(stream.at, size);
    assert_non_null(
        strstr(canned_request(s, 0), "\r\nExpect: 100-continue\r\n"));
    /* Refused: not a byte of the body is read. */
    stream.at = 0;
    assert_int_equal(http_client_request(c, &q, &r, NULL), 0);
    assert_int_equal(r.status, 403);
    expect_body(&r, "no");
    http_response_free(&r);
    assert_int_equal(stream.at, 0);
    free(data);
    http_client_free(c);
    canned_stop(s);
}

struct sink {
    struct buf got;
    int fail;
};

static int take(void *arg, const struct http_response *r, const void *p,
                size_t len, struct err *err)
{
    struct sink *s = arg;

    assert_int_equal(r->status, 200);
    buf_append(&s->got, p, len);
    return s->fail != 0 ? err_set(err, s->fail, "full") : 0;
}

static void a_sink_hears_what_went_well_and_may_stop_it(void **state)
{
    const struct canned_reply replies[] = {
        {.text = HELLO},
        {.text = "HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\noops"},
        {.text = HELLO},
        {.text = HELLO},
    };
    struct canned_server *s = canned_start(replies, COUNT(replies));
    struct http_client *c = client_of(s);
    struct sink sink = {{0}, 0};
    struct http_request q = {
        .method = "GET", .target = "/k", .sink = take, .sink_arg = &sink};
    struct http_response r = {0};

    (void)state;
    assert_int_equal(http_client_request(c, &q, &r, NULL), 0);
    assert_int_equal(r.body.len, 0);
    assert_int_equal(sink.got.len, 5);
    http_response_free(&r);
    assert_int_equal(http_client_request(c, &q, &r, NULL), 0);
    expect_body(&r, "oops");
    assert_int_equal(sink.got.len, 5);
    http_response_free(&r);
    sink.fail = ERR_FULL;
    assert_int_equal(http_client_request(c, &q, &r, NULL), ERR_FULL);
    sink.fail = 0;
    /* The torn connection was not kept. */
    assert_int_equal(http_client_request(c, &q, &r, NULL), 0);
    http_response_free(&r);
    assert_int_equal(canned_connections(s), 2);
    buf_free(&sink.got);
    http_client_free(c);
    canned_stop(s);
}

static void broken_answers_have_their_errors(void **state)
{
    static char long_head[HTTP_HEAD_MAX + 100];
    const struct {
        struct canned_reply reply;
        int rc;
    } cases[] = {
        {{.text = "NONSENSE\r\n\r\n"}, ERR_CORRUPT},
        {{.text = "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"}, ERR_CORRUPT},
        {{.text = OK "Content-Length: 5\r\n\r\nhel", .close = true},
         ERR_CLOSED},
        {{.text = OK "Content-Le", .close = true}, ERR_CLOSED},
        {{.text = NULL}, ERR_CLOSED},
        {{.text = OK "Transfer-Encoding: chunked\r\n\r\nzz\r\n"}, ERR_CORRUPT},
        {{.text = OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
          .close = true},
         ERR_CLOSED},
        {{.text = long_head}, ERR_CORRUPT},
        {{.text = "HTTP/1.1 101 Up\r\n\r\n"}, ERR_CORRUPT},
        {{.text = "HTTP/1.1 100 a\r\n\r\nHTTP/1.1 100 a\r\n\r\n"
                  "HTTP/1.1 100 a\r\n\r\nHTTP/1.1 100 a\r\n\r\n"
                  "HTTP/1.1 100 a\r\n\r\nHTTP/1.1 100 a\r\n\r\n"
                  "HTTP/1.1 100 a\r\n\r\nHTTP/1.1 100 a\r\n\r\n"
                  "HTTP/1.1 100 a\r\n\r\n" HELLO},
         ERR_CORRUPT},
    };

    (void)state;
    memset(long_head, 'x', sizeof long_head - 1);
    memcpy(long_head, OK "X: ", strlen(OK "X: "));
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct canned_server *s = canned_start(&cases[i].reply, 1);
        struct http_client *c = client_of(s);
        struct http_request q = {.method = "GET", .target = "/k", .once = true};
        struct http_response r = {0};
        struct err err = {{0}};
        int rc = http_client_request(c, &q, &r, &err);
        if (rc != cases[i].rc || err.text[0] == '\0') {
            fail_msg("case %zu: %s: %s", i, err_name(rc), err.text);
        }
        assert_null(r.text);
        http_client_free(c);
        canned_stop(s);
    }
}

static void every_byte_may_be_the_last(void **state)
{
    static const char whole[] =
        OK "Content-Length: 5\r\nX-Other: value\r\n\r\nhello";

    (void)state;
    for (size_t len = 1; len < sizeof whole - 1; len++) {
        struct canned_reply reply = {.text = whole, .len = len, .close = true};
        struct canned_server *s = canned_start(&reply, 1);
        struct http_client *c = client_of(s);
        struct http_request q = {.method = "GET", .target = "/k", .once = true};
        struct http_response r = {0};
        assert_int_equal(http_client_request(c, &q, &r, NULL), ERR_CLOSED);
        http_client_free(c);
        canned_stop(s);
    }
}

static void informational_answers_are_passed_over(void **state)
{
    const struct canned_reply replies[] = {
        {.text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n"
                 "Link: x\r\n\r\n" HELLO}};
    struct canned_server *s = canned_start(replies, 1);
    struct http_client *c = client_of(s);
    struct http_request q = {.method = "GET", .target = "/k"};
    struct http_response r = {0};

    (void)state;
    assert_int_equal(http_client_request(c, &q, &r, NULL), 0);
    expect_body(&r, "hello");
    assert_null(http_response_header(&r, "Link"));
    http_response_free(&r);
    http_client_free(c);
    canned_stop(s);
}

static void a_dead_kept_connection_is_replaced(void **state)
{
    const struct canned_reply replies[] = {
        {.text = HELLO},
        {.text = NULL}, /* closes when it has the next request */
        {.text = HELLO},
        {.text = HELLO, .close = true},
        {.text = HELLO},
    };
    struct canned_server *s = canned_start(replies, COUNT(replies));
    struct http_client *c = client_of(s);
    struct http_request q = {.method = "GET", .target = "/k"};
    struct http_response r = {0};

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(http_client_request(c, &q, &r, NULL), 0);
        expect_body(&r, "hello");
        http_response_free(&r);
    }
    assert_int_equal(canned_connections(s), 3);
    assert_int_equal(canned_requests(s), 5);
    http_client_free(c);
    canned_stop(s);
}

static void a_post_is_not_sent_twice(void **state)
{
    const struct canned_reply replies[] = {
        {.text = HELLO}, {.text = NULL}, {.text = HELLO}};
    struct canned_server *s = canned_start(replies, COUNT(replies));
    struct http_client *c = client_of(s);
    struct http_request q = {.method = "GET", .target = "/k"};
    struct http_response r = {0};

    (void)state;
    assert_int_equal(http_client_request(c, &q, &r, NULL), 0);
    http_response_free(&r);
    q.method = "POST";
    assert_int_equal(http_client_request(c, &q, &r, NULL), ERR_CLOSED);
    assert_int_equal(canned_requests(s), 2);
    http_client_free(c);
    canned_stop(s);
}

static void too_large_a_body_is_not_gathered(void **state)
{
    size_t len = HTTP_GATHER_MAX + 1;
    char *text = mem_alloc(len + 100);
    int head = sprintf(text, OK "Content-Length: %zu\r\n\r\n", len);
    struct canned_reply reply = {.text = text, .len = len + (size_t)head};
    struct canned_server *s = canned_start(&reply, 1);
    struct http_client *c = client_of(s);
    struct http_request q = {.method = "GET", .target = "/k"};
    struct http_response r = {0};

    (void)state;
    assert_int_equal(http_client_request(c, &q, &r, NULL), ERR_LIMIT);
    http_client_free(c);
    canned_stop(s);
    free(text);
}

static void a_silent_server_times_out(void **state)
{
    /* Half a request's answer, then nothing: the script waits for more. */
    const struct canned_reply replies[] = {{.text = OK}, {.text = HELLO}};
    struct canned_server *s = canned_start(replies, COUNT(replies));
    struct http_client_options o = {.endpoint = canned_endpoint(s),
                                    .io_timeout_ms = 50};
    struct http_client *c;
    struct http_request q = {.method = "GET", .target = "/k"};
    struct http_response r = {0};

    (void)state;
    assert_int_equal(http_client_new(&o, &c, NULL), 0);
    assert_int_equal(http_client_request(c, &q, &r, NULL), ERR_TIMEOUT);
    http_client_free(c);
    canned_stop(s);
}

static void no_server_is_unavailable(void **state)
{
    struct canned_reply reply = {.text = HELLO};
    struct canned_server *s = canned_start(&reply, 1);
    struct http_client *c = client_of(s);
    struct http_request q = {.method = "GET", .target = "/k"};
    struct http_response r = {0};
    struct err err;

    (void)state;
    canned_stop(s);
    assert_int_equal(http_client_request(c, &q, &r, &err), ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "127.0.0.1:"));
    http_client_free(c);
}

static void bad_endpoints_are_refused(void **state)
{
    struct http_client_options o = {.endpoint = "ftp://x"};
    struct http_client *c = NULL;
    struct err err;

    (void)state;
    assert_int_equal(http_client_new(&o, &c, &err), ERR_BAD_INPUT);
    assert_non_null(strstr(err.text, "ftp://x"));
    o.endpoint = "https://localhost";
    o.ca_file = "/nonexistent/ca.pem";
    assert_int_equal(http_client_new(&o, &c, &err), ERR_BAD_INPUT);
    assert_non_null(strstr(err.text, "/nonexistent/ca.pem"));
    assert_null(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_gathers_its_body_and_keeps_the_connection),
        cmocka_unit_test(bodies_go_out_from_memory_and_from_a_stream),
        cmocka_unit_test(a_broken_source_breaks_the_request),
        cmocka_unit_test(a_large_body_waits_for_leave),
        cmocka_unit_test(a_sink_hears_what_went_well_and_may_stop_it),
        cmocka_unit_test(broken_answers_have_their_errors),
        cmocka_unit_test(every_byte_may_be_the_last),
        cmocka_unit_test(informational_answers_are_passed_over),
        cmocka_unit_test(a_dead_kept_connection_is_replaced),
        cmocka_unit_test(a_post_is_not_sent_twice),
        cmocka_unit_test(too_large_a_body_is_not_gathered),
        cmocka_unit_test(a_silent_server_times_out),
        cmocka_unit_test(no_server_is_unavailable),
        cmocka_unit_test(bad_endpoints_are_refused),
    };

    return cmocka_run_group_tests_name("http_client", tests, NULL, NULL);
}
