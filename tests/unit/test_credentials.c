/* test_credentials.c: keys from the environment and from files.
 *
 * Goal: the first source in the order of credentials.h wins, and what is wrong
 * is told with file and line.
 * Method: ini texts in a table; environment and files in a folder of the test's
 * own, which is the working folder too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "client/credentials.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static const char *const variables[] = {"AWS_ACCESS_KEY_ID",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_PROFILE",
                                        "AWS_SHARED_CREDENTIALS_FILE",
                                        "GODWIT_ACCESS_KEY_ID",
                                        "GODWIT_SECRET_ACCESS_KEY",
                                        "HOME"};

static char folder[] = "/tmp/godwit-test.XXXXXX";

static int clean(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(variables); i++) {
        unsetenv(variables[i]);
    }
    unlink("data/credentials");
    unlink(".aws/credentials");
    unlink("other");
    return 0;
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL || chdir(folder) != 0 ||
           mkdir("data", 0700) != 0 || mkdir(".aws", 0700) != 0;
}

static int remove_folder(void **state)
{
    clean(state);
    rmdir("data");
    rmdir(".aws");
    return chdir("/") != 0 || rmdir(folder) != 0;
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

#define PAIR(a, s) "aws_access_key_id = " a "\naws_secret_access_key = " s "\n"

static void expect_keys(struct credentials *c, const char *access,
                        const char *secret)
{
    assert_string_equal(c->access_key, access);
    assert_string_equal(c->secret_key, secret);
    credentials_free(c);
    assert_null(c->secret_key);
}

static void sections_are_found(void **state)
{
    static const char text[] =
        "# head\n; too\n\n[other]\naws_access_key_id=OA\n"
        "aws_secret_access_key=OS==\n"
        "[default]\r\nAWS_ACCESS_KEY_ID = DA \r\n"
        "aws_secret_access_key\t=\tD S+/=\r\nregion = eu-west-1\n"
        "s3 =\n  aws_access_key_id = nested\nignored = x\n"
        "[profile named]\n" PAIR(
            "NA",
            "NS") "[last]\naws_access_key_id = LA\naws_secret_access_key = LS";
    struct credentials c = {0};
    size_t len = sizeof text - 1;

    (void)state;
    assert_int_equal(credentials_parse(text, len, "default", &c, NULL), 0);
    assert_string_equal(c.region, "eu-west-1");
    expect_keys(&c, "DA", "D S+/=");
    assert_int_equal(credentials_parse(text, len, "other", &c, NULL), 0);
    assert_null(c.region);
    expect_keys(&c, "OA", "OS==");
    assert_int_equal(credentials_parse(text, len, "named", &c, NULL), 0);
    expect_keys(&c, "NA", "NS");
    assert_int_equal(credentials_parse(text, len, "last", &c, NULL), 0);
    expect_keys(&c, "LA", "LS");
}

static void what_comes_later_wins(void **state)
{
    static const char text[] = "[default]\n" PAIR("A1", "S1") PAIR("A2", "S2");
    struct credentials c = {0};

    (void)state;
    assert_int_equal(
        credentials_parse(text, sizeof text - 1, "default", &c, NULL), 0);
    expect_keys(&c, "A2", "S2");
}

static void bad_texts_are_told(void **state)
{
    static const struct {
        const char *text;
        int rc;
        const char *why;
    } cases[] = {
        {"", ERR_NOT_FOUND, "no section [default]"},
        {"[other]\n" PAIR("A", "S"), ERR_NOT_FOUND, "no section [default]"},
        {"[default]\n", ERR_BAD_INPUT, "no aws_access_key_id"},
        {"[default]\naws_access_key_id = A\n", ERR_BAD_INPUT,
         "no aws_secret_access_key"},
        {"[default]\naws_access_key_id =\naws_secret_access_key = S\n",
         ERR_BAD_INPUT, "no aws_access_key_id"},
        {"[default]\nnonsense\n", ERR_BAD_INPUT, "line 2"},
        {"[default\n" PAIR("A", "S"), ERR_BAD_INPUT, "line 1"},
        {"[\n", ERR_BAD_INPUT, "']'"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct credentials c = {0};
        struct err err = {{0}};
        int rc = credentials_parse(cases[i].text, strlen(cases[i].text),
                                   "default", &c, &err);
        if (rc != cases[i].rc || strstr(err.text, cases[i].why) == NULL) {
            fail_msg("case %zu: %s: %s", i, err_name(rc), err.text);
        }
        assert_null(c.access_key);
    }
    assert_int_equal(credentials_parse("[default]\0\n", 11, "default",
                                       &(struct credentials){0}, NULL),
                     ERR_BAD_INPUT);
}

static void the_order_of_sources_holds(void **state)
{
    struct credentials c;

    (void)state;
    setenv("HOME", folder, 1);
    write_file("data/credentials", "[default]\n" PAIR("LA", "LS"));
    assert_int_equal(credentials_find(NULL, true, &c, NULL), 0);
    assert_non_null(strstr(c.source, "data/credentials"));
    expect_keys(&c, "LA", "LS");
    write_file(".aws/credentials",
               "[default]\n" PAIR("HA", "HS") "[second]\n" PAIR("2A", "2S"));
    assert_int_equal(credentials_find(NULL, true, &c, NULL), 0);
    expect_keys(&c, "HA", "HS");
    setenv("AWS_PROFILE", "second", 1);
    assert_int_equal(credentials_find(NULL, true, &c, NULL), 0);
    expect_keys(&c, "2A", "2S");
    unsetenv("AWS_PROFILE");
    write_file("other", "[default]\n" PAIR("FA", "FS"));
    setenv("AWS_SHARED_CREDENTIALS_FILE", "other", 1);
    assert_int_equal(credentials_find(NULL, true, &c, NULL), 0);
    expect_keys(&c, "FA", "FS");
    setenv("GODWIT_ACCESS_KEY_ID", "GA", 1);
    setenv("GODWIT_SECRET_ACCESS_KEY", "GS", 1);
    assert_int_equal(credentials_find(NULL, true, &c, NULL), 0);
    expect_keys(&c, "GA", "GS");
    setenv("AWS_ACCESS_KEY_ID", "EA", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "ES", 1);
    assert_int_equal(credentials_find(NULL, true, &c, NULL), 0);
    expect_keys(&c, "EA", "ES");
    /* A profile that was asked for goes before the environment. */
    assert_int_equal(credentials_find("default", true, &c, NULL), 0);
    expect_keys(&c, "FA", "FS");
}

