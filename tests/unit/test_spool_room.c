/* test_spool_room.c: who may have room in a full spool, and who gives way.
 *
 * Goal: what is past its deadline goes first; priorities and reserved room are
 * kept; a lower bound counts at once. Method: a spool of 8 MiB in a folder of
 * the test's own, full of objects of 60 KiB, and a clock that it sets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "edge-agent/spool.h"
#include "tests/lib/temp_dir.h"

#define MIB ((uint64_t)1 << 20)
#define NOW 1795000000000ull
#define SIZE (60 * 1024)

struct world {
    char *dir;
    struct spool_disk disk;
    struct spool *spool;
    struct spool_rules rules;
    size_t shed, shed_of[SPOOL_CLASSES];
    char why[32]; /* of the last */
};

static uint64_t now_ms;

static uint64_t fake_real_ms(void *data)
{
    (void)data;
    return now_ms;
}

static uint64_t fake_mono_us(void *data)
{
    (void)data;
    return now_ms * 1000;
}

static void fake_sleep_ms(void *data, uint64_t ms)
{
    (void)data;
    now_ms += ms;
}

static void on_shed(void *arg, const struct spool_object *o, const char *why)
{
    struct world *w = arg;

    w->shed++;
    w->shed_of[o->class_id]++;
    snprintf(w->why, sizeof w->why, "%s", why);
}

static int set_up(void **state)
{
    static const struct clock_ops clock = {fake_real_ms, fake_mono_us,
                                           fake_sleep_ms, NULL};
    struct world *w = mem_alloc(sizeof *w);
    struct spool_options o = {
        .max_bytes = 8 * MIB, .max_objects = 100000, .shed = on_shed, .arg = w};

    now_ms = NOW;
    clock_use(&clock);
    w->dir = temp_dir_new();
    assert_int_equal(spool_disk_open(w->dir, &w->disk, NULL), 0);
    assert_int_equal(spool_open(&w->disk, &o, &w->spool, NULL), 0);
    w->rules.max_bytes = o.max_bytes;
    w->rules.max_objects = o.max_objects;
    for (uint8_t c = 0; c < SPOOL_CLASSES; c++) {
        w->rules.priority[c] = c;
    }
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    spool_close(w->spool);
    spool_disk_close(&w->disk);
    temp_dir_free(w->dir);
    free(w);
    clock_use(NULL);
    return 0;
}

static int put(struct world *w, uint8_t class_id, struct err *err)
{
    struct spool_object o = {.kind = SPOOL_OBJECT,
                             .class_id = class_id,
                             .time_ms = now_ms,
                             .key = "b/k",
                             .key_len = 3};
    uint8_t *payload;
    uint64_t id;
    int code = spool_begin(w->spool, 3, 0, SIZE, class_id, &payload, err);

    if (code == 0) {
        memset(payload, 7, SIZE);
        spool_end(w->spool, &o, &id);
        code = spool_commit(w->spool, err);
    }
    return code;
}

/* Until it is full; how many. */
static size_t fill(struct world *w, uint8_t class_id)
{
    struct err err;
    size_t n = 0;
    int code;

    while ((code = put(w, class_id, &err)) == 0) {
        n++;
    }
    assert_int_equal(code, ERR_FULL);
    return n;
}

static void what_is_past_its_deadline_goes_first(void **state)
{
    struct world *w = *state;
    struct spool_status st;
    size_t n;

    w->rules.deadline_ms[3] = 60000;
    spool_set_rules(w->spool, &w->rules);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(put(w, 3, NULL), 0);
    }
    n = fill(w, 5);
    now_ms += 60000;
    assert_int_equal(put(w, 5, NULL), ERR_FULL);
    now_ms += 1; /* now they are late; refusing sheds them, too, alone */
    assert_int_equal(put(w, 5, NULL), 0);
    assert_string_equal(w->why, "its deadline");
    n = fill(w, 5);
    assert_true(n > 0);
    assert_int_equal(w->shed_of[3], 40);
    assert_int_equal(w->shed, 40);
    spool_status(w->spool, &st);
    assert_int_equal(st.expired, 40);
    assert_int_equal(st.counters.shed_objects, 40);
}

