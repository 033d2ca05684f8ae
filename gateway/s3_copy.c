/* CopyObject and UploadPartCopy.
 *
 * A copy of an object shares the bytes of its source: one command, whatever the
 * size, and the copy keeps the source's ETag and checksum. So does one that is
 * sealed with master keys as its source is: it has the same data key, wrapped
 * for itself. What is sealed otherwise than its source, and a part that is a
 * copy, because its bytes may be any range, is read and written anew
 * (s3_move.h).
 *
 * Source: AWS S3 API Reference, CopyObject, UploadPartCopy.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "gateway/access.h"
#include "gateway/gateway_internal.h"
#include "gateway/master_keys.h"
#include "gateway/request.h"
#include "gateway/s3_access.h"
#include "gateway/s3_attrs.h"
#include "gateway/s3_conditions.h"
#include "gateway/s3_more.h"
#include "gateway/s3_move.h"
#include "gateway/s3_range.h"
#include "gateway/s3_router.h"
#include "gateway/s3_sse.h"
#include "gateway/s3_upload.h"
#include "gateway/s3_version.h"
#include "gateway/s3_xml.h"

#define SOURCE_VERSION "x-amz-copy-source-version-id"
#define TRIES 5 /* when the source changes between read and commit */
#define SSE "x-amz-server-side-encryption"
#define TYPE "x-amz-checksum-type"

/* ---- the source ---- */

struct source {
    char bucket[META_BUCKET_MAX + 1];
    char *key;
    uint64_t which; /* as asked: a version, or the current one */
    struct s3_reading reading;
    struct meta_object object;
};

static void source_free(struct source *s)
{
    free(s->key);
    access_bucket_free(s->reading.from);
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
    s->reading.bucket = s->bucket;
    s->reading.key = s->key;
    return s3_require_read(r, s->which != META_VERSION_CURRENT, &s->reading);
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
    return s3_object_allowed(r, &s->reading, &s->object) && judge_source(r, s);
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
    bool replace;       /* ... are the copy's */
    struct s3_sse *sse; /* what the copy is sealed with; NULL: nothing */
    bool anew;          /* the bytes are stored anew, sealed by it */
    bool sealed;        /* the source is, with: */
    uint8_t key[AEAD_KEY];
};

/* ---- how the copy is sealed ---- */

/* Can the copy share its source's bytes? ETags say what AWS has them say: a
 * copy for AES256 of what is sealed for aws:kms has another one. */
static bool may_share(const struct s3_sse_how *from,
                      const struct s3_sse_how *to)
{
    switch (from->kind) {
        case S3_SSE_NONE:
            return to->kind == S3_SSE_NONE;
        case S3_SSE_C:
            return to->kind == S3_SSE_C && strcmp(from->md5, to->md5) == 0;
        case S3_SSE_S3:
            return to->kind == S3_SSE_S3 || to->kind == S3_SSE_KMS;
        case S3_SSE_KMS:
            return to->kind == S3_SSE_KMS;
    }
    return false;
}

/* Open the source and choose how the copy is sealed, once the source was read.
 * A copy of what is sealed is sealed, whoever asks. False: a reply was made. */
static bool plan(struct object_copy *c)
{
    const struct meta_object *o = &c->source.object;
    struct request *r = c->request;
    struct s3_sse_how from, to;
    bool good = s3_sse_asked(r, &to);

    s3_sse_free(c->sse);
    c->sse = NULL;
    s3_sse_how_of(o->attrs, o->attrs_len, &from);
    if (to.kind == S3_SSE_NONE && from.kind == S3_SSE_C) {
        to.kind = S3_SSE_S3;
        memcpy(to.name, MASTER_S3, sizeof MASTER_S3);
    } else if (to.kind == S3_SSE_NONE) {
        to = from;
    }
    c->anew = !may_share(&from, &to);
    good = good && s3_sse_open_source(r, o, &c->sealed, c->key) &&
           s3_sse_new_as(r, &to, c->anew ? NULL : c->key, &c->sse);
    mem_wipe(&to, sizeof to);
    return good;
}

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

/* Shared bytes are not read, so the only checksum that a copy can have is its
 * source's. */
