#include "edge-agent/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/text.h"

#define READ_SIZE (64U * 1024)
#define BACKLOG 128
#define TICK_MS 1000
#define BUFFER_KEPT 4096 /* bytes of each between requests */
#define EXCHANGE_MAGIC 0x48545458u

enum phase {
    HEAD,   /* a head is awaited */
    BODY,   /* its body comes */
    ANSWER, /* the handler has all and has not answered */
    WRITE,  /* the answer goes out */
    LINGER, /* answered early: what still comes is thrown away */
};

struct connection {
    struct http_exchange x; /* first: handlers give it back */
    uint32_t magic;
    struct http_server *server;
    struct list_node node;
    struct loop_fd fd;
    uint32_t events;
    enum phase phase;
    bool open; /* begin was called, done was not */
    bool answered;
    bool body_done;
    bool close; /* after the answer */
    bool dead;  /* freed when no caller is inside */
    int depth;  /* callers inside */
    struct http_chunks chunks;
    uint64_t body_left;
    uint64_t due_ms;
    struct buf in; /* not yet read */
    struct buf head_text;
    struct buf out;
    size_t out_at;
    http_pull pull;
};

struct listener {
    struct loop_fd fd;
    struct http_server *server;
    char *path; /* of a socket file */
};

struct http_server {
    struct loop *loop;
    struct http_handler handler;
    struct list_node connections;
    size_t count;
    struct listener listeners[HTTP_LISTENERS_MAX];
    size_t listener_count;
    bool paused;
    struct loop_timer tick;
    uint8_t *read_buffer;
};

static void run(struct connection *c);

/* ---- life of a connection ---- */

static void set_events(struct connection *c, uint32_t events)
{
    if (!c->dead && c->events != events) {
        c->events = events;
        loop_set_fd(c->server->loop, &c->fd, events);
    }
}

static void listen_again(struct http_server *s)
{
    for (size_t i = 0; s->paused && i < s->listener_count; i++) {
        loop_set_fd(s->loop, &s->listeners[i].fd, EPOLLIN);
    }
    s->paused = false;
}

static void end_exchange(struct connection *c)
{
    if (c->open) {
        c->open = false;
        c->server->handler.done(c->server->handler.arg, &c->x);
    }
    c->x.user = NULL;
    c->pull = NULL;
}

static void free_connection(struct connection *c)
{
    buf_free(&c->in);
    buf_free(&c->head_text);
    buf_free(&c->out);
    c->magic = 0;
    free(c);
}

static void break_connection(struct connection *c)
{
    if (c->dead) {
        return;
    }
    c->dead = true;
    loop_remove_fd(c->server->loop, &c->fd);
    close(c->fd.fd);
    list_remove(&c->node);
    c->server->count--;
    end_exchange(c);
    listen_again(c->server);
    if (c->depth == 0) {
        free_connection(c);
    }
}

static void enter(struct connection *c)
{
    c->depth++;
}

static void leave(struct connection *c)
{
    if (--c->depth == 0 && c->dead) {
        free_connection(c);
    }
}

static void due_in(struct connection *c, uint64_t ms)
{
    c->due_ms = clock_mono_ms() + ms;
}

/* ---- answers ---- */

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } rows[] = {
        {100, "Continue"},
        {200, "OK"},
        {204, "No Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].status == status) {
            return rows[i].reason;
        }
    }
    return "Other";
}

static struct connection *connection_of(struct http_exchange *x)
{
    struct connection *c = (struct connection *)(void *)x;

    CHECK_OBJ(c, EXCHANGE_MAGIC);
    return c;
}

bool http_answered(const struct http_exchange *x)
{
    const struct connection *c = (const struct connection *)(const void *)x;

    CHECK_OBJ(c, EXCHANGE_MAGIC);
    return c->answered;
}

