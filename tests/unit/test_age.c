/* test_age.c: age files, against the age program and against mischief.
 *
 * Goal: age opens what we write and we open what age writes; nothing that was
 * cut or changed opens.
 * Method: Debian's age, both ways, for sizes around the chunk's (said aloud and
 * left out where there is no age); a small file cut at each length and with
 * each bit flipped; headers written by hand. Linked twice, see test_prim.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "crypto/age.h"
#include "tests/lib/temp_dir.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define RUN 30011

static const size_t sizes[] = {0, 1, 1000, CHUNK - 1, CHUNK, CHUNK + 1, 200000};

static struct seal_identity own[3];
static struct seal_recipient to[3];
static uint8_t text[200000];

static int make_keys(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        seal_identity_new(&own[i]);
        seal_identity_recipient(&own[i], &to[i]);
    }
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (uint8_t)(i * 31 + i / 251);
    }
    return 0;
}

static void write_file(size_t recipients, size_t len, struct buf *out)
{
    struct age_writer *w;
    size_t made;

    assert_int_equal(age_writer_new(to, recipients, &w, NULL), 0);
    for (size_t at = 0; at < len; at += RUN) {
        size_t n = RUN < len - at ? RUN : len - at;
        buf_reserve(out, AGE_UPDATE_MAX(n));
        assert_int_equal(age_writer_update(w, text + at, n,
                                           out->data + out->len, &made, NULL),
                         0);
        assert_true(made <= AGE_UPDATE_MAX(n));
        out->len += made;
    }
    buf_reserve(out, AGE_FINAL_MAX);
    age_writer_final(w, out->data + out->len, &made);
    out->len += made;
    age_writer_free(w);
    assert_int_equal(out->len, age_file_size(recipients, len));
}

static int read_file(const struct seal_identity *identity, const uint8_t *p,
                     size_t len, size_t run, struct buf *out, struct err *err)
{
    struct age_reader *r = age_reader_new(identity, 1);
    size_t made = 0;
    int rc = 0;

    for (size_t at = 0; at < len && rc == 0; at += run) {
        size_t n = run < len - at ? run : len - at;
        buf_reserve(out, CHUNK_OPEN_UPDATE_MAX(n));
        rc = age_reader_update(r, p + at, n, out->data + out->len, &made, err);
        out->len += rc == 0 ? made : 0;
    }
    if (rc == 0) {
        buf_reserve(out, CHUNK);
        rc = age_reader_final(r, out->data + out->len, &made, err);
        out->len += rc == 0 ? made : 0;
    }
    age_reader_free(r);
    return rc;
}

static void assert_reads(const struct seal_identity *identity,
                         const struct buf *file, size_t len)
{
    static const size_t runs[] = {1 << 20, CHUNK, 777};

    for (size_t i = 0; i < COUNT(runs); i++) {
        struct buf out = {0};
        struct err err = {""};
        int rc =
            read_file(identity, file->data, file->len, runs[i], &out, &err);
        assert_string_equal(err.text, "");
        assert_int_equal(rc, 0);
        assert_int_equal(out.len, len);
        assert_true(len == 0 || memcmp(out.data, text, len) == 0);
        buf_free(&out);
    }
}

static void files_come_back_for_each_recipient(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct buf file = {0};
        write_file(3, sizes[i], &file);
        assert_true(age_is_file(file.data, file.len));
        for (size_t k = 0; k < 3; k++) {
            assert_reads(&own[k], &file, sizes[i]);
        }
        buf_free(&file);
    }
}

static bool have_age(void)
{
    bool have = system("age --version >/dev/null 2>&1") == 0;

    if (!have) {
        print_message("NO age PROGRAM: not tested against it\n");
    }
    return have;
}

/* A folder with the identity in "key" and its recipient known. */
static char *folder_with_key(void)
{
    char *dir = temp_dir_new(), *path = mem_printf("%s/key", dir);
    char secret[SEAL_IDENTITY_TEXT];

    seal_identity_format(&own[0], secret);
    assert_int_equal(fs_write(path, secret, strlen(secret), 0600, NULL), 0);
    free(path);
    return dir;
}

static void run(const char *dir, const char *command)
{
    char *line = mem_printf("cd %s && %s", dir, command);

    assert_int_equal(system(line), 0);
    free(line);
}

static void put_file(const char *dir, const char *name, const void *p,
                     size_t len)
{
    char *path = mem_printf("%s/%s", dir, name);

    assert_int_equal(fs_write(path, p, len, 0600, NULL), 0);
    free(path);
}

