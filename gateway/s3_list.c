/* ListBuckets, ListObjects, ListObjectsV2, ListObjectVersions and
 * ListMultipartUploads.
 *
 * A page is one query of the catalogue, whose cost is that of the page. What
 * follows it is found again by a name: v1's marker is a key or common prefix in
 * the open, v2's continuation token holds the same in an opaque form.
 *
 *     token: base64 of u8 version (1), u32 CRC32C of what follows, the name
 *
 * Source: AWS S3 API Reference, ListBuckets, ListObjects, ListObjectsV2,
 * ListObjectVersions, ListMultipartUploads.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/wire.h"
#include "crypto/digest.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_access.h"
#include "gateway/s3_attrs.h"
#include "gateway/s3_grants.h"
#include "gateway/s3_version.h"
#include "gateway/s3_xml.h"

#define PAGE_MAX 1000
#define BUCKETS_PAGE_MAX 10000
#define TOKEN_VERSION 1
#define TOKEN_HEAD 5

/* ---- what is asked ---- */

struct listing {
    struct request *request;
    struct meta_list_query query;
    bool encode;  /* encoding-type=url */
    uint64_t max; /* as shown */
    bool owner;   /* of each entry */
    char *token;  /* decoded; or NULL */
    uint8_t upload[META_UPLOAD_ID];
};

/* A text parameter for a key, "" when missing. False: a reply was made. */
static bool key_param(struct request *r, const char *name, const char **out)
{
    const char *text = request_param(r, name);

    if (text == NULL) {
        text = "";
    }
    if (strlen(text) > META_KEY_MAX || !text_utf8(text, strlen(text))) {
        reply_error(r, S3_InvalidArgument,
                    "%s must be at most 1024 bytes of UTF-8", name);
        return false;
    }
    *out = text;
    return true;
}

/* max-keys and its like: any number, but no page is larger than @cap. */
static bool max_param(struct request *r, const char *name, uint64_t cap,
                      uint64_t *out)
{
    if (!request_param_u64(r, name, cap, 0, INT32_MAX, out)) {
        return false;
    }
    if (*out > cap) {
        *out = cap;
    }
    return true;
}

static bool encoding_param(struct request *r, bool *encode)
{
    const char *text = request_param(r, "encoding-type");

    *encode = text != NULL && strcmp(text, "url") == 0;
    if (text != NULL && text[0] != '\0' && !*encode) {
        reply_error(r, S3_InvalidArgument,
                    "Invalid Encoding Method specified in Request");
        return false;
    }
    return true;
}

/* What v1, v2 and uploads have in common. */
static bool common_params(struct listing *l, const char *max_name)
{
    struct request *r = l->request;

    l->query.bucket = r->bucket;
    if (!key_param(r, "prefix", &l->query.prefix) ||
        !key_param(r, "delimiter", &l->query.delimiter) ||
        !encoding_param(r, &l->encode) ||
        !max_param(r, max_name, PAGE_MAX, &l->max)) {
        return false;
    }
    l->query.max = (size_t)l->max;
    return true;
}

/* ---- what is shown ---- */

/* A name as @l wants names: percent-encoded or as it is. */
static void name_text(const struct listing *l, struct buf *b,
                      const char *element, const char *name)
{
    struct buf encoded = {0};

    if (l->encode) {
        text_uri_encode(&encoded, name, strlen(name), true);
        name = encoded.len > 0 ? (const char *)encoded.data : "";
    }
    xml_text(b, element, name);
    buf_free(&encoded);
}

static void optional_name(const struct listing *l, struct buf *b,
                          const char *element, const char *name)
{
    if (name != NULL && name[0] != '\0') {
        name_text(l, b, element, name);
    }
}

static void show_checksum_kind(struct buf *b, const struct meta_list_entry *e)
{
    enum digest_kind kind;
    char value[64];
    char *type;

    if (!s3_attrs_checksum(e->attrs, e->attrs_len, &kind, value)) {
        return;
    }
    xml_text(b, "ChecksumAlgorithm", digest_name(kind));
    type = s3_attrs_get(e->attrs, e->attrs_len, "x-amz-checksum-type");
    if (type != NULL) {
        xml_text(b, "ChecksumType", type);
    }
    free(type);
}

