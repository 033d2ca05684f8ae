#include "gateway/s3_attrs.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/wire.h"
#include "gateway/access.h"
#include "gateway/request.h"
#include "gateway/s3_grants.h"
#include "gateway/s3_sse.h"
#include "gateway/s3_upload.h"
#include "policy/acl.h"

#define ATTRS_VERSION 1
/* Room that s3_attrs_from leaves for the checksum and what s3_sse_attrs says,
 * which are added later. */
#define CHECKSUM_ROOM 1024
#define META_PREFIX "x-amz-meta-"
#define META_PREFIX_LEN (sizeof META_PREFIX - 1)
#define CHECKSUM_PREFIX "x-amz-checksum-"
#define SSE_PREFIX "x-amz-server-side-encryption"

/* What is kept of the plain headers: as kept, and as given back. */
static const struct {
    const char *name;
    const char *reply;
} kept[] = {
    {"content-type", "Content-Type"},
    {"cache-control", "Cache-Control"},
    {"content-disposition", "Content-Disposition"},
    {"content-encoding", "Content-Encoding"},
    {"content-language", "Content-Language"},
    {"expires", "Expires"},
    {"x-amz-website-redirect-location", "x-amz-website-redirect-location"},
    {"x-amz-storage-class", "x-amz-storage-class"},
};
#define KEPT (sizeof kept / sizeof kept[0])

/* ---- the encoding ---- */

void s3_attrs_begin(struct buf *out)
{
    put_u8(out, ATTRS_VERSION);
}

void s3_attrs_add(struct buf *out, const char *name, const char *value)
{
    put_text(out, name);
    put_text(out, value);
}

void s3_attrs_each(const void *attrs, size_t len,
                   bool (*fn)(void *arg, const char *name, const char *value),
                   void *arg)
{
    struct wire_reader in;
    bool more = true;

    wire_init(&in, attrs, len);
    if (get_u8(&in) != ATTRS_VERSION) {
        return;
    }
    while (more && wire_ok(&in) && !wire_done(&in)) {
        char *name = get_text(&in, META_ATTRS_MAX);
        char *value = get_text(&in, META_ATTRS_MAX);
        more = name != NULL && value != NULL && fn(arg, name, value);
        free(name);
        free(value);
    }
}

struct search {
    const char *name;
    char *value;
};

static bool search_one(void *arg, const char *name, const char *value)
{
    struct search *s = arg;

    if (strcmp(name, s->name) == 0) {
        s->value = mem_strdup(value);
        return false;
    }
    return true;
}

char *s3_attrs_get(const void *attrs, size_t len, const char *name)
{
    struct search s = {name, NULL};

    s3_attrs_each(attrs, len, search_one, &s);
    return s.value;
}

/* ---- the access control list ---- */

#define ACL_NAME S3_SSE_HIDDEN "acl"
#define ACL_AT (1 + 4 + sizeof ACL_NAME - 1) /* bytes in front of its value */

void s3_attrs_add_acl(struct buf *out, const struct acl *acl)
{
    struct buf text = {0};

    acl_encode(acl, &text);
    s3_attrs_add(out, ACL_NAME, (const char *)text.data);
    buf_free(&text);
}

bool s3_attrs_has_acl(const void *attrs, size_t len)
{
    const uint8_t *p = attrs;

    return len > ACL_AT && p[0] == ATTRS_VERSION &&
           load_u32(p + 1) == sizeof ACL_NAME - 1 &&
           memcmp(p + 5, ACL_NAME, sizeof ACL_NAME - 1) == 0;
}

bool s3_attrs_acl(const void *attrs, size_t len, struct acl *out)
{
    struct wire_reader in;
    const uint8_t *p;
    size_t n;

    if (!s3_attrs_has_acl(attrs, len)) {
        return false;
    }
    wire_init(&in, (const uint8_t *)attrs + ACL_AT, len - ACL_AT);
    p = get_blob(&in, META_ATTRS_MAX, &n);
    return wire_ok(&in) && acl_decode(p, n, out, NULL) == 0;
}

void s3_attrs_copy_acl(const void *attrs, size_t len, struct buf *out)
{
    char *text = s3_attrs_has_acl(attrs, len)
                     ? s3_attrs_get(attrs, len, ACL_NAME)
                     : NULL;

    if (text != NULL) {
        s3_attrs_add(out, ACL_NAME, text);
    }
    free(text);
}

/* ---- copies ---- */

struct copy {
    struct buf *out;
    bool with_checksum, with_sse;
};

