#include "crypto/sigv4.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/canonical.h"
#include "crypto/digest.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define UNSIGNED "UNSIGNED-PAYLOAD"
#define EMPTY_SHA256 \
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define CREDENTIAL_MAX \
    (SIGV4_ACCESS_KEY_MAX + sizeof((struct sigv4_auth *)0)->region + 64)

/* ---- looking things up ---- */

enum field { AUTHORIZATION, X_AMZ_DATE, DATE, CONTENT_SHA256, FIELDS };

/* The headers that say how a request is signed. */
struct fields {
    const char *values[FIELDS]; /* NULL when missing */
    int twice;                  /* one that comes more than once, or -1 */
};

static struct fields find_fields(const struct sigv4_request *r)
{
    static const struct {
        const char *name;
        size_t len;
    } names[FIELDS] = {[AUTHORIZATION] = {"authorization", 13},
                       [X_AMZ_DATE] = {"x-amz-date", 10},
                       [DATE] = {"date", 4},
                       [CONTENT_SHA256] = {"x-amz-content-sha256", 20}};
    struct fields f = {.twice = -1};

    for (size_t i = 0; i < r->header_count; i++) {
        for (int k = 0; k < FIELDS; k++) {
            if (canonical_same_name(r->headers[i].name, names[k].name,
                                    names[k].len)) {
                f.twice = f.values[k] != NULL ? k : f.twice;
                f.values[k] = r->headers[i].value;
            }
        }
    }
    return f;
}

/* Decode a parameter's value; false when it is missing, empty, too long, badly
 * escaped or holds a NUL. */
static bool decode(const struct canonical_param *q, char *out, size_t size)
{
    size_t len = 0;

    for (size_t i = 0; i < q->value_len; i++, len++) {
        if (len + 1 >= size) {
            return false;
        }
        out[len] = q->value[i];
        if (q->value[i] == '%') {
            if (q->value_len - i < 3 ||
                !text_unhex(q->value + i + 1, 2, out + len, 1) ||
                out[len] == '\0') {
                return false;
            }
            i += 2;
        }
    }
    out[len] = '\0';
    return len > 0;
}

/* ---- parsing: the header form ---- */

static bool copy_text(char *out, size_t size, const char *p, size_t len)
{
    if (len == 0 || len >= size) {
        return false;
    }
    memcpy(out, p, len);
    out[len] = '\0';
    return true;
}

static const char *service_of(const struct sigv4_request *r)
{
    return r->service != NULL ? r->service : "s3";
}

/* ACCESS/20261123/us-east-1/s3/aws4_request, from the right: an access key may
 * hold slashes. */
static enum sigv4_status parse_credential(const char *p, size_t len,
                                          const char *service,
                                          struct sigv4_auth *a, struct err *err)
{
    const char *end = p + len;
    const char *starts[5];
    size_t lens[5];

    for (int i = 4; i > 0; i--) {
        const char *slash = memrchr(p, '/', (size_t)(end - p));
        if (slash == NULL) {
            err_set(err, 0,
                    "Credential must be KEY/DATE/REGION/SERVICE/aws4_request");
            return SIGV4_MALFORMED;
        }
        starts[i] = slash + 1;
        lens[i] = (size_t)(end - slash - 1);
        end = slash;
    }
    starts[0] = p;
    lens[0] = (size_t)(end - p);
    if (!copy_text(a->access_key, sizeof a->access_key, starts[0], lens[0]) ||
        lens[1] != 8 ||
        !copy_text(a->date, sizeof a->date, starts[1], lens[1]) ||
        strspn(a->date, "0123456789") != 8 ||
        !copy_text(a->region, sizeof a->region, starts[2], lens[2]) ||
        !copy_text(a->service, sizeof a->service, starts[3], lens[3]) ||
        lens[4] != 12 || memcmp(starts[4], "aws4_request", 12) != 0) {
        err_set(err, 0,
                "Credential must be KEY/DATE/REGION/SERVICE/aws4_request");
        return SIGV4_MALFORMED;
    }
    if (strcmp(a->service, service) != 0) {
        err_set(err, 0, "Credential names the service %s, not %s", a->service,
                service);
        return SIGV4_MALFORMED;
    }
    return SIGV4_OK;
}

