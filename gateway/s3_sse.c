#include "gateway/s3_sse.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/text.h"
#include "crypto/digest.h"
#include "crypto/prim.h"
#include "gateway/gateway_internal.h"
#include "gateway/master_keys.h"
#include "gateway/request.h"
#include "gateway/s3_attrs.h"
#include "meta/meta.h"

#define SSE "x-amz-server-side-encryption"
#define KEY_ID SSE "-aws-kms-key-id"
#define BUCKET_KEY SSE "-bucket-key-enabled"
#define ALGORITHM SSE "-customer-algorithm"
#define KEY_MD5 SSE "-customer-key-MD5"
#define WRAPPED_KEY S3_SSE_HIDDEN "sse-key"
#define WRAPPED_BY_CLIENT S3_SSE_HIDDEN "sse-c-key"
#define CLIENT_WRAPPED (AEAD_NONCE + AEAD_KEY + AEAD_TAG)
#define WRAPPED_MAX MASTER_WRAPPED
#define PART_INFO "godwit part key 1"
#define SALT S3_SSE_HIDDEN "salt:"
#define SALT_TEXT (sizeof SALT - 1 + (size_t)2 * S3_SSE_SALT + 1)

_Static_assert(CLIENT_WRAPPED <= WRAPPED_MAX, "either fits");

/* What the attrs of an object or upload say of how it is sealed. */
struct envelope {
    struct s3_sse_how how; /* without the client's key */
    uint32_t number;       /* of the master key */
    uint8_t wrapped[WRAPPED_MAX + 2];
};

struct s3_sse {
    struct envelope envelope;
    uint8_t key[AEAD_KEY]; /* what seals: the data key, or a part's */
    bool is_part;
    uint8_t salt[S3_SSE_SALT];
    struct aead_stream *stream;
    uint32_t segment; /* the next one */
};

/* ---- arithmetic ---- */

uint64_t s3_sse_sealed_bytes(uint64_t plain)
{
    uint64_t segments = (plain + AEAD_SEGMENT - 1) / AEAD_SEGMENT;

    return plain + segments * AEAD_TAG;
}

uint32_t s3_sse_room(uint32_t room)
{
    uint32_t segments = room / (uint32_t)S3_SSE_SEALED;

    CHECK(room > AEAD_TAG);
    return segments > 0 ? segments * (uint32_t)AEAD_SEGMENT : room - AEAD_TAG;
}

/* ---- attrs ---- */

static bool unbase64(const char *text, size_t len, uint8_t *out)
{
    size_t got = 0;

    return strlen(text) == TEXT_BASE64_MAX(len) - 1 &&
           text_unbase64(text, strlen(text), out, &got) && got == len;
}

/* "name number base64"; what is damaged opens with no key. */
static void take_wrapped(struct envelope *e, const char *value)
{
    const char *first = strchr(value, ' ');
    const char *second = first != NULL ? strchr(first + 1, ' ') : NULL;
    uint64_t number = 0;
    char *text;

    if (e->how.kind == S3_SSE_NONE) {
        e->how.kind = S3_SSE_S3;
    }
    if (second == NULL || first - value > META_MASTER_NAME_MAX) {
        return;
    }
    memcpy(e->how.name, value, (size_t)(first - value));
    e->how.name[first - value] = '\0';
    text = mem_strndup(first + 1, (size_t)(second - first - 1));
    if (text_u64(text, &number) && number <= UINT32_MAX &&
        unbase64(second + 1, MASTER_WRAPPED, e->wrapped)) {
        e->number = (uint32_t)number;
    }
    free(text);
}

static bool take_attr(void *arg, const char *name, const char *value)
{
    struct envelope *e = arg;

    if (strcmp(name, WRAPPED_BY_CLIENT) == 0) {
        e->how.kind = S3_SSE_C;
        unbase64(value, CLIENT_WRAPPED, e->wrapped);
    } else if (strcmp(name, KEY_MD5) == 0 &&
               strlen(value) < sizeof e->how.md5) {
        memcpy(e->how.md5, value, strlen(value) + 1);
    } else if (strcmp(name, SSE) == 0) {
        e->how.kind = strcmp(value, "AES256") == 0 ? S3_SSE_S3 : S3_SSE_KMS;
    } else if (strcmp(name, BUCKET_KEY) == 0) {
        e->how.bucket_key = true;
    } else if (strcmp(name, WRAPPED_KEY) == 0) {
        take_wrapped(e, value);
    }
    return true;
}

static void read_envelope(const void *attrs, size_t len, struct envelope *e)
{
    memset(e, 0, sizeof *e);
    s3_attrs_each(attrs, len, take_attr, e);
}

