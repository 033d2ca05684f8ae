#include "meta/meta_copy.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wire.h"
#include "crypto/digest.h"
#include "meta/meta_backup.h"
#include "meta/meta_core.h"
#include "meta/meta_internal.h"
#include "meta/meta_net_internal.h"

#define PIECE_BYTES ((size_t)1 << 20)
#define OPEN_TIMEOUT_MS 600000 /* a large database takes its time */
#define READ_TIMEOUT_MS 20000
#define KEEP_MS 60000
#define HEAD_BYTES 56

/* What this member gives. The keeper's. */
struct source {
    uint64_t id; /* 0: none */
    int fd;
    uint64_t size, applied, made_ms;
    uint8_t sha256[32];
};

struct meta_copy {
    struct meta *m;
    char *out_path, *in_path;
    struct source source;
    struct work fetch_work;
    struct loop_call fetched_call;
    uint32_t from;  /* whom ... */
    uint64_t index; /* ... to ask for a copy of at least this */
    /* The loop's. */
    bool fetching;
    unsigned serving;
};

struct copy_job {
    struct work work;
    struct loop_call call;
    struct meta_copy *copy;
    struct net_request *request;
};

/* ---- giving ---- */

static void forget_source(struct meta_copy *c)
{
    if (c->source.id != 0) {
        close(c->source.fd);
        unlink(c->out_path);
    }
    c->source = (struct source){.fd = -1};
}

static int digest_file(int fd, uint64_t *size, uint8_t sha256[32],
                       struct err *err)
{
    uint8_t *piece = mem_pages(PIECE_BYTES);
    uint8_t sum[DIGEST_MAX];
    struct digest d;
    ssize_t n;

    if (piece == NULL) {
        return err_set(err, ERR_NOMEM, "no memory for a copy");
    }
    digest_init(&d, DIGEST_SHA256);
    *size = 0;
    while ((n = pread(fd, piece, PIECE_BYTES, (off_t)*size)) > 0) {
        digest_update(&d, piece, (size_t)n);
        *size += (uint64_t)n;
    }
    digest_final(&d, sum);
    memcpy(sha256, sum, 32);
    mem_pages_free(piece, PIECE_BYTES);
    return n < 0 ? err_errno(err, "read a copy") : 0;
}

static int make_source(struct meta_copy *c, struct err *err)
{
    struct source s = {.fd = -1, .made_ms = clock_mono_ms()};
    int rc;

    forget_source(c);
    rc = meta_backup_copy(c->m->db_path, c->out_path, err);
    if (rc == 0) {
        rc = meta_backup_applied(c->out_path, &s.applied, err);
    }
    if (rc == 0) {
        s.fd = open(c->out_path, O_RDONLY | O_CLOEXEC);
        rc = s.fd >= 0 ? digest_file(s.fd, &s.size, s.sha256, err)
                       : err_errno(err, "%s: open", c->out_path);
    }
    if (rc != 0) {
        if (s.fd >= 0) {
            close(s.fd);
        }
        unlink(c->out_path);
        return rc;
    }
    s.id = s.made_ms << 8 | (uint8_t)c->m->server;
    c->source = s;
    return 0;
}

static void give_open(struct meta_copy *c, struct net_request *r)
{
    struct buf head = {0};
    struct err err = {{0}};
    int rc = 0;

    if (r->head_len != 8) {
        rc = err_set(&err, ERR_BAD_INPUT, "COPY_OPEN without its index");
    } else if (c->source.id == 0 || c->source.applied < load_u64(r->head) ||
               clock_mono_ms() - c->source.made_ms > KEEP_MS) {
        rc = make_source(c, &err);
    }
    if (rc == 0) {
        put_u64(&head, c->source.id);
        put_u64(&head, c->source.size);
        put_u64(&head, c->source.applied);
        put_bytes(&head, c->source.sha256, 32);
    } else {
        log_errf(LOG_WARN, "catalogue: no copy for another member", "%s",
                 err.text);
    }
    net_reply(c->m->net, r, rc, err.text, head.data, head.len, NULL, 0, NULL,
              NULL);
    buf_free(&head);
}

