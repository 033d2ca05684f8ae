/* test_pool.c: the budget for bodies.
 *
 * Goal: the budget holds whatever is asked; who waits is served in the order
 * asked, no one is forgotten and no byte is lost.
 * Method: waiters that write down their turn; then threads that take and give
 * back at random, with time-outs, and at the end everything must be back.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/latch.h"
#include "base/mem.h"
#include "base/pool.h"

#define PAGE ((size_t)MEM_PAGE)
#define LONG_MS 60000
#define THREADS 4
#define ROUNDS 2000

struct turn {
    struct pool_waiter waiter;
    void *ptr;
    unsigned turn; /* 0: not yet */
    unsigned *turns;
};

static void note_turn(struct pool_waiter *w, void *ptr)
{
    struct turn *t = LIST_OF(w, struct turn, waiter);

    assert_int_equal(t->turn, 0); /* called once */
    t->ptr = ptr;
    t->turn = ++*t->turns;
}

/* Ask for @pages that are not there. */
static void stand_in_line(struct pool *p, struct turn *t, size_t pages,
                          unsigned *turns)
{
    *t = (struct turn){.waiter = {.fn = note_turn}, .turns = turns};
    assert_null(pool_get_wait(p, pages * PAGE, &t->waiter));
}

static void buffers_are_pages_that_can_be_written(void **state)
{
    static const size_t sizes[] = {1, 4096, 4097, 65536, 1 << 20};
    struct pool *p = pool_new(8 << 20);

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint8_t *ptr = pool_get(p, sizes[i]);
        assert_non_null(ptr);
        assert_int_equal((uintptr_t)ptr % MEM_PAGE, 0);
        assert_int_equal(pool_used(p), mem_round_up(sizes[i], MEM_PAGE));
        memset(ptr, 0xa5, mem_round_up(sizes[i], MEM_PAGE));
        pool_put(p, ptr, sizes[i]);
        assert_int_equal(pool_used(p), 0);
    }
    assert_int_equal(pool_budget(p), 8 << 20);
    pool_put(p, NULL, PAGE);
    pool_free(p);
    pool_free(NULL);
}

static void the_budget_is_the_end(void **state)
{
    struct pool *p = pool_new(4 * PAGE);
    void *ptrs[4];

    (void)state;
    assert_null(pool_get(p, 5 * PAGE));
    assert_null(pool_get(p, SIZE_MAX - PAGE));
    for (int i = 0; i < 4; i++) {
        ptrs[i] = pool_get(p, PAGE);
        assert_non_null(ptrs[i]);
    }
    assert_null(pool_get(p, 1));
    pool_put(p, ptrs[0], PAGE);
    ptrs[0] = pool_get(p, 1);
    assert_non_null(ptrs[0]);
    for (int i = 0; i < 4; i++) {
        pool_put(p, ptrs[i], PAGE);
    }
    pool_free(p);
}

static void the_whole_budget_is_usable_after_other_sizes(void **state)
{
    struct pool *p = pool_new(64 * PAGE);

    (void)state;
    for (size_t pages = 1; pages <= 40; pages++) {
        void *a = pool_get(p, pages * PAGE);
        void *b = pool_get(p, (64 - pages) * PAGE);
        assert_non_null(a);
        assert_non_null(b);
        assert_int_equal(pool_used(p), 64 * PAGE);
        memset(a, 1, pages * PAGE);
        memset(b, 2, (64 - pages) * PAGE);
        pool_put(p, a, pages * PAGE);
        pool_put(p, b, (64 - pages) * PAGE);
    }
    pool_trim(p);
    pool_trim(p);
    assert_int_equal(pool_used(p), 0);
    pool_free(p);
}

static void a_given_back_buffer_is_given_out_again(void **state)
{
    struct pool *p = pool_new(64 * PAGE);
    void *a = pool_get(p, 4 * PAGE);
    void *b;

    (void)state;
    pool_put(p, a, 4 * PAGE);
    b = pool_get(p, 4 * PAGE);
    assert_ptr_equal(a, b); /* no page fault */
    pool_put(p, b, 4 * PAGE);
    pool_free(p);
}

