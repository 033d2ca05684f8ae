#include "object/object_get.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "object/manifest.h"
#include "object/object_internal.h"

#define GET_MAGIC 0x474f4745u

struct object_get {
    uint32_t magic;
    struct object_store *store;
    struct manifest manifest;
    uint32_t chunk; /* where the next byte is */
    uint32_t in_chunk;
    uint64_t left;
    struct chunk_read *ahead; /* asked before it is wanted, or NULL */
    uint32_t ahead_bytes;     /* plain */
};

int object_get_open(struct object_store *s, const void *manifest,
                    size_t manifest_len, uint64_t offset, uint64_t length,
                    struct object_get **out, struct err *err)
{
    struct manifest m;
    struct object_get *g;
    uint64_t size;
    int rc = manifest_decode(manifest, manifest_len, &m, err);

    if (rc != 0) {
        return rc;
    }
    size = manifest_bytes(&m);
    if (offset > size || length > size - offset) {
        manifest_free(&m);
        return err_set(err, ERR_RANGE,
                       "%llu bytes at %llu are past the end at %llu",
                       (unsigned long long)length, (unsigned long long)offset,
                       (unsigned long long)size);
    }
    g = mem_alloc(sizeof *g);
    g->magic = GET_MAGIC;
    g->store = s;
    g->manifest = m;
    g->left = length;
    while (g->chunk < m.count && offset >= manifest_plain(&m, g->chunk)) {
        offset -= manifest_plain(&m, g->chunk++);
    }
    g->in_chunk = (uint32_t)offset;
    pthread_mutex_lock(&s->mutex);
    s->gets++;
    pthread_mutex_unlock(&s->mutex);
    *out = g;
    return 0;
}

/* Is the chunk at hand packed, and how? */
static bool is_packed(const struct object_get *g, struct pack_shape *shape)
{
    *shape = manifest_shape(&g->manifest, g->chunk);
    return shape->plain_bytes > 0;
}

/* The plain bytes that come next: at most @max, within one chunk; to the end of
 * a block, if they go beyond one and on: none is unpacked twice. */
static uint32_t next_bytes(const struct object_get *g, size_t max)
{
    uint32_t n = manifest_plain(&g->manifest, g->chunk) - g->in_chunk;
    struct pack_shape shape;
    uint32_t even;

    n = n < max ? n : (uint32_t)max;
    n = n < g->left ? n : (uint32_t)g->left;
    if (n < g->left && is_packed(g, &shape)) {
        even = (g->in_chunk + n) >> shape.shift << shape.shift;
        n = even > g->in_chunk &&
                    g->in_chunk + n < manifest_plain(&g->manifest, g->chunk)
                ? even - g->in_chunk
                : n;
    }
    return n;
}

/* Ask for what is stored of the next @n plain bytes. */
static struct chunk_read *start(struct object_get *g, uint32_t n,
                                bool only_pool)
{
    struct chunk_ref chunk = object_chunk_ref(&g->manifest, g->chunk);
    struct pack_span span = {.at = g->in_chunk, .bytes = n};
    struct pack_shape shape;

    if (is_packed(g, &shape)) {
        span = pack_span(&shape, g->in_chunk, n);
    }
    return object_read_start(g->store, &chunk, span.at, span.bytes, only_pool);
}

/* The next @n plain bytes, from what is stored of them in @out. */
static int unpack(struct object_get *g, uint32_t n, struct object_bytes *out,
                  struct err *err)
{
    struct object_bytes stored = *out;
    struct pack_shape shape;
    int rc;

    if (!is_packed(g, &shape)) {
        return 0;
    }
    *out = (struct object_bytes){0};
    if (object_bytes_new(g->store, n, false, out)) {
        rc = pack_read(g->store->packers, &shape, g->in_chunk, n, stored.p,
                       out->p, err);
        out->len = n;
    } else {
        rc = err_set(err, ERR_NOMEM, "no memory for a read");
    }
    if (rc != 0) {
        object_bytes_free(g->store, out);
    }
    object_bytes_free(g->store, &stored);
    return rc;
}

/* What was asked ahead, when it is what is wanted now. */
static struct chunk_read *take_ahead(struct object_get *g, size_t max,
                                     uint32_t *n)
{
    struct chunk_read *r = g->ahead;

    g->ahead = NULL;
    if (r != NULL && g->ahead_bytes > max) {
        object_read_drop(r);
        return NULL;
    }
    *n = r != NULL ? g->ahead_bytes : *n;
    return r;
}

/* Ask for the next window while the caller sends this one, if the pool has
 * memory to spare: it keeps drives busy and costs others nothing. */
static void ask_ahead(struct object_get *g, size_t max)
{
    if (g->left > 0) {
        g->ahead_bytes = next_bytes(g, max);
        g->ahead = start(g, g->ahead_bytes, true);
    }
}

int object_get_take(struct object_get *g, size_t max, struct object_bytes *out,
                    struct err *err)
{
    struct chunk_read *r;
    uint32_t n;
    int rc;

    CHECK_OBJ(g, GET_MAGIC);
    CHECK(max > 0);
    *out = (struct object_bytes){0};
    if (g->left == 0) {
        return 0;
    }
    n = next_bytes(g, max);
    r = take_ahead(g, max, &n);
    if (r == NULL) {
        r = start(g, n, false);
    }
    if (r == NULL) {
        return err_set(err, ERR_NOMEM, "no memory for a read");
    }
    rc = object_read_take(r, out, err);
    if (rc == 0) {
        rc = unpack(g, n, out, err);
    }
    if (rc != 0) {
        return rc;
    }
    g->left -= n;
    g->in_chunk += n;
    if (g->in_chunk == manifest_plain(&g->manifest, g->chunk)) {
        g->chunk++;
        g->in_chunk = 0;
    }
    ask_ahead(g, max);
    return 0;
}

int object_get_read(struct object_get *g, void *out, size_t max, size_t *got,
                    struct err *err)
{
    struct object_bytes b;
    int rc = object_get_take(g, max, &b, err);

    *got = b.len;
    if (b.len > 0) {
        memcpy(out, b.p, b.len);
    }
    object_bytes_free(g->store, &b);
    return rc;
}

void object_get_close(struct object_get *g)
{
    struct object_store *s;

    if (g == NULL) {
        return;
    }
    CHECK_OBJ(g, GET_MAGIC);
    s = g->store;
    object_read_drop(g->ahead);
    pthread_mutex_lock(&s->mutex);
    s->gets--;
    pthread_mutex_unlock(&s->mutex);
    manifest_free(&g->manifest);
    g->magic = 0;
    free(g);
}
