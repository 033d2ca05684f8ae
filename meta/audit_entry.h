/* audit_entry.h: one entry of the audit log: its bytes, its hash, its line.
 *
 * An entry tells of one decision on access, or of one change of what such
 * decisions go by. The bytes that are hashed, little-endian:
 *
 *     0   u64   number, from 1 without a gap
 *     8   u64   cluster time in ms; 0: not told yet
 *     16  u8    1, the format of what follows
 *     17  u8    kind, of enum audit_kind
 *     18  u8    1: it was denied
 *     19  u8    rule, of enum audit_rule
 *     20  u16   HTTP status; 0: none
 *     22  u32   server; 0: alone
 *     26  u64   time in ms by the clock of who asked the catalogue
 *     34  u64   version of the object; 0: none was named
 *     42  u64   device; 0: none
 *     50  u64   count, of LOST and CUT
 *     58        for each of AUDIT_TEXTS in order: u16 length, UTF-8
 *
 *     hash = SHA-256(hash of the entry before || these bytes); before the
 *            first: 32 zeros
 *
 * A gateway proposes what begins at 16 (a draft); apply puts number and time
 * in front. Exported, an entry is a line of JSON with all of this, and there
 * is one line only that it can be: audit_line_read refuses any other.
 *
 * Threads: any; no state.
 */
#ifndef GODWIT_META_AUDIT_ENTRY_H
#define GODWIT_META_AUDIT_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

#define AUDIT_HASH 32
#define AUDIT_KEY 32       /* bytes of a public key that signs */
#define AUDIT_SIGNATURE 64 /* Ed25519 */
#define AUDIT_HEAD 16      /* number and cluster time */

/* X(name, wire value, text) */
#define AUDIT_KIND_TABLE(X)                                                 \
    X(DECISION, 1, "decision") /* on a request */                           \
    X(CHANGE, 2, "change")     /* made, in the same transaction */          \
    X(LOST, 3, "lost")         /* count decisions that a gateway dropped */ \
    X(CUT, 4, "cut")           /* all up to number count were removed */

/* By what it was decided. */
#define AUDIT_RULE_TABLE(X)                                               \
    X(NONE, 0, "")                                                        \
    X(ROOT, 1, "root")                                                    \
    X(USER_POLICY, 2, "user policy")                                      \
    X(BUCKET_POLICY, 3, "bucket policy")                                  \
    X(OWNER, 4, "owner")                                                  \
    X(BUCKET_ACL, 5, "bucket acl")                                        \
    X(OBJECT_ACL, 6, "object acl")                                        \
    X(SIGNATURE, 7, "signature") /* or key, time or token are not good */ \
    X(LOCK, 8, "lock")                                                    \
    X(BLOCK, 9, "public access block")                                    \
    X(NOBODY, 10, "no rule allows") /* and none denies */                 \
    X(OTHER, 11, "other")                                                 \
    X(SESSION_POLICY, 12, "session policy")

/* X(name, json, bytes at most) */
#define AUDIT_TEXTS(X)               \
    X(REQUEST, "request", 32)        \
    X(OPERATION, "operation", 64)    \
    X(USER, "user", 192)             \
    X(ACCESS_KEY, "access_key", 128) \
    X(ADDRESS, "address", 64)        \
    X(BUCKET, "bucket", 63)          \
    X(KEY, "key", 1024)              \
    X(DETAIL, "detail", 512)

enum audit_kind {
#define X(name, value, text) AUDIT_##name = value,
    AUDIT_KIND_TABLE(X)
#undef X
};

enum audit_rule {
#define X(name, value, text) AUDIT_BY_##name = value,
    AUDIT_RULE_TABLE(X)
#undef X
};

enum audit_text {
#define X(name, json, max) AUDIT_TEXT_##name,
    AUDIT_TEXTS(X)
#undef X
        AUDIT_TEXT_COUNT
};

#define AUDIT_DRAFT_MAX (42 + 16 + 32 + 64 + 192 + 128 + 64 + 63 + 1024 + 512)

