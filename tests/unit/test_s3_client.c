/* test_s3_client.c: S3 operations against a server that says what the test
 * wrote down.
 *
 * Goal: requests are signed as crypto/sigv4.h judges them, answers of all kinds
 * are read right, refusals keep their code, and only what is safe is tried
 * again.
 * Method: canned answers; requests are parsed and their signatures verified by
 * the server's half of SigV4; the clock does not sleep.
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
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "client/http_conn.h"
#include "client/s3_client.h"
#include "crypto/digest.h"
#include "crypto/sigv4.h"
#include "tests/lib/canned_server.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define NOW_MS ((uint64_t)1795395723000)
#define SECRET "very secret"
#define EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define CLOSING "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"

static uint64_t slept_ms;

static uint64_t fake_real(void *data)
{
    (void)data;
    return NOW_MS;
}

static uint64_t fake_mono(void *data)
{
    (void)data;
    return slept_ms * 1000;
}

static void fake_sleep(void *data, uint64_t ms)
{
    (void)data;
    slept_ms += ms;
}

static int use_clock(void **state)
{
    static const struct clock_ops ops = {fake_real, fake_mono, fake_sleep,
                                         NULL};

    (void)state;
    clock_use(&ops);
    return 0;
}

static int forget_sleep(void **state)
{
    (void)state;
    slept_ms = 0;
    return 0;
}

static struct s3_client *client_of(struct canned_server *s)
{
    struct s3_client_options o = {.endpoint = canned_endpoint(s),
                                  .region = "eu-west-1",
                                  .access_key = "AKTEST",
                                  .secret_key = SECRET,
                                  .io_timeout_ms = 10000};
    struct s3_client *c;

    assert_int_equal(s3_client_new(&o, &c, NULL), 0);
    return c;
}

/* Verify request @i as a gateway does. */
static void expect_signed(struct canned_server *s, unsigned i)
{
    char *text = mem_strdup(canned_request(s, i));
    char *end = strstr(text, "\r\n\r\n");
    struct sigv4_header headers[64];
    struct sigv4_request r = {.headers = headers};
    struct sigv4_auth auth;
    struct err err = {{0}};
    uint8_t key[32];
    char *save = NULL;
    char *target;
    char *query;

    assert_non_null(end);
    end[2] = '\0';
    r.method = strtok_r(text, " ", &save);
    target = strtok_r(NULL, " ", &save);
    strtok_r(NULL, "\r\n", &save);
    for (char *line; (line = strtok_r(NULL, "\r\n", &save)) != NULL;) {
        char *colon = strchr(line, ':');
        assert_non_null(colon);
        *colon = '\0';
        headers[r.header_count].name = line;
        headers[r.header_count++].value = colon + 1 + strspn(colon + 1, " ");
    }
    query = strchr(target, '?');
    r.query = query != NULL ? query + 1 : "";
    if (query != NULL) {
        *query = '\0';
    }
    r.path = target;
    assert_int_equal(sigv4_parse(&r, &auth, &err), SIGV4_OK);
    assert_string_equal(auth.access_key, "AKTEST");
    sigv4_signing_key(SECRET, auth.date, "eu-west-1", "s3", key);
    if (sigv4_verify(&r, &auth, "eu-west-1", key, NOW_MS, &err) != SIGV4_OK) {
        fail_msg("%s: %s", canned_request(s, i), err.text);
    }
    free(text);
}

