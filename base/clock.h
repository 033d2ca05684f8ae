/* clock.h: the seam for time.
 *
 * No other file reads a clock or sleeps. A test puts a fake in place with
 * clock_use(); that is done at start, before other threads run.
 *
 * Units: clock_real_ms is wall-clock milliseconds since 1970 (may jump);
 * clock_mono_ms and clock_mono_us never go back.
 * Threads: any.
 */
#ifndef GODWIT_BASE_CLOCK_H
#define GODWIT_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

struct clock_ops {
    uint64_t (*real_ms)(void *data);
    uint64_t (*mono_us)(void *data);
    void (*sleep_ms)(void *data, uint64_t ms);
    void *data;
};

/* Put @ops (kept) in place of the system's clock; NULL for the system's. */
void clock_use(const struct clock_ops *ops);

uint64_t clock_real_ms(void);
uint64_t clock_mono_ms(void);
uint64_t clock_mono_us(void);
void clock_sleep_ms(uint64_t ms);

/* The wall-clock time that this process can vouch for: never more than it had
 * when it was first asked for, what has passed since, and CLOCK_VOUCH_SLACK_MS.
 * A clock that is set ahead while the process runs is not followed. */
#define CLOCK_VOUCH_SLACK_MS 60000
uint64_t clock_vouch_ms(void);

/* The absolute CLOCK_MONOTONIC time @ms from now, for
 * pthread_cond_timedwait on a condition made by clock_cond_init. */
struct timespec clock_deadline(uint64_t ms);

#endif
