#include "meta/meta_cluster.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "meta/meta_internal.h"

/* ---- columns ---- */

static void copy_text(sqlite3_stmt *s, int at, char *out, size_t max)
{
    size_t len = (size_t)sqlite3_column_bytes(s, at);

    if (len > max) {
        len = max;
    }
    if (len > 0) {
        memcpy(out, sqlite3_column_text(s, at), len);
    }
    out[len] = '\0';
}

/* Bytes of a fixed length; zeros when the row has another. */
static void copy_id(sqlite3_stmt *s, int at, uint8_t *out, size_t len)
{
    if ((size_t)sqlite3_column_bytes(s, at) == len) {
        memcpy(out, sqlite3_column_blob(s, at), len);
    }
}

static void read_server(sqlite3_stmt *s, void *row)
{
    struct meta_server *v = row;

    v->id = (uint32_t)column_u64(s, 0);
    copy_text(s, 1, v->name, META_NAME_MAX);
    copy_text(s, 2, v->address, META_ADDRESS_MAX);
    copy_text(s, 3, v->endpoint, META_ADDRESS_MAX);
    copy_text(s, 4, v->zone, META_ZONE_MAX);
    v->zone_id = (uint16_t)column_u64(s, 5);
    v->roles = (uint32_t)column_u64(s, 6);
    v->state = (enum meta_server_state)sqlite3_column_int(s, 7);
    v->joined_ms = column_u64(s, 8);
    copy_id(s, 9, v->fingerprint, sizeof v->fingerprint);
    v->format = (uint32_t)column_u64(s, 10);
}

static void read_drive(sqlite3_stmt *s, void *row)
{
    struct meta_drive *d = row;

    d->id = (uint16_t)column_u64(s, 0);
    d->server = (uint32_t)column_u64(s, 1);
    d->weight = (uint32_t)column_u64(s, 2);
    d->state = (enum meta_drive_state)sqlite3_column_int(s, 3);
    copy_id(s, 4, d->uuid, sizeof d->uuid);
    d->added_ms = column_u64(s, 5);
    d->server_state = (enum meta_server_state)sqlite3_column_int(s, 6);
    d->zone_id = (uint16_t)column_u64(s, 7);
}

static void read_token(sqlite3_stmt *s, void *row)
{
    struct meta_token *t = row;

    copy_id(s, 0, t->hash, sizeof t->hash);
    t->created_ms = column_u64(s, 1);
    t->expires_ms = column_u64(s, 2);
    t->uses = (uint32_t)column_u64(s, 3);
    copy_text(s, 4, t->note, META_NOTE_MAX);
}

/* ---- on a connection ---- */

static int list_on(struct meta_db *db, enum meta_statement name, size_t size,
                   void (*read)(sqlite3_stmt *s, void *row), void **out,
                   size_t *count, struct err *err)
{
    return meta_read_rows(db, name, meta_db_stmt(db, name), size, read, NULL,
                          out, count, err);
}

static int cluster_on(struct meta_db *db, struct meta_cluster *out,
                      struct err *err)
{
    sqlite3_stmt *s = meta_db_stmt(db, STMT_CLUSTER_GET);
    int rc = 0;
    int step = meta_read_step(db, s, &rc, err);

    if (step == 1) {
        memset(out, 0, sizeof *out);
        copy_id(s, 0, out->id, sizeof out->id);
        out->created_ms = column_u64(s, 1);
        out->revision = column_u64(s, 2);
    } else if (step == 0) {
        rc = err_set(err, ERR_NOT_FOUND, "no cluster was made here yet");
    }
    meta_db_done(db, STMT_CLUSTER_GET);
    return rc;
}

static int layout_on(struct meta_db *db, struct meta_registry *r,
                     struct err *err)
{
    sqlite3_stmt *s = meta_db_stmt(db, STMT_LAYOUT_GET);
    int rc = 0;

    if (meta_read_step(db, s, &rc, err) == 1) {
        r->epoch = (uint32_t)column_u64(s, 0);
        buf_append(&r->layout, sqlite3_column_blob(s, 1),
                   (size_t)sqlite3_column_bytes(s, 1));
    }
    meta_db_done(db, STMT_LAYOUT_GET);
    return rc;
}

