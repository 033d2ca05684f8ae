/* peers.h: the shard verbs, by drive id.
 *
 * object/ asks peers for shards and does not know where a drive stands. A
 * drive of this server is a shard_store, and the verbs are function calls; one
 * of another server is reached by the shard protocol (shard_client.h), with a
 * deadline. The map may change while it is used: looking up a drive takes no
 * lock.
 *
 * Servers that have drives are asked every second how their drives are
 * (STATS). One that does not answer counts as lost until it answers again:
 * meanwhile what is asked of its drives fails at once.
 *
 * At the end: close the object store, then peers_stop, net_close, peers_free.
 *
 * Threads: peers_add, peers_use_net, peers_stop at start and end; the rest any.
 */
#ifndef GODWIT_NODE_PEERS_H
#define GODWIT_NODE_PEERS_H

#include "node/shard_store.h"

struct net;
struct peers;
struct shard_page;

#define PEERS_TIMEOUT_MS 20000
#define PEERS_REFRESH_MS 1000
/* Longer than what waits for a busy link may take. */
#define PEERS_LOST_MS 5000

struct peers *peers_new(void);
/* Does not close the stores. Waits for what other servers are still asked. */
void peers_free(struct peers *p);

/* ---- the map ---- */

/* @s is kept and must outlive @p. */
void peers_add(struct peers *p, struct shard_store *s, uint16_t drive);

struct peers_net_options {
    uint64_t timeout_ms; /* of each verb; 0: PEERS_TIMEOUT_MS */
    uint64_t refresh_ms; /* between STATS; 0: PEERS_REFRESH_MS */
    uint64_t lost_ms;    /* for an answer to STATS; 0: PEERS_LOST_MS */
};
/* Reach other servers by @n (kept), which is started. Once. */
void peers_use_net(struct peers *p, struct net *n,
                   const struct peers_net_options *options);
/* Ask other servers nothing any more. */
void peers_stop(struct peers *p);

/* @drive stands in @server (not 0), whatever was said before. Not of a drive
 * that is a store here. */
void peers_add_remote(struct peers *p, uint16_t drive, uint32_t server);
/* Forget a drive of another server; nothing when it is not known. */
void peers_remove(struct peers *p, uint16_t drive);

/* NULL when the drive is not one of this server. */
struct shard_store *peers_store(struct peers *p, uint16_t drive);
/* The @i-th drive of this server; false past the last. */
bool peers_at(struct peers *p, size_t i, uint16_t *drive,
              struct shard_store **store);

struct peer_info {
    uint16_t drive;
    uint32_t server; /* 0: this one */
};
/* Up to @max drives; gives how many are known. */
size_t peers_all(struct peers *p, struct peer_info *out, size_t max);

/* ---- how a drive is ---- */

enum peer_state {
    PEER_UP = DRIVE_UP,
    PEER_FULL = DRIVE_FULL,
    PEER_FAILED = DRIVE_FAILED,
    PEER_UNREACHABLE, /* its server does not answer, or has not yet */
    PEER_UNKNOWN,     /* no such drive */
};
/* Cheap. Of a drive of another server: as it said last. */
enum peer_state peers_state(struct peers *p, uint16_t drive);
/* As shard_store_stats. Of a drive of another server: as it said last, and
 * FAILED with a reason when it does not answer. False: no such drive. */
bool peers_stats(struct peers *p, uint16_t drive,
                 struct shard_store_stats *out);

/* ---- verbs ---- */

/* As shard_store_*; an unknown drive calls done(ERR_NOT_FOUND) at once. From
 * other servers also ERR_TIMEOUT, ERR_BUSY, and ERR_IO when they cannot be
 * reached or the connection broke: a put that failed so may have been done. */
void peers_put(struct peers *p, uint16_t drive, struct shard_put *put);
void peers_get(struct peers *p, uint16_t drive, struct shard_get *get);
void peers_delete(struct peers *p, uint16_t drive, struct shard_delete *del);

/* These wait for other servers. ERR_NOT_FOUND: no such shard; an unknown drive
 * and one that has failed is ERR_IO. */
int peers_stat(struct peers *p, uint16_t drive, const struct shard_key *key,
               struct shard_info *out, struct err *err);
/* Read a shard whole and check every block; *@out is filled also with
 * ERR_CORRUPT if it can be, else its length is 0. */
int peers_verify(struct peers *p, uint16_t drive, const struct shard_key *key,
                 struct shard_info *out, struct err *err);
/* Shards in key order after @after (NULL: from the first), at most @max
 * (1..SHARD_LIST_MAX) of them in @shards; those of @group only unless it is
 * SHARD_ANY_GROUP. See shard_wire.h for how to go on. */
int peers_list(struct peers *p, uint16_t drive, uint32_t group,
               const struct shard_key *after, struct shard_info *shards,
               uint16_t max, struct shard_page *out, struct err *err);

#endif
