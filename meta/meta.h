/* meta.h: the catalogue: propose commands, read rows.
 *
 * Writes: a command (meta/command.h) is proposed, put with all others at hand
 * into one Raft log entry, made durable by the log, applied to SQLite in one
 * transaction with the applied index, and only then acknowledged. Reads see
 * every write acknowledged before they began (read-after-write,
 * list-after-write: P2).
 *
 * Threads: meta_propose and reads any. done() runs on the catalogue's apply
 * thread and must not block. Reads take a reader from a small pool of SQLite
 * connections and may touch the disk.
 */
#ifndef GODWIT_META_META_H
#define GODWIT_META_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "meta/command.h"

struct meta;
struct net;

struct meta_options {
    const char *dir;            /* DIR/meta; made when missing */
    uint64_t reserve_bytes;     /* free space below which proposals that add
                                   something are refused with ERR_FULL */
    uint64_t log_segment_bytes; /* 0: 16 MiB */
    uint32_t snapshot_entries;  /* log entries between snapshots; 0: 8192 */
    uint32_t trailing_entries;  /* ... kept for members that lag; 0: 4096 */
    /* Of a cluster; net NULL: one voter, alone. */
    struct net *net;     /* kept; opened and not yet started; stopped before
                            meta_close */
    uint32_t server;     /* own id, 1.. */
    const char *address; /* own address on the cluster port */
    bool join;           /* do not make a catalogue: wait to be let in */
};

/* Open or make the catalogue. Alone: returns when it leads and has applied its
 * log. In a cluster: returns at once; meta_barrier tells when it can serve.
 * ERR_VERSION, ERR_CORRUPT (with file and offset), ERR_IO. */
int meta_open(const struct meta_options *options, struct meta **out,
              struct err *err);
void meta_close(struct meta *m);

/* ---- writes ---- */

struct meta_proposal {
    const void *command; /* borrowed until done; one command */
    size_t command_len;
    void (*done)(struct meta_proposal *p);
    /* The answer, valid in and after done(): */
    int status; /* 0, an ERR_* that the command names, ERR_FULL,
                   ERR_BUSY, or ERR_UNKNOWN: it may or may not have
                   happened */
    struct err err;
    uint64_t body;      /* of OBJECT_PUT, OBJECT_COPY, UPLOAD_COMPLETE */
    uint64_t version;   /* META_VERSION_* or a number: what was made, or with
                           META_VERSION_MARKER added, a marker that was made or
                           removed; 0 in a bucket that never kept versions */
    uint8_t *codes;     /* of OBJECTS_DELETE: one for each key; the caller's,
                           META_DELETE_MAX bytes, or NULL */
    void *owner;        /* the caller's */
    uint64_t queued_ms; /* the catalogue's, as is the next */
    struct meta_proposal *next;
};

void meta_propose(struct meta *m, struct meta_proposal *p);

/* Propose and wait; returns the status. @p may be NULL; its done is not used.
 */
int meta_propose_wait(struct meta *m, const struct buf *command,
                      struct meta_proposal *p, struct err *err);

/* Wait until reads here see all that was acknowledged anywhere before; every
 * read below begins with it. ERR_UNAVAILABLE: no leader that a majority
 * confirms, in time. */
int meta_barrier(struct meta *m, struct err *err);

/* ---- members: who keeps the catalogue ---- */

enum meta_role { META_SPARE, META_STANDBY, META_VOTER };

#define META_MEMBERS_MAX 64

struct meta_member {
    uint32_t server;
    enum meta_role role;
};
/* As this member knows it; gives their number. */
size_t meta_members(struct meta *m, struct meta_member out[META_MEMBERS_MAX]);
/* Let @server in (as a spare), change its role, or (@remove) let it go: one
 * step, and the next only after it. ERR_UNAVAILABLE: not the leader, or a
 * change is under way. */
int meta_member_change(struct meta *m, uint32_t server, const char *address,
                       enum meta_role role, bool remove, struct err *err);

/* Leading: let the voter @server lead instead, before this one ends. True when
 * it does, or this one did not; takes up to an election timeout (500 ms), in
 * which what is proposed waits. */
bool meta_give_lead(struct meta *m, uint32_t server);

/* ---- reads ----
 * What is given is freed with the matching *_free, which takes zeroed or
 * freed structs too. Missing: ERR_NO_BUCKET, ERR_NO_KEY, ERR_NO_UPLOAD. */

