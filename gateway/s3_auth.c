/* Who asks. Source: AWS "Authenticating Requests (AWS Signature Version 4)".
 */
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "crypto/digest.h"
#include "gateway/access.h"
#include "gateway/edge_auth.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_attrs.h"

static enum s3_error error_of(enum sigv4_status status, bool presigned)
{
    switch (status) {
        case SIGV4_MALFORMED:
            return presigned ? S3_AuthorizationQueryParametersError
                             : S3_AuthorizationHeaderMalformed;
        case SIGV4_BAD_REGION:
            return S3_AuthorizationHeaderMalformed;
        case SIGV4_BAD_PAYLOAD:
            return S3_InvalidArgument;
        case SIGV4_SKEWED:
            return S3_RequestTimeTooSkewed;
        case SIGV4_MISMATCH:
            return S3_SignatureDoesNotMatch;
        default:
            return S3_AccessDenied;
    }
}

static bool refuse(struct request *r, enum sigv4_status status,
                   const struct err *err)
{
    bool in_query = request_param(r, "X-Amz-Signature") != NULL ||
                    request_param(r, "X-Amz-Algorithm") != NULL;
    enum s3_error e = error_of(status, r->auth.presigned || in_query);

    if (status == SIGV4_ANONYMOUS || status == SIGV4_MISMATCH) {
        reply_error(r, e, NULL);
    } else if (in_query && request_header(r, "authorization") != NULL) {
        reply_error(r, S3_InvalidArgument,
                    "Only one auth mechanism allowed; only the "
                    "X-Amz-Algorithm query parameter, Signature query string "
                    "parameter or the Authorization header should be "
                    "specified");
    } else if (status == SIGV4_BAD_PAYLOAD &&
               request_header(r, "x-amz-content-sha256") == NULL) {
        reply_error(r, S3_InvalidRequest,
                    "Missing required header for this request: "
                    "x-amz-content-sha256");
    } else {
        reply_error(r, e, "%s", err->text);
    }
    return false;
}

/* Whose key signed: r->user is root, also for the control key below /-/, or a
 * user. Gives the secret; NULL: a reply was made. */
static const char *secret_of(struct request *r)
{
    struct gateway *g = r->gateway;
    bool control = strcmp(r->auth.access_key, CONTROL_KEY) == 0 &&
                   strncmp(r->path, "/-/", 3) == 0 &&
                   g->control_secret[0] != '\0';
    struct err err = {{0}};
    int rc = access_user(g, control ? g->access_key : r->auth.access_key,
                         &r->user, &err);

    if (rc == ERR_NOT_FOUND) {
        reply_error(r, S3_InvalidAccessKeyId, NULL);
    } else if (rc != 0) {
        reply_err(r, rc, &err);
    }
    return rc != 0 ? NULL : control ? g->control_secret : r->user->secret_key;
}

bool s3_authenticate(struct request *r)
{
    struct gateway *g = r->gateway;
    struct sigv4_request s = {r->method, r->path, r->query, r->headers,
                              r->header_count};
    enum sigv4_status status;
    struct err err = {{0}};
    const char *secret;

    status = sigv4_parse(&s, &r->auth, &err);
    if (status == SIGV4_ANONYMOUS && strncmp(r->path, "/-/", 3) != 0) {
        r->auth.payload = SIGV4_PAYLOAD_UNSIGNED;
        return edge_authenticate(r); /* who may be served is for s3_authorize */
    }
    if (status != SIGV4_OK) {
        return refuse(r, status, &err);
    }
    secret = secret_of(r);
    if (secret == NULL) {
        return false;
    }
    sigv4_keys_get(g->keys, r->auth.access_key, secret, r->auth.date,
                   r->auth.region, r->auth.service, r->signing_key);
    status =
        sigv4_verify(&s, &r->auth, g->region, r->signing_key, r->time_ms, &err);
    if (status != SIGV4_OK) {
        return refuse(r, status, &err);
    }
    return true;
}

