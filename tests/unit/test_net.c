/* Goal: every call is answered once, whatever happens to the connection; only
 * members are served; no bytes of a stranger disturb the others.
 * Method: two or three nets in one process over loopback; raw sockets.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/latch.h"
#include "base/list.h"
#include "base/mem.h"
#include "tests/lib/link_proxy.h"
#include "tests/lib/net_world.h"

#define ECHO 1
#define NEVER 2
#define REFUSE 3

struct world {
    struct net_world w;
    struct net *one, *two;
    struct net_request *held[2000]; /* of NEVER */
    unsigned held_count;
    unsigned messages;
    size_t message_bytes;
    pthread_mutex_t mutex;
};

static void serve(void *arg, struct net_request *r)
{
    struct world *w = arg;

    if (!r->wants_reply) {
        pthread_mutex_lock(&w->mutex);
        w->messages++;
        w->message_bytes += r->head_len + r->body_len;
        pthread_mutex_unlock(&w->mutex);
        net_reply(w->two, r, 0, NULL, NULL, 0, NULL, 0, NULL, NULL);
    } else if (r->type == ECHO) {
        net_reply(w->two, r, 0, NULL, r->head, r->head_len, r->body,
                  r->body_len, NULL, NULL);
    } else if (r->type == NEVER) {
        pthread_mutex_lock(&w->mutex);
        w->held[w->held_count++] = r;
        pthread_mutex_unlock(&w->mutex);
    } else {
        net_reply(w->two, r, ERR_FULL, "no room here", NULL, 0, NULL, 0, NULL,
                  NULL);
    }
}

static void start_two(struct world *w, const char *listen)
{
    w->two = net_world_net(&w->w, 2, listen);
    for (int s = NET_JOIN; s <= NET_CLUSTER; s++) {
        net_serve(w->two, s, serve, w);
    }
    net_start(w->two);
}

static int setup(void **state)
{
    struct world *w = mem_alloc(sizeof *w);

    CHECK(pthread_mutex_init(&w->mutex, NULL) == 0);
    net_world_make(&w->w, 7);
    w->one = net_world_net(&w->w, 1, "127.0.0.1:0");
    net_start(w->one);
    start_two(w, "127.0.0.1:0");
    net_peer(w->one, 2, net_address(w->two));
    *state = w;
    return 0;
}

static void answer_held(struct world *w)
{
    for (unsigned i = 0; i < w->held_count; i++) {
        net_reply(w->two, w->held[i], 0, NULL, NULL, 0, NULL, 0, NULL, NULL);
    }
    w->held_count = 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    net_close(w->one);
    if (w->two != NULL) {
        net_stop(w->two);
        answer_held(w);
        net_close(w->two);
    }
    net_world_free(&w->w);
    pthread_mutex_destroy(&w->mutex);
    free(w);
    return 0;
}

static struct net_call question(uint8_t type, const void *head, size_t len)
{
    return (struct net_call){.service = NET_SHARD,
                             .type = type,
                             .head = head,
                             .head_len = len,
                             .timeout_ms = 20000};
}

static void forget(struct net_call *c)
{
    buf_free(&c->reply_head);
    buf_free(&c->reply_body);
}

static int ask(struct world *w, uint8_t type)
{
    struct net_call c = question(type, "x", 1);
    int rc = net_call_wait(w->one, 2, &c);

    forget(&c);
    return rc;
}

static void bytes_of_every_size_come_back(void **state)
{
    static const size_t sizes[] = {0,     1,      4096,    65536,
                                   99999, 300000, 1 << 20, 8 << 20};
    struct world *w = *state;
    uint8_t *body = mem_pages(8 << 20), *into = mem_pages(8 << 20);

    for (size_t i = 0; i < 8 << 20; i++) {
        body[i] = (uint8_t)(i * 31 + i / 7001);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (int with_into = 0; with_into < 2; with_into++) {
            struct net_call c = question(ECHO, "head", 4);
            const uint8_t *got;
            c.body = body;
            c.body_len = sizes[i];
            c.into = with_into ? into : NULL;
            c.into_max = with_into ? 8 << 20 : 0;
            assert_int_equal(net_call_wait(w->one, 2, &c), 0);
            assert_int_equal(c.body_got, sizes[i]);
            assert_int_equal(c.reply_head.len, 4);
            assert_memory_equal(c.reply_head.data, "head", 4);
            got = with_into ? into : c.reply_body.data;
            assert_true(sizes[i] == 0 || memcmp(got, body, sizes[i]) == 0);
            forget(&c);
        }
    }
    mem_pages_free(body, 8 << 20);
    mem_pages_free(into, 8 << 20);
}

