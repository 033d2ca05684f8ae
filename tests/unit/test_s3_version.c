/* test_s3_version.c: version ids, and what headers say of objects.
 *
 * Goal: every number of the catalogue is an id and back, nothing else is one;
 * headers of tags and locks are taken as S3 takes them, refused as it does, and
 * given back as they came.
 * Method: single requests made by hand; every refusal by its error.
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
#include "base/mem.h"
#include "base/text.h"
#include "gateway/request.h"
#include "gateway/s3_more.h"
#include "gateway/s3_version.h"

#define NOW 1795000000000 /* 2026-11-18 */

/* ---- version ids ---- */

static void numbers_are_ids_and_back(void **state)
{
    static const uint64_t numbers[] = {2, 1024 * 1024, 0x123456789abcdef,
                                       META_VERSION_MARKER - 1};
    char text[S3_VERSION_TEXT];
    const char *why;
    uint64_t v;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        assert_true(
            s3_version_parse(s3_version_text(numbers[i], text), &v, &why));
        assert_int_equal(v, numbers[i]);
        assert_string_equal(
            s3_version_text(numbers[i] | META_VERSION_MARKER, text),
            s3_version_text(numbers[i], text));
    }
    assert_string_equal(s3_version_text(META_VERSION_NULL, text), "null");
    assert_true(s3_version_parse("null", &v, &why));
    assert_int_equal(v, META_VERSION_NULL);
    assert_true(s3_version_parse(NULL, &v, &why));
    assert_int_equal(v, META_VERSION_CURRENT);
}

static void what_is_no_id_is_refused(void **state)
{
    static const char *const bad[] = {
        "x",
        "0000000000000000",
        "0000000000000001", /* the null version by its number */
        "000000000000000g",
        "000000000000000A",
        "00000000000fffff0",
        "00000000000ffff",
        "8000000000000005", /* with the bit of markers */
        "NULL",
    };
    const char *why = NULL;
    uint64_t v;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(s3_version_parse(bad[i], &v, &why));
        assert_string_equal(why, "Invalid version id specified");
    }
    assert_false(s3_version_parse("", &v, &why));
    assert_string_equal(why, "Version id cannot be the empty string");
}

/* ---- headers ---- */

static struct request *ask(const char *name, ...)
{
    struct request *r = mem_alloc(sizeof *r);
    va_list ap;

    r->magic = REQUEST_MAGIC;
    r->method = "PUT";
    r->path = "/b/k";
    r->time_ms = NOW;
    va_start(ap, name);
    for (; name != NULL; name = va_arg(ap, const char *)) {
        r->headers[r->header_count].name = name;
        r->headers[r->header_count].value = va_arg(ap, const char *);
        r->header_count++;
    }
    va_end(ap);
    return r;
}

static void end(struct request *r)
{
    buf_free(&r->reply_headers);
    buf_free(&r->reply_body);
    buf_free(&r->command);
    free(r);
}

static void refuse(struct request *r, enum s3_error e)
{
    struct s3_more m;

    assert_false(s3_more_from(r, &m));
    assert_int_equal(r->error, e);
    end(r);
}

#define MODE "x-amz-object-lock-mode"
#define UNTIL "x-amz-object-lock-retain-until-date"
#define HOLD "x-amz-object-lock-legal-hold"

static void headers_that_are_wrong_are_refused(void **state)
{
    (void)state;
    refuse(ask(MODE, "COMPLIANCE", NULL), S3_InvalidArgument);
    refuse(ask(UNTIL, "2030-01-01T00:00:00Z", NULL), S3_InvalidArgument);
    refuse(ask(MODE, "Compliance", UNTIL, "2030-01-01T00:00:00Z", NULL),
           S3_InvalidArgument);
    refuse(ask(MODE, "COMPLIANCE", UNTIL, "2020-01-01T00:00:00Z", NULL),
           S3_InvalidArgument);
    refuse(ask(MODE, "COMPLIANCE", UNTIL, "never", NULL), S3_InvalidArgument);
    refuse(ask(HOLD, "on", NULL), S3_InvalidArgument);
    refuse(ask("x-amz-tagging", "a=1&a=2", NULL), S3_InvalidTag);
    refuse(ask("x-amz-tagging", "a=%zz", NULL), S3_InvalidArgument);
}