static enum sigv4_status parse_payload(const char *text, struct sigv4_auth *a,
                                       struct err *err)
{
    static const struct {
        const char *text;
        enum sigv4_payload payload;
    } rows[] = {
        {UNSIGNED, SIGV4_PAYLOAD_UNSIGNED},
        {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD", SIGV4_PAYLOAD_CHUNKED},
        {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
         SIGV4_PAYLOAD_CHUNKED_TRAILER},
        {"STREAMING-UNSIGNED-PAYLOAD-TRAILER", SIGV4_PAYLOAD_UNSIGNED_TRAILER},
    };

    if (!copy_text(a->payload_text, sizeof a->payload_text, text,
                   strlen(text))) {
        err_set(err, 0, "x-amz-content-sha256 is empty or too long");
        return SIGV4_BAD_PAYLOAD;
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(text, rows[i].text) == 0) {
            a->payload = rows[i].payload;
            return SIGV4_OK;
        }
    }
    if (!text_unhex(text, strlen(text), a->payload_sha256, 32)) {
        err_set(err, 0,
                "x-amz-content-sha256 must be %s, a streaming form, or a "
                "SHA-256 in hex",
                UNSIGNED);
        return SIGV4_BAD_PAYLOAD;
    }
    a->payload = SIGV4_PAYLOAD_SHA256;
    return SIGV4_OK;
}

/* The body's hash is known; a header may say it too. */
static enum sigv4_status parse_known_payload(const char *hash,
                                             const char *header,
                                             struct sigv4_auth *a,
                                             struct err *err)
{
    if (header != NULL && strcasecmp(header, hash) != 0) {
        err_set(err, 0, "x-amz-content-sha256 does not match the body");
        return SIGV4_BAD_PAYLOAD;
    }
    return parse_payload(hash, a, err);
}

static bool set_signature(struct sigv4_auth *a, const char *p, size_t len)
{
    uint8_t raw[32];

    return len == SIGV4_SIGNATURE_HEX && text_unhex(p, len, raw, 32) &&
           copy_text(a->signature, sizeof a->signature, p, len);
}

/* Authorization: AWS4-HMAC-SHA256 Credential=..., SignedHeaders=...,
 * Signature=..., in any order, with or without blanks. */
static enum sigv4_status parse_fields(const char *p, const char *service,
                                      struct sigv4_auth *a, struct err *err)
{
    unsigned seen = 0;

    p += strlen(ALGORITHM);
    for (;;) {
        size_t len;
        p += strspn(p, " ,\t");
        if (*p == '\0') {
            break;
        }
        len = strcspn(p, ", \t");
        if (strncmp(p, "Credential=", 11) == 0 && !(seen & 1)) {
            enum sigv4_status s =
                parse_credential(p + 11, len - 11, service, a, err);
            if (s != SIGV4_OK) {
                return s;
            }
            seen |= 1;
        } else if (strncmp(p, "SignedHeaders=", 14) == 0 && !(seen & 2)) {
            if (!copy_text(a->signed_headers, sizeof a->signed_headers, p + 14,
                           len - 14)) {
                err_set(err, 0, "SignedHeaders is empty or too long");
                return SIGV4_MALFORMED;
            }
            seen |= 2;
        } else if (strncmp(p, "Signature=", 10) == 0 && !(seen & 4)) {
            if (!set_signature(a, p + 10, len - 10)) {
                err_set(err, 0, "Signature must be 64 hex digits");
                return SIGV4_MALFORMED;
            }
            seen |= 4;
        } else {
            err_set(err, 0,
                    "Authorization has a field that is not known, or "
                    "twice");
            return SIGV4_MALFORMED;
        }
        p += len;
    }
    if (seen != 7) {
        err_set(err, 0,
                "Authorization needs Credential, SignedHeaders and Signature");
        return SIGV4_MALFORMED;
    }
    return SIGV4_OK;
}

static bool parse_date(const char *text, uint64_t *out)
{
    return text != NULL &&
           (text_parse_basic8601(text, out) || text_parse_http_date(text, out));
}

static enum sigv4_status parse_header_form(const struct sigv4_request *r,
                                           const struct fields *f,
                                           struct sigv4_auth *a,
                                           struct err *err)
{
    const char *authorization = f->values[AUTHORIZATION];
    const char *date =
        f->values[f->values[X_AMZ_DATE] != NULL ? X_AMZ_DATE : DATE];
    enum sigv4_status s;

