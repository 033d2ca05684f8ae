/* One connection: TLS over a socket, frames over TLS. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wire.h"
#include "crypto/digest.h"
#include "net/net_internal.h"

#define READ_BYTES ((size_t)128 << 10)
#define WIRE_MAX ((size_t)1 << 20) /* encrypted and not sent; then wait */
#define UNANSWERED_MAX ((size_t)64 << 20)
#define CONNECT_MS 3000
#define PING_MS 1000
#define DEAD_MS 5000
#define TEXT_MAX 300
#define BULK_BYTES ((size_t)4096)
/* Of a stranger: a question to join is small, and so is what it may leave
 * unread. */
#define STRANGER_FRAME_MAX ((size_t)64 << 10)
#define STRANGER_QUEUE_MAX ((size_t)1 << 20)

static void want(struct link *l, uint32_t events)
{
    if (l->events != events) {
        l->events = events;
        loop_set_fd(l->net->loop, &l->fd, events);
    }
}

/* ---- life ---- */

static size_t frame_bytes(const struct out_frame *o)
{
    return FRAME_BYTES + o->frame.head_len + o->frame.body_len;
}

void out_frame_free(struct out_frame *o)
{
    buf_free(&o->head);
    free(o->own_body);
    if (o->release != NULL) {
        o->release(o->arg);
    }
    free(o);
}

void flight_done(struct link *l, struct flight *f, int status,
                 const struct err *err)
{
    struct net_call *c = f->call;

    if (l->reply_to == f) { /* its answer is just coming in */
        l->reply_to = NULL;
        l->discard = true;
        if (l->body_is_into) {
            l->body_is_into = false;
            l->body = NULL;
        }
    }
    LIST_EACH (node, &l->out) {
        struct out_frame *o = LIST_OF(node, struct out_frame, node);
        if (o->flight == f) { /* never to be sent */
            list_remove(&o->node);
            l->out_bytes -= frame_bytes(o);
            out_frame_free(o);
            break;
        }
    }
    list_remove(&f->node);
    free(f);
    c->status = status;
    if (err != NULL) {
        c->err = *err;
    }
    if (status != 0) {
        atomic_fetch_add(&l->net->failed, 1);
    }
    c->done(c);
}

void link_unref(struct link *l)
{
    if (atomic_fetch_sub(&l->refs, 1) > 1) {
        return;
    }
    CHECK(l->state == LINK_CLOSED);
    free(l);
}

static void count_stranger(struct link *l, int by)
{
    if (l->peer == NULL) {
        l->net->strangers += (unsigned)by;
        atomic_store(&l->net->strangers_open, l->net->strangers);
    }
}

static void name_failure(struct link *l, const struct err *why, struct err *out)
{
    if (l->peer != NULL && l->peer->id != 0) {
        err_set(out, 0, "server %u at %s: %s", l->peer->id, l->peer->address,
                why->text);
    } else {
        *out = *why;
    }
}

void link_close(struct link *l, int status, const struct err *why)
{
    struct err text;
    bool was_open = l->state == LINK_OPEN;

    if (l->state == LINK_CLOSED) {
        return;
    }
    name_failure(l, why, &text);
    if (l->server == 0) {
        count_stranger(l, -1);
    }
    if (was_open) {
        atomic_fetch_sub(&l->net->links_open, 1);
    }
    l->state = LINK_CLOSED;
    loop_remove_fd(l->net->loop, &l->fd);
    close(l->fd.fd);
    tls_stream_free(l->tls);
    l->tls = NULL;
    for (int i = 0; l->peer != NULL && i < NET_LINKS; i++) {
        if (l->peer->links[i] == l) {
            l->peer->links[i] = NULL;
        }
    }
    if (l->peer != NULL && status == 0) {
        uint64_t next = l->peer->backoff_ms * 2;
        l->peer->why = text;
        /* One that served is tried again at once; one that refuses, though it
         * let us connect, is not. */
        l->peer->failed_ms = l->used ? 0 : clock_mono_ms();
        l->peer->backoff_ms = l->used       ? 0
                              : next < 50   ? 50
                              : next > 1000 ? 1000
                                            : next;
    }
    list_remove(&l->node);
    while (!list_empty(&l->flights)) {
        struct flight *f = LIST_OF(l->flights.next, struct flight, node);
        int code = status != 0 ? status
                   : f->sent   ? ERR_UNKNOWN
                               : ERR_UNAVAILABLE;
        flight_done(l, f, code, &text);
    }
    while (!list_empty(&l->out)) {
        struct out_frame *o = LIST_OF(l->out.next, struct out_frame, node);
        list_remove(&o->node);
        out_frame_free(o);
    }
    free(l->head);
    if (!l->body_is_into && l->body != NULL) {
        mem_pages_free(l->body, l->frame.body_len);
    }
    l->head = l->body = NULL;
    link_unref(l);
}

