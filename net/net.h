/* net.h: calls between the servers of a cluster, over one port.
 *
 * Each server listens on one cluster port and keeps up to NET_LINKS
 * connections to every other that it talks to, each TLS 1.3 with both ends
 * proven (crypto/tls.h). Calls are frames (net/frame.h), many in flight on a
 * connection, answered in any order; every call has a deadline, which travels
 * with it. Messages are frames without an answer, which may be lost.
 *
 * Who is not a member may only join: a connection without a certificate is
 * served NET_JOIN calls and nothing else. A server that was removed is refused
 * by its id, whatever its certificate says (net_forbid).
 *
 * Bounds: NET_STRANGERS_MAX connections without a proven member, each gone
 * after NET_STRANGER_MS; NET_FRAME_MAX bytes of a frame; NET_QUEUE_MAX bytes
 * waiting for one server: at it a call gets ERR_BUSY and a message is dropped.
 *
 * Threads: net_open and net_close at start and end; net_serve before net_start;
 * the rest any. Callbacks run on the net's own thread and must not block: they
 * post elsewhere.
 */
#ifndef GODWIT_NET_NET_H
#define GODWIT_NET_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct net;
struct tls_context;

#define NET_LINKS 2
#define NET_STRANGERS_MAX 256
#define NET_STRANGER_MS 10000
#define NET_HEAD_MAX ((size_t)1 << 20)
#define NET_BODY_MAX ((size_t)17 << 20)
#define NET_QUEUE_MAX ((size_t)256 << 20)

/* Who handles a frame. */
enum net_service {
    NET_JOIN = 1,    /* the only one that strangers may call */
    NET_RAFT = 2,    /* messages of the catalogue's groups */
    NET_META = 3,    /* proposals and reads for the leader */
    NET_SHARD = 4,   /* the shard protocol */
    NET_CLUSTER = 5, /* heartbeats, status, the map */
    NET_SERVICES = 8
};

struct net_options {
    const char *listen;      /* "ADDR:PORT"; NULL: call only (one that joins) */
    struct tls_context *tls; /* taken; NULL: net_become comes */
    uint32_t server;         /* own id; 0: a stranger */
    /* Names of others' addresses; gives text for free(). Blocks, on a thread
     * made for it, or on that of net_call_address. NULL: the system's. */
    int (*resolve)(const char *address, char **numeric, struct err *err);
};

/* ERR_BAD_INPUT: listen is not an address; ERR_IO: cannot be listened on. */
int net_open(const struct net_options *options, struct net **out,
             struct err *err);
/* Who it is, for one that was opened to have its address before it could know;
 * takes @tls. Before net_start. */
void net_become(struct net *n, uint32_t server, struct tls_context *tls);
/* When every request that was served has been answered. */
void net_close(struct net *n);
void net_start(struct net *n); /* the thread */
/* End the thread: what is in flight fails with ERR_CLOSED, and so does what is
 * asked from now on; answers are thrown away. net_close does it, too. */
void net_stop(struct net *n);
/* "ADDR:PORT" that it listens on, with the port that it got for 0. */
const char *net_address(const struct net *n);
/* A renewed certificate, for connections from now on. */
void net_renew(struct net *n, struct tls_context *tls);

/* ---- whom to call ---- */

/* Where @server listens; a new address closes old connections. */
void net_peer(struct net *n, uint32_t server, const char *address);
/* Forget it, cut it off, and answer it ERR_DENIED from now on: it was removed,
 * and so it learns that. */
void net_forbid(struct net *n, uint32_t server);

/* ---- calls ---- */

struct net_call {
    /* The question; all borrowed until done. */
    uint8_t service, type;
    const void *head; /* what the service says of it */
    size_t head_len;
    const void *body; /* bytes in bulk; or NULL */
    size_t body_len;
    uint64_t timeout_ms;
    /* Where an answer's body goes: @into, if it fits in @into_max, else a
     * fresh one in reply_body. */
    void *into;
    size_t into_max;
    void (*done)(struct net_call *c);
    /* The answer, valid in and after done(). */
    int status;            /* 0, what the handler said, ERR_TIMEOUT, ERR_BUSY,
                              ERR_UNAVAILABLE (never reached it), ERR_UNKNOWN (sent,
                              and the connection broke), ERR_DENIED, ERR_CLOSED */
    struct err err;        /* names the server */
    struct buf reply_head; /* the caller frees */
    struct buf reply_body; /* the caller frees; empty when in @into */
    size_t body_got;
    struct net_call *next; /* the net's */
};

void net_call(struct net *n, uint32_t server, struct net_call *c);
/* Call and wait; done is not used. Returns the status. */
int net_call_wait(struct net *n, uint32_t server, struct net_call *c);
/* Call @address without knowing who is there: for joins, as a stranger.
 * ERR_DENIED also when it is not of the cluster that the stranger trusts. */
int net_call_address(struct net *n, const char *address, struct net_call *c);

/* Send and forget: head and body (NULL: none) are copied. Lost when the server
 * is not reached. */
void net_send(struct net *n, uint32_t server, uint8_t service, uint8_t type,
              const void *head, size_t head_len, const void *body,
              size_t body_len);

/* ---- serving ---- */

struct net_request {
    uint32_t server; /* who asks, proven; 0: a stranger */
    uint8_t service, type;
    bool
        wants_reply; /* false: a message; free it with net_reply all the same */
    uint64_t deadline_ms; /* clock_mono_ms; an answer after it is thrown away */
    const uint8_t *head;
    size_t head_len;
    const uint8_t *body; /* page-aligned */
    size_t body_len;
};

/* @fn gets each frame of @service, and must net_reply to each, once. It may
 * step head and head_len over what it has read. */
void net_serve(struct net *n, enum net_service service,
               void (*fn)(void *arg, struct net_request *r), void *arg);
/* Answer and free @r. @status 0 or an ERR_*, with a text that says why (may be
 * NULL). @head is copied; @body too, unless @release: then it is kept until
 * release(arg), which may come on any thread, even before this returns. */
void net_reply(struct net *n, struct net_request *r, int status,
               const char *text, const void *head, size_t head_len,
               const void *body, size_t body_len, void (*release)(void *arg),
               void *arg);

struct net_stats {
    uint64_t links, strangers; /* open now */
    uint64_t calls, calls_failed, served, refused;
    uint64_t bytes_in, bytes_out; /* plain */
};
void net_stats(struct net *n, struct net_stats *out);

#endif
