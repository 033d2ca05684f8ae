/* What stands under HTTP: the folder, the drives, the catalogue, the objects,
 * and, in a cluster, the place among the others.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/latch.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/workers.h"
#include "cluster/cluster.h"
#include "erasure/map_list.h"
#include "gateway/gateway_internal.h"
#include "gateway/master_keys.h"
#include "meta/meta.h"
#include "meta/meta_cluster.h"
#include "object/drives.h"
#include "object/object_store.h"

#define CLUSTER_FILE_MAX 4096
#define WORKER_QUEUE_MAX 20000
#define JOIN_QUEUE_MAX 64
#define RETRY_MS 200
#define SAY_AGAIN_MS 30000
#define MIB ((uint64_t)1 << 20)
/* Of a segment, beside a shard: headers, and the index at its end. */
#define SEGMENT_ROOM ((uint64_t)128 << 10)

/* ---- the folder ---- */

int store_lock(struct gateway *g, struct err *err)
{
    const char *data = g->options->data;
    char *path = mem_printf("%s/lock", data);
    int rc = fs_mkdirs(data, err);

    if (rc == 0) {
        rc = fs_lock(path, &g->lock_fd, err);
        if (rc == ERR_LOCKED) {
            err_set(err, rc, "%s: another godwit server uses this folder",
                    data);
        }
    }
    free(path);
    return rc;
}

int store_read_cluster(struct gateway *g, struct err *err)
{
    char *path = mem_printf("%s/cluster", g->options->data);
    struct buf text = {0};
    int rc = fs_read(path, CLUSTER_FILE_MAX, &text, err);

    if (rc == 0) {
        const char *s = (const char *)text.data;
        if (!text_starts(s, "godwit 1\n")) {
            rc = err_set(err, ERR_VERSION,
                         "%s: not a store of this version of godwit", path);
        } else if (!text_unhex(s + 9, strcspn(s + 9, "\n"), g->cluster_id,
                               sizeof g->cluster_id)) {
            rc = err_set(err, ERR_CORRUPT, "%s: the id is not 32 hex digits",
                         path);
        }
    }
    buf_free(&text);
    free(path);
    return rc;
}

int store_write_cluster(const struct gateway *g, struct err *err)
{
    char *path = mem_printf("%s/cluster", g->options->data);
    struct buf text = {0};
    char hex[33];
    int rc;

    buf_printf(&text, "godwit 1\n%s\n",
               text_hex(g->cluster_id, sizeof g->cluster_id, hex));
    rc = fs_write(path, text.data, text.len, 0600, err);
    buf_free(&text);
    free(path);
    return rc;
}

static int load_cluster(struct gateway *g, struct err *err)
{
    int rc = store_read_cluster(g, err);

    if (rc == ERR_NOT_FOUND) {
        rng_bytes(g->cluster_id, sizeof g->cluster_id);
        rc = store_write_cluster(g, err);
    }
    return rc;
}

static bool is_member(const struct server_options *o)
{
    char *path = mem_printf("%s/identity/server.crt", o->data);
    bool is = access(path, F_OK) == 0;

    free(path);
    return is;
}

/* ---- drives ---- */

struct drive_paths {
    char **items;
    size_t count;
};

static struct drive_paths drive_paths(const struct gateway *g)
{
    const struct server_options *o = g->options;
    struct drive_paths p = {0};

    if (g->roles & CLUSTER_ROLE_NODE) {
        p.count = o->drive.count > 0 ? o->drive.count : (size_t)o->drives;
    }
    p.items = mem_calloc(p.count + 1, sizeof *p.items);
    for (size_t i = 0; i < p.count; i++) {
        p.items[i] = o->drive.count > 0
                         ? mem_strdup(o->drive.items[i])
                         : mem_printf("%s/drives/%zu", o->data, i);
    }
    return p;
}

static void drive_paths_free(struct drive_paths *p)
{
    for (size_t i = 0; i < p->count; i++) {
        free(p->items[i]);
    }
    free(p->items);
}

static struct shard_store_options drive_options(const struct gateway *g)
{
    const struct server_options *o = g->options;
    struct shard_store_options shared = {
        .segment_bytes = o->segment_bytes,
        .reserve_bytes = o->reserve_bytes,
        .scrub_interval_ms = o->scrub_interval_ms,
    };

