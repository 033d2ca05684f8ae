/* Listings: buckets, objects, parts; and multipart uploads. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "client/s3_internal.h"
#include "client/xml_walk.h"

/* Room for one more zeroed item in an array that doubles. */
static void *grow(void *items, size_t *count, size_t size)
{
    if ((*count & (*count - 1)) == 0) { /* 0 or a power of two: full */
        size_t cap = *count == 0 ? 1 : *count * 2;
        items = mem_realloc(items, cap * size);
    }
    memset((char *)items + *count * size, 0, size);
    (*count)++;
    return items;
}

static bool ends_with(const char *s, const char *end)
{
    size_t len = strlen(s);
    size_t n = strlen(end);

    return len >= n && strcmp(s + len - n, end) == 0;
}

static void replace(char **field, char *value)
{
    free(*field);
    *field = value;
}

static int take_key(char **field, const char *text, struct err *err)
{
    char *key = s3_url_text(text);

    if (key == NULL) {
        return err_set(err, ERR_CORRUPT, "response: a key is badly encoded");
    }
    replace(field, key);
    return 0;
}

static int take_u64(uint64_t *field, const char *text, struct err *err)
{
    return text_u64(text, field)
               ? 0
               : err_set(err, ERR_CORRUPT, "response: \"%.40s\" is no number",
                         text);
}

/* Get @k and walk its document; an answer that is no XML is corrupt. */
static int call_and_walk(struct s3_client *c, struct s3_call *k,
                         int (*fn)(void *arg, const char *path,
                                   const char *text, struct err *err),
                         void *arg, struct err *err)
{
    struct http_response r = {0};
    int rc = s3_call(c, k, &r, err);

    if (rc == 0) {
        rc = xml_walk(r.body.data, r.body.len, fn, arg, err);
        http_response_free(&r);
        if (rc == ERR_BAD_INPUT) {
            rc = err_wrap(err, ERR_CORRUPT, "response");
        }
    }
    return rc;
}

/* ---- buckets ---- */

void s3_buckets_free(struct s3_buckets *b)
{
    for (size_t i = 0; i < b->count; i++) {
        free(b->items[i].name);
    }
    free(b->items);
    memset(b, 0, sizeof *b);
}

static int take_bucket(void *arg, const char *path, const char *text,
                       struct err *err)
{
    struct s3_buckets *b = arg;
    const char *leaf = path + strlen("ListAllMyBucketsResult/Buckets/Bucket");
    struct s3_bucket *last;

    (void)err;
    if (!text_starts(path, "ListAllMyBucketsResult/Buckets/Bucket")) {
        return 0;
    }
    if (text == NULL) {
        if (*leaf == '\0') {
            b->items = grow(b->items, &b->count, sizeof *b->items);
        }
        return 0;
    }
    last = &b->items[b->count - 1];
    if (strcmp(leaf, "/Name") == 0) {
        replace(&last->name, mem_strdup(text));
    } else if (strcmp(leaf, "/CreationDate") == 0) {
        text_parse_iso8601(text, &last->time_ms);
    }
    return 0;
}

int s3_client_list_buckets(struct s3_client *c, struct s3_buckets *out,
                           struct err *err)
{
    struct s3_call k = {.method = "GET"};
    struct s3_buckets b = {0};
    int rc = call_and_walk(c, &k, take_bucket, &b, err);

    for (size_t i = 0; rc == 0 && i < b.count; i++) {
        if (b.items[i].name == NULL) {
            rc = err_set(err, ERR_CORRUPT, "response: a bucket has no name");
        }
    }
    if (rc != 0) {
        s3_buckets_free(&b);
        return rc;
    }
    *out = b;
    return 0;
}

/* ---- objects ---- */

void s3_page_free(struct s3_page *p)
{
    for (size_t i = 0; i < p->object_count; i++) {
        free(p->objects[i].key);
        free(p->objects[i].etag);
    }
    for (size_t i = 0; i < p->prefix_count; i++) {
        free(p->prefixes[i]);
    }
    free(p->objects);
    free(p->prefixes);
    free(p->next);
    memset(p, 0, sizeof *p);
}

