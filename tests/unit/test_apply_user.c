/* test_apply_user.c: users and access keys in the catalogue.
 *
 * Goal: a user is made once and ends with its keys, but not while it owns
 * buckets; a key is one user's; what access goes by is told to have changed.
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

static int user_put(struct base *b, const char *name, bool create)
{
    command_user_put(&b->command, name, create, "p", 1, 7);
    return go(b);
}

static int user_remove(struct base *b, const char *name)
{
    command_user_remove(&b->command, name);
    return go(b);
}

static int key_put(struct base *b, const char *user, const char *key)
{
    command_key_put(&b->command, user, key, "secret-secret", 8);
    return go(b);
}

static int key_remove(struct base *b, const char *key)
{
    command_key_remove(&b->command, key);
    return go(b);
}

static void a_user_is_made_once_and_ends_with_its_keys(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    assert_int_equal(user_put(&b, "u", false), ERR_NOT_FOUND);
    assert_int_equal(key_put(&b, "u", "KEY1"), ERR_NOT_FOUND);
    assert_int_equal(user_put(&b, "u", true), 0);
    assert_int_equal(user_put(&b, "u", true), ERR_EXISTS);
    assert_int_equal(user_put(&b, "u", false), 0);
    assert_int_equal(user_put(&b, "v", true), 0);
    assert_int_equal(key_put(&b, "u", "KEY1"), 0);
    assert_int_equal(key_put(&b, "u", "KEY2"), 0);
    assert_int_equal(key_put(&b, "v", "KEY1"), ERR_EXISTS);
    assert_int_equal(key_remove(&b, "KEY2"), 0);
    assert_int_equal(key_remove(&b, "KEY2"), ERR_NOT_FOUND);
    assert_int_equal(number(&b, "SELECT count(*) FROM access_key"), 1);
    assert_int_equal(user_remove(&b, "u"), 0);
    assert_int_equal(user_remove(&b, "u"), ERR_NOT_FOUND);
    assert_int_equal(number(&b, "SELECT count(*) FROM access_key"), 0);
    assert_int_equal(number(&b, "SELECT count(*) FROM user"), 1);
    base_close(&b);
}

static void who_owns_buckets_stays(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    assert_int_equal(user_put(&b, "u", true), 0);
    command_bucket_create(&b.command, "b", "u", 1);
    assert_int_equal(go(&b), 0);
    assert_int_equal(user_remove(&b, "u"), ERR_PRECONDITION);
    command_bucket_delete(&b.command, "b");
    assert_int_equal(go(&b), 0);
    assert_int_equal(user_remove(&b, "u"), 0);
    base_close(&b);
}

/* Does the command that was just encoded tell of a change? */
static bool changes(struct base *b)
{
    uint64_t before = b->apply.access_changes;

    go(b);
    return b->apply.access_changes != before;
}

static void what_access_goes_by_tells_that_it_has_changed(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    command_user_put(&b.command, "u", true, NULL, 0, 1);
    assert_true(changes(&b));
    command_key_put(&b.command, "u", "KEY", "secret-secret", 1);
    assert_true(changes(&b));
    command_bucket_create(&b.command, "b", "u", 1);
    assert_true(changes(&b));
    command_bucket_config(&b.command, "b", META_CONFIG_POLICY, "x", 1);
    assert_true(changes(&b));
    command_object_delete(&b.command, "b", "k", NULL, 1);
    assert_false(changes(&b));
    command_bucket_delete(&b.command, "b");
    assert_true(changes(&b));
    command_key_remove(&b.command, "KEY");
    assert_true(changes(&b));
    command_key_remove(&b.command, "KEY"); /* refused */
    assert_false(changes(&b));
    command_user_remove(&b.command, "u");
    assert_true(changes(&b));
    base_close(&b);
}

static void fields_out_of_bounds_are_refused(void **state)
{
    char text[200];
    struct base b;

    (void)state;
    base_init(&b);
    memset(text, 'a', sizeof text);
    text[META_USER_MAX + 1] = '\0';
    assert_int_equal(user_put(&b, text, true), ERR_BAD_INPUT);
    assert_int_equal(user_put(&b, "", true), ERR_BAD_INPUT);
    assert_int_equal(user_put(&b, "u", true), 0);
    assert_int_equal(key_put(&b, "u", "K"), ERR_BAD_INPUT);
    text[META_USER_MAX + 1] = 'a';
    text[META_ACCESS_KEY_MAX + 1] = '\0';
    assert_int_equal(key_put(&b, "u", text), ERR_BAD_INPUT);
    command_key_put(&b.command, "u", "KEY", "short", 1);
    assert_int_equal(go(&b), ERR_BAD_INPUT);
    base_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_user_is_made_once_and_ends_with_its_keys),
        cmocka_unit_test(who_owns_buckets_stays),
        cmocka_unit_test(what_access_goes_by_tells_that_it_has_changed),
        cmocka_unit_test(fields_out_of_bounds_are_refused),
    };

    return cmocka_run_group_tests_name("apply_user", tests, NULL, NULL);
}
