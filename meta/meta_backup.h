/* meta_backup.h: the catalogue as one file, to keep elsewhere.
 *
 * Header (128 bytes):
 *
 *     off  len  field
 *       0    8  "GWCATBAK"
 *       8    4  version, 1
 *      12    4  format of the database (META_FORMAT)
 *      16   16  id of the cluster
 *      32    8  index of the last log entry that it holds
 *      40    8  era (meta_era.h)
 *      48    8  made at, milliseconds since 1970
 *      56    8  n, bytes of the database
 *      64    4  server that made it
 *      68   56  zero
 *     124    4  CRC32C of bytes 0..123
 *
 * then the n bytes of an SQLite database, then the trailer (48 bytes):
 *
 *       0    8  "GWCATEND"
 *       8   32  SHA-256 of header and database
 *      40    4  zero
 *      44    4  CRC32C of bytes 0..43
 *
 * A file is whole when all checksums match and nothing follows the trailer.
 *
 * Threads: any; a backup belongs to one at a time.
 */
#ifndef GODWIT_META_META_BACKUP_H
#define GODWIT_META_META_BACKUP_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct meta;
struct meta_backup;
struct meta_db;

#define META_BACKUP_VERSION 1
#define META_BACKUP_HEAD 128
#define META_BACKUP_TAIL 48

struct meta_backup_info {
    uint8_t cluster[16];
    uint32_t format;
    uint32_t server;
    uint64_t applied;
    uint64_t era;
    uint64_t made_ms;
    uint64_t size_bytes; /* of the database */
};

/* Copy the database at @from, which may be in use, to the new file @to, by
 * SQLite's own means. ERR_FULL, ERR_IO, ERR_CORRUPT. */
int meta_backup_copy(const char *from, const char *to, struct err *err);
/* The applied index that the database file at @path holds. */
int meta_backup_applied(const char *path, uint64_t *out, struct err *err);

/* Begin to read out a backup of @db, which may be in a read transaction: copies
 * it to @temp_path, which is unlinked before this returns. Of @who cluster and
 * server are used. */
int meta_backup_open(struct meta_db *db, const char *temp_path,
                     const struct meta_backup_info *who,
                     struct meta_backup **out, struct err *err);
/* The same of an open catalogue, with all that was acknowledged before.
 * ERR_BUSY: another is being made; ERR_FULL: no room for a copy beside it;
 * ERR_UNAVAILABLE. */
int meta_backup_now(struct meta *m, const uint8_t cluster[16],
                    struct meta_backup **out, struct err *err);
uint64_t meta_backup_bytes(const struct meta_backup *b); /* of the whole file */
const struct meta_backup_info *meta_backup_info(const struct meta_backup *b);
/* The next up to @size bytes; *@n is 0 at the end. ERR_IO. */
int meta_backup_read(struct meta_backup *b, void *p, size_t size, size_t *n,
                     struct err *err);
void meta_backup_free(struct meta_backup *b); /* NULL is nothing */

/* Write all of it to the new file @path, durably; no file on failure.
 * ERR_EXISTS: there is one. */
int meta_backup_save(struct meta_backup *b, const char *path, struct err *err);

/* @part, which is whole and durable, becomes the new file @path. ERR_EXISTS. */
int meta_backup_name(const char *part, const char *path, struct err *err);

/* Is the file at @path whole? ERR_CORRUPT: no backup, torn or damaged, and
 * which; ERR_VERSION: of a newer Godwit; ERR_IO, ERR_NOT_FOUND. @out may be
 * NULL. */
int meta_backup_check(const char *path, struct meta_backup_info *out,
                      struct err *err);
/* The same, and its database becomes the new file @db_path, durably. */
int meta_backup_extract(const char *path, const char *db_path,
                        struct meta_backup_info *out, struct err *err);

#endif