static void what_is_said_is_in_the_command(void **state)
{
    struct request *r =
        ask("X-Amz-Tagging", "a=1&b=x+y", MODE, "GOVERNANCE", UNTIL,
            "2027-01-01T00:00:00.000Z", HOLD, "ON", NULL);
    struct s3_more m;
    struct command c;

    (void)state;
    assert_true(s3_more_from(r, &m));
    command_object_delete(&r->command, "b", "k", NULL, 1);
    s3_more_add(r, &m);
    assert_int_equal(command_decode(r->command.data, r->command.len, &c, NULL),
                     0);
    assert_int_equal(c.tags.len, strlen("a=1&b=x%20y"));
    assert_memory_equal(c.tags.p, "a=1&b=x%20y", c.tags.len);
    assert_int_equal(c.lock, META_LOCK_GOVERNANCE);
    assert_int_equal(c.retain_ms, 1798761600000);
    assert_true(c.hold);
    s3_more_free(&m);
    end(r);
}

static void nothing_said_leaves_the_command_as_it_is(void **state)
{
    struct request *r = ask(HOLD, "OFF", NULL);
    struct s3_more m;
    size_t len;

    (void)state;
    assert_true(s3_more_from(r, &m));
    command_object_delete(&r->command, "b", "k", NULL, 1);
    len = r->command.len;
    s3_more_add(r, &m);
    assert_int_equal(r->command.len, len);
    s3_more_free(&m);
    end(r);
}

static bool has_header(const struct request *r, const char *name,
                       const char *value)
{
    const char *p = (const char *)r->reply_headers.data;
    const char *stop = p + r->reply_headers.len;

    while (p < stop) {
        const char *v = p + strlen(p) + 1;
        if (text_ieq(p, name)) {
            return value != NULL && strcmp(v, value) == 0;
        }
        p = v + strlen(v) + 1;
    }
    return value == NULL;
}

static void an_object_tells_of_its_tags_and_locks(void **state)
{
    struct request *r = ask(NULL);
    struct meta_object o = {.tags = (uint8_t *)"a=1&b=2",
                            .tags_len = 7,
                            .lock = META_LOCK_COMPLIANCE,
                            .retain_ms = 1798761600000,
                            .hold_said = true};

    (void)state;
    s3_more_reply(r, &o);
    assert_true(has_header(r, "x-amz-tagging-count", "2"));
    assert_true(has_header(r, MODE, "COMPLIANCE"));
    assert_true(has_header(r, UNTIL, "2027-01-01T00:00:00.000Z"));
    assert_true(has_header(r, HOLD, "OFF"));
    buf_clear(&r->reply_headers);
    o = (struct meta_object){.hold = true, .hold_said = true};
    s3_more_reply(r, &o);
    assert_true(has_header(r, "x-amz-tagging-count", NULL));
    assert_true(has_header(r, MODE, NULL));
    assert_true(has_header(r, HOLD, "ON"));
    buf_clear(&r->reply_headers);
    s3_version_reply_made(r, META_VERSION_NULL); /* a suspended bucket */
    assert_true(has_header(r, "x-amz-version-id", NULL));
    s3_version_reply_deleted(r, META_VERSION_NULL | META_VERSION_MARKER);
    assert_true(has_header(r, "x-amz-version-id", "null"));
    assert_true(has_header(r, "x-amz-delete-marker", "true"));
    end(r);
}

static void bypass_is_true_or_false(void **state)
{
    static const char *const rows[] = {"true", "True", "false", "1"};
    static const bool given[] = {true, true, false};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct request *r =
            ask("x-amz-bypass-governance-retention", rows[i], NULL);
        bool bypass;
        assert_int_equal(s3_bypass_header(r, &bypass), i < 3);
        if (i < 3) {
            assert_int_equal(bypass, given[i]);
        }
        end(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_ids_and_back),
        cmocka_unit_test(what_is_no_id_is_refused),
        cmocka_unit_test(headers_that_are_wrong_are_refused),
        cmocka_unit_test(what_is_said_is_in_the_command),
        cmocka_unit_test(nothing_said_leaves_the_command_as_it_is),
        cmocka_unit_test(an_object_tells_of_its_tags_and_locks),
        cmocka_unit_test(bypass_is_true_or_false),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
