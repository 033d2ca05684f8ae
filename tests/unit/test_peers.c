/* Goal: a verb goes to the store of its drive, and an unknown drive is said to
 * be so at once.
 *
 * Method: two stores in memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "node/peers.h"
#include "tests/lib/fake_disk.h"
#include "tests/lib/shard_wait.h"

static struct fake_disk *disks[2];
static struct shard_store *stores[2];
static struct peers *peers;
static uint8_t data[100] = "a shard";
static uint8_t out[100];

static int set_up(void **state)
{
    (void)state;
    peers = peers_new();
    for (unsigned i = 0; i < 2; i++) {
        struct shard_store_options o = {.path = "fake",
                                        .drive = (uint16_t)(10 + i),
                                        .segment_bytes = 1 << 20};
        disks[i] = fake_disk_new(i + 1);
        o.ops = fake_disk_ops(disks[i]);
        if (shard_store_open(&o, &stores[i], NULL) != 0) {
            return 1;
        }
        peers_add(peers, stores[i], o.drive);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    peers_free(peers);
    peers_free(NULL);
    for (unsigned i = 0; i < 2; i++) {
        shard_store_close(stores[i]);
        fake_disk_free(disks[i]);
    }
    return 0;
}

static int put(uint16_t drive, struct err *err)
{
    struct shard_wait w;

    shard_wait_init(&w);
    w.put = (struct shard_put){.key = {.lo = 1},
                               .data = data,
                               .length = sizeof data,
                               .done = shard_wait_put_done};
    peers_put(peers, drive, &w.put);
    return shard_wait_for(&w, err);
}

static int get(uint16_t drive, struct err *err)
{
    struct shard_wait w;

    shard_wait_init(&w);
    w.get = (struct shard_get){.key = {.lo = 1},
                               .out = out,
                               .length = sizeof out,
                               .done = shard_wait_get_done};
    peers_get(peers, drive, &w.get);
    return shard_wait_for(&w, err);
}

static int take_away(uint16_t drive, struct err *err)
{
    struct shard_wait w;

    shard_wait_init(&w);
    w.del =
        (struct shard_delete){.key = {.lo = 1}, .done = shard_wait_delete_done};
    peers_delete(peers, drive, &w.del);
    return shard_wait_for(&w, err);
}

static void a_verb_reaches_its_drive_and_no_other(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(put(11, &err), 0);
    assert_int_equal(get(11, &err), 0);
    assert_memory_equal(out, data, sizeof data);
    assert_int_equal(get(10, &err), ERR_NOT_FOUND);
    assert_int_equal(take_away(10, &err), 0);
    assert_int_equal(get(11, &err), 0);
    assert_int_equal(take_away(11, &err), 0);
    assert_int_equal(get(11, &err), ERR_NOT_FOUND);
}

static void an_unknown_drive_is_not_found(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(put(12, &err), ERR_NOT_FOUND);
    assert_string_equal(err.text, "drive 12 is not known here");
    assert_int_equal(get(12, &err), ERR_NOT_FOUND);
    assert_int_equal(take_away(12, &err), ERR_NOT_FOUND);
    assert_null(peers_store(peers, 12));
}

static void drives_are_listed_in_the_order_added(void **state)
{
    struct shard_store *s;
    uint16_t drive;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        assert_true(peers_at(peers, i, &drive, &s));
        assert_int_equal(drive, 10 + i);
        assert_ptr_equal(s, stores[i]);
        assert_ptr_equal(peers_store(peers, drive), s);
    }
    assert_false(peers_at(peers, 2, &drive, &s));
}

static void quiet(const char *line, void *arg)
{
    (void)line;
    (void)arg;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_verb_reaches_its_drive_and_no_other),
        cmocka_unit_test(an_unknown_drive_is_not_found),
        cmocka_unit_test(drives_are_listed_in_the_order_added),
    };

    log_capture(quiet, NULL);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
