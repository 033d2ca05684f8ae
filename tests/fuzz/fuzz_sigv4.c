/* fuzz_sigv4.c: requests of any bytes against the parser and the verifier.
 *
 * Goal: no request crashes, hangs or verifies without its key; what we sign
 * verifies, whatever path, query and headers it has.
 * Method: the input is lines: method, path, query, then "name:value" headers.
 * The request is judged as it is; then it is signed and presigned and judged
 * again, which must give SIGV4_OK.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/sigv4.h"

#define NOW 1369353600000u
#define HEADERS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *next_line(char **p)
{
    char *line = strsep(p, "\n");
    static char none[1];

    return line != NULL ? line : none;
}

static enum sigv4_status judge(const struct sigv4_request *r,
                               const char *secret, struct sigv4_auth *auth)
{
    struct err err = {""};
    uint8_t key[32];
    enum sigv4_status s = sigv4_parse(r, auth, &err);

    CHECK((s == SIGV4_OK) == (err.text[0] == '\0'));
    if (s != SIGV4_OK) {
        return s;
    }
    CHECK(auth->access_key[0] != '\0' && strlen(auth->date) == 8);
    CHECK(strlen(auth->signature) == SIGV4_SIGNATURE_HEX);
    sigv4_signing_key(secret, auth->date, "r", auth->service, key);
    s = sigv4_verify(r, auth, "r", key, NOW, &err);
    CHECK((s == SIGV4_OK) == (err.text[0] == '\0'));
    return s;
}

/* Names that the signer sets itself. */
static bool is_ours(const char *name)
{
    return text_ieq(name, "authorization") || text_ieq(name, "x-amz-date") ||
           text_ieq(name, "date") || text_ieq(name, "x-amz-content-sha256") ||
           text_ieq(name, "host");
}

/* A name that can stand in a list of signed headers. */
static bool is_name(const char *name)
{
    return name[0] != '\0' && name[strcspn(name, "; ,\t\r\v\f")] == '\0';
}

static void round_trip(struct sigv4_request r)
{
    struct sigv4_header headers[HEADERS_MAX + 4] = {
        {"Host", "h"},
        {"X-Amz-Date", "20130524T000000Z"},
        {"X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"}};
    struct buf out = {0};
    struct sigv4_auth auth;
    size_t count = 3;

    for (size_t i = 0; i < r.header_count; i++) {
        if (is_name(r.headers[i].name) && !is_ours(r.headers[i].name)) {
            headers[count++] = r.headers[i];
        }
    }
    r.headers = headers;
    r.header_count = count;
    sigv4_sign(&r, "key", "secret", "r", NOW, &out);
    headers[r.header_count].name = "Authorization";
    headers[r.header_count++].value = (const char *)out.data;
    CHECK(judge(&r, "secret", &auth) == SIGV4_OK);
    CHECK(judge(&r, "secreu", &auth) == SIGV4_MISMATCH);

    buf_clear(&out);
    r.header_count = 1;
    sigv4_presign(&r, "key", "secret", "r", NOW, 60, &out);
    r.query = (const char *)out.data;
    CHECK(judge(&r, "secret", &auth) == SIGV4_OK);
    CHECK(judge(&r, "secreu", &auth) == SIGV4_MISMATCH);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sigv4_header headers[HEADERS_MAX];
    struct sigv4_request r = {.headers = headers};
    struct sigv4_auth auth;
    char *text = mem_strndup((const char *)data, size);
    char *p = text;

    r.method = next_line(&p);
    r.path = next_line(&p);
    r.query = next_line(&p);
    while (p != NULL && r.header_count < HEADERS_MAX) {
        char *value = next_line(&p);
        headers[r.header_count].name = strsep(&value, ":");
        headers[r.header_count++].value = value != NULL ? value : "";
    }
    CHECK(judge(&r, "a secret that no input has", &auth) != SIGV4_OK);
    /* A query that is signed already cannot be signed again. */
    if (strstr(r.query, "X-Amz-") == NULL &&
        strstr(r.query, "AWSAccessKeyId") == NULL) {
        round_trip(r);
    }
    free(text);
    return 0;
}
