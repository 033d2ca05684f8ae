/* rng.h: the seam for randomness.
 *
 * rng_bytes is getrandom(2) unless a test puts a seeded generator in place with
 * rng_use() before other threads run. Keys, nonces, ids and credentials all
 * come from here.
 *
 * Threads: any.
 */
#ifndef GODWIT_BASE_RNG_H
#define GODWIT_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng_ops {
    void (*bytes)(void *data, void *out, size_t len);
    void *data;
};

void rng_use(const struct rng_ops *ops); /* keeps; NULL for the system's */
void rng_bytes(void *out, size_t len);   /* CHECKs that the system delivers */
uint64_t rng_u64(void);

#endif
