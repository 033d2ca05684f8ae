/* test_apply_version.c: versions of a key, and what may not be removed.
 *
 * Goal: a bucket that keeps versions loses none; what the key names is the
 * newest that is no marker hidden by one; each way to write or delete what is
 * retained is refused in apply, whoever proposed it.
 * Method: commands on a database in memory, verified after each test; what
 * stands in the tables is read by SQL.
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
#include "tests/lib/apply_base.h"
#include "tests/lib/random_command.h"

#define DAY ((uint64_t)86400000)
#define NULL_MARKER (META_VERSION_NULL | META_VERSION_MARKER)

static const uint8_t up[META_UPLOAD_ID] = "upload-number-1";

static int versioning(struct base *b, uint8_t state)
{
    command_bucket_config(&b->command, "b", META_CONFIG_VERSIONING, &state, 1);
    return go(b);
}

/* @unit 0: no default. */
static int lock_config(struct base *b, uint8_t mode, uint8_t unit,
                       uint32_t count)
{
    uint8_t value[META_LOCK_CONFIG] = {mode, unit};

    store_u32(value + 4, count);
    command_bucket_config(&b->command, "b", META_CONFIG_OBJECT_LOCK, value,
                          sizeof value);
    return go(b);
}

static void init(struct base *b)
{
    base_init(b);
    command_bucket_create(&b->command, "b", "me", 1);
    assert_int_equal(go(b), 0);
}

static void init_locked(struct base *b)
{
    struct command_more more = {.locked = true};

    base_init(b);
    command_bucket_create(&b->command, "b", "me", 1);
    command_add_more(&b->command, 0, &more);
    assert_int_equal(go(b), 0);
}

static int put_with(struct base *b, const char *key, uint64_t run,
                    const struct meta_condition *c,
                    const struct command_more *more, uint64_t time_ms)
{
    uint8_t manifest[RANDOM_MANIFEST_SIZE];
    struct meta_content content = {.size_bytes = 1000,
                                   .manifest = manifest,
                                   .manifest_len = RANDOM_MANIFEST_SIZE};

    random_manifest(run, manifest);
    command_object_put(&b->command, "b", key, c, &content, "e", "at", 2,
                       time_ms);
    if (more != NULL) {
        command_add_more(&b->command, 0, more);
    }
    return go(b);
}

/* Gives the version. */
static uint64_t put(struct base *b, const char *key, uint64_t run)
{
    assert_int_equal(put_with(b, key, run, NULL, NULL, 100), 0);
    return b->version;
}

static int delete_version(struct base *b, const char *key, uint64_t version,
                          bool bypass, uint64_t time_ms)
{
    struct command_more more = {.version = version, .bypass = bypass};

    command_object_delete(&b->command, "b", key, NULL, time_ms);
    command_add_more(&b->command, 0, &more);
    return go(b);
}

static int delete_key(struct base *b, const char *key)
{
    command_object_delete(&b->command, "b", key, NULL, 100);
    return go(b);
}

static int retain(struct base *b, const char *key, uint64_t version,
                  enum meta_lock_mode mode, uint64_t until, bool bypass)
{
    struct command_more more = {
        .version = version, .lock = mode, .retain_ms = until, .bypass = bypass};

    command_object_set(&b->command, COMMAND_OBJECT_RETAIN, "b", key, &more,
                       100);
    return go(b);
}

static int hold(struct base *b, const char *key, uint64_t version, bool on)
{
    struct command_more more = {.version = version, .hold = on};

    command_object_set(&b->command, COMMAND_OBJECT_HOLD, "b", key, &more, 100);
    return go(b);
}

/* The number that the key's row has; 0 when it names nothing. */
static uint64_t current(struct base *b)
{
    return number(b, "SELECT ifnull(max(seq), 0) FROM version");
}

static uint64_t kept(struct base *b)
{
    return number(b, "SELECT count(*) FROM history WHERE (flags & 2) = 0");
}

