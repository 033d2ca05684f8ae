/* HTTP by libmicrohttpd: external epoll mode, one daemon for each I/O loop.
 *
 * The loop is ours and never blocks. MHD is lenient where S3 must be strict,
 * so what it lets pass is refused here: see http_judge.c. In 0.9.75
 * MHD_get_timeout ignores a pending resume, so MHD_run follows every
 * MHD_resume_connection. A response can be queued at the first call or after
 * the whole body, not in between: a request that fails in mid-body is drained
 * (up to DRAIN_MAX) and answered then.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/rng.h"
#include "base/text.h"
#include "gateway/access.h"
#include "gateway/audit.h"
#include "gateway/edge_auth.h"
#include "gateway/gateway_internal.h"
#include "gateway/http_internal.h"
#include "gateway/request.h"
#include "gateway/s3_access.h"
#include "gateway/s3_cors.h"
#include "gateway/s3_upload.h"
#include "gateway/server_log.h"
#include "gateway/session.h"
#include "gateway/tls_auto.h"

#define LOOPS_MAX 64
/* Zeroed by MHD at each request; 1,000 query parameters must fit, so that they
 * are refused with an answer. */
#define CONNECTION_MEMORY ((size_t)96 << 10)
#define DRAIN_MAX ((uint64_t)64 << 20) /* of a body that was refused */
#define DRAIN_EARLY_MAX ((uint64_t)64 << 10)
#define TICK_MS 1000
#define TLS_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"
#define OPTIONS_TLS 4
#define SEND_NOTHING 1
#define PEM_MAX ((size_t)1 << 20)

struct http {
    struct gateway *gateway;
    struct http_loop *loops[LOOPS_MAX];
    unsigned count;
    char *address;
    struct buf cert, key;
    unsigned started;
    atomic_uint open; /* connections */
};

/* ---- metrics ---- */

static struct metric *requests_ok[S3_OPS_COUNT];
static struct metric *requests_client[S3_OPS_COUNT];
static struct metric *requests_server[S3_OPS_COUNT];
static struct metric_histogram *seconds[S3_OPS_COUNT];
static struct metric *bytes_in, *bytes_out, *connections;

static void register_metrics(void)
{
    for (int op = 0; op < S3_OPS_COUNT; op++) {
        const char *name = s3_operation((enum s3_op)op)->name;
        const char *help = "Requests answered, by operation and outcome.";
        requests_ok[op] =
            metric_counter("godwit_requests_total",
                           mem_printf("op=\"%s\",outcome=\"ok\"", name), help);
        requests_client[op] = metric_counter(
            "godwit_requests_total",
            mem_printf("op=\"%s\",outcome=\"client_error\"", name), help);
        requests_server[op] = metric_counter(
            "godwit_requests_total",
            mem_printf("op=\"%s\",outcome=\"server_error\"", name), help);
        seconds[op] = metric_histogram(
            "godwit_request_seconds", mem_printf("op=\"%s\"", name),
            "Time from the first header to the last byte.");
    }
    bytes_in = metric_counter("godwit_received_bytes_total", NULL,
                              "Bytes of bodies received.");
    bytes_out = metric_counter("godwit_sent_bytes_total", NULL,
                               "Bytes of bodies sent.");
    connections =
        metric_gauge("godwit_connections", NULL, "Connections open now.");
}

/* ---- requests ---- */

/* Unique, and no secret: a random start and a count for each loop. */
static uint64_t next_id(struct http_loop *l)
{
    if (l->next_id == 0) {
        l->next_id = rng_u64() | 1;
    }
    return l->next_id += 0x9e3779b97f4a7c16u; /* even: never 0 */
}

static struct request *request_new(struct http_loop *l, const char *uri)
{
    struct request *r = mem_alloc(sizeof *r);
    char *mark;
    uint64_t id = next_id(l);

    r->magic = REQUEST_MAGIC;
    r->gateway = l->http->gateway;
    r->http = l;
    r->time_ms = clock_real_ms();
    r->start_us = clock_mono_us();
    r->rate_mark_us = r->start_us;
    text_hex(&id, sizeof id, r->id);
    r->uri = mem_strdup(uri);
    r->path = mem_strdup(uri);
    mark = strchr(r->path, '?');
    if (mark != NULL) {
        *mark = '\0';
        r->query = mark + 1;
    } else {
        r->query = r->path + strlen(r->path);
    }
    r->holds = 1;
    list_push(&l->requests, &r->node);
    return r;
}

