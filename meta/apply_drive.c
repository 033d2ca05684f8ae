/* Drives, and layouts over them. */
#include "base/err.h"
#include "meta/apply_registry.h"

/* Is the drive there already? Then it must be this server's: the same asked
 * for twice. */
static int drive_again(struct step *s, bool *again)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_DRIVE_BY_UUID);
    int rc;

    bind_bytes(q, 1, s->c->uuid, META_DRIVE_UUID);
    rc = step_find(s, q, again);
    if (rc != 0 || !*again) {
        return rc;
    }
    s->body = column_u64(q, 0);
    if (column_u64(q, 1) != s->c->server ||
        sqlite3_column_int(q, 2) == META_DRIVE_REMOVED) {
        registry_refuse(s, ERR_EXISTS, COMMAND_REFUSED_DRIVE_TAKEN);
    }
    meta_db_done(s->db, STMT_DRIVE_BY_UUID);
    return 0;
}

int apply_drive_add(struct step *s)
{
    struct registry r;
    struct server_row v;
    uint64_t drives = 0;
    bool again = false;
    int rc = registry_server_open(s, &r, &v);

    if (rc == 0 && s->status == 0) {
        rc = drive_again(s, &again);
    }
    if (rc != 0 || s->status != 0 || again) {
        return rc;
    }
    if ((v.roles & META_SERVER_NODE) == 0) {
        return registry_refuse(s, ERR_PRECONDITION, COMMAND_REFUSED_NOT_A_NODE);
    }
    rc = registry_count(s, STMT_DRIVE_COUNT_OF, v.id, &drives);
    if (rc == 0 && drives >= META_SERVER_DRIVES_MAX) {
        return registry_refuse(s, ERR_LIMIT, COMMAND_REFUSED_DRIVES_MAX);
    }
    if (rc == 0) {
        rc = registry_judge_drives(s, &r, 1);
    }
    if (rc != 0 || s->status != 0) {
        return rc;
    }
    s->body = r.next_drive;
    rc = registry_drive_insert(s, &r, v.id, s->c->weight, s->c->uuid);
    return rc == 0 ? registry_write(s, &r) : rc;
}

/* The registry and the command's drive, or a status. */
static int drive_open(struct step *s, struct registry *r, unsigned *state,
                      uint64_t *weight)
{
    sqlite3_stmt *q;
    bool found;
    int rc = registry_open(s, r);

    if (rc != 0 || s->status != 0) {
        return rc;
    }
    q = meta_db_stmt(s->db, STMT_DRIVE_HEAD);
    bind_u64(q, 1, s->c->drive);
    rc = step_find(s, q, &found);
    if (rc != 0) {
        return rc;
    }
    if (found) {
        *state = (unsigned)sqlite3_column_int(q, 0);
        *weight = column_u64(q, 1);
    } else {
        registry_refuse(s, ERR_NOT_FOUND, COMMAND_REFUSED_DRIVE_UNKNOWN);
    }
    meta_db_done(s->db, STMT_DRIVE_HEAD);
    return 0;
}

int apply_drive_state(struct step *s)
{
    struct registry r;
    uint64_t weight, epoch = 0;
    unsigned state;
    int rc = drive_open(s, &r, &state, &weight);

    if (rc != 0 || s->status != 0 || state == s->c->state) {
        return rc;
    }
    if (state == META_DRIVE_REMOVED) {
        return registry_refuse(s, ERR_PRECONDITION,
                               COMMAND_REFUSED_DRIVE_REMOVED);
    }
    if (s->c->state == META_DRIVE_REMOVED && !s->c->force) {
        rc = apply_layout_epoch(s, &epoch);
        if (rc == 0 && epoch != s->c->epoch) {
            registry_refuse(s, ERR_PRECONDITION,
                            COMMAND_REFUSED_LAYOUT_CHANGED);
        }
    }
    if (rc != 0 || s->status != 0) {
        return rc;
    }
    return registry_set_state(s, &r, STMT_DRIVE_STATE, s->c->drive,
                              s->c->state);
}

int apply_drive_weight(struct step *s)
{
    struct registry r;
    uint64_t weight;
    unsigned state;
    sqlite3_stmt *q;
    int rc = drive_open(s, &r, &state, &weight);

    if (rc == 0 && s->status == 0 && state == META_DRIVE_REMOVED) {
        registry_refuse(s, ERR_PRECONDITION, COMMAND_REFUSED_DRIVE_REMOVED);
    }
    if (rc != 0 || s->status != 0 || weight == s->c->weight) {
        return rc;
    }
    q = meta_db_stmt(s->db, STMT_DRIVE_WEIGHT);
    bind_u64(q, 1, s->c->drive);
    bind_u64(q, 2, s->c->weight);
    rc = step_run(s, STMT_DRIVE_WEIGHT, q);
    return rc == 0 ? registry_write(s, &r) : rc;
}

/* ---- the layout ---- */

int apply_layout_change(struct step *s)
{
    struct registry r;
    int rc = registry_open(s, &r);

    if (rc == 0 && s->status == 0 && r.revision != s->c->revision) {
        registry_refuse(s, ERR_PRECONDITION, COMMAND_REFUSED_REGISTRY_CHANGED);
    }
    if (rc != 0 || s->status != 0) {
        return rc;
    }
    return apply_layout_set(s);
}
