/* http_response.h: the bytes of an HTTP/1.1 response, parsed strictly.
 *
 * Two steps, neither of which reads a socket. http_response_parse takes a whole
 * head (http_response_head_end finds where it ends); http_body_decode is a
 * state machine over what follows and takes any split of it.
 *
 * Refused, all with ERR_CORRUPT: a version but 1.0 and 1.1, a status but three
 * digits from 100 to 599, bare CR or LF, folded headers, blanks before a colon,
 * names that are not tokens, control bytes in values, Content-Length that is
 * not a number or comes twice with different values, Content-Length with
 * Transfer-Encoding, transfer codings but "chunked", and anything over the
 * bounds below.
 *
 * Source: RFC 9112.
 * Threads: a response and a body belong to their caller.
 */
#ifndef GODWIT_CLIENT_HTTP_RESPONSE_H
#define GODWIT_CLIENT_HTTP_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct err;

#define HTTP_HEAD_MAX ((size_t)64 << 10) /* status line and headers */
#define HTTP_HEADERS_MAX 100
#define HTTP_CHUNK_LINE_MAX 1024    /* size and extensions */
#define HTTP_TRAILERS_MAX (8 << 10) /* bytes after the last chunk */

struct http_header {
    const char *name;
    const char *value;
};

struct http_response {
    int status;
    struct http_header headers[HTTP_HEADERS_MAX];
    size_t header_count;
    bool keep_alive; /* the connection may serve another request */
    bool chunked;    /* Transfer-Encoding: chunked */
    bool has_length; /* Content-Length was given */
    uint64_t length; /* its value */
    struct buf body; /* what was gathered: see http_client.h */
    char *text;      /* names and values, cut up */
};

void http_response_free(struct http_response *r); /* and make empty */

/* Bytes of the head at @p, its last empty line included; 0: not there yet. */
size_t http_response_head_end(const void *p, size_t len);

/* Parse a head of @len bytes into an empty @r. */
int http_response_parse(struct http_response *r, const void *p, size_t len,
                        struct err *err);

/* The value of a header by name in any case; NULL when missing. */
const char *http_response_header(const struct http_response *r,
                                 const char *name);

enum http_body_state {
    HTTP_BODY_LENGTH, /* @left bytes follow */
    HTTP_BODY_CLOSE,  /* all until the connection ends */
    HTTP_BODY_SIZE,   /* in a chunk's size line */
    HTTP_BODY_CHUNK,  /* @left bytes of a chunk follow */
    HTTP_BODY_CHUNK_END,
    HTTP_BODY_TRAILER,
    HTTP_BODY_DONE,
};

struct http_body {
    enum http_body_state state;
    uint64_t left;
    char line[HTTP_CHUNK_LINE_MAX]; /* of a size or trailer line */
    size_t line_len;
    size_t trailer_bytes;
};

/* What follows @r's head in the answer to @method. */
void http_body_init(struct http_body *b, const struct http_response *r,
                    const char *method);

/* Take bytes of *@len at @in: *@out and *@out_len are a run of payload within
 * @in (maybe empty), *@len becomes what was consumed. Call until all is
 * consumed or state is HTTP_BODY_DONE. */
int http_body_decode(struct http_body *b, const uint8_t *in, size_t *len,
                     const uint8_t **out, size_t *out_len, struct err *err);

/* The connection ended: ERR_CLOSED when bytes are missing. */
int http_body_end(struct http_body *b, struct err *err);

#endif