static void kept_buffers_of_a_size_are_all_found_again(void **state)
{
    struct pool *p = pool_new(64 * PAGE);
    void *small = pool_get(p, PAGE);
    void *a = pool_get(p, 2 * PAGE);
    void *b = pool_get(p, 2 * PAGE);
    void *again[2];

    (void)state;
    pool_put(p, small, PAGE);
    pool_put(p, a, 2 * PAGE);
    /* The small size has none left when the second large one comes. */
    small = pool_get(p, PAGE);
    pool_put(p, b, 2 * PAGE);
    again[0] = pool_get(p, 2 * PAGE);
    again[1] = pool_get(p, 2 * PAGE);
    assert_true((again[0] == a && again[1] == b) ||
                (again[0] == b && again[1] == a));
    pool_put(p, small, PAGE);
    pool_put(p, again[0], 2 * PAGE);
    pool_put(p, again[1], 2 * PAGE);
    pool_free(p);
}

static void waiters_are_served_in_the_order_asked(void **state)
{
    struct pool *p = pool_new(4 * PAGE);
    void *all = pool_get(p, 4 * PAGE);
    struct turn t[4];
    unsigned turns = 0;

    (void)state;
    for (int i = 0; i < 4; i++) {
        stand_in_line(p, &t[i], 1, &turns);
    }
    assert_int_equal(pool_waiting(p), 4);
    pool_put(p, all, 4 * PAGE);
    assert_int_equal(pool_waiting(p), 0);
    assert_int_equal(pool_used(p), 4 * PAGE);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(t[i].turn, i + 1);
        memset(t[i].ptr, 1, PAGE);
        pool_put(p, t[i].ptr, PAGE);
    }
    pool_free(p);
}

static void small_requests_do_not_overtake_a_large_one(void **state)
{
    struct pool *p = pool_new(4 * PAGE);
    void *half = pool_get(p, 2 * PAGE);
    void *quarter = pool_get(p, PAGE);
    struct turn large;
    struct turn small;
    unsigned turns = 0;

    (void)state;
    stand_in_line(p, &large, 3, &turns);
    /* A page is free, but others were first. */
    assert_null(pool_get(p, PAGE));
    stand_in_line(p, &small, 1, &turns);
    assert_null(pool_get_block(p, PAGE, 5));
    pool_put(p, quarter, PAGE);
    assert_int_equal(turns, 0);
    pool_put(p, half, 2 * PAGE);
    assert_int_equal(large.turn, 1);
    assert_int_equal(small.turn, 2);
    pool_put(p, large.ptr, 3 * PAGE);
    pool_put(p, small.ptr, PAGE);
    pool_free(p);
}

static void what_is_there_is_given_without_waiting(void **state)
{
    struct pool *p = pool_new(4 * PAGE);
    struct turn t = {.waiter = {.fn = note_turn}};
    void *a = pool_get_wait(p, PAGE, &t.waiter);
    void *b = pool_get_block(p, PAGE, 0);

    (void)state;
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal(pool_waiting(p), 0);
    pool_put(p, a, PAGE);
    pool_put(p, b, PAGE);
    pool_free(p);
}

static void who_leaves_the_line_is_not_called(void **state)
{
    struct pool *p = pool_new(PAGE);
    void *all = pool_get(p, PAGE);
    struct turn t[3];
    unsigned turns = 0;

    (void)state;
    for (int i = 0; i < 3; i++) {
        stand_in_line(p, &t[i], 1, &turns);
    }
    assert_true(pool_cancel(p, &t[1].waiter));
    assert_false(pool_cancel(p, &t[1].waiter));
    assert_int_equal(pool_waiting(p), 2);
    pool_put(p, all, PAGE);
    assert_int_equal(t[0].turn, 1);
    assert_false(pool_cancel(p, &t[0].waiter)); /* was called */
    pool_put(p, t[0].ptr, PAGE);
    assert_int_equal(t[1].turn, 0);
    assert_int_equal(t[2].turn, 2);
    pool_put(p, t[2].ptr, PAGE);
    pool_free(p);
}

static void who_leaves_lets_those_behind_have_their_turn(void **state)
{
    struct pool *p = pool_new(4 * PAGE);
    void *held = pool_get(p, 2 * PAGE);
    struct turn large;
    struct turn small[2];
    unsigned turns = 0;

    (void)state;
    stand_in_line(p, &large, 4, &turns);
    stand_in_line(p, &small[0], 1, &turns);
    stand_in_line(p, &small[1], 1, &turns);
    /* Two pages are free all the while: nothing need be given back first. */
    assert_true(pool_cancel(p, &large.waiter));
    assert_int_equal(small[0].turn, 1);
    assert_int_equal(small[1].turn, 2);
    for (int i = 0; i < 2; i++) {
        pool_put(p, small[i].ptr, PAGE);
    }
    pool_put(p, held, 2 * PAGE);
    pool_free(p);
}

