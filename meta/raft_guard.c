#include "meta/raft_guard.h"

#include "meta/raft_wire.h"

/* What a leader of @term vouches for with this message; 0: nothing. */
static uint64_t vouched_end(const struct raft_message *m, uint64_t *term)
{
    if (m->type == RAFT_IO_APPEND_ENTRIES) {
        *term = m->append_entries.term;
        return m->append_entries.prev_log_index + m->append_entries.n_entries;
    }
    if (m->type == RAFT_IO_INSTALL_SNAPSHOT) {
        *term = m->install_snapshot.term;
        return m->install_snapshot.last_index;
    }
    *term = 0;
    return 0;
}

void raft_guard_watch(struct raft_guard *g, const struct raft_guard_view *v)
{
    if (v->state == RAFT_LEADER && g->lead_term != v->term) {
        g->lead_term = v->term;
        g->lead_first = v->last_index + 1;
    }
}

static bool leads_unclaimed(const struct raft_guard *g,
                            const struct raft_guard_view *v)
{
    return v->state == RAFT_LEADER && g->claimed != v->term;
}

bool raft_guard_vote(struct raft_guard *g, uint64_t term, bool for_us)
{
    for_us = for_us || g->claiming;
    if (for_us) {
        g->claimed = term;
    } else if (g->claimed == term) {
        g->claimed = 0;
    }
    return for_us;
}

bool raft_guard_claim(struct raft_guard *g, const struct raft_guard_view *v,
                      struct raft_message *m)
{
    if (!leads_unclaimed(g, v)) {
        return false;
    }
    /* A result of a higher term makes it follow in that. It wins that term as
     * it won this one, by its own vote, but there nobody has led before. */
    *m = (struct raft_message){.type = RAFT_IO_APPEND_ENTRIES_RESULT,
                               .append_entries_result = {.term = v->term + 1}};
    g->claiming = true;
    return true;
}

void raft_guard_claimed(struct raft_guard *g)
{
    g->claiming = false;
}

static void make_heartbeat(struct raft_message *m, uint64_t index,
                           uint64_t index_term, uint64_t commit)
{
    struct raft_append_entries *a = &m->append_entries;
    struct raft_message entries = *m;

    raft_wire_free(&entries);
    a->entries = NULL;
    a->n_entries = 0;
    a->prev_log_index = index;
    a->prev_log_term = index_term;
    a->leader_commit = commit;
}

/* Our writes are on their way, and @term is not the one they come from. */
static bool must_wait(const struct raft_guard *g, uint64_t term,
                      const struct raft_guard_view *v)
{
    return v->last_stored < v->last_index && term > g->append_term &&
           term > g->lead_term;
}

void raft_guard_repair(const struct raft_guard *g, struct raft_message *m,
                       const struct raft_guard_view *v)
{
    const struct raft_append_entries *a = &m->append_entries;

    if (m->type != RAFT_IO_APPEND_ENTRIES || a->n_entries == 0) {
        return;
    }
    if (must_wait(g, a->term, v)) { /* B13: there is no such entry */
        make_heartbeat(m, v->last_index + 1, a->term, 0);
    } else if (v->cut > 0 && a->prev_log_index <= v->cut &&
               a->prev_log_index < v->snapshot_index) {
        /* B11: what is committed every leader has; of what follows it we know
         * nothing. */
        make_heartbeat(m, v->snapshot_index, v->snapshot_term,
                       v->snapshot_index);
    }
}

static bool second_vote(const struct raft_message *m,
                        const struct raft_guard_view *v)
{
    const struct raft_request_vote *q = &m->request_vote;

    return m->type == RAFT_IO_REQUEST_VOTE && !q->pre_vote &&
           q->term == v->term &&
           (v->state == RAFT_LEADER ||
            (v->voted_for != 0 && v->voted_for != q->candidate_id));
}

bool raft_guard_receive(struct raft_guard *g, const struct raft_message *m,
                        const struct raft_guard_view *v)
{
    uint64_t term;
    uint64_t end = vouched_end(m, &term);

    if (leads_unclaimed(g, v)) {
        return false; /* B8: not for long */
    }
    raft_guard_watch(g, v);
    if (term > g->term) {
        g->term = term;
        g->verified = 0;
    }
    if (m->type == RAFT_IO_APPEND_ENTRIES_RESULT && v->state == RAFT_LEADER &&
        m->append_entries_result.term == v->term &&
        m->append_entries_result.rejected == 0 &&
        v->last_stored < g->lead_first) {
        return false; /* B2 */
    }
    if (m->type == RAFT_IO_INSTALL_SNAPSHOT && v->last_stored < v->last_index) {
        return false; /* B13: it comes again */
    }
    if (second_vote(m, v)) {
        return false; /* B5 */
    }
    g->receiving = term != 0;
    g->end = end;
    g->rejected = false;
    return true;
}

void raft_guard_received(struct raft_guard *g, const struct raft_message *m,
                         const struct raft_guard_view *v)
{
    uint64_t term;
    uint64_t end = vouched_end(m, &term);

    g->receiving = false;
    raft_guard_watch(g, v);
    if (term != 0 && !g->rejected && v->state == RAFT_FOLLOWER &&
        v->term == term && g->term == term && end <= v->last_index &&
        end > g->verified) {
        g->verified = end;
    }
    if (m->type == RAFT_IO_APPEND_ENTRIES && m->append_entries.n_entries > 0 &&
        term == v->term) {
        g->append_term = term;
    }
}

/* B14 */
static void tell_term(struct raft_request_vote_result *r,
                      const struct raft_guard_view *v)
{
    if (r->pre_vote == raft_tribool_true && !r->vote_granted &&
        r->term < v->term) {
        r->term = v->term;
    }
}

/* B12 */
static void hold_configuration(struct raft_append_entries *a,
                               const struct raft_guard_view *v)
{
    for (unsigned i = 0; i < a->n_entries; i++) {
        if (a->entries[i].type == RAFT_CHANGE &&
            a->prev_log_index + 1 + i > v->last_stored) {
            a->n_entries = i;
        }
    }
}

bool raft_guard_send(struct raft_guard *g, struct raft_message *m,
                     const struct raft_guard_view *v)
{
    struct raft_append_entries_result *a = &m->append_entries_result;
    uint64_t limit;

    if (leads_unclaimed(g, v)) {
        return false; /* B8 */
    }
    raft_guard_watch(g, v);
    if (m->type == RAFT_IO_REQUEST_VOTE && v->last_stored < v->last_index) {
        return false; /* B6 */
    }
    if (m->type == RAFT_IO_REQUEST_VOTE_RESULT) {
        tell_term(&m->request_vote_result, v);
    }
    if (m->type == RAFT_IO_APPEND_ENTRIES) {
        hold_configuration(&m->append_entries, v);
    }
    if (m->type != RAFT_IO_APPEND_ENTRIES_RESULT) {
        return true;
    }
    if (a->rejected != 0) {
        g->rejected = g->rejected || g->receiving;
        return true;
    }
    limit = g->term == v->term ? g->verified : 0;
    if (g->receiving && g->term == v->term && g->end > limit) {
        limit = g->end;
    }
    if (a->last_log_index <= limit) {
        return true;
    }
    if (limit == 0 && !g->receiving) {
        return false; /* B1: nothing is vouched for */
    }
    a->last_log_index = limit; /* B1 */
    return true;
}
