#include "meta/meta_apply.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wire.h"
#include "meta/command.h"

#define IDS_PER_ENTRY 1024
#define LOW_BITS 0xffffffu /* of a chunk id: place in its run */
#define BODY_PARTS 3       /* kind after enum command_content */

_Static_assert(COMMAND_MANIFEST + 1 == BODY_PARTS, "kinds are kept in rows");

/* One command on its way. Functions below return 0 or a failure of the
 * database; what the command comes to is left in status. */
struct step {
    struct meta_apply *a;
    struct meta_db *db;
    const struct command *c;
    uint64_t id; /* free for what this command makes */
    int status;
    uint64_t body;
    uint8_t *codes;
    struct err *err;
};

/* Step a statement that gives no row, or is done with one. */
static int run(struct step *s, enum meta_statement name, sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);

    if (rc != SQLITE_DONE && rc != SQLITE_ROW) {
        return meta_db_error(s->db, command_name((int)s->c->type), s->err);
    }
    meta_db_done(s->db, name);
    return 0;
}

/* Step a SELECT; *@found tells whether there is a row, which stays readable
 * until meta_db_done. */
static int find(struct step *s, sqlite3_stmt *stmt, bool *found)
{
    int rc = sqlite3_step(stmt);

    *found = rc == SQLITE_ROW;
    if (rc != SQLITE_DONE && rc != SQLITE_ROW) {
        return meta_db_error(s->db, command_name((int)s->c->type), s->err);
    }
    return 0;
}

/* ---- runs and garbage ---- */

struct run_row {
    uint64_t hi, lo;
    bool there;
    uint64_t refs, garbage;
};

static int run_read(struct step *s, const uint8_t *manifest, struct run_row *r)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_RUN_GET);
    int rc;

    r->hi = load_u64(manifest + 8);
    r->lo = load_u64(manifest + 16) & ~(uint64_t)LOW_BITS;
    bind_u64(q, 1, r->hi);
    bind_u64(q, 2, r->lo);
    rc = find(s, q, &r->there);
    if (rc == 0) {
        r->refs = r->there ? column_u64(q, 0) : 0;
        r->garbage = r->there ? column_u64(q, 1) : 0;
        meta_db_done(s->db, STMT_RUN_GET);
    }
    return rc;
}

static int run_write(struct step *s, const struct run_row *r)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_RUN_REFS);

    bind_u64(q, 1, r->hi);
    bind_u64(q, 2, r->lo);
    bind_u64(q, 3, r->refs);
    bind_u64(q, 4, r->garbage);
    return run(s, STMT_RUN_REFS, q);
}

/* May new content name this run? Not once it is garbage: its chunks may be
 * gone from the drives already (a retry of a put whose first try was applied
 * and replaced meanwhile). */
static int content_check(struct step *s)
{
    struct run_row r;
    int rc;

    if (s->c->kind != COMMAND_MANIFEST) {
        return 0;
    }
    rc = run_read(s, s->c->content.p, &r);
    if (rc == 0 && r.there && r.garbage != 0) {
        s->status = ERR_BUSY;
    }
    return rc;
}

/* One more row names the run of the command's content. */
static int content_keep(struct step *s)
{
    struct run_row r;
    sqlite3_stmt *q;
    int rc;

    if (s->c->kind != COMMAND_MANIFEST) {
        return 0;
    }
    rc = run_read(s, s->c->content.p, &r);
    if (rc != 0) {
        return rc;
    }
    if (r.there) {
        r.refs++;
        return run_write(s, &r);
    }
    q = meta_db_stmt(s->db, STMT_RUN_INSERT);
    bind_u64(q, 1, r.hi);
    bind_u64(q, 2, r.lo);
    return run(s, STMT_RUN_INSERT, q);
}

/* A row that named this manifest is going; the last one makes garbage. */
static int manifest_release(struct step *s, const uint8_t *manifest, size_t len)
{
    struct run_row r;
    sqlite3_stmt *q;
    int rc = run_read(s, manifest, &r);

    if (rc != 0) {
        return rc;
    }
    if (!r.there || r.refs == 0) {
        return err_set(s->err, ERR_CORRUPT,
                       "run %016llx%016llx: named but not counted",
                       (unsigned long long)r.hi, (unsigned long long)r.lo);
    }
    r.refs--;
    if (r.refs == 0) {
        q = meta_db_stmt(s->db, STMT_GARBAGE_INSERT);
        bind_u64(q, 1, s->c->time_ms);
        bind_bytes(q, 2, manifest, len);
        rc = run(s, STMT_GARBAGE_INSERT, q);
        if (rc != 0) {
            return rc;
        }
        r.garbage = (uint64_t)sqlite3_last_insert_rowid(s->db->sqlite);
        s->a->state.garbage++;
    }
    return run_write(s, &r);
}

