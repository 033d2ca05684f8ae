/* CopyObject and UploadPartCopy.
 *
 * A copy of an object shares the bytes of its source: one command, whatever the
 * size, and the copy keeps the source's ETag and checksum. A part that is a
 * copy is read and written anew, because its bytes may be any range: a worker
 * moves them chunk by chunk through one pool buffer.
 *
 * Source: AWS S3 API Reference, CopyObject, UploadPartCopy.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/pool.h"
#include "base/text.h"
#include "erasure/geometry.h"
#include "gateway/access.h"
#include "gateway/bucket_rules.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_access.h"
#include "gateway/s3_attrs.h"
#include "gateway/s3_conditions.h"
#include "gateway/s3_more.h"
#include "gateway/s3_range.h"
#include "gateway/s3_reader.h"
#include "gateway/s3_router.h"
#include "gateway/s3_sse.h"
#include "gateway/s3_upload.h"
#include "gateway/s3_version.h"
#include "gateway/s3_xml.h"
#include "object/object_put.h"
#include "object/object_store.h"

#define SOURCE_VERSION "x-amz-copy-source-version-id"
#define TRIES 5 /* when the source changes between read and commit */
#define BUFFER_WAIT_MS 30000
#define CHUNK_MIN ((uint32_t)256 << 10)
/* Of the pool's budget, what one copy may hold: a chunk being filled and those
 * being written. */
#define BUDGET_SHARE 16

/* ---- the source ---- */

struct source {
    char bucket[META_BUCKET_MAX + 1];
    char *key;
    uint64_t which;             /* as asked: a version, or the current one */
    struct access_bucket *from; /* NULL: of root, and not known here */
    unsigned consent;           /* of enum s3_consent, to read it */
    struct meta_object object;
};

static void source_free(struct source *s)
{
    free(s->key);
    access_bucket_free(s->from);
    meta_object_free(&s->object);
}

static bool bad_source(struct request *r)
{
    reply_error(r, S3_InvalidArgument,
                "Copy Source must mention the source bucket and key: "
                "/sourcebucket/sourcekey");
    return false;
}

/* x-amz-copy-source: "[/]bucket/key[?versionId=ID]", percent-encoded. A '?' of
 * the key is encoded, so the first plain one begins the query. */
static bool parse_source(struct request *r, struct source *s)
{
    const char *text = request_header(r, "x-amz-copy-source");
    const char *query = strchr(text, '?');
    size_t len = query != NULL ? (size_t)(query - text) : strlen(text);
    const char *why = NULL;
    struct buf name = {0};
    char *slash;
    bool good = false;

    if (query != NULL) {
        if (!text_starts(query, "?versionId=")) {
            return bad_source(r);
        }
        if (!s3_version_parse(query + strlen("?versionId="), &s->which, &why)) {
            reply_error(r, S3_InvalidArgument, "%s", why);
            return false;
        }
    }
    if (len > 0 && text_uri_decode(&name, text, len) &&
        memchr(name.data, 0, name.len) == NULL) {
        char *p = (char *)name.data + (name.data[0] == '/');
        slash = strchr(p, '/');
        if (slash != NULL && slash - p <= META_BUCKET_MAX &&
            s3_key_valid(slash + 1, strlen(slash + 1), &why)) {
            memcpy(s->bucket, p, (size_t)(slash - p));
            s->bucket[slash - p] = '\0';
            s->key = mem_strdup(slash + 1);
            good = s3_bucket_name_valid(s->bucket, &why);
        }
    }
    buf_free(&name);
    if (!good) {
        return bad_source(r);
    }
    return s3_require_read(r, s->which != META_VERSION_CURRENT, s->bucket,
                           s->key, &s->from, &s->consent);
}

/* The conditions on the source; a copy answers 412 where a GET would answer
 * 304. False: a reply was made. */
static bool judge_source(struct request *r, const struct source *s)
{
    if (s3_conditions_get(
            request_header(r, "x-amz-copy-source-if-match"),
            request_header(r, "x-amz-copy-source-if-none-match"),
            request_header(r, "x-amz-copy-source-if-modified-since"),
            request_header(r, "x-amz-copy-source-if-unmodified-since"),
            s->object.etag, s->object.modified_ms) != S3_CONDITION_PROCEED) {
        reply_error(r, S3_PreconditionFailed, NULL);
        return false;
    }
    return true;
}

