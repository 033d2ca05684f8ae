#include "meta/meta_backup.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/wire.h"
#include "crypto/digest.h"
#include "meta/meta_core.h"
#include "meta/meta_db.h"
#include "meta/meta_era.h"
#include "meta/meta_internal.h"
#include "meta/meta_vfs.h"

#define HEAD_MAGIC "GWCATBAK"
#define TAIL_MAGIC "GWCATEND"
#define MAGIC_SIZE 8
#define PIECE_BYTES ((size_t)1 << 20)

struct meta_backup {
    struct meta_backup_info info;
    int fd;
    uint64_t at; /* of the whole file */
    uint8_t head[META_BACKUP_HEAD];
    uint8_t tail[META_BACKUP_TAIL];
    struct digest digest;
};

/* ---- databases ---- */

static int copy_from(struct meta_db *in, const char *to, struct err *err)
{
    sqlite3 *out = NULL;
    sqlite3_backup *b = NULL;
    int rc = 0;
    int done;

    unlink(to);
    done = sqlite3_open_v2(to, &out, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                           meta_vfs());
    if (done == SQLITE_OK) {
        sqlite3_exec(out, "PRAGMA synchronous = OFF", NULL, NULL, NULL);
        b = sqlite3_backup_init(out, "main", in->sqlite, "main");
        done = b != NULL ? sqlite3_backup_step(b, -1) : sqlite3_errcode(out);
        sqlite3_backup_finish(b);
    }
    if (done != SQLITE_DONE) {
        rc = err_set(err, done == SQLITE_FULL ? ERR_FULL : ERR_IO, "%s: %s", to,
                     sqlite3_errmsg(out));
    }
    sqlite3_close(out);
    return rc;
}

int meta_backup_copy(const char *from, const char *to, struct err *err)
{
    struct meta_db in;
    int rc = meta_db_open(&in, from, META_DB_READER, err);

    if (rc == 0) {
        rc = copy_from(&in, to, err);
        meta_db_close(&in);
    }
    return rc;
}

static int look_at(const char *path, uint64_t *applied, uint64_t *era,
                   struct err *err)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *s = NULL;
    int rc = ERR_CORRUPT;

    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, meta_vfs()) ==
            SQLITE_OK &&
        sqlite3_prepare_v2(db, "SELECT applied FROM state", -1, &s, NULL) ==
            SQLITE_OK &&
        sqlite3_step(s) == SQLITE_ROW) {
        *applied = (uint64_t)sqlite3_column_int64(s, 0);
        rc = 0;
    } else {
        err_set(err, rc, "%s: %s", path, sqlite3_errmsg(db));
    }
    sqlite3_finalize(s);
    if (rc == 0) {
        rc = meta_era_get(db, era, err);
    }
    sqlite3_close(db); /* the last: nothing of a WAL is left */
    return rc;
}

int meta_backup_applied(const char *path, uint64_t *out, struct err *err)
{
    uint64_t era;

    return look_at(path, out, &era, err);
}

/* ---- giving ---- */

static void encode_head(const struct meta_backup_info *i, uint8_t *p)
{
    memset(p, 0, META_BACKUP_HEAD);
    memcpy(p, HEAD_MAGIC, MAGIC_SIZE);
    store_u32(p + 8, META_BACKUP_VERSION);
    store_u32(p + 12, i->format);
    memcpy(p + 16, i->cluster, sizeof i->cluster);
    store_u64(p + 32, i->applied);
    store_u64(p + 40, i->era);
    store_u64(p + 48, i->made_ms);
    store_u64(p + 56, i->size_bytes);
    store_u32(p + 64, i->server);
    store_u32(p + META_BACKUP_HEAD - 4, crc32c(0, p, META_BACKUP_HEAD - 4));
}

static void encode_tail(struct digest *d, uint8_t *p)
{
    memset(p, 0, META_BACKUP_TAIL);
    memcpy(p, TAIL_MAGIC, MAGIC_SIZE);
    CHECK(digest_final(d, p + MAGIC_SIZE) == 32);
    store_u32(p + META_BACKUP_TAIL - 4, crc32c(0, p, META_BACKUP_TAIL - 4));
}

