/* Goal: certificates say what they should and nothing else passes for one; a
 * request proves its key; a join token survives being written down, and no
 * damaged one is taken or repeated in an error.
 * Method: round trips; each kind of damage; a request made by another program.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/buf.h"
#include "base/err.h"
#include "crypto/pki.h"

#define NOW 1800000000u
#define DAY 86400u

/* A request for a P-384 key, good in itself. */
static const char other_curve[] =
    "-----BEGIN CERTIFICATE REQUEST-----\n"
    "MIIBBDCBiwIBADAMMQowCAYDVQQDDAF4MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE\n"
    "X3F/sw6Fj9FjcNoNsMpKlXAJI4a2n94epmtD64sFmWEuhlgyy6r1CtGMHp92hCqe\n"
    "vjn6xOPiNv690DLHzcB/AvUvSIglNUUb8DV6Fo2HHjoh6Yzp/1WIMAsOlscBQ+wp\n"
    "oAAwCgYIKoZIzj0EAwIDaAAwZQIxANEJH1JB35eE+zHp7k4ntKTcNKBvwNYc44w3\n"
    "XnHHBn/faJywhRN0Xw4PEkuiYwNztwIwAsxhmjj75Kjk0Ur9uvzE43Qvof0ITEg1\n"
    "P0VFTdlay9R1KNiclCTw8eE+2a4P5qHV\n"
    "-----END CERTIFICATE REQUEST-----\n";

struct world {
    uint8_t cluster[PKI_CLUSTER_ID];
    struct buf ca_key, ca_cert, key, request, cert;
};

static void make(struct world *w)
{
    memset(w, 0, sizeof *w);
    memset(w->cluster, 0xab, sizeof w->cluster);
    assert_int_equal(pki_ca_new(w->cluster, NOW, &w->ca_key, &w->ca_cert, NULL),
                     0);
    assert_int_equal(pki_request_new(&w->key, &w->request, NULL), 0);
}

static int issue(struct world *w, uint32_t server, struct err *err)
{
    buf_free(&w->cert);
    return pki_issue(&w->ca_key, &w->ca_cert, w->request.data, w->request.len,
                     server, NOW, &w->cert, err);
}

static void drop(struct world *w)
{
    buf_wipe(&w->ca_key);
    buf_free(&w->ca_cert);
    buf_wipe(&w->key);
    buf_free(&w->request);
    buf_free(&w->cert);
}

static void certificates_say_who_and_until_when(void **state)
{
    static const uint32_t ids[] = {1, 2, 65535, UINT32_MAX};
    struct world w;
    struct pki_cert ca, c;

    (void)state;
    make(&w);
    assert_int_equal(pki_cert_read(w.ca_cert.data, w.ca_cert.len, &ca, NULL),
                     0);
    assert_int_equal(ca.server, 0);
    assert_memory_equal(ca.cluster, w.cluster, sizeof w.cluster);
    assert_true(ca.not_after_s > NOW + 19 * 365 * (uint64_t)DAY);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(issue(&w, ids[i], NULL), 0);
        assert_int_equal(pki_cert_read(w.cert.data, w.cert.len, &c, NULL), 0);
        assert_int_equal(c.server, ids[i]);
        assert_memory_equal(c.cluster, w.cluster, sizeof w.cluster);
        assert_int_equal(c.not_before_s, NOW - 600);
        assert_int_equal(c.not_after_s, NOW + PKI_CERT_DAYS * (uint64_t)DAY);
        assert_memory_not_equal(c.fingerprint, ca.fingerprint,
                                sizeof c.fingerprint);
    }
    drop(&w);
}

static void a_request_must_prove_its_key(void **state)
{
    struct world w;
    struct err err;
    char *at;

    (void)state;
    make(&w);
    at = strchr((char *)w.request.data + 60, '\n') - 4; /* in its base64 */
    *at = *at == 'A' ? 'B' : 'A';
    assert_int_equal(issue(&w, 1, &err), ERR_BAD_INPUT);
    assert_non_null(strstr(err.text, "request"));
    assert_int_equal(pki_issue(&w.ca_key, &w.ca_cert, other_curve,
                               sizeof other_curve - 1, 1, NOW, &w.cert, &err),
                     ERR_BAD_INPUT);
    assert_non_null(strstr(err.text, "P-256"));
    assert_int_equal(
        pki_issue(&w.ca_key, &w.ca_cert, "", 0, 1, NOW, &w.cert, &err),
        ERR_BAD_INPUT);
    assert_int_equal(w.cert.len, 0);
    drop(&w);
}

