#include "crypto/seal_name.h"

#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "crypto/seal_key.h"

#define COMPONENT_MAX SEAL_NAME_MAX

static const char digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void seal_names_key(const struct seal_identity *identity,
                    uint8_t key[SEAL_NAMES_KEY])
{
    static const char info[] = "godwit names 1";

    prim_hkdf_extract(NULL, 0, identity->private_key,
                      sizeof identity->private_key, key);
    prim_hkdf_expand(key, info, sizeof info - 1, key, SEAL_NAMES_KEY);
}

void seal_names_init(const uint8_t key[SEAL_NAMES_KEY], struct seal_names *out)
{
    prim_hmac(key, SEAL_NAMES_KEY, "mac", 3, out->mac);
    prim_hmac(key, SEAL_NAMES_KEY, "stream", 6, out->stream);
}

/* @tag becomes that of the component below it. */
static void next_tag(const struct seal_names *n, uint8_t tag[SEAL_NAME_TAG],
                     const uint8_t *component, size_t len)
{
    uint8_t text[SEAL_NAME_TAG + COMPONENT_MAX], mac[PRIM_SHA256];

    memcpy(text, tag, SEAL_NAME_TAG);
    if (len > 0) {
        memcpy(text + SEAL_NAME_TAG, component, len);
    }
    prim_hmac(n->mac, sizeof n->mac, text, SEAL_NAME_TAG + len, mac);
    memcpy(tag, mac, SEAL_NAME_TAG);
    mem_wipe(text, sizeof text);
}

/* @p ^= stream; the same in both directions. */
static void apply_stream(const struct seal_names *n,
                         const uint8_t tag[SEAL_NAME_TAG], uint8_t *p,
                         size_t len)
{
    uint8_t stream[COMPONENT_MAX], key[PRIM_SHA256];

    prim_hmac(n->stream, sizeof n->stream, tag, SEAL_NAME_TAG, key);
    prim_hkdf_expand(key, NULL, 0, stream, len);
    for (size_t i = 0; i < len; i++) {
        p[i] ^= stream[i];
    }
    mem_wipe(key, sizeof key);
    mem_wipe(stream, sizeof stream);
}

/* ---- base64url without padding ---- */

static void put_text(struct buf *out, const uint8_t *p, size_t len)
{
    uint32_t held = 0;
    unsigned bits = 0;

    for (size_t i = 0; i < len; i++) {
        held = (held & 0xff) << 8 | p[i];
        for (bits += 8; bits >= 6; bits -= 6) {
            buf_char(out, digits[held >> (bits - 6) & 63]);
        }
    }
    if (bits > 0) {
        buf_char(out, digits[held << (6 - bits) & 63]);
    }
}

/* The one way to write @len characters; gives the bytes. */
static bool get_text(const char *s, size_t len, uint8_t *out, size_t *out_len)
{
    uint32_t held = 0;
    unsigned bits = 0;
    size_t made = 0;

    for (size_t i = 0; i < len; i++) {
        const char *at = s[i] == '\0' ? NULL : strchr(digits, s[i]);
        if (at == NULL) {
            return false;
        }
        held = (held & 0x3f) << 6 | (uint32_t)(at - digits);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[made++] = (uint8_t)(held >> bits);
        }
    }
    *out_len = made;
    return bits < 6 && (held & ((1u << bits) - 1)) == 0;
}

/* ---- names ---- */

static int component_seal(const struct seal_names *n,
                          uint8_t tag[SEAL_NAME_TAG], const char *p, size_t len,
                          struct buf *out)
{
    uint8_t bytes[SEAL_NAME_TAG + COMPONENT_MAX];

    if (len > COMPONENT_MAX || SEAL_NAME_LEN(len) > SEAL_NAME_MAX) {
        return ERR_LIMIT;
    }
    next_tag(n, tag, (const uint8_t *)p, len);
    if (len > 0) {
        memcpy(bytes, tag, SEAL_NAME_TAG);
        memcpy(bytes + SEAL_NAME_TAG, p, len);
        apply_stream(n, tag, bytes + SEAL_NAME_TAG, len);
        put_text(out, bytes, SEAL_NAME_TAG + len);
    }
    return 0;
}

static int component_open(const struct seal_names *n,
                          uint8_t tag[SEAL_NAME_TAG], const char *p, size_t len,
                          struct buf *out)
{
    uint8_t bytes[SEAL_NAME_MAX];
    size_t made = 0;

    if (len == 0) {
        next_tag(n, tag, NULL, 0);
        return 0;
    }
    if (len > SEAL_NAME_MAX || !get_text(p, len, bytes, &made) ||
        made <= SEAL_NAME_TAG) {
        return ERR_BAD_INPUT;
    }
    made -= SEAL_NAME_TAG;
    apply_stream(n, bytes, bytes + SEAL_NAME_TAG, made);
    next_tag(n, tag, bytes + SEAL_NAME_TAG, made);
    if (mem_diff(tag, bytes, SEAL_NAME_TAG) != 0 ||
        memchr(bytes + SEAL_NAME_TAG, '/', made) != NULL) {
        mem_wipe(bytes, sizeof bytes);
        return ERR_MISMATCH;
    }
    buf_append(out, bytes + SEAL_NAME_TAG, made);
    return 0;
}

typedef int (*component_f)(const struct seal_names *n,
                           uint8_t tag[SEAL_NAME_TAG], const char *p,
                           size_t len, struct buf *out);

/* Each component of @name in turn, with the slashes between. */
static int each(const struct seal_names *n, component_f component,
                const char *name, size_t len, struct buf *out)
{
    uint8_t tag[SEAL_NAME_TAG] = {0};

    for (;;) {
        const char *slash = len == 0 ? NULL : memchr(name, '/', len);
        size_t part = slash != NULL ? (size_t)(slash - name) : len;
        int rc = component(n, tag, name, part, out);
        if (rc != 0 || slash == NULL) {
            return rc;
        }
        buf_char(out, '/');
        name += part + 1;
        len -= part + 1;
    }
}

int seal_name(const struct seal_names *n, const char *name, size_t len,
              struct buf *out, struct err *err)
{
    size_t before = out->len;
    int rc = each(n, component_seal, name, len, out);

    if (rc != 0 || out->len - before > SEAL_NAME_MAX) {
        out->len = before;
        return err_set(err, ERR_LIMIT,
                       "sealed name: would have more than %d bytes",
                       SEAL_NAME_MAX);
    }
    return 0;
}

int seal_name_open(const struct seal_names *n, const char *sealed, size_t len,
                   struct buf *out, struct err *err)
{
    size_t before = out->len;
    int rc = each(n, component_open, sealed, len, out);

    if (rc == 0) {
        return 0;
    }
    out->len = before;
    return rc == ERR_BAD_INPUT
               ? err_set(err, rc, "not a sealed name")
               : err_set(err, rc,
                         "sealed name: changed, moved, or of another key");
}
