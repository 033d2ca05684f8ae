/* Devices, and what each has delivered: the numbers at and above its floor in
 * table delivered, and all below. */
#include <string.h>

#include "base/err.h"
#include "meta/apply_step.h"
#include "meta/meta_device.h"

/* Is there a row with these bytes in its first parameter? It stays readable
 * until meta_db_done. */
static int find_bytes(struct step *s, enum meta_statement name, const void *p,
                      size_t len, bool *found)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, name);

    bind_bytes(q, 1, p, len);
    return step_find(s, q, found);
}

static int find_name(struct step *s, bool *found)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_DEVICE_GET);

    bind_text(q, 1, s->c->name.p, s->c->name.len);
    return step_find(s, q, found);
}

static int run_number(struct step *s, enum meta_statement name, uint64_t number)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, name);

    bind_u64(q, 1, number);
    return step_run(s, name, q);
}

/* Forget what is known of a number that nobody has any more. */
static int forget(struct step *s, uint64_t number)
{
    sqlite3_stmt *q;
    int rc;

    if (number == 0) {
        return 0;
    }
    rc = run_number(s, STMT_FLOOR_REMOVE, number);
    if (rc == 0) {
        rc = run_number(s, STMT_REPORT_REMOVE, number);
    }
    if (rc != 0) {
        return rc;
    }
    q = meta_db_stmt(s->db, STMT_DELIVERED_BELOW);
    bind_u64(q, 1, number);
    bind_u64(q, 2, INT64_MAX);
    return step_run(s, STMT_DELIVERED_BELOW, q);
}

/* ---- deliveries ---- */

/* Does the command's device deliver now, and from where on? */
static int find_state(struct step *s, uint64_t *floor)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_DEVICE_STATE);
    bool found;
    int rc;

    bind_u64(q, 1, s->c->device);
    rc = step_find(s, q, &found);
    if (rc != 0) {
        return rc;
    }
    if (!found || column_u64(q, 0) != META_DEVICE_ENROLLED) {
        s->status = ERR_DENIED;
    }
    *floor = found ? column_u64(q, 1) : 0; /* NULL gives 0 */
    meta_db_done(s->db, STMT_DEVICE_STATE);
    return 0;
}

static sqlite3_stmt *of_delivery(struct step *s, enum meta_statement name,
                                 uint64_t sequence)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, name);

    bind_u64(q, 1, s->c->device);
    bind_u64(q, 2, sequence);
    return q;
}

static int raise_floor(struct step *s, uint64_t floor)
{
    sqlite3_stmt *q = of_delivery(s, STMT_FLOOR_SET, floor);
    int rc = step_run(s, STMT_FLOOR_SET, q);

    if (rc == 0) {
        q = of_delivery(s, STMT_DELIVERED_BELOW, floor);
        rc = step_run(s, STMT_DELIVERED_BELOW, q);
    }
    return rc;
}

int device_judge(struct step *s)
{
    const struct command *c = s->c;
    uint64_t floor;
    bool found = false;
    int rc = find_state(s, &floor);

    if (rc != 0 || s->status != 0) {
        return rc;
    }
    floor = c->floor > floor ? c->floor : floor;
    if (c->sequence >= floor) {
        sqlite3_stmt *q = of_delivery(s, STMT_DELIVERED_GET, c->sequence);
        rc = step_find(s, q, &found);
        meta_db_done(s->db, STMT_DELIVERED_GET);
    }
    if (rc != 0) {
        return rc;
    }
    if (found || c->sequence < floor) {
        s->status = ERR_EXISTS;
    } else if (c->sequence - floor >= META_DELIVERED_MAX) {
        s->status = ERR_LIMIT;
    }
    return 0;
}

int device_delivered(struct step *s)
{
    uint64_t floor;
    int rc = find_state(s, &floor);

    if (rc == 0 && s->c->floor > floor) {
        rc = raise_floor(s, s->c->floor);
    }
    if (rc != 0) {
        return rc;
    }
    return step_run(s, STMT_DELIVERED_INSERT,
                    of_delivery(s, STMT_DELIVERED_INSERT, s->c->sequence));
}

/* ---- commands ---- */

static int insert(struct step *s)
{
    const struct command *c = s->c;
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_DEVICE_INSERT);

    bind_text(q, 1, c->name.p, c->name.len);
    bind_u64(q, 2, c->time_ms);
    bind_bytes(q, 3, c->content.p, c->content.len);
    bind_bytes(q, 4, c->settings.p, c->settings.len);
    if (c->code != NULL) {
        bind_bytes(q, 5, c->code, META_CODE_HASH);
    }
    bind_u64(q, 6, c->code != NULL ? c->expires_ms : 0);
    return step_run(s, STMT_DEVICE_INSERT, q);
}

static int change(struct step *s)
{
    const struct command *c = s->c;
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_DEVICE_SET);
    int rc;

    bind_text(q, 1, c->name.p, c->name.len);
    bind_bytes(q, 2, c->content.p, c->content.len);
    bind_bytes(q, 3, c->settings.p, c->settings.len);
    rc = step_run(s, STMT_DEVICE_SET, q);
    if (rc != 0 || c->code == NULL) {
        return rc;
    }
    q = meta_db_stmt(s->db, STMT_DEVICE_CODE);
    bind_text(q, 1, c->name.p, c->name.len);
    bind_bytes(q, 2, c->code, META_CODE_HASH);
    bind_u64(q, 3, c->expires_ms);
    return step_run(s, STMT_DEVICE_CODE, q);
}

