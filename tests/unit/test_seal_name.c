/* test_seal_name.c: names that only their owner reads, and still lists.
 *
 * Goal: a name opens for its key alone and where it was put; whole folders are
 * prefixes; nothing of a name is seen but its length and where it is the same.
 * Method: paths of all shapes there and back; each character replaced,
 * components moved; fixed vectors that docs/SEAL.md shows. Linked twice, see
 * test_prim.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "crypto/seal_key.h"
#include "crypto/seal_name.h"

static struct seal_names names, others;

static int make_keys(void **state)
{
    uint8_t key[SEAL_NAMES_KEY];

    (void)state;
    for (size_t i = 0; i < sizeof key; i++) {
        key[i] = (uint8_t)i;
    }
    seal_names_init(key, &names);
    key[0] ^= 1;
    seal_names_init(key, &others);
    return 0;
}

static struct buf sealed_of(const char *name)
{
    struct buf b = {0};

    assert_int_equal(seal_name(&names, name, strlen(name), &b, NULL), 0);
    buf_str(&b, ""); /* so that it is never NULL */
    buf_reserve(&b, 1);
    b.data[b.len] = '\0';
    return b;
}

static int opens(const struct seal_names *n, const struct buf *sealed,
                 const char *want, struct err *err)
{
    struct buf out = {0};
    int rc = seal_name_open(n, (char *)sealed->data, sealed->len, &out, err);

    if (rc == 0 && want != NULL) {
        assert_int_equal(out.len, strlen(want));
        assert_true(out.len == 0 || memcmp(out.data, want, out.len) == 0);
    }
    assert_true(rc == 0 || out.len == 0);
    buf_free(&out);
    return rc;
}

static void names_of_all_shapes_come_back(void **state)
{
    static const char *const shapes[] = {"",
                                         "a",
                                         "/",
                                         "a/",
                                         "/a",
                                         "a//b",
                                         "//",
                                         "2026/11/23/09-00.json",
                                         "\xc3\xa4/\xf0\x9f\x90\xa6",
                                         "a b/c=d&e",
                                         "..",
                                         "./x"};

    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct buf b = sealed_of(shapes[i]);
        assert_int_equal(opens(&names, &b, shapes[i], NULL), 0);
        buf_free(&b);
    }
}

static void a_folder_is_a_prefix_of_what_is_in_it(void **state)
{
    struct buf folder = sealed_of("site/7/"), in = sealed_of("site/7/log.json");
    struct buf beside = sealed_of("site/71/log.json");

    (void)state;
    assert_true(text_starts((char *)in.data, (char *)folder.data));
    assert_false(text_starts((char *)beside.data, (char *)folder.data));
    buf_free(&folder);
    buf_free(&in);
    buf_free(&beside);
}

static void the_same_name_in_two_folders_looks_different(void **state)
{
    struct buf a = sealed_of("a/name"), b = sealed_of("b/name");
    struct buf again = sealed_of("a/name");

    (void)state;
    assert_string_equal((char *)a.data, (char *)again.data);
    assert_string_not_equal(strchr((char *)a.data, '/'),
                            strchr((char *)b.data, '/'));
    buf_free(&a);
    buf_free(&b);
    buf_free(&again);
}

static void another_key_or_place_does_not_open(void **state)
{
    struct buf a = sealed_of("a/name"), b = sealed_of("b/name"), moved = {0};
    struct err err;

    (void)state;
    assert_int_equal(opens(&others, &a, NULL, &err), ERR_MISMATCH);
    assert_string_equal(err.text,
                        "sealed name: changed, moved, or of another key");
    buf_append(&moved, b.data,
               (size_t)(strchr((char *)b.data, '/') - (char *)b.data));
    buf_str(&moved, strchr((char *)a.data, '/'));
    assert_int_equal(opens(&names, &moved, NULL, NULL), ERR_MISMATCH);
    buf_clear(&moved); /* a component alone, at the top */
    buf_str(&moved, strchr((char *)a.data, '/') + 1);
    assert_int_equal(opens(&names, &moved, NULL, NULL), ERR_MISMATCH);
    buf_free(&a);
    buf_free(&b);
    buf_free(&moved);
}

