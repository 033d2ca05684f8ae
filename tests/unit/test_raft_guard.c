/* Goal: the guards stop what libraft 0.15 would do wrong, and nothing else.
 * Method: the messages of each fault, one by one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "meta/raft_guard.h"

static struct raft_message append(uint64_t term, uint64_t prev, unsigned n)
{
    return (struct raft_message){
        .type = RAFT_IO_APPEND_ENTRIES,
        .append_entries = {
            .term = term, .prev_log_index = prev, .n_entries = n}};
}

static struct raft_message result(uint64_t term, uint64_t last)
{
    return (struct raft_message){
        .type = RAFT_IO_APPEND_ENTRIES_RESULT,
        .append_entries_result = {.term = term, .last_log_index = last}};
}

static struct raft_guard_view follower(uint64_t term, uint64_t last)
{
    return (struct raft_guard_view){.state = RAFT_FOLLOWER,
                                    .term = term,
                                    .last_index = last,
                                    .last_stored = last};
}

static struct raft_guard_view leader(uint64_t term, uint64_t last)
{
    struct raft_guard_view v = follower(term, last);

    v.state = RAFT_LEADER;
    return v;
}

/* B1: a tail of an older leader, entries 6 to 9, is not what the new leader of
 * term 3 has vouched for. */
static void an_old_tail_is_not_acknowledged(void **state)
{
    struct raft_guard g = {0};
    struct raft_guard_view v = follower(3, 9);
    struct raft_message m = append(3, 5, 0); /* a heartbeat at 5 */
    struct raft_message r = result(3, 9);

    (void)state;
    assert_true(raft_guard_receive(&g, &m, &v));
    assert_true(raft_guard_send(&g, &r, &v)); /* while it is received */
    assert_int_equal(r.append_entries_result.last_log_index, 5);
    raft_guard_received(&g, &m, &v);
    r = result(3, 9);
    assert_true(raft_guard_send(&g, &r, &v)); /* later, when stored */
    assert_int_equal(r.append_entries_result.last_log_index, 5);
}

static void what_the_leader_sent_is_acknowledged(void **state)
{
    struct raft_guard g = {0};
    struct raft_guard_view v = follower(3, 7);
    struct raft_message m = append(3, 5, 2);
    struct raft_message r = result(3, 7);

    (void)state;
    assert_true(raft_guard_receive(&g, &m, &v));
    raft_guard_received(&g, &m, &v);
    assert_true(raft_guard_send(&g, &r, &v));
    assert_int_equal(r.append_entries_result.last_log_index, 7);
}

static void a_new_term_has_vouched_for_nothing_yet(void **state)
{
    struct raft_guard g = {0};
    struct raft_guard_view v = follower(3, 7);
    struct raft_message m = append(3, 5, 2);
    struct raft_message r;

    (void)state;
    assert_true(raft_guard_receive(&g, &m, &v));
    raft_guard_received(&g, &m, &v);
    v = follower(4, 7); /* it learnt of term 4 by a vote */
    r = result(4, 7);
    assert_false(raft_guard_send(&g, &r, &v));
}

static void what_was_rejected_vouches_for_nothing(void **state)
{
    struct raft_guard g = {0};
    struct raft_guard_view v = follower(3, 7);
    struct raft_message m = append(3, 6, 1);
    struct raft_message no = result(3, 7), r = result(3, 7);

    (void)state;
    no.append_entries_result.rejected = 6;
    assert_true(raft_guard_receive(&g, &m, &v));
    assert_true(raft_guard_send(&g, &no, &v)); /* as it is */
    assert_int_equal(no.append_entries_result.last_log_index, 7);
    raft_guard_received(&g, &m, &v);
    assert_false(raft_guard_send(&g, &r, &v));
}

static void a_snapshot_vouches_for_what_it_holds(void **state)
{
    struct raft_guard g = {0};
    struct raft_guard_view v = follower(5, 100);
    struct raft_message m = {
        .type = RAFT_IO_INSTALL_SNAPSHOT,
        .install_snapshot = {.term = 5, .last_index = 100}};
    struct raft_message r = result(5, 100);

    (void)state;
    assert_true(raft_guard_receive(&g, &m, &v));
    raft_guard_received(&g, &m, &v);
    assert_true(raft_guard_send(&g, &r, &v));
    assert_int_equal(r.append_entries_result.last_log_index, 100);
}

/* B2: results for entries of older terms, before our own is on our disk. */
static void a_leader_counts_nothing_before_its_own_entry(void **state)
{
    struct raft_guard g = {.claimed = 4};
    struct raft_guard_view v = leader(4, 9);
    struct raft_message r = result(4, 9);

    (void)state;
    raft_guard_watch(&g, &v); /* elected with 9 entries of others */
    v.last_index = 10;        /* its barrier, not stored */
    assert_false(raft_guard_receive(&g, &r, &v));
    v.last_stored = 10;
    assert_true(raft_guard_receive(&g, &r, &v));
    r.append_entries_result.rejected = 3;
    v.last_stored = 9;
    assert_true(raft_guard_receive(&g, &r, &v)); /* to go back is harmless */
}

