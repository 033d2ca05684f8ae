/* test_meta.c: the catalogue from end to end.
 *
 * Goal: what was acknowledged is read by the next read and survives the end of
 * the process at any moment; of racing conditional puts exactly one wins; the
 * database and the log never disagree unnoticed; a disk that fails ends the
 * process before anything is acknowledged.
 * Method: real folders under /tmp; processes killed by SIGKILL while threads
 * put; databases put back to an earlier state, as a power cut may, and
 * replayed.
 */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/latch.h"
#include "base/list.h"
#include "base/mem.h"
#include "meta/meta.h"
#include "meta/meta_internal.h"
#include "meta/meta_stop.h"
#include "meta/raft_log.h"
#include "tests/lib/random_command.h"
#include "tests/lib/temp_dir.h"

#define SEGMENT (256 << 10)
#define THREADS 8
#define LONG_MS 60000

static struct meta *must_open(const char *dir)
{
    struct meta_options o = {.dir = dir, .log_segment_bytes = SEGMENT};
    struct meta *m;
    struct err err = {0};

    if (meta_open(&o, &m, &err) != 0) {
        fail_msg("open: %s", err.text);
    }
    return m;
}

static int open_error(const char *dir, struct err *err)
{
    struct meta_options o = {.dir = dir, .log_segment_bytes = SEGMENT};
    struct meta *m;

    return meta_open(&o, &m, err);
}

static void report(void *arg, const char *what)
{
    (void)arg;
    print_error("defect: %s\n", what);
}

static void verify(struct meta *m)
{
    assert_int_equal(meta_verify(m, report, NULL), 0);
}

static int bucket_create(struct meta *m, const char *name)
{
    struct buf b = {0};
    int rc;

    command_bucket_create(&b, name, "me", 1);
    rc = meta_propose_wait(m, &b, NULL, NULL);
    buf_free(&b);
    return rc;
}

static int put_if(struct meta *m, const char *key, const char *text,
                  const char *etag, const struct meta_condition *c)
{
    struct buf b = {0};
    struct meta_content content = {.size_bytes = strlen(text),
                                   .inline_bytes = text};
    int rc;

    command_object_put(&b, "b", key, c, &content, etag, "attrs", 5, 2);
    rc = meta_propose_wait(m, &b, NULL, NULL);
    buf_free(&b);
    return rc;
}

static int put(struct meta *m, const char *key, const char *text)
{
    return put_if(m, key, text, "etag", NULL);
}

static void expect_text(struct meta *m, const char *key, const char *text)
{
    struct meta_object o;
    struct err err = {0};

    if (meta_object_get(m, "b", key, true, &o, &err) != 0) {
        fail_msg("get %s: %s", key, err.text);
    }
    assert_int_equal(o.size_bytes, strlen(text));
    assert_memory_equal(o.inline_bytes, text, strlen(text));
    meta_object_free(&o);
}

/* A proposal that waits for nobody. */
struct loose {
    struct meta_proposal p;
    struct latch *latch;
    _Atomic int *busy;
    _Atomic int *other;
};

static void loose_done(struct meta_proposal *p)
{
    struct loose *l = LIST_OF(p, struct loose, p);

    if (p->status == ERR_BUSY) {
        ++*l->busy;
    } else if (p->status != 0) {
        ++*l->other;
    }
    latch_signal(l->latch);
}

/* Propose all of them at once and wait; gives how many were refused. */
static int propose_all(struct meta *m, struct buf *commands, size_t count)
{
    struct loose *all = mem_calloc(count, sizeof *all);
    struct latch latch;
    _Atomic int busy = 0, other = 0;

    latch_init(&latch);
    for (size_t i = 0; i < count; i++) {
        all[i] = (struct loose){.p = {.command = commands[i].data,
                                      .command_len = commands[i].len,
                                      .done = loose_done},
                                .latch = &latch,
                                .busy = &busy,
                                .other = &other};
        meta_propose(m, &all[i].p);
    }
    assert_true(latch_wait(&latch, count, LONG_MS));
    latch_close(&latch);
    free(all);
    return busy + other;
}

/* ---- plain use ---- */