static void a_clock_that_is_not_set_makes_nothing_late(void **state)
{
    struct world *w = *state;

    w->rules.deadline_ms[3] = 60000;
    spool_set_rules(w->spool, &w->rules);
    now_ms = 1000;
    (void)fill(w, 3);
    now_ms = NOW;
    assert_int_equal(put(w, 3, NULL), ERR_FULL);
    assert_int_equal(w->shed, 0);
}

static void reserved_room_is_for_its_class(void **state)
{
    struct world *w = *state;
    struct err err = {{0}};
    size_t low, high;

    w->rules.reserved[7] = 50;
    spool_set_rules(w->spool, &w->rules);
    low = fill(w, 2);
    assert_true(low * SIZE < 4 * MIB && low * SIZE > 3 * MIB);
    assert_int_equal(put(w, 9, &err), ERR_FULL); /* however much it matters */
    assert_non_null(strstr(err.text, "reserved"));
    high = fill(w, 7);
    assert_true(high * SIZE > 3 * MIB);
    assert_int_equal(w->shed, 0);
}

static void what_is_reserved_is_not_shed_for_others(void **state)
{
    struct world *w = *state;

    w->rules.reserved[1] = 30;
    w->rules.when_full = SPOOL_OLDEST;
    spool_set_rules(w->spool, &w->rules);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(put(w, 1, NULL), 0); /* the oldest of all */
    }
    for (int i = 0; i < 300; i++) {
        assert_int_equal(put(w, 8, NULL), 0);
    }
    assert_int_equal(w->shed_of[1], 0);
    assert_true(w->shed_of[8] > 0);
    assert_string_equal(w->why, "room");
    w->rules.reserved[1] = 0;
    spool_set_rules(w->spool, &w->rules);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(put(w, 8, NULL), 0);
    }
    assert_int_equal(w->shed_of[1], 20);
}

static void the_lowest_priority_gives_way_to_none_below_it(void **state)
{
    struct world *w = *state;

    w->rules.when_full = SPOOL_LOWEST;
    w->rules.priority[8] = 0;
    spool_set_rules(w->spool, &w->rules);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(put(w, 8, NULL), 0); /* sheds its own */
    }
    assert_true(w->shed_of[8] > 0);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(put(w, 1, NULL), 0);
    }
    w->shed_of[1] = 0;
    assert_int_equal(put(w, 8, NULL), ERR_FULL);
    assert_int_equal(w->shed_of[1], 0);
}

static void a_lower_bound_counts_at_once(void **state)
{
    struct world *w = *state;
    struct spool_status st;
    uint64_t id;

    (void)fill(w, 5);
    w->rules.max_bytes = 4 * MIB;
    spool_set_rules(w->spool, &w->rules);
    assert_int_equal(put(w, 5, NULL), ERR_FULL);
    for (int i = 0; i < 60; i++) {
        id = spool_next(w->spool, 0);
        spool_drop(w->spool, id, SPOOL_DELIVERED);
    }
    (void)put(w, 5, NULL);
    spool_status(w->spool, &st);
    assert_true(st.bytes <= 5 * MIB);
    while ((id = spool_next(w->spool, 0)) != 0) {
        spool_drop(w->spool, id, SPOOL_DELIVERED);
    }
    (void)fill(w, 5);
    spool_status(w->spool, &st);
    assert_true(st.bytes <= 4 * MIB);
    w->rules.max_bytes = 8 * MIB;
    spool_set_rules(w->spool, &w->rules);
    assert_true(fill(w, 5) * SIZE > 3 * MIB);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_is_past_its_deadline_goes_first),
        TEST(a_clock_that_is_not_set_makes_nothing_late),
        TEST(reserved_room_is_for_its_class),
        TEST(what_is_reserved_is_not_shed_for_others),
        TEST(the_lowest_priority_gives_way_to_none_below_it),
        TEST(a_lower_bound_counts_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
