#include "edge-agent/local_s3.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "edge-agent/http.h"
#include "edge-agent/intake.h"
#include "edge-agent/local_list.h"
#include "fleet/metadata.h"

#define BUCKET_MIN 3 /* AWS "Bucket naming rules" */
#define BUCKET_MAX 63

struct local_s3 {
    struct intake *intake;
    struct local_s3_options options;
};

/* What an exchange needs until it is done. */
struct request {
    struct local_s3 *s3;
    struct http_exchange *x;
    struct buf name; /* "BUCKET/KEY", decoded */
    size_t bucket_len;
    struct intake_put *put;
    struct intake_read *read;
    uint8_t md5[PRIM_MD5];
    bool flushing;
    bool has_want;
    uint8_t want[PRIM_MD5]; /* Content-MD5 */
};

/* ---- answers ---- */

static void answer_error(struct request *r, int status, const char *code,
                         const char *message)
{
    struct buf b = {0};

    buf_printf(&b,
               "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
               "<Error><Code>%s</Code><Message>",
               code);
    local_xml_text(&b, message, strlen(message));
    buf_str(&b, "</Message><Resource>");
    local_xml_text(&b, r->x->head.path, strlen(r->x->head.path));
    buf_str(&b, "</Resource></Error>\n");
    http_answer(r->x, status, "Content-Type: application/xml\r\n", b.data,
                b.len);
    buf_free(&b);
}

static void answer_err(struct request *r, int code, const char *why)
{
    static const struct {
        int code, status;
        const char *s3;
    } rows[] = {
        {ERR_FULL, 507, "InsufficientStorage"},
        {ERR_BUSY, 503, "SlowDown"},
        {ERR_LIMIT, 400, "EntityTooLarge"},
        {ERR_NO_KEY, 404, "NoSuchKey"},
        {ERR_NOT_FOUND, 404, "NoSuchKey"},
        {ERR_DENIED, 403, "AccessDenied"},
        {ERR_BAD_INPUT, 400, "InvalidArgument"},
        {ERR_UNSUPPORTED, 501, "NotImplemented"},
        {ERR_UNAVAILABLE, 503, "ServiceUnavailable"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].code == code) {
            answer_error(r, rows[i].status, rows[i].s3, why);
            return;
        }
    }
    answer_error(r, 500, "InternalError", why);
}

/* ---- PUT ---- */

static void on_put(void *arg, int code, const char *why)
{
    struct request *r = arg;
    char hex[2 * PRIM_MD5 + 1], field[64];

    if (code != 0) {
        answer_err(r, code, why);
        return;
    }
    snprintf(field, sizeof field, "ETag: \"%s\"\r\n",
             text_hex(r->md5, sizeof r->md5, hex));
    http_answer(r->x, 200, field, NULL, 0);
}

/* What would be stored otherwise than asked is refused. */
static int refused_header(const struct http_head *h, struct err *err)
{
    static const char *const names[] = {
        "x-amz-copy-source",   "If-Match",
        "If-None-Match",       "x-amz-tagging",
        "x-amz-acl",           "x-amz-object-lock-mode",
        "Content-Encoding",    "x-amz-object-lock-legal-hold",
        "x-amz-storage-class", "x-amz-server-side-encryption",
        "x-amz-trailer",       "x-amz-website-redirect-location",
        "Content-Range",       "x-amz-server-side-encryption-customer-key",
    };
    const char *sha = http_field(h, "x-amz-content-sha256");

    if (sha != NULL && strncmp(sha, "STREAMING-", 10) == 0) {
        return err_set(err, ERR_UNSUPPORTED,
                       "aws-chunked bodies are not read here: send them plain");
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (http_field(h, names[i]) != NULL) {
            return err_set(err, ERR_UNSUPPORTED, "%s is not for an agent",
                           names[i]);
        }
    }
    return 0;
}

static int read_class(const struct http_head *h, uint8_t *out, struct err *err)
{
    const char *text = http_field(h, "x-godwit-class");
    uint64_t n = INTAKE_CLASS;

    if (text != NULL && (!text_u64(text, &n) || n >= SPOOL_CLASSES)) {
        return err_set(err, ERR_BAD_INPUT, "x-godwit-class is 0 to %d",
                       SPOOL_CLASSES - 1);
    }
    *out = (uint8_t)n;
    return 0;
}

