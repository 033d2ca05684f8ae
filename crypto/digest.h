/* digest.h: one running digest of any kind.
 *
 * Hashes by libcrypto (measured 6x mbedtls on SHA-256), CRCs by isa-l, and
 * CRC64NVME by carry-less multiply of our own where the processor has it.
 * Results are in the byte order that S3 shows: big-endian for CRCs.
 *
 * Source: RFC 1321, FIPS 180-4, RFC 3720 (CRC32C), "NVM Express NVM Command Set
 * Specification" (CRC64), AWS "Checking object integrity".
 * Threads: a digest belongs to its caller.
 */
#ifndef GODWIT_CRYPTO_DIGEST_H
#define GODWIT_CRYPTO_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum digest_kind {
    DIGEST_MD5,
    DIGEST_SHA1,
    DIGEST_SHA256,
    DIGEST_CRC32,
    DIGEST_CRC32C,
    DIGEST_CRC64NVME,
};
#define DIGEST_KINDS 6
#define DIGEST_MAX 32

struct digest {
    enum digest_kind kind;
    void *context; /* of libcrypto for hashes; recycled by a per-thread cache */
    uint64_t crc;
};

void digest_init(struct digest *d, enum digest_kind kind);
void digest_update(struct digest *d, const void *p, size_t len);
/* Write digest_size() bytes and release; gives the size. */
size_t digest_final(struct digest *d, uint8_t out[DIGEST_MAX]);
/* Release without a result; a final'd or zeroed digest is nothing. */
void digest_free(struct digest *d);

size_t digest_size(enum digest_kind kind);
const char *digest_name(enum digest_kind kind); /* "CRC32C", as S3 has it */
/* By S3's name, any case; false when unknown. */
bool digest_kind_parse(const char *name, enum digest_kind *out);

/* One shot; gives the size. */
size_t digest_of(enum digest_kind kind, const void *p, size_t len,
                 uint8_t out[DIGEST_MAX]);

/* CRCs of raw value in and out (0 starts), for formats of our own. */
uint32_t crc32c(uint32_t crc, const void *p, size_t len);
uint64_t crc64nvme(uint64_t crc, const void *p, size_t len);

/* The CRC of A followed by B (@b_len bytes) from their CRCs, in the byte order
 * of digest_final: for full-object checksums of multipart uploads. @kind is one
 * of the CRCs. */
void digest_crc_combine(enum digest_kind kind, const uint8_t *a,
                        const uint8_t *b, uint64_t b_len, uint8_t *out);

void hmac_sha256(const void *key, size_t key_len, const void *p, size_t len,
                 uint8_t out[32]);

#endif
