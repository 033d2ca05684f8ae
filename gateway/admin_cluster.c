/* What is asked of a cluster below /-/: how it is, tokens, servers, drives. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/cluster.h"
#include "cluster/operate.h"
#include "erasure/map_list.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "meta/meta_cluster.h"

#define HOUR_S 3600
#define EXPIRES_MAX_S (365 * 24 * HOUR_S)
#define USES_MAX 1000

/* ---- status ---- */

static const char *role_name(struct meta *m, uint32_t server)
{
    struct meta_member members[META_MEMBERS_MAX];
    size_t count = meta_members(m, members);

    for (size_t i = 0; i < count; i++) {
        if (members[i].server == server) {
            return members[i].role == META_VOTER     ? "votes"
                   : members[i].role == META_STANDBY ? "stands by"
                                                     : "is let in";
        }
    }
    return "none";
}

static void roles_json(struct buf *b, uint32_t roles)
{
    const char *comma = "";

    buf_str(b, "\"roles\":\"");
    if (roles & CLUSTER_ROLE_GATEWAY) {
        buf_str(b, "gateway");
        comma = ",";
    }
    if (roles & CLUSTER_ROLE_NODE) {
        buf_printf(b, "%snode", comma);
        comma = ",";
    }
    if (roles & CLUSTER_ROLE_META) {
        buf_printf(b, "%smeta", comma);
    }
    buf_str(b, "\",");
}

static const char *server_state(const struct meta_server *s)
{
    return s->state == META_SERVER_JOINED     ? "in"
           : s->state == META_SERVER_DRAINING ? "draining"
                                              : "removed";
}

static void servers_json(struct gateway *g, struct buf *b,
                         const struct meta_registry *r)
{
    bool first = true;

    buf_str(b, "\"servers\":[");
    for (size_t i = 0; i < r->server_count; i++) {
        const struct meta_server *s = &r->servers[i];
        if (s->state == META_SERVER_REMOVED) {
            continue;
        }
        buf_str(b, first ? "{" : ",{");
        first = false;
        put_json_u64(b, "id", s->id, false);
        put_json_member(b, "name", s->name, false);
        put_json_member(b, "address", s->address, false);
        put_json_member(b, "endpoint", s->endpoint, false);
        put_json_member(b, "zone", s->zone, false);
        roles_json(b, s->roles);
        put_json_member(b, "state", server_state(s), false);
        put_json_member(b, "catalogue", role_name(g->meta, s->id), false);
        put_json_bool(b, "heard", cluster_hears(g->cluster, s->id), true);
        buf_char(b, '}');
    }
    buf_str(b, "],");
}

static const char *drive_state_text(const struct cluster_drive *d)
{
    bool draining = d->row->state == META_DRIVE_DRAINING ||
                    d->row->server_state == META_SERVER_DRAINING;

    if (!d->reached) {
        return "silent";
    }
    return !d->up ? "failed" : draining ? "draining" : "up";
}

static const char *zone_of(const struct meta_registry *r, uint32_t server)
{
    for (size_t i = 0; i < r->server_count; i++) {
        if (r->servers[i].id == server) {
            return r->servers[i].zone;
        }
    }
    return "";
}

static void drives_json(struct gateway *g, struct buf *b,
                        const struct meta_registry *r,
                        const struct map_list *maps)
{
    bool first = true;

    buf_str(b, "\"drives\":[");
    for (size_t i = 0; i < r->drive_count; i++) {
        struct cluster_drive d;
        if (r->drives[i].state == META_DRIVE_REMOVED ||
            r->drives[i].server_state == META_SERVER_REMOVED) {
            continue;
        }
        cluster_drive_look(g->cluster, r, maps, i, &d);
        buf_str(b, first ? "{" : ",{");
        first = false;
        put_json_u64(b, "id", d.row->id, false);
        put_json_u64(b, "server", d.row->server, false);
        put_json_member(b, "zone", zone_of(r, d.row->server), false);
        put_json_member(b, "state", drive_state_text(&d), false);
        put_json_member(b, "reason", d.reason, false);
        put_json_u64(b, "slots", d.slots, false);
        put_json_u64(b, "shards", d.shards, false);
        put_json_u64(b, "live_bytes", d.live_bytes, false);
        put_json_u64(b, "used_bytes", d.used_bytes, false);
        put_json_u64(b, "free_bytes", d.free_bytes, false);
        put_json_u64(b, "size_bytes", d.size_bytes, true);
        buf_char(b, '}');
    }
    buf_str(b, "],");
}

