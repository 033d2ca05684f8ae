#include "base/err.h"
#include "meta/apply_step.h"

/* ---- buckets ---- */

int apply_bucket_create(struct step *s)
{
    uint64_t id;
    sqlite3_stmt *q;
    int rc = step_bucket(s, &s->c->bucket, &id);

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
    return step_run(s, STMT_BUCKET_INSERT, q);
}

static int bucket_has(struct step *s, enum meta_statement name, uint64_t id,
                      bool *has)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, name);
    int rc;

    bind_u64(q, 1, id);
    rc = step_find(s, q, has);
    meta_db_done(s->db, name);
    return rc;
}

int apply_bucket_delete(struct step *s)
{
    uint64_t id;
    bool has;
    sqlite3_stmt *q;
    int rc = step_bucket(s, &s->c->bucket, &id);

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
    q = meta_db_stmt(s->db, STMT_CONFIG_CLEAR);
    bind_u64(q, 1, id);
    rc = step_run(s, STMT_CONFIG_CLEAR, q);
    if (rc != 0) {
        return rc;
    }
    q = meta_db_stmt(s->db, STMT_BUCKET_REMOVE);
    bind_u64(q, 1, id);
    s->a->state.buckets--;
    return step_run(s, STMT_BUCKET_REMOVE, q);
}

int apply_bucket_config(struct step *s)
{
    enum meta_statement name =
        s->c->content.len > 0 ? STMT_CONFIG_PUT : STMT_CONFIG_REMOVE;
    sqlite3_stmt *q;
    uint64_t id;
    int rc = step_bucket(s, &s->c->bucket, &id);

    if (rc != 0 || s->status != 0) {
        return rc;
    }
    q = meta_db_stmt(s->db, name);
    bind_u64(q, 1, id);
    bind_u64(q, 2, s->c->config);
    if (name == STMT_CONFIG_PUT) {
        bind_bytes(q, 3, s->c->content.p, s->c->content.len);
    }
    return step_run(s, name, q);
}

/* ---- objects ---- */

int apply_object_put(struct step *s)
{
    uint64_t bucket;
    struct version_row old;
    int rc = step_place(s, &bucket, &old);

    if (rc == 0 && s->status == 0) {
        rc = apply_content_check(s);
    }
    if (rc != 0 || s->status != 0) {
        return rc;
    }
    rc = apply_content_keep(s);
    if (rc == 0) {
        rc = apply_body_insert(s, s->id, s->c->kind, 0, &s->c->content);
    }
    if (rc == 0) {
        rc = step_version_put(s, bucket, &old, s->c->size_bytes, s->id,
                              &s->c->attrs);
    }
    return rc;
}

int apply_object_delete(struct step *s)
{
    uint64_t bucket;
    struct version_row old;
    int rc = step_place(s, &bucket, &old);

    if (rc != 0 || s->status != 0 || !old.there) {
        return rc;
    }
    return step_version_remove(s, bucket, &s->c->key, &old);
}

int apply_objects_delete(struct step *s)
{
    static const struct command_bytes none = {0};
    uint64_t bucket;
    size_t at = 0;
    int rc = step_bucket(s, &s->c->bucket, &bucket);

    if (rc != 0 || s->status != 0) {
        return rc;
    }
    for (uint32_t i = 0; i < s->c->count; i++) {
        struct command_item item;
        struct version_row old;
        int code;
        command_item(s->c, &at, &item);
        rc = step_version(s, bucket, &item.key, &old);
        if (rc != 0) {
            return rc;
        }
        code = step_judge(&item.etag, &none, &old);
        if (code == 0 && old.there) {
            rc = step_version_remove(s, bucket, &item.key, &old);
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

int apply_object_copy(struct step *s)
{
    uint64_t src_bucket, bucket;
    struct version_row src, old;
    int rc = step_bucket(s, &s->c->src_bucket, &src_bucket);

    if (rc != 0 || s->status != 0) {
        return rc;
    }
    rc = step_version(s, src_bucket, &s->c->src_key, &src);
    if (rc != 0) {
        return rc;
    }
    if (!src.there) {
        s->status = ERR_NO_KEY;
        return 0;
    }
    rc = step_place(s, &bucket, &old);
    if (rc != 0 || s->status != 0) {
        return rc;
    }
    if (src.body != s->c->body) {
        s->status = ERR_PRECONDITION;
        return 0;
    }
    rc = apply_body_refs(s, src.body, 1);
    if (rc == 0) {
        rc = step_version_put(s, bucket, &old, src.size_bytes, src.body,
                              &s->c->attrs);
    }
    return rc;
}
