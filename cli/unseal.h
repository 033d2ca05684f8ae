/* unseal.h: sealed bytes in, text out, whatever way they were sealed.
 *
 * Envelopes (crypto/seal.h) and age files (crypto/age.h) are told apart by
 * their first bytes. Bytes that are neither are refused: who asks for opening
 * must not be given what a store put in the place of a sealed object.
 *
 * An identity file has an identity a line; blank lines and lines that begin
 * with '#' are passed over, as age-keygen writes it.
 *
 * Threads: one at a time.
 */
#ifndef GODWIT_CLI_UNSEAL_H
#define GODWIT_CLI_UNSEAL_H

#include <stddef.h>

struct err;
struct seal_identity;
struct seal_names;
struct unseal;

#define UNSEAL_IDENTITIES_MAX 64

struct unseal_identities {
    struct seal_identity *items;
    size_t count;
};

/* ERR_BAD_INPUT names file and line. */
int unseal_read_identities(const char *path, struct unseal_identities *out,
                           struct err *err);
void unseal_identities_free(struct unseal_identities *i); /* wipes */

/* The names key of the first identity in a file (crypto/seal_name.h); the
 * caller wipes it. */
int unseal_read_names(const char *path, struct seal_names *out,
                      struct err *err);
/* A sealed name; free(). ERR_LIMIT. */
int unseal_name(const struct seal_names *n, const char *name, char **out,
                struct err *err);

/* @sink hears the text in order; what it returns ends the opening. */
struct unseal *unseal_new(const struct unseal_identities *identities,
                          int (*sink)(void *arg, const void *p, size_t len,
                                      struct err *err),
                          void *arg);
void unseal_free(struct unseal *u); /* wipes; NULL is nothing */
/* ERR_BAD_INPUT: not sealed; ERR_DENIED: not to these identities; ERR_MISMATCH:
 * changed or cut; others of crypto/seal.h and crypto/age.h. */
int unseal_update(struct unseal *u, const void *p, size_t len, struct err *err);
/* Only now is it known that the text is whole. */
int unseal_final(struct unseal *u, struct err *err);

#endif
