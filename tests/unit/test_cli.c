/* test_cli.c: names, options and formats that all commands share.
 *
 * Goal: s3:// names are taken apart or refused with the reason; options reach
 * their places, and what is asked wrongly gives exit code 2.
 * Method: tables; a command of the test's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "client/credentials.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static void names_are_taken_apart(void **state)
{
    static const struct {
        const char *name;
        bool scheme;
        const char *bucket;
        const char *key;
    } cases[] = {
        {"s3://b", true, "b", ""},
        {"s3://b/", true, "b", ""},
        {"s3://b/k", true, "b", "k"},
        {"s3://b/a//b/", true, "b", "a//b/"},
        {"s3://", true, "", ""},
        {"", false, "", ""},
        {"b/k?x=%20", false, "b", "k?x=%20"},
        {"s3://b//k", false, "b", "/k"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct cli_target t;
        assert_int_equal(cli_target(cases[i].name, cases[i].scheme, &t, NULL),
                         0);
        assert_string_equal(t.bucket, cases[i].bucket);
        assert_string_equal(t.key, cases[i].key);
        cli_target_free(&t);
        assert_null(t.bucket);
    }
}

static void bad_names_are_refused(void **state)
{
    char long_key[1100] = "s3://b/";
    struct cli_target t = {0};
    struct err err;

    (void)state;
    memset(long_key + 7, 'k', 1025);
    assert_int_equal(cli_target(long_key, true, &t, &err), ERR_BAD_INPUT);
    long_key[7 + 1024] = '\0';
    assert_int_equal(cli_target(long_key, true, &t, &err), 0);
    cli_target_free(&t);
    assert_int_equal(cli_target("b/k", true, &t, &err), ERR_BAD_INPUT);
    assert_non_null(strstr(err.text, "s3://"));
    assert_int_equal(cli_target("s3:///k", true, &t, &err), ERR_BAD_INPUT);
    assert_int_equal(cli_target("/etc/passwd", false, &t, &err), ERR_BAD_INPUT);
    memset(long_key + 5, 'b', 64);
    assert_int_equal(cli_target(long_key, true, &t, &err), ERR_BAD_INPUT);
    assert_int_equal(cli_object("s3://b", true, &t, &err), ERR_BAD_INPUT);
    assert_non_null(strstr(err.text, "names no object"));
    assert_int_equal(cli_object("s3://", true, &t, &err), ERR_BAD_INPUT);
    assert_null(t.bucket);
}

/* ---- options ---- */

struct options {
    struct cli_options common;
    bool recursive;
    uint64_t n;
};

static const struct config_row table[] = {
    CLI_ROW(struct options, "recursive", BOOL, recursive, NULL, 0, 0, NULL,
            "Recursive."),
    CLI_ROW(struct options, "n", UINT, n, "3", 1, 9, "N", "A number."),
    CLI_ROWS(struct options),
    CLI_ROWS_END,
};

static const struct cli_command command = {
    "test", "[options] A [B]", "test", "Test.", table, NULL,
};

/* Split @line at blanks and read it; gives -1 when it was taken. */
static int take(const char *line, struct options *o, char **words, int *rest)
{
    static char copy[256];
    char *save = NULL;
    int argc = 0;
    int code = -1;

    snprintf(copy, sizeof copy, "%s", line);
    for (char *w = strtok_r(copy, " ", &save); w != NULL;
         w = strtok_r(NULL, " ", &save)) {
        words[argc++] = w;
    }
    words[argc] = NULL;
    return cli_args(&command, o, argc, words, 1, 2, rest, &code) ? -1 : code;
}

