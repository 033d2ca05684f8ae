/* Buckets: make, ask, remove; and what a bucket says of features that are off.
 *
 * There is one owner. GETs of a configuration that no one could have set answer
 * as S3 does for a bucket that never had one, so that tools which look first
 * work; setting it is refused by the router.
 *
 * Source: AWS S3 API Reference, CreateBucket, HeadBucket, DeleteBucket,
 * GetBucketLocation, GetBucketAcl, GetObjectAcl,
 * GetBucketPolicy,
 * GetBucketWebsite, GetBucketEncryption,
 * GetBucketAccelerateConfiguration, GetBucketRequestPayment.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_access.h"
#include "gateway/s3_router.h"
#include "gateway/s3_xml.h"

static const char *const namespace_xsi =
    "http://www.w3.org/2001/XMLSchema-instance";

/* ---- CreateBucket ---- */

/* Headers that ask for a bucket of a kind that is not there. */
static bool judge_create_headers(struct request *r)
{
    const char *acl = request_header(r, "x-amz-acl");
    const char *lock = request_header(r, "x-amz-bucket-object-lock-enabled");
    const char *ownership = request_header(r, "x-amz-object-ownership");

    if (acl != NULL && strcmp(acl, "private") != 0) {
        reply_error(r, S3_NotImplemented, "x-amz-acl: %.64s is not implemented",
                    acl);
        return false;
    }
    if (lock != NULL && !text_ieq(lock, "false") && !text_ieq(lock, "true")) {
        reply_error(r, S3_InvalidArgument,
                    "x-amz-bucket-object-lock-enabled must be true or false");
        return false;
    }
    if (ownership != NULL && strcmp(ownership, "BucketOwnerEnforced") != 0) {
        reply_error(r, S3_NotImplemented,
                    "x-amz-object-ownership: %.64s is not implemented",
                    ownership);
        return false;
    }
    for (size_t i = 0; i < r->header_count; i++) {
        if (strncasecmp(r->headers[i].name, "x-amz-grant-", 12) == 0) {
            reply_error(r, S3_NotImplemented, "grants are not implemented");
            return false;
        }
    }
    return true;
}

/* The document may name our region and no other. */
static bool judge_location(struct request *r)
{
    struct err err = {{0}};
    char *location = NULL;
    bool ours;
    int rc = xml_read_create_bucket(r->document.data, r->document.len,
                                    &location, &err);

    if (rc == ERR_BAD_INPUT) {
        r->err = err;
        reply_error(r, S3_MalformedXML, NULL);
        return false;
    }
    if (rc != 0) {
        reply_err(r, rc, &err);
        return false;
    }
    ours = location == NULL || strcmp(location, r->gateway->region) == 0;
    if (!ours) {
        reply_error(r, S3_IllegalLocationConstraintException,
                    "The %.64s location constraint is incompatible for the "
                    "region specific endpoint this request was sent to.",
                    location);
    }
    free(location);
    return ours;
}

/* Is the bucket that is there already the asker's own? */
static bool owns_target(struct request *r)
{
    struct meta_bucket bucket = {0};
    bool own =
        meta_bucket_get(r->gateway->meta, r->bucket, &bucket, NULL) == 0 &&
        strcmp(bucket.owner, s3_owner_name(r)) == 0;

    meta_bucket_free(&bucket);
    return own;
}

void s3_create_bucket(struct request *r)
{
    const char *lock = request_header(r, "x-amz-bucket-object-lock-enabled");
    struct command_more more = {.locked =
                                    lock != NULL && text_ieq(lock, "true")};
    struct err err = {{0}};
    const char *why = NULL;
    int rc;

    /* A name in the path was judged; one in the host was not. */
    if (!s3_bucket_name_valid(r->bucket, &why)) {
        reply_error(r, S3_InvalidBucketName, "%s", why);
        return;
    }
    if (!judge_create_headers(r) || !judge_location(r)) {
        return;
    }
    command_bucket_create(&r->command, r->bucket, s3_owner_name(r), r->time_ms);
    if (more.locked) {
        command_add_more(&r->command, 0, &more);
    }
    rc = meta_propose_wait(r->gateway->meta, &r->command, NULL, &err);
    if (rc == ERR_BUCKET_EXISTS && !owns_target(r)) {
        reply_error(r, S3_BucketAlreadyExists, NULL);
        return;
    }
    /* In us-east-1 AWS answers 200 to the owner who makes a bucket again; but
     * who asks for a lock must not think that an old bucket has it. */
    if (rc != 0 && !(rc == ERR_BUCKET_EXISTS && !more.locked &&
                     strcmp(r->gateway->region, "us-east-1") == 0)) {
        reply_err(r, rc, &err);
        return;
    }
    reply(r, 200);
    reply_header(r, "Location", "/%s", r->bucket);
}

