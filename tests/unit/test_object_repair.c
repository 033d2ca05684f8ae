/* test_object_repair.c: rebuilding shards that drives miss.
 *
 * Goal: a shard written again is byte for byte the one that was lost; repair
 * waits for a drive that is away and is not held up by one that hangs; the
 * queue has its bound; what is deleted is not brought back.
 * Method: six fake disks; the queue is filled through the internal header.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "object/object_internal.h"
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

static struct manifest decoded(const struct buf *b)
{
    struct manifest m;

    assert_int_equal(manifest_decode(b->data, b->len, &m, NULL), 0);
    return m;
}

static void each_shard_of_each_shape_is_rebuilt_as_it_was(void **state)
{
    static const uint64_t sizes[] = {1,      65536,  65537,      131072,
                                     140000, 262144, MIB - 4095, MIB + 1};
    struct world *w = *state;

    world_open(w, 0);
    for (uint64_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct buf manifest = {0};
        struct manifest m;
        struct chunk_ref chunk;
        assert_int_equal(world_put(w, i, sizes[i], 8 * MIB, &manifest, NULL),
                         0);
        m = decoded(&manifest);
        chunk = object_chunk_ref(&m, 0);
        for (unsigned slot = 0; slot < 6; slot++) {
            struct chunk_shape shape = geometry_shape(m.policy, chunk.bytes);
            uint32_t before_bytes, after_bytes;
            uint8_t *before, *after;
            if (geometry_shard_bytes(&shape, slot) == 0) {
                continue;
            }
            before = world_shard_bytes(w, &m, slot, &before_bytes);
            world_delete_shard(w, &m, slot);
            assert_int_equal(
                object_repair_shard(w->objects, &chunk, slot, NULL), 0);
            after = world_shard_bytes(w, &m, slot, &after_bytes);
            assert_int_equal(after_bytes, before_bytes);
            assert_memory_equal(after, before, before_bytes);
            free(before);
            free(after);
        }
        manifest_free(&m);
        buf_free(&manifest);
    }
    world_close(w);
}

static void a_read_queues_what_it_found_missing(void **state)
{
    struct world *w = *state;
    struct buf manifest = {0};
    struct manifest m;

    world_open(w, 0);
    assert_int_equal(world_put(w, 1, MIB, MIB, &manifest, NULL), 0);
    m = decoded(&manifest);
    world_delete_shard(w, &m, 0);
    world_delete_shard(w, &m, 2);
    assert_int_equal(world_get_all(w, &manifest, 1, NULL), 0);
    assert_true(world_heals(w, &manifest));
    manifest_free(&m);
    buf_free(&manifest);
    world_close(w);
}

static void what_cannot_be_written_yet_waits(void **state)
{
    struct world *w = *state;
    struct buf manifest = {0};
    struct manifest m;
    unsigned slot;

    world_open(w, 0);
    assert_int_equal(world_put(w, 1, MIB, MIB, &manifest, NULL), 0);
    m = decoded(&manifest);
    slot = world_slot_of(w, &m, 5);
    world_delete_shard(w, &m, slot);
    fake_disk_set_present(w->disks[5], false);
    world_await(w, 5, DRIVE_FAILED);
    struct chunk_ref chunk = object_chunk_ref(&m, 0);
    object_repair_queue(w->objects, &chunk, 1u << slot);
    clock_sleep_ms(300);
    assert_int_equal(world_stats(w).shards_repaired, 0);
    fake_disk_set_present(w->disks[5], true);
    world_await(w, 5, DRIVE_UP);
    assert_true(world_heals(w, &manifest));
    manifest_free(&m);
    buf_free(&manifest);
    world_close(w);
}

static void a_hung_drive_does_not_hold_up_the_others(void **state)
{
    struct world *w = *state;
    struct buf first = {0}, second = {0};
    struct manifest m1, m2;
    struct chunk_ref c1, c2;

    w->options.put_timeout_ms = 3000;
    world_open(w, 0);
    assert_int_equal(world_put(w, 1, MIB, MIB, &first, NULL), 0);
    assert_int_equal(world_put(w, 2, MIB, MIB, &second, NULL), 0);
    m1 = decoded(&first);
    m2 = decoded(&second);
    c1 = object_chunk_ref(&m1, 0);
    c2 = object_chunk_ref(&m2, 0);
    world_delete_shard(w, &m1, world_slot_of(w, &m1, 0));
    world_delete_shard(w, &m2, world_slot_of(w, &m2, 1));
    fake_disk_hang(w->disks[0], true);
    object_repair_queue(w->objects, &c1, 1u << world_slot_of(w, &m1, 0));
    object_repair_queue(w->objects, &c2, 1u << world_slot_of(w, &m2, 1));
    assert_true(world_heals(w, &second));
    assert_int_equal(world_stats(w).shards_repaired, 1);
    fake_disk_hang(w->disks[0], false);
    assert_true(world_heals(w, &first));
    manifest_free(&m1);
    manifest_free(&m2);
    buf_free(&first);
    buf_free(&second);
    world_close(w);
}

/* An object of one chunk that misses the shards in @slots. */
static struct manifest harmed(struct world *w, uint64_t seed, uint32_t slots)
{
    struct buf manifest = {0};
    struct manifest m;

    assert_int_equal(world_put(w, seed, MIB, MIB, &manifest, NULL), 0);
    m = decoded(&manifest);
    for (unsigned slot = 0; slot < 6; slot++) {
        if (slots >> slot & 1) {
            world_delete_shard(w, &m, slot);
        }
    }
    buf_free(&manifest);
    return m;
}

