/* object_bytes.h: bytes that were read, in memory of their own.
 *
 * Of the store's pool, or of the system when the pool has none. Who has them
 * gives them back by object_bytes_free.
 *
 * Threads: any.
 */
#ifndef GODWIT_OBJECT_OBJECT_BYTES_H
#define GODWIT_OBJECT_OBJECT_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct object_store;

struct object_bytes {
    uint8_t *p; /* page-aligned; NULL: none */
    size_t len; /* that count */
    size_t room;
    bool pooled;
};

/* Room for at least @need bytes, not zeroed; len is 0. False when there is no
 * memory; with @only_pool also when the pool has none to spare. */
bool object_bytes_new(struct object_store *s, size_t need, bool only_pool,
                      struct object_bytes *out);
/* NULL bytes are nothing; zeroes @b. */
void object_bytes_free(struct object_store *s, struct object_bytes *b);

#endif