static void request_free(struct request *r)
{
    list_remove(&r->node);
    if (r->response != NULL) { /* the client went before it was queued */
        MHD_destroy_response(r->response);
    }
    if (r->stream_free != NULL) {
        r->stream_free(r->stream);
    }
    if (r->state_free != NULL) {
        r->state_free(r->state);
    }
    s3_upload_free(r->upload);
    access_user_free(r->user);
    session_free(r->session);
    access_bucket_free(r->target);
    for (size_t i = 0; i < r->param_count; i++) {
        free(r->params[i].name);
        free(r->params[i].value);
    }
    free(r->uri);
    free(r->path);
    free(r->key);
    buf_free(&r->document);
    buf_free(&r->reply_headers);
    buf_free(&r->reply_body);
    buf_free(&r->command);
    r->magic = 0;
    free(r);
}

void request_hold(struct request *r)
{
    CHECK_ON_LOOP(r->http->loop);
    r->holds++;
}

void request_release(struct request *r)
{
    CHECK_ON_LOOP(r->http->loop);
    CHECK(r->holds > 0);
    if (--r->holds == 0) {
        request_free(r);
    }
}

void request_suspend(struct request *r)
{
    CHECK_ON_LOOP(r->http->loop);
    CHECK(!r->suspended);
    r->suspended = true;
    MHD_suspend_connection(r->connection);
}

void request_resume(struct request *r)
{
    CHECK_ON_LOOP(r->http->loop);
    CHECK(r->suspended);
    r->suspended = false;
    r->rate_mark_us = clock_mono_us();
    r->rate_bytes = 0;
    MHD_resume_connection(r->connection);
    r->http->run_owed = true;
}

/* ---- answering ---- */

static void add_headers(struct request *r, struct MHD_Response *response)
{
    const char *p = (const char *)r->reply_headers.data;
    size_t left = r->reply_headers.len;

    while (left > 0) {
        const char *name = p;
        const char *value = name + strlen(name) + 1;
        size_t used = (size_t)(value - p) + strlen(value) + 1;
        MHD_add_response_header(response, name, value);
        p += used;
        left -= used;
    }
    MHD_add_response_header(response, "x-amz-request-id", r->id);
    MHD_add_response_header(response, "Server", "Godwit");
    if (r->close) {
        MHD_add_response_header(response, "Connection", "close");
    }
}

