/* squeeze.h: zstd as bytes come, both ways.
 *
 * Squeezed bytes are one zstd frame with a checksum. A frame that wants a
 * window of more than 8 MiB is refused; what a frame unfolds to goes to the
 * sink piece by piece, however much it is.
 *
 * Source: RFC 8878. Threads: one at a time.
 */
#ifndef GODWIT_CLI_SQUEEZE_H
#define GODWIT_CLI_SQUEEZE_H

#include <stdbool.h>
#include <stddef.h>

struct err;
struct squeeze;

#define SQUEEZE_WINDOW_LOG_MAX 23 /* 8 MiB */

/* Called with the bytes in order; what it returns ends the work. */
typedef int (*squeeze_sink_f)(void *arg, const void *p, size_t len,
                              struct err *err);

/* One that packs, or with @unpack the reverse. */
struct squeeze *squeeze_new(bool unpack, squeeze_sink_f sink, void *arg);
void squeeze_free(struct squeeze *s); /* NULL is nothing */
/* ERR_CORRUPT: no frame, or one that was changed, or bytes behind it. */
int squeeze_update(struct squeeze *s, const void *p, size_t len,
                   struct err *err);
/* ERR_CORRUPT: the frame was cut. */
int squeeze_final(struct squeeze *s, struct err *err);

#endif
