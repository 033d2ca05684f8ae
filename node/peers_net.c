#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/latch.h"
#include "base/list.h"
#include "base/mem.h"
#include "node/peers_private.h"
#include "node/shard_wire.h"

static const struct shard_store_stats *stats_of(
    const struct shard_store_stats *all, size_t count, uint16_t drive)
{
    for (size_t i = 0; i < count; i++) {
        if (all[i].drive == drive) {
            return &all[i];
        }
    }
    return NULL;
}

/* Lock held: what a server's answer, or that none came, tells of its drives.
 * What it said before stays known while it does not answer. */
static void apply_stats(struct peers *p, const struct peer_server *v,
                        int status, const char *why,
                        const struct shard_store_stats *all, size_t count)
{
    for (size_t i = 0; i < p->count; i++) {
        struct peer *d = p->list[i];
        const struct shard_store_stats *s = stats_of(all, count, d->drive);
        if (d->store != NULL || atomic_load(&d->server) != v) {
            continue;
        }
        if (status != 0) {
            peers_set_failed(&d->stats, d->drive, why);
            atomic_store(&d->state, PEER_UNREACHABLE);
        } else if (s == NULL) {
            peers_set_failed(&d->stats, d->drive,
                             "its server does not have it");
            atomic_store(&d->state, PEER_FAILED);
        } else {
            d->stats = *s;
            atomic_store(&d->state, (int)s->state);
        }
        atomic_store(&d->lost, status != 0);
    }
}

/* Much is on its way to the server and back: the question waits behind it. */
static bool tells_nothing(struct peer_server *v, int status)
{
    return status == ERR_BUSY ||
           (status == ERR_TIMEOUT &&
            clock_mono_ms() - atomic_load(&v->answered_ms) < v->peers->lost_ms);
}

static void on_stats(struct net_call *c)
{
    struct peer_server *v = LIST_OF(c, struct peer_server, call);
    struct peers *p = v->peers;
    struct shard_store_stats *all = NULL;
    size_t count = 0;
    int status = c->status;

    if (status == 0) {
        status = shard_stats_decode(c->reply_head.data, c->reply_head.len, &all,
                                    &count, &c->err);
    }
    buf_free(&c->reply_head);
    buf_free(&c->reply_body);
    pthread_mutex_lock(&p->mutex);
    if (!tells_nothing(v, status)) {
        apply_stats(p, v, status, c->err.text, all, count);
    }
    v->asking = false;
    p->asking--;
    pthread_cond_broadcast(&p->cond);
    pthread_mutex_unlock(&p->mutex);
    free(all);
}

/* Lock held. */
static bool has_drives(struct peers *p, const struct peer_server *v)
{
    for (size_t i = 0; i < p->count; i++) {
        if (atomic_load(&p->list[i]->server) == v) {
            return true;
        }
    }
    return false;
}

/* Lock held, let go to ask. */
static void ask_servers(struct peers *p, struct net *net)
{
    for (size_t i = 0; i < p->server_count && !p->stopping; i++) {
        struct peer_server *v = p->servers[i];
        if (v->asking || !has_drives(p, v)) {
            continue;
        }
        memset(&v->call, 0, sizeof v->call);
        shard_client_ask_stats(&v->call, v->head);
        v->call.timeout_ms = p->lost_ms;
        v->call.done = on_stats;
        v->asking = true;
        p->asking++;
        pthread_mutex_unlock(&p->mutex);
        net_call(net, v->id, &v->call);
        pthread_mutex_lock(&p->mutex);
    }
}

static void *refresh_main(void *arg)
{
    struct peers *p = arg;
    struct net *net = atomic_load(&p->net);

    pthread_mutex_lock(&p->mutex);
    while (!p->stopping) {
        bool due = false;
        p->changed = false;
        ask_servers(p, net);
        while (!p->stopping && !p->changed && !due) {
            due = !latch_cond_wait(&p->cond, &p->mutex, p->refresh_ms);
        }
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

static const struct peers_remote remote = {
    .put = shard_client_put,
    .get = shard_client_get,
    .del = shard_client_delete,
    .info = shard_client_info,
    .list = shard_client_list,
};

void peers_use_net(struct peers *p, struct net *n,
                   const struct peers_net_options *options)
{
    CHECK(n != NULL);
    CHECK(atomic_load(&p->net) == NULL);
    p->remote = &remote;
    p->timeout_ms =
        options->timeout_ms != 0 ? options->timeout_ms : PEERS_TIMEOUT_MS;
    p->refresh_ms =
        options->refresh_ms != 0 ? options->refresh_ms : PEERS_REFRESH_MS;
    p->lost_ms = options->lost_ms != 0 ? options->lost_ms : PEERS_LOST_MS;
    pthread_mutex_lock(&p->mutex);
    p->started = true;
    pthread_mutex_unlock(&p->mutex);
    atomic_store(&p->net, n);
    CHECK(pthread_create(&p->thread, NULL, refresh_main, p) == 0);
    pthread_setname_np(p->thread, "peers");
}
