#include "edge-agent/edge_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <mbedtls/base64.h>
#include <mbedtls/ecp.h>
#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <mbedtls/pem.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#include <mbedtls/x509_csr.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "crypto/pki.h"
#include "crypto/prim.h"
#include "edge-agent/cert_time.h"

#define WHY_MAX 160
/* RFC 5280, section 4.2.1.6: iPAddress is [7] in GeneralName. */
#define SAN_IP (MBEDTLS_ASN1_CONTEXT_SPECIFIC | 7)

struct edge_tls_trust {
    mbedtls_ssl_config config;
    mbedtls_x509_crt ca;
    mbedtls_x509_crt cert;
    mbedtls_pk_context key;
    uint64_t now_ms;
    bool known;
    bool anybody;
};

struct edge_tls {
    mbedtls_ssl_context ssl;
    struct edge_tls_trust *trust;
    int fd;
    bool is_ip;
    uint8_t ip[16];
    size_t ip_len;
    uint32_t flags; /* why the server was refused */
};

static int from_mbed(struct err *err, int code, int mbed, const char *what)
{
    char why[WHY_MAX];

    mbedtls_strerror(mbed, why, sizeof why);
    return err_set(err, code, "%s: %s", what, why);
}

static int random_bytes(void *arg, unsigned char *out, size_t len)
{
    (void)arg;
    rng_bytes(out, len);
    return 0;
}

/* ---- PEM ---- */

/* mbedtls wants the NUL counted. */
static int parse_cert(const struct buf *pem, mbedtls_x509_crt *out,
                      struct err *err)
{
    char *text = mem_strndup((const char *)pem->data, pem->len);
    int mbed = pem->len > EDGE_TLS_PEM_MAX
                   ? MBEDTLS_ERR_X509_BAD_INPUT_DATA
                   : mbedtls_x509_crt_parse(out, (unsigned char *)text,
                                            strlen(text) + 1);

    free(text);
    return mbed == 0 ? 0 : from_mbed(err, ERR_BAD_INPUT, mbed, "certificate");
}

static int parse_key(const struct buf *pem, mbedtls_pk_context *out,
                     struct err *err)
{
    char *text = mem_strndup((const char *)pem->data, pem->len);
    size_t len = strlen(text);
    int mbed =
        mbedtls_pk_parse_key(out, (unsigned char *)text, len + 1, NULL, 0);

    mem_wipe(text, len);
    free(text);
    if (mbed != 0) {
        return from_mbed(err, ERR_BAD_INPUT, mbed, "key");
    }
    return mbedtls_pk_can_do(out, MBEDTLS_PK_ECKEY)
               ? 0
               : err_set(err, ERR_BAD_INPUT, "the key is not of a curve");
}

/* ---- trust ---- */

static struct edge_tls_trust *trust_new(void)
{
    static const int suites[] = {
        MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        0,
    };
    struct edge_tls_trust *t = mem_alloc(sizeof *t);

    mbedtls_ssl_config_init(&t->config);
    mbedtls_x509_crt_init(&t->ca);
    mbedtls_x509_crt_init(&t->cert);
    mbedtls_pk_init(&t->key);
    CHECK(mbedtls_ssl_config_defaults(&t->config, MBEDTLS_SSL_IS_CLIENT,
                                      MBEDTLS_SSL_TRANSPORT_STREAM,
                                      MBEDTLS_SSL_PRESET_DEFAULT) == 0);
    mbedtls_ssl_conf_min_version(&t->config, MBEDTLS_SSL_MAJOR_VERSION_3,
                                 MBEDTLS_SSL_MINOR_VERSION_3);
    mbedtls_ssl_conf_ciphersuites(&t->config, suites);
    mbedtls_ssl_conf_rng(&t->config, random_bytes, NULL);
    mbedtls_ssl_conf_session_tickets(&t->config,
                                     MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
    mbedtls_ssl_conf_renegotiation(&t->config,
                                   MBEDTLS_SSL_RENEGOTIATION_DISABLED);
    mbedtls_ssl_conf_authmode(&t->config, MBEDTLS_SSL_VERIFY_REQUIRED);
    return t;
}

int edge_tls_trust_new(const struct buf *ca, const struct buf *cert,
                       const struct buf *key, struct edge_tls_trust **out,
                       struct err *err)
{
    struct edge_tls_trust *t = trust_new();
    int code = parse_cert(ca, &t->ca, err);

