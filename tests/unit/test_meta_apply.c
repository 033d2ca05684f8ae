/* test_meta_apply.c: commands to rows.
 *
 * Goal: each command does what its contract says and a refused one nothing;
 * bytes live exactly as long as something names them; the same log gives the
 * same rows, however its entries are grouped, and however often its beginning
 * is applied again.
 * Method: databases in memory; meta_verify after each test, which checks that
 * every reference and count holds; random histories compared by their dumps.
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
#include "base/mem.h"
#include "base/wire.h"
#include "meta/command.h"
#include "meta/meta_apply.h"
#include "meta/meta_internal.h"
#include "tests/lib/apply_base.h"
#include "tests/lib/random_command.h"

static const uint8_t up1[META_UPLOAD_ID] = "upload-number-1";
static const uint8_t up2[META_UPLOAD_ID] = "upload-number-2";

static struct meta_content run_content(uint64_t run, uint8_t *manifest)
{
    random_manifest(run, manifest);
    return (struct meta_content){.size_bytes = 1000,
                                 .manifest = manifest,
                                 .manifest_len = RANDOM_MANIFEST_SIZE};
}

static int bucket_create(struct base *b, const char *name)
{
    command_bucket_create(&b->command, name, "me", 1);
    return go(b);
}

static int put_if(struct base *b, const char *key, uint64_t run,
                  const char *etag, const char *if_match, const char *if_none)
{
    uint8_t manifest[RANDOM_MANIFEST_SIZE];
    struct meta_condition c = {.if_match = if_match, .if_none_match = if_none};
    struct meta_content content = run_content(run, manifest);

    command_object_put(&b->command, "b", key, &c, &content, etag, "at", 2, 2);
    return go(b);
}

static int put(struct base *b, const char *key, uint64_t run)
{
    return put_if(b, key, run, "e", NULL, NULL);
}

static int delete_key(struct base *b, const char *key)
{
    command_object_delete(&b->command, "b", key, NULL, 3);
    return go(b);
}

static int copy(struct base *b, const char *from, uint64_t body, const char *to)
{
    command_object_copy(&b->command, "b", from, body, "b", to, NULL, "e", "at",
                        2, 4);
    return go(b);
}

static int part(struct base *b, const uint8_t *upload, uint32_t number,
                uint64_t run, uint64_t size, const char *etag)
{
    uint8_t manifest[RANDOM_MANIFEST_SIZE];
    struct meta_content c = run_content(run, manifest);

    c.size_bytes = size;
    command_part_put(&b->command, upload, number, &c, etag, NULL, 5);
    return go(b);
}

static int complete(struct base *b, const uint8_t *upload,
                    const struct command_part *parts, size_t n,
                    const struct meta_condition *c)
{
    command_upload_complete(&b->command, "b", "k", upload, parts, n, 100, c,
                            "multi", "at", 2, 6);
    return go(b);
}

static int upload_create(struct base *b, const uint8_t *upload)
{
    command_upload_create(&b->command, "b", "k", upload, "at", 2, 7);
    return go(b);
}

static uint64_t garbage(struct base *b)
{
    return number(b, "SELECT count(*) FROM garbage");
}

/* ---- buckets ---- */

static void buckets_are_made_once_and_deleted_when_empty(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    assert_int_equal(bucket_create(&b, "b"), 0);
    assert_int_equal(bucket_create(&b, "b"), ERR_BUCKET_EXISTS);
    assert_int_equal(put(&b, "k", 1), 0);
    command_bucket_delete(&b.command, "b");
    assert_int_equal(go(&b), ERR_BUCKET_NOT_EMPTY);
    assert_int_equal(delete_key(&b, "k"), 0);
    assert_int_equal(upload_create(&b, up1), 0);
    command_bucket_delete(&b.command, "b");
    assert_int_equal(go(&b), ERR_BUCKET_NOT_EMPTY);
    command_upload_abort(&b.command, "b", "k", up1, 9);
    assert_int_equal(go(&b), 0);
    command_bucket_delete(&b.command, "b");
    assert_int_equal(go(&b), 0);
    command_bucket_delete(&b.command, "b");
    assert_int_equal(go(&b), ERR_NO_BUCKET);
    assert_int_equal(put(&b, "k", 2), ERR_NO_BUCKET);
    base_close(&b);
}

