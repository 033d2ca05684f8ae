#include "client/http_conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"

#define HOST_MAX 255
#define WRITE_MAX ((size_t)1 << 30) /* SSL_write takes an int */

struct http_tls {
    SSL_CTX *context;
    bool insecure;
};

struct http_conn {
    int fd;
    SSL *ssl; /* NULL for plain */
};

/* ---- endpoint ---- */

static int bad_endpoint(struct err *err, const char *url, const char *why)
{
    return err_set(err, ERR_BAD_INPUT, "endpoint %s: %s", url, why);
}

/* "host", "host:port", "[v6]" or "[v6]:port"; *@port is what follows or "". */
static bool split_authority(const char *p, size_t len, char **host, char **port)
{
    const char *end = p + len;
    const char *host_end;
    const char *host_start = p;

    if (len > 0 && p[0] == '[') {
        host_start = p + 1;
        host_end = memchr(p, ']', len);
        if (host_end == NULL) {
            return false;
        }
        p = host_end + 1;
    } else {
        host_end = memchr(p, ':', len);
        host_end = host_end != NULL ? host_end : end;
        p = host_end;
    }
    if (host_end == host_start || host_end - host_start > HOST_MAX ||
        (p != end && (*p != ':' || p + 1 == end))) {
        return false;
    }
    *host = mem_strndup(host_start, (size_t)(host_end - host_start));
    *port =
        p == end ? mem_strdup("") : mem_strndup(p + 1, (size_t)(end - p - 1));
    return true;
}

static bool host_chars_ok(const char *host)
{
    for (; *host != '\0'; host++) {
        if ((unsigned char)*host <= ' ' || strchr("/?#@\\\"<>", *host) ||
            (unsigned char)*host >= 0x7f) {
            return false;
        }
    }
    return true;
}

int http_endpoint_parse(const char *url, struct http_endpoint *out,
                        struct err *err)
{
    struct http_endpoint e = {0};
    const char *p = url;
    uint64_t port;
    size_t len;

    if (strncasecmp(p, "https://", 8) == 0) {
        e.tls = true;
        p += 8;
    } else if (strncasecmp(p, "http://", 7) == 0) {
        p += 7;
    } else {
        return bad_endpoint(err, url,
                            "does not begin with http:// or https://");
    }
    len = strcspn(p, "/?#");
    if (p[len] != '\0' && strcmp(p + len, "/") != 0) {
        return bad_endpoint(err, url, "has a path; give only host and port");
    }
    if (!split_authority(p, len, &e.host, &e.port)) {
        return bad_endpoint(err, url, "is not host:port");
    }
    if (!host_chars_ok(e.host)) {
        http_endpoint_free(&e);
        return bad_endpoint(err, url, "has a character that no host has");
    }
    if (e.port[0] == '\0') {
        free(e.port);
        e.port = mem_strdup(e.tls ? "443" : "80");
    }
    if (!text_u64(e.port, &port) || port == 0 || port > 65535) {
        http_endpoint_free(&e);
        return bad_endpoint(err, url, "port is not 1 to 65535");
    }
    e.authority = mem_strndup(p, len);
    *out = e;
    return 0;
}

void http_endpoint_free(struct http_endpoint *e)
{
    free(e->host);
    free(e->port);
    free(e->authority);
    memset(e, 0, sizeof *e);
}

bool http_endpoint_is_loopback(const struct http_endpoint *e)
{
    struct in_addr v4;

    if (inet_pton(AF_INET, e->host, &v4) == 1) {
        return ntohl(v4.s_addr) >> 24 == 127;
    }
    return strcmp(e->host, "::1") == 0 || text_ieq(e->host, "localhost");
}

/* ---- TLS ---- */

/* What OpenSSL says first in its queue, which is emptied. */
static const char *tls_reason(void)
{
    unsigned long code = ERR_get_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

    ERR_clear_error();
    return reason != NULL ? reason : "TLS failed";
}

