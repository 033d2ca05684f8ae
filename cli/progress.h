/* progress.h: one line on stderr that tells how far a transfer is.
 *
 * "photo.raw  1.2 GiB of 4.0 GiB  30%  310 MiB/s  0:09 left", redrawn at most
 * five times a second; nothing is shown when stderr is no terminal.
 *
 * Threads: any, but for new and free.
 */
#ifndef GODWIT_CLI_PROGRESS_H
#define GODWIT_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress;

/* @total_bytes 0: not known. @label is copied. */
struct progress *progress_new(const char *label, uint64_t total_bytes,
                              bool quiet);
void progress_free(struct progress *p); /* wipes the line; NULL is ok */

/* @bytes more; negative: an attempt failed and they go again. */
void progress_add(struct progress *p, int64_t bytes);
/* @bytes were there before: they count in the percentage, not in the rate. */
void progress_skip(struct progress *p, uint64_t bytes);

/* The line's text after @elapsed_ms, at most @width - 1 columns. */
#define PROGRESS_WIDTH_MAX 256
void progress_line(const char *label, uint64_t done, uint64_t total,
                   uint64_t moved, uint64_t elapsed_ms, unsigned width,
                   char out[PROGRESS_WIDTH_MAX]);

#endif
