/* test_xml_walk.c: elements of small documents, and what is refused.
 *
 * Goal: every element is told with path and text, in order; bombs and broken
 * documents are ERR_BAD_INPUT.
 * Method: the calls are written down as text and compared.
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
#include "client/xml_walk.h"

static int write_down(void *arg, const char *path, const char *text,
                      struct err *err)
{
    (void)err;
    buf_printf(arg, "%s%s%s\n", path, text != NULL ? "=" : " {",
               text != NULL ? text : "");
    return 0;
}

static void expect_walk(const char *xml, const char *seen)
{
    struct buf b = {0};
    struct err err = {{0}};
    int rc = xml_walk(xml, strlen(xml), write_down, &b, &err);

    if (rc != 0) {
        fail_msg("%s: %s", xml, err.text);
    }
    assert_string_equal((char *)b.data, seen);
    buf_free(&b);
}

static void elements_are_told_in_order(void **state)
{
    (void)state;
    expect_walk("<a/>", "a {\na=\n");
    expect_walk(
        "<?xml version='1.0' encoding='UTF-8'?>\n"
        "<L xmlns=\"http://x/\"><K>one</K><K>t&amp;&#x77;o</K>"
        "<D><K/></D></L>",
        "L {\nL/K {\nL/K=one\nL/K {\nL/K=t&wo\nL/D {\nL/D/K {\n"
        "L/D/K=\nL/D=\nL=\n");
}

static void text_is_an_elements_own(void **state)
{
    (void)state;
    expect_walk("<a>1<b>2</b>3</a>", "a {\na/b {\na/b=2\na=13\n");
    expect_walk("<a><b>x</b><b></b></a>",
                "a {\na/b {\na/b=x\na/b {\na/b=\na=\n");
    expect_walk("<a><![CDATA[<x>]]></a>", "a {\na=<x>\n");
}

static void expect_refused(const char *xml, size_t len, const char *why)
{
    struct buf b = {0};
    struct err err = {{0}};
    int rc = xml_walk(xml, len, write_down, &b, &err);

    if (rc != ERR_BAD_INPUT || strstr(err.text, why) == NULL) {
        fail_msg("%.60s: %s: %s", xml, err_name(rc), err.text);
    }
    buf_free(&b);
}

static void broken_documents_are_refused(void **state)
{
    static const char *const cases[] = {
        "",         "text",          "<a>",      "<a></b>",
        "<a/><b/>", "<a>&nope;</a>", "<a b=c/>", "<a>\x01</a>",
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect_refused(cases[i], strlen(cases[i]), "XML: line 1");
    }
    expect_refused("<a>\0</a>", 8, "XML");
}

static void document_types_are_refused(void **state)
{
    static const char bomb[] =
        "<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>";
    static const char outside[] =
        "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>";

    (void)state;
    expect_refused(bomb, sizeof bomb - 1, "document type");
    expect_refused(outside, sizeof outside - 1, "document type");
}

static void bounds_hold(void **state)
{
    struct buf b = {0};

    (void)state;
    for (unsigned i = 0; i <= XML_WALK_DEPTH_MAX; i++) {
        buf_str(&b, "<a>");
    }
    expect_refused((char *)b.data, b.len, "too deep");
    buf_clear(&b);
    buf_str(&b, "<a>");
    for (size_t i = 0; i <= XML_WALK_TEXT_MAX; i++) {
        buf_char(&b, 'x');
    }
    buf_str(&b, "</a>");
    expect_refused((char *)b.data, b.len, "too long");
    buf_free(&b);
}

static int stop_at_b(void *arg, const char *path, const char *text,
                     struct err *err)
{
    int *calls = arg;

    (void)text;
    (*calls)++;
    return strcmp(path, "a/b") == 0 ? err_set(err, ERR_FULL, "enough") : 0;
}

static void the_caller_may_stop(void **state)
{
    static const char xml[] = "<a><b><c/></b><d/></a>";
    int calls = 0;
    struct err err;

    (void)state;
    assert_int_equal(xml_walk(xml, sizeof xml - 1, stop_at_b, &calls, &err),
                     ERR_FULL);
    assert_string_equal(err.text, "enough");
    assert_int_equal(calls, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_are_told_in_order),
        cmocka_unit_test(text_is_an_elements_own),
        cmocka_unit_test(broken_documents_are_refused),
        cmocka_unit_test(document_types_are_refused),
        cmocka_unit_test(bounds_hold),
        cmocka_unit_test(the_caller_may_stop),
    };

    return cmocka_run_group_tests_name("xml_walk", tests, NULL, NULL);
}