static void fail(struct link *l, const char *text)
{
    struct err why;

    err_set(&why, 0, "%s", text);
    link_close(l, 0, &why);
}

/* ---- writing ---- */

/* Whole frames, while there is little on the way. */
static void encrypt_some(struct link *l)
{
    size_t pending;

    while (!list_empty(&l->out)) {
        struct out_frame *o = LIST_OF(l->out.next, struct out_frame, node);
        uint8_t header[FRAME_BYTES];
        const void *head = o->head_ptr != NULL ? o->head_ptr : o->head.data;
        tls_pending(l->tls, &pending);
        if (pending > WIRE_MAX) {
            return;
        }
        o->frame.head_crc = crc32c(0, head, o->frame.head_len);
        o->frame.body_crc = crc32c(0, o->body, o->frame.body_len);
        frame_encode(&o->frame, header);
        tls_write(l->tls, header, sizeof header);
        tls_write(l->tls, head, o->frame.head_len);
        tls_write(l->tls, o->body, o->frame.body_len);
        atomic_fetch_add(&l->net->bytes_out,
                         FRAME_BYTES + o->frame.head_len + o->frame.body_len);
        if (o->flight != NULL) {
            o->flight->sent = true;
        }
        list_remove(&o->node);
        l->out_bytes -= frame_bytes(o);
        out_frame_free(o);
    }
}

/* Write what there is; false when the link is gone. */
static bool flush(struct link *l)
{
    const void *p;
    size_t len;

    for (;;) {
        ssize_t n;
        p = tls_pending(l->tls, &len);
        if (p == NULL && l->state == LINK_OPEN) {
            encrypt_some(l); /* behind the handshake */
            p = tls_pending(l->tls, &len);
        }
        if (p == NULL) {
            want(l, EPOLLIN);
            return true;
        }
        n = send(l->fd.fd, p, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            want(l, EPOLLIN | EPOLLOUT);
            return true;
        }
        if (n < 0) {
            fail(l, strerror(errno));
            return false;
        }
        tls_sent(l->tls, (size_t)n);
        if (len > BULK_BYTES) { /* pings and heartbeats move by themselves */
            l->moved_ms = clock_mono_ms();
        }
    }
}

void link_send(struct link *l, struct out_frame *o)
{
    size_t max = l->peer == NULL && l->server == 0 ? STRANGER_QUEUE_MAX
                                                   : 2 * NET_QUEUE_MAX;

    list_push(&l->out, &o->node);
    l->out_bytes += frame_bytes(o);
    if (l->out_bytes > max) { /* it asks, and does not read the answers */
        fail(l, "too much waits to be read");
    } else if (l->state == LINK_OPEN) {
        flush(l);
    }
}

static void send_bare(struct link *l, enum frame_kind kind)
{
    struct out_frame *o = mem_alloc(sizeof *o);

    o->frame.kind = kind;
    link_send(l, o);
}

/* ---- frames that came ---- */

static struct flight *find_flight(struct link *l, uint64_t id)
{
    LIST_EACH (node, &l->flights) {
        struct flight *f = LIST_OF(node, struct flight, node);
        if (f->id == id && f->sent) {
            return f;
        }
    }
    return NULL;
}

