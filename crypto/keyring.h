/* keyring.h: the keys that wrap keys, in a file.
 *
 * A keyring holds numbered 256-bit keys; the newest wraps, all open. Wrapping
 * is AES-256-GCM with a random nonce and the caller's context as additional
 * data. The file (mode 0600) has a header, a key a line in hex, and a SHA-256
 * of all before; it is replaced whole. Shredding a key removes it, and
 * overwrites the file that is replaced as far as the file system lets it.
 *
 *     godwit-keyring 1\n
 *     number, blank, 64 hex\n    for each key, numbers ascending from 1
 *     sha256 64 hex\n
 *
 *     wrapped = u32 key number, 12 bytes nonce, sealed bytes, 16 bytes tag
 *
 * Numbers are never used again. With random nonces a key should wrap no more
 * than 2^32 times (NIST SP 800-38D 8.3): rotate before.
 *
 * Threads: any; a lock inside.
 */
#ifndef GODWIT_CRYPTO_KEYRING_H
#define GODWIT_CRYPTO_KEYRING_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct keyring;

#define KEYRING_OVERHEAD 32
#define KEYRING_KEYS_MAX 4096

/* Read @path, or make it with one key. ERR_CORRUPT, ERR_VERSION, and what
 * fs_read and fs_write give. */
int keyring_open(const char *path, struct keyring **out, struct err *err);
void keyring_close(struct keyring *k); /* wipes */

/* Add a key, which wraps from now on. ERR_LIMIT at KEYRING_KEYS_MAX. In both,
 * when the file cannot be written, nothing changes. */
int keyring_rotate(struct keyring *k, uint32_t *number, struct err *err);
/* Forget a key that is not the newest; ERR_NOT_FOUND, ERR_BAD_INPUT. */
int keyring_shred(struct keyring *k, uint32_t number, struct err *err);

/* @out gets @len + KEYRING_OVERHEAD bytes. */
void keyring_wrap(struct keyring *k, const void *context, size_t context_len,
                  const void *in, size_t len, uint8_t *out);
/* @out gets @len - KEYRING_OVERHEAD bytes. ERR_NOT_FOUND: the key was
 * shredded; ERR_MISMATCH: changed, cut, or another context. */
int keyring_unwrap(struct keyring *k, const void *context, size_t context_len,
                   const void *in, size_t len, void *out, struct err *err);

#endif
