/* command.h: what can be asked of the catalogue, as bytes.
 *
 * A command carries everything that apply needs: ids and times are made by the
 * proposer, conditions travel inside and are judged in apply, so that the same
 * log gives the same bytes everywhere. docs/DISK.md gives the encoding by
 * offset. Up to COMMAND_BATCH_MAX commands are one log entry.
 *
 * attrs are the object's headers in the gateway's own encoding; the catalogue
 * keeps them and never looks inside.
 *
 * Encoders append one command to a buf. Text arguments are NUL-terminated;
 * keys are 1..1024 bytes of UTF-8 without NUL.
 * Threads: any.
 */
#ifndef GODWIT_META_COMMAND_H
#define GODWIT_META_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/audit_entry.h"

struct buf;
struct err;

#define META_KEY_MAX 1024
#define META_BUCKET_MAX 63
#define META_ATTRS_MAX (16 << 10)
#define META_INLINE_MAX 4096 /* bytes of an object kept in its row */
#define META_ETAG_MAX 64
#define META_PARTS_MAX 10000
#define META_DELETE_MAX 1000
#define META_COMMAND_MAX (16 << 20)
#define META_CONFIG_MAX (64 << 10) /* of one kind, of a bucket */
#define META_UPLOAD_ID 16          /* bytes */
#define META_TAGS_MAX (16 << 10)   /* of one object, in the gateway's coding */

#define META_USER_MAX 64
#define META_USER_POLICY_MAX (20 << 10)
#define META_ACCESS_KEY_MIN 3
#define META_ACCESS_KEY_MAX 128
#define META_SECRET_KEY_MIN 8
#define META_SECRET_KEY_MAX 128

#define META_MASTER_NAME_MAX 64
#define META_MASTER_WRAPPED_MAX 256
#define META_MASTER_KEYS_MAX 10000 /* numbers; servers have all opened */
#define META_DEVICE_MAX 64         /* bytes of a device's name */
#define META_DEVICE_SETTINGS_MAX (8 << 10) /* what it is told to do */
#define META_DEVICE_REPORT_MAX (4 << 10)   /* what it said last */
#define META_CODE_HASH 32                  /* SHA-256 of a code's secret */
#define META_ERASE_FIELD_MAX 128           /* name of a metadata field */
#define META_ERASE_VALUE_MAX 1024          /* ... and its value */
#define META_ERASE_REASON_MAX 1024
#define META_ERASE_BY_MAX 256
#define META_ERASE_OPEN_MAX 10000   /* requests that are not done */
#define META_ERASE_LISTED_MAX 10000 /* versions that a request names */
#define META_DELIVERED_MAX ((uint64_t)1 << 20) /* that a floor lags behind */

#define META_AUDIT_BATCH_MAX 500 /* entries of one command */

/* Of the registry; sizes of ids and digests in bytes. */
#define META_CLUSTER_ID 16
#define META_FINGERPRINT 32 /* SHA-256 of a server's public key */
#define META_TOKEN_HASH 32  /* SHA-256 of a join token's secret */
#define META_DRIVE_UUID 16
#define META_NAME_MAX 63 /* A-Z a-z 0-9 . _ - */
#define META_ZONE_MAX 63 /* a-z 0-9 - */
#define META_ADDRESS_MAX 255
#define META_NOTE_MAX 255
#define META_USES_MAX 100000
#define META_TOKENS_MAX 1000       /* a person makes them */
#define META_SERVER_DRIVES_MAX 64  /* living drives of one server */
#define META_SERVERS_MAX 4096      /* living; all have a place in one answer */
#define META_DRIVES_MAX 10000      /* living; as placement has it */
#define META_SERVER_ID_MAX 0xffffu /* placement's node is 16 bits */
#define META_DRIVE_ID_MAX 0xfffeu  /* 0xffff is "no drive" */
#define META_ZONE_ID_MAX 0xffffu

