/* Buckets: make, ask, remove; and what a bucket says of features that are off.
 *
 * GETs of a configuration that no one could have set answer
 * as S3 does for a bucket that never had one, so that tools which look first
 * work; setting it is refused by the router.
 *
 * Source: AWS S3 API Reference, CreateBucket, HeadBucket, DeleteBucket,
 * GetBucketLocation,
 * GetBucketWebsite, GetBucketEncryption,
 * GetBucketAccelerateConfiguration, GetBucketRequestPayment.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "gateway/access.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_access.h"
#include "gateway/s3_grants.h"
#include "gateway/s3_router.h"
#include "gateway/s3_xml.h"

/* ---- CreateBucket ---- */

/* What the headers ask of the new bucket. */
struct wish {
    bool locked;
    const char *ownership; /* NULL: nothing is said */
    struct acl acl;        /* without an owner: nothing is said */
};

/* False: a reply was made. */
static bool take_wish(struct request *r, struct wish *w)
{
    const char *lock = request_header(r, "x-amz-bucket-object-lock-enabled");
    enum access_ownership kind = ACCESS_OBJECT_WRITER;

    w->ownership = request_header(r, "x-amz-object-ownership");
    if (lock != NULL && !text_ieq(lock, "false") && !text_ieq(lock, "true")) {
        reply_error(r, S3_InvalidArgument,
                    "x-amz-bucket-object-lock-enabled must be true or false");
        return false;
    }
    w->locked = lock != NULL && text_ieq(lock, "true");
    if (w->ownership != NULL && !access_ownership_parse(w->ownership, &kind)) {
        reply_error(r, S3_InvalidArgument,
                    "x-amz-object-ownership: %.64s is none", w->ownership);
        return false;
    }
    return s3_grants_bucket(r, s3_owner_name(r), kind == ACCESS_OWNER_ENFORCED,
                            &w->acl);
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

/* Is the bucket that is there already the asker's own? *@has_acl: it has a list
 * of its own. */
static bool owns_target(struct request *r, bool *has_acl)
{
    struct meta_bucket bucket = {0};
    bool own =
        meta_bucket_get(r->gateway->meta, r->bucket, &bucket, NULL) == 0 &&
        strcmp(bucket.owner, s3_owner_name(r)) == 0;

    *has_acl = own && bucket.config[META_CONFIG_ACL].value != NULL;
    meta_bucket_free(&bucket);
    return own;
}

static int configure(struct request *r, enum meta_config_kind kind,
                     const struct buf *value, struct err *err)
{
    buf_clear(&r->command);
    command_bucket_config(&r->command, r->bucket, kind,
                          value->data != NULL ? value->data : (uint8_t *)"",
                          value->len);
    return request_propose_wait(r, NULL, err);
}

/* The bucket is there, without ownership controls and list unless it was made
 * before. Until the last of these is known it is private. */
static int grant_wish(struct request *r, const struct wish *w, bool has_acl,
                      struct err *err)
{
    struct buf value = {0};
    bool private = w->acl.owner[0] == '\0' || acl_is_private(&w->acl);
    int rc = 0;

    if (w->ownership != NULL) {
        buf_printf(&value,
                   "<OwnershipControls xmlns=\"http://s3.amazonaws.com/doc/"
                   "2006-03-01/\"><Rule><ObjectOwnership>%s</ObjectOwnership>"
                   "</Rule></OwnershipControls>",
                   w->ownership);
        rc = configure(r, META_CONFIG_OWNERSHIP, &value, err);
    }
    buf_clear(&value);
    if (!private) {
        acl_encode(&w->acl, &value);
    }
    if (rc == 0 && (has_acl || !private)) {
        rc = configure(r, META_CONFIG_ACL, &value, err);
    }
    buf_free(&value);
    return rc;
}

static void create(struct request *r, const struct wish *w)
{
    struct command_more more = {.locked = w->locked};
    struct err err = {{0}};
    bool has_acl = false;
    int rc;

    command_bucket_create(&r->command, r->bucket, s3_owner_name(r), r->time_ms);
    if (more.locked) {
        command_add_more(&r->command, 0, &more);
    }
    rc = request_propose_wait(r, NULL, &err);
    if (rc == ERR_BUCKET_EXISTS && !owns_target(r, &has_acl)) {
        reply_error(r, S3_BucketAlreadyExists, NULL);
        return;
    }
    /* In us-east-1 AWS answers 200 to the owner who makes a bucket again, and
     * sets its ACL anew; but who asks for a lock must not think that an old
     * bucket has it. */
    if (rc == ERR_BUCKET_EXISTS && !w->locked &&
        strcmp(r->gateway->region, "us-east-1") == 0) {
        rc = 0;
    }
    if (rc == 0) {
        rc = grant_wish(r, w, has_acl, &err);
    }
    if (rc != 0) {
        reply_err(r, rc, &err);
        return;
    }
    reply(r, 200);
    reply_header(r, "Location", "/%s", r->bucket);
}

void s3_create_bucket(struct request *r)
{
    struct wish w = {.locked = false};
    const char *why = NULL;

    /* A name in the path was judged; one in the host was not. */
    if (!s3_bucket_name_valid(r->bucket, &why)) {
        reply_error(r, S3_InvalidBucketName, "%s", why);
        return;
    }
    if (take_wish(r, &w) && judge_location(r)) {
        create(r, &w);
    }
    acl_free(&w.acl);
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
    rc = request_propose_wait(r, NULL, &err);
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

/* ---- what was never set ---- */

static const struct {
    const char *sub;
    enum s3_error error; /* S3_OK: an empty document instead */
    const char *root;
    const char *inside;
} never_set[] = {
    {"website", S3_NoSuchWebsiteConfiguration, NULL, NULL},
    {"replication", S3_ReplicationConfigurationNotFoundError, NULL, NULL},
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
