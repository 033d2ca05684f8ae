#include "crypto/prim.h"

#include <mbedtls/chachapoly.h>
#include <mbedtls/ecp.h>
#include <mbedtls/gcm.h>
#include <mbedtls/md5.h>
#include <mbedtls/sha256.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"

/* ---- digests ---- */

struct hash {
    union {
        mbedtls_sha256_context sha256;
        mbedtls_md5_context md5;
    } u;
};

void prim_hash_init(struct prim_hash *h, enum prim_hash_kind kind)
{
    struct hash *c = mem_alloc(sizeof *c);

    h->kind = kind;
    h->context = c;
    if (kind == PRIM_HASH_MD5) {
        mbedtls_md5_init(&c->u.md5);
        CHECK(mbedtls_md5_starts_ret(&c->u.md5) == 0);
    } else {
        mbedtls_sha256_init(&c->u.sha256);
        CHECK(mbedtls_sha256_starts_ret(&c->u.sha256, 0) == 0);
    }
}

void prim_hash_update(struct prim_hash *h, const void *p, size_t len)
{
    struct hash *c = h->context;

    CHECK(c != NULL);
    if (len == 0) {
        return;
    }
    if (h->kind == PRIM_HASH_MD5) {
        CHECK(mbedtls_md5_update_ret(&c->u.md5, p, len) == 0);
    } else {
        CHECK(mbedtls_sha256_update_ret(&c->u.sha256, p, len) == 0);
    }
}

size_t prim_hash_final(struct prim_hash *h, uint8_t out[PRIM_HASH_MAX])
{
    struct hash *c = h->context;
    size_t size;

    CHECK(c != NULL);
    if (h->kind == PRIM_HASH_MD5) {
        CHECK(mbedtls_md5_finish_ret(&c->u.md5, out) == 0);
        size = PRIM_MD5;
    } else {
        CHECK(mbedtls_sha256_finish_ret(&c->u.sha256, out) == 0);
        size = PRIM_SHA256;
    }
    prim_hash_free(h);
    return size;
}

void prim_hash_free(struct prim_hash *h)
{
    if (h->context == NULL) {
        return;
    }
    mem_wipe(h->context, sizeof(struct hash));
    free(h->context);
    h->context = NULL;
}

void prim_sha256(const void *p, size_t len, uint8_t out[PRIM_SHA256])
{
    static const uint8_t nothing[1];

    CHECK(mbedtls_sha256_ret(len > 0 ? p : nothing, len, out, 0) == 0);
}

void prim_md5(const void *p, size_t len, uint8_t out[PRIM_MD5])
{
    static const uint8_t nothing[1];

    CHECK(mbedtls_md5_ret(len > 0 ? p : nothing, len, out) == 0);
}

/* One of HMAC's two hashes: SHA-256(key ^ pad || p). */
static void keyed_hash(const uint8_t key[64], uint8_t pad, const void *p,
                       size_t len, uint8_t out[PRIM_SHA256])
{
    mbedtls_sha256_context c;
    uint8_t block[64];

    for (size_t i = 0; i < sizeof block; i++) {
        block[i] = key[i] ^ pad;
    }
    mbedtls_sha256_init(&c);
    CHECK(mbedtls_sha256_starts_ret(&c, 0) == 0);
    CHECK(mbedtls_sha256_update_ret(&c, block, sizeof block) == 0);
    if (len > 0) {
        CHECK(mbedtls_sha256_update_ret(&c, p, len) == 0);
    }
    CHECK(mbedtls_sha256_finish_ret(&c, out) == 0);
    mbedtls_sha256_free(&c);
    mem_wipe(block, sizeof block);
}

/* RFC 2104, on the stack. */
void prim_hmac(const void *key, size_t key_len, const void *p, size_t len,
               uint8_t out[PRIM_SHA256])
{
    uint8_t padded[64] = {0}, inner[PRIM_SHA256];

    if (key_len > sizeof padded) {
        prim_sha256(key, key_len, padded);
    } else if (key_len > 0) {
        memcpy(padded, key, key_len);
    }
    keyed_hash(padded, 0x36, p, len, inner);
    keyed_hash(padded, 0x5c, inner, sizeof inner, out);
    mem_wipe(padded, sizeof padded);
    mem_wipe(inner, sizeof inner);
}

