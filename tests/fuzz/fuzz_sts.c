/* fuzz_sts.c: forms to STS, session tokens and their claims, of any bytes.
 *
 * Goal: nothing crashes; what is given is within its bounds; no token opens but
 * one that was sealed; claims that are read are written as they were.
 * Method: the input is read as a form, as a token and as claims; claims that
 * are good are sealed, and the token opened, whole and with a byte changed.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "gateway/session_token.h"
#include "gateway/sts_form.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t root[ROOT_KEY] = {5};

static void form(const uint8_t *data, size_t size)
{
    struct sts_form f;
    struct err err = {{0}};

    if (sts_form_read(data, size, &f, &err) != S3_OK) {
        CHECK(err.text[0] != '\0');
        return;
    }
    CHECK(f.action == STS_GET_CALLER_IDENTITY ||
          (f.duration_s >= STS_DURATION_MIN_S &&
           f.duration_s <= STS_DURATION_MAX_S));
    CHECK(strlen(f.policy) == f.policy_len);
}

static void token(const uint8_t *data, size_t size)
{
    char *text = mem_strndup((const char *)data, size);
    uint8_t id[SESSION_ID];
    struct session_claims c;

    CHECK(session_token_open(root, text, id, &c, NULL) == ERR_BAD_INPUT);
    free(text);
}

static void claims(const uint8_t *data, size_t size)
{
    struct session_claims c, again;
    uint8_t id[SESSION_ID] = {0}, got[SESSION_ID];
    struct buf b = {0};
    char *text;

    if (session_claims_read(data, size, &c, NULL) != 0) {
        return;
    }
    session_claims_put(&b, &c);
    CHECK(b.len == size && memcmp(b.data, data, size) == 0);
    buf_clear(&b);
    session_token_seal(root, id, &c, &b);
    text = (char *)b.data;
    CHECK(session_token_open(root, text, got, &again, NULL) == 0);
    CHECK(memcmp(&c, &again, sizeof c) == 0);
    text[size % b.len] ^= 1;
    CHECK(session_token_open(root, text, got, &again, NULL) != 0);
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    form(data, size);
    token(data, size);
    claims(data, size);
    return 0;
}
