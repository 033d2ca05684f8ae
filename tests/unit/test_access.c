/* test_access.c: users and buckets as requests are judged by them.
 *
 * Goal: what is kept is not older than the catalogue; what cannot be read lets
 * nobody in.
 * Method: a catalogue of its own, under a gateway that is nothing more.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/access.h"
#include "gateway/gateway_internal.h"
#include "meta/meta_device.h"
#include "tests/lib/meta_store.h"
#include "tests/lib/temp_dir.h"

static const char allow[] =
    "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\","
    "\"Principal\":\"*\",\"Action\":\"s3:*\",\"Resource\":\"*\"}]}";

struct world {
    char *dir;
    struct gateway g;
};

static int setup(void **state)
{
    struct world *w = mem_alloc(sizeof *w);

    w->dir = temp_dir_new();
    w->g.meta = must_open(w->dir);
    w->g.access = access_new();
    w->g.access_key = mem_strdup("ROOT");
    access_set_root(w->g.access, "ROOT", "root-secret");
    atomic_store(&w->g.ready, true);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    access_free(w->g.access);
    meta_close(w->g.meta);
    temp_dir_free(w->dir);
    free(w->g.access_key);
    free(w);
    return 0;
}

static void tell(struct world *w, struct buf *command)
{
    assert_int_equal(meta_propose_wait(w->g.meta, command, NULL, NULL), 0);
    buf_clear(command);
}

static void add_user(struct world *w, const char *name, const char *key,
                     const char *policy)
{
    struct buf b = {0};

    command_user_put(&b, name, true, policy, strlen(policy), 1);
    tell(w, &b);
    command_key_put(&b, name, key, "secret-secret", 1);
    tell(w, &b);
    buf_free(&b);
}

static void set_config(struct world *w, enum meta_config_kind kind,
                       const char *text)
{
    struct buf b = {0};

    command_bucket_config(&b, "b", kind, text, strlen(text));
    tell(w, &b);
    buf_free(&b);
}

static void set_policy(struct world *w, const char *text)
{
    set_config(w, META_CONFIG_POLICY, text);
}

static void root_and_users_are_known_by_their_keys(void **state)
{
    struct world *w = *state;
    struct access_user *u;
    struct err err;

    assert_int_equal(access_user(&w->g, "ROOT", &u, &err), 0);
    assert_true(u->root);
    assert_string_equal(u->secret_key, "root-secret");
    access_user_free(u);
    assert_int_equal(access_user(&w->g, "ANN", &u, &err), ERR_NOT_FOUND);
    assert_null(u);
    add_user(w, "ann", "ANN", "");
    assert_int_equal(access_user(&w->g, "ANN", &u, &err), 0);
    assert_false(u->root);
    assert_string_equal(u->name, "ann");
    assert_string_equal(u->secret_key, "secret-secret");
    assert_null(u->policy);
    access_user_free(u);
    atomic_store(&w->g.ready, false);
    assert_int_equal(access_user(&w->g, "ANN", &u, &err), ERR_UNAVAILABLE);
    assert_int_equal(access_user(&w->g, "ROOT", &u, &err), 0);
    access_user_free(u);
}

static void what_was_taken_away_is_gone_at_once_but_for_who_holds_it(
    void **state)
{
    struct world *w = *state;
    struct access_user *u, *again;
    struct buf b = {0};
    struct err err;

    add_user(w, "ann", "ANN", "");
    assert_int_equal(access_user(&w->g, "ANN", &u, &err), 0);
    assert_int_equal(access_user(&w->g, "ANN", &again, &err), 0);
    assert_ptr_equal(u, again); /* kept */
    access_user_free(again);
    command_key_remove(&b, "ANN");
    tell(w, &b);
    assert_int_equal(access_user(&w->g, "ANN", &again, &err), ERR_NOT_FOUND);
    assert_int_equal(access_user(&w->g, "ANN", &again, &err), ERR_NOT_FOUND);
    assert_string_equal(u->name, "ann");
    access_user_free(u);
    buf_free(&b);
}