/* ---- objects and conditions ---- */

static void conditions_are_judged_on_what_the_key_names_now(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    bucket_create(&b, "b");
    assert_int_equal(put_if(&b, "k", 1, "e1", "*", NULL), ERR_NO_KEY);
    assert_int_equal(put_if(&b, "k", 1, "e1", "e1", NULL), ERR_NO_KEY);
    assert_int_equal(put_if(&b, "k", 1, "e1", NULL, "*"), 0);
    assert_int_equal(put_if(&b, "k", 2, "e2", NULL, "*"), ERR_PRECONDITION);
    assert_int_equal(put_if(&b, "k", 2, "e2", NULL, "e1"), ERR_PRECONDITION);
    assert_int_equal(put_if(&b, "k", 2, "e2", "e9", NULL), ERR_PRECONDITION);
    assert_int_equal(put_if(&b, "k", 2, "e2", "e1", NULL), 0);
    assert_int_equal(put_if(&b, "k", 3, "e3", "e1", NULL), ERR_PRECONDITION);
    assert_int_equal(put_if(&b, "k", 3, "e3", "*", "e9"), 0);
    assert_int_equal(number(&b, "SELECT objects FROM state"), 1);
    assert_int_equal(garbage(&b), 2); /* runs 1 and 2 */
    base_close(&b);
}

static void deleting_what_is_missing_is_no_error_unless_it_must_match(
    void **state)
{
    struct base b;
    struct meta_condition c = {.if_match = "x"};

    (void)state;
    base_init(&b);
    bucket_create(&b, "b");
    assert_int_equal(delete_key(&b, "k"), 0);
    command_object_delete(&b.command, "b", "k", &c, 3);
    assert_int_equal(go(&b), ERR_NO_KEY);
    put(&b, "k", 1);
    command_object_delete(&b.command, "b", "k", &c, 3);
    assert_int_equal(go(&b), ERR_PRECONDITION);
    c.if_match = "e";
    command_object_delete(&b.command, "b", "k", &c, 3);
    assert_int_equal(go(&b), 0);
    command_object_delete(&b.command, "none", "k", NULL, 3);
    assert_int_equal(go(&b), ERR_NO_BUCKET);
    base_close(&b);
}

static void a_delete_of_many_has_a_code_for_each(void **state)
{
    struct base b;
    const char *keys[] = {"a", "b", "c", "d", "a"};
    const char *etags[] = {NULL, "x", "e", "e", NULL};

    (void)state;
    base_init(&b);
    bucket_create(&b, "b");
    put(&b, "a", 1);
    put(&b, "b", 2);
    put(&b, "c", 3);
    command_objects_delete(&b.command, "b", keys, etags, 5, 4);
    assert_int_equal(go(&b), 0);
    assert_int_equal(b.codes[0], 0);
    assert_int_equal(b.codes[1], ERR_PRECONDITION);
    assert_int_equal(b.codes[2], 0);
    assert_int_equal(b.codes[3], ERR_NO_KEY);
    assert_int_equal(b.codes[4], 0); /* gone by now */
    assert_int_equal(number(&b, "SELECT objects FROM state"), 1);
    command_objects_delete(&b.command, "none", keys, etags, 5, 4);
    assert_int_equal(go(&b), ERR_NO_BUCKET);
    base_close(&b);
}

