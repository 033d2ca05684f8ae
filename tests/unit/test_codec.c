/* Goal: any k of k+m shards give back the rest, for every policy.
 * Method: random data; every pattern of at most m losses for small policies,
 * random patterns for all; lengths that are not multiples of anything. Parity
 * is compared with a slow model made from the field's definition, so that what
 * is on disks today can be read tomorrow. Of codes with local groups (which
 * patterns decode: test_lrc.c) that bytes come back, and from which shards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "erasure/codec.h"

#define LEN 1237

struct shards {
    uint8_t bytes[GEOMETRY_SLOTS_MAX][LEN];
    uint8_t *p[GEOMETRY_SLOTS_MAX];
};

static uint32_t seed = 12345;

static uint32_t next_random(void)
{
    seed = seed * 1664525 + 1013904223;
    return seed >> 8;
}

static void fill(struct shards *s, unsigned k, unsigned m)
{
    const uint8_t *data[GEOMETRY_K_MAX];

    for (unsigned i = 0; i < k + m; i++) {
        s->p[i] = s->bytes[i];
    }
    for (unsigned i = 0; i < k; i++) {
        data[i] = s->p[i];
        for (size_t b = 0; b < LEN; b++) {
            s->bytes[i][b] = (uint8_t)next_random();
        }
    }
    codec_encode(codec_get(k, m), LEN, data, s->p + k);
}

static void check_loss(struct shards *s, unsigned k, unsigned m, uint32_t lost)
{
    static struct shards copy;
    uint32_t all = (1u << (k + m)) - 1;
    struct err err;

    memcpy(&copy, s, sizeof copy);
    for (unsigned i = 0; i < k + m; i++) {
        copy.p[i] = copy.bytes[i];
        if (lost >> i & 1) {
            memset(copy.bytes[i], 0xee, LEN);
        }
    }
    assert_int_equal(
        codec_rebuild(codec_get(k, m), LEN, copy.p, all & ~lost, lost, &err),
        0);
    for (unsigned i = 0; i < k + m; i++) {
        assert_memory_equal(copy.bytes[i], s->bytes[i], LEN);
    }
}

static void every_loss_of_4_2_and_6_3_is_rebuilt(void **state)
{
    static const unsigned policies[][2] = {{4, 2}, {6, 3}, {2, 2}, {1, 2}};
    static struct shards s;

    (void)state;
    for (size_t p = 0; p < 4; p++) {
        unsigned k = policies[p][0], m = policies[p][1];
        fill(&s, k, m);
        for (uint32_t lost = 0; lost < 1u << (k + m); lost++) {
            if ((unsigned)__builtin_popcount(lost) <= m) {
                check_loss(&s, k, m, lost);
            }
        }
    }
}

static void losses_at_random_of_every_policy_are_rebuilt(void **state)
{
    static struct shards s;

    (void)state;
    for (unsigned k = 1; k <= GEOMETRY_K_MAX; k++) {
        for (unsigned m = 0; m <= GEOMETRY_M_MAX; m++) {
            fill(&s, k, m);
            for (unsigned round = 0; round < 10; round++) {
                uint32_t lost = 0;
                for (unsigned i = 0; i < m; i++) {
                    lost |= 1u << next_random() % (k + m);
                }
                check_loss(&s, k, m, lost);
            }
        }
    }
}

/* The field of isa-l: modulo x^8 + x^4 + x^3 + x^2 + 1. */
static uint8_t slow_mul(uint8_t a, uint8_t b)
{
    unsigned product = 0;

    for (int i = 0; i < 8; i++) {
        product ^= b >> i & 1 ? (unsigned)a << i : 0;
    }
    for (int i = 14; i >= 8; i--) {
        product ^= product >> i & 1 ? 0x11du << (i - 8) : 0;
    }
    return (uint8_t)product;
}

static uint8_t slow_inverse(uint8_t a)
{
    uint8_t b = 1;

    while (slow_mul(a, b) != 1) {
        b++;
    }
    return b;
}

/* Row i >= k, column j of the matrix is 1 / (i xor j). */
static void parity_is_what_the_field_says(void **state)
{
    static const unsigned policies[][2] = {{2, 1}, {4, 2}, {12, 4}, {16, 6}};
    static struct shards s;

    (void)state;
    for (size_t p = 0; p < 4; p++) {
        unsigned k = policies[p][0], m = policies[p][1];
        fill(&s, k, m);
        for (unsigned i = k; i < k + m; i++) {
            for (size_t b = 0; b < LEN; b += 13) {
                uint8_t sum = 0;
                for (unsigned j = 0; j < k; j++) {
                    sum ^=
                        slow_mul(slow_inverse((uint8_t)(i ^ j)), s.bytes[j][b]);
                }
                assert_int_equal(s.bytes[i][b], sum);
            }
        }
    }
}

