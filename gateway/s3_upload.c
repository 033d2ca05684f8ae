#include "gateway/s3_upload.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/text.h"
#include "crypto/aws_chunked.h"
#include "gateway/bucket_rules.h"
#include "gateway/gateway_internal.h"
#include "gateway/http_internal.h"
#include "gateway/request.h"
#include "gateway/s3_attrs.h"
#include "gateway/s3_form.h"
#include "gateway/s3_form_policy.h"
#include "gateway/s3_post.h"
#include "gateway/s3_sse.h"
#include "object/object_put.h"
#include "object/object_store.h"

#define UPLOAD_MAGIC 0x4755504cu
#define CHUNK_MIN ((uint32_t)16 << 10)
#define CHUNK_SHARED_MIN ((uint32_t)256 << 10)
/* Buffers that one upload may hold at once: one being filled, one waiting, one
 * being coded, two being written; and parity beside the data. */
#define BUFFERS_OF_UPLOAD 8

/* What a suspended upload waits for; only that may wake it. */
enum wait { WAIT_NONE, WAIT_POOL, WAIT_WORKER, WAIT_SSE };

struct chunk {
    uint8_t *data; /* of the pool */
    uint32_t room; /* chunk bytes that it was got for */
    uint32_t len;
    bool last; /* the payload ends with it, and nothing follows */
};

struct s3_upload {
    uint32_t magic;
    struct request *request;
    struct gateway *gateway;
    uint64_t declared; /* payload bytes, without aws-chunked framing */
    uint64_t received;
    struct aws_chunked *chunked; /* NULL: the body is the payload */
    struct s3_form *form; /* NULL: none; else @declared is an upper bound */
    struct s3_form_limits limits; /* of what its file may have */
    bool form_ended;
    struct s3_sse *sse; /* NULL: not sealed */
    bool ask_sse;       /* is it to be? A worker asks, before the first byte */
    bool sse_refused;   /* and it replied */

    bool want_sha256; /* x-amz-content-sha256 names the body's */
    bool want_md5;    /* Content-MD5 was given */
    uint8_t md5_given[16];
    bool has_check;
    enum digest_kind check_kind;
    char check_given[64]; /* base64; "": in the trailer, or none given */
    bool check_in_trailer;
    struct digest md5, sha256, check;

    uint8_t *inline_bytes; /* of small objects, instead of chunks */
    struct chunk fill, next, job;
    bool busy;  /* a worker has job */
    bool ended; /* the body is complete */
    enum wait wait;
    struct pool_waiter waiter;
    uint8_t *granted;
    struct work work;
    struct loop_call call;
    struct loop_call grant_call;
    struct object_put *put;
    bool committed; /* the put */

    int bad_body; /* loop: the framing is wrong; the rest is drained */
    enum s3_error bad_error; /* S3_OK: by bad_body */
    struct err body_err;
    int status; /* the first failure; the worker's while busy */
    enum s3_error error;
    struct err err;
    struct buf manifest;
    struct meta_content content;
    char etag[33];
    char check_text[64];
};

/* ---- judging the headers ---- */

static bool parse_length(struct request *r, struct s3_upload *u)
{
    bool streaming = sigv4_is_streaming(&r->auth);
    const char *decoded = request_header(r, "x-amz-decoded-content-length");

    if (!r->has_length && !r->chunked) {
        reply_error(r, S3_MissingContentLength, NULL);
        return false;
    }
    u->declared = r->content_length;
    if (streaming) {
        if (decoded == NULL) {
            reply_error(r, S3_MissingContentLength,
                        "x-amz-decoded-content-length is missing");
            return false;
        }
        if (!text_u64(decoded, &u->declared)) {
            reply_error(r, S3_InvalidArgument,
                        "x-amz-decoded-content-length is not a number");
            return false;
        }
        u->chunked = aws_chunked_new(&r->auth, r->signing_key,
                                     request_header(r, "x-amz-trailer"));
    }
    if (r->op == S3_OP_PostObject && !r->has_length) {
        reply_error(r, S3_MissingContentLength, NULL);
        return false;
    }
    if (u->declared > S3_PUT_MAX) {
        reply_error(r, S3_EntityTooLarge, NULL);
        return false;
    }
    return true;
}

