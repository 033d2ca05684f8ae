#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "tests/sim/sim.h"

#define BLOCK_MAGIC 0x6b636f6c62u

struct block {
    struct list_node node;
    uint64_t magic;
    uint64_t size; /* and the rest stands at a multiple of 16 */
};

static struct list_node *owner;

static void *heap_malloc(void *data, size_t size)
{
    struct block *b = malloc(sizeof *b + size);

    (void)data;
    CHECK(b != NULL);
    CHECK(owner != NULL);
    b->magic = BLOCK_MAGIC;
    b->size = size;
    list_push(owner, &b->node);
    /* libraft writes some of what it never set: the same for each run. */
    memset(b + 1, 0xa5, size);
    return b + 1;
}

static struct block *block_of(void *ptr)
{
    struct block *b = (struct block *)ptr - 1;

    CHECK(b->magic == BLOCK_MAGIC);
    return b;
}

static void block_free(struct block *b)
{
    list_remove(&b->node);
    b->magic = 0;
    free(b);
}

static void heap_free(void *data, void *ptr)
{
    (void)data;
    if (ptr != NULL) {
        block_free(block_of(ptr));
    }
}

static void *heap_calloc(void *data, size_t count, size_t size)
{
    void *p = heap_malloc(data, count * size);

    memset(p, 0, count * size);
    return p;
}

static void *heap_realloc(void *data, void *ptr, size_t size)
{
    void *p = heap_malloc(data, size);

    if (ptr != NULL) {
        struct block *b = block_of(ptr);
        memcpy(p, ptr, b->size < size ? b->size : size);
        block_free(b);
    }
    return p;
}

static void *heap_aligned_alloc(void *data, size_t alignment, size_t size)
{
    CHECK(alignment <= 16);
    return heap_malloc(data, size);
}

static void heap_aligned_free(void *data, size_t alignment, void *ptr)
{
    (void)alignment;
    heap_free(data, ptr);
}

void sim_heap_start(void)
{
    static struct raft_heap heap = {.malloc = heap_malloc,
                                    .free = heap_free,
                                    .calloc = heap_calloc,
                                    .realloc = heap_realloc,
                                    .aligned_alloc = heap_aligned_alloc,
                                    .aligned_free = heap_aligned_free};

    raft_heap_set(&heap);
}

void sim_heap_use(struct list_node *head)
{
    owner = head;
}

void sim_heap_free(struct list_node *head)
{
    LIST_EACH_SAFE (node, head) {
        block_free(LIST_OF(node, struct block, node));
    }
}
