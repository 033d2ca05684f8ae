/* Buckets and objects: put, get, head, delete, copy. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "client/s3_internal.h"
#include "client/xml_walk.h"
#include "crypto/digest.h"

/* ---- buckets ---- */

int s3_client_create_bucket(struct s3_client *c, const char *bucket,
                            struct err *err)
{
    struct s3_call k = {.method = "PUT", .bucket = bucket};

    return s3_call_plain(c, &k, err);
}

int s3_client_head_bucket(struct s3_client *c, const char *bucket,
                          struct err *err)
{
    struct s3_call k = {.method = "HEAD", .bucket = bucket};
    int rc = s3_call_plain(c, &k, err);

    /* HEAD has no document that would say so. */
    return rc == ERR_NOT_FOUND ? err_set(err, ERR_NO_BUCKET, "no such bucket")
                               : rc;
}

int s3_client_delete_bucket(struct s3_client *c, const char *bucket,
                            struct err *err)
{
    struct s3_call k = {.method = "DELETE", .bucket = bucket};

    return s3_call_plain(c, &k, err);
}

/* ---- put ---- */

int s3_client_put_object(struct s3_client *c, const struct s3_put *p,
                         char **etag, struct err *err)
{
    struct s3_call k = {
        .method = "PUT", .bucket = p->bucket, .key = p->key, .body = &p->body};
    struct http_response r = {0};
    int rc;

    if (p->content_type != NULL) {
        s3_call_header(&k, "content-type", p->content_type);
    }
    if (p->if_match != NULL) {
        s3_call_header(&k, "if-match", p->if_match);
        k.conditional = true;
    }
    if (p->if_none_match != NULL) {
        s3_call_header(&k, "if-none-match", p->if_none_match);
        k.conditional = true;
    }
    rc = s3_call(c, &k, &r, err);
    if (rc == 0) {
        if (etag != NULL) {
            *etag = s3_header_copy(&r, "etag");
        }
        http_response_free(&r);
    }
    return rc;
}

/* ---- get ---- */

static const char *header_or_empty(const struct http_response *r,
                                   const char *name)
{
    const char *value = http_response_header(r, name);

    return value != NULL ? value : "";
}

/* Fill @i from i->response; false when its size cannot be told. */
static bool read_info(struct s3_info *i)
{
    const struct http_response *r = &i->response;
    const char *range = http_response_header(r, "content-range");
    const char *slash = range != NULL ? strchr(range, '/') : NULL;

    i->size = r->length;
    i->time_ms = 0;
    i->etag = header_or_empty(r, "etag");
    i->content_type = header_or_empty(r, "content-type");
    text_parse_http_date(header_or_empty(r, "last-modified"), &i->time_ms);
    if (r->status == 206) {
        return slash != NULL && text_u64(slash + 1, &i->size);
    }
    return r->has_length;
}

void s3_info_free(struct s3_info *i)
{
    http_response_free(&i->response);
    memset(i, 0, sizeof *i);
}

int s3_client_head_object(struct s3_client *c, const char *bucket,
                          const char *key, struct s3_info *out, struct err *err)
{
    return s3_client_head_version(c, bucket, key, NULL, out, err);
}

int s3_client_head_version(struct s3_client *c, const char *bucket,
                           const char *key, const char *version,
                           struct s3_info *out, struct err *err)
{
    struct s3_call k = {.method = "HEAD", .bucket = bucket, .key = key};
    int rc;

    if (version != NULL) {
        s3_query(&k, "versionId", version);
    }
    s3_call_header(&k, "x-amz-checksum-mode", "ENABLED");
    memset(out, 0, sizeof *out);
    rc = s3_call(c, &k, &out->response, err);
    if (rc == ERR_NOT_FOUND) {
        return err_set(
            err, ERR_NO_KEY,
            version != NULL ? "no such version" : "no such key (or bucket)");
    }
    if (rc == 0 && !read_info(out)) {
        s3_info_free(out);
        rc = err_set(err, ERR_CORRUPT, "response: no Content-Length");
    }
    return rc;
}

