/* test_object_mend.c: shards that drives lost, rebuilt unasked.
 *
 * Goal: a drive that comes up empty is filled again from the manifests, what
 * scrub finds bad is rebuilt, and nothing is looked for without a cause (P3).
 * Method: fake disks that are wiped while the store is closed or the folder is
 * away; damage found by the stores' own scrub.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "object/object_internal.h"
#include "object/object_mend.h"
#include "tests/lib/object_world.h"

#define RUNS 6

static int setup(void **state)
{
    *state = world_new((struct ec_policy){.k = 4, .m = 2});
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    return 0;
}

static void put_runs(struct world *w, struct buf *manifests)
{
    for (uint64_t i = 0; i < RUNS; i++) {
        assert_int_equal(
            world_put(w, i, 1 + i * 300000, MIB, &manifests[i], NULL), 0);
    }
}

/* As the janitor does. */
static void mend(struct world *w, const struct buf *manifests)
{
    for (unsigned i = 0; i < RUNS; i++) {
        object_mend(w->objects, manifests[i].data, manifests[i].len);
    }
}

static void all_heal(struct world *w, struct buf *manifests)
{
    for (uint64_t i = 0; i < RUNS; i++) {
        assert_true(world_heals(w, &manifests[i]));
        buf_free(&manifests[i]);
    }
}

static void it_is_wanted_once_after_each_start_and_return(void **state)
{
    struct world *w = *state;

    world_open(w, 0);
    assert_true(object_mend_wanted(w->objects));
    assert_false(object_mend_wanted(w->objects));
    fake_disk_set_present(w->disks[4], false);
    world_await(w, 4, DRIVE_FAILED);
    assert_false(object_mend_wanted(w->objects));
    fake_disk_set_present(w->disks[4], true);
    world_await(w, 4, DRIVE_UP);
    assert_true(object_mend_wanted(w->objects));
    assert_false(object_mend_wanted(w->objects));
    world_close(w);
}

static void drives_that_start_empty_are_filled(void **state)
{
    struct world *w = *state;
    struct buf manifests[RUNS] = {{0}};

    world_open(w, 0);
    put_runs(w, manifests);
    world_close(w);
    fake_disk_wipe(w->disks[1]);
    fake_disk_wipe(w->disks[2]);
    world_open(w, 0);
    assert_int_equal(world_shards_on(w, 1), 0);
    assert_true(object_mend_wanted(w->objects));
    mend(w, manifests);
    all_heal(w, manifests);
    world_close(w);
}

static void what_scrub_finds_bad_is_rebuilt(void **state)
{
    struct world *w = *state;
    struct buf manifests[RUNS] = {{0}};
    struct manifest m;

    w->scrub_interval_ms = 500;
    world_open(w, 0);
    put_runs(w, manifests);
    object_mend_wanted(w->objects); /* of the start */
    assert_int_equal(
        manifest_decode(manifests[5].data, manifests[5].len, &m, NULL), 0);
    world_damage(w, world_drive_of(w, &m, 3), manifest_shard(&m, 0, 3), 99);
    for (int i = 0; i < 3000 && !object_mend_wanted(w->objects); i++) {
        clock_sleep_ms(20);
    }
    mend(w, manifests);
    all_heal(w, manifests);
    manifest_free(&m);
    world_close(w);
}

static void a_whole_store_gives_nothing_to_do(void **state)
{
    struct world *w = *state;
    struct buf manifests[RUNS] = {{0}};
    struct object_store_stats stats;

    world_open(w, 0);
    put_runs(w, manifests);
    object_mend_wanted(w->objects);
    mend(w, manifests);
    world_await_repairs(w);
    object_store_stats(w->objects, &stats);
    assert_int_equal(stats.shards_repaired, 0);
    object_mend(w->objects, "no manifest", 11);
    all_heal(w, manifests);
    world_close(w);
}

