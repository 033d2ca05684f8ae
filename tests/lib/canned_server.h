/* canned_server.h: an HTTP server that reads requests and says what the test
 * wrote down, in order.
 *
 * One thread serves one connection after the other on a port of its own on
 * 127.0.0.1; a silent one is closed when another waits. Requests are kept as
 * they came. After the last reply it closes.
 *
 * Threads: as marked; start, stop and the accessors from the test's thread.
 */
#ifndef GODWIT_TESTS_LIB_CANNED_SERVER_H
#define GODWIT_TESTS_LIB_CANNED_SERVER_H

#include <stdbool.h>
#include <stddef.h>

struct canned_server;

struct canned_reply {
    const char *text; /* NULL: close without a byte */
    size_t len;       /* 0: strlen(text) */
    bool close;       /* close after it */
    bool bytewise;    /* each byte by itself */
    bool early;       /* right after the head, the body unread */
    bool go_on;       /* "100 Continue" after the head */
};

/* @replies are borrowed until canned_stop. */
struct canned_server *canned_start(const struct canned_reply *replies,
                                   size_t count);
/* Wait for the end of the script, or break it off. */
void canned_stop(struct canned_server *s);

/* "http://127.0.0.1:PORT" */
const char *canned_endpoint(const struct canned_server *s);
/* Connections and requests so far. */
unsigned canned_connections(struct canned_server *s);
unsigned canned_requests(struct canned_server *s);
/* Head and body of request @i (from 0); "" when there is none. Borrowed. */
const char *canned_request(struct canned_server *s, unsigned i);

#endif
