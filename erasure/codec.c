#include "erasure/codec.h"

#include <isa-l/erasure_code.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"

/* Bytes of input for each pass: small enough for the second-level cache. */
#define SLICE_INPUT ((size_t)256 << 10)
#define TABLE_BYTES 32 /* isa-l: "must be of size 32*k*rows" */

struct codec {
    uint8_t k, m;
    uint8_t *matrix; /* (k + m) x k, the identity on top */
    uint8_t *tables; /* of the m parity rows */
};

static pthread_mutex_t codecs_mutex = PTHREAD_MUTEX_INITIALIZER;
static const struct codec *codecs[GEOMETRY_K_MAX + 1][GEOMETRY_M_MAX + 1];

static struct codec *codec_new(unsigned k, unsigned m)
{
    struct codec *c = mem_alloc(sizeof *c);

    c->k = (uint8_t)k;
    c->m = (uint8_t)m;
    c->matrix = mem_alloc((size_t)(k + m) * k);
    c->tables = mem_alloc((size_t)TABLE_BYTES * k * (m > 0 ? m : 1));
    gf_gen_cauchy1_matrix(c->matrix, (int)(k + m), (int)k);
    if (m > 0) {
        ec_init_tables((int)k, (int)m, c->matrix + k * k, c->tables);
    }
    return c;
}

const struct codec *codec_get(unsigned pieces, unsigned m)
{
    const struct codec *c;

    CHECK(pieces >= 1 && pieces <= GEOMETRY_K_MAX);
    CHECK(m <= GEOMETRY_M_MAX);
    pthread_mutex_lock(&codecs_mutex);
    c = codecs[pieces][m];
    if (c == NULL) {
        c = codec_new(pieces, m);
        codecs[pieces][m] = c;
    }
    pthread_mutex_unlock(&codecs_mutex);
    return c;
}

/* @rows outputs from @k inputs, slice by slice. */
static void apply(unsigned k, unsigned rows, size_t len, uint8_t *tables,
                  const uint8_t *const *in, uint8_t *const *out)
{
    size_t slice = SLICE_INPUT / k & ~(size_t)63;
    unsigned char *from[GEOMETRY_K_MAX];
    unsigned char *to[GEOMETRY_SLOTS_MAX];

    for (size_t at = 0; at < len; at += slice) {
        size_t n = len - at < slice ? len - at : slice;
        for (unsigned i = 0; i < k; i++) {
            from[i] = (unsigned char *)(uintptr_t)in[i] + at;
        }
        for (unsigned i = 0; i < rows; i++) {
            to[i] = out[i] + at;
        }
        ec_encode_data((int)n, (int)k, (int)rows, tables, from, to);
    }
}

void codec_encode(const struct codec *c, size_t len, const uint8_t *const *data,
                  uint8_t *const *parity)
{
    CHECK(c != NULL);
    if (c->m == 0 || len == 0) {
        return;
    }
    if (c->k == 1) {
        for (unsigned i = 0; i < c->m; i++) {
            memcpy(parity[i], data[0], len);
        }
        return;
    }
    apply(c->k, c->m, len, c->tables, data, parity);
}

/* With one piece every shard is a copy. */
static int copy_shards(const struct codec *c, size_t len,
                       uint8_t *const *shards, uint32_t have, uint32_t want,
                       struct err *err)
{
    const uint8_t *source = NULL;

    for (unsigned i = 0; i < 1u + c->m && source == NULL; i++) {
        source = have >> i & 1 ? shards[i] : NULL;
    }
    if (source == NULL) {
        return err_set(err, ERR_UNAVAILABLE, "no copy is left");
    }
    for (unsigned i = 0; i < 1u + c->m; i++) {
        if (want >> i & 1) {
            memcpy(shards[i], source, len);
        }
    }
    return 0;
}

/* Rows of (matrix of wanted shards) x inverse(matrix of shards at hand). */
static void decode_rows(const struct codec *c, const uint8_t *inverse,
                        uint32_t want, uint8_t *rows)
{
    unsigned k = c->k;

    for (unsigned shard = 0; shard < k + c->m; shard++) {
        if (!(want >> shard & 1)) {
            continue;
        }
        for (unsigned col = 0; col < k; col++) {
            uint8_t sum = 0;
            for (unsigned i = 0; i < k; i++) {
                sum ^= gf_mul(c->matrix[shard * k + i], inverse[i * k + col]);
            }
            *rows++ = sum;
        }
    }
}

int codec_rebuild(const struct codec *c, size_t len, uint8_t *const *shards,
                  uint32_t have, uint32_t want, struct err *err)
{
    uint8_t square[GEOMETRY_K_MAX * GEOMETRY_K_MAX];
    uint8_t inverse[GEOMETRY_K_MAX * GEOMETRY_K_MAX];
    uint8_t rows[GEOMETRY_SLOTS_MAX * GEOMETRY_K_MAX];
    uint8_t tables[TABLE_BYTES * GEOMETRY_K_MAX * GEOMETRY_SLOTS_MAX];
    const uint8_t *in[GEOMETRY_K_MAX];
    uint8_t *out[GEOMETRY_SLOTS_MAX];
    unsigned k = c->k, found = 0, wanted = 0;

    CHECK((have & want) == 0);
    if (k == 1) {
        return copy_shards(c, len, shards, have, want, err);
    }
    for (unsigned i = 0; i < k + c->m; i++) {
        if (have >> i & 1 && found < k) {
            memcpy(square + found * k, c->matrix + i * k, k);
            in[found++] = shards[i];
        }
        if (want >> i & 1) {
            CHECK(shards[i] != NULL);
            out[wanted++] = shards[i];
        }
    }
    if (found < k) {
        return err_set(err, ERR_UNAVAILABLE,
                       "%u shards are left of the %u that are needed", found,
                       k);
    }
    if (wanted == 0) {
        return 0;
    }
    /* A square part of a Cauchy matrix always has an inverse. */
    CHECK(gf_invert_matrix(square, inverse, (int)k) == 0);
    decode_rows(c, inverse, want, rows);
    ec_init_tables((int)k, (int)wanted, rows, tables);
    apply(k, wanted, len, tables, in, out);
    return 0;
}
