#include "base/pool.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/latch.h"
#include "base/mem.h"

/* Free buffers that are kept: at most this part of the budget, and as many
 * size classes as the data path has. */
#define KEEP_FRACTION 4
#define CLASSES_MAX 12

struct free_block {
    struct free_block *next;
};

struct size_class {
    size_t size_bytes;
    struct free_block *free;
};

struct pool {
    pthread_mutex_t mutex; /* guards all below */
    size_t budget;
    size_t used;
    size_t kept;
    size_t waiting;
    struct list_node waiters;
    struct size_class classes[CLASSES_MAX];
};

struct pool *pool_new(size_t budget_bytes)
{
    struct pool *p = mem_alloc(sizeof *p);

    CHECK(budget_bytes > 0);
    CHECK(pthread_mutex_init(&p->mutex, NULL) == 0);
    p->budget = budget_bytes;
    list_init(&p->waiters);
    return p;
}

void pool_free(struct pool *p)
{
    if (p == NULL) {
        return;
    }
    CHECK(p->used == 0);
    CHECK(list_empty(&p->waiters));
    pool_trim(p);
    pthread_mutex_destroy(&p->mutex);
    free(p);
}

/* The class of @size; an unused one is taken for it when @make. */
static struct size_class *class_of(struct pool *p, size_t size, bool make)
{
    struct size_class *unused = NULL;

    for (size_t i = 0; i < CLASSES_MAX; i++) {
        struct size_class *c = &p->classes[i];
        if (c->size_bytes == size) {
            return c;
        }
        if (c->free == NULL && unused == NULL) {
            unused = c;
        }
    }
    if (unused == NULL || !make) {
        return NULL;
    }
    unused->size_bytes = size;
    return unused;
}

static void trim_locked(struct pool *p)
{
    for (size_t i = 0; i < CLASSES_MAX; i++) {
        struct size_class *c = &p->classes[i];
        while (c->free != NULL) {
            struct free_block *block = c->free;
            c->free = block->next;
            mem_pages_free(block, c->size_bytes);
        }
    }
    p->kept = 0;
}

/* Memory for @size within the budget, or NULL. What is kept free counts as
 * memory of the process, so it gives way first. */
static void *take_locked(struct pool *p, size_t size)
{
    struct size_class *c;
    void *ptr;

    if (size > p->budget || p->used > p->budget - size) {
        return NULL;
    }
    c = class_of(p, size, false);
    if (c != NULL && c->free != NULL) {
        ptr = c->free;
        c->free = c->free->next;
        p->kept -= size;
    } else {
        if (p->used + p->kept + size > p->budget) {
            trim_locked(p);
        }
        ptr = mem_pages(size);
        if (ptr == NULL) {
            return NULL;
        }
    }
    p->used += size;
    return ptr;
}

void *pool_get(struct pool *p, size_t size_bytes)
{
    size_t size = mem_round_up(size_bytes, MEM_PAGE);
    void *ptr = NULL;

    pthread_mutex_lock(&p->mutex);
    if (list_empty(&p->waiters)) {
        ptr = take_locked(p, size);
    }
    pthread_mutex_unlock(&p->mutex);
    return ptr;
}

void *pool_get_wait(struct pool *p, size_t size_bytes, struct pool_waiter *w)
{
    size_t size = mem_round_up(size_bytes, MEM_PAGE);
    void *ptr = NULL;

    CHECK(size > 0);
    CHECK(size <= p->budget);
    pthread_mutex_lock(&p->mutex);
    CHECK(w->node.next == NULL || list_empty(&w->node)); /* in line once */
    if (list_empty(&p->waiters)) {
        ptr = take_locked(p, size);
    }
    if (ptr == NULL) {
        w->size_bytes = size;
        list_push(&p->waiters, &w->node);
        p->waiting++;
    }
    pthread_mutex_unlock(&p->mutex);
    return ptr;
}

/* Serve who is first in line, for as long as there is enough. */
static void serve_waiters(struct pool *p)
{
    for (;;) {
        struct pool_waiter *w = NULL;
        void *ptr = NULL;

        pthread_mutex_lock(&p->mutex);
        if (!list_empty(&p->waiters)) {
            w = LIST_OF(p->waiters.next, struct pool_waiter, node);
            ptr = take_locked(p, w->size_bytes);
            if (ptr != NULL) {
                list_remove(&w->node);
                p->waiting--;
            }
        }
        pthread_mutex_unlock(&p->mutex);
        if (ptr == NULL) {
            return;
        }
        w->fn(w, ptr);
    }
}

bool pool_cancel(struct pool *p, struct pool_waiter *w)
{
    bool waiting;

    pthread_mutex_lock(&p->mutex);
    waiting = w->node.next != NULL && !list_empty(&w->node);
    if (waiting) {
        list_remove(&w->node);
        p->waiting--;
    }
    pthread_mutex_unlock(&p->mutex);
    if (waiting) {
        /* It may have been too large where those behind it are not. */
        serve_waiters(p);
    }
    return waiting;
}

void pool_put(struct pool *p, void *ptr, size_t size_bytes)
{
    size_t size = mem_round_up(size_bytes, MEM_PAGE);
    struct size_class *c;
    bool waiters;

    if (ptr == NULL) {
        return;
    }
    pthread_mutex_lock(&p->mutex);
    CHECK(p->used >= size);
    p->used -= size;
    c = p->kept + size <= p->budget / KEEP_FRACTION ? class_of(p, size, true)
                                                    : NULL;
    if (c != NULL) {
        struct free_block *block = ptr;
        block->next = c->free;
        c->free = block;
        p->kept += size;
    } else {
        mem_pages_free(ptr, size);
    }
    waiters = !list_empty(&p->waiters);
    pthread_mutex_unlock(&p->mutex);
    if (waiters) {
        serve_waiters(p);
    }
}

struct block_waiter {
    struct pool_waiter waiter;
    struct latch latch;
    void *ptr;
};

static void block_granted(struct pool_waiter *w, void *ptr)
{
    struct block_waiter *b = LIST_OF(w, struct block_waiter, waiter);

    b->ptr = ptr;
    latch_signal(&b->latch);
}

void *pool_get_block(struct pool *p, size_t size_bytes, uint64_t timeout_ms)
{
    struct block_waiter b = {.waiter = {.fn = block_granted}};
    void *ptr;

    latch_init(&b.latch);
    ptr = pool_get_wait(p, size_bytes, &b.waiter);
    if (ptr == NULL) {
        /* Past the deadline but already granted: take what was given. */
        if (latch_wait(&b.latch, 1, timeout_ms) || !pool_cancel(p, &b.waiter)) {
            latch_wait(&b.latch, 1, UINT64_MAX);
            ptr = b.ptr;
        }
    }
    latch_close(&b.latch);
    return ptr;
}

size_t pool_used(struct pool *p)
{
    size_t n;

    pthread_mutex_lock(&p->mutex);
    n = p->used;
    pthread_mutex_unlock(&p->mutex);
    return n;
}

size_t pool_budget(struct pool *p)
{
    return p->budget;
}

size_t pool_waiting(struct pool *p)
{
    size_t n;

    pthread_mutex_lock(&p->mutex);
    n = p->waiting;
    pthread_mutex_unlock(&p->mutex);
    return n;
}

void pool_trim(struct pool *p)
{
    pthread_mutex_lock(&p->mutex);
    trim_locked(p);
    pthread_mutex_unlock(&p->mutex);
}
