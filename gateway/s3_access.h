/* s3_access.h: may who asks do what is asked?
 *
 * Root may do everything, and a user what concerns buckets of its own, as far
 * as its own policy (if it has one) goes; a bucket's policy lets others in, or
 * keeps anybody out: an explicit Deny binds root and owners too, but for the
 * operations on the policy itself, so that nobody locks himself out.
 *
 * Source: AWS S3 User Guide, "How Amazon S3 authorizes a request", "Blocking
 * public access"; Service Authorization Reference, "Actions, resources, and
 * condition keys for Amazon S3".
 * Threads: as request.h.
 */
#ifndef GODWIT_GATEWAY_S3_ACCESS_H
#define GODWIT_GATEWAY_S3_ACCESS_H

#include <stdbool.h>

struct request;

/* Judge the request's operation; false: a reply was made (AccessDenied). */
bool s3_authorize(struct request *r);
/* May it do @action ("s3:GetObject") to an object (@key NULL: to the bucket)?
 * For operations that touch more than their target. */
bool s3_may(struct request *r, const char *action, const char *bucket,
            const char *key);
/* The same; false: a reply was made. */
bool s3_require(struct request *r, const char *action, const char *bucket,
                const char *key);
/* Is it the owner of the bucket, or root? */
bool s3_is_owner(struct request *r, const char *owner);
/* The name that owns what the request makes. */
const char *s3_owner_name(const struct request *r);
/* Who owns the bucket in question. */
const char *s3_target_owner(const struct request *r);
/* Is a governance retention to be bypassed (s3_bypass_header), and may it be?
 * False: a reply was made. */
bool s3_bypass(struct request *r, bool *bypass);

#endif
