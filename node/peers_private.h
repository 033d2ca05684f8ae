/* peers_private.h: what the files of peers share.
 *
 *     peers.c      the map, and the verbs of drives of this server
 *     peers_net.c  other servers: how their drives are
 *
 * Threads: as each field says.
 */
#ifndef GODWIT_NODE_PEERS_PRIVATE_H
#define GODWIT_NODE_PEERS_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "net/net.h"
#include "node/peers.h"
#include "node/shard_client.h"

#define PEERS_DRIVES 65536 /* ids */

/* A server that was ever known; stays until the end. Peers' mutex, but for the
 * constant id and what is atomic. */
struct peer_server {
    struct peers *peers;
    uint32_t id;
    atomic_ullong answered_ms; /* a verb, last */
    bool asking;               /* the call is under way */
    struct net_call call;
    uint8_t head[SHARD_ASK_BYTES_MAX];
};

/* A drive that was ever known; stays until the end, so that who looks it up
 * needs no lock. */
struct peer {
    uint16_t drive;
    struct shard_store *store;            /* kept; NULL: not of this server */
    _Atomic(struct peer_server *) server; /* NULL: this one, or forgotten */
    atomic_int state; /* enum peer_state, of another server's drive */
    atomic_bool lost; /* its server does not answer */
    struct shard_store_stats stats; /* what its server said; peers' mutex */
};

/* The verbs asked of other servers: shard_client.h, by peers_use_net. */
struct peers_remote {
    void (*put)(const struct shard_route *r, struct shard_put *put);
    void (*get)(const struct shard_route *r, struct shard_get *get);
    void (*del)(const struct shard_route *r, struct shard_delete *del);
    int (*info)(const struct shard_route *r, enum shard_verb verb,
                const struct shard_key *key, struct shard_info *out,
                struct err *err);
    int (*list)(const struct shard_route *r, uint32_t group,
                const struct shard_key *after, struct shard_info *shards,
                uint16_t max, struct shard_page *out, struct err *err);
};

struct peers {
    _Atomic(struct peer *) *table; /* by drive id */
    const struct peers_remote *remote;
    _Atomic(struct net *) net; /* NULL: no other servers are asked */
    uint64_t timeout_ms, refresh_ms, lost_ms;

    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t cond;
    struct peer **list; /* in the order added */
    size_t count;
    struct peer_server **servers;
    size_t server_count;
    size_t asking; /* servers */
    bool changed, stopping, started;
    pthread_t thread;
};

/* Say of a drive that it failed. */
void peers_set_failed(struct shard_store_stats *s, uint16_t drive,
                      const char *why);

#endif
