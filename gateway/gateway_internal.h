/* gateway_internal.h: what the files of gateway/ share.
 *
 * Threads: written at start and stop; read by all between.
 */
#ifndef GODWIT_GATEWAY_GATEWAY_INTERNAL_H
#define GODWIT_GATEWAY_GATEWAY_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "erasure/geometry.h"
#include "gateway/gateway.h"

struct access;
struct audit;
struct bucket_rules;
struct buf;
struct cluster;
struct drives;
struct http;
struct janitor;
struct eraser;
struct lifecycle;
struct master_keys;
struct meta;
struct meta_registry;
struct object_bytes;
struct object_store;
struct pool;
struct recode;
struct request;
struct server_logs;
struct sessions;
struct sigv4_keys;
struct tls_auto;
struct workers;

struct gateway {
    const struct server_options *options;
    const char *region;
    const char *domain; /* "" when virtual-host style is off */
    uint64_t part_min_bytes;
    char *endpoint;
    char *access_key;
    char *secret_key;
    bool made_credentials;
    char control_secret[48];
    uint8_t cluster_id[16];
    int lock_fd;
    uint32_t roles; /* of enum cluster_role */
    struct ec_policy policy;
    uint64_t start_ms;
    atomic_bool ready;
    struct cluster *cluster; /* NULL: alone */
    struct workers *cluster_workers;
    /* In a cluster all below the catalogue is opened by a thread of its own,
     * when a majority is there. */
    pthread_t opener;
    pthread_mutex_t opener_mutex; /* guards stopping */
    pthread_cond_t opener_cond;
    bool stopping;

    struct pool *pool;
    struct workers *workers;
    struct meta *meta;
    struct drives *drives;
    struct object_store *objects;
    struct bucket_rules *rules;
    struct access *access;
    struct sessions *sessions;
    struct audit *audit;
    struct server_logs *server_logs;
    struct master_keys *master;
    struct sigv4_keys *keys;
    struct janitor *janitor;
    struct lifecycle *lifecycle;
    struct eraser *eraser;
    struct recode *recode;
    struct http *http;
    struct tls_auto *tls;  /* NULL: not --tls auto */
    atomic_uint streams;   /* replies from drives: sets window sizes */
    atomic_ullong told_ms; /* of janitor.c: when the catalogue last was */
    atomic_uint uploads;   /* OBJECT bodies being received: sets chunk sizes */
};

/* ---- admin.c ---- */

/* False: the server is starting, and a reply was made. */
bool admin_is_ready(struct request *r);
/* Propose r->command, about @what; false: a reply was made. */
bool admin_propose(struct request *r, const char *what);

/* ---- admin_metrics.c ---- */

/* What Prometheus is told beside counts of requests: memory, drives, repair. */
void admin_register_metrics(struct gateway *g);

/* ---- admin_bucket.c ---- */

/* The member "recoding" of /-/status, with a comma behind. */
void admin_recode_json(struct gateway *g, struct buf *b);

/* ---- admin_cluster.c ---- */

/* The member "cluster" of /-/status, with a comma behind. @r is empty while no
 * cluster was made. */
void admin_cluster_json(struct gateway *g, const struct meta_registry *r,
                        struct buf *b);

/* ---- credentials.c ---- */

/* Root credentials: from the environment, else from DATA/credentials, else made
 * there. Gives both strings. */
int credentials_load(const char *data, char **access_key, char **secret_key,
                     bool *made, struct err *err);
/* Keep those that came with a join in DATA/credentials. */
int credentials_save(const char *data, const char *access_key,
                     const char *secret_key, struct err *err);

/* A fresh pair of 20 and 40 characters. */
void credentials_draw(char access_key[21], char secret_key[41]);

/* ---- s3_auth.c ---- */

/* Who asks, and may they? Fills r->auth and r->signing_key; false: a reply was
 * made. */
bool s3_authenticate(struct request *r);
/* The same of a request to STS, when its body is there. */
bool s3_authenticate_sts(struct request *r);
/* Did @credential's key sign @policy? @token: of a session, or NULL. Fills
 * r->auth as above; false: a reply was made. */
bool s3_authenticate_form(struct request *r, const char *policy,
                          const char *credential, const char *signature,
                          const char *token);
/* Is a gathered document what its digests say? False: a reply was made. */
bool s3_check_document(struct request *r);

/* ---- http_judge.c ---- */

/* Read and judge all that the headers can tell: lengths, target, signature,
 * operation. False: a reply was made. Loop only. */
