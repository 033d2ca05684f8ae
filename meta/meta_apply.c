#include "meta/meta_apply.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/wire.h"
#include "meta/apply_step.h"
#include "meta/command.h"

/* ---- the rest ---- */

static int garbage_remove(struct step *s, uint64_t id)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_GARBAGE_GET);
    uint8_t head[COMMAND_RUN_SIZE];
    bool found;
    int rc;

    bind_u64(q, 1, id);
    rc = step_find(s, q, &found);
    if (rc != 0 || !found) {
        return rc; /* done before: the janitor may ask twice */
    }
    if (sqlite3_column_bytes(q, 0) < COMMAND_RUN_SIZE) {
        return err_set(s->err, ERR_CORRUPT, "garbage %llu: no manifest",
                       (unsigned long long)id);
    }
    memcpy(head, sqlite3_column_blob(q, 0), sizeof head);
    meta_db_done(s->db, STMT_GARBAGE_GET);
    q = meta_db_stmt(s->db, STMT_RUN_REMOVE);
    bind_u64(q, 1, load_u64(head + 8));
    bind_u64(q, 2, load_u64(head + 16) & ~(uint64_t)APPLY_RUN_LOW_BITS);
    rc = step_run(s, STMT_RUN_REMOVE, q);
    if (rc != 0) {
        return rc;
    }
    q = meta_db_stmt(s->db, STMT_GARBAGE_REMOVE);
    bind_u64(q, 1, id);
    s->a->state.garbage--;
    return step_run(s, STMT_GARBAGE_REMOVE, q);
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

int apply_layout_epoch(struct step *s, uint64_t *epoch)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_LAYOUT_GET);
    bool found;
    int rc = step_find(s, q, &found);

    if (rc == 0) {
        *epoch = found ? column_u64(q, 0) : 0;
        meta_db_done(s->db, STMT_LAYOUT_GET);
    }
    return rc;
}

int apply_layout_set(struct step *s)
{
    sqlite3_stmt *q;
    uint64_t epoch;
    int rc = apply_layout_epoch(s, &epoch);

    if (rc != 0) {
        return rc;
    }
    if (s->c->epoch != epoch + 1) {
        s->status = ERR_PRECONDITION;
        s->refusal = COMMAND_REFUSED_LAYOUT_CHANGED;
        return 0;
    }
    q = meta_db_stmt(s->db, STMT_LAYOUT_CLEAR);
    rc = step_run(s, STMT_LAYOUT_CLEAR, q);
    if (rc != 0) {
        return rc;
    }
    q = meta_db_stmt(s->db, STMT_LAYOUT_INSERT);
    bind_u64(q, 1, s->c->epoch);
    bind_bytes(q, 2, s->c->content.p, s->c->content.len);
    return step_run(s, STMT_LAYOUT_INSERT, q);
}

