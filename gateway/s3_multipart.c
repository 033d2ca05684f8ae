/* Multipart uploads: create, list parts, complete, abort.
 *
 * Completion reads the parts from the catalogue page by page and merges them
 * with the client's list in one pass: linear in the parts. The object's ETag
 * and checksum are computed from those of the parts (s3_compose.h), no byte is
 * read again; the command carries the parts' ETags, so that apply refuses when
 * one was replaced meanwhile.
 *
 * A client that did not get the answer sends the completion again, and the
 * upload is gone: when the object has the very ETag that the list makes, the
 * answer is given again.
 *
 * Source: AWS S3 API Reference, CreateMultipartUpload, ListParts,
 * CompleteMultipartUpload, AbortMultipartUpload; "Checking object integrity for
 * multipart uploads".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/text.h"
#include "gateway/access.h"
#include "gateway/edge_auth.h"
#include "gateway/gateway_internal.h"
#include "gateway/lifecycle.h"
#include "gateway/request.h"
#include "gateway/s3_access.h"
#include "gateway/s3_attrs.h"
#include "gateway/s3_compose.h"
#include "gateway/s3_conditions.h"
#include "gateway/s3_grants.h"
#include "gateway/s3_more.h"
#include "gateway/s3_sse.h"
#include "gateway/s3_version.h"
#include "gateway/s3_xml.h"
#include "meta/meta_device.h"

#define PAGE_MAX 1000
#define OBJECT_MAX ((uint64_t)5 << 40) /* AWS: 5 TiB */
#define ALGORITHM "x-amz-checksum-algorithm"
#define TYPE "x-amz-checksum-type"
#define COMPOSITE "COMPOSITE"
#define FULL_OBJECT "FULL_OBJECT"

/* ---- CreateMultipartUpload ---- */

static bool is_hash(enum digest_kind kind)
{
    return kind == DIGEST_SHA1 || kind == DIGEST_SHA256;
}

/* The checksum that parts and object will have: kept with the upload, and shown
 * in the reply. False: a reply was made. */
static bool choose_checksum(struct request *r, struct buf *attrs,
                            const char **algorithm, const char **type)
{
    const char *name = request_header(r, ALGORITHM);
    enum digest_kind kind;

    *type = request_header(r, TYPE);
    *algorithm = NULL;
    if (name == NULL) {
        if (*type != NULL) {
            reply_error(r, S3_InvalidRequest, TYPE " needs " ALGORITHM);
            return false;
        }
        return true;
    }
    if (!digest_kind_parse(name, &kind) || s3_checksum_header(kind) == NULL) {
        reply_error(r, S3_InvalidRequest,
                    "Checksum algorithm provided is unsupported. Please try "
                    "again with any of the valid types: [CRC32, CRC32C, "
                    "CRC64NVME, SHA1, SHA256]");
        return false;
    }
    *algorithm = digest_name(kind);
    if (*type == NULL) {
        *type = kind == DIGEST_CRC64NVME ? FULL_OBJECT : COMPOSITE;
    }
    if (strcmp(*type, COMPOSITE) != 0 && strcmp(*type, FULL_OBJECT) != 0) {
        reply_error(r, S3_InvalidRequest,
                    TYPE " must be COMPOSITE or FULL_OBJECT");
        return false;
    }
    if ((is_hash(kind) && strcmp(*type, FULL_OBJECT) == 0) ||
        (kind == DIGEST_CRC64NVME && strcmp(*type, COMPOSITE) == 0)) {
        reply_error(r, S3_InvalidRequest,
                    "The %s checksum type cannot be used with the %s checksum "
                    "algorithm.",
                    *type, *algorithm);
        return false;
    }
    s3_attrs_add(attrs, ALGORITHM, *algorithm);
    s3_attrs_add(attrs, TYPE, *type);
    return true;
}

