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
#include "crypto/digest.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define UNSIGNED "UNSIGNED-PAYLOAD"
#define EMPTY_SHA256 \
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define PARAMS_MAX 128
#define SIGNED_HEADERS_MAX 128

/* ---- looking things up ---- */

static const char *header(const struct sigv4_request *r, const char *name)
{
    for (size_t i = 0; i < r->header_count; i++) {
        if (strcasecmp(r->headers[i].name, name) == 0) {
            return r->headers[i].value;
        }
    }
    return NULL;
}

/* A raw query parameter: name and value as sent. */
struct param {
    const char *name;
    size_t name_len;
    const char *value;
    size_t value_len;
};

static bool next_param(const char **p, struct param *out)
{
    const char *at = *p;
    size_t len;

    while (*at == '&') {
        at++;
    }
    if (*at == '\0') {
        *p = at;
        return false;
    }
    len = strcspn(at, "&");
    out->name = at;
    out->name_len = strcspn(at, "=&");
    if (out->name_len < len) {
        out->value = at + out->name_len + 1;
        out->value_len = len - out->name_len - 1;
    } else {
        out->value = at + len;
        out->value_len = 0;
    }
    *p = at + len;
    return true;
}

/* The decoded value of @name appended to @out; false when missing or badly
 * escaped. */
static bool param(const struct sigv4_request *r, const char *name,
                  struct buf *out)
{
    const char *p = r->query;
    struct param q;

    while (next_param(&p, &q)) {
        if (q.name_len == strlen(name) &&
            strncmp(q.name, name, q.name_len) == 0) {
            buf_reserve(out, q.value_len);
            return text_uri_decode(out, q.value, q.value_len);
        }
    }
    return false;
}

static bool has_param(const struct sigv4_request *r, const char *name)
{
    struct buf b = {0};
    bool found = param(r, name, &b);

    buf_free(&b);
    return found;
}

/* ---- parsing ---- */

static bool copy_text(char *out, size_t size, const char *p, size_t len)
{
    if (len == 0 || len >= size) {
        return false;
    }
    memcpy(out, p, len);
    out[len] = '\0';
    return true;
}

/* ACCESS/20261123/us-east-1/s3/aws4_request, from the right: an access key may
 * hold slashes. */
