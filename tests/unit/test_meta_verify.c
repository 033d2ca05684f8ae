/* test_meta_verify.c: defects of the catalogue are found.
 *
 * Goal: each invariant of docs/DISK.md, "The database", that is broken is
 * reported, with the row; a sound database is not.
 * Method: one sound database with something of everything; each statement below
 * breaks it in one way, and is rolled back.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "meta/meta_apply.h"
#include "meta/meta_internal.h"
#include "tests/lib/random_command.h"
#include "tests/lib/temp_dir.h"

struct said {
    struct buf text;
};

static void say(void *arg, const char *what)
{
    struct said *s = arg;

    buf_str(&s->text, what);
    buf_char(&s->text, '\n');
}

/* A history that leaves a row of every kind. */
static void fill(struct meta_db *db)
{
    struct meta_apply a;
    struct random_command r;

    random_command_init(&r, 8);
    assert_int_equal(meta_apply_init(&a, db, NULL), 0);
    assert_int_equal(meta_apply_begin(&a, NULL), 0);
    for (int i = 0; i < 200; i++) {
        size_t len;
        uint8_t *p = random_entry(&r, 10, &len);
        assert_int_equal(
            meta_apply_entry(&a, (uint64_t)i + 1, p, len, NULL, NULL), 0);
        free(p);
    }
    assert_int_equal(meta_apply_commit(&a, NULL), 0);
}

/* Break @db by @sql; what is said must have @want. */
static void broken(struct meta_db *db, const char *sql, const char *want)
{
    struct said s = {{0}};

    assert_int_equal(meta_db_exec(db, "BEGIN", NULL), 0);
    assert_int_equal(meta_db_exec(db, sql, NULL), 0);
    if (sqlite3_changes(db->sqlite) == 0) {
        fail_msg("%s: no such row", sql);
    }
    assert_true(meta_verify_on(db, say, &s) > 0);
    if (s.text.data == NULL ||
        strstr((const char *)s.text.data, want) == NULL) {
        fail_msg("%s: said %s", sql,
                 s.text.data != NULL ? (const char *)s.text.data : "nothing");
    }
    assert_int_equal(meta_db_exec(db, "ROLLBACK", NULL), 0);
    buf_free(&s.text);
}

static void broken_registry(struct meta_db *db)
{
    broken(db, "DELETE FROM zone WHERE id = (SELECT zone FROM server LIMIT 1)",
           "server without a zone");
    broken(db,
           "DELETE FROM server WHERE id = (SELECT server FROM drive LIMIT 1)",
           "drive without a server");
    broken(db,
           "UPDATE server SET state = 2 WHERE id ="
           " (SELECT server FROM drive WHERE state <> 2 LIMIT 1)",
           "drive of a server that was removed or is no node");
    broken(db,
           "UPDATE server SET roles = 4 WHERE id ="
           " (SELECT server FROM drive WHERE state <> 2 LIMIT 1)",
           "drive of a server that was removed or is no node");
    broken(db, "UPDATE server SET state = 3", "out of its bounds: what=server");
    broken(db, "UPDATE drive SET weight = 0", "out of its bounds: what=drive");
    broken(db, "INSERT INTO zone VALUES (65536, 'y')",
           "out of its bounds: what=zone");
    broken(db, "UPDATE token SET uses = -1", "token out of its bounds");
    broken(db, "UPDATE cluster SET next_server = 1",
           "ids that the counters do not know");
    broken(db, "UPDATE cluster SET next_drive = 0",
           "ids that the counters do not know");
    broken(db, "UPDATE cluster SET next_zone = 1",
           "ids that the counters do not know");
    broken(db, "DELETE FROM cluster", "servers without a cluster");
    broken(db, "UPDATE server SET state = 2", "no server keeps the catalogue");
}

