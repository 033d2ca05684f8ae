/* test_acl.c: what access control lists grant.
 *
 * Goal: canned lists grant what AWS says they do, to whom it says; a list comes
 * back from its coding as it went in, and bytes that are no coding are refused.
 * Method: a table of every canned list by every kind of asker, on buckets and
 * objects; random lists through the coding and against a reference that looks
 * at each grant alone; codings cut and changed byte by byte.
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
#include "policy/acl.h"

#define NONE 0
#define R ACL_READ
#define RW (ACL_READ | ACL_WRITE)
#define FULL ACL_FULL_CONTROL

/* ---- canned ---- */

/* Alice writes; the bucket is of boss (or of alice: a bucket's own list). */
static const struct {
    const char *name;
    unsigned all, signing, boss; /* on an object */
    unsigned bucket_all, bucket_signing;
    bool public;
} canned[] = {
    {"private", NONE, NONE, NONE, NONE, NONE, false},
    {"public-read", R, R, R, R, R, true},
    {"public-read-write", RW, RW, RW, RW, RW, true},
    {"authenticated-read", NONE, R, R, NONE, R, true},
    {"aws-exec-read", NONE, NONE, NONE, NONE, NONE, false},
    {"bucket-owner-read", NONE, NONE, R, NONE, NONE, false},
    {"bucket-owner-full-control", NONE, NONE, FULL, NONE, NONE, false},
    {"log-delivery-write", NONE, NONE, NONE, NONE, NONE, false},
};

static void canned_lists_grant_what_their_names_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof canned / sizeof canned[0]; i++) {
        struct acl a = {.count = 0}, b = {.count = 0};
        const char *name = canned[i].name;
        print_message("%s\n", name);
        assert_int_equal(acl_canned(name, "alice", "boss", &a, NULL), 0);
        assert_int_equal(acl_permissions(&a, NULL, false), canned[i].all);
        assert_int_equal(acl_permissions(&a, "bob", false), canned[i].signing);
        assert_int_equal(acl_permissions(&a, "boss", false), canned[i].boss);
        assert_int_equal(acl_permissions(&a, "alice", false), FULL);
        assert_int_equal(acl_is_public(&a), canned[i].public);
        assert_int_equal(acl_canned(name, "alice", NULL, &b, NULL), 0);
        assert_int_equal(acl_permissions(&b, NULL, false),
                         canned[i].bucket_all);
        assert_int_equal(acl_permissions(&b, "bob", false),
                         canned[i].bucket_signing);
        assert_int_equal(acl_permissions(&b, "alice", false), FULL);
        acl_free(&a);
        acl_free(&b);
    }
}

static void ignored_public_grants_leave_those_to_users(void **state)
{
    struct acl a = {.count = 0};

    (void)state;
    assert_int_equal(acl_canned("public-read-write", "alice", NULL, &a, NULL),
                     0);
    assert_int_equal(acl_add(&a, ACL_READ_ACP, ACL_USER, "bob", NULL), 0);
    assert_int_equal(acl_permissions(&a, "bob", false), RW | ACL_READ_ACP);
    assert_int_equal(acl_permissions(&a, "bob", true), ACL_READ_ACP);
    assert_int_equal(acl_permissions(&a, NULL, true), NONE);
    assert_int_equal(acl_permissions(&a, "alice", true), FULL);
    acl_free(&a);
}

static void a_list_of_the_bucket_owners_grants_it_nothing_more(void **state)
{
    struct acl a = {.count = 0};

    (void)state;
    assert_int_equal(
        acl_canned("bucket-owner-full-control", "boss", "boss", &a, NULL), 0);
    assert_int_equal(a.count, 1);
    assert_false(acl_grants_others(&a, "boss"));
    assert_true(acl_grants_others(&a, "alice"));
    acl_free(&a);
    assert_int_equal(acl_canned("log-delivery-write", "boss", NULL, &a, NULL),
                     0);
    assert_int_equal(a.count, 3);
    assert_true(acl_grants_others(&a, "boss"));
    acl_free(&a);
}

static void a_canned_list_that_is_not_there_is_refused(void **state)
{
    static const char *const bad[] = {"", "Private", "public", "full"};
    struct acl a = {.count = 0};
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(acl_canned(bad[i], "alice", NULL, &a, &err),
                         ERR_BAD_INPUT);
        assert_null(a.grants);
    }
    assert_non_null(strstr(err.text, "full"));
}

