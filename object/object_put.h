/* object_put.h: write one run of chunks.
 *
 * open, write (any number of times), commit | abort. All may block, with
 * deadlines: they are for workers. One thread at a time uses a put.
 *
 *     opened -> writing -> committed -> closed
 *                      \-> aborted
 *
 * After commit the shards are durable but nothing names them; the caller puts
 * the manifest into the catalogue and then calls object_put_close. Between
 * commit and close the shards are guarded from orphan collection. abort (or a
 * crash) leaves orphans that are deleted at once (or collected).
 */
#ifndef GODWIT_OBJECT_OBJECT_PUT_H
#define GODWIT_OBJECT_OBJECT_PUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "erasure/geometry.h"

struct buf;
struct err;
struct object_put;
struct object_store;

struct object_put *object_put_open(struct object_store *s);

/* How a put is to be stored; zeros: as object_put_open has it. */
struct object_put_how {
    bool compress;           /* chunks that are shorter for it (pack.h) */
    struct ec_policy policy; /* k 0, or not known: that of the store */
};

struct object_put *object_put_open_as(struct object_store *s,
                                      const struct object_put_how *how);

/* Code and send one chunk of @bytes bytes (1..GEOMETRY_CHUNK_MAX) that stands
 * at the start of @buffer, a pool buffer of object_buffer_bytes(@buffer_for)
 * bytes with @buffer_for >= @bytes. Takes @buffer, and may compress what it
 * holds: it goes back to the pool when its shards are written. Returns when the
 * chunk is coded and queued, at most two chunks being in flight. On error (of
 * this or an earlier chunk) the buffer still is the caller's: ERR_UNAVAILABLE
 * (quorum lost), ERR_FULL, ERR_TIMEOUT. */
int object_put_write(struct object_put *p, void *buffer, uint32_t buffer_for,
                     uint32_t bytes, struct err *err);

/* Wait until every chunk has its write quorum on stable media, then append the
 * manifest to @manifest. At least one chunk was written. */
int object_put_commit(struct object_put *p, struct buf *manifest,
                      struct err *err);

/* After commit: the manifest is in the catalogue, or never will be when
 * @stored is false (then the shards are deleted). Frees @p. */
void object_put_close(struct object_put *p, int stored);

/* Before commit, or when commit failed: delete what was written. Frees @p. */
void object_put_abort(struct object_put *p);

#endif
