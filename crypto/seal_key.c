#include "crypto/seal_key.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "crypto/bech32.h"
#include "crypto/hpke.h"

#define VERSION 1
#define FIXED 8
#define ROOT 32

static const char info[] = "godwit seal 1 segment";

_Static_assert(SEAL_STANZA == SEAL_RECIPIENT_ID + HPKE_ENC + ROOT + PRIM_TAG,
               "id, enc, sealed root");
_Static_assert(SEAL_RECIPIENT_TEXT == BECH32_TEXT(3, PRIM_X25519),
               "\"age\" is the prefix");
_Static_assert(SEAL_IDENTITY_TEXT == BECH32_TEXT(15, PRIM_X25519),
               "\"age-secret-key-\" is the prefix");

/* ---- recipients and identities ---- */

void seal_identity_new(struct seal_identity *out)
{
    prim_x25519_keygen(out->private_key, out->public_key);
}

void seal_identity_recipient(const struct seal_identity *identity,
                             struct seal_recipient *out)
{
    memcpy(out->public_key, identity->public_key, sizeof out->public_key);
}

void seal_recipient_id(const struct seal_recipient *r,
                       uint8_t out[SEAL_RECIPIENT_ID])
{
    uint8_t hash[PRIM_SHA256];

    prim_sha256(r->public_key, sizeof r->public_key, hash);
    memcpy(out, hash, SEAL_RECIPIENT_ID);
}

int seal_recipient_parse(const char *text, struct seal_recipient *out,
                         struct err *err)
{
    if (!bech32_decode(text, "age", out->public_key, sizeof out->public_key)) {
        return err_set(err, ERR_BAD_INPUT,
                       "not a recipient (age1 and 58 characters)");
    }
    return 0;
}

int seal_identity_parse(const char *text, struct seal_identity *out,
                        struct err *err)
{
    if (!bech32_decode(text, "age-secret-key-", out->private_key,
                       sizeof out->private_key)) {
        return err_set(err, ERR_BAD_INPUT,
                       "not an identity (AGE-SECRET-KEY-1 and 58 characters)");
    }
    prim_x25519_public(out->private_key, out->public_key);
    return 0;
}

char *seal_recipient_format(const struct seal_recipient *r,
                            char out[SEAL_RECIPIENT_TEXT])
{
    return bech32_encode("age", r->public_key, sizeof r->public_key, out);
}

char *seal_identity_format(const struct seal_identity *identity,
                           char out[SEAL_IDENTITY_TEXT])
{
    bech32_encode("age-secret-key-", identity->private_key,
                  sizeof identity->private_key, out);
    for (char *c = out; *c != '\0'; c++) {
        *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 0x20) : *c;
    }
    return out;
}

/* ---- the ratchet ---- */

/* The header's digest goes in, so that no byte of it can be changed, not even
 * of another recipient's part. */
static void first_link(const void *header, size_t header_len,
                       const uint8_t root[ROOT], uint8_t link[PRIM_SHA256])
{
    uint8_t salt[PRIM_SHA256];

    prim_sha256(header, header_len, salt);
    prim_hkdf_extract(salt, sizeof salt, root, ROOT, link);
}

static void link_key(const uint8_t link[PRIM_SHA256], uint8_t key[PRIM_KEY])
{
    prim_hmac(link, PRIM_SHA256, "object", 6, key);
}

/* What was at @link is gone afterwards. */
static void link_step(uint8_t link[PRIM_SHA256])
{
    prim_hmac(link, PRIM_SHA256, "next", 4, link);
}

/* ---- sealing ---- */

struct seal_segment {
    enum prim_algorithm algorithm;
    uint8_t link[PRIM_SHA256];
    uint32_t at;
    size_t header_len;
    uint8_t header[SEAL_HEADER_MAX];
};

static bool algorithm_known(unsigned algorithm)
{
    return algorithm == PRIM_AES_256_GCM || algorithm == PRIM_CHACHA20_POLY1305;
}

int seal_segment_new(const struct seal_recipient *recipients, size_t count,
                     enum prim_algorithm algorithm, struct seal_segment **out,
                     struct err *err)
{
    uint8_t root[ROOT];
    struct seal_segment *s;
    uint8_t *to;
    int rc = 0;

    CHECK(algorithm_known(algorithm));
    if (count < 1 || count > SEAL_RECIPIENTS_MAX) {
        return err_set(err, ERR_BAD_INPUT, "%zu recipients: from 1 to %d",
                       count, SEAL_RECIPIENTS_MAX);
    }
    s = mem_alloc(sizeof *s);
    s->algorithm = algorithm;
    s->header_len = SEAL_HEADER(count);
    memcpy(s->header, "GWSK", 4);
    s->header[4] = VERSION;
    s->header[5] = (uint8_t)algorithm;
    s->header[6] = (uint8_t)count;
    to = s->header + FIXED;
    rng_bytes(root, sizeof root);
    for (size_t i = 0; i < count && rc == 0; i++) {
        uint8_t *enc = to + SEAL_RECIPIENT_ID;
        seal_recipient_id(&recipients[i], to);
        rc = hpke_seal(algorithm, recipients[i].public_key, info,
                       sizeof info - 1, s->header, FIXED, root, sizeof root,
                       enc, enc + HPKE_ENC, err);
        if (rc != 0) {
            rc = err_wrap(err, rc, "recipient %zu", i + 1);
        }
        to += SEAL_STANZA;
    }
    if (rc != 0) {
        seal_segment_free(s);
    } else {
        first_link(s->header, s->header_len, root, s->link);
        *out = s;
    }
    mem_wipe(root, sizeof root);
    return rc;
}