    if (code == 0 && cert != NULL) {
        code = parse_cert(cert, &t->cert, err);
    }
    if (code == 0 && key != NULL) {
        code = parse_key(key, &t->key, err);
    }
    if (code == 0 && cert != NULL &&
        mbedtls_pk_check_pair(&t->cert.pk, &t->key) != 0) {
        code = err_set(err, ERR_BAD_INPUT,
                       "key and certificate do not belong together");
    }
    if (code != 0) {
        edge_tls_trust_free(t);
        return code;
    }
    mbedtls_ssl_conf_ca_chain(&t->config, &t->ca, NULL);
    if (cert != NULL) {
        CHECK(mbedtls_ssl_conf_own_cert(&t->config, &t->cert, &t->key) == 0);
    }
    *out = t;
    return 0;
}

int edge_tls_trust_file(const char *path, struct edge_tls_trust **out,
                        struct err *err)
{
    struct edge_tls_trust *t = trust_new();
    int mbed = mbedtls_x509_crt_parse_file(&t->ca, path);

    /* Above zero: so many were no certificates that it knows. */
    if (mbed < 0 || t->ca.raw.p == NULL) {
        edge_tls_trust_free(t);
        return from_mbed(err, ERR_BAD_INPUT, mbed, path);
    }
    mbedtls_ssl_conf_ca_chain(&t->config, &t->ca, NULL);
    *out = t;
    return 0;
}

struct edge_tls_trust *edge_tls_trust_anybody(void)
{
    struct edge_tls_trust *t = trust_new();

