/* codec.h: k+m Reed-Solomon over GF(2^8) by isa-l.
 *
 * Cauchy matrices (gf_gen_cauchy1_matrix): every square submatrix is
 * invertible, so any k of k+m shards give the rest; gf_gen_rs_matrix is not
 * always invertible. Work goes slice by slice (at most 256 KiB of input at a
 * time), so that inputs stay in cache. A codec is immutable once made.
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

/* Make @m parity shards of @len bytes each from @pieces data shards. Buffers
 * need no alignment; 64 bytes is fastest. With one piece: copies. */
void codec_encode(const struct codec *c, size_t len, const uint8_t *const *data,
                  uint8_t *const *parity);

/* Rebuild shards. @shards has pieces + m pointers (data, then parity);
 * @have is a bit mask of those that hold valid bytes, @want of those to
 * fill, which must be disjoint from @have and non-NULL. ERR_UNAVAILABLE when
 * @have has fewer than pieces bits. */
int codec_rebuild(const struct codec *c, size_t len, uint8_t *const *shards,
                  uint32_t have, uint32_t want, struct err *err);

#endif