static void only_the_cas_own_key_issues(void **state)
{
    struct world w, other;
    struct err err;

    (void)state;
    make(&w);
    make(&other);
    assert_int_equal(pki_issue(&other.ca_key, &w.ca_cert, w.request.data,
                               w.request.len, 1, NOW, &w.cert, &err),
                     ERR_BAD_INPUT);
    assert_int_equal(issue(&w, 1, NULL), 0);
    /* A server's certificate is no CA. */
    assert_int_equal(pki_issue(&w.key, &w.cert, w.request.data, w.request.len,
                               2, NOW, &other.cert, &err),
                     ERR_BAD_INPUT);
    drop(&w);
    drop(&other);
}

static void what_is_not_one_certificate_is_refused(void **state)
{
    struct world w;
    struct pki_cert c;
    struct buf two = {0}, behind = {0};
    struct err err;

    (void)state;
    make(&w);
    assert_int_equal(issue(&w, 1, NULL), 0);
    buf_append(&two, w.cert.data, w.cert.len);
    buf_append(&two, w.ca_cert.data, w.ca_cert.len);
    assert_int_equal(pki_cert_read(two.data, two.len, &c, &err), ERR_BAD_INPUT);
    buf_append(&behind, "x", 1);
    buf_append(&behind, w.cert.data, w.cert.len);
    assert_int_equal(pki_cert_read(behind.data, behind.len, &c, &err),
                     ERR_BAD_INPUT);
    assert_int_equal(pki_cert_read(w.key.data, w.key.len, &c, &err),
                     ERR_BAD_INPUT);
    for (size_t n = 0; n < w.cert.len - 30; n += 7) {
        assert_int_equal(pki_cert_read(w.cert.data, n, &c, &err),
                         ERR_BAD_INPUT);
    }
    assert_int_equal(pki_cert_read(two.data, PKI_PEM_MAX + 1, &c, &err),
                     ERR_BAD_INPUT);
    buf_free(&two);
    buf_free(&behind);
    drop(&w);
}

static void a_token_comes_back_as_it_was(void **state)
{
    uint8_t ca[PKI_FINGERPRINT];
    struct pki_token t, got;
    char text[PKI_TOKEN_TEXT];

    (void)state;
    for (int i = 0; i < 200; i++) {
        memset(ca, i, sizeof ca);
        pki_token_new(ca, &t);
        pki_token_format(&t, text);
        assert_int_equal(strlen(text), PKI_TOKEN_TEXT - 1);
        assert_int_equal(pki_token_parse(text, &got, NULL), 0);
        assert_memory_equal(&got, &t, sizeof t);
    }
}

static void a_damaged_token_is_refused_and_not_repeated(void **state)
{
    uint8_t ca[PKI_FINGERPRINT] = {9};
    struct pki_token t, got;
    char text[PKI_TOKEN_TEXT + 1], bad[PKI_TOKEN_TEXT + 1];
    struct err err;

    (void)state;
    pki_token_new(ca, &t);
    pki_token_format(&t, text);
    for (size_t i = 0; i < PKI_TOKEN_TEXT - 1; i++) {
        strcpy(bad, text);
        bad[i] = '*';
        assert_int_equal(pki_token_parse(bad, &got, &err), ERR_BAD_INPUT);
        assert_null(strstr(err.text, text + 10));
        bad[i] = '\0';
        assert_int_equal(pki_token_parse(bad, &got, &err), ERR_BAD_INPUT);
    }
    strcpy(bad, text);
    strcat(bad, "A");
    assert_int_equal(pki_token_parse(bad, &got, &err), ERR_BAD_INPUT);
    assert_int_equal(pki_token_parse("", &got, &err), ERR_BAD_INPUT);
    assert_int_equal(pki_token_parse("gwj2.", &got, &err), ERR_BAD_INPUT);
}

static int issue_device(struct world *w, uint64_t number, struct err *err)
{
    buf_free(&w->cert);
    return pki_issue_device(&w->ca_key, &w->ca_cert, w->request.data,
                            w->request.len, number, NOW, &w->cert, err);
}

static int issue_https(struct world *w, const char *name, struct err *err)
{
    const char *names[] = {"localhost", name};

    buf_free(&w->cert);
    return pki_issue_https(&w->ca_key, &w->ca_cert, w->request.data,
                           w->request.len, names, 2, NOW, &w->cert, err);
}

/* As it comes by TLS. */
static size_t der_of(const struct buf *pem, unsigned char **out)
{
    BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->len);
    X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    int len = i2d_X509(x, out);

    assert_true(len > 0);
    X509_free(x);
    BIO_free(bio);
    return (size_t)len;
}

static int verify(const struct world *ca, const struct buf *pem, uint64_t now_s,
                  struct pki_cert *c, struct err *err)
{
    unsigned char *der = NULL;
    size_t len = der_of(pem, &der);
    int rc = pki_device_verify(&ca->ca_cert, der, len, now_s, c, err);

    OPENSSL_free(der);
    return rc;
}

