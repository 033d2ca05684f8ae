/* Goal: three members keep one catalogue: what any of them acknowledges, all of
 * them show from then on (P2), with a majority and not without, and a new
 * leader takes over when one is lost, losing nothing.
 * Method: three catalogues in one process over real TLS on loopback.
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
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "meta/meta.h"
#include "tests/lib/net_world.h"
#include "tests/lib/temp_dir.h"

#define MEMBERS 3

struct member {
    char *dir, *address;
    struct net *net;
    struct meta *meta;
};

struct world {
    struct net_world w;
    char *dir;
    uint32_t snapshot_entries, trailing_entries;
    struct member members[MEMBERS + 1]; /* from 1 */
};

static void start(struct world *w, uint32_t id)
{
    struct member *mb = &w->members[id];
    struct meta_options o = {.dir = mb->dir,
                             .server = id,
                             .join = id != 1,
                             .log_segment_bytes = 1 << 20,
                             .snapshot_entries = w->snapshot_entries,
                             .trailing_entries = w->trailing_entries};
    struct err err = {{0}};

    mb->net = net_world_net(&w->w, id,
                            mb->address != NULL ? mb->address : "127.0.0.1:0");
    if (mb->address == NULL) {
        mb->address = mem_strdup(net_address(mb->net));
    }
    o.net = mb->net;
    o.address = mb->address;
    if (meta_open(&o, &mb->meta, &err) != 0) {
        fail_msg("open %u: %s", id, err.text);
    }
    net_start(mb->net);
    for (uint32_t i = 1; i <= MEMBERS; i++) {
        if (w->members[i].address != NULL && i != id) {
            net_peer(mb->net, i, w->members[i].address);
            if (w->members[i].net != NULL) {
                net_peer(w->members[i].net, id, mb->address);
            }
        }
    }
}

static void stop(struct world *w, uint32_t id)
{
    struct member *mb = &w->members[id];

    if (mb->net != NULL) {
        net_stop(mb->net);
        meta_close(mb->meta);
        net_close(mb->net);
        mb->net = NULL;
        mb->meta = NULL;
    }
}

static void quiet(const char *line, void *arg)
{
    (void)arg;
    if (getenv("GODWIT_TEST_LOG") != NULL) {
        fputs(line, stderr);
    }
}

/* The member that leads now; 0: none. */
static uint32_t leader(struct world *w)
{
    for (uint32_t i = 1; i <= MEMBERS; i++) {
        struct meta_stats s;
        if (w->members[i].meta != NULL) {
            meta_stats(w->members[i].meta, &s);
            if (s.leader && meta_barrier(w->members[i].meta, NULL) == 0) {
                return i;
            }
        }
    }
    return 0;
}

static uint32_t await_leader(struct world *w)
{
    uint32_t id;

    for (int i = 0; i < 3000; i++) {
        if ((id = leader(w)) != 0) {
            return id;
        }
        clock_sleep_ms(10);
    }
    fail_msg("no leader");
    return 0;
}

static void change(struct world *w, uint32_t server, enum meta_role role)
{
    struct err err = {{0}};
    int rc = ERR_UNAVAILABLE;

    for (int i = 0; i < 500 && rc != 0; i++) {
        uint32_t l = await_leader(w);
        rc = meta_member_change(w->members[l].meta, server,
                                w->members[server].address, role, false, &err);
        if (rc != 0) {
            clock_sleep_ms(20);
        }
    }
    if (rc != 0) {
        fail_msg("server %u to role %d: %s", server, role, err.text);
    }
}

static int make_world(void **state, uint32_t snapshot_entries,
                      uint32_t trailing_entries)
{
    struct world *w = mem_alloc(sizeof *w);

    w->snapshot_entries = snapshot_entries;
    w->trailing_entries = trailing_entries;
    log_capture(quiet, NULL);
    net_world_make(&w->w, 3);
    w->dir = temp_dir_new();
    for (uint32_t i = 1; i <= MEMBERS; i++) {
        w->members[i].dir = mem_printf("%s/%u", w->dir, i);
        start(w, i);
    }
    for (uint32_t i = 2; i <= MEMBERS; i++) {
        change(w, i, META_SPARE);
        change(w, i, META_VOTER);
    }
    *state = w;
    return 0;
}

static int setup(void **state)
{
    return make_world(state, 0, 0);
}

/* Whose logs keep next to nothing. */
static int setup_short(void **state)
{
    return make_world(state, 10, 3);
}

static int teardown(void **state)
{
    struct world *w = *state;

    for (uint32_t i = 1; i <= MEMBERS; i++) {
        stop(w, i);
        free(w->members[i].dir);
        free(w->members[i].address);
    }
    temp_dir_free(w->dir);
    net_world_free(&w->w);
    free(w);
    return 0;
}

static int make_bucket(struct world *w, uint32_t by, const char *name,
                       struct err *err)
{
    struct buf command = {0};
    int rc;

