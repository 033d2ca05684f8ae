/* test_object_put.c: writing runs of chunks.
 *
 * Goal: a commit means that every chunk has its quorum on stable media (P1);
 * writes go on while the quorum stands (P3) and are refused, by drive and
 * reason, when it does not; an abort leaves nothing (P4); no drive that hangs
 * holds a put for long, or the pool's memory for good.
 * Method: six fake disks that lose power, fail at every call in turn, fill up,
 * and hang.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "object/object_move.h"
#include "tests/lib/object_world.h"

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

static void a_buffer_is_large_enough_for_each_shorter_chunk(void **state)
{
    static const uint32_t sizes[] = {1,      4096,   65535,  65536,   65537,
                                     100000, 131073, 262144, 1000000, 8388608};
    struct world *w = *state;

    world_open(w, 0);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t have = object_buffer_bytes(w->objects, sizes[i]);
        for (uint32_t n = 1; n <= sizes[i]; n += n % 65536 < 2 ? 1 : 4093) {
            struct chunk_shape s = geometry_shape(w->options.policy, n);
            assert_true(geometry_buffer_bytes(&s) <= have);
        }
    }
    world_close(w);
}

/* Puts that wait for memory would else wait for each other. */
static void a_put_that_gets_no_further_holds_no_memory(void **state)
{
    struct world *w = *state;
    struct object_put *p;
    struct buf manifest = {0};
    struct err err = {{0}};

    world_open(w, 0);
    assert_int_equal(world_begin(w, 7, 2 * MIB, MIB, &p, &err), 0);
    assert_true(world_pool_empties(w));
    assert_int_equal(object_put_commit(p, &manifest, &err), 0);
    object_put_close(p, 1);
    assert_int_equal(world_get_all(w, &manifest, 7, NULL), 0);
    buf_free(&manifest);
    world_close(w);
}

static void what_is_committed_outlives_a_power_cut_of_all(void **state)
{
    struct world *w = *state;
    struct buf manifests[12] = {{0}};

    world_open(w, 0);
    for (uint64_t i = 0; i < 12; i++) {
        uint64_t size = i % 3 == 0 ? 5000 : i * 400000;
        assert_int_equal(world_put(w, i, size, MIB, &manifests[i], NULL), 0);
    }
    for (unsigned i = 0; i < WORLD_DRIVES; i++) {
        fake_disk_cut_at(w->disks[i], 0);
    }
    world_close(w);
    for (unsigned i = 0; i < WORLD_DRIVES; i++) {
        fake_disk_power_on(w->disks[i]);
    }
    world_open(w, 0);
    for (uint64_t i = 0; i < 12; i++) {
        assert_int_equal(world_get_all(w, &manifests[i], i, NULL), 0);
        assert_int_equal(world_defects(w, &manifests[i]), 0);
        buf_free(&manifests[i]);
    }
    world_close(w);
}

static void a_drive_that_fails_at_any_call_costs_no_put(void **state)
{
    struct world *w = *state;

    world_open(w, 0);
    for (long n = 0; n < 40; n += 3) {
        struct buf manifest = {0};
        struct err err = {{0}};
        uint64_t seed = (uint64_t)n;
        int rc;
        fake_disk_fail(w->disks[n % 6], n, ERR_IO, true);
        rc = world_put(w, seed, 3 * MIB, MIB, &manifest, &err);
        if (rc != 0) {
            fail_msg("call %ld: %s", n, err.text);
        }
        assert_int_equal(world_get_all(w, &manifest, seed, NULL), 0);
        fake_disk_fail(w->disks[n % 6], -1, 0, false);
        world_await(w, (unsigned)(n % 6), DRIVE_UP);
        buf_free(&manifest);
    }
    world_close(w);
}

static void a_shard_missed_is_written_when_its_drive_is_back(void **state)
{
    struct world *w = *state;
    struct buf manifest = {0};

    world_open(w, 0);
    fake_disk_fail(w->disks[3], 0, ERR_IO, true);
    assert_int_equal(world_put(w, 1, 2 * MIB, MIB, &manifest, NULL), 0);
    assert_int_equal(world_stats(w).chunks_written, 2);
    assert_int_equal(world_stats(w).shards_missed, 2);
    assert_true(world_defects(w, &manifest) >= 2);
    fake_disk_fail(w->disks[3], -1, 0, false);
    world_await(w, 3, DRIVE_UP);
    assert_true(world_heals(w, &manifest));
    assert_int_equal(world_stats(w).shards_repaired, 2);
    buf_free(&manifest);
    world_close(w);
}

