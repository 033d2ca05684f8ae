#include "gateway/s3_lifecycle_read.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "gateway/s3_config.h"
#include "gateway/s3_tree.h"

#define DAY_MS ((uint64_t)86400000)
#define NEWER_NONCURRENT_MAX 100 /* AWS */
#define DAYS_MAX INT32_MAX

static enum s3_error refuse(struct err *err, enum s3_error e, const char *what)
{
    err_set(err, ERR_BAD_INPUT, "%s", what);
    return e;
}

/* ---- numbers and dates ---- */

/* Days of an action; a number that is not positive has words of its own. */
static enum s3_error take_days(const struct s3_node *parent, const char *name,
                               const char *action, uint32_t *out,
                               struct err *err)
{
    const struct s3_node *n = s3_node_child(parent, name);
    char *word = NULL;
    uint64_t v = 0;
    bool negative;

    if (n == NULL) {
        return S3_OK;
    }
    if (s3_node_word(n, &word, err) != 0) {
        return s3_config_malformed(err);
    }
    negative = word[0] == '-' && text_u64(word + 1, &v);
    if (!negative && (!text_u64(word, &v) || v > DAYS_MAX)) {
        free(word);
        return s3_config_malformed(err);
    }
    free(word);
    if (negative || v == 0) {
        err_set(err, ERR_BAD_INPUT,
                "'%s' for %s action must be a positive integer", name, action);
        return S3_InvalidArgument;
    }
    *out = (uint32_t)v;
    return S3_OK;
}

/* 2026-11-23T00:00:00.000Z or 2026-11-23. */
static enum s3_error take_date(const struct s3_node *n, uint64_t *out,
                               struct err *err)
{
    char *word = NULL;
    char *full;
    bool ok;

    if (s3_node_word(n, &word, err) != 0) {
        return s3_config_malformed(err);
    }
    full = strlen(word) == 10 ? mem_printf("%sT00:00:00Z", word)
                              : mem_strdup(word);
    ok = text_parse_iso8601(full, out);
    free(full);
    free(word);
    if (!ok) {
        return s3_config_malformed(err);
    }
    return *out % DAY_MS == 0 ? S3_OK
                              : refuse(err, S3_InvalidArgument,
                                       "'Date' must be at midnight GMT");
}

static enum s3_error take_size(const struct s3_node *parent, const char *name,
                               bool *has, uint64_t *out, struct err *err)
{
    const struct s3_node *n = s3_node_child(parent, name);

    *has = n != NULL;
    return n == NULL || s3_node_u64(n, out, err) == 0
               ? S3_OK
               : s3_config_malformed(err);
}

/* ---- filters ---- */

static enum s3_error take_prefix(const struct s3_node *n,
                                 struct s3_lifecycle_rule *r, struct err *err)
{
    const char *text = "";

    if (s3_node_text(n, &text, err) != 0) {
        return s3_config_malformed(err);
    }
    if (strlen(text) > META_KEY_MAX) {
        return refuse(err, S3_InvalidRequest,
                      "The maximum size of a prefix is 1024.");
    }
    r->prefix = mem_strdup(text);
    return S3_OK;
}

static enum s3_error take_tags(const struct s3_node *parent,
                               struct s3_lifecycle_rule *r, struct err *err)
{
    const struct s3_node *n = s3_node_child(parent, "Tag");

    for (; n != NULL; n = s3_node_again(n)) {
        struct s3_tag tag;
        enum s3_error e = s3_tag_read(n, &tag, err);
        if (e != S3_OK) {
            return e;
        }
        if (s3_tags_value(&r->tags, tag.key) != NULL) {
            free(tag.key);
            free(tag.value);
            return refuse(err, S3_InvalidRequest,
                          "Duplicate Tag Keys are not allowed.");
        }
        r->tags.list = mem_realloc(
            r->tags.list, (r->tags.count + 1) * sizeof r->tags.list[0]);
        r->tags.list[r->tags.count++] = tag;
    }
    return S3_OK;
}

/* What stands in <Filter>, or in its <And>. */
static enum s3_error take_predicates(const struct s3_node *n,
                                     struct s3_lifecycle_rule *r,
                                     struct err *err)
{
    const struct s3_node *prefix = s3_node_child(n, "Prefix");
    enum s3_error e = prefix != NULL ? take_prefix(prefix, r, err) : S3_OK;

