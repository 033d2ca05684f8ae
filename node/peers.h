/* peers.h: the shard verbs, by drive id.
 *
 * object/ asks peers for shards and does not know where a drive stands. In one
 * process the verbs are function calls into shard_store; over the cluster they
 * will be frames to other nodes, behind the same functions.
 *
 * Threads: peers_add at start; the rest any.
 */
#ifndef GODWIT_NODE_PEERS_H
#define GODWIT_NODE_PEERS_H

#include "node/shard_store.h"

struct peers;

struct peers *peers_new(void);
/* Does not close the stores. */
void peers_free(struct peers *p);

/* @s is kept and must outlive @p. */
void peers_add(struct peers *p, struct shard_store *s, uint16_t drive);

/* As shard_store_*; an unknown drive calls done(ERR_NOT_FOUND) at once. */
void peers_put(struct peers *p, uint16_t drive, struct shard_put *put);
void peers_get(struct peers *p, uint16_t drive, struct shard_get *get);
void peers_delete(struct peers *p, uint16_t drive, struct shard_delete *del);
/* NULL when the drive is not known here. */
struct shard_store *peers_store(struct peers *p, uint16_t drive);

/* The @i-th drive known; false past the last. */
bool peers_at(struct peers *p, size_t i, uint16_t *drive,
              struct shard_store **store);

#endif
