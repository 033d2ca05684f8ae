/* test_meta_vfs.c: the unused middle of a page is zeros on disk.
 *
 * Goal: B-tree pages lose what stands between their cell pointers and their
 * cells, and no byte else; other pages are left alone; what is no page harms
 * nothing. Method: pages made here, and random bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "meta/meta_vfs.h"

#define SIZE 1024

/* A page of @kind whose header is at @at, full of 0xee but for its header. */
static void make(uint8_t page[SIZE], size_t at, uint8_t kind, unsigned cells,
                 unsigned end)
{
    memset(page, 0xee, SIZE);
    page[at] = kind;
    page[at + 3] = (uint8_t)(cells >> 8);
    page[at + 4] = (uint8_t)cells;
    page[at + 5] = (uint8_t)(end >> 8);
    page[at + 6] = (uint8_t)end;
}

static void expect(size_t at, uint8_t kind, uint64_t number, unsigned cells,
                   unsigned end, size_t from, size_t to)
{
    uint8_t page[SIZE], want[SIZE];

    make(page, at, kind, cells, end);
    memcpy(want, page, SIZE);
    memset(want + from, 0, to - from);
    meta_vfs_clear(page, SIZE, number);
    assert_memory_equal(page, want, SIZE);
}

static void the_middle_of_tree_pages_is_zeroed(void **state)
{
    (void)state;
    expect(0, 13, 2, 3, 700, 14, 700);
    expect(0, 10, 2, 3, 700, 14, 700);
    expect(0, 5, 2, 3, 700, 18, 700);
    expect(0, 2, 2, 3, 700, 18, 700);
    expect(0, 13, 2, 0, SIZE, 8, SIZE);   /* empty */
    expect(100, 13, 1, 3, 700, 114, 700); /* behind the file's header */
}

static void all_else_is_left_alone(void **state)
{
    (void)state;
    expect(0, 0, 2, 3, 700, 0, 0); /* overflow, free */
    expect(0, 1, 2, 3, 700, 0, 0);
    expect(0, 13, 0x02000000, 3, 700, 0, 0); /* may be overflow */
    expect(0, 13, 2, 500, 700, 0, 0);        /* pointers up to the cells */
    expect(0, 13, 2, 3, SIZE + 1, 0, 0);     /* cells outside */
    expect(0, 13, 2, 3, 0, 0, 0); /* 65536, which this page has not */
}

static void random_bytes_harm_nothing(void **state)
{
    uint8_t page[SIZE + 64];

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        rng_bytes(page, SIZE);
        memset(page + SIZE, 0xaa, 64);
        page[0] = (uint8_t)(rng_u64() % 16);
        meta_vfs_clear(page, SIZE, rng_u64() % 3 + 1);
        for (size_t k = SIZE; k < sizeof page; k++) {
            assert_int_equal(page[k], 0xaa);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_middle_of_tree_pages_is_zeroed),
        cmocka_unit_test(all_else_is_left_alone),
        cmocka_unit_test(random_bytes_harm_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
