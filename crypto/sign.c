#include "crypto/sign.h"

#include <openssl/evp.h>

#include "base/check.h"

static EVP_PKEY *private_of(const uint8_t key[SIGN_PRIVATE])
{
    EVP_PKEY *k =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, key, SIGN_PRIVATE);

    CHECK(k != NULL);
    return k;
}

void sign_public(const uint8_t private_key[SIGN_PRIVATE],
                 uint8_t public_key[SIGN_PUBLIC])
{
    EVP_PKEY *k = private_of(private_key);
    size_t len = SIGN_PUBLIC;

    CHECK(EVP_PKEY_get_raw_public_key(k, public_key, &len) == 1);
    CHECK(len == SIGN_PUBLIC);
    EVP_PKEY_free(k);
}

void sign_make(const uint8_t private_key[SIGN_PRIVATE], const void *p,
               size_t len, uint8_t signature[SIGN_SIZE])
{
    EVP_PKEY *k = private_of(private_key);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    size_t size = SIGN_SIZE;

    CHECK(c != NULL);
    CHECK(EVP_DigestSignInit(c, NULL, NULL, NULL, k) == 1);
    CHECK(EVP_DigestSign(c, signature, &size, p, len) == 1);
    CHECK(size == SIGN_SIZE);
    EVP_MD_CTX_free(c);
    EVP_PKEY_free(k);
}

bool sign_verify(const uint8_t public_key[SIGN_PUBLIC], const void *p,
                 size_t len, const uint8_t signature[SIGN_SIZE])
{
    EVP_PKEY *k = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL,
                                              public_key, SIGN_PUBLIC);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool good = k != NULL && c != NULL &&
                EVP_DigestVerifyInit(c, NULL, NULL, NULL, k) == 1 &&
                EVP_DigestVerify(c, signature, SIGN_SIZE, p, len) == 1;

    EVP_MD_CTX_free(c);
    EVP_PKEY_free(k);
    return good;
}