static uint64_t markers(struct base *b)
{
    return number(b, "SELECT count(*) FROM history WHERE (flags & 2) <> 0");
}

static uint64_t garbage(struct base *b)
{
    return number(b, "SELECT count(*) FROM garbage");
}

/* ---- versioning ---- */

static void a_bucket_that_never_kept_versions_replaces(void **state)
{
    struct base b;

    (void)state;
    init(&b);
    assert_int_equal(put(&b, "k", 1), 0);
    assert_int_equal(put(&b, "k", 2), 0);
    assert_int_equal(garbage(&b), 1);
    assert_int_equal(delete_version(&b, "k", 77, false, 3), 0);
    assert_int_equal(number(&b, "SELECT count(*) FROM version"), 1);
    assert_int_equal(delete_key(&b, "k"), 0);
    assert_int_equal(b.version, 0);
    assert_int_equal(garbage(&b), 2);
    assert_int_equal(put(&b, "k", 3), 0);
    assert_int_equal(delete_version(&b, "k", META_VERSION_NULL, false, 3), 0);
    assert_int_equal(number(&b, "SELECT count(*) FROM version"), 0);
    assert_int_equal(markers(&b) + kept(&b), 0);
    base_close(&b);
}

static void a_bucket_that_keeps_versions_loses_none(void **state)
{
    struct base b;
    uint64_t first, second, marker;

    (void)state;
    init(&b);
    put(&b, "k", 1); /* null: of before */
    assert_int_equal(versioning(&b, META_VERSIONING_ENABLED), 0);
    first = put(&b, "k", 2);
    second = put(&b, "k", 3);
    assert_true(second > first && first > META_VERSION_NULL);
    assert_int_equal(kept(&b), 2);
    assert_int_equal(current(&b), second);
    assert_int_equal(delete_key(&b, "k"), 0);
    marker = b.version & ~META_VERSION_MARKER;
    assert_true(marker > second && marker != b.version);
    assert_int_equal(current(&b), 0);
    assert_int_equal(delete_key(&b, "k"), 0); /* another marker */
    assert_int_equal(markers(&b), 2);
    assert_int_equal(kept(&b), 3);
    assert_int_equal(garbage(&b), 0);
    command_bucket_delete(&b.command, "b");
    assert_int_equal(go(&b), ERR_BUCKET_NOT_EMPTY);
    base_close(&b);
}

static void removing_the_newest_brings_back_the_one_before(void **state)
{
    struct base b;
    uint64_t first, second, marker;

    (void)state;
    init(&b);
    put(&b, "k", 1);
    versioning(&b, META_VERSIONING_ENABLED);
    first = put(&b, "k", 2);
    second = put(&b, "k", 3);
    delete_key(&b, "k");
    marker = b.version & ~META_VERSION_MARKER;
    assert_int_equal(delete_version(&b, "k", marker, false, 9), 0);
    assert_int_equal(b.version, marker | META_VERSION_MARKER);
    assert_int_equal(current(&b), second);
    assert_int_equal(delete_version(&b, "k", first, false, 9), 0);
    assert_int_equal(current(&b), second); /* of the middle */
    assert_int_equal(garbage(&b), 1);
    assert_int_equal(delete_version(&b, "k", second, false, 9), 0);
    assert_int_equal(number(&b, "SELECT flags FROM version"), 1);
    assert_int_equal(delete_version(&b, "k", second, false, 9), 0); /* again */
    assert_int_equal(delete_version(&b, "k", META_VERSION_NULL, false, 9), 0);
    assert_int_equal(garbage(&b), 3);
    assert_int_equal(number(&b, "SELECT objects FROM state"), 0);
    command_bucket_delete(&b.command, "b");
    assert_int_equal(go(&b), 0);
    base_close(&b);
}

