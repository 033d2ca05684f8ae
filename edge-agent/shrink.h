/* shrink.h: zstd before sealing, where it pays.
 *
 * What is shrunk is one zstd frame with a checksum (docs/SEAL.md, flag bit 0).
 * It pays when it is shorter by a sixteenth at least; of a long text its first
 * run tells. A level and a window for small devices: some 300 KiB of memory for
 * each text that comes in runs, and for all whole ones.
 *
 * Source: RFC 8878. Threads: one at a time.
 */
#ifndef GODWIT_EDGE_SHRINK_H
#define GODWIT_EDGE_SHRINK_H

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct err;
struct shrink;
struct unshrink;

#define SHRINK_STREAMS_MAX 4 /* texts in runs at a time; others stay */
#define SHRINK_MIN 64        /* bytes; no shorter text pays */

/* False: this agent was built without zstd (make ZSTD=0), and nothing pays. */
bool shrink_able(void);

struct shrink *shrink_new(void);
void shrink_free(struct shrink *s); /* NULL is nothing */
/* Append a whole text as a frame; false, and nothing, when it does not pay. */
bool shrink_whole(struct shrink *s, const void *p, size_t len, struct buf *out);
/* A text in runs: append what is ready of the frame. It begins by itself. */
void shrink_update(struct shrink *s, const void *p, size_t len,
                   struct buf *out);
void shrink_final(struct shrink *s, struct buf *out);

/* The reverse, of what we shrank ourselves. */
struct unshrink *unshrink_new(void);
void unshrink_free(struct unshrink *u); /* NULL is nothing */
/* Append what unfolds. ERR_CORRUPT: it is no frame, or goes on behind its end.
 */
int unshrink_update(struct unshrink *u, const void *p, size_t len,
                    struct buf *out, struct err *err);
/* ERR_CORRUPT: the frame was cut. */
int unshrink_final(const struct unshrink *u, struct err *err);

#endif
