#include "gateway/s3_access.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/text.h"
#include "gateway/access.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_attrs.h"
#include "gateway/s3_more.h"
#include "gateway/s3_tags.h"

#define ARN_MAX (sizeof "arn:aws:s3:::/" + META_BUCKET_MAX + META_KEY_MAX)

/* ---- what an operation needs ---- */

/* X(operation, action, action on a version that is named or NULL) */
#define ACTIONS(X)                                                             \
    X(ListBuckets, "s3:ListAllMyBuckets", NULL)                                \
    X(CreateBucket, "s3:CreateBucket", NULL)                                   \
    X(HeadBucket, "s3:ListBucket", NULL)                                       \
    X(DeleteBucket, "s3:DeleteBucket", NULL)                                   \
    X(GetBucketLocation, "s3:GetBucketLocation", NULL)                         \
    X(GetBucketVersioning, "s3:GetBucketVersioning", NULL)                     \
    X(PutBucketVersioning, "s3:PutBucketVersioning", NULL)                     \
    X(GetBucketAcl, "s3:GetBucketAcl", NULL)                                   \
    X(PutBucketAcl, "s3:PutBucketAcl", NULL)                                   \
    X(GetObjectAcl, "s3:GetObjectAcl", "s3:GetObjectVersionAcl")               \
    X(PutObjectAcl, "s3:PutObjectAcl", "s3:PutObjectVersionAcl")               \
    X(GetBucketTagging, "s3:GetBucketTagging", NULL)                           \
    X(PutBucketTagging, "s3:PutBucketTagging", NULL)                           \
    X(DeleteBucketTagging, "s3:PutBucketTagging", NULL)                        \
    X(GetBucketCors, "s3:GetBucketCORS", NULL)                                 \
    X(PutBucketCors, "s3:PutBucketCORS", NULL)                                 \
    X(DeleteBucketCors, "s3:PutBucketCORS", NULL)                              \
    X(GetBucketLogging, "s3:GetBucketLogging", NULL)                           \
    X(PutBucketLogging, "s3:PutBucketLogging", NULL)                           \
    X(GetBucketNotificationConfiguration, "s3:GetBucketNotification", NULL)    \
    X(PutBucketNotificationConfiguration, "s3:PutBucketNotification", NULL)    \
    X(GetBucketPolicy, "s3:GetBucketPolicy", NULL)                             \
    X(PutBucketPolicy, "s3:PutBucketPolicy", NULL)                             \
    X(DeleteBucketPolicy, "s3:DeleteBucketPolicy", NULL)                       \
    X(GetBucketPolicyStatus, "s3:GetBucketPolicyStatus", NULL)                 \
    X(GetPublicAccessBlock, "s3:GetBucketPublicAccessBlock", NULL)             \
    X(PutPublicAccessBlock, "s3:PutBucketPublicAccessBlock", NULL)             \
    X(DeletePublicAccessBlock, "s3:PutBucketPublicAccessBlock", NULL)          \
    X(GetBucketOwnershipControls, "s3:GetBucketOwnershipControls", NULL)       \
    X(PutBucketOwnershipControls, "s3:PutBucketOwnershipControls", NULL)       \
    X(DeleteBucketOwnershipControls, "s3:PutBucketOwnershipControls", NULL)    \
    X(GetBucketEncryption, "s3:GetEncryptionConfiguration", NULL)              \
    X(PutBucketEncryption, "s3:PutEncryptionConfiguration", NULL)              \
    X(DeleteBucketEncryption, "s3:PutEncryptionConfiguration", NULL)           \
    X(GetBucketLifecycleConfiguration, "s3:GetLifecycleConfiguration", NULL)   \
    X(PutBucketLifecycleConfiguration, "s3:PutLifecycleConfiguration", NULL)   \
    X(DeleteBucketLifecycle, "s3:PutLifecycleConfiguration", NULL)             \
    X(GetObjectLockConfiguration, "s3:GetBucketObjectLockConfiguration", NULL) \
    X(PutObjectLockConfiguration, "s3:PutBucketObjectLockConfiguration", NULL) \
    X(ListObjects, "s3:ListBucket", NULL)                                      \
    X(ListObjectsV2, "s3:ListBucket", NULL)                                    \
    X(ListObjectVersions, "s3:ListBucketVersions", NULL)                       \
    X(ListMultipartUploads, "s3:ListBucketMultipartUploads", NULL)             \
    X(PutObject, "s3:PutObject", NULL)                                         \
    X(PostObject, "s3:PutObject", NULL)                                        \
    X(CopyObject, "s3:PutObject", NULL)                                        \
    X(GetObject, "s3:GetObject", "s3:GetObjectVersion")                        \
    X(HeadObject, "s3:GetObject", "s3:GetObjectVersion")                       \
    X(GetObjectAttributes, "s3:GetObjectAttributes",                           \
      "s3:GetObjectVersionAttributes")                                         \
    X(DeleteObject, "s3:DeleteObject", "s3:DeleteObjectVersion")               \
    X(GetObjectTagging, "s3:GetObjectTagging", "s3:GetObjectVersionTagging")   \
    X(PutObjectTagging, "s3:PutObjectTagging", "s3:PutObjectVersionTagging")   \
    X(DeleteObjectTagging, "s3:DeleteObjectTagging",                           \
      "s3:DeleteObjectVersionTagging")                                         \
    X(GetObjectRetention, "s3:GetObjectRetention", NULL)                       \
    X(PutObjectRetention, "s3:PutObjectRetention", NULL)                       \
    X(GetObjectLegalHold, "s3:GetObjectLegalHold", NULL)                       \
    X(PutObjectLegalHold, "s3:PutObjectLegalHold", NULL)                       \
    X(CreateMultipartUpload, "s3:PutObject", NULL)                             \
    X(UploadPart, "s3:PutObject", NULL)                                        \
    X(UploadPartCopy, "s3:PutObject", NULL)                                    \
    X(ListParts, "s3:ListMultipartUploadParts", NULL)                          \
    X(CompleteMultipartUpload, "s3:PutObject", NULL)                           \
    X(AbortMultipartUpload, "s3:AbortMultipartUpload", NULL)

