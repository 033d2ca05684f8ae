/* test_rate.c: at most so many bytes a second.
 *
 * Goal: over any time no more goes than the rate and one burst, and all of it
 * may; what did not go counts for nothing. Method: a clock of the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "edge-agent/rate.h"

static void without_a_bound_all_goes(void **state)
{
    struct rate r = {0};

    (void)state;
    assert_int_equal(rate_take(&r, 5, 1u << 30), 1u << 30);
}

static void the_rate_and_one_burst_go_and_no_more(void **state)
{
    static const uint64_t rates[] = {1, 100, 9999, 1000000};

    (void)state;
    srand(3);
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        struct rate r = {.per_second = rates[i], .last_ms = 1000};
        uint64_t burst =
            rates[i] / 4 < RATE_BURST_MIN ? RATE_BURST_MIN : rates[i] / 4;
        uint64_t sent = 0, now = 1000;
        while (now < 101000) {
            now += (uint64_t)(rand() % 40);
            sent += rate_take(&r, now, (size_t)(rand() % 100000));
            assert_true(sent <= burst + (now - 1000) * rates[i] / 1000);
        }
        /* Nearly all of it was used. */
        assert_true(sent + burst >= 95 * rates[i]);
    }
}

static void what_did_not_go_may_go_later(void **state)
{
    struct rate r = {.per_second = 10000};
    size_t first = rate_take(&r, 100000, 1u << 20);

    (void)state;
    assert_int_equal(first, 2500);
    assert_int_equal(rate_take(&r, 100000, 100), 0);
    rate_return(&r, 1000);
    assert_int_equal(rate_take(&r, 100000, 1u << 20), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_bound_all_goes),
        cmocka_unit_test(the_rate_and_one_burst_go_and_no_more),
        cmocka_unit_test(what_did_not_go_may_go_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