void s3_create_upload(struct request *r)
{
    uint8_t id[META_UPLOAD_ID];
    char hex[2 * META_UPLOAD_ID + 1];
    struct s3_more more = {.tags = {0}};
    struct buf attrs = {0};
    struct err err = {{0}};
    const char *algorithm, *type;
    struct s3_sse *sse = NULL;
    struct buf *b;
    int rc;

    if (!s3_attrs_from(r, &attrs) || !s3_more_from(r, &more) ||
        !choose_checksum(r, &attrs, &algorithm, &type) ||
        !s3_sse_new(r, &sse)) {
        goto out;
    }
    if (sse != NULL) {
        s3_sse_attrs(sse, &attrs);
    }
    rng_bytes(id, sizeof id);
    command_upload_create(&r->command, r->bucket, r->key, id, attrs.data,
                          attrs.len, r->time_ms);
    s3_more_add(r, &more);
    rc = meta_propose_wait(r->gateway->meta, &r->command, NULL, &err);
    if (rc != 0) {
        reply_err(r, rc, &err);
        goto out;
    }
    b = reply_xml(r, 200, "InitiateMultipartUploadResult");
    lifecycle_reply_upload(r, r->time_ms);
    if (sse != NULL) {
        s3_sse_reply(r, sse);
    }
    if (algorithm != NULL) {
        reply_header(r, ALGORITHM, "%s", algorithm);
        reply_header(r, TYPE, "%s", type);
    }
    xml_text(b, "Bucket", r->bucket);
    xml_text(b, "Key", r->key);
    xml_text(b, "UploadId", text_hex(id, sizeof id, hex));
    xml_close(b, "InitiateMultipartUploadResult");

out:
    s3_sse_free(sse);
    s3_more_free(&more);
    buf_free(&attrs);
}

/* ---- ListParts ---- */

static void parts_free(struct meta_part *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        meta_part_free(&parts[i]);
    }
    free(parts);
}

static void show_part(struct buf *b, const struct meta_part *p)
{
    enum digest_kind kind;
    const char *value;

    xml_open(b, "Part");
    xml_u64(b, "PartNumber", p->number);
    xml_time(b, "LastModified", p->modified_ms);
    xml_etag(b, "ETag", p->etag);
    xml_u64(b, "Size", p->size_bytes);
    if (s3_part_check(p->check, &kind, &value)) {
        xml_checksum(b, kind, value);
    }
    xml_close(b, "Part");
}

/* encoding-type=url: the key is percent-encoded. False: a reply was made. */
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

static void show_key(struct request *r, struct buf *b, bool encode)
{
    struct buf encoded = {0};

    if (!encode) {
        xml_text(b, "Key", r->key);
        return;
    }
    text_uri_encode(&encoded, r->key, strlen(r->key), true);
    xml_text(b, "EncodingType", "url");
    xml_text(b, "Key", (const char *)encoded.data);
    buf_free(&encoded);
}

static void show_parts(struct request *r, const struct meta_upload *u,
                       bool encode, uint64_t after, uint64_t max,
                       const struct meta_part *parts, size_t count,
                       bool truncated)
{
    struct buf *b = reply_xml(r, 200, "ListPartsResult");
    char owner[ACL_NAME_MAX + 1];
    char hex[2 * META_UPLOAD_ID + 1];
    char *algorithm = s3_attrs_get(u->attrs, u->attrs_len, ALGORITHM);
    char *type = s3_attrs_get(u->attrs, u->attrs_len, TYPE);

    xml_text(b, "Bucket", r->bucket);
    show_key(r, b, encode);
    xml_text(b, "UploadId", text_hex(u->id, META_UPLOAD_ID, hex));
    s3_grants_owner(r, u->attrs, u->attrs_len, owner);
    xml_owner(b, "Initiator", owner);
    xml_owner(b, "Owner", owner);
    xml_text(b, "StorageClass", "STANDARD");
    lifecycle_reply_upload(r, u->created_ms);
    xml_u64(b, "PartNumberMarker", after);
    xml_u64(b, "NextPartNumberMarker",
            count > 0 ? parts[count - 1].number : after);
    xml_u64(b, "MaxParts", max);
    xml_bool(b, "IsTruncated", truncated);
    if (algorithm != NULL && type != NULL) {
        xml_text(b, "ChecksumAlgorithm", algorithm);
        xml_text(b, "ChecksumType", type);
    }
    for (size_t i = 0; i < count; i++) {
        show_part(b, &parts[i]);
    }
    xml_close(b, "ListPartsResult");
    free(algorithm);
    free(type);
}