static bool has(struct world *w, const struct manifest *m, uint32_t slots)
{
    struct chunk_ref chunk = object_chunk_ref(m, 0);
    bool all = true;

    for (unsigned slot = 0; slot < 6; slot++) {
        if (slots >> slot & 1) {
            struct shard_key key = chunk_key(&chunk, slot);
            struct shard_info info;
            uint16_t drive = object_drive(w->objects, &chunk, slot);
            all = all && shard_store_stat(w->stores[drive], &key, &info);
        }
    }
    return all;
}

static void what_misses_most_is_rebuilt_first(void **state)
{
    struct world *w = *state;
    const uint32_t slots[] = {1, 2, 4, 1 | 8, 16};
    enum { N = 5, WORST = 3 };
    struct manifest m[N];
    unsigned done = 0;

    w->options.repair_rate = MIB / 2; /* the queue is filled meanwhile */
    world_open(w, 0);
    for (unsigned i = 0; i < N; i++) {
        m[i] = harmed(w, i, slots[i]);
    }
    for (unsigned i = 0; i < N; i++) {
        struct chunk_ref chunk = object_chunk_ref(&m[i], 0);
        object_repair_queue(w->objects, &chunk, slots[i]);
    }
    while (done < N) {
        done = 0;
        /* The first is under way when the others come. */
        for (unsigned i = N - 1; i > 0; i--) {
            bool here = has(w, &m[i], slots[i]);
            done += here;
            assert_true(i == WORST || !here || has(w, &m[WORST], slots[WORST]));
        }
        done += has(w, &m[0], slots[0]);
        clock_sleep_ms(1);
    }
    for (unsigned i = 0; i < N; i++) {
        manifest_free(&m[i]);
    }
    world_close(w);
}

static void repairs_keep_their_pace(void **state)
{
    struct world *w = *state;
    struct manifest m[8];
    uint64_t start_ms;

    w->options.repair_rate = 2 * MIB;
    world_open(w, 0);
    for (unsigned i = 0; i < 8; i++) {
        m[i] = harmed(w, i, 1);
    }
    start_ms = clock_mono_ms();
    for (unsigned i = 0; i < 8; i++) {
        struct chunk_ref chunk = object_chunk_ref(&m[i], 0);
        object_repair_queue(w->objects, &chunk, 1);
    }
    for (unsigned i = 0; i < 8; i++) {
        while (!has(w, &m[i], 1)) {
            clock_sleep_ms(1);
        }
        manifest_free(&m[i]);
    }
    /* 2 MiB: the last is written before its own wait, a burst is free. */
    assert_true(clock_mono_ms() - start_ms >= 600);
    w->options.repair_rate = 0;
    world_close(w);
}

static void the_queue_is_bounded_and_counts_what_it_drops(void **state)
{
    struct world *w = *state;
    struct chunk_ref chunk = {.policy = {.k = 4, .m = 2}, .bytes = 1000};

    world_open(w, 0x3f); /* no drive: all wait */
    for (uint32_t i = 0; i < OBJECT_REPAIRS_MAX + 10; i++) {
        chunk.id_hi = i * 0x123456789abcdefu;
        chunk.id_lo = (uint64_t)i << 24;
        object_repair_queue(w->objects, &chunk, 1);
        object_repair_queue(w->objects, &chunk, 2); /* the same: no new place */
    }
    assert_in_range(world_stats(w).repairs_waiting, OBJECT_REPAIRS_MAX,
                    OBJECT_REPAIRS_MAX + 1);
    assert_in_range(world_stats(w).repairs_dropped, 1, 20);
    for (uint32_t i = 0; i < OBJECT_REPAIRS_MAX + 10; i++) {
        object_repair_forget(w->objects, i * 0x123456789abcdefu,
                             (uint64_t)i << 24);
    }
    for (int i = 0; i < 1000 && world_stats(w).repairs_waiting > 0; i++) {
        clock_sleep_ms(5);
    }
    assert_int_equal(world_stats(w).repairs_waiting, 0);
    world_close(w);
}

static void what_is_deleted_is_not_brought_back(void **state)
{
    struct world *w = *state;

    world_open(w, 0);
    for (uint64_t i = 0; i < 30; i++) {
        struct buf manifest = {0};
        struct manifest m;
        struct chunk_ref chunk;
        assert_int_equal(world_put(w, i, MIB, MIB, &manifest, NULL), 0);
        m = decoded(&manifest);
        chunk = object_chunk_ref(&m, 0);
        world_delete_shard(w, &m, 1);
        world_delete_shard(w, &m, 4);
        object_repair_queue(w->objects, &chunk, 1u << 1 | 1u << 4);
        clock_sleep_ms(i % 10); /* some are under way, some done */
        assert_int_equal(
            object_delete(w->objects, manifest.data, manifest.len, NULL), 0);
        manifest_free(&m);
        buf_free(&manifest);
    }
    /* The last repair may still have to see that its chunk is gone. */
    for (int i = 0; i < 1000 &&
                    (world_shards(w) > 0 || world_stats(w).repairs_waiting > 0);
         i++) {
        clock_sleep_ms(10);
    }
    assert_int_equal(world_shards(w), 0);
    assert_int_equal(world_stats(w).repairs_waiting, 0);
    world_close(w);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(each_shard_of_each_shape_is_rebuilt_as_it_was),
        TEST(a_read_queues_what_it_found_missing),
        TEST(what_cannot_be_written_yet_waits),
        TEST(a_hung_drive_does_not_hold_up_the_others),
        TEST(what_misses_most_is_rebuilt_first),
        TEST(repairs_keep_their_pace),
        TEST(the_queue_is_bounded_and_counts_what_it_drops),
        TEST(what_is_deleted_is_not_brought_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
