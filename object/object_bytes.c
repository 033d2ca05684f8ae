#include "object/object_bytes.h"

#include "base/mem.h"
#include "base/pool.h"
#include "object/object_internal.h"

/* Buffers of reads come in powers of two, so that the pool has few classes. */
#define BUFFER_BYTES_MIN ((size_t)65536)

bool object_bytes_new(struct object_store *s, size_t need, bool only_pool,
                      struct object_bytes *out)
{
    struct object_bytes b = {.room = BUFFER_BYTES_MIN};

    while (b.room < need) {
        b.room *= 2;
    }
    b.p = pool_get(s->options.pool, b.room);
    b.pooled = b.p != NULL;
    if (b.p == NULL && !only_pool) {
        b.p = mem_pages(b.room);
    }
    *out = b;
    return b.p != NULL;
}

void object_bytes_free(struct object_store *s, struct object_bytes *b)
{
    if (b->pooled) {
        pool_put(s->options.pool, b->p, b->room);
    } else if (b->p != NULL) {
        mem_pages_free(b->p, b->room);
    }
    *b = (struct object_bytes){0};
}
