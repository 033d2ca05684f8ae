#include "erasure/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wire.h"
#include "erasure/lrc.h"

#define MAP_VERSION_ONE_MACHINE 1
#define MAP_VERSION 2
#define GROUP_BYTES(n) (8 + 2 * (size_t)(n))
#define IDS 65536 /* of drives */

void map_free(struct placement_map *map)
{
    free(map->groups);
    *map = (struct placement_map){0};
}

void map_copy(const struct placement_map *map, struct placement_map *out)
{
    *out = *map;
    out->groups = mem_dup(map->groups, map->count * sizeof map->groups[0]);
}

unsigned map_slots(const struct placement_map *map)
{
    return (unsigned)map->policy.k + map->policy.m;
}

void map_encode(const struct placement_map *map, struct buf *out)
{
    unsigned n = map_slots(map);

    CHECK(ec_policy_is_valid(map->policy));
    CHECK(map->count >= 1 && map->count <= PLACEMENT_GROUPS_MAX);
    buf_reserve(out, 12 + map->count * GROUP_BYTES(n));
    put_u8(out, MAP_VERSION);
    put_u8(out, map->policy.k);
    put_u8(out, map->policy.m);
    put_u8(out, map->policy.l);
    put_u32(out, map->epoch);
    put_u32(out, map->count);
    for (uint32_t i = 0; i < map->count; i++) {
        CHECK(map->groups[i].id == i);
        put_u32(out, i);
        put_u32(out, map->groups[i].epoch);
        for (unsigned s = 0; s < n; s++) {
            put_u16(out, map->groups[i].slots[s]);
        }
    }
}

/* The fields before the groups; the number of drives that ids stay below. */
static const char *decode_head(struct wire_reader *r, uint8_t version,
                               struct placement_map *map, unsigned *drives)
{
    map->policy.k = get_u8(r);
    map->policy.m = get_u8(r);
    if (version == MAP_VERSION_ONE_MACHINE) {
        *drives = get_u16(r);
    } else {
        *drives = PLACEMENT_NO_DRIVE;
        map->policy.l = get_u8(r);
        map->epoch = get_u32(r);
        if (wire_ok(r) && map->epoch == 0) {
            return "its epoch is 0";
        }
    }
    map->count = get_u32(r);
    if (!wire_ok(r)) {
        return "it ends within its head";
    }
    if (!ec_policy_is_valid(map->policy)) {
        return "the policy is out of bounds";
    }
    if (map->count < 1 || map->count > PLACEMENT_GROUPS_MAX ||
        r->left != map->count * GROUP_BYTES(map_slots(map))) {
        return "the count of groups does not fit the length";
    }
    return NULL;
}

static const char *decode_groups(struct wire_reader *r, unsigned drives,
                                 struct placement_map *map)
{
    unsigned n = map_slots(map);
    uint32_t newest = 0;

    for (uint32_t i = 0; i < map->count; i++) {
        struct placement_group *g = &map->groups[i];
        g->id = get_u32(r);
        g->epoch = get_u32(r);
        g->policy = map->policy;
        newest = g->epoch > newest ? g->epoch : newest;
        if (g->id != i) {
            return "the groups are not in order";
        }
        if (g->epoch == 0) {
            return "the epoch of a group is 0";
        }
        for (unsigned s = 0; s < n; s++) {
            g->slots[s] = get_u16(r);
            if (g->slots[s] >= drives) {
                return "a slot is on no drive";
            }
        }
    }
    if (map->epoch == 0) {
        map->epoch = newest;
    }
    return newest > map->epoch ? "a group is newer than the map" : NULL;
}

int map_decode(const void *p, size_t len, struct placement_map *out,
               struct err *err)
{
    struct placement_map map = {0};
    struct wire_reader r;
    const char *why;
    uint8_t version;
    unsigned drives;

