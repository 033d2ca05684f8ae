/* Goal: a cluster is founded, grows by tokens, elects its voters by itself and
 * goes on through restarts, moved ports and lost servers; who has no good
 * token, or was removed, stays outside.
 * Method: whole servers (identity, cluster port, catalogue, keeper) in one
 * process, over real TLS on loopback.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "cluster/cluster.h"
#include "cluster/join_wire.h"
#include "crypto/pki.h"
#include "meta/command.h"
#include "meta/meta.h"
#include "meta/meta_cluster.h"
#include "net/net.h"
#include "tests/lib/cluster_world.h"
#include "tests/lib/temp_dir.h"

static void founding_makes_server_1_and_its_row(void **state)
{
    struct world *w = *state;
    struct site *s = &w->sites[1];
    struct meta_registry r;
    uint16_t ids[2];

    must_start(s, NULL, NULL);
    assert_int_equal(cluster_drive_ids(s->cluster, ids, NULL), 0);
    assert_int_equal(cluster_server(s->cluster), 1);
    assert_memory_equal(cluster_id(s->cluster), cluster_id_a, 16);
    assert_null(cluster_access_key(s->cluster));
    assert_null(cluster_secret_key(s->cluster));
    await_servers(s, 1, &r);
    assert_memory_equal(r.cluster.id, cluster_id_a, 16);
    assert_int_equal(r.servers[0].id, 1);
    assert_int_equal(r.servers[0].roles, ALL_ROLES);
    assert_string_equal(r.servers[0].address, cluster_address(s->cluster));
    assert_string_equal(r.servers[0].endpoint, "http://127.0.0.1:9000");
    assert_string_equal(r.servers[0].zone, "z1");
    assert_int_equal(r.drive_count, 2);
    for (uint16_t i = 0; i < 2; i++) { /* by their order */
        assert_int_equal(r.drives[i].id, i);
        assert_int_equal(ids[i], i);
        assert_int_equal(r.drives[i].server, 1);
        assert_int_equal(r.drives[i].weight, 1000 * (i + 1));
    }
    meta_registry_free(&r);
}

static void a_server_joins_by_a_token_with_its_drives(void **state)
{
    struct world *w = *state;
    struct site *b = &w->sites[2];
    struct meta_registry r;
    uint16_t ids[2];

    found(w);
    join(w, 2, 2, 1);
    assert_int_equal(cluster_server(b->cluster), 2);
    assert_memory_equal(cluster_id(b->cluster), cluster_id_a, 16);
    assert_string_equal(cluster_access_key(b->cluster), "AK");
    assert_string_equal(cluster_secret_key(b->cluster), "SK");
    assert_int_equal(cluster_drive_ids(b->cluster, ids, NULL), 0);
    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[1], 3);
    for (int i = 1; i <= 2; i++) { /* both know it */
        await_servers(&w->sites[i], 2, &r);
        assert_int_equal(r.servers[1].id, 2);
        assert_int_equal(r.servers[1].roles, ALL_ROLES);
        assert_string_equal(r.servers[1].address, cluster_address(b->cluster));
        assert_int_equal(r.drive_count, 4);
        for (uint16_t d = 0; d < 2; d++) {
            assert_int_equal(r.drives[2 + d].id, ids[d]);
            assert_int_equal(r.drives[2 + d].server, 2);
            assert_int_equal(r.drives[2 + d].weight, 1000 * (d + 1));
        }
        meta_registry_free(&r);
    }
}

/* ---- who votes ---- */

static void three_servers_become_three_voters(void **state)
{
    struct world *w = *state;
    struct meta_server row;

    found(w);
    await_members(w, 1, 0);
    join(w, 2, 2, 1);
    await_members(w, 1, 1);
    join(w, 3, 3, 1);
    await_members(w, 3, 0);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(meta_server_get(w->sites[i].meta, 3, &row, NULL), 0);
    }
}

/* ---- who stays outside ---- */

