#include "gateway/gateway.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/latch.h"
#include "base/mem.h"
#include "cluster/cluster.h"
#include "crypto/sigv4.h"
#include "gateway/access.h"
#include "gateway/audit.h"
#include "gateway/bucket_rules.h"
#include "gateway/eraser.h"
#include "gateway/gateway_internal.h"
#include "gateway/lifecycle.h"
#include "gateway/master_keys.h"
#include "gateway/recode.h"
#include "gateway/server_log.h"
#include "gateway/session.h"
#include "gateway/tls_auto.h"
#include "meta/meta.h"

#define STOP_GRACE_MS 10000

bool gateway_leads(const struct gateway *g)
{
    struct meta_stats stats;

    if (g->cluster == NULL) {
        return true;
    }
    meta_stats(g->meta, &stats);
    return stats.leader;
}

struct gateway *gateway_new(const struct server_options *options)
{
    struct gateway *g = mem_alloc(sizeof *g);

    g->options = options;
    g->region = options->region;
    g->domain = options->domain != NULL ? options->domain : "";
    g->part_min_bytes = options->part_min_bytes;
    g->lock_fd = -1;
    g->rules = bucket_rules_new();
    g->access = access_new();
    g->sessions = sessions_new();
    g->audit = audit_new(g);
    g->server_logs = server_logs_new(g);
    g->master = master_keys_new();
    g->start_ms = clock_mono_ms();
    CHECK(pthread_mutex_init(&g->opener_mutex, NULL) == 0);
    latch_cond_init(&g->opener_cond);
    return g;
}

void gateway_free(struct gateway *g)
{
    if (g->secret_key != NULL) {
        mem_wipe(g->secret_key, strlen(g->secret_key));
    }
    lifecycle_free(g->lifecycle);
    free(g->secret_key);
    free(g->access_key);
    free(g->endpoint);
    bucket_rules_free(g->rules);
    access_free(g->access);
    sessions_free(g->sessions);
    audit_free(g->audit);
    server_logs_free(g->server_logs);
    master_keys_free(g->master);
    pthread_cond_destroy(&g->opener_cond);
    pthread_mutex_destroy(&g->opener_mutex);
    free(g);
}

static bool is_auto(const struct server_options *o)
{
    return o->tls != NULL && strcmp(o->tls, "auto") == 0;
}

int gateway_check_options(const struct server_options *o, struct err *err)
{
    if (o->data == NULL || o->data[0] == '\0') {
        return err_set(err, ERR_BAD_INPUT, "data: --data DIR is required");
    }
    if ((o->tls_cert != NULL) != (o->tls_key != NULL)) {
        return err_set(err, ERR_BAD_INPUT,
                       "tls-cert and tls-key: give both or none");
    }
    if (!is_auto(o) && o->tls != NULL && strcmp(o->tls, "off") != 0) {
        return err_set(err, ERR_BAD_INPUT, "tls: %s is not off or auto",
                       o->tls);
    }
    if (is_auto(o) && o->tls_cert != NULL) {
        return err_set(err, ERR_BAD_INPUT,
                       "tls: auto makes a certificate of its own: give "
                       "tls-cert and tls-key, or this");
    }
    if (!is_auto(o) && o->tls_name.count > 0) {
        return err_set(err, ERR_BAD_INPUT, "tls-name: is for --tls auto");
    }
    if (o->segment_bytes != 0 && o->segment_bytes < (uint64_t)1 << 20) {
        return err_set(err, ERR_BAD_INPUT,
                       "segment-bytes: at least 1MiB, or 0");
    }
    if (o->cluster == NULL && o->advertise != NULL) {
        return err_set(err, ERR_BAD_INPUT,
                       "advertise: is of a server with --cluster");
    }
    if (o->cluster == NULL && (o->join != NULL || o->token != NULL)) {
        return err_set(err, ERR_BAD_INPUT,
                       "%s: needs --cluster ADDR:PORT, the address on which "
                       "the others reach this server",
                       o->join != NULL ? "join" : "token");
    }
    return 0;
}

bool gateway_is_https(const struct gateway *g)
{
    return g->tls != NULL || g->options->tls_cert != NULL;
}