static void requests_are_signed_and_encoded(void **state)
{
    const struct canned_reply replies[] = {{.text = EMPTY}, {.text = EMPTY}};
    struct canned_server *s = canned_start(replies, COUNT(replies));
    struct s3_client *c = client_of(s);
    struct s3_put p = {.bucket = "bucket",
                       .key = "a b/\xc3\xa4+%?&=~.txt",
                       .content_type = "text/plain",
                       .body = {.data = "hello", .size = 5}};
    const char *seen;

    (void)state;
    assert_int_equal(s3_client_put_object(c, &p, NULL, NULL), 0);
    expect_signed(s, 0);
    seen = canned_request(s, 0);
    assert_ptr_equal(strstr(seen,
                            "PUT /bucket/a%20b/%C3%A4%2B%25%3F%26%3D~.txt"
                            " HTTP/1.1\r\n"),
                     seen);
    /* SHA-256 and CRC64NVME of "hello", by Python's hashlib and awscrt. */
    assert_non_null(
        strstr(seen,
               "x-amz-content-sha256: 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1"
               "fa7425e73043362938b9824\r\n"));
    assert_non_null(strstr(seen, "x-amz-checksum-crc64nvme: "));
    assert_non_null(strstr(seen, "content-type: text/plain\r\n"));
    assert_non_null(strstr(seen, "\r\n\r\nhello"));
    assert_int_equal(s3_client_delete_object(c, "bucket", "k", NULL), 0);
    expect_signed(s, 1);
    s3_client_free(c);
    canned_stop(s);
}

static void the_checksum_is_that_of_the_body(void **state)
{
    const struct canned_reply replies[] = {{.text = EMPTY}};
    struct canned_server *s = canned_start(replies, 1);
    struct s3_client *c = client_of(s);
    struct s3_put p = {
        .bucket = "b", .key = "k", .body = {.data = "123456789", .size = 9}};

    (void)state;
    assert_int_equal(s3_client_put_object(c, &p, NULL, NULL), 0);
    /* CRC-64/NVME's check value is ae8b14860a799888. */
    assert_non_null(strstr(canned_request(s, 0),
                           "x-amz-checksum-crc64nvme: rosUhgp5mIg=\r\n"));
    s3_client_free(c);
    canned_stop(s);
}

static int64_t sent;

static void on_progress(void *arg, int64_t bytes)
{
    (void)arg;
    sent += bytes;
}

static void a_file_goes_in_ranges_and_again_after_a_refusal(void **state)
{
    const struct canned_reply replies[] = {
        {.text = "HTTP/1.1 503 Slow\r\nContent-Length: 0\r\n\r\n"},
        {.text = "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"},
        {.text = "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 0\r\n\r\n"},
    };
    struct canned_server *s = canned_start(replies, COUNT(replies));
    struct s3_client *c = client_of(s);
    FILE *f = tmpfile();
    struct s3_put p = {.bucket = "b", .key = "k"};
    char *etag = NULL;
    char content[30000];

    (void)state;
    assert_non_null(f);
    memset(content, 'c', sizeof content);
    memcpy(content + 100, "begin", 5);
    assert_int_equal(fwrite(content, 1, sizeof content, f), sizeof content);
    fflush(f);
    p.body = (struct s3_body){
        .fd = fileno(f), .offset = 100, .size = 20000, .progress = on_progress};
    sent = 0;
    assert_int_equal(s3_client_put_object(c, &p, &etag, NULL), 0);
    assert_string_equal(etag, "\"e\"");
    assert_int_equal(sent, 20000);
    assert_true(slept_ms >= 50 + 100);
    for (unsigned i = 0; i < 3; i++) {
        const char *body = strstr(canned_request(s, i), "\r\n\r\n") + 4;
        assert_memory_equal(body, content + 100, 20000);
        expect_signed(s, i);
    }
    /* Shorter than it was said to be. */
    p.body.size = 40000;
    assert_int_equal(s3_client_put_object(c, &p, NULL, NULL), ERR_IO);
    free(etag);
    fclose(f);
    s3_client_free(c);
    canned_stop(s);
}

