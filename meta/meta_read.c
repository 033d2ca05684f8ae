/* Reads of single rows and short lists. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "meta/meta_internal.h"
#include "meta/meta_user.h"

struct meta_readers {
    pthread_mutex_t mutex;
    pthread_cond_t back;
    char *path;
    struct meta_db *idle[META_READERS_MAX];
    size_t idle_count;
    size_t made;
    bool keep;
    bool paused;              /* under mutex */
    atomic_ullong generation; /* counts changes of the database */
};

/* ---- the pool ---- */

struct meta_readers *meta_readers_new(const char *db_path)
{
    struct meta_readers *r = mem_alloc(sizeof *r);

    CHECK(pthread_mutex_init(&r->mutex, NULL) == 0);
    CHECK(pthread_cond_init(&r->back, NULL) == 0);
    r->path = mem_strdup(db_path);
    return r;
}

void meta_readers_free(struct meta_readers *r)
{
    if (r == NULL) {
        return;
    }
    CHECK(r->idle_count == r->made);
    for (size_t i = 0; i < r->idle_count; i++) {
        meta_db_close(r->idle[i]);
        free(r->idle[i]);
    }
    pthread_cond_destroy(&r->back);
    pthread_mutex_destroy(&r->mutex);
    free(r->path);
    free(r);
}

/* The one given back last is taken first: its cache is warm. */
static struct meta_db *take_idle(struct meta_readers *r, bool *make)
{
    struct meta_db *db = NULL;

    pthread_mutex_lock(&r->mutex);
    while (r->paused || (r->idle_count == 0 && r->made == META_READERS_MAX)) {
        pthread_cond_wait(&r->back, &r->mutex);
    }
    *make = r->idle_count == 0;
    if (*make) {
        r->made++;
    } else {
        db = r->idle[--r->idle_count];
    }
    pthread_mutex_unlock(&r->mutex);
    return db;
}

static void give_back(struct meta_readers *r, struct meta_db *db)
{
    pthread_mutex_lock(&r->mutex);
    if (db != NULL) {
        r->idle[r->idle_count++] = db;
    } else {
        r->made--;
    }
    pthread_cond_broadcast(&r->back);
    pthread_mutex_unlock(&r->mutex);
}

static int plain(struct meta_db *db, enum meta_statement name, struct err *err)
{
    sqlite3_stmt *s = meta_db_stmt(db, name);

    if (sqlite3_step(s) != SQLITE_DONE) {
        return meta_db_error(db, "read transaction", err);
    }
    meta_db_done(db, name);
    return 0;
}

static int end_read(struct meta_db *db)
{
    db->reading = false;
    return plain(db, STMT_COMMIT, NULL); /* of a read: nothing can be lost */
}

/* A snapshot at least as new as this call. */
static int begin_read(struct meta_readers *r, struct meta_db *db,
                      struct err *err)
{
    uint64_t generation = atomic_load(&r->generation);
    int rc;

    if (db->reading && db->generation == generation) {
        return 0;
    }
    if (db->reading) {
        end_read(db);
    }
    rc = plain(db, STMT_READ, err);
    db->reading = rc == 0;
    db->generation = generation;
    return rc;
}

void meta_readers_keep(struct meta_readers *r)
{
    r->keep = true;
}

void meta_readers_changed(struct meta_readers *r)
{
    atomic_fetch_add(&r->generation, 1);
}

void meta_readers_release(struct meta_readers *r)
{
    if (r == NULL) {
        return;
    }
    pthread_mutex_lock(&r->mutex);
    for (size_t i = 0; i < r->idle_count; i++) {
        if (r->idle[i]->reading) {
            end_read(r->idle[i]);
        }
    }
    pthread_mutex_unlock(&r->mutex);
}

void meta_readers_pause(struct meta_readers *r)
{
    pthread_mutex_lock(&r->mutex);
    r->paused = true;
    while (r->idle_count < r->made) {
        pthread_cond_wait(&r->back, &r->mutex);
    }
    while (r->idle_count > 0) {
        struct meta_db *db = r->idle[--r->idle_count];
        meta_db_close(db);
        free(db);
    }
    r->made = 0;
    pthread_mutex_unlock(&r->mutex);
}

void meta_readers_resume(struct meta_readers *r)
{
    pthread_mutex_lock(&r->mutex);
    r->paused = false;
    pthread_cond_broadcast(&r->back);
    pthread_mutex_unlock(&r->mutex);
}

