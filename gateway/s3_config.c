/* What a bucket is told to be: documents put, got and deleted.
 *
 * Source: AWS S3 API Reference, PutBucketTagging, PutBucketCors,
 * PutBucketLifecycleConfiguration,
 * PutBucketLogging, PutBucketNotificationConfiguration and their Get and
 * Delete.
 */
#include "gateway/s3_config.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "gateway/access.h"
#include "gateway/gateway_internal.h"
#include "gateway/lifecycle.h"
#include "gateway/request.h"
#include "gateway/s3_access.h"
#include "gateway/s3_tags.h"
#include "gateway/s3_xml.h"

#define NAMES(a) (sizeof(a) / sizeof(a)[0])

static const struct config {
    enum meta_config_kind kind;
    enum s3_op get, put, delete; /* NONE: there is none */
    s3_config_judge *judge;
    /* Of one that was never set: */
    enum s3_error absent; /* S3_OK: an empty document */
    const char *root;
} configs[] = {
    {META_CONFIG_TAGGING, S3_OP_GetBucketTagging, S3_OP_PutBucketTagging,
     S3_OP_DeleteBucketTagging, s3_tagging_judge, S3_NoSuchTagSet, NULL},
    {META_CONFIG_CORS, S3_OP_GetBucketCors, S3_OP_PutBucketCors,
     S3_OP_DeleteBucketCors, s3_cors_judge, S3_NoSuchCORSConfiguration, NULL},
    {META_CONFIG_LIFECYCLE, S3_OP_GetBucketLifecycleConfiguration,
     S3_OP_PutBucketLifecycleConfiguration, S3_OP_DeleteBucketLifecycle,
     s3_lifecycle_judge, S3_NoSuchLifecycleConfiguration, NULL},
    {META_CONFIG_LOGGING, S3_OP_GetBucketLogging, S3_OP_PutBucketLogging,
     S3_OP_NONE, s3_logging_judge, S3_OK, "BucketLoggingStatus"},
    {META_CONFIG_NOTIFICATION, S3_OP_GetBucketNotificationConfiguration,
     S3_OP_PutBucketNotificationConfiguration, S3_OP_NONE,
     s3_notification_judge, S3_OK, "NotificationConfiguration"},
    {META_CONFIG_ENCRYPTION, S3_OP_GetBucketEncryption,
     S3_OP_PutBucketEncryption, S3_OP_DeleteBucketEncryption,
     s3_encryption_judge, S3_ServerSideEncryptionConfigurationNotFoundError,
     NULL},
    {META_CONFIG_PUBLIC_ACCESS, S3_OP_GetPublicAccessBlock,
     S3_OP_PutPublicAccessBlock, S3_OP_DeletePublicAccessBlock,
     s3_public_access_judge, S3_NoSuchPublicAccessBlockConfiguration, NULL},
    {META_CONFIG_OWNERSHIP, S3_OP_GetBucketOwnershipControls,
     S3_OP_PutBucketOwnershipControls, S3_OP_DeleteBucketOwnershipControls,
     s3_ownership_judge, S3_OwnershipControlsNotFoundError, NULL},
};

static const struct config *config_of(enum s3_op op)
{
    for (size_t i = 0; i < NAMES(configs); i++) {
        const struct config *c = &configs[i];
        if (c->get == op || c->put == op || c->delete == op) {
            return c;
        }
    }
    CHECK(false);
    return NULL;
}

/* ---- judges ---- */

enum s3_error s3_config_malformed(struct err *err)
{
    err_set(err, ERR_BAD_INPUT, "%s", s3_error_message(S3_MalformedXML));
    return S3_MalformedXML;
}

enum s3_error s3_tagging_judge(const void *p, size_t len, struct buf *out,
                               struct err *err)
{
    struct s3_tags t = {0};
    enum s3_error e = s3_tags_read(p, len, S3_TAGS_BUCKET_MAX, &t, err);

    if (e == S3_OK && t.count > 0) {
        s3_tags_write(&t, out);
    }
    s3_tags_free(&t);
    return e;
}

/* ---- handlers ---- */

