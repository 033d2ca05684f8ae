/* test_http_conn.c: endpoints, and TLS with its certificates.
 *
 * Goal: endpoints are taken apart as written or refused; a certificate is
 * trusted only with the right issuer and for the right name.
 * Method: a table of endpoints; a TLS server on a thread with a certificate
 * made on the spot, for "localhost" and 127.0.0.1.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "client/http_conn.h"

#define HERE "DNS:localhost,IP:127.0.0.1"
#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static void endpoints_are_taken_apart(void **state)
{
    static const struct {
        const char *url;
        const char *host;
        const char *port;
        const char *authority;
        bool tls;
        bool loopback;
    } cases[] = {
        {"http://127.0.0.1:9000", "127.0.0.1", "9000", "127.0.0.1:9000", false,
         true},
        {"http://127.9.9.9", "127.9.9.9", "80", "127.9.9.9", false, true},
        {"HTTPS://S3.example.com/", "S3.example.com", "443", "S3.example.com",
         true, false},
        {"https://[::1]:9000", "::1", "9000", "[::1]:9000", true, true},
        {"http://[fe80::1]", "fe80::1", "80", "[fe80::1]", false, false},
        {"http://localhost:1", "localhost", "1", "localhost:1", false, true},
        {"http://128.0.0.1:65535", "128.0.0.1", "65535", "128.0.0.1:65535",
         false, false},
        {"http://localhost.evil.com", "localhost.evil.com", "80",
         "localhost.evil.com", false, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct http_endpoint e;
        assert_int_equal(http_endpoint_parse(cases[i].url, &e, NULL), 0);
        assert_string_equal(e.host, cases[i].host);
        assert_string_equal(e.port, cases[i].port);
        assert_string_equal(e.authority, cases[i].authority);
        assert_int_equal(e.tls, cases[i].tls);
        assert_int_equal(http_endpoint_is_loopback(&e), cases[i].loopback);
        http_endpoint_free(&e);
    }
}

static void bad_endpoints_are_refused(void **state)
{
    static const char *const urls[] = {
        "",
        "127.0.0.1:9000",
        "ftp://h",
        "http:/h",
        "http://",
        "http:///path",
        "http://h/path",
        "http://h?x",
        "http://h#x",
        "http://:9000",
        "http://h:",
        "http://h:0",
        "http://h:65536",
        "http://h:port",
        "http://h:1:2",
        "http://[::1",
        "http://[::1]9000",
        "http://[]:1",
        "http://user@h",
        "http://a b",
        "http://h\r\nX: y",
        "http://h\xc3\xa4",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(urls); i++) {
        struct http_endpoint e = {0};
        struct err err = {{0}};
        if (http_endpoint_parse(urls[i], &e, &err) != ERR_BAD_INPUT ||
            err.text[0] == '\0') {
            fail_msg("\"%s\" was taken", urls[i]);
        }
        assert_null(e.host);
    }
}

/* ---- TLS ---- */

static EVP_PKEY *key;
static X509 *certificate;
static const char ca_template[] = "/tmp/godwit-test-ca.XXXXXX";
static char ca_path[sizeof ca_template];
static char other_path[sizeof ca_template];

static void add_extension(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, (char *)value);

    assert_non_null(e);
    assert_int_equal(X509_add_ext(x, e, -1), 1);
    X509_EXTENSION_free(e);
}

static X509 *self_signed(EVP_PKEY *k, const char *names)
{
    X509 *x = X509_new();
    X509_NAME *name = X509_get_subject_name(x);

    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(x, name);
    X509_set_pubkey(x, k);
    add_extension(x, NID_subject_alt_name, names);
    add_extension(x, NID_basic_constraints, "critical,CA:TRUE");
    assert_true(X509_sign(x, k, EVP_sha256()) > 0);
    return x;
}

static void write_pem(char *path, X509 *x)
{
    int fd = mkstemp(path);
    FILE *f = fdopen(fd, "w");

    assert_non_null(f);
    PEM_write_X509(f, x);
    fclose(f);
}

static int make_certificates(void **state)
{
    EVP_PKEY *other_key = EVP_EC_gen("P-256");
    X509 *other = self_signed(other_key, HERE);

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    key = EVP_EC_gen("P-256");
    certificate = self_signed(key, HERE);
    write_pem(memcpy(ca_path, ca_template, sizeof ca_path), certificate);
    write_pem(memcpy(other_path, ca_template, sizeof other_path), other);
    X509_free(other);
    EVP_PKEY_free(other_key);
    return 0;
}

static int remove_certificates(void **state)
{
    (void)state;
    X509_free(certificate);
    EVP_PKEY_free(key);
    unlink(ca_path);
    unlink(other_path);
    return 0;
}

struct tls_server {
    pthread_t thread;
    int listener;
    char port[8];
    bool rude; /* ends without TLS's own farewell */
};

/* One connection: read five bytes, send them back, end. */
static void *run_server(void *arg)
{
    struct tls_server *s = arg;
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    int fd = accept(s->listener, NULL, NULL);
    SSL *ssl = SSL_new(context);
    char bytes[5] = {0};

    SSL_use_certificate(ssl, certificate);
    SSL_use_PrivateKey(ssl, key);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) {
        for (int n = 0, got = 1; n < 5 && got > 0; n += got) {
            got = SSL_read(ssl, bytes + n, 5 - n);
        }
        SSL_write(ssl, bytes, 5);
        if (!s->rude) {
            SSL_shutdown(ssl);
        }
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
    close(fd);
    return NULL;
}