int meta_readers_take(struct meta_readers *r, struct meta_db **out,
                      struct err *err)
{
    bool make;
    struct meta_db *db = take_idle(r, &make);
    int rc = 0;

    if (make) {
        db = mem_alloc(sizeof *db);
        rc = meta_db_open(db, r->path, META_DB_READER, err);
        if (rc != 0) {
            free(db);
            give_back(r, NULL);
            return rc;
        }
    }
    rc = begin_read(r, db, err);
    if (rc != 0) {
        give_back(r, db);
        return rc;
    }
    *out = db;
    return 0;
}

void meta_readers_give(struct meta_readers *r, struct meta_db *db)
{
    if (db == NULL) {
        return;
    }
    for (int i = 0; i < STMT_COUNT; i++) {
        if (sqlite3_stmt_busy(db->statements[i])) {
            meta_db_done(db, i);
        }
    }
    db->reading = sqlite3_get_autocommit(db->sqlite) == 0;
    if (db->reading && !r->keep) {
        end_read(db);
    }
    give_back(r, db);
}

int meta_read_begin(struct meta *m, struct meta_db **out, struct err *err)
{
    int rc = meta_barrier(m, err);

    return rc != 0 ? rc : meta_readers_take(meta_readers_of(m), out, err);
}

void meta_read_end(struct meta *m, struct meta_db *db)
{
    meta_readers_give(meta_readers_of(m), db);
}

/* ---- columns ---- */

int meta_read_step(struct meta_db *db, sqlite3_stmt *s, int *rc,
                   struct err *err)
{
    int step = sqlite3_step(s);

    if (step == SQLITE_ROW) {
        return 1;
    }
    if (step == SQLITE_DONE) {
        return 0;
    }
    *rc = meta_db_error(db, "read", err);
    return -1;
}

char *meta_column_text(sqlite3_stmt *s, int at)
{
    const void *p = sqlite3_column_blob(s, at);
    size_t len = (size_t)sqlite3_column_bytes(s, at);

    return mem_strndup(p != NULL ? p : "", len);
}

uint8_t *meta_column_bytes(sqlite3_stmt *s, int at, size_t *len)
{
    const void *p = sqlite3_column_blob(s, at);

    *len = (size_t)sqlite3_column_bytes(s, at);
    return *len > 0 ? mem_dup(p, *len) : NULL;
}

static void copy_text(sqlite3_stmt *s, int at, char *out, size_t max)
{
    size_t len = (size_t)sqlite3_column_bytes(s, at);

    if (len > max) {
        len = max;
    }
    if (len > 0) {
        memcpy(out, sqlite3_column_text(s, at), len);
    }
    out[len] = '\0';
}

void meta_column_etag(sqlite3_stmt *s, int at, char out[META_ETAG_MAX + 1])
{
    copy_text(s, at, out, META_ETAG_MAX);
}

/* One row or @missing; the row stays readable. */
static int one_row(struct meta_db *db, sqlite3_stmt *s, int missing,
                   struct err *err)
{
    int rc = 0;

    switch (meta_read_step(db, s, &rc, err)) {
        case 1:
            return 0;
        case 0:
            return err_set(err, missing, "%s", err_text(missing));
        default:
            return rc;
    }
}

/* *@versioned: it keeps versions, or did. */
static int read_bucket(struct meta_db *db, const char *bucket, uint64_t *id,
                       bool *versioned, struct err *err)
{
    sqlite3_stmt *s = meta_db_stmt(db, STMT_BUCKET_ID);
    int rc;

    bind_text(s, 1, bucket, strlen(bucket));
    rc = one_row(db, s, ERR_NO_BUCKET, err);
    if (rc == 0) {
        *id = column_u64(s, 0);
        *versioned =
            (column_u64(s, 1) & (BUCKET_VERSIONED | BUCKET_SUSPENDED)) != 0;
    }
    meta_db_done(db, STMT_BUCKET_ID);
    return rc;
}

int meta_read_bucket(struct meta_db *db, const char *bucket, uint64_t *id,
                     struct err *err)
{
    bool versioned;

    return read_bucket(db, bucket, id, &versioned, err);
}

/* A list that grows while rows are stepped. */
struct growing {
    uint8_t *items;
    size_t count;
    size_t room;
};

