/* test_meta_read.c: reads of rows, parts, uploads, runs and the layout.
 *
 * Goal: every read gives what the commands before it made, in order and within
 * its bounds, and names what is missing.
 * Method: a catalogue in a folder under /tmp, commands proposed and waited for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/wire.h"
#include "meta/meta.h"
#include "tests/lib/meta_store.h"
#include "tests/lib/random_command.h"
#include "tests/lib/temp_dir.h"

static void buckets_are_listed_by_name(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct meta_bucket *b;
    size_t n;

    (void)state;
    bucket_create(m, "c");
    bucket_create(m, "a");
    bucket_create(m, "b");
    assert_int_equal(meta_buckets(m, NULL, 2, &b, &n, NULL), 0);
    assert_int_equal(n, 2);
    assert_string_equal(b[0].name, "a");
    assert_string_equal(b[1].name, "b");
    for (size_t i = 0; i < n; i++) {
        meta_bucket_free(&b[i]);
    }
    free(b);
    assert_int_equal(meta_buckets(m, "b", 9, &b, &n, NULL), 0);
    assert_int_equal(n, 1);
    assert_string_equal(b[0].name, "c");
    meta_bucket_free(&b[0]);
    free(b);
    assert_int_equal(meta_buckets(m, "z", 9, &b, &n, NULL), 0);
    assert_int_equal(n, 0);
    free(b);
    meta_close(m);
    temp_dir_free(dir);
}

static int set_config(struct meta *m, enum meta_config_kind kind,
                      const char *value)
{
    struct buf b = {0};
    int rc;

    command_bucket_config(&b, "a", kind, value, strlen(value));
    rc = meta_propose_wait(m, &b, NULL, NULL);
    buf_free(&b);
    return rc;
}

static void a_bucket_keeps_what_it_was_told_until_it_is_told_nothing(
    void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct meta_bucket b;
    struct buf command = {0};

    (void)state;
    assert_int_equal(set_config(m, META_CONFIG_CORS, "x"), ERR_NO_BUCKET);
    bucket_create(m, "a");
    assert_int_equal(set_config(m, META_CONFIG_CORS, "one"), 0);
    assert_int_equal(set_config(m, META_CONFIG_RULES, "two"), 0);
    assert_int_equal(set_config(m, META_CONFIG_CORS, "three"), 0);
    assert_int_equal(meta_bucket_get(m, "a", &b, NULL), 0);
    assert_string_equal(b.config[META_CONFIG_CORS].value, "three");
    assert_int_equal(b.config[META_CONFIG_CORS].len, 5);
    assert_string_equal(b.config[META_CONFIG_RULES].value, "two");
    assert_null(b.config[META_CONFIG_POLICY].value);
    meta_bucket_free(&b);
    assert_int_equal(set_config(m, META_CONFIG_CORS, ""), 0);
    assert_int_equal(meta_bucket_get(m, "a", &b, NULL), 0);
    assert_null(b.config[META_CONFIG_CORS].value);
    meta_bucket_free(&b);
    /* One made again under the name starts with nothing. */
    command_bucket_delete(&command, "a");
    assert_int_equal(meta_propose_wait(m, &command, NULL, NULL), 0);
    bucket_create(m, "a");
    assert_int_equal(meta_bucket_get(m, "a", &b, NULL), 0);
    assert_null(b.config[META_CONFIG_RULES].value);
    meta_bucket_free(&b);
    buf_free(&command);
    meta_close(m);
    temp_dir_free(dir);
}

static void put_part(struct meta *m, const uint8_t *id, uint32_t number,
                     uint64_t size, uint64_t run)
{
    struct buf b = {0};
    uint8_t manifest[RANDOM_MANIFEST_SIZE];
    struct meta_content c = {.size_bytes = size,
                             .manifest = manifest,
                             .manifest_len = sizeof manifest};

    random_manifest(run, manifest);
    command_part_put(&b, id, number, &c, "p", number == 3 ? NULL : "crc", 5);
    assert_int_equal(meta_propose_wait(m, &b, NULL, NULL), 0);
    buf_free(&b);
}

/* An upload of parts 2, 3 and 4 with @size bytes each and one of none. */
static uint64_t make_multipart(struct meta *m, const uint8_t *id, uint64_t size)
{
    struct command_part parts[] = {{2, "p"}, {3, "p"}, {4, "p"}, {5, "p"}};
    struct meta_proposal p = {0};
    struct buf b = {0};

    command_upload_create(&b, "b", "big", id, "up", 2, 4);
    assert_int_equal(meta_propose_wait(m, &b, NULL, NULL), 0);
    for (uint32_t n = 1; n <= 4; n++) {
        put_part(m, id, n, size, n);
    }
    put_part(m, id, 5, 0, 5);
    buf_clear(&b);
    command_upload_complete(&b, "b", "big", id, parts, 4, 1, NULL, "multi", "a",
                            1, 6);
    assert_int_equal(meta_propose_wait(m, &b, &p, NULL), 0);
    buf_free(&b);
    return p.body;
}

