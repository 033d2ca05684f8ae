/* map_list.h: the layout: a placement map for each erasure policy in use.
 *
 * The first map is that of the policy that the store was made with; one is
 * added when a bucket is given another policy, and none is ever taken away, as
 * manifests name its groups. Within a map groups count from 0; in manifests,
 * shards and all that knows no maps they count on through the list: group i of
 * a map is map_list_first() + i. Each map is planned and balanced by itself
 * (map_plan.h): what is near the share of a drive in each is near it in sum.
 *
 * As bytes a list of one map is that map (map.h, version 2, or 1 to be read),
 * and a longer one is version 3:
 *
 *     u8 version (3), u8 maps, u16 0,
 *     then for each map: u32 bytes, and so many of version 2
 *
 * Valid when there are 2 to MAP_LIST_MAX maps, each is valid, no two are of one
 * policy, the groups of all are at most PLACEMENT_GROUPS_MAX, and no byte is
 * left over.
 *
 * Pure functions. Threads: any; a list belongs to its caller.
 */
#ifndef GODWIT_ERASURE_MAP_LIST_H
#define GODWIT_ERASURE_MAP_LIST_H

#include "erasure/map.h"

#define MAP_LIST_MAX 16 /* policies, so many that no one would tell apart */

struct map_list {
    unsigned count; /* 0: empty */
    struct placement_map maps[MAP_LIST_MAX];
};

void map_list_free(struct map_list *l); /* make it empty */

void map_list_encode(const struct map_list *l, struct buf *out);
/* Any version. As map_decode. */
int map_list_decode(const void *p, size_t len, struct map_list *out,
                    struct err *err);

/* The map of @policy; -1: there is none. */
int map_list_find(const struct map_list *l, struct ec_policy policy);
uint32_t map_list_groups(const struct map_list *l); /* of all maps */
/* The number, in all, of the first group of map @i. */
uint32_t map_list_first(const struct map_list *l, unsigned i);
/* All groups with the numbers that they have in all; gives, free(). */
struct placement_group *map_list_flat(const struct map_list *l);

/* One more, for @policy, of as many groups as the first. ERR_EXISTS: there is
 * one; ERR_LIMIT; ERR_PRECONDITION: over these drives it would not survive the
 * loss of as many as the policy is for, and the error says what it would; as
 * map_make. */
int map_list_add(struct map_list *l, struct ec_policy policy,
                 const struct map_drive *drives, size_t count, struct err *err);

/* The worst of all maps; the counts of groups are sums. */
struct map_survival map_list_survives(const struct map_list *l,
                                      const struct map_drive *drives,
                                      size_t count);

#endif
