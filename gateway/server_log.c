#include "gateway/server_log.h"

#include <gnutls/gnutls.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/latch.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/text.h"
#include "crypto/digest.h"
#include "gateway/access.h"
#include "gateway/bucket_rules.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_attrs.h"
#include "gateway/s3_config.h"
#include "gateway/s3_sse.h"
#include "gateway/s3_upload.h"
#include "object/object_put.h"
#include "object/object_store.h"

#define LINE_MAX_BYTES ((size_t)40 << 10) /* the longest: URI and headers */
#define OBJECT_MAX_BYTES (SERVER_LOG_BYTES + LINE_MAX_BYTES)
#define BUFFER_WAIT_MS 10000
#define LOOK_MS 200

/* Lines of one bucket that go to one place. */
struct open_log {
    char bucket[META_BUCKET_MAX + 1];
    char owner[META_ACCESS_KEY_MAX + 1];
    struct s3_logging to;
    struct buf lines;
    uint64_t since_ms; /* the first of them */
    bool busy;         /* is being delivered */
};

struct server_logs {
    struct gateway *gateway;
    pthread_t thread;
    bool started;
    struct metric *lines, *dropped, *objects;
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t cond;
    struct open_log *open[SERVER_LOGS_MAX];
    size_t count, bytes;
    bool stopping;
};

struct server_logs *server_logs_new(struct gateway *g)
{
    struct server_logs *l = mem_alloc(sizeof *l);

    l->gateway = g;
    l->lines = metric_counter("godwit_access_log_lines_total", NULL,
                              "Lines of buckets' access logs.");
    l->dropped = metric_counter("godwit_access_log_dropped_total", NULL,
                                "Lines for which there was no room.");
    l->objects = metric_counter("godwit_access_log_objects_total", NULL,
                                "Access logs delivered.");
    CHECK(pthread_mutex_init(&l->mutex, NULL) == 0);
    latch_cond_init(&l->cond);
    return l;
}

static void open_log_free(struct open_log *o)
{
    buf_free(&o->lines);
    free(o);
}

void server_logs_free(struct server_logs *l)
{
    if (l != NULL) {
        for (size_t i = 0; i < l->count; i++) {
            open_log_free(l->open[i]);
        }
        pthread_cond_destroy(&l->cond);
        pthread_mutex_destroy(&l->mutex);
        free(l);
    }
}

/* ---- lines ---- */