static void what_was_put_is_read_with_all_its_fields(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct meta_object o;
    struct meta_bucket b;
    struct err err = {0};

    (void)state;
    assert_int_equal(bucket_create(m, "b"), 0);
    assert_int_equal(bucket_create(m, "b"), ERR_BUCKET_EXISTS);
    assert_int_equal(put(m, "k", "hello"), 0);
    assert_int_equal(meta_object_get(m, "b", "k", false, &o, NULL), 0);
    assert_string_equal(o.etag, "etag");
    assert_int_equal(o.modified_ms, 2);
    assert_int_equal(o.attrs_len, 5);
    assert_null(o.inline_bytes);
    assert_int_equal(o.parts, 0);
    meta_object_free(&o);
    meta_object_free(&o); /* a freed one is nothing */
    expect_text(m, "k", "hello");
    assert_int_equal(meta_object_get(m, "b", "none", true, &o, &err),
                     ERR_NO_KEY);
    assert_int_equal(meta_object_get(m, "none", "k", true, &o, &err),
                     ERR_NO_BUCKET);
    assert_int_equal(meta_bucket_get(m, "b", &b, NULL), 0);
    assert_string_equal(b.owner, "me");
    assert_int_equal(b.created_ms, 1);
    meta_bucket_free(&b);
    assert_int_equal(meta_bucket_get(m, "none", &b, &err), ERR_NO_BUCKET);
    verify(m);
    meta_close(m);
    m = must_open(dir);
    expect_text(m, "k", "hello");
    meta_close(m);
    meta_close(NULL);
    temp_dir_free(dir);
}

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

static void deletes_of_many_answer_with_codes(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    const char *keys[] = {"a", "b"};
    const char *etags[] = {NULL, "other"};
    uint8_t codes[META_DELETE_MAX];
    struct meta_proposal p = {.codes = codes};
    struct buf b = {0};

    (void)state;
    bucket_create(m, "b");
    put(m, "a", "1");
    put(m, "b", "2");
    command_objects_delete(&b, "b", keys, etags, 2, 1);
    assert_int_equal(meta_propose_wait(m, &b, &p, NULL), 0);
    assert_int_equal(codes[0], 0);
    assert_int_equal(codes[1], ERR_PRECONDITION);
    buf_free(&b);
    meta_close(m);
    temp_dir_free(dir);
}

static void statistics_count_rows_and_commands(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct meta_stats s;

    (void)state;
    bucket_create(m, "b");
    put(m, "a", "1");
    put(m, "b", "2");
    meta_stats(m, &s);
    assert_true(s.leader);
    assert_true(s.term > 0);
    assert_true(s.applied_index >= 3);
    assert_int_equal(s.buckets, 1);
    assert_int_equal(s.objects, 2);
    assert_int_equal(s.uploads, 0);
    assert_int_equal(s.garbage, 0);
    assert_int_equal(s.commands, 3);
    assert_int_equal(s.entries, 3);
    assert_true(s.log_bytes >= SEGMENT);
    assert_true(s.database_bytes > 0);
    meta_close(m);
    temp_dir_free(dir);
}

/* ---- refusals ---- */

static void what_cannot_be_decoded_is_refused_before_the_log(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct meta_stats before, after;
    struct buf b = {0};
    struct err err = {0};

    (void)state;
    meta_stats(m, &before);
    buf_append(&b, "\x03\x01xyz", 5);
    assert_int_equal(meta_propose_wait(m, &b, NULL, &err), ERR_BAD_INPUT);
    assert_non_null(strstr(err.text, "OBJECT_PUT"));
    meta_stats(m, &after);
    assert_int_equal(before.entries, after.entries);
    buf_free(&b);
    meta_close(m);
    temp_dir_free(dir);
}

static void below_the_reserve_only_what_frees_is_taken(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct meta_options o = {
        .dir = dir, .log_segment_bytes = SEGMENT, .reserve_bytes = UINT64_MAX};
    struct buf b = {0};
    struct err err = {0};

    (void)state;
    bucket_create(m, "b");
    put(m, "k", "1");
    meta_close(m);
    assert_int_equal(meta_open(&o, &m, NULL), 0);
    assert_int_equal(put(m, "k", "2"), ERR_FULL);
    assert_int_equal(bucket_create(m, "c"), ERR_FULL);
    expect_text(m, "k", "1");
    command_object_delete(&b, "b", "k", NULL, 1);
    assert_int_equal(meta_propose_wait(m, &b, NULL, &err), 0);
    buf_clear(&b);
    command_bucket_delete(&b, "b");
    assert_int_equal(meta_propose_wait(m, &b, NULL, &err), 0);
    buf_free(&b);
    meta_close(m);
    temp_dir_free(dir);
}

