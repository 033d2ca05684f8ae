#include "meta/meta_era.h"

#include <sqlite3.h>
#include <stdio.h>

#include "base/err.h"

int meta_era_get(sqlite3 *db, uint64_t *out, struct err *err)
{
    sqlite3_stmt *s = NULL;
    int rc = 0;
    int step;

    if (sqlite3_table_column_metadata(db, NULL, "era", NULL, NULL, NULL, NULL,
                                      NULL, NULL) != SQLITE_OK) {
        *out = 0;
        return 0;
    }
    step = sqlite3_prepare_v2(db, "SELECT id FROM era", -1, &s, NULL);
    if (step == SQLITE_OK) {
        step = sqlite3_step(s);
    }
    if (step == SQLITE_ROW) {
        *out = (uint64_t)sqlite3_column_int64(s, 0);
    } else if (step == SQLITE_DONE) {
        *out = 0;
    } else {
        rc = err_set(err, ERR_CORRUPT, "era: sqlite: %s", sqlite3_errmsg(db));
    }
    sqlite3_finalize(s);
    return rc;
}

int meta_era_set(sqlite3 *db, uint64_t era, struct err *err)
{
    char text[256];

    snprintf(text, sizeof text,
             "CREATE TABLE IF NOT EXISTS era ("
             " one INTEGER PRIMARY KEY CHECK (one = 1),"
             " id INTEGER NOT NULL) STRICT;"
             "INSERT OR REPLACE INTO era VALUES (1, %lld);",
             (long long)era);
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK) {
        return err_set(err, ERR_IO, "era: sqlite: %s", sqlite3_errmsg(db));
    }
    return 0;
}
