/* Goal: a map travels as bytes and back, changes by one slot at a time, and
 * says truly what may be lost. Method: golden bytes of both versions; every
 * byte cut off and every field made wrong; map_survives against a model that
 * tries every set of losses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/wire.h"
#include "erasure/lrc.h"
#include "erasure/map.h"

static uint32_t seed = 12345;

static uint32_t below(uint32_t n)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % n;
}

/* @groups groups of 2+1 over drives 0..5, at some epochs. */
static struct placement_map small_map(uint32_t groups)
{
    struct placement_map m = {
        .epoch = 9, .policy = {.k = 2, .m = 1}, .count = groups};

    m.groups = calloc(groups, sizeof m.groups[0]);
    for (uint32_t g = 0; g < groups; g++) {
        m.groups[g] = (struct placement_group){
            .id = g, .epoch = 1 + g, .policy = {.k = 2, .m = 1}};
        for (unsigned s = 0; s < 3; s++) {
            m.groups[g].slots[s] = (uint16_t)((g + 2 * s) % 6);
        }
    }
    return m;
}

static void encode_v1(const struct placement_map *m, uint16_t drives,
                      struct buf *out)
{
    put_u8(out, 1);
    put_u8(out, m->policy.k);
    put_u8(out, m->policy.m);
    put_u16(out, drives);
    put_u32(out, m->count);
    for (uint32_t g = 0; g < m->count; g++) {
        put_u32(out, m->groups[g].id);
        put_u32(out, m->groups[g].epoch);
        for (unsigned s = 0; s < map_slots(m); s++) {
            put_u16(out, m->groups[g].slots[s]);
        }
    }
}

static void assert_same(const struct placement_map *a,
                        const struct placement_map *b)
{
    assert_int_equal(a->epoch, b->epoch);
    assert_int_equal(a->count, b->count);
    assert_memory_equal(&a->policy, &b->policy, sizeof a->policy);
    for (uint32_t g = 0; g < a->count; g++) {
        assert_memory_equal(&a->groups[g], &b->groups[g], sizeof a->groups[g]);
    }
}

static void a_map_is_decoded_as_it_was_encoded(void **state)
{
    struct placement_map m = small_map(5), again;
    struct buf b = {0};

    (void)state;
    map_encode(&m, &b);
    assert_int_equal(b.len, 12 + 5 * (8 + 6));
    assert_int_equal(map_decode(b.data, b.len, &again, NULL), 0);
    assert_same(&m, &again);
    map_free(&again);
    buf_free(&b);
    map_free(&m);
}

static void the_bytes_never_change(void **state)
{
    static const uint8_t golden[] = {
        2, 2, 1, 0, 9, 0, 0, 0, 2, 0, 0, 0,       /* head */
        0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0, 4, 0, /* group 0 */
        1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 3, 0, 5, 0, /* group 1 */
    };
    struct placement_map m = small_map(2);
    struct buf b = {0};

    (void)state;
    map_encode(&m, &b);
    assert_int_equal(b.len, sizeof golden);
    assert_memory_equal(b.data, golden, sizeof golden);
    buf_free(&b);
    map_free(&m);
}

static void the_layout_of_one_machine_is_decoded(void **state)
{
    static const uint8_t golden[] = {
        1, 2, 1, 6, 0, 2, 0, 0, 0,                /* head: 6 drives */
        0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0, 4, 0, /* group 0 */
        1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 3, 0, 5, 0, /* group 1 */
    };
    struct placement_map m = small_map(2), again;
    struct buf b = {0};

    (void)state;
    m.epoch = 2; /* its newest group */
    encode_v1(&m, 6, &b);
    assert_int_equal(b.len, sizeof golden);
    assert_memory_equal(b.data, golden, sizeof golden);
    assert_int_equal(map_decode(b.data, b.len, &again, NULL), 0);
    assert_same(&m, &again);
    map_free(&again);
    buf_free(&b);
    map_free(&m);
}