static void a_refused_command_changes_nothing(void **state)
{
    struct base b;
    struct buf before = {0}, after = {0};
    struct command_part parts[] = {{1, "p"}, {2, "wrong"}};
    struct meta_condition c = {.if_none_match = "*"};

    (void)state;
    base_init(&b);
    bucket_create(&b, "b");
    put(&b, "k", 1);
    upload_create(&b, up1);
    part(&b, up1, 1, 5, 500, "p");
    part(&b, up1, 2, 6, 500, "p");
    for (int i = 0; i < 5; i++) {
        uint64_t at = b.next;
        dump(&b, &before);
        switch (i) {
            case 0:
                assert_int_equal(put_if(&b, "k", 9, "e", NULL, "*"),
                                 ERR_PRECONDITION);
                break;
            case 1:
                assert_int_equal(complete(&b, up1, parts, 2, NULL),
                                 ERR_BAD_PART);
                break;
            case 2:
                parts[1].etag = "p";
                assert_int_equal(complete(&b, up1, parts, 2, &c),
                                 ERR_PRECONDITION);
                break;
            case 3:
                assert_int_equal(copy(&b, "k", 12345, "z"), ERR_PRECONDITION);
                break;
            default:
                buf_append(&b.command, "\x03\x01junk", 6);
                assert_int_equal(go(&b), ERR_BAD_INPUT);
        }
        assert_int_equal(b.next, at + 1);
        dump(&b, &after);
        /* All but the first line, which has the applied index. */
        assert_string_equal(strchr((char *)before.data, '\n'),
                            strchr((char *)after.data, '\n'));
    }
    buf_free(&before);
    buf_free(&after);
    base_close(&b);
}

/* ---- bytes and who names them ---- */

static void bytes_live_until_the_last_copy_is_gone(void **state)
{
    struct base b;
    uint64_t body;

    (void)state;
    base_init(&b);
    bucket_create(&b, "b");
    assert_int_equal(put(&b, "k", 1), 0);
    body = b.body;
    assert_int_not_equal(body, 0);
    assert_int_equal(copy(&b, "k", body, "c1"), 0);
    assert_int_equal(b.body, body);
    assert_int_equal(copy(&b, "k", body, "c2"), 0);
    assert_int_equal(copy(&b, "k", body, "k"), 0); /* onto itself */
    assert_int_equal(copy(&b, "none", body, "z"), ERR_NO_KEY);
    assert_int_equal(delete_key(&b, "k"), 0);
    assert_int_equal(copy(&b, "k", body, "z"), ERR_NO_KEY);
    assert_int_equal(delete_key(&b, "c1"), 0);
    assert_int_equal(garbage(&b), 0);
    assert_int_equal(delete_key(&b, "c2"), 0);
    assert_int_equal(garbage(&b), 1);
    assert_int_equal(number(&b, "SELECT count(*) FROM body"), 0);
    base_close(&b);
}

static void a_put_made_twice_does_not_lose_its_run(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    bucket_create(&b, "b");
    /* The outcome of the first was unknown to the proposer: it asks again. */
    assert_int_equal(put(&b, "k", 1), 0);
    assert_int_equal(put(&b, "k", 1), 0);
    assert_int_equal(garbage(&b), 0);
    assert_int_equal(delete_key(&b, "k"), 0);
    assert_int_equal(garbage(&b), 1);
    base_close(&b);
}

static void a_run_that_is_garbage_is_not_named_again(void **state)
{
    struct base b;
    uint64_t id;

    (void)state;
    base_init(&b);
    bucket_create(&b, "b");
    put(&b, "k", 1);
    put(&b, "k", 2);
    /* Its chunks may be gone from the drives already. */
    assert_int_equal(put(&b, "k", 1), ERR_BUSY);
    upload_create(&b, up1);
    assert_int_equal(part(&b, up1, 1, 1, 10, "p"), ERR_BUSY);
    id = number(&b, "SELECT id FROM garbage");
    command_garbage_done(&b.command, &id, 1);
    assert_int_equal(go(&b), 0);
    assert_int_equal(garbage(&b), 0);
    command_garbage_done(&b.command, &id, 1); /* once more is no error */
    assert_int_equal(go(&b), 0);
    assert_int_equal(number(&b, "SELECT count(*) FROM run"), 1);
    base_close(&b);
}

