/* test_aead.c: AES-256-GCM, whole and in segments.
 *
 * Goal: the cipher is the standard one, and nothing that was changed, cut,
 * moved or sealed for another place ever opens.
 * Method: test cases 13, 14 and 16 of McGrew and Viega, "The Galois/Counter
 * Mode of Operation"; then every bit of a small sealed text flipped in turn;
 * segments checked against one-shot sealing with a nonce made by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/aead.h"

static size_t unhex(const char *hex, uint8_t *out)
{
    size_t len = strlen(hex) / 2;

    assert_true(text_unhex(hex, 2 * len, out, len));
    return len;
}

static const struct {
    const char *key, *nonce, *plain, *ad, *sealed;
} vectors[] = {
    {"0000000000000000000000000000000000000000000000000000000000000000",
     "000000000000000000000000", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {"0000000000000000000000000000000000000000000000000000000000000000",
     "000000000000000000000000", "00000000000000000000000000000000", "",
     "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
     "cafebabefacedbaddecaf888",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
     "76fc6ece0f4e1768cddf8853bb2d551b"},
};

static void seal_and_open_give_the_published_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        uint8_t key[AEAD_KEY], nonce[AEAD_NONCE];
        uint8_t plain[64], ad[32], want[96], got[96], back[64];
        size_t len = unhex(vectors[i].plain, plain);
        size_t ad_len = unhex(vectors[i].ad, ad);
        unhex(vectors[i].key, key);
        unhex(vectors[i].nonce, nonce);
        assert_int_equal(unhex(vectors[i].sealed, want), len + AEAD_TAG);
        aead_seal(key, nonce, ad, ad_len, plain, len, got);
        assert_memory_equal(got, want, len + AEAD_TAG);
        assert_int_equal(
            aead_open(key, nonce, ad, ad_len, got, len + AEAD_TAG, back, NULL),
            0);
        assert_memory_equal(back, plain, len);
    }
}

static const uint8_t a_key[AEAD_KEY] = {1, 2, 3};
static const uint8_t a_nonce[AEAD_NONCE] = {4, 5, 6};

static void open_refuses_every_flipped_bit_and_wipes(void **state)
{
    static const char text[] = "the quick brown fox";
    static const uint8_t zeros[sizeof text];
    uint8_t sealed[sizeof text + AEAD_TAG], out[sizeof text];

    (void)state;
    aead_seal(a_key, a_nonce, "ad", 2, text, sizeof text, sealed);
    for (size_t bit = 0; bit < 8 * sizeof sealed; bit++) {
        struct err err;
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        memset(out, 0xaa, sizeof out);
        assert_int_equal(aead_open(a_key, a_nonce, "ad", 2, sealed,
                                   sizeof sealed, out, &err),
                         ERR_MISMATCH);
        assert_string_equal(err.text, "sealed bytes: the tag does not match");
        assert_memory_equal(out, zeros, sizeof out);
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(
        aead_open(a_key, a_nonce, "ad", 2, sealed, sizeof sealed, out, NULL),
        0);
    assert_memory_equal(out, text, sizeof out);
}

static void open_refuses_another_key_nonce_or_context(void **state)
{
    uint8_t sealed[3 + AEAD_TAG], out[3];
    uint8_t key[AEAD_KEY], nonce[AEAD_NONCE];

    (void)state;
    memcpy(key, a_key, sizeof key);
    memcpy(nonce, a_nonce, sizeof nonce);
    aead_seal(key, nonce, "ad", 2, "abc", 3, sealed);
    key[31] ^= 1;
    assert_int_equal(aead_open(key, nonce, "ad", 2, sealed, 19, out, NULL),
                     ERR_MISMATCH);
    key[31] ^= 1;
    nonce[11] ^= 1;
    assert_int_equal(aead_open(key, nonce, "ad", 2, sealed, 19, out, NULL),
                     ERR_MISMATCH);
    nonce[11] ^= 1;
    assert_int_equal(aead_open(key, nonce, "ae", 2, sealed, 19, out, NULL),
                     ERR_MISMATCH);
    assert_int_equal(aead_open(key, nonce, NULL, 0, sealed, 19, out, NULL),
                     ERR_MISMATCH);
    assert_int_equal(aead_open(key, nonce, "ad", 2, sealed, 19, out, NULL), 0);
}

static void open_refuses_every_shorter_length(void **state)
{
    uint8_t sealed[5 + AEAD_TAG], out[5];

    (void)state;
    aead_seal(a_key, a_nonce, NULL, 0, "hello", 5, sealed);
    for (size_t len = 0; len < sizeof sealed; len++) {
        /* Memory of just that length: a read too far is seen. */
        uint8_t *cut = mem_dup(sealed, len);
        assert_int_equal(
            aead_open(a_key, a_nonce, NULL, 0, cut, len, out, NULL),
            ERR_MISMATCH);
        free(cut);
    }
}

