/* bench_seal.c: sealing and opening, on libcrypto and on mbedtls.
 *
 * Linked twice: bench_seal (libcrypto) and bench_seal_mbed. Each line of JSON
 * is a rate on one core, the best of the rounds; the machine is shared:
 *
 *   plain     the bare AEAD over 1 MiB at a time: what the library can do
 *   seal      seal_writer over runs of 1 MiB; open: seal_reader
 *   age       age_writer
 *   object    400-byte objects, each with its own key of the ratchet
 *   segment   a header for one recipient made; root: opened
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "crypto/age.h"
#include "crypto/seal.h"

#define RUN ((size_t)1 << 20)
#define RUNS 32
#define ROUNDS 8
#define OBJECT 400
#define OBJECTS 20000

static uint8_t *in, *out;
static size_t sealed_len;
static struct seal_identity own;
static struct seal_recipient to;
static struct seal_segment *segment;

/* Each gives how much of its unit it did. */
typedef double (*work_f)(enum prim_algorithm algorithm);

static void measure(const char *name, const char *unit,
                    enum prim_algorithm algorithm, work_f work)
{
    double best = 0;

    for (int i = 0; i < ROUNDS; i++) {
        uint64_t start = clock_mono_us();
        double done = work(algorithm);
        double rate = done * 1e6 / (double)(clock_mono_us() - start);
        best = rate > best ? rate : best;
    }
    printf("{\"name\": \"%s\", \"algorithm\": \"%s\", \"%s\": %.0f}\n", name,
           algorithm == PRIM_AES_256_GCM ? "AES-256-GCM" : "ChaCha20-Poly1305",
           unit, best);
}

static void next_key(enum prim_algorithm algorithm, struct seal_key *key)
{
    if (seal_segment_next(segment, key, NULL) != 0) {
        seal_segment_free(segment);
        CHECK(seal_segment_new(&to, 1, algorithm, &segment, NULL) == 0);
        CHECK(seal_segment_next(segment, key, NULL) == 0);
    }
    key->algorithm = algorithm;
}

static double plain(enum prim_algorithm algorithm)
{
    static const uint8_t key[PRIM_KEY], nonce[PRIM_NONCE];
    struct prim_aead *a = prim_aead_new(algorithm, key);

    for (int i = 0; i < RUNS; i++) {
        prim_aead_seal(a, nonce, NULL, 0, in, RUN, out);
    }
    prim_aead_free(a);
    return RUNS * (double)RUN / 1e6;
}

static double seal(enum prim_algorithm algorithm)
{
    struct seal_writer *w = seal_writer_new();
    struct seal_key key;
    size_t at = 0, made;

    next_key(algorithm, &key);
    seal_writer_init(w, &key, 0);
    for (int i = 0; i < RUNS; i++) {
        CHECK(seal_writer_update(w, in, RUN, out + at, &made, NULL) == 0);
        at += made;
    }
    seal_writer_final(w, out + at, &made);
    sealed_len = at + made;
    seal_writer_free(w);
    return RUNS * (double)RUN / 1e6;
}

static double open_sealed(enum prim_algorithm algorithm)
{
    static uint8_t text[SEAL_OPEN_UPDATE_MAX(RUN)];
    struct seal_reader *r = seal_reader_new();
    struct seal_key key = {.algorithm = algorithm};
    size_t at = SEAL_SALT, made;

    memset(key.key, 7, sizeof key.key);
    seal_reader_init(r, &key, 0, out);
    while (at < sealed_len) {
        size_t n = RUN < sealed_len - at ? RUN : sealed_len - at;
        CHECK(seal_reader_update(r, out + at, n, text, &made, NULL) == 0);
        at += n;
    }
    CHECK(seal_reader_final(r, text, &made, NULL) == 0);
    seal_reader_free(r);
    return RUNS * (double)RUN / 1e6;
}

/* What open_sealed opens. */
static void seal_for_opening(enum prim_algorithm algorithm)
{
    struct seal_key key = {.algorithm = algorithm};

    memset(key.key, 7, sizeof key.key);
    sealed_len = (size_t)seal_body_size(RUNS * RUN);
    seal_body(&key, 0, in, RUNS * RUN, out);
}

static double age(enum prim_algorithm algorithm)
{
    struct age_writer *w;
    size_t at = 0, made;

    (void)algorithm;
    CHECK(age_writer_new(&to, 1, &w, NULL) == 0);
    for (int i = 0; i < RUNS; i++) {
        CHECK(age_writer_update(w, in, RUN, out + at, &made, NULL) == 0);
        at += made;
    }
    age_writer_final(w, out + at, &made);
    age_writer_free(w);
    return RUNS * (double)RUN / 1e6;
}

static double objects(enum prim_algorithm algorithm)
{
    for (int i = 0; i < OBJECTS; i++) {
        struct seal_key key;
        next_key(algorithm, &key);
        seal_body(&key, 0, in, OBJECT, out);
    }
    return OBJECTS;
}

static double segments(enum prim_algorithm algorithm)
{
    for (int i = 0; i < 100; i++) {
        seal_segment_free(segment);
        CHECK(seal_segment_new(&to, 1, algorithm, &segment, NULL) == 0);
    }
    return 100;
}

static double roots(enum prim_algorithm algorithm)
{
    struct seal_root root;
    size_t len;
    const uint8_t *header = seal_segment_header(segment, &len);

    (void)algorithm;
    for (int i = 0; i < 100; i++) {
        CHECK(seal_open_root(&own, header, len, &root, NULL) == 0);
    }
    return 100;
}

int main(void)
{
    static const enum prim_algorithm both[] = {PRIM_AES_256_GCM,
                                               PRIM_CHACHA20_POLY1305};

    in = mem_alloc(RUNS * RUN);
    out = mem_alloc((RUNS + 2) * (RUN + 4096));
    seal_identity_new(&own);
    seal_identity_recipient(&own, &to);
    for (size_t i = 0; i < 2; i++) {
        CHECK(seal_segment_new(&to, 1, both[i], &segment, NULL) == 0);
        measure("plain", "mb_per_s", both[i], plain);
        measure("seal", "mb_per_s", both[i], seal);
        seal_for_opening(both[i]);
        measure("open", "mb_per_s", both[i], open_sealed);
        measure("object", "per_s", both[i], objects);
        measure("segment", "per_s", both[i], segments);
        measure("root", "per_s", both[i], roots);
        seal_segment_free(segment);
    }
    measure("age", "mb_per_s", PRIM_CHACHA20_POLY1305, age);
    free(in);
    free(out);
    return 0;
}