/* HEAD has the length of a body that is never asked for. */
static ssize_t read_nothing(void *cls, uint64_t pos, char *out, size_t max)
{
    (void)cls;
    (void)pos;
    (void)out;
    (void)max;
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

static enum MHD_Result send_reply(struct request *r)
{
    struct MHD_Response *response = r->response;
    enum MHD_Result rc;

    CHECK(r->replied);
    audit_reply(r);
    r->answer_us = clock_mono_us();
    if (response == NULL && r->is_head) {
        response = MHD_create_response_from_callback(
            r->head_bytes, SEND_NOTHING, read_nothing, NULL, NULL);
        CHECK(response != NULL);
    }
    if (response == NULL) {
        size_t len;
        uint8_t *data = buf_take(&r->reply_body, &len);
        r->bytes_out += len;
        response =
            MHD_create_response_from_buffer(len, data, MHD_RESPMEM_MUST_FREE);
        CHECK(response != NULL);
    }
    r->response = NULL;
    r->sending = true;
    add_headers(r, response);
    rc = MHD_queue_response(r->connection, (unsigned)r->status, response);
    MHD_destroy_response(response);
    return rc;
}

static void on_done(struct loop_call *call)
{
    struct request *r = LIST_OF(call, struct request, call);

    CHECK_OBJ(r, REQUEST_MAGIC);
    r->answered = true;
    if (r->suspended) {
        request_resume(r);
    }
}

static void post_done(struct request *r)
{
    r->call.fn = on_done;
    loop_post(r->http->loop, &r->call);
}

static void cors_in_worker(struct work *w)
{
    struct request *r = LIST_OF(w, struct request, work);

    CHECK_OBJ(r, REQUEST_MAGIC);
    s3_cors_answer(r);
    post_done(r);
}

/* Answers to pages of other origins say more, as the bucket's rules tell. In a
 * cluster to ask for them is work for a worker; true: one has the request. An
 * answer that the loop itself made there goes out as it is. */
static bool cors_takes(struct request *r, bool on_the_spot)
{
    if (r->gateway->cluster == NULL) {
        s3_cors_answer(r);
        return false;
    }
    if (on_the_spot || r->cors_done || request_header(r, "origin") == NULL) {
        return false;
    }
    r->work.fn = cors_in_worker;
    return workers_run(r->gateway->workers, &r->work);
}

void request_done(struct request *r)
{
    bool on_the_spot = loop_is_owner(r->http->loop) && !r->suspended;

    CHECK(r->replied);
    if (cors_takes(r, on_the_spot)) {
        return;
    }
    if (on_the_spot) {
        r->answered = true;
        return;
    }
    post_done(r);
}

static void handle_in_worker(struct request *r)
{
    enum s3_body body = s3_operation(r->op)->body;
    struct err err = {{0}};
    int rc;

    if (r->recheck) {
        rc = meta_barrier(r->gateway->meta, &err);
        if (rc != 0) {
            reply_err(r, rc, &err);
        }
        if (rc != 0 || !s3_authorize(r)) {
            request_done(r);
            return;
        }
    }
    if (body == S3_BODY_XML && !s3_check_document(r)) {
        request_done(r);
        return;
    }
    s3_operation(r->op)->handler(r);
    if (body != S3_BODY_FAST && r->replied) { /* FAST is done, and gone */
        request_done(r);
    }
}

bool request_on_loop(const struct request *r)
{
    return r->http != NULL && loop_is_owner(r->http->loop);
}

void request_handle(struct request *r)
{
    s3_operation(r->op)->handler(r);
}

/* The body is complete: run the operation, on the spot or on a worker. */
static void start_operation(struct request *r)
{
    r->started = true;
    switch (s3_operation(r->op)->body) {
        case S3_BODY_OBJECT:
            s3_upload_end(r);
            break;
        case S3_BODY_FAST:
            if (r->gateway->cluster != NULL && r->op != S3_OP_Live &&
                r->op != S3_OP_Ready) {
                request_in_worker(r, handle_in_worker);
            } else {
                request_handle(r);
            }
            break;
        default:
            request_in_worker(r, handle_in_worker);
    }
    if (!r->suspended && !r->answered) {
        request_suspend(r);
    }
}

static enum MHD_Result take_body(struct request *r, const char *data,
                                 size_t *len)
{
    size_t given = *len;

    if (r->answered) {
        r->drained += given;
        *len = 0;
        return r->drained <= DRAIN_MAX ? MHD_YES : MHD_NO;
    }
    switch (s3_operation(r->op)->body) {
        case S3_BODY_OBJECT:
            s3_upload_data(r, data, len);
            break;
        case S3_BODY_XML:
            buf_append(&r->document, data, given);
            *len = 0;
            break;
        default:
            *len = 0; /* no operation reads it */
    }
    r->bytes_in += given - *len;
    r->rate_bytes += given - *len;
    return MHD_YES;
}

static void note_peer(struct request *r)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        r->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *a = info != NULL ? info->client_addr : NULL;
    const void *address = NULL;

    if (a != NULL && a->sa_family == AF_INET) {
        address = &((const struct sockaddr_in *)(const void *)a)->sin_addr;
    } else if (a != NULL && a->sa_family == AF_INET6) {
        address = &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
    }
    if (address != NULL) {
        inet_ntop(a->sa_family, address, r->peer, sizeof r->peer);
    }
}

static enum MHD_Result first_call(struct request *r)
{
    const char *expect;

    note_peer(r);

    if (http_judge_headers(r)) {
        return MHD_YES;
    }
    r->answered = true;
    if (r->gateway->cluster == NULL && atomic_load(&r->gateway->ready)) {
        s3_cors_answer(r);
    }
    expect = request_header(r, "expect");
    if (r->content_length == 0 && r->error != S3_BadRequest &&
        request_header(r, "transfer-encoding") == NULL) {
        return MHD_YES; /* answered at the second call, connection kept */
    }
    if (expect == NULL && r->has_length &&
        r->content_length <= DRAIN_EARLY_MAX) {
        return MHD_YES; /* drain, then answer */
    }
    r->close = true;
    return send_reply(r);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection,
                                  const char *url, const char *method,
                                  const char *version, const char *data,
                                  size_t *len, void **con_cls)
{
    struct request *r = *con_cls;

    (void)cls;
    (void)url;
    (void)version;
    CHECK_OBJ(r, REQUEST_MAGIC);
    if (r->method == NULL) {
        r->connection = connection;
        r->method = method;
        return first_call(r);
    }
    if (*len > 0) {
        return take_body(r, data, len);
    }
    r->body_done = true;
    if (!r->started && !r->answered) {
        start_operation(r);
    }
    if (r->answered && !r->suspended) {
        return send_reply(r);
    }
    return MHD_YES;
}

