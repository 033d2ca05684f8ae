/* test_buf.c: a growing run of bytes.
 *
 * Goal: after any append the bytes are there and data[len] is NUL.
 * Method: build the same run in different ways and compare.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

static void appends_end_in_nul(void **state)
{
    struct buf b = {0};

    (void)state;
    buf_append(&b, "ab\0c", 4);
    assert_int_equal(b.len, 4);
    assert_memory_equal(b.data, "ab\0c", 5);
    buf_str(&b, "de");
    buf_char(&b, 'f');
    buf_printf(&b, "%d-%s", 12, "g");
    assert_int_equal(b.len, 11);
    assert_memory_equal(b.data, "ab\0cdef12-g", 12);
    buf_free(&b);
}

static void empty_appends_make_an_empty_string(void **state)
{
    struct buf b = {0};

    (void)state;
    buf_append(&b, NULL, 0);
    assert_non_null(b.data);
    assert_string_equal(b.data, "");
    buf_str(&b, "");
    buf_printf(&b, "%s", "");
    assert_int_equal(b.len, 0);
    buf_free(&b);
}

static void bytes_survive_growth(void **state)
{
    struct buf b = {0};

    (void)state;
    for (size_t i = 0; i < 10000; i++) {
        buf_char(&b, (char)(i % 251));
        assert_int_equal(b.data[b.len], 0);
    }
    assert_int_equal(b.len, 10000);
    assert_true(b.cap > b.len);
    for (size_t i = 0; i < 10000; i++) {
        assert_int_equal(b.data[i], i % 251);
    }
    buf_free(&b);
}

static void printf_longer_than_the_room_grows(void **state)
{
    struct buf b = {0};

    (void)state;
    for (int n = 0; n < 200; n++) {
        buf_clear(&b);
        buf_printf(&b, "%*s|", n, "");
        assert_int_equal(b.len, n + 1);
        assert_int_equal(b.data[n], '|');
        assert_int_equal(b.data[n + 1], 0);
    }
    buf_free(&b);
}

static void reserve_makes_room_once(void **state)
{
    struct buf b = {0};
    uint8_t *data;

    (void)state;
    buf_reserve(&b, 5000);
    data = b.data;
    assert_int_equal(b.len, 0);
    assert_string_equal(b.data, "");
    for (int i = 0; i < 5000; i++) {
        buf_char(&b, 'x');
    }
    assert_ptr_equal(b.data, data);
    buf_free(&b);
}

static void clear_keeps_and_free_releases_memory(void **state)
{
    struct buf b = {0};
    uint8_t *data;

    (void)state;
    buf_clear(&b); /* of an empty one is nothing */
    assert_null(b.data);
    buf_str(&b, "something");
    data = b.data;
    buf_clear(&b);
    assert_ptr_equal(b.data, data);
    assert_int_equal(b.len, 0);
    assert_string_equal(b.data, "");
    buf_free(&b);
    assert_null(b.data);
    assert_int_equal(b.cap, 0);
    buf_free(&b);
    buf_wipe(&b);
    buf_str(&b, "again");
    buf_wipe(&b);
    assert_null(b.data);
}

static void take_gives_the_bytes(void **state)
{
    struct buf b = {0};
    size_t len = 99;
    uint8_t *p;

    (void)state;
    assert_null(buf_take(&b, &len));
    assert_int_equal(len, 0);
    buf_str(&b, "mine");
    p = buf_take(&b, &len);
    assert_int_equal(len, 4);
    assert_string_equal(p, "mine");
    assert_null(b.data);
    assert_int_equal(b.len, 0);
    buf_str(&b, "new");
    assert_string_equal(p, "mine");
    free(p);
    buf_free(&b);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_end_in_nul),
        cmocka_unit_test(empty_appends_make_an_empty_string),
        cmocka_unit_test(bytes_survive_growth),
        cmocka_unit_test(printf_longer_than_the_room_grows),
        cmocka_unit_test(reserve_makes_room_once),
        cmocka_unit_test(clear_keeps_and_free_releases_memory),
        cmocka_unit_test(take_gives_the_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
