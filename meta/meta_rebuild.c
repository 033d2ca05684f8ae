#include "meta/meta_rebuild.h"

#include <errno.h>
#include <fcntl.h>
#include <raft.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/wire.h"
#include "meta/command.h"
#include "meta/meta_apply.h"
#include "meta/meta_db.h"
#include "meta/meta_era.h"
#include "meta/raft_log.h"
#include "meta/raft_snapshot.h"

#define DB_FILE "catalogue.db"
#define SNAPSHOT_FILE "snapshot"
#define TERM 1 /* of a new era, so it may begin again */
#define BATCH_BYTES (4u << 20)

/* ---- the log on top of a database ---- */

struct replay {
    struct meta_apply *apply;
    uint64_t entries, last;
    size_t bytes;
};

static int replay_entry(void *arg, const struct raft_log_entry *e,
                        struct err *err)
{
    struct replay *r = arg;
    int rc = 0;

    r->last = e->index;
    if (e->index <= r->apply->state.applied) {
        return 0;
    }
    if (e->type == RAFT_COMMAND) {
        rc = meta_apply_entry(r->apply, e->index, e->data, e->len, NULL, err);
        r->entries++;
    } else {
        meta_apply_empty(r->apply, e->index);
    }
    r->bytes += e->len;
    if (rc == 0 && r->bytes > BATCH_BYTES) {
        r->bytes = 0;
        rc = meta_apply_commit(r->apply, err);
        if (rc == 0) {
            rc = meta_apply_begin(r->apply, err);
        }
    }
    return rc;
}

static int snapshot_index(const char *dir, uint64_t *out, struct err *err)
{
    char *path = mem_printf("%s/" SNAPSHOT_FILE, dir);
    struct raft_snapshot *s = NULL;
    int rc = raft_snapshot_read(path, &s, err);

    *out = s != NULL ? s->index : 0;
    raft_snapshot_free(s);
    free(path);
    return rc;
}

/* Bring the database at @path up to the end of the log in @dir. */
static int replay(const char *path, const char *dir, uint64_t *entries,
                  struct err *err)
{
    struct meta_db db;
    struct meta_apply apply;
    struct replay r = {.apply = &apply};
    struct raft_log_options o = {.dir = dir};
    struct raft_log *log = NULL;
    int rc = meta_db_open(&db, path, META_DB_WRITER, err);

    if (rc != 0) {
        return rc;
    }
    rc = meta_apply_init(&apply, &db, err);
    if (rc == 0) {
        rc = meta_apply_begin(&apply, err);
    }
    if (rc == 0) {
        /* As the server opens it: no entry is let go of. */
        rc = snapshot_index(dir, &o.after, err);
    }
    if (rc == 0) {
        rc = raft_log_open(&o, replay_entry, &r, &log, err);
        raft_log_close(rc == 0 ? log : NULL);
    }
    if (rc == 0) {
        rc = meta_apply_commit(&apply, err);
    }
    meta_db_close(&db);
    *entries = r.entries;
    return rc;
}

/* ---- the new folder ---- */

static bool has_registry(struct meta_db *db)
{
    bool has = sqlite3_step(meta_db_stmt(db, STMT_CLUSTER_GET)) == SQLITE_ROW;

    meta_db_done(db, STMT_CLUSTER_GET);
    return has;
}

/* The database becomes one of a new era, and knows its server. */
static int prepare_database(struct meta_rebuild *r, const char *path,
                            char **address, struct err *err)
{
    struct meta_db db;
    struct meta_apply apply;
    uint64_t era = 0, now = clock_real_ms();
    int rc = meta_db_open(&db, path, META_DB_WRITER, err);

    if (rc != 0) {
        return rc;
    }
    rc = meta_apply_init(&apply, &db, err);
    if (rc == 0 && r->member) {
        sqlite3_stmt *s = meta_db_stmt(&db, STMT_SERVER_GET);
        bind_u64(s, 1, r->server);
        if (sqlite3_step(s) == SQLITE_ROW &&
            column_u64(s, 7) != META_SERVER_REMOVED) {
            *address = mem_strdup((const char *)sqlite3_column_text(s, 2));
        } else {
            rc = err_set(err, ERR_PRECONDITION,
                         "this catalogue has no server %u (any more): use it "
                         "on a server that it knows",
                         r->server);
        }
        meta_db_done(&db, STMT_SERVER_GET);
    }
    if (rc == 0 && !r->member && has_registry(&db)) {
        rc = err_set(err, ERR_PRECONDITION,
                     "this catalogue is of a cluster of servers: restore it in "
                     "the folder of one of them, which has its identity");
    }
    if (rc == 0 && (rc = meta_apply_begin(&apply, err)) == 0) {
        /* A snapshot is never of index 0. */
        meta_apply_empty(&apply, apply.state.applied + 1);
        rc = meta_apply_commit(&apply, err);
        r->applied = apply.state.applied;
    }
    if (rc == 0) {
        rc = meta_era_get(db.sqlite, &era, err);
    }
    if (rc == 0) {
        rc = meta_era_set(db.sqlite, now > era ? now : era + 1, err);
    }
    meta_db_close(&db); /* the last: the WAL goes into the file */
    return rc;
}

