/* GetObject and HeadObject.
 *
 * The row is read on the loop: HEAD, errors, 304 and objects that lie inside
 * their row are answered there. Bytes on drives are opened by a worker, which
 * has the first window at hand before the status goes out, and then streamed
 * (http_stream.c).
 *
 * Source: AWS S3 API Reference, GetObject, HeadObject.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "gateway/gateway_internal.h"
#include "gateway/lifecycle.h"
#include "gateway/request.h"
#include "gateway/s3_attrs.h"
#include "gateway/s3_conditions.h"
#include "gateway/s3_more.h"
#include "gateway/s3_range.h"
#include "gateway/s3_reader.h"
#include "gateway/s3_sse.h"
#include "gateway/s3_version.h"

/* A GET under way: what is read, and how far it is. */
struct get {
    struct meta_object object;
    uint64_t offset; /* in the object, of the first byte wanted */
    uint64_t left;   /* how many are */
    int status;
    struct s3_reader reader;
    bool sealed; /* with: */
    uint8_t key[AEAD_KEY];
};

static void get_free(void *state)
{
    struct get *g = state;

    s3_reader_close(&g->reader);
    mem_wipe(g->key, sizeof g->key);
    meta_object_free(&g->object);
    free(g);
}

/* ---- headers ---- */

/* response-content-type and the like: the client overrides what was kept. */
static void override_headers(struct request *r)
{
    static const char *const rows[][2] = {
        {"response-content-type", "Content-Type"},
        {"response-content-language", "Content-Language"},
        {"response-expires", "Expires"},
        {"response-cache-control", "Cache-Control"},
        {"response-content-disposition", "Content-Disposition"},
        {"response-content-encoding", "Content-Encoding"},
    };
    struct buf kept = r->reply_headers;
    const char *p = (const char *)kept.data;
    size_t left = kept.len;

    r->reply_headers = (struct buf){0};
    while (left > 0) {
        const char *value = p + strlen(p) + 1;
        size_t used = (size_t)(value - p) + strlen(value) + 1;
        bool overridden = false;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            overridden = overridden || (text_ieq(p, rows[i][1]) &&
                                        request_param(r, rows[i][0]) != NULL);
        }
        if (!overridden) {
            buf_append(&r->reply_headers, p, used);
        }
        p += used;
        left -= used;
    }
    buf_free(&kept);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *value = request_param(r, rows[i][0]);
        if (value != NULL && strpbrk(value, "\r\n") == NULL) {
            reply_header(r, rows[i][1], "%s", value);
        }
    }
}

static void reply_validators(struct request *r, const struct meta_object *o)
{
    char date[TEXT_TIME_MAX];

    reply_header(r, "ETag", "\"%s\"", o->etag);
    reply_header(r, "Last-Modified", "%s",
                 text_http_date(o->modified_ms, date));
    s3_version_reply(r, o->version);
}

static void reply_object_headers(struct request *r, const struct get *g,
                                 bool whole)
{
    const char *mode = request_header(r, "x-amz-checksum-mode");
    bool checksum = whole && mode != NULL && text_ieq(mode, "ENABLED");

    reply_validators(r, &g->object);
    reply_header(r, "Accept-Ranges", "bytes");
    s3_attrs_reply(r, g->object.attrs, g->object.attrs_len, checksum);
    s3_more_reply(r, &g->object);
    if (request_param(r, "versionId") == NULL) { /* of the current one only */
        lifecycle_reply(r, g->object.size_bytes, g->object.modified_ms,
                        g->object.tags, g->object.tags_len);
    }
    if (request_param(r, "partNumber") != NULL && g->object.parts > 0) {
        reply_header(r, "x-amz-mp-parts-count", "%u", g->object.parts);
    }
    if (!whole) {
        reply_header(r, "Content-Range", "bytes %llu-%llu/%llu",
                     (unsigned long long)g->offset,
                     (unsigned long long)(g->offset + g->left - 1),
                     (unsigned long long)g->object.size_bytes);
    }
    override_headers(r);
}

/* ---- which bytes ---- */

