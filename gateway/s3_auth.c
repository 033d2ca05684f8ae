/* Who asks. Source: AWS "Authenticating Requests (AWS Signature Version 4)".
 */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/digest.h"
#include "gateway/access.h"
#include "gateway/edge_auth.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_attrs.h"
#include "gateway/session.h"

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

/* The token of a session that the request comes with, or NULL. */
static const char *token_of(struct request *r, bool *twice)
{
    const char *in_header = request_header(r, "x-amz-security-token");
    const char *in_query = request_param(r, "X-Amz-Security-Token");

    *twice = in_header != NULL && in_query != NULL &&
             strcmp(in_header, in_query) != 0;
    return in_header != NULL ? in_header : in_query;
}

/* Is the session in order, as what is asked comes? */
static enum s3_error judge_session(const struct request *r,
                                   const struct session *s, bool of_user)
{
    return strcmp(s->keys.access_key, r->auth.access_key) != 0 ? S3_InvalidToken
           : s->claims.expires_ms <= r->time_ms                ? S3_ExpiredToken
           : !of_user ? S3_InvalidAccessKeyId
                      : S3_OK;
}

/* As secret_of, of temporary credentials. */
static const char *secret_of_session(struct request *r, const char *token)
{
    struct gateway *g = r->gateway;
    struct err err = {{0}};
    enum s3_error e;
    int rc = session_find(g, token, &r->session, &err);

    if (rc == ERR_BAD_INPUT) {
        r->err = err;
        reply_error(r, S3_InvalidToken, NULL);
        return NULL;
    }
    if (rc == 0) {
        rc = access_user(g, r->session->claims.access_key, &r->user, &err);
    }
    if (rc != 0 && rc != ERR_NOT_FOUND) {
        reply_err(r, rc, &err);
        return NULL;
    }
    e = judge_session(r, r->session,
                      rc == 0 && session_is_of(g, r->session, r->user));
    if (e != S3_OK) {
        reply_error(r, e, NULL);
        return NULL;
    }
    return r->session->keys.secret_key;
}

/* Whose key signed: r->user is root, also for the control key below /-/, or a
 * user; with a token (not NULL) it is a session's. Gives the secret; NULL: a
 * reply was made. */
static const char *secret_of(struct request *r, const char *token)
{
    struct gateway *g = r->gateway;
    bool control = strcmp(r->auth.access_key, CONTROL_KEY) == 0 &&
                   strncmp(r->path, "/-/", 3) == 0 &&
                   g->control_secret[0] != '\0';
    struct err err = {{0}};
    int rc;

    if (token != NULL) {
        return secret_of_session(r, token);
    }
    rc = access_user(g, control ? g->access_key : r->auth.access_key, &r->user,
                     &err);
    if (rc == ERR_NOT_FOUND) {
        reply_error(r, S3_InvalidAccessKeyId, NULL);
    } else if (rc != 0) {
        reply_err(r, rc, &err);
    }
    return rc != 0 ? NULL : control ? g->control_secret : r->user->secret_key;
}

/* It was parsed with @status: who signed it? */
static bool verify(struct request *r, const struct sigv4_request *s,
                   enum sigv4_status status, struct err *err)
{
    const char *secret, *token;
    bool twice;

    if (status != SIGV4_OK) {
        return refuse(r, status, err);
    }
    token = token_of(r, &twice);
    if (twice) {
        reply_error(r, S3_InvalidArgument,
                    "X-Amz-Security-Token: the header and the query differ");
        return false;
    }
    secret = secret_of(r, token);
    if (secret == NULL) {
        return false;
    }
    sigv4_keys_get(r->gateway->keys, r->auth.access_key, secret, r->auth.date,
                   r->auth.region, r->auth.service, r->signing_key);
    status = sigv4_verify(s, &r->auth, r->gateway->region, r->signing_key,
                          r->time_ms, err);
    return status == SIGV4_OK || refuse(r, status, err);
}

bool s3_authenticate(struct request *r)
{
    struct sigv4_request s = {.method = r->method,
                              .path = r->path,
                              .query = r->query,
                              .headers = r->headers,
                              .header_count = r->header_count};
    struct err err = {{0}};
    enum sigv4_status status = sigv4_parse(&s, &r->auth, &err);

    if (status == SIGV4_ANONYMOUS && strncmp(r->path, "/-/", 3) != 0) {
        r->auth.payload = SIGV4_PAYLOAD_UNSIGNED;
        return edge_authenticate(r); /* who may be served is for s3_authorize */
    }
    return verify(r, &s, status, &err);
}

bool s3_authenticate_sts(struct request *r)
{
    uint8_t sum[DIGEST_MAX];
    char hex[2 * DIGEST_MAX + 1];
    struct sigv4_request s = {.method = r->method,
                              .path = r->path,
                              .query = r->query,
                              .headers = r->headers,
                              .header_count = r->header_count,
                              .service = "sts",
                              .body_sha256 = hex};
    struct err err = {{0}};

    digest_of(DIGEST_SHA256, r->document.data, r->document.len, sum);
    text_hex(sum, 32, hex);
    return verify(r, &s, sigv4_parse(&s, &r->auth, &err), &err);
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
                          const char *credential, const char *signature,
                          const char *token)
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
    secret = secret_of(r, token);
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