static void put_head(struct connection *c, int status, const char *fields,
                     uint64_t length)
{
    char date[TEXT_TIME_MAX];

    CHECK(!c->answered);
    c->answered = true;
    if (!c->body_done || !c->x.head.keep_alive) {
        c->close = true;
    }
    buf_printf(&c->out, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
    buf_printf(&c->out, "Server: godwit-edge\r\nDate: %s\r\n%s",
               text_http_date(clock_real_ms(), date), fields);
    if (status != 204) {
        buf_printf(&c->out, "Content-Length: %llu\r\n",
                   (unsigned long long)length);
    }
    buf_printf(&c->out, "%s\r\n", c->close ? "Connection: close\r\n" : "");
}

/* Who answers out of the handler's calls is not in run(): go on then. */
static void go_on(struct connection *c)
{
    c->phase = WRITE;
    due_in(c, HTTP_STALL_MS);
    if (c->depth == 0) {
        run(c);
    }
}

static bool is_head(const struct connection *c)
{
    return c->x.head.method != NULL && strcmp(c->x.head.method, "HEAD") == 0;
}

void http_answer(struct http_exchange *x, int status, const char *fields,
                 const void *body, size_t len)
{
    struct connection *c = connection_of(x);

    put_head(c, status, fields, len);
    if (len > 0 && !is_head(c) && status != 204) {
        buf_append(&c->out, body, len);
    }
    go_on(c);
}

void http_answer_stream(struct http_exchange *x, int status, const char *fields,
                        uint64_t length, http_pull pull)
{
    struct connection *c = connection_of(x);

    put_head(c, status, fields, length);
    c->pull = is_head(c) || length == 0 ? NULL : pull;
    go_on(c);
}

/* What the peer sent cannot be read: the last answer on this connection. */
static void refuse(struct connection *c, int status, const char *why)
{
    char text[ERR_TEXT_SIZE + 2];
    int len = snprintf(text, sizeof text, "%s\n", why);

    c->body_done = false;
    c->x.head.method = NULL;
    http_answer(&c->x, status, "Content-Type: text/plain\r\n", text,
                (size_t)len);
}

/* ---- input ---- */

/* @more: bytes of the body are here already. */
static void start_exchange(struct connection *c, bool more)
{
    const struct http_head *h = &c->x.head;

    c->answered = false;
    c->body_done = !h->chunked && h->content_length == 0;
    c->body_left = h->content_length;
    c->chunks = (struct http_chunks){0};
    c->phase = BODY;
    c->open = true;
    due_in(c, HTTP_STALL_MS);
    c->server->handler.begin(c->server->handler.arg, &c->x);
    if (!c->dead && !c->answered && h->expect_continue && !c->body_done &&
        !more) {
        buf_str(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
    }
}

/* Gives how many bytes it used; fewer than @len only when it needs more, or
 * waits. */
static size_t take_head(struct connection *c, const uint8_t *p, size_t len)
{
    size_t end = http_head_end((const char *)p, len);
    struct err err;
    int status = 400;

    if (end == 0 || end > HTTP_HEAD_MAX) {
        if (len >= HTTP_HEAD_MAX) {
            c->answered = false;
            refuse(c, 431, "the head is too long");
            return len;
        }
        return 0;
    }
    buf_clear(&c->head_text);
    buf_append(&c->head_text, p, end);
    if (http_head_parse((char *)c->head_text.data, end, &c->x.head, &status,
                        &err) != 0) {
        c->answered = false;
        refuse(c, status, err.text);
        return len;
    }
    start_exchange(c, len > end);
    return end;
}

static size_t take_body(struct connection *c, const uint8_t *p, size_t len)
{
    const struct http_handler *h = &c->server->handler;
    const uint8_t *data = p;
    size_t data_len, used;
    struct err err;

    if (c->x.head.chunked) {
        int code = http_chunks_read(&c->chunks, p, len, &used, &data, &data_len,
                                    &c->body_done, &err);
        if (code != 0) {
            refuse(c, code == ERR_LIMIT ? 413 : 400, err.text);
            return len;
        }
    } else {
        used = data_len = len < c->body_left ? len : (size_t)c->body_left;
        c->body_left -= used;
        c->body_done = c->body_left == 0;
    }
    due_in(c, HTTP_STALL_MS);
    if (data_len > 0) {
        h->body(h->arg, &c->x, data, data_len);
    }
    return used;
}

/* Use what came, as far as it goes. */
static size_t take(struct connection *c, const uint8_t *p, size_t len)
{
    const struct http_handler *h = &c->server->handler;
    size_t at = 0;

    while (!c->dead) {
        size_t used = 0;
        if (c->phase == LINGER) {
            return len;
        }
        if (c->phase == HEAD) {
            used = at < len ? take_head(c, p + at, len - at) : 0;
        } else if (c->phase == BODY && !c->body_done) {
            used = at < len ? take_body(c, p + at, len - at) : 0;
        }
        at += used;
        if (!c->dead && c->phase == BODY && c->body_done && !c->answered) {
            c->phase = ANSWER;
            h->end(h->arg, &c->x);
            continue;
        }
        if (used == 0 || c->phase == WRITE || c->phase == ANSWER) {
            return at;
        }
    }
    return len;
}

/* ---- output ---- */

/* False when the peer takes no more now, or is gone. */
static bool flush_out(struct connection *c)
{
    while (!c->dead && c->out_at < c->out.len) {
        ssize_t n = send(c->fd.fd, c->out.data + c->out_at,
                         c->out.len - c->out_at, MSG_NOSIGNAL);
        if (n > 0) {
            c->out_at += (size_t)n;
            due_in(c, HTTP_STALL_MS);
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else if (n < 0 && errno == EAGAIN) {
            return false;
        } else {
            break_connection(c);
        }
    }
    buf_clear(&c->out);
    c->out_at = 0;
    return !c->dead;
}

/* A busy connection keeps small buffers; on_tick takes them from an idle one.
 */
static void drop_buffers(struct connection *c, size_t kept)
{
    struct buf *all[] = {&c->in, &c->out, &c->head_text};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i]->cap > kept) {
            buf_free(all[i]);
        }
    }
}

