/* Walks over the whole catalogue: every manifest, and every reference. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wire.h"
#include "meta/meta_internal.h"

#define STEP 256 /* names read in one transaction */
#define LOW_BITS 0xffffffu

typedef bool (*manifest_fn)(void *arg, const char *bucket, const char *key,
                            uint32_t part, const void *manifest, size_t len);

/* ---- every manifest ---- */

struct name {
    char *bucket;
    char *key;
    uint64_t body;
    uint64_t bucket_id;
    uint64_t seq; /* of a version that is not current */
    uint8_t upload[META_UPLOAD_ID];
};

struct each {
    struct meta *m;
    manifest_fn fn;
    void *arg;
    struct err *err;
    bool stop;
};

static void names_free(struct name *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(names[i].bucket);
        free(names[i].key);
    }
}

/* Parts of a body, one transaction for each: @fn may take its time. */
static int each_part(struct each *e, const struct name *n)
{
    uint32_t after = 0;
    int rc = 0;

    while (rc == 0 && !e->stop) {
        struct meta_db *db;
        sqlite3_stmt *s;
        uint8_t *content = NULL;
        size_t len = 0;
        bool there;

        rc = meta_read_begin(e->m, &db, e->err);
        if (rc != 0) {
            break;
        }
        s = meta_db_stmt(db, STMT_PART_RUNS);
        bind_u64(s, 1, n->body);
        bind_u64(s, 2, after);
        bind_u64(s, 3, 1);
        there = meta_read_step(db, s, &rc, e->err) == 1;
        if (there) {
            after = (uint32_t)sqlite3_column_int(s, 2);
            if (sqlite3_column_int(s, 0) == COMMAND_MANIFEST) {
                content = meta_column_bytes(s, 1, &len);
            }
        }
        meta_read_end(e->m, db);
        if (content != NULL) {
            e->stop = !e->fn(e->arg, n->bucket, n->key, after, content, len);
            free(content);
        }
        if (!there) {
            break;
        }
    }
    return rc;
}

/* A body that is gone by now was deleted meanwhile: no defect. */
static int each_body(struct each *e, const struct name *n)
{
    struct meta_db *db;
    sqlite3_stmt *s;
    uint8_t *content = NULL;
    size_t len = 0;
    bool parts = false;
    int rc = meta_read_begin(e->m, &db, e->err);

    if (rc != 0) {
        return rc;
    }
    s = meta_db_stmt(db, STMT_BODY_GET);
    bind_u64(s, 1, n->body);
    if (meta_read_step(db, s, &rc, e->err) == 1) {
        if (sqlite3_column_int(s, 0) == COMMAND_MANIFEST) {
            content = meta_column_bytes(s, 2, &len);
        }
        parts = sqlite3_column_int(s, 1) > 0;
    }
    meta_read_end(e->m, db);
    if (content != NULL) {
        e->stop = !e->fn(e->arg, n->bucket, n->key, 0, content, len);
        free(content);
    }
    return parts && rc == 0 ? each_part(e, n) : rc;
}

/* The next names after @from: of objects, in listing order. */
static int object_names(struct each *e, const struct name *from,
                        struct name *out, size_t *count)
{
    struct meta_db *db;
    sqlite3_stmt *s;
    int rc = meta_read_begin(e->m, &db, e->err);

    *count = 0;
    if (rc != 0) {
        return rc;
    }
    s = meta_db_stmt(db, STMT_VERSION_NAMES);
    bind_u64(s, 1, from->bucket_id);
    bind_bytes(s, 2, from->key, from->key != NULL ? strlen(from->key) : 0);
    bind_u64(s, 3, STEP);
    while (meta_read_step(db, s, &rc, e->err) == 1) {
        struct name *n = &out[(*count)++];
        n->bucket_id = column_u64(s, 0);
        n->bucket = meta_column_text(s, 1);
        n->key = meta_column_text(s, 2);
        n->body = column_u64(s, 3);
    }
    meta_read_end(e->m, db);
    return rc;
}

