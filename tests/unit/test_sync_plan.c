/* test_sync_plan.c: what to deliver next, and when.
 *
 * Goal: classes, ages and the order of each key are kept as the header says,
 * and all is delivered in the end. Method: small cases by hand; random spools
 * that grow while batches end in random order, some to go once more, judged by
 * a model that looks at everything.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/err.h"
#include "edge-agent/sync_plan.h"

#define HOUR 3600000ull

static void add(struct spool_index *x, uint64_t id, uint8_t class_id,
                uint32_t hash, uint32_t size)
{
    const struct index_entry e = {.id = id,
                                  .hash = hash,
                                  .stored_size = size,
                                  .kind = SPOOL_OBJECT,
                                  .class_id = class_id};

    spool_index_add(x, &e);
}

static uint64_t next(struct sync_plan *p, struct spool_index *x,
                     uint32_t size_max)
{
    const struct index_entry *e = sync_plan_next(p, x, 0, size_max);

    return e != NULL ? e->id : 0;
}

static void classes_come_first_then_age(void **state)
{
    struct spool_index *x = spool_index_new();
    struct sync_plan p;

    (void)state;
    for (uint64_t id = 1; id <= 6; id++) {
        add(x, id, id % 2 ? 5 : 7, (uint32_t)id, 10);
    }
    sync_plan_init(&p, false);
    for (int i = 0; i < 6; i++) {
        static const uint64_t want[] = {2, 4, 6, 1, 3, 5};
        assert_int_equal(next(&p, x, 100), want[i]);
    }
    assert_int_equal(next(&p, x, 100), 0);
    sync_plan_init(&p, true);
    for (int i = 0; i < 6; i++) {
        static const uint64_t want[] = {6, 4, 2, 5, 3, 1};
        assert_int_equal(next(&p, x, 100), want[i]);
    }
    /* Only the classes asked for. */
    sync_plan_init(&p, false);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sync_plan_next(&p, x, 6, 100)->class_id, 7);
    }
    assert_null(sync_plan_next(&p, x, 6, 100));
    spool_index_free(x);
}

static void priorities_come_before_numbers(void **state)
{
    struct spool_index *x = spool_index_new();
    struct sync_order order = {.newest_first[3] = true};
    struct sync_plan p;

    (void)state;
    for (uint64_t id = 1; id <= 6; id++) { /* classes 4, 5, 3, 4, 5, 3 */
        add(x, id, id % 3 == 1 ? 4 : id % 3 == 2 ? 5 : 3, (uint32_t)id, 10);
    }
    for (uint8_t c = 0; c < SPOOL_CLASSES; c++) {
        order.priority[c] = c;
    }
    order.priority[3] = 9;
    order.priority[5] = 4;
    order.priority[4] = 4; /* as 5: the higher number first */
    sync_plan_init(&p, false);
    sync_plan_order(&p, &order);
    assert_null(sync_plan_next(&p, x, 10, 100));
    assert_int_equal(sync_plan_next(&p, x, 9, 100)->id, 6);
    assert_int_equal(sync_plan_next(&p, x, 5, 100)->id, 3);
    assert_null(sync_plan_next(&p, x, 5, 100));
    assert_int_equal(next(&p, x, 100), 2);
    assert_int_equal(next(&p, x, 100), 5);
    assert_int_equal(next(&p, x, 100), 1);
    assert_int_equal(next(&p, x, 100), 4);
    assert_int_equal(next(&p, x, 100), 0);
    spool_index_free(x);
}

static void nothing_overtakes_what_is_older_of_its_key(void **state)
{
    struct spool_index *x = spool_index_new();
    struct sync_plan p;

    (void)state;
    add(x, 1, 5, 77, 10); /* an object of class 5 */
    add(x, 2, 9, 77, 10); /* its delete */
    add(x, 3, 5, 88, 10);
    sync_plan_init(&p, false);
    assert_int_equal(next(&p, x, 100), 1);
    assert_int_equal(next(&p, x, 100), 3);
    assert_int_equal(next(&p, x, 100), 0); /* 1 is under way */
    sync_plan_end(&p, 1, true);
    assert_int_equal(next(&p, x, 100), 1);
    spool_index_remove(x, 1);
    sync_plan_end(&p, 1, false);
    assert_int_equal(next(&p, x, 100), 2);
    spool_index_free(x);
}

