/* test_master_keys.c: the keys that wrap the data keys of objects.
 *
 * Goal: a data key comes back by the name and number that wrapped it and by no
 * other, after rotation too; nothing opens without the root key, or while the
 * name is disabled.
 * Method: a catalogue of its own, alone; no HTTP.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "crypto/root_key.h"
#include "gateway/gateway_internal.h"
#include "gateway/master_keys.h"
#include "tests/lib/meta_store.h"
#include "tests/lib/temp_dir.h"

struct world {
    char *dir, *data;
    struct server_options options;
    struct gateway g;
};

static int setup(void **state)
{
    struct world *w = mem_alloc(sizeof *w);

    w->dir = temp_dir_new();
    w->data = temp_dir_new();
    w->options.data = w->data;
    w->g.options = &w->options;
    w->g.meta = must_open(w->dir);
    w->g.master = master_keys_new();
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    master_keys_free(w->g.master);
    meta_close(w->g.meta);
    temp_dir_free(w->dir);
    temp_dir_free(w->data);
    free(w);
    return 0;
}

/* As after a new start, with the root key that is there. */
static void start_again(struct world *w, bool make)
{
    master_keys_free(w->g.master);
    w->g.master = master_keys_new();
    assert_int_equal(master_keys_load(&w->g, make, NULL), 0);
}

static const uint8_t data_key[MASTER_KEY] = {1, 2, 3};

static void a_data_key_comes_back(void **state)
{
    struct world *w = *state;
    uint8_t wrapped[MASTER_WRAPPED], again[MASTER_WRAPPED], got[MASTER_KEY];
    uint32_t number = 0;

    start_again(w, true);
    assert_int_equal(
        master_keys_wrap(&w->g, "s3", false, data_key, &number, wrapped, NULL),
        ERR_NOT_FOUND);
    master_keys_begin(&w->g);
    assert_int_equal(master_keys_check(&w->g, "s3", false, NULL), 0);
    assert_int_equal(
        master_keys_wrap(&w->g, "s3", false, data_key, &number, wrapped, NULL),
        0);
    assert_int_equal(number, 1);
    assert_int_equal(
        master_keys_wrap(&w->g, "s3", false, data_key, &number, again, NULL),
        0);
    assert_memory_not_equal(wrapped, again, sizeof again);
    start_again(w, false);
    assert_int_equal(
        master_keys_open(&w->g, "s3", 1, false, wrapped, got, NULL), 0);
    assert_memory_equal(got, data_key, sizeof got);
    for (size_t i = 0; i < sizeof wrapped; i++) {
        wrapped[i] ^= 1;
        assert_int_equal(
            master_keys_open(&w->g, "s3", 1, false, wrapped, got, NULL),
            ERR_MISMATCH);
        wrapped[i] ^= 1;
    }
}

static void the_newest_wraps_and_all_open(void **state)
{
    struct world *w = *state;
    uint8_t first[MASTER_WRAPPED], second[MASTER_WRAPPED], got[MASTER_KEY];
    uint32_t number;

    start_again(w, true);
    assert_int_equal(master_keys_add(&w->g, "k", true, &number, NULL),
                     ERR_NOT_FOUND);
    assert_int_equal(master_keys_add(&w->g, "k", false, &number, NULL), 0);
    assert_int_equal(master_keys_add(&w->g, "k", false, &number, NULL),
                     ERR_EXISTS);
    assert_int_equal(
        master_keys_wrap(&w->g, "k", false, data_key, &number, first, NULL), 0);
    assert_int_equal(number, 1);
    assert_int_equal(master_keys_add(&w->g, "k", true, &number, NULL), 0);
    assert_int_equal(
        master_keys_wrap(&w->g, "k", false, data_key, &number, second, NULL),
        0);
    assert_int_equal(number, 2);
    for (uint32_t i = 1; i <= 2; i++) {
        const uint8_t *own = i == 1 ? first : second;
        const uint8_t *other = i == 1 ? second : first;
        assert_int_equal(master_keys_open(&w->g, "k", i, false, own, got, NULL),
                         0);
        assert_memory_equal(got, data_key, sizeof got);
        assert_int_equal(
            master_keys_open(&w->g, "k", i, false, other, got, NULL),
            ERR_MISMATCH);
    }
    assert_int_equal(master_keys_open(&w->g, "k", 3, false, first, got, NULL),
                     ERR_NOT_FOUND);
}

