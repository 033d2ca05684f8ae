/* test_s3_acl.c: access control lists as documents and headers.
 *
 * Goal: a list goes into a document and comes back; documents and headers that
 * are not S3's are refused with the code AWS answers, whole.
 * Method: a world of three users, known by ids that are made of one digit; each
 * bad document beside a good one that differs in the one place; random lists
 * through the document.
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
#include "gateway/access.h"
#include "gateway/s3_acl.h"

static const char *const people[] = {"alice", "bob", "carol"};

/* @arg NULL: nothing can be told. */
static int find(void *arg, const char *id, char name[ACL_NAME_MAX + 1],
                struct err *err)
{
    char known[65];

    if (arg == NULL) {
        return err_set(err, ERR_UNAVAILABLE, "no majority");
    }
    for (size_t i = 0; i < 3; i++) {
        access_canonical_id(people[i], known);
        if (strcmp(known, id) == 0) {
            snprintf(name, ACL_NAME_MAX + 1, "%s", people[i]);
            return 0;
        }
    }
    return err_set(err, ERR_NOT_FOUND, "nobody");
}

static int something;
static const struct s3_acl_names names = {find, &something};

static const char *id_of(const char *name)
{
    static char ids[4][65];
    static int at;

    at = (at + 1) % 4;
    access_canonical_id(name, ids[at]);
    return ids[at];
}

/* ---- documents ---- */

#define GRANT(grantee, permission)                                       \
    "<Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-inst"  \
    "ance\" xsi:type=\"x\">" grantee "</Grantee><Permission>" permission \
    "</Permission></Grant>"
#define ALL "<URI>http://acs.amazonaws.com/groups/global/AllUsers</URI>"
#define ALICE "<ID>%1$s</ID><DisplayName>any</DisplayName>"
#define OWNER "<Owner>" ALICE "</Owner>"
#define DOC(owner, list)                                              \
    "<AccessControlPolicy xmlns=\"http://s3.amazonaws.com/doc/2006-0" \
    "3-01/\">" owner "<AccessControlList>" list                       \
    "</AccessControlList>"                                            \
    "</AccessControlPolicy>"

static enum s3_error read_doc(const char *format, struct acl *out)
{
    struct buf text = {0};
    struct err err = {{0}};
    enum s3_error e;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
    buf_printf(&text, format, id_of("alice"), id_of("bob"));
#pragma GCC diagnostic pop
    e = s3_acl_read(text.data, text.len, &names, out, &err);
    if (e != S3_OK) {
        assert_true(err.text[0] != '\0');
        assert_null(out->grants);
    }
    buf_free(&text);
    return e;
}

