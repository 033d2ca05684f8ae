/* test_iam.c: what policies say.
 *
 * Goal: policies judge as AWS documents it, and malformed ones are refused with
 * the place and the reason.
 * Method: tables of statements by their outcome; every pair of rules against
 * the law "deny beats allow beats nothing"; random policies over a small world
 * against a reference of a few lines; half-cut documents.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "policy/iam.h"

#define V12 "{\"Version\":\"2012-10-17\",\"Statement\":["
#define END "]}"
#define ANY_GET                                          \
    "{\"Effect\":\"Allow\",\"Action\":\"s3:GetObject\"," \
    "\"Resource\":\"arn:aws:s3:::b/*\""

static const char *const ips[] = {"10.1.2.3"};
static const char *const name_ann[] = {"ann"};
static const char *const star_name[] = {"*"};
static const char *const yes[] = {"true"};
static const char *const ten[] = {"10"};
static const char *const now[] = {"2026-11-23T10:00:00Z"};
static const char *const arn[] = {"arn:aws:iam::111122223333:user/ann"};
static const char *const tags[] = {"a", "b"};
static const struct iam_key context[] = {
    {"aws:sourceip", ips, 1},        {"aws:username", name_ann, 1},
    {"aws:securetransport", yes, 1}, {"s3:max-keys", ten, 1},
    {"aws:currenttime", now, 1},     {"aws:principalarn", arn, 1},
    {"aws:tagkeys", tags, 2},        {"my:star", star_name, 1},
};
static const struct iam_request ann_gets = {
    "arn:aws:iam::111122223333:user/ann",
    "111122223333",
    "c0ffee",
    "s3:getobject",
    "arn:aws:s3:::b/home/ann/x",
    context,
    sizeof context / sizeof context[0],
    NULL,
};

static enum iam_effect judge(enum iam_kind kind, const char *text,
                             const struct iam_request *q)
{
    struct iam_policy *p = NULL;
    struct err err = {{0}};
    enum iam_effect e;

    if (iam_read(kind, kind == IAM_RESOURCE ? "b" : NULL, text, strlen(text),
                 &p, &err) != 0) {
        fail_msg("%s: %s", text, err.text);
    }
    e = iam_judge(p, q);
    iam_free(p);
    return e;
}

static void conditions_hold_as_documented(void **state)
{
    static const struct {
        const char *condition;
        bool holds;
    } table[] = {
        {"\"StringEquals\":{\"aws:username\":\"ann\"}", true},
        {"\"StringEquals\":{\"AWS:UserName\":[\"bob\",\"ann\"]}", true},
        {"\"StringEquals\":{\"aws:username\":\"Ann\"}", false},
        {"\"StringEquals\":{\"aws:username\":\"a*\"}", false},
        {"\"StringEqualsIgnoreCase\":{\"aws:username\":\"ANN\"}", true},
        {"\"StringNotEqualsIgnoreCase\":{\"aws:username\":\"ANN\"}", false},
        {"\"StringNotEquals\":{\"aws:username\":[\"bob\",\"ann\"]}", false},
        {"\"StringNotEquals\":{\"aws:username\":[\"bob\",\"eve\"]}", true},
        {"\"StringLike\":{\"aws:username\":\"a?n\"}", true},
        {"\"StringNotLike\":{\"aws:username\":\"a?n\"}", false},
        {"\"StringEquals\":{\"aws:none\":\"\"}", false},
        {"\"StringNotEquals\":{\"aws:none\":\"x\"}", true},
        {"\"StringEqualsIfExists\":{\"aws:none\":\"x\"}", true},
        {"\"StringEqualsIfExists\":{\"aws:username\":\"x\"}", false},
        {"\"Null\":{\"aws:none\":\"true\"}", true},
        {"\"Null\":{\"aws:none\":false}", false},
        {"\"Null\":{\"aws:username\":\"false\"}", true},
        {"\"Bool\":{\"aws:SecureTransport\":true}", true},
        {"\"Bool\":{\"aws:SecureTransport\":\"false\"}", false},
        {"\"NumericLessThanEquals\":{\"s3:max-keys\":10}", true},
        {"\"NumericLessThan\":{\"s3:max-keys\":\"10\"}", false},
        {"\"NumericGreaterThan\":{\"s3:max-keys\":9.5}", true},
        {"\"NumericGreaterThanEquals\":{\"s3:max-keys\":11}", false},
        {"\"NumericEquals\":{\"s3:max-keys\":\"10.0\"}", true},
        {"\"NumericNotEquals\":{\"s3:max-keys\":10}", false},
        {"\"NumericEquals\":{\"aws:username\":10}", false},
        {"\"DateLessThan\":{\"aws:CurrentTime\":\"2026-11-24\"}", true},
        {"\"DateLessThanEquals\":{\"aws:CurrentTime\":\"2026-11-23\"}", false},
        {"\"DateGreaterThan\":{\"aws:CurrentTime\":\"1600000000\"}", true},
        {"\"DateGreaterThanEquals\":{\"aws:CurrentTime\":"
         "\"2026-11-23T10:00:00Z\"}",
         true},
        {"\"DateEquals\":{\"aws:CurrentTime\":\"2026-11-23T10:00:00.5Z\"}",
         false},
        {"\"DateNotEquals\":{\"aws:CurrentTime\":\"2020-01-01\"}", true},
        {"\"IpAddress\":{\"aws:SourceIp\":\"10.0.0.0/8\"}", true},
        {"\"IpAddress\":{\"aws:SourceIp\":\"10.1.2.3\"}", true},
        {"\"IpAddress\":{\"aws:SourceIp\":[\"10.1.2.4/31\",\"::/0\"]}", false},
        {"\"IpAddress\":{\"aws:SourceIp\":\"10.1.2.2/31\"}", true},
        {"\"IpAddress\":{\"aws:SourceIp\":\"::ffff:10.1.0.0/112\"}", true},
        {"\"NotIpAddress\":{\"aws:SourceIp\":\"10.0.0.0/8\"}", false},
        {"\"NotIpAddress\":{\"aws:none\":\"10.0.0.0/8\"}", true},
        {"\"ArnLike\":{\"aws:PrincipalArn\":\"arn:aws:iam::*:user/*\"}", true},
        {"\"ArnEquals\":{\"aws:PrincipalArn\":\"arn:*:user/ann:*:*:*\"}",
         false},
        {"\"ArnNotLike\":{\"aws:PrincipalArn\":\"arn:aws:iam::*:role/*\"}",
         true},
        {"\"ForAllValues:StringEquals\":{\"aws:TagKeys\":[\"a\",\"b\"]}", true},
        {"\"ForAllValues:StringEquals\":{\"aws:TagKeys\":\"a\"}", false},
        {"\"ForAllValues:StringEquals\":{\"aws:none\":\"a\"}", true},
        {"\"ForAnyValue:StringEquals\":{\"aws:TagKeys\":\"b\"}", true},
        {"\"ForAnyValue:StringEquals\":{\"aws:TagKeys\":\"c\"}", false},
        {"\"ForAnyValue:StringNotEquals\":{\"aws:none\":\"a\"}", false},
        {"\"StringEquals\":{\"aws:username\":\"${aws:username}\"}", true},
        {"\"StringEquals\":{\"aws:username\":\"${aws:no, 'ann'}\"}", true},
        {"\"StringLike\":{\"aws:username\":\"${my:star}\"}", false},
        {"\"StringLike\":{\"my:star\":\"${*}\"}", true},
        {"\"StringLike\":{\"aws:username\":\"${*}\"}", false},
        {"\"StringEquals\":{\"aws:username\":\"${aws:none}\"}", false},
        {"\"StringNotEquals\":{\"aws:username\":\"${aws:none}\"}", false},
        {"\"Bool\":{\"aws:SecureTransport\":\"true\"},"
         "\"StringEquals\":{\"aws:username\":\"bob\"}",
         false},
        {"\"StringEquals\":{\"aws:username\":\"ann\",\"s3:max-keys\":\"9\"}",
         false},
    };
    char text[1024];

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        snprintf(text, sizeof text, V12 ANY_GET ",\"Condition\":{%s}}" END,
                 table[i].condition);
        if ((judge(IAM_IDENTITY, text, &ann_gets) == IAM_ALLOW) !=
            table[i].holds) {
            fail_msg("%s", table[i].condition);
        }
    }
}

static void actions_resources_and_principals_match(void **state)
{
    static const struct {
        const char *middle;
        bool matches;
    } table[] = {
        {"\"Action\":\"*\",\"Resource\":\"*\",\"Principal\":\"*\"", true},
        {"\"Action\":\"S3:getOBJECT\",\"Resource\":\"*\",\"Principal\":\"*\"",
         true},
        {"\"Action\":[\"s3:Put*\",\"s3:Get?bject\"],\"Resource\":\"*\","
         "\"Principal\":\"*\"",
         true},
        {"\"NotAction\":\"s3:Get*\",\"Resource\":\"*\",\"Principal\":\"*\"",
         false},
        {"\"Action\":\"*\",\"Resource\":\"arn:aws:s3:::b\",\"Principal\":\"*\"",
         false},
        {"\"Action\":\"*\",\"Resource\":\"arn:aws:s3:::b/*/x\","
         "\"Principal\":\"*\"",
         true},
        {"\"Action\":\"*\",\"Resource\":\"arn:aws:s3:::b/HOME/*\","
         "\"Principal\":\"*\"",
         false},
        {"\"Action\":\"*\",\"NotResource\":\"arn:aws:s3:::b/home/*\","
         "\"Principal\":\"*\"",
         false},
        {"\"Action\":\"*\",\"NotResource\":\"arn:aws:s3:::b/${aws:none}\","
         "\"Principal\":\"*\"",
         false},
        {"\"Action\":\"*\",\"Resource\":"
         "\"arn:aws:s3:::b/home/${aws:username}/*\",\"Principal\":\"*\"",
         true},
        {"\"Action\":\"*\",\"Resource\":\"*\",\"Principal\":{\"AWS\":"
         "\"111122223333\"}",
         true},
        {"\"Action\":\"*\",\"Resource\":\"*\",\"Principal\":{\"AWS\":"
         "[\"999922223333\",\"arn:aws:iam::111122223333:root\"]}",
         true},
        {"\"Action\":\"*\",\"Resource\":\"*\",\"Principal\":{\"AWS\":"
         "\"arn:aws:iam::111122223333:user/ann\"}",
         true},
        {"\"Action\":\"*\",\"Resource\":\"*\",\"Principal\":{\"AWS\":"
         "\"arn:aws:iam::111122223333:user/bob\"}",
         false},
        {"\"Action\":\"*\",\"Resource\":\"*\",\"NotPrincipal\":{\"AWS\":"
         "\"arn:aws:iam::111122223333:user/bob\"}",
         true},
        {"\"Action\":\"*\",\"Resource\":\"*\",\"Principal\":"
         "{\"CanonicalUser\":\"c0ffee\"}",
         true},
        {"\"Action\":\"*\",\"Resource\":\"*\",\"Principal\":"
         "{\"Service\":\"logging.s3.amazonaws.com\"}",
         false},
    };
    char text[1024];

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        snprintf(text, sizeof text, V12 "{\"Effect\":\"Allow\",%s}" END,
                 table[i].middle);
        if ((judge(IAM_RESOURCE, text, &ann_gets) == IAM_ALLOW) !=
            table[i].matches) {
            fail_msg("%s", table[i].middle);
        }
    }
}

