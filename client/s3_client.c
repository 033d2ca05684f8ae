#include "client/s3_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/text.h"
#include "client/http_client.h"
#include "client/s3_internal.h"
#include "client/xml_walk.h"
#include "crypto/digest.h"
#include "crypto/sigv4.h"

#define ATTEMPTS 4
#define WAIT_FIRST_MS 100
#define WAIT_MAX_MS 5000
#define SIGN_BODY_MAX ((uint64_t)1 << 20) /* plain HTTP: SHA-256 up to here */
#define PIECE ((size_t)256 << 10)
#define UNSIGNED "UNSIGNED-PAYLOAD"
#define JOIN_MAX ((uint64_t)8 << 10) /* sent from memory, with the head */
#define EMPTY_SHA256 \
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct s3_client {
    struct http_client *http;
    char *region;
    char *access_key;
    char *secret_key;
    unsigned attempts_max;
    bool tls;
};

int s3_client_new(const struct s3_client_options *options,
                  struct s3_client **out, struct err *err)
{
    struct http_client_options h = {
        .endpoint = options->endpoint,
        .ca_file = options->ca_file,
        .insecure = options->insecure,
        .connect_timeout_ms = options->connect_timeout_ms,
        .io_timeout_ms = options->io_timeout_ms,
    };
    struct s3_client *c = mem_alloc(sizeof *c);
    int rc = http_client_new(&h, &c->http, err);

    if (rc != 0) {
        free(c);
        return rc;
    }
    c->region =
        mem_strdup(options->region != NULL ? options->region : "us-east-1");
    c->access_key = mem_strdup(options->access_key);
    c->secret_key = mem_strdup(options->secret_key);
    c->attempts_max =
        options->attempts_max != 0 ? options->attempts_max : ATTEMPTS;
    c->tls = http_client_endpoint(c->http)->tls;
    *out = c;
    return 0;
}

void s3_client_free(struct s3_client *c)
{
    if (c == NULL) {
        return;
    }
    http_client_free(c->http);
    mem_wipe(c->secret_key, strlen(c->secret_key));
    free(c->secret_key);
    free(c->access_key);
    free(c->region);
    free(c);
}

/* ---- errors ---- */

int s3_client_error(const char *code, int status)
{
    static const struct {
        const char *code;
        int rc;
    } known[] = {
        {"NoSuchKey", ERR_NO_KEY},
        {"NoSuchVersion", ERR_NO_KEY},
        {"NoSuchBucket", ERR_NO_BUCKET},
        {"NoSuchUpload", ERR_NO_UPLOAD},
        {"BucketAlreadyOwnedByYou", ERR_BUCKET_EXISTS},
        {"BucketAlreadyExists", ERR_BUCKET_EXISTS},
        {"BucketNotEmpty", ERR_BUCKET_NOT_EMPTY},
        {"InvalidPart", ERR_BAD_PART},
        {"InvalidPartOrder", ERR_PART_ORDER},
        {"EntityTooSmall", ERR_PART_TOO_SMALL},
        {"EntityTooLarge", ERR_LIMIT},
        {"PreconditionFailed", ERR_PRECONDITION},
        {"InvalidRange", ERR_RANGE},
        {"BadDigest", ERR_MISMATCH},
        {"XAmzContentSHA256Mismatch", ERR_MISMATCH},
        {"SlowDown", ERR_BUSY},
        {"StorageFull", ERR_FULL},
        {"NotImplemented", ERR_UNSUPPORTED},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(code, known[i].code) == 0) {
            return known[i].rc;
        }
    }
    switch (status) {
        case 401:
        case 403:
            return ERR_DENIED;
        case 404:
            return ERR_NOT_FOUND;
        case 409:
            return ERR_EXISTS;
        case 412:
            return ERR_PRECONDITION;
        case 416:
            return ERR_RANGE;
        case 501:
            return ERR_UNSUPPORTED;
        case 503:
            return ERR_BUSY;
        case 507:
            return ERR_FULL;
        default:
            return status >= 500 ? ERR_IO : ERR_BAD_INPUT;
    }
}