    command_bucket_create(&command, name, "root", 1000);
    rc = meta_propose_wait(w->members[by].meta, &command, NULL, err);
    buf_free(&command);
    return rc;
}

static int see_bucket(struct world *w, uint32_t on, const char *name)
{
    struct meta_bucket b = {.owner = NULL};
    int rc = meta_bucket_get(w->members[on].meta, name, &b, NULL);

    if (rc == 0) {
        meta_bucket_free(&b);
    }
    return rc;
}

/* A write, again while there is no leader. */
static void must_make(struct world *w, uint32_t by, const char *name)
{
    struct err err = {{0}};
    int rc = ERR_UNAVAILABLE;

    for (int i = 0; i < 100 && rc != 0 && rc != ERR_BUCKET_EXISTS; i++) {
        rc = make_bucket(w, by, name, &err);
    }
    if (rc != 0 && rc != ERR_BUCKET_EXISTS) {
        fail_msg("bucket %s by %u: %s", name, by, err.text);
    }
}

static void any_member_writes_and_all_read_it_at_once(void **state)
{
    struct world *w = *state;
    char name[32];

    for (int i = 0; i < 60; i++) {
        uint32_t by = 1 + (uint32_t)i % MEMBERS;
        snprintf(name, sizeof name, "bucket-%d", i);
        must_make(w, by, name);
        for (uint32_t on = 1; on <= MEMBERS; on++) {
            assert_int_equal(see_bucket(w, on, name), 0);
        }
    }
    /* A condition is judged the same through each of them. */
    for (uint32_t by = 1; by <= MEMBERS; by++) {
        assert_int_equal(make_bucket(w, by, "bucket-7", NULL),
                         ERR_BUCKET_EXISTS);
    }
}

/* Through @by; must go well. */
static void ask(struct world *w, uint32_t by, struct buf *command,
                struct meta_proposal *p)
{
    struct err err = {{0}};
    int rc = ERR_UNAVAILABLE;

    for (int i = 0; i < 100 && rc == ERR_UNAVAILABLE; i++) {
        rc = meta_propose_wait(w->members[by].meta, command, p, &err);
    }
    if (rc != 0) {
        fail_msg("by %u: %s", by, err.text);
    }
    buf_clear(command);
}

static void any_member_is_told_the_version_that_it_made(void **state)
{
    static const uint8_t enabled = META_VERSIONING_ENABLED;
    static const char *const keys[] = {"k", "none"};
    struct world *w = *state;
    struct meta_content empty = {.size_bytes = 0};
    struct command_more more = {.version = META_VERSION_CURRENT};
    uint8_t codes[META_DELETE_MAX];
    struct meta_proposal p = {.codes = codes};
    struct buf b = {0};
    uint64_t last = 0;

    must_make(w, 1, "versions");
    command_bucket_config(&b, "versions", META_CONFIG_VERSIONING, &enabled, 1);
    ask(w, 1, &b, &p);
    assert_int_equal(p.version, 0);
    for (uint32_t by = 1; by <= MEMBERS; by++) {
        command_object_put(&b, "versions", "k", NULL, &empty, "e", NULL, 0, 5);
        ask(w, by, &b, &p);
        assert_true(p.version > last);
        last = p.version;
        more.version = last;
        command_object_delete(&b, "versions", "k", NULL, 6);
        command_add_more(&b, 0, &more);
        ask(w, by, &b, &p);
        assert_int_equal(p.version, last);
        command_objects_delete(&b, "versions", keys, NULL, 2, 7);
        ask(w, by, &b, &p);
        assert_true(p.version > last);
        assert_int_equal(codes[0], META_CODE_MADE_MARKER);
        assert_int_equal(codes[1], META_CODE_MADE_MARKER);
    }
    buf_free(&b);
}

static void a_lost_leader_is_followed_by_another(void **state)
{
    struct world *w = *state;
    char name[32];

    for (int round = 0; round < 3; round++) {
        uint32_t old = await_leader(w);
        uint32_t by = old % MEMBERS + 1;
        snprintf(name, sizeof name, "before-%d", round);
        must_make(w, by, name);
        stop(w, old);
        snprintf(name, sizeof name, "after-%d", round);
        must_make(w, by, name);
        assert_int_not_equal(await_leader(w), old);
        start(w, old);
        for (int r = 0; r <= round; r++) {
            for (uint32_t on = 1; on <= MEMBERS; on++) {
                int rc = ERR_UNAVAILABLE;
                snprintf(name, sizeof name, "after-%d", r);
                for (int i = 0; i < 20 && rc == ERR_UNAVAILABLE; i++) {
                    rc = see_bucket(w, on, name);
                }
                assert_int_equal(rc, 0);
                snprintf(name, sizeof name, "before-%d", r);
                assert_int_equal(see_bucket(w, on, name), 0);
            }
        }
    }
}

