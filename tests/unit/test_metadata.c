/* test_metadata.c: which metadata of an object a device may hand in.
 *
 * Goal: names and values that S3 clients can read back, none of the cluster's
 * own. Method: tables of both kinds, and names at the bound.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fleet/metadata.h"

static void names_are_small_letters_digits_and_three_signs(void **state)
{
    static const struct {
        const char *name;
        bool ok;
    } table[] = {
        {"a", true},           {"patient-id", true}, {"a.b_c-9", true},
        {"", false},           {"A", false},         {"a b", false},
        {"a:b", false},        {"\xc3\xa4", false},  {"a\n", false},
        {"godwit-x", false},   {"godwit-", false},   {"godwit", true},
        {"not-godwit-", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (metadata_name_ok(table[i].name) != table[i].ok) {
            fail_msg("\"%s\"", table[i].name);
        }
    }
}

static void a_name_has_128_bytes_and_no_more(void **state)
{
    char name[METADATA_NAME_MAX + 2];

    (void)state;
    memset(name, 'n', sizeof name);
    name[METADATA_NAME_MAX] = '\0';
    assert_true(metadata_name_ok(name));
    name[METADATA_NAME_MAX] = 'n';
    name[METADATA_NAME_MAX + 1] = '\0';
    assert_false(metadata_name_ok(name));
}

static void values_are_utf8_without_control_bytes(void **state)
{
    (void)state;
    assert_true(metadata_value_ok(""));
    assert_true(metadata_value_ok("r\xc3\xa4ume ~ 100 %"));
    assert_false(metadata_value_ok("a\tb"));
    assert_false(metadata_value_ok("a\r\nb"));
    assert_false(metadata_value_ok("\x7f"));
    assert_false(metadata_value_ok("\xff\xfe"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_small_letters_digits_and_three_signs),
        cmocka_unit_test(a_name_has_128_bytes_and_no_more),
        cmocka_unit_test(values_are_utf8_without_control_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
