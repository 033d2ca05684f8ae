/* test_uplink.c: one connection to a gateway that may say anything.
 *
 * Goal: what is strictly a whole answer is given, all else is a failure with
 * its code; connections are kept open and found closed without harm; the rate
 * is kept. Method: a server on loopback that says what the test wrote down, and
 * the agent's loop until the exchange is over.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "edge-agent/rate.h"
#include "edge-agent/uplink.h"
#include "tests/lib/canned_server.h"

#define OK_HI "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

struct world {
    struct loop *loop;
    struct uplink *uplink;
    struct rate rate;
    int code, status;
    struct buf body, why;
};

static void open_world(struct world *w, const char *endpoint,
                       uint64_t answer_ms)
{
    struct uplink_url url;
    struct uplink_options o = {
        .url = &url, .rate = &w->rate, .answer_ms = answer_ms};

    *w = (struct world){0};
    assert_int_equal(uplink_url_parse(endpoint, false, &url, NULL), 0);
    w->loop = loop_new();
    w->uplink = uplink_new(w->loop, &o);
}

static void close_world(struct world *w)
{
    uplink_free(w->uplink);
    loop_free(w->loop);
    buf_free(&w->body);
    buf_free(&w->why);
}

static void on_done(void *arg, int code, const struct uplink_answer *a,
                    const char *why)
{
    struct world *w = arg;

    w->code = code;
    w->status = a != NULL ? a->status : 0;
    buf_clear(&w->body);
    buf_clear(&w->why);
    if (a != NULL) {
        buf_append(&w->body, a->body, a->body_len);
    }
    buf_str(&w->why, why);
    loop_stop(w->loop);
}

/* A loop that was stopped does not run again. */
static int ask(struct world *w, const struct uplink_request *r)
{
    uplink_send(w->uplink, r, on_done, w);
    loop_run(w->loop, NULL, NULL);
    return w->code;
}

static struct loop *stop_me;

static void stop_loop(struct loop_timer *t)
{
    (void)t;
    loop_stop(stop_me);
}

static const struct uplink_request get = {.method = "GET", .path = "/x"};

struct sequence {
    struct world *w;
    const struct uplink_request *requests;
    size_t count, at;
    int codes[8], statuses[8];
};

static void on_next(void *arg, int code, const struct uplink_answer *a,
                    const char *why)
{
    struct sequence *q = arg;

    (void)why;
    q->codes[q->at] = code;
    q->statuses[q->at++] = a != NULL ? a->status : 0;
    if (q->at < q->count) {
        uplink_send(q->w->uplink, &q->requests[q->at], on_next, q);
    } else {
        loop_stop(q->w->loop);
    }
}

static void answers_are_read_one_after_the_other_on_one_connection(void **state)
{
    static const char body[] = "what it says";
    const struct canned_reply replies[] = {
        {.text = OK_HI},
        {.text = "HTTP/1.1 100 Continue\r\n\r\n"
                 "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n"
                 "3\r\nno,\r\n4\r\n no!\r\n0\r\n\r\n",
         .bytewise = true},
        {.text = "HTTP/1.1 204 No Content\r\n\r\n"},
    };
    const struct uplink_request requests[] = {get,
                                              {.method = "POST",
                                               .path = "/y",
                                               .fields = "X-A: b\r\n",
                                               .body = body,
                                               .body_len = sizeof body - 1},
                                              {.method = "POST", .path = "/z"}};
    struct canned_server *server = canned_start(replies, 3);
    struct world w;
    struct sequence q = {&w, requests, 3, 0, {0}, {0}};

    (void)state;
    open_world(&w, canned_endpoint(server), 0);
    uplink_send(w.uplink, &requests[0], on_next, &q);
    assert_true(uplink_busy(w.uplink));
    loop_run(w.loop, NULL, NULL);
    assert_int_equal(q.codes[0] | q.codes[1] | q.codes[2], 0);
    assert_int_equal(q.statuses[0], 200);
    assert_int_equal(q.statuses[1], 403);
    assert_int_equal(q.statuses[2], 204);
    assert_int_equal(canned_connections(server), 1);
    assert_non_null(strstr(canned_request(server, 1), "X-A: b\r\n"));
    assert_non_null(strstr(canned_request(server, 1), "\r\n\r\nwhat it says"));
    assert_non_null(strstr(canned_request(server, 2), "Content-Length: 0\r\n"));
    assert_true(uplink_sent_bytes(w.uplink) > 0);
    assert_false(uplink_busy(w.uplink));
    close_world(&w);
    canned_stop(server);
}

