#include "meta/meta_net.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/latch.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wire.h"
#include "meta/command.h"
#include "meta/meta_core.h"
#include "net/net.h"

#define READ_TIMEOUT_MS 5000 /* for a leader to be found and to answer */
#define CALL_TIMEOUT_MS 2000
#define PROPOSE_TIMEOUT_MS 15000

enum { META_PROPOSE = 1, META_READ_INDEX = 2, META_CONFIRM = 3 };

/* Who waits to read: a thread of ours, or another member. */
struct reader {
    struct reader *next;
    struct net_request *remote; /* NULL: a thread of ours, in latch */
    struct latch latch;
    uint64_t deadline_ms;
    uint64_t index;  /* that libraft must have applied */
    uint64_t handed; /* then: that the apply thread must have */
    int status;
    struct err err;
};

struct reader_list {
    struct reader *first, **last;
};

/* One question to the leader, or to a majority, for all in @readers. */
struct round {
    struct reader_list readers;
    uint64_t index;
    uint64_t term;
    unsigned voters, yes, answered, asked;
    bool settled;
};

struct meta_net {
    struct meta *m;
    struct net *net;

    /* Under mutex; any thread. */
    pthread_mutex_t mutex;
    struct reader_list asking;
    bool read_posted, closed;
    struct loop_call read_call;

    /* The loop's. */
    struct round *round;         /* in flight */
    struct reader_list applying; /* wait for libraft to apply their index */
    unsigned forwards;
};

/* A call of ours in flight, and its way back to the loop. */
struct call {
    struct net_call call;
    struct loop_call back;
    struct meta_net *n;
    struct round *round;
    struct meta_entry *entry;
    struct buf head, body;
};

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

static void list_reset(struct reader_list *l)
{
    l->first = NULL;
    l->last = &l->first;
}

static void list_add(struct reader_list *l, struct reader *r)
{
    r->next = NULL;
    *l->last = r;
    l->last = &r->next;
}

static void list_take(struct reader_list *to, struct reader_list *from)
{
    if (from->first != NULL) {
        *to->last = from->first;
        to->last = from->last;
        list_reset(from);
    }
}

/* ---- calls and their answers ---- */

static void call_back(struct net_call *nc)
{
    struct call *c = LIST_OF(nc, struct call, call);

    loop_post(c->n->m->loop, &c->back);
}

static struct call *call_new(struct meta_net *n, uint8_t type,
                             uint64_t timeout_ms,
                             void (*fn)(struct loop_call *))
{
    struct call *c = mem_alloc(sizeof *c);

    c->n = n;
    c->back.fn = fn;
    c->call.service = NET_META;
    c->call.type = type;
    c->call.timeout_ms = timeout_ms;
    c->call.done = call_back;
    return c;
}

static void call_send(struct call *c, uint64_t to)
{
    c->call.head = c->head.data;
    c->call.head_len = c->head.len;
    c->call.body = c->body.data;
    c->call.body_len = c->body.len;
    net_call(c->n->net, (uint32_t)to, &c->call);
}

static void call_free(struct call *c)
{
    buf_free(&c->head);
    buf_free(&c->body);
    buf_free(&c->call.reply_head);
    buf_free(&c->call.reply_body);
    free(c);
}

/* The other member that leads; 0: none known, or we do. */
static uint64_t other_leader(struct meta *m)
{
    raft_id id = 0;
    const char *address;

    raft_leader(&m->raft, &id, &address);
    return id == m->server ? 0 : id;
}

/* ---- libraft's messages ---- */

void meta_net_send(void *arg, raft_id to, const char *address,
                   const void *message, size_t len)
{
    struct meta *m = arg;

    (void)address; /* net knows where each server is */
    net_send(m->net_calls->net, (uint32_t)to, NET_RAFT, 0, message, len);
}

static void take_message(struct meta_net *n, struct net_request *r)
{
    struct err err;

    if (!n->m->raft_closed &&
        raft_io_receive(n->m->disk, r->server, "", r->head, r->head_len,
                        &err) != 0) {
        log_errf(LOG_WARN, "raft: message refused", "server %u: %s", r->server,
                 err.text);
    }
    net_reply(n->net, r, 0, NULL, NULL, 0, NULL, 0, NULL, NULL);
}

