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
#include "gateway/request.h"
#include "gateway/s3_attrs.h"
#include "meta/meta.h"

#define ALGORITHM "x-amz-server-side-encryption-customer-algorithm"
#define KEY "x-amz-server-side-encryption-customer-key"
#define KEY_MD5 "x-amz-server-side-encryption-customer-key-MD5"
#define WRAPPED_KEY S3_SSE_HIDDEN "sse-c-key"
#define WRAPPED_BYTES (AEAD_NONCE + AEAD_KEY + AEAD_TAG)
#define MD5_TEXT TEXT_BASE64_MAX(16)

struct s3_sse {
    uint8_t key[AEAD_KEY];
    uint8_t wrapped[WRAPPED_BYTES];
    char md5[MD5_TEXT];
    struct aead_stream *stream;
    uint32_t segment; /* the next one */
};

/* ---- the headers ---- */

static enum s3_error refuse(struct err *err, enum s3_error e, const char *what)
{
    err_set(err, ERR_BAD_INPUT, "%s", what);
    return e;
}

enum s3_error s3_sse_judge(const struct s3_sse_headers *h,
                           uint8_t key[AEAD_KEY], struct err *err)
{
    uint8_t raw[AEAD_KEY + 16], given[24], sum[DIGEST_MAX];
    size_t len = 0, given_len = 0;
    enum s3_error e = S3_OK;

    if (h->algorithm == NULL) {
        return refuse(err, S3_InvalidArgument,
                      "Requests specifying Server Side Encryption with "
                      "Customer provided keys must provide a valid encryption "
                      "algorithm.");
    }
    if (strcmp(h->algorithm, "AES256") != 0) {
        return refuse(err, S3_InvalidEncryptionAlgorithmError,
                      "The Encryption request you specified is not valid. "
                      "Supported value: AES256.");
    }
    if (h->key == NULL) {
        return refuse(err, S3_InvalidArgument,
                      "Requests specifying Server Side Encryption with "
                      "Customer provided keys must provide an appropriate "
                      "secret key.");
    }
    if (h->md5 == NULL) {
        return refuse(err, S3_InvalidArgument,
                      "Requests specifying Server Side Encryption with "
                      "Customer provided keys must provide the client "
                      "calculated MD5 of the secret key.");
    }
    if (strlen(h->key) > TEXT_BASE64_MAX(AEAD_KEY) - 1 ||
        !text_unbase64(h->key, strlen(h->key), raw, &len) || len != AEAD_KEY) {
        e = refuse(err, S3_InvalidArgument,
                   "The secret key was invalid for the specified algorithm.");
    } else {
        digest_of(DIGEST_MD5, raw, AEAD_KEY, sum);
        if (strlen(h->md5) != MD5_TEXT - 1 ||
            !text_unbase64(h->md5, strlen(h->md5), given, &given_len) ||
            given_len != 16 || mem_diff(given, sum, 16) != 0) {
            e = refuse(err, S3_InvalidArgument,
                       "The calculated MD5 hash of the key did not match the "
                       "hash that was provided.");
        } else {
            memcpy(key, raw, AEAD_KEY);
        }
    }
    mem_wipe(raw, sizeof raw);
    return e;
}

/* The client's key, where the request has one. False: a reply was made. */
static bool client_key(struct request *r, bool *given, uint8_t key[AEAD_KEY])
{
    struct s3_sse_headers h = {request_header(r, ALGORITHM),
                               request_header(r, KEY),
                               request_header(r, KEY_MD5)};
    struct err err = {{0}};
    enum s3_error e;

    *given = h.algorithm != NULL || h.key != NULL || h.md5 != NULL;
    if (!*given) {
        return true;
    }
    if (!r->is_private) {
        reply_error(r, S3_InvalidRequest,
                    "Requests specifying Server Side Encryption with Customer "
                    "provided keys must be made over a secure connection.");
        return false;
    }
    e = s3_sse_judge(&h, key, &err);
    if (e != S3_OK) {
        reply_error(r, e, "%s", err.text);
    }
    return e == S3_OK;
}

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

/* ---- uploads ---- */