static int registry_on(struct meta_db *db, struct meta_registry *out,
                       struct err *err)
{
    struct meta_registry r = {.epoch = 0};
    void *servers = NULL, *drives = NULL;
    int rc = cluster_on(db, &r.cluster, err);

    if (rc == 0) {
        rc = list_on(db, STMT_SERVER_LIST, sizeof *r.servers, read_server,
                     &servers, &r.server_count, err);
        r.servers = servers;
    }
    if (rc == 0) {
        rc = list_on(db, STMT_DRIVE_LIST, sizeof *r.drives, read_drive, &drives,
                     &r.drive_count, err);
        r.drives = drives;
    }
    if (rc == 0) {
        rc = layout_on(db, &r, err);
    }
    if (rc != 0) {
        meta_registry_free(&r);
        return rc;
    }
    *out = r;
    return 0;
}

/* ---- reads ---- */

int meta_cluster_get(struct meta *m, struct meta_cluster *out, struct err *err)
{
    struct meta_db *db;
    int rc = meta_read_begin(m, &db, err);

    if (rc == 0) {
        rc = cluster_on(db, out, err);
        meta_read_end(m, db);
    }
    return rc;
}

int meta_server_get(struct meta *m, uint32_t id, struct meta_server *out,
                    struct err *err)
{
    struct meta_db *db;
    sqlite3_stmt *s;
    int step;
    int rc = meta_read_begin(m, &db, err);

    if (rc != 0) {
        return rc;
    }
    s = meta_db_stmt(db, STMT_SERVER_GET);
    bind_u64(s, 1, id);
    step = meta_read_step(db, s, &rc, err);
    if (step == 1) {
        memset(out, 0, sizeof *out);
        read_server(s, out);
    } else if (step == 0) {
        rc = err_set(err, ERR_NOT_FOUND, "there is no server %u", id);
    }
    meta_read_end(m, db);
    return rc;
}

static int list(struct meta *m, enum meta_statement name, size_t size,
                void (*read)(sqlite3_stmt *s, void *row), void **out,
                size_t *count, struct err *err)
{
    struct meta_db *db;
    int rc = meta_read_begin(m, &db, err);

    if (rc == 0) {
        rc = list_on(db, name, size, read, out, count, err);
        meta_read_end(m, db);
    }
    return rc;
}

int meta_servers(struct meta *m, struct meta_server **out, size_t *count,
                 struct err *err)
{
    void *rows;
    int rc =
        list(m, STMT_SERVER_LIST, sizeof **out, read_server, &rows, count, err);

    if (rc == 0) {
        *out = rows;
    }
    return rc;
}

int meta_drives(struct meta *m, struct meta_drive **out, size_t *count,
                struct err *err)
{
    void *rows;
    int rc =
        list(m, STMT_DRIVE_LIST, sizeof **out, read_drive, &rows, count, err);

    if (rc == 0) {
        *out = rows;
    }
    return rc;
}

int meta_token_list(struct meta *m, struct meta_token **out, size_t *count,
                    struct err *err)
{
    void *rows;
    int rc =
        list(m, STMT_TOKEN_LIST, sizeof **out, read_token, &rows, count, err);

    if (rc == 0) {
        *out = rows;
    }
    return rc;
}

int meta_registry_get(struct meta *m, struct meta_registry *out,
                      struct err *err)
{
    struct meta_db *db;
    int rc = meta_read_begin(m, &db, err);

    if (rc == 0) {
        rc = registry_on(db, out, err);
        meta_read_end(m, db);
    }
    return rc;
}

int meta_registry_local(struct meta *m, struct meta_registry *out,
                        struct err *err)
{
    struct meta_db *db;
    int rc = meta_readers_take(meta_readers_of(m), &db, err);

    if (rc == 0) {
        rc = registry_on(db, out, err);
        meta_read_end(m, db);
    }
    return rc;
}

void meta_registry_free(struct meta_registry *r)
{
    free(r->servers);
    free(r->drives);
    buf_free(&r->layout);
    memset(r, 0, sizeof *r);
}
