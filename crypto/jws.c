#include "crypto/jws.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/sign.h"

#define HEADER_MAX 1024 /* of a token, in base64 */

/* ---- base64url without padding ---- */

static void put_url(struct buf *out, const void *p, size_t len)
{
    char *text = mem_alloc(TEXT_BASE64_MAX(len));

    text_base64(p, len, text);
    for (char *c = text; *c != '\0' && *c != '='; c++) {
        buf_char(out, *c == '+' ? '-' : *c == '/' ? '_' : *c);
    }
    free(text);
}

/* Exactly what put_url makes of bytes. */
static bool get_url(const char *text, size_t len, struct buf *out)
{
    size_t padded = (len + 3) / 4 * 4, got = 0;
    char *s = mem_alloc(padded + 1);
    uint8_t *bytes = mem_alloc(3 * (padded / 4) + 1);
    struct buf back = {0};
    bool good;

    memset(s, '=', padded);
    for (size_t i = 0; i < len; i++) {
        s[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
    }
    good = len % 4 != 1 && text_unbase64(s, padded, bytes, &got);
    if (good) {
        put_url(&back, bytes, got);
        good =
            back.len == len && (len == 0 || memcmp(back.data, text, len) == 0);
        buf_append(out, bytes, good ? got : 0);
    }
    buf_free(&back);
    free(s);
    free(bytes);
    return good;
}

void jws_key_text(const uint8_t key[JWS_KEY], char out[JWS_KEY_TEXT])
{
    struct buf b = {0};

    put_url(&b, key, JWS_KEY);
    CHECK(b.len == JWS_KEY_TEXT - 1);
    memcpy(out, b.data, b.len);
    out[b.len] = '\0';
    buf_free(&b);
}

/* ---- tokens ---- */

void jws_sign(const uint8_t seed[JWS_KEY], const void *payload, size_t len,
              struct buf *out)
{
    uint8_t key[JWS_KEY], signature[SIGN_SIZE];
    char text[JWS_KEY_TEXT];
    struct buf header = {0}, token = {0};

    sign_public(seed, key);
    jws_key_text(key, text);
    buf_printf(&header,
               "{\"alg\":\"EdDSA\",\"jwk\":{\"kty\":\"OKP\","
               "\"crv\":\"Ed25519\",\"x\":\"%s\"}}",
               text);
    put_url(&token, header.data, header.len);
    buf_char(&token, '.');
    put_url(&token, payload, len);
    sign_make(seed, token.data, token.len, signature);
    buf_char(&token, '.');
    put_url(&token, signature, sizeof signature);
    buf_append(out, token.data, token.len);
    buf_free(&header);
    buf_free(&token);
}

/* The key that the header names; false: it is not one of ours. */
static bool read_header(const char *token, size_t len, uint8_t key[JWS_KEY])
{
    struct buf header = {0}, x = {0};
    char *alg = NULL, *crv = NULL, *text = NULL;
    bool good = len <= HEADER_MAX && get_url(token, len, &header);

    if (good) {
        buf_char(&header, '\0');
        alg = json_text((char *)header.data, "alg");
        crv = json_text((char *)header.data, "jwk.crv");
        text = json_text((char *)header.data, "jwk.x");
        good = strcmp(alg, "EdDSA") == 0 && strcmp(crv, "Ed25519") == 0 &&
               get_url(text, strlen(text), &x) && x.len == JWS_KEY;
    }
    if (good) {
        memcpy(key, x.data, JWS_KEY);
    }
    free(alg);
    free(crv);
    free(text);
    buf_free(&header);
    buf_free(&x);
    return good;
}

int jws_open(const char *token, size_t len, struct buf *payload,
             uint8_t key[JWS_KEY], struct err *err)
{
    const char *one = memchr(token, '.', len), *two = NULL;
    const char *end = token + len;
    struct buf signature = {0}, body = {0};
    int rc = 0;

    if (one != NULL) {
        two = memchr(one + 1, '.', (size_t)(end - one - 1));
    }
    if (two == NULL || !read_header(token, (size_t)(one - token), key) ||
        !get_url(one + 1, (size_t)(two - one - 1), &body) ||
        !get_url(two + 1, (size_t)(end - two - 1), &signature) ||
        signature.len != SIGN_SIZE) {
        rc = err_set(err, ERR_BAD_INPUT, "not a signed document of this kind");
    } else if (!sign_verify(key, token, (size_t)(two - token),
                            signature.data)) {
        rc = err_set(err, ERR_MISMATCH,
                     "the signature is not of this document: it was changed");
    } else {
        buf_append(payload, body.data, body.len);
    }
    buf_free(&signature);
    buf_free(&body);
    return rc;
}
