/* Goal: the shapes of chunks, their bounds, and that pieces cover the chunk.
 * Method: every policy against lengths around each border.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "erasure/geometry.h"
#include "erasure/lrc.h"

static void a_chunk_of_one_cell_takes_one_piece_and_m_copies(void **state)
{
    struct chunk_shape s =
        geometry_shape((struct ec_policy){.k = 4, .m = 2}, 65536);

    (void)state;
    assert_int_equal(s.pieces, 1);
    assert_int_equal(s.piece_bytes, 65536);
    assert_int_equal(geometry_shard_bytes(&s, 0), 65536);
    assert_int_equal(geometry_shard_bytes(&s, 1), 0);
    assert_int_equal(geometry_shard_bytes(&s, 4), 65536);
    assert_int_equal(geometry_shard_bytes(&s, 5), 65536);
    assert_int_equal(geometry_write_quorum(&s), 2);
}

static void a_byte_more_takes_two_pieces_of_whole_pages(void **state)
{
    struct chunk_shape s =
        geometry_shape((struct ec_policy){.k = 4, .m = 2}, 65537);

    (void)state;
    assert_int_equal(s.pieces, 2);
    assert_int_equal(s.piece_bytes, 36864);
    assert_int_equal(geometry_shard_bytes(&s, 1), 65537 - 36864);
    assert_int_equal(geometry_shard_bytes(&s, 4), 36864);
}

static void pieces_cover_the_chunk_and_none_is_empty(void **state)
{
    (void)state;
    for (uint8_t k = 1; k <= GEOMETRY_K_MAX; k++) {
        for (uint32_t cells = 0; cells <= 128; cells++) {
            for (int delta = -1; delta <= 1; delta++) {
                int64_t n = (int64_t)cells * GEOMETRY_CELL + delta;
                struct chunk_shape s;
                uint64_t sum = 0;
                if (n < 1 || n > GEOMETRY_CHUNK_MAX) {
                    continue;
                }
                s = geometry_shape((struct ec_policy){.k = k, .m = 3},
                                   (uint32_t)n);
                assert_in_range(s.pieces, 1, k);
                for (unsigned i = 0; i < s.pieces; i++) {
                    uint32_t bytes = geometry_shard_bytes(&s, i);
                    assert_in_range(bytes, 1, s.piece_bytes);
                    sum += bytes;
                }
                assert_int_equal(sum, n);
                if (s.pieces > 1) {
                    assert_int_equal(s.piece_bytes % MEM_PAGE, 0);
                }
                assert_true(geometry_buffer_bytes(&s) >=
                            (size_t)(s.pieces + 3) * s.piece_bytes);
            }
        }
    }
}

static void a_policy_is_parsed_and_its_bounds_named(void **state)
{
    static const char *const bad[] = {"",     "4",    "+2",   "4+",
                                      "0+2",  "17+2", "4+7",  "4+3+1",
                                      "4 +2", "-4+2", "4+2x", "99999999999+1"};
    struct ec_policy p = {.k = 9, .m = 9};
    struct err err;

    (void)state;
    assert_int_equal(ec_policy_parse("4+2", &p, NULL), 0);
    assert_int_equal(p.k, 4);
    assert_int_equal(p.m, 2);
    assert_int_equal(ec_policy_parse("16+6", &p, NULL), 0);
    assert_int_equal(ec_policy_parse("1+0", &p, NULL), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(ec_policy_parse(bad[i], &p, &err), ERR_BAD_INPUT);
    }
    assert_int_equal(p.k, 1);
    ec_policy_parse("17+2", &p, &err);
    assert_string_equal(err.text, "17+2: K must be 1 to 16");
}

static void a_policy_with_local_groups_is_parsed_and_its_bounds_named(
    void **state)
{
    static const struct {
        const char *text;
        const char *why;
    } bad[] = {
        {"6+4+2",
         "6+4+2: L must be 2 or more groups that divide K evenly, of "
         "2 or more"},
        {"6+1+2",
         "6+1+2: L must be 2 or more groups that divide K evenly, of "
         "2 or more"},
        {"4+4+2",
         "4+4+2: L must be 2 or more groups that divide K evenly, of "
         "2 or more"},
        {"6+2+3", "6+2+3: G must be 1 or 2"},
        {"6+2+0", "6+2+0: G must be 1 or 2"},
        {"15+5+2", "15+5+2: L and G must be 6 at most in sum"},
        {"20+2+2", "20+2+2: K must be 1 to 16"},
        {"6+2+2+1", "6+2+2+1 is not K+M, such as 4+2, or K+L+G, such as 6+2+2"},
        {"6+2+", "6+2+ is not K+M, such as 4+2, or K+L+G, such as 6+2+2"},
    };
    static const char *const good[] = {"6+2+2",  "12+2+2", "4+2+1", "16+4+2",
                                       "15+5+1", "4+2",    "16+6"};
    struct ec_policy p = {9, 9, 9};
    char text[EC_POLICY_TEXT_MAX];
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(ec_policy_parse(bad[i].text, &p, &err), ERR_BAD_INPUT);
        assert_string_equal(err.text, bad[i].why);
    }
    assert_int_equal(p.k, 9);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(ec_policy_parse(good[i], &p, NULL), 0);
        assert_true(ec_policy_is_valid(p));
        assert_string_equal(ec_policy_text(p, text), good[i]);
    }
    assert_int_equal(ec_policy_parse("12+2+2", &p, NULL), 0);
    assert_int_equal(p.k, 12);
    assert_int_equal(p.m, 4);
    assert_int_equal(p.l, 2);
    assert_int_equal(ec_policy_tolerates(p), 3);
    assert_int_equal(ec_policy_tolerates((struct ec_policy){.k = 4, .m = 2}),
                     2);
}

static void only_what_can_be_parsed_is_valid(void **state)
{
    (void)state;
    for (unsigned k = 0; k < 20; k++) {
        for (unsigned m = 0; m < 10; m++) {
            for (unsigned l = 0; l < 10; l++) {
                struct ec_policy p = {(uint8_t)k, (uint8_t)m, (uint8_t)l};
                char text[32];
                struct ec_policy again;
                bool ok;
                if (l > 0) {
                    snprintf(text, sizeof text, "%u+%u+%d", k, l,
                             (int)m - (int)l);
                } else {
                    snprintf(text, sizeof text, "%u+%u", k, m);
                }
                ok = ec_policy_parse(text, &again, NULL) == 0;
                assert_int_equal(ok, ec_policy_is_valid(p));
            }
        }
    }
}

static void local_groups_are_of_whole_chunks_only(void **state)
{
    struct ec_policy p = {6, 4, 2};
    struct chunk_shape s = geometry_shape(p, GEOMETRY_CHUNK_MAX);

    (void)state;
    assert_int_equal(s.l, 2);
    assert_int_equal(geometry_write_quorum(&s), 9); /* of 10; 3 may go */
    assert_int_equal(geometry_shard_bytes(&s, 6), s.piece_bytes);
    assert_int_equal(geometry_shard_bytes(&s, 9), s.piece_bytes);
    s = geometry_shape(p, 5 * GEOMETRY_CELL);
    assert_int_equal(s.pieces, 5);
    assert_int_equal(s.l, 0);
    assert_int_equal(geometry_write_quorum(&s), 7); /* of 5+4 */
    s = geometry_shape((struct ec_policy){12, 3, 2}, GEOMETRY_CHUNK_MAX);
    assert_int_equal(geometry_write_quorum(&s), 14); /* of 15; 2 may go */
}

