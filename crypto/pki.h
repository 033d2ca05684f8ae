/* pki.h: the cluster's own certificate authority.
 *
 * A cluster has one CA (ECDSA P-256, 20 years), made at its first start; each
 * server has a key that never leaves it and a certificate (90 days, renewed by
 * cluster/renew.c) that names cluster and server. The CA is not renewed: with
 * its end all certificates end.
 *
 *     of        subject                               good for
 *     a server  O = <cluster id, 32 hex>, CN = server-<id>   both ends of TLS
 *     a device  ...                       CN = device-<number>   a client only
 *     https     ...                       CN = https             a server only
 *
 * One kind never passes for another: the kind is in the name and in the
 * purpose, and both are looked at. A device is to be known by its number and
 * its key; whether it is still let in the catalogue says.
 *
 * Join tokens pin the CA, so a server that joins needs no trust in the network;
 * a device's enrolment code alike, with gwe1:
 *
 *     gwj1.<43 base64url: SHA-256 of the CA's certificate in DER>
 *         .<22 base64url: 16 bytes of secret>
 *
 * The catalogue keeps the SHA-256 of the secret only.
 * Keys and certificates are PEM in struct buf, without a NUL at the end; wipe
 * keys with buf_wipe.
 * Source: RFC 5280, RFC 2986 (requests). Threads: any; no state.
 */
#ifndef GODWIT_CRYPTO_PKI_H
#define GODWIT_CRYPTO_PKI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

#define PKI_CLUSTER_ID 16
#define PKI_FINGERPRINT 32
#define PKI_PEM_MAX ((size_t)16 << 10)
#define PKI_CERT_DAYS 90
/* A device may be out of reach for long, and can be revoked at once. */
#define PKI_DEVICE_DAYS 365
#define PKI_NAMES_MAX 32 /* addresses and names of an https server */
#define PKI_TOKEN_SECRET 16
#define PKI_SECRET_TEXT 23 /* base64url of the secret, with its NUL */
#define PKI_TOKEN_TEXT 72  /* with its NUL */

/* @now_s is the time (seconds since 1970) from which they are good; ten minutes
 * less, for clocks that differ. */
int pki_ca_new(const uint8_t cluster[PKI_CLUSTER_ID], uint64_t now_s,
               struct buf *key, struct buf *cert, struct err *err);
/* A server's key and the request for its certificate. The names in the request
 * are not looked at: who issues says what the certificate holds. */
int pki_request_new(struct buf *key, struct buf *request, struct err *err);
/* A request with a key that is there. ERR_BAD_INPUT: it is none of P-256. */
int pki_request_again(const struct buf *key, struct buf *request,
                      struct err *err);
/* ERR_BAD_INPUT: the request is none, is over PKI_PEM_MAX, its key is not
 * P-256, or its signature is not by its own key. */
int pki_issue(const struct buf *ca_key, const struct buf *ca_cert,
              const void *request, size_t request_len, uint32_t server,
              uint64_t now_s, struct buf *cert, struct err *err);

/* For device @number > 0. Errors as pki_issue. */
int pki_issue_device(const struct buf *ca_key, const struct buf *ca_cert,
                     const void *request, size_t request_len, uint64_t number,
                     uint64_t now_s, struct buf *cert, struct err *err);
/* For the https port of a server that is reached by @names: addresses ("::1"),
 * names ("s3.example.org", "*.s3.example.org"). ERR_BAD_INPUT, too: one of them
 * is neither. */
int pki_issue_https(const struct buf *ca_key, const struct buf *ca_cert,
                    const void *request, size_t request_len,
                    const char *const *names, size_t count, uint64_t now_s,
                    struct buf *cert, struct err *err);
/* The CA's word on a document that is no certificate: a device's policy
 * (fleet/edge_policy.h). Appends ECDSA with SHA-256, in DER, of
 * PKI_POLICY_DOMAIN and the bytes. ERR_BAD_INPUT: @ca_key is no key. */
#define PKI_POLICY_DOMAIN "godwit edge policy 1\n"
#define PKI_SIGNATURE_MAX 80
int pki_sign_policy(const struct buf *ca_key, const void *p, size_t len,
                    struct buf *signature, struct err *err);
/* ERR_DENIED: the signature is not by this CA, or of other bytes. */
int pki_verify_policy(const struct buf *ca_cert, const void *p, size_t len,
                      const void *signature, size_t signature_len,
                      struct err *err);
/* Is @name an address or a name that an https certificate can hold? */
bool pki_name_ok(const char *name);

struct pki_cert {
    uint8_t cluster[PKI_CLUSTER_ID];
    uint32_t server; /* 0: none's */
    uint64_t not_before_s, not_after_s;
    uint8_t fingerprint[PKI_FINGERPRINT]; /* SHA-256 of the DER */
    uint64_t device;                      /* 0: none's */
    bool ca, https;               /* the CA's itself; of an https port */
    uint8_t key[PKI_FINGERPRINT]; /* as pki_key_fingerprint */
};
/* ERR_BAD_INPUT: not a certificate, or not of this shape. */
int pki_cert_read(const void *pem, size_t len, struct pki_cert *out,
                  struct err *err);
/* Should a certificate be renewed: the last third of its time has begun, or it
 * is not good at @now_s at all? */
bool pki_renewal_due(uint64_t not_before_s, uint64_t not_after_s,
                     uint64_t now_s);
/* A device's certificate (DER, as it comes by TLS): is it by this CA, of its
 * cluster, for a device, good at @now_s? ERR_DENIED says what is wrong. */
int pki_device_verify(const struct buf *ca_cert, const void *der, size_t len,
                      uint64_t now_s, struct pki_cert *out, struct err *err);
/* SHA-256 of the public key (SubjectPublicKeyInfo in DER) in @pem, a request
 * that proves its key or a certificate. ERR_BAD_INPUT. */
int pki_key_fingerprint(const void *pem, size_t len,
                        uint8_t out[PKI_FINGERPRINT], struct err *err);

struct pki_token {
    uint8_t ca[PKI_FINGERPRINT];
    uint8_t secret[PKI_TOKEN_SECRET];
};
void pki_token_new(const uint8_t ca[PKI_FINGERPRINT], struct pki_token *out);
void pki_token_format(const struct pki_token *t, char out[PKI_TOKEN_TEXT]);
/* ERR_BAD_INPUT says what is wrong with it; never repeats the token. */
int pki_token_parse(const char *text, struct pki_token *out, struct err *err);

/* A device's enrolment code: a token by another prefix. */
void pki_code_format(const struct pki_token *t, char out[PKI_TOKEN_TEXT]);
int pki_code_parse(const char *text, struct pki_token *out, struct err *err);
/* The secret alone, as a device sends it. */
void pki_secret_format(const uint8_t secret[PKI_TOKEN_SECRET],
                       char out[PKI_SECRET_TEXT]);
bool pki_secret_parse(const char *text, uint8_t out[PKI_TOKEN_SECRET]);

#endif