/* ---- bodies ---- */

/* Release every part of @body and remove their rows. */
static int parts_release(struct step *s, uint64_t body)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_PART_RUNS);
    bool found;
    int rc;

    bind_u64(q, 1, body);
    bind_u64(q, 2, 0);
    bind_u64(q, 3, META_PARTS_MAX);
    while ((rc = find(s, q, &found)) == 0 && found) {
        const uint8_t *content = sqlite3_column_blob(q, 1);
        size_t len = (size_t)sqlite3_column_bytes(q, 1);
        if (sqlite3_column_int(q, 0) != COMMAND_MANIFEST) {
            continue;
        }
        if (len < COMMAND_RUN_SIZE) {
            rc = err_set(s->err, ERR_CORRUPT, "part: manifest of %zu bytes",
                         len);
            break;
        }
        rc = manifest_release(s, content, len);
        if (rc != 0) {
            break;
        }
    }
    meta_db_done(s->db, STMT_PART_RUNS);
    if (rc != 0) {
        return rc;
    }
    q = meta_db_stmt(s->db, STMT_PARTS_REMOVE);
    bind_u64(q, 1, body);
    return run(s, STMT_PARTS_REMOVE, q);
}

static int body_refs(struct step *s, uint64_t body, int64_t more)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_BODY_REFS);

    bind_u64(q, 1, body);
    CHECK(sqlite3_bind_int64(q, 2, more) == SQLITE_OK);
    return run(s, STMT_BODY_REFS, q);
}

static int content_release(struct step *s, uint64_t body)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_BODY_GET);
    uint8_t *manifest;
    size_t len;
    bool found;
    int rc;

    bind_u64(q, 1, body);
    rc = find(s, q, &found);
    if (rc != 0) {
        return rc;
    }
    len = (size_t)sqlite3_column_bytes(q, 2);
    if (!found || len < COMMAND_RUN_SIZE) {
        meta_db_done(s->db, STMT_BODY_GET);
        return err_set(s->err, ERR_CORRUPT, "body %llu: manifest of %zu bytes",
                       (unsigned long long)body, len);
    }
    manifest = mem_dup(sqlite3_column_blob(q, 2), len);
    meta_db_done(s->db, STMT_BODY_GET);
    rc = manifest_release(s, manifest, len);
    mem_wipe(manifest, len);
    free(manifest);
    return rc;
}

/* One name of @body is going; with the last one go its bytes. */
static int body_release(struct step *s, uint64_t body)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_BODY_HEAD);
    uint64_t kind, refs;
    bool found;
    int rc;

    bind_u64(q, 1, body);
    rc = find(s, q, &found);
    if (rc != 0) {
        return rc;
    }
    if (!found) {
        return err_set(s->err, ERR_CORRUPT, "body %llu: named but missing",
                       (unsigned long long)body);
    }
    kind = column_u64(q, 0);
    refs = column_u64(q, 2);
    meta_db_done(s->db, STMT_BODY_HEAD);
    if (refs > 1) {
        return body_refs(s, body, -1);
    }
    if (kind == COMMAND_MANIFEST) {
        rc = content_release(s, body);
    } else if (kind == BODY_PARTS) {
        rc = parts_release(s, body);
    }
    if (rc != 0) {
        return rc;
    }
    q = meta_db_stmt(s->db, STMT_BODY_REMOVE);
    bind_u64(q, 1, body);
    return run(s, STMT_BODY_REMOVE, q);
}

static int body_insert(struct step *s, uint64_t id, unsigned kind,
                       uint64_t parts, const struct command_bytes *content)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_BODY_INSERT);

    bind_u64(q, 1, id);
    bind_u64(q, 2, kind);
    bind_u64(q, 3, parts);
    bind_bytes(q, 4, content->p, content->len);
    return run(s, STMT_BODY_INSERT, q);
}

/* ---- names ---- */

