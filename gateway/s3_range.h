/* s3_range.h: which bytes a Range header asks for.
 *
 * One range of bytes is understood: "bytes=a-b", "bytes=a-", "bytes=-n". As S3
 * does, anything else (other units, several ranges, nonsense) is ignored and
 * the whole object is given.
 *
 * Source: RFC 9110 section 14.1.2; AWS S3 API Reference, GetObject, "Range".
 * Threads: any; a pure function.
 */
#ifndef GODWIT_GATEWAY_S3_RANGE_H
#define GODWIT_GATEWAY_S3_RANGE_H

#include <stdint.h>

enum s3_range_result {
    S3_RANGE_OK,            /* 206 with *offset and *length (never 0) */
    S3_RANGE_UNSATISFIABLE, /* 416: it begins past the end, or asks for the
                               last 0 bytes */
    S3_RANGE_IGNORED,       /* 200 with all bytes */
};

/* Judge the header's value @text for an object of @size bytes. Outputs are
 * written only with S3_RANGE_OK. */
enum s3_range_result s3_range_parse(const char *text, uint64_t size,
                                    uint64_t *offset, uint64_t *length);

#endif
