/* test_apply_expire.c: what the rules of a bucket have ended.
 *
 * Goal: a version goes only when it is still what was seen, when the cluster's
 * time has come, and when nothing retains it; whatever was written meanwhile
 * stays.
 * Method: commands on a database in memory, verified after each test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/apply_base.h"

#define NOW 5000

static void clock_is(struct base *b, uint64_t time_ms)
{
    struct command_clock vote = {1, time_ms};

    command_clock_vote(&b->command, &vote, 1);
    assert_int_equal(go(b), 0);
}

static void init(struct base *b, bool versions)
{
    struct command_more more = {.locked = true};

    base_init(b);
    command_bucket_create(&b->command, "b", "me", 1);
    if (versions) {
        command_add_more(&b->command, 0, &more);
    }
    assert_int_equal(go(b), 0);
    clock_is(b, NOW);
}

static uint64_t put(struct base *b, const char *key, const char *bytes,
                    uint64_t time_ms)
{
    struct meta_content content = {.size_bytes = strlen(bytes),
                                   .inline_bytes = bytes};

    command_object_put(&b->command, "b", key, NULL, &content, "e", "", 0,
                       time_ms);
    assert_int_equal(go(b), 0);
    return b->version;
}

static void expire(struct base *b, const char *key, uint64_t version,
                   uint64_t modified_ms, uint64_t size, uint64_t due_ms)
{
    struct command_expiry item = {key, version, modified_ms, size, due_ms};

    command_expire(&b->command, "b", &item, 1, NOW);
    assert_int_equal(go(b), 0);
}

static uint64_t named(struct base *b)
{
    return number(b, "SELECT count(*) FROM version");
}

static uint64_t history(struct base *b)
{
    return number(b, "SELECT count(*) FROM history");
}

static void what_is_due_and_as_it_was_seen_goes(void **state)
{
    struct base b;

    (void)state;
    init(&b, false);
    put(&b, "k", "abc", 100);
    expire(&b, "other", META_VERSION_CURRENT, 100, 3, NOW);
    expire(&b, "k", META_VERSION_CURRENT, 100, 3, NOW + 1);
    assert_int_equal(named(&b), 1);
    expire(&b, "k", META_VERSION_CURRENT, 100, 3, NOW);
    assert_int_equal(named(&b), 0);
    assert_int_equal(history(&b), 0);
    base_close(&b);
}

static void what_was_written_meanwhile_stays(void **state)
{
    struct base b;

    (void)state;
    init(&b, false);
    put(&b, "k", "abc", 100);
    put(&b, "k", "abc", 101);
    expire(&b, "k", META_VERSION_CURRENT, 100, 3, 1);
    expire(&b, "k", META_VERSION_CURRENT, 101, 4, 1);
    assert_int_equal(named(&b), 1);
    command_expire(&b.command, "gone", NULL, 0, NOW);
    assert_int_equal(go(&b), ERR_NO_BUCKET);
    base_close(&b);
}

static void no_time_of_one_machine_ends_anything(void **state)
{
    struct base b;
    struct command_expiry item = {"k", META_VERSION_CURRENT, 100, 3, NOW + 1};

    (void)state;
    init(&b, false);
    put(&b, "k", "abc", 100);
    /* Who proposes lives years ahead. */
    command_expire(&b.command, "b", &item, 1, (uint64_t)1 << 40);
    assert_int_equal(go(&b), 0);
    assert_int_equal(named(&b), 1);
    clock_is(&b, NOW + 1);
    expire(&b, "k", META_VERSION_CURRENT, 100, 3, NOW + 1);
    assert_int_equal(named(&b), 0);
    base_close(&b);
}

static void where_versions_are_kept_a_marker_comes(void **state)
{
    struct base b;
    uint64_t first, marker;

    (void)state;
    init(&b, true);
    first = put(&b, "k", "abc", 100);
    expire(&b, "k", META_VERSION_CURRENT, 100, 3, 1);
    assert_int_equal(named(&b), 0);
    assert_int_equal(history(&b), 2);
    /* Again: nothing is there to end. */
    expire(&b, "k", META_VERSION_CURRENT, 100, 3, 1);
    assert_int_equal(history(&b), 2);
    expire(&b, "k", first, 100, 3, 1);
    assert_int_equal(history(&b), 1);
    marker = number(&b, "SELECT seq FROM history");
    expire(&b, "k", marker, NOW - 1, 0, 1);
    assert_int_equal(history(&b), 1); /* not of the time that was seen */
    expire(&b, "k", marker, NOW, 0, 1);
    assert_int_equal(history(&b), 0);
    base_close(&b);
}

static void what_the_key_names_is_no_old_version(void **state)
{
    struct base b;
    uint64_t first;

    (void)state;
    init(&b, true);
    first = put(&b, "k", "abc", 100);
    expire(&b, "k", first, 100, 3, 1);
    assert_int_equal(named(&b), 1);
    put(&b, "k", "abcd", 200);
    expire(&b, "k", first, 100, 3, 1);
    assert_int_equal(named(&b), 1);
    assert_int_equal(history(&b), 0);
    base_close(&b);
}

static void what_is_retained_or_held_stays(void **state)
{
    struct base b;
    struct command_more held = {.hold = true};
    uint64_t first;

    (void)state;
    init(&b, true);
    first = put(&b, "k", "abc", 100);
    put(&b, "k", "abcd", 200);
    held.version = first;
    command_object_set(&b.command, COMMAND_OBJECT_HOLD, "b", "k", &held, 300);
    assert_int_equal(go(&b), 0);
    expire(&b, "k", first, 100, 3, 1);
    assert_int_equal(history(&b), 1);
    held.hold = false;
    command_object_set(&b.command, COMMAND_OBJECT_HOLD, "b", "k", &held, 300);
    assert_int_equal(go(&b), 0);
    expire(&b, "k", first, 100, 3, 1);
    assert_int_equal(history(&b), 0);
    base_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_due_and_as_it_was_seen_goes),
        cmocka_unit_test(what_was_written_meanwhile_stays),
        cmocka_unit_test(no_time_of_one_machine_ends_anything),
        cmocka_unit_test(where_versions_are_kept_a_marker_comes),
        cmocka_unit_test(what_the_key_names_is_no_old_version),
        cmocka_unit_test(what_is_retained_or_held_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
