#include "gateway/s3_post.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/text.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_access.h"
#include "gateway/s3_form.h"
#include "gateway/s3_form_policy.h"
#include "gateway/s3_router.h"
#include "gateway/s3_tags.h"
#include "gateway/s3_xml.h"

bool s3_post_is(const struct request *r)
{
    const char *type = request_header(r, "content-type");

    if (strcmp(r->method, "POST") != 0 || r->bucket[0] == '\0' ||
        r->key != NULL || type == NULL ||
        strncasecmp(type, "multipart/form-data", 19) != 0) {
        return false;
    }
    for (size_t i = 0; s3_subresource(i) != NULL; i++) {
        if (request_param(r, s3_subresource(i)) != NULL) {
            return false;
        }
    }
    return true;
}

/* ---- the fields ---- */

static bool check_bytes(struct request *r, const struct s3_form *f)
{
    size_t count;
    const struct s3_form_field *fields = s3_form_fields(f, &count);

    for (size_t i = 0; i < count; i++) {
        const char *p = fields[i].value;
        bool is_document = strcasecmp(fields[i].name, "tagging") == 0;
        for (; *p != '\0' && !is_document; p++) {
            /* They become headers of answers. */
            if (((unsigned char)*p < ' ' && *p != '\t') || *p == 127) {
                reply_error(r, S3_InvalidArgument,
                            "the field %.64s has a control byte",
                            fields[i].name);
                return false;
            }
        }
        for (p = fields[i].name; *p != '\0'; p++) {
            if (*p <= ' ' || *p >= 127 || *p == ':') {
                reply_error(r, S3_MalformedPOSTRequest, NULL);
                return false;
            }
        }
    }
    return true;
}

static bool missing(struct request *r, const char *name)
{
    reply_error(r, S3_InvalidArgument,
                "Bucket POST must contain a field named '%s'.  If it is "
                "specified, please check the order of the fields.",
                name);
    return false;
}

/* Who signed the policy, and does it let this form in? */
static bool judge_policy(struct request *r, const struct s3_form *f,
                         struct s3_form_limits *limits)
{
    const char *policy = s3_form_value(f, "policy");
    struct err err = {{0}};
    size_t count, len = 0;
    const struct s3_form_field *fields = s3_form_fields(f, &count);
    enum s3_error e;
    char *json;

