#include "cli/load.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/text.h"
#include "client/http_conn.h"
#include "crypto/digest.h"

#define HEAD_MAX 8192                  /* a small object comes in one recv */
#define JOIN_MAX ((uint64_t)128 << 10) /* bodies that go with their head */
#define DISCARD ((size_t)4 << 20)      /* asked of one recv */
#define EVENTS 256
#define TICK_MS 100
#define FAILURES_MAX 100 /* connections lost in a row: give up */
#define EMPTY_SHA256 \
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

enum kind { PUT, GET, LIST, DELETE, KINDS };

/* A connection and its request in flight. */
struct conn {
    int fd;
    unsigned index;
    uint64_t turn; /* requests begun */
    enum kind kind;
    bool busy;
    uint64_t start_us;
    char *out; /* rest of the request's head */
    size_t out_len;
    uint64_t body_left; /* to send */
    bool head_done;     /* of the answer */
    bool keep_alive;
    int status;
    uint64_t in_left; /* bytes of the answer's body to come */
    uint64_t in_length;
    size_t head_len;
    char head[HEAD_MAX];
    char request[LOAD_REQUEST_MAX];
};

struct load {
    const struct load_options *o;
    struct addrinfo *addresses;
    int body_fd;
    uint8_t *body;                 /* mapped */
    uint64_t body_file;            /* its size */
    char payload[72];              /* x-amz-content-sha256 of a PUT */
    uint64_t stop_us;              /* 0: never */
    atomic_uint_fast64_t taken;    /* requests begun */
    atomic_uint_fast64_t progress; /* bytes or answers; for stalls */
    atomic_int failures;           /* connections lost since the last answer */
    atomic_uint running;           /* threads */
};

struct loader {
    struct load *load;
    unsigned first, count; /* connections */
    int epoll;
    struct conn *conns;
    unsigned busy;
    uint64_t end_us; /* when the last answer came */
    uint64_t second; /* that the templates are for */
    struct load_request templates[KINDS];
    struct load_result result;
    int rc;
    struct err err;
};

/* ---- latencies ---- */

unsigned load_bucket(uint64_t us)
{
    unsigned shift;

    if (us < 32) {
        return (unsigned)us;
    }
    shift = 63u - (unsigned)__builtin_clzll(us) - 5;
    return (shift + 1) * 32 + ((unsigned)(us >> shift) & 31);
}

uint64_t load_bucket_us(unsigned bucket)
{
    unsigned shift;
    uint64_t low;

    if (bucket < 32) {
        return bucket;
    }
    shift = bucket / 32 - 1;
    low = (uint64_t)(32 + bucket % 32) << shift;
    return low + (((uint64_t)1 << shift) >> 1);
}

uint64_t load_percentile(const struct load_result *r, double share)
{
    uint64_t due = (uint64_t)((double)r->requests * share);
    uint64_t seen = 0;

    for (unsigned i = 0; i < LOAD_BUCKETS; i++) {
        seen += r->buckets[i];
        if (seen > due || (seen == r->requests && seen > 0)) {
            uint64_t us = load_bucket_us(i);
            return us < r->max_us ? us : r->max_us;
        }
    }
    return 0;
}

static void note_error(struct load_result *r, const char *fmt, const char *text,
                       int number)
{
    r->errors++;
    if (r->first_error[0] == '\0') {
        snprintf(r->first_error, sizeof r->first_error, fmt, text, number);
    }
}

/* ---- requests ---- */

static void make_templates(struct loader *l, uint64_t now_ms)
{
    static const char *const methods[KINDS] = {"PUT", "GET", "GET", "DELETE"};
    const struct load_options *o = l->load->o;
    char *path = mem_printf("/%s/%s", o->bucket, o->prefix);
    char *bucket = mem_printf("/%s", o->bucket);

    for (enum kind k = PUT; k < KINDS; k++) {
        load_request_init(&l->templates[k], &o->identity, methods[k],
                          k == LIST ? bucket : path, k != LIST,
                          k == LIST ? "list-type=2&max-keys=1000" : "",
                          k == PUT ? l->load->payload : EMPTY_SHA256, o->size,
                          now_ms);
    }
    free(path);
    free(bucket);
    l->second = now_ms / 1000;
}

/* Signatures carry the time in seconds. */
static void set_time(struct loader *l)
{
    uint64_t now_ms = clock_real_ms();

    if (now_ms / 1000 == l->second) {
        return;
    }
    if (now_ms / 86400000 != l->second / 86400) {
        make_templates(l, now_ms);
        return;
    }
    for (enum kind k = PUT; k < KINDS; k++) {
        load_request_set_time(&l->templates[k], now_ms);
    }
    l->second = now_ms / 1000;
}

