/* test_object_read.c: chunks under local groups (K+L+G), and copies (1+M).
 *
 * Goal: what a policy promises holds: any g + 1 drives lost, or any M of
 * copies, and every byte reads (P3); a lost shard of a local group is read and
 * rebuilt from k/l others, byte for byte as it was, and else from k; what is
 * acknowledged with a shard missing bears g more losses; what cannot be had is
 * said so. How much is read is counted where it is read: at the drives.
 * Method: ten fake disks. Reed-Solomon is tested in test_object_get.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define WORLD_DRIVES 10
#define WORLD_GROUPS 200 /* so that drives hold all slots */

#include "object/object_internal.h"
#include "object/object_mend.h"
#include "tests/lib/object_world.h"

#define ALL ((1u << WORLD_DRIVES) - 1)

static const struct ec_policy rs_6_4 = {6, 4, 0};
static const struct ec_policy lrc_4_2_1 = {4, 3, 2};
static const struct ec_policy lrc_6_2_2 = {6, 4, 2};

static const uint64_t sizes[] = {1, 100, 65536, 65537, 300000, MIB + 1};
#define SIZES (sizeof sizes / sizeof sizes[0])

static int setup(void **state)
{
    *state = world_new(lrc_6_2_2);
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

static void get_all(struct world *w, const struct buf *manifests)
{
    for (uint64_t i = 0; i < SIZES; i++) {
        assert_int_equal(world_get_all(w, &manifests[i], i, NULL), 0);
    }
}

static void free_all(struct buf *manifests)
{
    for (uint64_t i = 0; i < SIZES; i++) {
        buf_free(&manifests[i]);
    }
}

static struct manifest decoded(const struct buf *b)
{
    struct manifest m;

    assert_int_equal(manifest_decode(b->data, b->len, &m, NULL), 0);
    return m;
}

/* One chunk of so many bytes; its manifest goes to @m and @chunk. */
static void put_chunk(struct world *w, uint64_t seed, uint32_t bytes,
                      struct buf *b, struct manifest *m,
                      struct chunk_ref *chunk)
{
    assert_int_equal(world_put(w, seed, bytes, bytes, b, NULL), 0);
    *m = decoded(b);
    *chunk = object_chunk_ref(m, 0);
}

/* What drives were asked for since they were opened. */
static uint64_t gets_of(struct world *w, unsigned drive)
{
    struct shard_store_stats stats;

    shard_store_stats(w->stores[drive], &stats);
    return stats.gets;
}

static uint64_t gets(struct world *w)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < WORLD_DRIVES; i++) {
        sum += w->stores[i] != NULL ? gets_of(w, i) : 0;
    }
    return sum;
}

static void delete_shards(struct world *w, const struct manifest *m,
                          uint32_t slots)
{
    for (unsigned slot = 0; slot < GEOMETRY_SLOTS_MAX; slot++) {
        if (slots >> slot & 1) {
            world_delete_shard(w, m, slot);
        }
    }
}

/* ---- what may be lost ---- */

static void lose_and_read(struct world *w, struct ec_policy policy,
                          unsigned step)
{
    struct buf manifests[SIZES] = {{0}};
    unsigned may = ec_policy_tolerates(policy), tried = 0, i = 0;

    w->options.policy = policy;
    world_open(w, 0);
    put_all(w, manifests);
    for (uint32_t lost = 0; lost <= ALL; lost++) {
        if ((unsigned)__builtin_popcount(lost) == may && i++ % step == 0) {
            world_reopen(w, lost);
            get_all(w, manifests);
            tried++;
        }
    }
    assert_true(tried >= 10);
    world_close(w);
    free_all(manifests);
}

static void any_two_drives_may_be_lost_under_4_2_1(void **state)
{
    lose_and_read(*state, lrc_4_2_1, 3);
}

static void any_three_drives_may_be_lost_under_6_2_2(void **state)
{
    lose_and_read(*state, lrc_6_2_2, 7);
}

static void any_m_drives_may_be_lost_under_1_m(void **state)
{
    lose_and_read(*state, (struct ec_policy){1, 1, 0}, 1);
    lose_and_read(*state, (struct ec_policy){1, 2, 0}, 4);
    lose_and_read(*state, (struct ec_policy){1, 5, 0}, 25);
}