    if (strncmp(authorization, ALGORITHM, strlen(ALGORITHM)) != 0 ||
        strspn(authorization + strlen(ALGORITHM), " \t") == 0) {
        err_set(err, 0, "Authorization must begin with " ALGORITHM);
        return SIGV4_MALFORMED;
    }
    s = parse_fields(authorization, service_of(r), a, err);
    if (s != SIGV4_OK) {
        return s;
    }
    if (!parse_date(date, &a->time_ms)) {
        err_set(err, 0, "x-amz-date or Date is missing or is not a date");
        return SIGV4_BAD_DATE;
    }
    if (r->body_sha256 != NULL) {
        return parse_known_payload(r->body_sha256, f->values[CONTENT_SHA256], a,
                                   err);
    }
    if (f->values[CONTENT_SHA256] == NULL) {
        err_set(err, 0, "x-amz-content-sha256 is missing");
        return SIGV4_BAD_PAYLOAD;
    }
    return parse_payload(f->values[CONTENT_SHA256], a, err);
}

/* ---- parsing: the query form ---- */

enum query_field {
    Q_ALGORITHM,
    Q_CREDENTIAL,
    Q_DATE,
    Q_EXPIRES,
    Q_SIGNED_HEADERS,
    Q_SIGNATURE,
    Q_CONTENT_SHA256,
    Q_FIELDS,
};

static const char *const query_names[Q_FIELDS] = {
    "Algorithm",     "Credential", "Date",          "Expires",
    "SignedHeaders", "Signature",  "Content-Sha256"};

struct query {
    struct canonical_param params[Q_FIELDS]; /* name NULL when missing */
    bool is_signed;
    bool is_version_2; /* signed as before 2014: not supported */
    int twice;         /* one that comes more than once, or -1 */
};

static int query_field_of(const struct canonical_param *q)
{
    if (q->name_len < 6 || memcmp(q->name, "X-Amz-", 6) != 0) {
        return -1;
    }
    for (int i = 0; i < Q_FIELDS; i++) {
        if (strlen(query_names[i]) == q->name_len - 6 &&
            memcmp(query_names[i], q->name + 6, q->name_len - 6) == 0) {
            return i;
        }
    }
    return -1;
}

static void find_query(const char *p, struct query *out)
{
    struct canonical_param q;

    memset(out, 0, sizeof *out);
    out->twice = -1;
    while (canonical_next_param(&p, &q)) {
        int i = query_field_of(&q);
        out->is_version_2 |=
            q.name_len == 14 && memcmp(q.name, "AWSAccessKeyId", 14) == 0;
        if (i >= 0) {
            out->twice = out->params[i].name != NULL ? i : out->twice;
            out->params[i] = q;
            out->is_signed |=
                i == Q_ALGORITHM || i == Q_CREDENTIAL || i == Q_SIGNATURE;
        }
    }
}

static bool is_signed(const char *names, const char *name)
{
    size_t len = strlen(name);

    while (*names != '\0') {
        size_t n = strcspn(names, ";");
        if (n == len && strncasecmp(names, name, len) == 0) {
            return true;
        }
        names += n;
        names += *names == ';';
    }
    return false;
}

/* What was signed of the body: as X-Amz-Content-Sha256 says in the query or in
 * a signed header. A header that is not signed binds nothing: a hash in it is
 * still a claim that the body must meet, but it does not count for the
 * signature, and it cannot say that the body is framed. */
static enum sigv4_status parse_query_payload(const struct query *q,
                                             const char *header,
                                             struct sigv4_auth *a,
                                             struct err *err)
{
    char text[sizeof a->payload_text];
    enum sigv4_status s;

