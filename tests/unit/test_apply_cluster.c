/* test_apply_cluster.c: the registry of servers, drives and join tokens.
 *
 * Goal: each command does what its contract says; a refused one changes nothing
 * and tells its reason, and every reason is provoked; ids are never used again;
 * what is asked for twice is done once.
 * Method: databases in memory, with meta_verify after each test; dumps before
 * and after each refusal are compared; bounds are reached by writing rows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/wire.h"
#include "tests/lib/apply_base.h"

#define HOUR 3600000u
#define NODE META_SERVER_NODE
#define ALL META_SERVER_ROLES

static const uint8_t cluster_id[META_CLUSTER_ID] = "the-cluster-id!";
static bool seen[64]; /* reasons of refusals */

/* ---- asking ---- */

/* Bytes of an id of @n, in one of a few places used by turns. */
static const uint8_t *id_of(unsigned n)
{
    static uint8_t ids[8][32];
    static unsigned at;
    uint8_t *p = ids[at++ % 8];

    memset(p, 'i', 32);
    store_u32(p, n);
    return p;
}

struct ask {
    struct command_server server;
    struct command_drive drives[META_SERVER_DRIVES_MAX];
    char name[16], address[32];
};

/* Server number @n with @drives drives, whose uuids are 100 * n + 0, 1, ... */
static struct ask *ask_of(unsigned n, size_t drives)
{
    static struct ask a;

    memset(&a, 0, sizeof a);
    snprintf(a.name, sizeof a.name, "server-%u", n);
    snprintf(a.address, sizeof a.address, "10.0.0.%u:7000", n);
    for (size_t i = 0; i < drives; i++) {
        a.drives[i].weight = 1000 + n;
        memcpy(a.drives[i].uuid, id_of(100 * n + (unsigned)i), META_DRIVE_UUID);
    }
    a.server = (struct command_server){.name = a.name,
                                       .address = a.address,
                                       .endpoint = "http://s3:9000",
                                       .zone = n % 2 == 0 ? "even" : "odd",
                                       .roles = ALL,
                                       .fingerprint = id_of(n),
                                       .format = 1,
                                       .drives = a.drives,
                                       .drive_count = drives};
    return &a;
}

/* Server 1 with drives 0..@drives-1. */
static int init(struct base *b, size_t drives)
{
    command_cluster_init(&b->command, cluster_id, &ask_of(1, drives)->server,
                         10);
    return go(b);
}

/* Token @n, good until HOUR. */
static int token(struct base *b, unsigned n, uint32_t uses)
{
    command_token_create(&b->command, id_of(n), uses, HOUR, "for a test", 20);
    return go(b);
}

static int join_at(struct base *b, unsigned token, const struct ask *a,
                   uint64_t time_ms)
{
    command_server_join(&b->command, id_of(token), &a->server, time_ms);
    return go(b);
}

static int join(struct base *b, unsigned token, const struct ask *a)
{
    return join_at(b, token, a, 30);
}

static int server_remove(struct base *b, uint32_t server, bool force)
{
    command_server_remove(&b->command, server, force);
    return go(b);
}

static int server_state(struct base *b, uint32_t server,
                        enum meta_server_state state)
{
    command_server_state(&b->command, server, state);
    return go(b);
}

static int update(struct base *b, uint32_t server,
                  struct command_server_update u)
{
    command_server_update(&b->command, server, &u);
    return go(b);
}

static int drive_add(struct base *b, uint32_t server, unsigned uuid)
{
    struct command_drive d = {.weight = 7};

    memcpy(d.uuid, id_of(uuid), sizeof d.uuid);
    command_drive_add(&b->command, server, &d, 40);
    return go(b);
}

static int drive_state(struct base *b, unsigned drive,
                       enum meta_drive_state state, uint32_t epoch, bool force)
{
    command_drive_state(&b->command, (uint16_t)drive, state, epoch, force);
    return go(b);
}

static int drive_weight(struct base *b, unsigned drive, uint32_t weight)
{
    command_drive_weight(&b->command, (uint16_t)drive, weight);
    return go(b);
}

static uint64_t revision(struct base *b)
{
    return number(b, "SELECT revision FROM cluster");
}