static void a_conditional_put_is_not_repeated_when_in_doubt(void **state)
{
    const struct canned_reply replies[] = {
        {.text = "HTTP/1.1 503 Slow\r\nContent-Length: 0\r\n\r\n"},
        {.text = EMPTY}};
    struct canned_server *s = canned_start(replies, COUNT(replies));
    struct s3_client *c = client_of(s);
    struct s3_put p = {.bucket = "b",
                       .key = "k",
                       .if_none_match = "*",
                       .body = {.data = "x", .size = 1}};

    (void)state;
    assert_int_equal(s3_client_put_object(c, &p, NULL, NULL), ERR_BUSY);
    assert_int_equal(canned_requests(s), 1);
    assert_non_null(strstr(canned_request(s, 0), "if-none-match: *\r\n"));
    s3_client_free(c);
    canned_stop(s);
}

static void attempts_are_bounded(void **state)
{
    struct canned_reply replies[8];
    struct canned_server *s;
    struct s3_client *c;

    (void)state;
    for (size_t i = 0; i < COUNT(replies); i++) {
        replies[i] = (struct canned_reply){
            .text = "HTTP/1.1 503 Slow\r\nContent-Length: 0\r\n\r\n"};
    }
    s = canned_start(replies, COUNT(replies));
    c = client_of(s);
    assert_int_equal(s3_client_head_bucket(c, "b", NULL), ERR_BUSY);
    assert_int_equal(canned_requests(s), 4);
    s3_client_free(c);
    canned_stop(s);
}

static void s3_codes_become_ours(void **state)
{
    static const struct {
        const char *code;
        int status;
        int rc;
    } cases[] = {
        {"NoSuchKey", 404, ERR_NO_KEY},
        {"NoSuchBucket", 404, ERR_NO_BUCKET},
        {"NoSuchUpload", 404, ERR_NO_UPLOAD},
        {"BucketAlreadyOwnedByYou", 409, ERR_BUCKET_EXISTS},
        {"BucketNotEmpty", 409, ERR_BUCKET_NOT_EMPTY},
        {"PreconditionFailed", 412, ERR_PRECONDITION},
        {"SignatureDoesNotMatch", 403, ERR_DENIED},
        {"InvalidRange", 416, ERR_RANGE},
        {"BadDigest", 400, ERR_MISMATCH},
        {"InvalidPart", 400, ERR_BAD_PART},
        {"InvalidPartOrder", 400, ERR_PART_ORDER},
        {"EntityTooSmall", 400, ERR_PART_TOO_SMALL},
        {"StorageFull", 507, ERR_FULL},
        {"NotImplemented", 501, ERR_UNSUPPORTED},
        {"Whatever", 400, ERR_BAD_INPUT},
        {"", 404, ERR_NOT_FOUND},
        {"", 401, ERR_DENIED},
        {"", 502, ERR_IO},
        {"", 503, ERR_BUSY},
        {"", 302, ERR_BAD_INPUT},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(s3_client_error(cases[i].code, cases[i].status),
                         cases[i].rc);
    }
}

static void a_refusal_is_told_in_the_servers_words(void **state)
{
    const struct canned_reply replies[] = {
        {.text = "HTTP/1.1 404 No\r\nContent-Length: 107\r\n\r\n"
                 "<?xml version=\"1.0\"?><Error><Code>NoSuchBucket</Code>"
                 "<Message>It is &lt;gone&gt;</Message><R>x</R></Error>  "},
        {.text = "HTTP/1.1 403 No\r\nContent-Length: 8\r\n\r\nnot XML!"},
        {.text = CLOSING "<?xml version=\"1.0\"?>\n<Error><Code>InternalThing"
                         "</Code><Message>late</Message></Error>",
         .close = true},
    };
    struct canned_server *s = canned_start(replies, COUNT(replies));
    struct s3_client *c = client_of(s);
    struct err err;

    (void)state;
    assert_int_equal(s3_client_delete_bucket(c, "b", &err), ERR_NO_BUCKET);
    assert_string_equal(err.text, "NoSuchBucket: It is <gone>");
    assert_int_equal(s3_client_delete_bucket(c, "b", &err), ERR_DENIED);
    assert_non_null(strstr(err.text, "403"));
    /* A 200 that is a failure, as CopyObject may give. */
    assert_int_not_equal(s3_client_copy_object(c, "b", "k", "b", "l", &err), 0);
    assert_string_equal(err.text, "InternalThing: late");
    assert_non_null(
        strstr(canned_request(s, 2), "x-amz-copy-source: /b/k\r\n"));
    s3_client_free(c);
    canned_stop(s);
}