/* Read the source's row anew and judge it. False: a reply was made. */
static bool read_source(struct request *r, struct source *s, bool with_content)
{
    struct s3_sse_how how;
    struct err err = {{0}};
    int rc;

    meta_object_free(&s->object);
    rc = meta_version_get(r->gateway->meta, s->bucket, s->key, s->which,
                          with_content, &s->object, &err);
    if (rc == ERR_NO_KEY || rc == ERR_NO_VERSION ||
        (rc == 0 && s->object.is_marker)) {
        if (!s3_may_be_told(r, s->bucket)) {
            return false;
        }
    }
    if (rc != 0) {
        reply_err(r, rc, &err);
        return false;
    }
    if (s->object.is_marker && s->which != META_VERSION_CURRENT) {
        reply_error(r, S3_InvalidRequest,
                    "The source of a copy request may not specifically refer "
                    "to a delete marker by version id.");
        return false;
    }
    if (s->object.is_marker) {
        reply_error(r, S3_NoSuchKey, NULL);
        return false;
    }
    if (!s3_object_allowed(r, s->from, s->consent, ACL_READ, s->object.attrs,
                           s->object.attrs_len)) {
        return false;
    }
    s3_sse_how_of(s->object.attrs, s->object.attrs_len, &how);
    if (how.kind != S3_SSE_NONE) {
        reply_error(r, S3_NotImplemented,
                    "to copy an object that is encrypted with a key of the "
                    "client's is not implemented");
        return false;
    }
    return judge_source(r, s);
}

static void show_checksum(struct buf *b, const void *attrs, size_t len)
{
    enum digest_kind kind;
    char value[64];
    char *type;

    if (s3_attrs_checksum(attrs, len, &kind, value)) {
        type = s3_attrs_get(attrs, len, "x-amz-checksum-type");
        xml_checksum(b, kind, value);
        if (type != NULL) {
            xml_text(b, "ChecksumType", type);
        }
        free(type);
    }
}

/* ---- CopyObject ---- */

struct object_copy {
    struct request *request;
    struct source source;
    struct s3_put_conditions held;
    struct buf given; /* attrs of the request's headers */
    struct s3_more more;
    bool replace; /* ... are the copy's */
};

/* Metadata and tags are each the source's or the request's. False: a reply was
 * made. */
static bool parse_directives(struct request *r, bool *replace,
                             bool *replace_tags)
{
    const char *text = request_header(r, "x-amz-metadata-directive");
    const char *tagging = request_header(r, "x-amz-tagging-directive");

    if (text != NULL && strcmp(text, "COPY") != 0 &&
        strcmp(text, "REPLACE") != 0) {
        reply_error(r, S3_InvalidArgument, "Unknown metadata directive.");
        return false;
    }
    if (tagging != NULL && strcmp(tagging, "COPY") != 0 &&
        strcmp(tagging, "REPLACE") != 0) {
        reply_error(r, S3_InvalidArgument, "Unknown tagging directive.");
        return false;
    }
    *replace = text != NULL && strcmp(text, "REPLACE") == 0;
    *replace_tags = tagging != NULL && strcmp(tagging, "REPLACE") == 0;
    return true;
}

/* The bytes are not read, so the only checksum that a copy can have is its
 * source's. */
static bool judge_algorithm(struct request *r, const struct source *s)
{
    const char *wanted = request_header(r, "x-amz-checksum-algorithm");
    enum digest_kind kind;
    char value[64];

    if (wanted == NULL ||
        (s3_attrs_checksum(s->object.attrs, s->object.attrs_len, &kind,
                           value) &&
         text_ieq(wanted, digest_name(kind)))) {
        return true;
    }
    reply_error(r, S3_NotImplemented,
                "a copy keeps its source's checksum; another algorithm is not "
                "implemented");
    return false;
}

static bool judge_self(const struct object_copy *c)
{
    struct request *r = c->request;

    if (!c->replace && c->source.which == META_VERSION_CURRENT &&
        strcmp(c->source.bucket, r->bucket) == 0 &&
        strcmp(c->source.key, r->key) == 0) {
        reply_error(r, S3_InvalidRequest,
                    "This copy request is illegal because it is trying to copy "
                    "an object to itself without changing the object's "
                    "metadata, storage class, website redirect location or "
                    "encryption attributes.");
        return false;
    }
    return true;
}

