/* Erasures: requests, and the versions that their passes remove.
 *
 * Who proposes a pass looked some time ago; here it is judged whether each
 * version is still what was seen, and whether something keeps it. Hold beats
 * retention, and retention of either mode beats erasure.
 */
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/wire.h"
#include "crypto/digest.h"
#include "meta/apply_step.h"
#include "meta/meta_erase.h"

struct row {
    uint64_t id;
    enum meta_erase_state state;
    uint64_t versions, keys, bytes, held, retained, until, done, entry;
    uint8_t digest[META_ERASE_DIGEST];
    char bucket[META_BUCKET_MAX];
    size_t bucket_len;
};

/* ---- rows ---- */

/* The command's request, which is open; or a status. */
static int open_row(struct step *s, struct row *r)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_ERASURE_GET);
    bool found;
    int rc;

    *r = (struct row){.id = s->c->request};
    bind_u64(q, 1, s->c->request);
    rc = step_find(s, q, &found);
    if (rc == 0 && found) {
        r->bucket_len = (size_t)sqlite3_column_bytes(q, 1);
        memcpy(r->bucket, sqlite3_column_text(q, 1), r->bucket_len);
        r->state = (enum meta_erase_state)column_u64(q, 10);
        r->versions = column_u64(q, 11);
        r->keys = column_u64(q, 12);
        r->bytes = column_u64(q, 13);
        r->held = column_u64(q, 14);
        r->retained = column_u64(q, 15);
        r->until = column_u64(q, 16);
        memcpy(r->digest, sqlite3_column_blob(q, 17), META_ERASE_DIGEST);
        r->done = column_u64(q, 18);
        r->entry = column_u64(q, 19);
    }
    meta_db_done(s->db, STMT_ERASURE_GET);
    if (rc == 0 && !found) {
        s->status = ERR_NOT_FOUND;
    } else if (rc == 0 && r->state != META_ERASE_RUNNING &&
               r->state != META_ERASE_BLOCKED) {
        s->status = ERR_PRECONDITION;
    }
    return rc;
}

static int set_row(struct step *s, const struct row *r)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_ERASURE_SET);

    bind_u64(q, 1, r->id);
    bind_u64(q, 2, r->state);
    bind_u64(q, 3, r->versions);
    bind_u64(q, 4, r->keys);
    bind_u64(q, 5, r->bytes);
    bind_u64(q, 6, r->held);
    bind_u64(q, 7, r->retained);
    bind_u64(q, 8, r->until);
    bind_bytes(q, 9, r->digest, META_ERASE_DIGEST);
    bind_u64(q, 10, r->done);
    bind_u64(q, 11, r->entry);
    return step_run(s, STMT_ERASURE_SET, q);
}

/* ---- requests ---- */

static int judge_begin(struct step *s)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_ERASURE_OPEN);
    uint64_t bucket;
    bool found;
    int rc = step_find(s, q, &found);

    if (rc == 0 && found && column_u64(q, 0) >= META_ERASE_OPEN_MAX) {
        s->status = ERR_LIMIT;
    }
    meta_db_done(s->db, STMT_ERASURE_OPEN);
    return rc == 0 && s->status == 0 ? step_bucket(s, &s->c->bucket, &bucket)
                                     : rc;
}

int apply_erase_begin(struct step *s)
{
    static const uint8_t zeros[META_ERASE_DIGEST];
    const struct command *c = s->c;
    sqlite3_stmt *q;
    bool found;
    int rc = judge_begin(s);

    if (rc != 0 || s->status != 0) {
        return rc;
    }
    q = meta_db_stmt(s->db, STMT_ERASURE_INSERT);
    bind_text(q, 1, c->bucket.p, c->bucket.len);
    bind_u64(q, 2, c->state);
    bind_bytes(q, 3, c->key.p, c->key.len);
    bind_u64(q, 4, c->version);
    bind_text(q, 5, c->field.p, c->field.len);
    bind_text(q, 6, c->value.p, c->value.len);
    bind_text(q, 7, c->reason.p, c->reason.len);
    bind_text(q, 8, c->by.p, c->by.len);
    bind_u64(q, 9, c->time_ms);
    bind_bytes(q, 10, zeros, sizeof zeros);
    rc = step_find(s, q, &found);
    if (rc == 0 && found) {
        s->body = column_u64(q, 0);
    }
    meta_db_done(s->db, STMT_ERASURE_INSERT);
    return rc;
}

int apply_erase_cancel(struct step *s)
{
    struct row r;
    int rc = open_row(s, &r);

    if (rc != 0 || s->status != 0) {
        return rc;
    }
    r.state = META_ERASE_CANCELLED;
    return set_row(s, &r);
}

