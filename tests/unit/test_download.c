/* test_download.c: objects to files, whole or not at all.
 *
 * Goal: a file appears only whole and checked; an interrupted download goes on;
 * a changed object is not mixed with the old; no key leaves its folder.
 * Method: canned answers, files in a folder of the test's own.
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

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "cli/download.h"
#include "client/s3_client.h"
#include "tests/lib/canned_server.h"
#include "tests/lib/temp_dir.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define HEAD9 "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 9\r\n"
#define CRC "x-amz-checksum-crc64nvme: rosUhgp5mIg=\r\n"
#define REST                                                    \
    "HTTP/1.1 206 Part\r\nETag: \"e\"\r\nContent-Range: bytes " \
    "4-8/9\r\nContent-Length: 5\r\n\r\n56789"

static char *folder;
static char *path;

static int make_folder(void **state)
{
    (void)state;
    folder = temp_dir_new();
    path = mem_printf("%s/file", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    temp_dir_free(folder);
    free(path);
    return 0;
}

static int download(const struct canned_reply *replies, size_t count,
                    bool no_clobber, const char *have)
{
    struct canned_server *s = canned_start(replies, count);
    struct s3_client_options co = {.endpoint = canned_endpoint(s),
                                   .access_key = "AK",
                                   .secret_key = "secret",
                                   .attempts_max = 1};
    struct download_options o = {.endpoint = "http://x",
                                 .no_clobber = no_clobber};
    char *part = download_part_path("http://x", "b", "k", "\"e\"", 9, path);
    int rc;

    if (have != NULL) {
        assert_int_equal(fs_write(part, have, strlen(have), 0600, NULL), 0);
    }
    assert_int_equal(s3_client_new(&co, &o.client, NULL), 0);
    rc = download_file(&o, "b", "k", path, NULL);
    s3_client_free(o.client);
    canned_stop(s);
    free(part);
    return rc;
}

static void expect_file(const char *text)
{
    struct buf b = {0};

    if (text == NULL) {
        assert_int_equal(access(path, F_OK), -1);
        return;
    }
    assert_int_equal(fs_read(path, 100, &b, NULL), 0);
    assert_int_equal(b.len, strlen(text));
    assert_memory_equal(b.data, text, b.len);
    buf_free(&b);
}

static void expect_part(bool there)
{
    char *part = download_part_path("http://x", "b", "k", "\"e\"", 9, path);

    assert_int_equal(access(part, F_OK) == 0, there);
    free(part);
}

static void a_whole_object_becomes_a_file(void **state)
{
    const struct canned_reply reply = {.text = HEAD9 CRC "\r\n123456789"};

    (void)state;
    assert_int_equal(download(&reply, 1, false, NULL), 0);
    expect_file("123456789");
    expect_part(false);
}

static void an_empty_object_becomes_an_empty_file(void **state)
{
    const struct canned_reply reply = {
        .text =
            "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: "
            "0\r\n\r\n"};

    (void)state;
    assert_int_equal(download(&reply, 1, false, NULL), 0);
    expect_file("");
}

static void an_interrupted_one_leaves_its_part_and_goes_on(void **state)
{
    const struct canned_reply cut = {.text = HEAD9 CRC "\r\n1234",
                                     .close = true};
    const struct canned_reply rest[] = {
        {.text = HEAD9 CRC "\r\n12", .close = true},
        {.text = HEAD9 CRC "\r\n"}, /* to HEAD */
        {.text = REST},
    };

    (void)state;
    assert_int_equal(download(&cut, 1, false, NULL), ERR_CLOSED);
    expect_file(NULL);
    expect_part(true);
    assert_int_equal(download(rest, COUNT(rest), false, NULL), 0);
    expect_file("123456789");
    expect_part(false);
}

static void a_part_that_is_already_whole_is_only_checked(void **state)
{
    const struct canned_reply replies[] = {
        {.text = HEAD9 CRC "\r\n12", .close = true},
        {.text = HEAD9 CRC "\r\n"},
    };

    (void)state;
    assert_int_equal(download(replies, 2, false, "123456789"), 0);
    expect_file("123456789");
}

static void a_wrong_part_is_found_by_the_checksum(void **state)
{
    const struct canned_reply replies[] = {
        {.text = HEAD9 CRC "\r\n12", .close = true},
        {.text = HEAD9 CRC "\r\n"},
        {.text = REST},
    };

    (void)state;
    assert_int_equal(download(replies, COUNT(replies), false, "xxxx"),
                     ERR_MISMATCH);
    expect_file(NULL);
    expect_part(false);
}

static void a_changed_object_is_not_mixed_in(void **state)
{
    const struct canned_reply replies[] = {
        {.text = HEAD9 CRC "\r\n12", .close = true},
        {.text = "HTTP/1.1 200 OK\r\nETag: \"f\"\r\nContent-Length: "
                 "9\r\n\r\n"},
        {.text = "HTTP/1.1 412 No\r\nContent-Length: 0\r\n\r\n"},
    };

    (void)state;
    assert_int_equal(download(replies, COUNT(replies), false, "1234"),
                     ERR_PRECONDITION);
    expect_file(NULL);
    expect_part(false);
}

static void what_is_there_is_kept_when_asked(void **state)
{
    const struct canned_reply reply = {.text = HEAD9 CRC "\r\n123456789"};

    (void)state;
    assert_int_equal(fs_write(path, "old", 3, 0600, NULL), 0);
    assert_int_equal(download(&reply, 1, true, NULL), ERR_EXISTS);
    expect_file("old");
    assert_int_equal(download(&reply, 1, false, NULL), 0);
    expect_file("123456789");
}

static void names_that_leave_their_folder_are_unsafe(void **state)
{
    static const char *const safe[] = {"a", "a/b", "..a/b..", "...", "a b"};
    static const char *const unsafe[] = {
        "",     ".",     "..", "../a", "a/..", "a/../b", "/a",
        "a//b", "a/./b", "a/", "./a",  "/",    "a/b/..",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(safe); i++) {
        assert_true(download_safe_name(safe[i]));
    }
    for (size_t i = 0; i < COUNT(unsafe); i++) {
        assert_false(download_safe_name(unsafe[i]));
    }
}

static void folders_are_made_above_a_file(void **state)
{
    char *deep = mem_printf("%s/a/b/c", folder);
    char *above = mem_printf("%s/a/b", folder);
    struct stat st;

    (void)state;
    assert_int_equal(download_make_folders(deep, NULL), 0);
    assert_int_equal(stat(above, &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    assert_int_equal(access(deep, F_OK), -1);
    assert_int_equal(download_make_folders(deep, NULL), 0);
    assert_int_equal(fs_write(deep, "x", 1, 0600, NULL), 0);
    free(above);
    above = mem_printf("%s/d", deep);
    free(deep);
    deep = mem_printf("%s/e", above);
    assert_int_equal(download_make_folders(deep, NULL), ERR_IO);
    free(deep);
    free(above);
}

int main(void)
{
#define T(name) \
    cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        T(a_whole_object_becomes_a_file),
        T(an_empty_object_becomes_an_empty_file),
        T(an_interrupted_one_leaves_its_part_and_goes_on),
        T(a_part_that_is_already_whole_is_only_checked),
        T(a_wrong_part_is_found_by_the_checksum),
        T(a_changed_object_is_not_mixed_in),
        T(what_is_there_is_kept_when_asked),
        T(names_that_leave_their_folder_are_unsafe),
        T(folders_are_made_above_a_file),
    };

    return cmocka_run_group_tests_name("download", tests, NULL, NULL);
}
