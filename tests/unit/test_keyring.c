/* test_keyring.c: numbered keys in a file.
 *
 * Goal: what was wrapped opens as long as its key is there, also after a
 * restart, and never after it was shredded; a damaged file is refused.
 * Method: a keyring in a temporary folder, closed and opened again between
 * steps; every byte of its file changed and every shorter length tried.
 */
#include <fcntl.h>
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

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/digest.h"
#include "crypto/keyring.h"

struct fixture {
    char dir[32];
    char path[64];
    struct keyring *keys;
};

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);

    strcpy(f->dir, "/tmp/keyring-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof f->path, "%s/keyring", f->dir);
    assert_int_equal(keyring_open(f->path, &f->keys, NULL), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    keyring_close(f->keys);
    unlink(f->path);
    rmdir(f->dir);
    free(f);
    return 0;
}

static void reopen(struct fixture *f)
{
    keyring_close(f->keys);
    f->keys = NULL;
    assert_int_equal(keyring_open(f->path, &f->keys, NULL), 0);
}

#define SECRET "0123456789abcdef0123456789abcdef"
#define WRAPPED (32 + KEYRING_OVERHEAD)

static void wrap(struct fixture *f, uint8_t out[WRAPPED])
{
    keyring_wrap(f->keys, "bucket/key", 10, SECRET, 32, out);
}

static int unwrap(struct fixture *f, const uint8_t in[WRAPPED])
{
    uint8_t out[32];
    int rc = keyring_unwrap(f->keys, "bucket/key", 10, in, WRAPPED, out, NULL);

    if (rc == 0) {
        assert_memory_equal(out, SECRET, 32);
    }
    return rc;
}

static void new_file_is_private_and_kept(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    uint8_t w[WRAPPED];

    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    wrap(f, w);
    reopen(f);
    assert_int_equal(unwrap(f, w), 0);
}

static void wrapping_twice_gives_different_bytes(void **state)
{
    struct fixture *f = *state;
    uint8_t a[WRAPPED], b[WRAPPED];

    wrap(f, a);
    wrap(f, b);
    assert_memory_not_equal(a + 4, b + 4, 12);
    assert_memory_not_equal(a + 16, b + 16, 32);
    assert_memory_equal(a, "\1\0\0\0", 4);
}

static void unwrap_refuses_changes_cuts_and_other_contexts(void **state)
{
    struct fixture *f = *state;
    uint8_t w[WRAPPED], out[32];
    struct err err;

    wrap(f, w);
    assert_int_equal(
        keyring_unwrap(f->keys, "bucket/kez", 10, w, WRAPPED, out, &err),
        ERR_MISMATCH);
    assert_string_equal(err.text,
                        "keyring: key 1: sealed bytes: the tag does not match");
    for (size_t i = 4; i < WRAPPED; i++) {
        w[i] ^= 0x10;
        assert_int_equal(unwrap(f, w), ERR_MISMATCH);
        w[i] ^= 0x10;
    }
    for (size_t len = 0; len < WRAPPED; len++) {
        uint8_t *cut = mem_dup(w, len);
        assert_int_equal(
            keyring_unwrap(f->keys, "bucket/key", 10, cut, len, out, NULL),
            ERR_MISMATCH);
        free(cut);
    }
    assert_int_equal(unwrap(f, w), 0);
}

static void rotated_keys_all_open_and_the_newest_wraps(void **state)
{
    struct fixture *f = *state;
    uint8_t w[5][WRAPPED];

    for (uint32_t i = 0; i < 5; i++) {
        uint32_t number = 0;
        wrap(f, w[i]);
        assert_int_equal(w[i][0], i + 1);
        assert_int_equal(keyring_rotate(f->keys, &number, NULL), 0);
        assert_int_equal(number, i + 2);
        if (i == 2) {
            reopen(f);
        }
    }
    for (int i = 0; i < 5; i++) {
        assert_int_equal(unwrap(f, w[i]), 0);
    }
}

static void shredded_key_opens_nothing_and_its_number_is_not_reused(
    void **state)
{
    struct fixture *f = *state;
    uint8_t one[WRAPPED], two[WRAPPED], three[WRAPPED], out[32];
    uint32_t number;
    struct err err;

    wrap(f, one);
    assert_int_equal(keyring_rotate(f->keys, &number, NULL), 0);
    wrap(f, two);
    assert_int_equal(keyring_rotate(f->keys, &number, NULL), 0);
    wrap(f, three);
    assert_int_equal(keyring_shred(f->keys, 2, NULL), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(unwrap(f, one), 0);
        assert_int_equal(unwrap(f, three), 0);
        assert_int_equal(
            keyring_unwrap(f->keys, "bucket/key", 10, two, WRAPPED, out, &err),
            ERR_NOT_FOUND);
        assert_string_equal(err.text,
                            "keyring: key 2 is not there or was shredded");
        assert_int_equal(keyring_shred(f->keys, 2, NULL), ERR_NOT_FOUND);
        reopen(f);
    }
    assert_int_equal(keyring_rotate(f->keys, &number, NULL), 0);
    assert_int_equal(number, 4);
}

static void newest_key_cannot_be_shredded(void **state)
{
    struct fixture *f = *state;
    uint8_t w[WRAPPED];
    struct err err;

    wrap(f, w);
    assert_int_equal(keyring_shred(f->keys, 1, &err), ERR_BAD_INPUT);
    assert_string_equal(err.text, "keyring: key 1 is the newest; rotate first");
    assert_int_equal(unwrap(f, w), 0);
}

static void shredding_overwrites_the_file_that_it_replaces(void **state)
{
    struct fixture *f = *state;
    int fd = open(f->path, O_RDONLY);
    char bytes[256];
    uint32_t number;
    ssize_t len;

    assert_int_equal(keyring_rotate(f->keys, &number, NULL), 0);
    close(fd);
    fd = open(f->path, O_RDONLY);
    assert_int_equal(keyring_shred(f->keys, 1, NULL), 0);
    len = read(fd, bytes, sizeof bytes);
    assert_true(len > 100);
    for (ssize_t i = 0; i < len; i++) {
        assert_int_equal(bytes[i], 0);
    }
    close(fd);
}

static void file_with_another_name_is_not_overwritten(void **state)
{
    struct fixture *f = *state;
    char other[80];
    struct buf b = {0};
    uint32_t number;

    snprintf(other, sizeof other, "%s.backup", f->path);
    assert_int_equal(keyring_rotate(f->keys, &number, NULL), 0);
    assert_int_equal(link(f->path, other), 0);
    assert_int_equal(keyring_shred(f->keys, 1, NULL), 0);
    assert_int_equal(fs_read(other, 4096, &b, NULL), 0);
    assert_memory_equal(b.data, "godwit-keyring 1\n1 ", 19);
    buf_free(&b);
    unlink(other);
}

static int open_with(struct fixture *f, const void *bytes, size_t len,
                     struct err *err)
{
    struct keyring *k = NULL;
    int rc;

    assert_int_equal(fs_write(f->path, bytes, len, 0600, NULL), 0);
    rc = keyring_open(f->path, &k, err);
    if (rc == 0) {
        keyring_close(k);
    } else {
        assert_null(k);
    }
    return rc;
}

static void every_damaged_byte_and_every_cut_is_seen(void **state)
{
    struct fixture *f = *state;
    struct buf b = {0};
    uint32_t number;
    struct err err;

    assert_int_equal(keyring_rotate(f->keys, &number, NULL), 0);
    assert_int_equal(fs_read(f->path, 4096, &b, NULL), 0);
    for (size_t i = 0; i < b.len; i++) {
        int rc;
        b.data[i] ^= 1;
        rc = open_with(f, b.data, b.len, &err);
        assert_int_equal(rc, i == strlen("godwit-keyring ") ||
                                     i == strlen("godwit-keyring 1")
                                 ? ERR_VERSION
                                 : ERR_CORRUPT);
        b.data[i] ^= 1;
    }
    for (size_t len = 0; len < b.len; len++) {
        int rc = open_with(f, b.data, len, NULL);
        assert_true(rc == ERR_CORRUPT || (len < 17 && rc == ERR_VERSION));
    }
    assert_int_equal(open_with(f, b.data, b.len, NULL), 0);
    buf_free(&b);
}

/* A file whose checksum is right, so that the rest is judged. */
static int open_lines(struct fixture *f, const char *lines, struct err *err)
{
    char *text = mem_printf("godwit-keyring 1\n%s", lines);
    uint8_t sum[DIGEST_MAX];
    char hex[65];
    char *whole;
    int rc;

    digest_of(DIGEST_SHA256, text, strlen(text), sum);
    whole = mem_printf("%ssha256 %s\n", text, text_hex(sum, 32, hex));
    rc = open_with(f, whole, strlen(whole), err);
    free(whole);
    free(text);
    return rc;
}

#define K64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void lines_that_make_no_sense_are_refused(void **state)
{
    struct fixture *f = *state;
    struct err err;

    assert_int_equal(open_lines(f, "1 " K64 "\n", NULL), 0);
    assert_int_equal(open_lines(f, "7 " K64 "\n9 " K64 "\n", NULL), 0);
    assert_int_equal(open_lines(f, "", &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "it holds no key"));
    assert_int_equal(open_lines(f, "1 " K64 "\n1 " K64 "\n", &err),
                     ERR_CORRUPT);
    assert_non_null(strstr(err.text, "key 2 is not a number and a key"));
    assert_int_equal(open_lines(f, "2 " K64 "\n1 " K64 "\n", NULL),
                     ERR_CORRUPT);
    assert_int_equal(open_lines(f, "0 " K64 "\n", NULL), ERR_CORRUPT);
    assert_int_equal(open_lines(f, "4294967296 " K64 "\n", NULL), ERR_CORRUPT);
    assert_int_equal(open_lines(f, "1 " K64 "00\n", NULL), ERR_CORRUPT);
    assert_int_equal(open_lines(f, "1" K64 "\n", NULL), ERR_CORRUPT);
    assert_int_equal(open_lines(f, "\n", NULL), ERR_CORRUPT);
    assert_int_equal(open_lines(f, "1 " K64, NULL), ERR_CORRUPT);
}

static void last_number_and_last_place_are_limits(void **state)
{
    struct fixture *f = *state;
    struct buf b = {0};
    struct err err;
    uint32_t number = 0;

    assert_int_equal(open_lines(f, "4294967295 " K64 "\n", NULL), 0);
    reopen(f);
    assert_int_equal(keyring_rotate(f->keys, &number, &err), ERR_LIMIT);
    assert_string_equal(err.text, "keyring: all key numbers are used");
    for (int i = 1; i < KEYRING_KEYS_MAX; i++) {
        buf_printf(&b, "%d " K64 "\n", i);
    }
    assert_int_equal(open_lines(f, (char *)b.data, NULL), 0);
    reopen(f);
    assert_int_equal(keyring_rotate(f->keys, &number, NULL), 0);
    assert_int_equal(number, KEYRING_KEYS_MAX);
    reopen(f);
    assert_int_equal(keyring_rotate(f->keys, &number, &err), ERR_LIMIT);
    assert_int_equal(number, KEYRING_KEYS_MAX);
    buf_printf(&b, "5000 " K64 "\n5001 " K64 "\n");
    assert_int_equal(open_lines(f, (char *)b.data, NULL), ERR_CORRUPT);
    buf_free(&b);
}

static void file_that_is_too_large_is_corrupt(void **state)
{
    struct fixture *f = *state;
    size_t size = ((size_t)1 << 20) + 1;
    char *bytes = mem_alloc(size);

    assert_int_equal(open_with(f, bytes, size, NULL), ERR_CORRUPT);
    free(bytes);
}

static void failing_write_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct keyring *k = NULL;
    uint8_t one[WRAPPED], two[WRAPPED];
    uint32_t number = 0;
    struct err err;

    wrap(f, one);
    assert_int_equal(keyring_rotate(f->keys, &number, NULL), 0);
    wrap(f, two);
    /* The folder is gone: no file can be made in it. */
    assert_int_equal(unlink(f->path), 0);
    assert_int_equal(rmdir(f->dir), 0);
    assert_int_equal(keyring_rotate(f->keys, &number, &err), ERR_NOT_FOUND);
    assert_true(text_starts(err.text, "keyring: /tmp/keyring-"));
    assert_int_equal(number, 2);
    assert_int_equal(keyring_shred(f->keys, 1, NULL), ERR_NOT_FOUND);
    assert_int_equal(keyring_open(f->path, &k, NULL), ERR_NOT_FOUND);
    assert_int_equal(unwrap(f, one), 0);
    assert_int_equal(unwrap(f, two), 0);
    wrap(f, one);
    assert_int_equal(one[0], 2);
    /* What cannot be read is an input/output error, not a missing file. */
    assert_int_equal(keyring_open("/", &k, &err), ERR_IO);
    assert_true(text_starts(err.text, "keyring: /: "));
}

#define ON(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON(new_file_is_private_and_kept),
        ON(wrapping_twice_gives_different_bytes),
        ON(unwrap_refuses_changes_cuts_and_other_contexts),
        ON(rotated_keys_all_open_and_the_newest_wraps),
        ON(shredded_key_opens_nothing_and_its_number_is_not_reused),
        ON(newest_key_cannot_be_shredded),
        ON(shredding_overwrites_the_file_that_it_replaces),
        ON(file_with_another_name_is_not_overwritten),
        ON(every_damaged_byte_and_every_cut_is_seen),
        ON(lines_that_make_no_sense_are_refused),
        ON(last_number_and_last_place_are_limits),
        ON(file_that_is_too_large_is_corrupt),
        ON(failing_write_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
