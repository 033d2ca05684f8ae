/* test_s3_lifecycle.c: when the objects of a bucket end.
 *
 * Goal: documents are taken or refused as AWS does, what is kept means what was
 * sent, and no object is due earlier than its rules say.
 * Method: tables of documents with their answers; one document of rules and a
 * table of objects with their due times, to the millisecond around midnight.
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
#include "gateway/s3_config.h"
#include "gateway/s3_lifecycle.h"

#define DAY ((uint64_t)86400000)
#define DOC(rules) "<LifecycleConfiguration>" rules "</LifecycleConfiguration>"
#define RULE(inside) "<Rule><Status>Enabled</Status>" inside "</Rule>"
#define ALL "<Filter/>"
#define FILTER(inside) "<Filter>" inside "</Filter>"
#define AND(inside) FILTER("<And>" inside "</And>")
#define PREFIX(p) "<Prefix>" p "</Prefix>"
#define TAG(k, v) "<Tag><Key>" k "</Key><Value>" v "</Value></Tag>"
#define EXPIRE(inside) "<Expiration>" inside "</Expiration>"
#define DAYS(n) EXPIRE("<Days>" n "</Days>")
#define DATE(d) EXPIRE("<Date>" d "</Date>")
#define MARKER \
    EXPIRE("<ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker>")
#define NONCURRENT(inside) \
    "<NoncurrentVersionExpiration>" inside "</NoncurrentVersionExpiration>"
#define NONCURRENT_DAYS(n) "<NoncurrentDays>" n "</NoncurrentDays>"
#define NEWER(n) "<NewerNoncurrentVersions>" n "</NewerNoncurrentVersions>"
#define ABORT(n)                                              \
    "<AbortIncompleteMultipartUpload><DaysAfterInitiation>" n \
    "</DaysAfterInitiation></AbortIncompleteMultipartUpload>"
#define GREATER(n) "<ObjectSizeGreaterThan>" n "</ObjectSizeGreaterThan>"
#define LESS(n) "<ObjectSizeLessThan>" n "</ObjectSizeLessThan>"

static void documents_are_judged_as_aws_does(void **state)
{
    static const struct {
        const char *text;
        enum s3_error error;
        const char *says;
    } rows[] = {
        {DOC(RULE(ALL DAYS("1"))), S3_OK, ""},
        {DOC(RULE(PREFIX("") DAYS("1"))), S3_OK, ""},
        {DOC(RULE(FILTER(PREFIX("a")) ABORT("7"))), S3_OK, ""},
        {DOC(RULE(FILTER(TAG("a", "")) DATE("2030-01-01T00:00:00.000Z"))),
         S3_OK, ""},
        {DOC(RULE(ALL DATE("2030-01-01"))), S3_OK, ""},
        {DOC(RULE(ALL DATE("2030-01-01T00:00:00Z"))), S3_OK, ""},
        {DOC(RULE(AND(PREFIX("a") TAG("a", "1") TAG("b", "2") GREATER("1") LESS(
             "3")) DAYS("1") NONCURRENT(NONCURRENT_DAYS("2") NEWER("3")))),
         S3_OK, ""},
        {DOC(RULE("<ID>x</ID>" ALL DAYS("1")) RULE("<ID>y</ID>" ALL MARKER)),
         S3_OK, ""},
        {DOC(RULE(ALL DAYS("1")) RULE(ALL DAYS("1"))), S3_OK, ""},

        {"", S3_MalformedXML, "well-formed"},
        {DOC(""), S3_MalformedXML, "well-formed"},
        {DOC("<Rule>" ALL DAYS("1") "</Rule>"), S3_MalformedXML, ""},
        {DOC("<Rule><Status>enabled</Status>" ALL DAYS("1") "</Rule>"),
         S3_MalformedXML, ""},
        {DOC(RULE(DAYS("1"))), S3_MalformedXML, ""},
        {DOC(RULE(ALL PREFIX("a") DAYS("1"))), S3_MalformedXML, ""},
        {DOC(RULE(FILTER(PREFIX("a") TAG("a", "1")) DAYS("1"))),
         S3_MalformedXML, ""},
        {DOC(RULE(AND(PREFIX("a")) DAYS("1"))), S3_MalformedXML, ""},
        {DOC(RULE(AND("<And/>") DAYS("1"))), S3_MalformedXML, ""},
        {DOC(RULE(ALL EXPIRE("<Days>1</Days><Date>2030-01-01</Date>"))),
         S3_MalformedXML, ""},
        {DOC(RULE(ALL EXPIRE(""))), S3_MalformedXML, ""},
        {DOC(RULE(ALL DAYS("x"))), S3_MalformedXML, ""},
        {DOC(RULE(ALL DAYS("2147483648"))), S3_MalformedXML, ""},
        {DOC(RULE(ALL DATE("soon"))), S3_MalformedXML, ""},
        {DOC(RULE(ALL NONCURRENT(NEWER("1")))), S3_MalformedXML, ""},
        {DOC(RULE(ALL "<Other/>")), S3_MalformedXML, ""},
        {DOC(RULE(FILTER(GREATER("-1")) DAYS("1"))), S3_MalformedXML, ""},

        {DOC(RULE(ALL DAYS("0"))), S3_InvalidArgument,
         "'Days' for Expiration action must be a positive integer"},
        {DOC(RULE(ALL DAYS("-3"))), S3_InvalidArgument, "'Days'"},
        {DOC(RULE(ALL NONCURRENT(NONCURRENT_DAYS("0")))), S3_InvalidArgument,
         "'NoncurrentDays' for NoncurrentVersionExpiration"},
        {DOC(RULE(ALL NONCURRENT(NONCURRENT_DAYS("1") NEWER("101")))),
         S3_InvalidArgument, "at most 100"},
        {DOC(RULE(ALL ABORT("0"))), S3_InvalidArgument,
         "'DaysAfterInitiation' for AbortIncompleteMultipartUpload"},
        {DOC(RULE(ALL DATE("2030-01-01T01:00:00Z"))), S3_InvalidArgument,
         "midnight GMT"},
        {DOC(RULE("<ID>x</ID>" ALL DAYS("1")) RULE("<ID>x</ID>" ALL MARKER)),
         S3_InvalidArgument, "must be unique"},
        {DOC(RULE(ALL)), S3_InvalidRequest, "At least one action"},
        {DOC(RULE(FILTER(TAG("a", "1")) MARKER)), S3_InvalidRequest,
         "ExpiredObjectDeleteMarker cannot be specified with Tags"},
        {DOC(RULE(FILTER(TAG("a", "1")) ABORT("1"))), S3_InvalidRequest,
         "cannot be specified with Tags"},
        {DOC(RULE(FILTER(GREATER("1")) ABORT("1"))), S3_InvalidRequest,
         "Object Size"},
        {DOC(RULE(AND(TAG("a", "1") TAG("a", "2")) DAYS("1"))),
         S3_InvalidRequest, "Duplicate Tag Keys"},
        {DOC(RULE(AND(GREATER("5") LESS("5")) DAYS("1"))), S3_InvalidRequest,
         "greater than"},
        {DOC(RULE(FILTER(TAG("aws:a", "1")) DAYS("1"))), S3_InvalidTag, ""},
        {DOC(RULE(ALL "<Transition><Days>1</Days><StorageClass>GLACIER"
                      "</StorageClass></Transition>")),
         S3_NotImplemented, "Transitions"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf once = {0};
        struct buf twice = {0};
        struct err err = {{0}};
        enum s3_error e =
            s3_lifecycle_judge(rows[i].text, strlen(rows[i].text), &once, &err);
        if (e != rows[i].error || strstr(err.text, rows[i].says) == NULL) {
            fail_msg("row %zu: %s: %s", i, s3_error_code(e), err.text);
        }
        if (e == S3_OK) { /* what is kept reads back the same */
            assert_int_equal(
                s3_lifecycle_judge(once.data, once.len, &twice, &err), S3_OK);
            assert_string_equal((char *)once.data, (char *)twice.data);
        }
        buf_free(&once);
        buf_free(&twice);
    }
}

