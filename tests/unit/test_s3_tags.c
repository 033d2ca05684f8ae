/* test_s3_tags.c: tag sets, of buckets and of objects.
 *
 * Goal: a set is taken or refused as AWS does, with its code and sentence, and
 * what is written reads back the same.
 * Method: tables of documents and headers with their answers; each limit to
 * either side.
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
#include "gateway/s3_tags.h"

#define TAG(k, v) "<Tag><Key>" k "</Key><Value>" v "</Value></Tag>"
#define SET(tags) "<Tagging><TagSet>" tags "</TagSet></Tagging>"

static enum s3_error read(const char *text, size_t max, struct s3_tags *out,
                          struct err *err)
{
    *out = (struct s3_tags){0};
    return s3_tags_read(text, strlen(text), max, out, err);
}

static void a_set_is_read_in_its_order(void **state)
{
    struct s3_tags t;

    (void)state;
    assert_int_equal(
        read("<?xml version=\"1.0\"?>\n"
             "<Tagging xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n"
             " <TagSet>\n  " TAG("b", " two ")
                 TAG("a+-=._:/@ 1", "") " </TagSet>\n</Tagging>",
             S3_TAGS_BUCKET_MAX, &t, NULL),
        S3_OK);
    assert_int_equal(t.count, 2);
    assert_string_equal(t.list[0].key, "b");
    assert_string_equal(t.list[0].value, " two ");
    assert_string_equal(s3_tags_value(&t, "a+-=._:/@ 1"), "");
    assert_null(s3_tags_value(&t, "B"));
    s3_tags_free(&t);
    assert_int_equal(read(SET(""), 10, &t, NULL), S3_OK);
    assert_int_equal(t.count, 0);
    s3_tags_free(&t);
}

static void what_aws_refuses_is_refused_in_its_words(void **state)
{
    static const struct {
        const char *text;
        enum s3_error error;
        const char *says;
    } rows[] = {
        {"", S3_MalformedXML, "well-formed"},
        {"<Tagging>", S3_MalformedXML, "well-formed"},
        {"<Tagging/>", S3_MalformedXML, "well-formed"},
        {"<TagSet/>", S3_MalformedXML, "well-formed"},
        {"<!DOCTYPE Tagging><Tagging><TagSet/></Tagging>", S3_MalformedXML,
         "well-formed"},
        {"<Tagging><TagSet/><TagSet/></Tagging>", S3_MalformedXML, "well"},
        {"<Tagging><TagSet>x</TagSet></Tagging>", S3_MalformedXML, "well"},
        {SET("<Tag/>"), S3_MalformedXML, "well-formed"},
        {SET("<Tag><Key>a</Key></Tag>"), S3_MalformedXML, "well-formed"},
        {SET("<Tag><Value>a</Value></Tag>"), S3_MalformedXML, "well-formed"},
        {SET(TAG("a", "<b/>")), S3_MalformedXML, "well-formed"},
        {SET(TAG("a", "1") "<Other/>"), S3_MalformedXML, "well-formed"},
        {SET(TAG("", "1")), S3_InvalidTag, "TagKey"},
        {SET(TAG("a!", "1")), S3_InvalidTag, "TagKey"},
        {SET(TAG("a", "1?")), S3_InvalidTag, "TagValue"},
        {SET(TAG("a\n", "1")), S3_InvalidTag, "TagKey"},
        {SET(TAG("aws:a", "1")), S3_InvalidTag, "System tags"},
        {SET(TAG("AWS:a", "1")), S3_InvalidTag, "System tags"},
        {SET(TAG("a", "1") TAG("a", "2")), S3_InvalidTag, "same key"},
        {SET(TAG("a", "1") TAG("A", "2")), S3_OK, ""},
        {SET(TAG("\xc3\xa4\xe6\xbc\xa2", "\xc3\xa9")), S3_OK, ""},
    };
    struct s3_tags t;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = {{0}};
        enum s3_error e = read(rows[i].text, 50, &t, &err);
        if (e != rows[i].error || strstr(err.text, rows[i].says) == NULL) {
            fail_msg("row %zu: %s: %s", i, s3_error_code(e), err.text);
        }
        s3_tags_free(&t);
    }
}

/* A set of @count tags, the first key of @key_len characters of two bytes. */
static enum s3_error sized(size_t count, size_t key_len, size_t value_len,
                           size_t max)
{
    struct buf b = {0};
    struct s3_tags t = {0};
    enum s3_error e;

    buf_str(&b, "<Tagging><TagSet>");
    for (size_t i = 0; i < count; i++) {
        buf_str(&b, "<Tag><Key>");
        for (size_t j = 0; j < key_len && i == 0; j++) {
            buf_str(&b, "\xc3\xa4");
        }
        buf_printf(&b, i == 0 ? "%.0zu" : "%zu", i);
        buf_str(&b, "</Key><Value>");
        for (size_t j = 0; j < value_len; j++) {
            buf_str(&b, "\xc3\xa4");
        }
        buf_str(&b, "</Value></Tag>");
    }
    buf_str(&b, "</TagSet></Tagging>");
    e = s3_tags_read(b.data, b.len, max, &t, NULL);
    s3_tags_free(&t);
    buf_free(&b);
    return e;
}

