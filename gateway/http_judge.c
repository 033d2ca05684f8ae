/* What the headers of a request can tell, before its body comes.
 *
 * libmicrohttpd is lenient where S3 must be strict. Source: RFC 9110, RFC 9112;
 * AWS "Virtual hosting of buckets".
 */
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/text.h"
#include "cluster/cluster.h"
#include "gateway/edge_auth.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_access.h"
#include "gateway/s3_post.h"
#include "gateway/s3_router.h"
#include "gateway/s3_upload.h"
#include "gateway/sts.h"
#include "gateway/sts_form.h"

struct header_walk {
    struct request *r;
    size_t bytes;
    const char *bad;
};

/* RFC 9110 section 5.6.2: a field name is a token. MHD lets blanks before the
 * colon pass as part of the name. */
static bool is_token(const char *s)
{
    for (const char *p = s; *p != '\0'; p++) {
        if (*p <= ' ' || *p >= 127 || strchr("()<>@,;:\\\"/[]?={}", *p)) {
            return false;
        }
    }
    return *s != '\0';
}

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind,
                                 const char *name, const char *value)
{
    struct header_walk *w = cls;
    struct request *r = w->r;

    (void)kind;
    value = value != NULL ? value : "";
    w->bytes += strlen(name) + strlen(value) + 4;
    if (!is_token(name)) {
        w->bad = "a header name is not a token";
    }
    for (const char *p = value; *p != '\0'; p++) {
        if (((unsigned char)*p < ' ' && *p != '\t') || *p == 127) {
            w->bad = "a header value has a control byte";
        }
    }
    if (r->header_count < REQUEST_HEADERS_MAX) {
        r->headers[r->header_count++] = (struct sigv4_header){name, value};
    } else {
        w->bytes = REQUEST_HEADER_BYTES_MAX + 1;
    }
    return MHD_YES;
}

/* How long is the body? Content-Length, once; or Transfer-Encoding: chunked,
 * which judge_body allows where the bytes are framed and counted once more by
 * aws-chunked; never both. */
static bool check_length(struct request *r)
{
    const char *length = NULL;

    for (size_t i = 0; i < r->header_count; i++) {
        const struct sigv4_header *h = &r->headers[i];
        if (strcasecmp(h->name, "content-length") == 0) {
            if (length != NULL && strcmp(length, h->value) != 0) {
                reply_error(r, S3_BadRequest,
                            "two Content-Length headers differ");
                return false;
            }
            length = h->value;
        } else if (strcasecmp(h->name, "transfer-encoding") == 0) {
            if (r->chunked || strcasecmp(h->value, "chunked") != 0) {
                reply_error(r, S3_NotImplemented,
                            "Transfer-Encoding other than chunked");
                return false;
            }
            r->chunked = true;
        }
    }
    if (length != NULL && r->chunked) {
        reply_error(r, S3_BadRequest,
                    "Content-Length and Transfer-Encoding exclude each other");
        return false;
    }
    if (length != NULL) {
        if (!text_u64(length, &r->content_length)) {
            reply_error(r, S3_BadRequest, "Content-Length is not a number");
            return false;
        }
        r->has_length = true;
    }
    return true;
}

static bool check_headers(struct request *r)
{
    struct header_walk w = {.r = r, .bytes = strlen(r->uri)};

    MHD_get_connection_values(r->connection, MHD_HEADER_KIND, on_header, &w);
    if (w.bytes > REQUEST_HEADER_BYTES_MAX) {
        reply_error(r, S3_RequestHeaderSectionTooLarge, NULL);
        return false;
    }
    if (w.bad != NULL) {
        reply_error(r, S3_BadRequest, "%s", w.bad);
        return false;
    }
    return check_length(r);
}

static char *decoded(const char *p, size_t len, bool *ok)
{
    struct buf b = {0};
    size_t n;

    buf_reserve(&b, len);
    *ok = text_uri_decode(&b, p, len) && memchr(b.data, 0, b.len) == NULL;
    return (char *)buf_take(&b, &n);
}

static bool parse_params(struct request *r)
{
    const char *p = r->query;

    while (*p != '\0') {
        size_t len = strcspn(p, "&");
        size_t name_len = strcspn(p, "=&");
        struct request_param *q = &r->params[r->param_count];
        bool name_ok, value_ok = true;
        if (len > 0) {
            if (r->param_count == REQUEST_PARAMS_MAX) {
                reply_error(r, S3_InvalidURI, "too many query parameters");
                return false;
            }
            q->name = decoded(p, name_len, &name_ok);
            q->value = name_len < len ? decoded(p + name_len + 1,
                                                len - name_len - 1, &value_ok)
                                      : mem_strdup("");
            r->param_count++;
            if (!name_ok || !value_ok) {
                reply_error(r, S3_InvalidURI,
                            "a query parameter has a bad escape");
                return false;
            }
        }
        p += len;
        p += *p == '&';
    }
    return true;
}