static int read_md5(struct request *r, struct err *err)
{
    const char *text = http_field(&r->x->head, "Content-MD5");
    uint8_t bytes[3 * (PRIM_MD5 + 2) / 2];
    size_t len = 0;

    if (text == NULL) {
        return 0;
    }
    if (strlen(text) != 24 || !text_unbase64(text, 24, bytes, &len) ||
        len != PRIM_MD5) {
        return err_set(err, ERR_BAD_INPUT, "Content-MD5 is no MD5 in base64");
    }
    memcpy(r->want, bytes, PRIM_MD5);
    r->has_want = true;
    return 0;
}

static int open_put(struct request *r, struct err *err)
{
    const struct http_head *h = &r->x->head;
    const char *meta[2 * INTAKE_META_MAX];
    struct intake_what what = {
        .key = (const char *)r->name.data,
        .key_len = r->name.len,
        .content_type = http_field(h, "Content-Type"),
        .meta = meta,
        .size = h->content_length,
    };
    int code = refused_header(h, err);

    if (code == 0) {
        code = read_class(h, &what.class_id, err);
    }
    if (code == 0) {
        code = read_md5(r, err);
    }
    for (size_t i = 0; code == 0 && i < h->field_count; i++) {
        if (strncasecmp(h->fields[i].name, METADATA_HEADER,
                        strlen(METADATA_HEADER)) != 0) {
            continue;
        }
        if (what.meta_count == INTAKE_META_MAX) {
            return err_set(err, ERR_LIMIT, "more than %d metadata",
                           INTAKE_META_MAX);
        }
        meta[2 * what.meta_count] = h->fields[i].name + strlen(METADATA_HEADER);
        meta[2 * what.meta_count + 1] = h->fields[i].value;
        what.meta_count++;
    }
    return code == 0 ? intake_put_open(r->s3->intake, &what, &r->put, err)
                     : code;
}

static void begin_put(struct request *r)
{
    const struct http_head *h = &r->x->head;
    struct err err;
    int code;

    if (!h->has_length && !h->chunked) {
        answer_error(r, 411, "MissingContentLength",
                     "a PUT needs Content-Length or chunks");
        return;
    }
    if (h->content_length > INTAKE_OBJECT_MAX) {
        answer_error(r, 400, "EntityTooLarge", "an object has at most 5 GiB");
        return;
    }
    code = open_put(r, &err);
    if (code != 0) {
        answer_err(r, code, err.text);
    }
}

static void end_put(struct request *r)
{
    struct intake_put *put = r->put;
    struct err err;
    int code;

    intake_put_md5(put, r->md5);
    if (r->has_want && memcmp(r->want, r->md5, PRIM_MD5) != 0) {
        answer_error(r, 400, "BadDigest",
                     "Content-MD5 is not that of the body that came");
        return;
    }
    code = intake_put_finish(put, on_put, r, &err);
    if (code != 0) {
        answer_err(r, code, err.text);
        return;
    }
    r->put = NULL;
}

/* ---- GET, HEAD, DELETE ---- */

static int pull(struct http_exchange *x, struct buf *out, bool *more)
{
    struct request *r = x->user;

    return intake_read_next(r->read, out, more, NULL);
}

static void object_fields(struct request *r, const struct spool_object *o,
                          struct buf *out)
{
    struct intake_meta meta;
    uint8_t md5[PRIM_MD5];
    char time[TEXT_TIME_MAX], hex[2 * PRIM_MD5 + 1];

    buf_printf(out, "Last-Modified: %s\r\n", text_http_date(o->time_ms, time));
    if (intake_md5(r->s3->intake, o, md5)) {
        buf_printf(out, "ETag: \"%s\"\r\n", text_hex(md5, sizeof md5, hex));
    }
    if (intake_meta_read(o, &meta, NULL) == 0) {
        buf_printf(out, "Content-Type: %s\r\n",
                   meta.content_type != NULL ? meta.content_type
                                             : "binary/octet-stream");
        for (size_t i = 0; i < meta.count; i++) {
            buf_printf(out, METADATA_HEADER "%s: %s\r\n", meta.pairs[2 * i],
                       meta.pairs[2 * i + 1]);
        }
        intake_meta_free(&meta);
    }
}

static void get_object(struct request *r, bool head)
{
    struct spool *s = intake_spool(r->s3->intake);
    struct buf text = {0}, fields = {0};
    struct spool_object o;
    struct err err;
    uint64_t id = 0;
    int code = spool_find(s, (char *)r->name.data, r->name.len, &id, &err);

    if (code == 0) {
        code = spool_get(s, id, &o, &text, &err);
    }
    if (code == 0 && !head) {
        code = intake_read_open(r->s3->intake, id, &r->read, &err);
    }
    if (code != 0) {
        answer_err(r, code, err.text);
    } else {
        object_fields(r, &o, &fields);
        buf_char(&fields, '\0');
        http_answer_stream(r->x, 200, (char *)fields.data, o.plain_size, pull);
    }
    buf_free(&text);
    buf_free(&fields);
}