/* X(name, wire value) */
#define COMMAND_TABLE(X)    \
    X(BUCKET_CREATE, 1)     \
    X(BUCKET_DELETE, 2)     \
    X(OBJECT_PUT, 3)        \
    X(OBJECT_DELETE, 4)     \
    X(OBJECTS_DELETE, 5)    \
    X(OBJECT_COPY, 6)       \
    X(UPLOAD_CREATE, 7)     \
    X(PART_PUT, 8)          \
    X(UPLOAD_COMPLETE, 9)   \
    X(UPLOAD_ABORT, 10)     \
    X(GARBAGE_DONE, 11)     \
    X(LAYOUT_SET, 12)       \
    X(CLUSTER_INIT, 13)     \
    X(TOKEN_CREATE, 14)     \
    X(TOKEN_REVOKE, 15)     \
    X(SERVER_JOIN, 16)      \
    X(SERVER_UPDATE, 17)    \
    X(SERVER_STATE, 18)     \
    X(SERVER_REMOVE, 19)    \
    X(DRIVE_ADD, 20)        \
    X(DRIVE_STATE, 21)      \
    X(DRIVE_WEIGHT, 22)     \
    X(LAYOUT_CHANGE, 23)    \
    X(BUCKET_CONFIG, 24)    \
    X(OBJECT_TAGS, 25)      \
    X(OBJECT_RETAIN, 26)    \
    X(OBJECT_HOLD, 27)      \
    X(OBJECT_ATTRS, 28)     \
    X(USER_PUT, 30)         \
    X(USER_REMOVE, 31)      \
    X(KEY_PUT, 32)          \
    X(KEY_REMOVE, 33)       \
    X(MASTER_KEY_PUT, 34)   \
    X(MASTER_KEY_STATE, 35) \
    X(DEVICE_PUT, 40)       \
    X(DEVICE_ENROLL, 41)    \
    X(DEVICE_KEY, 42)       \
    X(DEVICE_REVOKE, 43)    \
    X(DEVICE_REMOVE, 44)    \
    X(DEVICE_REPORT, 45)    \
    X(EXPIRE, 50)           \
    X(BODY_RECODE, 55)      \
    X(AUDIT_APPEND, 60)     \
    X(AUDIT_CHECKPOINT, 61) \
    X(ERASE_BEGIN, 63)      \
    X(ERASE_SOME, 64)       \
    X(ERASE_CANCEL, 65)     \
    X(ERASE_CLEAN, 66)      \
    X(CLOCK_VOTE, 80)

enum command_type {
#define X(name, value) COMMAND_##name = value,
    COMMAND_TABLE(X)
#undef X
};

/* A user: made (@create; ERR_EXISTS), or its policy replaced (ERR_NOT_FOUND).
 * The policy is the gateway's own bytes; none: @policy_len 0. */
void command_user_put(struct buf *out, const char *name, bool create,
                      const void *policy, size_t policy_len, uint64_t time_ms);
/* With all its keys. ERR_NOT_FOUND; ERR_PRECONDITION: it owns buckets. */
void command_user_remove(struct buf *out, const char *name);
/* ERR_NOT_FOUND: no such user; ERR_EXISTS: the access key is taken. */
void command_key_put(struct buf *out, const char *user, const char *access_key,
                     const char *secret_key, uint64_t time_ms);
/* ERR_NOT_FOUND. */
void command_key_remove(struct buf *out, const char *access_key);

/* The key @number of @name, wrapped by what is not in the catalogue. Numbers of
 * a name are 1, 2, ...: ERR_EXISTS when it is there, ERR_NOT_FOUND when one
 * before it is not, ERR_PRECONDITION when the name is disabled, ERR_LIMIT over
 * META_MASTER_KEYS_MAX. */
void command_master_key_put(struct buf *out, const char *name, uint32_t number,
                            const void *wrapped, size_t wrapped_len,
                            uint64_t time_ms);
/* All numbers of @name are to be used, or not. ERR_NOT_FOUND. */
void command_master_key_state(struct buf *out, const char *name, bool disabled);

/* ---- the audit log: meta/audit_entry.h ---- */

/* Append entries, and (@set not NULL) let the settings be these, which is an
 * entry too. @drafts: @count of them as command_audit_draft wrote them. Their
 * numbers, the time and the hashes are made in apply. */
void command_audit_append(struct buf *out, const struct audit_settings *set,
                          const void *drafts, size_t len, uint32_t count);
void command_audit_draft(struct buf *out, const struct audit_entry *e);
/* Keep a signed checkpoint, and let go of what is older than the settings say,
 * up to a checkpoint. The signature is not looked at here: who verifies the
 * log does. ERR_PRECONDITION: the entry is not there, or has another hash. */
void command_audit_checkpoint(struct buf *out,
                              const struct audit_checkpoint *c);

/* Who had a command proposed, for the entry of the change that it makes. */
struct command_actor {
    uint32_t server;
    const char *request, *user, *access_key, *address; /* or NULL */
};
/* Say it of the command that begins at @start of @out and ends there; the last
 * that is said. One that is said already stays. */
void command_add_actor(struct buf *out, size_t start,
                       const struct command_actor *actor);

/* ---- devices: who delivers, and what was delivered ----
 * A device has a number from its enrolment on, a fresh one with each, since
 * what it sends counts from 1 again. It is told by its public key. */

/* Make a device or change it: its policy (IAM) and settings are these. With a
 * code (its hash, and when it ends) it is to be enrolled, again if it was; till
 * then it stays what it is. @code_hash NULL: no enrolment; what waits for one
 * still does. ERR_EXISTS: another device has this code. */
void command_device_put(struct buf *out, const char *name, const void *policy,
                        size_t policy_len, const void *settings,
                        size_t settings_len, const uint8_t *code_hash,
                        uint64_t expires_ms, uint64_t time_ms);