/* The attrs of the copy. */
static void copy_attrs(const struct object_copy *c, struct buf *out)
{
    const struct meta_object *o = &c->source.object;
    enum digest_kind kind;
    char value[64];
    char *type;

    if (!c->replace) {
        s3_attrs_begin(out);
        s3_attrs_copy_acl(c->given.data, c->given.len, out);
        s3_attrs_copy(o->attrs, o->attrs_len, true, out);
        return;
    }
    buf_append(out, c->given.data, c->given.len);
    if (s3_attrs_checksum(o->attrs, o->attrs_len, &kind, value)) {
        type = s3_attrs_get(o->attrs, o->attrs_len, "x-amz-checksum-type");
        s3_attrs_add(out, s3_checksum_header(kind), value);
        if (type != NULL) {
            s3_attrs_add(out, "x-amz-checksum-type", type);
        }
        free(type);
    }
}

static void reply_copied(struct request *r, const struct meta_object *o)
{
    struct buf *b = reply_xml(r, 200, "CopyObjectResult");

    s3_version_reply_made(r, r->proposal.version);
    s3_version_header(r, SOURCE_VERSION, o->version);
    xml_time(b, "LastModified", r->time_ms);
    xml_etag(b, "ETag", o->etag);
    show_checksum(b, o->attrs, o->attrs_len);
    xml_close(b, "CopyObjectResult");
}

/* One try with the source as it was read. */
static int propose_copy(const struct object_copy *c, struct err *err)
{
    struct request *r = c->request;
    const struct source *s = &c->source;
    struct meta_condition condition = {c->held.if_match, c->held.if_none_match};
    struct buf attrs = {0};
    int rc;

    copy_attrs(c, &attrs);
    buf_clear(&r->command);
    command_object_copy(&r->command, s->bucket, s->key, s->object.body,
                        r->bucket, r->key, &condition, s->object.etag,
                        attrs.data, attrs.len, r->time_ms);
    s3_more_add(r, &c->more);
    rc = meta_propose_wait(r->gateway->meta, &r->command, &r->proposal, err);
    buf_free(&attrs);
    return rc;
}

/* ERR_PRECONDITION says either that the source changed since it was read, or
 * that a condition on the destination does not hold: the first when the source
 * has another body now. */
static void copy(struct object_copy *c)
{
    struct request *r = c->request;

    for (int i = 0; i < TRIES; i++) {
        struct err err = {{0}};
        uint64_t body = c->source.object.body;
        int rc = propose_copy(c, &err);
        if (rc == 0) {
            reply_copied(r, &c->source.object);
            return;
        }
        if (rc != ERR_PRECONDITION) {
            reply_err(r, rc, &err);
            return;
        }
        if (!read_source(r, &c->source, false)) {
            return;
        }
        if (c->source.object.body == body) {
            reply_err(r, rc, &err);
            return;
        }
    }
    reply_error(r, S3_SlowDown, "the source of the copy keeps changing");
}

void s3_copy_object(struct request *r)
{
    struct object_copy c = {.request = r};
    bool replace_tags;

    /* With the COPY directive headers are not kept, but what they ask for and
     * cannot have is refused all the same. */
    if (parse_source(r, &c.source) &&
        parse_directives(r, &c.replace, &replace_tags) &&
        s3_put_conditions(r, &c.held) && s3_attrs_from(r, &c.given) &&
        s3_more_from(r, &c.more) && judge_self(&c) &&
        read_source(r, &c.source, false) && judge_algorithm(r, &c.source)) {
        c.more.more.version = c.source.which;
        if (!replace_tags) {
            c.more.more.tags = NULL; /* the source's */
        } else if (c.more.more.tags == NULL) {
            c.more.more.tags = ""; /* none */
        }
        copy(&c);
    }
    s3_more_free(&c.more);
    buf_free(&c.given);
    s3_put_conditions_free(&c.held);
    source_free(&c.source);
}

/* ---- UploadPartCopy: moving the bytes ---- */

/* Fill @out with exactly @len bytes. */
static int read_bytes(struct s3_reader *s, uint8_t *out, size_t len,
                      struct err *err)
{
    while (len > 0) {
        struct object_bytes b;
        int rc = s3_reader_take(s, len, &b, err);
        if (rc != 0) {
            return rc;
        }
        memcpy(out, b.p, b.len);
        out += b.len;
        len -= b.len;
        object_bytes_free(s->gateway->objects, &b);
    }
    return 0;
}