static bool set_key(struct request *r, const char *p)
{
    bool ok;
    const char *why = NULL;

    if (*p == '\0') {
        return true;
    }
    r->key = decoded(p, strlen(p), &ok);
    if (!ok) {
        free(r->key);
        r->key = NULL;
        reply_error(r, S3_InvalidURI, "the key has a bad escape or a NUL");
        return false;
    }
    if (strlen(r->key) > META_KEY_MAX) {
        reply_error(r, S3_KeyTooLongError, NULL);
        return false;
    }
    if (!s3_key_valid(r->key, strlen(r->key), &why)) {
        reply_error(r, S3_InvalidURI, "%s", why);
        return false;
    }
    return true;
}

/* Bucket and key from the path, or from the host and the path. */
static bool parse_target(struct request *r)
{
    const char *host = request_header(r, "host");
    const char *p = r->path;
    const char *why = NULL;
    char *name;
    size_t len;
    bool ok;

    if (*p != '/') {
        reply_error(r, S3_InvalidURI, "the path must begin with '/'");
        return false;
    }
    p++;
    if (r->gateway->domain[0] != '\0' && host != NULL &&
        s3_host_bucket(host, r->gateway->domain, r->bucket)) {
        return set_key(r, p);
    }
    len = strcspn(p, "/");
    if (len == 0) {
        if (*p != '\0') {
            reply_error(r, S3_InvalidBucketName, NULL);
            return false;
        }
        return true;
    }
    name = decoded(p, len, &ok);
    if (ok && s3_bucket_name_valid(name, &why)) {
        snprintf(r->bucket, sizeof r->bucket, "%s", name);
    } else {
        reply_error(r, S3_InvalidBucketName, "%s",
                    why != NULL ? why : "the bucket name has a bad escape");
        free(name);
        return false;
    }
    free(name);
    p += len;
    p += *p == '/';
    return set_key(r, p);
}

/* The gateway's own paths live beside buckets under a name that no bucket can
 * have. */
static bool parse_admin(struct request *r)
{
    static const struct {
        const char *method; /* HEAD goes with GET */
        const char *path;
        enum s3_op op;
    } rows[] = {
        {"GET", "/-/live", S3_OP_Live},
        {"GET", "/-/ready", S3_OP_Ready},
        {"GET", "/-/metrics", S3_OP_Metrics},
        {"GET", "/-/status", S3_OP_Status},
        {"GET", "/-/explain", S3_OP_AdminExplain},
        {"GET", "/-/catalogue", S3_OP_AdminCatalogue},
        {"GET", "/-/tokens", S3_OP_AdminTokens},
        {"POST", "/-/tokens", S3_OP_AdminTokenCreate},
        {"DELETE", "/-/tokens", S3_OP_AdminTokenRevoke},
        {"POST", "/-/servers", S3_OP_AdminServer},
        {"POST", "/-/drives", S3_OP_AdminDrive},
        {"GET", "/-/buckets", S3_OP_AdminBucket},
        {"POST", "/-/buckets", S3_OP_AdminBucketSet},
        {"POST", "/-/rebalance", S3_OP_AdminRebalance},
        {"GET", "/-/users", S3_OP_AdminUsers},
        {"POST", "/-/users", S3_OP_AdminUserPut},
        {"DELETE", "/-/users", S3_OP_AdminUserRemove},
        {"GET", "/-/keys", S3_OP_AdminKeys},
        {"POST", "/-/keys", S3_OP_AdminKeyPut},
        {"DELETE", "/-/keys", S3_OP_AdminKeyRemove},
        {"GET", "/-/master-keys", S3_OP_AdminMasterKeys},
        {"POST", "/-/master-keys", S3_OP_AdminMasterKeySet},
        {"GET", "/-/audit", S3_OP_AdminAudit},
        {"POST", "/-/audit", S3_OP_AdminAuditSet},
        {"GET", "/-/devices", S3_OP_AdminDevices},
        {"POST", "/-/devices", S3_OP_AdminDevicePut},
        {"DELETE", "/-/devices", S3_OP_AdminDeviceRemove},
        {"POST", "/-/devices/revoke", S3_OP_AdminDeviceRevoke},
        {"GET", "/-/erasures", S3_OP_AdminErasures},
        {"POST", "/-/erasures", S3_OP_AdminErase},
        {"DELETE", "/-/erasures", S3_OP_AdminEraseCancel},
        {"GET", "/-/erasures/receipt", S3_OP_AdminEraseReceipt},
        {"POST", "/-/devices/policy", S3_OP_AdminDevicePolicy},
        {"POST", EDGE_PATH "v1/enroll", S3_OP_EdgeEnroll},
        {"POST", EDGE_PATH "v1/renew", S3_OP_EdgeRenew},
        {"POST", EDGE_PATH "v1/batch", S3_OP_EdgeBatch},
        {"POST", EDGE_PATH "v1/report", S3_OP_EdgeReport},
        {"GET", EDGE_PATH "v1/settings", S3_OP_EdgeSettings},
    };
    const char *method = strcmp(r->method, "HEAD") == 0 ? "GET" : r->method;
    bool known = false;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(r->path, rows[i].path) == 0) {
            known = true;
            if (strcmp(method, rows[i].method) == 0) {
                r->op = rows[i].op;
            }
        }
    }
    if (r->op == S3_OP_NONE) {
        reply_error(r, known ? S3_MethodNotAllowed : S3_NotFound, NULL);
        return false;
    }
    if (text_starts(r->path, EDGE_PATH)) {
        return edge_judge(r);
    }
    return r->op == S3_OP_Live || r->op == S3_OP_Ready ||
           r->op == S3_OP_Metrics || (s3_authenticate(r) && s3_authorize(r));
}