static void variables_are_text_in_the_old_version(void **state)
{
    (void)state;
    assert_int_equal(
        judge(IAM_IDENTITY,
              "{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"*\","
              "\"Resource\":\"arn:aws:s3:::b/home/${aws:username}/*\"}}",
              &ann_gets),
        IAM_NOTHING);
}

static void a_deny_with_an_unknown_variable_still_denies(void **state)
{
    (void)state;
    assert_int_equal(
        judge(IAM_IDENTITY,
              V12 "{\"Effect\":\"Deny\",\"Action\":\"*\","
                  "\"NotResource\":\"arn:aws:s3:::b/${aws:none}/*\"}" END,
              &ann_gets),
        IAM_DENY);
}

static void nobody_is_no_account(void **state)
{
    struct iam_request q = ann_gets;

    (void)state;
    q.principal = q.account = q.canonical = "";
    assert_int_equal(
        judge(IAM_RESOURCE,
              V12 "{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\","
                  "\"Principal\":{\"CanonicalUser\":\"\"}}" END,
              &q),
        IAM_NOTHING);
    assert_int_equal(
        judge(IAM_RESOURCE,
              V12 "{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\","
                  "\"Principal\":{\"AWS\":\"*\"}}" END,
              &q),
        IAM_ALLOW);
}

