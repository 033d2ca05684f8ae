/* access.h: users and buckets as the judging of requests wants them.
 *
 * Read from this server's copy of the catalogue and kept until a user, a key or
 * a bucket changes in it (meta_access_revision), so nothing is older than that
 * copy, and nobody is waited for. What is given is counted; give it back.
 *
 * Threads: any.
 */
#ifndef GODWIT_GATEWAY_ACCESS_H
#define GODWIT_GATEWAY_ACCESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/s3_sse.h"
#include "meta/command.h"
#include "policy/acl.h"
#include "policy/iam.h"

struct access;
struct err;
struct gateway;
struct s3_logging;

#define ACCESS_DEVICE_PREFIX "device/" /* of a device's name as a user */

/* What is given to several, and freed with the last. */
struct counted {
    atomic_uint refs;
};

/* Who asks. Its name owns buckets: a user's, or root's access key. */
struct access_user {
    struct counted counted;
    bool root;
    char name[META_ACCESS_KEY_MAX + 1];
    char *secret_key;
    char canonical_id[65];
    char account[13]; /* 12 digits */
    char arn[128];
    char short_arn[128];           /* without the account, as some write it */
    struct iam_policy *policy;     /* NULL: none of its own */
    uint64_t device;               /* its number; 0: no device */
    uint8_t key[META_FINGERPRINT]; /* a device's: its public key */
};

/* What BlockPublicAcls and so on are called, as a set. */
enum access_block {
    ACCESS_BLOCK_ACLS = 1,
    ACCESS_IGNORE_ACLS = 2,
    ACCESS_BLOCK_POLICY = 4,
    ACCESS_RESTRICT = 8,
};

/* Who owns what is put into a bucket, and do ACLs count in it? */
enum access_ownership {
    ACCESS_OBJECT_WRITER,   /* who puts; also when nothing was said */
    ACCESS_OWNER_PREFERRED, /* the bucket's owner, if the canned ACL of what is
                              put is bucket-owner-full-control */
    ACCESS_OWNER_ENFORCED,  /* the bucket's owner; ACLs do not count */
};

struct access_bucket {
    struct counted counted;
    char *owner;
    struct iam_policy *policy;
    bool unreadable; /* there is a policy, and it is none: nobody is let in */
    bool policy_public;
    unsigned block; /* of enum access_block */
    enum access_ownership ownership;
    struct acl acl;                  /* without grants: private */
    struct s3_encryption encryption; /* of what is put into it */
    struct s3_logging *logging;      /* of what is done to it; NULL: none */
};

struct access *access_new(void);
void access_free(struct access *a); /* NULL is nothing */

/* Root's keys, before the first request. */
void access_set_root(struct access *a, const char *access_key,
                     const char *secret_key);
/* ERR_NOT_FOUND: there is no such access key, or its user has a policy that
 * cannot be read. Others: it cannot be told. */
int access_user(struct gateway *g, const char *access_key,
                struct access_user **out, struct err *err);
/* Device @number, called "device/NAME". ERR_NOT_FOUND: it is not enrolled, or
 * it was revoked, or its policy cannot be read. Others: it cannot be told. */
int access_device(struct gateway *g, uint64_t number, struct access_user **out,
                  struct err *err);
void access_user_free(struct access_user *u); /* NULL is nothing */
/* ERR_NO_BUCKET: this copy has none of that name. Others: it cannot be told. */
int access_bucket(struct gateway *g, const char *bucket,
                  struct access_bucket **out, struct err *err);
void access_bucket_free(struct access_bucket *b); /* NULL is nothing */

/* SHA-256 of the name, in hex: what S3 calls a canonical user id. */
void access_canonical_id(const char *name, char out[65]);

/* The flags of a stored PublicAccessBlockConfiguration. */
unsigned access_block_of(const void *document, size_t len);
/* Of stored OwnershipControls; @document NULL: none. */
enum access_ownership access_ownership_of(const void *document, size_t len);
/* "ObjectWriter" and so on; false: it is none of them. */
bool access_ownership_parse(const char *text, enum access_ownership *out);

#endif
