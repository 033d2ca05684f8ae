/* test_tls_auto.c: the https port's own certificate.
 *
 * Goal: it is there before the port opens, for all that the port is reached by,
 * by a key that stays; it is renewed in time while the old one is in use; what
 * is wrong in DATA/identity or in the options is said.
 * Method: no port: what TLS would be given is looked at; a clock that is moved.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <gnutls/abstract.h>
#include <openssl/x509v3.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "crypto/pki.h"
#include "gateway/gateway_internal.h"
#include "gateway/tls_auto.h"
#include "tests/lib/temp_dir.h"

#define DAY_MS ((uint64_t)86400 * 1000)
#define WAIT_MS 10000

typedef int retrieve_fn(gnutls_session_t, const gnutls_datum_t *, int,
                        const gnutls_pk_algorithm_t *, int, gnutls_pcert_st **,
                        unsigned *, gnutls_privkey_t *);

struct world {
    char *dir;
    struct server_options options;
    struct gateway g;
};

static atomic_uint_least64_t ahead_ms;

static uint64_t system_us(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t real_ms(void *data)
{
    (void)data;
    return system_us(CLOCK_REALTIME) / 1000 + atomic_load(&ahead_ms);
}

static uint64_t mono_us(void *data)
{
    (void)data;
    return system_us(CLOCK_MONOTONIC);
}

static void sleep_ms(void *data, uint64_t ms)
{
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};

    (void)data;
    nanosleep(&t, NULL);
}

static int setup(void **state)
{
    static const struct clock_ops clock = {real_ms, mono_us, sleep_ms, NULL};
    struct world *w = mem_alloc(sizeof *w);

    atomic_store(&ahead_ms, 0);
    clock_use(&clock);
    w->dir = temp_dir_new();
    w->options.data = w->dir;
    w->options.listen = (char *)"10.1.2.3:9000";
    w->g.options = &w->options;
    memset(w->g.cluster_id, 7, sizeof w->g.cluster_id);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    clock_use(NULL);
    temp_dir_free(w->dir);
    free(w);
    return 0;
}

static struct tls_auto *must_open(struct world *w)
{
    struct tls_auto *t = NULL;
    struct err err = {{0}};

    if (tls_auto_open(&w->g, &t, &err) != 0) {
        fail_msg("%s", err.text);
    }
    return t;
}

/* What a handshake would be given; free it. */
static X509 *shown(void)
{
    void *callback = tls_auto_callback();
    retrieve_fn *retrieve = (retrieve_fn *)callback;
    gnutls_pcert_st *chain = NULL;
    gnutls_privkey_t key = NULL;
    const unsigned char *at;
    unsigned count = 0;
    X509 *x;

    assert_int_equal(retrieve(NULL, NULL, 0, NULL, 0, &chain, &count, &key), 0);
    assert_int_equal(count, 2);
    assert_non_null(key);
    at = chain[0].cert.data;
    x = d2i_X509(NULL, &at, chain[0].cert.size);
    assert_non_null(x);
    return x;
}

