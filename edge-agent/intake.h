/* intake.h: what comes in is sealed, then spooled, then acknowledged.
 *
 * Every source puts its objects here. Bytes are sealed in memory to the
 * recipients before the spool sees them; small ones (up to INTAKE_SMALL) become
 * one record with a body, larger ones parts of an envelope. An object is done
 * when the round that holds its last record is on the disk: intake_commit, once
 * in each turn of the loop, does that for all that wait, and only then calls
 * back. So a callback never comes while another put is under way.
 *
 * What is on the disk beside sealed bytes: key, size, time, class, content type
 * and metadata. The MD5 of a text would confirm a guess at it, so it is masked
 * by a key that only this process has; after a restart it is not known.
 *
 * With local reads on, each segment is also sealed to an identity that only
 * this process has.
 *
 * Threads: the agent's loop.
 */
#ifndef GODWIT_EDGE_INTAKE_H
#define GODWIT_EDGE_INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crypto/seal.h"
#include "edge-agent/spool.h"

struct buf;
struct config_list;
struct err;
struct intake;

#define INTAKE_SMALL (64U * 1024)
#define INTAKE_LARGE_MAX 16 /* large puts at a time: 200 KiB of memory each */
#define INTAKE_OBJECT_MAX (5ull << 30)                  /* S3: one PUT */
#define INTAKE_RECIPIENTS_MAX (SEAL_RECIPIENTS_MAX - 1) /* one is local */
#define INTAKE_CLASS 5 /* unless said otherwise */
#define INTAKE_META_MAX 32

struct intake_options {
    const struct seal_recipient *recipients; /* copied */
    size_t recipient_count;
    enum prim_algorithm algorithm;
    bool age; /* files of age v1 (crypto/age.h), one each, not envelopes */
    bool local_read; /* not with age */
    uint64_t max_bytes, max_objects;
    enum spool_full when_full;
};

/* What may change while it runs; at first as the options have it. */
struct intake_rules {
    struct spool_rules spool;
    uint64_t flash_budget;   /* bytes a day; 0: no bound */
    const char *budget_path; /* keeps what was written today; NULL: nothing */
    bool zstd;               /* before sealing, where it pays; not with age */
    /* Left out before sealing: metadata (in small letters), and members of JSON
     * objects. Kept until the next; may be NULL. */
    const struct config_list *drop_metadata, *drop_json;
};

/* Open the spool in @disk (kept, not owned). */
int intake_new(const struct spool_disk *disk, const struct intake_options *o,
               struct intake **out, struct err *err);
/* Commits nothing; saves the cursor if it can. */
void intake_free(struct intake *in);
struct spool *intake_spool(struct intake *in);
void intake_set_rules(struct intake *in, const struct intake_rules *r);
/* Append JSON members that each begin with a comma. */
void intake_status(struct intake *in, struct buf *out);

/* ---- putting ---- */

struct intake_what {
    const char *key; /* "BUCKET/KEY" */
    size_t key_len;
    uint8_t class_id;
    const char *content_type; /* may be NULL */
    const char *const *meta;  /* name, value, name, value ... */
    size_t meta_count;        /* pairs */
    uint64_t size;            /* 0: not known yet */
};

struct intake_put;
typedef void (*intake_done)(void *arg, int code, const char *why);

/* ERR_LIMIT: key or metadata too long; ERR_FULL: it fits in no case; ERR_BUSY:
 * the flash was written enough today, but for classes with reserved room;
 * ERR_BAD_INPUT: class, or a key or metadata that a cluster would not take.
 * Their names become small letters. */
int intake_put_open(struct intake *in, const struct intake_what *what,
                    struct intake_put **out, struct err *err);
/* ERR_FULL, ERR_BUSY (INTAKE_LARGE_MAX), ERR_LIMIT, ERR_IO. After a failure
 * only abort. */
int intake_put_update(struct intake_put *p, const void *bytes, size_t len,
                      struct err *err);
/* The MD5 of what came; no update after it. */
void intake_put_md5(struct intake_put *p, uint8_t out[PRIM_MD5]);
/* The object is whole: @done will tell that it is durable, or why not. The put
 * is released by then; on failure only abort. ERR_BAD_INPUT: fields are to be
 * left out of it, and it is no JSON. */
int intake_put_finish(struct intake_put *p, intake_done done, void *arg,
                      struct err *err);
/* Whoever waited for a finished put no longer does: @done will not come. */
void intake_forget(struct intake *in, void *arg);
void intake_put_abort(struct intake_put *p); /* NULL is nothing */

/* The key is to go, here and where it was delivered. */
int intake_delete(struct intake *in, const char *key, size_t key_len,
                  intake_done done, void *arg, struct err *err);

/* Make durable what waits and call back; true when there was something. */
bool intake_commit(struct intake *in);

/* ---- looking ---- */

/* The MD5 of a held object, if this process took it. */
bool intake_md5(struct intake *in, const struct spool_object *o,
                uint8_t out[PRIM_MD5]);

struct intake_meta {
    char *content_type; /* may be NULL */
    size_t count;       /* pairs */
    char *pairs[2 * INTAKE_META_MAX];
};
/* Read what an object's metadata say; intake_meta_free releases it. */
int intake_meta_read(const struct spool_object *o, struct intake_meta *out,
                     struct err *err);
void intake_meta_free(struct intake_meta *m);

/* Give the object as a self-contained envelope, run by run. */
struct intake_envelope;
int intake_envelope_open(struct intake *in, uint64_t id,
                         struct intake_envelope **out, uint64_t *size,
                         struct err *err);
int intake_envelope_next(struct intake_envelope *e, struct buf *out, bool *more,
                         struct err *err);
void intake_envelope_close(struct intake_envelope *e);

/* Open what is held: only with local reads on, and only what this process
 * took. ERR_DENIED says why not. */
struct intake_read;
int intake_read_open(struct intake *in, uint64_t id, struct intake_read **out,
                     struct err *err);
int intake_read_next(struct intake_read *r, struct buf *out, bool *more,
                     struct err *err);
void intake_read_close(struct intake_read *r);

#endif
