/* apply_step.h: one command on its way into the database.
 *
 * What the files of apply share. Functions return 0 or a failure of the
 * database; what the command comes to (0, or a refusal that meta/command.h
 * names) is left in status. A command is judged whole before its first write.
 *
 * Threads: the apply thread.
 */
#ifndef GODWIT_META_APPLY_STEP_H
#define GODWIT_META_APPLY_STEP_H

#include <stdbool.h>
#include <stdint.h>

#include "meta/command.h"
#include "meta/meta_apply.h"

#define APPLY_RUN_LOW_BITS 0xffffffu /* of a chunk id: place in its run */
#define META_IDS_PER_ENTRY 1024      /* ids by place in an entry */
#define APPLY_BODY_PARTS 3           /* kind after enum command_content */

_Static_assert(COMMAND_MANIFEST + 1 == APPLY_BODY_PARTS, "kept in rows");

struct step {
    struct meta_apply *a;
    struct meta_db *db;
    const struct command *c;
    uint64_t id; /* free for what this command makes */
    int status;
    uint64_t body;    /* what it gives */
    uint64_t refusal; /* enum command_refusal, with a status */
    uint64_t version; /* of META_VERSION_*: what was made or removed */
    uint8_t *codes;
    uint64_t bucket_flags; /* of step_bucket: the bucket's */
    /* Of the version that is made; from the command, unless it is set. */
    struct {
        bool given; /* lock, retain_ms and hold are not the command's */
        uint8_t lock;
        uint64_t retain_ms;
        bool hold;
        uint8_t *tags; /* not NULL: instead of the command's; owned */
        size_t tags_len;
    } made;
    struct err *err;
};

/* ---- apply_step.c: statements and names ---- */

/* Step a statement that gives no row, or is done with one. */
int step_run(struct step *s, enum meta_statement name, sqlite3_stmt *stmt);
/* Step a SELECT; *@found tells whether there is a row, which stays readable
 * until meta_db_done. */
int step_find(struct step *s, sqlite3_stmt *stmt, bool *found);

/* The bucket's id, or status ERR_NO_BUCKET. */
int step_bucket(struct step *s, const struct command_bytes *name, uint64_t *id);

struct version_row {
    bool there;
    char etag[META_ETAG_MAX];
    size_t etag_len;
    uint64_t body;
    uint64_t size_bytes;
    uint64_t modified_ms;
    uint64_t seq;
    uint64_t flags; /* VERSION_* */
    uint8_t lock;
    uint64_t retain_ms;
    bool in_history;
};
/* From a row of VERSION_COLUMN_*; sets neither there nor in_history. */
void step_version_row(sqlite3_stmt *q, struct version_row *v);
/* What the key names now. */
int step_version(struct step *s, uint64_t bucket,
                 const struct command_bytes *key, struct version_row *v);
/* 0, ERR_NO_KEY or ERR_PRECONDITION. */
int step_judge(const struct command_bytes *if_match,
               const struct command_bytes *if_none_match,
               const struct version_row *v);
/* Where an object is to be named: its bucket, and what the key names now.
 * Status is ERR_NO_BUCKET or that of the condition. */
int step_place(struct step *s, uint64_t *bucket, struct version_row *old);
/* Let the key name @body, then let go of what it named. The new name comes
 * first: an object copied onto itself keeps its body. */
int step_version_put(struct step *s, uint64_t bucket,
                     const struct version_row *old, uint64_t size_bytes,
                     uint64_t body, const struct command_bytes *attrs);

/* ---- apply_version.c: versions of a key ---- */

/* The version that META_VERSION_* or a number names. */
int version_find(struct step *s, uint64_t bucket,
                 const struct command_bytes *key, uint64_t which,
                 struct version_row *v);
/* Status ERR_RETAINED when @v must stay; @bypass as in the command. */
void version_judge_retained(struct step *s, const struct version_row *v,
                            bool bypass);
/* Judge what a put, or a delete without a version, would replace. */
int version_judge_delete(struct step *s, uint64_t bucket,
                         const struct command_bytes *key,
                         const struct version_row *old);
/* ... and what a put asks for. */
int version_judge_put(struct step *s, uint64_t bucket,
                      const struct version_row *old);
/* Keep in the history what the key names now, if its bucket keeps versions, and
 * remove the null version from there if a new one comes. *@kept: @old is not to
 * be released. */
int version_make_room(struct step *s, uint64_t bucket,
                      const struct command_bytes *key,
                      const struct version_row *old, bool *kept);
/* Delete what the key names, as its bucket has it: for good, or by a marker,
 * the @i-th that the command makes. Sets s->version. */