/* A request line whose headers never came, or could not be parsed, is not told
 * as completed: it goes with its connection, or with the next request. */
static void forget_request(struct http_connection *conn)
{
    struct request *r = conn->request;

    if (r != NULL) {
        CHECK_OBJ(r, REQUEST_MAGIC);
        conn->request = NULL;
        r->conn = NULL;
        r->connection = NULL;
        request_release(r);
    }
}

static void *on_uri(void *cls, const char *uri, struct MHD_Connection *c)
{
    struct http_loop *l = cls;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct request *r = request_new(l, uri);

    if (info != NULL && info->socket_context != NULL) {
        struct http_connection *conn = info->socket_context;
        forget_request(conn);
        conn->request = r;
        r->conn = conn;
    }
    return r;
}

static void log_request(const struct request *r)
{
    enum log_level level =
        r->status >= 500 && r->status != 501 && r->op != S3_OP_Ready
            ? LOG_WARN
            : LOG_DEBUG;
    char status[16], us[24];

    if (!log_enabled(level)) {
        return;
    }
    snprintf(status, sizeof status, "%d", r->status);
    snprintf(us, sizeof us, "%llu",
             (unsigned long long)(clock_mono_us() - r->start_us));
    log_line(level, "request", "req", r->id, "op", s3_operation(r->op)->name,
             "method", r->method != NULL ? r->method : "-", "path", r->path,
             "status", status, "us", us, "code",
             r->error != S3_OK ? s3_error_code(r->error) : "-", "err",
             r->err.text[0] != '\0' ? r->err.text : "-", NULL);
}

static void on_completed(void *cls, struct MHD_Connection *c, void **con_cls,
                         enum MHD_RequestTerminationCode code)
{
    struct request *r = *con_cls;

    (void)cls;
    (void)c;
    (void)code;
    if (r == NULL) {
        return;
    }
    CHECK_OBJ(r, REQUEST_MAGIC);
    *con_cls = NULL;
    if (r->conn != NULL) {
        r->conn->request = NULL;
        r->conn->since_us = clock_mono_us();
    }
    if (r->replied) {
        struct metric **row = r->status >= 500   ? requests_server
                              : r->status >= 400 ? requests_client
                                                 : requests_ok;
        metric_add(row[r->op], 1);
        metric_observe_us(seconds[r->op], clock_mono_us() - r->start_us);
        metric_add(bytes_in, r->bytes_in);
        metric_add(bytes_out, r->bytes_out);
        log_request(r);
        server_logs_request(r);
        audit_reply(r); /* it was done, though nobody waited for the answer */
    }
    r->connection = NULL;
    request_release(r);
}

/* ---- connections and their deadlines ---- */

static void on_connection(void *cls, struct MHD_Connection *c,
                          void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http_loop *l = cls;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        struct http_connection *conn = mem_alloc(sizeof *conn);
        conn->connection = c;
        conn->since_us = clock_mono_us();
        list_push(&l->connections, &conn->node);
        *socket_context = conn;
        metric_set(connections,
                   (int64_t)atomic_fetch_add(&l->http->open, 1) + 1);
    } else if (*socket_context != NULL) {
        struct http_connection *conn = *socket_context;
        forget_request(conn);
        list_remove(&conn->node);
        edge_peer_free(conn->peer);
        free(conn);
        *socket_context = NULL;
        metric_set(connections,
                   (int64_t)atomic_fetch_sub(&l->http->open, 1) - 1);
    }
}

static int socket_of(const struct http_connection *conn)
{
    return MHD_get_connection_info(conn->connection,
                                   MHD_CONNECTION_INFO_CONNECTION_FD)
        ->connect_fd;
}

/* Did the client go, while we wait for a request or the rest of one? MHD 0.9.75
 * polls by edges and forgets one when the last bytes and the end come together.
 */