/* ---- making ---- */

static void a_list_has_a_hundred_grants_and_each_once(void **state)
{
    struct acl a = {.count = 0};
    char name[16];

    (void)state;
    acl_begin(&a, "alice");
    for (int i = 0; i < ACL_GRANTS_MAX; i++) {
        snprintf(name, sizeof name, "user%d", i);
        assert_int_equal(acl_add(&a, ACL_READ, ACL_USER, name, NULL), 0);
        assert_int_equal(acl_add(&a, ACL_READ, ACL_USER, name, NULL), 0);
    }
    assert_int_equal(a.count, ACL_GRANTS_MAX);
    assert_int_equal(acl_add(&a, ACL_READ, ACL_ALL_USERS, NULL, NULL),
                     ERR_LIMIT);
    assert_int_equal(acl_add(&a, ACL_READ, ACL_USER, "user7", NULL), 0);
    assert_int_equal(a.count, ACL_GRANTS_MAX);
    acl_free(&a);
}

static void a_name_that_no_line_holds_is_refused(void **state)
{
    char long_name[ACL_NAME_MAX + 2];
    struct acl a = {.count = 0};

    (void)state;
    memset(long_name, 'x', sizeof long_name);
    long_name[sizeof long_name - 1] = '\0';
    acl_begin(&a, "alice");
    assert_int_equal(acl_add(&a, ACL_READ, ACL_USER, "", NULL), ERR_BAD_INPUT);
    assert_int_equal(acl_add(&a, ACL_READ, ACL_USER, "a\nb", NULL),
                     ERR_BAD_INPUT);
    assert_int_equal(acl_add(&a, ACL_READ, ACL_USER, long_name, NULL),
                     ERR_BAD_INPUT);
    long_name[ACL_NAME_MAX] = '\0';
    assert_int_equal(acl_add(&a, ACL_READ, ACL_USER, long_name, NULL), 0);
    acl_free(&a);
}

static void names_go_there_and_back(void **state)
{
    static const unsigned all[] = {ACL_READ, ACL_WRITE, ACL_READ_ACP,
                                   ACL_WRITE_ACP, ACL_FULL_CONTROL};

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(acl_permission_of(acl_permission_name(all[i])),
                         all[i]);
    }
    assert_int_equal(acl_permission_of("read"), 0);
    for (int g = ACL_ALL_USERS; g <= ACL_LOG_DELIVERY; g++) {
        assert_int_equal(acl_group_of(acl_group_uri((enum acl_grantee)g)), g);
    }
    assert_int_equal(acl_group_of("http://acs.amazonaws.com/groups/"),
                     ACL_USER);
    assert_string_equal(acl_group_uri(ACL_ALL_USERS),
                        "http://acs.amazonaws.com/groups/global/AllUsers");
}

/* ---- the coding ---- */

static void expect_same(const struct acl *a, const struct acl *b)
{
    assert_string_equal(a->owner, b->owner);
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        assert_int_equal(a->grants[i].permission, b->grants[i].permission);
        assert_int_equal(a->grants[i].grantee, b->grants[i].grantee);
        assert_string_equal(a->grants[i].name, b->grants[i].name);
    }
}

static void the_coding_is_what_the_header_says(void **state)
{
    static const char want[] = "1\nalice\nfualice\nra\nws\ngl\npubob\n";
    struct acl a = {.count = 0}, b = {.count = 0};
    struct buf text = {0};

    (void)state;
    acl_begin(&a, "alice");
    acl_add(&a, ACL_FULL_CONTROL, ACL_USER, "alice", NULL);
    acl_add(&a, ACL_READ, ACL_ALL_USERS, NULL, NULL);
    acl_add(&a, ACL_WRITE, ACL_AUTHENTICATED_USERS, NULL, NULL);
    acl_add(&a, ACL_READ_ACP, ACL_LOG_DELIVERY, NULL, NULL);
    acl_add(&a, ACL_WRITE_ACP, ACL_USER, "bob", NULL);
    acl_encode(&a, &text);
    assert_string_equal((char *)text.data, want);
    assert_int_equal(acl_decode(want, sizeof want - 1, &b, NULL), 0);
    expect_same(&a, &b);
    acl_free(&a);
    acl_free(&b);
    buf_free(&text);
}

