#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "meta/apply_step.h"

/* ---- uploads ---- */

struct upload_row {
    uint64_t bucket;
    uint64_t body;
};

/* What was said when the upload was created is of the object. */
static void take_made(struct step *s, sqlite3_stmt *q)
{
    s->made.given = true;
    s->made.hold = (column_u64(q, 4) & VERSION_HELD) != 0;
    s->made.lock = (uint8_t)sqlite3_column_int(q, 5);
    s->made.retain_ms = column_u64(q, 6);
    s->made.tags_len = (size_t)sqlite3_column_bytes(q, 7);
    if (s->made.tags_len > 0) {
        s->made.tags = mem_dup(sqlite3_column_blob(q, 7), s->made.tags_len);
    }
}

/* The upload, or status ERR_NO_UPLOAD; with @named also when the command's
 * bucket or key are not the upload's. */
static int upload_find(struct step *s, bool named, struct upload_row *u)
{
    uint64_t bucket = 0;
    sqlite3_stmt *q;
    bool found;
    int rc;

    if (named) {
        rc = step_bucket(s, &s->c->bucket, &bucket);
        if (rc != 0 || s->status != 0) {
            return rc;
        }
    }
    q = meta_db_stmt(s->db, STMT_UPLOAD_HEAD);
    bind_bytes(q, 1, s->c->upload, META_UPLOAD_ID);
    rc = step_find(s, q, &found);
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
        if (s->c->type == COMMAND_UPLOAD_COMPLETE) {
            take_made(s, q);
        }
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
    return step_run(s, STMT_UPLOAD_REMOVE, q);
}

int apply_upload_create(struct step *s)
{
    uint64_t bucket;
    struct upload_row u;
    sqlite3_stmt *q;
    int rc = step_bucket(s, &s->c->bucket, &bucket);

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
    if ((s->c->lock != META_LOCK_NONE || s->c->hold) &&
        (s->bucket_flags & BUCKET_LOCKED) == 0) {
        s->status = ERR_NO_LOCK;
        return 0;
    }
    q = meta_db_stmt(s->db, STMT_UPLOAD_INSERT);
    bind_bytes(q, 1, s->c->upload, META_UPLOAD_ID);
    bind_u64(q, 2, bucket);
    bind_bytes(q, 3, s->c->key.p, s->c->key.len);
    bind_u64(q, 4, s->c->time_ms);
    bind_u64(q, 5, s->id);
    bind_bytes(q, 6, s->c->attrs.p, s->c->attrs.len);
    bind_u64(q, 7, s->c->hold ? VERSION_HELD : 0);
    bind_u64(q, 8, s->c->lock);
    bind_u64(q, 9, s->c->retain_ms);
    bind_bytes(q, 10, s->c->tags.p, s->c->tags.len);
    s->a->state.uploads++;
    return step_run(s, STMT_UPLOAD_INSERT, q);
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
    rc = step_find(s, q, &found);
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
            rc = apply_manifest_release(s, content, len);
        }
        free(content);
        if (rc != 0) {
            return rc;
        }
    }
    q = meta_db_stmt(s->db, STMT_PART_REMOVE);
    bind_u64(q, 1, body);
    bind_u64(q, 2, number);
    return step_run(s, STMT_PART_REMOVE, q);
}

int apply_part_put(struct step *s)
{
    const struct command *c = s->c;
    struct upload_row u;
    sqlite3_stmt *q;
    int rc = upload_find(s, false, &u);

    if (rc == 0 && s->status == 0) {
        rc = apply_content_check(s);
    }
    if (rc != 0 || s->status != 0) {
        return rc;
    }
    rc = apply_content_keep(s);
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
    return step_run(s, STMT_PART_PUT, q);
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
        rc = step_find(s, q, &found);
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

/* Release the parts with numbers above @number; only what is there is
 * visited. */
static int parts_drop_after(struct step *s, uint64_t body, uint32_t number)
{
    for (;;) {
        sqlite3_stmt *q = meta_db_stmt(s->db, STMT_PART_RUNS);
        bool found;
        int rc;
        bind_u64(q, 1, body);
        bind_u64(q, 2, number);
        bind_u64(q, 3, 1);
        rc = step_find(s, q, &found);
        if (rc != 0 || !found) {
            meta_db_done(s->db, STMT_PART_RUNS);
            return rc;
        }
        number = (uint32_t)sqlite3_column_int(q, 2);
        meta_db_done(s->db, STMT_PART_RUNS);
        rc = part_release(s, body, number);
        if (rc != 0) {
            return rc;
        }
    }
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
        rc = step_find(s, q, &found);
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
        rc = step_run(s, STMT_PART_PLACE, q);
        if (rc != 0) {
            return rc;
        }
        offset += size;
    }
    return parts_drop_after(s, body, seen);
}

int apply_upload_complete(struct step *s)
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
        rc = step_place(s, &bucket, &old);
    }
    if (rc != 0 || s->status != 0) {
        return rc;
    }
    rc = parts_place(s, u.body);
    if (rc == 0) {
        rc = upload_remove(s);
    }
    if (rc == 0) {
        rc = apply_body_insert(s, u.body, APPLY_BODY_PARTS, s->c->count, &none);
    }
    if (rc == 0) {
        rc =
            step_version_put(s, bucket, &old, size_bytes, u.body, &s->c->attrs);
    }
    return rc;
}

int apply_upload_abort(struct step *s)
{
    struct upload_row u;
    int rc = upload_find(s, true, &u);

    if (rc != 0 || s->status != 0) {
        return rc;
    }
    rc = apply_parts_release(s, u.body);
    return rc == 0 ? upload_remove(s) : rc;
}
