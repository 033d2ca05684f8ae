#include "cluster/operate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cluster/cluster_internal.h"
#include "cluster/plan_drives.h"
#include "erasure/map_list.h"
#include "erasure/map_plan.h"
#include "meta/meta.h"
#include "node/peers.h"

#define REPLAN_TIMEOUT_MS 5000
#define ADD_TRIES 20 /* the mover writes layouts, too */

/* ---- commands ---- */

static int propose(struct cluster *c, struct buf *command, struct err *err)
{
    struct meta_proposal p = {0};

    return cluster_propose(c, command, &p, err);
}

int cluster_find_server(struct cluster *c, const char *text, uint32_t *out,
                        struct err *err)
{
    struct meta_server *servers = NULL;
    size_t count = 0;
    uint64_t id = 0;
    int rc = meta_servers(c->meta, &servers, &count, err);

    if (rc != 0) {
        return rc;
    }
    *out = 0;
    if (!text_u64(text, &id)) {
        id = 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (servers[i].id == id || strcmp(servers[i].name, text) == 0) {
            *out = servers[i].id;
        }
    }
    free(servers);
    return *out != 0
               ? 0
               : err_set(err, ERR_NOT_FOUND, "there is no server \"%s\"", text);
}

int cluster_drain_server(struct cluster *c, uint32_t server, bool on,
                         struct err *err)
{
    struct buf command = {0};

    command_server_state(&command, server,
                         on ? META_SERVER_DRAINING : META_SERVER_JOINED);
    return propose(c, &command, err);
}

int cluster_drain_drive(struct cluster *c, uint16_t drive, bool on,
                        struct err *err)
{
    struct buf command = {0};

    command_drive_state(&command, drive,
                        on ? META_DRIVE_DRAINING : META_DRIVE_UP, 0, false);
    return propose(c, &command, err);
}

/* ---- removing ---- */

static const struct meta_drive *find_drive(const struct meta_registry *r,
                                           uint16_t drive)
{
    for (size_t i = 0; i < r->drive_count; i++) {
        if (r->drives[i].id == drive) {
            return &r->drives[i];
        }
    }
    return NULL;
}

static uint32_t slots_on(const struct map_list *maps, uint16_t drive)
{
    uint32_t slots = 0;

    for (unsigned p = 0; p < maps->count; p++) {
        const struct placement_map *map = &maps->maps[p];
        for (uint32_t i = 0; i < map->count; i++) {
            for (unsigned n = 0; n < map_slots(map); n++) {
                slots += map->groups[i].slots[n] == drive;
            }
        }
    }
    return slots;
}

int cluster_layout_read(const struct meta_registry *r, struct map_list *maps,
                        struct err *err)
{
    return r->epoch == 0
               ? 0
               : map_list_decode(r->layout.data, r->layout.len, maps, err);
}

/* Nothing may be on it; what is unreachable cannot be known to be empty. */
static int check_empty(struct cluster *c, const struct map_list *maps,
                       uint16_t drive, struct err *err)
{
    struct shard_store_stats s = {0};
    uint32_t slots = slots_on(maps, drive);

    if (slots > 0) {
        return err_set(err, ERR_PRECONDITION,
                       "drive %u still has %u slots of the layout; drain it "
                       "first, or use --force if it is lost",
                       (unsigned)drive, slots);
    }
    if (c->drive_peers != NULL &&
        (!peers_stats(c->drive_peers, drive, &s) || s.state == DRIVE_FAILED)) {
        return err_set(err, ERR_PRECONDITION,
                       "drive %u does not answer, so it may still have shards "
                       "that are wanted; use --force if it is lost",
                       (unsigned)drive);
    }
    if (s.shards > 0) {
        return err_set(err, ERR_PRECONDITION,
                       "drive %u still hands on %llu shards; try again in a "
                       "minute",
                       (unsigned)drive, (unsigned long long)s.shards);
    }
    return 0;
}

/* With the drives of @server (0: none) and @drive (-1: none) gone, can every
 * group still be read? */
static int check_loss(struct cluster *c, const struct meta_registry *r,
                      const struct map_list *maps, uint32_t server, int drive,
                      struct err *err)
{
    struct plan_drives now = {0};
    struct map_survival s;

    if (maps->count == 0) {
        return 0;
    }
    plan_drives_look(&now, r, c->drive_peers, 0, clock_mono_ms());
    for (size_t i = 0; i < now.count; i++) {
        const struct meta_drive *d = find_drive(r, now.list[i].id);
        if (d->server == server || d->id == drive) {
            now.list[i].state = MAP_DRIVE_GONE;
        }
    }
    s = map_list_survives(maps, now.list, now.count);
    plan_drives_free(&now);
    return s.groups_lost == 0
               ? 0
               : err_set(err, ERR_PRECONDITION,
                         "without it %u of %u placement groups could not be "
                         "read any more: bring other servers or drives back "
                         "first",
                         s.groups_lost, map_list_groups(maps));
}