/* Compare @kind's digest of the document with base64 @want. */
static bool check_base64(struct request *r, enum digest_kind kind,
                         const char *name, const char *want)
{
    uint8_t given[DIGEST_MAX * 2];
    uint8_t got[DIGEST_MAX];
    size_t given_len = 0;
    size_t size;

    if (strlen(want) > 64 ||
        !text_unbase64(want, strlen(want), given, &given_len) ||
        given_len != digest_size(kind)) {
        reply_error(r, S3_InvalidDigest, "%s is not a valid digest", name);
        return false;
    }
    size = digest_of(kind, r->document.data, r->document.len, got);
    if (mem_diff(given, got, size) != 0) {
        reply_error(r, S3_BadDigest, "%s does not match the body", name);
        return false;
    }
    return true;
}

bool s3_check_document(struct request *r)
{
    const char *md5 = request_header(r, "content-md5");
    uint8_t sum[DIGEST_MAX];

    if (r->auth.payload == SIGV4_PAYLOAD_SHA256) {
        digest_of(DIGEST_SHA256, r->document.data, r->document.len, sum);
        if (mem_diff(sum, r->auth.payload_sha256, 32) != 0) {
            reply_error(r, S3_XAmzContentSHA256Mismatch, NULL);
            return false;
        }
    } else if (r->auth.payload != SIGV4_PAYLOAD_UNSIGNED) {
        reply_error(r, S3_NotImplemented,
                    "x-amz-content-sha256: %s is for objects only",
                    r->auth.payload_text);
        return false;
    }
    if (md5 != NULL && !check_base64(r, DIGEST_MD5, "Content-MD5", md5)) {
        return false;
    }
    if (r->op == S3_OP_CompleteMultipartUpload) {
        return true; /* its checksum header is of the object */
    }
    for (int kind = 0; kind < DIGEST_KINDS; kind++) {
        const char *name = s3_checksum_header((enum digest_kind)kind);
        const char *value = name != NULL ? request_header(r, name) : NULL;
        if (value != NULL &&
            !check_base64(r, (enum digest_kind)kind, name, value)) {
            return false;
        }
    }
    return true;
}

/* ---- forms ---- */

/* AKID/20261123/us-east-1/s3/aws4_request */
static bool parse_credential(struct request *r, const char *text)
{
    struct sigv4_auth *a = &r->auth;
    char *const to[] = {a->access_key, a->date, a->region, a->service};
    const size_t room[] = {sizeof a->access_key, sizeof a->date,
                           sizeof a->region, sizeof a->service};
    const char *end = text + strlen(text);
    size_t fields = 0;

    /* From the end: an access key may have a slash. */
    for (const char *p = text; *p != '\0'; p++) {
        fields += *p == '/';
    }
    if (fields < 4 || strcmp(strrchr(text, '/'), "/aws4_request") != 0) {
        return false;
    }
    end -= strlen("/aws4_request");
    for (size_t i = 4; i-- > 0;) {
        const char *p = end;
        while (p > text && (i == 0 || p[-1] != '/')) {
            p--;
        }
        if (p == end || (size_t)(end - p) >= room[i]) {
            return false;
        }
        memcpy(to[i], p, (size_t)(end - p));
        to[i][end - p] = '\0';
        end = p > text ? p - 1 : p;
    }
    return strlen(a->date) == 8 && strcmp(a->service, "s3") == 0;
}

bool s3_authenticate_form(struct request *r, const char *policy,
                          const char *credential, const char *signature)
{
    struct gateway *g = r->gateway;
    char hex[SIGV4_SIGNATURE_HEX + 1];
    uint8_t mac[32];
    const char *secret;

    if (!parse_credential(r, credential)) {
        reply_error(r, S3_InvalidArgument,
                    "The Credential field is malformed; expecting "
                    "\"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".");
        return false;
    }
    if (strcmp(r->auth.region, g->region) != 0) {
        reply_error(r, S3_InvalidArgument,
                    "the region '%s' is wrong; expecting '%s'", r->auth.region,
                    g->region);
        return false;
    }
    secret = secret_of(r);
    if (secret == NULL) {
        return false;
    }
    sigv4_keys_get(g->keys, r->auth.access_key, secret, r->auth.date,
                   r->auth.region, r->auth.service, r->signing_key);
    hmac_sha256(r->signing_key, sizeof r->signing_key, policy, strlen(policy),
                mac);
    text_hex(mac, sizeof mac, hex);
    if (strlen(signature) != SIGV4_SIGNATURE_HEX ||
        mem_diff(hex, signature, SIGV4_SIGNATURE_HEX) != 0) {
        reply_error(r, S3_SignatureDoesNotMatch, NULL);
        return false;
    }
    return true;
}