/* What AWS calls the resource of an operation; X(operation, name) */
#define RESOURCES(X)                                           \
    X(HeadBucket, "BUCKET")                                    \
    X(CreateBucket, "BUCKET")                                  \
    X(DeleteBucket, "BUCKET")                                  \
    X(ListObjects, "BUCKET")                                   \
    X(ListObjectsV2, "BUCKET")                                 \
    X(ListObjectVersions, "BUCKETVERSIONS")                    \
    X(GetBucketLocation, "LOCATION")                           \
    X(GetBucketVersioning, "VERSIONING")                       \
    X(PutBucketVersioning, "VERSIONING")                       \
    X(GetBucketAcl, "ACL")                                     \
    X(PutBucketAcl, "ACL")                                     \
    X(GetObjectAcl, "ACL")                                     \
    X(PutObjectAcl, "ACL")                                     \
    X(GetBucketTagging, "TAGGING")                             \
    X(PutBucketTagging, "TAGGING")                             \
    X(DeleteBucketTagging, "TAGGING")                          \
    X(GetObjectTagging, "OBJECT_TAGGING")                      \
    X(PutObjectTagging, "OBJECT_TAGGING")                      \
    X(DeleteObjectTagging, "OBJECT_TAGGING")                   \
    X(GetBucketCors, "CORS")                                   \
    X(PutBucketCors, "CORS")                                   \
    X(DeleteBucketCors, "CORS")                                \
    X(Preflight, "PREFLIGHT")                                  \
    X(GetBucketLifecycleConfiguration, "LIFECYCLE")            \
    X(PutBucketLifecycleConfiguration, "LIFECYCLE")            \
    X(DeleteBucketLifecycle, "LIFECYCLE")                      \
    X(GetBucketLogging, "LOGGING_STATUS")                      \
    X(PutBucketLogging, "LOGGING_STATUS")                      \
    X(GetBucketNotificationConfiguration, "NOTIFICATION")      \
    X(PutBucketNotificationConfiguration, "NOTIFICATION")      \
    X(GetBucketPolicy, "BUCKETPOLICY")                         \
    X(PutBucketPolicy, "BUCKETPOLICY")                         \
    X(DeleteBucketPolicy, "BUCKETPOLICY")                      \
    X(GetBucketPolicyStatus, "POLICY_STATUS")                  \
    X(GetPublicAccessBlock, "PUBLIC_ACCESS_BLOCK")             \
    X(PutPublicAccessBlock, "PUBLIC_ACCESS_BLOCK")             \
    X(DeletePublicAccessBlock, "PUBLIC_ACCESS_BLOCK")          \
    X(GetBucketOwnershipControls, "OWNERSHIP_CONTROLS")        \
    X(PutBucketOwnershipControls, "OWNERSHIP_CONTROLS")        \
    X(DeleteBucketOwnershipControls, "OWNERSHIP_CONTROLS")     \
    X(GetBucketEncryption, "ENCRYPTION")                       \
    X(PutBucketEncryption, "ENCRYPTION")                       \
    X(DeleteBucketEncryption, "ENCRYPTION")                    \
    X(GetObjectLockConfiguration, "OBJECT_LOCK_CONFIGURATION") \
    X(PutObjectLockConfiguration, "OBJECT_LOCK_CONFIGURATION") \
    X(GetObjectRetention, "OBJECT_LOCK_RETENTION")             \
    X(PutObjectRetention, "OBJECT_LOCK_RETENTION")             \
    X(GetObjectLegalHold, "OBJECT_LOCK_LEGALHOLD")             \
    X(PutObjectLegalHold, "OBJECT_LOCK_LEGALHOLD")             \
    X(ListMultipartUploads, "UPLOADS")                         \
    X(CreateMultipartUpload, "UPLOADS")                        \
    X(CompleteMultipartUpload, "UPLOAD")                       \
    X(AbortMultipartUpload, "UPLOAD")                          \
    X(ListParts, "UPLOAD")                                     \
    X(UploadPart, "PART")                                      \
    X(UploadPartCopy, "PART")                                  \
    X(DeleteObjects, "MULTI_OBJECT_DELETE")

static const char *resource_of(const struct request *r)
{
    switch (r->op) {
#define X(op, name)  \
    case S3_OP_##op: \
        return name;
        RESOURCES(X)
#undef X
        default:
            return r->key != NULL ? "OBJECT" : "BUCKET";
    }
}

static const char *verb_of(const struct request *r)
{
    return r->op == S3_OP_CopyObject || r->op == S3_OP_UploadPartCopy
               ? "COPY"
               : r->method;
}

/* [23/Nov/2026:01:02:03 +0000] */
static void put_time(struct buf *b, uint64_t ms)
{
    time_t s = (time_t)(ms / 1000);
    char text[40];
    struct tm tm;

    gmtime_r(&s, &tm);
    strftime(text, sizeof text, "[%d/%b/%Y:%H:%M:%S +0000]", &tm);
    buf_printf(b, " %s", text);
}

static void put_word(struct buf *b, const char *text)
{
    buf_printf(b, " %s", text != NULL && text[0] != '\0' ? text : "-");
}

static void put_count(struct buf *b, uint64_t n, bool known)
{
    if (known) {
        buf_printf(b, " %llu", (unsigned long long)n);
    } else {
        buf_str(b, " -");
    }
}

/* In quotes; one inside would end it. */
static void put_quoted(struct buf *b, const char *text)
{
    if (text == NULL || text[0] == '\0') {
        buf_str(b, " \"-\"");
        return;
    }
    buf_str(b, " \"");
    for (; *text != '\0'; text++) {
        if (*text == '"') {
            buf_str(b, "%22");
        } else {
            buf_char(b, *text);
        }
    }
    buf_char(b, '"');
}

