/* The gateway's own paths: /-/live, /-/ready, /-/metrics and /-/status.
 * live and ready are for load balancers, metrics for Prometheus; none of the
 * three shows names or keys, so they need no signature. status does.
 */
#include "base/clock.h"
#include "base/json.h"
#include "base/metrics.h"
#include "base/pool.h"
#include "cluster/cluster.h"
#include "erasure/geometry.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "meta/meta_cluster.h"
#include "object/drives.h"
#include "object/object_store.h"

bool admin_is_ready(struct request *r)
{
    bool ready = atomic_load(&r->gateway->ready);

    if (!ready) {
        reply_error(r, S3_ServiceUnavailable, "the server is starting");
    }
    return ready;
}

bool admin_propose(struct request *r, const char *what)
{
    struct err err = {{0}};
    int rc = request_propose_wait(r, NULL, &err);

    buf_clear(&r->command);
    switch (rc) {
        case 0:
            return true;
        case ERR_EXISTS:
            reply_error(r, S3_PreconditionFailed, "%s: is there already", what);
            break;
        case ERR_NOT_FOUND:
            reply_error(r, S3_NotFound, "%s: there is none", what);
            break;
        case ERR_PRECONDITION:
            reply_error(r, S3_PreconditionFailed, "%s: still owns buckets",
                        what);
            break;
        default:
            reply_err(r, rc, &err);
    }
    return false;
}

void admin_live(struct request *r)
{
    reply(r, 200);
    reply_header(r, "Content-Type", "text/plain");
    buf_str(&r->reply_body, "live\n");
    request_done(r);
}

void admin_ready(struct request *r)
{
    bool removed = cluster_removed(r->gateway->cluster);
    bool ready = atomic_load(&r->gateway->ready) && !removed;

    reply(r, ready ? 200 : 503);
    reply_header(r, "Content-Type", "text/plain");
    buf_str(&r->reply_body, ready     ? "ready\n"
                            : removed ? "removed from the cluster\n"
                                      : "starting or stopping\n");
    request_done(r);
}

void admin_metrics(struct request *r)
{
    reply(r, 200);
    reply_header(r, "Content-Type", "text/plain; version=0.0.4");
    metrics_print(&r->reply_body);
}

/* ---- status ---- */

static const char *state_name(enum drive_state s)
{
    return s == DRIVE_UP ? "up" : s == DRIVE_FULL ? "full" : "failed";
}

/* Has the cluster let go of it? */
static bool is_removed(const struct meta_registry *r, uint16_t drive)
{
    for (size_t i = 0; i < r->drive_count; i++) {
        if (r->drives[i].id == drive) {
            return r->drives[i].state == META_DRIVE_REMOVED;
        }
    }
    return false;
}

static void drive_json(struct buf *b, struct drives *drives,
                       const struct meta_registry *r, size_t i)
{
    struct shard_store_stats s;
    const char *state;

    drives_stats(drives, i, &s);
    state = is_removed(r, s.drive) ? "removed" : state_name(s.state);
    buf_char(b, '{');
    put_json_u64(b, "id", s.drive, false);
    buf_str(b, "\"path\":");
    put_json_text(b, drives_path(drives, i));
    buf_printf(b, ",\"state\":\"%s\",\"reason\":", state);
    put_json_text(b, s.state == DRIVE_UP ? "" : s.reason);
    buf_char(b, ',');
    put_json_u64(b, "shards", s.shards, false);
    put_json_u64(b, "live_bytes", s.live_bytes, false);
    put_json_u64(b, "used_bytes", s.used_bytes, false);
    put_json_u64(b, "free_bytes", s.free_bytes, false);
    put_json_u64(b, "size_bytes", s.size_bytes, false);
    put_json_u64(b, "corrupt", s.corrupt, false);
    put_json_u64(b, "scrubbed_bytes", s.scrubbed_bytes, false);
    put_json_u64(b, "compacted_bytes", s.compacted_bytes, false);
    put_json_u64(b, "puts", s.puts, false);
    put_json_u64(b, "syncs", s.syncs, true);
    buf_char(b, '}');
}

static void catalogue_json(struct buf *b, struct meta *m)
{
    struct meta_stats s;

    meta_stats(m, &s);
    buf_str(b, "\"catalogue\":{");
    put_json_u64(b, "applied_index", s.applied_index, false);
    put_json_u64(b, "clock_ms", s.clock_ms, false);
    put_json_u64(b, "term", s.term, false);
    put_json_u64(b, "leader", s.leader_server, false);
    put_json_u64(b, "buckets", s.buckets, false);
    put_json_u64(b, "objects", s.objects, false);
    put_json_u64(b, "uploads", s.uploads, false);
    put_json_u64(b, "garbage", s.garbage, false);
    put_json_u64(b, "commands", s.commands, false);
    put_json_u64(b, "entries", s.entries, false);
    put_json_u64(b, "log_bytes", s.log_bytes, false);
    put_json_u64(b, "database_bytes", s.database_bytes, true);
    buf_str(b, "},");
}

void admin_status(struct request *r)
{
    struct gateway *g = r->gateway;
    struct buf *b = &r->reply_body;
    struct object_store_stats s = {0};
    struct meta_registry registry = {0}; /* alone it stays empty */
    bool ready = atomic_load(&g->ready);
    char policy[EC_POLICY_TEXT_MAX];

    if (g->cluster != NULL &&
        meta_registry_local(g->meta, &registry, NULL) != 0) {
        meta_registry_free(&registry);
    }
    reply_json(r);
    buf_printf(b, "{\"version\":\"%s\",", GODWIT_VERSION);
    put_json_u64(b, "uptime_s", (clock_mono_ms() - g->start_ms) / 1000, false);
    put_json_bool(b, "ready", ready && !cluster_removed(g->cluster), false);
    put_json_bool(b, "removed", cluster_removed(g->cluster), false);
    put_json_member(b, "ec", ec_policy_text(g->policy, policy), false);
    buf_str(b, "\"drives\":[");
    for (size_t i = 0; i < drives_count(g->drives); i++) {
        if (i > 0) {
            buf_char(b, ',');
        }
        drive_json(b, g->drives, &registry, i);
    }
    buf_str(b, "],");
    if (g->cluster != NULL) {
        admin_cluster_json(g, &registry, b);
    }
    admin_recode_json(g, b);
    catalogue_json(b, g->meta);
    buf_str(b, "\"memory\":{");
    put_json_u64(b, "pool_used", pool_used(g->pool), false);
    put_json_u64(b, "pool_budget", pool_budget(g->pool), true);
    if (ready) {
        object_store_stats(g->objects, &s);
    }
    buf_str(b, "},\"object\":{");
    put_json_u64(b, "chunks_written", s.chunks_written, false);
    put_json_u64(b, "shards_missed", s.shards_missed, false);
    put_json_u64(b, "reads_degraded", s.reads_degraded, false);
    put_json_u64(b, "reads_hedged", s.reads_hedged, false);
    put_json_u64(b, "shards_repaired", s.shards_repaired, false);
    put_json_u64(b, "orphans_collected", s.orphans_collected, false);
    put_json_u64(b, "repairs_waiting", s.repairs_waiting, true);
    buf_str(b, "}}\n");
    meta_registry_free(&registry);
}
