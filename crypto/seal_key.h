/* seal_key.h: to whom objects are sealed, and the keys that follow from it.
 *
 * A device seals but cannot open: for each segment of its spool it makes a
 * fresh root, seals that by HPKE to each recipient, and keeps only the first
 * link of a ratchet. Each object takes the next link's key and wipes the link:
 * no public-key operation for each object, and who later takes the device reads
 * nothing that was sealed before.
 *
 *     root    = 32 random bytes, in the segment header, sealed
 *     link 0  = HKDF-Extract(salt = SHA-256(segment header), root)
 *     link i+1 = HMAC(link i, "next"),  key i = HMAC(link i, "object")
 *
 * Segment header, little-endian, SEAL_HEADER(n) bytes for n recipients:
 *
 *     0  4  "GWSK"
 *     4  1  version, 1
 *     5  1  algorithm: 2 AES-256-GCM, 3 ChaCha20-Poly1305
 *     6  1  n, 1 to SEAL_RECIPIENTS_MAX
 *     7  1  0
 *     8  n times: 8 bytes of SHA-256(public key), 32 HPKE enc,
 *        48 root sealed with info "godwit seal 1 segment", ad = bytes 0-7
 *
 * docs/SEAL.md says it byte by byte, with vectors. Recipients and identities
 * are X25519 keys in the text form of age ("age1...", "AGE-SECRET-KEY-1...").
 *
 * Threads: any; a segment, a root and a key belong to their caller.
 */
#ifndef GODWIT_CRYPTO_SEAL_KEY_H
#define GODWIT_CRYPTO_SEAL_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/prim.h"

struct err;
struct seal_segment;

#define SEAL_RECIPIENTS_MAX 8
#define SEAL_RECIPIENT_ID 8
#define SEAL_STANZA (SEAL_RECIPIENT_ID + 32 + 48)
#define SEAL_HEADER(n) (8 + (size_t)(n)*SEAL_STANZA)
#define SEAL_HEADER_MAX SEAL_HEADER(SEAL_RECIPIENTS_MAX) /* 712 */
/* An opener walks this many links at most: 20 ms of HMAC. */
#define SEAL_LINKS_MAX 65536

#define SEAL_RECIPIENT_TEXT 63 /* "age1..." and NUL */
#define SEAL_IDENTITY_TEXT 75  /* "AGE-SECRET-KEY-1..." and NUL */

struct seal_recipient {
    uint8_t public_key[PRIM_X25519];
};

/* Secret: the caller wipes it. */
struct seal_identity {
    uint8_t private_key[PRIM_X25519];
    uint8_t public_key[PRIM_X25519];
};

void seal_identity_new(struct seal_identity *out);
void seal_identity_recipient(const struct seal_identity *identity,
                             struct seal_recipient *out);
void seal_recipient_id(const struct seal_recipient *r,
                       uint8_t out[SEAL_RECIPIENT_ID]);
/* Whole strings, all upper or all lower case. ERR_BAD_INPUT says why. */
int seal_recipient_parse(const char *text, struct seal_recipient *out,
                         struct err *err);
int seal_identity_parse(const char *text, struct seal_identity *out,
                        struct err *err);
char *seal_recipient_format(const struct seal_recipient *r,
                            char out[SEAL_RECIPIENT_TEXT]);
char *seal_identity_format(const struct seal_identity *identity,
                           char out[SEAL_IDENTITY_TEXT]);

/* The key of one object, good for one text. Whoever takes it wipes it. */
struct seal_key {
    enum prim_algorithm algorithm;
    uint32_t link;
    uint8_t key[PRIM_KEY];
};

/* ---- sealing ---- */

/* A fresh root for @count recipients. ERR_BAD_INPUT: none, too many, or a
 * public key of low order. */
int seal_segment_new(const struct seal_recipient *recipients, size_t count,
                     enum prim_algorithm algorithm, struct seal_segment **out,
                     struct err *err);
void seal_segment_free(struct seal_segment *s); /* wipes; NULL is nothing */
/* Borrowed until seal_segment_free; at most SEAL_HEADER_MAX bytes. */
const uint8_t *seal_segment_header(const struct seal_segment *s, size_t *len);
/* The next link's key; the link is wiped. ERR_LIMIT after SEAL_LINKS_MAX: a new
 * segment is due. */
int seal_segment_next(struct seal_segment *s, struct seal_key *out,
                      struct err *err);

/* ---- opening ---- */

/* What a header says without any key. */
struct seal_header {
    enum prim_algorithm algorithm;
    size_t count;
    uint8_t recipients[SEAL_RECIPIENTS_MAX][SEAL_RECIPIENT_ID];
};
/* ERR_CORRUPT, ERR_VERSION, ERR_UNSUPPORTED (algorithm). */
int seal_header_parse(const void *header, size_t len, struct seal_header *out,
                      struct err *err);
/* It is sealed to @r (by what it says: only opening proves it). */
bool seal_header_names(const struct seal_header *h,
                       const struct seal_recipient *r);

/* The opened root of a segment. Secret: the caller wipes it. */
struct seal_root {
    enum prim_algorithm algorithm;
    uint8_t first[PRIM_SHA256]; /* link 0 */
    uint8_t at[PRIM_SHA256];    /* the link last asked for: keys in order cost
                                 * one step each */
    uint32_t at_link;
};

/* ERR_DENIED: not sealed to @identity. ERR_MISMATCH: changed. Or as
 * seal_header_parse. */
int seal_open_root(const struct seal_identity *identity, const void *header,
                   size_t len, struct seal_root *out, struct err *err);
/* The key of @link. ERR_CORRUPT: no such link. */
int seal_root_key(struct seal_root *root, uint32_t link, struct seal_key *out,
                  struct err *err);

#endif