static void next_exchange(struct connection *c)
{
    end_exchange(c);
    if (c->dead) {
        return;
    }
    if (c->close) {
        /* Closing with unread bytes would reset, and the answer be lost. */
        shutdown(c->fd.fd, SHUT_WR);
        c->phase = LINGER;
        due_in(c, HTTP_LINGER_MS);
        buf_free(&c->in);
        return;
    }
    c->phase = HEAD;
    c->answered = false;
    due_in(c, c->in.len > 0 ? HTTP_HEAD_MS : HTTP_IDLE_MS);
    if (c->in.len == 0) {
        drop_buffers(c, BUFFER_KEPT);
    }
}

/* Write the answer; true when the exchange is over. */
static bool write_answer(struct connection *c)
{
    for (;;) {
        bool more = true;
        if (!flush_out(c)) {
            return false;
        }
        if (c->pull == NULL) {
            next_exchange(c);
            return true;
        }
        if (c->pull(&c->x, &c->out, &more) != 0) {
            break_connection(c);
            return false;
        }
        if (!more) {
            c->pull = NULL;
        }
    }
}

/* Go on as far as input and output allow. */
static void run(struct connection *c)
{
    enter(c);
    while (!c->dead) {
        size_t used;
        if (c->phase == WRITE) {
            if (!write_answer(c)) {
                break;
            }
            continue;
        }
        if (c->out.len > 0 && !flush_out(c)) {
            break; /* 100 Continue */
        }
        used = c->in.len > 0 ? take(c, c->in.data, c->in.len) : 0;
        if (!c->dead && used > 0) {
            memmove(c->in.data, c->in.data + used, c->in.len - used);
            c->in.len -= used;
        }
        if (!c->dead && c->phase != WRITE && used == 0 && c->out.len == 0) {
            break;
        }
    }
    if (!c->dead) {
        /* Most answers come before the peer's next bytes: who waits for one
         * stops reading only when some come. */
        bool reads = c->phase != WRITE &&
                     (c->phase != ANSWER || (c->events & EPOLLIN) != 0);
        set_events(c, (reads ? EPOLLIN : 0u) |
                          (c->out.len > 0 ? EPOLLOUT : 0u) | EPOLLRDHUP);
    }
    leave(c);
}