void s3_sse_how_of(const void *attrs, size_t len, struct s3_sse_how *how)
{
    struct envelope e;

    read_envelope(attrs, len, &e);
    *how = e.how;
}

void s3_sse_attrs(const struct s3_sse *s, struct buf *attrs)
{
    const struct envelope *e = &s->envelope;
    char text[TEXT_BASE64_MAX(WRAPPED_MAX)];
    char *value;

    if (e->how.kind == S3_SSE_C) {
        s3_attrs_add(attrs, ALGORITHM, "AES256");
        s3_attrs_add(attrs, KEY_MD5, e->how.md5);
        s3_attrs_add(attrs, WRAPPED_BY_CLIENT,
                     text_base64(e->wrapped, CLIENT_WRAPPED, text));
        return;
    }
    s3_attrs_add(attrs, SSE, e->how.kind == S3_SSE_S3 ? "AES256" : "aws:kms");
    if (e->how.kind == S3_SSE_KMS) {
        s3_attrs_add(attrs, KEY_ID, e->how.name);
    }
    if (e->how.bucket_key) {
        s3_attrs_add(attrs, BUCKET_KEY, "true");
    }
    value = mem_printf("%s %u %s", e->how.name, e->number,
                       text_base64(e->wrapped, MASTER_WRAPPED, text));
    s3_attrs_add(attrs, WRAPPED_KEY, value);
    free(value);
}

static void reply_how(struct request *r, const struct s3_sse_how *how)
{
    switch (how->kind) {
        case S3_SSE_NONE:
            return;
        case S3_SSE_C:
            reply_header(r, ALGORITHM, "AES256");
            reply_header(r, KEY_MD5, "%s", how->md5);
            return;
        case S3_SSE_S3:
            reply_header(r, SSE, "AES256");
            return;
        case S3_SSE_KMS:
            reply_header(r, SSE, "aws:kms");
            reply_header(r, KEY_ID, "%s", how->name);
            if (how->bucket_key) {
                reply_header(r, BUCKET_KEY, "true");
            }
            return;
    }
}

void s3_sse_reply(struct request *r, const struct s3_sse *s)
{
    reply_how(r, &s->envelope.how);
}

void s3_sse_reply_attrs(struct request *r, const void *attrs, size_t len)
{
    struct s3_sse_how how;

    s3_sse_how_of(attrs, len, &how);
    reply_how(r, &how);
}

/* ---- keys ---- */

static void reply_master(struct request *r, int rc, const struct err *err)
{
    switch (rc) {
        case ERR_NOT_FOUND:
            reply_error(r, S3_KMS_NotFoundException, "%s", err->text);
            break;
        case ERR_DENIED:
            reply_error(r, S3_KMS_DisabledException, "%s", err->text);
            break;
        case ERR_MISMATCH:
            reply_error(r, S3_InternalError,
                        "the object's key does not open: %s", err->text);
            break;
        default:
            reply_err(r, rc, err);
    }
}

static bool may_wait(const struct request *r)
{
    return !request_on_loop(r);
}

/* Wrap @s's key as its envelope says. False: a reply was made. */
static bool wrap(struct request *r, struct s3_sse *s)
{
    struct envelope *e = &s->envelope;
    struct err err = {{0}};
    int rc;

    if (e->how.kind == S3_SSE_C) {
        rng_bytes(e->wrapped, AEAD_NONCE);
        aead_seal(e->how.client, e->wrapped, NULL, 0, s->key, AEAD_KEY,
                  e->wrapped + AEAD_NONCE);
        mem_wipe(e->how.client, sizeof e->how.client);
        return true;
    }
    rc = master_keys_wrap(r->gateway, e->how.name, may_wait(r), s->key,
                          &e->number, e->wrapped, &err);
    if (rc != 0) {
        reply_master(r, rc, &err);
    }
    return rc == 0;
}

/* The data key in @e, by the client's key in @given or a master key. False: a
 * reply was made. */
static bool unwrap(struct request *r, const struct envelope *e,
                   const struct s3_sse_how *given, uint8_t key[AEAD_KEY])
{
    struct err err = {{0}};
    int rc;

    if (e->how.kind == S3_SSE_C) {
        rc = aead_open(given->client, e->wrapped, NULL, 0,
                       e->wrapped + AEAD_NONCE, AEAD_KEY + AEAD_TAG, key, NULL);
        if (rc != 0) {
            reply_error(r, S3_AccessDenied, NULL);
        }
        return rc == 0;
    }
    rc = master_keys_open(r->gateway, e->how.name, e->number, may_wait(r),
                          e->wrapped, key, &err);
    if (rc != 0) {
        reply_master(r, rc, &err);
    }
    return rc == 0;
}

