#include "crypto/pki.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/text.h"

#define CA_DAYS (20 * 365)
#define DAY_S ((uint64_t)86400)
#define SLACK_S 600 /* clocks differ */
#define CURVE "P-256"
#define NAME_PREFIX "server-"
#define DEVICE_PREFIX "device-"
#define HTTPS_NAME "https"
#define DNS_NAME_MAX 253

/* ---- pieces ---- */

static int failed(struct err *err, const char *what)
{
    unsigned long code = ERR_get_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

    ERR_clear_error();
    return err_set(err, ERR_BAD_INPUT, "%s: %s", what,
                   reason != NULL ? reason : "not valid");
}

static void take_bio(BIO *bio, struct buf *out)
{
    char *p = NULL;
    long len = BIO_get_mem_data(bio, &p);

    buf_append(out, p, (size_t)len);
}

static void write_cert(X509 *x, struct buf *out)
{
    BIO *bio = BIO_new(BIO_s_mem());

    CHECK(bio != NULL && PEM_write_bio_X509(bio, x) == 1);
    take_bio(bio, out);
    BIO_free(bio);
}

static void write_key(EVP_PKEY *key, struct buf *out)
{
    BIO *bio = BIO_new(BIO_s_secmem());

    if (bio == NULL) {
        bio = BIO_new(BIO_s_mem());
    }
    CHECK(bio != NULL && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0,
                                                       NULL, NULL) == 1);
    take_bio(bio, out);
    BIO_free(bio);
}

/* One PEM block of this kind, and nothing else. */
static BIO *pem_bio(const void *pem, size_t len, const char *kind,
                    struct err *err)
{
    char *text;
    char *begin = NULL;
    bool one;

    if (len == 0 || len > PKI_PEM_MAX || memchr(pem, '\0', len) != NULL) {
        err_set(err, ERR_BAD_INPUT, "not one PEM block of a %s", kind);
        return NULL;
    }
    text = mem_strndup(pem, len);
    begin = mem_printf("-----BEGIN %s-----", kind);
    one = text_starts(text, begin) && strstr(text + 1, "-----BEGIN") == NULL;
    free(begin);
    free(text);
    if (!one) {
        err_set(err, ERR_BAD_INPUT, "not one PEM block of a %s", kind);
        return NULL;
    }
    return BIO_new_mem_buf(pem, (int)len);
}

static X509 *read_cert(const void *pem, size_t len, struct err *err)
{
    BIO *bio = pem_bio(pem, len, "CERTIFICATE", err);
    X509 *x;

    if (bio == NULL) {
        return NULL;
    }
    x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    if (x == NULL) {
        failed(err, "certificate");
    }
    return x;
}

static EVP_PKEY *new_key(void)
{
    EVP_PKEY *key = EVP_EC_gen(CURVE);

    CHECK(key != NULL);
    return key;
}

static void set_time(ASN1_TIME *t, uint64_t at_s)
{
    CHECK(ASN1_TIME_set(t, (time_t)at_s) != NULL);
}

static void add_name(X509_NAME *name, const char *field, const char *text)
{
    CHECK(X509_NAME_add_entry_by_txt(name, field, MBSTRING_ASC,
                                     (const unsigned char *)text, -1, -1,
                                     0) == 1);
}

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *e;

    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    CHECK(e != NULL && X509_add_ext(x, e, -1) == 1);
    X509_EXTENSION_free(e);
}

/* Version, serial, subject, validity, key. */
static X509 *new_cert(const uint8_t cluster[PKI_CLUSTER_ID], const char *cn,
                      uint64_t now_s, uint64_t days, EVP_PKEY *key)
{
    X509 *x = X509_new();
    BIGNUM *serial;
    uint8_t random[16];
    char hex[2 * PKI_CLUSTER_ID + 1];

    CHECK(x != NULL && X509_set_version(x, X509_VERSION_3) == 1);
    rng_bytes(random, sizeof random);
    random[0] = (random[0] & 0x7f) | 0x40; /* positive, of full length */
    serial = BN_bin2bn(random, sizeof random, NULL);
    CHECK(serial != NULL &&
          BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(x)) != NULL);
    BN_free(serial);
    add_name(X509_get_subject_name(x), "O",
             text_hex(cluster, PKI_CLUSTER_ID, hex));
    add_name(X509_get_subject_name(x), "CN", cn);
    set_time(X509_getm_notBefore(x), now_s > SLACK_S ? now_s - SLACK_S : 0);
    set_time(X509_getm_notAfter(x), now_s + days * DAY_S);
    CHECK(X509_set_pubkey(x, key) == 1);
    return x;
}