int apply_erase_clean(struct step *s)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_ERASE_CLEAN_SET);

    bind_u64(q, 1, s->c->server);
    bind_u64(q, 2, s->c->request);
    return step_run(s, STMT_ERASE_CLEAN_SET, q);
}

/* ---- a pass ---- */

static bool is_seen(const struct version_row *v,
                    const struct command_item *item)
{
    return v->there && v->modified_ms == item->modified_ms &&
           v->size_bytes == item->size_bytes;
}

/* Does something keep it? Counts what does. */
static bool is_kept(const struct step *s, const struct version_row *v,
                    struct row *r)
{
    if ((v->flags & VERSION_HELD) != 0) {
        r->held++;
        return true;
    }
    if (v->lock != META_LOCK_NONE && v->retain_ms > s->a->state.clock_ms) {
        r->retained++;
        r->until =
            r->until == 0 || v->retain_ms < r->until ? v->retain_ms : r->until;
        return true;
    }
    return false;
}

static void link(struct row *r, const struct command_item *item,
                 const struct version_row *v)
{
    uint8_t out[DIGEST_MAX];
    struct buf b = {0};

    buf_append(&b, r->digest, META_ERASE_DIGEST);
    put_u16(&b, (uint16_t)item->key.len);
    buf_append(&b, item->key.p, item->key.len);
    put_u64(&b, item->version);
    put_u64(&b, v->size_bytes);
    put_u16(&b, (uint16_t)v->etag_len);
    buf_append(&b, v->etag, v->etag_len);
    put_u8(&b, item->how);
    digest_of(DIGEST_SHA256, b.data, b.len, out);
    memcpy(r->digest, out, META_ERASE_DIGEST);
    buf_free(&b);
}

static int list_it(struct step *s, const struct row *r,
                   const struct command_item *item, const struct version_row *v)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_ERASED_INSERT);

    bind_u64(q, 1, r->id);
    bind_u64(q, 2, r->versions);
    bind_bytes(q, 3, item->key.p, item->key.len);
    bind_u64(q, 4, item->version);
    bind_u64(q, 5, v->size_bytes);
    bind_text(q, 6, v->etag, v->etag_len);
    bind_u64(q, 7, item->how);
    return step_run(s, STMT_ERASED_INSERT, q);
}

static int erase_one(struct step *s, uint64_t bucket,
                     const struct command_item *item, struct row *r)
{
    struct version_row v;
    int rc = version_find(s, bucket, &item->key, item->version, &v);

    if (rc != 0 || !is_seen(&v, item) || is_kept(s, &v, r)) {
        return rc;
    }
    rc = version_remove(s, bucket, &item->key, &v);
    if (rc == 0 && r->versions < META_ERASE_LISTED_MAX) {
        rc = list_it(s, r, item, &v);
    }
    link(r, item, &v);
    r->versions++;
    r->keys += item->how == META_ERASED_KEY;
    r->bytes += v.size_bytes;
    r->entry = s->id / META_IDS_PER_ENTRY;
    return rc;
}

static int erase_all(struct step *s, struct row *r)
{
    const struct command_bytes name = {(const uint8_t *)r->bucket,
                                       r->bucket_len};
    uint64_t bucket;
    size_t at = 0;
    int rc = step_bucket(s, &name, &bucket);

    if (rc != 0 || s->status != 0) {
        s->status = 0; /* the bucket is gone, with all that it had */
        return rc;
    }
    for (uint32_t i = 0; i < s->c->count && rc == 0; i++) {
        struct command_item item;
        command_item(s->c, &at, &item);
        rc = erase_one(s, bucket, &item, r);
    }
    s->version = 0;
    return rc;
}

int apply_erase_some(struct step *s)
{
    struct row r;
    int rc = open_row(s, &r);

    if (rc != 0 || s->status != 0) {
        return rc;
    }
    if (s->c->begin) {
        r.state = META_ERASE_RUNNING;
        r.held = r.retained = r.until = 0;
    }
    rc = erase_all(s, &r);
    if (rc != 0) {
        return rc;
    }
    if (s->c->end && r.held + r.retained > 0) {
        r.state = META_ERASE_BLOCKED;
    } else if (s->c->end) {
        r.state = META_ERASE_DONE;
        r.done = s->a->state.clock_ms > s->c->time_ms ? s->a->state.clock_ms
                                                      : s->c->time_ms;
    }
    if (s->c->end) {
        s->a->erased = s->id / META_IDS_PER_ENTRY;
    }
    return set_row(s, &r);
}
