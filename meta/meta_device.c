#include "meta/meta_device.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "meta/meta_core.h"
#include "meta/meta_internal.h"

static char *text_of(sqlite3_stmt *s, int at, size_t *len)
{
    *len = (size_t)sqlite3_column_bytes(s, at);
    return meta_column_text(s, at);
}

/* Columns as DEVICE_SELECT has them. */
static void device_row(sqlite3_stmt *s, void *row)
{
    struct meta_device *d = row;
    size_t name_len = (size_t)sqlite3_column_bytes(s, 0);

    *d = (struct meta_device){
        .number = column_u64(s, 1),
        .state = (enum meta_device_state)column_u64(s, 2),
        .created_ms = column_u64(s, 3),
        .enrolled_ms = column_u64(s, 4),
        .code_expires_ms = column_u64(s, 7),
        .floor = column_u64(s, 9),
        .seen_ms = column_u64(s, 10),
    };
    name_len = name_len < META_DEVICE_MAX ? name_len : META_DEVICE_MAX;
    memcpy(d->name, sqlite3_column_text(s, 0), name_len);
    d->policy = text_of(s, 5, &d->policy_len);
    d->settings = text_of(s, 6, &d->settings_len);
    if (sqlite3_column_bytes(s, 8) == META_FINGERPRINT) {
        memcpy(d->fingerprint, sqlite3_column_blob(s, 8), META_FINGERPRINT);
    }
    if (sqlite3_column_type(s, 11) != SQLITE_NULL) {
        d->report = text_of(s, 11, &d->report_len);
    }
}

void meta_device_free(struct meta_device *d)
{
    free(d->policy);
    free(d->settings);
    free(d->report);
    *d = (struct meta_device){.policy = NULL};
}

/* The one row of a bound statement. */
static int only_row(struct meta_db *db, enum meta_statement name,
                    sqlite3_stmt *s, struct meta_device *out, struct err *err)
{
    int rc = 0;
    int step = meta_read_step(db, s, &rc, err);

    if (step == 1) {
        device_row(s, out);
    } else if (step == 0) {
        rc = err_set(err, ERR_NOT_FOUND, "there is no such device");
    }
    meta_db_done(db, name);
    return rc;
}

int meta_device_get(struct meta *m, const char *name, struct meta_device *out,
                    struct err *err)
{
    struct meta_db *db;
    sqlite3_stmt *s;
    int rc = meta_read_begin(m, &db, err);

    if (rc == 0) {
        s = meta_db_stmt(db, STMT_DEVICE_GET);
        bind_text(s, 1, name, strlen(name));
        rc = only_row(db, STMT_DEVICE_GET, s, out, err);
        meta_read_end(m, db);
    }
    return rc;
}

int meta_device_local(struct meta *m, uint64_t number, struct meta_device *out,
                      struct err *err)
{
    struct meta_db *db;
    sqlite3_stmt *s;
    int rc = meta_readers_take(meta_readers_of(m), &db, err);

    if (rc == 0) {
        s = meta_db_stmt(db, STMT_DEVICE_BY_NUMBER);
        bind_u64(s, 1, number);
        rc = only_row(db, STMT_DEVICE_BY_NUMBER, s, out, err);
        meta_read_end(m, db);
    }
    return rc;
}

int meta_device_by_key(struct meta *m,
                       const uint8_t fingerprint[META_FINGERPRINT],
                       struct meta_device *out, struct err *err)
{
    struct meta_db *db;
    sqlite3_stmt *s, *row;
    int rc = meta_read_begin(m, &db, err);

    if (rc != 0) {
        return rc;
    }
    s = meta_db_stmt(db, STMT_DEVICE_BY_KEY);
    bind_bytes(s, 1, fingerprint, META_FINGERPRINT);
    if (meta_read_step(db, s, &rc, err) == 1) {
        row = meta_db_stmt(db, STMT_DEVICE_GET);
        bind_text(row, 1, sqlite3_column_text(s, 0),
                  (size_t)sqlite3_column_bytes(s, 0));
        rc = only_row(db, STMT_DEVICE_GET, row, out, err);
    } else if (rc == 0) {
        rc = err_set(err, ERR_NOT_FOUND, "there is no such device");
    }
    meta_db_done(db, STMT_DEVICE_BY_KEY);
    meta_read_end(m, db);
    return rc;
}

int meta_device_code(struct meta *m, const uint8_t code_hash[META_CODE_HASH],
                     uint64_t *expires_ms, struct err *err)
{
    struct meta_db *db;
    sqlite3_stmt *s;
    int rc = meta_read_begin(m, &db, err);

    if (rc != 0) {
        return rc;
    }
    s = meta_db_stmt(db, STMT_DEVICE_BY_CODE);
    bind_bytes(s, 1, code_hash, META_CODE_HASH);
    if (meta_read_step(db, s, &rc, err) == 1) {
        *expires_ms = column_u64(s, 2);
    } else if (rc == 0) {
        rc = err_set(err, ERR_NOT_FOUND, "there is no such code");
    }
    meta_db_done(db, STMT_DEVICE_BY_CODE);
    meta_read_end(m, db);
    return rc;
}

static void device_drop(void *row)
{
    meta_device_free(row);
}

int meta_devices(struct meta *m, const char *after, size_t max,
                 struct meta_device **out, size_t *count, struct err *err)
{
    struct meta_db *db;
    sqlite3_stmt *s;
    void *rows;
    int rc = meta_read_begin(m, &db, err);

    if (rc != 0) {
        return rc;
    }
    s = meta_db_stmt(db, STMT_DEVICE_LIST);
    bind_text(s, 1, after, strlen(after));
    bind_u64(s, 2, max);
    rc = meta_read_rows(db, STMT_DEVICE_LIST, s, sizeof **out, device_row,
                        device_drop, &rows, count, err);
    meta_read_end(m, db);
    if (rc == 0) {
        *out = rows;
    }
    return rc;
}

int meta_delivered(struct meta *m, uint64_t number, uint64_t sequence,
                   bool *yes, struct err *err)
{
    struct meta_db *db;
    sqlite3_stmt *s;
    int rc = meta_read_begin(m, &db, err);

    if (rc != 0) {
        return rc;
    }
    s = meta_db_stmt(db, STMT_DEVICE_STATE);
    bind_u64(s, 1, number);
    *yes = meta_read_step(db, s, &rc, err) == 1 && sequence < column_u64(s, 1);
    meta_db_done(db, STMT_DEVICE_STATE);
    if (rc == 0 && !*yes) {
        s = meta_db_stmt(db, STMT_DELIVERED_GET);
        bind_u64(s, 1, number);
        bind_u64(s, 2, sequence);
        *yes = meta_read_step(db, s, &rc, err) == 1;
        meta_db_done(db, STMT_DELIVERED_GET);
    }
    meta_read_end(m, db);
    return rc;
}
