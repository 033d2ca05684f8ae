/* s3_access.h: may who asks do what is asked?
 *
 * Root may do everything, and a user what concerns buckets of its own, as far
 * as its own policy (if it has one) goes; a bucket's policy lets others in, or
 * keeps anybody out: an explicit Deny binds root and owners too, but for the
 * operations on the policy itself, so that nobody locks himself out.
 *
 * An access control list lets in, too, whom it names; that of a bucket before
 * anything is read, that of an object when it was (s3_object_allowed). So an
 * operation that an object's list could allow goes ahead until its row was
 * read; who may not list the bucket is told the same of a key that is not there
 * as of one that is not for him. What another than the bucket's owner owns, is
 * not the bucket's owner's or its policy's to give; to keep it from being read,
 * changed or deleted, is. Where a policy asks for the tags of an object that is
 * there, what reads the object is judged when it was read.
 *
 * Source: AWS S3 User Guide, "How Amazon S3 authorizes a request", "Controlling
 * ownership of objects and disabling ACLs", "Blocking public access"; Service
 * Authorization Reference, "Actions, resources, and condition keys for Amazon
 * S3". Threads: as request.h.
 */
#ifndef GODWIT_GATEWAY_S3_ACCESS_H
#define GODWIT_GATEWAY_S3_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct access_bucket;
struct meta_object;
struct request;
struct s3_tags;

/* Who consents to what is asked; a set. */
enum s3_consent {
    S3_BY_ASKER = 1,  /* root, or the own policy of who asks */
    S3_BY_BUCKET = 2, /* the bucket: its owner, its policy or its ACL */
    S3_BY_OBJECT = 4, /* nobody yet: its ACL or its owner may */
    S3_BY_TAGS = 8,   /* nobody yet, and alone: a policy asks for its tags */
};

/* An object that is to be read, and what was said to that before it was. */
struct s3_reading {
    struct access_bucket *from; /* NULL: of root, and not known here */
    const char *action, *bucket, *key;
    unsigned consent;    /* of enum s3_consent */
    unsigned permission; /* of enum acl_permission; 0: its ACL gives nothing */
};

/* Judge the request's operation; false: a reply was made (AccessDenied). */
bool s3_authorize(struct request *r);
/* May who asks have a session of its own? Who has a key may, unless a policy of
 * its own denies it, and none for a session. False: a reply was made. */
bool s3_authorize_session(struct request *r);
/* May it do @action ("s3:GetObject") to an object (@key NULL: to the bucket)?
 * For operations that touch more than their target. */
bool s3_may(struct request *r, const char *action, const char *bucket,
            const char *key);
/* The same; false: a reply was made. */
bool s3_require(struct request *r, const char *action, const char *bucket,
                const char *key);
/* PutObjectTagging, with the tags of its body (NULL: they cannot be read), and
 * DeleteObjectTagging, which s3_authorize leaves open. False: a reply was
 * made. */
bool s3_require_tagging(struct request *r, uint64_t which,
                        const struct s3_tags *tags);
/* Of another object that is to be read, the source of a copy: @a->bucket and
 * @a->key. Gives the rest (access_bucket_free(@a->from)). False: a reply was
 * made. */
bool s3_require_read(struct request *r, bool version, struct s3_reading *a);
/* It was read, @o: may it be? False: a reply was made. */
bool s3_object_allowed(struct request *r, const struct s3_reading *a,
                       const struct meta_object *o);
/* The same of the operation's own object. */
bool s3_target_allowed(struct request *r, const struct meta_object *o);
/* There is no such key, or version, in @bucket: may that be told? False: a
 * reply was made. */
bool s3_may_be_told(struct request *r, const char *bucket);
/* May it set the ACL of the bucket or object that it makes? Whoever lets it be
 * made may be silent on that; a policy of the asker's own must not. False: a
 * reply was made. */
bool s3_require_acl(struct request *r);
/* Worker: see that r->target is there, which root is let in without. False: a
 * reply was made. */
bool s3_target_wait(struct request *r);
/* What the operation needs of an object's ACL; 0: it does not go by it. */
unsigned s3_object_permission(const struct request *r);

/* Is it the owner of the bucket, or root? */
bool s3_is_owner(struct request *r, const char *owner);
/* The name that owns what the request makes. */
const char *s3_owner_name(const struct request *r);
/* Who owns the bucket in question. */
const char *s3_target_owner(const struct request *r);
/* Is a governance retention to be bypassed (s3_bypass_header), and may it be?
 * False: a reply was made. */
bool s3_bypass(struct request *r, bool *bypass);

#endif