/* A read that may take several requests. */
struct reading {
    const struct s3_get *g;
    uint64_t got; /* bytes handed out */
    uint64_t due; /* bytes in all; known when begun */
    bool begun;
    bool checked; /* a whole object with a checksum of one pass */
    char *etag;
    enum digest_kind kind;
    struct digest digest;
    char expected[TEXT_BASE64_MAX(DIGEST_MAX)];
};

/* The checksum that a whole object came with, if it is of its bytes and not of
 * its parts ("...-3"). */
static void find_checksum(struct reading *d, const struct http_response *r)
{
    static const struct {
        const char *header;
        enum digest_kind kind;
    } kinds[] = {
        {"x-amz-checksum-crc64nvme", DIGEST_CRC64NVME},
        {"x-amz-checksum-crc32c", DIGEST_CRC32C},
        {"x-amz-checksum-crc32", DIGEST_CRC32},
        {"x-amz-checksum-sha256", DIGEST_SHA256},
        {"x-amz-checksum-sha1", DIGEST_SHA1},
    };

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const char *v = http_response_header(r, kinds[i].header);
        if (v != NULL && strchr(v, '-') == NULL &&
            strlen(v) < sizeof d->expected) {
            strcpy(d->expected, v);
            digest_init(&d->digest, kinds[i].kind);
            d->kind = kinds[i].kind;
            d->checked = true;
            return;
        }
    }
}

static int begin_reading(struct reading *d, const struct http_response *r,
                         struct err *err)
{
    struct s3_info info = {.response = *r};
    uint64_t end;

    if (!read_info(&info)) {
        return err_set(err, ERR_CORRUPT, "response: no length or range");
    }
    if (r->status == 200 && d->g->offset + d->got > 0) {
        return err_set(err, ERR_CORRUPT, "response: the range was ignored");
    }
    if (d->begun) {
        return 0;
    }
    if (d->g->offset > info.size) {
        return err_set(err, ERR_CORRUPT, "response: a range past the end");
    }
    d->begun = true;
    d->etag = mem_strdup(info.etag);
    end = d->g->length == 0 || d->g->length > info.size - d->g->offset
              ? info.size
              : d->g->offset + d->g->length;
    d->due = end - d->g->offset;
    if (r->status == 200 && d->due == info.size) {
        find_checksum(d, r);
    }
    return d->g->begin != NULL ? d->g->begin(d->g->arg, &info, err) : 0;
}

struct answer {
    struct reading *d;
    bool begun; /* this answer's head was judged */
};

static int on_bytes(void *arg, const struct http_response *r, const void *p,
                    size_t len, struct err *err)
{
    struct answer *a = arg;
    struct reading *d = a->d;
    int rc;

    if (!a->begun) {
        rc = begin_reading(d, r, err);
        if (rc != 0) {
            return rc;
        }
        a->begun = true;
    }
    if (len > d->due - d->got) {
        return err_set(err, ERR_CORRUPT, "response: more bytes than asked for");
    }
    rc = d->g->sink(d->g->arg, p, len, err);
    if (rc == 0) {
        d->got += len;
        if (d->checked) {
            digest_update(&d->digest, p, len);
        }
    }
    return rc;
}

/* One request for what is missing. */
static int read_some(struct s3_client *c, struct reading *d, int *status,
                     struct err *err)
{
    const struct s3_get *g = d->g;
    struct answer a = {.d = d};
    struct s3_call k = {.method = "GET",
                        .bucket = g->bucket,
                        .key = g->key,
                        .sink = on_bytes,
                        .sink_arg = &a,
                        .once = true};
    struct http_response r = {0};
    uint64_t first = g->offset + d->got;
    char range[64];
    int rc;