static void a_suspended_bucket_has_one_null_version(void **state)
{
    struct base b;
    uint64_t first;

    (void)state;
    init(&b);
    versioning(&b, META_VERSIONING_ENABLED);
    first = put(&b, "k", 1);
    assert_int_equal(versioning(&b, META_VERSIONING_SUSPENDED), 0);
    assert_int_equal(put(&b, "k", 2), META_VERSION_NULL);
    assert_int_equal(kept(&b), 1);
    assert_int_equal(put(&b, "k", 3), META_VERSION_NULL); /* replaces run 2 */
    assert_int_equal(garbage(&b), 1);
    assert_int_equal(delete_key(&b, "k"), 0); /* takes the null version */
    assert_int_equal(b.version, NULL_MARKER);
    assert_int_equal(garbage(&b), 2);
    assert_int_equal(delete_key(&b, "k"), 0); /* ... and the marker */
    assert_int_equal(markers(&b), 1);
    assert_int_equal(put(&b, "k", 4), META_VERSION_NULL);
    assert_int_equal(markers(&b), 0);
    versioning(&b, META_VERSIONING_ENABLED);
    put(&b, "k", 5);
    versioning(&b, META_VERSIONING_SUSPENDED);
    put(&b, "k", 6); /* the null one lies two below the newest */
    assert_int_equal(kept(&b), 2);
    assert_int_equal(garbage(&b), 3);
    assert_int_equal(delete_version(&b, "k", META_VERSION_NULL, false, 9), 0);
    assert_int_equal(current(&b), number(&b, "SELECT max(seq) FROM version"));
    assert_int_equal(delete_version(&b, "k", first, false, 9), 0);
    assert_int_equal(kept(&b), 0);
    base_close(&b);
}

static void a_number_does_not_name_the_null_version(void **state)
{
    struct base b;

    (void)state;
    init(&b);
    put(&b, "k", 1);
    versioning(&b, META_VERSIONING_ENABLED);
    assert_int_equal(delete_version(&b, "k", current(&b), false, 9), 0);
    assert_int_equal(number(&b, "SELECT count(*) FROM version"), 1);
    put(&b, "k", 2);
    assert_int_equal(
        delete_version(&b, "k", number(&b, "SELECT seq FROM history"), false,
                       9),
        0);
    assert_int_equal(kept(&b), 1);
    base_close(&b);
}

static void conditions_are_judged_on_what_is_visible(void **state)
{
    struct base b;
    struct meta_condition none = {.if_none_match = "*"};
    struct meta_condition some = {.if_match = "e"};

    (void)state;
    init(&b);
    versioning(&b, META_VERSIONING_ENABLED);
    put(&b, "k", 1);
    assert_int_equal(put_with(&b, "k", 2, &none, NULL, 9), ERR_PRECONDITION);
    assert_int_equal(put_with(&b, "k", 2, &some, NULL, 9), 0);
    delete_key(&b, "k");
    assert_int_equal(put_with(&b, "k", 3, &some, NULL, 9), ERR_NO_KEY);
    assert_int_equal(put_with(&b, "k", 3, &none, NULL, 9), 0);
    base_close(&b);
}

static void many_are_deleted_by_version_or_by_a_marker_each(void **state)
{
    struct base b;
    const char *keys[] = {"a", "a", "a", "b", "none"};
    uint64_t versions[5] = {0};
    struct command_more more = {.versions = versions};

    (void)state;
    init(&b);
    versioning(&b, META_VERSIONING_ENABLED);
    versions[0] = put(&b, "a", 1);
    put(&b, "a", 2);
    versions[3] = 12345;
    command_objects_delete(&b.command, "b", keys, NULL, 5, 9);
    command_add_more(&b.command, 0, &more);
    assert_int_equal(go(&b), 0);
    assert_int_equal(b.codes[0], 0);
    assert_int_equal(b.codes[1], META_CODE_MADE_MARKER);
    assert_int_equal(b.codes[2], META_CODE_MADE_MARKER);
    assert_int_equal(b.codes[3], 0);
    assert_int_equal(b.codes[4], META_CODE_MADE_MARKER);
    assert_int_equal(markers(&b), 3);
    versions[0] = b.version + 1;
    versions[1] = b.version + 2;
    versions[2] = versions[3] = versions[4] = META_VERSION_NULL;
    command_objects_delete(&b.command, "b", keys, NULL, 5, 9);
    command_add_more(&b.command, 0, &more);
    assert_int_equal(go(&b), 0);
    assert_int_equal(b.codes[0], META_CODE_WAS_MARKER);
    assert_int_equal(b.codes[1], META_CODE_WAS_MARKER);
    assert_int_equal(b.codes[2], 0);
    assert_int_equal(number(&b, "SELECT count(*) FROM version"), 1);
    base_close(&b);
}

