/* manifest.h: where the bytes of one put stand.
 *
 * A put (of an object or a part) makes one run of chunks: ids that follow each
 * other, one placement group, and for each chunk its length and checksum.
 *
 *     off  len  field
 *       0    1  version, 1; 2 when a chunk is compressed
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
 * Version 2 from offset 28 on:
 *
 *      28    1  shift: blocks are of 1 << shift plain bytes, 16..20
 *      29   ..  for each chunk: u32 bytes, u64 CRC64NVME of the bytes, u32
 *               plain bytes; 0: as it is, else it is packed (pack.h), and
 *               follow, for each of its blocks, u32 bytes of the block
 *
 * The bytes and the checksum of a chunk are those that are coded and stored,
 * so who moves and rebuilds shards need not know that they are packed.
 *
 * Valid when: (1) the version is known; (2) k is 1..16 and m 0..6, and l is 0
 * or makes a policy of them (geometry.h); (3) the count is in bounds and the
 * length that of so many chunks exactly; (4) each chunk has
 * 1..GEOMETRY_CHUNK_MAX bytes; (5) the low 24 bits of lo are zero; (6) in
 * version 2 the blocks of each packed chunk keep their bounds and add up
 * (pack_judge), and there is such a chunk. Before there were local groups byte
 * 3 was zero, which says the same. How a chunk is cut and coded follows from k,
 * m, l and its bytes (geometry.h). The catalogue keeps it as bytes and
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
#include "object/pack.h"

struct buf;
struct err;

#define MANIFEST_CHUNKS_MAX (1u << 20)
#define MANIFEST_CHUNK_LO_MASK ((uint64_t)0xffffff)

struct manifest_chunk {
    uint32_t bytes; /* stored */
    uint64_t crc64;
    uint32_t plain; /* bytes that it gives; 0: it is not packed */
    uint32_t block; /* where its blocks begin in those of the manifest */
};

struct manifest {
    struct ec_policy policy;
    uint32_t group;
    uint64_t id_hi;
    uint64_t id_lo;
    uint32_t count;
    struct manifest_chunk *chunks; /* count of them */
    uint8_t shift;                 /* of blocks; 0: no chunk is packed */
    uint32_t block_count;
    uint32_t *blocks; /* of all packed chunks, in their order */
};

/* Append the encoding to @out. */
void manifest_encode(const struct manifest *m, struct buf *out);
/* ERR_CORRUPT names the condition that failed. manifest_free afterwards. */
int manifest_decode(const void *p, size_t len, struct manifest *out,
                    struct err *err);
void manifest_free(struct manifest *m);
uint64_t manifest_bytes(const struct manifest *m); /* that it gives */

/* What a chunk gives when it is read. */
static inline uint32_t manifest_plain(const struct manifest *m, uint32_t chunk)
{
    const struct manifest_chunk *c = &m->chunks[chunk];

    return c->plain > 0 ? c->plain : c->bytes;
}

/* Of a packed chunk; borrows. */
static inline struct pack_shape manifest_shape(const struct manifest *m,
                                               uint32_t chunk)
{
    const struct manifest_chunk *c = &m->chunks[chunk];

    return (struct pack_shape){c->plain, m->shift, m->blocks + c->block};
}

static inline struct shard_key manifest_shard(const struct manifest *m,
                                              uint32_t chunk, unsigned slot)
{
    return (struct shard_key){m->id_hi, m->id_lo + chunk, (uint8_t)slot};
}

#endif