static void a_malformed_policy_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *text, *says;
    } table[] = {
        {"", "valid JSON"},
        {"[]", "no JSON object"},
        {"{}", "required field Statement"},
        {"{\"Statement\":[]}", "required field Statement"},
        {"{\"Version\":\"2013-01-01\",\"Statement\":{}}", "Version"},
        {"{\"Id\":1,\"Statement\":{}}", "Id"},
        {"{\"Foo\":1,\"Statement\":{}}", "Foo: Unknown field"},
        {V12 "1" END, "Statement[0]: is no object"},
        {V12 ANY_GET "}" END, "Statement[0]: Missing required field Principal"},
        {V12 ANY_GET ",\"Principal\":\"x\"}" END, "Invalid principal"},
        {V12 ANY_GET ",\"Principal\":{\"AWS\":\"arn:aws:iam::1:x\"}}" END,
         "Statement[0]: Principal: Invalid principal in policy"},
        {V12 ANY_GET ",\"Principal\":{\"AWS\":[]}}" END, "Invalid principal"},
        {V12 ANY_GET ",\"Principal\":{\"Foo\":\"*\"}}" END, "\"Foo\""},
        {V12 ANY_GET ",\"Principal\":\"*\",\"NotPrincipal\":\"*\"}" END,
         "exclude"},
        {V12 ANY_GET ",\"NotAction\":\"*\",\"Principal\":\"*\"}" END,
         "NotAction"},
        {V12 ANY_GET ",\"Principal\":\"*\",\"Sid\":1}" END, "Sid: is no text"},
        {V12 ANY_GET ",\"Principal\":\"*\",\"Sids\":1}" END, "Unknown field"},
        {V12 ANY_GET ",\"Principal\":\"*\",\"Condition\":[]}" END,
         "Condition: is no object"},
        {V12 ANY_GET
         ",\"Principal\":\"*\",\"Condition\":{\"Foo\":{\"a:b\":1}}}" END,
         "Condition: Foo.a:b: Invalid Condition type : Foo"},
        {V12 ANY_GET ",\"Principal\":\"*\",\"Condition\":{\"NullIfExists\":"
                     "{\"a:b\":true}}}" END,
         "Invalid Condition type"},
        {V12 ANY_GET ",\"Principal\":\"*\",\"Condition\":{\"IpAddress\":"
                     "{\"aws:SourceIp\":\"300.1\"}}}" END,
         "IpAddress.aws:SourceIp: \"300.1\" is not an IP"},
        {V12 ANY_GET ",\"Principal\":\"*\",\"Condition\":{\"Bool\":"
                     "{\"a:b\":\"x\"}}}" END,
         "not true or false"},
        {V12 ANY_GET ",\"Principal\":\"*\",\"Condition\":{\"NumericEquals\":"
                     "{\"a:b\":\"x\"}}}" END,
         "not a number"},
        {V12 ANY_GET ",\"Principal\":\"*\",\"Condition\":{\"DateEquals\":"
                     "{\"a:b\":\"2026-99-01\"}}}" END,
         "not a date"},
        {V12 ANY_GET ",\"Principal\":\"*\",\"Condition\":{\"ArnLike\":"
                     "{\"a:b\":\"x\"}}}" END,
         "is no ARN"},
        {V12 ANY_GET ",\"Principal\":\"*\",\"Condition\":{\"StringEquals\":"
                     "{\"a:b\":\"${x\"}}}" END,
         "without }"},
        {V12 ANY_GET ",\"Principal\":\"*\",\"Condition\":{\"StringEquals\":"
                     "{\"ab\":\"x\"}}}" END,
         "no condition key"},
        {V12 "{\"Effect\":\"allow\"}" END, "Invalid effect: allow"},
        {V12 "{\"Effect\":\"Deny\"}" END, "Missing required field Action"},
        {V12 "{\"Effect\":\"Deny\",\"Action\":\"foo\"}" END,
         "invalid action: \"foo\""},
        {V12 "{\"Effect\":\"Deny\",\"Action\":\"iam:*\"}" END,
         "invalid action"},
        {V12 "{\"Effect\":\"Deny\",\"Action\":[]}" END, "is empty"},
        {V12 "{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":"
             "\"arn:aws:s3:::bc/*\"}" END,
         "Resource: Policy has invalid resource"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct iam_policy *p = NULL;
        struct err err = {{0}};
        int rc = iam_read(IAM_RESOURCE, "b", table[i].text,
                          strlen(table[i].text), &p, &err);
        if (rc != ERR_BAD_INPUT || p != NULL ||
            strstr(err.text, table[i].says) == NULL) {
            fail_msg("%s: %d %s", table[i].text, rc, err.text);
        }
    }
}

