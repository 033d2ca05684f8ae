/* test_json.c: values found by their path.
 *
 * Goal: what is there is found, what is not is not, and no document makes it
 * read past its end.
 * Method: tables of paths, and every cut-off beginning of a document (the
 * address sanitizer watches).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "cli/json.h"

static const char document[] =
    "{\"version\":\"0.1.0\", \"n\" : 42,\n\"drives\":[{\"id\":0,\"path\":"
    "\"a\\\"b\\\\c\\u00e4\\u20ac\\ud800\\n\",\"ok\":true},{\"id\":1}],"
    "\"empty\":{},\"none\":[],\"neg\":-1,\"real\":1.5e3,\"null\":null,"
    "\"a.b\":7,\"deep\":{\"er\":{\"n\":9}}}";

static void numbers_are_found(void **state)
{
    (void)state;
    assert_int_equal(json_u64(document, "n"), 42);
    assert_int_equal(json_u64(document, "drives.1.id"), 1);
    assert_int_equal(json_u64(document, "deep.er.n"), 9);
    assert_int_equal(json_u64(document, "neg"), 0);
    assert_int_equal(json_u64(document, "real"), 0);
    assert_int_equal(json_u64(document, "version"), 0);
    assert_int_equal(json_u64(document, "gone"), 0);
    assert_int_equal(json_u64("18446744073709551615", ""), UINT64_MAX);
}

static void expect_text(const char *path, const char *text)
{
    char *got = json_text(document, path);

    assert_string_equal(got, text);
    free(got);
}

static void texts_are_unescaped(void **state)
{
    (void)state;
    expect_text("version", "0.1.0");
    expect_text("drives.0.path", "a\"b\\c\xc3\xa4\xe2\x82\xac?\n");
    expect_text("n", "");
    expect_text("gone", "");
    expect_text("drives", "");
}

static void elements_are_counted(void **state)
{
    (void)state;
    assert_int_equal(json_count(document, "drives"), 2);
    assert_int_equal(json_count(document, "none"), 0);
    assert_int_equal(json_count(document, "empty"), 0);
    assert_int_equal(json_count(document, "gone"), 0);
    assert_int_equal(json_count("[1,2,3]", ""), 3);
}

static void what_is_not_there_is_not_found(void **state)
{
    static const char *const paths[] = {
        "drives.2", "drives.x",  "drives.0.id.x", "empty.x",
        "none.0",   "version.0", "DRIVES",        "drive",
        "driv",     "null.x",    "drives.0.ok.",
    };
    size_t len;

    (void)state;
    for (size_t i = 0; i + 1 < sizeof paths / sizeof paths[0]; i++) {
        assert_null(json_find(document, paths[i], &len));
    }
}

static void raw_values_are_whole(void **state)
{
    size_t len;
    const char *p = json_find(document, "drives.1", &len);

    (void)state;
    assert_non_null(p);
    assert_int_equal(len, strlen("{\"id\":1}"));
    assert_memory_equal(p, "{\"id\":1}", len);
}

static void no_beginning_is_read_past_its_end(void **state)
{
    static const char *const paths[] = {"deep.er.n", "drives.1.id", "gone"};

    (void)state;
    for (size_t cut = 0; cut < sizeof document - 1; cut++) {
        char *copy = mem_strndup(document, cut);
        for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
            size_t len = 0;
            const char *p = json_find(copy, paths[i], &len);
            assert_true(p == NULL || p + len <= copy + cut);
        }
        free(json_text(copy, "drives.0.path"));
        json_count(copy, "drives");
        free(copy);
    }
}

static void depth_is_bounded(void **state)
{
    struct buf b = {0};
    size_t len;

    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        buf_char(&b, '[');
    }
    assert_null(json_find((char *)b.data, "", &len));
    buf_free(&b);
}

static void items_and_truths_are_found(void **state)
{
    static const char json[] =
        "{\"a\":[{\"x\":1},{\"x\":2,\"on\":true}],"
        "\"off\":false,\"t\":\"text\"}";

    (void)state;
    assert_int_equal(json_u64(json_item(json, "a", 1), "x"), 2);
    assert_true(json_true(json_item(json, "a", 1), "on"));
    assert_false(json_true(json_item(json, "a", 0), "on"));
    assert_null(json_item(json, "a", 2));
    assert_null(json_item(json, "b", 0));
    assert_false(json_true(json, "off"));
    assert_false(json_true(json, "t"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_found),
        cmocka_unit_test(texts_are_unescaped),
        cmocka_unit_test(elements_are_counted),
        cmocka_unit_test(what_is_not_there_is_not_found),
        cmocka_unit_test(raw_values_are_whole),
        cmocka_unit_test(no_beginning_is_read_past_its_end),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(items_and_truths_are_found),
    };

    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
