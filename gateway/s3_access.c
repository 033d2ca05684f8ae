#include "gateway/s3_access.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "gateway/access.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_attrs.h"
#include "gateway/s3_context.h"
#include "gateway/s3_more.h"
#include "gateway/s3_tags.h"
#include "gateway/s3_version.h"
#include "gateway/session.h"

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

/* ---- judging ---- */

/* What the own policy of who asks and that of the bucket say. */
struct said {
    enum iam_effect own, of_bucket;
    bool narrowed; /* the policy of its session does not allow it */
};

/* NULL: nothing narrows what its user may. */
static const struct iam_policy *session_policy(const struct request *r)
{
    return r->session != NULL ? r->session->policy : NULL;
}

static struct said judge(const struct request *r, const struct access_bucket *b,
                         const char *action, const char *resource)
{
    const struct iam_policy *policies[] = {
        r->user != NULL ? r->user->policy : NULL,
        b != NULL ? b->policy : NULL,
        session_policy(r),
    };
    enum iam_effect effects[3];

    s3_judge(r, action, resource, policies, 3, effects);
    return (struct said){effects[0], effects[1],
                         policies[2] != NULL && effects[2] != IAM_ALLOW};
}

/* Does one of them ask for the tags of an object that is there? */
static bool asks_for_tags(const struct request *r,
                          const struct access_bucket *b)
{
    return (r->user != NULL && iam_asks_for_tags(r->user->policy)) ||
           (b != NULL && iam_asks_for_tags(b->policy)) ||
           iam_asks_for_tags(session_policy(r));
}

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
 * may. @b NULL, of root only: this copy of the catalogue has no such bucket
 * (yet). */