int meta_backup_open(struct meta_db *db, const char *temp_path,
                     const struct meta_backup_info *who,
                     struct meta_backup **out, struct err *err)
{
    struct meta_backup *b = mem_alloc(sizeof *b);
    struct stat st;
    int rc;

    b->fd = -1;
    b->info = *who;
    b->info.format = META_FORMAT;
    b->info.made_ms = clock_real_ms();
    rc = copy_from(db, temp_path, err);
    if (rc == 0) {
        rc = look_at(temp_path, &b->info.applied, &b->info.era, err);
    }
    if (rc == 0) {
        b->fd = open(temp_path, O_RDONLY | O_CLOEXEC);
        if (b->fd < 0 || fstat(b->fd, &st) != 0) {
            rc = err_errno(err, "%s: open", temp_path);
        }
    }
    unlink(temp_path);
    if (rc != 0) {
        meta_backup_free(b);
        return rc;
    }
    b->info.size_bytes = (uint64_t)st.st_size;
    encode_head(&b->info, b->head);
    digest_init(&b->digest, DIGEST_SHA256);
    *out = b;
    return 0;
}

int meta_backup_now(struct meta *m, const uint8_t cluster[16],
                    struct meta_backup **out, struct err *err)
{
    struct meta_backup_info who = {.server = m->server};
    char *temp = mem_printf("%s/backup.out", m->dir);
    uint64_t free_bytes, size_bytes;
    struct meta_stats stats;
    struct meta_db *db = NULL;
    int rc = 0;

    CHECK_OBJ(m, META_MAGIC);
    memcpy(who.cluster, cluster, sizeof who.cluster);
    meta_stats(m, &stats);
    if (atomic_exchange(&m->backing_up, true)) {
        free(temp);
        return err_set(err, ERR_BUSY, "another backup is being made");
    }
    if (fs_space(m->dir, &free_bytes, &size_bytes, NULL) == 0 &&
        free_bytes < stats.database_bytes + m->reserve_bytes) {
        rc = err_set(err, ERR_FULL,
                     "%s: %llu MiB free: no room for a copy of the catalogue",
                     m->dir, (unsigned long long)free_bytes >> 20);
    }
    if (rc == 0) {
        rc = meta_read_begin(m, &db, err);
    }
    if (rc == 0) {
        rc = meta_backup_open(db, temp, &who, out, err);
    }
    meta_read_end(m, db);
    atomic_store(&m->backing_up, false);
    free(temp);
    return rc;
}

uint64_t meta_backup_bytes(const struct meta_backup *b)
{
    return META_BACKUP_HEAD + b->info.size_bytes + META_BACKUP_TAIL;
}

const struct meta_backup_info *meta_backup_info(const struct meta_backup *b)
{
    return &b->info;
}

int meta_backup_read(struct meta_backup *b, void *p, size_t size, size_t *n,
                     struct err *err)
{
    uint64_t end = META_BACKUP_HEAD + b->info.size_bytes;
    const uint8_t *from = NULL;
    uint64_t left;

    if (b->at < META_BACKUP_HEAD) {
        from = b->head + b->at;
        left = META_BACKUP_HEAD - b->at;
    } else if (b->at < end) {
        left = end - b->at;
    } else {
        from = b->tail + (b->at - end);
        left = meta_backup_bytes(b) - b->at;
    }
    size = left < size ? (size_t)left : size;
    if (from != NULL && size > 0) {
        memcpy(p, from, size);
    } else if (size > 0) {
        ssize_t got = pread(b->fd, p, size, (off_t)(b->at - META_BACKUP_HEAD));
        if (got <= 0) {
            return got < 0
                       ? err_errno(err, "read a copy of the catalogue")
                       : err_set(err, ERR_IO, "a copy of the catalogue ends");
        }
        size = (size_t)got;
    }
    if (b->at < end) {
        digest_update(&b->digest, p, size);
    }
    b->at += size;
    if (b->at == end) {
        encode_tail(&b->digest, b->tail);
    }
    *n = size;
    return 0;
}

void meta_backup_free(struct meta_backup *b)
{
    if (b == NULL) {
        return;
    }
    if (b->fd >= 0) {
        close(b->fd);
    }
    digest_free(&b->digest);
    free(b);
}

