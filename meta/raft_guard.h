/* raft_guard.h: what libraft 0.15 gets wrong, made good at its boundary.
 *
 * B1  A follower acknowledges its last stored index, although an older leader's
 *     tail may stand there. Guard: a result is cut to the highest index that
 *     the leader of the current term has vouched for (by an AppendEntries that
 *     was not rejected, or by a snapshot).
 * B2  A leader counts results for entries of older terms (figure 8). Guard: it
 *     commits a barrier of its own first (meta_lead.c), and results are dropped
 *     until that is stored on its own disk.
 * B5  A leader may vote twice in a term. Guard: requests to vote that name a
 *     term in which this member leads are dropped.
 *
 * B3 (one proposal in flight) stands in meta_lead.c, B4 (no append fails half)
 * in raft_io.c. The faults were reproduced by the experiments behind the
 * design; tests/sim is their judge.
 *
 * Source: D. Ongaro, "Consensus: Bridging Theory and Practice", 3.6.2, 6.4.
 * Pure: no I/O. Threads: the loop.
 */
#ifndef GODWIT_META_RAFT_GUARD_H
#define GODWIT_META_RAFT_GUARD_H

#include <raft.h>
#include <stdbool.h>
#include <stdint.h>

struct raft_guard {
    uint64_t term;                  /* whose leader vouched ... */
    uint64_t verified;              /* ... up to here */
    uint64_t lead_term, lead_first; /* the first index of our own term */
    bool receiving; /* a message is in libraft's hands, which vouches ... */
    uint64_t end;   /* ... up to here, if it is not rejected */
    bool rejected;
};

/* What libraft is, around a message. */
struct raft_guard_view {
    int state; /* RAFT_LEADER, ... */
    uint64_t term, last_index, last_stored;
};

/* After each tick of libraft, before anything is proposed: since when does it
 * lead? */
void raft_guard_watch(struct raft_guard *g, const struct raft_guard_view *v);
/* A message came: false, drop it. If not, tell when libraft has had it. */
bool raft_guard_receive(struct raft_guard *g, const struct raft_message *m,
                        const struct raft_guard_view *v);
void raft_guard_received(struct raft_guard *g, const struct raft_message *m,
                         const struct raft_guard_view *v);
/* A message goes: false, drop it. @m may be changed. */
bool raft_guard_send(struct raft_guard *g, struct raft_message *m,
                     const struct raft_guard_view *v);

#endif