/* P3: with as many drives gone as there is parity, writes go on, and what they
 * wrote comes home. */
static void shards_of_lost_drives_go_to_others_and_come_home(void **state)
{
    struct world *w = *state;
    struct buf manifest = {0};
    uint64_t strays;

    world_open(w, 0);
    fake_disk_fail(w->disks[1], 0, ERR_IO, true);
    fake_disk_fail(w->disks[4], 0, ERR_IO, true);
    assert_int_equal(world_put(w, 1, 3 * MIB, MIB, &manifest, NULL), 0);
    assert_int_equal(world_get_all(w, &manifest, 1, NULL), 0);
    strays = object_settle(w->objects);
    assert_true(strays >= 3); /* of each chunk one at least; they stay */
    fake_disk_fail(w->disks[1], -1, 0, false);
    fake_disk_fail(w->disks[4], -1, 0, false);
    world_await(w, 1, DRIVE_UP);
    world_await(w, 4, DRIVE_UP);
    for (int i = 0; i < 100 && object_settle(w->objects) > 0; i++) {
        clock_sleep_ms(20); /* deletes are not waited for */
    }
    assert_int_equal(object_settle(w->objects), 0);
    assert_true(world_heals(w, &manifest));
    assert_int_equal(world_get_all(w, &manifest, 1, NULL), 0);
    buf_free(&manifest);
    world_close(w);
}

/* What was handed off counts: with one more drive gone it is found. */
static void shards_handed_on_are_found_when_they_are_needed(void **state)
{
    struct world *w = *state;
    struct buf manifest = {0};

    world_open(w, 0);
    fake_disk_fail(w->disks[0], 0, ERR_IO, true);
    fake_disk_fail(w->disks[1], 0, ERR_IO, true);
    assert_int_equal(world_put(w, 1, 3 * MIB, MIB, &manifest, NULL), 0);
    for (unsigned i = 2; i < WORLD_DRIVES; i++) {
        fake_disk_fail(w->disks[i], 0, ERR_IO, true);
        world_await(w, i, DRIVE_FAILED);
        assert_int_equal(world_get_all(w, &manifest, 1, NULL), 0);
        fake_disk_fail(w->disks[i], -1, 0, false);
        world_await(w, i, DRIVE_UP);
    }
    buf_free(&manifest);
    world_close(w);
}

/* A drive holds two shards of a chunk at most, so that any one can still go. */
static void shards_handed_on_are_spread(void **state)
{
    struct world *w = *state;
    struct buf manifest = {0};

    world_open(w, 0);
    fake_disk_fail(w->disks[0], 0, ERR_IO, true);
    fake_disk_fail(w->disks[2], 0, ERR_IO, true);
    fake_disk_fail(w->disks[3], 0, ERR_IO, true);
    assert_int_equal(world_put(w, 1, MIB, MIB, &manifest, NULL), 0);
    for (unsigned i = 1; i < WORLD_DRIVES; i += i == 1 ? 3 : 1) {
        assert_true(world_shards_on(w, i) <= 2);
    }
    buf_free(&manifest);
    world_close(w);
}

static void a_lost_quorum_names_the_drives_and_leaves_nothing(void **state)
{
    struct world *w = *state;
    struct buf manifest = {0};
    struct err err = {{0}};

    world_open(w, 0);
    for (unsigned i = 1; i < 5; i++) {
        fake_disk_fail(w->disks[i], 0, ERR_IO, true);
    }
    assert_int_equal(world_put(w, 1, 3 * MIB, MIB, &manifest, &err),
                     ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "4 of 6 shards stored, 5 needed"));
    assert_non_null(strstr(err.text, "drive "));
    assert_int_equal(manifest.len, 0);
    for (int i = 0; i < 100 && world_shards_on(w, 0) > 0; i++) {
        clock_sleep_ms(20); /* what was handed on is not waited for */
    }
    assert_int_equal(world_shards_on(w, 0), 0);
    assert_int_equal(world_shards_on(w, 5), 0);
    for (unsigned i = 1; i < 5; i++) {
        fake_disk_fail(w->disks[i], -1, 0, false);
    }
    buf_free(&manifest);
    world_close(w);
}