/* Where the head and the body of the frame go. */
static bool prepare(struct link *l)
{
    struct frame *f = &l->frame;

    l->used = true;
    if (l->peer == NULL && l->server == 0 &&
        (size_t)f->head_len + f->body_len > STRANGER_FRAME_MAX) {
        fail(l, "a stranger sends too much");
        return false;
    }
    l->discard = false;
    l->body_is_into = false;
    l->reply_to = NULL;
    if (f->kind == FRAME_REPLY) {
        l->reply_to = find_flight(l, f->id);
        l->discard = l->reply_to == NULL; /* too late */
    }
    l->head = mem_alloc(f->head_len + 1);
    l->body = NULL;
    if (f->body_len > 0 && l->reply_to != NULL &&
        f->body_len <= l->reply_to->call->into_max) {
        l->body = l->reply_to->call->into;
        l->body_is_into = true;
    } else if (f->body_len > 0 && !l->discard) {
        l->body = mem_pages(f->body_len);
        if (l->body == NULL) {
            fail(l, "no memory for a frame");
            return false;
        }
    }
    return true;
}

static void answer_call(struct link *l, struct flight *f)
{
    struct net_call *c = f->call;
    struct err err = {{0}};
    size_t text_len = l->frame.head_len >= 2 ? load_u16(l->head) : 0;
    size_t skip = 2 + text_len;

    if (l->frame.head_len < 2 || text_len > TEXT_MAX ||
        skip > l->frame.head_len) {
        fail(l, "an answer without its text");
        return;
    }
    if (text_len > 0) {
        err_set(&err, 0, "%.*s", (int)text_len, (char *)l->head + 2);
    }
    buf_append(&c->reply_head, l->head + skip, l->frame.head_len - skip);
    c->body_got = l->frame.body_len;
    if (!l->body_is_into && l->frame.body_len > 0) {
        buf_append(&c->reply_body, l->body, l->frame.body_len);
    }
    l->reply_to = NULL;
    flight_done(l, f, (int)l->frame.value, &err);
}

/* All of the frame is here. False: the link is gone. */
static bool whole(struct link *l)
{
    struct frame f = l->frame;
    uint8_t *head = l->head, *body = l->body;
    bool into = l->body_is_into;

    if (!l->discard && (crc32c(0, head, f.head_len) != f.head_crc ||
                        crc32c(0, body, f.body_len) != f.body_crc)) {
        fail(l, "a frame's checksum does not match");
        return false;
    }
    if (f.kind == FRAME_REQUEST || f.kind == FRAME_MESSAGE) {
        l->head = l->body = NULL;
        net_incoming(l, &f, head, body);
        return l->state != LINK_CLOSED;
    }
    if (f.kind == FRAME_PING) {
        send_bare(l, FRAME_PONG);
    } else if (f.kind == FRAME_REPLY && l->reply_to != NULL) {
        answer_call(l, l->reply_to);
    }
    if (l->state == LINK_CLOSED) {
        return false;
    }
    free(head);
    if (!into && body != NULL) {
        mem_pages_free(body, f.body_len);
    }
    l->head = l->body = NULL;
    l->body_is_into = false;
    return true;
}

/* How much is wanted of what is being read, and where it goes. */
static size_t wanted(struct link *l, uint8_t **to, uint8_t *waste,
                     size_t waste_len)
{
    size_t total = l->in_body   ? l->frame.body_len
                   : l->in_head ? l->frame.head_len
                                : FRAME_BYTES;
    size_t left = total - l->have;

    if (l->in_body && l->body == NULL) {
        *to = waste;
        return left < waste_len ? left : waste_len;
    }
    *to = (l->in_body ? l->body : l->in_head ? l->head : l->header) + l->have;
    return left;
}

/* A part is complete: what comes next? False: the link is gone. */
static bool next_part(struct link *l)
{
    struct err err;

    l->have = 0;
    if (!l->in_head && !l->in_body) {
        if (frame_decode(l->header, &l->frame, &err) != 0) {
            fail(l, err.text);
            return false;
        }
        if (!prepare(l)) {
            return false;
        }
        l->in_head = true;
        return l->frame.head_len > 0 || next_part(l);
    }
    if (l->in_head) {
        l->in_head = false;
        l->in_body = true;
        return l->frame.body_len > 0 || next_part(l);
    }
    l->in_body = false;
    return whole(l);
}

