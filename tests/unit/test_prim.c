/* test_prim.c: the shared primitives, on libcrypto and on mbedtls.
 *
 * Goal: both implementations of prim.h are the published algorithms, and both
 * refuse the same things.
 * Method: this file is linked twice (test_prim, test_prim_mbed). Vectors of
 * FIPS 180-4, RFC 1321, RFC 4231, RFC 5869, RFC 7748, RFC 8439 and of McGrew
 * and Viega's GCM paper; the points of low order on Curve25519; each bit of a
 * small sealed text flipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/text.h"
#include "crypto/prim.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static size_t unhex(const char *hex, uint8_t *out)
{
    size_t len = strlen(hex) / 2;

    assert_true(text_unhex(hex, 2 * len, out, len));
    return len;
}

static void assert_hex(const void *got, size_t len, const char *want)
{
    char hex[512];

    assert_true(2 * len < sizeof hex);
    assert_string_equal(text_hex(got, len, hex), want);
}

static const struct {
    const char *text, *sha256, *md5;
} digests[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
     "d41d8cd98f00b204e9800998ecf8427e"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
     "900150983cd24fb0d6963f7d28e17f72"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
     "8215ef0796a20bcaaae116d3876c664a"},
};

static void digests_are_the_published_ones_in_any_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(digests); i++) {
        const char *text = digests[i].text;
        size_t len = strlen(text);
        uint8_t out[PRIM_HASH_MAX];
        prim_sha256(text, len, out);
        assert_hex(out, PRIM_SHA256, digests[i].sha256);
        prim_md5(text, len, out);
        assert_hex(out, PRIM_MD5, digests[i].md5);
        for (size_t cut = 0; cut <= len; cut++) {
            struct prim_hash h;
            prim_hash_init(&h, PRIM_HASH_SHA256);
            prim_hash_update(&h, text, cut);
            prim_hash_update(&h, text + cut, len - cut);
            assert_int_equal(prim_hash_final(&h, out), PRIM_SHA256);
            assert_hex(out, PRIM_SHA256, digests[i].sha256);
            prim_hash_init(&h, PRIM_HASH_MD5);
            prim_hash_update(&h, text, cut);
            prim_hash_update(&h, text + cut, len - cut);
            assert_int_equal(prim_hash_final(&h, out), PRIM_MD5);
            assert_hex(out, PRIM_MD5, digests[i].md5);
        }
    }
}

static void a_hash_is_released_without_a_result(void **state)
{
    struct prim_hash h = {PRIM_HASH_SHA256, NULL};

    (void)state;
    prim_hash_free(&h);
    prim_hash_init(&h, PRIM_HASH_MD5);
    prim_hash_update(&h, "x", 1);
    prim_hash_free(&h);
    prim_hash_free(&h);
}

static void hmac_gives_the_bytes_of_rfc_4231(void **state)
{
    uint8_t key[131], data[64], out[PRIM_SHA256];

    (void)state;
    memset(key, 0x0b, 20);
    prim_hmac(key, 20, "Hi There", 8, out);
    assert_hex(
        out, sizeof out,
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    prim_hmac("Jefe", 4, "what do ya want for nothing?", 28, out);
    assert_hex(
        out, sizeof out,
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, 20);
    memset(data, 0xdd, 50);
    prim_hmac(key, 20, data, 50, out);
    assert_hex(
        out, sizeof out,
        "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    memset(key, 0xaa, sizeof key);
    prim_hmac(key, sizeof key,
              "Test Using Larger Than Block-Size Key - Hash Key First", 54,
              out);
    assert_hex(
        out, sizeof out,
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    /* In place, as a ratchet does it. */
    memset(key, 0x0b, 20);
    memset(key + 20, 0, 12);
    prim_hmac(key, 32, "Hi There", 8, key);
    assert_hex(
        key, 32,
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
}

static const struct {
    const char *ikm, *salt, *info, *prk, *okm;
} hkdfs[] = {
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
     "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
     "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
     "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
     "34007208d5b887185865"},
    {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
     "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
     "404142434445464748494a4b4c4d4e4f",
     "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f"
     "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"
     "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf",
     "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecf"
     "d0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeef"
     "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
     "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
     "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
     "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
     "cc30c58179ec3e87c14c01d5c1f3434f1d87"},
    {"0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
     "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
     "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
     "9d201395faa4b61a96c8"},
};

