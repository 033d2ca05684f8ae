/* test_s3_xml.c: S3's documents, read and written.
 *
 * Goal: what is written parses back to the same text, what SDKs send is read
 * right, and no document makes the reader take more than its bounds or take one
 * thing for another.
 * Method: the documents of the AWS reference with their variations, then a list
 * of bad ones by what is wrong, each cut at every byte, then the bounds to
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
#include "base/mem.h"
#include "gateway/s3_xml.h"

#define NS "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

/* ---- written ---- */

static void expect(struct buf *b, const char *text)
{
    assert_string_equal((char *)b->data, text);
    buf_free(b);
}

static void elements_are_written_as_s3_writes_them(void **state)
{
    struct buf b = {0};

    (void)state;
    xml_open(&b, "A");
    xml_text(&b, "T", "x");
    xml_u64(&b, "N", UINT64_MAX);
    xml_bool(&b, "B", true);
    xml_bool(&b, "B", false);
    xml_time(&b, "D", 1000);
    xml_etag(&b, "ETag", "ab-2");
    xml_checksum(&b, DIGEST_CRC64NVME, "AA==");
    xml_close(&b, "A");
    expect(&b,
           "<A><T>x</T><N>18446744073709551615</N><B>true</B>"
           "<B>false</B><D>1970-01-01T00:00:01.000Z</D>"
           "<ETag>&quot;ab-2&quot;</ETag>"
           "<ChecksumCRC64NVME>AA==</ChecksumCRC64NVME></A>");
}

static void text_is_escaped(void **state)
{
    struct buf b = {0};

    (void)state;
    xml_text(&b, "K", "a&b<c>d\"e'f");
    expect(&b, "<K>a&amp;b&lt;c&gt;d&quot;e'f</K>");
    xml_text(&b, "K", "\x01\t\n\r\x1f\x7f\xc3\xa4");
    expect(&b, "<K>&#x1;&#x9;&#xa;&#xd;&#x1f;\x7f\xc3\xa4</K>");
    xml_escape(&b, "ab&", 2);
    expect(&b, "ab");
    xml_text(&b, "K", "");
    expect(&b, "<K></K>");
}

static void an_owner_has_an_id_of_64_digits(void **state)
{
    struct buf b = {0};

    (void)state;
    xml_owner(&b, "Owner", "abc");
    /* SHA-256 of "abc", FIPS 180-4's example. */
    expect(&b,
           "<Owner><ID>ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb"
           "410ff61f20015ad</ID><DisplayName>abc</DisplayName></Owner>");
}

/* ---- <Delete> ---- */

static int read_delete(const char *text, struct xml_delete *out,
                       struct err *err)
{
    *out = (struct xml_delete){0};
    return xml_read_delete(text, strlen(text), out, err);
}

static void a_delete_is_read(void **state)
{
    struct xml_delete d;

    (void)state;
    assert_int_equal(
        read_delete("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                    "<Delete " NS ">\n <Quiet> true </Quiet>\n"
                    " <Object><Key> a &amp; b&#10;</Key>"
                    "<VersionId>null</VersionId></Object>\n"
                    " <Object><ETag>&quot;e1&quot;</ETag>"
                    "<Key><![CDATA[<x>]]></Key></Object>\n</Delete>",
                    &d, NULL),
        0);
    assert_true(d.quiet);
    assert_int_equal(d.count, 2);
    assert_string_equal(d.keys[0], " a & b\n"); /* a key keeps its blanks */
    assert_string_equal(d.versions[0], "null");
    assert_null(d.etags[0]);
    assert_string_equal(d.keys[1], "<x>");
    assert_string_equal(d.etags[1], "e1");
    assert_null(d.versions[1]);
    xml_delete_free(&d);
    assert_int_equal(d.count, 0);
    xml_delete_free(&d);
}

static void prefixes_of_namespaces_do_not_matter(void **state)
{
    struct xml_delete d;

    (void)state;
    assert_int_equal(
        read_delete("<s:Delete xmlns:s=\"urn:x\"><s:Object><s:Key>k</s:Key>"
                    "</s:Object></s:Delete>",
                    &d, NULL),
        0);
    assert_string_equal(d.keys[0], "k");
    assert_false(d.quiet);
    xml_delete_free(&d);
}

