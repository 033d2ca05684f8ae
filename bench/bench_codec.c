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
 * and the same for the decoding of two lost pieces and for a chunk that stands
 * in the cache. Rates are of user data. The best of the rounds counts: the
 * machine is shared.
 */
#include <isa-l.h>
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

static void figure(const char *name, double ratio, double bound)
{
    printf("{\"name\": \"%s\", \"ratio\": %.2f, \"bound\": %.2f}\n", name,
           ratio, bound);
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
    return 0;
}