static void seal_and_open_work_in_place(void **state)
{
    uint8_t bytes[1000 + AEAD_TAG], other[1000 + AEAD_TAG], plain[1000];

    (void)state;
    for (size_t i = 0; i < sizeof plain; i++) {
        plain[i] = (uint8_t)(i * 7);
    }
    memcpy(bytes, plain, sizeof plain);
    aead_seal(a_key, a_nonce, "x", 1, plain, sizeof plain, other);
    aead_seal(a_key, a_nonce, "x", 1, bytes, sizeof plain, bytes);
    assert_memory_equal(bytes, other, sizeof bytes);
    assert_int_equal(
        aead_open(a_key, a_nonce, "x", 1, bytes, sizeof bytes, bytes, NULL), 0);
    assert_memory_equal(bytes, plain, sizeof plain);
}

/* ---- segments ---- */

static const uint8_t a_prefix[AEAD_PREFIX] = {9, 8, 7, 6, 5, 4, 3};

static void segment_nonce_is_prefix_number_and_last(void **state)
{
    struct aead_stream *s = aead_stream_new(a_key, a_prefix);
    const uint8_t nonce[AEAD_NONCE] = {9, 8,    7,    6,    5,    4,
                                       3, 0x01, 0x02, 0x03, 0x04, 1};
    uint8_t got[3 + AEAD_TAG], want[3 + AEAD_TAG];

    (void)state;
    aead_stream_seal(s, 0x01020304, true, "abc", 3, got);
    aead_seal(a_key, nonce, NULL, 0, "abc", 3, want);
    assert_memory_equal(got, want, sizeof got);
    aead_stream_free(s);
}

static void segments_open_alone_and_in_any_order(void **state)
{
    struct aead_stream *s = aead_stream_new(a_key, a_prefix);
    struct aead_stream *t = aead_stream_new(a_key, a_prefix);
    size_t sealed_size = AEAD_SEGMENT + AEAD_TAG;
    uint8_t *plain = mem_alloc(3 * AEAD_SEGMENT);
    uint8_t *sealed = mem_alloc(3 * sealed_size);
    uint8_t *out = mem_alloc(AEAD_SEGMENT);

    (void)state;
    for (size_t i = 0; i < 3 * AEAD_SEGMENT; i++) {
        plain[i] = (uint8_t)(i ^ i >> 8);
    }
    /* One context seals and opens by turns. */
    for (uint32_t i = 0; i < 3; i++) {
        aead_stream_seal(s, i, i == 2, plain + i * AEAD_SEGMENT, AEAD_SEGMENT,
                         sealed + i * sealed_size);
        assert_int_equal(
            aead_stream_open(s, i, i == 2, sealed + i * sealed_size,
                             sealed_size, out, NULL),
            0);
    }
    for (uint32_t n = 0; n < 3; n++) {
        uint32_t i = 2 - n;
        assert_int_equal(
            aead_stream_open(t, i, i == 2, sealed + i * sealed_size,
                             sealed_size, out, NULL),
            0);
        assert_memory_equal(out, plain + i * AEAD_SEGMENT, AEAD_SEGMENT);
    }
    free(plain);
    free(sealed);
    free(out);
    aead_stream_free(s);
    aead_stream_free(t);
}