static void a_refusal_has_its_status_and_text(void **state)
{
    struct world *w = *state;
    struct net_call c = question(REFUSE, "x", 1);

    assert_int_equal(net_call_wait(w->one, 2, &c), ERR_FULL);
    assert_string_equal(c.err.text, "no room here");
    forget(&c);
}

struct many {
    struct net_call call;
    uint32_t n;
    struct latch *latch;
};

static void count(struct net_call *c)
{
    latch_signal(LIST_OF(c, struct many, call)->latch);
}

static void a_thousand_calls_at_once_get_their_own_answers(void **state)
{
    enum { MANY = 1000 };
    struct world *w = *state;
    struct many *m = mem_calloc(MANY, sizeof *m);
    struct latch latch;

    latch_init(&latch);
    for (uint32_t i = 0; i < MANY; i++) {
        m[i].n = i;
        m[i].latch = &latch;
        m[i].call = question(ECHO, &m[i].n, sizeof m[i].n);
        m[i].call.done = count;
        net_call(w->one, 2, &m[i].call);
    }
    assert_true(latch_wait(&latch, MANY, 60000));
    for (uint32_t i = 0; i < MANY; i++) {
        assert_int_equal(m[i].call.status, 0);
        assert_memory_equal(m[i].call.reply_head.data, &i, sizeof i);
        forget(&m[i].call);
    }
    latch_close(&latch);
    free(m);
}

static void a_call_without_an_answer_ends_at_its_deadline(void **state)
{
    struct world *w = *state;
    struct net_call c = question(NEVER, "x", 1);

    c.timeout_ms = 150;
    assert_int_equal(net_call_wait(w->one, 2, &c), ERR_TIMEOUT);
    assert_non_null(strstr(c.err.text, "server 2"));
    forget(&c);
    assert_int_equal(ask(w, ECHO), 0); /* the connection goes on */
}

static void late_answers_are_thrown_away(void **state)
{
    struct world *w = *state;
    uint8_t *into = mem_pages(4096);
    struct net_call c = question(NEVER, "x", 1);

    c.timeout_ms = 100;
    c.into = into;
    c.into_max = 4096;
    memset(into, 5, 4096);
    assert_int_equal(net_call_wait(w->one, 2, &c), ERR_TIMEOUT);
    pthread_mutex_lock(&w->mutex);
    net_reply(w->two, w->held[--w->held_count], 0, NULL, NULL, 0,
              "too late, all of it", 19, NULL, NULL);
    pthread_mutex_unlock(&w->mutex);
    assert_int_equal(ask(w, ECHO), 0);
    assert_int_equal(into[0], 5);
    forget(&c);
    mem_pages_free(into, 4096);
}

static void a_peer_that_is_not_there_is_unavailable(void **state)
{
    struct world *w = *state;
    struct net_call c = question(ECHO, "x", 1);

    assert_int_equal(net_call_wait(w->one, 9, &c), ERR_UNAVAILABLE);
    assert_non_null(strstr(c.err.text, "server 9"));
    net_peer(w->one, 9, "127.0.0.1:1");
    assert_int_equal(net_call_wait(w->one, 9, &c), ERR_UNAVAILABLE);
    assert_non_null(strstr(c.err.text, "127.0.0.1:1"));
    net_peer(w->one, 9, net_address(w->two)); /* another answers there */
    assert_int_equal(net_call_wait(w->one, 9, &c), ERR_UNAVAILABLE);
    assert_non_null(strstr(c.err.text, "server 2 answers"));
}

static void *kill_two(void *arg)
{
    struct world *w = arg;
    bool asked = false;

    while (!asked) {
        pthread_mutex_lock(&w->mutex);
        asked = w->held_count > 0;
        pthread_mutex_unlock(&w->mutex);
    }
    net_stop(w->two);
    return NULL;
}