static void give_piece(struct meta_copy *c, struct net_request *r)
{
    uint64_t id = r->head_len == 16 ? load_u64(r->head) : 0;
    uint64_t offset = r->head_len == 16 ? load_u64(r->head + 8) : 0;
    uint8_t *piece;
    ssize_t n;

    if (id == 0 || id != c->source.id || offset >= c->source.size) {
        net_reply(c->m->net, r, ERR_NOT_FOUND, "no such copy any more", NULL, 0,
                  NULL, 0, NULL, NULL);
        return;
    }
    piece = mem_alloc(PIECE_BYTES);
    n = pread(c->source.fd, piece, PIECE_BYTES, (off_t)offset);
    if (n <= 0) {
        free(piece);
        net_reply(c->m->net, r, ERR_IO, "the copy cannot be read", NULL, 0,
                  NULL, 0, NULL, NULL);
        return;
    }
    net_reply(c->m->net, r, 0, NULL, NULL, 0, piece, (size_t)n, free, piece);
}

static void served(struct loop_call *call)
{
    struct copy_job *j = LIST_OF(call, struct copy_job, call);

    j->copy->serving--;
    free(j);
}

static void serve_in_keeper(struct work *w)
{
    struct copy_job *j = LIST_OF(w, struct copy_job, work);

    if (j->request->type == META_COPY_OPEN) {
        give_open(j->copy, j->request);
    } else {
        give_piece(j->copy, j->request);
    }
    j->call.fn = served;
    loop_post(j->copy->m->loop, &j->call);
}

void meta_copy_serve(struct meta_copy *c, struct net_request *r)
{
    struct copy_job *j = mem_alloc(sizeof *j);

    j->work.fn = serve_in_keeper;
    j->copy = c;
    j->request = r;
    c->serving++;
    if (!workers_run(c->m->keeper, &j->work)) {
        c->serving--;
        free(j);
        net_reply(c->m->net, r, ERR_BUSY, "too much to do", NULL, 0, NULL, 0,
                  NULL, NULL);
    }
}

/* ---- fetching ---- */

static int ask(struct meta_copy *c, struct net_call *call, uint8_t type,
               const void *head, size_t len, uint64_t timeout_ms,
               struct err *err)
{
    struct buf whole = {0};
    int rc;

    put_u64(&whole, atomic_load(&c->m->era));
    put_bytes(&whole, head, len);
    *call = (struct net_call){.service = NET_META,
                              .type = type,
                              .head = whole.data,
                              .head_len = whole.len,
                              .timeout_ms = timeout_ms};
    rc = net_call_wait(c->m->net, c->from, call);
    buf_free(&whole);
    if (rc != 0) {
        err_set(err, rc, "%s", call->err.text);
    }
    return rc;
}

static int fetch_pieces(struct meta_copy *c, const struct source *s, int fd,
                        struct err *err)
{
    uint64_t at = 0;
    int rc = 0;

    while (at < s->size && rc == 0) {
        struct net_call call;
        uint8_t head[16];
        size_t n;
        store_u64(head, s->id);
        store_u64(head + 8, at);
        rc = ask(c, &call, META_COPY_READ, head, sizeof head, READ_TIMEOUT_MS,
                 err);
        n = call.reply_body.len;
        if (rc == 0 && (n == 0 || n > s->size - at)) {
            rc = err_set(err, ERR_CORRUPT, "a piece of %zu bytes", n);
        }
        if (rc == 0 &&
            pwrite(fd, call.reply_body.data, n, (off_t)at) != (ssize_t)n) {
            rc = err_errno(err, "%s: write", c->in_path);
        }
        at += n;
        buf_free(&call.reply_head);
        buf_free(&call.reply_body);
    }
    return rc;
}

