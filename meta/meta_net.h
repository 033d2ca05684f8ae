/* meta_net.h: the catalogue's calls between members.
 *
 * A member that does not lead hands what is proposed to the leader, a log entry
 * at a time, and asks it up to where the log was committed before it reads
 * (ReadIndex). A leader answers that once a majority has told it that no newer
 * term has come (dissertation, section 6.4), one round for all who ask.
 *
 *     NET_RAFT   0 message             one message of libraft
 * (meta/raft_wire.h) NET_META   1 PROPOSE             body: a log entry
 * (command_batch_*) answer              u32 count, then for each: u8 status,
 *                                      u64 body, blob codes; and when one is
 *                                      not 0, for each: u64 version
 *     NET_META   2 READ_INDEX          answer: u64 index
 *     NET_META   3 CONFIRM             u64 term; answer: u64 its own term
 *
 *     NET_META   4, 5                  meta_copy.h
 *
 * Each head begins with the u64 era of who sends it (meta/meta_era.h). A
 * NET_RAFT frame of the era alone is a notice to a member of an earlier one.
 *
 * ERR_UNAVAILABLE as an answer means: not the leader, nothing was done.
 *
 * Threads: as each says.
 */
#ifndef GODWIT_META_META_NET_H
#define GODWIT_META_META_NET_H

#include <raft.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct meta;
struct meta_entry;
struct meta_net;

/* Before the loop runs. NULL options.net gives NULL, which all take. */
struct meta_net *meta_net_new(struct meta *m);
/* After the loop has ended and the net was stopped. */
void meta_net_free(struct meta_net *n);

/* raft_io's send. Loop. */
void meta_net_send(void *arg, raft_id to, const char *address,
                   const void *message, size_t len);
/* Hand an entry to the leader; takes @e. False: no leader is known; @e stays
 * the caller's. Loop. */
bool meta_net_forward(struct meta_net *n, struct meta_entry *e);
/* How many entries are with the leader. Loop. */
unsigned meta_net_forwards(const struct meta_net *n);
/* Each tick: reads that wait for a leader, and their deadlines. Loop. */
void meta_net_tick(struct meta_net *n);
/* Entries were applied by libraft: reads may be waiting for them. Loop. */
void meta_net_applied(struct meta_net *n);
/* Refuse all that waits; nothing new comes. Loop. */
void meta_net_close(struct meta_net *n);

/* Wait until a read of the own database sees all that was acknowledged before.
 * ERR_UNAVAILABLE: no majority, or no leader, in time. Any thread but loop and
 * apply thread. */
int meta_net_barrier(struct meta *m, struct err *err);

#endif
