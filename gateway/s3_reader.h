/* s3_reader.h: the bytes of an object in order, wherever they lie.
 *
 * In its row, in a run of chunks, or in the parts of a multipart object, which
 * lie in rows or runs of their own. Set gateway, object, offset and left, zero
 * the rest, and read; what is kept between reads is freed by s3_reader_close.
 *
 * Threads: one at a time; reads may block: a worker's.
 */
#ifndef GODWIT_GATEWAY_S3_READER_H
#define GODWIT_GATEWAY_S3_READER_H

#include <stddef.h>
#include <stdint.h>

#include "meta/meta.h"
#include "object/object_bytes.h"

struct err;
struct aead_stream;
struct gateway;
struct object_get;

struct s3_reader {
    struct gateway *gateway;
    const struct meta_object *object; /* with content; kept */
    uint64_t offset;                  /* in the object, of the next byte */
    uint64_t left;                    /* bytes wanted still */
    const uint8_t *key;               /* s3_sse.h; NULL: not sealed */
    /* The reader's own: */
    struct meta_part part;  /* the one at hand */
    struct object_get *get; /* of the run at hand */
    const uint8_t *bytes;   /* or its bytes in the row */
    uint64_t run_left;
    struct aead_stream *stream; /* of a sealed run */
    struct object_bytes ahead;  /* its bytes as they lie, not opened yet */
    size_t ahead_at;            /* the next of them */
    uint8_t *segment;           /* the opened one; bytes points into it */
    size_t segment_left;
    uint64_t run_offset, run_size; /* plain ones */
};

/* Up to @max bytes; none only when none are left. Give them back with
 * object_bytes_free. ERR_NOT_FOUND: replaced and collected since the row was
 * read; ERR_CORRUPT, and what object_get_take gives. */
int s3_reader_take(struct s3_reader *s, size_t max, struct object_bytes *out,
                   struct err *err);
void s3_reader_close(struct s3_reader *s);

#endif
