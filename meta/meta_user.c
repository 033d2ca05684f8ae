#include "meta/meta_user.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "meta/meta_core.h"
#include "meta/meta_internal.h"

static void column_text(sqlite3_stmt *s, int at, char *out, size_t max)
{
    size_t len = (size_t)sqlite3_column_bytes(s, at);

    len = len > max ? max : len;
    memcpy(out, sqlite3_column_text(s, at), len);
    out[len] = '\0';
}

static void user_row(sqlite3_stmt *s, void *row)
{
    struct meta_user *u = row;

    *u = (struct meta_user){.created_ms = column_u64(s, 1)};
    column_text(s, 0, u->name, META_USER_MAX);
    u->policy_len = (size_t)sqlite3_column_bytes(s, 2);
    if (u->policy_len > 0) {
        u->policy = meta_column_text(s, 2);
    }
}

static void key_row(sqlite3_stmt *s, void *row)
{
    struct meta_key *k = row;

    *k = (struct meta_key){.created_ms = column_u64(s, 3)};
    column_text(s, 0, k->access_key, META_ACCESS_KEY_MAX);
    column_text(s, 1, k->user, META_USER_MAX);
    column_text(s, 2, k->secret_key, META_SECRET_KEY_MAX);
}

void meta_user_free(struct meta_user *u)
{
    free(u->policy);
    *u = (struct meta_user){.policy = NULL};
}

static int find_user(struct meta_db *db, const char *name,
                     struct meta_user *out, struct err *err)
{
    sqlite3_stmt *s = meta_db_stmt(db, STMT_USER_GET);
    int rc = 0, step;

    bind_text(s, 1, name, strlen(name));
    step = meta_read_step(db, s, &rc, err);
    if (step == 1) {
        user_row(s, out);
    } else if (step == 0) {
        rc = err_set(err, ERR_NOT_FOUND, "there is no user %s", name);
    }
    meta_db_done(db, STMT_USER_GET);
    return rc;
}

static int find_key(struct meta_db *db, const char *access_key,
                    struct meta_key *out, struct err *err)
{
    sqlite3_stmt *s = meta_db_stmt(db, STMT_KEY_GET);
    int rc = 0, step;

    bind_text(s, 1, access_key, strlen(access_key));
    step = meta_read_step(db, s, &rc, err);
    if (step == 1) {
        key_row(s, out);
    } else if (step == 0) {
        rc = err_set(err, ERR_NOT_FOUND, "there is no such access key");
    }
    meta_db_done(db, STMT_KEY_GET);
    return rc;
}

int meta_user_get(struct meta *m, const char *name, struct meta_user *out,
                  struct err *err)
{
    struct meta_db *db;
    int rc = meta_read_begin(m, &db, err);

    if (rc == 0) {
        rc = find_user(db, name, out, err);
        meta_read_end(m, db);
    }
    return rc;
}

static void user_drop(void *row)
{
    meta_user_free(row);
}

int meta_users(struct meta *m, struct meta_user **out, size_t *count,
               struct err *err)
{
    struct meta_db *db;
    void *rows;
    int rc = meta_read_begin(m, &db, err);

    if (rc != 0) {
        return rc;
    }
    rc = meta_read_rows(db, STMT_USER_LIST, meta_db_stmt(db, STMT_USER_LIST),
                        sizeof **out, user_row, user_drop, &rows, count, err);
    meta_read_end(m, db);
    if (rc == 0) {
        *out = rows;
    }
    return rc;
}

int meta_keys(struct meta *m, const char *user, struct meta_key **out,
              size_t *count, struct err *err)
{
    struct meta_db *db;
    sqlite3_stmt *s;
    void *rows;
    int rc = meta_read_begin(m, &db, err);

    if (rc != 0) {
        return rc;
    }
    s = meta_db_stmt(db, STMT_KEY_LIST);
    bind_text(s, 1, user, strlen(user));
    rc = meta_read_rows(db, STMT_KEY_LIST, s, sizeof **out, key_row, NULL,
                        &rows, count, err);
    meta_read_end(m, db);
    if (rc == 0) {
        *out = rows;
    }
    return rc;
}

int meta_key_local(struct meta *m, const char *access_key, struct meta_key *key,
                   struct meta_user *user, struct err *err)
{
    struct meta_db *db;
    int rc = meta_readers_take(meta_readers_of(m), &db, err);

    if (rc == 0) {
        rc = find_key(db, access_key, key, err);
        if (rc == 0) {
            rc = find_user(db, key->user, user, err);
        }
        meta_read_end(m, db);
    }
    return rc;
}

static void master_key_row(sqlite3_stmt *s, void *row)
{
    struct meta_master_key *k = row;
    size_t len = (size_t)sqlite3_column_bytes(s, 4);

    *k = (struct meta_master_key){.number = (uint32_t)column_u64(s, 1),
                                  .created_ms = column_u64(s, 2),
                                  .disabled = column_u64(s, 3) != 0};
    column_text(s, 0, k->name, META_MASTER_NAME_MAX);
    k->wrapped_len =
        len < META_MASTER_WRAPPED_MAX ? len : META_MASTER_WRAPPED_MAX;
    if (k->wrapped_len > 0) {
        memcpy(k->wrapped, sqlite3_column_blob(s, 4), k->wrapped_len);
    }
}

int meta_master_keys(struct meta *m, bool local, struct meta_master_key **out,
                     size_t *count, struct err *err)
{
    struct meta_db *db;
    void *rows;
    int rc = local ? meta_readers_take(meta_readers_of(m), &db, err)
                   : meta_read_begin(m, &db, err);

    if (rc != 0) {
        return rc;
    }
    rc = meta_read_rows(db, STMT_MASTER_KEY_LIST,
                        meta_db_stmt(db, STMT_MASTER_KEY_LIST), sizeof **out,
                        master_key_row, NULL, &rows, count, err);
    meta_read_end(m, db);
    if (rc == 0) {
        *out = rows;
    }
    return rc;
}

uint64_t meta_access_revision(struct meta *m)
{
    return atomic_load(&m->access_revision);
}
