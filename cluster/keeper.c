/* The keeper: a thread that keeps true here what the catalogue says of the
 * servers, hears who lives, and, where the catalogue is led, sees to who votes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/latch.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wire.h"
#include "cluster/cluster_internal.h"
#include "cluster/members.h"
#include "meta/meta.h"

#define ROUND_MS 500
#define FOUNDING_MS 20 /* between looks while there is no cluster yet */
#define PING_TYPE 1
#define PING_TIMEOUT_MS 2000
#define CLOCK_EVERY_MS 15000
#define HEARD_MS 5000 /* a server that answered within is heard */

/* ---- pings ----
 * A ping says where the server is that sends it. The catalogue learns of a new
 * address only from that server, and it can tell it no one who does not yet
 * know where to answer. */

static void on_ping(struct cluster *c, struct net_request *r)
{
    struct wire_reader in;
    uint8_t clock[sizeof(uint64_t)];
    char *address;
    int rc = 0;

    wire_init(&in, r->head, r->head_len);
    address = get_text(&in, META_ADDRESS_MAX);
    if (address == NULL || !wire_done(&in)) {
        rc = ERR_BAD_INPUT;
    } else {
        net_peer(c->net, r->server, address);
    }
    free(address);
    store_u64(clock, clock_vouch_ms());
    net_reply(c->net, r, rc, err_text(rc), clock, sizeof clock, NULL, 0, NULL,
              NULL);
}

static void on_request(void *arg, struct net_request *r)
{
    struct cluster *c = arg;

    if (r->type == PING_TYPE) {
        on_ping(c, r);
    } else if (r->type == CLUSTER_REPLAN) {
        int rc = cluster_replan(c) ? 0 : ERR_UNAVAILABLE;
        net_reply(c->net, r, rc, "not the leader", NULL, 0, NULL, 0, NULL,
                  NULL);
    } else if (r->type == CLUSTER_RENEW) {
        cluster_answer_renewal(c, r);
    } else if (r->type == CLUSTER_FLIGHT) {
        cluster_answer_flight(c, r);
    } else if (r->type == CLUSTER_ISSUE) {
        cluster_answer_issue(c, r);
    } else {
        net_reply(c->net, r, ERR_UNSUPPORTED, "no such request", NULL, 0, NULL,
                  0, NULL, NULL);
    }
}

void cluster_serve_pings(struct cluster *c)
{
    put_text(&c->ping, cluster_address(c));
    net_serve(c->net, NET_CLUSTER, on_request, c);
}

void cluster_wake(struct cluster *c)
{
    pthread_mutex_lock(&c->mutex);
    c->woken = true;
    pthread_cond_signal(&c->cond);
    pthread_mutex_unlock(&c->mutex);
}

/* What it keeps would grow old unseen: it says so, once, and serves no more. A
 * restored catalogue may have it again. */
static void set_removed(struct cluster *c, bool removed)
{
    if (atomic_exchange(&c->removed, removed) == removed) {
        return;
    }
    if (removed) {
        log_line(LOG_ERROR, "this server was removed from the cluster", "err",
                 "it serves nothing any more: stop it, and start it as a new "
                 "one, with an empty folder and a token",
                 NULL);
    } else {
        log_line(LOG_INFO, "this server is of the cluster again", NULL);
    }
}

bool cluster_removed(const struct cluster *c)
{
    return c != NULL && atomic_load(&c->removed);
}

static void on_pong(struct net_call *call)
{
    struct peer *p = LIST_OF(call, struct peer, ping);
    struct cluster *c = p->cluster;

    if (call->status == ERR_DENIED && !p->removed) {
        set_removed(c, true);
    } else if (call->status == 0) {
        set_removed(c, atomic_load(&c->row_removed));
        uint64_t now = clock_mono_ms();
        uint64_t before = atomic_exchange(&p->heard_ms, now);
        if (call->reply_head.len == sizeof(uint64_t)) {
            atomic_store(&p->clock_ms, load_u64(call->reply_head.data));
        }
        if (before == 0 || now - before >= HEARD_MS) {
            cluster_wake(c);
        }
    }
    buf_free(&call->reply_head);
    buf_free(&call->reply_body);
    atomic_store(&p->asked, false);
}

static void ping_all(struct cluster *c)
{
    c->pinged_ms = clock_mono_ms();
    for (struct peer *p = c->peers; p != NULL; p = p->next) {
        if (p->removed || atomic_exchange(&p->asked, true)) {
            continue;
        }
        p->ping = (struct net_call){.service = NET_CLUSTER,
                                    .type = PING_TYPE,
                                    .head = c->ping.data,
                                    .head_len = c->ping.len,
                                    .timeout_ms = PING_TIMEOUT_MS,
                                    .done = on_pong};
        net_call(c->net, p->id, &p->ping);
    }
}

/* ---- the registry ---- */

static struct peer *peer_of(struct cluster *c, uint32_t id)
{
    struct peer *p = c->peers;