/* Slots that may be gone together though they are four, and such as may not. */
static void more_losses_are_borne_when_they_leave_enough(void **state)
{
    static const struct {
        uint32_t slots;
        bool lost;
    } rows[] = {
        {1u << 0 | 1u << 1 | 1u << 3 | 1u << 4, false}, /* two of each group */
        {1u << 0 | 1u << 5 | 1u << 8 | 1u << 9, false}, /* one, and globals */
        {1u << 0 | 1u << 1 | 1u << 2 | 1u << 6, true},  /* a whole group */
        {1u << 0 | 1u << 1 | 1u << 8 | 1u << 9, true},  /* two, and globals */
    };
    struct world *w = *state;

    world_open(w, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf b = {0};
        struct manifest m;
        struct chunk_ref chunk;
        struct err err = {{0}};
        int rc;
        put_chunk(w, i, MIB, &b, &m, &chunk);
        delete_shards(w, &m, rows[i].slots);
        rc = world_get_all(w, &b, i, &err);
        assert_int_equal(rc, rows[i].lost ? ERR_UNAVAILABLE : 0);
        if (rows[i].lost) {
            assert_non_null(strstr(err.text,
                                   "6 shards that can be read do "
                                   "not do"));
        } else {
            object_verify(w->objects, b.data, b.len, true, world_ignore, NULL);
            assert_int_equal(world_defects(w, &b), 0);
        }
        manifest_free(&m);
        buf_free(&b);
    }
    world_close(w);
}

static void count_lost(void *arg, enum object_defect defect,
                       const struct shard_key *key, uint16_t drive,
                       const char *why)
{
    unsigned *counts = arg;

    (void)key;
    (void)drive;
    (void)why;
    counts[defect]++;
}

static void verify_says_lost_only_of_what_is(void **state)
{
    struct world *w = *state;

    world_open(w, 0);
    for (unsigned lost = 0; lost < 2; lost++) {
        unsigned counts[8] = {0};
        struct buf b = {0};
        struct manifest m;
        struct chunk_ref chunk;
        put_chunk(w, lost, MIB, &b, &m, &chunk);
        /* Six are left, as many as there are pieces, both times. */
        delete_shards(w, &m, lost ? 0x47 : 0x1b);
        object_verify(w->objects, b.data, b.len, false, count_lost, counts);
        assert_int_equal(counts[OBJECT_SHARD_MISSING], 4);
        assert_int_equal(counts[OBJECT_CHUNK_LOST], lost);
        manifest_free(&m);
        buf_free(&b);
    }
    world_close(w);
}

/* ---- writing ---- */

static void what_is_written_without_a_drive_bears_g_more(void **state)
{
    struct world *w = *state;
    struct buf manifests[SIZES] = {{0}};

    for (unsigned without = 0; without < WORLD_DRIVES; without += 3) {
        world_open(w, 1u << without);
        put_all(w, manifests);
        for (unsigned i = 1; i < WORLD_DRIVES; i += 4) {
            uint32_t lost = 1u << without;
            lost |= 1u << (without + i) % WORLD_DRIVES;
            lost |= 1u << (without + i + 1) % WORLD_DRIVES;
            world_reopen(w, lost);
            get_all(w, manifests);
        }
        world_close(w);
        free_all(manifests);
    }
}

static void a_write_that_two_drives_miss_is_refused(void **state)
{
    struct world *w = *state;
    struct buf b = {0};
    struct err err = {{0}};

    world_open(w, 1u << 2 | 1u << 7);
    assert_int_equal(world_put(w, 1, MIB, MIB, &b, &err), ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "8 of 10 shards stored, 9 needed"));
    /* A short chunk is Reed-Solomon: 1+4 here, where 3 copies are enough. */
    assert_int_equal(world_put(w, 2, 60000, 60000, &b, &err), 0);
    assert_int_equal(world_get_all(w, &b, 2, NULL), 0);
    buf_free(&b);
    world_close(w);
}

/* ---- what is read ---- */

static void a_lost_piece_is_read_from_its_local_group(void **state)
{
    struct world *w = *state;
    struct buf b = {0};
    struct manifest m;
    struct chunk_ref chunk;
    struct chunk_shape shape;
    uint32_t asked = 0;

    world_open(w, 0);
    put_chunk(w, 1, 3 * MIB, &b, &m, &chunk);
    shape = geometry_shape(m.policy, chunk.bytes);
    assert_int_equal(shape.pieces, 6);
    /* Its drive is gone, so repair cannot join in. */
    world_reopen(w, 1u << world_drive_of(w, &m, 4));
    assert_int_equal(
        world_get(w, &b, 1, 4 * shape.piece_bytes + 17, 70000, 70000, NULL), 0);
    for (unsigned slot = 0; slot < 10; slot++) {
        uint16_t drive = world_drive_of(w, &m, slot);
        if (w->stores[drive] != NULL && gets_of(w, drive) > 0) {
            assert_int_equal(gets_of(w, drive), 1);
            asked |= 1u << slot;
        }
    }
    assert_int_equal(asked, 1u << 3 | 1u << 5 | 1u << 7);
    manifest_free(&m);
    buf_free(&b);
    world_close(w);
}

