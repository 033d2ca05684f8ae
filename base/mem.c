#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"

void *mem_alloc(size_t size_bytes)
{
    return mem_calloc(1, size_bytes);
}

void *mem_calloc(size_t count, size_t size_bytes)
{
    void *p = calloc(count > 0 ? count : 1, size_bytes > 0 ? size_bytes : 1);
    CHECK(p != NULL);
    return p;
}

void *mem_realloc(void *ptr, size_t size_bytes)
{
    void *p = realloc(ptr, size_bytes > 0 ? size_bytes : 1);
    CHECK(p != NULL);
    return p;
}

char *mem_strdup(const char *s)
{
    return mem_dup(s, strlen(s) + 1);
}

char *mem_strndup(const char *s, size_t len)
{
    char *p = mem_alloc(len + 1);
    memcpy(p, s, len);
    return p;
}

void *mem_dup(const void *p, size_t len)
{
    void *copy = mem_alloc(len);
    if (len > 0) {
        memcpy(copy, p, len);
    }
    return copy;
}

char *mem_printf(const char *fmt, ...)
{
    char *out = NULL;
    int len;
    va_list ap;

    va_start(ap, fmt);
    len = vasprintf(&out, fmt, ap);
    va_end(ap);
    CHECK(len >= 0);
    return out;
}

/* Straight from the system: large blocks must not fragment the heap, and
 * given back they leave the process at once. */
void *mem_pages(size_t size_bytes)
{
    void *p = mmap(NULL, mem_round_up(size_bytes, MEM_PAGE),
                   PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void mem_pages_free(void *ptr, size_t size_bytes)
{
    if (ptr != NULL) {
        CHECK(munmap(ptr, mem_round_up(size_bytes, MEM_PAGE)) == 0);
    }
}

void mem_wipe(void *ptr, size_t size_bytes)
{
    if (size_bytes > 0) {
        explicit_bzero(ptr, size_bytes);
    }
}

int mem_diff(const void *a, const void *b, size_t len)
{
    const volatile uint8_t *x = a;
    const volatile uint8_t *y = b;
    uint8_t diff = 0;

    for (size_t i = 0; i < len; i++) {
        diff |= (uint8_t)(x[i] ^ y[i]);
    }
    return diff;
}