/* The bucket's id, or status ERR_NO_BUCKET. */
static int bucket_find(struct step *s, const struct command_bytes *name,
                       uint64_t *id)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_BUCKET_ID);
    bool found;
    int rc;

    bind_text(q, 1, name->p, name->len);
    rc = find(s, q, &found);
    if (rc != 0) {
        return rc;
    }
    if (found) {
        *id = column_u64(q, 0);
    } else {
        s->status = ERR_NO_BUCKET;
    }
    meta_db_done(s->db, STMT_BUCKET_ID);
    return 0;
}

struct version_row {
    bool there;
    char etag[META_ETAG_MAX];
    size_t etag_len;
    uint64_t body;
    uint64_t size_bytes;
};

static int version_find(struct step *s, uint64_t bucket,
                        const struct command_bytes *key, struct version_row *v)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_VERSION_HEAD);
    int rc;

    bind_u64(q, 1, bucket);
    bind_bytes(q, 2, key->p, key->len);
    rc = find(s, q, &v->there);
    if (rc != 0) {
        return rc;
    }
    if (v->there) {
        v->etag_len = (size_t)sqlite3_column_bytes(q, 0);
        if (v->etag_len > sizeof v->etag) {
            v->etag_len = sizeof v->etag;
        }
        if (v->etag_len > 0) {
            memcpy(v->etag, sqlite3_column_text(q, 0), v->etag_len);
        }
        v->body = column_u64(q, 1);
        v->size_bytes = column_u64(q, 2);
    }
    meta_db_done(s->db, STMT_VERSION_HEAD);
    return 0;
}

static bool etag_holds(const struct command_bytes *want,
                       const struct version_row *v)
{
    if (want->len == 1 && want->p[0] == '*') {
        return true;
    }
    return want->len == v->etag_len &&
           memcmp(want->p, v->etag, v->etag_len) == 0;
}

/* 0, ERR_NO_KEY or ERR_PRECONDITION. */
static int judge(const struct command_bytes *if_match,
                 const struct command_bytes *if_none_match,
                 const struct version_row *v)
{
    if (if_match->p != NULL) {
        if (!v->there) {
            return ERR_NO_KEY;
        }
        if (!etag_holds(if_match, v)) {
            return ERR_PRECONDITION;
        }
    }
    if (if_none_match->p != NULL && v->there && etag_holds(if_none_match, v)) {
        return ERR_PRECONDITION;
    }
    return 0;
}

/* Where an object is to be named: its bucket, and what the key names now.
 * Status is ERR_NO_BUCKET or that of the condition. */
static int place_find(struct step *s, uint64_t *bucket, struct version_row *old)
{
    int rc = bucket_find(s, &s->c->bucket, bucket);

    if (rc != 0 || s->status != 0) {
        return rc;
    }
    rc = version_find(s, *bucket, &s->c->key, old);
    if (rc == 0) {
        s->status = judge(&s->c->if_match, &s->c->if_none_match, old);
    }
    return rc;
}

/* Let the key name @body, then let go of what it named. The new name comes
 * first: an object copied onto itself keeps its body. */
static int version_put(struct step *s, uint64_t bucket,
                       const struct version_row *old, uint64_t size_bytes,
                       uint64_t body, const struct command_bytes *attrs)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_VERSION_PUT);
    int rc;

    bind_u64(q, 1, bucket);
    bind_bytes(q, 2, s->c->key.p, s->c->key.len);
    bind_u64(q, 3, size_bytes);
    bind_text(q, 4, s->c->etag.p, s->c->etag.len);
    bind_u64(q, 5, s->c->time_ms);
    bind_u64(q, 6, body);
    bind_bytes(q, 7, attrs->p, attrs->len);
    rc = run(s, STMT_VERSION_PUT, q);
    if (rc != 0) {
        return rc;
    }
    s->body = body;
    if (old->there) {
        return body_release(s, old->body);
    }
    s->a->state.objects++;
    return 0;
}

static int version_remove(struct step *s, uint64_t bucket,
                          const struct command_bytes *key,
                          const struct version_row *old)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_VERSION_REMOVE);
    int rc;

    bind_u64(q, 1, bucket);
    bind_bytes(q, 2, key->p, key->len);
    rc = run(s, STMT_VERSION_REMOVE, q);
    if (rc != 0) {
        return rc;
    }
    s->a->state.objects--;
    return body_release(s, old->body);
}

/* ---- buckets ---- */

