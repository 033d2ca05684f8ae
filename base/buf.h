/* buf.h: a growing run of bytes.
 *
 * struct buf b = {0};  is an empty one; buf_free() releases it. After any
 * append data[len] is NUL, so text may be read as a C string.
 *
 * Threads: a buf belongs to its caller.
 */
#ifndef GODWIT_BASE_BUF_H
#define GODWIT_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    uint8_t *data; /* NULL when nothing was appended */
    size_t len;
    size_t cap;
};

void buf_free(struct buf *b);                 /* release and make empty */
void buf_clear(struct buf *b);                /* make empty, keep the memory */
void buf_wipe(struct buf *b);                 /* overwrite, then release */
void buf_reserve(struct buf *b, size_t more); /* room for @more after len */
void buf_append(struct buf *b, const void *p, size_t len);
void buf_str(struct buf *b, const char *s);
void buf_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap);

/* Give the bytes to the caller (free()) and make @b empty. */
uint8_t *buf_take(struct buf *b, size_t *len);

#endif