/* ---- making ---- */

int pki_ca_new(const uint8_t cluster[PKI_CLUSTER_ID], uint64_t now_s,
               struct buf *key, struct buf *cert, struct err *err)
{
    EVP_PKEY *k = new_key();
    X509 *x = new_cert(cluster, "ca", now_s, CA_DAYS, k);

    (void)err;
    CHECK(X509_set_issuer_name(x, X509_get_subject_name(x)) == 1);
    add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
    add_extension(x, x, NID_key_usage, "critical,keyCertSign");
    add_extension(x, x, NID_subject_key_identifier, "hash");
    CHECK(X509_sign(x, k, EVP_sha256()) > 0);
    write_key(k, key);
    write_cert(x, cert);
    X509_free(x);
    EVP_PKEY_free(k);
    return 0;
}

static void write_request(EVP_PKEY *k, struct buf *request)
{
    X509_REQ *req = X509_REQ_new();
    BIO *bio = BIO_new(BIO_s_mem());

    CHECK(req != NULL && bio != NULL);
    CHECK(X509_REQ_set_version(req, X509_REQ_VERSION_1) == 1);
    CHECK(X509_REQ_set_pubkey(req, k) == 1);
    CHECK(X509_REQ_sign(req, k, EVP_sha256()) > 0);
    CHECK(PEM_write_bio_X509_REQ(bio, req) == 1);
    take_bio(bio, request);
    BIO_free(bio);
    X509_REQ_free(req);
}

int pki_request_new(struct buf *key, struct buf *request, struct err *err)
{
    EVP_PKEY *k = new_key();

    (void)err;
    write_request(k, request);
    write_key(k, key);
    EVP_PKEY_free(k);
    return 0;
}

static bool is_p256(EVP_PKEY *key)
{
    char name[64] = {0};
    size_t len = 0;

    return key != NULL && EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
           EVP_PKEY_get_group_name(key, name, sizeof name, &len) == 1 &&
           (strcmp(name, "prime256v1") == 0 || strcmp(name, CURVE) == 0);
}

/* The key that a request asks a certificate for, and proves to have. */
static EVP_PKEY *request_key(const void *pem, size_t len, struct err *err)
{
    BIO *bio = pem_bio(pem, len, "CERTIFICATE REQUEST", err);
    X509_REQ *req;
    EVP_PKEY *key;

    if (bio == NULL) {
        return NULL;
    }
    req = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
    BIO_free(bio);
    if (req == NULL) {
        failed(err, "certificate request");
        return NULL;
    }
    key = X509_REQ_get_pubkey(req);
    if (!is_p256(key)) {
        err_set(err, ERR_BAD_INPUT,
                "certificate request: its key is not of " CURVE);
        EVP_PKEY_free(key);
        key = NULL;
    } else if (X509_REQ_verify(req, key) != 1) {
        err_set(err, ERR_BAD_INPUT,
                "certificate request: its signature is not by its own key");
        EVP_PKEY_free(key);
        key = NULL;
    }
    ERR_clear_error();
    X509_REQ_free(req);
    return key;
}

static EVP_PKEY *read_key(const struct buf *pem, struct err *err)
{
    BIO *bio = pem_bio(pem->data, pem->len, "PRIVATE KEY", err);
    EVP_PKEY *key;

    if (bio == NULL) {
        return NULL;
    }
    key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    if (key == NULL) {
        failed(err, "private key");
    }
    return key;
}

int pki_request_again(const struct buf *key, struct buf *request,
                      struct err *err)
{
    EVP_PKEY *k = read_key(key, err);

    if (k == NULL) {
        return ERR_BAD_INPUT;
    }
    if (!is_p256(k)) {
        EVP_PKEY_free(k);
        return err_set(err, ERR_BAD_INPUT, "private key: not of " CURVE);
    }
    write_request(k, request);
    EVP_PKEY_free(k);
    return 0;
}

/* What a certificate is to say. */
struct wanted {
    char cn[40];
    uint64_t days;
    const char *purpose;
    const char *names; /* subjectAltName; NULL: none */
};

static int issue(X509 *ca, EVP_PKEY *ca_key, EVP_PKEY *key,
                 const uint8_t cluster[PKI_CLUSTER_ID],
                 const struct wanted *want, uint64_t now_s, struct buf *cert,
                 struct err *err)
{
    X509 *x = new_cert(cluster, want->cn, now_s, want->days, key);

