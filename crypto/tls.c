#include "crypto/tls.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"

#define STREAM_MAGIC 0x47544c53u
#define CIPHERS                                      \
    "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:" \
    "TLS_CHACHA20_POLY1305_SHA256"

/* What is pinned instead of a store of CAs, and whose cluster is ours. */
struct tls_context {
    SSL_CTX *ctx;
    uint8_t cluster[PKI_CLUSTER_ID];
    bool stranger;
    uint8_t pin[PKI_FINGERPRINT];
};

struct tls_stream {
    uint32_t magic;
    SSL *ssl;
    BIO *in, *out; /* the SSL's: from the wire, to the wire */
    bool server, stranger;
    uint8_t cluster[PKI_CLUSTER_ID];
    uint8_t pin[PKI_FINGERPRINT];
    bool ready, failed;
    uint32_t peer;
    uint64_t peer_until_s;
    struct buf wire; /* taken out of @out, not yet sent */
    size_t wire_at;
};

static int on_verify(X509_STORE_CTX *ctx, void *arg);

/* ---- contexts ---- */

static int bad(struct err *err, const char *what)
{
    unsigned long code = ERR_get_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

    ERR_clear_error();
    return err_set(err, ERR_BAD_INPUT, "%s: %s", what,
                   reason != NULL ? reason : "not valid");
}

static SSL_CTX *new_ctx(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());

    CHECK(ctx != NULL);
    CHECK(SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1);
    CHECK(SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1);
    CHECK(SSL_CTX_set_ciphersuites(ctx, CIPHERS) == 1);
    CHECK(SSL_CTX_set1_groups_list(ctx, "X25519:P-256") == 1);
    CHECK(SSL_CTX_set_num_tickets(ctx, 0) == 1);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, on_verify, NULL);
    return ctx;
}

static X509 *cert_of(const struct buf *pem)
{
    BIO *bio = pem->len > 0 && pem->len <= PKI_PEM_MAX
                   ? BIO_new_mem_buf(pem->data, (int)pem->len)
                   : NULL;
    X509 *x = bio != NULL ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

    BIO_free(bio);
    return x;
}

static EVP_PKEY *key_of(const struct buf *pem)
{
    BIO *bio = pem->len > 0 && pem->len <= PKI_PEM_MAX
                   ? BIO_new_mem_buf(pem->data, (int)pem->len)
                   : NULL;
    EVP_PKEY *k =
        bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;

    BIO_free(bio);
    return k;
}

static bool issued_by(X509 *cert, X509 *ca)
{
    EVP_PKEY *key = X509_get0_pubkey(ca);

    return key != NULL && X509_check_issued(ca, cert) == X509_V_OK &&
           X509_verify(cert, key) == 1;
}

static int load(struct tls_context *c, X509 *ca, X509 *cert, EVP_PKEY *key,
                struct err *err)
{
    if (ca == NULL || cert == NULL || key == NULL) {
        return bad(err, ca == NULL     ? "the CA's certificate"
                        : cert == NULL ? "the server's certificate"
                                       : "the server's key");
    }
    if (!issued_by(cert, ca)) {
        ERR_clear_error();
        return err_set(err, ERR_BAD_INPUT,
                       "the server's certificate is not by the cluster's CA");
    }
    if (SSL_CTX_use_certificate(c->ctx, cert) != 1 ||
        SSL_CTX_use_PrivateKey(c->ctx, key) != 1 ||
        SSL_CTX_check_private_key(c->ctx) != 1) {
        return bad(err, "the key is not that of the server's certificate");
    }
    CHECK(X509_STORE_add_cert(SSL_CTX_get_cert_store(c->ctx), ca) == 1);
    /* Sent along, so that who joins can compare it with its token. */
    CHECK(SSL_CTX_add1_chain_cert(c->ctx, ca) == 1);
    return 0;
}

int tls_context_new(const struct buf *ca, const struct buf *cert,
                    const struct buf *key, struct tls_context **out,
                    struct err *err)
{
    struct tls_context *c;
    struct pki_cert info;
    X509 *ca_x, *cert_x;
    EVP_PKEY *k;
    int rc = pki_cert_read(cert->data, cert->len, &info, err);

    if (rc != 0) {
        return rc;
    }
    c = mem_alloc(sizeof *c);
    c->ctx = new_ctx();
    memcpy(c->cluster, info.cluster, sizeof c->cluster);
    ca_x = cert_of(ca);
    cert_x = cert_of(cert);
    k = key_of(key);
    rc = load(c, ca_x, cert_x, k, err);
    X509_free(ca_x);
    X509_free(cert_x);
    EVP_PKEY_free(k);
    if (rc != 0) {
        tls_context_free(c);
        return rc;
    }
    *out = c;
    return 0;
}

