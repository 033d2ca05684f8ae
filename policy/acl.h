/* acl.h: access control lists: who was granted what on a bucket or an object.
 *
 * A list names the owner and up to ACL_GRANTS_MAX grants of one permission to
 * one grantee each. Users are known by their names; the gateway turns canonical
 * ids into names and back. The owner needs no grant: it may always do all.
 *
 * Coding, of text: lines that end in '\n': "1" (version), the owner, then one
 * for each grant: a letter for the permission (r READ, w WRITE, g READ_ACP,
 * p WRITE_ACP, f FULL_CONTROL), a letter for the grantee (u user, a AllUsers,
 * s AuthenticatedUsers, l LogDelivery), and the name of a user.
 *
 * Source: AWS S3 User Guide, "Access control list (ACL) overview".
 * Threads: any; a list belongs to its caller, and any may judge by one that is
 * not changed.
 */
#ifndef GODWIT_POLICY_ACL_H
#define GODWIT_POLICY_ACL_H

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct err;

#define ACL_GRANTS_MAX 100 /* AWS: of one list */
#define ACL_NAME_MAX 128   /* bytes of a user's name */

/* A set; what is granted is one of ACL_PERMISSIONS_TABLE. */
enum acl_permission {
    ACL_READ = 1,
    ACL_WRITE = 2,
    ACL_READ_ACP = 4,
    ACL_WRITE_ACP = 8,
    ACL_FULL_CONTROL = 15,
};

enum acl_grantee {
    ACL_USER,
    ACL_ALL_USERS,
    ACL_AUTHENTICATED_USERS,
    ACL_LOG_DELIVERY,
};

struct acl_grant {
    unsigned permission; /* of enum acl_permission */
    enum acl_grantee grantee;
    char name[ACL_NAME_MAX + 1]; /* of ACL_USER, else "" */
};

/* {0} has nothing to free. */
struct acl {
    char owner[ACL_NAME_MAX + 1];
    size_t count;
    struct acl_grant *grants;
};

void acl_free(struct acl *a); /* and make empty */

/* Begin a list without grants in @a, which is empty. A longer name is cut, and
 * is nobody's. */
void acl_begin(struct acl *a, const char *owner);
/* The same grant again adds nothing. ERR_LIMIT: over ACL_GRANTS_MAX;
 * ERR_BAD_INPUT: no name that a list could hold. @name is of ACL_USER only. */
int acl_add(struct acl *a, unsigned permission, enum acl_grantee grantee,
            const char *name, struct err *err);

/* The list that a canned one stands for, of a bucket (@bucket_owner NULL) or an
 * object, in @out, which is empty. ERR_BAD_INPUT: there is none of that name.
 * aws-exec-read grants no more than private: there is no EC2. */
int acl_canned(const char *canned, const char *owner, const char *bucket_owner,
               struct acl *out, struct err *err);

/* What @user (NULL: anonymous) was granted, of enum acl_permission.
 * @ignore_public: as if nothing was granted to all or to all that sign. */
unsigned acl_permissions(const struct acl *a, const char *user,
                         bool ignore_public);
/* Is anything granted to all, or to all that sign? */
bool acl_is_public(const struct acl *a);
/* Is it what canned private is: FULL_CONTROL of the owner and nothing else? */
bool acl_is_private(const struct acl *a);
/* Is anything granted to any but @user? */
bool acl_grants_others(const struct acl *a, const char *user);

/* "READ" of one permission, and back; 0: it is none. */
const char *acl_permission_name(unsigned permission);
unsigned acl_permission_of(const char *name);
/* The URI of a group, and back; ACL_USER and NULL: it is none. */
const char *acl_group_uri(enum acl_grantee group);
enum acl_grantee acl_group_of(const char *uri);

/* Append the coding. */
void acl_encode(const struct acl *a, struct buf *out);
/* ERR_CORRUPT: these bytes are no coding. @out is empty. */
int acl_decode(const void *p, size_t len, struct acl *out, struct err *err);

#endif