static void a_drive_that_is_away_is_not_waited_for(void **state)
{
    struct world *w = *state;
    struct buf manifests[RUNS] = {{0}};
    struct object_store_stats stats;

    world_open(w, 0);
    put_runs(w, manifests);
    fake_disk_set_present(w->disks[0], false);
    world_await(w, 0, DRIVE_FAILED);
    object_mend_wanted(w->objects);
    mend(w, manifests);
    object_store_stats(w->objects, &stats);
    assert_int_equal(stats.repairs_waiting, 0);
    fake_disk_set_present(w->disks[0], true);
    world_await(w, 0, DRIVE_UP);
    all_heal(w, manifests);
    world_close(w);
}

static void a_drive_passed_over_is_looked_at_when_it_is_back(void **state)
{
    struct world *w = *state;
    struct buf manifests[RUNS] = {{0}};

    world_open(w, 0);
    put_runs(w, manifests);
    assert_true(object_mend_wanted(w->objects)); /* of the start */
    fake_disk_set_present(w->disks[0], false);
    world_await(w, 0, DRIVE_FAILED);
    mend(w, manifests);
    fake_disk_set_present(w->disks[0], true);
    world_await(w, 0, DRIVE_UP);
    /* It was up at both looks, but not for the walk between. */
    assert_true(object_mend_wanted(w->objects));
    assert_false(object_mend_wanted(w->objects));
    all_heal(w, manifests);
    world_close(w);
}

static void harm(struct world *w, const struct buf *manifest, uint32_t slots)
{
    struct manifest m;

    assert_int_equal(manifest_decode(manifest->data, manifest->len, &m, NULL),
                     0);
    for (unsigned slot = 0; slot < 6; slot++) {
        if (slots >> slot & 1) {
            world_delete_shard(w, &m, slot);
        }
    }
    manifest_free(&m);
}

static void what_misses_one_does_not_hold_up_what_misses_two(void **state)
{
    enum { MANY = 2000 };
    struct world *w = *state;
    struct chunk_ref chunk = {.policy = {.k = 4, .m = 2}, .bytes = 1000};
    struct buf one = {0}, two = {0}, whole = {0};

    world_open(w, 0);
    assert_int_equal(world_put(w, 1, MIB, MIB, &one, NULL), 0);
    assert_int_equal(world_put(w, 2, MIB, MIB, &two, NULL), 0);
    assert_int_equal(world_put(w, 3, MIB, MIB, &whole, NULL), 0);
    harm(w, &one, 1);
    harm(w, &two, 1 | 2);
    assert_true(object_mend_wanted(w->objects));
    assert_false(object_mend_urgent(w->objects, "no manifest", 11));
    /* A queue of what can never be read. */
    for (uint32_t i = 0; i < MANY + 10; i++) {
        chunk.id_hi = i + 1;
        object_repair_queue(w->objects, &chunk, 1);
    }
    assert_true(object_mend_urgent(w->objects, one.data, one.len));
    assert_false(object_mend_urgent(w->objects, two.data, two.len));
    assert_false(object_mend_urgent(w->objects, whole.data, whole.len));
    assert_true(world_heals(w, &two));
    for (uint32_t i = 0; i < MANY + 10; i++) {
        object_repair_forget(w->objects, i + 1, 0);
    }
    object_mend(w->objects, one.data, one.len); /* the second walk */
    assert_true(world_heals(w, &one));
    buf_free(&one);
    buf_free(&two);
    buf_free(&whole);
    world_close(w);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(it_is_wanted_once_after_each_start_and_return),
        TEST(drives_that_start_empty_are_filled),
        TEST(what_scrub_finds_bad_is_rebuilt),
        TEST(a_whole_store_gives_nothing_to_do),
        TEST(a_drive_that_is_away_is_not_waited_for),
        TEST(a_drive_passed_over_is_looked_at_when_it_is_back),
        TEST(what_misses_one_does_not_hold_up_what_misses_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
