/* Goal: certificates are renewed in time, by the server itself where the CA's
 * key is and through another where it is not; whom the cluster removed gets
 * none; what does not succeed is said once an hour.
 * Method: whole servers in one process on loopback, under a clock that is set
 * back when the certificates are made and then put right: TLS goes by the true
 * time all the while.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "cluster/identity.h"
#include "crypto/tls.h"
#include "meta/command.h"
#include "tests/lib/cluster_world.h"

#define HOUR_MS ((uint64_t)3600 * 1000)
#define DAY_MS (24 * HOUR_MS)
#define DAY_S ((uint64_t)86400)
#define RENEW 2

/* ---- the clock ---- */

static atomic_uint_least64_t back_ms;  /* wall clock: so far back */
static atomic_uint_least64_t ahead_ms; /* the other: so far ahead */

static uint64_t system_us(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t real_ms(void *data)
{
    (void)data;
    return system_us(CLOCK_REALTIME) / 1000 - atomic_load(&back_ms);
}

static uint64_t mono_us(void *data)
{
    (void)data;
    return system_us(CLOCK_MONOTONIC) + atomic_load(&ahead_ms) * 1000;
}

static void sleep_ms(void *data, uint64_t ms)
{
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};

    (void)data;
    nanosleep(&t, NULL);
}

static void it_is_days_ago(uint64_t days)
{
    atomic_store(&back_ms, days * DAY_MS);
}

/* ---- what is logged ---- */

static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct buf logged;

static void keep(const char *line, void *arg)
{
    pthread_mutex_lock(&log_mutex);
    buf_append(&logged, line, strlen(line));
    buf_char(&logged, '\n');
    pthread_mutex_unlock(&log_mutex);
    quiet(line, arg);
}

