/* keyring.h: the keys that wrap keys, in a file.
 *
 * A keyring holds numbered 256-bit keys; the newest wraps, all open. Wrapping
 * is AES-256-GCM with a random nonce and the caller's context as additional
 * data. The file (mode 0600) has a header, a key a line in hex, and a SHA-256
 * of all before; it is replaced whole. Shredding a key removes it.
 *
 *     wrapped = u32 key number, 12 bytes nonce, sealed bytes, 16 bytes tag
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

/* Read @path, or make it with one key. ERR_CORRUPT, ERR_VERSION, ERR_IO. */
int keyring_open(const char *path, struct keyring **out, struct err *err);
void keyring_close(struct keyring *k); /* wipes */

/* Add a key, which wraps from now on. */
int keyring_rotate(struct keyring *k, uint32_t *number, struct err *err);
/* Forget a key that is not the newest; ERR_NOT_FOUND, ERR_BAD_INPUT. */
int keyring_shred(struct keyring *k, uint32_t number, struct err *err);

/* @out gets @len + KEYRING_OVERHEAD bytes. */
void keyring_wrap(struct keyring *k, const void *context, size_t context_len,
                  const void *in, size_t len, uint8_t *out);
/* @out gets @len - KEYRING_OVERHEAD bytes. ERR_NOT_FOUND: the key was
 * shredded; ERR_MISMATCH. */
int keyring_unwrap(struct keyring *k, const void *context, size_t context_len,
                   const void *in, size_t len, void *out, struct err *err);

#endif
