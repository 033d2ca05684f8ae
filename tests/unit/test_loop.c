/* test_loop.c: the epoll loop.
 *
 * Goal: posted calls run once each, in order, on the loop's thread, and wake
 * it; timers and descriptors are served; a handler may change what others of
 * the same round see.
 * Method: the loop on a thread of its own for what crosses threads, on this
 * one for the rest (the last handler stops it). Nothing here waits for a
 * length of time: a lost wake-up shows as a test that does not end.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/latch.h"
#include "base/loop.h"
#include "base/mem.h"

#define THREADS 4
#define CALLS 2000
#define LONG_MS 60000

struct fixture {
    struct loop *loop;
    pthread_t thread;
};

static void *run(void *arg)
{
    loop_run(arg, NULL, NULL);
    return NULL;
}

static void start(struct fixture *f)
{
    f->loop = loop_new();
    assert_int_equal(pthread_create(&f->thread, NULL, run, f->loop), 0);
}

static void finish(struct fixture *f)
{
    loop_stop(f->loop);
    pthread_join(f->thread, NULL);
    loop_free(f->loop);
}

struct ping {
    struct loop_call call;
    struct loop *loop;
    struct latch latch;
    bool owner;
    pthread_t thread;
};

static void answer(struct loop_call *call)
{
    struct ping *p = LIST_OF(call, struct ping, call);

    p->owner = loop_is_owner(p->loop);
    p->thread = pthread_self();
    latch_signal(&p->latch);
}

static void ping_init(struct ping *p, struct loop *l)
{
    *p = (struct ping){.call = {.fn = answer}, .loop = l};
    latch_init(&p->latch);
}

static void a_post_wakes_the_sleeping_loop(void **state)
{
    struct fixture f;
    struct ping p;

    (void)state;
    start(&f);
    ping_init(&p, f.loop);
    for (unsigned i = 1; i <= 200; i++) {
        loop_post(f.loop, &p.call);
        assert_true(latch_wait(&p.latch, i, LONG_MS));
    }
    assert_true(p.owner);
    assert_true(pthread_equal(p.thread, f.thread));
    assert_false(loop_is_owner(f.loop));
    finish(&f);
    latch_close(&p.latch);
}

struct numbered {
    struct loop_call call;
    unsigned number;
    unsigned *next; /* of the poster; written on the loop only */
    struct latch *wrong;
    struct latch *done;
};

static void check_number(struct loop_call *call)
{
    struct numbered *n = LIST_OF(call, struct numbered, call);
    struct latch *done = n->done;

    if (n->number != (*n->next)++) {
        latch_signal(n->wrong);
    }
    free(n); /* a call may free itself */
    latch_signal(done);
}

struct poster {
    struct loop *loop;
    unsigned next;
    struct latch *wrong;
    struct latch *done;
};

static void *post_many(void *arg)
{
    struct poster *p = arg;

    for (unsigned i = 0; i < CALLS; i++) {
        struct numbered *n = mem_alloc(sizeof *n);
        *n = (struct numbered){
            {.fn = check_number}, i, &p->next, p->wrong, p->done};
        loop_post(p->loop, &n->call);
    }
    return NULL;
}

static void posts_of_each_thread_run_once_and_in_order(void **state)
{
    struct fixture f;
    struct poster posters[THREADS];
    pthread_t ids[THREADS];
    struct latch wrong;
    struct latch done;

    (void)state;
    latch_init(&wrong);
    latch_init(&done);
    start(&f);
    for (int i = 0; i < THREADS; i++) {
        posters[i] = (struct poster){f.loop, 0, &wrong, &done};
        assert_int_equal(pthread_create(&ids[i], NULL, post_many, &posters[i]),
                         0);
    }
    assert_true(latch_wait(&done, THREADS * CALLS, LONG_MS));
    for (int i = 0; i < THREADS; i++) {
        pthread_join(ids[i], NULL);
    }
    finish(&f);
    assert_false(latch_wait(&done, THREADS * CALLS + 1, 0));
    assert_false(latch_wait(&wrong, 1, 0));
    latch_close(&wrong);
    latch_close(&done);
}

/* A call that posts itself until it has run @left times, then stops. */
struct again {
    struct loop_call call;
    struct loop *loop;
    unsigned left;
};

