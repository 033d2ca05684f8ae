#include "client/http_client.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"

#define CONNECT_TIMEOUT_MS 10000
#define IO_TIMEOUT_MS 60000
#define BUFFER_SIZE ((size_t)256 << 10)
#define COPY_MAX ((size_t)8 << 10) /* small bodies go with the head */
#define INFORMATIONAL_MAX 8        /* 1xx answers before the real one */

_Static_assert(BUFFER_SIZE > HTTP_HEAD_MAX, "a head fits in the buffer");

/* A kept connection with its buffer. */
struct link {
    struct http_conn *conn;
    struct link *next;
    size_t start, end; /* bytes read and not yet consumed */
    uint8_t buffer[BUFFER_SIZE];
};

struct http_client {
    struct http_endpoint endpoint;
    struct http_tls *tls;
    uint64_t connect_timeout_ms;
    uint64_t io_timeout_ms;
    pthread_mutex_t mutex;
    struct link *idle; /* under mutex */
    size_t idle_count; /* under mutex */
};

/* How far a request got, to know what may be tried again. */
struct progress {
    bool reused;    /* on a kept connection */
    bool body_read; /* body_read was called */
    bool answered;  /* a byte of the answer came */
};

int http_client_new(const struct http_client_options *options,
                    struct http_client **out, struct err *err)
{
    struct http_client *c = mem_alloc(sizeof *c);
    int rc = http_endpoint_parse(options->endpoint, &c->endpoint, err);

    if (rc != 0) {
        goto err_after_alloc;
    }
    if (c->endpoint.tls) {
        rc = http_tls_new(options->ca_file, options->insecure, &c->tls, err);
        if (rc != 0) {
            goto err_after_endpoint;
        }
    }
    c->connect_timeout_ms = options->connect_timeout_ms != 0
                                ? options->connect_timeout_ms
                                : CONNECT_TIMEOUT_MS;
    c->io_timeout_ms =
        options->io_timeout_ms != 0 ? options->io_timeout_ms : IO_TIMEOUT_MS;
    pthread_mutex_init(&c->mutex, NULL);
    *out = c;
    return 0;

err_after_endpoint:
    http_endpoint_free(&c->endpoint);
err_after_alloc:
    free(c);
    return rc;
}

static void link_free(struct link *l)
{
    http_conn_close(l->conn);
    free(l);
}

void http_client_free(struct http_client *c)
{
    if (c == NULL) {
        return;
    }
    while (c->idle != NULL) {
        struct link *l = c->idle;
        c->idle = l->next;
        link_free(l);
    }
    http_tls_free(c->tls);
    http_endpoint_free(&c->endpoint);
    pthread_mutex_destroy(&c->mutex);
    free(c);
}

const struct http_endpoint *http_client_endpoint(const struct http_client *c)
{
    return &c->endpoint;
}

/* ---- pool ---- */

static struct link *take_idle(struct http_client *c)
{
    struct link *l;

    pthread_mutex_lock(&c->mutex);
    l = c->idle;
    if (l != NULL) {
        c->idle = l->next;
        c->idle_count--;
    }
    pthread_mutex_unlock(&c->mutex);
    return l;
}

static int get_link(struct http_client *c, bool fresh, bool *reused,
                    struct link **out, struct err *err)
{
    struct link *l;
    int rc;

    *reused = false;
    while (!fresh && (l = take_idle(c)) != NULL) {
        /* Readable while idle: an end, or bytes no one asked for. */
        if (!http_conn_readable(l->conn, 0)) {
            *reused = true;
            *out = l;
            return 0;
        }
        link_free(l);
    }
    l = mem_realloc(NULL, sizeof *l);
    l->next = NULL;
    l->start = l->end = 0;
    rc = http_conn_open(&c->endpoint, c->tls, c->connect_timeout_ms,
                        c->io_timeout_ms, &l->conn, err);
    if (rc != 0) {
        free(l);
        return rc;
    }
    *out = l;
    return 0;
}

static void put_link(struct http_client *c, struct link *l, bool keep)
{
    if (keep && l->start == l->end) {
        pthread_mutex_lock(&c->mutex);
        if (c->idle_count < HTTP_IDLE_MAX) {
            l->start = l->end = 0;
            l->next = c->idle;
            c->idle = l;
            c->idle_count++;
            l = NULL;
        }
        pthread_mutex_unlock(&c->mutex);
    }
    if (l != NULL) {
        link_free(l);
    }
}

/* ---- request ---- */

static uint64_t body_size(const struct http_request *q)
{
    return q->body_read != NULL ? q->body_size : q->body_len;
}

static bool asks_first(const struct http_request *q)
{
    return body_size(q) >= HTTP_EXPECT_MIN;
}

