/* budget.h: how many bytes a day may be written to the flash.
 *
 * Days are those of UTC by the device's clock. What stood in the spool's
 * counter when the day began is kept in a file, written once a day, so that a
 * restart gives no new budget.
 *
 * Threads: the agent's loop.
 */
#ifndef GODWIT_EDGE_BUDGET_H
#define GODWIT_EDGE_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

struct budget {
    char *path;       /* NULL: nothing is kept */
    uint64_t per_day; /* 0: no bound */
    uint64_t day;     /* since 1970, with one added; 0: none began */
    uint64_t base;    /* bytes ever, when it began */
    uint64_t refused; /* since the start; the caller's to count */
};

/* From now on; @path is copied, what stands there counts. */
void budget_set(struct budget *b, const char *path, uint64_t per_day);
void budget_free(struct budget *b);
/* May more be written today? @flash_bytes: so many were, ever. */
bool budget_left(struct budget *b, uint64_t flash_bytes, uint64_t now_ms);
/* Written today. */
uint64_t budget_today(struct budget *b, uint64_t flash_bytes, uint64_t now_ms);

#endif