static void post_again(struct loop_call *call)
{
    struct again *a = LIST_OF(call, struct again, call);

    if (--a->left > 0) {
        loop_post(a->loop, call);
    } else {
        loop_stop(a->loop);
    }
}

static void a_call_may_post_itself(void **state)
{
    struct again a = {{.fn = post_again}, loop_new(), 100};

    (void)state;
    loop_post(a.loop, &a.call);
    loop_run(a.loop, NULL, NULL);
    assert_int_equal(a.left, 0);
    loop_free(a.loop);
}

struct once {
    struct loop_call call;
    struct loop *loop;
    atomic_uint asked;
    unsigned seen, runs; /* the loop's */
};

static void count_once(struct loop_call *call)
{
    struct once *o = LIST_OF(call, struct once, call);

    o->seen = atomic_load(&o->asked);
    o->runs++;
}

static void *ask_often(void *arg)
{
    struct once *o = arg;

    for (int i = 0; i < CALLS; i++) {
        atomic_fetch_add(&o->asked, 1);
        loop_post_once(o->loop, &o->call);
    }
    return NULL;
}

/* However often and by whom: it stands in no list twice, and the last run sees
 * all that was done before. */
static void a_call_posted_once_runs_after_each_change(void **state)
{
    struct fixture f;
    struct once o = {.call = {.fn = count_once}};
    pthread_t threads[THREADS];

    (void)state;
    start(&f);
    o.loop = f.loop;
    for (int i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, ask_often, &o);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    finish(&f); /* runs what was posted */
    assert_int_equal(o.seen, THREADS * CALLS);
    assert_true(o.runs >= 1 && o.runs <= THREADS * CALLS);
}

static void a_call_posted_once_waits_once(void **state)
{
    struct loop *l = loop_new();
    struct once o = {.call = {.fn = count_once}};
    pthread_t thread;

    (void)state;
    loop_post_once(l, &o.call);
    loop_post_once(l, &o.call);
    loop_stop(l);
    assert_int_equal(pthread_create(&thread, NULL, run, l), 0);
    pthread_join(thread, NULL);
    assert_int_equal(o.runs, 1);
    loop_free(l);
}

static void what_was_posted_before_the_stop_runs(void **state)
{
    struct loop *l = loop_new();
    struct ping p;

    (void)state;
    ping_init(&p, l);
    loop_post(l, &p.call);
    loop_stop(l); /* before it ever ran */
    loop_run(l, NULL, NULL);
    assert_true(latch_wait(&p.latch, 1, 0));
    loop_free(l);
    loop_free(NULL);
    latch_close(&p.latch);
}

/* A call that stops the loop and posts one more. */
struct last {
    struct loop_call call;
    struct ping *ping;
};

static void stop_and_post(struct loop_call *call)
{
    struct last *last = LIST_OF(call, struct last, call);

    loop_stop(last->ping->loop);
    loop_post(last->ping->loop, &last->ping->call);
}

static void what_a_last_call_posts_runs_too(void **state)
{
    struct loop *l = loop_new();
    struct ping p;
    struct last last = {{.fn = stop_and_post}, &p};

    (void)state;
    ping_init(&p, l);
    loop_stop(l);
    loop_post(l, &last.call);
    loop_run(l, NULL, NULL);
    assert_true(latch_wait(&p.latch, 1, 0));
    loop_free(l);
    latch_close(&p.latch);
}

struct timer {
    struct loop_timer timer;
    struct loop *loop;
    struct timer *other; /* set or cleared by the handler */
    unsigned count;
    unsigned stop_at;
    uint64_t at_us;
};

static void count_timer(struct loop_timer *lt)
{
    struct timer *t = LIST_OF(lt, struct timer, timer);

    t->count++;
    t->at_us = clock_mono_us();
    if (t->count == t->stop_at) {
        loop_stop(t->loop);
    }
}

