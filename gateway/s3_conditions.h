/* s3_conditions.h: conditional requests.
 *
 * Reads are judged here, against the row at hand. Conditions of writes are only
 * read here: they travel in the command and are judged when it is applied, so
 * that they hold under races.
 *
 * An ETag in a header may stand in quotes or, as S3 takes it, without.
 *
 * Source: RFC 9110 section 13; AWS "Conditional requests", GetObject,
 * PutObject, DeleteObject.
 * Threads: any.
 */
#ifndef GODWIT_GATEWAY_S3_CONDITIONS_H
#define GODWIT_GATEWAY_S3_CONDITIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/s3_error.h"

struct request;

enum s3_condition_result {
    S3_CONDITION_PROCEED,
    S3_CONDITION_NOT_MODIFIED, /* 304 */
    S3_CONDITION_FAILED,       /* 412 */
};

/* Judge the values of the four headers (NULL when missing) for an object with
 * @etag (no quotes) that was changed at @modified_ms. Dates that are none are
 * ignored. */
enum s3_condition_result s3_conditions_get(const char *if_match,
                                           const char *if_none_match,
                                           const char *if_modified_since,
                                           const char *if_unmodified_since,
                                           const char *etag,
                                           uint64_t modified_ms);

/* One ETag of a header without its quotes, or "*" (free()); NULL when @text is
 * empty, a list, weak, or has a stray quote. */
char *s3_etag_parse(const char *text);

struct s3_put_conditions {
    char *if_match; /* "*" or an ETag without quotes; or NULL */
    char *if_none_match;
};

/* Read the values of a write's conditional headers (NULL when missing). S3
 * takes If-Match with one ETag or *, and If-None-Match with * only; on refusal
 * gives the error and why, and @out is untouched. */
bool s3_put_conditions_parse(const char *if_match, const char *if_none_match,
                             struct s3_put_conditions *out,
                             enum s3_error *refusal, const char **why);
/* The same of @r's headers; false: a reply was made. Dates on writes
 * (If-Modified-Since, If-Unmodified-Since) are refused as NotImplemented. */
bool s3_put_conditions(struct request *r, struct s3_put_conditions *out);
void s3_put_conditions_free(struct s3_put_conditions *c);

#endif