static void *grow(struct growing *g, size_t item_size)
{
    if (g->count == g->room) {
        g->room = g->room * 2 + 16;
        g->items = mem_realloc(g->items, g->room * item_size);
    }
    memset(g->items + g->count * item_size, 0, item_size);
    return g->items + g->count++ * item_size;
}

/* ---- buckets ---- */

static void bucket_row(sqlite3_stmt *s, struct meta_bucket *out)
{
    copy_text(s, 0, out->name, META_BUCKET_MAX);
    out->owner = meta_column_text(s, 1);
    out->created_ms = column_u64(s, 2);
}

static int bucket_configs(struct meta_db *db, uint64_t id,
                          struct meta_bucket *out, struct err *err)
{
    sqlite3_stmt *s = meta_db_stmt(db, STMT_CONFIG_LIST);
    int rc = 0;

    bind_u64(s, 1, id);
    bind_u64(s, 2, META_CONFIG_VERSIONING);
    bind_u64(s, 3, META_CONFIG_END - 1);
    while (meta_read_step(db, s, &rc, err) == 1) {
        struct meta_config *c = &out->config[column_u64(s, 0)];
        c->value = (uint8_t *)meta_column_text(s, 1);
        c->len = (size_t)sqlite3_column_bytes(s, 1);
    }
    meta_db_done(db, STMT_CONFIG_LIST);
    return rc;
}

static int bucket_on(struct meta_db *db, const char *bucket,
                     struct meta_bucket *out, struct err *err)
{
    sqlite3_stmt *s = meta_db_stmt(db, STMT_BUCKET_GET);
    int rc;

    *out = (struct meta_bucket){0};
    bind_text(s, 1, bucket, strlen(bucket));
    rc = one_row(db, s, ERR_NO_BUCKET, err);
    if (rc == 0) {
        bucket_row(s, out);
        rc = bucket_configs(db, column_u64(s, 3), out, err);
    }
    if (rc != 0) {
        meta_bucket_free(out);
    }
    return rc;
}

int meta_bucket_get(struct meta *m, const char *bucket, struct meta_bucket *out,
                    struct err *err)
{
    struct meta_db *db;
    int rc = meta_read_begin(m, &db, err);

    if (rc == 0) {
        rc = bucket_on(db, bucket, out, err);
        meta_read_end(m, db);
    }
    return rc;
}

int meta_bucket_local(struct meta *m, const char *bucket,
                      struct meta_bucket *out, struct err *err)
{
    struct meta_db *db;
    int rc = meta_readers_take(meta_readers_of(m), &db, err);

    if (rc == 0) {
        rc = bucket_on(db, bucket, out, err);
        meta_read_end(m, db);
    }
    return rc;
}

void meta_bucket_free(struct meta_bucket *b)
{
    free(b->owner);
    for (int i = 0; i < META_CONFIG_END; i++) {
        free(b->config[i].value);
    }
    memset(b, 0, sizeof *b);
}

static int buckets_by(struct meta *m, enum meta_statement name,
                      const char *after, size_t max, struct meta_bucket **out,
                      size_t *count, struct err *err)
{
    struct growing g = {0};
    struct meta_db *db;
    sqlite3_stmt *s;
    int step;
    int rc = meta_read_begin(m, &db, err);

    if (rc != 0) {
        return rc;
    }
    s = meta_db_stmt(db, name);
    bind_text(s, 1, after, after != NULL ? strlen(after) : 0);
    bind_u64(s, 2, max);
    while ((step = meta_read_step(db, s, &rc, err)) == 1) {
        bucket_row(s, grow(&g, sizeof(struct meta_bucket)));
    }
    meta_read_end(m, db);
    if (step < 0) {
        for (size_t i = 0; i < g.count; i++) {
            meta_bucket_free(&((struct meta_bucket *)(void *)g.items)[i]);
        }
        free(g.items);
        return rc;
    }
    *out = (struct meta_bucket *)(void *)g.items;
    *count = g.count;
    return 0;
}

int meta_buckets(struct meta *m, const char *after, size_t max,
                 struct meta_bucket **out, size_t *count, struct err *err)
{
    return buckets_by(m, STMT_BUCKET_LIST, after, max, out, count, err);
}

int meta_buckets_told(struct meta *m, const char *after, size_t max,
                      struct meta_bucket **out, size_t *count, struct err *err)
{
    return buckets_by(m, STMT_BUCKETS_TOLD, after, max, out, count, err);
}