    memcpy(shared.cluster, g->cluster_id, sizeof shared.cluster);
    return shared;
}

/* A drive without shards among others that have some was replaced, or is not
 * mounted: say so; the janitor has its shards rebuilt. Before others can reach
 * them: the shards that come to a new server do not come to all of its drives
 * at once. */
static void warn_of_empty_drives(struct gateway *g)
{
    struct shard_store_stats s;
    uint64_t most = 0;

    for (size_t i = 0; i < drives_count(g->drives); i++) {
        drives_stats(g->drives, i, &s);
        most = s.shards > most ? s.shards : most;
    }
    for (size_t i = 0; i < drives_count(g->drives); i++) {
        drives_stats(g->drives, i, &s);
        if (s.state != DRIVE_FAILED && s.shards == 0 && most > 1) {
            log_line(LOG_WARN,
                     "drive is empty while others are not; its shards will be "
                     "rebuilt",
                     "path", drives_path(g->drives, i), NULL);
        }
    }
}

static int open_drives(struct gateway *g, const uint16_t *ids, struct err *err)
{
    struct drive_paths p = drive_paths(g);
    struct shard_store_options shared = drive_options(g);
    int rc;

    rc = drives_open((const char *const *)p.items, ids, p.count, &shared,
                     &g->drives, err);
    drive_paths_free(&p);
    if (rc == 0) {
        warn_of_empty_drives(g);
    }
    return rc;
}

/* What a drive counts for: the space of its disk, which it may share. */
static void weigh_drives(const struct drive_paths *p, uint32_t *weights)
{
    for (size_t i = 0; i < p->count; i++) {
        fs_mkdirs(p->items[i], NULL);
    }
    for (size_t i = 0; i < p->count; i++) {
        struct statvfs v;
        struct stat own, other;
        uint64_t sharing = 0;
        weights[i] = 1;
        if (statvfs(p->items[i], &v) != 0 || stat(p->items[i], &own) != 0) {
            continue; /* one that is not there now: its opening tells */
        }
        for (size_t n = 0; n < p->count; n++) {
            sharing +=
                stat(p->items[n], &other) == 0 && other.st_dev == own.st_dev;
        }
        uint64_t mib = v.f_blocks * v.f_frsize / MIB / (sharing ? sharing : 1);
        weights[i] = mib < 1            ? 1
                     : mib > UINT32_MAX ? UINT32_MAX
                                        : (uint32_t)mib;
    }
}

/* ---- parts ---- */

int store_check_segments(const struct gateway *g, struct ec_policy policy,
                         struct err *err)
{
    struct chunk_shape shape = geometry_shape(policy, GEOMETRY_CHUNK_MAX);
    uint64_t need = shape.piece_bytes + SEGMENT_ROOM;
    char text[EC_POLICY_TEXT_MAX];

    if (g->options->segment_bytes != 0 && g->options->segment_bytes < need) {
        return err_set(err, ERR_BAD_INPUT,
                       "segment-bytes: at least %llu bytes for --ec %s",
                       (unsigned long long)need, ec_policy_text(policy, text));
    }
    return 0;
}

static int choose_policy(struct gateway *g, struct err *err)
{
    const char *text = g->options->ec != NULL ? g->options->ec : LAYOUT_POLICY;
    int rc = ec_policy_parse(text, &g->policy, err);

    return rc == 0 ? store_check_segments(g, g->policy, err)
                   : err_wrap(err, rc, "ec");
}

static int open_meta(struct gateway *g, struct err *err)
{
    char *dir = mem_printf("%s/meta", g->options->data);
    struct meta_options mo = {.dir = dir,
                              .reserve_bytes = g->options->reserve_bytes};
    int rc;

    if (g->cluster != NULL) {
        mo.net = cluster_net(g->cluster);
        mo.server = cluster_server(g->cluster);
        mo.address = cluster_address(g->cluster);
        mo.join = !cluster_founds(g->cluster);
    }
    rc = meta_open(&mo, &g->meta, err);
    free(dir);
    return rc == 0 ? 0 : err_wrap(err, rc, "catalogue");
}

