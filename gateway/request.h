/* request.h: one HTTP request, from its first header to its last byte.
 *
 * Lifetime:  headers -> (body) -> handling -> replied -> freed
 *
 * http.c makes it when a request line has come and frees it when the last byte
 * of the answer is gone. A handler (s3_ops.h) reads the fields under "asked"
 * and calls the reply_* functions; exactly one reply is made, and request_done
 * follows when the handler did not run to its end on the spot. Headers and
 * parameters stay valid until the request is freed.
 *
 * Threads: the request belongs to its I/O loop; while it is suspended (handed
 * to a worker or waiting for a proposal) it belongs to who has it, and comes
 * back by request_done, which any thread may call.
 */
#ifndef GODWIT_GATEWAY_REQUEST_H
#define GODWIT_GATEWAY_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/workers.h"
#include "crypto/sigv4.h"
#include "gateway/s3_error.h"
#include "gateway/s3_ops.h"
#include "meta/meta.h"

struct access_bucket;
struct access_user;
struct MHD_Connection;
struct MHD_Response;
struct gateway;
struct http_connection;
struct http_loop;
struct s3_upload;
struct session;

#define REQUEST_MAGIC 0x47525131u
#define REQUEST_HEADERS_MAX 128
#define REQUEST_HEADER_BYTES_MAX                 \
    (16 << 10) /* names and values, with the URI \
                */
#define REQUEST_PARAMS_MAX 64
#define REQUEST_DOCUMENT_MAX                        \
    (4 << 20) /* a 10,000 part completion is 2.5 MB \
               */
#define REQUEST_ID_HEX 16

struct request_param {
    char *name;  /* decoded */
    char *value; /* decoded; "" when there was no '=' */
};

struct request {
    uint32_t magic;
    struct gateway *gateway;
    struct http_loop *http; /* the loop that owns this request */
    struct MHD_Connection *connection;

    /* asked */
    char id[REQUEST_ID_HEX + 1];
    uint64_t time_ms; /* when it came; the time that commands carry */
    uint64_t start_us;
    uint64_t answer_us; /* when the answer was made; 0: not yet */
    char *uri;          /* raw, as sent */
    const char *method;
    char *path;  /* raw, without the query */
    char *query; /* raw, without '?'; "" for none */
    struct sigv4_header headers[REQUEST_HEADERS_MAX];
    size_t header_count;
    struct request_param params[REQUEST_PARAMS_MAX];
    size_t param_count;
    enum s3_op op;
    char bucket[META_BUCKET_MAX + 1]; /* "" for none */
    char *key;                        /* decoded; NULL for none */
    struct sigv4_auth auth;
    struct access_user *user;     /* who asks; NULL: nobody knows */
    struct session *session;      /* by temporary credentials; NULL: by a key */
    struct access_bucket *target; /* of s3_authorize; NULL: none, or unknown */
    char peer[46];                /* address that it came from; "": unknown */
    bool recheck;         /* to be authorized again, on a worker: s3_access.c */
    enum audit_rule rule; /* that let it be done, or did not */
    uint8_t audit_level;  /* that its bucket asks for, of enum audit_level */
    unsigned consent;     /* who lets it be done, of enum s3_consent */
    uint8_t signing_key[32];
    uint64_t content_length; /* of the HTTP body; 0 when there is none */
    bool has_length;
    bool is_private;          /* nobody between can read it: TLS, or loopback */
    bool chunked;             /* Transfer-Encoding: chunked */
    struct buf document;      /* of XML operations */
    struct s3_upload *upload; /* of OBJECT operations */

    /* replied */
    bool replied;
    bool audited;   /* audit.h */
    bool cors_done; /* s3_cors.h: nothing is left to add */
    int status;
    enum s3_error error;      /* S3_OK when it went well */
    struct buf reply_headers; /* name NUL value NUL ... */
    struct buf reply_body;
    struct MHD_Response *response; /* made by the handler instead of
                                      reply_body; taken by http.c */
    bool is_head;                  /* no body, but the length of one: */
    uint64_t head_bytes;
    bool close;     /* end the connection after the reply */
    struct err err; /* for the log; may hold more than the client sees */
    uint64_t bytes_in, bytes_out;

    /* for handlers */
    struct meta_proposal proposal;
    struct buf command;
    void *stream; /* of http_stream.c; freed with the request, before state */
    void (*stream_free)(void *stream);
    void *state; /* of the handler; freed by @state_free when not NULL */
    void (*state_free)(void *state);

    /* of request.c and http.c */
    struct work work;
    void (*work_fn)(struct request *r);
    struct loop_call call;
    struct http_connection *conn; /* NULL once it is gone */
    unsigned holds;               /* loop: who may still touch this struct */
    bool suspended;               /* loop */
    bool started;                 /* loop: the operation was begun */
    bool body_done;               /* loop */
    bool answered;                /* loop: the reply is made and may be sent */
    bool sending;                 /* loop: the reply was given to MHD */
    uint64_t drained;             /* body bytes thrown away after a refusal */
    uint64_t rate_mark_us, rate_bytes; /* for the minimum rate */
    struct list_node node;             /* in http.c's list of requests */
    const struct s3_tags *tags;        /* of the body, while they are judged */
    const struct s3_tags *existing;    /* the object's, while they are */
};

/* ---- asked ---- */

/* The value of a header by lower-case or any-case name; NULL when missing. */
const char *request_header(const struct request *r, const char *name);
/* The decoded value of a query parameter; NULL when missing. */
const char *request_param(const struct request *r, const char *name);
/* A number parameter within bounds: missing gives @deflt; false (and a reply
 * of InvalidArgument was made) when it is malformed or out of bounds. */
bool request_param_u64(struct request *r, const char *name, uint64_t deflt,
                       uint64_t min, uint64_t max, uint64_t *out);
/* The upload id of ?uploadId=; false (NoSuchUpload was replied) when it is
 * not one. */
bool request_upload_id(struct request *r, uint8_t out[META_UPLOAD_ID]);

/* ---- replied ---- */

/* Success: status, then headers and body with the functions below. */
void reply(struct request *r, int status);
void reply_header(struct request *r, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* 200, with JSON to come in r->reply_body. */
void reply_json(struct request *r);
/* Begin an XML body in r->reply_body and return it: declaration and open root
 * element with S3's namespace. */
struct buf *reply_xml(struct request *r, int status, const char *root);
/* As reply_xml, with the declaration alone. */
struct buf *reply_document(struct request *r, int status);
/* An S3 error; @fmt NULL: the table's message. */
void reply_error(struct request *r, enum s3_error e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The S3 error of an ERR_* code with what @err says, as far as a client may
 * see it. */
void reply_err(struct request *r, int code, const struct err *err);

/* ---- moving ---- */

/* Go on in @fn on a worker; the handler returns at once after this. Replies
 * SlowDown by itself when the workers' queue is full. */
void request_in_worker(struct request *r, void (*fn)(struct request *r));
/* Propose r->command, which says who has it proposed, and wait; the status.
 * For what changes who may what: for apply's entry in the audit log. @p may be
 * NULL. */
int request_propose_wait(struct request *r, struct meta_proposal *p,
                         struct err *err);
/* Propose r->command; @then runs on the catalogue's thread with r->proposal
 * answered: it replies and must be quick. The handler returns at once after
 * this. */
void request_propose(struct request *r, void (*then)(struct request *r));
/* The reply is made: send it. Any thread; the last call on @r. Handlers of the
 * kinds NONE and XML need not call it: it is done for them on return, unless
 * they proposed. */
void request_done(struct request *r);

#endif
