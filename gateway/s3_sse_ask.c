/* What a request asks of encryption: its headers, else its bucket's default. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/digest.h"
#include "gateway/access.h"
#include "gateway/gateway_internal.h"
#include "gateway/master_keys.h"
#include "gateway/request.h"
#include "gateway/s3_sse.h"

#define SSE "x-amz-server-side-encryption"
#define KEY_ID SSE "-aws-kms-key-id"
#define BUCKET_KEY SSE "-bucket-key-enabled"
#define SOURCE "x-amz-copy-source-server-side-encryption-customer-"
#define ALIAS "alias/"

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
        if (strlen(h->md5) != S3_SSE_MD5_TEXT - 1 ||
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

bool s3_sse_client(struct request *r, bool source, struct s3_sse_how *how)
{
    struct s3_sse_headers h = {
        request_header(r,
                       source ? SOURCE "algorithm" : SSE "-customer-algorithm"),
        request_header(r, source ? SOURCE "key" : SSE "-customer-key"),
        request_header(r, source ? SOURCE "key-MD5" : SSE "-customer-key-MD5")};
    struct err err = {{0}};
    enum s3_error e;

    *how = (struct s3_sse_how){.kind = S3_SSE_NONE};
    if (h.algorithm == NULL && h.key == NULL && h.md5 == NULL) {
        return true;
    }
    if (!r->is_private) {
        reply_error(r, S3_InvalidRequest,
                    "Requests specifying Server Side Encryption with Customer "
                    "provided keys must be made over a secure connection.");
        return false;
    }
    e = s3_sse_judge(&h, how->client, &err);
    if (e != S3_OK) {
        reply_error(r, e, "%s", err.text);
        return false;
    }
    how->kind = S3_SSE_C;
    memcpy(how->md5, h.md5, sizeof how->md5);
    return true;
}

bool s3_sse_key_name(const char *id, char name[META_MASTER_NAME_MAX + 1])
{
    const char *from = id;

    if (text_starts(id, "arn:")) {
        from = strstr(id, ":key/");
        from = from != NULL ? from + strlen(":key/") : strstr(id, ":" ALIAS);
        if (from == NULL) {
            return false;
        }
        from += from[0] == ':';
    }
    if (text_starts(from, ALIAS)) {
        from += strlen(ALIAS);
    }
    if (strcmp(from, "aws/s3") == 0) { /* AWS's own key for S3 */
        from = MASTER_S3;
    }
    if (!master_key_name_valid(from)) {
        return false;
    }
    memcpy(name, from, strlen(from) + 1);
    return true;
}

bool s3_sse_knows(const char *header)
{
    static const char *const known[] = {SSE,
                                        KEY_ID,
                                        BUCKET_KEY,
                                        SSE "-customer-algorithm",
                                        SSE "-customer-key",
                                        SSE "-customer-key-MD5"};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (text_ieq(header, known[i])) {
            return true;
        }
    }
    return false;
}

/* x-amz-server-side-encryption and what goes with it. False: a reply was
 * made. */
static bool by_server(struct request *r, struct s3_sse_how *how)
{
    const char *sse = request_header(r, SSE);
    const char *id = request_header(r, KEY_ID);
    const char *bucket_key = request_header(r, BUCKET_KEY);

    if (sse == NULL && id == NULL) {
        return true; /* the bucket key alone is of the default */
    }
    if (how->kind == S3_SSE_C) {
        reply_error(r, S3_InvalidArgument,
                    "Server Side Encryption with Customer provided key is "
                    "incompatible with the encryption method specified");
        return false;
    }
    if (sse != NULL && strcmp(sse, "aws:kms:dsse") == 0) {
        reply_error(r, S3_NotImplemented, "aws:kms:dsse is not implemented");
        return false;
    }
    if (sse != NULL && strcmp(sse, "AES256") != 0 &&
        strcmp(sse, "aws:kms") != 0) {
        reply_error(r, S3_InvalidEncryptionAlgorithmError,
                    "The encryption method specified is not supported");
        return false;
    }
    if (id != NULL && (sse == NULL || strcmp(sse, "aws:kms") != 0)) {
        reply_error(r, S3_InvalidArgument,
                    "Server Side Encryption with AWS KMS managed key requires "
                    "HTTP header x-amz-server-side-encryption : aws:kms");
        return false;
    }
    how->kind = sse[0] == 'A' ? S3_SSE_S3 : S3_SSE_KMS;
    memcpy(how->name, MASTER_S3, sizeof MASTER_S3);
    if (id != NULL && !s3_sse_key_name(id, how->name)) {
        reply_error(r, S3_KMS_NotFoundException, "Invalid keyId '%.128s'", id);
        return false;
    }
    how->bucket_key = how->kind == S3_SSE_KMS && bucket_key != NULL &&
                      text_ieq(bucket_key, "true");
    return true;
}

/* One that was made through another server just now may be missing in this copy
 * of the catalogue: who may wait does. */
static struct access_bucket *find_bucket(struct request *r)
{
    struct access_bucket *b = NULL;
    int rc = access_bucket(r->gateway, r->bucket, &b, NULL);

    if (rc == ERR_NO_BUCKET && r->gateway->cluster != NULL &&
        !request_on_loop(r) && meta_barrier(r->gateway->meta, NULL) == 0) {
        rc = access_bucket(r->gateway, r->bucket, &b, NULL);
    }
    return rc == 0 ? b : NULL;
}

/* The default of @r's bucket, if it has one; false: the bucket is not known. */
static bool by_bucket(struct request *r, struct s3_sse_how *how)
{
    const char *bucket_key = request_header(r, BUCKET_KEY);
    struct access_bucket *b = find_bucket(r);

    if (b == NULL) {
        return false;
    }
    how->kind = b->encryption.kind;
    memcpy(how->name, b->encryption.name, sizeof how->name);
    how->bucket_key = b->encryption.bucket_key;
    if (bucket_key != NULL && how->kind == S3_SSE_KMS) {
        how->bucket_key = text_ieq(bucket_key, "true");
    }
    access_bucket_free(b);
    return true;
}

bool s3_sse_asked(struct request *r, struct s3_sse_how *how)
{
    if (!s3_sse_client(r, false, how) || !by_server(r, how)) {
        return false;
    }
    if (how->kind == S3_SSE_NONE) {
        by_bucket(r, how);
    }
    return true;
}

bool s3_sse_must_ask(struct request *r)
{
    const char *sse = request_header(r, SSE);
    struct s3_sse_how how = {.kind = S3_SSE_NONE};

    if (r->op == S3_OP_UploadPart) {
        return true;
    }
    if (sse != NULL || request_header(r, SSE "-customer-key") != NULL) {
        return sse != NULL;
    }
    return !by_bucket(r, &how) || how.kind != S3_SSE_NONE;
}
