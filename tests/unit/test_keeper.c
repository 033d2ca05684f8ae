/* Goal: a drive that fails says why and comes back by itself, with its shards
 * or, from an empty folder, anew; nothing is acknowledged in between.
 *
 * Method: a disk in memory whose calls fail or whose folder goes away, and one
 * real folder that is removed while it serves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "tests/lib/fake_disk.h"
#include "tests/lib/shard_wait.h"

#define MIB ((uint64_t)1 << 20)

static struct fake_disk *disk;
static struct shard_store *store;
static uint8_t data[10000];
static uint8_t out[10000];
static char logged[2000];

static void capture(const char *line, void *arg)
{
    (void)arg;
    snprintf(logged, sizeof logged, "%s", line);
}

static struct shard_store_options options(void)
{
    return (struct shard_store_options){.path = "fake",
                                        .drive = 3,
                                        .segment_bytes = MIB,
                                        .ops = fake_disk_ops(disk)};
}

static int set_up(void **state)
{
    struct shard_store_options o;

    (void)state;
    disk = fake_disk_new(1);
    o = options();
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i * 3);
    }
    return shard_store_open(&o, &store, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    shard_store_close(store);
    fake_disk_free(disk);
    return 0;
}

static struct shard_key key(uint64_t n)
{
    return (struct shard_key){.lo = n};
}

static void a_failed_sync_fails_the_batch_and_the_drive(void **state)
{
    char reason[ERR_TEXT_SIZE];
    struct shard_info info;
    struct shard_key k = key(1);
    struct err err;

    (void)state;
    assert_int_equal(shard_put_wait(store, key(1), data, 9000, NULL), 0);
    fake_disk_fail(disk, 1, ERR_IO, true); /* the write works */
    assert_int_equal(shard_put_wait(store, key(2), data, 9000, &err), ERR_IO);
    assert_non_null(strstr(err.text, "drive 3: 00000000.seg: fault of call"));
    assert_true(shard_wait_state(store, DRIVE_FAILED, reason));
    assert_int_equal(shard_put_wait(store, key(3), data, 10, &err), ERR_IO);
    assert_int_equal(shard_get_wait(store, key(1), 0, 10, out, &err), ERR_IO);
    assert_int_equal(shard_delete_wait(store, key(1), &err), ERR_IO);
    assert_int_equal(shard_store_verify(store, &k, &err), ERR_IO);
    assert_false(shard_store_stat(store, &k, &info));
    assert_int_equal(shard_store_list(store, NULL, &info, 1), 0);
    shard_store_compact_now(store); /* returns */
    fake_disk_fail(disk, -1, 0, false);
    assert_true(shard_wait_state(store, DRIVE_UP, NULL));
    assert_int_equal(shard_get_wait(store, key(1), 0, 9000, out, &err), 0);
    assert_memory_equal(out, data, 9000);
    assert_int_equal(shard_put_wait(store, key(3), data, 10, &err), 0);
}

static void a_folder_that_goes_away_fails_and_comes_back(void **state)
{
    char reason[ERR_TEXT_SIZE];

    (void)state;
    assert_int_equal(shard_put_wait(store, key(1), data, 9000, NULL), 0);
    fake_disk_set_present(disk, false);
    assert_true(shard_wait_state(store, DRIVE_FAILED, reason));
    assert_non_null(strstr(logged, "drive failed"));
    assert_true(strstr(reason, "the drive's folder is gone") != NULL ||
                strstr(reason, "no such folder") != NULL);
    fake_disk_set_present(disk, true);
    assert_true(shard_wait_state(store, DRIVE_UP, NULL));
    assert_int_equal(shard_get_wait(store, key(1), 0, 9000, out, NULL), 0);
}

static void a_folder_that_comes_back_empty_begins_anew(void **state)
{
    (void)state;
    assert_int_equal(shard_put_wait(store, key(1), data, 9000, NULL), 0);
    fake_disk_set_present(disk, false);
    assert_true(shard_wait_state(store, DRIVE_FAILED, NULL));
    fake_disk_wipe(disk);
    fake_disk_set_present(disk, true);
    assert_true(shard_wait_state(store, DRIVE_UP, NULL));
    assert_int_equal(shard_get_wait(store, key(1), 0, 9000, out, NULL),
                     ERR_NOT_FOUND);
    assert_int_equal(shard_put_wait(store, key(1), data, 9000, NULL), 0);
}