static enum s3_error many(size_t rules, size_t id_len)
{
    struct buf b = {0};
    struct s3_lifecycle l = {0};
    enum s3_error e;

    buf_str(&b, "<LifecycleConfiguration>");
    for (size_t i = 0; i < rules; i++) {
        buf_str(&b, "<Rule><ID>");
        for (size_t j = 0; j < id_len; j++) {
            buf_char(&b, 'i');
        }
        buf_str(&b, "</ID><Status>Enabled</Status>" ALL DAYS("1") "</Rule>");
    }
    buf_str(&b, "</LifecycleConfiguration>");
    e = s3_lifecycle_read(b.data, b.len, &l, NULL);
    s3_lifecycle_free(&l);
    buf_free(&b);
    return e;
}

static void limits_are_those_of_aws(void **state)
{
    (void)state;
    assert_int_equal(many(1000, 0), S3_OK);
    assert_int_equal(many(1001, 0), S3_InvalidRequest);
    assert_int_equal(many(1, 255), S3_OK);
    assert_int_equal(many(1, 256), S3_InvalidArgument);
}

static void must_read(const char *text, struct s3_lifecycle *l)
{
    struct err err = {{0}};

    if (s3_lifecycle_read(text, strlen(text), l, &err) != S3_OK) {
        fail_msg("%s", err.text);
    }
}

