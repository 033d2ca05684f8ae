/* Operations on buckets, but for listings.
 *
 * Source: AWS S3 API Reference, CreateBucket, HeadBucket, DeleteBucket,
 * GetBucketLocation, GetBucketVersioning, GetBucketAcl.
 */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "crypto/digest.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_common.h"
#include "gateway/s3_xml.h"

void s3_owner_xml(struct request *r, struct buf *b, const char *element)
{
    const char *key = r->gateway->access_key;
    uint8_t sum[DIGEST_MAX];
    char hex[65];

    digest_of(DIGEST_SHA256, key, strlen(key), sum);
    buf_printf(b, "<%s>", element);
    xml_text(b, "ID", text_hex(sum, 32, hex));
    xml_text(b, "DisplayName", key);
    buf_printf(b, "</%.*s>", (int)strcspn(element, " "), element);
}

/* True when the bucket is there; else a reply was made. */
static bool bucket_exists(struct request *r)
{
    struct meta_bucket bucket = {0};
    int rc = meta_bucket_get(r->gateway->meta, r->bucket, &bucket, &r->err);

    if (rc != 0) {
        reply_err(r, rc, NULL);
        return false;
    }
    meta_bucket_free(&bucket);
    return true;
}

/* The region itself, nothing, or us-east-1, which has no name. */
static bool check_location(struct request *r)
{
    char *location = NULL;
    struct err err;
    bool ok;

    if (xml_read_create_bucket(r->document.data, r->document.len, &location,
                               &err) != 0) {
        reply_error(r, S3_MalformedXML, "%s", err.text);
        return false;
    }
    ok = location == NULL || location[0] == '\0' ||
         strcmp(location, r->gateway->region) == 0 ||
         strcmp(location, "us-east-1") == 0;
    if (!ok) {
        reply_error(r, S3_IllegalLocationConstraintException,
                    "The %s location constraint is incompatible with this "
                    "store, whose region is %s.",
                    location, r->gateway->region);
    }
    free(location);
    return ok;
}

void s3_create_bucket(struct request *r)
{
    int rc;

    if (request_header(r, "x-amz-bucket-object-lock-enabled") != NULL &&
        text_ieq(request_header(r, "x-amz-bucket-object-lock-enabled"),
                 "true")) {
        reply_error(r, S3_NotImplemented, "Object Lock is not implemented");
        return;
    }
    if (!check_location(r)) {
        return;
    }
    command_bucket_create(&r->command, r->bucket, r->gateway->access_key,
                          r->time_ms);
    rc = meta_propose_wait(r->gateway->meta, &r->command, NULL, &r->err);
    if (rc != 0 && !(rc == ERR_BUCKET_EXISTS &&
                     strcmp(r->gateway->region, "us-east-1") == 0)) {
        reply_err(r, rc, &r->err);
        return;
    }
    reply(r, 200);
    reply_header(r, "Location", "/%s", r->bucket);
}

void s3_head_bucket(struct request *r)
{
    if (bucket_exists(r)) {
        reply(r, 200);
        reply_header(r, "x-amz-bucket-region", "%s", r->gateway->region);
    }
    request_done(r);
}

void s3_delete_bucket(struct request *r)
{
    int rc;

    command_bucket_delete(&r->command, r->bucket);
    rc = meta_propose_wait(r->gateway->meta, &r->command, NULL, &r->err);
    if (rc != 0) {
        reply_err(r, rc, &r->err);
        return;
    }
    reply(r, 204);
}

void s3_get_bucket_location(struct request *r)
{
    const char *region = r->gateway->region;

    if (bucket_exists(r)) {
        struct buf *b;
        bool unnamed = strcmp(region, "us-east-1") == 0;
        b = reply_xml(r, 200, "LocationConstraint");
        buf_str(b, unnamed ? "" : region);
        xml_close(b, "LocationConstraint");
    }
    request_done(r);
}

void s3_get_bucket_versioning(struct request *r)
{
    if (bucket_exists(r)) {
        struct buf *b = reply_xml(r, 200, "VersioningConfiguration");
        xml_close(b, "VersioningConfiguration");
    }
    request_done(r);
}

static bool object_exists(struct request *r)
{
    struct meta_object object = {0};
    int rc = meta_object_get(r->gateway->meta, r->bucket, r->key, false,
                             &object, &r->err);

    if (rc != 0) {
        reply_err(r, rc, NULL);
        return false;
    }
    meta_object_free(&object);
    return true;
}

void s3_get_acl(struct request *r)
{
    if (r->key != NULL ? object_exists(r) : bucket_exists(r)) {
        struct buf *b = reply_xml(r, 200, "AccessControlPolicy");
        s3_owner_xml(r, b, "Owner");
        xml_open(b, "AccessControlList");
        xml_open(b, "Grant");
        s3_owner_xml(r, b,
                     "Grantee xmlns:xsi=\"http://www.w3.org/2001/"
                     "XMLSchema-instance\" xsi:type=\"CanonicalUser\"");
        xml_text(b, "Permission", "FULL_CONTROL");
        xml_close(b, "Grant");
        xml_close(b, "AccessControlList");
        xml_close(b, "AccessControlPolicy");
    }
    request_done(r);
}

/* GET of a configuration that no bucket has: in S3's words. */
void s3_get_bucket_absent(struct request *r)
{
    static const struct {
        const char *param;
        enum s3_error error;
    } rows[] = {
        {"cors", S3_NoSuchCORSConfiguration},
        {"encryption", S3_ServerSideEncryptionConfigurationNotFoundError},
        {"lifecycle", S3_NoSuchLifecycleConfiguration},
        {"object-lock", S3_ObjectLockConfigurationNotFoundError},
        {"policy", S3_NoSuchBucketPolicy},
        {"policyStatus", S3_NoSuchBucketPolicy},
        {"website", S3_NoSuchWebsiteConfiguration},
    };

    if (!(r->key != NULL ? object_exists(r) : bucket_exists(r))) {
        request_done(r);
        return;
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (request_param(r, rows[i].param) != NULL) {
            reply_error(r, rows[i].error, NULL);
            request_done(r);
            return;
        }
    }
    if (r->key != NULL) { /* an object without tags has an empty set */
        struct buf *b = reply_xml(r, 200, "Tagging");
        xml_text(b, "TagSet", "");
        xml_close(b, "Tagging");
    } else {
        reply_error(r, S3_NoSuchTagSet, NULL);
    }
    request_done(r);
}
