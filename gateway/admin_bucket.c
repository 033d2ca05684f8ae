/* /-/buckets?bucket=B: how a bucket stores its bytes; shown, and set. */
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "gateway/bucket_rules.h"
#include "gateway/gateway_internal.h"
#include "gateway/recode.h"
#include "gateway/request.h"
#include "meta/meta.h"

/* The bucket that is asked for; false: a reply was made. */
static bool get_bucket(struct request *r, struct meta_bucket *out)
{
    const char *name = request_param(r, "bucket");
    struct err err = {{0}};
    int rc;

    if (!admin_is_ready(r)) {
        return false;
    }
    if (name == NULL) {
        reply_error(r, S3_InvalidArgument, "which bucket?");
        return false;
    }
    rc = meta_bucket_get(r->gateway->meta, name, out, &err);
    if (rc != 0) {
        reply_err(r, rc, &err);
    }
    return rc == 0;
}

static void progress_json(struct buf *b, const struct recode_progress *p)
{
    put_json_u64(b, "objects_done", p->objects_done, false);
    put_json_u64(b, "objects", p->objects, false);
    put_json_u64(b, "bytes_done", p->bytes_done, false);
    put_json_u64(b, "bytes", p->bytes, false);
    put_json_u64(b, "runs_recoded", p->runs_recoded, false);
    put_json_u64(b, "failed", p->runs_failed, false);
    put_json_u64(b, "eta_s", p->eta_s, true);
}

void admin_recode_json(struct gateway *g, struct buf *b)
{
    struct recode_progress p = {0};

    if (atomic_load(&g->ready)) {
        recode_look(g->recode, &p);
    }
    buf_str(b, "\"recoding\":{");
    put_json_member(b, "bucket", p.bucket, false);
    progress_json(b, &p);
    buf_str(b, "},");
}

/* Whether it is gone through is known to all; how far, to who does it. */
static void recode_json(struct gateway *g, const struct meta_bucket *bucket,
                        const struct bucket_rule *rule, struct buf *b)
{
    bool wanted = recode_wanted(g, bucket, rule);
    struct recode_progress p = {0};
    bool here;

    recode_look(g->recode, &p);
    here = wanted && strcmp(p.bucket, bucket->name) == 0;
    if (!here) {
        p = (struct recode_progress){0};
    }
    buf_str(b, "\"recoding\":{");
    put_json_bool(b, "wanted", wanted, false);
    put_json_bool(b, "here", here, false);
    progress_json(b, &p);
    buf_char(b, '}');
}

static void reply_bucket(struct request *r, const struct meta_bucket *bucket)
{
    struct buf *b = &r->reply_body;
    char policy[EC_POLICY_TEXT_MAX];
    struct bucket_rule rule;

    bucket_rule_of(r->gateway, bucket, &rule);
    reply_json(r);
    buf_char(b, '{');
    put_json_member(b, "bucket", bucket->name, false);
    put_json_u64(b, "created_ms", bucket->created_ms, false);
    put_json_member(b, "compression", bucket_compression_text(rule.compress),
                    false);
    put_json_bool(b, "compression_set", rule.compress_set, false);
    put_json_member(b, "ec", ec_policy_text(rule.policy, policy), false);
    put_json_bool(b, "ec_set", rule.policy_set, false);
    recode_json(r->gateway, bucket, &rule, b);
    buf_str(b, "}\n");
}

void admin_bucket(struct request *r)
{
    struct meta_bucket bucket = {0};

    if (get_bucket(r, &bucket)) {
        reply_bucket(r, &bucket);
    }
    meta_bucket_free(&bucket);
}

/* ---- setting ---- */

static int judge_compression(struct gateway *g, const char *text,
                             struct err *err)
{
    bool compress;

    (void)g;
    return bucket_compression_parse(text, &compress, err);
}

/* The layout gets groups of the policy, if the drives can hold it. */
static int judge_policy(struct gateway *g, const char *text, struct err *err)
{
    struct ec_policy policy;
    int rc = ec_policy_parse(text, &policy, err);

    if (rc == 0) {
        rc = store_check_segments(g, policy, err);
    }
    return rc == 0 ? layout_add_policy(g, policy, err) : rc;
}

static const struct setting {
    const char *param;
    enum meta_config_kind kind;
    int (*judge)(struct gateway *g, const char *text, struct err *err);
} settings[] = {
    {"compression", META_CONFIG_COMPRESSION, judge_compression},
    {"ec", META_CONFIG_ERASURE, judge_policy},
};

#define SETTINGS (sizeof settings / sizeof settings[0])

/* Judge all that is asked before any of it is done; false: a reply was made. */
static bool judge_settings(struct request *r)
{
    unsigned asked = 0;

    for (size_t i = 0; i < SETTINGS; i++) {
        const char *text = request_param(r, settings[i].param);
        struct err err = {{0}};
        asked += text != NULL;
        if (text != NULL && strcmp(text, "default") != 0 &&
            settings[i].judge(r->gateway, text, &err) != 0) {
            reply_error(r, S3_InvalidArgument, "%s", err.text);
            return false;
        }
    }
    if (asked == 0) {
        reply_error(r, S3_InvalidArgument, "there is nothing to set");
    }
    return asked > 0;
}

static int propose_setting(struct request *r, const char *bucket,
                           const struct setting *s, const char *text,
                           struct err *err)
{
    size_t len = strcmp(text, "default") == 0 ? 0 : strlen(text);
    int rc;

    buf_clear(&r->command);
    command_bucket_config(&r->command, bucket, s->kind, text, len);
    rc = request_propose_wait(r, NULL, err);
    bucket_rules_forget(r->gateway, bucket);
    return rc;
}

void admin_bucket_set(struct request *r)
{
    struct meta_bucket bucket = {0};
    struct err err = {{0}};
    int rc = 0;

    if (!get_bucket(r, &bucket) || !judge_settings(r)) {
        meta_bucket_free(&bucket);
        return;
    }
    for (size_t i = 0; i < SETTINGS && rc == 0; i++) {
        const char *text = request_param(r, settings[i].param);
        if (text != NULL) {
            rc = propose_setting(r, bucket.name, &settings[i], text, &err);
        }
    }
    meta_bucket_free(&bucket);
    if (rc != 0) {
        reply_err(r, rc, &err);
    } else {
        admin_bucket(r);
    }
}
