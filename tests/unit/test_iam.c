/* test_iam.c: what policies say.
 *
 * Goal: an explicit Deny beats every Allow; principals, actions, resources and
 * conditions fit as AWS says; what is no policy is refused by name.
 * Method: tables of statements and requests; patterns against a slow reference;
 * a policy of a thousand statements.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "policy/iam_internal.h"

static const char *const *keys; /* name, value, name, value, ..., NULL */

static const char *context(void *arg, const char *key, size_t i)
{
    (void)arg;
    for (size_t k = 0; keys != NULL && keys[k] != NULL; k += 2) {
        if (strcasecmp(keys[k], key) == 0 && i-- == 0) {
            return keys[k + 1];
        }
    }
    return NULL;
}

static const char *const alice[] = {"arn:aws:iam::000000000001:user/alice",
                                    "000000000001", "c0ffee", NULL};

static struct iam_request ask(const char *action, const char *resource)
{
    return (struct iam_request){.action = action,
                                .resource = resource,
                                .principals = alice,
                                .context = context};
}

static struct iam_policy *must(const char *text, const char *bucket)
{
    struct iam_policy *p;
    struct err err = {{0}};

    if (iam_parse(text, strlen(text), bucket, &p, &err) != 0) {
        fail_msg("%s: %s", text, err.text);
    }
    return p;
}

/* What a bucket policy of one or more statements says. */
static enum iam_effect judge(const char *statements, const char *action,
                             const char *resource)
{
    struct iam_request r = ask(action, resource);
    struct buf text = {0};
    struct iam_policy *p;
    enum iam_effect effect;

    buf_printf(&text, "{\"Version\":\"2012-10-17\",\"Statement\":[%s]}",
               statements);
    p = must((char *)text.data, "b");
    effect = iam_judge(p, &r);
    iam_free(p);
    buf_free(&text);
    return effect;
}

#define ALLOW(principal, action, resource)                                   \
    "{\"Effect\":\"Allow\",\"Principal\":" principal ",\"Action\":\"" action \
    "\",\"Resource\":\"arn:aws:s3:::" resource "\"}"
#define DENY(principal, action, resource)                                   \
    "{\"Effect\":\"Deny\",\"Principal\":" principal ",\"Action\":\"" action \
    "\",\"Resource\":\"arn:aws:s3:::" resource "\"}"
#define GET "s3:GetObject"
#define K "arn:aws:s3:::b/k"

static void a_deny_beats_every_allow(void **state)
{
    (void)state;
    assert_int_equal(judge(ALLOW("\"*\"", "s3:*", "b/*"), GET, K), IAM_ALLOW);
    assert_int_equal(
        judge(ALLOW("\"*\"", "s3:*", "b/*") "," DENY("\"*\"", "s3:Get*", "b/k"),
              GET, K),
        IAM_DENY);
    assert_int_equal(
        judge(DENY("\"*\"", "s3:Get*", "b/k") "," ALLOW("\"*\"", "s3:*", "b/*"),
              GET, K),
        IAM_DENY);
    assert_int_equal(judge(ALLOW("\"*\"", "s3:PutObject", "b/*"), GET, K),
                     IAM_NOTHING);
    assert_int_equal(judge(ALLOW("\"*\"", "s3:GETOBJECT", "b/*"), GET, K),
                     IAM_ALLOW);
    assert_int_equal(judge(ALLOW("\"*\"", "s3:*", "b/K"), GET, K), IAM_NOTHING);
    assert_int_equal(judge(ALLOW("\"*\"", "s3:*", "b"), GET, K), IAM_NOTHING);
    assert_int_equal(iam_judge(NULL, &(struct iam_request){0}), IAM_NOTHING);
}

static void principals_are_named_in_many_ways(void **state)
{
    (void)state;
    assert_int_equal(
        judge(ALLOW("{\"AWS\":\"arn:aws:iam::000000000001:user/alice\"}",
                    "s3:*", "b/*"),
              GET, K),
        IAM_ALLOW);
    assert_int_equal(
        judge(ALLOW("{\"AWS\":[\"x\",\"000000000001\"]}", "s3:*", "b/*"), GET,
              K),
        IAM_ALLOW);
    assert_int_equal(
        judge(ALLOW("{\"CanonicalUser\":\"c0ffee\"}", "s3:*", "b/*"), GET, K),
        IAM_ALLOW);
    assert_int_equal(judge(ALLOW("{\"AWS\":\"*\"}", "s3:*", "b/*"), GET, K),
                     IAM_ALLOW);
    assert_int_equal(
        judge(ALLOW("{\"AWS\":\"arn:aws:iam::000000000001:user/bob\"}", "s3:*",
                    "b/*"),
              GET, K),
        IAM_NOTHING);
    assert_int_equal(
        judge(ALLOW("{\"Service\":\"000000000001\"}", "s3:*", "b/*"), GET, K),
        IAM_NOTHING);
    assert_int_equal(
        judge("{\"Effect\":\"Deny\",\"NotPrincipal\":{\"AWS\":\"bob\"},"
              "\"Action\":\"s3:*\",\"Resource\":\"arn:aws:s3:::b/*\"}",
              GET, K),
        IAM_DENY);
}