/* Lines with all three in them; copies the last one to @out. */
static unsigned lines_with(const char *a, const char *b, const char *c,
                           char *out, size_t size)
{
    unsigned n = 0;
    char *save = NULL, *text;

    pthread_mutex_lock(&log_mutex);
    text = logged.len > 0 ? mem_strndup((char *)logged.data, logged.len)
                          : mem_strdup("");
    pthread_mutex_unlock(&log_mutex);
    for (char *line = strtok_r(text, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        if (strstr(line, a) != NULL && strstr(line, b) != NULL &&
            strstr(line, c) != NULL) {
            n++;
            snprintf(out, size, "%s", line);
        }
    }
    free(text);
    return n;
}

static void await_line(unsigned times, const char *a, const char *b,
                       const char *c, char *out, size_t size)
{
    for (int ms = 0; ms < WAIT_MS; ms += 10) {
        if (lines_with(a, b, c, out, size) >= times) {
            return;
        }
        clock_sleep_ms(10);
    }
    fail_msg("never %u lines with %s, %s, %s", times, a, b, c);
}

static int begin(void **state)
{
    static const struct clock_ops clock = {real_ms, mono_us, sleep_ms, NULL};
    int rc = setup(state);

    buf_free(&logged);
    log_capture(keep, NULL);
    atomic_store(&back_ms, 0);
    atomic_store(&ahead_ms, 0);
    clock_use(&clock);
    return rc;
}

static int end(void **state)
{
    int rc = teardown(state);

    clock_use(NULL);
    buf_free(&logged);
    return rc;
}

/* ---- certificates ---- */

static uint64_t true_now_s(void)
{
    return system_us(CLOCK_REALTIME) / 1000000;
}

static uint64_t saved_until(const struct site *s)
{
    struct identity id;
    uint64_t until;

    assert_int_equal(identity_load(s->data, &id, NULL), 0);
    until = id.until_s;
    identity_free(&id);
    return until;
}

static int connect_to(const char *address)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

/* Until when the certificate is good that @s shows to @who. */
static uint64_t shown_until(const struct site *s, const struct site *who)
{
    struct identity id;
    struct tls_context *tls;
    struct tls_stream *t;
    struct err err = {{0}};
    uint8_t wire[4096], plain[64];
    uint64_t until;
    int fd = connect_to(s->listen);

    assert_int_equal(identity_load(who->data, &id, NULL), 0);
    assert_int_equal(identity_tls(&id, &tls, NULL), 0);
    t = tls_stream_new(tls, false);
    while (!tls_ready(t)) {
        size_t got, len;
        const void *out;
        if (tls_read(t, plain, sizeof plain, &got, &err) != 0) {
            fail_msg("%s", err.text);
        }
        while ((out = tls_pending(t, &len)) != NULL && len > 0) {
            ssize_t n = send(fd, out, len, MSG_NOSIGNAL);
            assert_true(n > 0);
            tls_sent(t, (size_t)n);
        }
        if (!tls_ready(t)) {
            ssize_t n = recv(fd, wire, sizeof wire, 0);
            assert_true(n > 0);
            tls_feed(t, wire, (size_t)n);
        }
    }
    until = tls_peer_until(t);
    tls_stream_free(t);
    tls_context_free(tls);
    identity_free(&id);
    close(fd);
    return until;
}

static void await_new(struct site *s)
{
    const uint64_t end_s = true_now_s() + PKI_CERT_DAYS * DAY_S;

    for (int ms = 0; ms < WAIT_MS; ms += 50) {
        uint64_t until = saved_until(s);
        if (until + 3600 > end_s) {
            assert_in_range(until, end_s - 60, end_s + 60);
            return;
        }
        clock_sleep_ms(50);
    }
    fail_msg("server %u never renewed", cluster_server(s->cluster));
}

/* Drops what is connected, and calls on a new connection. */
static void must_call_anew(struct site *from, struct site *to)
{
    uint32_t id = cluster_server(to->cluster);
    struct err err = {{0}};
    int rc = ERR_UNAVAILABLE;

    net_peer(cluster_net(from->cluster), id, "127.0.0.1:1");
    net_peer(cluster_net(from->cluster), id, to->listen);
    for (int ms = 0; ms < WAIT_MS && rc != 0; ms += 50) {
        rc = call(from, id, &err);
        clock_sleep_ms(50);
    }
    if (rc != 0) {
        fail_msg("%s", err.text);
    }
}

/* ---- */

static void the_founder_renews_itself_and_serves_with_it(void **state)
{
    struct world *w = *state;
    struct site *a = &w->sites[1], *b = &w->sites[2];
    uint64_t first;
    char line[400];

    it_is_days_ago(59); /* 31 of 90 are left: not yet */
    found(w);
    join(w, 2, 2, 1);
    first = saved_until(a);
    it_is_days_ago(0);
    clock_sleep_ms(1500); /* some rounds */
    assert_int_equal(saved_until(a), first);
    assert_int_equal(shown_until(a, b), first);
    it_is_days_ago(59);
    stop(a);
    stop(b);
    temp_dir_remove(w->sites[1].data);
    temp_dir_remove(w->sites[2].data);

    it_is_days_ago(61); /* and now 29 */
    found(w);
    join(w, 2, 2, 1);
    first = saved_until(a);
    it_is_days_ago(0);
    await_new(a);
    await_new(b);
    assert_true(saved_until(a) > first);
    await_line(2, "level=info", "certificate renewed", "90 days", line,
               sizeof line);
    assert_int_equal(shown_until(a, b), saved_until(a));
    must_call_anew(b, a);
    must_call_anew(a, b);
    stop(a); /* and so after a restart */
    must_start(a, NULL, NULL);
    assert_int_equal(shown_until(a, b), saved_until(a));
    must_call_anew(b, a);
}

static void who_has_no_ca_key_gets_one_from_another(void **state)
{
    struct world *w = *state;
    struct site *b = &w->sites[2], *c = &w->sites[3];
    uint64_t until;
    char line[400];

    it_is_days_ago(61);
    b->roles = CLUSTER_ROLE_GATEWAY | CLUSTER_ROLE_NODE;
    c->roles = CLUSTER_ROLE_NODE;
    found(w);
    join(w, 2, 3, 1);
    assert_false(exists(b, "ca.key"));
    assert_false(exists(c, "ca.key"));
    it_is_days_ago(0);
    await_new(b);
    await_new(c);
    await_line(1, "certificate given", "to server 2", "", line, sizeof line);
    await_line(1, "certificate given", "to server 3", "", line, sizeof line);
    until = saved_until(c);
    assert_int_equal(shown_until(c, b), until);
    must_call_anew(b, c);
    must_call_anew(c, &w->sites[1]);
    clock_sleep_ms(1200); /* some rounds: once is enough */
    assert_int_equal(
        lines_with("certificate given", "to server 3", "", line, sizeof line),
        1);
    assert_int_equal(saved_until(c), until);
}

/* What @from gets to its request for a certificate from server @to. */
static int ask(struct site *from, uint32_t to, const void *p, size_t len,
               struct pki_cert *out, struct err *why)
{
    struct net_call c = {.service = NET_CLUSTER,
                         .type = RENEW,
                         .head = p,
                         .head_len = len,
                         .timeout_ms = 10000};
    int rc = net_call_wait(cluster_net(from->cluster), to, &c);

    *why = c.err;
    if (rc == 0) {
        assert_int_equal(
            pki_cert_read(c.reply_head.data, c.reply_head.len, out, NULL), 0);
    }
    buf_free(&c.reply_head);
    buf_free(&c.reply_body);
    return rc;
}

static void a_certificate_is_for_who_asks_and_for_members_only(void **state)
{
    struct world *w = *state;
    struct site *b = &w->sites[2], *c = &w->sites[3];
    struct buf command = {0}, key = {0}, request = {0};
    struct net_call as_stranger = {
        .service = NET_CLUSTER, .type = RENEW, .timeout_ms = 2000};
    struct net_options no = {0};
    struct pki_cert cert;
    struct identity id;
    struct net *net;
    struct err err = {{0}};
    int rc = 0;

    found(w);
    b->roles = CLUSTER_ROLE_NODE;
    join(w, 2, 3, 1);
    assert_int_equal(pki_request_new(&key, &request, NULL), 0);
    assert_int_equal(ask(c, 1, request.data, request.len, &cert, &err), 0);
    assert_int_equal(cert.server, 3);
    assert_memory_equal(cert.cluster, cluster_id_a, 16);
    assert_int_equal(ask(c, 1, "junk", 4, &cert, &err), ERR_BAD_INPUT);
    assert_int_equal(ask(c, 1, NULL, 0, &cert, &err), ERR_BAD_INPUT);
    assert_int_equal(ask(c, 2, request.data, request.len, &cert, &err),
                     ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "does not have the key"));
    /* One without a certificate. */
    assert_int_equal(identity_load(c->data, &id, NULL), 0);
    assert_int_equal(
        pki_cert_read(id.ca_cert.data, id.ca_cert.len, &cert, NULL), 0);
    assert_int_equal(tls_context_stranger(cert.fingerprint, &no.tls, NULL), 0);
    assert_int_equal(net_open(&no, &net, NULL), 0);
    net_start(net);
    as_stranger.head = request.data;
    as_stranger.head_len = request.len;
    assert_int_not_equal(
        net_call_address(net, w->sites[1].listen, &as_stranger), 0);
    assert_int_equal(as_stranger.reply_head.len, 0);
    buf_free(&as_stranger.reply_head);
    buf_free(&as_stranger.reply_body);
    net_close(net);
    identity_free(&id);
    /* One that was removed, while it is still connected or no longer. */
    command_server_remove(&command, 3, true);
    assert_int_equal(meta_propose_wait(w->sites[1].meta, &command, NULL, &err),
                     0);
    buf_free(&command);
    rc = ask(c, 1, request.data, request.len, &cert, &err);
    assert_true(rc == ERR_DENIED || rc == ERR_UNAVAILABLE || rc == ERR_UNKNOWN);
    await_forbidden(&w->sites[1], 3);
    assert_int_not_equal(ask(c, 1, request.data, request.len, &cert, &err), 0);
    buf_wipe(&key);
    buf_free(&request);
}