/* ---- reading ---- */

static void reader_done(struct meta_net *n, struct reader *r, int status,
                        const char *why)
{
    r->status = status;
    if (r->remote != NULL) {
        uint8_t head[8];
        store_u64(head, r->index);
        net_reply(n->net, r->remote, status, why, head, sizeof head, NULL, 0,
                  NULL, NULL);
        free(r);
        return;
    }
    if (status != 0) {
        err_set(&r->err, status, "%s", why);
    }
    latch_signal(&r->latch);
}

static void refuse_readers(struct meta_net *n, struct reader_list *l,
                           const char *why)
{
    struct reader *r = l->first;

    list_reset(l);
    while (r != NULL) {
        struct reader *next = r->next;
        reader_done(n, r, ERR_UNAVAILABLE, why);
        r = next;
    }
}

static uint64_t handed_now(struct meta *m)
{
    uint64_t handed;

    pthread_mutex_lock(&m->apply_mutex);
    handed = m->handed;
    pthread_mutex_unlock(&m->apply_mutex);
    return handed;
}

/* Those whose index libraft has applied: now the apply thread must, too. */
void meta_net_applied(struct meta_net *n)
{
    struct reader_list left;
    struct reader *r;
    uint64_t applied;

    if (n == NULL || n->applying.first == NULL) {
        return;
    }
    applied = raft_last_applied(&n->m->raft);
    list_reset(&left);
    r = n->applying.first;
    while (r != NULL) {
        struct reader *next = r->next;
        if (r->index <= applied) {
            r->handed = handed_now(n->m);
            reader_done(n, r, 0, NULL);
        } else {
            list_add(&left, r);
        }
        r = next;
    }
    n->applying = left;
    if (left.first == NULL) {
        list_reset(&n->applying);
    }
}

/* All in the round may read once @index is applied; others' members apply it
 * themselves. */
static void grant(struct meta_net *n, struct round *round)
{
    struct reader *r = round->readers.first;

    list_reset(&round->readers);
    while (r != NULL) {
        struct reader *next = r->next;
        r->index = round->index;
        if (r->remote != NULL) {
            reader_done(n, r, 0, NULL);
        } else {
            list_add(&n->applying, r);
        }
        r = next;
    }
    meta_net_applied(n);
}

static void start_round(struct meta_net *n);

static void post_read(struct meta_net *n)
{
    bool post;

    pthread_mutex_lock(&n->mutex);
    post = !n->read_posted && n->asking.first != NULL;
    n->read_posted = n->read_posted || post;
    pthread_mutex_unlock(&n->mutex);
    if (post) {
        loop_post(n->m->loop, &n->read_call);
    }
}

/* A round that failed is asked again at the next tick, until its readers'
 * deadlines. */
static void ask_again(struct meta_net *n, struct round *round)
{
    pthread_mutex_lock(&n->mutex);
    list_take(&n->asking, &round->readers);
    pthread_mutex_unlock(&n->mutex);
}

static void settle(struct meta_net *n, struct round *round, bool granted)
{
    round->settled = true;
    n->round = NULL;
    if (granted) {
        grant(n, round);
        post_read(n);
    } else {
        ask_again(n, round);
    }
}

static void round_unref(struct round *round)
{
    if (round->answered == round->asked && round->settled) {
        free(round);
    }
}

static void on_index(struct loop_call *back)
{
    struct call *c = LIST_OF(back, struct call, back);
    struct round *round = c->round;
    bool ok = c->call.status == 0 && c->call.reply_head.len == 8;

    round->answered++;
    if (ok) {
        round->index = load_u64(c->call.reply_head.data);
    }
    settle(c->n, round, ok);
    round_unref(round);
    call_free(c);
}

static bool still_leads(struct meta *m, uint64_t term)
{
    return m->leading && !m->barrier_out && m->raft.current_term == term;
}