static void full_drives_are_missed_and_too_many_are_err_full(void **state)
{
    struct world *w = *state;
    struct buf manifest = {0};
    struct err err = {{0}};

    world_open(w, 0);
    assert_int_equal(world_put(w, 1, MIB, MIB, &manifest, NULL), 0);
    buf_clear(&manifest);
    fake_disk_set_size(w->disks[0], fake_disk_used(w->disks[0]));
    for (int i = 0; i < 24; i++) { /* until its segment is full, and on */
        buf_clear(&manifest);
        assert_int_equal(world_put(w, 2, MIB, MIB, &manifest, NULL), 0);
        assert_int_equal(world_get_all(w, &manifest, 2, NULL), 0);
    }
    assert_true(world_stats(w).shards_missed > 0);
    for (unsigned i = 1; i < 4; i++) {
        fake_disk_set_size(w->disks[i], fake_disk_used(w->disks[i]));
    }
    for (int i = 0; i < 80; i++) {
        buf_clear(&manifest);
        if (world_put(w, 3, MIB, MIB, &manifest, &err) != 0) {
            break;
        }
    }
    assert_int_equal(world_put(w, 3, MIB, MIB, &manifest, &err), ERR_FULL);
    assert_non_null(strstr(err.text, "drive "));
    for (unsigned i = 0; i < 4; i++) {
        fake_disk_set_size(w->disks[i], (uint64_t)1 << 40);
        world_await(w, i, DRIVE_UP);
    }
    buf_clear(&manifest);
    assert_int_equal(world_put(w, 4, MIB, MIB, &manifest, NULL), 0);
    buf_free(&manifest);
    world_close(w);
}

static void a_hung_drive_holds_one_put_for_a_moment_and_no_more(void **state)
{
    struct world *w = *state;
    struct buf manifests[20] = {{0}};
    uint64_t start;
    size_t held;

    world_open(w, 0);
    fake_disk_hang(w->disks[2], true);
    start = clock_mono_ms();
    assert_int_equal(world_put(w, 0, 3 * MIB, MIB, &manifests[0], NULL), 0);
    assert_true(clock_mono_ms() - start >= 1900);
    held = pool_used(w->pool);
    assert_true(held > 0);
    for (uint64_t i = 1; i < 20; i++) {
        assert_int_equal(world_put(w, i, 3 * MIB, MIB, &manifests[i], NULL), 0);
    }
    /* None gave it a buffer to hold, so none waited for it. */
    assert_int_equal(pool_used(w->pool), held);
    for (uint64_t i = 0; i < 20; i++) {
        assert_int_equal(world_get_all(w, &manifests[i], i, NULL), 0);
    }
    fake_disk_hang(w->disks[2], false);
    for (uint64_t i = 0; i < 20; i++) {
        assert_true(world_heals(w, &manifests[i]));
        buf_free(&manifests[i]);
    }
    world_await_repairs(w);
    assert_true(world_pool_empties(w));
    world_close(w);
}

static void too_many_hung_drives_are_refused_in_time(void **state)
{
    struct world *w = *state;
    struct buf manifest = {0};
    struct err err = {{0}};
    uint64_t start;

    w->options.put_timeout_ms = 2500;
    world_open(w, 0);
    for (unsigned i = 2; i < WORLD_DRIVES; i++) {
        fake_disk_hang(w->disks[i], true);
    }
    start = clock_mono_ms();
    assert_int_equal(world_put(w, 1, MIB, MIB, &manifest, &err),
                     ERR_UNAVAILABLE);
    assert_true(clock_mono_ms() - start >= 2500);
    assert_non_null(strstr(err.text, "no answer in time"));
    assert_int_equal(manifest.len, 0);
    for (unsigned i = 2; i < WORLD_DRIVES; i++) {
        fake_disk_hang(w->disks[i], false);
    }
    /* Late shards are deleted by the abort, or are orphans. */
    assert_true(world_pool_empties(w));
    assert_int_equal(world_put(w, 2, MIB, MIB, &manifest, NULL), 0);
    assert_int_equal(world_get_all(w, &manifest, 2, NULL), 0);
    buf_free(&manifest);
    world_close(w);
}

