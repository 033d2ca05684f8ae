/* test_command_device.c: commands of devices as bytes.
 *
 * Goal: what was encoded is decoded; nothing else is; the bytes stay what they
 * are. Method: every field looked at, every cut refused, a golden file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/wire.h"
#include "meta/command.h"

#define GOLDEN "tests/golden/commands-device-v1.bin"
#define KINDS 8

static const uint8_t code[META_CODE_HASH] = "code";
static const uint8_t key[META_FINGERPRINT] = "key";

static void encode(int i, struct buf *out)
{
    struct command_more more = {.device = 5, .sequence = 9, .floor = 3};

    buf_clear(out);
    switch (i) {
        case 0:
            command_device_put(out, "dev", "policy", 6, "{}", 2, code, 77, 12);
            break;
        case 1:
            command_device_put(out, "dev", NULL, 0, NULL, 0, NULL, 0, 12);
            break;
        case 2:
            command_device_enroll(out, code, key, 13);
            break;
        case 3:
            command_device_key(out, 5, key, 14);
            break;
        case 4:
            command_device_revoke(out, "dev", 15);
            break;
        case 5:
            command_device_remove(out, "dev");
            break;
        case 6:
            command_device_report(out, 5, "{\"a\":1}", 7, 16);
            break;
        default:
            command_object_delete(out, "bucket", "k", NULL, 17);
            command_add_more(out, 0, &more);
    }
}

static void must_decode(const struct buf *b, struct command *c)
{
    struct err err = {0};

    if (command_decode(b->data, b->len, c, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static void what_was_encoded_is_decoded(void **state)
{
    struct buf b = {0};
    struct command c;

    (void)state;
    encode(0, &b);
    must_decode(&b, &c);
    assert_memory_equal(c.name.p, "dev", 3);
    assert_memory_equal(c.content.p, "policy", 6);
    assert_int_equal(c.settings.len, 2);
    assert_memory_equal(c.code, code, sizeof code);
    assert_int_equal(c.expires_ms, 77);
    assert_int_equal(c.time_ms, 12);
    encode(1, &b);
    must_decode(&b, &c);
    assert_null(c.code);
    encode(2, &b);
    must_decode(&b, &c);
    assert_memory_equal(c.code, code, sizeof code);
    assert_memory_equal(c.fingerprint, key, sizeof key);
    encode(3, &b);
    must_decode(&b, &c);
    assert_int_equal(c.device, 5);
    encode(6, &b);
    must_decode(&b, &c);
    assert_int_equal(c.content.len, 7);
    encode(7, &b);
    must_decode(&b, &c);
    assert_int_equal(c.device, 5);
    assert_int_equal(c.sequence, 9);
    assert_int_equal(c.floor, 3);
    buf_free(&b);
}

static void nothing_shorter_or_longer_is_a_command(void **state)
{
    struct buf b = {0};
    struct command c;

    (void)state;
    for (int i = 0; i < KINDS; i++) {
        encode(i, &b);
        for (size_t len = 0; len < b.len; len++) {
            /* a delivery without its device is a command of somebody else */
            if (i != 7 || len != b.len - 29) {
                assert_int_not_equal(command_decode(b.data, len, &c, NULL), 0);
            }
        }
        buf_char(&b, 0);
        assert_int_not_equal(command_decode(b.data, b.len, &c, NULL), 0);
    }
    buf_free(&b);
}

/* The last 24 bytes of a delivery are device, sequence and floor. */
static int with_delivery(uint64_t device, uint64_t sequence, uint64_t floor)
{
    struct buf b = {0};
    struct command c;
    int rc;

    encode(7, &b);
    store_u64(b.data + b.len - 24, device);
    store_u64(b.data + b.len - 16, sequence);
    store_u64(b.data + b.len - 8, floor);
    rc = command_decode(b.data, b.len, &c, NULL);
    buf_free(&b);
    return rc;
}

static void a_delivery_has_a_device_and_a_number_above_its_floor(void **state)
{
    struct command_more more = {.device = 5, .sequence = 9, .floor = 3};
    struct buf b = {0};
    struct command c;

    (void)state;
    assert_int_equal(with_delivery(1, 1, 1), 0);
    assert_int_equal(with_delivery(0, 1, 1), ERR_BAD_INPUT);
    assert_int_equal(with_delivery(1, 0, 0), ERR_BAD_INPUT);
    assert_int_equal(with_delivery(1, 2, 3), ERR_BAD_INPUT);
    assert_int_equal(with_delivery(1, UINT64_MAX, 1), ERR_BAD_INPUT);
    command_bucket_delete(&b, "bucket"); /* devices do not do that */
    command_add_more(&b, 0, &more);
    assert_int_equal(command_decode(b.data, b.len, &c, NULL), ERR_BAD_INPUT);
    buf_free(&b);
}

static void the_golden_file_is_written_and_read_the_same(void **state)
{
    struct buf all = {0}, one = {0}, have = {0};

    (void)state;
    for (int i = 0; i < KINDS; i++) {
        encode(i, &one);
        put_blob(&all, one.data, one.len);
    }
    if (getenv("GOLDEN_WRITE") != NULL) {
        assert_int_equal(fs_write(GOLDEN, all.data, all.len, 0644, NULL), 0);
    }
    assert_int_equal(fs_read(GOLDEN, 1 << 20, &have, NULL), 0);
    assert_int_equal(have.len, all.len);
    assert_memory_equal(have.data, all.data, all.len);
    buf_free(&all);
    buf_free(&one);
    buf_free(&have);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_encoded_is_decoded),
        cmocka_unit_test(nothing_shorter_or_longer_is_a_command),
        cmocka_unit_test(a_delivery_has_a_device_and_a_number_above_its_floor),
        cmocka_unit_test(the_golden_file_is_written_and_read_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
