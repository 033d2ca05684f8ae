/* Certificates for https ports and for devices, and signatures of devices'
 * policies, which any server may need and
 * only one with the CA's key can make: the others ask, in turn, those that they
 * hear.
 *
 *     u8 kind, u64 device, blob request, u32 count, count times text name
 *
 * The answer is the certificate; of a policy, whose bytes are the request, the
 * signature. A server is believed which device it is for:
 * it has looked in the catalogue.
 */
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wire.h"
#include "cluster/cluster_internal.h"

#define KIND_HTTPS 1
#define KIND_DEVICE 2
#define KIND_POLICY 3
#define NAME_MAX_BYTES 255

struct wanted {
    uint8_t kind;
    uint64_t device;
    const void *request;
    size_t request_len;
    const char *const *names;
    size_t count;
};

static int issue_here(const struct cluster *c, const struct wanted *w,
                      struct buf *cert, struct err *err)
{
    const struct identity *id = &c->identity;
    uint64_t now_s = clock_real_ms() / 1000;

    if (id->ca_key.len == 0) {
        return err_set(err, ERR_UNSUPPORTED,
                       "this server does not have the key of the cluster's CA");
    }
    if (w->kind == KIND_POLICY) {
        return pki_sign_policy(&id->ca_key, w->request, w->request_len, cert,
                               err);
    }
    return w->kind == KIND_DEVICE
               ? pki_issue_device(&id->ca_key, &id->ca_cert, w->request,
                                  w->request_len, w->device, now_s, cert, err)
               : pki_issue_https(&id->ca_key, &id->ca_cert, w->request,
                                 w->request_len, w->names, w->count, now_s,
                                 cert, err);
}

/* ---- the one that gives ---- */

static int give(struct cluster *c, struct net_request *r, struct buf *cert,
                struct err *err)
{
    char *names[PKI_NAMES_MAX] = {0};
    struct wanted w = {0};
    struct wire_reader in;
    int rc;

    wire_init(&in, r->head, r->head_len);
    w.kind = get_u8(&in);
    w.device = get_u64(&in);
    w.request = get_blob(&in, PKI_PEM_MAX, &w.request_len);
    w.count = get_u32(&in);
    if (w.count > PKI_NAMES_MAX) {
        wire_fail(&in);
    }
    for (size_t i = 0; wire_ok(&in) && i < w.count; i++) {
        names[i] = get_text(&in, NAME_MAX_BYTES);
        if (names[i] == NULL) {
            wire_fail(&in);
        }
    }
    w.names = (const char *const *)names;
    if (!wire_done(&in) || w.kind < KIND_HTTPS || w.kind > KIND_POLICY ||
        (w.kind == KIND_DEVICE) != (w.device != 0)) {
        rc = err_set(err, ERR_BAD_INPUT, "not a request of this version");
    } else {
        rc = issue_here(c, &w, cert, err);
    }
    for (size_t i = 0; i < PKI_NAMES_MAX; i++) {
        free(names[i]);
    }
    if (rc != 0 && rc != ERR_UNSUPPORTED) {
        log_errf(LOG_WARN, "certificate not given", "to server %u: %s",
                 r->server, err->text);
    }
    return rc;
}

void cluster_answer_issue(struct cluster *c, struct net_request *r)
{
    cluster_answer_server(c, r, give);
}

/* ---- the one that needs it ---- */

static int ask_others(struct cluster *c, const struct buf *question,
                      struct buf *cert, struct err *err)
{
    struct meta_registry r = {0};
    int rc = meta_registry_get(c->meta, &r, err);

    if (rc == 0) {
        rc = err_set(err, ERR_UNAVAILABLE,
                     "no server with the key of the cluster's CA is heard");
    }
    for (size_t i = 0; i < r.server_count && rc != 0; i++) {
        uint32_t id = r.servers[i].id;
        if (r.servers[i].state != META_SERVER_REMOVED &&
            id != c->identity.server && cluster_hears(c, id)) {
            rc = cluster_ask(c, id, CLUSTER_ISSUE, question, cert, err);
        }
    }
    meta_registry_free(&r);
    return rc;
}

static int issue(struct cluster *c, const struct wanted *w, struct buf *cert,
                 struct err *err)
{
    struct buf question = {0};
    int rc;

    if (c->identity.ca_key.len > 0) {
        return issue_here(c, w, cert, err);
    }
    put_u8(&question, w->kind);
    put_u64(&question, w->device);
    put_blob(&question, w->request, w->request_len);
    put_u32(&question, (uint32_t)w->count);
    for (size_t i = 0; i < w->count; i++) {
        put_text(&question, w->names[i]);
    }
    rc = ask_others(c, &question, cert, err);
    buf_free(&question);
    return rc;
}

int cluster_issue_https(struct cluster *c, const struct buf *request,
                        const char *const *names, size_t count,
                        struct buf *cert, struct err *err)
{
    struct wanted w = {.kind = KIND_HTTPS,
                       .request = request->data,
                       .request_len = request->len,
                       .names = names,
                       .count = count};

    return issue(c, &w, cert, err);
}

int cluster_issue_device(struct cluster *c, const void *request,
                         size_t request_len, uint64_t number, struct buf *cert,
                         struct err *err)
{
    struct wanted w = {.kind = KIND_DEVICE,
                       .device = number,
                       .request = request,
                       .request_len = request_len};

    return issue(c, &w, cert, err);
}

int cluster_sign_policy(struct cluster *c, const void *p, size_t len,
                        struct buf *signature, struct err *err)
{
    struct wanted w = {.kind = KIND_POLICY, .request = p, .request_len = len};

    return issue(c, &w, signature, err);
}