static void parts_are_found_by_offset_and_by_number(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    uint8_t id[META_UPLOAD_ID] = "0123456789abcde";
    struct meta_object o;
    struct meta_part p;
    uint64_t body;

    (void)state;
    bucket_create(m, "b");
    body = make_multipart(m, id, 100);
    assert_int_equal(meta_object_get(m, "b", "big", true, &o, NULL), 0);
    assert_int_equal(o.parts, 4);
    assert_int_equal(o.size_bytes, 300);
    assert_int_equal(o.body, body);
    assert_null(o.manifest);
    meta_object_free(&o);
    for (uint64_t at = 0; at < 300; at += 33) {
        assert_int_equal(meta_part_at(m, body, at, &p, NULL), 0);
        assert_int_equal(p.number, at / 100 + 1);
        assert_int_equal(p.offset, at / 100 * 100);
        assert_int_equal(p.size_bytes, 100);
        assert_int_equal(p.manifest_len, RANDOM_MANIFEST_SIZE);
        assert_true((p.check == NULL) == (p.number == 2));
        meta_part_free(&p);
    }
    assert_int_equal(meta_part_at(m, body, 300, &p, NULL), ERR_RANGE);
    assert_int_equal(meta_part_at(m, body + 1, 0, &p, NULL), ERR_NOT_FOUND);
    assert_int_equal(meta_part_get(m, body, 4, &p, NULL), 0);
    assert_int_equal(p.size_bytes, 0);
    meta_part_free(&p);
    assert_int_equal(meta_part_get(m, body, 5, &p, NULL), ERR_NOT_FOUND);
    verify(m);
    meta_close(m);
    temp_dir_free(dir);
}

static void uploads_and_their_parts_are_listed(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    uint8_t id[META_UPLOAD_ID] = "0123456789abcde";
    uint8_t none[META_UPLOAD_ID] = "none";
    struct meta_upload u, *old;
    struct meta_part *parts;
    struct meta_list l;
    struct meta_list_query q = {
        .bucket = "b", .prefix = "", .delimiter = "", .after = "", .max = 5};
    struct buf b = {0};
    size_t n;

    (void)state;
    bucket_create(m, "b");
    command_upload_create(&b, "b", "big", id, "up", 2, 40);
    assert_int_equal(meta_propose_wait(m, &b, NULL, NULL), 0);
    put_part(m, id, 1, 10, 1);
    put_part(m, id, 2, 20, 2);
    put_part(m, id, 3, 30, 3);
    assert_int_equal(meta_upload_get(m, "b", "big", id, &u, NULL), 0);
    assert_string_equal(u.key, "big");
    assert_int_equal(u.created_ms, 40);
    meta_upload_free(&u);
    assert_int_equal(meta_upload_get(m, "b", "else", id, &u, NULL),
                     ERR_NO_UPLOAD);
    assert_int_equal(meta_upload_get(m, "b", "big", none, &u, NULL),
                     ERR_NO_UPLOAD);
    assert_int_equal(meta_upload_get(m, "none", "big", id, &u, NULL),
                     ERR_NO_BUCKET);
    assert_int_equal(meta_upload_parts(m, id, 1, 5, true, &parts, &n, NULL), 0);
    assert_int_equal(n, 2);
    assert_int_equal(parts[1].number, 3);
    assert_non_null(parts[0].manifest);
    for (size_t i = 0; i < n; i++) {
        meta_part_free(&parts[i]);
    }
    free(parts);
    assert_int_equal(meta_upload_parts(m, id, 0, 2, false, &parts, &n, NULL),
                     0);
    assert_int_equal(n, 2);
    assert_null(parts[0].manifest);
    for (size_t i = 0; i < n; i++) {
        meta_part_free(&parts[i]);
    }
    free(parts);
    assert_int_equal(meta_upload_parts(m, none, 0, 2, false, &parts, &n, NULL),
                     ERR_NO_UPLOAD);
    assert_int_equal(meta_list_uploads(m, &q, &l, NULL), 0);
    assert_int_equal(l.count, 1);
    meta_list_free(&l);
    assert_int_equal(meta_uploads_older(m, 40, 9, &old, &n, NULL), 0);
    assert_int_equal(n, 0);
    free(old);
    assert_int_equal(meta_uploads_older(m, 41, 9, &old, &n, NULL), 0);
    assert_int_equal(n, 1);
    assert_memory_equal(old[0].id, id, sizeof id);
    meta_upload_free(&old[0]);
    free(old);
    buf_free(&b);
    meta_close(m);
    temp_dir_free(dir);
}

