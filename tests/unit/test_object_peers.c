/* Goal: objects whose shards stand on drives of several servers are put, read,
 * read without one of the servers, repaired and deleted as those of one (P3).
 *
 * Method: three servers with two drives each in one process over loopback TLS.
 * Server 1 has the object store; server 3 is taken down and brought back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "object/object_mend.h"
#include "tests/lib/object_world.h"
#include "tests/lib/shard_site.h"

#define CHUNK ((uint32_t)1 << 20)
#define SIZE (3 * (uint64_t)CHUNK + 777)

static struct site sites[3]; /* drives 0 1, 2 3, 4 5 */
static struct world w;       /* its objects, options and pool alone are used */
static struct placement_group groups[2];

static void open_objects(struct ec_policy policy, uint16_t (*slots)[6])
{
    w.options = (struct object_store_options){.peers = sites[0].peers,
                                              .pool = w.pool,
                                              .policy = policy,
                                              .groups = groups,
                                              .group_count = 2,
                                              .put_timeout_ms = 20000,
                                              .get_timeout_ms = 20000,
                                              .hedge_ms = 2000,
                                              .orphan_age_ms = 0};
    for (uint32_t i = 0; i < 2; i++) {
        groups[i] = (struct placement_group){.id = i, .policy = policy};
        memcpy(groups[i].slots, slots[i], sizeof slots[i]);
    }
    assert_int_equal(object_store_open(&w.options, &w.objects, NULL), 0);
}

/* Every shard on its own drive; write quorum 5. */
static void open_4_2(void)
{
    static uint16_t slots[2][6] = {{0, 2, 4, 1, 3, 5}, {5, 4, 3, 2, 1, 0}};

    open_objects((struct ec_policy){.k = 4, .m = 2}, slots);
}

/* One of four drives is server 3's; write quorum 3. */
static void open_2_2(void)
{
    static uint16_t slots[2][6] = {{4, 0, 2, 1}, {1, 5, 3, 0}};

    open_objects((struct ec_policy){.k = 2, .m = 2}, slots);
}

static int set_up(void **state)
{
    (void)state;
    memset(sites, 0, sizeof sites);
    memset(&w, 0, sizeof w);
    w.pool = pool_new(WORLD_POOL);
    for (unsigned i = 0; i < 3; i++) {
        site_open(&sites[i], i + 1, (uint16_t)(2 * i), 2);
    }
    site_link(&sites[0], &sites[1], NULL);
    site_link(&sites[0], &sites[2], NULL);
    return site_wait_state(&sites[0], 2, PEER_UP) &&
                   site_wait_state(&sites[0], 5, PEER_UP)
               ? 0
               : 1;
}

static int tear_down(void **state)
{
    (void)state;
    object_store_close(w.objects);
    w.objects = NULL;
    for (unsigned i = 0; i < 3; i++) {
        site_close(&sites[i]);
    }
    pool_free(w.pool);
    return 0;
}

static uint64_t shards_of(unsigned site)
{
    struct shard_store_stats stats[2];

    for (unsigned i = 0; i < 2; i++) {
        shard_store_stats(sites[site].stores[i], &stats[i]);
    }
    return stats[0].shards + stats[1].shards;
}

/* Server 3 goes, and server 1 knows, or not yet. */
static void lose_server_3(bool knows)
{
    site_down(&sites[2]);
    if (knows) {
        assert_true(site_wait_state(&sites[0], 4, PEER_UNREACHABLE));
        assert_true(site_wait_state(&sites[0], 5, PEER_UNREACHABLE));
    }
}

static void regain_server_3(void)
{
    site_up(&sites[2]);
    assert_true(site_wait_state(&sites[0], 4, PEER_UP));
    assert_true(site_wait_state(&sites[0], 5, PEER_UP));
}

static void an_object_over_three_servers_comes_back(void **state)
{
    struct object_store_stats stats;
    struct buf manifest = {0};
    struct err err;

    (void)state;
    open_4_2();
    assert_int_equal(world_put(&w, 1, SIZE, CHUNK, &manifest, &err), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(shards_of(i) >= 6); /* two of each whole chunk */
    }
    assert_int_equal(world_get_all(&w, &manifest, 1, &err), 0);
    assert_int_equal(
        world_get(&w, &manifest, 1, CHUNK - 5, 100000, 30000, &err), 0);
    object_store_stats(w.objects, &stats);
    assert_int_equal(stats.reads_degraded, 0);
    assert_int_equal(stats.shards_missed, 0);
    assert_int_equal(
        object_delete(w.objects, manifest.data, manifest.len, &err), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(shards_of(i), 0);
    }
    buf_free(&manifest);
}

