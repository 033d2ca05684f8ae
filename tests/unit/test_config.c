/* test_config.c: settings from flags, file and defaults.
 *
 * Goal: every type is read and bounded as its row says; each refusal names
 * the key, the value and the bound; what was not understood is never dropped.
 * Method: one table with every type, through each of the three ways in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/config.h"
#include "base/err.h"
#include "base/fs.h"

#define ARGS_MAX 16

struct options {
    bool tls;
    bool sync;
    uint64_t drives;
    uint64_t memory;
    uint64_t timeout;
    uint64_t any;
    char *listen;
    char *data;
    struct config_list drive;
};

#define ROW(key, type, field, deflt, min, max, arg, help)                     \
    {                                                                         \
        key, CONFIG_##type, offsetof(struct options, field), deflt, min, max, \
            arg, help                                                         \
    }

static const struct config_row table[] = {
    ROW("listen", STRING, listen, "127.0.0.1:9000", 0, 0, "ADDR:PORT",
        "Address to serve on."),
    ROW("data", STRING, data, NULL, 0, 0, "DIR", "Folder of the store."),
    ROW("drives", UINT, drives, "6", 1, 64, "N", "Drives to make."),
    ROW("memory", SIZE, memory, "128MiB", 32 << 20, 1 << 30, "BYTES",
        "Budget for bodies."),
    ROW("timeout", DURATION, timeout, "30s", 100, 86400000, "TIME",
        "How long to wait."),
    ROW("any", UINT, any, NULL, 0, 0, NULL, "Any number at all."),
    ROW("tls", BOOL, tls, NULL, 0, 0, NULL, "Serve https."),
    ROW("sync", BOOL, sync, "true", 0, 0, NULL, "Sync each write."),
    ROW("drive", LIST, drive, NULL, 0, 0, "PATH", "A folder of its own."),
    {NULL, CONFIG_BOOL, 0, NULL, 0, 0, NULL, NULL},
};

struct fixture {
    struct options o;
    struct err err;
    char *argv[ARGS_MAX];
    int rest;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    memset(&f->o, 0x5a, sizeof f->o);
    config_init(table, &f->o);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    config_free(table, &f->o);
    free(f);
    return 0;
}

/* Give @line's words, split at blanks (in place), to config_args. */
static int give_args(struct fixture *f, char *line)
{
    int argc = 0;

    for (char *w = strtok(line, " "); w != NULL; w = strtok(NULL, " ")) {
        f->argv[argc++] = w;
    }
    f->rest = -1;
    return config_args(table, &f->o, argc, f->argv, &f->rest, &f->err);
}

static void defaults_come_from_the_table(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(f->o.listen, "127.0.0.1:9000");
    assert_null(f->o.data);
    assert_int_equal(f->o.drives, 6);
    assert_int_equal(f->o.memory, 128 << 20);
    assert_int_equal(f->o.timeout, 30000);
    assert_int_equal(f->o.any, 0);
    assert_false(f->o.tls);
    assert_true(f->o.sync);
    assert_int_equal(f->o.drive.count, 0);
    assert_null(f->o.drive.items);
}

static void free_may_be_called_twice(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(config_set(table, &f->o, "drive", "/a", NULL), 0);
    config_free(table, &f->o);
    assert_null(f->o.listen);
    assert_int_equal(f->o.drive.count, 0);
    config_free(table, &f->o);
}

static void set_reads_every_type(void **state)
{
    struct fixture *f = *state;
    struct options *o = &f->o;

    assert_int_equal(config_set(table, o, "listen", "[::]:1", &f->err), 0);
    assert_int_equal(config_set(table, o, "drives", "64", &f->err), 0);
    assert_int_equal(config_set(table, o, "memory", "32MiB", &f->err), 0);
    assert_int_equal(config_set(table, o, "timeout", "1d", &f->err), 0);
    assert_int_equal(config_set(table, o, "any", "18446744073709551615", NULL),
                     0);
    assert_int_equal(config_set(table, o, "tls", "yes", &f->err), 0);
    assert_int_equal(config_set(table, o, "sync", "Off", &f->err), 0);
    assert_int_equal(config_set(table, o, "drive", "/a", &f->err), 0);
    assert_int_equal(config_set(table, o, "drive", "/b", &f->err), 0);
    assert_string_equal(o->listen, "[::]:1");
    assert_int_equal(o->drives, 64);
    assert_int_equal(o->memory, 32 << 20);
    assert_int_equal(o->timeout, 86400000);
    assert_true(o->any == UINT64_MAX);
    assert_true(o->tls);
    assert_false(o->sync);
    assert_int_equal(o->drive.count, 2);
    assert_string_equal(o->drive.items[0], "/a");
    assert_string_equal(o->drive.items[1], "/b");
}

