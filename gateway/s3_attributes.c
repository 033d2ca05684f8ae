/* GetObjectAttributes: what is known of an object, without its bytes.
 *
 * Parts are shown, as S3 does, only of objects whose checksum is composed of
 * those of the parts.
 *
 * Source: AWS S3 API Reference, GetObjectAttributes.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/text.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_attrs.h"
#include "gateway/s3_sse.h"
#include "gateway/s3_version.h"
#include "gateway/s3_xml.h"

#define PARTS_PAGE_MAX 1000

enum {
    SHOW_ETAG = 1,
    SHOW_CHECKSUM = 2,
    SHOW_PARTS = 4,
    SHOW_CLASS = 8,
    SHOW_SIZE = 16,
};

static const struct {
    const char *name;
    unsigned flag;
} names[] = {
    {"ETag", SHOW_ETAG},         {"Checksum", SHOW_CHECKSUM},
    {"ObjectParts", SHOW_PARTS}, {"StorageClass", SHOW_CLASS},
    {"ObjectSize", SHOW_SIZE},
};

static unsigned flag_of(const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i].name) == len &&
            memcmp(names[i].name, name, len) == 0) {
            return names[i].flag;
        }
    }
    return 0;
}

/* x-amz-object-attributes: a list, in one header or in several. False: a reply
 * was made. */
static bool parse_wanted(struct request *r, unsigned *wanted)
{
    *wanted = 0;
    for (size_t i = 0; i < r->header_count; i++) {
        const char *p = r->headers[i].value;
        if (!text_ieq(r->headers[i].name, "x-amz-object-attributes")) {
            continue;
        }
        while (p[strspn(p, " \t,")] != '\0') {
            size_t len;
            unsigned flag;
            p += strspn(p, " \t,");
            len = strcspn(p, " \t,");
            flag = flag_of(p, len);
            if (flag == 0) {
                reply_error(r, S3_InvalidArgument,
                            "Invalid attribute name specified.");
                return false;
            }
            *wanted |= flag;
            p += len;
        }
    }
    if (*wanted == 0) {
        reply_error(r, S3_InvalidArgument,
                    "x-amz-object-attributes must name an attribute");
        return false;
    }
    return true;
}

/* A header with a number, @deflt when missing. False: a reply was made. */
static bool number_header(struct request *r, const char *name, uint64_t deflt,
                          uint64_t *out)
{
    const char *text = request_header(r, name);

    *out = deflt;
    if (text != NULL && (!text_u64(text, out) || *out > INT32_MAX)) {
        reply_error(r, S3_InvalidArgument, "%s must be a number", name);
        return false;
    }
    return true;
}

static void show_checksum(struct buf *b, const struct meta_object *o)
{
    enum digest_kind kind;
    char value[64];
    char *type;

    if (!s3_attrs_checksum(o->attrs, o->attrs_len, &kind, value)) {
        return;
    }
    type = s3_attrs_get(o->attrs, o->attrs_len, "x-amz-checksum-type");
    xml_open(b, "Checksum");
    xml_checksum(b, kind, value);
    if (type != NULL) {
        xml_text(b, "ChecksumType", type);
    }
    xml_close(b, "Checksum");
    free(type);
}

static bool is_composite(const struct meta_object *o)
{
    char *type = s3_attrs_get(o->attrs, o->attrs_len, "x-amz-checksum-type");
    bool composite = type != NULL && strcmp(type, "COMPOSITE") == 0;

    free(type);
    return composite;
}

static void show_part(struct buf *b, const struct meta_part *p)
{
    enum digest_kind kind;
    const char *value;

    xml_open(b, "Part");
    xml_u64(b, "PartNumber", p->number);
    xml_u64(b, "Size", p->size_bytes);
    if (s3_part_check(p->check, &kind, &value)) {
        xml_checksum(b, kind, value);
    }
    xml_close(b, "Part");
}

/* The parts after the @after-th, up to @max. */
static int show_parts(struct request *r, struct buf *b,
                      const struct meta_object *o, uint64_t after, uint64_t max,
                      struct err *err)
{
    uint64_t left = after < o->parts ? o->parts - after : 0;
    uint64_t count = left < max ? left : max;

    xml_open(b, "ObjectParts");
    xml_u64(b, "PartsCount", o->parts);
    if (is_composite(o)) {
        xml_u64(b, "PartNumberMarker", after);
        xml_u64(b, "NextPartNumberMarker", after + count);
        xml_u64(b, "MaxParts", max);
        xml_bool(b, "IsTruncated", count < left);
        for (uint64_t i = 0; i < count; i++) {
            struct meta_part part = {0};
            int rc = meta_part_get(r->gateway->meta, o->body,
                                   (uint32_t)(after + i + 1), &part, err);
            if (rc != 0) {
                return rc;
            }
            show_part(b, &part);
            meta_part_free(&part);
        }
    }
    xml_close(b, "ObjectParts");
    return 0;
}

static void show(struct request *r, const struct meta_object *o,
                 unsigned wanted, uint64_t after, uint64_t max)
{
    static const char root[] = "GetObjectAttributesResponse";
    char date[TEXT_TIME_MAX];
    struct buf parts = {0};
    struct err err = {{0}};
    struct buf *b;
    int rc = 0;

    if ((wanted & SHOW_PARTS) != 0 && o->parts > 0) {
        rc = show_parts(r, &parts, o, after, max, &err);
    }
    if (rc != 0) { /* deleted since its row was read */
        reply_err(r, rc == ERR_NOT_FOUND ? ERR_NO_KEY : rc, &err);
        goto out;
    }
    b = reply_xml(r, 200, root);
    reply_header(r, "Last-Modified", "%s",
                 text_http_date(o->modified_ms, date));
    s3_version_reply(r, o->version);
    if ((wanted & SHOW_ETAG) != 0) {
        xml_text(b, "ETag", o->etag); /* without quotes, here alone */
    }
    if ((wanted & SHOW_CHECKSUM) != 0) {
        show_checksum(b, o);
    }
    buf_append(b, parts.data, parts.len);
    if ((wanted & SHOW_CLASS) != 0) {
        xml_text(b, "StorageClass", "STANDARD");
    }
    if ((wanted & SHOW_SIZE) != 0) {
        xml_u64(b, "ObjectSize", o->size_bytes);
    }
    xml_close(b, root);

out:
    buf_free(&parts);
}

void s3_get_object_attributes(struct request *r)
{
    struct meta_object object = {0};
    uint64_t which, max, after;
    uint8_t key[AEAD_KEY] = {0};
    unsigned wanted;
    bool sealed;

    if (!s3_version_param(r, &which) || !parse_wanted(r, &wanted) ||
        !number_header(r, "x-amz-max-parts", PARTS_PAGE_MAX, &max) ||
        !number_header(r, "x-amz-part-number-marker", 0, &after)) {
        return;
    }
    max = max < PARTS_PAGE_MAX ? max : PARTS_PAGE_MAX;
    if (!s3_version_get(r, which, false, &object)) {
        return;
    }
    if (s3_sse_open(r, &object, &sealed, key)) {
        show(r, &object, wanted, after, max);
    }
    mem_wipe(key, sizeof key);
    meta_object_free(&object);
}
