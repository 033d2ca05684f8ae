#include "node/shard_server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/workers.h"
#include "crypto/digest.h"
#include "net/net.h"
#include "node/peers.h"
#include "node/shard_wire.h"

#define TASK_MAGIC 0x4b534154u
/* Buffers of gets come in powers of two, so that the pool has few classes. */
#define BUFFER_BYTES_MIN ((size_t)65536)

struct shard_server {
    struct net *net;
    struct peers *peers;
    struct pool *pool; /* of gets */
    struct workers *verifiers;
    atomic_size_t put_bytes;
    atomic_ullong served, failed, refused;

    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t cond;
    size_t tasks; /* not answered */
    bool stopping;
};

/* A question that a drive or a worker holds. */
struct task {
    uint32_t magic;
    struct shard_server *server;
    struct net_request *request;
    struct shard_store *store;
    struct shard_ask ask;
    uint8_t *bytes; /* of a get; the pool's */
    size_t bytes_size;
    union {
        struct shard_put put;
        struct shard_get get;
        struct shard_delete del;
        struct work work;
    };
};

/* The memory of an answer that is being sent. */
struct sending {
    struct pool *pool;
    uint8_t *bytes;
    size_t bytes_size;
};

/* ---- answers ---- */

static void answer(struct shard_server *s, struct net_request *r, int status,
                   const struct err *err, const void *head, size_t head_len)
{
    net_reply(s->net, r, status, status != 0 ? err->text : NULL, head, head_len,
              NULL, 0, NULL, NULL);
}

static void refuse(struct shard_server *s, struct net_request *r, int status,
                   const struct err *err)
{
    atomic_fetch_add(&s->refused, 1);
    answer(s, r, status, err, NULL, 0);
}

static void count(struct shard_server *s, int status)
{
    atomic_fetch_add(status == 0 ? &s->served : &s->failed, 1);
}

/* False when the server stops. */
static bool task_enter(struct shard_server *s)
{
    bool ok;

    pthread_mutex_lock(&s->mutex);
    ok = !s->stopping;
    s->tasks += ok;
    pthread_mutex_unlock(&s->mutex);
    return ok;
}

static void task_leave(struct shard_server *s)
{
    pthread_mutex_lock(&s->mutex);
    if (--s->tasks == 0) {
        pthread_cond_broadcast(&s->cond);
    }
    pthread_mutex_unlock(&s->mutex);
}

static void task_free(struct task *t)
{
    struct shard_server *s = t->server;

    t->magic = 0;
    free(t);
    task_leave(s);
}

/* ---- put, delete ---- */

static void on_put(struct shard_put *put, int status, const struct err *err)
{
    struct task *t = LIST_OF(put, struct task, put);

    CHECK_OBJ(t, TASK_MAGIC);
    count(t->server, status);
    atomic_fetch_sub(&t->server->put_bytes, t->ask.length);
    answer(t->server, t->request, status, err, NULL, 0);
    task_free(t);
}

static int begin_put(struct task *t, struct err *err)
{
    struct net_request *r = t->request;
    int rc = shard_ask_check_body(&t->ask, r->body, r->body_len, err);

    if (rc != 0) {
        return rc;
    }
    if (atomic_fetch_add(&t->server->put_bytes, t->ask.length) + t->ask.length >
        SHARD_SERVER_PUTS_MAX) {
        atomic_fetch_sub(&t->server->put_bytes, t->ask.length);
        return err_set(err, ERR_BUSY, "shard put: too many bytes wait already");
    }
    t->put = (struct shard_put){.key = t->ask.key,
                                .group = t->ask.group,
                                .data = r->body,
                                .length = t->ask.length,
                                .done = on_put};
    shard_store_put(t->store, &t->put);
    return 0;
}

static void on_deleted(struct shard_delete *del, int status,
                       const struct err *err)
{
    struct task *t = LIST_OF(del, struct task, del);

    CHECK_OBJ(t, TASK_MAGIC);
    count(t->server, status);
    answer(t->server, t->request, status, err, NULL, 0);
    task_free(t);
}

static int begin_delete(struct task *t)
{
    t->del = (struct shard_delete){.key = t->ask.key, .done = on_deleted};
    shard_store_delete(t->store, &t->del);
    return 0;
}

/* ---- get ---- */

static void on_sent(void *arg)
{
    struct sending *x = arg;

    pool_put(x->pool, x->bytes, x->bytes_size);
    free(x);
}

