/* tls.h: TLS 1.3 between servers, by OpenSSL, without sockets.
 *
 * A tls_context holds one identity; a tls_stream is one connection. The stream
 * never touches a socket: bytes of the wire go in and come out of memory, so
 * the owner of the socket decides when to read and write.
 *
 *     wire -> tls_feed -> tls_read -> plain bytes
 *     plain bytes -> tls_write -> tls_take -> wire
 *
 * Both ends must show a certificate of the context's CA and cluster, but for a
 * stranger: a server's stream takes a client without a certificate (for joins)
 * and tls_peer says 0 of it. TLS 1.3 only; AES-256-GCM, AES-128-GCM, ChaCha20;
 * X25519 or P-256; no tickets, no early data, no renegotiation, no compression.
 *
 * Source: RFC 8446. Threads: a context any; a stream one at a time.
 */
#ifndef GODWIT_CRYPTO_TLS_H
#define GODWIT_CRYPTO_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/pki.h"

struct buf;
struct err;
struct tls_context;
struct tls_stream;

/* @ca, @cert and @key are PEM. ERR_BAD_INPUT: not PEM, the key is not the
 * certificate's, or the certificate is not the CA's. */
int tls_context_new(const struct buf *ca, const struct buf *cert,
                    const struct buf *key, struct tls_context **out,
                    struct err *err);
/* A client that joins: no certificate; trusts the one CA whose certificate has
 * this fingerprint, which the server sends along with its own. */
int tls_context_stranger(const uint8_t ca[PKI_FINGERPRINT],
                         struct tls_context **out, struct err *err);
/* Streams keep what they need: a context may go before them, as when a renewed
 * certificate takes its place. */
void tls_context_free(struct tls_context *c);

struct tls_stream *tls_stream_new(struct tls_context *c, bool server);
/* What tls_take has not taken is lost. NULL is nothing. */
void tls_stream_free(struct tls_stream *s);

/* Bytes from the wire; all are taken. */
void tls_feed(struct tls_stream *s, const void *p, size_t len);
/* Plain bytes: *@got of at most @max, 0 when more of the wire is needed. Drives
 * the handshake, too: call it after tls_feed, and once at first as a client,
 * then tls_take. ERR_CLOSED: the other end said goodbye. ERR_DENIED: the other
 * end's certificate is not good (says why), or it refused ours. ERR_CORRUPT:
 * the bytes are no TLS. After an error only tls_take and tls_stream_free. */
int tls_read(struct tls_stream *s, void *out, size_t max, size_t *got,
             struct err *err);
/* Encrypt; all are taken. Only once tls_ready. */
void tls_write(struct tls_stream *s, const void *p, size_t len);
/* Say goodbye. */
void tls_close(struct tls_stream *s);
/* Bytes for the wire, borrowed until the next call on @s; NULL when none. */
const void *tls_pending(struct tls_stream *s, size_t *len);
/* The first @len of them were sent. */
void tls_sent(struct tls_stream *s, size_t len);

bool tls_ready(const struct tls_stream *s); /* the handshake is done */
/* The other end's server id, once ready; 0: a stranger. */
uint32_t tls_peer(const struct tls_stream *s);
/* Until when its certificate is good, in seconds since 1970; 0: none. */
uint64_t tls_peer_until(const struct tls_stream *s);

#endif