/* The answer's body is its number. ERR_NOT_FOUND: no such code, or it was used;
 * ERR_TIMEOUT: it has ended; ERR_EXISTS: the key is another device's. */
void command_device_enroll(struct buf *out,
                           const uint8_t code_hash[META_CODE_HASH],
                           const uint8_t fingerprint[META_FINGERPRINT],
                           uint64_t time_ms);
/* Another key from now on. ERR_DENIED: it is not enrolled, or revoked;
 * ERR_EXISTS. */
void command_device_key(struct buf *out, uint64_t number,
                        const uint8_t fingerprint[META_FINGERPRINT],
                        uint64_t time_ms);
/* It is let in no more, until it is enrolled again. ERR_NOT_FOUND. */
void command_device_revoke(struct buf *out, const char *name, uint64_t time_ms);
/* Forget it; what it delivered stays. ERR_NOT_FOUND. */
void command_device_remove(struct buf *out, const char *name);
/* What it says of itself takes the place of what it said. ERR_DENIED. */
void command_device_report(struct buf *out, uint64_t number, const void *report,
                           size_t len, uint64_t time_ms);

/* Conditions on the object that the key names now (unset fields are NULL).
 * Both may be "*" or an ETag without quotes. if_match on a missing key is
 * ERR_NO_KEY; a condition that does not hold is ERR_PRECONDITION. */
struct meta_condition {
    const char *if_match;
    const char *if_none_match;
};

/* A version of an object is named by a number. Those that are kept beside each
 * other have one of their own, which grows with time; the null version of a key
 * is the one that was made while its bucket did not keep versions. */
#define META_VERSION_CURRENT 0 /* whichever is newest */
#define META_VERSION_NULL 1
#define META_VERSION_MARKER ((uint64_t)1 << 63) /* in answers: a marker */

enum meta_lock_mode {
    META_LOCK_NONE,
    META_LOCK_GOVERNANCE,
    META_LOCK_COMPLIANCE,
};

/* Bytes of an object or part: exactly one of inline bytes and a manifest
 * (both NULL with size 0: an empty object). */
struct meta_content {
    uint64_t size_bytes;
    const void *inline_bytes; /* size_bytes of them, <= META_INLINE_MAX */
    const void *manifest;     /* opaque; its first 24 bytes name the run */
    size_t manifest_len;
};

/* What is to be erased, of a bucket. */
enum meta_erase_selector {
    META_ERASE_VERSION = 1, /* one version of a key */
    META_ERASE_KEY,         /* all versions of a key */
    META_ERASE_PREFIX,      /* ... of all keys that begin so */
    META_ERASE_SUBJECT,     /* ... whose metadata field has this value */
    META_ERASE_DEVICE,      /* ... that this device delivered */
    META_ERASE_SELECTORS
};
struct command_erase {
    const char *bucket;
    enum meta_erase_selector selector;
    const char *key; /* VERSION, KEY; PREFIX: the prefix; else "" */
    uint64_t version;
    const char *field, *value; /* SUBJECT; DEVICE: the value; else "" */
    const char *reason, *by;   /* why, and who asked */
};

/* How a version's bytes became unreadable. */
enum meta_erased_how {
    META_ERASED_KEY = 1, /* its key was destroyed */
    META_ERASED_BYTES,   /* it had none: its bytes were released */
    META_ERASED_MARKER,  /* a delete marker: it had no bytes */
    META_ERASED_HOWS
};
struct command_erased {
    const char *key;
    uint64_t version;                 /* a number or META_VERSION_NULL */
    uint64_t modified_ms, size_bytes; /* as they were seen */
    enum meta_erased_how how;
};

/* What a command may say beside its fields; zeroed: nothing. */
struct command_more {
    uint64_t version;         /* OBJECT_DELETE, OBJECT_TAGS, OBJECT_RETAIN,
                                 OBJECT_HOLD, OBJECT_ATTRS; OBJECT_COPY: the
                                 source's */
    const uint64_t *versions; /* OBJECTS_DELETE: one for each key, or NULL */
    /* Of what a put, a copy or an upload makes; OBJECT_TAGS, OBJECT_RETAIN and
     * OBJECT_HOLD: of what is there. */
    const void *tags; /* not NULL: these (OBJECT_COPY: else the source's) */
    size_t tags_len;
    enum meta_lock_mode lock; /* NONE: the bucket's default */
    uint64_t retain_ms;       /* until when */
    bool hold;
    bool bypass; /* GOVERNANCE does not hold: the one who asks may do that */
    bool locked; /* BUCKET_CREATE: with Object Lock, and versions kept */
    /* OBJECT_PUT, OBJECT_DELETE, UPLOAD_COMPLETE: the device that delivers it
     * (0: none does), the sequence that it has there (from 1), and the lowest
     * that may still come; all below @floor counts as delivered. ERR_EXISTS: it
     * was delivered, and nothing is changed; ERR_DENIED: there is no such
     * device, or it was revoked; ERR_LIMIT: META_DELIVERED_MAX above @floor. */
    uint64_t device, sequence, floor;
};
/* Say it of the command that was begun at byte @start of @out and ends there.
 * Once for a command. */