struct part_copy {
    struct request *request;
    struct source source;
    struct s3_reader reader;
    uint8_t upload[META_UPLOAD_ID];
    uint64_t number;
    uint64_t size_bytes;
    enum digest_kind kind;
    struct digest md5, check;
    struct object_put *put;
    struct buf inline_bytes;
    struct buf manifest;
    char etag[33];
    char value[64]; /* the checksum in base64 */
};

static void part_copy_free(struct part_copy *c)
{
    source_free(&c->source);
    s3_reader_close(&c->reader);
    digest_free(&c->md5);
    digest_free(&c->check);
    buf_free(&c->inline_bytes);
    buf_free(&c->manifest);
}

static uint32_t choose_room(const struct part_copy *c)
{
    size_t share = pool_budget(c->request->gateway->pool) / BUDGET_SHARE;
    uint32_t room = GEOMETRY_CHUNK_MAX;

    while (room > CHUNK_MIN && (room > share || room / 2 >= c->size_bytes)) {
        room /= 2;
    }
    return room;
}

static void digest_bytes(struct part_copy *c, const void *p, size_t len)
{
    digest_update(&c->md5, p, len);
    digest_update(&c->check, p, len);
}

/* Move one chunk. */
static int move_chunk(struct part_copy *c, uint32_t room, struct err *err)
{
    struct gateway *g = c->request->gateway;
    size_t buffer_bytes = object_buffer_bytes(g->objects, room);
    uint32_t len = c->reader.left < room ? (uint32_t)c->reader.left : room;
    void *buffer = pool_get_block(g->pool, buffer_bytes, BUFFER_WAIT_MS);
    int rc;

    if (buffer == NULL) {
        return err_set(err, ERR_BUSY, "no buffer for a copy");
    }
    rc = read_bytes(&c->reader, buffer, len, err);
    if (rc == 0) {
        digest_bytes(c, buffer, len);
        rc = object_put_write(c->put, buffer, room, len, err);
    }
    if (rc != 0) {
        pool_put(g->pool, buffer, buffer_bytes);
    }
    return rc;
}

/* Make the part's bytes durable: in c->manifest or c->inline_bytes. On failure
 * nothing is left behind. */
static int move_bytes(struct part_copy *c, struct err *err)
{
    uint32_t room = choose_room(c);
    int rc = 0;

    if (c->size_bytes <= META_INLINE_MAX) {
        size_t len = (size_t)c->size_bytes;
        buf_reserve(&c->inline_bytes, len);
        rc = read_bytes(&c->reader, c->inline_bytes.data, len, err);
        c->inline_bytes.len = len;
        digest_bytes(c, c->inline_bytes.data, len);
        return rc;
    }
    c->put = bucket_put_open(c->request->gateway, c->request->bucket);
    while (rc == 0 && c->reader.left > 0) {
        rc = move_chunk(c, room, err);
    }
    if (rc == 0) {
        rc = object_put_commit(c->put, &c->manifest, err);
    }
    if (rc != 0) {
        object_put_abort(c->put);
        c->put = NULL;
    }
    return rc;
}

static void end_digests(struct part_copy *c)
{
    uint8_t sum[DIGEST_MAX];
    size_t size;

    digest_final(&c->md5, sum);
    text_hex(sum, 16, c->etag);
    size = digest_final(&c->check, sum);
    text_base64(sum, size, c->value);
}

static void reply_part_copied(const struct part_copy *c)
{
    struct request *r = c->request;
    struct buf *b = reply_xml(r, 200, "CopyPartResult");

    s3_version_header(r, SOURCE_VERSION, c->source.object.version);
    xml_time(b, "LastModified", r->time_ms);
    xml_etag(b, "ETag", c->etag);
    xml_checksum(b, c->kind, c->value);
    xml_close(b, "CopyPartResult");
}

