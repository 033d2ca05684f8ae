#include "base/wire.h"

#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

#define NULL_TEXT 0xffffffffu

void put_u8(struct buf *b, uint8_t v)
{
    buf_append(b, &v, sizeof v);
}

void put_u16(struct buf *b, uint16_t v)
{
    buf_append(b, &v, sizeof v);
}

void put_u32(struct buf *b, uint32_t v)
{
    buf_append(b, &v, sizeof v);
}

void put_u64(struct buf *b, uint64_t v)
{
    buf_append(b, &v, sizeof v);
}

void put_bytes(struct buf *b, const void *p, size_t len)
{
    buf_append(b, p, len);
}

void put_blob(struct buf *b, const void *p, size_t len)
{
    put_u32(b, (uint32_t)len);
    buf_append(b, p, len);
}

void put_text(struct buf *b, const char *s)
{
    if (s == NULL) {
        put_u32(b, NULL_TEXT);
        return;
    }
    put_blob(b, s, strlen(s));
}

void wire_init(struct wire_reader *r, const void *p, size_t len)
{
    r->p = p;
    r->left = len;
    r->failed = false;
}

const uint8_t *get_bytes(struct wire_reader *r, size_t len)
{
    const uint8_t *p = r->p;

    if (r->failed || len > r->left) {
        r->failed = true;
        return NULL;
    }
    r->p += len;
    r->left -= len;
    return p;
}

uint8_t get_u8(struct wire_reader *r)
{
    const uint8_t *p = get_bytes(r, 1);
    return p != NULL ? *p : 0;
}

uint16_t get_u16(struct wire_reader *r)
{
    const uint8_t *p = get_bytes(r, 2);
    return p != NULL ? load_u16(p) : 0;
}

uint32_t get_u32(struct wire_reader *r)
{
    const uint8_t *p = get_bytes(r, 4);
    return p != NULL ? load_u32(p) : 0;
}

uint64_t get_u64(struct wire_reader *r)
{
    const uint8_t *p = get_bytes(r, 8);
    return p != NULL ? load_u64(p) : 0;
}

const uint8_t *get_blob(struct wire_reader *r, size_t max, size_t *len)
{
    size_t n = get_u32(r);
    const uint8_t *p;

    *len = 0;
    if (n > max) {
        r->failed = true;
        return NULL;
    }
    p = get_bytes(r, n);
    if (p != NULL) {
        *len = n;
    }
    return p;
}

char *get_text(struct wire_reader *r, size_t max)
{
    size_t n = get_u32(r);
    const uint8_t *p;

    if (r->failed || n == NULL_TEXT) {
        return NULL;
    }
    if (n > max) {
        r->failed = true;
        return NULL;
    }
    p = get_bytes(r, n);
    if (p == NULL || memchr(p, 0, n) != NULL) {
        r->failed = true;
        return NULL;
    }
    return mem_strndup((const char *)p, n);
}

void wire_fail(struct wire_reader *r)
{
    r->failed = true;
}

bool wire_ok(const struct wire_reader *r)
{
    return !r->failed;
}

bool wire_done(const struct wire_reader *r)
{
    return !r->failed && r->left == 0;
}
