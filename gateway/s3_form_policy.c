#include "gateway/s3_form_policy.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "gateway/s3_form.h"

/* ---- JSON, as much as a policy has of it ---- */

struct reader {
    const char *p, *end;
    const char *bucket;
    const struct s3_form_field *fields;
    size_t count;
    bool covered[S3_FORM_FIELDS_MAX];
    bool has_conditions;
    char *expiration;
    struct s3_form_limits limits;
    struct err *err;
};

static enum s3_error invalid(struct reader *r, const char *what)
{
    err_set(r->err, ERR_BAD_INPUT, "Invalid Policy: %s", what);
    return S3_InvalidPolicyDocument;
}

static enum s3_error not_json(struct reader *r)
{
    return invalid(r, "Invalid JSON.");
}

static char peek(struct reader *r)
{
    while (r->p < r->end && strchr(" \t\r\n", *r->p) != NULL) {
        r->p++;
    }
    return r->p < r->end ? *r->p : '\0';
}

static bool take(struct reader *r, char c)
{
    if (peek(r) != c || r->p == r->end) {
        return false;
    }
    r->p++;
    return true;
}

static bool take_hex(struct reader *r, uint32_t *out)
{
    uint8_t raw[2];

    if (r->end - r->p < 4 || !text_unhex(r->p, 4, raw, 2)) {
        return false;
    }
    r->p += 4;
    *out = (uint32_t)raw[0] << 8 | raw[1];
    return true;
}