static bool is_gone(const struct http_connection *conn)
{
    const struct request *r = conn->request;
    char byte;

    return (r == NULL || !(r->suspended || r->body_done || r->sending)) &&
           recv(socket_of(conn), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* Too slow? Headers and idle connections have a deadline; bodies, in and out,
 * a minimum rate over body_timeout. */
static bool is_overdue(struct http_connection *conn, uint64_t now_us,
                       const struct server_options *o)
{
    struct request *r = conn->request;
    uint64_t window_us;

    if (r == NULL || r->method == NULL) {
        uint64_t since = r != NULL && r->start_us < conn->since_us
                             ? r->start_us
                             : conn->since_us;
        return now_us - since > o->header_timeout_ms * 1000;
    }
    if (r->suspended || (r->body_done && !r->sending)) {
        return false;
    }
    window_us = now_us - r->rate_mark_us;
    if (window_us < o->body_timeout_ms * 1000) {
        return false;
    }
    if (r->rate_bytes < o->body_rate_bytes * (window_us / 1000000)) {
        return true;
    }
    r->rate_mark_us = now_us;
    r->rate_bytes = 0;
    return false;
}

static void on_tick(struct loop_timer *t)
{
    struct http_loop *l = LIST_OF(t, struct http_loop, tick);
    const struct server_options *o = l->http->gateway->options;
    uint64_t now = clock_mono_us();

    LIST_EACH_SAFE (node, &l->connections) {
        struct http_connection *conn =
            LIST_OF(node, struct http_connection, node);
        if (is_overdue(conn, now, o) || is_gone(conn)) {
            shutdown(socket_of(conn), SHUT_RDWR);
        }
    }
    loop_timer_set(l->loop, t, l->tick_ms);
}

/* ---- loops ---- */

static void on_mhd(struct loop_fd *f, uint32_t events)
{
    struct http_loop *l = LIST_OF(f, struct http_loop, mhd_fd);

    (void)events;
    MHD_run(l->daemon);
}

/* MHD is run when its descriptor is ready, after a resume, and when it says
 * that it has work left (a timeout of zero), which no descriptor shows. */
static void before_wait(void *arg, int *timeout_ms)
{
    struct http_loop *l = arg;
    MHD_UNSIGNED_LONG_LONG wait;

    while (l->run_owed) {
        l->run_owed = false;
        MHD_run(l->daemon);
    }
    if (MHD_get_timeout(l->daemon, &wait) == MHD_YES &&
        (*timeout_ms < 0 || wait < (unsigned)*timeout_ms)) {
        *timeout_ms = (int)wait;
        l->run_owed = wait == 0;
    }
}

static void *loop_main(void *arg)
{
    struct http_loop *l = arg;

    loop_timer_set(l->loop, &l->tick, l->tick_ms);
    loop_run(l->loop, before_wait, l);
    return NULL;
}

static void on_mhd_log(void *cls, const char *fmt, va_list ap)
{
    char text[256];

    (void)cls;
    if (log_enabled(LOG_DEBUG)) {
        vsnprintf(text, sizeof text, fmt, ap);
        text[strcspn(text, "\n")] = '\0';
        log_line(LOG_DEBUG, "http", "note", text, NULL);
    }
}

/* What makes it https: at most OPTIONS_TLS. */
static void tls_options(const struct http *h, struct MHD_OptionItem *out)
{
    struct gateway *g = h->gateway;

    if (g->tls != NULL) {
        *out++ = (struct MHD_OptionItem){MHD_OPTION_HTTPS_CERT_CALLBACK, 0,
                                         tls_auto_callback()};
        /* Asks who connects for a certificate, which need not come. */
        *out++ = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_TRUST, 0,
                                         tls_auto_ca(g->tls)->data};
    } else if (h->cert.len > 0) {
        *out++ =
            (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, h->cert.data};
        *out++ =
            (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, h->key.data};
    }
    if (gateway_is_https(g)) {
        *out++ = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0,
                                         TLS_PRIORITIES};
    }
    *out = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
}