    CHECK(X509_set_issuer_name(x, X509_get_subject_name(ca)) == 1);
    add_extension(x, ca, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(x, ca, NID_key_usage, "critical,digitalSignature");
    add_extension(x, ca, NID_ext_key_usage, want->purpose);
    add_extension(x, ca, NID_subject_key_identifier, "hash");
    add_extension(x, ca, NID_authority_key_identifier, "keyid:always");
    if (want->names != NULL) {
        add_extension(x, ca, NID_subject_alt_name, want->names);
    }
    if (X509_sign(x, ca_key, EVP_sha256()) <= 0) {
        X509_free(x);
        return failed(err, "signing a certificate");
    }
    write_cert(x, cert);
    X509_free(x);
    return 0;
}

static int issue_to(const struct buf *ca_key, const struct buf *ca_cert,
                    const void *request, size_t request_len,
                    const struct wanted *want, uint64_t now_s, struct buf *cert,
                    struct err *err)
{
    EVP_PKEY *key = request_key(request, request_len, err);
    EVP_PKEY *ck = NULL;
    X509 *ca = NULL;
    struct pki_cert info;
    int rc = ERR_BAD_INPUT;

    if (key == NULL) {
        return rc;
    }
    ck = read_key(ca_key, err);
    if (ck != NULL &&
        pki_cert_read(ca_cert->data, ca_cert->len, &info, err) == 0) {
        ca = read_cert(ca_cert->data, ca_cert->len, err);
    }
    if (ca != NULL && (!info.ca || X509_check_private_key(ca, ck) != 1)) {
        ERR_clear_error();
        err_set(err, rc, "the key is not that of the CA's certificate");
    } else if (ca != NULL) {
        rc = issue(ca, ck, key, info.cluster, want, now_s, cert, err);
    }
    X509_free(ca);
    EVP_PKEY_free(ck);
    EVP_PKEY_free(key);
    return rc;
}

int pki_issue(const struct buf *ca_key, const struct buf *ca_cert,
              const void *request, size_t request_len, uint32_t server,
              uint64_t now_s, struct buf *cert, struct err *err)
{
    struct wanted want = {.days = PKI_CERT_DAYS,
                          .purpose = "serverAuth,clientAuth"};

    CHECK(server > 0);
    snprintf(want.cn, sizeof want.cn, NAME_PREFIX "%u", server);
    return issue_to(ca_key, ca_cert, request, request_len, &want, now_s, cert,
                    err);
}

int pki_issue_device(const struct buf *ca_key, const struct buf *ca_cert,
                     const void *request, size_t request_len, uint64_t number,
                     uint64_t now_s, struct buf *cert, struct err *err)
{
    struct wanted want = {.days = PKI_DEVICE_DAYS, .purpose = "clientAuth"};

    CHECK(number > 0);
    snprintf(want.cn, sizeof want.cn, DEVICE_PREFIX "%llu",
             (unsigned long long)number);
    return issue_to(ca_key, ca_cert, request, request_len, &want, now_s, cert,
                    err);
}

static bool is_address(const char *name)
{
    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(name);

    ASN1_OCTET_STRING_free(ip);
    ERR_clear_error();
    return ip != NULL;
}

bool pki_name_ok(const char *name)
{
    const char *rest = text_starts(name, "*.") ? name + 2 : name;
    size_t len = strlen(rest);

    return is_address(name) ||
           (len > 0 && len <= DNS_NAME_MAX && rest[0] != '.' &&
            rest[0] != '-' && strstr(rest, "..") == NULL &&
            strspn(rest,
                   "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                   "0123456789-._") == len);
}

int pki_issue_https(const struct buf *ca_key, const struct buf *ca_cert,
                    const void *request, size_t request_len,
                    const char *const *names, size_t count, uint64_t now_s,
                    struct buf *cert, struct err *err)
{
    struct wanted want = {
        .cn = HTTPS_NAME, .days = PKI_CERT_DAYS, .purpose = "serverAuth"};
    struct buf text = {0};
    int rc;

    if (count == 0 || count > PKI_NAMES_MAX) {
        return err_set(err, ERR_BAD_INPUT,
                       "an https certificate is of 1 to %d "
                       "names",
                       PKI_NAMES_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        if (!pki_name_ok(names[i])) {
            buf_free(&text);
            return err_set(err, ERR_BAD_INPUT, "neither an address nor a name");
        }
        buf_printf(&text, "%s%s:%s", i > 0 ? "," : "",
                   is_address(names[i]) ? "IP" : "DNS", names[i]);
    }
    want.names = (const char *)text.data;
    rc = issue_to(ca_key, ca_cert, request, request_len, &want, now_s, cert,
                  err);
    buf_free(&text);
    return rc;
}

/* ---- reading ---- */

static bool one_name(X509_NAME *name, int nid, char *out, size_t size)
{
    int at = X509_NAME_get_index_by_NID(name, nid, -1);
    int len;

    if (at < 0 || X509_NAME_get_index_by_NID(name, nid, at) >= 0) {
        return false;
    }
    len = X509_NAME_get_text_by_NID(name, nid, out, (int)size);
    return len > 0 && (size_t)len < size - 1 && strlen(out) == (size_t)len;
}

static bool read_time(const ASN1_TIME *t, uint64_t *out)
{
    struct tm tm;
    time_t at;

    if (t == NULL || ASN1_TIME_to_tm(t, &tm) != 1) {
        return false;
    }
    at = timegm(&tm);
    *out = (uint64_t)at;
    return at >= 0;
}

/* What its common name says that it is. */
static bool read_kind(const char *cn, struct pki_cert *out)
{
    uint64_t id;

    if (strcmp(cn, "ca") == 0) {
        out->ca = true;
    } else if (strcmp(cn, HTTPS_NAME) == 0) {
        out->https = true;
    } else if (text_starts(cn, NAME_PREFIX)) {
        if (!text_u64(cn + strlen(NAME_PREFIX), &id) || id == 0 ||
            id > UINT32_MAX) {
            return false;
        }
        out->server = (uint32_t)id;
    } else if (!text_starts(cn, DEVICE_PREFIX) ||
               !text_u64(cn + strlen(DEVICE_PREFIX), &out->device) ||
               out->device == 0) {
        return false;
    }
    return true;
}

/* Are its purposes those of its kind? */
static bool has_purpose(X509 *x, const struct pki_cert *c)
{
    uint32_t both = XKU_SSL_SERVER | XKU_SSL_CLIENT;
    uint32_t want = c->ca       ? UINT32_MAX /* not limited to some */
                    : c->https  ? XKU_SSL_SERVER
                    : c->device ? XKU_SSL_CLIENT
                                : both;

    return X509_check_ca(x) == c->ca && X509_get_extended_key_usage(x) == want;
}

static bool read_subject(X509 *x, struct pki_cert *out)
{
    X509_NAME *name = X509_get_subject_name(x);
    char o[80], cn[80];

    return X509_NAME_entry_count(name) == 2 &&
           one_name(name, NID_organizationName, o, sizeof o) &&
           one_name(name, NID_commonName, cn, sizeof cn) &&
           strlen(o) == 2 * PKI_CLUSTER_ID &&
           text_unhex(o, strlen(o), out->cluster, PKI_CLUSTER_ID) &&
           read_kind(cn, out) && has_purpose(x, out);
}

static bool digest_key(EVP_PKEY *key, uint8_t out[PKI_FINGERPRINT])
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key, &der);
    bool ok = len > 0 &&
              EVP_Digest(der, (size_t)len, out, NULL, EVP_sha256(), NULL) == 1;

    OPENSSL_free(der);
    return ok;
}

static int read_all(X509 *x, struct pki_cert *out, struct err *err)
{
    unsigned n = sizeof out->fingerprint;
    int rc = 0;

    memset(out, 0, sizeof *out);
    if (!read_subject(x, out)) {
        rc = err_set(err, ERR_BAD_INPUT,
                     "certificate: its subject and purpose are not those of a "
                     "cluster's server, device or CA");
    } else if (!is_p256(X509_get0_pubkey(x))) {
        rc = err_set(err, ERR_BAD_INPUT,
                     "certificate: its key is not of " CURVE);
    } else if (!read_time(X509_get0_notBefore(x), &out->not_before_s) ||
               !read_time(X509_get0_notAfter(x), &out->not_after_s) ||
               X509_digest(x, EVP_sha256(), out->fingerprint, &n) != 1 ||
               !digest_key(X509_get0_pubkey(x), out->key)) {
        rc = err_set(err, ERR_BAD_INPUT, "certificate: no validity");
    }
    ERR_clear_error();
    return rc;
}

int pki_cert_read(const void *pem, size_t len, struct pki_cert *out,
                  struct err *err)
{
    X509 *x = read_cert(pem, len, err);
    int rc;

    if (x == NULL) {
        return ERR_BAD_INPUT;
    }
    rc = read_all(x, out, err);
    X509_free(x);
    return rc;
}

int pki_key_fingerprint(const void *pem, size_t len,
                        uint8_t out[PKI_FINGERPRINT], struct err *err)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----";
    EVP_PKEY *key;
    bool ok;

    if (len > strlen(begin) && memcmp(pem, begin, strlen(begin)) == 0) {
        X509 *x = read_cert(pem, len, err);
        key = x != NULL ? X509_get_pubkey(x) : NULL;
        X509_free(x);
    } else {
        key = request_key(pem, len, err);
    }
    if (key == NULL) {
        return ERR_BAD_INPUT;
    }
    ok = digest_key(key, out);
    EVP_PKEY_free(key);
    return ok ? 0 : failed(err, "public key");
}

/* ---- verifying ---- */

static int verify(X509 *ca, X509 *x, uint64_t now_s, struct err *err)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509_VERIFY_PARAM *param;
    int rc = 0;

