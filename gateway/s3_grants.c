#include "gateway/s3_grants.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "gateway/access.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_access.h"
#include "gateway/s3_acl.h"
#include "gateway/s3_attrs.h"
#include "gateway/s3_version.h"
#include "meta/meta_user.h"

#define TRIES 5 /* when an object changes between read and commit */
#define FULL_CONTROL_OF_OWNER "bucket-owner-full-control"

/* ---- who has a canonical id ---- */

struct finder {
    struct request *request;
    struct meta_user *users; /* all, once somebody was asked for */
    size_t count;
    bool read;
};

static int find_user(void *arg, const char *id, char name[ACL_NAME_MAX + 1],
                     struct err *err)
{
    struct finder *f = arg;
    struct gateway *g = f->request->gateway;
    char known[65];
    int rc = 0;

    access_canonical_id(g->access_key, known);
    if (strcmp(known, id) == 0) {
        snprintf(name, ACL_NAME_MAX + 1, "%s", g->access_key);
        return 0;
    }
    if (!f->read) {
        rc = meta_users(g->meta, &f->users, &f->count, err);
        f->read = rc == 0;
    }
    for (size_t i = 0; i < f->count; i++) {
        access_canonical_id(f->users[i].name, known);
        if (strcmp(known, id) == 0) {
            snprintf(name, ACL_NAME_MAX + 1, "%s", f->users[i].name);
            return 0;
        }
    }
    return rc != 0 ? rc : err_set(err, ERR_NOT_FOUND, "nobody has the id");
}

static void finder_close(struct finder *f)
{
    for (size_t i = 0; i < f->count; i++) {
        meta_user_free(&f->users[i]);
    }
    free(f->users);
}

/* ---- what a request grants ---- */

/* Where a list is for, and what it may be there. */
struct place {
    const char *owner;        /* of what it is for */
    const char *bucket_owner; /* of an object; NULL: it is for a bucket */
    bool enforced, block;
};

static struct place place_of(const struct access_bucket *b, const char *owner,
                             const char *bucket_owner)
{
    return (struct place){.owner = owner,
                          .bucket_owner = bucket_owner,
                          .enforced = b->ownership == ACCESS_OWNER_ENFORCED,
                          .block = (b->block & ACCESS_BLOCK_ACLS) != 0};
}

static bool is_grant(const char *header)
{
    return strncasecmp(header, "x-amz-grant-", 12) == 0;
}

static bool has_grants(const struct request *r)
{
    for (size_t i = 0; i < r->header_count; i++) {
        if (is_grant(r->headers[i].name)) {
            return true;
        }
    }
    return false;
}

/* Do the headers say anything of a list? */
static bool has_headers(const struct request *r)
{
    return request_header(r, "x-amz-acl") != NULL || has_grants(r);
}

bool s3_grants_block(const struct request *r)
{
    return has_grants(r) || (r->target == NULL && has_headers(r));
}

static bool refuse(struct request *r, enum s3_error e, const struct err *err)
{
    reply_error(r, e, "%s", err->text);
    return false;
}

/* All x-amz-grant-*. False: a reply was made. */
static bool take_grants(struct request *r, struct acl *acl)
{
    struct finder f = {.request = r};
    struct s3_acl_names names = {find_user, &f};
    struct err err = {{0}};
    enum s3_error e = S3_OK;

    for (size_t i = 0; i < r->header_count && e == S3_OK; i++) {
        const struct sigv4_header *h = &r->headers[i];
        unsigned permission = s3_acl_header(h->name);
        if (permission != 0) {
            e = s3_acl_grant(acl, permission, h->value, &names, &err);
        } else if (is_grant(h->name)) {
            e = S3_InvalidArgument;
            err_set(&err, ERR_BAD_INPUT, "%.64s: no such grant", h->name);
        }
    }
    finder_close(&f);
    return e == S3_OK || refuse(r, e, &err);
}

/* May it be so there? False: a reply was made. @canned NULL: it is none. */
static bool judge_list(struct request *r, const struct place *p,
                       const char *canned, const struct acl *acl)
{
    const char *bucket_owner =
        p->bucket_owner != NULL ? p->bucket_owner : p->owner;
    bool good = !p->enforced;

    if (!good && canned != NULL) {
        good = strcmp(canned, FULL_CONTROL_OF_OWNER) == 0 ||
               (strcmp(canned, "private") == 0 && s3_is_owner(r, bucket_owner));
    } else if (!good) {
        good = !acl_grants_others(acl, bucket_owner);
    }
    if (!good) {
        reply_error(r, S3_AccessControlListNotSupported, NULL);
    } else if (p->block && acl_is_public(acl)) {
        reply_error(r, S3_AccessDenied,
                    "public ACLs are blocked by the BlockPublicAcls block "
                    "public access setting");
        good = false;
    }
    return good;
}

/* The list of the headers, in @out, which is empty; none: it stays so. False: a
 * reply was made. */
static bool take_headers(struct request *r, const struct place *p,
                         struct acl *out)
{
    const char *canned = request_header(r, "x-amz-acl");
    struct err err = {{0}};