static void without_its_local_group_it_is_read_from_k_others(void **state)
{
    struct world *w = *state;
    struct buf b = {0};
    struct manifest m;
    struct chunk_ref chunk;

    world_open(w, 0);
    put_chunk(w, 1, 3 * MIB, &b, &m, &chunk);
    world_reopen(
        w, 1u << world_drive_of(w, &m, 4) | 1u << world_drive_of(w, &m, 7));
    assert_int_equal(
        world_get(w, &b, 1, 4 * chunk.bytes / 6 + 50000, 70000, 70000, NULL),
        0);
    assert_int_equal(gets(w), 6);
    manifest_free(&m);
    buf_free(&b);
    world_close(w);
}

static void a_slow_local_group_is_gone_round(void **state)
{
    struct world *w = *state;
    struct buf b = {0};
    struct manifest m;
    struct chunk_ref chunk;
    uint64_t start;

    w->options.hedge_ms = 50;
    world_open(w, 0);
    put_chunk(w, 1, 3 * MIB, &b, &m, &chunk);
    world_reopen(w, 1u << world_drive_of(w, &m, 1));
    world_hold_reads(1u << world_drive_of(w, &m, 2));
    start = clock_mono_ms();
    assert_int_equal(world_get_all(w, &b, 1, NULL), 0);
    assert_true(clock_mono_ms() - start < 10000); /* get_timeout_ms: 20000 */
    world_hold_reads(0);
    manifest_free(&m);
    buf_free(&b);
    world_close(w);
}

static void ranges_are_what_was_put(void **state)
{
    static const uint32_t lost[] = {0x001, 0x0c1, 0x222};
    struct world *w = *state;
    struct buf b = {0};
    uint64_t size = 5 * MIB + 12345, x = 7;

    world_open(w, 0);
    assert_int_equal(world_put(w, 3, size, 2 * MIB - 5000, &b, NULL), 0);
    for (size_t l = 0; l < 3; l++) {
        world_reopen(w, lost[l]);
        for (int i = 0; i < 100; i++) {
            uint64_t offset, length;
            x = x * 6364136223846793005u + 1442695040888963407u;
            offset = (x >> 33) % size;
            length = 1 + (x >> 20) % (i % 2 ? 5000 : size - offset);
            length = length < size - offset ? length : size - offset;
            assert_int_equal(
                world_get(w, &b, 3, offset, length, 1 + length / 3, NULL), 0);
        }
    }
    world_close(w);
    buf_free(&b);
}

/* ---- repair ---- */

/* Let repair rebuild @slot; gives the reads it took, and has compared the
 * shard. */
static uint64_t rebuild(struct world *w, const struct manifest *m,
                        const struct chunk_ref *chunk, unsigned slot)
{
    uint32_t before_bytes, after_bytes;
    uint8_t *before = world_shard_bytes(w, m, slot, &before_bytes);
    uint64_t reads;
    uint8_t *after;

    world_delete_shard(w, m, slot);
    reads = gets(w);
    object_repair_queue(w->objects, chunk, 1u << slot);
    world_await_repairs(w);
    reads = gets(w) - reads;
    after = world_shard_bytes(w, m, slot, &after_bytes);
    assert_int_equal(after_bytes, before_bytes);
    assert_memory_equal(after, before, before_bytes);
    free(before);
    free(after);
    return reads;
}

static void each_shard_of_each_policy_is_rebuilt_as_it_was(void **state)
{
    static const struct ec_policy policies[] = {{4, 3, 2}, {4, 4, 2}, {6, 3, 2},
                                                {6, 5, 3}, {8, 6, 4}, {1, 2, 0},
                                                {1, 6, 0}};
    static const uint32_t bytes[] = {1, 65537, MIB - 4095, 2 * MIB + 1};
    struct world *w = *state;

    for (size_t p = 0; p < sizeof policies / sizeof policies[0]; p++) {
        w->options.policy = policies[p];
        world_open(w, 0);
        for (uint64_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
            struct buf b = {0};
            struct manifest m;
            struct chunk_ref chunk;
            struct chunk_shape shape;
            put_chunk(w, i, bytes[i], &b, &m, &chunk);
            shape = geometry_shape(m.policy, chunk.bytes);
            for (unsigned slot = 0; slot < policies[p].k + policies[p].m;
                 slot++) {
                if (geometry_shard_bytes(&shape, slot) > 0) {
                    rebuild(w, &m, &chunk, slot);
                }
            }
            assert_int_equal(world_get_all(w, &b, i, NULL), 0);
            manifest_free(&m);
            buf_free(&b);
        }
        world_close(w);
    }
}