bool http_judge_headers(struct request *r);

/* ---- http.c ---- */

/* Can the address of @g->options->listen be listened on? Asked before anything
 * is opened. */
int http_check_address(const struct gateway *g, struct err *err);
/* Start the I/O loops on @g->options->listen. */
int http_start(struct gateway *g, struct http **out, struct err *err);
/* Stop accepting, give requests at hand @grace_ms to end, close. */
void http_stop(struct http *h, uint64_t grace_ms);
/* The address that is listened on, "127.0.0.1:9000"; borrowed. */
const char *http_address(const struct http *h);

/* Stop reading from the connection until request_resume. Loop only. */
void request_suspend(struct request *r);
void request_resume(struct request *r);
/* Is this the I/O loop of @r? A request that nobody sent has none. */
bool request_on_loop(const struct request *r);
/* Run @r->operation's handler (and request_done for kinds NONE and XML). */
void request_handle(struct request *r);
/* Keep @r although its connection may end; the matching release may free it.
 * Loop only. */
void request_hold(struct request *r);
void request_release(struct request *r);

/* ---- http_stream.c ---- */

/* Reply with @size bytes that @next gives in order: called on a worker, may
 * block, gives up to @max bytes (none only at the end).
 * The first window is at hand when the status goes out: to be called on a
 * worker; on failure (ERR_* of the first read) nothing was replied. */
int reply_stream(struct request *r, int status, uint64_t size,
                 int (*next)(struct request *r, size_t max,
                             struct object_bytes *out, struct err *err),
                 struct err *err);

/* ---- janitor.c ---- */

/* Background work: garbage, abandoned uploads, orphans, idle memory. */
struct janitor *janitor_start(struct gateway *g);
void janitor_stop(struct janitor *j);
/* Alone: see that what is proposed next is judged by a clock at most a second
 * behind; does not wait. In a cluster retention may end some seconds late. Any
 * thread. */
void janitor_tell_time(struct gateway *g);

/* ---- gateway.c ---- */

struct gateway *gateway_new(const struct server_options *options);
void gateway_free(struct gateway *g);
/* Is S3 served by TLS? */
bool gateway_is_https(const struct gateway *g);
int gateway_check_options(const struct server_options *o, struct err *err);
/* Does this server do what one of the cluster does for all? */
bool gateway_leads(const struct gateway *g);

/* ---- control.c ---- */

#define CONTROL_KEY "GWCONTROL"

int control_write(struct gateway *g, struct err *err);
void control_remove(struct gateway *g);

/* ---- store.c ---- */

/* Take the lock of DATA, made when missing. ERR_LOCKED. */
int store_lock(struct gateway *g, struct err *err);
/* DATA/cluster: "godwit 1" and the id in hex, a line each. ERR_NOT_FOUND: a
 * new folder. */
int store_read_cluster(struct gateway *g, struct err *err);
int store_write_cluster(const struct gateway *g, struct err *err);
/* Everything but HTTP. On failure store_close undoes what was done. */
int store_open_alone(struct gateway *g, struct err *err);
/* In a cluster: all that needs no other server. Joins when that is asked. */
int store_open_member(struct gateway *g, struct err *err);
/* The cluster port is served. Credentials are set. */
void store_start_member(struct gateway *g);
/* Open the objects, when the catalogue answers; false: g->stopping. */
bool store_wait_member(struct gateway *g);
void store_close(struct gateway *g);

/* Does a shard of a whole chunk by @policy fit into a segment? ERR_BAD_INPUT.
 */
int store_check_segments(const struct gateway *g, struct ec_policy policy,
                         struct err *err);

/* ---- layout.c ---- */

struct map_list;

#define LAYOUT_GROUPS 64
#define LAYOUT_POLICY "4+2" /* when nothing is said */

/* Read the layout from the catalogue, or, in a new store, make one for this
 * server's drives and propose it. map_list_free it. */
int layout_load(struct gateway *g, struct map_list *out, struct err *err);
/* Let the objects go by it. */
int layout_use(struct object_store *objects, const struct map_list *maps,
               struct err *err);
/* See to it that puts can be by @policy: on this server when it returns, on
 * others when they have heard. ERR_PRECONDITION: the drives cannot hold it, and
 * the error says what it would survive. */
int layout_add_policy(struct gateway *g, struct ec_policy policy,
                      struct err *err);
/* ERR_BAD_INPUT: --ec was given, and the store was made with another. */
int layout_check_policy(const struct gateway *g, struct ec_policy made,
                        struct err *err);

#endif
