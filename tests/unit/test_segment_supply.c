/* Goal: a drive below its reserve refuses puts with a reason, still reads and
 * deletes, and takes puts again when there is space; the disk being full is
 * no failure of the drive.
 *
 * Method: a disk in memory whose size is changed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "tests/lib/fake_disk.h"
#include "tests/lib/shard_wait.h"

#define MIB ((uint64_t)1 << 20)
#define LENGTH 100000u

static struct fake_disk *disk;
static struct shard_store *store;
static uint8_t *data;
static uint8_t *out;

static void open_store(uint64_t reserve_bytes)
{
    struct shard_store_options o = {
        .path = "fake",
        .drive = 3,
        .segment_bytes = MIB,
        .reserve_bytes = reserve_bytes,
        .ops = fake_disk_ops(disk),
    };

    assert_int_equal(shard_store_open(&o, &store, NULL), 0);
}

static int set_up(void **state)
{
    (void)state;
    disk = fake_disk_new(1);
    data = mem_pages(LENGTH);
    out = mem_pages(LENGTH);
    for (uint32_t i = 0; i < LENGTH; i++) {
        data[i] = (uint8_t)(i * 11 + i / 250);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    shard_store_close(store);
    fake_disk_free(disk);
    mem_pages_free(data, LENGTH);
    mem_pages_free(out, LENGTH);
    return 0;
}

static struct shard_key key(uint64_t n)
{
    return (struct shard_key){.lo = n};
}

/* Put until the drive says no; gives how many it took. */
static unsigned fill_up(unsigned from, struct err *err)
{
    unsigned n = from;
    int status;

    do {
        status = shard_put_wait(store, key(n), data, LENGTH, err);
        n++;
    } while (status == 0);
    assert_int_equal(status, ERR_FULL);
    return n - 1;
}

static void check_all(unsigned from, unsigned to)
{
    for (unsigned n = from; n < to; n++) {
        assert_int_equal(shard_get_wait(store, key(n), 0, LENGTH, out, NULL),
                         0);
        assert_memory_equal(out, data, LENGTH);
    }
}

static void below_the_reserve_puts_are_refused_with_the_reason(void **state)
{
    char reason[ERR_TEXT_SIZE];
    struct err err;
    unsigned n;

    (void)state;
    fake_disk_set_size(disk, 20 * MIB);
    open_store(10 * MIB);
    n = fill_up(0, &err);
    assert_true(n > 70 && n < 110);
    assert_non_null(strstr(err.text, "drive 3: "));
    assert_non_null(strstr(err.text, "free is below the reserve of 10"));
    assert_true(fake_disk_used(disk) <= 10 * MIB);
    assert_true(shard_wait_state(store, DRIVE_FULL, reason));
    assert_string_equal(reason, err.text);
    check_all(0, n);
    for (unsigned i = 0; i < 20; i++) { /* deletes go on */
        assert_int_equal(shard_delete_wait(store, key(i), NULL), 0);
    }
    check_all(20, n);
}

static void space_that_returns_brings_the_drive_up(void **state)
{
    struct err err;
    unsigned n;

    (void)state;
    fake_disk_set_size(disk, 20 * MIB);
    open_store(10 * MIB);
    n = fill_up(0, &err);
    fake_disk_set_size(disk, 30 * MIB);
    assert_int_equal(shard_put_wait(store, key(n), data, LENGTH, &err), 0);
    assert_true(shard_wait_state(store, DRIVE_UP, NULL));
    n = fill_up(n + 1, &err);
    assert_true(shard_wait_state(store, DRIVE_FULL, NULL));
    fake_disk_set_size(disk, 40 * MIB); /* and without a put */
    assert_true(shard_wait_state(store, DRIVE_UP, NULL));
    check_all(0, n);
}

static void deletes_of_a_full_drive_make_room_for_puts(void **state)
{
    struct err err;
    unsigned n;
    int status = ERR_FULL;

    (void)state;
    fake_disk_set_size(disk, 20 * MIB);
    open_store(10 * MIB);
    n = fill_up(0, &err);
    for (unsigned i = 0; i < n; i += 2) { /* no segment becomes empty */
        assert_int_equal(shard_delete_wait(store, key(i), NULL), 0);
    }
    shard_store_compact_now(store);
    for (unsigned i = 0; i < n / 4; i++) {
        status = shard_put_wait(store, key(1000 + i), data, LENGTH, &err);
        assert_int_equal(status, 0);
    }
    for (unsigned i = 1; i < n; i += 2) {
        check_all(i, i + 1);
    }
    assert_true(fake_disk_used(disk) <= 12 * MIB);
}

static void a_disk_without_a_byte_left_is_full_not_failed(void **state)
{
    struct shard_store_stats stats;
    struct err err;
    unsigned n;

    (void)state;
    fake_disk_set_size(disk, 5 * MIB);
    open_store(0);
    n = fill_up(0, &err);
    shard_store_stats(store, &stats);
    assert_int_equal(stats.state, DRIVE_FULL);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(shard_delete_wait(store, key(i), NULL), 0);
    }
    shard_store_compact_now(store);
    shard_store_stats(store, &stats);
    assert_int_equal(stats.shards, 0);
    n = fill_up(100, &err);
    assert_true(n > 100 + 30);
    shard_store_close(store);
    open_store(0);
    check_all(100, n);
}

static void a_full_disk_from_the_start_refuses_the_first_put(void **state)
{
    struct err err;

    (void)state;
    fake_disk_set_size(disk, 4096);
    open_store(0);
    assert_int_equal(shard_put_wait(store, key(1), data, 100, &err), ERR_FULL);
    fake_disk_set_size(disk, 4 * MIB);
    assert_int_equal(shard_put_wait(store, key(1), data, 100, &err), 0);
}

static void the_next_segment_is_ready_before_this_one_ends(void **state)
{
    struct shard_store_stats stats;

    (void)state;
    open_store(0);
    for (unsigned n = 0; n < 9; n++) {
        assert_int_equal(shard_put_wait(store, key(n), data, LENGTH, NULL), 0);
    }
    for (int i = 0; i < 500; i++) {
        shard_store_stats(store, &stats);
        if (stats.segments == 2) {
            break;
        }
        clock_sleep_ms(10);
    }
    assert_int_equal(stats.segments, 2);
    assert_int_equal(stats.used_bytes, MIB);
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
        TEST(below_the_reserve_puts_are_refused_with_the_reason),
        TEST(space_that_returns_brings_the_drive_up),
        TEST(deletes_of_a_full_drive_make_room_for_puts),
        TEST(a_disk_without_a_byte_left_is_full_not_failed),
        TEST(a_full_disk_from_the_start_refuses_the_first_put),
        TEST(the_next_segment_is_ready_before_this_one_ends),
    };

    log_capture(quiet, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
