/* geometry.h: how a chunk is cut into pieces.
 *
 * An object is a run of chunks; a chunk is coded by itself. A chunk of n bytes
 * under a policy of k data and m parity shards has
 *
 *     pieces  = min(k, ceil(n / GEOMETRY_CELL)), at least 1
 *     piece_bytes s = n when pieces is 1, else ceil(n / pieces) rounded up to
 *                     MEM_PAGE
 *
 * Piece i holds bytes [i*s, (i+1)*s) of the chunk; the last may be shorter (it
 * is never empty), and is coded as if zeros followed it. Parity shards have s
 * bytes. With one piece, parity shards are copies of it: 1+m writes, one read.
 * Slots number the shards of a chunk in its placement group: data piece i is
 * slot i, parity j is slot k + j, whatever the number of pieces; so slots
 * pieces..k-1 of a short chunk are empty.
 *
 * A policy with local groups, written K+L+G (6+2+2), has m = L + G parity
 * shards. Data slots [j*k/l, (j+1)*k/l) are local group j; slot k + j is its
 * parity, by XOR, for j < l; slots k + l.. are the global ones (codec.h). So a
 * lost shard is rebuilt from k/l others instead of k. Chunks of fewer than k
 * pieces are coded as plain pieces+m: they need few reads anyway, and survive
 * more.
 *
 * Pure arithmetic. Threads: any.
 */
#ifndef GODWIT_ERASURE_GEOMETRY_H
#define GODWIT_ERASURE_GEOMETRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define GEOMETRY_CELL ((uint32_t)65536)
#define GEOMETRY_CHUNK_MAX ((uint32_t)8 << 20)
#define GEOMETRY_K_MAX 16
#define GEOMETRY_M_MAX 6
#define GEOMETRY_SLOTS_MAX (GEOMETRY_K_MAX + GEOMETRY_M_MAX)

#define GEOMETRY_GLOBALS_MAX 2 /* of a policy with local groups: codec.h */
#define GEOMETRY_LOCAL_MAX 15  /* data shards of a local group: codec.h */

/* With l > 0: l >= 2; l divides k in groups of 2..GEOMETRY_LOCAL_MAX; of the m
 * parity shards 1..GEOMETRY_GLOBALS_MAX are not local. */
struct ec_policy {
    uint8_t k; /* 1..GEOMETRY_K_MAX */
    uint8_t m; /* 0..GEOMETRY_M_MAX, all parity shards */
    uint8_t l; /* so many of m are local; 0: plain Reed-Solomon */
};

struct chunk_shape {
    uint32_t chunk_bytes; /* n, 1..GEOMETRY_CHUNK_MAX */
    uint32_t piece_bytes; /* s */
    uint8_t pieces;       /* 1..k */
    uint8_t k, m;
    uint8_t l; /* that of the policy when pieces is k, else 0 */
};

/* "4+2", "6+2+2". ERR_BAD_INPUT says what is wrong. */
int ec_policy_parse(const char *text, struct ec_policy *out, struct err *err);
/* The same text again; @out needs EC_POLICY_TEXT_MAX bytes. */
#define EC_POLICY_TEXT_MAX 12
char *ec_policy_text(struct ec_policy policy, char *out);

bool ec_policy_same(struct ec_policy a, struct ec_policy b);
/* Whether the fields keep their bounds. */
bool ec_policy_is_valid(struct ec_policy policy);

/* How many shards of a chunk may be lost, whichever they are: m; with local
 * groups one more than there are global parity shards (of more, most). */
unsigned ec_policy_tolerates(struct ec_policy policy);

/* How many shards must be on stable media before a chunk counts as written: all
 * but half, rounded down, of what ec_policy_tolerates says may be lost, so that
 * what is acknowledged still bears the other half, whichever shards are missing
 * and whichever are lost next:
 *     Reed-Solomon  pieces + ceil(m / 2), which bears ceil(m / 2) more losses;
 *     local groups  k + m - 1, which bears g more, g being the global ones. For
 *                   g + 1 is 2 or 3, and half of it 1. With two missing there
 *                   are patterns that g more would make too many: k of so many
 *                   shards give the rest only if they are the right ones. */
unsigned geometry_write_quorum(const struct chunk_shape *shape);

struct chunk_shape geometry_shape(struct ec_policy policy,
                                  uint32_t chunk_bytes);

/* Bytes of the shard in @slot; 0 for a slot that the chunk leaves empty. */
uint32_t geometry_shard_bytes(const struct chunk_shape *shape, unsigned slot);

/* Bytes of a buffer that holds pieces * s data bytes and then m * s parity. */
size_t geometry_buffer_bytes(const struct chunk_shape *shape);

#endif
