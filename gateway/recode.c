#include "gateway/recode.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/latch.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/pool.h"
#include "crypto/digest.h"
#include "gateway/bucket_rules.h"
#include "gateway/gateway_internal.h"
#include "meta/meta.h"
#include "object/manifest.h"
#include "object/object_gc.h"
#include "object/object_get.h"
#include "object/object_put.h"
#include "object/object_store.h"

#define ROUND_MS 1000
#define PAGE 1000
/* Puts by the rules of before must have begun: no server keeps them longer. */
#define SETTLE_MS (2 * RULES_KEEP_MS)
#define BUFFER_WAIT_MS 30000
#define FAILED_WAIT_MS 10000 /* before what failed is tried again */
#define NOTE_MAX 32

struct recode {
    struct gateway *gateway;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards stopping and progress */
    pthread_cond_t cond;
    bool stopping;
    struct recode_progress progress;
    uint64_t began_ms;
    uint64_t rest_until_ms; /* the thread's, as is the next */
    bool compress_known;    /* RECODED says that compression is as it is */
    bool stuck;             /* new shards do not get to all drives */
    struct metric *runs;
};

static bool goes_on(struct recode *r)
{
    bool on;

    pthread_mutex_lock(&r->mutex);
    on = !r->stopping;
    pthread_mutex_unlock(&r->mutex);
    return on;
}

static void rest(struct recode *r, uint64_t ms)
{
    uint64_t end = clock_mono_ms() + ms, now;

    pthread_mutex_lock(&r->mutex);
    while (!r->stopping && (now = clock_mono_ms()) < end) {
        latch_cond_wait(&r->cond, &r->mutex, end - now);
    }
    pthread_mutex_unlock(&r->mutex);
}

/* What RECODED has of a bucket that is through: "4+2 zstd". */
static const char *note_of(const struct bucket_rule *rule, char *out)
{
    char policy[EC_POLICY_TEXT_MAX];

    snprintf(out, NOTE_MAX, "%s %s", ec_policy_text(rule->policy, policy),
             bucket_compression_text(rule->compress));
    return out;
}

/* What it has of a bucket of which nothing was ever said. */
static const char *note_at(const struct gateway *g,
                           const struct meta_bucket *bucket, char *out)
{
    const struct meta_config *c = &bucket->config[META_CONFIG_RECODED];
    struct bucket_rule rule = {.policy = g->policy, .compress = RULES_COMPRESS};

    return c->value != NULL ? (const char *)c->value : note_of(&rule, out);
}

bool recode_wanted(const struct gateway *g, const struct meta_bucket *bucket,
                   const struct bucket_rule *rule)
{
    char is[NOTE_MAX], should[NOTE_MAX];

    return strcmp(note_at(g, bucket, is), note_of(rule, should)) != 0;
}

/* ---- one run ---- */

/* Does the manifest not accord with the rule? */
static bool is_other(const struct recode *r, const struct manifest *m,
                     const struct bucket_rule *rule)
{
    if (!ec_policy_same(m->policy, rule->policy) ||
        (!rule->compress && m->shift > 0)) {
        return true;
    }
    return rule->compress && m->shift == 0 && !r->compress_known;
}

struct copy {
    struct recode *r;
    struct object_put *put;
    uint64_t bytes, crc64;
    struct buf manifest; /* the new one */
};

static uint32_t choose_room(const struct gateway *g, uint64_t bytes)
{
    uint32_t room = GEOMETRY_CHUNK_MAX;

    while (room > (256u << 10) &&
           (room > pool_budget(g->pool) / 32 || room / 2 >= bytes)) {
        room /= 2;
    }
    return room;
}

/* Fill @out with @len bytes, or as many as are left. */
static int fill(struct object_get *get, uint8_t *out, uint32_t len,
                uint32_t *got, struct err *err)
{
    int rc = 0;

    *got = 0;
    while (rc == 0 && *got < len) {
        size_t n = 0;
        rc = object_get_read(get, out + *got, len - *got, &n, err);
        if (n == 0) {
            break;
        }
        *got += (uint32_t)n;
    }
    return rc;
}

