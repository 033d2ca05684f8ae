/* test_s3_attrs.c: headers that are kept with an object.
 *
 * Goal: what S3 keeps is kept and comes back the same, what asks for a feature
 * that is not there is refused, and damaged attrs do no harm.
 * Method: a request made by hand with headers and nothing else; its attrs are
 * read back one by one, and given to the reply of another.
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
#include "base/mem.h"
#include "gateway/access.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_attrs.h"

static struct gateway gateway = {.access_key = "root"};

/* A request with headers "name", "value", ..., NULL. */
static struct request *ask(const char *name, ...)
{
    struct request *r = mem_alloc(sizeof *r);
    va_list ap;

    r->magic = REQUEST_MAGIC;
    r->gateway = &gateway;
    r->method = "PUT";
    r->path = "/b/k";
    va_start(ap, name);
    for (; name != NULL; name = va_arg(ap, const char *)) {
        r->headers[r->header_count].name = name;
        r->headers[r->header_count].value = va_arg(ap, const char *);
        r->header_count++;
    }
    va_end(ap);
    return r;
}

static void end(struct request *r)
{
    buf_free(&r->reply_headers);
    buf_free(&r->reply_body);
    free(r);
}

/* The attrs of @r, which must be taken. */
static struct buf taken(struct request *r)
{
    struct buf attrs = {0};

    assert_true(s3_attrs_from(r, &attrs));
    assert_false(r->replied);
    end(r);
    return attrs;
}

static void expect(const struct buf *attrs, const char *name, const char *value)
{
    char *got = s3_attrs_get(attrs->data, attrs->len, name);

    if (value == NULL) {
        assert_null(got);
    } else {
        assert_non_null(got);
        assert_string_equal(got, value);
    }
    free(got);
}

/* The value of a reply header; NULL when it is missing. */
static const char *replied(const struct request *r, const char *name)
{
    const char *p = (const char *)r->reply_headers.data;
    const char *stop = p + r->reply_headers.len;

    while (p < stop) {
        const char *value = p + strlen(p) + 1;
        if (strcmp(p, name) == 0) {
            return value;
        }
        p = value + strlen(value) + 1;
    }
    return NULL;
}

static void content_headers_are_kept_and_given_back(void **state)
{
    struct buf attrs =
        taken(ask("Content-Type", "a/b", "CACHE-CONTROL", "no-cache",
                  "content-disposition", "inline", "content-encoding", "gzip",
                  "content-language", "de", "expires", "soon",
                  "x-amz-website-redirect-location", "/x", "host", "h", "range",
                  "bytes=0-", "x-amz-date", "d", "user-agent", "u", NULL));
    struct request *r = ask(NULL);

    (void)state;
    s3_attrs_reply(r, attrs.data, attrs.len, true);
    assert_string_equal(replied(r, "Content-Type"), "a/b");
    assert_string_equal(replied(r, "Cache-Control"), "no-cache");
    assert_string_equal(replied(r, "Content-Disposition"), "inline");
    assert_string_equal(replied(r, "Content-Encoding"), "gzip");
    assert_string_equal(replied(r, "Content-Language"), "de");
    assert_string_equal(replied(r, "Expires"), "soon");
    assert_string_equal(replied(r, "x-amz-website-redirect-location"), "/x");
    assert_null(replied(r, "host"));
    assert_null(replied(r, "x-amz-date"));
    end(r);
    expect(&attrs, "content-type", "a/b");
    expect(&attrs, "range", NULL);
    buf_free(&attrs);
}

static void an_object_without_a_type_is_an_octet_stream(void **state)
{
    struct buf attrs = taken(ask("content-type", "", NULL));
    struct request *r = ask(NULL);

    (void)state;
    s3_attrs_reply(r, attrs.data, attrs.len, true);
    assert_string_equal(replied(r, "Content-Type"), "binary/octet-stream");
    end(r);
    buf_free(&attrs);
}