static int apply_bucket_create(struct step *s)
{
    uint64_t id;
    sqlite3_stmt *q;
    int rc = bucket_find(s, &s->c->bucket, &id);

    if (rc != 0) {
        return rc;
    }
    if (s->status == 0) {
        s->status = ERR_BUCKET_EXISTS;
        return 0;
    }
    s->status = 0;
    q = meta_db_stmt(s->db, STMT_BUCKET_INSERT);
    bind_u64(q, 1, s->id);
    bind_text(q, 2, s->c->bucket.p, s->c->bucket.len);
    bind_text(q, 3, s->c->owner.p, s->c->owner.len);
    bind_u64(q, 4, s->c->time_ms);
    s->a->state.buckets++;
    return run(s, STMT_BUCKET_INSERT, q);
}

static int bucket_has(struct step *s, enum meta_statement name, uint64_t id,
                      bool *has)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, name);
    int rc;

    bind_u64(q, 1, id);
    rc = find(s, q, has);
    meta_db_done(s->db, name);
    return rc;
}

static int apply_bucket_delete(struct step *s)
{
    uint64_t id;
    bool has;
    sqlite3_stmt *q;
    int rc = bucket_find(s, &s->c->bucket, &id);

    if (rc != 0 || s->status != 0) {
        return rc;
    }
    rc = bucket_has(s, STMT_BUCKET_HAS_VERSION, id, &has);
    if (rc == 0 && !has) {
        rc = bucket_has(s, STMT_BUCKET_HAS_UPLOAD, id, &has);
    }
    if (rc != 0) {
        return rc;
    }
    if (has) {
        s->status = ERR_BUCKET_NOT_EMPTY;
        return 0;
    }
    q = meta_db_stmt(s->db, STMT_BUCKET_REMOVE);
    bind_u64(q, 1, id);
    s->a->state.buckets--;
    return run(s, STMT_BUCKET_REMOVE, q);
}

/* ---- objects ---- */

static int apply_object_put(struct step *s)
{
    uint64_t bucket;
    struct version_row old;
    int rc = place_find(s, &bucket, &old);

    if (rc == 0 && s->status == 0) {
        rc = content_check(s);
    }
    if (rc != 0 || s->status != 0) {
        return rc;
    }
    rc = content_keep(s);
    if (rc == 0) {
        rc = body_insert(s, s->id, s->c->kind, 0, &s->c->content);
    }
    if (rc == 0) {
        rc =
            version_put(s, bucket, &old, s->c->size_bytes, s->id, &s->c->attrs);
    }
    return rc;
}

static int apply_object_delete(struct step *s)
{
    uint64_t bucket;
    struct version_row old;
    int rc = place_find(s, &bucket, &old);

    if (rc != 0 || s->status != 0 || !old.there) {
        return rc;
    }
    return version_remove(s, bucket, &s->c->key, &old);
}

static int apply_objects_delete(struct step *s)
{
    static const struct command_bytes none = {0};
    uint64_t bucket;
    size_t at = 0;
    int rc = bucket_find(s, &s->c->bucket, &bucket);

    if (rc != 0 || s->status != 0) {
        return rc;
    }
    for (uint32_t i = 0; i < s->c->count; i++) {
        struct command_item item;
        struct version_row old;
        int code;
        command_item(s->c, &at, &item);
        rc = version_find(s, bucket, &item.key, &old);
        if (rc != 0) {
            return rc;
        }
        code = judge(&item.etag, &none, &old);
        if (code == 0 && old.there) {
            rc = version_remove(s, bucket, &item.key, &old);
            if (rc != 0) {
                return rc;
            }
        }
        if (s->codes != NULL) {
            s->codes[i] = (uint8_t)code;
        }
    }
    return 0;
}

static int apply_object_copy(struct step *s)
{
    uint64_t src_bucket, bucket;
    struct version_row src, old;
    int rc = bucket_find(s, &s->c->src_bucket, &src_bucket);

    if (rc != 0 || s->status != 0) {
        return rc;
    }
    rc = version_find(s, src_bucket, &s->c->src_key, &src);
    if (rc != 0) {
        return rc;
    }
    if (!src.there) {
        s->status = ERR_NO_KEY;
        return 0;
    }
    rc = place_find(s, &bucket, &old);
    if (rc != 0 || s->status != 0) {
        return rc;
    }
    if (src.body != s->c->body) {
        s->status = ERR_PRECONDITION;
        return 0;
    }
    rc = body_refs(s, src.body, 1);
    if (rc == 0) {
        rc = version_put(s, bucket, &old, src.size_bytes, src.body,
                         &s->c->attrs);
    }
    return rc;
}