static void without_a_majority_nothing_is_read_or_written(void **state)
{
    struct world *w = *state;
    struct err err = {{0}};
    uint32_t left;

    must_make(w, 1, "kept");
    left = await_leader(w);
    stop(w, left % MEMBERS + 1);
    stop(w, (left + 1) % MEMBERS + 1);
    assert_int_equal(see_bucket(w, left, "kept"), ERR_UNAVAILABLE);
    assert_int_not_equal(make_bucket(w, left, "lost", &err), 0);
    assert_true(err.text[0] != '\0');
    start(w, left % MEMBERS + 1);
    await_leader(w);
    must_make(w, left, "again");
    assert_int_equal(see_bucket(w, left, "kept"), 0);
}

static void members_are_shown_with_their_roles(void **state)
{
    struct world *w = *state;
    struct meta_member members[META_MEMBERS_MAX];
    uint32_t l = await_leader(w);

    assert_int_equal(meta_members(w->members[l].meta, members), MEMBERS);
    for (int i = 0; i < MEMBERS; i++) {
        assert_int_equal(members[i].role, META_VOTER);
    }
    assert_int_equal(meta_member_change(w->members[l % MEMBERS + 1].meta, 2, "",
                                        META_SPARE, false, NULL),
                     ERR_UNAVAILABLE); /* not the leader */
}

static void a_leader_gives_its_lead_away_and_nothing_is_lost(void **state)
{
    struct world *w = *state;
    char name[32];

    for (int round = 0; round < 4; round++) {
        uint32_t l = await_leader(w), to = l % MEMBERS + 1;
        struct meta_stats s;
        bool given = false;
        snprintf(name, sizeof name, "before-%d", round);
        must_make(w, l, name);
        for (int i = 0; i < 20 && !given; i++) { /* it may have to catch up */
            given = meta_give_lead(w->members[l].meta, to);
        }
        assert_true(given);
        assert_true(meta_give_lead(w->members[l].meta, to)); /* not ours */
        await_leader(w);
        meta_stats(w->members[l].meta, &s);
        assert_int_not_equal(s.leader_server, 0);
        for (uint32_t on = 1; on <= MEMBERS; on++) {
            assert_int_equal(see_bucket(w, on, name), 0);
        }
        snprintf(name, sizeof name, "after-%d", round);
        must_make(w, l, name);
    }
}

static void who_cannot_take_the_lead_does_not_get_it(void **state)
{
    struct world *w = *state;
    uint32_t l = await_leader(w), to = l % MEMBERS + 1;

    stop(w, to);
    assert_false(meta_give_lead(w->members[l].meta, to));
    assert_false(meta_give_lead(w->members[l].meta, 17));
    must_make(w, l, "goes-on");
    assert_int_equal(see_bucket(w, l, "goes-on"), 0);
}

/* Wait until @on shows the bucket. */
static void must_see(struct world *w, uint32_t on, const char *name)
{
    int rc = ERR_UNAVAILABLE;

    for (int i = 0; i < 20 && rc == ERR_UNAVAILABLE; i++) {
        rc = see_bucket(w, on, name);
    }
    assert_int_equal(rc, 0);
}

static void a_member_that_lags_takes_a_copy(void **state)
{
    struct world *w = *state;
    char name[32];

    for (int round = 0; round < 3; round++) {
        uint32_t away = 1 + (uint32_t)round % MEMBERS;
        uint32_t by = away % MEMBERS + 1;
        stop(w, away);
        for (int i = 0; i < 60; i++) {
            snprintf(name, sizeof name, "round-%d-%d", round, i);
            must_make(w, by, name);
        }
        start(w, away);
        for (int r = 0; r <= round; r++) {
            for (int i = 0; i < 60; i += 7) {
                snprintf(name, sizeof name, "round-%d-%d", r, i);
                must_see(w, away, name);
            }
        }
        snprintf(name, sizeof name, "then-%d", round);
        must_make(w, away, name);
        for (uint32_t on = 1; on <= MEMBERS; on++) {
            must_see(w, on, name);
        }
    }
    /* And after a restart of all. */
    for (uint32_t id = 1; id <= MEMBERS; id++) {
        stop(w, id);
    }
    for (uint32_t id = 1; id <= MEMBERS; id++) {
        start(w, id);
    }
    await_leader(w);
    for (uint32_t on = 1; on <= MEMBERS; on++) {
        must_see(w, on, "round-0-0");
        must_see(w, on, "then-2");
        assert_int_equal(meta_verify(w->members[on].meta, NULL, NULL), 0);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(any_member_writes_and_all_read_it_at_once),
        TEST(any_member_is_told_the_version_that_it_made),
        TEST(a_lost_leader_is_followed_by_another),
        TEST(without_a_majority_nothing_is_read_or_written),
        TEST(members_are_shown_with_their_roles),
        TEST(a_leader_gives_its_lead_away_and_nothing_is_lost),
        TEST(who_cannot_take_the_lead_does_not_get_it),
        cmocka_unit_test_setup_teardown(a_member_that_lags_takes_a_copy,
                                        setup_short, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
