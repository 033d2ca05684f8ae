/* What /-/metrics reads when it is asked: drives, objects, the catalogue, the
 * cluster. Nothing here waits for another server: what is told is what this one
 * knows at the moment. packaging/grafana has alerts and a dashboard for it.
 */
#include "base/mem.h"
#include "base/metrics.h"
#include "base/pool.h"
#include "cluster/cluster.h"
#include "gateway/gateway_internal.h"
#include "meta/meta.h"
#include "object/drives.h"
#include "object/object_store.h"

static double pool_used_bytes(void *arg)
{
    const struct gateway *g = arg;

    return (double)pool_used(g->pool);
}

static double pool_budget_bytes(void *arg)
{
    const struct gateway *g = arg;

    return (double)pool_budget(g->pool);
}

static double is_ready(void *arg)
{
    const struct gateway *g = arg;

    return atomic_load(&g->ready);
}

/* ---- drives of this server ---- */

struct drive_gauge {
    struct gateway *gateway;
    size_t drive;
    double (*value)(const struct shard_store_stats *s);
};

static double drive_value(void *arg)
{
    const struct drive_gauge *d = arg;
    struct shard_store_stats s;

    drives_stats(d->gateway->drives, d->drive, &s);
    return d->value(&s);
}

/* X(name, how it is registered, help, value) */
#define DRIVE_TABLE(X)                                                         \
    X(up, metric_gauge_fn, "1 when the drive is up, else 0.",                  \
      s->state == DRIVE_UP)                                                    \
    X(full, metric_gauge_fn, "1 when the drive takes no more shards, else 0.", \
      s->state == DRIVE_FULL)                                                  \
    X(shards, metric_gauge_fn, "Shards on the drive.", s->shards)              \
    X(live_bytes, metric_gauge_fn, "Bytes of shards on the drive.",            \
      s->live_bytes)                                                           \
    X(used_bytes, metric_gauge_fn, "Bytes of segments in use.", s->used_bytes) \
    X(free_bytes, metric_gauge_fn, "Bytes free on the drive's disk.",          \
      s->free_bytes)                                                           \
    X(size_bytes, metric_gauge_fn, "Bytes of the drive's disk.",               \
      s->size_bytes)                                                           \
    X(corrupt_blocks_total, metric_counter_fn, "Blocks found bad.",            \
      s->corrupt)                                                              \
    X(scrubbed_bytes_total, metric_counter_fn, "Bytes scrubbed.",              \
      s->scrubbed_bytes)                                                       \
    X(compacted_bytes_total, metric_counter_fn, "Bytes moved by compaction.",  \
      s->compacted_bytes)

#define X(name, how, help, expression)                            \
    static double drive_##name(const struct shard_store_stats *s) \
    {                                                             \
        return (double)(expression);                              \
    }
DRIVE_TABLE(X)
#undef X