static void show_owner(const struct listing *l, struct buf *b,
                       const struct meta_list_entry *e)
{
    char name[ACL_NAME_MAX + 1];

    s3_grants_owner(l->request, e->attrs, e->attrs_len, name);
    xml_owner(b, "Owner", name);
}

static void show_object(const struct listing *l, struct buf *b,
                        const struct meta_list_entry *e)
{
    xml_open(b, "Contents");
    name_text(l, b, "Key", e->name);
    xml_time(b, "LastModified", e->modified_ms);
    xml_etag(b, "ETag", e->etag);
    show_checksum_kind(b, e);
    xml_u64(b, "Size", e->size_bytes);
    if (l->owner) {
        show_owner(l, b, e);
    }
    xml_text(b, "StorageClass", "STANDARD");
    xml_close(b, "Contents");
}

static void show_upload(const struct listing *l, struct buf *b,
                        const struct meta_list_entry *e)
{
    char owner[ACL_NAME_MAX + 1];
    char id[2 * META_UPLOAD_ID + 1];
    char *algorithm =
        s3_attrs_get(e->attrs, e->attrs_len, "x-amz-checksum-algorithm");
    char *type = s3_attrs_get(e->attrs, e->attrs_len, "x-amz-checksum-type");

    s3_grants_owner(l->request, e->attrs, e->attrs_len, owner);
    xml_open(b, "Upload");
    name_text(l, b, "Key", e->name);
    xml_text(b, "UploadId", text_hex(e->upload, META_UPLOAD_ID, id));
    xml_owner(b, "Initiator", owner);
    xml_owner(b, "Owner", owner);
    xml_text(b, "StorageClass", "STANDARD");
    xml_time(b, "Initiated", e->modified_ms);
    if (algorithm != NULL && type != NULL) {
        xml_text(b, "ChecksumAlgorithm", algorithm);
        xml_text(b, "ChecksumType", type);
    }
    xml_close(b, "Upload");
    free(algorithm);
    free(type);
}

/* Entries first, then common prefixes, as S3 does. */
static void show_entries(const struct listing *l, struct buf *b,
                         const struct meta_list *page,
                         void (*show)(const struct listing *l, struct buf *b,
                                      const struct meta_list_entry *e))
{
    for (size_t i = 0; i < page->count; i++) {
        if (!page->entries[i].is_prefix) {
            show(l, b, &page->entries[i]);
        }
    }
    for (size_t i = 0; i < page->count; i++) {
        if (page->entries[i].is_prefix) {
            xml_open(b, "CommonPrefixes");
            name_text(l, b, "Prefix", page->entries[i].name);
            xml_close(b, "CommonPrefixes");
        }
    }
}

static const struct meta_list_entry *last_of(const struct meta_list *page)
{
    return page->truncated && page->count > 0 ? &page->entries[page->count - 1]
                                              : NULL;
}

/* Read the page. A page of nothing is not asked of the catalogue, but its
 * bucket must be there. False: a reply was made. */
static bool read_page(const struct listing *l, struct meta_list *page,
                      int (*list)(struct meta *m,
                                  const struct meta_list_query *q,
                                  struct meta_list *out, struct err *err))
{
    struct request *r = l->request;
    struct meta_bucket bucket = {0};
    struct err err = {{0}};
    int rc;

    if (l->query.max > 0) {
        rc = list(r->gateway->meta, &l->query, page, &err);
    } else {
        rc = meta_bucket_get(r->gateway->meta, r->bucket, &bucket, &err);
        meta_bucket_free(&bucket);
    }
    if (rc != 0) {
        reply_err(r, rc, &err);
    }
    return rc == 0;
}

/* ---- ListObjects ---- */

