/* Members: who votes, as libraft has it. One change at a time: the core does
 * not take a second one before the first is committed. */
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/latch.h"
#include "base/mem.h"
#include "meta/meta_core.h"

struct member_change {
    struct raft_change raft;
    struct loop_call call;
    struct latch latch;
    struct meta *m;
    uint32_t server;
    const char *address;
    enum meta_role role;
    bool remove;
    int status;
    struct err err;
};

static enum meta_role role_of(int raft_role)
{
    return raft_role == RAFT_VOTER     ? META_VOTER
           : raft_role == RAFT_STANDBY ? META_STANDBY
                                       : META_SPARE;
}

static int raft_role_of(enum meta_role role)
{
    return role == META_VOTER     ? RAFT_VOTER
           : role == META_STANDBY ? RAFT_STANDBY
                                  : RAFT_SPARE;
}

void meta_show_members(struct meta *m)
{
    const struct raft_configuration *conf = &m->raft.configuration;

    pthread_mutex_lock(&m->apply_mutex);
    m->member_count = 0;
    for (unsigned i = 0; i < conf->n && i < META_MEMBERS_MAX; i++) {
        m->members[m->member_count++] =
            (struct meta_member){.server = (uint32_t)conf->servers[i].id,
                                 .role = role_of(conf->servers[i].role)};
    }
    pthread_mutex_unlock(&m->apply_mutex);
}

size_t meta_members(struct meta *m, struct meta_member out[META_MEMBERS_MAX])
{
    size_t n;

    CHECK_OBJ(m, META_MAGIC);
    pthread_mutex_lock(&m->apply_mutex);
    n = m->member_count;
    for (size_t i = 0; i < n; i++) {
        out[i] = m->members[i];
    }
    pthread_mutex_unlock(&m->apply_mutex);
    return n;
}

static void finish(struct member_change *c, int status, const char *why)
{
    struct meta *m = c->m;

    if (m->change == c) {
        m->change = NULL;
    }
    c->status = status == 0 ? 0 : err_set(&c->err, status, "%s", why);
    latch_signal(&c->latch);
}

static void on_changed(struct raft_change *raft, int status)
{
    struct member_change *c = raft->data;

    meta_show_members(c->m);
    finish(c, status == 0 ? 0 : ERR_UNKNOWN, raft_strerror(status));
}

static const struct raft_server *find(const struct raft_configuration *conf,
                                      uint32_t server)
{
    for (unsigned i = 0; i < conf->n; i++) {
        if (conf->servers[i].id == server) {
            return &conf->servers[i];
        }
    }
    return NULL;
}

static void on_change(struct loop_call *call)
{
    struct member_change *c = LIST_OF(call, struct member_change, call);
    struct meta *m = c->m;
    const struct raft_server *s = find(&m->raft.configuration, c->server);
    int rc;

    if (m->raft_closed || !m->leading || m->barrier_out || m->change != NULL) {
        finish(c, ERR_UNAVAILABLE,
               m->change != NULL ? "a change of members is under way"
                                 : "not the leader");
        return;
    }
    m->change = c;
    c->raft.data = c;
    if (c->remove && s == NULL) {
        finish(c, 0, NULL);
        return;
    }
    if (c->remove) {
        rc = raft_remove(&m->raft, &c->raft, c->server, on_changed);
    } else if (s == NULL) {
        rc = raft_add(&m->raft, &c->raft, c->server, c->address, on_changed);
    } else if (role_of(s->role) == c->role) {
        finish(c, 0, NULL);
        return;
    } else {
        rc = raft_assign(&m->raft, &c->raft, c->server, raft_role_of(c->role),
                         on_changed);
    }
    if (rc != 0) {
        finish(c, ERR_UNAVAILABLE, raft_strerror(rc));
    }
}

int meta_member_change(struct meta *m, uint32_t server, const char *address,
                       enum meta_role role, bool remove, struct err *err)
{
    struct member_change *c = mem_alloc(sizeof *c);
    int rc;

    CHECK_OBJ(m, META_MAGIC);
    CHECK(m->net != NULL);
    c->m = m;
    c->server = server;
    c->address = address;
    c->role = role;
    c->remove = remove;
    c->call.fn = on_change;
    latch_init(&c->latch);
    loop_post(m->loop, &c->call);
    while (!latch_wait(&c->latch, 1, UINT32_MAX)) { /* libraft always answers */
    }
    latch_close(&c->latch);
    rc = c->status;
    if (rc != 0) {
        err_set(err, rc, "%s", c->err.text);
    }
    free(c);
    return rc;
}

/* ---- handing over the lead ---- */

/* What was logged last is stored by the others by then: who still writes cannot
 * stand for election (B6), and would do it later by itself. */
#define STORED_MS 20

struct handover {
    struct raft_transfer raft;
    struct loop_call call;
    struct loop_timer timer;
    struct latch latch;
    struct handover *next;
    struct meta *m;
    uint32_t server;
    bool done; /* another leads */
};

static void hand_over_ends(struct handover *h)
{
    h->done = raft_state(&h->m->raft) != RAFT_LEADER;
    h->m->giving = false;
    meta_post_pump(h->m);
    latch_signal(&h->latch);
}

static void on_handed_over(struct raft_transfer *raft)
{
    hand_over_ends(raft->data);
}

static void on_stored(struct loop_timer *t)
{
    struct handover *h = LIST_OF(t, struct handover, timer);
    struct meta *m = h->m;

    if (m->flight != NULL && m->leading) {
        loop_timer_set(m->loop, &h->timer, STORED_MS);
        return;
    }
    /* A barrier or a change that is out would be refused in the middle. */
    if (m->raft_closed || m->barrier_out || m->change != NULL ||
        raft_transfer(&m->raft, &h->raft, h->server, on_handed_over) != 0) {
        hand_over_ends(h);
    }
}

static void on_hand_over(struct loop_call *call)
{
    struct handover *h = LIST_OF(call, struct handover, call);
    struct meta *m = h->m;

    h->next = m->handovers;
    m->handovers = h;
    h->raft.data = h;
    loop_timer_init(&h->timer, on_stored);
    if (m->raft_closed || raft_state(&m->raft) != RAFT_LEADER) {
        hand_over_ends(h);
    } else {
        m->giving = true; /* nothing more is proposed */
        loop_timer_set(m->loop, &h->timer, STORED_MS);
    }
}

bool meta_give_lead(struct meta *m, uint32_t server)
{
    struct handover *h = mem_alloc(sizeof *h);

    CHECK_OBJ(m, META_MAGIC);
    CHECK(m->net != NULL);
    h->m = m;
    h->server = server;
    h->call.fn = on_hand_over;
    latch_init(&h->latch);
    loop_post(m->loop, &h->call);
    while (!latch_wait(&h->latch, 1, UINT32_MAX)) { /* libraft answers */
    }
    latch_close(&h->latch);
    return h->done;
}

void meta_free_handovers(struct meta *m)
{
    while (m->handovers != NULL) {
        struct handover *h = m->handovers;
        m->handovers = h->next;
        free(h);
    }
}
