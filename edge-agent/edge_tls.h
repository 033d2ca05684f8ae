/* edge_tls.h: TLS to the cluster, and the device's key; all of mbedtls but
 * crypto.
 *
 * TLS 1.2 with ECDHE and AEAD ciphers, no tickets, no renegotiation. The only
 * authority is the cluster's own CA. The server's certificate must be issued
 * by it for servers, and name the host that was asked for: a DNS name, or an IP
 * address in subjectAltName.
 *
 * Time: a device may have no clock. edge_tls_trust_time says what time it is
 * and whether that is known. When it is not, a certificate that is "not yet
 * valid" passes; one that has expired never does.
 *
 * Keys and certificates are PEM in struct buf, without a NUL at the end.
 * Threads: any; a session belongs to its caller, and a trust outlives it.
 */
#ifndef GODWIT_EDGE_EDGE_TLS_H
#define GODWIT_EDGE_EDGE_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct edge_tls;
struct edge_tls_trust;

#define EDGE_TLS_FINGERPRINT 32 /* SHA-256 of the DER */
#define EDGE_TLS_PEM_MAX (16U * 1024)

/* ---- whom to believe, and who we are ---- */

/* @cert and @key are both NULL for who has none yet. ERR_BAD_INPUT: they cannot
 * be read, or do not belong together. */
int edge_tls_trust_new(const struct buf *ca, const struct buf *cert,
                       const struct buf *key, struct edge_tls_trust **out,
                       struct err *err);
/* Those whose certificates stand in a file (PEM), as a system has them; what is
 * none there is passed over. ERR_BAD_INPUT: there is none, or no file. */
int edge_tls_trust_file(const char *path, struct edge_tls_trust **out,
                        struct err *err);
/* Believe anybody: to look at a server's certificates, and nothing more. */
struct edge_tls_trust *edge_tls_trust_anybody(void);
void edge_tls_trust_free(struct edge_tls_trust *t); /* wipes; NULL is nothing */
void edge_tls_trust_time(struct edge_tls_trust *t, uint64_t now_ms, bool known);

/* ---- a session over a non-blocking socket ---- */

enum edge_tls_want { EDGE_TLS_DONE, EDGE_TLS_WANT_READ, EDGE_TLS_WANT_WRITE };

/* @fd stays the caller's. */
int edge_tls_new(struct edge_tls_trust *t, int fd, const char *host,
                 struct edge_tls **out, struct err *err);
void edge_tls_free(struct edge_tls *s); /* NULL is nothing */

/* All three: EDGE_TLS_DONE in *@want, or what to wait for, and call again with
 * the same arguments. Handshake: ERR_DENIED: the server is not whom we believe.
 * ERR_IO, ERR_CLOSED. */
int edge_tls_handshake(struct edge_tls *s, enum edge_tls_want *want,
                       struct err *err);
/* *@n is 0 at the end, said by the peer. */
int edge_tls_read(struct edge_tls *s, void *p, size_t len, size_t *n,
                  enum edge_tls_want *want, struct err *err);
int edge_tls_write(struct edge_tls *s, const void *p, size_t len, size_t *n,
                   enum edge_tls_want *want, struct err *err);

/* Append the certificate of this fingerprint that the server sent. ERR_DENIED:
 * it sent none such. */
int edge_tls_peer_find(struct edge_tls *s,
                       const uint8_t fingerprint[EDGE_TLS_FINGERPRINT],
                       struct buf *pem, struct err *err);

/* ---- keys and certificates ---- */

int edge_tls_key_new(struct buf *key, struct err *err); /* P-256 */
/* A request for a certificate of @key (PKCS#10). */
int edge_tls_request_new(const struct buf *key, struct buf *request,
                         struct err *err);

struct edge_tls_cert {
    uint64_t not_before_ms, not_after_ms;
    uint8_t fingerprint[EDGE_TLS_FINGERPRINT];
};
int edge_tls_cert_read(const struct buf *pem, struct edge_tls_cert *out,
                       struct err *err);
/* ECDSA by @ca of PKI_POLICY_DOMAIN (crypto/pki.h) and the bytes. ERR_DENIED:
 * it is not. */
int edge_tls_policy_check(const struct buf *ca, const void *p, size_t len,
                          const void *signature, size_t signature_len,
                          struct err *err);
/* Issued by @ca, for the device's @key. ERR_BAD_INPUT, ERR_DENIED. */
int edge_tls_cert_check(const struct buf *cert, const struct buf *key,
                        const struct buf *ca, struct err *err);

#endif
