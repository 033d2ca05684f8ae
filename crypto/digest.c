#include "crypto/digest.h"

#include <isa-l/crc.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/check.h"
#include "base/mem.h"
#include "base/wire.h"

#define HASHES 3
#define CACHE_MAX 8 /* contexts of each kind kept by a thread */
#define CRC64_POLY 0x9a6c9329ac4bc9b5u /* reflected 0xad93d23594c93659 */

/* ---- contexts, used again: one-shot use costs four times as much ---- */

struct cache {
    EVP_MD_CTX *contexts[HASHES][CACHE_MAX];
    unsigned counts[HASHES];
};

static pthread_key_t cache_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_MD *fetched[HASHES];

static void cache_free(void *p)
{
    struct cache *c = p;

    for (int kind = 0; kind < HASHES; kind++) {
        while (c->counts[kind] > 0) {
            EVP_MD_CTX_free(c->contexts[kind][--c->counts[kind]]);
        }
    }
    free(c);
}

static void start(void)
{
    static const char *const names[HASHES] = {"MD5", "SHA1", "SHA256"};

    CHECK(pthread_key_create(&cache_key, cache_free) == 0);
    for (int i = 0; i < HASHES; i++) {
        fetched[i] = EVP_MD_fetch(NULL, names[i], NULL);
        CHECK(fetched[i] != NULL);
    }
}

static struct cache *cache_of_thread(void)
{
    struct cache *c;

    pthread_once(&once, start);
    c = pthread_getspecific(cache_key);
    if (c == NULL) {
        c = mem_alloc(sizeof *c);
        pthread_setspecific(cache_key, c);
    }
    return c;
}

static EVP_MD_CTX *context_get(enum digest_kind kind)
{
    struct cache *c = cache_of_thread();
    EVP_MD_CTX *context = c->counts[kind] > 0
                              ? c->contexts[kind][--c->counts[kind]]
                              : EVP_MD_CTX_new();

    CHECK(context != NULL);
    CHECK(EVP_DigestInit_ex2(context, fetched[kind], NULL) == 1);
    return context;
}

static void context_put(enum digest_kind kind, EVP_MD_CTX *context)
{
    struct cache *c = cache_of_thread();

    if (c->counts[kind] < CACHE_MAX) {
        c->contexts[kind][c->counts[kind]++] = context;
    } else {
        EVP_MD_CTX_free(context);
    }
}

/* ---- CRC64NVME ---- */

static pthread_once_t crc64_once = PTHREAD_ONCE_INIT;

/* crc64_table[i][b]: what byte b does when i more bytes follow it. */
static uint64_t crc64_table[8][256];

/* Eight bytes at a time (M. Kounavis and F. Berry, "Novel Table Lookup-Based
 * Algorithms for High-Performance CRC Generation", 2008): for processors
 * without carry-less multiply, and for heads and tails. */
static uint64_t crc64_by_table(uint64_t crc, const uint8_t *p, size_t len)
{
    for (; len >= 8; p += 8, len -= 8) {
        crc ^= load_u64(p);
        crc = crc64_table[7][crc & 0xff] ^ crc64_table[6][crc >> 8 & 0xff] ^
              crc64_table[5][crc >> 16 & 0xff] ^
              crc64_table[4][crc >> 24 & 0xff] ^
              crc64_table[3][crc >> 32 & 0xff] ^
              crc64_table[2][crc >> 40 & 0xff] ^
              crc64_table[1][crc >> 48 & 0xff] ^ crc64_table[0][crc >> 56];
    }
    for (; len > 0; p++, len--) {
        crc = crc64_table[0][(crc ^ *p) & 0xff] ^ crc >> 8;
    }
    return crc;
}

/* @v times x^@bits mod P, bit-reflected: a CRC carried over so many bits. */
static uint64_t crc64_shift(uint64_t v, uint64_t bits)
{
    for (uint64_t i = 0; i < bits; i++) {
        v = v >> 1 ^ ((v & 1) ? CRC64_POLY : 0);
    }
    return v;
}