static void bounds_are_refused(void **state)
{
    struct iam_policy *p = NULL;
    char *big = mem_alloc(IAM_RESOURCE_BYTES_MAX + 2);
    struct buf b = {0};

    (void)state;
    memset(big, ' ', IAM_RESOURCE_BYTES_MAX + 1);
    assert_int_equal(
        iam_read(IAM_RESOURCE, "b", big, IAM_RESOURCE_BYTES_MAX + 1, &p, NULL),
        ERR_LIMIT);
    memset(big, 'x', IAM_PATTERN_MAX);
    big[IAM_PATTERN_MAX] = '\0';
    buf_printf(&b,
               "{\"Statement\":{\"Effect\":\"Deny\",\"Action\":\"*\","
               "\"Resource\":\"arn:%s\"}}",
               big);
    assert_int_equal(iam_read(IAM_IDENTITY, NULL, b.data, b.len, &p, NULL),
                     ERR_LIMIT);
    assert_null(p);
    buf_free(&b);
    free(big);
}

static void deny_beats_allow_beats_nothing_in_every_pair(void **state)
{
    static const char *const rules[] = {
        "{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}",
        "{\"Effect\":\"Deny\",\"Action\":\"s3:Get*\",\"Resource\":\"*\"}",
        "{\"Effect\":\"Allow\",\"Action\":\"s3:Put*\",\"Resource\":\"*\"}",
        "{\"Effect\":\"Deny\",\"Action\":\"s3:Put*\",\"Resource\":\"*\"}",
        "{\"Effect\":\"Deny\",\"NotAction\":\"s3:Put*\",\"Resource\":\"*\"}",
        "{\"Effect\":\"Allow\",\"NotAction\":\"s3:Put*\",\"Resource\":"
        "\"arn:aws:s3:::b/home/*\"}",
        "{\"Effect\":\"Allow\",\"Action\":\"*\",\"NotResource\":"
        "\"arn:aws:s3:::b/home/*\"}",
    };
    static const enum iam_effect alone[] = {
        IAM_ALLOW, IAM_DENY,  IAM_NOTHING, IAM_NOTHING,
        IAM_DENY,  IAM_ALLOW, IAM_NOTHING,
    };
    const size_t n = sizeof rules / sizeof rules[0];
    char text[1024];

    (void)state;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n; k++) {
            enum iam_effect want = alone[i] > alone[k] ? alone[i] : alone[k];
            snprintf(text, sizeof text, V12 "%s,%s" END, rules[i], rules[k]);
            assert_int_equal(judge(IAM_IDENTITY, text, &ann_gets), want);
        }
    }
}