static void derive_part(const uint8_t key[AEAD_KEY],
                        const uint8_t salt[S3_SSE_SALT], uint8_t out[AEAD_KEY])
{
    prim_hkdf_extract(salt, S3_SSE_SALT, key, AEAD_KEY, out);
    prim_hkdf_expand(out, PART_INFO, strlen(PART_INFO), out, AEAD_KEY);
}

static bool has_salt(const char *check)
{
    return check != NULL && text_starts(check, SALT) &&
           strlen(check) >= SALT_TEXT && check[SALT_TEXT - 1] == ';';
}

const char *s3_sse_unsalted(const char *check)
{
    return has_salt(check) ? check + SALT_TEXT : check;
}

char *s3_sse_salted(const struct s3_sse *s, const char *check)
{
    char hex[2 * S3_SSE_SALT + 1];

    if (s == NULL || !s->is_part) {
        return mem_strdup(check);
    }
    return mem_printf("%s%s;%s", SALT, text_hex(s->salt, S3_SSE_SALT, hex),
                      check);
}

bool s3_sse_part_key(const uint8_t key[AEAD_KEY], const char *check,
                     uint8_t out[AEAD_KEY])
{
    uint8_t salt[S3_SSE_SALT];

    if (!has_salt(check) ||
        !text_unhex(check + sizeof SALT - 1, (size_t)2 * S3_SSE_SALT, salt,
                    S3_SSE_SALT)) {
        return false;
    }
    derive_part(key, salt, out);
    return true;
}

/* ---- what seals ---- */

static void start_stream(struct s3_sse *s)
{
    static const uint8_t prefix[AEAD_PREFIX] = {0}; /* one stream for a key */

    s->stream = aead_stream_new(s->key, prefix);
}

bool s3_sse_new_as(struct request *r, const struct s3_sse_how *how,
                   const uint8_t *key, struct s3_sse **out)
{
    struct s3_sse *s;

    *out = NULL;
    if (how->kind == S3_SSE_NONE) {
        return true;
    }
    s = mem_alloc(sizeof *s);
    s->envelope.how = *how;
    if (key != NULL) {
        memcpy(s->key, key, AEAD_KEY);
    } else {
        rng_bytes(s->key, sizeof s->key);
    }
    if (!wrap(r, s)) {
        s3_sse_free(s);
        return false;
    }
    start_stream(s);
    *out = s;
    return true;
}

/* Do the headers of a part fit its upload? False: a reply was made. */
static bool judge_part(struct request *r, const struct envelope *e,
                       const struct s3_sse_how *given)
{
    if (request_header(r, SSE) != NULL) {
        reply_error(r, S3_InvalidArgument,
                    SSE " header is not supported for this operation.");
        return false;
    }
    if (given->kind == S3_SSE_C && e->how.kind != S3_SSE_C) {
        reply_error(r, S3_InvalidRequest,
                    "The multipart upload initiate requested no encryption "
                    "with a key of the client's; a part cannot ask for it.");
        return false;
    }
    if (given->kind == S3_SSE_NONE && e->how.kind == S3_SSE_C) {
        reply_error(r, S3_InvalidRequest,
                    "The multipart upload initiate requested encryption. "
                    "Subsequent part requests must include the appropriate "
                    "encryption parameters.");
        return false;
    }
    if (e->how.kind == S3_SSE_C && strcmp(e->how.md5, given->md5) != 0) {
        reply_error(r, S3_InvalidRequest,
                    "The provided encryption parameters did not match the "
                    "ones used originally.");
        return false;
    }
    return true;
}

/* A key of its own for a part of the upload that @attrs are of. */
static bool new_part(struct request *r, const void *attrs, size_t len,
                     struct s3_sse **out)
{
    struct s3_sse_how given;
    struct s3_sse *s = mem_alloc(sizeof *s);
    bool good = s3_sse_client(r, false, &given);

    read_envelope(attrs, len, &s->envelope);
    good = good && judge_part(r, &s->envelope, &given);
    if (good && s->envelope.how.kind != S3_SSE_NONE) {
        uint8_t key[AEAD_KEY];
        good = unwrap(r, &s->envelope, &given, key);
        if (good) {
            s->is_part = true;
            rng_bytes(s->salt, sizeof s->salt);
            derive_part(key, s->salt, s->key);
            start_stream(s);
            *out = s;
            s = NULL;
        }
        mem_wipe(key, sizeof key);
    }
    mem_wipe(&given, sizeof given);
    s3_sse_free(s);
    return good;
}

