/* pack.h: chunks compressed in blocks.
 *
 * A packed chunk is its blocks one after the other. All blocks of a chunk are
 * of 1 << shift plain bytes but for the last, which may be shorter. Each is a
 * zstd frame of its own, with its length and a checksum, so that a range is
 * read without the blocks before it; or the plain bytes themselves, when it is
 * stored as long as it is plain. Where the blocks lie stands in the manifest.
 *
 * It pays when a block is at least an eighth shorter: less is not worth the
 * work of reading it. Whether a chunk is packed at all is tried on its first
 * block and, as files may begin with a head of another kind, on the middle one.
 *
 * Threads: any.
 */
#ifndef GODWIT_OBJECT_PACK_H
#define GODWIT_OBJECT_PACK_H

#include <stdint.h>

#include "erasure/geometry.h"

struct err;
struct packers;

#define PACK_SHIFT_MIN 16
#define PACK_SHIFT_MAX 20
#define PACK_SHIFT 18 /* of what is packed now */
#define PACK_BLOCKS_MAX (GEOMETRY_CHUNK_MAX >> PACK_SHIFT_MIN)

/* How a packed chunk lies. */
struct pack_shape {
    uint32_t plain_bytes;   /* 1..GEOMETRY_CHUNK_MAX */
    uint8_t shift;          /* PACK_SHIFT_MIN..PACK_SHIFT_MAX */
    const uint32_t *blocks; /* stored bytes of each, pack_blocks() of them */
};

static inline uint32_t pack_blocks(uint32_t plain_bytes, unsigned shift)
{
    return (plain_bytes + ((uint32_t)1 << shift) - 1) >> shift;
}

/* What is wrong with a shape, of @stored bytes in all, that came from outside;
 * NULL: nothing. Valid when no block is empty or longer than it is plain, and
 * all together are @stored, which is less than what is plain. */
const char *pack_judge(const struct pack_shape *shape, uint32_t stored);

/* Memory of the compressor, about 1 MiB for each thread that packs or unpacks
 * at once; a few are kept for the next. */
struct packers *packers_new(void);
void packers_free(struct packers *p); /* NULL is nothing */

/* Pack @bytes at @data in place, in blocks of 1 << @shift, whose lengths go to
 * @blocks, of PACK_BLOCKS_MAX. Gives the stored bytes; 0 when it does not pay,
 * and then nothing has changed. */
uint32_t pack_chunk(struct packers *p, uint8_t *data, uint32_t bytes,
                    unsigned shift, uint32_t *blocks);

/* Where the blocks are that hold a range of plain bytes. */
struct pack_span {
    uint32_t first, end; /* blocks, and one past the last */
    uint32_t at, bytes;  /* stored */
};

struct pack_span pack_span(const struct pack_shape *shape, uint32_t offset,
                           uint32_t length);

/* The plain bytes [@offset, @offset + @length) into @out, from @stored, which
 * has the span of that range. ERR_CORRUPT: a block is damaged. */
int pack_read(struct packers *p, const struct pack_shape *shape,
              uint32_t offset, uint32_t length, const uint8_t *stored,
              uint8_t *out, struct err *err);

#endif