static void bad_deletes_are_refused(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        "<",
        "text",
        "<Delete>",
        "<Delete/>",
        "<Delete></Delete>",
        "<X/>",
        "<X><Object><Key>k</Key></Object></X>",
        "<Delete><Object/></Delete>",
        "<Delete><Object><Key/></Object></Delete>",
        "<Delete><Object><Key>a</Key><Key>b</Key></Object></Delete>",
        "<Delete><Object><Key>a<i/>b</Key></Object></Delete>",
        "<Delete><Object><Key><i>a</i></Key></Object></Delete>",
        "<Delete><Quiet>yes</Quiet><Object><Key>a</Key></Object></Delete>",
        "<Delete><Object><Key>a</Key></Object></Delete><Delete/>",
        "<Delete><Object><Key>&#0;</Key></Object></Delete>",
        "<Delete><Object><Key>&x;</Key></Object></Delete>",
        "<Delete><Object><Key>a</Key></object></Delete>",
        "<Delete><Object><Key>\xff</Key></Object></Delete>",
        ("<Delete><Object><ETag>a</ETag><ETag>b</ETag><Key>k</Key></Object>"
         "</Delete>"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct xml_delete d;
        struct err err = {{0}};
        if (read_delete(texts[i], &d, &err) != ERR_BAD_INPUT) {
            fail_msg("taken: %s", texts[i]);
        }
        assert_true(err.text[0] != '\0');
        assert_null(d.keys);
    }
}

static void an_error_says_the_line_and_what_was_wrong(void **state)
{
    struct xml_delete d;
    struct err err = {{0}};

    (void)state;
    read_delete("<Delete>\n\n<Object></Object></Delete>", &d, &err);
    assert_string_equal(err.text, "line 3: an Object has no Key");
    read_delete("<Remove/>", &d, &err);
    assert_string_equal(err.text, "line 1: the document must be: Delete");
}

static void conditions_that_we_lack_are_refused_by_name(void **state)
{
    struct xml_delete d;
    struct err err = {{0}};

    (void)state;
    assert_int_equal(
        read_delete("<Delete><Object><Key>k</Key><Size>3</Size></Object>"
                    "</Delete>",
                    &d, &err),
        ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "Size"));
}

static void document_types_and_entity_bombs_are_refused(void **state)
{
    static const char *const texts[] = {
        "<!DOCTYPE Delete><Delete><Object><Key>k</Key></Object></Delete>",
        "<!DOCTYPE Delete SYSTEM \"file:///etc/passwd\"><Delete/>",
        "<!DOCTYPE d [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]>"
        "<Delete><Object><Key>&b;</Key></Object></Delete>",
        "<!DOCTYPE d [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>"
        "<Delete><Object><Key>&x;</Key></Object></Delete>",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct xml_delete d;
        struct err err = {{0}};
        assert_int_equal(read_delete(texts[i], &d, &err), ERR_BAD_INPUT);
        assert_non_null(strstr(err.text, "document type"));
    }
}

/* @count objects with keys of @key_len bytes. */
static int read_many(size_t count, size_t key_len, struct xml_delete *d,
                     struct err *err)
{
    struct buf b = {0};
    char *key = mem_alloc(key_len + 1);
    int rc;

    memset(key, 'k', key_len);
    xml_open(&b, "Delete");
    for (size_t i = 0; i < count; i++) {
        xml_open(&b, "Object");
        xml_text(&b, "Key", key);
        xml_close(&b, "Object");
    }
    xml_close(&b, "Delete");
    rc = xml_read_delete(b.data, b.len, d, err);
    free(key);
    buf_free(&b);
    return rc;
}

static void bounds_hold_to_the_last(void **state)
{
    struct xml_delete d = {0};

    (void)state;
    assert_int_equal(read_many(META_DELETE_MAX, 3, &d, NULL), 0);
    assert_int_equal(d.count, META_DELETE_MAX);
    xml_delete_free(&d);
    assert_int_equal(read_many(META_DELETE_MAX + 1, 3, &d, NULL),
                     ERR_BAD_INPUT);
    assert_int_equal(read_many(1, S3_XML_TEXT_MAX, &d, NULL), 0);
    assert_int_equal(strlen(d.keys[0]), S3_XML_TEXT_MAX);
    xml_delete_free(&d);
    assert_int_equal(read_many(1, S3_XML_TEXT_MAX + 1, &d, NULL),
                     ERR_BAD_INPUT);
}

