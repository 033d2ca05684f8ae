/* http.h: a small HTTP/1.1 server on the agent's loop.
 *
 * One exchange at a time on each connection; bodies are handed on as they come,
 * answers are given at once or later. Connections wait with no buffer of their
 * own. All that a peer sends is bounded, in bytes and in time.
 *
 * An exchange: begin, any number of body, end, done; done comes once for each
 * begin, after the answer went out or when the connection broke. An answer
 * before end says that the rest of the body is of no interest: the connection
 * closes after it.
 *
 * Threads: the loop's.
 */
#ifndef GODWIT_EDGE_HTTP_H
#define GODWIT_EDGE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "edge-agent/http_parse.h"

struct buf;
struct err;
struct http_server;
struct loop;

#define HTTP_CONNECTIONS_MAX 256  /* 64 and room: a device has few programs */
#define HTTP_LISTENERS_MAX 8      /* addresses and socket files */
#define HTTP_IDLE_MS (60 * 1000)  /* between requests */
#define HTTP_HEAD_MS (10 * 1000)  /* for a whole head */
#define HTTP_STALL_MS (30 * 1000) /* without a byte of a body or answer */
#define HTTP_LINGER_MS (2 * 1000) /* so that an early answer is read */

struct http_exchange {
    struct http_head head;
    bool local; /* by socket file or loopback */
    void *user; /* the handler's */
};

struct http_handler {
    void *arg;
    void (*begin)(void *arg, struct http_exchange *x);
    void (*body)(void *arg, struct http_exchange *x, const uint8_t *p,
                 size_t len);
    void (*end)(void *arg, struct http_exchange *x);
    void (*done)(void *arg, struct http_exchange *x);
};

struct http_server *http_server_new(struct loop *loop,
                                    const struct http_handler *handler);
void http_server_free(struct http_server *s); /* breaks all connections */

/* "ADDR:PORT" with a number for ADDR ("[::1]:9080", port 0: any). Gives the
 * port. ERR_BAD_INPUT, ERR_IO. */
int http_listen(struct http_server *s, const char *address, unsigned *port,
                struct err *err);
/* A socket file of mode 0600; a stale one is replaced. */
int http_listen_path(struct http_server *s, const char *path, struct err *err);
/* Whether all of @address's peers are of this machine. ERR_BAD_INPUT. */
int http_is_loopback(const char *address, bool *loopback, struct err *err);

/* Answer. @fields: lines that each end in CR LF, or "". For HEAD, @len is told
 * and @body not sent. */
void http_answer(struct http_exchange *x, int status, const char *fields,
                 const void *body, size_t len);
/* Answer with @length bytes that @pull appends run by run: it sets *@more to
 * false with the last one; an error breaks the connection. */
typedef int (*http_pull)(struct http_exchange *x, struct buf *out, bool *more);
void http_answer_stream(struct http_exchange *x, int status, const char *fields,
                        uint64_t length, http_pull pull);
bool http_answered(const struct http_exchange *x);
const char *http_reason(int status); /* "Not Found" */

#endif
