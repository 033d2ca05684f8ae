/* map_balancing.h: moving slots until every drive is near its share.
 *
 * Inside map_plan only. Slots go straight from a drive above its band to one
 * below where the caps allow; else over other drives, the way of fewest moves
 * being found breadth first. A slot that moves in any case (it is not where it
 * was before the plan) costs nothing to send elsewhere, so those go first.
 *
 * Threads: one.
 */
#ifndef GODWIT_ERASURE_MAP_BALANCING_H
#define GODWIT_ERASURE_MAP_BALANCING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "erasure/map_state.h"

struct map_balancing {
    struct map_state *st;
    const uint32_t *was; /* [ref] drive before the plan, or MAP_NO_NUMBER */
    /* Slots that move in any case: they had to leave. */
    const uint32_t *loose;
    size_t loose_count;
    bool strict;     /* no slack: nothing is stored yet */
    uint64_t budget; /* slots that may still be looked at in searches */
};

/* Bring every drive into its band, as far as there is a way; drives within
 * MAP_SLACK_PERCENT of it are left alone. */
void map_balancing_run(struct map_balancing *b);

/* Slots by which drives are still out of their bands beyond the slack. */
size_t map_balancing_rest(const struct map_balancing *b);

#endif