/* A header that could break the line in words is not one of theirs. */
static const char *plain_word(const char *text)
{
    return text != NULL && strpbrk(text, " \t\"") == NULL ? text : NULL;
}

static bool size_of(const struct request *r, uint64_t *size)
{
    switch (r->op) {
        case S3_OP_PutObject:
        case S3_OP_PostObject:
        case S3_OP_UploadPart:
            *size = r->upload != NULL ? s3_upload_content(r->upload)->size_bytes
                                      : 0;
            return r->upload != NULL && r->status == 200;
        case S3_OP_GetObject:
            *size = r->bytes_out;
            return r->status == 200;
        case S3_OP_HeadObject:
            *size = r->head_bytes;
            return r->status == 200;
        default:
            return false;
    }
}

static gnutls_session_t session_of(const struct request *r)
{
    const union MHD_ConnectionInfo *info =
        gateway_is_https(r->gateway) && r->connection != NULL
            ? MHD_get_connection_info(r->connection,
                                      MHD_CONNECTION_INFO_GNUTLS_SESSION)
            : NULL;

    return info != NULL ? info->tls_session : NULL;
}

/* " SigV4 cipher AuthHeader host TLSv1.3 - aclRequired" */
static void put_security(struct buf *b, const struct request *r)
{
    gnutls_session_t session = session_of(r);
    bool is_signed = r->auth.access_key[0] != '\0';
    char version[16] = "";

    if (session != NULL) {
        const char *name =
            gnutls_protocol_get_name(gnutls_protocol_get_version(session));
        snprintf(version, sizeof version, "TLSv%s",
                 name != NULL && text_starts(name, "TLS") ? name + 3 : "?");
    }
    put_word(b, is_signed ? "SigV4" : NULL);
    put_word(b, session != NULL ? gnutls_ciphersuite_get(session) : NULL);
    put_word(b, !is_signed          ? NULL
                : r->auth.presigned ? "QueryString"
                                    : "AuthHeader");
    put_word(b, plain_word(request_header(r, "host")));
    put_word(b, version);
    put_word(b, NULL); /* access points are none */
    put_word(b, r->rule == AUDIT_BY_BUCKET_ACL || r->rule == AUDIT_BY_OBJECT_ACL
                    ? "Yes"
                    : NULL);
}

/* Up to the operation. */
static void put_who(struct buf *b, const struct request *r)
{
    char id[65];

    access_canonical_id(r->target->owner, id);
    buf_printf(b, "%s %s", id, r->bucket);
    put_time(b, r->time_ms);
    put_word(b, r->peer);
    put_word(b, r->user != NULL && r->rule != AUDIT_BY_SIGNATURE
                    ? r->user->canonical_id
                    : NULL);
    put_word(b, r->id);
}

static void put_key(struct buf *b, const char *key)
{
    buf_char(b, ' ');
    if (key != NULL) {
        text_uri_encode(b, key, strlen(key), true);
    } else {
        buf_char(b, '-');
    }
}

static void put_line(struct buf *b, const struct request *r)
{
    uint64_t now = clock_mono_us(), size = 0;
    bool sized = size_of(r, &size);
    char *uri = mem_printf("%s %s HTTP/1.1", r->method, r->uri);

    put_who(b, r);
    buf_printf(b, " REST.%s.%s", verb_of(r), resource_of(r));
    put_key(b, r->key);
    put_quoted(b, uri);
    put_count(b, (uint64_t)r->status, true);
    put_word(b, r->error != S3_OK ? s3_error_code(r->error) : NULL);
    put_count(b, r->bytes_out, r->bytes_out > 0);
    put_count(b, size, sized);
    put_count(b, (now - r->start_us) / 1000, true);
    put_count(b, (r->answer_us - r->start_us) / 1000, r->answer_us != 0);
    put_quoted(b, request_header(r, "referer"));
    put_quoted(b, request_header(r, "user-agent"));
    put_word(b, plain_word(request_param(r, "versionId")));
    put_word(b, NULL); /* host id */
    put_security(b, r);
    buf_char(b, '\n');
    free(uri);
}

