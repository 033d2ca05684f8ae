/* cluster.h: this server among the others.
 *
 * Opens the identity (founds a cluster, or joins one by token), the cluster
 * port, and keeps what the catalogue says of servers true here: whom to call
 * where, who votes. Leading, it lets servers with the meta role vote, up to
 * CLUSTER_VOTERS, one change at a time (cluster/members.h).
 *
 *     cluster_open      identity and net, not started
 *     meta_open         with cluster_net, cluster_server
 *     cluster_start     serves joins, starts net and keeper
 *     ...
 *     cluster_stop      nothing comes or goes any more
 *     (the workers)     end: one may be at a join
 *     meta_close
 *     cluster_close
 *
 * Threads: these at start and end; a keeper thread of its own.
 */
#ifndef GODWIT_CLUSTER_CLUSTER_H
#define GODWIT_CLUSTER_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "erasure/geometry.h"

struct buf;
struct cluster;
struct err;
struct meta;
struct meta_registry;
struct net;
struct object_store;
struct peers;
struct workers;

#define CLUSTER_VOTERS 5
#define CLUSTER_DRIVES_MAX 64

enum cluster_role {
    CLUSTER_ROLE_GATEWAY = 1,
    CLUSTER_ROLE_NODE = 2,
    CLUSTER_ROLE_META = 4,
};
#define CLUSTER_ROLES_ALL 7u

/* "gateway,node"; ERR_BAD_INPUT names the word that is no role. */
int cluster_roles_parse(const char *text, uint32_t *out, struct err *err);

struct cluster_options {
    const char *data;
    const char *listen;    /* of the cluster port */
    const char *advertise; /* where others reach it; NULL: at listen */
    const char *join;      /* a member's cluster port; NULL: found, or go on */
    const char *token;     /* for the first join */
    const char *name;      /* of this server; NULL: the host's */
    const char *zone;
    uint32_t roles;
    size_t drive_count;
    uint32_t weights[CLUSTER_DRIVES_MAX]; /* MiB */
    uint8_t cluster_id[16];               /* to found */
    struct ec_policy policy;              /* to found */
    const char *master_key_path; /* of one that comes with a join, or NULL */
    uint64_t repair_after_ms;    /* a drive that is silent so long is gone */
};

/* Join or found if that has not been done. ERR_DENIED: the token is not good,
 * or this server was removed; ERR_EXISTS: another server has its name, address
 * or drive; ERR_LIMIT; ERR_UNAVAILABLE: the member at @join cannot be reached;
 * ERR_TIMEOUT, ERR_UNKNOWN: it may have joined, and asks for the same again;
 * ERR_IO, ERR_BAD_INPUT: the port cannot be listened on. ERR_CORRUPT. */
int cluster_open(const struct cluster_options *options, struct cluster **out,
                 struct err *err);

struct net *cluster_net(const struct cluster *c);
uint32_t cluster_server(const struct cluster *c);
const uint8_t *cluster_id(const struct cluster *c); /* 16 bytes */
const char *cluster_address(const struct cluster *c);
/* Is the catalogue to be made here? Else meta_options.join: the founder of more
 * than itself that lost its catalogue must not make another. Before
 * cluster_start. */
bool cluster_founds(const struct cluster *c);
/* Root credentials that came with the join; NULL when none did just now. */
const char *cluster_access_key(const struct cluster *c);
const char *cluster_secret_key(const struct cluster *c);

/* Let drives that @r has be asked where they are, before the objects that lie
 * there are opened by its layout. Any thread, after cluster_use_peers. */
void cluster_learn_drives(struct cluster *c, const struct meta_registry *r);
/* The drives, of this server and others: kept true to the registry. Before
 * cluster_start; kept. */
void cluster_use_peers(struct cluster *c, struct peers *p);
/* The objects, once they are open: their groups are kept true to the layout,
 * and where the catalogue is led, slots are moved. NULL, before they are
 * closed: waits until nothing uses them. */
void cluster_use_objects(struct cluster *c, struct object_store *s);

/* Given to those who join and take requests or keep the catalogue: ROOT_KEY
 * bytes, or NULL; kept. Before cluster_start. */
void cluster_give_master_key(struct cluster *c, const uint8_t *key);
/* @access_key and @secret_key are given to those who join; kept. */
void cluster_start(struct cluster *c, struct meta *m, struct workers *workers,
                   const char *endpoint, const char *access_key,
                   const char *secret_key);
/* The ids of this server's drives, in the order of its options, as soon as it
 * is open. ERR_NOT_FOUND: one of them came after the join, and the cluster has
 * not named it yet (its id is JOIN_NO_DRIVE). */
int cluster_drive_ids(struct cluster *c, uint16_t *ids, struct err *err);
/* Before this server ends: another voter that is heard leads the catalogue, if
 * this one does. Nothing else has been stopped yet. */
void cluster_hand_over(struct cluster *c);
void cluster_stop(struct cluster *c);
void cluster_close(struct cluster *c);

/* Of the layout that the objects go by; 0: none yet. */
uint32_t cluster_epoch(struct cluster *c);

/* Has @server answered within the last seconds? */
bool cluster_hears(struct cluster *c, uint32_t server);

/* How many other servers there are, and how many of them are not heard. */
void cluster_count(struct cluster *c, size_t *servers, size_t *silent);

/* Is a put of this run (chunk id with the low 24 bits of @lo clear) in flight
 * at another server, or may it be, as one does not answer? Blocks. */
bool cluster_put_in_flight(struct cluster *c, uint64_t hi, uint64_t lo);

/* The others, or the registry, say that this server was removed: it may serve
 * nobody any more. */
bool cluster_removed(const struct cluster *c);

/* Of the moves that are under way; only where the catalogue is led. */
struct cluster_progress {
    uint64_t since_ms; /* clock_mono_ms at the plan's start */
    uint64_t moves_made, moves_left, bytes;
    uint64_t homeless; /* slots that should move and have nowhere to go */
};
void cluster_progress(struct cluster *c, struct cluster_progress *out);

/* ---- certificates by the cluster's CA (crypto/pki.h) ----
 * Made here or, without the CA's key, by another server; may wait for it. After
 * cluster_start. Errors of pki_issue_*; ERR_UNAVAILABLE: nobody who could is
 * heard. */

int cluster_issue_https(struct cluster *c, const struct buf *request,
                        const char *const *names, size_t count,
                        struct buf *cert, struct err *err);
int cluster_issue_device(struct cluster *c, const void *request,
                         size_t request_len, uint64_t number, struct buf *cert,
                         struct err *err);
/* pki_sign_policy; at most PKI_PEM_MAX bytes. */
int cluster_sign_policy(struct cluster *c, const void *p, size_t len,
                        struct buf *signature, struct err *err);

/* ---- tokens, for the command line and the admin API ---- */

/* A token good for @uses joins until @expires_ms; its text, free() and wipe.
 * ERR_BAD_INPUT: uses, time or note are over their limits (meta/command.h);
 * ERR_PRECONDITION: the cluster is just being founded; ERR_LIMIT;
 * ERR_UNAVAILABLE. */
int cluster_token_create(struct cluster *c, uint64_t expires_ms, uint32_t uses,
                         const char *note, char **out, struct err *err);
/* The same for @for_ms from now, appended to @out as the object that the admin
 * API answers: token, expires_ms, uses. Wipe @out. */
int cluster_token_json(struct cluster *c, uint64_t for_ms, uint32_t uses,
                       const char *note, struct buf *out, struct err *err);

#endif
