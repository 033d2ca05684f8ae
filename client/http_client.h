/* http_client.h: a small blocking HTTP/1.1 client for one endpoint.
 *
 * Connections are kept alive in a pool. A request is sent from memory or from
 * a callback; the answer's body is gathered, or for a 2xx handed to a sink as
 * it comes. Large bodies wait for "100 Continue" (at most EXPECT_WAIT), so a
 * refusal costs no upload.
 *
 * What is not done: redirects, proxies, pipelining, HTTP/2, compression.
 *
 * Threads: http_client any; each request runs on its caller's thread.
 */
#ifndef GODWIT_CLIENT_HTTP_CLIENT_H
#define GODWIT_CLIENT_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/http_conn.h"
#include "client/http_response.h"

struct err;
struct http_client;

#define HTTP_GATHER_MAX                                    \
    ((size_t)16 << 20) /* a gathered body; a page of 1,000 \
                          keys is at most 5 MiB */
#define HTTP_EXPECT_MIN ((uint64_t)1 << 20) /* bodies that ask first */
#define HTTP_EXPECT_WAIT_MS 1000            /* then send anyway */
#define HTTP_IDLE_MAX 32                    /* connections kept */
#define HTTP_SIZE_UNKNOWN UINT64_MAX        /* sent chunked */

struct http_client_options {
    const char *endpoint; /* "http://127.0.0.1:9000" */
    const char *ca_file;  /* or NULL */
    bool insecure;
    uint64_t connect_timeout_ms; /* 0: 10 s */
    uint64_t io_timeout_ms;      /* of each read and write; 0: 60 s */
};

/* ERR_BAD_INPUT: the endpoint or the file of certificates. */
int http_client_new(const struct http_client_options *options,
                    struct http_client **out, struct err *err);
void http_client_free(struct http_client *c); /* no request runs */

const struct http_endpoint *http_client_endpoint(const struct http_client *c);

struct http_request {
    const char *method;
    const char *target; /* "/bucket/key?list-type=2", encoded */
    /* Without Host, Content-Length, Transfer-Encoding, Expect, Connection,
     * which are added. */
    const struct http_header *headers;
    size_t header_count;

    /* Body: @body_len bytes at @body, or @body_size bytes (HTTP_SIZE_UNKNOWN:
     * until *@len is 0) that @body_read gives. */
    const void *body;
    size_t body_len;
    int (*body_read)(void *arg, void *p, size_t max, size_t *len,
                     struct err *err);
    void *body_arg;
    uint64_t body_size;

    /* Bytes of a 2xx answer as they come; NULL: gather in response->body.
     * What it returns but 0 ends the request with that code. */
    int (*sink)(void *arg, const struct http_response *r, const void *p,
                size_t len, struct err *err);
    void *sink_arg;

    /* Never send it twice, not even when a kept connection turns out dead. */
    bool once;
};

/* Send and receive; @response is empty before and must be freed after success.
 * Any status is a success here. ERR_UNAVAILABLE: nothing was sent;
 * ERR_DENIED: certificate; ERR_CLOSED, ERR_TIMEOUT, ERR_CORRUPT: no whole
 * answer came, the request may have been done; ERR_LIMIT: the gathered body is
 * too large; what body_read or sink returned. */
int http_client_request(struct http_client *c, const struct http_request *q,
                        struct http_response *response, struct err *err);

#endif