static void it_reads_and_writes_while_a_server_is_gone(void **state)
{
    struct object_store_stats stats;
    struct buf manifest = {0}, second = {0};
    struct err err;

    (void)state;
    open_4_2();
    assert_int_equal(world_put(&w, 2, SIZE, CHUNK, &manifest, &err), 0);
    lose_server_3(false);
    assert_int_equal(world_get_all(&w, &manifest, 2, &err), 0);
    assert_true(site_wait_state(&sites[0], 4, PEER_UNREACHABLE));
    assert_int_equal(world_get_all(&w, &manifest, 2, &err), 0);
    object_store_stats(w.objects, &stats);
    assert_true(stats.reads_degraded > 0);
    /* Four of six shards are no quorum of 4+2: two go to other drives. */
    assert_int_equal(world_put(&w, 3, SIZE, CHUNK, &second, &err), 0);
    assert_int_equal(world_get_all(&w, &second, 3, &err), 0);
    regain_server_3();
    assert_int_equal(world_get_all(&w, &second, 3, &err), 0);
    buf_clear(&second);
    assert_int_equal(world_put(&w, 4, SIZE, CHUNK, &second, &err), 0);
    assert_int_equal(world_get_all(&w, &second, 4, &err), 0);
    buf_free(&manifest);
    buf_free(&second);
}

static void what_a_lost_server_missed_is_written_once_it_is_back(void **state)
{
    struct object_store_stats stats = {0};
    struct buf manifest = {0};
    struct err err;

    (void)state;
    open_2_2();
    lose_server_3(true);
    assert_int_equal(world_put(&w, 5, SIZE, CHUNK, &manifest, &err), 0);
    object_store_stats(w.objects, &stats);
    assert_true(stats.shards_missed >= 3);
    assert_int_equal(world_get_all(&w, &manifest, 5, &err), 0);
    assert_int_equal(shards_of(2), 0);
    regain_server_3();
    for (int i = 0; i < SITE_WAIT_MS / 10 && stats.repairs_waiting > 0; i++) {
        clock_sleep_ms(10);
        object_store_stats(w.objects, &stats);
    }
    assert_int_equal(stats.repairs_waiting, 0);
    assert_int_equal(shards_of(2), stats.shards_missed);
    assert_int_equal(stats.shards_repaired, stats.shards_missed);
    buf_free(&manifest);
}

static void count_defects(void *arg, enum object_defect defect,
                          const struct shard_key *key, uint16_t drive,
                          const char *why)
{
    unsigned *counts = arg;

    (void)key;
    (void)drive;
    (void)why;
    counts[defect]++;
}

static void verify_looks_at_drives_of_all_servers(void **state)
{
    unsigned counts[5] = {0};
    struct shard_info info;
    struct buf manifest = {0};
    struct err err;

    (void)state;
    open_4_2();
    assert_int_equal(world_put(&w, 6, CHUNK, CHUNK, &manifest, &err), 0);
    assert_int_equal(object_verify(w.objects, manifest.data, manifest.len,
                                   false, count_defects, counts),
                     0);
    assert_int_equal(shard_store_list(sites[2].stores[1], NULL, &info, 1), 1);
    assert_int_equal(shard_delete_wait(sites[2].stores[1], info.key, NULL), 0);
    assert_int_equal(object_verify(w.objects, manifest.data, manifest.len, true,
                                   count_defects, counts),
                     1);
    assert_int_equal(counts[OBJECT_SHARD_MISSING], 1);
    assert_true(shard_store_stat(sites[2].stores[1], &info.key, &info));
    lose_server_3(true);
    assert_int_equal(object_verify(w.objects, manifest.data, manifest.len,
                                   false, count_defects, counts),
                     2);
    assert_int_equal(counts[OBJECT_SHARD_UNREADABLE], 2);
    buf_free(&manifest);
}

static bool none_is_known(void *arg, uint64_t hi, uint64_t lo)
{
    (void)arg;
    (void)hi;
    (void)lo;
    return false;
}

static void orphans_are_each_servers_own_care(void **state)
{
    struct buf manifest = {0};
    struct err err;

    (void)state;
    open_4_2();
    assert_int_equal(world_put(&w, 7, CHUNK, CHUNK, &manifest, &err), 0);
    clock_sleep_ms(2); /* older than no time */
    assert_int_equal(object_collect_orphans(w.objects, none_is_known, NULL), 2);
    assert_int_equal(shards_of(0), 0);
    assert_int_equal(shards_of(1), 2);
    assert_int_equal(shards_of(2), 2);
    buf_free(&manifest);
}

static void a_server_that_returns_lets_mending_be_wanted(void **state)
{
    (void)state;
    open_4_2();
    assert_true(object_mend_wanted(w.objects)); /* after each start */
    assert_false(object_mend_wanted(w.objects));
    lose_server_3(true);
    assert_false(object_mend_wanted(w.objects));
    regain_server_3();
    assert_true(object_mend_wanted(w.objects));
    assert_false(object_mend_wanted(w.objects));
}

static int set_up_all(void **state)
{
    (void)state;
    log_capture(world_no_log, NULL);
    site_ca_make();
    return 0;
}

static int tear_down_all(void **state)
{
    (void)state;
    site_ca_free();
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_object_over_three_servers_comes_back),
        TEST(it_reads_and_writes_while_a_server_is_gone),
        TEST(what_a_lost_server_missed_is_written_once_it_is_back),
        TEST(verify_looks_at_drives_of_all_servers),
        TEST(orphans_are_each_servers_own_care),
        TEST(a_server_that_returns_lets_mending_be_wanted),
    };

    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
