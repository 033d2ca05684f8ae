/* bench_codec.c: our coding against raw isa-l, and the CPU of a put.
 *
 * Two figures, each as a line of JSON:
 *
 *   codec encode 4+2        rate of codec_encode over the rate of one bare
 *                           ec_encode_data call for the whole piece, on the
 *                           same 8 MiB chunk, the two by turns in one run
 *   codec checksums+encode  all that a PUT computes for a chunk besides its
 *                           ETag: CRC64NVME of the chunk, parity, CRC32C of
 *                           each 64 KiB block of all shards; GB/s on one core
 *                           over the 8 GB/s that we ask for
 *
 *   codec encode 6+2+2      rate of encoding with local groups over that of
 *                           Reed-Solomon with as much parity, 6+4
 *   codec repair 6+2+2      rate of rebuilding one shard from its local group
 *                           of 3 over that of 6+4 from 6
 *
 * and the same for the decoding of two lost pieces and for a chunk that stands
 * in the cache; 12+2+2 is printed too. Rates are of user data, those of repair
 * of rebuilt bytes. The best of the rounds counts: the
 * machine is shared.
 */
#include <isa-l.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "crypto/digest.h"
#include "erasure/codec.h"

#define K 4
#define M 2
#define ROUNDS 40
#define WANTED_GB_S 8.0
#define BLOCK 65536

struct chunk {
    size_t piece_bytes;
    uint8_t *shards[K + M];
};

static void chunk_new(struct chunk *c, size_t bytes)
{
    uint64_t x = 1;

    c->piece_bytes = bytes / K;
    for (int i = 0; i < K + M; i++) {
        c->shards[i] = mem_pages(c->piece_bytes);
        CHECK(c->shards[i] != NULL);
        for (size_t at = 0; at < c->piece_bytes; at += sizeof x) {
            x = x * 6364136223846793005u + 1442695040888963407u;
            memcpy(c->shards[i] + at, &x, sizeof x);
        }
    }
}

static void chunk_free(struct chunk *c)
{
    for (int i = 0; i < K + M; i++) {
        mem_pages_free(c->shards[i], c->piece_bytes);
    }
}

static void encode_ours(struct chunk *c)
{
    codec_encode(codec_get(K, M), c->piece_bytes,
                 (const uint8_t *const *)c->shards, c->shards + K);
}

static void encode_raw(struct chunk *c)
{
    static uint8_t matrix[(K + M) * K], tables[32 * K * M];

    if (matrix[0] == 0) {
        gf_gen_cauchy1_matrix(matrix, K + M, K);
        ec_init_tables(K, M, matrix + K * K, tables);
    }
    ec_encode_data((int)c->piece_bytes, K, M, tables, c->shards, c->shards + K);
}

static void decode_two(struct chunk *c)
{
    CHECK(codec_rebuild(codec_get(K, M), c->piece_bytes, c->shards, 0x3c, 0x03,
                        NULL) == 0);
}

/* All that a PUT computes, in the order in which it does. */
static void put_work(struct chunk *c)
{
    uint64_t crc = 0;

    for (int i = 0; i < K; i++) {
        crc = crc64nvme(crc, c->shards[i], c->piece_bytes);
    }
    encode_ours(c);
    for (int i = 0; i < K + M; i++) {
        for (size_t at = 0; at < c->piece_bytes; at += BLOCK) {
            size_t n = c->piece_bytes - at;
            crc += crc32c(0, c->shards[i] + at, n < BLOCK ? n : BLOCK);
        }
    }
    (void)crc;
}

/* GB/s of user data of one round that works for about 10 ms. */
static double rate(void (*work)(struct chunk *c), struct chunk *c)
{
    uint64_t start = clock_mono_us();
    uint64_t now = start;
    uint64_t bytes = 0;

    do {
        work(c);
        bytes += K * c->piece_bytes;
        now = clock_mono_us();
    } while (now - start < 10000);
    return (double)bytes / (double)(now - start) / 1e3;
}

struct result {
    double ours, raw, decode, put;
};

static double more(double a, double b)
{
    return a > b ? a : b;
}

static struct result measure(size_t bytes)
{
    struct result best = {0};
    struct chunk c;

    chunk_new(&c, bytes);
    for (int i = 0; i < ROUNDS; i++) {
        best.ours = more(best.ours, rate(encode_ours, &c));
        best.raw = more(best.raw, rate(encode_raw, &c));
        best.decode = more(best.decode, rate(decode_two, &c));
        best.put = more(best.put, rate(put_work, &c));
    }
    chunk_free(&c);
    return best;
}