static bool on_ready(struct link *l)
{
    uint32_t server = tls_peer(l->tls);
    char text[80];

    if (l->peer != NULL && l->peer->id != 0 && server != l->peer->id) {
        snprintf(text, sizeof text, "server %u answers there", server);
        fail(l, text);
        return false;
    }
    if (server != 0 && l->peer != NULL && net_is_forbidden(l->net, server)) {
        atomic_fetch_add(&l->net->refused, 1);
        fail(l, "it was removed from the cluster");
        return false;
    }
    l->state = LINK_OPEN;
    atomic_fetch_add(&l->net->links_open, 1);
    if (server != 0) {
        count_stranger(l, -1);
        l->server = server;
    }
    return true;
}

static bool by_address(const struct link *l)
{
    return l->peer != NULL && l->peer->id == 0;
}

/* Plain bytes to frames. False: the link is gone. */
static bool read_frames(struct link *l)
{
    uint8_t waste[4096];
    struct err err = {{0}};

    for (;;) {
        uint8_t *to;
        size_t got = 0, max = wanted(l, &to, waste, sizeof waste);
        int rc = tls_read(l->tls, to, max, &got, &err);
        if (rc != 0) {
            const void *p;
            size_t len = 0;
            p = tls_pending(l->tls, &len); /* the alert, if it goes now */
            if (p != NULL && send(l->fd.fd, p, len, MSG_NOSIGNAL) < 0) {
                log_line(LOG_DEBUG, "net: alert not sent", NULL);
            }
            if (rc == ERR_DENIED) {
                atomic_fetch_add(&l->net->refused, 1);
            }
            /* To who joins by an address it matters that it will never do. */
            link_close(l, rc == ERR_DENIED && by_address(l) ? rc : 0, &err);
            return false;
        }
        if (l->state == LINK_SHAKING && tls_ready(l->tls) && !on_ready(l)) {
            return false;
        }
        if (got == 0) {
            return true;
        }
        atomic_fetch_add(&l->net->bytes_in, got);
        l->have += got;
        if (got == max && !(l->in_body && l->have < l->frame.body_len) &&
            !next_part(l)) {
            return false;
        }
        if (l->unanswered_bytes > UNANSWERED_MAX) {
            return true;
        }
    }
}

static void on_input(struct link *l)
{
    static __thread uint8_t bytes[READ_BYTES];
    ssize_t n;

    do {
        n = recv(l->fd.fd, bytes, sizeof bytes, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN) {
        return;
    }
    if (n <= 0) {
        fail(l, n == 0 ? "the connection was closed" : strerror(errno));
        return;
    }
    l->heard_ms = l->moved_ms = clock_mono_ms();
    tls_feed(l->tls, bytes, (size_t)n);
    if (read_frames(l)) {
        flush(l);
    }
}

/* ---- events ---- */

static void on_connected(struct link *l)
{
    int error = 0;
    socklen_t len = sizeof error;

    getsockopt(l->fd.fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error != 0) {
        fail(l, strerror(error));
        return;
    }
    l->state = LINK_SHAKING;
    l->heard_ms = clock_mono_ms();
    if (read_frames(l)) { /* the client speaks first */
        flush(l);
    }
}

static void on_events(struct loop_fd *f, uint32_t events)
{
    struct link *l = LIST_OF(f, struct link, fd);

    atomic_fetch_add(&l->refs, 1);
    if (l->state == LINK_CONNECTING) {
        if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
            on_connected(l);
        }
    } else if (l->state != LINK_CLOSED &&
               l->unanswered_bytes > UNANSWERED_MAX) {
        want(l, l->events & ~(uint32_t)EPOLLIN);
    } else if (l->state != LINK_CLOSED &&
               (events & (EPOLLIN | EPOLLERR | EPOLLHUP))) {
        on_input(l);
    }
    if (l->state != LINK_CLOSED && l->state != LINK_CONNECTING &&
        (events & EPOLLOUT)) {
        flush(l);
    }
    link_unref(l);
}