void s3_list_parts(struct request *r)
{
    struct meta_upload u = {.key = NULL};
    struct meta_part *parts = NULL;
    struct err err = {{0}};
    uint8_t id[META_UPLOAD_ID];
    uint64_t max, after;
    size_t count = 0;
    size_t shown;
    bool encode;
    int rc;

    if (!request_upload_id(r, id) || !encoding_param(r, &encode) ||
        !request_param_u64(r, "max-parts", PAGE_MAX, 0, INT32_MAX, &max) ||
        !request_param_u64(r, "part-number-marker", 0, 0, INT32_MAX, &after)) {
        return;
    }
    max = max < PAGE_MAX ? max : PAGE_MAX;
    rc = meta_upload_get(r->gateway->meta, r->bucket, r->key, id, &u, &err);
    if (rc == 0 && max > 0) { /* one more tells whether there are more */
        rc = meta_upload_parts(r->gateway->meta, id, (uint32_t)after,
                               (size_t)max + 1, false, &parts, &count, &err);
    }
    if (rc != 0) {
        reply_err(r, rc, &err);
    } else {
        shown = count < max ? count : (size_t)max;
        show_parts(r, &u, encode, after, max, parts, shown, count > shown);
        parts_free(parts, count);
    }
    meta_upload_free(&u);
}

/* ---- CompleteMultipartUpload ---- */

/* What the object will be, computed as the parts go by. */
struct completion {
    struct request *request;
    uint8_t id[META_UPLOAD_ID];
    struct meta_upload upload;
    struct xml_complete wanted;
    size_t next; /* of the wanted ones, to be met */
    struct s3_compose object;
    bool told_kind;               /* the upload was created with its kind */
    char value[S3_COMPOSE_VALUE]; /* the object's checksum; "" for none */
    struct command_more more;     /* of a device's delivery */
};

/* A device's parts are as small as its memory wants. */
static uint64_t part_min(const struct request *r)
{
    return r->user != NULL && r->user->device != 0 ? 1
                                                   : r->gateway->part_min_bytes;
}

static void completion_free(struct completion *c)
{
    meta_upload_free(&c->upload);
    xml_complete_free(&c->wanted);
    s3_compose_close(&c->object);
}

/* The kind of checksum that the upload was created with, if any. */
static void told_check(struct completion *c)
{
    const struct meta_upload *u = &c->upload;
    char *algorithm = s3_attrs_get(u->attrs, u->attrs_len, ALGORITHM);
    char *type = s3_attrs_get(u->attrs, u->attrs_len, TYPE);
    enum digest_kind kind;

    if (algorithm != NULL && type != NULL &&
        digest_kind_parse(algorithm, &kind)) {
        s3_compose_kind(&c->object, kind, strcmp(type, COMPOSITE) == 0);
        c->told_kind = true;
    }
    free(algorithm);
    free(type);
}

/* A part that the client named is there. False: a reply was made. */
static bool take_part(struct completion *c, const struct meta_part *p)
{
    const char *check = c->wanted.checks[c->next];
    bool last = c->next == c->wanted.count - 1;
    struct request *r = c->request;

    if (strcmp(c->wanted.parts[c->next].etag, p->etag) != 0 ||
        (check != NULL &&
         (p->check == NULL || strcmp(check, s3_sse_unsalted(p->check)) != 0))) {
        reply_error(r, S3_InvalidPart, NULL);
        return false;
    }
    if (!last && p->size_bytes < part_min(r)) {
        reply_error(r, S3_EntityTooSmall, NULL);
        return false;
    }
    if (!s3_compose_add(&c->object, p->etag, p->check, p->size_bytes)) {
        reply_error(r, S3_InvalidPart, NULL);
        return false;
    }
    c->next++;
    return true;
}