static void on_delete(void *arg, int code, const char *why)
{
    struct request *r = arg;

    if (code != 0) {
        answer_err(r, code, why);
    } else {
        http_answer(r->x, 204, "", NULL, 0);
    }
}

static void delete_object(struct request *r)
{
    struct err err;
    int code = intake_delete(r->s3->intake, (char *)r->name.data, r->name.len,
                             on_delete, r, &err);

    if (code != 0) {
        answer_err(r, code, err.text);
    }
}

/* ---- lists ---- */

/* The value of @name in the query, decoded; "" when missing. Caller frees. */
static char *parameter(const char *query, const char *name, bool *bad)
{
    size_t name_len = strlen(name);
    struct buf b = {0};
    size_t all;

    for (const char *p = query; *p != '\0';) {
        size_t len = strcspn(p, "&");
        if (len > name_len && strncmp(p, name, name_len) == 0 &&
            p[name_len] == '=') {
            struct buf plain = {0};
            buf_append(&plain, p + name_len + 1, len - name_len - 1);
            for (size_t i = 0; i < plain.len; i++) {
                plain.data[i] = plain.data[i] == '+' ? ' ' : plain.data[i];
            }
            if (plain.len > 0 &&
                (!text_uri_decode(&b, (char *)plain.data, plain.len) ||
                 memchr(b.data, '\0', b.len) != NULL)) {
                *bad = true;
            }
            buf_free(&plain);
            break;
        }
        p += len + (p[len] == '&');
    }
    buf_char(&b, '\0');
    return (char *)buf_take(&b, &all);
}

static void list_objects(struct request *r)
{
    const char *query = r->x->head.query;
    bool bad = false;
    char *bucket = mem_strndup((char *)r->name.data, r->bucket_len);
    char *type = parameter(query, "list-type", &bad);
    char *prefix = parameter(query, "prefix", &bad);
    char *delimiter = parameter(query, "delimiter", &bad);
    char *start = parameter(query, "start-after", &bad);
    char *token = parameter(query, "continuation-token", &bad);
    char *keys = parameter(query, "max-keys", &bad);
    uint64_t max = LOCAL_S3_LIST_MAX;
    struct buf out = {0};
    struct err err;
    int code = 0;

    if (bad || (*keys != '\0' && !text_u64(keys, &max))) {
        answer_error(r, 400, "InvalidArgument",
                     "a parameter of the list cannot be read");
    } else if (strcmp(type, "2") != 0) {
        answer_error(r, 501, "NotImplemented", "only list-type=2 is known");
    } else {
        struct local_list q = {
            .bucket = bucket,
            .prefix = prefix,
            .delimiter = delimiter,
            .start_after = start,
            .token = token,
            .max_keys =
                max < LOCAL_S3_LIST_MAX ? (unsigned)max : LOCAL_S3_LIST_MAX,
        };
        code = local_list(r->s3->intake, &q, &out, &err);
        if (code != 0) {
            answer_err(r, code, err.text);
        } else {
            http_answer(r->x, 200, "Content-Type: application/xml\r\n",
                        out.data, out.len);
        }
    }
    buf_free(&out);
    free(bucket);
    free(type);
    free(prefix);
    free(delimiter);
    free(start);
    free(token);
    free(keys);
}

/* ---- the agent's own paths ---- */

struct figure {
    const char *name;
    uint64_t value;
};

#define FIGURES 19

static size_t figures(struct local_s3 *s, struct figure *out)
{
    struct spool_status st;
    const struct spool_cursor *c = &st.counters;
    uint64_t now = clock_real_ms();

    spool_status(intake_spool(s->intake), &st);
    const struct figure rows[FIGURES] = {
        {"objects", st.objects},
        {"bytes", st.bytes},
        {"oldest_id", st.oldest_id},
        {"newest_id", st.newest_id},
        {"oldest_age_ms", st.oldest_time_ms > 0 && now > st.oldest_time_ms
                              ? now - st.oldest_time_ms
                              : 0},
        {"segments", st.segments},
        {"segments_free", st.segments_free},
        {"segments_max", st.segments_max},
        {"syncs", st.syncs},
        {"accepted_objects", c->accepted_objects},
        {"accepted_bytes", c->accepted_bytes},
        {"delivered_objects", c->delivered_objects},
        {"shed_objects", c->shed_objects},
        {"shed_bytes", c->shed_bytes},
        {"expired_objects", st.expired},
        {"damaged_objects", c->damaged_objects},
        {"flash_bytes", c->flash_bytes},
        {"delivered_through", c->done},
        {"time_ms", now},
    };
    memcpy(out, rows, sizeof rows);
    return FIGURES;
}

