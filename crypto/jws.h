/* jws.h: signed documents that anybody can check, offline.
 *
 * JSON Web Signature, compact, by Ed25519; the header names the public key:
 *
 *     base64url({"alg":"EdDSA","jwk":{"kty":"OKP","crv":"Ed25519","x":KEY}})
 *     . base64url(payload) . base64url(signature of both)
 *
 * Source: RFC 7515 (JWS), RFC 8037 (EdDSA in JOSE), RFC 8032 (Ed25519).
 * Threads: any; no state.
 */
#ifndef GODWIT_CRYPTO_JWS_H
#define GODWIT_CRYPTO_JWS_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

#define JWS_KEY 32      /* as crypto/sign.h: private and public */
#define JWS_KEY_TEXT 44 /* base64url, with its NUL */

/* Append the token; no line end. */
void jws_sign(const uint8_t seed[JWS_KEY], const void *payload, size_t len,
              struct buf *out);
/* Append the payload of a good token, and give the key that signed it.
 * ERR_BAD_INPUT: it is none; ERR_MISMATCH: the signature is not of it. */
int jws_open(const char *token, size_t len, struct buf *payload,
             uint8_t key[JWS_KEY], struct err *err);

void jws_key_text(const uint8_t key[JWS_KEY], char out[JWS_KEY_TEXT]);

#endif