static void only_what_is_wanted_is_written(void **state)
{
    static struct shards s, before;
    uint8_t *p[6];

    (void)state;
    fill(&s, 4, 2);
    memcpy(before.bytes, s.bytes, sizeof s.bytes);
    memcpy(p, s.p, sizeof p);
    memset(s.bytes[1], 0, LEN);
    p[3] = NULL; /* lost, and not wanted */
    assert_int_equal(codec_rebuild(codec_get(4, 2), LEN, p, 0x35, 0x02, NULL),
                     0);
    assert_memory_equal(s.bytes, before.bytes, sizeof s.bytes);
    assert_int_equal(codec_rebuild(codec_get(4, 2), LEN, p, 0x37, 0, NULL), 0);
    assert_memory_equal(s.bytes, before.bytes, sizeof s.bytes);
}

static void more_than_m_lost_is_refused(void **state)
{
    static struct shards s;
    struct err err;

    (void)state;
    fill(&s, 4, 2);
    assert_int_equal(codec_rebuild(codec_get(4, 2), LEN, s.p, 0x07, 0x38, &err),
                     ERR_UNAVAILABLE);
    assert_string_equal(err.text, "3 shards are left of the 4 that are needed");
    assert_int_equal(codec_rebuild(codec_get(1, 2), LEN, s.p, 0, 7, &err),
                     ERR_UNAVAILABLE);
}

static void one_piece_makes_copies(void **state)
{
    static struct shards s;

    (void)state;
    fill(&s, 1, 3);
    for (int i = 1; i < 4; i++) {
        assert_memory_equal(s.bytes[i], s.bytes[0], LEN);
    }
}

static void long_shards_are_coded_slice_by_slice_alike(void **state)
{
    size_t len = 700001;
    uint8_t *shards[6], *lost = malloc(len);
    const uint8_t *data[4];

    (void)state;
    for (int i = 0; i < 6; i++) {
        shards[i] = malloc(len);
        for (size_t b = 0; b < len; b++) {
            shards[i][b] = (uint8_t)next_random();
        }
    }
    for (int i = 0; i < 4; i++) {
        data[i] = shards[i];
    }
    codec_encode(codec_get(4, 2), len, data, shards + 4);
    memcpy(lost, shards[2], len);
    memset(shards[2], 0, len);
    assert_int_equal(codec_rebuild(codec_get(4, 2), len, shards, 0x3b, 4, NULL),
                     0);
    assert_memory_equal(lost, shards[2], len);
    for (int i = 0; i < 6; i++) {
        free(shards[i]);
    }
    free(lost);
}

static void fill_local(struct shards *s, unsigned k, unsigned l, unsigned g)
{
    const uint8_t *data[GEOMETRY_K_MAX];

    fill(s, k, 0);
    for (unsigned i = 0; i < k + l + g; i++) {
        s->p[i] = s->bytes[i];
        data[i < k ? i : 0] = s->bytes[i < k ? i : 0];
    }
    codec_encode(codec_get_local(k, l, g), LEN, data, s->p + k);
}

/* Rebuild what is lost from no more than the plan names. */
static bool check_local_loss(const struct shards *s, const struct codec *c,
                             unsigned n, uint32_t lost)
{
    static struct shards copy;
    uint32_t have = ((1u << n) - 1) & ~lost, read = 0;
    int rc;

    memcpy(&copy, s, sizeof copy);
    rc = codec_plan(c, have, lost, &read, NULL);
    for (unsigned i = 0; i < n; i++) {
        copy.p[i] = copy.bytes[i];
        if (lost >> i & 1) {
            memset(copy.bytes[i], 0xee, LEN);
        } else if (!(read >> i & 1)) {
            copy.p[i] = NULL;
        }
    }
    assert_int_equal(codec_rebuild(c, LEN, copy.p, have, lost, NULL), rc);
    if (rc != 0) {
        assert_int_equal(rc, ERR_UNAVAILABLE);
        return false;
    }
    assert_memory_equal(copy.bytes, s->bytes, n * sizeof s->bytes[0]);
    return true;
}

static void every_loss_of_6_2_2_that_can_be_is_rebuilt(void **state)
{
    const struct codec *c = codec_get_local(6, 2, 2);
    static struct shards s;
    unsigned rebuilt = 0;

    (void)state;
    fill_local(&s, 6, 2, 2);
    for (uint32_t lost = 0; lost < 1u << 10; lost++) {
        bool ok = check_local_loss(&s, c, 10, lost);
        assert_true(ok || __builtin_popcount(lost) > 3);
        rebuilt += ok;
    }
    assert_int_equal(rebuilt, 1 + 10 + 45 + 120 + 180);
}

