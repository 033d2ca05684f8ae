/* Goal: local reconstruction codes decode all that a code of their shape can,
 * and read no more than they must.
 * Method: exhaustion. For 6+2+2 and 12+2+2 every one of the 2^n sets of shards
 * is ranked with a field of our own and held against the plan; for every other
 * policy all losses of g+1 and g+2. For 6+2+2 the plan of every (have, want) is
 * held against the smallest set of all that span it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "erasure/geometry.h"
#include "erasure/lrc.h"

static uint8_t products[256][256], inverses[256];

/* The field modulo x^8 + x^4 + x^3 + x^2 + 1. */
static int make_field(void **state)
{
    (void)state;
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            unsigned product = 0;
            for (int i = 0; i < 8; i++) {
                product ^= b >> i & 1 ? a << i : 0;
            }
            for (int i = 14; i >= 8; i--) {
                product ^= product >> i & 1 ? 0x11du << (i - 8) : 0;
            }
            products[a][b] = (uint8_t)product;
            if (product == 1) {
                inverses[a] = (uint8_t)b;
            }
        }
    }
    return 0;
}

struct code {
    unsigned k, l, g, n;
    uint8_t rows[GEOMETRY_SLOTS_MAX * GEOMETRY_K_MAX];
};

static struct code code_of(unsigned k, unsigned l, unsigned g)
{
    struct code c = {.k = k, .l = l, .g = g, .n = k + l + g};

    lrc_matrix(k, l, g, c.rows);
    return c;
}

/* Rows of shards made to stairs one by one: how many are independent. */
struct stairs {
    unsigned rank;
    uint8_t row[GEOMETRY_K_MAX][GEOMETRY_K_MAX]; /* by column of the lead */
    bool leads[GEOMETRY_K_MAX];
};

/* Whether the shard is new to @s; it is taken in when @add. */
static bool climb(const struct code *c, struct stairs *s, unsigned shard,
                  bool add)
{
    uint8_t v[GEOMETRY_K_MAX];

    memcpy(v, c->rows + shard * c->k, c->k);
    for (unsigned col = 0; col < c->k; col++) {
        uint8_t by = v[col];
        if (by == 0) {
            continue;
        }
        if (!s->leads[col]) {
            for (unsigned i = col; add && i < c->k; i++) {
                s->row[col][i] = products[v[i]][inverses[by]];
            }
            s->leads[col] = s->leads[col] || add;
            s->rank += add;
            return true;
        }
        for (unsigned i = col; i < c->k; i++) {
            v[i] ^= products[by][s->row[col][i]];
        }
    }
    return false;
}

static void climb_all(const struct code *c, struct stairs *s, uint32_t have)
{
    memset(s, 0, sizeof *s);
    for (; have != 0; have &= have - 1) {
        climb(c, s, (unsigned)__builtin_ctz(have), true);
    }
}

static bool decodes(const struct code *c, uint32_t have)
{
    struct stairs s;

    climb_all(c, &s, have);
    return s.rank == c->k;
}

/* Whether a plan for all that is lost is given. */
static bool planned(const struct code *c, uint32_t have)
{
    uint32_t all = (1u << c->n) - 1;
    struct lrc_plan plan;
    int rc = lrc_plan(c->k, c->l, c->g, have, all & ~have, &plan, NULL);

    if (rc == 0) {
        assert_int_equal(plan.read & ~have, 0);
        assert_int_equal(plan.reads, __builtin_popcount(plan.read));
        if (!plan.local && have != all) {
            assert_int_equal(plan.reads, c->k);
            assert_true(decodes(c, plan.read));
        }
        return true;
    }
    assert_int_equal(rc, ERR_UNAVAILABLE);
    return false;
}

/* No code of this shape decodes more: after each group mended one loss by its
 * parity there are no more left than global shards. */
static bool could_decode(const struct code *c, uint32_t have)
{
    unsigned excess = 0;

    for (unsigned j = 0; j < c->l; j++) {
        uint32_t lost = lrc_group(c->k, c->l, c->k + j) & ~have;
        unsigned count = (unsigned)__builtin_popcount(lost);
        excess += count > 0 ? count - 1 : 0;
    }
    return excess <= (unsigned)__builtin_popcount(have >> (c->k + c->l));
}

