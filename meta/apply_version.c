/* Versions of a key: which is newest, which is null, which must stay.
 *
 * Table version has what a key names; history has what it named before, and
 * delete markers. INVARIANT: a key has a row in version exactly when the newest
 * of its versions is no marker; that row is the newest.
 *
 * Source: AWS S3 User Guide, "Retaining multiple versions of objects with S3
 * Versioning", "Adding objects to versioning-suspended buckets", "Deleting
 * object versions", "Locking objects with Object Lock".
 */
#include "base/err.h"
#include "base/wire.h"
#include "meta/apply_step.h"

/* A command makes at most META_DELETE_MAX versions; those of a later command
 * have higher numbers. */
#define NUMBERS_PER_COMMAND 1024
#define DAY_MS ((uint64_t)86400000)

_Static_assert(META_DELETE_MAX <= NUMBERS_PER_COMMAND, "a number for each");

uint64_t version_number(const struct step *s, uint32_t i)
{
    return s->id * NUMBERS_PER_COMMAND + i;
}

static bool bucket_is(const struct step *s, uint64_t flag)
{
    return (s->bucket_flags & flag) != 0;
}

/* Could the bucket have a history? */
static bool has_history(const struct step *s)
{
    return bucket_is(s, BUCKET_VERSIONED | BUCKET_SUSPENDED);
}

/* ---- finding ---- */

static int history_row(struct step *s, enum meta_statement name,
                       sqlite3_stmt *q, struct version_row *v)
{
    int rc = step_find(s, q, &v->there);

    v->in_history = true;
    if (rc == 0 && v->there) {
        step_version_row(q, v);
    }
    meta_db_done(s->db, name);
    return rc;
}

static int history_null(struct step *s, uint64_t bucket,
                        const struct command_bytes *key, struct version_row *v)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_HISTORY_GET_NULL);

    bind_u64(q, 1, bucket);
    bind_bytes(q, 2, key->p, key->len);
    return history_row(s, STMT_HISTORY_GET_NULL, q, v);
}

static int history_newest(struct step *s, uint64_t bucket,
                          const struct command_bytes *key,
                          struct version_row *v)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_HISTORY_NEWEST);

    bind_u64(q, 1, bucket);
    bind_bytes(q, 2, key->p, key->len);
    return history_row(s, STMT_HISTORY_NEWEST, q, v);
}

int version_find(struct step *s, uint64_t bucket,
                 const struct command_bytes *key, uint64_t which,
                 struct version_row *v)
{
    sqlite3_stmt *q;
    bool null;
    int rc = step_version(s, bucket, key, v);

    if (rc != 0 || which == META_VERSION_CURRENT) {
        return rc;
    }
    null = v->there && (v->flags & VERSION_IS_NULL) != 0;
    if (which == META_VERSION_NULL) {
        return null ? 0 : history_null(s, bucket, key, v);
    }
    if (v->there && !null && v->seq == which) {
        return 0;
    }
    q = meta_db_stmt(s->db, STMT_HISTORY_GET);
    bind_u64(q, 1, bucket);
    bind_bytes(q, 2, key->p, key->len);
    bind_u64(q, 3, which);
    rc = history_row(s, STMT_HISTORY_GET, q, v);
    if (rc == 0 && v->there && (v->flags & VERSION_IS_NULL) != 0) {
        v->there = false; /* its number is not its name */
    }
    return rc;
}

/* ---- judging ---- */

/* Does it go by the cluster's time? Nobody's clock alone ends a retention. */
static bool is_retained(const struct step *s, const struct version_row *v)
{
    return v->retain_ms > s->a->state.clock_ms;
}

void version_judge_retained(struct step *s, const struct version_row *v,
                            bool bypass)
{
    bool retained =
        is_retained(s, v) && (v->lock == META_LOCK_COMPLIANCE ||
                              (v->lock == META_LOCK_GOVERNANCE && !bypass));

    if (v->there && (retained || (v->flags & VERSION_HELD) != 0)) {
        s->status = ERR_RETAINED;
    }
}