static void shards_of_hung_drives_go_to_others(void **state)
{
    struct world *w = *state;
    struct buf manifest = {0};

    w->options.put_timeout_ms = 20000;
    world_open(w, 0);
    fake_disk_hang(w->disks[2], true);
    fake_disk_hang(w->disks[5], true);
    assert_int_equal(world_put(w, 1, MIB, MIB, &manifest, NULL), 0);
    fake_disk_hang(w->disks[2], false);
    fake_disk_hang(w->disks[5], false);
    assert_int_equal(world_get_all(w, &manifest, 1, NULL), 0);
    assert_true(world_pool_empties(w));
    buf_free(&manifest);
    world_close(w);
}

static void an_abort_deletes_also_what_comes_late(void **state)
{
    struct world *w = *state;
    struct object_put *p;

    w->options.put_timeout_ms = 300;
    world_open(w, 0);
    fake_disk_hang(w->disks[1], true);
    assert_int_equal(world_begin(w, 1, 2 * MIB, MIB, &p, NULL), 0);
    object_put_abort(p);
    fake_disk_hang(w->disks[1], false);
    assert_true(world_pool_empties(w));
    for (int i = 0; i < 200 && world_shards(w) > 0; i++) {
        clock_sleep_ms(50);
    }
    assert_int_equal(world_shards(w), 0);
    world_close(w);
}

static void a_put_that_the_catalogue_refused_leaves_nothing(void **state)
{
    struct world *w = *state;
    struct buf manifest = {0};
    struct object_put *p;

    world_open(w, 0);
    assert_int_equal(world_begin(w, 1, 2 * MIB + 5, MIB, &p, NULL), 0);
    assert_int_equal(object_put_commit(p, &manifest, NULL), 0);
    assert_int_equal(world_shards(w), 6 + 6 + 3);
    object_put_close(p, 0);
    assert_int_equal(world_shards(w), 0);
    buf_free(&manifest);
    world_close(w);
}

static void groups_with_all_drives_up_are_preferred(void **state)
{
    struct world *w = *state;

    /* Half of the groups do without drive 5, which fails. */
    w->options.policy = (struct ec_policy){.k = 2, .m = 1};
    world_open(w, 0);
    fake_disk_fail(w->disks[5], 0, ERR_IO, true);
    for (uint64_t i = 0; i < 3; i++) { /* until the drive is known to fail */
        struct buf manifest = {0};
        world_put(w, i, 200000, MIB, &manifest, NULL);
        buf_free(&manifest);
    }
    world_await(w, 5, DRIVE_FAILED);
    for (uint64_t i = 0; i < 20; i++) {
        struct buf manifest = {0};
        struct manifest m;
        assert_int_equal(world_put(w, i, 200000, MIB, &manifest, NULL), 0);
        assert_int_equal(manifest_decode(manifest.data, manifest.len, &m, NULL),
                         0);
        for (unsigned slot = 0; slot < 3; slot++) {
            assert_int_not_equal(world_drive_of(w, &m, slot), 5);
        }
        manifest_free(&m);
        buf_free(&manifest);
    }
    fake_disk_fail(w->disks[5], -1, 0, false);
    world_close(w);
}

/* Groups of 4+2, and behind them as many of each of others. */
static uint32_t more_groups(struct world *w, const struct ec_policy *others,
                            unsigned count, struct placement_group *out)
{
    struct placement_drive drives[WORLD_DRIVES] = {{0}};
    unsigned distinct;

    for (unsigned i = 0; i < WORLD_DRIVES; i++) {
        drives[i] = (struct placement_drive){.drive = (uint16_t)i, .weight = 1};
    }
    memcpy(out, w->groups, sizeof w->groups);
    for (uint32_t i = WORLD_GROUPS; i < (count + 1) * WORLD_GROUPS; i++) {
        out[i] = (struct placement_group){
            .id = i, .epoch = 1, .policy = others[i / WORLD_GROUPS - 1]};
        assert_int_equal(
            placement_choose(drives, WORLD_DRIVES, &out[i], &distinct, NULL),
            0);
    }
    return (count + 1) * WORLD_GROUPS;
}

