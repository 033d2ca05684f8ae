#include "net/net.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/latch.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wire.h"
#include "net/net_internal.h"

#define TICK_MS 25
#define BACKLOG 512

/* ---- what links ask ---- */

struct tls_stream *net_stream(struct net *n, bool server)
{
    struct tls_stream *s;

    pthread_mutex_lock(&n->mutex);
    s = tls_stream_new(n->tls, server);
    pthread_mutex_unlock(&n->mutex);
    return s;
}

static struct peer *find_peer(struct net *n, uint32_t id)
{
    LIST_EACH (node, &n->peers) {
        struct peer *p = LIST_OF(node, struct peer, node);
        if (p->id == id) {
            return p;
        }
    }
    return NULL;
}

bool net_is_forbidden(struct net *n, uint32_t server)
{
    struct peer *p = find_peer(n, server);

    return p != NULL && p->forbidden;
}

/* ---- serving ---- */

static void incoming_free(struct incoming *in)
{
    free(in->head);
    if (in->body != NULL) {
        mem_pages_free(in->body, in->request.body_len);
    }
    free(in);
}

void net_incoming(struct link *l, const struct frame *f, uint8_t *head,
                  uint8_t *body)
{
    struct net *n = l->net;
    struct incoming *in = mem_alloc(sizeof *in);

    in->net = n;
    in->link = l;
    in->id = f->id;
    in->head = head;
    in->body = body;
    in->request =
        (struct net_request){.server = l->server,
                             .service = f->service,
                             .type = f->type,
                             .wants_reply = f->kind == FRAME_REQUEST,
                             .deadline_ms = clock_mono_ms() + f->value,
                             .head = head,
                             .head_len = f->head_len,
                             .body = body,
                             .body_len = f->body_len};
    atomic_fetch_add(&l->refs, 1);
    in->bytes = (size_t)f->head_len + f->body_len;
    l->unanswered_bytes += in->bytes;
    if (l->server == 0 && f->service != NET_JOIN) {
        atomic_fetch_add(&n->refused, 1);
        net_reply(n, &in->request, ERR_DENIED, "only members may ask that",
                  NULL, 0, NULL, 0, NULL, NULL);
        return;
    }
    if (l->server != 0 && net_is_forbidden(n, l->server)) {
        atomic_fetch_add(&n->refused, 1);
        net_reply(n, &in->request, ERR_DENIED,
                  "you were removed from the cluster", NULL, 0, NULL, 0, NULL,
                  NULL);
        return;
    }
    if (n->services[f->service].fn == NULL) {
        net_reply(n, &in->request, ERR_UNSUPPORTED, "not served here", NULL, 0,
                  NULL, 0, NULL, NULL);
        return;
    }
    atomic_fetch_add(&n->served, 1);
    n->services[f->service].fn(n->services[f->service].arg, &in->request);
}

static void on_answered(struct loop_call *call)
{
    struct incoming *in = LIST_OF(call, struct incoming, call);
    struct link *l = in->link;

    if (l->state == LINK_OPEN && in->reply != NULL) {
        link_send(l, in->reply);
    } else if (in->reply != NULL) {
        out_frame_free(in->reply);
    }
    link_answered(l, in->bytes);
    incoming_free(in);
    link_unref(l);
}

static struct out_frame *new_reply(const struct incoming *in, int status,
                                   const char *text, const void *head,
                                   size_t head_len, const void *body,
                                   size_t body_len)
{
    struct out_frame *o = mem_alloc(sizeof *o);
    size_t text_len = text != NULL && status != 0 ? strlen(text) : 0;

    CHECK(status >= 0);
    CHECK(head_len < NET_HEAD_MAX && body_len <= NET_BODY_MAX);
    text_len = text_len < 250 ? text_len : 250;
    put_u16(&o->head, (uint16_t)text_len);
    buf_append(&o->head, text, text_len);
    buf_append(&o->head, head, head_len);
    o->body = body;
    o->frame = (struct frame){.kind = FRAME_REPLY,
                              .service = in->request.service,
                              .type = in->request.type,
                              .id = in->id,
                              .value = (uint32_t)status,
                              .head_len = (uint32_t)o->head.len,
                              .body_len = (uint32_t)body_len};
    return o;
}