/* ---- uploads ---- */

struct upload_row {
    uint64_t bucket;
    uint64_t body;
};

/* The upload, or status ERR_NO_UPLOAD; with @named also when the command's
 * bucket or key are not the upload's. */
static int upload_find(struct step *s, bool named, struct upload_row *u)
{
    uint64_t bucket = 0;
    sqlite3_stmt *q;
    bool found;
    int rc;

    if (named) {
        rc = bucket_find(s, &s->c->bucket, &bucket);
        if (rc != 0 || s->status != 0) {
            return rc;
        }
    }
    q = meta_db_stmt(s->db, STMT_UPLOAD_HEAD);
    bind_bytes(q, 1, s->c->upload, META_UPLOAD_ID);
    rc = find(s, q, &found);
    if (rc != 0) {
        return rc;
    }
    if (found && named) {
        size_t len = (size_t)sqlite3_column_bytes(q, 1);
        found = column_u64(q, 0) == bucket && len == s->c->key.len &&
                memcmp(sqlite3_column_blob(q, 1), s->c->key.p, len) == 0;
    }
    if (found) {
        u->bucket = column_u64(q, 0);
        u->body = column_u64(q, 2);
    } else {
        s->status = ERR_NO_UPLOAD;
    }
    meta_db_done(s->db, STMT_UPLOAD_HEAD);
    return 0;
}

static int upload_remove(struct step *s)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_UPLOAD_REMOVE);

    bind_bytes(q, 1, s->c->upload, META_UPLOAD_ID);
    s->a->state.uploads--;
    return run(s, STMT_UPLOAD_REMOVE, q);
}

static int apply_upload_create(struct step *s)
{
    uint64_t bucket;
    struct upload_row u;
    sqlite3_stmt *q;
    int rc = bucket_find(s, &s->c->bucket, &bucket);

    if (rc != 0 || s->status != 0) {
        return rc;
    }
    rc = upload_find(s, false, &u);
    if (rc != 0) {
        return rc;
    }
    if (s->status == 0) {
        /* Ids are random: this is the same proposal made twice. */
        s->status = ERR_EXISTS;
        return 0;
    }
    s->status = 0;
    q = meta_db_stmt(s->db, STMT_UPLOAD_INSERT);
    bind_bytes(q, 1, s->c->upload, META_UPLOAD_ID);
    bind_u64(q, 2, bucket);
    bind_bytes(q, 3, s->c->key.p, s->c->key.len);
    bind_u64(q, 4, s->c->time_ms);
    bind_u64(q, 5, s->id);
    bind_bytes(q, 6, s->c->attrs.p, s->c->attrs.len);
    s->a->state.uploads++;
    return run(s, STMT_UPLOAD_INSERT, q);
}

/* Remove a part if it is there. */
static int part_release(struct step *s, uint64_t body, uint32_t number)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_PART_GET);
    uint8_t *content = NULL;
    size_t len = 0;
    bool found;
    int rc;

    bind_u64(q, 1, body);
    bind_u64(q, 2, number);
    rc = find(s, q, &found);
    if (rc != 0 || !found) {
        return rc;
    }
    if (sqlite3_column_int(q, 6) == COMMAND_MANIFEST) {
        len = (size_t)sqlite3_column_bytes(q, 7);
        content = mem_dup(sqlite3_column_blob(q, 7), len);
    }
    meta_db_done(s->db, STMT_PART_GET);
    if (content != NULL) {
        if (len < COMMAND_RUN_SIZE) {
            rc = err_set(s->err, ERR_CORRUPT, "part: manifest of %zu bytes",
                         len);
        } else {
            rc = manifest_release(s, content, len);
        }
        free(content);
        if (rc != 0) {
            return rc;
        }
    }
    q = meta_db_stmt(s->db, STMT_PART_REMOVE);
    bind_u64(q, 1, body);
    bind_u64(q, 2, number);
    return run(s, STMT_PART_REMOVE, q);
}

