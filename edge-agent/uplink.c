#include "edge-agent/uplink.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "edge-agent/edge_tls.h"
#include "edge-agent/rate.h"
#include "edge-agent/resolve.h"

#define RUN (16U * 1024) /* bytes of one read or write: a TLS record */
#define PACE_MS 20

enum phase { CLOSED, RESOLVE, CONNECT, HANDSHAKE, READY, EXCHANGE };

struct uplink {
    struct loop *loop;
    struct uplink_url url;
    struct edge_tls_trust *trust;
    struct rate *rate;
    uint64_t answer_ms;
    enum phase phase;
    struct loop_fd fd;
    bool watched;
    uint32_t events;
    struct loop_timer timer; /* the phase's deadline */
    struct loop_timer pace;  /* more bytes may go; also: begin */
    struct resolve *resolve;
    struct resolved found;
    size_t next; /* address to try */
    struct edge_tls *tls;

    /* The exchange. */
    uplink_done done; /* NULL: none */
    void *arg;
    struct buf head_out;
    const uint8_t *body_out;
    size_t body_out_len;
    size_t out_at;   /* of head and body */
    size_t out_held; /* handed to TLS, which wants the same again */
    bool reused;     /* the connection served an exchange before */
    bool again;      /* it was sent over another one before */
    bool answering;  /* a byte of the answer came */

    bool has_head;
    unsigned interim;
    struct buf head_in;
    struct http_head head;
    int status;
    struct http_chunks chunks;
    uint64_t body_left;
    struct buf body_in;

    uint64_t sent_bytes;
};

static void run(struct uplink *l);
static void start(struct uplink *l);

/* ---- the connection ---- */

static void watch(struct uplink *l, uint32_t events)
{
    if (!l->watched) {
        loop_add_fd(l->loop, &l->fd, events);
        l->watched = true;
    } else if (l->events != events) {
        loop_set_fd(l->loop, &l->fd, events);
    }
    l->events = events;
}

static void drop_socket(struct uplink *l)
{
    edge_tls_free(l->tls);
    l->tls = NULL;
    if (l->watched) {
        loop_remove_fd(l->loop, &l->fd);
        l->watched = false;
    }
    if (l->fd.fd >= 0) {
        close(l->fd.fd);
        l->fd.fd = -1;
    }
}

static void drop(struct uplink *l)
{
    drop_socket(l);
    if (l->resolve != NULL) {
        resolve_cancel(l->resolve);
        l->resolve = NULL;
    }
    loop_timer_clear(&l->timer);
    loop_timer_clear(&l->pace);
    l->phase = CLOSED;
}

static void forget_exchange(struct uplink *l)
{
    l->done = NULL;
    buf_free(&l->head_out);
    buf_free(&l->head_in);
    buf_free(&l->body_in);
}

/* The exchange ends without an answer; the last that is done with @l. */
static void fail(struct uplink *l, int code, const char *why)
{
    uplink_done done = l->done;

    CHECK(done != NULL);
    if (l->reused && !l->answering && code == ERR_CLOSED) {
        drop(l);
        l->reused = false;
        l->again = true;
        start(l);
        return;
    }
    l->done = NULL; /* the connection stays to be looked at */
    done(l->arg, code, NULL, why);
    if (l->done == NULL) {
        drop(l);
        forget_exchange(l);
    }
}

static void fail_err(struct uplink *l, int code, const struct err *err)
{
    struct err copy = *err;

    fail(l, code, copy.text);
}

/* ---- the answer ---- */