    *status = 0;
    if (first > 0 || g->length > 0) {
        if (g->length > 0) {
            snprintf(range, sizeof range, "bytes=%llu-%llu",
                     (unsigned long long)first,
                     (unsigned long long)(g->offset + g->length - 1));
        } else {
            snprintf(range, sizeof range, "bytes=%llu-",
                     (unsigned long long)first);
        }
        s3_call_header(&k, "range", range);
    } else {
        s3_call_header(&k, "x-amz-checksum-mode", "ENABLED");
    }
    if (d->etag != NULL && d->etag[0] != '\0') {
        s3_call_header(&k, "if-match", d->etag);
    } else if (g->if_match != NULL) {
        s3_call_header(&k, "if-match", g->if_match);
    }
    rc = s3_call(c, &k, &r, err);
    if (rc == 0) {
        *status = r.status;
        rc = a.begun ? 0 : begin_reading(d, &r, err); /* an empty object */
        http_response_free(&r);
        if (rc == 0 && d->got != d->due) {
            rc = err_set(err, ERR_CLOSED, "the answer ends too early");
        }
    } else if (rc == ERR_BUSY || rc == ERR_IO) {
        *status = 503;
    }
    return rc;
}

int s3_client_get_object(struct s3_client *c, const struct s3_get *g,
                         struct err *err)
{
    struct reading d = {.g = g};
    struct s3_call k = {.method = "GET"};
    uint8_t sum[DIGEST_MAX];
    char text[TEXT_BASE64_MAX(DIGEST_MAX)];
    unsigned tried = 0;
    int status = 0;
    int rc;

    for (;;) {
        uint64_t before = d.got;
        rc = read_some(c, &d, &status, err);
        tried = d.got > before ? 0 : tried; /* it gets on */
        if (rc == 0 || !s3_again(c, &k, rc == ERR_TIMEOUT ? ERR_CLOSED : rc,
                                 status, tried++)) {
            break;
        }
    }
    if (rc == 0 && d.checked) {
        size_t len = digest_final(&d.digest, sum);
        if (strcmp(text_base64(sum, len, text), d.expected) != 0) {
            rc = err_set(err, ERR_MISMATCH,
                         "the bytes do not match the stored %s",
                         digest_name(d.kind));
        }
    }
    digest_free(&d.digest);
    free(d.etag);
    return rc;
}

/* ---- delete and copy ---- */

int s3_client_delete_object(struct s3_client *c, const char *bucket,
                            const char *key, struct err *err)
{
    return s3_client_delete_version(c, bucket, key, NULL, err);
}

int s3_client_delete_version(struct s3_client *c, const char *bucket,
                             const char *key, const char *version,
                             struct err *err)
{
    struct s3_call k = {.method = "DELETE", .bucket = bucket, .key = key};

    if (version != NULL) {
        s3_query(&k, "versionId", version);
    }
    return s3_call_plain(c, &k, err);
}

static void xml_escaped(struct buf *b, const char *s)
{
    for (; *s != '\0'; s++) {
        unsigned char ch = (unsigned char)*s;
        if (ch == '<' || ch == '&' || ch == '>' || ch < ' ') {
            /* XML 1.0 has no way for most control bytes; a server that
             * refuses them says so. */
            buf_printf(b, "&#%u;", ch);
        } else {
            buf_char(b, (char)ch);
        }
    }
}

struct delete_reply {
    void (*failed)(void *arg, const char *key, const char *why);
    void *arg;
    size_t failures;
    char *key;
    char *code;
};

static int take_delete(void *arg, const char *path, const char *text,
                       struct err *err)
{
    struct delete_reply *d = arg;

    (void)err;
    if (text == NULL) {
        return 0;
    }
    if (strcmp(path, "DeleteResult/Error/Key") == 0) {
        free(d->key);
        d->key = mem_strdup(text);
    } else if (strcmp(path, "DeleteResult/Error/Code") == 0) {
        free(d->code);
        d->code = mem_strdup(text);
    } else if (strcmp(path, "DeleteResult/Error") == 0) {
        d->failures++;
        if (d->failed != NULL) {
            d->failed(d->arg, d->key != NULL ? d->key : "?",
                      d->code != NULL ? d->code : "?");
        }
    }
    return 0;
}