/* Pace: as long for @bytes as --recode-rate has it. */
static void pace(struct recode *r, uint64_t bytes, uint64_t began_ms)
{
    uint64_t rate = r->gateway->options->recode_rate_mib << 20;
    uint64_t should = bytes * 1000 / rate;
    uint64_t spent = clock_mono_ms() - began_ms;

    if (spent < should) {
        rest(r, should - spent);
    }
}

static int write_chunk(struct copy *c, struct object_get *get, uint32_t room,
                       struct err *err)
{
    struct gateway *g = c->r->gateway;
    size_t buffer_bytes = object_buffer_bytes(g->objects, room);
    uint64_t began = clock_mono_ms();
    void *buffer = pool_get_block(g->pool, buffer_bytes, BUFFER_WAIT_MS);
    uint32_t len = 0;
    int rc;

    if (buffer == NULL) {
        return err_set(err, ERR_BUSY, "no buffer to recode with");
    }
    rc = fill(get, buffer, room, &len, err);
    if (rc == 0 && len == 0) {
        rc = err_set(err, ERR_CORRUPT, "a run of chunks is too short");
    }
    if (rc == 0) {
        c->crc64 = crc64nvme(c->crc64, buffer, len);
        c->bytes += len;
        rc = object_put_write(c->put, buffer, room, len, err);
        c->r->stuck = rc != 0;
    }
    if (rc != 0) {
        pool_put(g->pool, buffer, buffer_bytes);
        return rc;
    }
    pace(c->r, len, began);
    return goes_on(c->r) ? 0 : err_set(err, ERR_CLOSED, "stopping");
}

static int write_anew(struct copy *c, const void *manifest, size_t len,
                      uint64_t bytes, struct err *err)
{
    struct gateway *g = c->r->gateway;
    uint32_t room = choose_room(g, bytes);
    struct object_get *get;
    int rc = object_get_open(g->objects, manifest, len, 0, bytes, &get, err);

    while (rc == 0 && c->bytes < bytes) {
        rc = write_chunk(c, get, room, err);
    }
    if (rc == 0) {
        rc = object_put_commit(c->put, &c->manifest, err);
        c->r->stuck = rc != 0;
    }
    object_get_close(get);
    return rc;
}

static void on_defect(void *arg, enum object_defect defect,
                      const struct shard_key *key, uint16_t drive,
                      const char *why)
{
    struct err *err = arg;

    (void)defect;
    (void)key;
    err_set(err, ERR_UNAVAILABLE, "a new shard on drive %u: %s",
            (unsigned)drive, why != NULL ? why : "it is not there");
}

/* Read what was written back, and look at every shard of it. */
static int check_anew(struct copy *c, struct err *err)
{
    struct gateway *g = c->r->gateway;
    uint64_t crc64 = 0, left = c->bytes;
    struct object_get *get;
    int rc = object_get_open(g->objects, c->manifest.data, c->manifest.len, 0,
                             c->bytes, &get, err);

    if (rc != 0) {
        return rc;
    }
    while (rc == 0 && left > 0) {
        struct object_bytes b;
        rc = object_get_take(get, (size_t)1 << 20, &b, err);
        if (rc == 0) {
            crc64 = crc64nvme(crc64, b.p, b.len);
            left -= b.len;
            object_bytes_free(g->objects, &b);
        }
    }
    object_get_close(get);
    if (rc == 0 && crc64 != c->crc64) {
        rc = err_set(err, ERR_CORRUPT, "what was written reads otherwise");
    }
    if (rc == 0 && object_verify(g->objects, c->manifest.data, c->manifest.len,
                                 false, on_defect, err) > 0) {
        rc = ERR_UNAVAILABLE;
    }
    return rc;
}

/* Does the new one accord better? When compression was tried for nothing, the
 * old one stays. */