static void not_action_and_not_resource_are_the_rest(void **state)
{
    static const char both[] =
        "{\"Effect\":\"Allow\",\"Principal\":\"*\",\"NotAction\":"
        "\"s3:Put*\",\"NotResource\":[\"arn:aws:s3:::b/secret/*\"]}";

    (void)state;
    assert_int_equal(judge(both, GET, K), IAM_ALLOW);
    assert_int_equal(judge(both, "s3:PutObject", K), IAM_NOTHING);
    assert_int_equal(judge(both, GET, "arn:aws:s3:::b/secret/x"), IAM_NOTHING);
}

/* Does a statement with this condition apply, given these keys? */
static bool holds(const char *condition, const char *const *given)
{
    struct buf text = {0};
    enum iam_effect effect;

    buf_printf(&text,
               "{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"s3:*\","
               "\"Resource\":\"arn:aws:s3:::b/*\",\"Condition\":%s}",
               condition);
    keys = given;
    effect = judge((char *)text.data, GET, K);
    keys = NULL;
    buf_free(&text);
    return effect == IAM_ALLOW;
}

#define GIVEN(...) ((const char *const[]){__VA_ARGS__, NULL})
static const char *const nothing[] = {NULL};

static void conditions_compare_as_their_operators_say(void **state)
{
    static const struct {
        const char *condition, *key, *good, *bad;
    } rows[] = {
        {"{\"StringEquals\":{\"s3:prefix\":[\"a\",\"b\"]}}", "s3:prefix", "b",
         "B"},
        {"{\"StringNotEquals\":{\"k\":[\"a\",\"b\"]}}", "k", "c", "a"},
        {"{\"StringEqualsIgnoreCase\":{\"k\":\"ab\"}}", "K", "AB", "b"},
        {"{\"StringLike\":{\"k\":\"a*c?\"}}", "k", "abbcx", "abbc"},
        {"{\"StringNotLike\":{\"k\":\"a*\"}}", "k", "ba", "ab"},
        {"{\"NumericLessThanEquals\":{\"k\":\"10\"}}", "k", "10", "11"},
        {"{\"NumericGreaterThan\":{\"k\":10}}", "k", "10.5", "10"},
        {"{\"NumericNotEquals\":{\"k\":\"10\"}}", "k", "9", "10.0"},
        {"{\"DateLessThan\":{\"k\":\"2026-11-23T12:00:00Z\"}}", "k",
         "2026-11-23T11:59:59Z", "2026-11-23T12:00:00Z"},
        {"{\"DateGreaterThan\":{\"k\":\"2026-11-23\"}}", "k",
         "2026-11-23T00:00:01.5Z", "1"},
        {"{\"Bool\":{\"aws:SecureTransport\":true}}", "aws:SecureTransport",
         "true", "false"},
        {"{\"Bool\":{\"k\":\"false\"}}", "k", "false", "true"},
        {"{\"IpAddress\":{\"aws:SourceIp\":[\"10.0.0.0/8\",\"::1\"]}}",
         "aws:SourceIp", "10.255.0.1", "11.0.0.1"},
        {"{\"NotIpAddress\":{\"k\":\"2001:db8::/32\"}}", "k", "2001:db9::1",
         "2001:db8:1::1"},
        {"{\"ArnLike\":{\"k\":\"arn:*:user/a\"}}", "k", "arn:aws:iam::1:user/a",
         "arn:aws:iam::1:user/b"},
        {"{\"StringEqualsIfExists\":{\"k\":\"a\"}}", "k", "a", "b"},
        {"{\"ForAnyValue:StringEquals\":{\"k\":\"a\"}}", "k", "a", "b"},
        {"{\"ForAllValues:StringEquals\":{\"k\":\"a\"}}", "k", "a", "b"},
        {"{\"StringLike\":{\"k\":\"${aws:username}/*\"}}", "k", "me/x",
         "you/x"},
        {"{\"StringLike\":{\"k\":\"${*}${?}\"}}", "k", "*?", "ab"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!holds(rows[i].condition,
                   GIVEN(rows[i].key, rows[i].good, "aws:username", "me"))) {
            fail_msg("%s refuses %s", rows[i].condition, rows[i].good);
        }
        if (holds(rows[i].condition,
                  GIVEN(rows[i].key, rows[i].bad, "aws:username", "me"))) {
            fail_msg("%s takes %s", rows[i].condition, rows[i].bad);
        }
    }
}

