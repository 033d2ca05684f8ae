/* fuzz_codec.c: any losses of any policy, with or without local groups.
 *
 * Input: k, m, l, offset, then four bytes of what is lost, then data. What is
 * rebuilt must be what was encoded; at most ec_policy_tolerates losses must be
 * rebuilt, and what cannot be must be left alone and explained.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "erasure/codec.h"

#define HEAD 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A policy for any three bytes. */
static struct ec_policy policy_of(const uint8_t *b)
{
    struct ec_policy p = {(uint8_t)(1 + b[0] % GEOMETRY_K_MAX),
                          (uint8_t)(b[1] % (GEOMETRY_M_MAX + 1)),
                          (uint8_t)(b[2] % (GEOMETRY_M_MAX + 1))};

    if (!ec_policy_is_valid(p)) {
        p.l = 0;
    }
    return p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *shards[GEOMETRY_SLOTS_MAX] = {NULL};
    uint8_t *whole[GEOMETRY_SLOTS_MAX] = {NULL};
    const struct codec *c;
    struct ec_policy p;
    struct err err = {{0}};
    uint32_t lost, all, read = 0;
    unsigned n;
    size_t len, skew;
    int rc;

    if (size < HEAD) {
        return 0;
    }
    p = policy_of(data);
    n = (unsigned)p.k + p.m;
    skew = data[3] % 33;
    all = (1u << n) - 1;
    memcpy(&lost, data + 4, sizeof lost);
    lost &= all;
    len = (size - HEAD) / p.k;
    c = p.l > 0 ? codec_get_local(p.k, p.l, (unsigned)p.m - p.l)
                : codec_get(p.k, p.m);
    for (unsigned i = 0; i < n; i++) {
        whole[i] = mem_alloc(skew + len + 1);
        if (i < p.k) {
            memcpy(whole[i] + skew, data + HEAD + i * len, len);
        }
        whole[i] += skew;
    }
    codec_encode(c, len, (const uint8_t *const *)whole, whole + p.k);
    rc = codec_plan(c, all & ~lost, lost, &read, &err);
    CHECK((read & lost) == 0);
    for (unsigned i = 0; i < n; i++) { /* only what the plan reads is there */
        if ((lost | read) >> i & 1) {
            shards[i] = mem_alloc(len + 1);
            memset(shards[i], 0xee, len);
        }
        if (read >> i & 1) {
            memcpy(shards[i], whole[i], len);
        }
    }
    CHECK(codec_rebuild(c, len, shards, all & ~lost, lost, &err) == rc);
    CHECK(rc == 0 || rc == ERR_UNAVAILABLE);
    CHECK(rc == 0 ? 1 : err.text[0] != '\0');
    CHECK(rc == 0 ||
          (unsigned)__builtin_popcount(lost) > ec_policy_tolerates(p));
    for (unsigned i = 0; i < n; i++) {
        if (rc == 0 && shards[i] != NULL) {
            CHECK(memcmp(shards[i], whole[i], len) == 0);
        }
        free(whole[i] - skew);
        free(shards[i]);
    }
    return 0;
}
