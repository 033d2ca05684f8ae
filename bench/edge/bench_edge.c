/* bench_edge.c: durable small objects: bare rounds, and an agent under load.
 *
 * usage: bench_edge bare N SECONDS FOLDER      N objects of 1 KiB a round: one
 *                                              pwrite, one fdatasync
 *        bench_edge load N SECONDS ADDR PORT   N connections, one PUT of 1 KiB
 *                                              after the other on each
 * Prints objects a second.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
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
#include "base/mem.h"
#include "base/rng.h"

#define OBJECT 1024
#define FILE_SIZE (64u << 20)
#define CONNECTIONS_MAX 256

static double bare(unsigned n, double seconds, const char *folder)
{
    char *path = mem_printf("%s/bare", folder);
    size_t len = mem_round_up((size_t)n * OBJECT, MEM_PAGE);
    uint8_t *round = mem_pages(len);
    uint64_t begin, objects = 0, at = 0;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

    CHECK(fd >= 0 && round != NULL);
    memset(round, 0, len);
    for (uint64_t i = 0; i + len <= FILE_SIZE; i += len) {
        CHECK(pwrite(fd, round, len, (off_t)i) == (ssize_t)len);
    }
    CHECK(fsync(fd) == 0);
    rng_bytes(round, len);
    begin = clock_mono_us();
    while ((double)(clock_mono_us() - begin) < seconds * 1e6) {
        CHECK(pwrite(fd, round, len, (off_t)at) == (ssize_t)len);
        CHECK(fdatasync(fd) == 0);
        objects += n;
        at = at + 2 * len <= FILE_SIZE ? at + len : 0;
    }
    seconds = (double)(clock_mono_us() - begin) / 1e6;
    close(fd);
    unlink(path);
    free(path);
    mem_pages_free(round, len);
    return (double)objects / seconds;
}

struct client {
    int fd;
    unsigned number;
    uint64_t count;
    size_t got;
    char answer[512];
};

static void send_put(struct client *c, const uint8_t *body)
{
    char head[256];
    int n = snprintf(head, sizeof head,
                     "PUT /bench/c%u/%llu HTTP/1.1\r\nHost: a\r\n"
                     "Content-Length: %d\r\n\r\n",
                     c->number, (unsigned long long)c->count, OBJECT);
    char all[256 + OBJECT];

    memcpy(all, head, (size_t)n);
    memcpy(all + n, body, OBJECT);
    CHECK(send(c->fd, all, (size_t)n + OBJECT, 0) == n + OBJECT);
    c->got = 0;
}

static void on_answer(struct client *c, const uint8_t *body, uint64_t *done)
{
    ssize_t n =
        recv(c->fd, c->answer + c->got, sizeof c->answer - 1 - c->got, 0);

    CHECK(n > 0);
    c->got += (size_t)n;
    c->answer[c->got] = '\0';
    if (strstr(c->answer, "\r\n\r\n") != NULL) {
        if (strncmp(c->answer, "HTTP/1.1 200", 12) != 0) {
            fprintf(stderr, "%s\n", c->answer);
            exit(1);
        }
        c->count++;
        ++*done;
        send_put(c, body);
    }
}

static double load(unsigned n, double seconds, const char *addr, unsigned port)
{
    static struct client clients[CONNECTIONS_MAX];
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port)};
    int ep = epoll_create1(EPOLL_CLOEXEC);
    uint8_t body[OBJECT];
    uint64_t done = 0, begin;
    int one = 1;

    CHECK(n > 0 && n <= CONNECTIONS_MAX && ep >= 0);
    CHECK(inet_pton(AF_INET, addr, &a.sin_addr) == 1);
    rng_bytes(body, sizeof body);
    for (unsigned i = 0; i < n; i++) {
        struct epoll_event e = {.events = EPOLLIN,
                                .data = {.ptr = &clients[i]}};
        clients[i] = (struct client){
            .fd = socket(AF_INET, SOCK_STREAM, 0),
            .number = i,
            .count = clock_mono_us() << 20, /* keys of its own */
        };
        CHECK(connect(clients[i].fd, (struct sockaddr *)&a, sizeof a) == 0);
        setsockopt(clients[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, clients[i].fd, &e) == 0);
    }
    begin = clock_mono_us();
    for (unsigned i = 0; i < n; i++) {
        send_put(&clients[i], body);
    }
    while ((double)(clock_mono_us() - begin) < seconds * 1e6) {
        struct epoll_event events[64];
        int ready = epoll_wait(ep, events, 64, 1000);
        for (int i = 0; i < ready; i++) {
            on_answer(events[i].data.ptr, body, &done);
        }
    }
    return (double)done / ((double)(clock_mono_us() - begin) / 1e6);
}

int main(int argc, char **argv)
{
    unsigned n = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
    double seconds = argc > 3 ? atof(argv[3]) : 0;

    if (argc == 5 && strcmp(argv[1], "bare") == 0) {
        printf("%.0f\n", bare(n, seconds, argv[4]));
    } else if (argc == 6 && strcmp(argv[1], "load") == 0) {
        printf("%.0f\n", load(n, seconds, argv[4], (unsigned)atoi(argv[5])));
    } else {
        fprintf(stderr, "usage: bench_edge bare|load N SECONDS ...\n");
        return 2;
    }
    return 0;
}