static void a_large_one_left_out_keeps_its_key(void **state)
{
    struct spool_index *x = spool_index_new();
    struct sync_plan p;

    (void)state;
    add(x, 1, 5, 77, 1000);
    add(x, 2, 5, 77, 10);
    add(x, 3, 5, 88, 10);
    sync_plan_init(&p, false);
    assert_int_equal(next(&p, x, 100), 3);
    assert_int_equal(next(&p, x, 100), 0);
    sync_plan_end(&p, 3, true);
    assert_int_equal(next(&p, x, UINT32_MAX), 1);
    assert_int_equal(next(&p, x, 100), 3);
    spool_index_free(x);
}

static void what_was_put_back_comes_again(void **state)
{
    struct spool_index *x = spool_index_new();
    struct sync_plan p;
    const struct index_entry *e;

    (void)state;
    add(x, 1, 5, 1, 10);
    add(x, 2, 5, 2, 10);
    sync_plan_init(&p, false);
    e = sync_plan_next(&p, x, 0, 100);
    sync_plan_put_back(&p, e->id);
    assert_int_equal(next(&p, x, 100), 1);
    assert_int_equal(next(&p, x, 100), 2);
    spool_index_free(x);
}

static void the_oldest_goes_before_it_is_too_far_behind(void **state)
{
    struct spool_index *x = spool_index_new();
    struct sync_plan p;

    (void)state;
    add(x, 1, 1, 1, 10);
    add(x, SYNC_WINDOW, 9, 2, 10);
    add(x, SYNC_WINDOW + 1, 9, 3, 10);
    sync_plan_init(&p, false);
    assert_int_equal(next(&p, x, 100), SYNC_WINDOW);
    assert_int_equal(next(&p, x, 100), 1);
    sync_plan_end(&p, SYNC_WINDOW, true);
    assert_int_equal(next(&p, x, 100), SYNC_WINDOW);
    assert_int_equal(next(&p, x, 100), SYNC_WINDOW + 1);
    spool_index_free(x);
}

/* ---- property ---- */

#define KEYS 7
#define OBJECTS 300

struct model {
    struct spool_index *x;
    struct sync_plan plan;
    uint64_t busy[OBJECTS];
    size_t busy_count;
};

static bool is_busy(const struct model *m, uint64_t id)
{
    for (size_t i = 0; i < m->busy_count; i++) {
        if (m->busy[i] == id) {
            return true;
        }
    }
    return false;
}

/* May it go by rule 1? */
static bool may_go(struct model *m, const struct index_entry *e)
{
    for (const struct index_entry *o = spool_index_after(m->x, 0); o != NULL;
         o = spool_index_after(m->x, o->id)) {
        if (o->hash == e->hash && (o->id < e->id || is_busy(m, o->id))) {
            return false;
        }
    }
    return true;
}

static void judge(struct model *m, const struct index_entry *e)
{
    assert_true(may_go(m, e));
    /* A higher class was passed over only if it had to wait, or if this one
     * makes way for it. */
    for (const struct index_entry *o = spool_index_after(m->x, 0); o != NULL;
         o = spool_index_after(m->x, o->id)) {
        if (o->class_id > e->class_id && o->hash != e->hash) {
            bool makes_way = false;
            for (const struct index_entry *n = spool_index_after(m->x, e->id);
                 n != NULL; n = spool_index_after(m->x, n->id)) {
                makes_way |= n->hash == e->hash && n->class_id >= o->class_id;
            }
            assert_true(makes_way || !may_go(m, o));
        }
    }
}

static void end_one(struct model *m, bool again)
{
    size_t i = (size_t)rand() % m->busy_count;
    uint64_t id = m->busy[i];

    m->busy[i] = m->busy[--m->busy_count];
    if (!again) {
        spool_index_remove(m->x, id);
    }
    sync_plan_end(&m->plan, id, again);
}