static void each_kind_says_what_it_is(void **state)
{
    struct world w;
    struct pki_cert c;

    (void)state;
    make(&w);
    assert_int_equal(pki_cert_read(w.ca_cert.data, w.ca_cert.len, &c, NULL), 0);
    assert_true(c.ca && !c.https && c.device == 0);
    assert_int_equal(issue(&w, 3, NULL), 0);
    assert_int_equal(pki_cert_read(w.cert.data, w.cert.len, &c, NULL), 0);
    assert_true(!c.ca && !c.https && c.device == 0 && c.server == 3);
    assert_int_equal(issue_device(&w, UINT64_MAX, NULL), 0);
    assert_int_equal(pki_cert_read(w.cert.data, w.cert.len, &c, NULL), 0);
    assert_true(!c.ca && !c.https && c.device == UINT64_MAX && c.server == 0);
    assert_int_equal(c.not_after_s, NOW + PKI_DEVICE_DAYS * (uint64_t)DAY);
    assert_int_equal(issue_https(&w, "::1", NULL), 0);
    assert_int_equal(pki_cert_read(w.cert.data, w.cert.len, &c, NULL), 0);
    assert_true(!c.ca && c.https && c.device == 0 && c.server == 0);
    drop(&w);
}

static void only_a_device_of_the_cluster_passes_for_one(void **state)
{
    struct world w, other;
    struct pki_cert c = {.device = 77};
    struct err err;

    (void)state;
    make(&w);
    make(&other);
    assert_int_equal(issue(&w, 5, NULL), 0);
    assert_int_equal(verify(&w, &w.cert, NOW, &c, &err), ERR_DENIED);
    assert_int_equal(issue_https(&w, "a.example", NULL), 0);
    assert_int_equal(verify(&w, &w.cert, NOW, &c, &err), ERR_DENIED);
    assert_int_equal(verify(&w, &w.ca_cert, NOW, &c, &err), ERR_DENIED);
    assert_int_equal(issue_device(&other, 5, NULL), 0); /* the same id */
    assert_int_equal(verify(&w, &other.cert, NOW, &c, &err), ERR_DENIED);
    assert_int_equal(issue_device(&w, 5, NULL), 0);
    assert_int_equal(verify(&w, &w.cert, NOW - 601, &c, &err), ERR_DENIED);
    assert_non_null(strstr(err.text, "not yet valid"));
    assert_int_equal(verify(&w, &w.cert, NOW + 366 * DAY, &c, &err),
                     ERR_DENIED);
    assert_non_null(strstr(err.text, "expired"));
    assert_int_equal(pki_device_verify(&w.ca_cert, "no", 2, NOW, &c, &err),
                     ERR_DENIED);
    assert_int_equal(c.device, 77);
    assert_int_equal(verify(&w, &w.cert, NOW, &c, &err), 0);
    assert_int_equal(c.device, 5);
    drop(&w);
    drop(&other);
}

static void a_key_has_one_fingerprint_everywhere(void **state)
{
    struct world w, other;
    struct pki_cert c;
    uint8_t a[PKI_FINGERPRINT], b[PKI_FINGERPRINT];

    (void)state;
    make(&w);
    make(&other);
    assert_int_equal(issue_device(&w, 9, NULL), 0);
    assert_int_equal(
        pki_key_fingerprint(w.request.data, w.request.len, a, NULL), 0);
    assert_int_equal(pki_key_fingerprint(w.cert.data, w.cert.len, b, NULL), 0);
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(pki_cert_read(w.cert.data, w.cert.len, &c, NULL), 0);
    assert_memory_equal(a, c.key, sizeof a);
    assert_int_equal(
        pki_key_fingerprint(other.request.data, other.request.len, b, NULL), 0);
    assert_memory_not_equal(a, b, sizeof a);
    assert_int_equal(pki_key_fingerprint(w.key.data, w.key.len, b, NULL),
                     ERR_BAD_INPUT);
    drop(&w);
    drop(&other);
}

