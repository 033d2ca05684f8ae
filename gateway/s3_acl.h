/* s3_acl.h: access control lists as S3 writes them: documents and headers.
 *
 * A document is <AccessControlPolicy>; a header x-amz-grant-read and its like
 * has grantees as id="..", uri="..", emailAddress="..", with commas between.
 * What a grantee is, is told by the element that names it; xsi:type is written
 * and not asked for. Users stand in lists by name (policy/acl.h) and outside by
 * canonical id; nobody is known by an e-mail address.
 *
 * Source: AWS S3 API Reference, PutBucketAcl, PutObjectAcl, GetObjectAcl.
 * Threads: any.
 */
#ifndef GODWIT_GATEWAY_S3_ACL_H
#define GODWIT_GATEWAY_S3_ACL_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/s3_error.h"
#include "policy/acl.h"

struct buf;
struct err;

/* Who has a canonical id (64 lower-case hex digits)? 0; ERR_NOT_FOUND; others:
 * it cannot be told. */
struct s3_acl_names {
    int (*find)(void *arg, const char *id, char name[ACL_NAME_MAX + 1],
                struct err *err);
    void *arg;
};

/* S3_OK and the list in @out, which is empty; else the error that answers, with
 * its sentence in @err: MalformedACLError, InvalidArgument (an id or a group
 * that is not there), UnresolvableGrantByEmailAddress. */
enum s3_error s3_acl_read(const void *p, size_t len,
                          const struct s3_acl_names *names, struct acl *out,
                          struct err *err);
/* The whole document, without its XML declaration. */
void s3_acl_write(const struct acl *a, struct buf *b);

/* Grant @permission to all whom the header's @value names. As s3_acl_read;
 * InvalidArgument also for what cannot be read. */
enum s3_error s3_acl_grant(struct acl *a, unsigned permission,
                           const char *value, const struct s3_acl_names *names,
                           struct err *err);
/* The permission of x-amz-grant-read and its like; 0: it is none of them. */
unsigned s3_acl_header(const char *name);

#endif