static enum sigv4_status parse_credential(const char *p, size_t len,
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
    if (strcmp(a->service, "s3") != 0) {
        err_set(err, 0, "Credential names the service %s, not s3", a->service);
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

static bool set_signature(struct sigv4_auth *a, const char *p, size_t len)
{
    uint8_t raw[32];

    return len == SIGV4_SIGNATURE_HEX && text_unhex(p, len, raw, 32) &&
           copy_text(a->signature, sizeof a->signature, p, len);
}

/* Authorization: AWS4-HMAC-SHA256 Credential=..., SignedHeaders=...,
 * Signature=..., in any order, with or without blanks. */
static enum sigv4_status parse_fields(const char *p, struct sigv4_auth *a,
                                      struct err *err)
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
            enum sigv4_status s = parse_credential(p + 11, len - 11, a, err);
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

static enum sigv4_status parse_header_form(const struct sigv4_request *r,
                                           const char *authorization,
                                           struct sigv4_auth *a,
                                           struct err *err)
{
    const char *date = header(r, "x-amz-date");
    const char *payload = header(r, "x-amz-content-sha256");
    enum sigv4_status s;

    if (strncmp(authorization, ALGORITHM, strlen(ALGORITHM)) != 0 ||
        strspn(authorization + strlen(ALGORITHM), " \t") == 0) {
        err_set(err, 0, "Authorization must begin with " ALGORITHM);
        return SIGV4_MALFORMED;
    }
    s = parse_fields(authorization, a, err);
    if (s != SIGV4_OK) {
        return s;
    }
    if (date == NULL) {
        date = header(r, "date");
    }
    if (date == NULL || (!text_parse_basic8601(date, &a->time_ms) &&
                         !text_parse_http_date(date, &a->time_ms))) {
        err_set(err, 0, "x-amz-date or Date is missing or is not a date");
        return SIGV4_BAD_DATE;
    }
    if (payload == NULL) {
        err_set(err, 0, "x-amz-content-sha256 is missing");
        return SIGV4_BAD_PAYLOAD;
    }
    return parse_payload(payload, a, err);
}

static enum sigv4_status parse_query_form(const struct sigv4_request *r,
                                          struct sigv4_auth *a, struct err *err)
{
    struct buf b = {0};
    enum sigv4_status s = SIGV4_MALFORMED;
    uint64_t expires;
    const char *payload = header(r, "x-amz-content-sha256");

    a->presigned = true;
    if (!param(r, "X-Amz-Algorithm", &b) ||
        strcmp((char *)b.data, ALGORITHM) != 0) {
        err_set(err, 0, "X-Amz-Algorithm must be " ALGORITHM);
        goto out;
    }
    buf_clear(&b);
    if (!param(r, "X-Amz-Credential", &b)) {
        err_set(err, 0, "X-Amz-Credential is missing");
        goto out;
    }
    s = parse_credential((char *)b.data, b.len, a, err);
    if (s != SIGV4_OK) {
        goto out;
    }
    s = SIGV4_MALFORMED;
    buf_clear(&b);
    if (!param(r, "X-Amz-SignedHeaders", &b) ||
        !copy_text(a->signed_headers, sizeof a->signed_headers, (char *)b.data,
                   b.len)) {
        err_set(err, 0, "X-Amz-SignedHeaders is missing or too long");
        goto out;
    }
    buf_clear(&b);
    if (!param(r, "X-Amz-Signature", &b) ||
        !set_signature(a, (char *)b.data, b.len)) {
        err_set(err, 0, "X-Amz-Signature must be 64 hex digits");
        goto out;
    }
    buf_clear(&b);
    if (!param(r, "X-Amz-Date", &b) ||
        !text_parse_basic8601((char *)b.data, &a->time_ms)) {
        err_set(err, 0, "X-Amz-Date must be in the form 20261123T010203Z");
        goto out;
    }
    buf_clear(&b);
    if (!param(r, "X-Amz-Expires", &b) || !text_u64((char *)b.data, &expires) ||
        expires < 1 || expires > SIGV4_EXPIRES_MAX_S) {
        err_set(err, 0, "X-Amz-Expires must be 1 to %d seconds",
                SIGV4_EXPIRES_MAX_S);
        goto out;
    }
    a->expires_ms = expires * 1000;
    buf_clear(&b);
    if (param(r, "X-Amz-Content-Sha256", &b)) {
        payload = (char *)b.data;
    }
    s = parse_payload(payload != NULL ? payload : UNSIGNED, a, err);
out:
    buf_free(&b);
    return s;
}

enum sigv4_status sigv4_parse(const struct sigv4_request *r,
                              struct sigv4_auth *out, struct err *err)
{
    const char *authorization = header(r, "authorization");
    bool query = has_param(r, "X-Amz-Signature") ||
                 has_param(r, "X-Amz-Algorithm") ||
                 has_param(r, "X-Amz-Credential");

    memset(out, 0, sizeof *out);
    if (authorization != NULL && query) {
        err_set(err, 0,
                "a signature in the query and an Authorization header; send "
                "one");
        return SIGV4_MALFORMED;
    }
    if (query) {
        return parse_query_form(r, out, err);
    }
    if (authorization == NULL) {
        err_set(err, 0, "the request is not signed");
        return SIGV4_ANONYMOUS;
    }
    return parse_header_form(r, authorization, out, err);
}

/* ---- canonical request ---- */

static void canonical_path(struct buf *out, const char *path)
{
    struct buf decoded = {0};

    buf_reserve(&decoded, strlen(path));
    if (path[0] == '\0') {
        buf_char(out, '/');
    } else if (text_uri_decode(&decoded, path, strlen(path))) {
        text_uri_encode(out, decoded.data, decoded.len, true);
    } else {
        buf_str(out, path);
    }
    buf_free(&decoded);
}

/* One parameter, decoded once and encoded once; offsets into a buf. */
struct canonical_param {
    const char *text; /* "name=value" */
    size_t name_len;
    size_t len;
};

static int compare_params(const void *a, const void *b)
{
    const struct canonical_param *x = a;
    const struct canonical_param *y = b;
    size_t n = x->name_len < y->name_len ? x->name_len : y->name_len;
    int c = memcmp(x->text, y->text, n);

    if (c != 0 || x->name_len != y->name_len) {
        return c != 0 ? c : x->name_len < y->name_len ? -1 : 1;
    }
    n = x->len < y->len ? x->len : y->len;
    c = memcmp(x->text, y->text, n);
    return c != 0 ? c : x->len < y->len ? -1 : x->len > y->len;
}

static void encode_piece(struct buf *out, const char *p, size_t len)
{
    struct buf decoded = {0};

    buf_reserve(&decoded, len);
    if (text_uri_decode(&decoded, p, len)) {
        text_uri_encode(out, decoded.data, decoded.len, false);
    } else {
        buf_append(out, p, len);
    }
    buf_free(&decoded);
}

/* False when there are too many parameters. */
static bool canonical_query(struct buf *out, const char *query)
{
    struct canonical_param list[PARAMS_MAX];
    size_t starts[PARAMS_MAX];
    struct buf all = {0};
    struct param q;
    size_t count = 0;

    while (next_param(&query, &q)) {
        if (q.name_len == 15 && memcmp(q.name, "X-Amz-Signature", 15) == 0) {
            continue;
        }
        if (count == PARAMS_MAX) {
            buf_free(&all);
            return false;
        }
        starts[count] = all.len;
        encode_piece(&all, q.name, q.name_len);
        list[count].name_len = all.len - starts[count];
        buf_char(&all, '=');
        encode_piece(&all, q.value, q.value_len);
        list[count].len = all.len - starts[count];
        count++;
    }
    for (size_t i = 0; i < count; i++) {
        list[i].text = (const char *)all.data + starts[i];
    }
    qsort(list, count, sizeof list[0], compare_params);
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            buf_char(out, '&');
        }
        buf_append(out, list[i].text, list[i].len);
    }
    buf_free(&all);
    return true;
}

