/* pki.h: the cluster's own certificate authority.
 *
 * A cluster has one CA (ECDSA P-256, 20 years), made at its first start; each
 * server has a key that never leaves it and a certificate (90 days, renewed by
 * cluster/renew.c) that names cluster and server. The CA is not renewed: with
 * its end all certificates end.
 *
 *     subject  O = <cluster id, 32 hex>, CN = server-<id>
 *
 * A certificate is good for both ends of TLS. Join tokens pin the CA, so a
 * server that joins needs no trust in the network:
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

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

#define PKI_CLUSTER_ID 16
#define PKI_FINGERPRINT 32
#define PKI_PEM_MAX ((size_t)16 << 10)
#define PKI_CERT_DAYS 90
#define PKI_TOKEN_SECRET 16
#define PKI_TOKEN_TEXT 72 /* with its NUL */

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

struct pki_cert {
    uint8_t cluster[PKI_CLUSTER_ID];
    uint32_t server; /* 0: the CA itself */
    uint64_t not_before_s, not_after_s;
    uint8_t fingerprint[PKI_FINGERPRINT]; /* SHA-256 of the DER */
};
/* ERR_BAD_INPUT: not a certificate, or not of this shape. */
int pki_cert_read(const void *pem, size_t len, struct pki_cert *out,
                  struct err *err);

struct pki_token {
    uint8_t ca[PKI_FINGERPRINT];
    uint8_t secret[PKI_TOKEN_SECRET];
};
void pki_token_new(const uint8_t ca[PKI_FINGERPRINT], struct pki_token *out);
void pki_token_format(const struct pki_token *t, char out[PKI_TOKEN_TEXT]);
/* ERR_BAD_INPUT says what is wrong with it; never repeats the token. */
int pki_token_parse(const char *text, struct pki_token *out, struct err *err);

#endif