static void what_fails_is_said_once_an_hour_and_louder_at_the_end(void **state)
{
    struct world *w = *state;
    struct site *b = &w->sites[2];
    char line[400];
    uint64_t first;

    it_is_days_ago(61);
    b->roles = CLUSTER_ROLE_NODE;
    found(w);
    join(w, 2, 2, 1);
    stop(&w->sites[1]); /* nobody is left to ask */
    first = saved_until(b);
    it_is_days_ago(0);
    atomic_store(&ahead_ms, 30000); /* and none comes */
    clock_sleep_ms(1100);
    atomic_store(&ahead_ms, 60000);
    await_line(1, "level=warn", "certificate not renewed",
               "no other server is heard; it ends in 28 days", line,
               sizeof line);
    clock_sleep_ms(1200); /* some rounds */
    assert_int_equal(
        lines_with("certificate not renewed", "", "", line, sizeof line), 1);
    atomic_store(&ahead_ms, 60000 + HOUR_MS);
    await_line(2, "level=warn", "certificate not renewed", "", line,
               sizeof line);
    atomic_store(&back_ms, (uint64_t)0 - 23 * DAY_MS); /* later */
    atomic_store(&ahead_ms, 60000 + 2 * HOUR_MS);
    await_line(1, "level=error", "certificate not renewed", "it ends in 5 days",
               line, sizeof line);
    atomic_store(&back_ms, (uint64_t)0 - 30 * DAY_MS);
    atomic_store(&ahead_ms, 60000 + 3 * HOUR_MS);
    await_line(1, "level=error", "certificate not renewed", "it ended 1 days",
               line, sizeof line);
    assert_int_equal(saved_until(b), first);
    /* As soon as the founder is there, it goes on by itself. */
    it_is_days_ago(0);
    must_start(&w->sites[1], NULL, NULL);
    await_new(b);
}

