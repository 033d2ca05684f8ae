/* test_s3_router.c: operations, names and hosts.
 *
 * Goal: every operation of the table is reached by the request that AWS
 * documents, and no request for something else is taken for one.
 * Method: a table of all operations; then every sub-resource with every method
 * at every level, of which only those of the table may be taken; then names at
 * their bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/request.h"
#include "gateway/s3_router.h"

struct ask {
    const char *method;
    bool bucket, key, copy;
    const char *params[3]; /* names; "name=value" */
};

static enum s3_op route(const struct ask *a, enum s3_error *refusal,
                        const char **why)
{
    struct request_param params[3];
    char *texts[3];
    struct s3_route_input in = {.method = a->method,
                                .has_bucket = a->bucket,
                                .has_key = a->key,
                                .has_copy_source = a->copy,
                                .params = params};
    enum s3_op op;

    for (size_t i = 0; i < 3 && a->params[i] != NULL; i++) {
        char *equals;
        texts[i] = strdup(a->params[i]);
        equals = strchr(texts[i], '=');
        params[i].name = texts[i];
        params[i].value = "";
        if (equals != NULL) {
            *equals = '\0';
            params[i].value = equals + 1;
        }
        in.param_count++;
    }
    *refusal = S3_OK;
    *why = NULL;
    op = s3_route(&in, refusal, why);
    for (size_t i = 0; i < in.param_count; i++) {
        free(texts[i]);
    }
    return op;
}

