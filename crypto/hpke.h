/* hpke.h: a short secret sealed to a public key (RFC 9180, base mode).
 *
 * DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, and AES-256-GCM or ChaCha20-
 * Poly1305. One message for each encapsulation, so the sequence number is
 * always 0: a caller who has more to say seals a key.
 *
 * Threads: any.
 */
#ifndef GODWIT_CRYPTO_HPKE_H
#define GODWIT_CRYPTO_HPKE_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/prim.h"

#define HPKE_ENC PRIM_X25519 /* encapsulated key: goes with the message */
#define HPKE_OVERHEAD (HPKE_ENC + PRIM_TAG)
#define HPKE_INFO_MAX 64

/* What both ends derive; the caller wipes it. */
struct hpke_context {
    enum prim_algorithm algorithm;
    uint8_t key[PRIM_KEY];
    uint8_t base_nonce[PRIM_NONCE];
    uint8_t exporter_secret[PRIM_SHA256];
};

/* SetupBaseS and SetupBaseR. ERR_BAD_INPUT: a public key of low order. */
int hpke_setup_sender(enum prim_algorithm algorithm,
                      const uint8_t recipient[PRIM_X25519], const void *info,
                      size_t info_len, uint8_t enc[HPKE_ENC],
                      struct hpke_context *out, struct err *err);
int hpke_setup_receiver(enum prim_algorithm algorithm,
                        const uint8_t private_key[PRIM_X25519],
                        const uint8_t enc[HPKE_ENC], const void *info,
                        size_t info_len, struct hpke_context *out,
                        struct err *err);

/* Single-shot: @out gets @len + PRIM_TAG bytes. */
int hpke_seal(enum prim_algorithm algorithm,
              const uint8_t recipient[PRIM_X25519], const void *info,
              size_t info_len, const void *ad, size_t ad_len, const void *in,
              size_t len, uint8_t enc[HPKE_ENC], void *out, struct err *err);
/* @len counts the tag. ERR_MISMATCH: not for this key, or changed. */
int hpke_open(enum prim_algorithm algorithm,
              const uint8_t private_key[PRIM_X25519],
              const uint8_t enc[HPKE_ENC], const void *info, size_t info_len,
              const void *ad, size_t ad_len, const void *in, size_t len,
              void *out, struct err *err);

#endif