struct error_text {
    char code[64];
    char message[240];
};

static int take_error(void *arg, const char *path, const char *text,
                      struct err *err)
{
    struct error_text *e = arg;

    (void)err;
    if (text != NULL && strcmp(path, "Error/Code") == 0) {
        snprintf(e->code, sizeof e->code, "%s", text);
    } else if (text != NULL && strcmp(path, "Error/Message") == 0) {
        snprintf(e->message, sizeof e->message, "%s", text);
    }
    return 0;
}

/* What an answer that is no 2xx says. Also a 200 with an <Error> document, as
 * CompleteMultipartUpload and CopyObject may give. */
static int refused(const struct http_response *r, struct err *err)
{
    struct error_text e = {{0}, {0}};
    int rc;

    if (r->body.len > 0) {
        xml_walk(r->body.data, r->body.len, take_error, &e, NULL);
    }
    rc = s3_client_error(e.code, r->status);
    if (e.code[0] == '\0') {
        return err_set(err, rc, "the server answered %d (%s)", r->status,
                       err_text(rc));
    }
    return err_set(err, rc, "%s: %s", e.code, e.message);
}

/* ---- a call ---- */

void s3_query(struct s3_call *k, const char *name, const char *value)
{
    if (k->query.len > 0) {
        buf_char(&k->query, '&');
    }
    text_uri_encode(&k->query, name, strlen(name), false);
    buf_char(&k->query, '=');
    if (value != NULL) {
        text_uri_encode(&k->query, value, strlen(value), false);
    }
}

void s3_query_u64(struct s3_call *k, const char *name, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    s3_query(k, name, text);
}

void s3_call_header(struct s3_call *k, const char *name, const char *value)
{
    CHECK(k->header_count < S3_CALL_HEADERS_MAX);
    k->headers[k->header_count++] = (struct http_header){name, value};
}

/* A body on its way out: of memory or of a file. */
struct outgoing {
    const struct s3_body *body;
    uint64_t sent;
};

static int read_at(const struct s3_body *b, uint64_t at, void *p, size_t max,
                   size_t *len, struct err *err)
{
    ssize_t n;

    if (max > b->size - at) {
        max = (size_t)(b->size - at);
    }
    if (b->data != NULL || max == 0) {
        if (max > 0) {
            memcpy(p, (const uint8_t *)b->data + at, max);
        }
        *len = max;
        return 0;
    }
    n = pread(b->fd, p, max, (off_t)(b->offset + at));
    if (n < 0) {
        return err_errno(err, "read");
    }
    if (n == 0) {
        return err_set(err, ERR_IO, "the file became shorter");
    }
    *len = (size_t)n;
    return 0;
}

static void count_sent(struct outgoing *o, uint64_t bytes)
{
    o->sent += bytes;
    if (o->body->progress != NULL) {
        o->body->progress(o->body->progress_arg, (int64_t)bytes);
    }
}

static int send_some(void *arg, void *p, size_t max, size_t *len,
                     struct err *err)
{
    struct outgoing *o = arg;
    int rc = read_at(o->body, o->sent, p, max, len, err);

    if (rc == 0) {
        count_sent(o, *len);
    }
    return rc;
}

static void take_back(struct outgoing *o)
{
    if (o->body != NULL && o->body->progress != NULL && o->sent > 0) {
        o->body->progress(o->body->progress_arg, -(int64_t)o->sent);
    }
    o->sent = 0;
}

/* Values of the headers that say what the body is. */
struct body_headers {
    char sha256[65];
    char crc[TEXT_BASE64_MAX(8)];
    char md5[TEXT_BASE64_MAX(16)];
};

/* One pass over the body for all digests that are owed. */
static int digest_body(const struct s3_client *c, const struct s3_call *k,
                       struct body_headers *h, struct err *err)
{
    const struct s3_body *b = k->body;
    bool sign = !c->tls && b->size <= SIGN_BODY_MAX;
    uint8_t out[DIGEST_MAX];
    struct digest sha = {0}, md5 = {0};
    uint64_t crc = 0;
    uint8_t *piece = mem_realloc(NULL, PIECE);
    size_t len = 0;
    int rc = 0;

