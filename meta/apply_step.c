#include "meta/apply_step.h"

#include <string.h>

#include "base/err.h"

int step_run(struct step *s, enum meta_statement name, sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);

    if (rc != SQLITE_DONE && rc != SQLITE_ROW) {
        return meta_db_error(s->db, command_name((int)s->c->type), s->err);
    }
    meta_db_done(s->db, name);
    return 0;
}

int step_find(struct step *s, sqlite3_stmt *stmt, bool *found)
{
    int rc = sqlite3_step(stmt);

    *found = rc == SQLITE_ROW;
    if (rc != SQLITE_DONE && rc != SQLITE_ROW) {
        return meta_db_error(s->db, command_name((int)s->c->type), s->err);
    }
    return 0;
}

/* ---- names ---- */

int step_bucket(struct step *s, const struct command_bytes *name, uint64_t *id)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_BUCKET_ID);
    bool found;
    int rc;

    bind_text(q, 1, name->p, name->len);
    rc = step_find(s, q, &found);
    if (rc != 0) {
        return rc;
    }
    if (found) {
        *id = column_u64(q, 0);
        s->bucket_flags = column_u64(q, 1);
    } else {
        s->status = ERR_NO_BUCKET;
    }
    meta_db_done(s->db, STMT_BUCKET_ID);
    return 0;
}

void step_version_row(sqlite3_stmt *q, struct version_row *v)
{
    v->etag_len = (size_t)sqlite3_column_bytes(q, VERSION_COLUMN_ETAG);
    if (v->etag_len > sizeof v->etag) {
        v->etag_len = sizeof v->etag;
    }
    if (v->etag_len > 0) {
        memcpy(v->etag, sqlite3_column_text(q, VERSION_COLUMN_ETAG),
               v->etag_len);
    }
    v->body = column_u64(q, VERSION_COLUMN_BODY);
    v->size_bytes = column_u64(q, VERSION_COLUMN_SIZE);
    v->modified_ms = column_u64(q, VERSION_COLUMN_MODIFIED);
    v->seq = column_u64(q, VERSION_COLUMN_SEQ);
    v->flags = column_u64(q, VERSION_COLUMN_FLAGS);
    v->lock = (uint8_t)sqlite3_column_int(q, VERSION_COLUMN_LOCK);
    v->retain_ms = column_u64(q, VERSION_COLUMN_RETAIN);
}

int step_version(struct step *s, uint64_t bucket,
                 const struct command_bytes *key, struct version_row *v)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_VERSION_GET);
    int rc;

    bind_u64(q, 1, bucket);
    bind_bytes(q, 2, key->p, key->len);
    v->in_history = false;
    rc = step_find(s, q, &v->there);
    if (rc != 0) {
        return rc;
    }
    if (v->there) {
        step_version_row(q, v);
    }
    meta_db_done(s->db, STMT_VERSION_GET);
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

int step_judge(const struct command_bytes *if_match,
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

int step_place(struct step *s, uint64_t *bucket, struct version_row *old)
{
    int rc = step_bucket(s, &s->c->bucket, bucket);

    if (rc != 0 || s->status != 0) {
        return rc;
    }
    rc = step_version(s, *bucket, &s->c->key, old);
    if (rc == 0) {
        s->status = step_judge(&s->c->if_match, &s->c->if_none_match, old);
    }
    if (rc == 0 && s->status == 0) {
        rc = version_judge_put(s, *bucket, old);
    }
    return rc;
}

int step_version_put(struct step *s, uint64_t bucket,
                     const struct version_row *old, uint64_t size_bytes,
                     uint64_t body, const struct command_bytes *attrs)
{
    const struct command *c = s->c;
    bool keeps = (s->bucket_flags & BUCKET_VERSIONED) != 0;
    bool hold = s->made.given ? s->made.hold : c->hold;
    const void *tags = s->made.tags != NULL ? s->made.tags : c->tags.p;
    size_t tags_len = s->made.tags != NULL ? s->made.tags_len : c->tags.len;
    sqlite3_stmt *q;
    uint8_t lock;
    uint64_t retain_ms;
    bool kept;
    int rc = version_retention(s, bucket, &lock, &retain_ms);

    if (rc == 0) {
        rc = version_make_room(s, bucket, &c->key, old, &kept);
    }
    if (rc != 0) {
        return rc;
    }
    q = meta_db_stmt(s->db, STMT_VERSION_PUT);
    bind_u64(q, 1, bucket);
    bind_bytes(q, 2, c->key.p, c->key.len);
    bind_u64(q, 3, version_number(s, 0));
    bind_u64(q, 4, size_bytes);
    bind_text(q, 5, c->etag.p, c->etag.len);
    bind_u64(q, 6, c->time_ms);
    bind_u64(q, 7, body);
    bind_bytes(q, 8, attrs->p, attrs->len);
    bind_u64(q, 9,
             (keeps ? 0 : VERSION_IS_NULL) |
                 (hold ? VERSION_HELD | VERSION_HOLD_SAID : 0));
    bind_u64(q, 10, lock);
    bind_u64(q, 11, retain_ms);
    bind_bytes(q, 12, tags, tags_len);
    rc = step_run(s, STMT_VERSION_PUT, q);
    if (rc != 0) {
        return rc;
    }
    s->body = body;
    if (keeps) {
        s->version = version_number(s, 0);
    } else if ((s->bucket_flags & BUCKET_SUSPENDED) != 0) {
        s->version = META_VERSION_NULL;
    }
    if (old->there && !kept) {
        return apply_body_release(s, old->body);
    }
    s->a->state.objects++;
    return 0;
}