    CHECK(store != NULL && ctx != NULL);
    CHECK(X509_STORE_add_cert(store, ca) == 1);
    CHECK(X509_STORE_CTX_init(ctx, store, x, NULL) == 1);
    param = X509_STORE_CTX_get0_param(ctx);
    CHECK(X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_CLIENT) == 1);
    X509_VERIFY_PARAM_set_time(param, (time_t)now_s);
    if (X509_verify_cert(ctx) != 1) {
        rc = err_set(
            err, ERR_DENIED, "the certificate: %s",
            X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    }
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    ERR_clear_error();
    return rc;
}

bool pki_renewal_due(uint64_t not_before_s, uint64_t not_after_s,
                     uint64_t now_s)
{
    return now_s < not_before_s || now_s >= not_after_s ||
           not_after_s - now_s < (not_after_s - not_before_s) / 3;
}

int pki_device_verify(const struct buf *ca_cert, const void *der, size_t len,
                      uint64_t now_s, struct pki_cert *out, struct err *err)
{
    const unsigned char *at = der;
    X509 *x = len <= PKI_PEM_MAX ? d2i_X509(NULL, &at, (long)len) : NULL;
    X509 *ca = read_cert(ca_cert->data, ca_cert->len, err);
    struct pki_cert info, by;
    int rc = ERR_DENIED;

    ERR_clear_error();
    if (x == NULL || ca == NULL) {
        err_set(err, rc, "the certificate: not readable");
    } else if (read_all(x, &info, err) != 0 || info.device == 0 ||
               read_all(ca, &by, err) != 0 ||
               memcmp(info.cluster, by.cluster, sizeof by.cluster) != 0) {
        err_set(err, rc,
                "the certificate is not that of a device of this "
                "cluster");
    } else {
        rc = verify(ca, x, now_s, err);
    }
    if (rc == 0) {
        *out = info;
    }
    X509_free(x);
    X509_free(ca);
    return rc;
}