static int take_contents(struct s3_object *o, const char *leaf,
                         const char *text, struct err *err)
{
    if (strcmp(leaf, "/Key") == 0) {
        return take_key(&o->key, text, err);
    }
    if (strcmp(leaf, "/Size") == 0) {
        return take_u64(&o->size, text, err);
    }
    if (strcmp(leaf, "/ETag") == 0) {
        replace(&o->etag, mem_strdup(text));
    } else if (strcmp(leaf, "/LastModified") == 0) {
        text_parse_iso8601(text, &o->time_ms);
    }
    return 0;
}

static int take_page(void *arg, const char *path, const char *text,
                     struct err *err)
{
    static const char contents[] = "ListBucketResult/Contents";
    static const char prefixes[] = "ListBucketResult/CommonPrefixes";
    struct s3_page *p = arg;

    if (text == NULL) {
        if (strcmp(path, contents) == 0) {
            p->objects = grow(p->objects, &p->object_count, sizeof *p->objects);
        } else if (strcmp(path, prefixes) == 0) {
            p->prefixes =
                grow(p->prefixes, &p->prefix_count, sizeof *p->prefixes);
        }
        return 0;
    }
    if (text_starts(path, contents)) {
        return take_contents(&p->objects[p->object_count - 1],
                             path + strlen(contents), text, err);
    }
    if (text_starts(path, prefixes) && ends_with(path, "/Prefix")) {
        return take_key(&p->prefixes[p->prefix_count - 1], text, err);
    }
    if (strcmp(path, "ListBucketResult/NextContinuationToken") == 0) {
        replace(&p->next, mem_strdup(text));
    }
    return 0;
}

static bool page_whole(const struct s3_page *p)
{
    for (size_t i = 0; i < p->object_count; i++) {
        if (p->objects[i].key == NULL) {
            return false;
        }
    }
    for (size_t i = 0; i < p->prefix_count; i++) {
        if (p->prefixes[i] == NULL) {
            return false;
        }
    }
    return true;
}

int s3_client_list_objects(struct s3_client *c, const struct s3_list *l,
                           struct s3_page *out, struct err *err)
{
    struct s3_call k = {.method = "GET", .bucket = l->bucket};
    struct s3_page p = {0};
    int rc;

    s3_query(&k, "list-type", "2");
    s3_query(&k, "encoding-type", "url");
    if (l->prefix != NULL && *l->prefix != '\0') {
        s3_query(&k, "prefix", l->prefix);
    }
    if (l->delimiter != NULL) {
        s3_query(&k, "delimiter", l->delimiter);
    }
    if (l->token != NULL) {
        s3_query(&k, "continuation-token", l->token);
    }
    if (l->max_keys != 0) {
        s3_query_u64(&k, "max-keys", l->max_keys);
    }
    rc = call_and_walk(c, &k, take_page, &p, err);
    if (rc == 0 && !page_whole(&p)) {
        rc = err_set(err, ERR_CORRUPT, "response: an object has no key");
    }
    if (rc != 0) {
        s3_page_free(&p);
        return rc;
    }
    *out = p;
    return 0;
}

/* ---- versions ---- */

void s3_versions_free(struct s3_versions *v)
{
    for (size_t i = 0; i < v->count; i++) {
        free(v->items[i].key);
        free(v->items[i].version);
        free(v->items[i].etag);
    }
    free(v->items);
    free(v->next_key);
    free(v->next_version);
    memset(v, 0, sizeof *v);
}

static int take_version(struct s3_version *v, const char *leaf,
                        const char *text, struct err *err)
{
    if (strcmp(leaf, "/Key") == 0) {
        return take_key(&v->key, text, err);
    }
    if (strcmp(leaf, "/Size") == 0) {
        return take_u64(&v->size, text, err);
    }
    if (strcmp(leaf, "/VersionId") == 0) {
        replace(&v->version, mem_strdup(text));
    } else if (strcmp(leaf, "/ETag") == 0) {
        replace(&v->etag, mem_strdup(text));
    } else if (strcmp(leaf, "/IsLatest") == 0) {
        v->is_latest = strcmp(text, "true") == 0;
    } else if (strcmp(leaf, "/LastModified") == 0) {
        text_parse_iso8601(text, &v->time_ms);
    }
    return 0;
}

