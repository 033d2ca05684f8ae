#include "object/pace.h"

#define SECOND_US 1000000ull

uint64_t pace_take(struct pace *p, uint64_t bytes, uint64_t now_us)
{
    uint64_t earliest = now_us > PACE_BURST_US ? now_us - PACE_BURST_US : 0;

    if (p->rate == 0) {
        return 0;
    }
    if (p->due_us < earliest) {
        p->due_us = earliest;
    }
    /* In two parts: neither product leaves 64 bits. */
    p->due_us +=
        bytes / p->rate * SECOND_US + bytes % p->rate * SECOND_US / p->rate;
    return p->due_us > now_us ? p->due_us - now_us : 0;
}