static void put_utf8(struct buf *b, uint32_t c)
{
    if (c < 0x80) {
        buf_char(b, (char)c);
    } else if (c < 0x800) {
        buf_char(b, (char)(0xc0 | c >> 6));
        buf_char(b, (char)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        buf_char(b, (char)(0xe0 | c >> 12));
        buf_char(b, (char)(0x80 | (c >> 6 & 0x3f)));
        buf_char(b, (char)(0x80 | (c & 0x3f)));
    } else {
        buf_char(b, (char)(0xf0 | c >> 18));
        buf_char(b, (char)(0x80 | (c >> 12 & 0x3f)));
        buf_char(b, (char)(0x80 | (c >> 6 & 0x3f)));
        buf_char(b, (char)(0x80 | (c & 0x3f)));
    }
}

/* Behind a backslash. */
static bool take_escape(struct reader *r, struct buf *out)
{
    static const char from[] = "\"\\/bfnrt$";
    static const char to[] = "\"\\/\b\f\n\r\t$"; /* \$ is of AWS's policies */
    uint32_t c, low;
    const char *at;

    if (r->p == r->end) {
        return false;
    }
    at = *r->p != '\0' ? strchr(from, *r->p) : NULL;
    if (at != NULL) {
        r->p++;
        buf_char(out, to[at - from]);
        return true;
    }
    if (*r->p++ != 'u' || !take_hex(r, &c) || c == 0) {
        return false;
    }
    if (c >= 0xd800 && c < 0xdc00) {
        if (r->end - r->p < 6 || r->p[0] != '\\' || r->p[1] != 'u') {
            return false;
        }
        r->p += 2;
        if (!take_hex(r, &low) || low < 0xdc00 || low > 0xdfff) {
            return false;
        }
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    } else if (c >= 0xdc00 && c <= 0xdfff) {
        return false;
    }
    put_utf8(out, c);
    return true;
}

/* A string (free()), or a number as its text; NULL: neither. */
static char *take_scalar(struct reader *r)
{
    struct buf b = {0};
    size_t len;

    buf_str(&b, "");
    if (!take(r, '"')) {
        while (r->p < r->end && strchr("0123456789", *r->p) != NULL &&
               *r->p != '\0') {
            buf_char(&b, *r->p++);
        }
        if (b.len == 0) {
            goto bad;
        }
        return (char *)buf_take(&b, &len);
    }
    while (r->p < r->end && *r->p != '"') {
        char c = *r->p++;
        if ((unsigned char)c < 0x20) {
            goto bad;
        }
        if (c != '\\') {
            buf_char(&b, c);
        } else if (!take_escape(r, &b)) {
            goto bad;
        }
    }
    if (r->p == r->end) {
        goto bad;
    }
    r->p++;
    return (char *)buf_take(&b, &len);

bad:
    buf_free(&b);
    return NULL;
}

/* ---- conditions ---- */

static const char *value_of(struct reader *r, const char *name)
{
    const char *value = NULL;

    for (size_t i = 0; i < r->count; i++) {
        if (strcasecmp(r->fields[i].name, name) == 0) {
            r->covered[i] = true;
            value = value == NULL ? r->fields[i].value : value;
        }
    }
    return strcasecmp(name, "bucket") == 0 ? r->bucket : value;
}

/* A field that is not there fails, even what "" would fit. */
static enum s3_error judge(struct reader *r, const char *how, const char *name,
                           const char *want)
{
    const char *value = value_of(r, name);
    bool holds =
        value != NULL && (strcmp(how, "eq") == 0 ? strcmp(value, want) == 0
                                                 : text_starts(value, want));

    if (holds) {
        return S3_OK;
    }
    err_set(r->err, ERR_DENIED,
            "Invalid according to Policy: Policy Condition failed: [\"%s\", "
            "\"$%.64s\", \"%.128s\"]",
            how, name, want);
    return S3_AccessDenied;
}

static enum s3_error judge_range(struct reader *r, const char *from,
                                 const char *to)
{
    struct s3_form_limits range;

    if (!text_u64(from, &range.min_bytes) || !text_u64(to, &range.max_bytes)) {
        return invalid(r, "Invalid content-length-range: not numbers");
    }
    if (range.min_bytes > r->limits.min_bytes) {
        r->limits.min_bytes = range.min_bytes;
    }
    if (range.max_bytes < r->limits.max_bytes) {
        r->limits.max_bytes = range.max_bytes;
    }
    return S3_OK;
}

static enum s3_error judge_triple(struct reader *r, char *const t[3])
{
    if (strcasecmp(t[0], "content-length-range") == 0) {
        return judge_range(r, t[1], t[2]);
    }
    if (t[1][0] != '$') {
        return invalid(r, "Invalid Condition: a field begins with $");
    }
    if (strcasecmp(t[0], "eq") == 0) {
        return judge(r, "eq", t[1] + 1, t[2]);
    }
    if (strcasecmp(t[0], "starts-with") == 0) {
        return judge(r, "starts-with", t[1] + 1, t[2]);
    }
    return invalid(r, "Invalid Condition: unknown operation");
}

static enum s3_error read_triple(struct reader *r)
{
    char *t[3] = {NULL, NULL, NULL};
    enum s3_error e = S3_OK;

    for (size_t i = 0; i < 3 && e == S3_OK; i++) {
        if (i > 0 && !take(r, ',')) {
            e = not_json(r);
        } else {
            t[i] = take_scalar(r);
            e = t[i] != NULL ? S3_OK : not_json(r);
        }
    }
    if (e == S3_OK) {
        e = take(r, ']') ? judge_triple(r, t) : not_json(r);
    }
    for (size_t i = 0; i < 3; i++) {
        free(t[i]);
    }
    return e;
}

/* {"name": "value", ...}: each must be equal. */
static enum s3_error read_pairs(struct reader *r)
{
    enum s3_error e = S3_OK;

    if (take(r, '}')) {
        return S3_OK;
    }
    do {
        char *name = take_scalar(r);
        char *value = name != NULL && take(r, ':') ? take_scalar(r) : NULL;
        e = value != NULL ? judge(r, "eq", name, value) : not_json(r);
        free(name);
        free(value);
    } while (e == S3_OK && take(r, ','));
    return e != S3_OK || take(r, '}') ? e : not_json(r);
}

static enum s3_error read_conditions(struct reader *r)
{
    enum s3_error e = S3_OK;

    r->has_conditions = true;
    if (!take(r, '[')) {
        return not_json(r);
    }
    if (take(r, ']')) {
        return S3_OK;
    }
    do {
        if (take(r, '[')) {
            e = read_triple(r);
        } else {
            e = take(r, '{') ? read_pairs(r) : not_json(r);
        }
    } while (e == S3_OK && take(r, ','));
    return e != S3_OK || take(r, ']') ? e : not_json(r);
}

/* ---- the document ---- */

static enum s3_error read_member(struct reader *r, const char *name)
{
    if (!take(r, ':')) {
        return not_json(r);
    }
    if (strcmp(name, "conditions") == 0) {
        return read_conditions(r);
    }
    if (strcmp(name, "expiration") == 0) {
        free(r->expiration);
        r->expiration = take_scalar(r);
        return r->expiration != NULL ? S3_OK : not_json(r);
    }
    err_set(r->err, ERR_BAD_INPUT, "Invalid Policy: Unexpected: '%.64s'.",
            name);
    return S3_InvalidPolicyDocument;
}

static enum s3_error read_document(struct reader *r)
{
    enum s3_error e = S3_OK;

    if (!take(r, '{')) {
        return not_json(r);
    }
    if (!take(r, '}')) {
        do {
            char *name = take_scalar(r);
            e = name != NULL ? read_member(r, name) : not_json(r);
            free(name);
        } while (e == S3_OK && take(r, ','));
        if (e == S3_OK && !take(r, '}')) {
            e = not_json(r);
        }
    }
    if (e == S3_OK && (peek(r) != '\0' || r->p != r->end)) {
        e = not_json(r);
    }
    return e;
}

static bool needs_condition(const char *name)
{
    return strcasecmp(name, "x-amz-signature") != 0 &&
           strcasecmp(name, "policy") != 0 && strcasecmp(name, "file") != 0 &&
           strncasecmp(name, "x-ignore-", 9) != 0;
}

static enum s3_error judge_document(struct reader *r, uint64_t now_ms)
{
    uint64_t expires_ms;

    if (r->expiration == NULL) {
        return invalid(r, "Policy missing expiration.");
    }
    if (!r->has_conditions) {
        return invalid(r, "Policy missing conditions.");
    }
    if (!text_parse_iso8601(r->expiration, &expires_ms)) {
        return invalid(r, "Invalid 'expiration' value.");
    }
    if (expires_ms <= now_ms) {
        err_set(r->err, ERR_DENIED,
                "Invalid according to Policy: Policy expired.");
        return S3_AccessDenied;
    }
    for (size_t i = 0; i < r->count; i++) {
        if (!r->covered[i] && needs_condition(r->fields[i].name)) {
            err_set(r->err, ERR_DENIED,
                    "Invalid according to Policy: Extra input fields: %.64s",
                    r->fields[i].name);
            return S3_AccessDenied;
        }
    }
    return S3_OK;
}

enum s3_error s3_form_policy(const char *json, size_t len, const char *bucket,
                             const struct s3_form_field *fields, size_t count,
                             uint64_t now_ms, struct s3_form_limits *out,
                             struct err *err)
{
    struct reader r = {.p = json,
                       .end = json + len,
                       .bucket = bucket,
                       .fields = fields,
                       .count = count,
                       .limits = {0, UINT64_MAX},
                       .err = err};
    enum s3_error e = text_utf8(json, len) ? read_document(&r) : not_json(&r);

    if (e == S3_OK) {
        e = judge_document(&r, now_ms);
    }
    free(r.expiration);
    if (e == S3_OK) {
        *out = r.limits;
    }
    return e;
}