void s3_list_objects(struct request *r)
{
    struct listing l = {.request = r, .owner = true};
    struct meta_list page = {0};
    const struct meta_list_entry *last;
    struct buf *b;

    if (!common_params(&l, "max-keys") ||
        !key_param(r, "marker", &l.query.after) ||
        !read_page(&l, &page, meta_list_objects)) {
        return;
    }
    last = last_of(&page);
    b = reply_xml(r, 200, "ListBucketResult");
    xml_text(b, "Name", r->bucket);
    name_text(&l, b, "Prefix", l.query.prefix);
    name_text(&l, b, "Marker", l.query.after);
    if (last != NULL && l.query.delimiter[0] != '\0') {
        name_text(&l, b, "NextMarker", last->name);
    }
    xml_u64(b, "MaxKeys", l.max);
    optional_name(&l, b, "Delimiter", l.query.delimiter);
    if (l.encode) {
        xml_text(b, "EncodingType", "url");
    }
    xml_bool(b, "IsTruncated", last != NULL);
    show_entries(&l, b, &page, show_object);
    xml_close(b, "ListBucketResult");
    meta_list_free(&page);
}

/* ---- ListObjectsV2 ---- */

static void token_text(struct buf *b, const char *element, const char *name)
{
    struct buf raw = {0};
    size_t len = strlen(name);
    char *text = mem_alloc(TEXT_BASE64_MAX(TOKEN_HEAD + len));

    put_u8(&raw, TOKEN_VERSION);
    put_u32(&raw, crc32c(0, name, len));
    put_bytes(&raw, name, len);
    xml_text(b, element, text_base64(raw.data, raw.len, text));
    free(text);
    buf_free(&raw);
}

/* The name in a token of ours (free()); NULL when it is none. */
static char *token_parse(const char *text)
{
    size_t text_len = strlen(text);
    size_t len = 0;
    uint8_t *raw;
    char *name = NULL;

    if (text_len > TEXT_BASE64_MAX(TOKEN_HEAD + META_KEY_MAX)) {
        return NULL;
    }
    raw = mem_alloc(text_len + 1);
    if (text_unbase64(text, text_len, raw, &len) && len > TOKEN_HEAD &&
        raw[0] == TOKEN_VERSION &&
        load_u32(raw + 1) == crc32c(0, raw + TOKEN_HEAD, len - TOKEN_HEAD) &&
        memchr(raw + TOKEN_HEAD, 0, len - TOKEN_HEAD) == NULL) {
        name = mem_strndup((char *)raw + TOKEN_HEAD, len - TOKEN_HEAD);
    }
    free(raw);
    return name;
}

static bool v2_params(struct listing *l, const char **start_after)
{
    struct request *r = l->request;
    const char *token = request_param(r, "continuation-token");
    const char *fetch = request_param(r, "fetch-owner");

    if (!common_params(l, "max-keys") ||
        !key_param(r, "start-after", start_after)) {
        return false;
    }
    l->owner = fetch != NULL && text_ieq(fetch, "true");
    l->query.after = *start_after;
    if (token != NULL) {
        l->token = token_parse(token);
        if (l->token == NULL) {
            reply_error(r, S3_InvalidArgument,
                        "The continuation token provided is incorrect");
            return false;
        }
        l->query.after = l->token;
    }
    return true;
}

void s3_list_objects_v2(struct request *r)
{
    struct listing l = {.request = r};
    struct meta_list page = {0};
    const char *start_after = "";
    const struct meta_list_entry *last;
    struct buf *b;

    if (!v2_params(&l, &start_after) ||
        !read_page(&l, &page, meta_list_objects)) {
        goto out;
    }
    last = last_of(&page);
    b = reply_xml(r, 200, "ListBucketResult");
    xml_text(b, "Name", r->bucket);
    name_text(&l, b, "Prefix", l.query.prefix);
    if (l.token != NULL) {
        xml_text(b, "ContinuationToken",
                 request_param(r, "continuation-token"));
    }
    if (last != NULL) {
        token_text(b, "NextContinuationToken", last->name);
    }
    optional_name(&l, b, "StartAfter", start_after);
    xml_u64(b, "KeyCount", page.count);
    xml_u64(b, "MaxKeys", l.max);
    optional_name(&l, b, "Delimiter", l.query.delimiter);
    if (l.encode) {
        xml_text(b, "EncodingType", "url");
    }
    xml_bool(b, "IsTruncated", last != NULL);
    show_entries(&l, b, &page, show_object);
    xml_close(b, "ListBucketResult");
    meta_list_free(&page);

out:
    free(l.token);
}

/* ---- ListObjectVersions ---- */