static const char rules[] = DOC(
    RULE("<ID>logs</ID>" FILTER(PREFIX("log/")) DAYS("3"))
        RULE("<ID>tag</ID>" AND(PREFIX("log/") TAG("k", "v")) DAYS("1")) RULE(
            "<ID>big</ID>" AND(GREATER("100") LESS("200")) DAYS("10"))
            RULE("<ID>date</ID>" FILTER(PREFIX("d")) DATE(
                "2000-01-01")) "<Rule><ID>off</ID><Status>Disabled</Status>" ALL
                DAYS("1") "</Rule>" RULE("<ID>old</ID>" FILTER(
                    PREFIX("v")) NONCURRENT(NONCURRENT_DAYS("5") NEWER("2")))
                    RULE("<ID>marks</ID>" PREFIX("m") MARKER)
                        RULE("<ID>parts</ID>" FILTER(PREFIX("u")) ABORT("2")));

static void the_earliest_rule_that_fits_decides(void **state)
{
    static const struct {
        const char *key;
        uint64_t size, modified;
        bool tagged;
        const char *rule; /* NULL: none */
        uint64_t due;
    } rows[] = {
        /* AWS: the 15th at 10:30 and three days are the 19th at midnight. */
        {"log/a", 1, 15 * DAY + 37800000, false, "logs", 19 * DAY},
        {"log/a", 1, 15 * DAY, false, "logs", 19 * DAY},
        {"log/a", 1, 16 * DAY - 1, false, "logs", 19 * DAY},
        {"log/a", 1, 16 * DAY, false, "logs", 20 * DAY},
        {"log/a", 1, 15 * DAY, true, "tag", 17 * DAY},
        {"log", 1, 15 * DAY, true, NULL, S3_LIFECYCLE_NEVER},
        {"x", 100, 0, false, NULL, S3_LIFECYCLE_NEVER},
        {"x", 101, 0, false, "big", 11 * DAY},
        {"x", 199, 0, false, "big", 11 * DAY},
        {"x", 200, 0, false, NULL, S3_LIFECYCLE_NEVER},
        {"log/x", 150, 0, false, "logs", 4 * DAY},
        {"d", 1, 20000 * DAY, false, "date", 946684800000},
        {"v", 1, 0, false, NULL, S3_LIFECYCLE_NEVER},
        {"m", 1, 0, false, NULL, S3_LIFECYCLE_NEVER},
        {"u", 1, 0, false, NULL, S3_LIFECYCLE_NEVER},
    };
    struct s3_tags tags = {0};
    struct s3_lifecycle l;

    (void)state;
    must_read(rules, &l);
    assert_true(s3_lifecycle_needs_tags(&l));
    assert_int_equal(s3_tags_query("a=b&k=v", 10, &tags, NULL), S3_OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct s3_lifecycle_object o = {rows[i].key, rows[i].size,
                                        rows[i].modified,
                                        rows[i].tagged ? &tags : NULL};
        const struct s3_lifecycle_rule *rule = NULL;
        uint64_t due = s3_lifecycle_current(&l, &o, &rule);
        if (due != rows[i].due || (rule != NULL) != (rows[i].rule != NULL) ||
            (rule != NULL && strcmp(rule->id, rows[i].rule) != 0)) {
            fail_msg("row %zu: %llu by %s", i, (unsigned long long)due,
                     rule != NULL ? rule->id : "none");
        }
    }
    s3_tags_free(&tags);
    s3_lifecycle_free(&l);
}

