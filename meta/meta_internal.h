/* meta_internal.h: what the files of meta.h share.
 *
 * Threads: struct meta is written by meta.c; the reading files use the pool of
 * readers alone.
 */
#ifndef GODWIT_META_META_INTERNAL_H
#define GODWIT_META_META_INTERNAL_H

#include "meta/meta.h"
#include "meta/meta_db.h"

/* More in parallel only waits for the same cores and disk. */
#define META_READERS_MAX 8

struct meta_readers;

struct meta_readers *meta_readers_new(const char *db_path); /* copies */
void meta_readers_free(struct meta_readers *r); /* all must be back */
struct meta_readers *meta_readers_of(struct meta *m);

/* A connection in a read transaction: one snapshot of the database, which sees
 * all that was acknowledged before. Waits when all are out. Give it back with
 * meta_read_end on every path; NULL is nothing. */
int meta_read_begin(struct meta *m, struct meta_db **out, struct err *err);
void meta_read_end(struct meta *m, struct meta_db *db);

/* From now on a connection that is given back keeps its snapshot, and the next
 * read uses it again, unless meta_readers_changed was called since it began:
 * beginning and ending a read costs four system calls and two locks. */
void meta_readers_keep(struct meta_readers *r);
/* The database has changed: after each COMMIT and before its answers. */
void meta_readers_changed(struct meta_readers *r);
/* Let go of snapshots that idle connections keep; before a checkpoint, which
 * they would hold back. NULL is nothing. */
void meta_readers_release(struct meta_readers *r);

/* Close all connections, waiting for those that are out, and let none be made
 * until resume: the file is to be replaced. */
void meta_readers_pause(struct meta_readers *r);
void meta_readers_resume(struct meta_readers *r);

/* As above on a pool without a struct meta, for tests. */
int meta_readers_take(struct meta_readers *r, struct meta_db **out,
                      struct err *err);
void meta_readers_give(struct meta_readers *r, struct meta_db *db);

/* Step a SELECT: 1 a row, 0 none, or -1 with *@rc and @err set. */
int meta_read_step(struct meta_db *db, sqlite3_stmt *s, int *rc,
                   struct err *err);

/* All rows of the bound @s, statement @name, as an array of @size bytes each
 * that @read fills from zeros. On failure those read go to @drop (NULL: there
 * is nothing to free). */
int meta_read_rows(struct meta_db *db, enum meta_statement name,
                   sqlite3_stmt *s, size_t size,
                   void (*read)(sqlite3_stmt *s, void *row),
                   void (*drop)(void *row), void **out, size_t *count,
                   struct err *err);

/* Copies of a column; free(). */
char *meta_column_text(sqlite3_stmt *s, int at);
uint8_t *meta_column_bytes(sqlite3_stmt *s, int at, size_t *len);
/* An etag into its array. */
void meta_column_etag(sqlite3_stmt *s, int at, char out[META_ETAG_MAX + 1]);

/* ERR_NO_BUCKET. */
int meta_read_bucket(struct meta_db *db, const char *bucket, uint64_t *id,
                     struct err *err);

/* The lists of meta_list.c on one connection. */
int meta_list_objects_on(struct meta_db *db, const struct meta_list_query *q,
                         struct meta_list *out, struct err *err);
int meta_list_uploads_on(struct meta_db *db, const struct meta_list_query *q,
                         struct meta_list *out, struct err *err);

int meta_list_versions_on(struct meta_db *db, const struct meta_list_query *q,
                          struct meta_list *out, struct err *err);

/* Bytes of the common prefix that @name belongs to; 0 when to none. */
size_t meta_common_prefix(const struct meta_list_query *q, const uint8_t *name,
                          size_t len);

/* The first bytes after all that begin with @p: *@len may become shorter.
 * False when there are none (all 0xff, or empty). */
bool meta_successor(uint8_t *p, size_t *len);

/* The defects of one database, as meta_verify. */
uint64_t meta_verify_on(struct meta_db *db,
                        void (*report)(void *arg, const char *what), void *arg);

/* Does the audit log chain from where it begins to where its state says that it
 * ends? ERR_CORRUPT. The signatures are not looked at. */
int meta_audit_check_on(struct meta_db *db, struct err *err);

/* Append every row of every table as text, in order of the primary keys: two
 * databases with the same log give the same bytes. */
int meta_dump_on(struct meta_db *db, struct buf *out, struct err *err);

#endif