/* A join of site 3 through site 1 is refused, and leaves nothing anywhere. */
static void must_refuse(struct world *w, const char *with, int code,
                        const char *text)
{
    struct site *s = &w->sites[3];
    struct err err = {{0}};
    struct meta_server *servers;
    struct meta_drive *drives;
    size_t before, after;

    assert_int_equal(meta_servers(w->sites[1].meta, &servers, &before, NULL),
                     0);
    free(servers);
    if (start(s, w->sites[1].listen, with, &err) != code) {
        fail_msg("not %s: %s", err_name(code), err.text);
    }
    if (strstr(err.text, text) == NULL) {
        fail_msg("not \"%s\": %s", text, err.text);
    }
    assert_false(exists(s, "server.crt"));
    assert_false(exists(s, "ca.key"));
    assert_int_equal(meta_servers(w->sites[1].meta, &servers, &after, NULL), 0);
    free(servers);
    assert_int_equal(after, before);
    assert_int_equal(meta_drives(w->sites[1].meta, &drives, &after, NULL), 0);
    free(drives);
    assert_int_equal(after, 2 * before);
}

static void a_bad_token_lets_nobody_in_and_says_why(void **state)
{
    struct world *w = *state;
    char *t, text[PKI_TOKEN_TEXT];
    struct pki_token other;
    uint8_t ca[PKI_FINGERPRINT] = {1};

    found(w);
    t = token(&w->sites[1], 60000, 1);
    join(w, 2, 2, 1);
    /* No token at all, or none that could be. */
    must_refuse(w, NULL, ERR_BAD_INPUT, "--token");
    must_refuse(w, "gwj1.x", ERR_BAD_INPUT, "token");
    /* Of this cluster, but not one that was made. */
    assert_int_equal(pki_token_parse(t, &other, NULL), 0);
    other.secret[0] ^= 1;
    pki_token_format(&other, text);
    must_refuse(w, text, ERR_DENIED, "the join token is not known");
    /* Of another cluster. */
    pki_token_new(ca, &other);
    pki_token_format(&other, text);
    must_refuse(w, text, ERR_DENIED, "not of the token's cluster");
    free(t);
    /* Too late. */
    t = token(&w->sites[1], 20, 1);
    clock_sleep_ms(30);
    must_refuse(w, t, ERR_DENIED, "the join token has expired");
    free(t);
    /* Once too often. */
    t = token(&w->sites[1], 60000, 1);
    must_start(&w->sites[4], w->sites[1].listen, t);
    must_refuse(w, t, ERR_DENIED, "the join token is used up");
    free(t);
}

static void a_token_is_made_within_limits_and_as_json(void **state)
{
    struct world *w = *state;
    struct site *s = &w->sites[1];
    struct buf json = {0};
    struct meta_token *tokens = NULL;
    struct err err = {{0}};
    char *at, *text = NULL;
    size_t count = 0;

    found(w);
    assert_int_equal(
        cluster_token_create(s->cluster, 1000, 1, "past", &text, &err),
        ERR_BAD_INPUT);
    assert_int_equal(cluster_token_json(s->cluster, 60000, 0, "", &json, &err),
                     ERR_BAD_INPUT);
    assert_null(text);
    assert_int_equal(json.len, 0);
    assert_int_equal(
        cluster_token_json(s->cluster, 60000, 2, "two", &json, &err), 0);
    buf_char(&json, '\0');
    assert_int_equal(memcmp(json.data, "{\"token\":\"gwj1.", 15), 0);
    assert_non_null(strstr((char *)json.data, "\"uses\":2}"));
    assert_int_equal(meta_token_list(s->meta, &tokens, &count, NULL), 0);
    assert_int_equal(count, 1);
    assert_int_equal(tokens[0].uses, 2);
    assert_string_equal(tokens[0].note, "two");
    free(tokens);
    /* It opens the door. */
    text = (char *)json.data + 10;
    at = strchr(text, '"');
    assert_non_null(at);
    *at = '\0';
    must_start(&w->sites[2], s->listen, text);
    buf_wipe(&json);
}