static bool versions_params(struct listing *l)
{
    struct request *r = l->request;
    const char *marker = request_param(r, "version-id-marker");
    const char *why;

    if (!common_params(l, "max-keys") ||
        !key_param(r, "key-marker", &l->query.after)) {
        return false;
    }
    if (marker == NULL || marker[0] == '\0') {
        return true;
    }
    if (l->query.after[0] == '\0') {
        reply_error(r, S3_InvalidArgument,
                    "A version-id marker cannot be specified without a key "
                    "marker.");
        return false;
    }
    if (!s3_version_parse(marker, &l->query.after_version, &why)) {
        reply_error(r, S3_InvalidArgument, "Invalid version id specified");
        return false;
    }
    return true;
}

static void show_version(const struct listing *l, struct buf *b,
                         const struct meta_list_entry *e)
{
    const char *element = e->is_marker ? "DeleteMarker" : "Version";
    char text[S3_VERSION_TEXT];

    xml_open(b, element);
    name_text(l, b, "Key", e->name);
    xml_text(b, "VersionId", s3_version_text(e->version, text));
    xml_bool(b, "IsLatest", e->is_latest);
    xml_time(b, "LastModified", e->modified_ms);
    if (!e->is_marker) {
        xml_etag(b, "ETag", e->etag);
        show_checksum_kind(b, e);
        xml_u64(b, "Size", e->size_bytes);
        xml_text(b, "StorageClass", "STANDARD");
    }
    if (e->is_marker) {
        xml_owner(b, "Owner", s3_target_owner(l->request));
    } else {
        show_owner(l, b, e);
    }
    xml_close(b, element);
}

static void show_versions_head(const struct listing *l, struct buf *b,
                               const struct meta_list_entry *last)
{
    const char *marker = request_param(l->request, "version-id-marker");
    char text[S3_VERSION_TEXT];

    xml_text(b, "Name", l->request->bucket);
    name_text(l, b, "Prefix", l->query.prefix);
    name_text(l, b, "KeyMarker", l->query.after);
    xml_text(b, "VersionIdMarker", marker != NULL ? marker : "");
    if (last != NULL) {
        name_text(l, b, "NextKeyMarker", last->name);
    }
    if (last != NULL && !last->is_prefix) {
        xml_text(b, "NextVersionIdMarker",
                 s3_version_text(last->version, text));
    }
    xml_u64(b, "MaxKeys", l->max);
    optional_name(l, b, "Delimiter", l->query.delimiter);
    if (l->encode) {
        xml_text(b, "EncodingType", "url");
    }
    xml_bool(b, "IsTruncated", last != NULL);
}

void s3_list_object_versions(struct request *r)
{
    struct listing l = {.request = r};
    struct meta_list page = {0};
    struct buf *b;

    if (!versions_params(&l) || !read_page(&l, &page, meta_list_versions)) {
        return;
    }
    b = reply_xml(r, 200, "ListVersionsResult");
    show_versions_head(&l, b, last_of(&page));
    show_entries(&l, b, &page, show_version);
    xml_close(b, "ListVersionsResult");
    meta_list_free(&page);
}

/* ---- ListMultipartUploads ---- */

static bool uploads_params(struct listing *l)
{
    struct request *r = l->request;
    const char *marker = request_param(r, "upload-id-marker");

    if (!common_params(l, "max-uploads") ||
        !key_param(r, "key-marker", &l->query.after)) {
        return false;
    }
    /* Without a key it has no meaning and is ignored, as AWS says. */
    if (marker == NULL || marker[0] == '\0' || l->query.after[0] == '\0') {
        return true;
    }
    if (!text_unhex(marker, strlen(marker), l->upload, META_UPLOAD_ID)) {
        reply_error(r, S3_InvalidArgument, "Invalid uploadId marker");
        return false;
    }
    l->query.after_upload = l->upload;
    return true;
}