static bool copy_one(void *arg, const char *name, const char *value)
{
    struct copy *c = arg;

    if ((c->with_checksum || !text_starts(name, CHECKSUM_PREFIX)) &&
        strcmp(name, ACL_NAME) != 0 &&
        (c->with_sse || (!text_starts(name, SSE_PREFIX) &&
                         !text_starts(name, S3_SSE_HIDDEN)))) {
        s3_attrs_add(c->out, name, value);
    }
    return true;
}

void s3_attrs_copy(const void *attrs, size_t len, bool with_checksum,
                   struct buf *out)
{
    struct copy c = {out, with_checksum, true};

    s3_attrs_each(attrs, len, copy_one, &c);
}

void s3_attrs_copy_plain(const void *attrs, size_t len, bool with_checksum,
                         struct buf *out)
{
    struct copy c = {out, with_checksum, false};

    s3_attrs_each(attrs, len, copy_one, &c);
}

/* ---- checksums ---- */

static const char *const checksum_headers[DIGEST_KINDS] = {
    [DIGEST_SHA1] = "x-amz-checksum-sha1",
    [DIGEST_SHA256] = "x-amz-checksum-sha256",
    [DIGEST_CRC32] = "x-amz-checksum-crc32",
    [DIGEST_CRC32C] = "x-amz-checksum-crc32c",
    [DIGEST_CRC64NVME] = "x-amz-checksum-crc64nvme",
};

const char *s3_checksum_header(enum digest_kind kind)
{
    return checksum_headers[kind];
}

bool s3_checksum_kind(const char *header, enum digest_kind *out)
{
    for (int kind = 0; kind < DIGEST_KINDS; kind++) {
        if (checksum_headers[kind] != NULL &&
            strcasecmp(header, checksum_headers[kind]) == 0) {
            *out = (enum digest_kind)kind;
            return true;
        }
    }
    return false;
}

struct checksum {
    enum digest_kind kind;
    char *value;
    bool found;
};

static bool checksum_one(void *arg, const char *name, const char *value)
{
    struct checksum *c = arg;

    if (strlen(value) < 64 && s3_checksum_kind(name, &c->kind)) {
        memcpy(c->value, value, strlen(value) + 1);
        c->found = true;
    }
    return !c->found;
}

bool s3_attrs_checksum(const void *attrs, size_t len, enum digest_kind *kind,
                       char *value)
{
    struct checksum c = {DIGEST_MD5, value, false};

    s3_attrs_each(attrs, len, checksum_one, &c);
    if (c.found) {
        *kind = c.kind;
    }
    return c.found;
}

bool s3_part_check(const char *check, enum digest_kind *kind,
                   const char **value)
{
    char header[32];
    size_t len;

    check = s3_sse_unsalted(check);
    len = check != NULL ? strcspn(check, ":") : 0;

    if (len == 0 || len >= sizeof header || check[len] != ':') {
        return false;
    }
    memcpy(header, check, len);
    header[len] = '\0';
    if (!s3_checksum_kind(header, kind)) {
        return false;
    }
    *value = check + len + 1;
    return true;
}

/* ---- from a request ---- */

/* Headers that ask for what is not there: to take the object without it would
 * be to pretend. @value: the one value that asks for nothing; NULL: none. */
static const struct {
    const char *name; /* a whole name, or a prefix that ends in '-' */
    const char *value;
} refused[] = {
    {"x-amz-server-side-encryption-", NULL}, /* but s3_sse_knows */
    {"x-amz-write-offset-bytes", NULL},
};

static bool header_fits(const char *name, const char *row)
{
    size_t len = strlen(row);

    return row[len - 1] == '-' ? strncasecmp(name, row, len) == 0
                               : strcasecmp(name, row) == 0;
}

static bool judge_redirect(struct request *r, const char *value)
{
    if (value[0] == '/' || text_starts(value, "http://") ||
        text_starts(value, "https://")) {
        return true;
    }
    reply_error(r, S3_InvalidArgument,
                "x-amz-website-redirect-location must begin with /, http:// "
                "or https://");
    return false;
}

static bool judge_header(struct request *r, const char *name, const char *value)
{
    if (s3_sse_knows(name)) { /* s3_sse_asked */
        return true;
    }
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (header_fits(name, refused[i].name) &&
            (refused[i].value == NULL ||
             strcmp(refused[i].value, value) != 0)) {
            reply_error(r, S3_NotImplemented,
                        "the header %.64s is not implemented", name);
            return false;
        }
    }
    if (text_ieq(name, "x-amz-storage-class") &&
        strcmp(value, "STANDARD") != 0) {
        reply_error(r, S3_InvalidStorageClass, NULL);
        return false;
    }
    if (text_ieq(name, "x-amz-website-redirect-location")) {
        return judge_redirect(r, value);
    }
    return true;
}

