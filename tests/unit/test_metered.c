/* test_metered.c: is the link one that costs?
 *
 * Goal: the words that mean so, and no others; the file is looked at again
 * after a while. Method: a file of the test's own, and times that it makes up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "edge-agent/metered.h"
#include "tests/lib/temp_dir.h"

static void few_words_mean_yes(void **state)
{
    static const char *const yes[] = {"yes\n",     "Yes", "guess-yes", "1\n",
                                      "true more", "on",  "METERED"};
    static const char *const no[] = {"",
                                     "no",
                                     "guess-no",
                                     "0",
                                     "unknown",
                                     "2",
                                     "yess",
                                     " yes",
                                     "11",
                                     "o n",
                                     "metered-not-at-all-in-no-way-whatsoever"};

    (void)state;
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        assert_true(metered_word(yes[i], strlen(yes[i])));
    }
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) {
        assert_false(metered_word(no[i], strlen(no[i])));
    }
}

static void a_file_is_looked_at_again_after_a_while(void **state)
{
    char *dir = temp_dir_new();
    char *path = mem_printf("%s/metered", dir);
    struct metered m = {0};

    (void)state;
    assert_false(metered_now(&m, 1000)); /* no path */
    metered_set(&m, path);
    assert_false(metered_now(&m, 1000)); /* no file */
    assert_int_equal(fs_write(path, "yes\n", 4, 0600, NULL), 0);
    assert_false(metered_now(&m, 1000 + METERED_MS - 1));
    assert_true(metered_now(&m, 1000 + METERED_MS));
    assert_int_equal(fs_write(path, "no\n", 3, 0600, NULL), 0);
    assert_true(metered_now(&m, 1000 + METERED_MS));
    assert_false(metered_now(&m, 1000 + 2 * METERED_MS));
    metered_set(&m, NULL);
    assert_false(metered_now(&m, 1000 + 9 * METERED_MS));
    metered_free(&m);
    free(path);
    temp_dir_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_words_mean_yes),
        cmocka_unit_test(a_file_is_looked_at_again_after_a_while),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
