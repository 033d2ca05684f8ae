/* raft_conf.h: the configurations of members that stand in the log.
 *
 * libraft 0.15 does not know them well enough (B7):
 * - It takes back an uncommitted configuration by looking up the committed one
 *   in its log, and follows a NULL pointer when a snapshot has let go of it.
 * - After a start it takes nothing back: it does not know any more that the
 *   newest was not committed.
 * - A follower goes by a configuration once that is on its disk, not when it
 *   stands in its log. Until then it may win by the votes of those before last.
 * - Into a snapshot it puts the newest, though that may stand above the
 *   snapshot's index and be taken back later.
 *
 * And (B10) who does not vote by its own configuration refuses its vote to who
 * counts on it already. When the leader ends after it has written the
 * configuration that promotes a second voter, and before it has sent it, nobody
 * leads again.
 *
 * So its own taking back is put out of action, and raft_io.c does it from this
 * list: the configuration of a snapshot and those of the entries above it. And
 * while it looks at a request for a vote, this server is a voter: who asks
 * knows whether that counts.
 *
 * Memory is raft_malloc's. Threads: the loop.
 */
#ifndef GODWIT_META_RAFT_CONF_H
#define GODWIT_META_RAFT_CONF_H

#include <raft.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct raft_conf {
    uint64_t index; /* of its entry */
    struct raft_configuration servers;
};

/* Zeros are an empty one. */
struct raft_confs {
    struct raft_conf *list; /* by index */
    size_t count, room;
    /* While libraft looks at a request for a vote. */
    bool lent;
    struct raft_server voter;
    struct raft_configuration held;
};

void raft_confs_free(struct raft_confs *c);
/* Forget all but what @snapshot holds. Copies. */
void raft_confs_base(struct raft_confs *c,
                     const struct raft_snapshot *snapshot);
/* An entry of type RAFT_CHANGE is appended. False: @data is none. */
bool raft_confs_append(struct raft_confs *c, uint64_t index, const void *data,
                       size_t len);
/* A follower goes by the newest. After an append with one, and again when that
 * is on the disk and libraft was told so. */
void raft_confs_adopt(const struct raft_confs *c, struct raft *r);
/* Entries from @index on are gone: @r gets the configuration that holds
 * without them, when it was changed by them. */
void raft_confs_truncate(struct raft_confs *c, uint64_t index, struct raft *r);
/* That which holds at @index, where a snapshot is taken, kept until the next
 * call; older ones are forgotten. NULL: there is none. */
const struct raft_conf *raft_confs_snapshot(struct raft_confs *c,
                                            uint64_t index);
/* Before libraft gets @m, and after. */
void raft_confs_receive(struct raft_confs *c, struct raft *r,
                        const struct raft_message *m);
void raft_confs_received(struct raft_confs *c, struct raft *r);

#endif