static void nesting_is_bounded_and_unknown_elements_are_skipped(void **state)
{
    struct xml_delete d;
    struct buf b = {0};

    (void)state;
    for (int depth = S3_XML_DEPTH_MAX - 1; depth <= S3_XML_DEPTH_MAX; depth++) {
        xml_open(&b, "Delete");
        for (int i = 0; i < depth; i++) {
            xml_open(&b, "Key");
        }
        for (int i = 0; i < depth; i++) {
            xml_close(&b, "Key");
        }
        buf_str(&b, "<Object><New>x</New><Key>k</Key></Object></Delete>");
        if (depth < S3_XML_DEPTH_MAX) {
            assert_int_equal(read_delete((char *)b.data, &d, NULL), 0);
            assert_int_equal(d.count, 1);
            xml_delete_free(&d);
        } else {
            assert_int_equal(read_delete((char *)b.data, &d, NULL),
                             ERR_BAD_INPUT);
        }
        buf_free(&b);
    }
}

/* ---- <CompleteMultipartUpload> ---- */

static int read_complete(const char *text, struct xml_complete *out,
                         struct err *err)
{
    *out = (struct xml_complete){0};
    return xml_read_complete(text, strlen(text), out, err);
}

static const char complete[] =
    "<CompleteMultipartUpload " NS
    "><Part><PartNumber>7</PartNumber>"
    "<ETag>\"aa\"</ETag><ChecksumCRC32C>AAAAAA==</ChecksumCRC32C></Part>"
    "<Part><ETag> bb </ETag><ChecksumXXHASH>1</ChecksumXXHASH>"
    "<PartNumber> 10000 </PartNumber></Part>"
    "<Party>unknown</Party></CompleteMultipartUpload>";

static void a_completion_is_read_in_the_order_sent(void **state)
{
    struct xml_complete c;

    (void)state;
    assert_int_equal(read_complete(complete, &c, NULL), 0);
    assert_int_equal(c.count, 2);
    assert_int_equal(c.parts[0].number, 7);
    assert_string_equal(c.parts[0].etag, "aa");
    assert_string_equal(c.checks[0], "x-amz-checksum-crc32c:AAAAAA==");
    assert_int_equal(c.parts[1].number, 10000);
    assert_string_equal(c.parts[1].etag, "bb");
    assert_null(c.checks[1]);
    xml_complete_free(&c);
}