/* ---- policies ---- */

int pki_sign_policy(const struct buf *ca_key, const void *p, size_t len,
                    struct buf *signature, struct err *err)
{
    EVP_PKEY *key = read_key(ca_key, err);
    uint8_t out[PKI_SIGNATURE_MAX];
    size_t out_len = sizeof out;
    EVP_MD_CTX *ctx;
    bool ok;

    if (key == NULL) {
        return ERR_BAD_INPUT;
    }
    ctx = EVP_MD_CTX_new();
    CHECK(ctx != NULL);
    ok = EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
         EVP_DigestSignUpdate(ctx, PKI_POLICY_DOMAIN,
                              strlen(PKI_POLICY_DOMAIN)) == 1 &&
         EVP_DigestSignUpdate(ctx, p, len) == 1 &&
         EVP_DigestSignFinal(ctx, out, &out_len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    if (!ok) {
        return failed(err, "signing a policy");
    }
    buf_append(signature, out, out_len);
    return 0;
}

int pki_verify_policy(const struct buf *ca_cert, const void *p, size_t len,
                      const void *signature, size_t signature_len,
                      struct err *err)
{
    X509 *ca = read_cert(ca_cert->data, ca_cert->len, err);
    EVP_MD_CTX *ctx;
    bool ok;

    if (ca == NULL) {
        return ERR_BAD_INPUT;
    }
    ctx = EVP_MD_CTX_new();
    CHECK(ctx != NULL);
    ok = EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL,
                              X509_get0_pubkey(ca)) == 1 &&
         EVP_DigestVerifyUpdate(ctx, PKI_POLICY_DOMAIN,
                                strlen(PKI_POLICY_DOMAIN)) == 1 &&
         EVP_DigestVerifyUpdate(ctx, p, len) == 1 &&
         EVP_DigestVerifyFinal(ctx, signature, signature_len) == 1;
    EVP_MD_CTX_free(ctx);
    X509_free(ca);
    ERR_clear_error();
    return ok ? 0
              : err_set(err, ERR_DENIED,
                        "the signature is not by the cluster's CA");
}
