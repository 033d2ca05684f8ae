/* loop.h: an epoll loop that one thread owns.
 *
 * File descriptors with a handler, calls posted by other threads, and one
 * timer for each struct loop_timer. The loop never blocks but in epoll_wait.
 * Functions that say "owner" may be called only on the thread that is in
 * loop_run (or before it starts); CHECK_ON_LOOP asserts that.
 *
 * Threads: loop_post, loop_post_once and loop_stop any; the rest owner.
 */
#ifndef GODWIT_BASE_LOOP_H
#define GODWIT_BASE_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/list.h"

struct loop;

/* A call that travels to the loop. The caller owns the struct, which must
 * stay until @fn runs; usually it stands inside a larger one. */
struct loop_call {
    void (*fn)(struct loop_call *call);
    struct loop_call *next;
    atomic_bool waiting; /* the loop's, of loop_post_once */
};

struct loop_fd {
    int fd;
    void (*fn)(struct loop_fd *f, uint32_t events); /* EPOLLIN, ... */
};

struct loop_timer {
    void (*fn)(struct loop_timer *t);
    uint64_t due_ms; /* clock_mono_ms; set by loop_timer_set */
    struct list_node node;
};

struct loop *loop_new(void);
void loop_free(struct loop *l); /* no thread may be in loop_run */

/* Serve until loop_stop. @before_wait (may be NULL) runs before each wait and
 * lowers *@timeout_ms (-1: for ever) when it must be called again sooner. */
void loop_run(struct loop *l, void (*before_wait)(void *arg, int *timeout_ms),
              void *arg);
void loop_stop(struct loop *l);
bool loop_is_owner(const struct loop *l);

/* Run @call->fn on the loop's thread, in the order posted. */
void loop_post(struct loop *l, struct loop_call *call);
/* The same, but nothing when it is posted already and @fn has not begun: what
 * was done before this call, @fn will see. Zeroed at first. */
void loop_post_once(struct loop *l, struct loop_call *call);

/* Between these two, calls that this thread posts wake no loop; at the end each
 * loop that got some is woken once. For who has many completions at hand. Not
 * nested. Any thread. */
void loop_cork(void);
void loop_uncork(void);

void loop_add_fd(struct loop *l, struct loop_fd *f, uint32_t events);
void loop_set_fd(struct loop *l, struct loop_fd *f, uint32_t events);
void loop_remove_fd(struct loop *l, struct loop_fd *f);

void loop_timer_init(struct loop_timer *t, void (*fn)(struct loop_timer *t));
void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t after_ms);
void loop_timer_clear(struct loop_timer *t);

#define CHECK_ON_LOOP(l) CHECK(loop_is_owner(l))

#endif
