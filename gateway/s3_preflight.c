/* What a browser asks before a request of a page of another origin, and what it
 * is told with every answer. Requests here are not signed: what is told is in
 * the bucket's rules only.
 *
 * Source: as s3_cors.h.
 */
#include <ctype.h>
#include <string.h>

#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_cors.h"

/* The rules of the bucket. ERR_NOT_FOUND: it has none. */
static int read_rules(struct request *r, struct s3_cors *out, struct err *err)
{
    struct meta_bucket bucket = {0};
    const struct meta_config *kept = &bucket.config[META_CONFIG_CORS];
    int rc = meta_bucket_get(r->gateway->meta, r->bucket, &bucket, err);

    if (rc != 0) {
        return rc;
    }
    if (kept->value == NULL) {
        rc = err_set(err, ERR_NOT_FOUND, "no rules");
    } else if (s3_cors_read(kept->value, kept->len, out, err) != S3_OK) {
        rc = err_wrap(err, ERR_CORRUPT, "rules of %s", r->bucket);
    }
    meta_bucket_free(&bucket);
    return rc;
}

static void join(const struct s3_cors_list *l, struct buf *out)
{
    buf_clear(out);
    for (size_t i = 0; i < l->count; i++) {
        buf_str(out, i > 0 ? ", " : "");
        buf_str(out, l->items[i]);
    }
}

static void add_headers(struct request *r, const struct s3_cors_rule *rule,
                        const char *origin)
{
    bool any = s3_cors_any_origin(rule);
    struct buf b = {0};

    reply_header(r, "Access-Control-Allow-Origin", "%s", any ? "*" : origin);
    join(&rule->methods, &b);
    reply_header(r, "Access-Control-Allow-Methods", "%s", (char *)b.data);
    if (rule->expose.count > 0) {
        join(&rule->expose, &b);
        reply_header(r, "Access-Control-Expose-Headers", "%s", (char *)b.data);
    }
    if (rule->has_max_age) {
        reply_header(r, "Access-Control-Max-Age", "%llu",
                     (unsigned long long)rule->max_age_s);
    }
    if (!any) {
        reply_header(r, "Access-Control-Allow-Credentials", "true");
    }
    reply_header(r, "Vary",
                 "Origin, Access-Control-Request-Headers, "
                 "Access-Control-Request-Method");
    buf_free(&b);
}

void s3_cors_answer(struct request *r)
{
    const char *origin = request_header(r, "origin");
    const struct s3_cors_rule *rule;
    struct s3_cors rules = {0};

    if (r->cors_done || origin == NULL || r->bucket[0] == '\0') {
        return;
    }
    r->cors_done = true;
    if (read_rules(r, &rules, NULL) != 0) {
        return; /* the answer stands without them */
    }
    rule = s3_cors_match(&rules, origin, r->method, NULL);
    if (rule != NULL) {
        add_headers(r, rule, origin);
    }
    s3_cors_free(&rules);
}

/* The headers that were asked for, in lower case. */
static void allow_headers(struct request *r, const char *asked)
{
    struct buf b = {0};

    for (const char *p = asked; *p != '\0';) {
        size_t len;
        p += strspn(p, " \t,");
        len = strcspn(p, " \t,");
        if (len > 0 && b.len > 0) {
            buf_str(&b, ", ");
        }
        for (size_t i = 0; i < len; i++) {
            buf_char(&b, (char)tolower((unsigned char)p[i]));
        }
        p += len;
    }
    if (b.len > 0) {
        reply_header(r, "Access-Control-Allow-Headers", "%s", (char *)b.data);
    }
    buf_free(&b);
}

static void judge(struct request *r, const char *origin, const char *method)
{
    const char *asked = request_header(r, "access-control-request-headers");
    const struct s3_cors_rule *rule;
    struct s3_cors rules = {0};
    struct err err = {{0}};
    int rc = r->bucket[0] != '\0' ? read_rules(r, &rules, &err) : ERR_NO_BUCKET;

    if (rc == ERR_NO_BUCKET) {
        reply_error(r, S3_AccessForbidden, "CORSResponse: Bucket not found");
    } else if (rc == ERR_NOT_FOUND) {
        reply_error(r, S3_AccessForbidden,
                    "CORSResponse: CORS is not enabled for this bucket.");
    } else if (rc != 0) {
        reply_err(r, rc, &err);
    } else {
        rule = s3_cors_match(&rules, origin, method, asked);
        if (rule == NULL) {
            /* The spelling is AWS's. */
            reply_error(r, S3_AccessForbidden,
                        "CORSResponse: This CORS request is not allowed. This "
                        "is usually because the evalution of Origin, request "
                        "method / Access-Control-Request-Method or "
                        "Access-Control-Request-Headers are not whitelisted "
                        "by the resource's CORS spec.");
        } else {
            reply(r, 200);
            add_headers(r, rule, origin);
            allow_headers(r, asked != NULL ? asked : "");
        }
    }
    s3_cors_free(&rules);
}

void s3_preflight(struct request *r)
{
    const char *origin = request_header(r, "origin");
    const char *method = request_header(r, "access-control-request-method");

    r->cors_done = true;
    if (origin == NULL) {
        reply_error(r, S3_BadRequest,
                    "Insufficient information. Origin request header needed.");
    } else if (method == NULL || !s3_cors_method(method)) {
        reply_error(r, S3_BadRequest,
                    "Invalid Access-Control-Request-Method: %.64s",
                    method != NULL ? method : "null");
    } else {
        judge(r, origin, method);
    }
    request_done(r);
}