static void write_head(const struct http_client *c,
                       const struct http_request *q, struct buf *b)
{
    uint64_t size = body_size(q);

    buf_printf(b, "%s %s HTTP/1.1\r\nHost: %s\r\n", q->method, q->target,
               c->endpoint.authority);
    for (size_t i = 0; i < q->header_count; i++) {
        buf_printf(b, "%s: %s\r\n", q->headers[i].name, q->headers[i].value);
    }
    if (size == HTTP_SIZE_UNKNOWN) {
        buf_str(b, "Transfer-Encoding: chunked\r\n");
    } else if (size > 0 || strcmp(q->method, "PUT") == 0 ||
               strcmp(q->method, "POST") == 0) {
        buf_printf(b, "Content-Length: %llu\r\n", (unsigned long long)size);
    }
    if (asks_first(q)) {
        buf_str(b, "Expect: 100-continue\r\n");
    }
    buf_str(b, "\r\n");
}

static int send_stream(struct link *l, const struct http_request *q,
                       struct err *err)
{
    bool chunked = q->body_size == HTTP_SIZE_UNKNOWN;
    uint8_t *piece = mem_realloc(NULL, BUFFER_SIZE);
    uint64_t left = q->body_size;
    size_t len;
    int rc = 0;

    while (left > 0) {
        size_t max = left < BUFFER_SIZE ? (size_t)left : BUFFER_SIZE;
        char size_line[24];
        rc = q->body_read(q->body_arg, piece, max, &len, err);
        if (rc != 0 || (chunked && len == 0)) {
            break;
        }
        if (len == 0 || len > max) {
            rc = err_set(err, ERR_IO, "body: ends before its last byte");
            break;
        }
        if (chunked) {
            int n = snprintf(size_line, sizeof size_line, "%zx\r\n", len);
            rc = http_conn_write(l->conn, size_line, (size_t)n, true, err);
        } else {
            left -= len;
        }
        rc = rc != 0 ? rc : http_conn_write(l->conn, piece, len, chunked, err);
        if (rc == 0 && chunked) {
            rc = http_conn_write(l->conn, "\r\n", 2, false, err);
        }
        if (rc != 0) {
            break;
        }
    }
    if (rc == 0 && chunked) {
        rc = http_conn_write(l->conn, "0\r\n\r\n", 5, false, err);
    }
    free(piece);
    return rc;
}

static int send_body(struct link *l, const struct http_request *q,
                     struct progress *p, struct err *err)
{
    if (q->body_read != NULL) {
        p->body_read = true;
        return send_stream(l, q, err);
    }
    return http_conn_write(l->conn, q->body, q->body_len, false, err);
}

/* ---- answer ---- */

/* Read more into the buffer; *@ended when the server sends nothing more. */
static int fill(struct link *l, struct progress *p, bool *ended,
                struct err *err)
{
    size_t len;
    int rc;

    if (l->start > 0) {
        memmove(l->buffer, l->buffer + l->start, l->end - l->start);
        l->end -= l->start;
        l->start = 0;
    }
    CHECK(l->end < BUFFER_SIZE);
    rc = http_conn_read(l->conn, l->buffer + l->end, BUFFER_SIZE - l->end, &len,
                        err);
    if (rc != 0) {
        return rc;
    }
    *ended = len == 0;
    l->end += len;
    p->answered = p->answered || len > 0;
    return 0;
}

/* Read one head, informational ones too. */
static int read_head(struct link *l, struct http_response *r,
                     struct progress *p, struct err *err)
{
    bool ended = false;
    size_t head;
    int rc;

    for (;;) {
        size_t have = l->end - l->start;
        head = http_response_head_end(
            l->buffer + l->start, have < HTTP_HEAD_MAX ? have : HTTP_HEAD_MAX);
        if (head > 0) {
            break;
        }
        if (have >= HTTP_HEAD_MAX) {
            return err_set(err, ERR_CORRUPT,
                           "response: the head is over %zu "
                           "KiB",
                           HTTP_HEAD_MAX >> 10);
        }
        if (ended) {
            return err_set(err, ERR_CLOSED,
                           "the server closed the connection%s",
                           p->answered ? " in its headers" : "");
        }
        rc = fill(l, p, &ended, err);
        if (rc != 0) {
            return rc;
        }
    }
    rc = http_response_parse(r, l->buffer + l->start, head, err);
    l->start += rc == 0 ? head : 0;
    return rc;
}

static int read_final_head(struct link *l, struct http_response *r,
                           struct progress *p, struct err *err)
{
    int rc = 0;

    for (unsigned i = 0; i < INFORMATIONAL_MAX; i++) {
        rc = r->status == 0 ? read_head(l, r, p, err) : 0;
        if (rc != 0 || r->status >= 200) {
            return rc;
        }
        if (r->status == 101) {
            break;
        }
        http_response_free(r);
    }
    http_response_free(r);
    return err_set(err, ERR_CORRUPT, "response: no final status comes");
}

