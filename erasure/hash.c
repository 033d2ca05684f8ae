#include "erasure/hash.h"

#define GOLDEN 0x9e3779b97f4a7c15u /* 2^64 over the golden ratio */

/* Finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014). */
static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

uint64_t hash_pair(uint64_t a, uint64_t b)
{
    return mix(mix(a + GOLDEN) ^ (b + 1) * GOLDEN);
}