/* How much is told of decisions; changes always are. */
enum audit_level {
    AUDIT_LEVEL_NONE,
    AUDIT_LEVEL_DENIED,
    AUDIT_LEVEL_WRITES, /* and what was denied */
    AUDIT_LEVEL_ALL,
    AUDIT_LEVELS
};
const char *audit_level_name(enum audit_level l);
bool audit_level_parse(const char *name, enum audit_level *out);

/* Of the whole store. */
struct audit_settings {
    uint8_t level;    /* of enum audit_level */
    bool hash_keys;   /* of objects: "sha256:" and 64 hex, of "bucket/key" */
    uint64_t keep_ms; /* 0: for ever */
};

struct audit_bytes {
    const char *p; /* not terminated */
    size_t len;
};

struct audit_entry {
    uint64_t number, clock_ms;
    uint64_t time_ms;
    enum audit_kind kind;
    bool denied;
    enum audit_rule rule;
    uint16_t status;
    uint32_t server;
    uint64_t version, device, count;
    struct audit_bytes text[AUDIT_TEXT_COUNT];
};

/* Borrowed; what is too long is cut, and what is no UTF-8 becomes "?". */
void audit_set_text(struct audit_entry *e, enum audit_text which,
                    const char *s);
void audit_set_bytes(struct audit_entry *e, enum audit_text which,
                     const void *p, size_t len);

/* Append the bytes from 16 on. */
void audit_draft_put(struct buf *out, const struct audit_entry *e);
/* Read them; @out borrows. ERR_CORRUPT says where. */
int audit_draft_read(const void *p, size_t len, struct audit_entry *out,
                     struct err *err);
/* All bytes, as they are hashed. */
int audit_entry_read(const void *p, size_t len, struct audit_entry *out,
                     struct err *err);
/* @hash becomes that of the entry of @len bytes behind it. */
void audit_chain(uint8_t hash[AUDIT_HASH], const void *p, size_t len);
/* What stands for a key when keys are not told; @out has 72 bytes. */
void audit_hash_key(const char *bucket, size_t bucket_len, const char *key,
                    size_t key_len, char out[72]);

/* ---- lines ---- */

struct audit_checkpoint {
    uint64_t number; /* of the entry that it is of; 0: of none yet */
    uint64_t clock_ms;
    uint32_t server; /* that signed it */
    uint8_t hash[AUDIT_HASH];
    uint8_t key[AUDIT_KEY];
    uint8_t signature[AUDIT_SIGNATURE];
};

#define AUDIT_SIGNED (26 + 16 + 8 + 8 + 4 + AUDIT_HASH)
/* What is signed: "godwit audit checkpoint 1\0", cluster, number, time, server,
 * hash. */
void audit_checkpoint_text(const struct audit_checkpoint *c,
                           const uint8_t cluster[16],
                           uint8_t out[AUDIT_SIGNED]);

/* A line with its newline. */
void audit_line_head(struct buf *out, const uint8_t cluster[16]);
void audit_line_entry(struct buf *out, const struct audit_entry *e,
                      const uint8_t hash[AUDIT_HASH]);
void audit_line_checkpoint(struct buf *out, const struct audit_checkpoint *c);

struct audit_line {
    enum { AUDIT_LINE_HEAD, AUDIT_LINE_ENTRY, AUDIT_LINE_CHECKPOINT } kind;
    uint8_t cluster[16];
    struct buf *bytes; /* of an entry, as they are hashed */
    uint8_t hash[AUDIT_HASH];
    struct audit_entry entry; /* borrows from bytes */
    struct audit_checkpoint checkpoint;
};
/* Read a line of @len bytes, its newline not among them, into @out, whose bytes
 * the caller has set to a buf. ERR_CORRUPT: it is none, or not written as it
 * would be by the functions above. */
int audit_line_read(const char *line, size_t len, struct audit_line *out,
                    struct err *err);

#endif
