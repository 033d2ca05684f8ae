#include "gateway/audit.h"

#include <pthread.h>
#include <stdatomic.h>
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
#include "base/wire.h"
#include "cluster/cluster.h"
#include "crypto/prim.h"
#include "crypto/root_key.h"
#include "crypto/sign.h"
#include "gateway/access.h"
#include "gateway/gateway_internal.h"
#include "gateway/master_keys.h"
#include "gateway/request.h"
#include "gateway/s3_version.h"
#include "meta/meta_audit.h"
#include "meta/meta_user.h"

#define KEY_INFO "godwit audit key 1"
#define GATHER_MS 200
#define GATHER_BYTES ((size_t)64 << 10)
#define AGAIN_MS 1000 /* after a proposal that failed */
#define POINT_LOOK_MS 1000
#define POINT_EVERY_MS 60000
#define POINT_EVERY 1000 /* entries */
#define STRANGERS_MAX 10 /* denials in a second of who has no good key */

struct audit {
    struct gateway *gateway;
    pthread_t thread;
    bool started;
    atomic_int level; /* of enum audit_level */
    atomic_bool hash_keys;
    struct metric *entries, *dropped;
    pthread_mutex_t flush_mutex; /* one proposal at a time */
    pthread_mutex_t mutex;       /* guards all below */
    pthread_cond_t cond;
    struct buf drafts;
    uint32_t count;    /* of them */
    uint64_t lost;     /* and not told yet */
    uint64_t lost_all; /* since the start */
    uint64_t second, strangers;
    bool stopping;
    /* the thread's */
    uint64_t revision; /* of the catalogue whose settings are known */
    uint64_t look_at_ms, point_ms;
};

struct audit *audit_new(struct gateway *g)
{
    struct audit *a = mem_alloc(sizeof *a);

    a->gateway = g;
    atomic_store(&a->level, AUDIT_LEVEL_DENIED);
    a->entries = metric_counter("godwit_audit_entries_total", NULL,
                                "Decisions told to the audit log.");
    a->dropped = metric_counter("godwit_audit_dropped_total", NULL,
                                "Decisions counted there, but not told.");
    CHECK(pthread_mutex_init(&a->mutex, NULL) == 0);
    CHECK(pthread_mutex_init(&a->flush_mutex, NULL) == 0);
    latch_cond_init(&a->cond);
    return a;
}

void audit_free(struct audit *a)
{
    if (a != NULL) {
        buf_free(&a->drafts);
        pthread_cond_destroy(&a->cond);
        pthread_mutex_destroy(&a->flush_mutex);
        pthread_mutex_destroy(&a->mutex);
        free(a);
    }
}

static uint32_t own_number(const struct gateway *g)
{
    return g->cluster != NULL ? cluster_server(g->cluster) : 0;
}

/* ---- gathering ---- */

/* Under the mutex: may one more stranger be told of? */
static bool stranger_fits(struct audit *a)
{
    uint64_t second = clock_mono_ms() / 1000;

    if (second != a->second) {
        a->second = second;
        a->strangers = 0;
    }
    return ++a->strangers <= STRANGERS_MAX;
}

static void gather(struct audit *a, const struct audit_entry *e, bool stranger)
{
    bool fits;

    pthread_mutex_lock(&a->mutex);
    fits = a->drafts.len < AUDIT_ROOM_BYTES && (!stranger || stranger_fits(a));
    if (fits) {
        size_t before = a->drafts.len;
        command_audit_draft(&a->drafts, e);
        a->count++;
        if (before < GATHER_BYTES && a->drafts.len >= GATHER_BYTES) {
            pthread_cond_signal(&a->cond);
        }
    } else {
        a->lost++;
        a->lost_all++;
    }
    pthread_mutex_unlock(&a->mutex);
    metric_add(fits ? a->entries : a->dropped, 1);
}

static bool is_write(const struct request *r)
{
    return strcmp(r->method, "GET") != 0 && strcmp(r->method, "HEAD") != 0 &&
           strcmp(r->method, "OPTIONS") != 0;
}

static enum audit_level level_of(const struct request *r)
{
    int level = atomic_load(&r->gateway->audit->level);

    return level > r->audit_level ? (enum audit_level)level
                                  : (enum audit_level)r->audit_level;
}

static bool is_wanted(const struct request *r, bool denied)
{
    enum audit_level level = level_of(r);

    return level == AUDIT_LEVEL_ALL ||
           (level >= AUDIT_LEVEL_DENIED && denied) ||
           (level == AUDIT_LEVEL_WRITES && is_write(r));
}

