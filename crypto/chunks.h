/* chunks.h: a long text sealed in chunks, as it comes.
 *
 * Chunks of CHUNK bytes, each with its tag; the last is empty only when the
 * text is. nonce = 7 bytes of prefix, u32 big-endian chunk number, 1 byte that
 * is 1 for the last. With a prefix of zeros that is the payload of age; with
 * one of its own, Tink's streaming: crypto/seal.c and crypto/age.c stand on it.
 *
 * The writer holds back what may be the last chunk, the reader, too; nothing is
 * allocated for a chunk. In all functions @out does not overlap @in.
 *
 * Threads: a writer and a reader belong to their caller.
 */
#ifndef GODWIT_CRYPTO_CHUNKS_H
#define GODWIT_CRYPTO_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/prim.h"

struct err;

#define CHUNK ((size_t)65536)
#define CHUNK_SEALED (CHUNK + PRIM_TAG)
#define CHUNK_PREFIX 7
#define CHUNKS_MAX UINT32_MAX

/* The key of a text; the caller wipes it. */
struct chunk_key {
    enum prim_algorithm algorithm;
    uint8_t key[PRIM_KEY];
    uint8_t prefix[CHUNK_PREFIX];
};

/* Chunks of a text, sealed bytes of a text, and the reverse: ERR_CORRUPT when
 * no text has so many. */
uint64_t chunks_count(uint64_t size);
uint64_t chunks_sealed_size(uint64_t size);
int chunks_text_size(uint64_t sealed_size, uint64_t *out, struct err *err);

/* A whole text: @out gets chunks_sealed_size(@len) bytes. */
void chunks_seal(const struct chunk_key *key, const void *in, size_t len,
                 uint8_t *out);

struct chunk_writer;
struct chunk_writer *chunk_writer_new(void);
void chunk_writer_free(struct chunk_writer *w); /* wipes; NULL is nothing */
/* Begin a text; what was not ended is dropped. */
void chunk_writer_init(struct chunk_writer *w, const struct chunk_key *key);
#define CHUNK_UPDATE_MAX(len) (((len) / CHUNK + 1) * CHUNK_SEALED)
/* Both give the bytes written. ERR_LIMIT: over CHUNKS_MAX. */
int chunk_writer_update(struct chunk_writer *w, const void *in, size_t len,
                        uint8_t *out, size_t *out_len, struct err *err);
/* Up to CHUNK_SEALED bytes; forgets the key. */
void chunk_writer_final(struct chunk_writer *w, uint8_t *out, size_t *out_len);

struct chunk_reader;
struct chunk_reader *chunk_reader_new(void);
void chunk_reader_free(struct chunk_reader *r); /* wipes; NULL is nothing */
void chunk_reader_init(struct chunk_reader *r, const struct chunk_key *key);
/* Only bytes [@offset, @offset + @len) of the text, @len > 0: the caller feeds
 * bytes [*from, *to) of the @sealed_size. ERR_RANGE: not in the text;
 * ERR_CORRUPT. Right after init. */
int chunk_reader_range(struct chunk_reader *r, uint64_t sealed_size,
                       uint64_t offset, uint64_t len, uint64_t *from,
                       uint64_t *to, struct err *err);
#define CHUNK_OPEN_UPDATE_MAX(len) (((len) / CHUNK_SEALED + 1) * CHUNK)
/* ERR_MISMATCH: changed, reordered, cut, or longer than sealed; the reader then
 * fails for good. */
int chunk_reader_update(struct chunk_reader *r, const void *in, size_t len,
                        uint8_t *out, size_t *out_len, struct err *err);
/* Up to CHUNK bytes; forgets the key. */
int chunk_reader_final(struct chunk_reader *r, uint8_t *out, size_t *out_len,
                       struct err *err);

#endif