    while (p != NULL && p->id != id) {
        p = p->next;
    }
    if (p == NULL) {
        p = mem_alloc(sizeof *p);
        p->cluster = c;
        p->id = id;
        p->next = c->peers;
        pthread_mutex_lock(&c->mutex);
        c->peers = p;
        pthread_mutex_unlock(&c->mutex);
    }
    return p;
}

static bool is_heard(const struct peer *p, uint64_t now)
{
    uint64_t heard = atomic_load(&p->heard_ms);

    return heard > 0 && now - heard < HEARD_MS;
}

bool cluster_hears(struct cluster *c, uint32_t server)
{
    bool heard = server == c->identity.server;

    pthread_mutex_lock(&c->mutex);
    for (const struct peer *p = c->peers; p != NULL && !heard; p = p->next) {
        heard = p->id == server && is_heard(p, clock_mono_ms());
    }
    pthread_mutex_unlock(&c->mutex);
    return heard;
}

void cluster_count(struct cluster *c, size_t *servers, size_t *silent)
{
    uint64_t now = clock_mono_ms();

    *servers = 0;
    *silent = 0;
    pthread_mutex_lock(&c->mutex);
    for (const struct peer *p = c->peers; p != NULL; p = p->next) {
        *servers += !p->removed;
        *silent += !p->removed && !is_heard(p, now);
    }
    pthread_mutex_unlock(&c->mutex);
}

void cluster_free_peers(struct cluster *c)
{
    while (c->peers != NULL) {
        struct peer *p = c->peers;
        c->peers = p->next;
        CHECK(!atomic_load(&p->asked));
        free(p);
    }
}

void cluster_meet(struct cluster *c, uint32_t server, const char *address)
{
    struct peer *p = peer_of(c, server);

    if (strcmp(p->address, address) != 0) {
        snprintf(p->address, sizeof p->address, "%s", address);
        net_peer(c->net, server, address);
    }
}

static void take_server(struct cluster *c, const struct meta_server *s)
{
    struct peer *p;

    if (s->id == c->identity.server) {
        return;
    }
    p = peer_of(c, s->id);
    if (s->state != META_SERVER_REMOVED) {
        cluster_meet(c, s->id, s->address);
    } else if (!p->removed) {
        pthread_mutex_lock(&c->mutex);
        p->removed = true;
        pthread_mutex_unlock(&c->mutex);
        net_forbid(c->net, s->id);
    }
}

static void save_addresses(struct cluster *c, const struct meta_registry *r)
{
    struct join_server *list = mem_calloc(r->server_count + 1, sizeof *list);
    struct err err;
    size_t n = 0;

    for (size_t i = 0; i < r->server_count; i++) {
        if (r->servers[i].state != META_SERVER_REMOVED) {
            list[n].id = r->servers[i].id;
            list[n++].address = r->servers[i].address;
        }
    }
    if (cluster_save_servers(c, list, n, &err) != 0) {
        log_errf(LOG_WARN, "addresses of servers not saved", "%s", err.text);
    }
    free(list);
}

static bool tell(struct cluster *c, struct buf *command, enum log_level level,
                 const char *what)
{
    struct err err;
    int rc = meta_propose_wait(c->meta, command, NULL, &err);

    if (rc != 0) {
        log_errf(level, what, "%s", err.text);
    }
    buf_free(command);
    return rc == 0;
}

/* Where this server is now, if the catalogue has it otherwise. */
static void announce(struct cluster *c, const struct meta_server *own)
{
    const char *address = cluster_address(c);
    struct command_server_update u = {0};
    struct buf command = {0};

    u.address = strcmp(own->address, address) != 0 ? address : NULL;
    u.endpoint = strcmp(own->endpoint, c->endpoint) != 0 ? c->endpoint : NULL;
    if (u.address != NULL || u.endpoint != NULL) {
        command_server_update(&command, own->id, &u);
        tell(c, &command, LOG_DEBUG, "own address not told");
    }
}

void cluster_add_drive(struct cluster *c, const struct command_drive *drive)
{
    struct buf command = {0};

    command_drive_add(&command, c->identity.server, drive, clock_real_ms());
    tell(c, &command, LOG_DEBUG, "drive not added");
}

static bool found_cluster(struct cluster *c)
{
    struct command_server s;
    struct buf command = {0};
    static const uint8_t none[META_FINGERPRINT] = {1}; /* no join made it */

    cluster_describe(c, none, &s);
    command_cluster_init(&command, c->identity.cluster, &s, clock_real_ms());
    return tell(c, &command, LOG_WARN, "cluster not made");
}

/* ---- who votes ---- */