static void the_write_quorum_is_the_pieces_and_half_the_parity(void **state)
{
    (void)state;
    for (uint8_t k = 1; k <= GEOMETRY_K_MAX; k++) {
        for (uint8_t m = 0; m <= GEOMETRY_M_MAX; m++) {
            struct chunk_shape s = geometry_shape(
                (struct ec_policy){.k = k, .m = m}, GEOMETRY_CHUNK_MAX);
            assert_int_equal(geometry_write_quorum(&s), k + (m + 1) / 2);
        }
    }
}

/* Do all patterns of @lost of @p's shards leave enough? */
static bool bears(struct ec_policy p, unsigned lost)
{
    unsigned n = (unsigned)p.k + p.m;

    for (uint32_t gone = 0; gone < 1u << n; gone++) {
        if ((unsigned)__builtin_popcount(gone) == lost &&
            !lrc_decodes(p.k, p.l, (unsigned)p.m - p.l,
                         ((1u << n) - 1) & ~gone)) {
            return false;
        }
    }
    return true;
}

static void what_the_write_quorum_stored_bears_g_more_losses(void **state)
{
    unsigned policies = 0;

    (void)state;
    for (uint8_t k = 1; k <= GEOMETRY_K_MAX; k++) {
        for (uint8_t m = 0; m <= GEOMETRY_M_MAX; m++) {
            for (uint8_t l = 1; l < m; l++) {
                struct ec_policy p = {k, m, l};
                struct chunk_shape s;
                unsigned missing, g = (unsigned)m - l;
                if (!ec_policy_is_valid(p)) {
                    continue;
                }
                s = geometry_shape(p, GEOMETRY_CHUNK_MAX);
                missing = (unsigned)k + m - geometry_write_quorum(&s);
                assert_int_equal(missing, 1);
                assert_true(bears(p, missing + g));
                /* With one fewer stored it would not. */
                assert_false(bears(p, missing + 1 + g));
                assert_int_equal(missing + g, ec_policy_tolerates(p));
                /* Short chunks are Reed-Solomon: any pieces of them do. */
                s = geometry_shape(p, GEOMETRY_CELL);
                assert_true(geometry_write_quorum(&s) >= s.pieces + g);
                policies++;
            }
        }
    }
    assert_true(policies > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chunk_of_one_cell_takes_one_piece_and_m_copies),
        cmocka_unit_test(a_byte_more_takes_two_pieces_of_whole_pages),
        cmocka_unit_test(pieces_cover_the_chunk_and_none_is_empty),
        cmocka_unit_test(a_policy_is_parsed_and_its_bounds_named),
        cmocka_unit_test(
            a_policy_with_local_groups_is_parsed_and_its_bounds_named),
        cmocka_unit_test(only_what_can_be_parsed_is_valid),
        cmocka_unit_test(local_groups_are_of_whole_chunks_only),
        cmocka_unit_test(the_write_quorum_is_the_pieces_and_half_the_parity),
        cmocka_unit_test(what_the_write_quorum_stored_bears_g_more_losses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
