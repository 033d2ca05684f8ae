/* iam.h: policies as AWS writes them, and what they say of a request.
 *
 * A policy is parsed once and may then judge many requests. An explicit Deny
 * beats every Allow; who combines policies of users and buckets keeps to that.
 *
 * Source: AWS IAM User Guide, "Policy evaluation logic", "IAM JSON policy
 * elements reference"; AWS S3 User Guide, "Bucket policies".
 * Threads: a policy may be used by many.
 */
#ifndef GODWIT_POLICY_IAM_H
#define GODWIT_POLICY_IAM_H

#include <stdbool.h>
#include <stddef.h>

struct err;
struct iam_policy;

#define IAM_POLICY_MAX (20 << 10) /* bytes of a document */

/* @bucket: of a bucket policy, which names principals, and whose resources lie
 * in that bucket; NULL: of a user's, which names none. ERR_BAD_INPUT: the
 * element and the reason. */
int iam_parse(const char *text, size_t len, const char *bucket,
              struct iam_policy **out, struct err *err);
void iam_free(struct iam_policy *p); /* NULL is nothing */

struct iam_request {
    const char *action;   /* "s3:GetObject" */
    const char *resource; /* "arn:aws:s3:::bucket/key" */
    /* All by which who asks may be named in Principal; NULL-terminated. None:
     * it is not known who asks, which only "*" means. */
    const char *const *principals;
    /* The @i-th value of a condition key (names are of any case); NULL when
     * there is none, or no more. */
    const char *(*context)(void *arg, const char *key, size_t i);
    void *arg;
};

enum iam_effect { IAM_NOTHING, IAM_ALLOW, IAM_DENY };

/* What @p says; NULL says nothing. */
enum iam_effect iam_judge(const struct iam_policy *p,
                          const struct iam_request *r);

/* Does a bucket policy allow anything to everybody? Source: AWS S3 User Guide,
 * "The meaning of public": one Allow whose Principal is everybody, without a
 * condition that binds it to fixed addresses, accounts or networks. */
bool iam_is_public(const struct iam_policy *p);

#endif
