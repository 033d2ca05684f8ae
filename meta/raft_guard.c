#include "meta/raft_guard.h"

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

bool raft_guard_receive(struct raft_guard *g, const struct raft_message *m,
                        const struct raft_guard_view *v)
{
    uint64_t term;
    uint64_t end = vouched_end(m, &term);

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
    if (m->type == RAFT_IO_REQUEST_VOTE && v->state == RAFT_LEADER &&
        m->request_vote.term == v->term && !m->request_vote.pre_vote) {
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
}

bool raft_guard_send(struct raft_guard *g, struct raft_message *m,
                     const struct raft_guard_view *v)
{
    struct raft_append_entries_result *a = &m->append_entries_result;
    uint64_t limit;

    raft_guard_watch(g, v);
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