/* Manifests seen by a walk. */
struct walk {
    unsigned count;
    unsigned parts;
    unsigned stop_after;
};

static bool walk_one(void *arg, const char *bucket, const char *key,
                     uint32_t part, const void *manifest, size_t len)
{
    struct walk *w = arg;

    (void)manifest;
    assert_int_equal(len, RANDOM_MANIFEST_SIZE);
    assert_string_equal(bucket, "b");
    assert_non_null(key);
    w->count++;
    w->parts += part > 0;
    return w->count != w->stop_after;
}

static void runs_are_known_until_their_garbage_is_done(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    uint8_t id[META_UPLOAD_ID] = "0123456789abcde";
    uint8_t manifest[RANDOM_MANIFEST_SIZE];
    struct meta_garbage *g;
    struct walk w = {0};
    struct buf b = {0};
    uint64_t hi, lo;
    size_t n;

    (void)state;
    random_manifest(2, manifest);
    hi = load_u64(manifest + 8);
    lo = load_u64(manifest + 16);
    bucket_create(m, "b");
    assert_false(meta_run_known(m, hi, lo));
    make_multipart(m, id, 100);
    assert_true(meta_run_known(m, hi, lo));
    assert_int_equal(meta_each_manifest(m, walk_one, &w, NULL), 0);
    assert_int_equal(w.count, 4); /* part 1 was not listed: garbage */
    assert_int_equal(w.parts, 4);
    w = (struct walk){.stop_after = 2};
    assert_int_equal(meta_each_manifest(m, walk_one, &w, NULL), 0);
    assert_int_equal(w.count, 2);
    command_object_delete(&b, "b", "big", NULL, 70);
    assert_int_equal(meta_propose_wait(m, &b, NULL, NULL), 0);
    assert_true(meta_run_known(m, hi, lo));
    assert_int_equal(meta_garbage_list(m, 70, 9, &g, &n, NULL), 0);
    assert_int_equal(n, 1); /* the part that was dropped at time 6 */
    meta_garbage_free(&g[0]);
    free(g);
    assert_int_equal(meta_garbage_list(m, 71, 9, &g, &n, NULL), 0);
    assert_int_equal(n, 5);
    for (size_t i = 0; i < n; i++) {
        buf_clear(&b);
        command_garbage_done(&b, &g[i].id, 1);
        assert_int_equal(meta_propose_wait(m, &b, NULL, NULL), 0);
        meta_garbage_free(&g[i]);
    }
    free(g);
    assert_false(meta_run_known(m, hi, lo));
    verify(m);
    buf_free(&b);
    meta_close(m);
    temp_dir_free(dir);
}

static void each_manifest_of_many_names_is_visited_once(void **state)
{
    enum { COUNT = 600 };
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct walk w = {0};
    struct buf b[COUNT] = {{0}};

    (void)state;
    bucket_create(m, "b");
    for (unsigned i = 0; i < COUNT; i++) {
        uint8_t manifest[RANDOM_MANIFEST_SIZE];
        struct meta_content c = {.size_bytes = 10,
                                 .manifest = manifest,
                                 .manifest_len = sizeof manifest};
        char key[16];
        random_manifest(i + 1, manifest);
        snprintf(key, sizeof key, "k%u", i);
        command_object_put(&b[i], "b", key, NULL, &c, "e", NULL, 0, 1);
    }
    assert_int_equal(propose_all(m, b, COUNT), 0);
    assert_int_equal(meta_each_manifest(m, walk_one, &w, NULL), 0);
    assert_int_equal(w.count, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        buf_free(&b[i]);
    }
    meta_close(m);
    temp_dir_free(dir);
}

/* Propose and empty @b; gives the version of the answer. */
static uint64_t version_of(struct meta *m, struct buf *b)
{
    struct meta_proposal p = {0};

    assert_int_equal(meta_propose_wait(m, b, &p, NULL), 0);
    buf_clear(b);
    return p.version;
}

static uint64_t put_version(struct meta *m, uint64_t run)
{
    uint8_t manifest[RANDOM_MANIFEST_SIZE];
    struct meta_content c = {.size_bytes = run,
                             .manifest = manifest,
                             .manifest_len = sizeof manifest};
    struct command_more more = {.tags = "a=1", .tags_len = 3};
    struct buf b = {0};
    uint64_t version;

    random_manifest(run, manifest);
    command_object_put(&b, "b", "k", NULL, &c, "e", "at", 2, 5);
    command_add_more(&b, 0, &more);
    version = version_of(m, &b);
    buf_free(&b);
    return version;
}

