/* s3_lifecycle_read.h: of s3_lifecycle.c: rules out of a document.
 *
 * Threads: any.
 */
#ifndef GODWIT_GATEWAY_S3_LIFECYCLE_READ_H
#define GODWIT_GATEWAY_S3_LIFECYCLE_READ_H

#include "gateway/s3_lifecycle.h"

/* Each rule by itself is judged; their ids are not. What was read belongs to
 * @out, on failure too. */
enum s3_error s3_lifecycle_take(const void *p, size_t len,
                                struct s3_lifecycle *out, struct err *err);

#endif
