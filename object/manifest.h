/* manifest.h: where the bytes of one put stand.
 *
 * A put (of an object or a part) makes one run of chunks: ids that follow each
 * other, one placement group, and for each chunk its length and checksum.
 *
 *     off  len  field
 *       0    1  version, 1
 *       1    1  k
 *       2    1  m, all parity shards
 *       3    1  l, so many of m are of local groups; 0: Reed-Solomon
 *       4    4  placement group
 *       8    8  chunk id hi: 48 bits of ms since 1970, then 16 random bits
 *      16    8  chunk id lo of the first chunk: 40 random bits, then 24 zero
 *               bits; chunk i has lo + i
 *      24    4  count of chunks, 1..MANIFEST_CHUNKS_MAX
 *      28   12  for each chunk: u32 bytes, u64 CRC64NVME of the bytes
 *
 * Valid when: (1) the version is known; (2) k is 1..16 and m 0..6, and l is 0
 * or makes a policy of them (geometry.h); (3) the count is in bounds and the
 * length is 28 + 12 * count exactly; (4) each chunk has 1..GEOMETRY_CHUNK_MAX
 * bytes; (5) the low 24 bits of lo are zero. Before there were local groups
 * byte 3 was zero, which says the same. How a chunk is cut and coded follows
 * from k, m, l and its bytes (geometry.h). The catalogue keeps it as bytes and
 * checksums it with its own records.
 *
 * Threads: any.
 */
#ifndef GODWIT_OBJECT_MANIFEST_H
#define GODWIT_OBJECT_MANIFEST_H

#include <stddef.h>
#include <stdint.h>

#include "erasure/geometry.h"
#include "node/shard_store.h"

struct buf;
struct err;

#define MANIFEST_CHUNKS_MAX (1u << 20)
#define MANIFEST_CHUNK_LO_MASK ((uint64_t)0xffffff)

struct manifest_chunk {
    uint32_t bytes;
    uint64_t crc64;
};

struct manifest {
    struct ec_policy policy;
    uint32_t group;
    uint64_t id_hi;
    uint64_t id_lo;
    uint32_t count;
    struct manifest_chunk *chunks; /* count of them */
};

/* Append the encoding to @out. */
void manifest_encode(const struct manifest *m, struct buf *out);
/* ERR_CORRUPT names the condition that failed. manifest_free afterwards. */
int manifest_decode(const void *p, size_t len, struct manifest *out,
                    struct err *err);
void manifest_free(struct manifest *m);
uint64_t manifest_bytes(const struct manifest *m); /* of all chunks */

static inline struct shard_key manifest_shard(const struct manifest *m,
                                              uint32_t chunk, unsigned slot)
{
    return (struct shard_key){m->id_hi, m->id_lo + chunk, (uint8_t)slot};
}

#endif