static void every_changed_character_is_found(void **state)
{
    static const char with[] = "AB_-9/.= ";
    struct buf b = sealed_of("dir/x");

    (void)state;
    for (size_t i = 0; i < b.len; i++) {
        uint8_t before = b.data[i];
        for (const char *c = with; *c != '\0'; c++) {
            b.data[i] = (uint8_t)*c;
            if (b.data[i] != before) {
                assert_int_not_equal(opens(&names, &b, NULL, NULL), 0);
            }
        }
        b.data[i] = before;
    }
    for (size_t len = b.len - 1; len > 0; len--) {
        struct buf cut = {b.data, len, len};
        bool whole = b.data[len - 1] == '/' || b.data[len] == '/';
        assert_int_equal(opens(&names, &cut, NULL, NULL) == 0, whole);
    }
    buf_free(&b);
}

static void what_is_no_sealed_name_is_refused(void **state)
{
    static const char *const bad[] = {"plain.json", "AAAA",
                                      "AAAAAAAAAAAAAAAAAAAAAA", "a b"};
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct buf b = {(uint8_t *)bad[i], strlen(bad[i]), 0};
        assert_int_equal(opens(&names, &b, NULL, &err), ERR_BAD_INPUT);
        assert_string_equal(err.text, "not a sealed name");
    }
}

static void names_end_at_s3s_limit(void **state)
{
    char name[2000];
    struct buf b = {0};
    struct err err;

    (void)state;
    memset(name, 'x', sizeof name);
    assert_int_equal(SEAL_NAME_LEN(752), SEAL_NAME_MAX);
    assert_int_equal(seal_name(&names, name, 752, &b, NULL), 0);
    assert_int_equal(b.len, SEAL_NAME_MAX);
    buf_clear(&b);
    assert_int_equal(seal_name(&names, name, 753, &b, &err), ERR_LIMIT);
    assert_string_equal(err.text,
                        "sealed name: would have more than 1024 "
                        "bytes");
    assert_int_equal(seal_name(&names, name, sizeof name, &b, NULL), ERR_LIMIT);
    for (size_t i = 1; i < 60; i += 2) {
        name[i] = '/';
    }
    assert_int_equal(seal_name(&names, name, 100, &b, NULL), 0);
    for (size_t i = 1; i < sizeof name; i += 2) {
        name[i] = '/';
    }
    buf_clear(&b);
    assert_int_equal(seal_name(&names, name, 100, &b, NULL), ERR_LIMIT);
    assert_int_equal(b.len, 0);
    memset(name, 'A', sizeof name);
    assert_int_equal(seal_name_open(&names, name, sizeof name, &b, NULL),
                     ERR_BAD_INPUT);
    buf_free(&b);
}

static void the_documented_bytes_are_made(void **state)
{
    struct seal_identity identity;
    uint8_t key[SEAL_NAMES_KEY];
    char hex[65];
    struct buf b = sealed_of("a/b.json");

    (void)state;
    assert_string_equal(
        (char *)b.data,
        "OguiaAZ4vTASMVdhx75LPaU/wwbfJfGFqnll7roRjZrLLOK4s7LMOg");
    assert_int_equal(
        seal_identity_parse("AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS"
                            "23V9CCRYDPK8QARC0SWRYDWG",
                            &identity, NULL),
        0);
    seal_names_key(&identity, key);
    assert_string_equal(
        text_hex(key, sizeof key, hex),
        "978fc4c9c9bc1561b93736917af99b319da3482b1483689901650ac817807415");
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_all_shapes_come_back),
        cmocka_unit_test(a_folder_is_a_prefix_of_what_is_in_it),
        cmocka_unit_test(the_same_name_in_two_folders_looks_different),
        cmocka_unit_test(another_key_or_place_does_not_open),
        cmocka_unit_test(every_changed_character_is_found),
        cmocka_unit_test(what_is_no_sealed_name_is_refused),
        cmocka_unit_test(names_end_at_s3s_limit),
        cmocka_unit_test(the_documented_bytes_are_made),
    };

    return cmocka_run_group_tests(tests, make_keys, NULL);
}