int version_delete_newest(struct step *s, uint64_t bucket,
                          const struct command_bytes *key,
                          const struct version_row *v, uint32_t i);
/* Delete one version for good; what is newest then is what the key names. */
int version_remove(struct step *s, uint64_t bucket,
                   const struct command_bytes *key,
                   const struct version_row *v);
/* Until when and how strictly a new version is retained. */
int version_retention(struct step *s, uint64_t bucket, uint8_t *lock,
                      uint64_t *retain_ms);
uint64_t version_number(const struct step *s, uint32_t i);
/* What BUCKET_CONFIG of VERSIONING and OBJECT_LOCK means for the bucket. */
int version_config(struct step *s, uint64_t bucket);
int version_config_put(struct step *s, uint64_t bucket,
                       enum meta_config_kind kind, const void *value,
                       size_t len);

/* ---- apply_body.c: bytes, and who names them ---- */

/* May new content name this run? Not once it is garbage: its chunks may be
 * gone from the drives already (a retry of a put whose first try was applied
 * and replaced meanwhile). Status ERR_BUSY then. */
int apply_content_check(struct step *s);
/* One more row names the run of the command's content. */
int apply_content_keep(struct step *s);
/* A row that named this manifest is going; the last one makes garbage. */
int apply_manifest_release(struct step *s, const uint8_t *manifest, size_t len);
/* Release every part of @body and remove their rows. */
int apply_parts_release(struct step *s, uint64_t body);
int apply_body_insert(struct step *s, uint64_t id, unsigned kind,
                      uint64_t parts, const struct command_bytes *content);
int apply_body_refs(struct step *s, uint64_t body, int64_t more);
/* One name of @body is going; with the last one go its bytes. */
int apply_body_release(struct step *s, uint64_t body);

int apply_body_recode(struct step *s); /* the command */

/* ---- apply_object.c, apply_upload.c: a command each ---- */

int apply_bucket_create(struct step *s);
int apply_bucket_delete(struct step *s);
int apply_bucket_config(struct step *s);
int apply_object_put(struct step *s);
int apply_object_delete(struct step *s);
int apply_objects_delete(struct step *s);
int apply_object_copy(struct step *s);
int apply_expire(struct step *s); /* apply_expire.c */
int apply_object_set(struct step *s);
int apply_object_attrs(struct step *s);
int apply_upload_create(struct step *s);
int apply_part_put(struct step *s);
int apply_upload_complete(struct step *s);
int apply_upload_abort(struct step *s);

/* ---- meta_apply.c ---- */

/* Of the layout in place; 0 when there is none. */
int apply_layout_epoch(struct step *s, uint64_t *epoch);
int apply_layout_set(struct step *s);

/* ---- apply_user.c: a command each ---- */

int apply_user_put(struct step *s);
int apply_user_remove(struct step *s);
int apply_key_put(struct step *s);
int apply_key_remove(struct step *s);

/* ---- apply_master_key.c: a command each ---- */

int apply_master_key_put(struct step *s);
int apply_master_key_state(struct step *s);

/* ---- apply_audit.c: a command each; and changes ---- */

int apply_audit_append(struct step *s);
int apply_audit_checkpoint(struct step *s);
/* The command was applied: if it is a change, let the audit log tell of it. */
int audit_note_change(struct step *s);

/* ---- apply_device.c: a command each; and deliveries ---- */

int apply_device_put(struct step *s);
int apply_device_enroll(struct step *s);
int apply_device_key(struct step *s);
int apply_device_revoke(struct step *s);
int apply_device_remove(struct step *s);
int apply_device_report(struct step *s);
/* May the command's device deliver this? */
int device_judge(struct step *s);
/* It has: once more would be twice. */
int device_delivered(struct step *s);

/* ---- apply_erase.c: a command each ---- */

int apply_erase_begin(struct step *s);
int apply_erase_some(struct step *s);
int apply_erase_cancel(struct step *s);
int apply_erase_clean(struct step *s);

/* ---- apply_cluster.c, apply_drive.c, apply_clock.c: a command of the registry
 * each ---- */

int apply_clock_vote(struct step *s);
int apply_cluster_init(struct step *s);
int apply_token_create(struct step *s);
int apply_token_revoke(struct step *s);
int apply_server_join(struct step *s);
int apply_server_update(struct step *s);
int apply_server_state(struct step *s);
int apply_server_remove(struct step *s);
int apply_drive_add(struct step *s);
int apply_drive_state(struct step *s);
int apply_drive_weight(struct step *s);
int apply_layout_change(struct step *s);

#endif
