/* test_bech32.c: short bytes as text.
 *
 * Goal: the text form is that of BIP 173, and each typing error is found.
 * Method: valid strings of BIP 173 and a key of age's documentation; every
 * character of a key replaced by every other of the alphabet.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/text.h"
#include "crypto/bech32.h"

/* From age's README. */
static const char recipient[] =
    "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

static void known_strings_decode_and_encode_to_themselves(void **state)
{
    uint8_t bytes[32];
    char text[BECH32_TEXT(6, 32)];

    (void)state;
    /* BIP 173, "valid Bech32". */
    assert_true(bech32_decode("A12UEL5L", "a", bytes, 0));
    assert_true(bech32_decode("abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw",
                              "abcdef", bytes, 20));
    assert_string_equal(text_hex(bytes, 20, (char[41]){0}),
                        "00443214c74254b635cf84653a56d7c675be77df");
    assert_string_equal(bech32_encode("abcdef", bytes, 20, text),
                        "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw");
    assert_true(bech32_decode(recipient, "age", bytes, 32));
    assert_string_equal(bech32_encode("age", bytes, 32, text), recipient);
}

static void every_length_comes_back(void **state)
{
    (void)state;
    for (size_t len = 0; len <= BECH32_BYTES_MAX; len++) {
        uint8_t bytes[BECH32_BYTES_MAX], back[BECH32_BYTES_MAX];
        char text[BECH32_TEXT(1, BECH32_BYTES_MAX)];
        rng_bytes(bytes, sizeof bytes);
        bech32_encode("x", bytes, len, text);
        assert_int_equal(strlen(text) + 1, BECH32_TEXT(1, len));
        assert_true(bech32_decode(text, "x", back, len));
        assert_memory_equal(back, bytes, len);
        assert_false(
            bech32_decode(text, "x", back, len + 1 > 64 ? 0 : len + 1));
    }
}

static void every_changed_character_is_refused(void **state)
{
    static const char alphabet[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l1bio-A\x80";
    uint8_t bytes[32], before[32];
    char text[sizeof recipient];

    (void)state;
    memset(bytes, 0xaa, sizeof bytes);
    memcpy(before, bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof recipient - 1; i++) {
        for (const char *c = alphabet; *c != '\0'; c++) {
            memcpy(text, recipient, sizeof text);
            text[i] = *c;
            if (*c != recipient[i]) {
                assert_false(bech32_decode(text, "age", bytes, 32));
            }
        }
        memcpy(text, recipient, sizeof text);
        text[i] = '\0';
        assert_false(bech32_decode(text, "age", bytes, 32));
    }
    assert_memory_equal(bytes, before, sizeof bytes);
}

static void case_is_all_upper_or_all_lower(void **state)
{
    uint8_t bytes[32], other[32];
    char text[sizeof recipient];

    (void)state;
    for (size_t i = 0; i < sizeof text; i++) {
        char c = recipient[i];
        text[i] = c >= 'a' && c <= 'z' ? (char)(c - 0x20) : c;
    }
    assert_true(bech32_decode(recipient, "age", bytes, 32));
    assert_true(bech32_decode(text, "age", other, 32));
    assert_memory_equal(bytes, other, 32);
    text[10] = (char)(text[10] | 0x20);
    assert_false(bech32_decode(text, "age", other, 32));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_strings_decode_and_encode_to_themselves),
        cmocka_unit_test(every_length_comes_back),
        cmocka_unit_test(every_changed_character_is_refused),
        cmocka_unit_test(case_is_all_upper_or_all_lower),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
