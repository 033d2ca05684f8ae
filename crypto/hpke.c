#include "crypto/hpke.h"

#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"

/* RFC 9180, section 7: DHKEM(X25519, HKDF-SHA256) and HKDF-SHA256. */
#define KEM_ID 0x0020
#define KDF_ID 0x0001

/* Longest text in front of a labelled input: "HPKE-v1", suite, label. */
#define LABELED_MAX 256

struct suite {
    uint8_t id[10];
    size_t len;
};

static const struct suite kem_suite = {"KEM\x00\x20", 5};

static void hpke_suite(enum prim_algorithm algorithm, struct suite *out)
{
    const uint8_t id[10] = {'H',           'P', 'K', 'E', KEM_ID >> 8,
                            KEM_ID & 0xff, 0,   1,   0,   (uint8_t)algorithm};

    _Static_assert(KDF_ID == 1, "written out above");
    memcpy(out->id, id, sizeof id);
    out->len = sizeof id;
}

struct text {
    uint8_t bytes[LABELED_MAX];
    size_t len;
};

static void add(struct text *t, const void *p, size_t len)
{
    CHECK(len <= sizeof t->bytes - t->len);
    if (len > 0) {
        memcpy(t->bytes + t->len, p, len);
        t->len += len;
    }
}

/* Section 4: LabeledExtract(salt, label, ikm). */
static void labeled_extract(const struct suite *suite, const void *salt,
                            size_t salt_len, const char *label, const void *ikm,
                            size_t ikm_len, uint8_t prk[PRIM_SHA256])
{
    struct text t = {.len = 0};

    add(&t, "HPKE-v1", 7);
    add(&t, suite->id, suite->len);
    add(&t, label, strlen(label));
    add(&t, ikm, ikm_len);
    prim_hkdf_extract(salt, salt_len, t.bytes, t.len, prk);
    mem_wipe(&t, sizeof t);
}

/* Section 4: LabeledExpand(prk, label, info, L). */
static void labeled_expand(const struct suite *suite,
                           const uint8_t prk[PRIM_SHA256], const char *label,
                           const void *info, size_t info_len, uint8_t *out,
                           size_t out_len)
{
    const uint8_t length[2] = {(uint8_t)(out_len >> 8), (uint8_t)out_len};
    struct text t = {.len = 0};

    add(&t, length, sizeof length);
    add(&t, "HPKE-v1", 7);
    add(&t, suite->id, suite->len);
    add(&t, label, strlen(label));
    add(&t, info, info_len);
    prim_hkdf_expand(prk, t.bytes, t.len, out, out_len);
}

/* Section 4.1: ExtractAndExpand(dh, enc || pkR); @dh becomes the shared
 * secret. */
static void kem_secret(uint8_t dh[PRIM_X25519], const uint8_t enc[HPKE_ENC],
                       const uint8_t recipient[PRIM_X25519])
{
    uint8_t context[HPKE_ENC + PRIM_X25519];

    memcpy(context, enc, HPKE_ENC);
    memcpy(context + HPKE_ENC, recipient, PRIM_X25519);
    labeled_extract(&kem_suite, NULL, 0, "eae_prk", dh, PRIM_X25519, dh);
    labeled_expand(&kem_suite, dh, "shared_secret", context, sizeof context, dh,
                   PRIM_SHA256);
}

/* Section 5.1: KeySchedule in mode_base; no pre-shared key. */
static void key_schedule(enum prim_algorithm algorithm,
                         const uint8_t shared[PRIM_SHA256], const void *info,
                         size_t info_len, struct hpke_context *out)
{
    uint8_t context[1 + 2 * PRIM_SHA256] = {0}; /* mode_base, two hashes */
    uint8_t secret[PRIM_SHA256];
    struct suite suite;

    CHECK(info_len <= HPKE_INFO_MAX);
    hpke_suite(algorithm, &suite);
    labeled_extract(&suite, NULL, 0, "psk_id_hash", NULL, 0, context + 1);
    labeled_extract(&suite, NULL, 0, "info_hash", info, info_len,
                    context + 1 + PRIM_SHA256);
    labeled_extract(&suite, shared, PRIM_SHA256, "secret", NULL, 0, secret);
    out->algorithm = algorithm;
    labeled_expand(&suite, secret, "key", context, sizeof context, out->key,
                   sizeof out->key);
    labeled_expand(&suite, secret, "base_nonce", context, sizeof context,
                   out->base_nonce, sizeof out->base_nonce);
    labeled_expand(&suite, secret, "exp", context, sizeof context,
                   out->exporter_secret, sizeof out->exporter_secret);
    mem_wipe(secret, sizeof secret);
}

int hpke_setup_sender(enum prim_algorithm algorithm,
                      const uint8_t recipient[PRIM_X25519], const void *info,
                      size_t info_len, uint8_t enc[HPKE_ENC],
                      struct hpke_context *out, struct err *err)
{
    uint8_t ephemeral[PRIM_X25519], ephemeral_public[PRIM_X25519];
    uint8_t secret[PRIM_X25519];
    int rc;

    prim_x25519_keygen(ephemeral, ephemeral_public);
    rc = prim_x25519_shared(ephemeral, recipient, secret, err);
    mem_wipe(ephemeral, sizeof ephemeral);
    if (rc != 0) {
        return rc;
    }
    memcpy(enc, ephemeral_public, HPKE_ENC);
    kem_secret(secret, enc, recipient);
    key_schedule(algorithm, secret, info, info_len, out);
    mem_wipe(secret, sizeof secret);
    return 0;
}

int hpke_setup_receiver(enum prim_algorithm algorithm,
                        const uint8_t private_key[PRIM_X25519],
                        const uint8_t enc[HPKE_ENC], const void *info,
                        size_t info_len, struct hpke_context *out,
                        struct err *err)
{
    uint8_t own[PRIM_X25519], secret[PRIM_X25519];
    int rc = prim_x25519_shared(private_key, enc, secret, err);

    if (rc != 0) {
        return rc;
    }
    prim_x25519_public(private_key, own);
    kem_secret(secret, enc, own);
    key_schedule(algorithm, secret, info, info_len, out);
    mem_wipe(secret, sizeof secret);
    return 0;
}

int hpke_seal(enum prim_algorithm algorithm,
              const uint8_t recipient[PRIM_X25519], const void *info,
              size_t info_len, const void *ad, size_t ad_len, const void *in,
              size_t len, uint8_t enc[HPKE_ENC], void *out, struct err *err)
{
    struct hpke_context c;
    int rc =
        hpke_setup_sender(algorithm, recipient, info, info_len, enc, &c, err);

    if (rc != 0) {
        return rc;
    }
    prim_seal(algorithm, c.key, c.base_nonce, ad, ad_len, in, len, out);
    mem_wipe(&c, sizeof c);
    return 0;
}

int hpke_open(enum prim_algorithm algorithm,
              const uint8_t private_key[PRIM_X25519],
              const uint8_t enc[HPKE_ENC], const void *info, size_t info_len,
              const void *ad, size_t ad_len, const void *in, size_t len,
              void *out, struct err *err)
{
    struct hpke_context c;
    int rc = hpke_setup_receiver(algorithm, private_key, enc, info, info_len,
                                 &c, err);

    if (rc != 0) {
        return rc;
    }
    rc = prim_open(algorithm, c.key, c.base_nonce, ad, ad_len, in, len, out,
                   err);
    mem_wipe(&c, sizeof c);
    return rc;
}
