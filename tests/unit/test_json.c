/* test_json.c: strict JSON.
 *
 * Goal: documents come back as trees with decoded texts; everything that is not
 * JSON is refused with the byte and the reason.
 * Method: a table of refusals; one document walked; each cut of it refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/json.h"

static const char document[] =
    " {\"a\": [1, -2.5e+3, \"x\\n\\u00e4\\ud83d\\ude00\\\"\"], \"b\": "
    "{\"c\": null, \"\": true}, \"d\": false}\n";

static void a_document_is_a_tree(void **state)
{
    struct json *root;
    const struct json *v;

    (void)state;
    assert_int_equal(json_parse(document, strlen(document), &root, NULL), 0);
    assert_int_equal(root->type, JSON_OBJECT);
    v = json_member(root, "a");
    assert_int_equal(v->type, JSON_ARRAY);
    assert_string_equal(v->first->text, "1");
    assert_string_equal(v->first->next->text, "-2.5e+3");
    assert_string_equal(v->first->next->next->text,
                        "x\n\xc3\xa4\xf0\x9f\x98\x80\"");
    assert_null(v->first->next->next->next);
    v = json_member(root, "b");
    assert_int_equal(json_member(v, "c")->type, JSON_NULL);
    assert_int_equal(json_member(v, "")->type, JSON_TRUE);
    assert_int_equal(json_member(root, "d")->type, JSON_FALSE);
    assert_null(json_member(root, "e"));
    assert_null(json_member(v->first, "e"));
    json_free(root);
}

static void what_is_cut_is_refused(void **state)
{
    struct json *root;

    (void)state;
    for (size_t len = 0; len < strlen(document) - 1; len++) {
        assert_int_equal(json_parse(document, len, &root, NULL), ERR_BAD_INPUT);
    }
}

static void refusals_name_the_byte_and_the_reason(void **state)
{
    static const struct {
        const char *text, *said;
    } rows[] = {
        {"", "byte 0: no value"},
        {"nul", "no value"},
        {"{} x", "byte 3: something behind"},
        {"{\"a\":1,\"a\":2}", "named twice"},
        {"{\"a\" 1}", "without ':'"},
        {"{a:1}", "without its name"},
        {"{\"a\":1,}", "without its name"},
        {"[1,]", "bad number"},
        {"[1 2]", "array without its end"},
        {"{\"a\":1", "object without its end"},
        {"01", "bad number"},
        {"1.", "bad number"},
        {"1e", "bad number"},
        {"-", "bad number"},
        {"+1", "bad number"},
        {"\"\\x\"", "bad escape"},
        {"\"\\u12g4\"", "bad \\u"},
        {"\"\\ud800\"", "surrogate"},
        {"\"\\udc00\"", "surrogate"},
        {"\"\\ud800\\u0041\"", "surrogate"},
        {"\"\\u0000\"", "NUL"},
        {"\"a\nb\"", "control"},
        {"\"a", "text without"},
    };
    char deep[200];
    struct json *root;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = {{0}};
        assert_int_equal(
            json_parse(rows[i].text, strlen(rows[i].text), &root, &err),
            ERR_BAD_INPUT);
        if (strstr(err.text, rows[i].said) == NULL) {
            fail_msg("%s: %s", rows[i].text, err.text);
        }
    }
    memset(deep, '[', sizeof deep);
    assert_int_equal(json_parse(deep, sizeof deep, &root, NULL), ERR_BAD_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_is_a_tree),
        cmocka_unit_test(what_is_cut_is_refused),
        cmocka_unit_test(refusals_name_the_byte_and_the_reason),
    };

    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
