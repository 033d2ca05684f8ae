/* test_object_get.c: reading ranges of runs.
 *
 * Goal: any m drives lost, hung or damaged, every range reads byte for byte
 * (P3); no wrong byte is ever given (P5); what is found bad is rebuilt; with
 * more than m gone the error says so in time; no late answer writes into
 * memory that the caller has taken back.
 * Method: six fake disks; every pair of them is lost, hung or damaged; ranges
 * at random against bytes from a seed; each window is freed at once, for ASan.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/object_world.h"

static const uint64_t sizes[] = {1,       4095, 65536,   65537,       200000,
                                 MIB - 1, MIB,  MIB + 1, 2 * MIB + 77};
#define SIZES (sizeof sizes / sizeof sizes[0])

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

static void put_all(struct world *w, struct buf *manifests)
{
    for (uint64_t i = 0; i < SIZES; i++) {
        assert_int_equal(
            world_put(w, i, sizes[i], 8 * MIB, &manifests[i], NULL), 0);
    }
}

static void free_all(struct buf *manifests)
{
    for (uint64_t i = 0; i < SIZES; i++) {
        buf_free(&manifests[i]);
    }
}

static void every_pair_of_drives_may_be_lost(void **state)
{
    struct world *w = *state;
    struct buf manifests[SIZES] = {{0}};

    world_open(w, 0);
    put_all(w, manifests);
    for (unsigned a = 0; a < WORLD_DRIVES; a++) {
        for (unsigned b = a; b < WORLD_DRIVES; b++) {
            world_reopen(w, 1u << a | 1u << b);
            for (uint64_t i = 0; i < SIZES; i++) {
                assert_int_equal(world_get_all(w, &manifests[i], i, NULL), 0);
            }
        }
    }
    world_close(w);
    free_all(manifests);
}

static void other_policies_lose_m_drives_too(void **state)
{
    static const struct ec_policy policies[] = {
        {.k = 1, .m = 2}, {.k = 2, .m = 2}, {.k = 3, .m = 3}, {.k = 5, .m = 1},
        {.k = 2, .m = 4}, {.k = 1, .m = 0}, {.k = 6, .m = 0}};
    struct world *w = *state;

    for (size_t p = 0; p < sizeof policies / sizeof policies[0]; p++) {
        struct buf manifests[SIZES] = {{0}};
        w->options.policy = policies[p];
        world_open(w, 0);
        put_all(w, manifests);
        for (unsigned first = 0; first < WORLD_DRIVES; first++) {
            uint32_t lost = 0;
            for (unsigned i = 0; i < policies[p].m; i++) {
                lost |= 1u << (first + i * 5) % WORLD_DRIVES;
            }
            world_reopen(w, lost);
            for (uint64_t i = 0; i < SIZES; i++) {
                assert_int_equal(world_get_all(w, &manifests[i], i, NULL), 0);
            }
        }
        world_close(w);
        free_all(manifests);
    }
}

static void more_than_m_lost_is_said_and_nothing_wrong_is_read(void **state)
{
    struct world *w = *state;
    struct buf manifests[SIZES] = {{0}};
    struct err err = {{0}};

    world_open(w, 0);
    put_all(w, manifests);
    world_reopen(w, 0x2a);
    for (uint64_t i = 0; i < SIZES; i++) {
        int rc = world_get_all(w, &manifests[i], i, &err);
        assert_true(rc == 0 || rc == ERR_UNAVAILABLE);
        if (sizes[i] > 262144) {
            assert_int_equal(rc, ERR_UNAVAILABLE);
            assert_non_null(strstr(err.text, "3 of 4 shards needed"));
        }
    }
    world_close(w);
    free_all(manifests);
}

static uint64_t random_below(uint64_t *seed, uint64_t n)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (*seed >> 33) % n;
}

static void ranges_are_what_was_put(void **state)
{
    static const uint32_t lost[] = {0, 0x01, 0x24};
    struct world *w = *state;
    struct buf manifest = {0};
    uint64_t size = 5 * MIB + 12345, seed = 7;

    world_open(w, 0);
    assert_int_equal(world_put(w, 3, size, 2 * MIB - 5000, &manifest, NULL), 0);
    for (size_t l = 0; l < 3; l++) {
        world_reopen(w, lost[l]);
        for (int i = 0; i < 250; i++) {
            uint64_t offset = random_below(&seed, size);
            uint64_t left = size - offset;
            uint64_t length = 1 + random_below(&seed, i % 2 ? 5000 : left);
            size_t window = 1 + random_below(&seed, 700000);
            length = length < left ? length : left;
            if (length / window > 200) {
                window = length / 200;
            }
            assert_int_equal(
                world_get(w, &manifest, 3, offset, length, window, NULL), 0);
        }
    }
    world_close(w);
    buf_free(&manifest);
}

static void a_reader_may_change_its_mind_about_windows(void **state)
{
    struct world *w = *state;
    struct buf manifest = {0};
    struct object_get *g;
    uint8_t *bytes = malloc(MIB);
    uint64_t at = 0, seed = 3;
    size_t got = 1;

    world_open(w, 0);
    assert_int_equal(world_put(w, 4, 3 * MIB, MIB, &manifest, NULL), 0);
    assert_int_equal(object_get_open(w->objects, manifest.data, manifest.len, 0,
                                     3 * MIB, &g, NULL),
                     0);
    while (got > 0) {
        size_t max = 1 + random_below(&seed, 100000);
        uint8_t *exact = malloc(max);
        assert_int_equal(object_get_read(g, exact, max, &got, NULL), 0);
        assert_true(got <= max);
        assert_int_equal(world_compare(4, at, exact, got), got);
        at += got;
        free(exact);
    }
    assert_int_equal(at, 3 * MIB);
    assert_int_equal(object_get_read(g, bytes, 10, &got, NULL), 0);
    assert_int_equal(got, 0);
    object_get_close(g);
    /* Closed in the middle: what was asked ahead is dropped. */
    assert_int_equal(object_get_open(w->objects, manifest.data, manifest.len, 0,
                                     3 * MIB, &g, NULL),
                     0);
    assert_int_equal(object_get_read(g, bytes, 1000, &got, NULL), 0);
    object_get_close(g);
    object_get_close(NULL);
    free(bytes);
    buf_free(&manifest);
    world_close(w);
}