/* ?partNumber=N: the bytes of that part. */
static bool choose_part(struct request *r, struct get *g)
{
    struct meta_part part = {0};
    uint64_t number;
    int rc;

    if (!request_param_u64(r, "partNumber", 1, 1, META_PARTS_MAX, &number)) {
        return false;
    }
    if (request_header(r, "range") != NULL) {
        reply_error(r, S3_InvalidRequest,
                    "Cannot specify both Range header and partNumber query "
                    "parameter");
        return false;
    }
    g->status = 206;
    if (g->object.parts == 0) {
        if (number != 1) {
            reply_error(r, S3_InvalidPartNumber, NULL);
            return false;
        }
        if (g->object.size_bytes == 0) {
            g->status = 200;
        }
        return true;
    }
    rc = meta_part_get(r->gateway->meta, g->object.body, (uint32_t)number,
                       &part, &r->err);
    if (rc != 0) {
        reply_error(r, S3_InvalidPartNumber, NULL);
        return false;
    }
    g->offset = part.offset;
    g->left = part.size_bytes;
    meta_part_free(&part);
    return true;
}

/* Sets offset, left and status. False: a reply was made. */
static bool choose_bytes(struct request *r, struct get *g)
{
    const char *range = request_header(r, "range");
    uint64_t size = g->object.size_bytes;

    g->offset = 0;
    g->left = size;
    g->status = 200;
    if (request_param(r, "partNumber") != NULL) {
        return choose_part(r, g);
    }
    if (range == NULL) {
        return true;
    }
    switch (s3_range_parse(range, size, &g->offset, &g->left)) {
        case S3_RANGE_OK:
            g->status = 206;
            return true;
        case S3_RANGE_UNSATISFIABLE:
            reply_header(r, "Content-Range", "bytes */%llu",
                         (unsigned long long)size);
            reply_error(r, S3_InvalidRange, NULL);
            return false;
        default:
            return true; /* not understood: the whole object */
    }
}

/* ---- bytes on drives ---- */

/* Worker: the next bytes, for reply_stream. */
static int next(struct request *r, size_t max, struct object_bytes *out,
                struct err *err)
{
    struct get *g = r->state;

    return s3_reader_take(&g->reader, max, out, err);
}

static void stream_in_worker(struct request *r)
{
    struct get *g = r->state;
    struct err err = {{0}};
    int rc;

    reply_object_headers(r, g, g->status == 200);
    g->reader = (struct s3_reader){.gateway = r->gateway,
                                   .object = &g->object,
                                   .offset = g->offset,
                                   .left = g->left,
                                   .key = g->sealed ? g->key : NULL};
    rc = reply_stream(r, g->status, g->left, next, &err);
    if (rc == ERR_NOT_FOUND) {
        rc = ERR_NO_KEY; /* replaced and collected since the row was read */
    }
    if (rc != 0) {
        buf_clear(&r->reply_headers);
        reply_err(r, rc == ERR_CORRUPT ? ERR_UNAVAILABLE : rc, &err);
    }
    request_done(r);
}

/* ---- operations ---- */

/* Read the row and judge the conditions. False: a reply was made. */
static bool find(struct request *r, struct get *g, bool with_content)
{
    enum s3_condition_result result;
    uint64_t which;

    if (!s3_version_param(r, &which) ||
        !s3_version_get(r, which, with_content, &g->object) ||
        !s3_sse_open(r, &g->object, &g->sealed, g->key)) {
        return false;
    }
    result = s3_conditions_get(request_header(r, "if-match"),
                               request_header(r, "if-none-match"),
                               request_header(r, "if-modified-since"),
                               request_header(r, "if-unmodified-since"),
                               g->object.etag, g->object.modified_ms);
    if (result == S3_CONDITION_NOT_MODIFIED) {
        reply_validators(r, &g->object);
        reply_error(r, S3_NotModified, NULL);
        return false;
    }
    if (result == S3_CONDITION_FAILED) {
        reply_error(r, S3_PreconditionFailed, NULL);
        return false;
    }
    return choose_bytes(r, g);
}

static struct get *get_new(struct request *r)
{
    struct get *g = mem_alloc(sizeof *g);

    r->state = g;
    r->state_free = get_free;
    return g;
}

void s3_get_object(struct request *r)
{
    struct get *g = get_new(r);

    if (!find(r, g, true)) {
        request_done(r);
        return;
    }
    if (g->object.parts == 0 && g->object.manifest == NULL) {
        reply(r, g->status);
        reply_object_headers(r, g, g->status == 200);
        if (g->left > 0) {
            buf_append(&r->reply_body, g->object.inline_bytes + g->offset,
                       (size_t)g->left);
        }
        request_done(r);
        return;
    }
    request_in_worker(r, stream_in_worker);
}

void s3_head_object(struct request *r)
{
    struct get *g = get_new(r);

    if (find(r, g, false)) {
        reply(r, g->status);
        reply_object_headers(r, g, g->status == 200);
        r->head_bytes = g->left;
        r->is_head = true;
    }
    request_done(r);
}