/* The version @which has @size bytes and is called @version. */
static void expect_version(struct meta *m, uint64_t which, uint64_t size,
                           uint64_t version)
{
    struct meta_object o;

    assert_int_equal(meta_version_get(m, "b", "k", which, true, &o, NULL), 0);
    assert_int_equal(o.size_bytes, size);
    assert_int_equal(o.version, version);
    assert_int_equal(o.manifest_len, RANDOM_MANIFEST_SIZE);
    assert_int_equal(o.tags_len, 3);
    assert_memory_equal(o.tags, "a=1", 3);
    assert_false(o.is_marker || o.hold || o.hold_said);
    meta_object_free(&o);
}

static void versions_are_read_by_number_or_as_null(void **state)
{
    static const uint8_t enabled = META_VERSIONING_ENABLED;
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct walk w = {0};
    struct buf b = {0};
    struct meta_object o;
    uint64_t first, second, marker;

    (void)state;
    bucket_create(m, "b");
    assert_int_equal(put_version(m, 1), 0);
    expect_version(m, META_VERSION_CURRENT, 1, 0);
    expect_version(m, META_VERSION_NULL, 1, 0);
    assert_int_equal(meta_version_get(m, "b", "k", 99, false, &o, NULL),
                     ERR_NO_VERSION);
    command_bucket_config(&b, "b", META_CONFIG_VERSIONING, &enabled, 1);
    version_of(m, &b);
    expect_version(m, META_VERSION_CURRENT, 1, META_VERSION_NULL);
    first = put_version(m, 2);
    second = put_version(m, 3);
    expect_version(m, META_VERSION_CURRENT, 3, second);
    expect_version(m, META_VERSION_NULL, 1, META_VERSION_NULL);
    expect_version(m, first, 2, first);
    expect_version(m, second, 3, second);
    command_object_delete(&b, "b", "k", NULL, 70);
    marker = version_of(m, &b);
    assert_int_equal(meta_object_get(m, "b", "k", false, &o, NULL), ERR_NO_KEY);
    assert_int_equal(meta_version_get(m, "b", "k", 0, false, &o, NULL), 0);
    assert_true(o.is_marker);
    assert_int_equal(o.version | META_VERSION_MARKER, marker);
    assert_int_equal(o.modified_ms, 70);
    meta_object_free(&o);
    expect_version(m, second, 3, second);
    assert_int_equal(meta_version_get(m, "b", "none", 0, false, &o, NULL),
                     ERR_NO_KEY);
    assert_int_equal(
        meta_version_get(m, "b", "none", META_VERSION_NULL, false, &o, NULL),
        ERR_NO_VERSION);
    assert_int_equal(meta_version_get(m, "c", "k", 0, false, &o, NULL),
                     ERR_NO_BUCKET);
    assert_int_equal(meta_each_manifest(m, walk_one, &w, NULL), 0);
    assert_int_equal(w.count, 3);
    for (uint64_t i = 0; i < 300; i++) { /* more than a step of the walk */
        put_version(m, 10 + i);
    }
    w = (struct walk){0};
    assert_int_equal(meta_each_manifest(m, walk_one, &w, NULL), 0);
    assert_int_equal(w.count, 303);
    verify(m);
    buf_free(&b);
    meta_close(m);
    temp_dir_free(dir);
}

static void the_layout_is_kept(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct buf b = {0}, layout = {0};
    uint32_t epoch;

    (void)state;
    assert_int_equal(meta_layout(m, &epoch, &layout, NULL), ERR_NOT_FOUND);
    command_layout_set(&b, 1, "groups", 6);
    assert_int_equal(meta_propose_wait(m, &b, NULL, NULL), 0);
    assert_int_equal(meta_propose_wait(m, &b, NULL, NULL), ERR_PRECONDITION);
    meta_close(m);
    m = must_open(dir);
    assert_int_equal(meta_layout(m, &epoch, &layout, NULL), 0);
    assert_int_equal(epoch, 1);
    assert_int_equal(layout.len, 6);
    assert_memory_equal(layout.data, "groups", 6);
    buf_free(&b);
    buf_free(&layout);
    meta_close(m);
    temp_dir_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_are_listed_by_name),
        cmocka_unit_test(
            a_bucket_keeps_what_it_was_told_until_it_is_told_nothing),
        cmocka_unit_test(parts_are_found_by_offset_and_by_number),
        cmocka_unit_test(uploads_and_their_parts_are_listed),
        cmocka_unit_test(runs_are_known_until_their_garbage_is_done),
        cmocka_unit_test(each_manifest_of_many_names_is_visited_once),
        cmocka_unit_test(versions_are_read_by_number_or_as_null),
        cmocka_unit_test(the_layout_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
