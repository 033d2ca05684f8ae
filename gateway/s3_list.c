/* Listings: buckets, objects (version 1 and 2), uploads in progress.
 *
 * A page costs what it holds: meta/ seeks past common prefixes. A continuation
 * token is the last name of the page in base64.
 *
 * Source: AWS S3 API Reference, ListBuckets, ListObjects, ListObjectsV2,
 * ListMultipartUploads.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_attrs.h"
#include "gateway/s3_common.h"
#include "gateway/s3_xml.h"

#define PAGE_MAX 1000

void s3_etag_xml(struct buf *b, const char *etag)
{
    buf_printf(b, "<ETag>&quot;%s&quot;</ETag>", etag);
}

void s3_name_xml(struct buf *b, const char *name, const char *text, bool url)
{
    if (!url) {
        xml_text(b, name, text);
        return;
    }
    xml_open(b, name);
    text_uri_encode(b, text, strlen(text), true);
    xml_close(b, name);
}

bool s3_encoding_type(struct request *r, bool *url)
{
    const char *type = request_param(r, "encoding-type");

    *url = type != NULL && strcmp(type, "url") == 0;
    if (type != NULL && type[0] != '\0' && !*url) {
        reply_error(r, S3_InvalidArgument,
                    "Invalid Encoding Method specified "
                    "in Request");
        return false;
    }
    return true;
}

/* ---- buckets ---- */

void s3_list_buckets(struct request *r)
{
    struct meta_bucket *buckets = NULL;
    const char *prefix = request_param(r, "prefix");
    char after[META_BUCKET_MAX + 1] = "";
    size_t count = PAGE_MAX;
    struct buf *b = reply_xml(r, 200, "ListAllMyBucketsResult");

    s3_owner_xml(r, b, "Owner");
    xml_open(b, "Buckets");
    while (count == PAGE_MAX) {
        int rc = meta_buckets(r->gateway->meta, after, PAGE_MAX, &buckets,
                              &count, &r->err);
        if (rc != 0) {
            buf_clear(b);
            buf_clear(&r->reply_headers);
            r->replied = false;
            reply_err(r, rc, &r->err);
            return;
        }
        for (size_t i = 0; i < count; i++) {
            if (prefix == NULL || text_starts(buckets[i].name, prefix)) {
                xml_open(b, "Bucket");
                xml_text(b, "Name", buckets[i].name);
                xml_time(b, "CreationDate", buckets[i].created_ms);
                xml_close(b, "Bucket");
            }
            memcpy(after, buckets[i].name, sizeof after);
            meta_bucket_free(&buckets[i]);
        }
        free(buckets);
        buckets = NULL;
    }
    xml_close(b, "Buckets");
    xml_close(b, "ListAllMyBucketsResult");
}

/* ---- what a listing asks ---- */

struct listing {
    struct meta_list_query query;
    struct meta_list page;
    uint64_t max;
    bool url;
    char *after; /* owned, or NULL */
};

static const char *param_or_empty(struct request *r, const char *name)
{
    const char *value = request_param(r, name);

    return value != NULL ? value : "";
}

static bool parse_listing(struct request *r, struct listing *l,
                          const char *max_name)
{
    memset(l, 0, sizeof *l);
    if (!s3_encoding_type(r, &l->url) ||
        !request_param_u64(r, max_name, PAGE_MAX, 0, INT32_MAX, &l->max)) {
        return false;
    }
    l->max = l->max < PAGE_MAX ? l->max : PAGE_MAX;
    l->query.bucket = r->bucket;
    l->query.prefix = param_or_empty(r, "prefix");
    l->query.delimiter = param_or_empty(r, "delimiter");
    l->query.after = "";
    l->query.max = (size_t)l->max;
    return true;
}

/* False: a reply was made. max 0 gives an empty page of a bucket that is. */
static bool run_listing(struct request *r, struct listing *l,
                        int (*list)(struct meta *m,
                                    const struct meta_list_query *q,
                                    struct meta_list *out, struct err *err))
{
    bool none = l->query.max == 0;
    int rc;

    l->query.max = none ? 1 : l->query.max;
    rc = list(r->gateway->meta, &l->query, &l->page, &r->err);
    if (rc != 0) {
        reply_err(r, rc, &r->err);
        return false;
    }
    if (none) {
        meta_list_free(&l->page);
        l->page = (struct meta_list){0};
    }
    return true;
}

