/* test_sign.c: Ed25519 signatures.
 *
 * Goal: signatures are those of RFC 8032, and every other byte is refused.
 * Method: test 2 of its section 7.1; each bit of a signature and of a message
 * changed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "crypto/sign.h"

#define SEED "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
#define PUBLIC \
    "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
#define SIGNATURE                                                      \
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da" \
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"

static const uint8_t message[] = {0x72};

static void bytes_of(const char *hex, uint8_t *out, size_t n)
{
    assert_true(text_unhex(hex, strlen(hex), out, n));
}

static void the_signature_is_that_of_the_rfc(void **state)
{
    uint8_t seed[SIGN_PRIVATE], key[SIGN_PUBLIC], made[SIGN_PUBLIC];
    uint8_t sig[SIGN_SIZE], signature[SIGN_SIZE];

    (void)state;
    bytes_of(SEED, seed, sizeof seed);
    bytes_of(PUBLIC, key, sizeof key);
    bytes_of(SIGNATURE, signature, sizeof signature);
    sign_public(seed, made);
    assert_memory_equal(made, key, sizeof key);
    sign_make(seed, message, sizeof message, sig);
    assert_memory_equal(sig, signature, sizeof sig);
    assert_true(sign_verify(key, message, sizeof message, sig));
}

static void nothing_else_is_taken(void **state)
{
    uint8_t key[SIGN_PUBLIC], sig[SIGN_SIZE], other = message[0] ^ 1;

    (void)state;
    bytes_of(PUBLIC, key, sizeof key);
    bytes_of(SIGNATURE, sig, sizeof sig);
    assert_false(sign_verify(key, &other, 1, sig));
    assert_false(sign_verify(key, message, 0, sig));
    for (size_t bit = 0; bit < 8 * sizeof sig; bit++) {
        sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(sign_verify(key, message, sizeof message, sig));
        sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_true(sign_verify(key, message, sizeof message, sig));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_signature_is_that_of_the_rfc),
        cmocka_unit_test(nothing_else_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