/* A value without outer blanks and with inner runs of blanks folded. */
static void canonical_value(struct buf *out, const char *v)
{
    size_t len;

    v += strspn(v, " \t");
    len = strlen(v);
    while (len > 0 && (v[len - 1] == ' ' || v[len - 1] == '\t')) {
        len--;
    }
    for (size_t i = 0; i < len; i++) {
        if (v[i] == ' ' && i > 0 && v[i - 1] == ' ') {
            continue;
        }
        buf_char(out, v[i]);
    }
}

/* "name:value[,value]\n" for one signed header; false when it is not there. */
static bool canonical_header(struct buf *out, const struct sigv4_request *r,
                             const char *name, size_t len)
{
    bool found = false;

    buf_append(out, name, len);
    buf_char(out, ':');
    for (size_t i = 0; i < r->header_count; i++) {
        if (strncasecmp(r->headers[i].name, name, len) == 0 &&
            r->headers[i].name[len] == '\0') {
            if (found) {
                buf_char(out, ',');
            }
            canonical_value(out, r->headers[i].value);
            found = true;
        }
    }
    buf_char(out, '\n');
    return found;
}

static void canonical_headers(struct buf *out, const struct sigv4_request *r,
                              const char *names)
{
    while (*names != '\0') {
        size_t len = strcspn(names, ";");
        canonical_header(out, r, names, len);
        names += len;
        names += *names == ';';
    }
}