static void hkdf_gives_the_bytes_of_rfc_5869(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(hkdfs); i++) {
        uint8_t ikm[80], salt[80], info[80], prk[PRIM_SHA256], okm[82];
        size_t ikm_len = unhex(hkdfs[i].ikm, ikm);
        size_t salt_len = unhex(hkdfs[i].salt, salt);
        size_t info_len = unhex(hkdfs[i].info, info);
        size_t okm_len = strlen(hkdfs[i].okm) / 2;
        prim_hkdf_extract(salt, salt_len, ikm, ikm_len, prk);
        assert_hex(prk, sizeof prk, hkdfs[i].prk);
        prim_hkdf_expand(prk, info, info_len, okm, okm_len);
        assert_hex(okm, okm_len, hkdfs[i].okm);
    }
}

static void x25519_gives_the_bytes_of_rfc_7748(void **state)
{
    uint8_t k[32], u[32], out[32];

    (void)state;
    unhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
          k);
    unhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
          u);
    assert_int_equal(prim_x25519_shared(k, u, out, NULL), 0);
    assert_hex(
        out, 32,
        "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
    /* The highest bit of the public key does not count. */
    unhex("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
          k);
    unhex("e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
          u);
    assert_int_equal(prim_x25519_shared(k, u, out, NULL), 0);
    assert_hex(
        out, 32,
        "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");
    /* Section 6.1. */
    unhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
          k);
    prim_x25519_public(k, out);
    assert_hex(
        out, 32,
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    unhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
          u);
    assert_int_equal(prim_x25519_shared(k, u, out, NULL), 0);
    assert_hex(
        out, 32,
        "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    /* Section 5.2, after one round; @out may be the scalar. */
    memset(k, 0, 32);
    k[0] = 9;
    assert_int_equal(prim_x25519_shared(k, k, k, NULL), 0);
    assert_hex(
        k, 32,
        "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
}

static void x25519_takes_a_public_key_above_the_prime(void **state)
{
    uint8_t k[32] = {1, 2, 3}, u[32], small[32] = {16}, a[32], b[32];

    (void)state;
    memset(u, 0xff, 32); /* 2^255 - 1 is p + 18 */
    u[31] = 0x7f;
    small[0] = 18;
    assert_int_equal(prim_x25519_shared(k, u, a, NULL), 0);
    assert_int_equal(prim_x25519_shared(k, small, b, NULL), 0);
    assert_memory_equal(a, b, 32);
}

static const char *const low_order[] = {
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
};

static void x25519_refuses_public_keys_of_low_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * COUNT(low_order); i++) {
        uint8_t k[32], u[32], own[32], out[32], before[32];
        struct err err;
        prim_x25519_keygen(k, own);
        unhex(low_order[i / 2], u);
        u[31] = (uint8_t)(u[31] | (i % 2) << 7);
        memset(out, 0xaa, sizeof out);
        memset(before, 0xaa, sizeof before);
        assert_int_equal(prim_x25519_shared(k, u, out, &err), ERR_BAD_INPUT);
        assert_string_equal(err.text, "X25519 public key is of low order");
        assert_memory_equal(out, before, sizeof out);
    }
}

static void two_new_keys_agree_on_a_secret(void **state)
{
    uint8_t a[32], a_public[32], b[32], b_public[32], x[32], y[32];

    (void)state;
    prim_x25519_keygen(a, a_public);
    prim_x25519_keygen(b, b_public);
    assert_memory_not_equal(a, b, 32);
    assert_int_equal(prim_x25519_shared(a, b_public, x, NULL), 0);
    assert_int_equal(prim_x25519_shared(b, a_public, y, NULL), 0);
    assert_memory_equal(x, y, 32);
}

static const struct {
    enum prim_algorithm algorithm;
    const char *key, *nonce, *plain, *ad, *sealed;
} aeads[] = {
    {PRIM_AES_256_GCM,
     "0000000000000000000000000000000000000000000000000000000000000000",
     "000000000000000000000000", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {PRIM_AES_256_GCM,
     "0000000000000000000000000000000000000000000000000000000000000000",
     "000000000000000000000000", "00000000000000000000000000000000", "",
     "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
    {PRIM_AES_256_GCM,
     "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
     "cafebabefacedbaddecaf888",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
     "76fc6ece0f4e1768cddf8853bb2d551b"},
    {PRIM_CHACHA20_POLY1305, /* RFC 8439, section 2.8.2 */
     "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
     "070000004041424344454647",
     "4c616469657320616e642047656e746c656d656e206f662074686520636c6173"
     "73206f66202739393a204966204920636f756c64206f6666657220796f75206f"
     "6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73"
     "637265656e20776f756c642062652069742e",
     "50515253c0c1c2c3c4c5c6c7",
     "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
     "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
     "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
     "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd060"
     "0691"},
};

static void aeads_give_the_published_bytes_also_in_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(aeads); i++) {
        enum prim_algorithm algorithm = aeads[i].algorithm;
        uint8_t key[32], nonce[12], plain[128], ad[32], want[160], got[160];
        size_t len = unhex(aeads[i].plain, plain);
        size_t ad_len = unhex(aeads[i].ad, ad);
        unhex(aeads[i].key, key);
        unhex(aeads[i].nonce, nonce);
        assert_int_equal(unhex(aeads[i].sealed, want), len + PRIM_TAG);
        prim_seal(algorithm, key, nonce, ad, ad_len, plain, len, got);
        assert_memory_equal(got, want, len + PRIM_TAG);
        assert_int_equal(prim_open(algorithm, key, nonce, ad, ad_len, got,
                                   len + PRIM_TAG, got, NULL),
                         0);
        assert_memory_equal(got, plain, len);
        prim_seal(algorithm, key, nonce, ad, ad_len, got, len, got);
        assert_memory_equal(got, want, len + PRIM_TAG);
    }
}