/* What no decision is made on: health, metrics, and the pages of the log
 * itself behind the first, of which each would make the next. */
static bool is_silent(const struct request *r)
{
    return r->op == S3_OP_NONE || r->op == S3_OP_Live || r->op == S3_OP_Ready ||
           r->op == S3_OP_Metrics || r->op == S3_OP_Preflight ||
           (r->op == S3_OP_AdminAudit && request_param(r, "after") != NULL);
}

static void set_key(const struct request *r, struct audit_entry *e,
                    const char *bucket, const char *key, char hashed[72])
{
    audit_set_text(e, AUDIT_TEXT_BUCKET, bucket);
    if (key == NULL) {
        return;
    }
    if (atomic_load(&r->gateway->audit->hash_keys)) {
        audit_hash_key(bucket, strlen(bucket), key, strlen(key), hashed);
        key = hashed;
    }
    audit_set_text(e, AUDIT_TEXT_KEY, key);
}

/* Who a signature that is not good names is not who asks. */
static void set_who(const struct request *r, struct audit_entry *e)
{
    if (r->user != NULL && r->rule != AUDIT_BY_SIGNATURE) {
        audit_set_text(e, AUDIT_TEXT_USER, r->user->name);
        e->device = r->user->device;
    }
    audit_set_text(e, AUDIT_TEXT_ACCESS_KEY, r->auth.access_key);
    audit_set_text(e, AUDIT_TEXT_ADDRESS, r->peer);
    audit_set_text(e, AUDIT_TEXT_REQUEST, r->id);
    e->server = own_number(r->gateway);
    e->time_ms = r->time_ms;
}

static bool is_stranger(const struct request *r)
{
    return r->user == NULL || r->rule == AUDIT_BY_SIGNATURE;
}

static bool is_of_signature(enum s3_error e)
{
    return e == S3_InvalidAccessKeyId || e == S3_SignatureDoesNotMatch ||
           e == S3_RequestTimeTooSkewed || e == S3_InvalidToken ||
           e == S3_ExpiredToken;
}

static uint64_t version_of(const struct request *r)
{
    const char *text = request_param(r, "versionId"), *why;
    uint64_t which;

    return text != NULL && s3_version_parse(text, &which, &why) ? which : 0;
}

void audit_reply(struct request *r)
{
    struct audit *a = r->gateway->audit;
    struct audit_entry e = {.kind = AUDIT_DECISION,
                            .status = (uint16_t)r->status,
                            .denied = r->status == 403};
    char hashed[72];

    if (r->audited || a == NULL || !r->replied) {
        return;
    }
    r->audited = true;
    if (is_of_signature(r->error)) {
        r->rule = AUDIT_BY_SIGNATURE;
    }
    if (!is_wanted(r, e.denied) || (!e.denied && is_silent(r))) {
        return;
    }
    if (e.denied && r->rule == AUDIT_BY_NONE) {
        r->rule = AUDIT_BY_OTHER;
    }
    e.rule = r->rule;
    e.version = version_of(r);
    audit_set_text(&e, AUDIT_TEXT_OPERATION, s3_operation(r->op)->name);
    set_who(r, &e);
    set_key(r, &e, r->bucket, r->key, hashed);
    if (e.denied && !(r->key != NULL && atomic_load(&a->hash_keys))) {
        audit_set_text(&e, AUDIT_TEXT_DETAIL, r->err.text);
    }
    gather(a, &e, e.denied && is_stranger(r));
}

void audit_key(struct request *r, const char *operation, const char *bucket,
               const char *key, uint64_t version, bool denied)
{
    struct audit_entry e = {.kind = AUDIT_DECISION,
                            .denied = denied,
                            .rule = r->rule,
                            .version = version};
    char hashed[72];

    if (r->gateway->audit == NULL || !is_wanted(r, denied)) {
        return;
    }
    audit_set_text(&e, AUDIT_TEXT_OPERATION, operation);
    set_who(r, &e);
    set_key(r, &e, bucket, key, hashed);
    gather(r->gateway->audit, &e, denied && is_stranger(r));
}

void audit_raise(struct request *r, enum audit_level level)
{
    if (level > r->audit_level) {
        r->audit_level = (uint8_t)level;
    }
}

void audit_say_who(struct request *r)
{
    struct command_actor who = {
        .server = own_number(r->gateway),
        .request = r->id,
        .user = r->user != NULL ? r->user->name : NULL,
        .access_key = r->auth.access_key,
        .address = r->peer,
    };

    command_add_actor(&r->command, 0, &who);
}