static const char *pick(bool version, const char *action,
                        const char *of_version)
{
    return version && of_version != NULL ? of_version : action;
}

/* NULL: judged elsewhere. */
static const char *action_of(const struct request *r)
{
    bool version = request_param(r, "versionId") != NULL;

    switch (r->op) {
#define X(op, action, of_version) \
    case S3_OP_##op:              \
        return pick(version, action, of_version);
        ACTIONS(X)
#undef X
        case S3_OP_GetBucketAbsent: /* of what nobody could set */
            return r->key != NULL ? "s3:GetObject" : "s3:GetBucketWebsite";
        default:
            return NULL;
    }
}

/* ---- what a condition may ask of a request ---- */

/* So many that no number of headers pushes another key out. */
#define KEYS_MAX (40 + S3_TAGS_OBJECT_MAX + REQUEST_HEADERS_MAX)
#define TEXT_MAX 64 /* s3:x-amz-server-side-encryption-customer-algorithm */
#define TAG_PREFIX "s3:requestobjecttag/"
#define TAG_NAME_MAX (sizeof TAG_PREFIX + 4 * S3_TAG_KEY_MAX)

/* The context of a request, made only where there is a policy to judge. */
struct context {
    struct iam_key keys[KEYS_MAX];
    const char *values[KEYS_MAX]; /* one each */
    size_t count;
    char texts[4][TEXT_MAX]; /* of keys that are written here */
    char names[REQUEST_HEADERS_MAX][TEXT_MAX];
    struct s3_tags tags; /* that the request gives: */
    char tag_names[S3_TAGS_OBJECT_MAX][TAG_NAME_MAX];
    const char *tag_keys[S3_TAGS_OBJECT_MAX];
    char action[64]; /* in lower case */
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

/* Does the operation make an object (or begin one) as its headers say? */
static bool is_put(enum s3_op op)
{
    return op == S3_OP_PutObject || op == S3_OP_PostObject ||
           op == S3_OP_CopyObject || op == S3_OP_CreateMultipartUpload;
}

/* s3:RequestObjectTag/KEY, s3:RequestObjectTagKeys. Tags that cannot be read
 * are none: the operation refuses them later. */
static void add_tags(struct context *c, const struct s3_tags *t)
{
    for (size_t i = 0; i < t->count; i++) {
        snprintf(c->tag_names[i], TAG_NAME_MAX, TAG_PREFIX "%s",
                 t->list[i].key);
        lower(c->tag_names[i]);
        add(c, c->tag_names[i], t->list[i].value);
        c->tag_keys[i] = t->list[i].key;
    }
    if (t->count > 0) {
        c->keys[c->count++] =
            (struct iam_key){"s3:requestobjecttagkeys", c->tag_keys, t->count};
    }
}

static void add_header_tags(struct context *c, const struct request *r)
{
    const char *text = request_header(r, "x-amz-tagging");

    if (text != NULL &&
        s3_tags_query(text, S3_TAGS_OBJECT_MAX, &c->tags, NULL) == S3_OK) {
        add_tags(c, &c->tags);
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
    c->count = 0;
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
    if (is_put(r->op)) {
        add_header_tags(c, r);
        add_lock(c, r);
    } else if (r->tags != NULL) {
        add_tags(c, r->tags);
    }
    add_headers(c, r);
}

static enum iam_effect judge(const struct iam_policy *policy, struct context *c,
                             const struct request *r, const char *action,
                             const char *resource)
{
    const struct access_user *u = r->user;
    enum iam_effect effect;

    if (policy == NULL) {
        return IAM_NOTHING;
    }
    context_of(c, r, action);
    effect = iam_judge(policy,
                       &(struct iam_request){
                           .principal = u != NULL ? u->arn : NULL,
                           .short_principal = u != NULL ? u->short_arn : NULL,
                           .account = u != NULL ? u->account : NULL,
                           .canonical = u != NULL ? u->canonical_id : NULL,
                           .action = c->action,
                           .resource = resource,
                           .keys = c->keys,
                           .key_count = c->count,
                       });
    s3_tags_free(&c->tags);
    return effect;
}

/* ---- judging ---- */

static bool is_about_policy(const char *action)
{
    return strcmp(action, "s3:GetBucketPolicy") == 0 ||
           strcmp(action, "s3:PutBucketPolicy") == 0 ||
           strcmp(action, "s3:DeleteBucketPolicy") == 0;
}

/* What an action on a bucket needs of its ACL; 0: no ACL gives it. */
static unsigned bucket_permission(const char *action)
{
    static const struct {
        const char *action;
        unsigned permission;
    } rows[] = {
        {"s3:ListBucket", ACL_READ},
        {"s3:ListBucketVersions", ACL_READ},
        {"s3:ListBucketMultipartUploads", ACL_READ},
        {"s3:PutObject", ACL_WRITE},
        {"s3:DeleteObject", ACL_WRITE},
        {"s3:AbortMultipartUpload", ACL_WRITE},
        {"s3:ListMultipartUploadParts", ACL_WRITE},
        {"s3:GetBucketAcl", ACL_READ_ACP},
        {"s3:PutBucketAcl", ACL_WRITE_ACP},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].action, action) == 0) {
            return rows[i].permission;
        }
    }
    return 0;
}