/* @value NULL: the object has no checksum. */
static void reply_completed(struct request *r, uint64_t version,
                            const char *etag, enum digest_kind kind,
                            const char *value, const char *type)
{
    const char *host = request_header(r, "host");
    const char *endpoint = r->gateway->endpoint;
    bool tls = endpoint != NULL && text_starts(endpoint, "https:");
    struct buf location = {0};
    struct buf *b = reply_xml(r, 200, "CompleteMultipartUploadResult");

    s3_version_reply_made(r, version);
    buf_printf(&location, "%s://%s%s", tls ? "https" : "http",
               host != NULL ? host : "", r->path);
    xml_text(b, "Location", (const char *)location.data);
    xml_text(b, "Bucket", r->bucket);
    xml_text(b, "Key", r->key);
    xml_etag(b, "ETag", etag);
    if (value != NULL) {
        xml_checksum(b, kind, value);
        if (type != NULL) {
            xml_text(b, "ChecksumType", type);
        }
    }
    xml_close(b, "CompleteMultipartUploadResult");
    buf_free(&location);
}

/* The ETag that the client's list makes; false when it can make none. */
static bool wanted_etag(const struct completion *c,
                        char etag[META_ETAG_MAX + 1])
{
    struct s3_compose object;
    bool good = c->wanted.count > 0;

    s3_compose_init(&object);
    for (size_t i = 0; good && i < c->wanted.count; i++) {
        good = s3_compose_add(&object, c->wanted.parts[i].etag, NULL, 0);
    }
    if (good) {
        s3_compose_etag(&object, etag);
    }
    s3_compose_close(&object);
    return good;
}

/* The upload is gone (@gone says so). Did this very list make the object? Then
 * the client lost the answer and asks again, or asks twice at once; conditions
 * were judged when it was made. */
static void reply_again(struct completion *c, const struct err *gone)
{
    struct request *r = c->request;
    struct meta_object o = {0};
    char etag[META_ETAG_MAX + 1];
    enum digest_kind kind = DIGEST_MD5;
    char value[64];
    char *type;
    bool has;

    if (!wanted_etag(c, etag) ||
        meta_object_get(r->gateway->meta, r->bucket, r->key, false, &o, NULL) !=
            0 ||
        strcmp(o.etag, etag) != 0) {
        reply_err(r, ERR_NO_UPLOAD, gone);
    } else {
        type = s3_attrs_get(o.attrs, o.attrs_len, TYPE);
        has = s3_attrs_checksum(o.attrs, o.attrs_len, &kind, value);
        reply_completed(r, o.version, etag, kind, has ? value : NULL, type);
        s3_sse_reply_attrs(r, o.attrs, o.attrs_len);
        free(type);
    }
    meta_object_free(&o);
}

/* It came before, by another upload or by this one; one that is still there is
 * not needed. */
static void reply_delivered(struct completion *c)
{
    struct request *r = c->request;
    char etag[META_ETAG_MAX + 1] = "";

    buf_clear(&r->command);
    command_upload_abort(&r->command, r->bucket, r->key, c->id, r->time_ms);
    meta_propose_wait(r->gateway->meta, &r->command, NULL, NULL);
    wanted_etag(c, etag);
    reply_completed(r, META_VERSION_NULL, etag, DIGEST_MD5, NULL, NULL);
    edge_reply_repeated(r);
}

/* Was it delivered? Asked first: the upload that did it is gone. True: a reply
 * was made. */