/* ... of versions that are not current. Markers have no body. */
static int history_names(struct each *e, const struct name *from,
                         struct name *out, size_t *count)
{
    struct meta_db *db;
    sqlite3_stmt *s;
    int rc = meta_read_begin(e->m, &db, e->err);

    *count = 0;
    if (rc != 0) {
        return rc;
    }
    s = meta_db_stmt(db, STMT_HISTORY_NAMES);
    bind_u64(s, 1, from->bucket_id);
    bind_bytes(s, 2, from->key, from->key != NULL ? strlen(from->key) : 0);
    bind_u64(s, 3, from->seq);
    bind_u64(s, 4, STEP);
    while (meta_read_step(db, s, &rc, e->err) == 1) {
        struct name *n = &out[(*count)++];
        n->bucket_id = column_u64(s, 0);
        n->bucket = meta_column_text(s, 1);
        n->key = meta_column_text(s, 2);
        n->body = column_u64(s, 3);
        n->seq = column_u64(s, 4);
    }
    meta_read_end(e->m, db);
    return rc;
}

/* ... of uploads in progress, in order of id. */
static int upload_names(struct each *e, const struct name *from,
                        struct name *out, size_t *count)
{
    struct meta_db *db;
    sqlite3_stmt *s;
    int rc = meta_read_begin(e->m, &db, e->err);

    *count = 0;
    if (rc != 0) {
        return rc;
    }
    s = meta_db_stmt(db, STMT_UPLOAD_BODIES);
    bind_bytes(s, 1, from->upload, from->bucket != NULL ? META_UPLOAD_ID : 0);
    bind_u64(s, 2, STEP);
    while (meta_read_step(db, s, &rc, e->err) == 1) {
        struct name *n = &out[(*count)++];
        if (sqlite3_column_bytes(s, 0) == META_UPLOAD_ID) {
            memcpy(n->upload, sqlite3_column_blob(s, 0), META_UPLOAD_ID);
        }
        n->bucket = meta_column_text(s, 1);
        n->key = meta_column_text(s, 2);
        n->body = column_u64(s, 3);
    }
    meta_read_end(e->m, db);
    return rc;
}

static int each_name(struct each *e,
                     int (*read)(struct each *e, const struct name *from,
                                 struct name *out, size_t *count),
                     int (*visit)(struct each *e, const struct name *n))
{
    struct name *names = mem_calloc(STEP + 1, sizeof *names);
    size_t count = STEP;
    int rc = 0;

    /* names[0] is where the step before ended. */
    while (rc == 0 && !e->stop && count == STEP) {
        rc = read(e, &names[0], &names[1], &count);
        for (size_t i = 1; i <= count && rc == 0 && !e->stop; i++) {
            rc = visit(e, &names[i]);
        }
        if (count == STEP) {
            names_free(names, STEP);
            names[0] = names[STEP];
            memset(&names[1], 0, STEP * sizeof *names);
        }
    }
    names_free(names, STEP + 1);
    free(names);
    return rc;
}

int meta_each_manifest(struct meta *m, manifest_fn fn, void *arg,
                       struct err *err)
{
    struct each e = {.m = m, .fn = fn, .arg = arg, .err = err};
    int rc = each_name(&e, object_names, each_body);

    /* One that moves between the two walks may be met twice, or, promoted
     * meanwhile, not at all: as if it had been put after the walk. */
    if (rc == 0) {
        rc = each_name(&e, history_names, each_body);
    }
    return rc == 0 ? each_name(&e, upload_names, each_part) : rc;
}

/* ---- a dump ---- */

