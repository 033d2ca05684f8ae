/* Goal: a folder is the drive that its identity says, and no other; an
 * identity is made in an empty folder only, whole or not at all.
 *
 * Method: the golden file of the version; a disk in memory that fails at each
 * call in turn and loses power.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/fs.h"
#include "node/drive_identity.h"
#include "tests/lib/fake_disk.h"

#define GOLDEN "tests/golden/drive-v1.bin"

static const uint8_t cluster[16] = "0123456789abcdef";

static void golden_identity_is_decoded_and_written_again(void **state)
{
    const struct drive_identity id = {.drive = 513,
                                      .created_ms = 1795000000123,
                                      .cluster = "0123456789abcdef"};
    uint8_t bytes[DRIVE_IDENTITY_BYTES];
    struct drive_identity back;
    struct buf golden = {0};
    struct err err;

    (void)state;
    drive_identity_encode(&id, bytes);
    if (getenv("GODWIT_GOLDEN") != NULL) {
        assert_int_equal(fs_write(GOLDEN, bytes, sizeof bytes, 0644, &err), 0);
    }
    assert_int_equal(fs_read(GOLDEN, 4096, &golden, &err), 0);
    assert_int_equal(golden.len, sizeof bytes);
    assert_memory_equal(golden.data, bytes, sizeof bytes);
    assert_int_equal(drive_identity_decode(golden.data, &back, &err), 0);
    assert_int_equal(back.drive, 513);
    assert_int_equal(back.created_ms, 1795000000123);
    assert_memory_equal(back.cluster, cluster, 16);
    for (unsigned i = 0; i < sizeof bytes; i++) {
        bytes[i] ^= 4;
        assert_int_equal(drive_identity_decode(bytes, &back, NULL),
                         ERR_CORRUPT);
        bytes[i] ^= 4;
    }
    buf_free(&golden);
}

static int open_it(struct fake_disk *d, uint16_t drive, bool *made)
{
    const struct drive_ops *ops = fake_disk_ops(d);
    struct drive_file *lock;
    struct err err;
    int status =
        drive_identity_open(ops, "fake", drive, cluster, &lock, made, &err);

    if (status == 0) {
        ops->close(ops->data, lock);
    }
    return status;
}

static void make_file(struct fake_disk *d, const char *name)
{
    const struct drive_ops *ops = fake_disk_ops(d);
    struct drive_file *f;

    assert_int_equal(ops->open(ops->data, "fake", name, DRIVE_CREATE, &f, NULL),
                     0);
    ops->close(ops->data, f);
}

static void an_empty_folder_is_made_the_drive_once(void **state)
{
    struct fake_disk *d = fake_disk_new(1);
    bool made;

    (void)state;
    make_file(d, "lost+found");
    assert_int_equal(open_it(d, 5, &made), 0);
    assert_true(made);
    assert_int_equal(open_it(d, 5, &made), 0);
    assert_false(made);
    assert_int_equal(open_it(d, 6, &made), ERR_MISMATCH);
    assert_int_equal(
        drive_identity_check(fake_disk_ops(d), "fake", 5, cluster, NULL), 0);
    assert_int_equal(
        drive_identity_check(fake_disk_ops(d), "fake", 6, cluster, NULL),
        ERR_MISMATCH);
    fake_disk_free(d);
}

static void a_folder_with_other_files_is_left_alone(void **state)
{
    struct fake_disk *d = fake_disk_new(1);
    bool made;

    (void)state;
    make_file(d, "photo.jpg");
    assert_int_equal(open_it(d, 5, &made), ERR_MISMATCH);
    assert_int_equal(fake_disk_used(d), 0);
    fake_disk_set_present(d, false);
    assert_int_equal(open_it(d, 5, &made), ERR_NOT_FOUND);
    fake_disk_free(d);
}

static void power_may_go_at_any_call_of_the_making(void **state)
{
    bool made;

    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct fake_disk *d = fake_disk_new(seed);
        bool was_ok;
        fake_disk_cut_at(d, (long)(seed % 10));
        was_ok = open_it(d, 5, &made) == 0;
        fake_disk_power_on(d);
        assert_int_equal(open_it(d, 5, &made), 0);
        assert_true(!was_ok || !made);
        fake_disk_free(d);
    }
}

static void a_write_test_tells_a_drive_that_takes_no_writes(void **state)
{
    struct fake_disk *d = fake_disk_new(1);
    struct err err;

    (void)state;
    assert_int_equal(drive_write_test(fake_disk_ops(d), "fake", &err), 0);
    assert_int_equal(fake_disk_used(d), 0);
    fake_disk_set_size(d, 1);
    assert_int_equal(drive_write_test(fake_disk_ops(d), "fake", &err), 0);
    for (long n = 0; n < 4; n++) {
        fake_disk_fail(d, n, ERR_IO, false);
        assert_int_equal(drive_write_test(fake_disk_ops(d), "fake", &err),
                         ERR_IO);
        fake_disk_set_size(d, 1 << 20);
    }
    fake_disk_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_identity_is_decoded_and_written_again),
        cmocka_unit_test(an_empty_folder_is_made_the_drive_once),
        cmocka_unit_test(a_folder_with_other_files_is_left_alone),
        cmocka_unit_test(power_may_go_at_any_call_of_the_making),
        cmocka_unit_test(a_write_test_tells_a_drive_that_takes_no_writes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