    wire_init(&r, p, len);
    version = get_u8(&r);
    if (wire_ok(&r) && version != MAP_VERSION_ONE_MACHINE &&
        version != MAP_VERSION) {
        return err_set(err, ERR_VERSION,
                       "placement map: version %u is not known", version);
    }
    why = decode_head(&r, version, &map, &drives);
    if (why == NULL) {
        map.groups = mem_calloc(map.count, sizeof map.groups[0]);
        why = decode_groups(&r, drives, &map);
    }
    if (why != NULL) {
        map_free(&map);
        return err_set(err, ERR_CORRUPT, "placement map: %s", why);
    }
    CHECK(wire_done(&r));
    *out = map;
    return 0;
}

int map_apply(struct placement_map *map, const struct map_move *move,
              struct err *err)
{
    struct placement_group *g;

    if (move->group >= map->count || move->slot >= map_slots(map)) {
        return err_set(err, ERR_BAD_INPUT,
                       "there is no slot %u of group %u: the map has %u groups "
                       "of %u",
                       move->slot, move->group, map->count, map_slots(map));
    }
    if (move->to == PLACEMENT_NO_DRIVE) {
        return err_set(err, ERR_BAD_INPUT, "%u is not the id of a drive",
                       move->to);
    }
    g = &map->groups[move->group];
    if (g->slots[move->slot] != move->from) {
        return err_set(err, ERR_PRECONDITION,
                       "slot %u of group %u is on drive %u, not on %u",
                       move->slot, move->group, g->slots[move->slot],
                       move->from);
    }
    g->slots[move->slot] = move->to;
    g->epoch++;
    map->epoch++;
    return 0;
}

/* The slots in each zone, node and drive as masks, at the first slot in it. */
struct spread {
    uint32_t zone[GEOMETRY_SLOTS_MAX];
    uint32_t node[GEOMETRY_SLOTS_MAX];
    uint32_t drive[GEOMETRY_SLOTS_MAX];
};

/* Gives the mask of slots that are there. */
static uint32_t spread_of(const struct placement_group *g, unsigned n,
                          const struct map_drive *const *by_id,
                          struct spread *out)
{
    uint32_t here = 0;

    memset(out, 0, sizeof *out);
    for (unsigned s = 0; s < n; s++) {
        const struct map_drive *d = by_id[g->slots[s]];
        unsigned zone = s, node = s, drive = s;
        if (d == NULL) {
            continue;
        }
        here |= 1u << s;
        for (unsigned t = s; t-- > 0;) {
            const struct map_drive *o = by_id[g->slots[t]];
            if (o == NULL || o->zone != d->zone) {
                continue;
            }
            zone = t;
            node = o->node == d->node ? t : node;
            drive = o->id == d->id ? t : drive;
        }
        out->zone[zone] |= 1u << s;
        out->node[node] |= 1u << s;
        out->drive[drive] |= 1u << s;
    }
    return here;
}

static unsigned bits(uint32_t mask)
{
    return (unsigned)__builtin_popcount(mask);
}

static bool decodes(struct ec_policy p, uint32_t have)
{
    return p.l > 0 ? lrc_decodes(p.k, p.l, (unsigned)p.m - p.l, have)
                   : bits(have) >= p.k;
}

/* Whether @here without any @more of the domains from @from on decodes. */
static bool survives_any(struct ec_policy p, uint32_t here,
                         const uint32_t *domains, unsigned n, unsigned from,
                         unsigned more)
{
    if (more == 0) {
        return decodes(p, here);
    }
    for (unsigned i = from; i + more <= n; i++) {
        if (!survives_any(p, here & ~domains[i], domains, n, i + 1, more - 1)) {
            return false;
        }
    }
    return true;
}

static int fuller_first(const void *a, const void *b)
{
    unsigned x = bits(*(const uint32_t *)a), y = bits(*(const uint32_t *)b);

    return x > y ? -1 : x < y;
}