static bool is_gain(const struct manifest *old, const struct copy *c,
                    const struct bucket_rule *rule)
{
    struct manifest now;
    bool gain;

    CHECK(manifest_decode(c->manifest.data, c->manifest.len, &now, NULL) == 0);
    gain = ec_policy_same(now.policy, rule->policy) &&
           (!ec_policy_same(old->policy, rule->policy) || now.shift > 0 ||
            old->shift > 0);
    manifest_free(&now);
    return gain;
}

static int replace(struct copy *c, uint64_t body, uint32_t part,
                   const struct manifest *old, struct err *err)
{
    struct meta_content content = {.size_bytes = c->bytes,
                                   .manifest = c->manifest.data,
                                   .manifest_len = c->manifest.len};
    struct buf command = {0};
    int rc;

    command_body_recode(&command, body, part, old->id_hi, old->id_lo, &content,
                        clock_real_ms());
    rc = meta_propose_wait(c->r->gateway->meta, &command, NULL, err);
    buf_free(&command);
    return rc;
}

/* Write one run anew. ERR_PRECONDITION: somebody replaced it meanwhile. */
static int recode_run(struct recode *r, uint64_t body, uint32_t part,
                      const void *manifest, size_t len,
                      const struct manifest *old,
                      const struct bucket_rule *rule, struct err *err)
{
    struct object_put_how how = {.compress = rule->compress,
                                 .policy = rule->policy};
    struct copy c = {.r = r,
                     .put = object_put_open_as(r->gateway->objects, &how)};
    int rc = write_anew(&c, manifest, len, manifest_bytes(old), err);

    if (rc != 0) {
        object_put_abort(c.put);
        buf_free(&c.manifest);
        return rc;
    }
    if (!is_gain(old, &c, rule)) {
        object_put_close(c.put, 0);
        buf_free(&c.manifest);
        return 0;
    }
    rc = check_anew(&c, err);
    r->stuck = rc != 0;
    if (rc == 0) {
        rc = replace(&c, body, part, old, err);
        metric_add(r->runs, rc == 0);
        pthread_mutex_lock(&r->mutex);
        r->progress.runs_recoded += rc == 0;
        pthread_mutex_unlock(&r->mutex);
    }
    object_put_close(c.put, rc == 0 || rc == ERR_UNKNOWN);
    buf_free(&c.manifest);
    return rc;
}

/* ---- one object ---- */

static int judge_run(struct recode *r, uint64_t body, uint32_t part,
                     const void *manifest, size_t len,
                     const struct bucket_rule *rule, struct err *err)
{
    struct manifest m;
    int rc;

    if (manifest == NULL) {
        return 0;
    }
    rc = manifest_decode(manifest, len, &m, err);
    if (rc == 0) {
        if (is_other(r, &m, rule)) {
            rc = recode_run(r, body, part, manifest, len, &m, rule, err);
        }
        manifest_free(&m);
    }
    /* Overwritten, deleted: then it is by the rules, or nothing. */
    return rc == ERR_PRECONDITION ? 0 : rc;
}

static int recode_object(struct recode *r, const char *bucket, const char *key,
                         const struct bucket_rule *rule, struct err *err)
{
    struct meta *m = r->gateway->meta;
    struct meta_object o = {0};
    int rc = meta_object_get(m, bucket, key, true, &o, err);

    if (rc != 0) {
        return rc == ERR_NO_KEY ? 0 : rc;
    }
    rc = judge_run(r, o.body, 0, o.manifest, o.manifest_len, rule, err);
    for (uint32_t n = 1; rc == 0 && n <= o.parts && goes_on(r); n++) {
        struct meta_part part = {0};
        rc = meta_part_get(m, o.body, n, &part, err);
        if (rc == 0) {
            rc = judge_run(r, o.body, part.number, part.manifest,
                           part.manifest_len, rule, err);
        } else if (rc == ERR_NOT_FOUND) { /* deleted meanwhile */
            rc = 0;
            n = o.parts;
        }
        meta_part_free(&part);
    }
    meta_object_free(&o);
    return rc;
}

/* ---- one bucket ---- */