static int open_objects(struct gateway *g, const struct map_list *maps,
                        struct err *err)
{
    struct placement_group *groups = map_list_flat(maps);
    struct object_store_options oo = {
        .peers = drives_peers(g->drives),
        .pool = g->pool,
        .policy = maps->maps[0].policy,
        .groups = groups,
        .group_count = map_list_groups(maps),
        .put_timeout_ms = g->options->put_timeout_ms,
        .get_timeout_ms = g->options->put_timeout_ms,
        .hedge_ms = g->options->hedge_ms,
        .orphan_age_ms = g->options->orphan_age_ms,
        .repair_rate = g->options->repair_rate_mib * MIB,
    };
    int rc;

    g->policy = maps->maps[0].policy;
    rc = store_check_segments(g, g->policy, err);
    if (rc == 0) {
        rc = object_store_open(&oo, &g->objects, err);
    }
    free(groups);
    return rc;
}

/* ---- alone ---- */

int store_open_alone(struct gateway *g, struct err *err)
{
    const struct server_options *o = g->options;
    struct map_list maps = {0};
    int rc;

    g->roles = CLUSTER_ROLES_ALL;
    if (is_member(o)) {
        return err_set(err, ERR_BAD_INPUT,
                       "cluster: %s is of a server of a cluster; start it "
                       "with --cluster ADDR:PORT",
                       o->data);
    }
    if ((rc = choose_policy(g, err)) != 0 || (rc = store_lock(g, err)) != 0 ||
        (rc = load_cluster(g, err)) != 0) {
        return rc;
    }
    g->pool = pool_new(o->memory_bytes);
    g->workers = workers_new("worker", (unsigned)o->workers, WORKER_QUEUE_MAX);
    if ((rc = open_drives(g, NULL, err)) != 0 ||
        (rc = open_meta(g, err)) != 0 ||
        (rc = master_keys_load(g, false, err)) != 0 ||
        (rc = layout_load(g, &maps, err)) != 0) {
        return rc;
    }
    rc = open_objects(g, &maps, err);
    map_list_free(&maps);
    return rc;
}

/* ---- in a cluster ---- */

static int open_cluster(struct gateway *g, struct err *err)
{
    const struct server_options *o = g->options;
    struct drive_paths p = drive_paths(g);
    struct cluster_options co = {.data = o->data,
                                 .listen = o->cluster,
                                 .advertise = o->advertise,
                                 .join = o->join,
                                 .token = o->token,
                                 .name = o->name,
                                 .zone = o->zone,
                                 .roles = g->roles,
                                 .policy = g->policy,
                                 .repair_after_ms = o->repair_after_ms,
                                 .drive_count = p.count};
    char *master_key = master_keys_path(g);
    bool own = store_read_cluster(g, NULL) == 0;
    int rc = 0;

    if (p.count > CLUSTER_DRIVES_MAX) {
        rc = err_set(err, ERR_BAD_INPUT, "drive: at most %d drives",
                     CLUSTER_DRIVES_MAX);
    } else if (own && o->join != NULL && !is_member(o)) {
        rc = err_set(err, ERR_BAD_INPUT,
                     "join: %s holds a store of its own; join with an empty "
                     "folder",
                     o->data);
    } else {
        weigh_drives(&p, co.weights);
        rc = own || o->join != NULL ? 0 : load_cluster(g, err);
    }
    if (rc == 0) {
        memcpy(co.cluster_id, g->cluster_id, sizeof co.cluster_id);
        co.master_key_path = o->master_key == NULL ? master_key : NULL;
        rc = cluster_open(&co, &g->cluster, err);
    }
    if (rc == 0 && !own) {
        memcpy(g->cluster_id, cluster_id(g->cluster), sizeof g->cluster_id);
        rc = store_write_cluster(g, err);
    } else if (rc == 0 && memcmp(g->cluster_id, cluster_id(g->cluster),
                                 sizeof g->cluster_id) != 0) {
        rc = err_set(err, ERR_MISMATCH,
                     "%s: cluster and identity are of different clusters",
                     o->data);
    }
    free(master_key);
    drive_paths_free(&p);
    return rc;
}

