/* gateway_internal.h: what the files of gateway/ share.
 *
 * Threads: written at start and stop; read by all between.
 */
#ifndef GODWIT_GATEWAY_GATEWAY_INTERNAL_H
#define GODWIT_GATEWAY_GATEWAY_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "erasure/geometry.h"
#include "gateway/gateway.h"

struct buf;
struct drives;
struct http;
struct janitor;
struct meta;
struct object_bytes;
struct object_store;
struct pool;
struct request;
struct sigv4_keys;
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
    uint8_t cluster[16];
    int lock_fd;
    struct ec_policy policy;
    uint64_t start_ms;
    atomic_bool ready;

    struct pool *pool;
    struct workers *workers;
    struct meta *meta;
    struct drives *drives;
    struct object_store *objects;
    struct sigv4_keys *keys;
    struct janitor *janitor;
    struct http *http;
    atomic_uint streams; /* replies from drives: sets window sizes */
    atomic_uint uploads; /* OBJECT bodies being received: sets chunk sizes */
};

/* ---- admin.c ---- */

/* Gauges of memory, drives and repair, read when /-/metrics is. */
void admin_register_metrics(struct gateway *g);

/* ---- credentials.c ---- */

/* Root credentials: from the environment, else from DATA/credentials, else made
 * there. Gives both strings. */
int credentials_load(const char *data, char **access_key, char **secret_key,
                     bool *made, struct err *err);

/* ---- s3_auth.c ---- */

/* Who asks, and may they? Fills r->auth and r->signing_key; false: a reply was
 * made. */
bool s3_authenticate(struct request *r);
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

/* ---- layout.c ---- */

struct placement_group;

#define LAYOUT_GROUPS 64

/* Read the placement groups from the catalogue, or, in a new store, choose them
 * for drives 0..@drives-1 and propose them. Gives an array. */
int layout_load(struct meta *m, struct ec_policy policy, unsigned drives,
                struct placement_group **groups, uint32_t *count,
                struct err *err);

#endif