int http_tls_new(const char *ca_file, bool insecure, struct http_tls **out,
                 struct err *err)
{
    struct http_tls *t = mem_alloc(sizeof *t);
    int ok;

    t->insecure = insecure;
    t->context = SSL_CTX_new(TLS_client_method());
    CHECK(t->context != NULL);
    CHECK(SSL_CTX_set_min_proto_version(t->context, TLS1_2_VERSION) == 1);
    SSL_CTX_set_mode(t->context, SSL_MODE_AUTO_RETRY);
    if (insecure) {
        SSL_CTX_set_verify(t->context, SSL_VERIFY_NONE, NULL);
    } else {
        SSL_CTX_set_verify(t->context, SSL_VERIFY_PEER, NULL);
        ok = ca_file != NULL
                 ? SSL_CTX_load_verify_locations(t->context, ca_file, NULL)
                 : SSL_CTX_set_default_verify_paths(t->context);
        if (ok != 1) {
            http_tls_free(t);
            return err_set(err, ERR_BAD_INPUT, "certificates in %s: %s",
                           ca_file != NULL ? ca_file : "the system's folder",
                           tls_reason());
        }
    }
    *out = t;
    return 0;
}

void http_tls_free(struct http_tls *t)
{
    if (t != NULL) {
        SSL_CTX_free(t->context);
        free(t);
    }
}

/* The certificate must be for this name or address. */
static void tls_expect_name(SSL *ssl, const char *host)
{
    struct in6_addr ip;

    if (inet_pton(AF_INET, host, &ip) == 1 ||
        inet_pton(AF_INET6, host, &ip) == 1) {
        CHECK(X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1);
    } else {
        SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        CHECK(SSL_set1_host(ssl, host) == 1);
        CHECK(SSL_set_tlsext_host_name(ssl, host) == 1);
    }
}

static int tls_open(struct http_conn *c, const struct http_endpoint *e,
                    struct http_tls *tls, struct err *err)
{
    long verdict;

    c->ssl = SSL_new(tls->context);
    CHECK(c->ssl != NULL);
    CHECK(SSL_set_fd(c->ssl, c->fd) == 1);
    if (!tls->insecure) {
        tls_expect_name(c->ssl, e->host);
    }
    ERR_clear_error();
    if (SSL_connect(c->ssl) == 1) {
        return 0;
    }
    verdict = SSL_get_verify_result(c->ssl);
    if (!tls->insecure && verdict != X509_V_OK) {
        ERR_clear_error();
        return err_set(err, ERR_DENIED, "connect %s: certificate: %s",
                       e->authority, X509_verify_cert_error_string(verdict));
    }
    return err_set(err, ERR_UNAVAILABLE, "connect %s: TLS: %s", e->authority,
                   tls_reason());
}

/* ---- connection ---- */

static void set_timeouts(int fd, uint64_t ms)
{
    struct timeval tv = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000};

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
}

/* Try each address of the host; gives a socket or -1 with errno. */
static int connect_any(const struct addrinfo *list, uint64_t timeout_ms)
{
    int saved = EADDRNOTAVAIL;
    int one = 1;

    for (const struct addrinfo *a = list; a != NULL; a = a->ai_next) {
        int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            saved = errno;
            continue;
        }
        set_timeouts(fd, timeout_ms);
        if (connect(fd, a->ai_addr, a->ai_addrlen) == 0) {
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            return fd;
        }
        saved = errno == EINPROGRESS ? ETIMEDOUT : errno;
        close(fd);
    }
    errno = saved;
    return -1;
}