static const struct {
    struct ask ask;
    enum s3_op op;
} table[] = {
    {{"GET", 0, 0, 0, {0}}, S3_OP_ListBuckets},
    {{"PUT", 1, 0, 0, {0}}, S3_OP_CreateBucket},
    {{"HEAD", 1, 0, 0, {0}}, S3_OP_HeadBucket},
    {{"DELETE", 1, 0, 0, {0}}, S3_OP_DeleteBucket},
    {{"GET", 1, 0, 0, {"location"}}, S3_OP_GetBucketLocation},
    {{"GET", 1, 0, 0, {"versioning"}}, S3_OP_GetBucketVersioning},
    {{"PUT", 1, 0, 0, {"versioning"}}, S3_OP_PutBucketVersioning},
    {{"GET", 1, 0, 0, {"versions", "prefix=a"}}, S3_OP_ListObjectVersions},
    {{"GET", 1, 0, 0, {"acl"}}, S3_OP_GetBucketAcl},
    {{"GET", 1, 1, 0, {"acl"}}, S3_OP_GetObjectAcl},
    {{"PUT", 1, 0, 0, {"acl"}}, S3_OP_PutBucketAcl},
    {{"PUT", 1, 1, 0, {"acl"}}, S3_OP_PutObjectAcl},
    {{"GET", 1, 0, 0, {"encryption"}}, S3_OP_GetBucketEncryption},
    {{"PUT", 1, 0, 0, {"encryption"}}, S3_OP_PutBucketEncryption},
    {{"DELETE", 1, 0, 0, {"encryption"}}, S3_OP_DeleteBucketEncryption},
    {{"GET", 1, 0, 0, {"policy"}}, S3_OP_GetBucketPolicy},
    {{"PUT", 1, 0, 0, {"policy"}}, S3_OP_PutBucketPolicy},
    {{"DELETE", 1, 0, 0, {"policy"}}, S3_OP_DeleteBucketPolicy},
    {{"GET", 1, 0, 0, {"policyStatus"}}, S3_OP_GetBucketPolicyStatus},
    {{"GET", 1, 0, 0, {"publicAccessBlock"}}, S3_OP_GetPublicAccessBlock},
    {{"PUT", 1, 0, 0, {"publicAccessBlock"}}, S3_OP_PutPublicAccessBlock},
    {{"DELETE", 1, 0, 0, {"publicAccessBlock"}}, S3_OP_DeletePublicAccessBlock},
    {{"GET", 1, 0, 0, {"ownershipControls"}}, S3_OP_GetBucketOwnershipControls},
    {{"PUT", 1, 0, 0, {"ownershipControls"}}, S3_OP_PutBucketOwnershipControls},
    {{"DELETE", 1, 0, 0, {"ownershipControls"}},
     S3_OP_DeleteBucketOwnershipControls},
    {{"GET", 1, 0, 0, {"website"}}, S3_OP_GetBucketAbsent},
    {{"GET", 1, 0, 0, {"tagging"}}, S3_OP_GetBucketTagging},
    {{"PUT", 1, 0, 0, {"tagging"}}, S3_OP_PutBucketTagging},
    {{"DELETE", 1, 0, 0, {"tagging"}}, S3_OP_DeleteBucketTagging},
    {{"GET", 1, 0, 0, {"cors"}}, S3_OP_GetBucketCors},
    {{"PUT", 1, 0, 0, {"cors"}}, S3_OP_PutBucketCors},
    {{"DELETE", 1, 0, 0, {"cors"}}, S3_OP_DeleteBucketCors},
    {{"GET", 1, 0, 0, {"lifecycle"}}, S3_OP_GetBucketLifecycleConfiguration},
    {{"PUT", 1, 0, 0, {"lifecycle"}}, S3_OP_PutBucketLifecycleConfiguration},
    {{"DELETE", 1, 0, 0, {"lifecycle"}}, S3_OP_DeleteBucketLifecycle},
    {{"GET", 1, 0, 0, {"logging"}}, S3_OP_GetBucketLogging},
    {{"PUT", 1, 0, 0, {"logging"}}, S3_OP_PutBucketLogging},
    {{"GET", 1, 0, 0, {"notification"}},
     S3_OP_GetBucketNotificationConfiguration},
    {{"PUT", 1, 0, 0, {"notification"}},
     S3_OP_PutBucketNotificationConfiguration},
    {{"GET", 1, 0, 0, {0}}, S3_OP_ListObjects},
    {{"GET", 1, 0, 0, {"prefix=a", "max-keys=3"}}, S3_OP_ListObjects},
    {{"GET", 1, 0, 0, {"list-type=2"}}, S3_OP_ListObjectsV2},
    {{"GET", 1, 0, 0, {"uploads"}}, S3_OP_ListMultipartUploads},
    {{"POST", 1, 0, 0, {"delete"}}, S3_OP_DeleteObjects},
    {{"POST", 1, 0, 0, {0}}, S3_OP_PostObject},
    {{"PUT", 1, 1, 0, {0}}, S3_OP_PutObject},
    {{"PUT", 1, 1, 0, {"x-id=PutObject"}}, S3_OP_PutObject},
    {{"PUT", 1, 1, 1, {0}}, S3_OP_CopyObject},
    {{"GET", 1, 1, 0, {0}}, S3_OP_GetObject},
    {{"GET", 1, 1, 0, {"partNumber=2"}}, S3_OP_GetObject},
    {{"GET", 1, 1, 0, {"versionId=null"}}, S3_OP_GetObject},
    {{"HEAD", 1, 1, 0, {0}}, S3_OP_HeadObject},
    {{"GET", 1, 1, 0, {"attributes"}}, S3_OP_GetObjectAttributes},
    {{"DELETE", 1, 1, 0, {0}}, S3_OP_DeleteObject},
    {{"GET", 1, 1, 0, {"tagging", "versionId=x"}}, S3_OP_GetObjectTagging},
    {{"PUT", 1, 1, 0, {"tagging"}}, S3_OP_PutObjectTagging},
    {{"DELETE", 1, 1, 0, {"tagging"}}, S3_OP_DeleteObjectTagging},
    {{"GET", 1, 0, 0, {"object-lock"}}, S3_OP_GetObjectLockConfiguration},
    {{"PUT", 1, 0, 0, {"object-lock"}}, S3_OP_PutObjectLockConfiguration},
    {{"GET", 1, 1, 0, {"retention"}}, S3_OP_GetObjectRetention},
    {{"PUT", 1, 1, 0, {"retention"}}, S3_OP_PutObjectRetention},
    {{"GET", 1, 1, 0, {"legal-hold"}}, S3_OP_GetObjectLegalHold},
    {{"PUT", 1, 1, 0, {"legal-hold"}}, S3_OP_PutObjectLegalHold},
    {{"POST", 1, 1, 0, {"uploads"}}, S3_OP_CreateMultipartUpload},
    {{"PUT", 1, 1, 0, {"partNumber=1", "uploadId=x"}}, S3_OP_UploadPart},
    {{"PUT", 1, 1, 1, {"uploadId=x", "partNumber=1"}}, S3_OP_UploadPartCopy},
    {{"GET", 1, 1, 0, {"uploadId=x"}}, S3_OP_ListParts},
    {{"POST", 1, 1, 0, {"uploadId=x"}}, S3_OP_CompleteMultipartUpload},
    {{"DELETE", 1, 1, 0, {"uploadId=x"}}, S3_OP_AbortMultipartUpload},
};

