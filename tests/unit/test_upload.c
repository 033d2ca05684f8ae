/* test_upload.c: files and streams to objects, in parts and resumed.
 *
 * Goal: small files are one request, large ones parts of the right bytes; an
 * interrupted upload goes on with the parts that are really the file's.
 * Method: canned answers with one part at a time; state in a folder of the
 * test's own.
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

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/upload.h"
#include "client/s3_client.h"
#include "crypto/digest.h"
#include "tests/lib/canned_server.h"
#include "tests/lib/temp_dir.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define CLOSING "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
#define CREATED                                               \
    {                                                         \
        .text = CLOSING                                       \
            "<InitiateMultipartUploadResult><UploadId>the-id" \
            "</UploadId></InitiateMultipartUploadResult>",    \
        .close = true                                         \
    }
#define PART(tag)                                 \
    {                                             \
        .text = "HTTP/1.1 200 OK\r\nETag: \"" tag \
                "\"\r\n"                          \
                "Content-Length: 0\r\n\r\n"       \
    }
#define COMPLETED                                                         \
    {                                                                     \
        .text = CLOSING "<CompleteMultipartUploadResult/>", .close = true \
    }
#define REFUSED                                                \
    {                                                          \
        .text = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n" \
    }
#define OK                                                     \
    {                                                          \
        .text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" \
    }

static char *folder;
static char *path;

static int make_folder(void **state)
{
    (void)state;
    folder = temp_dir_new();
    path = mem_printf("%s/file.json", folder);
    setenv("XDG_STATE_HOME", folder, 1);
    return fs_write(path, "1111122222333", 13, 0600, NULL);
}

static int remove_folder(void **state)
{
    (void)state;
    unsetenv("XDG_STATE_HOME");
    temp_dir_free(folder);
    free(path);
    return 0;
}

static struct upload_options options_of(struct canned_server *s)
{
    struct s3_client_options co = {.endpoint = canned_endpoint(s),
                                   .access_key = "AK",
                                   .secret_key = "secret",
                                   .attempts_max = 1};
    struct upload_options o = {.endpoint = "http://x",
                               .parallel = 1,
                               .part_bytes = 5,
                               .multipart_min = 10};

    assert_int_equal(s3_client_new(&co, &o.client, NULL), 0);
    return o;
}

static const char *body_of(struct canned_server *s, unsigned i)
{
    return strstr(canned_request(s, i), "\r\n\r\n") + 4;
}

static void a_small_file_is_one_request(void **state)
{
    const struct canned_reply replies[] = {OK};
    struct canned_server *s = canned_start(replies, 1);
    struct upload_options o = options_of(s);

    (void)state;
    o.multipart_min = 14;
    assert_int_equal(upload_file(&o, path, "b", "k.json", NULL), 0);
    assert_string_equal(body_of(s, 0), "1111122222333");
    assert_non_null(
        strstr(canned_request(s, 0), "content-type: application/json\r\n"));
    s3_client_free(o.client);
    canned_stop(s);
}

static void a_large_file_goes_in_parts(void **state)
{
    const struct canned_reply replies[] = {CREATED, PART("a"), PART("b"),
                                           PART("c"), COMPLETED};
    struct canned_server *s = canned_start(replies, COUNT(replies));
    struct upload_options o = options_of(s);
    const char *complete;

    (void)state;
    assert_int_equal(upload_file(&o, path, "b", "k", NULL), 0);
    assert_string_equal(body_of(s, 1), "11111");
    assert_string_equal(body_of(s, 2), "22222");
    assert_string_equal(body_of(s, 3), "333");
    complete = body_of(s, 4);
    assert_non_null(strstr(complete, "<PartNumber>1</PartNumber><ETag>\"a\""));
    assert_non_null(strstr(complete, "<PartNumber>3</PartNumber><ETag>\"c\""));
    s3_client_free(o.client);
    canned_stop(s);
}

static void an_interrupted_upload_goes_on(void **state)
{
    static const char listing[] = CLOSING
        "<ListPartsResult><Part><PartNumber>1</PartNumber><Size>5"
        "</Size><ETag>\"%s\"</ETag></Part><Part><PartNumber>2"
        "</PartNumber><Size>5</Size><ETag>\"wrong\"</ETag></Part>"
        "<Part><PartNumber>7</PartNumber><Size>5</Size><ETag>\"x\""
        "</ETag></Part></ListPartsResult>";
    const struct canned_reply first[] = {CREATED, PART("a"), REFUSED};
    struct canned_reply second[] = {
        {.close = true}, PART("b"), PART("c"), COMPLETED};
    struct canned_server *s = canned_start(first, COUNT(first));
    struct upload_options o = options_of(s);
    uint8_t md5[DIGEST_MAX];
    char hex[33];
    char *text;

    (void)state;
    assert_int_not_equal(upload_file(&o, path, "b", "k", NULL), 0);
    s3_client_free(o.client);
    canned_stop(s);

    digest_of(DIGEST_MD5, "11111", 5, md5);
    text = mem_printf(listing, text_hex(md5, 16, hex));
    second[0].text = text;
    s = canned_start(second, COUNT(second));
    o = options_of(s);
    assert_int_equal(upload_file(&o, path, "b", "k", NULL), 0);
    assert_non_null(strstr(canned_request(s, 0), "GET /b/k?uploadId=the-id "));
    /* Part 1 is there; part 2 is not the file's and goes again. */
    assert_non_null(strstr(canned_request(s, 1), "partNumber=2&"));
    assert_non_null(strstr(canned_request(s, 2), "partNumber=3&"));
    assert_non_null(strstr(body_of(s, 3), hex));
    assert_null(strstr(body_of(s, 3), "<PartNumber>7<"));
    s3_client_free(o.client);
    canned_stop(s);
    free(text);
}