/* Its user would otherwise be as one without a policy, who may do more. */
static void a_key_whose_users_policy_cannot_be_read_is_no_key(void **state)
{
    struct world *w = *state;
    struct access_user *u;
    struct err err;

    add_user(w, "ann", "ANN", "{\"Statement\":");
    assert_int_equal(access_user(&w->g, "ANN", &u, &err), ERR_NOT_FOUND);
    assert_null(u);
}

static void a_bucket_is_as_it_was_told_last(void **state)
{
    struct world *w = *state;
    struct access_bucket *b, *again;
    struct err err;

    assert_int_equal(access_bucket(&w->g, "b", &b, &err), ERR_NO_BUCKET);
    assert_null(b);
    bucket_create(w->g.meta, "b");
    assert_int_equal(access_bucket(&w->g, "b", &b, &err), 0);
    assert_string_equal(b->owner, "me");
    assert_null(b->policy);
    assert_int_equal(access_bucket(&w->g, "b", &again, &err), 0);
    assert_ptr_equal(b, again);
    access_bucket_free(again);
    access_bucket_free(b);
    set_policy(w, allow);
    assert_int_equal(access_bucket(&w->g, "b", &b, &err), 0);
    assert_non_null(b->policy);
    assert_true(b->policy_public);
    assert_false(b->unreadable);
    access_bucket_free(b);
}

static void a_policy_that_cannot_be_read_is_told_apart_from_none(void **state)
{
    struct world *w = *state;
    struct access_bucket *b;
    struct err err;

    bucket_create(w->g.meta, "b");
    set_policy(w, "{}");
    assert_int_equal(access_bucket(&w->g, "b", &b, &err), 0);
    assert_null(b->policy);
    assert_true(b->unreadable);
    access_bucket_free(b);
}

/* By a code of its own letters. */
static void put_device(struct world *w, const char *name, const char *policy)
{
    uint8_t code[META_CODE_HASH] = {0};
    struct buf b = {0};

    memcpy(code, name, strlen(name));
    command_device_put(&b, name, policy, strlen(policy), "{}", 2, code, 1000,
                       1);
    tell(w, &b);
    buf_free(&b);
}

/* By a key of the same; gives its number. */
static uint64_t enroll(struct world *w, const char *name)
{
    struct meta_proposal p = {.codes = NULL};
    uint8_t code[META_CODE_HASH] = {0}, key[META_FINGERPRINT] = {0};
    struct buf b = {0};

    memcpy(code, name, strlen(name));
    memcpy(key, name, strlen(name));
    command_device_enroll(&b, code, key, 2);
    assert_int_equal(meta_propose_wait(w->g.meta, &b, &p, NULL), 0);
    buf_free(&b);
    return p.body;
}

static void a_device_is_who_its_row_says_until_it_is_revoked(void **state)
{
    static const char policy[] =
        "{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"s3:PutObject\","
        "\"Resource\":\"arn:aws:s3:::b/dev1/*\"}]}";
    struct world *w = *state;
    struct access_user *u, *held;
    struct buf b = {0};
    struct err err;
    uint64_t number;

    put_device(w, "dev1", policy);
    number = enroll(w, "dev1");
    assert_int_equal(access_device(&w->g, number, &u, NULL), 0);
    assert_string_equal(u->name, "device/dev1");
    assert_non_null(strstr(u->arn, ":user/device/dev1"));
    assert_int_equal(u->device, number);
    assert_memory_equal(u->key, "dev1\0", 5);
    assert_non_null(u->policy);
    held = u; /* a request under way keeps it */
    assert_int_equal(access_device(&w->g, number + 1, &u, &err), ERR_NOT_FOUND);
    assert_int_equal(access_device(&w->g, 0, &u, &err), ERR_NOT_FOUND);
    command_device_revoke(&b, "dev1", 3);
    tell(w, &b);
    assert_int_equal(access_device(&w->g, number, &u, &err), ERR_NOT_FOUND);
    assert_string_equal(held->name, "device/dev1");
    access_user_free(held);
    buf_free(&b);
}

static void a_device_whose_policy_cannot_be_read_is_nobody(void **state)
{
    struct world *w = *state;
    struct access_user *u;
    uint64_t number;

    put_device(w, "dev2", "no policy");
    number = enroll(w, "dev2");
    assert_int_equal(access_device(&w->g, number, &u, NULL), ERR_NOT_FOUND);
    assert_null(u);
    atomic_store(&w->g.ready, false);
    assert_int_equal(access_device(&w->g, number, &u, NULL), ERR_UNAVAILABLE);
}