static void a_call_that_was_sent_and_lost_is_unknown(void **state)
{
    struct world *w = *state;
    char *address = mem_strdup(net_address(w->two));
    pthread_t t;
    int rc;

    CHECK(pthread_create(&t, NULL, kill_two, w) == 0);
    assert_int_equal(ask(w, NEVER), ERR_UNKNOWN);
    pthread_join(t, NULL);
    answer_held(w);
    net_close(w->two);
    w->two = NULL;
    assert_int_equal(ask(w, ECHO), ERR_UNAVAILABLE);
    start_two(w, address); /* it comes back where it was */
    do {
        rc = ask(w, ECHO);
    } while (rc == ERR_UNAVAILABLE); /* until the pause after a failure ends */
    assert_int_equal(rc, 0);
    free(address);
}

static void closing_fails_what_is_in_flight(void **state)
{
    struct world *w = *state;
    struct many m = {0};
    struct latch latch;

    latch_init(&latch);
    m.latch = &latch;
    m.call = question(NEVER, "x", 1);
    m.call.done = count;
    net_call(w->one, 2, &m.call);
    net_stop(w->one);
    assert_true(latch_wait(&latch, 1, 60000));
    assert_int_equal(m.call.status, ERR_CLOSED);
    assert_int_equal(ask(w, ECHO), ERR_CLOSED);
    latch_close(&latch);
}

/* It takes bytes and says nothing: heartbeats must not pass for life. */
static void a_peer_that_falls_silent_is_given_up(void **state)
{
    struct world *w = *state;
    struct link_proxy *proxy = link_proxy_new(net_address(w->two));
    struct net_call c = question(ECHO, "x", 1);

    net_peer(w->one, 2, link_proxy_address(proxy));
    assert_int_equal(ask(w, ECHO), 0);
    link_proxy_set(proxy, LINK_HOLD);
    c.timeout_ms = 10 * 60000;
    assert_int_equal(net_call_wait(w->one, 2, &c), ERR_UNKNOWN);
    assert_non_null(strstr(c.err.text, "nothing was heard"));
    link_proxy_free(proxy);
}

static void messages_arrive_or_are_lost_in_silence(void **state)
{
    static const uint8_t bulk[2 * NET_HEAD_MAX];
    struct world *w = *state;
    unsigned n = 0;

    net_send(w->one, 77, NET_RAFT, 0, "to nobody", 9, NULL, 0);
    for (int i = 0; i < 100; i++) {
        net_send(w->one, 2, NET_RAFT, 0, "hello", 5, NULL, 0);
    }
    while (n < 100) {
        pthread_mutex_lock(&w->mutex);
        n = w->messages;
        pthread_mutex_unlock(&w->mutex);
        clock_sleep_ms(1);
    }
    assert_int_equal(n, 100);
    assert_int_equal(w->message_bytes, 500);
    net_send(w->one, 2, NET_RAFT, 0, NULL, 0, bulk, sizeof bulk);
    while (n < 101) {
        pthread_mutex_lock(&w->mutex);
        n = w->messages;
        pthread_mutex_unlock(&w->mutex);
        clock_sleep_ms(1);
    }
    assert_int_equal(w->message_bytes, 500 + sizeof bulk);
}

static void a_stranger_may_join_and_nothing_else(void **state)
{
    struct world *w = *state;
    struct net_options o = {0};
    struct net *n;
    struct net_call c = question(ECHO, "x", 1);

    assert_int_equal(tls_context_stranger(w->w.fingerprint, &o.tls, NULL), 0);
    assert_int_equal(net_open(&o, &n, NULL), 0);
    net_start(n);
    assert_int_equal(net_call_address(n, net_address(w->two), &c), ERR_DENIED);
    forget(&c);
    c.service = NET_JOIN;
    assert_int_equal(net_call_address(n, net_address(w->two), &c), 0);
    forget(&c);
    net_close(n);
}

static void another_clusters_server_is_refused(void **state)
{
    struct world *w = *state;
    struct net_world other;
    struct net *n;
    struct net_call c = question(ECHO, "x", 1);

    net_world_make(&other, 7);
    n = net_world_net(&other, 3, "127.0.0.1:0");
    net_start(n);
    net_peer(n, 2, net_address(w->two));
    assert_int_equal(net_call_wait(n, 2, &c), ERR_UNAVAILABLE);
    assert_true(strlen(c.err.text) > 20);
    net_peer(w->one, 3, net_address(n));
    assert_int_equal(net_call_wait(w->one, 3, &c), ERR_UNAVAILABLE);
    net_close(n);
    net_world_free(&other);
}

