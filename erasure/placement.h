/* placement.h: which drives hold a placement group.
 *
 * A placement group is k+m slots on drives in distinct failure domains.
 * Rendezvous hashing: each (group, drive) pair gets a score from a 64-bit mix
 * of both and the drive's weight; the drives with the highest scores win,
 * distinct zones first, then distinct nodes, then distinct drives. Adding a
 * drive moves to it only what it wins; removing one moves only what it had.
 * Slot order follows the scores, so data and parity are spread over all drives.
 *
 * Source: D. Thaler, C. Ravishankar, "Using Name-Based Mappings to Increase
 * Hit Rates", IEEE/ACM ToN 6(1), 1998; weights: score = -w / ln(u).
 * Pure function. Threads: any.
 */
#ifndef GODWIT_ERASURE_PLACEMENT_H
#define GODWIT_ERASURE_PLACEMENT_H

#include <stddef.h>
#include <stdint.h>

#include "erasure/geometry.h"

struct err;

#define PLACEMENT_NO_DRIVE 0xffffu
#define PLACEMENT_DRIVES_MAX 10000
#define PLACEMENT_GROUPS_MAX (1u << 20)

struct placement_drive {
    uint16_t drive; /* id, unique in the cluster, never used again */
    uint16_t node;
    uint16_t zone;
    uint32_t weight; /* > 0, in proportion to capacity */
};

struct placement_group {
    uint32_t id;
    uint32_t epoch; /* raised at each change */
    struct ec_policy policy;
    uint16_t slots[GEOMETRY_SLOTS_MAX]; /* drive ids; k+m of them */
};

/* Fill @group->slots for @group->id and @group->policy. With fewer drives than
 * k+m drives are used more than once, as evenly as can be, and
 * *@distinct says how many differ. ERR_UNAVAILABLE when there is no drive. */
int placement_choose(const struct placement_drive *drives, size_t count,
                     struct placement_group *group, unsigned *distinct,
                     struct err *err);

#endif
