/* test_s3_form.c: an HTML form with a file, read as it comes.
 *
 * Goal: the same fields and file however the bytes are cut, what is no such
 * form is refused, and the bounds hold to either side.
 * Method: forms of browsers and of curl, each fed in pieces of every size into
 * rooms of every size; then a list of bad ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "gateway/s3_form.h"

#define TYPE "multipart/form-data; boundary=xx"
#define FIELD(name, value)                                 \
    "--xx\r\nContent-Disposition: form-data; name=\"" name \
    "\"\r\n"                                               \
    "\r\n" value "\r\n"
#define FILE_HEAD                                             \
    "--xx\r\ncontent-disposition: form-data; name=\"file\"; " \
    "filename=\"C:\\dir\\a \\\"b\\\".txt\"\r\nContent-Type: " \
    "text/plain\r\n\r\n"
#define END_MARK "\r\n--xx--\r\n"

/* The whole of @text in pieces of @step into rooms of @room; the file's bytes
 * go to @file. */
static enum s3_form_event feed(struct s3_form *f, const char *text, size_t len,
                               size_t step, size_t room, struct buf *file)
{
    enum s3_form_event event = S3_FORM_MORE;
    uint8_t out[64];

    for (size_t at = 0; at < len;) {
        size_t used = len - at < step ? len - at : step;
        size_t made;
        event = s3_form_feed(f, text + at, &used, out, room, &made);
        assert_true(made <= room);
        buf_append(file, out, made);
        at += used;
        if (event != S3_FORM_MORE && event != S3_FORM_FILE) {
            break;
        }
        assert_true(used > 0 || made > 0 || event == S3_FORM_FILE);
    }
    return event;
}

static void a_form_is_the_same_however_it_is_cut(void **state)
{
    static const char text[] = "preamble\r\n" FIELD("key", "a/${filename}")
        FIELD("Policy", "line\r\n--x\r\nx\r\r\n--") FIELD("empty", "") FILE_HEAD
        "the \r\n file\r\n--x\r\n--xy\r\r\n-\0-" END_MARK "epilogue";
    static const char content[] = "the \r\n file\r\n--x\r\n--xy\r\r\n-\0-";
    static const size_t rooms[] = {1, 2, 3, 7, 64};

    (void)state;
    for (size_t step = 1; step < sizeof text; step++) {
        for (size_t i = 0; i < sizeof rooms / sizeof rooms[0]; i++) {
            struct s3_form *f = s3_form_new(TYPE);
            struct buf file = {0};
            size_t count;
            assert_int_equal(
                feed(f, text, sizeof text - 1, step, rooms[i], &file),
                S3_FORM_END);
            s3_form_fields(f, &count);
            assert_int_equal(count, 3);
            assert_string_equal(s3_form_value(f, "policy"),
                                "line\r\n--x\r\nx\r\r\n--");
            assert_string_equal(s3_form_value(f, "empty"), "");
            assert_null(s3_form_value(f, "file"));
            assert_true(s3_form_has_file(f));
            assert_string_equal(s3_form_filename(f), "a \"b\".txt");
            assert_int_equal(file.len, sizeof content - 1);
            assert_memory_equal(file.data, content, file.len);
            assert_true(s3_form_expand(f));
            assert_string_equal(s3_form_value(f, "KEY"), "a/a \"b\".txt");
            buf_free(&file);
            s3_form_free(f);
        }
    }
}

static void the_boundary_is_found_in_the_header(void **state)
{
    static const char *const good[] = {
        TYPE, "Multipart/Form-Data;boundary=\"a b\"",
        "multipart/form-data; charset=utf-8; Boundary=----WebKit.x",
        "multipart/form-data; boundary=x; charset=utf-8"};
    static const char *const bad[] = {
        "",
        "text/plain; boundary=xx",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"",
        "multipart/form-data; boundary=a\x01",
        "multipart/form-data; bound=x",
        "multipart/form-data; boundary=\"a \"",
        "multipart/form-data; boundary=0123456789012345678901234567890123456789"
        "0123456789012345678901234567890"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct s3_form *f = s3_form_new(good[i]);
        assert_non_null(f);
        s3_form_free(f);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_null(s3_form_new(bad[i]));
    }
    s3_form_free(NULL);
}

