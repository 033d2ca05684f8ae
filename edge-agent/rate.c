#include "edge-agent/rate.h"

size_t rate_take(struct rate *r, uint64_t now_ms, size_t want)
{
    uint64_t burst = r->per_second / 4;
    uint64_t passed = now_ms - r->last_ms;
    uint64_t more;

    if (r->per_second == 0) {
        return want;
    }
    burst = burst < RATE_BURST_MIN ? RATE_BURST_MIN : burst;
    passed = passed < 60000 ? passed : 60000;
    more = passed * r->per_second / 1000;
    if (more > 0) {
        r->level = r->level + more < burst ? r->level + more : burst;
        r->last_ms = now_ms;
    }
    if (want > r->level) {
        want = (size_t)r->level;
    }
    r->level -= want;
    return want;
}

void rate_return(struct rate *r, size_t bytes)
{
    r->level += bytes;
}
