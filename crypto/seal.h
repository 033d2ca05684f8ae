/* seal.h: objects sealed so that only their recipients open them.
 *
 * The text is cut into segments of SEAL_CHUNK bytes, each sealed with its own
 * nonce (the construction of Tink's AES-GCM-HKDF streaming), so ranges open by
 * themselves, and a text that was cut, reordered or mixed does not open. An
 * envelope is self-contained: a store keeps it as one object and knows nothing.
 *
 *     envelope = head, segment header (crypto/seal_key.h), body
 *     head     0  4  "GWSE"
 *              4  1  version, 1
 *              5  1  flags: SEAL_FLAG_*
 *              6  2  H, bytes of the segment header
 *              8  4  link number
 *     body     16 bytes salt, then each chunk followed by its 16-byte tag
 *
 *     key (32), prefix (7) = HKDF(key i, salt, "godwit seal 1 body" || flags)
 *     nonce = prefix, u32 big-endian chunk number, 1 byte: 1 for the last
 *
 * All chunks but the last have SEAL_CHUNK bytes; the last is empty only when
 * the text is. So an envelope for one recipient is 124 bytes longer than its
 * text and 16 more for each 64 KiB begun (at least one). Who stores many bodies
 * of one segment may keep the header once: any joint of head, header and body
 * made later is the same envelope.
 *
 * Not sealed: length (but for compression), recipients' ids, and the name that
 * an object is stored under.
 *
 * Threads: a writer and a reader belong to their caller.
 */
#ifndef GODWIT_CRYPTO_SEAL_H
#define GODWIT_CRYPTO_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/chunks.h"
#include "crypto/seal_key.h"

struct err;

#define SEAL_CHUNK CHUNK
#define SEAL_CHUNK_SEALED CHUNK_SEALED
#define SEAL_SALT 16
#define SEAL_HEAD 12
#define SEAL_OPENING_MAX (SEAL_HEAD + SEAL_HEADER_MAX + SEAL_SALT)
#define SEAL_CHUNKS_MAX CHUNKS_MAX

#define SEAL_FLAG_ZSTD 1u /* the text is a zstd frame */
#define SEAL_FLAGS_KNOWN SEAL_FLAG_ZSTD

/* Bytes of the body for a text of @size, salt included. */
uint64_t seal_body_size(uint64_t size);
/* The reverse; ERR_CORRUPT when no text has such a body. */
int seal_text_size(uint64_t body_size, uint64_t *out, struct err *err);

/* ---- sealing ---- */

/* Write head and segment header of an envelope; gives their length, at most
 * SEAL_HEAD + SEAL_HEADER_MAX. */
size_t seal_head_write(uint8_t flags, uint32_t link, const void *header,
                       size_t header_len, uint8_t *out);

/* A whole text at hand: @out gets seal_body_size(@len) bytes and may not
 * overlap @in. Wipes @key. */
void seal_body(struct seal_key *key, uint8_t flags, const void *in, size_t len,
               uint8_t *out);

/* A text that comes in runs of any length, its size unknown. One writer serves
 * many objects, one after the other; nothing is allocated but by new. */
struct seal_writer;
struct seal_writer *seal_writer_new(void);
void seal_writer_free(struct seal_writer *w); /* wipes; NULL is nothing */
/* Begin a body; wipes @key. What was not ended is dropped. */
void seal_writer_init(struct seal_writer *w, struct seal_key *key,
                      uint8_t flags);
/* Room that seal_writer_update with @len bytes may need. */
#define SEAL_UPDATE_MAX(len) (SEAL_SALT + CHUNK_UPDATE_MAX(len))
#define SEAL_FINAL_MAX (SEAL_SALT + SEAL_CHUNK_SEALED)
/* Both give the bytes written to @out, which does not overlap @in.
 * ERR_LIMIT: over SEAL_CHUNKS_MAX (256 TiB). */
int seal_writer_update(struct seal_writer *w, const void *in, size_t len,
                       uint8_t *out, size_t *out_len, struct err *err);
/* Seal the last chunk and wipe the key. */
void seal_writer_final(struct seal_writer *w, uint8_t *out, size_t *out_len);

/* ---- opening ---- */

struct seal_head {
    uint8_t flags;
    uint32_t link;
    const uint8_t *header; /* in the input */
    size_t header_len;
    size_t size; /* of head and header: the body follows */
};
/* It begins like an envelope; 4 bytes tell. */
bool seal_is_envelope(const void *p, size_t len);
/* From the first @len bytes of an envelope; SEAL_HEAD + SEAL_HEADER_MAX are
 * always enough. Borrows from @p. ERR_CORRUPT, ERR_VERSION, ERR_UNSUPPORTED. */
int seal_head_parse(const void *p, size_t len, struct seal_head *out,
                    struct err *err);

/* A body, or a range of it, that comes in runs of any length. */
struct seal_reader;
struct seal_reader *seal_reader_new(void);
void seal_reader_free(struct seal_reader *r); /* wipes; NULL is nothing */
/* Begin a body with @salt, its first SEAL_SALT bytes; wipes @key. */
void seal_reader_init(struct seal_reader *r, struct seal_key *key,
                      uint8_t flags, const uint8_t salt[SEAL_SALT]);
/* Only bytes [@offset, @offset + @len) of the text, @len > 0, of a body of
 * @body_size bytes: the caller feeds bytes [*from, *to) of the body.
 * ERR_RANGE: not in the text. Right after init. */
int seal_reader_range(struct seal_reader *r, uint64_t body_size,
                      uint64_t offset, uint64_t len, uint64_t *from,
                      uint64_t *to, struct err *err);
#define SEAL_OPEN_UPDATE_MAX(len) CHUNK_OPEN_UPDATE_MAX(len)
/* Feed what follows the salt. Writes only what is proved genuine; that the text
 * is whole is proved by final alone. @out does not overlap @in. ERR_MISMATCH:
 * changed, reordered, of another object, or longer than sealed; the reader then
 * fails for good. */
int seal_reader_update(struct seal_reader *r, const void *in, size_t len,
                       uint8_t *out, size_t *out_len, struct err *err);
/* The rest, at most SEAL_CHUNK bytes. ERR_MISMATCH: as above, or cut. */
int seal_reader_final(struct seal_reader *r, uint8_t *out, size_t *out_len,
                      struct err *err);

/* A whole envelope as it comes, by the first of @count identities that it is
 * sealed to. */
struct seal_opener;
struct seal_opener *seal_opener_new(const struct seal_identity *identities,
                                    size_t count); /* copies */
void seal_opener_free(struct seal_opener *o);      /* wipes */
/* As seal_reader_*, and what seal_head_parse and seal_open_root give. */
int seal_opener_update(struct seal_opener *o, const void *in, size_t len,
                       uint8_t *out, size_t *out_len, struct err *err);
int seal_opener_final(struct seal_opener *o, uint8_t *out, size_t *out_len,
                      struct err *err);
/* Flags of the envelope, once any text came or final succeeded. */
uint8_t seal_opener_flags(const struct seal_opener *o);

#endif