    t->anybody = true;
    mbedtls_ssl_conf_authmode(&t->config, MBEDTLS_SSL_VERIFY_OPTIONAL);
    return t;
}

void edge_tls_trust_free(struct edge_tls_trust *t)
{
    if (t != NULL) {
        mbedtls_ssl_config_free(&t->config);
        mbedtls_x509_crt_free(&t->ca);
        mbedtls_x509_crt_free(&t->cert);
        mbedtls_pk_free(&t->key);
        free(t);
    }
}

void edge_tls_trust_time(struct edge_tls_trust *t, uint64_t now_ms, bool known)
{
    t->now_ms = now_ms;
    t->known = known;
}

/* ---- the server's certificate ---- */

static uint64_t time_ms(const mbedtls_x509_time *t)
{
    return cert_time_ms(t->year, t->mon, t->day, t->hour, t->min, t->sec);
}

static bool names_ip(const mbedtls_x509_crt *crt, const uint8_t *ip,
                     size_t ip_len)
{
    for (const mbedtls_x509_sequence *s = &crt->subject_alt_names; s != NULL;
         s = s->next) {
        if (s->buf.tag == SAN_IP && s->buf.len == ip_len &&
            memcmp(s->buf.p, ip, ip_len) == 0) {
            return true;
        }
    }
    return false;
}

/* mbedtls 2.28 judges time by the system's clock, and knows no IP addresses in
 * subjectAltName: both are judged here. */
static int on_verify(void *arg, mbedtls_x509_crt *crt, int depth,
                     uint32_t *flags)
{
    struct edge_tls *s = arg;
    const struct edge_tls_trust *t = s->trust;

    *flags &=
        ~(uint32_t)(MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE);
    switch (cert_time_judge(time_ms(&crt->valid_from), time_ms(&crt->valid_to),
                            t->now_ms, t->known)) {
        case CERT_TIME_EXPIRED:
            *flags |= MBEDTLS_X509_BADCERT_EXPIRED;
            break;
        case CERT_TIME_FUTURE:
            *flags |= MBEDTLS_X509_BADCERT_FUTURE;
            break;
        case CERT_TIME_FINE:
            break;
    }
    if (depth == 0 && s->is_ip && !names_ip(crt, s->ip, s->ip_len)) {
        *flags |= MBEDTLS_X509_BADCERT_CN_MISMATCH;
    }
    s->flags |= *flags;
    return 0;
}

static const char *why_refused(uint32_t flags)
{
    static const struct {
        uint32_t flag;
        const char *why;
    } rows[] = {
        {MBEDTLS_X509_BADCERT_NOT_TRUSTED,
         "its certificate is not by the CA that is believed (the cluster's): "
         "an "
         "impostor, or another cluster"},
        {MBEDTLS_X509_BADCERT_CN_MISMATCH,
         "its certificate does not name the host of the gateway's URL"},
        {MBEDTLS_X509_BADCERT_EXPIRED,
         "its certificate has expired by this device's clock"},
        {MBEDTLS_X509_BADCERT_FUTURE,
         "its certificate is not yet valid by this device's clock"},
        {MBEDTLS_X509_BADCERT_EXT_KEY_USAGE | MBEDTLS_X509_BADCERT_KEY_USAGE,
         "its certificate is not for servers"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if ((flags & rows[i].flag) != 0) {
            return rows[i].why;
        }
    }
    return "its certificate is not good";
}

/* ---- sessions ---- */

static int on_send(void *arg, const unsigned char *p, size_t len)
{
    const struct edge_tls *s = arg;
    ssize_t n = send(s->fd, p, len, MSG_NOSIGNAL);

    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_WRITE
                                                 : MBEDTLS_ERR_SSL_CONN_EOF;
    }
    return (int)n;
}

static int on_recv(void *arg, unsigned char *p, size_t len)
{
    const struct edge_tls *s = arg;
    ssize_t n = recv(s->fd, p, len, 0);

    if (n < 0) {
        return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_READ
                                                 : MBEDTLS_ERR_SSL_CONN_EOF;
    }
    return n == 0 ? MBEDTLS_ERR_SSL_CONN_EOF : (int)n;
}

int edge_tls_new(struct edge_tls_trust *t, int fd, const char *host,
                 struct edge_tls **out, struct err *err)
{
    struct edge_tls *s = mem_alloc(sizeof *s);
    int mbed;

    s->trust = t;
    s->fd = fd;
    if (inet_pton(AF_INET, host, s->ip) == 1) {
        s->ip_len = 4;
    } else if (inet_pton(AF_INET6, host, s->ip) == 1) {
        s->ip_len = 16;
    }
    s->is_ip = s->ip_len > 0;
    mbedtls_ssl_init(&s->ssl);
    mbed = mbedtls_ssl_setup(&s->ssl, &t->config);
    if (mbed == 0 && !s->is_ip) {
        mbed = mbedtls_ssl_set_hostname(&s->ssl, host);
    }
    if (mbed != 0) {
        edge_tls_free(s);
        return from_mbed(err, ERR_IO, mbed, "TLS");
    }
    mbedtls_ssl_set_verify(&s->ssl, on_verify, s);
    mbedtls_ssl_set_bio(&s->ssl, s, on_send, on_recv, NULL);
    *out = s;
    return 0;
}

void edge_tls_free(struct edge_tls *s)
{
    if (s != NULL) {
        mbedtls_ssl_free(&s->ssl);
        free(s);
    }
}

static bool waits(int mbed, enum edge_tls_want *want)
{
    if (mbed == MBEDTLS_ERR_SSL_WANT_READ) {
        *want = EDGE_TLS_WANT_READ;
    } else if (mbed == MBEDTLS_ERR_SSL_WANT_WRITE) {
        *want = EDGE_TLS_WANT_WRITE;
    } else {
        *want = EDGE_TLS_DONE;
        return false;
    }
    return true;
}

static int broken(int mbed, struct err *err)
{
    if (mbed == MBEDTLS_ERR_SSL_CONN_EOF ||
        mbed == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
        return err_set(err, ERR_CLOSED, "the gateway closed the connection");
    }
    if (mbed == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) {
        return err_set(err, ERR_DENIED,
                       "the gateway refused the connection (TLS alert)");
    }
    return from_mbed(err, ERR_IO, mbed, "TLS");
}

int edge_tls_handshake(struct edge_tls *s, enum edge_tls_want *want,
                       struct err *err)
{
    int mbed = mbedtls_ssl_handshake(&s->ssl);
    uint32_t result;