static const char *const dumps[] = {
    "SELECT 'state', * FROM state",
    "SELECT 'bucket', * FROM bucket ORDER BY id",
    "SELECT 'bucket_config', * FROM bucket_config ORDER BY bucket, kind",
    "SELECT 'version', * FROM version ORDER BY bucket, key, version",
    "SELECT 'history', * FROM history ORDER BY bucket, key, seq DESC",
    "SELECT 'body', * FROM body ORDER BY id",
    "SELECT 'part', * FROM part ORDER BY body, number",
    "SELECT 'upload', * FROM upload ORDER BY id",
    "SELECT 'run', * FROM run ORDER BY hi, lo",
    "SELECT 'garbage', * FROM garbage ORDER BY id",
    "SELECT 'layout', * FROM layout ORDER BY epoch",
    "SELECT 'cluster', * FROM cluster",
    "SELECT 'zone', * FROM zone ORDER BY id",
    "SELECT 'server', * FROM server ORDER BY id",
    "SELECT 'drive', * FROM drive ORDER BY id",
    "SELECT 'user', * FROM user ORDER BY name",
    "SELECT 'access_key', * FROM access_key ORDER BY id",
    "SELECT 'master_key', * FROM master_key ORDER BY name, number",
    "SELECT 'device', * FROM device ORDER BY name",
    "SELECT 'device_floor', * FROM device_floor ORDER BY number",
    "SELECT 'device_report', * FROM device_report ORDER BY number",
    "SELECT 'delivered', * FROM delivered ORDER BY device, sequence",
    "SELECT 'clock', * FROM clock",
    "SELECT 'token', * FROM token ORDER BY hash",
    "SELECT 'sequence', * FROM sqlite_sequence ORDER BY name",
    "SELECT 'audit', * FROM audit ORDER BY number",
    "SELECT 'audit_checkpoint', * FROM audit_checkpoint ORDER BY number",
    "SELECT 'audit_state', * FROM audit_state",
};

static void dump_column(sqlite3_stmt *s, int at, struct buf *out)
{
    const uint8_t *p;

    switch (sqlite3_column_type(s, at)) {
        case SQLITE_NULL:
            buf_str(out, "NULL");
            break;
        case SQLITE_INTEGER:
            buf_printf(out, "%lld", (long long)sqlite3_column_int64(s, at));
            break;
        case SQLITE_TEXT:
            buf_append(out, sqlite3_column_text(s, at),
                       (size_t)sqlite3_column_bytes(s, at));
            break;
        default:
            p = sqlite3_column_blob(s, at);
            for (int i = 0; i < sqlite3_column_bytes(s, at); i++) {
                buf_printf(out, "%02x", p[i]);
            }
    }
}

int meta_dump_on(struct meta_db *db, struct buf *out, struct err *err)
{
    for (size_t i = 0; i < sizeof dumps / sizeof dumps[0]; i++) {
        sqlite3_stmt *s;
        int step;
        if (sqlite3_prepare_v2(db->sqlite, dumps[i], -1, &s, NULL) !=
            SQLITE_OK) {
            return meta_db_error(db, "dump", err);
        }
        while ((step = sqlite3_step(s)) == SQLITE_ROW) {
            for (int c = 0; c < sqlite3_column_count(s); c++) {
                buf_str(out, c > 0 ? "|" : "");
                dump_column(s, c, out);
            }
            buf_char(out, '\n');
        }
        sqlite3_finalize(s);
        if (step != SQLITE_DONE) {
            return meta_db_error(db, "dump", err);
        }
    }
    return 0;
}

/* ---- references ---- */

struct verify {
    struct meta_db *db;
    void (*report)(void *arg, const char *what);
    void *arg;
    uint64_t defects;
};

static void defect(struct verify *v, const char *what)
{
    v->defects++;
    v->report(v->arg, what);
}

