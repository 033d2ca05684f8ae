/* Goal: a configuration of members is taken back to the one before it, also
 * when that is in a snapshot alone; and who is to vote does.
 * Method: a struct raft that is not running, and configurations as libraft
 * encodes them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "meta/raft_conf.h"

static void make(struct raft_configuration *c, unsigned voters)
{
    static const char *const names[] = {"", "a:1", "b:1", "c:1", "d:1"};

    raft_configuration_init(c);
    for (unsigned i = 1; i <= 4; i++) {
        int role = i <= voters ? RAFT_VOTER : RAFT_STANDBY;
        assert_int_equal(raft_configuration_add(c, i, names[i], role), 0);
    }
}

/* Entry @index: the first @voters of four vote. */
static void append(struct raft_confs *c, uint64_t index, unsigned voters)
{
    struct raft_configuration conf;
    struct raft_buffer buf;

    make(&conf, voters);
    assert_int_equal(raft_configuration_encode(&conf, &buf), 0);
    assert_true(raft_confs_append(c, index, buf.base, buf.len));
    raft_free(buf.base);
    raft_configuration_close(&conf);
}

static unsigned voters_of(const struct raft_configuration *c)
{
    unsigned n = 0;

    for (unsigned i = 0; i < c->n; i++) {
        assert_int_equal(c->servers[i].id, i + 1);
        assert_int_equal(c->servers[i].address[0], 'a' + (int)i);
        n += c->servers[i].role == RAFT_VOTER;
    }
    return n;
}

static raft_time now_ms;

static raft_time time_of(struct raft_io *io)
{
    (void)io;
    return now_ms;
}

static void what_was_cut_off_holds_no_more(void **state)
{
    struct raft_confs c = {0};
    struct raft r = {.state = RAFT_FOLLOWER};

    (void)state;
    append(&c, 1, 1);
    append(&c, 5, 2);
    append(&c, 9, 3);
    raft_confs_adopt(&c, &r);
    assert_int_equal(voters_of(&r.configuration), 3);
    raft_confs_truncate(&c, 10, &r);
    assert_int_equal(voters_of(&r.configuration), 3);
    raft_confs_truncate(&c, 6, &r);
    assert_int_equal(voters_of(&r.configuration), 2);
    raft_confs_truncate(&c, 1, &r);
    assert_int_equal(r.configuration.n, 0);
    raft_confs_free(&c);
    raft_configuration_close(&r.configuration);
}

static void a_leader_goes_by_its_own(void **state)
{
    struct raft_confs c = {0};
    struct raft r = {.state = RAFT_LEADER};

    (void)state;
    append(&c, 1, 1);
    raft_confs_adopt(&c, &r);
    assert_int_equal(r.configuration.n, 0);
    raft_confs_free(&c);
}

/* What libraft cannot: the one before stands in no entry any more. */
static void a_snapshot_keeps_what_entries_are_taken_back_to(void **state)
{
    struct raft_confs c = {0};
    struct raft r = {.state = RAFT_FOLLOWER};
    struct raft_snapshot s = {.index = 20, .configuration_index = 5};

    (void)state;
    make(&s.configuration, 2);
    append(&c, 1, 1);
    raft_confs_base(&c, &s);
    append(&c, 21, 3);
    raft_confs_truncate(&c, 21, &r);
    assert_int_equal(voters_of(&r.configuration), 2);
    raft_confs_free(&c);
    raft_configuration_close(&s.configuration);
    raft_configuration_close(&r.configuration);
}

/* Not the newest, which may be taken back. */
static void a_snapshot_gets_what_holds_at_its_index(void **state)
{
    struct raft_confs c = {0};
    const struct raft_conf *at;

    (void)state;
    assert_null(raft_confs_snapshot(&c, 7));
    append(&c, 1, 1);
    append(&c, 5, 2);
    append(&c, 9, 3);
    at = raft_confs_snapshot(&c, 7);
    assert_int_equal(at->index, 5);
    assert_int_equal(voters_of(&at->servers), 2);
    at = raft_confs_snapshot(&c, 9);
    assert_int_equal(at->index, 9);
    assert_int_equal(c.count, 1);
    raft_confs_free(&c);
}

