/* root_key.h: the key that wraps the master keys, in a file of its own.
 *
 * 32 random bytes as 64 hex digits and a newline, mode 0600. Who has it and the
 * catalogue has the master keys; either alone opens nothing, so the file is
 * never part of a backup of the catalogue.
 *
 * Threads: any.
 */
#ifndef GODWIT_CRYPTO_ROOT_KEY_H
#define GODWIT_CRYPTO_ROOT_KEY_H

#include <stdint.h>

struct err;

#define ROOT_KEY 32

/* ERR_NOT_FOUND; ERR_CORRUPT: it is no such file. The caller wipes @out. */
int root_key_load(const char *path, uint8_t out[ROOT_KEY], struct err *err);
int root_key_save(const char *path, const uint8_t key[ROOT_KEY],
                  struct err *err);

#endif