static void a_lost_shard_is_rebuilt_from_half_of_what_rs_reads(void **state)
{
    struct world *w = *state;

    for (unsigned local = 0; local < 2; local++) {
        struct buf b = {0};
        struct manifest m;
        struct chunk_ref chunk;
        w->options.policy = local ? lrc_6_2_2 : rs_6_4;
        world_open(w, 0);
        put_chunk(w, 1, 3 * MIB + 5, &b, &m, &chunk);
        for (unsigned slot = 0; slot < 10; slot++) {
            unsigned expected = local && slot < 8 ? 3 : 6;
            assert_int_equal(rebuild(w, &m, &chunk, slot), expected);
        }
        manifest_free(&m);
        buf_free(&b);
        world_close(w);
    }
}

static void a_mate_that_is_gone_is_made_up_for(void **state)
{
    struct world *w = *state;
    struct buf b = {0};
    struct manifest m;
    struct chunk_ref chunk;

    world_open(w, 0);
    put_chunk(w, 1, 3 * MIB, &b, &m, &chunk);
    world_delete_shard(w, &m, 6); /* of the group of slots 0, 1, 2 */
    world_delete_shard(w, &m, 1);
    assert_int_equal(object_repair_shard(w->objects, &chunk, 0, NULL), 0);
    assert_true(world_heals(w, &b)); /* what it found missing was queued */
    manifest_free(&m);
    buf_free(&b);
    world_close(w);
}

/* Repair reads nothing of a group that it knows to be short. */
static void a_mate_whose_drive_is_gone_is_known_beforehand(void **state)
{
    struct world *w = *state;
    struct buf b = {0};
    struct manifest m;
    struct chunk_ref chunk;
    uint8_t *out = malloc(MIB);
    struct err err = {{0}};

    world_open(w, 0);
    put_chunk(w, 1, 3 * MIB, &b, &m, &chunk);
    world_reopen(w, 1u << world_drive_of(w, &m, 5));
    assert_int_equal(object_read_local(w->objects, &chunk, 3, out, &err),
                     ERR_UNAVAILABLE);
    assert_string_equal(err.text, "slot 3 has no local group that answers");
    assert_int_equal(gets(w), 0);
    world_delete_shard(w, &m, 3);
    assert_int_equal(object_repair_shard(w->objects, &chunk, 3, NULL), 0);
    assert_int_equal(world_defects(w, &b), 1); /* that of the drive */
    free(out);
    manifest_free(&m);
    buf_free(&b);
    world_close(w);
}

static void a_mate_that_is_bad_is_not_taken(void **state)
{
    struct world *w = *state;
    struct buf b = {0};
    struct manifest m;
    struct chunk_ref chunk;

    world_open(w, 0);
    put_chunk(w, 1, 3 * MIB, &b, &m, &chunk);
    world_damage(w, world_drive_of(w, &m, 2), manifest_shard(&m, 0, 2), 777);
    rebuild(w, &m, &chunk, 0);
    assert_true(world_heals(w, &b));
    assert_int_equal(world_get_all(w, &b, 1, NULL), 0);
    manifest_free(&m);
    buf_free(&b);
    world_close(w);
}

static void a_mate_that_hangs_is_not_waited_for_long(void **state)
{
    struct world *w = *state;
    struct buf b = {0};
    struct manifest m;
    struct chunk_ref chunk;
    uint64_t start;

    world_open(w, 0);
    put_chunk(w, 1, 3 * MIB, &b, &m, &chunk);
    world_reopen(w, 0); /* nothing is in a cache */
    world_delete_shard(w, &m, 4);
    world_hold_reads(1u << world_drive_of(w, &m, 7));
    start = clock_mono_ms();
    assert_int_equal(object_repair_shard(w->objects, &chunk, 4, NULL), 0);
    assert_true(clock_mono_ms() - start < 10000); /* get_timeout_ms: 20000 */
    world_hold_reads(0);
    assert_int_equal(world_defects(w, &b), 0);
    manifest_free(&m);
    buf_free(&b);
    world_close(w);
}

