#include "gateway/access.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/digest.h"
#include "gateway/gateway_internal.h"
#include "gateway/s3_tree.h"
#include "meta/meta_user.h"

/* Each name has one place; another name that has it too is read again. */
#define PLACES 512

struct place {
    char name[META_ACCESS_KEY_MAX + 1]; /* "": none */
    uint64_t revision;
    void *it; /* NULL: there is none of that name */
};

struct access {
    pthread_mutex_t mutex; /* guards the places */
    struct place users[PLACES], buckets[PLACES];
};

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
        access_user_free(a->users[i].it);
        access_bucket_free(a->buckets[i].it);
    }
    pthread_mutex_destroy(&a->mutex);
    mem_wipe(a, sizeof *a);
    free(a);
}

void access_user_free(struct access_user *u)
{
    if (u != NULL && atomic_fetch_sub(&u->refs, 1) == 1) {
        iam_free(u->policy);
        mem_wipe(u->secret_key, strlen(u->secret_key));
        free(u->secret_key);
        free(u);
    }
}

void access_bucket_free(struct access_bucket *b)
{
    if (b != NULL && atomic_fetch_sub(&b->refs, 1) == 1) {
        iam_free(b->policy);
        free(b->owner);
        free(b);
    }
}

static struct place *place_of(struct place *places, const char *name)
{
    uint64_t h = 1469598103934665603u; /* FNV-1a */

    for (const char *p = name; *p != '\0'; p++) {
        h = (h ^ (uint8_t)*p) * 1099511628211u;
    }
    return &places[(h ^ h >> 32) % PLACES];
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
    uint64_t number;

    atomic_store(&u->refs, 1);
    u->root = root;
    snprintf(u->name, sizeof u->name, "%s", name);
    u->secret_key = mem_strdup(secret_key);
    access_canonical_id(name, u->canonical_id);
    number = strtoull(
        (char[]){u->canonical_id[0], u->canonical_id[1], u->canonical_id[2],
                 u->canonical_id[3], u->canonical_id[4], u->canonical_id[5],
                 u->canonical_id[6], u->canonical_id[7], u->canonical_id[8],
                 u->canonical_id[9], '\0'},
        NULL, 16);
    snprintf(u->account, sizeof u->account, "%012llu",
             (unsigned long long)(number % 1000000000000ull));
    snprintf(u->arn, sizeof u->arn, "arn:aws:iam::%s:user/%.64s", u->account,
             name);
    snprintf(u->short_arn, sizeof u->short_arn, "arn:aws:iam:::user/%.64s",
             name);
    return u;
}

static struct access_user *user_read(struct gateway *g, const char *access_key)
{
    struct meta_user row = {.policy = NULL};
    struct access_user *u = NULL;
    struct meta_key key;
    struct err err;

    if (meta_key_local(g->meta, access_key, &key, &row, &err) == 0) {
        u = user_new(row.name, key.secret_key, false);
        if (row.policy != NULL &&
            iam_read(IAM_IDENTITY, NULL, row.policy, row.policy_len, &u->policy,
                     &err) != 0) {
            log_errf(LOG_ERROR, "policy of a user", "%s: %s", row.name,
                     err.text);
        }
    }
    mem_wipe(&key, sizeof key);
    meta_user_free(&row);
    return u;
}

struct access_user *access_user(struct gateway *g, const char *access_key)
{
    struct access *a = g->access;
    uint64_t revision;
    struct place *p;
    struct access_user *u = NULL;
    bool known;

    if (strcmp(access_key, g->access_key) == 0) {
        return user_new(g->access_key, g->secret_key, true);
    }
    if (!atomic_load(&g->ready) || strlen(access_key) > META_ACCESS_KEY_MAX) {
        return NULL;
    }
    revision = meta_access_revision(g->meta); /* before what it is of */
    pthread_mutex_lock(&a->mutex);
    p = place_of(a->users, access_key);
    known = p->revision == revision && strcmp(p->name, access_key) == 0;
    if (known && p->it != NULL) {
        u = p->it;
        atomic_fetch_add(&u->refs, 1);
    }
    pthread_mutex_unlock(&a->mutex);
    if (known) {
        return u;
    }
    u = user_read(g, access_key);
    pthread_mutex_lock(&a->mutex);
    access_user_free(p->it);
    snprintf(p->name, sizeof p->name, "%s", access_key);
    p->revision = revision;
    p->it = u;
    if (u != NULL) {
        atomic_fetch_add(&u->refs, 1);
    }
    pthread_mutex_unlock(&a->mutex);
    return u;
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

static struct access_bucket *bucket_read(struct gateway *g, const char *bucket)
{
    struct access_bucket *b = NULL;
    struct meta_bucket row = {.owner = NULL};
    const struct meta_config *policy = &row.config[META_CONFIG_POLICY];
    const struct meta_config *block = &row.config[META_CONFIG_PUBLIC_ACCESS];
    struct err err;

    if (meta_bucket_local(g->meta, bucket, &row, &err) != 0) {
        return NULL;
    }
    b = mem_alloc(sizeof *b);
    atomic_store(&b->refs, 1);
    snprintf(b->name, sizeof b->name, "%s", bucket);
    b->owner = mem_strdup(row.owner);
    b->block = access_block_of(block->value, block->len);
    if (policy->value != NULL && iam_read(IAM_RESOURCE, bucket, policy->value,
                                          policy->len, &b->policy, &err) != 0) {
        log_errf(LOG_ERROR, "policy of a bucket", "%s: %s", bucket, err.text);
    }
    b->policy_public = b->policy != NULL && iam_is_public(b->policy);
    meta_bucket_free(&row);
    return b;
}

struct access_bucket *access_bucket(struct gateway *g, const char *bucket)
{
    struct access *a = g->access;
    uint64_t revision = meta_access_revision(g->meta);
    struct access_bucket *b = NULL;
    struct place *p;
    bool known;

    pthread_mutex_lock(&a->mutex);
    p = place_of(a->buckets, bucket);
    known = p->revision == revision && strcmp(p->name, bucket) == 0;
    if (known && p->it != NULL) {
        b = p->it;
        atomic_fetch_add(&b->refs, 1);
    }
    pthread_mutex_unlock(&a->mutex);
    if (known) {
        return b;
    }
    b = bucket_read(g, bucket);
    pthread_mutex_lock(&a->mutex);
    access_bucket_free(p->it);
    snprintf(p->name, sizeof p->name, "%s", bucket);
    p->revision = revision;
    p->it = b;
    if (b != NULL) {
        atomic_fetch_add(&b->refs, 1);
    }
    pthread_mutex_unlock(&a->mutex);
    return b;
}