static void a_server_that_cannot_join_or_listen_says_why(void **state)
{
    struct world *w = *state;
    struct err err = {{0}};
    char *t;

    found(w);
    t = token(&w->sites[1], 60000, 1);
    w->sites[2].listen = mem_strdup("127.0.0.1");
    assert_int_equal(start(&w->sites[2], w->sites[1].listen, t, &err),
                     ERR_BAD_INPUT);
    free(w->sites[2].listen);
    w->sites[2].listen = mem_strdup(w->sites[1].listen); /* taken */
    assert_int_equal(start(&w->sites[2], w->sites[1].listen, t, &err), ERR_IO);
    free(w->sites[2].listen);
    w->sites[2].listen = NULL;
    w->sites[2].drives = CLUSTER_DRIVES_MAX + 1;
    assert_int_equal(start(&w->sites[2], w->sites[1].listen, t, &err),
                     ERR_BAD_INPUT);
    w->sites[2].drives = 2;
    assert_int_equal(start(&w->sites[2], "127.0.0.1:1", t, &err),
                     ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "127.0.0.1:1"));
    /* None of them has used the token up. */
    w->sites[2].name = "beta";
    must_start(&w->sites[2], w->sites[1].listen, t);
    assert_int_equal(cluster_server(w->sites[2].cluster), 2);
    free(t);
    t = token(&w->sites[1], 60000, 1);
    w->sites[3].name = "beta";
    assert_int_equal(start(&w->sites[3], w->sites[1].listen, t, &err),
                     ERR_EXISTS);
    assert_non_null(strstr(err.text, "another server has this name"));
    free(t);
}

static void who_keeps_no_catalogue_lets_nobody_in(void **state)
{
    struct world *w = *state;
    struct site *b = &w->sites[2];
    struct err err = {{0}};
    char *t;

    found(w);
    t = token(&w->sites[1], 60000, 2);
    b->roles = CLUSTER_ROLE_NODE;
    must_start(b, w->sites[1].listen, t);
    assert_false(exists(b, "ca.key"));
    assert_int_equal(start(&w->sites[3], b->listen, t, &err), ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "join through one that does"));
    await_members(w, 1, 0); /* nor is it a member */
    free(t);
}

/* ---- again ---- */

static void a_join_whose_answer_was_lost_gives_the_same_server(void **state)
{
    struct world *w = *state;
    struct site *b = &w->sites[2];
    struct meta_registry r;
    uint16_t ids[2];
    char *t;

    found(w);
    t = token(&w->sites[1], 60000, 1);
    assert_int_equal(open_site(b, w->sites[1].listen, t, NULL), 0);
    assert_int_equal(cluster_drive_ids(b->cluster, ids, NULL), 0);
    cluster_close(b->cluster);
    b->cluster = NULL;
    forget(b, "server.crt");
    forget(b, "ca.crt");
    forget(b, "ca.key");
    forget(b, "servers");
    /* The token has no use left, and the port is another. */
    must_start(b, w->sites[1].listen, t);
    assert_int_equal(cluster_server(b->cluster), 2);
    ids[0] = ids[1] = 9;
    assert_int_equal(cluster_drive_ids(b->cluster, ids, NULL), 0);
    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[1], 3);
    await_servers(b, 2, &r);
    assert_int_equal(r.drive_count, 4);
    meta_registry_free(&r);
    await_address(w, 1, 2, cluster_address(b->cluster));
    free(t);
}