static int take_payload(const struct http_request *q, struct http_response *r,
                        const uint8_t *p, size_t len, struct err *err)
{
    if (len == 0) {
        return 0;
    }
    if (q->sink != NULL && r->status < 300) {
        return q->sink(q->sink_arg, r, p, len, err);
    }
    if (len > HTTP_GATHER_MAX - r->body.len) {
        return err_set(err, ERR_LIMIT, "response: the body is over %zu MiB",
                       HTTP_GATHER_MAX >> 20);
    }
    buf_append(&r->body, p, len);
    return 0;
}

static int read_body(struct link *l, const struct http_request *q,
                     struct http_response *r, struct progress *p,
                     struct err *err)
{
    struct http_body b;
    bool ended = false;
    int rc;

    http_body_init(&b, r, q->method);
    while (b.state != HTTP_BODY_DONE) {
        const uint8_t *out;
        size_t out_len;
        size_t len = l->end - l->start;
        if (len == 0) {
            rc = ended ? http_body_end(&b, err) : fill(l, p, &ended, err);
            if (rc == 0 && ended) {
                rc = http_body_end(&b, err);
            }
            if (rc != 0) {
                return rc;
            }
            continue;
        }
        rc = http_body_decode(&b, l->buffer + l->start, &len, &out, &out_len,
                              err);
        rc = rc != 0 ? rc : take_payload(q, r, out, out_len, err);
        if (rc != 0) {
            return rc;
        }
        l->start += len;
    }
    if (!r->chunked && !r->has_length && r->status >= 200 && r->status != 204 &&
        r->status != 304 && strcmp(q->method, "HEAD") != 0) {
        r->keep_alive = false; /* its body ended with the connection */
    }
    return 0;
}

/* Send head and body; with Expect, ask first. When the server answered before
 * the body was sent, @r holds its head and the connection is of no use after.
 */
static int send_request(struct http_client *c, struct link *l,
                        const struct http_request *q, struct http_response *r,
                        struct progress *p, bool *whole, struct err *err)
{
    bool wait = asks_first(q);
    bool has_body = body_size(q) > 0;
    bool joined = has_body && q->body_read == NULL && q->body_len <= COPY_MAX;
    struct buf head = {0};
    struct err answer_err;
    int rc;

    *whole = true;
    write_head(c, q, &head);
    if (joined) {
        buf_append(&head, q->body, q->body_len);
    }
    rc = http_conn_write(l->conn, head.data, head.len,
                         has_body && !joined && !wait, err);
    buf_free(&head);
    if (rc == 0 && wait && http_conn_readable(l->conn, HTTP_EXPECT_WAIT_MS)) {
        rc = read_head(l, r, p, err);
        if (rc == 0 && r->status >= 200) {
            *whole = false;
            return 0;
        }
        http_response_free(r);
    }
    if (rc == 0 && has_body && !joined) {
        rc = send_body(l, q, p, err);
        /* A server that refuses an upload answers and closes: its answer says
         * more than the broken pipe. */
        if (rc == ERR_CLOSED && read_final_head(l, r, p, &answer_err) == 0) {
            *whole = false;
            return 0;
        }
    }
    return rc;
}

static int exchange(struct http_client *c, const struct http_request *q,
                    bool fresh, struct http_response *r, struct progress *p,
                    struct err *err)
{
    struct link *l;
    bool whole;
    int rc = get_link(c, fresh, &p->reused, &l, err);

    if (rc != 0) {
        return rc;
    }
    rc = send_request(c, l, q, r, p, &whole, err);
    if (rc == 0) {
        rc = read_final_head(l, r, p, err);
    }
    if (rc == 0) {
        rc = read_body(l, q, r, p, err);
    }
    if (rc != 0) {
        http_response_free(r);
    }
    put_link(c, l, rc == 0 && whole && r->keep_alive);
    return rc;
}

/* RFC 9110 section 9.2.2, but POST. */
static bool idempotent(const char *method)
{
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 ||
           strcmp(method, "PUT") == 0 || strcmp(method, "DELETE") == 0;
}

int http_client_request(struct http_client *c, const struct http_request *q,
                        struct http_response *response, struct err *err)
{
    struct progress p = {0};
    int rc;

    CHECK(response->text == NULL && response->status == 0);
    rc = exchange(c, q, q->once, response, &p, err);
    /* A kept connection may have been closed just as we wrote. */
    if (rc == ERR_CLOSED && p.reused && !p.answered && !p.body_read &&
        idempotent(q->method)) {
        p = (struct progress){0};
        rc = exchange(c, q, true, response, &p, err);
    }
    return rc;
}