#if defined(__x86_64__)
#define NARROW __attribute__((target("pclmul,sse4.1")))
#define WIDE __attribute__((target("avx512f,avx512vl,vpclmulqdq")))

/* Folding constants for 128 bits over a distance of d bits: x^(d+63) and
 * x^(d-1) mod P, reflected. Source: V. Gopal et al., "Fast CRC Computation for
 * Generic Polynomials Using PCLMULQDQ Instruction", Intel, 2009. */
static uint64_t fold_512[2], fold_2048[2], fold_128[2];
static bool crc64_fast; /* PCLMULQDQ */
static bool crc64_wide; /* VPCLMULQDQ with AVX-512 */

static void fold_constants(uint64_t distance, uint64_t out[2])
{
    uint64_t one = (uint64_t)1 << 63; /* x^0, reflected */

    out[0] = crc64_shift(one, distance + 63);
    out[1] = crc64_shift(one, distance - 1);
}

NARROW static __m128i fold(__m128i x, __m128i k, __m128i next)
{
    __m128i lo = _mm_clmulepi64_si128(x, k, 0x00);
    __m128i hi = _mm_clmulepi64_si128(x, k, 0x11);

    return _mm_xor_si128(_mm_xor_si128(lo, hi), next);
}

NARROW static uint64_t crc64_by_pclmul(uint64_t crc, const uint8_t *p,
                                       size_t len)
{
    __m128i k512 = _mm_set_epi64x((int64_t)fold_512[1], (int64_t)fold_512[0]);
    __m128i k128 = _mm_set_epi64x((int64_t)fold_128[1], (int64_t)fold_128[0]);
    const __m128i *v = (const __m128i *)(const void *)p;
    __m128i a = _mm_loadu_si128(v), b = _mm_loadu_si128(v + 1);
    __m128i c = _mm_loadu_si128(v + 2), d = _mm_loadu_si128(v + 3);
    uint8_t last[16];

    a = _mm_xor_si128(a, _mm_set_epi64x(0, (int64_t)crc));
    for (v += 4, len -= 64; len >= 64; v += 4, len -= 64) {
        a = fold(a, k512, _mm_loadu_si128(v));
        b = fold(b, k512, _mm_loadu_si128(v + 1));
        c = fold(c, k512, _mm_loadu_si128(v + 2));
        d = fold(d, k512, _mm_loadu_si128(v + 3));
    }
    b = fold(a, k128, b);
    c = fold(b, k128, c);
    d = fold(c, k128, d);
    for (; len >= 16; v++, len -= 16) {
        d = fold(d, k128, _mm_loadu_si128(v));
    }
    _mm_storeu_si128((__m128i *)(void *)last, d);
    crc = crc64_by_table(0, last, sizeof last);
    return crc64_by_table(crc, (const uint8_t *)v, len);
}

WIDE static __m512i fold_wide(__m512i x, __m512i k, const uint8_t *p)
{
    __m512i lo = _mm512_clmulepi64_epi128(x, k, 0x00);
    __m512i hi = _mm512_clmulepi64_epi128(x, k, 0x11);

    return _mm512_ternarylogic_epi64(lo, hi, _mm512_loadu_si512(p), 0x96);
}

WIDE static uint64_t crc64_by_vpclmul(uint64_t crc, const uint8_t *p,
                                      size_t len)
{
    __m512i k2048 = _mm512_broadcast_i32x4(
        _mm_set_epi64x((int64_t)fold_2048[1], (int64_t)fold_2048[0]));
    __m512i k512 = _mm512_broadcast_i32x4(
        _mm_set_epi64x((int64_t)fold_512[1], (int64_t)fold_512[0]));
    __m512i a = _mm512_loadu_si512(p), b = _mm512_loadu_si512(p + 64);
    __m512i c = _mm512_loadu_si512(p + 128), d = _mm512_loadu_si512(p + 192);
    uint8_t last[64];

    a = _mm512_xor_si512(
        a, _mm512_zextsi128_si512(_mm_set_epi64x(0, (int64_t)crc)));
    for (p += 256, len -= 256; len >= 256; p += 256, len -= 256) {
        a = fold_wide(a, k2048, p);
        b = fold_wide(b, k2048, p + 64);
        c = fold_wide(c, k2048, p + 128);
        d = fold_wide(d, k2048, p + 192);
    }
    _mm512_storeu_si512(last, b);
    b = fold_wide(a, k512, last);
    _mm512_storeu_si512(last, c);
    c = fold_wide(b, k512, last);
    _mm512_storeu_si512(last, d);
    d = fold_wide(c, k512, last);
    for (; len >= 64; p += 64, len -= 64) {
        d = fold_wide(d, k512, p);
    }
    _mm512_storeu_si512(last, d);
    crc = crc64_by_pclmul(0, last, sizeof last);
    return crc64_by_table(crc, p, len);
}
#endif