static void buckets_are_listed(void **state)
{
    const struct canned_reply replies[] = {
        {.text = CLOSING
         "<ListAllMyBucketsResult xmlns=\"http://s3.amazonaws.com/doc/"
         "2006-03-01/\"><Owner><ID>x</ID></Owner><Buckets>"
         "<Bucket><Name>one</Name><CreationDate>2026-11-23T01:02:03.000Z"
         "</CreationDate></Bucket><Bucket><Name>two</Name></Bucket></Buckets>"
         "</ListAllMyBucketsResult>",
         .close = true},
        {.text = CLOSING "<ListAllMyBucketsResult><Buckets><Bucket></Bucket>"
                         "</Buckets></ListAllMyBucketsResult>",
         .close = true},
        {.text = CLOSING "<ListAllMyBucketsResult>", .close = true},
    };
    struct canned_server *s = canned_start(replies, COUNT(replies));
    struct s3_client *c = client_of(s);
    struct s3_buckets b;

    (void)state;
    assert_int_equal(s3_client_list_buckets(c, &b, NULL), 0);
    assert_int_equal(b.count, 2);
    assert_string_equal(b.items[0].name, "one");
    assert_int_equal(b.items[0].time_ms, 1795395723000);
    assert_string_equal(b.items[1].name, "two");
    s3_buckets_free(&b);
    assert_int_equal(s3_client_list_buckets(c, &b, NULL), ERR_CORRUPT);
    assert_int_equal(s3_client_list_buckets(c, &b, NULL), ERR_CORRUPT);
    s3_client_free(c);
    canned_stop(s);
}

static void objects_are_listed_and_their_keys_decoded(void **state)
{
    const struct canned_reply replies[] = {
        {.text = CLOSING
         "<ListBucketResult><Name>b</Name><Prefix>p</Prefix>"
         "<Contents><Key>p%0A%26+%2B%C3%A4</Key><Size>18446744073709551615"
         "</Size><ETag>&quot;e&quot;</ETag><LastModified>2026-11-23T01:02:03Z"
         "</LastModified></Contents><Contents><Key>q</Key><Size>0</Size>"
         "</Contents><CommonPrefixes><Prefix>dir%2F</Prefix></CommonPrefixes>"
         "<IsTruncated>true</IsTruncated><NextContinuationToken>to&amp;ken"
         "</NextContinuationToken></ListBucketResult>",
         .close = true},
        {.text = CLOSING "<ListBucketResult><Contents><Key>%zz</Key></Contents>"
                         "</ListBucketResult>",
         .close = true},
        {.text = CLOSING "<ListBucketResult><Contents><Size>x</Size></Contents>"
                         "</ListBucketResult>",
         .close = true},
    };
    struct canned_server *s = canned_start(replies, COUNT(replies));
    struct s3_client *c = client_of(s);
    struct s3_list l = {.bucket = "b",
                        .prefix = "p q",
                        .delimiter = "/",
                        .token = "t=&",
                        .max_keys = 7};
    struct s3_page p;

    (void)state;
    assert_int_equal(s3_client_list_objects(c, &l, &p, NULL), 0);
    expect_signed(s, 0);
    assert_non_null(
        strstr(canned_request(s, 0),
               "GET /b?list-type=2&encoding-type=url&prefix=p%20q&delimiter="
               "%2F&continuation-token=t%3D%26&max-keys=7 HTTP/1.1"));
    assert_int_equal(p.object_count, 2);
    assert_string_equal(p.objects[0].key, "p\n& +\xc3\xa4");
    assert_true(p.objects[0].size == UINT64_MAX);
    assert_string_equal(p.objects[0].etag, "\"e\"");
    assert_string_equal(p.objects[1].key, "q");
    assert_int_equal(p.prefix_count, 1);
    assert_string_equal(p.prefixes[0], "dir/");
    assert_string_equal(p.next, "to&ken");
    s3_page_free(&p);
    assert_int_equal(s3_client_list_objects(c, &l, &p, NULL), ERR_CORRUPT);
    assert_int_equal(s3_client_list_objects(c, &l, &p, NULL), ERR_CORRUPT);
    s3_client_free(c);
    canned_stop(s);
}