static void on_confirmed(struct loop_call *back)
{
    struct call *c = LIST_OF(back, struct call, back);
    struct round *round = c->round;

    round->answered++;
    if (c->call.status == 0 && c->call.reply_head.len == 8 &&
        load_u64(c->call.reply_head.data) == round->term) {
        round->yes++;
    }
    if (!round->settled) {
        if (!still_leads(c->n->m, round->term)) {
            settle(c->n, round, false);
        } else if (round->yes * 2 > round->voters) {
            settle(c->n, round, true);
        } else if (round->answered == round->asked) {
            settle(c->n, round, false);
        }
    }
    round_unref(round);
    call_free(c);
}

static void confirm(struct meta_net *n, struct round *round)
{
    struct meta *m = n->m;
    const struct raft_configuration *conf = &m->raft.configuration;

    round->term = m->raft.current_term;
    round->index = m->raft.commit_index;
    for (unsigned i = 0; i < conf->n; i++) {
        if (conf->servers[i].role == RAFT_VOTER) {
            round->voters++;
            round->yes += conf->servers[i].id == m->server;
            round->asked += conf->servers[i].id != m->server;
        }
    }
    if (round->yes * 2 > round->voters) {
        settle(n, round, true);
        free(round);
        return;
    }
    for (unsigned i = 0; i < conf->n; i++) {
        const struct raft_server *s = &conf->servers[i];
        if (s->role == RAFT_VOTER && s->id != m->server) {
            struct call *c =
                call_new(n, META_CONFIRM, CALL_TIMEOUT_MS, on_confirmed);
            c->round = round;
            put_u64(&c->head, round->term);
            call_send(c, s->id);
        }
    }
}

static void start_round(struct meta_net *n)
{
    struct meta *m = n->m;
    uint64_t leader = other_leader(m);
    struct round *round;

    if (n->round != NULL || m->raft_closed ||
        (leader == 0 && !still_leads(m, m->raft.current_term))) {
        return; /* the answer, or the next tick, comes here again */
    }
    round = mem_alloc(sizeof *round);
    list_reset(&round->readers);
    pthread_mutex_lock(&n->mutex);
    list_take(&round->readers, &n->asking);
    pthread_mutex_unlock(&n->mutex);
    if (round->readers.first == NULL) {
        free(round);
        return;
    }
    n->round = round;
    if (leader != 0) {
        struct call *c =
            call_new(n, META_READ_INDEX, CALL_TIMEOUT_MS, on_index);
        c->round = round;
        round->asked = 1;
        call_send(c, leader);
    } else {
        confirm(n, round);
    }
}

static void on_read_call(struct loop_call *call)
{
    struct meta_net *n = LIST_OF(call, struct meta_net, read_call);

    pthread_mutex_lock(&n->mutex);
    n->read_posted = false;
    pthread_mutex_unlock(&n->mutex);
    start_round(n);
}

static void ask(struct meta_net *n, struct reader *r)
{
    bool closed;

    r->deadline_ms = clock_mono_ms() + READ_TIMEOUT_MS;
    pthread_mutex_lock(&n->mutex);
    closed = n->closed;
    if (!closed) {
        list_add(&n->asking, r);
    }
    pthread_mutex_unlock(&n->mutex);
    if (closed) {
        reader_done(n, r, ERR_UNAVAILABLE, "the catalogue is closing");
    } else {
        post_read(n);
    }
}

int meta_net_barrier(struct meta *m, struct err *err)
{
    struct reader r = {0};

    if (m->net_calls == NULL) {
        return 0;
    }
    latch_init(&r.latch);
    ask(m->net_calls, &r);
    while (!latch_wait(&r.latch, 1, UINT32_MAX)) { /* the loop has deadlines */
    }
    latch_close(&r.latch);
    if (r.status != 0) {
        return err_set(err, r.status, "%s", r.err.text);
    }
    pthread_mutex_lock(&m->apply_mutex);
    while (m->applied < r.handed) {
        pthread_cond_wait(&m->apply_done, &m->apply_mutex);
    }
    pthread_mutex_unlock(&m->apply_mutex);
    return 0;
}