static bool judge_algorithm(const struct object_copy *c)
{
    struct request *r = c->request;
    const struct source *s = &c->source;
    const char *wanted = request_header(r, "x-amz-checksum-algorithm");
    enum digest_kind kind;
    char value[64];

    if (wanted == NULL || c->anew ||
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
    bool changes_sse = request_header(r, SSE) != NULL ||
                       request_header(r, SSE "-customer-key") != NULL;

    if (!c->replace && !changes_sse &&
        c->source.which == META_VERSION_CURRENT &&
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

/* The attrs of the copy; with @value that checksum, else the source's. */
static void copy_attrs(const struct object_copy *c, enum digest_kind kind,
                       const char *value, struct buf *out)
{
    const struct meta_object *o = &c->source.object;
    char kept[64];
    char *type = NULL;

    if (!c->replace) {
        s3_attrs_begin(out);
        s3_attrs_copy_acl(c->given.data, c->given.len, out);
        s3_attrs_copy_plain(o->attrs, o->attrs_len, false, out);
    } else {
        buf_append(out, c->given.data, c->given.len);
    }
    if (value != NULL) {
        s3_attrs_add(out, s3_checksum_header(kind), value);
        s3_attrs_add(out, TYPE, "FULL_OBJECT");
    } else if (s3_attrs_checksum(o->attrs, o->attrs_len, &kind, kept)) {
        type = s3_attrs_get(o->attrs, o->attrs_len, TYPE);
        s3_attrs_add(out, s3_checksum_header(kind), kept);
        if (type != NULL) {
            s3_attrs_add(out, TYPE, type);
        }
        free(type);
    }
    if (c->sse != NULL) {
        s3_sse_attrs(c->sse, out);
    }
}

static void reply_copied(struct object_copy *c, const char *etag,
                         const struct buf *attrs)
{
    struct request *r = c->request;
    struct buf *b = reply_xml(r, 200, "CopyObjectResult");

    s3_version_reply_made(r, r->proposal.version);
    s3_version_header(r, SOURCE_VERSION, c->source.object.version);
    if (c->sse != NULL) {
        s3_sse_reply(r, c->sse);
    }
    xml_time(b, "LastModified", r->time_ms);
    xml_etag(b, "ETag", etag);
    show_checksum(b, attrs->data, attrs->len);
    xml_close(b, "CopyObjectResult");
}

/* One try with the source as it was read. */
static int propose_copy(const struct object_copy *c, const struct buf *attrs,
                        struct err *err)
{
    struct request *r = c->request;
    const struct source *s = &c->source;
    struct meta_condition condition = {c->held.if_match, c->held.if_none_match};

    buf_clear(&r->command);
    command_object_copy(&r->command, s->bucket, s->key, s->object.body,
                        r->bucket, r->key, &condition, s->object.etag,
                        attrs->data, attrs->len, r->time_ms);
    s3_more_add(r, &c->more);
    return meta_propose_wait(r->gateway->meta, &r->command, &r->proposal, err);
}

enum shared { SHARED_REPLIED, SHARED_CHANGED };

/* ERR_PRECONDITION says either that the source changed since it was read, or
 * that a condition on the destination does not hold: the first when the source
 * has another body now. */
static enum shared share(struct object_copy *c)
{
    struct request *r = c->request;
    uint64_t body = c->source.object.body;
    struct buf attrs = {0};
    struct err err = {{0}};
    int rc;

    copy_attrs(c, DIGEST_MD5, NULL, &attrs);
    rc = propose_copy(c, &attrs, &err);
    if (rc == 0) {
        reply_copied(c, c->source.object.etag, &attrs);
    }
    buf_free(&attrs);
    if (rc == 0) {
        return SHARED_REPLIED;
    }
    if (rc != ERR_PRECONDITION) {
        reply_err(r, rc, &err);
        return SHARED_REPLIED;
    }
    if (!read_source(r, &c->source, false)) {
        return SHARED_REPLIED;
    }
    if (c->source.object.body == body) {
        reply_err(r, rc, &err);
        return SHARED_REPLIED;
    }
    return SHARED_CHANGED;
}

/* The checksum of bytes that are stored anew is of the kind that is asked for,
 * or that the source has. False: a reply was made. */
static bool choose_kind(const struct object_copy *c, enum digest_kind *kind)
{
    const struct meta_object *o = &c->source.object;
    struct request *r = c->request;
    const char *wanted = request_header(r, "x-amz-checksum-algorithm");
    char value[64];

    if (wanted != NULL) {
        if (!digest_kind_parse(wanted, kind) ||
            s3_checksum_header(*kind) == NULL) {
            reply_error(r, S3_InvalidRequest,
                        "Checksum algorithm provided is unsupported.");
            return false;
        }
    } else if (!s3_attrs_checksum(o->attrs, o->attrs_len, kind, value)) {
        *kind = DIGEST_CRC64NVME;
    }
    return true;
}

/* Name what was moved. */
static int propose_moved(struct object_copy *c, const struct s3_move *m,
                         const struct buf *attrs, struct err *err)
{
    struct request *r = c->request;
    const struct meta_object *o = &c->source.object;
    struct meta_condition condition = {c->held.if_match, c->held.if_none_match};
    struct s3_more more = c->more;

    more.more.version = 0; /* of the source, and it was read */
    if (more.more.tags == NULL && o->tags_len > 0) {
        more.more.tags = o->tags;
        more.more.tags_len = o->tags_len;
    }
    buf_clear(&r->command);
    command_object_put(&r->command, r->bucket, r->key, &condition, &m->content,
                       m->etag, attrs->data, attrs->len, r->time_ms);
    s3_more_add(r, &more);
    return meta_propose_wait(r->gateway->meta, &r->command, &r->proposal, err);
}

/* Read the bytes and store them sealed as the copy is. */
static void store_anew(struct object_copy *c)
{
    struct request *r = c->request;
    const struct meta_object *o = &c->source.object;
    struct s3_move m = {.gateway = r->gateway,
                        .bucket = r->bucket,
                        .sse = c->sse,
                        .reader = {.gateway = r->gateway,
                                   .object = o,
                                   .left = o->size_bytes,
                                   .key = c->sealed ? c->key : NULL}};
    struct buf attrs = {0};
    struct err err = {{0}};
    int rc;

    if (o->size_bytes > S3_PUT_MAX) {
        reply_error(r, S3_InvalidRequest,
                    "The specified copy source is larger than the maximum "
                    "allowable size for a copy source: %llu",
                    (unsigned long long)S3_PUT_MAX);
        return;
    }
    if (!choose_kind(c, &m.kind)) {
        return;
    }
    rc = s3_move_bytes(&m, &err);
    if (rc == 0) {
        copy_attrs(c, m.kind, m.value, &attrs);
        rc = propose_moved(c, &m, &attrs, &err);
    }
    if (rc == 0) {
        reply_copied(c, m.etag, &attrs);
    } else {
        reply_err(r, rc, &err);
    }
    /* When the outcome is unknown the shards may be named: they stay, and are
     * orphans if they are not. */
    s3_move_close(&m, rc == 0 || rc == ERR_UNKNOWN);
    buf_free(&attrs);
}

static void copy(struct object_copy *c)
{
    struct request *r = c->request;

    for (int i = 0; i < TRIES; i++) {
        if (!plan(c) || !judge_algorithm(c)) {
            return;
        }
        if (c->anew) { /* with content, which may be of a newer one */
            if (read_source(r, &c->source, true) && plan(c)) {
                store_anew(c);
            }
            return;
        }
        if (share(c) == SHARED_REPLIED) {
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
        read_source(r, &c.source, false)) {
        c.more.more.version = c.source.which;
        if (!replace_tags) {
            c.more.more.tags = NULL; /* the source's */
        } else if (c.more.more.tags == NULL) {
            c.more.more.tags = ""; /* none */
        }
        copy(&c);
    }
    s3_sse_free(c.sse);
    mem_wipe(c.key, sizeof c.key);
    s3_more_free(&c.more);
    buf_free(&c.given);
    s3_put_conditions_free(&c.held);
    source_free(&c.source);
}

/* ---- UploadPartCopy ---- */

struct part_copy {
    struct request *request;
    struct source source;
    struct s3_sse *sse; /* what the upload is sealed with */
    bool sealed;        /* the source is, with: */
    uint8_t key[AEAD_KEY];
    struct s3_move move;
    uint8_t upload[META_UPLOAD_ID];
    uint64_t number;
};

static void part_copy_free(struct part_copy *c)
{
    source_free(&c->source);
    s3_sse_free(c->sse);
    mem_wipe(c->key, sizeof c->key);
}

static void reply_part_copied(const struct part_copy *c)
{
    struct request *r = c->request;
    struct buf *b = reply_xml(r, 200, "CopyPartResult");

    s3_version_header(r, SOURCE_VERSION, c->source.object.version);
    if (c->sse != NULL) {
        s3_sse_reply(r, c->sse);
    }
    xml_time(b, "LastModified", r->time_ms);
    xml_etag(b, "ETag", c->move.etag);
    xml_checksum(b, c->move.kind, c->move.value);
    xml_close(b, "CopyPartResult");
}

/* Name the part in the catalogue. */
static int propose_part(struct part_copy *c, struct err *err)
{
    struct request *r = c->request;
    const struct s3_move *m = &c->move;
    char *check = mem_printf("%s:%s", s3_checksum_header(m->kind), m->value);
    char *salted = s3_sse_salted(c->sse, check);

    command_part_put(&r->command, c->upload, (uint32_t)c->number, &m->content,
                     m->etag, salted, r->time_ms);
    free(salted);
    free(check);
    return meta_propose_wait(r->gateway->meta, &r->command, NULL, err);
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
    c->move.gateway = r->gateway;
    c->move.bucket = r->bucket;
    c->move.sse = c->sse;
    c->move.reader = (struct s3_reader){.gateway = r->gateway,
                                        .object = &c->source.object,
                                        .offset = offset,
                                        .left = length,
                                        .key = c->sealed ? c->key : NULL};
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
    c->move.kind = DIGEST_CRC64NVME;
    if (algorithm != NULL) {
        digest_kind_parse(algorithm, &c->move.kind);
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

    if (parse_source(r, &c.source) && read_upload(&c) &&
        read_source(r, &c.source, true) && s3_sse_new(r, &c.sse) &&
        s3_sse_open_source(r, &c.source.object, &c.sealed, c.key) &&
        parse_range(&c)) {
        rc = s3_move_bytes(&c.move, &err);
        if (rc == 0) {
            rc = propose_part(&c, &err);
        }
        if (rc == 0) {
            reply_part_copied(&c);
        } else {
            reply_err(r, rc, &err);
        }
        s3_move_close(&c.move, rc == 0 || rc == ERR_UNKNOWN);
    }
    part_copy_free(&c);
}
