#include "base/err.h"
#include "base/mem.h"
#include "base/wire.h"
#include "meta/apply_step.h"

/* ---- buckets ---- */

int apply_bucket_create(struct step *s)
{
    static const uint8_t enabled[1] = {META_VERSIONING_ENABLED};
    static const uint8_t no_default[META_LOCK_CONFIG];
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
    bind_u64(q, 5, s->c->locked ? BUCKET_VERSIONED | BUCKET_LOCKED : 0);
    s->a->state.buckets++;
    s->a->access_changes++;
    rc = step_run(s, STMT_BUCKET_INSERT, q);
    if (rc == 0 && s->c->locked) {
        rc = version_config_put(s, s->id, META_CONFIG_VERSIONING, enabled,
                                sizeof enabled);
    }
    if (rc == 0 && s->c->locked) {
        rc = version_config_put(s, s->id, META_CONFIG_OBJECT_LOCK, no_default,
                                sizeof no_default);
    }
    return rc;
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
        rc = bucket_has(s, STMT_BUCKET_HAS_HISTORY, id, &has);
    }
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
    s->a->access_changes++;
    return step_run(s, STMT_BUCKET_REMOVE, q);
}

int apply_bucket_config(struct step *s)
{
    enum meta_statement name =
        s->c->content.len > 0 ? STMT_CONFIG_PUT : STMT_CONFIG_REMOVE;
    sqlite3_stmt *q;
    uint64_t id;
    int rc = step_bucket(s, &s->c->bucket, &id);

    if (rc == 0 && s->status == 0) {
        rc = version_config(s, id);
    }
    if (rc != 0 || s->status != 0) {
        return rc;
    }
    s->a->access_changes++;
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

/* One key or version; *@code is what becomes of it. */
static int delete_one(struct step *s, uint64_t bucket,
                      const struct command_bytes *key, uint64_t which,
                      const struct command_bytes *if_match,
                      const struct command_bytes *if_none_match, uint32_t i)
{
    struct version_row v;
    int rc = version_find(s, bucket, key, which, &v);

    if (rc != 0) {
        return rc;
    }
    s->status = step_judge(if_match, if_none_match, &v);
    if (s->status == 0 && which == META_VERSION_CURRENT) {
        rc = version_judge_delete(s, bucket, key, &v);
    } else if (s->status == 0) {
        version_judge_retained(s, &v, s->c->bypass);
    }
    if (rc != 0 || s->status != 0) {
        return rc;
    }
    if (which == META_VERSION_CURRENT) {
        return version_delete_newest(s, bucket, key, &v, i);
    }
    s->version = which;
    if (!v.there) {
        return 0;
    }
    if ((v.flags & VERSION_IS_MARKER) != 0) {
        s->version |= META_VERSION_MARKER;
    }
    return version_remove(s, bucket, key, &v);
}

int apply_object_delete(struct step *s)
{
    const struct command *c = s->c;
    uint64_t bucket;
    int rc = step_bucket(s, &c->bucket, &bucket);

    if (rc != 0 || s->status != 0) {
        return rc;
    }
    return delete_one(s, bucket, &c->key, c->version, &c->if_match,
                      &c->if_none_match, 0);
}

/* What the answer has of one of many. */
static uint8_t code_of(const struct step *s, uint64_t which)
{
    bool marker = s->status == 0 && (s->version & META_VERSION_MARKER) != 0;

    if (!marker) {
        return (uint8_t)s->status;
    }
    return which == META_VERSION_CURRENT ? META_CODE_MADE_MARKER
                                         : META_CODE_WAS_MARKER;
}

int apply_objects_delete(struct step *s)
{
    static const struct command_bytes none = {0};
    const struct command *c = s->c;
    uint64_t bucket;
    size_t at = 0;
    int rc = step_bucket(s, &c->bucket, &bucket);

    if (rc != 0 || s->status != 0) {
        return rc;
    }
    for (uint32_t i = 0; i < c->count && rc == 0; i++) {
        struct command_item item;
        uint64_t which = META_VERSION_CURRENT;
        command_item(c, &at, &item);
        if (c->versions.p != NULL) {
            which = load_u64(c->versions.p + i * sizeof which);
        }
        s->version = 0;
        rc = delete_one(s, bucket, &item.key, which, &item.etag, &none, i);
        if (rc == 0 && s->codes != NULL) {
            s->codes[i] = code_of(s, which);
        }
        s->status = 0;
    }
    s->version = (s->bucket_flags & BUCKET_VERSIONED) != 0
                     ? version_number(s, 0)
                     : META_VERSION_NULL;
    return rc;
}

/* The copy has the tags of its source. */
static int copy_tags(struct step *s, uint64_t bucket,
                     const struct version_row *src)
{
    enum meta_statement name =
        src->in_history ? STMT_HISTORY_GET : STMT_VERSION_GET;
    sqlite3_stmt *q = meta_db_stmt(s->db, name);
    bool found;
    int rc;

    bind_u64(q, 1, bucket);
    bind_bytes(q, 2, s->c->src_key.p, s->c->src_key.len);
    if (src->in_history) {
        bind_u64(q, 3, src->seq);
    }
    rc = step_find(s, q, &found);
    if (rc == 0 && found) {
        s->made.tags_len = (size_t)sqlite3_column_bytes(q, VERSION_COLUMN_TAGS);
        s->made.tags =
            s->made.tags_len > 0
                ? mem_dup(sqlite3_column_blob(q, VERSION_COLUMN_TAGS),
                          s->made.tags_len)
                : NULL;
    }
    meta_db_done(s->db, name);
    return rc;
}

int apply_object_copy(struct step *s)
{
    uint64_t src_bucket, bucket;
    struct version_row src, old;
    int rc = step_bucket(s, &s->c->src_bucket, &src_bucket);

    if (rc != 0 || s->status != 0) {
        return rc;
    }
    rc = version_find(s, src_bucket, &s->c->src_key, s->c->version, &src);
    if (rc != 0) {
        return rc;
    }
    if (!src.there || (src.flags & VERSION_IS_MARKER) != 0) {
        s->status =
            s->c->version == META_VERSION_CURRENT ? ERR_NO_KEY : ERR_NO_VERSION;
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
    if (s->c->tags.p == NULL) {
        rc = copy_tags(s, src_bucket, &src);
    }
    if (rc == 0) {
        rc = apply_body_refs(s, src.body, 1);
    }
    if (rc == 0) {
        rc = step_version_put(s, bucket, &old, src.size_bytes, src.body,
                              &s->c->attrs);
    }
    return rc;
}
