/* prim.h: the few primitives that agent and server share.
 *
 * One header, two implementations behind it, judged by the same unit test:
 *
 *     crypto/prim.c        libcrypto; part of libcrypto.a, for servers
 *     crypto/mbed/prim.c   mbedtls; part of libcrypto_mbed.a, for the agent
 *
 * What is written on top (crypto/seal.c, crypto/age.c) knows neither. Random
 * comes from base/rng.h, wiping from base/mem.h. In all AEAD functions @out is
 * @in or does not overlap it.
 *
 * Source: FIPS 180-4, RFC 1321, RFC 2104, RFC 5869, RFC 7748, RFC 8439, NIST SP
 * 800-38D.
 * Threads: any; a hash and an aead belong to their caller.
 */
#ifndef GODWIT_CRYPTO_PRIM_H
#define GODWIT_CRYPTO_PRIM_H

#include <stddef.h>
#include <stdint.h>

struct err;

#define PRIM_SHA256 32
#define PRIM_MD5 16
#define PRIM_HASH_MAX 32
#define PRIM_X25519 32 /* private, public and shared alike */
#define PRIM_KEY 32    /* of both AEADs */
#define PRIM_NONCE 12
#define PRIM_TAG 16
#define PRIM_EXPAND_MAX (255 * (size_t)PRIM_SHA256)

/* ---- digests ---- */

enum prim_hash_kind { PRIM_HASH_SHA256, PRIM_HASH_MD5 };

struct prim_hash {
    enum prim_hash_kind kind;
    void *context; /* of the library */
};

void prim_hash_init(struct prim_hash *h, enum prim_hash_kind kind);
void prim_hash_update(struct prim_hash *h, const void *p, size_t len);
/* Write PRIM_SHA256 or PRIM_MD5 bytes and release; gives the size. */
size_t prim_hash_final(struct prim_hash *h, uint8_t out[PRIM_HASH_MAX]);
/* Release without a result; a final'd or zeroed hash is nothing. */
void prim_hash_free(struct prim_hash *h);

void prim_sha256(const void *p, size_t len, uint8_t out[PRIM_SHA256]);
void prim_md5(const void *p, size_t len, uint8_t out[PRIM_MD5]);

/* ---- keyed by SHA-256; @out may be @key ---- */

void prim_hmac(const void *key, size_t key_len, const void *p, size_t len,
               uint8_t out[PRIM_SHA256]);
void prim_hkdf_extract(const void *salt, size_t salt_len, const void *ikm,
                       size_t ikm_len, uint8_t prk[PRIM_SHA256]);
/* @info_len is at most 256, @out_len at most PRIM_EXPAND_MAX. */
void prim_hkdf_expand(const uint8_t prk[PRIM_SHA256], const void *info,
                      size_t info_len, void *out, size_t out_len);

/* ---- X25519 ---- */

/* Any 32 bytes are a private key (RFC 7748 clamps them). */
void prim_x25519_keygen(uint8_t private_key[PRIM_X25519],
                        uint8_t public_key[PRIM_X25519]);
void prim_x25519_public(const uint8_t private_key[PRIM_X25519],
                        uint8_t public_key[PRIM_X25519]);
/* ERR_BAD_INPUT: the public key is of low order, the secret would be zero. */
int prim_x25519_shared(const uint8_t private_key[PRIM_X25519],
                       const uint8_t public_key[PRIM_X25519],
                       uint8_t shared[PRIM_X25519], struct err *err);

/* ---- authenticated encryption ---- */

/* The values are HPKE's AEAD identifiers (RFC 9180, section 7.3). */
enum prim_algorithm { PRIM_AES_256_GCM = 2, PRIM_CHACHA20_POLY1305 = 3 };

/* Seal @len bytes: @out gets @len + PRIM_TAG. A nonce is used once with a
 * key. */
void prim_seal(enum prim_algorithm algorithm, const uint8_t key[PRIM_KEY],
               const uint8_t nonce[PRIM_NONCE], const void *ad, size_t ad_len,
               const void *in, size_t len, void *out);
/* Open @len bytes, tag included; @out gets @len - PRIM_TAG. ERR_MISMATCH, also
 * for less than a tag, leaves nothing of the text in @out. */
int prim_open(enum prim_algorithm algorithm, const uint8_t key[PRIM_KEY],
              const uint8_t nonce[PRIM_NONCE], const void *ad, size_t ad_len,
              const void *in, size_t len, void *out, struct err *err);

/* The same with a key whose schedule is kept: nothing is allocated after
 * prim_aead_new. */
struct prim_aead;
struct prim_aead *prim_aead_new(enum prim_algorithm algorithm,
                                const uint8_t key[PRIM_KEY]);
void prim_aead_set_key(struct prim_aead *a, const uint8_t key[PRIM_KEY]);
void prim_aead_free(struct prim_aead *a); /* wipes; NULL is nothing */
void prim_aead_seal(struct prim_aead *a, const uint8_t nonce[PRIM_NONCE],
                    const void *ad, size_t ad_len, const void *in, size_t len,
                    void *out);
int prim_aead_open(struct prim_aead *a, const uint8_t nonce[PRIM_NONCE],
                   const void *ad, size_t ad_len, const void *in, size_t len,
                   void *out, struct err *err);

#endif
