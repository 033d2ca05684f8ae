/* net_internal.h: what net.c and link.c share.
 *
 * Threads: all on the net's own, but for what is under net->mutex.
 */
#ifndef GODWIT_NET_NET_INTERNAL_H
#define GODWIT_NET_NET_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/loop.h"
#include "base/workers.h"
#include "crypto/tls.h"
#include "net/frame.h"
#include "net/net.h"

/* A call on its way: queued for its link, or sent and not answered. */
struct flight {
    struct net_call *call;
    uint64_t id;
    uint64_t deadline_ms;
    bool sent;
    struct list_node node; /* in link->flights */
};

/* A frame waiting to be written. */
struct out_frame {
    struct frame frame;
    struct buf head;      /* own */
    const void *head_ptr; /* or borrowed of @flight's call */
    const void *body;
    void (*release)(void *arg); /* of the body; or NULL: free() what is own */
    void *arg;
    void *own_body;
    struct flight *flight; /* NULL: not a call, or it is over */
    struct list_node node;
};

enum link_state { LINK_CONNECTING, LINK_SHAKING, LINK_OPEN, LINK_CLOSED };

struct link {
    struct net *net;
    struct peer *peer; /* of ours, outbound; NULL: inbound */
    enum link_state state;
    struct loop_fd fd;
    uint32_t events;
    struct tls_stream *tls;
    uint32_t server; /* proven; 0: a stranger */
    uint64_t since_ms, heard_ms, pinged_ms;
    uint64_t moved_ms; /* bytes in bulk last went out, or any came */
    atomic_uint refs;  /* one for being open, one for each unanswered request;
                          the last may go on any thread once stopped */
    size_t unanswered_bytes;

    bool used; /* a frame came since it opened */

    struct list_node out; /* of struct out_frame */
    size_t out_bytes;
    struct list_node flights;

    /* The frame being read. */
    uint8_t header[FRAME_BYTES];
    size_t have; /* bytes of header, head or body, by what is being read */
    bool in_head, in_body;
    struct frame frame;
    uint8_t *head;
    uint8_t *body; /* page-aligned and own; or a call's into */
    bool body_is_into, discard;
    struct flight *reply_to;

    struct list_node node; /* in net->links */
};

/* The look-up of a name, on a thread of its own: it may take long. */
struct lookup {
    struct work work;
    struct loop_call call;
    struct net *net;
    struct peer *peer;
    char *address, *numeric;
    struct err err;
};

struct peer {
    uint32_t id; /* 0: whoever is at the address */
    char *address;
    char *numeric;         /* the same in numbers; NULL: to be looked up */
    struct lookup *lookup; /* under way; or NULL */
    struct link *links[NET_LINKS];
    uint64_t failed_ms; /* the last attempt that failed; 0: none */
    uint64_t backoff_ms;
    struct err why;
    bool forbidden;
    struct list_node node;
};

/* A request as the handler has it, and where its answer goes. */
struct incoming {
    struct net_request request;
    struct net *net;
    struct link *link;
    uint64_t id;
    uint8_t *head, *body;
    size_t bytes;          /* of both; a handler may step over its head */
    struct loop_call call; /* the answer's way to the loop */
    struct out_frame *reply;
};

struct net {
    struct loop *loop;
    pthread_t thread;
    bool started;
    char *address;
    uint32_t server;
    struct loop_fd listen;
    struct loop_timer tick;
    struct list_node links, peers;
    struct workers *names; /* looks up; NULL until there is one */
    int (*resolve)(const char *address, char **numeric, struct err *err);
    unsigned strangers;
    uint64_t next_id;
    struct {
        void (*fn)(void *arg, struct net_request *r);
        void *arg;
    } services[NET_SERVICES];

    pthread_mutex_t mutex; /* guards all below */
    struct tls_context *tls;
    bool stopped;
    atomic_uint_least64_t calls, failed, served, refused, bytes_in, bytes_out;
    atomic_uint links_open, strangers_open;
};

/* ---- names.c ---- */

/* "ADDR:PORT" in numbers, by the system's resolver; free(). ERR_BAD_INPUT,
 * ERR_UNAVAILABLE. */
int net_names_resolve(const char *address, char **numeric, struct err *err);
/* Is the peer's address known in numbers? If not, it is being looked up: false
 * and why it cannot be called now. Loop. */
bool net_names_known(struct net *n, struct peer *p, struct err *err);
/* The address may have become another one. Loop. */
void net_names_forget(struct peer *p);
/* End the thread; after the loop. */
void net_names_close(struct net *n);

/* ---- link.c ---- */

struct link *link_accept(struct net *n, int fd);
/* NULL: cannot even begin; says why. */
struct link *link_connect(struct net *n, struct peer *p, struct err *err);
/* Queue; takes @o. */
void link_send(struct link *l, struct out_frame *o);
/* End it: calls that were sent get ERR_UNKNOWN, others ERR_UNAVAILABLE, or all
 * @status when that is not 0. */
void link_close(struct link *l, int status, const struct err *why);
void link_unref(struct link *l);
/* Make room for one more that nobody knows: end the oldest of those. */
void link_evict_stranger(struct net *n);
void link_tick(struct link *l, uint64_t now_ms);
/* A request of it was answered: it may read on. */
void link_answered(struct link *l, size_t bytes);

void out_frame_free(struct out_frame *o);
void flight_done(struct link *l, struct flight *f, int status,
                 const struct err *err);

/* ---- net.c ---- */

/* A whole frame that asks or tells; takes head and body. */
void net_incoming(struct link *l, const struct frame *f, uint8_t *head,
                  uint8_t *body);
struct tls_stream *net_stream(struct net *n, bool server);
bool net_is_forbidden(struct net *n, uint32_t server);

#endif
