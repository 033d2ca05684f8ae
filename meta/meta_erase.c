#include "meta/meta_erase.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "meta/meta_core.h"
#include "meta/meta_internal.h"

/* ---- requests ---- */

/* Columns as ERASURE_SELECT has them. */
static void erase_row(sqlite3_stmt *s, void *row)
{
    struct meta_erase *e = row;

    *e = (struct meta_erase){
        .id = column_u64(s, 0),
        .bucket = meta_column_text(s, 1),
        .selector = (enum meta_erase_selector)column_u64(s, 2),
        .key = meta_column_text(s, 3),
        .version = column_u64(s, 4),
        .field = meta_column_text(s, 5),
        .value = meta_column_text(s, 6),
        .reason = meta_column_text(s, 7),
        .by = meta_column_text(s, 8),
        .created_ms = column_u64(s, 9),
        .state = (enum meta_erase_state)column_u64(s, 10),
        .versions = column_u64(s, 11),
        .keys = column_u64(s, 12),
        .bytes = column_u64(s, 13),
        .held = column_u64(s, 14),
        .retained = column_u64(s, 15),
        .until_ms = column_u64(s, 16),
        .done_ms = column_u64(s, 18),
        .entry = column_u64(s, 19),
    };
    if (sqlite3_column_bytes(s, 17) == META_ERASE_DIGEST) {
        memcpy(e->digest, sqlite3_column_blob(s, 17), META_ERASE_DIGEST);
    }
}

void meta_erase_free(struct meta_erase *e)
{
    free(e->bucket);
    free(e->key);
    free(e->field);
    free(e->value);
    free(e->reason);
    free(e->by);
    *e = (struct meta_erase){.id = 0};
}

static void drop_erase(void *row)
{
    meta_erase_free(row);
}

int meta_erase_get(struct meta *m, uint64_t id, struct meta_erase *out,
                   struct err *err)
{
    struct meta_erase *list = NULL;
    size_t count = 0;
    int rc = id == 0 ? 0 : meta_erase_list(m, id - 1, 1, &list, &count, err);

    if (rc == 0 && (count == 0 || list[0].id != id)) {
        rc = err_set(err, ERR_NOT_FOUND, "there is no erasure %llu",
                     (unsigned long long)id);
    }
    if (rc == 0) {
        *out = list[0];
        count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        meta_erase_free(&list[i]);
    }
    free(list);
    return rc;
}

/* Read the rows of a bound statement, and give the connection back. */
static int rows_of(struct meta *m, struct meta_db *db, enum meta_statement name,
                   sqlite3_stmt *s, size_t size,
                   void (*read)(sqlite3_stmt *s, void *row),
                   void (*drop)(void *row), void **out, size_t *count,
                   struct err *err)
{
    int rc = meta_read_rows(db, name, s, size, read, drop, out, count, err);

    meta_read_end(m, db);
    return rc;
}

static int list_of(struct meta *m, enum meta_statement name, uint64_t after,
                   size_t max, struct meta_erase **out, size_t *count,
                   struct err *err)
{
    struct meta_db *db;
    sqlite3_stmt *s;
    void *rows = NULL;
    int rc = meta_read_begin(m, &db, err);

    if (rc != 0) {
        return rc;
    }
    s = meta_db_stmt(db, name);
    if (name == STMT_ERASURE_LIST) {
        bind_u64(s, 1, after);
    }
    bind_u64(s, 2, max);
    rc = rows_of(m, db, name, s, sizeof **out, erase_row, drop_erase, &rows,
                 count, err);
    *out = rows;
    return rc;
}

int meta_erase_list(struct meta *m, uint64_t after, size_t max,
                    struct meta_erase **out, size_t *count, struct err *err)
{
    return list_of(m, STMT_ERASURE_LIST, after, max, out, count, err);
}

int meta_erase_pending(struct meta *m, size_t max, struct meta_erase **out,
                       size_t *count, struct err *err)
{
    return list_of(m, STMT_ERASURE_PENDING, 0, max, out, count, err);
}

/* ---- what was erased ---- */

static void erased_row(sqlite3_stmt *s, void *row)
{
    struct meta_erased *e = row;

    *e = (struct meta_erased){
        .key = meta_column_text(s, 0),
        .version = column_u64(s, 1),
        .size_bytes = column_u64(s, 2),
        .how = (enum meta_erased_how)column_u64(s, 4),
    };
    meta_column_etag(s, 3, e->etag);
}

static void drop_erased(void *row)
{
    free(((struct meta_erased *)row)->key);
}

void meta_erased_free(struct meta_erased *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(list[i].key);
    }
    free(list);
}

int meta_erased_list(struct meta *m, uint64_t id, struct meta_erased **out,
                     size_t *count, struct err *err)
{
    struct meta_db *db;
    sqlite3_stmt *s;
    void *rows = NULL;
    int rc = meta_read_begin(m, &db, err);

    if (rc != 0) {
        return rc;
    }
    s = meta_db_stmt(db, STMT_ERASED_LIST);
    bind_u64(s, 1, id);
    rc = rows_of(m, db, STMT_ERASED_LIST, s, sizeof **out, erased_row,
                 drop_erased, &rows, count, err);
    *out = rows;
    return rc;
}

/* ---- who is clean ---- */

static void clean_row(sqlite3_stmt *s, void *row)
{
    *(struct meta_erase_clean *)row = (struct meta_erase_clean){
        .server = (uint32_t)column_u64(s, 0), .upto = column_u64(s, 1)};
}

int meta_erase_cleaned(struct meta *m, struct meta_erase_clean **out,
                       size_t *count, struct err *err)
{
    struct meta_db *db;
    void *rows = NULL;
    int rc = meta_read_begin(m, &db, err);

    if (rc != 0) {
        return rc;
    }
    rc = rows_of(m, db, STMT_ERASE_CLEAN_LIST,
                 meta_db_stmt(db, STMT_ERASE_CLEAN_LIST), sizeof **out,
                 clean_row, NULL, &rows, count, err);
    *out = rows;
    return rc;
}
