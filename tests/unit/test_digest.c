/* test_digest.c: hashes, CRCs, and combining CRCs.
 *
 * Goal: the published values of every kind, the same from any split, length
 * and alignment, on every way through the code.
 * Method: the check values of the CRC catalogue ("123456789") and of RFC 1321
 * and FIPS 180; CRCs against one that works bit by bit, for every length that
 * changes the way through (table below 64 bytes, folding by 128 bits, by 512
 * bits, their tails) at every alignment; hashes against libcrypto's one-shot.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "base/mem.h"
#include "base/text.h"
#include "crypto/digest.h"

static const enum digest_kind kinds[] = {DIGEST_MD5,    DIGEST_SHA1,
                                         DIGEST_SHA256, DIGEST_CRC32,
                                         DIGEST_CRC32C, DIGEST_CRC64NVME};

static void check_hex(enum digest_kind kind, const char *text, const char *want)
{
    uint8_t out[DIGEST_MAX];
    char hex[2 * DIGEST_MAX + 1];
    size_t size = digest_of(kind, text, strlen(text), out);

    assert_int_equal(size, digest_size(kind));
    assert_string_equal(text_hex(out, size, hex), want);
}

static void published_values_come_out(void **state)
{
    (void)state;
    check_hex(DIGEST_MD5, "", "d41d8cd98f00b204e9800998ecf8427e");
    check_hex(DIGEST_MD5, "message digest", "f96b697d7cb7938d525a2f31aaf161d0");
    check_hex(DIGEST_SHA1, "abc", "a9993e364706816aba3e25717850c26c9cd0d89d");
    check_hex(
        DIGEST_SHA256, "abc",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_hex(
        DIGEST_SHA256, "",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_hex(DIGEST_CRC32, "123456789", "cbf43926");
    check_hex(DIGEST_CRC32C, "123456789", "e3069283");
    check_hex(DIGEST_CRC64NVME, "123456789", "ae8b14860a799888");
    check_hex(DIGEST_CRC32, "", "00000000");
    check_hex(DIGEST_CRC32C, "", "00000000");
    check_hex(DIGEST_CRC64NVME, "", "0000000000000000");
}

/* A CRC bit by bit, as the standards define it. */
static uint64_t slow_crc(const uint8_t *p, size_t len, uint64_t poly,
                         uint64_t ones)
{
    uint64_t crc = ones;

    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ ((crc & 1) ? poly : 0);
        }
    }
    return crc ^ ones;
}

static uint64_t slow_crc64(const uint8_t *p, size_t len)
{
    return slow_crc(p, len, 0x9a6c9329ac4bc9b5u, UINT64_MAX);
}

static uint8_t *noise(size_t len)
{
    uint8_t *p = mem_alloc(len + 1);
    uint32_t x = 1;

    for (size_t i = 0; i < len; i++) {
        x = x * 1664525 + 1013904223;
        p[i] = (uint8_t)(x >> 24);
    }
    return p;
}

static void crc64_is_right_for_every_length(void **state)
{
    uint8_t *p = noise(1400);

    (void)state;
    for (size_t len = 0; len <= 1400; len++) {
        /* Memory of just that length: a read too far is seen. */
        uint8_t *cut = mem_dup(p, len);
        assert_true(crc64nvme(0, cut, len) == slow_crc64(p, len));
        free(cut);
    }
    free(p);
}

static void crcs_are_right_at_every_alignment(void **state)
{
    uint8_t *p = noise(2000);

    (void)state;
    for (size_t at = 0; at < 64; at++) {
        for (size_t len = 60; len < 1900; len += 367) {
            assert_true(crc64nvme(0, p + at, len) == slow_crc64(p + at, len));
            assert_int_equal(crc32c(0, p + at, len),
                             slow_crc(p + at, len, 0x82f63b78, UINT32_MAX));
        }
    }
    free(p);
}

static void crcs_go_on_from_a_value(void **state)
{
    uint8_t *p = noise(3000);
    static const size_t cuts[] = {0, 1, 7, 63, 64, 511, 512, 1500, 2999, 3000};

    (void)state;
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        size_t cut = cuts[i];
        assert_true(crc64nvme(crc64nvme(0, p, cut), p + cut, 3000 - cut) ==
                    slow_crc64(p, 3000));
        assert_int_equal(crc32c(crc32c(0, p, cut), p + cut, 3000 - cut),
                         slow_crc(p, 3000, 0x82f63b78, UINT32_MAX));
    }
    free(p);
}

