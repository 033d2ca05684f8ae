/* test_err.c: codes and sentences.
 *
 * Goal: wire values never change, the sentence grows in front and is cut, not
 * overrun.
 * Method: the table is walked by its own macro; a few values are written down
 * here once more, since they travel.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

static void set_returns_the_code_and_writes(void **state)
{
    struct err e;

    (void)state;
    assert_int_equal(err_set(&e, ERR_BUSY, "drive %d", 3), ERR_BUSY);
    assert_string_equal(e.text, "drive 3");
    assert_int_equal(err_set(NULL, ERR_IO, "x"), ERR_IO);
}

static void wrap_grows_in_front(void **state)
{
    struct err e;

    (void)state;
    err_set(&e, ERR_IO, "fsync");
    assert_int_equal(err_wrap(&e, ERR_IO, "shard %d", 3), ERR_IO);
    assert_int_equal(err_wrap(&e, ERR_UNAVAILABLE, "put a/b"), ERR_UNAVAILABLE);
    assert_string_equal(e.text, "put a/b: shard 3: fsync");
    assert_int_equal(err_wrap(NULL, ERR_IO, "x"), ERR_IO);
}

static void long_sentences_are_cut(void **state)
{
    struct {
        struct err e;
        char after;
    } s = {.after = 0x5a};
    char text[2 * ERR_TEXT_SIZE];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    err_set(&s.e, ERR_IO, "%s", text);
    assert_int_equal(strlen(s.e.text), ERR_TEXT_SIZE - 1);
    err_wrap(&s.e, ERR_IO, "front");
    assert_int_equal(strlen(s.e.text), ERR_TEXT_SIZE - 1);
    assert_memory_equal(s.e.text, "front: xxx", 10);
    err_wrap(&s.e, ERR_IO, "%s", text);
    assert_int_equal(strlen(s.e.text), ERR_TEXT_SIZE - 1);
    errno = EIO;
    err_errno(&s.e, "%s", text);
    assert_int_equal(strlen(s.e.text), ERR_TEXT_SIZE - 1);
    assert_int_equal(s.after, 0x5a);
}

static void errno_becomes_a_code_and_words(void **state)
{
    static const int cases[][2] = {
        {ENOSPC, ERR_FULL},  {EDQUOT, ERR_FULL}, {ENOENT, ERR_NOT_FOUND},
        {ENOMEM, ERR_NOMEM}, {EIO, ERR_IO},      {EACCES, ERR_IO},
    };
    struct err e;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        errno = cases[i][0];
        assert_int_equal(err_errno(&e, "open %s", "f"), cases[i][1]);
        assert_memory_equal(e.text, "open f: ", 8);
        assert_string_equal(e.text + 8, strerror(cases[i][0]));
        errno = cases[i][0];
        assert_int_equal(err_errno(NULL, "x"), cases[i][1]);
    }
}

static void every_code_has_a_name_and_a_text(void **state)
{
    (void)state;
#define X(name, value, text)                          \
    assert_int_equal(ERR_##name, value);              \
    assert_string_equal(err_name(ERR_##name), #name); \
    assert_string_equal(err_text(ERR_##name), text);
    ERR_TABLE(X)
#undef X
    assert_string_equal(err_name(0), "OK");
    assert_string_equal(err_text(0), "success");
    assert_string_equal(err_name(-1), "?");
    assert_string_equal(err_name(9999), "?");
    assert_string_equal(err_text(9999), "unknown error");
}

static void wire_values_stay(void **state)
{
    (void)state;
    assert_int_equal(ERR_NOMEM, 1);
    assert_int_equal(ERR_CORRUPT, 3);
    assert_int_equal(ERR_UNAVAILABLE, 10);
    assert_int_equal(ERR_PRECONDITION, 12);
    assert_int_equal(ERR_MISMATCH, 20);
    assert_int_equal(ERR_NO_BUCKET, 32);
    assert_int_equal(ERR_PART_TOO_SMALL, 39);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_returns_the_code_and_writes),
        cmocka_unit_test(wrap_grows_in_front),
        cmocka_unit_test(long_sentences_are_cut),
        cmocka_unit_test(errno_becomes_a_code_and_words),
        cmocka_unit_test(every_code_has_a_name_and_a_text),
        cmocka_unit_test(wire_values_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
