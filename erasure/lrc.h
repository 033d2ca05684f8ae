/* lrc.h: local reconstruction codes: the matrix, and what must be read.
 *
 * k data shards in l local groups of k/l, then l local parity shards, the XOR
 * of each group, then g = 1 or 2 global ones. With c(i, j) = 2^(j + 17 i) for
 * the data shard i of group j, global row r has c^r (r = 1, 2), in GF(2^8)
 * modulo x^8 + x^4 + x^3 + x^2 + 1.
 *
 * The powers of 2^17 are GF(16) without 0, so the coefficients of each group
 * lie in one of the 17 multiples of GF(16), which have only 0 in common. That
 * makes the code maximally recoverable: what any code of this shape could
 * decode, it decodes. For, when each group has mended one loss by its parity,
 * at most g are left, and
 * - within a group the columns (1, c, c^2) are Vandermonde's, and so is any
 *   choice of rows, as squaring is one to one;
 * - in two groups one is left in each: columns (s, s^2) and (t, t^2), s being
 *   the c of a lone loss or the sum of two in one group: neither is 0, and they
 *   differ as their groups meet only in 0.
 * So: the shards at hand suffice exactly when the sum over groups of
 * min(at hand, k/l), and the global ones at hand, is k or more; and a shard can
 * be had from fewer than k others only within its own local group.
 *
 * Sources: C. Huang et al., "Erasure Coding in Windows Azure Storage", USENIX
 * ATC 2012 (the codes, and coefficients from two subfields); P. Gopalan et al.,
 * "Explicit Maximally Recoverable Codes with Locality", IEEE Trans. IT 60(9).
 * Pure functions. Threads: any.
 */
#ifndef GODWIT_ERASURE_LRC_H
#define GODWIT_ERASURE_LRC_H

#include <stdbool.h>
#include <stdint.h>

struct err;

/* What @want can be had from. */
struct lrc_plan {
    uint32_t read; /* a smallest set of shards; none of @want */
    unsigned reads;
    /* Each wanted shard is the XOR of the other shards of its group. */
    bool local;
};

/* The (k + l + g) x k matrix, the identity on top. k, l and g are a policy. */
void lrc_matrix(unsigned k, unsigned l, unsigned g, uint8_t *out);

/* The shards of the local group of @shard, its parity among them, as a mask; 0
 * for a global one. */
uint32_t lrc_group(unsigned k, unsigned l, unsigned shard);

/* Whether the shards in @have give all others; with l = 0 any k do. */
bool lrc_decodes(unsigned k, unsigned l, unsigned g, uint32_t have);

/* What to read of @have to get @want, both masks of shards; what is in both is
 * had already. With l = 0 any k shards will do, and data comes first.
 * ERR_UNAVAILABLE when @have does not suffice. */
int lrc_plan(unsigned k, unsigned l, unsigned g, uint32_t have, uint32_t want,
             struct lrc_plan *out, struct err *err);

#endif
