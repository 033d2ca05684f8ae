/* http_conn.h: one connection to a server, plain or TLS, with time-outs.
 *
 * Blocking sockets with SO_RCVTIMEO and SO_SNDTIMEO: no poll for each read.
 * TLS is 1.2 or later by OpenSSL; the name of the endpoint is checked against
 * the certificate. The caller has SIGPIPE ignored (TLS writes may raise it).
 *
 * Threads: a connection belongs to its caller; an http_tls any.
 */
#ifndef GODWIT_CLIENT_HTTP_CONN_H
#define GODWIT_CLIENT_HTTP_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct http_conn;
struct http_tls; /* trusted certificates and settings of many connections */

/* "http://host:port", "https://[::1]:9000", a trailing '/' allowed. */
struct http_endpoint {
    char *host;      /* without brackets */
    char *port;      /* "80" or "443" when not given */
    char *authority; /* as the Host header has it */
    bool tls;
};

/* ERR_BAD_INPUT says what is wrong with @url. */
int http_endpoint_parse(const char *url, struct http_endpoint *out,
                        struct err *err);
void http_endpoint_free(struct http_endpoint *e);
/* 127.0.0.0/8, ::1 or localhost. */
bool http_endpoint_is_loopback(const struct http_endpoint *e);

/* Trust @ca_file (PEM), or the system's certificates when it is NULL; with
 * @insecure trust anyone. ERR_BAD_INPUT when the file is not usable. */
int http_tls_new(const char *ca_file, bool insecure, struct http_tls **out,
                 struct err *err);
void http_tls_free(struct http_tls *t);

/* Connect and shake hands. @tls is used when @e->tls. ERR_UNAVAILABLE: no
 * connection, nothing was sent; ERR_DENIED: the certificate. */
int http_conn_open(const struct http_endpoint *e, struct http_tls *tls,
                   uint64_t connect_timeout_ms, uint64_t io_timeout_ms,
                   struct http_conn **out, struct err *err);
void http_conn_close(struct http_conn *c);

/* Write all. @more: another write follows at once. ERR_CLOSED, ERR_TIMEOUT. */
int http_conn_write(struct http_conn *c, const void *p, size_t len, bool more,
                    struct err *err);
/* Read 1..@max bytes; *@len 0: the server ended. ERR_CLOSED, ERR_TIMEOUT. */
int http_conn_read(struct http_conn *c, void *p, size_t max, size_t *len,
                   struct err *err);
/* True when there is something to read (or an end) within @timeout_ms. */
bool http_conn_readable(struct http_conn *c, uint64_t timeout_ms);

#endif