static void a_removed_server_is_cut_off(void **state)
{
    struct world *w = *state;

    struct net_call c = question(ECHO, "x", 1);
    int rc;

    assert_int_equal(ask(w, ECHO), 0);
    net_forbid(w->two, 1);
    do { /* it is told so */
        rc = net_call_wait(w->one, 2, &c);
        forget(&c);
    } while (rc != ERR_DENIED);
    assert_non_null(strstr(c.err.text, "removed from the cluster"));
    net_forbid(w->one, 2);
    assert_int_equal(ask(w, ECHO), ERR_DENIED);
}

static pthread_mutex_t slow = PTHREAD_MUTEX_INITIALIZER;

/* "slow:PORT" takes until the test says so; "none:PORT" is not known. */
static int resolve_slowly(const char *address, char **numeric, struct err *err)
{
    if (strncmp(address, "none", 4) == 0) {
        return err_set(err, ERR_UNAVAILABLE, "%s is not known", address);
    }
    pthread_mutex_lock(&slow);
    pthread_mutex_unlock(&slow);
    *numeric = mem_printf("127.0.0.1%s", strchr(address, ':'));
    return 0;
}

static void a_slow_resolver_stops_only_calls_to_that_name(void **state)
{
    struct world *w = *state;
    struct net_options o = {.listen = "127.0.0.1:0",
                            .server = 4,
                            .tls = net_world_tls(&w->w, 4),
                            .resolve = resolve_slowly};
    struct net_call c = question(ECHO, "x", 1);
    struct net *n;
    char *name;
    int rc;

    assert_int_equal(net_open(&o, &n, NULL), 0);
    net_start(n);
    name = mem_printf("slow%s", strchr(net_address(w->one), ':'));
    pthread_mutex_lock(&slow);
    net_peer(n, 1, name);
    net_peer(n, 2, net_address(w->two));
    for (int i = 0; i < 3; i++) { /* others are called meanwhile */
        assert_int_equal(net_call_wait(n, 1, &c), ERR_UNAVAILABLE);
        assert_non_null(strstr(c.err.text, "is being looked up"));
        assert_int_equal(net_call_wait(n, 2, &c), 0);
        forget(&c);
    }
    pthread_mutex_unlock(&slow);
    do { /* it is reached, and serves nothing */
        rc = net_call_wait(n, 1, &c);
        forget(&c);
    } while (rc == ERR_UNAVAILABLE);
    assert_int_equal(rc, ERR_UNSUPPORTED);
    net_peer(n, 5, "none:1");
    do {
        assert_int_equal(net_call_wait(n, 5, &c), ERR_UNAVAILABLE);
    } while (strstr(c.err.text, "is not known") == NULL);
    assert_int_equal(net_call_address(n, "none:2", &c), ERR_UNAVAILABLE);
    pthread_mutex_lock(&slow);
    net_peer(n, 6, "slow:1"); /* under way while it ends */
    net_call_wait(n, 6, &c);
    pthread_mutex_unlock(&slow);
    net_close(n);
    free(name);
}

static void the_names_of_this_machine_are_known(void **state)
{
    struct world *w = *state;
    char *name = mem_printf("localhost%s", strchr(net_address(w->two), ':'));
    struct net_call c = question(ECHO, "x", 1);
    int rc;

    net_peer(w->one, 2, name);
    do {
        rc = net_call_wait(w->one, 2, &c);
        forget(&c);
    } while (rc == ERR_UNAVAILABLE);
    assert_int_equal(rc, 0);
    free(name);
}

static int raw(const char *address)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    a.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void garbage_and_idle_strangers_do_not_disturb(void **state)
{
    enum { FDS = 400 };
    struct world *w = *state;
    int fds[FDS];
    uint8_t junk[5000];

    srand(1);
    for (int i = 0; i < FDS; i++) {
        fds[i] = raw(net_address(w->two));
        for (size_t j = 0; j < sizeof junk; j++) {
            junk[j] = (uint8_t)rand();
        }
        if (i % 2 == 0) {
            send(fds[i], junk, (size_t)rand() % sizeof junk, MSG_NOSIGNAL);
        }
        if (i % 50 == 0) {
            assert_int_equal(ask(w, ECHO), 0);
        }
    }
    for (int i = 0; i < FDS; i++) {
        close(fds[i]);
    }
    assert_int_equal(ask(w, ECHO), 0);
}

