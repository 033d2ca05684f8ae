/* Goal: caps make failure domains as distinct as they can be, and shares follow
 * weight as far as the caps allow.
 * Method: fleets whose answer is plain, then random fleets against the rules.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "erasure/map_shares.h"

#define FLEET_MAX 400
#define GROUPS 1000

static uint32_t seed = 12345;

static uint32_t below(uint32_t n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

/* @zones zones of @nodes nodes of @each drives of weight 1. */
static size_t even(struct map_drive *out, unsigned zones, unsigned nodes,
                   unsigned each)
{
    size_t n = 0;

    for (unsigned z = 0; z < zones; z++) {
        for (unsigned i = 0; i < nodes * each; i++) {
            out[n] = (struct map_drive){.id = (uint16_t)n,
                                        .node = (uint16_t)(i / each),
                                        .zone = (uint16_t)z,
                                        .weight = 1,
                                        .free_bytes = 1};
            n++;
        }
    }
    return n;
}

static void caps_are_as_small_as_the_domains_allow(void **state)
{
    static const struct {
        unsigned zones, nodes, each, slots, drive, node, zone;
    } cases[] = {
        {1, 1, 6, 6, 1, 6, 6},  {1, 1, 4, 6, 2, 6, 6},  {1, 6, 2, 6, 1, 1, 6},
        {3, 2, 2, 6, 1, 1, 2},  {3, 1, 6, 6, 1, 2, 2},  {6, 3, 3, 6, 1, 1, 1},
        {4, 5, 5, 6, 1, 1, 2},  {2, 1, 1, 6, 3, 3, 3},  {1, 1, 1, 6, 6, 6, 6},
        {5, 1, 3, 12, 1, 3, 3}, {3, 3, 1, 12, 2, 2, 4}, {1, 3, 8, 1, 1, 1, 1},
    };
    struct map_drive fleet[FLEET_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t n = even(fleet, cases[i].zones, cases[i].nodes, cases[i].each);
        struct map_shares s;
        assert_int_equal(
            map_shares_new(fleet, n, cases[i].slots, GROUPS, NULL, &s, NULL),
            0);
        assert_int_equal(s.caps.drive, cases[i].drive);
        assert_int_equal(s.caps.node, cases[i].node);
        assert_int_equal(s.caps.zone, cases[i].zone);
        map_shares_free(&s);
    }
}

static void shares_follow_weight(void **state)
{
    struct map_drive fleet[FLEET_MAX];
    size_t n = even(fleet, 10, 2, 3);
    struct map_shares s;

    (void)state;
    fleet[7].weight = 3;
    assert_int_equal(map_shares_new(fleet, n, 6, 1033, NULL, &s, NULL), 0);
    for (uint32_t i = 0; i < s.count; i++) {
        int64_t want = (s.drives[i].weight) * 6 * 1033 * MAP_SHARE_ONE / 62;
        assert_in_range(s.drives[i].share, want - 1, want + 1);
    }
    map_shares_free(&s);
}

static void a_small_zone_is_bounded_by_its_cap_and_the_rest_shared(void **state)
{
    /* 2+1 over zones of 1, 1 and 2 drives: each has one slot of each group. */
    struct map_drive fleet[4] = {{0}};
    static const int64_t want[4] = {GROUPS, GROUPS, GROUPS / 2, GROUPS / 2};
    struct map_shares s;

    (void)state;
    for (uint16_t i = 0; i < 4; i++) {
        fleet[i] = (struct map_drive){.id = i,
                                      .node = i,
                                      .zone = i < 2 ? i : 2,
                                      .weight = 100,
                                      .free_bytes = 1};
    }
    assert_int_equal(map_shares_new(fleet, 4, 3, GROUPS, NULL, &s, NULL), 0);
    for (int i = 0; i < 4; i++) {
        assert_in_range(s.drives[i].share, want[i] * MAP_SHARE_ONE - 1,
                        want[i] * MAP_SHARE_ONE + 1);
    }
    map_shares_free(&s);
}

static void distinctness_is_not_bought_at_any_price(void **state)
{
    struct map_drive fleet[FLEET_MAX];
    size_t n = even(fleet, 3, 10, 10);
    struct map_shares s;

    (void)state;
    /* The first four drives of a fourth zone, for 8+4: at a cap of 3 they would
     * hold a quarter of all, 25 times the mean. */
    for (int i = 0; i < 4; i++) {
        fleet[n] = (struct map_drive){.id = (uint16_t)n,
                                      .zone = 3,
                                      .node = (uint16_t)i,
                                      .weight = 1,
                                      .free_bytes = 1};
        n++;
    }
    assert_int_equal(map_shares_new(fleet, n, 12, GROUPS, NULL, &s, NULL), 0);
    assert_int_equal(s.caps.zone, 4);
    map_shares_free(&s);
    /* Twenty-five such are worth it. */
    n = even(fleet, 4, 5, 5);
    for (size_t i = 0; i < 75; i++) {
        fleet[i].weight = 4;
    }
    assert_int_equal(map_shares_new(fleet, n, 12, GROUPS, NULL, &s, NULL), 0);
    assert_int_equal(s.caps.zone, 3);
    map_shares_free(&s);
}