/* Walk the keys of a bucket; @fn gives whether to go on. */
static int walk(struct recode *r, const char *bucket,
                bool (*fn)(struct recode *r, const struct meta_list_entry *e,
                           void *arg),
                void *arg, struct err *err)
{
    char *after = mem_strdup("");
    bool more = true;
    int rc = 0;

    while (rc == 0 && more && goes_on(r)) {
        struct meta_list_query q = {.bucket = bucket,
                                    .prefix = "",
                                    .delimiter = "",
                                    .after = after,
                                    .max = PAGE};
        struct meta_list l = {0};
        rc = meta_list_objects(r->gateway->meta, &q, &l, err);
        more = rc == 0 && l.truncated && l.count > 0;
        for (size_t i = 0; rc == 0 && i < l.count; i++) {
            if (!goes_on(r) || !fn(r, &l.entries[i], arg)) {
                more = false;
                break;
            }
        }
        if (more) {
            free(after);
            after = mem_strdup(l.entries[l.count - 1].name);
        }
        meta_list_free(&l);
    }
    free(after);
    return rc;
}

static bool count_one(struct recode *r, const struct meta_list_entry *e,
                      void *arg)
{
    (void)arg;
    pthread_mutex_lock(&r->mutex);
    r->progress.objects++;
    r->progress.bytes += e->size_bytes;
    pthread_mutex_unlock(&r->mutex);
    return true;
}

struct pass {
    const char *bucket;
    const struct bucket_rule *rule;
    bool whole; /* nothing failed, nothing changed, it was not stopped */
};

static bool recode_one(struct recode *r, const struct meta_list_entry *e,
                       void *arg)
{
    struct pass *p = arg;
    struct bucket_rule now;
    struct err err = {{0}};
    int rc;

    r->stuck = false;
    rc = recode_object(r, p->bucket, e->name, p->rule, &err);

    if (rc != 0 && rc != ERR_CLOSED) {
        log_errf(LOG_WARN, "recode", "%s: %s", p->bucket, err.text);
    }
    p->whole = p->whole && rc == 0;
    pthread_mutex_lock(&r->mutex);
    r->progress.objects_done++;
    r->progress.bytes_done += e->size_bytes;
    r->progress.runs_failed += rc != 0;
    pthread_mutex_unlock(&r->mutex);
    bucket_rules_get(r->gateway, p->bucket, &now);
    /* What cannot be written now need not be tried with each object. */
    if (r->stuck || !ec_policy_same(now.policy, p->rule->policy) ||
        now.compress != p->rule->compress || !gateway_leads(r->gateway)) {
        p->whole = false;
        return false;
    }
    return goes_on(r);
}

static void begin(struct recode *r, const char *bucket)
{
    pthread_mutex_lock(&r->mutex);
    r->progress = (struct recode_progress){0};
    snprintf(r->progress.bucket, sizeof r->progress.bucket, "%s", bucket);
    r->began_ms = clock_mono_ms();
    pthread_mutex_unlock(&r->mutex);
}

static int note(struct recode *r, const char *bucket,
                const struct bucket_rule *rule, struct err *err)
{
    char text[NOTE_MAX];
    struct buf command = {0};
    int rc;

    note_of(rule, text);
    command_bucket_config(&command, bucket, META_CONFIG_RECODED, text,
                          strlen(text));
    rc = meta_propose_wait(r->gateway->meta, &command, NULL, err);
    buf_free(&command);
    return rc;
}

/* Was compression, when it was last gone through, as it is to be now? */
static bool same_compression(const struct gateway *g,
                             const struct meta_bucket *b,
                             const struct bucket_rule *rule)
{
    char text[NOTE_MAX];
    const char *blank = strchr(note_at(g, b, text), ' ');

    return blank != NULL &&
           strcmp(blank + 1, bucket_compression_text(rule->compress)) == 0;
}