static void on_ready(struct loop_fd *f, uint32_t events)
{
    struct connection *c = LIST_OF(f, struct connection, fd);
    struct http_server *s = c->server;
    ssize_t n;

    CHECK_OBJ(c, EXCHANGE_MAGIC);
    if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
        break_connection(c);
        return;
    }
    /* The peer sends no more; while it waits for an answer that is its right,
     * but we would be told again and again. */
    if ((events & EPOLLRDHUP) != 0 && (events & EPOLLIN) == 0) {
        break_connection(c);
        return;
    }
    if ((events & EPOLLIN) != 0 && (c->phase == ANSWER || c->phase == WRITE)) {
        set_events(c, c->events & ~(uint32_t)EPOLLIN);
        return;
    }
    if ((events & EPOLLIN) != 0) {
        n = recv(c->fd.fd, s->read_buffer, READ_SIZE, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            break_connection(c);
            return;
        }
        if (n > 0 && c->phase != LINGER) {
            if (c->phase == HEAD && c->in.len == 0) {
                due_in(c, HTTP_HEAD_MS);
            }
            buf_append(&c->in, s->read_buffer, (size_t)n);
        }
    }
    run(c);
}

/* ---- accepting ---- */

static bool of_this_machine(int fd)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof a;

    if (getpeername(fd, (struct sockaddr *)&a, &len) != 0) {
        return false;
    }
    if (a.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)&a;
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    if (a.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const void *)&a;
        return IN6_IS_ADDR_LOOPBACK(&in->sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&in->sin6_addr) &&
                in->sin6_addr.s6_addr[12] == 127);
    }
    return a.ss_family == AF_UNIX;
}

static void add_connection(struct http_server *s, int fd)
{
    struct connection *c = mem_alloc(sizeof *c);
    int one = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->magic = EXCHANGE_MAGIC;
    c->server = s;
    c->x.local = of_this_machine(fd);
    c->fd = (struct loop_fd){fd, on_ready};
    c->events = EPOLLIN | EPOLLRDHUP;
    c->phase = HEAD;
    due_in(c, HTTP_IDLE_MS);
    list_push(&s->connections, &c->node);
    s->count++;
    loop_add_fd(s->loop, &c->fd, c->events);
}

static void on_accept(struct loop_fd *f, uint32_t events)
{
    struct listener *l = LIST_OF(f, struct listener, fd);
    struct http_server *s = l->server;

    (void)events;
    while (s->count < HTTP_CONNECTIONS_MAX) {
        int fd = accept4(f->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
                break; /* wait until one ends, or the next tick */
            }
            return;
        }
        if (s->count == 0) {
            loop_timer_set(s->loop, &s->tick, TICK_MS);
        }
        add_connection(s, fd);
    }
    for (size_t i = 0; s->count > 0 && i < s->listener_count; i++) {
        loop_set_fd(s->loop, &s->listeners[i].fd, 0);
        s->paused = true;
    }
}

/* Break what is overdue. Runs only while there are connections. */
static void on_tick(struct loop_timer *t)
{
    struct http_server *s = LIST_OF(t, struct http_server, tick);
    uint64_t now = clock_mono_ms();

    LIST_EACH_SAFE (node, &s->connections) {
        struct connection *c = LIST_OF(node, struct connection, node);
        if (c->phase != ANSWER && c->due_ms <= now) {
            break_connection(c);
        } else if (c->phase == HEAD && c->in.len == 0 &&
                   c->due_ms <= now + HTTP_IDLE_MS - TICK_MS) {
            drop_buffers(c, 0);
        }
    }
    if (s->count > 0) {
        loop_timer_set(s->loop, t, TICK_MS);
    }
}

static int add_listener(struct http_server *s, int fd, const char *path,
                        struct err *err)
{
    struct listener *l = &s->listeners[s->listener_count];

    if (s->listener_count == HTTP_LISTENERS_MAX) {
        return err_set(err, ERR_LIMIT, "more than %d addresses to listen at",
                       HTTP_LISTENERS_MAX);
    }
    if (listen(fd, BACKLOG) != 0) {
        return err_errno(err, "listen");
    }
    *l = (struct listener){
        .fd = {fd, on_accept},
        .server = s,
        .path = path != NULL ? mem_strdup(path) : NULL,
    };
    s->listener_count++;
    loop_add_fd(s->loop, &l->fd, EPOLLIN);
    return 0;
}

