/* test_meta_backup.c: the catalogue as one file.
 *
 * Goal: a backup holds every row of the moment at which it was made, and a file
 * that is torn, damaged, longer, of another kind or of a newer Godwit is
 * refused by name, with what is wrong.
 * Method: backups of a store that is open, read in pieces of odd sizes; then
 * each way to harm the file.
 */
#include <fcntl.h>
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
#include "base/wire.h"
#include "crypto/digest.h"
#include "meta/meta_backup.h"
#include "meta/meta_core.h"
#include "meta/meta_era.h"
#include "meta/meta_internal.h"
#include "tests/lib/meta_store.h"
#include "tests/lib/temp_dir.h"

static const struct meta_backup_info who = {
    .cluster = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
    .server = 7};

struct world {
    char *dir, *db, *temp, *file, *out;
    struct meta *m;
};

static int set_up(void **state)
{
    struct world *w = mem_alloc(sizeof *w);

    w->dir = temp_dir_new();
    w->db = mem_printf("%s/catalogue.db", w->dir);
    w->temp = mem_printf("%s/backup.out", w->dir);
    w->file = mem_printf("%s/kept.backup", w->dir);
    w->out = mem_printf("%s/again.db", w->dir);
    w->m = must_open(w->dir);
    bucket_create(w->m, "b");
    put(w->m, "k", "hello");
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    meta_close(w->m);
    temp_dir_free(w->dir);
    free(w->db);
    free(w->temp);
    free(w->file);
    free(w->out);
    free(w);
    return 0;
}

static int begin(struct world *w, struct meta_backup **b, struct err *err)
{
    struct meta_db db;
    int rc;

    assert_int_equal(meta_db_open(&db, w->db, META_DB_READER, err), 0);
    rc = meta_backup_open(&db, w->temp, &who, b, err);
    meta_db_close(&db);
    return rc;
}

static void must_save(struct world *w)
{
    struct meta_backup *b = NULL;
    struct err err = {0};

    assert_int_equal(begin(w, &b, &err), 0);
    assert_int_equal(meta_backup_save(b, w->file, &err), 0);
    meta_backup_free(b);
}

static void dump(const char *path, struct buf *out)
{
    struct meta_db db;

    assert_int_equal(meta_db_open(&db, path, META_DB_READER, NULL), 0);
    assert_int_equal(meta_dump_on(&db, out, NULL), 0);
    meta_db_close(&db);
}

static void refused(struct world *w, int rc, const char *why)
{
    struct meta_backup_info info;
    struct err err = {0};

    assert_int_equal(meta_backup_check(w->file, NULL, &err), rc);
    assert_non_null(strstr(err.text, why));
    assert_non_null(strstr(err.text, w->file));
    assert_int_equal(meta_backup_extract(w->file, w->out, &info, &err), rc);
    assert_int_equal(access(w->out, F_OK), -1);
}

static void a_backup_holds_every_row_of_its_moment(void **state)
{
    struct world *w = *state;
    struct meta_backup *b = NULL;
    struct meta_backup_info info;
    struct buf before = {0}, after = {0};
    struct err err = {0};

    dump(w->db, &before);
    assert_int_equal(begin(w, &b, &err), 0);
    put(w->m, "later", "not in it");
    assert_int_equal(meta_backup_save(b, w->file, &err), 0);
    assert_int_equal(access(w->temp, F_OK), -1);
    assert_int_equal(meta_backup_check(w->file, &info, &err), 0);
    assert_memory_equal(info.cluster, who.cluster, 16);
    assert_int_equal(info.server, 7);
    assert_int_equal(info.format, META_FORMAT);
    assert_int_equal(info.era, 0);
    assert_true(info.made_ms > 0);
    assert_int_equal(info.size_bytes, meta_backup_info(b)->size_bytes);
    assert_int_equal(info.applied, meta_backup_info(b)->applied);
    assert_int_equal(meta_backup_extract(w->file, w->out, &info, &err), 0);
    dump(w->out, &after);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, before.len);
    meta_backup_free(b);
    meta_backup_free(NULL);
    buf_free(&before);
    buf_free(&after);
}

static void an_open_catalogue_gives_all_that_was_acknowledged(void **state)
{
    struct world *w = *state;
    struct meta_backup *b = NULL;
    struct meta_backup_info info;
    struct meta_stats stats;
    struct err err = {0};

    put(w->m, "more", "1");
    meta_stats(w->m, &stats);
    assert_int_equal(meta_backup_now(w->m, who.cluster, &b, &err), 0);
    assert_int_equal(meta_backup_save(b, w->file, &err), 0);
    assert_int_equal(meta_backup_check(w->file, &info, &err), 0);
    assert_int_equal(info.applied, stats.applied_index);
    assert_int_equal(info.server, 1);
    assert_memory_equal(info.cluster, who.cluster, 16);
    meta_backup_free(b);
}

static void pieces_of_any_size_make_the_same_file(void **state)
{
    struct world *w = *state;
    struct meta_backup *b = NULL;
    struct err err = {0};
    struct buf all = {0};
    uint8_t piece[4099];
    size_t size = 1, n = 1;

    assert_int_equal(begin(w, &b, &err), 0);
    while (n > 0) {
        assert_int_equal(meta_backup_read(b, piece, size, &n, &err), 0);
        buf_append(&all, piece, n);
        size = size * 3 % 4099 + 1;
    }
    assert_int_equal(all.len, meta_backup_bytes(b));
    assert_int_equal(fs_write(w->file, all.data, all.len, 0600, &err), 0);
    assert_int_equal(meta_backup_check(w->file, NULL, &err), 0);
    meta_backup_free(b);
    buf_free(&all);
}

