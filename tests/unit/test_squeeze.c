/* test_squeeze.c: zstd as bytes come.
 *
 * Goal: what was packed comes back in any split; what was cut, changed or
 * lengthened is refused, and a small frame that unfolds to much stays small in
 * memory.
 * Method: texts of several sizes in runs; a frame cut at each length.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "cli/squeeze.h"

static int keep(void *arg, const void *p, size_t len, struct err *err)
{
    (void)err;
    buf_append(arg, p, len);
    return 0;
}

static int count(void *arg, const void *p, size_t len, struct err *err)
{
    (void)p;
    (void)err;
    *(size_t *)arg += len;
    return 0;
}

static int refuse(void *arg, const void *p, size_t len, struct err *err)
{
    (void)arg;
    (void)p;
    (void)len;
    return err_set(err, ERR_FULL, "full");
}

static int run_all(bool unpack, const void *p, size_t len, size_t run,
                   squeeze_sink_f sink, void *arg, struct err *err)
{
    struct squeeze *s = squeeze_new(unpack, sink, arg);
    const char *at = p;
    int rc = 0;

    while (len > 0 && rc == 0) {
        size_t n = run < len ? run : len;
        rc = squeeze_update(s, at, n, err);
        at += n;
        len -= n;
    }
    rc = rc == 0 ? squeeze_final(s, err) : rc;
    squeeze_free(s);
    return rc;
}

static void texts_come_back_in_any_split(void **state)
{
    static const size_t sizes[] = {0, 1, 1000, 300000};
    char *text = malloc(300000);

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < 300000; i++) {
        text[i] = (char)(i * i >> 7);
    }
    for (size_t i = 0; i < 4; i++) {
        for (size_t run = 77; run < 1 << 20; run *= 13) {
            struct buf packed = {0}, back = {0};
            assert_int_equal(
                run_all(false, text, sizes[i], run, keep, &packed, NULL), 0);
            assert_int_equal(
                run_all(true, packed.data, packed.len, run, keep, &back, NULL),
                0);
            assert_int_equal(back.len, sizes[i]);
            assert_true(back.len == 0 ||
                        memcmp(back.data, text, back.len) == 0);
            buf_free(&packed);
            buf_free(&back);
        }
    }
    free(text);
}

static void what_was_cut_changed_or_lengthened_is_refused(void **state)
{
    struct buf packed = {0}, back = {0};
    struct err err;

    (void)state;
    assert_int_equal(
        run_all(false, "a text of some words", 20, 20, keep, &packed, NULL), 0);
    for (size_t len = 0; len < packed.len; len++) {
        assert_int_equal(run_all(true, packed.data, len, 5, keep, &back, &err),
                         ERR_CORRUPT);
        assert_string_equal(err.text, "zstd: cut");
    }
    packed.data[packed.len - 1] ^= 1; /* of the checksum */
    assert_int_equal(
        run_all(true, packed.data, packed.len, 99, keep, &back, NULL),
        ERR_CORRUPT);
    packed.data[packed.len - 1] ^= 1;
    buf_char(&packed, 'x');
    assert_int_equal(
        run_all(true, packed.data, packed.len, 99, keep, &back, &err),
        ERR_CORRUPT);
    assert_string_equal(err.text, "zstd: bytes behind the end");
    assert_int_equal(run_all(true, "no frame", 8, 8, keep, &back, NULL),
                     ERR_CORRUPT);
    buf_free(&packed);
    buf_free(&back);
}

static void much_from_little_goes_out_in_pieces(void **state)
{
    size_t size = (size_t)64 << 20, total = 0;
    char *zeros = calloc(1, size);
    struct buf packed = {0};

    (void)state;
    assert_non_null(zeros);
    assert_int_equal(run_all(false, zeros, size, size, keep, &packed, NULL), 0);
    assert_true(packed.len < 10000);
    assert_int_equal(
        run_all(true, packed.data, packed.len, packed.len, count, &total, NULL),
        0);
    assert_int_equal(total, size);
    free(zeros);
    buf_free(&packed);
}

static void a_sink_that_fails_ends_it(void **state)
{
    struct err err;

    (void)state;
    assert_int_equal(run_all(false, "text", 4, 4, refuse, NULL, &err),
                     ERR_FULL);
    assert_string_equal(err.text, "full");
    squeeze_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_come_back_in_any_split),
        cmocka_unit_test(what_was_cut_changed_or_lengthened_is_refused),
        cmocka_unit_test(much_from_little_goes_out_in_pieces),
        cmocka_unit_test(a_sink_that_fails_ends_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