static void a_restart_goes_on_as_the_same_server(void **state)
{
    struct world *w = *state;
    struct site *b = &w->sites[2];
    struct meta_registry r;
    uint16_t ids[2];

    found(w);
    join(w, 2, 2, 1);
    await_members(w, 1, 1);
    stop(b);
    must_start(b, NULL, NULL);
    assert_int_equal(cluster_server(b->cluster), 2);
    assert_null(cluster_secret_key(b->cluster));
    assert_int_equal(cluster_drive_ids(b->cluster, ids, NULL), 0);
    assert_int_equal(ids[1], 3);
    assert_int_equal(meta_barrier(b->meta, NULL), 0);
    stop(b);
    /* What it was told once, it may be told again. */
    must_start(b, w->sites[1].listen, "no token");
    assert_int_equal(cluster_server(b->cluster), 2);
    stop(&w->sites[1]);
    must_start(&w->sites[1], NULL, NULL);
    assert_int_equal(cluster_server(w->sites[1].cluster), 1);
    await_members(w, 1, 1);
    assert_int_equal(meta_registry_get(b->meta, &r, NULL), 0);
    assert_int_equal(r.server_count, 2);
    meta_registry_free(&r);
}

/* ---- others, and those that were ---- */

static void a_server_of_another_cluster_is_refused(void **state)
{
    struct world *w = *state;
    struct site *other = &w->sites[4];
    struct err err = {{0}};
    char *t;

    found(w);
    other->other_cluster = true;
    must_start(other, NULL, NULL);
    net_peer(cluster_net(other->cluster), 7, w->sites[1].listen);
    assert_int_equal(call(other, 7, &err), ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "certificate"));
    /* A token of one does not open the other. */
    t = token(&w->sites[1], 60000, 1);
    assert_int_equal(start(&w->sites[2], other->listen, t, &err), ERR_DENIED);
    free(t);
}

static void a_removed_server_is_cut_off_for_good(void **state)
{
    struct world *w = *state;
    struct site *c = &w->sites[3];
    struct buf command = {0};
    struct err err = {{0}};
    char *t;
    int rc;

    found(w);
    join(w, 2, 3, 1);
    await_members(w, 3, 0);
    assert_int_equal(call(c, 1, &err), 0);
    command_server_remove(&command, 3, true);
    assert_int_equal(meta_propose_wait(w->sites[1].meta, &command, NULL, &err),
                     0);
    buf_free(&command);
    await_members(w, 1, 1);
    for (int i = 1; i <= 2; i++) {
        await_forbidden(&w->sites[i], 3);
        do { /* its links were closed; when it calls again it is told */
            rc = call(c, (uint32_t)i, &err);
        } while (rc == ERR_UNAVAILABLE || rc == ERR_UNKNOWN);
        assert_int_equal(rc, ERR_DENIED);
    }
    while (!cluster_removed(c->cluster)) {
        clock_sleep_ms(10);
    }
    assert_false(cluster_removed(w->sites[1].cluster));
    stop(c);
    forget(c, "server.crt");
    t = token(&w->sites[1], 60000, 1);
    assert_int_equal(start(c, w->sites[1].listen, t, &err), ERR_DENIED);
    assert_non_null(strstr(err.text, "was removed"));
    free(t);
}

static void a_removed_leader_is_followed_by_another(void **state)
{
    struct world *w = *state;
    struct buf command = {0};
    struct meta_server row;
    int i;

    found(w);
    join(w, 2, 3, 1);
    await_members(w, 3, 0);
    command_server_remove(&command, 1, true);
    assert_int_equal(meta_propose_wait(w->sites[1].meta, &command, NULL, NULL),
                     0);
    buf_free(&command);
    for (i = 2; i <= 3; i++) {
        await_forbidden(&w->sites[i], 1);
    }
    stop(&w->sites[1]);
    await_members(w, 1, 1);
    for (i = 2; i <= 3; i++) {
        await_barrier(&w->sites[i]);
        assert_int_equal(meta_server_get(w->sites[i].meta, 1, &row, NULL), 0);
        assert_int_equal(row.state, META_SERVER_REMOVED);
    }
}

static void a_founder_without_its_catalogue_makes_no_second_one(void **state)
{
    struct world *w = *state;
    struct site *a = &w->sites[1];
    struct meta_registry r;
    char *dir = mem_printf("%s/meta", a->data);

    found(w);
    join(w, 2, 3, 1);
    await_members(w, 3, 0);
    stop(a);
    temp_dir_remove(dir);
    free(dir);
    must_start(a, NULL, NULL);
    await_servers(a, 3, &r); /* it gets the old one */
    meta_registry_free(&r);
}