/* What is given is the caller's, also when pieces had to be made up for. */
static void bytes_that_are_taken_stay_as_they_are(void **state)
{
    struct world *w = *state;
    struct buf manifest = {0};

    world_open(w, 0);
    assert_int_equal(world_put(w, 9, 3 * MIB, MIB, &manifest, NULL), 0);
    for (int lost = 0; lost < 3; lost++) { /* none, a drive hangs, two do */
        struct object_bytes taken[64] = {{0}};
        struct object_get *g;
        uint64_t at = 0;
        size_t n = 0;
        if (lost > 0) {
            fake_disk_hang(w->disks[lost], true);
        }
        assert_int_equal(object_get_open(w->objects, manifest.data,
                                         manifest.len, 0, 3 * MIB, &g, NULL),
                         0);
        do {
            assert_in_range(n, 0, 63);
            assert_int_equal(object_get_take(g, 300000, &taken[n], NULL), 0);
        } while (taken[n++].len > 0);
        object_get_close(g);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(world_compare(9, at, taken[i].p, taken[i].len),
                             taken[i].len);
            at += taken[i].len;
            object_bytes_free(w->objects, &taken[i]);
            assert_null(taken[i].p);
        }
        assert_int_equal(at, 3 * MIB);
    }
    for (int i = 1; i < 3; i++) {
        fake_disk_hang(w->disks[i], false);
    }
    assert_true(world_pool_empties(w));
    buf_free(&manifest);
    world_close(w);
}

static void bad_manifests_and_ranges_are_refused(void **state)
{
    struct world *w = *state;
    struct buf manifest = {0};
    struct object_get *g = NULL;
    struct err err = {{0}};

    world_open(w, 0);
    assert_int_equal(world_put(w, 1, 1000, MIB, &manifest, NULL), 0);
    assert_int_equal(object_get_open(w->objects, manifest.data,
                                     manifest.len - 1, 0, 1, &g, &err),
                     ERR_CORRUPT);
    assert_int_equal(object_get_open(w->objects, manifest.data, manifest.len,
                                     999, 2, &g, &err),
                     ERR_RANGE);
    assert_int_equal(object_get_open(w->objects, manifest.data, manifest.len,
                                     UINT64_MAX, 2, &g, &err),
                     ERR_RANGE);
    assert_null(g);
    assert_int_equal(world_get(w, &manifest, 1, 1000, 0, 10, NULL), 0);
    manifest.data[4] = 0xff; /* a group that is not there */
    /* Its shards are on no drive that the layout names, and are found. */
    assert_int_equal(world_get(w, &manifest, 1, 0, 1000, 1000, NULL), 0);
    manifest.data[12] ^= 1; /* of another run, then */
    assert_int_equal(world_get(w, &manifest, 1, 0, 1000, 1000, &err),
                     ERR_UNAVAILABLE);
    buf_free(&manifest);
    world_close(w);
}

