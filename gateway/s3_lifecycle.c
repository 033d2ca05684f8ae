#include "gateway/s3_lifecycle.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/digest.h"
#include "gateway/s3_config.h"
#include "gateway/s3_lifecycle_read.h"
#include "gateway/s3_xml.h"

#define DAY_MS ((uint64_t)86400000)

void s3_lifecycle_free(struct s3_lifecycle *l)
{
    for (size_t i = 0; i < l->count; i++) {
        free(l->rules[i].id);
        free(l->rules[i].prefix);
        s3_tags_free(&l->rules[i].tags);
    }
    free(l->rules);
    *l = (struct s3_lifecycle){0};
}

/* ---- writing ---- */

static size_t predicates(const struct s3_lifecycle_rule *r)
{
    return (r->prefix != NULL) + r->tags.count + r->has_greater + r->has_less;
}

static void write_predicates(const struct s3_lifecycle_rule *r, struct buf *out)
{
    if (r->prefix != NULL) {
        xml_text(out, "Prefix", r->prefix);
    }
    for (size_t i = 0; i < r->tags.count; i++) {
        xml_open(out, "Tag");
        xml_text(out, "Key", r->tags.list[i].key);
        xml_text(out, "Value", r->tags.list[i].value);
        xml_close(out, "Tag");
    }
    if (r->has_greater) {
        xml_u64(out, "ObjectSizeGreaterThan", r->greater_than);
    }
    if (r->has_less) {
        xml_u64(out, "ObjectSizeLessThan", r->less_than);
    }
}

static void write_filter(const struct s3_lifecycle_rule *r, struct buf *out)
{
    if (r->old_form) {
        xml_text(out, "Prefix", r->prefix);
        return;
    }
    xml_open(out, "Filter");
    if (predicates(r) > 1) {
        xml_open(out, "And");
    }
    write_predicates(r, out);
    if (predicates(r) > 1) {
        xml_close(out, "And");
    }
    xml_close(out, "Filter");
}

static void write_actions(const struct s3_lifecycle_rule *r, struct buf *out)
{
    if (r->days > 0 || r->has_date || r->has_expired_marker) {
        xml_open(out, "Expiration");
        if (r->days > 0) {
            xml_u64(out, "Days", r->days);
        }
        if (r->has_date) {
            xml_time(out, "Date", r->date_ms);
        }
        if (r->has_expired_marker) {
            xml_bool(out, "ExpiredObjectDeleteMarker", r->expired_marker);
        }
        xml_close(out, "Expiration");
    }
    if (r->noncurrent_days > 0) {
        xml_open(out, "NoncurrentVersionExpiration");
        xml_u64(out, "NoncurrentDays", r->noncurrent_days);
        if (r->newer_noncurrent > 0) {
            xml_u64(out, "NewerNoncurrentVersions", r->newer_noncurrent);
        }
        xml_close(out, "NoncurrentVersionExpiration");
    }
    if (r->abort_days > 0) {
        xml_open(out, "AbortIncompleteMultipartUpload");
        xml_u64(out, "DaysAfterInitiation", r->abort_days);
        xml_close(out, "AbortIncompleteMultipartUpload");
    }
}

static void write_rule(const struct s3_lifecycle_rule *r, struct buf *out)
{
    xml_open(out, "Rule");
    xml_text(out, "ID", r->id);
    write_filter(r, out);
    xml_text(out, "Status", r->enabled ? "Enabled" : "Disabled");
    write_actions(r, out);
    xml_close(out, "Rule");
}

void s3_lifecycle_write(const struct s3_lifecycle *l, struct buf *out)
{
    buf_str(out,
            "<LifecycleConfiguration "
            "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; i < l->count; i++) {
        write_rule(&l->rules[i], out);
    }
    xml_close(out, "LifecycleConfiguration");
}

enum s3_error s3_lifecycle_judge(const void *p, size_t len, struct buf *out,
                                 struct err *err)
{
    struct s3_lifecycle l = {0};
    enum s3_error e = s3_lifecycle_read(p, len, &l, err);

    if (e == S3_OK) {
        s3_lifecycle_write(&l, out);
    }
    s3_lifecycle_free(&l);
    return e;
}

/* ---- reading ---- */

/* A name for a rule that has none: the same for the same rule in the same
 * place, so that setting the same document again changes nothing. */
static char *make_id(const struct s3_lifecycle_rule *r, size_t place)
{
    struct s3_lifecycle_rule unnamed = *r;
    uint8_t sum[DIGEST_MAX];
    char hex[2 * DIGEST_MAX + 1];
    struct buf b = {0};

    unnamed.id = (char *)"";
    write_rule(&unnamed, &b);
    buf_printf(&b, "%zu", place);
    digest_of(DIGEST_SHA256, b.data, b.len, sum);
    buf_free(&b);
    return mem_strdup(text_hex(sum, 16, hex));
}

static bool id_taken(const struct s3_lifecycle *l, size_t i)
{
    for (size_t j = 0; j < i; j++) {
        if (strcmp(l->rules[j].id, l->rules[i].id) == 0) {
            return true;
        }
    }
    return false;
}