static void any_split_gives_the_same_digest(void **state)
{
    uint8_t *p = noise(5000);

    (void)state;
    for (size_t k = 0; k < DIGEST_KINDS; k++) {
        uint8_t want[DIGEST_MAX], got[DIGEST_MAX];
        size_t size = digest_of(kinds[k], p, 5000, want);
        for (size_t step = 1; step < 5000; step = step * 3 + 1) {
            struct digest d;
            digest_init(&d, kinds[k]);
            digest_update(&d, p, 0);
            for (size_t at = 0; at < 5000; at += step) {
                digest_update(&d, p + at, step < 5000 - at ? step : 5000 - at);
            }
            assert_int_equal(digest_final(&d, got), size);
            assert_memory_equal(got, want, size);
        }
    }
    free(p);
}

static void hashes_are_those_of_libcrypto(void **state)
{
    const EVP_MD *md[] = {EVP_md5(), EVP_sha1(), EVP_sha256()};
    uint8_t *p = noise(300);

    (void)state;
    for (size_t k = 0; k < 3; k++) {
        for (size_t len = 0; len < 300; len++) {
            uint8_t want[EVP_MAX_MD_SIZE], got[DIGEST_MAX];
            assert_int_equal(EVP_Digest(p, len, want, NULL, md[k], NULL), 1);
            assert_memory_equal(got, want, digest_of(kinds[k], p, len, got));
        }
    }
    free(p);
}

/* More than the cache of a thread holds, finished in another order. */
static void many_digests_run_at_once(void **state)
{
    struct digest d[40];
    uint8_t got[DIGEST_MAX], want[DIGEST_MAX];

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (uint8_t i = 0; i < 40; i++) {
            digest_init(&d[i], kinds[i % 3]);
        }
        for (uint8_t i = 0; i < 40; i++) {
            digest_update(&d[i], &i, 1);
        }
        for (uint8_t i = 40; i-- > 0;) {
            size_t size;
            if (i % 5 == 0) {
                digest_free(&d[i]);
                continue;
            }
            size = digest_final(&d[i], got);
            assert_int_equal(digest_of(kinds[i % 3], &i, 1, want), size);
            assert_memory_equal(got, want, size);
        }
    }
}

static void freeing_twice_or_what_is_zero_is_nothing(void **state)
{
    struct digest zero = {0}, d;
    uint8_t out[DIGEST_MAX];

    (void)state;
    digest_free(&zero);
    digest_init(&d, DIGEST_MD5);
    digest_final(&d, out);
    digest_free(&d);
    digest_init(&d, DIGEST_SHA256);
    digest_free(&d);
    digest_free(&d);
    digest_init(&d, DIGEST_CRC32);
    digest_free(&d);
}

static void *hash_in_thread(void *arg)
{
    uint8_t out[DIGEST_MAX];
    char hex[65];
    struct digest *given = arg;

    for (int i = 0; i < 100; i++) {
        digest_of(DIGEST_SHA256, "abc", 3, out);
    }
    /* A digest may be finished by another thread than the one it began on. */
    digest_final(given, out);
    return text_hex(out, 32, hex)[0] == 'b' ? arg : NULL;
}