static void in_every_run_order_is_kept_and_all_is_delivered(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 200; seed++) {
        struct model m = {.x = spool_index_new()};
        uint64_t id = 1;
        srand(seed);
        sync_plan_init(&m.plan, seed % 2 == 1);
        while (id <= OBJECTS || spool_index_count(m.x) > 0) {
            int what = rand() % 4;
            if (what == 0 && id <= OBJECTS) {
                add(m.x, id++, (uint8_t)(rand() % (seed % 4 ? 10 : 1)),
                    (uint32_t)(rand() % KEYS) * SYNC_FILTER, 10);
                sync_plan_more(&m.plan);
            } else if (what == 1 && m.busy_count > 0) {
                end_one(&m, rand() % 4 == 0);
            } else {
                const struct index_entry *e;
                sync_plan_batch(&m.plan);
                e = sync_plan_next(&m.plan, m.x, 0, 100);
                if (e != NULL) {
                    judge(&m, e);
                    m.busy[m.busy_count++] = e->id;
                } else {
                    /* None may go: all that is held waits. */
                    for (e = spool_index_after(m.x, 0); e != NULL;
                         e = spool_index_after(m.x, e->id)) {
                        assert_false(may_go(&m, e) && !is_busy(&m, e->id));
                    }
                }
            }
        }
        spool_index_free(m.x);
    }
}

/* ---- when ---- */

static void pauses_double_to_a_bound_with_chance_in_them(void **state)
{
    (void)state;
    assert_int_equal(sync_backoff_ms(1, 0), 1000);
    assert_int_equal(sync_backoff_ms(1, 1000), 2000);
    assert_int_equal(sync_backoff_ms(2, 0), 2000);
    assert_int_equal(sync_backoff_ms(5, 0), 16000);
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t ms = sync_backoff_ms(1 + (unsigned)i, i * 0x9e3779b97f4a7c15);
        assert_in_range(ms, 1000, SYNC_BACKOFF_MAX_MS);
    }
    assert_in_range(sync_backoff_ms(UINT32_MAX, 0), SYNC_BACKOFF_MAX_MS / 2,
                    SYNC_BACKOFF_MAX_MS);
}

static void hours_pass_midnight(void **state)
{
    static const char *const bad[] = {"6",    "24-6", "6-25", "x-6",  "6-6",
                                      "0-24", "-",    "6-",   "1-2-3"};
    struct sync_hours h;

    (void)state;
    assert_int_equal(sync_hours_parse("22-6", &h, NULL), 0);
    for (uint64_t hour = 0; hour < 48; hour++) {
        assert_int_equal(sync_hours_open(&h, hour * HOUR),
                         hour % 24 >= 22 || hour % 24 < 6);
    }
    assert_true(sync_hours_open(&h, 6 * HOUR - 1));
    assert_int_equal(sync_hours_parse("6-24", &h, NULL), 0);
    assert_true(sync_hours_open(&h, 24 * HOUR - 1));
    assert_false(sync_hours_open(&h, 24 * HOUR));
    assert_int_equal(sync_hours_parse("", &h, NULL), 0);
    assert_true(sync_hours_open(&h, 12 * HOUR));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(sync_hours_parse(bad[i], &h, NULL), ERR_BAD_INPUT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_come_first_then_age),
        cmocka_unit_test(priorities_come_before_numbers),
        cmocka_unit_test(nothing_overtakes_what_is_older_of_its_key),
        cmocka_unit_test(a_large_one_left_out_keeps_its_key),
        cmocka_unit_test(what_was_put_back_comes_again),
        cmocka_unit_test(the_oldest_goes_before_it_is_too_far_behind),
        cmocka_unit_test(in_every_run_order_is_kept_and_all_is_delivered),
        cmocka_unit_test(pauses_double_to_a_bound_with_chance_in_them),
        cmocka_unit_test(hours_pass_midnight),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
