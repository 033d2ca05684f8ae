/* test_meta_rebuild.c: a catalogue made anew from a backup or from what is
 * left.
 *
 * Goal: a restored catalogue holds what the backup held and goes on from there;
 * a recovered one holds all that database and log held; what stood there before
 * is set aside and not lost; a folder or file that does not fit is refused and
 * nothing has changed.
 * Method: stores of one voter, also with a database that is older than the log
 * says, as after a power cut. tests/cluster/test_05_recovery.py has members.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "meta/meta_backup.h"
#include "meta/meta_db.h"
#include "meta/meta_era.h"
#include "meta/meta_rebuild.h"
#include "tests/lib/meta_store.h"
#include "tests/lib/temp_dir.h"

static const struct meta_backup_info who = {.cluster = "0123456789abcde",
                                            .server = 1};

struct world {
    char *top, *dir, *file;
};

static int set_up(void **state)
{
    struct world *w = mem_alloc(sizeof *w);

    w->top = temp_dir_new();
    w->dir = mem_printf("%s/meta", w->top);
    w->file = mem_printf("%s/kept", w->top);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    temp_dir_free(w->top);
    free(w->dir);
    free(w->file);
    free(w);
    return 0;
}

static void fill(struct world *w)
{
    struct meta *m = must_open(w->dir);

    bucket_create(m, "b");
    put(m, "old", "1");
    meta_close(m);
}

static void save(struct world *w, bool log)
{
    struct meta_backup *b = NULL;
    struct err err = {0};

    if (meta_rebuild_backup(w->dir, &who, log, &b, &err) != 0) {
        fail_msg("backup: %s", err.text);
    }
    assert_int_equal(meta_backup_save(b, w->file, &err), 0);
    meta_backup_free(b);
}

static struct meta_rebuild order(struct world *w, const char *from,
                                 bool replace)
{
    struct meta_rebuild r = {
        .dir = w->dir, .server = 1, .from = from, .replace = replace};

    memcpy(r.cluster, who.cluster, sizeof r.cluster);
    return r;
}

static void must_rebuild(struct meta_rebuild *r)
{
    struct err err = {0};

    if (meta_rebuild(r, &err) != 0) {
        fail_msg("rebuild: %s", err.text);
    }
}

static uint64_t era_of(const char *dir)
{
    char *path = mem_printf("%s/catalogue.db", dir);
    struct meta_db db;
    uint64_t era = 0;

    assert_int_equal(meta_db_open(&db, path, META_DB_READER, NULL), 0);
    assert_int_equal(meta_era_get(db.sqlite, &era, NULL), 0);
    meta_db_close(&db);
    free(path);
    return era;
}

static bool has(struct meta *m, const char *key)
{
    struct meta_object o;
    int rc = meta_object_get(m, "b", key, false, &o, NULL);

    if (rc == 0) {
        meta_object_free(&o);
    }
    return rc == 0;
}

static void a_restored_catalogue_is_as_the_backup_and_goes_on(void **state)
{
    struct world *w = *state;
    struct meta_rebuild r = order(w, w->file, true);
    struct meta *m;
    uint64_t era;

    fill(w);
    save(w, true);
    m = must_open(w->dir);
    put(m, "late", "2");
    meta_close(m);
    must_rebuild(&r);
    assert_non_null(r.aside);
    assert_true(r.made_ms > 0);
    era = era_of(w->dir);
    assert_true(era > 0);
    for (int i = 0; i < 3; i++) { /* each start reads it again */
        m = must_open(w->dir);
        assert_true(has(m, "old"));
        assert_false(has(m, "late"));
        assert_int_equal(put(m, i == 0 ? "a" : "b", "3"), 0);
        assert_true(has(m, "a"));
        verify(m);
        meta_close(m);
    }
    assert_int_equal(era_of(w->dir), era);
    m = must_open(r.aside); /* nothing was lost */
    assert_true(has(m, "late"));
    meta_close(m);
    free(r.aside);
    r = order(w, w->file, true);
    must_rebuild(&r);
    assert_true(era_of(w->dir) > era);
    free(r.aside);
}

static void a_backup_is_restored_to_an_empty_folder(void **state)
{
    struct world *w = *state;
    struct meta_rebuild r = order(w, w->file, false);
    struct meta *m;

    fill(w);
    save(w, true);
    temp_dir_remove(w->dir);
    must_rebuild(&r);
    assert_null(r.aside);
    m = must_open(w->dir);
    assert_true(has(m, "old"));
    meta_close(m);
}

