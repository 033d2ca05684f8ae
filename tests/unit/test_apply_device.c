/* test_apply_device.c: devices in the catalogue, and what they deliver.
 *
 * Goal: a device is enrolled by a code once and in time; whatever it sends
 * again, in any order, is applied once (P6); a revoked one delivers nothing.
 * Method: commands on a database in memory; random deliveries against a model.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "meta/meta_device.h"
#include "tests/lib/apply_base.h"

static const uint8_t code_a[META_CODE_HASH] = "code a";
static const uint8_t code_b[META_CODE_HASH] = "code b";
static const uint8_t key_a[META_FINGERPRINT] = "key a";
static const uint8_t key_b[META_FINGERPRINT] = "key b";

static int device_put(struct base *b, const char *name, const uint8_t *code)
{
    command_device_put(&b->command, name, "policy", 6, "settings", 8, code,
                       1000, 1);
    return go(b);
}

static int enroll(struct base *b, const uint8_t *code, const uint8_t *key,
                  uint64_t time_ms)
{
    command_device_enroll(&b->command, code, key, time_ms);
    return go(b);
}

static int revoke(struct base *b, const char *name)
{
    command_device_revoke(&b->command, name, 5);
    return go(b);
}

static int removed(struct base *b, const char *name)
{
    command_device_remove(&b->command, name);
    return go(b);
}

static int deliver(struct base *b, const char *bucket, uint64_t device,
                   uint64_t sequence, uint64_t floor)
{
    struct meta_content content = {.size_bytes = 5, .inline_bytes = "bytes"};
    struct command_more more = {
        .device = device, .sequence = sequence, .floor = floor};

    command_object_put(&b->command, bucket, "key", NULL, &content, "etag", NULL,
                       0, 9);
    command_add_more(&b->command, 0, &more);
    return go(b);
}

/* A bucket that keeps versions, so that each put leaves one; and a device. */
static uint64_t with_device(struct base *b)
{
    base_init(b);
    command_bucket_create(&b->command, "b", "o", 1);
    assert_int_equal(go(b), 0);
    command_bucket_config(&b->command, "b", META_CONFIG_VERSIONING, "\1", 1);
    assert_int_equal(go(b), 0);
    assert_int_equal(device_put(b, "dev", code_a), 0);
    assert_int_equal(enroll(b, code_a, key_a, 2), 0);
    assert_int_not_equal(b->body, 0);
    return b->body;
}

static uint64_t versions_of(struct base *b)
{
    return number(b,
                  "SELECT (SELECT count(*) FROM version)"
                  " + (SELECT count(*) FROM history)");
}

static void a_code_enrolls_one_device_once_and_in_time(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    assert_int_equal(enroll(&b, code_a, key_a, 1), ERR_NOT_FOUND);
    assert_int_equal(device_put(&b, "dev", code_a), 0);
    assert_int_equal(device_put(&b, "other", code_a), ERR_EXISTS);
    assert_int_equal(number(&b, "SELECT count(*) FROM device"), 1);
    assert_int_equal(enroll(&b, code_a, key_a, 1000), ERR_TIMEOUT);
    assert_int_equal(enroll(&b, code_b, key_a, 1), ERR_NOT_FOUND);
    assert_int_equal(enroll(&b, code_a, key_a, 999), 0);
    assert_int_equal(enroll(&b, code_a, key_b, 999), ERR_NOT_FOUND);
    assert_int_equal(device_put(&b, "other", code_b), 0);
    assert_int_equal(enroll(&b, code_b, key_a, 2), ERR_EXISTS);
    assert_int_equal(enroll(&b, code_b, key_b, 2), 0);
    base_close(&b);
}

static void enrolled_again_it_counts_anew_under_another_number(void **state)
{
    struct base b;
    uint64_t old = with_device(&b), new;

    (void)state;
    assert_int_equal(deliver(&b, "b", old, 1, 1), 0);
    assert_int_equal(device_put(&b, "dev", code_b), 0);
    assert_int_equal(deliver(&b, "b", old, 2, 1), 0); /* still what it was */
    assert_int_equal(enroll(&b, code_b, key_b, 3), 0);
    new = b.body;
    assert_int_not_equal(new, old);
    assert_int_equal(deliver(&b, "b", old, 3, 1), ERR_DENIED);
    assert_int_equal(deliver(&b, "b", new, 1, 1), 0);
    assert_int_equal(number(&b, "SELECT count(*) FROM delivered"), 1);
    base_close(&b);
}

