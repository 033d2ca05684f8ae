#include "meta/meta_net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wire.h"
#include "meta/command.h"
#include "meta/meta_era.h"
#include "meta/meta_net_internal.h"
#include "meta/meta_stop.h"

#define PROPOSE_TIMEOUT_MS 15000
#define HEAD_BYTES \
    ((size_t)65536)           /* of libraft's messages; others are bodies */
#define ERA_BYTES ((size_t)8) /* in front of each head */
#define ERA_SAY_AGAIN_MS 10000

/* A frame that came, on its way to the loop. */
struct inbound {
    struct loop_call call;
    struct meta_net *n;
    struct net_request *request;
};

/* Proposals of another member. */
struct foreign {
    struct meta_net *n;
    struct net_request *request;
    size_t count, left;
    pthread_mutex_t mutex;
    struct meta_proposal proposals[];
};

/* ---- calls and their answers ---- */

static void call_back(struct net_call *nc)
{
    struct call *c = LIST_OF(nc, struct call, call);

    loop_post(c->n->m->loop, &c->back);
}

struct call *meta_call_new(struct meta_net *n, uint8_t type,
                           uint64_t timeout_ms, void (*fn)(struct loop_call *))
{
    struct call *c = mem_alloc(sizeof *c);

    c->n = n;
    c->back.fn = fn;
    c->call.service = NET_META;
    c->call.type = type;
    c->call.timeout_ms = timeout_ms;
    c->call.done = call_back;
    put_u64(&c->head, atomic_load(&n->m->era));
    return c;
}

void meta_call_send(struct call *c, uint64_t to)
{
    c->call.head = c->head.data;
    c->call.head_len = c->head.len;
    c->call.body = c->body.data;
    c->call.body_len = c->body.len;
    net_call(c->n->net, (uint32_t)to, &c->call);
}

void meta_call_free(struct call *c)
{
    buf_free(&c->head);
    buf_free(&c->body);
    buf_free(&c->call.reply_head);
    buf_free(&c->call.reply_body);
    free(c);
}

uint64_t meta_other_leader(struct meta *m)
{
    raft_id id = 0;
    const char *address;

    raft_leader(&m->raft, &id, &address);
    return id == m->server ? 0 : id;
}

bool meta_still_leads(struct meta *m, uint64_t term)
{
    return m->leading && !m->barrier_out && m->raft.current_term == term;
}

/* ---- libraft's messages ---- */

void meta_net_send(void *arg, raft_id to, const char *address,
                   const void *message, size_t len)
{
    struct meta *m = arg;

    struct buf head = {0};

    (void)address; /* net knows where each server is */
    put_u64(&head, atomic_load(&m->era));
    if (len + ERA_BYTES <= HEAD_BYTES) {
        put_bytes(&head, message, len);
        net_send(m->net_calls->net, (uint32_t)to, NET_RAFT, 0, head.data,
                 head.len, NULL, 0);
    } else {
        net_send(m->net_calls->net, (uint32_t)to, NET_RAFT, 0, head.data,
                 head.len, message, len);
    }
    buf_free(&head);
}

static void take_message(struct meta_net *n, struct net_request *r)
{
    bool bulk = r->head_len == 0;
    bool notice = bulk && r->body_len == 0; /* same_era has looked at it */
    struct err err;

    if (!n->m->raft_closed && !notice &&
        raft_io_receive(n->m->disk, r->server, "", bulk ? r->body : r->head,
                        bulk ? r->body_len : r->head_len, &err) != 0) {
        log_errf(LOG_WARN, "raft: message refused", "server %u: %s", r->server,
                 err.text);
    }
    net_reply(n->net, r, 0, NULL, NULL, 0, NULL, 0, NULL, NULL);
}

/* ---- proposing ---- */

static void refuse_all(struct meta *m, struct meta_entry *e, int status,
                       const char *why)
{
    struct meta_proposal *p = e->proposals;

    while (p != NULL) {
        struct meta_proposal *next = p->next;
        p->status = err_set(&p->err, status, "%s", why);
        meta_refuse(m, p);
        p = next;
    }
    free(e);
}

/* The leader's answers, one for each proposal; false: they are none. */
static bool take_answers(struct meta_entry *e, const struct buf *head)
{
    struct wire_reader r;

    wire_init(&r, head->data, head->len);
    if (get_u32(&r) != e->count) {
        return false;
    }
    for (struct meta_proposal *p = e->proposals; p != NULL; p = p->next) {
        size_t len = 0;
        const uint8_t *codes;
        p->status = get_u8(&r);
        p->body = get_u64(&r);
        codes = get_blob(&r, META_DELETE_MAX, &len);
        if (!wire_ok(&r)) {
            return false;
        }
        if (p->codes != NULL && len > 0) {
            memcpy(p->codes, codes, len);
        }
        if (p->status != 0) {
            err_set(&p->err, p->status, "%s", err_text(p->status));
        }
    }
    if (r.left > 0) {
        for (struct meta_proposal *p = e->proposals; p != NULL; p = p->next) {
            p->version = get_u64(&r);
        }
    }
    return wire_done(&r);
}

