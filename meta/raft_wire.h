/* raft_wire.h: libraft's messages as bytes.
 *
 *     u8 version (1), u8 type (RAFT_IO_*), then by the type, little-endian:
 *     AppendEntries         u64 term, u64 prev index, u64 prev term, u64
 * commit, u32 count; each: u64 term, u16 type, blob data AppendEntriesResult
 * u64 term, u64 rejected, u64 last index RequestVote           u64 term, u64
 * candidate, u64 last index, u64 last term, u8 flags (1 disrupt, 2 pre-vote)
 *     RequestVoteResult     u64 term, u8 granted, u8 pre-vote (0 unknown,
 *                           1 false, 2 true)
 *     InstallSnapshot       u64 term, u64 last index, u64 last term, u64
 *                           configuration index, blob data, u32 count; each:
 *                           u64 id, u8 role, text address
 *     TimeoutNow            u64 term, u64 last index, u64 last term
 *
 * What a decoded message points to is raft_malloc's and goes to libraft, which
 * frees it; a message that is not passed on is freed with raft_wire_free.
 * Threads: any.
 */
#ifndef GODWIT_META_RAFT_WIRE_H
#define GODWIT_META_RAFT_WIRE_H

#include <raft.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

#define RAFT_WIRE_ENTRIES_MAX 100000
#define RAFT_WIRE_SERVERS_MAX 64
#define RAFT_WIRE_SNAPSHOT_MAX ((size_t)1 << 20)

/* Entries of one message, in bytes, unless the first alone has more. */
#define RAFT_WIRE_BATCH_BYTES ((size_t)4 << 20)

/* libraft sends all that a follower lacks in one message, which may be more
 * than fits: leave out entries at the end until those that are left have at
 * most RAFT_WIRE_BATCH_BYTES, at least one. The leader learns from the answer
 * where to go on. */
void raft_wire_trim(struct raft_append_entries *a);

void raft_wire_encode(const struct raft_message *m, struct buf *out);
/* ERR_BAD_INPUT names the message. server_id and server_address are left to
 * the caller, who knows from whom it came. */
int raft_wire_decode(const void *p, size_t len, struct raft_message *out,
                     struct err *err);
void raft_wire_free(struct raft_message *m);

/* A copy in raft_malloc's memory, for libraft; never NULL. */
void *raft_wire_give(const void *p, size_t len);

#endif