struct meta_config {
    uint8_t *value; /* NULL: never set; a NUL stands after its end */
    size_t len;
};
struct meta_bucket {
    char name[META_BUCKET_MAX + 1];
    char *owner;
    uint64_t created_ms;
    struct meta_config config[META_CONFIG_END]; /* by enum meta_config_kind;
                                                   not in a list of buckets */
};
int meta_bucket_get(struct meta *m, const char *bucket, struct meta_bucket *out,
                    struct err *err);
void meta_bucket_free(struct meta_bucket *b);
/* All buckets after @after (or NULL) in name order, up to @max; gives an array
 * of *@count (free each, then the array). */
int meta_buckets(struct meta *m, const char *after, size_t max,
                 struct meta_bucket **out, size_t *count, struct err *err);

/* The same of those only that were told by which code to be stored, or whether
 * compressed (ERASURE, COMPRESSION, RECODED). */
int meta_buckets_told(struct meta *m, const char *after, size_t max,
                      struct meta_bucket **out, size_t *count, struct err *err);

struct meta_object {
    uint64_t body; /* identity of the bytes; changes with each put */
    uint64_t size_bytes;
    uint64_t modified_ms;
    char etag[META_ETAG_MAX + 1];
    uint8_t *attrs;
    size_t attrs_len;
    uint32_t parts;        /* of a multipart object; else 0 */
    uint8_t *inline_bytes; /* NULL unless kept in the row and asked for */
    uint8_t *manifest;     /* NULL when inline, empty or multipart */
    size_t manifest_len;
    uint64_t version; /* META_VERSION_NULL or a number; 0 in a bucket that never
                         kept versions */
    bool is_marker;   /* a delete marker: has a version and a time only */
    bool hold;
    bool hold_said; /* OBJECT_HOLD, on or off, was said of it */
    enum meta_lock_mode lock;
    uint64_t retain_ms;
    uint8_t *tags; /* as OBJECT_TAGS gave them; NULL for none */
    size_t tags_len;
};
/* @with_content: read inline bytes and manifest too. */
int meta_object_get(struct meta *m, const char *bucket, const char *key,
                    bool with_content, struct meta_object *out,
                    struct err *err);
/* As meta_object_get of the version @which: META_VERSION_* or a number. Gives
 * delete markers too, whichever is named; META_VERSION_CURRENT gives the marker
 * that hides the key. ERR_NO_VERSION for one that is not there. */
int meta_version_get(struct meta *m, const char *bucket, const char *key,
                     uint64_t which, bool with_content, struct meta_object *out,
                     struct err *err);
void meta_object_free(struct meta_object *o);

struct meta_part {
    uint32_t number;
    uint64_t offset; /* in the object; 0 while the upload is open */
    uint64_t size_bytes;
    uint64_t modified_ms;
    char etag[META_ETAG_MAX + 1];
    char *check; /* or NULL */
    uint8_t *inline_bytes;
    uint8_t *manifest;
    size_t manifest_len;
};
/* The part of a multipart object that holds byte @offset, with content.
 * ERR_NOT_FOUND when the body is gone (deleted since it was read). */
int meta_part_at(struct meta *m, uint64_t body, uint64_t offset,
                 struct meta_part *out, struct err *err);
/* The @number-th part (1..) of a multipart object. */
int meta_part_get(struct meta *m, uint64_t body, uint32_t number,
                  struct meta_part *out, struct err *err);
void meta_part_free(struct meta_part *p);

struct meta_upload {
    uint8_t id[META_UPLOAD_ID];
    char *key;
    char bucket[META_BUCKET_MAX + 1];
    uint64_t created_ms;
    uint8_t *attrs;
    size_t attrs_len;
};
/* ERR_NO_UPLOAD also when bucket or key differ. */
int meta_upload_get(struct meta *m, const char *bucket, const char *key,
                    const uint8_t id[META_UPLOAD_ID], struct meta_upload *out,
                    struct err *err);
void meta_upload_free(struct meta_upload *u);
/* Parts of an open upload after number @after, up to @max, with content only
 * when @with_content; gives an array (free each, then the array). */
int meta_upload_parts(struct meta *m, const uint8_t id[META_UPLOAD_ID],
                      uint32_t after, size_t max, bool with_content,
                      struct meta_part **out, size_t *count, struct err *err);