static bool new_of_upload(struct request *r, struct s3_sse **out)
{
    struct meta_upload upload = {.key = NULL};
    uint8_t id[META_UPLOAD_ID];
    struct err err = {{0}};
    bool good;
    int rc;

    if (!request_upload_id(r, id)) {
        return false;
    }
    rc =
        meta_upload_get(r->gateway->meta, r->bucket, r->key, id, &upload, &err);
    if (rc != 0) {
        reply_err(r, rc, &err);
        return false;
    }
    good = new_part(r, upload.attrs, upload.attrs_len, out);
    meta_upload_free(&upload);
    return good;
}

bool s3_sse_new(struct request *r, struct s3_sse **out)
{
    struct s3_sse_how how;
    bool good;

    *out = NULL;
    if (r->op == S3_OP_UploadPart || r->op == S3_OP_UploadPartCopy) {
        return new_of_upload(r, out);
    }
    good = s3_sse_asked(r, &how) && s3_sse_new_as(r, &how, NULL, out);
    mem_wipe(&how, sizeof how);
    return good;
}

const uint8_t *s3_sse_key(const struct s3_sse *s)
{
    return s->key;
}

void s3_sse_free(struct s3_sse *s)
{
    if (s != NULL) {
        aead_stream_free(s->stream);
        mem_wipe(s, sizeof *s);
        free(s);
    }
}

/* From the last to the first, as each moves up to make room for the tags of
 * those before it. */
uint32_t s3_sse_seal(struct s3_sse *s, uint8_t *data, uint32_t len)
{
    uint32_t count = (uint32_t)((len + AEAD_SEGMENT - 1) / AEAD_SEGMENT);

    for (uint32_t i = count; i-- > 0;) {
        const uint8_t *from = data + (size_t)i * AEAD_SEGMENT;
        uint8_t *to = data + (size_t)i * S3_SSE_SEALED;
        size_t n = i + 1 < count ? AEAD_SEGMENT : len - i * AEAD_SEGMENT;
        memmove(to, from, n);
        aead_stream_seal(s->stream, s->segment + i, n < AEAD_SEGMENT, to, n,
                         to);
    }
    s->segment += count;
    return len + count * (uint32_t)AEAD_TAG;
}

void s3_sse_etag(const struct s3_sse *s, const uint8_t md5[16], char etag[33])
{
    uint8_t mac[32];

    if (s->envelope.how.kind == S3_SSE_S3) { /* clients compare */
        text_hex(md5, 16, etag);
        return;
    }
    hmac_sha256(s->key, sizeof s->key, md5, 16, mac);
    text_hex(mac, 16, etag);
}

/* ---- reads ---- */

/* Are the headers those that the object needs? False: a reply was made. */
static bool judge_read(struct request *r, const struct envelope *e,
                       const struct s3_sse_how *given)
{
    if (e->how.kind != S3_SSE_C && given->kind == S3_SSE_C) {
        reply_error(r, S3_InvalidRequest,
                    "The encryption parameters are not applicable to this "
                    "object.");
        return false;
    }
    if (e->how.kind == S3_SSE_C && given->kind != S3_SSE_C) {
        reply_error(r, S3_InvalidRequest,
                    "The object was stored using a form of Server Side "
                    "Encryption. The correct parameters must be provided to "
                    "retrieve the object.");
        return false;
    }
    return true;
}

static bool open_with(struct request *r, const struct meta_object *o,
                      bool source, bool *sealed, uint8_t key[AEAD_KEY])
{
    bool wants_bytes =
        r->op != S3_OP_HeadObject && r->op != S3_OP_GetObjectAttributes;
    struct s3_sse_how given;
    struct envelope e;
    bool good = s3_sse_client(r, source, &given);

    read_envelope(o->attrs, o->attrs_len, &e);
    *sealed = e.how.kind != S3_SSE_NONE;
    good = good && judge_read(r, &e, &given);
    if (good && *sealed && (wants_bytes || e.how.kind == S3_SSE_C)) {
        good = unwrap(r, &e, &given, key);
    }
    mem_wipe(&given, sizeof given);
    return good;
}

bool s3_sse_open(struct request *r, const struct meta_object *o, bool *sealed,
                 uint8_t key[AEAD_KEY])
{
    if (request_header(r, SSE) != NULL) {
        reply_error(r, S3_InvalidArgument,
                    SSE " header is not supported for this operation.");
        return false;
    }
    return open_with(r, o, false, sealed, key);
}

bool s3_sse_open_source(struct request *r, const struct meta_object *o,
                        bool *sealed, uint8_t key[AEAD_KEY])
{
    return open_with(r, o, true, sealed, key);
}
