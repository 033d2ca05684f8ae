#include "gateway/request.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/text.h"
#include "gateway/audit.h"
#include "gateway/gateway_internal.h"
#include "gateway/s3_xml.h"
#include "gateway/sts.h"

static const struct s3_operation operations[] = {{"-", S3_BODY_NONE, NULL},
#define X(op, body, handler) {#op, S3_BODY_##body, handler},
                                                 S3_OPS_TABLE(X)
#undef X
};

const struct s3_operation *s3_operation(enum s3_op op)
{
    CHECK(op < S3_OPS_COUNT);
    return &operations[op];
}

const char *request_header(const struct request *r, const char *name)
{
    for (size_t i = 0; i < r->header_count; i++) {
        if (strcasecmp(r->headers[i].name, name) == 0) {
            return r->headers[i].value;
        }
    }
    return NULL;
}

const char *request_param(const struct request *r, const char *name)
{
    for (size_t i = 0; i < r->param_count; i++) {
        if (strcmp(r->params[i].name, name) == 0) {
            return r->params[i].value;
        }
    }
    return NULL;
}

bool request_param_u64(struct request *r, const char *name, uint64_t deflt,
                       uint64_t min, uint64_t max, uint64_t *out)
{
    const char *text = request_param(r, name);
    uint64_t v = deflt;

    if (text != NULL && text[0] != '\0') {
        if (!text_u64(text, &v) || v < min || v > max) {
            reply_error(r, S3_InvalidArgument,
                        "%s must be an integer between %llu and %llu", name,
                        (unsigned long long)min, (unsigned long long)max);
            return false;
        }
    }
    *out = v;
    return true;
}

bool request_upload_id(struct request *r, uint8_t out[META_UPLOAD_ID])
{
    const char *text = request_param(r, "uploadId");

    if (text == NULL || !text_unhex(text, strlen(text), out, META_UPLOAD_ID)) {
        reply_error(r, S3_NoSuchUpload, NULL);
        return false;
    }
    return true;
}

void reply(struct request *r, int status)
{
    CHECK(!r->replied);
    r->replied = true;
    r->status = status;
}

void reply_header(struct request *r, const char *name, const char *fmt, ...)
{
    va_list ap;

    buf_append(&r->reply_headers, name, strlen(name) + 1);
    va_start(ap, fmt);
    buf_vprintf(&r->reply_headers, fmt, ap);
    va_end(ap);
    buf_append(&r->reply_headers, "", 1);
}

void reply_json(struct request *r)
{
    reply(r, 200);
    reply_header(r, "Content-Type", "application/json");
}

static void begin_xml(struct request *r)
{
    reply_header(r, "Content-Type", "application/xml");
    buf_str(&r->reply_body, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
}

struct buf *reply_xml(struct request *r, int status, const char *root)
{
    reply(r, status);
    begin_xml(r);
    buf_printf(&r->reply_body,
               "<%s xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">", root);
    return &r->reply_body;
}

struct buf *reply_document(struct request *r, int status)
{
    reply(r, status);
    begin_xml(r);
    return &r->reply_body;
}

static bool is_sts(enum s3_op op)
{
    return op == S3_OP_Sts || op == S3_OP_AssumeRole ||
           op == S3_OP_GetSessionToken || op == S3_OP_GetCallerIdentity;
}

static void reply_error_text(struct request *r, enum s3_error e,
                             const char *message)
{
    struct buf *b = &r->reply_body;
    int status = s3_error_status(e);

    r->error = e;
    if (r->err.text[0] == '\0') {
        err_set(&r->err, 0, "%s", message);
    }
    if (is_sts(r->op)) {
        sts_reply_error(r, e, message);
        return;
    }
    reply(r, status);
    if (status == 304 || strcmp(r->method, "HEAD") == 0) {
        return;
    }
    buf_clear(b);
    begin_xml(r);
    xml_open(b, "Error");
    xml_text(b, "Code", s3_error_code(e));
    xml_text(b, "Message", message);
    if (r->bucket[0] != '\0') {
        xml_text(b, "BucketName", r->bucket);
    }
    if (r->key != NULL) {
        xml_text(b, "Key", r->key);
    }
    xml_text(b, "Resource", r->path != NULL ? r->path : "");
    xml_text(b, "RequestId", r->id);
    xml_close(b, "Error");
}

void reply_error(struct request *r, enum s3_error e, const char *fmt, ...)
{
    char message[ERR_TEXT_SIZE];
    va_list ap;

    if (fmt == NULL) {
        reply_error_text(r, e, s3_error_message(e));
        return;
    }
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    reply_error_text(r, e, message);
}

void reply_err(struct request *r, int code, const struct err *err)
{
    enum s3_error e = s3_error_of(code);
    const char *message = s3_error_message(e);

    if (err != NULL) {
        r->err = *err;
        /* What the client did wrong it is told; what is wrong inside is for
         * the log. */
        if (code == ERR_BAD_INPUT || code == ERR_MISMATCH || code == ERR_FULL ||
            code == ERR_UNSUPPORTED || code == ERR_UNAVAILABLE) {
            message = err->text;
        }
    }
    if (code == ERR_NO_LOCK) {
        message = "Bucket is missing Object Lock Configuration";
    } else if (code == ERR_RETAINED) {
        r->rule = AUDIT_BY_LOCK;
        message = "Access Denied because object protected by object lock.";
    }
    reply_error_text(r, e, message);
}

static void run_work(struct work *w)
{
    struct request *r = LIST_OF(w, struct request, work);

    CHECK_OBJ(r, REQUEST_MAGIC);
    r->work_fn(r);
}

void request_in_worker(struct request *r, void (*fn)(struct request *r))
{
    r->work_fn = fn;
    r->work.fn = run_work;
    if (!workers_run(r->gateway->workers, &r->work)) {
        reply_error(r, S3_SlowDown, "too many requests wait for a worker");
        request_done(r);
    }
}

static void proposal_done(struct meta_proposal *p)
{
    struct request *r = LIST_OF(p, struct request, proposal);

    CHECK_OBJ(r, REQUEST_MAGIC);
    r->work_fn(r);
}

int request_propose_wait(struct request *r, struct meta_proposal *p,
                         struct err *err)
{
    audit_say_who(r);
    return meta_propose_wait(r->gateway->meta, &r->command, p, err);
}

void request_propose(struct request *r, void (*then)(struct request *r))
{
    r->work_fn = then;
    r->proposal.command = r->command.data;
    r->proposal.command_len = r->command.len;
    r->proposal.done = proposal_done;
    meta_propose(r->gateway->meta, &r->proposal);
}
