/* Certificates that renew themselves.
 *
 * When a third of the certificate's life is left, or it is not good yet (the
 * clock was set back), a server that has the CA's key makes its own anew; any
 * other asks, one each round, those that it hears until one gives it. The last
 * answer's reason is logged once an hour for as long as it does not succeed.
 * What is connected stays; new connections show the new certificate.
 *
 * A certificate that ended while the server was off can be renewed only where
 * the CA's key is, since nobody else talks to it: remove server.crt and join
 * with a token; it becomes the same server.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "cluster/cluster_internal.h"
#include "crypto/tls.h"
#include "meta/meta.h"

#define HOUR_S ((uint64_t)3600)
#define DAY_S (24 * HOUR_S)
#define HOUR_MS (HOUR_S * 1000)
#define DAY_MS (DAY_S * 1000)
#define URGENT_S (7 * DAY_S)
#define CA_WARNED_S (365 * DAY_S)
#define AGAIN_MS 10000    /* once nobody gave it */
#define PATIENCE_MS 10000 /* at a start not all are heard yet */

/* ---- the one that gives ---- */

static int give(struct cluster *c, const struct net_request *r,
                struct buf *cert, struct err *err)
{
    struct meta_server row;
    int rc;

    if (c->identity.ca_key.len == 0) {
        return err_set(err, ERR_UNSUPPORTED,
                       "this server does not have the key of the cluster's CA");
    }
    rc = meta_server_get(c->meta, r->server, &row, err);
    if (rc == ERR_NOT_FOUND) {
        return err_set(err, ERR_DENIED, "there is no server %u", r->server);
    }
    if (rc == 0 && row.state == META_SERVER_REMOVED) {
        rc = err_set(err, ERR_DENIED, "server %u was removed", r->server);
    }
    if (rc == 0) {
        rc = pki_issue(&c->identity.ca_key, &c->identity.ca_cert, r->head,
                       r->head_len, r->server, clock_real_ms() / 1000, cert,
                       err);
    }
    return rc;
}

static int give_and_tell(struct cluster *c, struct net_request *r,
                         struct buf *cert, struct err *err)
{
    int rc = give(c, r, cert, err);

    if (rc == 0) {
        log_errf(LOG_INFO, "certificate given", "to server %u", r->server);
    } else if (rc != ERR_UNSUPPORTED) { /* that is for the other end to say */
        log_errf(LOG_WARN, "certificate not given", "to server %u: %s",
                 r->server, err->text);
    }
    return rc;
}

void cluster_answer_renewal(struct cluster *c, struct net_request *r)
{
    cluster_answer_server(c, r, give_and_tell);
}

/* ---- the one that needs it ---- */

/* The heard one after the last that was asked, by id; NULL: all were. */
static struct peer *next_to_ask(struct cluster *c)
{
    struct peer *best = NULL;

    for (struct peer *p = c->peers; p != NULL; p = p->next) {
        if (p->id > c->renewal.asked && !p->removed &&
            (best == NULL || p->id < best->id) && cluster_hears(c, p->id)) {
            best = p;
        }
    }
    return best;
}

/* From @from, or from the own CA when that is NULL. */
static int obtain(struct cluster *c, const struct peer *from, struct buf *cert,
                  struct err *err)
{
    const struct identity *id = &c->identity;
    struct buf request = {0};
    int rc = pki_request_again(&id->key, &request, err);

    if (rc == 0 && from == NULL) {
        rc = pki_issue(&id->ca_key, &id->ca_cert, request.data, request.len,
                       id->server, clock_real_ms() / 1000, cert, err);
    } else if (rc == 0) {
        rc = cluster_ask(c, from->id, CLUSTER_RENEW, &request, cert, err);
    }
    buf_free(&request);
    return rc;
}

/* Save and use it. */
static int take(struct cluster *c, const struct buf *cert, struct err *err)
{
    struct pki_cert info;
    struct tls_context *tls;
    int rc = pki_cert_read(cert->data, cert->len, &info, err);

    if (rc == 0 && pki_renewal_due(info.not_before_s, info.not_after_s,
                                   clock_real_ms() / 1000)) {
        rc = err_set(err, ERR_BAD_INPUT,
                     "the new certificate is not good at the time that it is "
                     "here; is a clock wrong?");
    }
    if (rc == 0) {
        rc = identity_renew(&c->identity, cert, err);
    }
    if (rc == 0) {
        rc = identity_tls(&c->identity, &tls, err);
    }
    if (rc == 0) {
        net_renew(c->net, tls);
    }
    return rc;
}