void seal_segment_free(struct seal_segment *s)
{
    if (s == NULL) {
        return;
    }
    mem_wipe(s, sizeof *s);
    free(s);
}

const uint8_t *seal_segment_header(const struct seal_segment *s, size_t *len)
{
    *len = s->header_len;
    return s->header;
}

int seal_segment_next(struct seal_segment *s, struct seal_key *out,
                      struct err *err)
{
    if (s->at >= SEAL_LINKS_MAX) {
        return err_set(err, ERR_LIMIT, "seal segment: all %d links are used",
                       SEAL_LINKS_MAX);
    }
    out->algorithm = s->algorithm;
    out->link = s->at++;
    link_key(s->link, out->key);
    link_step(s->link);
    return 0;
}

/* ---- opening ---- */

int seal_header_parse(const void *header, size_t len, struct seal_header *out,
                      struct err *err)
{
    const uint8_t *p = header;
    struct seal_header h = {.count = 0};

    if (len < FIXED || memcmp(p, "GWSK", 4) != 0) {
        return err_set(err, ERR_CORRUPT, "seal header: not one");
    }
    if (p[4] != VERSION) {
        return err_set(err, ERR_VERSION, "seal header: version %u", p[4]);
    }
    if (!algorithm_known(p[5])) {
        return err_set(err, ERR_UNSUPPORTED, "seal header: algorithm %u", p[5]);
    }
    if (p[6] < 1 || p[6] > SEAL_RECIPIENTS_MAX || p[7] != 0 ||
        len != SEAL_HEADER(p[6])) {
        return err_set(err, ERR_CORRUPT,
                       "seal header: %u recipients in %zu bytes", p[6], len);
    }
    h.algorithm = p[5];
    h.count = p[6];
    for (size_t i = 0; i < h.count; i++) {
        memcpy(h.recipients[i], p + FIXED + i * SEAL_STANZA, SEAL_RECIPIENT_ID);
    }
    *out = h;
    return 0;
}

static bool names(const struct seal_header *h, size_t i,
                  const uint8_t id[SEAL_RECIPIENT_ID])
{
    return memcmp(h->recipients[i], id, SEAL_RECIPIENT_ID) == 0;
}

bool seal_header_names(const struct seal_header *h,
                       const struct seal_recipient *r)
{
    uint8_t id[SEAL_RECIPIENT_ID];
    bool found = false;

    seal_recipient_id(r, id);
    for (size_t i = 0; i < h->count; i++) {
        found = found || names(h, i, id);
    }
    return found;
}

/* Two keys may share an id: each part with ours is tried. */
static int open_stanzas(const struct seal_identity *identity,
                        const struct seal_header *h, const uint8_t *header,
                        uint8_t root[ROOT], struct err *err)
{
    uint8_t id[SEAL_RECIPIENT_ID];
    struct seal_recipient self;
    bool ours = false;

    seal_identity_recipient(identity, &self);
    seal_recipient_id(&self, id);
    for (size_t i = 0; i < h->count; i++) {
        const uint8_t *enc =
            header + FIXED + i * SEAL_STANZA + SEAL_RECIPIENT_ID;
        if (!names(h, i, id)) {
            continue;
        }
        if (hpke_open(h->algorithm, identity->private_key, enc, info,
                      sizeof info - 1, header, FIXED, enc + HPKE_ENC,
                      ROOT + PRIM_TAG, root, NULL) == 0) {
            return 0;
        }
        ours = true;
    }
    return ours ? err_set(err, ERR_MISMATCH,
                          "seal header: changed, or for another key")
                : err_set(err, ERR_DENIED, "not sealed to this identity");
}

int seal_open_root(const struct seal_identity *identity, const void *header,
                   size_t len, struct seal_root *out, struct err *err)
{
    uint8_t root[ROOT];
    struct seal_header h;
    int rc = seal_header_parse(header, len, &h, err);

    if (rc != 0) {
        return rc;
    }
    rc = open_stanzas(identity, &h, header, root, err);
    if (rc != 0) {
        return rc;
    }
    out->algorithm = h.algorithm;
    first_link(header, len, root, out->first);
    memcpy(out->at, out->first, sizeof out->at);
    out->at_link = 0;
    mem_wipe(root, sizeof root);
    return 0;
}

int seal_root_key(struct seal_root *root, uint32_t link, struct seal_key *out,
                  struct err *err)
{
    if (link >= SEAL_LINKS_MAX) {
        return err_set(err, ERR_CORRUPT, "seal: link %u of at most %d", link,
                       SEAL_LINKS_MAX);
    }
    if (link < root->at_link) {
        memcpy(root->at, root->first, sizeof root->at);
        root->at_link = 0;
    }
    for (; root->at_link < link; root->at_link++) {
        link_step(root->at);
    }
    out->algorithm = root->algorithm;
    out->link = link;
    link_key(root->at, out->key);
    return 0;
}