static void what_is_no_whole_answer_is_a_failure(void **state)
{
    static const struct {
        const char *text;
        int code;
        const char *why;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", ERR_CLOSED,
         "the answer ended early"},
        {"HTTP/1.1 200 OK\r\nContent-Le", ERR_CLOSED, "the answer ended early"},
        {"HTTP/1.1 200 OK\r\n\r\nto the end", ERR_BAD_INPUT,
         "the answer (200) has no length"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
         ERR_BAD_INPUT, "the body has more than one length"},
        {"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi\r\n\r\n", ERR_BAD_INPUT,
         "a line does not end in CR LF"},
        {"SSH-2.0-OpenSSH_9.2\r\n\r\n", ERR_BAD_INPUT,
         "the answer is no HTTP/1.1"},
        {"HTTP/1.1 2x0 OK\r\n\r\n", ERR_BAD_INPUT, "the answer has no status"},
        {"HTTP/1.1 20 OK\r\n\r\n", ERR_BAD_INPUT, "the answer has no status"},
        {"HTTP/1.1 2000 OK\r\n\r\n", ERR_BAD_INPUT, "the answer has no status"},
        {"HTTP/1.1 101 Switching\r\n\r\n", ERR_BAD_INPUT,
         "the answer does not begin"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n",
         ERR_BAD_INPUT, "a chunk's size is no number"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
         ERR_CLOSED, "the answer ended early"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", ERR_BAD_INPUT,
         "Transfer-Encoding other than chunked"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n", ERR_LIMIT,
         "the answer (200) is too long"},
        {NULL, ERR_CLOSED, "the gateway closed the connection"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct canned_reply reply = {.text = rows[i].text, .close = true};
        struct canned_server *server = canned_start(&reply, 1);
        struct world w;
        open_world(&w, canned_endpoint(server), 0);
        assert_int_equal(ask(&w, &get), rows[i].code);
        assert_string_equal((char *)w.why.data, rows[i].why);
        assert_int_equal(uplink_state(w.uplink), UPLINK_DOWN);
        close_world(&w);
        canned_stop(server);
    }
}

static void heads_and_interim_answers_have_a_bound(void **state)
{
    struct canned_reply reply = {.close = true};
    struct buf text = {0};
    struct world w;

    (void)state;
    for (int pass = 0; pass < 2; pass++) {
        struct canned_server *server;
        buf_clear(&text);
        buf_str(&text, pass == 0 ? "HTTP/1.1 200 OK\r\nX-Long: " : "");
        for (int i = 0; i < (pass == 0 ? 17 * 1024 : 9); i++) {
            buf_str(&text, pass == 0 ? "x" : "HTTP/1.1 102 Wait\r\n\r\n");
        }
        reply.text = (char *)text.data;
        server = canned_start(&reply, 1);
        open_world(&w, canned_endpoint(server), 0);
        assert_int_equal(ask(&w, &get), pass == 0 ? ERR_LIMIT : ERR_BAD_INPUT);
        close_world(&w);
        canned_stop(server);
    }
    buf_free(&text);
}

static void a_connection_that_was_closed_meanwhile_is_made_anew(void **state)
{
    /* The second request finds the first connection closed. */
    const struct canned_reply replies[] = {
        {.text = OK_HI}, {.text = NULL}, {.text = OK_HI}};
    const struct uplink_request requests[] = {get, get};
    struct canned_server *server = canned_start(replies, 3);
    struct world w;
    struct sequence q = {&w, requests, 2, 0, {0}, {0}};

    (void)state;
    open_world(&w, canned_endpoint(server), 0);
    uplink_send(w.uplink, &requests[0], on_next, &q);
    loop_run(w.loop, NULL, NULL);
    assert_int_equal(q.codes[1], 0);
    assert_int_equal(q.statuses[1], 200);
    assert_int_equal(canned_connections(server), 2);
    close_world(&w);
    canned_stop(server);
}