int version_judge_delete(struct step *s, uint64_t bucket,
                         const struct command_bytes *key,
                         const struct version_row *old)
{
    struct version_row null = *old;
    int rc = 0;

    if (bucket_is(s, BUCKET_VERSIONED)) {
        return 0; /* nothing is replaced */
    }
    if (bucket_is(s, BUCKET_SUSPENDED) &&
        !(old->there && (old->flags & VERSION_IS_NULL) != 0)) {
        rc = history_null(s, bucket, key, &null);
    }
    if (rc == 0) {
        version_judge_retained(s, &null, false);
    }
    return rc;
}

int version_judge_put(struct step *s, uint64_t bucket,
                      const struct version_row *old)
{
    if ((s->c->lock != META_LOCK_NONE || s->c->hold) &&
        !bucket_is(s, BUCKET_LOCKED)) {
        s->status = ERR_NO_LOCK;
        return 0;
    }
    return version_judge_delete(s, bucket, &s->c->key, old);
}

/* ---- moving ---- */

static int by_key(struct step *s, enum meta_statement name, uint64_t bucket,
                  const struct command_bytes *key)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, name);

    bind_u64(q, 1, bucket);
    bind_bytes(q, 2, key->p, key->len);
    return step_run(s, name, q);
}

static int by_seq(struct step *s, enum meta_statement name, uint64_t bucket,
                  const struct command_bytes *key, uint64_t seq)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, name);

    bind_u64(q, 1, bucket);
    bind_bytes(q, 2, key->p, key->len);
    bind_u64(q, 3, seq);
    return step_run(s, name, q);
}

/* What the key names becomes history. */
static int retire(struct step *s, uint64_t bucket,
                  const struct command_bytes *key)
{
    int rc = by_key(s, STMT_HISTORY_TAKE, bucket, key);

    if (rc == 0) {
        rc = by_key(s, STMT_VERSION_REMOVE, bucket, key);
    }
    if (rc == 0) {
        s->a->state.objects--;
    }
    return rc;
}

/* The key names nothing: let it name the newest of its history, unless that is
 * a marker. */
static int promote(struct step *s, uint64_t bucket,
                   const struct command_bytes *key)
{
    struct version_row v;
    int rc = history_newest(s, bucket, key, &v);

    if (rc != 0 || !v.there || (v.flags & VERSION_IS_MARKER) != 0) {
        return rc;
    }
    rc = by_seq(s, STMT_HISTORY_GIVE, bucket, key, v.seq);
    if (rc == 0) {
        rc = by_seq(s, STMT_HISTORY_REMOVE, bucket, key, v.seq);
    }
    if (rc == 0) {
        s->a->state.objects++;
    }
    return rc;
}

/* Remove a row and let go of its bytes. */
static int drop(struct step *s, uint64_t bucket,
                const struct command_bytes *key, const struct version_row *v)
{
    int rc;

    if (v->in_history) {
        rc = by_seq(s, STMT_HISTORY_REMOVE, bucket, key, v->seq);
    } else {
        rc = by_key(s, STMT_VERSION_REMOVE, bucket, key);
        s->a->state.objects--;
    }
    if (rc != 0 || (v->flags & VERSION_IS_MARKER) != 0) {
        return rc;
    }
    return apply_body_release(s, v->body);
}

/* A null version takes the place of the one in the history. */
static int drop_null(struct step *s, uint64_t bucket,
                     const struct command_bytes *key)
{
    struct version_row v;
    int rc = history_null(s, bucket, key, &v);

    return rc == 0 && v.there ? drop(s, bucket, key, &v) : rc;
}

int version_make_room(struct step *s, uint64_t bucket,
                      const struct command_bytes *key,
                      const struct version_row *old, bool *kept)
{
    bool null = old->there && (old->flags & VERSION_IS_NULL) != 0;
    int rc = 0;

    *kept = false;
    if (bucket_is(s, BUCKET_SUSPENDED) && !null) {
        rc = drop_null(s, bucket, key);
    }
    if (rc == 0 && old->there && has_history(s) &&
        (bucket_is(s, BUCKET_VERSIONED) || !null)) {
        *kept = true;
        rc = retire(s, bucket, key);
    }
    return rc;
}