static bool parse_md5(struct request *r, struct s3_upload *u)
{
    const char *text = request_header(r, "content-md5");
    uint8_t raw[24];
    size_t len = 0;

    if (text == NULL) {
        return true;
    }
    if (strlen(text) > 24 || !text_unbase64(text, strlen(text), raw, &len) ||
        len != sizeof u->md5_given) {
        reply_error(r, S3_InvalidDigest,
                    "The Content-MD5 you specified is not valid.");
        return false;
    }
    memcpy(u->md5_given, raw, sizeof u->md5_given);
    u->want_md5 = true;
    return true;
}

static bool set_check(struct request *r, struct s3_upload *u,
                      enum digest_kind kind)
{
    if (u->has_check && u->check_kind != kind) {
        reply_error(r, S3_InvalidRequest,
                    "Expecting a single x-amz-checksum- header. Multiple "
                    "checksum Types are not allowed.");
        return false;
    }
    u->has_check = true;
    u->check_kind = kind;
    return true;
}

static bool parse_check_header(struct request *r, struct s3_upload *u,
                               const struct sigv4_header *h)
{
    uint8_t raw[48];
    size_t len = 0;
    enum digest_kind kind;

    if (strcasecmp(h->name, "x-amz-checksum-algorithm") == 0 ||
        strcasecmp(h->name, "x-amz-checksum-type") == 0 ||
        strcasecmp(h->name, "x-amz-checksum-mode") == 0) {
        return true;
    }
    if (!s3_checksum_kind(h->name, &kind)) {
        reply_error(r, S3_InvalidRequest,
                    "%s: the checksum algorithm is not supported", h->name);
        return false;
    }
    if (strlen(h->value) > 48 ||
        !text_unbase64(h->value, strlen(h->value), raw, &len) ||
        len != digest_size(kind)) {
        reply_error(r, S3_InvalidRequest, "Value for %s header is invalid.",
                    h->name);
        return false;
    }
    if (!set_check(r, u, kind)) {
        return false;
    }
    memcpy(u->check_given, h->value, strlen(h->value) + 1);
    return true;
}

/* x-amz-trailer: one name or several with commas; one may be a checksum. */
static bool parse_check_trailer(struct request *r, struct s3_upload *u)
{
    const char *p = request_header(r, "x-amz-trailer");

    while (p != NULL && *p != '\0') {
        size_t len = strcspn(p, ",");
        char name[64];
        enum digest_kind kind;
        size_t skip = strspn(p, " ");
        if (len - skip < sizeof name && skip <= len) {
            memcpy(name, p + skip, len - skip);
            name[len - skip] = '\0';
            name[strcspn(name, " ")] = '\0';
            if (s3_checksum_kind(name, &kind)) {
                if (!set_check(r, u, kind)) {
                    return false;
                }
                u->check_in_trailer = true;
            }
        }
        p += len;
        p += *p == ',';
    }
    return true;
}

static bool parse_checks(struct request *r, struct s3_upload *u)
{
    for (size_t i = 0; i < r->header_count; i++) {
        if (strncasecmp(r->headers[i].name, "x-amz-checksum-", 15) == 0 &&
            !parse_check_header(r, u, &r->headers[i])) {
            return false;
        }
    }
    if (u->chunked != NULL && !parse_check_trailer(r, u)) {
        return false;
    }
    if (!u->has_check) {
        /* As AWS does since 2024: every object has a checksum. */
        u->has_check = true;
        u->check_kind = DIGEST_CRC64NVME;
    }
    return true;
}

/* The checks of a form come with its fields. */
static bool begin_form(struct request *r, struct s3_upload *u)
{
    const char *type = request_header(r, "content-type");

    if (type == NULL || strncasecmp(type, "multipart/form-data", 19) != 0) {
        reply_error(r, S3_PreconditionFailed,
                    "Bucket POST must be of the enclosure-type "
                    "multipart/form-data");
        return false;
    }
    u->form = s3_form_new(type);
    if (u->form == NULL) {
        reply_error(r, S3_MalformedPOSTRequest, NULL);
        return false;
    }
    return true;
}

/* Small ones stay here, unless they are sealed. No byte has come yet. */
static void choose_inline(struct s3_upload *u)
{
    bool is_inline =
        u->declared <= META_INLINE_MAX && (u->sse == NULL || u->declared == 0);

    if (is_inline && u->inline_bytes == NULL) {
        u->inline_bytes = mem_alloc(META_INLINE_MAX + 1);
    } else if (!is_inline) {
        free(u->inline_bytes);
        u->inline_bytes = NULL;
    }
}