unsigned s3_object_permission(const struct request *r)
{
    switch (r->op) {
        case S3_OP_GetObject:
        case S3_OP_HeadObject:
        case S3_OP_GetObjectAttributes:
            return ACL_READ;
        case S3_OP_GetObjectAcl:
            return ACL_READ_ACP;
        case S3_OP_PutObjectAcl:
            return ACL_WRITE_ACP;
        default:
            return 0;
    }
}

/* Does the list give @permission to who asks? */
static bool acl_gives(const struct request *r, const struct access_bucket *b,
                      const struct acl *acl, unsigned permission)
{
    const char *name = r->user != NULL ? r->user->name : NULL;

    return permission != 0 && b->ownership != ACCESS_OWNER_ENFORCED &&
           (acl_permissions(acl, name, (b->block & ACCESS_IGNORE_ACLS) != 0) &
            permission) != 0;
}

/* Who lets it be done, of enum s3_consent; 0: nobody, or somebody forbids it.
 * @permission: what it needs of the bucket's ACL. @of_object: an object's ACL
 * may. @b NULL, of root only: this copy of the
 * catalogue has no such bucket (yet). */
static unsigned consent_of(struct request *r, const struct access_bucket *b,
                           const char *action, const char *resource,
                           unsigned permission, bool of_object)
{
    const struct access_user *u = r->user;
    struct context c;
    bool owner = u != NULL && (u->root || strcmp(b->owner, u->name) == 0);
    enum iam_effect own = IAM_NOTHING, of_bucket = IAM_NOTHING;
    unsigned set = 0;

    if (u != NULL) {
        own = judge(u->policy, &c, r, action, resource);
    }
    if (b != NULL) {
        of_bucket = judge(b->policy, &c, r, action, resource);
    }
    if (own == IAM_DENY) {
        return 0;
    }
    if (owner && is_about_policy(action)) {
        return u->policy == NULL || own == IAM_ALLOW ? S3_BY_BUCKET : 0;
    }
    if (of_bucket == IAM_DENY || (b != NULL && b->unreadable)) {
        return 0;
    }
    if (of_bucket == IAM_ALLOW && !owner && b->policy_public &&
        (b->block & ACCESS_RESTRICT) != 0) {
        of_bucket = IAM_NOTHING;
    }
    if (own == IAM_ALLOW || (u != NULL && u->root && u->policy == NULL)) {
        set |= S3_BY_ASKER;
    }
    if (of_bucket == IAM_ALLOW || (owner && u->policy == NULL) ||
        (b != NULL && acl_gives(r, b, &b->acl, permission) &&
         (!owner || u->policy == NULL))) {
        set |= S3_BY_BUCKET;
    }
    if (set == 0 && of_object && b != NULL &&
        b->ownership != ACCESS_OWNER_ENFORCED) {
        set |= S3_BY_OBJECT;
    }
    return set;
}