/* ---- X25519 ---- */

static int random_of(void *data, unsigned char *out, size_t len)
{
    (void)data;
    rng_bytes(out, len);
    return 0;
}

/* RFC 7748, section 5: X25519(k, u). False when the result is zero, on which
 * mbedtls fails by itself: it has no affine form. */
static bool x25519(const uint8_t k[PRIM_X25519], const uint8_t u[PRIM_X25519],
                   uint8_t out[PRIM_X25519])
{
    static const uint8_t zero[PRIM_X25519];
    uint8_t scalar[PRIM_X25519], x[PRIM_X25519];
    mbedtls_ecp_group group;
    mbedtls_ecp_point point, product;
    mbedtls_mpi d;
    bool ok;

    memcpy(scalar, k, sizeof scalar);
    scalar[0] &= 248;
    scalar[31] = (uint8_t)((scalar[31] & 127) | 64);
    memcpy(x, u, sizeof x);
    x[31] &= 127;

    mbedtls_ecp_group_init(&group);
    mbedtls_ecp_point_init(&point);
    mbedtls_ecp_point_init(&product);
    mbedtls_mpi_init(&d);
    CHECK(mbedtls_ecp_group_load(&group, MBEDTLS_ECP_DP_CURVE25519) == 0);
    CHECK(mbedtls_mpi_read_binary_le(&d, scalar, sizeof scalar) == 0);
    CHECK(mbedtls_mpi_read_binary_le(&point.X, x, sizeof x) == 0);
    CHECK(mbedtls_mpi_mod_mpi(&point.X, &point.X, &group.P) == 0);
    CHECK(mbedtls_mpi_lset(&point.Z, 1) == 0);
    ok = mbedtls_ecp_mul(&group, &product, &d, &point, random_of, NULL) == 0 &&
         mbedtls_mpi_write_binary_le(&product.X, x, sizeof x) == 0 &&
         mem_diff(x, zero, sizeof x) != 0;
    if (ok) {
        memcpy(out, x, sizeof x);
    }
    mbedtls_mpi_free(&d);
    mbedtls_ecp_point_free(&product);
    mbedtls_ecp_point_free(&point);
    mbedtls_ecp_group_free(&group);
    mem_wipe(scalar, sizeof scalar);
    mem_wipe(x, sizeof x);
    return ok;
}

void prim_x25519_public(const uint8_t private_key[PRIM_X25519],
                        uint8_t public_key[PRIM_X25519])
{
    static const uint8_t base[PRIM_X25519] = {9};

    CHECK(x25519(private_key, base, public_key));
}

void prim_x25519_keygen(uint8_t private_key[PRIM_X25519],
                        uint8_t public_key[PRIM_X25519])
{
    rng_bytes(private_key, PRIM_X25519);
    prim_x25519_public(private_key, public_key);
}

int prim_x25519_shared(const uint8_t private_key[PRIM_X25519],
                       const uint8_t public_key[PRIM_X25519],
                       uint8_t shared[PRIM_X25519], struct err *err)
{
    if (!x25519(private_key, public_key, shared)) {
        return err_set(err, ERR_BAD_INPUT, "X25519 public key is of low order");
    }
    return 0;
}

/* ---- authenticated encryption ---- */

struct prim_aead {
    enum prim_algorithm algorithm;
    union {
        mbedtls_gcm_context gcm;
        mbedtls_chachapoly_context chachapoly;
    } u;
};

static void aead_init(struct prim_aead *a, enum prim_algorithm algorithm)
{
    CHECK(algorithm == PRIM_AES_256_GCM || algorithm == PRIM_CHACHA20_POLY1305);
    a->algorithm = algorithm;
    if (algorithm == PRIM_AES_256_GCM) {
        mbedtls_gcm_init(&a->u.gcm);
    } else {
        mbedtls_chachapoly_init(&a->u.chachapoly);
    }
}

