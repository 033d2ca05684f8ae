/* test_s3_form_policy.c: what the owner of a key lets others upload by a form.
 *
 * Goal: a form gets in when every condition holds and every field is in one;
 * all else is refused in AWS's words.
 * Method: one form and a table of policies; then documents that are none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "gateway/s3_form.h"
#include "gateway/s3_form_policy.h"

#define NOW 1700000000000u /* 2023-11-14T22:13:20Z */
#define DOC(conditions)                                               \
    "{\"expiration\": \"2023-11-14T22:13:21.000Z\", \"conditions\": " \
    "[" conditions "]}"
#define KEY "[\"starts-with\", \"$key\", \"user/\"], "
#define TYPE "[\"eq\", \"$content-type\", \"a\\u00e4\"]"

static const struct s3_form_field form[] = {
    {"key", "user/x"}, {"Content-Type", "a\xc3\xa4"}, {"x-amz-signature", "s"},
    {"policy", "p"},   {"x-ignore-whatever", ""},
};
#define FORM (sizeof form / sizeof form[0])

static enum s3_error ask(const char *json, struct s3_form_limits *limits,
                         struct err *err)
{
    return s3_form_policy(json, strlen(json), "bkt", form, FORM, NOW, limits,
                          err);
}

static void policies_decide_as_aws_does(void **state)
{
    static const struct {
        const char *json;
        enum s3_error error;
        const char *says;
    } rows[] = {
        {DOC(KEY TYPE), S3_OK, ""},
        {DOC(KEY TYPE ", {\"bucket\": \"bkt\"}"), S3_OK, ""},
        {DOC("{\"key\": \"user/x\", \"Content-Type\": \"a\xc3\xa4\"}"), S3_OK,
         ""},
        {DOC(KEY "[\"Starts-With\", \"$Content-Type\", \"\"]"), S3_OK, ""},
        {DOC(KEY), S3_InvalidPolicyDocument, "JSON"},
        {DOC("{\"key\": \"user/x\"}"), S3_AccessDenied,
         "Extra input fields: Content-Type"},
        {DOC(KEY TYPE ", {\"bucket\": \"other\"}"), S3_AccessDenied,
         "Policy Condition failed: [\"eq\", \"$bucket\", \"other\"]"},
        {DOC("[\"starts-with\", \"$key\", \"users/\"]"), S3_AccessDenied,
         "Policy Condition failed: [\"starts-with\", \"$key\", \"users/\"]"},
        {DOC(KEY TYPE ", [\"starts-with\", \"$acl\", \"\"]"), S3_AccessDenied,
         "$acl"},
        {DOC(KEY TYPE ", [\"like\", \"$key\", \"\"]"), S3_InvalidPolicyDocument,
         "unknown operation"},
        {DOC(KEY TYPE ", [\"eq\", \"key\", \"user/x\"]"),
         S3_InvalidPolicyDocument, "begins with $"},
        {DOC(KEY TYPE ", [\"content-length-range\", \"a\", 2]"),
         S3_InvalidPolicyDocument, "content-length-range"},
        {"{\"expiration\": \"2023-11-14T22:13:20Z\", \"conditions\": [" KEY TYPE
         "]}",
         S3_AccessDenied, "Policy expired."},
        {"{\"expiration\": \"soon\", \"conditions\": []}",
         S3_InvalidPolicyDocument, "'expiration'"},
        {"{\"conditions\": []}", S3_InvalidPolicyDocument,
         "missing expiration"},
        {"{\"expiration\": \"2023-11-14T22:13:21Z\"}", S3_InvalidPolicyDocument,
         "missing conditions"},
        {"{\"other\": 1}", S3_InvalidPolicyDocument, "Unexpected: 'other'"},
        {"", S3_InvalidPolicyDocument, "JSON"},
        {"{}", S3_InvalidPolicyDocument, "missing expiration"},
        {"{} x", S3_InvalidPolicyDocument, "JSON"},
        {DOC("\"x\""), S3_InvalidPolicyDocument, "JSON"},
        {DOC("[\"eq\", \"$key\"]"), S3_InvalidPolicyDocument, "JSON"},
        {DOC("[\"eq\", \"$key\", \"\\x\"]"), S3_InvalidPolicyDocument, "JSON"},
        {DOC("[\"eq\", \"$key\", \"\\ud800\"]"), S3_InvalidPolicyDocument,
         "JSON"},
        {DOC("[\"eq\", \"$key\", \"\\u0000\"]"), S3_InvalidPolicyDocument,
         "JSON"},
        {DOC("[\"eq\", \"$key\", \"a\nb\"]"), S3_InvalidPolicyDocument, "JSON"},
        {"{\"expiration\": \"\xff\"}", S3_InvalidPolicyDocument, "JSON"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct s3_form_limits limits;
        struct err err = {{0}};
        enum s3_error e = ask(rows[i].json, &limits, &err);
        if (e != rows[i].error || strstr(err.text, rows[i].says) == NULL) {
            fail_msg("row %zu: %s: %s", i, s3_error_code(e), err.text);
        }
    }
}

static void ranges_narrow_each_other(void **state)
{
    struct s3_form_limits limits;

    (void)state;
    assert_int_equal(ask(DOC(KEY TYPE), &limits, NULL), S3_OK);
    assert_true(limits.min_bytes == 0 && limits.max_bytes == UINT64_MAX);
    assert_int_equal(ask(DOC(KEY TYPE ", [\"content-length-range\", 3, 100], "
                                      "[\"content-length-range\", \"1\", 50]"),
                         &limits, NULL),
                     S3_OK);
    assert_true(limits.min_bytes == 3 && limits.max_bytes == 50);
}

/* Cut anywhere it is no policy, and nothing crashes. */
static void a_policy_that_is_cut_is_none(void **state)
{
    static const char json[] = DOC(KEY TYPE
                                   ", {\"bucket\": \"bkt\"}, "
                                   "[\"content-length-range\", 3, 100]");
    struct s3_form_limits limits;

    (void)state;
    assert_int_equal(ask(json, &limits, NULL), S3_OK);
    for (size_t len = 0; len < sizeof json - 1; len++) {
        assert_int_equal(
            s3_form_policy(json, len, "bkt", form, FORM, NOW, &limits, NULL),
            S3_InvalidPolicyDocument);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policies_decide_as_aws_does),
        cmocka_unit_test(ranges_narrow_each_other),
        cmocka_unit_test(a_policy_that_is_cut_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