/* --force is for what is gone: data of a server that is well would be thrown
 * away by a slip of the hand. */
static int check_gone(struct cluster *c, const struct meta_registry *r,
                      uint32_t server, int drive, struct err *err)
{
    struct shard_store_stats s = {0};

    for (size_t i = 0; i < r->server_count; i++) {
        if (r->servers[i].id == server &&
            r->servers[i].state == META_SERVER_DRAINING) {
            return 0;
        }
    }
    if (!cluster_hears(c, server)) {
        return 0;
    }
    if (drive < 0) {
        return err_set(err, ERR_PRECONDITION,
                       "server %u is heard and well: drain it first, or stop "
                       "it and try again in some seconds",
                       server);
    }
    if (find_drive(r, (uint16_t)drive)->state == META_DRIVE_DRAINING ||
        c->drive_peers == NULL ||
        !peers_stats(c->drive_peers, (uint16_t)drive, &s) ||
        s.state == DRIVE_FAILED) {
        return 0;
    }
    return err_set(err, ERR_PRECONDITION,
                   "drive %d is well and its server %u is heard: drain it "
                   "first, or take the drive out",
                   drive, server);
}

static int remove_drive(struct cluster *c, const struct meta_registry *r,
                        const struct map_list *maps, uint16_t drive, bool force,
                        struct err *err)
{
    struct buf command = {0};
    int rc = force ? check_loss(c, r, maps, 0, drive, err)
                   : check_empty(c, maps, drive, err);

    if (rc != 0) {
        return rc;
    }
    command_drive_state(&command, drive, META_DRIVE_REMOVED, r->epoch, force);
    return propose(c, &command, err);
}

int cluster_remove_drive(struct cluster *c, uint16_t drive, bool force,
                         struct err *err)
{
    struct meta_registry r = {0};
    struct map_list maps = {0};
    int rc = meta_registry_get(c->meta, &r, err);

    if (rc == 0) {
        rc = cluster_layout_read(&r, &maps, err);
    }
    if (rc == 0 && find_drive(&r, drive) == NULL) {
        rc = err_set(err, ERR_NOT_FOUND, "there is no drive %u",
                     (unsigned)drive);
    }
    if (rc == 0 && force) {
        rc = check_gone(c, &r, find_drive(&r, drive)->server, drive, err);
    }
    if (rc == 0) {
        rc = remove_drive(c, &r, &maps, drive, force, err);
    }
    map_list_free(&maps);
    meta_registry_free(&r);
    return rc;
}

int cluster_remove_server(struct cluster *c, uint32_t server, bool force,
                          struct err *err)
{
    struct meta_registry r = {0};
    struct map_list maps = {0};
    struct buf command = {0};
    int rc = meta_registry_get(c->meta, &r, err);

    if (rc == 0) {
        rc = cluster_layout_read(&r, &maps, err);
    }
    if (rc == 0 && force) {
        rc = check_gone(c, &r, server, -1, err);
    }
    if (rc == 0 && force) {
        rc = check_loss(c, &r, &maps, server, -1, err);
    }
    for (size_t i = 0; i < r.drive_count && rc == 0 && !force; i++) {
        const struct meta_drive *d = &r.drives[i];
        if (d->server == server && d->state != META_DRIVE_REMOVED) {
            rc = remove_drive(c, &r, &maps, d->id, false, err);
        }
    }
    if (rc == 0) {
        command_server_remove(&command, server, force);
        rc = propose(c, &command, err);
    }
    map_list_free(&maps);
    meta_registry_free(&r);
    return rc;
}

int cluster_rebalance(struct cluster *c, struct err *err)
{
    struct net_call call = {.service = NET_CLUSTER,
                            .type = CLUSTER_REPLAN,
                            .timeout_ms = REPLAN_TIMEOUT_MS};
    struct meta_stats stats;
    int rc = 0;

    if (cluster_replan(c)) {
        return 0;
    }
    meta_stats(c->meta, &stats);
    if (stats.leader_server == 0 || stats.leader_server == c->identity.server) {
        return err_set(err, ERR_UNAVAILABLE, "nobody leads the catalogue now");
    }
    rc = net_call_wait(c->net, stats.leader_server, &call);
    buf_free(&call.reply_head);
    buf_free(&call.reply_body);
    return rc == 0 ? 0
                   : err_set(err, ERR_UNAVAILABLE, "server %u: %s",
                             stats.leader_server, call.err.text);
}

