/* bech32.h: short bytes as text with a checksum that finds typing errors.
 *
 *     prefix, "1", 5-bit digits of "qpzry9x8gf2tvdw0s3jn54khce6mua7l", of which
 *     the last 6 are the checksum
 *
 * As age uses it: without BIP 173's limit of 90 characters.
 *
 * Source: BIP 173. Threads: any.
 */
#ifndef GODWIT_CRYPTO_BECH32_H
#define GODWIT_CRYPTO_BECH32_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BECH32_BYTES_MAX 64
#define BECH32_PREFIX_MAX 32
#define BECH32_TEXT(prefix_len, len) \
    ((prefix_len) + 1 + ((len)*8 + 4) / 5 + 6 + 1)

/* @prefix is lower case; @out needs BECH32_TEXT(strlen(prefix), len) bytes and
 * is lower case. */
char *bech32_encode(const char *prefix, const void *p, size_t len, char *out);
/* Exactly @len bytes from a whole string with this prefix, all lower or all
 * upper case. On failure, false: @out is untouched. */
bool bech32_decode(const char *text, const char *prefix, void *out, size_t len);

#endif