/* Give the bytes to the net, with what they are. */
static void send_bytes(struct task *t)
{
    struct shard_server *s = t->server;
    struct sending *x = mem_alloc(sizeof *x);
    struct shard_info info = {.length = t->ask.offset + t->ask.length};
    uint8_t head[SHARD_GOT_BYTES];
    struct shard_got got;

    /* One that was deleted this moment is shown as if it ended here. */
    shard_store_stat(t->store, &t->ask.key, &info);
    got = (struct shard_got){info.group, info.length,
                             crc32c(0, t->bytes, t->ask.length)};
    shard_got_encode(&got, head);
    *x = (struct sending){s->pool, t->bytes, t->bytes_size};
    net_reply(s->net, t->request, 0, NULL, head, sizeof head, t->bytes,
              t->ask.length, on_sent, x);
}

static void on_got(struct shard_get *get, int status, const struct err *err)
{
    struct task *t = LIST_OF(get, struct task, get);
    struct shard_server *s = t->server;

    CHECK_OBJ(t, TASK_MAGIC);
    count(s, status);
    if (status == 0) {
        send_bytes(t);
    } else {
        pool_put(s->pool, t->bytes, t->bytes_size);
        answer(s, t->request, status, err, NULL, 0);
    }
    task_free(t);
}

static int begin_get(struct task *t, struct err *err)
{
    t->bytes_size = BUFFER_BYTES_MIN;
    while (t->bytes_size < t->ask.length) {
        t->bytes_size *= 2;
    }
    t->bytes = pool_get(t->server->pool, t->bytes_size);
    if (t->bytes == NULL) {
        return err_set(err, ERR_BUSY, "shard get: too many bytes wait already");
    }
    t->get = (struct shard_get){.key = t->ask.key,
                                .offset = t->ask.offset,
                                .length = t->ask.length,
                                .out = t->bytes,
                                .done = on_got};
    shard_store_get(t->store, &t->get);
    return 0;
}

/* ---- verify ---- */

static bool is_late(const struct net_request *r)
{
    return clock_mono_ms() >= r->deadline_ms;
}

static int late(const struct task *t, struct err *err)
{
    return err_set(err, ERR_TIMEOUT, "shard %s: its deadline has passed",
                   shard_verb_name((uint8_t)t->ask.verb));
}

static void run_verify(struct work *w)
{
    struct task *t = LIST_OF(w, struct task, work);
    struct shard_server *s = t->server;
    struct shard_info info = {.key = t->ask.key};
    uint8_t head[SHARD_INFO_BYTES];
    struct err err = {{0}};
    bool known;
    int rc;

    CHECK_OBJ(t, TASK_MAGIC);
    if (is_late(t->request)) {
        refuse(s, t->request, late(t, &err), &err);
        task_free(t);
        return;
    }
    known = shard_store_stat(t->store, &t->ask.key, &info);
    rc = shard_store_verify(t->store, &t->ask.key, &err);
    if (rc == 0 && !known) { /* came this moment */
        rc = err_set(&err, ERR_NOT_FOUND, "drive %u: no such shard",
                     (unsigned)t->ask.drive);
    }
    count(s, rc);
    shard_info_encode(SHARD_VERIFY, &info, head);
    answer(s, t->request, rc, &err, head, known ? sizeof head : 0);
    task_free(t);
}

static int begin_verify(struct task *t, struct err *err)
{
    t->work = (struct work){.fn = run_verify};
    if (!workers_run(t->server->verifiers, &t->work)) {
        return err_set(err, ERR_BUSY, "shard verify: too many wait already");
    }
    return 0;
}

/* ---- what is answered at once ---- */

static int stat_shard(struct task *t, struct err *err)
{
    struct shard_info info;
    uint8_t head[SHARD_INFO_BYTES];
    int rc =
        peers_stat(t->server->peers, t->ask.drive, &t->ask.key, &info, err);

    if (rc == 0) {
        shard_info_encode(SHARD_STAT, &info, head);
        answer(t->server, t->request, 0, NULL, head, sizeof head);
    }
    return rc;
}

static int list_shards(struct task *t, struct err *err)
{
    const struct shard_ask *a = &t->ask;
    struct shard_info *shards = mem_calloc(a->max, sizeof *shards);
    struct shard_page page;
    struct buf head = {0};
    int rc =
        peers_list(t->server->peers, a->drive, a->group,
                   a->from_start ? NULL : &a->key, shards, a->max, &page, err);

    if (rc == 0) {
        shard_page_encode(&page, &head);
        answer(t->server, t->request, 0, NULL, head.data, head.len);
        buf_free(&head);
    }
    free(shards);
    return rc;
}

