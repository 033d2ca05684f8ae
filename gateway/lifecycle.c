#include "gateway/lifecycle.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/latch.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/text.h"
#include "gateway/gateway_internal.h"
#include "gateway/lifecycle_walk.h"
#include "gateway/request.h"
#include "gateway/s3_lifecycle.h"

#define BUCKETS_PAGE 1000

/* What a bucket was last seen to have. */
struct known {
    char bucket[META_BUCKET_MAX + 1];
    struct s3_lifecycle rules;
};

struct lifecycle {
    struct gateway *gateway;
    pthread_t thread;
    bool started;
    pthread_mutex_t mutex; /* guards known, count and stopping */
    pthread_cond_t cond;
    bool stopping;
    struct known **known; /* by name */
    size_t count;
    atomic_bool any; /* count is not 0: most stores have no rules at all */
    struct metric *expired, *aborted;
};

struct lifecycle *lifecycle_new(struct gateway *g)
{
    struct lifecycle *l = mem_alloc(sizeof *l);

    l->gateway = g;
    CHECK(pthread_mutex_init(&l->mutex, NULL) == 0);
    latch_cond_init(&l->cond);
    l->expired = metric_counter("godwit_lifecycle_due_total", NULL,
                                "Versions proposed for expiry by rules.");
    l->aborted = metric_counter("godwit_lifecycle_uploads_total", NULL,
                                "Unfinished uploads aborted by rules.");
    return l;
}

static void known_free(struct known *k)
{
    if (k != NULL) {
        s3_lifecycle_free(&k->rules);
        free(k);
    }
}

void lifecycle_free(struct lifecycle *l)
{
    if (l == NULL) {
        return;
    }
    for (size_t i = 0; i < l->count; i++) {
        known_free(l->known[i]);
    }
    free(l->known);
    pthread_cond_destroy(&l->cond);
    pthread_mutex_destroy(&l->mutex);
    free(l);
}

/* ---- what is known ---- */