static int take_versions(void *arg, const char *path, const char *text,
                         struct err *err)
{
    static const char *const elements[] = {"ListVersionsResult/Version",
                                           "ListVersionsResult/DeleteMarker"};
    struct s3_versions *v = arg;

    for (size_t i = 0; i < 2; i++) {
        size_t len = strlen(elements[i]);
        if (strncmp(path, elements[i], len) != 0 ||
            (path[len] != '\0' && path[len] != '/')) {
            continue; /* VersionIdMarker begins alike */
        }
        if (text != NULL) {
            return take_version(&v->items[v->count - 1], path + len, text, err);
        }
        if (path[len] == '\0') {
            v->items = grow(v->items, &v->count, sizeof *v->items);
            v->items[v->count - 1].is_marker = i == 1;
        }
        return 0;
    }
    if (text != NULL && strcmp(path, "ListVersionsResult/NextKeyMarker") == 0) {
        return take_key(&v->next_key, text, err);
    }
    if (text != NULL &&
        strcmp(path, "ListVersionsResult/NextVersionIdMarker") == 0) {
        replace(&v->next_version, mem_strdup(text));
    }
    return 0;
}

int s3_client_list_versions(struct s3_client *c,
                            const struct s3_list_versions *l,
                            struct s3_versions *out, struct err *err)
{
    struct s3_call k = {.method = "GET", .bucket = l->bucket};
    struct s3_versions v = {0};
    int rc;

    s3_query(&k, "versions", NULL);
    s3_query(&k, "encoding-type", "url");
    if (l->prefix != NULL && *l->prefix != '\0') {
        s3_query(&k, "prefix", l->prefix);
    }
    if (l->after_key != NULL) {
        s3_query(&k, "key-marker", l->after_key);
    }
    if (l->after_version != NULL) {
        s3_query(&k, "version-id-marker", l->after_version);
    }
    rc = call_and_walk(c, &k, take_versions, &v, err);
    for (size_t i = 0; rc == 0 && i < v.count; i++) {
        if (v.items[i].key == NULL || v.items[i].version == NULL) {
            rc = err_set(err, ERR_CORRUPT, "response: a version has no name");
        }
    }
    if (rc != 0) {
        s3_versions_free(&v);
        return rc;
    }
    *out = v;
    return 0;
}

/* ---- multipart uploads ---- */

static int take_upload_id(void *arg, const char *path, const char *text,
                          struct err *err)
{
    (void)err;
    if (text != NULL &&
        strcmp(path, "InitiateMultipartUploadResult/UploadId") == 0) {
        replace(arg, mem_strdup(text));
    }
    return 0;
}

int s3_client_create_upload(struct s3_client *c, const char *bucket,
                            const char *key, const char *content_type,
                            char **id, struct err *err)
{
    struct s3_call k = {.method = "POST", .bucket = bucket, .key = key};
    char *found = NULL;
    int rc;

    s3_query(&k, "uploads", NULL);
    if (content_type != NULL) {
        s3_call_header(&k, "content-type", content_type);
    }
    s3_call_header(&k, "x-amz-checksum-algorithm", "CRC64NVME");
    s3_call_header(&k, "x-amz-checksum-type", "FULL_OBJECT");
    rc = call_and_walk(c, &k, take_upload_id, &found, err);
    if (rc == 0 && (found == NULL || *found == '\0')) {
        rc = err_set(err, ERR_CORRUPT, "response: no UploadId");
    }
    if (rc != 0) {
        free(found);
        return rc;
    }
    *id = found;
    return 0;
}

int s3_client_upload_part(struct s3_client *c, const struct s3_client_upload *u,
                          unsigned number, const struct s3_body *body,
                          char **etag, struct err *err)
{
    struct s3_call k = {
        .method = "PUT", .bucket = u->bucket, .key = u->key, .body = body};
    struct http_response r = {0};
    int rc;

    CHECK(number >= 1 && number <= S3_CLIENT_PARTS_MAX);
    s3_query_u64(&k, "partNumber", number);
    s3_query(&k, "uploadId", u->id);
    rc = s3_call(c, &k, &r, err);
    if (rc == 0) {
        *etag = s3_header_copy(&r, "etag");
        http_response_free(&r);
    }
    return rc;
}

void s3_parts_free(struct s3_parts *p)
{
    for (size_t i = 0; i < p->count; i++) {
        free(p->items[i].etag);
    }
    free(p->items);
    memset(p, 0, sizeof *p);
}

