/* test_latch.c: waiting for completions.
 *
 * Goal: a wait ends at the count or at the deadline, and no signal is lost.
 * Method: signals before, during and after the wait; many short lives of a
 * latch to catch one that is closed under its last signaller's feet.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/latch.h"

#define THREADS 4
#define SIGNALS 500
#define ROUNDS 300
#define LONG_MS 60000 /* reached only when the test fails */

static void signals_before_the_wait_count(void **state)
{
    struct latch l;

    (void)state;
    latch_init(&l);
    assert_true(latch_wait(&l, 0, 0));
    latch_signal(&l);
    latch_signal(&l);
    assert_true(latch_wait(&l, 1, 0));
    assert_true(latch_wait(&l, 2, LONG_MS)); /* the count is not used up */
    latch_close(&l);
}

static void a_wait_without_signals_times_out(void **state)
{
    struct latch l;
    uint64_t start = clock_mono_us();

    (void)state;
    latch_init(&l);
    latch_signal(&l);
    assert_false(latch_wait(&l, 2, 30));
    assert_true(clock_mono_us() - start >= 30000);
    assert_false(latch_wait(&l, 2, 0));
    latch_signal(&l); /* late, but it counts */
    assert_true(latch_wait(&l, 2, 0));
    latch_close(&l);
}

static void *signal_many(void *arg)
{
    for (int i = 0; i < SIGNALS; i++) {
        latch_signal(arg);
    }
    return NULL;
}

static void no_signal_of_many_threads_is_lost(void **state)
{
    struct latch l;
    pthread_t ids[THREADS];

    (void)state;
    latch_init(&l);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&ids[i], NULL, signal_many, &l), 0);
    }
    /* Without end is the same as very long. */
    assert_true(latch_wait(&l, THREADS * SIGNALS, UINT64_MAX));
    assert_false(latch_wait(&l, THREADS * SIGNALS + 1, 0));
    for (int i = 0; i < THREADS; i++) {
        pthread_join(ids[i], NULL);
    }
    latch_close(&l);
}

static void *signal_once(void *arg)
{
    latch_signal(arg);
    return NULL;
}

static void close_waits_for_the_last_signaller(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct latch l;
        pthread_t id;
        latch_init(&l);
        assert_int_equal(pthread_create(&id, NULL, signal_once, &l), 0);
        assert_true(latch_wait(&l, 1, LONG_MS));
        latch_close(&l);
        memset(&l, 0xa5, sizeof l);
        pthread_join(id, NULL);
    }
}

static void conditions_wait_on_the_monotonic_clock(void **state)
{
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond;
    uint64_t start = clock_mono_us();

    (void)state;
    latch_cond_init(&cond);
    pthread_mutex_lock(&mutex);
    /* A wait may also wake for nothing; only a time-out ends this one. */
    while (latch_cond_wait(&cond, &mutex, 20)) {
    }
    pthread_mutex_unlock(&mutex);
    assert_true(clock_mono_us() - start >= 20000);
    pthread_cond_destroy(&cond);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals_before_the_wait_count),
        cmocka_unit_test(a_wait_without_signals_times_out),
        cmocka_unit_test(no_signal_of_many_threads_is_lost),
        cmocka_unit_test(close_waits_for_the_last_signaller),
        cmocka_unit_test(conditions_wait_on_the_monotonic_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