static void what_is_no_coding_is_refused(void **state)
{
    static const char *const bad[] = {
        "",           "1",
        "1\n",        "1\n\n",
        "2\nalice\n", "1\nalice",
        "1\na\nra",   "1\na\nr\n",
        "1\na\n\n",   "1\na\nxa\n",
        "1\na\nrx\n", "1\na\nrabob\n",
        "1\na\nru\n", "1\na\nra\nra\n",
    };
    struct acl a = {.count = 0};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(acl_decode(bad[i], strlen(bad[i]), &a, NULL),
                         ERR_CORRUPT);
        assert_null(a.grants);
    }
    assert_int_equal(acl_decode("1\na\0b\n", 6, &a, NULL), ERR_CORRUPT);
}

static unsigned seed = 1;

static unsigned draw(unsigned below)
{
    seed = seed * 1103515245u + 12345u;
    return (seed >> 16) % below;
}

static const char *const people[] = {"alice", "bob", "carol", "boss"};

static void draw_list(struct acl *a)
{
    static const unsigned all[] = {ACL_READ, ACL_WRITE, ACL_READ_ACP,
                                   ACL_WRITE_ACP, ACL_FULL_CONTROL};
    unsigned n = draw(12);

    acl_begin(a, people[draw(4)]);
    for (unsigned i = 0; i < n; i++) {
        acl_add(a, all[draw(5)], (enum acl_grantee)draw(4), people[draw(4)],
                NULL);
    }
}

/* What one grant alone gives. */
static unsigned reference(const struct acl *a, const char *user, bool ignore)
{
    unsigned set = user != NULL && strcmp(user, a->owner) == 0 ? 15 : 0;

    for (size_t i = 0; i < a->count; i++) {
        const struct acl_grant *g = &a->grants[i];
        if (g->grantee == ACL_USER && user != NULL &&
            strcmp(user, g->name) == 0) {
            set |= g->permission;
        }
        if (g->grantee == ACL_ALL_USERS && !ignore) {
            set |= g->permission;
        }
        if (g->grantee == ACL_AUTHENTICATED_USERS && !ignore && user != NULL) {
            set |= g->permission;
        }
    }
    return set;
}

static void random_lists_come_back_and_judge_alike(void **state)
{
    (void)state;
    for (int i = 0; i < 3000; i++) {
        struct acl a = {.count = 0}, b = {.count = 0};
        struct buf text = {0};
        draw_list(&a);
        acl_encode(&a, &text);
        assert_int_equal(acl_decode(text.data, text.len, &b, NULL), 0);
        expect_same(&a, &b);
        for (int who = 0; who < 5; who++) {
            const char *user = who < 4 ? people[who] : NULL;
            for (int ignore = 0; ignore < 2; ignore++) {
                assert_int_equal(acl_permissions(&b, user, ignore != 0),
                                 reference(&a, user, ignore != 0));
            }
        }
        acl_free(&a);
        acl_free(&b);
        buf_free(&text);
    }
}

static void changed_codings_are_refused_or_make_lists(void **state)
{
    (void)state;
    for (int i = 0; i < 3000; i++) {
        struct acl a = {.count = 0}, b = {.count = 0};
        struct buf text = {0}, again = {0};
        draw_list(&a);
        acl_encode(&a, &text);
        text.data[draw((unsigned)text.len)] = (uint8_t)draw(256);
        text.len -= draw(3);
        if (acl_decode(text.data, text.len, &b, NULL) == 0) {
            acl_encode(&b, &again); /* one coding for each list */
            assert_int_equal(again.len, text.len);
            assert_memory_equal(again.data, text.data, text.len);
        }
        acl_free(&a);
        acl_free(&b);
        buf_free(&text);
        buf_free(&again);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(canned_lists_grant_what_their_names_say),
        cmocka_unit_test(ignored_public_grants_leave_those_to_users),
        cmocka_unit_test(a_list_of_the_bucket_owners_grants_it_nothing_more),
        cmocka_unit_test(a_canned_list_that_is_not_there_is_refused),
        cmocka_unit_test(a_list_has_a_hundred_grants_and_each_once),
        cmocka_unit_test(a_name_that_no_line_holds_is_refused),
        cmocka_unit_test(names_go_there_and_back),
        cmocka_unit_test(the_coding_is_what_the_header_says),
        cmocka_unit_test(what_is_no_coding_is_refused),
        cmocka_unit_test(random_lists_come_back_and_judge_alike),
        cmocka_unit_test(changed_codings_are_refused_or_make_lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