int tls_context_stranger(const uint8_t ca[PKI_FINGERPRINT],
                         struct tls_context **out, struct err *err)
{
    struct tls_context *c = mem_alloc(sizeof *c);

    (void)err;
    c->ctx = new_ctx();
    c->stranger = true;
    memcpy(c->pin, ca, sizeof c->pin);
    *out = c;
    return 0;
}

void tls_context_free(struct tls_context *c)
{
    if (c != NULL) {
        SSL_CTX_free(c->ctx);
        free(c);
    }
}

/* ---- who the other end is ---- */

/* Of the chain that came, the CA that the token pins. Taken as the only one to
 * trust, the chain is then verified in the usual way. */
static int verify_pinned(X509_STORE_CTX *ctx, struct tls_stream *s)
{
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(ctx);
    STACK_OF(X509) *trusted = sk_X509_new_null();
    int rc;

    CHECK(trusted != NULL);
    for (int i = 0; i < sk_X509_num(chain); i++) {
        X509 *x = sk_X509_value(chain, i);
        uint8_t digest[PKI_FINGERPRINT];
        unsigned n = sizeof digest;
        if (X509_digest(x, EVP_sha256(), digest, &n) == 1 &&
            mem_diff(digest, s->pin, sizeof digest) == 0) {
            CHECK(sk_X509_push(trusted, x) > 0);
        }
    }
    X509_STORE_CTX_set0_trusted_stack(ctx, trusted);
    rc = X509_verify_cert(ctx);
    sk_X509_free(trusted);
    return rc;
}

static int on_verify(X509_STORE_CTX *ctx, void *arg)
{
    int at = SSL_get_ex_data_X509_STORE_CTX_idx();
    SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, at);
    struct tls_stream *s = SSL_get_app_data(ssl);

    (void)arg;
    return s->stranger ? verify_pinned(ctx, s) : X509_verify_cert(ctx);
}

/* Its certificate is by our CA: is it of our cluster, and a server's? */
static int know_peer(struct tls_stream *s, struct err *err)
{
    X509 *x = SSL_get0_peer_certificate(s->ssl);
    struct pki_cert info;
    BIO *bio;
    char *pem = NULL;
    long len;
    int rc;

    if (x == NULL) {
        return s->server ? 0
                         : err_set(err, ERR_DENIED,
                                   "the other end shows no certificate");
    }
    bio = BIO_new(BIO_s_mem());
    CHECK(bio != NULL && PEM_write_bio_X509(bio, x) == 1);
    len = BIO_get_mem_data(bio, &pem);
    rc = pki_cert_read(pem, (size_t)len, &info, err);
    BIO_free(bio);
    if (rc != 0 || info.server == 0) {
        return err_set(err, ERR_DENIED,
                       "the other end's certificate is not a server's");
    }
    if (!s->stranger &&
        memcmp(info.cluster, s->cluster, sizeof s->cluster) != 0) {
        return err_set(err, ERR_DENIED, "the other end is of another cluster");
    }
    s->peer = info.server;
    s->peer_until_s = info.not_after_s;
    return 0;
}

/* ---- streams ---- */

struct tls_stream *tls_stream_new(struct tls_context *c, bool server)
{
    struct tls_stream *s = mem_alloc(sizeof *s);

    s->magic = STREAM_MAGIC;
    s->server = server;
    s->stranger = c->stranger;
    memcpy(s->cluster, c->cluster, sizeof s->cluster);
    memcpy(s->pin, c->pin, sizeof s->pin);
    s->ssl = SSL_new(c->ctx);
    s->in = BIO_new(BIO_s_mem());
    s->out = BIO_new(BIO_s_mem());
    CHECK(s->ssl != NULL && s->in != NULL && s->out != NULL);
    BIO_set_mem_eof_return(s->in, -1);
    SSL_set_bio(s->ssl, s->in, s->out);
    SSL_set_app_data(s->ssl, s);
    if (server) {
        SSL_set_accept_state(s->ssl);
    } else {
        SSL_set_connect_state(s->ssl);
    }
    return s;
}

void tls_stream_free(struct tls_stream *s)
{
    if (s == NULL) {
        return;
    }
    CHECK_OBJ(s, STREAM_MAGIC);
    SSL_free(s->ssl);
    buf_free(&s->wire);
    s->magic = 0;
    free(s);
}