static void free_listing(struct listing *l)
{
    meta_list_free(&l->page);
    free(l->after);
}

static const char *last_name(const struct listing *l)
{
    return l->page.entries[l->page.count - 1].name;
}

static bool is_truncated(const struct listing *l)
{
    return l->page.truncated && l->page.count > 0;
}

/* ---- objects ---- */

static void object_xml(struct request *r, struct buf *b,
                       const struct meta_list_entry *e, bool url, bool owner)
{
    char *class = s3_attrs_get(e->attrs, e->attrs_len, "x-amz-storage-class");
    enum digest_kind kind;
    char value[64];

    xml_open(b, "Contents");
    s3_name_xml(b, "Key", e->name, url);
    xml_time(b, "LastModified", e->modified_ms);
    s3_etag_xml(b, e->etag);
    if (s3_attrs_checksum(e->attrs, e->attrs_len, &kind, value)) {
        xml_text(b, "ChecksumAlgorithm", digest_name(kind));
    }
    xml_u64(b, "Size", e->size_bytes);
    if (owner) {
        s3_owner_xml(r, b, "Owner");
    }
    xml_text(b, "StorageClass", class != NULL ? class : "STANDARD");
    xml_close(b, "Contents");
    free(class);
}

static void entries_xml(struct request *r, struct buf *b,
                        const struct listing *l, bool owner)
{
    for (size_t i = 0; i < l->page.count; i++) {
        if (!l->page.entries[i].is_prefix) {
            object_xml(r, b, &l->page.entries[i], l->url, owner);
        }
    }
    for (size_t i = 0; i < l->page.count; i++) {
        if (l->page.entries[i].is_prefix) {
            xml_open(b, "CommonPrefixes");
            s3_name_xml(b, "Prefix", l->page.entries[i].name, l->url);
            xml_close(b, "CommonPrefixes");
        }
    }
}

static struct buf *begin_list(struct request *r, const struct listing *l)
{
    struct buf *b = reply_xml(r, 200, "ListBucketResult");

    xml_text(b, "Name", r->bucket);
    s3_name_xml(b, "Prefix", l->query.prefix, l->url);
    return b;
}

static void end_list(struct buf *b, const struct listing *l)
{
    xml_u64(b, "MaxKeys", l->max);
    if (l->query.delimiter[0] != '\0') {
        s3_name_xml(b, "Delimiter", l->query.delimiter, l->url);
    }
    if (l->url) {
        xml_text(b, "EncodingType", "url");
    }
    xml_bool(b, "IsTruncated", is_truncated(l));
}

void s3_list_objects(struct request *r)
{
    struct listing l;
    struct buf *b;

    if (!parse_listing(r, &l, "max-keys")) {
        return;
    }
    l.query.after = param_or_empty(r, "marker");
    if (!run_listing(r, &l, meta_list_objects)) {
        return;
    }
    b = begin_list(r, &l);
    s3_name_xml(b, "Marker", l.query.after, l.url);
    end_list(b, &l);
    if (is_truncated(&l) && l.query.delimiter[0] != '\0') {
        s3_name_xml(b, "NextMarker", last_name(&l), l.url);
    }
    entries_xml(r, b, &l, true);
    xml_close(b, "ListBucketResult");
    free_listing(&l);
}

/* Undo next_token. False: a reply was made. */
static bool parse_token(struct request *r, struct listing *l)
{
    const char *token = request_param(r, "continuation-token");
    size_t len = token != NULL ? strlen(token) : 0;
    size_t out_len = 0;

    if (token == NULL) {
        l->query.after = param_or_empty(r, "start-after");
        return true;
    }
    l->after = mem_alloc(3 * (len / 4) + 1);
    if (len == 0 || !text_unbase64(token, len, l->after, &out_len) ||
        memchr(l->after, 0, out_len) != NULL) {
        free(l->after);
        reply_error(r, S3_InvalidArgument,
                    "The continuation token provided is incorrect");
        return false;
    }
    l->after[out_len] = '\0';
    l->query.after = l->after;
    return true;
}