static void refusals_name_key_value_and_bound(void **state)
{
    static const char *const cases[][3] = {
        {"drives", "0", "drives: \"0\" is below the least, which is 1"},
        {"drives", "65", "drives: \"65\" is above the most, which is 64"},
        {"drives", "-1", "drives: \"-1\" is not a whole number"},
        {"drives", "", "drives: \"\" is not a whole number"},
        {"memory", "1K", "memory: \"1K\" is below the least, which is 32MiB"},
        {"memory", "2G", "memory: \"2G\" is above the most, which is 1GiB"},
        {"memory", "big",
         "memory: \"big\" is not a size, like 4096, 64KiB or 8MiB"},
        {"timeout", "99ms",
         "timeout: \"99ms\" is below the least, which is 100ms"},
        {"timeout", "25h", "timeout: \"25h\" is above the most, which is 1d"},
        {"timeout", "soon",
         "timeout: \"soon\" is not a time, like 250ms, 30s, 10m, 24h or 7d"},
        {"tls", "maybe", "tls: \"maybe\" is not true or false"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(
            config_set(table, &f->o, cases[i][0], cases[i][1], &f->err),
            ERR_BAD_INPUT);
        assert_string_equal(f->err.text, cases[i][2]);
    }
    assert_int_equal(f->o.drives, 6);
    assert_int_equal(f->o.memory, 128 << 20);
    assert_int_equal(f->o.timeout, 30000);
    assert_int_equal(config_set(table, &f->o, "tls", "maybe", NULL),
                     ERR_BAD_INPUT);
}

static void unknown_keys_suggest_the_nearest(void **state)
{
    static const char *const cases[][2] = {
        {"lsiten", "unknown setting lsiten: did you mean listen?"},
        {"Listen", "unknown setting Listen: did you mean listen?"},
        {"drivess", "unknown setting drivess: did you mean drives?"},
        {"memry", "unknown setting memry: did you mean memory?"},
        {"timout-s", "unknown setting timout-s"},
        {"xy", "unknown setting xy"},
        {"", "unknown setting "},
    };
    struct fixture *f = *state;
    char long_key[200];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(config_set(table, &f->o, cases[i][0], "1", &f->err),
                         ERR_BAD_INPUT);
        assert_string_equal(f->err.text, cases[i][1]);
    }
    memset(long_key, 'k', sizeof long_key - 1);
    long_key[sizeof long_key - 1] = 0;
    assert_int_equal(config_set(table, &f->o, long_key, "1", &f->err),
                     ERR_BAD_INPUT);
    assert_null(strstr(f->err.text, "mean"));
}

static void args_take_flags_and_keep_the_rest(void **state)
{
    struct fixture *f = *state;
    char line[] =
        "serve --listen :1 x --drives=7 --tls y --no-sync --drive /a "
        "--data= --drive=/b=c -h --help -v";

    assert_int_equal(give_args(f, line), 0);
    assert_string_equal(f->o.listen, ":1");
    assert_int_equal(f->o.drives, 7);
    assert_true(f->o.tls);
    assert_false(f->o.sync);
    assert_string_equal(f->o.data, "");
    assert_int_equal(f->o.drive.count, 2);
    assert_string_equal(f->o.drive.items[1], "/b=c");
    assert_int_equal(f->rest, 6);
    assert_string_equal(f->argv[0], "serve");
    assert_string_equal(f->argv[1], "x");
    assert_string_equal(f->argv[2], "y");
    assert_string_equal(f->argv[3], "-h");
    assert_string_equal(f->argv[4], "--help");
    assert_string_equal(f->argv[5], "-v");
}

