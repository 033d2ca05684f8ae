/* s3_context.h: a request, as policies see it.
 *
 * The keys that conditions may ask for: those of the request (aws:SourceIp,
 * s3:prefix, s3:x-amz-*), the tags and the lock that a PUT gives, and, when
 * r->existing is set, the tags that the object has.
 *
 * Source: Service Authorization Reference, "Condition keys for Amazon S3"; AWS
 * IAM User Guide, "AWS global condition context keys".
 * Threads: as request.h.
 */
#ifndef GODWIT_GATEWAY_S3_CONTEXT_H
#define GODWIT_GATEWAY_S3_CONTEXT_H

#include <stddef.h>

#include "gateway/s3_ops.h"
#include "policy/iam.h"

struct request;

/* What each of the policies (NULL: IAM_NOTHING) says to @action on
 * @resource. */
void s3_judge(const struct request *r, const char *action, const char *resource,
              const struct iam_policy *const *policies, size_t count,
              enum iam_effect *out);

/* Does the operation make an object (or begin one) as its headers say? */
bool s3_is_put(enum s3_op op);

#endif