static void limits_are_those_of_aws(void **state)
{
    (void)state;
    assert_int_equal(sized(10, 1, 1, S3_TAGS_OBJECT_MAX), S3_OK);
    assert_int_equal(sized(11, 1, 1, S3_TAGS_OBJECT_MAX), S3_BadRequest);
    assert_int_equal(sized(50, 1, 1, S3_TAGS_BUCKET_MAX), S3_OK);
    assert_int_equal(sized(51, 1, 1, S3_TAGS_BUCKET_MAX), S3_BadRequest);
    assert_int_equal(sized(1, 128, 256, 10), S3_OK);
    assert_int_equal(sized(1, 129, 256, 10), S3_InvalidTag);
    assert_int_equal(sized(1, 128, 257, 10), S3_InvalidTag);
}

static void the_header_is_a_query(void **state)
{
    static const struct {
        const char *text;
        enum s3_error error;
        const char *again; /* as it is written */
    } rows[] = {
        {"", S3_OK, ""},
        {"a=1", S3_OK, "a=1"},
        {"a", S3_OK, "a="},
        {"a=&b=x+y%2Fz", S3_OK, "a=&b=x%20y%2Fz"},
        {"a=b=c", S3_OK, "a=b%3Dc"},
        {"a=1&", S3_OK, "a=1"},
        {"&a=1", S3_InvalidArgument, NULL},
        {"a=1&a=2", S3_InvalidTag, NULL},
        {"a=%4", S3_InvalidArgument, NULL},
        {"a=%00", S3_InvalidArgument, NULL},
        {"=1", S3_InvalidTag, NULL},
        {"a=%3F", S3_InvalidTag, NULL},
        {"a=%ff", S3_InvalidTag, NULL},
        {"1&2&3&4&5&6&7&8&9&10&11", S3_BadRequest, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct s3_tags t = {0};
        struct buf b = {0};
        enum s3_error e = s3_tags_query(rows[i].text, 10, &t, NULL);
        if (e != rows[i].error) {
            fail_msg("%s: %s", rows[i].text, s3_error_code(e));
        }
        if (e == S3_OK) {
            buf_str(&b, "");
            s3_tags_write_query(&t, &b);
            assert_string_equal(b.len > 0 ? (char *)b.data : "", rows[i].again);
        }
        s3_tags_free(&t);
        buf_free(&b);
    }
}

static void what_is_written_reads_back(void **state)
{
    struct s3_tags t, again;
    struct buf b = {0};

    (void)state;
    assert_int_equal(s3_tags_query("a=x%20y&b=%40&%C3%A4=", 10, &t, NULL),
                     S3_OK);
    s3_tags_write(&t, &b);
    assert_int_equal(s3_tags_read(b.data, b.len, 10, &again, NULL), S3_OK);
    assert_int_equal(again.count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(again.list[i].key, t.list[i].key);
        assert_string_equal(again.list[i].value, t.list[i].value);
    }
    s3_tags_free(&t);
    s3_tags_free(&again);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_is_read_in_its_order),
        cmocka_unit_test(what_aws_refuses_is_refused_in_its_words),
        cmocka_unit_test(limits_are_those_of_aws),
        cmocka_unit_test(the_header_is_a_query),
        cmocka_unit_test(what_is_written_reads_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
