/* test_intake.c: objects are sealed, spooled, then acknowledged.
 *
 * Goal: callbacks come when the object is durable and not before; what is held
 * opens for its recipient and, with local reads, for this process alone; bounds
 * hold. Method: a spool in a folder of the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "edge-agent/intake.h"
#include "tests/lib/temp_dir.h"

struct world {
    char *dir;
    struct spool_disk disk;
    struct intake *in;
    struct seal_identity owner;
    struct seal_recipient recipient;
    int done, code;
};

static void open_world(struct world *w, bool local_read)
{
    struct intake_options o = {
        .recipients = &w->recipient,
        .recipient_count = 1,
        .algorithm = PRIM_CHACHA20_POLY1305,
        .local_read = local_read,
        .max_bytes = 64ull << 20,
        .max_objects = 1000,
    };

    assert_int_equal(spool_disk_open(w->dir, &w->disk, NULL), 0);
    assert_int_equal(intake_new(&w->disk, &o, &w->in, NULL), 0);
}

static void close_world(struct world *w)
{
    intake_free(w->in);
    spool_disk_close(&w->disk);
}

static int set_up(void **state)
{
    struct world *w = mem_alloc(sizeof *w);

    w->dir = temp_dir_new();
    seal_identity_new(&w->owner);
    seal_identity_recipient(&w->owner, &w->recipient);
    open_world(w, true);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    close_world(w);
    temp_dir_free(w->dir);
    free(w);
    return 0;
}

static void on_done(void *arg, int code, const char *why)
{
    struct world *w = arg;

    assert_non_null(why);
    w->done++;
    w->code = code;
}

static struct intake_put *begin(struct world *w, const char *key)
{
    struct intake_what what = {.key = key, .key_len = strlen(key)};
    struct intake_put *p;

    assert_int_equal(intake_put_open(w->in, &what, &p, NULL), 0);
    return p;
}

static uint8_t byte_of(size_t i)
{
    return (uint8_t)(i * 2654435761u >> 11);
}

/* In runs of different lengths. */
static void put(struct world *w, const char *key, size_t size)
{
    struct intake_put *p = begin(w, key);
    uint8_t *text = mem_alloc(size + 1);
    size_t run = 1;

    for (size_t i = 0; i < size; i++) {
        text[i] = byte_of(i);
    }
    for (size_t at = 0; at < size; at += run, run = run * 3 % 100003) {
        size_t n = size - at < run ? size - at : run;
        assert_int_equal(intake_put_update(p, text + at, n, NULL), 0);
    }
    assert_int_equal(intake_put_finish(p, on_done, w, NULL), 0);
    free(text);
}

static uint64_t find(struct world *w, const char *key)
{
    uint64_t id;

    assert_int_equal(
        spool_find(intake_spool(w->in), key, strlen(key), &id, NULL), 0);
    return id;
}

static void check_text(const struct buf *b, size_t size)
{
    assert_int_equal(b->len, size);
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(b->data[i], byte_of(i));
    }
}

static void an_object_is_acknowledged_once_it_is_durable(void **state)
{
    struct world *w = *state;
    uint64_t id;

    put(w, "bucket/a", 100);
    assert_int_equal(w->done, 0);
    assert_int_equal(spool_find(intake_spool(w->in), "bucket/a", 8, &id, NULL),
                     ERR_NO_KEY);
    assert_true(intake_commit(w->in));
    assert_int_equal(w->done, 1);
    assert_int_equal(w->code, 0);
    assert_int_equal(find(w, "bucket/a"), 1);
    assert_false(intake_commit(w->in));
}

static void who_forgot_is_not_called(void **state)
{
    struct world *w = *state;

    put(w, "bucket/a", 100);
    intake_forget(w->in, w);
    intake_commit(w->in);
    assert_int_equal(w->done, 0);
    find(w, "bucket/a"); /* it is held all the same */
}