static int sync_file(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = 0;

    if (fd < 0 || fsync(fd) != 0) {
        rc = err_errno(err, "%s: fsync", path);
    }
    if (fd >= 0) {
        close(fd);
    }
    return rc;
}

static int write_snapshot(const struct meta_rebuild *r, const char *dir,
                          const char *address, struct err *err)
{
    char *path = mem_printf("%s/" SNAPSHOT_FILE, dir);
    uint8_t manifest[16];
    struct raft_buffer data = {.base = manifest, .len = sizeof manifest};
    struct raft_snapshot s = {.index = r->applied,
                              .term = TERM,
                              .configuration_index = r->applied,
                              .bufs = &data,
                              .n_bufs = 1};
    struct buf file = {0};
    int rc;

    store_u64(manifest, META_FORMAT);
    store_u64(manifest + 8, r->applied);
    raft_configuration_init(&s.configuration);
    CHECK(raft_configuration_add(&s.configuration, r->server, address,
                                 RAFT_VOTER) == 0);
    raft_snapshot_encode(&s, &file);
    rc = fs_write(path, file.data, file.len, 0600, err);
    raft_configuration_close(&s.configuration);
    buf_free(&file);
    free(path);
    return rc;
}

static int no_entry(void *arg, const struct raft_log_entry *e, struct err *err)
{
    (void)arg;
    (void)e;
    return err_set(err, ERR_CORRUPT, "a new log has an entry");
}

/* An empty log that goes on after the snapshot, in its term. */
static int write_log(const struct meta_rebuild *r, const char *dir,
                     struct err *err)
{
    struct raft_log_options o = {.dir = dir};
    struct raft_vote vote = {.term = TERM};
    struct raft_log *log;
    int rc = raft_log_open(&o, no_entry, NULL, &log, err);

    if (rc == 0) {
        rc = raft_log_cut(log, r->applied, err);
        if (rc == 0) {
            rc = raft_vote_store(log, &vote, err);
        }
        raft_log_close(log);
    }
    return rc;
}

/* ---- folders ---- */

static char *aside_name(const char *dir)
{
    uint64_t ms = clock_real_ms();
    char *name = mem_printf("%s.aside-%llu", dir, (unsigned long long)ms);

    while (access(name, F_OK) == 0) {
        free(name);
        name = mem_printf("%s.aside-%llu", dir, (unsigned long long)++ms);
    }
    return name;
}

static int sync_parent(const char *dir, struct err *err)
{
    char *parent = mem_printf("%s/..", dir);
    int rc = fs_sync_dir(parent, err);

    free(parent);
    return rc;
}

/* @from becomes @dir's .aside-N. */
static int set_aside(const char *from, const char *dir, char **aside,
                     struct err *err)
{
    char *to = aside_name(dir);

    if (rename(from, to) != 0) {
        int rc = err_errno(err, "%s: rename", from);
        free(to);
        return rc;
    }
    *aside = to;
    return sync_parent(to, err);
}

int meta_set_aside(const char *dir, char **aside, struct err *err)
{
    return set_aside(dir, dir, aside, err);
}

/* What a cut off run left stays, under another name. */
static int make_folder(const char *made, const char *dir, struct err *err)
{
    char *aside = NULL;
    int rc = 0;

    if (access(made, F_OK) == 0) {
        rc = set_aside(made, dir, &aside, err);
        free(aside);
    }
    return rc == 0 ? fs_mkdirs(made, err) : rc;
}

/* @made takes the place of @dir at once: no power cut leaves neither. */
static int exchange(const char *made, const char *dir, char **aside,
                    struct err *err)
{
    if (access(dir, F_OK) != 0) {
        if (rename(made, dir) != 0) {
            return err_errno(err, "%s: rename", made);
        }
        return sync_parent(dir, err);
    }
    if (renameat2(AT_FDCWD, made, AT_FDCWD, dir, RENAME_EXCHANGE) == 0) {
        return set_aside(made, dir, aside, err);
    }
    if (errno != EINVAL && errno != ENOSYS) {
        return err_errno(err, "%s: rename", made);
    }
    /* A file system that cannot. */
    char *to = aside_name(dir);
    int rc = 0;
    if (rename(dir, to) != 0 || rename(made, dir) != 0) {
        rc = err_errno(err, "%s: rename", dir);
    }
    *aside = to;
    return rc == 0 ? sync_parent(dir, err) : rc;
}

