/* s3_snowball.h: a PUT of a tar whose members become objects.
 *
 *     x-amz-meta-snowball-auto-extract: true    each file of the tar an object
 *     x-amz-meta-snowball-prefix: TEXT          before each key, with a '/'
 *     x-amz-meta-snowball-ignore-dirs: true     folders: no key that ends in
 * '/' x-amz-meta-snowball-ignore-errors: true   go on behind a bad member
 *
 * (also x-amz-meta-minio-snowball-*.) The tar comes in as any object, to the
 * drives and with its digests compared, so nothing of one that is cut or
 * differs is seen; then its members are stored, in order, and it is forgotten.
 * Small ones are named many at a time. Each is judged as a PutObject of its
 * own: key, right, the bucket's encryption and versions; the request's tags,
 * retention, encryption and ACL headers count for each.
 *
 * The answer has the tar's ETag, x-godwit-extracted and x-godwit-skipped. The
 * first member that cannot be stored ends it with an error that names it;
 * those before it stay.
 *
 * Source: AWS Snowball Edge Developer Guide, "Batching small files".
 * Threads: asked on any, extract on a worker.
 */
#ifndef GODWIT_GATEWAY_S3_SNOWBALL_H
#define GODWIT_GATEWAY_S3_SNOWBALL_H

#include <stdbool.h>

struct request;

#define S3_SNOWBALL_MEMBERS_MAX 100000 /* of one tar; AWS has 10,000 */

/* Is it such a PutObject? */
bool s3_snowball_asked(const struct request *r);
/* Instead of s3_put_object: makes the reply, and request_done. */
void s3_snowball_extract(struct request *r);

#endif
