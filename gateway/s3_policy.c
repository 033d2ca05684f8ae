/* A bucket's policy, its status, and what is blocked for the public; who owns
 * what is put.
 *
 * Source: AWS S3 API Reference, PutBucketPolicy, GetBucketPolicyStatus,
 * PutPublicAccessBlock, PutBucketOwnershipControls and their Get and Delete.
 */
#include <string.h>

#include "gateway/access.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_config.h"
#include "gateway/s3_tree.h"
#include "gateway/s3_xml.h"
#include "policy/iam.h"

/* ---- judges of s3_config.c ---- */

enum s3_error s3_public_access_judge(const void *p, size_t len, struct buf *out,
                                     struct err *err)
{
    static const char *const names[] = {"BlockPublicAcls", "IgnorePublicAcls",
                                        "BlockPublicPolicy",
                                        "RestrictPublicBuckets", NULL};
    struct s3_node *root;
    int rc = s3_tree_read(p, len, "PublicAccessBlockConfiguration", &root, err);
    unsigned set;

    if (rc != 0) {
        return s3_config_malformed(err);
    }
    rc = s3_node_check(root, names, err);
    for (const struct s3_node *n = root->first; n != NULL && rc == 0;
         n = n->next) {
        bool on;
        rc = s3_node_bool(n, &on, err);
    }
    s3_tree_free(root);
    if (rc != 0) {
        return s3_config_malformed(err);
    }
    /* All four are given back, also those that were not said. */
    set = access_block_of(p, len);
    buf_str(out,
            "<PublicAccessBlockConfiguration "
            "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; names[i] != NULL; i++) {
        xml_bool(out, names[i], (set >> i & 1) != 0);
    }
    xml_close(out, "PublicAccessBlockConfiguration");
    return S3_OK;
}

enum s3_error s3_ownership_judge(const void *p, size_t len, struct buf *out,
                                 struct err *err)
{
    enum access_ownership ownership;
    const struct s3_node *rule, *what = NULL;
    struct s3_node *root;
    bool good;
    int rc = s3_tree_read(p, len, "OwnershipControls", &root, err);

    if (rc != 0) {
        return s3_config_malformed(err);
    }
    rule = s3_node_child(root, "Rule");
    what = rule != NULL ? s3_node_child(rule, "ObjectOwnership") : NULL;
    good = what != NULL && access_ownership_parse(what->text, &ownership) &&
           root->children == 1 && rule->children == 1;
    if (good) {
        s3_tree_write(root, out);
    }
    s3_tree_free(root);
    return good ? S3_OK : s3_config_malformed(err);
}

/* ---- the policy ---- */

static void set_policy(struct request *r, const void *text, size_t len)
{
    struct err err = {{0}};
    int rc;

    command_bucket_config(&r->command, r->bucket, META_CONFIG_POLICY, text,
                          len);
    rc = request_propose_wait(r, NULL, &err);
    if (rc != 0) {
        reply_err(r, rc, &err);
    } else {
        reply(r, 204);
    }
}

/* The bucket with its configuration; false: a reply was made. */
static bool bucket_of(struct request *r, struct meta_bucket *out)
{
    struct err err = {{0}};
    int rc = meta_bucket_get(r->gateway->meta, r->bucket, out, &err);

    if (rc != 0) {
        reply_err(r, rc, &err);
    }
    return rc == 0;
}

void s3_put_bucket_policy(struct request *r)
{
    struct meta_bucket bucket = {0};
    const struct meta_config *block = &bucket.config[META_CONFIG_PUBLIC_ACCESS];
    struct iam_policy *policy = NULL;
    struct err err = {{0}};

    if (!bucket_of(r, &bucket)) {
        return;
    }
    if (iam_read(IAM_RESOURCE, r->bucket, r->document.data, r->document.len,
                 &policy, &err) != 0) {
        reply_error(r, S3_MalformedPolicy, "%s", err.text);
    } else if ((access_block_of(block->value, block->len) &
                ACCESS_BLOCK_POLICY) != 0 &&
               iam_is_public(policy)) {
        reply_error(r, S3_AccessDenied,
                    "public policies are blocked by the "
                    "BlockPublicPolicy block public access setting");
    } else {
        set_policy(r, r->document.data, r->document.len);
    }
    iam_free(policy);
    meta_bucket_free(&bucket);
}

void s3_delete_bucket_policy(struct request *r)
{
    set_policy(r, "", 0);
}

void s3_get_bucket_policy(struct request *r)
{
    struct meta_bucket bucket = {0};
    const struct meta_config *c = &bucket.config[META_CONFIG_POLICY];

    if (bucket_of(r, &bucket)) {
        if (c->value == NULL) {
            reply_error(r, S3_NoSuchBucketPolicy, NULL);
        } else {
            reply_json(r);
            buf_append(&r->reply_body, c->value, c->len);
        }
    }
    meta_bucket_free(&bucket);
    request_done(r);
}

void s3_get_bucket_policy_status(struct request *r)
{
    struct meta_bucket bucket = {0};
    const struct meta_config *c = &bucket.config[META_CONFIG_POLICY];
    struct iam_policy *policy = NULL;
    struct buf *b;

    if (bucket_of(r, &bucket)) {
        if (c->value == NULL) {
            reply_error(r, S3_NoSuchBucketPolicy, NULL);
        } else {
            b = reply_xml(r, 200, "PolicyStatus");
            iam_read(IAM_RESOURCE, r->bucket, c->value, c->len, &policy, NULL);
            xml_bool(b, "IsPublic", policy != NULL && iam_is_public(policy));
            xml_close(b, "PolicyStatus");
            iam_free(policy);
        }
    }
    meta_bucket_free(&bucket);
    request_done(r);
}
