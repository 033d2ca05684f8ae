#include "base/loop.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define LOOP_EVENTS 64

struct loop {
    int epoll_fd;
    struct loop_fd wake;     /* eventfd */
    struct list_node timers; /* owner; unsorted: there are few */
    pthread_mutex_t mutex;   /* guards posted, posted_tail */
    struct loop_call *posted;
    struct loop_call **posted_tail;
    atomic_bool stopping;
    _Atomic(pthread_t) owner;
    atomic_bool running;
    struct epoll_event *pending; /* owner; events of this round not served */
    int pending_count;
};

static void on_wake(struct loop_fd *f, uint32_t events)
{
    uint64_t n;

    (void)events;
    while (read(f->fd, &n, sizeof n) < 0 && errno == EINTR) {
    }
}

struct loop *loop_new(void)
{
    struct loop *l = mem_alloc(sizeof *l);

    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    CHECK(l->epoll_fd >= 0);
    l->wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK(l->wake.fd >= 0);
    l->wake.fn = on_wake;
    list_init(&l->timers);
    CHECK(pthread_mutex_init(&l->mutex, NULL) == 0);
    l->posted_tail = &l->posted;
    loop_add_fd(l, &l->wake, EPOLLIN);
    return l;
}

void loop_free(struct loop *l)
{
    if (l == NULL) {
        return;
    }
    CHECK(!atomic_load(&l->running));
    close(l->wake.fd);
    close(l->epoll_fd);
    pthread_mutex_destroy(&l->mutex);
    free(l);
}

static void wake(struct loop *l)
{
    uint64_t one = 1;

    /* A full counter still wakes; nothing else can fail here. */
    while (write(l->wake.fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

/* Loops that this thread owes a wake-up while it is corked. */
#define CORK_MAX 16
static _Thread_local struct {
    bool on;
    size_t count;
    struct loop *loops[CORK_MAX];
} cork;

/* True when the wake-up is put off. */
static bool put_off(struct loop *l)
{
    if (!cork.on) {
        return false;
    }
    for (size_t i = 0; i < cork.count; i++) {
        if (cork.loops[i] == l) {
            return true;
        }
    }
    if (cork.count == CORK_MAX) {
        return false;
    }
    cork.loops[cork.count++] = l;
    return true;
}

void loop_cork(void)
{
    CHECK(!cork.on);
    cork.on = true;
    cork.count = 0;
}

void loop_uncork(void)
{
    CHECK(cork.on);
    cork.on = false;
    for (size_t i = 0; i < cork.count; i++) {
        wake(cork.loops[i]);
    }
}

void loop_post(struct loop *l, struct loop_call *call)
{
    bool first;

    call->next = NULL;
    pthread_mutex_lock(&l->mutex);
    first = l->posted == NULL;
    *l->posted_tail = call;
    l->posted_tail = &call->next;
    pthread_mutex_unlock(&l->mutex);
    if (first && !put_off(l)) {
        wake(l);
    }
}

void loop_post_once(struct loop *l, struct loop_call *call)
{
    if (!atomic_exchange(&call->waiting, true)) {
        loop_post(l, call);
    }
}

/* False when there was nothing to run. */
static bool run_posted(struct loop *l)
{
    struct loop_call *call;
    bool any;

    pthread_mutex_lock(&l->mutex);
    call = l->posted;
    l->posted = NULL;
    l->posted_tail = &l->posted;
    pthread_mutex_unlock(&l->mutex);
    any = call != NULL;
    while (call != NULL) {
        struct loop_call *next = call->next;
        atomic_store(&call->waiting, false); /* it is in no list any more */
        call->fn(call);                      /* may free call */
        call = next;
    }
    return any;
}

static void run_timers(struct loop *l, int *timeout_ms)
{
    uint64_t now = clock_mono_ms();
    struct list_node due;

    list_init(&due);
    LIST_EACH_SAFE (node, &l->timers) {
        struct loop_timer *t = LIST_OF(node, struct loop_timer, node);
        if (t->due_ms <= now) {
            list_remove(node);
            list_push(&due, node);
        }
    }
    for (struct list_node *n; (n = list_pop(&due)) != NULL;) {
        struct loop_timer *t = LIST_OF(n, struct loop_timer, node);
        t->fn(t);
    }
    LIST_EACH (node, &l->timers) {
        struct loop_timer *t = LIST_OF(node, struct loop_timer, node);
        uint64_t left = t->due_ms > now ? t->due_ms - now : 0;
        left = left < INT_MAX ? left : INT_MAX;
        if (*timeout_ms < 0 || left < (uint64_t)*timeout_ms) {
            *timeout_ms = (int)left;
        }
    }
}

void loop_run(struct loop *l, void (*before_wait)(void *arg, int *timeout_ms),
              void *arg)
{
    struct epoll_event events[LOOP_EVENTS];

    atomic_store(&l->owner, pthread_self());
    atomic_store(&l->running, true);
    while (!atomic_load(&l->stopping)) {
        int timeout_ms = -1;
        int n;

        run_posted(l);
        run_timers(l, &timeout_ms);
        if (before_wait != NULL) {
            before_wait(arg, &timeout_ms);
        }
        n = epoll_wait(l->epoll_fd, events, LOOP_EVENTS, timeout_ms);
        CHECK(n >= 0 || errno == EINTR);
        l->pending = events;
        l->pending_count = n > 0 ? n : 0;
        for (int i = 0; i < n; i++) {
            struct loop_fd *f = events[i].data.ptr;
            if (f != NULL) {
                f->fn(f, events[i].events);
            }
        }
        l->pending_count = 0;
    }
    while (run_posted(l)) {
    }
    atomic_store(&l->running, false);
}

void loop_stop(struct loop *l)
{
    atomic_store(&l->stopping, true);
    wake(l);
}

bool loop_is_owner(const struct loop *l)
{
    return !atomic_load(&l->running) ||
           pthread_equal(atomic_load(&l->owner), pthread_self());
}

static void control(struct loop *l, int op, struct loop_fd *f, uint32_t events)
{
    struct epoll_event e = {.events = events, .data = {.ptr = f}};

    CHECK(epoll_ctl(l->epoll_fd, op, f->fd, &e) == 0);
}

void loop_add_fd(struct loop *l, struct loop_fd *f, uint32_t events)
{
    CHECK_ON_LOOP(l);
    control(l, EPOLL_CTL_ADD, f, events);
}

void loop_set_fd(struct loop *l, struct loop_fd *f, uint32_t events)
{
    CHECK_ON_LOOP(l);
    control(l, EPOLL_CTL_MOD, f, events);
}

void loop_remove_fd(struct loop *l, struct loop_fd *f)
{
    CHECK_ON_LOOP(l);
    control(l, EPOLL_CTL_DEL, f, 0);
    /* What this round's wait already told of it is void: @f may be freed. */
    for (int i = 0; i < l->pending_count; i++) {
        if (l->pending[i].data.ptr == f) {
            l->pending[i].data.ptr = NULL;
        }
    }
}

void loop_timer_init(struct loop_timer *t, void (*fn)(struct loop_timer *t))
{
    t->fn = fn;
    t->due_ms = 0;
    list_init(&t->node);
}

void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t after_ms)
{
    CHECK_ON_LOOP(l);
    list_remove(&t->node);
    t->due_ms = clock_mono_ms();
    t->due_ms =
        after_ms < UINT64_MAX - t->due_ms ? t->due_ms + after_ms : UINT64_MAX;
    list_push(&l->timers, &t->node);
}

void loop_timer_clear(struct loop_timer *t)
{
    list_remove(&t->node);
}
