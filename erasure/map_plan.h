/* map_plan.h: a first map, and the moves that lead from one to the next.
 *
 * A plan leads to a map in which
 * 1. no slot is on a drive that is draining, gone or unknown;
 * 2. every group keeps to the caps of map_shares.h, so its failure domains are
 *    as distinct as they can be;
 * 3. the load of each drive is near its share: within MAP_SLACK_PERCENT of it,
 *    at least one slot, after rounding;
 * and moves only what must move for that. The caps of zones, nodes and drives
 * lie within each other, so they form a laminar matroid: of a group's slots any
 * maximal set that keeps to the caps has the same size, and can always be
 * completed. That gives the fewest moves for 1 and 2. For 3, slots go straight
 * from a drive above its share to one below; where the caps leave no straight
 * way, over a third drive.
 *
 * A group makes one move in a wave. Who carries out a plan finishes the moves
 * of a group in the order of their waves; then a group never misses more slots
 * than it misses already plus the one on its way. Waves begin with what is lost
 * (gone), then draining, then the rest.
 *
 * The same map and drives, in any order, give the same plan.
 *
 * Source of the matroid's properties: J. Oxley, Matroid Theory, 1.1-1.2.
 * Pure functions. Threads: any.
 */
#ifndef GODWIT_ERASURE_MAP_PLAN_H
#define GODWIT_ERASURE_MAP_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "erasure/map.h"

struct err;

#define MAP_SLACK_PERCENT 2

struct map_plan {
    struct map_move *moves; /* by wave, urgency, group, slot */
    size_t count;
    uint32_t waves;
    size_t evacuated; /* moves that leave drives draining, gone or unknown */
    /* Slots that should move and have nowhere to go (all others full), and
     * slots by which drives stay above or below their shares beyond the
     * slack. */
    size_t homeless, uneven;
};

/* A map of @groups groups (1..PLACEMENT_GROUPS_MAX) over the drives that are
 * up, at epoch 1. ERR_UNAVAILABLE when there is none; as map_shares_new. */
int map_make(struct ec_policy policy, uint32_t groups,
             const struct map_drive *drives, size_t count,
             struct placement_map *out, struct err *err);

/* What to move in @map now that the drives are @drives. Errors as
 * map_shares_new. */
int map_plan(const struct placement_map *map, const struct map_drive *drives,
             size_t count, struct map_plan *out, struct err *err);
void map_plan_free(struct map_plan *plan);

#endif
