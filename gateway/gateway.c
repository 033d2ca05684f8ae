#include "gateway/gateway.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/workers.h"
#include "crypto/sigv4.h"
#include "erasure/placement.h"
#include "gateway/gateway_internal.h"
#include "meta/meta.h"
#include "object/drives.h"
#include "object/object_gc.h"
#include "object/object_store.h"

#define CLUSTER_FILE_MAX 4096
#define WORKER_QUEUE_MAX 20000
#define STOP_GRACE_MS 10000
/* Of a segment, beside a shard: headers, and the index at its end. */
#define SEGMENT_ROOM ((uint64_t)128 << 10)

/* ---- identity ---- */

/* DATA/cluster: "godwit 1" and the id in hex, a line each. */
static int load_cluster(struct gateway *g, struct err *err)
{
    char *path = mem_printf("%s/cluster", g->options->data);
    struct buf text = {0};
    char hex[33];
    int rc = fs_read(path, CLUSTER_FILE_MAX, &text, err);

    if (rc == ERR_NOT_FOUND) {
        rng_bytes(g->cluster, sizeof g->cluster);
        buf_printf(&text, "godwit 1\n%s\n",
                   text_hex(g->cluster, sizeof g->cluster, hex));
        rc = fs_write(path, text.data, text.len, 0600, err);
    } else if (rc == 0) {
        const char *s = (const char *)text.data;
        if (!text_starts(s, "godwit 1\n")) {
            rc = err_set(err, ERR_VERSION,
                         "%s: not a store of this version of godwit", path);
        } else if (!text_unhex(s + 9, strcspn(s + 9, "\n"), g->cluster,
                               sizeof g->cluster)) {
            rc = err_set(err, ERR_CORRUPT, "%s: the id is not 32 hex digits",
                         path);
        }
    }
    buf_free(&text);
    free(path);
    return rc;
}

static int lock_data(struct gateway *g, struct err *err)
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

/* ---- parts ---- */

static int open_drives(struct gateway *g, struct err *err)
{
    const struct server_options *o = g->options;
    size_t count = o->drive.count > 0 ? o->drive.count : (size_t)o->drives;
    char **paths = mem_calloc(count, sizeof *paths);
    struct shard_store_options shared = {
        .segment_bytes = o->segment_bytes,
        .reserve_bytes = o->reserve_bytes,
        .scrub_interval_ms = o->scrub_interval_ms,
    };
    int rc;

    memcpy(shared.cluster, g->cluster, sizeof shared.cluster);
    for (size_t i = 0; i < count; i++) {
        paths[i] = o->drive.count > 0 ? mem_strdup(o->drive.items[i])
                                      : mem_printf("%s/drives/%zu", o->data, i);
    }
    rc = drives_open((const char *const *)paths, count, &shared, &g->drives,
                     err);
    for (size_t i = 0; i < count; i++) {
        free(paths[i]);
    }
    free(paths);
    return rc;
}

/* A drive without shards among others that have some was replaced, or is not
 * mounted: say so; the janitor has its shards rebuilt. */
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

/* A shard of a whole chunk must fit into a segment. */
static int check_segments(const struct gateway *g, struct err *err)
{
    struct chunk_shape shape = geometry_shape(g->policy, GEOMETRY_CHUNK_MAX);
    uint64_t need = shape.piece_bytes + SEGMENT_ROOM;

    if (g->options->segment_bytes != 0 && g->options->segment_bytes < need) {
        return err_set(err, ERR_BAD_INPUT,
                       "segment-bytes: at least %llu bytes for --ec %s",
                       (unsigned long long)need, g->options->ec);
    }
    return 0;
}

static int open_meta(struct gateway *g, struct err *err)
{
    char *dir = mem_printf("%s/meta", g->options->data);
    struct meta_options mo = {.dir = dir,
                              .reserve_bytes = g->options->reserve_bytes};
    int rc = meta_open(&mo, &g->meta, err);

    free(dir);
    return rc == 0 ? 0 : err_wrap(err, rc, "catalogue");
}