/* ---- get ---- */

static struct buf got;
static unsigned begun;

static int on_begin(void *arg, const struct s3_info *i, struct err *err)
{
    (void)arg;
    (void)err;
    assert_int_equal(i->size, 9);
    begun++;
    return 0;
}

static int on_bytes(void *arg, const void *p, size_t len, struct err *err)
{
    int *fail = arg;

    buf_append(&got, p, len);
    return fail != NULL ? err_set(err, *fail, "as told") : 0;
}

static int get(const struct canned_reply *replies, size_t count,
               struct s3_get *g, struct canned_server **server, struct err *err)
{
    struct canned_server *s = canned_start(replies, count);
    struct s3_client *c = client_of(s);
    int rc;

    buf_clear(&got);
    begun = 0;
    g->bucket = "b";
    g->key = "k";
    g->begin = on_begin;
    g->sink = on_bytes;
    rc = s3_client_get_object(c, g, err);
    s3_client_free(c);
    *server = s;
    return rc;
}

#define NINE                                                  \
    "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 9\r\n" \
    "Last-Modified: Mon, 23 Nov 2026 01:02:03 GMT\r\n"

static void a_get_is_checked_against_the_stored_checksum(void **state)
{
    const struct canned_reply good = {
        .text = NINE "x-amz-checksum-crc64nvme: rosUhgp5mIg=\r\n\r\n123456789"};
    const struct canned_reply bad = {
        .text = NINE "x-amz-checksum-crc64nvme: rosUhgp5mIg=\r\n\r\n123456780"};
    const struct canned_reply parts = {
        .text = NINE "x-amz-checksum-crc32: AAAAAA==-2\r\n\r\n123456789"};
    const struct canned_reply other = {
        .text = NINE "x-amz-checksum-crc32c: 4waSgw==\r\n\r\n123456789"};
    struct s3_get g = {0};
    struct canned_server *s;
    struct err err;

    (void)state;
    assert_int_equal(get(&good, 1, &g, &s, NULL), 0);
    assert_int_equal(got.len, 9);
    assert_int_equal(begun, 1);
    assert_non_null(
        strstr(canned_request(s, 0), "x-amz-checksum-mode: ENABLED\r\n"));
    expect_signed(s, 0);
    canned_stop(s);
    assert_int_equal(get(&bad, 1, &g, &s, &err), ERR_MISMATCH);
    assert_non_null(strstr(err.text, "CRC64NVME"));
    canned_stop(s);
    assert_int_equal(get(&parts, 1, &g, &s, NULL), 0);
    canned_stop(s);
    assert_int_equal(get(&other, 1, &g, &s, NULL), 0);
    canned_stop(s);
}