/* The reference: '*' alone, by recursion. */
static bool glob(const char *p, const char *s)
{
    if (*p == '\0') {
        return *s == '\0';
    }
    if (*p == '*') {
        return glob(p + 1, s) || (*s != '\0' && glob(p, s + 1));
    }
    return *s != '\0' && (*p == '?' || *p == *s) && glob(p + 1, s + 1);
}

static void random_policies_agree_with_the_reference(void **state)
{
    uint64_t seed = 20261123;
    struct buf b = {0};

    (void)state;
#define NEXT(n)                                       \
    (seed = seed * 6364136223846793005u + 1442695040, \
     (unsigned)(seed >> 33) % (unsigned)(n))
    for (int round = 0; round < 20000; round++) {
        struct iam_request q = {.action = "s3:a", .resource = NULL};
        enum iam_effect want = IAM_NOTHING;
        char name[8] = "arn:";
        size_t count = 1 + NEXT(4);
        for (size_t i = 4; i < 7; i++) {
            name[i] = "ab"[NEXT(2)];
        }
        q.resource = name;
        buf_clear(&b);
        buf_str(&b, V12);
        for (size_t i = 0; i < count; i++) {
            bool deny = NEXT(2) == 0, not = NEXT(4) == 0;
            char pattern[8] = "arn:";
            size_t len = 1 + NEXT(3);
            bool hit;
            for (size_t k = 0; k < len; k++) {
                pattern[4 + k] = "ab*?"[NEXT(4)];
            }
            pattern[4 + len] = '\0';
            hit = glob(pattern, name) != not ;
            if (hit && (deny || want == IAM_NOTHING)) {
                want = deny ? IAM_DENY : IAM_ALLOW;
            }
            buf_printf(&b,
                       "%s{\"Effect\":\"%s\",\"Action\":\"s3:?\","
                       "\"%sResource\":\"%s\"}",
                       i > 0 ? "," : "", deny ? "Deny" : "Allow",
                       not ? "Not" : "", pattern);
        }
        buf_str(&b, END);
        if (judge(IAM_IDENTITY, (char *)b.data, &q) != want) {
            fail_msg("%s on %s is not %d", (char *)b.data, name, want);
        }
    }
    buf_free(&b);
}

