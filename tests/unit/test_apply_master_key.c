/* test_apply_master_key.c: master keys in the catalogue.
 *
 * Goal: numbers of a name follow each other, whoever proposes; a disabled name
 * takes no new ones; what access goes by is told to have changed.
 * Method: commands on a database in memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/apply_base.h"

static int put(struct base *b, const char *name, uint32_t number)
{
    command_master_key_put(&b->command, name, number, "wrapped", 7, 5);
    return go(b);
}

static int set(struct base *b, const char *name, bool disabled)
{
    command_master_key_state(&b->command, name, disabled);
    return go(b);
}

static void numbers_of_a_name_follow_each_other(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    assert_int_equal(put(&b, "s3", 2), ERR_NOT_FOUND);
    assert_int_equal(put(&b, "s3", 1), 0);
    assert_int_equal(put(&b, "s3", 1), ERR_EXISTS);
    assert_int_equal(put(&b, "s3", 3), ERR_NOT_FOUND);
    assert_int_equal(put(&b, "s3", 2), 0);
    assert_int_equal(put(&b, "s3", 1), ERR_EXISTS);
    assert_int_equal(put(&b, "other", 1), 0);
    assert_int_equal(number(&b, "SELECT count(*) FROM master_key"), 3);
    base_close(&b);
}

static void a_disabled_name_takes_no_new_number(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    assert_int_equal(set(&b, "k", true), ERR_NOT_FOUND);
    assert_int_equal(put(&b, "k", 1), 0);
    assert_int_equal(put(&b, "k", 2), 0);
    assert_int_equal(put(&b, "l", 1), 0);
    assert_int_equal(set(&b, "k", true), 0);
    assert_int_equal(
        number(&b, "SELECT count(*) FROM master_key WHERE disabled = 1"), 2);
    assert_int_equal(put(&b, "k", 3), ERR_PRECONDITION);
    assert_int_equal(set(&b, "k", false), 0);
    assert_int_equal(put(&b, "k", 3), 0);
    base_close(&b);
}

static void every_change_is_told(void **state)
{
    struct base b;
    uint64_t before;

    (void)state;
    base_init(&b);
    before = b.apply.access_changes;
    assert_int_equal(put(&b, "k", 1), 0);
    assert_int_equal(b.apply.access_changes, before + 1);
    assert_int_equal(put(&b, "k", 1), ERR_EXISTS);
    assert_int_equal(b.apply.access_changes, before + 1);
    assert_int_equal(set(&b, "k", true), 0);
    assert_int_equal(b.apply.access_changes, before + 2);
    base_close(&b);
}

static void there_is_an_end_to_them(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    number(&b,
           "INSERT INTO master_key WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL"
           " SELECT i + 1 FROM n WHERE i < 10000)"
           " SELECT 'many', i, 0, 0, x'00' FROM n RETURNING 1");
    assert_int_equal(put(&b, "k", 1), ERR_LIMIT);
    base_close(&b);
}

static void fields_out_of_bounds_are_refused(void **state)
{
    char name[META_MASTER_NAME_MAX + 2];
    struct base b;

    (void)state;
    base_init(&b);
    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_int_equal(put(&b, name, 1), ERR_BAD_INPUT);
    assert_int_equal(put(&b, "", 1), ERR_BAD_INPUT);
    assert_int_equal(put(&b, "k", 0), ERR_BAD_INPUT);
    base_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_a_name_follow_each_other),
        cmocka_unit_test(a_disabled_name_takes_no_new_number),
        cmocka_unit_test(every_change_is_told),
        cmocka_unit_test(there_is_an_end_to_them),
        cmocka_unit_test(fields_out_of_bounds_are_refused),
    };

    return cmocka_run_group_tests_name("apply_master_key", tests, NULL, NULL);
}