static void segment_does_not_open_elsewhere(void **state)
{
    struct aead_stream *s = aead_stream_new(a_key, a_prefix);
    uint8_t prefix[AEAD_PREFIX] = {0};
    struct aead_stream *other = aead_stream_new(a_key, prefix);
    uint8_t *plain = mem_alloc(AEAD_SEGMENT);
    uint8_t *sealed = mem_alloc(AEAD_SEGMENT + AEAD_TAG);
    uint8_t *out = mem_alloc(AEAD_SEGMENT);
    size_t len = AEAD_SEGMENT + AEAD_TAG;
    struct err err;

    (void)state;
    aead_stream_seal(s, 1, false, plain, AEAD_SEGMENT, sealed);
    assert_int_equal(aead_stream_open(s, 1, false, sealed, len, out, NULL), 0);
    /* Truncation: a middle segment is not a last one. */
    assert_int_equal(aead_stream_open(s, 1, true, sealed, len, out, NULL),
                     ERR_MISMATCH);
    /* Reordering. */
    assert_int_equal(aead_stream_open(s, 0, false, sealed, len, out, &err),
                     ERR_MISMATCH);
    assert_string_equal(err.text,
                        "segment 0: sealed bytes: the tag does not match");
    assert_int_equal(aead_stream_open(other, 1, false, sealed, len, out, NULL),
                     ERR_MISMATCH);
    free(plain);
    free(sealed);
    free(out);
    aead_stream_free(s);
    aead_stream_free(other);
}

static void stream_refuses_lengths_that_cannot_be(void **state)
{
    struct aead_stream *s = aead_stream_new(a_key, a_prefix);
    size_t size = AEAD_SEGMENT + AEAD_TAG + 1;
    uint8_t *sealed = mem_alloc(size);
    uint8_t *out = mem_alloc(size);

    (void)state;
    assert_int_equal(aead_stream_open(s, 0, true, sealed, size, out, NULL),
                     ERR_MISMATCH);
    assert_int_equal(aead_stream_open(s, 0, false, sealed, size, out, NULL),
                     ERR_MISMATCH);
    assert_int_equal(aead_stream_open(s, 0, false, sealed, size - 2, out, NULL),
                     ERR_MISMATCH);
    assert_int_equal(
        aead_stream_open(s, 0, true, sealed, AEAD_TAG - 1, out, NULL),
        ERR_MISMATCH);
    free(sealed);
    free(out);
    aead_stream_free(s);
}

static void empty_last_segment_round_trips(void **state)
{
    struct aead_stream *s = aead_stream_new(a_key, a_prefix);
    uint8_t sealed[AEAD_TAG];

    (void)state;
    aead_stream_seal(s, 7, true, NULL, 0, sealed);
    assert_int_equal(
        aead_stream_open(s, 7, true, sealed, sizeof sealed, NULL, NULL), 0);
    sealed[0] ^= 1;
    assert_int_equal(
        aead_stream_open(s, 7, true, sealed, sizeof sealed, NULL, NULL),
        ERR_MISMATCH);
    aead_stream_free(s);
    aead_stream_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seal_and_open_give_the_published_bytes),
        cmocka_unit_test(open_refuses_every_flipped_bit_and_wipes),
        cmocka_unit_test(open_refuses_another_key_nonce_or_context),
        cmocka_unit_test(open_refuses_every_shorter_length),
        cmocka_unit_test(seal_and_open_work_in_place),
        cmocka_unit_test(segment_nonce_is_prefix_number_and_last),
        cmocka_unit_test(segments_open_alone_and_in_any_order),
        cmocka_unit_test(segment_does_not_open_elsewhere),
        cmocka_unit_test(stream_refuses_lengths_that_cannot_be),
        cmocka_unit_test(empty_last_segment_round_trips),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