static bool route(struct request *r)
{
    struct s3_route_input in = {
        .method = r->method,
        .has_bucket = r->bucket[0] != '\0',
        .has_key = r->key != NULL,
        .has_copy_source = request_header(r, "x-amz-copy-source") != NULL,
        .params = r->params,
        .param_count = r->param_count,
    };
    enum s3_error refusal = S3_OK;
    const char *why = NULL;

    r->op = s3_route(&in, &refusal, &why);
    if (r->op == S3_OP_NONE) {
        if (r->user == NULL) { /* nobody learns what there is */
            reply_error(r, S3_AccessDenied, NULL);
        } else if (why != NULL) {
            reply_error(r, refusal, "%s", why);
        } else {
            reply_error(r, refusal, NULL);
        }
        return false;
    }
    return true;
}

static bool check_bodyless(struct request *r)
{
    static const char empty_sha256[] =
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    if (r->content_length > 0) {
        if (r->content_length > REQUEST_DOCUMENT_MAX) {
            reply_error(r, S3_InvalidRequest, "this request takes no body");
            return false;
        }
        return true; /* drained; S3 ignores it too */
    }
    if (r->auth.payload == SIGV4_PAYLOAD_SHA256 &&
        strcmp(r->auth.payload_text, empty_sha256) != 0 &&
        r->op != S3_OP_Live && r->op != S3_OP_Ready && r->op != S3_OP_Metrics) {
        reply_error(r, S3_XAmzContentSHA256Mismatch, NULL);
        return false;
    }
    return true;
}

static bool judge_body(struct request *r)
{
    enum s3_body body = s3_operation(r->op)->body;

    if (r->chunked &&
        !(body == S3_BODY_OBJECT && sigv4_is_streaming(&r->auth))) {
        reply_error(r, S3_NotImplemented,
                    "Transfer-Encoding needs aws-chunked inside it: send "
                    "Content-Length");
        return false;
    }
    if (r->op == S3_OP_Preflight) {
        return true;
    }
    switch (body) {
        case S3_BODY_OBJECT:
            return s3_upload_new(r);
        case S3_BODY_XML:
            if (r->content_length >
                (r->op == S3_OP_Sts ? STS_BODY_MAX : REQUEST_DOCUMENT_MAX)) {
                reply_error(r, S3_MaxMessageLengthExceeded, NULL);
                return false;
            }
            return true;
        default:
            return check_bodyless(r);
    }
}

/* By TLS, or from this machine. */
static bool is_private(const struct request *r)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        r->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *a = info != NULL ? info->client_addr : NULL;

    if (gateway_is_https(r->gateway)) {
        return true;
    }
    if (a != NULL && a->sa_family == AF_INET) {
        return ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24 ==
               127;
    }
    return a != NULL && a->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a)->sin6_addr);
}

bool http_judge_headers(struct request *r)
{
    r->is_private = is_private(r);
    if (!check_headers(r) || !parse_params(r)) {
        return false;
    }
    if (strncmp(r->path, "/-/", 3) == 0) {
        return parse_admin(r);
    }
    if (!parse_target(r)) {
        return false;
    }
    if (strcmp(r->method, "OPTIONS") == 0) { /* a browser signs none */
        r->op = S3_OP_Preflight;
    } else if (s3_post_is(r)) { /* its signature is inside */
        r->op = S3_OP_PostObject;
        r->auth.payload = SIGV4_PAYLOAD_UNSIGNED;
    } else if (sts_is(r)) { /* its signature is of its body */
        r->op = S3_OP_Sts;
        r->auth.payload = SIGV4_PAYLOAD_UNSIGNED;
    } else if (!s3_authenticate(r) || !route(r)) {
        return false;
    }
    if (cluster_removed(r->gateway->cluster)) {
        reply_error(r, S3_ServiceUnavailable,
                    "this server was removed from the cluster");
        return false;
    }
    if (!atomic_load(&r->gateway->ready)) {
        reply_error(r, S3_ServiceUnavailable,
                    "the server is starting: it waits for a majority of the "
                    "servers that vote on the catalogue");
        return false;
    }
    if (!s3_post_is(r) && r->op != S3_OP_Sts && !s3_authorize(r)) {
        return false;
    }
    return judge_body(r);
}