/* ---- proposing ---- */

/* Bytes of the first @count drafts at @p. */
static size_t drafts_size(const uint8_t *p, uint32_t count)
{
    size_t len = 0;

    for (uint32_t i = 0; i < count; i++) {
        len += 4 + load_u32(p + len);
    }
    return len;
}

static int propose(struct audit *a, const void *drafts, size_t len,
                   uint32_t count, struct err *err)
{
    struct buf command = {0};
    int rc;

    command_audit_append(&command, NULL, drafts, len, count);
    rc = meta_propose_wait(a->gateway->meta, &command, NULL, err);
    buf_free(&command);
    return rc;
}

/* Take at most one command's worth; *@lost: all that were dropped. */
static uint32_t take(struct audit *a, struct buf *out, uint64_t *lost)
{
    uint32_t count;
    size_t len;

    pthread_mutex_lock(&a->mutex);
    count = a->count < META_AUDIT_BATCH_MAX - 1 ? a->count
                                                : META_AUDIT_BATCH_MAX - 1;
    len = drafts_size(a->drafts.data, count);
    buf_append(out, a->drafts.data, len);
    *lost = a->lost;
    pthread_mutex_unlock(&a->mutex);
    return count;
}

/* These are in the log. */
static void taken(struct audit *a, size_t len, uint32_t count, uint64_t lost)
{
    pthread_mutex_lock(&a->mutex);
    memmove(a->drafts.data, a->drafts.data + len, a->drafts.len - len);
    a->drafts.len -= len;
    a->count -= count;
    a->lost -= lost;
    pthread_mutex_unlock(&a->mutex);
}

static void put_lost(const struct audit *a, struct buf *out, uint64_t lost)
{
    struct audit_entry e = {.kind = AUDIT_LOST,
                            .count = lost,
                            .server = own_number(a->gateway),
                            .time_ms = clock_real_ms()};

    command_audit_draft(out, &e);
}

/* Propose all that is there. A proposal whose fate is unknown is made again: an
 * entry may stand there twice, but none is missing. */
static int flush(struct audit *a, struct err *err)
{
    int rc = 0;

    pthread_mutex_lock(&a->flush_mutex);
    while (rc == 0) {
        struct buf drafts = {0};
        uint64_t lost;
        uint32_t count = take(a, &drafts, &lost);
        size_t len = drafts.len;
        if (lost > 0) {
            put_lost(a, &drafts, lost);
        }
        if (count == 0 && lost == 0) {
            break;
        }
        rc = propose(a, drafts.data, drafts.len, count + (lost > 0), err);
        if (rc == 0) {
            taken(a, len, count, lost);
        }
        buf_free(&drafts);
    }
    pthread_mutex_unlock(&a->flush_mutex);
    return rc;
}

/* ---- settings ---- */

static void obey(struct audit *a, const struct audit_settings *set)
{
    atomic_store(&a->level, set->level);
    atomic_store(&a->hash_keys, set->hash_keys);
}

static void learn(struct audit *a)
{
    uint64_t revision = meta_access_revision(a->gateway->meta);
    struct meta_audit_state state;

    if (revision != a->revision &&
        meta_audit_state_local(a->gateway->meta, &state, NULL) == 0) {
        obey(a, &state.set);
        a->revision = revision;
    }
}

int audit_set(struct request *r, const struct audit_settings *set,
              struct err *err)
{
    struct audit *a = r->gateway->audit;
    int rc;

    buf_clear(&r->command);
    command_audit_append(&r->command, set, NULL, 0, 0);
    audit_say_who(r);
    rc = meta_propose_wait(r->gateway->meta, &r->command, NULL, err);
    if (rc == 0) {
        obey(a, set);
    }
    return rc;
}

/* ---- checkpoints ---- */

static bool private_key(struct gateway *g, uint8_t out[SIGN_PRIVATE])
{
    const uint8_t *root = master_keys_root(g);
    uint8_t prk[PRIM_SHA256];

    if (root == NULL) {
        return false;
    }
    prim_hkdf_extract(NULL, 0, root, ROOT_KEY, prk);
    prim_hkdf_expand(prk, KEY_INFO, sizeof KEY_INFO - 1, out, SIGN_PRIVATE);
    mem_wipe(prk, sizeof prk);
    return true;
}

bool audit_public(struct gateway *g, uint8_t key[AUDIT_KEY])
{
    uint8_t secret[SIGN_PRIVATE];

    if (!private_key(g, secret)) {
        return false;
    }
    sign_public(secret, key);
    mem_wipe(secret, sizeof secret);
    return true;
}