/* ---- objects ---- */

static int object_content(struct meta_db *db, bool with_content,
                          struct meta_object *o, struct err *err)
{
    sqlite3_stmt *s = meta_db_stmt(db, STMT_BODY_GET);
    int rc;

    bind_u64(s, 1, o->body);
    rc = one_row(db, s, ERR_CORRUPT, err);
    if (rc != 0) {
        return err_wrap(err, rc, "body %llu", (unsigned long long)o->body);
    }
    o->parts = (uint32_t)sqlite3_column_int(s, 1);
    if (with_content) {
        size_t len;
        switch (sqlite3_column_int(s, 0)) {
            case COMMAND_INLINE:
                o->inline_bytes = meta_column_bytes(s, 2, &len);
                break;
            case COMMAND_MANIFEST:
                o->manifest = meta_column_bytes(s, 2, &o->manifest_len);
                break;
            default:
                break;
        }
    }
    return 0;
}

static void object_row(sqlite3_stmt *s, bool versioned, struct meta_object *o)
{
    uint64_t flags = column_u64(s, VERSION_COLUMN_FLAGS);

    o->size_bytes = column_u64(s, VERSION_COLUMN_SIZE);
    meta_column_etag(s, VERSION_COLUMN_ETAG, o->etag);
    o->modified_ms = column_u64(s, VERSION_COLUMN_MODIFIED);
    o->body = column_u64(s, VERSION_COLUMN_BODY);
    o->attrs = meta_column_bytes(s, VERSION_COLUMN_ATTRS, &o->attrs_len);
    o->is_marker = (flags & VERSION_IS_MARKER) != 0;
    o->hold = (flags & VERSION_HELD) != 0;
    o->hold_said = (flags & VERSION_HOLD_SAID) != 0;
    o->lock = (enum meta_lock_mode)sqlite3_column_int(s, VERSION_COLUMN_LOCK);
    o->retain_ms = column_u64(s, VERSION_COLUMN_RETAIN);
    o->tags = meta_column_bytes(s, VERSION_COLUMN_TAGS, &o->tags_len);
    if ((flags & VERSION_IS_NULL) == 0) {
        o->version = column_u64(s, VERSION_COLUMN_SEQ);
    } else if (versioned) {
        o->version = META_VERSION_NULL;
    }
}

/* Is the row of the statement, if any, the one that @which names? */
static bool row_is(sqlite3_stmt *s, uint64_t which)
{
    bool null = (column_u64(s, VERSION_COLUMN_FLAGS) & VERSION_IS_NULL) != 0;

    switch (which) {
        case META_VERSION_CURRENT:
            return true;
        case META_VERSION_NULL:
            return null;
        default:
            return !null && column_u64(s, VERSION_COLUMN_SEQ) == which;
    }
}

/* 1: the row of *@out is it; 0: there is none; -1: *@rc. */
static int find_version(struct meta_db *db, uint64_t bucket, const char *key,
                        uint64_t which, bool versioned, sqlite3_stmt **out,
                        int *rc, struct err *err)
{
    static const enum meta_statement others[] = {
        STMT_HISTORY_NEWEST, STMT_HISTORY_GET_NULL, STMT_HISTORY_GET};
    sqlite3_stmt *s = meta_db_stmt(db, STMT_VERSION_GET);
    int step;

    bind_u64(s, 1, bucket);
    bind_bytes(s, 2, key, strlen(key));
    step = meta_read_step(db, s, rc, err);
    if (step == 0 || (step == 1 && !row_is(s, which))) {
        if (!versioned) {
            return 0;
        }
        s = meta_db_stmt(db, others[which < 2 ? which : 2]);
        bind_u64(s, 1, bucket);
        bind_bytes(s, 2, key, strlen(key));
        if (which > META_VERSION_NULL) {
            bind_u64(s, 3, which);
        }
        step = meta_read_step(db, s, rc, err);
        if (step == 1 && !row_is(s, which)) {
            step = 0;
        }
    }
    *out = s;
    return step;
}

int meta_version_get(struct meta *m, const char *bucket, const char *key,
                     uint64_t which, bool with_content, struct meta_object *out,
                     struct err *err)
{
    int missing = which == META_VERSION_CURRENT ? ERR_NO_KEY : ERR_NO_VERSION;
    struct meta_object o = {0};
    bool versioned = false;
    struct meta_db *db;
    sqlite3_stmt *s;
    uint64_t id;
    int rc = meta_read_begin(m, &db, err);