    if (e == S3_OK) {
        e = take_tags(n, r, err);
    }
    if (e == S3_OK) {
        e = take_size(n, "ObjectSizeGreaterThan", &r->has_greater,
                      &r->greater_than, err);
    }
    if (e == S3_OK) {
        e = take_size(n, "ObjectSizeLessThan", &r->has_less, &r->less_than,
                      err);
    }
    if (e == S3_OK && r->has_greater && r->has_less &&
        r->less_than <= r->greater_than) {
        return refuse(err, S3_InvalidRequest,
                      "'ObjectSizeLessThan' has to be a value greater than "
                      "'ObjectSizeGreaterThan'.");
    }
    return e;
}

static enum s3_error take_filter(const struct s3_node *n,
                                 struct s3_lifecycle_rule *r, struct err *err)
{
    static const char *const in_filter[] = {
        "Prefix", "Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan",
        "And",    NULL};
    static const char *const in_and[] = {
        "Prefix", "*Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan", NULL};
    const struct s3_node *both = s3_node_child(n, "And");

    if (s3_node_check(n, in_filter, err) != 0 || n->children > 1) {
        return s3_config_malformed(err);
    }
    if (both == NULL) {
        return take_predicates(n, r, err);
    }
    if (s3_node_check(both, in_and, err) != 0 || both->children < 2) {
        return s3_config_malformed(err);
    }
    return take_predicates(both, r, err);
}

/* ---- actions ---- */

static enum s3_error take_expiration(const struct s3_node *n,
                                     struct s3_lifecycle_rule *r,
                                     struct err *err)
{
    static const char *const names[] = {"Days", "Date",
                                        "ExpiredObjectDeleteMarker", NULL};
    const struct s3_node *date = s3_node_child(n, "Date");
    const struct s3_node *marker =
        s3_node_child(n, "ExpiredObjectDeleteMarker");
    enum s3_error e;

    if (s3_node_check(n, names, err) != 0 || n->children != 1) {
        return s3_config_malformed(err);
    }
    e = take_days(n, "Days", "Expiration", &r->days, err);
    if (e == S3_OK && date != NULL) {
        r->has_date = true;
        e = take_date(date, &r->date_ms, err);
    }
    if (e == S3_OK && marker != NULL) {
        r->has_expired_marker = true;
        if (s3_node_bool(marker, &r->expired_marker, err) != 0) {
            e = s3_config_malformed(err);
        }
    }
    if (e == S3_OK && marker != NULL && r->tags.count > 0) {
        e = refuse(err, S3_InvalidRequest,
                   "ExpiredObjectDeleteMarker cannot be specified with Tags.");
    }
    return e;
}

static enum s3_error take_noncurrent(const struct s3_node *n,
                                     struct s3_lifecycle_rule *r,
                                     struct err *err)
{
    static const char *const names[] = {"!NoncurrentDays",
                                        "NewerNoncurrentVersions", NULL};
    enum s3_error e;

    if (s3_node_check(n, names, err) != 0) {
        return s3_config_malformed(err);
    }
    e = take_days(n, "NoncurrentDays", "NoncurrentVersionExpiration",
                  &r->noncurrent_days, err);
    if (e == S3_OK) {
        e = take_days(n, "NewerNoncurrentVersions",
                      "NoncurrentVersionExpiration", &r->newer_noncurrent, err);
    }
    if (e == S3_OK && r->newer_noncurrent > NEWER_NONCURRENT_MAX) {
        e = refuse(err, S3_InvalidArgument,
                   "'NewerNoncurrentVersions' is at most 100");
    }
    return e;
}

static enum s3_error take_abort(const struct s3_node *n,
                                struct s3_lifecycle_rule *r, struct err *err)
{
    static const char *const names[] = {"!DaysAfterInitiation", NULL};

    if (s3_node_check(n, names, err) != 0) {
        return s3_config_malformed(err);
    }
    if (r->tags.count > 0) {
        return refuse(err, S3_InvalidRequest,
                      "AbortIncompleteMultipartUpload cannot be specified "
                      "with Tags.");
    }
    if (r->has_greater || r->has_less) {
        return refuse(err, S3_InvalidRequest,
                      "AbortIncompleteMultipartUpload cannot be specified "
                      "with Object Size.");
    }
    return take_days(n, "DaysAfterInitiation", "AbortIncompleteMultipartUpload",
                     &r->abort_days, err);
}

