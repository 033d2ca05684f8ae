/* Goal: the system's disk behind the seam does what drive.h says.
 *
 * Method: a folder under /tmp, with direct and with buffered I/O.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "node/drive.h"

static char dir[64];
static const struct drive_ops *ops;

static int make_folder(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/godwit-drive.XXXXXX");
    ops = drive_posix();
    return mkdtemp(dir) == NULL;
}

static void remove_one(void *arg, const char *name)
{
    (void)arg;
    ops->unlink(ops->data, dir, name, NULL);
}

static int remove_folder(void **state)
{
    (void)state;
    ops->list(ops->data, dir, remove_one, NULL, NULL);
    return rmdir(dir);
}

static void write_and_read(unsigned flags)
{
    uint8_t *pages = mem_pages(3 * MEM_PAGE);
    struct iovec iov[2] = {{pages + 2 * MEM_PAGE, MEM_PAGE},
                           {pages, 2 * MEM_PAGE}};
    struct drive_file *f;
    uint64_t bytes;
    size_t got;
    struct err err;

    for (unsigned i = 0; i < 3 * MEM_PAGE; i++) {
        pages[i] = (uint8_t)(i / MEM_PAGE + 1);
    }
    assert_int_equal(
        ops->open(ops->data, dir, "f", DRIVE_CREATE | flags, &f, &err), 0);
    assert_int_equal(ops->write(ops->data, f, iov, 2, MEM_PAGE, &err), 0);
    assert_int_equal(ops->sync(ops->data, f, &err), 0);
    assert_int_equal(ops->sync_dir(ops->data, dir, &err), 0);
    assert_int_equal(ops->size(ops->data, f, &bytes, &err), 0);
    assert_int_equal(bytes, 4 * MEM_PAGE);
    memset(pages, 9, 3 * MEM_PAGE);
    assert_int_equal(ops->read(ops->data, f, iov, 2, MEM_PAGE, &got, &err), 0);
    assert_int_equal(got, 3 * MEM_PAGE);
    assert_int_equal(pages[0], 1);
    assert_int_equal(pages[2 * MEM_PAGE], 3);
    assert_int_equal(ops->read(ops->data, f, iov, 2, 3 * MEM_PAGE, &got, &err),
                     0);
    assert_int_equal(got, MEM_PAGE); /* the end of the file */
    assert_int_equal(ops->truncate(ops->data, f, MEM_PAGE, &err), 0);
    assert_int_equal(ops->size(ops->data, f, &bytes, &err), 0);
    assert_int_equal(bytes, MEM_PAGE);
    assert_int_equal(ops->allocate(ops->data, f, MEM_PAGE, 2 * MEM_PAGE, &err),
                     0);
    assert_int_equal(ops->read(ops->data, f, iov, 2, MEM_PAGE, &got, &err), 0);
    assert_int_equal(got, 2 * MEM_PAGE);
    assert_int_equal(pages[0] | pages[2 * MEM_PAGE], 0);
    ops->close(ops->data, f);
    ops->close(ops->data, NULL);
    mem_pages_free(pages, 3 * MEM_PAGE);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    write_and_read(0);
    write_and_read(DRIVE_DIRECT);
    write_and_read(DRIVE_DIRECT | DRIVE_FRESH);
}

static void sync_of_a_removed_file_fails(void **state)
{
    char byte = 'x';
    struct iovec iov = {&byte, 1};
    struct drive_file *f;
    struct err err;

    (void)state;
    assert_int_equal(ops->open(ops->data, dir, "f", DRIVE_CREATE, &f, &err), 0);
    assert_int_equal(ops->write(ops->data, f, &iov, 1, 0, &err), 0);
    assert_int_equal(ops->unlink(ops->data, dir, "f", &err), 0);
    assert_int_equal(ops->sync(ops->data, f, &err), ERR_IO);
    assert_string_equal(err.text, "the file was removed from its folder");
    ops->close(ops->data, f);
}

static void a_lock_is_taken_once(void **state)
{
    struct drive_file *a;
    struct drive_file *b;
    struct err err;

    (void)state;
    assert_int_equal(
        ops->open(ops->data, dir, "lock", DRIVE_CREATE | DRIVE_LOCK, &a, &err),
        0);
    assert_int_equal(ops->open(ops->data, dir, "lock", DRIVE_LOCK, &b, &err),
                     ERR_LOCKED);
    ops->close(ops->data, a);
    assert_int_equal(ops->open(ops->data, dir, "lock", DRIVE_LOCK, &b, &err),
                     0);
    ops->close(ops->data, b);
}

static void what_is_missing_is_not_found(void **state)
{
    char none[96];
    struct drive_file *f;
    uint64_t a;
    uint64_t b;
    struct err err;

    (void)state;
    snprintf(none, sizeof none, "%s/none", dir);
    assert_int_equal(ops->open(ops->data, dir, "none", 0, &f, &err),
                     ERR_NOT_FOUND);
    assert_int_equal(ops->open(ops->data, none, "f", DRIVE_CREATE, &f, &err),
                     ERR_NOT_FOUND);
    assert_int_equal(ops->unlink(ops->data, dir, "none", &err), ERR_NOT_FOUND);
    assert_int_equal(ops->rename(ops->data, dir, "none", "f", &err),
                     ERR_NOT_FOUND);
    assert_int_equal(ops->list(ops->data, none, remove_one, NULL, &err),
                     ERR_NOT_FOUND);
    assert_int_equal(ops->space(ops->data, none, &a, &b, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "free space of"));
}

static void count_one(void *arg, const char *name)
{
    (void)name;
    *(int *)arg += 1;
}

static void a_folder_tells_its_names_and_space(void **state)
{
    struct drive_file *f;
    uint64_t free_bytes = 0;
    uint64_t size_bytes = 0;
    char inner[96];
    int count = 0;
    struct err err;

    (void)state;
    snprintf(inner, sizeof inner, "%s/a/b", dir);
    assert_int_equal(ops->make_dir(ops->data, inner, &err), 0);
    assert_int_equal(ops->make_dir(ops->data, inner, &err), 0);
    assert_int_equal(ops->open(ops->data, inner, "x", DRIVE_CREATE, &f, &err),
                     0);
    ops->close(ops->data, f);
    assert_int_equal(ops->rename(ops->data, inner, "x", "y", &err), 0);
    assert_int_equal(ops->list(ops->data, inner, count_one, &count, &err), 0);
    assert_int_equal(count, 1);
    assert_int_equal(
        ops->space(ops->data, inner, &free_bytes, &size_bytes, &err), 0);
    assert_true(free_bytes > 0 && free_bytes <= size_bytes);
    assert_int_equal(ops->unlink(ops->data, inner, "y", &err), 0);
    rmdir(inner);
    snprintf(inner, sizeof inner, "%s/a", dir);
    rmdir(inner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(sync_of_a_removed_file_fails),
        cmocka_unit_test(a_lock_is_taken_once),
        cmocka_unit_test(what_is_missing_is_not_found),
        cmocka_unit_test(a_folder_tells_its_names_and_space),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