static void a_copy_of_an_old_version_shares_its_bytes(void **state)
{
    struct base b;
    struct command_more more = {.tags = "t", .tags_len = 1};
    uint64_t body;

    (void)state;
    init(&b);
    versioning(&b, META_VERSIONING_ENABLED);
    assert_int_equal(put_with(&b, "k", 1, NULL, &more, 5), 0);
    body = b.body;
    more.tags = NULL;
    more.version = b.version;
    put(&b, "k", 2);
    command_object_copy(&b.command, "b", "k", body, "b", "c", NULL, "e", "at",
                        2, 4);
    assert_int_equal(go(&b), ERR_PRECONDITION); /* k is another by now */
    command_object_copy(&b.command, "b", "k", body, "b", "c", NULL, "e", "at",
                        2, 4);
    command_add_more(&b.command, 0, &more);
    assert_int_equal(go(&b), 0);
    assert_int_equal(number(&b,
                            "SELECT length(tags) FROM version"
                            " WHERE key = CAST('c' AS BLOB)"),
                     1);
    assert_int_equal(delete_version(&b, "k", more.version, false, 9), 0);
    assert_int_equal(garbage(&b), 0);
    command_object_copy(&b.command, "b", "k", body, "b", "d", NULL, "e", "at",
                        2, 4);
    command_add_more(&b.command, 0, &more);
    assert_int_equal(go(&b), ERR_NO_VERSION);
    base_close(&b);
}

static void versioning_is_not_unset(void **state)
{
    struct base b;

    (void)state;
    init(&b);
    command_bucket_config(&b.command, "b", META_CONFIG_VERSIONING, NULL, 0);
    assert_int_equal(go(&b), 0); /* it is not set */
    assert_int_equal(versioning(&b, 3), ERR_BAD_INPUT);
    assert_int_equal(versioning(&b, META_VERSIONING_SUSPENDED), 0);
    command_bucket_config(&b.command, "b", META_CONFIG_VERSIONING, NULL, 0);
    assert_int_equal(go(&b), ERR_BAD_INPUT);
    base_close(&b);
}

/* ---- tags ---- */

static void tags_are_of_a_version_and_change_without_a_new_one(void **state)
{
    struct base b;
    struct command_more more = {.tags = "abc", .tags_len = 3};
    uint64_t first;

    (void)state;
    init(&b);
    versioning(&b, META_VERSIONING_ENABLED);
    assert_int_equal(put_with(&b, "k", 1, NULL, &more, 5), 0);
    first = b.version;
    put(&b, "k", 2);
    more =
        (struct command_more){.version = first, .tags = "defgh", .tags_len = 5};
    command_object_set(&b.command, COMMAND_OBJECT_TAGS, "b", "k", &more, 9);
    assert_int_equal(go(&b), 0);
    assert_int_equal(b.version, first);
    assert_int_equal(number(&b, "SELECT length(tags) FROM history"), 5);
    assert_int_equal(number(&b, "SELECT length(tags) FROM version"), 0);
    more = (struct command_more){.version = first};
    command_object_set(&b.command, COMMAND_OBJECT_TAGS, "b", "k", &more, 9);
    assert_int_equal(go(&b), 0); /* none: all are gone */
    assert_int_equal(number(&b, "SELECT length(tags) FROM history"), 0);
    more.version = 99;
    command_object_set(&b.command, COMMAND_OBJECT_TAGS, "b", "k", &more, 9);
    assert_int_equal(go(&b), ERR_NO_VERSION);
    delete_key(&b, "k");
    more.version = b.version & ~META_VERSION_MARKER;
    command_object_set(&b.command, COMMAND_OBJECT_TAGS, "b", "k", &more, 9);
    assert_int_equal(go(&b), ERR_IS_MARKER);
    more.version = 0;
    command_object_set(&b.command, COMMAND_OBJECT_TAGS, "b", "k", &more, 9);
    assert_int_equal(go(&b), ERR_NO_KEY);
    base_close(&b);
}

