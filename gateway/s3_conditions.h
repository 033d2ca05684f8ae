/* s3_conditions.h: conditional requests.
 *
 * Source: RFC 9110 section 13; AWS "Conditional requests".
 * Threads: any.
 */
#ifndef GODWIT_GATEWAY_S3_CONDITIONS_H
#define GODWIT_GATEWAY_S3_CONDITIONS_H

#include <stdbool.h>
#include <stdint.h>

struct request;

enum s3_condition_result {
    S3_CONDITION_OK,
    S3_CONDITION_NOT_MODIFIED, /* 304 */
    S3_CONDITION_FAILED,       /* 412 */
};

/* Judge the headers of a GET or HEAD, or the x-amz-copy-source-if-* of a copy,
 * each as sent or NULL, against an object. Dates that are not dates are
 * ignored. Pure function. */
enum s3_condition_result s3_conditions_get(const char *if_match,
                                           const char *if_none_match,
                                           const char *if_modified_since,
                                           const char *if_unmodified_since,
                                           const char *etag,
                                           uint64_t modified_ms);

/* The conditions of a write: "*" or an ETag without quotes, or NULL. */
struct s3_put_conditions {
    char *if_match;
    char *if_none_match;
};

/* From @r's headers; false: a reply was made (what S3 does not take: both, a
 * list, If-None-Match with an ETag). */
bool s3_put_conditions(struct request *r, struct s3_put_conditions *out);
void s3_put_conditions_free(struct s3_put_conditions *c);

#endif