/* ---- what members ask ---- */

static int ask(struct site *from, struct net_call c, uint32_t server)
{
    int rc;

    c.timeout_ms = 2000;
    rc = net_call_wait(cluster_net(from->cluster), server, &c);
    buf_free(&c.reply_head);
    buf_free(&c.reply_body);
    return rc;
}

static void what_is_no_question_is_refused(void **state)
{
    struct world *w = *state;
    struct site *b = &w->sites[2];

    found(w);
    join(w, 2, 2, 1);
    assert_int_equal(
        ask(b, (struct net_call){.service = NET_CLUSTER, .type = 9}, 1),
        ERR_UNSUPPORTED);
    assert_int_equal(
        ask(b, (struct net_call){.service = NET_CLUSTER, .type = 1}, 1),
        ERR_BAD_INPUT);
    assert_int_equal(
        ask(b, (struct net_call){.service = NET_JOIN, .type = 9}, 1),
        ERR_UNSUPPORTED);
    assert_int_equal(
        ask(b,
            (struct net_call){
                .service = NET_JOIN, .type = 1, .head = "\2", .head_len = 1},
            1),
        ERR_BAD_INPUT);
}

/* ---- places that change ---- */

static void a_server_at_another_port_is_found_again(void **state)
{
    struct world *w = *state;
    struct site *c = &w->sites[3];

    found(w);
    join(w, 2, 3, 1);
    await_members(w, 3, 0);
    stop(c);
    free(c->listen);
    c->listen = NULL;
    must_start(c, NULL, NULL);
    for (int i = 1; i <= 3; i++) {
        await_address(w, i, 3, c->listen);
        await_saved(&w->sites[i], 3, c->listen);
    }
    /* Two that were told by their disks alone go on without the founder. */
    stop(&w->sites[1]);
    stop(&w->sites[2]);
    must_start(&w->sites[2], NULL, NULL);
    await_barrier(&w->sites[2]);
    await_barrier(c);
}

static void without_the_founder_others_lead_and_let_in(void **state)
{
    struct world *w = *state;
    struct meta_registry r;
    uint16_t ids[2];

    found(w);
    join(w, 2, 3, 1);
    await_members(w, 3, 0);
    stop(&w->sites[1]);
    await_barrier(&w->sites[2]);
    join(w, 4, 4, leader(w) == &w->sites[2] ? 3 : 2); /* by who does not lead */
    assert_int_equal(cluster_server(w->sites[4].cluster), 4);
    assert_int_equal(cluster_drive_ids(w->sites[4].cluster, ids, NULL), 0);
    assert_int_equal(ids[0], 6);
    await_servers(&w->sites[4], 4, &r);
    meta_registry_free(&r);
    must_start(&w->sites[1], NULL, NULL);
    await_servers(&w->sites[1], 4, &r);
    meta_registry_free(&r);
}

/* What DATA/identity/drives says; lines as in the file. */
static void put_drives_file(struct site *s, const char *text)
{
    char *path = mem_printf("%s/identity/drives", s->data);

    assert_int_equal(fs_write(path, text, strlen(text), 0600, NULL), 0);
    free(path);
}

static void drive_ids_are_known_without_the_catalogue(void **state)
{
    struct world *w = *state;
    struct site *s = &w->sites[1];
    struct err err = {{0}};
    uint16_t ids[3] = {9, 9, 9};

    must_start(s, NULL, NULL);
    stop(s);
    put_drives_file(s,
                    "0123456789abcdef0123456789abcdef 41\n"
                    "00000000000000000000000000000001 65534\n");
    must_start(s, NULL, NULL);
    assert_int_equal(cluster_drive_ids(s->cluster, ids, NULL), 0);
    assert_int_equal(ids[0], 41);
    assert_int_equal(ids[1], 65534);
    stop(s);
    s->drives = 1; /* the second is taken out, */
    must_start(s, NULL, NULL);
    assert_int_equal(cluster_drive_ids(s->cluster, ids, NULL), 0);
    stop(s);
    s->drives = 3; /* put in again, and one comes */
    assert_int_equal(open_site(s, NULL, NULL, NULL), 0);
    ids[1] = 0;
    assert_int_equal(cluster_drive_ids(s->cluster, ids, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "drive 3"));
    assert_int_equal(ids[1], 65534); /* those that are known are given */
    assert_int_equal(ids[2], JOIN_NO_DRIVE);
    cluster_close(s->cluster);
    s->cluster = NULL;
}