/* Each row of @sql is a defect; its columns stand behind @what. */
static void none_of(struct verify *v, const char *what, const char *sql)
{
    sqlite3_stmt *s;
    int step = SQLITE_ERROR;

    if (sqlite3_prepare_v2(v->db->sqlite, sql, -1, &s, NULL) == SQLITE_OK) {
        while ((step = sqlite3_step(s)) == SQLITE_ROW) {
            struct buf text = {0};
            buf_str(&text, what);
            for (int i = 0; i < sqlite3_column_count(s); i++) {
                const unsigned char *t = sqlite3_column_text(s, i);
                buf_printf(&text, " %s=%s", sqlite3_column_name(s, i),
                           t != NULL ? (const char *)t : "NULL");
            }
            defect(v, (const char *)text.data);
            buf_free(&text);
        }
        sqlite3_finalize(s);
    }
    if (step != SQLITE_DONE) {
        defect(v, sqlite3_errmsg(v->db->sqlite));
    }
}

static void check_integrity(struct verify *v)
{
    sqlite3_stmt *s;

    if (sqlite3_prepare_v2(v->db->sqlite, "PRAGMA integrity_check", -1, &s,
                           NULL) != SQLITE_OK) {
        defect(v, sqlite3_errmsg(v->db->sqlite));
        return;
    }
    while (sqlite3_step(s) == SQLITE_ROW) {
        const char *t = (const char *)sqlite3_column_text(s, 0);
        if (t == NULL || strcmp(t, "ok") != 0) {
            defect(v, t != NULL ? t : "integrity check: no text");
        }
    }
    sqlite3_finalize(s);
}

/* run_hi(manifest) and run_lo(manifest), NULL when it is too short. */
static void run_word(sqlite3_context *c, sqlite3_value *v, size_t at,
                     uint64_t mask)
{
    const uint8_t *p = sqlite3_value_blob(v);

    if (p == NULL || sqlite3_value_bytes(v) < COMMAND_RUN_SIZE) {
        sqlite3_result_null(c);
    } else {
        sqlite3_result_int64(c, (sqlite3_int64)(load_u64(p + at) & mask));
    }
}

static void run_hi(sqlite3_context *c, int argc, sqlite3_value **argv)
{
    (void)argc;
    run_word(c, argv[0], 8, UINT64_MAX);
}

static void run_lo(sqlite3_context *c, int argc, sqlite3_value **argv)
{
    (void)argc;
    run_word(c, argv[0], 16, ~(uint64_t)LOW_BITS);
}

#define NAMED                                                             \
    "WITH named(hi, lo, n) AS MATERIALIZED (SELECT hi, lo, count(*) FROM" \
    " (SELECT run_hi(content) AS hi, run_lo(content) AS lo FROM body"     \
    "  WHERE kind = 2 UNION ALL SELECT run_hi(content), run_lo(content)"  \
    "  FROM part WHERE kind = 2) GROUP BY hi, lo)"

/* Versions with bytes, current or not. */
#define NAMES                                                              \
    "WITH names AS (SELECT bucket, key, size, body FROM version UNION ALL" \
    " SELECT bucket, key, size, body FROM history WHERE (flags & 2) = 0) "

