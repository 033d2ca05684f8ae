/* master_keys.h: the keys that wrap the data keys of objects.
 *
 * A master key has a name and numbers 1, 2, ...: the newest wraps, all open.
 * They are in the catalogue, wrapped by the root key (crypto/root_key.h), which
 * is not: DATA/master.key, or the file of --master-key. "s3" is the name behind
 * x-amz-server-side-encryption: AES256 and behind aws:kms without a key id.
 *
 *     in the catalogue   12 bytes nonce, 32 bytes sealed, 16 bytes tag;
 *                        AES-256-GCM by the root key, with "godwit master key
 *                        1", name, NUL and u32 big-endian number as AD
 *     a data key         16 bytes object id, 32 bytes sealed, 16 bytes tag;
 *                        AES-256-GCM by HKDF-SHA256(master key, object id,
 *                        "godwit object key 1"), nonce 0, with name, NUL and
 *                        u32 big-endian number as AD
 *
 * The object id is random and new whenever a key is wrapped, so a derived key
 * seals once and there is no bound on how many a master key wraps.
 *
 * Read from this server's copy of the catalogue and kept opened until
 * meta_access_revision changes. Threads: any; those that say so may wait.
 */
#ifndef GODWIT_GATEWAY_MASTER_KEYS_H
#define GODWIT_GATEWAY_MASTER_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/command.h"

struct buf;
struct err;
struct gateway;
struct master_keys;

#define MASTER_KEY 32
#define MASTER_ID 16
#define MASTER_WRAPPED (MASTER_ID + MASTER_KEY + 16)
#define MASTER_S3 "s3" /* the name behind AES256 */

struct master_keys *master_keys_new(void);
void master_keys_free(struct master_keys *k); /* wipes; NULL is nothing */

/* Where the root key is; free(). */
char *master_keys_path(const struct gateway *g);
/* Read the root key; with @make one that is missing is made, unless an operator
 * named the file. None is no error: then nothing is wrapped or opened. */
int master_keys_load(struct gateway *g, bool make, struct err *err);
/* ROOT_KEY bytes, or NULL. */
const uint8_t *master_keys_root(const struct gateway *g);
/* The catalogue answers: see that there is "s3", and say in the log when the
 * root key does not open what is there. Waits. */
void master_keys_begin(struct gateway *g);

/* Letters, digits and -_./ ; 1 to META_MASTER_NAME_MAX. */
bool master_key_name_valid(const char *name);

/* Wrap and open a data key. ERR_NOT_FOUND: no such name or number; ERR_DENIED:
 * it is disabled; ERR_UNAVAILABLE: there is no root key here, or another one
 * than what wrapped it; ERR_MISMATCH: what was wrapped is damaged. @wait: what
 * this copy of the catalogue does not have is asked of the others, and "s3" is
 * made when it is missing. */
int master_keys_wrap(struct gateway *g, const char *name, bool wait,
                     const uint8_t key[MASTER_KEY], uint32_t *number,
                     uint8_t out[MASTER_WRAPPED], struct err *err);
int master_keys_open(struct gateway *g, const char *name, uint32_t number,
                     bool wait, const uint8_t wrapped[MASTER_WRAPPED],
                     uint8_t key[MASTER_KEY], struct err *err);
/* Is there such a name, not disabled? As above. */
int master_keys_check(struct gateway *g, const char *name, bool wait,
                      struct err *err);

/* ---- administration; these wait ---- */

/* A new name, or (@rotate) a new number of one. ERR_EXISTS, ERR_NOT_FOUND,
 * ERR_DENIED, ERR_LIMIT, ERR_UNAVAILABLE. */
int master_keys_add(struct gateway *g, const char *name, bool rotate,
                    uint32_t *number, struct err *err);
int master_keys_disable(struct gateway *g, const char *name, bool disabled,
                        struct err *err);

#endif
