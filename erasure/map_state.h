/* map_state.h: a map while it is being planned.
 *
 * Inside map_plan only. Drives go by their number in map_shares, slots by
 * ref = group * slots + slot. Each drive has a band of loads, its share rounded
 * down and up; two trees give the drive that most needs a slot, and the one
 * that most should give one, over any range of numbers: whole slots away from
 * the band count first, then a hash of drive and load, so that what is equal is
 * taken in random order and the groups of a drive spread over all others.
 *
 * Threads: one.
 */
#ifndef GODWIT_ERASURE_MAP_STATE_H
#define GODWIT_ERASURE_MAP_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "erasure/map_shares.h"

#define STATE_NO_KEY INT64_MIN

/* The highest of keys over ranges: a tournament. */
struct state_tree {
    uint32_t leaves; /* a power of two */
    int64_t *keys;
    uint32_t *winners;
};

struct state_held {
    uint32_t *refs;
    uint32_t count, room;
};

struct map_state {
    unsigned slots; /* of a group */
    uint32_t groups;
    struct map_shares shares;
    uint32_t *at;    /* [ref] drive, or MAP_NO_NUMBER */
    uint32_t *index; /* [ref] where in held[at].refs */
    struct state_held *held;
    int64_t *low, *high; /* the band */
    struct state_tree need, give;
};

/* Takes @shares; all slots begin on no drive. */
struct map_state *state_new(struct map_shares *shares, unsigned slots,
                            uint32_t groups);
void state_free(struct map_state *st);

/* Make the bands those of @part / @whole of the shares. */
void state_set_bands(struct map_state *st, uint32_t part, uint32_t whole);

void state_put(struct map_state *st, uint32_t ref, uint32_t drive);
void state_take(struct map_state *st, uint32_t ref);

/* Whole slots that @drive is below its band (> 0), 0 when it is in the band and
 * has room for one more there, < 0 above that. */
int64_t state_need(const struct map_state *st, uint32_t drive);
/* The same upwards: how many slots above, 0 when it can spare one. */
int64_t state_surplus(const struct map_state *st, uint32_t drive);

/* Whether @ref may go to @drive by the caps, the other slots of its group
 * staying where they are. */
bool state_fits(const struct map_state *st, uint32_t ref, uint32_t drive);
/* The most needy of all drives to which @ref may go, but for where it is;
 * MAP_NO_NUMBER when there is none. */
uint32_t state_neediest(const struct map_state *st, uint32_t ref);

/* The drive of @first..@end-1 that most should give, MAP_NO_NUMBER when none is
 * left; state_hide takes one out of the choice until state_show. */
uint32_t state_richest(const struct map_state *st, uint32_t first,
                       uint32_t end);
void state_hide(struct map_state *st, uint32_t drive);
void state_show(struct map_state *st, uint32_t drive);

#endif
