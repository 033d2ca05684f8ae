/* Goal: space of replaced and deleted shards comes back, soon and whole, and
 * nothing that lives is lost, served wrong or brought back by it.
 *
 * Method: the same keys written and deleted over and over with small segments,
 * against a disk in memory whose size can be asked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "tests/lib/fake_disk.h"
#include "tests/lib/shard_wait.h"

#define MIB ((uint64_t)1 << 20)
#define KEYS 64
#define LENGTH 65536u
#define SPAN (LENGTH + 4096u)
/* One copy, 1.2 of it; and what is fixed: one segment that is ready. */
#define ONE_COPY ((uint64_t)KEYS * SPAN)
#define USED_MAX (ONE_COPY * 12 / 10 + MIB)

static struct fake_disk *disk;
static struct shard_store *store;
static uint8_t *data;
static uint8_t *out;
static unsigned bad_count;
static struct shard_info bad_last;

static void open_store(void)
{
    struct shard_store_options o = {
        .path = "fake",
        .drive = 3,
        .segment_bytes = MIB,
        .ops = fake_disk_ops(disk),
    };

    assert_int_equal(shard_store_open(&o, &store, NULL), 0);
}

static int set_up(void **state)
{
    (void)state;
    disk = fake_disk_new(1);
    data = mem_pages(2 * LENGTH);
    out = mem_pages(2 * LENGTH);
    for (uint32_t i = 0; i < 2 * LENGTH; i++) {
        data[i] = (uint8_t)(i * 5 + i / 251);
    }
    bad_count = 0;
    open_store();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    shard_store_close(store);
    fake_disk_free(disk);
    mem_pages_free(data, 2 * LENGTH);
    mem_pages_free(out, 2 * LENGTH);
    return 0;
}

static struct shard_key key(uint64_t n)
{
    return (struct shard_key){.hi = 5, .lo = n};
}

/* What a shard holds depends on its key and on how often it was written. */
static const uint8_t *content(unsigned n, unsigned pass)
{
    return data + (n * 331 + pass * 97) % LENGTH;
}

static void put(unsigned n, unsigned pass)
{
    assert_int_equal(
        shard_put_wait(store, key(n), content(n, pass), LENGTH, NULL), 0);
}

static void check(unsigned n, unsigned pass)
{
    assert_int_equal(shard_get_wait(store, key(n), 0, LENGTH, out, NULL), 0);
    assert_memory_equal(out, content(n, pass), LENGTH);
}

static void reopen(void)
{
    shard_store_close(store);
    open_store();
}

/* Compaction runs by itself: give it the time that it needs. */
static uint64_t wait_for_used(uint64_t most)
{
    for (int i = 0; i < 1000 && fake_disk_used(disk) > most; i++) {
        clock_sleep_ms(10);
    }
    return fake_disk_used(disk);
}

static void overwriting_a_hundred_times_takes_one_copy(void **state)
{
    struct shard_store_stats stats;

    (void)state;
    for (unsigned pass = 0; pass < 100; pass++) {
        for (unsigned n = 0; n < KEYS; n++) {
            put(n, pass);
        }
    }
    assert_true(wait_for_used(USED_MAX) <= USED_MAX);
    for (unsigned n = 0; n < KEYS; n++) {
        check(n, 99);
    }
    reopen();
    for (unsigned n = 0; n < KEYS; n++) {
        check(n, 99);
    }
    shard_store_stats(store, &stats);
    assert_int_equal(stats.shards, KEYS);
    assert_int_equal(stats.live_bytes, KEYS * LENGTH);
    assert_true(stats.used_bytes <= USED_MAX);
}

static void deleting_and_writing_a_hundred_times_takes_one_copy(void **state)
{
    (void)state;
    for (unsigned pass = 0; pass < 100; pass++) {
        for (unsigned n = 0; n < KEYS; n++) {
            put(n, pass);
        }
        for (unsigned n = 0; n < KEYS; n++) {
            if (pass < 99 || n % 2 == 0) {
                assert_int_equal(shard_delete_wait(store, key(n), NULL), 0);
            }
        }
    }
    assert_true(wait_for_used(USED_MAX) <= USED_MAX);
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned n = 0; n < KEYS; n++) {
            if (n % 2 == 1) {
                check(n, 99);
            } else {
                assert_int_equal(shard_get_wait(store, key(n), 0, 1, out, NULL),
                                 ERR_NOT_FOUND);
            }
        }
        reopen();
    }
}

