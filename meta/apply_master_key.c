/* The keys that wrap the keys of objects. */
#include "base/err.h"
#include "meta/apply_step.h"

/* The newest number of the command's name; 0: there is none. */
static int newest(struct step *s, uint64_t *number, bool *disabled)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_MASTER_KEY_NEWEST);
    bool found;
    int rc;

    bind_text(q, 1, s->c->name.p, s->c->name.len);
    rc = step_find(s, q, &found);
    *number = rc == 0 && found ? column_u64(q, 0) : 0;
    *disabled = rc == 0 && found && column_u64(q, 1) != 0;
    meta_db_done(s->db, STMT_MASTER_KEY_NEWEST);
    return rc;
}

static int count(struct step *s, uint64_t *n)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_MASTER_KEY_COUNT);
    bool found;
    int rc = step_find(s, q, &found);

    *n = rc == 0 && found ? column_u64(q, 0) : 0;
    meta_db_done(s->db, STMT_MASTER_KEY_COUNT);
    return rc;
}

int apply_master_key_put(struct step *s)
{
    sqlite3_stmt *q;
    uint64_t last, keys = 0;
    bool disabled;
    int rc = newest(s, &last, &disabled);

    if (rc == 0) {
        rc = count(s, &keys);
    }
    if (rc != 0) {
        return rc;
    }
    if (s->c->number != last + 1) {
        s->status = s->c->number <= last ? ERR_EXISTS : ERR_NOT_FOUND;
        return 0;
    }
    if (disabled || keys >= META_MASTER_KEYS_MAX) {
        s->status = disabled ? ERR_PRECONDITION : ERR_LIMIT;
        return 0;
    }
    s->a->access_changes++;
    q = meta_db_stmt(s->db, STMT_MASTER_KEY_PUT);
    bind_text(q, 1, s->c->name.p, s->c->name.len);
    bind_u64(q, 2, s->c->number);
    bind_u64(q, 3, s->c->time_ms);
    bind_bytes(q, 4, s->c->content.p, s->c->content.len);
    return step_run(s, STMT_MASTER_KEY_PUT, q);
}

int apply_master_key_state(struct step *s)
{
    sqlite3_stmt *q;
    uint64_t last;
    bool disabled;
    int rc = newest(s, &last, &disabled);

    if (rc != 0 || last == 0) {
        s->status = rc == 0 ? ERR_NOT_FOUND : 0;
        return rc;
    }
    s->a->access_changes++;
    q = meta_db_stmt(s->db, STMT_MASTER_KEY_STATE);
    bind_text(q, 1, s->c->name.p, s->c->name.len);
    bind_u64(q, 2, s->c->force);
    return step_run(s, STMT_MASTER_KEY_STATE, q);
}