int s3_client_delete_objects(struct s3_client *c, const char *bucket,
                             const char *const *keys, size_t count,
                             void (*failed)(void *arg, const char *key,
                                            const char *why),
                             void *arg, size_t *failures, struct err *err)
{
    struct buf doc = {0};
    struct s3_body body = {0};
    struct s3_call k = {
        .method = "POST", .bucket = bucket, .body = &body, .md5 = true};
    struct delete_reply d = {.failed = failed, .arg = arg};
    struct http_response r = {0};
    int rc;

    CHECK(count > 0 && count <= S3_CLIENT_DELETE_MAX);
    buf_str(&doc, "<Delete><Quiet>true</Quiet>");
    for (size_t i = 0; i < count; i++) {
        buf_str(&doc, "<Object><Key>");
        xml_escaped(&doc, keys[i]);
        buf_str(&doc, "</Key></Object>");
    }
    buf_str(&doc, "</Delete>");
    body.data = doc.data;
    body.size = doc.len;
    s3_query(&k, "delete", NULL);
    s3_call_header(&k, "content-type", "application/xml");
    rc = s3_call(c, &k, &r, err);
    buf_free(&doc);
    if (rc == 0) {
        rc = xml_walk(r.body.data, r.body.len, take_delete, &d, err);
        http_response_free(&r);
    }
    free(d.key);
    free(d.code);
    if (rc == 0) {
        *failures = d.failures;
    }
    return rc;
}

int s3_client_copy_object(struct s3_client *c, const char *from_bucket,
                          const char *from_key, const char *bucket,
                          const char *key, struct err *err)
{
    struct s3_call k = {.method = "PUT", .bucket = bucket, .key = key};
    struct buf source = {0};
    int rc;

    buf_char(&source, '/');
    text_uri_encode(&source, from_bucket, strlen(from_bucket), false);
    buf_char(&source, '/');
    text_uri_encode(&source, from_key, strlen(from_key), true);
    s3_call_header(&k, "x-amz-copy-source", (char *)source.data);
    rc = s3_call_plain(c, &k, err);
    buf_free(&source);
    return rc;
}

static int ask_path(struct s3_client *c, struct s3_call *k,
                    const char *const *pairs, struct buf *out, struct err *err)
{
    struct http_response r = {0};
    int rc;

    for (; pairs != NULL && pairs[0] != NULL; pairs += 2) {
        if (pairs[1] != NULL) {
            s3_query(k, pairs[0], pairs[1]);
        }
    }
    rc = s3_call(c, k, &r, err);
    if (rc == 0) {
        buf_append(out, r.body.data, r.body.len);
        http_response_free(&r);
    }
    return rc;
}

int s3_client_ask(struct s3_client *c, const char *method, const char *path,
                  const char *const *pairs, struct buf *out, struct err *err)
{
    struct s3_call k = {.method = method, .path = path};

    return ask_path(c, &k, pairs, out, err);
}

int s3_client_tell(struct s3_client *c, const char *path,
                   const char *const *pairs, const void *body, size_t len,
                   struct buf *out, struct err *err)
{
    struct s3_body b = {.data = body, .size = len};
    struct s3_call k = {
        .method = "POST", .path = path, .body = &b, .conditional = true};

    return ask_path(c, &k, pairs, out, err);
}

struct fetch {
    int (*sink)(void *arg, const void *p, size_t len, struct err *err);
    void *arg;
};

static int on_fetched(void *arg, const struct http_response *r, const void *p,
                      size_t len, struct err *err)
{
    const struct fetch *f = arg;

    (void)r;
    return f->sink(f->arg, p, len, err);
}

int s3_client_fetch(struct s3_client *c, const char *path,
                    int (*sink)(void *arg, const void *p, size_t len,
                                struct err *err),
                    void *arg, struct err *err)
{
    struct fetch f = {sink, arg};
    struct s3_call k = {.method = "GET",
                        .path = path,
                        .sink = on_fetched,
                        .sink_arg = &f,
                        .once = true};
    struct http_response r = {0};
    int rc = s3_call(c, &k, &r, err);

    if (rc == 0) {
        http_response_free(&r);
    }
    return rc;
}
