/* Goal: the verbs of a shard store do what shard_store.h says, and each error
 * is given where it says.
 *
 * Method: most against a disk in memory, which can hang and lose its cache;
 * some against a folder under /tmp. What a crash may do is in
 * test_recovery.c.
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
#include "base/mem.h"
#include "node/drive.h"
#include "tests/lib/fake_disk.h"
#include "tests/lib/shard_wait.h"

#define MIB ((uint64_t)1 << 20)

static struct fake_disk *disk;
static struct shard_store *store;
static uint8_t *data; /* SHARD_BYTES_MAX, at a page boundary */
static uint8_t *out;

static struct shard_store_options options(uint64_t segment_bytes)
{
    return (struct shard_store_options){
        .path = "fake",
        .drive = 3,
        .cluster = "cluster.cluster",
        .segment_bytes = segment_bytes,
        .ops = fake_disk_ops(disk),
    };
}

static void open_store(uint64_t segment_bytes)
{
    struct shard_store_options o = options(segment_bytes);
    struct err err;

    assert_int_equal(shard_store_open(&o, &store, &err), 0);
}

static int set_up(void **state)
{
    (void)state;
    disk = fake_disk_new(1);
    data = mem_pages(SHARD_BYTES_MAX + MEM_PAGE);
    out = mem_pages(SHARD_BYTES_MAX + MEM_PAGE);
    for (uint32_t i = 0; i < SHARD_BYTES_MAX + MEM_PAGE; i++) {
        data[i] = (uint8_t)(i * 7 + i / 251 + i / 65536);
    }
    open_store(16 * MIB);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    shard_store_close(store);
    fake_disk_free(disk);
    mem_pages_free(data, SHARD_BYTES_MAX + MEM_PAGE);
    mem_pages_free(out, SHARD_BYTES_MAX + MEM_PAGE);
    return 0;
}

static struct shard_key key(uint64_t n)
{
    return (struct shard_key){.hi = 1, .lo = n, .slot = 2};
}

static void reopen(void)
{
    shard_store_close(store);
    open_store(16 * MIB);
}

static void shards_of_every_length_read_back(void **state)
{
    static const uint32_t lengths[] = {
        1,      4035,  4036,    4037,    4096,    32767,           32768,
        32769,  65535, 65536,   65537,   131072,  131073,          1000000,
        262144, 8191,  1048576, 4194304, 8000001, SHARD_BYTES_MAX, 12345};
    const unsigned count = sizeof lengths / sizeof lengths[0];

    (void)state;
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < count && pass == 0; i++) {
            /* every other one is not at a page boundary */
            assert_int_equal(
                shard_put_wait(store, key(i), data + i % 2, lengths[i], NULL),
                0);
        }
        for (unsigned i = 0; i < count; i++) {
            struct shard_info info;
            assert_true(
                shard_store_stat(store, &(struct shard_key){1, i, 2}, &info));
            assert_int_equal(info.length, lengths[i]);
            assert_int_equal(info.group, 7);
            memset(out, 0, lengths[i]);
            assert_int_equal(
                shard_get_wait(store, key(i), 0, lengths[i], out, NULL), 0);
            assert_memory_equal(out, data + i % 2, lengths[i]);
        }
        reopen();
    }
}

static void ranges_give_their_bytes_and_no_more(void **state)
{
    static const uint32_t at[] = {0,      1,      65535,  65536,  65537,
                                  131071, 131072, 196608, 250000, 299999};
    const uint32_t length = 300000;

    (void)state;
    assert_int_equal(shard_put_wait(store, key(1), data, length, NULL), 0);
    for (unsigned i = 0; i < 10; i++) {
        for (unsigned j = i; j < 10; j++) {
            uint32_t n = at[j] - at[i] + 1;
            memset(out, 0xee, length + 1);
            assert_int_equal(shard_get_wait(store, key(1), at[i], n, out, NULL),
                             0);
            assert_memory_equal(out, data + at[i], n);
            assert_int_equal(out[n], 0xee);
        }
    }
}