/* Let @body (its part @number) have run @to in the place of run @from. */
static int recode(struct base *b, uint64_t body, uint32_t part, uint64_t from,
                  uint64_t to)
{
    uint8_t old[RANDOM_MANIFEST_SIZE], manifest[RANDOM_MANIFEST_SIZE];
    struct meta_content content = run_content(to, manifest);

    random_manifest(from, old);
    command_body_recode(&b->command, body, part, load_u64(old + 8),
                        load_u64(old + 16) & ~(uint64_t)0xffffff, &content, 8);
    return go(b);
}

static void a_recoded_run_takes_the_place_of_that_one_only(void **state)
{
    struct base b;
    uint64_t body;

    (void)state;
    base_init(&b);
    bucket_create(&b, "b");
    assert_int_equal(put(&b, "k", 1), 0);
    body = b.body;
    assert_int_equal(copy(&b, "k", body, "c"), 0);
    assert_int_equal(recode(&b, body, 0, 7, 2), ERR_PRECONDITION);
    assert_int_equal(recode(&b, body + 1, 0, 1, 2), ERR_PRECONDITION);
    assert_int_equal(recode(&b, body, 1, 1, 2), ERR_PRECONDITION);
    assert_int_equal(garbage(&b), 0);
    assert_int_equal(recode(&b, body, 0, 1, 2), 0);
    assert_int_equal(garbage(&b), 1); /* run 1, of both names */
    assert_int_equal(recode(&b, body, 0, 1, 3), ERR_PRECONDITION);
    assert_int_equal(recode(&b, body, 0, 2, 1), ERR_BUSY); /* garbage */
    assert_int_equal(delete_key(&b, "k"), 0);
    assert_int_equal(garbage(&b), 1);
    assert_int_equal(put(&b, "c", 4), 0); /* overwritten meanwhile */
    assert_int_equal(garbage(&b), 2);
    assert_int_equal(recode(&b, body, 0, 2, 5), ERR_PRECONDITION);
    assert_int_equal(number(&b, "SELECT count(*) FROM run"), 3);
    base_close(&b);
}

static void parts_are_recoded_each_by_itself(void **state)
{
    struct base b;
    struct command_part parts[] = {{2, "p2"}, {5, "p5"}};
    uint64_t body;

    (void)state;
    base_init(&b);
    bucket_create(&b, "b");
    assert_int_equal(upload_create(&b, up1), 0);
    assert_int_equal(part(&b, up1, 2, 12, 102, "p2"), 0);
    assert_int_equal(part(&b, up1, 5, 15, 105, "p5"), 0);
    assert_int_equal(complete(&b, up1, parts, 2, NULL), 0);
    body = number(&b, "SELECT body FROM version");
    assert_int_equal(recode(&b, body, 0, 12, 22), ERR_PRECONDITION);
    assert_int_equal(recode(&b, body, 1, 15, 22), ERR_PRECONDITION);
    assert_int_equal(recode(&b, body, 1, 12, 22), 0);
    assert_int_equal(recode(&b, body, 2, 15, 25), 0);
    assert_int_equal(garbage(&b), 2);
    assert_int_equal(number(&b, "SELECT sum(size) FROM part"), 207);
    assert_int_equal(delete_key(&b, "k"), 0);
    assert_int_equal(garbage(&b), 4);
    base_close(&b);
}

static void ids_of_garbage_are_never_used_again(void **state)
{
    struct base b;
    uint64_t first, second;

    (void)state;
    base_init(&b);
    bucket_create(&b, "b");
    put(&b, "k", 1);
    delete_key(&b, "k");
    first = number(&b, "SELECT id FROM garbage");
    command_garbage_done(&b.command, &first, 1);
    assert_int_equal(go(&b), 0);
    put(&b, "k", 2);
    delete_key(&b, "k");
    second = number(&b, "SELECT id FROM garbage");
    assert_int_not_equal(first, second);
    base_close(&b);
}