    if (!has_headers(r)) {
        return true;
    }
    if (canned != NULL && has_grants(r)) {
        reply_error(r, S3_InvalidRequest,
                    "Specifying both Canned ACLs and Header Grants is not "
                    "allowed");
        return false;
    }
    if (canned != NULL) {
        if (acl_canned(canned, p->owner, p->bucket_owner, out, &err) != 0) {
            return refuse(r, S3_InvalidArgument, &err);
        }
    } else {
        acl_begin(out, p->owner);
        if (!take_grants(r, out)) {
            return false;
        }
    }
    return judge_list(r, p, canned, out);
}

bool s3_grants_bucket(struct request *r, const char *owner, bool enforced,
                      struct acl *out)
{
    struct place p = {.owner = owner, .enforced = enforced};

    if (!has_headers(r)) {
        return true;
    }
    if (enforced) {
        reply_error(r, S3_InvalidBucketAclWithObjectOwnership, NULL);
        return false;
    }
    return s3_require_acl(r) && take_headers(r, &p, out);
}

/* ---- of an object that is put ---- */

/* Who will own it. A device fills the bucket for its owner, singly or by
 * batches. */
static const char *owner_of_put(const struct request *r,
                                const struct access_bucket *b)
{
    bool own = r->user != NULL && r->user->device == 0;
    const char *canned = request_header(r, "x-amz-acl");
    bool given_up = b->ownership == ACCESS_OWNER_PREFERRED && canned != NULL &&
                    strcmp(canned, FULL_CONTROL_OF_OWNER) == 0;

    return !own || given_up || b->ownership == ACCESS_OWNER_ENFORCED
               ? b->owner
               : r->user->name;
}

bool s3_grants_put(struct request *r, struct buf *attrs)
{
    const struct access_bucket *b;
    struct acl acl = {.count = 0};
    struct place p;
    bool good;

    if (has_headers(r) && (!s3_target_wait(r) || !s3_require_acl(r))) {
        return false;
    }
    b = r->target;
    if (b == NULL) { /* of root, made by another server a moment ago */
        return true;
    }
    p = place_of(b, owner_of_put(r, b), b->owner);
    good = take_headers(r, &p, &acl);
    if (good && acl.owner[0] == '\0') {
        acl_begin(&acl, p.owner);
        acl_add(&acl, ACL_FULL_CONTROL, ACL_USER, p.owner, NULL);
    }
    if (good && !p.enforced &&
        (strcmp(p.owner, b->owner) != 0 ||
         !acl_is_private(&acl))) { /* not what no list says, too */
        s3_attrs_add_acl(attrs, &acl);
    }
    acl_free(&acl);
    return good;
}

void s3_grants_owner(const struct request *r, const void *attrs, size_t len,
                     char name[ACL_NAME_MAX + 1])
{
    struct acl acl = {.count = 0};
    const char *owner = s3_target_owner(r);

    if (s3_attrs_has_acl(attrs, len) &&
        (r->target == NULL || r->target->ownership != ACCESS_OWNER_ENFORCED) &&
        s3_attrs_acl(attrs, len, &acl)) {
        owner = acl.owner;
    }
    snprintf(name, ACL_NAME_MAX + 1, "%s", owner);
    acl_free(&acl);
}

/* ---- GetBucketAcl, GetObjectAcl ---- */

static void show(struct request *r, const struct acl *acl)
{
    s3_acl_write(acl, reply_document(r, 200));
}

/* What no list says: the owner may do all, and nobody else anything. */
static void make_private(struct acl *acl, const char *owner)
{
    acl_free(acl);
    acl_begin(acl, owner);
    acl_add(acl, ACL_FULL_CONTROL, ACL_USER, owner, NULL);
}

void s3_get_bucket_acl(struct request *r)
{
    struct meta_bucket bucket = {0};
    const struct meta_config *c = &bucket.config[META_CONFIG_ACL];
    const struct meta_config *owns = &bucket.config[META_CONFIG_OWNERSHIP];
    struct acl acl = {.count = 0};
    struct err err = {{0}};
    int rc = meta_bucket_get(r->gateway->meta, r->bucket, &bucket, &err);

    if (rc == 0 && c->value != NULL &&
        access_ownership_of(owns->value, owns->len) != ACCESS_OWNER_ENFORCED) {
        rc = acl_decode(c->value, c->len, &acl, &err);
    } else if (rc == 0) {
        make_private(&acl, bucket.owner);
    }
    if (rc == 0) {
        show(r, &acl);
    } else {
        reply_err(r, rc, &err);
    }
    acl_free(&acl);
    meta_bucket_free(&bucket);
    request_done(r);
}

/* The list of the object that was read, in @out, which is empty. */
static void list_of(const struct request *r, const struct meta_object *o,
                    struct acl *out)
{
    bool enforced =
        r->target != NULL && r->target->ownership == ACCESS_OWNER_ENFORCED;

    if (enforced || !s3_attrs_acl(o->attrs, o->attrs_len, out)) {
        make_private(out, s3_target_owner(r));
    }
}