void net_reply(struct net *n, struct net_request *r, int status,
               const char *text, const void *head, size_t head_len,
               const void *body, size_t body_len, void (*release)(void *arg),
               void *arg)
{
    struct incoming *in = LIST_OF(r, struct incoming, request);
    bool stopped;

    if (r->wants_reply) {
        in->reply = new_reply(in, status, text, head, head_len, body, body_len);
        in->reply->release = release;
        in->reply->arg = arg;
        if (release == NULL && body_len > 0) {
            in->reply->own_body = mem_dup(body, body_len);
            in->reply->body = in->reply->own_body;
        }
    } else if (release != NULL) {
        release(arg);
    }
    in->call.fn = on_answered;
    pthread_mutex_lock(&n->mutex);
    stopped = n->stopped;
    if (!stopped) {
        loop_post(n->loop, &in->call);
    }
    pthread_mutex_unlock(&n->mutex);
    if (stopped) {
        if (in->reply != NULL) {
            out_frame_free(in->reply);
        }
        link_unref(in->link);
        incoming_free(in);
    }
}

void net_serve(struct net *n, enum net_service service,
               void (*fn)(void *arg, struct net_request *r), void *arg)
{
    CHECK(!n->started);
    n->services[service].fn = fn;
    n->services[service].arg = arg;
}

/* ---- calling: the net's thread ---- */

/* What other threads ask of the loop. */
struct op {
    struct loop_call call;
    struct net *net;
    uint32_t server;
    char *address;
    struct net_call *ask;
    struct out_frame *message;
};

static unsigned link_of(uint8_t service)
{
    return service == NET_RAFT || service == NET_CLUSTER ? 0 : 1;
}

/* The link to @p for @service, begun if need be; NULL says why. */
static struct link *reach(struct net *n, struct peer *p, uint8_t service,
                          struct err *err)
{
    unsigned i = link_of(service);

    if (p->forbidden) {
        err_set(err, 0, "server %u was removed from the cluster", p->id);
        return NULL;
    }
    if (p->links[i] != NULL) {
        return p->links[i];
    }
    if (p->failed_ms != 0 && clock_mono_ms() - p->failed_ms < p->backoff_ms) {
        *err = p->why; /* a moment ago */
        return NULL;
    }
    if (p->failed_ms != 0) { /* perhaps its name stands for another one now */
        net_names_forget(p);
    }
    if (!net_names_known(n, p, err)) {
        return NULL;
    }
    p->links[i] = link_connect(n, p, err);
    return p->links[i];
}

static void done_now(struct net *n, struct net_call *c, int status,
                     const struct err *why)
{
    c->status = status;
    c->err = *why;
    atomic_fetch_add(&n->failed, 1);
    c->done(c);
}

static void call_peer(struct net *n, struct peer *p, struct net_call *c)
{
    struct err why = {{0}};
    struct link *l = reach(n, p, c->service, &why);
    struct out_frame *o;
    struct flight *f;

    if (l == NULL) {
        done_now(n, c, p->forbidden ? ERR_DENIED : ERR_UNAVAILABLE, &why);
        return;
    }
    if (l->out_bytes + c->head_len + c->body_len > NET_QUEUE_MAX) {
        err_set(&why, 0, "server %u: too much waits for it", p->id);
        done_now(n, c, ERR_BUSY, &why);
        return;
    }
    f = mem_alloc(sizeof *f);
    f->call = c;
    f->id = n->next_id++;
    f->deadline_ms = clock_mono_ms() + c->timeout_ms;
    list_push(&l->flights, &f->node);
    o = mem_alloc(sizeof *o);
    o->flight = f;
    o->head_ptr = c->head;
    o->body = c->body;
    o->frame = (struct frame){.kind = FRAME_REQUEST,
                              .service = c->service,
                              .type = c->type,
                              .id = f->id,
                              .value = (uint32_t)c->timeout_ms,
                              .head_len = (uint32_t)c->head_len,
                              .body_len = (uint32_t)c->body_len};
    link_send(l, o);
}

static void send_message(struct net *n, struct peer *p, struct out_frame *o)
{
    struct err why;
    struct link *l = reach(n, p, o->frame.service, &why);

    if (l == NULL || l->out_bytes + o->frame.head_len > NET_QUEUE_MAX) {
        out_frame_free(o);
        return;
    }
    link_send(l, o);
}

static void drop_links(struct peer *p, const char *text)
{
    struct err why;

    err_set(&why, 0, "%s", text);
    for (int i = 0; i < NET_LINKS; i++) {
        if (p->links[i] != NULL) {
            link_close(p->links[i], 0, &why);
        }
    }
    p->failed_ms = 0;
    p->backoff_ms = 0;
}

static struct peer *make_peer(struct net *n, uint32_t id, const char *address)
{
    struct peer *p = id != 0 ? find_peer(n, id) : NULL;

