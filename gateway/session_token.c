#include "gateway/session_token.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/wire.h"
#include "crypto/aead.h"
#include "crypto/prim.h"

#define FORMAT 1
#define HEAD (1 + SESSION_ID)
#define TOKEN_INFO "godwit session token 1"
#define SECRET_INFO "godwit session secret 1"
#define PARENT_INFO "godwit session parent 1"
#define SECRET_BYTES 30
#define KEY_BYTES 10
#define CLAIMS_MAX                                                \
    (8 + 8 + 1 + 4 * 4 + 2 * META_ACCESS_KEY_MAX + SESSION_MARK + \
     SESSION_NAME_MAX + SESSION_POLICY_MAX)

_Static_assert(TEXT_BASE64_MAX(HEAD + CLAIMS_MAX + AEAD_TAG) <=
                   SESSION_TOKEN_MAX,
               "every token fits");
_Static_assert(TEXT_BASE64_MAX(SECRET_BYTES) == SESSION_SECRET + 1, "exactly");

/* ---- keys ---- */

static void derive(const uint8_t root[ROOT_KEY], const uint8_t id[SESSION_ID],
                   const char *info, void *out, size_t len)
{
    uint8_t prk[PRIM_SHA256];

    prim_hkdf_extract(id, SESSION_ID, root, ROOT_KEY, prk);
    prim_hkdf_expand(prk, info, strlen(info), out, len);
    mem_wipe(prk, sizeof prk);
}

bool session_key_is(const char *access_key)
{
    return text_starts(access_key, SESSION_KEY_PREFIX);
}

/* Five bytes are eight letters. */
static void base32(const uint8_t *p, size_t len, char *out)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

    for (size_t bit = 0; bit < len * 8; bit += 5) {
        unsigned two = (unsigned)p[bit / 8] << 8 |
                       (bit / 8 + 1 < len ? p[bit / 8 + 1] : 0u);
        *out++ = letters[two >> (11 - bit % 8) & 31];
    }
    *out = '\0';
}

void session_keys(const uint8_t root[ROOT_KEY], const uint8_t id[SESSION_ID],
                  struct session_keys *out)
{
    uint8_t secret[SECRET_BYTES];

    memcpy(out->access_key, SESSION_KEY_PREFIX, strlen(SESSION_KEY_PREFIX));
    base32(id, KEY_BYTES, out->access_key + strlen(SESSION_KEY_PREFIX));
    derive(root, id, SECRET_INFO, secret, sizeof secret);
    text_base64(secret, sizeof secret, out->secret_key);
    mem_wipe(secret, sizeof secret);
}

void session_mark(const uint8_t root[ROOT_KEY], const uint8_t id[SESSION_ID],
                  const char *secret_key, uint8_t out[SESSION_MARK])
{
    uint8_t key[PRIM_SHA256], mac[PRIM_SHA256];

    derive(root, id, PARENT_INFO, key, sizeof key);
    prim_hmac(key, sizeof key, secret_key, strlen(secret_key), mac);
    memcpy(out, mac, SESSION_MARK);
    mem_wipe(key, sizeof key);
}

/* ---- claims ---- */

void session_claims_put(struct buf *out, const struct session_claims *c)
{
    put_u64(out, c->made_ms);
    put_u64(out, c->expires_ms);
    put_u8(out, (uint8_t)c->kind);
    put_text(out, c->access_key);
    put_text(out, c->user);
    put_bytes(out, c->mark, sizeof c->mark);
    put_text(out, c->name);
    put_blob(out, c->policy, c->policy_len);
}

/* Into @size bytes with the NUL. */
static void take_text(struct wire_reader *r, char *out, size_t size)
{
    size_t len = 0;
    const uint8_t *p = get_blob(r, size - 1, &len);

    if (p != NULL && memchr(p, '\0', len) == NULL) {
        memcpy(out, p, len);
    } else {
        wire_fail(r);
        len = 0;
    }
    out[len] = '\0';
}