static void the_port_is_certified_for_what_it_is_reached_by(void **state)
{
    char *more[] = {(char *)"lb.example", (char *)"2001:db8::1"};
    struct world *w = *state;
    struct tls_auto *t;
    X509 *x;

    w->options.domain = (char *)"s3.example";
    w->options.advertise = (char *)"[2001:db8::2]:9100";
    w->options.tls_name = (struct config_list){more, 2};
    t = must_open(w);
    x = shown();
    assert_int_equal(X509_check_ip_asc(x, "10.1.2.3", 0), 1);
    assert_int_equal(X509_check_ip_asc(x, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(x, "::1", 0), 1);
    assert_int_equal(X509_check_ip_asc(x, "2001:db8::1", 0), 1);
    assert_int_equal(X509_check_ip_asc(x, "2001:db8::2", 0), 1);
    assert_int_equal(X509_check_host(x, "localhost", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(x, "lb.example", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(x, "s3.example", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(x, "b.s3.example", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(x, "x.example", 0, 0, NULL), 0);
    X509_free(x);
    tls_auto_free(t);
}

static void a_wildcard_stands_for_the_machines_addresses(void **state)
{
    static const char *const any[] = {"0.0.0.0:9000", "[::]:9000", ":9000"};
    struct world *w = *state;

    for (size_t i = 0; i < 3; i++) {
        struct tls_auto *t;
        X509 *x;
        w->options.listen = (char *)any[i];
        t = must_open(w);
        x = shown();
        assert_int_equal(X509_check_ip_asc(x, "127.0.0.1", 0), 1);
        X509_free(x);
        tls_auto_free(t);
    }
}

static void the_ca_and_the_key_stay(void **state)
{
    struct world *w = *state;
    struct buf ca = {0};
    X509 *first, *second;
    struct tls_auto *t = must_open(w);

    first = shown();
    buf_append(&ca, tls_auto_ca(t)->data, tls_auto_ca(t)->len);
    tls_auto_free(t);
    t = must_open(w);
    second = shown();
    assert_int_equal(ca.len, tls_auto_ca(t)->len);
    assert_memory_equal(ca.data, tls_auto_ca(t)->data, ca.len);
    assert_int_equal(ca.data[ca.len - 1], '\0');
    assert_int_equal(
        EVP_PKEY_eq(X509_get0_pubkey(first), X509_get0_pubkey(second)), 1);
    assert_int_not_equal(X509_cmp(first, second), 0);
    X509_free(first);
    X509_free(second);
    buf_free(&ca);
    tls_auto_free(t);
}

static void it_is_renewed_when_a_third_is_left(void **state)
{
    struct world *w = *state;
    struct tls_auto *t = must_open(w);
    X509 *old = shown(), *now = NULL;
    int ms = 0;

    atomic_store(&ahead_ms, 59 * DAY_MS); /* of 90: not yet */
    tls_auto_start(t);
    clock_sleep_ms(200);
    now = shown();
    assert_int_equal(X509_cmp(old, now), 0);
    tls_auto_stop(t);
    tls_auto_free(t);
    X509_free(old);
    X509_free(now);

    atomic_store(&ahead_ms, 0);
    t = must_open(w);
    old = shown();
    atomic_store(&ahead_ms, 61 * DAY_MS);
    tls_auto_start(t);
    for (now = shown(); X509_cmp(old, now) == 0 && ms < WAIT_MS; ms += 10) {
        X509_free(now);
        clock_sleep_ms(10);
        now = shown();
    }
    assert_int_not_equal(X509_cmp(old, now), 0);
    X509_free(now);
    X509_free(old);
    tls_auto_stop(t);
    tls_auto_free(t);
}

static void devices_get_certificates_of_the_same_ca(void **state)
{
    struct world *w = *state;
    struct tls_auto *t = must_open(w);
    struct buf key = {0}, request = {0}, cert = {0};
    struct pki_cert info;
    struct err err;

    assert_int_equal(pki_request_new(&key, &request, NULL), 0);
    assert_int_equal(
        tls_auto_issue_device(t, request.data, request.len, 12, &cert, NULL),
        0);
    assert_int_equal(pki_cert_read(cert.data, cert.len, &info, NULL), 0);
    assert_int_equal(info.device, 12);
    assert_memory_equal(info.cluster, w->g.cluster_id, sizeof info.cluster);
    assert_int_equal(tls_auto_issue_device(t, "x", 1, 12, &cert, &err),
                     ERR_BAD_INPUT);
    buf_wipe(&key);
    buf_free(&request);
    buf_free(&cert);
    tls_auto_free(t);
}

static void spoil(const struct world *w, const char *name)
{
    char *path = mem_printf("%s/identity/%s", w->dir, name);

    assert_int_equal(fs_write(path, "spoiled", 7, 0600, NULL), 0);
    free(path);
}

static void what_is_wrong_is_said(void **state)
{
    char *bad[] = {(char *)"a b"};
    struct world *w = *state;
    struct tls_auto *t = NULL;
    struct err err;

    w->options.tls_name = (struct config_list){bad, 1};
    assert_int_equal(tls_auto_open(&w->g, &t, &err), ERR_BAD_INPUT);
    assert_non_null(strstr(err.text, "a b"));
    w->options.tls_name = (struct config_list){NULL, 0};
    tls_auto_free(must_open(w));
    spoil(w, "https.crt"); /* is made anew at each start */
    tls_auto_free(must_open(w));
    spoil(w, "https.key");
    assert_int_equal(tls_auto_open(&w->g, &t, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "https.key"));
    spoil(w, "ca.crt");
    assert_int_equal(tls_auto_open(&w->g, &t, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "ca.crt"));
    assert_null(t);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_port_is_certified_for_what_it_is_reached_by),
        TEST(a_wildcard_stands_for_the_machines_addresses),
        TEST(the_ca_and_the_key_stay),
        TEST(it_is_renewed_when_a_third_is_left),
        TEST(devices_get_certificates_of_the_same_ca),
        TEST(what_is_wrong_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