static int put_marker(struct step *s, uint64_t bucket,
                      const struct command_bytes *key, uint32_t i)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_HISTORY_PUT);
    bool keeps = bucket_is(s, BUCKET_VERSIONED);

    bind_u64(q, 1, bucket);
    bind_bytes(q, 2, key->p, key->len);
    bind_u64(q, 3, version_number(s, i));
    bind_u64(q, 4, s->c->time_ms);
    bind_u64(q, 5, VERSION_IS_MARKER | (keeps ? 0 : VERSION_IS_NULL));
    s->version = (keeps ? version_number(s, i) : META_VERSION_NULL) |
                 META_VERSION_MARKER;
    return step_run(s, STMT_HISTORY_PUT, q);
}

int version_delete_newest(struct step *s, uint64_t bucket,
                          const struct command_bytes *key,
                          const struct version_row *v, uint32_t i)
{
    bool kept;
    int rc;

    if (!has_history(s)) {
        return v->there ? drop(s, bucket, key, v) : 0;
    }
    rc = version_make_room(s, bucket, key, v, &kept);
    if (rc == 0 && v->there && !kept) {
        rc = drop(s, bucket, key, v);
    }
    return rc == 0 ? put_marker(s, bucket, key, i) : rc;
}

int version_remove(struct step *s, uint64_t bucket,
                   const struct command_bytes *key, const struct version_row *v)
{
    struct version_row current = {.there = false};
    int rc = drop(s, bucket, key, v);

    if (rc == 0 && v->in_history) {
        rc = step_version(s, bucket, key, &current);
    }
    if (rc == 0 && !current.there && has_history(s)) {
        rc = promote(s, bucket, key);
    }
    return rc;
}

/* ---- Object Lock ---- */

/* Days since 1970 of a day in the Gregorian calendar, and back: the algorithms
 * of Howard Hinnant, "chrono-compatible low-level date algorithms". */
static int64_t days_of(int64_t y, unsigned m, unsigned d)
{
    int64_t era;
    unsigned yoe, doy;

    y -= m <= 2;
    era = y / 400;
    yoe = (unsigned)(y - era * 400);
    doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    return era * 146097 + (int64_t)(yoe * 365 + yoe / 4 - yoe / 100 + doy) -
           719468;
}

static void date_of(int64_t days, int64_t *y, unsigned *m, unsigned *d)
{
    int64_t era;
    unsigned doe, yoe, doy, mp;

    days += 719468;
    era = days / 146097;
    doe = (unsigned)(days - era * 146097);
    yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    mp = (5 * doy + 2) / 153;
    *d = doy - (153 * mp + 2) / 5 + 1;
    *m = mp < 10 ? mp + 3 : mp - 9;
    *y = (int64_t)yoe + era * 400 + (*m <= 2);
}

/* The same day @years later; of 29 February the first of March, so that nothing
 * is retained shorter than it was said. */
static uint64_t add_years(uint64_t time_ms, uint32_t years)
{
    int64_t y;
    unsigned m, d;

    date_of((int64_t)(time_ms / DAY_MS), &y, &m, &d);
    return (uint64_t)days_of(y + years, m, d) * DAY_MS + time_ms % DAY_MS;
}

/* The default of the bucket. */
static int default_retention(struct step *s, uint64_t bucket, uint8_t *lock,
                             uint64_t *retain_ms)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_CONFIG_GET);
    bool found;
    int rc;

    bind_u64(q, 1, bucket);
    bind_u64(q, 2, META_CONFIG_OBJECT_LOCK);
    rc = step_find(s, q, &found);
    if (rc == 0 && found && sqlite3_column_bytes(q, 0) == META_LOCK_CONFIG) {
        const uint8_t *p = sqlite3_column_blob(q, 0);
        uint32_t count = load_u32(p + 4);
        /* A gateway whose clock lags must not make it short. */
        uint64_t now = s->c->time_ms > s->a->state.clock_ms
                           ? s->c->time_ms
                           : s->a->state.clock_ms;
        *lock = p[0];
        if (p[0] != META_LOCK_NONE) {
            *retain_ms = p[1] == META_LOCK_YEARS ? add_years(now, count)
                                                 : now + count * DAY_MS;
        }
    }
    meta_db_done(s->db, STMT_CONFIG_GET);
    return rc;
}

