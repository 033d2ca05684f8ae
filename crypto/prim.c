#include "crypto/prim.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "crypto/digest.h"

#define STEP ((size_t)1 << 30) /* EVP takes an int length */

/* ---- digests: those of crypto/digest.c ---- */

static enum digest_kind digest_kind_of(enum prim_hash_kind kind)
{
    return kind == PRIM_HASH_MD5 ? DIGEST_MD5 : DIGEST_SHA256;
}

void prim_hash_init(struct prim_hash *h, enum prim_hash_kind kind)
{
    struct digest d;

    digest_init(&d, digest_kind_of(kind));
    h->kind = kind;
    h->context = d.context;
}

void prim_hash_update(struct prim_hash *h, const void *p, size_t len)
{
    struct digest d = {digest_kind_of(h->kind), h->context, 0};

    digest_update(&d, p, len);
}

size_t prim_hash_final(struct prim_hash *h, uint8_t out[PRIM_HASH_MAX])
{
    struct digest d = {digest_kind_of(h->kind), h->context, 0};

    h->context = NULL;
    return digest_final(&d, out);
}

void prim_hash_free(struct prim_hash *h)
{
    struct digest d = {digest_kind_of(h->kind), h->context, 0};

    h->context = NULL;
    digest_free(&d);
}

void prim_sha256(const void *p, size_t len, uint8_t out[PRIM_SHA256])
{
    digest_of(DIGEST_SHA256, p, len, out);
}

void prim_md5(const void *p, size_t len, uint8_t out[PRIM_MD5])
{
    uint8_t all[DIGEST_MAX];

    digest_of(DIGEST_MD5, p, len, all);
    memcpy(out, all, PRIM_MD5);
}

void prim_hmac(const void *key, size_t key_len, const void *p, size_t len,
               uint8_t out[PRIM_SHA256])
{
    hmac_sha256(key, key_len, p, len, out);
}

/* ---- X25519 ---- */

static EVP_PKEY *private_of(const uint8_t private_key[PRIM_X25519])
{
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL,
                                                 private_key, PRIM_X25519);

    CHECK(key != NULL);
    return key;
}

void prim_x25519_public(const uint8_t private_key[PRIM_X25519],
                        uint8_t public_key[PRIM_X25519])
{
    EVP_PKEY *key = private_of(private_key);
    size_t len = PRIM_X25519;

    CHECK(EVP_PKEY_get_raw_public_key(key, public_key, &len) == 1);
    CHECK(len == PRIM_X25519);
    EVP_PKEY_free(key);
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
    EVP_PKEY *own = private_of(private_key);
    EVP_PKEY *other = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL,
                                                  public_key, PRIM_X25519);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(own, NULL);
    static const uint8_t zero[PRIM_X25519];
    uint8_t secret[PRIM_X25519];
    size_t len = sizeof secret;
    int rc = 0;

    CHECK(other != NULL && context != NULL);
    CHECK(EVP_PKEY_derive_init(context) == 1);
    CHECK(EVP_PKEY_derive_set_peer(context, other) == 1);
    /* libcrypto fails on a secret of zeros; nothing else can go wrong here. */
    if (EVP_PKEY_derive(context, secret, &len) != 1 || len != sizeof secret ||
        mem_diff(secret, zero, sizeof secret) == 0) {
        rc = err_set(err, ERR_BAD_INPUT, "X25519 public key is of low order");
    } else {
        memcpy(shared, secret, sizeof secret);
    }
    mem_wipe(secret, sizeof secret);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(other);
    EVP_PKEY_free(own);
    return rc;
}

/* ---- authenticated encryption ---- */

struct prim_aead {
    EVP_CIPHER_CTX *context;
};

static EVP_CIPHER *ciphers[2];
static pthread_key_t thread_keys[2];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void thread_end(void *a)
{
    prim_aead_free(a);
}

static void start(void)
{
    ciphers[0] = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    ciphers[1] = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
    for (size_t i = 0; i < 2; i++) {
        CHECK(ciphers[i] != NULL);
        CHECK(pthread_key_create(&thread_keys[i], thread_end) == 0);
    }
}

static size_t index_of(enum prim_algorithm algorithm)
{
    CHECK(algorithm == PRIM_AES_256_GCM || algorithm == PRIM_CHACHA20_POLY1305);
    return algorithm == PRIM_AES_256_GCM ? 0 : 1;
}

struct prim_aead *prim_aead_new(enum prim_algorithm algorithm,
                                const uint8_t key[PRIM_KEY])
{
    struct prim_aead *a = mem_alloc(sizeof *a);
    EVP_CIPHER *cipher;

    pthread_once(&once, start);
    cipher = ciphers[index_of(algorithm)];
    a->context = EVP_CIPHER_CTX_new();
    CHECK(a->context != NULL);
    CHECK(EVP_EncryptInit_ex2(a->context, cipher, key, NULL, NULL) == 1);
    return a;
}

