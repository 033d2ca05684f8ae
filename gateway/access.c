#include "gateway/access.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/digest.h"
#include "gateway/gateway_internal.h"
#include "gateway/s3_config.h"
#include "gateway/s3_tree.h"
#include "meta/meta_device.h"
#include "meta/meta_user.h"

_Static_assert(META_ACCESS_KEY_MAX <= ACL_NAME_MAX, "whoever asks can own");

/* Each name has one place; another name that has it too is read again. */
#define PLACES 512
#define DEVICE_PLACES 8192 /* fleets are larger than what people use */

struct place {
    char name[META_ACCESS_KEY_MAX + 1]; /* "": none */
    uint64_t revision;
    int rc;             /* 0, or why there is none of that name */
    struct counted *it; /* NULL unless rc is 0 */
};

struct access {
    struct access_user *root;
    pthread_mutex_t mutex; /* guards the places */
    struct place users[PLACES], devices[DEVICE_PLACES], buckets[PLACES];
};

static struct place *place_of(struct place *places, size_t count,
                              const char *name)
{
    uint64_t h = 1469598103934665603u; /* FNV-1a */

    for (const char *p = name; *p != '\0'; p++) {
        h = (h ^ (uint8_t)*p) * 1099511628211u;
    }
    return &places[(h ^ h >> 32) % count];
}

static struct counted *share(struct counted *it)
{
    if (it != NULL) {
        atomic_fetch_add(&it->refs, 1);
    }
    return it;
}

/* The last one? */
static bool let_go(struct counted *it)
{
    return atomic_fetch_sub(&it->refs, 1) == 1;
}

/* What is kept under @name, or is by @read; what it is not told is not kept.
 * @absent: the failure that says that there is none. */
static int look_up(struct gateway *g, struct place *places, size_t count,
                   const char *name,
                   int (*read)(struct gateway *g, const char *name,
                               struct counted **out, struct err *err),
                   void (*drop)(struct counted *it), int absent,
                   struct counted **out, struct err *err)
{
    uint64_t revision = meta_access_revision(g->meta); /* of what is read */
    struct place *p = place_of(places, count, name);
    struct counted *it = NULL;
    bool known;
    int rc;

    pthread_mutex_lock(&g->access->mutex);
    known = p->revision == revision && strcmp(p->name, name) == 0;
    rc = p->rc;
    *out = known ? share(p->it) : NULL;
    pthread_mutex_unlock(&g->access->mutex);
    if (known) {
        return rc == 0 ? 0 : err_set(err, rc, "%s", err_text(rc));
    }
    rc = read(g, name, &it, err);
    if (rc != 0 && rc != absent) {
        return rc;
    }
    *out = share(it);
    pthread_mutex_lock(&g->access->mutex);
    if (p->it != NULL) {
        drop(p->it);
    }
    snprintf(p->name, sizeof p->name, "%s", name);
    p->revision = revision;
    p->rc = rc;
    p->it = it;
    pthread_mutex_unlock(&g->access->mutex);
    return rc;
}

static void user_drop(struct counted *it)
{
    struct access_user *u = LIST_OF(it, struct access_user, counted);

    if (let_go(it)) {
        iam_free(u->policy);
        mem_wipe(u->secret_key, strlen(u->secret_key));
        free(u->secret_key);
        free(u);
    }
}

void access_user_free(struct access_user *u)
{
    if (u != NULL) {
        user_drop(&u->counted);
    }
}

static void bucket_drop(struct counted *it)
{
    struct access_bucket *b = LIST_OF(it, struct access_bucket, counted);

    if (let_go(it)) {
        iam_free(b->policy);
        acl_free(&b->acl);
        free(b->logging);
        free(b->owner);
        free(b);
    }
}

void access_bucket_free(struct access_bucket *b)
{
    if (b != NULL) {
        bucket_drop(&b->counted);
    }
}

struct access *access_new(void)
{
    struct access *a = mem_alloc(sizeof *a);

    CHECK(pthread_mutex_init(&a->mutex, NULL) == 0);
    return a;
}

void access_free(struct access *a)
{
    if (a == NULL) {
        return;
    }
    for (size_t i = 0; i < PLACES; i++) {
        if (a->users[i].it != NULL) {
            user_drop(a->users[i].it);
        }
        if (a->buckets[i].it != NULL) {
            bucket_drop(a->buckets[i].it);
        }
    }
    for (size_t i = 0; i < DEVICE_PLACES; i++) {
        if (a->devices[i].it != NULL) {
            user_drop(a->devices[i].it);
        }
    }
    access_user_free(a->root);
    pthread_mutex_destroy(&a->mutex);
    free(a);
}

/* ---- users ---- */

void access_canonical_id(const char *name, char out[65])
{
    uint8_t sum[DIGEST_MAX];
    size_t size = digest_of(DIGEST_SHA256, name, strlen(name), sum);

    text_hex(sum, size, out);
}

