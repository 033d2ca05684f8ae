/* shard_client.h: the shard verbs asked of another server.
 *
 * The asking end of the shard protocol (shard_wire.h). put, get and delete
 * never wait: done() comes on the net's thread, or at once on the caller's, and
 * always within the time given. The others wait.
 *
 * Errors are those of shard_store.h, ERR_TIMEOUT, ERR_BUSY, and ERR_IO for all
 * that keeps an answer from coming: not reached, broken off, refused, wrong on
 * the way.
 *
 * Threads: any.
 */
#ifndef GODWIT_NODE_SHARD_CLIENT_H
#define GODWIT_NODE_SHARD_CLIENT_H

#include <stdatomic.h>

#include "node/shard_wire.h"

struct net;
struct net_call;

/* Where a drive is. */
struct shard_route {
    struct net *net;
    uint32_t server;
    uint16_t drive;
    uint64_t timeout_ms;
    /* When the server last answered put, get or delete (clock_mono_ms); kept
     * until they are done. NULL: not asked for. */
    atomic_ullong *answered_ms;
};

void shard_client_put(const struct shard_route *r, struct shard_put *put);
void shard_client_get(const struct shard_route *r, struct shard_get *get);
void shard_client_delete(const struct shard_route *r, struct shard_delete *del);

/* @verb is SHARD_STAT or SHARD_VERIFY. */
int shard_client_info(const struct shard_route *r, enum shard_verb verb,
                      const struct shard_key *key, struct shard_info *out,
                      struct err *err);
/* As peers_list. */
int shard_client_list(const struct shard_route *r, uint32_t group,
                      const struct shard_key *after, struct shard_info *shards,
                      uint16_t max, struct shard_page *out, struct err *err);

/* Fill @c with the question for the stats of all drives of a server, whose head
 * is put to @head; the answer's head is for shard_stats_decode. */
void shard_client_ask_stats(struct net_call *c,
                            uint8_t head[SHARD_ASK_BYTES_MAX]);

#endif