static void what_is_no_form_is_refused(void **state)
{
    static const struct {
        const char *text;
        enum s3_form_event event;
    } rows[] = {
        {"--xx--", S3_FORM_END},
        {FIELD("a", "b") "--xx--\r\n", S3_FORM_END},
        {"--xxxx", S3_FORM_BAD},
        {"--xx\r\n\r\nv\r\n--xx--", S3_FORM_BAD},
        {"--xx\r\nContent-Type: a\r\n\r\nv\r\n--xx--", S3_FORM_BAD},
        {"--xx\r\nContent-Disposition: form-data\r\n\r\nv", S3_FORM_BAD},
        {"--xx\r\nContent-Disposition: form-data; name=\"\"\r\n\r\nv",
         S3_FORM_BAD},
        {"--xx\r\nContent-Disposition: form-data; filename=name=x\r\n\r\nv",
         S3_FORM_BAD},
        {"no delimiter", S3_FORM_MORE},
        {FIELD("a", "b"), S3_FORM_MORE},
        {FILE_HEAD "never ends\r\n--x", S3_FORM_MORE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct s3_form *f = s3_form_new(TYPE);
        struct buf file = {0};
        enum s3_form_event event =
            feed(f, rows[i].text, strlen(rows[i].text), 1000, 64, &file);
        size_t used = 1, made;
        uint8_t out[8];
        if (event != rows[i].event) {
            fail_msg("row %zu gives %d", i, event);
        }
        if (event != S3_FORM_MORE) {
            assert_int_equal(s3_form_feed(f, "x", &used, out, 8, &made), event);
        }
        buf_free(&file);
        s3_form_free(f);
    }
}

static enum s3_form_event of_size(size_t fields, size_t value_len)
{
    struct s3_form *f = s3_form_new(TYPE);
    struct buf b = {0};
    struct buf file = {0};
    enum s3_form_event event;

    for (size_t i = 0; i < fields; i++) {
        buf_str(&b, "--xx\r\nContent-Disposition:x;name=a\r\n\r\n");
        for (size_t j = 0; j < value_len; j++) {
            buf_char(&b, 'v');
        }
        buf_str(&b, "\r\n");
    }
    buf_str(&b, "--xx--");
    event = feed(f, (char *)b.data, b.len, b.len, 64, &file);
    buf_free(&b);
    buf_free(&file);
    s3_form_free(f);
    return event;
}

static void fields_are_bounded(void **state)
{
    const size_t frame =
        strlen("--xx\r\nContent-Disposition:x;name=a\r\n\r\n\r\n--xx--");

    (void)state;
    assert_int_equal(of_size(S3_FORM_FIELDS_MAX, 1), S3_FORM_END);
    assert_int_equal(of_size(S3_FORM_FIELDS_MAX + 1, 1), S3_FORM_BAD);
    assert_int_equal(of_size(1, S3_FORM_FIELDS_BYTES_MAX - frame), S3_FORM_END);
    assert_int_equal(of_size(1, S3_FORM_FIELDS_BYTES_MAX - frame + 1),
                     S3_FORM_TOO_LONG);
}

static void names_of_files_cannot_make_values_endless(void **state)
{
    struct s3_form *f = s3_form_new(TYPE);
    struct buf b = {0};
    struct buf file = {0};

    (void)state;
    buf_str(&b, "--xx\r\nContent-Disposition:x;name=key\r\n\r\n");
    for (size_t i = 0; i < 1000; i++) {
        buf_str(&b, "${filename}");
    }
    buf_str(&b, "\r\n--xx\r\nContent-Disposition:x;name=file;filename=");
    for (size_t i = 0; i < 1000; i++) {
        buf_char(&b, 'n');
    }
    buf_str(&b, "\r\n\r\nx" END_MARK);
    assert_int_equal(feed(f, (char *)b.data, b.len, b.len, 64, &file),
                     S3_FORM_END);
    assert_false(s3_form_expand(f));
    buf_free(&b);
    buf_free(&file);
    s3_form_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_form_is_the_same_however_it_is_cut),
        cmocka_unit_test(the_boundary_is_found_in_the_header),
        cmocka_unit_test(what_is_no_form_is_refused),
        cmocka_unit_test(fields_are_bounded),
        cmocka_unit_test(names_of_files_cannot_make_values_endless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