    if (q->params[Q_CONTENT_SHA256].name != NULL) {
        if (!decode(&q->params[Q_CONTENT_SHA256], text, sizeof text)) {
            err_set(err, 0, "X-Amz-Content-Sha256 is empty or too long");
            return SIGV4_BAD_PAYLOAD;
        }
        return parse_payload(text, a, err);
    }
    if (header == NULL) {
        return parse_payload(UNSIGNED, a, err);
    }
    s = parse_payload(header, a, err);
    if (s != SIGV4_OK || is_signed(a->signed_headers, "x-amz-content-sha256")) {
        return s;
    }
    if (a->payload != SIGV4_PAYLOAD_SHA256 &&
        a->payload != SIGV4_PAYLOAD_UNSIGNED) {
        err_set(err, 0,
                "There were headers present in the request which were not "
                "signed: x-amz-content-sha256");
        return SIGV4_UNSIGNED_HEADER;
    }
    a->payload_not_signed = true;
    return SIGV4_OK;
}

static enum sigv4_status parse_query_form(const struct sigv4_request *r,
                                          const struct query *q,
                                          const char *payload,
                                          struct sigv4_auth *a, struct err *err)
{
    char text[CREDENTIAL_MAX];
    uint64_t expires;
    enum sigv4_status s;

    a->presigned = true;
    if (q->twice >= 0) {
        err_set(err, 0, "X-Amz-%s comes twice", query_names[q->twice]);
        return SIGV4_MALFORMED;
    }
    if (!decode(&q->params[Q_ALGORITHM], text, sizeof text) ||
        strcmp(text, ALGORITHM) != 0) {
        err_set(err, 0, "X-Amz-Algorithm must be " ALGORITHM);
        return SIGV4_MALFORMED;
    }
    if (!decode(&q->params[Q_CREDENTIAL], text, sizeof text)) {
        err_set(err, 0, "X-Amz-Credential is missing or too long");
        return SIGV4_MALFORMED;
    }
    s = parse_credential(text, strlen(text), service_of(r), a, err);
    if (s != SIGV4_OK) {
        return s;
    }
    if (!decode(&q->params[Q_SIGNED_HEADERS], a->signed_headers,
                sizeof a->signed_headers)) {
        err_set(err, 0, "X-Amz-SignedHeaders is missing or too long");
        return SIGV4_MALFORMED;
    }
    if (!decode(&q->params[Q_SIGNATURE], text, sizeof text) ||
        !set_signature(a, text, strlen(text))) {
        err_set(err, 0, "X-Amz-Signature must be 64 hex digits");
        return SIGV4_MALFORMED;
    }
    if (!decode(&q->params[Q_DATE], text, sizeof text) ||
        !text_parse_basic8601(text, &a->time_ms)) {
        err_set(err, 0, "X-Amz-Date must be in the form 20261123T010203Z");
        return SIGV4_MALFORMED;
    }
    if (!decode(&q->params[Q_EXPIRES], text, sizeof text) ||
        !text_u64(text, &expires) || expires < 1 ||
        expires > SIGV4_EXPIRES_MAX_S) {
        err_set(err, 0, "X-Amz-Expires must be 1 to %d seconds",
                SIGV4_EXPIRES_MAX_S);
        return SIGV4_MALFORMED;
    }
    a->expires_ms = expires * 1000;
    return r->body_sha256 != NULL
               ? parse_known_payload(r->body_sha256, payload, a, err)
               : parse_query_payload(q, payload, a, err);
}

static enum sigv4_status parse(const struct sigv4_request *r,
                               struct sigv4_auth *a, struct err *err)
{
    static const enum sigv4_status status_twice[FIELDS] = {
        SIGV4_MALFORMED, SIGV4_BAD_DATE, SIGV4_BAD_DATE, SIGV4_BAD_PAYLOAD};
    struct fields f = find_fields(r);
    struct query q;

    find_query(r->query, &q);
    if (f.values[AUTHORIZATION] != NULL && q.is_signed) {
        err_set(err, 0,
                "a signature in the query and an Authorization header; send "
                "one");
        return SIGV4_MALFORMED;
    }
    if (q.is_version_2 && !q.is_signed) {
        a->presigned = true;
        err_set(err, 0, "signature version 2 is not supported; use " ALGORITHM);
        return SIGV4_MALFORMED;
    }
    if (f.values[AUTHORIZATION] == NULL && !q.is_signed) {
        err_set(err, 0, "the request is not signed");
        return SIGV4_ANONYMOUS;
    }
    if (f.twice >= 0) {
        err_set(err, 0,
                "Authorization, a date or x-amz-content-sha256 comes twice");
        return status_twice[f.twice];
    }
    if (q.is_signed) {
        return parse_query_form(r, &q, f.values[CONTENT_SHA256], a, err);
    }
    return parse_header_form(r, &f, a, err);
}