static void a_broken_get_goes_on_where_it_stopped(void **state)
{
    const struct canned_reply replies[] = {
        {.text = NINE "x-amz-checksum-crc64nvme: rosUhgp5mIg=\r\n\r\n1234",
         .close = true},
        {.text = "HTTP/1.1 503 Slow\r\nContent-Length: 0\r\n\r\n"},
        {.text = "HTTP/1.1 206 Part\r\nContent-Range: bytes 4-8/9\r\n"
                 "Content-Length: 5\r\n\r\n56",
         .close = true},
        {.text = "HTTP/1.1 206 Part\r\nContent-Range: bytes 6-8/9\r\n"
                 "Content-Length: 3\r\n\r\n789"},
    };
    struct s3_get g = {0};
    struct canned_server *s;

    (void)state;
    assert_int_equal(get(replies, COUNT(replies), &g, &s, NULL), 0);
    assert_int_equal(got.len, 9);
    assert_memory_equal(got.data, "123456789", 9);
    assert_int_equal(begun, 1);
    assert_non_null(strstr(canned_request(s, 1), "range: bytes=4-\r\n"));
    assert_non_null(strstr(canned_request(s, 1), "if-match: \"e\"\r\n"));
    assert_non_null(strstr(canned_request(s, 3), "range: bytes=6-\r\n"));
    canned_stop(s);
}

static void a_changed_object_is_not_mixed_with_the_old(void **state)
{
    const struct canned_reply replies[] = {
        {.text = NINE "\r\n1234", .close = true},
        {.text = "HTTP/1.1 412 No\r\nContent-Length: 0\r\n\r\n"},
    };
    struct s3_get g = {0};
    struct canned_server *s;

    (void)state;
    assert_int_equal(get(replies, COUNT(replies), &g, &s, NULL),
                     ERR_PRECONDITION);
    canned_stop(s);
}

static void ranges_are_asked_for_and_judged(void **state)
{
    const struct canned_reply good = {
        .text =
            "HTTP/1.1 206 Part\r\nContent-Range: bytes 2-4/9\r\n"
            "Content-Length: 3\r\n\r\n345"};
    const struct canned_reply whole = {.text = NINE "\r\n123456789"};
    const struct canned_reply much = {
        .text =
            "HTTP/1.1 206 Part\r\nContent-Range: bytes 2-5/9\r\n"
            "Content-Length: 4\r\n\r\n3456"};
    const struct canned_reply vague = {
        .text = "HTTP/1.1 206 Part\r\nContent-Length: 3\r\n\r\n345"};
    struct s3_get g = {.offset = 2, .length = 3, .if_match = "\"x\""};
    struct canned_server *s;

    (void)state;
    assert_int_equal(get(&good, 1, &g, &s, NULL), 0);
    assert_memory_equal(got.data, "345", 3);
    assert_non_null(strstr(canned_request(s, 0), "range: bytes=2-4\r\n"));
    assert_non_null(strstr(canned_request(s, 0), "if-match: \"x\"\r\n"));
    canned_stop(s);
    assert_int_equal(get(&whole, 1, &g, &s, NULL), ERR_CORRUPT);
    canned_stop(s);
    assert_int_equal(get(&much, 1, &g, &s, NULL), ERR_CORRUPT);
    canned_stop(s);
    assert_int_equal(get(&vague, 1, &g, &s, NULL), ERR_CORRUPT);
    canned_stop(s);
}

static void a_sink_may_stop_a_get(void **state)
{
    const struct canned_reply reply = {.text = NINE "\r\n123456789"};
    int fail = ERR_FULL;
    struct s3_get g = {.arg = &fail};
    struct canned_server *s;

    (void)state;
    assert_int_equal(get(&reply, 1, &g, &s, NULL), ERR_FULL);
    assert_int_equal(canned_requests(s), 1);
    canned_stop(s);
}

static void a_head_tells_what_is_there(void **state)
{
    const struct canned_reply replies[] = {
        {.text = NINE "Content-Type: text/x\r\nx-amz-meta-a: b\r\n\r\n"},
        {.text = "HTTP/1.1 404 No\r\n\r\n"},
    };
    struct canned_server *s = canned_start(replies, COUNT(replies));
    struct s3_client *c = client_of(s);
    struct s3_info i;

    (void)state;
    assert_int_equal(s3_client_head_object(c, "b", "k", &i, NULL), 0);
    assert_int_equal(i.size, 9);
    assert_int_equal(i.time_ms, 1795395723000);
    assert_string_equal(i.etag, "\"e\"");
    assert_string_equal(i.content_type, "text/x");
    assert_string_equal(http_response_header(&i.response, "X-Amz-Meta-A"), "b");
    s3_info_free(&i);
    assert_int_equal(s3_client_head_object(c, "b", "k", &i, NULL), ERR_NO_KEY);
    s3_client_free(c);
    canned_stop(s);
}

