/* test_apply_clock.c: the cluster's time.
 *
 * Goal: it is what a majority of those who keep the catalogue have reached; a
 * minority, however far ahead, moves it nowhere, and nothing moves it back.
 * Method: votes on a database in memory, in stores of one, three and four.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/apply_base.h"

#define YEARS ((uint64_t)3650 * 86400000)

static const uint8_t cluster[META_CLUSTER_ID] = "cluster";
static const uint8_t token[META_TOKEN_HASH] = "token";

static int vote(struct base *b, size_t count, const struct command_clock *votes)
{
    command_clock_vote(&b->command, votes, count);
    return go(b);
}

static void server(struct base *b, uint8_t n, uint32_t roles)
{
    uint8_t key[META_FINGERPRINT] = {n};
    char name[8], address[8];
    struct command_server s = {.name = name,
                               .address = address,
                               .endpoint = "",
                               .zone = "z",
                               .roles = roles,
                               .fingerprint = key,
                               .format = 1};

    snprintf(name, sizeof name, "s%u", n);
    snprintf(address, sizeof address, "h:%u", n);
    if (n == 1) {
        command_cluster_init(&b->command, cluster, &s, 1);
    } else {
        command_server_join(&b->command, token, &s, 1);
    }
    assert_int_equal(go(b), 0);
}

/* Servers 1 to @count, all of which keep the catalogue. */
static void init(struct base *b, uint8_t count)
{
    base_init(b);
    server(b, 1, META_SERVER_ROLES);
    command_token_create(&b->command, token, 9, 1000, "", 1);
    assert_int_equal(go(b), 0);
    for (uint8_t n = 2; n <= count; n++) {
        server(b, n, META_SERVER_ROLES);
    }
}

static void alone_it_is_the_own_clock_and_never_goes_back(void **state)
{
    struct base b;

    (void)state;
    base_init(&b);
    assert_int_equal(b.apply.state.clock_ms, 0);
    assert_int_equal(vote(&b, 1, (struct command_clock[]){{0, 500}}), 0);
    assert_int_equal(b.apply.state.clock_ms, 500);
    assert_int_equal(vote(&b, 1, (struct command_clock[]){{0, 400}}), 0);
    assert_int_equal(b.apply.state.clock_ms, 500);
    assert_int_equal(vote(&b, 0, NULL), ERR_PRECONDITION);
    assert_int_equal(vote(&b, 2, (struct command_clock[]){{0, 900}, {1, 900}}),
                     ERR_PRECONDITION);
    assert_int_equal(number(&b, "SELECT ms FROM clock"), 500);
    base_close(&b);
}

static void of_three_it_is_the_second(void **state)
{
    struct base b;

    (void)state;
    init(&b, 3);
    assert_int_equal(
        vote(&b, 3, (struct command_clock[]){{1, 700}, {2, 500}, {3, 600}}), 0);
    assert_int_equal(b.apply.state.clock_ms, 600);
    /* One is years ahead, another years behind. */
    assert_int_equal(
        vote(&b, 3, (struct command_clock[]){{1, YEARS}, {2, 1}, {3, 650}}), 0);
    assert_int_equal(b.apply.state.clock_ms, 650);
    base_close(&b);
}

static void two_of_three_are_enough_and_the_slower_counts(void **state)
{
    struct base b;

    (void)state;
    init(&b, 3);
    assert_int_equal(vote(&b, 2, (struct command_clock[]){{1, YEARS}, {3, 9}}),
                     0);
    assert_int_equal(b.apply.state.clock_ms, 9);
    assert_int_equal(vote(&b, 1, (struct command_clock[]){{1, 50}}),
                     ERR_PRECONDITION);
    assert_int_equal(b.apply.state.clock_ms, 9);
    base_close(&b);
}

static void of_four_two_that_run_ahead_are_no_majority(void **state)
{
    struct base b;

    (void)state;
    init(&b, 4);
    assert_int_equal(vote(&b, 4,
                          (struct command_clock[]){
                              {1, YEARS}, {2, YEARS}, {3, 30}, {4, 20}}),
                     0);
    assert_int_equal(b.apply.state.clock_ms, 30);
    base_close(&b);
}

static void only_who_keeps_the_catalogue_votes(void **state)
{
    struct base b;

    (void)state;
    init(&b, 3);
    server(&b, 4, META_SERVER_NODE);
    server(&b, 5, META_SERVER_GATEWAY);
    assert_int_equal(vote(&b, 4,
                          (struct command_clock[]){
                              {1, 10}, {4, YEARS}, {5, YEARS}, {77, YEARS}}),
                     ERR_PRECONDITION);
    command_server_remove(&b.command, 3, true);
    assert_int_equal(go(&b), 0);
    /* Of two, both. */
    assert_int_equal(
        vote(&b, 3, (struct command_clock[]){{1, 10}, {3, YEARS}, {5, YEARS}}),
        ERR_PRECONDITION);
    assert_int_equal(vote(&b, 2, (struct command_clock[]){{1, 10}, {2, 20}}),
                     0);
    assert_int_equal(b.apply.state.clock_ms, 10);
    base_close(&b);
}

static void who_votes_twice_is_refused(void **state)
{
    struct base b;

    (void)state;
    init(&b, 3);
    assert_int_equal(
        vote(&b, 2, (struct command_clock[]){{1, YEARS}, {1, YEARS}}),
        ERR_BAD_INPUT);
    assert_int_equal(vote(&b, 2, (struct command_clock[]){{2, 5}, {1, 5}}),
                     ERR_BAD_INPUT);
    assert_int_equal(b.apply.state.clock_ms, 0);
    base_close(&b);
}

static void it_is_read_again_with_the_database(void **state)
{
    struct base b;
    struct meta_state again;

    (void)state;
    init(&b, 3);
    assert_int_equal(
        vote(&b, 3, (struct command_clock[]){{1, 7}, {2, 7}, {3, 7}}), 0);
    assert_int_equal(meta_state_get(&b.db, &again, NULL), 0);
    assert_int_equal(again.clock_ms, 7);
    base_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone_it_is_the_own_clock_and_never_goes_back),
        cmocka_unit_test(of_three_it_is_the_second),
        cmocka_unit_test(two_of_three_are_enough_and_the_slower_counts),
        cmocka_unit_test(of_four_two_that_run_ahead_are_no_majority),
        cmocka_unit_test(only_who_keeps_the_catalogue_votes),
        cmocka_unit_test(who_votes_twice_is_refused),
        cmocka_unit_test(it_is_read_again_with_the_database),
    };

    return cmocka_run_group_tests_name("apply_clock", tests, NULL, NULL);
}
