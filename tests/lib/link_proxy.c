#include "tests/lib/link_proxy.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"

#define PAIRS_MAX 64
#define PIPE_BYTES 65536
#define TICK_MS 5 /* how soon a new mode is seen */

/* From one socket to the other. */
struct pipe_way {
    int from, to;
    size_t at, len;
    uint8_t bytes[PIPE_BYTES];
};

struct pair {
    struct pipe_way ways[2]; /* to the target, and back */
};

struct link_proxy {
    int listener;
    struct sockaddr_in target;
    char address[32];
    atomic_int mode;
    atomic_bool stop;
    atomic_ullong bytes;
    pthread_t thread;
    struct pair *pairs[PAIRS_MAX]; /* the thread's */
};

static void pair_close(struct link_proxy *p, unsigned i)
{
    close(p->pairs[i]->ways[0].from);
    close(p->pairs[i]->ways[0].to);
    free(p->pairs[i]);
    p->pairs[i] = NULL;
}

static void prepare(int fd)
{
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
}

static void accept_one(struct link_proxy *p)
{
    int from = accept(p->listener, NULL, NULL);
    unsigned i = 0;
    int to;

    if (from < 0) {
        return;
    }
    to = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(to >= 0);
    if (atomic_load(&p->mode) == LINK_CUT ||
        connect(to, (struct sockaddr *)&p->target, sizeof p->target) != 0) {
        close(from);
        close(to);
        return;
    }
    prepare(from);
    prepare(to);
    while (i < PAIRS_MAX && p->pairs[i] != NULL) {
        i++;
    }
    CHECK(i < PAIRS_MAX);
    p->pairs[i] = mem_alloc(sizeof *p->pairs[i]);
    p->pairs[i]->ways[0].from = p->pairs[i]->ways[1].to = from;
    p->pairs[i]->ways[0].to = p->pairs[i]->ways[1].from = to;
}

/* False when the connection is at its end. */
static bool move(struct link_proxy *p, struct pipe_way *w, bool to_target)
{
    ssize_t n;

    if (w->len == 0) {
        n = recv(w->from, w->bytes, sizeof w->bytes, 0);
        if (n <= 0) {
            return n < 0;
        }
        w->at = 0;
        w->len = (size_t)n;
    }
    n = send(w->to, w->bytes + w->at, w->len, MSG_NOSIGNAL);
    if (n > 0) {
        w->at += (size_t)n;
        w->len -= (size_t)n;
        atomic_fetch_add(&p->bytes, to_target ? (size_t)n : 0);
    }
    return true;
}

static void serve(struct link_proxy *p, struct pollfd *polls,
                  const unsigned *owner, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        unsigned at = owner[i];
        if (polls[i].revents == 0 || p->pairs[at] == NULL) {
            continue;
        }
        if (!move(p, &p->pairs[at]->ways[0], true) ||
            !move(p, &p->pairs[at]->ways[1], false)) {
            pair_close(p, at);
        }
    }
}

static void *proxy_main(void *arg)
{
    struct link_proxy *p = arg;

    while (!atomic_load(&p->stop)) {
        struct pollfd polls[1 + 2 * PAIRS_MAX];
        unsigned owner[1 + 2 * PAIRS_MAX];
        unsigned count = 1;
        int mode = atomic_load(&p->mode);
        polls[0] = (struct pollfd){.fd = p->listener, .events = POLLIN};
        for (unsigned i = 0; i < PAIRS_MAX; i++) {
            if (p->pairs[i] != NULL && mode == LINK_CUT) {
                pair_close(p, i);
            }
            for (int w = 0; w < 2 && p->pairs[i] != NULL; w++) {
                const struct pipe_way *way = &p->pairs[i]->ways[w];
                if (mode == LINK_PASS) {
                    owner[count] = i;
                    polls[count++] = (struct pollfd){
                        .fd = way->len > 0 ? way->to : way->from,
                        .events = way->len > 0 ? POLLOUT : POLLIN};
                }
            }
        }
        poll(polls, count, TICK_MS);
        if (polls[0].revents != 0) {
            accept_one(p);
        }
        if (atomic_load(&p->mode) == LINK_PASS) {
            serve(p, polls, owner, count);
        }
    }
    return NULL;
}

struct link_proxy *link_proxy_new(const char *target)
{
    struct link_proxy *p = mem_alloc(sizeof *p);
    struct sockaddr_in here = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof here;
    char host[32];
    unsigned port;

    CHECK(sscanf(target, "%31[0-9.]:%u", host, &port) == 2);
    p->target.sin_family = AF_INET;
    p->target.sin_port = htons((uint16_t)port);
    CHECK(inet_pton(AF_INET, host, &p->target.sin_addr) == 1);
    p->listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(p->listener, (struct sockaddr *)&here, sizeof here) == 0);
    CHECK(listen(p->listener, 64) == 0);
    CHECK(getsockname(p->listener, (struct sockaddr *)&here, &len) == 0);
    snprintf(p->address, sizeof p->address, "127.0.0.1:%u",
             (unsigned)ntohs(here.sin_port));
    CHECK(pthread_create(&p->thread, NULL, proxy_main, p) == 0);
    return p;
}

void link_proxy_free(struct link_proxy *p)
{
    if (p == NULL) {
        return;
    }
    atomic_store(&p->stop, true);
    pthread_join(p->thread, NULL);
    for (unsigned i = 0; i < PAIRS_MAX; i++) {
        if (p->pairs[i] != NULL) {
            pair_close(p, i);
        }
    }
    close(p->listener);
    free(p);
}

const char *link_proxy_address(const struct link_proxy *p)
{
    return p->address;
}

void link_proxy_set(struct link_proxy *p, enum link_mode mode)
{
    atomic_store(&p->mode, (int)mode);
}

uint64_t link_proxy_bytes(struct link_proxy *p)
{
    return atomic_load(&p->bytes);
}