static bool parse_all_checks(struct request *r, struct s3_upload *u)
{
    if (!parse_md5(r, u) || !parse_checks(r, u)) {
        return false;
    }
    digest_init(&u->check, u->check_kind);
    if (u->gateway->cluster != NULL && s3_sse_must_ask(r)) {
        u->ask_sse = true; /* the catalogue may be elsewhere */
        return true;
    }
    if (!s3_sse_new(r, &u->sse)) {
        return false;
    }
    choose_inline(u);
    return true;
}

bool s3_upload_new(struct request *r)
{
    struct s3_upload *u = mem_alloc(sizeof *u);

    u->magic = UPLOAD_MAGIC;
    u->request = r;
    u->gateway = r->gateway;
    r->upload = u;
    atomic_fetch_add(&u->gateway->uploads, 1);
    u->want_sha256 = r->auth.payload == SIGV4_PAYLOAD_SHA256;
    if (!parse_length(r, u) ||
        !(r->op == S3_OP_PostObject ? begin_form(r, u)
                                    : parse_all_checks(r, u))) {
        return false;
    }
    /* A part always: its command does not name bucket and key. An object only
     * when there is much to send: the commit judges its bucket anyway. */
    if (u->gateway->cluster == NULL && /* there it asks other servers */
        (r->op == S3_OP_UploadPart || u->declared > META_INLINE_MAX) &&
        !s3_put_target_exists(r)) {
        return false;
    }
    digest_init(&u->md5, DIGEST_MD5);
    if (u->want_sha256) {
        digest_init(&u->sha256, DIGEST_SHA256);
    }
    choose_inline(u);
    return true;
}

/* ---- chunks ---- */

static size_t buffer_bytes(const struct s3_upload *u, uint32_t room)
{
    return object_buffer_bytes(u->gateway->objects, room);
}

static void chunk_free(struct s3_upload *u, struct chunk *c)
{
    if (c->data != NULL) {
        pool_put(u->gateway->pool, c->data, buffer_bytes(u, c->room));
    }
    *c = (struct chunk){0};
}

/* Many uploads at once share the budget by smaller chunks. A power of two, so
 * that buffers are used again. */
static uint32_t choose_room(const struct s3_upload *u)
{
    uint64_t plain = u->declared - u->received;
    uint64_t left = u->sse != NULL ? s3_sse_sealed_bytes(plain) : plain;
    uint64_t share = pool_budget(u->gateway->pool) / BUFFERS_OF_UPLOAD /
                     (atomic_load(&u->gateway->uploads) + 1);
    uint32_t room = GEOMETRY_CHUNK_MAX;

    while (room > CHUNK_SHARED_MIN && room > share) {
        room /= 2;
    }
    while (room / 2 >= left && room > CHUNK_MIN) {
        room /= 2;
    }
    return room;
}

/* Bytes of the payload that a chunk of @room takes. */
static uint32_t payload_room(const struct s3_upload *u, uint32_t room)
{
    return u->sse != NULL ? s3_sse_room(room) : room;
}

static void digest_bytes(struct s3_upload *u, const void *p, size_t len)
{
    digest_update(&u->md5, p, len);
    digest_update(&u->check, p, len);
    if (u->want_sha256) {
        digest_update(&u->sha256, p, len);
    }
}

static void fail(struct s3_upload *u, int status, enum s3_error error)
{
    if (u->status == 0) {
        u->status = status;
        u->error = error;
    }
}

static void start_job(struct s3_upload *u);
static void start_end(struct s3_upload *u);

/* Loop: @came; go on if that was waited for. */
static void wake(struct s3_upload *u, enum wait came)
{
    if (u->wait == came) {
        u->wait = WAIT_NONE;
        request_resume(u->request);
    }
}

static void on_job_done(struct loop_call *call)
{
    struct s3_upload *u = LIST_OF(call, struct s3_upload, call);
    struct request *r = u->request;

    CHECK_OBJ(u, UPLOAD_MAGIC);
    u->busy = false;
    if (u->next.data != NULL) {
        u->job = u->next;
        u->next = (struct chunk){0};
        start_job(u);
    }
    if (!u->busy && u->ended) {
        start_end(u);
    }
    wake(u, WAIT_WORKER);
    request_release(r);
}