static void too_much_at_once_is_refused(void **state)
{
    enum { MANY = 40 };
    struct world *w = *state;
    struct many *m = mem_calloc(MANY, sizeof *m);
    uint8_t *body = mem_pages(NET_BODY_MAX);
    struct latch latch;
    unsigned busy = 0;

    memset(body, 1, NET_BODY_MAX);
    latch_init(&latch);
    for (int i = 0; i < MANY; i++) {
        m[i].latch = &latch;
        m[i].call = question(ECHO, "x", 1);
        m[i].call.body = body;
        m[i].call.body_len = NET_BODY_MAX;
        m[i].call.done = count;
        m[i].call.timeout_ms = 60000;
        net_call(w->one, 2, &m[i].call);
    }
    assert_true(latch_wait(&latch, MANY, 120000));
    for (int i = 0; i < MANY; i++) {
        if (m[i].call.status != 0 && m[i].call.status != ERR_BUSY) {
            fail_msg("call %d: %s", i, m[i].call.err.text);
        }
        busy += m[i].call.status == ERR_BUSY;
        forget(&m[i].call);
    }
    assert_in_range(busy, 1, MANY - 15);
    latch_close(&latch);
    mem_pages_free(body, NET_BODY_MAX);
    free(m);
}

static void a_renewed_certificate_is_used_from_then_on(void **state)
{
    struct world *w = *state;

    assert_int_equal(ask(w, ECHO), 0);
    net_renew(w->one, net_world_tls(&w->w, 1));
    net_renew(w->two, net_world_tls(&w->w, 2));
    assert_int_equal(ask(w, ECHO), 0);
    net_peer(w->one, 2, "127.0.0.1:1");
    net_peer(w->one, 2, net_address(w->two));
    assert_int_equal(ask(w, ECHO), 0);
}

static void what_is_told_before_a_start_that_never_comes_is_freed(void **state)
{
    struct world *w = *state;
    struct net *n = net_world_net(&w->w, 5, "127.0.0.1:0");

    net_peer(n, 2, net_address(w->two));
    net_send(n, 2, NET_CLUSTER, 1, "x", 1, NULL, 0);
    net_peer(n, 6, "127.0.0.1:1");
    net_forbid(n, 6);
    net_close(n); /* leaks are the sanitizer's to see */
    assert_int_equal(ask(w, ECHO), 0);
}

static void an_address_that_is_none_is_refused(void **state)
{
    struct world *w = *state;
    struct net_options o = {.listen = "nowhere", .server = 4};
    struct net *n;
    struct err err;

    o.tls = net_world_tls(&w->w, 4);
    assert_int_equal(net_open(&o, &n, &err), ERR_BAD_INPUT);
    assert_non_null(strstr(err.text, "ADDR:PORT"));
    o.listen = net_address(w->two);
    o.tls = net_world_tls(&w->w, 4);
    assert_int_equal(net_open(&o, &n, &err), ERR_IO);
    assert_non_null(strstr(err.text, "in use"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(bytes_of_every_size_come_back),
        TEST(a_refusal_has_its_status_and_text),
        TEST(a_thousand_calls_at_once_get_their_own_answers),
        TEST(a_call_without_an_answer_ends_at_its_deadline),
        TEST(late_answers_are_thrown_away),
        TEST(a_peer_that_is_not_there_is_unavailable),
        TEST(a_call_that_was_sent_and_lost_is_unknown),
        TEST(closing_fails_what_is_in_flight),
        TEST(a_peer_that_falls_silent_is_given_up),
        TEST(messages_arrive_or_are_lost_in_silence),
        TEST(a_stranger_may_join_and_nothing_else),
        TEST(another_clusters_server_is_refused),
        TEST(a_removed_server_is_cut_off),
        TEST(a_slow_resolver_stops_only_calls_to_that_name),
        TEST(the_names_of_this_machine_are_known),
        TEST(garbage_and_idle_strangers_do_not_disturb),
        TEST(too_much_at_once_is_refused),
        TEST(a_renewed_certificate_is_used_from_then_on),
        TEST(what_is_told_before_a_start_that_never_comes_is_freed),
        TEST(an_address_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
