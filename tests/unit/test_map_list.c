/* test_map_list.c: a placement map for each policy in one layout.
 *
 * Goal: a list travels as bytes and back, and lists of one map are the bytes of
 * before; groups keep their numbers when maps are added; what the drives cannot
 * hold is refused with what it would survive; drives that have near their share
 * in each map have it in sum, and changes of drives are planned for each.
 * Method: bytes by hand, cut off and made wrong; fleets of several shapes.
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
#include "erasure/map_list.h"
#include "erasure/map_plan.h"

#define FLEET_MAX 200

static const struct ec_policy rs42 = {4, 2, 0}, copies = {1, 2, 0},
                              lrc = {6, 4, 2};

static size_t fleet(struct map_drive *out, unsigned nodes, unsigned each)
{
    size_t count = 0;

    for (unsigned n = 0; n < nodes; n++) {
        for (unsigned d = 0; d < each; d++) {
            out[count] = (struct map_drive){.id = (uint16_t)count,
                                            .node = (uint16_t)n,
                                            .zone = (uint16_t)(n % 5),
                                            .weight = 1000 + 500 * (d % 3),
                                            .free_bytes = 1};
            count++;
        }
    }
    return count;
}

static void make_first(struct map_list *l, const struct map_drive *drives,
                       size_t count)
{
    *l = (struct map_list){.count = 1};
    assert_int_equal(map_make(rs42, 64, drives, count, &l->maps[0], NULL), 0);
}

static void make_three(struct map_list *l, const struct map_drive *drives,
                       size_t count)
{
    make_first(l, drives, count);
    assert_int_equal(map_list_add(l, copies, drives, count, NULL), 0);
    assert_int_equal(map_list_add(l, lrc, drives, count, NULL), 0);
    assert_int_equal(l->count, 3);
}

static void assert_same(const struct map_list *a, const struct map_list *b)
{
    assert_int_equal(a->count, b->count);
    for (unsigned i = 0; i < a->count; i++) {
        const struct placement_map *x = &a->maps[i], *y = &b->maps[i];
        assert_int_equal(x->epoch, y->epoch);
        assert_int_equal(x->count, y->count);
        assert_memory_equal(&x->policy, &y->policy, sizeof x->policy);
        assert_memory_equal(x->groups, y->groups,
                            x->count * sizeof x->groups[0]);
    }
}

static void a_list_is_decoded_as_it_was_encoded(void **state)
{
    struct map_drive drives[FLEET_MAX];
    size_t count = fleet(drives, 6, 2);
    struct map_list l, again;
    struct buf bytes = {0};

    (void)state;
    make_three(&l, drives, count);
    map_list_encode(&l, &bytes);
    assert_memory_equal(bytes.data, ((uint8_t[]){3, 3, 0, 0}), 4);
    assert_int_equal(bytes.len,
                     4 + 3 * (4 + 12) + 64 * (8 + 12 + 8 + 6 + 8 + 20));
    assert_int_equal(map_list_decode(bytes.data, bytes.len, &again, NULL), 0);
    assert_same(&l, &again);
    map_list_free(&again);
    for (size_t len = 0; len < bytes.len; len += len < 40 ? 1 : 37) {
        uint8_t *cut = malloc(len + 1);
        memcpy(cut, bytes.data, len);
        assert_int_equal(map_list_decode(cut, len, &again, NULL), ERR_CORRUPT);
        free(cut);
    }
    buf_char(&bytes, 'x');
    assert_int_equal(map_list_decode(bytes.data, bytes.len, &again, NULL),
                     ERR_CORRUPT);
    buf_free(&bytes);
    map_list_free(&l);
    map_list_free(&l);
}

static void one_map_is_the_bytes_of_before(void **state)
{
    struct map_drive drives[FLEET_MAX];
    size_t count = fleet(drives, 6, 1);
    struct buf one = {0}, list = {0};
    struct map_list l, again;

    (void)state;
    make_first(&l, drives, count);
    map_encode(&l.maps[0], &one);
    map_list_encode(&l, &list);
    assert_int_equal(one.len, list.len);
    assert_memory_equal(one.data, list.data, one.len);
    assert_int_equal(map_list_decode(one.data, one.len, &again, NULL), 0);
    assert_same(&l, &again);
    map_list_free(&again);
    one.data[0] = 9;
    assert_int_equal(map_list_decode(one.data, one.len, &again, NULL),
                     ERR_VERSION);
    buf_free(&one);
    buf_free(&list);
    map_list_free(&l);
}

/* One field made wrong. */
static void each_condition_is_refused_by_name(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
        const char *says;
    } rows[] = {
        {1, 0, "head"},   {1, 1, "head"},       {1, 17, "head"},
        {1, 2, "left"},   {1, 4, "cut off"},    {2, 1, "head"},
        {3, 1, "head"},   {8, 1, "version"},    {8, 3, "version"},
        {9, 0, "policy"}, {7, 0xff, "cut off"},
    };
    struct map_drive drives[FLEET_MAX];
    size_t count = fleet(drives, 6, 2);
    struct buf bytes = {0}, twice = {0};
    struct map_list l, out;
    struct err err;

    (void)state;
    make_three(&l, drives, count);
    map_list_encode(&l, &bytes);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t was = bytes.data[rows[i].at];
        bytes.data[rows[i].at] = rows[i].value;
        assert_int_equal(map_list_decode(bytes.data, bytes.len, &out, &err),
                         ERR_CORRUPT);
        if (strstr(err.text, rows[i].says) == NULL) {
            fail_msg("row %zu: %s", i, err.text);
        }
        bytes.data[rows[i].at] = was;
    }
    map_free(&l.maps[2]);
    map_copy(&l.maps[1], &l.maps[2]);
    map_list_encode(&l, &twice);
    assert_int_equal(map_list_decode(twice.data, twice.len, &out, &err),
                     ERR_CORRUPT);
    assert_non_null(strstr(err.text, "one policy"));
    buf_free(&bytes);
    buf_free(&twice);
    map_list_free(&l);
}

