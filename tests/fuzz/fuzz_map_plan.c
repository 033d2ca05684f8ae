/* fuzz_map_plan.c: plans for any fleet and any change of it.
 *
 * Input: k, m, groups, then seven bytes for each drive: zone, node, weight
 * (u16), state before and after. A map is made of the drives that are up
 * before, and planned for what they are after. Whatever that is, moves must be
 * carried out in their order, go to usable drives, and leave nothing to do.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/wire.h"
#include "erasure/map_plan.h"

#define DRIVES_MAX 60
#define HEAD 3
#define DRIVE_BYTES 7

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct map_drive drive_of(const uint8_t *b, uint16_t id, uint8_t state)
{
    uint32_t weight = load_u16(b + 2);

    return (struct map_drive){.id = id,
                              .zone = b[0] % 8,
                              .node = b[1] % 8,
                              .weight = weight << (b[6] % 17),
                              .state = state % 4 % 3,
                              .free_bytes = state % 32 == 31 ? 0 : 1};
}

static bool is_usable(const struct map_drive *d)
{
    return d->state == MAP_DRIVE_UP && d->weight > 0;
}

static void check_plan(struct placement_map *map, const struct map_drive *fleet,
                       size_t count, const struct map_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct map_move *m = &plan->moves[i];
        CHECK(m->to < count && is_usable(&fleet[m->to]));
        CHECK(fleet[m->to].free_bytes > 0);
        CHECK(i == 0 || m->wave >= m[-1].wave);
        CHECK(m->wave < plan->waves);
        CHECK(map_apply(map, m, NULL) == 0);
    }
    for (uint32_t g = 0; g < map->count && plan->homeless == 0; g++) {
        for (unsigned s = 0; s < map_slots(map); s++) {
            CHECK(is_usable(&fleet[map->groups[g].slots[s]]));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct map_drive before[DRIVES_MAX], after[DRIVES_MAX];
    size_t count = size < HEAD ? 0 : (size - HEAD) / DRIVE_BYTES;
    struct ec_policy policy;
    struct placement_map map;
    struct map_plan plan;
    struct err err = {{0}};
    int rc;

    if (count == 0 || count > DRIVES_MAX) {
        return 0;
    }
    policy = (struct ec_policy){(uint8_t)(1 + data[0] % 8),
                                (uint8_t)(data[1] % 5), 0};
    for (size_t i = 0; i < count; i++) {
        const uint8_t *b = data + HEAD + i * DRIVE_BYTES;
        before[i] = drive_of(b, (uint16_t)i, b[4]);
        after[i] = drive_of(b, (uint16_t)i, b[5]);
    }
    rc = map_make(policy, 1u + data[2], before, count, &map, &err);
    if (rc != 0) {
        CHECK(rc == ERR_UNAVAILABLE && err.text[0] != '\0');
        return 0;
    }
    rc = map_plan(&map, after, count, &plan, &err);
    if (rc == 0) {
        size_t homeless = plan.homeless, uneven = plan.uneven;
        check_plan(&map, after, count, &plan);
        map_plan_free(&plan);
        CHECK(map_plan(&map, after, count, &plan, NULL) == 0);
        CHECK(plan.count == 0 || homeless > 0 || uneven > 0);
        map_plan_free(&plan);
    } else {
        CHECK(rc == ERR_UNAVAILABLE && err.text[0] != '\0');
    }
    map_survives(&map, after, count);
    map_free(&map);
    return 0;
}
