/* test_meta_list.c: listings, and what they cost.
 *
 * Goal: pages of keys and common prefixes in byte order, without gap or
 * repetition at any page size; the cost of a page is that of its entries, not
 * of the keys that it skips or of the bucket.
 * Method: a plain model (all keys, filtered and grouped in memory) against
 * random keys, prefixes, delimiters and page sizes; steps of the database's
 * machine counted at 1,000 and at 100,000 keys.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "meta/meta_internal.h"

#define KEYS_MAX 400
#define BUCKET_ID 7

struct world {
    struct meta_db db;
    char *keys[KEYS_MAX];
    size_t count;
};

static void world_init(struct world *w)
{
    memset(w, 0, sizeof *w);
    assert_int_equal(meta_db_open(&w->db, ":memory:", META_DB_WRITER, NULL), 0);
    assert_int_equal(
        meta_db_exec(&w->db,
                     "INSERT INTO bucket (id, name, owner, created)"
                     " VALUES (6, 'a', '', 0),"
                     " (7, 'b', '', 0), (8, 'c', '', 0)",
                     NULL),
        0);
}

static void add_to(struct world *w, uint64_t bucket, const char *key)
{
    sqlite3_stmt *s = meta_db_stmt(&w->db, STMT_VERSION_PUT);

    bind_u64(s, 1, bucket);
    bind_bytes(s, 2, key, strlen(key));
    bind_u64(s, 3, 1);
    bind_u64(s, 4, strlen(key));
    bind_text(s, 5, "etag", 4);
    bind_u64(s, 6, 55);
    bind_u64(s, 7, 1);
    bind_bytes(s, 8, "attr", 4);
    bind_u64(s, 9, VERSION_IS_NULL);
    bind_u64(s, 10, META_LOCK_NONE);
    bind_u64(s, 11, 0);
    bind_bytes(s, 12, "", 0);
    assert_int_equal(sqlite3_step(s), SQLITE_DONE);
    meta_db_done(&w->db, STMT_VERSION_PUT);
}

/* Add a key unless it is there. */
static void add(struct world *w, const char *key)
{
    for (size_t i = 0; i < w->count; i++) {
        if (strcmp(w->keys[i], key) == 0) {
            return;
        }
    }
    assert_true(w->count < KEYS_MAX);
    w->keys[w->count++] = mem_strdup(key);
    add_to(w, BUCKET_ID, key);
}

static void add_upload(struct world *w, const char *key, uint64_t created,
                       uint8_t id)
{
    sqlite3_stmt *s = meta_db_stmt(&w->db, STMT_UPLOAD_INSERT);
    uint8_t upload[META_UPLOAD_ID] = {id};

    bind_bytes(s, 1, upload, sizeof upload);
    bind_u64(s, 2, BUCKET_ID);
    bind_bytes(s, 3, key, strlen(key));
    bind_u64(s, 4, created);
    bind_u64(s, 5, id);
    bind_bytes(s, 6, "up", 2);
    bind_u64(s, 7, 0);
    bind_u64(s, 8, META_LOCK_NONE);
    bind_u64(s, 9, 0);
    bind_bytes(s, 10, "", 0);
    assert_int_equal(sqlite3_step(s), SQLITE_DONE);
    meta_db_done(&w->db, STMT_UPLOAD_INSERT);
}

static void world_close(struct world *w)
{
    for (size_t i = 0; i < w->count; i++) {
        free(w->keys[i]);
    }
    meta_db_close(&w->db);
}