static void a_full_queue_says_busy(void **state)
{
    enum { COUNT = 60000 };
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct loose *all = mem_calloc(COUNT, sizeof *all);
    struct buf b = {0};
    struct latch latch;
    _Atomic int busy = 0, other = 0;

    (void)state;
    bucket_create(m, "b");
    latch_init(&latch);
    command_object_delete(&b, "b", "k", NULL, 1);
    for (int i = 0; i < COUNT; i++) {
        all[i] = (struct loose){
            .p = {.command = b.data, .command_len = b.len, .done = loose_done},
            .latch = &latch,
            .busy = &busy,
            .other = &other};
        meta_propose(m, &all[i].p);
    }
    assert_true(latch_wait(&latch, COUNT, LONG_MS));
    assert_true(busy > 0);
    assert_true(busy < COUNT);
    assert_int_equal(other, 0);
    latch_close(&latch);
    buf_free(&b);
    free(all);
    meta_close(m);
    temp_dir_free(dir);
}

static void closing_answers_what_was_proposed(void **state)
{
    enum { COUNT = 3000 };
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct loose *all = mem_calloc(COUNT, sizeof *all);
    struct buf b = {0};
    struct latch latch;
    _Atomic int busy = 0, other = 0;

    (void)state;
    latch_init(&latch);
    command_bucket_delete(&b, "none");
    for (int i = 0; i < COUNT; i++) {
        all[i] = (struct loose){
            .p = {.command = b.data, .command_len = b.len, .done = loose_done},
            .latch = &latch,
            .busy = &busy,
            .other = &other};
        meta_propose(m, &all[i].p);
    }
    meta_close(m);
    assert_true(latch_wait(&latch, COUNT, LONG_MS));
    assert_int_equal(other, COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(all[i].p.status, ERR_NO_BUCKET);
    }
    latch_close(&latch);
    buf_free(&b);
    free(all);
    temp_dir_free(dir);
}

/* ---- races ---- */

struct racer {
    struct meta *m;
    pthread_t thread;
    unsigned number;
    unsigned won;
};

#define ROUNDS 20

static void *race(void *arg)
{
    struct racer *r = arg;
    struct meta_condition none = {.if_none_match = "*"};

    for (unsigned i = 0; i < ROUNDS; i++) {
        char key[16], text[16];
        int rc;
        snprintf(key, sizeof key, "k%u", i);
        snprintf(text, sizeof text, "w%u", r->number);
        rc = put_if(r->m, key, text, text, &none);
        if (rc == 0) {
            r->won++;
            expect_text(r->m, key, text); /* read after write */
        } else {
            assert_int_equal(rc, ERR_PRECONDITION);
        }
    }
    return NULL;
}

static void of_racing_conditional_puts_exactly_one_wins(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct racer r[THREADS];
    unsigned won = 0;

    (void)state;
    bucket_create(m, "b");
    for (unsigned i = 0; i < THREADS; i++) {
        r[i] = (struct racer){.m = m, .number = i};
        pthread_create(&r[i].thread, NULL, race, &r[i]);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(r[i].thread, NULL);
        won += r[i].won;
    }
    assert_int_equal(won, ROUNDS);
    verify(m);
    meta_close(m);
    temp_dir_free(dir);
}

/* Each increments a number that the object holds, by If-Match. */
static void *count_up(void *arg)
{
    struct racer *r = arg;

    while (r->won < ROUNDS) {
        struct meta_object o;
        struct meta_condition c = {0};
        char text[32];
        int rc;
        assert_int_equal(meta_object_get(r->m, "b", "n", true, &o, NULL), 0);
        c.if_match = o.etag;
        snprintf(text, sizeof text, "%ld", strtol(o.etag, NULL, 10) + 1);
        rc = put_if(r->m, "n", text, text, &c);
        assert_true(rc == 0 || rc == ERR_PRECONDITION);
        r->won += rc == 0;
        meta_object_free(&o);
    }
    return NULL;
}