static void inline_and_empty_objects_leave_no_garbage(void **state)
{
    struct base b;
    struct meta_content empty = {0};
    struct meta_content in_row = {.size_bytes = 3, .inline_bytes = "abc"};

    (void)state;
    base_init(&b);
    bucket_create(&b, "b");
    command_object_put(&b.command, "b", "k", NULL, &empty, "e", NULL, 0, 1);
    assert_int_equal(go(&b), 0);
    command_object_put(&b.command, "b", "k", NULL, &in_row, "e", NULL, 0, 1);
    assert_int_equal(go(&b), 0);
    assert_int_equal(number(&b, "SELECT length(content) FROM body"), 3);
    assert_int_equal(delete_key(&b, "k"), 0);
    assert_int_equal(garbage(&b), 0);
    base_close(&b);
}

/* ---- uploads ---- */

static void parts_are_joined_in_order_and_the_rest_is_garbage(void **state)
{
    struct base b;
    struct command_part parts[] = {{2, "p2"}, {5, "p5"}, {7, "p7"}};

    (void)state;
    base_init(&b);
    bucket_create(&b, "b");
    assert_int_equal(upload_create(&b, up1), 0);
    assert_int_equal(upload_create(&b, up1), ERR_EXISTS);
    for (uint32_t n = 1; n <= 9; n++) {
        char etag[8];
        snprintf(etag, sizeof etag, "p%u", n);
        assert_int_equal(part(&b, up1, n, n, 100 + n, etag), 0);
    }
    assert_int_equal(part(&b, up1, 5, 50, 205, "p5"), 0); /* replaced */
    assert_int_equal(garbage(&b), 1);
    assert_int_equal(complete(&b, up1, parts, 3, NULL), 0);
    assert_int_equal(garbage(&b), 7);
    assert_int_equal(number(&b, "SELECT size FROM version"), 102 + 205 + 107);
    assert_int_equal(number(&b, "SELECT parts FROM body"), 3);
    assert_int_equal(number(&b, "SELECT offset FROM part WHERE number = 3"),
                     102 + 205);
    assert_int_equal(number(&b, "SELECT uploads FROM state"), 0);
    assert_int_equal(complete(&b, up1, parts, 3, NULL), ERR_NO_UPLOAD);
    assert_int_equal(delete_key(&b, "k"), 0);
    assert_int_equal(garbage(&b), 10);
    assert_int_equal(number(&b, "SELECT count(*) FROM part"), 0);
    base_close(&b);
}

static void wrong_lists_of_parts_are_refused(void **state)
{
    struct base b;
    struct command_part down[] = {{2, "p"}, {1, "p"}};
    struct command_part twice[] = {{1, "p"}, {1, "p"}};
    struct command_part missing[] = {{1, "p"}, {9, "p"}};
    struct command_part changed[] = {{1, "q"}};
    struct command_part small[] = {{1, "p"}, {3, "s"}, {4, "p"}};
    struct command_part last_small[] = {{1, "p"}, {3, "s"}};

    (void)state;
    base_init(&b);
    bucket_create(&b, "b");
    assert_int_equal(part(&b, up1, 1, 1, 500, "p"), ERR_NO_UPLOAD);
    upload_create(&b, up1);
    part(&b, up1, 1, 1, 500, "p");
    part(&b, up1, 2, 2, 500, "p");
    part(&b, up1, 3, 3, 99, "s");
    part(&b, up1, 4, 4, 500, "p");
    assert_int_equal(complete(&b, up1, down, 2, NULL), ERR_PART_ORDER);
    assert_int_equal(complete(&b, up1, twice, 2, NULL), ERR_PART_ORDER);
    assert_int_equal(complete(&b, up1, missing, 2, NULL), ERR_BAD_PART);
    assert_int_equal(complete(&b, up1, changed, 1, NULL), ERR_BAD_PART);
    assert_int_equal(complete(&b, up1, NULL, 0, NULL), ERR_BAD_PART);
    assert_int_equal(complete(&b, up1, small, 3, NULL), ERR_PART_TOO_SMALL);
    assert_int_equal(complete(&b, up2, small, 3, NULL), ERR_NO_UPLOAD);
    command_upload_complete(&b.command, "b", "other", up1, last_small, 2, 100,
                            NULL, "multi", "at", 2, 6);
    assert_int_equal(go(&b), ERR_NO_UPLOAD);
    assert_int_equal(complete(&b, up1, last_small, 2, NULL), 0);
    base_close(&b);
}