void s3_get_bucket_config(struct request *r)
{
    const struct config *c = config_of(r->op);
    struct meta_bucket bucket = {0};
    struct err err = {{0}};
    struct buf *b;
    int rc = meta_bucket_get(r->gateway->meta, r->bucket, &bucket, &err);

    if (rc != 0) {
        reply_err(r, rc, &err);
    } else if (bucket.config[c->kind].value != NULL) {
        b = reply_document(r, 200);
        buf_append(b, bucket.config[c->kind].value, bucket.config[c->kind].len);
    } else if (c->absent != S3_OK) {
        reply_error(r, c->absent, NULL);
    } else {
        xml_close(reply_xml(r, 200, c->root), c->root);
    }
    meta_bucket_free(&bucket);
    request_done(r);
}

/* The logs need a bucket to go to. False: a reply was made. */
static bool logging_target_exists(struct request *r, const struct buf *value)
{
    char *target = s3_logging_target(value->data, value->len);
    struct meta_bucket bucket = {0};
    struct err err = {{0}};
    int rc = 0;

    if (target != NULL) {
        rc = meta_bucket_get(r->gateway->meta, target, &bucket, &err);
        if (rc == 0 && strcmp(bucket.owner, s3_target_owner(r)) != 0) {
            rc = ERR_NO_BUCKET; /* logs go to no one else's */
        }
        meta_bucket_free(&bucket);
        free(target);
    }
    if (rc == ERR_NO_BUCKET) {
        reply_error(r, S3_InvalidTargetBucketForLogging, NULL);
    } else if (rc != 0) {
        reply_err(r, rc, &err);
    }
    return rc == 0;
}

/* Where ACLs do not count, none may be in place that grants others anything.
 * False: a reply was made. */
static bool ownership_fits(struct request *r, const struct buf *value)
{
    struct meta_bucket bucket = {0};
    const struct meta_config *c = &bucket.config[META_CONFIG_ACL];
    struct acl acl = {.count = 0};
    struct err err = {{0}};
    bool good = true;
    int rc;

    if (access_ownership_of(value->data, value->len) != ACCESS_OWNER_ENFORCED) {
        return true;
    }
    rc = meta_bucket_get(r->gateway->meta, r->bucket, &bucket, &err);
    if (rc != 0) {
        reply_err(r, rc, &err);
        return false;
    }
    if (c->value != NULL && acl_decode(c->value, c->len, &acl, NULL) == 0 &&
        acl_grants_others(&acl, bucket.owner)) {
        reply_error(r, S3_InvalidBucketAclWithObjectOwnership, NULL);
        good = false;
    }
    acl_free(&acl);
    meta_bucket_free(&bucket);
    return good;
}

static void set_config(struct request *r, const struct config *c,
                       const struct buf *value, int status)
{
    struct err err = {{0}};
    int rc;

    command_bucket_config(&r->command, r->bucket, c->kind,
                          value->data != NULL ? value->data : (uint8_t *)"",
                          value->len);
    rc = request_propose_wait(r, NULL, &err);
    if (rc == 0 && c->kind == META_CONFIG_LIFECYCLE) {
        lifecycle_learn(r->gateway->lifecycle, r->bucket, value->data,
                        value->len);
    }
    if (rc != 0) {
        reply_err(r, rc, &err);
    } else {
        reply(r, status);
    }
}

void s3_put_bucket_config(struct request *r)
{
    const struct config *c = config_of(r->op);
    struct buf value = {0};
    struct err err = {{0}};
    enum s3_error e = c->judge(r->document.data, r->document.len, &value, &err);

    if (e == S3_OK && value.len > META_CONFIG_MAX) {
        e = S3_MalformedXML;
        err_set(&err, ERR_LIMIT, "the document is too long: at most %d bytes",
                META_CONFIG_MAX);
    }
    if (e != S3_OK) {
        reply_error(r, e, "%s", err.text);
    } else if ((c->kind != META_CONFIG_LOGGING ||
                logging_target_exists(r, &value)) &&
               (c->kind != META_CONFIG_OWNERSHIP ||
                ownership_fits(r, &value))) {
        set_config(r, c, &value, 200);
    }
    buf_free(&value);
}

void s3_delete_bucket_config(struct request *r)
{
    const struct buf none = {0};

    set_config(r, config_of(r->op), &none, 204);
}