/* Those that came with a join, unless the environment says others. */
static int load_credentials(struct gateway *g, struct err *err)
{
    const char *data = g->options->data;
    int rc = 0;

    if (g->cluster != NULL && cluster_access_key(g->cluster) != NULL &&
        getenv("GODWIT_ACCESS_KEY_ID") == NULL) {
        rc = credentials_save(data, cluster_access_key(g->cluster),
                              cluster_secret_key(g->cluster), err);
    }
    if (rc == 0) {
        rc = credentials_load(data, &g->access_key, &g->secret_key,
                              &g->made_credentials, err);
    }
    if (rc == 0) {
        access_set_root(g->access, g->access_key, g->secret_key);
    }
    return rc;
}

static int start_http(struct gateway *g, struct err *err)
{
    int rc = 0;

    if (is_auto(g->options) && (rc = tls_auto_open(g, &g->tls, err)) != 0) {
        return rc;
    }
    g->keys = sigv4_keys_new();
    admin_register_metrics(g);
    g->lifecycle = lifecycle_new(g);
    rc = http_start(g, &g->http, err);
    if (rc != 0) {
        return rc;
    }
    g->endpoint = mem_printf("%s://%s", gateway_is_https(g) ? "https" : "http",
                             http_address(g->http));
    return 0;
}

static void open_for_requests(struct gateway *g)
{
    master_keys_begin(g);
    g->janitor = janitor_start(g);
    lifecycle_start(g->lifecycle);
    g->eraser = eraser_start(g);
    g->recode = recode_start(g);
    audit_start(g->audit);
    server_logs_start(g->server_logs);
    atomic_store(&g->ready, true);
}

static void *opener_main(void *arg)
{
    struct gateway *g = arg;

    if (store_wait_member(g)) {
        open_for_requests(g);
    }
    return NULL;
}

static void stop_opener(struct gateway *g)
{
    pthread_mutex_lock(&g->opener_mutex);
    g->stopping = true;
    pthread_cond_signal(&g->opener_cond);
    pthread_mutex_unlock(&g->opener_mutex);
    pthread_join(g->opener, NULL);
}

int gateway_start(const struct server_options *options, struct gateway **out,
                  struct err *err)
{
    bool member = options->cluster != NULL;
    struct gateway *g;
    int rc = gateway_check_options(options, err);

    if (rc != 0) {
        return rc;
    }
    g = gateway_new(options);
    rc = http_check_address(g, err);
    if (rc == 0) {
        rc = member ? store_open_member(g, err) : store_open_alone(g, err);
    }
    if (rc == 0) {
        rc = load_credentials(g, err);
    }
    if (rc == 0) {
        rc = start_http(g, err);
    }
    if (rc == 0) {
        rc = control_write(g, err);
    }
    if (rc != 0) {
        if (g->http != NULL) {
            http_stop(g->http, 0);
        }
        tls_auto_free(g->tls);
        sigv4_keys_free(g->keys);
        store_close(g);
        gateway_free(g);
        return rc;
    }
    if (member) {
        store_start_member(g);
        CHECK(pthread_create(&g->opener, NULL, opener_main, g) == 0);
        pthread_setname_np(g->opener, "opener");
    } else {
        open_for_requests(g);
    }
    if (g->tls != NULL) {
        tls_auto_start(g->tls);
    }
    *out = g;
    return 0;
}

void gateway_stop(struct gateway *g)
{
    atomic_store(&g->ready, false);
    control_remove(g);
    http_stop(g->http, STOP_GRACE_MS);
    if (g->cluster != NULL) {
        stop_opener(g);
    }
    tls_auto_stop(g->tls);
    tls_auto_free(g->tls);
    eraser_stop(g->eraser);
    lifecycle_stop(g->lifecycle);
    recode_stop(g->recode);
    server_logs_stop(g->server_logs);
    janitor_stop(g->janitor);
    audit_stop(g->audit);
    sigv4_keys_free(g->keys);
    cluster_hand_over(g->cluster);
    store_close(g);
    gateway_free(g);
}

const char *gateway_endpoint(const struct gateway *g)
{
    return g->endpoint;
}

const char *gateway_ca_file(const struct gateway *g)
{
    return g->tls != NULL ? tls_auto_ca_file(g->tls) : NULL;
}

bool gateway_made_credentials(const struct gateway *g)
{
    return g->made_credentials;
}