    if (rc != 0) {
        return rc;
    }
    rc = read_bucket(db, bucket, &id, &versioned, err);
    if (rc == 0) {
        switch (find_version(db, id, key, which, versioned, &s, &rc, err)) {
            case 1:
                object_row(s, versioned, &o);
                rc =
                    o.is_marker ? 0 : object_content(db, with_content, &o, err);
                break;
            case 0:
                rc = err_set(err, missing, "%s", err_text(missing));
                break;
            default:
                break;
        }
    }
    meta_read_end(m, db);
    if (rc != 0) {
        meta_object_free(&o);
        return rc;
    }
    *out = o;
    return 0;
}

int meta_object_get(struct meta *m, const char *bucket, const char *key,
                    bool with_content, struct meta_object *out, struct err *err)
{
    struct meta_object o;
    int rc = meta_version_get(m, bucket, key, META_VERSION_CURRENT,
                              with_content, &o, err);

    if (rc == 0 && o.is_marker) {
        meta_object_free(&o);
        return err_set(err, ERR_NO_KEY, "%s", err_text(ERR_NO_KEY));
    }
    if (rc == 0) {
        *out = o;
    }
    return rc;
}

void meta_object_free(struct meta_object *o)
{
    free(o->attrs);
    free(o->inline_bytes);
    free(o->manifest);
    free(o->tags);
    memset(o, 0, sizeof *o);
}

/* ---- parts ---- */

static void part_row(sqlite3_stmt *s, bool with_content, struct meta_part *p)
{
    size_t len;

    p->number = (uint32_t)sqlite3_column_int(s, 0);
    p->offset = column_u64(s, 1);
    p->size_bytes = column_u64(s, 2);
    p->modified_ms = column_u64(s, 3);
    meta_column_etag(s, 4, p->etag);
    if (sqlite3_column_type(s, 5) != SQLITE_NULL) {
        p->check = meta_column_text(s, 5);
    }
    if (!with_content) {
        return;
    }
    switch (sqlite3_column_int(s, 6)) {
        case COMMAND_INLINE:
            p->inline_bytes = meta_column_bytes(s, 7, &len);
            break;
        case COMMAND_MANIFEST:
            p->manifest = meta_column_bytes(s, 7, &p->manifest_len);
            break;
        default:
            break;
    }
}

static int part_read(struct meta_db *db, uint64_t body, uint32_t number,
                     struct meta_part *out, struct err *err)
{
    sqlite3_stmt *s = meta_db_stmt(db, STMT_PART_GET);
    int rc;

    bind_u64(s, 1, body);
    bind_u64(s, 2, number);
    rc = one_row(db, s, ERR_NOT_FOUND, err);
    if (rc == 0) {
        memset(out, 0, sizeof *out);
        part_row(s, true, out);
    }
    meta_db_done(db, STMT_PART_GET);
    return rc;
}

/* Numbers and offsets rise together, so the part is found by halving: no index
 * over offsets is kept. */
static int part_find(struct meta_db *db, uint64_t body, uint64_t offset,
                     uint32_t *number, struct err *err)
{
    sqlite3_stmt *s = meta_db_stmt(db, STMT_BODY_HEAD);
    uint32_t low = 1;
    uint32_t high;
    uint64_t end = 0;
    int rc;

    bind_u64(s, 1, body);
    rc = one_row(db, s, ERR_NOT_FOUND, err);
    if (rc != 0) {
        return rc;
    }
    high = (uint32_t)sqlite3_column_int(s, 1);
    meta_db_done(db, STMT_BODY_HEAD);
    /* The answer, if any, is in low..high: the first that ends after it. */
    while (low <= high) {
        uint32_t mid = low + (high - low) / 2;
        s = meta_db_stmt(db, STMT_PART_HEAD);
        bind_u64(s, 1, body);
        bind_u64(s, 2, mid);
        rc = one_row(db, s, ERR_CORRUPT, err);
        if (rc != 0) {
            return err_wrap(err, rc, "body %llu: part %u",
                            (unsigned long long)body, mid);
        }
        end = column_u64(s, 0) + column_u64(s, 1);
        meta_db_done(db, STMT_PART_HEAD);
        if (end > offset) {
            high = mid - 1;
            *number = mid;
        } else {
            low = mid + 1;
        }
    }
    if (*number == 0) {
        return err_set(err, ERR_RANGE, "offset %llu is past the last part",
                       (unsigned long long)offset);
    }
    return 0;
}

