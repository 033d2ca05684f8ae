/* test_s3_conditions.c: conditional requests.
 *
 * Goal: reads are judged in the order of RFC 9110 section 13.2.2, and of a
 * write's conditions only those are passed on that apply can judge.
 * Method: one object with a known ETag and time; each header alone, then the
 * pairs that AWS documents, then what must be ignored or refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/s3_conditions.h"

/* Mon, 23 Nov 2026 01:02:03 GMT, and a half second. */
#define CHANGED_MS 1795395723500ull
#define BEFORE "Mon, 23 Nov 2026 01:02:02 GMT"
#define SAME "Mon, 23 Nov 2026 01:02:03 GMT"
#define AFTER "Mon, 23 Nov 2026 01:02:04 GMT"
#define OTHER "\"0000\""

static enum s3_condition_result get(const char *match, const char *none,
                                    const char *since, const char *unmodified)
{
    return s3_conditions_get(match, none, since, unmodified, "abcd",
                             CHANGED_MS);
}

static void without_conditions_it_proceeds(void **state)
{
    (void)state;
    assert_int_equal(get(NULL, NULL, NULL, NULL), S3_CONDITION_PROCEED);
}

static void if_match_needs_the_etag_in_its_list(void **state)
{
    static const char *const good[] = {
        "\"abcd\"", "abcd", "*", "\"x\", \"abcd\"", "x,abcd", " \"abcd\" ",
    };
    static const char *const bad[] = {
        "\"abc\"", "\"abcde\"", "abc", "\"\"", "", "ABCD", "W/\"abcd\"",
    };

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(get(good[i], NULL, NULL, NULL), S3_CONDITION_PROCEED);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(get(bad[i], NULL, NULL, NULL), S3_CONDITION_FAILED);
    }
}

static void if_none_match_of_the_etag_is_not_modified(void **state)
{
    static const char *const same[] = {
        "\"abcd\"", "abcd", "*", "\"x\", \"abcd\"", "W/\"abcd\"",
    };

    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        assert_int_equal(get(NULL, same[i], NULL, NULL),
                         S3_CONDITION_NOT_MODIFIED);
    }
    assert_int_equal(get(NULL, OTHER, NULL, NULL), S3_CONDITION_PROCEED);
}

static void dates_are_compared_by_whole_seconds(void **state)
{
    (void)state;
    assert_int_equal(get(NULL, NULL, BEFORE, NULL), S3_CONDITION_PROCEED);
    assert_int_equal(get(NULL, NULL, SAME, NULL), S3_CONDITION_NOT_MODIFIED);
    assert_int_equal(get(NULL, NULL, AFTER, NULL), S3_CONDITION_NOT_MODIFIED);
    assert_int_equal(get(NULL, NULL, NULL, BEFORE), S3_CONDITION_FAILED);
    assert_int_equal(get(NULL, NULL, NULL, SAME), S3_CONDITION_PROCEED);
    assert_int_equal(get(NULL, NULL, NULL, AFTER), S3_CONDITION_PROCEED);
}

static void an_etag_is_asked_instead_of_the_date_of_its_pair(void **state)
{
    (void)state;
    assert_int_equal(get("abcd", NULL, NULL, BEFORE), S3_CONDITION_PROCEED);
    assert_int_equal(get(OTHER, NULL, NULL, AFTER), S3_CONDITION_FAILED);
    assert_int_equal(get(NULL, "abcd", BEFORE, NULL),
                     S3_CONDITION_NOT_MODIFIED);
    assert_int_equal(get(NULL, OTHER, SAME, NULL), S3_CONDITION_PROCEED);
}

static void a_failed_if_match_comes_before_not_modified(void **state)
{
    (void)state;
    assert_int_equal(get(OTHER, "abcd", NULL, NULL), S3_CONDITION_FAILED);
    assert_int_equal(get("abcd", "abcd", NULL, NULL),
                     S3_CONDITION_NOT_MODIFIED);
    assert_int_equal(get(NULL, NULL, SAME, BEFORE), S3_CONDITION_FAILED);
}

static void dates_that_are_none_are_ignored(void **state)
{
    (void)state;
    assert_int_equal(get(NULL, NULL, "yesterday", NULL), S3_CONDITION_PROCEED);
    assert_int_equal(get(NULL, NULL, NULL, ""), S3_CONDITION_PROCEED);
}

static void an_etag_is_taken_with_and_without_quotes(void **state)
{
    static const char *const same[] = {"abcd", "\"abcd\"", " abcd\t"};
    static const char *const none[] = {
        "", "\"\"", "\"", "\"a", "a\"b", "a,b", "W/\"a\"", "\"a\",\"b\"", "  "};

    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        char *etag = s3_etag_parse(same[i]);
        assert_string_equal(etag, "abcd");
        free(etag);
    }
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_null(s3_etag_parse(none[i]));
    }
}

static void writes_take_one_etag_or_the_star(void **state)
{
    struct s3_put_conditions c;
    enum s3_error refusal = S3_OK;
    const char *why = NULL;

    (void)state;
    assert_true(s3_put_conditions_parse(NULL, NULL, &c, &refusal, &why));
    assert_null(c.if_match);
    assert_null(c.if_none_match);
    assert_true(s3_put_conditions_parse("\"abcd\"", "*", &c, &refusal, &why));
    assert_string_equal(c.if_match, "abcd");
    assert_string_equal(c.if_none_match, "*");
    s3_put_conditions_free(&c);
    assert_null(c.if_match);
    assert_true(s3_put_conditions_parse("*", NULL, &c, &refusal, &why));
    assert_string_equal(c.if_match, "*");
    s3_put_conditions_free(&c);
    assert_int_equal(refusal, S3_OK);
}

static void refuse(const char *match, const char *none, enum s3_error want)
{
    char kept;
    struct s3_put_conditions c = {&kept, &kept};
    enum s3_error refusal = S3_OK;
    const char *why = NULL;

    assert_false(s3_put_conditions_parse(match, none, &c, &refusal, &why));
    assert_int_equal(refusal, want);
    assert_non_null(why);
    assert_ptr_equal(c.if_match, &kept); /* untouched */
}

static void writes_refuse_what_apply_cannot_judge(void **state)
{
    char longer[80];

    (void)state;
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    refuse(NULL, "\"abcd\"", S3_NotImplemented);
    refuse(NULL, "*, *", S3_NotImplemented);
    refuse(NULL, "", S3_NotImplemented);
    refuse("abcd", "\"abcd\"", S3_NotImplemented);
    refuse("\"a\", \"b\"", NULL, S3_NotImplemented);
    refuse("W/\"a\"", "*", S3_NotImplemented);
    refuse(longer, NULL, S3_PreconditionFailed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_conditions_it_proceeds),
        cmocka_unit_test(if_match_needs_the_etag_in_its_list),
        cmocka_unit_test(if_none_match_of_the_etag_is_not_modified),
        cmocka_unit_test(dates_are_compared_by_whole_seconds),
        cmocka_unit_test(an_etag_is_asked_instead_of_the_date_of_its_pair),
        cmocka_unit_test(a_failed_if_match_comes_before_not_modified),
        cmocka_unit_test(dates_that_are_none_are_ignored),
        cmocka_unit_test(an_etag_is_taken_with_and_without_quotes),
        cmocka_unit_test(writes_take_one_etag_or_the_star),
        cmocka_unit_test(writes_refuse_what_apply_cannot_judge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