static int apply_command(struct step *s)
{
    switch (s->c->type) {
        case COMMAND_BUCKET_CREATE:
            return apply_bucket_create(s);
        case COMMAND_BUCKET_DELETE:
            return apply_bucket_delete(s);
        case COMMAND_BUCKET_CONFIG:
            return apply_bucket_config(s);
        case COMMAND_BODY_RECODE:
            return apply_body_recode(s);
        case COMMAND_OBJECT_PUT:
            return apply_object_put(s);
        case COMMAND_OBJECT_DELETE:
            return apply_object_delete(s);
        case COMMAND_OBJECTS_DELETE:
            return apply_objects_delete(s);
        case COMMAND_OBJECT_COPY:
            return apply_object_copy(s);
        case COMMAND_OBJECT_TAGS:
        case COMMAND_OBJECT_RETAIN:
        case COMMAND_OBJECT_HOLD:
            return apply_object_set(s);
        case COMMAND_OBJECT_ATTRS:
            return apply_object_attrs(s);
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
        case COMMAND_CLUSTER_INIT:
            return apply_cluster_init(s);
        case COMMAND_TOKEN_CREATE:
            return apply_token_create(s);
        case COMMAND_TOKEN_REVOKE:
            return apply_token_revoke(s);
        case COMMAND_SERVER_JOIN:
            return apply_server_join(s);
        case COMMAND_SERVER_UPDATE:
            return apply_server_update(s);
        case COMMAND_SERVER_STATE:
            return apply_server_state(s);
        case COMMAND_SERVER_REMOVE:
            return apply_server_remove(s);
        case COMMAND_DRIVE_ADD:
            return apply_drive_add(s);
        case COMMAND_DRIVE_STATE:
            return apply_drive_state(s);
        case COMMAND_DRIVE_WEIGHT:
            return apply_drive_weight(s);
        case COMMAND_LAYOUT_CHANGE:
            return apply_layout_change(s);
        case COMMAND_USER_PUT:
            return apply_user_put(s);
        case COMMAND_USER_REMOVE:
            return apply_user_remove(s);
        case COMMAND_KEY_PUT:
            return apply_key_put(s);
        case COMMAND_KEY_REMOVE:
            return apply_key_remove(s);
        case COMMAND_MASTER_KEY_PUT:
            return apply_master_key_put(s);
        case COMMAND_MASTER_KEY_STATE:
            return apply_master_key_state(s);
        case COMMAND_DEVICE_PUT:
            return apply_device_put(s);
        case COMMAND_DEVICE_ENROLL:
            return apply_device_enroll(s);
        case COMMAND_DEVICE_KEY:
            return apply_device_key(s);
        case COMMAND_DEVICE_REVOKE:
            return apply_device_revoke(s);
        case COMMAND_DEVICE_REMOVE:
            return apply_device_remove(s);
        case COMMAND_DEVICE_REPORT:
            return apply_device_report(s);
        case COMMAND_ERASE_BEGIN:
            return apply_erase_begin(s);
        case COMMAND_ERASE_SOME:
            return apply_erase_some(s);
        case COMMAND_ERASE_CANCEL:
            return apply_erase_cancel(s);
        case COMMAND_ERASE_CLEAN:
            return apply_erase_clean(s);
        case COMMAND_AUDIT_APPEND:
            return apply_audit_append(s);
        case COMMAND_AUDIT_CHECKPOINT:
            return apply_audit_checkpoint(s);
        case COMMAND_EXPIRE:
            return apply_expire(s);
        case COMMAND_CLOCK_VOTE:
            return apply_clock_vote(s);
    }
    CHECK(false); /* a decoded command has a known type */
    return 0;
}

/* A command of a device is applied once, however often it comes. */
static int apply_delivery(struct step *s)
{
    int rc;

    if (s->c->sequence == 0) {
        return apply_command(s);
    }
    rc = device_judge(s);
    if (rc == 0 && s->status == 0) {
        rc = apply_command(s);
    }
    if (rc == 0 && s->status == 0) {
        rc = device_delivered(s);
    }
    return rc;
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

int meta_apply_write_state(struct meta_apply *a, struct err *err)
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
    return 0;
}

int meta_apply_commit(struct meta_apply *a, struct err *err)
{
    int rc = meta_apply_write_state(a, err);

    return rc == 0 ? plain(a, STMT_COMMIT, err) : rc;
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
        rc = apply_delivery(&s);
        if (rc == 0) {
            rc = audit_note_change(&s);
        }
        free(s.made.tags);
        if (rc != 0) {
            return err_wrap(err, rc, "apply %s", command_name((int)c.type));
        }
    }
    a->commands++;
    if (result != NULL) {
        result->status = s.status;
        result->body = s.status == 0 ? s.body : s.refusal;
        result->version = s.status == 0 ? s.version : 0;
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
        rc = apply_one(a, index * META_IDS_PER_ENTRY + position, &bytes,
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