int apply_device_put(struct step *s)
{
    const struct command *c = s->c;
    bool found, taken = false;
    int rc = 0;

    if (c->code != NULL) {
        rc =
            find_bytes(s, STMT_DEVICE_BY_CODE, c->code, META_CODE_HASH, &taken);
        meta_db_done(s->db, STMT_DEVICE_BY_CODE);
    }
    if (rc == 0) {
        rc = find_name(s, &found);
        meta_db_done(s->db, STMT_DEVICE_GET);
    }
    if (rc != 0) {
        return rc;
    }
    if (taken) {
        s->status = ERR_EXISTS;
        return 0;
    }
    s->a->access_changes++;
    return found ? change(s) : insert(s);
}

/* Status ERR_EXISTS: another device has the command's key. */
static int judge_key(struct step *s)
{
    bool taken;
    int rc = find_bytes(s, STMT_DEVICE_BY_KEY, s->c->fingerprint,
                        META_FINGERPRINT, &taken);

    meta_db_done(s->db, STMT_DEVICE_BY_KEY);
    if (rc == 0 && taken) {
        s->status = ERR_EXISTS;
    }
    return rc;
}

int apply_device_enroll(struct step *s)
{
    const struct command *c = s->c;
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_DEVICE_BY_CODE);
    char name[META_DEVICE_MAX];
    size_t name_len = 0;
    uint64_t old = 0;
    bool found;
    int rc =
        find_bytes(s, STMT_DEVICE_BY_CODE, c->code, META_CODE_HASH, &found);

    if (rc == 0 && found) {
        name_len = (size_t)sqlite3_column_bytes(q, 0);
        name_len = name_len < sizeof name ? name_len : sizeof name;
        memcpy(name, sqlite3_column_text(q, 0), name_len);
        old = column_u64(q, 1);
        s->status = column_u64(q, 2) <= c->time_ms ? ERR_TIMEOUT : 0;
    } else {
        s->status = ERR_NOT_FOUND;
    }
    meta_db_done(s->db, STMT_DEVICE_BY_CODE);
    if (rc == 0 && s->status == 0) {
        rc = judge_key(s);
    }
    if (rc == 0 && s->status == 0) {
        rc = forget(s, old);
    }
    if (rc != 0 || s->status != 0) {
        return rc;
    }
    s->a->access_changes++;
    s->body = s->id;
    q = meta_db_stmt(s->db, STMT_DEVICE_ENROLL);
    bind_text(q, 1, (const uint8_t *)name, name_len);
    bind_u64(q, 2, s->id);
    bind_u64(q, 3, META_DEVICE_ENROLLED);
    bind_u64(q, 4, c->time_ms);
    bind_bytes(q, 5, c->fingerprint, META_FINGERPRINT);
    return step_run(s, STMT_DEVICE_ENROLL, q);
}

int apply_device_key(struct step *s)
{
    sqlite3_stmt *q;
    uint64_t floor;
    int rc = find_state(s, &floor);

    if (rc == 0 && s->status == 0) {
        rc = judge_key(s);
    }
    if (rc != 0 || s->status != 0) {
        return rc;
    }
    s->a->access_changes++;
    q = meta_db_stmt(s->db, STMT_DEVICE_KEY);
    bind_u64(q, 1, s->c->device);
    bind_bytes(q, 2, s->c->fingerprint, META_FINGERPRINT);
    return step_run(s, STMT_DEVICE_KEY, q);
}

int apply_device_revoke(struct step *s)
{
    sqlite3_stmt *q;
    bool found;
    int rc = find_name(s, &found);

    meta_db_done(s->db, STMT_DEVICE_GET);
    if (rc != 0 || !found) {
        s->status = found || rc != 0 ? 0 : ERR_NOT_FOUND;
        return rc;
    }
    s->a->access_changes++;
    q = meta_db_stmt(s->db, STMT_DEVICE_REVOKE);
    bind_text(q, 1, s->c->name.p, s->c->name.len);
    bind_u64(q, 2, META_DEVICE_REVOKED);
    return step_run(s, STMT_DEVICE_REVOKE, q);
}

int apply_device_remove(struct step *s)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_DEVICE_GET);
    uint64_t number = 0;
    bool found;
    int rc = find_name(s, &found);

    if (rc == 0 && found) {
        number = column_u64(q, 1);
    }
    meta_db_done(s->db, STMT_DEVICE_GET);
    if (rc != 0 || !found) {
        s->status = found || rc != 0 ? 0 : ERR_NOT_FOUND;
        return rc;
    }
    s->a->access_changes++;
    rc = forget(s, number);
    if (rc != 0) {
        return rc;
    }
    q = meta_db_stmt(s->db, STMT_DEVICE_REMOVE);
    bind_text(q, 1, s->c->name.p, s->c->name.len);
    return step_run(s, STMT_DEVICE_REMOVE, q);
}

int apply_device_report(struct step *s)
{
    sqlite3_stmt *q;
    uint64_t floor;
    int rc = find_state(s, &floor);

    if (rc != 0 || s->status != 0) {
        return rc;
    }
    q = meta_db_stmt(s->db, STMT_REPORT_SET);
    bind_u64(q, 1, s->c->device);
    bind_u64(q, 2, s->c->time_ms);
    bind_bytes(q, 3, s->c->content.p, s->c->content.len);
    return step_run(s, STMT_REPORT_SET, q);
}
