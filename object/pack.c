#include "object/pack.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"

#define LEVEL 1
/* As many as workers that are commonly busy; more are made and freed. */
#define IDLE_MAX 8

struct packer {
    struct packer *next;
    ZSTD_CCtx *c; /* made when it is first needed */
    ZSTD_DCtx *d;
    uint8_t *block; /* 1 << PACK_SHIFT_MAX bytes, likewise */
};

struct packers {
    pthread_mutex_t mutex; /* guards all below */
    struct packer *idle;
    unsigned count; /* of them */
};

struct packers *packers_new(void)
{
    struct packers *p = mem_alloc(sizeof *p);

    CHECK(pthread_mutex_init(&p->mutex, NULL) == 0);
    return p;
}

static void packer_free(struct packer *k)
{
    ZSTD_freeCCtx(k->c);
    ZSTD_freeDCtx(k->d);
    free(k->block);
    free(k);
}

void packers_free(struct packers *p)
{
    if (p == NULL) {
        return;
    }
    while (p->idle != NULL) {
        struct packer *k = p->idle;
        p->idle = k->next;
        packer_free(k);
    }
    pthread_mutex_destroy(&p->mutex);
    free(p);
}

static struct packer *borrow(struct packers *p)
{
    struct packer *k;

    pthread_mutex_lock(&p->mutex);
    k = p->idle;
    if (k != NULL) {
        p->idle = k->next;
        p->count--;
    }
    pthread_mutex_unlock(&p->mutex);
    if (k == NULL) {
        k = mem_alloc(sizeof *k);
    }
    return k;
}

static void give_back(struct packers *p, struct packer *k)
{
    bool keep;

    pthread_mutex_lock(&p->mutex);
    keep = p->count < IDLE_MAX;
    if (keep) {
        k->next = p->idle;
        p->idle = k;
        p->count++;
    }
    pthread_mutex_unlock(&p->mutex);
    if (!keep) {
        packer_free(k);
    }
}

static uint8_t *room(struct packer *k)
{
    if (k->block == NULL) {
        k->block = mem_alloc((size_t)1 << PACK_SHIFT_MAX);
    }
    return k->block;
}

static uint32_t block_bytes(uint32_t plain_bytes, unsigned shift, uint32_t i)
{
    uint32_t begin = i << shift;
    uint32_t left = plain_bytes - begin;

    return left < (uint32_t)1 << shift ? left : (uint32_t)1 << shift;
}

const char *pack_judge(const struct pack_shape *shape, uint32_t stored)
{
    uint32_t count, sum = 0;

    if (shape->shift < PACK_SHIFT_MIN || shape->shift > PACK_SHIFT_MAX) {
        return "the size of its blocks is out of bounds";
    }
    if (shape->plain_bytes > GEOMETRY_CHUNK_MAX ||
        stored >= shape->plain_bytes) {
        return "its plain bytes are out of bounds";
    }
    count = pack_blocks(shape->plain_bytes, shape->shift);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t most = block_bytes(shape->plain_bytes, shape->shift, i);
        if (shape->blocks[i] < 1 || shape->blocks[i] > most) {
            return "the bytes of a block are out of bounds";
        }
        sum += shape->blocks[i];
    }
    return sum != stored ? "its blocks do not add up" : NULL;
}

/* ---- packing ---- */

static bool make_compressor(struct packer *k)
{
    if (k->c == NULL && (k->c = ZSTD_createCCtx()) != NULL) {
        ZSTD_CCtx_setParameter(k->c, ZSTD_c_compressionLevel, LEVEL);
        ZSTD_CCtx_setParameter(k->c, ZSTD_c_checksumFlag, 1);
    }
    return k->c != NULL;
}

/* Into the packer's own block; 0 when it does not pay. */
static uint32_t pack_block(struct packer *k, const uint8_t *data,
                           uint32_t bytes)
{
    size_t n;

    if (bytes < 8) {
        return 0;
    }
    n = ZSTD_compress2(k->c, room(k), bytes - bytes / 8, data, bytes);
    return ZSTD_isError(n) ? 0 : (uint32_t)n;
}