/* ---- many ---- */

static char failed_key[64];

static void on_failed(void *arg, const char *key, const char *why)
{
    (void)arg;
    snprintf(failed_key, sizeof failed_key, "%s:%s", key, why);
}

static void many_are_deleted_and_failures_told(void **state)
{
    const struct canned_reply replies[] = {
        {.text = CLOSING
         "<DeleteResult><Error><Key>b&amp;c</Key><Code>AccessDenied</Code>"
         "<Message>m</Message></Error></DeleteResult>",
         .close = true}};
    struct canned_server *s = canned_start(replies, 1);
    struct s3_client *c = client_of(s);
    const char *keys[] = {"a", "b&c", "<d>"};
    size_t failures = 0;
    const char *seen;

    (void)state;
    assert_int_equal(s3_client_delete_objects(c, "b", keys, 3, on_failed, NULL,
                                              &failures, NULL),
                     0);
    assert_int_equal(failures, 1);
    assert_string_equal(failed_key, "b&c:AccessDenied");
    seen = canned_request(s, 0);
    expect_signed(s, 0);
    assert_non_null(strstr(seen, "POST /b?delete= HTTP/1.1"));
    assert_non_null(strstr(seen, "content-md5: "));
    assert_non_null(strstr(seen, "<Key>b&#38;c</Key>"));
    assert_non_null(strstr(seen, "<Key>&#60;d&#62;</Key>"));
    s3_client_free(c);
    canned_stop(s);
}

static void an_upload_in_parts_goes_its_way(void **state)
{
    const struct canned_reply replies[] = {
        {.text = CLOSING "<InitiateMultipartUploadResult><UploadId>id+1"
                         "</UploadId></InitiateMultipartUploadResult>",
         .close = true},
        {.text = "HTTP/1.1 200 OK\r\nETag: \"p1\"\r\nContent-Length: "
                 "0\r\n\r\n"},
        {.text = CLOSING
         "<ListPartsResult><Part><PartNumber>1</PartNumber><Size>5</Size>"
         "<ETag>\"p1\"</ETag></Part><IsTruncated>true</IsTruncated>"
         "<NextPartNumberMarker>1</NextPartNumberMarker></ListPartsResult>",
         .close = true},
        {.text = CLOSING
         "<ListPartsResult><Part><PartNumber>3</PartNumber><Size>6</Size>"
         "<ETag>\"p3\"</ETag></Part><IsTruncated>false</IsTruncated>"
         "</ListPartsResult>",
         .close = true},
        {.text = CLOSING "<CompleteMultipartUploadResult/>", .close = true},
        {.text = "HTTP/1.1 204 OK\r\n\r\n"},
    };
    struct canned_server *s = canned_start(replies, COUNT(replies));
    struct s3_client *c = client_of(s);
    struct s3_client_upload u = {.bucket = "b", .key = "k"};
    struct s3_body body = {.data = "hello", .size = 5};
    struct s3_parts parts;
    char *id;
    char *etag;

    (void)state;
    assert_int_equal(s3_client_create_upload(c, "b", "k", NULL, &id, NULL), 0);
    assert_string_equal(id, "id+1");
    u.id = id;
    assert_int_equal(s3_client_upload_part(c, &u, 1, &body, &etag, NULL), 0);
    assert_string_equal(etag, "\"p1\"");
    assert_int_equal(s3_client_list_parts(c, &u, &parts, NULL), 0);
    assert_int_equal(parts.count, 2);
    assert_int_equal(parts.items[1].number, 3);
    assert_int_equal(parts.items[1].size, 6);
    assert_string_equal(parts.items[1].etag, "\"p3\"");
    assert_int_equal(
        s3_client_complete_upload(c, &u, parts.items, parts.count, NULL), 0);
    assert_int_equal(s3_client_abort_upload(c, &u, NULL), 0);
    for (unsigned i = 0; i < COUNT(replies); i++) {
        expect_signed(s, i);
    }
    assert_non_null(strstr(canned_request(s, 1),
                           "PUT /b/k?partNumber=1&uploadId=id%2B1 HTTP/1.1"));
    assert_non_null(strstr(canned_request(s, 3), "part-number-marker=1"));
    assert_non_null(strstr(canned_request(s, 4),
                           "<Part><PartNumber>3</PartNumber><ETag>\"p3\""
                           "</ETag></Part></CompleteMultipartUpload>"));
    /* There it would speak of the whole object. */
    assert_null(strstr(canned_request(s, 4), "x-amz-checksum-crc64nvme"));
    free(id);
    free(etag);
    s3_parts_free(&parts);
    s3_client_free(c);
    canned_stop(s);
}

