#include "erasure/placement.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "erasure/hash.h"

/* Higher wins; a drive of twice the weight wins twice as often. */
static double score(uint32_t group, const struct placement_drive *d)
{
    uint64_t h = hash_pair(group, d->drive);
    double u = ((double)(h >> 11) + 0.5) / 9007199254740992.0; /* (0, 1) */

    return -(double)d->weight / log(u);
}

static bool used(const struct placement_group *g, unsigned count,
                 const struct placement_drive *drives, size_t n,
                 const struct placement_drive *d, int level)
{
    for (unsigned s = 0; s < count; s++) {
        for (size_t i = 0; i < n; i++) {
            if (drives[i].drive != g->slots[s]) {
                continue;
            }
            if (drives[i].drive == d->drive ||
                (level < 2 && drives[i].node == d->node) ||
                (level < 1 && drives[i].zone == d->zone)) {
                return true;
            }
        }
    }
    return false;
}

static unsigned times_used(const struct placement_group *g, unsigned count,
                           uint16_t drive)
{
    unsigned n = 0;

    for (unsigned s = 0; s < count; s++) {
        n += g->slots[s] == drive;
    }
    return n;
}

/* The best drive for the next slot: from another zone, else another node, else
 * another drive, else the one used least. */
static const struct placement_drive *next_drive(
    const struct placement_drive *drives, size_t n,
    const struct placement_group *g, unsigned count)
{
    const struct placement_drive *best = NULL;
    double best_score = 0;
    unsigned least = ~0u;

    for (int level = 0; level < 3 && best == NULL; level++) {
        for (size_t i = 0; i < n; i++) {
            double s = score(g->id, &drives[i]);
            if (!used(g, count, drives, n, &drives[i], level) &&
                (best == NULL || s > best_score)) {
                best = &drives[i];
                best_score = s;
            }
        }
    }
    for (size_t i = 0; i < n && best == NULL; i++) {
        unsigned times = times_used(g, count, drives[i].drive);
        least = times < least ? times : least;
    }
    for (size_t i = 0; i < n && least != ~0u; i++) {
        double s = score(g->id, &drives[i]);
        if (times_used(g, count, drives[i].drive) == least &&
            (best == NULL || s > best_score)) {
            best = &drives[i];
            best_score = s;
        }
    }
    return best;
}

int placement_choose(const struct placement_drive *drives, size_t count,
                     struct placement_group *group, unsigned *distinct,
                     struct err *err)
{
    unsigned slots = (unsigned)group->policy.k + group->policy.m;

    CHECK(slots >= 1 && slots <= GEOMETRY_SLOTS_MAX);
    if (count == 0) {
        return err_set(err, ERR_UNAVAILABLE, "there is no drive");
    }
    CHECK(count <= PLACEMENT_DRIVES_MAX);
    for (unsigned s = 0; s < slots; s++) {
        group->slots[s] = next_drive(drives, count, group, s)->drive;
    }
    *distinct = 0;
    for (unsigned s = 0; s < slots; s++) {
        *distinct += times_used(group, s, group->slots[s]) == 0;
    }
    return 0;
}