static int sign(struct gateway *g, const struct meta_audit_state *state,
                struct err *err)
{
    struct audit_checkpoint c = {.number = state->number,
                                 .server = own_number(g)};
    uint8_t secret[SIGN_PRIVATE], text[AUDIT_SIGNED];
    struct meta_stats stats;
    struct buf command = {0};
    int rc;

    if (!private_key(g, secret)) {
        return err_set(err, ERR_UNAVAILABLE,
                       "this server has no root key to sign with");
    }
    meta_stats(g->meta, &stats);
    c.clock_ms = stats.clock_ms;
    memcpy(c.hash, state->hash, AUDIT_HASH);
    sign_public(secret, c.key);
    audit_checkpoint_text(&c, g->cluster_id, text);
    sign_make(secret, text, sizeof text, c.signature);
    mem_wipe(secret, sizeof secret);
    command_audit_checkpoint(&command, &c);
    rc = meta_propose_wait(g->meta, &command, NULL, err);
    buf_free(&command);
    return rc;
}

int audit_sign(struct gateway *g, uint64_t *number, struct err *err)
{
    struct meta_audit_state state = {0};
    int rc = flush(g->audit, err);

    if (rc == 0) {
        rc = meta_audit_state(g->meta, &state, err);
    }
    if (rc == 0 && state.number == 0) {
        rc = err_set(err, ERR_NOT_FOUND, "the audit log has no entries");
    }
    if (rc == 0 && state.number > state.checkpoint) {
        rc = sign(g, &state, err);
    }
    if (rc == 0) {
        *number = state.number;
    }
    return rc;
}

/* A minute or a thousand entries after the last one. */
static void sign_if_due(struct audit *a)
{
    uint64_t now = clock_mono_ms();
    struct meta_audit_state state;
    struct err err = {{0}};

    if (now < a->look_at_ms) {
        return;
    }
    a->look_at_ms = now + POINT_LOOK_MS;
    if (!gateway_leads(a->gateway) || master_keys_root(a->gateway) == NULL ||
        meta_audit_state_local(a->gateway->meta, &state, NULL) != 0 ||
        state.number <= state.checkpoint ||
        (state.number - state.checkpoint < POINT_EVERY &&
         now < a->point_ms + POINT_EVERY_MS)) {
        return;
    }
    if (sign(a->gateway, &state, &err) != 0) {
        log_errf(LOG_WARN, "audit checkpoint", "%s", err.text);
    }
    a->point_ms = now;
}

/* ---- the thread ---- */

/* Wait for so many bytes, or the time; false: to end. */
static bool rest(struct audit *a, uint64_t ms)
{
    bool stopping;

    pthread_mutex_lock(&a->mutex);
    if (!a->stopping && (ms != GATHER_MS || a->drafts.len < GATHER_BYTES)) {
        latch_cond_wait(&a->cond, &a->mutex, ms);
    }
    stopping = a->stopping;
    pthread_mutex_unlock(&a->mutex);
    return !stopping;
}

static void *audit_main(void *arg)
{
    struct audit *a = arg;
    uint64_t ms = GATHER_MS;
    struct err err = {{0}};

    while (rest(a, ms)) {
        learn(a);
        ms = GATHER_MS;
        if (flush(a, &err) != 0) {
            log_errf(LOG_WARN, "audit log", "%s", err.text);
            ms = AGAIN_MS;
        } else {
            sign_if_due(a);
        }
    }
    return NULL;
}

void audit_start(struct audit *a)
{
    learn(a);
    a->started = true;
    CHECK(pthread_create(&a->thread, NULL, audit_main, a) == 0);
    pthread_setname_np(a->thread, "audit");
}

void audit_stop(struct audit *a)
{
    struct err err = {{0}};

    if (a == NULL || !a->started) {
        return;
    }
    pthread_mutex_lock(&a->mutex);
    a->stopping = true;
    pthread_cond_signal(&a->cond);
    pthread_mutex_unlock(&a->mutex);
    pthread_join(a->thread, NULL);
    a->started = false;
    if (flush(a, &err) != 0) {
        log_errf(LOG_WARN, "audit log", "%llu entries are lost: %s",
                 (unsigned long long)a->count, err.text);
    }
}

uint64_t audit_lost(struct gateway *g)
{
    uint64_t lost;

    pthread_mutex_lock(&g->audit->mutex);
    lost = g->audit->lost_all;
    pthread_mutex_unlock(&g->audit->mutex);
    return lost;
}