static void a_file_that_is_there_is_not_written_over(void **state)
{
    struct world *w = *state;
    struct meta_backup *b = NULL;
    struct err err = {0};

    must_save(w);
    assert_int_equal(begin(w, &b, &err), 0);
    assert_int_equal(meta_backup_save(b, w->file, &err), ERR_EXISTS);
    assert_int_equal(meta_backup_check(w->file, NULL, &err), 0);
    meta_backup_free(b);
}

static void a_torn_file_is_refused_wherever_it_ends(void **state)
{
    struct world *w = *state;
    struct buf all = {0};
    const size_t ends[] = {0, 1, 127, 128, 5000};

    must_save(w);
    assert_int_equal(fs_read(w->file, 1 << 24, &all, NULL), 0);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        fs_write(w->file, all.data, ends[i], 0600, NULL);
        refused(w, ERR_CORRUPT, "is torn");
    }
    for (size_t cut = 1; cut <= META_BACKUP_TAIL + 1; cut++) {
        fs_write(w->file, all.data, all.len - cut, 0600, NULL);
        refused(w, ERR_CORRUPT, "is torn");
    }
    buf_append(&all, "x", 1);
    fs_write(w->file, all.data, all.len, 0600, NULL);
    refused(w, ERR_CORRUPT, "is torn");
    buf_free(&all);
}

static void one_wrong_byte_is_refused_wherever_it_is(void **state)
{
    struct world *w = *state;
    struct buf all = {0};

    must_save(w);
    assert_int_equal(fs_read(w->file, 1 << 24, &all, NULL), 0);
    for (size_t i = 0; i < all.len; i += i < 128 ? 1 : all.len / 40) {
        all.data[i] ^= 0x10;
        fs_write(w->file, all.data, all.len, 0600, NULL);
        refused(w, ERR_CORRUPT,
                i < 8     ? "is no backup"
                : i < 128 ? "header is damaged"
                          : "SHA-256 does not match");
        all.data[i] ^= 0x10;
    }
    all.data[all.len - 20] ^= 1;
    fs_write(w->file, all.data, all.len, 0600, NULL);
    refused(w, ERR_CORRUPT, "SHA-256 does not match");
    buf_free(&all);
}

static void a_newer_version_or_format_is_refused(void **state)
{
    struct world *w = *state;
    struct buf all = {0};
    const size_t fields[] = {8, 12};

    must_save(w);
    assert_int_equal(fs_read(w->file, 1 << 24, &all, NULL), 0);
    for (int i = 0; i < 2; i++) {
        uint8_t *p = all.data;
        uint32_t was = load_u32(p + fields[i]);
        store_u32(p + fields[i], META_FORMAT + 1);
        store_u32(p + 124, crc32c(0, p, 124));
        fs_write(w->file, p, all.len, 0600, NULL);
        refused(w, ERR_VERSION, "newer Godwit");
        store_u32(p + fields[i], was);
    }
    buf_free(&all);
}

static void what_cannot_be_opened_says_so(void **state)
{
    struct world *w = *state;
    struct meta_backup *b = NULL;
    struct err err = {0};

    assert_int_equal(meta_backup_check(w->file, NULL, &err), ERR_NOT_FOUND);
    free(w->temp);
    w->temp = mem_printf("%s/none/backup.out", w->dir);
    assert_int_equal(begin(w, &b, &err), ERR_IO);
    assert_null(b);
}

static void an_era_is_kept_in_the_database_and_its_copies(void **state)
{
    struct world *w = *state;
    struct meta_backup_info info;
    struct meta_db db;
    uint64_t era = 1;

    assert_int_equal(meta_db_open(&db, w->db, META_DB_WRITER, NULL), 0);
    assert_int_equal(meta_era_get(db.sqlite, &era, NULL), 0);
    assert_int_equal(era, 0);
    assert_int_equal(meta_era_set(db.sqlite, 41, NULL), 0);
    assert_int_equal(meta_era_set(db.sqlite, 42, NULL), 0);
    assert_int_equal(meta_era_get(db.sqlite, &era, NULL), 0);
    assert_int_equal(era, 42);
    meta_db_close(&db);
    must_save(w);
    assert_int_equal(meta_backup_check(w->file, &info, NULL), 0);
    assert_int_equal(info.era, 42);
}

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(a_backup_holds_every_row_of_its_moment),
        WORLD_TEST(an_open_catalogue_gives_all_that_was_acknowledged),
        WORLD_TEST(pieces_of_any_size_make_the_same_file),
        WORLD_TEST(a_file_that_is_there_is_not_written_over),
        WORLD_TEST(a_torn_file_is_refused_wherever_it_ends),
        WORLD_TEST(one_wrong_byte_is_refused_wherever_it_is),
        WORLD_TEST(a_newer_version_or_format_is_refused),
        WORLD_TEST(what_cannot_be_opened_says_so),
        WORLD_TEST(an_era_is_kept_in_the_database_and_its_copies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
