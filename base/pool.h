/* pool.h: a budget for the bytes of bodies, and page-aligned buffers from it.
 *
 * All bytes of objects on their way in or out stand in buffers of one pool,
 * whose budget bounds the server's memory whatever the number of clients.
 * Who asks when nothing is left waits in line: pool_get_wait queues a call that
 * is made, in the order asked, once the bytes are there. Free buffers are kept
 * (by size class) up to a bound, so the data path does not page-fault; an idle
 * pool gives its memory back by pool_trim.
 *
 * Threads: any.
 */
#ifndef GODWIT_BASE_POOL_H
#define GODWIT_BASE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct pool;

/* A place in line. The caller owns it; it stays until @fn was called or
 * pool_cancel returned true. */
struct pool_waiter {
    /* The bytes are there: @ptr (kept until pool_put). Called by whoever
     * gave bytes back, on its thread: post elsewhere, do not work here. */
    void (*fn)(struct pool_waiter *w, void *ptr);
    size_t size_bytes;
    struct list_node node;
};

struct pool *pool_new(size_t budget_bytes);
void pool_free(struct pool *p); /* CHECKs that all came back */

/* A buffer of @size_bytes (page-aligned, not zeroed) or NULL when the budget
 * is used up or others wait in line. Give it back with pool_put and the same
 * size. */
void *pool_get(struct pool *p, size_t size_bytes);
void pool_put(struct pool *p, void *ptr, size_t size_bytes);

/* As pool_get, but when it would say NULL, stand in line and return NULL. */
void *pool_get_wait(struct pool *p, size_t size_bytes, struct pool_waiter *w);
/* Leave the line; false when @w->fn was or is being called. */
bool pool_cancel(struct pool *p, struct pool_waiter *w);

/* As pool_get, but block for at most @timeout_ms. For workers. */
void *pool_get_block(struct pool *p, size_t size_bytes, uint64_t timeout_ms);

size_t pool_used(struct pool *p); /* bytes out */
size_t pool_budget(struct pool *p);
size_t pool_waiting(struct pool *p); /* how many stand in line */
void pool_trim(struct pool *p);      /* give kept free buffers to the system */

#endif