/* ---- HeadBucket, DeleteBucket ---- */

/* Is the bucket there? False: a reply was made. */
static bool find_bucket(struct request *r)
{
    struct meta_bucket bucket = {0};
    struct err err = {{0}};
    int rc = meta_bucket_get(r->gateway->meta, r->bucket, &bucket, &err);

    meta_bucket_free(&bucket);
    if (rc != 0) {
        reply_err(r, rc, &err);
    }
    return rc == 0;
}

/* Is the object there? False: a reply was made. */
static bool find_object(struct request *r)
{
    struct meta_object object = {0};
    struct err err = {{0}};
    int rc = meta_object_get(r->gateway->meta, r->bucket, r->key, false,
                             &object, &err);

    meta_object_free(&object);
    if (rc != 0) {
        reply_err(r, rc, &err);
    }
    return rc == 0;
}

void s3_head_bucket(struct request *r)
{
    if (find_bucket(r)) {
        reply(r, 200);
        reply_header(r, "x-amz-bucket-region", "%s", r->gateway->region);
    }
    request_done(r);
}

void s3_delete_bucket(struct request *r)
{
    struct err err = {{0}};
    int rc;

    command_bucket_delete(&r->command, r->bucket);
    rc = meta_propose_wait(r->gateway->meta, &r->command, NULL, &err);
    if (rc != 0) {
        reply_err(r, rc, &err);
        return;
    }
    reply(r, 204);
}

/* ---- what a bucket says of itself ---- */

void s3_get_bucket_location(struct request *r)
{
    struct buf *b;

    if (find_bucket(r)) {
        b = reply_xml(r, 200, "LocationConstraint");
        /* us-east-1 is the region without a name. */
        if (strcmp(r->gateway->region, "us-east-1") != 0) {
            xml_escape(b, r->gateway->region, strlen(r->gateway->region));
        }
        xml_close(b, "LocationConstraint");
    }
    request_done(r);
}

void s3_get_acl(struct request *r)
{
    const char *access_key = s3_target_owner(r);
    struct buf *b;

    if (r->key != NULL ? find_object(r) : find_bucket(r)) {
        b = reply_xml(r, 200, "AccessControlPolicy");
        xml_owner(b, "Owner", access_key);
        xml_open(b, "AccessControlList");
        xml_open(b, "Grant");
        buf_printf(b, "<Grantee xmlns:xsi=\"%s\" xsi:type=\"CanonicalUser\">",
                   namespace_xsi);
        xml_owner_fields(b, access_key);
        xml_close(b, "Grantee");
        xml_text(b, "Permission", "FULL_CONTROL");
        xml_close(b, "Grant");
        xml_close(b, "AccessControlList");
        xml_close(b, "AccessControlPolicy");
    }
    request_done(r);
}

/* ---- what was never set ---- */

static const struct {
    const char *sub;
    enum s3_error error; /* S3_OK: an empty document instead */
    const char *root;
    const char *inside;
} never_set[] = {
    {"website", S3_NoSuchWebsiteConfiguration, NULL, NULL},
    {"encryption", S3_ServerSideEncryptionConfigurationNotFoundError, NULL,
     NULL},
    {"accelerate", S3_OK, "AccelerateConfiguration", ""},
    {"requestPayment", S3_OK, "RequestPaymentConfiguration",
     "<Payer>BucketOwner</Payer>"},
};

static void reply_never_set(struct request *r)
{
    struct buf *b;

    for (size_t i = 0; i < sizeof never_set / sizeof never_set[0]; i++) {
        if (request_param(r, never_set[i].sub) == NULL) {
            continue;
        }
        if (never_set[i].error != S3_OK) {
            reply_error(r, never_set[i].error, NULL);
            return;
        }
        b = reply_xml(r, 200, never_set[i].root);
        buf_str(b, never_set[i].inside);
        xml_close(b, never_set[i].root);
        return;
    }
    reply_error(r, S3_NotImplemented, NULL);
}

void s3_get_bucket_absent(struct request *r)
{
    if (find_bucket(r)) {
        reply_never_set(r);
    }
    request_done(r);
}