int store_open_member(struct gateway *g, struct err *err)
{
    const struct server_options *o = g->options;
    uint16_t ids[CLUSTER_DRIVES_MAX];
    int rc = cluster_roles_parse(o->roles, &g->roles, err);

    if (rc != 0 || (rc = choose_policy(g, err)) != 0 ||
        (rc = store_lock(g, err)) != 0 || (rc = open_cluster(g, err)) != 0) {
        return rc;
    }
    g->pool = pool_new(o->memory_bytes);
    g->workers = workers_new("worker", (unsigned)o->workers, WORKER_QUEUE_MAX);
    cluster_drive_ids(g->cluster, ids, NULL); /* others: open_late_drives */
    rc = open_drives(g, ids, err);
    if (rc != 0) {
        return rc;
    }
    rc = master_keys_load(g, cluster_founds(g->cluster), err);
    if (rc != 0) {
        return rc;
    }
    cluster_give_master_key(g->cluster, master_keys_root(g));
    drives_serve(g->drives, cluster_net(g->cluster));
    cluster_use_peers(g->cluster, drives_peers(g->drives));
    g->cluster_workers = workers_new("join", 2, JOIN_QUEUE_MAX);
    return open_meta(g, err);
}

void store_start_member(struct gateway *g)
{
    cluster_start(g->cluster, g->meta, g->cluster_workers, g->endpoint,
                  g->access_key, g->secret_key);
}

/* Drives that this server did not have when it joined have no id before the
 * catalogue has given them one. */
static int open_late_drives(struct gateway *g, struct err *err)
{
    struct drive_paths p = drive_paths(g);
    struct shard_store_options shared = drive_options(g);
    uint16_t ids[CLUSTER_DRIVES_MAX];
    int rc = cluster_drive_ids(g->cluster, ids, err);

    for (size_t i = 0; i < p.count && rc == 0; i++) {
        if (!drives_has(g->drives, ids[i])) {
            rc = drives_add(g->drives, p.items[i], ids[i], &shared, err);
        }
    }
    drive_paths_free(&p);
    return rc;
}

/* The objects can be opened once the catalogue answers and somebody who leads
 * has made a layout. */
static int open_when_led(struct gateway *g, struct err *err)
{
    struct map_list maps = {0};
    struct meta_registry r = {0};
    int rc = meta_registry_get(g->meta, &r, err);

    if (rc == 0) {
        rc = open_late_drives(g, err);
    }
    if (rc != 0) {
        meta_registry_free(&r);
        return rc;
    }
    cluster_learn_drives(g->cluster, &r);
    if (r.epoch == 0) {
        rc = err_set(err, ERR_UNAVAILABLE, "there is no layout yet");
    } else {
        rc = map_list_decode(r.layout.data, r.layout.len, &maps, err);
    }
    meta_registry_free(&r);
    if (rc == 0) {
        rc = layout_check_policy(g, maps.maps[0].policy, NULL);
        if (rc != 0) {
            char text[EC_POLICY_TEXT_MAX];
            log_errf(LOG_WARN, "ec", "the cluster stores by %s, not by %s",
                     ec_policy_text(maps.maps[0].policy, text), g->options->ec);
        }
        rc = open_objects(g, &maps, err);
        map_list_free(&maps);
    }
    return rc;
}

bool store_wait_member(struct gateway *g)
{
    uint64_t said_ms = 0;
    struct err err = {{0}};

    for (;;) {
        uint64_t now = clock_mono_ms();
        int rc = open_when_led(g, &err);
        if (rc == 0) {
            cluster_use_objects(g->cluster, g->objects);
            return true;
        }
        if (now - said_ms > SAY_AGAIN_MS) {
            log_errf(LOG_INFO, "not ready yet", "%s", err.text);
            said_ms = now;
        }
        pthread_mutex_lock(&g->opener_mutex);
        if (!g->stopping) {
            latch_cond_wait(&g->opener_cond, &g->opener_mutex, RETRY_MS);
        }
        rc = g->stopping;
        pthread_mutex_unlock(&g->opener_mutex);
        if (rc) {
            return false;
        }
    }
}

void store_close(struct gateway *g)
{
    workers_free(g->workers); /* first: jobs use all the rest */
    if (g->cluster != NULL) {
        cluster_use_objects(g->cluster, NULL);
    }
    if (g->objects != NULL) {
        object_store_close(g->objects);
    }
    drives_stop(g->drives);
    cluster_stop(g->cluster);
    workers_free(g->cluster_workers);
    if (g->meta != NULL) {
        meta_close(g->meta);
    }
    cluster_close(g->cluster);
    drives_close(g->drives);
    pool_free(g->pool);
    if (g->lock_fd >= 0) {
        close(g->lock_fd);
    }
}
