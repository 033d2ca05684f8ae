/* test_unseal.c: opening for people: identity files and what kind it is.
 *
 * Goal: an envelope and an age file open through one door in any split, and
 * what is neither is refused; an identity file is read as age-keygen writes it.
 * Method: files written by hand; a sink that keeps, and one that fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "cli/unseal.h"
#include "crypto/age.h"
#include "crypto/seal.h"
#include "tests/lib/temp_dir.h"

static struct seal_identity own;
static struct seal_recipient to;
static struct unseal_identities identities = {&own, 1};

static int make_keys(void **state)
{
    (void)state;
    seal_identity_new(&own);
    seal_identity_recipient(&own, &to);
    return 0;
}

static int keep(void *arg, const void *p, size_t len, struct err *err)
{
    (void)err;
    buf_append(arg, p, len);
    return 0;
}

static int refuse(void *arg, const void *p, size_t len, struct err *err)
{
    (void)arg;
    (void)p;
    (void)len;
    return err_set(err, ERR_FULL, "the sink is full");
}

static void sealed(bool age, const char *text, struct buf *out)
{
    size_t len = strlen(text), made;

    buf_reserve(out, AGE_FINAL_MAX + AGE_UPDATE_MAX(len));
    if (age) {
        struct age_writer *w;
        assert_int_equal(age_writer_new(&to, 1, &w, NULL), 0);
        assert_int_equal(
            age_writer_update(w, text, len, out->data, &made, NULL), 0);
        out->len = made;
        age_writer_final(w, out->data + out->len, &made);
        out->len += made;
        age_writer_free(w);
    } else {
        struct seal_segment *s;
        const uint8_t *header;
        struct seal_key key;
        assert_int_equal(seal_segment_new(&to, 1, PRIM_AES_256_GCM, &s, NULL),
                         0);
        assert_int_equal(seal_segment_next(s, &key, NULL), 0);
        header = seal_segment_header(s, &made);
        out->len = seal_head_write(0, key.link, header, made, out->data);
        seal_body(&key, 0, text, len, out->data + out->len);
        out->len += (size_t)seal_body_size(len);
        seal_segment_free(s);
    }
}

static int unseal_all(const struct buf *b, size_t run, struct buf *out,
                      struct err *err)
{
    struct unseal *u = unseal_new(&identities, keep, out);
    int rc = 0;

    for (size_t at = 0; at < b->len && rc == 0; at += run) {
        size_t n = run < b->len - at ? run : b->len - at;
        rc = unseal_update(u, b->data + at, n, err);
    }
    rc = rc == 0 ? unseal_final(u, err) : rc;
    unseal_free(u);
    return rc;
}

static void both_kinds_open_in_any_split(void **state)
{
    (void)state;
    for (int age = 0; age < 2; age++) {
        struct buf b = {0};
        sealed(age == 1, "some text", &b);
        for (size_t run = 1; run < 60; run++) {
            struct buf out = {0};
            assert_int_equal(unseal_all(&b, run, &out, NULL), 0);
            assert_string_equal((char *)out.data, "some text");
            buf_free(&out);
        }
        buf_free(&b);
    }
}

static void what_is_not_sealed_is_refused(void **state)
{
    struct buf b = {0}, out = {0};
    struct err err;

    (void)state;
    for (size_t len = 0; len < 40; len++) {
        err.text[0] = '\0';
        assert_int_equal(unseal_all(&b, 7, &out, &err), ERR_BAD_INPUT);
        assert_string_equal(err.text,
                            "not sealed: neither an envelope nor an age file");
        buf_char(&b, 'x');
    }
    assert_int_equal(out.len, 0);
    buf_free(&b);
}

static void a_sink_that_fails_ends_it(void **state)
{
    struct unseal *u = unseal_new(&identities, refuse, NULL);
    struct buf b = {0};
    struct err err;

    (void)state;
    sealed(false, "some text", &b);
    assert_int_equal(unseal_update(u, b.data, b.len, &err), 0);
    assert_int_equal(unseal_final(u, &err), ERR_FULL);
    assert_string_equal(err.text, "the sink is full");
    unseal_free(u);
    unseal_free(NULL);
    buf_free(&b);
}

static int read_text(const char *text, struct unseal_identities *out,
                     struct err *err)
{
    char *dir = temp_dir_new(), *path = mem_printf("%s/key", dir);
    int rc;

    assert_int_equal(fs_write(path, text, strlen(text), 0600, NULL), 0);
    rc = unseal_read_identities(path, out, err);
    free(path);
    temp_dir_free(dir);
    return rc;
}

static void identity_files_are_read_as_age_keygen_writes_them(void **state)
{
    struct unseal_identities got;
    char secret[SEAL_IDENTITY_TEXT];
    char *text;

    (void)state;
    seal_identity_format(&own, secret);
    text = mem_printf("# created: today\n\n%s\r\n# more\n%s", secret, secret);
    assert_int_equal(read_text(text, &got, NULL), 0);
    assert_int_equal(got.count, 2);
    assert_memory_equal(&got.items[0], &own, sizeof own);
    assert_memory_equal(&got.items[1], &own, sizeof own);
    unseal_identities_free(&got);
    assert_null(got.items);
    free(text);
}

static void bad_identity_files_say_where(void **state)
{
    struct unseal_identities got;
    char secret[SEAL_IDENTITY_TEXT];
    struct buf many = {0};
    struct err err;
    char *text;

    (void)state;
    seal_identity_format(&own, secret);
    text = mem_printf("%s\n%s \n", secret, secret);
    assert_int_equal(read_text(text, &got, &err), ERR_BAD_INPUT);
    assert_non_null(strstr(err.text, "/key:2: not an identity"));
    free(text);
    assert_int_equal(read_text("# nothing\n", &got, &err), ERR_BAD_INPUT);
    assert_non_null(strstr(err.text, "/key: no identity in it"));
    for (int i = 0; i <= UNSEAL_IDENTITIES_MAX; i++) {
        buf_printf(&many, "%s\n", secret);
    }
    assert_int_equal(read_text((char *)many.data, &got, &err), ERR_BAD_INPUT);
    assert_non_null(strstr(err.text, "/key:65: more than 64 identities"));
    buf_free(&many);
    assert_int_equal(unseal_read_identities("/nowhere/key", &got, &err),
                     ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_kinds_open_in_any_split),
        cmocka_unit_test(what_is_not_sealed_is_refused),
        cmocka_unit_test(a_sink_that_fails_ends_it),
        cmocka_unit_test(identity_files_are_read_as_age_keygen_writes_them),
        cmocka_unit_test(bad_identity_files_say_where),
    };

    return cmocka_run_group_tests(tests, make_keys, NULL);
}