static int open_objects(struct gateway *g, struct err *err)
{
    struct placement_group *groups = NULL;
    uint32_t count = 0;
    struct object_store_options oo = {
        .peers = drives_peers(g->drives),
        .pool = g->pool,
        .policy = g->policy,
        .put_timeout_ms = g->options->put_timeout_ms,
        .get_timeout_ms = g->options->put_timeout_ms,
        .hedge_ms = g->options->hedge_ms,
        .orphan_age_ms = g->options->orphan_age_ms,
    };
    int rc = layout_load(g->meta, g->policy, (unsigned)drives_count(g->drives),
                         &groups, &count, err);

    if (rc == 0) {
        oo.groups = groups;
        oo.group_count = count;
        rc = object_store_open(&oo, &g->objects, err);
    }
    if (rc == 0) {
        warn_of_empty_drives(g);
    }
    free(groups);
    return rc;
}

/* Everything but HTTP. On failure close_store undoes what was done. */
static int open_store(struct gateway *g, struct err *err)
{
    const struct server_options *o = g->options;
    int rc = ec_policy_parse(o->ec, &g->policy, err);

    if (rc == 0 && g->policy.l > 0) {
        rc = err_set(err, ERR_UNSUPPORTED,
                     "%s: local groups (K+L+G) cannot be stored yet; use K+M",
                     o->ec);
    }
    if (rc != 0) {
        return err_wrap(err, rc, "ec");
    }
    if ((rc = check_segments(g, err)) != 0 || (rc = lock_data(g, err)) != 0 ||
        (rc = load_cluster(g, err)) != 0) {
        return rc;
    }
    g->pool = pool_new(o->memory_bytes);
    g->workers = workers_new("worker", (unsigned)o->workers, WORKER_QUEUE_MAX);
    if ((rc = open_drives(g, err)) != 0 || (rc = open_meta(g, err)) != 0) {
        return rc;
    }
    return open_objects(g, err);
}

static void close_store(struct gateway *g)
{
    workers_free(g->workers); /* first: jobs use all the rest */
    if (g->objects != NULL) {
        object_store_close(g->objects);
    }
    if (g->meta != NULL) {
        meta_close(g->meta);
    }
    drives_close(g->drives);
    pool_free(g->pool);
    if (g->lock_fd >= 0) {
        close(g->lock_fd);
    }
}

static struct gateway *gateway_new(const struct server_options *options)
{
    struct gateway *g = mem_alloc(sizeof *g);

    g->options = options;
    g->region = options->region;
    g->domain = options->domain != NULL ? options->domain : "";
    g->part_min_bytes = options->part_min_bytes;
    g->lock_fd = -1;
    g->start_ms = clock_mono_ms();
    return g;
}

static void gateway_free(struct gateway *g)
{
    if (g->secret_key != NULL) {
        mem_wipe(g->secret_key, strlen(g->secret_key));
    }
    free(g->secret_key);
    free(g->access_key);
    free(g->endpoint);
    free(g);
}

static int check_options(const struct server_options *o, struct err *err)
{
    if (o->data == NULL || o->data[0] == '\0') {
        return err_set(err, ERR_BAD_INPUT, "data: --data DIR is required");
    }
    if ((o->tls_cert != NULL) != (o->tls_key != NULL)) {
        return err_set(err, ERR_BAD_INPUT,
                       "tls-cert and tls-key: give both or none");
    }
    if (o->segment_bytes != 0 && o->segment_bytes < (uint64_t)1 << 20) {
        return err_set(err, ERR_BAD_INPUT,
                       "segment-bytes: at least 1MiB, or 0");
    }
    return 0;
}

int gateway_start(const struct server_options *options, struct gateway **out,
                  struct err *err)
{
    struct gateway *g;
    int rc = check_options(options, err);

