/* shard_wire.h: the shard protocol as bytes, both ways.
 *
 * A question is a frame of net/ (service NET_SHARD) whose type is the verb,
 * whose head stands below and whose body is a shard's bytes (PUT only). The
 * answer has a head of its own and a body (GET only). docs/WIRE.md, "Shard
 * protocol", gives both by offset. Each head ends in its CRC32C, and bodies go
 * with a CRC32C in the head: made where the bytes are given and checked where
 * they are used, whatever carries them between.
 *
 * Decoders bound each field and say which one is wrong: ERR_VERSION,
 * ERR_CORRUPT (the head's checksum), ERR_BAD_INPUT (all else).
 *
 * Threads: any.
 */
#ifndef GODWIT_NODE_SHARD_WIRE_H
#define GODWIT_NODE_SHARD_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/shard_store.h"

struct buf;
struct err;

#define SHARD_WIRE_VERSION 1

enum shard_verb {
    SHARD_PUT = 1,
    SHARD_GET = 2,
    SHARD_DELETE = 3,
    SHARD_STAT = 4,
    SHARD_LIST = 5,
    SHARD_STATS = 6,  /* of all drives of the server */
    SHARD_VERIFY = 7, /* read one whole and check it */
};
#define SHARD_VERBS 8

#define SHARD_LIST_MAX 1024 /* shards in one answer */
#define SHARD_STATS_MAX 256 /* drives in one answer */
#define SHARD_ANY_GROUP UINT32_MAX

/* ---- questions ---- */

#define SHARD_ASK_BYTES_MAX 40

struct shard_ask {
    enum shard_verb verb;
    uint16_t drive;       /* not of STATS */
    struct shard_key key; /* LIST: what to begin after */
    bool from_start;      /* LIST: with the first of all, no key */
    uint32_t group;       /* PUT; LIST: only its shards, or SHARD_ANY_GROUP */
    uint32_t offset;      /* GET */
    uint32_t length;      /* PUT, GET */
    uint32_t body_crc;    /* PUT: CRC32C of the body */
    uint16_t max;         /* LIST: 1..SHARD_LIST_MAX */
};

/* Gives the length. */
size_t shard_ask_encode(const struct shard_ask *a,
                        uint8_t out[SHARD_ASK_BYTES_MAX]);
/* @type is the frame's. */
int shard_ask_decode(uint8_t type, const void *p, size_t len,
                     struct shard_ask *out, struct err *err);
/* Is the body what the question says? ERR_BAD_INPUT: of another length;
 * ERR_MISMATCH: another checksum. */
int shard_ask_check_body(const struct shard_ask *a, const void *body,
                         size_t len, struct err *err);
/* "put", "get", ...; "?" for none. */
const char *shard_verb_name(uint8_t verb);

/* ---- answers; those of PUT and DELETE have no head ---- */

#define SHARD_GOT_BYTES 20
#define SHARD_INFO_BYTES 36

/* Of GET. */
struct shard_got {
    uint32_t group;
    uint32_t length; /* of the whole shard */
    uint32_t body_crc;
};
void shard_got_encode(const struct shard_got *g, uint8_t out[SHARD_GOT_BYTES]);
int shard_got_decode(const void *p, size_t len, struct shard_got *out,
                     struct err *err);

/* Of STAT and VERIFY. */
void shard_info_encode(enum shard_verb verb, const struct shard_info *i,
                       uint8_t out[SHARD_INFO_BYTES]);
int shard_info_decode(enum shard_verb verb, const void *p, size_t len,
                      struct shard_info *out, struct err *err);

/* Of LIST. A page may be short, even empty, before the end: the next one
 * begins after @last. */
struct shard_page {
    bool end;
    struct shard_key last; /* looked at; of no meaning at the end */
    uint16_t count;
    struct shard_info *shards; /* count of them */
};
void shard_page_encode(const struct shard_page *l, struct buf *out);
/* Into @shards, which has room for @max. */
int shard_page_decode(const void *p, size_t len, struct shard_info *shards,
                      uint16_t max, struct shard_page *out, struct err *err);

/* Of STATS. */
void shard_stats_encode(const struct shard_store_stats *drives, size_t count,
                        struct buf *out);
/* Give *@drives, *@count of them; free(). */
int shard_stats_decode(const void *p, size_t len,
                       struct shard_store_stats **drives, size_t *count,
                       struct err *err);

#endif