static void a_key_that_is_missing_fits_only_what_is_negated(void **state)
{
    (void)state;
    assert_false(holds("{\"StringEquals\":{\"k\":\"a\"}}", nothing));
    assert_true(holds("{\"StringNotEquals\":{\"k\":\"a\"}}", nothing));
    assert_true(holds("{\"StringNotLike\":{\"k\":\"a\"}}", nothing));
    assert_true(holds("{\"NotIpAddress\":{\"k\":\"::1\"}}", nothing));
    assert_true(holds("{\"StringEqualsIfExists\":{\"k\":\"a\"}}", nothing));
    assert_true(
        holds("{\"ForAllValues:StringEquals\":{\"k\":\"a\"}}", nothing));
    assert_false(
        holds("{\"ForAnyValue:StringEquals\":{\"k\":\"a\"}}", nothing));
    assert_true(holds("{\"Null\":{\"k\":\"true\"}}", nothing));
    assert_false(holds("{\"Null\":{\"k\":\"false\"}}", nothing));
    assert_true(holds("{\"Null\":{\"k\":\"false\"}}", GIVEN("k", "x")));
}

static void all_conditions_must_hold_and_all_values_be_asked(void **state)
{
    (void)state;
    assert_false(holds("{\"StringEquals\":{\"k\":\"a\",\"l\":\"b\"}}",
                       GIVEN("k", "a", "l", "c")));
    assert_false(holds(
        "{\"StringEquals\":{\"k\":\"a\"},\"StringNotEquals\":{\"l\":\"c\"}}",
        GIVEN("k", "a", "l", "c")));
    assert_true(holds("{\"ForAnyValue:StringEquals\":{\"k\":\"b\"}}",
                      GIVEN("k", "a", "k", "b")));
    assert_false(holds("{\"ForAllValues:StringEquals\":{\"k\":[\"b\",\"c\"]}}",
                       GIVEN("k", "a", "k", "b")));
}

static void what_is_no_policy_is_refused_by_name(void **state)
{
    static const struct {
        const char *text, *said;
    } rows[] = {
        {"[]", "no object"},
        {"{\"Statement\":[]}", "empty"},
        {"{\"Version\":\"2012-10-17\"}", "Statement"},
        {"{\"Version\":\"2011-10-17\",\"Statement\":[]}", "version"},
        {"{\"Verison\":\"2012-10-17\",\"Statement\":[]}", "Verison"},
        {"{\"Statement\":{\"Effect\":\"allow\",\"Principal\":\"*\"}}",
         "Effect"},
        {"{\"Statement\":{\"Principal\":\"*\",\"Action\":\"s3:*\","
         "\"Resource\":\"*\"}}",
         "Effect is missing"},
        {"{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"s3:*\","
         "\"Resource\":\"*\"}}",
         "Principal"},
        {"{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":{\"Aws\":\"*\"},"
         "\"Action\":\"s3:*\",\"Resource\":\"*\"}}",
         "principal"},
        {"{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":\"*\","
         "\"Action\":\"s3:*\",\"NotAction\":\"s3:*\",\"Resource\":\"*\"}}",
         "Action"},
        {"{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":\"*\","
         "\"Action\":\"GetObject\",\"Resource\":\"*\"}}",
         "invalid action"},
        {"{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":\"*\","
         "\"Action\":\"s3:*\",\"Resource\":\"arn:aws:s3:::other/*\"}}",
         "invalid resource"},
        {"{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":\"*\","
         "\"Action\":[],\"Resource\":\"*\"}}",
         "empty"},
        {"{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":\"*\","
         "\"Action\":\"s3:*\",\"Resource\":\"*\",\"Condition\":{\"Equals\":{}}}"
         "}",
         "operator"},
        {"{\"Statement\":{\"Effect\":\"Allow\",\"Principal\":\"*\","
         "\"Action\":\"s3:*\",\"Resource\":\"*\",\"Condition\":{\"IpAddress\":"
         "{\"aws:SourceIp\":\"10.0.0.0/33\"}}}}",
         "IpAddress"},
    };
    struct iam_policy *p;
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(
            iam_parse(rows[i].text, strlen(rows[i].text), "b", &p, &err),
            ERR_BAD_INPUT);
        if (strstr(err.text, rows[i].said) == NULL) {
            fail_msg("%s: %s", rows[i].text, err.text);
        }
    }
    assert_int_equal(
        iam_parse(rows[6].text, strlen(rows[6].text), NULL, &p, &err),
        ERR_BAD_INPUT);
}