static void aead_close(struct prim_aead *a)
{
    if (a->algorithm == PRIM_AES_256_GCM) {
        mbedtls_gcm_free(&a->u.gcm); /* wipes */
    } else {
        mbedtls_chachapoly_free(&a->u.chachapoly); /* wipes */
    }
}

void prim_aead_set_key(struct prim_aead *a, const uint8_t key[PRIM_KEY])
{
    if (a->algorithm == PRIM_AES_256_GCM) {
        CHECK(mbedtls_gcm_setkey(&a->u.gcm, MBEDTLS_CIPHER_ID_AES, key,
                                 8 * PRIM_KEY) == 0);
    } else {
        CHECK(mbedtls_chachapoly_setkey(&a->u.chachapoly, key) == 0);
    }
}

struct prim_aead *prim_aead_new(enum prim_algorithm algorithm,
                                const uint8_t key[PRIM_KEY])
{
    struct prim_aead *a = mem_alloc(sizeof *a);

    aead_init(a, algorithm);
    prim_aead_set_key(a, key);
    return a;
}

void prim_aead_free(struct prim_aead *a)
{
    if (a == NULL) {
        return;
    }
    aead_close(a);
    free(a);
}

void prim_aead_seal(struct prim_aead *a, const uint8_t nonce[PRIM_NONCE],
                    const void *ad, size_t ad_len, const void *in, size_t len,
                    void *out)
{
    uint8_t tag[PRIM_TAG];

    if (a->algorithm == PRIM_AES_256_GCM) {
        CHECK(mbedtls_gcm_crypt_and_tag(&a->u.gcm, MBEDTLS_GCM_ENCRYPT, len,
                                        nonce, PRIM_NONCE, ad, ad_len, in, out,
                                        sizeof tag, tag) == 0);
    } else {
        CHECK(mbedtls_chachapoly_encrypt_and_tag(
                  &a->u.chachapoly, len, nonce, ad, ad_len, in, out, tag) == 0);
    }
    memcpy((uint8_t *)out + len, tag, sizeof tag);
}

int prim_aead_open(struct prim_aead *a, const uint8_t nonce[PRIM_NONCE],
                   const void *ad, size_t ad_len, const void *in, size_t len,
                   void *out, struct err *err)
{
    uint8_t tag[PRIM_TAG];
    int rc;

    if (len < PRIM_TAG) {
        return err_set(err, ERR_MISMATCH,
                       "sealed bytes: %zu is less than a tag", len);
    }
    len -= PRIM_TAG;
    memcpy(tag, (const uint8_t *)in + len, sizeof tag);
    if (a->algorithm == PRIM_AES_256_GCM) {
        rc = mbedtls_gcm_auth_decrypt(&a->u.gcm, len, nonce, PRIM_NONCE, ad,
                                      ad_len, tag, sizeof tag, in, out);
    } else {
        rc = mbedtls_chachapoly_auth_decrypt(&a->u.chachapoly, len, nonce, ad,
                                             ad_len, tag, in, out);
    }
    if (rc != 0) {
        mem_wipe(out, len);
        return err_set(err, ERR_MISMATCH,
                       "sealed bytes: the tag does not match");
    }
    return 0;
}

void prim_seal(enum prim_algorithm algorithm, const uint8_t key[PRIM_KEY],
               const uint8_t nonce[PRIM_NONCE], const void *ad, size_t ad_len,
               const void *in, size_t len, void *out)
{
    struct prim_aead a;

    aead_init(&a, algorithm);
    prim_aead_set_key(&a, key);
    prim_aead_seal(&a, nonce, ad, ad_len, in, len, out);
    aead_close(&a);
}

int prim_open(enum prim_algorithm algorithm, const uint8_t key[PRIM_KEY],
              const uint8_t nonce[PRIM_NONCE], const void *ad, size_t ad_len,
              const void *in, size_t len, void *out, struct err *err)
{
    struct prim_aead a;
    int rc;

    aead_init(&a, algorithm);
    prim_aead_set_key(&a, key);
    rc = prim_aead_open(&a, nonce, ad, ad_len, in, len, out, err);
    aead_close(&a);
    return rc;
}
