#include "base/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

#include "base/check.h"

static uint64_t system_us(clockid_t id)
{
    struct timespec t;

    CHECK(clock_gettime(id, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t system_real_ms(void *data)
{
    (void)data;
    return system_us(CLOCK_REALTIME) / 1000;
}

static uint64_t system_mono_us(void *data)
{
    (void)data;
    return system_us(CLOCK_MONOTONIC);
}

static void system_sleep_ms(void *data, uint64_t ms)
{
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};

    (void)data;
    while (nanosleep(&t, &t) != 0 && errno == EINTR) {
    }
}

static const struct clock_ops system_clock = {system_real_ms, system_mono_us,
                                              system_sleep_ms, NULL};
static const struct clock_ops *current = &system_clock;

/* Since 1970 at monotonic 0, as it was at the first call; 0 before. */
static _Atomic uint64_t vouch_base_ms;

void clock_use(const struct clock_ops *ops)
{
    atomic_store(&vouch_base_ms, 0);
    current = ops != NULL ? ops : &system_clock;
}

uint64_t clock_real_ms(void)
{
    return current->real_ms(current->data);
}

uint64_t clock_mono_us(void)
{
    return current->mono_us(current->data);
}

uint64_t clock_mono_ms(void)
{
    return clock_mono_us() / 1000;
}

uint64_t clock_vouch_ms(void)
{
    uint64_t real = clock_real_ms(), mono = clock_mono_ms(), none = 0, most;

    atomic_compare_exchange_strong(&vouch_base_ms, &none,
                                   real > mono ? real - mono : 1);
    most = atomic_load(&vouch_base_ms) + mono + CLOCK_VOUCH_SLACK_MS;
    return real < most ? real : most;
}

void clock_sleep_ms(uint64_t ms)
{
    current->sleep_ms(current->data, ms);
}

struct timespec clock_deadline(uint64_t ms)
{
    uint64_t us = system_us(CLOCK_MONOTONIC);

    /* A century is long enough, and keeps the sum in bounds. */
    if (ms > (uint64_t)100 * 365 * 86400 * 1000) {
        ms = (uint64_t)100 * 365 * 86400 * 1000;
    }
    us += ms * 1000;
    return (struct timespec){(time_t)(us / 1000000),
                             (long)(us % 1000000) * 1000};
}