static void an_aborted_upload_leaves_only_garbage(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    bucket_create(&b, "b");
    upload_create(&b, up1);
    part(&b, up1, 1, 1, 500, "p");
    part(&b, up1, 2, 2, 500, "p");
    command_upload_abort(&b.command, "b", "other", up1, 9);
    assert_int_equal(go(&b), ERR_NO_UPLOAD);
    command_upload_abort(&b.command, "b", "k", up1, 9);
    assert_int_equal(go(&b), 0);
    assert_int_equal(garbage(&b), 2);
    assert_int_equal(number(&b, "SELECT count(*) FROM part"), 0);
    base_close(&b);
}

static void a_multipart_object_is_copied_without_its_parts(void **state)
{
    struct base b;
    struct command_part parts[] = {{1, "p"}, {2, "p"}};
    uint64_t body;

    (void)state;
    base_init(&b);
    bucket_create(&b, "b");
    upload_create(&b, up1);
    part(&b, up1, 1, 1, 500, "p");
    part(&b, up1, 2, 2, 600, "p");
    assert_int_equal(complete(&b, up1, parts, 2, NULL), 0);
    body = b.body;
    assert_int_equal(copy(&b, "k", body, "c"), 0);
    assert_int_equal(number(&b, "SELECT count(*) FROM part"), 2);
    assert_int_equal(put(&b, "k", 9), 0);
    assert_int_equal(garbage(&b), 0);
    assert_int_equal(delete_key(&b, "c"), 0);
    assert_int_equal(garbage(&b), 2);
    base_close(&b);
}

/* Steps of the database's machine that a command takes. */
static int count_step(void *arg)
{
    ++*(uint64_t *)arg;
    return 0;
}

/* Put @n parts, complete with every second one, delete: steps for each part. */
static uint64_t steps_for_parts(uint32_t n)
{
    struct base b;
    struct command_part *parts = mem_calloc(n, sizeof *parts);
    uint64_t steps = 0;

    base_init(&b);
    bucket_create(&b, "b");
    upload_create(&b, up1);
    for (uint32_t i = 1; i <= n; i++) {
        part(&b, up1, i, i, 100, "p");
    }
    for (uint32_t i = 0; i < n / 2; i++) {
        parts[i] = (struct command_part){2 * i + 1, "p"};
    }
    sqlite3_progress_handler(b.db.sqlite, 1, count_step, &steps);
    assert_int_equal(complete(&b, up1, parts, n / 2, NULL), 0);
    assert_int_equal(delete_key(&b, "k"), 0);
    sqlite3_progress_handler(b.db.sqlite, 0, NULL, NULL);
    assert_int_equal(garbage(&b), n);
    free(parts);
    base_close(&b);
    return steps / n;
}

static void ten_thousand_parts_cost_as_much_each_as_a_hundred(void **state)
{
    uint64_t few = steps_for_parts(100);
    uint64_t many = steps_for_parts(META_PARTS_MAX);

    (void)state;
    assert_true(many < few * 2);
}

/* ---- layout ---- */

static void a_layout_follows_the_one_in_place(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    command_layout_set(&b.command, 2, "x", 1);
    assert_int_equal(go(&b), ERR_PRECONDITION);
    command_layout_set(&b.command, 1, "x", 1);
    assert_int_equal(go(&b), 0);
    command_layout_set(&b.command, 1, "y", 1);
    assert_int_equal(go(&b), ERR_PRECONDITION);
    command_layout_set(&b.command, 2, "y", 1);
    assert_int_equal(go(&b), 0);
    assert_int_equal(number(&b, "SELECT count(*) FROM layout"), 1);
    base_close(&b);
}