/* Hash of the canonical request, in hex. */
static bool request_hash(const struct sigv4_request *r, const char *names,
                         const char *payload, char hex[65])
{
    struct buf b = {0};
    uint8_t sum[DIGEST_MAX];
    struct digest d;
    bool ok;

    buf_reserve(&b, 1024);
    buf_str(&b, r->method);
    buf_char(&b, '\n');
    canonical_path(&b, r->path);
    buf_char(&b, '\n');
    ok = canonical_query(&b, r->query);
    buf_char(&b, '\n');
    canonical_headers(&b, r, names);
    buf_char(&b, '\n');
    buf_str(&b, names);
    buf_char(&b, '\n');
    buf_str(&b, payload);
    digest_init(&d, DIGEST_SHA256);
    digest_update(&d, b.data, b.len);
    digest_final(&d, sum);
    text_hex(sum, 32, hex);
    buf_free(&b);
    return ok;
}

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
        err_set(err, 0,
                "the authorization header is malformed; the region '%s' is "
                "wrong; expecting '%s'",
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
    if (!request_hash(r, auth->signed_headers, auth->payload_text, hash)) {
        err_set(err, 0, "too many query parameters");
        return SIGV4_MALFORMED;
    }
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

struct key_entry {
    char access_key[SIGV4_ACCESS_KEY_MAX + 1];
    char date[9];
    char region[64];
    char service[16];
    uint8_t key[32];
    bool used;
};

struct sigv4_keys {
    pthread_mutex_t mutex;
    struct key_entry entries[KEYS_MAX];
    unsigned next; /* to be replaced */
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

void sigv4_keys_get(struct sigv4_keys *k, const char *access_key,
                    const char *secret, const char *date, const char *region,
                    const char *service, uint8_t out[32])
{
    struct key_entry *e = NULL;

    pthread_mutex_lock(&k->mutex);
    for (unsigned i = 0; i < KEYS_MAX && e == NULL; i++) {
        struct key_entry *x = &k->entries[i];
        if (x->used && strcmp(x->date, date) == 0 &&
            strcmp(x->access_key, access_key) == 0 &&
            strcmp(x->region, region) == 0 &&
            strcmp(x->service, service) == 0) {
            e = x;
        }
    }
    if (e == NULL) {
        e = &k->entries[k->next++ % KEYS_MAX];
        snprintf(e->access_key, sizeof e->access_key, "%s", access_key);
        snprintf(e->date, sizeof e->date, "%s", date);
        snprintf(e->region, sizeof e->region, "%s", region);
        snprintf(e->service, sizeof e->service, "%s", service);
        sigv4_signing_key(secret, date, region, service, e->key);
        e->used = true;
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
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All header names, lower case, sorted, once each, joined by ';'. */
static void name_headers(const struct sigv4_request *r, struct buf *out)
{
    char *names[SIGNED_HEADERS_MAX];
    size_t count = 0;

    CHECK(r->header_count <= SIGNED_HEADERS_MAX);
    for (size_t i = 0; i < r->header_count; i++) {
        char *name = mem_strdup(r->headers[i].name);
        for (char *p = name; *p != '\0'; p++) {
            *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
        }
        names[count++] = name;
    }
    qsort(names, count, sizeof names[0], compare_names);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(names[i], names[i - 1]) != 0) {
            if (out->len > 0) {
                buf_char(out, ';');
            }
            buf_str(out, names[i]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        free(names[i]);
    }
}

void sigv4_sign(const struct sigv4_request *r, const char *access_key,
                const char *secret, const char *region, uint64_t time_ms,
                struct buf *out)
{
    const char *payload = header(r, "x-amz-content-sha256");
    char time[TEXT_TIME_MAX], date[9], hash[65], signature[65];
    struct buf names = {0};
    uint8_t key[32];

    CHECK(payload != NULL);
    text_basic8601(time_ms, time);
    snprintf(date, sizeof date, "%.8s", time);
    name_headers(r, &names);
    sigv4_signing_key(secret, date, region, "s3", key);
    request_hash(r, (char *)names.data, payload, hash);
    sign_hash(key, time, date, region, "s3", hash, signature);
    buf_printf(out,
               ALGORITHM
               " Credential=%s/%s/%s/s3/aws4_request, "
               "SignedHeaders=%s, Signature=%s",
               access_key, date, region, (char *)names.data, signature);
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
    request_hash(&q, "host", UNSIGNED, hash);
    sign_hash(key, time, date, region, "s3", hash, signature);
    buf_append(out, query.data, query.len);
    buf_printf(out, "&X-Amz-Signature=%s", signature);
    mem_wipe(key, sizeof key);
    buf_free(&query);
}
