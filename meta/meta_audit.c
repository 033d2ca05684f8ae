#include "meta/meta_audit.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "meta/meta_internal.h"

static void bytes_of(sqlite3_stmt *s, int at, uint8_t *out, size_t len)
{
    if ((size_t)sqlite3_column_bytes(s, at) == len) {
        memcpy(out, sqlite3_column_blob(s, at), len);
    }
}

static void point_row(sqlite3_stmt *s, void *row)
{
    struct audit_checkpoint *c = row;

    c->number = column_u64(s, 0);
    c->clock_ms = column_u64(s, 1);
    c->server = (uint32_t)column_u64(s, 2);
    bytes_of(s, 3, c->hash, AUDIT_HASH);
    bytes_of(s, 4, c->key, AUDIT_KEY);
    bytes_of(s, 5, c->signature, AUDIT_SIGNATURE);
}

static int read_state(struct meta_db *db, struct meta_audit_state *out,
                      struct err *err)
{
    sqlite3_stmt *s = meta_db_stmt(db, STMT_AUDIT_STATE_GET);
    struct audit_checkpoint last;
    int rc = 0;

    *out = (struct meta_audit_state){0};
    if (meta_read_step(db, s, &rc, err) == 1) {
        out->number = column_u64(s, 0);
        bytes_of(s, 1, out->hash, AUDIT_HASH);
        out->base = column_u64(s, 2);
        out->set.level = (uint8_t)column_u64(s, 3);
        out->set.hash_keys = column_u64(s, 4) != 0;
        out->set.keep_ms = column_u64(s, 5);
    }
    meta_db_done(db, STMT_AUDIT_STATE_GET);
    if (rc != 0) {
        return rc;
    }
    s = meta_db_stmt(db, STMT_AUDIT_POINT_LAST);
    if (meta_read_step(db, s, &rc, err) == 1) {
        point_row(s, &last);
        out->checkpoint = last.number;
        out->checkpoint_ms = last.clock_ms;
    }
    meta_db_done(db, STMT_AUDIT_POINT_LAST);
    return rc;
}

int meta_audit_state(struct meta *m, struct meta_audit_state *out,
                     struct err *err)
{
    struct meta_db *db;
    int rc = meta_read_begin(m, &db, err);

    if (rc == 0) {
        rc = read_state(db, out, err);
        meta_read_end(m, db);
    }
    return rc;
}

int meta_audit_state_local(struct meta *m, struct meta_audit_state *out,
                           struct err *err)
{
    struct meta_db *db;
    int rc = meta_readers_take(meta_readers_of(m), &db, err);

    if (rc == 0) {
        rc = read_state(db, out, err);
        meta_read_end(m, db);
    }
    return rc;
}

static void audit_row(sqlite3_stmt *s, void *row)
{
    struct meta_audit_row *r = row;

    bytes_of(s, 0, r->hash, AUDIT_HASH);
    r->content = meta_column_bytes(s, 1, &r->len);
}

static void audit_drop(void *row)
{
    free(((struct meta_audit_row *)row)->content);
}

/* Rows of @name, by two numbers. */
static int list(struct meta *m, enum meta_statement name, uint64_t from,
                uint64_t max, size_t size, void (*read)(sqlite3_stmt *, void *),
                void (*drop)(void *), void **out, size_t *count,
                struct err *err)
{
    struct meta_db *db;
    sqlite3_stmt *s;
    int rc = meta_read_begin(m, &db, err);

    if (rc != 0) {
        return rc;
    }
    s = meta_db_stmt(db, name);
    bind_u64(s, 1, from);
    bind_u64(s, 2, max);
    rc = meta_read_rows(db, name, s, size, read, drop, out, count, err);
    meta_read_end(m, db);
    return rc;
}

int meta_audit_list(struct meta *m, uint64_t after, size_t max,
                    struct meta_audit_row **out, size_t *count, struct err *err)
{
    void *rows = NULL;
    int rc = list(m, STMT_AUDIT_LIST, after, max, sizeof **out, audit_row,
                  audit_drop, &rows, count, err);

    if (rc == 0) {
        *out = rows;
    }
    return rc;
}

