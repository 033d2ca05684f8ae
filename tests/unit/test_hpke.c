/* test_hpke.c: a secret sealed to a public key.
 *
 * Goal: this is HPKE as published, and nothing changed or for another key
 * opens.
 * Method: the vector of RFC 9180, appendix A.2 (A.2.1, base mode), both ends;
 * the random source gives the ephemeral key of the vector. AES-256-GCM, which
 * the appendix lacks for this KEM, round trip. Linked twice, see test_prim.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/rng.h"
#include "base/text.h"
#include "crypto/hpke.h"

static const char info[] = "Ode on a Grecian Urn";
static const char plain[] = "Beauty is truth, truth beauty";
#define INFO_LEN (sizeof info - 1)
#define PLAIN_LEN (sizeof plain - 1)

static const char ephemeral[] =
    "f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600";
static const char recipient_private[] =
    "8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb";
static const char recipient_public[] =
    "4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a";
static const char encapsulated[] =
    "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a";
static const char sealed_text[] =
    "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db"
    "21993c62ce81883d2dd1b51a28";

static void unhex(const char *hex, uint8_t *out)
{
    assert_true(text_unhex(hex, strlen(hex), out, strlen(hex) / 2));
}

static void assert_hex(const void *got, size_t len, const char *want)
{
    char hex[256];

    assert_string_equal(text_hex(got, len, hex), want);
}

static void give_ephemeral(void *data, void *out, size_t len)
{
    uint8_t key[32];

    (void)data;
    unhex(ephemeral, key);
    memcpy(out, key, len < sizeof key ? len : sizeof key);
}

static int use_ephemeral(void **state)
{
    static const struct rng_ops ops = {give_ephemeral, NULL};

    (void)state;
    rng_use(&ops);
    return 0;
}

static int use_system(void **state)
{
    (void)state;
    rng_use(NULL);
    return 0;
}

static void assert_context(const struct hpke_context *c)
{
    assert_hex(
        c->key, sizeof c->key,
        "ad2744de8e17f4ebba575b3f5f5a8fa1f69c2a07f6e7500bc60ca6e3e3ec1c91");
    assert_hex(c->base_nonce, sizeof c->base_nonce, "5c4d98150661b848853b547f");
    assert_hex(
        c->exporter_secret, sizeof c->exporter_secret,
        "a3b010d4994890e2c6968a36f64470d3c824c8f5029942feb11e7a74b2921922");
}

static void sender_and_receiver_derive_what_rfc_9180_has(void **state)
{
    uint8_t to[32], own[32], enc[32];
    struct hpke_context c;

    (void)state;
    unhex(recipient_public, to);
    unhex(recipient_private, own);
    assert_int_equal(hpke_setup_sender(PRIM_CHACHA20_POLY1305, to, info,
                                       INFO_LEN, enc, &c, NULL),
                     0);
    assert_hex(enc, sizeof enc, encapsulated);
    assert_context(&c);
    memset(&c, 0, sizeof c);
    assert_int_equal(hpke_setup_receiver(PRIM_CHACHA20_POLY1305, own, enc, info,
                                         INFO_LEN, &c, NULL),
                     0);
    assert_context(&c);
}

static void sealing_gives_the_published_bytes(void **state)
{
    uint8_t to[32], own[32], enc[32], sealed[64], back[64];

    (void)state;
    unhex(recipient_public, to);
    unhex(recipient_private, own);
    assert_int_equal(
        hpke_seal(PRIM_CHACHA20_POLY1305, to, info, INFO_LEN, "Count-0", 7,
                  plain, PLAIN_LEN, enc, sealed, NULL),
        0);
    assert_hex(enc, sizeof enc, encapsulated);
    assert_hex(sealed, PLAIN_LEN + PRIM_TAG, sealed_text);
    assert_int_equal(
        hpke_open(PRIM_CHACHA20_POLY1305, own, enc, info, INFO_LEN, "Count-0",
                  7, sealed, PLAIN_LEN + PRIM_TAG, back, NULL),
        0);
    assert_memory_equal(back, plain, PLAIN_LEN);
}

static void opening_refuses_another_key_info_or_algorithm(void **state)
{
    uint8_t own[32], to[32], other[32], other_public[32];
    uint8_t enc[32], sealed[64], back[64];
    const enum prim_algorithm aes = PRIM_AES_256_GCM;

    (void)state;
    prim_x25519_keygen(own, to);
    prim_x25519_keygen(other, other_public);
    assert_int_equal(hpke_seal(aes, to, info, INFO_LEN, "ad", 2, plain,
                               PLAIN_LEN, enc, sealed, NULL),
                     0);
    assert_int_equal(hpke_open(aes, own, enc, info, INFO_LEN, "ad", 2, sealed,
                               PLAIN_LEN + PRIM_TAG, back, NULL),
                     0);
    assert_memory_equal(back, plain, PLAIN_LEN);
    assert_int_equal(hpke_open(aes, other, enc, info, INFO_LEN, "ad", 2, sealed,
                               PLAIN_LEN + PRIM_TAG, back, NULL),
                     ERR_MISMATCH);
    assert_int_equal(hpke_open(aes, own, enc, info, INFO_LEN - 1, "ad", 2,
                               sealed, PLAIN_LEN + PRIM_TAG, back, NULL),
                     ERR_MISMATCH);
    assert_int_equal(hpke_open(aes, own, enc, info, INFO_LEN, "aD", 2, sealed,
                               PLAIN_LEN + PRIM_TAG, back, NULL),
                     ERR_MISMATCH);
    assert_int_equal(
        hpke_open(PRIM_CHACHA20_POLY1305, own, enc, info, INFO_LEN, "ad", 2,
                  sealed, PLAIN_LEN + PRIM_TAG, back, NULL),
        ERR_MISMATCH);
    enc[4] ^= 1;
    assert_int_equal(hpke_open(aes, own, enc, info, INFO_LEN, "ad", 2, sealed,
                               PLAIN_LEN + PRIM_TAG, back, NULL),
                     ERR_MISMATCH);
}

static void points_of_low_order_are_refused_at_both_ends(void **state)
{
    static const uint8_t zero[32];
    uint8_t enc[32], sealed[64], own[32] = {1};

    (void)state;
    assert_int_equal(hpke_seal(PRIM_AES_256_GCM, zero, info, INFO_LEN, NULL, 0,
                               plain, PLAIN_LEN, enc, sealed, NULL),
                     ERR_BAD_INPUT);
    memset(sealed, 0, sizeof sealed);
    assert_int_equal(hpke_open(PRIM_AES_256_GCM, own, zero, info, INFO_LEN,
                               NULL, 0, sealed, sizeof sealed, sealed, NULL),
                     ERR_BAD_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            sender_and_receiver_derive_what_rfc_9180_has, use_ephemeral,
            use_system),
        cmocka_unit_test_setup_teardown(sealing_gives_the_published_bytes,
                                        use_ephemeral, use_system),
        cmocka_unit_test(opening_refuses_another_key_info_or_algorithm),
        cmocka_unit_test(points_of_low_order_are_refused_at_both_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