static void a_policy_of_a_user_names_no_principal(void **state)
{
    static const char text[] =
        "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"1\",\"Effect\":"
        "\"Allow\",\"Action\":[\"s3:GetObject\",\"godwit:*\"],\"Resource\":"
        "\"arn:aws:s3:::${aws:username}/*\"}]}";
    struct iam_request r = ask(GET, "arn:aws:s3:::me/k");
    struct iam_policy *p = must(text, NULL);

    (void)state;
    keys = GIVEN("aws:username", "me");
    assert_int_equal(iam_judge(p, &r), IAM_ALLOW);
    r.resource = "arn:aws:s3:::you/k";
    assert_int_equal(iam_judge(p, &r), IAM_NOTHING);
    keys = NULL;
    assert_int_equal(iam_judge(p, &r), IAM_NOTHING);
    iam_free(p);
}

static bool says_public(const char *statements)
{
    struct buf text = {0};
    struct iam_policy *p;
    bool all;

    buf_printf(&text, "{\"Statement\":[%s]}", statements);
    p = must((char *)text.data, "b");
    all = iam_is_public(p);
    iam_free(p);
    buf_free(&text);
    return all;
}

static void everybody_without_a_binding_condition_is_public(void **state)
{
    (void)state;
    assert_true(says_public(ALLOW("\"*\"", "s3:*", "b/*")));
    assert_true(says_public(ALLOW("{\"AWS\":[\"x\",\"*\"]}", "s3:*", "b/*")));
    assert_false(says_public(ALLOW("{\"AWS\":\"x\"}", "s3:*", "b/*")));
    assert_false(says_public(DENY("\"*\"", "s3:*", "b/*")));
    assert_false(says_public(
        "{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"s3:*\","
        "\"Resource\":\"arn:aws:s3:::b/*\",\"Condition\":{\"IpAddress\":"
        "{\"aws:SourceIp\":\"10.0.0.0/8\"}}}"));
    assert_true(says_public(
        "{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"s3:*\","
        "\"Resource\":\"arn:aws:s3:::b/*\",\"Condition\":{\"IpAddress\":"
        "{\"aws:SourceIp\":\"0.0.0.0/1\"}}}"));
}

/* What "fits" means, by trying everything. */
static bool slow_fits(const char *p, const char *t)
{
    if (*p == '\0') {
        return *t == '\0';
    }
    if (*p == '*') {
        return slow_fits(p + 1, t) || (*t != '\0' && slow_fits(p, t + 1));
    }
    return *t != '\0' && (*p == '?' || *p == *t) && slow_fits(p + 1, t + 1);
}

static void patterns_fit_as_the_slow_way_says(void **state)
{
    static const char letters[] = "ab*?";
    unsigned seed = 7;
    unsigned fitting = 0;

    (void)state;
    for (int n = 0; n < 200000; n++) {
        char p[8] = {0}, t[10] = {0};
        unsigned pl, tl;
        seed = seed * 1664525u + 1013904223u;
        pl = seed >> 28 & 7;
        tl = seed >> 24 & 7;
        for (unsigned i = 0; i < pl; i++) {
            seed = seed * 1664525u + 1013904223u;
            p[i] = letters[seed >> 30];
        }
        for (unsigned i = 0; i < tl; i++) {
            seed = seed * 1664525u + 1013904223u;
            t[i] = letters[seed >> 31];
        }
        if (iam_fits(p, t, false, NULL) != slow_fits(p, t)) {
            fail_msg("%s and %s", p, t);
        }
        fitting += slow_fits(p, t);
    }
    assert_true(fitting > 1000 && fitting < 199000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deny_beats_every_allow),
        cmocka_unit_test(principals_are_named_in_many_ways),
        cmocka_unit_test(not_action_and_not_resource_are_the_rest),
        cmocka_unit_test(conditions_compare_as_their_operators_say),
        cmocka_unit_test(a_key_that_is_missing_fits_only_what_is_negated),
        cmocka_unit_test(all_conditions_must_hold_and_all_values_be_asked),
        cmocka_unit_test(what_is_no_policy_is_refused_by_name),
        cmocka_unit_test(a_policy_of_a_user_names_no_principal),
        cmocka_unit_test(everybody_without_a_binding_condition_is_public),
        cmocka_unit_test(patterns_fit_as_the_slow_way_says),
    };

    return cmocka_run_group_tests_name("iam", tests, NULL, NULL);
}
