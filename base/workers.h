/* workers.h: threads that run straight-line request code.
 *
 * A fixed number of threads take jobs in the order given. A job may block, but
 * always with a deadline. The queue has a bound: at it workers_run says no and
 * the caller answers 503.
 *
 * Threads: workers_run any.
 */
#ifndef GODWIT_BASE_WORKERS_H
#define GODWIT_BASE_WORKERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"

struct workers;

/* Stands inside the caller's struct; stays until @fn was called. */
struct work {
    void (*fn)(struct work *w);
    struct list_node node;
};

/* @name is shown in ps and top (15 bytes). */
struct workers *workers_new(const char *name, unsigned threads,
                            size_t queue_max);
/* Finish what is queued, then end the threads. */
void workers_free(struct workers *w);

/* Queue @work; false when the queue is full. */
bool workers_run(struct workers *w, struct work *work);

#endif