static void the_owner_and_this_process_open_any_size(void **state)
{
    static const size_t sizes[] = {0,     1,     1000,   65535,
                                   65536, 65537, 131072, 1000000};
    struct world *w = *state;

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct buf sealed = {0}, text = {0};
        struct intake_envelope *e;
        struct intake_read *r;
        struct seal_opener *o = seal_opener_new(&w->owner, 1);
        uint64_t id, size;
        size_t n = 0, last = 0;
        bool more = true;
        put(w, "bucket/k", sizes[i]);
        intake_commit(w->in);
        id = find(w, "bucket/k");
        assert_int_equal(intake_envelope_open(w->in, id, &e, &size, NULL), 0);
        while (more) {
            assert_int_equal(intake_envelope_next(e, &sealed, &more, NULL), 0);
        }
        intake_envelope_close(e);
        assert_int_equal(sealed.len, size);
        buf_reserve(&text, SEAL_OPEN_UPDATE_MAX(sealed.len) + SEAL_CHUNK);
        assert_int_equal(
            seal_opener_update(o, sealed.data, sealed.len, text.data, &n, NULL),
            0);
        assert_int_equal(seal_opener_final(o, text.data + n, &last, NULL), 0);
        text.len = n + last;
        check_text(&text, sizes[i]);
        buf_clear(&text);
        assert_int_equal(intake_read_open(w->in, id, &r, NULL), 0);
        for (more = true; more;) {
            assert_int_equal(intake_read_next(r, &text, &more, NULL), 0);
        }
        intake_read_close(r);
        check_text(&text, sizes[i]);
        seal_opener_free(o);
        buf_free(&sealed);
        buf_free(&text);
    }
}

static void the_next_process_opens_nothing_of_this_one(void **state)
{
    struct world *w = *state;
    struct intake_read *r;
    struct spool_object o;
    struct buf text = {0};
    uint8_t md5[PRIM_MD5], want[PRIM_MD5];
    uint64_t id;

    put(w, "bucket/a", 0);
    intake_commit(w->in);
    id = find(w, "bucket/a");
    assert_int_equal(spool_get(intake_spool(w->in), id, &o, &text, NULL), 0);
    prim_md5("", 0, want);
    assert_true(intake_md5(w->in, &o, md5));
    assert_memory_equal(md5, want, sizeof md5);
    assert_memory_not_equal(o.etag, want, sizeof want);
    close_world(w);
    open_world(w, true);
    assert_int_equal(intake_read_open(w->in, id, &r, NULL), ERR_DENIED);
    assert_false(intake_md5(w->in, &o, md5));
    close_world(w);
    open_world(w, false);
    put(w, "bucket/b", 1);
    intake_commit(w->in);
    assert_int_equal(intake_read_open(w->in, find(w, "bucket/b"), &r, NULL),
                     ERR_DENIED);
    buf_free(&text);
}

static void metadata_come_back(void **state)
{
    static const char *const meta[] = {"unit", "C", "empty", ""};
    struct world *w = *state;
    struct intake_what what = {.key = "bucket/a",
                               .key_len = 8,
                               .class_id = 7,
                               .content_type = "text/x",
                               .meta = meta,
                               .meta_count = 2};
    struct intake_put *p;
    struct intake_meta m;
    struct spool_object o;
    struct buf text = {0};

    assert_int_equal(intake_put_open(w->in, &what, &p, NULL), 0);
    assert_int_equal(intake_put_finish(p, on_done, w, NULL), 0);
    intake_commit(w->in);
    assert_int_equal(spool_get(intake_spool(w->in), 1, &o, &text, NULL), 0);
    assert_int_equal(o.class_id, 7);
    assert_int_equal(intake_meta_read(&o, &m, NULL), 0);
    assert_string_equal(m.content_type, "text/x");
    assert_int_equal(m.count, 2);
    assert_string_equal(m.pairs[0], "unit");
    assert_string_equal(m.pairs[1], "C");
    assert_string_equal(m.pairs[3], "");
    intake_meta_free(&m);
    o.meta_len--;
    assert_int_equal(intake_meta_read(&o, &m, NULL), ERR_CORRUPT);
    buf_free(&text);
}