static void show_uploads_head(const struct listing *l, struct buf *b,
                              const struct meta_list_entry *last)
{
    char id[2 * META_UPLOAD_ID + 1];

    xml_text(b, "Bucket", l->request->bucket);
    name_text(l, b, "KeyMarker", l->query.after);
    xml_text(b, "UploadIdMarker",
             l->query.after_upload != NULL
                 ? text_hex(l->upload, META_UPLOAD_ID, id)
                 : "");
    if (last != NULL) {
        name_text(l, b, "NextKeyMarker", last->name);
        xml_text(
            b, "NextUploadIdMarker",
            last->is_prefix ? "" : text_hex(last->upload, META_UPLOAD_ID, id));
    }
    name_text(l, b, "Prefix", l->query.prefix);
    optional_name(l, b, "Delimiter", l->query.delimiter);
    if (l->encode) {
        xml_text(b, "EncodingType", "url");
    }
    xml_u64(b, "MaxUploads", l->max);
    xml_bool(b, "IsTruncated", last != NULL);
}

void s3_list_uploads(struct request *r)
{
    struct listing l = {.request = r};
    struct meta_list page = {0};
    struct buf *b;

    if (!uploads_params(&l) || !read_page(&l, &page, meta_list_uploads)) {
        return;
    }
    b = reply_xml(r, 200, "ListMultipartUploadsResult");
    show_uploads_head(&l, b, last_of(&page));
    show_entries(&l, b, &page, show_upload);
    xml_close(b, "ListMultipartUploadsResult");
    meta_list_free(&page);
}

/* ---- ListBuckets ---- */

/* Up to @max buckets whose names begin with @prefix, after @after, into @b.
 * Gives the last one shown when there are more (free()), else NULL. */
static int show_buckets(struct request *r, const char *prefix,
                        const char *after, uint64_t max, struct buf *b,
                        char **next, struct err *err)
{
    char *at = mem_strdup(after);
    uint64_t shown = 0;
    bool more = true;
    int rc = 0;

    while (more && rc == 0) {
        struct meta_bucket *page = NULL;
        size_t count = 0;
        rc = meta_buckets(r->gateway->meta, at[0] != '\0' ? at : NULL, PAGE_MAX,
                          &page, &count, err);
        more = rc == 0 && count == PAGE_MAX;
        for (size_t i = 0; i < count; i++) {
            if (*next == NULL && text_starts(page[i].name, prefix) &&
                s3_is_owner(r, page[i].owner)) {
                if (shown == max) {
                    *next = mem_strdup(at);
                    more = false;
                } else {
                    xml_open(b, "Bucket");
                    xml_text(b, "Name", page[i].name);
                    xml_time(b, "CreationDate", page[i].created_ms);
                    xml_close(b, "Bucket");
                    shown++;
                }
            }
            if (*next == NULL) {
                free(at);
                at = mem_strdup(page[i].name);
            }
            meta_bucket_free(&page[i]);
        }
        free(page);
    }
    free(at);
    return rc;
}

void s3_list_buckets(struct request *r)
{
    const char *token = request_param(r, "continuation-token");
    const char *prefix = "";
    struct buf buckets = {0};
    struct err err = {{0}};
    char *after = NULL;
    char *next = NULL;
    uint64_t max;
    struct buf *b;
    int rc;

    if (!key_param(r, "prefix", &prefix) ||
        !request_param_u64(r, "max-buckets", BUCKETS_PAGE_MAX, 1,
                           BUCKETS_PAGE_MAX, &max)) {
        return;
    }
    if (request_param(r, "max-buckets") == NULL) {
        max = UINT64_MAX;
    }
    after = token != NULL ? token_parse(token) : mem_strdup("");
    if (after == NULL) {
        reply_error(r, S3_InvalidArgument,
                    "The continuation token provided is incorrect");
        return;
    }
    rc = show_buckets(r, prefix, after, max, &buckets, &next, &err);
    if (rc != 0) {
        reply_err(r, rc, &err);
        goto out;
    }
    b = reply_xml(r, 200, "ListAllMyBucketsResult");
    xml_owner(b, "Owner", s3_owner_name(r));
    xml_open(b, "Buckets");
    buf_append(b, buckets.data, buckets.len);
    xml_close(b, "Buckets");
    if (next != NULL) {
        token_text(b, "ContinuationToken", next);
    }
    if (prefix[0] != '\0') {
        xml_text(b, "Prefix", prefix);
    }
    xml_close(b, "ListAllMyBucketsResult");

out:
    buf_free(&buckets);
    free(after);
    free(next);
}