static enum s3_error name_rules(struct s3_lifecycle *l, struct err *err)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->rules[i].id == NULL) {
            l->rules[i].id = make_id(&l->rules[i], i);
        }
        if (id_taken(l, i)) {
            err_set(err, ERR_BAD_INPUT,
                    "Rule ID must be unique. Found same ID for more than one "
                    "rule");
            return S3_InvalidArgument;
        }
    }
    return S3_OK;
}

enum s3_error s3_lifecycle_read(const void *p, size_t len,
                                struct s3_lifecycle *out, struct err *err)
{
    struct s3_lifecycle l = {0};
    enum s3_error e = s3_lifecycle_take(p, len, &l, err);

    if (e == S3_OK) {
        e = name_rules(&l, err);
    }
    if (e != S3_OK) {
        s3_lifecycle_free(&l);
        return e;
    }
    *out = l;
    return S3_OK;
}

/* ---- asking ---- */

bool s3_lifecycle_needs_tags(const struct s3_lifecycle *l)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->rules[i].enabled && l->rules[i].tags.count > 0) {
            return true;
        }
    }
    return false;
}

static bool key_fits(const struct s3_lifecycle_rule *r, const char *key)
{
    return r->enabled && (r->prefix == NULL || text_starts(key, r->prefix));
}

static bool fits(const struct s3_lifecycle_rule *r,
                 const struct s3_lifecycle_object *o)
{
    if (!key_fits(r, o->key) ||
        (r->has_greater && o->size_bytes <= r->greater_than) ||
        (r->has_less && o->size_bytes >= r->less_than)) {
        return false;
    }
    for (size_t i = 0; i < r->tags.count; i++) {
        const char *value = o->tags != NULL
                                ? s3_tags_value(o->tags, r->tags.list[i].key)
                                : NULL;
        if (value == NULL || strcmp(value, r->tags.list[i].value) != 0) {
            return false;
        }
    }
    return true;
}

static uint64_t days_after(uint64_t time_ms, uint32_t days)
{
    uint64_t day = time_ms / DAY_MS + days + 1;

    return day < UINT64_MAX / DAY_MS ? day * DAY_MS : S3_LIFECYCLE_NEVER;
}

/* Keep the earlier of *@due and @at. */
static void choose(uint64_t *due, uint64_t at,
                   const struct s3_lifecycle_rule *by,
                   const struct s3_lifecycle_rule **rule)
{
    if (at < *due) {
        *due = at;
        if (rule != NULL) {
            *rule = by;
        }
    }
}

uint64_t s3_lifecycle_current(const struct s3_lifecycle *l,
                              const struct s3_lifecycle_object *o,
                              const struct s3_lifecycle_rule **rule)
{
    uint64_t due = S3_LIFECYCLE_NEVER;

    for (size_t i = 0; i < l->count; i++) {
        const struct s3_lifecycle_rule *r = &l->rules[i];
        if ((r->days == 0 && !r->has_date) || !fits(r, o)) {
            continue;
        }
        choose(&due,
               r->has_date ? r->date_ms : days_after(o->modified_ms, r->days),
               r, rule);
    }
    return due;
}

uint64_t s3_lifecycle_noncurrent(const struct s3_lifecycle *l,
                                 const struct s3_lifecycle_object *o,
                                 uint64_t since_ms, size_t newer,
                                 const struct s3_lifecycle_rule **rule)
{
    uint64_t due = S3_LIFECYCLE_NEVER;

    for (size_t i = 0; i < l->count; i++) {
        const struct s3_lifecycle_rule *r = &l->rules[i];
        if (r->noncurrent_days > 0 && newer >= r->newer_noncurrent &&
            fits(r, o)) {
            choose(&due, days_after(since_ms, r->noncurrent_days), r, rule);
        }
    }
    return due;
}

uint64_t s3_lifecycle_marker(const struct s3_lifecycle *l, const char *key,
                             uint64_t modified_ms,
                             const struct s3_lifecycle_rule **rule)
{
    uint64_t due = S3_LIFECYCLE_NEVER;

    for (size_t i = 0; i < l->count; i++) {
        const struct s3_lifecycle_rule *r = &l->rules[i];
        /* A marker has neither tags nor a size. */
        if (!key_fits(r, key) || r->tags.count > 0 || r->has_greater ||
            r->has_less) {
            continue;
        }
        if (r->expired_marker) {
            choose(&due, modified_ms, r, rule);
        } else if (r->has_date) {
            choose(&due, r->date_ms, r, rule);
        } else if (r->days > 0) {
            choose(&due, days_after(modified_ms, r->days), r, rule);
        }
    }
    return due;
}

uint64_t s3_lifecycle_upload(const struct s3_lifecycle *l, const char *key,
                             uint64_t begun_ms,
                             const struct s3_lifecycle_rule **rule)
{
    uint64_t due = S3_LIFECYCLE_NEVER;

    for (size_t i = 0; i < l->count; i++) {
        const struct s3_lifecycle_rule *r = &l->rules[i];
        if (r->abort_days > 0 && key_fits(r, key)) {
            choose(&due, days_after(begun_ms, r->abort_days), r, rule);
        }
    }
    return due;
}
