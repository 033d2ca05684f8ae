/* uplink.h: one connection to the gateway, HTTP/1.1, one exchange at a time.
 *
 * Never blocks; kept open between exchanges, closed when idle. Only what is
 * strictly an answer is one: a head of HTTP/1.1 with a length or chunks, whole.
 * All else is a failure: a body that ends early, answers that drip, a peer that
 * is not the gateway. What an answer means is the caller's to judge.
 *
 * An exchange on a connection that was kept open may find it closed meanwhile:
 * then it is sent once more on a new one, so requests are such as may be
 * repeated.
 *
 * Threads: the agent's loop.
 */
#ifndef GODWIT_EDGE_UPLINK_H
#define GODWIT_EDGE_UPLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "edge-agent/http_parse.h"

struct buf;
struct err;
struct uplink;
struct loop;
struct rate;
struct edge_tls_trust;

#define UPLINK_BODY_MAX (1024U * 1024) /* of an answer */
#define UPLINK_HOST_MAX 253            /* RFC 1035 */
#define UPLINK_CONNECT_MS (20 * 1000)  /* name, TCP and TLS */
#define UPLINK_STALL_MS (30 * 1000)    /* without a byte sent */
#define UPLINK_ANSWER_MS                                                   \
    (60 * 1000)                    /* for a whole answer, once all is sent \
                                    */
#define UPLINK_IDLE_MS (90 * 1000) /* longer than from report to report */
#define UPLINK_INTERIM_MAX 8       /* "100 Continue" and the like */

struct uplink_url {
    bool tls;
    char host[UPLINK_HOST_MAX + 1]; /* without the brackets of IPv6 */
    uint16_t port;
    char authority[UPLINK_HOST_MAX + 10]; /* for the field Host */
};
/* "https://HOST[:PORT]", or "http://..." of this machine's loopback, and of
 * others only when @insecure. ERR_BAD_INPUT. */
int uplink_url_parse(const char *text, bool insecure, struct uplink_url *out,
                     struct err *err);

struct uplink_options {
    const struct uplink_url *url; /* copied */
    struct edge_tls_trust *trust; /* kept; NULL for http */
    struct rate *rate;            /* kept; NULL: no bound */
    uint64_t answer_ms;           /* 0: UPLINK_ANSWER_MS */
};
struct uplink *uplink_new(struct loop *loop, const struct uplink_options *o);
/* An exchange under way is forgotten. NULL is nothing. */
void uplink_free(struct uplink *l);

struct uplink_request {
    const char *method, *path;
    const char *fields; /* lines that each end in CR LF, or NULL */
    const void *body;   /* kept until done; NULL: none */
    size_t body_len;
};
struct uplink_answer {
    int status;
    const struct http_head *head;
    const uint8_t *body; /* a NUL follows */
    size_t body_len;
    bool again; /* the request went out twice: the first got no answer */
};
/* @code is 0 and @answer is borrowed, whatever its status; or ERR_UNAVAILABLE
 * (no connection), ERR_DENIED (not the gateway, or it refuses us in TLS),
 * ERR_CLOSED, ERR_TIMEOUT, ERR_BAD_INPUT (what came is no answer), ERR_LIMIT.
 * It may send again, and may not free the link. */
typedef void (*uplink_done)(void *arg, int code,
                            const struct uplink_answer *answer,
                            const char *why);
/* No other exchange is under way. @done comes after this has returned. */
void uplink_send(struct uplink *l, const struct uplink_request *r,
                 uplink_done done, void *arg);
bool uplink_busy(const struct uplink *l);
/* Close the connection if no exchange is under way: whom we believe changed.
 */
void uplink_reset(struct uplink *l, struct edge_tls_trust *trust);

enum uplink_state { UPLINK_DOWN, UPLINK_CONNECTING, UPLINK_UP };
enum uplink_state uplink_state(const struct uplink *l);
const char *uplink_state_name(enum uplink_state s); /* "up" */
uint64_t uplink_sent_bytes(const struct uplink *l); /* bodies and heads, ever */

/* Append the CA of this fingerprint that the server showed: only right in the
 * done of an exchange, or after ERR_DENIED. ERR_DENIED: none such. */
int uplink_peer_find(struct uplink *l, const uint8_t *fingerprint,
                     struct buf *pem, struct err *err);

#endif