/* Content-Encoding without aws-chunked, which is of the transfer. */
static void strip_aws_chunked(const char *value, struct buf *out)
{
    while (*value != '\0') {
        size_t len = strcspn(value, ",");
        const char *token = value;
        size_t token_len = len;
        while (token_len > 0 && strchr(" \t", *token) != NULL) {
            token++;
            token_len--;
        }
        while (token_len > 0 && strchr(" \t", token[token_len - 1]) != NULL) {
            token_len--;
        }
        if (token_len > 0 &&
            !(token_len == 11 && strncasecmp(token, "aws-chunked", 11) == 0)) {
            if (out->len > 0) {
                buf_char(out, ',');
            }
            buf_append(out, token, token_len);
        }
        value += len;
        value += *value == ',';
    }
}

static void keep(struct buf *out, const char *name, const char *value)
{
    struct buf stripped = {0};

    if (strcmp(name, "content-encoding") == 0) {
        strip_aws_chunked(value, &stripped);
        value = stripped.len > 0 ? (const char *)stripped.data : "";
    }
    /* STANDARD is what S3 never shows. */
    if (value[0] != '\0' && strcmp(name, "x-amz-storage-class") != 0) {
        s3_attrs_add(out, name, value);
    }
    buf_free(&stripped);
}

/* User metadata of one name; a header that is repeated is one with commas. */
static void keep_meta(const struct request *r, size_t first, struct buf *out)
{
    char *name = mem_strdup(r->headers[first].name);
    struct buf value = {0};

    for (char *p = name; *p != '\0'; p++) {
        *p = (char)tolower((unsigned char)*p);
    }
    buf_str(&value, r->headers[first].value);
    for (size_t i = first + 1; i < r->header_count; i++) {
        if (text_ieq(r->headers[i].name, name)) {
            buf_char(&value, ',');
            buf_str(&value, r->headers[i].value);
        }
    }
    s3_attrs_add(out, name, (const char *)value.data);
    buf_free(&value);
    free(name);
}

static bool seen_before(const struct request *r, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (text_ieq(r->headers[i].name, r->headers[at].name)) {
            return true;
        }
    }
    return false;
}

/* Added by a device's agent, beside as much as a program may give it. */
static bool is_of_device(const struct request *r, const char *name)
{
    return r->user != NULL && r->user->device != 0 &&
           (text_ieq(name, META_PREFIX "godwit-device") ||
            text_ieq(name, META_PREFIX "godwit-device-time"));
}

bool s3_attrs_from(struct request *r, struct buf *out)
{
    size_t start = out->len;
    size_t user_bytes = 0;

    s3_attrs_begin(out);
    if (!s3_grants_put(r, out)) {
        return false;
    }
    for (size_t i = 0; i < r->header_count; i++) {
        const char *name = r->headers[i].name;
        const char *value = r->headers[i].value;
        if (!judge_header(r, name, value)) {
            return false;
        }
        if (strncasecmp(name, META_PREFIX, META_PREFIX_LEN) == 0) {
            if (!is_of_device(r, name)) {
                user_bytes += strlen(name) - META_PREFIX_LEN + strlen(value);
            }
            if (!seen_before(r, i)) {
                keep_meta(r, i, out);
            }
            continue;
        }
        for (size_t j = 0; j < KEPT; j++) {
            if (text_ieq(name, kept[j].name) && !seen_before(r, i)) {
                keep(out, kept[j].name, value);
            }
        }
    }
    if (user_bytes > S3_USER_METADATA_MAX ||
        out->len - start > META_ATTRS_MAX - CHECKSUM_ROOM) {
        reply_error(r, S3_MetadataTooLarge, NULL);
        return false;
    }
    return true;
}

/* ---- to a reply ---- */

struct back {
    struct request *request;
    bool with_checksum;
    bool has_type;
};

static bool reply_one(void *arg, const char *name, const char *value)
{
    struct back *b = arg;

    if ((text_starts(name, CHECKSUM_PREFIX) && !b->with_checksum) ||
        text_starts(name, S3_SSE_HIDDEN)) {
        return true;
    }
    for (size_t i = 0; i < KEPT; i++) {
        if (strcmp(name, kept[i].name) == 0) {
            name = kept[i].reply;
            break;
        }
    }
    b->has_type = b->has_type || text_ieq(name, "content-type");
    /* libmicrohttpd takes no header without a value; blanks around one do not
     * count (RFC 9110 section 5.5). */
    reply_header(b->request, name, "%s", value[0] != '\0' ? value : " ");
    return true;
}

void s3_attrs_reply(struct request *r, const void *attrs, size_t len,
                    bool with_checksum)
{
    struct back b = {r, with_checksum, false};

    s3_attrs_each(attrs, len, reply_one, &b);
    if (!b.has_type) {
        reply_header(r, "Content-Type", "binary/octet-stream");
    }
}