static int apply_part_put(struct step *s)
{
    const struct command *c = s->c;
    struct upload_row u;
    sqlite3_stmt *q;
    int rc = upload_find(s, false, &u);

    if (rc == 0 && s->status == 0) {
        rc = content_check(s);
    }
    if (rc != 0 || s->status != 0) {
        return rc;
    }
    rc = content_keep(s);
    if (rc == 0) {
        rc = part_release(s, u.body, c->number);
    }
    if (rc != 0) {
        return rc;
    }
    q = meta_db_stmt(s->db, STMT_PART_PUT);
    bind_u64(q, 1, u.body);
    bind_u64(q, 2, c->number);
    bind_u64(q, 3, c->size_bytes);
    bind_text(q, 4, c->etag.p, c->etag.len);
    bind_u64(q, 5, c->time_ms);
    if (c->check.p != NULL) {
        bind_text(q, 6, c->check.p, c->check.len);
    }
    bind_u64(q, 7, c->kind);
    bind_bytes(q, 8, c->content.p, c->content.len);
    return run(s, STMT_PART_PUT, q);
}

/* Are the listed parts there as listed? Sums their sizes. */
static int parts_check(struct step *s, uint64_t body, uint64_t *size_bytes)
{
    const struct command *c = s->c;
    uint32_t last = 0;
    bool small = false;
    size_t at = 0;

    *size_bytes = 0;
    if (c->count == 0) {
        s->status = ERR_BAD_PART;
    }
    for (uint32_t i = 0; i < c->count && s->status == 0; i++) {
        struct command_item item;
        command_item(c, &at, &item);
        if (item.number <= last) {
            s->status = ERR_PART_ORDER;
        }
        last = item.number;
    }
    at = 0;
    for (uint32_t i = 0; i < c->count && s->status == 0; i++) {
        struct command_item item;
        sqlite3_stmt *q = meta_db_stmt(s->db, STMT_PART_HEAD);
        uint64_t size;
        bool found;
        int rc;
        command_item(c, &at, &item);
        bind_u64(q, 1, body);
        bind_u64(q, 2, item.number);
        rc = find(s, q, &found);
        if (rc != 0) {
            return rc;
        }
        if (!found || (size_t)sqlite3_column_bytes(q, 2) != item.etag.len ||
            (item.etag.len > 0 && memcmp(sqlite3_column_text(q, 2), item.etag.p,
                                         item.etag.len) != 0)) {
            s->status = ERR_BAD_PART;
            meta_db_done(s->db, STMT_PART_HEAD);
            break;
        }
        size = column_u64(q, 1);
        meta_db_done(s->db, STMT_PART_HEAD);
        if (*size_bytes + size > (uint64_t)INT64_MAX) {
            s->status = ERR_LIMIT;
        }
        *size_bytes += size;
        small = small || (i + 1 < c->count && size < c->part_min);
    }
    if (s->status == 0 && small) {
        s->status = ERR_PART_TOO_SMALL;
    }
    return 0;
}

/* Number the listed parts 1, 2, ... and give each its offset; drop the rest.
 * Numbers only go down and are walked upwards, so that none is taken. */
static int parts_place(struct step *s, uint64_t body)
{
    const struct command *c = s->c;
    uint32_t seen = 0; /* the highest number dealt with */
    uint64_t offset = 0;
    size_t at = 0;

    for (uint32_t i = 0; i < c->count; i++) {
        struct command_item item;
        sqlite3_stmt *q;
        uint64_t size;
        bool found;
        int rc = 0;
        command_item(c, &at, &item);
        for (uint32_t n = seen + 1; n < item.number && rc == 0; n++) {
            rc = part_release(s, body, n);
        }
        if (rc != 0) {
            return rc;
        }
        seen = item.number;
        q = meta_db_stmt(s->db, STMT_PART_HEAD);
        bind_u64(q, 1, body);
        bind_u64(q, 2, item.number);
        rc = find(s, q, &found);
        if (rc != 0) {
            return rc;
        }
        CHECK(found); /* parts_check saw it in this transaction */
        size = column_u64(q, 1);
        meta_db_done(s->db, STMT_PART_HEAD);
        q = meta_db_stmt(s->db, STMT_PART_PLACE);
        bind_u64(q, 1, body);
        bind_u64(q, 2, item.number);
        bind_u64(q, 3, i + 1);
        bind_u64(q, 4, offset);
        rc = run(s, STMT_PART_PLACE, q);
        if (rc != 0) {
            return rc;
        }
        offset += size;
    }
    for (uint32_t n = seen + 1; n <= META_PARTS_MAX; n++) {
        /* Beyond the last listed part: only what is there. */
        sqlite3_stmt *q = meta_db_stmt(s->db, STMT_PART_RUNS);
        bool found;
        int rc;
        bind_u64(q, 1, body);
        bind_u64(q, 2, n - 1);
        bind_u64(q, 3, 1);
        rc = find(s, q, &found);
        if (rc != 0) {
            return rc;
        }
        n = found ? (uint32_t)sqlite3_column_int(q, 2) : META_PARTS_MAX;
        meta_db_done(s->db, STMT_PART_RUNS);
        if (found) {
            rc = part_release(s, body, n);
            if (rc != 0) {
                return rc;
            }
        }
    }
    return 0;
}

