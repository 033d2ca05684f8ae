#include "erasure/map_shares.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"

#define IDS 65536
/* Halvings of an interval; a double has 53 bits. */
#define BISECT_ROUNDS 100
#define ROUNDING 1e-9 /* of sums of a few thousand doubles */

enum level { LEVEL_DRIVE, LEVEL_NODE, LEVEL_ZONE, LEVEL_ALL };

static int by_place(const void *a, const void *b)
{
    const struct map_drive *x = *(const struct map_drive *const *)a;
    const struct map_drive *y = *(const struct map_drive *const *)b;

    if (x->zone != y->zone) {
        return x->zone < y->zone ? -1 : 1;
    }
    if (x->node != y->node) {
        return x->node < y->node ? -1 : 1;
    }
    return x->id < y->id ? -1 : x->id > y->id;
}

static int check_ids(const struct map_drive *drives, size_t count,
                     struct err *err)
{
    bool *seen = mem_alloc(IDS);
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0; i++) {
        if (drives[i].id == PLACEMENT_NO_DRIVE) {
            rc = err_set(err, ERR_BAD_INPUT, "%u is not the id of a drive",
                         drives[i].id);
        } else if (seen[drives[i].id]) {
            rc = err_set(err, ERR_BAD_INPUT, "drive %u is listed twice",
                         drives[i].id);
        }
        seen[drives[i].id] = true;
    }
    free(seen);
    return rc;
}

static void number_drives(const struct map_drive *const *sorted, uint32_t count,
                          struct map_shares *s)
{
    uint32_t node = 0, zone = 0;

    s->count = count;
    s->drives = mem_calloc(count, sizeof s->drives[0]);
    s->number = mem_calloc(IDS, sizeof s->number[0]);
    for (uint32_t id = 0; id < IDS; id++) {
        s->number[id] = MAP_NO_NUMBER;
    }
    for (uint32_t i = 0; i < count; i++) {
        bool new_zone = i == 0 || sorted[i]->zone != sorted[i - 1]->zone;
        bool new_node = new_zone || sorted[i]->node != sorted[i - 1]->node;
        zone = new_zone ? i : zone;
        node = new_node ? i : node;
        s->number[sorted[i]->id] = i;
        s->drives[i] = (struct map_usable){.id = sorted[i]->id,
                                           .full = sorted[i]->free_bytes == 0,
                                           .weight = sorted[i]->weight,
                                           .node_first = node,
                                           .zone_first = zone};
    }
    for (uint32_t i = count; i-- > 0;) {
        struct map_usable *d = &s->drives[i];
        const struct map_usable *next = i + 1 < count ? d + 1 : NULL;
        bool last_node = next == NULL || next->node_first != d->node_first;
        bool last_zone = next == NULL || next->zone_first != d->zone_first;
        d->node_end = last_node ? i + 1 : next->node_end;
        d->zone_end = last_zone ? i + 1 : next->zone_end;
    }
}

static double smaller(double a, double b)
{
    return a < b ? a : b;
}

/* How many slots of a group the drives from @first to @end can hold at most, as
 * a domain whose cap is @cap; @price: mind MAP_OVERFILL. */
static double domain_room(const struct map_shares *s, uint32_t first,
                          uint32_t end, unsigned cap, double mean, bool price)
{
    double room = smaller(cap, (double)(end - first) * s->caps.drive);
    double weight = 0;

    for (uint32_t i = first; i < end; i++) {
        weight += s->drives[i].weight;
    }
    return price ? smaller(room, MAP_OVERFILL * mean * weight) : room;
}

/* As many of a group's slots as fit with these caps; @node may be 0: not yet
 * known. */
static double room(const struct map_shares *s, unsigned zone, unsigned node,
                   double mean, bool price)
{
    double sum = 0;

    for (uint32_t z = 0; z < s->count; z = s->drives[z].zone_end) {
        double in_zone = 0;
        if (node == 0) {
            sum += domain_room(s, z, s->drives[z].zone_end, zone, mean, price);
            continue;
        }
        for (uint32_t n = z; n < s->drives[z].zone_end;
             n = s->drives[n].node_end) {
            in_zone +=
                domain_room(s, n, s->drives[n].node_end, node, mean, price);
        }
        sum += smaller(in_zone, zone);
    }
    return sum;
}

/* The smallest cap at which all slots fit; at any price if it must be. */
static unsigned smallest_cap(const struct map_shares *s, unsigned slots,
                             unsigned zone, double mean)
{
    for (int price = 1; price >= 0; price--) {
        for (unsigned cap = 1; cap <= slots; cap++) {
            double sum = zone == 0 ? room(s, cap, 0, mean, price)
                                   : room(s, zone, cap, mean, price);
            if (sum >= slots - ROUNDING) {
                return cap;
            }
        }
    }
    return slots; /* never: without other caps the drives hold a group */
}

