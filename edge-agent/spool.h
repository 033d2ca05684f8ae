/* spool.h: the objects that a device holds until they are delivered.
 *
 * A log over segments of 1 MiB that are zeroed once and reused for ever. What
 * came in one round of the loop goes out by one write and one fdatasync; only
 * then are its objects durable and may be acknowledged. Format:
 * edge-agent/spool_format.h. Invariants:
 *
 *   1. a block that holds a durable record is never written again while one of
 *      its segment's objects is held;
 *   2. after a start the first record goes to another segment than any before;
 *   3. a segment is reused only when none of its objects is held and the cursor
 *      on the disk says so;
 *   4. ids ascend in the order of acknowledgement and are never used twice.
 *
 * So a power cut loses at most what was not acknowledged, and a start needs no
 * more than to read footers. The payload is opaque: who seals it, seals it
 * before spool_end.
 *
 * Classes: 0 to SPOOL_CLASSES - 1; the highest matters most.
 *
 * Threads: the agent's loop.
 */
#ifndef GODWIT_EDGE_SPOOL_H
#define GODWIT_EDGE_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "edge-agent/spool_disk.h"
#include "edge-agent/spool_format.h"

struct buf;
struct err;
struct spool;
struct spool_index;

#define SPOOL_PAYLOAD_MAX (96U * 1024) /* of one record; more goes as parts */
#define SPOOL_BYTES_MIN (4U * SPOOL_SEGMENT)
#define SPOOL_BYTES_MAX ((uint64_t)SPOOL_SLOTS_MAX * SPOOL_SEGMENT)

/* What happens to the oldest when there is no room for the newest. */
enum spool_full {
    SPOOL_REFUSE, /* ERR_FULL to the newest */
    SPOOL_OLDEST, /* shed the oldest */
    SPOOL_LOWEST, /* shed the oldest of the lowest class, none above its own */
};

struct spool_object {
    uint64_t id;
    uint64_t time_ms;
    uint64_t plain_size;
    uint64_t stored_size;
    enum spool_kind kind; /* SPOOL_OBJECT or SPOOL_DELETE */
    uint8_t class_id;
    uint8_t flags; /* SPOOL_FLAG_*; FLAG_PARTS is the spool's */
    uint8_t seal_flags;
    uint32_t link;
    uint8_t etag[16];
    const char *key; /* not ended by NUL */
    uint16_t key_len;
    const uint8_t *meta;
    uint16_t meta_len;
};

/* What may change while it is open. */
struct spool_rules {
    uint64_t max_bytes, max_objects; /* as in the options */
    enum spool_full when_full;
    uint8_t priority[SPOOL_CLASSES]; /* for SPOOL_LOWEST */
    uint8_t reserved[SPOOL_CLASSES]; /* percent of max_bytes, for it alone */
    uint64_t deadline_ms[SPOOL_CLASSES]; /* then it is shed first; 0: never */
};

struct spool_options {
    uint64_t max_bytes; /* on the disk, in whole segments */
    uint64_t max_objects;
    enum spool_full when_full;
    /* A new segment begins: write its seal header, at most SPOOL_HEADER_MAX
     * bytes. May be NULL. */
    int (*new_segment)(void *arg, uint64_t sequence, uint8_t *header,
                       size_t *len, struct err *err);
    /* All objects that ended before are durable (@code 0), or those that ended
     * since the last call are lost (@why says it). Called in spool_begin and
     * spool_commit; may not call back. May be NULL. */
    void (*committed)(void *arg, int code, const char *why);
    /* An object was given up, for room or because its deadline is past, as @why
     * says. Key borrowed. May be NULL. */
    void (*shed)(void *arg, const struct spool_object *object, const char *why);
    void *arg;
};

/* Read what is there: ERR_IO, ERR_VERSION; what a power cut or a flipped bit
 * left is no error. Keeps a copy of @disk, which stays its owner's. */
int spool_open(const struct spool_disk *disk,
               const struct spool_options *options, struct spool **out,
               struct err *err);
/* As spool_open's options have it until then: a class's priority is its number,
 * nothing is reserved and nothing has a deadline. With less room than is held
 * the next object must wait, or sheds. */
void spool_set_rules(struct spool *s, const struct spool_rules *rules);
/* Bytes written to the disk, ever. */
uint64_t spool_flash_bytes(const struct spool *s);
/* What was not committed is lost. */
void spool_close(struct spool *s);

/* ---- writing ---- */

/* Make room for a record of an object and give the place of its @payload_len
 * bytes, to be filled before spool_end, with no other call between. May begin a
 * segment. ERR_FULL: no room by policy; ERR_LIMIT: key, metadata or payload too
 * long; ERR_IO. */