static void a_range_outside_the_shard_is_refused(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(shard_put_wait(store, key(1), data, 100, NULL), 0);
    assert_int_equal(shard_get_wait(store, key(1), 0, 101, out, &err),
                     ERR_RANGE);
    assert_string_equal(err.text, "drive 3: bytes 0+101 of a shard of 100");
    assert_int_equal(shard_get_wait(store, key(1), 101, 1, out, NULL),
                     ERR_RANGE);
    assert_int_equal(shard_get_wait(store, key(1), 100, 0, out, NULL),
                     ERR_RANGE);
    assert_int_equal(shard_get_wait(store, key(1), 1, UINT32_MAX, out, NULL),
                     ERR_RANGE);
}

static void what_is_not_there_is_not_found(void **state)
{
    struct shard_info info;
    struct shard_key k = key(9);
    struct err err;

    (void)state;
    assert_int_equal(shard_get_wait(store, k, 0, 1, out, &err), ERR_NOT_FOUND);
    assert_string_equal(err.text, "drive 3: no such shard");
    assert_false(shard_store_stat(store, &k, &info));
    assert_int_equal(shard_store_verify(store, &k, &err), ERR_NOT_FOUND);
    assert_int_equal(shard_delete_wait(store, k, NULL), 0);
}

static void a_put_replaces_and_a_delete_deletes(void **state)
{
    (void)state;
    for (unsigned pass = 0; pass < 2; pass++) {
        assert_int_equal(shard_put_wait(store, key(1), data, 5000, NULL), 0);
        assert_int_equal(shard_put_wait(store, key(1), data + 9, 70000, NULL),
                         0);
        assert_int_equal(shard_put_wait(store, key(2), data, 5000, NULL), 0);
        assert_int_equal(shard_delete_wait(store, key(2), NULL), 0);
        reopen();
        assert_int_equal(shard_get_wait(store, key(1), 0, 70000, out, NULL), 0);
        assert_memory_equal(out, data + 9, 70000);
        assert_int_equal(shard_get_wait(store, key(2), 0, 1, out, NULL),
                         ERR_NOT_FOUND);
    }
}

static void lengths_over_the_limits_are_refused(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(shard_put_wait(store, key(1), data, 0, &err), ERR_LIMIT);
    assert_int_equal(
        shard_put_wait(store, key(1), data, SHARD_BYTES_MAX + 1, &err),
        ERR_LIMIT);
    shard_store_close(store);
    open_store(MIB);
    assert_int_equal(shard_put_wait(store, key(1), data, 900 << 10, &err), 0);
    assert_int_equal(shard_put_wait(store, key(2), data, MIB, &err), ERR_LIMIT);
    assert_string_equal(err.text,
                        "drive 3: a shard of 1048576 bytes does not fit in a "
                        "segment of 1048576");
}

static void what_waits_is_one_batch_in_the_order_asked(void **state)
{
    struct shard_wait puts[100];
    struct shard_wait del;
    struct shard_store_stats before;
    struct shard_store_stats after;

    (void)state;
    assert_int_equal(shard_put_wait(store, key(0), data, 4096, NULL), 0);
    fake_disk_hang(disk, true);
    shard_put_begin(store, &puts[0], key(0), data, 4096);
    while (fake_disk_hanging(disk) == 0) {
        clock_sleep_ms(1);
    }
    shard_store_stats(store, &before);
    for (unsigned i = 1; i < 99; i++) {
        shard_put_begin(store, &puts[i], key(i), data + i, 4096);
    }
    shard_wait_init(&del);
    del.del.key = key(50);
    del.del.done = shard_wait_delete_done;
    shard_store_delete(store, &del.del);
    shard_put_begin(store, &puts[99], key(51), data + 99, 4096);
    fake_disk_hang(disk, false);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(shard_wait_for(&puts[i], NULL), 0);
    }
    assert_int_equal(shard_wait_for(&del, NULL), 0);
    shard_store_stats(store, &after);
    assert_int_equal(after.puts - before.puts, 100);
    assert_true(after.syncs - before.syncs <= 2);
    for (unsigned i = 1; i < 99; i++) {
        int status = shard_get_wait(store, key(i), 0, 4096, out, NULL);
        assert_int_equal(status, i == 50 ? ERR_NOT_FOUND : 0);
        if (status == 0) {
            assert_memory_equal(out, data + (i == 51 ? 99 : i), 4096);
        }
    }
}

