/* A reply whose bytes come from drives: two windows, one being sent by the
 * loop while a worker reads the other, in the memory that the drives read to.
 * A slow client holds a few buffers of the pool and no worker.
 */
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/pool.h"
#include "gateway/gateway_internal.h"
#include "gateway/http_internal.h"
#include "gateway/request.h"
#include "object/object_bytes.h"

#define STREAM_MAGIC 0x47535452u
#define WINDOW_MAX ((size_t)1 << 20)
#define WINDOW_MIN ((size_t)64 << 10)
#define SEND_BLOCK ((size_t)256 << 10)
/* All streams together may use one part in this many of the budget. */
#define BUDGET_PARTS 2

struct window {
    struct object_bytes bytes;
    size_t pos;
    bool ready;
};

struct stream {
    uint32_t magic;
    struct request *request;
    int (*next)(struct request *r, size_t max, struct object_bytes *out,
                struct err *err);
    uint64_t left; /* bytes not yet read */
    size_t window_bytes;
    struct window windows[2];
    unsigned current; /* being sent */
    unsigned target;  /* being filled */
    bool filling;     /* a worker has the target */
    bool waiting;     /* the connection is suspended for it */
    int status;
    struct work work;
    struct loop_call call;
};

static void stream_free(void *cls)
{
    struct stream *s = cls;
    struct request *r = s->request;

    CHECK_OBJ(s, STREAM_MAGIC);
    for (int i = 0; i < 2; i++) {
        object_bytes_free(r->gateway->objects, &s->windows[i].bytes);
    }
    atomic_fetch_sub(&r->gateway->streams, 1);
    s->magic = 0;
    free(s);
}

/* Large windows cost fewer turns between threads; many streams share the
 * budget by smaller ones. */
static size_t choose_window(struct gateway *g, uint64_t size)
{
    size_t share =
        pool_budget(g->pool) / BUDGET_PARTS / 2 / atomic_load(&g->streams);
    size_t window = WINDOW_MAX;

    while (window > WINDOW_MIN && (window > share || window / 2 >= size)) {
        window /= 2;
    }
    return window;
}

static int fill_window(struct stream *s, struct window *w, struct err *err)
{
    int rc;

    object_bytes_free(s->request->gateway->objects, &w->bytes);
    rc = s->next(s->request, s->window_bytes, &w->bytes, err);
    if (rc == 0 && (w->bytes.len == 0 || w->bytes.len > s->left)) {
        rc = err_set(err, ERR_CORRUPT, "the object ends early");
    }
    if (rc == 0) {
        s->left -= w->bytes.len;
        w->pos = 0;
    }
    return rc;
}

/* Loop: the worker is back. */
static void on_filled(struct loop_call *call)
{
    struct stream *s = LIST_OF(call, struct stream, call);
    struct request *r = s->request;

    CHECK_OBJ(s, STREAM_MAGIC);
    s->filling = false;
    s->windows[s->target].ready = s->status == 0;
    if (s->waiting) {
        s->waiting = false;
        request_resume(r);
    }
    request_release(r);
}

static void fill_in_worker(struct work *w)
{
    struct stream *s = LIST_OF(w, struct stream, work);
    struct request *r = s->request;

    s->status = fill_window(s, &s->windows[s->target], &r->err);
    s->call.fn = on_filled;
    loop_post(r->http->loop, &s->call);
}

static void fill_ahead(struct stream *s)
{
    struct request *r = s->request;

    if (s->filling || s->left == 0 || s->status != 0 ||
        s->windows[1 - s->current].ready) {
        return;
    }
    s->filling = true;
    s->target = 1 - s->current;
    s->work.fn = fill_in_worker;
    request_hold(r);
    if (!workers_run(r->gateway->workers, &s->work)) {
        s->status = err_set(&r->err, ERR_BUSY, "no worker for a read");
        s->filling = false;
        request_release(r);
    }
}

static ssize_t on_read(void *cls, uint64_t pos, char *out, size_t max)
{
    struct stream *s = cls;
    struct request *r = s->request;
    struct window *w;
    size_t n;

    (void)pos;
    CHECK_OBJ(s, STREAM_MAGIC);
    w = &s->windows[s->current];
    if (w->ready && w->pos == w->bytes.len) {
        w->ready = false;
        s->current = 1 - s->current;
        w = &s->windows[s->current];
    }
    if (!w->ready && s->filling) {
        s->waiting = true;
        request_suspend(r);
        return 0;
    }
    if (!w->ready) {
        /* Too late for another status: the connection ends short. */
        r->error = S3_InternalError;
        r->status = 500;
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    fill_ahead(s);
    n = w->bytes.len - w->pos < max ? w->bytes.len - w->pos : max;
    memcpy(out, w->bytes.p + w->pos, n);
    w->pos += n;
    r->bytes_out += n;
    r->rate_bytes += n;
    return (ssize_t)n;
}

int reply_stream(struct request *r, int status, uint64_t size,
                 int (*next)(struct request *r, size_t max,
                             struct object_bytes *out, struct err *err),
                 struct err *err)
{
    struct stream *s = mem_alloc(sizeof *s);
    int rc;

    CHECK(size > 0);
    s->magic = STREAM_MAGIC;
    s->request = r;
    s->next = next;
    s->left = size;
    atomic_fetch_add(&r->gateway->streams, 1);
    s->window_bytes = choose_window(r->gateway, size);
    rc = fill_window(s, &s->windows[0], err);
    if (rc != 0) {
        stream_free(s);
        return rc;
    }
    s->windows[0].ready = true;
    r->stream = s;
    r->stream_free = stream_free;
    r->response =
        MHD_create_response_from_callback(size, SEND_BLOCK, on_read, s, NULL);
    CHECK(r->response != NULL);
    reply(r, status);
    return 0;
}
