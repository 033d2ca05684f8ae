/* PutObject and UploadPart: the bytes are durable (s3_upload.h); name them.
 *
 * Source: AWS S3 API Reference, PutObject, UploadPart.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "gateway/edge_auth.h"
#include "gateway/gateway_internal.h"
#include "gateway/lifecycle.h"
#include "gateway/request.h"
#include "gateway/s3_attrs.h"
#include "gateway/s3_conditions.h"
#include "gateway/s3_grants.h"
#include "gateway/s3_more.h"
#include "gateway/s3_post.h"
#include "gateway/s3_snowball.h"
#include "gateway/s3_sse.h"
#include "gateway/s3_upload.h"
#include "gateway/s3_version.h"

static void reply_expiry(struct request *r)
{
    const char *tags = request_header(r, "x-amz-tagging");

    lifecycle_reply(r, s3_upload_content(r->upload)->size_bytes, r->time_ms,
                    tags, tags != NULL ? strlen(tags) : 0);
}

static void reply_stored(struct request *r)
{
    bool repeated =
        r->op != S3_OP_UploadPart && edge_is_repeat(r, r->proposal.status);
    enum digest_kind kind;
    char value[64];

    if (r->proposal.status != 0 && !repeated) {
        /* Unknown: the catalogue may yet name the shards, so they stay; if it
         * does not, they are orphans. */
        s3_upload_close(r->upload, r->proposal.status == ERR_UNKNOWN);
        if (!edge_reply_refused(r, r->proposal.status)) {
            reply_err(r, r->proposal.status, &r->proposal.err);
        }
        request_done(r);
        return;
    }
    s3_upload_close(r->upload, !repeated); /* what came again is not needed */
    if (s3_upload_form(r->upload) != NULL) {
        s3_post_reply(r, s3_upload_form(r->upload), s3_upload_etag(r->upload));
    } else {
        reply(r, 200);
    }
    reply_header(r, "ETag", "\"%s\"", s3_upload_etag(r->upload));
    if (s3_upload_sse(r->upload) != NULL) {
        s3_sse_reply(r, s3_upload_sse(r->upload));
    }
    if (repeated) {
        edge_reply_repeated(r);
    } else {
        s3_version_reply_made(r, r->proposal.version);
    }
    if (r->op != S3_OP_UploadPart && !repeated) {
        reply_expiry(r);
    }
    if (s3_upload_checksum(r->upload, &kind, value)) {
        reply_header(r, s3_checksum_header(kind), "%s", value);
        if (r->op != S3_OP_UploadPart) {
            reply_header(r, "x-amz-checksum-type", "FULL_OBJECT");
        }
    }
    request_done(r);
}

void s3_put_object(struct request *r)
{
    struct meta_condition condition = {0};
    struct s3_put_conditions held = {0};
    struct s3_more more = {.tags = {0}};
    struct buf attrs = {0};
    enum digest_kind kind;
    char value[64];

    if (s3_snowball_asked(r)) {
        if (request_on_loop(r)) {
            request_in_worker(r, s3_snowball_extract);
        } else {
            s3_snowball_extract(r);
        }
        return;
    }
    if (s3_grants_block(r) && request_on_loop(r)) {
        request_in_worker(r, s3_put_object);
        return;
    }
    if (!s3_put_conditions(r, &held)) {
        request_done(r);
        return;
    }
    condition.if_match = held.if_match;
    condition.if_none_match = held.if_none_match;
    if (!s3_attrs_from(r, &attrs) || !s3_more_from(r, &more) ||
        !edge_delivery(r, &more.more)) {
        request_done(r);
        goto out;
    }
    if (s3_upload_checksum(r->upload, &kind, value)) {
        s3_attrs_add(&attrs, s3_checksum_header(kind), value);
        s3_attrs_add(&attrs, "x-amz-checksum-type", "FULL_OBJECT");
    }
    if (s3_upload_sse(r->upload) != NULL) {
        s3_sse_attrs(s3_upload_sse(r->upload), &attrs);
    }
    command_object_put(&r->command, r->bucket, r->key, &condition,
                       s3_upload_content(r->upload), s3_upload_etag(r->upload),
                       attrs.data, attrs.len, r->time_ms);
    s3_more_add(r, &more);
    request_propose(r, reply_stored);
out:
    s3_more_free(&more);
    buf_free(&attrs);
    s3_put_conditions_free(&held);
}

/* False: a reply was made. */
static bool part_number(struct request *r, uint64_t *number)
{
    if (!request_param_u64(r, "partNumber", 0, 1, META_PARTS_MAX, number)) {
        return false;
    }
    if (*number == 0) {
        reply_error(r, S3_InvalidArgument, "partNumber is empty");
    }
    return *number != 0;
}

bool s3_put_target_exists(struct request *r)
{
    struct meta_bucket bucket = {0};
    uint64_t number;
    int rc;

    if (r->op == S3_OP_UploadPart) { /* the upload was read by s3_sse_new */
        return part_number(r, &number);
    }
    rc = meta_bucket_get(r->gateway->meta, r->bucket, &bucket, &r->err);
    meta_bucket_free(&bucket);
    if (rc != 0) {
        reply_err(r, rc, NULL);
    }
    return rc == 0;
}

void s3_put_part(struct request *r)
{
    uint8_t upload[META_UPLOAD_ID];
    uint64_t number;
    enum digest_kind kind;
    char value[64];
    char *check = NULL;
    char *salted;

    if (!request_upload_id(r, upload) || !part_number(r, &number)) {
        request_done(r);
        return;
    }
    if (s3_upload_checksum(r->upload, &kind, value)) {
        check = mem_printf("%s:%s", s3_checksum_header(kind), value);
    }
    salted =
        s3_sse_salted(s3_upload_sse(r->upload), check != NULL ? check : "");
    command_part_put(&r->command, upload, (uint32_t)number,
                     s3_upload_content(r->upload), s3_upload_etag(r->upload),
                     salted, r->time_ms);
    free(salted);
    free(check);
    request_propose(r, reply_stored);
}
