/* s3_upload.h: the bytes of an object on their way in.
 *
 * From the first header to durable shards:
 *
 *   loop    s3_upload_new judges the headers (length, digests, payload kind);
 *           s3_upload_data takes body bytes, undoes aws-chunked, and fills a
 *           pool buffer; a full one goes to a worker. When the pool is empty or
 *           the worker is behind, the connection is suspended: the client
 *           waits, memory does not grow.
 *   worker  digests of the chunk in order, object_put_write.
 *   end     digests are compared, object_put_commit; then the operation's
 *           handler runs with content, etag and checksum at hand.
 *
 * Objects of at most META_INLINE_MAX bytes never leave the loop.
 * Threads: as request.h; a chunk job has the upload while it runs.
 */
#ifndef GODWIT_GATEWAY_S3_UPLOAD_H
#define GODWIT_GATEWAY_S3_UPLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/digest.h"
#include "meta/command.h"

struct request;
struct s3_upload;

struct s3_form;
struct s3_sse;

#define S3_PUT_MAX ((uint64_t)5 << 30) /* AWS: 5 GiB in one PUT or part */

/* Judge the headers and begin; false: a reply was made. Loop only. */
bool s3_upload_new(struct request *r);
/* Take *@len bytes; *@len becomes what is left (not 0: suspended, comes again).
 * Loop only. */
void s3_upload_data(struct request *r, const char *data, size_t *len);
/* The body is at its end. Leads to the handler or to an error reply. Loop
 * only. */
void s3_upload_end(struct request *r);
/* Forget; shards that nothing names are deleted. */
void s3_upload_free(struct s3_upload *u);

/* ---- s3_put.c ---- */

/* Is there the bucket that the bytes are for; is the part's number one? Asked
 * before they come. False: a reply was made. */
bool s3_put_target_exists(struct request *r);

/* ---- for handlers ---- */
const struct meta_content *s3_upload_content(const struct s3_upload *u);
const char *s3_upload_etag(const struct s3_upload *u); /* hex, no quotes */
/* The checksum computed, in base64; false when none was asked for. */
bool s3_upload_checksum(const struct s3_upload *u, enum digest_kind *kind,
                        char value[64]);
/* What seals the bytes; NULL: they are stored as they came. */
const struct s3_sse *s3_upload_sse(const struct s3_upload *u);
/* The form that the bytes came in; NULL: none. */
const struct s3_form *s3_upload_form(const struct s3_upload *u);
/* The proposal was answered: keep the shards (@stored) or delete them. */
void s3_upload_close(struct s3_upload *u, bool stored);

#endif