static void a_repeat_changes_nothing(void **state)
{
    struct base b;
    uint64_t device = with_device(&b);

    (void)state;
    assert_int_equal(deliver(&b, "b", device, 7, 1), 0);
    assert_int_equal(versions_of(&b), 1);
    assert_int_equal(deliver(&b, "b", device, 7, 1), ERR_EXISTS);
    assert_int_equal(deliver(&b, "b", device, 7, 7), ERR_EXISTS);
    assert_int_equal(versions_of(&b), 1);
    assert_int_equal(deliver(&b, "b", device, 3, 1), 0); /* out of order */
    assert_int_equal(versions_of(&b), 2);
    assert_int_equal(deliver(&b, "b", device, 8, 8), 0);
    assert_int_equal(deliver(&b, "b", device, 4, 1), ERR_EXISTS); /* given up */
    assert_int_equal(number(&b, "SELECT count(*) FROM delivered"), 1);
    base_close(&b);
}

static void a_delete_is_delivered_once(void **state)
{
    struct command_more more = {.sequence = 2, .floor = 1};
    struct base b;
    uint64_t device = with_device(&b);

    (void)state;
    more.device = device;
    assert_int_equal(deliver(&b, "b", device, 1, 1), 0);
    for (int i = 0; i < 2; i++) {
        command_object_delete(&b.command, "b", "key", NULL, 10);
        command_add_more(&b.command, 0, &more);
        assert_int_equal(go(&b), i == 0 ? 0 : ERR_EXISTS);
    }
    assert_int_equal(number(&b, "SELECT count(*) FROM history"), 2);
    base_close(&b);
}

static void what_was_refused_may_come_again(void **state)
{
    struct base b;
    uint64_t device = with_device(&b);

    (void)state;
    assert_int_equal(deliver(&b, "none", device, 1, 1), ERR_NO_BUCKET);
    command_bucket_create(&b.command, "none", "o", 1);
    assert_int_equal(go(&b), 0);
    assert_int_equal(deliver(&b, "none", device, 1, 1), 0);
    base_close(&b);
}

static void what_is_kept_of_a_device_is_bounded(void **state)
{
    struct base b;
    uint64_t device = with_device(&b);

    (void)state;
    assert_int_equal(deliver(&b, "b", device, META_DELIVERED_MAX, 1), 0);
    assert_int_equal(deliver(&b, "b", device, META_DELIVERED_MAX + 1, 1),
                     ERR_LIMIT);
    assert_int_equal(deliver(&b, "b", device, META_DELIVERED_MAX + 1, 2), 0);
    base_close(&b);
}

static void a_revoked_device_delivers_and_says_nothing(void **state)
{
    struct base b;
    uint64_t device = with_device(&b);

    (void)state;
    command_device_report(&b.command, device, "{}", 2, 4);
    assert_int_equal(go(&b), 0);
    assert_int_equal(revoke(&b, "none"), ERR_NOT_FOUND);
    assert_int_equal(revoke(&b, "dev"), 0);
    assert_int_equal(deliver(&b, "b", device, 1, 1), ERR_DENIED);
    assert_int_equal(versions_of(&b), 0);
    command_device_report(&b.command, device, "{}", 2, 5);
    assert_int_equal(go(&b), ERR_DENIED);
    command_device_key(&b.command, device, key_b, 5);
    assert_int_equal(go(&b), ERR_DENIED);
    assert_int_equal(device_put(&b, "dev", code_b), 0); /* a second chance */
    assert_int_equal(deliver(&b, "b", device, 1, 1), ERR_DENIED);
    assert_int_equal(enroll(&b, code_b, key_b, 6), 0);
    assert_int_equal(deliver(&b, "b", b.body, 1, 1), 0);
    base_close(&b);
}

static void revoking_takes_back_a_code(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    assert_int_equal(device_put(&b, "dev", code_a), 0);
    assert_int_equal(revoke(&b, "dev"), 0);
    assert_int_equal(enroll(&b, code_a, key_a, 2), ERR_NOT_FOUND);
    base_close(&b);
}

