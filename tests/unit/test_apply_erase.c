/* test_apply_erase.c: what is erased, and what keeps it.
 *
 * Goal: a request's passes remove what was seen and nothing else; hold beats
 * retention, retention of either mode beats erasure, and what was blocked goes
 * when the block has ended; counts, digest and list say what was erased.
 * Method: commands on a database in memory, verified after each test; every
 * pair of hold, mode and time in a table; the digest computed here once more.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/wire.h"
#include "crypto/digest.h"
#include "meta/meta_erase.h"
#include "tests/lib/apply_base.h"

#define NOW 5000
#define KEY META_ERASED_KEY
#define BYTES META_ERASED_BYTES

static void clock_is(struct base *b, uint64_t time_ms)
{
    struct command_clock vote = {1, time_ms};

    command_clock_vote(&b->command, &vote, 1);
    assert_int_equal(go(b), 0);
}

static void init(struct base *b)
{
    struct command_more more = {.locked = true};

    base_init(b);
    command_bucket_create(&b->command, "b", "me", 1);
    command_add_more(&b->command, 0, &more);
    assert_int_equal(go(b), 0);
    clock_is(b, NOW);
}

static uint64_t put(struct base *b, const char *key, const char *bytes,
                    const struct command_more *more)
{
    struct meta_content content = {.size_bytes = strlen(bytes),
                                   .inline_bytes = bytes};

    command_object_put(&b->command, "b", key, NULL, &content, "etag", "", 0,
                       100);
    if (more != NULL) {
        command_add_more(&b->command, 0, more);
    }
    assert_int_equal(go(b), 0);
    return b->version;
}

static uint64_t ask(struct base *b)
{
    struct command_erase e = {.bucket = "b",
                              .selector = META_ERASE_PREFIX,
                              .key = "",
                              .field = "",
                              .value = "",
                              .reason = "he asked",
                              .by = "root"};

    command_erase_begin(&b->command, &e, 7);
    assert_int_equal(go(b), 0);
    return b->body;
}

static int pass(struct base *b, uint64_t request, struct command_erased *items,
                size_t count, bool begin, bool end)
{
    command_erase_some(&b->command, request, begin, end, items, count, NOW);
    return go(b);
}

static uint64_t field(struct base *b, const char *name)
{
    char sql[100];

    snprintf(sql, sizeof sql, "SELECT %s FROM erasure WHERE id = 1", name);
    return number(b, sql);
}

static uint64_t rows(struct base *b)
{
    return number(b,
                  "SELECT (SELECT count(*) FROM version) +"
                  " (SELECT count(*) FROM history)");
}

static void what_was_seen_goes_for_good_and_nothing_else(void **state)
{
    struct base b;
    uint64_t v1, v2;

    (void)state;
    init(&b);
    v1 = put(&b, "k", "one", NULL);
    v2 = put(&b, "k", "second", NULL);
    put(&b, "other", "x", NULL);
    assert_int_equal(ask(&b), 1);
    assert_int_equal(field(&b, "state"), META_ERASE_RUNNING);
    struct command_erased items[] = {
        {"k", v2, 100, 6, KEY},       {"k", v1, 100, 3, BYTES},
        {"k", v1 + 999, 100, 3, KEY}, /* not there */
        {"other", v1, 100, 1, KEY},   /* nor this */
        {"k", v2, 101, 6, KEY},       /* nor as it was seen */
    };
    assert_int_equal(pass(&b, 1, items, 5, true, true), 0);
    assert_int_equal(rows(&b), 1);
    assert_int_equal(field(&b, "state"), META_ERASE_DONE);
    assert_int_equal(field(&b, "versions"), 2);
    assert_int_equal(field(&b, "keys"), 1);
    assert_int_equal(field(&b, "bytes"), 9);
    assert_int_equal(field(&b, "done"), NOW);
    assert_true(field(&b, "entry") > 0);
    assert_int_equal(number(&b, "SELECT count(*) FROM erased"), 2);
    /* It is done: nothing more by it. */
    assert_int_equal(pass(&b, 1, items, 1, true, true), ERR_PRECONDITION);
    base_close(&b);
}