static void finish(struct uplink *l)
{
    uplink_done done = l->done;
    struct buf head = l->head_in, body = l->body_in;
    struct http_head parsed = l->head;
    struct uplink_answer a = {
        .status = l->status, .head = &parsed, .again = l->again};
    bool whole = l->out_at == l->head_out.len + l->body_out_len;

    buf_reserve(&body, 1);
    body.data[body.len] = '\0';
    a.body = body.data;
    a.body_len = body.len;
    l->head_in = l->body_in = (struct buf){0};
    forget_exchange(l);
    loop_timer_clear(&l->pace);
    if (whole && parsed.keep_alive) {
        l->phase = READY;
        watch(l, EPOLLIN);
        loop_timer_set(l->loop, &l->timer, UPLINK_IDLE_MS);
    }
    done(l->arg, 0, &a, "");
    if (l->phase == EXCHANGE && l->done == NULL) {
        drop(l);
    }
    buf_free(&head);
    buf_free(&body);
}

static int take_head(struct uplink *l, const uint8_t *p, size_t len,
                     size_t *used, struct err *err)
{
    size_t before = l->head_in.len;
    size_t end;
    int code;

    buf_append(&l->head_in, p, len);
    end = http_head_end((char *)l->head_in.data, l->head_in.len);
    if (end == 0 || end > HTTP_HEAD_MAX) {
        *used = len;
        return l->head_in.len >= HTTP_HEAD_MAX
                   ? err_set(err, ERR_LIMIT, "the answer's head is too long")
                   : 0;
    }
    *used = end - before;
    code = http_reply_parse((char *)l->head_in.data, end, &l->head, &l->status,
                            err);
    if (code != 0) {
        return code;
    }
    if (l->status < 200) {
        buf_clear(&l->head_in);
        return l->status == 101 || ++l->interim > UPLINK_INTERIM_MAX
                   ? err_set(err, ERR_BAD_INPUT, "the answer does not begin")
                   : 0;
    }
    if (l->status == 204 || l->status == 304) {
        l->head.chunked = false;
        l->head.content_length = 0;
    } else if (!l->head.has_length && !l->head.chunked) {
        return err_set(err, ERR_BAD_INPUT, "the answer (%d) has no length",
                       l->status);
    }
    if (l->head.content_length > UPLINK_BODY_MAX) {
        return err_set(err, ERR_LIMIT, "the answer (%d) is too long",
                       l->status);
    }
    l->has_head = true;
    l->body_left = l->head.content_length;
    l->chunks = (struct http_chunks){0};
    return 0;
}

static int take_body(struct uplink *l, const uint8_t *p, size_t len,
                     size_t *used, bool *end, struct err *err)
{
    const uint8_t *data = p;
    size_t data_len = len < l->body_left ? len : (size_t)l->body_left;
    int code = 0;

    if (l->head.chunked) {
        code = http_chunks_read(&l->chunks, p, len, used, &data, &data_len, end,
                                err);
    } else {
        *used = data_len;
        l->body_left -= data_len;
        *end = l->body_left == 0;
    }
    if (code == 0 && l->body_in.len + data_len > UPLINK_BODY_MAX) {
        return err_set(err, ERR_LIMIT, "the answer is too long");
    }
    if (code == 0) {
        buf_append(&l->body_in, data, data_len);
    }
    return code;
}

/* What came. True when the exchange is over. */
static bool take(struct uplink *l, const uint8_t *p, size_t len)
{
    struct err err = {{0}};
    size_t used = 0;
    bool end = false;
    int code = 0;

    if (!l->answering) {
        l->answering = true;
        loop_timer_set(l->loop, &l->timer, l->answer_ms);
    }
    while (code == 0 && !end && (len > 0 || l->has_head)) {
        if (!l->has_head) {
            code = take_head(l, p, len, &used, &err);
        } else {
            code = take_body(l, p, len, &used, &end, &err);
            if (code == 0 && !end && used == 0) {
                break; /* more must come */
            }
        }
        if (code == 0) {
            p += used;
            len -= used;
        }
    }
    if (code != 0) {
        fail_err(l, code, &err);
        return true;
    }
    if (end) {
        l->head.keep_alive = l->head.keep_alive && len == 0;
        finish(l);
    }
    return end;
}

/* ---- bytes ---- */

/* Read a run: *@n is 0 with @again when nothing is here yet, else at the end.
 */