void local_s3_status(struct local_s3 *s, struct buf *out)
{
    struct figure rows[FIGURES];
    size_t n = figures(s, rows);

    buf_printf(out, "{\"version\":\"%s\"", GODWIT_VERSION);
    for (size_t i = 0; i < n; i++) {
        buf_printf(out, ",\"%s\":%llu", rows[i].name,
                   (unsigned long long)rows[i].value);
    }
    if (s->options.status != NULL) {
        s->options.status(s->options.arg, out);
    }
    buf_str(out, "}\n");
}

static void on_flushed(void *arg, int code, const char *why)
{
    struct request *r = arg;

    r->flushing = false;
    if (code != 0) {
        answer_err(r, code, why);
    } else {
        http_answer(r->x, 204, "", NULL, 0);
    }
}

static void flush(struct request *r)
{
    const struct local_s3_options *o = &r->s3->options;

    if (o->flush == NULL) {
        answer_err(r, ERR_UNAVAILABLE,
                   "this device delivers nowhere: it is not enrolled");
        return;
    }
    r->flushing = true;
    o->flush(o->arg, on_flushed, r);
}

static void own_path(struct request *r)
{
    const struct http_head *h = &r->x->head;
    bool get = strcmp(h->method, "GET") == 0;
    struct buf b = {0};

    if (get && strcmp(h->path, "/-/status") == 0) {
        local_s3_status(r->s3, &b);
        http_answer(r->x, 200, "Content-Type: application/json\r\n", b.data,
                    b.len);
    } else if (get && strcmp(h->path, "/-/metrics") == 0) {
        struct figure rows[FIGURES];
        size_t n = figures(r->s3, rows);
        for (size_t i = 0; i < n; i++) {
            buf_printf(&b, "godwit_edge_%s %llu\n", rows[i].name,
                       (unsigned long long)rows[i].value);
        }
        http_answer(r->x, 200, "Content-Type: text/plain; version=0.0.4\r\n",
                    b.data, b.len);
    } else if (get && strcmp(h->path, "/-/ready") == 0) {
        http_answer(r->x, 200, "", NULL, 0);
    } else if (strcmp(h->method, "POST") == 0 &&
               strcmp(h->path, "/-/flush") == 0) {
        flush(r);
    } else {
        answer_error(r, 404, "NoSuchKey", "no such path of the agent");
    }
    buf_free(&b);
}

/* ---- the handler ---- */

/* Whose requests are heard at all. */
static bool admit(struct request *r)
{
    const char *auth = http_field(&r->x->head, "Authorization");
    const char *token = r->s3->options.token;
    bool known = false;

    if (token != NULL && auth != NULL && strncmp(auth, "Bearer ", 7) == 0) {
        size_t len = strlen(token);
        known = strlen(auth + 7) == len && mem_diff(auth + 7, token, len) == 0;
    }
    if (!known && !r->x->local) {
        answer_error(r, 403, "AccessDenied",
                     "from another machine it takes the agent's token");
        return false;
    }
    if (!known && http_field(&r->x->head, "Origin") != NULL) {
        answer_error(r, 403, "AccessDenied",
                     "requests of web pages are not for an agent");
        return false;
    }
    return true;
}

