/* test_cert_time.c: time for who may have no clock.
 *
 * Goal: dates become ms as the C library has them; an expired certificate never
 * passes, one of the future only while the clock is not set; the clock counts
 * as set by itself or by what the cluster said. Method: tables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include "edge-agent/cert_time.h"

#define FLOOR CERT_TIME_FLOOR_MS
#define DAY 86400000ull

static void dates_are_those_of_the_c_library(void **state)
{
    (void)state;
    for (time_t t = 0; t < 4102444800; t += 86400 * 13 + 3607) {
        struct tm tm;
        gmtime_r(&t, &tm);
        assert_int_equal(
            cert_time_ms(tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                         tm.tm_hour, tm.tm_min, tm.tm_sec),
            (uint64_t)t * 1000);
    }
    assert_int_equal(cert_time_ms(1950, 1, 1, 0, 0, 0), 0);
    assert_int_equal(cert_time_ms(2026, 13, 1, 0, 0, 0), 0);
}

static void only_an_unset_clock_lets_the_future_pass(void **state)
{
    (void)state;
    assert_int_equal(cert_time_judge(100, 200, 150, true), CERT_TIME_FINE);
    assert_int_equal(cert_time_judge(100, 200, 99, true), CERT_TIME_FUTURE);
    assert_int_equal(cert_time_judge(100, 200, 99, false), CERT_TIME_FINE);
    assert_int_equal(cert_time_judge(100, 200, 201, true), CERT_TIME_EXPIRED);
    assert_int_equal(cert_time_judge(100, 200, 201, false), CERT_TIME_EXPIRED);
}

static void the_earliest_time_not_before_the_floor_counts(void **state)
{
    static const struct {
        uint64_t clock;
        int64_t skew;
        uint64_t floor, now;
        bool known;
    } rows[] = {
        /* a good clock */
        {FLOOR + DAY, 0, 0, FLOOR + DAY, true},
        {FLOOR + DAY, 500, FLOOR, FLOOR + DAY, true},
        /* none, never told */
        {12345, 0, 0, FLOOR, false},
        /* none, but the cluster's lead is known from before */
        {12345, (int64_t)(FLOOR + DAY), FLOOR, FLOOR + DAY + 12345, true},
        /* begun again, and behind what was seen last */
        {12345, (int64_t)(FLOOR + DAY), FLOOR + 2 * DAY, FLOOR + 2 * DAY,
         false},
        /* set right since the lead was learnt */
        {FLOOR + 3 * DAY, (int64_t)FLOOR, FLOOR + 2 * DAY, FLOOR + 3 * DAY,
         true},
        /* a year ahead, as the cluster said */
        {FLOOR + 366 * DAY, -(int64_t)(365 * DAY), FLOOR, FLOOR + DAY, true},
        /* a lead that would be before 1970 */
        {FLOOR + DAY, INT64_MIN + 1, FLOOR, FLOOR + DAY, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool known = !rows[i].known;
        assert_int_equal(
            cert_time_now(rows[i].clock, rows[i].skew, rows[i].floor, &known),
            rows[i].now);
        assert_int_equal(known, rows[i].known);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_are_those_of_the_c_library),
        cmocka_unit_test(only_an_unset_clock_lets_the_future_pass),
        cmocka_unit_test(the_earliest_time_not_before_the_floor_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
