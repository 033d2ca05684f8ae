/* test_meta_db.c: the database file and its format.
 *
 * Goal: a database of an older format is opened with all its rows and takes
 * what is new, whole or not at all; one of a format that is not known is left
 * alone.
 * Method: tests/golden/catalogue-v1.db, which a program of format 1 wrote (a
 * history of tests/lib/random_command.h, packed to pages of 1024 bytes), with
 * its dump beside it; a copy for each test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "meta/command.h"
#include "meta/meta_apply.h"
#include "meta/meta_internal.h"
#include "tests/lib/temp_dir.h"

#define OLD "tests/golden/catalogue-v1.db"
#define OLD_DUMP "tests/golden/catalogue-v1.txt"

struct copy {
    char *dir;
    char *path;
    struct meta_db db;
};

static void copy_init(struct copy *c)
{
    struct buf b = {0};

    memset(c, 0, sizeof *c);
    c->dir = temp_dir_new();
    c->path = mem_printf("%s/catalogue.db", c->dir);
    assert_int_equal(fs_read(OLD, 1 << 20, &b, NULL), 0);
    assert_int_equal(fs_write(c->path, b.data, b.len, 0600, NULL), 0);
    buf_free(&b);
}

static void copy_close(struct copy *c)
{
    meta_db_close(&c->db);
    free(c->path);
    temp_dir_free(c->dir);
}

/* Run @sql on the file, past meta_db. */
static void raw(struct copy *c, const char *sql)
{
    sqlite3 *db;

    assert_int_equal(sqlite3_open(c->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static int64_t raw_number(struct copy *c, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    int64_t n;

    assert_int_equal(sqlite3_open(c->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    n = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return n;
}

static void must_open(struct copy *c)
{
    struct err err = {0};

    if (meta_db_open(&c->db, c->path, META_DB_WRITER, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static void report(void *arg, const char *what)
{
    (void)arg;
    print_error("defect: %s\n", what);
}

/* Rows are as they were; columns that came since stand behind. */
static void assert_old_rows(struct meta_db *db)
{
    struct buf want = {0}, have = {0};
    const char *w, *h;

    assert_int_equal(fs_read(OLD_DUMP, 1 << 20, &want, NULL), 0);
    assert_int_equal(meta_dump_on(db, &have, NULL), 0);
    assert_true(want.len > 1000);
    buf_char(&want, '\0');
    buf_char(&have, '\0');
    w = (const char *)want.data;
    h = (const char *)have.data;
    while (*w != '\0') {
        size_t len = strcspn(w, "\n");
        assert_memory_equal(h, w, len);
        assert_true(h[len] == '\n' || h[len] == '|');
        w += len + 1;
        h += strcspn(h, "\n") + 1;
    }
    assert_memory_equal(h, "audit_state|", 12); /* made with its table */
    h += strcspn(h, "\n") + 1;
    assert_int_equal(*h, '\0');
    buf_free(&want);
    buf_free(&have);
}

/* Apply @command as entry @index; its status. */
static int apply(struct meta_apply *a, uint64_t index,
                 const struct buf *command)
{
    size_t len = command_batch_size(1, command->len);
    uint8_t *p = mem_alloc(len);
    struct meta_result r = {.status = -1};

    command_batch_put(command_batch_head(p, 1), command->data, command->len);
    assert_int_equal(meta_apply_begin(a, NULL), 0);
    assert_int_equal(meta_apply_entry(a, index, p, len, &r, NULL), 0);
    assert_int_equal(meta_apply_commit(a, NULL), 0);
    free(p);
    return r.status;
}

static void an_old_database_keeps_its_rows_and_gets_the_new_tables(void **state)
{
    struct copy c;

    (void)state;
    copy_init(&c);
    assert_int_equal(raw_number(&c, "PRAGMA user_version"), 1);
    must_open(&c);
    assert_old_rows(&c.db);
    assert_int_equal(meta_verify_on(&c.db, report, NULL), 0);
    meta_db_close(&c.db);
    assert_int_equal(raw_number(&c, "PRAGMA user_version"), META_FORMAT);
    assert_int_equal(raw_number(&c, "SELECT count(*) FROM server"), 0);
    must_open(&c); /* and again */
    assert_old_rows(&c.db);
    copy_close(&c);
}

static void an_old_database_goes_on_with_old_and_new_commands(void **state)
{
    static const uint8_t id[META_FINGERPRINT] = "id";
    struct command_server server = {.name = "a",
                                    .address = "127.0.0.1:1",
                                    .endpoint = "",
                                    .zone = "z",
                                    .roles = META_SERVER_ROLES,
                                    .fingerprint = id,
                                    .format = 1};
    struct copy c;
    struct meta_apply a;
    struct buf b = {0};

    (void)state;
    copy_init(&c);
    must_open(&c);
    assert_int_equal(meta_apply_init(&a, &c.db, NULL), 0);
    assert_int_equal(a.state.applied, 60);
    command_bucket_create(&b, "four", "me", 1);
    assert_int_equal(apply(&a, 61, &b), 0);
    buf_clear(&b);
    command_object_delete(&b, "three", "a/b/0", NULL, 1);
    assert_int_equal(apply(&a, 62, &b), 0);
    buf_clear(&b);
    command_cluster_init(&b, id, &server, 5);
    assert_int_equal(apply(&a, 63, &b), 0);
    assert_int_equal(meta_verify_on(&c.db, report, NULL), 0);
    meta_db_close(&c.db);
    assert_int_equal(raw_number(&c, "SELECT count(*) FROM server"), 1);
    assert_int_equal(raw_number(&c, "SELECT count(*) FROM bucket"), 4);
    buf_free(&b);
    copy_close(&c);
}

static void an_old_and_a_new_database_have_the_same_tables(void **state)
{
    static const char *const names =
        "SELECT name, sql FROM sqlite_schema ORDER BY name";
    struct copy c;
    struct meta_db fresh;
    sqlite3_stmt *old_rows, *new_rows;

    (void)state;
    copy_init(&c);
    must_open(&c);
    assert_int_equal(meta_db_open(&fresh, ":memory:", META_DB_WRITER, NULL), 0);
    assert_int_equal(
        sqlite3_prepare_v2(c.db.sqlite, names, -1, &old_rows, NULL), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(fresh.sqlite, names, -1, &new_rows, NULL),
        SQLITE_OK);
    while (sqlite3_step(new_rows) == SQLITE_ROW) {
        const char *want = (const char *)sqlite3_column_text(new_rows, 1);
        const char *have;
        assert_int_equal(sqlite3_step(old_rows), SQLITE_ROW);
        assert_string_equal(sqlite3_column_text(old_rows, 0),
                            sqlite3_column_text(new_rows, 0));
        have = (const char *)sqlite3_column_text(old_rows, 1);
        assert_string_equal(have != NULL ? have : "", want != NULL ? want : "");
    }
    assert_int_equal(sqlite3_step(old_rows), SQLITE_DONE);
    sqlite3_finalize(old_rows);
    sqlite3_finalize(new_rows);
    meta_db_close(&fresh);
    copy_close(&c);
}

static void a_step_that_fails_leaves_the_database_as_it_was(void **state)
{
    struct copy c;
    struct err err = {0};

    (void)state;
    copy_init(&c);
    /* In the way of the last table of the step: those before it are made. */
    raw(&c, "CREATE TABLE token (x)");
    assert_int_not_equal(meta_db_open(&c.db, c.path, META_DB_WRITER, &err), 0);
    assert_non_null(strstr(err.text, "from format 1 to 3"));
    assert_non_null(strstr(err.text, "token"));
    assert_int_equal(raw_number(&c, "PRAGMA user_version"), 1);
    assert_int_equal(
        raw_number(&c,
                   "SELECT count(*) FROM sqlite_schema"
                   " WHERE name IN ('cluster', 'server', 'drive')"),
        0);
    raw(&c, "DROP TABLE token");
    must_open(&c);
    assert_old_rows(&c.db);
    copy_close(&c);
}

static void formats_that_are_not_known_are_refused(void **state)
{
    static const char *const foreign[] = {
        "PRAGMA user_version = 99", "PRAGMA user_version = -1",
        "PRAGMA application_id = 7",
        "PRAGMA user_version = 0", /* of ours, but of no format */
    };

    (void)state;
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        struct copy c;
        copy_init(&c);
        raw(&c, foreign[i]);
        assert_int_equal(meta_db_open(&c.db, c.path, META_DB_WRITER, NULL),
                         ERR_VERSION);
        assert_int_equal(
            raw_number(&c,
                       "SELECT count(*) FROM sqlite_schema"
                       " WHERE name IN ('cluster', 'server', 'drive')"),
            0);
        copy_close(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            an_old_database_keeps_its_rows_and_gets_the_new_tables),
        cmocka_unit_test(an_old_database_goes_on_with_old_and_new_commands),
        cmocka_unit_test(an_old_and_a_new_database_have_the_same_tables),
        cmocka_unit_test(a_step_that_fails_leaves_the_database_as_it_was),
        cmocka_unit_test(formats_that_are_not_known_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