static void all_stats(struct shard_server *s, struct net_request *r)
{
    struct shard_store_stats *all = mem_calloc(SHARD_STATS_MAX, sizeof *all);
    struct shard_store *store;
    struct buf head = {0};
    uint16_t drive;
    size_t n = 0;

    while (n < SHARD_STATS_MAX && peers_at(s->peers, n, &drive, &store)) {
        shard_store_stats(store, &all[n]);
        all[n++].drive = drive;
    }
    shard_stats_encode(all, n, &head);
    answer(s, r, 0, NULL, head.data, head.len);
    count(s, 0);
    buf_free(&head);
    free(all);
}

/* ---- questions ---- */

/* 0: the task is on its way, or done and *@ended. */
static int begin(struct task *t, bool *ended, struct err *err)
{
    int rc;

    switch (t->ask.verb) {
        case SHARD_PUT:
            return begin_put(t, err);
        case SHARD_GET:
            return begin_get(t, err);
        case SHARD_DELETE:
            return begin_delete(t);
        case SHARD_VERIFY:
            return begin_verify(t, err);
        case SHARD_STAT:
            rc = stat_shard(t, err);
            break;
        default:
            rc = list_shards(t, err);
            break;
    }
    if (rc == 0) {
        count(t->server, 0);
        *ended = true;
    }
    return rc;
}

static int judge(struct shard_server *s, const struct net_request *r,
                 struct task *t, struct err *err)
{
    int rc;

    if (r->server == 0) {
        return err_set(err, ERR_DENIED, "shard: for members only");
    }
    rc = shard_ask_decode(r->type, r->head, r->head_len, &t->ask, err);
    if (rc == 0 && t->ask.verb != SHARD_PUT) { /* a put's: when it is begun */
        rc = shard_ask_check_body(&t->ask, r->body, r->body_len, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (is_late(r)) {
        return late(t, err);
    }
    t->store = peers_store(s->peers, t->ask.drive);
    if (t->store == NULL && t->ask.verb != SHARD_STATS) {
        return err_set(err, ERR_UNAVAILABLE, "drive %u is not of this server",
                       (unsigned)t->ask.drive);
    }
    return 0;
}

static void on_request(void *arg, struct net_request *r)
{
    struct shard_server *s = arg;
    struct task *t;
    struct err err = {{0}};
    bool ended = false;
    int rc;

    if (!task_enter(s)) {
        err_set(&err, ERR_CLOSED, "shard: the server stops");
        refuse(s, r, ERR_CLOSED, &err);
        return;
    }
    t = mem_alloc(sizeof *t);
    t->magic = TASK_MAGIC;
    t->server = s;
    t->request = r;
    rc = judge(s, r, t, &err);
    if (rc == 0 && t->ask.verb == SHARD_STATS) {
        all_stats(s, r);
        ended = true;
    } else if (rc == 0) {
        rc = begin(t, &ended, &err);
    }
    if (rc != 0) {
        refuse(s, r, rc, &err);
    }
    if (rc != 0 || ended) {
        task_free(t);
    }
}

/* ---- life ---- */

struct shard_server *shard_server_new(struct net *n, struct peers *p)
{
    struct shard_server *s = mem_alloc(sizeof *s);

    s->net = n;
    s->peers = p;
    s->pool = pool_new(SHARD_SERVER_GETS_MAX);
    s->verifiers = workers_new("shard-verify", SHARD_SERVER_VERIFIERS,
                               SHARD_SERVER_VERIFIES_MAX);
    CHECK(pthread_mutex_init(&s->mutex, NULL) == 0);
    CHECK(pthread_cond_init(&s->cond, NULL) == 0);
    net_serve(n, NET_SHARD, on_request, s);
    return s;
}

void shard_server_stop(struct shard_server *s)
{
    pthread_mutex_lock(&s->mutex);
    s->stopping = true;
    while (s->tasks > 0) {
        pthread_cond_wait(&s->cond, &s->mutex);
    }
    pthread_mutex_unlock(&s->mutex);
}

void shard_server_free(struct shard_server *s)
{
    if (s == NULL) {
        return;
    }
    CHECK(s->stopping);
    workers_free(s->verifiers);
    pool_free(s->pool);
    pthread_cond_destroy(&s->cond);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

void shard_server_stats(struct shard_server *s, struct shard_server_stats *out)
{
    out->served = atomic_load(&s->served);
    out->failed = atomic_load(&s->failed);
    out->refused = atomic_load(&s->refused);
}