int version_retention(struct step *s, uint64_t bucket, uint8_t *lock,
                      uint64_t *retain_ms)
{
    *lock = s->made.given ? s->made.lock : (uint8_t)s->c->lock;
    *retain_ms = s->made.given ? s->made.retain_ms : s->c->retain_ms;
    if (*lock != META_LOCK_NONE || !bucket_is(s, BUCKET_LOCKED)) {
        return 0;
    }
    return default_retention(s, bucket, lock, retain_ms);
}

/* ---- configuration ---- */

static bool lock_config_valid(const struct command_bytes *v)
{
    uint32_t count;

    if (v->len != META_LOCK_CONFIG || v->p[2] != 0 || v->p[3] != 0) {
        return false;
    }
    count = load_u32(v->p + 4);
    if (v->p[0] == META_LOCK_NONE) {
        return v->p[1] == 0 && count == 0;
    }
    return v->p[0] <= META_LOCK_COMPLIANCE &&
           (v->p[1] == META_LOCK_DAYS || v->p[1] == META_LOCK_YEARS) &&
           count > 0 &&
           count <=
               META_LOCK_COUNT_MAX / (v->p[1] == META_LOCK_YEARS ? 365 : 1);
}

static int set_flags(struct step *s, uint64_t bucket, uint64_t flags)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_BUCKET_FLAGS);

    bind_u64(q, 1, bucket);
    bind_u64(q, 2, flags);
    return step_run(s, STMT_BUCKET_FLAGS, q);
}

static int config_versioning(struct step *s, uint64_t bucket)
{
    const struct command_bytes *v = &s->c->content;
    bool enable = v->len == 1 && v->p[0] == META_VERSIONING_ENABLED;

    if (v->len == 0 && !has_history(s)) {
        return 0;
    }
    if (!enable && bucket_is(s, BUCKET_LOCKED)) {
        s->status = ERR_BUCKET_STATE;
        return 0;
    }
    if (!enable && (v->len != 1 || v->p[0] != META_VERSIONING_SUSPENDED)) {
        s->status = ERR_BAD_INPUT;
        return 0;
    }
    return set_flags(s, bucket,
                     (s->bucket_flags & BUCKET_LOCKED) |
                         (enable ? BUCKET_VERSIONED : BUCKET_SUSPENDED));
}

static int config_lock(struct step *s, uint64_t bucket)
{
    const struct command_bytes *v = &s->c->content;

    if (v->len == 0 && !bucket_is(s, BUCKET_LOCKED)) {
        return 0;
    }
    if (v->len == 0 || !bucket_is(s, BUCKET_VERSIONED)) {
        s->status = ERR_BUCKET_STATE;
        return 0;
    }
    if (!lock_config_valid(v)) {
        s->status = ERR_BAD_INPUT;
        return 0;
    }
    return set_flags(s, bucket, s->bucket_flags | BUCKET_LOCKED);
}

int version_config(struct step *s, uint64_t bucket)
{
    switch (s->c->config) {
        case META_CONFIG_VERSIONING:
            return config_versioning(s, bucket);
        case META_CONFIG_OBJECT_LOCK:
            return config_lock(s, bucket);
        default:
            return 0;
    }
}

int version_config_put(struct step *s, uint64_t bucket,
                       enum meta_config_kind kind, const void *value,
                       size_t len)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_CONFIG_PUT);

    bind_u64(q, 1, bucket);
    bind_u64(q, 2, kind);
    bind_bytes(q, 3, value, len);
    return step_run(s, STMT_CONFIG_PUT, q);
}

/* ---- what is said of a version ---- */