static bool answer_delivered(struct completion *c)
{
    struct request *r = c->request;
    struct err err = {{0}};
    bool yes = false;
    int rc;

    if (c->more.device == 0) {
        return false;
    }
    rc = meta_delivered(r->gateway->meta, c->more.device, c->more.sequence,
                        &yes, &err);
    if (rc != 0) {
        reply_err(r, rc, &err);
    } else if (yes) {
        xml_read_complete(r->document.data, r->document.len, &c->wanted, NULL);
        reply_delivered(c);
    }
    return rc != 0 || yes;
}

/* What was asked of the upload failed with @rc. */
static void reply_failed(struct completion *c, int rc, const struct err *err)
{
    if (edge_is_repeat(c->request, rc)) {
        reply_delivered(c);
    } else if (rc == ERR_NO_UPLOAD) {
        reply_again(c, err);
    } else if (!edge_reply_refused(c->request, rc)) {
        reply_err(c->request, rc, err);
    }
}

/* Walk the upload's parts beside the wanted ones. False: a reply was made. */
static bool merge(struct completion *c)
{
    struct request *r = c->request;
    uint32_t after = 0;
    bool more = true;
    bool good = true;

    while (good && more && c->next < c->wanted.count) {
        struct meta_part *parts = NULL;
        struct err err = {{0}};
        size_t count = 0;
        int rc = meta_upload_parts(r->gateway->meta, c->id, after, PAGE_MAX,
                                   false, &parts, &count, &err);
        if (rc != 0) {
            reply_failed(c, rc, &err);
            return false;
        }
        more = count == PAGE_MAX;
        for (size_t i = 0; good && i < count; i++) {
            after = parts[i].number;
            if (c->next < c->wanted.count &&
                parts[i].number == c->wanted.parts[c->next].number) {
                good = take_part(c, &parts[i]);
            }
        }
        parts_free(parts, count);
    }
    if (good && c->next < c->wanted.count) {
        reply_error(r, S3_InvalidPart, NULL);
        good = false;
    }
    return good;
}

static bool in_order(struct completion *c)
{
    for (size_t i = 1; i < c->wanted.count; i++) {
        if (c->wanted.parts[i].number <= c->wanted.parts[i - 1].number) {
            reply_error(c->request, S3_InvalidPartOrder, NULL);
            return false;
        }
    }
    return true;
}

/* Write the object's checksum to c->value and judge what the client said of
 * it. False: a reply was made. */
static bool end_check(struct completion *c)
{
    struct request *r = c->request;
    const struct s3_compose *o = &c->object;

    if (o->broken && c->told_kind) {
        reply_error(r, S3_InvalidRequest,
                    "The upload was created using a %s checksum. A part has "
                    "none.",
                    digest_name(o->kind));
        return false;
    }
    if (!s3_compose_checksum(&c->object, c->value)) {
        c->value[0] = '\0';
    }
    for (size_t i = 0; i < r->header_count; i++) {
        enum digest_kind kind;
        if (!s3_checksum_kind(r->headers[i].name, &kind)) {
            continue;
        }
        if (c->value[0] == '\0' || kind != o->kind) {
            reply_error(r, S3_InvalidRequest,
                        "%s: the parts have no such checksum",
                        r->headers[i].name);
            return false;
        }
        if (strcmp(r->headers[i].value, c->value) != 0) {
            reply_error(r, S3_BadDigest,
                        "The %s you specified did not match the calculated "
                        "checksum.",
                        digest_name(kind));
            return false;
        }
    }
    return true;
}

/* Size and type as the client thinks they are. False: a reply was made. */
static bool judge_claims(struct completion *c)
{
    struct request *r = c->request;
    const char *size = request_header(r, "x-amz-mp-object-size");
    const char *type = request_header(r, TYPE);
    uint64_t v;

    if (c->object.size_bytes > OBJECT_MAX) {
        reply_error(r, S3_EntityTooLarge, NULL);
        return false;
    }
    if (size != NULL && (!text_u64(size, &v) || v != c->object.size_bytes)) {
        reply_error(r, S3_InvalidRequest,
                    "The provided 'x-amz-mp-object-size' header value does "
                    "not match what was computed.");
        return false;
    }
    if (type != NULL && c->object.has_kind &&
        strcmp(type, c->object.composite ? COMPOSITE : FULL_OBJECT) != 0) {
        reply_error(r, S3_InvalidRequest,
                    "The upload was created using the %s checksum mode.",
                    c->object.composite ? COMPOSITE : FULL_OBJECT);
        return false;
    }
    return true;
}

