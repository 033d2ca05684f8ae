/* test_meta_wipe.c: what was erased is in no byte of any file.
 *
 * Goal: once this member says that it is clean, the attrs of what was erased
 * (where the wrapped keys of objects stand) are in no file of the catalogue:
 * database, WAL, log, spares, snapshot; those of what was kept are. A process
 * that ends before begins anew. P8.
 * Method: real folders; attrs that are random bytes are looked for in all
 * files, before, so that the test can fail, and after; in a bucket without
 * versions, over many sizes, so that pages of the database split and join.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/rng.h"
#include "meta/meta_erase.h"
#include "tests/lib/meta_store.h"
#include "tests/lib/temp_dir.h"

#define OBJECTS 600
#define SECRET 48
#define ATTRS_MAX 3000

struct object {
    char key[32];
    uint8_t attrs[ATTRS_MAX]; /* random; SECRET bytes tell it */
    size_t len;
};

/* All files of @dir, one behind the other. */
static void read_all(const char *dir, struct buf *out)
{
    struct dirent *e;
    DIR *d = opendir(dir);

    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (e->d_type == DT_DIR && e->d_name[0] != '.') {
            read_all(path, out);
        } else if (e->d_type == DT_REG) {
            struct buf file = {0};
            assert_int_equal(fs_read(path, 1u << 30, &file, NULL), 0);
            buf_append(out, file.data, file.len);
            buf_free(&file);
        }
    }
    closedir(d);
}

static size_t found(const char *dir, const struct object *objects, size_t first,
                    size_t step)
{
    struct buf all = {0};
    size_t n = 0;

    read_all(dir, &all);
    for (size_t i = first; i < OBJECTS; i += step) {
        const struct object *o = &objects[i];
        /* Its start, middle and end: a page may have kept a part. */
        n += memmem(all.data, all.len, o->attrs, SECRET) != NULL ||
             memmem(all.data, all.len, o->attrs + o->len / 2, 16) != NULL ||
             memmem(all.data, all.len, o->attrs + o->len - 16, 16) != NULL;
    }
    buf_free(&all);
    return n;
}

static struct object *fill(struct meta *m)
{
    struct object *objects = calloc(OBJECTS, sizeof *objects);

    assert_int_equal(bucket_create(m, "b"), 0);
    for (size_t i = 0; i < OBJECTS; i++) {
        struct object *o = &objects[i];
        struct meta_content content = {.size_bytes = 3, .inline_bytes = "abc"};
        struct buf command = {0};
        snprintf(o->key, sizeof o->key, "%08llx-%zu",
                 (unsigned long long)rng_u64() & 0xffffffff, i);
        o->len = SECRET + rng_u64() % (ATTRS_MAX - SECRET);
        rng_bytes(o->attrs, o->len);
        command_object_put(&command, "b", o->key, NULL, &content, "e", o->attrs,
                           o->len, 100);
        assert_int_equal(meta_propose_wait(m, &command, NULL, NULL), 0);
        buf_free(&command);
    }
    return objects;
}

/* Erase every second one, in commands of some. */
static void erase(struct meta *m, const struct object *objects)
{
    struct command_erase e = {"b", META_ERASE_PREFIX, "", 0, "", "", "", ""};
    struct command_erased items[50];
    struct meta_proposal p = {.status = 0};
    struct buf command = {0};
    size_t count = 0;

    command_erase_begin(&command, &e, 1);
    assert_int_equal(meta_propose_wait(m, &command, &p, NULL), 0);
    assert_int_equal(p.body, 1);
    for (size_t i = 0; i < OBJECTS; i += 2) {
        items[count++] = (struct command_erased){
            objects[i].key, META_VERSION_NULL, 100, 3, META_ERASED_KEY};
        if (count == 50 || i + 2 >= OBJECTS) {
            buf_clear(&command);
            command_erase_some(&command, 1, i < 100, i + 2 >= OBJECTS, items,
                               count, 2);
            assert_int_equal(meta_propose_wait(m, &command, NULL, NULL), 0);
            count = 0;
        }
    }
    buf_free(&command);
}

