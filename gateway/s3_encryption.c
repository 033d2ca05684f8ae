/* PutBucketEncryption: how the objects of a bucket are sealed when a request
 * says nothing.
 *
 * Source: AWS S3 API Reference, PutBucketEncryption, GetBucketEncryption,
 * DeleteBucketEncryption.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "gateway/master_keys.h"
#include "gateway/s3_config.h"
#include "gateway/s3_sse.h"
#include "gateway/s3_tree.h"

#define ROOT "ServerSideEncryptionConfiguration"

/* <ApplyServerSideEncryptionByDefault>. */
static enum s3_error read_default(const struct s3_node *by,
                                  struct s3_encryption *out, struct err *err)
{
    static const char *const names[] = {"!SSEAlgorithm", "KMSMasterKeyID",
                                        NULL};
    const struct s3_node *id;
    const char *text = "";

    if (s3_node_check(by, names, err) != 0 ||
        s3_node_text(s3_node_child(by, "SSEAlgorithm"), &text, err) != 0) {
        return s3_config_malformed(err);
    }
    if (strcmp(text, "aws:kms:dsse") == 0) {
        err_set(err, ERR_UNSUPPORTED, "aws:kms:dsse is not implemented");
        return S3_NotImplemented;
    }
    if (strcmp(text, "AES256") != 0 && strcmp(text, "aws:kms") != 0) {
        return s3_config_malformed(err);
    }
    out->kind = text[0] == 'A' ? S3_SSE_S3 : S3_SSE_KMS;
    memcpy(out->name, MASTER_S3, sizeof MASTER_S3);
    id = s3_node_child(by, "KMSMasterKeyID");
    if (id == NULL) {
        return S3_OK;
    }
    if (s3_node_text(id, &text, err) != 0) {
        return s3_config_malformed(err);
    }
    if (out->kind == S3_SSE_S3) {
        err_set(err, ERR_BAD_INPUT,
                "a KMSMasterKeyID is not applicable if the default sse "
                "algorithm is not aws:kms or aws:kms:dsse");
        return S3_InvalidArgument;
    }
    if (!s3_sse_key_name(text, out->name)) {
        err_set(err, ERR_BAD_INPUT, "Invalid keyId '%.128s'", text);
        return S3_KMS_NotFoundException;
    }
    return S3_OK;
}

static enum s3_error read_rule(const struct s3_node *root,
                               struct s3_encryption *out, struct err *err)
{
    static const char *const rules[] = {"!Rule", NULL};
    static const char *const names[] = {"ApplyServerSideEncryptionByDefault",
                                        "BucketKeyEnabled",
                                        "BlockedEncryptionTypes", NULL};
    const struct s3_node *rule, *by, *bucket_key;
    enum s3_error e = S3_OK;

    if (s3_node_check(root, rules, err) != 0) { /* AWS: one rule */
        return s3_config_malformed(err);
    }
    rule = s3_node_child(root, "Rule");
    if (s3_node_check(rule, names, err) != 0) {
        return s3_config_malformed(err);
    }
    if (s3_node_child(rule, "BlockedEncryptionTypes") != NULL) {
        err_set(err, ERR_UNSUPPORTED,
                "BlockedEncryptionTypes are not implemented");
        return S3_NotImplemented;
    }
    by = s3_node_child(rule, "ApplyServerSideEncryptionByDefault");
    if (by != NULL) {
        e = read_default(by, out, err);
    }
    bucket_key = s3_node_child(rule, "BucketKeyEnabled");
    if (e == S3_OK && bucket_key != NULL &&
        s3_node_bool(bucket_key, &out->bucket_key, err) != 0) {
        return s3_config_malformed(err);
    }
    if (out->kind != S3_SSE_KMS) {
        out->bucket_key = false;
    }
    return e;
}

enum s3_error s3_encryption_judge(const void *p, size_t len, struct buf *out,
                                  struct err *err)
{
    struct s3_encryption encryption = {.kind = S3_SSE_NONE};
    struct s3_node *root = NULL;
    enum s3_error e;

    if (s3_tree_read(p, len, ROOT, &root, err) != 0) {
        return s3_config_malformed(err);
    }
    e = read_rule(root, &encryption, err);
    if (e == S3_OK) {
        s3_tree_write(root, out);
    }
    s3_tree_free(root);
    return e;
}

void s3_encryption_read(const void *p, size_t len, struct s3_encryption *out)
{
    struct s3_node *root = NULL;

    *out = (struct s3_encryption){.kind = S3_SSE_NONE};
    if (p != NULL && s3_tree_read(p, len, ROOT, &root, NULL) == 0 &&
        read_rule(root, out, NULL) != S3_OK) {
        *out = (struct s3_encryption){.kind = S3_SSE_NONE};
    }
    s3_tree_free(root);
}
