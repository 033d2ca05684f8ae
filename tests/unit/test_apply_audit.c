/* test_apply_audit.c: the audit log in the catalogue.
 *
 * Goal: every change that a command makes leaves an entry in the same
 * transaction, whoever proposed it; the chain is what anybody computes from the
 * rows; what is cut ends at a checkpoint. Method: commands on a database in
 * memory; the chain is computed again from the rows, by libcrypto alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/sha.h>

#include "base/wire.h"
#include "tests/lib/apply_base.h"

#define DAY_MS ((uint64_t)86400000)

/* The last entry that is there; *@e borrows from @bytes. */
static void last_entry(struct base *b, struct audit_entry *e,
                       uint8_t bytes[AUDIT_HEAD + AUDIT_DRAFT_MAX])
{
    sqlite3_stmt *s;
    size_t len;

    assert_int_equal(sqlite3_prepare_v2(b->db.sqlite,
                                        "SELECT content FROM audit"
                                        " ORDER BY number DESC LIMIT 1",
                                        -1, &s, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    len = (size_t)sqlite3_column_bytes(s, 0);
    memcpy(bytes, sqlite3_column_blob(s, 0), len);
    sqlite3_finalize(s);
    assert_int_equal(audit_entry_read(bytes, len, e, NULL), 0);
}

/* Every row from the first on, whose hash before is @hash. */
static void check_chain(struct base *b, uint64_t base, const uint8_t *before)
{
    uint64_t n = base;
    uint8_t hash[32];
    sqlite3_stmt *s;

    memcpy(hash, before, 32);
    assert_int_equal(sqlite3_prepare_v2(b->db.sqlite,
                                        "SELECT number, hash, content"
                                        " FROM audit ORDER BY number",
                                        -1, &s, NULL),
                     SQLITE_OK);
    while (sqlite3_step(s) == SQLITE_ROW) {
        size_t len = (size_t)sqlite3_column_bytes(s, 2);
        uint8_t *all = mem_alloc(32 + len);
        assert_int_equal(column_u64(s, 0), ++n);
        memcpy(all, hash, 32);
        memcpy(all + 32, sqlite3_column_blob(s, 2), len);
        assert_int_equal(load_u64(all + 32), n);
        SHA256(all, 32 + len, hash);
        assert_memory_equal(hash, sqlite3_column_blob(s, 1), 32);
        free(all);
    }
    sqlite3_finalize(s);
    assert_int_equal(n, number(b, "SELECT number FROM audit_state"));
}

static const uint8_t zeros[32];

static void draft(struct buf *out, const char *operation)
{
    struct audit_entry e = {.kind = AUDIT_DECISION, .status = 200};

    audit_set_text(&e, AUDIT_TEXT_OPERATION, operation);
    command_audit_draft(out, &e);
}

static int append(struct base *b, unsigned count)
{
    struct buf drafts = {0};

    for (unsigned i = 0; i < count; i++) {
        draft(&drafts, "GetObject");
    }
    command_audit_append(&b->command, NULL, drafts.data, drafts.len, count);
    buf_free(&drafts);
    return go(b);
}

static int tell_time(struct base *b, uint64_t ms)
{
    struct command_clock vote = {.time_ms = ms};

    command_clock_vote(&b->command, &vote, 1);
    return go(b);
}

/* A checkpoint of entry @number, of its hash or of @hash. */
static int checkpoint(struct base *b, uint64_t n, const uint8_t *hash)
{
    struct audit_checkpoint c = {
        .number = n, .clock_ms = b->apply.state.clock_ms, .server = 1};
    sqlite3_stmt *s;

    assert_int_equal(
        sqlite3_prepare_v2(b->db.sqlite,
                           "SELECT hash FROM audit WHERE number = ?1", -1, &s,
                           NULL),
        SQLITE_OK);
    bind_u64(s, 1, n);
    if (sqlite3_step(s) == SQLITE_ROW) {
        memcpy(c.hash, sqlite3_column_blob(s, 0), 32);
    }
    sqlite3_finalize(s);
    if (hash != NULL) {
        memcpy(c.hash, hash, 32);
    }
    command_audit_checkpoint(&b->command, &c);
    return go(b);
}

static int settings(struct base *b, const struct audit_settings *set)
{
    command_audit_append(&b->command, set, NULL, 0, 0);
    return go(b);
}

/* ---- tests ---- */

static void entries_are_numbered_and_chained_on(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    assert_int_equal(append(&b, 3), 0);
    assert_int_equal(b.body, 3);
    assert_int_equal(append(&b, 0), 0);
    assert_int_equal(append(&b, META_AUDIT_BATCH_MAX), 0);
    assert_int_equal(number(&b, "SELECT count(*) FROM audit"),
                     3 + META_AUDIT_BATCH_MAX);
    check_chain(&b, 0, zeros);
    base_close(&b);
}

/* Make what others refer to, and one change of each kind. */
static void change_all(struct base *b, unsigned *changes)
{
    struct command_more more = {.hold = true};
    struct meta_content content = {.size_bytes = 5, .inline_bytes = "bytes"};
    struct command_more locked = {.locked = true};

    command_bucket_create(&b->command, "b", "o", 1);
    command_add_more(&b->command, 0, &locked);
    assert_int_equal(go(b), 0);
    command_bucket_config(&b->command, "b", META_CONFIG_POLICY, "{}", 2);
    assert_int_equal(go(b), 0);
    command_user_put(&b->command, "u", true, NULL, 0, 1);
    assert_int_equal(go(b), 0);
    command_key_put(&b->command, "u", "access", "secretsecret", 1);
    assert_int_equal(go(b), 0);
    command_key_remove(&b->command, "access");
    assert_int_equal(go(b), 0);
    command_user_remove(&b->command, "u");
    assert_int_equal(go(b), 0);
    command_master_key_put(&b->command, "k", 1, "wrapped", 7, 1);
    assert_int_equal(go(b), 0);
    command_master_key_state(&b->command, "k", true);
    assert_int_equal(go(b), 0);
    command_device_put(&b->command, "d", "p", 1, "s", 1, NULL, 0, 1);
    assert_int_equal(go(b), 0);
    command_device_remove(&b->command, "d");
    assert_int_equal(go(b), 0);
    *changes = 10;
    /* which is none: */
    command_object_put(&b->command, "b", "key", NULL, &content, "etag", NULL, 0,
                       9);
    assert_int_equal(go(b), 0);
    command_object_set(&b->command, COMMAND_OBJECT_HOLD, "b", "key", &more, 1);
    assert_int_equal(go(b), 0);
    ++*changes;
}

static void every_change_is_told_with_it(void **state)
{
    uint8_t bytes[AUDIT_HEAD + AUDIT_DRAFT_MAX];
    struct audit_entry e;
    unsigned changes;
    struct base b;

    (void)state;
    base_init(&b);
    change_all(&b, &changes);
    assert_int_equal(number(&b, "SELECT count(*) FROM audit"), changes);
    check_chain(&b, 0, zeros);
    last_entry(&b, &e, bytes);
    assert_int_equal(e.kind, AUDIT_CHANGE);
    assert_memory_equal(e.text[AUDIT_TEXT_OPERATION].p, "OBJECT_HOLD", 11);
    assert_memory_equal(e.text[AUDIT_TEXT_DETAIL].p, "hold=on", 7);
    assert_memory_equal(e.text[AUDIT_TEXT_KEY].p, "key", 3);
    base_close(&b);
}

static void a_refused_change_leaves_nothing(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    command_bucket_config(&b.command, "none", META_CONFIG_POLICY, "{}", 2);
    assert_int_equal(go(&b), ERR_NO_BUCKET);
    command_key_remove(&b.command, "access");
    assert_int_equal(go(&b), ERR_NOT_FOUND);
    assert_int_equal(number(&b, "SELECT count(*) FROM audit"), 0);
    base_close(&b);
}

static void a_change_tells_who_and_no_secret(void **state)
{
    struct command_actor who = {2, "req", "alice", "AKIA", "::1"};
    uint8_t bytes[AUDIT_HEAD + AUDIT_DRAFT_MAX];
    struct audit_entry e;
    struct base b;

    (void)state;
    base_init(&b);
    command_user_put(&b.command, "u", true, NULL, 0, 1);
    assert_int_equal(go(&b), 0);
    command_key_put(&b.command, "u", "access", "secretsecret", 7);
    command_add_actor(&b.command, 0, &who);
    command_add_actor(&b.command, 0, &who); /* once is enough */
    assert_int_equal(go(&b), 0);
    last_entry(&b, &e, bytes);
    assert_int_equal(e.server, 2);
    assert_int_equal(e.time_ms, 7);
    assert_int_equal(e.text[AUDIT_TEXT_USER].len, 5);
    assert_memory_equal(e.text[AUDIT_TEXT_USER].p, "alice", 5);
    assert_memory_equal(e.text[AUDIT_TEXT_ADDRESS].p, "::1", 3);
    assert_null(memmem(bytes, sizeof bytes, "secretsecret", 12));
    assert_non_null(memmem(e.text[AUDIT_TEXT_DETAIL].p,
                           e.text[AUDIT_TEXT_DETAIL].len, "access", 6));
    base_close(&b);
}

static void settings_change_by_an_entry_only(void **state)
{
    struct audit_settings set = {AUDIT_LEVEL_ALL, true, 5 * DAY_MS};
    uint8_t bytes[AUDIT_HEAD + AUDIT_DRAFT_MAX];
    struct command_more hold = {.hold = true};
    struct audit_entry e;
    unsigned changes;
    struct base b;

    (void)state;
    base_init(&b);
    assert_int_equal(number(&b, "SELECT level FROM audit_state"),
                     AUDIT_LEVEL_DENIED);
    change_all(&b, &changes);
    assert_int_equal(settings(&b, &set), 0);
    last_entry(&b, &e, bytes);
    assert_memory_equal(e.text[AUDIT_TEXT_DETAIL].p, "level=all keys=hashed",
                        21);
    assert_int_equal(number(&b, "SELECT level FROM audit_state"),
                     AUDIT_LEVEL_ALL);
    assert_int_equal(number(&b, "SELECT keep FROM audit_state"), 5 * DAY_MS);
    /* From now on keys are told by their digest. */
    command_object_set(&b.command, COMMAND_OBJECT_HOLD, "b", "key", &hold, 1);
    assert_int_equal(go(&b), 0);
    last_entry(&b, &e, bytes);
    assert_int_equal(e.text[AUDIT_TEXT_KEY].len, 71);
    assert_memory_equal(e.text[AUDIT_TEXT_KEY].p, "sha256:", 7);
    check_chain(&b, 0, zeros);
    base_close(&b);
}

static void a_checkpoint_is_of_what_is_there(void **state)
{
    uint8_t wrong[32] = "wrong";
    struct base b;

    (void)state;
    base_init(&b);
    assert_int_equal(append(&b, 3), 0);
    assert_int_equal(checkpoint(&b, 4, NULL), ERR_PRECONDITION);
    assert_int_equal(checkpoint(&b, 2, wrong), ERR_PRECONDITION);
    assert_int_equal(checkpoint(&b, 3, NULL), 0);
    assert_int_equal(checkpoint(&b, 2, NULL), 0);
    assert_int_equal(number(&b, "SELECT count(*) FROM audit_checkpoint"), 2);
    assert_int_equal(number(&b, "SELECT count(*) FROM audit"), 3);
    base_close(&b);
}

static void what_is_old_is_cut_at_a_checkpoint_which_stays(void **state)
{
    struct audit_settings set = {AUDIT_LEVEL_ALL, false, 10 * DAY_MS};
    uint8_t bytes[AUDIT_HEAD + AUDIT_DRAFT_MAX], hash[32];
    struct audit_entry e;
    sqlite3_stmt *s;
    struct base b;

    (void)state;
    base_init(&b);
    assert_int_equal(settings(&b, &set), 0);
    for (unsigned day = 1; day <= 30; day++) {
        assert_int_equal(tell_time(&b, day * DAY_MS), 0);
        assert_int_equal(append(&b, 4), 0);
        assert_int_equal(
            checkpoint(&b, number(&b, "SELECT number FROM audit_state"), NULL),
            0);
    }
    /* Of the last ten days, and the entries that tell of the cuts. */
    assert_true(number(&b, "SELECT count(*) FROM audit") < 60);
    assert_int_equal(number(&b, "SELECT min(number) - 1 FROM audit"),
                     number(&b, "SELECT base FROM audit_state"));
    assert_int_equal(number(&b, "SELECT min(number) FROM audit_checkpoint"),
                     number(&b, "SELECT base FROM audit_state"));
    assert_int_equal(
        number(&b, "SELECT min(clock) FROM audit_checkpoint") / DAY_MS, 20);
    last_entry(&b, &e, bytes);
    assert_int_equal(e.kind, AUDIT_CUT);
    assert_int_equal(e.count, number(&b, "SELECT base FROM audit_state"));
    assert_int_equal(sqlite3_prepare_v2(b.db.sqlite,
                                        "SELECT hash FROM audit_checkpoint"
                                        " ORDER BY number LIMIT 1",
                                        -1, &s, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    memcpy(hash, sqlite3_column_blob(s, 0), 32);
    sqlite3_finalize(s);
    check_chain(&b, number(&b, "SELECT base FROM audit_state"), hash);
    base_close(&b);
}

static void nothing_is_cut_by_a_clock_that_was_never_told(void **state)
{
    struct audit_settings set = {AUDIT_LEVEL_ALL, false, 1};
    struct base b;

    (void)state;
    base_init(&b);
    assert_int_equal(settings(&b, &set), 0);
    assert_int_equal(checkpoint(&b, 1, NULL), 0);
    assert_int_equal(append(&b, 1), 0);
    assert_int_equal(checkpoint(&b, 2, NULL), 0);
    assert_int_equal(number(&b, "SELECT count(*) FROM audit"), 2);
    base_close(&b);
}

static void the_same_commands_give_the_same_log(void **state)
{
    struct buf one = {0}, two = {0};
    unsigned changes;

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct base b;
        base_init(&b);
        change_all(&b, &changes);
        assert_int_equal(tell_time(&b, 77), 0);
        assert_int_equal(append(&b, 9), 0);
        assert_int_equal(checkpoint(&b, 5, NULL), 0);
        dump(&b, i == 0 ? &one : &two);
        base_close(&b);
    }
    assert_int_equal(one.len, two.len);
    assert_memory_equal(one.data, two.data, one.len);
    buf_free(&one);
    buf_free(&two);
}

static void count_defects(void *arg, const char *what)
{
    assert_non_null(strstr(what, "audit log: "));
    ++*(unsigned *)arg;
}

static void verify_finds_what_was_changed_in_the_tables(void **state)
{
    static const char *const damage[] = {
        "DELETE FROM audit WHERE number = 3",
        "DELETE FROM audit WHERE number = 9",
        "UPDATE audit SET number = number + 100 WHERE number = 4",
        "UPDATE audit SET content = (SELECT content FROM audit WHERE"
        " number = 5) WHERE number = 6",
        "UPDATE audit SET hash = zeroblob(32) WHERE number = 7",
        "UPDATE audit_state SET base = 2",
        "UPDATE audit_state SET number = 8",
    };

    (void)state;
    for (size_t i = 0; i < sizeof damage / sizeof damage[0]; i++) {
        unsigned defects = 0;
        struct base b;
        base_init(&b);
        assert_int_equal(append(&b, 9), 0);
        assert_int_equal(meta_verify_on(&b.db, count_defects, &defects), 0);
        assert_int_equal(meta_db_exec(&b.db, damage[i], NULL), 0);
        assert_int_equal(meta_verify_on(&b.db, count_defects, &defects), 1);
        assert_int_equal(defects, 1);
        meta_db_close(&b.db);
        buf_free(&b.command);
    }
}

static void damaged_commands_are_refused(void **state)
{
    struct buf drafts = {0}, good = {0};
    struct command c;

    (void)state;
    draft(&drafts, "GetObject");
    command_audit_append(&good, &(struct audit_settings){.level = 3},
                         drafts.data, drafts.len, 1);
    assert_int_equal(command_decode(good.data, good.len, &c, NULL), 0);
    for (size_t len = 0; len < good.len; len++) {
        assert_int_equal(command_decode(good.data, len, &c, NULL),
                         ERR_BAD_INPUT);
    }
    good.data[3] = AUDIT_LEVELS; /* behind type, version and "settings" */
    assert_int_equal(command_decode(good.data, good.len, &c, NULL),
                     ERR_BAD_INPUT);
    buf_free(&good);
    command_audit_checkpoint(&good, &(struct audit_checkpoint){.number = 0});
    assert_int_equal(command_decode(good.data, good.len, &c, NULL),
                     ERR_BAD_INPUT);
    buf_free(&good);
    buf_free(&drafts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_numbered_and_chained_on),
        cmocka_unit_test(every_change_is_told_with_it),
        cmocka_unit_test(a_refused_change_leaves_nothing),
        cmocka_unit_test(a_change_tells_who_and_no_secret),
        cmocka_unit_test(settings_change_by_an_entry_only),
        cmocka_unit_test(a_checkpoint_is_of_what_is_there),
        cmocka_unit_test(what_is_old_is_cut_at_a_checkpoint_which_stays),
        cmocka_unit_test(nothing_is_cut_by_a_clock_that_was_never_told),
        cmocka_unit_test(the_same_commands_give_the_same_log),
        cmocka_unit_test(verify_finds_what_was_changed_in_the_tables),
        cmocka_unit_test(damaged_commands_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
