/* Users and access keys. */
#include "base/err.h"
#include "meta/apply_step.h"

static int has(struct step *s, enum meta_statement name,
               const struct command_bytes *text, bool *found)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, name);
    int rc;

    bind_text(q, 1, text->p, text->len);
    rc = step_find(s, q, found);
    meta_db_done(s->db, name);
    return rc;
}

static int run(struct step *s, enum meta_statement name,
               const struct command_bytes *text)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, name);

    bind_text(q, 1, text->p, text->len);
    return step_run(s, name, q);
}

int apply_user_put(struct step *s)
{
    sqlite3_stmt *q;
    bool found;
    int rc = has(s, STMT_USER_GET, &s->c->name, &found);

    if (rc != 0) {
        return rc;
    }
    if (found == s->c->force) { /* to be made, and there; or not, and not */
        s->status = found ? ERR_EXISTS : ERR_NOT_FOUND;
        return 0;
    }
    s->a->access_changes++;
    q = meta_db_stmt(s->db, STMT_USER_PUT);
    bind_text(q, 1, s->c->name.p, s->c->name.len);
    bind_u64(q, 2, s->c->time_ms);
    bind_bytes(q, 3, s->c->content.p, s->c->content.len);
    return step_run(s, STMT_USER_PUT, q);
}

int apply_user_remove(struct step *s)
{
    bool found, owns = false;
    int rc = has(s, STMT_USER_GET, &s->c->name, &found);

    if (rc == 0 && found) {
        rc = has(s, STMT_BUCKET_OWNED, &s->c->name, &owns);
    }
    if (rc != 0) {
        return rc;
    }
    if (!found || owns) {
        s->status = owns ? ERR_PRECONDITION : ERR_NOT_FOUND;
        return 0;
    }
    s->a->access_changes++;
    rc = run(s, STMT_KEYS_REMOVE, &s->c->name);
    return rc == 0 ? run(s, STMT_USER_REMOVE, &s->c->name) : rc;
}

int apply_key_put(struct step *s)
{
    sqlite3_stmt *q;
    bool found, taken = false;
    int rc = has(s, STMT_USER_GET, &s->c->name, &found);

    if (rc == 0) {
        rc = has(s, STMT_KEY_GET, &s->c->access_key, &taken);
    }
    if (rc != 0) {
        return rc;
    }
    if (!found || taken) {
        s->status = taken ? ERR_EXISTS : ERR_NOT_FOUND;
        return 0;
    }
    s->a->access_changes++;
    q = meta_db_stmt(s->db, STMT_KEY_PUT);
    bind_text(q, 1, s->c->access_key.p, s->c->access_key.len);
    bind_text(q, 2, s->c->name.p, s->c->name.len);
    bind_text(q, 3, s->c->secret.p, s->c->secret.len);
    bind_u64(q, 4, s->c->time_ms);
    return step_run(s, STMT_KEY_PUT, q);
}

int apply_key_remove(struct step *s)
{
    bool found;
    int rc = has(s, STMT_KEY_GET, &s->c->access_key, &found);

    if (rc != 0 || !found) {
        s->status = found || rc != 0 ? 0 : ERR_NOT_FOUND;
        return rc;
    }
    s->a->access_changes++;
    return run(s, STMT_KEY_REMOVE, &s->c->access_key);
}