struct parts_page {
    struct s3_parts *parts;
    uint64_t next;
    bool truncated;
};

static int take_parts(void *arg, const char *path, const char *text,
                      struct err *err)
{
    static const char part[] = "ListPartsResult/Part";
    struct parts_page *page = arg;
    struct s3_parts *p = page->parts;
    struct s3_part *last = p->count > 0 ? &p->items[p->count - 1] : NULL;
    uint64_t number = 0;
    int rc = 0;

    if (text == NULL) {
        if (strcmp(path, part) == 0) {
            p->items = grow(p->items, &p->count, sizeof *p->items);
        }
    } else if (strcmp(path, "ListPartsResult/Part/PartNumber") == 0) {
        rc = take_u64(&number, text, err);
        last->number = (unsigned)(number <= S3_CLIENT_PARTS_MAX ? number : 0);
    } else if (strcmp(path, "ListPartsResult/Part/Size") == 0) {
        rc = take_u64(&last->size, text, err);
    } else if (strcmp(path, "ListPartsResult/Part/ETag") == 0) {
        replace(&last->etag, mem_strdup(text));
    } else if (strcmp(path, "ListPartsResult/NextPartNumberMarker") == 0) {
        rc = *text == '\0' ? 0 : take_u64(&page->next, text, err);
    } else if (strcmp(path, "ListPartsResult/IsTruncated") == 0) {
        page->truncated = strcmp(text, "true") == 0;
    }
    return rc;
}

/* Numbers rise, from 1; each has an ETag. */
static bool parts_whole(const struct s3_parts *p)
{
    unsigned before = 0;

    for (size_t i = 0; i < p->count; i++) {
        if (p->items[i].number <= before || p->items[i].etag == NULL) {
            return false;
        }
        before = p->items[i].number;
    }
    return true;
}

int s3_client_list_parts(struct s3_client *c, const struct s3_client_upload *u,
                         struct s3_parts *out, struct err *err)
{
    struct s3_parts p = {0};
    uint64_t marker = 0;
    int rc;

    for (;;) {
        struct parts_page page = {.parts = &p};
        struct s3_call k = {
            .method = "GET", .bucket = u->bucket, .key = u->key};
        s3_query(&k, "uploadId", u->id);
        if (marker > 0) {
            s3_query_u64(&k, "part-number-marker", marker);
        }
        rc = call_and_walk(c, &k, take_parts, &page, err);
        if (rc == 0 &&
            (!parts_whole(&p) || (page.truncated && page.next <= marker))) {
            rc = err_set(err, ERR_CORRUPT, "response: parts out of order");
        }
        if (rc != 0 || !page.truncated) {
            break;
        }
        marker = page.next;
    }
    if (rc != 0) {
        s3_parts_free(&p);
        return rc;
    }
    *out = p;
    return 0;
}

int s3_client_complete_upload(struct s3_client *c,
                              const struct s3_client_upload *u,
                              const struct s3_part *parts, size_t count,
                              struct err *err)
{
    struct buf doc = {0};
    struct s3_body body = {0};
    struct s3_call k = {.method = "POST",
                        .bucket = u->bucket,
                        .key = u->key,
                        .body = &body,
                        .no_crc = true,
                        .conditional = true};
    int rc;

    buf_str(&doc, "<CompleteMultipartUpload>");
    for (size_t i = 0; i < count; i++) {
        buf_printf(&doc,
                   "<Part><PartNumber>%u</PartNumber><ETag>%s</ETag></Part>",
                   parts[i].number, parts[i].etag);
    }
    buf_str(&doc, "</CompleteMultipartUpload>");
    body.data = doc.data;
    body.size = doc.len;
    s3_query(&k, "uploadId", u->id);
    s3_call_header(&k, "content-type", "application/xml");
    rc = s3_call_plain(c, &k, err);
    buf_free(&doc);
    return rc;
}

int s3_client_abort_upload(struct s3_client *c,
                           const struct s3_client_upload *u, struct err *err)
{
    struct s3_call k = {.method = "DELETE", .bucket = u->bucket, .key = u->key};

    s3_query(&k, "uploadId", u->id);
    return s3_call_plain(c, &k, err);
}