static void put_deleted(struct buf *b, const struct request *r, const char *key,
                        enum s3_error error)
{
    put_who(b, r);
    buf_str(b, " BATCH.DELETE.OBJECT");
    put_key(b, key);
    put_word(b, NULL); /* request-URI */
    put_count(b, error == S3_OK ? 204 : (uint64_t)s3_error_status(error), true);
    put_word(b, error != S3_OK ? s3_error_code(error) : NULL);
    buf_str(b, " - - - - - - - -"); /* bytes to host id */
    put_security(b, r);
    buf_char(b, '\n');
}

/* ---- gathering ---- */

/* Under the mutex. NULL: there are too many. */
static struct open_log *log_of(struct server_logs *l, const struct request *r)
{
    const struct s3_logging *to = r->target->logging;
    struct open_log *o;

    for (size_t i = 0; i < l->count; i++) {
        o = l->open[i];
        if (!o->busy && strcmp(o->bucket, r->bucket) == 0 &&
            strcmp(o->owner, r->target->owner) == 0 &&
            strcmp(o->to.target, to->target) == 0 &&
            strcmp(o->to.prefix, to->prefix) == 0 &&
            o->to.partitioned == to->partitioned) {
            return o;
        }
    }
    if (l->count == SERVER_LOGS_MAX) {
        return NULL;
    }
    o = mem_alloc(sizeof *o);
    snprintf(o->bucket, sizeof o->bucket, "%s", r->bucket);
    snprintf(o->owner, sizeof o->owner, "%s", r->target->owner);
    o->to = *to;
    o->since_ms = clock_mono_ms();
    l->open[l->count++] = o;
    return o;
}

static void gather(struct request *r, const struct buf *line)
{
    struct server_logs *l = r->gateway->server_logs;
    struct open_log *o = NULL;

    pthread_mutex_lock(&l->mutex);
    if (line->len <= LINE_MAX_BYTES &&
        l->bytes + line->len <= SERVER_LOG_ROOM_BYTES) {
        o = log_of(l, r);
    }
    if (o != NULL) {
        buf_append(&o->lines, line->data, line->len);
        l->bytes += line->len;
        if (o->lines.len >= SERVER_LOG_BYTES) {
            pthread_cond_signal(&l->cond);
        }
    }
    pthread_mutex_unlock(&l->mutex);
    metric_add(o != NULL ? l->lines : l->dropped, 1);
}

static bool is_logged(const struct request *r)
{
    return r->gateway->server_logs != NULL && r->target != NULL &&
           r->target->logging != NULL;
}

void server_logs_request(struct request *r)
{
    struct buf line = {0};

    if (is_logged(r)) {
        put_line(&line, r);
        gather(r, &line);
        buf_free(&line);
    }
}

void server_logs_deleted(struct request *r, const char *key,
                         enum s3_error error)
{
    struct buf line = {0};

    if (is_logged(r)) {
        put_deleted(&line, r, key, error);
        gather(r, &line);
        buf_free(&line);
    }
}

/* ---- delivering ---- */

/* The server asks for it itself: a request that nobody sent. */
struct delivery {
    struct request r; /* gateway, bucket and method only */
    struct s3_sse *sse;
    struct object_put *put;
    struct buf manifest;
};

static char *name_of(const struct gateway *g, const struct open_log *o,
                     uint64_t now_ms)
{
    time_t s = (time_t)(now_ms / 1000);
    char date[24], path[120] = "", owner[65];
    struct tm tm;

    gmtime_r(&s, &tm);
    if (o->to.partitioned) {
        char day[16];
        access_canonical_id(o->owner, owner);
        strftime(day, sizeof day, "%Y/%m/%d", &tm);
        snprintf(path, sizeof path, "%s/%.32s/", owner, g->region);
        strftime(date, sizeof date, "%Y-%m-%d-%H-%M-%S", &tm);
        return mem_printf("%s%s%s/%s/%s-%016llX", o->to.prefix, path, o->bucket,
                          day, date, (unsigned long long)rng_u64());
    }
    strftime(date, sizeof date, "%Y-%m-%d-%H-%M-%S", &tm);
    return mem_printf("%s%s-%016llX", o->to.prefix, date,
                      (unsigned long long)rng_u64());
}