int meta_audit_checkpoints(struct meta *m, uint64_t from, size_t max,
                           struct audit_checkpoint **out, size_t *count,
                           struct err *err)
{
    void *rows = NULL;
    int rc = list(m, STMT_AUDIT_POINT_LIST, from, max, sizeof **out, point_row,
                  NULL, &rows, count, err);

    if (rc == 0) {
        *out = rows;
    }
    return rc;
}

int meta_audit_before(struct meta *m, uint64_t clock_ms, uint64_t *number,
                      struct err *err)
{
    struct meta_db *db;
    sqlite3_stmt *s;
    int rc = meta_read_begin(m, &db, err);

    if (rc != 0) {
        return rc;
    }
    *number = 0;
    s = meta_db_stmt(db, STMT_AUDIT_SINCE);
    bind_u64(s, 1, clock_ms);
    if (meta_read_step(db, s, &rc, err) == 1) {
        *number = column_u64(s, 0);
    }
    meta_db_done(db, STMT_AUDIT_SINCE);
    meta_read_end(m, db);
    return rc;
}

/* ---- is it whole ---- */

/* The hash and number that the first entry that is there is chained to. */
static int find_base(struct meta_db *db, uint64_t base,
                     uint8_t hash[AUDIT_HASH], struct err *err)
{
    struct audit_checkpoint point = {0};
    sqlite3_stmt *s;
    int rc = 0;

    memset(hash, 0, AUDIT_HASH);
    if (base == 0) {
        return 0;
    }
    s = meta_db_stmt(db, STMT_AUDIT_POINT_LIST);
    bind_u64(s, 1, base);
    bind_u64(s, 2, 1);
    if (meta_read_step(db, s, &rc, err) == 1) {
        point_row(s, &point);
    }
    meta_db_done(db, STMT_AUDIT_POINT_LIST);
    if (rc == 0 && point.number != base) {
        rc = err_set(err, ERR_CORRUPT,
                     "audit log: no checkpoint where it was cut");
    }
    memcpy(hash, point.hash, AUDIT_HASH);
    return rc;
}

/* @number and @hash go along the rows. */
static int follow(struct meta_db *db, uint64_t *number,
                  uint8_t hash[AUDIT_HASH], struct err *err)
{
    sqlite3_stmt *s = meta_db_stmt(db, STMT_AUDIT_LIST);
    struct audit_entry e;
    int rc = 0;

    bind_u64(s, 1, *number);
    bind_u64(s, 2, INT64_MAX);
    while (meta_read_step(db, s, &rc, err) == 1) {
        const void *p = sqlite3_column_blob(s, 1);
        size_t len = (size_t)sqlite3_column_bytes(s, 1);
        rc = audit_entry_read(p, len, &e, err);
        if (rc != 0) {
            break;
        }
        audit_chain(hash, p, len);
        if (e.number != *number + 1 ||
            sqlite3_column_bytes(s, 0) != AUDIT_HASH ||
            memcmp(sqlite3_column_blob(s, 0), hash, AUDIT_HASH) != 0) {
            rc = err_set(err, ERR_CORRUPT,
                         "audit log: entry %llu does not chain",
                         (unsigned long long)*number + 1);
            break;
        }
        (*number)++;
    }
    meta_db_done(db, STMT_AUDIT_LIST);
    return rc;
}

int meta_audit_check_on(struct meta_db *db, struct err *err)
{
    struct meta_audit_state state = {0};
    uint8_t hash[AUDIT_HASH] = {0};
    uint64_t number;
    int rc = read_state(db, &state, err);

    if (rc == 0) {
        rc = find_base(db, state.base, hash, err);
    }
    number = state.base;
    if (rc == 0) {
        rc = follow(db, &number, hash, err);
    }
    if (rc == 0 &&
        (number != state.number || memcmp(hash, state.hash, AUDIT_HASH) != 0)) {
        rc = err_set(
            err, ERR_CORRUPT, "audit log: it ends at entry %llu, not at %llu",
            (unsigned long long)number, (unsigned long long)state.number);
    }
    return rc;
}
