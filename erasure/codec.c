#include "erasure/codec.h"

#include <isa-l/erasure_code.h>
#include <isa-l/raid.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "erasure/lrc.h"

/* Bytes of input for each pass: small enough for the second-level cache. */
#define SLICE_INPUT ((size_t)256 << 10)
#define TABLE_BYTES 32 /* isa-l: "must be of size 32*k*rows" */

#define XOR_ALIGN 32 /* isa-l: xor_gen's pointers */

struct codec {
    uint8_t k, m;
    uint8_t l;       /* of m, local; 0: Reed-Solomon */
    uint8_t *matrix; /* (k + m) x k, the identity on top */
    uint8_t *tables; /* of the m parity rows */
};

static pthread_mutex_t codecs_mutex = PTHREAD_MUTEX_INITIALIZER;
static const struct codec
    *codecs[GEOMETRY_K_MAX + 1][GEOMETRY_M_MAX + 1][GEOMETRY_M_MAX + 1];

static struct codec *codec_new(unsigned k, unsigned m, unsigned l)
{
    struct codec *c = mem_alloc(sizeof *c);

    c->k = (uint8_t)k;
    c->m = (uint8_t)m;
    c->l = (uint8_t)l;
    c->matrix = mem_alloc((size_t)(k + m) * k);
    c->tables = mem_alloc((size_t)TABLE_BYTES * k * (m > 0 ? m : 1));
    if (l > 0) {
        lrc_matrix(k, l, m - l, c->matrix);
    } else {
        gf_gen_cauchy1_matrix(c->matrix, (int)(k + m), (int)k);
    }
    if (m > 0) {
        ec_init_tables((int)k, (int)m, c->matrix + k * k, c->tables);
    }
    return c;
}

static const struct codec *get(unsigned k, unsigned m, unsigned l)
{
    const struct codec *c;

    pthread_mutex_lock(&codecs_mutex);
    c = codecs[k][m][l];
    if (c == NULL) {
        c = codec_new(k, m, l);
        codecs[k][m][l] = c;
    }
    pthread_mutex_unlock(&codecs_mutex);
    return c;
}

const struct codec *codec_get(unsigned pieces, unsigned m)
{
    CHECK(pieces >= 1 && pieces <= GEOMETRY_K_MAX);
    CHECK(m <= GEOMETRY_M_MAX);
    return get(pieces, m, 0);
}

const struct codec *codec_get_local(unsigned k, unsigned l, unsigned g)
{
    CHECK(l > 0);
    CHECK(ec_policy_is_valid(
        (struct ec_policy){(uint8_t)k, (uint8_t)(l + g), (uint8_t)l}));
    return get(k, l + g, l);
}

const struct codec *codec_of(const struct chunk_shape *shape)
{
    return shape->l > 0 ? codec_get_local(shape->k, shape->l,
                                          (unsigned)shape->m - shape->l)
                        : codec_get(shape->pieces, shape->m);
}

/* @rows outputs from @k inputs, at once. */
static void apply_slice(unsigned k, unsigned rows, size_t at, size_t n,
                        uint8_t *tables, const uint8_t *const *in,
                        uint8_t *const *out)
{
    unsigned char *from[GEOMETRY_K_MAX];
    unsigned char *to[GEOMETRY_SLOTS_MAX];

    for (unsigned i = 0; i < k; i++) {
        from[i] = (unsigned char *)(uintptr_t)in[i] + at;
    }
    for (unsigned i = 0; i < rows; i++) {
        to[i] = out[i] + at;
    }
    ec_encode_data((int)n, (int)k, (int)rows, tables, from, to);
}

static size_t slice_bytes(unsigned k)
{
    return SLICE_INPUT / k & ~(size_t)63;
}

/* The same slice by slice. */
static void apply(unsigned k, unsigned rows, size_t len, uint8_t *tables,
                  const uint8_t *const *in, uint8_t *const *out)
{
    size_t slice = slice_bytes(k);

    for (size_t at = 0; at < len; at += slice) {
        size_t n = len - at < slice ? len - at : slice;
        apply_slice(k, rows, at, n, tables, in, out);
    }
}

/* @out is the XOR of @count inputs, from @at on. */
static void xor_slice(unsigned count, size_t at, size_t n,
                      const uint8_t *const *in, uint8_t *out)
{
    uint8_t ones[GEOMETRY_K_MAX];
    uint8_t tables[TABLE_BYTES * GEOMETRY_K_MAX];
    void *all[GEOMETRY_K_MAX + 1];
    uintptr_t ends = (uintptr_t)(out + at);

    for (unsigned i = 0; i < count; i++) {
        all[i] = (uint8_t *)(uintptr_t)in[i] + at;
        ends |= (uintptr_t)all[i];
    }
    all[count] = out + at;
    if (ends % XOR_ALIGN == 0 && xor_gen((int)count + 1, (int)n, all) == 0) {
        return;
    }
    memset(ones, 1, count);
    ec_init_tables((int)count, 1, ones, tables);
    apply_slice(count, 1, at, n, tables, in, &out);
}