static void next_token(struct buf *b, const struct listing *l)
{
    const char *last = last_name(l);
    char *text = mem_alloc(TEXT_BASE64_MAX(strlen(last)));

    xml_text(b, "NextContinuationToken", text_base64(last, strlen(last), text));
    free(text);
}

void s3_list_objects_v2(struct request *r)
{
    const char *fetch_owner = param_or_empty(r, "fetch-owner");
    const char *token = request_param(r, "continuation-token");
    const char *start_after = request_param(r, "start-after");
    struct listing l;
    struct buf *b;

    if (!parse_listing(r, &l, "max-keys") || !parse_token(r, &l)) {
        return;
    }
    if (!run_listing(r, &l, meta_list_objects)) {
        free(l.after);
        return;
    }
    b = begin_list(r, &l);
    if (token != NULL) {
        xml_text(b, "ContinuationToken", token);
    }
    if (start_after != NULL) {
        s3_name_xml(b, "StartAfter", start_after, l.url);
    }
    xml_u64(b, "KeyCount", l.page.count);
    end_list(b, &l);
    if (is_truncated(&l)) {
        next_token(b, &l);
    }
    entries_xml(r, b, &l, strcmp(fetch_owner, "true") == 0);
    xml_close(b, "ListBucketResult");
    free_listing(&l);
}

/* ---- uploads ---- */

static void uploads_xml(struct request *r, struct buf *b,
                        const struct listing *l)
{
    char hex[2 * META_UPLOAD_ID + 1];

    for (size_t i = 0; i < l->page.count; i++) {
        const struct meta_list_entry *e = &l->page.entries[i];
        if (e->is_prefix) {
            xml_open(b, "CommonPrefixes");
            s3_name_xml(b, "Prefix", e->name, l->url);
            xml_close(b, "CommonPrefixes");
            continue;
        }
        xml_open(b, "Upload");
        s3_name_xml(b, "Key", e->name, l->url);
        xml_text(b, "UploadId", text_hex(e->upload, META_UPLOAD_ID, hex));
        s3_owner_xml(r, b, "Initiator");
        s3_owner_xml(r, b, "Owner");
        xml_text(b, "StorageClass", "STANDARD");
        xml_time(b, "Initiated", e->modified_ms);
        xml_close(b, "Upload");
    }
}

void s3_list_uploads(struct request *r)
{
    const char *marker = param_or_empty(r, "upload-id-marker");
    uint8_t id[META_UPLOAD_ID];
    char hex[2 * META_UPLOAD_ID + 1];
    struct listing l;
    struct buf *b;

    if (!parse_listing(r, &l, "max-uploads")) {
        return;
    }
    l.query.after = param_or_empty(r, "key-marker");
    if (marker[0] != '\0' && l.query.after[0] != '\0') {
        if (!text_unhex(marker, strlen(marker), id, sizeof id)) {
            reply_error(r, S3_InvalidArgument, "Invalid uploadId marker");
            return;
        }
        l.query.after_upload = id;
    }
    if (!run_listing(r, &l, meta_list_uploads)) {
        return;
    }
    b = reply_xml(r, 200, "ListMultipartUploadsResult");
    xml_text(b, "Bucket", r->bucket);
    s3_name_xml(b, "KeyMarker", l.query.after, l.url);
    xml_text(b, "UploadIdMarker", marker);
    if (is_truncated(&l)) {
        const struct meta_list_entry *e = &l.page.entries[l.page.count - 1];
        s3_name_xml(b, "NextKeyMarker", e->name, l.url);
        if (!e->is_prefix) {
            xml_text(b, "NextUploadIdMarker",
                     text_hex(e->upload, META_UPLOAD_ID, hex));
        }
    }
    s3_name_xml(b, "Prefix", l.query.prefix, l.url);
    if (l.query.delimiter[0] != '\0') {
        s3_name_xml(b, "Delimiter", l.query.delimiter, l.url);
    }
    if (l.url) {
        xml_text(b, "EncodingType", "url");
    }
    xml_u64(b, "MaxUploads", l.max);
    xml_bool(b, "IsTruncated", is_truncated(&l));
    uploads_xml(r, b, &l);
    xml_close(b, "ListMultipartUploadsResult");
    free_listing(&l);
}
