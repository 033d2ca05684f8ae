/* test_json_tree.c: a JSON document as a tree.
 *
 * Goal: exactly what RFC 8259 allows is read, and to the right values.
 * Method: tables of good and bad documents, every prefix of a good one, and
 * each bound from both sides.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "policy/json_tree.h"

static int try_read(const char *s, size_t len, struct json_tree **t)
{
    struct err err = {{0}};
    int rc = json_tree_read(s, len, t, &err);

    assert_true((rc == 0) == (err.text[0] == '\0'));
    return rc;
}

static void values_are_read_as_they_stand(void **state)
{
    const char *s =
        " {\"a\" : [1, -2.5e+3, \"x\\u00e9\\ud83d\\ude00\\n\\/\", null],"
        "\"b\":{\"\":true},\"c\":false,\"d\":[],\"e\":{}} ";
    struct json_tree *t = NULL;
    const struct json_node *n;

    (void)state;
    assert_int_equal(try_read(s, strlen(s), &t), 0);
    assert_int_equal(json_tree_root(t)->count, 5);
    n = json_tree_member(json_tree_root(t), "a");
    assert_int_equal(n->kind, JSON_ARRAY);
    assert_int_equal(n->count, 4);
    n = n->first;
    assert_string_equal(n->text, "1");
    n = n->next;
    assert_string_equal(n->text, "-2.5e+3");
    n = n->next;
    assert_int_equal(n->kind, JSON_STRING);
    assert_string_equal(n->text, "x\xc3\xa9\xf0\x9f\x98\x80\n/");
    assert_int_equal(n->next->kind, JSON_NULL);
    assert_null(n->next->next);
    n = json_tree_member(json_tree_root(t), "b");
    assert_int_equal(json_tree_member(n, "")->kind, JSON_TRUE);
    assert_null(json_tree_member(n, "x"));
    assert_null(json_tree_member(n->first, "x"));
    assert_int_equal(json_tree_member(json_tree_root(t), "e")->kind,
                     JSON_OBJECT);
    json_tree_free(t);
    json_tree_free(NULL);
}

static void what_the_rfc_forbids_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "nul",
        "[1,]",
        "[,1]",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\"}",
        "{\"a\":}",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "\"",
        "\"\\x\"",
        "\"\n\"",
        "\"\\u12\"",
        "\"\\u0000\"",
        "[1 2]",
        "1 2",
        "[1}",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "NaN",
        "// c\n1",
        "'a'",
        "\"\xff\"",
        "\"\\ud800\\u0041\"",
        "tru",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"\\u0061\":2}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct json_tree *t = NULL;
        if (try_read(bad[i], strlen(bad[i]), &t) != ERR_BAD_INPUT) {
            fail_msg("taken: %s", bad[i]);
        }
        assert_null(t);
    }
    {
        struct json_tree *t = NULL;
        assert_int_equal(try_read("1\0", 2, &t), ERR_BAD_INPUT);
        assert_int_equal(try_read("\"a\0b\"", 5, &t), ERR_BAD_INPUT);
        assert_null(t);
    }
}

static void no_part_of_a_document_is_one(void **state)
{
    const char *s = "{\"a\":[1,{\"b\":\"c\\u0041\"}],\"d\":true}";

    (void)state;
    for (size_t n = 0; n < strlen(s); n++) {
        struct json_tree *t = NULL;
        char *copy = mem_dup(s, n + 1);
        char *exact = mem_realloc(copy, n + 1);
        assert_int_equal(try_read(exact, n, &t), ERR_BAD_INPUT);
        free(exact);
    }
}

static void bounds_hold_from_both_sides(void **state)
{
    char deep[2 * (JSON_TREE_DEPTH_MAX + 1) + 1];
    size_t n = JSON_TREE_DEPTH_MAX + 1;
    char *wide = mem_alloc(JSON_TREE_BYTES_MAX + 1);
    struct json_tree *t = NULL;
    size_t len;

    (void)state;
    memset(deep, '[', n);
    memset(deep + n, ']', n);
    assert_int_equal(try_read(deep, 2 * n, &t), 0);
    json_tree_free(t);
    deep[n] = '[';
    t = NULL;
    assert_int_equal(try_read(deep, 2 * n, &t), ERR_LIMIT);
    /* the array itself is a value, too */
    len = 2 * (size_t)(JSON_TREE_NODES_MAX - 1) + 1;
    for (size_t i = 0; i < len; i++) {
        wide[i] = i % 2 == 0 ? ',' : '1';
    }
    wide[0] = '[';
    wide[len - 1] = ']';
    assert_int_equal(try_read(wide, len, &t), 0);
    json_tree_free(t);
    t = NULL;
    memcpy(wide + len - 1, ",1]", 3);
    assert_int_equal(try_read(wide, len + 2, &t), ERR_LIMIT);
    memset(wide, ' ', JSON_TREE_BYTES_MAX + 1);
    wide[0] = '1';
    assert_int_equal(try_read(wide, JSON_TREE_BYTES_MAX + 1, &t), ERR_LIMIT);
    assert_null(t);
    assert_int_equal(try_read(wide, JSON_TREE_BYTES_MAX, &t), 0);
    json_tree_free(t);
    free(wide);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_read_as_they_stand),
        cmocka_unit_test(what_the_rfc_forbids_is_refused),
        cmocka_unit_test(no_part_of_a_document_is_one),
        cmocka_unit_test(bounds_hold_from_both_sides),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
