/* aead.h: AES-256-GCM over segments.
 *
 * A long text is sealed in segments of a fixed size, each with its own nonce
 * and tag, so that ranges open by themselves and truncation and reordering are
 * seen: nonce = 7 bytes of prefix, u32 big-endian segment number, 1 byte that
 * is 1 for the last segment (the construction of Tink's AES-GCM-HKDF
 * streaming). By libcrypto on servers (measured 15x mbedtls).
 *
 * Source: NIST SP 800-38D; Tink "AES-GCM-HKDF streaming AEAD".
 * Threads: a context belongs to its caller.
 */
#ifndef GODWIT_CRYPTO_AEAD_H
#define GODWIT_CRYPTO_AEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define AEAD_KEY 32
#define AEAD_NONCE 12
#define AEAD_TAG 16
#define AEAD_PREFIX 7
#define AEAD_SEGMENT ((size_t)65536) /* plain bytes of a segment */

/* Seal @len bytes: @out gets @len + AEAD_TAG bytes. In all four, @out is @in
 * or does not overlap it. */
void aead_seal(const uint8_t key[AEAD_KEY], const uint8_t nonce[AEAD_NONCE],
               const void *ad, size_t ad_len, const void *in, size_t len,
               uint8_t *out);
/* Open @len bytes (tag included). ERR_MISMATCH leaves @out wiped. */
int aead_open(const uint8_t key[AEAD_KEY], const uint8_t nonce[AEAD_NONCE],
              const void *ad, size_t ad_len, const void *in, size_t len,
              void *out, struct err *err);

struct aead_stream; /* a key, schedule kept */
struct aead_stream *aead_stream_new(const uint8_t key[AEAD_KEY],
                                    const uint8_t prefix[AEAD_PREFIX]);
void aead_stream_free(struct aead_stream *s); /* wipes */
/* @len is AEAD_SEGMENT for all but the last, which has 0 to AEAD_SEGMENT.
 * Sealed: @len + AEAD_TAG bytes; sealing a segment twice with other bytes
 * breaks GCM. */
void aead_stream_seal(struct aead_stream *s, uint32_t segment, bool last,
                      const void *in, size_t len, uint8_t *out);
/* @len counts the tag. ERR_MISMATCH, also for a length that cannot be. */
int aead_stream_open(struct aead_stream *s, uint32_t segment, bool last,
                     const void *in, size_t len, void *out, struct err *err);

#endif