static void another_drive_in_its_place_is_not_taken(void **state)
{
    struct fake_disk *other = fake_disk_new(2);
    struct shard_store_options o = options();
    struct shard_store *s;
    char reason[ERR_TEXT_SIZE];
    struct drive_file *f;
    const struct drive_ops *ops = fake_disk_ops(disk);
    uint64_t len;
    uint8_t *identity;
    struct iovec iov;

    (void)state;
    o.drive = 9;
    o.ops = fake_disk_ops(other);
    assert_int_equal(shard_store_open(&o, &s, NULL), 0);
    shard_store_close(s);
    identity = fake_disk_bytes(other, "drive", &len);
    fake_disk_free(other);
    iov = (struct iovec){identity, len};
    assert_int_equal(
        ops->open(ops->data, "fake", "drive", DRIVE_WRITE, &f, NULL), 0);
    assert_int_equal(ops->write(ops->data, f, &iov, 1, 0, NULL), 0);
    ops->close(ops->data, f);
    free(identity);
    assert_true(shard_wait_state(store, DRIVE_FAILED, reason));
    assert_non_null(strstr(reason, "is drive 9, not drive 3"));
}

static void a_drive_that_is_not_there_at_start_comes_later(void **state)
{
    struct shard_store_options o = options();
    struct shard_store_stats stats;

    (void)state;
    shard_store_close(store);
    fake_disk_fail(disk, 0, ERR_IO, true);
    assert_int_equal(shard_store_open(&o, &store, NULL), 0);
    shard_store_stats(store, &stats);
    assert_int_equal(stats.state, DRIVE_FAILED);
    assert_int_equal(stats.shards, 0);
    assert_non_null(strstr(stats.reason, "fake: fault of call"));
    fake_disk_fail(disk, -1, 0, false);
    assert_true(shard_wait_state(store, DRIVE_UP, NULL));
    assert_int_equal(shard_put_wait(store, key(1), data, 9000, NULL), 0);
}

static void bad_places_do_not_keep_a_drive_down(void **state)
{
    struct shard_store_options o = options();
    struct shard_info info;
    struct shard_key k = key(1);

    (void)state;
    assert_int_equal(shard_put_wait(store, key(1), data, 9000, NULL), 0);
    shard_store_close(store);
    fake_disk_bad_place(disk, "00000000.seg", 100); /* the segment's header */
    assert_int_equal(shard_store_open(&o, &store, NULL), 0);
    assert_true(shard_wait_state(store, DRIVE_UP, NULL)); /* third attempt */
    assert_true(shard_store_stat(store, &k, &info));
    assert_int_equal(shard_get_wait(store, key(1), 0, 9000, out, NULL), 0);
}

static void a_hung_drive_answers_when_it_wakes(void **state)
{
    struct shard_wait put;
    struct shard_wait more;

    (void)state;
    assert_int_equal(shard_put_wait(store, key(1), data, 9000, NULL), 0);
    fake_disk_hang(disk, true);
    shard_put_begin(store, &put, key(2), data, 9000);
    while (fake_disk_hanging(disk) == 0) {
        clock_sleep_ms(1);
    }
    shard_put_begin(store, &more, key(3), data, 9000);
    assert_int_equal(shard_get_wait(store, key(1), 0, 9000, out, NULL), 0);
    fake_disk_hang(disk, false);
    assert_int_equal(shard_wait_for(&put, NULL), 0);
    assert_int_equal(shard_wait_for(&more, NULL), 0);
}

static void a_removed_folder_is_noticed_and_the_process_lives(void **state)
{
    char dir[] = "/tmp/godwit-keeper.XXXXXX";
    char text[ERR_TEXT_SIZE];
    struct shard_store_options o = options();
    struct shard_store *s;
    struct err err;
    int status = 0;

    (void)state;
    assert_non_null(mkdtemp(dir));
    o.ops = NULL;
    o.path = dir;
    assert_int_equal(shard_store_open(&o, &s, NULL), 0);
    assert_int_equal(shard_put_wait(s, key(1), data, 9000, NULL), 0);
    snprintf(text, sizeof text, "rm -rf %s", dir);
    assert_int_equal(system(text), 0);
    status = shard_put_wait(s, key(2), data, 9000, &err);
    assert_int_equal(status, ERR_IO); /* at once, not when it is probed */
    assert_true(shard_wait_state(s, DRIVE_FAILED, text));
    assert_int_equal(access(dir, F_OK), -1); /* it is not made again */
    snprintf(text, sizeof text, "mkdir %s", dir);
    assert_int_equal(system(text), 0);
    assert_true(shard_wait_state(s, DRIVE_UP, text));
    assert_int_equal(shard_get_wait(s, key(1), 0, 1, out, NULL), ERR_NOT_FOUND);
    assert_int_equal(shard_put_wait(s, key(2), data, 9000, &err), 0);
    shard_store_close(s);
    snprintf(text, sizeof text, "rm -rf %s", dir);
    assert_int_equal(system(text), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_failed_sync_fails_the_batch_and_the_drive),
        TEST(a_folder_that_goes_away_fails_and_comes_back),
        TEST(a_folder_that_comes_back_empty_begins_anew),
        TEST(another_drive_in_its_place_is_not_taken),
        TEST(a_drive_that_is_not_there_at_start_comes_later),
        TEST(bad_places_do_not_keep_a_drive_down),
        TEST(a_hung_drive_answers_when_it_wakes),
        TEST(a_removed_folder_is_noticed_and_the_process_lives),
    };

    log_capture(capture, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