int spool_begin(struct spool *s, size_t key_len, size_t meta_len,
                size_t payload_len, uint8_t class_id, uint8_t **payload,
                struct err *err);
/* The record is complete. Gives its id. */
void spool_end(struct spool *s, const struct spool_object *object,
               uint64_t *id);

/* No object of more bytes is ever held, whatever is shed for it. */
uint64_t spool_object_max(const struct spool *s);

/* The id that the next object will have. */
uint64_t spool_coming_id(const struct spool *s);

/* An object whose bytes come in parts. Zeroed at first. */
struct spool_part;
struct spool_upload {
    uint32_t tag;
    uint32_t count;
    uint64_t stored_size;
    uint64_t failures; /* the spool's, when it began */
    struct spool_part *parts;
    size_t cap;
};
/* As spool_begin, spool_end for the next part. */
int spool_part_begin(struct spool *s, struct spool_upload *u, size_t len,
                     uint8_t class_id, uint8_t **payload, struct err *err);
void spool_part_end(struct spool *s, struct spool_upload *u);
/* Make an object of the parts; releases @u but on failure. ERR_IO: a round with
 * a part of it failed. */
int spool_finish(struct spool *s, struct spool_upload *u,
                 const struct spool_object *object, uint64_t *id,
                 struct err *err);
void spool_abort(struct spool *s, struct spool_upload *u); /* or nothing */

/* Make all that ended durable: one write, one fdatasync. */
int spool_commit(struct spool *s, struct err *err);
bool spool_dirty(const struct spool *s); /* there is something to commit */

/* ---- reading: durable objects only ---- */

/* The newest of this key. ERR_NO_KEY: none, or the newest is a delete. */
int spool_find(struct spool *s, const char *key, size_t len, uint64_t *id,
               struct err *err);
/* No newer object or delete of the same key is held. */
bool spool_is_newest(struct spool *s, uint64_t id);
/* The next id after @id; 0 when there is none. Ids start at 1. */
uint64_t spool_next(struct spool *s, uint64_t id);
/* What is held, for who decides what to deliver: look, and change nothing. */
struct spool_index *spool_held(struct spool *s);
/* All ids below this one are delivered or given up, and after any power cut
 * still will be. */
uint64_t spool_floor(const struct spool *s);
/* All but the payload. @text (cleared) holds key and metadata. ERR_NOT_FOUND:
 * not held any more. ERR_CORRUPT. */
int spool_get(struct spool *s, uint64_t id, struct spool_object *out,
              struct buf *text, struct err *err);
/* Append the whole payload, checked; ERR_LIMIT over @max. */
int spool_payload(struct spool *s, uint64_t id, size_t max, struct buf *out,
                  struct err *err);
/* Payloads of any size, one part after the other. */
struct spool_stream;
int spool_stream_open(struct spool *s, uint64_t id, struct spool_stream **out,
                      struct err *err);
/* Append the next run of at most SPOOL_PAYLOAD_MAX bytes; *@more is false at
 * the end. */
int spool_stream_next(struct spool_stream *r, struct buf *out, bool *more,
                      struct err *err);
void spool_stream_close(struct spool_stream *r);
/* Sequence and seal header (appended) of the segment that holds @id. */
int spool_segment_of(struct spool *s, uint64_t id, uint64_t *sequence,
                     struct buf *header, struct err *err);
/* Read every byte held; gives the number of objects damaged. */
int spool_verify(struct spool *s, uint64_t *objects, uint64_t *damaged,
                 struct err *err);

/* ---- letting go ---- */

enum spool_fate { SPOOL_DELIVERED, SPOOL_SHED, SPOOL_DAMAGED };
/* The object is held no longer; nothing when it is not. */
void spool_drop(struct spool *s, uint64_t id, enum spool_fate fate);
/* Write the cursor, if it moved. */
bool spool_moved(const struct spool *s);
int spool_save(struct spool *s, struct err *err);
/* As spool_save, if something was given up since: before anything newer is
 * told to the cluster, for a start would hold the older one again. Out of
 * order (SPOOL_LOWEST) it may do so still. */
int spool_save_shed(struct spool *s, struct err *err);

struct spool_status {
    uint64_t objects;
    uint64_t bytes; /* as stored */
    uint64_t oldest_id, newest_id;
    uint64_t oldest_time_ms; /* 0 when empty */
    uint32_t segments, segments_free, segments_max;
    uint64_t class_objects[SPOOL_CLASSES];
    uint64_t syncs;   /* since the start */
    uint64_t expired; /* shed for their deadline; since the start */
    struct spool_cursor counters;
};
void spool_status(struct spool *s, struct spool_status *out);

#endif