static int recode_bucket(struct recode *r, const struct meta_bucket *b,
                         const struct bucket_rule *rule, struct err *err)
{
    struct pass p = {.bucket = b->name, .rule = rule, .whole = true};
    int rc;

    if (!object_store_knows(r->gateway->objects, rule->policy)) {
        return err_set(err, ERR_UNAVAILABLE, "the layout has not come yet");
    }
    r->compress_known = same_compression(r->gateway, b, rule);
    begin(r, b->name);
    rest(r, SETTLE_MS);
    rc = walk(r, b->name, count_one, NULL, err);
    if (rc == 0) {
        rc = walk(r, b->name, recode_one, &p, err);
    }
    if (rc == 0 && p.whole && goes_on(r)) {
        rc = note(r, b->name, rule, err);
        log_errf(LOG_INFO, "recode", "%s is stored as it is told", b->name);
    } else if (goes_on(r)) {
        r->rest_until_ms = clock_mono_ms() + FAILED_WAIT_MS;
    }
    begin(r, "");
    return rc;
}

static void judge_bucket(struct recode *r, const char *name)
{
    struct gateway *g = r->gateway;
    struct meta_bucket b = {0};
    struct bucket_rule rule;
    struct err err = {{0}};

    if (meta_bucket_get(g->meta, name, &b, NULL) == 0) {
        bucket_rule_of(g, &b, &rule);
        if (recode_wanted(g, &b, &rule) &&
            recode_bucket(r, &b, &rule, &err) != 0 && goes_on(r)) {
            log_errf(LOG_WARN, "recode", "%s: %s", name, err.text);
            r->rest_until_ms = clock_mono_ms() + FAILED_WAIT_MS;
        }
    }
    meta_bucket_free(&b);
}

static void round_of(struct recode *r)
{
    char after[META_BUCKET_MAX + 1] = "";
    size_t count = PAGE;

    while (count == PAGE && goes_on(r)) {
        struct meta_bucket *told = NULL;
        count = 0;
        if (meta_buckets_told(r->gateway->meta, after, PAGE, &told, &count,
                              NULL) != 0) {
            return;
        }
        for (size_t i = 0; i < count; i++) {
            if (goes_on(r)) {
                judge_bucket(r, told[i].name);
            }
            snprintf(after, sizeof after, "%s", told[i].name);
            meta_bucket_free(&told[i]);
        }
        free(told);
    }
}

static void *recode_main(void *arg)
{
    struct recode *r = arg;

    while (goes_on(r)) {
        if (clock_mono_ms() >= r->rest_until_ms && gateway_leads(r->gateway)) {
            round_of(r);
        }
        rest(r, ROUND_MS);
    }
    return NULL;
}

struct recode *recode_start(struct gateway *g)
{
    struct recode *r = mem_alloc(sizeof *r);

    r->gateway = g;
    r->runs = metric_counter("godwit_runs_recoded_total", NULL,
                             "Runs of chunks stored anew for their bucket.");
    CHECK(pthread_mutex_init(&r->mutex, NULL) == 0);
    latch_cond_init(&r->cond);
    CHECK(pthread_create(&r->thread, NULL, recode_main, r) == 0);
    pthread_setname_np(r->thread, "recode");
    return r;
}

void recode_stop(struct recode *r)
{
    if (r == NULL) {
        return;
    }
    pthread_mutex_lock(&r->mutex);
    r->stopping = true;
    pthread_cond_signal(&r->cond);
    pthread_mutex_unlock(&r->mutex);
    pthread_join(r->thread, NULL);
    pthread_cond_destroy(&r->cond);
    pthread_mutex_destroy(&r->mutex);
    free(r);
}

void recode_look(struct recode *r, struct recode_progress *out)
{
    uint64_t spent;

    *out = (struct recode_progress){0};
    if (r == NULL) {
        return;
    }
    pthread_mutex_lock(&r->mutex);
    *out = r->progress;
    spent = clock_mono_ms() - r->began_ms;
    pthread_mutex_unlock(&r->mutex);
    if (out->bytes_done > 0 && out->bytes > out->bytes_done) {
        out->eta_s =
            spent * (out->bytes - out->bytes_done) / out->bytes_done / 1000;
    }
}
