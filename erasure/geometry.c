#include "erasure/geometry.h"

#include <stdio.h>
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

/* Numbers with '+' between them; how many, or 0 when it is not that. */
static unsigned split(const char *text, uint64_t *numbers, unsigned max)
{
    unsigned count = 0;

    for (;;) {
        size_t len = strcspn(text, "+");
        if (count == max || !text_u64_n(text, len, &numbers[count])) {
            return 0;
        }
        count++;
        if (text[len] == '\0') {
            return count;
        }
        text += len + 1;
    }
}

/* What is wrong with K+L+G, or NULL. */
static const char *judge_local(uint64_t k, uint64_t l, uint64_t g)
{
    if (l < 2 || l > GEOMETRY_M_MAX || k % l != 0 || k / l < 2) {
        return "L must be 2 or more groups that divide K evenly, of 2 or more";
    }
    if (k / l > GEOMETRY_LOCAL_MAX) {
        return "a local group is too large";
    }
    if (g < 1 || g > GEOMETRY_GLOBALS_MAX) {
        return "G must be 1 or 2";
    }
    return l + g > GEOMETRY_M_MAX ? "L and G must be 6 at most in sum" : NULL;
}
_Static_assert(GEOMETRY_GLOBALS_MAX == 2 && GEOMETRY_M_MAX == 6,
               "the texts say so");

int ec_policy_parse(const char *text, struct ec_policy *out, struct err *err)
{
    uint64_t n[3] = {0};
    unsigned count = split(text, n, 3);
    const char *why = NULL;

    if (count < 2) {
        return err_set(err, ERR_BAD_INPUT,
                       "%s is not K+M, such as 4+2, or K+L+G, such as 6+2+2",
                       text);
    }
    if (n[0] < 1 || n[0] > GEOMETRY_K_MAX) {
        return err_set(err, ERR_BAD_INPUT, "%s: K must be 1 to %d", text,
                       GEOMETRY_K_MAX);
    }
    if (count == 2) {
        if (n[1] > GEOMETRY_M_MAX) {
            return err_set(err, ERR_BAD_INPUT, "%s: M must be 0 to %d", text,
                           GEOMETRY_M_MAX);
        }
        *out = (struct ec_policy){(uint8_t)n[0], (uint8_t)n[1], 0};
        return 0;
    }
    why = judge_local(n[0], n[1], n[2]);
    if (why != NULL) {
        return err_set(err, ERR_BAD_INPUT, "%s: %s", text, why);
    }
    *out = (struct ec_policy){(uint8_t)n[0], (uint8_t)(n[1] + n[2]),
                              (uint8_t)n[1]};
    return 0;
}

char *ec_policy_text(struct ec_policy policy, char *out)
{
    if (policy.l > 0) {
        snprintf(out, EC_POLICY_TEXT_MAX, "%u+%u+%u", policy.k, policy.l,
                 (policy.m - policy.l) & 0xffu);
    } else {
        snprintf(out, EC_POLICY_TEXT_MAX, "%u+%u", policy.k, policy.m);
    }
    return out;
}

bool ec_policy_same(struct ec_policy a, struct ec_policy b)
{
    return a.k == b.k && a.m == b.m && a.l == b.l;
}

bool ec_policy_is_valid(struct ec_policy policy)
{
    if (policy.k < 1 || policy.k > GEOMETRY_K_MAX ||
        policy.m > GEOMETRY_M_MAX) {
        return false;
    }
    return policy.l == 0 ||
           (policy.l < policy.m &&
            judge_local(policy.k, policy.l, policy.m - policy.l) == NULL);
}

unsigned ec_policy_tolerates(struct ec_policy policy)
{
    return policy.l == 0 ? policy.m : policy.m - policy.l + 1u;
}

unsigned geometry_write_quorum(const struct chunk_shape *shape)
{
    unsigned may_lose =
        ec_policy_tolerates((struct ec_policy){shape->k, shape->m, shape->l});

    return shape->pieces + shape->m - may_lose / 2;
}

struct chunk_shape geometry_shape(struct ec_policy policy, uint32_t chunk_bytes)
{
    struct chunk_shape s = {
        .chunk_bytes = chunk_bytes, .k = policy.k, .m = policy.m};
    uint32_t cells = (chunk_bytes + GEOMETRY_CELL - 1) / GEOMETRY_CELL;

    CHECK(chunk_bytes > 0);
    CHECK(chunk_bytes <= GEOMETRY_CHUNK_MAX);
    s.pieces = cells < policy.k ? (uint8_t)cells : policy.k;
    s.l = s.pieces == policy.k ? policy.l : 0;
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