static void a_kept_key_seals_as_one_shot_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        enum prim_algorithm algorithm =
            i == 0 ? PRIM_AES_256_GCM : PRIM_CHACHA20_POLY1305;
        uint8_t k1[32] = {1}, k2[32] = {2}, nonce[12] = {0};
        uint8_t got[32], want[32], back[32];
        struct prim_aead *a = prim_aead_new(algorithm, k1);
        for (uint8_t n = 0; n < 4; n++) {
            nonce[3] = n;
            if (n == 2) {
                prim_aead_set_key(a, k2);
            }
            prim_seal(algorithm, n < 2 ? k1 : k2, nonce, "ad", 2, "plain", 5,
                      want);
            prim_aead_seal(a, nonce, "ad", 2, "plain", 5, got);
            assert_memory_equal(got, want, 5 + PRIM_TAG);
            assert_int_equal(prim_aead_open(a, nonce, "ad", 2, got,
                                            5 + PRIM_TAG, back, NULL),
                             0);
            assert_memory_equal(back, "plain", 5);
        }
        prim_aead_free(a);
    }
    prim_aead_free(NULL);
}

static void opening_refuses_every_flipped_bit_and_wipes(void **state)
{
    static const char text[] = "the quick brown fox";
    static const uint8_t zeros[sizeof text];

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        enum prim_algorithm algorithm =
            i == 0 ? PRIM_AES_256_GCM : PRIM_CHACHA20_POLY1305;
        uint8_t key[32] = {1}, nonce[12] = {2};
        uint8_t sealed[sizeof text + PRIM_TAG], out[sizeof text];
        prim_seal(algorithm, key, nonce, "ad", 2, text, sizeof text, sealed);
        for (size_t bit = 0; bit < 8 * sizeof sealed; bit++) {
            struct err err;
            sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
            memset(out, 0xaa, sizeof out);
            assert_int_equal(prim_open(algorithm, key, nonce, "ad", 2, sealed,
                                       sizeof sealed, out, &err),
                             ERR_MISMATCH);
            assert_string_equal(err.text,
                                "sealed bytes: the tag does not match");
            assert_memory_equal(out, zeros, sizeof out);
            sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        assert_int_equal(prim_open(algorithm, key, nonce, "aD", 2, sealed,
                                   sizeof sealed, out, NULL),
                         ERR_MISMATCH);
        for (size_t len = 0; len < sizeof sealed; len++) {
            assert_int_equal(prim_open(algorithm, key, nonce, "ad", 2, sealed,
                                       len, out, NULL),
                             ERR_MISMATCH);
        }
        assert_int_equal(prim_open(algorithm, key, nonce, "ad", 2, sealed,
                                   sizeof sealed, out, NULL),
                         0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_are_the_published_ones_in_any_split),
        cmocka_unit_test(a_hash_is_released_without_a_result),
        cmocka_unit_test(hmac_gives_the_bytes_of_rfc_4231),
        cmocka_unit_test(hkdf_gives_the_bytes_of_rfc_5869),
        cmocka_unit_test(x25519_gives_the_bytes_of_rfc_7748),
        cmocka_unit_test(x25519_takes_a_public_key_above_the_prime),
        cmocka_unit_test(x25519_refuses_public_keys_of_low_order),
        cmocka_unit_test(two_new_keys_agree_on_a_secret),
        cmocka_unit_test(aeads_give_the_published_bytes_also_in_place),
        cmocka_unit_test(a_kept_key_seals_as_one_shot_does),
        cmocka_unit_test(opening_refuses_every_flipped_bit_and_wipes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