static int set_attrs(struct base *b, uint64_t which, const char *read,
                     const char *attrs)
{
    command_object_attrs(&b->command, "b", "k", which, read, strlen(read),
                         attrs, strlen(attrs), 9);
    return go(b);
}

static void attrs_change_of_a_version_that_is_still_as_it_was_read(void **state)
{
    struct base b;
    uint64_t first;

    (void)state;
    init(&b);
    versioning(&b, META_VERSIONING_ENABLED);
    put(&b, "k", 1);
    first = b.version;
    put(&b, "k", 2);
    assert_int_equal(set_attrs(&b, first, "at", "first"), 0);
    assert_int_equal(b.version, first);
    assert_int_equal(
        number(&b, "SELECT count(*) FROM history WHERE attrs = x'6669727374'"),
        1);
    assert_int_equal(
        number(&b, "SELECT count(*) FROM version WHERE attrs = x'6669727374'"),
        0);
    assert_int_equal(set_attrs(&b, META_VERSION_CURRENT, "at", "second"), 0);
    assert_int_equal(
        number(&b,
               "SELECT count(*) FROM version WHERE attrs = x'7365636f6e64'"),
        1);
    /* Somebody was quicker. */
    assert_int_equal(set_attrs(&b, META_VERSION_CURRENT, "at", "late"),
                     ERR_PRECONDITION);
    assert_int_equal(set_attrs(&b, first, "firs", "late"), ERR_PRECONDITION);
    assert_int_equal(
        number(&b,
               "SELECT count(*) FROM version WHERE attrs = x'7365636f6e64'"),
        1);
    assert_int_equal(set_attrs(&b, META_VERSION_CURRENT, "second", ""), 0);
    assert_int_equal(set_attrs(&b, META_VERSION_CURRENT, "", "third"), 0);
    assert_int_equal(set_attrs(&b, 99, "third", "x"), ERR_NO_VERSION);
    delete_key(&b, "k");
    assert_int_equal(
        set_attrs(&b, b.version & ~META_VERSION_MARKER, "third", "x"),
        ERR_IS_MARKER);
    assert_int_equal(set_attrs(&b, META_VERSION_CURRENT, "third", "x"),
                     ERR_NO_KEY);
    base_close(&b);
}

static void an_upload_hands_on_what_it_was_created_with(void **state)
{
    struct base b;
    struct command_more more = {.tags = "tt",
                                .tags_len = 2,
                                .lock = META_LOCK_COMPLIANCE,
                                .retain_ms = 5000,
                                .hold = true};
    struct meta_content empty = {.size_bytes = 0};
    struct command_part part = {1, "p"};

    (void)state;
    init_locked(&b);
    command_upload_create(&b.command, "b", "k", up, "at", 2, 7);
    command_add_more(&b.command, 0, &more);
    assert_int_equal(go(&b), 0);
    command_part_put(&b.command, up, 1, &empty, "p", NULL, 8);
    assert_int_equal(go(&b), 0);
    command_upload_complete(&b.command, "b", "k", up, &part, 1, 0, NULL, "m",
                            "at", 2, 9);
    assert_int_equal(go(&b), 0);
    assert_true(b.version > META_VERSION_NULL);
    assert_int_equal(number(&b, "SELECT length(tags) FROM version"), 2);
    assert_int_equal(number(&b, "SELECT flags FROM version"),
                     VERSION_HELD | VERSION_HOLD_SAID);
    assert_int_equal(number(&b, "SELECT retain FROM version"), 5000);
    assert_int_equal(delete_version(&b, "k", b.version, true, 9999),
                     ERR_RETAINED);
    base_close(&b);
}