static void crc64_start(void)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        for (unsigned i = 0; i < 8; i++) {
            crc64_table[i][byte] = crc64_shift(byte, 8 * (i + 1));
        }
    }
#if defined(__x86_64__)
    fold_constants(128, fold_128);
    fold_constants(512, fold_512);
    fold_constants(2048, fold_2048);
    crc64_fast =
        __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
    crc64_wide = crc64_fast && __builtin_cpu_supports("avx512f") &&
                 __builtin_cpu_supports("avx512vl") &&
                 __builtin_cpu_supports("vpclmulqdq");
#endif
}

uint64_t crc64nvme(uint64_t crc, const void *p, size_t len)
{
    pthread_once(&crc64_once, crc64_start);
    crc = ~crc;
#if defined(__x86_64__)
    if (crc64_wide && len >= 512) {
        return ~crc64_by_vpclmul(crc, p, len);
    }
    if (crc64_fast && len >= 64) {
        return ~crc64_by_pclmul(crc, p, len);
    }
#endif
    return ~crc64_by_table(crc, p, len);
}

/* ---- other CRCs by isa-l, which takes an int length ---- */

#define CRC_STEP ((size_t)1 << 30)

uint32_t crc32c(uint32_t crc, const void *p, size_t len)
{
    const uint8_t *at = p;

    crc = ~crc;
    while (len > 0) {
        size_t n = len < CRC_STEP ? len : CRC_STEP;
        crc = crc32_iscsi((unsigned char *)(uintptr_t)at, (int)n, crc);
        at += n;
        len -= n;
    }
    return ~crc;
}

/* ---- one digest of any kind ---- */

static bool is_hash(enum digest_kind kind)
{
    return kind <= DIGEST_SHA256;
}

void digest_init(struct digest *d, enum digest_kind kind)
{
    d->kind = kind;
    d->crc = 0;
    d->context = is_hash(kind) ? context_get(kind) : NULL;
}

void digest_update(struct digest *d, const void *p, size_t len)
{
    switch (d->kind) {
        case DIGEST_CRC32:
            d->crc = crc32_gzip_refl((uint32_t)d->crc, p, len);
            break;
        case DIGEST_CRC32C:
            d->crc = crc32c((uint32_t)d->crc, p, len);
            break;
        case DIGEST_CRC64NVME:
            d->crc = crc64nvme(d->crc, p, len);
            break;
        default:
            CHECK(EVP_DigestUpdate(d->context, p, len) == 1);
    }
}

size_t digest_size(enum digest_kind kind)
{
    static const uint8_t sizes[DIGEST_KINDS] = {16, 20, 32, 4, 4, 8};

    CHECK((unsigned)kind < DIGEST_KINDS);
    return sizes[kind];
}

size_t digest_final(struct digest *d, uint8_t out[DIGEST_MAX])
{
    size_t size = digest_size(d->kind);

    if (is_hash(d->kind)) {
        CHECK(EVP_DigestFinal_ex(d->context, out, NULL) == 1);
        context_put(d->kind, d->context);
        d->context = NULL;
        return size;
    }
    for (size_t i = 0; i < size; i++) {
        out[i] = (uint8_t)(d->crc >> 8 * (size - 1 - i));
    }
    return size;
}

