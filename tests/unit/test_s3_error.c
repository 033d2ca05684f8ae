/* test_s3_error.c: S3's error codes, and the map from ours.
 *
 * Goal: the codes, statuses and messages that clients decide by stay as AWS
 * documents them, and every error of ours has an answer.
 * Method: a table of codes with their statuses, written down by hand; then all
 * of ERR_TABLE through the map.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "gateway/s3_error.h"

static void codes_have_the_statuses_that_aws_gives_them(void **state)
{
    static const struct {
        enum s3_error error;
        const char *code;
        int status;
    } rows[] = {
        {S3_OK, "OK", 200},
        {S3_AccessDenied, "AccessDenied", 403},
        {S3_AccessControlListNotSupported, "AccessControlListNotSupported",
         400},
        {S3_MalformedACLError, "MalformedACLError", 400},
        {S3_MissingSecurityHeader, "MissingSecurityHeader", 400},
        {S3_UnexpectedContent, "UnexpectedContent", 400},
        {S3_UnresolvableGrantByEmailAddress, "UnresolvableGrantByEmailAddress",
         400},
        {S3_InvalidBucketAclWithObjectOwnership,
         "InvalidBucketAclWithObjectOwnership", 400},
        {S3_BadDigest, "BadDigest", 400},
        {S3_BucketAlreadyOwnedByYou, "BucketAlreadyOwnedByYou", 409},
        {S3_BucketNotEmpty, "BucketNotEmpty", 409},
        {S3_EntityTooLarge, "EntityTooLarge", 400},
        {S3_EntityTooSmall, "EntityTooSmall", 400},
        {S3_IncompleteBody, "IncompleteBody", 400},
        {S3_InternalError, "InternalError", 500},
        {S3_InvalidAccessKeyId, "InvalidAccessKeyId", 403},
        {S3_InvalidArgument, "InvalidArgument", 400},
        {S3_InvalidBucketName, "InvalidBucketName", 400},
        {S3_InvalidPart, "InvalidPart", 400},
        {S3_InvalidPartOrder, "InvalidPartOrder", 400},
        {S3_InvalidRange, "InvalidRange", 416},
        {S3_KeyTooLongError, "KeyTooLongError", 400},
        {S3_MalformedXML, "MalformedXML", 400},
        {S3_MethodNotAllowed, "MethodNotAllowed", 405},
        {S3_MissingContentLength, "MissingContentLength", 411},
        {S3_NoSuchBucket, "NoSuchBucket", 404},
        {S3_NoSuchKey, "NoSuchKey", 404},
        {S3_NoSuchUpload, "NoSuchUpload", 404},
        {S3_NotImplemented, "NotImplemented", 501},
        {S3_NotModified, "NotModified", 304},
        {S3_PreconditionFailed, "PreconditionFailed", 412},
        {S3_RequestTimeTooSkewed, "RequestTimeTooSkewed", 403},
        {S3_RequestTimeout, "RequestTimeout", 400},
        {S3_ServiceUnavailable, "ServiceUnavailable", 503},
        {S3_SignatureDoesNotMatch, "SignatureDoesNotMatch", 403},
        {S3_SlowDown, "SlowDown", 503},
        {S3_StorageFull, "StorageFull", 507},
        {S3_XAmzContentSHA256Mismatch, "XAmzContentSHA256Mismatch", 400},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_string_equal(s3_error_code(rows[i].error), rows[i].code);
        assert_int_equal(s3_error_status(rows[i].error), rows[i].status);
    }
}

static const enum s3_error all[] = {
#define X(code, status, message) S3_##code,
    S3_ERROR_TABLE(X)
#undef X
};

static void each_code_has_a_message_and_an_error_status(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        int status = s3_error_status(all[i]);
        assert_true(status == 304 || (status >= 400 && status <= 599));
        assert_true(strlen(s3_error_message(all[i])) > 0);
        assert_true(strlen(s3_error_code(all[i])) > 0);
    }
}

static void no_code_stands_twice(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(s3_error_code(all[i]),
                                    s3_error_code(all[j]));
        }
    }
}

static void our_errors_have_their_answers(void **state)
{
    static const struct {
        int ours;
        enum s3_error theirs;
    } rows[] = {
        {0, S3_OK},
        {ERR_NO_BUCKET, S3_NoSuchBucket},
        {ERR_NO_KEY, S3_NoSuchKey},
        {ERR_NO_UPLOAD, S3_NoSuchUpload},
        {ERR_BUCKET_EXISTS, S3_BucketAlreadyOwnedByYou},
        {ERR_BUCKET_NOT_EMPTY, S3_BucketNotEmpty},
        {ERR_BAD_PART, S3_InvalidPart},
        {ERR_PART_ORDER, S3_InvalidPartOrder},
        {ERR_PART_TOO_SMALL, S3_EntityTooSmall},
        {ERR_PRECONDITION, S3_PreconditionFailed},
        {ERR_MISMATCH, S3_BadDigest},
        {ERR_DENIED, S3_AccessDenied},
        {ERR_BAD_INPUT, S3_InvalidArgument},
        {ERR_RANGE, S3_InvalidRange},
        {ERR_LIMIT, S3_EntityTooLarge},
        {ERR_FULL, S3_StorageFull},
        {ERR_BUSY, S3_SlowDown},
        {ERR_NOMEM, S3_SlowDown},
        {ERR_UNAVAILABLE, S3_ServiceUnavailable},
        {ERR_TIMEOUT, S3_ServiceUnavailable},
        {ERR_UNKNOWN, S3_ServiceUnavailable},
        {ERR_CLOSED, S3_ServiceUnavailable},
        {ERR_UNSUPPORTED, S3_NotImplemented},
        {ERR_IO, S3_InternalError},
        {ERR_CORRUPT, S3_InternalError},
        {999, S3_InternalError},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(s3_error_of(rows[i].ours), rows[i].theirs);
    }
}

/* "Try again" must never be said of what will fail again, nor "done" of what
 * failed. */
static void no_failure_is_answered_with_success(void **state)
{
    static const int codes[] = {
#define X(name, value, text) ERR_##name,
        ERR_TABLE(X)
#undef X
    };

    (void)state;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        assert_true(s3_error_status(s3_error_of(codes[i])) >= 400);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_have_the_statuses_that_aws_gives_them),
        cmocka_unit_test(each_code_has_a_message_and_an_error_status),
        cmocka_unit_test(no_code_stands_twice),
        cmocka_unit_test(our_errors_have_their_answers),
        cmocka_unit_test(no_failure_is_answered_with_success),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
