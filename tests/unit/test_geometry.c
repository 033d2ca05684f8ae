/* Goal: the shapes of chunks, their bounds, and that pieces cover the chunk.
 * Method: every policy against lengths around each border.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "erasure/geometry.h"

static void a_chunk_of_one_cell_takes_one_piece_and_m_copies(void **state)
{
    struct chunk_shape s = geometry_shape((struct ec_policy){4, 2}, 65536);

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
    struct chunk_shape s = geometry_shape((struct ec_policy){4, 2}, 65537);

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
                s = geometry_shape((struct ec_policy){k, 3}, (uint32_t)n);
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
                                      "0+2",  "17+2", "4+7",  "4+2+1",
                                      "4 +2", "-4+2", "4+2x", "99999999999+1"};
    struct ec_policy p = {9, 9};
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chunk_of_one_cell_takes_one_piece_and_m_copies),
        cmocka_unit_test(a_byte_more_takes_two_pieces_of_whole_pages),
        cmocka_unit_test(pieces_cover_the_chunk_and_none_is_empty),
        cmocka_unit_test(a_policy_is_parsed_and_its_bounds_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
