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
    return (struct raft_guard_view){RAFT_FOLLOWER, term, last, last};
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
    struct raft_guard g = {0};
    struct raft_guard_view v = {RAFT_LEADER, 4, 9, 9};
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
    struct raft_guard g = {0};
    struct raft_guard_view v = {RAFT_LEADER, 4, 9, 9};
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