static void documents_are_taken_or_refused_by_their_code(void **state)
{
    static const struct {
        const char *text;
        enum s3_error error;
        size_t count;
    } rows[] = {
        {DOC(OWNER, ""), S3_OK, 0},
        {DOC(OWNER, GRANT(ALICE, "FULL_CONTROL")), S3_OK, 1},
        {DOC(OWNER, GRANT("<ID> %2$s </ID>", "READ")), S3_OK, 1},
        {DOC(OWNER, GRANT(ALL, "READ") GRANT(ALL, "WRITE")), S3_OK, 2},
        {DOC(OWNER, GRANT(ALL, "READ") GRANT(ALL, "READ")), S3_OK, 1},
        {DOC(OWNER, GRANT(ALL, "read")), S3_MalformedACLError, 0},
        {DOC(OWNER, GRANT(ALL, "")), S3_MalformedACLError, 0},
        {DOC(OWNER, GRANT(ALL ALICE, "READ")), S3_MalformedACLError, 0},
        {DOC(OWNER, GRANT("", "READ")), S3_MalformedACLError, 0},
        {DOC(OWNER, GRANT("<Name>bob</Name>", "READ")), S3_MalformedACLError,
         0},
        {DOC(OWNER, "<Grant></Grant>"), S3_MalformedACLError, 0},
        {DOC(OWNER, "<Other/>"), S3_MalformedACLError, 0},
        {DOC("", GRANT(ALL, "READ")), S3_MalformedACLError, 0},
        {DOC("<Owner/>", ""), S3_MalformedACLError, 0},
        {DOC(OWNER OWNER, ""), S3_MalformedACLError, 0},
        {DOC("<Owner><ID>alice</ID></Owner>", ""), S3_InvalidArgument, 0},
        {DOC(OWNER, GRANT("<ID>%1$.63s</ID>", "READ")), S3_InvalidArgument, 0},
        {DOC(OWNER, GRANT("<ID>bob</ID>", "READ")), S3_InvalidArgument, 0},
        {DOC(OWNER, GRANT("<URI>http://other</URI>", "READ")),
         S3_InvalidArgument, 0},
        {DOC(OWNER, GRANT("<EmailAddress>a@b.c</EmailAddress>", "READ")),
         S3_UnresolvableGrantByEmailAddress, 0},
        {"<AccessControlPolicy>" OWNER "</AccessControlPolicy>",
         S3_MalformedACLError, 0},
        {"<Other/>", S3_MalformedACLError, 0},
        {"<AccessControlPolicy>", S3_MalformedACLError, 0},
        {"", S3_MalformedACLError, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct acl a = {.count = 0};
        enum s3_error e = read_doc(rows[i].text, &a);
        if (e != rows[i].error || a.count != rows[i].count) {
            print_error("row %zu: %s, %zu grants\n", i, s3_error_code(e),
                        a.count);
            fail();
        }
        if (e == S3_OK) {
            assert_string_equal(a.owner, "alice");
        }
        acl_free(&a);
    }
}

static void over_a_hundred_grants_are_refused(void **state)
{
    struct acl a = {.count = 0}, b = {.count = 0};
    struct buf text = {0};
    struct err err;
    char *list;

    (void)state;
    acl_begin(&a, "alice");
    for (size_t i = 0; i < ACL_GRANTS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%zu", i);
        acl_add(&a, ACL_READ, ACL_USER, name, NULL);
    }
    /* Nobody has these ids: the grants must be counted of known ones. */
    s3_acl_write(&a, &text);
    assert_int_equal(s3_acl_read(text.data, text.len, &names, &b, &err),
                     S3_InvalidArgument);
    list = strstr((char *)text.data, "<Grant>");
    assert_non_null(list);
    acl_free(&a);
    acl_begin(&a, "alice");
    for (size_t i = 0; i < ACL_GRANTS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%zu", i);
        acl_add(&a, ACL_READ, ACL_USER, name, NULL);
    }
    buf_clear(&text);
    buf_printf(&text, "id=%s", id_of("bob"));
    assert_int_equal(
        s3_acl_grant(&a, ACL_WRITE, (char *)text.data, &names, &err),
        S3_MalformedACLError);
    assert_non_null(strstr(err.text, "100"));
    acl_free(&a);
    buf_free(&text);
}

static unsigned seed = 7;

static unsigned draw(unsigned below)
{
    seed = seed * 1103515245u + 12345u;
    return (seed >> 16) % below;
}

static void random_lists_come_back_from_their_documents(void **state)
{
    static const unsigned all[] = {ACL_READ, ACL_WRITE, ACL_READ_ACP,
                                   ACL_WRITE_ACP, ACL_FULL_CONTROL};

    (void)state;
    for (int i = 0; i < 300; i++) {
        struct acl a = {.count = 0}, b = {.count = 0};
        struct buf text = {0}, again = {0};
        acl_begin(&a, people[draw(3)]);
        for (unsigned n = draw(10); n > 0; n--) {
            acl_add(&a, all[draw(5)], (enum acl_grantee)draw(4),
                    people[draw(3)], NULL);
        }
        s3_acl_write(&a, &text);
        assert_int_equal(s3_acl_read(text.data, text.len, &names, &b, NULL),
                         S3_OK);
        s3_acl_write(&b, &again);
        assert_string_equal((char *)text.data, (char *)again.data);
        assert_int_equal(a.count, b.count);
        acl_free(&a);
        acl_free(&b);
        buf_free(&text);
        buf_free(&again);
    }
}

static void a_document_is_as_s3_writes_it(void **state)
{
    struct acl a = {.count = 0};
    struct buf text = {0}, want = {0};

    (void)state;
    assert_int_equal(acl_canned("public-read", "bob", NULL, &a, NULL), 0);
    s3_acl_write(&a, &text);
    buf_printf(
        &want,
        "<AccessControlPolicy xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/"
        "\"><Owner><ID>%1$s</ID><DisplayName>bob</DisplayName></Owner>"
        "<AccessControlList><Grant><Grantee xmlns:xsi=\"http://www.w3.org/2001"
        "/XMLSchema-instance\" xsi:type=\"CanonicalUser\"><ID>%1$s</ID>"
        "<DisplayName>bob</DisplayName></Grantee><Permission>FULL_CONTROL"
        "</Permission></Grant><Grant><Grantee xmlns:xsi=\"http://www.w3.org/"
        "2001/XMLSchema-instance\" xsi:type=\"Group\"><URI>http://acs.amazona"
        "ws.com/groups/global/AllUsers</URI></Grantee><Permission>READ"
        "</Permission></Grant></AccessControlList></AccessControlPolicy>",
        id_of("bob"));
    assert_string_equal((char *)text.data, (char *)want.data);
    acl_free(&a);
    buf_free(&text);
    buf_free(&want);
}

static void who_cannot_be_told_is_no_answer(void **state)
{
    static const struct s3_acl_names silent = {find, NULL};
    struct acl a = {.count = 0};
    struct buf text = {0};

    (void)state;
    acl_begin(&a, "alice");
    s3_acl_write(&a, &text);
    acl_free(&a);
    assert_int_equal(s3_acl_read(text.data, text.len, &silent, &a, NULL),
                     s3_error_of(ERR_UNAVAILABLE));
    buf_free(&text);
}

/* ---- headers ---- */

#define ALL_URI "http://acs.amazonaws.com/groups/global/AllUsers"

static void headers_are_taken_or_refused_by_their_code(void **state)
{
    static const struct {
        const char *value; /* %1$s, %2$s: ids of alice and bob */
        enum s3_error error;
        size_t count;
    } rows[] = {
        {"id=%1$s", S3_OK, 1},
        {"id=\"%1$s\"", S3_OK, 1},
        {"ID = \"%1$s\" , Id=%2$s", S3_OK, 2},
        {"id=%1$s,id=%1$s", S3_OK, 1},
        {"uri=\"" ALL_URI "\",id=\"%2$s\"", S3_OK, 2},
        {"uri=" ALL_URI, S3_OK, 1},
        {"emailAddress=\"a@b.c\"", S3_UnresolvableGrantByEmailAddress, 0},
        {"id=%1$s,emailAddress=x", S3_UnresolvableGrantByEmailAddress, 1},
        {"id=bob", S3_InvalidArgument, 0},
        {"uri=\"http://other\"", S3_InvalidArgument, 0},
        {"name=bob", S3_InvalidArgument, 0},
        {"", S3_InvalidArgument, 0},
        {"id", S3_InvalidArgument, 0},
        {"id=", S3_InvalidArgument, 0},
        {"id=\"\"", S3_InvalidArgument, 0},
        {"id=\"%1$s", S3_InvalidArgument, 0},
        {"id=%1$s\"", S3_InvalidArgument, 0},
        {"id=%1$s id=%2$s", S3_InvalidArgument, 0},
        {"id=%1$s,", S3_InvalidArgument, 1},
        {"%1$s", S3_InvalidArgument, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct acl a = {.count = 0};
        struct buf text = {0};
        struct err err = {{0}};
        enum s3_error e;
        buf_str(&text, "");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
        buf_printf(&text, rows[i].value, id_of("alice"), id_of("bob"));
#pragma GCC diagnostic pop
        acl_begin(&a, "carol");
        e = s3_acl_grant(&a, ACL_READ,
                         text.data != NULL ? (char *)text.data : "", &names,
                         &err);
        if (e != rows[i].error || a.count != rows[i].count) {
            print_error("row %zu: %s, %zu grants\n", i, s3_error_code(e),
                        a.count);
            fail();
        }
        acl_free(&a);
        buf_free(&text);
    }
}

static void headers_have_the_permissions_of_their_names(void **state)
{
    (void)state;
    assert_int_equal(s3_acl_header("X-Amz-Grant-Read"), ACL_READ);
    assert_int_equal(s3_acl_header("x-amz-grant-write"), ACL_WRITE);
    assert_int_equal(s3_acl_header("x-amz-grant-read-acp"), ACL_READ_ACP);
    assert_int_equal(s3_acl_header("x-amz-grant-write-acp"), ACL_WRITE_ACP);
    assert_int_equal(s3_acl_header("x-amz-grant-full-control"),
                     ACL_FULL_CONTROL);
    assert_int_equal(s3_acl_header("x-amz-grant-all"), 0);
    assert_int_equal(s3_acl_header("x-amz-acl"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_taken_or_refused_by_their_code),
        cmocka_unit_test(over_a_hundred_grants_are_refused),
        cmocka_unit_test(random_lists_come_back_from_their_documents),
        cmocka_unit_test(a_document_is_as_s3_writes_it),
        cmocka_unit_test(who_cannot_be_told_is_no_answer),
        cmocka_unit_test(headers_are_taken_or_refused_by_their_code),
        cmocka_unit_test(headers_have_the_permissions_of_their_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
