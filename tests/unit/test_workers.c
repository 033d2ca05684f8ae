/* test_workers.c: threads that run jobs.
 *
 * Goal: jobs run once each, in the order given, on other threads; the queue
 * has its bound; an end finishes what was queued.
 * Method: a gate job holds the only thread while the queue is filled.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/latch.h"
#include "base/mem.h"
#include "base/workers.h"

#define JOBS 1000
#define LONG_MS 60000

/* A job that says that it runs, then holds its thread until it is let go. */
struct gate {
    struct work work;
    struct latch entered;
    struct latch open;
};

static void run_gate(struct work *w)
{
    struct gate *g = LIST_OF(w, struct gate, work);

    latch_signal(&g->entered);
    latch_wait(&g->open, 1, LONG_MS);
}

static void gate_init(struct gate *g)
{
    g->work.fn = run_gate;
    latch_init(&g->entered);
    latch_init(&g->open);
}

static void gate_close(struct gate *g)
{
    latch_close(&g->entered);
    latch_close(&g->open);
}

struct numbered {
    struct work work;
    unsigned number;
    atomic_uint *next; /* the number that should run next */
    atomic_uint *wrong;
};

static void run_numbered(struct work *w)
{
    struct numbered *n = LIST_OF(w, struct numbered, work);

    if (atomic_fetch_add(n->next, 1) != n->number) {
        atomic_fetch_add(n->wrong, 1);
    }
}

static void one_thread_runs_jobs_in_order(void **state)
{
    struct workers *w = workers_new("test", 1, JOBS);
    struct numbered *jobs = mem_calloc(JOBS, sizeof jobs[0]);
    atomic_uint next = 0;
    atomic_uint wrong = 0;

    (void)state;
    for (unsigned i = 0; i < JOBS; i++) {
        jobs[i] = (struct numbered){{run_numbered, {0}}, i, &next, &wrong};
        assert_true(workers_run(w, &jobs[i].work));
    }
    workers_free(w); /* finishes what is queued */
    assert_int_equal(atomic_load(&next), JOBS);
    assert_int_equal(atomic_load(&wrong), 0);
    free(jobs);
}

static void a_full_queue_says_no(void **state)
{
    struct workers *w = workers_new("test", 1, 2);
    atomic_uint next = 0;
    atomic_uint wrong = 0;
    struct numbered jobs[4];
    struct gate g;

    (void)state;
    gate_init(&g);
    assert_true(workers_run(w, &g.work));
    assert_true(latch_wait(&g.entered, 1, LONG_MS));
    for (unsigned i = 0; i < 4; i++) {
        /* A job that runs does not count as queued. */
        jobs[i] = (struct numbered){{run_numbered, {0}}, i, &next, &wrong};
        assert_int_equal(workers_run(w, &jobs[i].work), i < 2);
    }
    latch_signal(&g.open);
    workers_free(w);
    assert_int_equal(atomic_load(&next), 2);
    assert_int_equal(atomic_load(&wrong), 0);
    gate_close(&g);
}

static void room_in_the_queue_comes_back(void **state)
{
    struct workers *w = workers_new("test", 1, 1);
    struct gate first;
    struct gate second;

    (void)state;
    gate_init(&first);
    gate_init(&second);
    assert_true(workers_run(w, &first.work));
    assert_true(latch_wait(&first.entered, 1, LONG_MS));
    assert_true(workers_run(w, &second.work));
    latch_signal(&first.open);
    assert_true(latch_wait(&second.entered, 1, LONG_MS));
    /* The queue is empty again while the second runs. */
    first.work.fn = run_gate;
    assert_true(workers_run(w, &first.work));
    latch_signal(&second.open);
    workers_free(w);
    gate_close(&first);
    gate_close(&second);
}

static void as_many_jobs_run_at_once_as_threads(void **state)
{
    enum { THREADS = 4 };
    struct workers *w = workers_new("test", THREADS, THREADS);
    struct gate gates[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++) {
        gate_init(&gates[i]);
        assert_true(workers_run(w, &gates[i].work));
    }
    for (int i = 0; i < THREADS; i++) {
        assert_true(latch_wait(&gates[i].entered, 1, LONG_MS));
    }
    for (int i = 0; i < THREADS; i++) {
        latch_signal(&gates[i].open);
    }
    workers_free(w);
    for (int i = 0; i < THREADS; i++) {
        gate_close(&gates[i]);
    }
}

struct owned {
    struct work work;
    atomic_uint *done;
};

static void free_self(struct work *w)
{
    struct owned *o = LIST_OF(w, struct owned, work);
    atomic_uint *done = o->done;

    free(o);
    atomic_fetch_add(done, 1);
}

static void jobs_may_free_themselves(void **state)
{
    struct workers *w = workers_new("test", 3, JOBS);
    atomic_uint done = 0;

    (void)state;
    for (unsigned i = 0; i < JOBS; i++) {
        struct owned *o = mem_alloc(sizeof *o);
        o->work.fn = free_self;
        o->done = &done;
        assert_true(workers_run(w, &o->work));
    }
    workers_free(w);
    assert_int_equal(atomic_load(&done), JOBS);
}

static void run_look_at_thread(struct work *w)
{
    struct gate *g = LIST_OF(w, struct gate, work);
    char name[16];

    pthread_getname_np(pthread_self(), name, sizeof name);
    if (name[0] == 'p' && name[1] == 'u' && name[2] == 't') {
        latch_signal(&g->open);
    }
    latch_signal(&g->entered);
}

static void threads_carry_the_name(void **state)
{
    struct workers *w = workers_new("put", 1, 1);
    struct gate g;

    (void)state;
    gate_init(&g);
    g.work.fn = run_look_at_thread;
    assert_true(workers_run(w, &g.work));
    assert_true(latch_wait(&g.entered, 1, LONG_MS));
    assert_true(latch_wait(&g.open, 1, 0));
    workers_free(w);
    gate_close(&g);
}

static void free_of_nothing_is_nothing(void **state)
{
    (void)state;
    workers_free(NULL);
    workers_free(workers_new("idle", 2, 1));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_runs_jobs_in_order),
        cmocka_unit_test(a_full_queue_says_no),
        cmocka_unit_test(room_in_the_queue_comes_back),
        cmocka_unit_test(as_many_jobs_run_at_once_as_threads),
        cmocka_unit_test(jobs_may_free_themselves),
        cmocka_unit_test(threads_carry_the_name),
        cmocka_unit_test(free_of_nothing_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