static void answer_all(struct meta *m, struct meta_entry *e)
{
    struct meta_proposal *p = e->proposals;

    while (p != NULL) {
        struct meta_proposal *next = p->next;
        meta_refuse(m, p); /* with the status that it has */
        p = next;
    }
    free(e);
}

static void on_proposed(struct loop_call *back)
{
    struct call *c = LIST_OF(back, struct call, back);
    struct meta_net *n = c->n;
    struct meta_entry *e = c->entry;

    n->forwards--;
    if (c->call.status == ERR_UNAVAILABLE || c->call.status == ERR_BUSY) {
        meta_requeue(n->m, e); /* nothing was done: the next leader's */
    } else if (c->call.status != 0) {
        refuse_all(n->m, e, ERR_UNKNOWN, c->call.err.text);
    } else if (take_answers(e, &c->call.reply_head)) {
        answer_all(n->m, e);
    } else {
        refuse_all(n->m, e, ERR_UNKNOWN, "the leader's answer is not one");
    }
    meta_call_free(c);
    meta_post_pump(n->m);
}

bool meta_net_forward(struct meta_net *n, struct meta_entry *e)
{
    uint64_t leader = meta_other_leader(n->m);
    struct call *c;
    uint8_t *at;

    if (leader == 0) {
        return false;
    }
    c = meta_call_new(n, META_PROPOSE, PROPOSE_TIMEOUT_MS, on_proposed);
    c->entry = e;
    buf_reserve(&c->body, e->len);
    at = command_batch_head(c->body.data, e->count);
    for (struct meta_proposal *p = e->proposals; p != NULL; p = p->next) {
        at = command_batch_put(at, p->command, p->command_len);
    }
    memset(at, 0, (size_t)(c->body.data + e->len - at));
    c->body.len = e->len;
    n->forwards++;
    meta_call_send(c, leader);
    return true;
}

unsigned meta_net_forwards(const struct meta_net *n)
{
    return n != NULL ? n->forwards : 0;
}

/* ---- serving ---- */

static void refuse_request(struct meta_net *n, struct net_request *r,
                           int status, const char *why)
{
    net_reply(n->net, r, status, why, NULL, 0, NULL, 0, NULL, NULL);
}

static void foreign_free(struct foreign *f)
{
    for (size_t i = 0; i < f->count; i++) {
        free(f->proposals[i].codes);
    }
    pthread_mutex_destroy(&f->mutex);
    free(f);
}

/* Apply thread. */
static void foreign_done(struct meta_proposal *p)
{
    struct foreign *f = p->owner;
    struct buf head = {0};
    bool versions = false;
    bool last;

    pthread_mutex_lock(&f->mutex);
    last = --f->left == 0;
    pthread_mutex_unlock(&f->mutex);
    if (!last) {
        return;
    }
    put_u32(&head, (uint32_t)f->count);
    for (size_t i = 0; i < f->count; i++) {
        const struct meta_proposal *q = &f->proposals[i];
        put_u8(&head, (uint8_t)q->status);
        put_u64(&head, q->body);
        put_blob(&head, q->codes, q->codes != NULL ? META_DELETE_MAX : 0);
        versions = versions || q->version != 0;
    }
    for (size_t i = 0; versions && i < f->count; i++) {
        put_u64(&head, f->proposals[i].version);
    }
    net_reply(f->n->net, f->request, 0, NULL, head.data, head.len, NULL, 0,
              NULL, NULL);
    buf_free(&head);
    foreign_free(f);
}

static void serve_propose(struct meta_net *n, struct net_request *r)
{
    struct command_batch batch;
    struct command_bytes bytes;
    struct foreign *f;
    struct err err;
    size_t count;

    if (!meta_still_leads(n->m, n->m->raft.current_term)) {
        refuse_request(n, r, ERR_UNAVAILABLE, "not the leader");
        return;
    }
    if (command_batch_open(&batch, r->body, r->body_len, &err) != 0) {
        refuse_request(n, r, ERR_BAD_INPUT, err.text);
        return;
    }
    count = batch.count;
    f = mem_alloc(sizeof *f + count * sizeof f->proposals[0]);
    f->n = n;
    f->request = r;
    CHECK(pthread_mutex_init(&f->mutex, NULL) == 0);
    while (f->count < count && command_batch_next(&batch, &bytes)) {
        struct meta_proposal *p = &f->proposals[f->count++];
        p->command = bytes.p;
        p->command_len = bytes.len;
        p->done = foreign_done;
        p->owner = f;
        if (command_peek(bytes.p, bytes.len) == COMMAND_OBJECTS_DELETE) {
            p->codes = mem_alloc(META_DELETE_MAX);
        }
    }
    if (f->count < count || count == 0) {
        refuse_request(n, r, ERR_BAD_INPUT, "the entry ends early");
        foreign_free(f);
        return;
    }
    f->left = count;
    for (size_t i = 0; i < count; i++) {
        meta_propose(n->m, &f->proposals[i]); /* f may be gone after the last */
    }
}

