/* test_redact.c: members of a JSON object are left out.
 *
 * Goal: those that are named go, by whatever escapes they are written; all else
 * stays as it came; what cannot be judged is refused. Method: pairs by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/buf.h"
#include "base/config.h"
#include "base/err.h"
#include "edge-agent/redact.h"

static char gps[] = "gps", owner[] = "a.b \"c\"";
static char *items[] = {gps, owner};
static const struct config_list names = {items, 2};

static void named_members_go_and_others_stay_as_they_are(void **state)
{
    static const char *const rows[][2] = {
        {"{\"gps\":1}", "{}"},
        {"{}", "{}"},
        {" { } ", "{}"},
        {"{\"t\": 21.50 ,\"gps\":[1,{\"x\":\"}\"}], \"u\":\"a,b\"}",
         "{\"t\": 21.50 ,\"u\":\"a,b\"}"},
        {"{\"g\\u0070s\":1,\"a\":{\"gps\":2}}", "{\"a\":{\"gps\":2}}"},
        {"{\"a.b \\\"c\\\"\":\"\\\\\",\"x\":\"\\\"\"}", "{\"x\":\"\\\"\"}"},
        {"{\"GPS\":1,\"gps \":2,\"gps\":3}", "{\"GPS\":1,\"gps \":2}"},
        {"[{\"gps\":1}]", "[{\"gps\":1}]"},
        {"\"gps\"", "\"gps\""},
        {"{\"a\":1e5,\"gps\":null,\"b\":true}", "{\"a\":1e5,\"b\":true}"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out = {0};
        struct err err = {{0}};
        assert_int_equal(
            redact_json(rows[i][0], strlen(rows[i][0]), &names, &out, &err), 0);
        assert_string_equal((char *)out.data, rows[i][1]);
        buf_free(&out);
    }
}

static void what_cannot_be_judged_is_refused(void **state)
{
    static const char *const rows[] = {"",
                                       "{",
                                       "{\"gps\":1",
                                       "{\"a\":1,\"a\":2}",
                                       "{gps:1}",
                                       "{\"gps\":1}{\"gps\":2}",
                                       "{\"a\":\"\xff\"}"};
    char deep[200];
    struct err err = {{0}};
    struct buf out = {0};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(
            redact_json(rows[i], strlen(rows[i]), &names, &out, &err),
            ERR_BAD_INPUT);
    }
    memset(deep, '[', 100);
    memset(deep + 100, ']', 100);
    assert_int_equal(redact_json(deep, 200, &names, &out, &err), ERR_LIMIT);
    assert_int_equal(out.len, 0);
}

static void json_is_known_by_its_type(void **state)
{
    static const char *const yes[] = {
        "application/json", "Application/JSON; charset=utf-8",
        "application/geo+json", "application/ld+json;x"};
    static const char *const no[] = {"text/json",
                                     "application/jsonl",
                                     "application/json-seq",
                                     "application/+jsonx",
                                     "",
                                     "application/"};

    (void)state;
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        assert_true(redact_is_json(yes[i]));
    }
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) {
        assert_false(redact_is_json(no[i]));
    }
    assert_false(redact_is_json(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(named_members_go_and_others_stay_as_they_are),
        cmocka_unit_test(what_cannot_be_judged_is_refused),
        cmocka_unit_test(json_is_known_by_its_type),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
