/* test_log.c: what a log line looks like, and which are written.
 *
 * Goal: a line is logfmt that cannot be forged by a value, and leaves in one
 * write.
 * Method: capture lines; for the way to stderr, put a pipe that keeps writes
 * apart (O_DIRECT, pipe(2)) in its place. The clock is fake.
 */
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"

#define PREFIX "time=2026-11-23T01:02:03.456Z "

struct captured {
    unsigned count;
    char last[2 * PIPE_BUF];
};

static struct captured captured;

static uint64_t fake_now(void *data)
{
    (void)data;
    return 1795395723456ull;
}

static const struct clock_ops fake_clock = {.real_ms = fake_now};

static void keep_line(const char *line, void *arg)
{
    struct captured *c = arg;

    c->count++;
    snprintf(c->last, sizeof c->last, "%s", line);
}

static int set_up(void **state)
{
    (void)state;
    clock_use(&fake_clock);
    captured.count = 0;
    captured.last[0] = 0;
    log_capture(keep_line, &captured);
    log_set_level(LOG_INFO);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    log_capture(NULL, NULL);
    log_set_level(LOG_INFO);
    clock_use(NULL);
    return 0;
}

static void a_line_has_time_level_msg_and_pairs(void **state)
{
    (void)state;
    log_line(LOG_INFO, "serving", "listen", "127.0.0.1:9000", "drives", "6",
             NULL);
    assert_string_equal(captured.last, PREFIX
                        "level=info msg=serving "
                        "listen=127.0.0.1:9000 drives=6");
    log_line(LOG_ERROR, "two words", NULL);
    assert_string_equal(captured.last, PREFIX "level=error msg=\"two words\"");
}

static void a_missing_last_value_is_a_dash(void **state)
{
    (void)state;
    log_line(LOG_WARN, "x", "key", NULL);
    assert_string_equal(captured.last, PREFIX "level=warn msg=x key=-");
}

static void values_that_could_forge_are_escaped(void **state)
{
    static const char *const cases[][2] = {
        {"plain-1.2/3:4,[5]", "plain-1.2/3:4,[5]"},
        {"", "\"\""},
        {"a b", "\"a b\""},
        {"a=b", "\"a=b\""},
        {"say \"hi\"", "\"say \\\"hi\\\"\""},
        {"back\\slash", "\"back\\\\slash\""},
        {"x\nlevel=error", "\"x\\nlevel=error\""},
        {"\r\t", "\"\\r\\t\""},
        {"\x1b[31m", "\"\\x1b[31m\""},
        {"\x7f", "\"\\x7f\""},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"bad\xff", "\"bad\\xff\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char expected[128];
        snprintf(expected, sizeof expected, PREFIX "level=info msg=m v=%s",
                 cases[i][1]);
        log_line(LOG_INFO, "m", "v", cases[i][0], NULL);
        assert_string_equal(captured.last, expected);
    }
}

static void errf_formats_err(void **state)
{
    (void)state;
    log_errf(LOG_ERROR, "start", "drive %d: %s", 2, "no space");
    assert_string_equal(captured.last, PREFIX
                        "level=error msg=start err=\"drive 2: no space\"");
    log_errf(LOG_ERROR, "start", "%s", "");
    assert_string_equal(captured.last, PREFIX "level=error msg=start err=\"\"");
}

static void levels_below_the_set_one_are_silent(void **state)
{
    (void)state;
    assert_true(log_enabled(LOG_ERROR));
    assert_true(log_enabled(LOG_INFO));
    assert_false(log_enabled(LOG_DEBUG));
    log_line(LOG_DEBUG, "hidden", NULL);
    log_errf(LOG_DEBUG, "hidden", "x");
    assert_int_equal(captured.count, 0);
    log_set_level(LOG_DEBUG);
    log_line(LOG_DEBUG, "shown", NULL);
    assert_int_equal(captured.count, 1);
    log_set_level(LOG_ERROR);
    log_line(LOG_WARN, "hidden", NULL);
    assert_int_equal(captured.count, 1);
}

static void level_names_are_read_exactly(void **state)
{
    enum log_level level = LOG_WARN;

    (void)state;
    assert_false(log_level_parse("INFO", &level));
    assert_false(log_level_parse("", &level));
    assert_false(log_level_parse("errors", &level));
    assert_int_equal(level, LOG_WARN);
    assert_true(log_level_parse("debug", &level));
    assert_int_equal(level, LOG_DEBUG);
    assert_true(log_level_parse("error", &level));
    assert_int_equal(level, LOG_ERROR);
}

static void a_line_is_one_write_of_at_most_pipe_buf(void **state)
{
    static char huge[3 * PIPE_BUF];
    static char got[4 * PIPE_BUF];
    int fds[2];
    int old;
    ssize_t n;

    (void)state;
    log_capture(NULL, NULL);
    memset(huge, 'x', sizeof huge - 1);
    assert_int_equal(pipe2(fds, O_CLOEXEC | O_DIRECT | O_NONBLOCK), 0);
    old = dup(STDERR_FILENO);
    assert_true(dup2(fds[1], STDERR_FILENO) >= 0);
    log_line(LOG_INFO, "one", "a", "b c", NULL);
    log_line(LOG_INFO, "two", "huge", huge, NULL);
    dup2(old, STDERR_FILENO);
    close(old);

    n = read(fds[0], got, sizeof got - 1);
    assert_true(n > 0);
    got[n] = 0;
    assert_string_equal(got, PREFIX "level=info msg=one a=\"b c\"\n");
    n = read(fds[0], got, sizeof got - 1);
    assert_int_equal(n, PIPE_BUF);
    assert_memory_equal(got + n - 5, "x...\n", 5);
    assert_int_equal(read(fds[0], got, sizeof got), -1);
    close(fds[0]);
    close(fds[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(a_line_has_time_level_msg_and_pairs),
        TEST(a_missing_last_value_is_a_dash),
        TEST(values_that_could_forge_are_escaped),
        TEST(errf_formats_err),
        TEST(levels_below_the_set_one_are_silent),
        TEST(level_names_are_read_exactly),
        TEST(a_line_is_one_write_of_at_most_pipe_buf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