static void await_clean(struct meta *m)
{
    uint64_t clean = 0, wanted = 1;

    for (int i = 0; i < 3000 && clean < wanted; i++) {
        clock_sleep_ms(10);
        meta_erase_own(m, &clean, &wanted);
    }
    assert_true(wanted > 0);
    assert_true(clean >= wanted);
}

static void await_told(struct meta *m)
{
    struct meta_erase_clean *list = NULL;
    size_t count = 0;
    uint64_t clean, wanted;

    meta_erase_own(m, &clean, &wanted);
    for (int i = 0; i < 3000 && (count == 0 || list[0].upto < wanted); i++) {
        free(list);
        clock_sleep_ms(10);
        assert_int_equal(meta_erase_cleaned(m, &list, &count, NULL), 0);
    }
    assert_int_equal(count, 1);
    assert_true(list[0].upto >= wanted);
    free(list);
}

static void what_was_erased_is_in_no_file(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct object *objects = fill(m);
    struct meta_erase e;

    (void)state;
    assert_int_equal(found(dir, objects, 0, 2), OBJECTS / 2);
    erase(m, objects);
    assert_int_equal(meta_erase_get(m, 1, &e, NULL), 0);
    assert_int_equal(e.state, META_ERASE_DONE);
    assert_int_equal(e.versions, OBJECTS / 2);
    assert_int_equal(e.keys, OBJECTS / 2);
    assert_string_equal(e.bucket, "b");
    meta_erase_free(&e);
    await_clean(m);
    assert_int_equal(found(dir, objects, 0, 2), 0);
    assert_int_equal(found(dir, objects, 1, 2), OBJECTS / 2);
    await_told(m);
    verify(m);
    meta_close(m);
    assert_int_equal(found(dir, objects, 0, 2), 0);
    m = must_open(dir);
    assert_int_equal(found(dir, objects, 0, 2), 0);
    verify(m);
    meta_close(m);
    free(objects);
    temp_dir_free(dir);
}

static void a_member_that_ends_before_begins_anew(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct object *objects = fill(m);
    uint64_t clean, wanted;

    (void)state;
    erase(m, objects);
    meta_close(m);
    m = must_open(dir);
    meta_erase_own(m, &clean, &wanted);
    assert_true(wanted > 0);
    await_clean(m);
    assert_int_equal(found(dir, objects, 0, 2), 0);
    assert_int_equal(found(dir, objects, 1, 2), OBJECTS / 2);
    await_told(m);
    meta_close(m);
    m = must_open(dir);
    meta_erase_own(m, &clean, &wanted);
    assert_true(clean >= wanted); /* it is known */
    meta_close(m);
    free(objects);
    temp_dir_free(dir);
}

static void what_came_of_requests_can_be_read(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct object *objects = fill(m);
    struct meta_erase *list;
    struct meta_erased *erased;
    struct meta_erase e;
    size_t count;

    (void)state;
    assert_int_equal(meta_erase_get(m, 1, &e, NULL), ERR_NOT_FOUND);
    assert_int_equal(meta_erase_get(m, 0, &e, NULL), ERR_NOT_FOUND);
    erase(m, objects);
    assert_int_equal(meta_erase_list(m, 0, 10, &list, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_int_equal(list[0].id, 1);
    meta_erase_free(&list[0]);
    free(list);
    assert_int_equal(meta_erase_list(m, 1, 10, &list, &count, NULL), 0);
    assert_int_equal(count, 0);
    free(list);
    assert_int_equal(meta_erased_list(m, 1, &erased, &count, NULL), 0);
    assert_int_equal(count, OBJECTS / 2);
    assert_string_equal(erased[3].key, objects[6].key);
    assert_int_equal(erased[3].size_bytes, 3);
    assert_int_equal(erased[3].how, META_ERASED_KEY);
    assert_string_equal(erased[3].etag, "e");
    meta_erased_free(erased, count);
    meta_close(m);
    free(objects);
    temp_dir_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_erased_is_in_no_file),
        cmocka_unit_test(a_member_that_ends_before_begins_anew),
        cmocka_unit_test(what_came_of_requests_can_be_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
