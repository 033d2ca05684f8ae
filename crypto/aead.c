#include "crypto/aead.h"

#include <limits.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"

/* NIST SP 800-38D 5.2.1.1: at most 2^39 - 256 bits under one nonce. */
#define TEXT_MAX (((size_t)1 << 36) - 32)
#define STEP ((size_t)1 << 30) /* EVP takes an int length */

static EVP_CIPHER *cipher;
static pthread_key_t context_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void context_free(void *context)
{
    EVP_CIPHER_CTX_free(context);
}

static void start(void)
{
    cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    CHECK(cipher != NULL);
    CHECK(pthread_key_create(&context_key, context_free) == 0);
}

static EVP_CIPHER_CTX *context_new(void)
{
    EVP_CIPHER_CTX *context;

    pthread_once(&once, start);
    context = EVP_CIPHER_CTX_new();
    CHECK(context != NULL);
    CHECK(EVP_EncryptInit_ex2(context, cipher, NULL, NULL, NULL) == 1);
    return context;
}

/* A context that the thread uses again: making one costs more than sealing a
 * key with it. */
static EVP_CIPHER_CTX *context_of_thread(void)
{
    EVP_CIPHER_CTX *context;

    pthread_once(&once, start);
    context = pthread_getspecific(context_key);
    if (context == NULL) {
        context = context_new();
        CHECK(pthread_setspecific(context_key, context) == 0);
    }
    return context;
}

static void set_key(EVP_CIPHER_CTX *context, const uint8_t key[AEAD_KEY])
{
    CHECK(EVP_EncryptInit_ex2(context, NULL, key, NULL, NULL) == 1);
}

/* The schedule of a real key does not stay in a thread's context. */
static void forget_key(EVP_CIPHER_CTX *context)
{
    static const uint8_t zero[AEAD_KEY];

    set_key(context, zero);
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

static void seal(EVP_CIPHER_CTX *context, const uint8_t nonce[AEAD_NONCE],
                 const void *ad, size_t ad_len, const void *in, size_t len,
                 uint8_t *out)
{
    int made;

    CHECK(len <= TEXT_MAX);
    CHECK(EVP_EncryptInit_ex2(context, NULL, NULL, nonce, NULL) == 1);
    run(context, NULL, ad, ad_len);
    run(context, out, in, len);
    CHECK(EVP_EncryptFinal_ex(context, out + len, &made) == 1);
    CHECK(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG,
                              out + len) == 1);
}

static int open_sealed(EVP_CIPHER_CTX *context, const uint8_t nonce[AEAD_NONCE],
                       const void *ad, size_t ad_len, const uint8_t *in,
                       size_t len, uint8_t *out, struct err *err)
{
    uint8_t tag[AEAD_TAG], none[1];
    int made;

    if (len < AEAD_TAG || len - AEAD_TAG > TEXT_MAX) {
        return err_set(err, ERR_MISMATCH,
                       "sealed bytes: %zu is no possible length", len);
    }
    len -= AEAD_TAG;
    memcpy(tag, in + len, sizeof tag);
    CHECK(EVP_DecryptInit_ex2(context, NULL, NULL, nonce, NULL) == 1);
    run(context, NULL, ad, ad_len);
    run(context, out, in, len);
    CHECK(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG, tag) ==
          1);
    if (EVP_DecryptFinal_ex(context, none, &made) != 1) {
        if (len > 0) {
            mem_wipe(out, len);
        }
        return err_set(err, ERR_MISMATCH,
                       "sealed bytes: the tag does not match");
    }
    return 0;
}

void aead_seal(const uint8_t key[AEAD_KEY], const uint8_t nonce[AEAD_NONCE],
               const void *ad, size_t ad_len, const void *in, size_t len,
               uint8_t *out)
{
    EVP_CIPHER_CTX *context = context_of_thread();

    set_key(context, key);
    seal(context, nonce, ad, ad_len, in, len, out);
    forget_key(context);
}

int aead_open(const uint8_t key[AEAD_KEY], const uint8_t nonce[AEAD_NONCE],
              const void *ad, size_t ad_len, const void *in, size_t len,
              void *out, struct err *err)
{
    EVP_CIPHER_CTX *context = context_of_thread();
    int rc;

    set_key(context, key);
    rc = open_sealed(context, nonce, ad, ad_len, in, len, out, err);
    forget_key(context);
    return rc;
}

/* ---- segments ---- */

struct aead_stream {
    EVP_CIPHER_CTX *context;
    uint8_t prefix[AEAD_PREFIX];
};

_Static_assert(AEAD_PREFIX + 4 + 1 == AEAD_NONCE, "parts of the nonce");
_Static_assert(AEAD_SEGMENT <= INT_MAX, "EVP takes an int length");

struct aead_stream *aead_stream_new(const uint8_t key[AEAD_KEY],
                                    const uint8_t prefix[AEAD_PREFIX])
{
    struct aead_stream *s = mem_alloc(sizeof *s);

    s->context = context_new();
    set_key(s->context, key);
    memcpy(s->prefix, prefix, sizeof s->prefix);
    return s;
}

void aead_stream_free(struct aead_stream *s)
{
    if (s == NULL) {
        return;
    }
    /* libcrypto wipes the schedule when it frees a context. */
    EVP_CIPHER_CTX_free(s->context);
    mem_wipe(s, sizeof *s);
    free(s);
}

static void segment_nonce(const struct aead_stream *s, uint32_t segment,
                          bool last, uint8_t out[AEAD_NONCE])
{
    memcpy(out, s->prefix, AEAD_PREFIX);
    out[AEAD_PREFIX] = (uint8_t)(segment >> 24);
    out[AEAD_PREFIX + 1] = (uint8_t)(segment >> 16);
    out[AEAD_PREFIX + 2] = (uint8_t)(segment >> 8);
    out[AEAD_PREFIX + 3] = (uint8_t)segment;
    out[AEAD_PREFIX + 4] = last ? 1 : 0;
}

void aead_stream_seal(struct aead_stream *s, uint32_t segment, bool last,
                      const void *in, size_t len, uint8_t *out)
{
    uint8_t nonce[AEAD_NONCE];

    CHECK(len <= AEAD_SEGMENT);
    CHECK(last || len == AEAD_SEGMENT);
    segment_nonce(s, segment, last, nonce);
    seal(s->context, nonce, NULL, 0, in, len, out);
}

int aead_stream_open(struct aead_stream *s, uint32_t segment, bool last,
                     const void *in, size_t len, void *out, struct err *err)
{
    uint8_t nonce[AEAD_NONCE];
    int rc;

    if (len > AEAD_SEGMENT + AEAD_TAG ||
        (!last && len != AEAD_SEGMENT + AEAD_TAG)) {
        return err_set(err, ERR_MISMATCH,
                       "segment %u: %zu is no possible length", segment, len);
    }
    segment_nonce(s, segment, last, nonce);
    rc = open_sealed(s->context, nonce, NULL, 0, in, len, out, err);
    return rc == 0 ? 0 : err_wrap(err, rc, "segment %u", segment);
}