/* What comes between an exchange and the next one. */
struct late {
    struct world *w;
    bool asked;
};

static void on_first(void *arg, int code, const struct uplink_answer *a,
                     const char *why)
{
    (void)arg;
    (void)a;
    (void)why;
    assert_int_equal(code, 0);
}

/* After the timers and before the wait: where an agent's commit stands. By
 * then the server's end has come, and nobody has looked. */
static void ask_late(void *arg, int *timeout_ms)
{
    struct late *l = arg;

    if (!l->asked && uplink_state(l->w->uplink) == UPLINK_UP &&
        !uplink_busy(l->w->uplink)) {
        l->asked = true;
        usleep(100 * 1000);
        uplink_send(l->w->uplink, &get, on_done, l->w);
        *timeout_ms = 0;
    }
}

static void who_asks_as_the_connection_closes_is_answered(void **state)
{
    const struct canned_reply replies[] = {{.text = OK_HI, .close = true},
                                           {.text = OK_HI}};
    struct canned_server *server = canned_start(replies, 2);
    struct world w;
    struct late late = {&w, false};

    (void)state;
    open_world(&w, canned_endpoint(server), 0);
    uplink_send(w.uplink, &get, on_first, NULL);
    loop_run(w.loop, ask_late, &late); /* it once ran for ever */
    assert_int_equal(w.code, 0);
    assert_int_equal(w.status, 200);
    close_world(&w);
    canned_stop(server);
}

static void an_answer_before_the_body_was_read_counts(void **state)
{
    const struct canned_reply reply = {
        .text = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n",
        .early = true,
        .close = true};
    struct canned_server *server = canned_start(&reply, 1);
    size_t len = 64 << 20;
    uint8_t *body = mem_calloc(1, len);
    struct uplink_request r = {
        .method = "POST", .path = "/x", .body = body, .body_len = len};
    struct world w;

    (void)state;
    open_world(&w, canned_endpoint(server), 0);
    /* A reset may overtake the answer; both are told. */
    if (ask(&w, &r) == 0) {
        assert_int_equal(w.status, 413);
    } else {
        assert_int_equal(w.code, ERR_CLOSED);
    }
    assert_int_equal(uplink_state(w.uplink), UPLINK_DOWN);
    close_world(&w);
    canned_stop(server);
    free(body);
}

static void nobody_there_is_told(void **state)
{
    struct world w;

    (void)state;
    open_world(&w, "http://127.0.0.1:1", 0);
    assert_int_equal(ask(&w, &get), ERR_UNAVAILABLE);
    assert_string_equal((char *)w.why.data, "Connection refused");
    close_world(&w);
}

static void a_name_is_looked_up_beside_the_loop(void **state)
{
    const struct canned_reply reply = {.text = OK_HI};
    struct canned_server *server = canned_start(&reply, 1);
    const char *port = strrchr(canned_endpoint(server), ':');
    char *endpoint = mem_printf("http://localhost%s", port);
    struct world w;

    (void)state;
    open_world(&w, endpoint, 0);
    assert_int_equal(ask(&w, &get), 0);
    assert_int_equal(w.status, 200);
    close_world(&w);
    canned_stop(server);
    free(endpoint);
}

/* Whatever the thread does, it does not touch what is gone. */
static void a_name_is_not_waited_for_by_who_leaves(void **state)
{
    struct world w;

    (void)state;
    for (int i = 0; i < 50; i++) {
        open_world(&w, "http://localhost:1", 0);
        uplink_send(w.uplink, &get, on_done, &w);
        w.code = -1;
        if (i % 2 == 0) { /* let the look-up begin */
            struct loop_timer t;
            loop_timer_init(&t, stop_loop);
            stop_me = w.loop;
            loop_timer_set(w.loop, &t, 0);
            loop_run(w.loop, NULL, NULL);
            loop_timer_clear(&t);
        }
        close_world(&w);
    }
}