/* One code, with or without local groups, on a chunk of its own. */
struct coding {
    const struct codec *codec;
    unsigned k, m;
    size_t piece_bytes;
    uint8_t *shards[GEOMETRY_SLOTS_MAX];
};

static void coding_new(struct coding *c, const char *policy, size_t bytes)
{
    struct ec_policy p;
    struct chunk_shape shape;

    CHECK(ec_policy_parse(policy, &p, NULL) == 0);
    shape = geometry_shape(p, GEOMETRY_CHUNK_MAX);
    c->codec = codec_of(&shape);
    c->k = p.k;
    c->m = p.m;
    c->piece_bytes = mem_round_up(bytes / p.k, MEM_PAGE);
    for (unsigned i = 0; i < c->k + c->m; i++) {
        c->shards[i] = mem_pages(c->piece_bytes);
        CHECK(c->shards[i] != NULL);
        memset(c->shards[i], (int)i * 37 + 1, c->piece_bytes);
    }
}

static void coding_free(struct coding *c)
{
    for (unsigned i = 0; i < c->k + c->m; i++) {
        mem_pages_free(c->shards[i], c->piece_bytes);
    }
}

/* GB/s of one round: of user data encoded, or of a lost shard rebuilt. */
static double coding_rate(struct coding *c, bool repair)
{
    uint32_t all = (1u << (c->k + c->m)) - 1;
    uint64_t start = clock_mono_us();
    uint64_t now = start, bytes = 0;

    do {
        if (repair) {
            CHECK(codec_rebuild(c->codec, c->piece_bytes, c->shards, all & ~1u,
                                1, NULL) == 0);
        } else {
            codec_encode(c->codec, c->piece_bytes,
                         (const uint8_t *const *)c->shards, c->shards + c->k);
        }
        bytes += c->piece_bytes * (repair ? 1 : c->k);
        now = clock_mono_us();
    } while (now - start < 10000);
    return (double)bytes / (double)(now - start) / 1e3;
}

struct local_result {
    double encode, repair;
};

static struct local_result measure_local(const char *policy, size_t bytes)
{
    struct local_result best = {0};
    struct coding c;

    coding_new(&c, policy, bytes);
    for (int i = 0; i < ROUNDS / 2; i++) {
        best.encode = more(best.encode, coding_rate(&c, false));
        best.repair = more(best.repair, coding_rate(&c, true));
    }
    coding_free(&c);
    return best;
}

static void figure(const char *name, double ratio, double bound)
{
    printf("{\"name\": \"%s\", \"ratio\": %.2f, \"bound\": %.2f}\n", name,
           ratio, bound);
}

static void local_figures(void)
{
    static const char *const policies[] = {"6+4", "6+2+2", "12+4", "12+2+2"};
    struct local_result r[4];

    printf("                           8 MiB  256 KiB  (GB/s, one core)\n");
    for (int i = 0; i < 4; i++) {
        struct local_result small = measure_local(policies[i], 256 << 10);
        r[i] = measure_local(policies[i], (size_t)8 << 20);
        printf("encode %-6s           %8.1f %8.1f\n", policies[i], r[i].encode,
               small.encode);
        printf("repair %-6s           %8.1f %8.1f\n", policies[i], r[i].repair,
               small.repair);
    }
    figure("codec encode 6+2+2 against 6+4", r[1].encode / r[0].encode, 1.0);
    figure("codec repair 6+2+2 against 6+4", r[1].repair / r[0].repair, 1.2);
}

int main(void)
{
    struct result large = measure((size_t)8 << 20);
    struct result small = measure((size_t)256 << 10);

    printf("                           8 MiB  256 KiB  (GB/s, one core)\n");
    printf("encode 4+2, ours        %8.1f %8.1f\n", large.ours, small.ours);
    printf("encode 4+2, bare isa-l  %8.1f %8.1f\n", large.raw, small.raw);
    printf("decode, two lost        %8.1f %8.1f\n", large.decode, small.decode);
    printf("checksums and encode    %8.1f %8.1f\n", large.put, small.put);
    figure("codec encode 4+2 against isa-l", large.ours / large.raw, 0.9);
    figure("codec encode 4+2 against isa-l, in cache", small.ours / small.raw,
           0.9);
    figure("codec checksums and encode against 8 GB/s", large.put / WANTED_GB_S,
           1.0);
    local_figures();
    return 0;
}
