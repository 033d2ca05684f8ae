/* What must always hold, looked at after each event of a member. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "tests/sim/sim.h"

#define ULL(n) ((unsigned long long)(n))

static struct sim_place *place_of(struct sim *s, uint64_t index)
{
    if (index >= s->place_count) {
        size_t n = s->place_count * 2 + 256;
        n = n > index ? n : index + 1;
        s->places = mem_realloc(s->places, n * sizeof *s->places);
        memset(s->places + s->place_count, 0,
               (n - s->place_count) * sizeof *s->places);
        s->place_count = n;
    }
    return &s->places[index];
}

uint64_t sim_check_chain(struct sim *s, uint64_t index, uint64_t term)
{
    const struct sim_place *p = place_of(s, index);

    for (size_t i = 0; i < p->variant_count; i++) {
        if (p->variants[i].term == term) {
            return p->variants[i].chain;
        }
    }
    return 0;
}

/* Log matching: the same index and term, the same entry and all before it. */
void sim_check_entry(struct sim_member *m, const struct sim_entry *e)
{
    struct sim *s = m->s;
    uint64_t known = sim_check_chain(s, e->index, e->term);
    struct sim_place *p = place_of(s, e->index);

    if (known == e->chain) {
        return;
    }
    if (known != 0) {
        sim_fail(s,
                 "log matching: member %u has another entry %llu of term %llu, "
                 "or others before it",
                 m->id, ULL(e->index), ULL(e->term));
        return;
    }
    p->variants =
        mem_realloc(p->variants, (p->variant_count + 1) * sizeof *p->variants);
    p->variants[p->variant_count++] =
        (struct sim_variant){.term = e->term, .chain = e->chain};
}

/* State machine safety: what is committed at an index is so everywhere. */
static void check_committed(struct sim_member *m, struct sim_entry *e)
{
    struct sim *s = m->s;
    struct sim_place *p = place_of(s, e->index);

    if (p->truth == NULL) {
        p->truth = sim_entry_ref(e);
        p->truth_term = m->raft.current_term;
        p->truth_member = m->id;
        return;
    }
    if (p->truth->hash != e->hash || p->truth->chain != e->chain) {
        sim_fail(s,
                 "state machine safety: entry %llu is of term %llu for member "
                 "%u (in term %llu), of term %llu for member %u (in term %llu)",
                 ULL(e->index), ULL(p->truth->term), p->truth_member,
                 ULL(p->truth_term), ULL(e->term), m->id,
                 ULL(m->raft.current_term));
    }
}

/* Leader completeness: it has all that was committed in earlier terms. */
static void check_complete(struct sim_member *m)
{
    struct sim *s = m->s;
    uint64_t term = m->raft.current_term;

    for (uint64_t i = m->log.before; i < s->place_count; i++) {
        const struct sim_place *p = &s->places[i];
        const struct sim_entry *e = sim_log_at(&m->log, i);
        uint64_t chain = e != NULL ? e->chain : 0;

        if (p->truth == NULL || p->truth_term >= term) {
            continue;
        }
        if (i == m->log.before) {
            chain = m->log.before_chain;
        }
        if (chain != p->truth->chain) {
            sim_fail(s,
                     "leader completeness: member %u leads in term %llu "
                     "without entry %llu, which member %u saw committed in "
                     "term %llu",
                     m->id, ULL(term), ULL(i), p->truth_member,
                     ULL(p->truth_term));
            return;
        }
    }
}

/* Election safety: one leader in a term. It is one once it may propose. */
static void check_leader(struct sim_member *m)
{
    struct sim *s = m->s;
    uint64_t term = m->raft.current_term;

    if (m->seen_lead_term == term) {
        return;
    }
    m->seen_lead_term = term;
    if (term >= s->leader_count) {
        size_t n = term * 2 + 16;
        s->leaders = mem_realloc(s->leaders, n * sizeof *s->leaders);
        memset(s->leaders + s->leader_count, 0,
               (n - s->leader_count) * sizeof *s->leaders);
        s->leader_count = n;
    }
    if (s->leaders[term] != 0) {
        sim_fail(s, "election safety: members %u and %u lead in term %llu",
                 s->leaders[term], m->id, ULL(term));
    }
    s->leaders[term] = m->id;
    s->elections++;
    sim_trace(s, m, "leads in term %llu with %llu entries", ULL(term),
              ULL(sim_log_last(&m->log)));
    check_complete(m);
}

/* What libraft takes for stored is on the disk. */
static void check_stored(struct sim_member *m)
{
    uint64_t stored = m->raft.last_stored;
    const struct sim_entry *ours = sim_log_at(&m->log, stored);
    const struct sim_entry *there = sim_log_at(&m->disk.log, stored);

    if (stored > sim_log_last(&m->log) || stored > sim_log_last(&m->disk.log) ||
        (ours != NULL && there != NULL && ours->chain != there->chain)) {
        sim_fail(m->s,
                 "member %u takes %llu entries for stored: it has %llu, its "
                 "disk %llu",
                 m->id, ULL(stored), ULL(sim_log_last(&m->log)),
                 ULL(sim_log_last(&m->disk.log)));
    }
}