/* Time left by the pace so far; 0 when it cannot be told. */
static uint64_t eta_s(const struct cluster_progress *p)
{
    uint64_t spent = clock_mono_ms() - p->since_ms;

    return p->moves_made > 0 ? spent * p->moves_left / p->moves_made / 1000 : 0;
}

static void layout_json(struct gateway *g, struct buf *b,
                        const struct meta_registry *r,
                        const struct map_list *maps)
{
    struct cluster_layout l;
    struct cluster_progress p;

    cluster_layout_look(g->cluster, r, maps, &l);
    cluster_progress(g->cluster, &p);
    buf_str(b, "\"layout\":{");
    put_json_u64(b, "epoch", l.epoch, false);
    put_json_u64(b, "groups", l.groups, false);
    put_json_u64(b, "degraded", l.groups_degraded, false);
    put_json_u64(b, "lost", l.groups_lost, false);
    put_json_member(b, "survives", l.survives, false);
    put_json_u64(b, "moves_left", l.moves_left, false);
    put_json_u64(b, "moves_made", p.moves_made, false);
    put_json_u64(b, "moved_bytes", p.bytes, false);
    put_json_u64(b, "homeless", p.homeless, false);
    put_json_u64(b, "eta_s", eta_s(&p), true);
    buf_char(b, '}');
}

void admin_cluster_json(struct gateway *g, const struct meta_registry *r,
                        struct buf *b)
{
    struct map_list maps = {0};
    char hex[33];

    buf_str(b, "\"cluster\":{");
    put_json_member(b, "id", text_hex(g->cluster_id, sizeof g->cluster_id, hex),
                    false);
    put_json_u64(b, "server", cluster_server(g->cluster), false);
    if (r->server_count > 0) {
        cluster_layout_read(r, &maps, NULL); /* else as if there were none */
        servers_json(g, b, r);
        drives_json(g, b, r, &maps);
        layout_json(g, b, r, &maps);
        map_list_free(&maps);
    } else {
        buf_str(b, "\"servers\":[],\"drives\":[],\"layout\":{}");
    }
    buf_str(b, "},");
}

/* ---- asking for something ---- */

static void fail(struct request *r, int rc, const struct err *err)
{
    enum s3_error e = rc == ERR_NOT_FOUND      ? S3_NotFound
                      : rc == ERR_UNAVAILABLE  ? S3_ServiceUnavailable
                      : rc == ERR_BAD_INPUT    ? S3_InvalidArgument
                      : rc == ERR_PRECONDITION ? S3_PreconditionFailed
                      : rc == ERR_LIMIT        ? S3_InvalidRequest
                                               : S3_InternalError;

    r->err = *err;
    reply_error(r, e, "%s", err->text);
}

static bool in_cluster(struct request *r)
{
    if (r->gateway->cluster == NULL) {
        reply_error(r, S3_InvalidRequest,
                    "this server stands alone: start it with --cluster "
                    "ADDR:PORT to make a cluster");
        return false;
    }
    return true;
}

static void reply_done(struct request *r, int rc, const struct err *err)
{
    if (rc != 0) {
        fail(r, rc, err);
        return;
    }
    reply_json(r);
    buf_str(&r->reply_body, "{}\n");
}

static const char *param_or(const struct request *r, const char *name,
                            const char *deflt)
{
    const char *value = request_param(r, name);

    return value != NULL ? value : deflt;
}

static bool is_set(const struct request *r, const char *name)
{
    return strcmp(param_or(r, name, ""), "true") == 0;
}

/* ---- tokens ---- */

