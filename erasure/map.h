/* map.h: the placement map of a cluster: which drive has which slot.
 *
 * A map is a list of placement groups of one policy; group i has id i and
 * n = k + m slots, each on one drive. It changes one slot at a time: the
 * planner (map_plan.h) gives moves, who carries them out copies or rebuilds the
 * shards of the slot and then proposes the move, and map_apply writes it down.
 * Every change raises the epoch of the group and of the map by one.
 *
 * As bytes (little-endian), version 2:
 *
 *     u8 version (2), u8 k, u8 m, u8 l, u32 epoch, u32 groups,
 *     then for each group, by id: u32 id, u32 epoch, n x u16 drive id
 *
 * Version 1 is what a store on one machine wrote; its drives are 0..drives-1
 * and its epoch is taken to be that of its newest group:
 *
 *     u8 version (1), u8 k, u8 m, u16 drives, u32 groups,
 *     then for each group, by id: u32 id, u32 epoch, n x u16 drive id
 *
 * They are valid when
 * 1. k, m and l are a policy (geometry.h) and groups is 1 to
 *    PLACEMENT_GROUPS_MAX;
 * 2. the length is exactly that of so many groups;
 * 3. group i has id i;
 * 4. no epoch is 0, and no group is newer than the map;
 * 5. no slot is PLACEMENT_NO_DRIVE, in version 1 none is drives or more.
 *
 * Pure functions. Threads: any; a map belongs to its caller.
 */
#ifndef GODWIT_ERASURE_MAP_H
#define GODWIT_ERASURE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "erasure/geometry.h"
#include "erasure/placement.h"

struct buf;
struct err;

enum map_drive_state {
    MAP_DRIVE_UP,
    MAP_DRIVE_DRAINING, /* still read from, but it must become empty */
    MAP_DRIVE_GONE,     /* what it held is lost */
};

/* A drive as it is now. A node is known by zone and node together. */
struct map_drive {
    uint16_t id; /* unique, never used again, not PLACEMENT_NO_DRIVE */
    uint16_t node;
    uint16_t zone;
    uint8_t state;       /* enum map_drive_state */
    uint32_t weight;     /* in proportion to capacity; 0: as draining */
    uint64_t free_bytes; /* 0: takes no more, and keeps what it has */
};

struct placement_map {
    uint32_t epoch;
    struct ec_policy policy;
    uint32_t count;
    struct placement_group *groups;
};

/* One slot from one drive to another. */
struct map_move {
    uint32_t group;
    uint8_t slot;
    uint16_t from, to;
    uint32_t wave; /* map_plan.h */
};

/* How much may be lost at once, whatever it is, without losing data: the worst
 * case over all groups. Slots on drives that are gone or not in the list count
 * as lost already. */
struct map_survival {
    unsigned zones, nodes, drives;
    uint32_t groups_degraded; /* miss a slot, and can be read */
    uint32_t groups_lost;     /* miss too much to be read */
};

void map_free(struct placement_map *map); /* make it empty */
void map_copy(const struct placement_map *map, struct placement_map *out);
unsigned map_slots(const struct placement_map *map); /* n */

void map_encode(const struct placement_map *map, struct buf *out);
/* Either version. ERR_VERSION for another, ERR_CORRUPT when it is not valid. */
int map_decode(const void *p, size_t len, struct placement_map *out,
               struct err *err);

/* Write down a move that was carried out; its wave does not matter.
 * ERR_BAD_INPUT for a slot that does not exist or no drive, ERR_PRECONDITION
 * when the slot is not on @move->from (any more). */
int map_apply(struct placement_map *map, const struct map_move *move,
              struct err *err);

/* Exact: of each group the fullest zones, nodes and drives go first; with local
 * groups every choice of them is tried, as it matters which shards they hold.
 */
struct map_survival map_survives(const struct placement_map *map,
                                 const struct map_drive *drives, size_t count);

/* "survives the loss of any 2 drives, or any 1 node, or any 1 zone"; of a
 * map with lost groups, how many. @out needs MAP_SURVIVES_MAX bytes. */
#define MAP_SURVIVES_MAX 160
char *map_survives_text(const struct map_survival *s, char *out);

/* Slots for each weight of the fullest drive over the mean: 1.0 is perfect.
 * Over drives that are up and have weight; 0 when there is none. */
double map_balance(const struct placement_map *map,
                   const struct map_drive *drives, size_t count);

#endif