/* Metrics live for ever, and so do their arguments. */
static void register_drive(struct gateway *g, size_t drive)
{
    const char *labels = mem_printf("drive=\"%zu\"", drive);
    struct drive_gauge *d;

#define X(name, how, help, expression)                 \
    d = mem_alloc(sizeof *d);                          \
    *d = (struct drive_gauge){g, drive, drive_##name}; \
    how("godwit_drive_" #name, labels, help, drive_value, d);
    DRIVE_TABLE(X)
#undef X
}

/* ---- objects, the catalogue, the cluster ---- */

struct sample {
    struct object_store_stats object;
    struct meta_stats meta;
    struct cluster_progress moves;
    size_t servers, silent;
};

struct gauge {
    struct gateway *gateway;
    void (*take)(struct gateway *g, struct sample *s);
    double (*value)(const struct sample *s);
};

static double value_of(void *arg)
{
    const struct gauge *m = arg;
    struct sample s = {0};

    if (atomic_load(&m->gateway->ready)) {
        m->take(m->gateway, &s);
    }
    return m->value(&s);
}

static void take_object(struct gateway *g, struct sample *s)
{
    object_store_stats(g->objects, &s->object);
}

static void take_meta(struct gateway *g, struct sample *s)
{
    meta_stats(g->meta, &s->meta);
}

static void take_cluster(struct gateway *g, struct sample *s)
{
    if (g->cluster != NULL) {
        cluster_progress(g->cluster, &s->moves);
        cluster_count(g->cluster, &s->servers, &s->silent);
    }
}

/* X(name, how it is registered, where from, help, value) */
#define GAUGE_TABLE(X)                                                         \
    X(chunks_written_total, metric_counter_fn, object, "Chunks written.",      \
      s->object.chunks_written)                                                \
    X(shards_missed_total, metric_counter_fn, object,                          \
      "Shards that a write went on without.", s->object.shards_missed)         \
    X(reads_degraded_total, metric_counter_fn, object,                         \
      "Reads that had to be decoded.", s->object.reads_degraded)               \
    X(reads_hedged_total, metric_counter_fn, object,                           \
      "Reads that asked one more drive.", s->object.reads_hedged)              \
    X(shards_repaired_total, metric_counter_fn, object, "Shards rebuilt.",     \
      s->object.shards_repaired)                                               \
    X(repairs_waiting, metric_gauge_fn, object,                                \
      "Shards waiting to be rebuilt.", s->object.repairs_waiting)              \
    X(repairs_dropped_total, metric_counter_fn, object,                        \
      "Repairs that found the queue full; the next walk finds them.",          \
      s->object.repairs_dropped)                                               \
    X(catalogue_leader, metric_gauge_fn, meta,                                 \
      "1 where the catalogue is led, else 0.", s->meta.leader)                 \
    X(catalogue_leader_known, metric_gauge_fn, meta,                           \
      "1 when this server knows who leads, else 0.",                           \
      s->meta.leader || s->meta.leader_server != 0)                            \
    X(catalogue_term, metric_gauge_fn, meta, "Term of Raft.", s->meta.term)    \
    X(catalogue_applied_index, metric_gauge_fn, meta,                          \
      "Last entry of the log in the database.", s->meta.applied_index)         \
    X(catalogue_commands_total, metric_counter_fn, meta, "Commands applied.",  \
      s->meta.commands)                                                        \
    X(catalogue_entries_total, metric_counter_fn, meta,                        \
      "Entries of the log applied.", s->meta.entries)                          \
    X(catalogue_buckets, metric_gauge_fn, meta, "Buckets.", s->meta.buckets)   \
    X(catalogue_objects, metric_gauge_fn, meta, "Objects.", s->meta.objects)   \
    X(catalogue_uploads, metric_gauge_fn, meta, "Uploads in progress.",        \
      s->meta.uploads)                                                         \
    X(catalogue_garbage, metric_gauge_fn, meta,                                \
      "Runs of chunks that wait to be deleted.", s->meta.garbage)              \
    X(catalogue_log_bytes, metric_gauge_fn, meta, "Size of the Raft log.",     \
      s->meta.log_bytes)                                                       \
    X(catalogue_database_bytes, metric_gauge_fn, meta,                         \
      "Size of the database.", s->meta.database_bytes)                         \
    X(cluster_servers, metric_gauge_fn, cluster, "Other servers.", s->servers) \
    X(cluster_servers_silent, metric_gauge_fn, cluster,                        \
      "Other servers that do not answer.", s->silent)                          \
    X(moves_left, metric_gauge_fn, cluster,                                    \
      "Slots that are still to move; where the catalogue is led.",             \
      s->moves.moves_left)                                                     \
    X(slots_homeless, metric_gauge_fn, cluster,                                \
      "Slots that should move and have nowhere to go.", s->moves.homeless)

#define X(name, how, from, help, expression)           \
    static double gauge_##name(const struct sample *s) \
    {                                                  \
        return (double)(expression);                   \
    }
GAUGE_TABLE(X)
#undef X

void admin_register_metrics(struct gateway *g)
{
    struct gauge *m;

    metric_gauge_fn("godwit_ready", NULL, "1 when requests are served, else 0.",
                    is_ready, g);
    metric_gauge_fn("godwit_pool_used_bytes", NULL,
                    "Bytes of bodies in flight.", pool_used_bytes, g);
    metric_gauge_fn("godwit_pool_budget_bytes", NULL,
                    "Bytes of bodies that there is room for.",
                    pool_budget_bytes, g);
    for (size_t i = 0; i < drives_count(g->drives); i++) {
        register_drive(g, i);
    }
#define X(name, how, from, help, expression)           \
    m = mem_alloc(sizeof *m);                          \
    *m = (struct gauge){g, take_##from, gauge_##name}; \
    how("godwit_" #name, NULL, help, value_of, m);
    GAUGE_TABLE(X)
#undef X
}
