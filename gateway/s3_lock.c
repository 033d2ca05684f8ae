/* Object Lock: the default of a bucket, retention and legal hold of versions.
 *
 * What is retained is judged where it is applied (meta/apply_version.c); here
 * documents are read and written. x-amz-bypass-governance-retention is for who
 * may do s3:BypassGovernanceRetention.
 *
 * Source: AWS S3 API Reference, PutObjectLockConfiguration,
 * GetObjectLockConfiguration, PutObjectRetention, GetObjectRetention,
 * PutObjectLegalHold, GetObjectLegalHold.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/wire.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_access.h"
#include "gateway/s3_more.h"
#include "gateway/s3_tree.h"
#include "gateway/s3_version.h"
#include "gateway/s3_xml.h"

/* The document of a request. False: a reply was made. */
static bool read_root(struct request *r, const char *name, struct s3_node **out)
{
    struct err err = {{0}};

    if (r->document.len == 0) {
        reply_error(r, S3_MissingRequestBodyError, NULL);
        return false;
    }
    if (s3_tree_read(r->document.data, r->document.len, name, out, &err) != 0) {
        r->err = err;
        reply_error(r, S3_MalformedXML, NULL);
        return false;
    }
    return true;
}

static bool malformed(struct request *r, const struct err *err)
{
    r->err = *err;
    reply_error(r, S3_MalformedXML, NULL);
    return false;
}

/* The word in the child @name, "" when there is none. Gives free(). */
static int child_word(const struct s3_node *n, const char *name, char **out,
                      struct err *err)
{
    const struct s3_node *child = s3_node_child(n, name);

    if (child == NULL) {
        *out = mem_strdup("");
        return 0;
    }
    return s3_node_word(child, out, err);
}

/* ---- PutObjectLockConfiguration, GetObjectLockConfiguration ---- */

/* How many of @unit. False: a reply was made. */
static bool read_period(struct request *r, const struct s3_node *node,
                        uint8_t unit, uint32_t *count)
{
    uint64_t max = META_LOCK_COUNT_MAX / (unit == META_LOCK_YEARS ? 365 : 1);
    struct err err = {{0}};
    uint64_t v = 0;

    if (node->text[strspn(node->text, " \t\r\n")] != '-' &&
        s3_node_u64(node, &v, &err) != 0) {
        return malformed(r, &err);
    }
    if (v == 0 || v > max) {
        reply_error(r, S3_InvalidArgument,
                    v == 0 ? "Default retention period must be a positive "
                             "integer value."
                           : "Default retention period too large");
        return false;
    }
    *count = (uint32_t)v;
    return true;
}

static bool read_default(struct request *r, const struct s3_node *rule,
                         uint8_t value[META_LOCK_CONFIG])
{
    static const char *const in_rule[] = {"!DefaultRetention", NULL};
    static const char *const names[] = {"!Mode", "Days", "Years", NULL};
    const struct s3_node *retention, *days, *years;
    enum meta_lock_mode mode;
    struct err err = {{0}};
    uint32_t count;
    char *text;
    bool good;

    if (s3_node_check(rule, in_rule, &err) != 0) {
        return malformed(r, &err);
    }
    retention = s3_node_child(rule, "DefaultRetention");
    if (s3_node_check(retention, names, &err) != 0 ||
        child_word(retention, "Mode", &text, &err) != 0) {
        return malformed(r, &err);
    }
    good = s3_lock_mode_parse(text, &mode);
    free(text);
    days = s3_node_child(retention, "Days");
    years = s3_node_child(retention, "Years");
    if (!good || (days == NULL) == (years == NULL)) {
        return malformed(r, &err);
    }
    value[0] = (uint8_t)mode;
    value[1] = days != NULL ? META_LOCK_DAYS : META_LOCK_YEARS;
    if (!read_period(r, days != NULL ? days : years, value[1], &count)) {
        return false;
    }
    store_u32(value + 4, count);
    return true;
}