/* ---- the same log, the same rows ---- */

#define ENTRIES 250

struct log {
    uint8_t *entries[ENTRIES];
    size_t lens[ENTRIES];
};

static void log_make(struct log *l, uint64_t seed)
{
    struct random_command r;

    random_command_init(&r, seed);
    for (int i = 0; i < ENTRIES; i++) {
        l->entries[i] = random_entry(&r, 1 + random_draw(&r, 8), &l->lens[i]);
    }
}

static void log_free(struct log *l)
{
    for (int i = 0; i < ENTRIES; i++) {
        free(l->entries[i]);
    }
}

/* Apply entries @from..@to, in transactions of @group. */
static void replay(struct base *b, const struct log *l, int from, int to,
                   int group)
{
    for (int i = from; i < to;) {
        assert_int_equal(meta_apply_begin(&b->apply, NULL), 0);
        for (int k = 0; k < group && i < to; k++, i++) {
            apply(b, (uint64_t)i + 1, l->entries[i], l->lens[i], NULL);
        }
        assert_int_equal(meta_apply_commit(&b->apply, NULL), 0);
    }
}

static void the_same_log_gives_the_same_rows(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct log l;
        struct base one, other;
        struct buf a = {0}, c = {0};
        log_make(&l, seed);
        base_init(&one);
        base_init(&other);
        replay(&one, &l, 0, ENTRIES, 1);
        replay(&other, &l, 0, ENTRIES, 37);
        dump(&one, &a);
        dump(&other, &c);
        assert_true(a.len > 1000);
        assert_int_equal(a.len, c.len);
        assert_memory_equal(a.data, c.data, a.len);
        buf_free(&a);
        buf_free(&c);
        base_close(&one);
        base_close(&other);
        log_free(&l);
    }
}

static void random_histories_reach_every_kind_of_outcome(void **state)
{
    unsigned seen[64] = {0}, refusals[64] = {0};
    unsigned copies = 0, copied = 0; /* also counts completed uploads */

    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct random_command r;
        struct base b;
        random_command_init(&r, seed);
        base_init(&b);
        for (int i = 0; i < 2500; i++) {
            int status;
            r.index = b.next;
            random_command_next(&r, &b.command);
            copies += command_peek(b.command.data, 1) == COMMAND_OBJECT_COPY;
            status = go(&b);
            if (status != 0) {
                refusals[b.body]++;
            }
            copied += b.body != 0 && b.body < (b.next - 1) * 1024;
            assert_in_range(status, 0, 63);
            seen[status]++;
        }
        base_close(&b);
    }
#define X(name, value, text)                                           \
    if (refusals[value] == 0 && value != COMMAND_REFUSED_TOKENS_MAX && \
        value != COMMAND_REFUSED_SERVERS_MAX &&                        \
        value != COMMAND_REFUSED_DRIVES_MAX &&                         \
        value != COMMAND_REFUSED_ZONES_MAX) {                          \
        fail_msg("no %s", #name);                                      \
    }
    COMMAND_REFUSAL_TABLE(X)
#undef X
    assert_true(copies > 100);
    assert_true(copied > 100);
    assert_true(seen[0] > 1000);
    assert_true(seen[ERR_NO_BUCKET] > 0);
    assert_true(seen[ERR_NO_KEY] > 0);
    assert_true(seen[ERR_PRECONDITION] > 0);
    assert_true(seen[ERR_NO_UPLOAD] > 0);
    assert_true(seen[ERR_BAD_PART] > 0);
    assert_true(seen[ERR_PART_TOO_SMALL] > 0);
    assert_true(seen[ERR_BUCKET_EXISTS] > 0);
    assert_true(seen[ERR_BUCKET_NOT_EMPTY] > 0);
    assert_true(seen[ERR_BUSY] > 0);
    assert_true(seen[ERR_NO_VERSION] > 0);
    assert_true(seen[ERR_NO_LOCK] > 0);
    assert_true(seen[ERR_RETAINED] > 0);
    assert_true(seen[ERR_BUCKET_STATE] > 0);
    assert_int_equal(seen[ERR_CORRUPT], 0);
}