/* Where @bucket is or would be; the lock is held. */
static size_t place_of(const struct lifecycle *l, const char *bucket,
                       bool *there)
{
    size_t low = 0, high = l->count;

    while (low < high) {
        size_t mid = (low + high) / 2;
        if (strcmp(l->known[mid]->bucket, bucket) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    *there = low < l->count && strcmp(l->known[low]->bucket, bucket) == 0;
    return low;
}

static void forget_at(struct lifecycle *l, size_t at)
{
    known_free(l->known[at]);
    l->count--;
    memmove(&l->known[at], &l->known[at + 1],
            (l->count - at) * sizeof l->known[0]);
}

static void set_at(struct lifecycle *l, size_t at, bool there, struct known *k)
{
    if (there) {
        known_free(l->known[at]);
        l->known[at] = k;
        return;
    }
    l->known = mem_realloc(l->known, (l->count + 1) * sizeof l->known[0]);
    memmove(&l->known[at + 1], &l->known[at],
            (l->count - at) * sizeof l->known[0]);
    l->known[at] = k;
    l->count++;
}

void lifecycle_learn(struct lifecycle *l, const char *bucket, const void *value,
                     size_t len)
{
    struct known *k = NULL;
    bool there;
    size_t at;

    if (len > 0) {
        k = mem_alloc(sizeof *k);
        memcpy(k->bucket, bucket, strlen(bucket) + 1);
        if (s3_lifecycle_read(value, len, &k->rules, NULL) != S3_OK) {
            known_free(k);
            k = NULL;
        }
    }
    pthread_mutex_lock(&l->mutex);
    at = place_of(l, bucket, &there);
    if (k != NULL) {
        set_at(l, at, there, k);
    } else if (there) {
        forget_at(l, at);
    }
    atomic_store(&l->any, l->count > 0);
    pthread_mutex_unlock(&l->mutex);
}

/* Between @from and @to (NULL: the end) there is no bucket. */
static void forget_between(struct lifecycle *l, const char *from,
                           const char *to)
{
    pthread_mutex_lock(&l->mutex);
    for (size_t i = 0; i < l->count;) {
        const char *name = l->known[i]->bucket;
        if (strcmp(name, from) > 0 && (to == NULL || strcmp(name, to) < 0)) {
            forget_at(l, i);
        } else {
            i++;
        }
    }
    atomic_store(&l->any, l->count > 0);
    pthread_mutex_unlock(&l->mutex);
}

/* ---- what answers say ---- */

static void add_header(struct request *r, uint64_t due_ms, const char *id)
{
    char date[TEXT_TIME_MAX];
    struct buf b = {0};

    text_uri_encode(&b, id, strlen(id), false);
    reply_header(r, "x-amz-expiration", "expiry-date=\"%s\", rule-id=\"%s\"",
                 text_http_date(due_ms, date), (char *)b.data);
    buf_free(&b);
}

void lifecycle_reply(struct request *r, uint64_t size_bytes,
                     uint64_t modified_ms, const void *tags, size_t tags_len)
{
    struct lifecycle *l = r->gateway->lifecycle;
    const struct s3_lifecycle_rule *rule = NULL;
    struct s3_tags read = {0};
    struct s3_lifecycle_object o = {r->key, size_bytes, modified_ms, &read};
    uint64_t due = S3_LIFECYCLE_NEVER;
    bool there;
    size_t at;

    if (l == NULL || !atomic_load(&l->any)) {
        return;
    }
    pthread_mutex_lock(&l->mutex);
    at = place_of(l, r->bucket, &there);
    if (there) {
        const struct s3_lifecycle *rules = &l->known[at]->rules;
        if (tags_len > 0 && s3_lifecycle_needs_tags(rules)) {
            char *text = mem_strndup(tags, tags_len);
            s3_tags_query(text, S3_TAGS_OBJECT_MAX, &read, NULL);
            free(text);
        }
        due = s3_lifecycle_current(rules, &o, &rule);
    }
    if (due != S3_LIFECYCLE_NEVER) {
        add_header(r, due, rule->id);
    }
    pthread_mutex_unlock(&l->mutex);
    s3_tags_free(&read);
}

void lifecycle_reply_upload(struct request *r, uint64_t begun_ms)
{
    struct lifecycle *l = r->gateway->lifecycle;
    const struct s3_lifecycle_rule *rule = NULL;
    char date[TEXT_TIME_MAX];
    struct buf id = {0};
    uint64_t due = S3_LIFECYCLE_NEVER;
    bool there;
    size_t at;

    if (l == NULL || !atomic_load(&l->any)) {
        return;
    }
    pthread_mutex_lock(&l->mutex);
    at = place_of(l, r->bucket, &there);
    if (there) {
        due =
            s3_lifecycle_upload(&l->known[at]->rules, r->key, begun_ms, &rule);
    }
    if (due != S3_LIFECYCLE_NEVER) {
        reply_header(r, "x-amz-abort-date", "%s", text_http_date(due, date));
        text_uri_encode(&id, rule->id, strlen(rule->id), false);
        reply_header(r, "x-amz-abort-rule-id", "%s", (char *)id.data);
        buf_free(&id);
    }
    pthread_mutex_unlock(&l->mutex);
}

/* ---- the round ---- */

static bool asked_to_stop(void *arg)
{
    struct lifecycle *l = arg;
    bool stop;

    pthread_mutex_lock(&l->mutex);
    stop = l->stopping;
    pthread_mutex_unlock(&l->mutex);
    return stop;
}

/* Learn the rules of one bucket, and go by them. */
static void see_bucket(struct lifecycle *l, const char *name, bool leader)
{
    struct lifecycle_walk w = {.gateway = l->gateway,
                               .bucket = name,
                               .stopping = asked_to_stop,
                               .arg = l};
    struct meta_bucket bucket = {0};
    const struct meta_config *c = &bucket.config[META_CONFIG_LIFECYCLE];
    struct s3_lifecycle rules = {0};
    struct meta_stats stats;
    struct err err = {{0}};

    if (meta_bucket_get(l->gateway->meta, name, &bucket, NULL) != 0) {
        return;
    }
    lifecycle_learn(l, name, c->value, c->len);
    meta_stats(l->gateway->meta, &stats);
    w.now_ms = stats.clock_ms;
    if (c->value != NULL && leader &&
        s3_lifecycle_read(c->value, c->len, &rules, NULL) == S3_OK) {
        w.rules = &rules;
        if (lifecycle_walk(&w, &err) != 0) {
            log_errf(LOG_WARN, "lifecycle", "%s: %s", name, err.text);
        }
        metric_add(l->expired, w.expired);
        metric_add(l->aborted, w.aborted);
        s3_lifecycle_free(&rules);
    }
    meta_bucket_free(&bucket);
}

static void walk_all(struct lifecycle *l)
{
    char last[META_BUCKET_MAX + 1] = "";
    bool leader = gateway_leads(l->gateway);
    size_t count = BUCKETS_PAGE;

    while (count == BUCKETS_PAGE && !asked_to_stop(l)) {
        struct meta_bucket *buckets = NULL;
        if (meta_buckets(l->gateway->meta, last, BUCKETS_PAGE, &buckets, &count,
                         NULL) != 0) {
            return;
        }
        for (size_t i = 0; i < count; i++) {
            forget_between(l, last, buckets[i].name);
            memcpy(last, buckets[i].name, sizeof last);
            if (!asked_to_stop(l)) {
                see_bucket(l, last, leader);
            }
            meta_bucket_free(&buckets[i]);
        }
        free(buckets);
    }
    if (!asked_to_stop(l)) {
        forget_between(l, last, NULL);
    }
}

static void *lifecycle_main(void *arg)
{
    struct lifecycle *l = arg;

    while (!asked_to_stop(l)) {
        walk_all(l);
        pthread_mutex_lock(&l->mutex);
        if (!l->stopping) {
            latch_cond_wait(&l->cond, &l->mutex,
                            l->gateway->options->lifecycle_interval_ms);
        }
        pthread_mutex_unlock(&l->mutex);
    }
    return NULL;
}

void lifecycle_start(struct lifecycle *l)
{
    CHECK(pthread_create(&l->thread, NULL, lifecycle_main, l) == 0);
    pthread_setname_np(l->thread, "lifecycle");
    l->started = true;
}

void lifecycle_stop(struct lifecycle *l)
{
    if (l == NULL || !l->started) {
        return;
    }
    pthread_mutex_lock(&l->mutex);
    l->stopping = true;
    pthread_cond_signal(&l->cond);
    pthread_mutex_unlock(&l->mutex);
    pthread_join(l->thread, NULL);
    l->started = false;
}