static void bad_completions_are_refused(void **state)
{
#define PART(inside)                         \
    "<CompleteMultipartUpload><Part>" inside \
    "</Part>"                                \
    "</CompleteMultipartUpload>"
    static const char *const texts[] = {
        "",
        "<CompleteMultipartUpload/>",
        "<CompleteMultipartUpload><Party/></CompleteMultipartUpload>",
        PART(""),
        PART("<PartNumber>1</PartNumber>"),
        PART("<ETag>a</ETag>"),
        PART("<PartNumber>0</PartNumber><ETag>a</ETag>"),
        PART("<PartNumber>10001</PartNumber><ETag>a</ETag>"),
        PART("<PartNumber>-1</PartNumber><ETag>a</ETag>"),
        PART("<PartNumber>1x</PartNumber><ETag>a</ETag>"),
        PART("<PartNumber/><ETag>a</ETag>"),
        PART("<PartNumber>99999999999999999999</PartNumber><ETag>a</ETag>"),
        PART("<PartNumber>1</PartNumber><PartNumber>2</PartNumber>"
             "<ETag>a</ETag>"),
        PART("<PartNumber>1</PartNumber><ETag>a</ETag><ETag>b</ETag>"),
        PART("<PartNumber>1</PartNumber><ETag>a</ETag>"
             "<ChecksumSHA1>x</ChecksumSHA1><ChecksumCRC32>y"
             "</ChecksumCRC32>"),
        PART("<PartNumber>1</PartNumber><ETag><b>a</b></ETag>"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct xml_complete c;
        struct err err = {{0}};
        if (read_complete(texts[i], &c, &err) != ERR_BAD_INPUT) {
            fail_msg("taken: %s", texts[i]);
        }
        assert_null(c.parts);
    }
}

static void a_cut_document_is_refused_at_each_byte(void **state)
{
    (void)state;
    for (size_t len = 0; len < sizeof complete - 1; len++) {
        char *cut = mem_dup(complete, len + (len == 0));
        struct xml_complete c = {0};
        assert_int_equal(xml_read_complete(cut, len, &c, NULL), ERR_BAD_INPUT);
        free(cut);
    }
}

static void parts_are_at_most_10000(void **state)
{
    struct buf b = {0};
    struct xml_complete c = {0};

    (void)state;
    for (unsigned count = META_PARTS_MAX; count <= META_PARTS_MAX + 1;
         count++) {
        buf_clear(&b);
        xml_open(&b, "CompleteMultipartUpload");
        for (unsigned i = 1; i <= count; i++) {
            buf_printf(&b,
                       "<Part><PartNumber>%u</PartNumber><ETag>e</ETag>"
                       "</Part>",
                       i > META_PARTS_MAX ? 1 : i);
        }
        xml_close(&b, "CompleteMultipartUpload");
        assert_int_equal(xml_read_complete(b.data, b.len, &c, NULL),
                         count == META_PARTS_MAX ? 0 : ERR_BAD_INPUT);
        assert_int_equal(c.count, count == META_PARTS_MAX ? count : 0);
        xml_complete_free(&c);
    }
    buf_free(&b);
}

/* ---- <CreateBucketConfiguration> ---- */

static int read_create(const char *text, char **location)
{
    *location = NULL;
    return xml_read_create_bucket(text, strlen(text), location, NULL);
}

static void a_location_is_read_and_may_be_missing(void **state)
{
    static const char *const none[] = {
        "",
        " \r\n",
        "<CreateBucketConfiguration/>",
        ("<CreateBucketConfiguration><LocationConstraint/>"
         "</CreateBucketConfiguration>"),
    };
    char *location;

    (void)state;
    assert_int_equal(
        read_create("<CreateBucketConfiguration " NS ">\n"
                    "<LocationConstraint> eu-west-1\n</LocationConstraint>"
                    "</CreateBucketConfiguration>",
                    &location),
        0);
    assert_string_equal(location, "eu-west-1");
    free(location);
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_int_equal(read_create(none[i], &location), 0);
        assert_null(location);
    }
}

static void bad_bucket_configurations_are_refused(void **state)
{
    char *location;

    (void)state;
    assert_int_equal(read_create("<x/>", &location), ERR_BAD_INPUT);
    assert_int_equal(read_create("junk", &location), ERR_BAD_INPUT);
    assert_int_equal(
        read_create("<CreateBucketConfiguration><LocationConstraint>a"
                    "</LocationConstraint><LocationConstraint>b"
                    "</LocationConstraint></CreateBucketConfiguration>",
                    &location),
        ERR_BAD_INPUT);
    assert_int_equal(
        read_create("<CreateBucketConfiguration><Tags><Tag><Key>a</Key>"
                    "</Tag></Tags></CreateBucketConfiguration>",
                    &location),
        ERR_UNSUPPORTED);
    assert_null(location);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_are_written_as_s3_writes_them),
        cmocka_unit_test(text_is_escaped),
        cmocka_unit_test(an_owner_has_an_id_of_64_digits),
        cmocka_unit_test(a_delete_is_read),
        cmocka_unit_test(prefixes_of_namespaces_do_not_matter),
        cmocka_unit_test(bad_deletes_are_refused),
        cmocka_unit_test(an_error_says_the_line_and_what_was_wrong),
        cmocka_unit_test(conditions_that_we_lack_are_refused_by_name),
        cmocka_unit_test(document_types_and_entity_bombs_are_refused),
        cmocka_unit_test(bounds_hold_to_the_last),
        cmocka_unit_test(nesting_is_bounded_and_unknown_elements_are_skipped),
        cmocka_unit_test(a_completion_is_read_in_the_order_sent),
        cmocka_unit_test(bad_completions_are_refused),
        cmocka_unit_test(a_cut_document_is_refused_at_each_byte),
        cmocka_unit_test(parts_are_at_most_10000),
        cmocka_unit_test(a_location_is_read_and_may_be_missing),
        cmocka_unit_test(bad_bucket_configurations_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