#define TABLE (sizeof table / sizeof table[0])

static void every_operation_has_its_request(void **state)
{
    bool reached[S3_OPS_COUNT] = {false};
    enum s3_error refusal;
    const char *why;

    (void)state;
    for (size_t i = 0; i < TABLE; i++) {
        enum s3_op op = route(&table[i].ask, &refusal, &why);
        if (op != table[i].op) {
            fail_msg("row %zu gives operation %d", i, op);
        }
        assert_int_equal(refusal, S3_OK);
        reached[op] = true;
    }
    /* From Live on they are the gateway's own, by path (http_judge.c). */
    for (int op = S3_OP_NONE + 1; op < S3_OP_Live; op++) {
        if (!reached[op]) {
            fail_msg("no row reaches operation %d", op);
        }
    }
}

/* Operations without a sub-resource: a sub-resource must never lead there. */
static bool is_plain(enum s3_op op)
{
    switch (op) {
        case S3_OP_ListBuckets:
        case S3_OP_ListObjects:
        case S3_OP_CreateBucket:
        case S3_OP_HeadBucket:
        case S3_OP_DeleteBucket:
        case S3_OP_PutObject:
        case S3_OP_PostObject:
        case S3_OP_CopyObject:
        case S3_OP_GetObject:
        case S3_OP_HeadObject:
        case S3_OP_DeleteObject:
            return true;
        default:
            return false;
    }
}

static void a_sub_resource_is_never_taken_for_the_plain_operation(void **state)
{
    static const char *const methods[] = {"GET",    "HEAD",    "PUT",  "POST",
                                          "DELETE", "OPTIONS", "PATCH"};
    enum s3_error refusal;
    const char *why;
    size_t taken = 0;

    (void)state;
    for (size_t s = 0; s3_subresource(s) != NULL; s++) {
        for (size_t m = 0; m < sizeof methods / sizeof methods[0]; m++) {
            for (int key = 0; key < 2; key++) {
                struct ask a = {
                    methods[m], true, key != 0, false, {s3_subresource(s)}};
                enum s3_op op = route(&a, &refusal, &why);
                assert_false(is_plain(op));
                assert_true(op != S3_OP_NONE || refusal != S3_OK);
                taken += op != S3_OP_NONE;
            }
        }
    }
    assert_true(taken >= 25);
}

static void refuse(const struct ask *a, enum s3_error want)
{
    enum s3_error refusal;
    const char *why;

    assert_int_equal(route(a, &refusal, &why), S3_OP_NONE);
    assert_int_equal(refusal, want);
}

static void what_is_not_there_is_named(void **state)
{
    const struct ask a = {"GET", 1, 1, 0, {"torrent"}};
    enum s3_error refusal;
    const char *why;

    (void)state;
    assert_int_equal(route(&a, &refusal, &why), S3_OP_NONE);
    assert_int_equal(refusal, S3_NotImplemented);
    assert_non_null(strstr(why, "torrent"));
}

static void refusals_have_their_codes(void **state)
{
    static const struct {
        struct ask ask;
        enum s3_error error;
    } rows[] = {
        {{"POST", 0, 0, 0, {0}}, S3_MethodNotAllowed},
        {{"PUT", 0, 0, 0, {0}}, S3_MethodNotAllowed},
        {{"POST", 1, 1, 0, {0}}, S3_MethodNotAllowed},
        {{"PUT", 1, 0, 0, {"location"}}, S3_MethodNotAllowed},
        {{"BREW", 1, 1, 0, {0}}, S3_MethodNotAllowed},
        {{"OPTIONS", 1, 0, 0, {0}}, S3_MethodNotAllowed},
        {{"DELETE", 1, 0, 0, {"versioning"}}, S3_MethodNotAllowed},
        {{"POST", 1, 1, 0, {"tagging"}}, S3_NotImplemented},
        {{"PUT", 1, 0, 0, {"versions"}}, S3_MethodNotAllowed},
        {{"GET", 1, 0, 0, {"list-type=3"}}, S3_InvalidArgument},
        {{"GET", 1, 0, 0, {"list-type"}}, S3_InvalidArgument},
        {{"PUT", 1, 1, 0, {"uploadId=x"}}, S3_InvalidArgument},
        {{"PUT", 1, 1, 0, {"uploadId=x", "partNumber"}}, S3_InvalidArgument},
        {{"PUT", 1, 1, 0, {"partNumber=1"}}, S3_InvalidArgument},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        refuse(&rows[i].ask, rows[i].error);
    }
}