static int apply_upload_complete(struct step *s)
{
    static const struct command_bytes none = {0};
    struct upload_row u;
    struct version_row old;
    uint64_t bucket, size_bytes;
    int rc = upload_find(s, true, &u);

    if (rc == 0 && s->status == 0) {
        rc = parts_check(s, u.body, &size_bytes);
    }
    if (rc == 0 && s->status == 0) {
        rc = place_find(s, &bucket, &old);
    }
    if (rc != 0 || s->status != 0) {
        return rc;
    }
    rc = parts_place(s, u.body);
    if (rc == 0) {
        rc = upload_remove(s);
    }
    if (rc == 0) {
        rc = body_insert(s, u.body, BODY_PARTS, s->c->count, &none);
    }
    if (rc == 0) {
        rc = version_put(s, bucket, &old, size_bytes, u.body, &s->c->attrs);
    }
    return rc;
}

static int apply_upload_abort(struct step *s)
{
    struct upload_row u;
    int rc = upload_find(s, true, &u);

    if (rc != 0 || s->status != 0) {
        return rc;
    }
    rc = parts_release(s, u.body);
    return rc == 0 ? upload_remove(s) : rc;
}

/* ---- the rest ---- */

static int garbage_remove(struct step *s, uint64_t id)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_GARBAGE_GET);
    uint8_t head[COMMAND_RUN_SIZE];
    bool found;
    int rc;

    bind_u64(q, 1, id);
    rc = find(s, q, &found);
    if (rc != 0 || !found) {
        return rc; /* done before: the janitor may ask twice */
    }
    CHECK(sqlite3_column_bytes(q, 0) >= COMMAND_RUN_SIZE);
    memcpy(head, sqlite3_column_blob(q, 0), sizeof head);
    meta_db_done(s->db, STMT_GARBAGE_GET);
    q = meta_db_stmt(s->db, STMT_RUN_REMOVE);
    bind_u64(q, 1, load_u64(head + 8));
    bind_u64(q, 2, load_u64(head + 16) & ~(uint64_t)LOW_BITS);
    rc = run(s, STMT_RUN_REMOVE, q);
    if (rc != 0) {
        return rc;
    }
    q = meta_db_stmt(s->db, STMT_GARBAGE_REMOVE);
    bind_u64(q, 1, id);
    s->a->state.garbage--;
    return run(s, STMT_GARBAGE_REMOVE, q);
}

static int apply_garbage_done(struct step *s)
{
    size_t at = 0;

    for (uint32_t i = 0; i < s->c->count; i++) {
        struct command_item item;
        int rc;
        command_item(s->c, &at, &item);
        rc = garbage_remove(s, item.id);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int apply_layout_set(struct step *s)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_LAYOUT_GET);
    uint64_t epoch;
    bool found;
    int rc = find(s, q, &found);

    if (rc != 0) {
        return rc;
    }
    epoch = found ? column_u64(q, 0) : 0;
    meta_db_done(s->db, STMT_LAYOUT_GET);
    if (s->c->epoch != epoch + 1) {
        s->status = ERR_PRECONDITION;
        return 0;
    }
    q = meta_db_stmt(s->db, STMT_LAYOUT_CLEAR);
    rc = run(s, STMT_LAYOUT_CLEAR, q);
    if (rc != 0) {
        return rc;
    }
    q = meta_db_stmt(s->db, STMT_LAYOUT_INSERT);
    bind_u64(q, 1, s->c->epoch);
    bind_bytes(q, 2, s->c->content.p, s->c->content.len);
    return run(s, STMT_LAYOUT_INSERT, q);
}