/* How many domains may go, whichever they are, before @here decodes no more. */
static unsigned domains_to_spare(struct ec_policy p, uint32_t here,
                                 uint32_t *domains, unsigned n)
{
    unsigned tolerated = ec_policy_tolerates(p);
    unsigned lost = (unsigned)p.k + p.m - bits(here);
    unsigned count = 0;

    qsort(domains, n, sizeof domains[0], fuller_first);
    while (n > 0 && domains[n - 1] == 0) {
        n--;
    }
    /* What any losses of so many shards leave, the fullest domains leave. */
    while (count < n && lost + bits(domains[count]) <= tolerated) {
        lost += bits(domains[count++]);
    }
    /* With local groups it may be more, depending on which shards they hold. */
    while (p.l > 0 && count < n &&
           survives_any(p, here, domains, n, 0, count + 1)) {
        count++;
    }
    return count;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Drives whose shards are still there, by id. */
static const struct map_drive **drives_by_id(const struct map_drive *drives,
                                             size_t count)
{
    const struct map_drive **by_id = mem_calloc(IDS, sizeof by_id[0]);

    for (size_t i = 0; i < count; i++) {
        if (drives[i].state != MAP_DRIVE_GONE) {
            by_id[drives[i].id] = &drives[i];
        }
    }
    return by_id;
}

struct map_survival map_survives(const struct placement_map *map,
                                 const struct map_drive *drives, size_t count)
{
    struct map_survival v = {
        .zones = UINT32_MAX, .nodes = UINT32_MAX, .drives = UINT32_MAX};
    const struct map_drive **by_id = drives_by_id(drives, count);
    unsigned n = map_slots(map);
    struct ec_policy p = map->policy;

    for (uint32_t i = 0; i < map->count; i++) {
        struct spread s;
        uint32_t here = spread_of(&map->groups[i], n, by_id, &s);
        if (!decodes(p, here)) {
            v.groups_lost++;
            continue;
        }
        v.groups_degraded += bits(here) < n;
        v.zones = least(v.zones, domains_to_spare(p, here, s.zone, n));
        v.nodes = least(v.nodes, domains_to_spare(p, here, s.node, n));
        v.drives = least(v.drives, domains_to_spare(p, here, s.drive, n));
    }
    if (v.groups_lost > 0) {
        v.zones = v.nodes = v.drives = 0;
    }
    free(by_id);
    return v;
}

char *map_survives_text(const struct map_survival *s, char *out)
{
    const unsigned counts[] = {s->drives, s->nodes, s->zones};
    static const char *const names[] = {"drive", "node", "zone"};
    size_t at;

    if (s->groups_lost > 0) {
        snprintf(out, MAP_SURVIVES_MAX,
                 "cannot be read now: %u placement groups miss too many shards",
                 s->groups_lost);
        return out;
    }
    if (s->drives == 0) {
        snprintf(out, MAP_SURVIVES_MAX, "survives the loss of no drive");
        return out;
    }
    at = (size_t)snprintf(out, MAP_SURVIVES_MAX, "survives the loss of ");
    for (int i = 0; i < 3; i++) {
        if (counts[i] > 0) {
            at +=
                (size_t)snprintf(out + at, MAP_SURVIVES_MAX - at,
                                 "%sany %u %s%s", i > 0 ? ", or " : "",
                                 counts[i], names[i], counts[i] > 1 ? "s" : "");
        }
    }
    return out;
}

double map_balance(const struct placement_map *map,
                   const struct map_drive *drives, size_t count)
{
    uint32_t *load = mem_calloc(IDS, sizeof load[0]);
    unsigned n = map_slots(map);
    double weights = 0, slots = 0, fullest = 0;

    for (uint32_t i = 0; i < map->count; i++) {
        for (unsigned s = 0; s < n; s++) {
            load[map->groups[i].slots[s]]++;
        }
    }
    for (size_t i = 0; i < count; i++) {
        const struct map_drive *d = &drives[i];
        if (d->state == MAP_DRIVE_UP && d->weight > 0) {
            double fill = (double)load[d->id] / d->weight;
            fullest = fill > fullest ? fill : fullest;
            weights += d->weight;
            slots += load[d->id];
        }
    }
    free(load);
    return slots > 0 ? fullest / (slots / weights) : 0;
}