void link_answered(struct link *l, size_t bytes)
{
    bool was_full = l->unanswered_bytes > UNANSWERED_MAX;

    l->unanswered_bytes -= bytes;
    if (l->state == LINK_OPEN && was_full &&
        l->unanswered_bytes <= UNANSWERED_MAX) {
        want(l, l->events | EPOLLIN);
        if (read_frames(l)) { /* what was decrypted already */
            flush(l);
        }
    }
}

void link_tick(struct link *l, uint64_t now)
{
    struct err late = {{0}}, why;

    err_set(&late, 0, "no answer in time");
    atomic_fetch_add(&l->refs, 1);
    for (struct list_node *node = l->flights.next; node != &l->flights;) {
        struct flight *f = LIST_OF(node, struct flight, node);
        node = node->next;
        if (now >= f->deadline_ms) {
            name_failure(l, &late, &why);
            flight_done(l, f, ERR_TIMEOUT, &why);
            node = l->flights.next; /* done() may have changed the list */
        }
    }
    if (l->state == LINK_CONNECTING && now - l->since_ms > CONNECT_MS) {
        fail(l, "no connection in time");
    } else if (l->state != LINK_CLOSED && l->server == 0 && l->peer == NULL &&
               now - l->since_ms > NET_STRANGER_MS) {
        fail(l, "a stranger stayed too long");
    } else if (l->state == LINK_SHAKING && now - l->since_ms > CONNECT_MS) {
        fail(l, "no handshake in time");
    } else if (l->state == LINK_OPEN && l->server != 0) {
        if (l->unanswered_bytes <= UNANSWERED_MAX &&
            now - l->heard_ms > DEAD_MS && now - l->moved_ms > DEAD_MS) {
            fail(l, "nothing was heard for five seconds");
        } else if (now - l->heard_ms > PING_MS &&
                   now - l->pinged_ms > PING_MS) {
            l->pinged_ms = now;
            send_bare(l, FRAME_PING);
        }
    }
    link_unref(l);
}

/* ---- beginning ---- */

static struct link *link_new(struct net *n, int fd, struct peer *p)
{
    struct link *l = mem_alloc(sizeof *l);
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    l->net = n;
    l->peer = p;
    atomic_store(&l->refs, 1);
    l->since_ms = l->heard_ms = clock_mono_ms();
    l->state = p != NULL ? LINK_CONNECTING : LINK_SHAKING;
    l->tls = net_stream(n, p == NULL);
    list_init(&l->out);
    list_init(&l->flights);
    list_push(&n->links, &l->node);
    l->fd.fd = fd;
    l->fd.fn = on_events;
    l->events = p != NULL ? EPOLLOUT : EPOLLIN;
    loop_add_fd(n->loop, &l->fd, l->events);
    count_stranger(l, 1);
    return l;
}

void link_evict_stranger(struct net *n)
{
    LIST_EACH (node, &n->links) { /* the oldest stand first */
        struct link *l = LIST_OF(node, struct link, node);
        if (l->peer == NULL && l->server == 0) {
            fail(l, "too many strangers");
            return;
        }
    }
}

struct link *link_accept(struct net *n, int fd)
{
    return link_new(n, fd, NULL);
}

struct link *link_connect(struct net *n, struct peer *p, struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    const char *colon = strrchr(p->numeric, ':');
    bool brackets = p->numeric[0] == '[';
    char *host;
    int fd, rc;

    host = mem_strndup(p->numeric + brackets,
                       (size_t)(colon - p->numeric) - 2 * brackets);
    rc = getaddrinfo(host, colon + 1, &hints, &found);
    free(host);
    if (rc != 0) {
        err_set(err, 0, "%s: %s", p->address, gai_strerror(rc));
        return NULL;
    }
    fd =
        socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    rc = fd >= 0 ? connect(fd, found->ai_addr, found->ai_addrlen) : -1;
    freeaddrinfo(found);
    if (rc != 0 && errno != EINPROGRESS) {
        err_set(err, 0, "%s: %s", p->address, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return NULL;
    }
    return link_new(n, fd, p);
}