/* ---- Object Lock ---- */

static void object_lock_stays_and_keeps_versioning_on(void **state)
{
    struct base b;

    (void)state;
    init(&b);
    assert_int_equal(lock_config(&b, 0, 0, 0), ERR_BUCKET_STATE);
    versioning(&b, META_VERSIONING_SUSPENDED);
    assert_int_equal(lock_config(&b, 0, 0, 0), ERR_BUCKET_STATE);
    versioning(&b, META_VERSIONING_ENABLED);
    assert_int_equal(lock_config(&b, 3, META_LOCK_DAYS, 1), ERR_BAD_INPUT);
    assert_int_equal(lock_config(&b, 1, META_LOCK_DAYS, 0), ERR_BAD_INPUT);
    assert_int_equal(lock_config(&b, 1, META_LOCK_YEARS, 101), ERR_BAD_INPUT);
    assert_int_equal(lock_config(&b, 1, META_LOCK_DAYS, 36501), ERR_BAD_INPUT);
    assert_int_equal(lock_config(&b, 1, META_LOCK_YEARS, 100), 0);
    assert_int_equal(versioning(&b, META_VERSIONING_SUSPENDED),
                     ERR_BUCKET_STATE);
    command_bucket_config(&b.command, "b", META_CONFIG_OBJECT_LOCK, NULL, 0);
    assert_int_equal(go(&b), ERR_BUCKET_STATE);
    command_bucket_config(&b.command, "b", META_CONFIG_VERSIONING, NULL, 0);
    assert_int_equal(go(&b), ERR_BUCKET_STATE);
    assert_int_equal(versioning(&b, META_VERSIONING_ENABLED), 0);
    assert_int_equal(lock_config(&b, 0, 0, 0), 0); /* no default any more */
    base_close(&b);
}

static void what_needs_object_lock_is_refused_without(void **state)
{
    struct base b;
    struct command_more more = {.hold = true};

    (void)state;
    init(&b);
    versioning(&b, META_VERSIONING_ENABLED);
    assert_int_equal(put_with(&b, "k", 1, NULL, &more, 5), ERR_NO_LOCK);
    more =
        (struct command_more){.lock = META_LOCK_GOVERNANCE, .retain_ms = 1000};
    assert_int_equal(put_with(&b, "k", 1, NULL, &more, 5), ERR_NO_LOCK);
    command_upload_create(&b.command, "b", "k", up, "at", 2, 7);
    command_add_more(&b.command, 0, &more);
    assert_int_equal(go(&b), ERR_NO_LOCK);
    put(&b, "k", 1);
    assert_int_equal(hold(&b, "k", 0, true), ERR_NO_LOCK);
    assert_int_equal(retain(&b, "k", 0, META_LOCK_COMPLIANCE, 999, false),
                     ERR_NO_LOCK);
    base_close(&b);
}

/* The cluster's time becomes @now. */
static void time_is(struct base *b, uint64_t now)
{
    struct command_clock vote = {.time_ms = now};

    command_clock_vote(&b->command, &vote, 1);
    assert_int_equal(go(b), 0);
}

/* Every command that removes a version is refused; those that do not, are not;
 * @bypass as it is given. */