/* "/BUCKET" or "/BUCKET/KEY". */
static int parse_path(struct request *r, struct err *err)
{
    const char *path = r->x->head.path + 1;
    const char *slash;

    if (!text_uri_decode(&r->name, path, strlen(path)) || r->name.len == 0 ||
        memchr(r->name.data, '\0', r->name.len) != NULL ||
        !text_utf8(r->name.data, r->name.len)) {
        return err_set(err, ERR_BAD_INPUT, "the path is not /BUCKET/KEY");
    }
    slash = memchr(r->name.data, '/', r->name.len);
    r->bucket_len =
        slash != NULL ? (size_t)(slash - (char *)r->name.data) : r->name.len;
    if (slash != NULL && r->bucket_len + 1 == r->name.len) {
        r->name.len--; /* "/BUCKET/" */
    }
    if (r->bucket_len < BUCKET_MIN || r->bucket_len > BUCKET_MAX) {
        return err_set(err, ERR_BAD_INPUT, "a bucket has %d to %d characters",
                       BUCKET_MIN, BUCKET_MAX);
    }
    for (size_t i = 0; i < r->bucket_len; i++) {
        char c = (char)r->name.data[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                    ((c == '-' || c == '.') && i > 0);
        if (!fine) {
            return err_set(err, ERR_BAD_INPUT,
                           "a bucket has a-z, 0-9, '-' and '.' alone");
        }
    }
    return 0;
}

static void route_bucket(struct request *r)
{
    if (strcmp(r->x->head.method, "GET") == 0) {
        list_objects(r);
    } else {
        answer_error(r, 501, "NotImplemented",
                     "buckets are made and kept at the cluster");
    }
}

/* What the cluster would refuse is refused before it is taken. */
static bool may_change(struct request *r)
{
    const char *below = r->s3->options.below;
    size_t len = below != NULL ? strlen(below) : 0;

    if (below == NULL ||
        (r->name.len > len && memcmp(r->name.data, below, len) == 0)) {
        return true;
    }
    answer_error(r, 403, "AccessDenied",
                 "this device may put and delete only below what the cluster "
                 "gave it (godwit-edge status: below)");
    return false;
}

static void route_object(struct request *r)
{
    const struct http_head *h = &r->x->head;

    /* SDKs name the operation; all else would ask for another one. */
    if (*h->query != '\0' && strncmp(h->query, "x-id=", 5) != 0) {
        answer_error(r, 501, "NotImplemented",
                     "an agent knows no parameters of objects");
    } else if (strcmp(h->method, "PUT") == 0) {
        if (may_change(r)) {
            begin_put(r);
        }
    } else if (strcmp(h->method, "DELETE") != 0 &&
               strcmp(h->method, "GET") != 0 &&
               strcmp(h->method, "HEAD") != 0) {
        answer_error(r, 405, "MethodNotAllowed",
                     "an agent knows PUT, GET, HEAD and DELETE");
    } /* the rest once the request is whole */
}

static void on_begin(void *arg, struct http_exchange *x)
{
    struct request *r = mem_alloc(sizeof *r);
    struct err err;

    r->s3 = arg;
    r->x = x;
    x->user = r;
    if (!admit(r) || strncmp(x->head.path, "/-/", 3) == 0) {
        return;
    }
    if (parse_path(r, &err) != 0) {
        answer_err(r, ERR_BAD_INPUT, err.text);
    } else if (r->bucket_len < r->name.len) {
        route_object(r);
    }
}

static void on_body(void *arg, struct http_exchange *x, const uint8_t *p,
                    size_t len)
{
    struct request *r = x->user;
    struct err err;
    int code;

    (void)arg;
    if (r->put == NULL) {
        return; /* a body that means nothing */
    }
    code = intake_put_update(r->put, p, len, &err);
    if (code != 0) {
        answer_err(r, code, err.text);
    }
}

static void on_end(void *arg, struct http_exchange *x)
{
    struct request *r = x->user;

    (void)arg;
    if (r->put != NULL) {
        end_put(r);
    } else if (strncmp(x->head.path, "/-/", 3) == 0) {
        own_path(r);
    } else if (r->bucket_len == r->name.len) {
        route_bucket(r);
    } else if (strcmp(x->head.method, "DELETE") == 0) {
        if (may_change(r)) {
            delete_object(r);
        }
    } else {
        get_object(r, strcmp(x->head.method, "HEAD") == 0);
    }
}

static void on_done(void *arg, struct http_exchange *x)
{
    struct request *r = x->user;

    (void)arg;
    if (r == NULL) {
        return;
    }
    intake_forget(r->s3->intake, r);
    if (r->flushing) {
        r->s3->options.forget(r->s3->options.arg, r);
    }
    intake_put_abort(r->put);
    intake_read_close(r->read);
    buf_free(&r->name);
    free(r);
    x->user = NULL;
}

struct local_s3 *local_s3_new(struct intake *in,
                              const struct local_s3_options *options)
{
    struct local_s3 *s = mem_alloc(sizeof *s);

    s->intake = in;
    s->options = *options;
    return s;
}

void local_s3_free(struct local_s3 *s)
{
    free(s);
}

void local_s3_handler(struct local_s3 *s, struct http_handler *out)
{
    *out = (struct http_handler){
        .arg = s,
        .begin = on_begin,
        .body = on_body,
        .end = on_end,
        .done = on_done,
    };
}
