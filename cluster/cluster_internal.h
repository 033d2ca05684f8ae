/* cluster_internal.h: what the files of cluster/ share.
 *
 * Threads: the struct says.
 */
#ifndef GODWIT_CLUSTER_CLUSTER_INTERNAL_H
#define GODWIT_CLUSTER_CLUSTER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/workers.h"
#include "cluster/cluster.h"
#include "cluster/identity.h"
#include "cluster/join_wire.h"
#include "meta/meta_cluster.h"
#include "net/net.h"

/* Another server, as this one sees it. */
struct peer {
    struct cluster *cluster;
    uint32_t id;
    char address[META_ADDRESS_MAX + 1];
    bool removed;                   /* the keeper sets it under the mutex */
    atomic_uint_least64_t heard_ms; /* clock_mono_ms of its last answer */
    atomic_uint_least64_t clock_ms; /* what its clock said then */
    atomic_bool asked;              /* a ping is on its way */
    struct net_call ping;
    struct peer *next;
};

/* What the keeper remembers of a certificate that is to be renewed; zeroed when
 * it was. */
struct renewal {
    uint64_t since_ms; /* when it became due; all clock_mono_ms */
    uint64_t again_ms; /* not before */
    uint32_t asked;    /* the last server that was */
    bool told, ca_told;
    uint64_t told_ms, ca_told_ms;
    struct err why; /* it failed last */
};

struct meta_proposal;

struct cluster {
    /* Set at open and start. */
    char *name, *zone, *endpoint;
    char *address; /* that others are told */
    uint32_t roles;
    uint16_t drive_count;
    /* Those beyond drive_count stood in earlier options. */
    uint16_t drives_drawn;
    struct command_drive drives[CLUSTER_DRIVES_MAX];
    uint16_t drive_ids[CLUSTER_DRIVES_MAX]; /* or JOIN_NO_DRIVE */
    struct identity identity;
    struct net *net;
    struct meta *meta;
    struct workers *workers;
    const char *access_key, *secret_key;
    char *joined_access_key, *joined_secret_key;
    char *master_key_path;     /* NULL: one that comes is not kept */
    const uint8_t *master_key; /* given to those who join; NULL: none */

    /* The keeper's. */
    pthread_t keeper;
    struct peer *peers; /* it adds them under the mutex */
    uint64_t revision;  /* of the registry that was last looked at */
    struct buf ping;    /* what a ping says */
    uint64_t pinged_ms, voted_ms;
    bool tried; /* to found the cluster */
    /* This server was: it is so, or the own copy of the registry says so. Any
     * thread. */
    atomic_bool removed, row_removed;
    struct renewal renewal;

    /* The mover's. */
    pthread_t mover;
    struct ec_policy policy;
    uint64_t repair_after_ms;

    struct peers *drive_peers;
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t cond, mover_cond, unused;
    struct object_store *objects;
    uint32_t epoch; /* of the layout that they go by */
    unsigned objects_used;
    bool letting_go; /* of the objects */
    struct cluster_progress progress;
    bool stopping, started;
    bool replan; /* the mover is to make a new plan */
    bool woken;
};

/* ---- follow.c ---- */

void cluster_follow(struct cluster *c, const struct meta_registry *r);
/* The objects until they are given back; NULL when there are none (any more).
 */
struct object_store *cluster_objects_take(struct cluster *c);
void cluster_objects_give(struct cluster *c);
bool cluster_goes_on(struct cluster *c);

/* ---- mover.c ---- */

#define CLUSTER_REPLAN \
    3 /* NET_CLUSTER, to who leads; nothing in, nothing out */

void *cluster_mover_main(void *arg);
/* A new plan, now. False: the catalogue is not led here. Any thread. */
bool cluster_replan(struct cluster *c);

/* ---- own_drives.c ---- */

/* Those of the options, with the uuids and ids of DATA/identity/drives; who is
 * not there gets a uuid. */