static bool check_digests(struct s3_upload *u);

/* Worker: compare the digests, wait for the drives. */
static void commit(struct s3_upload *u)
{
    int rc;

    if (!check_digests(u)) {
        return;
    }
    rc = object_put_commit(u->put, &u->manifest, &u->err);
    if (rc != 0) {
        fail(u, rc, S3_OK);
        return;
    }
    u->committed = true;
    u->content.size_bytes = u->received;
    u->content.manifest = u->manifest.data;
    u->content.manifest_len = u->manifest.len;
}

static void job_in_worker(struct work *w)
{
    struct s3_upload *u = LIST_OF(w, struct s3_upload, work);
    struct chunk *c = &u->job;
    bool last = c->last;
    int rc = u->status;

    CHECK_OBJ(u, UPLOAD_MAGIC);
    if (rc == 0) {
        digest_bytes(u, c->data, c->len);
        if (u->sse != NULL) {
            c->len = s3_sse_seal(u->sse, c->data, c->len);
        }
        if (u->put == NULL) {
            u->put =
                bucket_put_open(u->gateway, u->request->bucket, u->sse != NULL);
        }
        rc = object_put_write(u->put, c->data, c->room, c->len, &u->err);
        if (rc == 0) {
            c->data = NULL; /* taken */
        } else {
            fail(u, rc, S3_OK);
        }
    }
    chunk_free(u, c);
    if (rc == 0 && last) {
        commit(u); /* now, not after another turn over the loop */
    }
    u->call.fn = on_job_done;
    loop_post(u->request->http->loop, &u->call);
}

static void start_job(struct s3_upload *u)
{
    u->busy = true;
    u->work.fn = job_in_worker;
    request_hold(u->request);
    if (!workers_run(u->gateway->workers, &u->work)) {
        u->busy = false;
        chunk_free(u, &u->job);
        fail(u, err_set(&u->err, ERR_BUSY, "too many requests wait"), S3_OK);
        request_release(u->request);
    }
}

/* The filled chunk moves on. There is room: fill is got only then. */
static void submit(struct s3_upload *u)
{
    if (!u->busy) {
        u->job = u->fill;
        u->fill = (struct chunk){0};
        start_job(u);
    } else {
        CHECK(u->next.data == NULL);
        u->next = u->fill;
        u->fill = (struct chunk){0};
    }
}

static void on_granted(struct loop_call *call)
{
    struct s3_upload *u = LIST_OF(call, struct s3_upload, grant_call);
    struct request *r = u->request;

    u->fill.data = u->granted;
    wake(u, WAIT_POOL);
    request_release(r);
}

/* Any thread: the pool's turn has come to us. */
static void granted(struct pool_waiter *w, void *ptr)
{
    struct s3_upload *u = LIST_OF(w, struct s3_upload, waiter);

    u->granted = ptr;
    u->grant_call.fn = on_granted;
    loop_post(u->request->http->loop, &u->grant_call);
}

static void suspend(struct s3_upload *u, enum wait what)
{
    u->wait = what;
    request_suspend(u->request);
}

/* A chunk to fill; false: suspended until there is one. */
static bool get_fill(struct s3_upload *u)
{
    if (u->fill.data != NULL) {
        return true;
    }
    if (u->next.data != NULL) {
        suspend(u, WAIT_WORKER); /* it is behind; on_job_done */
        return false;
    }
    u->fill.room = choose_room(u);
    u->fill.len = 0;
    u->waiter.fn = granted;
    request_hold(u->request);
    u->fill.data = pool_get_wait(u->gateway->pool,
                                 buffer_bytes(u, u->fill.room), &u->waiter);
    if (u->fill.data == NULL) {
        suspend(u, WAIT_POOL); /* on_granted releases */
        return false;
    }
    request_release(u->request);
    return true;
}

/* ---- is it to be sealed? ---- */

static void on_sse_asked(struct loop_call *call)
{
    struct s3_upload *u = LIST_OF(call, struct s3_upload, call);
    struct request *r = u->request;

    CHECK_OBJ(u, UPLOAD_MAGIC);
    u->busy = false;
    if (u->sse_refused) {
        u->wait = WAIT_NONE;
        request_done(r);
    } else {
        choose_inline(u);
        if (u->ended) {
            s3_upload_end(r);
        }
        wake(u, WAIT_SSE);
    }
    request_release(r);
}

