/* test_meta_cluster.c: reads of the registry.
 *
 * Goal: every read gives what the commands before it made, in order, and names
 * what is missing; the answers to proposals have the ids and the reasons.
 * Method: a catalogue in a folder under /tmp, commands proposed and waited for;
 * closed and opened in between.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "meta/meta_cluster.h"
#include "tests/lib/meta_store.h"
#include "tests/lib/temp_dir.h"

static const uint8_t cluster[META_CLUSTER_ID] = "cluster";
static const uint8_t token[META_TOKEN_HASH] = "token";
static const struct command_drive drives[] = {{100, "d0"}, {200, "d1"}};

/* Propose and empty @b; the status, and what it gives in *@body. */
static int ask(struct meta *m, struct buf *b, uint64_t *body)
{
    struct meta_proposal p = {0};
    int rc = meta_propose_wait(m, b, &p, NULL);

    *body = p.body;
    buf_clear(b);
    return rc;
}

static struct command_server first(void)
{
    static const uint8_t key[META_FINGERPRINT] = "key-1";

    return (struct command_server){.name = "one",
                                   .address = "one:7000",
                                   .endpoint = "http://one:9000",
                                   .zone = "west",
                                   .roles = META_SERVER_ROLES,
                                   .fingerprint = key,
                                   .format = 1,
                                   .drives = drives,
                                   .drive_count = 2};
}

static struct command_server second(void)
{
    static const uint8_t key[META_FINGERPRINT] = "key-2";

    return (struct command_server){.name = "two",
                                   .address = "two:7000",
                                   .endpoint = "",
                                   .zone = "east",
                                   .roles = META_SERVER_META,
                                   .fingerprint = key,
                                   .format = 4};
}

/* Two servers, the first with two drives, and a layout. */
static void make(struct meta *m)
{
    struct command_server one = first(), two = second();
    struct buf b = {0};
    uint64_t body;

    command_cluster_init(&b, cluster, &one, 10);
    assert_int_equal(ask(m, &b, &body), 0);
    assert_int_equal(body, 1);
    command_token_create(&b, token, 2, 1000, "for two", 20);
    assert_int_equal(ask(m, &b, &body), 0);
    command_server_join(&b, token, &two, 30);
    assert_int_equal(ask(m, &b, &body), 0);
    assert_int_equal(body, 2);
    command_layout_change(&b, 1, 2, "layout", 6);
    assert_int_equal(ask(m, &b, &body), 0);
    buf_free(&b);
}

static void assert_servers(const struct meta_server *s, size_t n)
{
    assert_int_equal(n, 2);
    assert_int_equal(s[0].id, 1);
    assert_string_equal(s[0].name, "one");
    assert_string_equal(s[0].address, "one:7000");
    assert_string_equal(s[0].endpoint, "http://one:9000");
    assert_string_equal(s[0].zone, "west");
    assert_int_equal(s[0].zone_id, 1);
    assert_int_equal(s[0].roles, META_SERVER_ROLES);
    assert_int_equal(s[0].state, META_SERVER_JOINED);
    assert_int_equal(s[0].joined_ms, 10);
    assert_memory_equal(s[0].fingerprint, first().fingerprint,
                        META_FINGERPRINT);
    assert_int_equal(s[0].format, 1);
    assert_int_equal(s[1].id, 2);
    assert_string_equal(s[1].endpoint, "");
    assert_string_equal(s[1].zone, "east");
    assert_int_equal(s[1].zone_id, 2);
    assert_int_equal(s[1].format, 4);
}

static void assert_drives(const struct meta_drive *d, size_t n)
{
    assert_int_equal(n, 2);
    assert_int_equal(d[1].id, 1);
    assert_int_equal(d[1].server, 1);
    assert_int_equal(d[1].zone_id, 1);
    assert_int_equal(d[1].weight, 200);
    assert_int_equal(d[1].state, META_DRIVE_UP);
    assert_int_equal(d[1].server_state, META_SERVER_JOINED);
    assert_memory_equal(d[1].uuid, drives[1].uuid, META_DRIVE_UUID);
    assert_int_equal(d[1].added_ms, 10);
}

static void assert_lists(struct meta *m)
{
    struct meta_server *s;
    struct meta_drive *d;
    struct meta_token *t;
    struct meta_cluster c;
    size_t n;

    assert_int_equal(meta_cluster_get(m, &c, NULL), 0);
    assert_memory_equal(c.id, cluster, sizeof cluster);
    assert_int_equal(c.created_ms, 10);
    assert_int_equal(c.revision, 2);
    assert_int_equal(meta_servers(m, &s, &n, NULL), 0);
    assert_servers(s, n);
    free(s);
    assert_int_equal(meta_drives(m, &d, &n, NULL), 0);
    assert_drives(d, n);
    free(d);
    assert_int_equal(meta_token_list(m, &t, &n, NULL), 0);
    assert_int_equal(n, 1);
    assert_memory_equal(t[0].hash, token, sizeof token);
    assert_int_equal(t[0].created_ms, 20);
    assert_int_equal(t[0].expires_ms, 1000);
    assert_int_equal(t[0].uses, 1);
    assert_string_equal(t[0].note, "for two");
    free(t);
}

