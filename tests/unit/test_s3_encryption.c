/* test_s3_encryption.c: how a bucket's objects are sealed by default.
 *
 * Goal: documents are held to AWS's schema; what is kept says again what was
 * asked.
 * Method: a table of documents.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "gateway/s3_config.h"
#include "gateway/s3_sse.h"

#define BY(inside)                                      \
    "<Rule><ApplyServerSideEncryptionByDefault>" inside \
    "</ApplyServerSideEncryptionByDefault>"
#define AES BY("<SSEAlgorithm>AES256</SSEAlgorithm>")
#define KMS(id) BY("<SSEAlgorithm>aws:kms</SSEAlgorithm>" id)
#define ID(text) "<KMSMasterKeyID>" text "</KMSMasterKeyID>"

static void documents_are_held_to_the_schema(void **state)
{
    static const struct {
        const char *inside;
        enum s3_error error;
        struct s3_encryption says;
    } rows[] = {
        {AES "</Rule>", S3_OK, {S3_SSE_S3, "s3", false}},
        {AES "<BucketKeyEnabled>true</BucketKeyEnabled></Rule>",
         S3_OK,
         {S3_SSE_S3, "s3", false}},
        {KMS("") "</Rule>", S3_OK, {S3_SSE_KMS, "s3", false}},
        {KMS(ID("mine")) "<BucketKeyEnabled>true</BucketKeyEnabled></Rule>",
         S3_OK,
         {S3_SSE_KMS, "mine", true}},
        {KMS(ID("arn:aws:kms:r:1:key/mine")) "</Rule>",
         S3_OK,
         {S3_SSE_KMS, "mine", false}},
        {"<Rule/>", S3_OK, {S3_SSE_NONE, "", false}},
        {"", S3_MalformedXML, {0}},
        {"<Rule/><Rule/>", S3_MalformedXML, {0}},
        {"<Rule><X/></Rule>", S3_MalformedXML, {0}},
        {BY("") "</Rule>", S3_MalformedXML, {0}},
        {BY("<SSEAlgorithm>DES</SSEAlgorithm>") "</Rule>",
         S3_MalformedXML,
         {0}},
        {AES "<BucketKeyEnabled>maybe</BucketKeyEnabled></Rule>",
         S3_MalformedXML,
         {0}},
        {BY("<SSEAlgorithm>aws:kms:dsse</SSEAlgorithm>") "</Rule>",
         S3_NotImplemented,
         {0}},
        {"<Rule><BlockedEncryptionTypes/></Rule>", S3_NotImplemented, {0}},
        {BY("<SSEAlgorithm>AES256</SSEAlgorithm>" ID("k")) "</Rule>",
         S3_InvalidArgument,
         {0}},
        {KMS(ID("a b")) "</Rule>", S3_KMS_NotFoundException, {0}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf text = {0}, kept = {0};
        struct s3_encryption got;
        struct err err = {{0}};
        enum s3_error e;

        buf_printf(&text,
                   "<ServerSideEncryptionConfiguration>%s"
                   "</ServerSideEncryptionConfiguration>",
                   rows[i].inside);
        e = s3_encryption_judge(text.data, text.len, &kept, &err);
        if (e != rows[i].error) {
            fail_msg("row %zu: %s: %s", i, s3_error_code(e), err.text);
        }
        s3_encryption_read(kept.data, kept.len, &got);
        assert_int_equal(got.kind, rows[i].says.kind);
        assert_string_equal(got.name, rows[i].says.name);
        assert_int_equal(got.bucket_key, rows[i].says.bucket_key);
        buf_free(&text);
        buf_free(&kept);
    }
}

static void what_cannot_be_read_is_no_default(void **state)
{
    struct s3_encryption got;

    (void)state;
    s3_encryption_read("<x/>", 4, &got);
    assert_int_equal(got.kind, S3_SSE_NONE);
    s3_encryption_read(NULL, 0, &got);
    assert_int_equal(got.kind, S3_SSE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_held_to_the_schema),
        cmocka_unit_test(what_cannot_be_read_is_no_default),
    };

    return cmocka_run_group_tests_name("s3_encryption", tests, NULL, NULL);
}