static int read_run(struct uplink *l, uint8_t *p, size_t *n, bool *again,
                    struct err *err)
{
    ssize_t got;

    *again = false;
    if (l->tls != NULL) {
        enum edge_tls_want want;
        int code = edge_tls_read(l->tls, p, RUN, n, &want, err);
        *again = code == 0 && want != EDGE_TLS_DONE;
        return code;
    }
    got = recv(l->fd.fd, p, RUN, 0);
    if (got < 0) {
        *again = errno == EAGAIN || errno == EINTR;
        *n = 0;
        return *again ? 0
                      : err_set(err, ERR_CLOSED, "the connection broke: %s",
                                strerror(errno));
    }
    *n = (size_t)got;
    return 0;
}

static int write_run(struct uplink *l, const uint8_t *p, size_t len, size_t *n,
                     struct err *err)
{
    ssize_t sent;

    if (l->tls != NULL) {
        enum edge_tls_want want;
        return edge_tls_write(l->tls, p, len, n, &want, err);
    }
    sent = send(l->fd.fd, p, len, MSG_NOSIGNAL);
    *n = sent > 0 ? (size_t)sent : 0;
    return sent >= 0 || errno == EAGAIN || errno == EINTR
               ? 0
               : err_set(err, ERR_CLOSED, "the connection broke: %s",
                         strerror(errno));
}

static size_t left_to_send(const struct uplink *l)
{
    return l->head_out.len + l->body_out_len - l->out_at;
}

/* The next bytes to go. */
static const uint8_t *next_run(const struct uplink *l, size_t *len)
{
    bool head = l->out_at < l->head_out.len;
    size_t at = head ? l->out_at : l->out_at - l->head_out.len;
    size_t all = head ? l->head_out.len : l->body_out_len;

    *len = all - at < RUN ? all - at : RUN;
    return (head ? l->head_out.data : l->body_out) + at;
}

/* Send while it goes. */
static int send_more(struct uplink *l, struct err *err)
{
    while (left_to_send(l) > 0) {
        size_t len, n = 0;
        const uint8_t *p = next_run(l, &len);
        int code;
        if (l->out_held > 0) {
            len = l->out_held;
        } else if (l->rate != NULL) {
            len = rate_take(l->rate, clock_mono_ms(), len);
        }
        if (len == 0) {
            watch(l, EPOLLIN);
            loop_timer_set(l->loop, &l->pace, PACE_MS);
            if (!l->answering) {
                loop_timer_set(l->loop, &l->timer, UPLINK_STALL_MS);
            }
            return 0;
        }
        code = write_run(l, p, len, &n, err);
        if (code != 0) {
            return code;
        }
        if (l->tls != NULL) {
            l->out_held = n == 0 ? len : 0;
        }
        if (l->rate != NULL && (l->tls == NULL || n > 0)) {
            rate_return(l->rate, len - n);
        }
        if (n == 0) {
            watch(l, EPOLLIN | EPOLLOUT);
            return 0;
        }
        l->out_at += n;
        l->sent_bytes += n;
        if (!l->answering) {
            loop_timer_set(l->loop, &l->timer, UPLINK_STALL_MS);
        }
    }
    watch(l, EPOLLIN);
    if (!l->answering) {
        loop_timer_set(l->loop, &l->timer, l->answer_ms);
    }
    return 0;
}

static void exchange(struct uplink *l)
{
    uint8_t bytes[RUN];
    struct err err = {{0}}, late = {{0}};
    bool again = false;
    size_t n = 0;
    int sent = 0;

    if (left_to_send(l) > 0) {
        sent = send_more(l, &late); /* it may have answered before it closed */
    }
    for (;;) {
        int code = read_run(l, bytes, &n, &again, &err);
        if (code != 0) {
            fail_err(l, code, &err);
            return;
        }
        if (again) {
            break;
        }
        if (n == 0) {
            fail(l, ERR_CLOSED,
                 l->answering ? "the answer ended early"
                              : "the gateway closed the connection");
            return;
        }
        if (take(l, bytes, n)) {
            return;
        }
    }
    if (sent != 0) {
        fail_err(l, sent, &late);
    }
}

