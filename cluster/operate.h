/* operate.h: what an operator may have done to the cluster.
 *
 * Each is one or a few commands to the catalogue; the mover and the keepers of
 * all servers see to the rest. Errors say what stands in the way:
 * ERR_NOT_FOUND (no such server or drive), ERR_PRECONDITION, ERR_UNAVAILABLE.
 *
 * Threads: any but the cluster's own; calls block.
 */
#ifndef GODWIT_CLUSTER_OPERATE_H
#define GODWIT_CLUSTER_OPERATE_H

#include <stdbool.h>
#include <stdint.h>

#include "erasure/geometry.h"
#include "meta/meta_cluster.h"

struct cluster;
struct err;

/* Find a server by its id or name. */
int cluster_find_server(struct cluster *c, const char *text, uint32_t *out,
                        struct err *err);

/* Move everything off its drives, or (!@on) let it take data again. */
int cluster_drain_server(struct cluster *c, uint32_t server, bool on,
                         struct err *err);
int cluster_drain_drive(struct cluster *c, uint16_t drive, bool on,
                        struct err *err);

/* Let go of it for ever. Without @force only when nothing is on it any more;
 * with it what was on it counts as lost and is rebuilt from the other shards,
 * and ERR_PRECONDITION when they are too few, or when it is heard and well and
 * not being drained. */
int cluster_remove_server(struct cluster *c, uint32_t server, bool force,
                          struct err *err);
int cluster_remove_drive(struct cluster *c, uint16_t drive, bool force,
                         struct err *err);

/* Have the layout planned anew from the drives as they are now, where the
 * catalogue is led. ERR_UNAVAILABLE: nobody leads. */
int cluster_rebalance(struct cluster *c, struct err *err);

/* ERR_NOT_FOUND. @id: the first 8 to 32 bytes of the hash, in hex. */
int cluster_token_revoke(struct cluster *c, const char *id, struct err *err);

/* See to it that the layout has groups of @policy. ERR_PRECONDITION: the drives
 * that there are cannot hold it, and the error says what it would survive;
 * ERR_LIMIT; ERR_UNAVAILABLE. */
int cluster_add_policy(struct cluster *c, struct ec_policy policy,
                       struct err *err);

struct map_list;

/* How a drive is at this moment, for people. @maps is the layout of @r, or
 * empty when there is none yet. */
struct cluster_drive {
    const struct meta_drive *row;
    uint32_t slots; /* of the layout, on it */
    bool reached;
    bool up;
    char reason[160]; /* why it is not up */
    uint64_t shards, live_bytes, used_bytes, free_bytes, size_bytes;
};
void cluster_drive_look(struct cluster *c, const struct meta_registry *r,
                        const struct map_list *maps, size_t i,
                        struct cluster_drive *out);

/* How the layout is: what it survives, from the drives as they are now. */
struct cluster_layout {
    uint32_t epoch, groups;
    uint32_t groups_degraded, groups_lost;
    uint64_t moves_left; /* that a plan made now has */
    char survives[160];
};
void cluster_layout_look(struct cluster *c, const struct meta_registry *r,
                         const struct map_list *maps,
                         struct cluster_layout *out);
/* The layout of @r, decoded; empty when there is none. map_list_free it.
 * ERR_CORRUPT, ERR_VERSION. */
int cluster_layout_read(const struct meta_registry *r, struct map_list *maps,
                        struct err *err);

#endif