static void an_https_certificate_holds_addresses_and_names(void **state)
{
    static const char *const bad[] = {
        "",   "a b", "a,DNS:evil", "-a",  "a..b",    "*.",
        ".a", "a*b", "1::2::3",    "a/b", "email:x", "\xc3\xa4"};
    static const char *const names[] = {"localhost", "127.0.0.1", "::1",
                                        "*.s3.example.org", "2001:db8::7"};
    struct world w;
    struct err err;
    BIO *bio;
    X509 *x;

    (void)state;
    make(&w);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(pki_name_ok(bad[i]));
        assert_int_equal(issue_https(&w, bad[i], &err), ERR_BAD_INPUT);
    }
    assert_int_equal(
        pki_issue_https(&w.ca_key, &w.ca_cert, w.request.data, w.request.len,
                        names, 0, NOW, &w.cert, &err),
        ERR_BAD_INPUT);
    assert_int_equal(
        pki_issue_https(&w.ca_key, &w.ca_cert, w.request.data, w.request.len,
                        names, 5, NOW, &w.cert, &err),
        0);
    bio = BIO_new_mem_buf(w.cert.data, (int)w.cert.len);
    x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    assert_int_equal(X509_check_host(x, "localhost", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(x, "b.s3.example.org", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(x, "other.example.org", 0, 0, NULL), 0);
    assert_int_equal(X509_check_ip_asc(x, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(x, "2001:db8::7", 0), 1);
    assert_int_equal(X509_check_ip_asc(x, "127.0.0.2", 0), 0);
    X509_free(x);
    BIO_free(bio);
    drop(&w);
}

static void an_enrolment_code_is_no_token(void **state)
{
    uint8_t ca[PKI_FINGERPRINT] = {3}, secret[PKI_TOKEN_SECRET];
    struct pki_token t, got;
    char text[PKI_TOKEN_TEXT], alone[PKI_SECRET_TEXT];
    struct err err;

    (void)state;
    pki_token_new(ca, &t);
    pki_code_format(&t, text);
    assert_int_equal(pki_code_parse(text, &got, NULL), 0);
    assert_memory_equal(&got, &t, sizeof t);
    assert_int_equal(pki_token_parse(text, &got, &err), ERR_BAD_INPUT);
    pki_token_format(&t, text);
    assert_int_equal(pki_code_parse(text, &got, &err), ERR_BAD_INPUT);
    assert_non_null(strstr(err.text, "gwe1."));
    pki_secret_format(t.secret, alone);
    assert_string_equal(alone, text + strlen(text) - 22);
    assert_true(pki_secret_parse(alone, secret));
    assert_memory_equal(secret, t.secret, sizeof secret);
    alone[21] = '\0';
    assert_false(pki_secret_parse(alone, secret));
}

static void the_last_third_is_for_renewal(void **state)
{
    (void)state;
    assert_false(pki_renewal_due(900, 1800, 900));
    assert_false(pki_renewal_due(900, 1800, 1500));
    assert_true(pki_renewal_due(900, 1800, 1501));
    assert_true(pki_renewal_due(900, 1800, 1800));
    assert_true(pki_renewal_due(900, 1800, 899)); /* not good yet */
}

static void a_policy_is_signed_by_its_ca_alone(void **state)
{
    static const char text[] = "{\"device\":\"d\"}";
    struct buf signature = {0};
    struct world w, other;
    struct err err;

    (void)state;
    make(&w);
    make(&other);
    assert_int_equal(
        pki_sign_policy(&w.ca_key, text, sizeof text - 1, &signature, &err), 0);
    assert_true(signature.len <= PKI_SIGNATURE_MAX);
    assert_int_equal(pki_verify_policy(&w.ca_cert, text, sizeof text - 1,
                                       signature.data, signature.len, &err),
                     0);
    assert_int_equal(pki_verify_policy(&w.ca_cert, text, sizeof text - 2,
                                       signature.data, signature.len, &err),
                     ERR_DENIED);
    assert_int_equal(pki_verify_policy(&other.ca_cert, text, sizeof text - 1,
                                       signature.data, signature.len, &err),
                     ERR_DENIED);
    for (size_t i = 0; i < signature.len; i++) {
        signature.data[i] ^= 1;
        assert_int_equal(pki_verify_policy(&w.ca_cert, text, sizeof text - 1,
                                           signature.data, signature.len, &err),
                         ERR_DENIED);
        signature.data[i] ^= 1;
    }
    assert_int_equal(pki_sign_policy(&w.ca_cert, text, 2, &signature, &err),
                     ERR_BAD_INPUT);
    buf_free(&signature);
    drop(&w);
    drop(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificates_say_who_and_until_when),
        cmocka_unit_test(a_request_must_prove_its_key),
        cmocka_unit_test(only_the_cas_own_key_issues),
        cmocka_unit_test(what_is_not_one_certificate_is_refused),
        cmocka_unit_test(a_token_comes_back_as_it_was),
        cmocka_unit_test(a_damaged_token_is_refused_and_not_repeated),
        cmocka_unit_test(each_kind_says_what_it_is),
        cmocka_unit_test(only_a_device_of_the_cluster_passes_for_one),
        cmocka_unit_test(a_key_has_one_fingerprint_everywhere),
        cmocka_unit_test(an_https_certificate_holds_addresses_and_names),
        cmocka_unit_test(an_enrolment_code_is_no_token),
        cmocka_unit_test(the_last_third_is_for_renewal),
        cmocka_unit_test(a_policy_is_signed_by_its_ca_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
