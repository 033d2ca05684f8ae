/* rate.h: at most so many bytes a second, with bursts of a quarter of one.
 *
 * Threads: the agent's loop.
 */
#ifndef GODWIT_EDGE_RATE_H
#define GODWIT_EDGE_RATE_H

#include <stddef.h>
#include <stdint.h>

#define RATE_BURST_MIN 1460 /* one TCP segment, however slow */

struct rate {
    uint64_t per_second; /* 0: no bound */
    uint64_t level;      /* bytes that may go now */
    uint64_t last_ms;
};

/* How many of @want bytes may go now; they count as gone. */
size_t rate_take(struct rate *r, uint64_t now_ms, size_t want);
/* So many of them did not go. */
void rate_return(struct rate *r, size_t bytes);

#endif
