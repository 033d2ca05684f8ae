/* Rows of a statement as an array. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "meta/meta_internal.h"

int meta_read_rows(struct meta_db *db, enum meta_statement name,
                   sqlite3_stmt *s, size_t size,
                   void (*read)(sqlite3_stmt *s, void *row),
                   void (*drop)(void *row), void **out, size_t *count,
                   struct err *err)
{
    uint8_t *rows = NULL;
    size_t n = 0, room = 0;
    int rc = 0;

    while (meta_read_step(db, s, &rc, err) == 1) {
        if (n == room) {
            room = room * 2 + 16;
            rows = mem_realloc(rows, room * size);
        }
        memset(rows + n * size, 0, size);
        read(s, rows + n++ * size);
    }
    meta_db_done(db, name);
    if (rc != 0) {
        while (drop != NULL && n > 0) {
            drop(rows + --n * size);
        }
        free(rows);
        return rc;
    }
    *out = rows;
    *count = n;
    return 0;
}
