/* meta_apply.h: commands to rows.
 *
 * Apply is a function of the database and the command alone: no clock, no
 * randomness. The same log gives the same rows in every database, however its
 * entries are grouped in transactions. Conditions are judged here, so that they
 * hold under races.
 *
 * A command that is refused changes nothing: each is checked whole before its
 * first write. Ids are the Raft index * 1024 + the place in the entry.
 *
 * Threads: the apply thread.
 */
#ifndef GODWIT_META_META_APPLY_H
#define GODWIT_META_META_APPLY_H

#include <stddef.h>
#include <stdint.h>

#include "meta/meta_db.h"

struct command;
struct err;

struct meta_apply {
    struct meta_db *db;
    struct meta_state state;
    uint64_t commands;       /* applied since start */
    uint64_t access_changes; /* ... that meta_access_revision tells */
    uint64_t erased; /* index of the last entry that ended a pass of erasure */
};

struct meta_result {
    int status;    /* 0 or what meta/command.h names for the command */
    uint64_t body; /* of OBJECT_PUT, OBJECT_COPY, UPLOAD_COMPLETE; the id that
                      the registry gives; with a refusal, its reason */
    uint64_t version; /* of META_VERSION_*: what a put made, what a delete made
                         (with META_VERSION_MARKER) or removed */
    uint8_t *codes;   /* in: room for META_DELETE_MAX codes or NULL */
};

/* Read the state; @db is kept. */
int meta_apply_init(struct meta_apply *a, struct meta_db *db, struct err *err);

/* All between begin and commit is one transaction. What these return other
 * than 0 is a failure of the database: the caller rolls back or stops, it
 * does not go on. */
int meta_apply_begin(struct meta_apply *a, struct err *err);
int meta_apply_commit(struct meta_apply *a, struct err *err);
/* What commit does before COMMIT: the row of table state. */
int meta_apply_write_state(struct meta_apply *a, struct err *err);
/* Forget what begin began; the state is read anew. */
int meta_apply_rollback(struct meta_apply *a, struct err *err);

/* Apply one entry of commands; entries at or below the applied index are
 * skipped. @results (may be NULL) has a place for each command. A command that
 * cannot be decoded has ERR_BAD_INPUT as its result and changes nothing; an
 * entry that is no batch is ERR_CORRUPT. */
int meta_apply_entry(struct meta_apply *a, uint64_t index, const void *entry,
                     size_t len, struct meta_result *results, struct err *err);
/* An entry without commands (barrier, configuration). */
void meta_apply_empty(struct meta_apply *a, uint64_t index);

#endif