static const struct {
    const char *what;
    const char *sql;
} checks[] = {
    {"object without a bucket:",
     "SELECT bucket, hex(key) AS key FROM version"
     " WHERE bucket NOT IN (SELECT id FROM bucket) UNION ALL"
     " SELECT bucket, hex(key) FROM history"
     " WHERE bucket NOT IN (SELECT id FROM bucket)"},
    {"history in a bucket that never kept versions:",
     "SELECT bucket, hex(key) AS key FROM history WHERE bucket IN"
     " (SELECT id FROM bucket WHERE (flags & 3) = 0)"},
    {"current version that is a marker, or not the newest:",
     "SELECT v.bucket, hex(v.key) AS key FROM version v"
     " WHERE (v.flags & 2) <> 0 OR EXISTS (SELECT 1 FROM history h"
     "  WHERE h.bucket = v.bucket AND h.key = v.key AND h.seq >= v.seq)"},
    {"hidden key without a marker:",
     "SELECT h.bucket, hex(h.key) AS key FROM history h"
     " WHERE (h.flags & 2) = 0 AND NOT EXISTS (SELECT 1 FROM version v"
     "  WHERE v.bucket = h.bucket AND v.key = h.key)"
     " AND NOT EXISTS (SELECT 1 FROM history n WHERE n.bucket = h.bucket"
     "  AND n.key = h.key AND n.seq > h.seq)"},
    {"two null versions of a key:",
     "SELECT v.bucket, hex(v.key) AS key FROM version v JOIN history h"
     " ON h.bucket = v.bucket AND h.key = v.key"
     " WHERE (v.flags & 1) <> 0 AND (h.flags & 1) <> 0"},
    {"bucket with Object Lock that does not keep versions:",
     "SELECT id AS bucket, flags FROM bucket WHERE flags NOT IN (0, 1, 2, 5)"},
    {"upload without a bucket:",
     "SELECT bucket, hex(id) AS upload FROM upload"
     " WHERE bucket NOT IN (SELECT id FROM bucket)"},
    {"object without a body:",
     NAMES "SELECT bucket, hex(key) AS key, body FROM names"
           " WHERE body NOT IN (SELECT id FROM body)"},
    {"body counted wrong:",
     NAMES "SELECT b.id AS body, b.refs AS counted, ifnull(v.n, 0) AS named"
           " FROM body b LEFT JOIN"
           " (SELECT body, count(*) AS n FROM names GROUP BY body) v"
           " ON v.body = b.id WHERE b.refs IS NOT ifnull(v.n, 0)"},
    {"part without an object or upload:",
     "SELECT DISTINCT body FROM part WHERE"
     " body NOT IN (SELECT id FROM body WHERE kind = 3)"
     " AND body NOT IN (SELECT body FROM upload)"},
    {"parts of a body do not add up:",
     "SELECT b.id AS body, b.parts, count(p.number) AS found,"
     " ifnull(sum(p.size), 0) AS bytes FROM body b"
     " LEFT JOIN part p ON p.body = b.id WHERE b.kind = 3 GROUP BY b.id"
     " HAVING b.parts <> count(p.number) OR max(p.number) <> b.parts"},
    {"object with another size than its parts:",
     NAMES "SELECT v.bucket, hex(v.key) AS key, v.size, p.size AS parts"
           " FROM names v JOIN body b ON b.id = v.body AND b.kind = 3"
           " JOIN (SELECT body, sum(size) AS size FROM part GROUP BY body) p"
           " ON p.body = v.body WHERE v.size <> p.size"},
    {"part at a wrong offset:",
     "SELECT p.body, p.number, p.offset FROM part p"
     " JOIN body b ON b.id = p.body AND b.kind = 3"
     " WHERE p.offset <> ifnull((SELECT q.offset + q.size FROM part q"
     "  WHERE q.body = p.body AND q.number = p.number - 1), 0)"},
    {"run named but not counted so:",
     NAMED " SELECT n.hi, n.lo, n.n AS named, r.refs AS counted FROM named n"
           " LEFT JOIN run r ON r.hi = n.hi AND r.lo = n.lo"
           " WHERE r.refs IS NOT n.n"},
    {"run counted but not named:",
     NAMED " SELECT r.hi, r.lo, r.refs AS counted FROM run r"
           " LEFT JOIN named n ON n.hi = r.hi AND n.lo = r.lo"
           " WHERE r.refs <> 0 AND n.n IS NULL"},
    {"garbage without a run, or not the run's:",
     "SELECT g.id AS garbage FROM garbage g LEFT JOIN run r"
     " ON r.hi = run_hi(g.manifest) AND r.lo = run_lo(g.manifest)"
     " WHERE r.garbage IS NOT g.id OR r.refs <> 0"},
    {"run that nothing names and that is not garbage:",
     "SELECT hi, lo, garbage FROM run WHERE refs = 0"
     " AND garbage NOT IN (SELECT id FROM garbage)"},
    {"server without a zone:",
     "SELECT id AS server, zone FROM server"
     " WHERE zone NOT IN (SELECT id FROM zone)"},
    {"drive without a server:",
     "SELECT id AS drive, server FROM drive"
     " WHERE server NOT IN (SELECT id FROM server)"},
    {"drive of a server that was removed or is no node:",
     "SELECT d.id AS drive, d.server, s.state, s.roles FROM drive d"
     " JOIN server s ON s.id = d.server"
     " WHERE d.state <> 2 AND (s.state = 2 OR (s.roles & 2) = 0)"},
    {"server or drive out of its bounds:",
     "SELECT 'server' AS what, id FROM server WHERE state NOT IN (0, 1, 2)"
     " OR roles NOT BETWEEN 1 AND 7 OR length(fingerprint) <> 32"
     " OR length(token) NOT IN (0, 32) OR id NOT BETWEEN 1 AND 65535"
     " UNION ALL SELECT 'drive', id FROM drive WHERE state NOT IN (0, 1, 2)"
     " OR weight NOT BETWEEN 1 AND 4294967295 OR length(uuid) <> 16"
     " OR id NOT BETWEEN 0 AND 65534"
     " UNION ALL SELECT 'zone', id FROM zone"
     " WHERE id NOT BETWEEN 1 AND 65535"},
    {"token out of its bounds:",
     "SELECT hex(hash) AS token, uses FROM token WHERE length(hash) <> 32"
     " OR uses < 0 OR expires <= created"},
    {"ids that the counters do not know:",
     "SELECT next_server, next_drive, next_zone FROM cluster WHERE"
     " next_server <= ifnull((SELECT max(id) FROM server), 0)"
     " OR next_drive <= ifnull((SELECT max(id) FROM drive), -1)"
     " OR next_zone <= ifnull((SELECT max(id) FROM zone), 0)"},
    {"servers without a cluster:",
     "SELECT (SELECT count(*) FROM server) AS servers,"
     " (SELECT count(*) FROM token) AS tokens"
     " WHERE NOT EXISTS (SELECT 1 FROM cluster)"
     " AND (EXISTS (SELECT 1 FROM server) OR EXISTS (SELECT 1 FROM token))"},
    {"no server keeps the catalogue:",
     "SELECT hex(id) AS cluster FROM cluster WHERE NOT EXISTS"
     " (SELECT 1 FROM server WHERE state <> 2 AND (roles & 4) <> 0)"},
    {"rows counted wrong:",
     "SELECT * FROM state WHERE"
     " buckets <> (SELECT count(*) FROM bucket)"
     " OR objects <> (SELECT count(*) FROM version)"
     " OR uploads <> (SELECT count(*) FROM upload)"
     " OR garbage <> (SELECT count(*) FROM garbage)"},
};