static void timers_fire_once_and_not_early(void **state)
{
    struct loop *l = loop_new();
    struct timer early = {.loop = l};
    struct timer late = {.loop = l, .stop_at = 1};
    struct timer cleared = {.loop = l};
    uint64_t start_us;

    (void)state;
    loop_timer_init(&early.timer, count_timer);
    loop_timer_init(&late.timer, count_timer);
    loop_timer_init(&cleared.timer, count_timer);
    loop_timer_clear(&cleared.timer); /* not set: nothing */
    start_us = clock_mono_us();
    loop_timer_set(l, &late.timer, 30);
    loop_timer_set(l, &early.timer, 500);
    loop_timer_set(l, &early.timer, 5); /* again: the last one holds */
    loop_timer_set(l, &cleared.timer, 1);
    loop_timer_clear(&cleared.timer);
    loop_run(l, NULL, NULL);
    assert_int_equal(early.count, 1);
    assert_int_equal(late.count, 1);
    assert_int_equal(cleared.count, 0);
    /* Due times are in whole milliseconds. */
    assert_true(early.at_us - start_us >= 4000);
    assert_true(late.at_us - start_us >= 29000);
    assert_true(early.at_us <= late.at_us);
    loop_free(l);
}

static void set_again(struct loop_timer *lt)
{
    struct timer *t = LIST_OF(lt, struct timer, timer);

    if (++t->count < 5) {
        loop_timer_set(t->loop, lt, 0);
    } else {
        loop_stop(t->loop);
    }
}

static void a_timer_may_set_itself(void **state)
{
    struct loop *l = loop_new();
    struct timer t = {.loop = l};

    (void)state;
    loop_timer_init(&t.timer, set_again);
    loop_timer_set(l, &t.timer, 0);
    loop_run(l, NULL, NULL);
    assert_int_equal(t.count, 5);
    loop_free(l);
}

static void clear_other(struct loop_timer *lt)
{
    struct timer *t = LIST_OF(lt, struct timer, timer);

    t->count++;
    loop_timer_clear(&t->other->timer);
    loop_stop(t->loop);
}

static void a_timer_may_clear_another_that_is_due(void **state)
{
    struct loop *l = loop_new();
    struct timer a = {.loop = l};
    struct timer b = {.loop = l};

    (void)state;
    a.other = &b;
    b.other = &a;
    loop_timer_init(&a.timer, clear_other);
    loop_timer_init(&b.timer, clear_other);
    loop_timer_set(l, &a.timer, 0);
    loop_timer_set(l, &b.timer, 0);
    loop_run(l, NULL, NULL);
    assert_int_equal(a.count + b.count, 1);
    loop_free(l);
}

static uint64_t fake_now_us = 1000000;
static unsigned waits;

static uint64_t fake_mono_us(void *data)
{
    (void)data;
    return fake_now_us;
}

static void look_at_timeout(void *arg, int *timeout_ms)
{
    int *seen = arg;

    *seen = *timeout_ms;
    *timeout_ms = 0;
    if (++waits == 2) {
        fake_now_us += 5000000;
    }
}

static void the_wait_is_as_long_as_the_next_timer_needs(void **state)
{
    static const struct clock_ops fake = {.mono_us = fake_mono_us};
    static const struct {
        uint64_t after_ms;
        int timeout_ms;
    } cases[] = {
        {250, 250},
        {INT32_MAX, INT32_MAX},
        {(uint64_t)1 << 32, INT32_MAX}, /* does not wrap to no wait at all */
        {((uint64_t)1 << 32) + 7, INT32_MAX},
        {UINT64_MAX, INT32_MAX}, /* never: not at once */
    };

    (void)state;
    clock_use(&fake);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct loop *l = loop_new();
        struct timer t = {.loop = l};
        struct again stop = {{.fn = post_again}, l, 2};
        int seen = -2;
        loop_timer_init(&t.timer, count_timer);
        loop_timer_set(l, &t.timer, cases[i].after_ms);
        loop_post(l, &stop.call);
        waits = 100; /* the clock stands */
        loop_run(l, look_at_timeout, &seen);
        assert_int_equal(t.count, 0);
        assert_int_equal(seen, cases[i].timeout_ms);
        loop_timer_clear(&t.timer);
        loop_free(l);
    }
    clock_use(NULL);
}

static void before_wait_runs_and_may_shorten_the_wait(void **state)
{
    static const struct clock_ops fake = {.mono_us = fake_mono_us};
    struct loop *l = loop_new();
    struct timer t = {.loop = l, .stop_at = 1};
    int seen = -2;

    (void)state;
    clock_use(&fake);
    loop_timer_init(&t.timer, count_timer);
    loop_timer_set(l, &t.timer, 5000);
    waits = 0; /* at the second wait, five seconds pass */
    loop_run(l, look_at_timeout, &seen);
    clock_use(NULL);
    assert_int_equal(t.count, 1);
    assert_true(waits >= 2);
    loop_free(l);
}

