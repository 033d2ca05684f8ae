/* s3_attrs.h: what an object says about itself, beside its bytes.
 *
 * The headers that are kept with an object and given back with it, as the
 * opaque attrs of the catalogue: u8 version (1), then for each a text name
 * (lower case) and a text value (wire.h put_text).
 *
 * Kept: content-type, cache-control, content-disposition, content-encoding
 * (without aws-chunked), content-language, expires,
 * x-amz-website-redirect-location, x-amz-storage-class, x-amz-meta-*, and the
 * checksum (x-amz-checksum-<algorithm>, x-amz-checksum-type). Names that begin
 * with "godwit-" are not given back: the data key of SSE-C, and the object's
 * access control list.
 *
 * Source: AWS "Working with object metadata" (2 KiB of user metadata).
 * Threads: any.
 */
#ifndef GODWIT_GATEWAY_S3_ATTRS_H
#define GODWIT_GATEWAY_S3_ATTRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/digest.h"

struct acl;
struct buf;
struct request;

#define S3_USER_METADATA_MAX 2048

/* Append the attrs of @r's headers to @out; false: a reply was made
 * (MetadataTooLarge, InvalidArgument, InvalidStorageClass, NotImplemented for
 * headers that ask for what is not there yet, such as encryption). */
bool s3_attrs_from(struct request *r, struct buf *out);

/* Append one attr to attrs begun by s3_attrs_from or s3_attrs_begin. */
void s3_attrs_begin(struct buf *out);
void s3_attrs_add(struct buf *out, const char *name, const char *value);

/* Call @fn for each; stops when it returns false. Damaged attrs end the walk.
 */
void s3_attrs_each(const void *attrs, size_t len,
                   bool (*fn)(void *arg, const char *name, const char *value),
                   void *arg);
/* A copy of one value (free()), or NULL. */
char *s3_attrs_get(const void *attrs, size_t len, const char *name);
/* The list of an object (policy/acl.h), the first of its attrs if it has one:
 * that is told without a search. */
void s3_attrs_add_acl(struct buf *out, const struct acl *acl);
bool s3_attrs_has_acl(const void *attrs, size_t len);
/* False: there is none, or none that can be read. @out is empty. */
bool s3_attrs_acl(const void *attrs, size_t len, struct acl *out);
/* Append the list of these attrs, if they have one, to others just begun. */
void s3_attrs_copy_acl(const void *attrs, size_t len, struct buf *out);
/* Append all attrs but checksums and the list to @out (begun). */
void s3_attrs_copy(const void *attrs, size_t len, bool with_checksum,
                   struct buf *out);

/* The same but for what says how the object is sealed. */
void s3_attrs_copy_plain(const void *attrs, size_t len, bool with_checksum,
                         struct buf *out);

/* Reply headers for GET and HEAD: all attrs; checksums only when
 * @with_checksum. */
void s3_attrs_reply(struct request *r, const void *attrs, size_t len,
                    bool with_checksum);

/* "x-amz-checksum-crc32c" and back. */
const char *s3_checksum_header(enum digest_kind kind);
bool s3_checksum_kind(const char *header, enum digest_kind *out);
/* The checksum kept in @attrs; false when there is none. @value needs 64
 * bytes; it may end in "-N" for composite ones. */
bool s3_attrs_checksum(const void *attrs, size_t len, enum digest_kind *kind,
                       char *value);

/* A part's checksum as the catalogue keeps it, "x-amz-checksum-crc32:VALUE":
 * *@value points into @check. False when @check is NULL or not one. */
bool s3_part_check(const char *check, enum digest_kind *kind,
                   const char **value);

#endif