static void what_was_written_is_read_also_after_a_start(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);

    (void)state;
    make(m);
    assert_lists(m);
    verify(m);
    meta_close(m);
    m = must_open(dir);
    assert_lists(m);
    meta_close(m);
    temp_dir_free(dir);
}

static void a_server_is_found_by_its_id(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct meta_server s = {.id = 77};
    struct err err = {0};
    struct buf b = {0};
    uint64_t body;

    (void)state;
    make(m);
    assert_int_equal(meta_server_get(m, 3, &s, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "server 3"));
    assert_int_equal(s.id, 77); /* untouched */
    command_server_remove(&b, 2, false);
    assert_int_equal(ask(m, &b, &body), 0);
    assert_int_equal(meta_server_get(m, 2, &s, NULL), 0);
    assert_string_equal(s.name, "two");
    assert_int_equal(s.state, META_SERVER_REMOVED); /* and still there */
    buf_free(&b);
    meta_close(m);
    temp_dir_free(dir);
}

static void a_registry_is_of_one_moment(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct meta_registry r, local;
    struct buf b = {0};
    uint64_t body;

    (void)state;
    make(m);
    assert_int_equal(meta_registry_get(m, &r, NULL), 0);
    assert_servers(r.servers, r.server_count);
    assert_drives(r.drives, r.drive_count);
    assert_int_equal(r.epoch, 1);
    assert_int_equal(r.layout.len, 6);
    assert_memory_equal(r.layout.data, "layout", 6);
    assert_int_equal(meta_registry_local(m, &local, NULL), 0);
    assert_int_equal(local.cluster.revision, r.cluster.revision);
    meta_registry_free(&local);

    /* What was planned from it is refused when it is no longer so. */
    command_drive_state(&b, 1, META_DRIVE_REMOVED, r.epoch, false);
    assert_int_equal(ask(m, &b, &body), 0);
    command_layout_change(&b, r.epoch + 1, r.cluster.revision, "x", 1);
    assert_int_equal(ask(m, &b, &body), ERR_PRECONDITION);
    assert_int_equal(body, COMMAND_REFUSED_REGISTRY_CHANGED);
    meta_registry_free(&r);
    meta_registry_free(&r);
    buf_free(&b);
    meta_close(m);
    temp_dir_free(dir);
}

static void a_refusal_comes_with_its_reason(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct command_server other = first();
    struct buf b = {0};
    uint64_t body;

    (void)state;
    make(m);
    other.fingerprint = token;
    other.drive_count = 0;
    command_server_join(&b, token, &other, 30);
    assert_int_equal(ask(m, &b, &body), ERR_EXISTS);
    assert_string_equal(command_refusal_text(body),
                        "another server has this name");
    command_server_join(&b, token, &other, 1001);
    assert_int_equal(ask(m, &b, &body), ERR_DENIED);
    assert_string_equal(command_refusal_text(body),
                        "the join token has expired");
    buf_free(&b);
    meta_close(m);
    temp_dir_free(dir);
}

static void a_store_without_a_cluster_has_no_servers(void **state)
{
    char *dir = temp_dir_new();
    struct meta *m = must_open(dir);
    struct meta_cluster c;
    struct meta_registry r = {0};
    struct meta_server *s;
    struct meta_drive *d;
    struct meta_token *t;
    size_t n = 9;

    (void)state;
    assert_int_equal(meta_cluster_get(m, &c, NULL), ERR_NOT_FOUND);
    assert_int_equal(meta_registry_get(m, &r, NULL), ERR_NOT_FOUND);
    assert_int_equal(meta_registry_local(m, &r, NULL), ERR_NOT_FOUND);
    assert_int_equal(meta_servers(m, &s, &n, NULL), 0);
    assert_int_equal(n, 0);
    free(s);
    assert_int_equal(meta_drives(m, &d, &n, NULL), 0);
    assert_int_equal(n, 0);
    free(d);
    assert_int_equal(meta_token_list(m, &t, &n, NULL), 0);
    assert_int_equal(n, 0);
    free(t);
    meta_registry_free(&r);
    meta_close(m);
    temp_dir_free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_also_after_a_start),
        cmocka_unit_test(a_server_is_found_by_its_id),
        cmocka_unit_test(a_registry_is_of_one_moment),
        cmocka_unit_test(a_refusal_comes_with_its_reason),
        cmocka_unit_test(a_store_without_a_cluster_has_no_servers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