static void resource_of(char out[ARN_MAX], const char *bucket, const char *key)
{
    snprintf(out, ARN_MAX, "arn:aws:s3:::%s%s%s", bucket,
             key != NULL ? "/" : "", key != NULL ? key : "");
}

static bool is_root(const struct request *r)
{
    return r->user != NULL && r->user->root;
}

/* 0: it may, by *@consent; ERR_DENIED; ERR_NO_BUCKET, which is not for root; or
 * it cannot be told. Gives the bucket (NULL: of root). */
static int judge_other(struct request *r, const char *action,
                       const char *bucket, const char *key, bool of_object,
                       struct access_bucket **out, unsigned *consent,
                       struct err *err)
{
    char resource[ARN_MAX];
    struct access_bucket *b;
    int rc = access_bucket(r->gateway, bucket, &b, err);

    if (rc == ERR_NO_BUCKET && is_root(r)) {
        rc = 0;
    }
    if (rc != 0) {
        return rc;
    }
    resource_of(resource, bucket, key);
    *consent = consent_of(r, b, action, resource, bucket_permission(action),
                          of_object);
    if (*consent == 0) {
        access_bucket_free(b);
        return ERR_DENIED;
    }
    *out = b;
    return 0;
}

bool s3_may(struct request *r, const char *action, const char *bucket,
            const char *key)
{
    struct access_bucket *b = NULL;
    unsigned consent;
    struct err err;
    int rc = judge_other(r, action, bucket, key, false, &b, &consent, &err);

    access_bucket_free(b);
    return rc == 0;
}

/* Reply, when judge_other did not give 0. */
static bool answer(struct request *r, int rc, const struct err *err)
{
    if (rc == ERR_DENIED) {
        reply_error(r, S3_AccessDenied, NULL);
    } else if (rc != 0) {
        reply_err(r, rc, err);
    }
    return rc == 0;
}

bool s3_require(struct request *r, const char *action, const char *bucket,
                const char *key)
{
    struct access_bucket *b = NULL;
    struct err err = {{0}};
    unsigned consent;
    int rc = judge_other(r, action, bucket, key, false, &b, &consent, &err);

    access_bucket_free(b);
    return answer(r, rc, &err);
}

bool s3_require_read(struct request *r, bool version, const char *bucket,
                     const char *key, struct access_bucket **from,
                     unsigned *consent)
{
    struct err err = {{0}};
    int rc = judge_other(r, version ? "s3:GetObjectVersion" : "s3:GetObject",
                         bucket, key, true, from, consent, &err);

    return answer(r, rc, &err);
}