void sim_check_member(struct sim_member *m)
{
    uint64_t commit = m->raft.commit_index;

    if (m->leading && raft_state(&m->raft) == RAFT_LEADER) {
        check_leader(m);
    }
    if (m->installing) {
        return; /* the log is ahead of what is committed */
    }
    if (raft_last_index(&m->raft) != sim_log_last(&m->log)) {
        sim_fail(m->s, "member %u: libraft has %llu entries, its log %llu",
                 m->id, raft_last_index(&m->raft), ULL(sim_log_last(&m->log)));
        return;
    }
    check_stored(m);
    if (commit > sim_log_last(&m->log)) {
        commit = sim_log_last(&m->log);
    }
    for (uint64_t i = m->seen_commit + 1; i <= commit; i++) {
        struct sim_entry *e = sim_log_at(&m->log, i);
        if (e != NULL) {
            check_committed(m, e);
        }
    }
    if (commit > m->seen_commit) {
        m->seen_commit = commit;
    }
}

void sim_check_acked(struct sim_member *m, uint64_t proposal, uint64_t index,
                     const void *data, size_t len)
{
    struct sim *s = m->s;
    struct sim_proposal *p = &s->proposals[proposal];

    if (p->len != len || memcmp(p->bytes, data, len) != 0) {
        sim_fail(s,
                 "member %u acknowledges proposal %llu at %llu, but something "
                 "else stands there",
                 m->id, ULL(proposal), ULL(index));
    }
    p->acked = index;
    s->acked++;
    s->last_acked_at = s->now;
}

static int compare_hashes(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* Each proposal stands at most once among the committed, each acknowledged one
 * where it was said to be. */
static void check_proposals(struct sim *s)
{
    uint64_t *hashes = mem_calloc(s->place_count + 1, sizeof *hashes);
    size_t n = 0;

    for (size_t i = 1; i < s->place_count; i++) {
        const struct sim_entry *e = s->places[i].truth;
        if (e != NULL && e->type == RAFT_COMMAND) {
            hashes[n++] = sim_hash(0, e->data, e->len);
        }
    }
    qsort(hashes, n, sizeof *hashes, compare_hashes);
    for (size_t i = 1; i < n; i++) {
        if (hashes[i] == hashes[i - 1]) {
            sim_fail(s, "a proposal is in the log twice");
        }
    }
    for (size_t i = 1; i <= s->proposal_count; i++) {
        const struct sim_proposal *p = &s->proposals[i];
        const struct sim_entry *e =
            p->acked > 0 ? s->places[p->acked].truth : NULL;
        if (p->acked > 0 && (e == NULL || e->len != p->len ||
                             memcmp(e->data, p->bytes, p->len) != 0)) {
            sim_fail(s, "proposal %zu was acknowledged and is lost", i);
        }
    }
    free(hashes);
}

static struct sim_member *find_leader(struct sim *s)
{
    struct sim_member *found = NULL;

    for (unsigned i = 1; i <= s->knobs.servers; i++) {
        struct sim_member *m = &s->members[i];
        if (m->up && m->raft.state == RAFT_LEADER &&
            (found == NULL ||
             m->raft.current_term > found->raft.current_term)) {
            found = m;
        }
    }
    return found;
}

static void check_copy(struct sim *s, struct sim_member *leader,
                       struct sim_member *m)
{
    uint64_t last = sim_log_last(&leader->log);

    if (!m->up || sim_log_last(&m->log) != last ||
        sim_log_chain(&m->log) != sim_log_chain(&leader->log) ||
        m->raft.last_applied != last) {
        sim_fail(s,
                 "member %u did not catch up: %llu of %llu entries, %llu "
                 "applied",
                 m->id, ULL(sim_log_last(&m->log)), ULL(last),
                 m->raft.last_applied);
    } else if (!sim_state_same(s, &leader->state, &m->state)) {
        sim_fail(s, "members %u and %u have different rows at %llu", leader->id,
                 m->id, ULL(last));
    }
}

void sim_check_end(struct sim *s)
{
    struct sim_member *leader = find_leader(s);

    if (leader == NULL) {
        sim_fail(s, "no leader at the end");
        return;
    }
    for (unsigned i = 0; i < leader->raft.configuration.n; i++) {
        const struct raft_server *v = &leader->raft.configuration.servers[i];
        if (v->role != RAFT_SPARE && v->id != leader->id) {
            check_copy(s, leader, &s->members[v->id]);
        }
    }
    if (leader->raft.last_applied != sim_log_last(&leader->log)) {
        sim_fail(s, "leader %u has not applied all it has", leader->id);
    }
    check_proposals(s);
}

void sim_check_free(struct sim *s)
{
    for (size_t i = 0; i < s->place_count; i++) {
        sim_entry_free(s->places[i].truth);
        free(s->places[i].variants);
    }
    free(s->places);
    free(s->leaders);
}