static void losses_at_random_of_every_local_policy_are_rebuilt(void **state)
{
    static struct shards s;
    unsigned policies = 0;

    (void)state;
    for (unsigned k = 4; k <= GEOMETRY_K_MAX; k++) {
        for (unsigned l = 2; l < GEOMETRY_M_MAX; l++) {
            for (unsigned g = 1; g <= GEOMETRY_GLOBALS_MAX; g++) {
                struct ec_policy p = {(uint8_t)k, (uint8_t)(l + g), (uint8_t)l};
                if (!ec_policy_is_valid(p)) {
                    continue;
                }
                policies++;
                fill_local(&s, k, l, g);
                for (unsigned round = 0; round < 20; round++) {
                    uint32_t lost = 0;
                    for (unsigned i = 0; i < g + 1; i++) {
                        lost |= 1u << next_random() % (k + l + g);
                    }
                    assert_true(check_local_loss(&s, codec_get_local(k, l, g),
                                                 k + l + g, lost));
                }
            }
        }
    }
    assert_true(policies > 20);
}

/* Coefficient of data i in group j: 2 to the power j + 17 i, and its square. */
static void local_parity_is_what_the_field_says(void **state)
{
    static struct shards s;

    (void)state;
    fill_local(&s, 12, 2, 2);
    for (size_t b = 0; b < LEN; b += 7) {
        uint8_t local[2] = {0}, global[2] = {0};
        for (unsigned i = 0; i < 12; i++) {
            uint8_t coefficient = 1;
            for (unsigned e = 0; e < i / 6 + 17 * (i % 6); e++) {
                coefficient = slow_mul(coefficient, 2);
            }
            local[i / 6] ^= s.bytes[i][b];
            global[0] ^= slow_mul(coefficient, s.bytes[i][b]);
            global[1] ^=
                slow_mul(slow_mul(coefficient, coefficient), s.bytes[i][b]);
        }
        assert_int_equal(s.bytes[12][b], local[0]);
        assert_int_equal(s.bytes[13][b], local[1]);
        assert_int_equal(s.bytes[14][b], global[0]);
        assert_int_equal(s.bytes[15][b], global[1]);
    }
}

/* xor_gen wants its pointers at 32 bytes; ours may stand anywhere. */
static void local_groups_of_any_alignment_and_length_are_coded_alike(
    void **state)
{
    enum { BYTES = 100000 };
    static uint8_t space[2][10][BYTES + 64] __attribute__((aligned(64)));
    static const size_t lengths[] = {1, 31, 32, 33, 4096, 65537, BYTES};
    const struct codec *c = codec_get_local(6, 2, 2);

    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        uint8_t *even[10], *odd[10];
        size_t len = lengths[i];
        for (unsigned shard = 0; shard < 10; shard++) {
            even[shard] = space[0][shard];
            odd[shard] = space[1][shard] + 1 + 3 * shard;
            for (size_t b = 0; b < len && shard < 6; b++) {
                even[shard][b] = odd[shard][b] = (uint8_t)next_random();
            }
        }
        codec_encode(c, len, (const uint8_t *const *)even, even + 6);
        codec_encode(c, len, (const uint8_t *const *)odd, odd + 6);
        for (unsigned shard = 6; shard < 10; shard++) {
            assert_memory_equal(even[shard], odd[shard], len);
        }
        for (unsigned shard = 0; shard < 10; shard++) {
            memset(odd[shard], 0xee, len);
            assert_int_equal(codec_rebuild(c, len, odd, 0x3ff & ~(1u << shard),
                                           1u << shard, NULL),
                             0);
            assert_memory_equal(even[shard], odd[shard], len);
        }
    }
}

static void a_shape_gives_its_codec(void **state)
{
    struct ec_policy local = {6, 4, 2};
    struct chunk_shape full = geometry_shape(local, GEOMETRY_CHUNK_MAX);
    struct chunk_shape brief = geometry_shape(local, 5 * GEOMETRY_CELL);
    struct chunk_shape plain =
        geometry_shape((struct ec_policy){.k = 4, .m = 2}, GEOMETRY_CHUNK_MAX);

    (void)state;
    assert_ptr_equal(codec_of(&full), codec_get_local(6, 2, 2));
    assert_ptr_equal(codec_of(&brief), codec_get(5, 4));
    assert_ptr_equal(codec_of(&plain), codec_get(4, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_loss_of_4_2_and_6_3_is_rebuilt),
        cmocka_unit_test(losses_at_random_of_every_policy_are_rebuilt),
        cmocka_unit_test(parity_is_what_the_field_says),
        cmocka_unit_test(only_what_is_wanted_is_written),
        cmocka_unit_test(more_than_m_lost_is_refused),
        cmocka_unit_test(one_piece_makes_copies),
        cmocka_unit_test(long_shards_are_coded_slice_by_slice_alike),
        cmocka_unit_test(every_loss_of_6_2_2_that_can_be_is_rebuilt),
        cmocka_unit_test(losses_at_random_of_every_local_policy_are_rebuilt),
        cmocka_unit_test(local_parity_is_what_the_field_says),
        cmocka_unit_test(
            local_groups_of_any_alignment_and_length_are_coded_alike),
        cmocka_unit_test(a_shape_gives_its_codec),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