static void a_device_that_is_removed_leaves_its_objects_only(void **state)
{
    struct base b;
    uint64_t device = with_device(&b);

    (void)state;
    assert_int_equal(deliver(&b, "b", device, 2, 1), 0);
    assert_int_equal(deliver(&b, "b", device, 3, 2), 0);
    command_device_report(&b.command, device, "{}", 2, 4);
    assert_int_equal(go(&b), 0);
    assert_int_equal(removed(&b, "dev"), 0);
    assert_int_equal(removed(&b, "dev"), ERR_NOT_FOUND);
    assert_int_equal(number(&b,
                            "SELECT (SELECT count(*) FROM device)"
                            " + (SELECT count(*) FROM device_floor)"
                            " + (SELECT count(*) FROM device_report)"
                            " + (SELECT count(*) FROM delivered)"),
                     0);
    assert_int_equal(versions_of(&b), 2);
    assert_int_equal(deliver(&b, "b", device, 4, 1), ERR_DENIED);
    base_close(&b);
}

static void a_key_is_changed_but_not_to_another_device_s(void **state)
{
    struct base b;
    uint64_t device = with_device(&b);

    (void)state;
    assert_int_equal(device_put(&b, "other", code_b), 0);
    assert_int_equal(enroll(&b, code_b, key_b, 2), 0);
    command_device_key(&b.command, device, key_b, 3);
    assert_int_equal(go(&b), ERR_EXISTS);
    command_device_key(&b.command, device, (const uint8_t[32]){"key c"}, 3);
    assert_int_equal(go(&b), 0);
    command_device_key(&b.command, 1, (const uint8_t[32]){"key d"}, 3);
    assert_int_equal(go(&b), ERR_DENIED);
    assert_int_equal(deliver(&b, "b", device, 1, 1), 0);
    base_close(&b);
}

static void what_access_goes_by_tells_that_it_has_changed(void **state)
{
    struct base b;
    uint64_t device = with_device(&b), before = b.apply.access_changes;

    (void)state;
    assert_int_equal(deliver(&b, "b", device, 1, 1), 0);
    command_device_report(&b.command, device, "{}", 2, 4);
    assert_int_equal(go(&b), 0);
    assert_int_equal(b.apply.access_changes, before);
    assert_int_equal(revoke(&b, "dev"), 0);
    assert_int_equal(b.apply.access_changes, before + 1);
    assert_int_equal(device_put(&b, "dev", code_b), 0);
    assert_int_equal(enroll(&b, code_b, key_a, 3), ERR_EXISTS); /* its own */
    assert_int_equal(enroll(&b, code_b, key_b, 3), 0);
    assert_int_equal(b.apply.access_changes, before + 3);
    base_close(&b);
}

/* Each of SPAN numbers is sent until all were, at random and from a floor that
 * the device raises as it learns what has arrived; answers may be lost. */
#define SPAN 200

static void whatever_is_repeated_each_arrives_once(void **state)
{
    struct base b;
    uint64_t device = with_device(&b), floor = 1, applied = 0;
    bool stored[SPAN + 1] = {false}, told[SPAN + 1] = {false};
    unsigned seed = 1;

    (void)state;
    while (floor <= SPAN) {
        unsigned r = (unsigned)rand_r(&seed);
        uint64_t n = floor + r % (SPAN + 1 - floor);
        int status = deliver(&b, "b", device, n, floor);
        assert_int_equal(status, stored[n] ? ERR_EXISTS : 0);
        applied += status == 0;
        stored[n] = true;
        told[n] = told[n] || (r & 0x1000) != 0; /* else the answer is lost */
        while (floor <= SPAN && told[floor]) {
            floor++;
        }
    }
    assert_int_equal(applied, SPAN);
    assert_int_equal(versions_of(&b), SPAN);
    base_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_code_enrolls_one_device_once_and_in_time),
        cmocka_unit_test(enrolled_again_it_counts_anew_under_another_number),
        cmocka_unit_test(a_repeat_changes_nothing),
        cmocka_unit_test(a_delete_is_delivered_once),
        cmocka_unit_test(what_was_refused_may_come_again),
        cmocka_unit_test(what_is_kept_of_a_device_is_bounded),
        cmocka_unit_test(a_revoked_device_delivers_and_says_nothing),
        cmocka_unit_test(revoking_takes_back_a_code),
        cmocka_unit_test(a_device_that_is_removed_leaves_its_objects_only),
        cmocka_unit_test(a_key_is_changed_but_not_to_another_device_s),
        cmocka_unit_test(what_access_goes_by_tells_that_it_has_changed),
        cmocka_unit_test(whatever_is_repeated_each_arrives_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