static void noncurrent_versions_count_from_their_successor(void **state)
{
    const struct s3_lifecycle_object v = {"v1", 1, 0, NULL};
    const struct s3_lifecycle_object x = {"x", 150, 0, NULL};
    struct s3_lifecycle l;

    (void)state;
    must_read(rules, &l);
    assert_true(s3_lifecycle_noncurrent(&l, &v, 7 * DAY, 2, NULL) == 13 * DAY);
    assert_true(s3_lifecycle_noncurrent(&l, &v, 7 * DAY, 1, NULL) ==
                S3_LIFECYCLE_NEVER);
    assert_true(s3_lifecycle_noncurrent(&l, &x, 7 * DAY, 9, NULL) ==
                S3_LIFECYCLE_NEVER);
    s3_lifecycle_free(&l);
}

static void markers_and_uploads_have_their_own_times(void **state)
{
    struct s3_lifecycle l;

    (void)state;
    must_read(rules, &l);
    assert_true(s3_lifecycle_marker(&l, "m", 5, NULL) == 5);
    assert_true(s3_lifecycle_marker(&l, "log/a", 15 * DAY, NULL) == 19 * DAY);
    assert_true(s3_lifecycle_marker(&l, "x", 0, NULL) == S3_LIFECYCLE_NEVER);
    assert_true(s3_lifecycle_upload(&l, "u/x", 1, NULL) == 3 * DAY);
    assert_true(s3_lifecycle_upload(&l, "x", 1, NULL) == S3_LIFECYCLE_NEVER);
    s3_lifecycle_free(&l);
}

static void rules_without_a_name_are_named_alike_each_time(void **state)
{
    static const char text[] =
        DOC(RULE(ALL DAYS("1")) RULE(ALL DAYS("1")) RULE(ALL DAYS("2")));
    struct s3_lifecycle a, b;

    (void)state;
    must_read(text, &a);
    must_read(text, &b);
    for (size_t i = 0; i < 3; i++) {
        assert_true(strlen(a.rules[i].id) > 0);
        assert_string_equal(a.rules[i].id, b.rules[i].id);
        assert_string_not_equal(a.rules[i].id, a.rules[(i + 1) % 3].id);
    }
    assert_false(s3_lifecycle_needs_tags(&a));
    s3_lifecycle_free(&a);
    s3_lifecycle_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_judged_as_aws_does),
        cmocka_unit_test(limits_are_those_of_aws),
        cmocka_unit_test(the_earliest_rule_that_fits_decides),
        cmocka_unit_test(noncurrent_versions_count_from_their_successor),
        cmocka_unit_test(markers_and_uploads_have_their_own_times),
        cmocka_unit_test(rules_without_a_name_are_named_alike_each_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