static enum s3_error take_actions(const struct s3_node *n,
                                  struct s3_lifecycle_rule *r, struct err *err)
{
    static const struct {
        const char *name;
        enum s3_error (*take)(const struct s3_node *n,
                              struct s3_lifecycle_rule *r, struct err *err);
    } rows[] = {{"Expiration", take_expiration},
                {"NoncurrentVersionExpiration", take_noncurrent},
                {"AbortIncompleteMultipartUpload", take_abort}};
    size_t actions = 0;

    if (s3_node_child(n, "Transition") != NULL ||
        s3_node_child(n, "NoncurrentVersionTransition") != NULL) {
        return refuse(err, S3_NotImplemented,
                      "Transitions are not implemented: there is one storage "
                      "class");
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct s3_node *action = s3_node_child(n, rows[i].name);
        enum s3_error e = action != NULL ? rows[i].take(action, r, err) : S3_OK;
        if (e != S3_OK) {
            return e;
        }
        actions += action != NULL;
    }
    return actions > 0 ? S3_OK
                       : refuse(err, S3_InvalidRequest,
                                "At least one action needs to be specified in "
                                "a rule.");
}

/* ---- rules ---- */

static enum s3_error take_head(const struct s3_node *n,
                               struct s3_lifecycle_rule *r, struct err *err)
{
    static const char *const names[] = {"ID",
                                        "!Status",
                                        "Prefix",
                                        "Filter",
                                        "Expiration",
                                        "NoncurrentVersionExpiration",
                                        "AbortIncompleteMultipartUpload",
                                        "*Transition",
                                        "*NoncurrentVersionTransition",
                                        NULL};
    const struct s3_node *id = s3_node_child(n, "ID");
    const char *text = "";

    if (s3_node_check(n, names, err) != 0 ||
        s3_node_text(s3_node_child(n, "Status"), &text, err) != 0) {
        return s3_config_malformed(err);
    }
    r->enabled = strcmp(text, "Enabled") == 0;
    if (!r->enabled && strcmp(text, "Disabled") != 0) {
        return s3_config_malformed(err);
    }
    text = "";
    if (id != NULL && s3_node_text(id, &text, err) != 0) {
        return s3_config_malformed(err);
    }
    if (strlen(text) > S3_LIFECYCLE_ID_MAX) {
        return refuse(err, S3_InvalidArgument,
                      "ID length should not exceed allowed limit of 255");
    }
    r->id = text[0] != '\0' ? mem_strdup(text) : NULL;
    return S3_OK;
}

static enum s3_error take_rule(const struct s3_node *n,
                               struct s3_lifecycle_rule *r, struct err *err)
{
    const struct s3_node *prefix = s3_node_child(n, "Prefix");
    const struct s3_node *filter = s3_node_child(n, "Filter");
    enum s3_error e = take_head(n, r, err);

    if (e != S3_OK) {
        return e;
    }
    if ((prefix != NULL) == (filter != NULL)) {
        return s3_config_malformed(err);
    }
    r->old_form = prefix != NULL;
    e = prefix != NULL ? take_prefix(prefix, r, err)
                       : take_filter(filter, r, err);
    return e == S3_OK ? take_actions(n, r, err) : e;
}

static enum s3_error take_rules(const struct s3_node *root,
                                struct s3_lifecycle *out, struct err *err)
{
    static const char *const names[] = {"*!Rule", NULL};
    const struct s3_node *n = s3_node_child(root, "Rule");
    enum s3_error e = S3_OK;

    if (s3_node_check(root, names, err) != 0) {
        return s3_config_malformed(err);
    }
    if (root->children > S3_LIFECYCLE_RULES_MAX) {
        return refuse(err, S3_InvalidRequest,
                      "The number of lifecycle rules must not exceed the "
                      "allowed limit of 1000 rules");
    }
    out->rules = mem_calloc(root->children, sizeof out->rules[0]);
    for (; n != NULL && e == S3_OK; n = s3_node_again(n)) {
        e = take_rule(n, &out->rules[out->count++], err);
    }
    return e;
}

enum s3_error s3_lifecycle_take(const void *p, size_t len,
                                struct s3_lifecycle *out, struct err *err)
{
    struct s3_node *root;
    enum s3_error e;

    if (s3_tree_read(p, len, "LifecycleConfiguration", &root, err) != 0) {
        return s3_config_malformed(err);
    }
    e = take_rules(root, out, err);
    s3_tree_free(root);
    return e;
}
