/* Goal: only servers of one cluster speak to each other, each knows who the
 * other is, who joins trusts the pinned CA alone, and no bytes do harm.
 * Method: two streams in memory, joined by hand, with certificates of pki.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "crypto/tls.h"

struct ca {
    uint8_t cluster[PKI_CLUSTER_ID];
    struct buf key, cert;
    uint8_t fingerprint[PKI_FINGERPRINT];
};

static uint64_t now_s(void)
{
    return clock_real_ms() / 1000;
}

static void ca_make(struct ca *ca, uint8_t tag)
{
    struct pki_cert info;

    memset(ca, 0, sizeof *ca);
    memset(ca->cluster, tag, sizeof ca->cluster);
    assert_int_equal(
        pki_ca_new(ca->cluster, now_s(), &ca->key, &ca->cert, NULL), 0);
    assert_int_equal(pki_cert_read(ca->cert.data, ca->cert.len, &info, NULL),
                     0);
    memcpy(ca->fingerprint, info.fingerprint, sizeof ca->fingerprint);
}

static void ca_free(struct ca *ca)
{
    buf_wipe(&ca->key);
    buf_free(&ca->cert);
}

/* A server of @ca, certified at @when. */
static struct tls_context *server_of(const struct ca *ca, uint32_t id,
                                     uint64_t when)
{
    struct buf key = {0}, request = {0}, cert = {0};
    struct tls_context *c = NULL;
    struct err err = {{0}};

    assert_int_equal(pki_request_new(&key, &request, NULL), 0);
    assert_int_equal(pki_issue(&ca->key, &ca->cert, request.data, request.len,
                               id, when, &cert, NULL),
                     0);
    if (tls_context_new(&ca->cert, &cert, &key, &c, &err) != 0) {
        fail_msg("%s", err.text);
    }
    buf_wipe(&key);
    buf_free(&request);
    buf_free(&cert);
    return c;
}

struct pair {
    struct tls_stream *a, *b; /* client, server */
    struct err err_a, err_b;
    int rc_a, rc_b;
};

static void move(struct tls_stream *from, struct tls_stream *to, size_t most)
{
    const void *p;
    size_t len;

    while ((p = tls_pending(from, &len)) != NULL) {
        len = len < most ? len : most;
        tls_feed(to, p, len);
        tls_sent(from, len);
    }
}

static void shake(struct pair *p, struct tls_context *client,
                  struct tls_context *server)
{
    uint8_t none[16];
    size_t got;

    memset(p, 0, sizeof *p);
    p->a = tls_stream_new(client, false);
    p->b = tls_stream_new(server, true);
    for (int i = 0; i < 10; i++) {
        if (p->rc_a == 0) {
            p->rc_a = tls_read(p->a, none, sizeof none, &got, &p->err_a);
        }
        move(p->a, p->b, 777);
        if (p->rc_b == 0) {
            p->rc_b = tls_read(p->b, none, sizeof none, &got, &p->err_b);
        }
        move(p->b, p->a, 333);
    }
}

static void part(struct pair *p)
{
    tls_stream_free(p->a);
    tls_stream_free(p->b);
}

static void servers_of_a_cluster_know_each_other(void **state)
{
    struct ca ca;
    struct tls_context *one, *two;
    struct pair p;

    (void)state;
    ca_make(&ca, 1);
    one = server_of(&ca, 1, now_s());
    two = server_of(&ca, 70000, now_s());
    shake(&p, one, two);
    tls_context_free(one); /* a renewed one takes its place */
    tls_context_free(two);
    assert_true(tls_ready(p.a) && tls_ready(p.b));
    assert_int_equal(tls_peer(p.a), 70000);
    assert_int_equal(tls_peer(p.b), 1);
    assert_true(tls_peer_until(p.a) > now_s() + 80 * 86400);
    part(&p);
    ca_free(&ca);
}

