/* test_pack.c: chunks compressed in blocks.
 *
 * Goal: every range of a packed chunk is what was put, whatever the sizes; what
 * does not compress stays as it is; damage is an error, never a crash and never
 * wrong bytes; packed runs are read, rebuilt and verified as others are, with
 * drives lost and shards damaged.
 * Method: sizes and ranges at random from fixed seeds, against bytes from a
 * seed; a byte changed in each of many places; six fake disks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "object/pack.h"
#include "tests/lib/object_world.h"

static uint64_t random_below(uint64_t *seed, uint64_t n)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (*seed >> 33) % n;
}

/* A packed chunk in memory. */
struct packed {
    uint8_t *stored;
    uint32_t bytes;
    uint32_t blocks[PACK_BLOCKS_MAX];
    struct pack_shape shape;
};

static bool make(struct packers *p, uint64_t seed, uint32_t plain,
                 unsigned shift, struct packed *out)
{
    out->stored = malloc(plain);
    world_fill(seed, 0, out->stored, plain);
    out->bytes = pack_chunk(p, out->stored, plain, shift, out->blocks);
    out->shape = (struct pack_shape){plain, (uint8_t)shift, out->blocks};
    return out->bytes > 0;
}

/* From exactly as many bytes as the range needs, into as many: ASan sees. */
static int get(struct packers *p, const struct packed *k, uint64_t seed,
               uint32_t offset, uint32_t length)
{
    struct pack_span span = pack_span(&k->shape, offset, length);
    uint8_t *stored = malloc(span.bytes);
    uint8_t *out = malloc(length);
    int rc;

    memcpy(stored, k->stored + span.at, span.bytes);
    rc = pack_read(p, &k->shape, offset, length, stored, out, NULL);
    if (rc == 0 && world_compare(seed, offset, out, length) != length) {
        rc = WORLD_WRONG;
    }
    free(stored);
    free(out);
    return rc;
}

static void every_range_is_what_was_put(void **state)
{
    struct packers *p = packers_new();
    uint64_t seed = 5;

    (void)state;
    for (unsigned i = 0; i < 60; i++) {
        uint32_t plain = 1000 + (uint32_t)random_below(
                                    &seed, i % 5 == 0 ? 3 * MIB : 300 * KIB);
        unsigned shift = PACK_SHIFT_MIN + i % 5;
        uint64_t bytes = WORLD_SOFT + i;
        struct packed k;
        assert_true(make(p, bytes, plain, shift, &k));
        assert_true(k.bytes < plain);
        assert_null(pack_judge(&k.shape, k.bytes));
        assert_int_equal(get(p, &k, bytes, 0, plain), 0);
        for (unsigned n = 0; n < 20; n++) {
            uint32_t offset = (uint32_t)random_below(&seed, plain);
            uint32_t length =
                1 + (uint32_t)random_below(&seed, n % 2 ? 100 : plain);
            length = length < plain - offset ? length : plain - offset;
            assert_int_equal(get(p, &k, bytes, offset, length), 0);
        }
        free(k.stored);
    }
    packers_free(p);
}

static void what_does_not_compress_stays_as_it_is(void **state)
{
    static const uint32_t sizes[] = {1, 7, 100, 65536, 65537, MIB, 8 * MIB};
    struct packers *p = packers_new();

    (void)state;
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct packed k;
        assert_false(make(p, i, sizes[i], PACK_SHIFT, &k));
        assert_int_equal(world_compare(i, 0, k.stored, sizes[i]), sizes[i]);
        free(k.stored);
    }
    packers_free(p);
}

/* A head of another kind does not deceive; blocks that do not pay are as long
 * as they are plain. */
