#include "tests/lib/canned_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"

#define REQUESTS_MAX 64

struct canned_server {
    pthread_t thread;
    pthread_mutex_t mutex;
    const struct canned_reply *replies;
    size_t count;
    int listener;
    char endpoint[64];
    /* under mutex */
    int fd; /* the connection that is served; -1: none */
    bool stopping;
    unsigned connections;
    unsigned requests;
    struct buf request[REQUESTS_MAX];
};

/* One byte of the stream; -1: it ended. */
static int next_byte(int fd)
{
    unsigned char c;

    return recv(fd, &c, 1, 0) == 1 ? c : -1;
}

static bool read_until(int fd, struct buf *b, const char *end)
{
    size_t len = strlen(end);

    for (;;) {
        int c = next_byte(fd);
        if (c < 0) {
            return false;
        }
        buf_char(b, (char)c);
        if (b->len >= len && memcmp(b->data + b->len - len, end, len) == 0) {
            return true;
        }
    }
}

static bool read_exactly(int fd, struct buf *b, size_t len)
{
    buf_reserve(b, len + 1);
    while (len > 0) {
        ssize_t n = recv(fd, b->data + b->len, len, 0);
        if (n <= 0) {
            return false;
        }
        b->len += (size_t)n;
        len -= (size_t)n;
    }
    b->data[b->len] = '\0';
    return true;
}

static bool read_chunks(int fd, struct buf *b)
{
    for (;;) {
        size_t start = b->len;
        unsigned long size;
        if (!read_until(fd, b, "\r\n")) {
            return false;
        }
        size = strtoul((char *)b->data + start, NULL, 16);
        if (!read_exactly(fd, b, size + 2)) {
            return false;
        }
        if (size == 0) {
            return true;
        }
    }
}

static bool read_body(int fd, struct buf *b)
{
    char *length = strcasestr((char *)b->data, "\r\ncontent-length:");

    if (strcasestr((char *)b->data, "\r\ntransfer-encoding: chunked")) {
        return read_chunks(fd, b);
    }
    return length == NULL ||
           read_exactly(fd, b, strtoul(length + 17, NULL, 10));
}

static void send_reply(int fd, const struct canned_reply *r)
{
    size_t len = r->text == NULL ? 0 : r->len != 0 ? r->len : strlen(r->text);
    size_t step = r->bytewise ? 1 : len;

    for (size_t at = 0; at < len; at += step) {
        if (send(fd, r->text + at, step, MSG_NOSIGNAL) < 0) {
            return;
        }
    }
}

/* Wait for the next request; false when another connection waits and this one
 * is silent: it is closed, as servers do with idle ones. */
static bool wait_request(struct canned_server *s, int fd)
{
    struct pollfd p[2] = {{.fd = fd, .events = POLLIN},
                          {.fd = s->listener, .events = POLLIN}};

    poll(p, 2, -1);
    return p[0].revents != 0;
}

/* Serve one connection; gives the number of replies used. */
static size_t serve(struct canned_server *s, int fd, size_t next)
{
    bool first = true;

    while (next < s->count) {
        const struct canned_reply *r = &s->replies[next];
        struct buf b = {0};
        bool whole =
            (first || wait_request(s, fd)) && read_until(fd, &b, "\r\n\r\n");
        first = false;
        if (whole && r->go_on) {
            send(fd, "HTTP/1.1 100 Continue\r\n\r\n", 25, MSG_NOSIGNAL);
        }
        whole = whole && (r->early || read_body(fd, &b));
        if (b.len > 0) {
            pthread_mutex_lock(&s->mutex);
            CHECK(s->requests < REQUESTS_MAX);
            s->request[s->requests++] = b;
            pthread_mutex_unlock(&s->mutex);
        }
        if (!whole) {
            return next; /* the client went away */
        }
        send_reply(fd, r);
        next++;
        if (r->close || r->text == NULL) {
            return next;
        }
    }
    return next;
}

static void *run(void *arg)
{
    struct canned_server *s = arg;
    size_t next = 0;

    while (next < s->count) {
        int one = 1;
        int fd = accept(s->listener, NULL, NULL);
        bool stopping;
        if (fd < 0) {
            break;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        pthread_mutex_lock(&s->mutex);
        stopping = s->stopping;
        s->fd = stopping ? -1 : fd;
        s->connections++;
        pthread_mutex_unlock(&s->mutex);
        if (!stopping) {
            next = serve(s, fd, next);
        }
        pthread_mutex_lock(&s->mutex);
        s->fd = -1;
        pthread_mutex_unlock(&s->mutex);
        shutdown(fd, SHUT_WR);
        close(fd);
        if (stopping) {
            break;
        }
    }
    return NULL;
}

struct canned_server *canned_start(const struct canned_reply *replies,
                                   size_t count)
{
    struct canned_server *s = mem_alloc(sizeof *s);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;

    s->replies = replies;
    s->count = count;
    s->fd = -1;
    pthread_mutex_init(&s->mutex, NULL);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(s->listener >= 0);
    CHECK(bind(s->listener, (struct sockaddr *)&a, sizeof a) == 0);
    CHECK(listen(s->listener, 16) == 0);
    CHECK(getsockname(s->listener, (struct sockaddr *)&a, &len) == 0);
    snprintf(s->endpoint, sizeof s->endpoint, "http://127.0.0.1:%u",
             ntohs(a.sin_port));
    CHECK(pthread_create(&s->thread, NULL, run, s) == 0);
    return s;
}

void canned_stop(struct canned_server *s)
{
    pthread_mutex_lock(&s->mutex);
    s->stopping = true;
    if (s->fd >= 0) {
        shutdown(s->fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&s->mutex);
    shutdown(s->listener, SHUT_RDWR); /* wakes accept */
    pthread_join(s->thread, NULL);
    close(s->listener);
    for (unsigned i = 0; i < s->requests; i++) {
        buf_free(&s->request[i]);
    }
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

const char *canned_endpoint(const struct canned_server *s)
{
    return s->endpoint;
}

unsigned canned_connections(struct canned_server *s)
{
    unsigned n;

    pthread_mutex_lock(&s->mutex);
    n = s->connections;
    pthread_mutex_unlock(&s->mutex);
    return n;
}

unsigned canned_requests(struct canned_server *s)
{
    unsigned n;

    pthread_mutex_lock(&s->mutex);
    n = s->requests;
    pthread_mutex_unlock(&s->mutex);
    return n;
}

const char *canned_request(struct canned_server *s, unsigned i)
{
    const char *text;

    pthread_mutex_lock(&s->mutex);
    text = i < s->requests ? (const char *)s->request[i].data : "";
    pthread_mutex_unlock(&s->mutex);
    return text;
}