static int add_function(struct meta_db *db, const char *name,
                        void (*fn)(sqlite3_context *c, int argc,
                                   sqlite3_value **argv))
{
    return sqlite3_create_function(db->sqlite, name, 1,
                                   SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, fn,
                                   NULL, NULL);
}

uint64_t meta_verify_on(struct meta_db *db,
                        void (*report)(void *arg, const char *what), void *arg)
{
    struct verify v = {.db = db, .report = report, .arg = arg};
    struct err err = {{0}};

    check_integrity(&v);
    if (add_function(db, "run_hi", run_hi) != 0 ||
        add_function(db, "run_lo", run_lo) != 0) {
        defect(&v, sqlite3_errmsg(db->sqlite));
        return v.defects;
    }
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        none_of(&v, checks[i].what, checks[i].sql);
    }
    if (meta_audit_check_on(db, &err) != 0) {
        defect(&v, err.text);
    }
    return v.defects;
}

uint64_t meta_verify(struct meta *m,
                     void (*report)(void *arg, const char *what), void *arg)
{
    struct meta_db *db;
    struct err err;
    uint64_t defects;

    if (meta_read_begin(m, &db, &err) != 0) {
        report(arg, err.text);
        return 1;
    }
    defects = meta_verify_on(db, report, arg);
    meta_read_end(m, db);
    return defects;
}
