/* map_shares.h: how much each drive of a cluster should hold.
 *
 * Two things are wanted of a map: the slots of a group in failure domains as
 * distinct as possible, and load that follows weight. The first is stated as
 * caps, the same for each group:
 *
 *     a drive holds at most caps.drive of a group's n slots,
 *     a node at most caps.node, a zone at most caps.zone,
 *
 * each the smallest number for which the n slots still fit: first that of the
 * drive (1 when there are n drives), then of the zone, then of the node. The
 * second is stated as shares: the slots that each drive should hold, in
 * proportion to weight as far as the caps allow; where a domain is so small
 * that the caps bound it, the rest goes to the others in proportion.
 *
 * Distinctness is not bought at any price: a domain counts for no more slots
 * than would fill its drives to MAP_OVERFILL times the mean. So the first four
 * drives of a new zone do not draw a quarter of all data on themselves.
 *
 * A drive is usable when it is up and has weight. The domains are ranges:
 * usable drives are numbered in the order of (zone, node, id).
 *
 * Pure function. Threads: any.
 */
#ifndef GODWIT_ERASURE_MAP_SHARES_H
#define GODWIT_ERASURE_MAP_SHARES_H

#include <stddef.h>
#include <stdint.h>

#include "erasure/map.h"

struct err;

#define MAP_OVERFILL 4
#define MAP_SHARE_ONE 1024 /* shares are in 1/1024 of a slot */

struct map_caps {
    unsigned drive, node, zone; /* of the slots of one group */
};

struct map_usable {
    uint16_t id;
    bool full; /* takes no more */
    uint32_t weight;
    uint32_t load; /* slots that it has now */
    uint32_t node_first, node_end;
    uint32_t zone_first, zone_end;
    int64_t share; /* in 1 / MAP_SHARE_ONE */
};

struct map_shares {
    struct map_caps caps;
    uint32_t count;
    struct map_usable *drives; /* in the order of (zone, node, id) */
    /* Number of a drive by its id, or MAP_NO_NUMBER when it is not usable. */
    uint32_t *number;
};

#define MAP_NO_NUMBER UINT32_MAX

/* The shares of @groups groups of @slots slots each. @map (may be NULL) gives
 * the load. ERR_UNAVAILABLE when no drive is usable, ERR_BAD_INPUT when an id
 * is not allowed or comes twice, ERR_LIMIT with too many drives. */
int map_shares_new(const struct map_drive *drives, size_t count, unsigned slots,
                   uint32_t groups, const struct placement_map *map,
                   struct map_shares *out, struct err *err);
void map_shares_free(struct map_shares *s);

#endif