static void coefficients_are_powers_in_sixteenths_of_the_field(void **state)
{
    static const uint8_t globals[2][6] = {
        /* 2^0 2^17 2^34, 2^1 2^18 2^35, and their squares */
        {0x01, 0x98, 0x4e, 0x02, 0x2d, 0x9c},
        {0x01, 0x4e, 0x99, 0x04, 0x25, 0x5e},
    };
    static const uint8_t locals[2][6] = {{1, 1, 1, 0, 0, 0},
                                         {0, 0, 0, 1, 1, 1}};
    struct code c = code_of(6, 2, 2);

    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        for (unsigned j = 0; j < 6; j++) {
            assert_int_equal(c.rows[i * 6 + j], i == j);
        }
    }
    assert_memory_equal(c.rows + 36, locals, 12);
    assert_memory_equal(c.rows + 48, globals, 12);
}

static void groups_are_runs_of_data_with_their_parity(void **state)
{
    (void)state;
    assert_int_equal(lrc_group(6, 2, 0), 0x047);
    assert_int_equal(lrc_group(6, 2, 5), 0x0b8);
    assert_int_equal(lrc_group(6, 2, 6), 0x047);
    assert_int_equal(lrc_group(6, 2, 7), 0x0b8);
    assert_int_equal(lrc_group(6, 2, 8), 0);
    assert_int_equal(lrc_group(6, 2, 9), 0);
    assert_int_equal(lrc_group(4, 0, 1), 0);
}

static void every_pattern_of_6_2_2_and_12_2_2_decodes_if_any_code_does(
    void **state)
{
    static const struct {
        unsigned k, lost;
        unsigned patterns, decoded;
    } shares[] = {{6, 3, 120, 120},
                  {6, 4, 210, 180},
                  {12, 3, 560, 560},
                  {12, 4, 1820, 1568}};

    (void)state;
    for (unsigned k = 6; k <= 12; k += 6) {
        struct code c = code_of(k, 2, 2);
        unsigned patterns[GEOMETRY_SLOTS_MAX + 1] = {0};
        unsigned decoded[GEOMETRY_SLOTS_MAX + 1] = {0};
        for (uint32_t have = 0; have < 1u << c.n; have++) {
            unsigned lost = c.n - (unsigned)__builtin_popcount(have);
            bool can =
                (unsigned)__builtin_popcount(have) >= k && decodes(&c, have);
            patterns[lost]++;
            decoded[lost] += can;
            assert_int_equal(can, could_decode(&c, have));
            /* A plan may also mend local losses alone. */
            assert_int_equal(can, planned(&c, have));
            assert_int_equal(can, lrc_decodes(k, 2, 2, have));
        }
        for (unsigned lost = 3; lost <= 4; lost++) {
            print_message(
                "%u+2+2: %u of %u patterns of %u losses decode "
                "(%.1f%%)\n",
                k, decoded[lost], patterns[lost], lost,
                100.0 * decoded[lost] / patterns[lost]);
        }
        for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
            if (shares[i].k == k) {
                assert_int_equal(patterns[shares[i].lost], shares[i].patterns);
                assert_int_equal(decoded[shares[i].lost], shares[i].decoded);
            }
        }
    }
}

static void every_policy_survives_any_g_plus_1_losses(void **state)
{
    unsigned policies = 0;

    (void)state;
    for (unsigned k = 4; k <= GEOMETRY_K_MAX; k++) {
        for (unsigned l = 2; l < GEOMETRY_M_MAX; l++) {
            for (unsigned g = 1; g <= GEOMETRY_GLOBALS_MAX; g++) {
                struct ec_policy p = {(uint8_t)k, (uint8_t)(l + g), (uint8_t)l};
                struct code c;
                uint32_t all;
                if (!ec_policy_is_valid(p)) {
                    continue;
                }
                policies++;
                c = code_of(k, l, g);
                all = (1u << c.n) - 1;
                /* Gosper: the next number with as many bits. */
                for (unsigned lost = g + 1; lost <= g + 2; lost++) {
                    uint32_t m = (1u << lost) - 1;
                    while (m <= all) {
                        uint32_t low = m & -m, up = m + low;
                        bool can = decodes(&c, all & ~m);
                        assert_int_equal(can, planned(&c, all & ~m));
                        assert_int_equal(can, could_decode(&c, all & ~m));
                        assert_true(can || lost > g + 1);
                        m = ((m ^ up) >> 2) / low | up;
                    }
                }
            }
        }
    }
    assert_true(policies > 20);
}