int http_conn_open(const struct http_endpoint *e, struct http_tls *tls,
                   uint64_t connect_timeout_ms, uint64_t io_timeout_ms,
                   struct http_conn **out, struct err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    struct http_conn *c;
    int rc = getaddrinfo(e->host, e->port, &hints, &list);

    if (rc != 0) {
        return err_set(err, ERR_UNAVAILABLE, "connect %s: %s", e->authority,
                       gai_strerror(rc));
    }
    c = mem_alloc(sizeof *c);
    c->fd = connect_any(list, connect_timeout_ms);
    freeaddrinfo(list);
    if (c->fd < 0) {
        free(c);
        return err_set(err, ERR_UNAVAILABLE, "connect %s: %s", e->authority,
                       strerror(errno));
    }
    if (e->tls) {
        CHECK(tls != NULL);
        rc = tls_open(c, e, tls, err);
        if (rc != 0) {
            http_conn_close(c);
            return rc;
        }
    }
    set_timeouts(c->fd, io_timeout_ms);
    *out = c;
    return 0;
}

void http_conn_close(struct http_conn *c)
{
    if (c == NULL) {
        return;
    }
    if (c->ssl != NULL) {
        ERR_clear_error();
        SSL_shutdown(c->ssl);
        SSL_free(c->ssl);
        ERR_clear_error();
    }
    close(c->fd);
    free(c);
}

/* Why a read or write gave nothing, by errno. */
static int io_failed(struct err *err, const char *what)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return err_set(err, ERR_TIMEOUT, "%s: timed out", what);
    }
    return err_set(err, ERR_CLOSED, "%s: %s", what, strerror(errno));
}

static int tls_failed(struct http_conn *c, int rc, const char *what,
                      struct err *err)
{
    int kind = SSL_get_error(c->ssl, rc);

    if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE) {
        return err_set(err, ERR_TIMEOUT, "%s: timed out", what);
    }
    if (kind == SSL_ERROR_SYSCALL && errno != 0) {
        return err_set(err, ERR_CLOSED, "%s: %s", what, strerror(errno));
    }
    return err_set(err, ERR_CLOSED, "%s: TLS: %s", what, tls_reason());
}

static int tls_write(struct http_conn *c, const uint8_t *p, size_t len,
                     struct err *err)
{
    while (len > 0) {
        int n = (int)(len < WRITE_MAX ? len : WRITE_MAX);
        int rc;
        ERR_clear_error();
        errno = 0;
        rc = SSL_write(c->ssl, p, n);
        if (rc <= 0) {
            return tls_failed(c, rc, "send", err);
        }
        p += rc;
        len -= (size_t)rc;
    }
    return 0;
}

int http_conn_write(struct http_conn *c, const void *p, size_t len, bool more,
                    struct err *err)
{
    const uint8_t *at = p;
    int flags = MSG_NOSIGNAL | (more ? MSG_MORE : 0);

    if (c->ssl != NULL) {
        return tls_write(c, p, len, err);
    }
    while (len > 0) {
        ssize_t n = send(c->fd, at, len, flags);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return io_failed(err, "send");
        }
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

static int tls_read(struct http_conn *c, void *p, size_t max, size_t *len,
                    struct err *err)
{
    int n = (int)(max < WRITE_MAX ? max : WRITE_MAX);
    int rc;

    ERR_clear_error();
    errno = 0;
    rc = SSL_read(c->ssl, p, n);
    if (rc > 0) {
        *len = (size_t)rc;
        return 0;
    }
    if (SSL_get_error(c->ssl, rc) == SSL_ERROR_ZERO_RETURN) {
        *len = 0;
        return 0;
    }
    return tls_failed(c, rc, "receive", err);
}

int http_conn_read(struct http_conn *c, void *p, size_t max, size_t *len,
                   struct err *err)
{
    ssize_t n;

    if (c->ssl != NULL) {
        return tls_read(c, p, max, len, err);
    }
    do {
        n = recv(c->fd, p, max, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return io_failed(err, "receive");
    }
    *len = (size_t)n;
    return 0;
}

bool http_conn_readable(struct http_conn *c, uint64_t timeout_ms)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};

    if (c->ssl != NULL && SSL_pending(c->ssl) > 0) {
        return true;
    }
    return poll(&p, 1, (int)timeout_ms) != 0;
}