static void args_after_two_dashes_are_no_flags(void **state)
{
    struct fixture *f = *state;
    char line[] = "--tls -- --drives 9 --";

    assert_int_equal(give_args(f, line), 0);
    assert_true(f->o.tls);
    assert_int_equal(f->o.drives, 6);
    assert_int_equal(f->rest, 3);
    assert_string_equal(f->argv[0], "--drives");
    assert_string_equal(f->argv[2], "--");
}

static void args_may_be_none(void **state)
{
    struct fixture *f = *state;
    char line[] = "";

    assert_int_equal(give_args(f, line), 0);
    assert_int_equal(f->rest, 0);
}

static void bad_flags_are_refused_and_argv_stays(void **state)
{
    static const char *const cases[][2] = {
        {"a --lsiten x", "unknown option --lsiten: did you mean --listen?"},
        {"a --lsiten=x", "unknown option --lsiten: did you mean --listen?"},
        {"a --frobnicate", "unknown option --frobnicate"},
        {"a --no-drives", "unknown option --no-drives"},
        {"a --listen", "--listen: needs a value: ADDR:PORT"},
        {"a --listen --tls", "--listen: needs a value: ADDR:PORT"},
        {"a --any", "--any: needs a value: VALUE"},
        {"a --drives 0", "--drives: \"0\" is below the least, which is 1"},
        {"a --tls=2", "--tls: \"2\" is not true or false"},
        {"a --no-tls=true", "--no-tls: takes no value, but \"true\" was given"},
        {"a --=x", "unknown option --"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char line[64];
        snprintf(line, sizeof line, "%s", cases[i][0]);
        assert_int_equal(give_args(f, line), ERR_BAD_INPUT);
        assert_string_equal(f->err.text, cases[i][1]);
        assert_int_equal(f->rest, -1);
        assert_ptr_equal(f->argv[0], line);
        assert_ptr_equal(f->argv[1], line + 2);
    }
}

/* Write @text to a file and read it as settings. */
static int give_file(struct fixture *f, const char *text, size_t len)
{
    char path[] = "/tmp/godwit-config-XXXXXX";
    int fd = mkstemp(path);
    int rc;

    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(fs_write(path, text, len, 0600, NULL), 0);
    rc = config_file(table, &f->o, path, &f->err);
    unlink(path);
    if (rc != 0) {
        /* Put the file's name, which differs each time, out of the text. */
        size_t n = strlen(path);
        assert_memory_equal(f->err.text, path, n);
        memmove(f->err.text, f->err.text + n, strlen(f->err.text + n) + 1);
    }
    return rc;
}

static void files_hold_keys_comments_and_quotes(void **state)
{
    static const char text[] =
        "# a comment\n"
        "\n"
        "   \t\r\n"
        "listen = 10.0.0.1:9000   # after a value\r\n"
        "drives=12\n"
        "  memory\t=\t64MiB  \n"
        "tls = on\n"
        "data = /srv/a#b\n"
        "drive = \" # quoted \" # comment\n"
        "drive = /two words\n"
        "drives = 13";
    struct fixture *f = *state;

    assert_int_equal(give_file(f, text, sizeof text - 1), 0);
    assert_string_equal(f->o.listen, "10.0.0.1:9000");
    assert_int_equal(f->o.drives, 13);
    assert_int_equal(f->o.memory, 64 << 20);
    assert_true(f->o.tls);
    assert_string_equal(f->o.data, "/srv/a#b");
    assert_int_equal(f->o.drive.count, 2);
    assert_string_equal(f->o.drive.items[0], " # quoted ");
    assert_string_equal(f->o.drive.items[1], "/two words");
    assert_int_equal(give_file(f, "", 0), 0);
}

static void file_errors_name_file_and_line(void **state)
{
    static const char *const cases[][2] = {
        {"drives = 1\n\ndrives = x\n",
         ":3: drives: \"x\" is not a whole number"},
        {"tls\n", ":1: \"tls\" is not \"key = value\""},
        {"lsiten = 1", ":1: unknown setting lsiten: did you mean listen?"},
        {"\n\n = 1", ":3: unknown setting "},
        {"drives = \"7\n", ":1: drives: \"\"7\" is not a whole number"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(give_file(f, cases[i][0], strlen(cases[i][0])),
                         ERR_BAD_INPUT);
        assert_string_equal(f->err.text, cases[i][1]);
    }
    assert_int_equal(give_file(f, "drives = 1\0", 11), ERR_BAD_INPUT);
    assert_string_equal(f->err.text, ": has a NUL byte");
}

static void missing_and_huge_files_are_refused(void **state)
{
    struct fixture *f = *state;
    size_t len = (1 << 20) + 1;
    char *text = malloc(len);

    assert_int_equal(config_file(table, &f->o, "/nonexistent/x", &f->err),
                     ERR_NOT_FOUND);
    memset(text, '\n', len);
    assert_int_equal(give_file(f, text, len), ERR_LIMIT);
    free(text);
}

static void help_tells_each_row_once_within_80_columns(void **state)
{
    struct buf out = {0};
    char *text;

    (void)state;
    config_help(table, &out);
    text = (char *)out.data;
    for (const struct config_row *row = table; row->key != NULL; row++) {
        assert_non_null(strstr(text, row->help));
    }
    assert_non_null(strstr(text,
                           "  --listen ADDR:PORT        Address to serve "
                           "on. Default: 127.0.0.1:9000.\n"));
    assert_non_null(strstr(text, "--drives N"));
    assert_non_null(strstr(text, "From 1 to 64. Default: 6."));
    assert_non_null(strstr(text, "From 32MiB to 1GiB."));
    assert_non_null(strstr(text, "--[no-]tls"));
    assert_non_null(strstr(text, "May be repeated."));
    assert_non_null(strstr(text, "--any VALUE"));
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        assert_true(strlen(line) < 80);
    }
    buf_free(&out);
}

static void long_help_wraps_and_long_flags_get_a_line(void **state)
{
    static const struct config_row rows[] = {
        {"a-very-long-name-of-a-flag", CONFIG_STRING, 0, NULL, 0, 0, "VALUE",
         "One two three four five six seven eight nine ten eleven twelve "
         "thirteen."},
        {NULL, CONFIG_BOOL, 0, NULL, 0, 0, NULL, NULL},
    };
    struct buf out = {0};

    (void)state;
    config_help(rows, &out);
    assert_string_equal(
        out.data,
        "  --a-very-long-name-of-a-flag VALUE\n"
        "                            One two three four five six seven eight "
        "nine ten\n"
        "                            eleven twelve thirteen.\n");
    buf_free(&out);
}

static void man_is_roff_with_escapes(void **state)
{
    static const struct config_row rows[] = {
        {"tls-key", CONFIG_STRING, 0, NULL, 0, 0, "FILE",
         ".dot first, a \\ and --tls."},
        {"tls", CONFIG_BOOL, 0, NULL, 0, 0, NULL, "Serve https."},
        {NULL, CONFIG_BOOL, 0, NULL, 0, 0, NULL, NULL},
    };
    struct buf out = {0};

    (void)state;
    config_man(rows, &out);
    assert_string_equal(out.data,
                        ".TP\n"
                        "\\fB\\-\\-tls\\-key\\fR \\fIFILE\\fR\n"
                        "\\&.dot first, a \\e and \\-\\-tls.\n"
                        ".TP\n"
                        "\\fB\\-\\-[no\\-]tls\\fR\n"
                        "Serve https.\n");
    buf_free(&out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(defaults_come_from_the_table),
        TEST(free_may_be_called_twice),
        TEST(set_reads_every_type),
        TEST(refusals_name_key_value_and_bound),
        TEST(unknown_keys_suggest_the_nearest),
        TEST(args_take_flags_and_keep_the_rest),
        TEST(args_after_two_dashes_are_no_flags),
        TEST(args_may_be_none),
        TEST(bad_flags_are_refused_and_argv_stays),
        TEST(files_hold_keys_comments_and_quotes),
        TEST(file_errors_name_file_and_line),
        TEST(missing_and_huge_files_are_refused),
        TEST(help_tells_each_row_once_within_80_columns),
        TEST(long_help_wraps_and_long_flags_get_a_line),
        TEST(man_is_roff_with_escapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