static void no_conditional_update_is_lost(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct racer r[THREADS];
    char want[32];

    (void)state;
    bucket_create(m, "b");
    assert_int_equal(put_if(m, "n", "0", "0", NULL), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        r[i] = (struct racer){.m = m};
        pthread_create(&r[i].thread, NULL, count_up, &r[i]);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(r[i].thread, NULL);
    }
    snprintf(want, sizeof want, "%d", THREADS * ROUNDS);
    expect_text(m, "n", want);
    meta_close(m);
    temp_dir_free(dir);
}

/* ---- snapshots and what a power cut leaves ---- */

static void snapshots_cut_the_log_and_restarts_go_on(void **state)
{
    char *dir = temp_dir_new();
    struct meta_options o = {.dir = dir,
                             .log_segment_bytes = RAFT_LOG_SEGMENT_MIN,
                             .snapshot_entries = 20};
    char *snapshot = mem_printf("%s/snapshot", dir);

    (void)state;
    for (unsigned life = 0; life < 3; life++) {
        struct meta *m;
        struct meta_stats s;
        struct err err = {0};
        if (meta_open(&o, &m, &err) != 0) {
            fail_msg("%s", err.text);
        }
        bucket_create(m, "b");
        for (unsigned i = 0; i < 120; i++) {
            char key[32], text[2000];
            memset(text, 'x', sizeof text);
            text[sizeof text - 1] = '\0';
            snprintf(key, sizeof key, "%u/%u", life, i);
            assert_int_equal(put(m, key, text), 0);
        }
        meta_stats(m, &s);
        assert_int_equal(s.objects, (life + 1) * 120);
        /* 120 records are 480 KiB; what is left is a few segments. */
        assert_true(s.log_bytes <= 6 * RAFT_LOG_SEGMENT_MIN);
        verify(m);
        meta_close(m);
        assert_int_equal(access(snapshot, F_OK), 0);
    }
    free(snapshot);
    temp_dir_free(dir);
}

static void many_starts_leave_few_files_of_the_log(void **state)
{
    char *dir = temp_dir_new();
    uint64_t most = 0;

    (void)state;
    for (unsigned life = 0; life < 12; life++) {
        struct meta *m = must_open(dir);
        struct meta_stats s;
        bucket_create(m, "b");
        meta_stats(m, &s);
        most = s.log_bytes > most ? s.log_bytes : most;
        meta_close(m);
    }
    /* Three segments, two spares; one more while a snapshot is on its way. */
    assert_true(most <= 6 * SEGMENT);
    temp_dir_free(dir);
}

static void copy_file(const char *dir, const char *name, const char *to)
{
    char *from_path = mem_printf("%s/%s", dir, name);
    char *to_path = mem_printf("%s/%s", dir, to);
    struct buf b = {0};

    unlink(to_path);
    if (fs_read(from_path, 1 << 30, &b, NULL) == 0) {
        assert_int_equal(fs_write(to_path, b.data, b.len, 0600, NULL), 0);
    }
    buf_free(&b);
    free(from_path);
    free(to_path);
}

static void dump(struct meta *m, struct buf *out)
{
    struct meta_db *db;

    assert_int_equal(meta_read_begin(m, &db, NULL), 0);
    assert_int_equal(meta_dump_on(db, out, NULL), 0);
    meta_read_end(m, db);
}

/* The first line has the applied index, which barriers raise. */
static const char *rows(const struct buf *b)
{
    return strchr((const char *)b->data, '\n');
}

static void propose_random(struct meta *m, struct random_command *r, int n)
{
    for (int i = 0; i < n; i++) {
        struct buf b = {0};
        struct meta_stats s;
        meta_stats(m, &s);
        r->index = s.applied_index + 1;
        random_command_next(r, &b);
        meta_propose_wait(m, &b, NULL, NULL);
        buf_free(&b);
    }
}

/* A power cut may take the last commits from the database, never from the
 * log: put an older database back and the log makes up for it. */