struct meta_list_query {
    const char *bucket;
    const char *prefix;    /* "" for none */
    const char *delimiter; /* "" for none; may be longer than one byte */
    const char *after;     /* keys and common prefixes after this; "" from the
                              start. A value that ends in the delimiter and is
                              a common prefix skips all below it */
    const uint8_t
        *after_upload;      /* uploads only: with @after as key marker,
                               uploads of that key after this id; or NULL */
    uint64_t after_version; /* versions only: with @after as key marker, the
                               versions of that key after this one; or 0 */
    size_t max;             /* 1..1000 entries, keys and prefixes together */
};

struct meta_list_entry {
    char *name; /* key, or common prefix with its delimiter */
    bool is_prefix;
    uint64_t size_bytes;
    uint64_t modified_ms;
    char etag[META_ETAG_MAX + 1];
    uint8_t *attrs; /* for the checksum algorithm in listings */
    size_t attrs_len;
    uint8_t upload[META_UPLOAD_ID]; /* of an upload listing */
    /* Of a listing of versions: */
    uint64_t version; /* META_VERSION_NULL or a number */
    bool is_marker, is_latest;
};

struct meta_list {
    struct meta_list_entry *entries;
    size_t count;
    bool truncated; /* there is at least one more after the last */
};
/* Costs what the page costs: common prefixes are skipped over by seeking past
 * them, never by reading what lies below. Order is by bytes of the key. */
int meta_list_objects(struct meta *m, const struct meta_list_query *q,
                      struct meta_list *out, struct err *err);
/* Uploads in progress, in order of key, then time of creation. */
int meta_list_uploads(struct meta *m, const struct meta_list_query *q,
                      struct meta_list *out, struct err *err);
/* All versions and delete markers, in order of key, the newest of each first.
 * Entries and common prefixes as above. */
int meta_list_versions(struct meta *m, const struct meta_list_query *q,
                       struct meta_list *out, struct err *err);
void meta_list_free(struct meta_list *l);

/* Uploads made before @before_ms, of all buckets, oldest first; an array. */
int meta_uploads_older(struct meta *m, uint64_t before_ms, size_t max,
                       struct meta_upload **out, size_t *count,
                       struct err *err);

struct meta_garbage {
    uint64_t id; /* for GARBAGE_DONE */
    uint8_t *manifest;
    size_t manifest_len;
};
/* Runs that nothing names any more since before @before_ms, up to @max. */
int meta_garbage_list(struct meta *m, uint64_t before_ms, size_t max,
                      struct meta_garbage **out, size_t *count,
                      struct err *err);
void meta_garbage_free(struct meta_garbage *g);

/* Does any object, part or garbage row name the run (chunk id hi and lo with
 * its low 24 bits clear)? On error says yes: what may be known is kept. */
bool meta_run_known(struct meta *m, uint64_t hi, uint64_t lo);

/* Walk every manifest that the catalogue names, in no order that callers may
 * count on: @fn(arg, bucket or NULL, key or NULL, part number or 0, manifest).
 * Stops when fn returns false. For godwit verify. */
int meta_each_manifest(struct meta *m,
                       bool (*fn)(void *arg, const char *bucket,
                                  const char *key, uint32_t part,
                                  const void *manifest, size_t len),
                       void *arg, struct err *err);

/* The layout in place (buf filled, epoch set), or ERR_NOT_FOUND. */
int meta_layout(struct meta *m, uint32_t *epoch, struct buf *out,
                struct err *err);

/* Check the database: SQLite's integrity check, and that references between
 * rows hold (each body named as often as its count says, no part without a
 * body, every run known). @report for each defect; gives their number. */
uint64_t meta_verify(struct meta *m,
                     void (*report)(void *arg, const char *what), void *arg);

struct meta_stats {
    uint64_t applied_index;
    uint64_t term;
    bool leader;
    uint32_t leader_server;                      /* 0: not known */
    uint64_t buckets, objects, uploads, garbage; /* rows */
    uint64_t commands;                           /* applied since start */
    uint64_t entries;                            /* log entries since start */
    uint64_t log_bytes, database_bytes;
    uint64_t clock_ms; /* the cluster's time; 0: not told yet */
};
void meta_stats(struct meta *m, struct meta_stats *out);

#endif