static void aws_chunked_is_of_the_transfer(void **state)
{
    static const struct {
        const char *sent, *kept;
    } rows[] = {
        {"aws-chunked", NULL},
        {"aws-chunked,gzip", "gzip"},
        {"gzip , AWS-Chunked", "gzip"},
        {"br,aws-chunked, gzip", "br,gzip"},
        {"aws-chunked2", "aws-chunked2"},
        {"", NULL},
        {" , ,", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf attrs = taken(ask("content-encoding", rows[i].sent, NULL));
        expect(&attrs, "content-encoding", rows[i].kept);
        buf_free(&attrs);
    }
}

static void user_metadata_is_kept_by_lower_case_name(void **state)
{
    struct buf attrs =
        taken(ask("X-Amz-Meta-Bird", "Godwit", "x-amz-meta-empty", "",
                  "x-amz-meta-two", "a", "X-AMZ-META-TWO", "b", NULL));
    struct request *r = ask(NULL);

    (void)state;
    expect(&attrs, "x-amz-meta-bird", "Godwit");
    expect(&attrs, "x-amz-meta-empty", "");
    expect(&attrs, "x-amz-meta-two", "a,b");
    s3_attrs_reply(r, attrs.data, attrs.len, false);
    assert_string_equal(replied(r, "x-amz-meta-bird"), "Godwit");
    assert_string_equal(replied(r, "x-amz-meta-empty"), " ");
    assert_string_equal(replied(r, "x-amz-meta-two"), "a,b");
    end(r);
    buf_free(&attrs);
}

static void refuse(struct request *r, enum s3_error want)
{
    struct buf attrs = {0};

    assert_false(s3_attrs_from(r, &attrs));
    assert_true(r->replied);
    assert_int_equal(r->error, want);
    buf_free(&attrs);
    end(r);
}

static void user_metadata_has_2_kib_of_names_and_values(void **state)
{
    char value[S3_USER_METADATA_MAX + 1];
    struct buf attrs;

    (void)state;
    memset(value, 'v', sizeof value);
    value[S3_USER_METADATA_MAX - 1] = '\0';
    attrs = taken(ask("x-amz-meta-m", value, NULL));
    buf_free(&attrs);
    refuse(ask("x-amz-meta-mm", value, NULL), S3_MetadataTooLarge);
    refuse(ask("x-amz-meta-m", value, "x-amz-meta-n", "", NULL),
           S3_MetadataTooLarge);
    refuse(ask("x-amz-meta-m", value, "x-amz-meta-m", "", NULL),
           S3_MetadataTooLarge);
}

static void all_that_is_kept_has_a_bound(void **state)
{
    char *value = mem_alloc(META_ATTRS_MAX + 1);

    (void)state;
    memset(value, 'v', META_ATTRS_MAX);
    refuse(ask("cache-control", value, NULL), S3_MetadataTooLarge);
    free(value);
}

static void what_is_not_there_is_refused(void **state)
{
    static const char *const rows[][2] = {
        {"x-amz-server-side-encryption-other", "AES256"},
        {"X-Amz-Server-Side-Encryption-Other", "aws:kms"},
        {"x-amz-write-offset-bytes", "5"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        refuse(ask(rows[i][0], rows[i][1], NULL), S3_NotImplemented);
    }
    refuse(ask("x-amz-storage-class", "GLACIER", NULL), S3_InvalidStorageClass);
    refuse(ask("x-amz-storage-class", "standard", NULL),
           S3_InvalidStorageClass);
    refuse(ask("x-amz-website-redirect-location", "ftp://x", NULL),
           S3_InvalidArgument);
}

/* ---- the access control list ---- */

static struct access_bucket bucket = {.owner = "boss"};
static struct access_user bob = {.name = "bob"};
static struct access_user boss = {.name = "boss"};
static struct access_user device = {.name = "device/d", .device = 1};

/* The list in the attrs of a put by @user with x-amz-acl @canned (NULL: none).
 */
static void expect_list(struct access_user *user,
                        enum access_ownership ownership, const char *canned,
                        const char *coding)
{
    struct request *r = ask(canned != NULL ? "x-amz-acl" : NULL, canned, NULL);
    struct buf attrs = {0}, copy = {0}, list = {0}, text = {0};
    struct acl acl = {.count = 0};

    bucket.ownership = ownership;
    r->target = &bucket;
    r->user = user;
    attrs = taken(r);
    if (coding == NULL) {
        assert_false(s3_attrs_has_acl(attrs.data, attrs.len));
        assert_false(s3_attrs_acl(attrs.data, attrs.len, &acl));
        assert_int_equal(attrs.len, 1);
    } else {
        assert_true(s3_attrs_acl(attrs.data, attrs.len, &acl));
        acl_encode(&acl, &text);
        assert_string_equal((char *)text.data, coding);
    }
    /* A copy takes it only when that is said. */
    s3_attrs_begin(&copy);
    s3_attrs_copy(attrs.data, attrs.len, true, &copy);
    assert_int_equal(copy.len, 1);
    s3_attrs_begin(&list);
    s3_attrs_copy_acl(attrs.data, attrs.len, &list);
    assert_int_equal(list.len, attrs.len);
    acl_free(&acl);
    buf_free(&attrs);
    buf_free(&copy);
    buf_free(&list);
    buf_free(&text);
}

static void a_list_is_kept_when_it_is_not_the_bucket_owners_alone(void **state)
{
    const enum access_ownership writer = ACCESS_OBJECT_WRITER;

    (void)state;
    expect_list(&boss, writer, NULL, NULL);
    expect_list(&boss, writer, "private", NULL);
    expect_list(&boss, writer, "bucket-owner-read", NULL);
    expect_list(&boss, writer, "public-read", "1\nboss\nfuboss\nra\n");
    expect_list(&bob, writer, NULL, "1\nbob\nfubob\n");
    expect_list(&bob, writer, "bucket-owner-read", "1\nbob\nfubob\nruboss\n");
    expect_list(NULL, writer, NULL, NULL);
    expect_list(NULL, writer, "public-read", "1\nboss\nfuboss\nra\n");
    expect_list(&device, writer, NULL, NULL);
    expect_list(&bob, ACCESS_OWNER_PREFERRED, NULL, "1\nbob\nfubob\n");
    expect_list(&bob, ACCESS_OWNER_PREFERRED, "bucket-owner-full-control",
                NULL);
    expect_list(&bob, ACCESS_OWNER_ENFORCED, "bucket-owner-full-control", NULL);
    expect_list(&bob, ACCESS_OWNER_ENFORCED, NULL, NULL);
    expect_list(&boss, ACCESS_OWNER_ENFORCED, "private", NULL);
}

static struct request *put_by(struct access_user *user,
                              enum access_ownership ownership, unsigned block,
                              struct request *r)
{
    bucket.ownership = ownership;
    bucket.block = block;
    r->target = &bucket;
    r->user = user;
    return r;
}

static void a_list_that_must_not_be_is_refused(void **state)
{
    const enum access_ownership enforced = ACCESS_OWNER_ENFORCED;

    (void)state;
    refuse(put_by(&bob, enforced, 0, ask("x-amz-acl", "private", NULL)),
           S3_AccessControlListNotSupported);
    refuse(put_by(&boss, enforced, 0, ask("x-amz-acl", "public-read", NULL)),
           S3_AccessControlListNotSupported);
    refuse(put_by(&boss, enforced, 0,
                  ask("x-amz-grant-read",
                      "uri=http://acs.amazonaws.com/groups/global/AllUsers",
                      NULL)),
           S3_AccessControlListNotSupported);
    refuse(put_by(&bob, ACCESS_OBJECT_WRITER, ACCESS_BLOCK_ACLS,
                  ask("x-amz-acl", "authenticated-read", NULL)),
           S3_AccessDenied);
    refuse(
        put_by(&bob, ACCESS_OBJECT_WRITER, 0,
               ask("x-amz-acl", "private", "x-amz-grant-read", "id=1", NULL)),
        S3_InvalidRequest);
    refuse(
        put_by(&bob, ACCESS_OBJECT_WRITER, 0, ask("x-amz-acl", "open", NULL)),
        S3_InvalidArgument);
    refuse(put_by(&bob, ACCESS_OBJECT_WRITER, 0,
                  ask("x-amz-grant-read", "id=1", NULL)),
           S3_InvalidArgument);
    refuse(put_by(&bob, ACCESS_OBJECT_WRITER, 0,
                  ask("x-amz-grant-all", "id=1", NULL)),
           S3_InvalidArgument);
    bucket.block = 0;
}

static void damaged_lists_are_none(void **state)
{
    struct buf attrs = {0};
    struct acl acl = {.count = 0};

    (void)state;
    s3_attrs_begin(&attrs);
    s3_attrs_add(&attrs, "godwit-acl", "1\nbob\nra\n");
    assert_true(s3_attrs_acl(attrs.data, attrs.len, &acl));
    acl_free(&acl);
    for (size_t len = 0; len < attrs.len; len++) {
        uint8_t *p = mem_dup(attrs.data, len);
        assert_false(s3_attrs_acl(p, len, &acl));
        free(p);
    }
    buf_free(&attrs);
    s3_attrs_begin(&attrs);
    s3_attrs_add(&attrs, "x", "y");
    s3_attrs_add(&attrs, "godwit-acl", "1\nbob\nra\n"); /* not the first */
    assert_false(s3_attrs_has_acl(attrs.data, attrs.len));
    buf_free(&attrs);
}

static void what_asks_for_nothing_is_taken(void **state)
{
    struct buf attrs =
        taken(put_by(&boss, ACCESS_OBJECT_WRITER, 0,
                     ask("x-amz-acl", "private", "x-amz-storage-class",
                         "STANDARD", "x-amz-tagging", "", NULL)));

    (void)state;
    expect(&attrs, "x-amz-storage-class", NULL); /* as S3 shows it */
    expect(&attrs, "x-amz-acl", NULL);
    assert_int_equal(attrs.len, 1);
    buf_free(&attrs);
}

static void checksums_are_given_back_only_when_asked_for(void **state)
{
    struct buf attrs = {0};
    struct buf copy = {0};
    enum digest_kind kind;
    char value[64];

    (void)state;
    s3_attrs_begin(&attrs);
    s3_attrs_add(&attrs, "content-type", "a/b");
    s3_attrs_add(&attrs, "x-amz-checksum-crc32c", "AAAAAA==-2");
    s3_attrs_add(&attrs, "x-amz-checksum-type", "COMPOSITE");
    assert_true(s3_attrs_checksum(attrs.data, attrs.len, &kind, value));
    assert_int_equal(kind, DIGEST_CRC32C);
    assert_string_equal(value, "AAAAAA==-2");
    for (int with = 0; with < 2; with++) {
        struct request *r = ask(NULL);
        s3_attrs_reply(r, attrs.data, attrs.len, with != 0);
        assert_int_equal(replied(r, "x-amz-checksum-crc32c") != NULL, with);
        assert_int_equal(replied(r, "x-amz-checksum-type") != NULL, with);
        end(r);
    }
    s3_attrs_begin(&copy);
    s3_attrs_copy(attrs.data, attrs.len, false, &copy);
    assert_false(s3_attrs_checksum(copy.data, copy.len, &kind, value));
    expect(&copy, "content-type", "a/b");
    buf_clear(&copy);
    s3_attrs_begin(&copy);
    s3_attrs_copy(attrs.data, attrs.len, true, &copy);
    assert_int_equal(copy.len, attrs.len);
    assert_memory_equal(copy.data, attrs.data, attrs.len);
    buf_free(&copy);
    buf_free(&attrs);
}

static void checksum_headers_have_their_kinds(void **state)
{
    enum digest_kind kind;

    (void)state;
    for (int k = 0; k < DIGEST_KINDS; k++) {
        const char *header = s3_checksum_header((enum digest_kind)k);
        if (k == DIGEST_MD5) {
            assert_null(header); /* S3 has it as Content-MD5 */
            continue;
        }
        assert_true(s3_checksum_kind(header, &kind));
        assert_int_equal(kind, k);
    }
    assert_true(s3_checksum_kind("X-Amz-Checksum-SHA256", &kind));
    assert_int_equal(kind, DIGEST_SHA256);
    assert_false(s3_checksum_kind("x-amz-checksum-type", &kind));
    assert_false(s3_checksum_kind("x-amz-checksum-md5", &kind));
}

static void a_parts_check_is_a_header_and_a_value(void **state)
{
    enum digest_kind kind;
    const char *value;

    (void)state;
    assert_true(s3_part_check("x-amz-checksum-sha1:AB=", &kind, &value));
    assert_int_equal(kind, DIGEST_SHA1);
    assert_string_equal(value, "AB=");
    assert_false(s3_part_check(NULL, &kind, &value));
    assert_false(s3_part_check("", &kind, &value));
    assert_false(s3_part_check(":x", &kind, &value));
    assert_false(s3_part_check("x-amz-checksum-sha1", &kind, &value));
    assert_false(
        s3_part_check("x-amz-checksum-of-a-long-name-indeed:x", &kind, &value));
}

static bool count_one(void *arg, const char *name, const char *value)
{
    assert_non_null(name);
    assert_non_null(value);
    (*(size_t *)arg)++;
    return true;
}

static size_t count(const void *attrs, size_t len)
{
    size_t n = 0;

    s3_attrs_each(attrs, len, count_one, &n);
    return n;
}

static void damaged_attrs_end_the_walk(void **state)
{
    struct buf attrs = {0};
    size_t last = 0;

    (void)state;
    s3_attrs_begin(&attrs);
    for (int i = 0; i < 5; i++) {
        s3_attrs_add(&attrs, "name", "value");
    }
    assert_int_equal(count(attrs.data, attrs.len), 5);
    for (size_t len = 0; len < attrs.len; len++) {
        uint8_t *cut = mem_dup(attrs.data, len + (len == 0));
        size_t n = count(cut, len);
        assert_true(n >= last && n <= 4);
        last = n;
        free(cut);
    }
    for (size_t at = 0; at < attrs.len; at++) {
        uint8_t *flipped = mem_dup(attrs.data, attrs.len);
        flipped[at] ^= 0xff;
        assert_true(count(flipped, attrs.len) <= 5);
        free(flipped);
    }
    assert_int_equal(count(NULL, 0), 0);
    buf_free(&attrs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_headers_are_kept_and_given_back),
        cmocka_unit_test(an_object_without_a_type_is_an_octet_stream),
        cmocka_unit_test(aws_chunked_is_of_the_transfer),
        cmocka_unit_test(user_metadata_is_kept_by_lower_case_name),
        cmocka_unit_test(user_metadata_has_2_kib_of_names_and_values),
        cmocka_unit_test(all_that_is_kept_has_a_bound),
        cmocka_unit_test(what_is_not_there_is_refused),
        cmocka_unit_test(a_list_is_kept_when_it_is_not_the_bucket_owners_alone),
        cmocka_unit_test(a_list_that_must_not_be_is_refused),
        cmocka_unit_test(damaged_lists_are_none),
        cmocka_unit_test(what_asks_for_nothing_is_taken),
        cmocka_unit_test(checksums_are_given_back_only_when_asked_for),
        cmocka_unit_test(checksum_headers_have_their_kinds),
        cmocka_unit_test(a_parts_check_is_a_header_and_a_value),
        cmocka_unit_test(damaged_attrs_end_the_walk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
