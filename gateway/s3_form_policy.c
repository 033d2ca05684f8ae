#include "gateway/s3_form_policy.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "gateway/s3_form.h"
#include "policy/json_tree.h"

struct reader {
    const char *bucket;
    const struct s3_form_field *fields;
    size_t count;
    bool covered[S3_FORM_FIELDS_MAX];
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

static bool is_scalar(const struct json_node *n)
{
    return n->kind == JSON_STRING || n->kind == JSON_NUMBER;
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

static enum s3_error judge_triple(struct reader *r, const char *const t[3])
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

static enum s3_error read_triple(struct reader *r, const struct json_node *n)
{
    const struct json_node *item = n->first;
    const char *t[3];

    if (n->count != 3) {
        return not_json(r);
    }
    for (size_t i = 0; i < 3; i++, item = item->next) {
        if (!is_scalar(item)) {
            return not_json(r);
        }
        t[i] = item->text;
    }
    return judge_triple(r, t);
}

/* {"name": "value", ...}: each must be equal. */
static enum s3_error read_pairs(struct reader *r, const struct json_node *n)
{
    const struct json_node *m = n->first;
    enum s3_error e = S3_OK;

    for (; m != NULL && e == S3_OK; m = m->next) {
        e = is_scalar(m) ? judge(r, "eq", m->name, m->text) : not_json(r);
    }
    return e;
}

static enum s3_error read_conditions(struct reader *r,
                                     const struct json_node *list)
{
    const struct json_node *n = list->first;
    enum s3_error e = list->kind == JSON_ARRAY ? S3_OK : not_json(r);

    for (; n != NULL && e == S3_OK; n = n->next) {
        e = n->kind == JSON_ARRAY    ? read_triple(r, n)
            : n->kind == JSON_OBJECT ? read_pairs(r, n)
                                     : not_json(r);
    }
    return e;
}

/* ---- the document ---- */

static bool needs_condition(const char *name)
{
    return strcasecmp(name, "x-amz-signature") != 0 &&
           strcasecmp(name, "policy") != 0 && strcasecmp(name, "file") != 0 &&
           strncasecmp(name, "x-ignore-", 9) != 0;
}

static enum s3_error judge_expiration(struct reader *r,
                                      const struct json_node *n,
                                      uint64_t now_ms)
{
    uint64_t expires_ms;

    if (!text_parse_iso8601(n->text, &expires_ms)) {
        return invalid(r, "Invalid 'expiration' value.");
    }
    if (expires_ms <= now_ms) {
        err_set(r->err, ERR_DENIED,
                "Invalid according to Policy: Policy expired.");
        return S3_AccessDenied;
    }
    return S3_OK;
}

static enum s3_error judge_document(struct reader *r,
                                    const struct json_node *root,
                                    uint64_t now_ms)
{
    const struct json_node *conditions = json_tree_member(root, "conditions");
    const struct json_node *expiration = json_tree_member(root, "expiration");
    enum s3_error e = root->kind == JSON_OBJECT ? S3_OK : not_json(r);

    for (const struct json_node *m = root->first; m != NULL && e == S3_OK;
         m = m->next) {
        if (m == conditions) {
            e = read_conditions(r, m);
        } else if (m != expiration) {
            err_set(r->err, ERR_BAD_INPUT,
                    "Invalid Policy: Unexpected: '%.64s'.", m->name);
            e = S3_InvalidPolicyDocument;
        }
    }
    if (e == S3_OK && expiration == NULL) {
        e = invalid(r, "Policy missing expiration.");
    }
    if (e == S3_OK && conditions == NULL) {
        e = invalid(r, "Policy missing conditions.");
    }
    if (e == S3_OK) {
        e = judge_expiration(r, expiration, now_ms);
    }
    for (size_t i = 0; i < r->count && e == S3_OK; i++) {
        if (!r->covered[i] && needs_condition(r->fields[i].name)) {
            err_set(r->err, ERR_DENIED,
                    "Invalid according to Policy: Extra input fields: %.64s",
                    r->fields[i].name);
            e = S3_AccessDenied;
        }
    }
    return e;
}

/* AWS's policies may have \$ in a string, which is no JSON: without it. */
static void plain_json(const char *json, size_t len, struct buf *out)
{
    for (size_t i = 0; i < len; i++) {
        bool escape = json[i] == '\\' && i + 1 < len;
        if (escape && json[i + 1] == '$') {
            i++;
        } else if (escape) {
            buf_char(out, json[i++]);
        }
        buf_char(out, json[i]);
    }
}

enum s3_error s3_form_policy(const char *json, size_t len, const char *bucket,
                             const struct s3_form_field *fields, size_t count,
                             uint64_t now_ms, struct s3_form_limits *out,
                             struct err *err)
{
    struct reader r = {.bucket = bucket,
                       .fields = fields,
                       .count = count,
                       .limits = {0, UINT64_MAX},
                       .err = err};
    struct json_tree *tree = NULL;
    struct buf plain = {0};
    enum s3_error e;

    plain_json(json, len, &plain);
    if (json_tree_read(plain.data, plain.len, &tree, NULL) != 0) {
        e = not_json(&r);
    } else {
        e = judge_document(&r, json_tree_root(tree), now_ms);
    }
    json_tree_free(tree);
    buf_free(&plain);
    if (e == S3_OK) {
        *out = r.limits;
    }
    return e;
}