static void ask_in_worker(struct work *w)
{
    struct s3_upload *u = LIST_OF(w, struct s3_upload, work);

    u->sse_refused = !s3_sse_new(u->request, &u->sse);
    u->call.fn = on_sse_asked;
    loop_post(u->request->http->loop, &u->call);
}

/* Loop: true when it is known; else a worker asks, and on_sse_asked goes on. */
static bool sse_known(struct s3_upload *u)
{
    if (!u->ask_sse) {
        return true;
    }
    u->ask_sse = false;
    u->busy = true;
    u->work.fn = ask_in_worker;
    request_hold(u->request);
    if (!workers_run(u->gateway->workers, &u->work)) {
        u->busy = false;
        request_release(u->request);
        fail(u, err_set(&u->err, ERR_BUSY, "too many requests wait"), S3_OK);
        return true;
    }
    return false;
}

/* ---- taking bytes ---- */

/* Where payload bytes go now and how many may; 0 when the declared length is
 * reached. False: suspended. */
static bool room_now(struct s3_upload *u, uint8_t **out, size_t *room)
{
    uint64_t left = u->declared - u->received;

    *out = NULL;
    *room = 0;
    if (left == 0 || (u->form != NULL && !s3_form_has_file(u->form))) {
        return true;
    }
    if (u->inline_bytes != NULL) {
        *out = u->inline_bytes + u->received;
        *room = (size_t)left;
        return true;
    }
    if (!get_fill(u)) {
        return false;
    }
    *out = u->fill.data + u->fill.len;
    *room = payload_room(u, u->fill.room) - u->fill.len;
    if (*room > left) {
        *room = (size_t)left;
    }
    return true;
}

static void placed(struct s3_upload *u, size_t n)
{
    u->received += n;
    if (u->inline_bytes == NULL) {
        u->fill.len += (uint32_t)n;
        if (u->fill.data != NULL && u->fill.len > 0 &&
            (u->fill.len == payload_room(u, u->fill.room) ||
             u->received == u->declared)) {
            u->fill.last = u->received == u->declared && u->chunked == NULL;
            submit(u);
        }
    }
}

static void bad_form(struct s3_upload *u, enum s3_error error)
{
    u->bad_body =
        err_set(&u->body_err, ERR_BAD_INPUT, "%s", s3_error_message(error));
    u->bad_error = error;
}

/* Bytes of a form. False: a reply was made. */
static bool feed_form(struct s3_upload *u, const char *data, size_t *used,
                      uint8_t *out, size_t room, size_t *made)
{
    struct request *r = u->request;

    switch (s3_form_feed(u->form, data, used, out, room, made)) {
        case S3_FORM_FILE:
            if (!s3_post_fields(r, u->form, &u->limits) ||
                !parse_all_checks(r, u)) {
                request_done(r);
                return false;
            }
            break;
        case S3_FORM_END:
            u->form_ended = true;
            break;
        case S3_FORM_TOO_LONG:
            bad_form(u, S3_MaxPostPreDataLengthExceeded);
            break;
        case S3_FORM_BAD:
            bad_form(u, S3_MalformedPOSTRequest);
            break;
        default:
            break;
    }
    if (u->bad_body == 0 && u->received + *made > u->limits.max_bytes &&
        s3_form_has_file(u->form)) {
        bad_form(u, S3_EntityTooLarge);
        *made = 0;
    }
    return true;
}

void s3_upload_data(struct request *r, const char *data, size_t *len)
{
    struct s3_upload *u = r->upload;
    size_t left = *len;

    CHECK_OBJ(u, UPLOAD_MAGIC);
    while (left > 0 && u->bad_body == 0 && !u->form_ended) {
        uint8_t *out;
        size_t room, used = left, made = 0;
        if (!sse_known(u)) {
            suspend(u, WAIT_SSE);
            *len = left;
            return;
        }
        if (!room_now(u, &out, &room)) {
            *len = left;
            return;
        }
        if (u->chunked != NULL) {
            int rc = aws_chunked_decode(u->chunked, data, &used, out, room,
                                        &made, &u->body_err);
            if (rc == 0 && used == 0 && made == 0) {
                rc = err_set(&u->body_err, ERR_BAD_INPUT,
                             "the body is longer than "
                             "x-amz-decoded-content-length");
            }
            if (rc != 0) {
                u->bad_body = rc;
                break;
            }
        } else if (u->form != NULL) {
            if (!feed_form(u, data, &used, out, room, &made)) {
                break;
            }
        } else {
            used = made = left < room ? left : room;
            memcpy(out, data, made);
            CHECK(made > 0);
        }
        data += used;
        left -= used;
        if (made > 0) {
            placed(u, made);
        }
    }
    *len = 0; /* what follows a failure is drained */
}