int cluster_token_revoke(struct cluster *c, const char *id, struct err *err)
{
    struct meta_token *tokens = NULL;
    struct buf command = {0};
    char hex[2 * META_TOKEN_HASH + 1];
    size_t count = 0, found = 0, len = strlen(id);
    int rc = meta_token_list(c->meta, &tokens, &count, err);

    for (size_t i = 0; i < count && rc == 0; i++) {
        text_hex(tokens[i].hash, META_TOKEN_HASH, hex);
        if (len >= 8 && strncmp(hex, id, len) == 0 && found++ == 0) {
            command_token_revoke(&command, tokens[i].hash);
        }
    }
    free(tokens);
    if (rc == 0 && found != 1) {
        buf_free(&command);
        rc = err_set(err, ERR_NOT_FOUND, "%s token has the id \"%s\"",
                     found == 0 ? "no" : "more than one", id);
    }
    return rc == 0 ? propose(c, &command, err) : rc;
}

/* ---- policies ---- */

/* As ERR_PRECONDITION when the layout or the drives changed meanwhile. */
static int add_policy_once(struct cluster *c, struct ec_policy policy,
                           bool *raced, struct err *err)
{
    struct buf layout = {0}, command = {0};
    struct plan_drives now = {0};
    struct meta_registry r = {0};
    struct map_list maps = {0};
    int rc = meta_registry_get(c->meta, &r, err);

    *raced = false;
    if (rc == 0) {
        rc = cluster_layout_read(&r, &maps, err);
    }
    if (rc == 0 && maps.count == 0) {
        rc = err_set(err, ERR_UNAVAILABLE, "there is no layout yet");
    }
    if (rc == 0 && map_list_find(&maps, policy) < 0) {
        plan_drives_look(&now, &r, c->drive_peers, c->repair_after_ms,
                         clock_mono_ms());
        rc = map_list_add(&maps, policy, now.list, now.count, err);
        if (rc == 0) {
            map_list_encode(&maps, &layout);
            command_layout_change(&command, r.epoch + 1, r.cluster.revision,
                                  layout.data, layout.len);
            rc = propose(c, &command, err);
            *raced = rc == ERR_PRECONDITION;
        }
    }
    plan_drives_free(&now);
    buf_free(&layout);
    map_list_free(&maps);
    meta_registry_free(&r);
    return rc;
}

int cluster_add_policy(struct cluster *c, struct ec_policy policy,
                       struct err *err)
{
    bool raced = true;
    int rc = 0;

    for (int i = 0; i < ADD_TRIES && raced; i++) {
        rc = add_policy_once(c, policy, &raced, err);
    }
    return rc;
}

/* ---- looking ---- */

void cluster_drive_look(struct cluster *c, const struct meta_registry *r,
                        const struct map_list *maps, size_t i,
                        struct cluster_drive *out)
{
    struct shard_store_stats s = {0};

    *out = (struct cluster_drive){.row = &r->drives[i],
                                  .slots = slots_on(maps, r->drives[i].id)};
    if (c->drive_peers == NULL ||
        !peers_stats(c->drive_peers, out->row->id, &s)) {
        snprintf(out->reason, sizeof out->reason, "not known here");
        return;
    }
    out->reached =
        peers_state(c->drive_peers, out->row->id) != PEER_UNREACHABLE;
    out->up = s.state == DRIVE_UP;
    snprintf(out->reason, sizeof out->reason, "%.150s",
             out->up ? "" : s.reason);
    out->shards = s.shards;
    out->live_bytes = s.live_bytes;
    out->used_bytes = s.used_bytes;
    out->free_bytes = s.free_bytes;
    out->size_bytes = s.size_bytes;
}

void cluster_layout_look(struct cluster *c, const struct meta_registry *r,
                         const struct map_list *maps,
                         struct cluster_layout *out)
{
    struct plan_drives now = {0};
    struct map_survival s;

    *out = (struct cluster_layout){.groups = map_list_groups(maps)};
    if (maps->count == 0) {
        return;
    }
    out->epoch = r->epoch;
    /* What does not answer now counts as lost at once. */
    plan_drives_look(&now, r, c->drive_peers, 0, clock_mono_ms());
    s = map_list_survives(maps, now.list, now.count);
    map_survives_text(&s, out->survives);
    out->groups_degraded = s.groups_degraded;
    out->groups_lost = s.groups_lost;
    plan_drives_look(&now, r, c->drive_peers, UINT64_MAX, clock_mono_ms());
    for (unsigned i = 0; i < maps->count; i++) {
        struct map_plan plan = {0};
        if (map_plan(&maps->maps[i], now.list, now.count, &plan, NULL) == 0) {
            out->moves_left += plan.count;
        }
        map_plan_free(&plan);
    }
    plan_drives_free(&now);
}