/* May the retention of @v become what the command says? */
static void judge_retention(struct step *s, const struct version_row *v)
{
    const struct command *c = s->c;
    bool weaker = c->lock != v->lock || c->retain_ms < v->retain_ms;

    if (c->lock == META_LOCK_NONE ? c->retain_ms != 0
                                  : c->retain_ms <= c->time_ms) {
        s->status = ERR_BAD_INPUT;
    } else if (v->lock != META_LOCK_NONE && is_retained(s, v) && weaker &&
               (v->lock == META_LOCK_COMPLIANCE || !c->bypass)) {
        s->status = ERR_RETAINED;
    }
}

static int judge_set(struct step *s, uint64_t *bucket, struct version_row *v)
{
    const struct command *c = s->c;
    int rc = step_bucket(s, &c->bucket, bucket);

    if (rc == 0 && s->status == 0) {
        rc = version_find(s, *bucket, &c->key, c->version, v);
    }
    if (rc != 0 || s->status != 0) {
        return rc;
    }
    if ((c->type == COMMAND_OBJECT_RETAIN || c->type == COMMAND_OBJECT_HOLD) &&
        !bucket_is(s, BUCKET_LOCKED)) {
        s->status = ERR_NO_LOCK;
    } else if (!v->there) {
        s->status =
            c->version == META_VERSION_CURRENT ? ERR_NO_KEY : ERR_NO_VERSION;
    } else if ((v->flags & VERSION_IS_MARKER) != 0) {
        s->status = ERR_IS_MARKER;
    } else if (c->type == COMMAND_OBJECT_RETAIN) {
        judge_retention(s, v);
    }
    return 0;
}

static void tell_version(struct step *s, const struct version_row *v)
{
    if ((v->flags & VERSION_IS_NULL) == 0) {
        s->version = v->seq;
    } else if (has_history(s)) {
        s->version = META_VERSION_NULL;
    }
}

int apply_object_set(struct step *s)
{
    const struct command *c = s->c;
    enum meta_statement name;
    struct version_row v;
    uint64_t bucket;
    sqlite3_stmt *q;
    int rc = judge_set(s, &bucket, &v);

    if (rc != 0 || s->status != 0) {
        return rc;
    }
    if (c->type == COMMAND_OBJECT_HOLD) {
        v.flags = (v.flags & ~(uint64_t)VERSION_HELD) | VERSION_HOLD_SAID |
                  (c->hold ? VERSION_HELD : 0);
    } else if (c->type == COMMAND_OBJECT_RETAIN) {
        v.lock = (uint8_t)c->lock;
        v.retain_ms = c->retain_ms;
    }
    name = v.in_history ? STMT_HISTORY_SET : STMT_VERSION_SET;
    q = meta_db_stmt(s->db, name);
    bind_u64(q, 1, bucket);
    bind_bytes(q, 2, c->key.p, c->key.len);
    bind_u64(q, 3, v.seq);
    bind_u64(q, 4, v.flags);
    bind_u64(q, 5, v.lock);
    bind_u64(q, 6, v.retain_ms);
    if (c->type == COMMAND_OBJECT_TAGS) {
        bind_bytes(q, 7, c->tags.p, c->tags.len);
    }
    tell_version(s, &v);
    return step_run(s, name, q);
}

int apply_object_attrs(struct step *s)
{
    const struct command *c = s->c;
    enum meta_statement name;
    struct version_row v;
    uint64_t bucket;
    sqlite3_stmt *q;
    bool same;
    int rc = judge_set(s, &bucket, &v);

    if (rc != 0 || s->status != 0) {
        return rc;
    }
    name = v.in_history ? STMT_HISTORY_ATTRS : STMT_VERSION_ATTRS;
    q = meta_db_stmt(s->db, name);
    bind_u64(q, 1, bucket);
    bind_bytes(q, 2, c->key.p, c->key.len);
    bind_u64(q, 3, v.seq);
    bind_bytes(q, 4, c->content.p, c->content.len);
    bind_bytes(q, 5, c->attrs.p, c->attrs.len);
    rc = step_find(s, q, &same); /* gives a row for what it has changed */
    meta_db_done(s->db, name);
    if (rc != 0) {
        return rc;
    }
    if (same) {
        tell_version(s, &v);
    } else {
        s->status = ERR_PRECONDITION;
    }
    return 0;
}