static void a_shard_without_a_local_group_says_so(void **state)
{
    struct world *w = *state;
    struct buf b = {0};
    struct manifest m;
    struct chunk_ref chunk;
    uint8_t *out = malloc(MIB);
    struct err err = {{0}};

    world_open(w, 0);
    put_chunk(w, 1, 3 * MIB, &b, &m, &chunk);
    assert_int_equal(object_read_local(w->objects, &chunk, 8, out, &err),
                     ERR_UNAVAILABLE);
    assert_string_equal(err.text, "slot 8 has no local group");
    world_delete_shard(w, &m, 7);
    assert_int_equal(object_read_local(w->objects, &chunk, 3, out, &err),
                     ERR_UNAVAILABLE);
    assert_int_equal(object_read_local(w->objects, &chunk, 0, out, &err), 0);
    assert_int_equal(world_compare(1, 0, out, 3 * MIB / 6), 3 * MIB / 6);
    free(out);
    manifest_free(&m);
    buf_free(&b);
    world_close(w);
}

#define RUNS 100

/* Shards that must be read for the one on drive 3. */
static unsigned reads_for(struct world *w, const struct buf *manifest)
{
    struct manifest m = decoded(manifest);
    unsigned slot = world_slot_of(w, &m, 3);
    bool local = m.policy.l > 0 && slot < m.policy.k + m.policy.l;
    unsigned reads = local ? m.policy.k / m.policy.l : m.policy.k;

    manifest_free(&m);
    return reads;
}

/* Bytes read of all drives for each byte rebuilt of one that comes up empty. */
static double read_per_byte_rebuilt(struct world *w, struct ec_policy policy)
{
    struct buf manifests[RUNS] = {{0}};
    struct shard_store_stats after;
    uint64_t bytes, expected = 0;

    w->options.policy = policy;
    world_open(w, 0);
    for (uint64_t i = 0; i < RUNS; i++) {
        assert_int_equal(
            world_put(w, i, 6 * 65536, 6 * 65536, &manifests[i], NULL), 0);
    }
    world_close(w);
    fake_disk_wipe(w->disks[3]);
    world_open(w, 0);
    bytes = world_bytes_read();
    assert_true(object_mend_wanted(w->objects));
    for (uint64_t i = 0; i < RUNS; i++) {
        object_mend(w->objects, manifests[i].data, manifests[i].len);
    }
    world_await_repairs(w);
    bytes = world_bytes_read() - bytes;
    shard_store_stats(w->stores[3], &after);
    assert_int_equal(after.shards, RUNS);
    assert_int_equal(after.live_bytes, RUNS * 65536);
    for (uint64_t i = 0; i < RUNS; i++) {
        expected += reads_for(w, &manifests[i]);
        assert_int_equal(world_defects(w, &manifests[i]), 0);
        buf_free(&manifests[i]);
    }
    world_close(w);
    /* And a page of each for its header and checksums. */
    assert_in_range(bytes, expected * 65536, expected * (65536 + 4096));
    return (double)bytes / (RUNS * 65536.0);
}

static void a_lost_drive_is_rebuilt_from_little_more_than_half(void **state)
{
    struct world *w = *state;
    double rs = read_per_byte_rebuilt(w, rs_6_4);
    double local = read_per_byte_rebuilt(w, lrc_6_2_2);

    print_message(
        "read for each byte of a drive rebuilt: 6+4 %.2f, 6+2+2 "
        "%.2f\n",
        rs, local);
    assert_true(rs >= 6);
    assert_true(local < rs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(any_two_drives_may_be_lost_under_4_2_1),
        TEST(any_three_drives_may_be_lost_under_6_2_2),
        TEST(any_m_drives_may_be_lost_under_1_m),
        TEST(more_losses_are_borne_when_they_leave_enough),
        TEST(verify_says_lost_only_of_what_is),
        TEST(what_is_written_without_a_drive_bears_g_more),
        TEST(a_write_that_two_drives_miss_is_refused),
        TEST(a_lost_piece_is_read_from_its_local_group),
        TEST(without_its_local_group_it_is_read_from_k_others),
        TEST(a_slow_local_group_is_gone_round),
        TEST(ranges_are_what_was_put),
        TEST(each_shard_of_each_policy_is_rebuilt_as_it_was),
        TEST(a_lost_shard_is_rebuilt_from_half_of_what_rs_reads),
        TEST(a_mate_that_is_gone_is_made_up_for),
        TEST(a_mate_whose_drive_is_gone_is_known_beforehand),
        TEST(a_mate_that_is_bad_is_not_taken),
        TEST(a_mate_that_hangs_is_not_waited_for_long),
        TEST(a_shard_without_a_local_group_says_so),
        TEST(a_lost_drive_is_rebuilt_from_little_more_than_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