/* Groups of other policies come while the store is open; each put says by which
 * it is, whatever its buffer was got for, and what was put before is read. */
static void puts_are_by_the_policy_that_they_name(void **state)
{
    static const struct ec_policy others[] = {
        {1, 2, 0}, {3, 3, 0}, {2, 4, 0}, {4, 3, 2}, {6, 0, 0}};
    static const uint64_t sizes[] = {1, 65537, 300000, 3 * MIB + 5};
    struct placement_group groups[6 * WORLD_GROUPS] = {{0}};
    struct world *w = *state;
    struct buf manifests[6][4] = {{{0}}};
    struct manifest m;

    world_open(w, 0);
    assert_false(object_store_knows(w->objects, others[0]));
    for (unsigned p = 0; p < 6; p++) {
        uint32_t count = more_groups(w, others, p, groups);
        assert_int_equal(
            object_store_set_groups(w->objects, groups, count, NULL), 0);
        w->how.policy = p > 0 ? others[p - 1] : w->options.policy;
        assert_true(object_store_knows(w->objects, w->how.policy));
        for (unsigned i = 0; i < 4; i++) {
            w->how.compress = i % 2;
            assert_int_equal(world_put(w, WORLD_SOFT + p * 4 + i, sizes[i],
                                       2 * MIB, &manifests[p][i], NULL),
                             0);
            assert_int_equal(manifest_decode(manifests[p][i].data,
                                             manifests[p][i].len, &m, NULL),
                             0);
            assert_true(ec_policy_same(m.policy, w->how.policy));
            assert_int_equal(m.group / WORLD_GROUPS, p);
            manifest_free(&m);
        }
    }
    for (unsigned p = 0; p < 6; p++) {
        for (unsigned i = 0; i < 4; i++) {
            assert_int_equal(world_get_all(w, &manifests[p][i],
                                           WORLD_SOFT + p * 4 + i, NULL),
                             0);
            assert_int_equal(world_defects(w, &manifests[p][i]), 0);
            buf_free(&manifests[p][i]);
        }
    }
    /* One that is not known is the store's; fewer groups are refused. */
    w->how.policy = (struct ec_policy){5, 1, 0};
    assert_int_equal(world_put(w, 1, 1000, MIB, &manifests[0][0], NULL), 0);
    assert_int_equal(
        manifest_decode(manifests[0][0].data, manifests[0][0].len, &m, NULL),
        0);
    assert_true(ec_policy_same(m.policy, w->options.policy));
    manifest_free(&m);
    buf_free(&manifests[0][0]);
    assert_int_equal(
        object_store_set_groups(w->objects, groups, WORLD_GROUPS, NULL),
        ERR_BAD_INPUT);
    assert_true(world_pool_empties(w));
    world_close(w);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_buffer_is_large_enough_for_each_shorter_chunk),
        TEST(a_put_that_gets_no_further_holds_no_memory),
        TEST(what_is_committed_outlives_a_power_cut_of_all),
        TEST(a_drive_that_fails_at_any_call_costs_no_put),
        TEST(a_shard_missed_is_written_when_its_drive_is_back),
        TEST(a_lost_quorum_names_the_drives_and_leaves_nothing),
        TEST(full_drives_are_missed_and_too_many_are_err_full),
        TEST(a_hung_drive_holds_one_put_for_a_moment_and_no_more),
        TEST(shards_of_hung_drives_go_to_others),
        TEST(shards_of_lost_drives_go_to_others_and_come_home),
        TEST(shards_handed_on_are_spread),
        TEST(shards_handed_on_are_found_when_they_are_needed),
        TEST(too_many_hung_drives_are_refused_in_time),
        TEST(an_abort_deletes_also_what_comes_late),
        TEST(a_put_that_the_catalogue_refused_leaves_nothing),
        TEST(groups_with_all_drives_up_are_preferred),
        TEST(puts_are_by_the_policy_that_they_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