    if (waits(mbed, want)) {
        return 0;
    }
    result = mbedtls_ssl_get_verify_result(&s->ssl);
    s->flags |= result != UINT32_MAX ? result : 0;
    if (mbed == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED ||
        mbed == MBEDTLS_ERR_SSL_BAD_HS_CERTIFICATE ||
        (mbed == 0 && !s->trust->anybody && s->flags != 0)) {
        return err_set(err, ERR_DENIED, "the server is not the gateway: %s",
                       why_refused(s->flags));
    }
    return mbed == 0 ? 0 : broken(mbed, err);
}

int edge_tls_read(struct edge_tls *s, void *p, size_t len, size_t *n,
                  enum edge_tls_want *want, struct err *err)
{
    int mbed = mbedtls_ssl_read(&s->ssl, p, len);

    *n = 0;
    if (waits(mbed, want)) {
        return 0;
    }
    if (mbed == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY || mbed == 0) {
        return 0;
    }
    if (mbed < 0) {
        return broken(mbed, err);
    }
    *n = (size_t)mbed;
    return 0;
}

int edge_tls_write(struct edge_tls *s, const void *p, size_t len, size_t *n,
                   enum edge_tls_want *want, struct err *err)
{
    int mbed = mbedtls_ssl_write(&s->ssl, p, len);

    *n = 0;
    if (waits(mbed, want)) {
        return 0;
    }
    if (mbed < 0) {
        return broken(mbed, err);
    }
    *n = (size_t)mbed;
    return 0;
}

static int append_pem(const mbedtls_x509_crt *crt, struct buf *out)
{
    unsigned char text[EDGE_TLS_PEM_MAX];
    size_t len = 0;

    if (mbedtls_pem_write_buffer("-----BEGIN CERTIFICATE-----\n",
                                 "-----END CERTIFICATE-----\n", crt->raw.p,
                                 crt->raw.len, text, sizeof text, &len) != 0) {
        return ERR_LIMIT;
    }
    buf_append(out, text, len > 0 ? len - 1 : 0); /* without its NUL */
    return 0;
}

int edge_tls_peer_find(struct edge_tls *s,
                       const uint8_t fingerprint[EDGE_TLS_FINGERPRINT],
                       struct buf *pem, struct err *err)
{
    uint8_t digest[PRIM_SHA256];

    for (const mbedtls_x509_crt *c = mbedtls_ssl_get_peer_cert(&s->ssl);
         c != NULL; c = c->next) {
        prim_sha256(c->raw.p, c->raw.len, digest);
        if (memcmp(digest, fingerprint, sizeof digest) == 0 &&
            append_pem(c, pem) == 0) {
            return 0;
        }
    }
    return err_set(err, ERR_DENIED,
                   "the server does not show the CA that the code names: an "
                   "impostor, or another cluster");
}

/* ---- keys and certificates ---- */

int edge_tls_key_new(struct buf *key, struct err *err)
{
    unsigned char text[1024];
    mbedtls_pk_context pk;
    int mbed;

    mbedtls_pk_init(&pk);
    mbed = mbedtls_pk_setup(&pk, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    if (mbed == 0) {
        mbed = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(pk),
                                   random_bytes, NULL);
    }
    if (mbed == 0) {
        mbed = mbedtls_pk_write_key_pem(&pk, text, sizeof text);
    }
    if (mbed == 0) {
        buf_append(key, text, strlen((char *)text));
    }
    mem_wipe(text, sizeof text);
    mbedtls_pk_free(&pk);
    return mbed == 0 ? 0 : from_mbed(err, ERR_IO, mbed, "a new key");
}

int edge_tls_request_new(const struct buf *key, struct buf *request,
                         struct err *err)
{
    unsigned char text[2048];
    mbedtls_x509write_csr csr;
    mbedtls_pk_context pk;
    int mbed, code;