    digest_init(&sha, DIGEST_SHA256);
    digest_init(&md5, DIGEST_MD5);
    for (uint64_t at = 0; at < b->size && rc == 0; at += len) {
        rc = read_at(b, at, piece, PIECE, &len, err);
        if (rc != 0) {
            break;
        }
        crc = crc64nvme(crc, piece, len);
        if (sign) {
            digest_update(&sha, piece, len);
        }
        if (k->md5) {
            digest_update(&md5, piece, len);
        }
    }
    free(piece);
    digest_final(&sha, out);
    if (sign) {
        text_hex(out, 32, h->sha256);
    } else {
        strcpy(h->sha256, UNSIGNED);
    }
    digest_final(&md5, out);
    text_base64(out, 16, h->md5);
    for (unsigned i = 0; i < 8; i++) {
        out[i] = (uint8_t)(crc >> (56 - 8 * i));
    }
    text_base64(out, 8, h->crc);
    return rc;
}

static void write_target(const struct s3_call *k, struct buf *b)
{
    if (k->path != NULL) {
        buf_str(b, k->path);
        return;
    }
    buf_char(b, '/');
    if (k->bucket != NULL) {
        text_uri_encode(b, k->bucket, strlen(k->bucket), false);
        if (k->key != NULL) {
            buf_char(b, '/');
            text_uri_encode(b, k->key, strlen(k->key), true);
        }
    }
}

/* Append the Authorization header's value for @headers. */
static void sign(const struct s3_client *c, const struct s3_call *k,
                 const char *path, const struct http_header *headers,
                 size_t count, uint64_t now_ms, struct buf *out)
{
    struct sigv4_header signed_headers[S3_CALL_HEADERS_MAX + 8];
    struct sigv4_request r = {
        .method = k->method,
        .path = path,
        .query = k->query.len > 0 ? (const char *)k->query.data : "",
        .headers = signed_headers,
        .header_count = count + 1,
    };

    CHECK(count + 1 <= sizeof signed_headers / sizeof signed_headers[0]);
    signed_headers[0].name = "host";
    signed_headers[0].value = http_client_endpoint(c->http)->authority;
    for (size_t i = 0; i < count; i++) {
        signed_headers[i + 1].name = headers[i].name;
        signed_headers[i + 1].value = headers[i].value;
    }
    sigv4_sign(&r, c->access_key, c->secret_key, c->region, now_ms, out);
}

/* One attempt: sign for now, send, receive. */
static int attempt(struct s3_client *c, const struct s3_call *k,
                   const struct body_headers *h, struct outgoing *o,
                   struct http_response *r, struct err *err)
{
    struct http_header headers[S3_CALL_HEADERS_MAX + 8];
    size_t n = k->header_count;
    struct buf path = {0}, target = {0}, authorization = {0};
    uint64_t now_ms = clock_real_ms();
    char date[TEXT_TIME_MAX];
    struct http_request q = {.method = k->method,
                             .sink = k->sink,
                             .sink_arg = k->sink_arg,
                             .once = k->conditional};
    int rc;

    memcpy(headers, k->headers, n * sizeof headers[0]);
    headers[n++] =
        (struct http_header){"x-amz-date", text_basic8601(now_ms, date)};
    headers[n++] = (struct http_header){"x-amz-content-sha256", h->sha256};
    if (k->body != NULL) {
        if (!k->no_crc) {
            headers[n++] =
                (struct http_header){"x-amz-checksum-crc64nvme", h->crc};
        }
        if (k->md5) {
            headers[n++] = (struct http_header){"content-md5", h->md5};
        }
    }
    write_target(k, &path);
    sign(c, k, (char *)path.data, headers, n, now_ms, &authorization);
    headers[n++] =
        (struct http_header){"authorization", (char *)authorization.data};
    headers[n++] = (struct http_header){"user-agent", "godwit/" GODWIT_VERSION};
    buf_str(&target, (char *)path.data);
    if (k->query.len > 0) {
        buf_printf(&target, "?%s", (char *)k->query.data);
    }
    q.target = (char *)target.data;
    q.headers = headers;
    q.header_count = n;
    if (k->body != NULL && k->body->data != NULL && k->body->size <= JOIN_MAX) {
        q.body = k->body->data;
        q.body_len = (size_t)k->body->size;
        count_sent(o, k->body->size);
    } else if (k->body != NULL && k->body->size > 0) {
        q.body_read = send_some;
        q.body_arg = o;
        q.body_size = k->body->size;
    }
    rc = http_client_request(c->http, &q, r, err);
    buf_free(&path);
    buf_free(&target);
    buf_free(&authorization);
    return rc;
}