static enum kind kind_of(const struct load_options *o, uint64_t turn)
{
    switch (o->op) {
        case LOAD_PUT:
            return PUT;
        case LOAD_GET:
            return GET;
        case LOAD_LIST:
            return LIST;
        case LOAD_DELETE:
            return DELETE;
        case LOAD_MIXED:
            break;
    }
    return turn % 4 == 3 ? PUT : GET;
}

/* Begin another request? *@number is its key's: with a bound on requests each
 * number once, in order; else no two connections have the same at a time while
 * there are at least as many objects as connections. */
static bool take_turn(struct load *load, const struct conn *c, uint64_t now_us,
                      uint64_t *number)
{
    const struct load_options *o = load->o;
    uint64_t n = c->turn * o->connections + c->index;

    if (load->stop_us != 0 && now_us >= load->stop_us) {
        return false;
    }
    if (o->requests != 0) {
        n = atomic_fetch_add_explicit(&load->taken, 1, memory_order_relaxed);
        if (n >= o->requests) {
            return false;
        }
    }
    *number = o->objects != 0 ? n % o->objects : n;
    return true;
}

/* ---- connections ---- */

static int open_conn(struct loader *l, struct conn *c, struct err *err)
{
    const char *authority = l->load->o->endpoint->authority;
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                            .data.ptr = c};
    int one = 1;

    c->fd = -1;
    for (struct addrinfo *a = l->load->addresses; a != NULL; a = a->ai_next) {
        c->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd >= 0 && connect(c->fd, a->ai_addr, a->ai_addrlen) == 0) {
            break;
        }
        if (c->fd >= 0) {
            close(c->fd);
            c->fd = -1;
        }
    }
    if (c->fd < 0) {
        return err_set(err, ERR_UNAVAILABLE, "connect %s: %s", authority,
                       strerror(errno));
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &e) != 0) {
        int rc = err_errno(err, "epoll");
        close(c->fd);
        c->fd = -1;
        return rc;
    }
    return 0;
}

static void close_conn(struct conn *c)
{
    if (c->fd >= 0) {
        close(c->fd);
        c->fd = -1;
    }
}

static bool sending(const struct conn *c)
{
    return c->out_len > 0 || c->body_left > 0;
}