static void a_lost_upload_is_begun_anew(void **state)
{
    const struct canned_reply first[] = {CREATED, REFUSED};
    const struct canned_reply second[] = {
        {.text = "HTTP/1.1 404 No\r\nConnection: close\r\n\r\n<Error><Code>"
                 "NoSuchUpload</Code></Error>",
         .close = true},
        CREATED,
        PART("a"),
        PART("b"),
        PART("c"),
        COMPLETED};
    const struct canned_reply third[] = {CREATED, PART("a"), PART("b"),
                                         PART("c"), COMPLETED};
    struct canned_server *s = canned_start(first, COUNT(first));
    struct upload_options o = options_of(s);

    (void)state;
    assert_int_not_equal(upload_file(&o, path, "b", "k", NULL), 0);
    s3_client_free(o.client);
    canned_stop(s);
    s = canned_start(second, COUNT(second));
    o = options_of(s);
    assert_int_equal(upload_file(&o, path, "b", "k", NULL), 0);
    s3_client_free(o.client);
    canned_stop(s);
    /* What is complete is forgotten. */
    s = canned_start(third, COUNT(third));
    o = options_of(s);
    assert_int_equal(upload_file(&o, path, "b", "k", NULL), 0);
    s3_client_free(o.client);
    canned_stop(s);
}

static void parts_go_side_by_side(void **state)
{
    const struct canned_reply replies[] = {
        CREATED,
        {.text = "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: "
                 "0\r\nConnection: close\r\n\r\n",
         .close = true},
        {.text = "HTTP/1.1 200 OK\r\nETag: \"b\"\r\nContent-Length: "
                 "0\r\nConnection: close\r\n\r\n",
         .close = true},
        {.text = "HTTP/1.1 200 OK\r\nETag: \"c\"\r\nContent-Length: "
                 "0\r\nConnection: close\r\n\r\n",
         .close = true},
        COMPLETED};
    struct canned_server *s = canned_start(replies, COUNT(replies));
    struct upload_options o = options_of(s);

    (void)state;
    o.parallel = 3;
    assert_int_equal(upload_file(&o, path, "b", "k", NULL), 0);
    assert_int_equal(canned_requests(s), 5);
    s3_client_free(o.client);
    canned_stop(s);
}

static int stream_of(const char *text)
{
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], text, strlen(text)), strlen(text));
    close(fds[1]);
    return fds[0];
}

static void a_short_stream_is_one_request(void **state)
{
    const struct canned_reply replies[] = {OK};
    struct canned_server *s = canned_start(replies, 1);
    struct upload_options o = options_of(s);
    int fd = stream_of("abcd");

    (void)state;
    assert_int_equal(upload_stream(&o, fd, "b", "k", NULL), 0);
    assert_string_equal(body_of(s, 0), "abcd");
    close(fd);
    s3_client_free(o.client);
    canned_stop(s);
}

static void a_long_stream_goes_in_parts(void **state)
{
    const struct canned_reply replies[] = {CREATED, PART("a"), PART("b"),
                                           COMPLETED};
    struct canned_server *s = canned_start(replies, COUNT(replies));
    struct upload_options o = options_of(s);
    int fd = stream_of("1111122222");

    (void)state;
    assert_int_equal(upload_stream(&o, fd, "b", "k", NULL), 0);
    assert_string_equal(body_of(s, 1), "11111");
    assert_string_equal(body_of(s, 2), "22222");
    close(fd);
    s3_client_free(o.client);
    canned_stop(s);
}