/* False: a reply was made. */
static bool read_config(struct request *r, const struct s3_node *root,
                        uint8_t value[META_LOCK_CONFIG])
{
    static const char *const names[] = {"!ObjectLockEnabled", "Rule", NULL};
    const struct s3_node *rule;
    struct err err = {{0}};
    char *text;
    bool enabled;

    if (s3_node_check(root, names, &err) != 0 ||
        child_word(root, "ObjectLockEnabled", &text, &err) != 0) {
        return malformed(r, &err);
    }
    enabled = strcmp(text, "Enabled") == 0;
    free(text);
    if (!enabled) {
        return malformed(r, &err);
    }
    memset(value, 0, META_LOCK_CONFIG);
    rule = s3_node_child(root, "Rule");
    return rule == NULL || read_default(r, rule, value);
}

void s3_put_object_lock(struct request *r)
{
    uint8_t value[META_LOCK_CONFIG];
    struct s3_node *root;
    struct err err = {{0}};
    bool good;
    int rc;

    if (!read_root(r, "ObjectLockConfiguration", &root)) {
        return;
    }
    good = read_config(r, root, value);
    s3_tree_free(root);
    if (!good) {
        return;
    }
    command_bucket_config(&r->command, r->bucket, META_CONFIG_OBJECT_LOCK,
                          value, sizeof value);
    rc = request_propose_wait(r, NULL, &err);
    if (rc == ERR_BUCKET_STATE) {
        reply_error(r, S3_InvalidBucketState,
                    "Versioning must be 'Enabled' on the bucket to apply a "
                    "Object Lock configuration");
    } else if (rc != 0) {
        reply_err(r, rc, &err);
    } else {
        reply(r, 200);
    }
}

static void show_config(struct request *r, const uint8_t *value)
{
    static const char root[] = "ObjectLockConfiguration";
    struct buf *b = reply_xml(r, 200, root);

    xml_text(b, "ObjectLockEnabled", "Enabled");
    if (value[0] != META_LOCK_NONE) {
        xml_open(b, "Rule");
        xml_open(b, "DefaultRetention");
        xml_text(b, "Mode", s3_lock_mode_text(value[0]));
        xml_u64(b, value[1] == META_LOCK_DAYS ? "Days" : "Years",
                load_u32(value + 4));
        xml_close(b, "DefaultRetention");
        xml_close(b, "Rule");
    }
    xml_close(b, root);
}

/* Has the bucket Object Lock? Gives its configuration or says @without. False:
 * a reply was made. */
static bool bucket_lock(struct request *r, uint8_t value[META_LOCK_CONFIG],
                        enum s3_error without, const char *why)
{
    struct meta_bucket bucket = {0};
    const struct meta_config *c = &bucket.config[META_CONFIG_OBJECT_LOCK];
    struct err err = {{0}};
    int rc = meta_bucket_get(r->gateway->meta, r->bucket, &bucket, &err);
    bool locked = rc == 0 && c->len == META_LOCK_CONFIG;

    if (locked) {
        memcpy(value, c->value, META_LOCK_CONFIG);
    } else if (rc != 0) {
        reply_err(r, rc, &err);
    } else {
        reply_error(r, without, "%s", why);
    }
    meta_bucket_free(&bucket);
    return locked;
}

void s3_get_object_lock(struct request *r)
{
    uint8_t value[META_LOCK_CONFIG];

    if (bucket_lock(
            r, value, S3_ObjectLockConfigurationNotFoundError,
            s3_error_message(S3_ObjectLockConfigurationNotFoundError))) {
        show_config(r, value);
    }
    request_done(r);
}

/* ---- of a version ---- */

/* Say @more of the version; replies. */
static void set(struct request *r, enum command_type type,
                const struct command_more *more)
{
    struct err err = {{0}};
    int rc;

    janitor_tell_time(r->gateway);
    command_object_set(&r->command, type, r->bucket, r->key, more, r->time_ms);
    rc = request_propose_wait(r, NULL, &err);
    if (rc == 0) {
        reply(r, 200);
    } else {
        reply_err(r, rc, &err);
    }
}