static void drives_that_are_not_up_have_no_share(void **state)
{
    struct map_drive fleet[FLEET_MAX];
    size_t n = even(fleet, 1, 1, 9);
    struct map_shares s;

    (void)state;
    fleet[2].state = MAP_DRIVE_DRAINING;
    fleet[4].state = MAP_DRIVE_GONE;
    fleet[6].weight = 0;
    assert_int_equal(map_shares_new(fleet, n, 6, GROUPS, NULL, &s, NULL), 0);
    assert_int_equal(s.count, 6);
    assert_int_equal(s.number[2], MAP_NO_NUMBER);
    assert_int_equal(s.number[4], MAP_NO_NUMBER);
    assert_int_equal(s.number[6], MAP_NO_NUMBER);
    assert_int_equal(s.drives[s.number[8]].id, 8);
    map_shares_free(&s);
}

static void a_full_drive_keeps_what_it_has(void **state)
{
    struct map_drive fleet[FLEET_MAX];
    size_t n = even(fleet, 1, 1, 4);
    struct placement_map m = {
        .epoch = 1, .policy = {.k = 2, .m = 0}, .count = 100};
    struct map_shares s;

    (void)state;
    m.groups = calloc(100, sizeof m.groups[0]);
    for (uint32_t g = 0; g < 100; g++) {
        m.groups[g].slots[0] = g < 20 ? 0 : 1;
        m.groups[g].slots[1] = 2;
    }
    fleet[0].free_bytes = 0;
    assert_int_equal(map_shares_new(fleet, n, 2, 100, &m, &s, NULL), 0);
    assert_int_equal(s.drives[0].load, 20);
    assert_int_equal(s.drives[0].share, 20 * MAP_SHARE_ONE);
    assert_int_equal(s.drives[3].share, 60 * MAP_SHARE_ONE);
    map_shares_free(&s);
    map_free(&m);
}

/* Sums, caps, and that who is not bounded by a cap is filled alike. */
static void random_fleets_keep_the_rules(void **state)
{
    struct map_drive fleet[FLEET_MAX];

    (void)state;
    for (int round = 0; round < 100; round++) {
        size_t n = 1 + below(200);
        unsigned slots = 1 + below(16);
        unsigned zones = 1 + below(6), nodes = 1 + below(8);
        struct map_shares s;
        int64_t sum = 0;
        double rate = 0;
        for (size_t i = 0; i < n; i++) {
            fleet[i] = (struct map_drive){.id = (uint16_t)i,
                                          .zone = (uint16_t)below(zones),
                                          .node = (uint16_t)below(nodes),
                                          .weight = 1000 + below(9000),
                                          .free_bytes = 1};
        }
        assert_int_equal(
            map_shares_new(fleet, n, slots, GROUPS, NULL, &s, NULL), 0);
        for (uint32_t i = 0; i < s.count; i++) {
            const struct map_usable *d = &s.drives[i];
            double r = (double)d->share / d->weight;
            sum += d->share;
            rate = r > rate ? r : rate;
            assert_true(d->share <=
                        (int64_t)s.caps.drive * GROUPS * MAP_SHARE_ONE);
        }
        assert_in_range(sum, (int64_t)slots * GROUPS * MAP_SHARE_ONE - s.count,
                        (int64_t)slots * GROUPS * MAP_SHARE_ONE + s.count);
        for (uint32_t i = 0; i < s.count; i++) {
            const struct map_usable *d = &s.drives[i];
            int64_t zone = 0, node = 0, one = GROUPS * MAP_SHARE_ONE;
            for (uint32_t o = d->zone_first; o < d->zone_end; o++) {
                zone += s.drives[o].share;
                node += o >= d->node_first && o < d->node_end
                            ? s.drives[o].share
                            : 0;
            }
            assert_true(zone <= s.caps.zone * one + s.count);
            assert_true(node <= s.caps.node * one + s.count);
            if (zone < s.caps.zone * one - s.count &&
                node < s.caps.node * one - s.count &&
                d->share < s.caps.drive * one - 1) {
                assert_true((double)d->share / d->weight > rate - 0.002);
            }
        }
        map_shares_free(&s);
    }
}

static void bad_lists_are_refused(void **state)
{
    static struct map_drive fleet[PLACEMENT_DRIVES_MAX + 1];
    struct map_shares s;
    struct err err;

    (void)state;
    assert_int_equal(map_shares_new(NULL, 0, 6, 1, NULL, &s, &err),
                     ERR_UNAVAILABLE);
    assert_string_equal(err.text, "no drive is up that may hold a shard");
    even(fleet, 1, 1, 3);
    fleet[2].id = 0;
    assert_int_equal(map_shares_new(fleet, 3, 6, 1, NULL, &s, &err),
                     ERR_BAD_INPUT);
    assert_string_equal(err.text, "drive 0 is listed twice");
    fleet[2].id = PLACEMENT_NO_DRIVE;
    assert_int_equal(map_shares_new(fleet, 3, 6, 1, NULL, &s, &err),
                     ERR_BAD_INPUT);
    assert_string_equal(err.text, "65535 is not the id of a drive");
    even(fleet, 1, 1, PLACEMENT_DRIVES_MAX + 1);
    assert_int_equal(
        map_shares_new(fleet, PLACEMENT_DRIVES_MAX + 1, 6, 1, NULL, &s, &err),
        ERR_LIMIT);
    assert_string_equal(err.text, "10001 drives are more than 10000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(caps_are_as_small_as_the_domains_allow),
        cmocka_unit_test(shares_follow_weight),
        cmocka_unit_test(
            a_small_zone_is_bounded_by_its_cap_and_the_rest_shared),
        cmocka_unit_test(distinctness_is_not_bought_at_any_price),
        cmocka_unit_test(drives_that_are_not_up_have_no_share),
        cmocka_unit_test(a_full_drive_keeps_what_it_has),
        cmocka_unit_test(random_fleets_keep_the_rules),
        cmocka_unit_test(bad_lists_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