/* ---- connecting ---- */

static void begin_exchange(struct uplink *l)
{
    l->phase = EXCHANGE;
    l->out_at = 0;
    l->out_held = 0;
    l->answering = false;
    l->has_head = false;
    l->interim = 0;
    buf_clear(&l->head_in);
    buf_clear(&l->body_in);
    loop_timer_set(l->loop, &l->timer, UPLINK_STALL_MS);
    watch(l, EPOLLIN | EPOLLOUT);
    run(l);
}

static void shake_hands(struct uplink *l)
{
    enum edge_tls_want want;
    struct err err = {{0}};
    int code = edge_tls_handshake(l->tls, &want, &err);

    if (code != 0) {
        fail_err(l, code == ERR_CLOSED ? ERR_UNAVAILABLE : code, &err);
    } else if (want == EDGE_TLS_DONE) {
        begin_exchange(l);
    } else {
        watch(l, want == EDGE_TLS_WANT_READ ? EPOLLIN : EPOLLOUT);
    }
}

static void on_event(struct loop_fd *f, uint32_t events)
{
    struct uplink *l = LIST_OF(f, struct uplink, fd);

    (void)events;
    run(l);
}

static void try_next(struct uplink *l, const char *why)
{
    while (l->next < l->found.count) {
        const struct sockaddr *to =
            (const struct sockaddr *)&l->found.items[l->next].address;
        socklen_t len = l->found.items[l->next++].len;
        int one = 1;
        int fd = socket(to->sa_family,
                        SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            why = strerror(errno);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (connect(fd, to, len) != 0 && errno != EINPROGRESS) {
            why = strerror(errno);
            close(fd);
            continue;
        }
        l->fd = (struct loop_fd){fd, on_event};
        l->phase = CONNECT;
        watch(l, EPOLLOUT);
        return;
    }
    fail(l, ERR_UNAVAILABLE, why);
}

static void connected(struct uplink *l)
{
    struct err err = {{0}};
    socklen_t len = sizeof(int);
    int failed = 0;
    int code;

    if (getsockopt(l->fd.fd, SOL_SOCKET, SO_ERROR, &failed, &len) != 0) {
        failed = errno;
    }
    if (failed != 0) {
        drop_socket(l);
        try_next(l, strerror(failed));
        return;
    }
    if (!l->url.tls) {
        begin_exchange(l);
        return;
    }
    code = edge_tls_new(l->trust, l->fd.fd, l->url.host, &l->tls, &err);
    if (code != 0) {
        fail_err(l, code, &err);
        return;
    }
    l->phase = HANDSHAKE;
    shake_hands(l);
}

static void on_resolved(void *arg, int code, const struct resolved *found,
                        const char *why)
{
    struct uplink *l = arg;

    l->resolve = NULL;
    if (code != 0) {
        fail(l, ERR_UNAVAILABLE, why);
        return;
    }
    l->found = *found;
    l->next = 0;
    try_next(l, "it has no address");
}

static void start(struct uplink *l)
{
    struct err err = {{0}};
    int code;

    l->phase = RESOLVE;
    l->answering = false;
    loop_timer_set(l->loop, &l->timer, UPLINK_CONNECT_MS);
    code = resolve_start(l->loop, l->url.host, l->url.port, on_resolved, l,
                         &l->resolve, &err);
    if (code != 0) {
        l->resolve = NULL;
        fail_err(l, ERR_UNAVAILABLE, &err);
    }
}

static void run(struct uplink *l)
{
    switch (l->phase) {
        case CONNECT:
            connected(l);
            break;
        case HANDSHAKE:
            shake_hands(l);
            break;
        case EXCHANGE:
            exchange(l);
            break;
        case READY:
            drop(l);               /* the gateway's end */
            if (l->done != NULL) { /* asked, not begun: by another one */
                l->reused = false;
                loop_timer_set(l->loop, &l->pace, 0);
            }
            break;
        case CLOSED:
        case RESOLVE:
            break;
    }
}

static void on_timer(struct loop_timer *t)
{
    struct uplink *l = LIST_OF(t, struct uplink, timer);

    if (l->done == NULL) {
        drop(l);
    } else if (l->phase != EXCHANGE) {
        fail(l, ERR_UNAVAILABLE, "no connection in time");
    } else {
        fail(l, ERR_TIMEOUT,
             left_to_send(l) > 0 ? "the gateway takes nothing more"
                                 : "no whole answer in time");
    }
}

static void on_pace(struct loop_timer *t)
{
    struct uplink *l = LIST_OF(t, struct uplink, pace);

    if (l->phase == CLOSED) {
        start(l);
    } else if (l->phase == READY) {
        begin_exchange(l);
    } else if (l->phase == EXCHANGE) {
        exchange(l);
    }
}

/* ---- for others ---- */

struct uplink *uplink_new(struct loop *loop, const struct uplink_options *o)
{
    struct uplink *l = mem_alloc(sizeof *l);

    CHECK(!o->url->tls || o->trust != NULL);
    l->loop = loop;
    l->url = *o->url;
    l->trust = o->trust;
    l->rate = o->rate;
    l->answer_ms = o->answer_ms != 0 ? o->answer_ms : UPLINK_ANSWER_MS;
    l->fd.fd = -1;
    loop_timer_init(&l->timer, on_timer);
    loop_timer_init(&l->pace, on_pace);
    return l;
}

void uplink_free(struct uplink *l)
{
    if (l != NULL) {
        drop(l);
        forget_exchange(l);
        free(l);
    }
}

void uplink_send(struct uplink *l, const struct uplink_request *r,
                 uplink_done done, void *arg)
{
    CHECK(l->done == NULL && done != NULL);
    buf_free(&l->head_out);
    buf_printf(&l->head_out, "%s %s HTTP/1.1\r\nHost: %s\r\n", r->method,
               r->path, l->url.authority);
    buf_printf(&l->head_out, "User-Agent: godwit-edge/%s\r\n%s", GODWIT_VERSION,
               r->fields != NULL ? r->fields : "");
    if (r->body != NULL || strcmp(r->method, "GET") != 0) {
        buf_printf(&l->head_out, "Content-Length: %zu\r\n", r->body_len);
    }
    buf_str(&l->head_out, "\r\n");
    l->body_out = r->body;
    l->body_out_len = r->body_len;
    l->out_at = 0;
    l->again = false;
    l->done = done;
    l->arg = arg;
    if (l->phase != READY) {
        drop(l);
    }
    l->reused = l->phase == READY;
    loop_timer_set(l->loop, &l->pace, 0);
}

bool uplink_busy(const struct uplink *l)
{
    return l->done != NULL;
}

void uplink_reset(struct uplink *l, struct edge_tls_trust *trust)
{
    CHECK(l->done == NULL);
    drop(l);
    l->trust = trust;
}

enum uplink_state uplink_state(const struct uplink *l)
{
    return l->phase == CLOSED                          ? UPLINK_DOWN
           : l->phase == READY || l->phase == EXCHANGE ? UPLINK_UP
                                                       : UPLINK_CONNECTING;
}

const char *uplink_state_name(enum uplink_state s)
{
    return s == UPLINK_DOWN ? "down" : s == UPLINK_UP ? "up" : "connecting";
}

uint64_t uplink_sent_bytes(const struct uplink *l)
{
    return l->sent_bytes;
}

int uplink_peer_find(struct uplink *l, const uint8_t *fingerprint,
                     struct buf *pem, struct err *err)
{
    return l->tls != NULL
               ? edge_tls_peer_find(l->tls, fingerprint, pem, err)
               : err_set(err, ERR_DENIED, "there was no TLS connection");
}
