/* codec.h: k+m Reed-Solomon and local reconstruction over GF(2^8) by isa-l.
 *
 * Cauchy matrices (gf_gen_cauchy1_matrix): every square submatrix is
 * invertible, so any k of k+m shards give the rest; gf_gen_rs_matrix is not
 * always invertible. Work goes slice by slice (at most 256 KiB of input at a
 * time), so that inputs stay in cache. A codec is immutable once made.
 *
 * With local groups (lrc.h) the first l parity shards are the XOR of a group
 * each and the others global; there not just any k shards give the rest, and a
 * single loss in a group is the XOR of the others in it.
 *
 * Source: J. Bloemer et al., "An XOR-Based Erasure-Resilient Coding Scheme",
 * ICSI TR-95-048 (Cauchy matrices).
 * Threads: any, also at once on the same codec.
 */
#ifndef GODWIT_ERASURE_CODEC_H
#define GODWIT_ERASURE_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "erasure/geometry.h"

struct err;
struct codec;

/* The codec of @pieces data and @m parity shards. Made once for the process,
 * kept for ever; @pieces 1..GEOMETRY_K_MAX, @m 0..GEOMETRY_M_MAX. */
const struct codec *codec_get(unsigned pieces, unsigned m);

/* The codec of k data shards in @l local groups with @g global parity shards,
 * which must be a policy (geometry.h); m is l + g. */
const struct codec *codec_get_local(unsigned k, unsigned l, unsigned g);

/* The codec of a chunk of that shape: either of the above. */
const struct codec *codec_of(const struct chunk_shape *shape);

/* Which shards of @have codec_rebuild reads to fill @want: a smallest set.
 * ERR_UNAVAILABLE when they do not suffice. */
int codec_plan(const struct codec *c, uint32_t have, uint32_t want,
               uint32_t *read, struct err *err);

/* Make @m parity shards of @len bytes each from @pieces data shards. Buffers
 * need no alignment; 64 bytes is fastest. With one piece: copies. */
void codec_encode(const struct codec *c, size_t len, const uint8_t *const *data,
                  uint8_t *const *parity);

/* Rebuild shards. @shards has pieces + m pointers (data, then parity);
 * @have is a bit mask of those that hold valid bytes, @want of those to
 * fill, which must be disjoint from @have and non-NULL. Reads what codec_plan
 * says, so only those of @have need be there. ERR_UNAVAILABLE when they do not
 * suffice: without local groups, when @have has fewer than pieces bits. To want
 * nothing is 0. */
int codec_rebuild(const struct codec *c, size_t len, uint8_t *const *shards,
                  uint32_t have, uint32_t want, struct err *err);

#endif