static void groups_count_on_and_keep_their_numbers(void **state)
{
    struct map_drive drives[FLEET_MAX];
    size_t count = fleet(drives, 6, 2);
    struct placement_group *before, *after;
    struct map_list l;

    (void)state;
    make_first(&l, drives, count);
    before = map_list_flat(&l);
    assert_int_equal(map_list_add(&l, copies, drives, count, NULL), 0);
    assert_int_equal(map_list_add(&l, lrc, drives, count, NULL), 0);
    after = map_list_flat(&l);
    assert_int_equal(map_list_groups(&l), 192);
    assert_int_equal(map_list_first(&l, 0), 0);
    assert_int_equal(map_list_first(&l, 2), 128);
    assert_memory_equal(before, after, 64 * sizeof before[0]);
    for (uint32_t i = 0; i < 192; i++) {
        const struct placement_map *m = &l.maps[i / 64];
        assert_int_equal(after[i].id, i);
        assert_true(ec_policy_same(after[i].policy, m->policy));
        assert_memory_equal(after[i].slots, m->groups[i % 64].slots,
                            sizeof after[i].slots);
    }
    assert_int_equal(map_list_find(&l, rs42), 0);
    assert_int_equal(map_list_find(&l, lrc), 2);
    assert_int_equal(map_list_find(&l, (struct ec_policy){6, 4, 0}), -1);
    free(before);
    free(after);
    map_list_free(&l);
}

static void what_the_drives_cannot_hold_is_refused(void **state)
{
    struct map_drive drives[FLEET_MAX];
    size_t count = fleet(drives, 6, 1);
    struct map_list l;
    struct err err;

    (void)state;
    make_first(&l, drives, count);
    assert_int_equal(map_list_add(&l, lrc, drives, count, &err),
                     ERR_PRECONDITION);
    assert_string_equal(
        err.text,
        "6+2+2 is for the loss of any 3 drives and wants 10 of them; "
        "over those that there are it survives the loss of any 1 "
        "drive, or any 1 node, or any 1 zone");
    assert_int_equal(map_list_add(&l, rs42, drives, count, &err), ERR_EXISTS);
    assert_int_equal(l.count, 1);
    for (uint8_t k = 1; l.count < MAP_LIST_MAX; k++) {
        struct ec_policy p = {(uint8_t)(1 + k % 5), (uint8_t)(k / 5), 0};
        int rc = p.k + p.m > 6 ? 0 : map_list_add(&l, p, drives, count, NULL);
        assert_true(rc == 0 || rc == ERR_EXISTS);
    }
    assert_int_equal(
        map_list_add(&l, (struct ec_policy){6, 0, 0}, drives, count, &err),
        ERR_LIMIT);
    map_list_free(&l);
}