void command_add_more(struct buf *out, size_t start,
                      const struct command_more *more);

/* ERR_BUCKET_EXISTS. */
void command_bucket_create(struct buf *out, const char *bucket,
                           const char *owner, uint64_t time_ms);
/* ERR_NO_BUCKET, ERR_BUCKET_NOT_EMPTY (objects or uploads in progress). */
void command_bucket_delete(struct buf *out, const char *bucket);

/* What a bucket is told to be, a kind each: X(name, wire value). Values are the
 * gateway's own bytes but for those that apply itself obeys: VERSIONING is one
 * byte, 1 enabled or 2 suspended; OBJECT_LOCK is META_LOCK_CONFIG bytes: u8
 * mode of the default retention (0: none), u8 unit (1 days, 2 years), u16 zero,
 * u32 how many. */
#define META_CONFIG_TABLE(X) \
    X(VERSIONING, 1)         \
    X(OBJECT_LOCK, 2)        \
    X(POLICY, 3)             \
    X(ACL, 4)                \
    X(OWNERSHIP, 5)          \
    X(PUBLIC_ACCESS, 6)      \
    X(CORS, 7)               \
    X(LIFECYCLE, 8)          \
    X(TAGGING, 9)            \
    X(ENCRYPTION, 10)        \
    X(LOGGING, 11)           \
    X(NOTIFICATION, 12)      \
    X(ERASURE, 13)           \
    X(COMPRESSION, 14)       \
    X(RULES, 15)             \
    X(RECODED, 16)

enum meta_config_kind {
#define X(name, value) META_CONFIG_##name = value,
    META_CONFIG_TABLE(X)
#undef X
        META_CONFIG_END
};

#define META_VERSIONING_ENABLED 1
#define META_VERSIONING_SUSPENDED 2
#define META_LOCK_CONFIG 8
#define META_LOCK_DAYS 1
#define META_LOCK_YEARS 2
#define META_LOCK_COUNT_MAX 36500 /* AWS: days of a default retention */

/* ERR_NO_BUCKET. @len 0: as if it was never set; VERSIONING and OBJECT_LOCK,
 * once set, cannot be so. ERR_BUCKET_STATE: Object Lock where versions are not
 * kept, or the other way round. */
void command_bucket_config(struct buf *out, const char *bucket,
                           enum meta_config_kind kind, const void *value,
                           size_t len);
/* ERR_NO_BUCKET, ERR_PRECONDITION, ERR_NO_KEY. Replaces what the key named,
 * whose bytes become garbage when nothing else refers to them, unless its
 * bucket keeps versions. ERR_NO_LOCK: it asks for what only a bucket with
 * Object Lock has; ERR_RETAINED: what it would replace is. */
void command_object_put(struct buf *out, const char *bucket, const char *key,
                        const struct meta_condition *condition,
                        const struct meta_content *content, const char *etag,
                        const void *attrs, size_t attrs_len, uint64_t time_ms);
/* The same bytes, stored anew: @content, a manifest, takes the place of the one
 * of the run @hi, @lo (low 24 bits clear) in the body, or in its part @part
 * (0: it has none). ERR_PRECONDITION: that is no longer what it has, as it was
 * replaced, deleted or recoded meanwhile. What it had becomes garbage when
 * nothing else refers to it. */
void command_body_recode(struct buf *out, uint64_t body, uint32_t part,
                         uint64_t hi, uint64_t lo,
                         const struct meta_content *content, uint64_t time_ms);
/* A missing key or version is no error (unless if_match). Without a version in
 * a bucket that keeps them: makes a delete marker. ERR_NO_BUCKET,
 * ERR_RETAINED. */
void command_object_delete(struct buf *out, const char *bucket, const char *key,
                           const struct meta_condition *condition,
                           uint64_t time_ms);
/* Up to META_DELETE_MAX keys; @etags[i] is a condition or NULL; the result
 * has a code for each, to which these are added: */
#define META_CODE_MADE_MARKER                                                \
    0x80                          /* the answer's version + i; or it is null \
                                   */
#define META_CODE_WAS_MARKER 0x40 /* the version that was removed */
#define META_CODE_STATUS 0x3f
void command_objects_delete(struct buf *out, const char *bucket,
                            const char *const *keys, const char *const *etags,
                            size_t count, uint64_t time_ms);
/* Share the source's bytes under a new name. @body is the source's body id as
 * read by the proposer: when it changed since, ERR_PRECONDITION and the
 * proposer reads again. @attrs and @etag are the new object's. */
