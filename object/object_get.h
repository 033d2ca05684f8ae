/* object_get.h: read a range of one run of chunks.
 *
 * open, read (until the range is at its end), close. Reads ask the data shards
 * that the range needs; when one is missing, bad or slower than hedge_ms, the
 * others of its chunk are asked and the piece is decoded. A shard found missing
 * or bad is rebuilt and written again (read-repair), in the background. Blocks,
 * with a deadline: for workers. One thread at a time uses a get.
 */
#ifndef GODWIT_OBJECT_OBJECT_GET_H
#define GODWIT_OBJECT_OBJECT_GET_H

#include <stddef.h>
#include <stdint.h>

#include "object/object_bytes.h"

struct err;
struct object_get;
struct object_store;

/* ERR_CORRUPT: the manifest is not valid. ERR_RANGE: @offset + @length is past
 * the end. The manifest is copied as far as needed. */
int object_get_open(struct object_store *s, const void *manifest,
                    size_t manifest_len, uint64_t offset, uint64_t length,
                    struct object_get **out, struct err *err);

/* Give up to @max bytes that follow; none only at the end of the range. A call
 * reads within one chunk. ERR_UNAVAILABLE: fewer shards than are needed;
 * ERR_TIMEOUT. */
int object_get_take(struct object_get *g, size_t max, struct object_bytes *out,
                    struct err *err);

/* The same into the caller's memory. */
int object_get_read(struct object_get *g, void *out, size_t max, size_t *got,
                    struct err *err);

void object_get_close(struct object_get *g);

#endif