static unsigned consent_of(struct request *r, const struct access_bucket *b,
                           const char *action, const char *resource,
                           unsigned permission, bool of_object)
{
    const struct access_user *u = r->user;
    bool owner = u != NULL && (u->root || strcmp(b->owner, u->name) == 0);
    struct said said = judge(r, b, action, resource);
    enum iam_effect own = said.own, of_bucket = said.of_bucket;
    unsigned set = 0;
    bool by_acl;

    r->rule = AUDIT_BY_NOBODY;
    if (own == IAM_DENY) {
        r->rule = AUDIT_BY_USER_POLICY;
        return 0;
    }
    if (said.narrowed) {
        r->rule = AUDIT_BY_SESSION_POLICY;
        return 0;
    }
    if (owner && is_about_policy(action)) {
        r->rule = u->policy == NULL ? AUDIT_BY_OWNER : AUDIT_BY_USER_POLICY;
        return u->policy == NULL || own == IAM_ALLOW ? S3_BY_BUCKET : 0;
    }
    if (of_bucket == IAM_DENY || (b != NULL && b->unreadable)) {
        r->rule = AUDIT_BY_BUCKET_POLICY;
        return 0;
    }
    if (of_bucket == IAM_ALLOW && !owner && b->policy_public &&
        (b->block & ACCESS_RESTRICT) != 0) {
        of_bucket = IAM_NOTHING;
        r->rule = AUDIT_BY_BLOCK;
    }
    if (own == IAM_ALLOW || (u != NULL && u->root && u->policy == NULL)) {
        set |= S3_BY_ASKER;
    }
    by_acl = b != NULL && acl_gives(r, b, &b->acl, permission) &&
             (!owner || u->policy == NULL);
    if (of_bucket == IAM_ALLOW || (owner && u->policy == NULL) || by_acl) {
        set |= S3_BY_BUCKET;
    }
    if (set == 0 && of_object && b != NULL &&
        b->ownership != ACCESS_OWNER_ENFORCED) {
        set |= S3_BY_OBJECT;
    }
    if (set != 0) {
        r->rule = (set & S3_BY_OBJECT) != 0  ? AUDIT_BY_OBJECT_ACL
                  : own == IAM_ALLOW         ? AUDIT_BY_USER_POLICY
                  : (set & S3_BY_ASKER) != 0 ? AUDIT_BY_ROOT
                  : of_bucket == IAM_ALLOW   ? AUDIT_BY_BUCKET_POLICY
                  : by_acl && !owner         ? AUDIT_BY_BUCKET_ACL
                                             : AUDIT_BY_OWNER;
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
    *consent = of_object && asks_for_tags(r, b)
                   ? S3_BY_TAGS
                   : consent_of(r, b, action, resource,
                                bucket_permission(action), of_object);
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

bool s3_require_read(struct request *r, bool version, struct s3_reading *a)
{
    struct err err = {{0}};
    int rc;

    a->action = version ? "s3:GetObjectVersion" : "s3:GetObject";
    a->permission = ACL_READ;
    rc = judge_other(r, a->action, a->bucket, a->key, true, &a->from,
                     &a->consent, &err);
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

/* What the policies say of an object with these tags; as consent_of. */
static unsigned consent_by_tags(struct request *r, const struct s3_reading *a,
                                const struct meta_object *o)
{
    char *text =
        mem_strndup(o->tags != NULL ? (const char *)o->tags : "", o->tags_len);
    char resource[ARN_MAX];
    struct s3_tags tags = {0};
    unsigned consent = 0;

    resource_of(resource, a->bucket, a->key);
    if (s3_tags_query(text, S3_TAGS_OBJECT_MAX, &tags, NULL) == S3_OK) {
        r->existing = &tags;
        consent = consent_of(r, a->from, a->action, resource,
                             bucket_permission(a->action), a->permission != 0);
        r->existing = NULL;
    }
    s3_tags_free(&tags);
    free(text);
    return consent;
}

bool s3_object_allowed(struct request *r, const struct s3_reading *a,
                       const struct meta_object *o)
{
    const struct access_bucket *b = a->from;
    struct acl acl = {.count = 0};
    bool plain = b == NULL || b->ownership == ACCESS_OWNER_ENFORCED ||
                 !s3_attrs_has_acl(o->attrs, o->attrs_len);
    unsigned consent = a->consent;
    bool good;

    if (consent == S3_BY_TAGS) {
        consent = consent_by_tags(r, a, o);
    }
    if ((consent & S3_BY_ASKER) != 0 || (consent != 0 && a->permission == 0) ||
        (plain && (consent & S3_BY_BUCKET) != 0)) {
        return true;
    }
    good = consent != 0 && !plain &&
           s3_attrs_acl(o->attrs, o->attrs_len, &acl) &&
           list_allows(r, b, consent, a->permission, &acl);
    acl_free(&acl);
    if (!good) {
        reply_error(r, S3_AccessDenied, NULL);
    }
    return good;
}

bool s3_target_allowed(struct request *r, const struct meta_object *o)
{
    return s3_object_allowed(r,
                             &(struct s3_reading){
                                 .from = r->target,
                                 .action = action_of(r),
                                 .bucket = r->bucket,
                                 .key = r->key,
                                 .consent = r->consent,
                                 .permission = s3_object_permission(r),
                             },
                             o);
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

bool s3_require_tagging(struct request *r, uint64_t which,
                        const struct s3_tags *tags)
{
    struct meta_object o = {.attrs = NULL};
    bool good;

    r->tags = tags;
    if (asks_for_tags(r, r->target)) {
        r->consent = S3_BY_TAGS;
        good = s3_version_get(r, which, false, &o);
        meta_object_free(&o);
    } else {
        good = s3_require(r, action_of(r), r->bucket, r->key);
    }
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

/* What concerns no bucket: does the own policy of who asks allow it? @silent:
 * who has no such policy may, by @rule. */
static bool own_policy_allows(struct request *r, const char *action,
                              const char *resource, bool silent,
                              enum audit_rule rule)
{
    struct said said = judge(r, NULL, action, resource);
    bool good = silent || said.own == IAM_ALLOW;

    r->rule = silent                    ? rule
              : said.own == IAM_NOTHING ? AUDIT_BY_NOBODY
                                        : AUDIT_BY_USER_POLICY;
    if (good && said.narrowed) {
        r->rule = AUDIT_BY_SESSION_POLICY;
        good = false;
    }
    return good;
}

/* Below /-/: root, and whose policy allows "godwit:" and the operation. */
static bool authorize_admin(struct request *r)
{
    char action[64];

    snprintf(action, sizeof action, "godwit:%s", s3_operation(r->op)->name);
    return own_policy_allows(r, action, "*", is_root(r), AUDIT_BY_ROOT) ||
           deny(r, action, "this cluster");
}

/* On no bucket, or one that is to be made: who signs may, unless a policy of
 * its own says nothing of it. */
static bool authorize_service(struct request *r, const char *action)
{
    char resource[ARN_MAX];

    resource_of(resource, r->bucket[0] != '\0' ? r->bucket : "*", NULL);
    if (r->user == NULL) {
        r->rule = AUDIT_BY_NOBODY;
        return deny(r, action, resource);
    }
    return own_policy_allows(
               r, action, resource, r->user->policy == NULL,
               is_root(r) ? AUDIT_BY_ROOT : AUDIT_BY_OWNER /* of its own */) ||
           deny(r, action, resource);
}

/* This server's copy of the catalogue has no such bucket. In a cluster it may
 * have been made through another server a moment ago: what runs on a worker
 * asks again there; a body that comes now cannot wait for that. Root needs no
 * bucket to be let in. */
static bool judge_missing(struct request *r)
{
    if (is_root(r) && session_policy(r) == NULL) {
        r->consent = S3_BY_ASKER;
        r->rule = AUDIT_BY_ROOT;
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

/* Does it read the row of its object (s3_version_get) before all else? */
static bool reads_object(enum s3_op op)
{
    switch (op) {
        case S3_OP_GetObject:
        case S3_OP_HeadObject:
        case S3_OP_GetObjectAttributes:
        case S3_OP_GetObjectAcl:
        case S3_OP_PutObjectAcl:
        case S3_OP_GetObjectTagging:
            return true;
        default:
            return false;
    }
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
    if (r->op == S3_OP_PutObjectTagging ||
        r->op == S3_OP_DeleteObjectTagging) { /* s3_require_tagging */
        return r->user != NULL || r->target->policy != NULL ||
               deny(r, action, r->bucket);
    }
    if (action == NULL) { /* DeleteObjects is judged key by key */
        return r->user != NULL || r->target->policy != NULL ||
               acl_gives(r, r->target, &r->target->acl, ACL_WRITE) ||
               deny(r, "s3:DeleteObject", r->bucket);
    }
    if (reads_object(r->op) && asks_for_tags(r, r->target)) {
        r->consent = S3_BY_TAGS;
        return true;
    }
    resource_of(resource, r->bucket, r->key);
    r->consent =
        consent_of(r, r->target, action, resource, bucket_permission(action),
                   s3_object_permission(r) != 0);
    if (r->consent == 0) {
        return deny(r, action, resource);
    }
    return !s3_is_put(r->op) || judge_headers(r, resource);
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
        return authorize_service(r, action);
    }
    return judge_target(r, action);
}

bool s3_authorize_session(struct request *r)
{
    const char *name = s3_operation(r->op)->name;
    char action[64];

    if (r->session != NULL) {
        r->rule = AUDIT_BY_OTHER;
        reply_error(r, S3_AccessDenied,
                    "Cannot call %s with session credentials", name);
        return false;
    }
    snprintf(action, sizeof action, "sts:%s", name);
    if (judge(r, NULL, action, r->user->arn).own == IAM_DENY) {
        r->rule = AUDIT_BY_USER_POLICY;
        return deny(r, action, r->user->arn);
    }
    r->rule = is_root(r) ? AUDIT_BY_ROOT : AUDIT_BY_OWNER;
    return true;
}

bool s3_require_acl(struct request *r)
{
    const char *action = r->key != NULL ? "s3:PutObjectAcl" : "s3:PutBucketAcl";
    const struct access_user *u = r->user;
    char resource[ARN_MAX];
    struct said said;

    resource_of(resource, r->bucket, r->key);
    said = judge(r, r->target, action, resource);
    return (said.own != IAM_DENY && said.of_bucket != IAM_DENY &&
            !said.narrowed &&
            (u == NULL || u->policy == NULL || said.own == IAM_ALLOW ||
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