int cluster_load_drives(struct cluster *c, const struct cluster_options *o,
                        struct err *err);
/* Take the ids (drive_count of them), and save them. */
int cluster_know_drives(struct cluster *c, const uint16_t *ids,
                        struct err *err);
/* Those that came after the join: learn their ids from the registry, or have
 * them added to it. The keeper. */
void cluster_name_drives(struct cluster *c, const struct meta_registry *r);

/* ---- join.c ---- */

/* Become a member through the server at @address. */
int cluster_join(struct cluster *c, const char *address, const char *token,
                 struct err *err);
/* Is it of this cluster? ERR_DENIED. */
int cluster_check_token(const struct cluster *c, const struct pki_token *t,
                        struct err *err);
/* Propose and wait; frees @command. A refusal's text is the catalogue's own. */
int cluster_propose(struct cluster *c, struct buf *command,
                    struct meta_proposal *p, struct err *err);
/* Serve NET_JOIN. */
void cluster_serve_joins(struct cluster *c);
/* Addresses of servers, for a start before the catalogue can be asked. */
int cluster_save_servers(const struct cluster *c,
                         const struct join_server *servers, size_t count,
                         struct err *err);
int cluster_load_servers(struct cluster *c, struct err *err);
/* The server's row as commands want it; borrows from @c. */
void cluster_describe(const struct cluster *c, const uint8_t *fingerprint,
                      struct command_server *out);

/* ---- renew.c ---- */

#define CLUSTER_RENEW 2 /* NET_CLUSTER: request and answer are PEM */

/* Renew the certificate if it is time; the keeper, each round. May wait for
 * another server's answer. */
void cluster_renew(struct cluster *c);
/* Such a request: a certificate for the server that asks. */
void cluster_answer_renewal(struct cluster *c, struct net_request *r);

/* ---- flight.c ---- */

#define CLUSTER_FLIGHT 4 /* NET_CLUSTER: a run; is a put of it in flight? */

void cluster_answer_flight(struct cluster *c, struct net_request *r);

/* ---- ask.c ---- */

#define CLUSTER_ASK_MS 6000 /* more than a read of the catalogue may take */

/* Gives the answer, on a worker. It is wiped once it is sent. */
typedef int (*cluster_answer_fn)(struct cluster *c, struct net_request *r,
                                 struct buf *answer, struct err *err);
/* Have @fn answer @r: of anybody, or of servers only. */
void cluster_answer(struct cluster *c, struct net_request *r,
                    cluster_answer_fn fn);
void cluster_answer_server(struct cluster *c, struct net_request *r,
                           cluster_answer_fn fn);
/* Ask @server and append what it answers. The error names it. */
int cluster_ask(struct cluster *c, uint32_t server, uint8_t type,
                const struct buf *question, struct buf *answer,
                struct err *err);

/* ---- issue.c ---- */

#define CLUSTER_ISSUE                                      \
    5 /* NET_CLUSTER: a certificate for a port or a device \
       */

void cluster_answer_issue(struct cluster *c, struct net_request *r);

_Static_assert(CLUSTER_FLIGHT != CLUSTER_REPLAN &&
                   CLUSTER_FLIGHT != CLUSTER_RENEW &&
                   CLUSTER_ISSUE != CLUSTER_FLIGHT &&
                   CLUSTER_ISSUE != CLUSTER_REPLAN,
               "requests of one service");

/* ---- keeper.c ---- */

void *cluster_keeper_main(void *arg);
void cluster_serve_pings(struct cluster *c);
/* There is something to look at. Any thread. */
void cluster_wake(struct cluster *c);
/* Ask the catalogue for a place for one more drive of this server. */
void cluster_add_drive(struct cluster *c, const struct command_drive *drive);
void cluster_free_peers(struct cluster *c);
/* @server is at @address. The keeper, or before it runs. */
void cluster_meet(struct cluster *c, uint32_t server, const char *address);

#endif
