/* test_clock.c: the seam for time.
 *
 * Goal: the system's clock moves and never back; a fake takes its place whole
 * and leaves again.
 * Method: read the real one; count the calls of a fake.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"

static void the_system_clock_moves_on(void **state)
{
    uint64_t last = clock_mono_us();
    uint64_t first_ms = clock_mono_ms();

    (void)state;
    for (int i = 0; i < 1000; i++) {
        uint64_t now = clock_mono_us();
        assert_true(now >= last);
        last = now;
    }
    clock_sleep_ms(15);
    assert_true(clock_mono_us() - last >= 15000);
    assert_true(clock_mono_ms() - first_ms >= 14);
}

static void real_time_is_this_century(void **state)
{
    (void)state;
    assert_true(clock_real_ms() > 1577836800000ull); /* 2020 */
    assert_true(clock_real_ms() < 4102444800000ull); /* 2100 */
    assert_true((uint64_t)time(NULL) - clock_real_ms() / 1000 + 2 < 5);
}

struct fake {
    uint64_t now_us;
};

static uint64_t set_ms; /* what somebody set a clock to */

static uint64_t fake_real_ms(void *data)
{
    struct fake *f = data;
    return 1000000 + f->now_us / 1000;
}

static uint64_t fake_mono_us(void *data)
{
    struct fake *f = data;
    return f->now_us;
}

static uint64_t set_real_ms(void *data)
{
    (void)data;
    return set_ms;
}

static void fake_sleep_ms(void *data, uint64_t ms)
{
    struct fake *f = data;
    f->now_us += ms * 1000;
}

static void a_fake_takes_its_place_and_leaves(void **state)
{
    struct fake f = {.now_us = 5999};
    struct clock_ops ops = {fake_real_ms, fake_mono_us, fake_sleep_ms, &f};

    (void)state;
    clock_use(&ops);
    assert_int_equal(clock_mono_us(), 5999);
    assert_int_equal(clock_mono_ms(), 5);
    assert_int_equal(clock_real_ms(), 1000005);
    clock_sleep_ms(86400000); /* a day passes at once */
    assert_int_equal(clock_mono_ms(), 86400005);
    clock_use(NULL);
    assert_true(clock_real_ms() > 1577836800000ull);
}

static uint64_t monotonic_ns(void)
{
    struct timespec t;

    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &t), 0);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void a_deadline_is_absolute_and_normal(void **state)
{
    static const uint64_t delays_ms[] = {0, 1, 999, 1000, 1001, 3600000};

    (void)state;
    for (size_t i = 0; i < sizeof delays_ms / sizeof delays_ms[0]; i++) {
        uint64_t delay_ns = delays_ms[i] * 1000000;
        uint64_t before = monotonic_ns();
        struct timespec t = clock_deadline(delays_ms[i]);
        uint64_t after = monotonic_ns();
        uint64_t due = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
        assert_true(t.tv_nsec >= 0 && t.tv_nsec < 1000000000);
        /* The clock is read in whole microseconds. */
        assert_true(due + 1000 >= before + delay_ns);
        assert_true(due <= after + delay_ns);
    }
}

static void the_longest_deadline_does_not_overflow(void **state)
{
    struct timespec now = clock_deadline(0);
    struct timespec t = clock_deadline(UINT64_MAX);

    (void)state;
    assert_true(t.tv_sec - now.tv_sec >= (time_t)99 * 365 * 86400);
    assert_true(t.tv_nsec >= 0 && t.tv_nsec < 1000000000);
}

static void a_clock_that_is_set_ahead_is_not_vouched_for(void **state)
{
    struct fake f = {.now_us = 5000000};
    struct clock_ops ops = {set_real_ms, fake_mono_us, fake_sleep_ms, &f};
    const uint64_t start = 1700000000000;

    (void)state;
    set_ms = start;
    clock_use(&ops);
    assert_int_equal(clock_vouch_ms(), start);
    set_ms = start + 3000;
    f.now_us += 3000000;
    assert_int_equal(clock_vouch_ms(), start + 3000);
    set_ms = start + 365ull * 86400000;
    assert_int_equal(clock_vouch_ms(), start + 3000 + CLOCK_VOUCH_SLACK_MS);
    f.now_us += 9000000;
    assert_int_equal(clock_vouch_ms(), start + 12000 + CLOCK_VOUCH_SLACK_MS);
    set_ms = start - 5; /* back is believed */
    assert_int_equal(clock_vouch_ms(), start - 5);
    clock_use(NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_system_clock_moves_on),
        cmocka_unit_test(real_time_is_this_century),
        cmocka_unit_test(a_clock_that_is_set_ahead_is_not_vouched_for),
        cmocka_unit_test(a_fake_takes_its_place_and_leaves),
        cmocka_unit_test(a_deadline_is_absolute_and_normal),
        cmocka_unit_test(the_longest_deadline_does_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
