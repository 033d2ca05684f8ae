/* iam.h: access policies in the JSON language of AWS IAM.
 *
 * A policy is read and compiled once, and then judges any number of requests.
 * A request is who asks (a principal), for which action, on which resource, in
 * which context (a set of keys with values). One policy says ALLOW, DENY or
 * nothing; how several of them and ACLs go together is the caller's rule. An
 * explicit deny beats every allow.
 *
 * Read as AWS does:
 *   - names of elements, Effect and operators are case-sensitive; actions and
 *     condition keys are not; resources and values are, unless the operator
 *     says otherwise;
 *   - '*' and '?' cross '/' and ':' in actions and resources; the six parts of
 *     an ARN are matched one by one in Arn* operators;
 *   - a key that is absent fails a condition, but holds under a negated
 *     operator (StringNot..., NumericNotEquals, DateNotEquals, NotIpAddress,
 *     ArnNot...), under ...IfExists and under ForAllValues;
 *   - ${key}, ${key, 'default'}, ${*}, ${?} and ${$} stand in Resource and in
 *     values of String* and Arn* when Version is 2012-10-17; what a variable
 *     gives never acts as a wildcard. A variable without value matches
 *     nothing; in a negated place its statement fails closed: an allow does
 *     not apply, a deny does.
 *
 * Source: AWS IAM User Guide, "IAM JSON policy elements reference" and "Policy
 * evaluation logic"; S3 User Guide, "The meaning of public".
 * Threads: a policy is never changed once read; any may judge by it.
 */
#ifndef GODWIT_POLICY_IAM_H
#define GODWIT_POLICY_IAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct iam_policy;

#define IAM_RESOURCE_BYTES_MAX                    \
    20480 /* a bucket policy: S3's limit of 20 KB \
           */
#define IAM_IDENTITY_BYTES_MAX (1 << 20) /* ours; IAM allows 6,144 */
#define IAM_PATTERN_MAX 2048             /* bytes of one pattern */

enum iam_kind {
    IAM_IDENTITY, /* of a user or group: no Principal */
    IAM_RESOURCE, /* of a bucket: Principal in each statement */
};

enum iam_effect { IAM_NOTHING, IAM_ALLOW, IAM_DENY };

/* A key of the context. Values are text, as in a policy. */
struct iam_key {
    const char *name; /* in lower case */
    const char *const *values;
    size_t count;
};

struct iam_request {
    /* Who. All "" or NULL: anonymous. */
    const char *principal; /* arn:aws:iam::<account>:user/<name> */
    const char *account;   /* 12 digits */
    const char *canonical; /* canonical user id, 64 hex digits */
    /* What. */
    const char *action;   /* in lower case: s3:getobject */
    const char *resource; /* arn:aws:s3:::bucket/key */
    const struct iam_key *keys;
    size_t key_count;
    /* The principal without its account, as some write it: arn:aws:iam:::user/
     * and the name. May be NULL. */
    const char *short_principal;
};

/* @bucket is whose policy an IAM_RESOURCE is, and NULL for the other kind:
 * resources that are not its own are refused. ERR_BAD_INPUT: malformed; @err
 * names the element and the reason, "Statement[2]: Effect: ...". ERR_LIMIT:
 * over a bound. */
int iam_read(enum iam_kind kind, const char *bucket, const void *p, size_t len,
             struct iam_policy **out, struct err *err);
void iam_free(struct iam_policy *p);

enum iam_effect iam_judge(const struct iam_policy *p,
                          const struct iam_request *q);

/* Does any statement name s3:ExistingObjectTag/KEY, in a condition or as a
 * variable? @p may be NULL. */
bool iam_asks_for_tags(const struct iam_policy *p);

/* Does any statement allow everyone, without a condition that holds them to
 * fixed networks, accounts or VPCs? */
bool iam_is_public(const struct iam_policy *p);

#endif