static void bucket_names_follow_the_rules(void **state)
{
    static const char *const good[] = {
        "abc",      "a.b",   "1-2",  "with.dots.and-hyphens",
        "a--b",     "1.2.3", "999",  "1.2.3.4.5",
        "1.2.3.4a", "mrap",  "x-s3",
    };
    static const char *const bad[] = {
        "",
        "ab",
        "Upper",
        "under_score",
        "-start",
        "end-",
        ".start",
        "end.",
        "a..b",
        "a.-b",
        "a-.b",
        "192.168.0.1",
        "1.2.3.4",
        "xn--abc",
        "sthree-x",
        "b-s3alias",
        "b--ol-s3",
        "b.mrap",
        "b--x-s3",
        "b--table-s3",
        "amzn-s3-demo-b",
        "sp ace",
        "sl/ash",
        "\xc3\xa4\xc3\xa4\xc3\xa4",
        "a\nb",
    };
    char name[65];
    const char *why;

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (!s3_bucket_name_valid(good[i], &why)) {
            fail_msg("%s: %s", good[i], why);
        }
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        why = NULL;
        if (s3_bucket_name_valid(bad[i], &why)) {
            fail_msg("%s is taken", bad[i]);
        }
        assert_non_null(why);
    }
    memset(name, 'a', 64);
    name[64] = '\0';
    assert_false(s3_bucket_name_valid(name, &why));
    name[63] = '\0';
    assert_true(s3_bucket_name_valid(name, &why));
}

static void keys_are_utf8_of_1_to_1024_bytes(void **state)
{
    char key[1025];
    const char *why = NULL;

    (void)state;
    memset(key, 'k', sizeof key);
    assert_true(s3_key_valid(key, 1, &why));
    assert_true(s3_key_valid(key, 1024, &why));
    assert_null(why);
    assert_false(s3_key_valid(key, 1025, &why));
    assert_false(s3_key_valid(key, 0, &why));
    assert_false(s3_key_valid("a\0b", 3, &why));
    assert_false(s3_key_valid("a\xff", 2, &why));
    assert_false(s3_key_valid("\xc3", 1, &why));
    assert_false(s3_key_valid("\xed\xa0\x80", 3, &why));
    assert_true(s3_key_valid("\xf0\x9f\x90\xa6/\x01", 6, &why));
    assert_non_null(why);
}

static void a_host_names_a_bucket_in_front_of_the_domain(void **state)
{
    static const struct {
        const char *host, *domain, *bucket;
    } rows[] = {
        {"b1c.s3.test", "s3.test", "b1c"},
        {"b1c.s3.test:9000", "s3.test", "b1c"},
        {"b1c.s3.test.:9000", "s3.test", "b1c"},
        {"B1C.S3.Test", "s3.test", "b1c"},
        {"with.dots.s3.test", "s3.test", "with.dots"},
        {"b1c.s3.test", "s3.test:9000", "b1c"},
        {"s3.test", "s3.test", NULL},
        {".s3.test", "s3.test", NULL},
        {"b1cs3.test", "s3.test", NULL},
        {"b1c.s3.testing", "s3.test", NULL},
        {"127.0.0.1:9000", "s3.test", NULL},
        {"", "s3.test", NULL},
        {":", "s3.test", NULL},
        {"b1c.s3.test", "", NULL},
    };
    char bucket[META_BUCKET_MAX + 1];
    char host[80];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bool got = s3_host_bucket(rows[i].host, rows[i].domain, bucket);
        if (got != (rows[i].bucket != NULL)) {
            fail_msg("%s under %s", rows[i].host, rows[i].domain);
        }
        if (got) {
            assert_string_equal(bucket, rows[i].bucket);
        }
    }
    memset(host, 'b', 64);
    strcpy(host + 64, ".s3.test");
    assert_false(s3_host_bucket(host, "s3.test", bucket));
    assert_true(s3_host_bucket(host + 1, "s3.test", bucket));
    assert_int_equal(strlen(bucket), META_BUCKET_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_has_its_request),
        cmocka_unit_test(a_sub_resource_is_never_taken_for_the_plain_operation),
        cmocka_unit_test(what_is_not_there_is_named),
        cmocka_unit_test(refusals_have_their_codes),
        cmocka_unit_test(bucket_names_follow_the_rules),
        cmocka_unit_test(keys_are_utf8_of_1_to_1024_bytes),
        cmocka_unit_test(a_host_names_a_bucket_in_front_of_the_domain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