static void assert_stays(struct base *b, uint64_t version, bool bypass,
                         uint64_t now)
{
    const char *keys[] = {"k"};
    struct command_more more = {.versions = &version, .bypass = bypass};
    uint64_t rows = kept(b) + (current(b) != 0);

    assert_int_equal(delete_version(b, "k", version, bypass, now),
                     ERR_RETAINED);
    command_objects_delete(&b->command, "b", keys, NULL, 1, now);
    command_add_more(&b->command, 0, &more);
    assert_int_equal(go(b), 0);
    assert_int_equal(b->codes[0], ERR_RETAINED);
    assert_int_equal(versioning(b, META_VERSIONING_SUSPENDED),
                     ERR_BUCKET_STATE);
    command_bucket_delete(&b->command, "b");
    assert_int_equal(go(b), ERR_BUCKET_NOT_EMPTY);
    assert_int_equal(kept(b) + (current(b) != 0), rows);
    put(b, "k", 1000 + b->next); /* hides it, and takes nothing */
    assert_int_equal(kept(b) + 1, rows + 1);
    assert_int_equal(delete_key(b, "k"), 0);
    assert_int_equal(kept(b), rows + 1);
    assert_int_equal(delete_version(b, "k", version, bypass, now),
                     ERR_RETAINED); /* in the history, too */
}

static void a_version_under_compliance_stays_whoever_asks(void **state)
{
    struct base b;
    struct command_more more = {.lock = META_LOCK_COMPLIANCE,
                                .retain_ms = 1000};
    uint64_t v;

    (void)state;
    init_locked(&b);
    assert_int_equal(put_with(&b, "k", 1, NULL, &more, 5), 0);
    v = b.version;
    assert_stays(&b, v, true, 999);
    assert_stays(&b, v, true, 10 * 365 * DAY); /* a gateway's clock alone */
    time_is(&b, 999);
    assert_int_equal(retain(&b, "k", v, META_LOCK_COMPLIANCE, 999, true),
                     ERR_RETAINED);
    assert_int_equal(retain(&b, "k", v, META_LOCK_GOVERNANCE, 2000, true),
                     ERR_RETAINED);
    assert_int_equal(retain(&b, "k", v, META_LOCK_NONE, 0, true), ERR_RETAINED);
    assert_int_equal(retain(&b, "k", v, META_LOCK_COMPLIANCE, 2000, false), 0);
    time_is(&b, 1999);
    assert_int_equal(delete_version(&b, "k", v, true, 1500), ERR_RETAINED);
    time_is(&b, 2000);
    assert_int_equal(delete_version(&b, "k", v, false, 1), 0);
    base_close(&b);
}

static void a_version_under_governance_stays_unless_bypassed(void **state)
{
    struct base b;
    struct command_more more = {.lock = META_LOCK_GOVERNANCE,
                                .retain_ms = 1000};
    uint64_t v;

    (void)state;
    init_locked(&b);
    assert_int_equal(put_with(&b, "k", 1, NULL, &more, 5), 0);
    v = b.version;
    assert_stays(&b, v, false, 999);
    assert_int_equal(retain(&b, "k", v, META_LOCK_GOVERNANCE, 999, false),
                     ERR_RETAINED);
    assert_int_equal(retain(&b, "k", v, META_LOCK_COMPLIANCE, 1000, false),
                     ERR_RETAINED);
    assert_int_equal(retain(&b, "k", v, META_LOCK_NONE, 0, false),
                     ERR_RETAINED);
    assert_int_equal(retain(&b, "k", v, META_LOCK_GOVERNANCE, 1500, false), 0);
    assert_int_equal(retain(&b, "k", v, META_LOCK_GOVERNANCE, 200, true), 0);
    assert_int_equal(retain(&b, "k", v, META_LOCK_GOVERNANCE, 99, true),
                     ERR_BAD_INPUT);
    assert_int_equal(retain(&b, "k", v, META_LOCK_GOVERNANCE, 1500, false), 0);
    assert_int_equal(delete_version(&b, "k", v, true, 150), 0);
    base_close(&b);
}