static int write_all(int fd, const uint8_t *p, size_t n, const char *path,
                     struct err *err)
{
    while (n > 0) {
        ssize_t done = write(fd, p, n);
        if (done <= 0) {
            return err_errno(err, "%s: write", path);
        }
        p += done;
        n -= (size_t)done;
    }
    return 0;
}

/* A new file; *@fd. */
static int create(const char *path, int *fd, struct err *err)
{
    *fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (*fd < 0 && errno == EEXIST) {
        return err_set(err, ERR_EXISTS, "%s: is there already", path);
    }
    return *fd >= 0 ? 0 : err_errno(err, "%s: open", path);
}

static int write_file(struct meta_backup *b, const char *path, struct err *err)
{
    uint8_t *piece;
    size_t n = 1;
    int fd;
    int rc = create(path, &fd, err);

    if (rc != 0) {
        return rc;
    }
    piece = mem_alloc(PIECE_BYTES);
    while (rc == 0 && n > 0) {
        rc = meta_backup_read(b, piece, PIECE_BYTES, &n, err);
        if (rc == 0) {
            rc = write_all(fd, piece, n, path, err);
        }
    }
    if (rc == 0 && fsync(fd) != 0) {
        rc = err_errno(err, "%s: fsync", path);
    }
    close(fd);
    free(piece);
    if (rc != 0) {
        unlink(path);
    }
    return rc;
}

int meta_backup_name(const char *part, const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash == NULL   ? mem_strdup(".")
                : slash == path ? mem_strdup("/")
                                : mem_strndup(path, (size_t)(slash - path));
    int rc = 0;

    /* Not over one that came meanwhile. */
    if (link(part, path) != 0) {
        bool no_links = errno == EPERM || errno == ENOTSUP;
        rc = errno == EEXIST
                 ? err_set(err, ERR_EXISTS, "%s: is there already", path)
                 : err_errno(err, "%s: link", path);
        if (no_links) {
            rc = rename(part, path) == 0 ? 0 : err_errno(err, "%s", path);
        }
    }
    unlink(part);
    if (rc == 0) {
        rc = fs_sync_dir(dir, err);
    }
    free(dir);
    return rc;
}

int meta_backup_save(struct meta_backup *b, const char *path, struct err *err)
{
    char *part = mem_printf("%s.part", path);
    int rc = 0;

    if (access(path, F_OK) == 0) {
        rc = err_set(err, ERR_EXISTS, "%s: is there already", path);
    }
    if (rc == 0) {
        unlink(part); /* of one that was cut off */
        rc = write_file(b, part, err);
    }
    if (rc == 0) {
        rc = meta_backup_check(part, NULL, err);
        rc = rc == 0 ? meta_backup_name(part, path, err) : rc;
    }
    free(part);
    return rc;
}

/* ---- taking ---- */

static int decode_head(const uint8_t *p, const char *path,
                       struct meta_backup_info *out, struct err *err)
{
    if (memcmp(p, HEAD_MAGIC, MAGIC_SIZE) != 0) {
        return err_set(err, ERR_CORRUPT, "%s: is no backup of a catalogue",
                       path);
    }
    if (load_u32(p + META_BACKUP_HEAD - 4) !=
        crc32c(0, p, META_BACKUP_HEAD - 4)) {
        return err_set(err, ERR_CORRUPT, "%s: offset 0: its header is damaged",
                       path);
    }
    *out = (struct meta_backup_info){.format = load_u32(p + 12),
                                     .applied = load_u64(p + 32),
                                     .era = load_u64(p + 40),
                                     .made_ms = load_u64(p + 48),
                                     .size_bytes = load_u64(p + 56),
                                     .server = load_u32(p + 64)};
    memcpy(out->cluster, p + 16, sizeof out->cluster);
    if (load_u32(p + 8) != META_BACKUP_VERSION || out->format > META_FORMAT) {
        return err_set(err, ERR_VERSION,
                       "%s: version %u, format %u: made by a newer Godwit, "
                       "which this one (%d, %d) cannot read",
                       path, load_u32(p + 8), out->format, META_BACKUP_VERSION,
                       META_FORMAT);
    }
    return 0;
}