static void bytes_arrive_as_they_were_sent(void **state)
{
    enum { SIZE = 3 << 20 };
    struct ca ca;
    struct tls_context *one, *two;
    uint8_t *sent = malloc(SIZE), *came = malloc(SIZE);
    struct pair p;
    size_t at = 0, out = 0;

    (void)state;
    ca_make(&ca, 1);
    one = server_of(&ca, 1, now_s());
    two = server_of(&ca, 2, now_s());
    shake(&p, one, two);
    for (size_t i = 0; i < SIZE; i++) {
        sent[i] = (uint8_t)(i * 7 + i / 251);
    }
    srand(5);
    while (at < SIZE) {
        size_t got, n = 1 + (size_t)rand() % 70000;
        n = n < SIZE - out ? n : SIZE - out;
        if (n > 0) {
            tls_write(p.a, sent + out, n);
            out += n;
        }
        move(p.a, p.b, 1 + (size_t)rand() % 5000);
        assert_int_equal(tls_read(p.b, came + at, SIZE - at, &got, NULL), 0);
        at += got;
    }
    assert_memory_equal(sent, came, SIZE);
    tls_write(p.b, "back", 4);
    move(p.b, p.a, 1);
    assert_int_equal(tls_read(p.a, came, 100, &at, NULL), 0);
    assert_int_equal(at, 4);
    tls_close(p.a);
    move(p.a, p.b, 100);
    assert_int_equal(tls_read(p.b, came, 100, &at, &p.err_b), ERR_CLOSED);
    part(&p);
    tls_context_free(one);
    tls_context_free(two);
    ca_free(&ca);
    free(sent);
    free(came);
}

static void another_cluster_is_refused(void **state)
{
    struct ca ours, theirs;
    struct tls_context *one, *other;
    struct pair p;

    (void)state;
    ca_make(&ours, 1);
    ca_make(&theirs, 1); /* of the same name */
    one = server_of(&ours, 1, now_s());
    other = server_of(&theirs, 2, now_s());
    shake(&p, other, one);
    assert_false(tls_ready(p.b));
    assert_int_equal(p.rc_a, ERR_DENIED);
    part(&p);
    shake(&p, one, other);
    assert_int_equal(p.rc_a, ERR_DENIED);
    assert_true(p.err_a.text[0] != '\0');
    part(&p);
    tls_context_free(one);
    tls_context_free(other);
    ca_free(&ours);
    ca_free(&theirs);
}

static void what_is_not_valid_now_is_refused(void **state)
{
    struct ca ca;
    struct tls_context *one, *old, *early;
    struct pair p;

    (void)state;
    ca_make(&ca, 1);
    one = server_of(&ca, 1, now_s());
    old = server_of(&ca, 2, now_s() - 91 * (uint64_t)86400);
    early = server_of(&ca, 3, now_s() + 86400);
    shake(&p, one, old);
    assert_int_equal(p.rc_a, ERR_DENIED);
    assert_non_null(strstr(p.err_a.text, "expired"));
    part(&p);
    shake(&p, early, one);
    assert_int_equal(p.rc_b, ERR_DENIED);
    assert_non_null(strstr(p.err_b.text, "not yet valid"));
    part(&p);
    tls_context_free(one);
    tls_context_free(old);
    tls_context_free(early);
    ca_free(&ca);
}

static void a_stranger_trusts_the_pinned_ca_alone(void **state)
{
    struct ca ca, other;
    struct tls_context *one, *right, *wrong;
    struct pair p;

    (void)state;
    ca_make(&ca, 1);
    ca_make(&other, 2);
    one = server_of(&ca, 9, now_s());
    assert_int_equal(tls_context_stranger(ca.fingerprint, &right, NULL), 0);
    assert_int_equal(tls_context_stranger(other.fingerprint, &wrong, NULL), 0);
    shake(&p, right, one);
    assert_true(tls_ready(p.a) && tls_ready(p.b));
    assert_int_equal(tls_peer(p.a), 9);
    assert_int_equal(tls_peer(p.b), 0); /* a stranger */
    part(&p);
    shake(&p, wrong, one);
    assert_false(tls_ready(p.a));
    assert_int_equal(p.rc_a, ERR_DENIED);
    part(&p);
    tls_context_free(one);
    tls_context_free(right);
    tls_context_free(wrong);
    ca_free(&ca);
    ca_free(&other);
}