/* Is a block of them worth it? */
static bool pays(struct packer *k, const uint8_t *data, uint32_t bytes,
                 unsigned shift)
{
    uint32_t middle = pack_blocks(bytes, shift) / 2;

    if (pack_block(k, data, block_bytes(bytes, shift, 0)) > 0) {
        return true;
    }
    return middle > 0 && pack_block(k, data + ((size_t)middle << shift),
                                    block_bytes(bytes, shift, middle)) > 0;
}

/* What is written never reaches what is still to be read. */
uint32_t pack_chunk(struct packers *p, uint8_t *data, uint32_t bytes,
                    unsigned shift, uint32_t *blocks)
{
    struct packer *k = borrow(p);
    uint32_t out = 0;

    CHECK(bytes >= 1 && bytes <= GEOMETRY_CHUNK_MAX);
    CHECK(shift >= PACK_SHIFT_MIN && shift <= PACK_SHIFT_MAX);
    if (!make_compressor(k) || !pays(k, data, bytes, shift)) {
        give_back(p, k);
        return 0;
    }
    for (uint32_t i = 0; i < pack_blocks(bytes, shift); i++) {
        const uint8_t *from = data + ((size_t)i << shift);
        uint32_t plain = block_bytes(bytes, shift, i);
        blocks[i] = pack_block(k, from, plain);
        if (blocks[i] > 0) {
            memcpy(data + out, k->block, blocks[i]);
        } else {
            blocks[i] = plain;
            memmove(data + out, from, plain);
        }
        out += blocks[i];
    }
    give_back(p, k);
    CHECK(out < bytes);
    return out;
}

/* ---- reading ---- */

struct pack_span pack_span(const struct pack_shape *shape, uint32_t offset,
                           uint32_t length)
{
    struct pack_span s = {.first = offset >> shape->shift};

    CHECK(length > 0);
    CHECK(offset < shape->plain_bytes && length <= shape->plain_bytes - offset);
    s.end = ((offset + length - 1) >> shape->shift) + 1;
    for (uint32_t i = 0; i < s.first; i++) {
        s.at += shape->blocks[i];
    }
    for (uint32_t i = s.first; i < s.end; i++) {
        s.bytes += shape->blocks[i];
    }
    return s;
}

/* A whole block into @out, of @plain bytes. */
static int unpack(struct packer *k, const uint8_t *stored, uint32_t bytes,
                  uint8_t *out, uint32_t plain, struct err *err)
{
    size_t n;

    if (k->d == NULL && (k->d = ZSTD_createDCtx()) == NULL) {
        return err_set(err, ERR_NOMEM, "no memory for a read");
    }
    n = ZSTD_decompressDCtx(k->d, out, plain, stored, bytes);
    if (ZSTD_isError(n)) {
        return err_set(err, ERR_CORRUPT, "a packed block is damaged: %s",
                       ZSTD_getErrorName(n));
    }
    if (n != plain) {
        return err_set(err, ERR_CORRUPT,
                       "a packed block gives %zu bytes instead of %u", n,
                       plain);
    }
    return 0;
}

int pack_read(struct packers *p, const struct pack_shape *shape,
              uint32_t offset, uint32_t length, const uint8_t *stored,
              uint8_t *out, struct err *err)
{
    struct pack_span span = pack_span(shape, offset, length);
    struct packer *k = borrow(p);
    uint32_t end = offset + length;
    int rc = 0;

    for (uint32_t i = span.first; rc == 0 && i < span.end; i++) {
        uint32_t plain = block_bytes(shape->plain_bytes, shape->shift, i);
        uint32_t at = i << shape->shift;
        uint32_t from = at < offset ? offset - at : 0;
        uint32_t to = at + plain > end ? end - at : plain;
        bool whole = to - from == plain;
        if (shape->blocks[i] == plain) {
            memcpy(out, stored + from, to - from);
        } else {
            rc = unpack(k, stored, shape->blocks[i], whole ? out : room(k),
                        plain, err);
            if (rc == 0 && !whole) {
                memcpy(out, k->block + from, to - from);
            }
        }
        stored += shape->blocks[i];
        out += to - from;
    }
    give_back(p, k);
    return rc;
}