static void expire(struct meta_net *n, struct reader_list *l,
                   struct reader_list *late)
{
    struct reader_list left;
    struct reader *r = l->first;
    uint64_t now = clock_mono_ms();

    list_reset(&left);
    while (r != NULL) {
        struct reader *next = r->next;
        list_add(r->deadline_ms <= now ? late : &left, r);
        r = next;
    }
    list_reset(l);
    list_take(l, &left);
    (void)n;
}

void meta_net_tick(struct meta_net *n)
{
    struct reader_list late;

    if (n == NULL) {
        return;
    }
    list_reset(&late);
    pthread_mutex_lock(&n->mutex);
    expire(n, &n->asking, &late);
    pthread_mutex_unlock(&n->mutex);
    expire(n, &n->applying, &late);
    refuse_readers(n, &late,
                   "the catalogue has no leader that a majority confirms");
    start_round(n);
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
    call_free(c);
    meta_post_pump(n->m);
}

bool meta_net_forward(struct meta_net *n, struct meta_entry *e)
{
    uint64_t leader = other_leader(n->m);
    struct call *c;
    uint8_t *at;

    if (leader == 0) {
        return false;
    }
    c = call_new(n, META_PROPOSE, PROPOSE_TIMEOUT_MS, on_proposed);
    c->entry = e;
    buf_reserve(&c->body, e->len);
    at = command_batch_head(c->body.data, e->count);
    for (struct meta_proposal *p = e->proposals; p != NULL; p = p->next) {
        at = command_batch_put(at, p->command, p->command_len);
    }
    memset(at, 0, (size_t)(c->body.data + e->len - at));
    c->body.len = e->len;
    n->forwards++;
    call_send(c, leader);
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

    if (!still_leads(n->m, n->m->raft.current_term)) {
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

static void serve_index(struct meta_net *n, struct net_request *r)
{
    struct reader *reader;

    if (!still_leads(n->m, n->m->raft.current_term)) {
        refuse_request(n, r, ERR_UNAVAILABLE, "not the leader");
        return;
    }
    reader = mem_alloc(sizeof *reader);
    reader->remote = r;
    ask(n, reader);
}

static void serve_confirm(struct meta_net *n, struct net_request *r)
{
    uint8_t head[8];

    store_u64(head, n->m->raft.current_term);
    net_reply(n->net, r, 0, NULL, head, sizeof head, NULL, 0, NULL, NULL);
}

static void on_inbound(struct loop_call *call)
{
    struct inbound *in = LIST_OF(call, struct inbound, call);
    struct meta_net *n = in->n;
    struct net_request *r = in->request;

    free(in);
    if (r->service == NET_RAFT) {
        take_message(n, r);
    } else if (n->m->raft_closed) {
        refuse_request(n, r, ERR_UNAVAILABLE, "closing");
    } else if (r->type == META_PROPOSE) {
        serve_propose(n, r);
    } else if (r->type == META_READ_INDEX) {
        serve_index(n, r);
    } else if (r->type == META_CONFIRM) {
        serve_confirm(n, r);
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
    n->read_call.fn = on_read_call;
    CHECK(pthread_mutex_init(&n->mutex, NULL) == 0);
    list_reset(&n->asking);
    list_reset(&n->applying);
    net_serve(n->net, NET_RAFT, on_request, n);
    net_serve(n->net, NET_META, on_request, n);
    return n;
}

void meta_net_close(struct meta_net *n)
{
    struct reader_list late;

    if (n == NULL) {
        return;
    }
    list_reset(&late);
    pthread_mutex_lock(&n->mutex);
    n->closed = true;
    list_take(&late, &n->asking);
    pthread_mutex_unlock(&n->mutex);
    list_take(&late, &n->applying);
    refuse_readers(n, &late, "the catalogue is closing");
}

void meta_net_free(struct meta_net *n)
{
    if (n == NULL) {
        return;
    }
    pthread_mutex_destroy(&n->mutex);
    free(n);
}
