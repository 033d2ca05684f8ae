/* hash.h: one number from two, as if at random, the same everywhere.
 *
 * Pure function. Threads: any.
 */
#ifndef GODWIT_ERASURE_HASH_H
#define GODWIT_ERASURE_HASH_H

#include <stdint.h>

/* Where data stands follows from it: it can never change. */
uint64_t hash_pair(uint64_t a, uint64_t b);

#endif