    if (policy == NULL) { /* nobody signed anything, nor set limits */
        *limits = (struct s3_form_limits){0, UINT64_MAX};
        return true;
    }
    if (s3_form_value(f, "AWSAccessKeyId") != NULL) {
        reply_error(r, S3_InvalidRequest,
                    "The authorization mechanism you have provided is not "
                    "supported. Please use AWS4-HMAC-SHA256.");
        return false;
    }
    for (const char *const *name =
             (const char *const[]){"x-amz-algorithm", "x-amz-credential",
                                   "x-amz-date", "x-amz-signature", NULL};
         *name != NULL; name++) {
        if (s3_form_value(f, *name) == NULL) {
            return missing(r, *name);
        }
    }
    if (strcmp(s3_form_value(f, "x-amz-algorithm"), "AWS4-HMAC-SHA256") != 0) {
        reply_error(r, S3_InvalidArgument,
                    "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"");
        return false;
    }
    if (!s3_authenticate_form(r, policy, s3_form_value(f, "x-amz-credential"),
                              s3_form_value(f, "x-amz-signature"),
                              s3_form_value(f, "x-amz-security-token"))) {
        return false;
    }
    json = mem_alloc(strlen(policy) + 1);
    if (text_unbase64(policy, strlen(policy), json, &len)) {
        e = s3_form_policy(json, len, r->bucket, fields, count, r->time_ms,
                           limits, &err);
    } else {
        e = S3_InvalidPolicyDocument;
        err_set(&err, ERR_BAD_INPUT, "Invalid Policy: Invalid Base64.");
    }
    free(json);
    if (e != S3_OK) {
        reply_error(r, e, "%s", err.text);
    }
    return e == S3_OK;
}

static bool set_key(struct request *r, const struct s3_form *f)
{
    const char *key = s3_form_value(f, "key");
    const char *why = NULL;

    if (key == NULL) {
        return missing(r, "key");
    }
    if (key[0] == '\0') {
        reply_error(r, S3_InvalidArgument,
                    "User key must have a length greater than 0.");
        return false;
    }
    if (strlen(key) > META_KEY_MAX) {
        reply_error(r, S3_KeyTooLongError, NULL);
        return false;
    }
    if (!s3_key_valid(key, strlen(key), &why)) {
        reply_error(r, S3_InvalidArgument, "%s", why);
        return false;
    }
    r->key = mem_strdup(key);
    return true;
}

/* ---- headers in place of fields ---- */

/* A field that says something of the object, as a header does. */
static bool is_header(const char *name)
{
    static const char *const plain[] = {
        "cache-control",    "content-type",     "content-disposition",
        "content-encoding", "content-language", "expires",
        "content-md5"};
    static const char *const of_form[] = {
        "x-amz-algorithm",     "x-amz-credential", "x-amz-date",
        "x-amz-signature",     "x-amz-acl",        "x-amz-tagging",
        "x-amz-security-token"};

    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        if (strcasecmp(name, plain[i]) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < sizeof of_form / sizeof of_form[0]; i++) {
        if (strcasecmp(name, of_form[i]) == 0) {
            return false;
        }
    }
    return strncasecmp(name, "x-amz-", 6) == 0;
}

static bool add_header(struct request *r, const char *name, const char *value)
{
    if (r->header_count == REQUEST_HEADERS_MAX) {
        reply_error(r, S3_RequestHeaderSectionTooLarge, NULL);
        return false;
    }
    r->headers[r->header_count++] = (struct sigv4_header){name, value};
    return true;
}

/* Of the request's own headers only those stay that are about the transfer. */
static void drop_headers(struct request *r)
{
    static const char *const stay[] = {"host", "origin", "expect",
                                       "content-length", "connection"};
    size_t count = 0;

    for (size_t i = 0; i < r->header_count; i++) {
        for (size_t j = 0; j < sizeof stay / sizeof stay[0]; j++) {
            if (strcasecmp(r->headers[i].name, stay[j]) == 0) {
                r->headers[count++] = r->headers[i];
                break;
            }
        }
    }
    r->header_count = count;
}

/* The document of the field "tagging" as the header that PutObject has. */
static bool add_tagging(struct request *r, const char *document)
{
    struct s3_tags tags = {0};
    struct err err = {{0}};
    enum s3_error e = s3_tags_read(document, strlen(document),
                                   S3_TAGS_OBJECT_MAX, &tags, &err);

    if (e != S3_OK) {
        reply_error(r, e, "%s", err.text);
        return false;
    }
    buf_clear(&r->document); /* no operation with a form has one */
    s3_tags_write_query(&tags, &r->document);
    s3_tags_free(&tags);
    return r->document.len == 0 ||
           add_header(r, "x-amz-tagging", (const char *)r->document.data);
}

static bool set_headers(struct request *r, const struct s3_form *f)
{
    size_t count;
    const struct s3_form_field *fields = s3_form_fields(f, &count);
    const char *acl = s3_form_value(f, "acl");
    const char *tagging = s3_form_value(f, "tagging");

    drop_headers(r);
    for (size_t i = 0; i < count; i++) {
        if (is_header(fields[i].name) &&
            !add_header(r, fields[i].name, fields[i].value)) {
            return false;
        }
    }
    return (acl == NULL || add_header(r, "x-amz-acl", acl)) &&
           (tagging == NULL || add_tagging(r, tagging));
}

bool s3_post_fields(struct request *r, struct s3_form *f,
                    struct s3_form_limits *limits)
{
    if (!s3_form_expand(f)) {
        reply_error(r, S3_MaxPostPreDataLengthExceeded, NULL);
        return false;
    }
    /* Who may put is judged by the key and the headers that the fields are. */
    return check_bytes(r, f) && judge_policy(r, f, limits) && set_key(r, f) &&
           set_headers(r, f) && s3_authorize(r);
}

/* ---- the reply ---- */

static char *location_of(const struct request *r)
{
    const char *host = request_header(r, "host");
    size_t len = strlen(r->bucket);
    bool in_path = strncmp(r->path, "/", 1) == 0 &&
                   strncmp(r->path + 1, r->bucket, len) == 0;
    struct buf b = {0};

    buf_printf(&b, "%s://%s/", gateway_is_https(r->gateway) ? "https" : "http",
               host != NULL ? host : "");
    if (in_path) {
        buf_printf(&b, "%s/", r->bucket);
    }
    text_uri_encode(&b, r->key, strlen(r->key), true);
    return (char *)buf_take(&b, &len);
}

/* Where the form wants the browser to go; false: nowhere. */
static bool reply_redirect(struct request *r, const char *url, const char *etag)
{
    struct buf b = {0};

    if (url == NULL ||
        !(text_starts(url, "http://") || text_starts(url, "https://"))) {
        return false;
    }
    buf_str(&b, url);
    buf_str(&b, strchr(url, '?') != NULL ? "&bucket=" : "?bucket=");
    text_uri_encode(&b, r->bucket, strlen(r->bucket), false);
    buf_str(&b, "&key=");
    text_uri_encode(&b, r->key, strlen(r->key), false);
    buf_printf(&b, "&etag=%%22%s%%22", etag);
    reply(r, 303);
    reply_header(r, "Location", "%s", (char *)b.data);
    buf_free(&b);
    return true;
}

static void reply_created(struct request *r, const char *location,
                          const char *etag)
{
    struct buf *b = reply_document(r, 201);

    xml_open(b, "PostResponse");
    xml_text(b, "Location", location);
    xml_text(b, "Bucket", r->bucket);
    xml_text(b, "Key", r->key);
    xml_etag(b, "ETag", etag);
    xml_close(b, "PostResponse");
    reply_header(r, "Location", "%s", location);
}

void s3_post_reply(struct request *r, const struct s3_form *f, const char *etag)
{
    const char *url = s3_form_value(f, "success_action_redirect");
    const char *status = s3_form_value(f, "success_action_status");
    char *location;

    url = url != NULL ? url : s3_form_value(f, "redirect"); /* its old name */
    if (reply_redirect(r, url, etag)) {
        return;
    }
    location = location_of(r);
    if (status != NULL && strcmp(status, "201") == 0) {
        reply_created(r, location, etag);
    } else {
        reply(r, status != NULL && strcmp(status, "200") == 0 ? 200 : 204);
        reply_header(r, "Location", "%s", location);
    }
    free(location);
}