struct pipe_end {
    struct loop_fd f;
    struct loop *loop;
    struct pipe_end *other; /* removed by the handler */
    int write_fd;
    unsigned count;
    char got;
};

static void read_one(struct loop_fd *f, uint32_t events)
{
    struct pipe_end *p = LIST_OF(f, struct pipe_end, f);

    assert_true(events & EPOLLIN);
    assert_int_equal(read(f->fd, &p->got, 1), 1);
    if (++p->count == 3) {
        loop_stop(p->loop);
    }
}

static void pipe_init(struct pipe_end *p, struct loop *l,
                      void (*fn)(struct loop_fd *f, uint32_t events))
{
    int fds[2];

    assert_int_equal(pipe(fds), 0);
    *p = (struct pipe_end){.f = {fds[0], fn}, .loop = l, .write_fd = fds[1]};
}

static void pipe_close(struct pipe_end *p)
{
    close(p->f.fd);
    close(p->write_fd);
}

static void a_readable_descriptor_is_served(void **state)
{
    struct loop *l = loop_new();
    struct pipe_end p;

    (void)state;
    pipe_init(&p, l, read_one);
    loop_add_fd(l, &p.f, 0); /* nothing asked for yet */
    loop_set_fd(l, &p.f, EPOLLIN);
    assert_int_equal(write(p.write_fd, "abc", 3), 3);
    loop_run(l, NULL, NULL);
    assert_int_equal(p.count, 3);
    assert_int_equal(p.got, 'c');
    loop_remove_fd(l, &p.f);
    pipe_close(&p);
    loop_free(l);
}

static void remove_other(struct loop_fd *f, uint32_t events)
{
    struct pipe_end *p = LIST_OF(f, struct pipe_end, f);

    (void)events;
    p->count++;
    if (p->count == 1 && p->other->count == 0) {
        loop_remove_fd(p->loop, &p->other->f);
    }
    loop_stop(p->loop);
}

/* Both are readable in one epoll_wait; the handler of the first ends the
 * second (a peer's connection, say), whose struct may be gone by then. */
static void a_removed_descriptor_is_not_served_any_more(void **state)
{
    struct loop *l = loop_new();
    struct pipe_end a;
    struct pipe_end b;

    (void)state;
    pipe_init(&a, l, remove_other);
    pipe_init(&b, l, remove_other);
    a.other = &b;
    b.other = &a;
    loop_add_fd(l, &a.f, EPOLLIN);
    loop_add_fd(l, &b.f, EPOLLIN);
    assert_int_equal(write(a.write_fd, "x", 1), 1);
    assert_int_equal(write(b.write_fd, "x", 1), 1);
    loop_run(l, NULL, NULL);
    assert_int_equal(a.count + b.count, 1);
    pipe_close(&a);
    pipe_close(&b);
    loop_free(l);
}

static void an_idle_loop_has_no_owner_but_all(void **state)
{
    struct loop *l = loop_new();

    (void)state;
    assert_true(loop_is_owner(l));
    loop_stop(l);
    loop_run(l, NULL, NULL);
    assert_true(loop_is_owner(l));
    loop_free(l);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_post_wakes_the_sleeping_loop),
        cmocka_unit_test(posts_of_each_thread_run_once_and_in_order),
        cmocka_unit_test(a_call_may_post_itself),
        cmocka_unit_test(a_call_posted_once_runs_after_each_change),
        cmocka_unit_test(a_call_posted_once_waits_once),
        cmocka_unit_test(what_was_posted_before_the_stop_runs),
        cmocka_unit_test(what_a_last_call_posts_runs_too),
        cmocka_unit_test(timers_fire_once_and_not_early),
        cmocka_unit_test(a_timer_may_set_itself),
        cmocka_unit_test(a_timer_may_clear_another_that_is_due),
        cmocka_unit_test(the_wait_is_as_long_as_the_next_timer_needs),
        cmocka_unit_test(before_wait_runs_and_may_shorten_the_wait),
        cmocka_unit_test(a_readable_descriptor_is_served),
        cmocka_unit_test(a_removed_descriptor_is_not_served_any_more),
        cmocka_unit_test(an_idle_loop_has_no_owner_but_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
