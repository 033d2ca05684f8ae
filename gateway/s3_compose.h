/* s3_compose.h: ETag and checksum of an object from those of its parts.
 *
 * No byte of the object is read again:
 *
 *     ETag        hex(MD5(MD5 of part 1, MD5 of part 2, ...)) "-" parts
 *     COMPOSITE   base64(H(H of part 1, H of part 2, ...)) "-" parts
 *     FULL_OBJECT base64 of the CRC of all bytes, combined from the parts' CRCs
 *
 * Legal calls: init, kind at most once, then add for each part in order, then
 * each of etag and checksum at most once, close at any time.
 *
 * Source: AWS "Checking object integrity for multipart uploads".
 * Threads: a composition belongs to its caller.
 */
#ifndef GODWIT_GATEWAY_S3_COMPOSE_H
#define GODWIT_GATEWAY_S3_COMPOSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/digest.h"
#include "meta/command.h"

#define S3_COMPOSE_VALUE 64 /* bytes of a checksum's text, with its end */

struct s3_compose {
    size_t count;        /* parts so far */
    uint64_t size_bytes; /* of the object so far */
    struct digest md5;

    enum digest_kind kind;
    bool has_kind;
    bool composite;
    bool broken; /* a part has no checksum of that kind: nor has the object */
    struct digest check;     /* COMPOSITE */
    uint8_t crc[DIGEST_MAX]; /* FULL_OBJECT */
};

void s3_compose_init(struct s3_compose *c);
/* Releases; a zeroed or closed composition is nothing. */
void s3_compose_close(struct s3_compose *c);

/* The kind of checksum that parts and object are to have. FULL_OBJECT (not
 * @composite) is for CRCs only. Without this call the object takes the kind of
 * its first part, as FULL_OBJECT, when that is a CRC. */
void s3_compose_kind(struct s3_compose *c, enum digest_kind kind,
                     bool composite);

/* The next part. @check is its checksum as the catalogue keeps it (s3_attrs.h),
 * or NULL. False, and nothing was added, when @etag is no MD5. */
bool s3_compose_add(struct s3_compose *c, const char *etag, const char *check,
                    uint64_t size_bytes);

/* The object's ETag, without quotes; gives @out. */
char *s3_compose_etag(struct s3_compose *c, char out[META_ETAG_MAX + 1]);
/* The object's checksum, of c->kind and c->composite; false when it has none:
 * no part, no kind, or a part without one of that kind. */
bool s3_compose_checksum(struct s3_compose *c, char out[S3_COMPOSE_VALUE]);

#endif
