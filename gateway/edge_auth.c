#include "gateway/edge_auth.h"

#include <gnutls/gnutls.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/cluster.h"
#include "crypto/pki.h"
#include "fleet/batch.h"
#include "gateway/access.h"
#include "gateway/gateway_internal.h"
#include "gateway/http_internal.h"
#include "gateway/request.h"
#include "gateway/tls_auto.h"

#define SEQUENCE "x-godwit-sequence"
#define FLOOR "x-godwit-floor"

struct edge_peer {
    int rc; /* 0, or why it is no device's */
    struct err err;
    struct pki_cert cert;
};

void edge_peer_free(struct edge_peer *p)
{
    free(p);
}

/* ---- what a connection showed ---- */

static gnutls_session_t session_of(const struct request *r)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(
        r->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);

    return info != NULL ? (gnutls_session_t)info->tls_session : NULL;
}

/* NULL: nothing. */
static struct edge_peer *look(const struct request *r)
{
    gnutls_session_t session = session_of(r);
    struct buf ca = *tls_auto_ca(r->gateway->tls);
    const gnutls_datum_t *chain;
    struct edge_peer *p;
    unsigned count = 0;

    if (session == NULL ||
        gnutls_certificate_type_get2(session, GNUTLS_CTYPE_CLIENT) !=
            GNUTLS_CRT_X509) {
        return NULL;
    }
    chain = gnutls_certificate_get_peers(session, &count);
    if (chain == NULL || count == 0) {
        return NULL;
    }
    ca.len--; /* its NUL */
    p = mem_alloc(sizeof *p);
    p->rc = pki_device_verify(&ca, chain[0].data, chain[0].size,
                              r->time_ms / 1000, &p->cert, &p->err);
    return p;
}

static struct edge_peer *peer_of(struct request *r)
{
    struct http_connection *conn = r->conn;

    if (conn == NULL || r->gateway->tls == NULL) {
        return NULL;
    }
    if (!conn->looked) {
        conn->looked = true;
        conn->peer = look(r);
    }
    return conn->peer;
}

/* ---- who asks ---- */

void edge_error(struct request *r, int status, const char *fmt, ...)
{
    struct err err;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(err.text, sizeof err.text, fmt, ap);
    va_end(ap);
    r->err = err;
    reply(r, status);
    reply_header(r, "Content-Type", "application/json");
    buf_str(&r->reply_body, "{\"error\":");
    put_json_text(&r->reply_body, err.text);
    buf_str(&r->reply_body, "}\n");
}

/* In the form that the path has. Not AccessDenied: that is about an object,
 * and a device gives up what it is denied. */
static bool refuse(struct request *r, const char *why)
{
    if (text_starts(r->path, EDGE_PATH)) {
        edge_error(r, 403, "%s", why);
    } else {
        reply_error(r, S3_InvalidAccessKeyId, "%s", why);
    }
    return false;
}

static bool judge_peer(struct request *r, const struct edge_peer *p)
{
    struct err err = {{0}};
    int rc;

    if (p->rc != 0) {
        return refuse(r, p->err.text);
    }
    if (r->time_ms / 1000 >= p->cert.not_after_s) {
        return refuse(r, "the certificate has expired");
    }
    rc = access_device(r->gateway, p->cert.device, &r->user, &err);
    if (rc == ERR_NOT_FOUND) {
        return refuse(r, "the device is not enrolled, or was revoked");
    }
    if (rc != 0 && text_starts(r->path, EDGE_PATH)) {
        edge_error(r, 503, "%s", err.text);
        return false;
    }
    if (rc != 0) {
        reply_err(r, rc, &err);
        return false;
    }
    if (mem_diff(r->user->key, p->cert.key, sizeof p->cert.key) != 0) {
        return refuse(r, "the device has another key by now");
    }
    return true;
}

bool edge_authenticate(struct request *r)
{
    const struct edge_peer *p = peer_of(r);

    return p == NULL || judge_peer(r, p);
}

bool edge_judge(struct request *r)
{
    bool enrols = r->op == S3_OP_EdgeEnroll;
    size_t max = r->op == S3_OP_EdgeBatch ? BATCH_BYTES_MAX : EDGE_DOCUMENT_MAX;

    r->auth.payload = SIGV4_PAYLOAD_UNSIGNED;
    if (r->gateway->tls == NULL) {
        edge_error(r, 403, "devices need a server with --tls auto");
        return false;
    }
    if (!atomic_load(&r->gateway->ready) ||
        cluster_removed(r->gateway->cluster)) {
        edge_error(r, 503, "the server is starting, or was removed");
        return false;
    }
    if (r->chunked || r->content_length > max) {
        edge_error(r, 413, "a body of known length, at most %zu bytes", max);
        return false;
    }
    if (enrols) {
        return true;
    }
    if (!edge_authenticate(r)) {
        return false;
    }
    return r->user != NULL || refuse(r, "show a device's certificate");
}

/* ---- deliveries ---- */

static bool number(struct request *r, const char *name, uint64_t min,
                   uint64_t *out)
{
    const char *text = request_header(r, name);

    if (text != NULL &&
        (!text_u64(text, out) || *out < min || *out > INT64_MAX)) {
        reply_error(r, S3_InvalidArgument, "%s is not a number from %llu on",
                    name, (unsigned long long)min);
        return false;
    }
    return true;
}

static bool is_delivery(const struct request *r)
{
    return r->user != NULL && r->user->device != 0 &&
           request_header(r, SEQUENCE) != NULL;
}

bool edge_delivery(struct request *r, struct command_more *more)
{
    uint64_t sequence = 0, floor = 0;

    if (request_header(r, SEQUENCE) == NULL &&
        request_header(r, FLOOR) == NULL) {
        return true;
    }
    if (!is_delivery(r)) {
        reply_error(r, S3_InvalidArgument,
                    request_header(r, SEQUENCE) != NULL
                        ? SEQUENCE " is for devices"
                        : FLOOR " goes with " SEQUENCE ", and is for devices");
        return false;
    }
    if (!number(r, SEQUENCE, 1, &sequence) || !number(r, FLOOR, 0, &floor)) {
        return false;
    }
    if (floor > sequence) {
        reply_error(r, S3_InvalidArgument, FLOOR " is above " SEQUENCE);
        return false;
    }
    more->device = r->user->device;
    more->sequence = sequence;
    more->floor = floor;
    return true;
}

bool edge_is_repeat(const struct request *r, int code)
{
    return code == ERR_EXISTS && is_delivery(r);
}

void edge_reply_repeated(struct request *r)
{
    reply_header(r, "x-godwit-repeated", "true");
}

bool edge_reply_refused(struct request *r, int code)
{
    if (!is_delivery(r) || (code != ERR_DENIED && code != ERR_LIMIT)) {
        return false;
    }
    if (code == ERR_LIMIT) {
        /* Not for ever: the floor rises. */
        reply_error(r, S3_SlowDown, SEQUENCE " is %llu or more above the floor",
                    (unsigned long long)META_DELIVERED_MAX);
    } else {
        reply_error(r, S3_InvalidAccessKeyId,
                    "the device is not enrolled, or was revoked");
    }
    return true;
}
