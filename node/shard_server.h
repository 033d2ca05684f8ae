/* shard_server.h: the drives of this server, for the others.
 *
 * The answering end of the shard protocol (shard_wire.h): each frame of
 * NET_SHARD becomes a call of a shard_store. Nothing waits on the net's thread:
 * puts, gets and deletes are answered from done(), on the drive's thread; a
 * verify runs on a worker. A question whose deadline has passed is not begun,
 * and a put whose bytes do not match their checksum is refused.
 *
 * Only members are served, and only drives that are stores of this server: all
 * others are ERR_UNAVAILABLE. Besides shard_store.h's errors the answers are
 * ERR_BAD_INPUT, ERR_CORRUPT, ERR_VERSION (the question is none), ERR_MISMATCH
 * (its body is wrong), ERR_DENIED, ERR_TIMEOUT, ERR_BUSY (bounds below) and
 * ERR_CLOSED.
 *
 * At the end: shard_server_stop, net_close, shard_server_free.
 *
 * Threads: open, stop and free at start and end.
 */
#ifndef GODWIT_NODE_SHARD_SERVER_H
#define GODWIT_NODE_SHARD_SERVER_H

#include <stddef.h>
#include <stdint.h>

struct net;
struct peers;
struct shard_server;

/* Bytes of puts that wait for drives, and of gets that wait for the net. */
#define SHARD_SERVER_PUTS_MAX ((size_t)256 << 20)
#define SHARD_SERVER_GETS_MAX ((size_t)128 << 20)
#define SHARD_SERVER_VERIFIERS 2
#define SHARD_SERVER_VERIFIES_MAX 64 /* that wait */

/* Serve the drives of @p that are of this server. @n and @p are kept; @n is not
 * started yet. */
struct shard_server *shard_server_new(struct net *n, struct peers *p);
/* Refuse all that comes from now on, and wait for what the drives still hold.
 * Before net_close. */
void shard_server_stop(struct shard_server *s);
/* After net_close, which gives back what was being sent. NULL is nothing. */
void shard_server_free(struct shard_server *s);

struct shard_server_stats {
    uint64_t served;  /* with success */
    uint64_t failed;  /* with an error of the drive */
    uint64_t refused; /* without asking it */
};
void shard_server_stats(struct shard_server *s, struct shard_server_stats *out);

#endif
