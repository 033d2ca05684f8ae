/* age.h: standard age files to and from X25519 keys.
 *
 * What "age -r age1..." writes and "age -d -i FILE" opens, as a stream. Other
 * kinds of recipients in a file (ssh, plugins) are passed over; a file by
 * passphrase (scrypt) is refused. Armor is not read.
 *
 *     age-encryption.org/v1\n
 *     -> X25519 <enc>\n<sealed file key>\n      for each recipient
 *     --- <HMAC of all before the blank>\n
 *     16 bytes nonce, then chunks (crypto/chunks.h, ChaCha20-Poly1305)
 *
 * Source: C2SP "age-encryption.org/v1" (c2sp.org/age).
 * Threads: a writer and a reader belong to their caller.
 */
#ifndef GODWIT_CRYPTO_AGE_H
#define GODWIT_CRYPTO_AGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/chunks.h"
#include "crypto/seal_key.h"

struct err;

#define AGE_RECIPIENTS_MAX SEAL_RECIPIENTS_MAX
#define AGE_NONCE 16
/* First line, stanzas, MAC line, nonce of a file with @n recipients. */
#define AGE_OPENING(n) (22 + (size_t)(n) * (54 + 44) + 48 + AGE_NONCE)
#define AGE_OPENING_MAX AGE_OPENING(AGE_RECIPIENTS_MAX)
/* A header that is read: room for a hundred X25519 stanzas, or ten post-quantum
 * ones. */
#define AGE_HEADER_MAX 16384

/* It begins like an age file; 21 bytes tell. */
bool age_is_file(const void *p, size_t len);
/* Bytes of a file with @recipients for a text of @size. */
uint64_t age_file_size(size_t recipients, uint64_t size);

struct age_writer;
/* ERR_BAD_INPUT: no recipient, too many, or a key of low order. */
int age_writer_new(const struct seal_recipient *recipients, size_t count,
                   struct age_writer **out, struct err *err);
void age_writer_free(struct age_writer *w); /* wipes; NULL is nothing */
#define AGE_UPDATE_MAX(len) (AGE_OPENING_MAX + CHUNK_UPDATE_MAX(len))
#define AGE_FINAL_MAX (AGE_OPENING_MAX + CHUNK_SEALED)
/* As chunk_writer_*. */
int age_writer_update(struct age_writer *w, const void *in, size_t len,
                      uint8_t *out, size_t *out_len, struct err *err);
void age_writer_final(struct age_writer *w, uint8_t *out, size_t *out_len);

struct age_reader;
struct age_reader *age_reader_new(const struct seal_identity *identities,
                                  size_t count); /* copies */
void age_reader_free(struct age_reader *r);      /* wipes; NULL is nothing */
/* As chunk_reader_*, and for the header ERR_CORRUPT (also too long),
 * ERR_VERSION, ERR_DENIED (for none of the identities), ERR_MISMATCH (its
 * HMAC). */
int age_reader_update(struct age_reader *r, const void *in, size_t len,
                      uint8_t *out, size_t *out_len, struct err *err);
int age_reader_final(struct age_reader *r, uint8_t *out, size_t *out_len,
                     struct err *err);

#endif