    if (p == NULL) {
        p = mem_alloc(sizeof *p);
        p->id = id;
        p->address = mem_strdup(address);
        list_push(&n->peers, &p->node);
    } else if (strcmp(p->address, address) != 0) {
        drop_links(p, "it has another address now");
        free(p->address);
        p->address = mem_strdup(address);
        net_names_forget(p);
    }
    return p;
}

static void on_op(struct loop_call *call)
{
    struct op *op = LIST_OF(call, struct op, call);
    struct net *n = op->net;
    struct peer *p;
    struct err why;

    if (op->address != NULL) {
        p = make_peer(n, op->server, op->address);
        net_names_known(n, p, &why); /* so that it is when it is called */
    } else {
        p = find_peer(n, op->server);
    }
    if (op->ask != NULL && p == NULL) {
        err_set(&why, 0, "server %u: its address is not known", op->server);
        done_now(n, op->ask, ERR_UNAVAILABLE, &why);
    } else if (op->ask != NULL) {
        call_peer(n, p, op->ask);
    } else if (op->message != NULL && p != NULL) {
        send_message(n, p, op->message);
    } else if (op->message != NULL) {
        out_frame_free(op->message);
    }
    free(op->address);
    free(op);
}

static void on_forbid(struct loop_call *call)
{
    struct op *op = LIST_OF(call, struct op, call);
    struct net *n = op->net;
    struct peer *p = find_peer(n, op->server);
    struct err why;

    p = p != NULL ? p : make_peer(n, op->server, "");
    p->forbidden = true;
    drop_links(p, "it was removed from the cluster");
    err_set(&why, 0, "server %u was removed from the cluster", op->server);
    for (struct list_node *node = n->links.next; node != &n->links;) {
        struct link *l = LIST_OF(node, struct link, node);
        node = node->next;
        if (l->server == op->server) {
            link_close(l, 0, &why);
            node = n->links.next;
        }
    }
    free(op);
}

/* ---- calling: any thread ---- */

static struct op *op_new(struct net *n, uint32_t server,
                         void (*fn)(struct loop_call *))
{
    struct op *op = mem_alloc(sizeof *op);

    op->net = n;
    op->server = server;
    op->call.fn = fn;
    return op;
}

/* False: stopped; then @op is gone. */
static bool post(struct net *n, struct op *op)
{
    bool stopped;

    pthread_mutex_lock(&n->mutex);
    stopped = n->stopped;
    if (!stopped) {
        loop_post(n->loop, &op->call);
    }
    pthread_mutex_unlock(&n->mutex);
    if (stopped) {
        free(op->address);
        free(op);
    }
    return !stopped;
}

static void call_closed(struct net *n, struct net_call *c)
{
    struct err why;

    err_set(&why, 0, "the cluster port is closed");
    done_now(n, c, ERR_CLOSED, &why);
}

static void begin_call(struct net *n, struct op *op, struct net_call *c)
{
    CHECK(c->head_len <= NET_HEAD_MAX && c->body_len <= NET_BODY_MAX);
    c->status = 0;
    c->err.text[0] = '\0';
    c->reply_head = c->reply_body = (struct buf){0};
    c->body_got = 0;
    op->ask = c;
    atomic_fetch_add(&n->calls, 1);
    if (!post(n, op)) {
        call_closed(n, c);
    }
}

void net_call(struct net *n, uint32_t server, struct net_call *c)
{
    begin_call(n, op_new(n, server, on_op), c);
}

struct waiting {
    struct net_call *call;
    struct latch latch;
};

static void wake(struct net_call *c)
{
    struct waiting *w = (struct waiting *)c->next;

    latch_signal(&w->latch);
}

static int wait_for(struct net *n, struct op *op, struct net_call *c)
{
    struct waiting w = {.call = c};

    latch_init(&w.latch);
    c->done = wake;
    c->next = (struct net_call *)(void *)&w;
    begin_call(n, op, c);
    while (!latch_wait(&w.latch, 1, UINT32_MAX)) { /* calls have deadlines */
    }
    latch_close(&w.latch);
    c->next = NULL;
    return c->status;
}

int net_call_wait(struct net *n, uint32_t server, struct net_call *c)
{
    return wait_for(n, op_new(n, server, on_op), c);
}

int net_call_address(struct net *n, const char *address, struct net_call *c)
{
    struct op *op;
    char *numeric = NULL;
    int rc = n->resolve(address, &numeric, &c->err);

    if (rc != 0) {
        c->reply_head = c->reply_body = (struct buf){0};
        c->status = ERR_UNAVAILABLE;
        return c->status;
    }
    op = op_new(n, 0, on_op);
    op->address = numeric;
    return wait_for(n, op, c);
}