static void get_file(const char *dir, const char *name, struct buf *out)
{
    char *path = mem_printf("%s/%s", dir, name);

    assert_int_equal(fs_read(path, 1 << 20, out, NULL), 0);
    free(path);
}

static void age_opens_what_we_write(void **state)
{
    char *dir;

    (void)state;
    if (!have_age()) {
        skip();
    }
    dir = folder_with_key();
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct buf file = {0}, out = {0};
        write_file(1 + i % 3, sizes[i], &file);
        put_file(dir, "file.age", file.data, file.len);
        run(dir, "age -d -i key file.age >out");
        get_file(dir, "out", &out);
        assert_int_equal(out.len, sizes[i]);
        assert_true(out.len == 0 || memcmp(out.data, text, out.len) == 0);
        buf_free(&out);
        buf_free(&file);
    }
    temp_dir_free(dir);
}

static void we_open_what_age_writes(void **state)
{
    char a[SEAL_RECIPIENT_TEXT], b[SEAL_RECIPIENT_TEXT], *dir, *command;

    (void)state;
    if (!have_age()) {
        skip();
    }
    dir = folder_with_key();
    command = mem_printf("age -r %s -r %s -o file.age in",
                         seal_recipient_format(&to[1], b),
                         seal_recipient_format(&to[0], a));
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct buf file = {0};
        put_file(dir, "in", text, sizes[i]);
        run(dir, command);
        get_file(dir, "file.age", &file);
        assert_reads(&own[0], &file, sizes[i]);
        assert_reads(&own[1], &file, sizes[i]);
        buf_free(&file);
    }
    free(command);
    temp_dir_free(dir);
}

static void a_file_of_age_keygen_gives_our_keys(void **state)
{
    char *dir, line[256], recipient[SEAL_RECIPIENT_TEXT];
    struct seal_identity identity;
    struct seal_recipient r;
    struct buf out = {0};
    char *secret, *public_key;

    (void)state;
    if (!have_age()) {
        skip();
    }
    dir = temp_dir_new();
    run(dir, "age-keygen -o key 2>/dev/null");
    get_file(dir, "key", &out);
    secret = strstr((char *)out.data, "AGE-SECRET-KEY-1");
    public_key = strstr((char *)out.data, "age1");
    assert_non_null(secret);
    assert_non_null(public_key);
    snprintf(line, sizeof line, "%.*s", (int)strcspn(secret, "\n"), secret);
    assert_int_equal(seal_identity_parse(line, &identity, NULL), 0);
    seal_identity_recipient(&identity, &r);
    seal_recipient_format(&r, recipient);
    assert_memory_equal(recipient, public_key, SEAL_RECIPIENT_TEXT - 1);
    buf_free(&out);
    temp_dir_free(dir);
}

static void a_file_by_passphrase_is_named(void **state)
{
    static const char file[] =
        "age-encryption.org/v1\n-> scrypt rF0/NwblUHHTpgQgRpe5CQ 10\n"
        "gUjEymFKMVXQEKdMMHL24oYexjE3TIC0O0zGSqJ2aUY\n"
        "--- gUjEymFKMVXQEKdMMHL24oYexjE3TIC0O0zGSqJ2aUY\n0123456789abcdef";
    struct buf out = {0};
    struct err err;

    (void)state;
    assert_int_equal(read_file(&own[0], (const uint8_t *)file, sizeof file - 1,
                               5, &out, &err),
                     ERR_UNSUPPORTED);
    assert_string_equal(err.text, "age file: sealed by passphrase");
    buf_free(&out);
}

static void bad_recipients_are_refused(void **state)
{
    struct seal_recipient many[AGE_RECIPIENTS_MAX + 1] = {{{0}}};
    struct age_writer *w;
    struct err err;

    (void)state;
    assert_int_equal(age_writer_new(to, 0, &w, &err), ERR_BAD_INPUT);
    assert_string_equal(err.text, "0 recipients: from 1 to 8");
    assert_int_equal(age_writer_new(many, COUNT(many), &w, NULL),
                     ERR_BAD_INPUT);
    assert_int_equal(age_writer_new(many, 1, &w, &err), ERR_BAD_INPUT);
    assert_string_equal(err.text,
                        "recipient 1: X25519 public key is of low order");
    age_writer_free(NULL);
    age_reader_free(NULL);
}