static void a_replay_from_any_earlier_point_changes_nothing(void **state)
{
    struct log l;
    struct base whole;
    struct buf want = {0}, have = {0};

    (void)state;
    log_make(&l, 77);
    base_init(&whole);
    replay(&whole, &l, 0, ENTRIES, 10);
    dump(&whole, &want);
    for (int crash = 0; crash <= ENTRIES; crash += 13) {
        struct base b;
        base_init(&b);
        replay(&b, &l, 0, crash, 5);
        /* A transaction that the crash takes with it. */
        assert_int_equal(meta_apply_begin(&b.apply, NULL), 0);
        for (int i = crash; i < ENTRIES && i < crash + 3; i++) {
            apply(&b, (uint64_t)i + 1, l.entries[i], l.lens[i], NULL);
        }
        assert_int_equal(meta_apply_rollback(&b.apply, NULL), 0);
        assert_int_equal(b.apply.state.applied, crash);
        /* The log is longer than what the database lacks. */
        replay(&b, &l, crash > 20 ? crash - 20 : 0, ENTRIES, 7);
        dump(&b, &have);
        assert_int_equal(have.len, want.len);
        assert_memory_equal(have.data, want.data, want.len);
        base_close(&b);
    }
    buf_free(&want);
    buf_free(&have);
    base_close(&whole);
    log_free(&l);
}

static void an_entry_that_is_no_batch_is_corrupt(void **state)
{
    struct base b;
    struct err err = {0};
    uint8_t junk[16] = {1, 2, 3};

    (void)state;
    base_init(&b);
    assert_int_equal(meta_apply_begin(&b.apply, NULL), 0);
    assert_int_equal(
        meta_apply_entry(&b.apply, 5, junk, sizeof junk, NULL, &err),
        ERR_CORRUPT);
    assert_non_null(strstr(err.text, "entry 5"));
    assert_int_equal(meta_apply_rollback(&b.apply, NULL), 0);
    meta_apply_empty(&b.apply, 6);
    assert_int_equal(b.apply.state.applied, 6);
    meta_apply_empty(&b.apply, 2);
    assert_int_equal(b.apply.state.applied, 6);
    base_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_are_made_once_and_deleted_when_empty),
        cmocka_unit_test(conditions_are_judged_on_what_the_key_names_now),
        cmocka_unit_test(
            deleting_what_is_missing_is_no_error_unless_it_must_match),
        cmocka_unit_test(a_delete_of_many_has_a_code_for_each),
        cmocka_unit_test(a_refused_command_changes_nothing),
        cmocka_unit_test(bytes_live_until_the_last_copy_is_gone),
        cmocka_unit_test(a_put_made_twice_does_not_lose_its_run),
        cmocka_unit_test(a_run_that_is_garbage_is_not_named_again),
        cmocka_unit_test(a_recoded_run_takes_the_place_of_that_one_only),
        cmocka_unit_test(parts_are_recoded_each_by_itself),
        cmocka_unit_test(ids_of_garbage_are_never_used_again),
        cmocka_unit_test(inline_and_empty_objects_leave_no_garbage),
        cmocka_unit_test(parts_are_joined_in_order_and_the_rest_is_garbage),
        cmocka_unit_test(wrong_lists_of_parts_are_refused),
        cmocka_unit_test(an_aborted_upload_leaves_only_garbage),
        cmocka_unit_test(a_multipart_object_is_copied_without_its_parts),
        cmocka_unit_test(ten_thousand_parts_cost_as_much_each_as_a_hundred),
        cmocka_unit_test(a_layout_follows_the_one_in_place),
        cmocka_unit_test(the_same_log_gives_the_same_rows),
        cmocka_unit_test(random_histories_reach_every_kind_of_outcome),
        cmocka_unit_test(a_replay_from_any_earlier_point_changes_nothing),
        cmocka_unit_test(an_entry_that_is_no_batch_is_corrupt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