static struct access_user *user_new(const char *name, const char *secret_key,
                                    bool root)
{
    struct access_user *u = mem_alloc(sizeof *u);
    char digits[11]; /* of the id, as a number */

    atomic_store(&u->counted.refs, 1);
    u->root = root;
    snprintf(u->name, sizeof u->name, "%s", name);
    u->secret_key = mem_strdup(secret_key);
    access_canonical_id(name, u->canonical_id);
    snprintf(digits, sizeof digits, "%.10s", u->canonical_id);
    snprintf(u->account, sizeof u->account, "%012llu",
             strtoull(digits, NULL, 16) % 1000000000000ull);
    snprintf(u->arn, sizeof u->arn, "arn:aws:iam::%s:user/%.80s", u->account,
             name);
    snprintf(u->short_arn, sizeof u->short_arn, "arn:aws:iam:::user/%.80s",
             name);
    return u;
}

void access_set_root(struct access *a, const char *access_key,
                     const char *secret_key)
{
    a->root = user_new(access_key, secret_key, true);
}

static int user_read(struct gateway *g, const char *access_key,
                     struct counted **out, struct err *err)
{
    struct meta_user row = {.policy = NULL};
    struct access_user *u;
    struct meta_key key;
    int rc = meta_key_local(g->meta, access_key, &key, &row, err);

    if (rc != 0) {
        return rc;
    }
    u = user_new(row.name, key.secret_key, false);
    mem_wipe(&key, sizeof key);
    if (row.policy != NULL) {
        rc = iam_read(IAM_IDENTITY, NULL, row.policy, row.policy_len,
                      &u->policy, err);
    }
    if (rc != 0) { /* not as if it had none, which allows more */
        log_errf(LOG_ERROR, "policy of a user", "%s: %s", row.name, err->text);
        access_user_free(u);
        rc = ERR_NOT_FOUND;
    } else {
        *out = &u->counted;
    }
    meta_user_free(&row);
    return rc;
}

int access_user(struct gateway *g, const char *access_key,
                struct access_user **out, struct err *err)
{
    struct access *a = g->access;
    struct counted *it = NULL;
    int rc = 0;

    if (strcmp(access_key, g->access_key) == 0) {
        it = share(&a->root->counted);
    } else if (!atomic_load(&g->ready)) {
        rc = err_set(err, ERR_UNAVAILABLE, "the server is starting");
    } else if (strlen(access_key) > META_ACCESS_KEY_MAX) {
        rc = err_set(err, ERR_NOT_FOUND, "there is no such access key");
    } else {
        rc = look_up(g, a->users, PLACES, access_key, user_read, user_drop,
                     ERR_NOT_FOUND, &it, err);
    }
    *out = rc == 0 ? LIST_OF(it, struct access_user, counted) : NULL;
    return rc;
}

/* ---- devices ---- */

static int device_read(struct gateway *g, const char *number,
                       struct counted **out, struct err *err)
{
    struct meta_device row = {.policy = NULL};
    char name[sizeof ACCESS_DEVICE_PREFIX + META_DEVICE_MAX];
    struct access_user *u;
    struct err why;
    int rc = meta_device_local(g->meta, strtoull(number, NULL, 10), &row, err);

    if (rc != 0) {
        return rc;
    }
    if (row.state != META_DEVICE_ENROLLED) {
        meta_device_free(&row);
        return err_set(err, ERR_NOT_FOUND, "the device was revoked");
    }
    snprintf(name, sizeof name, ACCESS_DEVICE_PREFIX "%s", row.name);
    u = user_new(name, "", false);
    u->device = row.number;
    memcpy(u->key, row.fingerprint, sizeof u->key);
    rc = iam_read(IAM_IDENTITY, NULL, row.policy, row.policy_len, &u->policy,
                  &why);
    if (rc != 0) {
        log_errf(LOG_ERROR, "policy of a device", "%s: %s", name, why.text);
        access_user_free(u);
        rc = err_set(err, ERR_NOT_FOUND, "its policy cannot be read");
    } else {
        *out = &u->counted;
    }
    meta_device_free(&row);
    return rc;
}

int access_device(struct gateway *g, uint64_t number, struct access_user **out,
                  struct err *err)
{
    struct counted *it = NULL;
    char name[24];
    int rc;

    *out = NULL;
    if (!atomic_load(&g->ready)) {
        return err_set(err, ERR_UNAVAILABLE, "the server is starting");
    }
    snprintf(name, sizeof name, "%llu", (unsigned long long)number);
    rc = look_up(g, g->access->devices, DEVICE_PLACES, name, device_read,
                 user_drop, ERR_NOT_FOUND, &it, err);
    *out = rc == 0 ? LIST_OF(it, struct access_user, counted) : NULL;
    return rc;
}

