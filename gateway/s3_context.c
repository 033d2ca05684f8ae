#include "gateway/s3_context.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "gateway/access.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_tags.h"
#include "gateway/session.h"

/* So many that no number of headers pushes another key out. */
#define KEYS_MAX (40 + 2 * S3_TAGS_OBJECT_MAX + REQUEST_HEADERS_MAX)
#define TEXT_MAX 64 /* s3:x-amz-server-side-encryption-customer-algorithm */
#define GIVEN_TAG "s3:requestobjecttag/"
#define EXISTING_TAG "s3:existingobjecttag/"
#define TAG_NAME_MAX (sizeof EXISTING_TAG + 4 * S3_TAG_KEY_MAX)

/* The context of a request, made only where there is a policy to judge. */
struct context {
    struct iam_key keys[KEYS_MAX];
    const char *values[KEYS_MAX]; /* one each */
    size_t count;
    char texts[4][TEXT_MAX]; /* of keys that are written here */
    char names[REQUEST_HEADERS_MAX][TEXT_MAX];
    struct s3_tags tags; /* of the header */
    char tag_names[2 * S3_TAGS_OBJECT_MAX][TAG_NAME_MAX];
    size_t tag_count;
    const char *given[S3_TAGS_OBJECT_MAX]; /* keys of tags */
    char action[64];                       /* in lower case */
};

static void lower(char *s)
{
    for (; *s != '\0'; s++) {
        *s = (char)tolower((unsigned char)*s);
    }
}

static void add(struct context *c, const char *name, const char *value)
{
    if (value != NULL && c->count < KEYS_MAX) {
        c->values[c->count] = value;
        c->keys[c->count] = (struct iam_key){name, &c->values[c->count], 1};
        c->count++;
    }
}

static void add_user(struct context *c, const struct access_user *u)
{
    add(c, "aws:principaltype",
        u == NULL ? "Anonymous"
        : u->root ? "Account"
                  : "User");
    if (u != NULL) {
        add(c, "aws:username", u->name);
        add(c, "aws:userid", u->canonical_id);
        add(c, "aws:principalarn", u->arn);
        add(c, "aws:principalaccount", u->account);
    }
}

/* s3:x-amz-acl, s3:x-amz-server-side-encryption, ... */
static void add_headers(struct context *c, const struct request *r)
{
    for (size_t i = 0; i < r->header_count; i++) {
        const char *name = r->headers[i].name;
        if (strncasecmp(name, "x-amz-", 6) == 0 &&
            strlen(name) + sizeof "s3:" <= TEXT_MAX) {
            snprintf(c->names[i], TEXT_MAX, "s3:%s", name);
            lower(c->names[i]);
            add(c, c->names[i], request_header(r, name));
        }
    }
}

bool s3_is_put(enum s3_op op)
{
    return op == S3_OP_PutObject || op == S3_OP_PostObject ||
           op == S3_OP_CopyObject || op == S3_OP_CreateMultipartUpload;
}

/* A key for each tag, s3:ExistingObjectTag/KEY. */
static void add_tags(struct context *c, const char *prefix,
                     const struct s3_tags *t)
{
    for (size_t i = 0; i < t->count && i < S3_TAGS_OBJECT_MAX; i++) {
        char *name = c->tag_names[c->tag_count++];
        snprintf(name, TAG_NAME_MAX, "%s%s", prefix, t->list[i].key);
        lower(name);
        add(c, name, t->list[i].value);
    }
}

/* s3:RequestObjectTag/KEY, s3:RequestObjectTagKeys. Tags that cannot be read
 * are none: the operation refuses them later. */
static void add_given_tags(struct context *c, const struct s3_tags *t)
{
    add_tags(c, GIVEN_TAG, t);
    for (size_t i = 0; i < t->count; i++) {
        c->given[i] = t->list[i].key;
    }
    if (t->count > 0) {
        c->keys[c->count++] =
            (struct iam_key){"s3:requestobjecttagkeys", c->given, t->count};
    }
}

