/* As meta/meta_lead.c and meta/meta_members.c: a barrier of its own term, then
 * one entry at a time. With the guards off: neither. */
#include <string.h>

#include "base/check.h"
#include "tests/sim/sim.h"

/* ---- proposing ---- */

static void flight_free(struct sim_flight *f)
{
    list_remove(&f->node);
    raft_free(f);
}

static void on_logged(struct raft_apply *request, int status, void *result)
{
    (void)result;
    (void)status; /* refused: its outcome is unknown */
    flight_free(request->data);
}

void sim_lead_applied(struct sim_member *m, uint64_t index, const void *data,
                      size_t len)
{
    LIST_EACH (node, &m->flights) {
        struct sim_flight *f = LIST_OF(node, struct sim_flight, node);
        if (f->proposal != 0 && f->index == index) {
            uint64_t proposal = f->proposal;
            f->proposal = 0;
            sim_check_acked(m, proposal, index, data, len);
            return;
        }
    }
}

static void take_first(struct sim_member *m)
{
    m->queue_count--;
    memmove(m->queue, m->queue + 1, m->queue_count * sizeof m->queue[0]);
}

static bool propose_first(struct sim_member *m)
{
    const struct sim_proposal *p = &m->s->proposals[m->queue[0]];
    struct raft_buffer buf = {.len = p->len, .base = raft_malloc(p->len)};
    struct sim_flight *f = raft_calloc(1, sizeof *f);

    memcpy(buf.base, p->bytes, p->len);
    f->index = raft_last_index(&m->raft) + 1;
    f->proposal = m->queue[0];
    f->request.data = f;
    list_push(&m->flights, &f->node);
    if (raft_apply(&m->raft, &f->request, &buf, 1, on_logged) != 0) {
        raft_free(buf.base); /* not the leader any more */
        flight_free(f);
        m->leading = false;
        return false;
    }
    sim_trace(m->s, m, "proposes %llu as entry %llu",
              (unsigned long long)m->queue[0], (unsigned long long)f->index);
    take_first(m);
    return true;
}

void sim_lead_pump(struct sim_member *m)
{
    if (!m->leading) {
        m->queue_count = 0; /* what another leader would get */
        return;
    }
    while (m->queue_count > 0 &&
           (list_empty(&m->flights) || sim_without(m->s, 3)) &&
           propose_first(m)) {
    }
}

/* ---- leading ---- */

static void on_barrier(struct raft_barrier *b, int status)
{
    struct sim_member *m = b->data;

    (void)status;
    m->barrier_out = false;
}

void sim_lead_tick(struct sim_member *m)
{
    int state = raft_state(&m->raft);

    if (sim_without(m->s, 2)) {
        m->leading = state == RAFT_LEADER;
    } else if (state == RAFT_LEADER && !m->leading && !m->barrier_out) {
        m->barrier.data = m;
        m->barrier_out = raft_barrier(&m->raft, &m->barrier, on_barrier) == 0;
        m->leading = m->barrier_out;
    } else if (state != RAFT_LEADER) {
        m->leading = false;
    }
}

/* ---- members ---- */

static void on_changed(struct raft_change *change, int status)
{
    struct sim_member *m = change->data;

    m->change_out = false;
    m->s->changes += status == 0;
    sim_trace(m->s, m, "change of members: %s",
              status == 0 ? "done" : raft_strerror(status));
}

static const struct raft_server *find(const struct sim_member *m, unsigned id)
{
    const struct raft_configuration *c = &m->raft.configuration;

    for (unsigned i = 0; i < c->n; i++) {
        if (c->servers[i].id == id) {
            return &c->servers[i];
        }
    }
    return NULL;
}

static unsigned count_voters(const struct sim_member *m)
{
    const struct raft_configuration *c = &m->raft.configuration;
    unsigned n = 0;

    for (unsigned i = 0; i < c->n; i++) {
        n += c->servers[i].role == RAFT_VOTER;
    }
    return n;
}

void sim_lead_change(struct sim_member *m)
{
    struct sim *s = m->s;
    unsigned id = (unsigned)sim_draw(s, s->knobs.servers) + 1;
    int role = (int)sim_draw(s, 3);
    bool remove = sim_draw(s, 4) == 0;
    const struct raft_server *v = find(m, id);
    int rc;

    if (!m->leading || m->barrier_out || m->change_out || id == m->id) {
        return; /* who leads does not demote itself: cluster/members.h */
    }
    if (v != NULL && v->role == RAFT_VOTER &&
        count_voters(m) <= s->knobs.voters && count_voters(m) <= 3) {
        return; /* a few are to stay */
    }
    m->change.data = m;
    if (v == NULL) {
        rc = raft_add(&m->raft, &m->change, id, s->members[id].address,
                      on_changed);
    } else if (remove) {
        rc = raft_remove(&m->raft, &m->change, id, on_changed);
    } else if (v->role == role) {
        return;
    } else {
        rc = raft_assign(&m->raft, &m->change, id, role, on_changed);
    }
    m->change_out = rc == 0;
    sim_trace(s, m, "%s server %u, role %d: %s",
              v == NULL ? "adds"
              : remove  ? "removes"
                        : "assigns",
              id, role, rc == 0 ? "under way" : raft_strerror(rc));
}

/* ---- handing over ---- */

static void on_handed_over(struct raft_transfer *t)
{
    struct sim_member *m = t->data;

    m->handing_over = false;
    m->s->handed_over += raft_state(&m->raft) != RAFT_LEADER;
    sim_trace(m->s, m, "the lead is %s",
              raft_state(&m->raft) == RAFT_LEADER ? "still its" : "another's");
}

void sim_lead_hand_over(struct sim_member *m)
{
    const struct raft_configuration *c = &m->raft.configuration;
    unsigned at = (unsigned)sim_draw(m->s, c->n);
    const struct raft_server *to = &c->servers[at];
    struct raft_transfer *t;
    int rc;

    if (!m->leading || m->barrier_out || m->handing_over || m->change_out ||
        to->id == m->id || to->role != RAFT_VOTER) {
        return;
    }
    t = raft_calloc(1, sizeof *t); /* libraft may use it until the end */
    t->data = m;
    rc = raft_transfer(&m->raft, t, to->id, on_handed_over);
    m->handing_over = rc == 0;
    sim_trace(m->s, m, "hands over to %llu: %s", to->id,
              rc == 0 ? "under way" : raft_strerror(rc));
    if (rc == 0 && sim_draw(m->s, 2) == 0) {
        m->stop_at = m->s->now + SIM_SECOND;
    }
}

bool sim_lead_stopped(struct sim_member *m)
{
    if (m->stop_at == 0 || (m->handing_over && m->s->now < m->stop_at) ||
        !sim_io_idle(m)) {
        return false;
    }
    sim_member_crash(m, "stops");
    return true;
}
