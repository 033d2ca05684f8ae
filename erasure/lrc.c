#include "erasure/lrc.h"

#include <isa-l/erasure_code.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "erasure/geometry.h"

/* 2^17 generates GF(16) in GF(256): (256 - 1) / (16 - 1). */
#define SUBFIELD_STEP 17

static unsigned bits(uint32_t mask)
{
    return (unsigned)__builtin_popcount(mask);
}

static uint8_t power_of_2(unsigned exponent)
{
    uint8_t p = 1;

    while (exponent-- > 0) {
        p = gf_mul(p, 2);
    }
    return p;
}

void lrc_matrix(unsigned k, unsigned l, unsigned g, uint8_t *out)
{
    unsigned size;

    CHECK(ec_policy_is_valid(
        (struct ec_policy){(uint8_t)k, (uint8_t)(l + g), (uint8_t)l}));
    CHECK(l > 0);
    size = k / l;
    memset(out, 0, (size_t)(k + l + g) * k);
    for (unsigned i = 0; i < k; i++) {
        uint8_t c = power_of_2(i / size + SUBFIELD_STEP * (i % size));
        uint8_t power = c;
        out[i * k + i] = 1;
        out[(k + i / size) * k + i] = 1;
        for (unsigned r = 0; r < g; r++) {
            out[(k + l + r) * k + i] = power;
            power = gf_mul(power, c);
        }
    }
}

uint32_t lrc_group(unsigned k, unsigned l, unsigned shard)
{
    unsigned size = l > 0 ? k / l : 0;
    unsigned group;

    if (l == 0 || shard >= k + l) {
        return 0;
    }
    group = shard < k ? shard / size : shard - k;
    return ((1u << size) - 1) << group * size | 1u << (k + group);
}

/* The lowest @n bits that are set in @mask. */
static uint32_t lowest(uint32_t mask, unsigned n)
{
    uint32_t out = 0;

    for (; n > 0 && mask != 0; n--) {
        out |= mask & -mask;
        mask &= mask - 1;
    }
    return out;
}

/* Some k shards of @have that give all others, data first; fewer when there are
 * no such. */
static uint32_t basis(unsigned k, unsigned l, uint32_t have)
{
    unsigned size = l > 0 ? k / l : k;
    uint32_t out = 0;

    for (unsigned i = 0; i < k; i += size) {
        uint32_t group = l > 0 ? lrc_group(k, l, i) : (1u << k) - 1;
        out |= lowest(have & group, size);
    }
    return out | lowest(have >> (k + l) << (k + l), k - bits(out));
}

bool lrc_decodes(unsigned k, unsigned l, unsigned g, uint32_t have)
{
    CHECK(k + l + g <= GEOMETRY_SLOTS_MAX);
    return bits(basis(k, l, have & ((1u << (k + l + g)) - 1))) == k;
}

/* Each wanted shard by its own group alone; false when that cannot be. */
static bool plan_local(unsigned k, unsigned l, uint32_t have, uint32_t want,
                       struct lrc_plan *out)
{
    uint32_t read = 0;

    for (uint32_t rest = want; rest != 0; rest &= rest - 1) {
        unsigned shard = (unsigned)__builtin_ctz(rest);
        uint32_t others = lrc_group(k, l, shard) & ~(1u << shard);
        if (others == 0 || (have & others) != others) {
            return false;
        }
        read |= others;
    }
    *out = (struct lrc_plan){read, bits(read), true};
    return true;
}

int lrc_plan(unsigned k, unsigned l, unsigned g, uint32_t have, uint32_t want,
             struct lrc_plan *out, struct err *err)
{
    uint32_t read;

    CHECK(k + l + g <= GEOMETRY_SLOTS_MAX);
    have &= (1u << (k + l + g)) - 1;
    want &= ~have;
    if (want == 0) {
        *out = (struct lrc_plan){0};
        return 0;
    }
    if (plan_local(k, l, have, want, out)) {
        return 0;
    }
    read = basis(k, l, have);
    if (bits(read) < k) {
        return err_set(err, ERR_UNAVAILABLE,
                       "%u shards are left of the %u that are needed",
                       bits(read), k);
    }
    *out = (struct lrc_plan){read, k, false};
    return 0;
}