void s3_get_object_acl(struct request *r)
{
    struct acl acl = {.count = 0};
    struct meta_object o;
    uint64_t which;

    if (s3_version_param(r, &which) && s3_version_get(r, which, false, &o)) {
        list_of(r, &o, &acl);
        show(r, &acl);
        s3_version_reply(r, o.version);
        acl_free(&acl);
        meta_object_free(&o);
    }
    request_done(r);
}

/* ---- PutBucketAcl, PutObjectAcl ---- */

/* The list of the document, whose owner must be the one of @p. False: a reply
 * was made. */
static bool take_document(struct request *r, const struct place *p,
                          struct acl *out)
{
    struct finder f = {.request = r};
    struct s3_acl_names names = {find_user, &f};
    struct err err = {{0}};
    enum s3_error e =
        s3_acl_read(r->document.data, r->document.len, &names, out, &err);

    finder_close(&f);
    if (e != S3_OK) {
        return refuse(r, e, &err);
    }
    if (strcmp(out->owner, p->owner) != 0) {
        reply_error(r, S3_AccessDenied, "the owner cannot be changed");
        return false;
    }
    return judge_list(r, p, NULL, out);
}

/* Of headers or a document, one of them. False: a reply was made. */
static bool take_list(struct request *r, const struct place *p, struct acl *out)
{
    bool headers = has_headers(r);

    if (headers && r->document.len > 0) {
        reply_error(r, S3_UnexpectedContent, NULL);
        return false;
    }
    if (!headers && r->document.len == 0) {
        reply_error(r, S3_MissingSecurityHeader, NULL);
        return false;
    }
    return headers ? take_headers(r, p, out) : take_document(r, p, out);
}

static int set_bucket_acl(struct request *r, const struct acl *acl,
                          struct err *err)
{
    struct buf text = {0};
    int rc;

    if (!acl_is_private(acl)) {
        acl_encode(acl, &text);
    }
    buf_clear(&r->command);
    command_bucket_config(&r->command, r->bucket, META_CONFIG_ACL,
                          text.data != NULL ? text.data : (uint8_t *)"",
                          text.len);
    rc = request_propose_wait(r, NULL, err);
    buf_free(&text);
    return rc;
}

void s3_put_bucket_acl(struct request *r)
{
    struct acl acl = {.count = 0};
    struct err err = {{0}};
    struct place p;
    int rc = 0;

    if (!s3_target_wait(r)) {
        return;
    }
    p = place_of(r->target, r->target->owner, NULL);
    if (take_list(r, &p, &acl)) {
        if (!p.enforced) {
            rc = set_bucket_acl(r, &acl, &err);
        }
        if (rc == 0) {
            reply(r, 200);
        } else {
            reply_err(r, rc, &err);
        }
    }
    acl_free(&acl);
}

/* The attrs of @o with another list. */
static void with_list(const struct meta_object *o, const char *bucket_owner,
                      const struct acl *acl, struct buf *out)
{
    s3_attrs_begin(out);
    if (!acl_is_private(acl) || strcmp(acl->owner, bucket_owner) != 0) {
        s3_attrs_add_acl(out, acl);
    }
    s3_attrs_copy(o->attrs, o->attrs_len, true, out);
}

/* One try. ERR_PRECONDITION: the object has changed since it was read; else a
 * reply was made. */
static int try_object_acl(struct request *r, uint64_t which)
{
    const struct access_bucket *b = r->target;
    struct acl old = {.count = 0}, acl = {.count = 0};
    struct buf attrs = {0};
    struct err err = {{0}};
    struct meta_object o;
    struct place p;
    int rc = 0;

    if (!s3_version_get(r, which, false, &o)) {
        return 0;
    }
    list_of(r, &o, &old);
    p = place_of(b, old.owner, b->owner);
    if (!take_list(r, &p, &acl)) {
        goto out;
    }
    with_list(&o, b->owner, &acl, &attrs);
    if (attrs.len > META_ATTRS_MAX) {
        reply_error(r, S3_MetadataTooLarge, NULL);
        goto out;
    }
    if (!p.enforced) {
        buf_clear(&r->command);
        command_object_attrs(&r->command, r->bucket, r->key, which, o.attrs,
                             o.attrs_len, attrs.data, attrs.len, r->time_ms);
        rc = request_propose_wait(r, NULL, &err);
    }
    if (rc == 0) {
        reply(r, 200);
        s3_version_reply(r, o.version);
    } else if (rc != ERR_PRECONDITION) {
        reply_err(r, rc, &err);
    }

out:
    buf_free(&attrs);
    acl_free(&acl);
    acl_free(&old);
    meta_object_free(&o);
    return rc;
}

void s3_put_object_acl(struct request *r)
{
    int rc = ERR_PRECONDITION;
    uint64_t which;

    if (!s3_version_param(r, &which) || !s3_target_wait(r)) {
        return;
    }
    for (int i = 0; i < TRIES && rc == ERR_PRECONDITION; i++) {
        rc = try_object_acl(r, which);
    }
    if (rc == ERR_PRECONDITION) {
        reply_error(r, S3_SlowDown, "the object keeps changing");
    }
}