static void encode_local(const struct codec *c, size_t len,
                         const uint8_t *const *data, uint8_t *const *parity)
{
    unsigned size = c->k / c->l;
    unsigned globals = (unsigned)c->m - c->l;
    size_t slice = slice_bytes(c->k);

    for (size_t at = 0; at < len; at += slice) {
        size_t n = len - at < slice ? len - at : slice;
        apply_slice(c->k, globals, at, n,
                    c->tables + (size_t)TABLE_BYTES * c->k * c->l, data,
                    parity + c->l);
        for (unsigned j = 0; j < c->l; j++) {
            xor_slice(size, at, n, data + j * size, parity[j]);
        }
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
    } else if (c->l > 0) {
        encode_local(c, len, data, parity);
    } else {
        apply(c->k, c->m, len, c->tables, data, parity);
    }
}

int codec_plan(const struct codec *c, uint32_t have, uint32_t want,
               uint32_t *read, struct err *err)
{
    struct lrc_plan plan;
    int rc =
        lrc_plan(c->k, c->l, (unsigned)c->m - c->l, have, want, &plan, err);

    if (rc == 0) {
        *read = plan.read;
    }
    return rc;
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

/* Each wanted shard is the XOR of the others in its group. */
static void rebuild_local(const struct codec *c, size_t len,
                          uint8_t *const *shards, uint32_t want)
{
    size_t slice = slice_bytes(c->k);

    for (; want != 0; want &= want - 1) {
        unsigned shard = (unsigned)__builtin_ctz(want);
        uint32_t others = lrc_group(c->k, c->l, shard) & ~(1u << shard);
        const uint8_t *in[GEOMETRY_K_MAX];
        unsigned count = 0;
        for (; others != 0; others &= others - 1) {
            in[count++] = shards[__builtin_ctz(others)];
        }
        for (size_t at = 0; at < len; at += slice) {
            xor_slice(count, at, len - at < slice ? len - at : slice, in,
                      shards[shard]);
        }
    }
}

/* All wanted shards from k others. */
static void rebuild_global(const struct codec *c, size_t len,
                           uint8_t *const *shards, uint32_t read, uint32_t want)
{
    uint8_t square[GEOMETRY_K_MAX * GEOMETRY_K_MAX];
    uint8_t inverse[GEOMETRY_K_MAX * GEOMETRY_K_MAX];
    uint8_t rows[GEOMETRY_SLOTS_MAX * GEOMETRY_K_MAX];
    uint8_t tables[TABLE_BYTES * GEOMETRY_K_MAX * GEOMETRY_SLOTS_MAX];
    const uint8_t *in[GEOMETRY_K_MAX];
    uint8_t *out[GEOMETRY_SLOTS_MAX];
    unsigned k = c->k, found = 0, wanted = 0;

    for (unsigned i = 0; i < k + c->m; i++) {
        if (read >> i & 1) {
            memcpy(square + found * k, c->matrix + i * k, k);
            in[found++] = shards[i];
        }
        if (want >> i & 1) {
            out[wanted++] = shards[i];
        }
    }
    CHECK(found == k);
    /* A square part of a Cauchy matrix always has an inverse; so do the rows
     * that lrc_plan gives. */
    CHECK(gf_invert_matrix(square, inverse, (int)k) == 0);
    decode_rows(c, inverse, want, rows);
    ec_init_tables((int)k, (int)wanted, rows, tables);
    apply(k, wanted, len, tables, in, out);
}

int codec_rebuild(const struct codec *c, size_t len, uint8_t *const *shards,
                  uint32_t have, uint32_t want, struct err *err)
{
    struct lrc_plan plan;
    int rc;

    CHECK((have & want) == 0);
    CHECK(want >> (c->k + c->m) == 0);
    if (want == 0) {
        return 0;
    }
    if (c->k == 1) {
        return copy_shards(c, len, shards, have, want, err);
    }
    for (uint32_t rest = want; rest != 0; rest &= rest - 1) {
        CHECK(shards[__builtin_ctz(rest)] != NULL);
    }
    rc = lrc_plan(c->k, c->l, (unsigned)c->m - c->l, have, want, &plan, err);
    if (rc != 0) {
        return rc;
    }
    if (plan.local) {
        rebuild_local(c, len, shards, want);
    } else {
        rebuild_global(c, len, shards, plan.read, want);
    }
    return 0;
}