enum sigv4_status sigv4_parse(const struct sigv4_request *r,
                              struct sigv4_auth *out, struct err *err)
{
    memset(out, 0, sizeof *out);
    return parse(r, out, err);
}

/* ---- signing ---- */

/* HMAC of the string to sign, in hex. */
static void sign_hash(const uint8_t key[32], const char *time, const char *date,
                      const char *region, const char *service, const char *hash,
                      char out[65])
{
    char text[512];
    uint8_t mac[32];
    int len =
        snprintf(text, sizeof text, ALGORITHM "\n%s\n%s/%s/%s/aws4_request\n%s",
                 time, date, region, service, hash);

    CHECK(len > 0 && (size_t)len < sizeof text);
    hmac_sha256(key, 32, text, (size_t)len, mac);
    text_hex(mac, 32, out);
}

/* ---- judging ---- */

/* Host and every x-amz-* header must be signed: an unsigned one could have been
 * added on the way. */
static enum sigv4_status check_signed(const struct sigv4_request *r,
                                      const struct sigv4_auth *a,
                                      struct err *err)
{
    if (!is_signed(a->signed_headers, "host")) {
        err_set(err, 0, "the host header must be signed");
        return SIGV4_UNSIGNED_HEADER;
    }
    for (size_t i = 0; i < r->header_count; i++) {
        const char *name = r->headers[i].name;
        if (strncasecmp(name, "x-amz-", 6) == 0 &&
            strcasecmp(name, "x-amz-content-sha256") != 0 &&
            !is_signed(a->signed_headers, name)) {
            err_set(err, 0,
                    "There were headers present in the request which were "
                    "not signed: %s",
                    name);
            return SIGV4_UNSIGNED_HEADER;
        }
    }
    return SIGV4_OK;
}

static enum sigv4_status check_time(const struct sigv4_auth *a, uint64_t now_ms,
                                    struct err *err)
{
    char day[TEXT_TIME_MAX];

    text_basic8601(a->time_ms, day);
    if (strncmp(day, a->date, 8) != 0) {
        err_set(err, 0,
                "the date of the credential scope, %s, is not that of the "
                "request, %.8s",
                a->date, day);
        return SIGV4_MALFORMED;
    }
    if (a->presigned) {
        if (a->time_ms > now_ms + SIGV4_SKEW_MAX_MS) {
            err_set(err, 0, "Request is not valid yet");
            return SIGV4_NOT_YET;
        }
        if (now_ms > a->time_ms + a->expires_ms) {
            err_set(err, 0, "Request has expired");
            return SIGV4_EXPIRED;
        }
        return SIGV4_OK;
    }
    if (a->time_ms > now_ms + SIGV4_SKEW_MAX_MS ||
        a->time_ms + SIGV4_SKEW_MAX_MS < now_ms) {
        err_set(err, 0,
                "The difference between the request time and the server's "
                "time is too large.");
        return SIGV4_SKEWED;
    }
    return SIGV4_OK;
}

enum sigv4_status sigv4_verify(const struct sigv4_request *r,
                               const struct sigv4_auth *auth,
                               const char *region,
                               const uint8_t signing_key[32], uint64_t now_ms,
                               struct err *err)
{
    char time[TEXT_TIME_MAX], hash[65], want[65];
    enum sigv4_status s;

    if (strcmp(auth->region, region) != 0) {
        err_set(err, 0, "%s; the region '%s' is wrong; expecting '%s'",
                auth->presigned ? "Error parsing the X-Amz-Credential parameter"
                                : "The authorization header is malformed",
                auth->region, region);
        return SIGV4_BAD_REGION;
    }
    s = check_time(auth, now_ms, err);
    if (s == SIGV4_OK) {
        s = check_signed(r, auth, err);
    }
    if (s != SIGV4_OK) {
        return s;
    }
    canonical_hash(r, auth->signed_headers,
                   auth->payload_not_signed ? UNSIGNED : auth->payload_text,
                   hash);
    sign_hash(signing_key, text_basic8601(auth->time_ms, time), auth->date,
              auth->region, auth->service, hash, want);
    if (mem_diff(want, auth->signature, SIGV4_SIGNATURE_HEX) != 0) {
        err_set(err, 0, "the signature does not match");
        return SIGV4_MISMATCH;
    }
    return SIGV4_OK;
}