/* One step; false: there is none, or it failed. */
static bool care_for_members(struct cluster *c, const struct meta_registry *r)
{
    struct meta_member members[META_MEMBERS_MAX];
    size_t count = meta_members(c->meta, members);
    struct member_server *servers =
        mem_calloc(r->server_count + 1, sizeof *servers);
    struct member_step step;
    uint64_t now = clock_mono_ms();
    struct err err;
    int rc = ERR_NOT_FOUND;

    for (size_t i = 0; i < r->server_count; i++) {
        const struct meta_server *s = &r->servers[i];
        servers[i] =
            (struct member_server){.id = s->id,
                                   .in = s->state != META_SERVER_REMOVED,
                                   .meta = (s->roles & META_SERVER_META) != 0,
                                   .heard = s->id == c->identity.server ||
                                            is_heard(peer_of(c, s->id), now)};
    }
    step = members_next(members, count, servers, r->server_count,
                        c->identity.server, CLUSTER_VOTERS);
    if (step.server != 0) {
        const char *address = step.server == c->identity.server
                                  ? cluster_address(c)
                                  : peer_of(c, step.server)->address;
        rc = meta_member_change(c->meta, step.server, address, step.role,
                                step.remove, &err);
        log_errf(rc == 0 ? LOG_INFO : LOG_WARN, "members of the catalogue",
                 "server %u: %s%s%s", step.server,
                 step.remove                 ? "leaves"
                 : step.role == META_VOTER   ? "votes"
                 : step.role == META_STANDBY ? "stands by"
                                             : "is let in",
                 rc == 0 ? "" : ": ", rc == 0 ? "" : err.text);
    }
    free(servers);
    return rc == 0;
}

/* ---- the time ---- */

/* Where the catalogue is led: tell it what the clocks of those who keep it say
 * (COMMAND_CLOCK_VOTE). */
static void vote_on_time(struct cluster *c, const struct meta_registry *r)
{
    struct command_clock *votes =
        mem_calloc(r->server_count + 1, sizeof *votes);
    uint64_t now = clock_mono_ms();
    struct buf command = {0};
    size_t count = 0;

    for (size_t i = 0; i < r->server_count; i++) {
        const struct meta_server *s = &r->servers[i];
        bool own = s->id == c->identity.server;
        const struct peer *p = own ? NULL : peer_of(c, s->id);
        if (s->state == META_SERVER_REMOVED ||
            (s->roles & META_SERVER_META) == 0 || (!own && !is_heard(p, now))) {
            continue;
        }
        votes[count++] = (struct command_clock){
            s->id, own ? clock_vouch_ms() : atomic_load(&p->clock_ms)};
    }
    command_clock_vote(&command, votes, count);
    c->voted_ms = now;
    tell(c, &command, LOG_DEBUG, "time not told");
    free(votes);
}

static bool founding(const struct cluster *c)
{
    return c->identity.server == 1 && c->revision == 0;
}

/* True: there is more to do at once. */
static bool round_of(struct cluster *c)
{
    struct meta_registry r = {0};
    struct meta_stats stats;
    uint64_t before = c->pinged_ms;
    bool more = false;
    struct err err;
    int rc;

    /* First: all below may wait for a leader, and the leader for a ping. */
    ping_all(c);
    cluster_renew(c);
    rc = meta_registry_local(c->meta, &r, &err);
    meta_stats(c->meta, &stats);
    if (rc == ERR_NOT_FOUND && founding(c) && stats.leader) {
        more = found_cluster(c);
        c->tried = true;
    }
    if (rc == 0) {
        for (size_t i = 0; i < r.server_count; i++) {
            take_server(c, &r.servers[i]);
            if (r.servers[i].id == c->identity.server &&
                r.servers[i].state == META_SERVER_REMOVED) {
                atomic_store(&c->row_removed, true);
                set_removed(c, true);
            } else if (r.servers[i].id == c->identity.server &&
                       stats.leader_server != 0) {
                announce(c, &r.servers[i]);
                cluster_name_drives(c, &r);
            }
        }
        cluster_follow(c, &r);
        if (r.cluster.revision != c->revision) {
            c->revision = r.cluster.revision;
            save_addresses(c, &r);
        }
        /* Who was not asked for long could not be heard. */
        if (stats.leader && c->pinged_ms - before < HEARD_MS / 2) {
            more = care_for_members(c, &r);
            if (clock_mono_ms() - c->voted_ms >= CLOCK_EVERY_MS) {
                vote_on_time(c, &r);
            }
        }
    }
    meta_registry_free(&r);
    return more;
}

void *cluster_keeper_main(void *arg)
{
    struct cluster *c = arg;

    pthread_setname_np(pthread_self(), "cluster");
    pthread_mutex_lock(&c->mutex);
    while (!c->stopping) {
        bool more;
        pthread_mutex_unlock(&c->mutex);
        more = round_of(c);
        pthread_mutex_lock(&c->mutex);
        if (!more && !c->stopping && !c->woken) {
            latch_cond_wait(&c->cond, &c->mutex,
                            founding(c) && !c->tried ? FOUNDING_MS : ROUND_MS);
        }
        c->woken = false;
    }
    pthread_mutex_unlock(&c->mutex);
    return NULL;
}