/* B5 */
static void a_leader_votes_for_nobody_in_its_term(void **state)
{
    struct raft_guard g = {.claimed = 4};
    struct raft_guard_view v = leader(4, 9);
    struct raft_message m = {.type = RAFT_IO_REQUEST_VOTE,
                             .request_vote = {.term = 4}};

    (void)state;
    assert_false(raft_guard_receive(&g, &m, &v));
    m.request_vote.term = 5;
    assert_true(raft_guard_receive(&g, &m, &v));
    m.request_vote.term = 4;
    v.state = RAFT_FOLLOWER;
    assert_true(raft_guard_receive(&g, &m, &v));
}

/* B5 */
static void who_has_voted_votes_for_no_other_in_that_term(void **state)
{
    struct raft_guard g = {0};
    struct raft_guard_view v = follower(4, 9);
    struct raft_message m = {
        .type = RAFT_IO_REQUEST_VOTE,
        .request_vote = {.term = 4, .candidate_id = 2, .disrupt_leader = true}};

    (void)state;
    assert_true(raft_guard_receive(&g, &m, &v));
    v.voted_for = 2; /* its answer was lost */
    assert_true(raft_guard_receive(&g, &m, &v));
    v.voted_for = 3;
    assert_false(raft_guard_receive(&g, &m, &v));
    m.request_vote.pre_vote = true; /* binds nobody */
    assert_true(raft_guard_receive(&g, &m, &v));
    m.request_vote.pre_vote = false;
    m.request_vote.term = 5;
    assert_true(raft_guard_receive(&g, &m, &v));
}

/* B6 */
static void who_has_not_stored_all_asks_for_no_votes(void **state)
{
    struct raft_guard g = {0};
    struct raft_guard_view v = {
        .state = RAFT_CANDIDATE, .term = 4, .last_index = 9, .last_stored = 8};
    struct raft_message m = {.type = RAFT_IO_REQUEST_VOTE,
                             .request_vote = {.term = 5, .pre_vote = true}};

    (void)state;
    assert_false(raft_guard_send(&g, &m, &v));
    v.last_stored = 0; /* a snapshot is installed */
    assert_false(raft_guard_send(&g, &m, &v));
    v.last_stored = 9;
    assert_true(raft_guard_send(&g, &m, &v));
}

/* B8: who leads without having voted for itself in this life goes on to a term
 * in which nobody led, stores a vote for itself there, and leads in that. */
static void a_single_voter_leads_in_a_term_of_its_own(void **state)
{
    struct raft_guard g = {0};
    struct raft_guard_view v = leader(1, 9);
    struct raft_message m, heartbeat = append(1, 9, 0), r = result(1, 9);

    (void)state;
    assert_false(raft_guard_send(&g, &heartbeat, &v)); /* until it did */
    assert_false(raft_guard_receive(&g, &r, &v));
    assert_true(raft_guard_claim(&g, &v, &m));
    assert_int_equal(m.type, RAFT_IO_APPEND_ENTRIES_RESULT);
    assert_int_equal(m.append_entries_result.term, 2);
    assert_true(raft_guard_vote(&g, 2, false)); /* as libraft gets @m */
    raft_guard_claimed(&g);
    v = leader(2, 9);
    assert_false(raft_guard_claim(&g, &v, &m));
    assert_true(raft_guard_send(&g, &heartbeat, &v));
}

static void who_was_elected_leads_at_once(void **state)
{
    struct raft_guard g = {0};
    struct raft_guard_view v = leader(7, 9);
    struct raft_message m;

    (void)state;
    assert_false(raft_guard_vote(&g, 7, false)); /* the term */
    assert_true(raft_guard_vote(&g, 7, true));   /* its vote */
    assert_false(raft_guard_claim(&g, &v, &m));
    v = follower(8, 9);
    assert_false(raft_guard_claim(&g, &v, &m));
}

static void a_vote_for_another_gives_the_term_away(void **state)
{
    struct raft_guard g = {0};
    struct raft_guard_view v = leader(2, 9);
    struct raft_message m;

    (void)state;
    assert_true(raft_guard_vote(&g, 2, true));
    assert_false(raft_guard_vote(&g, 2, false));
    assert_true(raft_guard_claim(&g, &v, &m));
    assert_int_equal(m.append_entries_result.term, 3);
}

/* B11: entries 1 to 2, when the log begins at 21. */
static void late_entries_do_not_grow_a_cut_log(void **state)
{
    struct raft_guard g = {.append_term = 3};
    struct raft_guard_view v = follower(3, 25);
    struct raft_message m = append(3, 0, 2);
    struct raft_entry *entries = raft_calloc(2, sizeof *entries);

    (void)state;
    entries[0].batch = entries[1].batch = raft_malloc(16);
    m.append_entries.entries = entries;
    m.append_entries.leader_commit = 24;
    raft_guard_repair(&g, &m, &v); /* a whole log is not touched */
    assert_int_equal(m.append_entries.n_entries, 2);
    v.snapshot_index = 20;
    v.snapshot_term = 2;
    raft_guard_repair(&g, &m, &v); /* ... nor one with a snapshot and all */
    assert_int_equal(m.append_entries.n_entries, 2);
    v.cut = 15;
    m.append_entries.prev_log_index = 16; /* it is still there */
    raft_guard_repair(&g, &m, &v);
    assert_int_equal(m.append_entries.n_entries, 2);
    m.append_entries.prev_log_index = 0;
    raft_guard_repair(&g, &m, &v);
    assert_int_equal(m.append_entries.n_entries, 0);
    assert_int_equal(m.append_entries.prev_log_index, 20);
    assert_int_equal(m.append_entries.prev_log_term, 2);
    assert_int_equal(m.append_entries.leader_commit, 20);
    assert_int_equal(m.append_entries.term, 3);
}

