/* Goal: who votes: an odd number, three before five, the lost replaced, one
 * change at a time, and never so that a majority is lost on the way.
 * Method: small clusters; and random histories that must come to rest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cluster/members.h"

#define MAX 8

struct world {
    struct meta_member members[MAX * 4];
    size_t member_count;
    struct member_server servers[MAX];
    size_t server_count;
};

static void add_server(struct world *w, uint32_t id)
{
    w->servers[w->server_count++] =
        (struct member_server){id, true, true, true};
}

static struct meta_member *find(struct world *w, uint32_t id)
{
    for (size_t i = 0; i < w->member_count; i++) {
        if (w->members[i].server == id) {
            return &w->members[i];
        }
    }
    return NULL;
}

/* One step; false when there is none. */
static bool step(struct world *w, unsigned max)
{
    struct member_step s =
        members_next(w->members, w->member_count, w->servers, w->server_count,
                     w->members[0].server, max);
    struct meta_member *m = find(w, s.server);

    if (s.server == 0) {
        return false;
    }
    if (s.remove) {
        assert_non_null(m);
        *m = w->members[--w->member_count];
    } else if (m == NULL) {
        assert_int_equal(s.role, META_SPARE);
        w->members[w->member_count++] =
            (struct meta_member){s.server, META_SPARE};
    } else {
        assert_int_not_equal(m->role, s.role);
        m->role = s.role;
    }
    return true;
}

static unsigned settle(struct world *w, unsigned max)
{
    unsigned voters = 0;
    int steps = 0;

    while (step(w, max)) {
        assert_true(++steps < 100);
    }
    for (size_t i = 0; i < w->member_count; i++) {
        voters += w->members[i].role == META_VOTER;
    }
    return voters;
}

static void begin(struct world *w)
{
    *w = (struct world){.members = {{1, META_VOTER}}, .member_count = 1};
    add_server(w, 1);
}

static void voters_are_one_three_or_five(void **state)
{
    static const unsigned want[] = {1, 1, 3, 3, 5, 5, 5};
    struct world w;

    (void)state;
    begin(&w);
    for (uint32_t n = 1; n <= 7; n++) {
        assert_int_equal(settle(&w, 5), want[n - 1]);
        assert_int_equal(w.member_count, n);
        for (size_t i = want[n - 1]; i < n; i++) { /* the others stand by */
            assert_int_equal(w.members[i].role, META_STANDBY);
        }
        add_server(&w, n + 1);
    }
}

static void a_lost_voter_is_replaced_by_one_that_is_heard(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    for (uint32_t id = 2; id <= 4; id++) {
        add_server(&w, id);
    }
    assert_int_equal(settle(&w, 5), 3);
    assert_int_equal(find(&w, 4)->role, META_STANDBY);
    w.servers[1].heard = false; /* server 2 */
    assert_int_equal(settle(&w, 5), 3);
    assert_int_equal(find(&w, 4)->role, META_VOTER);
    assert_int_equal(find(&w, 2)->role, META_SPARE);
    w.servers[1].heard = true;
    assert_int_equal(settle(&w, 5), 3);
    assert_int_equal(find(&w, 2)->role, META_STANDBY);
}

static void a_lost_voter_without_a_standby_keeps_its_vote(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    add_server(&w, 2);
    add_server(&w, 3);
    assert_int_equal(settle(&w, 5), 3);
    w.servers[2].heard = false;
    /* Two of three go on; to make one of it would only lose safety. */
    assert_int_equal(settle(&w, 5), 3);
}

static void a_server_without_the_role_stands_by(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    for (uint32_t id = 2; id <= 4; id++) {
        add_server(&w, id);
    }
    settle(&w, 5);
    w.servers[2].meta = false;
    assert_int_equal(settle(&w, 5), 3);
    assert_int_not_equal(find(&w, 3)->role, META_VOTER);
    assert_int_equal(find(&w, 4)->role, META_VOTER);
}

static void a_removed_server_leaves(void **state)
{
    struct world w;

    (void)state;
    begin(&w);
    for (uint32_t id = 2; id <= 4; id++) {
        add_server(&w, id);
    }
    settle(&w, 5);
    w.servers[2].in = false;
    assert_int_equal(settle(&w, 5), 3);
    assert_null(find(&w, 3));
}

/* The others stop listening to a leader that was removed. If it had taken a
 * vote away first, those that are left could be fewer than a majority for ever.
 */
static void a_removed_leader_leaves_the_votes_to_its_successor(void **state)
{
    struct world w;
    struct member_step s;

    (void)state;
    begin(&w);
    add_server(&w, 2);
    add_server(&w, 3);
    assert_int_equal(settle(&w, 5), 3);
    w.servers[0].in = false;
    s = members_next(w.members, w.member_count, w.servers, w.server_count, 1,
                     5);
    assert_int_equal(s.server, 0);
    s = members_next(w.members, w.member_count, w.servers, w.server_count, 2,
                     5);
    assert_int_equal(s.server, 1);
    assert_true(s.remove);
}

static void every_history_comes_to_rest(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 300; seed++) {
        struct world w;
        srand(seed);
        begin(&w);
        for (int round = 0; round < 20; round++) {
            size_t at = (size_t)rand() % MAX;
            if (w.server_count < MAX && rand() % 2 == 0) {
                add_server(&w, (uint32_t)w.server_count + 1);
            } else if (at > 0 && at < w.server_count) {
                w.servers[at].heard = rand() % 2;
                w.servers[at].meta = rand() % 4 != 0;
                w.servers[at].in = rand() % 8 != 0;
            }
            settle(&w, 5);
            assert_int_equal(find(&w, 1)->role, META_VOTER);
        }
        for (size_t i = 0; i < w.server_count; i++) {
            w.servers[i].heard = w.servers[i].meta = w.servers[i].in = true;
        }
        assert_int_equal(settle(&w, 5) % 2, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(voters_are_one_three_or_five),
        cmocka_unit_test(a_lost_voter_is_replaced_by_one_that_is_heard),
        cmocka_unit_test(a_lost_voter_without_a_standby_keeps_its_vote),
        cmocka_unit_test(a_server_without_the_role_stands_by),
        cmocka_unit_test(a_removed_server_leaves),
        cmocka_unit_test(a_removed_leader_leaves_the_votes_to_its_successor),
        cmocka_unit_test(every_history_comes_to_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