int meta_part_at(struct meta *m, uint64_t body, uint64_t offset,
                 struct meta_part *out, struct err *err)
{
    struct meta_db *db;
    uint32_t number = 0;
    int rc = meta_read_begin(m, &db, err);

    if (rc != 0) {
        return rc;
    }
    rc = part_find(db, body, offset, &number, err);
    if (rc == 0) {
        rc = part_read(db, body, number, out, err);
    }
    meta_read_end(m, db);
    return rc;
}

int meta_part_get(struct meta *m, uint64_t body, uint32_t number,
                  struct meta_part *out, struct err *err)
{
    struct meta_db *db;
    int rc = meta_read_begin(m, &db, err);

    if (rc == 0) {
        rc = part_read(db, body, number, out, err);
        meta_read_end(m, db);
    }
    return rc;
}

void meta_part_free(struct meta_part *p)
{
    free(p->check);
    free(p->inline_bytes);
    free(p->manifest);
    memset(p, 0, sizeof *p);
}

/* ---- uploads ---- */

static void upload_row(sqlite3_stmt *s, struct meta_upload *u)
{
    if (sqlite3_column_bytes(s, 0) == META_UPLOAD_ID) {
        memcpy(u->id, sqlite3_column_blob(s, 0), META_UPLOAD_ID);
    }
    copy_text(s, 1, u->bucket, META_BUCKET_MAX);
    u->key = meta_column_text(s, 2);
    u->created_ms = column_u64(s, 3);
    u->attrs = meta_column_bytes(s, 4, &u->attrs_len);
}

int meta_upload_get(struct meta *m, const char *bucket, const char *key,
                    const uint8_t id[META_UPLOAD_ID], struct meta_upload *out,
                    struct err *err)
{
    struct meta_upload u = {0};
    struct meta_db *db;
    sqlite3_stmt *s;
    uint64_t bucket_id;
    int rc = meta_read_begin(m, &db, err);

    if (rc != 0) {
        return rc;
    }
    rc = meta_read_bucket(db, bucket, &bucket_id, err);
    if (rc == 0) {
        s = meta_db_stmt(db, STMT_UPLOAD_GET);
        bind_bytes(s, 1, id, META_UPLOAD_ID);
        rc = one_row(db, s, ERR_NO_UPLOAD, err);
    }
    if (rc == 0) {
        upload_row(s, &u);
    }
    meta_read_end(m, db);
    if (rc == 0 && (strcmp(u.bucket, bucket) != 0 || strcmp(u.key, key) != 0)) {
        rc = err_set(err, ERR_NO_UPLOAD, "%s", err_text(ERR_NO_UPLOAD));
    }
    if (rc != 0) {
        meta_upload_free(&u);
        return rc;
    }
    *out = u;
    return 0;
}

void meta_upload_free(struct meta_upload *u)
{
    free(u->key);
    free(u->attrs);
    memset(u, 0, sizeof *u);
}

static int upload_body(struct meta_db *db, const uint8_t *id, uint64_t *body,
                       struct err *err)
{
    sqlite3_stmt *s = meta_db_stmt(db, STMT_UPLOAD_HEAD);
    int rc;

    bind_bytes(s, 1, id, META_UPLOAD_ID);
    rc = one_row(db, s, ERR_NO_UPLOAD, err);
    if (rc == 0) {
        *body = column_u64(s, 2);
    }
    meta_db_done(db, STMT_UPLOAD_HEAD);
    return rc;
}

int meta_upload_parts(struct meta *m, const uint8_t id[META_UPLOAD_ID],
                      uint32_t after, size_t max, bool with_content,
                      struct meta_part **out, size_t *count, struct err *err)
{
    struct growing g = {0};
    struct meta_db *db;
    uint64_t body;
    int step = 0;
    int rc = meta_read_begin(m, &db, err);