/* ---- buckets ---- */

unsigned access_block_of(const void *document, size_t len)
{
    static const struct {
        const char *name;
        enum access_block flag;
    } flags[] = {
        {"BlockPublicAcls", ACCESS_BLOCK_ACLS},
        {"IgnorePublicAcls", ACCESS_IGNORE_ACLS},
        {"BlockPublicPolicy", ACCESS_BLOCK_POLICY},
        {"RestrictPublicBuckets", ACCESS_RESTRICT},
    };
    struct s3_node *root;
    unsigned set = 0;

    if (document == NULL ||
        s3_tree_read(document, len, "PublicAccessBlockConfiguration", &root,
                     NULL) != 0) {
        return 0;
    }
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        const struct s3_node *n = s3_node_child(root, flags[i].name);
        bool on = false;
        if (n != NULL && s3_node_bool(n, &on, NULL) == 0 && on) {
            set |= flags[i].flag;
        }
    }
    s3_tree_free(root);
    return set;
}

bool access_ownership_parse(const char *text, enum access_ownership *out)
{
    static const char *const names[] = {
        [ACCESS_OBJECT_WRITER] = "ObjectWriter",
        [ACCESS_OWNER_PREFERRED] = "BucketOwnerPreferred",
        [ACCESS_OWNER_ENFORCED] = "BucketOwnerEnforced",
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], text) == 0) {
            *out = (enum access_ownership)i;
            return true;
        }
    }
    return false;
}

enum access_ownership access_ownership_of(const void *document, size_t len)
{
    enum access_ownership found = ACCESS_OBJECT_WRITER;
    const struct s3_node *rule, *what;
    struct s3_node *root;

    if (document == NULL ||
        s3_tree_read(document, len, "OwnershipControls", &root, NULL) != 0) {
        return found;
    }
    rule = s3_node_child(root, "Rule");
    what = rule != NULL ? s3_node_child(rule, "ObjectOwnership") : NULL;
    if (what != NULL) {
        access_ownership_parse(what->text, &found);
    }
    s3_tree_free(root);
    return found;
}

/* A list that cannot be read grants nothing. */
static void read_acl(const char *bucket, const struct meta_config *c,
                     struct access_bucket *b)
{
    struct err err = {{0}};

    if (c->value != NULL && acl_decode(c->value, c->len, &b->acl, &err) != 0) {
        log_errf(LOG_ERROR, "ACL of a bucket", "%s: %s", bucket, err.text);
    }
    if (strcmp(b->acl.owner, b->owner) != 0) { /* none, or none of its own */
        acl_free(&b->acl);
        acl_begin(&b->acl, b->owner);
    }
}

static int bucket_read(struct gateway *g, const char *bucket,
                       struct counted **out, struct err *err)
{
    struct meta_bucket row = {.owner = NULL};
    const struct meta_config *policy = &row.config[META_CONFIG_POLICY];
    const struct meta_config *block = &row.config[META_CONFIG_PUBLIC_ACCESS];
    const struct meta_config *owns = &row.config[META_CONFIG_OWNERSHIP];
    const struct meta_config *encryption = &row.config[META_CONFIG_ENCRYPTION];
    const struct meta_config *logging = &row.config[META_CONFIG_LOGGING];
    struct access_bucket *b;
    int rc = meta_bucket_local(g->meta, bucket, &row, err);

    if (rc != 0) {
        return rc;
    }
    b = mem_alloc(sizeof *b);
    atomic_store(&b->counted.refs, 1);
    b->owner = mem_strdup(row.owner);
    b->block = access_block_of(block->value, block->len);
    s3_encryption_read(encryption->value, encryption->len, &b->encryption);
    if (policy->value != NULL && iam_read(IAM_RESOURCE, bucket, policy->value,
                                          policy->len, &b->policy, err) != 0) {
        log_errf(LOG_ERROR, "policy of a bucket", "%s: %s", bucket, err->text);
        b->unreadable = true;
    }
    b->ownership = access_ownership_of(owns->value, owns->len);
    if (logging->value != NULL) {
        b->logging = s3_logging_read(logging->value, logging->len);
    }
    read_acl(bucket, &row.config[META_CONFIG_ACL], b);
    b->policy_public = b->policy != NULL && iam_is_public(b->policy);
    meta_bucket_free(&row);
    *out = &b->counted;
    return 0;
}

int access_bucket(struct gateway *g, const char *bucket,
                  struct access_bucket **out, struct err *err)
{
    struct counted *it = NULL;
    int rc = look_up(g, g->access->buckets, PLACES, bucket, bucket_read,
                     bucket_drop, ERR_NO_BUCKET, &it, err);

    *out = rc == 0 ? LIST_OF(it, struct access_bucket, counted) : NULL;
    return rc;
}