/* Name the part in the catalogue. */
static void propose_part(struct part_copy *c)
{
    struct request *r = c->request;
    struct meta_content content = {.size_bytes = c->size_bytes};
    struct err err = {{0}};
    char *check = mem_printf("%s:%s", s3_checksum_header(c->kind), c->value);
    int rc;

    if (c->put != NULL) {
        content.manifest = c->manifest.data;
        content.manifest_len = c->manifest.len;
    } else if (c->size_bytes > 0) {
        content.inline_bytes = c->inline_bytes.data;
    }
    command_part_put(&r->command, c->upload, (uint32_t)c->number, &content,
                     c->etag, check, r->time_ms);
    free(check);
    rc = meta_propose_wait(r->gateway->meta, &r->command, NULL, &err);
    if (c->put != NULL) {
        /* When the outcome is unknown the shards may be named: they stay, and
         * are orphans if they are not. */
        object_put_close(c->put, rc == 0 || rc == ERR_UNKNOWN);
    }
    if (rc == 0) {
        reply_part_copied(c);
    } else {
        reply_err(r, rc, &err);
    }
}

/* ---- UploadPartCopy: what is asked ---- */

/* x-amz-copy-source-range: "bytes=first-last", both given and both within the
 * source. False: a reply was made. */
static bool parse_range(struct part_copy *c)
{
    struct request *r = c->request;
    const char *text = request_header(r, "x-amz-copy-source-range");
    uint64_t size = c->source.object.size_bytes;
    uint64_t offset = 0;
    uint64_t length = size;
    uint64_t last;
    const char *dash;

    if (text != NULL) {
        dash = strchr(text, '-');
        if (dash == NULL || dash == text + strlen("bytes=") ||
            !text_u64(dash + 1, &last) ||
            s3_range_parse(text, UINT64_MAX, &offset, &length) != S3_RANGE_OK) {
            reply_error(r, S3_InvalidArgument,
                        "The x-amz-copy-source-range value must be of the form "
                        "bytes=first-last where first and last are the "
                        "zero-based offsets of the first and last bytes to "
                        "copy");
            return false;
        }
        if (last >= size) {
            reply_error(r, S3_InvalidArgument,
                        "Range specified is not valid for source object of "
                        "size: %llu",
                        (unsigned long long)size);
            return false;
        }
    }
    if (length > S3_PUT_MAX) {
        reply_error(r, S3_InvalidRequest,
                    "The specified copy source is larger than the maximum "
                    "allowable size for a copy source: %llu",
                    (unsigned long long)S3_PUT_MAX);
        return false;
    }
    c->size_bytes = length;
    c->reader = (struct s3_reader){.gateway = r->gateway,
                                   .object = &c->source.object,
                                   .offset = offset,
                                   .left = length};
    return true;
}

/* The upload must be there, and says which checksum its parts have. False: a
 * reply was made. */
static bool read_upload(struct part_copy *c)
{
    struct request *r = c->request;
    struct meta_upload u = {.key = NULL};
    struct err err = {{0}};
    char *algorithm;
    int rc;

    if (!request_upload_id(r, c->upload) ||
        !request_param_u64(r, "partNumber", 0, 1, META_PARTS_MAX, &c->number)) {
        return false;
    }
    rc = meta_upload_get(r->gateway->meta, r->bucket, r->key, c->upload, &u,
                         &err);
    if (rc != 0) {
        reply_err(r, rc, &err);
        return false;
    }
    algorithm = s3_attrs_get(u.attrs, u.attrs_len, "x-amz-checksum-algorithm");
    c->kind = DIGEST_CRC64NVME;
    if (algorithm != NULL) {
        digest_kind_parse(algorithm, &c->kind);
    }
    free(algorithm);
    meta_upload_free(&u);
    return true;
}

void s3_copy_part(struct request *r)
{
    struct part_copy c = {.request = r};
    struct err err = {{0}};
    int rc;

    if (!parse_source(r, &c.source) || !read_upload(&c) ||
        !read_source(r, &c.source, true) || !parse_range(&c)) {
        goto out;
    }
    digest_init(&c.md5, DIGEST_MD5);
    digest_init(&c.check, c.kind);
    rc = move_bytes(&c, &err);
    if (rc != 0) {
        /* The source's bytes may have been collected since its row was read,
         * and damaged ones are no answer either. */
        reply_err(
            r, rc == ERR_NOT_FOUND || rc == ERR_CORRUPT ? ERR_UNAVAILABLE : rc,
            &err);
        goto out;
    }
    end_digests(&c);
    propose_part(&c);

out:
    part_copy_free(&c);
}