int session_claims_read(const void *p, size_t len, struct session_claims *out,
                        struct err *err)
{
    struct session_claims c = {0};
    const uint8_t *mark;
    struct wire_reader r;

    wire_init(&r, p, len);
    c.made_ms = get_u64(&r);
    c.expires_ms = get_u64(&r);
    c.kind = (enum session_kind)get_u8(&r);
    take_text(&r, c.access_key, sizeof c.access_key);
    take_text(&r, c.user, sizeof c.user);
    mark = get_bytes(&r, SESSION_MARK);
    if (mark != NULL) {
        memcpy(c.mark, mark, SESSION_MARK);
    }
    take_text(&r, c.name, sizeof c.name);
    take_text(&r, c.policy, sizeof c.policy);
    c.policy_len = strlen(c.policy);
    if (!wire_done(&r) || c.kind < SESSION_ASSUMED || c.kind >= SESSION_KINDS ||
        c.access_key[0] == '\0' || c.user[0] == '\0') {
        return err_set(err, ERR_BAD_INPUT, "the session's claims are damaged");
    }
    *out = c;
    return 0;
}

/* ---- tokens ---- */

static const uint8_t nonce[AEAD_NONCE] = {0};

void session_token_seal(const uint8_t root[ROOT_KEY],
                        const uint8_t id[SESSION_ID],
                        const struct session_claims *claims, struct buf *out)
{
    uint8_t key[AEAD_KEY], bytes[HEAD + CLAIMS_MAX + AEAD_TAG];
    char text[SESSION_TOKEN_MAX + 1];
    struct buf plain = {0};

    session_claims_put(&plain, claims);
    CHECK(plain.len <= CLAIMS_MAX);
    bytes[0] = FORMAT;
    memcpy(bytes + 1, id, SESSION_ID);
    derive(root, id, TOKEN_INFO, key, sizeof key);
    aead_seal(key, nonce, bytes, HEAD, plain.data, plain.len, bytes + HEAD);
    text_base64(bytes, HEAD + plain.len + AEAD_TAG, text);
    buf_str(out, text);
    mem_wipe(key, sizeof key);
    buf_wipe(&plain);
}

/* Base64 of which there is one form only. */
static bool decode(const char *token, uint8_t *out, size_t *len)
{
    char again[SESSION_TOKEN_MAX + 1];
    size_t text_len = strlen(token);

    if (text_len > SESSION_TOKEN_MAX ||
        !text_unbase64(token, text_len, out, len) || *len <= HEAD + AEAD_TAG ||
        *len > HEAD + CLAIMS_MAX + AEAD_TAG) {
        return false;
    }
    text_base64(out, *len, again);
    return strcmp(again, token) == 0;
}

int session_token_open(const uint8_t root[ROOT_KEY], const char *token,
                       uint8_t id[SESSION_ID], struct session_claims *out,
                       struct err *err)
{
    uint8_t key[AEAD_KEY], bytes[SESSION_TOKEN_MAX], plain[SESSION_TOKEN_MAX];
    size_t len;
    int rc;

    if (!decode(token, bytes, &len) || bytes[0] != FORMAT) {
        return err_set(err, ERR_BAD_INPUT, "it is no session token");
    }
    derive(root, bytes + 1, TOKEN_INFO, key, sizeof key);
    rc = aead_open(key, nonce, bytes, HEAD, bytes + HEAD, len - HEAD, plain,
                   NULL);
    mem_wipe(key, sizeof key);
    if (rc != 0) {
        return err_set(err, ERR_BAD_INPUT,
                       "the session token was not made by this store");
    }
    rc = session_claims_read(plain, len - HEAD - AEAD_TAG, out, err);
    if (rc == 0) {
        memcpy(id, bytes + 1, SESSION_ID);
    }
    return rc;
}
