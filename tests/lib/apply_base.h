/* apply_base.h: a catalogue in memory to which commands are applied, for tests.
 *
 * In a header, because only tests that link meta/ may have it; include it after
 * cmocka.h. base_close verifies that every reference and count holds.
 *
 * Threads: one.
 */
#ifndef GODWIT_TESTS_APPLY_BASE_H
#define GODWIT_TESTS_APPLY_BASE_H

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "meta/command.h"
#include "meta/meta_apply.h"
#include "meta/meta_internal.h"

/* A database and the index of the next entry. */
struct base {
    struct meta_db db;
    struct meta_apply apply;
    uint64_t next;
    struct buf command;
    uint64_t body; /* what the last one gave */
    uint64_t version;
    uint8_t codes[META_DELETE_MAX];
};

static inline void report(void *arg, const char *what)
{
    (void)arg;
    print_error("defect: %s\n", what);
}

static inline void base_init(struct base *b)
{
    memset(b, 0, sizeof *b);
    assert_int_equal(meta_db_open(&b->db, ":memory:", META_DB_WRITER, NULL), 0);
    assert_int_equal(meta_apply_init(&b->apply, &b->db, NULL), 0);
    b->next = 1;
}

static inline void base_close(struct base *b)
{
    assert_int_equal(meta_verify_on(&b->db, report, NULL), 0);
    meta_db_close(&b->db);
    buf_free(&b->command);
}

static inline void dump(struct base *b, struct buf *out)
{
    struct err err = {0};

    buf_clear(out);
    if (meta_dump_on(&b->db, out, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static inline void apply(struct base *b, uint64_t index, const uint8_t *entry,
                         size_t len, struct meta_result *results)
{
    struct err err = {0};

    if (meta_apply_entry(&b->apply, index, entry, len, results, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

/* Apply b->command as an entry and transaction of its own; its status. */
static inline int go(struct base *b)
{
    size_t len = command_batch_size(1, b->command.len);
    uint8_t *p = mem_alloc(len);
    struct meta_result r = {.status = -1, .codes = b->codes};

    command_batch_put(command_batch_head(p, 1), b->command.data,
                      b->command.len);
    assert_int_equal(meta_apply_begin(&b->apply, NULL), 0);
    apply(b, b->next++, p, len, &r);
    assert_int_equal(meta_apply_commit(&b->apply, NULL), 0);
    free(p);
    buf_clear(&b->command);
    b->body = r.body;
    b->version = r.version;
    return r.status;
}

static inline uint64_t number(struct base *b, const char *sql)
{
    sqlite3_stmt *s;
    uint64_t n;

    assert_int_equal(sqlite3_prepare_v2(b->db.sqlite, sql, -1, &s, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    n = column_u64(s, 0);
    sqlite3_finalize(s);
    return n;
}

#endif