/* ---- when the object was read ---- */

/* May who asks do it, by the list of the object? */
static bool list_allows(const struct request *r, const struct access_bucket *b,
                        unsigned consent, unsigned permission,
                        const struct acl *acl)
{
    const struct access_user *u = r->user;

    if (strcmp(acl->owner, b->owner) == 0 && (consent & S3_BY_BUCKET) != 0) {
        return true;
    }
    if (u != NULL && strcmp(acl->owner, u->name) == 0) {
        return u->policy == NULL; /* else it has said what it allows */
    }
    return acl_gives(r, b, acl, permission);
}

bool s3_object_allowed(struct request *r, const struct access_bucket *b,
                       unsigned consent, unsigned permission, const void *attrs,
                       size_t len)
{
    struct acl acl = {.count = 0};
    bool plain = b == NULL || b->ownership == ACCESS_OWNER_ENFORCED ||
                 !s3_attrs_has_acl(attrs, len);
    bool good;

    if ((consent & S3_BY_ASKER) != 0 || permission == 0 ||
        (plain && (consent & S3_BY_BUCKET) != 0)) {
        return true;
    }
    good = !plain && s3_attrs_acl(attrs, len, &acl) &&
           list_allows(r, b, consent, permission, &acl);
    acl_free(&acl);
    if (!good) {
        reply_error(r, S3_AccessDenied, NULL);
    }
    return good;
}

bool s3_may_be_told(struct request *r, const char *bucket)
{
    bool good = s3_may(r, "s3:ListBucket", bucket, NULL);

    if (!good) {
        reply_error(r, S3_AccessDenied, NULL);
    }
    return good;
}

bool s3_bypass(struct request *r, bool *bypass)
{
    if (!s3_bypass_header(r, bypass)) {
        return false;
    }
    return !*bypass ||
           s3_require(r, "s3:BypassGovernanceRetention", r->bucket, r->key);
}

bool s3_require_tagging(struct request *r, const struct s3_tags *tags)
{
    bool good;

    r->tags = tags;
    good = s3_require(r, action_of(r), r->bucket, r->key);
    r->tags = NULL;
    return good;
}

static bool deny(struct request *r, const char *action, const char *resource)
{
    if (r->user == NULL) {
        reply_error(r, S3_AccessDenied, NULL);
    } else {
        reply_error(r, S3_AccessDenied,
                    "User %.128s is not authorized to perform %s on %.256s",
                    r->user->arn, action, resource);
    }
    return false;
}

/* Does the own policy of who asks allow it? For what concerns no bucket. */
static bool own_policy_allows(struct request *r, const char *action,
                              const char *resource)
{
    struct context c;

    return r->user != NULL &&
           judge(r->user->policy, &c, r, action, resource) == IAM_ALLOW;
}

/* Below /-/: root, and whose policy allows "godwit:" and the operation. */
static bool authorize_admin(struct request *r)
{
    char action[64];

    snprintf(action, sizeof action, "godwit:%s", s3_operation(r->op)->name);
    return is_root(r) || own_policy_allows(r, action, "*") ||
           deny(r, action, "this cluster");
}

/* This server's copy of the catalogue has no such bucket. In a cluster it may
 * have been made through another server a moment ago: what runs on a worker
 * asks again there; a body that comes now cannot wait for that. Root needs no
 * bucket to be let in. */
static bool judge_missing(struct request *r)
{
    if (is_root(r)) {
        r->consent = S3_BY_ASKER;
        return true;
    }
    if (r->gateway->cluster != NULL && !r->recheck &&
        s3_operation(r->op)->body != S3_BODY_OBJECT) {
        r->recheck = true;
        return true;
    }
    reply_error(r, r->user != NULL ? S3_NoSuchBucket : S3_AccessDenied, NULL);
    return false;
}

/* What a PUT says besides the bytes needs what saying it alone would. A list
 * that lets in to write lets in to say all of it: who writes owns the object.
 * So the object's own list is not among these: s3_require_acl looks whether it
 * is denied. */
