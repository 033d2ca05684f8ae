/* Goal: groups stand on distinct failure domains, evenly, and move little.
 * Method: many groups over made-up fleets; counts compared with the ideal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "erasure/placement.h"

#define GROUPS 2000

static void choose(const struct placement_drive *drives, size_t n, uint32_t id,
                   struct placement_group *g, unsigned *distinct)
{
    *g = (struct placement_group){.id = id, .policy = {.k = 4, .m = 2}};
    assert_int_equal(placement_choose(drives, n, g, distinct, NULL), 0);
}

static void six_drives_hold_each_group_once(void **state)
{
    struct placement_drive drives[6] = {{0}};
    unsigned first[6] = {0};

    (void)state;
    for (uint16_t i = 0; i < 6; i++) {
        drives[i] = (struct placement_drive){.drive = i, .weight = 1};
    }
    for (uint32_t id = 0; id < GROUPS; id++) {
        struct placement_group g;
        unsigned distinct;
        choose(drives, 6, id, &g, &distinct);
        assert_int_equal(distinct, 6);
        first[g.slots[0]]++;
    }
    for (int i = 0; i < 6; i++) {
        assert_in_range(first[i], GROUPS / 6 * 8 / 10, GROUPS / 6 * 12 / 10);
    }
}

static void zones_come_before_nodes_before_drives(void **state)
{
    struct placement_drive drives[24];

    (void)state;
    for (uint16_t i = 0; i < 24; i++) {
        drives[i] = (struct placement_drive){.drive = i,
                                             .node = (uint16_t)(i / 2),
                                             .zone = (uint16_t)(i / 8),
                                             .weight = 1};
    }
    for (uint32_t id = 0; id < 500; id++) {
        struct placement_group g;
        unsigned distinct, zones[3] = {0}, nodes[12] = {0};
        choose(drives, 24, id, &g, &distinct);
        assert_int_equal(distinct, 6);
        for (int s = 0; s < 6; s++) {
            zones[g.slots[s] / 8]++;
            nodes[g.slots[s] / 2]++;
        }
        for (int z = 0; z < 3; z++) {
            assert_true(zones[z] >= 1);
        }
        for (int n = 0; n < 12; n++) {
            assert_true(nodes[n] <= 1);
        }
    }
}

static void too_few_drives_are_used_evenly_and_counted(void **state)
{
    struct placement_drive drives[4];

    (void)state;
    for (uint16_t i = 0; i < 4; i++) {
        drives[i] = (struct placement_drive){
            .drive = i, .node = i, .zone = 0, .weight = 1};
    }
    for (uint32_t id = 0; id < 100; id++) {
        struct placement_group g;
        unsigned distinct, uses[4] = {0};
        choose(drives, 4, id, &g, &distinct);
        assert_int_equal(distinct, 4);
        for (int s = 0; s < 6; s++) {
            uses[g.slots[s]]++;
        }
        for (int d = 0; d < 4; d++) {
            assert_in_range(uses[d], 1, 2);
        }
    }
}

static void a_new_drive_takes_only_its_share(void **state)
{
    struct placement_drive drives[13];
    unsigned moved = 0;

    (void)state;
    for (uint16_t i = 0; i < 13; i++) {
        drives[i] = (struct placement_drive){
            .drive = i, .node = i, .zone = i, .weight = 1};
    }
    for (uint32_t id = 0; id < GROUPS; id++) {
        struct placement_group before, after;
        unsigned distinct;
        choose(drives, 12, id, &before, &distinct);
        choose(drives, 13, id, &after, &distinct);
        for (int s = 0; s < 6; s++) {
            unsigned had = 0;
            for (int t = 0; t < 6; t++) {
                had += before.slots[t] == after.slots[s];
            }
            moved += had == 0;
            if (had == 0) {
                assert_int_equal(after.slots[s], 12);
            }
        }
    }
    assert_in_range(moved, GROUPS * 6 / 13 * 9 / 10, GROUPS * 6 / 13 * 11 / 10);
}

static void twice_the_weight_holds_twice_as_much(void **state)
{
    struct placement_drive drives[30];
    unsigned heavy = 0, light = 0;

    (void)state;
    for (uint16_t i = 0; i < 30; i++) {
        drives[i] = (struct placement_drive){
            .drive = i, .node = i, .zone = i, .weight = i < 10 ? 2 : 1};
    }
    for (uint32_t id = 0; id < GROUPS; id++) {
        struct placement_group g;
        unsigned distinct;
        choose(drives, 30, id, &g, &distinct);
        for (int s = 0; s < 6; s++) {
            heavy += g.slots[s] < 10;
            light += g.slots[s] >= 10;
        }
    }
    /* Per drive: heavy/10 against light/20, a little under 2 because a drive
     * holds a group once. */
    assert_in_range(heavy * 20 * 100 / (light * 10), 170, 205);
}

static void the_order_of_the_drives_does_not_matter(void **state)
{
    struct placement_drive drives[12], turned[12];

    (void)state;
    for (uint16_t i = 0; i < 12; i++) {
        drives[i] = (struct placement_drive){
            .drive = i, .node = (uint16_t)(i / 2), .zone = 0, .weight = 1};
        turned[11 - i] = drives[i];
    }
    for (uint32_t id = 0; id < 200; id++) {
        struct placement_group a, b;
        unsigned distinct;
        choose(drives, 12, id, &a, &distinct);
        choose(turned, 12, id, &b, &distinct);
        assert_memory_equal(a.slots, b.slots, 6 * sizeof a.slots[0]);
    }
}

/* A change of the hash would move every shard: these must stay. */
static void the_answers_never_change(void **state)
{
    static const uint16_t golden[3][6] = {
        {11, 6, 9, 7, 1, 5},
        {10, 0, 2, 3, 11, 1},
        {8, 10, 5, 11, 6, 7},
    };
    struct placement_drive drives[12];

    (void)state;
    for (uint16_t i = 0; i < 12; i++) {
        drives[i] = (struct placement_drive){
            .drive = i, .node = i, .zone = i, .weight = 100};
    }
    for (uint32_t id = 0; id < 3; id++) {
        struct placement_group g;
        unsigned distinct;
        choose(drives, 12, id, &g, &distinct);
        assert_memory_equal(g.slots, golden[id], sizeof golden[id]);
    }
}

static void no_drive_is_an_error(void **state)
{
    struct placement_group g = {.policy = {.k = 1, .m = 0}};
    unsigned distinct;
    struct err err;

    (void)state;
    assert_int_equal(placement_choose(NULL, 0, &g, &distinct, &err),
                     ERR_UNAVAILABLE);
    assert_string_equal(err.text, "there is no drive");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(six_drives_hold_each_group_once),
        cmocka_unit_test(zones_come_before_nodes_before_drives),
        cmocka_unit_test(too_few_drives_are_used_evenly_and_counted),
        cmocka_unit_test(a_new_drive_takes_only_its_share),
        cmocka_unit_test(twice_the_weight_holds_twice_as_much),
        cmocka_unit_test(the_order_of_the_drives_does_not_matter),
        cmocka_unit_test(the_answers_never_change),
        cmocka_unit_test(no_drive_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