static void a_hard_head_is_followed_by_soft_bytes(void **state)
{
    struct packers *p = packers_new();
    uint32_t blocks[PACK_BLOCKS_MAX], plain = 3 * MIB, packed;
    uint8_t *data = calloc(1, plain);
    uint8_t *out = malloc(plain);

    (void)state;
    world_fill(1, 0, data, MIB);
    packed = pack_chunk(p, data, plain, PACK_SHIFT_MAX, blocks);
    assert_in_range(packed, MIB, MIB + 1000);
    assert_int_equal(blocks[0], MIB);
    assert_true(blocks[1] < 1000 && blocks[2] < 1000);
    assert_int_equal(
        pack_read(p, &(struct pack_shape){plain, PACK_SHIFT_MAX, blocks}, 0,
                  plain, data, out, NULL),
        0);
    assert_int_equal(world_compare(1, 0, out, MIB), MIB);
    for (uint32_t i = MIB; i < plain; i++) {
        assert_int_equal(out[i], 0);
    }
    free(data);
    free(out);
    packers_free(p);
}

static void a_changed_byte_is_refused(void **state)
{
    struct packers *p = packers_new();
    struct packed k;
    uint32_t plain = 300000;
    unsigned refused = 0;

    (void)state;
    assert_true(make(p, WORLD_SOFT, plain, PACK_SHIFT_MIN, &k));
    for (uint32_t at = 0; at < k.bytes; at += at < 200 ? 1 : 997) {
        uint8_t was = k.stored[at];
        int rc;
        k.stored[at] ^= (uint8_t)(1 + at % 255);
        rc = get(p, &k, WORLD_SOFT, 0, plain);
        assert_true(rc == 0 || rc == ERR_CORRUPT);
        refused += rc == ERR_CORRUPT;
        k.stored[at] = was;
    }
    assert_true(refused > 200);
    assert_int_equal(get(p, &k, WORLD_SOFT, 0, plain), 0);
    free(k.stored);
    packers_free(p);
}

static void shapes_that_cannot_be_are_refused(void **state)
{
    uint32_t blocks[] = {1000, 65536, 100};
    const uint32_t plain = 2 * 65536 + 500, stored = 66636;

    (void)state;
    assert_null(pack_judge(&(struct pack_shape){plain, 16, blocks}, stored));
    assert_non_null(
        pack_judge(&(struct pack_shape){plain, 15, blocks}, stored));
    assert_non_null(
        pack_judge(&(struct pack_shape){plain, 21, blocks}, stored));
    assert_non_null(
        pack_judge(&(struct pack_shape){plain, 16, blocks}, stored + 1));
    assert_non_null(
        pack_judge(&(struct pack_shape){stored, 16, blocks}, stored));
    assert_non_null(pack_judge(
        &(struct pack_shape){GEOMETRY_CHUNK_MAX + 1, 16, blocks}, stored));
    blocks[2] = 501;
    assert_non_null(pack_judge(&(struct pack_shape){plain, 16, blocks}, 67037));
    blocks[2] = 0;
    assert_non_null(pack_judge(&(struct pack_shape){plain, 16, blocks}, 66536));
}

/* ---- runs ---- */

static int setup(void **state)
{
    struct world *w = world_new((struct ec_policy){.k = 4, .m = 2});

    w->how.compress = true;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_free(*state);
    return 0;
}

static uint64_t stored_bytes(const struct buf *manifest, uint64_t *plain)
{
    struct manifest m;
    uint64_t sum = 0;

    assert_int_equal(manifest_decode(manifest->data, manifest->len, &m, NULL),
                     0);
    for (uint32_t i = 0; i < m.count; i++) {
        sum += m.chunks[i].bytes;
    }
    *plain = manifest_bytes(&m);
    manifest_free(&m);
    return sum;
}