static void what_is_cut_or_longer_is_refused(void **state)
{
    struct placement_map m = small_map(3), out;
    struct buf b = {0};

    (void)state;
    for (int version = 1; version <= 2; version++) {
        buf_clear(&b);
        if (version == 1) {
            encode_v1(&m, 6, &b);
        } else {
            map_encode(&m, &b);
        }
        for (size_t len = 0; len < b.len; len++) {
            uint8_t *cut = malloc(len + 1); /* exact, for the sanitizer */
            memcpy(cut, b.data, len);
            cut = realloc(cut, len > 0 ? len : 1);
            assert_int_equal(map_decode(cut, len, &out, NULL), ERR_CORRUPT);
            free(cut);
        }
        put_u8(&b, 0);
        assert_int_equal(map_decode(b.data, b.len, &out, NULL), ERR_CORRUPT);
    }
    buf_free(&b);
    map_free(&m);
}

static void each_wrong_field_is_refused_by_name(void **state)
{
    static const struct {
        int version;
        size_t at;
        uint8_t value;
        int code;
        const char *why;
    } cases[] = {
        {2, 0, 3, ERR_VERSION, "placement map: version 3 is not known"},
        {2, 0, 0, ERR_VERSION, "placement map: version 0 is not known"},
        {2, 1, 0, ERR_CORRUPT, "placement map: the policy is out of bounds"},
        {2, 1, 17, ERR_CORRUPT, "placement map: the policy is out of bounds"},
        {2, 2, 7, ERR_CORRUPT, "placement map: the policy is out of bounds"},
        {2, 3, 9, ERR_CORRUPT, "placement map: the policy is out of bounds"},
        {2, 4, 0, ERR_CORRUPT, "placement map: its epoch is 0"},
        {2, 4, 2, ERR_CORRUPT, "placement map: a group is newer than the map"},
        {2, 8, 0, ERR_CORRUPT,
         "placement map: the count of groups does not fit the length"},
        {2, 11, 1, ERR_CORRUPT,
         "placement map: the count of groups does not fit the length"},
        {2, 12, 1, ERR_CORRUPT, "placement map: the groups are not in order"},
        {2, 16, 0, ERR_CORRUPT, "placement map: the epoch of a group is 0"},
        {1, 3, 5, ERR_CORRUPT, "placement map: a slot is on no drive"},
        {1, 9, 1, ERR_CORRUPT, "placement map: the groups are not in order"},
    };
    struct placement_map m = small_map(3), out;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf b = {0};
        struct err err;
        if (cases[i].version == 1) {
            encode_v1(&m, 6, &b);
        } else {
            map_encode(&m, &b);
        }
        b.data[cases[i].at] = cases[i].value;
        assert_int_equal(map_decode(b.data, b.len, &out, &err), cases[i].code);
        assert_string_equal(err.text, cases[i].why);
        buf_free(&b);
    }
    map_free(&m);
}

static void a_slot_on_no_drive_is_refused(void **state)
{
    struct placement_map m = small_map(1), out;
    struct buf b = {0};

    (void)state;
    map_encode(&m, &b);
    memset(b.data + b.len - 2, 0xff, 2);
    assert_int_equal(map_decode(b.data, b.len, &out, NULL), ERR_CORRUPT);
    buf_free(&b);
    map_free(&m);
}

static void a_move_changes_one_slot_and_raises_both_epochs(void **state)
{
    struct placement_map m = small_map(3), before;
    struct map_move move = {.group = 1, .slot = 2, .from = 5, .to = 7};

    (void)state;
    map_copy(&m, &before);
    assert_int_equal(map_apply(&m, &move, NULL), 0);
    assert_int_equal(m.groups[1].slots[2], 7);
    assert_int_equal(m.groups[1].epoch, before.groups[1].epoch + 1);
    assert_int_equal(m.epoch, before.epoch + 1);
    before.epoch++;
    before.groups[1].epoch++;
    before.groups[1].slots[2] = 7;
    assert_same(&m, &before);
    map_free(&before);
    map_free(&m);
}

static void a_move_that_does_not_fit_changes_nothing(void **state)
{
    static const struct {
        struct map_move move;
        int code;
        const char *why;
    } cases[] = {
        {{3, 0, 0, 1, 0},
         ERR_BAD_INPUT,
         "there is no slot 0 of group 3: the map has 3 groups of 3"},
        {{0, 3, 0, 1, 0},
         ERR_BAD_INPUT,
         "there is no slot 3 of group 0: the map has 3 groups of 3"},
        {{0, 0, 0, 65535, 0}, ERR_BAD_INPUT, "65535 is not the id of a drive"},
        {{1, 2, 4, 7, 0},
         ERR_PRECONDITION,
         "slot 2 of group 1 is on drive 5, not on 4"},
    };
    struct placement_map m = small_map(3), before;

    (void)state;
    map_copy(&m, &before);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err;
        assert_int_equal(map_apply(&m, &cases[i].move, &err), cases[i].code);
        assert_string_equal(err.text, cases[i].why);
        assert_same(&m, &before);
    }
    map_free(&before);
    map_free(&m);
}