/* Both buckets are one owner's still. */
static int check_owner(struct gateway *g, const struct open_log *o,
                       struct err *err)
{
    struct access_bucket *b = NULL;
    int rc = access_bucket(g, o->to.target, &b, err);

    if (rc == 0 && strcmp(b->owner, o->owner) != 0) {
        rc = err_set(err, ERR_DENIED, "the target is another owner's");
    }
    access_bucket_free(b);
    return rc;
}

static int write_run(struct delivery *d, const struct buf *lines,
                     struct err *err)
{
    struct gateway *g = d->r.gateway;
    uint32_t len = (uint32_t)lines->len;
    uint32_t room = (uint32_t)s3_sse_sealed_bytes(OBJECT_MAX_BYTES);
    size_t buffer_bytes = object_buffer_bytes(g->objects, room);
    void *buffer = pool_get_block(g->pool, buffer_bytes, BUFFER_WAIT_MS);
    int rc;

    if (buffer == NULL) {
        return err_set(err, ERR_BUSY, "no buffer for an object");
    }
    CHECK(len <= OBJECT_MAX_BYTES);
    memcpy(buffer, lines->data, len);
    if (d->sse != NULL) {
        len = s3_sse_seal(d->sse, buffer, len);
    }
    d->put = bucket_put_open(g, d->r.bucket, d->sse != NULL);
    rc = object_put_write(d->put, buffer, room, len, err);
    if (rc != 0) {
        pool_put(g->pool, buffer, buffer_bytes);
    } else {
        rc = object_put_commit(d->put, &d->manifest, err);
    }
    if (rc != 0) {
        object_put_abort(d->put);
        d->put = NULL;
    }
    return rc;
}

/* As the target encrypts by default. */
static int seal_as_target(struct delivery *d, struct err *err)
{
    struct s3_sse_how how = {.kind = S3_SSE_NONE};
    bool good =
        s3_sse_asked(&d->r, &how) &&
        (how.kind == S3_SSE_NONE || s3_sse_new_as(&d->r, &how, NULL, &d->sse));

    mem_wipe(&how, sizeof how);
    return good ? 0 : err_set(err, ERR_UNAVAILABLE, "%s", d->r.err.text);
}

static int put_object(struct delivery *d, const struct open_log *o,
                      const char *key, struct err *err)
{
    struct meta_content content = {.size_bytes = o->lines.len};
    char etag[2 * DIGEST_MAX + 1];
    uint8_t md5[DIGEST_MAX];
    struct buf attrs = {0};
    int rc = 0;

    s3_attrs_begin(&attrs);
    s3_attrs_add(&attrs, "content-type", "text/plain");
    text_hex(md5, digest_of(DIGEST_MD5, o->lines.data, o->lines.len, md5),
             etag);
    if (d->sse != NULL) {
        s3_sse_etag(d->sse, md5, etag);
        s3_sse_attrs(d->sse, &attrs);
    }
    if (o->lines.len > META_INLINE_MAX || d->sse != NULL) {
        rc = write_run(d, &o->lines, err);
        content.manifest = d->manifest.data;
        content.manifest_len = d->manifest.len;
    } else {
        content.inline_bytes = o->lines.data;
    }
    if (rc == 0) {
        command_object_put(&d->r.command, o->to.target, key, NULL, &content,
                           etag, attrs.data, attrs.len, d->r.time_ms);
        rc = meta_propose_wait(d->r.gateway->meta, &d->r.command, NULL, err);
    }
    buf_free(&attrs);
    return rc;
}