    if (rc != 0) {
        return rc;
    }
    rc = upload_body(db, id, &body, err);
    if (rc == 0) {
        sqlite3_stmt *s = meta_db_stmt(
            db, with_content ? STMT_PART_LIST : STMT_PART_LIST_HEADS);
        bind_u64(s, 1, body);
        bind_u64(s, 2, after);
        bind_u64(s, 3, max);
        while ((step = meta_read_step(db, s, &rc, err)) == 1) {
            part_row(s, with_content, grow(&g, sizeof(struct meta_part)));
        }
    }
    meta_read_end(m, db);
    if (rc != 0) {
        for (size_t i = 0; i < g.count; i++) {
            meta_part_free(&((struct meta_part *)(void *)g.items)[i]);
        }
        free(g.items);
        return rc;
    }
    *out = (struct meta_part *)(void *)g.items;
    *count = g.count;
    return 0;
}

/* Up to @max rows of @statement that are older than @before_ms: an array of
 * @size bytes each, filled by @read and on an error freed by @release. */
static int list_older(struct meta *m, enum meta_statement statement,
                      uint64_t before_ms, size_t max, size_t size,
                      void (*read)(sqlite3_stmt *s, void *row),
                      void (*release)(void *row), struct growing *out,
                      struct err *err)
{
    struct growing g = {0};
    struct meta_db *db;
    sqlite3_stmt *s;
    int rc = meta_read_begin(m, &db, err);

    if (rc != 0) {
        return rc;
    }
    s = meta_db_stmt(db, statement);
    bind_u64(s, 1, before_ms);
    bind_u64(s, 2, max);
    while (meta_read_step(db, s, &rc, err) == 1) {
        read(s, grow(&g, size));
    }
    meta_read_end(m, db);
    if (rc != 0) {
        for (size_t i = 0; i < g.count; i++) {
            release(g.items + i * size);
        }
        free(g.items);
        return rc;
    }
    *out = g;
    return 0;
}

static void read_upload(sqlite3_stmt *s, void *row)
{
    upload_row(s, row);
}

static void free_upload(void *row)
{
    meta_upload_free(row);
}

int meta_uploads_older(struct meta *m, uint64_t before_ms, size_t max,
                       struct meta_upload **out, size_t *count, struct err *err)
{
    struct growing g;
    int rc = list_older(m, STMT_UPLOAD_OLDER, before_ms, max, sizeof **out,
                        read_upload, free_upload, &g, err);

    if (rc == 0) {
        *out = (struct meta_upload *)(void *)g.items;
        *count = g.count;
    }
    return rc;
}

/* ---- garbage, runs, layout ---- */

static void read_garbage(sqlite3_stmt *s, void *row)
{
    struct meta_garbage *g = row;

    g->id = column_u64(s, 0);
    g->manifest = meta_column_bytes(s, 1, &g->manifest_len);
}

static void free_garbage(void *row)
{
    meta_garbage_free(row);
}

int meta_garbage_list(struct meta *m, uint64_t before_ms, size_t max,
                      struct meta_garbage **out, size_t *count, struct err *err)
{
    struct growing g;
    int rc = list_older(m, STMT_GARBAGE_LIST, before_ms, max, sizeof **out,
                        read_garbage, free_garbage, &g, err);

    if (rc == 0) {
        *out = (struct meta_garbage *)(void *)g.items;
        *count = g.count;
    }
    return rc;
}

void meta_garbage_free(struct meta_garbage *g)
{
    free(g->manifest);
    memset(g, 0, sizeof *g);
}

bool meta_run_known(struct meta *m, uint64_t hi, uint64_t lo)
{
    struct meta_db *db;
    sqlite3_stmt *s;
    int rc = 0;
    bool known;

    if (meta_read_begin(m, &db, NULL) != 0) {
        return true;
    }
    s = meta_db_stmt(db, STMT_RUN_GET);
    bind_u64(s, 1, hi);
    bind_u64(s, 2, lo);
    known = meta_read_step(db, s, &rc, NULL) != 0;
    meta_read_end(m, db);
    return known;
}

int meta_layout(struct meta *m, uint32_t *epoch, struct buf *out,
                struct err *err)
{
    struct meta_db *db;
    sqlite3_stmt *s;
    int rc = meta_read_begin(m, &db, err);

    if (rc != 0) {
        return rc;
    }
    s = meta_db_stmt(db, STMT_LAYOUT_GET);
    rc = one_row(db, s, ERR_NOT_FOUND, err);
    if (rc == 0) {
        *epoch = (uint32_t)sqlite3_column_int64(s, 0);
        buf_append(out, sqlite3_column_blob(s, 1),
                   (size_t)sqlite3_column_bytes(s, 1));
    }
    meta_read_end(m, db);
    return rc;
}
