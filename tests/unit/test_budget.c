/* test_budget.c: how many bytes a day may be written.
 *
 * Goal: a day's bytes end, the next day's are new, and a restart gives none.
 * Method: counters and times made up; a file of the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/mem.h"
#include "edge-agent/budget.h"
#include "tests/lib/temp_dir.h"

#define DAY ((uint64_t)86400 * 1000)

static void a_day_ends_what_was_left_of_it(void **state)
{
    struct budget b = {0};

    (void)state;
    assert_true(budget_left(&b, 1 << 30, 5 * DAY)); /* no bound */
    budget_set(&b, NULL, 1000);
    assert_true(budget_left(&b, 5000, 5 * DAY));
    assert_true(budget_left(&b, 5999, 5 * DAY + 1));
    assert_false(budget_left(&b, 6000, 6 * DAY - 1));
    assert_int_equal(budget_today(&b, 6000, 6 * DAY - 1), 1000);
    assert_true(budget_left(&b, 6000, 6 * DAY));
    assert_false(budget_left(&b, 7000, 6 * DAY));
    budget_set(&b, NULL, 2000);
    assert_true(budget_left(&b, 7000, 6 * DAY));
    budget_free(&b);
}

static void a_restart_gives_no_new_budget(void **state)
{
    char *dir = temp_dir_new();
    char *path = mem_printf("%s/flash.json", dir);
    struct budget b = {0};

    (void)state;
    budget_set(&b, path, 1000);
    assert_true(budget_left(&b, 100, 5 * DAY));
    assert_false(budget_left(&b, 1100, 5 * DAY));
    budget_free(&b);
    budget_set(&b, path, 1000);
    assert_false(budget_left(&b, 1100, 5 * DAY));
    assert_true(budget_left(&b, 50, 5 * DAY)); /* another spool */
    budget_free(&b);
    free(path);
    temp_dir_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_day_ends_what_was_left_of_it),
        cmocka_unit_test(a_restart_gives_no_new_budget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