static void a_held_version_stays_until_it_is_let_go(void **state)
{
    struct base b;
    struct command_more more = {.hold = true};
    uint64_t v;

    (void)state;
    init_locked(&b);
    assert_int_equal(put_with(&b, "k", 1, NULL, &more, 5), 0);
    v = b.version;
    assert_stays(&b, v, true, UINT32_MAX);
    assert_int_equal(hold(&b, "k", v, false), 0);
    assert_int_equal(hold(&b, "k", v, true), 0);
    assert_int_equal(delete_version(&b, "k", v, true, 150), ERR_RETAINED);
    assert_int_equal(hold(&b, "k", v, false), 0);
    assert_int_equal(delete_version(&b, "k", v, false, 150), 0);
    assert_int_equal(hold(&b, "k", v, true), ERR_NO_VERSION);
    base_close(&b);
}

static void the_default_retention_is_of_each_new_version(void **state)
{
    /* 2024-02-29T12:00:00Z, and a year later by the calendar */
    static const uint64_t leap = 1709208000000, after = 1740830400000;
    struct base b;
    struct command_more more = {.lock = META_LOCK_GOVERNANCE,
                                .retain_ms = leap + 5};

    (void)state;
    init_locked(&b);
    put(&b, "k", 1);
    assert_int_equal(number(&b, "SELECT lock FROM version"), META_LOCK_NONE);
    assert_int_equal(lock_config(&b, META_LOCK_COMPLIANCE, META_LOCK_DAYS, 3),
                     0);
    put(&b, "k", 2);
    assert_int_equal(number(&b, "SELECT lock FROM version"),
                     META_LOCK_COMPLIANCE);
    assert_int_equal(number(&b, "SELECT retain FROM version"), 100 + 3 * DAY);
    assert_int_equal(lock_config(&b, META_LOCK_GOVERNANCE, META_LOCK_YEARS, 1),
                     0);
    assert_int_equal(put_with(&b, "k", 3, NULL, NULL, leap), 0);
    assert_int_equal(number(&b, "SELECT retain FROM version"), after);
    assert_int_equal(put_with(&b, "k", 4, NULL, NULL, leap - 1000 * DAY), 0);
    assert_int_equal(number(&b, "SELECT retain FROM version"),
                     leap - 635 * DAY);
    assert_int_equal(put_with(&b, "k", 5, NULL, &more, leap), 0);
    assert_int_equal(number(&b, "SELECT retain FROM version"), leap + 5);
    /* A gateway whose clock lags does not make it short. */
    time_is(&b, leap);
    assert_int_equal(put_with(&b, "k", 6, NULL, NULL, 5), 0);
    assert_int_equal(number(&b, "SELECT retain FROM version"), after);
    base_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_that_never_kept_versions_replaces),
        cmocka_unit_test(a_bucket_that_keeps_versions_loses_none),
        cmocka_unit_test(removing_the_newest_brings_back_the_one_before),
        cmocka_unit_test(a_suspended_bucket_has_one_null_version),
        cmocka_unit_test(a_number_does_not_name_the_null_version),
        cmocka_unit_test(conditions_are_judged_on_what_is_visible),
        cmocka_unit_test(many_are_deleted_by_version_or_by_a_marker_each),
        cmocka_unit_test(a_copy_of_an_old_version_shares_its_bytes),
        cmocka_unit_test(versioning_is_not_unset),
        cmocka_unit_test(tags_are_of_a_version_and_change_without_a_new_one),
        cmocka_unit_test(
            attrs_change_of_a_version_that_is_still_as_it_was_read),
        cmocka_unit_test(an_upload_hands_on_what_it_was_created_with),
        cmocka_unit_test(object_lock_stays_and_keeps_versioning_on),
        cmocka_unit_test(what_needs_object_lock_is_refused_without),
        cmocka_unit_test(a_version_under_compliance_stays_whoever_asks),
        cmocka_unit_test(a_version_under_governance_stays_unless_bypassed),
        cmocka_unit_test(a_held_version_stays_until_it_is_let_go),
        cmocka_unit_test(the_default_retention_is_of_each_new_version),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