/* The parts are right: make them the object. */
static void propose_object(struct completion *c,
                           const struct meta_condition *condition)
{
    struct request *r = c->request;
    struct buf attrs = {0};
    struct err err = {{0}};
    const char *value = c->value[0] != '\0' ? c->value : NULL;
    const char *type = c->object.composite ? COMPOSITE : FULL_OBJECT;
    char etag[META_ETAG_MAX + 1];
    int rc;

    s3_compose_etag(&c->object, etag);
    s3_attrs_begin(&attrs);
    s3_attrs_copy_acl(c->upload.attrs, c->upload.attrs_len, &attrs);
    s3_attrs_copy(c->upload.attrs, c->upload.attrs_len, false, &attrs);
    if (value != NULL) {
        s3_attrs_add(&attrs, s3_checksum_header(c->object.kind), value);
        s3_attrs_add(&attrs, TYPE, type);
    }
    command_upload_complete(&r->command, r->bucket, r->key, c->id,
                            c->wanted.parts, c->wanted.count, part_min(r),
                            condition, etag, attrs.data, attrs.len, r->time_ms);
    if (c->more.device != 0) {
        command_add_more(&r->command, 0, &c->more);
    }
    rc = meta_propose_wait(r->gateway->meta, &r->command, &r->proposal, &err);
    if (rc == 0) {
        reply_completed(r, r->proposal.version, etag, c->object.kind, value,
                        type);
        s3_sse_reply_attrs(r, attrs.data, attrs.len);
    } else {
        reply_failed(c, rc, &err);
    }
    buf_free(&attrs);
}

/* Read the client's list and the upload. False: a reply was made. */
static bool read_wanted(struct completion *c)
{
    struct request *r = c->request;
    struct err err = {{0}};
    int rc = meta_upload_get(r->gateway->meta, r->bucket, r->key, c->id,
                             &c->upload, &err);
    struct err bad = {{0}};
    int bad_rc =
        xml_read_complete(r->document.data, r->document.len, &c->wanted, &bad);

    if (rc != 0) {
        reply_failed(c, rc, &err);
        return false;
    }
    if (bad_rc != 0) {
        r->err = bad;
        reply_error(r, S3_MalformedXML, NULL);
        return false;
    }
    return in_order(c);
}

void s3_complete_upload(struct request *r)
{
    struct completion c = {.request = r};
    struct s3_put_conditions held = {NULL, NULL};
    struct meta_condition condition = {NULL, NULL};

    if (!request_upload_id(r, c.id) || !edge_delivery(r, &c.more) ||
        !s3_put_conditions(r, &held)) {
        return;
    }
    condition.if_match = held.if_match;
    condition.if_none_match = held.if_none_match;
    s3_compose_init(&c.object);
    if (!answer_delivered(&c) && read_wanted(&c)) {
        told_check(&c);
        if (merge(&c) && end_check(&c) && judge_claims(&c)) {
            propose_object(&c, &condition);
        }
    }
    completion_free(&c);
    s3_put_conditions_free(&held);
}

/* ---- AbortMultipartUpload ---- */

void s3_abort_upload(struct request *r)
{
    struct err err = {{0}};
    uint8_t id[META_UPLOAD_ID];
    int rc;

    if (!request_upload_id(r, id)) {
        return;
    }
    command_upload_abort(&r->command, r->bucket, r->key, id, r->time_ms);
    rc = meta_propose_wait(r->gateway->meta, &r->command, NULL, &err);
    if (rc != 0) {
        reply_err(r, rc, &err);
        return;
    }
    reply(r, 204);
}
