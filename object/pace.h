/* pace.h: how fast something may go on, in bytes.
 *
 * A bucket of tokens told as a time: each byte takes its share of a second, and
 * who is ahead of the clock waits. Up to PACE_BURST_US may be caught up after a
 * pause, no more.
 *
 * Pure. Threads: the owner's lock.
 */
#ifndef GODWIT_OBJECT_PACE_H
#define GODWIT_OBJECT_PACE_H

#include <stdint.h>

#define PACE_BURST_US 250000ull

struct pace {
    uint64_t rate;   /* bytes a second; 0: unbounded */
    uint64_t due_us; /* when the next byte may go */
};

/* @bytes have gone: how long to wait from @now_us, in us, before any more. */
uint64_t pace_take(struct pace *p, uint64_t bytes, uint64_t now_us);

#endif
