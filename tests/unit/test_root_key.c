/* test_root_key.c: the key that wraps master keys, in its file.
 *
 * Goal: a key comes back as it was written, for its owner alone; a file that is
 * none is refused.
 * Method: files in a folder of the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "crypto/root_key.h"
#include "tests/lib/temp_dir.h"

static char *make_dir(void)
{
    return temp_dir_new();
}

static void a_key_comes_back_as_it_was(void **state)
{
    char *dir = make_dir(), *path = mem_printf("%s/master.key", dir);
    uint8_t key[ROOT_KEY], got[ROOT_KEY];
    struct stat st;

    (void)state;
    for (int i = 0; i < ROOT_KEY; i++) {
        key[i] = (uint8_t)(7 * i);
    }
    assert_int_equal(root_key_load(path, got, NULL), ERR_NOT_FOUND);
    assert_int_equal(root_key_save(path, key, NULL), 0);
    assert_int_equal(root_key_load(path, got, NULL), 0);
    assert_memory_equal(got, key, sizeof key);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, 65);
    temp_dir_free(dir);
    free(path);
}

static int load_text(const char *text)
{
    char *dir = make_dir(), *path = mem_printf("%s/k", dir);
    uint8_t got[ROOT_KEY];
    int rc;

    assert_int_equal(fs_write(path, text, strlen(text), 0600, NULL), 0);
    rc = root_key_load(path, got, NULL);
    temp_dir_free(dir);
    free(path);
    return rc;
}

#define HALF "00112233445566778899aabbccddeeff"

static void what_is_no_key_is_refused(void **state)
{
    (void)state;
    assert_int_equal(load_text(HALF HALF), 0);
    assert_int_equal(load_text(HALF HALF "\r\n"), 0);
    assert_int_equal(load_text(HALF HALF "0"), ERR_CORRUPT);
    assert_int_equal(load_text(HALF), ERR_CORRUPT);
    assert_int_equal(load_text(""), ERR_CORRUPT);
    assert_int_equal(load_text(HALF "x0112233445566778899aabbccddeeff"),
                     ERR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_comes_back_as_it_was),
        cmocka_unit_test(what_is_no_key_is_refused),
    };

    return cmocka_run_group_tests_name("root_key", tests, NULL, NULL);
}