static void conditions_in_common_are_judged_for_each_statement(void **state)
{
#define IP "\"Condition\":{\"IpAddress\":{\"aws:SourceIp\":\"%s\"}}"
#define RULE(effect, condition) \
    "{\"Effect\":\"" effect     \
    "\",\"Action\":\"*\",\"Resource\":\"*\"," condition "}"
    static const char far[] = "11.0.0.0/8", near[] = "10.0.0.0/8";
    char text[1024];

    (void)state;
    snprintf(text, sizeof text, V12 RULE("Allow", IP) "," RULE("Deny", IP) END,
             far, far);
    assert_int_equal(judge(IAM_IDENTITY, text, &ann_gets), IAM_NOTHING);
    snprintf(text, sizeof text, V12 RULE("Allow", IP) "," RULE("Deny", IP) END,
             near, far);
    assert_int_equal(judge(IAM_IDENTITY, text, &ann_gets), IAM_ALLOW);
    snprintf(text, sizeof text, V12 RULE("Allow", IP) "," RULE("Deny", IP) END,
             near, near);
    assert_int_equal(judge(IAM_IDENTITY, text, &ann_gets), IAM_DENY);
}

static void public_is_what_confines_nobody(void **state)
{
    static const struct {
        const char *more;
        bool is_public;
    } table[] = {
        {"\"Principal\":\"*\"", true},
        {"\"Principal\":{\"AWS\":\"*\"}", true},
        {"\"Principal\":{\"AWS\":\"111122223333\"}", false},
        {"\"NotPrincipal\":{\"AWS\":\"111122223333\"}", true},
        {"\"Principal\":\"*\",\"Condition\":{\"IpAddress\":{\"aws:SourceIp\":"
         "\"10.0.0.0/8\"}}",
         false},
        {"\"Principal\":\"*\",\"Condition\":{\"IpAddress\":{\"aws:SourceIp\":"
         "\"0.0.0.0/1\"}}",
         true},
        {"\"Principal\":\"*\",\"Condition\":{\"StringEquals\":"
         "{\"aws:SourceVpc\":\"vpc-1\"}}",
         false},
        {"\"Principal\":\"*\",\"Condition\":{\"StringLike\":"
         "{\"aws:SourceVpc\":\"vpc-*\"}}",
         true},
        {"\"Principal\":\"*\",\"Condition\":{\"Bool\":"
         "{\"aws:SecureTransport\":true}}",
         true},
    };
    char text[1024];

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct iam_policy *p = NULL;
        snprintf(text, sizeof text, V12 ANY_GET ",%s}" END, table[i].more);
        assert_int_equal(
            iam_read(IAM_RESOURCE, "b", text, strlen(text), &p, NULL), 0);
        if (iam_is_public(p) != table[i].is_public) {
            fail_msg("%s", table[i].more);
        }
        iam_free(p);
    }
}