#define FLEET 9

static unsigned domain(const struct map_drive *d, int level)
{
    return level == 0 ? d->id : level == 1 ? d->zone * 8u + d->node : d->zone;
}

/* Whether all groups read when the domains in @lost are gone. */
static bool reads(const struct placement_map *m, const struct map_drive *fleet,
                  int level, uint32_t lost)
{
    for (uint32_t g = 0; g < m->count; g++) {
        unsigned missing = 0;
        uint32_t have = 0;
        for (unsigned s = 0; s < map_slots(m); s++) {
            const struct map_drive *d = &fleet[m->groups[g].slots[s]];
            bool gone = d->state == MAP_DRIVE_GONE ||
                        (lost >> domain(d, level) & 1) != 0;
            missing += gone;
            have |= (uint32_t)!gone << s;
        }
        if (m->policy.l > 0 ? !lrc_decodes(m->policy.k, m->policy.l,
                                           m->policy.m - m->policy.l, have)
                            : missing > m->policy.m) {
            return false;
        }
    }
    return true;
}

/* By trying every set of domains. */
static unsigned survives_slowly(const struct placement_map *m,
                                const struct map_drive *fleet, int level)
{
    uint32_t all = 0;
    unsigned best = 0;

    for (unsigned i = 0; i < FLEET; i++) {
        all |= 1u << domain(&fleet[i], level);
    }
    for (bool every = true; every; best += every) {
        for (uint32_t lost = all; lost > 0 && every; lost = (lost - 1) & all) {
            every = (unsigned)__builtin_popcount(lost) != best + 1 ||
                    reads(m, fleet, level, lost);
        }
        every = every && (unsigned)__builtin_popcount(all) >= best + 1;
    }
    return best;
}

static void survival_is_that_of_the_worst_case(void **state)
{
    struct map_drive fleet[FLEET] = {{0}};
    unsigned seen = 0, beyond = 0;

    (void)state;
    for (int round = 0; round < 600; round++) {
        struct placement_map m = {.epoch = 1, .policy = {.k = 2, .m = 3}};
        struct map_survival v;
        if (round % 2) {
            m.policy = (struct ec_policy){4, 4, 2};
        }
        m.count = 1 + below(round % 2 ? 2 : 6);
        m.groups = calloc(m.count, sizeof m.groups[0]);
        for (uint16_t i = 0; i < FLEET; i++) {
            fleet[i] = (struct map_drive){
                .id = i, .node = i / 2 % 8, .zone = i / 5, .weight = 1};
            fleet[i].state = below(12) == 0 ? MAP_DRIVE_GONE : MAP_DRIVE_UP;
        }
        for (uint32_t g = 0; g < m.count; g++) {
            uint16_t first = (uint16_t)below(FLEET);
            for (unsigned s = 0; s < map_slots(&m); s++) {
                m.groups[g].slots[s] = (uint16_t)((first + s * 2) % FLEET);
            }
        }
        v = map_survives(&m, fleet, FLEET);
        if (reads(&m, fleet, 0, 0)) {
            assert_int_equal(v.groups_lost, 0);
            assert_int_equal(v.drives, survives_slowly(&m, fleet, 0));
            assert_int_equal(v.nodes, survives_slowly(&m, fleet, 1));
            assert_int_equal(v.zones, survives_slowly(&m, fleet, 2));
            seen |= 1u << v.drives;
            beyond += m.policy.l > 0 && v.nodes >= 2;
        } else {
            assert_true(v.groups_lost > 0);
            assert_int_equal(v.drives, 0);
        }
        map_free(&m);
    }
    assert_true((seen & 0xc) == 0xc); /* 2 and 3 drives were among them */
    /* Two nodes of two shards each, where any 3 losses are all one can count
     * on: more by the kinds of shards that they hold. */
    assert_true(beyond > 0);
}