static void an_older_database_is_made_whole_by_the_log(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        char *dir = temp_dir_new();
        struct random_command r;
        struct buf want = {0}, have = {0};
        struct meta *m = must_open(dir);
        random_command_init(&r, seed);
        propose_random(m, &r, 60);
        meta_close(m);
        copy_file(dir, "catalogue.db", "old");
        m = must_open(dir);
        propose_random(m, &r, 90);
        dump(m, &want);
        meta_close(m);
        copy_file(dir, "old", "catalogue.db");
        m = must_open(dir);
        dump(m, &have);
        assert_string_equal(rows(&want), rows(&have));
        verify(m);
        meta_close(m);
        buf_free(&want);
        buf_free(&have);
        temp_dir_free(dir);
    }
}

static void a_database_older_than_the_snapshot_is_refused(void **state)
{
    char *dir = temp_dir_new();
    struct meta_options o = {
        .dir = dir, .log_segment_bytes = SEGMENT, .snapshot_entries = 10};
    struct meta *m;
    struct err err = {0};

    (void)state;
    assert_int_equal(meta_open(&o, &m, NULL), 0);
    bucket_create(m, "b");
    meta_close(m);
    copy_file(dir, "catalogue.db", "old");
    assert_int_equal(meta_open(&o, &m, NULL), 0);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(put(m, "k", "v"), 0);
    }
    meta_close(m);
    copy_file(dir, "old", "catalogue.db");
    assert_int_equal(open_error(dir, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "catalogue.db"));
    temp_dir_free(dir);
}

static void a_log_that_lost_its_end_is_refused(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct err err = {0};
    char *path = mem_printf("%s/log-%016x", dir, 1);
    int fd;

    (void)state;
    bucket_create(m, "b");
    for (int i = 0; i < 5; i++) {
        put(m, "k", "v");
    }
    meta_close(m);
    fd = open(path, O_RDWR);
    /* The last record, of index 8: configuration, barrier and six. */
    assert_int_equal(pwrite(fd, "?", 1, 8 * RAFT_LOG_BLOCK + 50), 1);
    close(fd);
    assert_int_equal(open_error(dir, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "has applied 8"));
    free(path);
    temp_dir_free(dir);
}

static void foreign_and_damaged_databases_are_refused(void **state)
{
    char *dir = temp_dir_new();
    char *path = mem_printf("%s/catalogue.db", dir);
    struct meta *m = must_open(dir);
    struct meta_db db;
    struct err err = {0};
    char junk[200];

    (void)state;
    meta_close(m);
    assert_int_equal(meta_db_open(&db, path, META_DB_WRITER, NULL), 0);
    assert_int_equal(meta_db_exec(&db, "PRAGMA user_version = 99", NULL), 0);
    meta_db_close(&db);
    assert_int_equal(open_error(dir, &err), ERR_VERSION);
    assert_non_null(strstr(err.text, "99"));
    memset(junk, 'j', sizeof junk);
    assert_int_equal(fs_write(path, junk, sizeof junk, 0600, NULL), 0);
    assert_int_equal(open_error(dir, &err), ERR_CORRUPT);
    free(path);
    temp_dir_free(dir);
}

/* ---- the end of the process ---- */

/* What a child has seen acknowledged: for each thread, puts so far. */
struct acks {
    _Atomic unsigned started[THREADS];
    _Atomic unsigned done[THREADS];
};

struct putter {
    struct meta *m;
    struct acks *acks;
    unsigned number;
    unsigned from;
};

static void *put_for_ever(void *arg)
{
    struct putter *p = arg;

    for (unsigned i = p->from;; i++) {
        char key[32], text[32];
        snprintf(key, sizeof key, "t%u", p->number);
        snprintf(text, sizeof text, "%u", i);
        p->acks->started[p->number] = i;
        if (put(p->m, key, text) != 0) {
            _exit(1);
        }
        p->acks->done[p->number] = i;
    }
    return NULL;
}

static void child_main(const char *dir, struct acks *acks)
{
    struct meta_options o = {.dir = dir,
                             .log_segment_bytes = RAFT_LOG_SEGMENT_MIN,
                             .snapshot_entries = 50};
    struct putter p[THREADS];
    struct meta *m;
    pthread_t t;

    if (meta_open(&o, &m, NULL) != 0) {
        _exit(2);
    }
    bucket_create(m, "b");
    for (unsigned i = 0; i < THREADS; i++) {
        p[i] = (struct putter){
            .m = m, .acks = acks, .number = i, .from = acks->started[i] + 1};
        pthread_create(&t, NULL, put_for_ever, &p[i]);
    }
    for (;;) {
        pause();
    }
}

