/* test_drive_pulse.c: which drives answer.
 *
 * Goal: only a drive that holds abandoned requests and is silent for long
 * counts as hung, for the verb in question, and only until it has answered.
 * Method: a clock that the test moves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "object/drive_pulse.h"

static uint64_t now_ms = 100000;

static uint64_t fake_mono_us(void *data)
{
    (void)data;
    return now_ms * 1000;
}

static uint64_t fake_real_ms(void *data)
{
    (void)data;
    return now_ms;
}

static void fake_sleep_ms(void *data, uint64_t ms)
{
    (void)data;
    now_ms += ms;
}

static const struct clock_ops fake = {fake_real_ms, fake_mono_us, fake_sleep_ms,
                                      NULL};

static int setup(void **state)
{
    clock_use(&fake);
    *state = drive_pulse_new(4);
    return 0;
}

static int teardown(void **state)
{
    drive_pulse_free(*state);
    clock_use(NULL);
    return 0;
}

static void silence_alone_is_not_hung(void **state)
{
    struct drive_pulse *p = *state;
    struct pulse_ask a;

    pulse_begin(p, &a, 1, PULSE_WRITE);
    now_ms += 10 * PULSE_LOST_MS;
    assert_false(drive_is_hung(p, 1, PULSE_WRITE));
    pulse_answered(&a);
    assert_false(drive_is_hung(p, 1, PULSE_WRITE));
}

static void abandoned_and_silent_is_hung_until_it_answers(void **state)
{
    struct drive_pulse *p = *state;
    struct pulse_ask a, b;

    now_ms += 1000000; /* a long quiet before is no silence */
    pulse_begin(p, &a, 1, PULSE_WRITE);
    pulse_begin(p, &b, 1, PULSE_WRITE);
    now_ms += PULSE_LOST_MS - 1;
    pulse_abandon(&a);
    assert_false(drive_is_hung(p, 1, PULSE_WRITE));
    now_ms += 1;
    assert_true(drive_is_hung(p, 1, PULSE_WRITE));
    assert_false(drive_is_hung(p, 1, PULSE_READ));
    assert_false(drive_is_hung(p, 2, PULSE_WRITE));
    pulse_answered(&b); /* a sign of life */
    assert_false(drive_is_hung(p, 1, PULSE_WRITE));
    now_ms += PULSE_LOST_MS;
    assert_true(drive_is_hung(p, 1, PULSE_WRITE));
    pulse_answered(&a);
    now_ms += PULSE_LOST_MS;
    assert_false(drive_is_hung(p, 1, PULSE_WRITE));
}

static void what_was_answered_cannot_be_abandoned(void **state)
{
    struct drive_pulse *p = *state;
    struct pulse_ask a, b;

    pulse_begin(p, &a, 0, PULSE_READ);
    pulse_begin(p, &b, 0, PULSE_READ);
    pulse_answered(&a);
    pulse_abandon(&a);
    now_ms += 2 * PULSE_LOST_MS;
    assert_false(drive_is_hung(p, 0, PULSE_READ));
    pulse_answered(&b);
}

static void an_unknown_drive_is_never_hung(void **state)
{
    struct drive_pulse *p = *state;
    struct pulse_ask a;

    pulse_begin(p, &a, 4, PULSE_READ);
    pulse_abandon(&a);
    now_ms += 2 * PULSE_LOST_MS;
    assert_false(drive_is_hung(p, 4, PULSE_READ));
    assert_false(drive_is_hung(p, 0xffff, PULSE_READ));
    pulse_answered(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(silence_alone_is_not_hung, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            abandoned_and_silent_is_hung_until_it_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_answered_cannot_be_abandoned,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(an_unknown_drive_is_never_hung, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
