/* Join tokens and enrolment codes: no crypto, so that the agent of a device has
 * it, too.
 */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/text.h"
#include "crypto/pki.h"

#define TOKEN_PREFIX "gwj1."
#define CODE_PREFIX "gwe1."
#define CA_TEXT 43                        /* base64url of 32 bytes */
#define SECRET_TEXT (PKI_SECRET_TEXT - 1) /* ... of 16 bytes */

static const char url_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* RFC 4648, section 5, without padding. */
static char *put_url(char *out, const uint8_t *p, size_t len)
{
    uint32_t bits = 0;
    unsigned have = 0;

    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | p[i];
        for (have += 8; have >= 6; have -= 6) {
            *out++ = url_alphabet[bits >> (have - 6) & 63];
        }
    }
    if (have > 0) {
        *out++ = url_alphabet[bits << (6 - have) & 63];
    }
    return out;
}

/* Exactly @len bytes from exactly the text that put_url makes of them. */
static bool get_url(const char *text, size_t text_len, uint8_t *out, size_t len)
{
    uint32_t bits = 0;
    unsigned have = 0;
    size_t n = 0;

    for (size_t i = 0; i < text_len; i++) {
        const char *at = text[i] != '\0' ? strchr(url_alphabet, text[i]) : NULL;
        if (at == NULL) {
            return false;
        }
        bits = bits << 6 | (uint32_t)(at - url_alphabet);
        have += 6;
        if (have >= 8) {
            have -= 8;
            if (n == len) {
                return false;
            }
            out[n++] = (uint8_t)(bits >> have);
        }
    }
    return n == len && (bits & ((1u << have) - 1)) == 0;
}

void pki_token_new(const uint8_t ca[PKI_FINGERPRINT], struct pki_token *out)
{
    memcpy(out->ca, ca, sizeof out->ca);
    rng_bytes(out->secret, sizeof out->secret);
}

static void format(const char *prefix, const struct pki_token *t,
                   char out[PKI_TOKEN_TEXT])
{
    char *at = out + sprintf(out, "%s", prefix);

    at = put_url(at, t->ca, sizeof t->ca);
    *at++ = '.';
    at = put_url(at, t->secret, sizeof t->secret);
    *at = '\0';
}

static int parse(const char *prefix, const char *what, const char *text,
                 struct pki_token *out, struct err *err)
{
    const char *ca = text + strlen(prefix);
    const char *secret = ca + CA_TEXT + 1;

    if (!text_starts(text, prefix)) {
        return err_set(err, ERR_BAD_INPUT, "%s begins with %s", what, prefix);
    }
    if (strlen(text) != strlen(prefix) + CA_TEXT + 1 + SECRET_TEXT) {
        return err_set(err, ERR_BAD_INPUT, "%s has %d characters, this has %zu",
                       what, (int)strlen(prefix) + CA_TEXT + 1 + SECRET_TEXT,
                       strlen(text));
    }
    if (ca[CA_TEXT] != '.' || !get_url(ca, CA_TEXT, out->ca, sizeof out->ca) ||
        !get_url(secret, SECRET_TEXT, out->secret, sizeof out->secret)) {
        mem_wipe(out, sizeof *out);
        return err_set(err, ERR_BAD_INPUT, "%s is base64url in two parts",
                       what);
    }
    return 0;
}

void pki_token_format(const struct pki_token *t, char out[PKI_TOKEN_TEXT])
{
    format(TOKEN_PREFIX, t, out);
}

int pki_token_parse(const char *text, struct pki_token *out, struct err *err)
{
    return parse(TOKEN_PREFIX, "a join token", text, out, err);
}

void pki_code_format(const struct pki_token *t, char out[PKI_TOKEN_TEXT])
{
    format(CODE_PREFIX, t, out);
}

int pki_code_parse(const char *text, struct pki_token *out, struct err *err)
{
    return parse(CODE_PREFIX, "an enrolment code", text, out, err);
}

void pki_secret_format(const uint8_t secret[PKI_TOKEN_SECRET],
                       char out[PKI_SECRET_TEXT])
{
    *put_url(out, secret, PKI_TOKEN_SECRET) = '\0';
}

bool pki_secret_parse(const char *text, uint8_t out[PKI_TOKEN_SECRET])
{
    return strlen(text) == SECRET_TEXT &&
           get_url(text, SECRET_TEXT, out, PKI_TOKEN_SECRET);
}