static void a_policy_knows_whether_it_asks_for_tags(void **state)
{
    static const struct {
        const char *resource, *condition;
        bool asks;
    } table[] = {
        {"*", "\"StringEquals\":{\"s3:prefix\":\"a\"}", false},
        {"*", "\"StringEquals\":{\"s3:RequestObjectTag/a\":\"a\"}", false},
        {"*", "\"StringEquals\":{\"s3:ExistingObjectTag/a\":\"a\"}", true},
        {"*", "\"Null\":{\"S3:EXISTINGOBJECTTAG/a\":\"true\"}", true},
        {"*", "\"Null\":{\"s3:\\u0045xistingObjectTag/a\":\"true\"}", true},
        {"arn:aws:s3:::b/${s3:ExistingObjectTag/a}",
         "\"StringEquals\":{\"s3:prefix\":\"a\"}", true},
        {"*", "\"StringEquals\":{\"s3:prefix\":\"${s3:existingobjecttag/a}\"}",
         true},
    };

    (void)state;
    assert_false(iam_asks_for_tags(NULL));
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char text[600];
        struct iam_policy *p;
        snprintf(text, sizeof text,
                 "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":"
                 "\"Deny\",\"Action\":\"s3:*\",\"Resource\":\"%s\","
                 "\"Condition\":{%s}}]}",
                 table[i].resource, table[i].condition);
        assert_int_equal(
            iam_read(IAM_IDENTITY, NULL, text, strlen(text), &p, NULL), 0);
        if (iam_asks_for_tags(p) != table[i].asks) {
            fail_msg("%s", text);
        }
        iam_free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions_hold_as_documented),
        cmocka_unit_test(actions_resources_and_principals_match),
        cmocka_unit_test(variables_are_text_in_the_old_version),
        cmocka_unit_test(a_deny_with_an_unknown_variable_still_denies),
        cmocka_unit_test(nobody_is_no_account),
        cmocka_unit_test(a_malformed_policy_is_refused_with_its_place),
        cmocka_unit_test(bounds_are_refused),
        cmocka_unit_test(deny_beats_allow_beats_nothing_in_every_pair),
        cmocka_unit_test(random_policies_agree_with_the_reference),
        cmocka_unit_test(conditions_in_common_are_judged_for_each_statement),
        cmocka_unit_test(public_is_what_confines_nobody),
        cmocka_unit_test(a_policy_knows_whether_it_asks_for_tags),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