static void a_time_out_lets_those_behind_have_their_turn(void **state)
{
    struct pool *p = pool_new(4 * PAGE);
    void *held = pool_get(p, 2 * PAGE);
    struct turn small;
    unsigned turns = 0;
    struct turn front;

    (void)state;
    /* The line: one that leaves later, the blocked one's 4 pages, a small. */
    stand_in_line(p, &front, 4, &turns);
    stand_in_line(p, &small, 1, &turns);
    assert_null(pool_get_block(p, 4 * PAGE, 5));
    assert_true(pool_cancel(p, &front.waiter));
    assert_int_equal(small.turn, 1);
    assert_int_equal(pool_waiting(p), 0);
    pool_put(p, small.ptr, PAGE);
    pool_put(p, held, 2 * PAGE);
    pool_free(p);
}

struct blocked {
    struct pool *pool;
    void *ptr;
};

static void *block_for_two(void *arg)
{
    struct blocked *b = arg;

    b->ptr = pool_get_block(b->pool, 2 * PAGE, LONG_MS);
    return NULL;
}

static void a_blocked_thread_gets_what_comes_back(void **state)
{
    struct blocked b = {.pool = pool_new(2 * PAGE)};
    void *all = pool_get(b.pool, 2 * PAGE);
    pthread_t id;

    (void)state;
    assert_int_equal(pthread_create(&id, NULL, block_for_two, &b), 0);
    while (pool_waiting(b.pool) == 0) {
    }
    pool_put(b.pool, all, 2 * PAGE);
    pthread_join(id, NULL);
    assert_non_null(b.ptr);
    pool_put(b.pool, b.ptr, 2 * PAGE);
    pool_free(b.pool);
}

struct racer {
    struct pool *pool;
    atomic_size_t *out; /* bytes that all racers hold */
    atomic_uint *over;  /* times that more were out than the budget */
    unsigned seed;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    unsigned x = r->seed;

    for (int i = 0; i < ROUNDS; i++) {
        uint8_t *ptr;
        size_t size;
        x = x * 1103515245 + 12345;
        size = (1 + (x >> 16) % 5) * PAGE;
        ptr = (x >> 24) % 4 == 0 ? pool_get(r->pool, size)
                                 : pool_get_block(r->pool, size, x >> 31);
        if (ptr == NULL) {
            continue;
        }
        if (atomic_fetch_add(r->out, size) + size > pool_budget(r->pool)) {
            atomic_fetch_add(r->over, 1);
        }
        ptr[0] = (uint8_t)i;
        ptr[size - 1] = (uint8_t)i;
        atomic_fetch_sub(r->out, size);
        pool_put(r->pool, ptr, size);
    }
    return NULL;
}

static void racing_threads_lose_no_byte(void **state)
{
    struct pool *p = pool_new(8 * PAGE);
    struct racer r[THREADS];
    pthread_t ids[THREADS];
    atomic_size_t out = 0;
    atomic_uint over = 0;
    void *all;

    (void)state;
    for (unsigned i = 0; i < THREADS; i++) {
        r[i] = (struct racer){p, &out, &over, 77 + i};
        assert_int_equal(pthread_create(&ids[i], NULL, race, &r[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(ids[i], NULL);
    }
    assert_int_equal(atomic_load(&over), 0);
    assert_int_equal(pool_used(p), 0);
    assert_int_equal(pool_waiting(p), 0);
    all = pool_get(p, 8 * PAGE);
    assert_non_null(all);
    pool_put(p, all, 8 * PAGE);
    pool_free(p);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffers_are_pages_that_can_be_written),
        cmocka_unit_test(the_budget_is_the_end),
        cmocka_unit_test(the_whole_budget_is_usable_after_other_sizes),
        cmocka_unit_test(a_given_back_buffer_is_given_out_again),
        cmocka_unit_test(kept_buffers_of_a_size_are_all_found_again),
        cmocka_unit_test(waiters_are_served_in_the_order_asked),
        cmocka_unit_test(small_requests_do_not_overtake_a_large_one),
        cmocka_unit_test(what_is_there_is_given_without_waiting),
        cmocka_unit_test(who_leaves_the_line_is_not_called),
        cmocka_unit_test(who_leaves_lets_those_behind_have_their_turn),
        cmocka_unit_test(a_time_out_lets_those_behind_have_their_turn),
        cmocka_unit_test(a_blocked_thread_gets_what_comes_back),
        cmocka_unit_test(racing_threads_lose_no_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
