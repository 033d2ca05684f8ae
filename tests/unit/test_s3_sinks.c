/* test_s3_sinks.c: where a bucket's logs and events go.
 *
 * Goal: documents that ask for what works are kept as they are given back;
 * all others are refused with AWS's code.
 * Method: tables of documents with their answers.
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

#define NS " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""
#define STATUS(inside) "<BucketLoggingStatus>" inside "</BucketLoggingStatus>"
#define ENABLED(inside) STATUS("<LoggingEnabled>" inside "</LoggingEnabled>")
#define TARGET "<TargetBucket>logs</TargetBucket>"
#define PREFIX "<TargetPrefix>a/&amp;</TargetPrefix>"
#define FORMAT(inside) \
    "<TargetObjectKeyFormat>" inside "</TargetObjectKeyFormat>"
#define EVENTS(inside) \
    "<NotificationConfiguration>" inside "</NotificationConfiguration>"

struct row {
    const char *text;
    enum s3_error error;
    const char *kept; /* NULL: nothing */
};

static void judge(s3_config_judge *fn, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct buf b = {0};
        struct err err = {{0}};
        enum s3_error e = fn(rows[i].text, strlen(rows[i].text), &b, &err);
        if (e != rows[i].error) {
            fail_msg("row %zu: %s: %s", i, s3_error_code(e), err.text);
        }
        assert_true(e == S3_OK || err.text[0] != '\0');
        if (e == S3_OK && rows[i].kept != NULL) {
            assert_string_equal((char *)b.data, rows[i].kept);
        } else {
            assert_int_equal(b.len, 0);
        }
        buf_free(&b);
    }
}

static void logs_go_to_a_bucket(void **state)
{
    static const struct row rows[] = {
        {STATUS(""), S3_OK, NULL},
        {ENABLED(TARGET PREFIX), S3_OK,
         "<BucketLoggingStatus" NS "><LoggingEnabled>" TARGET PREFIX
         "</LoggingEnabled></BucketLoggingStatus>"},
        {ENABLED(TARGET PREFIX FORMAT("<SimplePrefix/>")), S3_OK,
         "<BucketLoggingStatus" NS "><LoggingEnabled>" TARGET PREFIX FORMAT(
             "<SimplePrefix></SimplePrefix>") "</LoggingEnabled>"
                                              "</BucketLoggingStatus>"},
        {ENABLED(TARGET PREFIX FORMAT("")), S3_MalformedXML, NULL},
        {ENABLED(TARGET PREFIX FORMAT("<SimplePrefix/><PartitionedPrefix/>")),
         S3_MalformedXML, NULL},
        {ENABLED(TARGET PREFIX FORMAT(
             "<PartitionedPrefix><PartitionDateSource>Now"
             "</PartitionDateSource></PartitionedPrefix>")),
         S3_MalformedXML, NULL},
        {"", S3_MalformedXML, NULL},
        {STATUS("<Other/>"), S3_MalformedXML, NULL},
        {ENABLED(""), S3_MalformedXML, NULL},
        {ENABLED(TARGET), S3_MalformedXML, NULL},
        {ENABLED(PREFIX), S3_MalformedXML, NULL},
        {ENABLED(TARGET TARGET PREFIX), S3_MalformedXML, NULL},
        {ENABLED("<TargetBucket>A_B</TargetBucket>" PREFIX),
         S3_InvalidTargetBucketForLogging, NULL},
        {ENABLED(TARGET PREFIX "<TargetGrants><Grant/></TargetGrants>"),
         S3_NotImplemented, NULL},
    };

    (void)state;
    judge(s3_logging_judge, rows, sizeof rows / sizeof rows[0]);
}

static void the_bucket_for_logs_is_told(void **state)
{
    static const char with[] = ENABLED(TARGET PREFIX);
    static const char without[] = STATUS("");
    char *name = s3_logging_target(with, strlen(with));

    (void)state;
    assert_string_equal(name, "logs");
    free(name);
    assert_null(s3_logging_target(without, strlen(without)));
    assert_null(s3_logging_target("", 0));
}

static void events_have_nowhere_to_go(void **state)
{
    static const struct row rows[] = {
        {EVENTS(""), S3_OK, NULL},
        {EVENTS("<EventBridgeConfiguration/>"), S3_InvalidArgument, NULL},
        {EVENTS("<TopicConfiguration><Topic>arn:aws:sns:::t</Topic>"
                "</TopicConfiguration>"),
         S3_InvalidArgument, NULL},
        {EVENTS("<Other/>"), S3_MalformedXML, NULL},
        {EVENTS("text"), S3_MalformedXML, NULL},
        {"<Other/>", S3_MalformedXML, NULL},
    };

    (void)state;
    judge(s3_notification_judge, rows, sizeof rows / sizeof rows[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logs_go_to_a_bucket),
        cmocka_unit_test(the_bucket_for_logs_is_told),
        cmocka_unit_test(events_have_nowhere_to_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