static void options_reach_their_places(void **state)
{
    char *words[16];
    struct options o;
    int rest;

    (void)state;
    assert_int_equal(
        take("test --n 5 x -r y --endpoint=http://h", &o, words, &rest), -1);
    assert_int_equal(rest, 2);
    assert_string_equal(words[1], "x");
    assert_string_equal(words[2], "y");
    assert_true(o.recursive);
    assert_int_equal(o.n, 5);
    assert_string_equal(cli_endpoint(&o.common), "http://h");
    config_free(table, &o);
    assert_int_equal(take("test - --", &o, words, &rest), -1);
    assert_string_equal(words[1], "-");
    assert_int_equal(o.n, 3);
    config_free(table, &o);
    assert_int_equal(take("test -- -r --n", &o, words, &rest), -1);
    assert_int_equal(rest, 2);
    assert_string_equal(words[1], "-r");
    assert_string_equal(words[2], "--n");
    assert_false(o.recursive);
    config_free(table, &o);
}

static void what_is_asked_wrongly_is_two(void **state)
{
    static const char *const lines[] = {
        "test",          "test a b c",   "test a --bogus", "test a --n",
        "test a --n 10", "test a --n x", "test a -x",      "test a --n=0",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++) {
        char *words[16];
        struct options o;
        int rest;
        assert_int_equal(take(lines[i], &o, words, &rest), CLI_USAGE);
    }
}

static void help_is_no_error(void **state)
{
    char *words[16];
    struct options o;
    int rest;

    (void)state;
    assert_int_equal(take("test --help", &o, words, &rest), CLI_OK);
    assert_int_equal(take("test a b c -h", &o, words, &rest), CLI_OK);
}

static void the_endpoint_has_its_order(void **state)
{
    struct cli_options o = {0};

    (void)state;
    unsetenv("GODWIT_ENDPOINT");
    assert_string_equal(cli_endpoint(&o), "http://127.0.0.1:9000");
    setenv("GODWIT_ENDPOINT", "http://e", 1);
    assert_string_equal(cli_endpoint(&o), "http://e");
    o.endpoint = (char *)"http://f";
    assert_string_equal(cli_endpoint(&o), "http://f");
    unsetenv("GODWIT_ENDPOINT");
}

static void the_region_has_its_order(void **state)
{
    struct cli_options o = {0};
    struct credentials c;

    (void)state;
    setenv("AWS_ACCESS_KEY_ID", "A", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "S", 1);
    unsetenv("AWS_REGION");
    unsetenv("AWS_DEFAULT_REGION");
    assert_int_equal(cli_credentials(&o, &c, NULL), 0);
    assert_string_equal(c.region, "us-east-1");
    credentials_free(&c);
    setenv("AWS_DEFAULT_REGION", "r1", 1);
    assert_int_equal(cli_credentials(&o, &c, NULL), 0);
    assert_string_equal(c.region, "r1");
    credentials_free(&c);
    setenv("AWS_REGION", "r2", 1);
    assert_int_equal(cli_credentials(&o, &c, NULL), 0);
    assert_string_equal(c.region, "r2");
    credentials_free(&c);
    o.region = (char *)"r3";
    assert_int_equal(cli_credentials(&o, &c, NULL), 0);
    assert_string_equal(c.region, "r3");
    credentials_free(&c);
    o.endpoint = (char *)"nonsense";
    assert_int_equal(cli_credentials(&o, &c, NULL), ERR_BAD_INPUT);
}

static void sizes_and_times_are_printed(void **state)
{
    char size[24];
    char when[40];

    (void)state;
    assert_string_equal(cli_size(1536, false, size), "1536");
    assert_string_equal(cli_size(1536, true, size), "1.5 KiB");
    assert_string_equal(cli_size(UINT64_MAX, false, size),
                        "18446744073709551615");
    assert_string_equal(cli_time(1795395723000, when), "2026-11-23 01:02:03");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_taken_apart),
        cmocka_unit_test(bad_names_are_refused),
        cmocka_unit_test(options_reach_their_places),
        cmocka_unit_test(what_is_asked_wrongly_is_two),
        cmocka_unit_test(help_is_no_error),
        cmocka_unit_test(the_endpoint_has_its_order),
        cmocka_unit_test(the_region_has_its_order),
        cmocka_unit_test(sizes_and_times_are_printed),
    };

    return cmocka_run_group_tests_name("cli", tests, NULL, NULL);
}
