/* seal_name.h: keys of objects that only their owner reads, and still lists.
 *
 * Each component of a path is sealed by itself, always to the same text in the
 * same folder, so the owner lists a prefix of whole components by sealing it:
 *
 *     sealed "a/b/" is the beginning of sealed "a/b/c"
 *
 *     tag 0   = 16 zero bytes
 *     tag i   = first 16 bytes of HMAC(mac key, tag i-1 || component i)
 *     stream  = HKDF-Expand(HMAC(stream key, tag i), "", length)
 *     sealed  = base64url, no padding, of tag i || component ^ stream
 *
 * The tag is over the folders above, too (as in SIV, RFC 5297): the same name
 * in two folders gives two texts, and a component that was moved does not open.
 * Empty components stay empty. A component of n bytes becomes
 * SEAL_NAME_LEN(n).
 *
 * The names key is symmetric: a device that seals names can read them. It shows
 * lengths, depth and which names are the same. Order is lost.
 *
 * Threads: any.
 */
#ifndef GODWIT_CRYPTO_SEAL_NAME_H
#define GODWIT_CRYPTO_SEAL_NAME_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/prim.h"

struct buf;
struct err;
struct seal_identity;

#define SEAL_NAMES_KEY 32
#define SEAL_NAME_TAG 16
#define SEAL_NAME_LEN(n) (((SEAL_NAME_TAG + (n)) * 4 + 2) / 3)
#define SEAL_NAME_MAX 1024 /* of a whole sealed name: S3's limit of a key */

/* Secret: the caller wipes it. */
struct seal_names {
    uint8_t mac[PRIM_SHA256];
    uint8_t stream[PRIM_SHA256];
};

/* The names key that belongs to an identity: HKDF of its private key, so that
 * it need not be kept beside it. */
void seal_names_key(const struct seal_identity *identity,
                    uint8_t key[SEAL_NAMES_KEY]);
void seal_names_init(const uint8_t key[SEAL_NAMES_KEY], struct seal_names *out);

/* Append the sealed form of @len bytes; on failure @out is as it was.
 * ERR_LIMIT: over SEAL_NAME_MAX. */
int seal_name(const struct seal_names *n, const char *name, size_t len,
              struct buf *out, struct err *err);
/* The reverse. ERR_BAD_INPUT: no sealed name; ERR_MISMATCH: of another key,
 * changed or moved. */
int seal_name_open(const struct seal_names *n, const char *sealed, size_t len,
                   struct buf *out, struct err *err);

#endif