static void a_chunk_that_does_not_match_its_checksum_is_refused(void **state)
{
    struct world *w = *state;
    struct buf manifest = {0};
    struct err err = {{0}};

    world_open(w, 0);
    assert_int_equal(world_put(w, 1, 300000, MIB, &manifest, NULL), 0);
    manifest.data[28 + 4] ^= 1;
    assert_int_equal(world_get(w, &manifest, 1, 0, 300000, MIB, &err),
                     ERR_CORRUPT);
    assert_non_null(strstr(err.text, "CRC64NVME"));
    buf_free(&manifest);
    world_close(w);
}

static void damage_on_any_two_drives_is_read_around_and_mended(void **state)
{
    struct world *w = *state;

    world_open(w, 0);
    for (uint64_t round = 0; round < 15; round++) {
        struct buf manifest = {0};
        struct manifest m;
        uint64_t size = sizes[4 + round % (SIZES - 4)];
        assert_int_equal(world_put(w, round, size, 8 * MIB, &manifest, NULL),
                         0);
        assert_int_equal(manifest_decode(manifest.data, manifest.len, &m, NULL),
                         0);
        for (unsigned i = 0; i < 2; i++) { /* slots 0..3, and a neighbour */
            unsigned slot = (unsigned)(round + i * (1 + round % 3)) % 4;
            world_damage(w, world_drive_of(w, &m, slot),
                         manifest_shard(&m, 0, slot), (uint32_t)(round * 1000));
        }
        assert_int_equal(world_get_all(w, &manifest, round, NULL), 0);
        assert_true(world_heals(w, &manifest));
        /* What is whole is not written again. */
        assert_true(world_stats(w).shards_repaired <= 2 * (round + 1));
        assert_int_equal(world_get_all(w, &manifest, round, NULL), 0);
        manifest_free(&m);
        buf_free(&manifest);
    }
    assert_true(world_stats(w).reads_degraded > 0);
    world_close(w);
}

static void bytes_flipped_at_random_never_come_out(void **state)
{
    struct world *w = *state;
    struct buf manifest = {0};
    struct manifest m;
    uint64_t seed = 11, size = 4 * MIB + 1;
    unsigned good = 0;

    world_open(w, 0);
    assert_int_equal(world_put(w, 5, size, MIB, &manifest, NULL), 0);
    assert_int_equal(manifest_decode(manifest.data, manifest.len, &m, NULL), 0);
    for (int i = 0; i < 3000; i++) { /* more and more, on all drives */
        char name[16];
        uint16_t drive = (uint16_t)random_below(&seed, 6);
        snprintf(name, sizeof name, "%08x.seg",
                 (unsigned)random_below(&seed, 2));
        fake_disk_flip(w->disks[drive], name,
                       random_below(&seed, w->segment_bytes));
        if (i % 30 == 0) {
            int rc = world_get_all(w, &manifest, 5, NULL);
            assert_true(rc == 0 || rc == ERR_UNAVAILABLE || rc == ERR_TIMEOUT);
            good += rc == 0;
        }
    }
    assert_true(good > 0);
    manifest_free(&m);
    buf_free(&manifest);
    world_close(w);
}

static void get_each(struct world *w, struct buf *manifests)
{
    for (uint64_t i = 0; i < SIZES; i++) {
        assert_int_equal(world_get_all(w, &manifests[i], i, NULL), 0);
    }
}

static void hung_drives_cost_a_moment_and_no_memory(void **state)
{
    struct world *w = *state;
    struct buf manifests[SIZES] = {{0}};

    w->options.hedge_ms = 300;
    world_open(w, 0);
    put_all(w, manifests);
    for (unsigned a = 0; a < 4; a += 2) {
        uint64_t hedged = world_stats(w).reads_hedged;
        size_t held;
        world_hold_reads(1u << a | 1u << (a + 1));
        get_each(w, manifests);
        assert_true(world_stats(w).reads_hedged > hedged);
        do { /* until both are known to hang: each was asked, 2 s ago */
            clock_sleep_ms(2100);
            held = pool_used(w->pool);
            hedged = world_stats(w).reads_hedged;
            get_each(w, manifests);
        } while (pool_used(w->pool) != held ||
                 world_stats(w).reads_hedged != hedged);
        for (int round = 0; round < 10; round++) {
            get_each(w, manifests);
        }
        /* None waited for them, none left memory with them. */
        assert_int_equal(world_stats(w).reads_hedged, hedged);
        for (int i = 0; i < 500 && pool_used(w->pool) != held; i++) {
            clock_sleep_ms(10); /* what was dropped still comes */
        }
        assert_int_equal(pool_used(w->pool), held);
        world_hold_reads(0);
        assert_true(world_pool_empties(w));
    }
    world_close(w);
    free_all(manifests);
}