static void list(struct world *w, const char *prefix, const char *delimiter,
                 const char *after, size_t max, struct meta_list *out)
{
    struct meta_list_query q = {.bucket = "b",
                                .prefix = prefix,
                                .delimiter = delimiter,
                                .after = after,
                                .max = max};
    struct err err = {0};

    if (meta_list_objects_on(&w->db, &q, out, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

/* A page as text: "a b/ c +" where + says truncated. */
static void expect(struct world *w, const char *prefix, const char *delimiter,
                   const char *after, size_t max, const char *want)
{
    struct meta_list l;
    char have[400] = "";

    list(w, prefix, delimiter, after, max, &l);
    for (size_t i = 0; i < l.count; i++) {
        strcat(strcat(have, i > 0 ? " " : ""), l.entries[i].name);
    }
    strcat(have, l.truncated ? " +" : "");
    assert_string_equal(have, want);
    meta_list_free(&l);
}

/* ---- by hand ---- */

static void keys_come_in_byte_order_with_their_fields(void **state)
{
    struct world w;
    struct meta_list l;

    (void)state;
    world_init(&w);
    add(&w, "b");
    add(&w, "\xc3\xa4");
    add(&w, "a");
    add(&w, "B");
    add(&w, "\xff\xff");
    add_to(&w, 6, "other");
    add_to(&w, 8, "other");
    expect(&w, "", "", "", 10, "B a b \xc3\xa4 \xff\xff");
    expect(&w, "", "", "", 5, "B a b \xc3\xa4 \xff\xff");
    expect(&w, "", "", "", 2, "B a +");
    expect(&w, "", "", "a", 2, "b \xc3\xa4 +");
    expect(&w, "", "", "b", 1, "\xc3\xa4 +");
    expect(&w, "\xff", "", "", 9, "\xff\xff");
    expect(&w, "\xff", "\xff", "", 9, "\xff\xff");
    expect(&w, "zz", "", "", 9, "");
    list(&w, "", "", "a", 1, &l);
    assert_string_equal(l.entries[0].name, "b");
    assert_false(l.entries[0].is_prefix);
    assert_int_equal(l.entries[0].size_bytes, 1);
    assert_int_equal(l.entries[0].modified_ms, 55);
    assert_string_equal(l.entries[0].etag, "etag");
    assert_int_equal(l.entries[0].attrs_len, 4);
    assert_memory_equal(l.entries[0].attrs, "attr", 4);
    meta_list_free(&l);
    world_close(&w);
}

static void what_shares_a_prefix_is_one_entry(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    add(&w, "a");
    add(&w, "a/1");
    add(&w, "a/2/x");
    add(&w, "a0");
    add(&w, "b/1");
    add(&w, "c");
    expect(&w, "", "/", "", 9, "a a/ a0 b/ c");
    expect(&w, "a", "/", "", 9, "a a/ a0");
    expect(&w, "a/", "/", "", 9, "a/1 a/2/");
    expect(&w, "", "/", "", 2, "a a/ +");
    expect(&w, "", "/", "a/", 9, "a0 b/ c");
    expect(&w, "", "/", "a/1", 9, "a0 b/ c"); /* "a/" is not after it */
    expect(&w, "a/", "/", "a/1", 9, "a/2/");
    expect(&w, "", "", "a/1", 9, "a/2/x a0 b/1 c");
    expect(&w, "", "/1", "", 9, "a a/1 a/2/x a0 b/1 c");
    expect(&w, "", "2/", "", 9, "a a/1 a/2/ a0 b/1 c");
    expect(&w, "b", "/", "c", 9, "");
    expect(&w, "b", "/", "a", 9, "b/");
    expect(&w, "", "/", "b/", 1, "c");
    world_close(&w);
}

static void delimiters_of_high_bytes_are_stepped_over(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    add(&w, "a\xff");
    add(&w, "a\xff\xff");
    add(&w, "b");
    add(&w, "\xff\xff\xff");
    expect(&w, "", "\xff", "", 9, "a\xff b \xff");
    expect(&w, "a", "\xff\xff", "", 9, "a\xff a\xff\xff");
    expect(&w, "", "\xff", "\xff", 9, "");
    world_close(&w);
}

static void a_missing_bucket_and_long_arguments_are_answered(void **state)
{
    struct world w;
    struct meta_list l;
    char longer[META_KEY_MAX + 10];
    char longest[META_KEY_MAX + 1];
    struct meta_list_query q = {
        .bucket = "none", .prefix = "", .delimiter = "", .after = "", .max = 1};

    (void)state;
    world_init(&w);
    assert_int_equal(meta_list_objects_on(&w.db, &q, &l, NULL), ERR_NO_BUCKET);
    assert_int_equal(meta_list_uploads_on(&w.db, &q, &l, NULL), ERR_NO_BUCKET);
    memset(longer, 'z', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    memset(longest, 'a', sizeof longest);
    longest[META_KEY_MAX] = '\0';
    add(&w, longest);
    add(&w, "b");
    expect(&w, longer, "", "", 9, "");
    expect(&w, "", "", longer, 9, "");
    expect(&w, "", "", longest, 9, "b");
    expect(&w, "", longer, longest, 9, "b");
    world_close(&w);
}

/* ---- against a model ---- */

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All entries for prefix and delimiter, in order; gives their count. */
static size_t model_list(struct world *w, const char *prefix,
                         const char *delimiter, char **out)
{
    size_t n = 0;

    qsort(w->keys, w->count, sizeof *w->keys, compare);
    for (size_t i = 0; i < w->count; i++) {
        const char *key = w->keys[i];
        const char *hit = NULL;
        char *name;
        if (strncmp(key, prefix, strlen(prefix)) != 0) {
            continue;
        }
        if (delimiter[0] != '\0') {
            hit = strstr(key + strlen(prefix), delimiter);
        }
        name = hit != NULL
                   ? mem_strndup(key, (size_t)(hit - key) + strlen(delimiter))
                   : mem_strdup(key);
        if (n > 0 && strcmp(out[n - 1], name) == 0) {
            free(name);
        } else {
            out[n++] = name;
        }
    }
    return n;
}

/* Walk all pages of @max and compare with the model. */
static void compare_pages(struct world *w, const char *prefix,
                          const char *delimiter, size_t max)
{
    char *want[KEYS_MAX];
    size_t n = model_list(w, prefix, delimiter, want);
    size_t at = 0;
    char after[META_KEY_MAX + 1] = "";

    for (;;) {
        struct meta_list l;
        bool more;
        list(w, prefix, delimiter, after, max, &l);
        for (size_t i = 0; i < l.count; i++) {
            assert_true(at < n);
            assert_string_equal(l.entries[i].name, want[at]);
            at++;
        }
        more = l.truncated;
        assert_int_equal(more, at < n);
        if (more) {
            assert_int_equal(l.count, max);
            strcpy(after, l.entries[l.count - 1].name);
        }
        meta_list_free(&l);
        if (!more) {
            break;
        }
    }
    assert_int_equal(at, n);
    for (size_t i = 0; i < n; i++) {
        free(want[i]);
    }
}

static uint32_t seed = 12345;

static unsigned draw(unsigned below)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

/* Few letters, so that prefixes and delimiters occur. */
static void draw_text(char *out, unsigned max)
{
    static const char letters[] = "ab//\xff\x01-\xc3";
    unsigned len = draw(max + 1);

    for (unsigned i = 0; i < len; i++) {
        out[i] = letters[draw(sizeof letters - 1)];
    }
    out[len] = '\0';
}

static void pages_of_any_size_agree_with_a_model(void **state)
{
    (void)state;
    for (int round = 0; round < 12; round++) {
        struct world w;
        char key[16], prefix[16], delimiter[16];
        world_init(&w);
        for (int i = 0; i < 150; i++) {
            draw_text(key, 6);
            if (key[0] != '\0') {
                add(&w, key);
            }
        }
        for (int i = 0; i < 60; i++) {
            draw_text(prefix, 2);
            draw_text(delimiter, 2);
            compare_pages(&w, prefix, delimiter, 1 + draw(20));
        }
        compare_pages(&w, "", "/", 1);
        world_close(&w);
    }
}

/* ---- uploads ---- */

static void uploads(struct world *w, const char *prefix, const char *delimiter,
                    const char *after, int after_id, size_t max,
                    const char *want)
{
    uint8_t id[META_UPLOAD_ID] = {(uint8_t)after_id};
    struct meta_list_query q = {.bucket = "b",
                                .prefix = prefix,
                                .delimiter = delimiter,
                                .after = after,
                                .after_upload = after_id >= 0 ? id : NULL,
                                .max = max};
    struct meta_list l;
    char have[400] = "";

    assert_int_equal(meta_list_uploads_on(&w->db, &q, &l, NULL), 0);
    for (size_t i = 0; i < l.count; i++) {
        char one[64];
        snprintf(one, sizeof one, "%s%s", i > 0 ? " " : "", l.entries[i].name);
        strcat(have, one);
        if (!l.entries[i].is_prefix) {
            snprintf(one, sizeof one, "=%u", l.entries[i].upload[0]);
            strcat(have, one);
            assert_int_equal(l.entries[i].attrs_len, 2);
        }
    }
    strcat(have, l.truncated ? " +" : "");
    assert_string_equal(have, want);
    meta_list_free(&l);
}

static void uploads_come_by_key_then_by_age(void **state)
{
    struct world w;

    (void)state;
    world_init(&w);
    add_upload(&w, "k", 30, 1);
    add_upload(&w, "k", 10, 2);
    add_upload(&w, "k", 20, 3);
    add_upload(&w, "a/1", 5, 4);
    add_upload(&w, "a/2", 5, 5);
    add_upload(&w, "z", 1, 6);
    uploads(&w, "", "", "", -1, 9, "a/1=4 a/2=5 k=2 k=3 k=1 z=6");
    uploads(&w, "", "/", "", -1, 9, "a/ k=2 k=3 k=1 z=6");
    uploads(&w, "", "/", "a/", -1, 2, "k=2 k=3 +");
    uploads(&w, "", "/", "k", 3, 9, "k=1 z=6");
    uploads(&w, "", "/", "k", 1, 9, "z=6");
    uploads(&w, "", "/", "k", -1, 9, "z=6");
    uploads(&w, "k", "", "k", 2, 9, "k=3 k=1");
    uploads(&w, "", "", "k", 2, 1, "k=3 +");
    uploads(&w, "z", "", "k", 2, 9, "z=6");
    /* Gone meanwhile: the key starts anew, nothing is left out. */
    uploads(&w, "", "", "k", 99, 9, "k=2 k=3 k=1 z=6");
    world_close(&w);
}

/* ---- cost ---- */

static int count_step(void *arg)
{
    ++*(uint64_t *)arg;
    return 0;
}

/* Machine steps of one page. */
static uint64_t steps_of(struct world *w, const char *prefix,
                         const char *delimiter, const char *after, size_t max,
                         size_t want)
{
    struct meta_list l;
    uint64_t steps = 0;

    sqlite3_progress_handler(w->db.sqlite, 1, count_step, &steps);
    list(w, prefix, delimiter, after, max, &l);
    sqlite3_progress_handler(w->db.sqlite, 0, NULL, NULL);
    assert_int_equal(l.count, want);
    meta_list_free(&l);
    return steps;
}

/* @n keys in ten folders, and one folder of the rest at the end. */
static void fill(struct world *w, unsigned n)
{
    assert_int_equal(meta_db_exec(&w->db, "BEGIN", NULL), 0);
    for (unsigned i = 0; i < n; i++) {
        char key[64];
        snprintf(key, sizeof key, "d%u/%08u", i % 10, i);
        add_to(w, BUCKET_ID, key);
    }
    add_to(w, BUCKET_ID, "zz/last");
    assert_int_equal(meta_db_exec(&w->db, "COMMIT", NULL), 0);
}

static void a_page_costs_the_same_in_a_bucket_a_hundred_times_larger(
    void **state)
{
    struct world small, large;
    uint64_t s[5], l[5];

    (void)state;
    world_init(&small);
    world_init(&large);
    fill(&small, 1000);
    fill(&large, 100000);
    for (int i = 0; i < 2; i++) {
        struct world *w = i == 0 ? &small : &large;
        uint64_t *steps = i == 0 ? s : l;
        steps[0] = steps_of(w, "", "", "", 50, 50);
        steps[1] = steps_of(w, "", "/", "", 1000, 11);
        steps[2] = steps_of(w, "", "/", "d5/", 1000, 5);
        steps[3] = steps_of(w, "d3/", "/", "", 20, 20);
        steps[4] = steps_of(w, "zz/", "/", "", 20, 1);
    }
    for (int i = 0; i < 5; i++) {
        print_message("page %d: %llu steps of 1,000 keys, %llu of 100,000\n", i,
                      (unsigned long long)s[i], (unsigned long long)l[i]);
        assert_true(l[i] <= s[i] + 20);
    }
    /* Eleven prefixes: a seek and a row each. */
    assert_true(l[1] < 12 * 40);
    world_close(&small);
    world_close(&large);
}

static void the_successor_is_past_all_that_begins_so(void **state)
{
    uint8_t a[] = {'a', 0xff, 0xff};
    uint8_t b[] = {0xff};
    uint8_t c[] = {'a', 0x7f};
    size_t len = sizeof a;

    (void)state;
    assert_true(meta_successor(a, &len));
    assert_int_equal(len, 1);
    assert_int_equal(a[0], 'b');
    len = sizeof b;
    assert_false(meta_successor(b, &len));
    len = 0;
    assert_false(meta_successor(b, &len));
    len = sizeof c;
    assert_true(meta_successor(c, &len));
    assert_int_equal(len, 2);
    assert_int_equal(c[1], 0x80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_come_in_byte_order_with_their_fields),
        cmocka_unit_test(what_shares_a_prefix_is_one_entry),
        cmocka_unit_test(delimiters_of_high_bytes_are_stepped_over),
        cmocka_unit_test(a_missing_bucket_and_long_arguments_are_answered),
        cmocka_unit_test(pages_of_any_size_agree_with_a_model),
        cmocka_unit_test(uploads_come_by_key_then_by_age),
        cmocka_unit_test(
            a_page_costs_the_same_in_a_bucket_a_hundred_times_larger),
        cmocka_unit_test(the_successor_is_past_all_that_begins_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