void command_object_copy(struct buf *out, const char *src_bucket,
                         const char *src_key, uint64_t body, const char *bucket,
                         const char *key,
                         const struct meta_condition *condition,
                         const char *etag, const void *attrs, size_t attrs_len,
                         uint64_t time_ms);
/* Set what @type says (OBJECT_TAGS, OBJECT_RETAIN, OBJECT_HOLD) of a version,
 * as in @more. ERR_NO_BUCKET, ERR_NO_KEY, ERR_NO_VERSION, ERR_IS_MARKER,
 * ERR_NO_LOCK, ERR_RETAINED: it would be held shorter or less strictly than it
 * is, and must not; ERR_BAD_INPUT: until a time that is past. */
void command_object_set(struct buf *out, enum command_type type,
                        const char *bucket, const char *key,
                        const struct command_more *more, uint64_t time_ms);
/* Let the version @which have other attrs, if it still has those that were
 * read. ERR_NO_BUCKET, ERR_NO_KEY, ERR_NO_VERSION, ERR_IS_MARKER;
 * ERR_PRECONDITION: it has others now. */
void command_object_attrs(struct buf *out, const char *bucket, const char *key,
                          uint64_t which, const void *read, size_t read_len,
                          const void *attrs, size_t attrs_len,
                          uint64_t time_ms);
/* ERR_NO_BUCKET. */
void command_upload_create(struct buf *out, const char *bucket, const char *key,
                           const uint8_t upload[META_UPLOAD_ID],
                           const void *attrs, size_t attrs_len,
                           uint64_t time_ms);
/* ERR_NO_UPLOAD. @number 1..META_PARTS_MAX. A part put again replaces. @check
 * (may be NULL) is the part's checksum text, shown in listings. */
void command_part_put(struct buf *out, const uint8_t upload[META_UPLOAD_ID],
                      uint32_t number, const struct meta_content *content,
                      const char *etag, const char *check, uint64_t time_ms);

struct command_part {
    uint32_t number;
    const char *etag; /* as the part must have it */
};

/* Join parts into the object; parts not listed become garbage. @etag and
 * @attrs are the object's, computed by the proposer from the parts that it
 * read; apply checks that they still have these etags. ERR_NO_UPLOAD (also when
 * bucket or key differ), ERR_BAD_PART, ERR_PART_ORDER, ERR_PART_TOO_SMALL (a
 * part but the last under @part_min bytes), ERR_PRECONDITION. */
void command_upload_complete(
    struct buf *out, const char *bucket, const char *key,
    const uint8_t upload[META_UPLOAD_ID], const struct command_part *parts,
    size_t count, uint64_t part_min, const struct meta_condition *condition,
    const char *etag, const void *attrs, size_t attrs_len, uint64_t time_ms);
/* ERR_NO_UPLOAD. */
void command_upload_abort(struct buf *out, const char *bucket, const char *key,
                          const uint8_t upload[META_UPLOAD_ID],
                          uint64_t time_ms);
/* The runs of these garbage rows are gone from the drives. */
void command_garbage_done(struct buf *out, const uint64_t *ids, size_t count);

/* The drives and placement groups; @layout is opaque here (see
 * gateway/layout.h) but for its epoch, which must be one more than that of
 * the layout in place, else ERR_PRECONDITION. */
void command_layout_set(struct buf *out, uint32_t epoch, const void *layout,
                        size_t len);

/* ---- the registry: which servers, drives and join tokens there are ----
 * With a refusal the answer's body is an enum command_refusal, which says more
 * than the status. Commands but CLUSTER_INIT are ERR_PRECONDITION before a
 * cluster was made. Those that change a server or a drive raise the registry's
 * revision. */

enum meta_server_role {
    META_SERVER_GATEWAY = 1,
    META_SERVER_NODE = 2,
    META_SERVER_META = 4,
};
#define META_SERVER_ROLES 7

enum meta_server_state {
    META_SERVER_JOINED,
    META_SERVER_DRAINING,
    META_SERVER_REMOVED, /* for ever */
};

enum meta_drive_state {
    META_DRIVE_UP,
    META_DRIVE_DRAINING,
    META_DRIVE_REMOVED, /* for ever */
};