/* ---- keys ---- */

void sigv4_signing_key(const char *secret, const char *date, const char *region,
                       const char *service, uint8_t out[32])
{
    char *first = mem_printf("AWS4%s", secret);
    uint8_t key[32];

    hmac_sha256(first, strlen(first), date, strlen(date), key);
    hmac_sha256(key, 32, region, strlen(region), key);
    hmac_sha256(key, 32, service, strlen(service), key);
    hmac_sha256(key, 32, "aws4_request", 12, out);
    mem_wipe(first, strlen(first));
    mem_wipe(key, sizeof key);
    free(first);
}

#define KEYS_MAX 64
#define SECRET_MAX 128 /* longer ones are not kept */

struct key_entry {
    char access_key[SIGV4_ACCESS_KEY_MAX + 1];
    char secret[SECRET_MAX + 1]; /* a user may get a new one */
    char date[9];
    char region[64];
    char service[16];
    uint8_t key[32];
};

struct sigv4_keys {
    pthread_mutex_t mutex;
    struct key_entry entries[KEYS_MAX];
    unsigned count; /* entries in use */
    unsigned next;  /* to be replaced */
};

struct sigv4_keys *sigv4_keys_new(void)
{
    struct sigv4_keys *k = mem_alloc(sizeof *k);

    CHECK(pthread_mutex_init(&k->mutex, NULL) == 0);
    return k;
}

void sigv4_keys_free(struct sigv4_keys *k)
{
    if (k == NULL) {
        return;
    }
    pthread_mutex_destroy(&k->mutex);
    mem_wipe(k, sizeof *k);
    free(k);
}

static bool fits(const struct key_entry *e, const char *access_key,
                 const char *secret, const char *date, const char *region,
                 const char *service)
{
    return strlen(access_key) < sizeof e->access_key &&
           strlen(secret) < sizeof e->secret && strlen(date) < sizeof e->date &&
           strlen(region) < sizeof e->region &&
           strlen(service) < sizeof e->service;
}

void sigv4_keys_get(struct sigv4_keys *k, const char *access_key,
                    const char *secret, const char *date, const char *region,
                    const char *service, uint8_t out[32])
{
    struct key_entry *e = NULL;

    if (!fits(k->entries, access_key, secret, date, region, service)) {
        sigv4_signing_key(secret, date, region, service, out);
        return;
    }
    pthread_mutex_lock(&k->mutex);
    for (unsigned i = 0; i < k->count && e == NULL; i++) {
        struct key_entry *x = &k->entries[i];
        if (strcmp(x->access_key, access_key) == 0 &&
            strcmp(x->date, date) == 0 && strcmp(x->region, region) == 0 &&
            strcmp(x->service, service) == 0 &&
            strcmp(x->secret, secret) == 0) {
            e = x;
        }
    }
    if (e == NULL) {
        e = &k->entries[k->next++ % KEYS_MAX];
        k->count += k->count < KEYS_MAX;
        strcpy(e->access_key, access_key);
        strcpy(e->secret, secret);
        strcpy(e->date, date);
        strcpy(e->region, region);
        strcpy(e->service, service);
        sigv4_signing_key(secret, date, region, service, e->key);
    }
    memcpy(out, e->key, 32);
    pthread_mutex_unlock(&k->mutex);
}

/* ---- chunks ---- */

static void chain(const struct sigv4_auth *auth, const uint8_t key[32],
                  const char *algorithm, char previous[65], const char *middle,
                  const uint8_t sha256[32])
{
    char time[TEXT_TIME_MAX], hex[65], text[640];
    uint8_t mac[32];
    int len = snprintf(
        text, sizeof text, "%s\n%s\n%s/%s/%s/aws4_request\n%s\n%s%s", algorithm,
        text_basic8601(auth->time_ms, time), auth->date, auth->region,
        auth->service, previous, middle, text_hex(sha256, 32, hex));

    CHECK(len > 0 && (size_t)len < sizeof text);
    hmac_sha256(key, 32, text, (size_t)len, mac);
    text_hex(mac, 32, previous);
}