static void start_server(struct tls_server *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;

    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(s->listener, 1), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&a, &len), 0);
    snprintf(s->port, sizeof s->port, "%u", ntohs(a.sin_port));
    assert_int_equal(pthread_create(&s->thread, NULL, run_server, s), 0);
}

static void stop_server(struct tls_server *s)
{
    pthread_join(s->thread, NULL);
    close(s->listener);
}

/* Connect to a server of the test's as @host. */
static int connect_as(const char *host, const char *ca, bool insecure,
                      bool rude, struct err *err)
{
    struct tls_server s = {.rude = rude};
    struct http_endpoint e;
    struct http_tls *tls;
    struct http_conn *c;
    char bytes[8] = {0};
    char *url;
    size_t len = 0;
    int rc;

    start_server(&s);
    url = mem_printf("https://%s:%s", host, s.port);
    assert_int_equal(http_endpoint_parse(url, &e, NULL), 0);
    assert_int_equal(http_tls_new(ca, insecure, &tls, NULL), 0);
    rc = http_conn_open(&e, tls, 5000, 5000, &c, err);
    if (rc == 0) {
        assert_int_equal(http_conn_write(c, "hel", 3, true, NULL), 0);
        assert_int_equal(http_conn_write(c, "lo", 2, false, NULL), 0);
        assert_true(http_conn_readable(c, 5000));
        assert_int_equal(http_conn_read(c, bytes, 8, &len, NULL), 0);
        assert_int_equal(len, 5);
        assert_memory_equal(bytes, "hello", 5);
        rc = http_conn_read(c, bytes, 8, &len, err);
        if (rc == 0) {
            assert_int_equal(len, 0);
        }
        http_conn_close(c);
    }
    stop_server(&s);
    http_tls_free(tls);
    http_endpoint_free(&e);
    free(url);
    return rc;
}

static void a_trusted_server_is_spoken_to(void **state)
{
    (void)state;
    assert_int_equal(connect_as("127.0.0.1", ca_path, false, false, NULL), 0);
    assert_int_equal(connect_as("localhost", ca_path, false, false, NULL), 0);
}

static void an_unknown_issuer_is_denied(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(connect_as("127.0.0.1", other_path, false, false, &err),
                     ERR_DENIED);
    assert_non_null(strstr(err.text, "certificate: "));
    assert_int_equal(connect_as("127.0.0.1", NULL, false, false, &err),
                     ERR_DENIED);
}

static void a_certificate_for_another_name_is_denied(void **state)
{
    struct err err;

    (void)state;
    X509_free(certificate);
    certificate = self_signed(key, "DNS:elsewhere.example,IP:10.0.0.1");
    unlink(ca_path);
    write_pem(memcpy(ca_path, ca_template, sizeof ca_path), certificate);
    assert_int_equal(connect_as("localhost", ca_path, false, false, &err),
                     ERR_DENIED);
    assert_int_equal(connect_as("127.0.0.1", ca_path, false, false, &err),
                     ERR_DENIED);
    assert_int_equal(connect_as("127.0.0.1", ca_path, true, false, NULL), 0);
    remove_certificates(state);
    make_certificates(state);
}

static void insecure_asks_for_no_certificate(void **state)
{
    (void)state;
    assert_int_equal(connect_as("127.0.0.1", NULL, true, false, NULL), 0);
}

static void an_end_without_farewell_is_no_end(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(connect_as("127.0.0.1", ca_path, false, true, &err),
                     ERR_CLOSED);
}

static void no_server_is_unavailable(void **state)
{
    struct http_endpoint e;
    struct http_tls *tls;
    struct http_conn *c;
    struct err err;

    (void)state;
    assert_int_equal(http_tls_new(NULL, true, &tls, NULL), 0);
    assert_int_equal(http_endpoint_parse("https://127.0.0.1:1", &e, NULL), 0);
    assert_int_equal(http_conn_open(&e, tls, 1000, 1000, &c, &err),
                     ERR_UNAVAILABLE);
    http_endpoint_free(&e);
    assert_int_equal(http_endpoint_parse("https://nowhere.invalid", &e, NULL),
                     0);
    assert_int_equal(http_conn_open(&e, tls, 1000, 1000, &c, &err),
                     ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "nowhere.invalid"));
    http_endpoint_free(&e);
    http_tls_free(tls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoints_are_taken_apart),
        cmocka_unit_test(bad_endpoints_are_refused),
        cmocka_unit_test(a_trusted_server_is_spoken_to),
        cmocka_unit_test(an_unknown_issuer_is_denied),
        cmocka_unit_test(a_certificate_for_another_name_is_denied),
        cmocka_unit_test(insecure_asks_for_no_certificate),
        cmocka_unit_test(an_end_without_farewell_is_no_end),
        cmocka_unit_test(no_server_is_unavailable),
    };

    return cmocka_run_group_tests_name("http_conn", tests, make_certificates,
                                       remove_certificates);
}