/* All rows but the first, which has the applied index, and those of the audit
 * log, to which every order is added whatever comes of it. */
static char *rows(struct base *b)
{
    struct buf out = {0};
    char *text, *end, *line, *to;

    dump(b, &out);
    text = mem_strdup(strchr((char *)out.data, '\n') + 1);
    buf_free(&out);
    to = text;
    for (line = text; *line != '\0'; line = end) {
        end = line + strcspn(line, "\n");
        end += *end == '\n';
        if (strncmp(line, "audit", strlen("audit")) == 0)
            continue;
        memmove(to, line, (size_t)(end - line));
        to += end - line;
    }
    *to = '\0';
    return text;
}

/* @ask is refused with @status for @why, and nothing is changed by it. */
#define REFUSED(b, ask, status, why)                        \
    do {                                                    \
        char *before_ = rows(b);                            \
        char *after_;                                       \
        assert_int_equal(ask, status);                      \
        assert_int_equal((b)->body, COMMAND_REFUSED_##why); \
        assert_non_null(command_refusal_text((b)->body));   \
        seen[COMMAND_REFUSED_##why] = true;                 \
        after_ = rows(b);                                   \
        assert_string_equal(before_, after_);               \
        free(before_);                                      \
        free(after_);                                       \
    } while (0)

/* @ask is granted, and nothing is changed by it. */
#define SAME(b, ask)                          \
    do {                                      \
        char *before_ = rows(b);              \
        char *after_;                         \
        assert_int_equal(ask, 0);             \
        after_ = rows(b);                     \
        assert_string_equal(before_, after_); \
        free(before_);                        \
        free(after_);                         \
    } while (0)

static void sql(struct base *b, const char *text)
{
    assert_int_equal(meta_db_exec(&b->db, text, NULL), 0);
}

/* ---- the cluster ---- */

static void a_cluster_is_made_once(void **state)
{
    struct base b;
    struct ask *other;

    (void)state;
    base_init(&b);
    assert_int_equal(init(&b, 3), 0);
    assert_int_equal(b.body, 1);
    assert_int_equal(number(&b, "SELECT count(*) FROM drive WHERE id < 3"), 3);
    assert_int_equal(number(&b, "SELECT created FROM cluster"), 10);
    assert_int_equal(revision(&b), 1);
    SAME(&b, init(&b, 3)); /* the answer was lost */
    assert_int_equal(b.body, 1);
    other = ask_of(2, 0);
    command_cluster_init(&b.command, cluster_id, &other->server, 11);
    REFUSED(&b, go(&b), ERR_EXISTS, CLUSTER_DIFFERS);
    other = ask_of(1, 3);
    command_cluster_init(&b.command, id_of(5), &other->server, 11);
    REFUSED(&b, go(&b), ERR_EXISTS, CLUSTER_DIFFERS);
    token(&b, 50, 1);
    assert_int_equal(join(&b, 50, ask_of(2, 0)), 0);
    command_cluster_init(&b.command, cluster_id, &ask_of(2, 0)->server, 11);
    REFUSED(&b, go(&b), ERR_EXISTS, CLUSTER_DIFFERS);
    base_close(&b);
}

static void without_a_cluster_there_is_no_registry(void **state)
{
    struct base b;
    struct command_server_update u = {.roles = ALL};

    (void)state;
    base_init(&b);
    REFUSED(&b, token(&b, 50, 1), ERR_PRECONDITION, NO_CLUSTER);
    command_token_revoke(&b.command, id_of(50));
    REFUSED(&b, go(&b), ERR_PRECONDITION, NO_CLUSTER);
    REFUSED(&b, join(&b, 50, ask_of(1, 1)), ERR_PRECONDITION, NO_CLUSTER);
    REFUSED(&b, update(&b, 1, u), ERR_PRECONDITION, NO_CLUSTER);
    REFUSED(&b, server_state(&b, 1, META_SERVER_DRAINING), ERR_PRECONDITION,
            NO_CLUSTER);
    REFUSED(&b, server_remove(&b, 1, true), ERR_PRECONDITION, NO_CLUSTER);
    REFUSED(&b, drive_add(&b, 1, 1), ERR_PRECONDITION, NO_CLUSTER);
    REFUSED(&b, drive_state(&b, 0, META_DRIVE_UP, 0, false), ERR_PRECONDITION,
            NO_CLUSTER);
    REFUSED(&b, drive_weight(&b, 0, 1), ERR_PRECONDITION, NO_CLUSTER);
    command_layout_change(&b.command, 1, 0, "x", 1);
    REFUSED(&b, go(&b), ERR_PRECONDITION, NO_CLUSTER);
    /* As a store on one machine does. */
    command_layout_set(&b.command, 1, "x", 1);
    assert_int_equal(go(&b), 0);
    base_close(&b);
}

/* ---- tokens ---- */

static void tokens_are_made_and_revoked(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    init(&b, 0);
    assert_int_equal(token(&b, 50, 2), 0);
    REFUSED(&b, token(&b, 50, 2), ERR_EXISTS, TOKEN_EXISTS);
    command_token_revoke(&b.command, id_of(51));
    REFUSED(&b, go(&b), ERR_NOT_FOUND, TOKEN_UNKNOWN);
    assert_int_equal(join(&b, 50, ask_of(2, 0)), 0);
    command_token_revoke(&b.command, id_of(50));
    assert_int_equal(go(&b), 0);
    assert_int_equal(number(&b, "SELECT count(*) FROM token"), 0);
    REFUSED(&b, join(&b, 50, ask_of(3, 0)), ERR_DENIED, TOKEN_UNKNOWN);
    /* Also who has joined with it. */
    REFUSED(&b, join(&b, 50, ask_of(2, 0)), ERR_DENIED, TOKEN_UNKNOWN);
    assert_int_equal(revision(&b), 2); /* tokens are nothing to a layout */
    base_close(&b);
}

static void a_token_lets_in_as_many_as_it_says_until_it_expires(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    init(&b, 0);
    token(&b, 50, 2);
    REFUSED(&b, join(&b, 49, ask_of(2, 0)), ERR_DENIED, TOKEN_UNKNOWN);
    REFUSED(&b, join_at(&b, 50, ask_of(2, 0), HOUR + 1), ERR_DENIED,
            TOKEN_EXPIRED);
    assert_int_equal(join_at(&b, 50, ask_of(2, 0), HOUR), 0);
    assert_int_equal(b.body, 2);
    assert_int_equal(join(&b, 50, ask_of(3, 0)), 0);
    assert_int_equal(b.body, 3);
    REFUSED(&b, join(&b, 50, ask_of(4, 0)), ERR_DENIED, TOKEN_USED_UP);
    base_close(&b);
}

static void a_join_asked_for_twice_is_one(void **state)
{
    struct base b;
    struct ask *a;

    (void)state;
    base_init(&b);
    init(&b, 1);
    token(&b, 50, 1);
    token(&b, 51, 1);
    assert_int_equal(join(&b, 50, ask_of(2, 2)), 0);
    /* Though the token is used up by now, and whatever it says. */
    SAME(&b, join(&b, 50, ask_of(2, 2)));
    assert_int_equal(b.body, 2);
    a = ask_of(2, 5);
    a->server.name = "other";
    SAME(&b, join(&b, 50, a));
    assert_int_equal(b.body, 2);
    /* With another token, which needs a use and does not lose it. */
    SAME(&b, join(&b, 51, ask_of(2, 2)));
    assert_int_equal(b.body, 2);
    REFUSED(&b, join_at(&b, 50, ask_of(2, 2), HOUR + 1), ERR_DENIED,
            TOKEN_EXPIRED);
    assert_int_equal(join(&b, 51, ask_of(3, 0)), 0);
    REFUSED(&b, join(&b, 51, ask_of(2, 2)), ERR_DENIED, TOKEN_USED_UP);
    base_close(&b);
}

static void tokens_of_no_use_make_room_for_new_ones(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    init(&b, 0);
    token(&b, 50, 1);
    token(&b, 51, 1);
    assert_int_equal(join(&b, 50, ask_of(2, 0)), 0);
    for (unsigned i = 0; i < META_TOKENS_MAX - 2; i++) {
        assert_int_equal(token(&b, 1000 + i, 1), 0);
    }
    assert_int_equal(token(&b, 52, 1), 0); /* in place of 50, used up */
    REFUSED(&b, token(&b, 53, 1), ERR_LIMIT, TOKENS_MAX);
    command_token_create(&b.command, id_of(53), 1, HOUR + 9, "", HOUR + 1);
    assert_int_equal(go(&b), 0); /* in place of all, expired */
    assert_int_equal(number(&b, "SELECT count(*) FROM token"), 1);
    base_close(&b);
}

/* ---- servers ---- */

static void no_two_living_servers_have_a_name_an_address_or_a_drive(
    void **state)
{
    struct base b;
    struct ask *a;

    (void)state;
    base_init(&b);
    init(&b, 1);
    token(&b, 50, 9);
    assert_int_equal(join(&b, 50, ask_of(2, 2)), 0);
    a = ask_of(3, 1);
    a->server.name = "server-2";
    REFUSED(&b, join(&b, 50, a), ERR_EXISTS, NAME_TAKEN);
    a = ask_of(3, 1);
    a->server.address = "10.0.0.2:7000";
    REFUSED(&b, join(&b, 50, a), ERR_EXISTS, ADDRESS_TAKEN);
    a = ask_of(3, 1);
    memcpy(a->drives[0].uuid, id_of(201), META_DRIVE_UUID);
    REFUSED(&b, join(&b, 50, a), ERR_EXISTS, DRIVE_TAKEN);
    REFUSED(&b,
            update(&b, 2,
                   (struct command_server_update){.address = "10.0.0.1:7000"}),
            ERR_EXISTS, ADDRESS_TAKEN);

    /* A draining one lives; one that was removed does not. */
    assert_int_equal(server_state(&b, 2, META_SERVER_DRAINING), 0);
    a = ask_of(3, 1);
    a->server.name = "server-2";
    REFUSED(&b, join(&b, 50, a), ERR_EXISTS, NAME_TAKEN);
    assert_int_equal(server_remove(&b, 2, true), 0);
    a = ask_of(3, 1);
    a->server.name = "server-2";
    a->server.address = "10.0.0.2:7000";
    assert_int_equal(join(&b, 50, a), 0);
    assert_int_equal(b.body, 3);
    /* Drives are known for ever. */
    a = ask_of(4, 1);
    memcpy(a->drives[0].uuid, id_of(201), META_DRIVE_UUID);
    REFUSED(&b, join(&b, 50, a), ERR_EXISTS, DRIVE_TAKEN);
    base_close(&b);
}

static void ids_are_never_used_again(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    init(&b, 2);
    token(&b, 50, 9);
    assert_int_equal(join(&b, 50, ask_of(2, 2)), 0); /* drives 2 and 3 */
    assert_int_equal(server_remove(&b, 2, true), 0);
    assert_int_equal(join(&b, 50, ask_of(3, 1)), 0);
    assert_int_equal(b.body, 3);
    assert_int_equal(number(&b, "SELECT id FROM drive WHERE server = 3"), 4);
    REFUSED(&b, join(&b, 50, ask_of(2, 2)), ERR_DENIED, IDENTITY_REMOVED);
    assert_int_equal(drive_state(&b, 4, META_DRIVE_REMOVED, 0, false), 0);
    assert_int_equal(drive_add(&b, 3, 999), 0);
    assert_int_equal(b.body, 5);
    base_close(&b);
}

static void only_what_is_given_of_a_server_is_changed(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    init(&b, 1);
    assert_int_equal(
        update(&b, 1, (struct command_server_update){.address = "h:1"}), 0);
    assert_int_equal(number(&b,
                            "SELECT count(*) FROM server WHERE address = 'h:1'"
                            " AND endpoint = 'http://s3:9000' AND zone = 1"
                            " AND roles = 7 AND format = 1"),
                     1);
    assert_int_equal(
        update(&b, 1,
               (struct command_server_update){.address = "h:1", /* its own */
                                              .endpoint = "",
                                              .zone = "third",
                                              .roles = META_SERVER_META | NODE,
                                              .format = 2}),
        0);
    assert_int_equal(
        number(&b,
               "SELECT count(*) FROM server s JOIN zone z ON z.id = zone"
               " WHERE address = 'h:1' AND endpoint = ''"
               " AND z.name = 'third' AND roles = 6 AND format = 2"),
        1);
    assert_int_equal(revision(&b), 3);
    REFUSED(&b, update(&b, 9, (struct command_server_update){.format = 3}),
            ERR_NOT_FOUND, SERVER_UNKNOWN);
    base_close(&b);
}

static void a_server_stays_a_node_while_it_has_drives(void **state)
{
    struct base b;
    struct command_server_update no_node = {.roles = META_SERVER_META};

    (void)state;
    base_init(&b);
    init(&b, 1);
    REFUSED(&b, update(&b, 1, no_node), ERR_PRECONDITION, SERVER_HAS_DRIVES);
    assert_int_equal(drive_state(&b, 0, META_DRIVE_REMOVED, 0, false), 0);
    assert_int_equal(update(&b, 1, no_node), 0);
    REFUSED(&b, drive_add(&b, 1, 9), ERR_PRECONDITION, NOT_A_NODE);
    base_close(&b);
}

static void the_last_that_keeps_the_catalogue_stays(void **state)
{
    struct base b;
    struct ask *a;
    struct command_server_update no_meta = {.roles = NODE};

    (void)state;
    base_init(&b);
    init(&b, 0);
    token(&b, 50, 9);
    a = ask_of(2, 0);
    a->server.roles = NODE;
    assert_int_equal(join(&b, 50, a), 0);
    REFUSED(&b, server_remove(&b, 1, true), ERR_PRECONDITION, LAST_META);
    REFUSED(&b, update(&b, 1, no_meta), ERR_PRECONDITION, LAST_META);
    assert_int_equal(server_remove(&b, 2, false), 0);
    assert_int_equal(join(&b, 50, ask_of(3, 0)), 0);
    assert_int_equal(update(&b, 1, no_meta), 0);
    REFUSED(&b, server_remove(&b, 3, true), ERR_PRECONDITION, LAST_META);
    assert_int_equal(server_remove(&b, 1, false), 0);
    base_close(&b);
}

static void a_server_drains_and_comes_back(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    init(&b, 1);
    assert_int_equal(server_state(&b, 1, META_SERVER_DRAINING), 0);
    assert_int_equal(number(&b, "SELECT state FROM server"), 1);
    assert_int_equal(number(&b, "SELECT state FROM drive"), META_DRIVE_UP);
    SAME(&b, server_state(&b, 1, META_SERVER_DRAINING));
    assert_int_equal(server_state(&b, 1, META_SERVER_JOINED), 0);
    assert_int_equal(number(&b, "SELECT state FROM server"), 0);
    REFUSED(&b, server_state(&b, 2, META_SERVER_JOINED), ERR_NOT_FOUND,
            SERVER_UNKNOWN);
    base_close(&b);
}

static void a_server_goes_after_its_drives_unless_forced(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    init(&b, 0);
    token(&b, 50, 9);
    assert_int_equal(join(&b, 50, ask_of(2, 2)), 0);
    REFUSED(&b, server_remove(&b, 2, false), ERR_PRECONDITION,
            SERVER_HAS_DRIVES);
    assert_int_equal(drive_state(&b, 0, META_DRIVE_DRAINING, 0, false), 0);
    assert_int_equal(drive_state(&b, 0, META_DRIVE_REMOVED, 0, false), 0);
    REFUSED(&b, server_remove(&b, 2, false), ERR_PRECONDITION,
            SERVER_HAS_DRIVES);
    assert_int_equal(server_remove(&b, 2, true), 0);
    assert_int_equal(number(&b, "SELECT sum(state) FROM drive"), 4);
    SAME(&b, server_remove(&b, 2, false));
    assert_int_equal(join(&b, 50, ask_of(3, 1)), 0);
    assert_int_equal(drive_state(&b, 2, META_DRIVE_REMOVED, 0, false), 0);
    assert_int_equal(server_remove(&b, 3, false), 0);

    REFUSED(&b, server_state(&b, 3, META_SERVER_JOINED), ERR_PRECONDITION,
            SERVER_REMOVED);
    REFUSED(&b, update(&b, 3, (struct command_server_update){.format = 3}),
            ERR_PRECONDITION, SERVER_REMOVED);
    REFUSED(&b, drive_add(&b, 3, 5), ERR_PRECONDITION, SERVER_REMOVED);
    REFUSED(&b, server_remove(&b, 9, false), ERR_NOT_FOUND, SERVER_UNKNOWN);
    base_close(&b);
}

static void a_zone_keeps_its_id(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    init(&b, 0); /* "odd" */
    token(&b, 50, 9);
    join(&b, 50, ask_of(2, 0)); /* "even" */
    join(&b, 50, ask_of(3, 0));
    assert_int_equal(number(&b, "SELECT zone FROM server WHERE id = 3"), 1);
    server_remove(&b, 2, false);
    join(&b, 50, ask_of(4, 0));
    assert_int_equal(number(&b, "SELECT zone FROM server WHERE id = 4"), 2);
    assert_int_equal(number(&b, "SELECT count(*) FROM zone"), 2);
    base_close(&b);
}

/* ---- drives ---- */

static void a_drive_asked_for_twice_is_one(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    init(&b, 1);
    token(&b, 50, 9);
    join(&b, 50, ask_of(2, 0));
    assert_int_equal(drive_add(&b, 2, 5), 0);
    assert_int_equal(b.body, 1);
    assert_int_equal(number(&b, "SELECT added FROM drive WHERE id = 1"), 40);
    SAME(&b, drive_add(&b, 2, 5));
    assert_int_equal(b.body, 1);
    REFUSED(&b, drive_add(&b, 1, 5), ERR_EXISTS, DRIVE_TAKEN);
    assert_int_equal(drive_state(&b, 1, META_DRIVE_REMOVED, 0, false), 0);
    REFUSED(&b, drive_add(&b, 2, 5), ERR_EXISTS, DRIVE_TAKEN);
    REFUSED(&b, drive_add(&b, 9, 6), ERR_NOT_FOUND, SERVER_UNKNOWN);
    base_close(&b);
}

static void a_drive_is_removed_only_from_the_layout_that_was_looked_at(
    void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    init(&b, 2);
    command_layout_set(&b.command, 1, "x", 1);
    assert_int_equal(go(&b), 0);
    /* Other states do not ask for it. */
    assert_int_equal(drive_state(&b, 0, META_DRIVE_DRAINING, 0, false), 0);
    assert_int_equal(drive_state(&b, 0, META_DRIVE_UP, 99, false), 0);
    assert_int_equal(drive_state(&b, 0, META_DRIVE_DRAINING, 0, false), 0);
    SAME(&b, drive_state(&b, 0, META_DRIVE_DRAINING, 0, false));
    REFUSED(&b, drive_state(&b, 0, META_DRIVE_REMOVED, 0, false),
            ERR_PRECONDITION, LAYOUT_CHANGED);
    command_layout_set(&b.command, 2, "y", 1);
    assert_int_equal(go(&b), 0);
    REFUSED(&b, drive_state(&b, 0, META_DRIVE_REMOVED, 1, false),
            ERR_PRECONDITION, LAYOUT_CHANGED);
    assert_int_equal(drive_state(&b, 0, META_DRIVE_REMOVED, 2, false), 0);
    SAME(&b, drive_state(&b, 0, META_DRIVE_REMOVED, 1, false));
    REFUSED(&b, drive_state(&b, 0, META_DRIVE_UP, 2, true), ERR_PRECONDITION,
            DRIVE_REMOVED);
    REFUSED(&b, drive_weight(&b, 0, 5), ERR_PRECONDITION, DRIVE_REMOVED);
    assert_int_equal(drive_state(&b, 1, META_DRIVE_REMOVED, 0, true), 0);
    REFUSED(&b, drive_state(&b, 9, META_DRIVE_REMOVED, 2, true), ERR_NOT_FOUND,
            DRIVE_UNKNOWN);
    base_close(&b);
}

static void a_drive_has_the_weight_set_last(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    init(&b, 1);
    assert_int_equal(drive_weight(&b, 0, UINT32_MAX), 0);
    assert_int_equal(number(&b, "SELECT weight FROM drive"), UINT32_MAX);
    SAME(&b, drive_weight(&b, 0, UINT32_MAX));
    REFUSED(&b, drive_weight(&b, 1, 5), ERR_NOT_FOUND, DRIVE_UNKNOWN);
    base_close(&b);
}

/* ---- layouts ---- */

static int layout_change(struct base *b, uint32_t epoch, uint64_t of_revision)
{
    command_layout_change(&b->command, epoch, of_revision, "layout", 6);
    return go(b);
}

static void a_layout_is_for_the_drives_that_it_was_planned_with(void **state)
{
    struct base b;
    uint64_t planned;

    (void)state;
    base_init(&b);
    init(&b, 3);
    assert_int_equal(layout_change(&b, 1, revision(&b)), 0);
    planned = revision(&b);
    assert_int_equal(drive_state(&b, 2, META_DRIVE_REMOVED, 1, false), 0);
    /* It could name drive 2. */
    REFUSED(&b, layout_change(&b, 2, planned), ERR_PRECONDITION,
            REGISTRY_CHANGED);
    REFUSED(&b, layout_change(&b, 3, revision(&b)), ERR_PRECONDITION,
            LAYOUT_CHANGED);
    REFUSED(&b, layout_change(&b, 1, revision(&b)), ERR_PRECONDITION,
            LAYOUT_CHANGED);
    assert_int_equal(layout_change(&b, 2, revision(&b)), 0);
    assert_int_equal(number(&b, "SELECT epoch FROM layout"), 2);
    base_close(&b);
}

static void every_change_of_a_server_or_drive_is_a_new_revision(void **state)
{
    struct base b;
    uint64_t was;

    (void)state;
    base_init(&b);
    init(&b, 1);
    token(&b, 50, 9);
    was = revision(&b);
    assert_int_equal(join(&b, 50, ask_of(2, 1)), 0);
    assert_int_equal(revision(&b), ++was);
    assert_int_equal(update(&b, 2, (struct command_server_update){.zone = "z"}),
                     0);
    assert_int_equal(revision(&b), ++was);
    assert_int_equal(server_state(&b, 2, META_SERVER_DRAINING), 0);
    assert_int_equal(revision(&b), ++was);
    assert_int_equal(drive_add(&b, 2, 7), 0);
    assert_int_equal(revision(&b), ++was);
    assert_int_equal(drive_state(&b, 1, META_DRIVE_DRAINING, 0, false), 0);
    assert_int_equal(revision(&b), ++was);
    assert_int_equal(drive_weight(&b, 1, 7), 0);
    assert_int_equal(revision(&b), ++was);
    assert_int_equal(server_remove(&b, 2, true), 0);
    assert_int_equal(revision(&b), ++was);
    base_close(&b);
}

/* ---- bounds ---- */

static void a_server_has_a_bounded_number_of_drives(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    init(&b, META_SERVER_DRIVES_MAX);
    REFUSED(&b, drive_add(&b, 1, 999), ERR_LIMIT, DRIVES_MAX);
    assert_int_equal(drive_state(&b, 0, META_DRIVE_REMOVED, 0, false), 0);
    assert_int_equal(drive_add(&b, 1, 999), 0);
    assert_int_equal(b.body, META_SERVER_DRIVES_MAX);
    base_close(&b);
}

static void ids_end_where_placement_ends(void **state)
{
    struct base b;
    struct ask *a;

    (void)state;
    base_init(&b);
    init(&b, 0);
    token(&b, 50, 9);
    sql(&b, "UPDATE cluster SET next_drive = 65534");
    REFUSED(&b, join(&b, 50, ask_of(2, 2)), ERR_LIMIT, DRIVES_MAX);
    assert_int_equal(join(&b, 50, ask_of(2, 1)), 0);
    assert_int_equal(number(&b, "SELECT max(id) FROM drive"), 65534);
    REFUSED(&b, drive_add(&b, 2, 8), ERR_LIMIT, DRIVES_MAX);

    sql(&b, "UPDATE cluster SET next_zone = 65535");
    a = ask_of(3, 0);
    a->server.zone = "last";
    assert_int_equal(join(&b, 50, a), 0);
    a = ask_of(4, 0);
    a->server.zone = "more";
    REFUSED(&b, join(&b, 50, a), ERR_LIMIT, ZONES_MAX);
    REFUSED(&b, update(&b, 3, (struct command_server_update){.zone = "more"}),
            ERR_LIMIT, ZONES_MAX);

    sql(&b, "UPDATE cluster SET next_server = 65535");
    assert_int_equal(join(&b, 50, ask_of(4, 0)), 0);
    assert_int_equal(b.body, 65535);
    REFUSED(&b, join(&b, 50, ask_of(5, 0)), ERR_LIMIT, SERVERS_MAX);
    base_close(&b);
}

static void only_the_living_are_counted(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    init(&b, 0);
    token(&b, 50, 9);
    sql(&b,
        "WITH RECURSIVE n(i) AS (VALUES (2) UNION ALL SELECT i + 1 FROM n"
        "  WHERE i < 4096) INSERT INTO server SELECT i, 'n' || i, 'a' || i,"
        " '', 1, 7, 0, 0, randomblob(32), x'', 1 FROM n;"
        "WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n"
        "  WHERE i < 9999) INSERT INTO drive SELECT i, 1 + i % 4096, 1, 0,"
        " randomblob(16), 0 FROM n;"
        "UPDATE cluster SET next_server = 4097, next_drive = 10000");
    REFUSED(&b, join(&b, 50, ask_of(5000, 0)), ERR_LIMIT, SERVERS_MAX);
    REFUSED(&b, drive_add(&b, 5, 77), ERR_LIMIT, DRIVES_MAX);
    assert_int_equal(server_remove(&b, 9, true), 0); /* with 3 drives */
    REFUSED(&b, join(&b, 50, ask_of(5000, 4)), ERR_LIMIT, DRIVES_MAX);
    assert_int_equal(join(&b, 50, ask_of(5000, 3)), 0);
    assert_int_equal(b.body, 4097);
    base_close(&b);
}

/* ---- reasons ---- */

static void every_reason_was_given_above(void **state)
{
    (void)state;
#define X(name, value, text)                                \
    assert_string_equal(command_refusal_text(value), text); \
    if (!seen[value]) {                                     \
        fail_msg("%s was not provoked", #name);             \
    }
    COMMAND_REFUSAL_TABLE(X)
#undef X
    assert_null(command_refusal_text(0));
    assert_null(command_refusal_text(1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cluster_is_made_once),
        cmocka_unit_test(without_a_cluster_there_is_no_registry),
        cmocka_unit_test(tokens_are_made_and_revoked),
        cmocka_unit_test(a_token_lets_in_as_many_as_it_says_until_it_expires),
        cmocka_unit_test(a_join_asked_for_twice_is_one),
        cmocka_unit_test(tokens_of_no_use_make_room_for_new_ones),
        cmocka_unit_test(
            no_two_living_servers_have_a_name_an_address_or_a_drive),
        cmocka_unit_test(ids_are_never_used_again),
        cmocka_unit_test(only_what_is_given_of_a_server_is_changed),
        cmocka_unit_test(a_server_stays_a_node_while_it_has_drives),
        cmocka_unit_test(the_last_that_keeps_the_catalogue_stays),
        cmocka_unit_test(a_server_drains_and_comes_back),
        cmocka_unit_test(a_server_goes_after_its_drives_unless_forced),
        cmocka_unit_test(a_zone_keeps_its_id),
        cmocka_unit_test(a_drive_asked_for_twice_is_one),
        cmocka_unit_test(
            a_drive_is_removed_only_from_the_layout_that_was_looked_at),
        cmocka_unit_test(a_drive_has_the_weight_set_last),
        cmocka_unit_test(a_layout_is_for_the_drives_that_it_was_planned_with),
        cmocka_unit_test(every_change_of_a_server_or_drive_is_a_new_revision),
        cmocka_unit_test(a_server_has_a_bounded_number_of_drives),
        cmocka_unit_test(ids_end_where_placement_ends),
        cmocka_unit_test(only_the_living_are_counted),
        cmocka_unit_test(every_reason_was_given_above),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