static int parse_address(const char *address, struct sockaddr_storage *out,
                         socklen_t *len, struct err *err)
{
    const char *colon = strrchr(address, ':');
    size_t host_len = colon != NULL ? (size_t)(colon - address) : 0;
    struct sockaddr_in *v4 = (void *)out;
    struct sockaddr_in6 *v6 = (void *)out;
    char host[64];
    uint64_t port;

    memset(out, 0, sizeof *out);
    if (colon == NULL || !text_u64(colon + 1, &port) || port > 65535 ||
        host_len >= sizeof host) {
        return err_set(err, ERR_BAD_INPUT, "\"%s\": not ADDR:PORT", address);
    }
    memcpy(host, address, host_len);
    host[host_len] = '\0';
    if (host[0] == '[' && host[host_len - 1] == ']') {
        host[host_len - 1] = '\0';
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        *len = sizeof *v6;
        if (inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1) {
            return 0;
        }
    } else {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        *len = sizeof *v4;
        if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
            return 0;
        }
    }
    return err_set(err, ERR_BAD_INPUT, "\"%s\": not an address in numbers",
                   address);
}

int http_is_loopback(const char *address, bool *loopback, struct err *err)
{
    struct sockaddr_storage a;
    const struct sockaddr_in *v4 = (const void *)&a;
    const struct sockaddr_in6 *v6 = (const void *)&a;
    socklen_t len;
    int code = parse_address(address, &a, &len, err);

    if (code == 0) {
        *loopback = a.ss_family == AF_INET
                        ? ntohl(v4->sin_addr.s_addr) >> 24 == 127
                        : IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
    }
    return code;
}

int http_listen(struct http_server *s, const char *address, unsigned *port,
                struct err *err)
{
    struct sockaddr_storage a;
    socklen_t len;
    int one = 1;
    int code = parse_address(address, &a, &len, err);
    int fd;

    if (code != 0) {
        return code;
    }
    fd = socket(a.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return err_errno(err, "socket");
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&a, len) != 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) != 0) {
        code = err_errno(err, "listen at %s", address);
    } else {
        code = add_listener(s, fd, NULL, err);
    }
    if (code != 0) {
        close(fd);
        return code;
    }
    *port =
        ntohs(a.ss_family == AF_INET
                  ? ((const struct sockaddr_in *)(const void *)&a)->sin_port
                  : ((const struct sockaddr_in6 *)(const void *)&a)->sin6_port);
    return 0;
}

int http_listen_path(struct http_server *s, const char *path, struct err *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct stat st;
    mode_t mask;
    int fd, code;

    if (strlen(path) >= sizeof a.sun_path) {
        return err_set(err, ERR_BAD_INPUT,
                       "%s: a socket's path has at most %zu"
                       " bytes",
                       path, sizeof a.sun_path - 1);
    }
    strcpy(a.sun_path, path);
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        unlink(path);
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return err_errno(err, "socket");
    }
    mask = umask(0177);
    code = bind(fd, (struct sockaddr *)&a, sizeof a) == 0
               ? 0
               : err_errno(err, "listen at %s", path);
    umask(mask);
    if (code == 0) {
        code = add_listener(s, fd, path, err);
    }
    if (code != 0) {
        close(fd);
    }
    return code;
}

/* ---- life ---- */

struct http_server *http_server_new(struct loop *loop,
                                    const struct http_handler *handler)
{
    struct http_server *s = mem_alloc(sizeof *s);

    s->loop = loop;
    s->handler = *handler;
    s->read_buffer = mem_alloc(READ_SIZE);
    list_init(&s->connections);
    loop_timer_init(&s->tick, on_tick);
    return s;
}

void http_server_free(struct http_server *s)
{
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; i < s->listener_count; i++) {
        struct listener *l = &s->listeners[i];
        loop_remove_fd(s->loop, &l->fd);
        close(l->fd.fd);
        if (l->path != NULL) {
            unlink(l->path);
            free(l->path);
        }
    }
    s->listener_count = 0;
    while (!list_empty(&s->connections)) {
        break_connection(LIST_OF(s->connections.next, struct connection, node));
    }
    loop_timer_clear(&s->tick);
    free(s->read_buffer);
    free(s);
}
