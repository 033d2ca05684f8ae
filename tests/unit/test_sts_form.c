/* test_sts_form.c: what a request to STS asks for.
 *
 * Goal: each field is taken within its bounds or refused by its name; nothing
 * that would narrow a session is ignored. Method: a table of forms.
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
#include "gateway/sts_form.h"

#define V "&Version=2011-06-15"
#define ROLE "Action=AssumeRole" V

static enum s3_error read_form(const char *s, struct sts_form *f,
                               struct err *err)
{
    char *exact = mem_dup(s, strlen(s) > 0 ? strlen(s) : 1); /* no NUL behind */
    enum s3_error e = sts_form_read(exact, strlen(s), f, err);

    free(exact);
    return e;
}

static void what_is_asked_is_given(void **state)
{
    struct sts_form f;

    (void)state;
    assert_int_equal(read_form(ROLE, &f, NULL), S3_OK);
    assert_int_equal(f.action, STS_ASSUME_ROLE);
    assert_int_equal(f.duration_s, 3600);
    assert_string_equal(f.name, "");
    assert_int_equal(f.policy_len, 0);
    assert_int_equal(read_form("&&" ROLE "&DurationSeconds=900&Policy=%7B+%7d&"
                               "RoleSessionName=a%2Bb&RoleArn=x&ExternalId=y&",
                               &f, NULL),
                     S3_OK);
    assert_int_equal(f.duration_s, 900);
    assert_string_equal(f.policy, "{ }");
    assert_int_equal(f.policy_len, 3);
    assert_string_equal(f.name, "a+b");
    assert_string_equal(f.role, "x");
    assert_int_equal(
        read_form("Version=2011-06-15&Action=GetSessionToken", &f, NULL),
        S3_OK);
    assert_int_equal(f.action, STS_GET_SESSION_TOKEN);
    assert_int_equal(f.duration_s, 43200);
    assert_int_equal(read_form("Action=GetCallerIdentity" V, &f, NULL), S3_OK);
    assert_int_equal(f.action, STS_GET_CALLER_IDENTITY);
}

static void what_is_wrong_is_named(void **state)
{
    static const struct {
        const char *form;
        enum s3_error e;
        const char *named;
    } rows[] = {
        {"", S3_MissingAction, "Action"},
        {"Version=2011-06-15", S3_MissingAction, "Action"},
        {"Action=AssumeRole", S3_InvalidAction, "AssumeRole"},
        {"Action=assumerole" V, S3_InvalidAction, "assumerole"},
        {ROLE "&Tags.member.1.Key=a", S3_ValidationError, "Tags.member.1.Key"},
        {ROLE "&SerialNumber=1", S3_ValidationError, "SerialNumber"},
        {ROLE "&SourceIdentity=x", S3_ValidationError, "SourceIdentity"},
        {ROLE "&DurationSeconds=", S3_ValidationError, "DurationSeconds"},
        {ROLE "&DurationSeconds=18446744073709552516", S3_ValidationError,
         "DurationSeconds"},
        {ROLE "&Policy", S3_ValidationError, "Policy"},
        {ROLE "&RoleSessionName=%C3%A4", S3_ValidationError, "RoleSessionName"},
        {ROLE "&RoleArn=%", S3_ValidationError, "RoleArn"},
        {ROLE "&RoleArn=%ff", S3_ValidationError, "RoleArn"},
        {ROLE "&RoleArn=a%00b", S3_ValidationError, "RoleArn"},
        {ROLE "&%zz=a", S3_ValidationError, "body"},
        {ROLE "&Version=2011-06-15", S3_ValidationError, "Version"},
        {"Action=GetCallerIdentity&DurationSeconds=900" V, S3_ValidationError,
         "DurationSeconds"},
        {"Action=GetSessionToken&Policy=x" V, S3_ValidationError, "Policy"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = {{0}};
        struct sts_form f;
        assert_int_equal(read_form(rows[i].form, &f, &err), rows[i].e);
        assert_non_null(strstr(err.text, rows[i].named));
    }
}

static void a_nul_byte_and_too_many_fields_are_refused(void **state)
{
    static const char nul[] = ROLE "&RoleArn=a\0b";
    char many[STS_FIELDS_MAX * 2 + 3];
    struct sts_form f;
    struct err err = {{0}};

    (void)state;
    assert_int_equal(sts_form_read(nul, sizeof nul - 1, &f, &err),
                     S3_ValidationError);
    for (size_t i = 0; i + 1 < sizeof many; i++) {
        many[i] = i % 2 == 0 ? 'a' : '&';
    }
    assert_int_equal(sts_form_read(many, sizeof many - 1, &f, &err),
                     S3_ValidationError);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_asked_is_given),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(a_nul_byte_and_too_many_fields_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
