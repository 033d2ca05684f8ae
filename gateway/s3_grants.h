/* s3_grants.h: access control lists of requests: what is granted with a put, a
 * bucket or by itself, and who owns what is put.
 *
 * A bucket's list is kept as its configuration, an object's in its attrs
 * (s3_attrs.h), in the coding of policy/acl.h. One that is not kept is private
 * and of the bucket's owner; that is most.
 *
 * Source: AWS S3 API Reference, PutBucketAcl, PutObjectAcl, PutObject; S3 User
 * Guide, "Controlling ownership of objects and disabling ACLs".
 * Threads: as request.h.
 */
#ifndef GODWIT_GATEWAY_S3_GRANTS_H
#define GODWIT_GATEWAY_S3_GRANTS_H

#include <stdbool.h>
#include <stddef.h>

#include "policy/acl.h"

struct access_bucket;
struct buf;
struct request;

/* Would s3_grants_put ask the catalogue? On a worker, then. */
bool s3_grants_block(const struct request *r);

/* Append the list of the object that @r puts to attrs that were just begun, if
 * one is to be kept. False: a reply was made. */
bool s3_grants_put(struct request *r, struct buf *attrs);

/* The list that x-amz-acl or x-amz-grant-* ask for a new bucket of @owner's, in
 * @out, which is empty; without any of them it stays so. @enforced: ACLs do not
 * count in it. False: a reply was made. */
bool s3_grants_bucket(struct request *r, const char *owner, bool enforced,
                      struct acl *out);

/* Who owns the object with these attrs? */
void s3_grants_owner(const struct request *r, const void *attrs, size_t len,
                     char name[ACL_NAME_MAX + 1]);

#endif
