/* latch.h: wait for a count of completions, with a deadline.
 *
 * The only place but clock_sleep_ms where request code blocks. A latch may be
 * signalled from any thread; one thread waits. latch_close needs that no one
 * will signal any more: who may give up waiting before all completions came
 * keeps the latch in memory that the last completion frees.
 *
 * Threads: any.
 */
#ifndef GODWIT_BASE_LATCH_H
#define GODWIT_BASE_LATCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct latch {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    uint64_t count; /* completions so far */
};

void latch_init(struct latch *l);
void latch_close(struct latch *l);
void latch_signal(struct latch *l); /* one more completion */

/* Wait until @count completions came; false when @timeout_ms passed first. */
bool latch_wait(struct latch *l, uint64_t count, uint64_t timeout_ms);

/* Make a condition that waits on CLOCK_MONOTONIC. */
void latch_cond_init(pthread_cond_t *cond);

/* As pthread_cond_timedwait, @timeout_ms from now; false on time-out. */
bool latch_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                     uint64_t timeout_ms);

#endif