void net_send(struct net *n, uint32_t server, uint8_t service, uint8_t type,
              const void *head, size_t head_len, const void *body,
              size_t body_len)
{
    struct op *op = op_new(n, server, on_op);
    struct out_frame *o = mem_alloc(sizeof *o);

    CHECK(head_len <= NET_HEAD_MAX && body_len <= NET_BODY_MAX);
    buf_append(&o->head, head, head_len);
    if (body_len > 0) {
        o->own_body = mem_dup(body, body_len);
        o->body = o->own_body;
    }
    o->frame = (struct frame){.kind = FRAME_MESSAGE,
                              .service = service,
                              .type = type,
                              .head_len = (uint32_t)head_len,
                              .body_len = (uint32_t)body_len};
    op->message = o;
    if (!post(n, op)) {
        out_frame_free(o);
    }
}

void net_peer(struct net *n, uint32_t server, const char *address)
{
    struct op *op = op_new(n, server, on_op);

    op->address = mem_strdup(address);
    post(n, op);
}

void net_forbid(struct net *n, uint32_t server)
{
    post(n, op_new(n, server, on_forbid));
}

void net_renew(struct net *n, struct tls_context *tls)
{
    struct tls_context *old;

    pthread_mutex_lock(&n->mutex);
    old = n->tls;
    n->tls = tls;
    pthread_mutex_unlock(&n->mutex);
    tls_context_free(old);
}

/* ---- life ---- */

static void on_accept(struct loop_fd *f, uint32_t events)
{
    struct net *n = LIST_OF(f, struct net, listen);

    (void)events;
    for (int i = 0; i < 64; i++) {
        int fd = accept4(f->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            return;
        }
        if (n->strangers >= NET_STRANGERS_MAX) {
            atomic_fetch_add(&n->refused, 1);
            link_evict_stranger(n); /* who is a member proves it soon */
        }
        link_accept(n, fd);
    }
}

static void on_tick(struct loop_timer *t)
{
    struct net *n = LIST_OF(t, struct net, tick);
    uint64_t now = clock_mono_ms();
    struct list_node *node = n->links.next;

    while (node != &n->links) {
        struct link *l = LIST_OF(node, struct link, node);
        atomic_fetch_add(&l->refs, 1);
        link_tick(l, now);
        /* A closed link has left the list; those before it were looked at. */
        node = l->state == LINK_CLOSED ? n->links.next : l->node.next;
        link_unref(l);
    }
    loop_timer_set(n->loop, t, TICK_MS);
}