static void ranges_of_packed_runs_are_what_was_put(void **state)
{
    static const uint32_t lost[] = {0, 0x01, 0x24};
    struct world *w = *state;
    uint64_t seed = 11;

    world_open(w, 0);
    for (unsigned i = 0; i < 9; i++) {
        struct buf manifest = {0};
        uint64_t size = 1 + random_below(&seed, i % 3 ? 6 * MIB : 200 * KIB);
        uint32_t chunk = (uint32_t)(64 * KIB + random_below(&seed, 3 * MIB));
        uint64_t bytes = i + (i % 4 != 3 ? WORLD_SOFT : 0), plain;
        world_reopen(w, 0);
        assert_int_equal(world_put(w, bytes, size, chunk, &manifest, NULL), 0);
        assert_true(stored_bytes(&manifest, &plain) <=
                    (i % 4 != 3 && size > 4096 ? size * 7 / 8 : size));
        assert_int_equal(plain, size);
        world_reopen(w, lost[i % 3]);
        for (unsigned n = 0; n < 40; n++) {
            uint64_t offset = random_below(&seed, size);
            uint64_t left = size - offset;
            uint64_t length = 1 + random_below(&seed, n % 2 ? 5000 : left);
            size_t window = 1 + random_below(&seed, 700000);
            length = length < left ? length : left;
            window = length / window > 50 ? length / 50 : window;
            assert_int_equal(
                world_get(w, &manifest, bytes, offset, length, window, NULL),
                0);
        }
        buf_free(&manifest);
    }
    world_close(w);
}

static void count_defect(void *arg, enum object_defect defect,
                         const struct shard_key *key, uint16_t drive,
                         const char *why)
{
    (void)defect;
    (void)key;
    (void)drive;
    (void)why;
    ++*(unsigned *)arg;
}

static uint64_t verify(struct world *w, const struct buf *manifest, bool repair)
{
    unsigned told = 0;
    uint64_t found = object_verify(w->objects, manifest->data, manifest->len,
                                   repair, count_defect, &told);

    assert_int_equal(found, told);
    return found;
}

static void a_damaged_packed_shard_is_read_around_and_rebuilt(void **state)
{
    struct world *w = *state;
    struct buf manifest = {0};
    struct manifest m;
    uint64_t seed = WORLD_SOFT + 3;

    world_open(w, 0);
    assert_int_equal(world_put(w, seed, 4 * MIB, 2 * MIB, &manifest, NULL), 0);
    assert_int_equal(manifest_decode(manifest.data, manifest.len, &m, NULL), 0);
    assert_true(m.shift > 0 && m.count == 2);
    for (unsigned slot = 0; slot < 6; slot++) {
        world_damage(w, world_drive_of(w, &m, slot),
                     manifest_shard(&m, 0, slot), 5000);
        assert_int_equal(world_get_all(w, &manifest, seed, NULL), 0);
        if (slot % 2 == 1) {
            verify(w, &manifest, true);
            assert_int_equal(verify(w, &manifest, false), 0);
        }
    }
    assert_int_equal(world_get_all(w, &manifest, seed, NULL), 0);
    assert_int_equal(
        object_delete(w->objects, manifest.data, manifest.len, NULL), 0);
    assert_int_equal(world_shards(w), 0);
    manifest_free(&m);
    buf_free(&manifest);
    world_close(w);
}

/* What is stored is damaged, and every checksum of it is right: the block's
 * own tells. */
static void a_block_that_was_stored_wrong_is_an_error(void **state)
{
    struct world *w = *state;
    struct buf manifest = {0};
    struct err err = {{0}};
    uint64_t seed = WORLD_SOFT + 4;
    struct manifest m;

    world_open(w, 0);
    assert_int_equal(world_put(w, seed, 900 * KIB, 2 * MIB, &manifest, NULL),
                     0);
    assert_int_equal(manifest_decode(manifest.data, manifest.len, &m, NULL), 0);
    m.blocks[0]--; /* blocks begin where none does */
    m.blocks[1]++;
    manifest.len = 0;
    manifest_encode(&m, &manifest);
    assert_int_equal(world_get_all(w, &manifest, seed, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "packed block"));
    manifest_free(&m);
    buf_free(&manifest);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_range_is_what_was_put),
        cmocka_unit_test(what_does_not_compress_stays_as_it_is),
        cmocka_unit_test(a_hard_head_is_followed_by_soft_bytes),
        cmocka_unit_test(a_changed_byte_is_refused),
        cmocka_unit_test(shapes_that_cannot_be_are_refused),
        cmocka_unit_test_setup_teardown(ranges_of_packed_runs_are_what_was_put,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_damaged_packed_shard_is_read_around_and_rebuilt, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_block_that_was_stored_wrong_is_an_error, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