/* Slots for each weight of the fullest drive over the mean, in all maps. */
static double balance(const struct map_list *l, const struct map_drive *drives,
                      size_t count)
{
    double weights = 0, slots = 0, fullest = 0;

    for (size_t d = 0; d < count; d++) {
        unsigned load = 0;
        for (unsigned i = 0; i < l->count; i++) {
            for (uint32_t g = 0; g < l->maps[i].count; g++) {
                for (unsigned s = 0; s < map_slots(&l->maps[i]); s++) {
                    load += l->maps[i].groups[g].slots[s] == drives[d].id;
                }
            }
        }
        weights += drives[d].weight;
        slots += load;
        fullest = load / (double)drives[d].weight > fullest
                      ? load / (double)drives[d].weight
                      : fullest;
    }
    return fullest / (slots / weights);
}

/* No worse in sum than the worst of them by itself: for one, with 6+2+2 over
 * ten drives each has a shard of everything, whatever its weight. */
static void the_maps_are_balanced_in_sum(void **state)
{
    static const struct {
        unsigned nodes, each;
    } shapes[] = {{5, 2}, {10, 1}, {10, 3}, {25, 4}};
    static const struct ec_policy policies[] = {
        {4, 2, 0}, {1, 2, 0}, {6, 4, 2}};

    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct map_drive drives[FLEET_MAX];
        size_t count = fleet(drives, shapes[i].nodes, shapes[i].each);
        struct map_list l = {.count = 3};
        double alone[3], all, worst = 0;
        for (unsigned n = 0; n < 3; n++) {
            struct map_list one = {.count = 1};
            assert_int_equal(
                map_make(policies[n], 256, drives, count, &l.maps[n], NULL), 0);
            one.maps[0] = l.maps[n];
            alone[n] = balance(&one, drives, count);
            worst = alone[n] > worst ? alone[n] : worst;
        }
        all = balance(&l, drives, count);
        print_message(
            "%zu drives: fullest over mean: 4+2 %.3f, 1+2 %.3f, "
            "6+2+2 %.3f, all %.3f\n",
            count, alone[0], alone[1], alone[2], all);
        assert_true(all <= worst);
        map_list_free(&l);
    }
}

/* A drive is lost: each map is planned, and none loses more than its own. */
static void each_map_is_planned_and_the_worst_is_told(void **state)
{
    struct map_drive drives[FLEET_MAX];
    size_t count = fleet(drives, 12, 1);
    struct map_survival s;
    struct map_list l;

    (void)state;
    make_three(&l, drives, count);
    s = map_list_survives(&l, drives, count);
    assert_int_equal(s.drives, 2); /* 6+2+2 alone survives 3 */
    assert_int_equal(map_survives(&l.maps[2], drives, count).drives, 3);
    drives[3].state = MAP_DRIVE_GONE;
    s = map_list_survives(&l, drives, count);
    assert_int_equal(s.drives, 1);
    assert_true(s.groups_degraded >
                map_survives(&l.maps[0], drives, count).groups_degraded);
    for (unsigned i = 0; i < l.count; i++) {
        struct map_plan plan;
        assert_int_equal(map_plan(&l.maps[i], drives, count, &plan, NULL), 0);
        assert_true(plan.count > 0);
        for (size_t n = 0; n < plan.count; n++) {
            assert_int_equal(map_apply(&l.maps[i], &plan.moves[n], NULL), 0);
        }
        map_plan_free(&plan);
    }
    s = map_list_survives(&l, drives, count);
    assert_int_equal(s.drives, 2);
    assert_int_equal(s.groups_degraded, 0);
    map_list_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_decoded_as_it_was_encoded),
        cmocka_unit_test(one_map_is_the_bytes_of_before),
        cmocka_unit_test(each_condition_is_refused_by_name),
        cmocka_unit_test(groups_count_on_and_keep_their_numbers),
        cmocka_unit_test(what_the_drives_cannot_hold_is_refused),
        cmocka_unit_test(the_maps_are_balanced_in_sum),
        cmocka_unit_test(each_map_is_planned_and_the_worst_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