static void a_disabled_key_neither_wraps_nor_opens(void **state)
{
    struct world *w = *state;
    uint8_t wrapped[MASTER_WRAPPED], got[MASTER_KEY];
    uint32_t number;

    start_again(w, true);
    assert_int_equal(master_keys_disable(&w->g, "k", true, NULL),
                     ERR_NOT_FOUND);
    assert_int_equal(master_keys_add(&w->g, "k", false, &number, NULL), 0);
    assert_int_equal(
        master_keys_wrap(&w->g, "k", false, data_key, &number, wrapped, NULL),
        0);
    assert_int_equal(master_keys_disable(&w->g, "k", true, NULL), 0);
    assert_int_equal(
        master_keys_wrap(&w->g, "k", false, data_key, &number, wrapped, NULL),
        ERR_DENIED);
    assert_int_equal(master_keys_open(&w->g, "k", 1, false, wrapped, got, NULL),
                     ERR_DENIED);
    assert_int_equal(master_keys_check(&w->g, "k", false, NULL), ERR_DENIED);
    assert_int_equal(master_keys_add(&w->g, "k", true, &number, NULL),
                     ERR_DENIED);
    assert_int_equal(master_keys_disable(&w->g, "k", false, NULL), 0);
    assert_int_equal(master_keys_open(&w->g, "k", 1, false, wrapped, got, NULL),
                     0);
}

static void nothing_opens_without_the_root_key(void **state)
{
    struct world *w = *state;
    uint8_t wrapped[MASTER_WRAPPED], got[MASTER_KEY];
    const uint8_t other[ROOT_KEY] = {9};
    char *path = master_keys_path(&w->g);
    uint32_t number;

    start_again(w, true);
    assert_int_equal(master_keys_add(&w->g, "k", false, &number, NULL), 0);
    assert_int_equal(
        master_keys_wrap(&w->g, "k", false, data_key, &number, wrapped, NULL),
        0);
    assert_int_equal(root_key_save(path, other, NULL), 0);
    start_again(w, false);
    assert_int_equal(master_keys_open(&w->g, "k", 1, false, wrapped, got, NULL),
                     ERR_UNAVAILABLE);
    assert_int_equal(master_keys_add(&w->g, "l", false, &number, NULL),
                     ERR_UNAVAILABLE); /* it would not be the others' */
    temp_dir_remove(path);
    start_again(w, false);
    assert_null(master_keys_root(&w->g));
    assert_int_equal(master_keys_open(&w->g, "k", 1, false, wrapped, got, NULL),
                     ERR_UNAVAILABLE);
    master_keys_begin(&w->g); /* makes none: there are keys */
    assert_null(master_keys_root(&w->g));
    w->options.master_key = path;
    assert_int_equal(master_keys_load(&w->g, true, NULL), ERR_NOT_FOUND);
    free(path);
}

static void names_are_judged(void **state)
{
    char name[META_MASTER_NAME_MAX + 2];

    (void)state;
    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = '\0';
    assert_false(master_key_name_valid(name));
    name[sizeof name - 2] = '\0';
    assert_true(master_key_name_valid(name));
    assert_true(master_key_name_valid("a-B_3./c"));
    assert_false(master_key_name_valid(""));
    assert_false(master_key_name_valid("a b"));
    assert_false(master_key_name_valid("a:b"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_data_key_comes_back),
        TEST(the_newest_wraps_and_all_open),
        TEST(a_disabled_key_neither_wraps_nor_opens),
        TEST(nothing_opens_without_the_root_key),
        cmocka_unit_test(names_are_judged),
    };

    return cmocka_run_group_tests_name("master_keys", tests, NULL, NULL);
}