static int open_remote(struct meta_copy *c, struct source *s, struct err *err)
{
    struct net_call call;
    uint8_t head[8];
    int rc;

    store_u64(head, c->index);
    rc = ask(c, &call, META_COPY_OPEN, head, sizeof head, OPEN_TIMEOUT_MS, err);
    if (rc == 0 && call.reply_head.len != HEAD_BYTES) {
        rc = err_set(err, ERR_CORRUPT, "the answer is none");
    }
    if (rc == 0) {
        const uint8_t *p = call.reply_head.data;
        s->id = load_u64(p);
        s->size = load_u64(p + 8);
        s->applied = load_u64(p + 16);
        memcpy(s->sha256, p + 24, 32);
    }
    buf_free(&call.reply_head);
    buf_free(&call.reply_body);
    return rc;
}

/* *@out_applied: up to where the copy goes. */
static int fetch(struct meta_copy *c, uint64_t *out_applied, struct err *err)
{
    struct source s = {0};
    uint8_t sha256[32];
    uint64_t size = 0, applied = 0;
    int fd, rc = open_remote(c, &s, err);

    if (rc != 0) {
        return rc;
    }
    fd = open(c->in_path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_errno(err, "%s: open", c->in_path);
    }
    rc = fetch_pieces(c, &s, fd, err);
    if (rc == 0) {
        rc = digest_file(fd, &size, sha256, err);
    }
    if (rc == 0 && (size != s.size || memcmp(sha256, s.sha256, 32) != 0)) {
        rc = err_set(err, ERR_CORRUPT, "its SHA-256 does not match");
    }
    if (rc == 0 && fsync(fd) != 0) {
        rc = err_errno(err, "%s: fsync", c->in_path);
    }
    close(fd);
    if (rc == 0) {
        rc = meta_backup_applied(c->in_path, &applied, err);
    }
    if (rc == 0 && (applied != s.applied || applied < c->index)) {
        rc = err_set(err, ERR_CORRUPT, "its index is not what was said");
    }
    if (rc == 0) {
        *out_applied = applied;
    }
    return rc;
}

static void on_fetched(struct loop_call *call)
{
    struct meta_copy *c = LIST_OF(call, struct meta_copy, fetched_call);

    c->fetching = false;
}

static void fetch_in_keeper(struct work *w)
{
    struct meta_copy *c = LIST_OF(w, struct meta_copy, fetch_work);
    struct err err = {{0}};
    uint64_t applied = 0;
    int rc = fetch(c, &applied, &err);

    if (rc == 0 && !meta_swap_database(c->m, c->in_path, applied)) {
        unlink(c->in_path); /* the log was faster */
    } else if (rc == 0) {
        log_errf(LOG_INFO, "catalogue: copy taken", "from server %u", c->from);
    } else {
        unlink(c->in_path);
        log_errf(LOG_WARN, "catalogue: no copy", "from server %u: %s", c->from,
                 err.text);
    }
    loop_post(c->m->loop, &c->fetched_call);
}

bool meta_copy_wanted(struct meta_copy *c, uint32_t from, uint64_t index)
{
    uint64_t applied;

    pthread_mutex_lock(&c->m->apply_mutex);
    applied = c->m->applied;
    pthread_mutex_unlock(&c->m->apply_mutex);
    if (c->fetching || applied >= index) {
        return !c->fetching;
    }
    c->from = from;
    c->index = index;
    c->fetch_work.fn = fetch_in_keeper;
    c->fetched_call.fn = on_fetched;
    c->fetching = workers_run(c->m->keeper, &c->fetch_work);
    return false;
}

bool meta_copy_idle(const struct meta_copy *c)
{
    return c == NULL || (!c->fetching && c->serving == 0);
}

struct meta_copy *meta_copy_new(struct meta *m)
{
    struct meta_copy *c = mem_alloc(sizeof *c);

    c->m = m;
    c->source.fd = -1;
    c->out_path = mem_printf("%s/copy.out", m->dir);
    c->in_path = mem_printf("%s/copy.in", m->dir);
    unlink(c->out_path); /* of a process that was cut off */
    unlink(c->in_path);
    return c;
}

void meta_copy_free(struct meta_copy *c)
{
    if (c == NULL) {
        return;
    }
    forget_source(c);
    free(c->out_path);
    free(c->in_path);
    free(c);
}
