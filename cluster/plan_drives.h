/* plan_drives.h: the drives of the registry as the planner wants them.
 *
 * A drive that does not answer keeps what it has and is given nothing; after
 * the grace time it counts as gone. One that drains, or whose server does, is
 * to become empty.
 *
 * Threads: one.
 */
#ifndef GODWIT_CLUSTER_PLAN_DRIVES_H
#define GODWIT_CLUSTER_PLAN_DRIVES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "erasure/map.h"
#include "meta/meta_cluster.h"

struct peers;

struct plan_drives {
    struct map_drive *list;
    size_t count;
    /* Of the look before. */
    bool changed;
    uint64_t *silent_ms; /* [drive id] since when; 0: it answers */
    size_t silent_count;
};

/* @peers may be NULL: then all answer. */
void plan_drives_look(struct plan_drives *p, const struct meta_registry *r,
                      struct peers *peers, uint64_t grace_ms, uint64_t now_ms);
/* Is anything for a plan other than at the look before? */
bool plan_drives_changed(const struct plan_drives *p);
/* Nobody has looked for a while: times of silence begin anew. */
void plan_drives_forget(struct plan_drives *p);
void plan_drives_free(struct plan_drives *p);

#endif