/* Send head and a small body at once; false: the connection is lost. */
static bool send_joined(struct load *load, struct conn *c)
{
    while (sending(c)) {
        struct iovec iov[2] = {
            {c->out, c->out_len},
            {load->body + (load->o->size - c->body_left), c->body_left}};
        struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
        ssize_t n = sendmsg(c->fd, &m, MSG_NOSIGNAL);
        size_t of_head;
        if (n < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        of_head = (size_t)n < c->out_len ? (size_t)n : c->out_len;
        c->out += of_head;
        c->out_len -= of_head;
        c->body_left -= (size_t)n - of_head;
    }
    return true;
}

/* Send what is left of the request; false: the connection is lost. */
static bool send_rest(struct load *load, struct conn *c)
{
    if (load->o->size <= JOIN_MAX) {
        return send_joined(load, c);
    }
    while (c->out_len > 0) {
        ssize_t n = send(c->fd, c->out, c->out_len,
                         MSG_NOSIGNAL | (c->body_left > 0 ? MSG_MORE : 0));
        if (n < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        c->out += n;
        c->out_len -= (size_t)n;
    }
    while (c->body_left > 0) {
        uint64_t done = load->o->size - c->body_left;
        off_t at = (off_t)(done % load->body_file);
        uint64_t max = load->body_file - (uint64_t)at;
        ssize_t n;
        max = c->body_left < max ? c->body_left : max;
        n = sendfile(c->fd, load->body_fd, &at, (size_t)max);
        if (n <= 0) {
            return n < 0 && (errno == EAGAIN || errno == EINTR);
        }
        c->body_left -= (uint64_t)n;
        atomic_fetch_add_explicit(&load->progress, 1, memory_order_relaxed);
    }
    return true;
}

/* Begin the next request of @c; false: the connection is lost. */
static bool begin(struct loader *l, struct conn *c, uint64_t now_us)
{
    const struct load_options *o = l->load->o;
    struct load_request *t;
    uint64_t number;

    if (!take_turn(l->load, c, now_us, &number)) {
        c->busy = false;
        return true;
    }
    c->kind = kind_of(o, c->turn);
    t = &l->templates[c->kind];
    load_request_set(t, number);
    c->turn++;
    c->busy = true;
    l->busy++;
    c->start_us = now_us;
    memcpy(c->request, t->text, t->len);
    c->out = c->request;
    c->out_len = t->len;
    c->body_left = c->kind == PUT ? o->size : 0;
    c->head_len = 0;
    c->head_done = false;
    return send_rest(l->load, c);
}

/* ---- answers ---- */

/* The value of a header in a head that ends in an empty line. */
static const char *find_header(const char *head, const char *name)
{
    size_t len = strlen(name);

    for (const char *p = strstr(head, "\r\n"); p != NULL && p[2] != '\r';
         p = strstr(p + 2, "\r\n")) {
        if (strncasecmp(p + 2, name, len) == 0 && p[2 + len] == ':') {
            p += 2 + len + 1;
            return p + strspn(p, " ");
        }
    }
    return NULL;
}

/* A whole head is in c->head; *@body is what came after it. False: not an
 * answer that can be used. */
static bool parse_head(struct conn *c, const char *end, size_t *body)
{
    char *head = c->head;
    const char *length;
    const char *connection;
    uint64_t n = 0;

    head[end + 2 - head] = '\0'; /* keeps the last line's CR LF */
    if (strncmp(head, "HTTP/1.1 ", 9) != 0) {
        return false;
    }
    c->status = atoi(head + 9);
    length = find_header(head, "content-length");
    if (length != NULL) {
        if (!text_u64_n(length, strspn(length, "0123456789"), &n)) {
            return false;
        }
    } else if (c->status != 204 && c->status != 304) {
        return false;
    }
    connection = find_header(head, "connection");
    c->keep_alive =
        connection == NULL || strncasecmp(connection, "close", 5) != 0;
    *body = c->head_len - (size_t)(end + 4 - head);
    if (*body > n) {
        return false; /* an answer to nothing */
    }
    c->in_length = n;
    c->in_left = n - *body;
    c->head_done = true;
    return true;
}

static void count(struct loader *l, struct conn *c, uint64_t now_us)
{
    const struct load_options *o = l->load->o;
    struct load_result *r = &l->result;
    uint64_t us = now_us - c->start_us;

    if (c->status >= 300) {
        note_error(r, "the server answered %s%d", "", c->status);
    } else if (c->kind == GET && c->in_length != o->size) {
        note_error(r, "%s of %d bytes", "an object is not", (int)o->size);
    } else {
        r->requests++;
        r->bytes += c->kind == PUT ? o->size : c->in_length;
        r->buckets[load_bucket(us)]++;
        r->max_us = us > r->max_us ? us : r->max_us;
    }
    atomic_store_explicit(&l->load->failures, 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&l->load->progress, 1, memory_order_relaxed);
}

enum got { MORE, WHOLE, LOST };

static enum got receive_head(struct conn *c)
{
    size_t body;
    char *end;
    ssize_t n = recv(c->fd, c->head + c->head_len, HEAD_MAX - 1 - c->head_len,
                     MSG_DONTWAIT);

    if (n <= 0) {
        return n < 0 && (errno == EAGAIN || errno == EINTR) ? MORE : LOST;
    }
    c->head_len += (size_t)n;
    c->head[c->head_len] = '\0';
    end = strstr(c->head, "\r\n\r\n");
    if (end == NULL) {
        return c->head_len == HEAD_MAX - 1 ? LOST : receive_head(c);
    }
    if (!parse_head(c, end, &body)) {
        return LOST;
    }
    return c->in_left == 0 ? WHOLE : MORE;
}

/* The kernel throws a TCP stream's bytes away with MSG_TRUNC. */
static enum got receive_body(struct load *load, struct conn *c)
{
    while (c->in_left > 0) {
        size_t max = c->in_left < DISCARD ? (size_t)c->in_left : DISCARD;
        ssize_t n = recv(c->fd, NULL, max, MSG_TRUNC | MSG_DONTWAIT);
        if (n <= 0) {
            return n < 0 && (errno == EAGAIN || errno == EINTR) ? MORE : LOST;
        }
        c->in_left -= (uint64_t)n;
        atomic_fetch_add_explicit(&load->progress, 1, memory_order_relaxed);
    }
    return WHOLE;
}

/* Take what came; when the answer is whole, go on with the next request. */
static enum got receive(struct loader *l, struct conn *c)
{
    enum got g = c->head_done ? MORE : receive_head(c);

    if (g == MORE && c->head_done) {
        g = receive_body(l->load, c);
    }
    return g;
}

/* ---- a thread ---- */

/* Connect again and begin; false: give up. */
static bool reconnect(struct loader *l, struct conn *c)
{
    close_conn(c);
    if (atomic_fetch_add(&l->load->failures, 1) >= FAILURES_MAX) {
        l->rc = err_set(&l->err, ERR_UNAVAILABLE,
                        "%s: connections break one after the other",
                        l->load->o->endpoint->authority);
        return false;
    }
    l->rc = open_conn(l, c, &l->err);
    return l->rc == 0;
}

/* Begin requests on @c until one is in flight or none may begin. */
static bool next_request(struct loader *l, struct conn *c, uint64_t now_us)
{
    while (!begin(l, c, now_us)) {
        l->busy--;
        note_error(&l->result, "%s", "the server closed a connection", 0);
        if (!reconnect(l, c)) {
            return false;
        }
    }
    return true;
}

/* An event on a busy connection; false: give up. */
static bool serve(struct loader *l, struct conn *c, uint32_t events)
{
    enum got g = MORE;
    uint64_t now_us;

    if (!c->busy) {
        return true; /* an end after the last answer */
    }
    if (sending(c) && !send_rest(l->load, c)) {
        g = receive(l, c) == WHOLE ? WHOLE : LOST; /* it may have told why */
    } else if (!sending(c) || (events & ~(uint32_t)EPOLLOUT)) {
        g = receive(l, c);
    }
    if (g == MORE) {
        return true;
    }
    now_us = clock_mono_us();
    l->busy--;
    c->busy = false;
    if (g == WHOLE) {
        count(l, c, now_us);
    } else {
        note_error(&l->result, "%s", "the server closed a connection", 0);
    }
    /* An answer before the whole request was sent leaves a torn stream. */
    if (g == LOST || !c->keep_alive || sending(c)) {
        if (!reconnect(l, c)) {
            return false;
        }
        if (g == WHOLE) {
            atomic_store(&l->load->failures, 0);
        }
    }
    return next_request(l, c, now_us);
}

static void run_loop(struct loader *l)
{
    struct load *load = l->load;
    struct epoll_event events[EVENTS];
    uint64_t seen = 0;
    uint64_t seen_us = clock_mono_us();

    while (l->busy > 0) {
        int n = epoll_wait(l->epoll, events, EVENTS, 1000);
        set_time(l);
        for (int i = 0; i < n; i++) {
            if (!serve(l, events[i].data.ptr, events[i].events)) {
                return;
            }
        }
        if (n == 0) {
            uint64_t progress = atomic_load(&load->progress);
            uint64_t now_us = clock_mono_us();
            if (progress != seen) {
                seen = progress;
                seen_us = now_us;
            } else if (now_us - seen_us > LOAD_STALL_MS * (uint64_t)1000) {
                l->rc = err_set(
                    &l->err, ERR_TIMEOUT, "%s: no byte came for %d seconds",
                    load->o->endpoint->authority, LOAD_STALL_MS / 1000);
                return;
            }
        }
    }
}

static void *run_loader(void *arg)
{
    struct loader *l = arg;

    l->conns = mem_calloc(l->count, sizeof *l->conns);
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    CHECK(l->epoll >= 0);
    make_templates(l, clock_real_ms());
    for (unsigned i = 0; i < l->count; i++) {
        l->conns[i].index = l->first + i;
        l->conns[i].fd = -1;
    }
    for (unsigned i = 0; i < l->count && l->rc == 0; i++) {
        l->rc = open_conn(l, &l->conns[i], &l->err);
    }
    for (unsigned i = 0; i < l->count && l->rc == 0; i++) {
        next_request(l, &l->conns[i], clock_mono_us());
    }
    if (l->rc == 0) {
        run_loop(l);
    }
    l->end_us = clock_mono_us();
    for (unsigned i = 0; i < l->count; i++) {
        close_conn(&l->conns[i]);
    }
    close(l->epoll);
    free(l->conns);
    atomic_fetch_sub(&l->load->running, 1);
    return NULL;
}

/* ---- a run ---- */

/* Random bytes in a memory file, and their hash as the payload's. */
static int make_body(struct load *load, struct err *err)
{
    const struct load_options *o = load->o;
    struct digest sha = {0};
    uint8_t hash[DIGEST_MAX];

    load->body_file =
        o->size < LOAD_BODY_FILE_MAX ? o->size : LOAD_BODY_FILE_MAX;
    load->body_file = load->body_file == 0 ? 1 : load->body_file;
    strcpy(load->payload, "UNSIGNED-PAYLOAD");
    load->body_fd = memfd_create("godwit-bench", MFD_CLOEXEC);
    if (load->body_fd < 0 ||
        ftruncate(load->body_fd, (off_t)load->body_file) != 0) {
        return err_errno(err, "memory for a body");
    }
    load->body = mmap(NULL, load->body_file, PROT_READ | PROT_WRITE, MAP_SHARED,
                      load->body_fd, 0);
    if (load->body == MAP_FAILED) {
        load->body = NULL;
        return err_errno(err, "memory for a body");
    }
    rng_bytes(load->body, load->body_file);
    if (o->hash_payload) {
        digest_init(&sha, DIGEST_SHA256);
        for (uint64_t left = o->size; left > 0;) {
            uint64_t n = left < load->body_file ? left : load->body_file;
            digest_update(&sha, load->body, n);
            left -= n;
        }
        digest_final(&sha, hash);
        text_hex(hash, 32, load->payload);
    }
    return 0;
}

static void merge(struct load_result *into, const struct load_result *r)
{
    into->requests += r->requests;
    into->errors += r->errors;
    into->bytes += r->bytes;
    into->max_us = r->max_us > into->max_us ? r->max_us : into->max_us;
    for (unsigned i = 0; i < LOAD_BUCKETS; i++) {
        into->buckets[i] += r->buckets[i];
    }
    if (into->first_error[0] == '\0') {
        memcpy(into->first_error, r->first_error, sizeof r->first_error);
    }
}

static void start_loaders(struct load *load, struct loader *loaders,
                          pthread_t *threads)
{
    const struct load_options *o = load->o;
    unsigned first = 0;

    atomic_store(&load->running, o->threads);
    for (unsigned i = 0; i < o->threads; i++) {
        unsigned count =
            o->connections / o->threads + (i < o->connections % o->threads);
        loaders[i].load = load;
        loaders[i].first = first;
        loaders[i].count = count;
        first += count;
        CHECK(pthread_create(&threads[i], NULL, run_loader, &loaders[i]) == 0);
    }
}

static int run_threads(struct load *load, struct load_result *out,
                       struct err *err)
{
    const struct load_options *o = load->o;
    struct loader *loaders = mem_calloc(o->threads, sizeof *loaders);
    pthread_t threads[LOAD_THREADS_MAX];
    uint64_t start_us = clock_mono_us();
    uint64_t end_us = start_us;
    int rc = 0;

    load->stop_us = o->duration_ms != 0 ? start_us + o->duration_ms * 1000 : 0;
    start_loaders(load, loaders, threads);
    while (o->tick != NULL && atomic_load(&load->running) > 0) {
        o->tick(o->tick_arg);
        clock_sleep_ms(TICK_MS);
    }
    memset(out, 0, sizeof *out);
    for (unsigned i = 0; i < o->threads; i++) {
        pthread_join(threads[i], NULL);
        merge(out, &loaders[i].result);
        end_us = loaders[i].end_us > end_us ? loaders[i].end_us : end_us;
        if (loaders[i].rc != 0 && rc == 0) {
            rc = err_set(err, loaders[i].rc, "%s", loaders[i].err.text);
        }
    }
    out->elapsed_us = end_us - start_us;
    free(loaders);
    return rc;
}

int load_run(const struct load_options *o, struct load_result *out,
             struct err *err)
{
    struct load load = {.o = o, .body_fd = -1};
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    int rc;

    CHECK(o->connections >= 1 && o->connections <= LOAD_CONNECTIONS_MAX);
    CHECK(o->threads >= 1 && o->threads <= LOAD_THREADS_MAX);
    CHECK(o->threads <= o->connections);
    rc = getaddrinfo(o->endpoint->host, o->endpoint->port, &hints,
                     &load.addresses);
    if (rc != 0) {
        return err_set(err, ERR_UNAVAILABLE, "connect %s: %s",
                       o->endpoint->authority, gai_strerror(rc));
    }
    rc = make_body(&load, err);
    if (rc == 0) {
        rc = run_threads(&load, out, err);
    }
    if (load.body != NULL) {
        munmap(load.body, load.body_file);
    }
    if (load.body_fd >= 0) {
        close(load.body_fd);
    }
    freeaddrinfo(load.addresses);
    return rc;
}