static int listen_on(struct net *n, const char *where, struct err *err)
{
    const char *colon = strrchr(where, ':');
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    struct sockaddr_storage got;
    socklen_t len = sizeof got;
    char host[NI_MAXHOST], port[NI_MAXSERV];
    bool brackets = where[0] == '[';
    int on = 1, rc;
    char *name;

    if (colon == NULL) {
        return err_set(err, ERR_BAD_INPUT, "cluster: %s is not ADDR:PORT",
                       where);
    }
    name =
        mem_strndup(where + brackets, (size_t)(colon - where) - 2 * brackets);
    rc = getaddrinfo(name, colon + 1, &hints, &found);
    free(name);
    if (rc != 0) {
        return err_set(err, ERR_BAD_INPUT, "cluster: %s: %s", where,
                       gai_strerror(rc));
    }
    n->listen.fd =
        socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(n->listen.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (n->listen.fd < 0 ||
        bind(n->listen.fd, found->ai_addr, found->ai_addrlen) != 0 ||
        listen(n->listen.fd, BACKLOG) != 0) {
        rc = err_errno(err, "cluster: listen on %s", where);
        if (n->listen.fd >= 0) {
            close(n->listen.fd);
            n->listen.fd = -1;
        }
    }
    freeaddrinfo(found);
    if (rc != 0) {
        return rc;
    }
    CHECK(getsockname(n->listen.fd, (struct sockaddr *)&got, &len) == 0);
    CHECK(getnameinfo((struct sockaddr *)&got, len, host, sizeof host, port,
                      sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) == 0);
    n->address =
        mem_printf(got.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    return 0;
}

int net_open(const struct net_options *options, struct net **out,
             struct err *err)
{
    struct net *n = mem_alloc(sizeof *n);
    int rc = 0;

    n->tls = options->tls;
    n->server = options->server;
    n->resolve =
        options->resolve != NULL ? options->resolve : net_names_resolve;
    n->listen.fd = -1;
    n->next_id = 1;
    list_init(&n->links);
    list_init(&n->peers);
    CHECK(pthread_mutex_init(&n->mutex, NULL) == 0);
    if (options->listen != NULL) {
        rc = listen_on(n, options->listen, err);
    }
    if (rc != 0) {
        tls_context_free(n->tls);
        pthread_mutex_destroy(&n->mutex);
        free(n);
        return rc;
    }
    n->loop = loop_new();
    *out = n;
    return 0;
}

void net_become(struct net *n, uint32_t server, struct tls_context *tls)
{
    CHECK(!n->started && n->tls == NULL);
    n->server = server;
    n->tls = tls;
}

static void *net_main(void *arg)
{
    struct net *n = arg;

    pthread_setname_np(pthread_self(), "net");
    loop_run(n->loop, NULL, NULL);
    return NULL;
}

void net_start(struct net *n)
{
    CHECK(!n->started && n->tls != NULL);
    n->started = true;
    loop_timer_init(&n->tick, on_tick);
    loop_timer_set(n->loop, &n->tick, TICK_MS);
    if (n->listen.fd >= 0) {
        n->listen.fn = on_accept;
        loop_add_fd(n->loop, &n->listen, EPOLLIN);
    }
    CHECK(pthread_create(&n->thread, NULL, net_main, n) == 0);
}

const char *net_address(const struct net *n)
{
    return n->address;
}

static void on_finish(struct loop_call *call)
{
    struct op *op = LIST_OF(call, struct op, call);

    loop_stop(op->net->loop);
    free(op);
}

/* Close all; what was posted before comes first, and nothing after. */
static void on_stop(struct loop_call *call)
{
    struct op *op = LIST_OF(call, struct op, call);
    struct net *n = op->net;
    struct err why;

    err_set(&why, 0, "the cluster port is closed");
    pthread_mutex_lock(&n->mutex);
    n->stopped = true;
    pthread_mutex_unlock(&n->mutex);
    loop_timer_clear(&n->tick);
    if (n->listen.fd >= 0) {
        loop_remove_fd(n->loop, &n->listen);
        close(n->listen.fd);
        n->listen.fd = -1;
    }
    while (!list_empty(&n->links)) {
        link_close(LIST_OF(n->links.next, struct link, node), ERR_CLOSED, &why);
    }
    op->call.fn = on_finish;
    loop_post(n->loop, &op->call);
}

/* After the loop: calls that came between on_stop's flag and its end have made
 * links again. */
static void close_rest(struct net *n)
{
    struct err why;

    err_set(&why, 0, "the cluster port is closed");
    while (!list_empty(&n->links)) {
        link_close(LIST_OF(n->links.next, struct link, node), ERR_CLOSED, &why);
    }
}

void net_stop(struct net *n)
{
    if (!n->started) {
        return;
    }
    loop_post(n->loop, &op_new(n, 0, on_stop)->call);
    pthread_join(n->thread, NULL);
    close_rest(n);
    n->started = false;
}

/* What a net was told that never started. */
static void drain(struct net *n)
{
    pthread_mutex_lock(&n->mutex);
    n->stopped = true;
    pthread_mutex_unlock(&n->mutex);
    loop_post(n->loop, &op_new(n, 0, on_finish)->call);
    loop_run(n->loop, NULL, NULL);
    close_rest(n);
}

void net_close(struct net *n)
{
    if (n == NULL) {
        return;
    }
    net_stop(n);
    if (!n->stopped) {
        drain(n);
    }
    net_names_close(n);
    while (!list_empty(&n->peers)) {
        struct peer *p = LIST_OF(n->peers.next, struct peer, node);
        list_remove(&p->node);
        free(p->address);
        free(p);
    }
    if (n->listen.fd >= 0) {
        close(n->listen.fd);
    }
    tls_context_free(n->tls);
    loop_free(n->loop);
    pthread_mutex_destroy(&n->mutex);
    free(n->address);
    free(n);
}

void net_stats(struct net *n, struct net_stats *out)
{
    *out = (struct net_stats){.links = atomic_load(&n->links_open),
                              .strangers = atomic_load(&n->strangers_open),
                              .calls = atomic_load(&n->calls),
                              .calls_failed = atomic_load(&n->failed),
                              .served = atomic_load(&n->served),
                              .refused = atomic_load(&n->refused),
                              .bytes_in = atomic_load(&n->bytes_in),
                              .bytes_out = atomic_load(&n->bytes_out)};
}