static void close_finishes_what_is_queued(void **state)
{
    struct shard_wait puts[40];

    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        shard_put_begin(store, &puts[i], key(i), data, 50000);
    }
    reopen();
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(shard_wait_for(&puts[i], NULL), 0);
        assert_int_equal(shard_get_wait(store, key(i), 0, 50000, out, NULL), 0);
    }
}

static void a_list_is_in_key_order_and_goes_on_after_a_key(void **state)
{
    struct shard_info info[10];
    size_t total = 0;
    const struct shard_key *after = NULL;
    struct shard_key last;
    size_t n;

    (void)state;
    for (unsigned i = 0; i < 95; i++) {
        assert_int_equal(
            shard_put_wait(store, key((i * 37) % 95), data, 10, NULL), 0);
    }
    assert_int_equal(shard_delete_wait(store, key(94), NULL), 0);
    while ((n = shard_store_list(store, after, info, 10)) > 0) {
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(info[i].key.lo, total++);
        }
        last = info[n - 1].key;
        after = &last;
    }
    assert_int_equal(total, 94);
    assert_int_equal(shard_store_list(store, NULL, info, 0), 0);
}

static void a_changed_byte_is_never_served(void **state)
{
    const struct shard_key k = key(1);
    struct shard_store_stats stats;
    struct err err;

    (void)state;
    assert_int_equal(shard_put_wait(store, k, data, 200000, NULL), 0);
    assert_int_equal(shard_store_verify(store, &k, &err), 0);
    /* header block of the segment, of the record; then in its second block */
    assert_true(fake_disk_flip(disk, "00000000.seg", 8192 + 70000));
    assert_int_equal(shard_get_wait(store, k, 0, 65536, out, &err), 0);
    assert_memory_equal(out, data, 65536);
    assert_int_equal(shard_get_wait(store, k, 65000, 1000, out, &err),
                     ERR_CORRUPT);
    assert_string_equal(
        err.text,
        "drive 3: segment 00000000 at unit 1: wrong checksum of a block");
    assert_int_equal(shard_get_wait(store, k, 131072, 68928, out, &err), 0);
    assert_int_equal(shard_store_verify(store, &k, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "1 of 4 blocks"));
    assert_true(fake_disk_flip(disk, "00000000.seg", 4096 + 30));
    assert_int_equal(shard_get_wait(store, k, 0, 10, out, &err), ERR_CORRUPT);
    shard_store_stats(store, &stats);
    assert_true(stats.corrupt >= 3);
    /* written again it is good */
    assert_int_equal(shard_put_wait(store, k, data, 200000, NULL), 0);
    assert_int_equal(shard_get_wait(store, k, 0, 200000, out, &err), 0);
}

static void a_bad_place_costs_its_shard_and_not_the_drive(void **state)
{
    struct shard_store_stats stats;
    struct err err;

    (void)state;
    assert_int_equal(shard_put_wait(store, key(1), data, 200000, NULL), 0);
    assert_int_equal(shard_put_wait(store, key(2), data, 200000, NULL), 0);
    fake_disk_bad_place(disk, "00000000.seg", 8192 + 70000);
    assert_int_equal(shard_get_wait(store, key(1), 0, 200000, out, &err),
                     ERR_IO);
    assert_string_equal(err.text,
                        "drive 3: segment 00000000: read: a bad place");
    assert_int_equal(shard_get_wait(store, key(2), 0, 200000, out, &err), 0);
    shard_store_stats(store, &stats);
    assert_int_equal(stats.state, DRIVE_UP);
    fake_disk_bad_place(disk, NULL, 0);
}

