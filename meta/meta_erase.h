/* meta_erase.h: what was asked to be erased, and what came of it.
 *
 * A request goes over what its bucket has in passes (command_erase_some). What
 * is held or retained when a pass comes by blocks it; the next pass looks
 * again. When a pass has ended, each server sees that nothing of what was
 * erased is left in its log, its database and their spares, and says up to
 * which index of the log that is so (table erase_clean).
 *
 * Threads: any.
 */
#ifndef GODWIT_META_META_ERASE_H
#define GODWIT_META_META_ERASE_H

#include <stddef.h>
#include <stdint.h>

#include "meta/command.h"

struct err;
struct meta;

#define META_ERASE_DIGEST 32

enum meta_erase_state { /* kept in rows */
                        META_ERASE_RUNNING = 1,
                        META_ERASE_BLOCKED, /* the last pass left something */
                        META_ERASE_DONE,
                        META_ERASE_CANCELLED,
};

struct meta_erase {
    uint64_t id; /* 1, 2, ... */
    char *bucket;
    enum meta_erase_selector selector;
    char *key; /* as in struct command_erase, as the next */
    uint64_t version;
    char *field, *value, *reason, *by;
    uint64_t created_ms;
    enum meta_erase_state state;
    uint64_t versions, keys; /* erased, and keys destroyed with them */
    uint64_t bytes;
    uint64_t held, retained; /* what the last pass left */
    uint64_t until_ms;       /* when the first retention of those ends; 0 */
    /* SHA-256 of the digest before (zeros at first), u16 length and bytes of
     * the key, u64 version, u64 size, u16 length and bytes of the ETag and u8
     * how; little-endian; a link for each version that was erased. */
    uint8_t digest[META_ERASE_DIGEST];
    uint64_t done_ms; /* by the cluster's time; 0 */
    uint64_t entry;   /* index of the log where it erased last; 0 */
};
void meta_erase_free(struct meta_erase *e);

/* ERR_NOT_FOUND. */
int meta_erase_get(struct meta *m, uint64_t id, struct meta_erase *out,
                   struct err *err);
/* Up to @max with ids above @after, in order; meta_erase_free each, free(). */
int meta_erase_list(struct meta *m, uint64_t after, size_t max,
                    struct meta_erase **out, size_t *count, struct err *err);

/* The same of those that are running or blocked, from the first on. */
int meta_erase_pending(struct meta *m, size_t max, struct meta_erase **out,
                       size_t *count, struct err *err);

struct meta_erased {
    char *key;
    uint64_t version, size_bytes;
    char etag[META_ETAG_MAX + 1];
    enum meta_erased_how how;
};
/* What a request erased, in order: its first META_ERASE_LISTED_MAX versions.
 * meta_erased_free. */
int meta_erased_list(struct meta *m, uint64_t id, struct meta_erased **out,
                     size_t *count, struct err *err);
void meta_erased_free(struct meta_erased *list, size_t count);

struct meta_erase_clean {
    uint32_t server;
    uint64_t upto; /* index of the log */
};
/* free(). A server that is not here has never said anything. */
int meta_erase_cleaned(struct meta *m, struct meta_erase_clean **out,
                       size_t *count, struct err *err);

/* The index up to which this member has no trace left, 0 before the first
 * erasure; and what it is to have none of. */
void meta_erase_own(struct meta *m, uint64_t *clean, uint64_t *wanted);

#endif