/* ---- what is said of it ---- */

static void describe_left(uint64_t until_s, uint64_t now_s, char *out,
                          size_t size)
{
    uint64_t s = until_s > now_s ? until_s - now_s : now_s - until_s;

    snprintf(out, size, "%s %llu days and %llu hours%s",
             until_s > now_s ? "it ends in" : "it ended",
             (unsigned long long)(s / DAY_S),
             (unsigned long long)(s % DAY_S / HOUR_S),
             until_s > now_s ? "" : " ago");
}

static void complain(struct cluster *c, uint64_t now_s)
{
    struct renewal *n = &c->renewal;
    uint64_t until_s = c->identity.until_s, now_ms = clock_mono_ms();
    char left[80];

    if (now_ms - n->since_ms < PATIENCE_MS ||
        (n->told && now_ms - n->told_ms < HOUR_MS)) {
        return;
    }
    n->told = true;
    n->told_ms = now_ms;
    describe_left(until_s, now_s, left, sizeof left);
    log_errf(until_s < now_s + URGENT_S ? LOG_ERROR : LOG_WARN,
             "certificate not renewed", "%s; %s", n->why.text, left);
}

/* Once a day in its last year: no one renews it. */
static void watch_ca(struct cluster *c, uint64_t now_s)
{
    struct renewal *n = &c->renewal;
    uint64_t until_s = c->identity.ca_until_s, now_ms = clock_mono_ms();
    char left[80];

    if (now_s + CA_WARNED_S < until_s ||
        (n->ca_told && now_ms - n->ca_told_ms < DAY_MS)) {
        return;
    }
    n->ca_told = true;
    n->ca_told_ms = now_ms;
    describe_left(until_s, now_s, left, sizeof left);
    log_errf(LOG_WARN, "the cluster's CA ends",
             "%s; servers do not connect after that", left);
}

static void say_renewed(struct cluster *c, uint64_t now_s)
{
    char left[80];

    describe_left(c->identity.until_s, now_s, left, sizeof left);
    log_errf(LOG_INFO, "certificate renewed", "%s", left);
}

/* ---- a round ---- */

/* Until later nobody gives it. Who heard no one just goes on listening. */
static void give_up(struct cluster *c, uint64_t now_s)
{
    struct renewal *n = &c->renewal;

    if (n->asked != 0 || c->identity.ca_key.len > 0) {
        n->asked = 0;
        n->again_ms = clock_mono_ms() + AGAIN_MS;
    } else {
        err_set(&n->why, 0, "no other server is heard");
    }
    complain(c, now_s);
}

void cluster_renew(struct cluster *c)
{
    const struct identity *id = &c->identity;
    struct renewal *n = &c->renewal;
    uint64_t now_s = clock_real_ms() / 1000, now_ms = clock_mono_ms();
    struct peer *from = NULL;
    struct buf cert = {0};
    int rc;

    watch_ca(c, now_s);
    if (!pki_renewal_due(id->from_s, id->until_s, now_s) ||
        now_ms < n->again_ms) {
        return;
    }
    if (n->since_ms == 0) {
        n->since_ms = now_ms;
    }
    if (id->ca_key.len == 0) {
        from = next_to_ask(c);
        if (from == NULL) {
            give_up(c, now_s);
            return;
        }
        n->asked = from->id;
    }
    rc = obtain(c, from, &cert, &n->why);
    if (rc == 0) {
        rc = take(c, &cert, &n->why);
    }
    if (rc == 0) {
        bool told = n->ca_told;
        uint64_t told_ms = n->ca_told_ms;
        *n = (struct renewal){.ca_told = told, .ca_told_ms = told_ms};
        say_renewed(c, now_s);
    } else if (from == NULL) {
        give_up(c, now_s);
    }
    buf_free(&cert);
}