static int deliver(struct server_logs *l, const struct open_log *o,
                   struct err *err)
{
    struct delivery *d = mem_alloc(sizeof *d);
    char *key;
    int rc = check_owner(l->gateway, o, err);

    d->r.gateway = l->gateway;
    d->r.method = "PUT";
    d->r.time_ms = clock_real_ms();
    snprintf(d->r.bucket, sizeof d->r.bucket, "%s", o->to.target);
    key = name_of(l->gateway, o, d->r.time_ms);
    if (rc == 0) {
        rc = seal_as_target(d, err);
    }
    if (rc == 0) {
        rc = put_object(d, o, key, err);
    }
    if (d->put != NULL) {
        /* Unknown: the catalogue may yet name the shards. */
        object_put_close(d->put, rc == 0 || rc == ERR_UNKNOWN);
    }
    s3_sse_free(d->sse);
    buf_free(&d->manifest);
    buf_free(&d->r.command);
    buf_free(&d->r.reply_headers);
    buf_free(&d->r.reply_body);
    free(d);
    free(key);
    return rc;
}

/* Take one that is due; NULL: none. */
static struct open_log *take(struct server_logs *l, bool all)
{
    uint64_t now = clock_mono_ms();
    struct open_log *found = NULL;

    pthread_mutex_lock(&l->mutex);
    for (size_t i = 0; i < l->count && found == NULL; i++) {
        struct open_log *o = l->open[i];
        if (all || o->lines.len >= SERVER_LOG_BYTES ||
            now - o->since_ms >= l->gateway->options->log_interval_ms) {
            found = o;
            found->busy = true;
        }
    }
    pthread_mutex_unlock(&l->mutex);
    return found;
}

/* @again: keep it, and try later. */
static void give_back(struct server_logs *l, struct open_log *o, bool again)
{
    pthread_mutex_lock(&l->mutex);
    o->busy = false;
    o->since_ms = clock_mono_ms();
    for (size_t i = 0; i < l->count && !again; i++) {
        if (l->open[i] == o) {
            l->open[i] = l->open[--l->count];
            l->bytes -= o->lines.len;
            break;
        }
    }
    pthread_mutex_unlock(&l->mutex);
    if (!again) {
        open_log_free(o);
    }
}

/* False: nothing was due, or it could not be delivered now. */
static bool deliver_one(struct server_logs *l, bool all)
{
    struct open_log *o = take(l, all);
    struct err err = {{0}};
    bool again;
    int rc;

    if (o == NULL) {
        return false;
    }
    rc = deliver(l, o, &err);
    again = rc != 0 && rc != ERR_UNKNOWN && rc != ERR_NO_BUCKET &&
            rc != ERR_DENIED && !all;
    if (rc == 0) {
        metric_add(l->objects, 1);
    } else {
        log_line(LOG_WARN, "access log is not delivered", "bucket", o->bucket,
                 "target", o->to.target, "reason", err.text, NULL);
    }
    give_back(l, o, again);
    return !again;
}

static void *logs_main(void *arg)
{
    struct server_logs *l = arg;
    bool stopping = false;

    while (!stopping) {
        while (deliver_one(l, false)) {
        }
        pthread_mutex_lock(&l->mutex);
        if (!l->stopping) {
            latch_cond_wait(&l->cond, &l->mutex, LOOK_MS);
        }
        stopping = l->stopping;
        pthread_mutex_unlock(&l->mutex);
    }
    while (deliver_one(l, true)) {
    }
    return NULL;
}

void server_logs_start(struct server_logs *l)
{
    l->started = true;
    CHECK(pthread_create(&l->thread, NULL, logs_main, l) == 0);
    pthread_setname_np(l->thread, "access-log");
}

void server_logs_stop(struct server_logs *l)
{
    if (l == NULL || !l->started) {
        return;
    }
    pthread_mutex_lock(&l->mutex);
    l->stopping = true;
    pthread_cond_signal(&l->cond);
    pthread_mutex_unlock(&l->mutex);
    pthread_join(l->thread, NULL);
    l->started = false;
}