static void a_drive_that_comes_later_is_named_by_the_cluster(void **state)
{
    struct world *w = *state;
    struct site *b = &w->sites[1];
    struct meta_drive *drives;
    size_t count;
    uint16_t ids[3];
    int rc = ERR_NOT_FOUND;

    found(w);
    stop(b);
    b->drives = 3;
    must_start(b, NULL, NULL);
    for (int ms = 0; ms < WAIT_MS && rc == ERR_NOT_FOUND; ms += 10) {
        rc = cluster_drive_ids(b->cluster, ids, NULL);
        clock_sleep_ms(10);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(ids[0], 0);
    assert_int_equal(ids[1], 1);
    assert_int_equal(ids[2], 2);
    assert_int_equal(meta_drives(b->meta, &drives, &count, NULL), 0);
    assert_int_equal(count, 3);
    assert_int_equal(drives[2].server, 1);
    assert_int_equal(drives[2].weight, 3000);
    free(drives);
    stop(b); /* and so for ever */
    assert_int_equal(open_site(b, NULL, NULL, NULL), 0);
    assert_int_equal(cluster_drive_ids(b->cluster, ids, NULL), 0);
    assert_int_equal(ids[2], 2);
    cluster_close(b->cluster);
    b->cluster = NULL;
}

static void a_damaged_list_of_drives_is_named(void **state)
{
    static const char *const bad[] = {
        "0123456789abcdef0123456789abcde\n",
        "0123456789abcdef0123456789abcdef 65535\n",
        "0123456789abcdef0123456789abcdefx1\n",
        "0123456789abcdef0123456789abcdef 1",
        "0123456789abcdef0123456789abcdeg 1\n",
        "\n",
    };
    struct world *w = *state;
    struct site *s = &w->sites[1];

    must_start(s, NULL, NULL);
    stop(s);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err err = {{0}};
        char *text =
            mem_printf("%s%s", "0123456789abcdef0123456789abcdef 1\n", bad[i]);
        put_drives_file(s, text);
        free(text);
        assert_int_equal(start(s, NULL, NULL, &err), ERR_CORRUPT);
        assert_non_null(strstr(err.text, "identity/drives: line 2"));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(founding_makes_server_1_and_its_row),
        TEST(a_server_joins_by_a_token_with_its_drives),
        TEST(three_servers_become_three_voters),
        TEST(a_bad_token_lets_nobody_in_and_says_why),
        TEST(a_token_is_made_within_limits_and_as_json),
        TEST(a_server_that_cannot_join_or_listen_says_why),
        TEST(who_keeps_no_catalogue_lets_nobody_in),
        TEST(a_join_whose_answer_was_lost_gives_the_same_server),
        TEST(a_restart_goes_on_as_the_same_server),
        TEST(a_server_of_another_cluster_is_refused),
        TEST(a_removed_server_is_cut_off_for_good),
        TEST(a_removed_leader_is_followed_by_another),
        TEST(a_founder_without_its_catalogue_makes_no_second_one),
        TEST(what_is_no_question_is_refused),
        TEST(a_server_at_another_port_is_found_again),
        TEST(without_the_founder_others_lead_and_let_in),
        TEST(drive_ids_are_known_without_the_catalogue),
        TEST(a_drive_that_comes_later_is_named_by_the_cluster),
        TEST(a_damaged_list_of_drives_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