static void too_many_hung_drives_are_an_error_in_time(void **state)
{
    struct world *w = *state;
    struct buf manifest = {0};
    struct err err = {{0}};
    uint64_t start;

    w->options.get_timeout_ms = 2000;
    world_open(w, 0);
    assert_int_equal(world_put(w, 1, MIB, MIB, &manifest, NULL), 0);
    world_hold_reads(0x07);
    start = clock_mono_ms();
    assert_int_equal(world_get_all(w, &manifest, 1, &err), ERR_TIMEOUT);
    assert_true(clock_mono_ms() - start >= 2000);
    assert_non_null(strstr(err.text, "of 4 shards needed can be read"));
    world_hold_reads(0);
    assert_int_equal(world_get_all(w, &manifest, 1, NULL), 0);
    buf_free(&manifest);
    world_close(w);
}

static void a_slow_drive_is_heard_when_all_others_fail(void **state)
{
    struct world *w = *state;
    struct buf manifest = {0};
    struct manifest m;
    struct shard_key key;

    w->options.hedge_ms = 10;
    world_open(w, 0);
    assert_int_equal(world_put(w, 1, 60000, MIB, &manifest, NULL), 0);
    assert_int_equal(manifest_decode(manifest.data, manifest.len, &m, NULL), 0);
    for (unsigned slot = 4; slot < 6; slot++) {
        key = manifest_shard(&m, 0, slot);
        assert_int_equal(shard_delete_wait(
                             w->stores[world_drive_of(w, &m, slot)], key, NULL),
                         0);
    }
    w->options.get_timeout_ms = 1500;
    world_reopen(w, 0);
    /* Known as hung after a while, and still the only one that has it. */
    world_hold_reads(1u << world_drive_of(w, &m, 0));
    assert_int_equal(world_get_all(w, &manifest, 1, NULL), ERR_TIMEOUT);
    clock_sleep_ms(2100);
    assert_int_equal(world_get_all(w, &manifest, 1, NULL), ERR_TIMEOUT);
    world_hold_reads(0);
    assert_int_equal(world_get_all(w, &manifest, 1, NULL), 0);
    manifest_free(&m);
    buf_free(&manifest);
    world_close(w);
}

struct client {
    struct world *w;
    uint64_t number;
    const char *failed;
};

static void *run_client(void *arg)
{
    struct client *c = arg;
    uint64_t seed = c->number * 77 + 1;

    for (int i = 0; i < 25 && c->failed == NULL; i++) {
        struct buf manifest = {0};
        uint64_t bytes_seed = c->number * 1000 + (uint64_t)i;
        uint64_t size = 1 + random_below(&seed, 600000);
        if (world_put(c->w, bytes_seed, size, 256 * KIB, &manifest, NULL) !=
            0) {
            c->failed = "put";
        } else if (world_get_all(c->w, &manifest, bytes_seed, NULL) != 0) {
            c->failed = "get";
        } else if (object_delete(c->w->objects, manifest.data, manifest.len,
                                 NULL) != 0) {
            c->failed = "delete";
        }
        buf_free(&manifest);
    }
    return NULL;
}

static void clients_at_once_with_a_drive_that_comes_and_goes(void **state)
{
    struct world *w = *state;
    struct client clients[6];
    pthread_t threads[6];

    world_open(w, 0);
    for (unsigned i = 0; i < 6; i++) {
        clients[i] = (struct client){.w = w, .number = i};
        assert_int_equal(
            pthread_create(&threads[i], NULL, run_client, &clients[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        fake_disk_fail(w->disks[3], 0, ERR_IO, true);
        clock_sleep_ms(150);
        fake_disk_fail(w->disks[3], -1, 0, false);
        clock_sleep_ms(150);
    }
    for (unsigned i = 0; i < 6; i++) {
        pthread_join(threads[i], NULL);
        assert_null(clients[i].failed);
    }
    world_close(w);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(every_pair_of_drives_may_be_lost),
        TEST(other_policies_lose_m_drives_too),
        TEST(more_than_m_lost_is_said_and_nothing_wrong_is_read),
        TEST(ranges_are_what_was_put),
        TEST(a_reader_may_change_its_mind_about_windows),
        TEST(bytes_that_are_taken_stay_as_they_are),
        TEST(bad_manifests_and_ranges_are_refused),
        TEST(a_chunk_that_does_not_match_its_checksum_is_refused),
        TEST(damage_on_any_two_drives_is_read_around_and_mended),
        TEST(bytes_flipped_at_random_never_come_out),
        TEST(hung_drives_cost_a_moment_and_no_memory),
        TEST(too_many_hung_drives_are_an_error_in_time),
        TEST(a_slow_drive_is_heard_when_all_others_fail),
        TEST(clients_at_once_with_a_drive_that_comes_and_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