void admin_token_create(struct request *r)
{
    struct err err = {{0}};
    uint64_t seconds, uses;
    int rc;

    if (!in_cluster(r) ||
        !request_param_u64(r, "expires", HOUR_S, 1, EXPIRES_MAX_S, &seconds) ||
        !request_param_u64(r, "uses", 1, 1, USES_MAX, &uses)) {
        return;
    }
    rc = cluster_token_json(r->gateway->cluster, seconds * 1000, (uint32_t)uses,
                            param_or(r, "note", ""), &r->reply_body, &err);
    if (rc != 0) {
        fail(r, rc, &err);
    } else {
        reply_json(r);
    }
}

void admin_tokens(struct request *r)
{
    struct buf *b = &r->reply_body;
    struct meta_token *tokens = NULL;
    size_t count = 0;
    struct err err = {{0}};
    int rc;

    if (!in_cluster(r)) {
        return;
    }
    rc = meta_token_list(r->gateway->meta, &tokens, &count, &err);
    if (rc != 0) {
        fail(r, rc, &err);
        return;
    }
    reply_json(r);
    buf_str(b, "{\"tokens\":[");
    for (size_t i = 0; i < count; i++) {
        char hex[2 * META_TOKEN_HASH + 1];
        text_hex(tokens[i].hash, META_TOKEN_HASH, hex);
        hex[16] = '\0';
        buf_str(b, i > 0 ? ",{" : "{");
        put_json_member(b, "id", hex, false);
        put_json_u64(b, "created_ms", tokens[i].created_ms, false);
        put_json_u64(b, "expires_ms", tokens[i].expires_ms, false);
        put_json_u64(b, "uses", tokens[i].uses, false);
        put_json_member(b, "note", tokens[i].note, true);
        buf_char(b, '}');
    }
    buf_str(b, "]}\n");
    free(tokens);
}

void admin_token_revoke(struct request *r)
{
    struct err err = {{0}};

    if (in_cluster(r)) {
        int rc = cluster_token_revoke(r->gateway->cluster,
                                      param_or(r, "id", ""), &err);
        reply_done(r, rc, &err);
    }
}

/* ---- servers and drives ---- */

static int unknown_action(const char *action, struct err *err)
{
    return err_set(err, ERR_BAD_INPUT,
                   "action: \"%s\" is not drain, resume or remove", action);
}

void admin_server(struct request *r)
{
    const char *action = param_or(r, "action", "");
    struct cluster *c = r->gateway->cluster;
    struct err err = {{0}};
    uint32_t server = 0;
    int rc;

    if (!in_cluster(r)) {
        return;
    }
    rc = cluster_find_server(c, param_or(r, "server", ""), &server, &err);
    if (rc == 0 && strcmp(action, "drain") == 0) {
        rc = cluster_drain_server(c, server, true, &err);
    } else if (rc == 0 && strcmp(action, "resume") == 0) {
        rc = cluster_drain_server(c, server, false, &err);
    } else if (rc == 0 && strcmp(action, "remove") == 0) {
        rc = cluster_remove_server(c, server, is_set(r, "force"), &err);
    } else if (rc == 0) {
        rc = unknown_action(action, &err);
    }
    reply_done(r, rc, &err);
}

void admin_rebalance(struct request *r)
{
    struct err err = {{0}};

    if (in_cluster(r)) {
        int rc = cluster_rebalance(r->gateway->cluster, &err);
        reply_done(r, rc, &err);
    }
}

void admin_drive(struct request *r)
{
    const char *action = param_or(r, "action", "");
    struct cluster *c = r->gateway->cluster;
    struct err err = {{0}};
    uint64_t id;
    int rc = 0;

    if (!in_cluster(r) ||
        !request_param_u64(r, "drive", UINT16_MAX, 0, UINT16_MAX, &id)) {
        return;
    }
    if (strcmp(action, "drain") == 0) {
        rc = cluster_drain_drive(c, (uint16_t)id, true, &err);
    } else if (strcmp(action, "resume") == 0) {
        rc = cluster_drain_drive(c, (uint16_t)id, false, &err);
    } else if (strcmp(action, "remove") == 0) {
        rc = cluster_remove_drive(c, (uint16_t)id, is_set(r, "force"), &err);
    } else {
        rc = unknown_action(action, &err);
    }
    reply_done(r, rc, &err);
}