/* ---- the end ---- */

/* Was the body whole and well framed? No worker has the upload now. */
static bool check_complete(struct s3_upload *u)
{
    if (u->status != 0) {
        return false;
    }
    if (u->bad_body != 0) {
        u->err = u->body_err;
        fail(u, u->bad_body,
             u->bad_error != S3_OK         ? u->bad_error
             : u->bad_body == ERR_MISMATCH ? S3_SignatureDoesNotMatch
                                           : S3_InvalidRequest);
        return false;
    }
    if (u->received != u->declared ||
        (u->chunked != NULL && !aws_chunked_done(u->chunked))) {
        err_set(&u->err, 0, "%s", s3_error_message(S3_IncompleteBody));
        fail(u, ERR_BAD_INPUT, S3_IncompleteBody);
        return false;
    }
    return true;
}

/* Compare what was received with what was said of it. */
static bool check_digests(struct s3_upload *u)
{
    struct request *r = u->request;
    uint8_t sum[DIGEST_MAX];
    const char *want = u->check_given;
    size_t size;

    if (u->want_sha256) {
        digest_final(&u->sha256, sum);
        if (mem_diff(sum, r->auth.payload_sha256, 32) != 0) {
            err_set(&u->err, 0, "%s",
                    s3_error_message(S3_XAmzContentSHA256Mismatch));
            fail(u, ERR_MISMATCH, S3_XAmzContentSHA256Mismatch);
            return false;
        }
    }
    digest_final(&u->md5, sum);
    if (u->sse != NULL) {
        s3_sse_etag(u->sse, sum, u->etag);
    } else {
        text_hex(sum, 16, u->etag);
    }
    if (u->want_md5 && mem_diff(sum, u->md5_given, 16) != 0) {
        err_set(&u->err, 0,
                "The Content-MD5 you specified did not match what we "
                "received.");
        fail(u, ERR_MISMATCH, S3_BadDigest);
        return false;
    }
    size = digest_final(&u->check, sum);
    text_base64(sum, size, u->check_text);
    if (u->check_in_trailer) {
        want =
            aws_chunked_trailer(u->chunked, s3_checksum_header(u->check_kind));
        if (want == NULL) {
            err_set(&u->err, 0, "the trailer %s is missing",
                    s3_checksum_header(u->check_kind));
            fail(u, ERR_BAD_INPUT, S3_InvalidRequest);
            return false;
        }
    }
    if (want[0] != '\0' && strcmp(want, u->check_text) != 0) {
        err_set(&u->err, 0,
                "The %s you specified did not match the calculated "
                "checksum.",
                digest_name(u->check_kind));
        fail(u, ERR_MISMATCH, S3_BadDigest);
        return false;
    }
    return true;
}

static void reply_failure(struct s3_upload *u)
{
    struct request *r = u->request;

    if (u->error != S3_OK) {
        reply_error(r, u->error, "%s", u->err.text);
    } else {
        reply_err(r, u->status, &u->err);
    }
    request_done(r);
}

static void end_inline(struct s3_upload *u)
{
    digest_bytes(u, u->inline_bytes, (size_t)u->received);
    if (!check_digests(u)) {
        reply_failure(u);
        return;
    }
    u->content.size_bytes = u->received;
    u->content.inline_bytes = u->received > 0 ? u->inline_bytes : NULL;
    request_handle(u->request);
}

/* Worker: every chunk is coded and on its way. */
static void end_in_worker(struct work *w)
{
    struct s3_upload *u = LIST_OF(w, struct s3_upload, work);

    commit(u);
    if (u->committed) {
        request_handle(u->request);
    } else {
        reply_failure(u);
    }
}