static void the_log_on_top_of_the_database_is_not_lost(void **state)
{
    struct world *w = *state;
    struct meta_rebuild r = order(w, NULL, true);
    char *db = mem_printf("%s/catalogue.db", w->dir);
    struct meta_backup_info info;
    struct buf older = {0};
    struct meta *m;

    fill(w);
    assert_int_equal(fs_read(db, 1 << 24, &older, NULL), 0);
    m = must_open(w->dir);
    put(m, "late", "2");
    meta_close(m);
    assert_int_equal(fs_write(db, older.data, older.len, 0600, NULL), 0);
    save(w, true);
    assert_int_equal(meta_backup_check(w->file, &info, NULL), 0);
    must_rebuild(&r);
    assert_int_equal(r.log_unread, 1);
    assert_int_equal(r.applied, info.applied + 1);
    m = must_open(w->dir);
    assert_true(has(m, "old"));
    assert_true(has(m, "late"));
    assert_int_equal(put(m, "on", "3"), 0);
    verify(m);
    meta_close(m);
    free(r.aside);
    buf_free(&older);
    free(db);
}

static void a_catalogue_is_not_replaced_unless_that_is_asked(void **state)
{
    struct world *w = *state;
    struct meta_rebuild r = order(w, w->file, false);
    struct err err = {0};
    struct meta *m;

    fill(w);
    save(w, true);
    assert_int_equal(meta_rebuild(&r, &err), ERR_EXISTS);
    assert_null(r.aside);
    m = must_open(w->dir);
    assert_true(has(m, "old"));
    meta_close(m);
}

static void what_does_not_fit_is_refused_and_changes_nothing(void **state)
{
    struct world *w = *state;
    struct meta_rebuild r = order(w, w->file, true);
    struct buf all = {0};
    struct err err = {0};
    struct meta *m;

    fill(w);
    save(w, true);
    r.cluster[0] ^= 1;
    assert_int_equal(meta_rebuild(&r, &err), ERR_MISMATCH);
    assert_non_null(strstr(err.text, "another cluster"));
    r = order(w, w->file, true);
    r.member = true; /* it has no registry, so not this server either */
    assert_int_equal(meta_rebuild(&r, &err), ERR_PRECONDITION);
    assert_int_equal(fs_read(w->file, 1 << 24, &all, NULL), 0);
    fs_write(w->file, all.data, all.len - 1, 0600, NULL);
    r = order(w, w->file, true);
    assert_int_equal(meta_rebuild(&r, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "torn"));
    assert_int_equal(era_of(w->dir), 0);
    m = must_open(w->dir);
    assert_true(has(m, "old"));
    meta_close(m);
    buf_free(&all);
}

static void without_a_catalogue_there_is_nothing_to_recover(void **state)
{
    struct world *w = *state;
    struct meta_rebuild r = order(w, NULL, true);
    struct meta_backup *b = NULL;
    struct err err = {0};

    assert_int_equal(meta_rebuild(&r, &err), ERR_NOT_FOUND);
    assert_int_equal(meta_rebuild_backup(w->dir, &who, false, &b, &err),
                     ERR_NOT_FOUND);
}

static void a_folder_is_set_aside_under_a_name_of_its_own(void **state)
{
    struct world *w = *state;
    char *first = NULL, *second = NULL;
    struct err err = {0};
    struct meta *m;

    assert_int_equal(meta_set_aside(w->dir, &first, &err), ERR_NOT_FOUND);
    fill(w);
    assert_int_equal(meta_set_aside(w->dir, &first, &err), 0);
    fill(w);
    assert_int_equal(meta_set_aside(w->dir, &second, &err), 0);
    assert_string_not_equal(first, second);
    assert_int_equal(access(w->dir, F_OK), -1);
    m = must_open(first);
    assert_true(has(m, "old"));
    meta_close(m);
    free(first);
    free(second);
}

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_restored_catalogue_is_as_the_backup_and_goes_on),
        WORLD_TEST(a_backup_is_restored_to_an_empty_folder),
        WORLD_TEST(the_log_on_top_of_the_database_is_not_lost),
        WORLD_TEST(a_catalogue_is_not_replaced_unless_that_is_asked),
        WORLD_TEST(what_does_not_fit_is_refused_and_changes_nothing),
        WORLD_TEST(without_a_catalogue_there_is_nothing_to_recover),
        WORLD_TEST(a_folder_is_set_aside_under_a_name_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
