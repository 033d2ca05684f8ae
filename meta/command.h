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
#define META_UPLOAD_ID 16 /* bytes */

/* X(name, wire value) */
#define COMMAND_TABLE(X)  \
    X(BUCKET_CREATE, 1)   \
    X(BUCKET_DELETE, 2)   \
    X(OBJECT_PUT, 3)      \
    X(OBJECT_DELETE, 4)   \
    X(OBJECTS_DELETE, 5)  \
    X(OBJECT_COPY, 6)     \
    X(UPLOAD_CREATE, 7)   \
    X(PART_PUT, 8)        \
    X(UPLOAD_COMPLETE, 9) \
    X(UPLOAD_ABORT, 10)   \
    X(GARBAGE_DONE, 11)   \
    X(LAYOUT_SET, 12)

enum command_type {
#define X(name, value) COMMAND_##name = value,
    COMMAND_TABLE(X)
#undef X
};

/* Conditions on the object that the key names now (unset fields are NULL).
 * Both may be "*" or an ETag without quotes. if_match on a missing key is
 * ERR_NO_KEY; a condition that does not hold is ERR_PRECONDITION. */
struct meta_condition {
    const char *if_match;
    const char *if_none_match;
};

/* Bytes of an object or part: exactly one of inline bytes and a manifest
 * (both NULL with size 0: an empty object). */
struct meta_content {
    uint64_t size_bytes;
    const void *inline_bytes; /* size_bytes of them, <= META_INLINE_MAX */
    const void *manifest;     /* opaque; its first 24 bytes name the run */
    size_t manifest_len;
};

/* ERR_BUCKET_EXISTS. */
void command_bucket_create(struct buf *out, const char *bucket,
                           const char *owner, uint64_t time_ms);
/* ERR_NO_BUCKET, ERR_BUCKET_NOT_EMPTY (objects or uploads in progress). */
void command_bucket_delete(struct buf *out, const char *bucket);
/* ERR_NO_BUCKET, ERR_PRECONDITION, ERR_NO_KEY. Replaces what the key named;
 * its bytes become garbage when nothing else refers to them. */
void command_object_put(struct buf *out, const char *bucket, const char *key,
                        const struct meta_condition *condition,
                        const struct meta_content *content, const char *etag,
                        const void *attrs, size_t attrs_len, uint64_t time_ms);
/* A missing key is no error (unless if_match). ERR_NO_BUCKET. */
void command_object_delete(struct buf *out, const char *bucket, const char *key,
                           const struct meta_condition *condition,
                           uint64_t time_ms);
/* Up to META_DELETE_MAX keys; @etags[i] is a condition or NULL; the result
 * has a code for each. */
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
    struct command_bytes content; /* inline bytes, manifest or layout */
    uint64_t time_ms;
    uint64_t body;         /* OBJECT_COPY */
    uint64_t part_min;     /* UPLOAD_COMPLETE */
    const uint8_t *upload; /* META_UPLOAD_ID bytes */
    uint32_t number;       /* PART_PUT */
    uint32_t epoch;        /* LAYOUT_SET */
    uint32_t count;        /* of items */
    /* OBJECTS_DELETE, UPLOAD_COMPLETE, GARBAGE_DONE: read with command_item */
    struct command_bytes items;
};

struct command_item {
    struct command_bytes key;  /* OBJECTS_DELETE */
    struct command_bytes etag; /* OBJECTS_DELETE, UPLOAD_COMPLETE */
    uint32_t number;           /* UPLOAD_COMPLETE */
    uint64_t id;               /* GARBAGE_DONE */
};

/* Decode one whole command, items included; ERR_BAD_INPUT says what is wrong
 * and where. */
int command_decode(const void *p, size_t len, struct command *out,
                   struct err *err);
/* The next item; call it at most @c->count times on a decoded command, with
 * *@at 0 at first. */
void command_item(const struct command *c, size_t *at,
                  struct command_item *out);
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
