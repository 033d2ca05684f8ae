/* test_meta_list_versions.c: versions as listings show them.
 *
 * Goal: pages of any size, with any prefix, delimiter and marker, show each
 * version once, in order, and say rightly which is the latest; a page costs
 * what it shows. Method: random histories in memory; every listing is compared
 * with a model that reads both tables whole; SQLite counts its steps.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/apply_base.h"
#include "tests/lib/random_command.h"

#define ROWS_MAX 4000

struct row {
    char key[64];
    uint64_t seq;
    uint64_t version;
    bool is_marker, is_latest, is_prefix;
};

static void put(struct base *b, const char *key)
{
    struct meta_content empty = {.size_bytes = 0};

    command_object_put(&b->command, "b", key, NULL, &empty, "e", "at", 2, 2);
    assert_int_equal(go(b), 0);
}

static void del(struct base *b, const char *key, uint64_t version)
{
    struct command_more more = {.version = version};

    command_object_delete(&b->command, "b", key, NULL, 3);
    command_add_more(&b->command, 0, &more);
    assert_int_equal(go(b), 0);
}

static void versioning(struct base *b, uint8_t state)
{
    command_bucket_config(&b->command, "b", META_CONFIG_VERSIONING, &state, 1);
    assert_int_equal(go(b), 0);
}

static void init(struct base *b)
{
    base_init(b);
    command_bucket_create(&b->command, "b", "me", 1);
    assert_int_equal(go(b), 0);
}

static void history(struct base *b, uint64_t seed)
{
    struct random_command r;
    char key[32];

    random_command_init(&r, seed);
    init(b);
    for (int i = 0; i < 250; i++) {
        random_key(&r, key);
        if (i > 20 && random_draw(&r, 20) == 0) {
            versioning(b, 1 + (uint8_t)random_draw(&r, 2));
        }
        switch (random_draw(&r, 5)) {
            case 0:
                del(b, key, META_VERSION_CURRENT);
                break;
            case 1:
                del(b, key, META_VERSION_NULL);
                break;
            default:
                put(b, key);
        }
    }
}

/* What a listing without markers must show. */
static size_t model(struct base *b, const struct meta_list_query *q,
                    struct row *out)
{
    sqlite3_stmt *s;
    size_t count = 0;
    char last[64] = "";

    assert_int_equal(
        sqlite3_prepare_v2(b->db.sqlite,
                           "SELECT key, seq, flags FROM version UNION ALL"
                           " SELECT key, seq, flags FROM history"
                           " ORDER BY key, seq DESC",
                           -1, &s, NULL),
        SQLITE_OK);
    while (sqlite3_step(s) == SQLITE_ROW) {
        struct row row = {.seq = column_u64(s, 1)};
        uint64_t flags = column_u64(s, 2);
        size_t common;
        memcpy(row.key, sqlite3_column_blob(s, 0),
               (size_t)sqlite3_column_bytes(s, 0));
        row.version =
            (flags & VERSION_IS_NULL) != 0 ? META_VERSION_NULL : row.seq;
        row.is_marker = (flags & VERSION_IS_MARKER) != 0;
        row.is_latest = strcmp(last, row.key) != 0;
        strcpy(last, row.key);
        if (strncmp(row.key, q->prefix, strlen(q->prefix)) != 0) {
            continue;
        }
        common =
            meta_common_prefix(q, (const uint8_t *)row.key, strlen(row.key));
        if (common > 0) {
            struct row prefix = {.is_prefix = true};
            memcpy(prefix.key, row.key, common);
            row = prefix;
            if (count > 0 && strcmp(out[count - 1].key, row.key) == 0) {
                continue;
            }
        }
        assert_true(count < ROWS_MAX);
        out[count++] = row;
    }
    sqlite3_finalize(s);
    return count;
}

static void compare(const struct row *want, const struct meta_list_entry *e)
{
    assert_string_equal(e->name, want->key);
    assert_int_equal(e->is_prefix, want->is_prefix);
    if (!e->is_prefix) {
        assert_int_equal(e->version, want->version);
        assert_int_equal(e->is_marker, want->is_marker);
        assert_int_equal(e->is_latest, want->is_latest);
    }
}

/* Page through all, each page where the one before ended. */
static void page_through(struct base *b, struct meta_list_query q,
                         const struct row *want, size_t count)
{
    char after[64] = "";
    size_t shown = 0;
    bool more = true;

    while (more) {
        struct meta_list l = {0};
        q.after = after;
        assert_int_equal(meta_list_versions_on(&b->db, &q, &l, NULL), 0);
        for (size_t i = 0; i < l.count; i++, shown++) {
            assert_true(shown < count);
            compare(&want[shown], &l.entries[i]);
        }
        more = l.truncated;
        if (more) {
            assert_int_equal(l.count, q.max);
            strcpy(after, l.entries[l.count - 1].name);
            q.after_version = l.entries[l.count - 1].version;
        }
        meta_list_free(&l);
    }
    assert_int_equal(shown, count);
}

static void pages_of_any_size_agree_with_a_model(void **state)
{
    static const char *const prefixes[] = {"", "a", "a/", "a/b", "z", "\xc3"};
    static const char *const delimiters[] = {"", "/", "b/", "\xa4"};
    static struct row want[ROWS_MAX];

    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct base b;
        history(&b, seed);
        for (size_t p = 0; p < 6; p++) {
            for (size_t d = 0; d < 4; d++) {
                struct meta_list_query q = {.bucket = "b",
                                            .prefix = prefixes[p],
                                            .delimiter = delimiters[d]};
                size_t count = model(&b, &q, want);
                for (q.max = 1; q.max < 1000; q.max = q.max * 3 + 1) {
                    page_through(&b, q, want, count);
                }
            }
        }
        base_close(&b);
    }
}

