/* test_pace.c: a rate is kept, whatever the pieces.
 *
 * Goal: over any time no more goes than the rate allows and a quarter of a
 * second on top, and no less when there is always something.
 * Method: clocks of the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "object/pace.h"

#define MIB (1ull << 20)
#define SECOND 1000000ull

static void without_a_rate_nothing_waits(void **state)
{
    struct pace p = {0};

    (void)state;
    assert_int_equal(pace_take(&p, UINT64_MAX, 0), 0);
    assert_int_equal(pace_take(&p, 100 * MIB, 5), 0);
}

static void a_second_of_bytes_takes_a_second(void **state)
{
    struct pace p = {.rate = 10 * MIB};
    uint64_t now = 100 * SECOND;

    (void)state;
    /* The first second may begin a quarter early. */
    assert_int_equal(pace_take(&p, 10 * MIB, now), SECOND - PACE_BURST_US);
    now += SECOND - PACE_BURST_US;
    assert_int_equal(pace_take(&p, 10 * MIB, now), SECOND);
    assert_int_equal(pace_take(&p, 5 * MIB, now), SECOND * 3 / 2);
}

static void pieces_of_any_size_keep_the_rate(void **state)
{
    const uint64_t rates[] = {1, 1000, 3 * MIB, 1000 * MIB};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct pace p = {.rate = rates[i]};
        uint64_t now = 7 * SECOND, start = now, gone = 0, piece = 1;
        while (now < start + 100 * SECOND) {
            uint64_t bytes = rates[i] / 7 + piece % (rates[i] + 1);
            gone += bytes;
            now += pace_take(&p, bytes, now) + 1;
            piece = piece * 31 % 65521;
        }
        /* Each taking may be a microsecond short or long. */
        assert_true(gone <= rates[i] * ((now - start) / SECOND + 2));
        assert_true(rates[i] < 1000 ||
                    gone >= rates[i] / 100 * 95 * ((now - start) / SECOND));
    }
}

static void a_pause_is_not_caught_up_but_for_a_quarter_second(void **state)
{
    struct pace p = {.rate = MIB};

    (void)state;
    pace_take(&p, MIB, SECOND);
    assert_int_equal(pace_take(&p, MIB, 3600 * SECOND), SECOND - PACE_BURST_US);
    assert_int_equal(pace_take(&p, MIB / 8, 7200 * SECOND), 0);
}

static void huge_numbers_do_not_wrap(void **state)
{
    struct pace p = {.rate = 1ull << 40};

    (void)state;
    assert_true(pace_take(&p, 1ull << 43, SECOND) > 7 * SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_rate_nothing_waits),
        cmocka_unit_test(a_second_of_bytes_takes_a_second),
        cmocka_unit_test(pieces_of_any_size_keep_the_rate),
        cmocka_unit_test(a_pause_is_not_caught_up_but_for_a_quarter_second),
        cmocka_unit_test(huge_numbers_do_not_wrap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