static bool judge_headers(struct request *r, const char *resource)
{
    static const struct {
        const char *header, *action;
    } rows[] = {
        {"x-amz-tagging", "s3:PutObjectTagging"},
        {"x-amz-object-lock-mode", "s3:PutObjectRetention"},
        {"x-amz-object-lock-retain-until-date", "s3:PutObjectRetention"},
        {"x-amz-object-lock-legal-hold", "s3:PutObjectLegalHold"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (request_header(r, rows[i].header) != NULL &&
            consent_of(r, r->target, rows[i].action, resource, ACL_WRITE,
                       false) == 0) {
            return deny(r, rows[i].action, resource);
        }
    }
    return true;
}

/* Of an operation on a bucket or in it. */
static bool judge_target(struct request *r, const char *action)
{
    char resource[ARN_MAX];
    struct err err = {{0}};
    int rc;

    access_bucket_free(r->target);
    rc = access_bucket(r->gateway, r->bucket, &r->target, &err);
    if (rc == ERR_NO_BUCKET) {
        return judge_missing(r);
    }
    if (rc != 0) {
        reply_err(r, rc, &err);
        return false;
    }
    if (r->op == S3_OP_PutObjectTagging) { /* by its tags, when read */
        return r->user != NULL || r->target->policy != NULL ||
               deny(r, action, r->bucket);
    }
    if (action == NULL) { /* DeleteObjects is judged key by key */
        return r->user != NULL || r->target->policy != NULL ||
               acl_gives(r, r->target, &r->target->acl, ACL_WRITE) ||
               deny(r, "s3:DeleteObject", r->bucket);
    }
    resource_of(resource, r->bucket, r->key);
    r->consent =
        consent_of(r, r->target, action, resource, bucket_permission(action),
                   s3_object_permission(r) != 0);
    if (r->consent == 0) {
        return deny(r, action, resource);
    }
    return !is_put(r->op) || judge_headers(r, resource);
}

bool s3_authorize(struct request *r)
{
    const char *action = action_of(r);

    if (strncmp(r->path, "/-/", 3) == 0) {
        return authorize_admin(r);
    }
    if (r->op == S3_OP_Preflight) {
        return true; /* CORS judges it */
    }
    if (r->bucket[0] == '\0' || r->op == S3_OP_CreateBucket) {
        bool good =
            r->user != NULL && (r->user->policy == NULL ||
                                own_policy_allows(r, action, "arn:aws:s3:::*"));
        return good || deny(r, action, "arn:aws:s3:::*");
    }
    return judge_target(r, action);
}

bool s3_require_acl(struct request *r)
{
    const char *action = r->key != NULL ? "s3:PutObjectAcl" : "s3:PutBucketAcl";
    const struct access_user *u = r->user;
    enum iam_effect own = IAM_NOTHING, of_bucket = IAM_NOTHING;
    char resource[ARN_MAX];
    struct context c;

    resource_of(resource, r->bucket, r->key);
    if (u != NULL) {
        own = judge(u->policy, &c, r, action, resource);
    }
    if (r->target != NULL) {
        of_bucket = judge(r->target->policy, &c, r, action, resource);
    }
    return (own != IAM_DENY && of_bucket != IAM_DENY &&
            (u == NULL || u->policy == NULL || own == IAM_ALLOW ||
             (r->consent & S3_BY_BUCKET) != 0)) ||
           deny(r, action, resource);
}

bool s3_target_wait(struct request *r)
{
    struct err err = {{0}};
    int rc = 0;

    if (r->target == NULL) {
        rc = meta_barrier(r->gateway->meta, &err);
    }
    if (rc == 0 && r->target == NULL) {
        rc = access_bucket(r->gateway, r->bucket, &r->target, &err);
    }
    if (rc != 0) {
        reply_err(r, rc, &err);
    }
    return rc == 0;
}

bool s3_is_owner(struct request *r, const char *owner)
{
    return r->user != NULL &&
           (r->user->root || strcmp(r->user->name, owner) == 0);
}

const char *s3_target_owner(const struct request *r)
{
    return r->target != NULL ? r->target->owner : r->gateway->access_key;
}

const char *s3_owner_name(const struct request *r)
{
    return r->user != NULL ? r->user->name : "anonymous";
}