static void an_older_version_is_named_again(void **state)
{
    struct base b;
    uint64_t v1, v2;

    (void)state;
    init(&b);
    v1 = put(&b, "k", "one", NULL);
    v2 = put(&b, "k", "two", NULL);
    ask(&b);
    struct command_erased newest = {"k", v2, 100, 3, KEY};
    assert_int_equal(pass(&b, 1, &newest, 1, true, true), 0);
    /* One version was asked for: the one before is named again, as after a
     * delete of a version. */
    assert_int_equal(number(&b, "SELECT seq FROM version"), v1);
    assert_int_equal(rows(&b), 1);
    base_close(&b);
}

static void hold_beats_retention_and_retention_beats_erasure(void **state)
{
    static const struct {
        bool hold;
        enum meta_lock_mode lock;
        uint64_t retain_ms;
        bool goes;
        uint64_t held, retained;
    } table[] = {
        {false, META_LOCK_NONE, 0, true, 0, 0},
        {false, META_LOCK_GOVERNANCE, NOW - 1, true, 0, 0},
        {false, META_LOCK_GOVERNANCE, NOW, true, 0, 0},
        {false, META_LOCK_GOVERNANCE, NOW + 1, false, 0, 1},
        {false, META_LOCK_COMPLIANCE, NOW, true, 0, 0},
        {false, META_LOCK_COMPLIANCE, NOW + 1, false, 0, 1},
        {true, META_LOCK_NONE, 0, false, 1, 0},
        {true, META_LOCK_GOVERNANCE, NOW - 1, false, 1, 0},
        {true, META_LOCK_GOVERNANCE, NOW + 1, false, 1, 0},
        {true, META_LOCK_COMPLIANCE, NOW + 1, false, 1, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct command_more more = {.hold = table[i].hold,
                                    .lock = table[i].lock,
                                    .retain_ms = table[i].retain_ms};
        struct base b;
        uint64_t v;
        init(&b);
        v = put(&b, "k", "abc", &more);
        ask(&b);
        struct command_erased item = {"k", v, 100, 3, KEY};
        assert_int_equal(pass(&b, 1, &item, 1, true, true), 0);
        if (rows(&b) != !table[i].goes || field(&b, "held") != table[i].held ||
            field(&b, "retained") != table[i].retained ||
            field(&b, "state") !=
                (table[i].goes ? META_ERASE_DONE : META_ERASE_BLOCKED)) {
            fail_msg("row %zu", i);
        }
        assert_int_equal(field(&b, "until"),
                         table[i].retained > 0 ? NOW + 1 : 0);
        base_close(&b);
    }
}

static void what_is_blocked_goes_when_the_block_has_ended(void **state)
{
    struct command_more held = {.hold = true};
    struct command_more retained = {.lock = META_LOCK_COMPLIANCE,
                                    .retain_ms = NOW + 10};
    struct base b;

    (void)state;
    init(&b);
    struct command_erased items[] = {
        {"free", put(&b, "free", "abc", NULL), 100, 3, KEY},
        {"held", put(&b, "held", "abc", &held), 100, 3, KEY},
        {"kept", put(&b, "kept", "abc", &retained), 100, 3, KEY},
    };
    ask(&b);
    assert_int_equal(pass(&b, 1, items, 2, true, false), 0);
    assert_int_equal(field(&b, "state"), META_ERASE_RUNNING);
    assert_int_equal(pass(&b, 1, items + 2, 1, false, true), 0);
    assert_int_equal(field(&b, "state"), META_ERASE_BLOCKED);
    assert_int_equal(field(&b, "held"), 1);
    assert_int_equal(field(&b, "retained"), 1);
    assert_int_equal(rows(&b), 2);
    clock_is(&b, NOW + 10);
    assert_int_equal(pass(&b, 1, items, 3, true, true), 0);
    assert_int_equal(field(&b, "state"), META_ERASE_BLOCKED);
    assert_int_equal(field(&b, "retained"), 0);
    assert_int_equal(field(&b, "versions"), 2);
    struct command_more off = {.version = META_VERSION_CURRENT};
    command_object_set(&b.command, COMMAND_OBJECT_HOLD, "b", "held", &off, NOW);
    assert_int_equal(go(&b), 0);
    assert_int_equal(pass(&b, 1, items, 3, true, true), 0);
    assert_int_equal(field(&b, "state"), META_ERASE_DONE);
    assert_int_equal(field(&b, "versions"), 3);
    assert_int_equal(rows(&b), 0);
    base_close(&b);
}

static void the_digest_is_of_all_that_was_erased(void **state)
{
    uint8_t digest[DIGEST_MAX] = {0};
    char hex[2 * META_ERASE_DIGEST + 1], sql[200];
    struct base b;

    (void)state;
    init(&b);
    ask(&b);
    for (unsigned i = 0; i < 3; i++) {
        char key[8];
        struct buf link = {0};
        snprintf(key, sizeof key, "k%u", i);
        struct command_erased item = {key, put(&b, key, "abcd", NULL), 100, 4,
                                      i == 1 ? BYTES : KEY};
        assert_int_equal(pass(&b, 1, &item, 1, i == 0, false), 0);
        buf_append(&link, digest, META_ERASE_DIGEST);
        put_u16(&link, (uint16_t)strlen(key));
        buf_str(&link, key);
        put_u64(&link, item.version);
        put_u64(&link, 4);
        put_u16(&link, 4);
        buf_str(&link, "etag");
        put_u8(&link, (uint8_t)item.how);
        digest_of(DIGEST_SHA256, link.data, link.len, digest);
        buf_free(&link);
    }
    for (size_t i = 0; i < META_ERASE_DIGEST; i++) {
        snprintf(hex + 2 * i, 3, "%02X", digest[i]);
    }
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM erasure WHERE hex(digest) = '%s'", hex);
    assert_int_equal(number(&b, sql), 1);
    base_close(&b);
}

static void requests_are_numbered_cancelled_and_bounded_by_their_bucket(
    void **state)
{
    struct command_erase e = {"none", META_ERASE_KEY, "k", 0, "", "", "", ""};
    struct base b;

    (void)state;
    init(&b);
    command_erase_begin(&b.command, &e, 1);
    assert_int_equal(go(&b), ERR_NO_BUCKET);
    assert_int_equal(ask(&b), 1);
    assert_int_equal(ask(&b), 2);
    assert_int_equal(pass(&b, 9, NULL, 0, true, true), ERR_NOT_FOUND);
    command_erase_cancel(&b.command, 1);
    assert_int_equal(go(&b), 0);
    assert_int_equal(field(&b, "state"), META_ERASE_CANCELLED);
    command_erase_cancel(&b.command, 1);
    assert_int_equal(go(&b), ERR_PRECONDITION);
    assert_int_equal(pass(&b, 1, NULL, 0, true, true), ERR_PRECONDITION);
    command_erase_cancel(&b.command, 9);
    assert_int_equal(go(&b), ERR_NOT_FOUND);
    /* Of a bucket that is gone nothing is left. */
    command_bucket_delete(&b.command, "b");
    assert_int_equal(go(&b), 0);
    struct command_erased item = {"k", 1, 1, 1, KEY};
    assert_int_equal(pass(&b, 2, &item, 1, true, true), 0);
    assert_int_equal(number(&b, "SELECT state FROM erasure WHERE id = 2"),
                     META_ERASE_DONE);
    base_close(&b);
}

static void who_is_clean_never_goes_back(void **state)
{
    struct base b;

    (void)state;
    init(&b);
    command_erase_clean(&b.command, 1, 50);
    assert_int_equal(go(&b), 0);
    command_erase_clean(&b.command, 1, 40);
    assert_int_equal(go(&b), 0);
    command_erase_clean(&b.command, 2, 10);
    assert_int_equal(go(&b), 0);
    assert_int_equal(
        number(&b, "SELECT upto FROM erase_clean WHERE server = 1"), 50);
    assert_int_equal(number(&b, "SELECT count(*) FROM erase_clean"), 2);
    base_close(&b);
}

#define TEST(f) cmocka_unit_test(f)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_seen_goes_for_good_and_nothing_else),
        TEST(an_older_version_is_named_again),
        TEST(hold_beats_retention_and_retention_beats_erasure),
        TEST(what_is_blocked_goes_when_the_block_has_ended),
        TEST(the_digest_is_of_all_that_was_erased),
        TEST(requests_are_numbered_cancelled_and_bounded_by_their_bucket),
        TEST(who_is_clean_never_goes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
