/* wire.h: little-endian encoding to a buf and bounded decoding from bytes.
 *
 * Formats on disk and on the wire are written with put_* and read with get_*.
 * A reader never trusts a length it has not bounded: every get_* checks what
 * is left, and the first failure sticks, so a decoder reads all its fields and
 * asks wire_ok() once at the end. After a failure every get_* gives zero,
 * NULL or an empty run.
 *
 * Threads: any; readers and bufs belong to their caller.
 */
#ifndef GODWIT_BASE_WIRE_H
#define GODWIT_BASE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

void put_u8(struct buf *b, uint8_t v);
void put_u16(struct buf *b, uint16_t v);
void put_u32(struct buf *b, uint32_t v);
void put_u64(struct buf *b, uint64_t v);
void put_bytes(struct buf *b, const void *p, size_t len);
/* u32 length, then the bytes. */
void put_blob(struct buf *b, const void *p, size_t len);
/* As put_blob of strlen(@s); NULL is written as length 0xffffffff. */
void put_text(struct buf *b, const char *s);

struct wire_reader {
    const uint8_t *p;
    size_t left;
    bool failed;
};

void wire_init(struct wire_reader *r, const void *p, size_t len);
uint8_t get_u8(struct wire_reader *r);
uint16_t get_u16(struct wire_reader *r);
uint32_t get_u32(struct wire_reader *r);
uint64_t get_u64(struct wire_reader *r);
/* Borrow @len bytes of the input; NULL on failure. */
const uint8_t *get_bytes(struct wire_reader *r, size_t len);
/* Borrow a blob of at most @max bytes. */
const uint8_t *get_blob(struct wire_reader *r, size_t max, size_t *len);
/* Give a NUL-terminated copy (free()) of a text of at most @max bytes that
 * has no NUL inside; NULL for a NULL text and on failure (ask wire_ok). */
char *get_text(struct wire_reader *r, size_t max);
void wire_fail(struct wire_reader *r);
bool wire_ok(const struct wire_reader *r);
/* True when nothing failed and nothing is left over. */
bool wire_done(const struct wire_reader *r);

/* Fixed places in memory, unaligned. */
static inline void store_u16(void *p, uint16_t v)
{
    __builtin_memcpy(p, &v, sizeof v);
}
static inline void store_u32(void *p, uint32_t v)
{
    __builtin_memcpy(p, &v, sizeof v);
}
static inline void store_u64(void *p, uint64_t v)
{
    __builtin_memcpy(p, &v, sizeof v);
}
static inline uint16_t load_u16(const void *p)
{
    uint16_t v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}
static inline uint32_t load_u32(const void *p)
{
    uint32_t v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}
static inline uint64_t load_u64(const void *p)
{
    uint64_t v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "formats are little-endian and copied as they are");

#endif