bool s3_sse_new(struct request *r, struct s3_sse **out)
{
    static const uint8_t prefix[AEAD_PREFIX] = {0}; /* one stream for a key */
    uint8_t key[AEAD_KEY];
    struct s3_sse *s;
    bool given;

    *out = NULL;
    if (!client_key(r, &given, key)) {
        return false;
    }
    if (!given) {
        return true;
    }
    if (r->op == S3_OP_UploadPart) {
        mem_wipe(key, sizeof key);
        reply_error(r, S3_InvalidRequest,
                    "The multipart upload initiate requested no encryption; "
                    "a part cannot ask for it.");
        return false;
    }
    s = mem_alloc(sizeof *s);
    rng_bytes(s->key, sizeof s->key);
    rng_bytes(s->wrapped, AEAD_NONCE);
    aead_seal(key, s->wrapped, NULL, 0, s->key, AEAD_KEY,
              s->wrapped + AEAD_NONCE);
    mem_wipe(key, sizeof key);
    memcpy(s->md5, request_header(r, KEY_MD5), MD5_TEXT);
    s->stream = aead_stream_new(s->key, prefix);
    *out = s;
    return true;
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

    hmac_sha256(s->key, sizeof s->key, md5, 16, mac);
    text_hex(mac, 16, etag);
}

void s3_sse_attrs(const struct s3_sse *s, struct buf *attrs)
{
    char text[TEXT_BASE64_MAX(WRAPPED_BYTES)];

    s3_attrs_add(attrs, ALGORITHM, "AES256");
    s3_attrs_add(attrs, KEY_MD5, s->md5);
    s3_attrs_add(attrs, WRAPPED_KEY,
                 text_base64(s->wrapped, sizeof s->wrapped, text));
}

void s3_sse_reply(struct request *r, const struct s3_sse *s)
{
    reply_header(r, ALGORITHM, "AES256");
    reply_header(r, KEY_MD5, "%s", s->md5);
}

/* ---- reads ---- */

bool s3_sse_is_sealed(const struct meta_object *o)
{
    char *text = s3_attrs_get(o->attrs, o->attrs_len, WRAPPED_KEY);
    bool sealed = text != NULL;

    free(text);
    return sealed;
}

static int unwrap(const char *text, const uint8_t client[AEAD_KEY],
                  uint8_t key[AEAD_KEY])
{
    uint8_t wrapped[WRAPPED_BYTES + 2];
    size_t len = 0;

    if (strlen(text) != TEXT_BASE64_MAX(WRAPPED_BYTES) - 1 ||
        !text_unbase64(text, strlen(text), wrapped, &len) ||
        len != WRAPPED_BYTES) {
        return ERR_CORRUPT;
    }
    return aead_open(client, wrapped, NULL, 0, wrapped + AEAD_NONCE,
                     AEAD_KEY + AEAD_TAG, key, NULL);
}

static bool open_with(struct request *r, const char *text, bool given,
                      const uint8_t client[AEAD_KEY], uint8_t key[AEAD_KEY])
{
    if (text == NULL && given) {
        reply_error(r, S3_InvalidRequest,
                    "The encryption parameters are not applicable to this "
                    "object.");
        return false;
    }
    if (text != NULL && !given) {
        reply_error(r, S3_InvalidRequest,
                    "The object was stored using a form of Server Side "
                    "Encryption. The correct parameters must be provided to "
                    "retrieve the object.");
        return false;
    }
    if (text != NULL && unwrap(text, client, key) != 0) {
        reply_error(r, S3_AccessDenied, NULL);
        return false;
    }
    return true;
}

bool s3_sse_open(struct request *r, const struct meta_object *o, bool *sealed,
                 uint8_t key[AEAD_KEY])
{
    uint8_t client[AEAD_KEY] = {0};
    bool given;
    char *text;
    bool ok;

    if (!client_key(r, &given, client)) {
        return false;
    }
    text = s3_attrs_get(o->attrs, o->attrs_len, WRAPPED_KEY);
    *sealed = text != NULL;
    ok = open_with(r, text, given, client, key);
    mem_wipe(client, sizeof client);
    free(text);
    return ok;
}