void digest_free(struct digest *d)
{
    if (d->context != NULL) {
        context_put(d->kind, d->context);
        d->context = NULL;
    }
}

static const char *const names[DIGEST_KINDS] = {"MD5",   "SHA1",   "SHA256",
                                                "CRC32", "CRC32C", "CRC64NVME"};

const char *digest_name(enum digest_kind kind)
{
    CHECK((unsigned)kind < DIGEST_KINDS);
    return names[kind];
}

bool digest_kind_parse(const char *name, enum digest_kind *out)
{
    for (int i = 0; i < DIGEST_KINDS; i++) {
        if (strcasecmp(name, names[i]) == 0) {
            *out = (enum digest_kind)i;
            return true;
        }
    }
    return false;
}

size_t digest_of(enum digest_kind kind, const void *p, size_t len,
                 uint8_t out[DIGEST_MAX])
{
    struct digest d;

    digest_init(&d, kind);
    digest_update(&d, p, len);
    return digest_final(&d, out);
}

/* ---- combining ----
 * The CRC of A B is the CRC of A carried over the bits of B, by multiplication
 * with x^(8 len) mod P in GF(2), plus that of B. The all-ones start and end of
 * these CRCs cancel out. */

static uint64_t gf2_multiply(uint64_t a, uint64_t b, uint64_t poly,
                             unsigned width)
{
    uint64_t top = (uint64_t)1 << (width - 1);
    uint64_t product = 0;

    for (; a != 0; a = a << 1 & (top | (top - 1))) {
        if (a & top) {
            product ^= b;
        }
        b = b >> 1 ^ ((b & 1) ? poly : 0);
    }
    return product;
}

void digest_crc_combine(enum digest_kind kind, const uint8_t *a,
                        const uint8_t *b, uint64_t b_len, uint8_t *out)
{
    static const uint64_t polys[DIGEST_KINDS] = {
        [DIGEST_CRC32] = 0xedb88320u,
        [DIGEST_CRC32C] = 0x82f63b78u,
        [DIGEST_CRC64NVME] = CRC64_POLY};
    size_t size = digest_size(kind);
    unsigned width = (unsigned)size * 8;
    uint64_t poly = polys[kind];
    uint64_t top = (uint64_t)1 << (width - 1);
    uint64_t shift = top;       /* x^0 */
    uint64_t square = top >> 8; /* x^8, one byte */
    uint64_t x = 0, y = 0;

    CHECK(poly != 0);
    for (size_t i = 0; i < size; i++) {
        x = x << 8 | a[i];
        y = y << 8 | b[i];
    }
    for (; b_len > 0; b_len >>= 1) {
        if (b_len & 1) {
            shift = gf2_multiply(shift, square, poly, width);
        }
        square = gf2_multiply(square, square, poly, width);
    }
    x = gf2_multiply(x, shift, poly, width) ^ y;
    for (size_t i = 0; i < size; i++) {
        out[i] = (uint8_t)(x >> 8 * (size - 1 - i));
    }
}

/* RFC 2104, on recycled contexts. */
void hmac_sha256(const void *key, size_t key_len, const void *p, size_t len,
                 uint8_t out[32])
{
    uint8_t block[64] = {0};
    uint8_t inner[DIGEST_MAX];
    struct digest d;

    if (key_len > sizeof block) {
        digest_of(DIGEST_SHA256, key, key_len, block);
    } else if (key_len > 0) {
        memcpy(block, key, key_len);
    }
    for (size_t i = 0; i < sizeof block; i++) {
        block[i] ^= 0x36;
    }
    digest_init(&d, DIGEST_SHA256);
    digest_update(&d, block, sizeof block);
    digest_update(&d, p, len);
    digest_final(&d, inner);
    for (size_t i = 0; i < sizeof block; i++) {
        block[i] ^= 0x36 ^ 0x5c;
    }
    digest_init(&d, DIGEST_SHA256);
    digest_update(&d, block, sizeof block);
    digest_update(&d, inner, 32);
    digest_final(&d, out);
    mem_wipe(block, sizeof block);
}