static int loop_start(struct http *h, const struct sockaddr *address,
                      struct http_loop **out, struct err *err)
{
    const struct server_options *o = h->gateway->options;
    struct http_loop *l = mem_alloc(sizeof *l);
    unsigned limit = (unsigned)(o->connections / h->count + 1);
    unsigned flags = MHD_USE_EPOLL | MHD_USE_TURBO | MHD_USE_ERROR_LOG |
                     MHD_ALLOW_SUSPEND_RESUME |
                     (address->sa_family == AF_INET6 ? MHD_USE_IPv6 : 0) |
                     (gateway_is_https(h->gateway) ? MHD_USE_TLS : 0);
    struct MHD_OptionItem tls[OPTIONS_TLS];

    tls_options(h, tls);
    l->http = h;
    list_init(&l->requests);
    list_init(&l->connections);
    l->tick_ms = o->header_timeout_ms / 4 < TICK_MS
                     ? o->header_timeout_ms / 4 + 10
                     : TICK_MS;
    loop_timer_init(&l->tick, on_tick);
    errno = 0;
    l->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, l, MHD_OPTION_EXTERNAL_LOGGER,
        on_mhd_log, NULL, MHD_OPTION_SOCK_ADDR, address,
        MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
        MHD_OPTION_CONNECTION_MEMORY_INCREMENT, CONNECTION_MEMORY / 2,
        MHD_OPTION_CONNECTION_LIMIT, limit, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        (unsigned)o->connections_per_ip, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_URI_LOG_CALLBACK, on_uri, l, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, l, MHD_OPTION_NOTIFY_CONNECTION, on_connection, l,
        MHD_OPTION_LISTEN_BACKLOG_SIZE, 1024u, MHD_OPTION_ARRAY, tls,
        MHD_OPTION_END);
    if (l->daemon == NULL) {
        free(l);
        if (errno == 0 && o->tls_cert != NULL) {
            return err_set(err, ERR_BAD_INPUT,
                           "tls-cert %s, tls-key %s: not a certificate and "
                           "its key in PEM",
                           o->tls_cert, o->tls_key);
        }
        return err_errno(err, "listen on %s", o->listen);
    }
    l->loop = loop_new();
    l->mhd_fd.fd =
        MHD_get_daemon_info(l->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    l->mhd_fd.fn = on_mhd;
    loop_add_fd(l->loop, &l->mhd_fd, EPOLLIN);
    *out = l;
    return 0;
}