/* smallest[have]: shards of the smallest part of have that gives all of want.
 */
static void find_smallest(const uint32_t *spans, unsigned n, uint32_t want,
                          uint8_t *smallest)
{
    for (uint32_t have = 0; have < 1u << n; have++) {
        smallest[have] = (want & ~spans[have]) == 0
                             ? (uint8_t)__builtin_popcount(have)
                             : 255;
        for (uint32_t rest = have; rest != 0; rest &= rest - 1) {
            uint8_t less = smallest[have & ~(rest & -rest)];
            smallest[have] = less < smallest[have] ? less : smallest[have];
        }
    }
}

static void a_plan_reads_no_more_than_it_must(void **state)
{
    static const unsigned codes[][3] = {{6, 2, 2}, {4, 2, 1}, {6, 3, 1}};
    static uint32_t spans[1u << 10];
    static uint8_t smallest[1u << 10];

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct code c = code_of(codes[i][0], codes[i][1], codes[i][2]);
        for (uint32_t have = 0; have < 1u << c.n; have++) {
            struct stairs s;
            climb_all(&c, &s, have);
            spans[have] = 0;
            for (unsigned shard = 0; shard < c.n; shard++) {
                spans[have] |= climb(&c, &s, shard, false) ? 0 : 1u << shard;
            }
        }
        for (uint32_t want = 1; want < 1u << c.n; want++) {
            find_smallest(spans, c.n, want, smallest);
            for (uint32_t have = 0; have < 1u << c.n; have++) {
                struct lrc_plan plan;
                int rc;
                if ((have & want) != 0) {
                    continue;
                }
                rc = lrc_plan(c.k, c.l, c.g, have, want, &plan, NULL);
                assert_int_equal(rc == 0, smallest[have] != 255);
                if (rc == 0) {
                    assert_int_equal(plan.reads, smallest[have]);
                    assert_int_equal(plan.read & ~have, 0);
                    assert_int_equal(want & ~spans[plan.read], 0);
                }
            }
        }
    }
}

static void a_single_loss_reads_its_group(void **state)
{
    struct lrc_plan plan;

    (void)state;
    assert_int_equal(lrc_plan(12, 2, 2, 0xfffe, 1, &plan, NULL), 0);
    assert_true(plan.local);
    assert_int_equal(plan.reads, 6);
    assert_int_equal(plan.read, 0x103e);
    /* One in each group. */
    assert_int_equal(lrc_plan(12, 2, 2, 0xf7fe, 0x801, &plan, NULL), 0);
    assert_true(plan.local);
    assert_int_equal(plan.reads, 12);
    /* Two in one group. */
    assert_int_equal(lrc_plan(12, 2, 2, 0xfffc, 1, &plan, NULL), 0);
    assert_false(plan.local);
    assert_int_equal(plan.reads, 12);
    /* Nothing wanted. */
    assert_int_equal(lrc_plan(12, 2, 2, 0, 0, &plan, NULL), 0);
    assert_int_equal(plan.reads, 0);
}

static void without_groups_any_k_are_read_and_data_first(void **state)
{
    struct lrc_plan plan;
    struct err err;

    (void)state;
    assert_int_equal(lrc_plan(4, 0, 2, 0x3d, 0x02, &plan, NULL), 0);
    assert_int_equal(plan.read, 0x1d);
    assert_false(plan.local);
    assert_int_equal(lrc_plan(4, 0, 2, 0x07, 0x08, &plan, &err),
                     ERR_UNAVAILABLE);
    assert_string_equal(err.text, "3 shards are left of the 4 that are needed");
    assert_true(lrc_decodes(4, 0, 2, 0x3c));
    assert_false(lrc_decodes(4, 0, 2, 0x38));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(coefficients_are_powers_in_sixteenths_of_the_field),
        cmocka_unit_test(groups_are_runs_of_data_with_their_parity),
        cmocka_unit_test(
            every_pattern_of_6_2_2_and_12_2_2_decodes_if_any_code_does),
        cmocka_unit_test(every_policy_survives_any_g_plus_1_losses),
        cmocka_unit_test(a_plan_reads_no_more_than_it_must),
        cmocka_unit_test(a_single_loss_reads_its_group),
        cmocka_unit_test(without_groups_any_k_are_read_and_data_first),
    };

    return cmocka_run_group_tests(tests, make_field, NULL);
}