/* X(name, wire value, text) */
#define COMMAND_REFUSAL_TABLE(X)                                           \
    X(NO_CLUSTER, 1, "no cluster was made here yet")                       \
    X(CLUSTER_DIFFERS, 2, "another cluster was made here")                 \
    X(TOKEN_UNKNOWN, 3, "the join token is not known")                     \
    X(TOKEN_EXPIRED, 4, "the join token has expired")                      \
    X(TOKEN_USED_UP, 5, "the join token is used up")                       \
    X(TOKEN_EXISTS, 6, "the join token exists already")                    \
    X(TOKENS_MAX, 7, "too many join tokens")                               \
    X(IDENTITY_REMOVED, 8,                                                 \
      "this server was removed; it needs a new identity to join")          \
    X(NAME_TAKEN, 9, "another server has this name")                       \
    X(ADDRESS_TAKEN, 10, "another server has this address")                \
    X(SERVERS_MAX, 11, "too many servers")                                 \
    X(ZONES_MAX, 12, "too many zones")                                     \
    X(SERVER_UNKNOWN, 13, "there is no such server")                       \
    X(SERVER_REMOVED, 14, "the server was removed")                        \
    X(SERVER_HAS_DRIVES, 15, "the server has drives that are not removed") \
    X(LAST_META, 16, "no other server keeps the catalogue")                \
    X(NOT_A_NODE, 17, "the server has not the role of a node")             \
    X(DRIVE_TAKEN, 18, "the drive is another server's, or was removed")    \
    X(DRIVES_MAX, 19, "too many drives")                                   \
    X(DRIVE_UNKNOWN, 20, "there is no such drive")                         \
    X(DRIVE_REMOVED, 21, "the drive was removed")                          \
    X(LAYOUT_CHANGED, 22, "the layout has changed meanwhile")              \
    X(REGISTRY_CHANGED, 23, "servers or drives have changed meanwhile")

enum command_refusal {
#define X(name, value, text) COMMAND_REFUSED_##name = value,
    COMMAND_REFUSAL_TABLE(X)
#undef X
};

/* The text for an answer's body; NULL when it is no refusal of the table. */
const char *command_refusal_text(uint64_t body);

/* As CLUSTER_INIT and SERVER_JOIN take them: META_NAME_MAX, META_ZONE_MAX. */
bool command_is_server_name(const char *text);
bool command_is_zone(const char *text);

/* A drive of a server. The uuid is drawn by the proposer: the same one again is
 * the same drive asked for twice. */
struct command_drive {
    uint32_t weight; /* MiB, > 0 */
    uint8_t uuid[META_DRIVE_UUID];
};

struct command_server {
    const char *name;
    const char *address;  /* of the cluster port; printable, no blanks */
    const char *endpoint; /* of the S3 port; may be "" */
    const char *zone;
    uint32_t roles; /* of enum meta_server_role, at least one */
    const uint8_t *fingerprint;
    uint32_t format; /* what it can read and write, > 0 */
    /* At most META_SERVER_DRIVES_MAX, none but of a node. */
    const struct command_drive *drives;
    size_t drive_count;
};

/* Make the cluster and its first server (id 1, role meta at least), whose
 * drives are 0, 1, ... The same again is no error; ERR_EXISTS for another.
 * Gives the server's id. */
void command_cluster_init(struct buf *out,
                          const uint8_t cluster[META_CLUSTER_ID],
                          const struct command_server *server,
                          uint64_t time_ms);
/* Let @uses servers join before @expires_ms (> @time_ms). ERR_EXISTS: the same
 * was made before; ERR_LIMIT over META_TOKENS_MAX that can still be used. */
void command_token_create(struct buf *out, const uint8_t hash[META_TOKEN_HASH],
                          uint32_t uses, uint64_t expires_ms, const char *note,
                          uint64_t time_ms);
/* ERR_NOT_FOUND. */
void command_token_revoke(struct buf *out, const uint8_t hash[META_TOKEN_HASH]);
/* ERR_DENIED: the token is not known, expired at @time_ms or used up, or the
 * fingerprint is a removed server's. ERR_EXISTS: a living server has the name
 * or address, or one of the drives is known. ERR_LIMIT. Gives the server's id.
 *
 * A fingerprint that has joined gets the same id again, and nothing is changed,
 * whatever else the command says; for that the token must not have expired,
 * and have a use left or be the one that it joined with. */
void command_server_join(struct buf *out, const uint8_t token[META_TOKEN_HASH],
                         const struct command_server *server, uint64_t time_ms);

/* What is to become other: NULL and 0 leave it as it is. */
struct command_server_update {
    const char *address, *endpoint, *zone;
    uint32_t roles, format;
};
/* ERR_NOT_FOUND, ERR_EXISTS (address), ERR_LIMIT, ERR_PRECONDITION: it was
 * removed, would not be a node and has drives, or would not keep the catalogue
 * and is the last that does. */
void command_server_update(struct buf *out, uint32_t server,
                           const struct command_server_update *update);
/* Joined or draining. ERR_NOT_FOUND, ERR_PRECONDITION: it was removed. The
 * states of its drives stay: those of a draining server are to be emptied. */
void command_server_state(struct buf *out, uint32_t server,
                          enum meta_server_state state);
/* ERR_NOT_FOUND, ERR_PRECONDITION: drives of it are not removed, unless @force,
 * with which they are removed too; or it is the last that keeps the catalogue.
 * Again is no error. */
