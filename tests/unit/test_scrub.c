/* Goal: every shard is read within the interval, and what is bad is reported
 * with what is needed to rebuild it.
 *
 * Method: a short interval, and bytes changed or made unreadable in a disk in
 * memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "tests/lib/fake_disk.h"
#include "tests/lib/shard_wait.h"

#define MIB ((uint64_t)1 << 20)
#define LENGTH 5000u
#define SPAN 8192u

struct seen {
    pthread_mutex_t mutex;
    unsigned count[50];
    struct shard_info last;
};

static struct fake_disk *disk;
static struct shard_store *store;
static struct seen seen;

static void on_bad(void *arg, const struct shard_info *bad)
{
    struct seen *s = arg;

    pthread_mutex_lock(&s->mutex);
    s->count[bad->key.lo]++;
    s->last = *bad;
    pthread_mutex_unlock(&s->mutex);
}

static unsigned reports(unsigned n)
{
    unsigned count;

    pthread_mutex_lock(&seen.mutex);
    count = seen.count[n];
    pthread_mutex_unlock(&seen.mutex);
    return count;
}

static bool wait_for_report(unsigned n)
{
    for (int i = 0; i < 1000 && reports(n) == 0; i++) {
        clock_sleep_ms(10);
    }
    return reports(n) > 0;
}

static uint64_t scrubbed(void)
{
    struct shard_store_stats stats;

    shard_store_stats(store, &stats);
    return stats.scrubbed_bytes;
}

static void open_store(uint64_t interval_ms)
{
    struct shard_store_options o = {
        .path = "fake",
        .drive = 3,
        .segment_bytes = MIB,
        .scrub_interval_ms = interval_ms,
        .ops = fake_disk_ops(disk),
    };

    assert_int_equal(shard_store_open(&o, &store, NULL), 0);
    shard_store_on_bad(store, on_bad, &seen);
}

static int set_up(void **state)
{
    static uint8_t data[LENGTH];

    (void)state;
    memset(&seen, 0, sizeof seen);
    memset(data, 0x5a, sizeof data);
    pthread_mutex_init(&seen.mutex, NULL);
    disk = fake_disk_new(1);
    open_store(100);
    for (unsigned n = 0; n < 50; n++) {
        struct shard_key key = {.hi = n * 0x0500000000000000u, .lo = n};
        if (shard_put_wait(store, key, data, LENGTH, NULL) != 0) {
            return 1;
        }
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    shard_store_close(store);
    fake_disk_free(disk);
    pthread_mutex_destroy(&seen.mutex);
    return 0;
}

static void all_is_read_again_and_again(void **state)
{
    (void)state;
    for (int i = 0; i < 1000 && scrubbed() < 3 * 50 * SPAN; i++) {
        clock_sleep_ms(10);
    }
    assert_true(scrubbed() >= 3 * 50 * SPAN);
    for (unsigned n = 0; n < 50; n++) {
        assert_int_equal(reports(n), 0);
    }
}

static void a_bad_block_is_reported_wherever_it_is(void **state)
{
    (void)state;
    assert_true(fake_disk_flip(disk, "00000000.seg", 4096 + 100));
    assert_true(fake_disk_flip(disk, "00000000.seg", 4096 + 49 * SPAN + 3000));
    assert_true(wait_for_report(0));
    assert_true(wait_for_report(49));
    assert_int_equal(seen.last.length, LENGTH);
    assert_int_equal(seen.last.group, 7);
    assert_int_equal(reports(20), 0);
}

static void a_place_that_cannot_be_read_is_reported(void **state)
{
    struct shard_store_stats stats;

    (void)state;
    fake_disk_bad_place(disk, "00000000.seg", 4096 + 20 * SPAN + 4500);
    assert_true(wait_for_report(20));
    fake_disk_bad_place(disk, NULL, 0);
    shard_store_stats(store, &stats);
    assert_int_equal(stats.state, DRIVE_UP);
    assert_true(stats.corrupt > 0);
}

static void no_interval_reads_nothing(void **state)
{
    (void)state;
    shard_store_close(store);
    open_store(0);
    clock_sleep_ms(50);
    assert_int_equal(scrubbed(), 0);
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
        TEST(all_is_read_again_and_again),
        TEST(a_bad_block_is_reported_wherever_it_is),
        TEST(a_place_that_cannot_be_read_is_reported),
        TEST(no_interval_reads_nothing),
    };

    log_capture(quiet, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