static void local_groups_are_kept_and_counted_with_what_they_survive(
    void **state)
{
    struct placement_map m = {.epoch = 1, .policy = {6, 4, 2}, .count = 1};
    struct placement_map again;
    struct map_drive fleet[10] = {{0}};
    struct map_survival v;
    struct buf b = {0};

    (void)state;
    m.groups = calloc(1, sizeof m.groups[0]);
    m.groups[0].epoch = 1;
    m.groups[0].policy = m.policy;
    for (uint16_t i = 0; i < 10; i++) {
        m.groups[0].slots[i] = i;
        fleet[i] = (struct map_drive){
            .id = i, .node = i / 2, .zone = i / 5, .weight = 1};
    }
    map_encode(&m, &b);
    assert_int_equal(b.data[3], 2);
    assert_int_equal(map_decode(b.data, b.len, &again, NULL), 0);
    assert_same(&m, &again);
    v = map_survives(&m, fleet, 10);
    assert_int_equal(v.drives, 3);
    assert_int_equal(v.nodes, 1);
    assert_int_equal(v.zones, 0);
    buf_free(&b);
    map_free(&again);
    map_free(&m);
}

static void an_unknown_drive_counts_as_lost(void **state)
{
    struct placement_map m = small_map(6);
    struct map_drive fleet[6] = {{0}};
    struct map_survival v;

    (void)state;
    for (uint16_t i = 0; i < 6; i++) {
        fleet[i] = (struct map_drive){.id = i, .node = i, .weight = 1};
    }
    v = map_survives(&m, fleet, 6);
    assert_int_equal(v.drives, 1);
    assert_int_equal(v.zones, 0);
    assert_int_equal(v.groups_degraded, 0);
    v = map_survives(&m, fleet, 5);
    assert_int_equal(v.drives, 0);
    assert_int_equal(v.groups_degraded, 3);
    assert_int_equal(v.groups_lost, 0);
    v = map_survives(&m, fleet, 3);
    assert_true(v.groups_lost > 0);
    map_free(&m);
}

static void the_operator_is_told_in_a_sentence(void **state)
{
    static const struct {
        struct map_survival v;
        const char *text;
    } cases[] = {
        {{1, 1, 2, 0, 0},
         "survives the loss of any 2 drives, or any 1 node, or any 1 zone"},
        {{0, 2, 2, 0, 0}, "survives the loss of any 2 drives, or any 2 nodes"},
        {{0, 0, 1, 5, 0}, "survives the loss of any 1 drive"},
        {{0, 0, 0, 0, 0}, "survives the loss of no drive"},
        {{0, 0, 0, 1, 3},
         "cannot be read now: 3 placement groups miss too many shards"},
    };
    char text[MAP_SURVIVES_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_string_equal(map_survives_text(&cases[i].v, text),
                            cases[i].text);
    }
}

static void balance_is_the_fullest_over_the_mean(void **state)
{
    struct placement_map m = small_map(6);
    struct map_drive fleet[6] = {{0}};

    (void)state;
    for (uint16_t i = 0; i < 6; i++) {
        fleet[i] = (struct map_drive){.id = i, .node = i, .weight = 4};
    }
    assert_true(map_balance(&m, fleet, 6) == 1.0);
    fleet[3].weight = 2; /* holds twice its part: 1.5 over 18 / 22 */
    assert_true(map_balance(&m, fleet, 6) > 1.83);
    assert_true(map_balance(&m, fleet, 6) < 1.84);
    fleet[3].state = MAP_DRIVE_GONE; /* not counted */
    assert_true(map_balance(&m, fleet, 6) == 1.0);
    assert_true(map_balance(&m, fleet, 0) == 0);
    map_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_is_decoded_as_it_was_encoded),
        cmocka_unit_test(the_bytes_never_change),
        cmocka_unit_test(the_layout_of_one_machine_is_decoded),
        cmocka_unit_test(what_is_cut_or_longer_is_refused),
        cmocka_unit_test(each_wrong_field_is_refused_by_name),
        cmocka_unit_test(a_slot_on_no_drive_is_refused),
        cmocka_unit_test(a_move_changes_one_slot_and_raises_both_epochs),
        cmocka_unit_test(a_move_that_does_not_fit_changes_nothing),
        cmocka_unit_test(survival_is_that_of_the_worst_case),
        cmocka_unit_test(
            local_groups_are_kept_and_counted_with_what_they_survive),
        cmocka_unit_test(an_unknown_drive_counts_as_lost),
        cmocka_unit_test(the_operator_is_told_in_a_sentence),
        cmocka_unit_test(balance_is_the_fullest_over_the_mean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
