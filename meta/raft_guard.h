/* raft_guard.h: what libraft 0.15 gets wrong, made good at its boundary.
 *
 * B1  A follower acknowledges its last stored index, although an older leader's
 *     tail may stand there. Guard: a result is cut to the highest index that
 *     the leader of the current term has vouched for (by an AppendEntries that
 *     was not rejected, or by a snapshot).
 * B2  A leader counts results for entries of older terms (figure 8). Guard: it
 *     commits a barrier of its own first (meta_lead.c), and results are dropped
 *     until that is stored on its own disk.
 * B5  A leader may vote twice in a term: for one to whom it hands over the lead
 *     it forgets whom it voted for. Guard: requests to vote in a term in which
 *     this member leads, or has voted for another, are dropped.
 * B6  A member stands for election with entries that are not on its disk, or
 *     while it installs a snapshot: then its log would go on at a wrong index.
 *     Guard: until all is stored it asks for no votes.
 *
 * B8  A single voter leads without an election, in the term that it finds:
 *     after a restart, or when the others have lost their vote, one in which
 *     there was a leader before, whose entries others may hold. Guard: who has
 *     not voted for itself in this term and life is sent on to a new term.
 *
 * B11 Entries below the first of a log that was cut: those from the very first
 *     on are appended at its end; others are refused, and the leader sends a
 *     snapshot older than the log, for ever. Guard: they become a heartbeat at
 *     our snapshot, whose answer tells the leader where to go on.
 *
 * B12 A leader sends a configuration that is not yet on its own disk. When it
 *     loses it, and is the only voter left by it, nobody leads again: its log
 *     is shorter than that of who lost the vote. Guard: what it sends ends
 *     before.
 *
 * B13 When a log is cut off while it is being written, and grows again by the
 *     same entries, the first write counts for the second: entries pass for
 *     stored that are not. Guard: what would cut it off, entries of a new
 *     leader or a snapshot, waits until all is stored; the leader is told that
 *     entries do not fit, and sends them again.
 *
 * B14 Who refuses a pre-vote because its term is higher does not say so: when
 *     the longest log has the lowest term, nobody is ever elected. Guard: it
 *     does.
 *
 * B3 (one proposal in flight) stands in meta_lead.c, B4 (no append fails half)
 * in raft_io.c, B7 and B10 (configurations, and who votes) in raft_conf.h. All
 * but B4 can be switched off in tests/sim (sim --without). 30,000 seeds do not
 * show B6, B13 and B14, which histories of nothing but slow disks and crashes
 * did before there was a guard, 2 to 13 in 100,000; nor B5, though in them the
 * lead was handed over 24,667 times.
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
    uint64_t append_term; /* whose leader's entries we took last */
    uint64_t claimed;     /* the last term in which we voted for ourselves */
    bool claiming;
};

/* What libraft is, around a message. */
struct raft_guard_view {
    int state; /* RAFT_LEADER, ... */
    uint64_t term, last_index, last_stored;
    uint64_t snapshot_index, snapshot_term;
    uint64_t cut;       /* the last index that the log has let go of */
    uint64_t voted_for; /* in this term; 0: nobody */
};

/* After each tick of libraft, before anything is proposed: since when does it
 * lead? */
void raft_guard_watch(struct raft_guard *g, const struct raft_guard_view *v);
/* Our term or vote changes: are we who it is for? In: libraft's word; out: what
 * is to be stored. */
bool raft_guard_vote(struct raft_guard *g, uint64_t term, bool for_us);
/* It leads where it must not (B8): true, hand it @m, and tell when it has had
 * it. Before and after each tick of libraft. */
bool raft_guard_claim(struct raft_guard *g, const struct raft_guard_view *v,
                      struct raft_message *m);
void raft_guard_claimed(struct raft_guard *g);
/* A message came: it is made such that libraft can bear it. First. */
void raft_guard_repair(const struct raft_guard *g, struct raft_message *m,
                       const struct raft_guard_view *v);
/* A message came: false, drop it. If not, tell when libraft has had it. */
bool raft_guard_receive(struct raft_guard *g, const struct raft_message *m,
                        const struct raft_guard_view *v);
void raft_guard_received(struct raft_guard *g, const struct raft_message *m,
                         const struct raft_guard_view *v);
/* A message goes: false, drop it. @m may be changed. */
bool raft_guard_send(struct raft_guard *g, struct raft_message *m,
                     const struct raft_guard_view *v);

#endif
