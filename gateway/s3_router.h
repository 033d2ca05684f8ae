/* s3_router.h: which operation a request is, and which names are names.
 *
 * Pure functions. A request is an operation by its method, whether it names a
 * bucket and a key, and its sub-resource: the one query parameter that changes
 * what is meant (?acl, ?uploads). A sub-resource that S3 has and we have not is
 * refused by name, never taken for the plain operation.
 *
 * Source: AWS S3 API Reference, operations; "General purpose bucket naming
 * rules"; "Naming Amazon S3 objects"; "Virtual hosting of general purpose
 * buckets".
 * Threads: any.
 */
#ifndef GODWIT_GATEWAY_S3_ROUTER_H
#define GODWIT_GATEWAY_S3_ROUTER_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/s3_error.h"
#include "gateway/s3_ops.h"
#include "meta/command.h"

struct request_param;

struct s3_route_input {
    const char *method;
    bool has_bucket;
    bool has_key;
    bool has_copy_source; /* x-amz-copy-source */
    const struct request_param *params;
    size_t param_count;
};

/* The operation, or S3_OP_NONE with the error in *@refusal and one sentence in
 * *@why (NULL: the table's message; static). */
enum s3_op s3_route(const struct s3_route_input *in, enum s3_error *refusal,
                    const char **why);

/* The sub-resource names that the router knows; NULL past the last. */
const char *s3_subresource(size_t i);

/* AWS's rules for general purpose buckets; *@why is static. */
bool s3_bucket_name_valid(const char *name, const char **why);

/* 1..META_KEY_MAX bytes of UTF-8 without NUL; *@why is static. */
bool s3_key_valid(const char *key, size_t len, const char **why);

/* The bucket that a Host header (with or without a port) names in front of
 * ".@domain", in lower case; false when it names none, or more than a bucket's
 * name can hold. The name need not be a valid one. */
bool s3_host_bucket(const char *host, const char *domain,
                    char bucket[META_BUCKET_MAX + 1]);

#endif