void tls_feed(struct tls_stream *s, const void *p, size_t len)
{
    CHECK_OBJ(s, STREAM_MAGIC);
    while (len > 0) {
        int n = len < INT_MAX ? (int)len : INT_MAX;
        CHECK(BIO_write(s->in, p, n) == n);
        p = (const char *)p + n;
        len -= (size_t)n;
    }
}

/* Why the last call of OpenSSL gave nothing. 0: it wants more of the wire. */
static int why(struct tls_stream *s, int rc, struct err *err)
{
    int what = SSL_get_error(s->ssl, rc);
    unsigned long code = ERR_peek_last_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
    long verified = SSL_get_verify_result(s->ssl);
    int lib = ERR_GET_REASON(code);

    ERR_clear_error();
    if (what == SSL_ERROR_WANT_READ || what == SSL_ERROR_WANT_WRITE) {
        return 0;
    }
    s->failed = true;
    if (what == SSL_ERROR_ZERO_RETURN) {
        return err_set(err, ERR_CLOSED, "the other end closed");
    }
    if (verified != X509_V_OK && s->stranger) {
        return err_set(err, ERR_DENIED,
                       "the other end is not of the token's cluster");
    }
    if (verified != X509_V_OK) {
        return err_set(err, ERR_DENIED, "the other end's certificate: %s",
                       X509_verify_cert_error_string(verified));
    }
    if (lib >= SSL_AD_REASON_OFFSET) { /* an alert of the other end */
        return err_set(err, ERR_DENIED, "the other end refused: %s",
                       reason != NULL ? reason : "alert");
    }
    return err_set(err, ERR_CORRUPT, "TLS: %s",
                   reason != NULL ? reason : "not valid");
}

static int handshake(struct tls_stream *s, struct err *err)
{
    int rc = SSL_do_handshake(s->ssl);

    if (rc != 1) {
        return why(s, rc, err);
    }
    rc = know_peer(s, err);
    s->failed = rc != 0;
    s->ready = rc == 0;
    return rc;
}

int tls_read(struct tls_stream *s, void *out, size_t max, size_t *got,
             struct err *err)
{
    int rc;

    CHECK_OBJ(s, STREAM_MAGIC);
    CHECK(!s->failed);
    *got = 0;
    ERR_clear_error();
    if (!s->ready) {
        rc = handshake(s, err);
        if (rc != 0 || !s->ready) {
            return rc;
        }
    }
    while (*got < max) {
        size_t n = 0;
        rc = SSL_read_ex(s->ssl, (char *)out + *got, max - *got, &n);
        if (rc != 1) {
            /* What came before an end is given first; it is asked again. */
            if (*got > 0) {
                ERR_clear_error();
                return 0;
            }
            return why(s, rc, err);
        }
        *got += n;
    }
    return 0;
}

void tls_write(struct tls_stream *s, const void *p, size_t len)
{
    CHECK_OBJ(s, STREAM_MAGIC);
    CHECK(s->ready);
    if (s->failed) {
        return;
    }
    while (len > 0) {
        size_t n = 0;
        CHECK(SSL_write_ex(s->ssl, p, len, &n) == 1); /* memory takes all */
        p = (const char *)p + n;
        len -= n;
    }
}

void tls_close(struct tls_stream *s)
{
    CHECK_OBJ(s, STREAM_MAGIC);
    if (s->ready && !s->failed) {
        SSL_shutdown(s->ssl);
        ERR_clear_error();
    }
}

const void *tls_pending(struct tls_stream *s, size_t *len)
{
    CHECK_OBJ(s, STREAM_MAGIC);
    if (s->wire_at == s->wire.len) {
        size_t have = BIO_ctrl_pending(s->out);
        buf_clear(&s->wire);
        s->wire_at = 0;
        if (have > 0) {
            buf_reserve(&s->wire, have);
            CHECK(BIO_read(s->out, s->wire.data, (int)have) == (int)have);
            s->wire.len = have;
        }
    }
    *len = s->wire.len - s->wire_at;
    return *len > 0 ? s->wire.data + s->wire_at : NULL;
}

void tls_sent(struct tls_stream *s, size_t len)
{
    CHECK(len <= s->wire.len - s->wire_at);
    s->wire_at += len;
}

bool tls_ready(const struct tls_stream *s)
{
    return s->ready;
}

uint32_t tls_peer(const struct tls_stream *s)
{
    return s->peer;
}

uint64_t tls_peer_until(const struct tls_stream *s)
{
    return s->peer_until_s;
}
