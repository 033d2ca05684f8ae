/* aws_chunked.h: the aws-chunked content coding, decoded as bytes come.
 *
 *     hex-size[;chunk-signature=64 hex]\r\n bytes \r\n ... 0[;...]\r\n
 *     [name:value\r\n]... [x-amz-trailer-signature:64 hex\r\n] \r\n
 *
 * A state machine that takes any split of the input. Framing is judged
 * strictly: CRLF only, at most 16 hex digits, lines of at most
 * AWS_CHUNKED_LINE_MAX bytes, chunks of at most AWS_CHUNKED_CHUNK_MAX bytes,
 * signatures checked at the end of each chunk (data is handed out before: the
 * caller commits nothing until the end). Only declared trailers are allowed,
 * each once; of what was declared the caller asks what must be there.
 *
 * One exception to CRLF, in the trailers alone: AWS's own example and minio-go
 * (mc) write
 *
 *     name:value\n ... \r\n x-amz-trailer-signature:64 hex\r\n \r\n
 *     name:value\n ... \r\n \r\n      (unsigned)
 *
 * so a line with a trailer may end in LF alone when, behind the last such, a
 * CRLF follows that is not the end. The empty line at the end is never left
 * out: awscli, boto3, the SDKs, rclone and mc all send it.
 *
 * Source: as crypto/sigv4.h; AWS "Signature calculations for trailing headers".
 * Threads: a decoder belongs to its caller.
 */
#ifndef GODWIT_CRYPTO_AWS_CHUNKED_H
#define GODWIT_CRYPTO_AWS_CHUNKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/sigv4.h"

struct aws_chunked;
struct err;

#define AWS_CHUNKED_LINE_MAX 1024
#define AWS_CHUNKED_TRAILERS_MAX 8
#define AWS_CHUNKED_CHUNK_MAX ((uint64_t)5 << 30)

/* For a body of @auth->payload, one of the three streaming kinds. @auth and
 * @signing_key (NULL for the unsigned kind) are copied. @trailers is the value
 * of x-amz-trailer or NULL. */
struct aws_chunked *aws_chunked_new(const struct sigv4_auth *auth,
                                    const uint8_t signing_key[32],
                                    const char *trailers);
void aws_chunked_free(struct aws_chunked *c);

/* Take *@len bytes at @in; write payload to @out (at most @out_max) and its
 * length to *@out_len. *@len becomes what was consumed: less than given only
 * when @out is full. ERR_BAD_INPUT: framing (the sentence says what), or bytes
 * after the end; ERR_MISMATCH: a chunk or trailer signature. After a failure
 * the decoder fails for good. */
int aws_chunked_decode(struct aws_chunked *c, const void *in, size_t *len,
                       void *out, size_t out_max, size_t *out_len,
                       struct err *err);
/* The end was seen, and nothing is missing. */
bool aws_chunked_done(const struct aws_chunked *c);
/* The value of a trailing header by name (any case), after done; or NULL. */
const char *aws_chunked_trailer(const struct aws_chunked *c, const char *name);

#endif
