/* sync_plan.h: what to deliver next, and when.
 *
 * Decisions alone, over the spool's index:
 *   1. of one key nothing overtakes an older object or delete of it, and only
 *      one is under way at a time, whatever their classes: so the cluster keeps
 *      the order of each key;
 *   2. the class of the highest priority first (unless said otherwise that is
 *      its number; of two alike, the higher number), in it the oldest first, or
 *      the newest;
 *   3. none is so far ahead of the oldest held that the cluster would have to
 *      remember more than SYNC_WINDOW deliveries: then the oldest goes first.
 * Keys are told apart by their 32-bit hash: two that share one wait for each
 * other, no more.
 *
 * Threads: the agent's loop.
 */
#ifndef GODWIT_EDGE_SYNC_PLAN_H
#define GODWIT_EDGE_SYNC_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "edge-agent/spool_index.h"

struct err;

#define SYNC_BUSY_MAX 2048              /* two batches, and a large object */
#define SYNC_WINDOW ((uint64_t)1 << 19) /* half of what the cluster allows */
#define SYNC_SKIP_MAX 4096              /* looked at in vain for one batch */
#define SYNC_FILTER 4096
#define SYNC_BACKOFF_MIN_MS 2000
#define SYNC_BACKOFF_MAX_MS (5 * 60 * 1000)

struct sync_busy {
    uint64_t id;
    uint32_t hash;
};

struct sync_order {
    bool newest_first[SPOOL_CLASSES];
    uint8_t priority[SPOOL_CLASSES];
};

struct sync_plan {
    struct sync_order order;
    uint8_t classes[SPOOL_CLASSES]; /* in the order of their priorities */
    uint64_t at[SPOOL_CLASSES];     /* last one looked at */
    bool skipped[SPOOL_CLASSES];    /* since it began anew */
    size_t skips;                   /* in this batch */
    struct sync_busy busy[SYNC_BUSY_MAX];
    size_t busy_count;
    uint16_t filter[SYNC_FILTER]; /* busy ones by their hash */
};

void sync_plan_init(struct sync_plan *p, bool newest_first);
/* From now on. */
void sync_plan_order(struct sync_plan *p, const struct sync_order *order);
/* A batch is begun. */
void sync_plan_batch(struct sync_plan *p);
/* Newer objects are held. */
void sync_plan_more(struct sync_plan *p);
/* The next to deliver; it is busy until sync_plan_end. Only of priority
 * @priority_min or more, and of at most @size_max bytes: larger ones and their
 * keys are left. NULL: none now. Borrowed from the index. */
const struct index_entry *sync_plan_next(struct sync_plan *p,
                                         struct spool_index *x,
                                         uint8_t priority_min,
                                         uint32_t size_max);
/* It was not taken after all: the next one again. */
void sync_plan_put_back(struct sync_plan *p, uint64_t id);
/* It was delivered or dropped, or is to go once more (@again). */
void sync_plan_end(struct sync_plan *p, uint64_t id, bool again);

/* How long to wait after @failures (1, 2, ...) one after the other; @random is
 * any number: half of the time is by chance, so that devices that lost the
 * cluster together do not come back together. */
uint64_t sync_backoff_ms(unsigned failures, uint64_t random);

/* "22-6": from 22:00 to 5:59 UTC. Empty: always. ERR_BAD_INPUT. */
struct sync_hours {
    bool set;
    unsigned from, to;
};
int sync_hours_parse(const char *text, struct sync_hours *out, struct err *err);
bool sync_hours_open(const struct sync_hours *h, uint64_t time_ms);

#endif