static void broken_versions(struct meta_db *db)
{
    broken(db,
           "DELETE FROM bucket WHERE id = (SELECT bucket FROM history LIMIT 1)",
           "object without a bucket");
    broken(db, "UPDATE bucket SET flags = 0",
           "history in a bucket that never kept versions");
    broken(db, "UPDATE bucket SET flags = 4",
           "bucket with Object Lock that does not keep versions");
    broken(db, "UPDATE version SET flags = flags | 2",
           "current version that is a marker");
    broken(db,
           "UPDATE version SET seq = 0 WHERE (bucket, key) IN"
           " (SELECT bucket, key FROM history)",
           "current version that is a marker, or not the newest");
    broken(db,
           "DELETE FROM version WHERE (bucket, key) IN"
           " (SELECT bucket, key FROM history WHERE flags <> 2)",
           "hidden key without a marker");
    broken(db,
           "UPDATE version SET flags = 1 WHERE (bucket, key) IN"
           " (SELECT bucket, key FROM history WHERE (flags & 1) <> 0)",
           "two null versions of a key");
    broken(db,
           "DELETE FROM body WHERE id = (SELECT body FROM history"
           " WHERE (flags & 2) = 0 LIMIT 1)",
           "object without a body");
    broken(db, "DELETE FROM history WHERE (flags & 2) = 0",
           "body counted wrong");
}

static void every_broken_reference_is_reported(void **state)
{
    struct meta_db db;
    struct said s = {{0}};

    (void)state;
    assert_int_equal(meta_db_open(&db, ":memory:", META_DB_WRITER, NULL), 0);
    fill(&db);
    assert_int_equal(meta_verify_on(&db, say, &s), 0);
    assert_null(s.text.data);
    broken(&db,
           "DELETE FROM bucket WHERE id = (SELECT bucket FROM version LIMIT 1)",
           "object without a bucket");
    broken(&db,
           "DELETE FROM bucket WHERE id = (SELECT bucket FROM upload LIMIT 1)",
           "upload without a bucket");
    broken(&db,
           "DELETE FROM body WHERE id = (SELECT body FROM version LIMIT 1)",
           "object without a body");
    broken(&db, "UPDATE body SET refs = refs + 1", "body counted wrong");
    broken(&db, "DELETE FROM version", "body counted wrong");
    broken(&db,
           "UPDATE part SET body = 1 WHERE body ="
           " (SELECT body FROM part LIMIT 1)",
           "part without an object or upload");
    broken(&db, "UPDATE body SET parts = parts + 1 WHERE kind = 3",
           "parts of a body do not add up");
    broken(&db,
           "UPDATE version SET size = size + 1 WHERE body IN"
           " (SELECT id FROM body WHERE kind = 3)",
           "another size than its parts");
    broken(&db,
           "UPDATE part SET offset = offset + 1 WHERE body IN"
           " (SELECT id FROM body WHERE kind = 3)",
           "part at a wrong offset");
    broken(&db, "UPDATE run SET refs = refs + 1 WHERE refs > 0",
           "run named but not counted so");
    broken(&db, "DELETE FROM run WHERE refs > 0",
           "run named but not counted so");
    broken(&db, "INSERT INTO run VALUES (1, 2, 3, 0)",
           "run counted but not named");
    broken(&db, "DELETE FROM run WHERE refs = 0", "garbage without a run");
    broken(&db, "DELETE FROM garbage", "not garbage");
    broken(&db, "UPDATE state SET objects = objects + 1", "rows counted wrong");
    broken_versions(&db);
    broken_registry(&db);
    meta_db_close(&db);
}

static void a_damaged_page_is_reported(void **state)
{
    char *dir = temp_dir_new();
    char *path = mem_printf("%s/db", dir);
    struct meta_db db;
    struct said s = {{0}};
    uint8_t junk[64];
    int fd;

    (void)state;
    memset(junk, 0x5a, sizeof junk);
    assert_int_equal(meta_db_open(&db, path, META_DB_WRITER, NULL), 0);
    fill(&db);
    meta_db_close(&db);
    fd = open(path, O_RDWR);
    for (int page = 2; page < 10; page++) {
        assert_int_equal(pwrite(fd, junk, sizeof junk, page * 8192),
                         sizeof junk);
    }
    close(fd);
    assert_int_equal(meta_db_open(&db, path, META_DB_READER, NULL), 0);
    assert_true(meta_verify_on(&db, say, &s) > 0);
    meta_db_close(&db);
    buf_free(&s.text);
    free(path);
    temp_dir_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_broken_reference_is_reported),
        cmocka_unit_test(a_damaged_page_is_reported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