static int read_all(int fd, void *p, size_t n, uint64_t at, const char *path,
                    struct err *err)
{
    while (n > 0) {
        ssize_t got = pread(fd, p, n, (off_t)at);
        if (got < 0) {
            return err_errno(err, "%s: offset %llu: read", path,
                             (unsigned long long)at);
        }
        if (got == 0) {
            return err_set(err, ERR_CORRUPT,
                           "%s: is torn: it ends at byte %llu", path,
                           (unsigned long long)at);
        }
        p = (uint8_t *)p + got;
        n -= (size_t)got;
        at += (uint64_t)got;
    }
    return 0;
}

static int open_whole(const char *path, int *fd, uint8_t *head,
                      struct meta_backup_info *info, struct err *err)
{
    struct stat st;
    uint64_t want;
    int rc;

    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0 || fstat(*fd, &st) != 0) {
        return err_errno(err, "%s: open", path);
    }
    rc = read_all(*fd, head, META_BACKUP_HEAD, 0, path, err);
    if (rc == 0) {
        rc = decode_head(head, path, info, err);
    }
    if (rc != 0) {
        return rc;
    }
    want = META_BACKUP_HEAD + info->size_bytes + META_BACKUP_TAIL;
    if ((uint64_t)st.st_size != want) {
        return err_set(
            err, ERR_CORRUPT, "%s: is torn: %llu bytes, and should have %llu",
            path, (unsigned long long)st.st_size, (unsigned long long)want);
    }
    return 0;
}

/* The database through the digest, to @to if that is a file; then the trailer.
 */
static int pass(int fd, const char *path, const uint8_t *head,
                const struct meta_backup_info *info, int to,
                const char *to_path, struct err *err)
{
    uint8_t *piece = mem_alloc(PIECE_BYTES);
    uint8_t want[META_BACKUP_TAIL], got[META_BACKUP_TAIL];
    uint64_t at = 0;
    struct digest d;
    int rc = 0;

    digest_init(&d, DIGEST_SHA256);
    digest_update(&d, head, META_BACKUP_HEAD);
    while (at < info->size_bytes && rc == 0) {
        uint64_t left = info->size_bytes - at;
        size_t n = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
        rc = read_all(fd, piece, n, META_BACKUP_HEAD + at, path, err);
        if (rc == 0 && to >= 0) {
            rc = write_all(to, piece, n, to_path, err);
        }
        digest_update(&d, piece, n);
        at += n;
    }
    encode_tail(&d, want);
    free(piece);
    if (rc == 0) {
        rc = read_all(fd, got, sizeof got, META_BACKUP_HEAD + at, path, err);
    }
    if (rc == 0 && memcmp(want, got, sizeof got) != 0) {
        rc = err_set(err, ERR_CORRUPT,
                     "%s: is damaged: its SHA-256 does not match", path);
    }
    return rc;
}

int meta_backup_check(const char *path, struct meta_backup_info *out,
                      struct err *err)
{
    uint8_t head[META_BACKUP_HEAD];
    struct meta_backup_info info;
    int fd;
    int rc = open_whole(path, &fd, head, &info, err);

    if (rc == 0) {
        rc = pass(fd, path, head, &info, -1, NULL, err);
    }
    if (fd >= 0) {
        close(fd);
    }
    if (rc == 0 && out != NULL) {
        *out = info;
    }
    return rc;
}

int meta_backup_extract(const char *path, const char *db_path,
                        struct meta_backup_info *out, struct err *err)
{
    uint8_t head[META_BACKUP_HEAD];
    struct meta_backup_info info;
    uint64_t applied = 0, era = 0;
    int fd, to = -1;
    int rc = open_whole(path, &fd, head, &info, err);

    if (rc == 0) {
        rc = create(db_path, &to, err);
    }
    if (rc == 0) {
        rc = pass(fd, path, head, &info, to, db_path, err);
    }
    if (rc == 0 && fsync(to) != 0) {
        rc = err_errno(err, "%s: fsync", db_path);
    }
    if (fd >= 0) {
        close(fd);
    }
    if (to >= 0) {
        close(to);
    }
    if (rc == 0) {
        rc = look_at(db_path, &applied, &era, err);
    }
    if (rc == 0 && (applied != info.applied || era != info.era)) {
        rc = err_set(err, ERR_CORRUPT,
                     "%s: its database is not what its header says", path);
    }
    if (rc != 0 && to >= 0) {
        unlink(db_path);
    }
    if (rc == 0) {
        *out = info;
    }
    return rc;
}
