#include "meta/apply_registry.h"

#include <string.h>

#include "base/err.h"

int registry_refuse(struct step *s, int status, enum command_refusal why)
{
    s->status = status;
    s->refusal = why;
    return 0;
}

int registry_read(struct step *s, struct registry *r)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_CLUSTER_GET);
    int rc = step_find(s, q, &r->there);

    if (rc != 0 || !r->there) {
        return rc;
    }
    if (sqlite3_column_bytes(q, 0) != META_CLUSTER_ID) {
        return err_set(s->err, ERR_CORRUPT, "cluster: its id is damaged");
    }
    memcpy(r->id, sqlite3_column_blob(q, 0), META_CLUSTER_ID);
    r->revision = column_u64(q, 2);
    r->next_server = column_u64(q, 3);
    r->next_drive = column_u64(q, 4);
    r->next_zone = column_u64(q, 5);
    meta_db_done(s->db, STMT_CLUSTER_GET);
    return 0;
}

int registry_open(struct step *s, struct registry *r)
{
    int rc = registry_read(s, r);

    if (rc == 0 && !r->there) {
        registry_refuse(s, ERR_PRECONDITION, COMMAND_REFUSED_NO_CLUSTER);
    }
    return rc;
}

int registry_write(struct step *s, const struct registry *r)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_CLUSTER_SET);

    bind_u64(q, 1, r->revision + 1);
    bind_u64(q, 2, r->next_server);
    bind_u64(q, 3, r->next_drive);
    bind_u64(q, 4, r->next_zone);
    return step_run(s, STMT_CLUSTER_SET, q);
}

int registry_count(struct step *s, enum meta_statement name, uint64_t arg,
                   uint64_t *n)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, name);
    bool found;
    int rc;

    if (sqlite3_bind_parameter_count(q) > 0) {
        bind_u64(q, 1, arg);
    }
    rc = step_find(s, q, &found);
    if (rc == 0) {
        *n = found ? column_u64(q, 0) : 0;
        meta_db_done(s->db, name);
    }
    return rc;
}

int registry_server(struct step *s, struct server_row *v)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_SERVER_HEAD);
    int rc;

    v->id = s->c->server;
    bind_u64(q, 1, v->id);
    rc = step_find(s, q, &v->there);
    if (rc != 0) {
        return rc;
    }
    if (v->there) {
        v->state = (unsigned)sqlite3_column_int(q, 0);
        v->roles = (unsigned)sqlite3_column_int(q, 1);
    } else {
        registry_refuse(s, ERR_NOT_FOUND, COMMAND_REFUSED_SERVER_UNKNOWN);
    }
    meta_db_done(s->db, STMT_SERVER_HEAD);
    return 0;
}

int registry_server_open(struct step *s, struct registry *r,
                         struct server_row *v)
{
    int rc = registry_open(s, r);

    if (rc == 0 && s->status == 0) {
        rc = registry_server(s, v);
    }
    if (rc == 0 && s->status == 0 && v->state == META_SERVER_REMOVED) {
        registry_refuse(s, ERR_PRECONDITION, COMMAND_REFUSED_SERVER_REMOVED);
    }
    return rc;
}

int registry_judge_drives(struct step *s, const struct registry *r,
                          uint64_t more)
{
    uint64_t living;
    int rc = registry_count(s, STMT_DRIVE_COUNT, 0, &living);

    if (rc == 0 && (living + more > META_DRIVES_MAX ||
                    r->next_drive + more > META_DRIVE_ID_MAX + 1)) {
        registry_refuse(s, ERR_LIMIT, COMMAND_REFUSED_DRIVES_MAX);
    }
    return rc;
}

int registry_drive_insert(struct step *s, struct registry *r, uint64_t server,
                          uint32_t weight, const uint8_t *uuid)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_DRIVE_INSERT);

    bind_u64(q, 1, r->next_drive++);
    bind_u64(q, 2, server);
    bind_u64(q, 3, weight);
    bind_bytes(q, 4, uuid, META_DRIVE_UUID);
    bind_u64(q, 5, s->c->time_ms);
    return step_run(s, STMT_DRIVE_INSERT, q);
}

int registry_set_state(struct step *s, const struct registry *r,
                       enum meta_statement name, uint64_t id, unsigned state)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, name);
    int rc;

    bind_u64(q, 1, id);
    bind_u64(q, 2, state);
    rc = step_run(s, name, q);
    return rc == 0 ? registry_write(s, r) : rc;
}