void prim_aead_set_key(struct prim_aead *a, const uint8_t key[PRIM_KEY])
{
    CHECK(EVP_EncryptInit_ex2(a->context, NULL, key, NULL, NULL) == 1);
}

void prim_aead_free(struct prim_aead *a)
{
    if (a == NULL) {
        return;
    }
    /* libcrypto wipes the schedule when it frees a context. */
    EVP_CIPHER_CTX_free(a->context);
    free(a);
}

/* Run @len bytes through; additional data when @out is NULL. */
static void run(EVP_CIPHER_CTX *context, uint8_t *out, const uint8_t *in,
                size_t len)
{
    while (len > 0) {
        size_t n = len < STEP ? len : STEP;
        int made;
        CHECK(EVP_CipherUpdate(context, out, &made, in, (int)n) == 1);
        CHECK(made == (int)n);
        out = out == NULL ? NULL : out + n;
        in += n;
        len -= n;
    }
}

void prim_aead_seal(struct prim_aead *a, const uint8_t nonce[PRIM_NONCE],
                    const void *ad, size_t ad_len, const void *in, size_t len,
                    void *out)
{
    uint8_t *tag = (uint8_t *)out + len;
    int made;

    CHECK(EVP_EncryptInit_ex2(a->context, NULL, NULL, nonce, NULL) == 1);
    run(a->context, NULL, ad, ad_len);
    run(a->context, out, in, len);
    CHECK(EVP_EncryptFinal_ex(a->context, tag, &made) == 1);
    CHECK(EVP_CIPHER_CTX_ctrl(a->context, EVP_CTRL_AEAD_GET_TAG, PRIM_TAG,
                              tag) == 1);
}

int prim_aead_open(struct prim_aead *a, const uint8_t nonce[PRIM_NONCE],
                   const void *ad, size_t ad_len, const void *in, size_t len,
                   void *out, struct err *err)
{
    uint8_t tag[PRIM_TAG], none[1];
    int made;

    if (len < PRIM_TAG) {
        return err_set(err, ERR_MISMATCH,
                       "sealed bytes: %zu is less than a tag", len);
    }
    len -= PRIM_TAG;
    memcpy(tag, (const uint8_t *)in + len, sizeof tag);
    CHECK(EVP_DecryptInit_ex2(a->context, NULL, NULL, nonce, NULL) == 1);
    run(a->context, NULL, ad, ad_len);
    run(a->context, out, in, len);
    CHECK(EVP_CIPHER_CTX_ctrl(a->context, EVP_CTRL_AEAD_SET_TAG, PRIM_TAG,
                              tag) == 1);
    if (EVP_DecryptFinal_ex(a->context, none, &made) != 1) {
        if (len > 0) {
            mem_wipe(out, len);
        }
        return err_set(err, ERR_MISMATCH,
                       "sealed bytes: the tag does not match");
    }
    return 0;
}

static const uint8_t zero_key[PRIM_KEY];

/* A context that the thread uses again: making one costs more than sealing a
 * key with it. */
static struct prim_aead *of_thread(enum prim_algorithm algorithm)
{
    size_t i = index_of(algorithm);
    struct prim_aead *a;

    pthread_once(&once, start);
    a = pthread_getspecific(thread_keys[i]);
    if (a == NULL) {
        a = prim_aead_new(algorithm, zero_key);
        CHECK(pthread_setspecific(thread_keys[i], a) == 0);
    }
    return a;
}

void prim_seal(enum prim_algorithm algorithm, const uint8_t key[PRIM_KEY],
               const uint8_t nonce[PRIM_NONCE], const void *ad, size_t ad_len,
               const void *in, size_t len, void *out)
{
    struct prim_aead *a = of_thread(algorithm);

    prim_aead_set_key(a, key);
    prim_aead_seal(a, nonce, ad, ad_len, in, len, out);
    prim_aead_set_key(a, zero_key);
}

int prim_open(enum prim_algorithm algorithm, const uint8_t key[PRIM_KEY],
              const uint8_t nonce[PRIM_NONCE], const void *ad, size_t ad_len,
              const void *in, size_t len, void *out, struct err *err)
{
    struct prim_aead *a = of_thread(algorithm);
    int rc;

    prim_aead_set_key(a, key);
    rc = prim_aead_open(a, nonce, ad, ad_len, in, len, out, err);
    prim_aead_set_key(a, zero_key);
    return rc;
}
