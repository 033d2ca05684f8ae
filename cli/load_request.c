#include "cli/load_request.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/digest.h"
#include "crypto/sigv4.h"

#define DATE_LEN 16 /* 20261123T010203Z */
#define ZEROS "0000000000"
#define NO_DATE "00000000T000000Z"
#define NO_HASH                        \
    "00000000000000000000000000000000" \
    "00000000000000000000000000000000"
#define SIGNED_HEADERS "host;x-amz-content-sha256;x-amz-date"

_Static_assert(sizeof ZEROS - 1 == LOAD_NUMBER_DIGITS, "a number's place");
_Static_assert(sizeof NO_HASH - 1 == SIGV4_SIGNATURE_HEX, "a hash's place");

__attribute__((format(printf, 4, 5))) static void add(char *text, size_t size,
                                                      size_t *len,
                                                      const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(text + *len, size - *len, fmt, ap);
    va_end(ap);
    CHECK(n >= 0 && (size_t)n < size - *len);
    *len += (size_t)n;
}

#define ADD(r, ...) add((r)->text, sizeof(r)->text, &(r)->len, __VA_ARGS__)
#define ADD_CANONICAL(r, ...) \
    add((r)->canonical, sizeof(r)->canonical, &(r)->canonical_len, __VA_ARGS__)
#define ADD_TO_SIGN(r, ...) \
    add((r)->to_sign, sizeof(r)->to_sign, &(r)->to_sign_len, __VA_ARGS__)

static void init_signing(struct load_request *r, const struct load_identity *id,
                         const char *method, const char *path, bool numbered,
                         const char *query, const char *payload,
                         const char *day)
{
    ADD_CANONICAL(r, "%s\n%s", method, path);
    if (numbered) {
        r->canonical_number_at = r->canonical_len;
        ADD_CANONICAL(r, ZEROS);
    }
    ADD_CANONICAL(r,
                  "\n%s\nhost:%s\nx-amz-content-sha256:%s\nx-amz-date:", query,
                  id->authority, payload);
    r->canonical_date_at = r->canonical_len;
    ADD_CANONICAL(r, NO_DATE "\n\n" SIGNED_HEADERS "\n%s", payload);

    ADD_TO_SIGN(r, "AWS4-HMAC-SHA256\n");
    r->to_sign_date_at = r->to_sign_len;
    ADD_TO_SIGN(r, NO_DATE "\n%s/%s/s3/aws4_request\n", day, id->region);
    r->to_sign_hash_at = r->to_sign_len;
    ADD_TO_SIGN(r, NO_HASH);
    sigv4_signing_key(id->secret_key, day, id->region, "s3", r->signing_key);
}

void load_request_init(struct load_request *r, const struct load_identity *id,
                       const char *method, const char *path, bool numbered,
                       const char *query, const char *payload,
                       uint64_t content_length, uint64_t now_ms)
{
    char date[TEXT_TIME_MAX];
    char day[9] = {0};

    memset(r, 0, sizeof *r);
    r->sign = !id->unsigned_requests;
    text_basic8601(now_ms, date);
    memcpy(day, date, 8);
    ADD(r, "%s %s", method, path);
    if (numbered) {
        r->number_at = r->len;
        ADD(r, ZEROS);
    }
    ADD(r, "%s%s HTTP/1.1\r\nHost: %s\r\n", *query != '\0' ? "?" : "", query,
        id->authority);
    if (strcmp(method, "PUT") == 0) {
        ADD(r, "Content-Length: %llu\r\n", (unsigned long long)content_length);
    }
    if (r->sign) {
        ADD(r, "X-Amz-Content-Sha256: %s\r\nX-Amz-Date: ", payload);
        r->date_at = r->len;
        ADD(r,
            NO_DATE
            "\r\nAuthorization: AWS4-HMAC-SHA256 "
            "Credential=%s/%s/%s/s3/aws4_request, "
            "SignedHeaders=" SIGNED_HEADERS ", Signature=",
            id->access_key, day, id->region);
        r->signature_at = r->len;
        ADD(r, NO_HASH "\r\n");
        init_signing(r, id, method, path, numbered, query, payload, day);
    }
    ADD(r, "\r\n");
    load_request_set_time(r, now_ms);
}

void load_request_set_time(struct load_request *r, uint64_t now_ms)
{
    char date[TEXT_TIME_MAX];

    if (r->sign) {
        text_basic8601(now_ms, date);
        memcpy(r->text + r->date_at, date, DATE_LEN);
        memcpy(r->canonical + r->canonical_date_at, date, DATE_LEN);
        memcpy(r->to_sign + r->to_sign_date_at, date, DATE_LEN);
    }
}

static void put_number(char *at, uint64_t number)
{
    for (int i = LOAD_NUMBER_DIGITS - 1; i >= 0; i--) {
        at[i] = (char)('0' + number % 10);
        number /= 10;
    }
}

/* As text_hex, without the NUL. */
static void put_hex(char *at, const uint8_t hash[32])
{
    static const char digits[] = "0123456789abcdef";

    for (unsigned i = 0; i < 32; i++) {
        at[2 * i] = digits[hash[i] >> 4];
        at[2 * i + 1] = digits[hash[i] & 15];
    }
}

void load_request_set(struct load_request *r, uint64_t number)
{
    uint8_t hash[DIGEST_MAX];

    if (r->number_at != 0) {
        put_number(r->text + r->number_at, number);
        if (r->sign) {
            put_number(r->canonical + r->canonical_number_at, number);
        }
    }
    if (r->sign) {
        digest_of(DIGEST_SHA256, r->canonical, r->canonical_len, hash);
        put_hex(r->to_sign + r->to_sign_hash_at, hash);
        hmac_sha256(r->signing_key, sizeof r->signing_key, r->to_sign,
                    r->to_sign_len, hash);
        put_hex(r->text + r->signature_at, hash);
    }
}