bool s3_again(struct s3_client *c, const struct s3_call *k, int rc, int status,
              unsigned tried)
{
    uint64_t wait_ms = WAIT_FIRST_MS << (tried < 6 ? tried : 6);
    bool again;

    if (tried + 1 >= c->attempts_max) {
        return false;
    }
    if (k->conditional) {
        again = rc == ERR_UNAVAILABLE;
    } else {
        again = rc == ERR_UNAVAILABLE || rc == ERR_CLOSED || status == 500 ||
                status == 502 || status == 503 || status == 504;
    }
    if (again) {
        wait_ms = wait_ms < WAIT_MAX_MS ? wait_ms : WAIT_MAX_MS;
        clock_sleep_ms(wait_ms / 2 + rng_u64() % (wait_ms / 2 + 1));
    }
    return again;
}

/* True for a 200 whose document's root is <Error>. */
static bool has_error(const struct http_response *r)
{
    const char *p = r->body.len > 0 ? (const char *)r->body.data : "";

    p += strspn(p, " \t\r\n");
    if (text_starts(p, "<?xml")) {
        p = strstr(p, "?>");
        p = p != NULL ? p + 2 + strspn(p + 2, " \t\r\n") : "";
    }
    return text_starts(p, "<Error>") || text_starts(p, "<Error ");
}

int s3_call(struct s3_client *c, struct s3_call *k, struct http_response *r,
            struct err *err)
{
    struct body_headers h;
    struct outgoing o = {.body = k->body};
    int status;
    int rc = 0;

    strcpy(h.sha256, EMPTY_SHA256);
    if (k->body != NULL) {
        rc = digest_body(c, k, &h, err);
    }
    for (unsigned tried = 0; rc == 0; tried++) {
        status = 0;
        rc = attempt(c, k, &h, &o, r, err);
        if (rc == 0) {
            status = r->status;
            if (status >= 300 || has_error(r)) {
                rc = refused(r, err);
                http_response_free(r);
            }
        }
        if (rc == 0) {
            break;
        }
        take_back(&o);
        if (k->once || !s3_again(c, k, rc, status, tried)) {
            break;
        }
        rc = 0;
    }
    buf_free(&k->query);
    return rc;
}

int s3_call_plain(struct s3_client *c, struct s3_call *k, struct err *err)
{
    struct http_response r = {0};
    int rc = s3_call(c, k, &r, err);

    if (rc == 0) {
        http_response_free(&r);
    }
    return rc;
}

char *s3_header_copy(const struct http_response *r, const char *name)
{
    const char *value = http_response_header(r, name);

    return mem_strdup(value != NULL ? value : "");
}

char *s3_url_text(const char *s)
{
    struct buf b = {0};
    char *plus = mem_strdup(s);
    size_t len;
    bool ok;

    for (char *p = plus; *p != '\0'; p++) {
        *p = *p == '+' ? ' ' : *p;
    }
    buf_reserve(&b, 1);
    ok = text_uri_decode(&b, plus, strlen(plus)) &&
         (b.len == 0 || memchr(b.data, '\0', b.len) == NULL);
    free(plus);
    if (!ok) {
        buf_free(&b);
        return NULL;
    }
    buf_char(&b, '\0');
    return (char *)buf_take(&b, &len);
}
