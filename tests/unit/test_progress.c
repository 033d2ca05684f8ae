/* test_progress.c: the line that tells how far a transfer is.
 *
 * Goal: percent, rate and time left are those of the numbers, within the width.
 * Method: a table of numbers and lines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/progress.h"

#define MIB ((uint64_t)1 << 20)

static void lines_tell_the_numbers(void **state)
{
    static const struct {
        uint64_t done, total, moved, elapsed_ms;
        const char *line;
    } cases[] = {
        {50 * MIB, 100 * MIB, 50 * MIB, 1000,
         "f  50 MiB of 100 MiB  50%  50 MiB/s  0:01 left"},
        {0, 100 * MIB, 0, 0, "f  0 B of 100 MiB  0%  0 B/s  "},
        {90 * MIB, 100 * MIB, MIB, 10000,
         "f  90 MiB of 100 MiB  90%  102.4 KiB/s  1:40 left"},
        {MIB, 10000 * MIB, MIB, 1000,
         "f  1 MiB of 9.8 GiB  0%  1 MiB/s  2:46:39 left"},
        {100 * MIB, 100 * MIB, 100 * MIB, 2000,
         "f  100 MiB of 100 MiB  100%  50 MiB/s  0:00 left"},
        {5 * MIB, 0, 5 * MIB, 1000, "f  5 MiB  5 MiB/s"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char line[PROGRESS_WIDTH_MAX];
        progress_line("f", cases[i].done, cases[i].total, cases[i].moved,
                      cases[i].elapsed_ms, 80, line);
        assert_string_equal(line, cases[i].line);
    }
}

static void lines_keep_within_the_width(void **state)
{
    char line[PROGRESS_WIDTH_MAX];
    char label[400];

    (void)state;
    memset(label, 'l', sizeof label - 1);
    label[sizeof label - 1] = '\0';
    progress_line(label, 1, 2, 1, 1000, 40, line);
    assert_int_equal(strlen(line), 39);
    progress_line(label, 1, 2, 1, 1000, 10000, line);
    assert_int_equal(strlen(line), PROGRESS_WIDTH_MAX - 1);
}

static void nothing_is_shown_without_a_terminal(void **state)
{
    struct progress *p = progress_new("f", 10, false);

    (void)state;
    progress_add(p, 5);
    progress_add(p, -5);
    progress_skip(p, 3);
    progress_free(p);
    progress_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_tell_the_numbers),
        cmocka_unit_test(lines_keep_within_the_width),
        cmocka_unit_test(nothing_is_shown_without_a_terminal),
    };

    return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
