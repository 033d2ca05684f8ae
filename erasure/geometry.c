#include "erasure/geometry.h"

#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"

_Static_assert(GEOMETRY_CELL % MEM_PAGE == 0, "cells are whole pages");
/* The last piece is never empty: a piece is rounded up by less than a page, and
 * k - 1 pieces of rounding stay under one cell. */
_Static_assert((GEOMETRY_K_MAX - 1) * MEM_PAGE < GEOMETRY_CELL,
               "rounding never eats the last piece");

int ec_policy_parse(const char *text, struct ec_policy *out, struct err *err)
{
    const char *plus = strchr(text, '+');
    uint64_t k, m;

    if (plus == NULL || !text_u64_n(text, (size_t)(plus - text), &k) ||
        !text_u64(plus + 1, &m)) {
        return err_set(err, ERR_BAD_INPUT, "%s is not K+M, such as 4+2", text);
    }
    if (k < 1 || k > GEOMETRY_K_MAX) {
        return err_set(err, ERR_BAD_INPUT, "%s: K must be 1 to %d", text,
                       GEOMETRY_K_MAX);
    }
    if (m > GEOMETRY_M_MAX) {
        return err_set(err, ERR_BAD_INPUT, "%s: M must be 0 to %d", text,
                       GEOMETRY_M_MAX);
    }
    *out = (struct ec_policy){(uint8_t)k, (uint8_t)m, 0};
    return 0;
}

bool ec_policy_is_valid(struct ec_policy policy)
{
    return policy.k >= 1 && policy.k <= GEOMETRY_K_MAX &&
           policy.m <= GEOMETRY_M_MAX && policy.l == 0;
}

unsigned ec_policy_tolerates(struct ec_policy policy)
{
    return policy.m;
}

unsigned geometry_write_quorum(const struct chunk_shape *shape)
{
    return shape->pieces + (shape->m + 1u) / 2;
}

struct chunk_shape geometry_shape(struct ec_policy policy, uint32_t chunk_bytes)
{
    struct chunk_shape s = {
        .chunk_bytes = chunk_bytes, .k = policy.k, .m = policy.m};
    uint32_t cells = (chunk_bytes + GEOMETRY_CELL - 1) / GEOMETRY_CELL;

    CHECK(chunk_bytes > 0);
    CHECK(chunk_bytes <= GEOMETRY_CHUNK_MAX);
    s.pieces = cells < policy.k ? (uint8_t)cells : policy.k;
    if (s.pieces == 1) {
        s.piece_bytes = chunk_bytes;
    } else {
        s.piece_bytes = (uint32_t)mem_round_up(
            (chunk_bytes + s.pieces - 1) / s.pieces, MEM_PAGE);
    }
    return s;
}

uint32_t geometry_shard_bytes(const struct chunk_shape *shape, unsigned slot)
{
    CHECK(slot < (unsigned)shape->k + shape->m);
    if (slot >= shape->k) {
        return shape->piece_bytes;
    }
    if (slot >= shape->pieces) {
        return 0;
    }
    if (slot == shape->pieces - 1u) {
        return shape->chunk_bytes - slot * shape->piece_bytes;
    }
    return shape->piece_bytes;
}

size_t geometry_buffer_bytes(const struct chunk_shape *shape)
{
    return (size_t)(shape->pieces + shape->m) *
           mem_round_up(shape->piece_bytes, MEM_PAGE);
}
