#include "erasure/map_list.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wire.h"
#include "erasure/map_plan.h"

#define VERSION_ONE_MAP 2
#define VERSION_LIST 3

void map_list_free(struct map_list *l)
{
    for (unsigned i = 0; i < l->count; i++) {
        map_free(&l->maps[i]);
    }
    l->count = 0;
}

/* ---- bytes ---- */

void map_list_encode(const struct map_list *l, struct buf *out)
{
    CHECK(l->count >= 1 && l->count <= MAP_LIST_MAX);
    if (l->count == 1) {
        map_encode(&l->maps[0], out);
        return;
    }
    put_u8(out, VERSION_LIST);
    put_u8(out, (uint8_t)l->count);
    put_u16(out, 0);
    for (unsigned i = 0; i < l->count; i++) {
        struct buf map = {0};
        map_encode(&l->maps[i], &map);
        put_u32(out, (uint32_t)map.len);
        buf_append(out, map.data, map.len);
        buf_free(&map);
    }
}

static int corrupt(struct err *err, const char *why)
{
    return err_set(err, ERR_CORRUPT, "layout: %s", why);
}

/* One more map, of @len bytes at @p. */
static int decode_map(struct map_list *l, const uint8_t *p, size_t len,
                      struct err *err)
{
    struct placement_map map = {0};
    int rc;

    if (len < 1 || p[0] != VERSION_ONE_MAP) {
        return corrupt(err, "the version of a map is not known");
    }
    rc = map_decode(p, len, &map, err);
    if (rc != 0) {
        return rc;
    }
    if (map_list_find(l, map.policy) >= 0) {
        rc = corrupt(err, "two maps are of one policy");
    } else if (map.count > PLACEMENT_GROUPS_MAX - map_list_groups(l)) {
        rc = corrupt(err, "it has too many groups");
    }
    if (rc != 0) {
        map_free(&map);
        return rc;
    }
    l->maps[l->count++] = map;
    return 0;
}

static int decode_list(struct wire_reader *r, struct map_list *out,
                       struct err *err)
{
    struct map_list l = {0};
    unsigned count = get_u8(r);
    int rc = 0;

    if (get_u16(r) != 0 || !wire_ok(r) || count < 2 || count > MAP_LIST_MAX) {
        return corrupt(err, "its head is damaged");
    }
    for (unsigned i = 0; i < count && rc == 0; i++) {
        uint32_t len = get_u32(r);
        const uint8_t *p = get_bytes(r, len);
        rc = wire_ok(r) ? decode_map(&l, p, len, err)
                        : corrupt(err, "a map is cut off");
    }
    if (rc == 0 && !wire_done(r)) {
        rc = corrupt(err, "bytes are left over");
    }
    if (rc != 0) {
        map_list_free(&l);
        return rc;
    }
    *out = l;
    return 0;
}

int map_list_decode(const void *p, size_t len, struct map_list *out,
                    struct err *err)
{
    struct map_list l = {.count = 1};
    struct wire_reader r;
    int rc;

    wire_init(&r, p, len);
    if (get_u8(&r) == VERSION_LIST && wire_ok(&r)) {
        return decode_list(&r, out, err);
    }
    rc = map_decode(p, len, &l.maps[0], err);
    if (rc == 0) {
        *out = l;
    }
    return rc;
}

/* ---- groups ---- */

int map_list_find(const struct map_list *l, struct ec_policy policy)
{
    for (unsigned i = 0; i < l->count; i++) {
        if (ec_policy_same(l->maps[i].policy, policy)) {
            return (int)i;
        }
    }
    return -1;
}

uint32_t map_list_first(const struct map_list *l, unsigned i)
{
    uint32_t first = 0;

    CHECK(i <= l->count);
    while (i-- > 0) {
        first += l->maps[i].count;
    }
    return first;
}

uint32_t map_list_groups(const struct map_list *l)
{
    return map_list_first(l, l->count);
}

struct placement_group *map_list_flat(const struct map_list *l)
{
    struct placement_group *all =
        mem_calloc(map_list_groups(l) + 1, sizeof *all);
    uint32_t at = 0;

    for (unsigned i = 0; i < l->count; i++) {
        for (uint32_t n = 0; n < l->maps[i].count; n++) {
            all[at] = l->maps[i].groups[n];
            all[at].id = at;
            at++;
        }
    }
    return all;
}

/* ---- adding ---- */

/* Does it keep what the policy is for? */
static int judge(const struct placement_map *map,
                 const struct map_drive *drives, size_t count, struct err *err)
{
    struct map_survival s = map_survives(map, drives, count);
    char policy[EC_POLICY_TEXT_MAX], text[MAP_SURVIVES_MAX];
    unsigned wanted = ec_policy_tolerates(map->policy);

    if (s.drives >= wanted) {
        return 0;
    }
    return err_set(err, ERR_PRECONDITION,
                   "%s is for the loss of any %u drives and wants %u of them; "
                   "over those that there are it %s",
                   ec_policy_text(map->policy, policy), wanted, map_slots(map),
                   map_survives_text(&s, text));
}

int map_list_add(struct map_list *l, struct ec_policy policy,
                 const struct map_drive *drives, size_t count, struct err *err)
{
    char text[EC_POLICY_TEXT_MAX];
    struct placement_map map = {0};
    int rc;

    CHECK(l->count >= 1);
    ec_policy_text(policy, text);
    if (map_list_find(l, policy) >= 0) {
        return err_set(err, ERR_EXISTS, "there is a map of %s", text);
    }
    if (l->count == MAP_LIST_MAX ||
        l->maps[0].count > PLACEMENT_GROUPS_MAX - map_list_groups(l)) {
        return err_set(err, ERR_LIMIT,
                       "%s would be one policy too many: there are %u", text,
                       l->count);
    }
    rc = map_make(policy, l->maps[0].count, drives, count, &map, err);
    if (rc != 0) {
        return rc;
    }
    rc = judge(&map, drives, count, err);
    if (rc != 0) {
        map_free(&map);
        return rc;
    }
    l->maps[l->count++] = map;
    return 0;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

struct map_survival map_list_survives(const struct map_list *l,
                                      const struct map_drive *drives,
                                      size_t count)
{
    struct map_survival all = {0};

    for (unsigned i = 0; i < l->count; i++) {
        struct map_survival s = map_survives(&l->maps[i], drives, count);
        all.zones = i == 0 ? s.zones : least(all.zones, s.zones);
        all.nodes = i == 0 ? s.nodes : least(all.nodes, s.nodes);
        all.drives = i == 0 ? s.drives : least(all.drives, s.drives);
        all.groups_degraded += s.groups_degraded;
        all.groups_lost += s.groups_lost;
    }
    return all;
}