static void bounds_are_named(void **state)
{
    struct world *w = *state;
    char key[SPOOL_KEY_MAX + 1];
    char *long_text = mem_alloc(SPOOL_META_MAX + 1);
    const char *meta[2 * (INTAKE_META_MAX + 1)];
    struct intake_what what = {.key = key, .key_len = sizeof key};
    struct intake_put *p, *large[INTAKE_LARGE_MAX + 1];
    uint8_t *text = mem_alloc(INTAKE_SMALL + 1);
    struct intake_options none = {.recipient_count = 0};
    struct intake *in;

    memset(key, 'k', sizeof key);
    assert_int_equal(intake_put_open(w->in, &what, &p, NULL), ERR_LIMIT);
    assert_int_equal(intake_delete(w->in, key, sizeof key, on_done, w, NULL),
                     ERR_LIMIT);
    what.key = "bucket/M\xe4rz"; /* the cluster would refuse it for good */
    what.key_len = strlen(what.key);
    assert_int_equal(intake_put_open(w->in, &what, &p, NULL), ERR_BAD_INPUT);
    assert_int_equal(
        intake_delete(w->in, what.key, what.key_len, on_done, w, NULL),
        ERR_BAD_INPUT);
    what.key = key;
    what.key_len = 5;
    what.class_id = SPOOL_CLASSES;
    assert_int_equal(intake_put_open(w->in, &what, &p, NULL), ERR_BAD_INPUT);
    what.class_id = 0;
    for (size_t i = 0; i < 2 * (INTAKE_META_MAX + 1); i++) {
        meta[i] = "x";
    }
    what.meta = meta;
    what.meta_count = INTAKE_META_MAX + 1;
    assert_int_equal(intake_put_open(w->in, &what, &p, NULL), ERR_LIMIT);
    memset(long_text, 'x', SPOOL_META_MAX);
    meta[1] = long_text;
    what.meta_count = 1;
    assert_int_equal(intake_put_open(w->in, &what, &p, NULL), ERR_LIMIT);
    for (int i = 0; i <= INTAKE_LARGE_MAX; i++) {
        large[i] = begin(w, "bucket/large");
        assert_int_equal(
            intake_put_update(large[i], text, INTAKE_SMALL + 1, NULL),
            i < INTAKE_LARGE_MAX ? 0 : ERR_BUSY);
    }
    for (int i = 0; i <= INTAKE_LARGE_MAX; i++) {
        intake_put_abort(large[i]);
    }
    assert_int_equal(intake_new(&w->disk, &none, &in, NULL), ERR_BAD_INPUT);
    free(text);
    free(long_text);
}

static void what_is_aborted_leaves_room(void **state)
{
    struct world *w = *state;
    uint8_t *text = mem_alloc(1 << 20);
    struct spool_status st;

    for (int i = 0; i < 200; i++) { /* 200 MiB through a spool of 64 */
        struct intake_put *p = begin(w, "bucket/large");
        assert_int_equal(intake_put_update(p, text, 1 << 20, NULL), 0);
        intake_put_abort(p);
    }
    spool_status(intake_spool(w->in), &st);
    assert_int_equal(st.objects, 0);
    assert_true(st.segments <= 4);
    free(text);
}

static uint32_t link_of(struct world *w, const char *key)
{
    struct spool_object o;
    struct buf text = {0};

    assert_int_equal(
        spool_get(intake_spool(w->in), find(w, key), &o, &text, NULL), 0);
    buf_free(&text);
    return o.link;
}

/* A segment's root has enough for the records that fit in it, and no more: who
 * began large ones that the spool refuses would use them up. */
static void large_objects_take_no_link_of_a_segment(void **state)
{
    struct world *w = *state;
    uint8_t *text = mem_alloc(INTAKE_SMALL + 1);

    put(w, "bucket/a", 100);
    for (int i = 0; i < 3; i++) {
        struct intake_put *p = begin(w, "bucket/large");
        assert_int_equal(intake_put_update(p, text, INTAKE_SMALL + 1, NULL), 0);
        intake_put_abort(p);
    }
    put(w, "bucket/b", 100);
    intake_commit(w->in);
    assert_int_equal(link_of(w, "bucket/b"), link_of(w, "bucket/a") + 1);
    free(text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_object_is_acknowledged_once_it_is_durable),
        TEST(who_forgot_is_not_called),
        TEST(the_owner_and_this_process_open_any_size),
        TEST(the_next_process_opens_nothing_of_this_one),
        TEST(metadata_come_back),
        TEST(bounds_are_named),
        TEST(what_is_aborted_leaves_room),
        TEST(large_objects_take_no_link_of_a_segment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