static void threads_have_contexts_of_their_own(void **state)
{
    pthread_t threads[4];
    struct digest d[4];

    (void)state;
    for (int i = 0; i < 4; i++) {
        digest_init(&d[i], DIGEST_SHA256);
        digest_update(&d[i], "abc", 3);
        assert_int_equal(
            pthread_create(&threads[i], NULL, hash_in_thread, &d[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *result;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        assert_ptr_equal(result, &d[i]);
    }
}

static void combined_crcs_are_those_of_the_whole(void **state)
{
    static const enum digest_kind crcs[] = {DIGEST_CRC32, DIGEST_CRC32C,
                                            DIGEST_CRC64NVME};
    static const size_t cuts[] = {0,    1,     2,     255,   256,
                                  4095, 65535, 99999, 100000};
    uint8_t *p = noise(100000);

    (void)state;
    for (size_t k = 0; k < 3; k++) {
        uint8_t a[DIGEST_MAX], b[DIGEST_MAX], want[DIGEST_MAX], got[8];
        size_t size = digest_of(crcs[k], p, 100000, want);
        for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
            digest_of(crcs[k], p, cuts[i], a);
            digest_of(crcs[k], p + cuts[i], 100000 - cuts[i], b);
            digest_crc_combine(crcs[k], a, b, 100000 - cuts[i], got);
            assert_memory_equal(got, want, size);
            /* In place. */
            digest_crc_combine(crcs[k], a, b, 100000 - cuts[i], a);
            assert_memory_equal(a, want, size);
        }
    }
    free(p);
}

/* Zeros of 5 TiB, the largest object, by doubling: a length no test hashes. */
static void combining_goes_up_to_the_largest_object(void **state)
{
    static const enum digest_kind crcs[] = {DIGEST_CRC32, DIGEST_CRC32C,
                                            DIGEST_CRC64NVME};
    const uint64_t size_bytes = (uint64_t)5 << 40;

    (void)state;
    for (size_t k = 0; k < 3; k++) {
        uint8_t unit[DIGEST_MAX], by_halves[DIGEST_MAX], by_ends[DIGEST_MAX];
        uint8_t zero[1024] = {0};
        size_t size = digest_of(crcs[k], zero, 1024, unit);
        uint8_t run[DIGEST_MAX];
        memcpy(run, unit, size);
        for (uint64_t len = 1024; len < (uint64_t)1 << 40; len *= 2) {
            digest_crc_combine(crcs[k], run, run, len, run);
        }
        memcpy(by_halves, run, size);
        for (int i = 1; i < 5; i++) {
            digest_crc_combine(crcs[k], by_halves, run, (uint64_t)1 << 40,
                               by_halves);
        }
        /* The same as 5 TiB less 1 KiB in front of 1 KiB. */
        memcpy(by_ends, unit, size);
        for (uint64_t rest = size_bytes - 1024, bit = 1024; rest >= bit;
             bit *= 2) {
            if (rest & bit) {
                uint8_t part[DIGEST_MAX];
                memcpy(part, unit, size);
                for (uint64_t len = 1024; len < bit; len *= 2) {
                    digest_crc_combine(crcs[k], part, part, len, part);
                }
                digest_crc_combine(crcs[k], part, by_ends,
                                   1024 + (rest & (bit - 1)), by_ends);
            }
        }
        assert_memory_equal(by_halves, by_ends, size);
    }
}

static void names_are_those_of_s3_in_any_case(void **state)
{
    enum digest_kind kind = DIGEST_SHA1;

    (void)state;
    for (size_t k = 0; k < DIGEST_KINDS; k++) {
        assert_true(digest_kind_parse(digest_name(kinds[k]), &kind));
        assert_int_equal(kind, kinds[k]);
    }
    assert_true(digest_kind_parse("crc64nvme", &kind));
    assert_int_equal(kind, DIGEST_CRC64NVME);
    assert_string_equal(digest_name(DIGEST_CRC32C), "CRC32C");
    kind = DIGEST_MD5;
    assert_false(digest_kind_parse("CRC", &kind));
    assert_false(digest_kind_parse("", &kind));
    assert_false(digest_kind_parse("SHA2567", &kind));
    assert_int_equal(kind, DIGEST_MD5);
}

/* RFC 4231, cases 1, 2, 6 (a key longer than a block) and an empty text. */
static void hmac_gives_the_published_values(void **state)
{
    uint8_t key[131], out[32];
    char hex[65];
    static const char long_text[] =
        "Test Using Larger Than Block-Size Key - Hash Key First";

    (void)state;
    memset(key, 0x0b, 20);
    hmac_sha256(key, 20, "Hi There", 8, out);
    assert_string_equal(
        text_hex(out, 32, hex),
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, out);
    assert_string_equal(
        text_hex(out, 32, hex),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    hmac_sha256(key, sizeof key, long_text, sizeof long_text - 1, out);
    assert_string_equal(
        text_hex(out, 32, hex),
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    hmac_sha256("", 0, "", 0, out);
    assert_string_equal(
        text_hex(out, 32, hex),
        "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_values_come_out),
        cmocka_unit_test(crc64_is_right_for_every_length),
        cmocka_unit_test(crcs_are_right_at_every_alignment),
        cmocka_unit_test(crcs_go_on_from_a_value),
        cmocka_unit_test(any_split_gives_the_same_digest),
        cmocka_unit_test(hashes_are_those_of_libcrypto),
        cmocka_unit_test(many_digests_run_at_once),
        cmocka_unit_test(freeing_twice_or_what_is_zero_is_nothing),
        cmocka_unit_test(threads_have_contexts_of_their_own),
        cmocka_unit_test(combined_crcs_are_those_of_the_whole),
        cmocka_unit_test(combining_goes_up_to_the_largest_object),
        cmocka_unit_test(names_are_those_of_s3_in_any_case),
        cmocka_unit_test(hmac_gives_the_published_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