static void a_killed_process_loses_nothing_acknowledged(void **state)
{
    char *dir = temp_dir_new();
    struct acks *acks = mmap(NULL, sizeof *acks, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned total = 0;

    (void)state;
    for (unsigned life = 0; life < 10; life++) {
        struct meta *m;
        pid_t pid = fork();
        int status;
        if (pid == 0) {
            child_main(dir, acks);
        }
        clock_sleep_ms(60 + life * 37 % 90);
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        assert_true(WIFSIGNALED(status));
        m = must_open(dir);
        for (unsigned i = 0; i < THREADS; i++) {
            struct meta_object o;
            char key[32];
            unsigned have;
            snprintf(key, sizeof key, "t%u", i);
            if (acks->done[i] == 0) {
                continue;
            }
            assert_int_equal(meta_object_get(m, "b", key, true, &o, NULL), 0);
            have = (unsigned)strtoul((char *)o.inline_bytes, NULL, 10);
            assert_true(have >= acks->done[i] && have <= acks->started[i]);
            meta_object_free(&o);
        }
        verify(m);
        meta_close(m);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        total += acks->done[i];
    }
    print_message("%u puts acknowledged over 10 kills\n", total);
    assert_true(total > THREADS);
    munmap(acks, sizeof *acks);
    temp_dir_free(dir);
}

static void a_failing_log_write_ends_the_process(void **state)
{
    char *dir = temp_dir_new();
    pid_t pid = fork();
    int status;

    (void)state;
    if (pid == 0) {
        struct meta *m = must_open(dir);
        struct rlimit limit = {.rlim_cur = 0, .rlim_max = 0};
        bucket_create(m, "b");
        close(STDERR_FILENO);
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit); /* every write fails: EFBIG */
        put(m, "k", "v");
        _exit(0); /* acknowledged: wrong */
    }
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), META_STOP_EXIT);
    {
        struct meta *m = must_open(dir);
        struct meta_object o;
        assert_int_equal(meta_object_get(m, "b", "k", false, &o, NULL),
                         ERR_NO_KEY);
        meta_close(m);
    }
    temp_dir_free(dir);
}

static void an_idle_start_is_quick_and_small(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    uint64_t start;

    (void)state;
    meta_close(m);
    start = clock_mono_ms();
    m = must_open(dir);
    print_message("opened in %llu ms\n",
                  (unsigned long long)(clock_mono_ms() - start));
    meta_close(m);
    temp_dir_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_read_with_all_its_fields),
        cmocka_unit_test(buckets_are_listed_by_name),
        cmocka_unit_test(parts_are_found_by_offset_and_by_number),
        cmocka_unit_test(uploads_and_their_parts_are_listed),
        cmocka_unit_test(runs_are_known_until_their_garbage_is_done),
        cmocka_unit_test(each_manifest_of_many_names_is_visited_once),
        cmocka_unit_test(the_layout_is_kept),
        cmocka_unit_test(deletes_of_many_answer_with_codes),
        cmocka_unit_test(statistics_count_rows_and_commands),
        cmocka_unit_test(what_cannot_be_decoded_is_refused_before_the_log),
        cmocka_unit_test(below_the_reserve_only_what_frees_is_taken),
        cmocka_unit_test(a_full_queue_says_busy),
        cmocka_unit_test(closing_answers_what_was_proposed),
        cmocka_unit_test(of_racing_conditional_puts_exactly_one_wins),
        cmocka_unit_test(no_conditional_update_is_lost),
        cmocka_unit_test(snapshots_cut_the_log_and_restarts_go_on),
        cmocka_unit_test(many_starts_leave_few_files_of_the_log),
        cmocka_unit_test(an_older_database_is_made_whole_by_the_log),
        cmocka_unit_test(a_database_older_than_the_snapshot_is_refused),
        cmocka_unit_test(a_log_that_lost_its_end_is_refused),
        cmocka_unit_test(foreign_and_damaged_databases_are_refused),
        cmocka_unit_test(a_killed_process_loses_nothing_acknowledged),
        cmocka_unit_test(a_failing_log_write_ends_the_process),
        cmocka_unit_test(an_idle_start_is_quick_and_small),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