void command_server_remove(struct buf *out, uint32_t server, bool force);
/* Gives the drive's id; the same again the same id. ERR_NOT_FOUND (server),
 * ERR_EXISTS (uuid), ERR_LIMIT, ERR_PRECONDITION: the server was removed or is
 * no node. */
void command_drive_add(struct buf *out, uint32_t server,
                       const struct command_drive *drive, uint64_t time_ms);
/* ERR_NOT_FOUND, ERR_PRECONDITION: it was removed. To be removed, no group of
 * the layout may name it: the proposer has seen to that in the layout of
 * @epoch (0: there is none), and when that is no longer the one in place,
 * ERR_PRECONDITION, unless @force. Removed again is no error. */
void command_drive_state(struct buf *out, uint16_t drive,
                         enum meta_drive_state state, uint32_t epoch,
                         bool force);
/* ERR_NOT_FOUND, ERR_PRECONDITION: it was removed. @weight > 0. */
void command_drive_weight(struct buf *out, uint16_t drive, uint32_t weight);
/* What the rules of a bucket have ended: of up to META_DELETE_MAX versions, by
 * ids of META_VERSION_*. One is only let go when it is still what was seen, of
 * that time and size; when the cluster's time has reached @due_ms; and when
 * nothing retains it. META_VERSION_CURRENT deletes what the key names, as its
 * bucket has it; any other one is removed for good, if the key does not name
 * it. ERR_NO_BUCKET; all else is left as it is, without a word. */
struct command_expiry {
    const char *key;
    uint64_t version;
    uint64_t modified_ms, size_bytes;
    uint64_t due_ms;
};
void command_expire(struct buf *out, const char *bucket,
                    const struct command_expiry *items, size_t count,
                    uint64_t time_ms);
/* Ask for an erasure; gives its number as the body. ERR_NO_BUCKET, ERR_LIMIT:
 * too many are not done. */
void command_erase_begin(struct buf *out, const struct command_erase *e,
                         uint64_t time_ms);
/* A pass of erasure @request over what its bucket has: with @begin what kept
 * the pass before from its end is forgotten. Up to META_DELETE_MAX versions are
 * removed for good, if they are still what was seen. One that is on hold, or
 * retained (by whichever mode), stays and is counted: hold beats retention
 * beats erasure. With @end the request is done, unless something stayed.
 * ERR_NOT_FOUND; ERR_PRECONDITION: it is done or was cancelled. */
void command_erase_some(struct buf *out, uint64_t request, bool begin, bool end,
                        const struct command_erased *items, size_t count,
                        uint64_t time_ms);
/* What was not erased stays. ERR_NOT_FOUND, ERR_PRECONDITION as above. */
void command_erase_cancel(struct buf *out, uint64_t request);
/* Server @server has nothing left of what was erased up to log index @upto. */
void command_erase_clean(struct buf *out, uint32_t server, uint64_t upto);
/* What the clocks of servers say, in order of their ids; alone one, of any id.
 * The cluster's time becomes what a majority of the living servers that keep
 * the catalogue have reached, if that is later. ERR_PRECONDITION: no majority
 * of them is named. */
struct command_clock {
    uint32_t server;
    uint64_t time_ms;
};
void command_clock_vote(struct buf *out, const struct command_clock *votes,
                        size_t count);
/* As LAYOUT_SET, of a layout that was planned for the registry of @revision;
 * ERR_PRECONDITION also when that has changed since: else a layout could name
 * a drive that was removed while it was planned. */
void command_layout_change(struct buf *out, uint32_t epoch, uint64_t revision,
                           const void *layout, size_t len);

/* ---- decoding ----
 * A decoded command borrows from the bytes that it was decoded from. */

struct command_bytes {
    const uint8_t *p; /* NULL: not given */
    size_t len;
};

enum command_content { COMMAND_EMPTY, COMMAND_INLINE, COMMAND_MANIFEST };

#define COMMAND_RUN_SIZE 24 /* bytes of a manifest that name its run */