/* "127.0.0.1:9000", "[::1]:9000", "host:9000". */
static int resolve(const char *listen, struct sockaddr_storage *out,
                   socklen_t *len, struct err *err)
{
    const char *colon = strrchr(listen, ':');
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    char *host;
    size_t host_len;
    int rc;

    if (colon == NULL) {
        return err_set(err, ERR_BAD_INPUT, "listen: %s is not ADDR:PORT",
                       listen);
    }
    host_len = (size_t)(colon - listen);
    if (host_len >= 2 && listen[0] == '[' && colon[-1] == ']') {
        host = mem_strndup(listen + 1, host_len - 2);
    } else {
        host = mem_strndup(listen, host_len);
    }
    rc = getaddrinfo(host[0] != '\0' ? host : NULL, colon + 1, &hints, &found);
    free(host);
    if (rc != 0) {
        return err_set(err, ERR_BAD_INPUT, "listen: %s: %s", listen,
                       gai_strerror(rc));
    }
    memcpy(out, found->ai_addr, found->ai_addrlen);
    *len = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

/* With port 0 all loops must share the port that the first one got. */
static void learn_address(struct http *h, struct sockaddr_storage *address)
{
    int fd =
        (int)MHD_get_daemon_info(h->loops[0]->daemon, MHD_DAEMON_INFO_LISTEN_FD)
            ->listen_fd;
    socklen_t len = sizeof *address;
    char host[NI_MAXHOST], port[NI_MAXSERV];

    CHECK(getsockname(fd, (struct sockaddr *)address, &len) == 0);
    CHECK(getnameinfo((struct sockaddr *)address, len, host, sizeof host, port,
                      sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) == 0);
    h->address = mem_printf(
        address->ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* SO_REUSEPORT lets a second server share the port in silence: see that nobody
 * answers there first. */
static int check_port_free(const struct sockaddr_storage *address,
                           socklen_t len, const char *where, struct err *err)
{
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    int rc = 0;

    if (fd < 0) {
        return err_errno(err, "socket");
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)address, len) != 0 ||
        listen(fd, 1) != 0) {
        rc = err_errno(err, "listen on %s", where);
    }
    close(fd);
    return rc;
}

static int load_pem(const char *path, const char *field, struct buf *out,
                    struct err *err)
{
    int rc = fs_read(path, PEM_MAX, out, err);

    if (rc != 0) {
        return err_wrap(err, rc, "%s", field);
    }
    buf_char(out, '\0');
    return 0;
}

int http_check_address(const struct gateway *g, struct err *err)
{
    struct sockaddr_storage address = {0};
    socklen_t len = 0;
    int rc = resolve(g->options->listen, &address, &len, err);

    return rc != 0 ? rc
                   : check_port_free(&address, len, g->options->listen, err);
}

int http_start(struct gateway *g, struct http **out, struct err *err)
{
    const struct server_options *o = g->options;
    struct http *h = mem_alloc(sizeof *h);
    struct sockaddr_storage address = {0};
    socklen_t len = 0;
    unsigned want = o->io_threads > 0 ? (unsigned)o->io_threads
                                      : (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    int rc;

    register_metrics();
    h->gateway = g;
    h->count = want < LOOPS_MAX ? want : LOOPS_MAX;
    if (o->tls_cert != NULL) {
        rc = load_pem(o->tls_cert, "tls-cert", &h->cert, err);
        if (rc == 0) {
            rc = load_pem(o->tls_key, "tls-key", &h->key, err);
        }
        if (rc != 0) {
            goto err_after_alloc;
        }
    }
    rc = resolve(o->listen, &address, &len, err);
    if (rc != 0) {
        goto err_after_alloc;
    }
    for (h->started = 0; h->started < h->count; h->started++) {
        rc = loop_start(h, (struct sockaddr *)&address, &h->loops[h->started],
                        err);
        if (rc != 0) {
            goto err_after_loops;
        }
        if (h->started == 0) {
            learn_address(h, &address);
        }
    }
    for (unsigned i = 0; i < h->count; i++) {
        struct http_loop *l = h->loops[i];
        CHECK(pthread_create(&l->thread, NULL, loop_main, l) == 0);
        pthread_setname_np(l->thread, "http");
    }
    *out = h;
    return 0;

err_after_loops:
    for (unsigned i = 0; i < h->started; i++) {
        MHD_stop_daemon(h->loops[i]->daemon);
        loop_free(h->loops[i]->loop);
        free(h->loops[i]);
    }
err_after_alloc:
    buf_wipe(&h->cert);
    buf_wipe(&h->key);
    free(h->address);
    free(h);
    return rc;
}

const char *http_address(const struct http *h)
{
    return h->address;
}

/* On the loop: stop accepting, and look until nothing is at hand. */
static void on_quiesce(struct loop_timer *t)
{
    struct http_loop *l = LIST_OF(t, struct http_loop, quiesce);

    if (l->listen_fd < 0) {
        l->listen_fd = MHD_quiesce_daemon(l->daemon);
    }
    if (list_empty(&l->requests) || clock_mono_ms() >= l->stop_at_ms) {
        bool suspended = false;
        LIST_EACH (node, &l->requests) {
            struct request *r = LIST_OF(node, struct request, node);
            suspended = suspended || r->suspended || r->holds > 1;
        }
        if (!suspended) {
            loop_stop(l->loop);
            return;
        }
    }
    loop_timer_set(l->loop, t, 20);
}

static void on_stop(struct loop_call *call)
{
    struct http_loop *l = LIST_OF(call, struct http_loop, stop_call);

    l->listen_fd = -1;
    loop_timer_init(&l->quiesce, on_quiesce);
    on_quiesce(&l->quiesce);
}

void http_stop(struct http *h, uint64_t grace_ms)
{
    if (h == NULL) {
        return;
    }
    for (unsigned i = 0; i < h->count; i++) {
        struct http_loop *l = h->loops[i];
        l->stop_at_ms = clock_mono_ms() + grace_ms;
        l->stop_call.fn = on_stop;
        loop_post(l->loop, &l->stop_call);
    }
    for (unsigned i = 0; i < h->count; i++) {
        struct http_loop *l = h->loops[i];
        pthread_join(l->thread, NULL);
        MHD_stop_daemon(l->daemon);
        if (l->listen_fd >= 0) {
            close(l->listen_fd);
        }
        CHECK(list_empty(&l->requests));
        loop_free(l->loop);
        free(l);
    }
    buf_wipe(&h->cert);
    buf_wipe(&h->key);
    free(h->address);
    free(h);
}
