/* sign.h: Ed25519 signatures.
 *
 * A private key is any 32 random bytes (RFC 8032's seed). Source: RFC 8032.
 * Threads: any; no state.
 */
#ifndef GODWIT_CRYPTO_SIGN_H
#define GODWIT_CRYPTO_SIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIGN_PRIVATE 32
#define SIGN_PUBLIC 32
#define SIGN_SIZE 64

void sign_public(const uint8_t private_key[SIGN_PRIVATE],
                 uint8_t public_key[SIGN_PUBLIC]);
void sign_make(const uint8_t private_key[SIGN_PRIVATE], const void *p,
               size_t len, uint8_t signature[SIGN_SIZE]);
bool sign_verify(const uint8_t public_key[SIGN_PUBLIC], const void *p,
                 size_t len, const uint8_t signature[SIGN_SIZE]);

#endif