static void only_a_recipient_reads(void **state)
{
    struct buf file = {0}, out = {0};
    struct err err;

    (void)state;
    write_file(2, 5, &file);
    assert_int_equal(read_file(&own[2], file.data, file.len, 9, &out, &err),
                     ERR_DENIED);
    assert_string_equal(err.text, "age file: not sealed to this identity");
    buf_free(&file);
    buf_free(&out);
}

static void a_file_cut_changed_or_lengthened_does_not_open(void **state)
{
    struct buf file = {0}, out = {0};

    (void)state;
    write_file(2, 30, &file);
    for (size_t len = 0; len < file.len; len++) {
        assert_int_not_equal(
            read_file(&own[1], file.data, len, 1 << 20, &out, NULL), 0);
        assert_int_equal(out.len, 0);
    }
    for (size_t bit = 0; bit < 8 * file.len; bit++) {
        file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(
            read_file(&own[1], file.data, file.len, 1 << 20, &out, NULL), 0);
        assert_int_equal(out.len, 0);
        file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    buf_char(&file, 'x');
    assert_int_not_equal(
        read_file(&own[1], file.data, file.len, 1 << 20, &out, NULL), 0);
    file.len--;
    assert_reads(&own[1], &file, 30);
    buf_free(&file);
    buf_free(&out);
}

#define B43 "gUjEymFKMVXQEKdMMHL24oYexjE3TIC0O0zGSqJ2aUY"

static void headers_that_cannot_be_are_named(void **state)
{
    static const struct {
        const char *text;
        int rc;
        const char *why;
    } cases[] = {
        {"", ERR_CORRUPT, "age file: cut in its header"},
        {"-----BEGIN AGE ENCRYPTED FILE-----\n", ERR_CORRUPT,
         "age file: not one"},
        {"age-encryption.org/v2\n", ERR_VERSION, "age file: unknown version"},
        {"age-encryption.org/v1\n--- " B43 "\n0123456789abcdef", ERR_CORRUPT,
         "age header: no recipient"},
        {"age-encryption.org/v1\n-> X25519 " B43 "\nshort\n--- " B43
         "\n0123456789abcdef",
         ERR_CORRUPT, "age header: a bad X25519 stanza"},
        {"age-encryption.org/v1\n-> X25519 "
         "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n" B43 "\n--- " B43
         "\n0123456789abcdef",
         ERR_CORRUPT, "age header: a bad X25519 share"},
        {"age-encryption.org/v1\n-> X25519  " B43 "\n" B43 "\n--- " B43
         "\n0123456789abcdef",
         ERR_CORRUPT, "age header: a bad stanza"},
        {"age-encryption.org/v1\n-> other a\nbad body!\n--- " B43
         "\n0123456789abcdef",
         ERR_CORRUPT, "age header: a bad stanza"},
        {"age-encryption.org/v1\n-> other a b\n" B43 B43 "\n--- " B43
         "\n0123456789abcdef",
         ERR_CORRUPT, "age header: a bad stanza"},
        {"age-encryption.org/v1\n-> other a b\nQQ\n--- " B43
         "\n0123456789abcdef",
         ERR_DENIED, "age file: not sealed to this identity"},
    };
    struct buf out = {0}, longer = {0};
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const uint8_t *p = (const uint8_t *)cases[i].text;
        assert_int_equal(
            read_file(&own[0], p, strlen(cases[i].text), 1, &out, &err),
            cases[i].rc);
        assert_string_equal(err.text, cases[i].why);
    }
    buf_str(&longer, "age-encryption.org/v1\n");
    while (longer.len < 2 * AGE_HEADER_MAX) {
        buf_str(&longer, "-> other a\nQQ\n");
    }
    assert_int_equal(
        read_file(&own[0], longer.data, longer.len, 100, &out, &err),
        ERR_CORRUPT);
    assert_string_equal(err.text, "age header: over 16384 bytes");
    buf_free(&longer);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_come_back_for_each_recipient),
        cmocka_unit_test(age_opens_what_we_write),
        cmocka_unit_test(we_open_what_age_writes),
        cmocka_unit_test(a_file_of_age_keygen_gives_our_keys),
        cmocka_unit_test(a_file_by_passphrase_is_named),
        cmocka_unit_test(bad_recipients_are_refused),
        cmocka_unit_test(only_a_recipient_reads),
        cmocka_unit_test(a_file_cut_changed_or_lengthened_does_not_open),
        cmocka_unit_test(headers_that_cannot_be_are_named),
    };

    return cmocka_run_group_tests(tests, make_keys, NULL);
}
