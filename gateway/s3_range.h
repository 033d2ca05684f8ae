/* s3_range.h: the Range header.
 *
 * Source: RFC 9110 section 14.1.2. As S3 does, several ranges or a header that
 * is not understood give the whole object.
 * Pure function. Threads: any.
 */
#ifndef GODWIT_GATEWAY_S3_RANGE_H
#define GODWIT_GATEWAY_S3_RANGE_H

#include <stdint.h>

enum s3_range { S3_RANGE_OK, S3_RANGE_IGNORED, S3_RANGE_UNSATISFIABLE };

/* "bytes=a-b", "bytes=a-" or "bytes=-n" of an object of @size bytes. @offset
 * and @length are set only on S3_RANGE_OK, @length then being over 0. */
enum s3_range s3_range_parse(const char *header, uint64_t size,
                             uint64_t *offset, uint64_t *length);

#endif