static void a_broken_stream_upload_is_aborted(void **state)
{
    const struct canned_reply replies[] = {
        CREATED, PART("a"), REFUSED, {.text = "HTTP/1.1 204 OK\r\n\r\n"}};
    struct canned_server *s = canned_start(replies, COUNT(replies));
    struct upload_options o = options_of(s);
    struct err err;
    int fd = stream_of("1111122222333");

    (void)state;
    assert_int_equal(upload_stream(&o, fd, "b", "k", &err), ERR_IO);
    assert_non_null(strstr(err.text, "part 2"));
    assert_non_null(
        strstr(canned_request(s, 3), "DELETE /b/k?uploadId=the-id "));
    close(fd);
    s3_client_free(o.client);
    canned_stop(s);
}

static void what_is_there_is_kept_when_asked(void **state)
{
    const struct canned_reply replies[] = {
        {.text = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"},
        {.text = "HTTP/1.1 412 No\r\nContent-Length: 0\r\n\r\n"}};
    struct canned_server *s = canned_start(replies, COUNT(replies));
    struct upload_options o = options_of(s);

    (void)state;
    o.no_clobber = true;
    assert_int_equal(upload_file(&o, path, "b", "k", NULL), ERR_PRECONDITION);
    assert_memory_equal(canned_request(s, 0), "HEAD /b/k", 9);
    o.multipart_min = 100;
    assert_int_equal(upload_file(&o, path, "b", "k", NULL), ERR_PRECONDITION);
    assert_non_null(strstr(canned_request(s, 1), "if-none-match: *\r\n"));
    s3_client_free(o.client);
    canned_stop(s);
}

static void what_is_no_file_is_told(void **state)
{
    struct upload_options o = {.parallel = 1};
    struct err err;

    (void)state;
    assert_int_equal(upload_file(&o, "/nonexistent/x", "b", "k", &err),
                     ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nonexistent/x"));
    assert_int_equal(upload_file(&o, folder, "b", "k", &err), ERR_BAD_INPUT);
    assert_non_null(strstr(err.text, "folder"));
}

static void parts_are_few_enough(void **state)
{
    uint64_t mib = (uint64_t)1 << 20;
    uint64_t most = (uint64_t)5 << 40;
    uint64_t part;

    (void)state;
    assert_int_equal(upload_part_size(100 * mib, 16 * mib), 16 * mib);
    assert_int_equal(upload_part_size(160000 * mib, 16 * mib), 16 * mib);
    assert_int_equal(upload_part_size(160000 * mib + 1, 16 * mib), 17 * mib);
    part = upload_part_size(most, 5 * mib);
    assert_true((most + part - 1) / part <= S3_CLIENT_PARTS_MAX);
}

static void types_come_from_endings(void **state)
{
    (void)state;
    assert_string_equal(upload_content_type("a/b.JPG"), "image/jpeg");
    assert_string_equal(upload_content_type("a.html"), "text/html");
    assert_string_equal(upload_content_type("a.d/html"),
                        "application/octet-stream");
    assert_string_equal(upload_content_type("json"),
                        "application/octet-stream");
    assert_string_equal(upload_content_type(""), "application/octet-stream");
}

static void the_state_belongs_to_one_upload(void **state)
{
    char *a = upload_state_path("e", "b", "k", path, 1, 2, 3);
    char *same = upload_state_path("e", "b", "k", path, 1, 2, 3);
    char *others[] = {
        upload_state_path("f", "b", "k", path, 1, 2, 3),
        upload_state_path("e", "c", "k", path, 1, 2, 3),
        upload_state_path("e", "b", "l", path, 1, 2, 3),
        upload_state_path("e", "b", "k", folder, 1, 2, 3),
        upload_state_path("e", "b", "k", path, 2, 2, 3),
        upload_state_path("e", "b", "k", path, 1, 3, 3),
        upload_state_path("e", "b", "k", path, 1, 2, 4),
    };

    (void)state;
    assert_string_equal(a, same);
    assert_true(text_starts(a, folder));
    for (size_t i = 0; i < COUNT(others); i++) {
        assert_string_not_equal(a, others[i]);
        free(others[i]);
    }
    free(a);
    free(same);
}

int main(void)
{
#define T(name) \
    cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        T(a_small_file_is_one_request),
        T(a_large_file_goes_in_parts),
        T(an_interrupted_upload_goes_on),
        T(a_lost_upload_is_begun_anew),
        T(parts_go_side_by_side),
        T(a_short_stream_is_one_request),
        T(a_long_stream_goes_in_parts),
        T(a_broken_stream_upload_is_aborted),
        T(what_is_there_is_kept_when_asked),
        T(what_is_no_file_is_told),
        T(parts_are_few_enough),
        T(types_come_from_endings),
        T(the_state_belongs_to_one_upload),
    };

    return cmocka_run_group_tests_name("upload", tests, NULL, NULL);
}