/* The version that is asked about, in a bucket with Object Lock. False: a reply
 * was made. */
static bool get(struct request *r, struct meta_object *o)
{
    uint8_t value[META_LOCK_CONFIG];
    uint64_t which;

    return s3_version_param(r, &which) &&
           bucket_lock(r, value, S3_InvalidRequest,
                       "Bucket is missing Object Lock Configuration") &&
           s3_version_get(r, which, false, o);
}

/* Mode and date, both or none. False: a reply was made. */
static bool read_retention(struct request *r, const struct s3_node *root,
                           struct command_more *more)
{
    static const char *const names[] = {"Mode", "RetainUntilDate", NULL};
    struct err err = {{0}};
    char *mode = NULL, *until = NULL;
    bool good;

    if (s3_node_check(root, names, &err) != 0) {
        return malformed(r, &err);
    }
    if (root->children == 0) {
        return true; /* none: no longer retained */
    }
    good = child_word(root, "Mode", &mode, &err) == 0 &&
           child_word(root, "RetainUntilDate", &until, &err) == 0 &&
           s3_lock_mode_parse(mode, &more->lock) &&
           text_parse_iso8601(until, &more->retain_ms);
    free(mode);
    free(until);
    if (!good) {
        return malformed(r, &err);
    }
    if (more->retain_ms <= r->time_ms) {
        reply_error(r, S3_InvalidArgument,
                    "The retain until date must be in the future!");
        return false;
    }
    return true;
}

void s3_put_retention(struct request *r)
{
    struct command_more more = {.lock = META_LOCK_NONE};
    struct s3_node *root;
    bool good;

    if (!s3_version_param(r, &more.version) || !s3_bypass(r, &more.bypass) ||
        !read_root(r, "Retention", &root)) {
        return;
    }
    good = read_retention(r, root, &more);
    s3_tree_free(root);
    if (good) {
        set(r, COMMAND_OBJECT_RETAIN, &more);
    }
}

void s3_get_retention(struct request *r)
{
    struct meta_object o = {.body = 0};
    struct buf *b;

    if (!get(r, &o)) {
        request_done(r);
        return;
    }
    if (o.lock == META_LOCK_NONE) {
        reply_error(r, S3_NoSuchObjectLockConfiguration, NULL);
    } else {
        b = reply_xml(r, 200, "Retention");
        xml_text(b, "Mode", s3_lock_mode_text(o.lock));
        xml_time(b, "RetainUntilDate", o.retain_ms);
        xml_close(b, "Retention");
    }
    meta_object_free(&o);
    request_done(r);
}

void s3_put_legal_hold(struct request *r)
{
    static const char *const names[] = {"!Status", NULL};
    struct command_more more = {.hold = false};
    struct s3_node *root;
    struct err err = {{0}};
    char *text = NULL;
    bool good;

    if (!s3_version_param(r, &more.version) ||
        !read_root(r, "LegalHold", &root)) {
        return;
    }
    good = s3_node_check(root, names, &err) == 0 &&
           child_word(root, "Status", &text, &err) == 0 &&
           (strcmp(text, "ON") == 0 || strcmp(text, "OFF") == 0);
    s3_tree_free(root);
    if (good) {
        more.hold = strcmp(text, "ON") == 0;
        set(r, COMMAND_OBJECT_HOLD, &more);
    } else {
        malformed(r, &err);
    }
    free(text);
}

void s3_get_legal_hold(struct request *r)
{
    struct meta_object o = {.body = 0};
    struct buf *b;

    if (!get(r, &o)) {
        request_done(r);
        return;
    }
    if (!o.hold_said) {
        reply_error(r, S3_NoSuchObjectLockConfiguration, NULL);
    } else {
        b = reply_xml(r, 200, "LegalHold");
        xml_text(b, "Status", o.hold ? "ON" : "OFF");
        xml_close(b, "LegalHold");
    }
    meta_object_free(&o);
    request_done(r);
}