static void another_drive_cluster_or_version_is_refused(void **state)
{
    struct shard_store_options o = options(MIB);
    struct shard_store *other = NULL;
    struct err err;

    (void)state;
    assert_int_equal(shard_store_open(&o, &other, &err), ERR_LOCKED);
    shard_store_close(store);
    o.drive = 4;
    assert_int_equal(shard_store_open(&o, &other, &err), ERR_MISMATCH);
    assert_string_equal(err.text, "drive 4: fake: is drive 3, not drive 4");
    o.drive = 3;
    o.cluster[0] = 'C';
    assert_int_equal(shard_store_open(&o, &other, &err), ERR_MISMATCH);
    assert_string_equal(err.text,
                        "drive 3: fake: is a drive of another cluster");
    assert_null(other);
    open_store(16 * MIB);
}

static void a_damaged_identity_is_not_overwritten(void **state)
{
    struct shard_store_stats stats;

    (void)state;
    shard_store_close(store);
    assert_true(fake_disk_flip(disk, "drive", 10));
    open_store(16 * MIB);
    shard_store_stats(store, &stats);
    assert_int_equal(stats.state, DRIVE_FAILED);
    assert_string_equal(stats.reason,
                        "fake: the file \"drive\" is damaged (wrong "
                        "checksum)");
    assert_true(fake_disk_flip(disk, "drive", 10)); /* repaired by hand */
    assert_true(shard_wait_state(store, DRIVE_UP, NULL));
}

static void an_empty_store_takes_next_to_nothing(void **state)
{
    struct shard_store_stats stats;

    (void)state;
    shard_store_stats(store, &stats);
    assert_int_equal(stats.segments, 0);
    assert_int_equal(fake_disk_used(disk), 64);
    shard_store_close(store);
    open_store(0); /* 64 MiB on a disk of 1 TiB */
    assert_int_equal(shard_put_wait(store, key(1), data, 5000, NULL), 0);
    assert_true(fake_disk_used(disk) <= 16 * MIB);
}

static void a_real_folder_works_too(void **state)
{
    char dir[] = "/tmp/godwit-store.XXXXXX";
    char path[64];
    struct shard_store_options o;
    struct err err;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a/drive-3", dir);
    o = options(4 * MIB);
    o.ops = NULL;
    o.path = path;
    shard_store_close(store);
    for (unsigned pass = 0; pass < 2; pass++) {
        assert_int_equal(shard_store_open(&o, &store, &err), 0);
        assert_string_equal(shard_store_path(store), path);
        for (unsigned i = 0; i < 20 && pass == 0; i++) {
            assert_int_equal(
                shard_put_wait(store, key(i), data + i, 300000, NULL), 0);
        }
        for (unsigned i = 0; i < 20; i++) {
            assert_int_equal(
                shard_get_wait(store, key(i), 1000, 200000, out, NULL), 0);
            assert_memory_equal(out, data + i + 1000, 200000);
        }
        shard_store_close(store);
    }
    snprintf(path, sizeof path, "rm -rf %s", dir);
    assert_int_equal(system(path), 0);
    open_store(16 * MIB);
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
        TEST(shards_of_every_length_read_back),
        TEST(ranges_give_their_bytes_and_no_more),
        TEST(a_range_outside_the_shard_is_refused),
        TEST(what_is_not_there_is_not_found),
        TEST(a_put_replaces_and_a_delete_deletes),
        TEST(lengths_over_the_limits_are_refused),
        TEST(what_waits_is_one_batch_in_the_order_asked),
        TEST(close_finishes_what_is_queued),
        TEST(a_list_is_in_key_order_and_goes_on_after_a_key),
        TEST(a_changed_byte_is_never_served),
        TEST(a_bad_place_costs_its_shard_and_not_the_drive),
        TEST(another_drive_cluster_or_version_is_refused),
        TEST(a_damaged_identity_is_not_overwritten),
        TEST(an_empty_store_takes_next_to_nothing),
        TEST(a_real_folder_works_too),
    };

    log_capture(quiet, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