static void add_header_tags(struct context *c, const struct request *r)
{
    const char *text = request_header(r, "x-amz-tagging");

    if (text != NULL &&
        s3_tags_query(text, S3_TAGS_OBJECT_MAX, &c->tags, NULL) == S3_OK) {
        add_given_tags(c, &c->tags);
    }
}

static void add_lock(struct context *c, const struct request *r)
{
    const char *until =
        request_header(r, "x-amz-object-lock-retain-until-date");
    uint64_t ms;

    add(c, "s3:object-lock-mode", request_header(r, "x-amz-object-lock-mode"));
    add(c, "s3:object-lock-legal-hold",
        request_header(r, "x-amz-object-lock-legal-hold"));
    add(c, "s3:object-lock-retain-until-date", until);
    if (until != NULL && text_parse_iso8601(until, &ms)) {
        snprintf(c->texts[2], TEXT_MAX, "%lld",
                 ((long long)ms - (long long)r->time_ms) / 86400000);
        add(c, "s3:object-lock-remaining-retention-days", c->texts[2]);
    }
}

/* Free c->tags. */
static void context_of(struct context *c, const struct request *r,
                       const char *action)
{
    c->count = c->tag_count = 0;
    c->tags = (struct s3_tags){0};
    snprintf(c->action, sizeof c->action, "%s", action);
    lower(c->action);
    text_iso8601(r->time_ms, c->texts[0]);
    snprintf(c->texts[1], TEXT_MAX, "%llu",
             (unsigned long long)r->time_ms / 1000);
    add(c, "aws:currenttime", c->texts[0]);
    add(c, "aws:epochtime", c->texts[1]);
    add(c, "aws:sourceip", r->peer[0] != '\0' ? r->peer : NULL);
    add(c, "aws:securetransport",
        gateway_is_https(r->gateway) ? "true" : "false");
    add(c, "aws:useragent", request_header(r, "user-agent"));
    add(c, "aws:referer", request_header(r, "referer"));
    add_user(c, r->user);
    if (r->session != NULL) {
        text_iso8601(r->session->claims.made_ms, c->texts[3]);
        add(c, "aws:tokenissuetime", c->texts[3]);
    }
    if (r->user != NULL && r->user->device == 0) {
        add(c, "s3:signatureversion", "AWS4-HMAC-SHA256");
        add(c, "s3:authtype",
            r->op == S3_OP_PostObject ? "POST"
            : r->auth.presigned       ? "REST-QUERY-STRING"
                                      : "REST-HEADER");
    }
    add(c, "s3:prefix", request_param(r, "prefix"));
    add(c, "s3:delimiter", request_param(r, "delimiter"));
    add(c, "s3:max-keys", request_param(r, "max-keys"));
    add(c, "s3:versionid", request_param(r, "versionId"));
    if (s3_is_put(r->op)) {
        add_header_tags(c, r);
        add_lock(c, r);
    } else if (r->tags != NULL) {
        add_given_tags(c, r->tags);
    }
    if (r->existing != NULL) {
        add_tags(c, EXISTING_TAG, r->existing);
    }
    add_headers(c, r);
}

void s3_judge(const struct request *r, const char *action, const char *resource,
              const struct iam_policy *const *policies, size_t count,
              enum iam_effect *out)
{
    const struct access_user *u = r->user;
    struct context c;
    struct iam_request q = {.resource = resource};

    for (size_t i = 0; i < count; i++) {
        out[i] = IAM_NOTHING;
        if (policies[i] == NULL) {
            continue;
        }
        if (q.action == NULL) { /* the first */
            context_of(&c, r, action);
            q.action = c.action;
            q.keys = c.keys;
            q.key_count = c.count;
            if (u != NULL) {
                q.principal = u->arn;
                q.short_principal = u->short_arn;
                q.account = u->account;
                q.canonical = u->canonical_id;
            }
        }
        out[i] = iam_judge(policies[i], &q);
    }
    if (q.action != NULL) {
        s3_tags_free(&c.tags);
    }
}