/* B12: entry 11 is of members, and 10 is the last on the leader's disk. */
static void a_configuration_is_stored_before_it_is_sent(void **state)
{
    struct raft_guard g = {.claimed = 4};
    struct raft_guard_view v = leader(4, 12);
    struct raft_message m = append(4, 9, 3);
    struct raft_entry entries[3] = {
        {.type = RAFT_COMMAND}, {.type = RAFT_CHANGE}, {.type = RAFT_COMMAND}};

    (void)state;
    m.append_entries.entries = entries;
    v.last_stored = 10;
    assert_true(raft_guard_send(&g, &m, &v));
    assert_int_equal(m.append_entries.n_entries, 1);
    m.append_entries.n_entries = 3;
    v.last_stored = 11;
    assert_true(raft_guard_send(&g, &m, &v));
    assert_int_equal(m.append_entries.n_entries, 3);
}

/* B13: entries 8 and 9 of term 3 are being written. */
static void what_would_cut_off_a_write_waits(void **state)
{
    struct raft_guard g = {0};
    struct raft_guard_view v = follower(3, 7);
    struct raft_message m = append(3, 7, 2), next = append(3, 9, 1);
    struct raft_message snapshot = {
        .type = RAFT_IO_INSTALL_SNAPSHOT,
        .install_snapshot = {.term = 4, .last_index = 100}};

    (void)state;
    assert_true(raft_guard_receive(&g, &m, &v));
    v.last_index = 9;
    raft_guard_received(&g, &m, &v);
    raft_guard_repair(&g, &next, &v); /* of the same leader: goes on */
    assert_int_equal(next.append_entries.n_entries, 1);
    assert_false(raft_guard_receive(&g, &snapshot, &v));
    m = append(4, 7, 1);
    m.append_entries.leader_commit = 8;
    raft_guard_repair(&g, &m, &v);
    assert_int_equal(m.append_entries.n_entries, 0);
    assert_int_equal(m.append_entries.prev_log_index, 10); /* there is none */
    assert_int_equal(m.append_entries.leader_commit, 0);
    assert_int_equal(m.append_entries.term, 4);
    v.last_stored = 9;
    m = append(4, 7, 1);
    raft_guard_repair(&g, &m, &v);
    assert_int_equal(m.append_entries.n_entries, 1);
    assert_true(raft_guard_receive(&g, &snapshot, &v));
}

/* B14 */
static void who_refuses_a_pre_vote_tells_its_term(void **state)
{
    struct raft_guard g = {0};
    struct raft_guard_view v = follower(14, 1);
    struct raft_message m = {
        .type = RAFT_IO_REQUEST_VOTE_RESULT,
        .request_vote_result = {.term = 10, .pre_vote = raft_tribool_true}};

    (void)state;
    assert_true(raft_guard_send(&g, &m, &v));
    assert_int_equal(m.request_vote_result.term, 14);
    m.request_vote_result.term = 15; /* it knows more */
    assert_true(raft_guard_send(&g, &m, &v));
    assert_int_equal(m.request_vote_result.term, 15);
    m.request_vote_result.term = 10;
    m.request_vote_result.vote_granted = true;
    assert_true(raft_guard_send(&g, &m, &v));
    assert_int_equal(m.request_vote_result.term, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_old_tail_is_not_acknowledged),
        cmocka_unit_test(what_the_leader_sent_is_acknowledged),
        cmocka_unit_test(a_new_term_has_vouched_for_nothing_yet),
        cmocka_unit_test(what_was_rejected_vouches_for_nothing),
        cmocka_unit_test(a_snapshot_vouches_for_what_it_holds),
        cmocka_unit_test(a_leader_counts_nothing_before_its_own_entry),
        cmocka_unit_test(a_leader_votes_for_nobody_in_its_term),
        cmocka_unit_test(who_has_voted_votes_for_no_other_in_that_term),
        cmocka_unit_test(who_has_not_stored_all_asks_for_no_votes),
        cmocka_unit_test(a_single_voter_leads_in_a_term_of_its_own),
        cmocka_unit_test(who_was_elected_leads_at_once),
        cmocka_unit_test(a_vote_for_another_gives_the_term_away),
        cmocka_unit_test(late_entries_do_not_grow_a_cut_log),
        cmocka_unit_test(a_configuration_is_stored_before_it_is_sent),
        cmocka_unit_test(what_would_cut_off_a_write_waits),
        cmocka_unit_test(who_refuses_a_pre_vote_tells_its_term),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
