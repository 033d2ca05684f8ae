/* mem.h: allocation, pages, wiping.
 *
 * Small control structures: mem_alloc and friends never return NULL; when the
 * system has no memory for them the process stops with a CHECK (see
 * docs/DECISIONS.md). Bodies of objects never come from here but from
 * base/pool.h, which has a budget and says no.
 *
 * Threads: any.
 */
#ifndef GODWIT_BASE_MEM_H
#define GODWIT_BASE_MEM_H

#include <stddef.h>

#define MEM_PAGE 4096 /* alignment and unit of O_DIRECT */

/* Give zeroed memory; caller frees with free(). */
void *mem_alloc(size_t size_bytes);
void *mem_calloc(size_t count, size_t size_bytes);
void *mem_realloc(void *ptr, size_t size_bytes); /* new bytes not zeroed */
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t len);
void *mem_dup(const void *p, size_t len);
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Give @size_bytes (rounded up to MEM_PAGE) at a page boundary, not zeroed;
 * NULL when there is none. Caller frees with mem_pages_free. */
void *mem_pages(size_t size_bytes);
void mem_pages_free(void *ptr, size_t size_bytes);

/* Overwrite with zeros in a way that the compiler keeps. */
void mem_wipe(void *ptr, size_t size_bytes);

/* Compare in time that depends on @len alone; 0 when equal. */
int mem_diff(const void *a, const void *b, size_t len);

/* Round @n up to a multiple of @unit, a power of two. */
static inline size_t mem_round_up(size_t n, size_t unit)
{
    return (n + unit - 1) & ~(unit - 1);
}

#endif