static void a_server_that_says_nothing_is_left(void **state)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    socklen_t len = sizeof to;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char endpoint[64];
    struct world w;

    (void)state;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&to, &len), 0);
    snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%u",
             ntohs(to.sin_port));
    open_world(&w, endpoint, 50);
    assert_int_equal(ask(&w, &get), ERR_TIMEOUT);
    assert_string_equal((char *)w.why.data, "no whole answer in time");
    close_world(&w);
    close(fd);
}

static void the_rate_is_kept(void **state)
{
    const struct canned_reply reply = {.text = OK_HI};
    struct canned_server *server = canned_start(&reply, 1);
    uint8_t body[30000] = {0};
    struct uplink_request r = {
        .method = "POST", .path = "/x", .body = body, .body_len = sizeof body};
    struct world w;
    uint64_t begun;

    (void)state;
    open_world(&w, canned_endpoint(server), 0);
    w.rate.per_second = 100000; /* a burst of 25,000, so 50 ms at least */
    begun = clock_mono_ms();
    assert_int_equal(ask(&w, &r), 0);
    assert_true(clock_mono_ms() - begun >= 50);
    assert_int_equal(w.status, 200);
    close_world(&w);
    canned_stop(server);
}

static void a_link_may_go_with_an_exchange_under_way(void **state)
{
    const struct canned_reply reply = {.text = OK_HI};
    struct canned_server *server = canned_start(&reply, 1);
    struct world w;

    (void)state;
    open_world(&w, canned_endpoint(server), 0);
    uplink_send(w.uplink, &get, on_done, &w);
    uplink_free(w.uplink);
    w.uplink = NULL;
    loop_stop(w.loop);
    loop_run(w.loop, NULL, NULL);
    assert_int_equal(w.status, 0);
    close_world(&w);
    canned_stop(server);
}

static void urls_are_read_strictly(void **state)
{
    static const char *const bad[] = {
        "ftp://h",
        "https://",
        "https://h:0",
        "https://h:65536",
        "https://h:",
        "https://h:1/path",
        "https://[::1",
        "https://a b",
        "https://u@h",
        "http://example.org",
        "http://10.0.0.1:9000",
        "h:443",
    };
    struct uplink_url u;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(uplink_url_parse(bad[i], false, &u, NULL),
                         ERR_BAD_INPUT);
    }
    assert_int_equal(uplink_url_parse("https://h.example/", false, &u, NULL),
                     0);
    assert_true(u.tls && u.port == 443);
    assert_string_equal(u.authority, "h.example:443");
    assert_int_equal(
        uplink_url_parse("https://[fe80::1]:9443", false, &u, NULL), 0);
    assert_string_equal(u.host, "fe80::1");
    assert_string_equal(u.authority, "[fe80::1]:9443");
    assert_int_equal(uplink_url_parse("http://localhost", false, &u, NULL), 0);
    assert_true(!u.tls && u.port == 80);
    assert_int_equal(uplink_url_parse("http://[::1]:9000", false, &u, NULL), 0);
    assert_int_equal(uplink_url_parse("http://10.0.0.1:9000", true, &u, NULL),
                     0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            answers_are_read_one_after_the_other_on_one_connection),
        cmocka_unit_test(what_is_no_whole_answer_is_a_failure),
        cmocka_unit_test(heads_and_interim_answers_have_a_bound),
        cmocka_unit_test(a_connection_that_was_closed_meanwhile_is_made_anew),
        cmocka_unit_test(who_asks_as_the_connection_closes_is_answered),
        cmocka_unit_test(an_answer_before_the_body_was_read_counts),
        cmocka_unit_test(nobody_there_is_told),
        cmocka_unit_test(a_name_is_looked_up_beside_the_loop),
        cmocka_unit_test(a_name_is_not_waited_for_by_who_leaves),
        cmocka_unit_test(a_server_that_says_nothing_is_left),
        cmocka_unit_test(the_rate_is_kept),
        cmocka_unit_test(a_link_may_go_with_an_exchange_under_way),
        cmocka_unit_test(urls_are_read_strictly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