static void parts_out_of_order_are_refused(void **state)
{
    static const char *const bodies[] = {
        CLOSING
        "<ListPartsResult><Part><PartNumber>2</PartNumber><ETag>a"
        "</ETag></Part><Part><PartNumber>2</PartNumber><ETag>a</ETag>"
        "</Part></ListPartsResult>",
        CLOSING
        "<ListPartsResult><Part><PartNumber>0</PartNumber><ETag>a"
        "</ETag></Part></ListPartsResult>",
        CLOSING
        "<ListPartsResult><Part><PartNumber>10001</PartNumber><ETag>a"
        "</ETag></Part></ListPartsResult>",
        CLOSING
        "<ListPartsResult><IsTruncated>true</IsTruncated>"
        "</ListPartsResult>",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(bodies); i++) {
        struct canned_reply reply = {.text = bodies[i], .close = true};
        struct canned_server *s = canned_start(&reply, 1);
        struct s3_client *c = client_of(s);
        struct s3_client_upload u = {.bucket = "b", .key = "k", .id = "i"};
        struct s3_parts parts;
        assert_int_equal(s3_client_list_parts(c, &u, &parts, NULL),
                         ERR_CORRUPT);
        s3_client_free(c);
        canned_stop(s);
    }
}

static int free_got(void **state)
{
    (void)state;
    buf_free(&got);
    clock_use(NULL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_signed_and_encoded),
        cmocka_unit_test(the_checksum_is_that_of_the_body),
        cmocka_unit_test_setup(a_file_goes_in_ranges_and_again_after_a_refusal,
                               forget_sleep),
        cmocka_unit_test(a_conditional_put_is_not_repeated_when_in_doubt),
        cmocka_unit_test(attempts_are_bounded),
        cmocka_unit_test(s3_codes_become_ours),
        cmocka_unit_test(a_refusal_is_told_in_the_servers_words),
        cmocka_unit_test(buckets_are_listed),
        cmocka_unit_test(objects_are_listed_and_their_keys_decoded),
        cmocka_unit_test(a_get_is_checked_against_the_stored_checksum),
        cmocka_unit_test(a_broken_get_goes_on_where_it_stopped),
        cmocka_unit_test(a_changed_object_is_not_mixed_with_the_old),
        cmocka_unit_test(ranges_are_asked_for_and_judged),
        cmocka_unit_test(a_sink_may_stop_a_get),
        cmocka_unit_test(a_head_tells_what_is_there),
        cmocka_unit_test(many_are_deleted_and_failures_told),
        cmocka_unit_test(an_upload_in_parts_goes_its_way),
        cmocka_unit_test(parts_out_of_order_are_refused),
    };

    return cmocka_run_group_tests_name("s3_client", tests, use_clock, free_got);
}