static int apply_command(struct step *s)
{
    switch (s->c->type) {
        case COMMAND_BUCKET_CREATE:
            return apply_bucket_create(s);
        case COMMAND_BUCKET_DELETE:
            return apply_bucket_delete(s);
        case COMMAND_OBJECT_PUT:
            return apply_object_put(s);
        case COMMAND_OBJECT_DELETE:
            return apply_object_delete(s);
        case COMMAND_OBJECTS_DELETE:
            return apply_objects_delete(s);
        case COMMAND_OBJECT_COPY:
            return apply_object_copy(s);
        case COMMAND_UPLOAD_CREATE:
            return apply_upload_create(s);
        case COMMAND_PART_PUT:
            return apply_part_put(s);
        case COMMAND_UPLOAD_COMPLETE:
            return apply_upload_complete(s);
        case COMMAND_UPLOAD_ABORT:
            return apply_upload_abort(s);
        case COMMAND_GARBAGE_DONE:
            return apply_garbage_done(s);
        case COMMAND_LAYOUT_SET:
            return apply_layout_set(s);
    }
    CHECK(false); /* a decoded command has a known type */
    return 0;
}

/* ---- entries and transactions ---- */

int meta_apply_init(struct meta_apply *a, struct meta_db *db, struct err *err)
{
    *a = (struct meta_apply){.db = db};
    return meta_state_get(db, &a->state, err);
}

static int plain(struct meta_apply *a, enum meta_statement name, struct err *e)
{
    sqlite3_stmt *q = meta_db_stmt(a->db, name);

    if (sqlite3_step(q) != SQLITE_DONE) {
        return meta_db_error(a->db, "transaction", e);
    }
    meta_db_done(a->db, name);
    return 0;
}

int meta_apply_begin(struct meta_apply *a, struct err *err)
{
    return plain(a, STMT_BEGIN, err);
}

int meta_apply_commit(struct meta_apply *a, struct err *err)
{
    sqlite3_stmt *q = meta_db_stmt(a->db, STMT_STATE_SET);

    bind_u64(q, 1, a->state.applied);
    bind_u64(q, 2, a->state.buckets);
    bind_u64(q, 3, a->state.objects);
    bind_u64(q, 4, a->state.uploads);
    bind_u64(q, 5, a->state.garbage);
    if (sqlite3_step(q) != SQLITE_DONE) {
        return meta_db_error(a->db, "state", err);
    }
    meta_db_done(a->db, STMT_STATE_SET);
    return plain(a, STMT_COMMIT, err);
}

int meta_apply_rollback(struct meta_apply *a, struct err *err)
{
    int rc = plain(a, STMT_ROLLBACK, err);

    return rc == 0 ? meta_state_get(a->db, &a->state, err) : rc;
}

static int apply_one(struct meta_apply *a, uint64_t id,
                     const struct command_bytes *bytes,
                     struct meta_result *result, struct err *err)
{
    struct command c;
    struct step s = {.a = a, .db = a->db, .c = &c, .id = id, .err = err};
    int rc;

    s.status = command_decode(bytes->p, bytes->len, &c, NULL);
    if (s.status == 0) {
        s.codes = result != NULL ? result->codes : NULL;
        rc = apply_command(&s);
        if (rc != 0) {
            return err_wrap(err, rc, "apply %s", command_name((int)c.type));
        }
    }
    a->commands++;
    if (result != NULL) {
        result->status = s.status;
        result->body = s.status == 0 ? s.body : 0;
    }
    return 0;
}

int meta_apply_entry(struct meta_apply *a, uint64_t index, const void *entry,
                     size_t len, struct meta_result *results, struct err *err)
{
    struct command_batch batch;
    struct command_bytes bytes;
    uint64_t position = 0;
    int rc;

    if (index <= a->state.applied) {
        return 0;
    }
    rc = command_batch_open(&batch, entry, len, err);
    while (rc == 0 && command_batch_next(&batch, &bytes)) {
        rc = apply_one(a, index * IDS_PER_ENTRY + position, &bytes,
                       results != NULL ? &results[position] : NULL, err);
        position++;
    }
    if (rc != 0) {
        return err_wrap(err, rc, "entry %llu", (unsigned long long)index);
    }
    meta_apply_empty(a, index);
    return 0;
}

void meta_apply_empty(struct meta_apply *a, uint64_t index)
{
    if (index > a->state.applied) {
        a->state.applied = index;
    }
}