/* ---- all of it ---- */

static int fill_from_backup(struct meta_rebuild *r, const char *path,
                            struct err *err)
{
    struct meta_backup_info info;
    int rc = meta_backup_extract(r->from, path, &info, err);

    if (rc != 0) {
        return rc;
    }
    if (memcmp(info.cluster, r->cluster, sizeof info.cluster) != 0) {
        return err_set(err, ERR_MISMATCH,
                       "%s: is of another cluster than this folder", r->from);
    }
    r->made_ms = info.made_ms;
    return 0;
}

static int fill_from_own(struct meta_rebuild *r, const char *path,
                         struct err *err)
{
    char *db = mem_printf("%s/" DB_FILE, r->dir);
    int rc = 0;

    if (access(db, F_OK) != 0) {
        rc = err_set(err, ERR_NOT_FOUND, "%s: there is no catalogue", r->dir);
    }
    if (rc == 0) {
        rc = meta_backup_copy(db, path, err);
    }
    if (rc == 0) {
        rc = replay(path, r->dir, &r->log_unread, err);
    }
    free(db);
    return rc;
}

static int build(struct meta_rebuild *r, const char *dir, struct err *err)
{
    char *path = mem_printf("%s/" DB_FILE, dir);
    char *address = NULL;
    int rc = r->from != NULL ? fill_from_backup(r, path, err)
                             : fill_from_own(r, path, err);

    if (rc == 0) {
        rc = prepare_database(r, path, &address, err);
    }
    if (rc == 0) {
        rc = sync_file(path, err);
    }
    if (rc == 0) {
        rc = write_snapshot(r, dir, address != NULL ? address : "self", err);
    }
    if (rc == 0) {
        rc = write_log(r, dir, err);
    }
    if (rc == 0) {
        rc = fs_sync_dir(dir, err);
    }
    free(address);
    free(path);
    return rc;
}

/* A folder of our own making that did not come to be a catalogue. */
static void remove_made(const char *dir)
{
    static const char *const files[] = {DB_FILE, DB_FILE "-wal", DB_FILE "-shm",
                                        SNAPSHOT_FILE};

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char *path = mem_printf("%s/%s", dir, files[i]);
        unlink(path);
        free(path);
    }
    rmdir(dir); /* with a log in it stays; the next run sets it aside */
}

int meta_rebuild(struct meta_rebuild *r, struct err *err)
{
    char *db = mem_printf("%s/" DB_FILE, r->dir);
    char *made = mem_printf("%s.new", r->dir);
    int rc = 0;

    r->aside = NULL;
    if (!r->replace && access(db, F_OK) == 0) {
        rc = err_set(err, ERR_EXISTS, "%s: has a catalogue", r->dir);
    }
    if (rc == 0) {
        rc = make_folder(made, r->dir, err);
    }
    if (rc == 0) {
        rc = build(r, made, err);
        if (rc != 0) {
            remove_made(made);
        }
    }
    if (rc == 0) {
        rc = exchange(made, r->dir, &r->aside, err);
    }
    free(made);
    free(db);
    return rc;
}

int meta_rebuild_backup(const char *dir, const struct meta_backup_info *who,
                        bool log, struct meta_backup **out, struct err *err)
{
    char *db = mem_printf("%s/" DB_FILE, dir);
    char *full = mem_printf("%s/backup.db", dir);
    char *temp = mem_printf("%s/backup.out", dir);
    struct meta_db in;
    uint64_t entries;
    int rc = 0;

    if (access(db, F_OK) != 0) {
        rc = err_set(err, ERR_NOT_FOUND, "%s: there is no catalogue", dir);
    }
    if (rc == 0 && log) {
        rc = meta_backup_copy(db, full, err);
    }
    if (rc == 0 && log) {
        rc = replay(full, dir, &entries, err);
    }
    if (rc == 0) {
        rc = meta_db_open(&in, log ? full : db, META_DB_READER, err);
    }
    if (rc == 0) {
        rc = meta_backup_open(&in, temp, who, out, err);
        meta_db_close(&in);
    }
    unlink(full);
    free(temp);
    free(full);
    free(db);
    return rc;
}