static void damaged_configurations_are_refused(void **state)
{
    struct raft_confs c = {0};
    struct raft_configuration conf;
    struct raft_buffer buf;
    uint8_t *p;

    (void)state;
    make(&conf, 3);
    assert_int_equal(raft_configuration_encode(&conf, &buf), 0);
    for (size_t n = 0; n < 9 + 4 * 13; n++) { /* the rest is padding */
        assert_false(raft_confs_append(&c, 1, buf.base, n));
    }
    p = buf.base;
    p[0] = 2;
    assert_false(raft_confs_append(&c, 1, p, buf.len));
    p[0] = 1;
    memset(p + 1, 0xff, 8);
    assert_false(raft_confs_append(&c, 1, p, buf.len));
    assert_int_equal(c.count, 0);
    raft_confs_free(&c);
    raft_free(buf.base);
    raft_configuration_close(&conf);
}

static void libraft_takes_nothing_back_itself(void **state)
{
    struct raft_confs c = {0};
    struct raft r = {.state = RAFT_LEADER,
                     .current_term = 3,
                     .configuration_uncommitted_index = 9};
    struct raft_message m = {.type = RAFT_IO_APPEND_ENTRIES,
                             .append_entries = {.term = 3}};

    (void)state;
    raft_confs_receive(&c, &r, &m); /* it leads, and needs it */
    assert_int_equal(r.configuration_uncommitted_index, 9);
    m.append_entries.term = 4; /* will step down */
    raft_confs_receive(&c, &r, &m);
    assert_int_equal(r.configuration_uncommitted_index, 0);
    r.configuration_uncommitted_index = 9;
    r.state = RAFT_FOLLOWER;
    m.append_entries.term = 3;
    raft_confs_receive(&c, &r, &m);
    assert_int_equal(r.configuration_uncommitted_index, 0);
    raft_confs_received(&c, &r);
}

/* B10 */
static void who_is_asked_for_a_vote_has_one(void **state)
{
    struct raft_confs c = {0};
    struct raft_io io = {.time = time_of};
    struct raft r = {.id = 3,
                     .io = &io,
                     .state = RAFT_FOLLOWER,
                     .election_timeout = 500,
                     .election_timer_start = 1000};
    struct raft_message m = {.type = RAFT_IO_REQUEST_VOTE};

    (void)state;
    make(&r.configuration, 1);
    r.follower_state.current_leader.id = 1;
    now_ms = 1499; /* it has just heard of its leader */
    raft_confs_receive(&c, &r, &m);
    assert_int_equal(r.configuration.n, 1);
    assert_int_equal(r.configuration.servers[0].id, 3);
    assert_int_equal(r.configuration.servers[0].role, RAFT_VOTER);
    assert_int_equal(r.follower_state.current_leader.id, 1);
    raft_confs_received(&c, &r);
    assert_int_equal(voters_of(&r.configuration), 1);
    now_ms = 1500;
    raft_confs_receive(&c, &r, &m);
    assert_int_equal(r.follower_state.current_leader.id, 0);
    raft_confs_received(&c, &r);
    raft_configuration_close(&r.configuration);
    make(&r.configuration, 3); /* a voter needs no loan */
    r.follower_state.current_leader.id = 1;
    raft_confs_receive(&c, &r, &m);
    assert_int_equal(r.configuration.n, 4);
    assert_int_equal(r.follower_state.current_leader.id, 1);
    raft_confs_received(&c, &r);
    raft_configuration_close(&r.configuration);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_cut_off_holds_no_more),
        cmocka_unit_test(a_leader_goes_by_its_own),
        cmocka_unit_test(a_snapshot_keeps_what_entries_are_taken_back_to),
        cmocka_unit_test(a_snapshot_gets_what_holds_at_its_index),
        cmocka_unit_test(damaged_configurations_are_refused),
        cmocka_unit_test(libraft_takes_nothing_back_itself),
        cmocka_unit_test(who_is_asked_for_a_vote_has_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
