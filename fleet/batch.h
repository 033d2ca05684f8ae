/* batch.h: many small objects from a device in one request, and the answer.
 *
 * The body of POST /-/edge/v1/batch, little-endian:
 *
 *     offset  size  field
 *          0     4  magic "GWEB"
 *          4     1  version, 1
 *          5     1  S, segment headers that follow, at most BATCH_SEGMENTS_MAX
 *          6     2  N, objects, 1 to BATCH_OBJECTS_MAX
 *          8     8  floor: the lowest sequence that the device may still send
 *         16     8  device clock as it was sent, ms since 1970
 *         24     4  CRC32C of bytes 0 to 23
 *
 *     S times  u16 length (1 to BATCH_SEGMENT_MAX), bytes, u32 CRC32C of both
 *     N times  u32 length of the head, head, u32 CRC32C of both,
 *              the object's bytes, u32 CRC32C of them
 *
 *     head     u64 sequence, from 1, at least the floor
 *              u64 device time, ms since 1970
 *              u32 length of the object's bytes
 *              u8 flags, u8 class
 *              u8 segment: which header, from 0 (only of BATCH_SEALED)
 *              u8 M, pairs of metadata, at most BATCH_META_MAX
 *              text bucket (none: the one the device was enrolled for),
 *              text key, text content type or none, M times text name, text
 *              value
 *     text     u16 length with its NUL (0: none), bytes, NUL
 *
 * A sealed object's bytes are an envelope (crypto/seal.h) without its segment
 * header, which objects share. Objects stand in any order. The body ends with
 * the last one.
 *
 *     answer   0  4  magic "GWBA"
 *              4  4  N
 *              8  9N u64 sequence, u8 status (enum batch_status), as asked
 *                 4  CRC32C of all before
 *
 * Threads: a writer and a reader belong to their caller.
 */
#ifndef GODWIT_FLEET_BATCH_H
#define GODWIT_FLEET_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

#define BATCH_VERSION 1
#define BATCH_HEAD 28
#define BATCH_BYTES_MAX ((size_t)1 << 20)
#define BATCH_OBJECTS_MAX 1000 /* one entry of the catalogue's log */
#define BATCH_SEGMENTS_MAX 64
#define BATCH_SEGMENT_MAX 1024         /* crypto/seal_key.h needs 712 */
#define BATCH_OBJECT_MAX (256U * 1024) /* larger ones go as uploads */
#define BATCH_OBJECT_HEAD_MAX (16U * 1024)
#define BATCH_META_MAX 64
#define BATCH_ANSWER_MAX (12 + 9 * BATCH_OBJECTS_MAX)

enum batch_flag {
    BATCH_DELETE = 1, /* the key is to go; no bytes */
    BATCH_SEALED = 2, /* an envelope */
};
#define BATCH_FLAGS_KNOWN (BATCH_DELETE | BATCH_SEALED)

struct batch_pair {
    const char *name, *value;
};

struct batch_object {
    uint64_t sequence;
    uint64_t time_ms; /* by the device's clock */
    uint8_t flags;    /* enum batch_flag */
    uint8_t class_id;
    uint8_t pair_count;
    const char *bucket; /* NULL: that of the device */
    const char *key;
    const char *content_type; /* may be NULL */
    struct batch_pair pairs[BATCH_META_MAX];
    /* To be sent: the whole envelope, or other bytes. As it came: of an
     * envelope all but the segment header, which stands apart. */
    const void *data;
    size_t len;
    const void *segment; /* as it came: NULL unless sealed */
    size_t segment_len;
};

/* ---- writing ---- */

struct batch_writer;

struct batch_writer *batch_writer_new(void);
void batch_writer_free(struct batch_writer *w); /* NULL is nothing */
/* Nothing was added. */
bool batch_writer_empty(const struct batch_writer *w);
/* ERR_FULL: no room beside what is there; send that first. ERR_LIMIT: it is too
 * large for any batch. ERR_BAD_INPUT: sealed, and no envelope. */
int batch_add(struct batch_writer *w, const struct batch_object *o,
              struct err *err);
/* Append the body to @out and begin anew. Something was added. */
void batch_finish(struct batch_writer *w, uint64_t floor, uint64_t now_ms,
                  struct buf *out);

/* ---- reading ---- */

struct batch_reader {
    uint64_t floor, sent_ms;
    size_t count; /* of objects */
    /* the reader's */
    const uint8_t *p, *end, *start;
    size_t left;
    const uint8_t *segments[BATCH_SEGMENTS_MAX];
    size_t segment_lens[BATCH_SEGMENTS_MAX];
    size_t segment_count;
};

/* All of a body; it stays the caller's. Errors, of both: ERR_BAD_INPUT with
 * what is wrong and near which byte, ERR_MISMATCH (a checksum), ERR_VERSION. */
int batch_open(struct batch_reader *r, const void *p, size_t len,
               struct err *err);
/* The next object, whose fields borrow from the body; *@more false: there was
 * none, and the body ends here. */
int batch_next(struct batch_reader *r, struct batch_object *out, bool *more,
               struct err *err);
/* What is to be stored: the whole envelope of a sealed object, or the bytes. */
void batch_content(const struct batch_object *o, struct buf *out);

/* ---- the answer ---- */

enum batch_status {                     /* values travel */
                    BATCH_STORED = 0,   /* with this request */
                    BATCH_REPEATED = 1, /* with an earlier one */
                    BATCH_DENIED = 2, /* the device may not; never try again */
                    BATCH_BAD = 3,    /* refused as it is; never try again */
                    BATCH_RETRY = 4,  /* not stored; send it again later */
                    BATCH_STATUS_END = 5 /* not one */
};

void batch_answer_begin(struct buf *out, size_t count);
void batch_answer_add(struct buf *out, uint64_t sequence,
                      enum batch_status status);
void batch_answer_end(struct buf *out);

struct batch_answer {
    size_t count;
    const uint8_t *p; /* of the rows */
};
/* ERR_BAD_INPUT, ERR_MISMATCH. Borrows from @p. */
int batch_answer_open(struct batch_answer *a, const void *p, size_t len,
                      struct err *err);
/* Row @i < a->count. */
void batch_answer_row(const struct batch_answer *a, size_t i,
                      uint64_t *sequence, enum batch_status *status);

#endif