static void deleting_all_gives_all_back(void **state)
{
    struct shard_store_stats stats;

    (void)state;
    for (unsigned n = 0; n < 200; n++) {
        put(n, 0);
    }
    for (unsigned n = 0; n < 200; n++) {
        assert_int_equal(shard_delete_wait(store, key(n), NULL), 0);
    }
    shard_store_compact_now(store);
    shard_store_stats(store, &stats);
    assert_int_equal(stats.shards, 0);
    assert_int_equal(stats.live_bytes, 0);
    assert_true(wait_for_used(MIB + 64) <= MIB + 64);
}

/* A tombstone must outlive every older record of its key, wherever compaction
 * carries it. */
static void deleted_shards_stay_deleted_through_restarts(void **state)
{
    (void)state;
    for (unsigned n = 0; n < KEYS; n++) {
        put(n, 0);
        put(n + 1000, 0); /* keeps the segments half alive */
    }
    for (unsigned n = 0; n < KEYS; n++) {
        assert_int_equal(shard_delete_wait(store, key(n), NULL), 0);
    }
    for (unsigned pass = 1; pass < 6; pass++) {
        for (unsigned n = 0; n < 20; n++) { /* makes holes elsewhere */
            put(n + 2000, pass);
        }
        if (pass % 2 == 0) {
            shard_store_compact_now(store);
        }
        reopen();
        for (unsigned n = 0; n < KEYS; n++) {
            assert_int_equal(shard_get_wait(store, key(n), 0, 1, out, NULL),
                             ERR_NOT_FOUND);
            check(n + 1000, 0);
        }
    }
}

static void many_restarts_do_not_leave_many_segments(void **state)
{
    struct shard_store_stats stats;

    (void)state;
    for (unsigned n = 0; n < 60; n++) {
        assert_int_equal(
            shard_put_wait(store, key(n), content(n, 0), 500, NULL), 0);
        reopen();
    }
    shard_store_compact_now(store);
    shard_store_stats(store, &stats);
    assert_true(stats.segments <= 20);
    for (unsigned n = 0; n < 60; n++) {
        assert_int_equal(shard_get_wait(store, key(n), 0, 500, out, NULL), 0);
        assert_memory_equal(out, content(n, 0), 500);
    }
}

static void on_bad(void *arg, const struct shard_info *bad)
{
    (void)arg;
    bad_last = *bad;
    __atomic_add_fetch(&bad_count, 1, __ATOMIC_SEQ_CST);
}

static void a_damaged_shard_is_reported_and_stays_listed(void **state)
{
    struct shard_info info;
    struct shard_key k = key(1);

    (void)state;
    shard_store_on_bad(store, on_bad, NULL);
    for (unsigned n = 0; n < 15; n++) { /* fills the first segment */
        put(n, 0);
    }
    /* key 1 has wrong data, key 2 a wrong record header */
    assert_true(
        fake_disk_flip(disk, "00000000.seg", 4096 + SPAN + 4096 + 30000));
    assert_true(fake_disk_flip(disk, "00000000.seg", 4096 + 2 * SPAN + 20));
    for (unsigned n = 3; n < 15; n++) {
        put(n, 1);
    }
    shard_store_compact_now(store);
    assert_int_equal(__atomic_load_n(&bad_count, __ATOMIC_SEQ_CST), 2);
    for (unsigned n = 1; n < 3; n++) {
        k = key(n);
        assert_true(shard_store_stat(store, &k, &info));
        assert_int_equal(info.length, LENGTH);
        assert_int_equal(info.group, 7);
        assert_int_equal(shard_get_wait(store, k, 0, 10, out, NULL),
                         ERR_CORRUPT);
    }
    check(0, 0);
    check(14, 1);
    put(1, 7); /* rebuilt */
    put(2, 7);
    check(1, 7);
    check(2, 7);
    reopen();
    check(0, 0);
    check(1, 7);
    check(2, 7);
}

static void gets_go_on_while_segments_are_emptied(void **state)
{
    (void)state;
    for (unsigned pass = 0; pass < 10; pass++) {
        for (unsigned n = 0; n < KEYS; n++) {
            put(n, pass);
            check(n / 2, pass);
        }
    }
}

static void quiet(const char *line, void *arg)
{
    (void)line;
    (void)arg;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(overwriting_a_hundred_times_takes_one_copy),
        TEST(deleting_and_writing_a_hundred_times_takes_one_copy),
        TEST(deleting_all_gives_all_back),
        TEST(deleted_shards_stay_deleted_through_restarts),
        TEST(many_restarts_do_not_leave_many_segments),
        TEST(a_damaged_shard_is_reported_and_stays_listed),
        TEST(gets_go_on_while_segments_are_emptied),
    };

    log_capture(quiet, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