static void a_founder_that_cannot_save_says_so_and_tries_again(void **state)
{
    struct world *w = *state;
    struct site *a = &w->sites[1];
    char *dir = mem_printf("%s/identity", a->data);
    char *away = mem_printf("%s/away", a->data);
    char line[400];

    it_is_days_ago(61);
    found(w);
    assert_int_equal(rename(dir, away), 0);
    it_is_days_ago(0);
    clock_sleep_ms(1200); /* it is not said at once */
    assert_int_equal(lines_with("not renewed", "", "", line, sizeof line), 0);
    atomic_store(&ahead_ms, 12000);
    await_line(1, "level=warn", "certificate not renewed", "server.crt", line,
               sizeof line);
    assert_int_equal(rename(away, dir), 0);
    clock_sleep_ms(1200); /* not at once */
    assert_true(saved_until(a) < true_now_s() + 30 * DAY_S);
    atomic_store(&ahead_ms, 24000);
    await_new(a);
    free(dir);
    free(away);
}

static void the_end_of_the_ca_is_announced_a_year_before(void **state)
{
    struct world *w = *state;
    char line[400];

    found(w);
    clock_sleep_ms(700);
    assert_int_equal(lines_with("CA ends", "", "", line, sizeof line), 0);
    atomic_store(&back_ms, (uint64_t)0 - (20 * 365 - 364) * DAY_MS);
    await_line(1, "level=warn", "CA ends", "it ends in 36", line, sizeof line);
    clock_sleep_ms(1200);
    assert_int_equal(lines_with("CA ends", "", "", line, sizeof line), 1);
    atomic_store(&ahead_ms, DAY_MS + 1000);
    await_line(2, "level=warn", "CA ends", "", line, sizeof line);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_founder_renews_itself_and_serves_with_it),
        TEST(who_has_no_ca_key_gets_one_from_another),
        TEST(a_certificate_is_for_who_asks_and_for_members_only),
        TEST(what_fails_is_said_once_an_hour_and_louder_at_the_end),
        TEST(a_founder_that_cannot_save_says_so_and_tries_again),
        TEST(the_end_of_the_ca_is_announced_a_year_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
