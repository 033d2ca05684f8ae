/* Reads that see all that was acknowledged before: ReadIndex. */
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/wire.h"
#include "meta/meta_net_internal.h"

#define READ_TIMEOUT_MS 5000 /* for a leader to be found and to answer */

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
    bool wanted;

    pthread_mutex_lock(&n->mutex);
    wanted = n->asking.first != NULL;
    pthread_mutex_unlock(&n->mutex);
    if (wanted) {
        loop_post_once(n->m->loop, &n->read_call);
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
    meta_call_free(c);
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
        if (!meta_still_leads(c->n->m, round->term)) {
            settle(c->n, round, false);
        } else if (round->yes * 2 > round->voters) {
            settle(c->n, round, true);
        } else if (round->answered == round->asked) {
            settle(c->n, round, false);
        }
    }
    round_unref(round);
    meta_call_free(c);
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
            struct call *c = meta_call_new(n, META_CONFIRM,
                                           META_CALL_TIMEOUT_MS, on_confirmed);
            c->round = round;
            put_u64(&c->head, round->term);
            meta_call_send(c, s->id);
        }
    }
}

static void start_round(struct meta_net *n)
{
    struct meta *m = n->m;
    uint64_t leader = meta_other_leader(m);
    struct round *round;

    if (n->round != NULL || m->raft_closed ||
        (leader == 0 && !meta_still_leads(m, m->raft.current_term))) {
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
            meta_call_new(n, META_READ_INDEX, META_CALL_TIMEOUT_MS, on_index);
        c->round = round;
        round->asked = 1;
        meta_call_send(c, leader);
    } else {
        confirm(n, round);
    }
}

static void on_read_call(struct loop_call *call)
{
    start_round(LIST_OF(call, struct meta_net, read_call));
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

void meta_serve_index(struct meta_net *n, struct net_request *r)
{
    struct reader *reader;

    if (!meta_still_leads(n->m, n->m->raft.current_term)) {
        net_reply(n->net, r, ERR_UNAVAILABLE, "not the leader", NULL, 0, NULL,
                  0, NULL, NULL);
        return;
    }
    reader = mem_alloc(sizeof *reader);
    reader->remote = r;
    ask(n, reader);
}

void meta_readers_init(struct meta_net *n)
{
    n->read_call.fn = on_read_call;
    list_reset(&n->asking);
    list_reset(&n->applying);
}

void meta_readers_close(struct meta_net *n)
{
    struct reader_list late;

    list_reset(&late);
    pthread_mutex_lock(&n->mutex);
    n->closed = true;
    list_take(&late, &n->asking);
    pthread_mutex_unlock(&n->mutex);
    list_take(&late, &n->applying);
    refuse_readers(n, &late, "the catalogue is closing");
}