static void start_end(struct s3_upload *u)
{
    if (!check_complete(u)) {
        reply_failure(u);
        return;
    }
    if (u->committed) {
        request_handle(u->request);
        return;
    }
    u->work.fn = end_in_worker;
    if (!workers_run(u->gateway->workers, &u->work)) {
        fail(u, err_set(&u->err, ERR_BUSY, "too many requests wait"), S3_OK);
        reply_failure(u);
    }
}

/* The body is complete: now the length of the file is known. */
static void end_form(struct s3_upload *u)
{
    if (u->bad_body != 0) {
        return;
    }
    u->declared = u->received;
    if (!u->form_ended) {
        bad_form(u, s3_form_has_file(u->form) ? S3_IncompleteBody
                                              : S3_MalformedPOSTRequest);
    } else if (!s3_form_has_file(u->form)) {
        bad_form(u, S3_IncorrectNumberOfFilesInPostRequest);
    } else if (u->received < u->limits.min_bytes) {
        bad_form(u, S3_EntityTooSmall);
    } else if (u->inline_bytes == NULL && u->received <= META_INLINE_MAX &&
               (u->sse == NULL || u->received == 0)) {
        /* So little that no chunk of it has gone. */
        u->inline_bytes = mem_alloc(META_INLINE_MAX + 1);
        if (u->fill.len > 0) {
            memcpy(u->inline_bytes, u->fill.data, u->fill.len);
        }
        chunk_free(u, &u->fill);
    } else if (u->fill.len > 0) {
        u->fill.last = true;
        submit(u);
    }
}

void s3_upload_end(struct request *r)
{
    struct s3_upload *u = r->upload;

    CHECK_OBJ(u, UPLOAD_MAGIC);
    if (!sse_known(u)) {
        u->ended = true;
        return;
    }
    if (u->form != NULL) {
        end_form(u);
    }
    u->ended = true;
    if (u->inline_bytes != NULL) {
        if (check_complete(u)) {
            end_inline(u);
        } else {
            reply_failure(u);
        }
        return;
    }
    if (u->busy || u->next.data != NULL) {
        return; /* on_job_done goes on */
    }
    start_end(u);
}

/* Worker: a run of shards that nothing will name. */
struct abort_job {
    struct work work;
    struct object_put *put;
    bool committed;
};

static void abort_in_worker(struct work *w)
{
    struct abort_job *j = LIST_OF(w, struct abort_job, work);

    if (j->committed) {
        object_put_close(j->put, 0);
    } else {
        object_put_abort(j->put);
    }
    free(j);
}

static void abort_put(struct s3_upload *u)
{
    struct abort_job *j = mem_alloc(sizeof *j);

    j->work.fn = abort_in_worker;
    j->put = u->put;
    j->committed = u->committed;
    u->put = NULL;
    if (!workers_run(u->gateway->workers, &j->work)) {
        abort_in_worker(&j->work);
    }
}

void s3_upload_close(struct s3_upload *u, bool stored)
{
    if (u->put != NULL && stored) {
        object_put_close(u->put, 1);
        u->put = NULL;
    }
}

void s3_upload_free(struct s3_upload *u)
{
    if (u == NULL) {
        return;
    }
    CHECK_OBJ(u, UPLOAD_MAGIC);
    CHECK(!u->busy);
    if (u->put != NULL) {
        abort_put(u);
    }
    chunk_free(u, &u->fill);
    chunk_free(u, &u->next);
    aws_chunked_free(u->chunked);
    s3_form_free(u->form);
    s3_sse_free(u->sse);
    digest_free(&u->md5);
    digest_free(&u->sha256);
    digest_free(&u->check);
    buf_free(&u->manifest);
    free(u->inline_bytes);
    atomic_fetch_sub(&u->gateway->uploads, 1);
    u->magic = 0;
    free(u);
}

const struct meta_content *s3_upload_content(const struct s3_upload *u)
{
    return &u->content;
}

const struct s3_sse *s3_upload_sse(const struct s3_upload *u)
{
    return u->sse;
}

const struct s3_form *s3_upload_form(const struct s3_upload *u)
{
    return u->form;
}

const char *s3_upload_etag(const struct s3_upload *u)
{
    return u->etag;
}

bool s3_upload_checksum(const struct s3_upload *u, enum digest_kind *kind,
                        char value[64])
{
    *kind = u->check_kind;
    memcpy(value, u->check_text, sizeof u->check_text);
    return u->has_check;
}
