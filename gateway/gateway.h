/* gateway.h: a whole store: catalogue, drives, object store and HTTP.
 *
 * Threads: start and stop from one thread; the rest any.
 */
#ifndef GODWIT_GATEWAY_GATEWAY_H
#define GODWIT_GATEWAY_GATEWAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"

struct err;
struct gateway;

/* The settings of `godwit server`: flags, file and help come from
 * server_table. */
struct server_options {
    char *data;
    char *listen;
    uint64_t drives;
    struct config_list drive;
    char *ec;
    char *region;
    char *domain;
    char *tls_cert;
    char *tls_key;
    char *master_key;
    char *log_level;
    uint64_t memory_bytes;
    uint64_t io_threads;
    uint64_t workers;
    uint64_t connections;
    uint64_t connections_per_ip;
    uint64_t segment_bytes;
    uint64_t reserve_bytes;
    uint64_t header_timeout_ms;
    uint64_t body_timeout_ms;
    uint64_t body_rate_bytes;
    uint64_t gc_interval_ms;
    uint64_t gc_delay_ms;
    uint64_t orphan_age_ms;
    uint64_t upload_expiry_ms;
    uint64_t lifecycle_interval_ms;
    uint64_t log_interval_ms;
    uint64_t scrub_interval_ms;
    uint64_t hedge_ms;
    uint64_t put_timeout_ms;
    uint64_t part_min_bytes;
    char *cluster;
    char *advertise;
    char *join;
    char *token;
    char *zone;
    char *name;
    char *roles;
    uint64_t repair_after_ms;
    uint64_t repair_rate_mib;
    uint64_t recode_rate_mib;
    char *tls;
    struct config_list tls_name;
};

extern const struct config_row server_table[];

/* Open everything in @options->data (kept) and listen. Gives a server that
 * answers. Errors say which part could not start and why. */
int gateway_start(const struct server_options *options, struct gateway **out,
                  struct err *err);
/* Stop listening, finish what is at hand, close everything. */
void gateway_stop(struct gateway *g);

/* "http://127.0.0.1:9000"; borrowed. */
const char *gateway_endpoint(const struct gateway *g);
/* The CA's certificate that clients are to trust, a file; NULL: they need none,
 * or another. Borrowed. */
const char *gateway_ca_file(const struct gateway *g);
/* True when the first start made root credentials in DATA/credentials. */
bool gateway_made_credentials(const struct gateway *g);

/* Open catalogue and drives of @options->data (no HTTP) and check everything:
 * the database, and for each object every shard. One line for each defect to
 * @report. With @repair what can be rebuilt is. Gives the count of defects in
 * *@defects. For `godwit verify` on a stopped store. */
int gateway_verify(const struct server_options *options, bool repair,
                   void (*report)(void *arg, const char *line), void *arg,
                   uint64_t *defects, struct err *err);

/* ---- the catalogue of a stopped server: `godwit catalogue` ----
 * ERR_LOCKED: the server runs. Others as meta/meta_rebuild.h has them. */

struct meta_backup_info;
struct meta_rebuild;

int gateway_catalogue_backup(const char *data, const char *output,
                             struct meta_backup_info *info, struct err *err);
/* From @r's backup, or, when that is NULL, from what this server has. from and
 * replace are the caller's; gives log_unread, applied, made_ms and aside. */
int gateway_catalogue_rebuild(const char *data, struct meta_rebuild *r,
                              struct err *err);
/* Set the catalogue aside: the server takes a copy of the others'. */
int gateway_catalogue_rejoin(const char *data, char **aside, struct err *err);

#endif