struct command {
    enum command_type type;
    struct command_bytes bucket, key;
    struct command_bytes src_bucket, src_key;
    struct command_bytes owner;
    struct command_bytes if_match, if_none_match;
    struct command_bytes etag, attrs, check;
    enum command_content kind;
    uint64_t size_bytes;
    struct command_bytes content; /* inline bytes, manifest, layout, value;
                                     OBJECT_ATTRS: the attrs that were read */
    uint64_t time_ms;
    uint64_t body;         /* OBJECT_COPY, BODY_RECODE */
    uint64_t part_min;     /* UPLOAD_COMPLETE */
    const uint8_t *upload; /* META_UPLOAD_ID bytes */
    uint32_t number;       /* PART_PUT, BODY_RECODE */
    uint32_t epoch;        /* LAYOUT_SET, LAYOUT_CHANGE, DRIVE_STATE */
    uint32_t count;        /* of items */
    /* OBJECTS_DELETE, UPLOAD_COMPLETE, GARBAGE_DONE, CLUSTER_INIT,
     * SERVER_JOIN: read with command_item */
    struct command_bytes items;
    /* The registry's. */
    struct command_bytes name, address, endpoint, zone, note;
    const uint8_t *cluster;     /* META_CLUSTER_ID bytes */
    const uint8_t *token;       /* META_TOKEN_HASH bytes */
    const uint8_t *fingerprint; /* META_FINGERPRINT bytes */
    const uint8_t *uuid;        /* DRIVE_ADD: META_DRIVE_UUID bytes */
    uint64_t expires_ms;        /* TOKEN_CREATE */
    uint64_t revision;          /* LAYOUT_CHANGE */
    uint32_t uses;              /* TOKEN_CREATE */
    uint32_t server, roles, format;
    uint32_t drive, weight;
    uint8_t state; /* enum meta_server_state, meta_drive_state or
                      meta_erase_selector */
    bool force;
    struct command_bytes access_key, secret; /* KEY_PUT, KEY_REMOVE */
    enum meta_config_kind config; /* BUCKET_CONFIG; its value is content */
    /* struct command_more */
    uint64_t version;
    struct command_bytes versions; /* u64 each; NULL: all current */
    struct command_bytes tags;     /* NULL: not said */
    enum meta_lock_mode lock;
    uint64_t retain_ms;
    bool hold, bypass, locked;
    uint64_t run_hi, run_lo; /* BODY_RECODE */
    uint64_t device, sequence, floor;
    struct command_bytes settings; /* DEVICE_PUT; its policy is content */
    struct command_bytes field, value, reason, by; /* ERASE_BEGIN */
    uint64_t request;                              /* ERASE_SOME, _CANCEL */
    bool begin, end;                               /* ERASE_SOME */
    const uint8_t *code; /* META_CODE_HASH bytes, or NULL;
                            AUDIT_CHECKPOINT: the hash */
    /* AUDIT_APPEND. AUDIT_CHECKPOINT has its number as revision, its key as
     * fingerprint and its signature as content. */
    bool audit_set;
    struct audit_settings audit;
    struct command_bytes actor; /* read with command_read_actor */
};

struct command_item {
    struct command_bytes key;  /* OBJECTS_DELETE, EXPIRE; AUDIT_APPEND: the
                                  draft */
    struct command_bytes etag; /* OBJECTS_DELETE, UPLOAD_COMPLETE */
    uint32_t number;           /* UPLOAD_COMPLETE; CLOCK_VOTE: server */
    uint64_t id;               /* GARBAGE_DONE; CLOCK_VOTE: its time */
    uint32_t weight;           /* CLUSTER_INIT, SERVER_JOIN */
    const uint8_t *uuid;       /* CLUSTER_INIT, SERVER_JOIN */
    uint64_t version, modified_ms, size_bytes, due_ms; /* EXPIRE, ERASE_SOME */
    uint8_t how;                                       /* ERASE_SOME */
};

/* Decode one whole command, items included; ERR_BAD_INPUT says what is wrong
 * and where. */
int command_decode(const void *p, size_t len, struct command *out,
                   struct err *err);
/* The next item; call it at most @c->count times on a decoded command, with
 * *@at 0 at first. */
void command_item(const struct command *c, size_t *at,
                  struct command_item *out);
/* Request, user, access key and address of who had it proposed; false: that is
 * not known. */
bool command_read_actor(const struct command *c, uint32_t *server,
                        struct command_bytes out[4]);
/* The type of an encoded command without decoding it; 0 when empty. */
int command_peek(const void *p, size_t len);
const char *command_name(int type);
/* Does it add something, so that it is refused when space is short? */
bool command_adds(int type);

/* ---- many commands as one log entry ---- */

#define COMMAND_BATCH_MAX 1000
#define COMMAND_BATCH_BYTES_MAX (4 << 20)

/* Bytes that @count commands of @bytes in all take in an entry. */
size_t command_batch_size(size_t count, size_t bytes);

struct command_batch {
    const uint8_t *p;
    size_t left;
    uint32_t count; /* commands not yet read */
};
/* Write the head of an entry at @p; gives where the first command goes. */
uint8_t *command_batch_head(uint8_t *p, size_t count);
/* Write one command at @at; gives where the next one goes. */
uint8_t *command_batch_put(uint8_t *at, const void *command, size_t len);
/* ERR_CORRUPT when the entry is not one. */
int command_batch_open(struct command_batch *b, const void *p, size_t len,
                       struct err *err);
/* The next command's bytes; false at the end. */
bool command_batch_next(struct command_batch *b, struct command_bytes *out);

#endif