void sigv4_chunk_signature(const struct sigv4_auth *auth,
                           const uint8_t signing_key[32],
                           char previous[SIGV4_SIGNATURE_HEX + 1],
                           const uint8_t chunk_sha256[32])
{
    chain(auth, signing_key, "AWS4-HMAC-SHA256-PAYLOAD", previous,
          EMPTY_SHA256 "\n", chunk_sha256);
}

void sigv4_trailer_signature(const struct sigv4_auth *auth,
                             const uint8_t signing_key[32],
                             char previous[SIGV4_SIGNATURE_HEX + 1],
                             const void *trailer, size_t len)
{
    uint8_t sum[DIGEST_MAX];

    digest_of(DIGEST_SHA256, trailer, len, sum);
    chain(auth, signing_key, "AWS4-HMAC-SHA256-TRAILER", previous, "", sum);
}

/* ---- client side ---- */

static int compare_names(const void *a, const void *b)
{
    return strcasecmp(*(const char *const *)a, *(const char *const *)b);
}

/* All header names, lower case, sorted, once each, joined by ';'. */
static void name_headers(const struct sigv4_request *r, struct buf *out)
{
    const char **names = mem_calloc(r->header_count, sizeof *names);

    for (size_t i = 0; i < r->header_count; i++) {
        names[i] = r->headers[i].name;
    }
    qsort(names, r->header_count, sizeof *names, compare_names);
    buf_str(out, "");
    for (size_t i = 0; i < r->header_count; i++) {
        if (i > 0 && strcasecmp(names[i], names[i - 1]) == 0) {
            continue;
        }
        if (i > 0) {
            buf_char(out, ';');
        }
        for (const char *p = names[i]; *p != '\0'; p++) {
            buf_char(out, (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p));
        }
    }
    free(names);
}

void sigv4_sign(const struct sigv4_request *r, const char *access_key,
                const char *secret, const char *region, uint64_t time_ms,
                struct buf *out)
{
    const char *payload = r->body_sha256 != NULL
                              ? r->body_sha256
                              : find_fields(r).values[CONTENT_SHA256];
    const char *service = service_of(r);
    char time[TEXT_TIME_MAX], date[9], hash[65], signature[65];
    struct buf names = {0};
    uint8_t key[32];

    CHECK(payload != NULL);
    text_basic8601(time_ms, time);
    snprintf(date, sizeof date, "%.8s", time);
    name_headers(r, &names);
    sigv4_signing_key(secret, date, region, service, key);
    canonical_hash(r, (char *)names.data, payload, hash);
    sign_hash(key, time, date, region, service, hash, signature);
    buf_printf(out,
               ALGORITHM
               " Credential=%s/%s/%s/%s/aws4_request, "
               "SignedHeaders=%s, Signature=%s",
               access_key, date, region, service, (char *)names.data,
               signature);
    mem_wipe(key, sizeof key);
    buf_free(&names);
}

void sigv4_presign(const struct sigv4_request *r, const char *access_key,
                   const char *secret, const char *region, uint64_t time_ms,
                   uint64_t expires_s, struct buf *out)
{
    char time[TEXT_TIME_MAX], date[9], hash[65], signature[65];
    struct buf query = {0};
    struct sigv4_request q = *r;
    uint8_t key[32];

    text_basic8601(time_ms, time);
    snprintf(date, sizeof date, "%.8s", time);
    if (r->query[0] != '\0') {
        buf_printf(&query, "%s&", r->query);
    }
    buf_str(&query, "X-Amz-Algorithm=" ALGORITHM "&X-Amz-Credential=");
    text_uri_encode(&query, access_key, strlen(access_key), false);
    buf_printf(&query,
               "%%2F%s%%2F%s%%2Fs3%%2Faws4_request&X-Amz-Date=%s"
               "&X-Amz-Expires=%llu&X-Amz-SignedHeaders=host",
               date, region, time, (unsigned long long)expires_s);
    q.query = (const char *)query.data;
    sigv4_signing_key(secret, date, region, "s3", key);
    canonical_hash(&q, "host", UNSIGNED, hash);
    sign_hash(key, time, date, region, "s3", hash, signature);
    buf_append(out, query.data, query.len);
    buf_printf(out, "&X-Amz-Signature=%s", signature);
    mem_wipe(key, sizeof key);
    buf_free(&query);
}
