/* s3_form_policy.h: what the owner of a key lets others upload by a form.
 *
 * The policy is a JSON document that whoever has the key signs:
 * {"expiration": "2026-11-23T12:00:00Z", "conditions": [
 *   {"bucket": "b"}, ["eq", "$key", "v"], ["starts-with", "$key", "user/"],
 *   ["content-length-range", 1, 1048576]]}
 * Every condition must hold, and every field of the form must be in one, but
 * for x-amz-signature, file, policy and x-ignore-*.
 *
 * Source: AWS "POST policy".
 * Threads: any.
 */
#ifndef GODWIT_GATEWAY_S3_FORM_POLICY_H
#define GODWIT_GATEWAY_S3_FORM_POLICY_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/s3_error.h"

struct err;
struct s3_form_field;

struct s3_form_limits {
    uint64_t min_bytes, max_bytes; /* of the file */
};

/* S3_OK and the limits of the file's length (0 and UINT64_MAX when the policy
 * has none); else the error that answers, with its sentence in @err. */
enum s3_error s3_form_policy(const char *json, size_t len, const char *bucket,
                             const struct s3_form_field *fields, size_t count,
                             uint64_t now_ms, struct s3_form_limits *out,
                             struct err *err);

#endif