static void what_is_no_tls_is_refused(void **state)
{
    /* A ClientHello of TLS 1.2, as far as it matters. */
    static const uint8_t old[] = {
        0x16, 0x03, 0x01, 0x00, 0x2f, 0x01, 0x00, 0x00, 0x2b, 0x03, 0x03,
        1,    2,    3,    4,    5,    6,    7,    8,    9,    10,   11,
        12,   13,   14,   15,   16,   17,   18,   19,   20,   21,   22,
        23,   24,   25,   26,   27,   28,   29,   30,   31,   32,   0x00,
        0x00, 0x02, 0x00, 0x2f, 0x01, 0x00, 0x00, 0x00};
    struct ca ca;
    struct tls_context *one;
    uint8_t junk[400], out[10];
    size_t got;

    (void)state;
    ca_make(&ca, 1);
    one = server_of(&ca, 1, now_s());
    for (unsigned seed = 0; seed < 200; seed++) {
        struct tls_stream *s = tls_stream_new(one, seed % 2);
        struct err err;
        int rc = 0;
        srand(seed);
        for (size_t i = 0; i < sizeof junk; i++) {
            junk[i] = (uint8_t)rand();
        }
        if (seed == 0) {
            memcpy(junk, "GET / HTTP/1.1\r\n\r\n", 18);
        }
        tls_feed(s, junk, sizeof junk);
        rc = tls_read(s, out, sizeof out, &got, &err);
        assert_true(rc != 0 || !tls_ready(s));
        tls_stream_free(s);
    }
    {
        struct tls_stream *s = tls_stream_new(one, true);
        struct err err;
        tls_feed(s, old, sizeof old);
        assert_int_equal(tls_read(s, out, sizeof out, &got, &err), ERR_CORRUPT);
        tls_stream_free(s);
    }
    tls_context_free(one);
    ca_free(&ca);
}

static void parts_that_do_not_belong_together_make_no_context(void **state)
{
    struct ca ca, other;
    struct buf key = {0}, request = {0}, cert = {0}, key2 = {0}, none = {0};
    struct buf request2 = {0};
    struct tls_context *c = NULL;
    struct err err;

    (void)state;
    ca_make(&ca, 1);
    ca_make(&other, 1);
    pki_request_new(&key, &request, NULL);
    pki_request_new(&key2, &request2, NULL);
    pki_issue(&ca.key, &ca.cert, request.data, request.len, 1, now_s(), &cert,
              NULL);
    assert_int_equal(tls_context_new(&other.cert, &cert, &key, &c, &err),
                     ERR_BAD_INPUT);
    assert_int_equal(tls_context_new(&ca.cert, &cert, &key2, &c, &err),
                     ERR_BAD_INPUT);
    assert_int_equal(tls_context_new(&ca.cert, &none, &key, &c, &err),
                     ERR_BAD_INPUT);
    assert_int_equal(tls_context_new(&ca.cert, &cert, &none, &c, &err),
                     ERR_BAD_INPUT);
    assert_null(c);
    buf_wipe(&key);
    buf_wipe(&key2);
    buf_free(&request);
    buf_free(&request2);
    buf_free(&cert);
    ca_free(&ca);
    ca_free(&other);
}

/* With a certificate of another kind of the same CA. */
static struct tls_context *other_kind(const struct ca *ca, bool device)
{
    const char *names[] = {"localhost"};
    struct buf key = {0}, request = {0}, cert = {0};
    struct tls_context *c = NULL;

    assert_int_equal(pki_request_new(&key, &request, NULL), 0);
    assert_int_equal(
        device ? pki_issue_device(&ca->key, &ca->cert, request.data,
                                  request.len, 2, now_s(), &cert, NULL)
               : pki_issue_https(&ca->key, &ca->cert, request.data, request.len,
                                 names, 1, now_s(), &cert, NULL),
        0);
    assert_int_equal(tls_context_new(&ca->cert, &cert, &key, &c, NULL), 0);
    buf_wipe(&key);
    buf_free(&request);
    buf_free(&cert);
    return c;
}

static void neither_device_nor_https_port_passes_for_a_server(void **state)
{
    struct ca ca;
    struct tls_context *server, *other;
    struct pair p;

    (void)state;
    ca_make(&ca, 1);
    server = server_of(&ca, 1, now_s());
    for (int device = 0; device < 2; device++) {
        other = other_kind(&ca, device);
        shake(&p, other, server); /* as a client of the cluster port */
        assert_int_equal(p.rc_b, ERR_DENIED);
        assert_false(tls_ready(p.b));
        part(&p);
        shake(&p, server, other); /* as the other end of a server's call */
        assert_int_equal(p.rc_a, ERR_DENIED);
        assert_false(tls_ready(p.a));
        part(&p);
        tls_context_free(other);
    }
    tls_context_free(server);
    ca_free(&ca);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(servers_of_a_cluster_know_each_other),
        cmocka_unit_test(bytes_arrive_as_they_were_sent),
        cmocka_unit_test(another_cluster_is_refused),
        cmocka_unit_test(what_is_not_valid_now_is_refused),
        cmocka_unit_test(neither_device_nor_https_port_passes_for_a_server),
        cmocka_unit_test(a_stranger_trusts_the_pinned_ca_alone),
        cmocka_unit_test(what_is_no_tls_is_refused),
        cmocka_unit_test(parts_that_do_not_belong_together_make_no_context),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