static void serve_confirm(struct meta_net *n, struct net_request *r)
{
    uint8_t head[8];

    store_u64(head, n->m->raft.current_term);
    net_reply(n->net, r, 0, NULL, head, sizeof head, NULL, 0, NULL, NULL);
}

/* Are we and who asks of one line of log? Who is of an earlier one ends, lest
 * two catalogues be led in one cluster. */
static bool same_era(struct meta_net *n, struct net_request *r)
{
    uint64_t ours = atomic_load(&n->m->era), theirs = META_ERA_NONE;
    uint64_t now = clock_mono_ms();
    uint8_t head[ERA_BYTES];

    if (r->head_len >= ERA_BYTES) {
        theirs = load_u64(r->head);
        r->head += ERA_BYTES;
        r->head_len -= ERA_BYTES;
    }
    if (theirs != META_ERA_NONE && theirs > META_ERA_MAX) {
        return false; /* no era: of a Godwit that did not know them */
    }
    if (theirs == ours || theirs == META_ERA_NONE || ours == META_ERA_NONE) {
        return true;
    }
    if (theirs > ours) {
        char text[200];
        snprintf(
            text, sizeof text,
            "server %u has one that was restored or recovered since; put "
            "this copy aside by \"godwit catalogue rejoin --data DIR\" and "
            "start again",
            r->server);
        meta_stop("an earlier catalogue", text);
    }
    store_u64(head, ours); /* it is to know that, and end */
    net_send(n->net, r->server, NET_RAFT, 0, head, sizeof head, NULL, 0);
    if (now - n->era_said_ms > ERA_SAY_AGAIN_MS || n->era_said_ms == 0) {
        n->era_said_ms = now;
        log_errf(LOG_WARN, "catalogue: a member of an earlier era",
                 "server %u: it ends; godwit catalogue rejoin is for it",
                 r->server);
    }
    return false;
}

static void on_inbound(struct loop_call *call)
{
    struct inbound *in = LIST_OF(call, struct inbound, call);
    struct meta_net *n = in->n;
    struct net_request *r = in->request;

    free(in);
    if (!same_era(n, r)) {
        refuse_request(n, r, ERR_UNAVAILABLE,
                       "the catalogue is of a later era than the asker's");
    } else if (r->service == NET_RAFT) {
        take_message(n, r);
    } else if (n->m->raft_closed) {
        refuse_request(n, r, ERR_UNAVAILABLE, "closing");
    } else if (r->type == META_PROPOSE) {
        serve_propose(n, r);
    } else if (r->type == META_READ_INDEX) {
        meta_serve_index(n, r);
    } else if (r->type == META_CONFIRM) {
        serve_confirm(n, r);
    } else if (r->type == META_COPY_OPEN || r->type == META_COPY_READ) {
        meta_copy_serve(n->m->copy, r);
    } else {
        refuse_request(n, r, ERR_UNSUPPORTED, "no such request");
    }
}

/* The net's thread. */
static void on_request(void *arg, struct net_request *r)
{
    struct meta_net *n = arg;
    struct inbound *in = mem_alloc(sizeof *in);

    in->n = n;
    in->request = r;
    in->call.fn = on_inbound;
    loop_post(n->m->loop, &in->call);
}

/* ---- life ---- */

struct meta_net *meta_net_new(struct meta *m)
{
    struct meta_net *n;

    if (m->net == NULL) {
        return NULL;
    }
    n = mem_alloc(sizeof *n);
    n->m = m;
    n->net = m->net;
    meta_readers_init(n);
    CHECK(pthread_mutex_init(&n->mutex, NULL) == 0);
    net_serve(n->net, NET_RAFT, on_request, n);
    net_serve(n->net, NET_META, on_request, n);
    return n;
}

void meta_net_close(struct meta_net *n)
{
    if (n != NULL) {
        meta_readers_close(n);
    }
}

void meta_net_free(struct meta_net *n)
{
    if (n == NULL) {
        return;
    }
    pthread_mutex_destroy(&n->mutex);
    free(n);
}