static void empty_variables_are_as_unset(void **state)
{
    struct credentials c;

    (void)state;
    setenv("AWS_ACCESS_KEY_ID", "", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "other", 1);
    write_file("other", "[default]\n" PAIR("FA", "FS"));
    assert_int_equal(credentials_find(NULL, false, &c, NULL), 0);
    expect_keys(&c, "FA", "FS");
}

static void half_a_pair_is_told(void **state)
{
    struct credentials c;
    struct err err;

    (void)state;
    setenv("AWS_ACCESS_KEY_ID", "A", 1);
    assert_int_equal(credentials_find(NULL, true, &c, &err), ERR_BAD_INPUT);
    assert_string_equal(
        err.text, "AWS_ACCESS_KEY_ID is set, but not AWS_SECRET_ACCESS_KEY");
}

static void local_keys_are_only_for_a_local_server(void **state)
{
    struct credentials c;
    struct err err;

    (void)state;
    setenv("HOME", folder, 1);
    write_file("data/credentials", "[default]\n" PAIR("LA", "LS"));
    assert_int_equal(credentials_find(NULL, false, &c, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "no credentials"));
    assert_non_null(strstr(err.text, ".aws/credentials"));
    assert_null(strstr(err.text, "data/credentials"));
}

static void a_profile_that_is_not_there_is_told(void **state)
{
    struct credentials c;
    struct err err;

    (void)state;
    setenv("HOME", folder, 1);
    write_file("data/credentials", "[default]\n" PAIR("LA", "LS"));
    write_file(".aws/credentials", "[default]\n" PAIR("HA", "HS"));
    assert_int_equal(credentials_find("gone", true, &c, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "[gone]"));
    write_file(".aws/credentials", "[default]\nbroken\n");
    assert_int_equal(credentials_find(NULL, true, &c, &err), ERR_BAD_INPUT);
    assert_non_null(strstr(err.text, ".aws/credentials: line 2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_are_found),
        cmocka_unit_test(what_comes_later_wins),
        cmocka_unit_test(bad_texts_are_told),
        cmocka_unit_test_setup(the_order_of_sources_holds, clean),
        cmocka_unit_test_setup(empty_variables_are_as_unset, clean),
        cmocka_unit_test_setup(half_a_pair_is_told, clean),
        cmocka_unit_test_setup(local_keys_are_only_for_a_local_server, clean),
        cmocka_unit_test_setup(a_profile_that_is_not_there_is_told, clean),
    };

    return cmocka_run_group_tests_name("credentials", tests, make_folder,
                                       remove_folder);
}