static void devices_are_found_by_key_and_codes_until_they_are_used(void **state)
{
    struct world *w = *state;
    uint8_t code[META_CODE_HASH] = "dev3", key[META_FINGERPRINT] = "dev3";
    struct meta_device d;
    uint64_t expires_ms = 0, number;

    assert_int_equal(meta_device_code(w->g.meta, code, &expires_ms, NULL),
                     ERR_NOT_FOUND);
    put_device(w, "dev3", "{}");
    assert_int_equal(meta_device_code(w->g.meta, code, &expires_ms, NULL), 0);
    assert_int_equal(expires_ms, 1000);
    assert_int_equal(meta_device_by_key(w->g.meta, key, &d, NULL),
                     ERR_NOT_FOUND);
    number = enroll(w, "dev3");
    assert_int_equal(meta_device_code(w->g.meta, code, &expires_ms, NULL),
                     ERR_NOT_FOUND);
    assert_int_equal(meta_device_by_key(w->g.meta, key, &d, NULL), 0);
    assert_string_equal(d.name, "dev3");
    assert_int_equal(d.number, number);
    meta_device_free(&d);
}

/* What the bucket's list grants to all, and who owns what is put into it. */
static void expect_list(struct world *w, unsigned to_all,
                        enum access_ownership ownership)
{
    struct access_bucket *b;

    assert_int_equal(access_bucket(&w->g, "b", &b, NULL), 0);
    assert_string_equal(b->acl.owner, "me");
    assert_int_equal(acl_permissions(&b->acl, NULL, false), to_all);
    assert_int_equal(b->ownership, ownership);
    access_bucket_free(b);
}

#define OWNERSHIP(kind)                                                     \
    "<OwnershipControls xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" \
    "<Rule><ObjectOwnership>" kind                                          \
    "</ObjectOwnership></Rule></OwnershipControls>"

static void a_bucket_has_the_list_that_it_was_told_last(void **state)
{
    struct world *w = *state;

    bucket_create(w->g.meta, "b");
    expect_list(w, 0, ACCESS_OBJECT_WRITER);
    set_config(w, META_CONFIG_ACL, "1\nme\nfume\nra\nwa\n");
    expect_list(w, ACL_READ | ACL_WRITE, ACCESS_OBJECT_WRITER);
    set_config(w, META_CONFIG_OWNERSHIP, OWNERSHIP("BucketOwnerEnforced"));
    expect_list(w, ACL_READ | ACL_WRITE, ACCESS_OWNER_ENFORCED);
    set_config(w, META_CONFIG_OWNERSHIP, OWNERSHIP("BucketOwnerPreferred"));
    set_config(w, META_CONFIG_ACL, "");
    expect_list(w, 0, ACCESS_OWNER_PREFERRED);
    /* What cannot be read, or is another's, grants nothing. */
    set_config(w, META_CONFIG_ACL, "1\nme\nra");
    expect_list(w, 0, ACCESS_OWNER_PREFERRED);
    set_config(w, META_CONFIG_ACL, "1\nyou\nra\n");
    set_config(w, META_CONFIG_OWNERSHIP, "<x/>");
    expect_list(w, 0, ACCESS_OBJECT_WRITER);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(root_and_users_are_known_by_their_keys),
        TEST(what_was_taken_away_is_gone_at_once_but_for_who_holds_it),
        TEST(a_key_whose_users_policy_cannot_be_read_is_no_key),
        TEST(a_bucket_is_as_it_was_told_last),
        TEST(a_policy_that_cannot_be_read_is_told_apart_from_none),
        TEST(a_bucket_has_the_list_that_it_was_told_last),
        TEST(a_device_is_who_its_row_says_until_it_is_revoked),
        TEST(a_device_whose_policy_cannot_be_read_is_nobody),
        TEST(devices_are_found_by_key_and_codes_until_they_are_used),
    };

    return cmocka_run_group_tests_name("access", tests, NULL, NULL);
}