    mbedtls_pk_init(&pk);
    mbedtls_x509write_csr_init(&csr);
    code = parse_key(key, &pk, err);
    if (code == 0) {
        mbedtls_x509write_csr_set_key(&csr, &pk);
        mbedtls_x509write_csr_set_md_alg(&csr, MBEDTLS_MD_SHA256);
        /* Who issues says what the certificate holds. */
        mbed = mbedtls_x509write_csr_set_subject_name(&csr, "CN=device");
        if (mbed == 0) {
            mbed = mbedtls_x509write_csr_pem(&csr, text, sizeof text,
                                             random_bytes, NULL);
        }
        if (mbed == 0) {
            buf_append(request, text, strlen((char *)text));
        } else {
            code = from_mbed(err, ERR_IO, mbed, "request for a certificate");
        }
    }
    mbedtls_x509write_csr_free(&csr);
    mbedtls_pk_free(&pk);
    return code;
}

int edge_tls_cert_read(const struct buf *pem, struct edge_tls_cert *out,
                       struct err *err)
{
    mbedtls_x509_crt crt;
    int code;

    mbedtls_x509_crt_init(&crt);
    code = parse_cert(pem, &crt, err);
    if (code == 0) {
        out->not_before_ms = time_ms(&crt.valid_from);
        out->not_after_ms = time_ms(&crt.valid_to);
        prim_sha256(crt.raw.p, crt.raw.len, out->fingerprint);
    }
    mbedtls_x509_crt_free(&crt);
    return code;
}

/* Times are not of interest here. */
static int ignore_time(void *arg, mbedtls_x509_crt *crt, int depth,
                       uint32_t *flags)
{
    (void)arg;
    (void)crt;
    (void)depth;
    *flags &=
        ~(uint32_t)(MBEDTLS_X509_BADCERT_EXPIRED | MBEDTLS_X509_BADCERT_FUTURE);
    return 0;
}

int edge_tls_cert_check(const struct buf *cert, const struct buf *key,
                        const struct buf *ca, struct err *err)
{
    struct edge_tls_trust *t;
    uint32_t flags = 0;
    int code = edge_tls_trust_new(ca, cert, key, &t, err);

    if (code != 0) {
        return code;
    }
    if (mbedtls_x509_crt_verify(&t->cert, &t->ca, NULL, NULL, &flags,
                                ignore_time, NULL) != 0) {
        code = err_set(err, ERR_DENIED,
                       "the certificate is not by the cluster's CA");
    }
    edge_tls_trust_free(t);
    return code;
}

int edge_tls_policy_check(const struct buf *ca, const void *p, size_t len,
                          const void *signature, size_t signature_len,
                          struct err *err)
{
    uint8_t digest[PRIM_HASH_MAX];
    struct prim_hash hash;
    mbedtls_x509_crt crt;
    int code;

    mbedtls_x509_crt_init(&crt);
    code = parse_cert(ca, &crt, err);
    if (code == 0) {
        prim_hash_init(&hash, PRIM_HASH_SHA256);
        prim_hash_update(&hash, PKI_POLICY_DOMAIN, strlen(PKI_POLICY_DOMAIN));
        prim_hash_update(&hash, p, len);
        prim_hash_final(&hash, digest);
        prim_hash_free(&hash);
        if (mbedtls_pk_verify(&crt.pk, MBEDTLS_MD_SHA256, digest, PRIM_SHA256,
                              signature, signature_len) != 0) {
            code = err_set(err, ERR_DENIED,
                           "the signature is not by the cluster's CA");
        }
    }
    mbedtls_x509_crt_free(&crt);
    return code;
}
