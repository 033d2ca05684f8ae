/* test_s3_cors.c: which pages of other origins may use a bucket.
 *
 * Goal: documents are taken or refused as AWS does; the rule that decides is
 * the first that fits in origin, method and every header.
 * Method: tables of documents with their answers; one document of rules and a
 * table of questions to it.
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
#include "gateway/s3_config.h"
#include "gateway/s3_cors.h"

#define DOC(rules) "<CORSConfiguration>" rules "</CORSConfiguration>"
#define RULE(inside) "<CORSRule>" inside "</CORSRule>"
#define GET_ANY                          \
    "<AllowedMethod>GET</AllowedMethod>" \
    "<AllowedOrigin>*</AllowedOrigin>"

static void documents_are_judged_as_aws_does(void **state)
{
    static const struct {
        const char *text;
        enum s3_error error;
        const char *says;
    } rows[] = {
        {DOC(RULE(GET_ANY)), S3_OK, ""},
        {DOC(RULE(GET_ANY "<ID>x</ID><MaxAgeSeconds> 3000 </MaxAgeSeconds>"
                          "<ExposeHeader>ETag</ExposeHeader>"
                          "<AllowedHeader>x-*</AllowedHeader>")),
         S3_OK, ""},
        {"", S3_MalformedXML, "well-formed"},
        {DOC(""), S3_MalformedXML, "well-formed"},
        {DOC(RULE("")), S3_MalformedXML, "well-formed"},
        {DOC(RULE("<AllowedMethod>GET</AllowedMethod>")), S3_MalformedXML, ""},
        {DOC(RULE("<AllowedOrigin>*</AllowedOrigin>")), S3_MalformedXML, ""},
        {DOC(RULE(GET_ANY "<Other/>")), S3_MalformedXML, ""},
        {DOC(RULE(GET_ANY "<ID>a</ID><ID>b</ID>")), S3_MalformedXML, ""},
        {DOC(RULE(GET_ANY "<MaxAgeSeconds>x</MaxAgeSeconds>")), S3_MalformedXML,
         ""},
        {DOC(RULE(GET_ANY "<MaxAgeSeconds>-1</MaxAgeSeconds>")),
         S3_MalformedXML, ""},
        {DOC(RULE(GET_ANY "<AllowedOrigin></AllowedOrigin>")), S3_MalformedXML,
         ""},
        {DOC(RULE(GET_ANY "<AllowedMethod>PATCH</AllowedMethod>")),
         S3_InvalidRequest, "Unsupported method is PATCH"},
        {DOC(RULE(GET_ANY "<AllowedMethod>get</AllowedMethod>")),
         S3_InvalidRequest, "Unsupported method is get"},
        {DOC(RULE(GET_ANY "<AllowedOrigin>http://*.*</AllowedOrigin>")),
         S3_InvalidRequest, "AllowedOrigin \"http://*.*\" can not have"},
        {DOC(RULE(GET_ANY "<AllowedHeader>**</AllowedHeader>")),
         S3_InvalidRequest, "AllowedHeader \"**\" can not have"},
        {DOC(RULE(GET_ANY "<ExposeHeader>*</ExposeHeader>")), S3_InvalidRequest,
         "contains wildcard"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf b = {0};
        struct err err = {{0}};
        enum s3_error e =
            s3_cors_judge(rows[i].text, strlen(rows[i].text), &b, &err);
        if (e != rows[i].error || strstr(err.text, rows[i].says) == NULL) {
            fail_msg("row %zu: %s: %s", i, s3_error_code(e), err.text);
        }
        buf_free(&b);
    }
}

static enum s3_error many(size_t rules, size_t id_len)
{
    struct buf b = {0};
    struct buf kept = {0};
    enum s3_error e;

    buf_str(&b, "<CORSConfiguration>");
    for (size_t i = 0; i < rules; i++) {
        buf_str(&b, "<CORSRule>" GET_ANY "<ID>");
        for (size_t j = 0; j < id_len; j++) {
            buf_char(&b, 'i');
        }
        buf_str(&b, "</ID></CORSRule>");
    }
    buf_str(&b, "</CORSConfiguration>");
    e = s3_cors_judge(b.data, b.len, &kept, NULL);
    buf_free(&b);
    buf_free(&kept);
    return e;
}

static void limits_are_those_of_aws(void **state)
{
    (void)state;
    assert_int_equal(many(100, 1), S3_OK);
    assert_int_equal(many(101, 1), S3_InvalidRequest);
    assert_int_equal(many(1, 255), S3_OK);
    assert_int_equal(many(1, 256), S3_InvalidArgument);
}

static const char rules[] =
    DOC(RULE("<ID>0</ID><AllowedOrigin>http://a.test</AllowedOrigin>"
             "<AllowedOrigin>http://*.b.test</AllowedOrigin>"
             "<AllowedMethod>PUT</AllowedMethod>"
             "<AllowedMethod>DELETE</AllowedMethod>"
             "<AllowedHeader>x-amz-*</AllowedHeader>"
             "<AllowedHeader>Content-Type</AllowedHeader>")
            RULE("<ID>1</ID><AllowedOrigin>http://a.test</AllowedOrigin>"
                 "<AllowedMethod>PUT</AllowedMethod>"
                 "<AllowedHeader>*</AllowedHeader>")
                RULE("<ID>2</ID><AllowedOrigin>*</AllowedOrigin>"
                     "<AllowedMethod>GET</AllowedMethod>"));

static void the_first_rule_that_fits_decides(void **state)
{
    static const struct {
        const char *origin, *method, *headers;
        const char *rule; /* NULL: none */
    } rows[] = {
        {"http://a.test", "PUT", NULL, "0"},
        {"http://a.test", "PUT", "", "0"},
        {"http://a.test", "PUT", "X-Amz-Date", "0"},
        {"http://a.test", "PUT", "x-amz-date , content-TYPE", "0"},
        {"http://a.test", "PUT", "x-amz-date,range", "1"},
        {"http://a.test", "PUT", " ,x-amz-,,", "0"},
        {"http://a.test", "PUT", "x-amz", "1"},
        {"http://a.test", "DELETE", "range", NULL},
        {"http://A.test", "PUT", NULL, NULL},
        {"https://a.test", "PUT", NULL, NULL},
        {"http://a.test:80", "PUT", NULL, NULL},
        {"http://x.b.test", "PUT", NULL, "0"},
        {"http://.b.test", "PUT", NULL, "0"},
        {"http://b.test", "PUT", NULL, NULL},
        {"http://x.b.test.c", "PUT", NULL, NULL},
        {"http://any", "GET", NULL, "2"},
        {"null", "GET", NULL, "2"},
        {"http://any", "GET", "range", NULL},
        {"http://any", "HEAD", NULL, NULL},
        {"http://any", "get", NULL, NULL},
    };
    struct s3_cors c;

    (void)state;
    assert_int_equal(s3_cors_read(rules, strlen(rules), &c, NULL), S3_OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct s3_cors_rule *r =
            s3_cors_match(&c, rows[i].origin, rows[i].method, rows[i].headers);
        const char *id = r != NULL ? r->id : "none";
        if (strcmp(id, rows[i].rule != NULL ? rows[i].rule : "none") != 0) {
            fail_msg("row %zu: rule %s", i, id);
        }
    }
    assert_false(s3_cors_any_origin(&c.rules[0]));
    assert_true(s3_cors_any_origin(&c.rules[2]));
    s3_cors_free(&c);
}

static void what_is_written_reads_back(void **state)
{
    struct buf first = {0};
    struct buf second = {0};

    (void)state;
    assert_int_equal(s3_cors_judge(rules, strlen(rules), &first, NULL), S3_OK);
    assert_int_equal(s3_cors_judge(first.data, first.len, &second, NULL),
                     S3_OK);
    assert_string_equal((char *)first.data, (char *)second.data);
    assert_non_null(strstr(
        (char *)first.data,
        "<CORSRule><ID>2</ID><AllowedMethod>GET</AllowedMethod>"
        "<AllowedOrigin>*</AllowedOrigin></CORSRule></CORSConfiguration>"));
    buf_free(&first);
    buf_free(&second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_judged_as_aws_does),
        cmocka_unit_test(limits_are_those_of_aws),
        cmocka_unit_test(the_first_rule_that_fits_decides),
        cmocka_unit_test(what_is_written_reads_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