static void find_caps(struct map_shares *s, unsigned slots)
{
    double weight = 0;

    for (uint32_t i = 0; i < s->count; i++) {
        weight += s->drives[i].weight;
    }
    s->caps.drive = (slots + s->count - 1) / s->count;
    s->caps.zone = smallest_cap(s, slots, 0, slots / weight);
    s->caps.node = smallest_cap(s, slots, s->caps.zone, slots / weight);
}

struct filling {
    struct map_shares *s;
    double caps[LEVEL_ALL + 1]; /* of all groups together */
};

static uint32_t domain_end(const struct map_shares *s, enum level level,
                           uint32_t first)
{
    switch (level) {
        case LEVEL_DRIVE:
            return first + 1;
        case LEVEL_NODE:
            return s->drives[first].node_end;
        case LEVEL_ZONE:
            return s->drives[first].zone_end;
        default:
            return s->count;
    }
}

static double inside(const struct filling *f, enum level level, uint32_t first,
                     double rate);

/* What the domain that begins at @first takes at @rate slots for each weight.
 */
static double takes(const struct filling *f, enum level level, uint32_t first,
                    double rate)
{
    return smaller(inside(f, level, first, rate), f->caps[level]);
}

/* The same without its own cap. */
static double inside(const struct filling *f, enum level level, uint32_t first,
                     double rate)
{
    const struct map_usable *d = &f->s->drives[first];
    uint32_t end = domain_end(f->s, level, first);
    double sum = 0;

    if (level == LEVEL_DRIVE) {
        sum = rate * d->weight;
        return d->full ? smaller(sum, d->load) : sum;
    }
    for (uint32_t i = first; i < end; i = domain_end(f->s, level - 1, i)) {
        sum += takes(f, level - 1, i, rate);
    }
    return sum;
}

/* Share out what a domain takes at @rate, at a lower rate when it is over its
 * cap. */
static void share_out(const struct filling *f, enum level level, uint32_t first,
                      double rate)
{
    uint32_t end = domain_end(f->s, level, first);

    if (level == LEVEL_DRIVE) {
        f->s->drives[first].share =
            (int64_t)(takes(f, level, first, rate) * MAP_SHARE_ONE + 0.5);
        return;
    }
    if (inside(f, level, first, rate) > f->caps[level]) {
        double low = 0, high = rate;
        for (int i = 0; i < BISECT_ROUNDS; i++) {
            double middle = (low + high) / 2;
            if (inside(f, level, first, middle) > f->caps[level]) {
                high = middle;
            } else {
                low = middle;
            }
        }
        rate = low;
    }
    for (uint32_t i = first; i < end; i = domain_end(f->s, level - 1, i)) {
        share_out(f, level - 1, i, rate);
    }
}

static void count_load(struct map_shares *s, const struct placement_map *map)
{
    unsigned n = map_slots(map);

    for (uint32_t i = 0; i < map->count; i++) {
        for (unsigned slot = 0; slot < n; slot++) {
            uint32_t d = s->number[map->groups[i].slots[slot]];
            if (d != MAP_NO_NUMBER) {
                s->drives[d].load++;
            }
        }
    }
}

int map_shares_new(const struct map_drive *drives, size_t count, unsigned slots,
                   uint32_t groups, const struct placement_map *map,
                   struct map_shares *out, struct err *err)
{
    const struct map_drive **sorted;
    struct filling f = {.s = out};
    uint32_t usable = 0;
    int rc;

    CHECK(slots >= 1 && slots <= GEOMETRY_SLOTS_MAX);
    CHECK(groups >= 1 && groups <= PLACEMENT_GROUPS_MAX);
    rc = check_ids(drives, count, err);
    if (rc != 0) {
        return rc;
    }
    sorted = mem_calloc(count + 1, sizeof sorted[0]);
    for (size_t i = 0; i < count; i++) {
        if (drives[i].state == MAP_DRIVE_UP && drives[i].weight > 0) {
            sorted[usable++] = &drives[i];
        }
    }
    if (usable == 0) {
        free(sorted);
        return err_set(err, ERR_UNAVAILABLE,
                       "no drive is up that may hold a shard");
    }
    if (usable > PLACEMENT_DRIVES_MAX) {
        free(sorted);
        return err_set(err, ERR_LIMIT, "%u drives are more than %d", usable,
                       PLACEMENT_DRIVES_MAX);
    }
    qsort(sorted, usable, sizeof sorted[0], by_place);
    *out = (struct map_shares){0};
    number_drives(sorted, usable, out);
    free(sorted);
    find_caps(out, slots);
    if (map != NULL) {
        count_load(out, map);
    }
    f.caps[LEVEL_DRIVE] = (double)out->caps.drive * groups;
    f.caps[LEVEL_NODE] = (double)out->caps.node * groups;
    f.caps[LEVEL_ZONE] = (double)out->caps.zone * groups;
    f.caps[LEVEL_ALL] = (double)slots * groups;
    /* At this rate the lightest drive is over its cap. */
    share_out(&f, LEVEL_ALL, 0, f.caps[LEVEL_DRIVE] + 1);
    return 0;
}

void map_shares_free(struct map_shares *s)
{
    free(s->drives);
    free(s->number);
    *s = (struct map_shares){0};
}