    if (rc != 0) {
        return rc;
    }
    g = gateway_new(options);
    rc = http_check_address(g, err);
    if (rc == 0) {
        rc = open_store(g, err);
    }
    if (rc == 0) {
        rc = credentials_load(options->data, &g->access_key, &g->secret_key,
                              &g->made_credentials, err);
    }
    if (rc != 0) {
        goto err_after_store;
    }
    g->keys = sigv4_keys_new();
    admin_register_metrics(g);
    rc = http_start(g, &g->http, err);
    if (rc != 0) {
        goto err_after_keys;
    }
    g->endpoint = mem_printf("%s://%s", options->tls_cert ? "https" : "http",
                             http_address(g->http));
    g->janitor = janitor_start(g);
    atomic_store(&g->ready, true);
    *out = g;
    return 0;

err_after_keys:
    sigv4_keys_free(g->keys);
err_after_store:
    close_store(g);
    gateway_free(g);
    return rc;
}

void gateway_stop(struct gateway *g)
{
    atomic_store(&g->ready, false);
    http_stop(g->http, STOP_GRACE_MS);
    janitor_stop(g->janitor);
    sigv4_keys_free(g->keys);
    close_store(g);
    gateway_free(g);
}

const char *gateway_endpoint(const struct gateway *g)
{
    return g->endpoint;
}

bool gateway_made_credentials(const struct gateway *g)
{
    return g->made_credentials;
}

/* ---- verify ---- */

struct verify {
    struct gateway *gateway;
    bool repair;
    void (*report)(void *arg, const char *line);
    void *arg;
    const char *bucket, *key;
    uint32_t part;
    uint64_t defects;
};

static void report_text(void *arg, const char *what)
{
    struct verify *v = arg;
    char *line = mem_printf("catalogue: %s", what);

    v->report(v->arg, line);
    free(line);
}

static void report_shard(void *arg, enum object_defect defect,
                         const struct shard_key *key, uint16_t drive,
                         const char *why)
{
    static const char *const names[] = {
        [OBJECT_SHARD_MISSING] = "shard missing",
        [OBJECT_SHARD_CORRUPT] = "shard corrupt",
        [OBJECT_SHARD_UNREADABLE] = "shard unreadable",
        [OBJECT_CHUNK_LOST] = "CHUNK LOST",
        [OBJECT_MANIFEST_BAD] = "manifest damaged",
    };
    struct verify *v = arg;
    struct buf b = {0};

    buf_printf(&b, "%s/%s", v->bucket != NULL ? v->bucket : "(upload)",
               v->key != NULL ? v->key : "-");
    if (v->part > 0) {
        buf_printf(&b, " part %u", v->part);
    }
    buf_printf(&b, ": %s", names[defect]);
    if (defect != OBJECT_MANIFEST_BAD && key != NULL) {
        buf_printf(&b, ": chunk %016llx%016llx", (unsigned long long)key->hi,
                   (unsigned long long)key->lo);
        if (defect != OBJECT_CHUNK_LOST) {
            buf_printf(&b, " slot %u on drive %u", key->slot, drive);
        }
    }
    if (why != NULL && why[0] != '\0') {
        buf_printf(&b, ": %s", why);
    }
    v->report(v->arg, (const char *)b.data);
    buf_free(&b);
}

static bool verify_manifest(void *arg, const char *bucket, const char *key,
                            uint32_t part, const void *manifest, size_t len)
{
    struct verify *v = arg;

    v->bucket = bucket;
    v->key = key;
    v->part = part;
    v->defects += object_verify(v->gateway->objects, manifest, len, v->repair,
                                report_shard, v);
    return true;
}

int gateway_verify(const struct server_options *options, bool repair,
                   void (*report)(void *arg, const char *line), void *arg,
                   uint64_t *defects, struct err *err)
{
    struct gateway *g;
    struct verify v = {.repair = repair, .report = report, .arg = arg};
    int rc = check_options(options, err);

    if (rc != 0) {
        return rc;
    }
    g = gateway_new(options);
    v.gateway = g;
    rc = open_store(g, err);
    if (rc == 0) {
        v.defects += meta_verify(g->meta, report_text, &v);
        rc = meta_each_manifest(g->meta, verify_manifest, &v, err);
        *defects = v.defects;
    }
    close_store(g);
    gateway_free(g);
    return rc;
}