/* From any version on, also when it was removed since. */
static void any_version_is_a_marker(void **state)
{
    static struct row want[ROWS_MAX], left[ROWS_MAX];
    struct meta_list_query q = {
        .bucket = "b", .prefix = "", .delimiter = "", .max = 1000};
    struct base b;
    size_t count;

    (void)state;
    history(&b, 3);
    versioning(&b, META_VERSIONING_ENABLED);
    count = model(&b, &q, want);
    for (size_t i = 0; i < count; i++) {
        struct meta_list l = {0};
        size_t now, from = 0;
        q.after = want[i].key;
        q.after_version = want[i].version;
        if (i % 3 == 0 && want[i].version != META_VERSION_NULL) {
            del(&b, want[i].key, want[i].version);
        }
        now = model(&b, &q, left);
        while (from < now && (strcmp(left[from].key, want[i].key) < 0 ||
                              (strcmp(left[from].key, want[i].key) == 0 &&
                               left[from].seq >= want[i].seq))) {
            from++;
        }
        assert_int_equal(meta_list_versions_on(&b.db, &q, &l, NULL), 0);
        assert_int_equal(l.count, now - from);
        for (size_t k = 0; k < l.count; k++) {
            compare(&left[from + k], &l.entries[k]);
        }
        meta_list_free(&l);
    }
    base_close(&b);
}

static void a_null_marker_that_is_gone_starts_its_key_anew(void **state)
{
    struct meta_list_query q = {.bucket = "b",
                                .prefix = "",
                                .delimiter = "",
                                .after = "k",
                                .after_version = META_VERSION_NULL,
                                .max = 10};
    struct meta_list l = {0};
    struct base b;

    (void)state;
    init(&b);
    versioning(&b, META_VERSIONING_ENABLED);
    put(&b, "j");
    put(&b, "k");
    put(&b, "k");
    assert_int_equal(meta_list_versions_on(&b.db, &q, &l, NULL), 0);
    assert_int_equal(l.count, 2);
    assert_true(l.entries[0].is_latest && !l.entries[1].is_latest);
    meta_list_free(&l);
    base_close(&b);
}

static void a_missing_bucket_and_long_prefixes_are_answered(void **state)
{
    char *prefix = mem_alloc(3000);
    struct meta_list_query q = {.bucket = "none",
                                .prefix = "",
                                .delimiter = "",
                                .after = "",
                                .max = 10};
    struct meta_list l = {0};
    struct base b;

    (void)state;
    init(&b);
    put(&b, "k");
    assert_int_equal(meta_list_versions_on(&b.db, &q, &l, NULL), ERR_NO_BUCKET);
    q.bucket = "b";
    memset(prefix, 'k', 2999);
    q.prefix = prefix;
    assert_int_equal(meta_list_versions_on(&b.db, &q, &l, NULL), 0);
    assert_int_equal(l.count, 0);
    meta_list_free(&l);
    q.prefix = "";
    q.after = prefix;
    q.after_version = 5;
    assert_int_equal(meta_list_versions_on(&b.db, &q, &l, NULL), 0);
    assert_int_equal(l.count, 0);
    meta_list_free(&l);
    free(prefix);
    base_close(&b);
}

/* ---- cost ---- */

static uint64_t steps;

static int count_step(void *arg)
{
    (void)arg;
    steps++;
    return 0;
}

static uint64_t cost(struct base *b, const struct meta_list_query *q)
{
    struct meta_list l = {0};

    steps = 0;
    sqlite3_progress_handler(b->db.sqlite, 1, count_step, NULL);
    assert_int_equal(meta_list_versions_on(&b->db, q, &l, NULL), 0);
    sqlite3_progress_handler(b->db.sqlite, 0, NULL, NULL);
    assert_true(l.count > 0);
    meta_list_free(&l);
    return steps;
}

static void a_page_costs_the_same_deep_in_a_long_history(void **state)
{
    struct base b;
    uint64_t first = 0;
    struct meta_list_query start = {
        .bucket = "b", .prefix = "", .delimiter = "/", .after = "", .max = 10};
    struct meta_list_query deep = start;
    uint64_t few = 0, many;

    (void)state;
    init(&b);
    versioning(&b, META_VERSIONING_ENABLED);
    for (int i = 0; i < 3000; i++) {
        put(&b, i % 3 == 0 ? "a/x" : "k");
        if (i == 100) {
            first = b.version;
        }
        if (i == 200) {
            few = cost(&b, &start);
        }
    }
    many = cost(&b, &start); /* all of a/ is skipped by one seek */
    assert_in_range(many, few - few / 10, few + few / 10);
    deep.after = "k";
    deep.after_version = first; /* behind almost all */
    assert_true(cost(&b, &deep) < 2 * many);
    base_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_of_any_size_agree_with_a_model),
        cmocka_unit_test(any_version_is_a_marker),
        cmocka_unit_test(a_null_marker_that_is_gone_starts_its_key_anew),
        cmocka_unit_test(a_missing_bucket_and_long_prefixes_are_answered),
        cmocka_unit_test(a_page_costs_the_same_deep_in_a_long_history),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
