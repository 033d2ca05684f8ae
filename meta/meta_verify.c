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

    return rc == 0 ? each_name(&e, upload_names, each_part) : rc;
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

/* run_of(manifest): hi and lo as "hi:lo", NULL when it is too short. */
static void run_of(sqlite3_context *c, int argc, sqlite3_value **argv)
{
    const uint8_t *p = sqlite3_value_blob(argv[0]);
    char text[48];

    (void)argc;
    if (p == NULL || sqlite3_value_bytes(argv[0]) < COMMAND_RUN_SIZE) {
        sqlite3_result_null(c);
        return;
    }
    snprintf(text, sizeof text, "%lld:%lld", (long long)load_u64(p + 8),
             (long long)(load_u64(p + 16) & ~(uint64_t)LOW_BITS));
    sqlite3_result_text(c, text, -1, SQLITE_TRANSIENT);
}

static const struct {
    const char *what;
    const char *sql;
} checks[] = {
    {"object without a bucket:",
     "SELECT bucket, hex(key) AS key FROM version"
     " WHERE bucket NOT IN (SELECT id FROM bucket)"},
    {"upload without a bucket:",
     "SELECT bucket, hex(id) AS upload FROM upload"
     " WHERE bucket NOT IN (SELECT id FROM bucket)"},
    {"object without a body:",
     "SELECT bucket, hex(key) AS key, body FROM version"
     " WHERE body NOT IN (SELECT id FROM body)"},
    {"body counted wrong:",
     "SELECT b.id AS body, b.refs AS counted, ifnull(v.n, 0) AS named"
     " FROM body b LEFT JOIN"
     " (SELECT body, count(*) AS n FROM version GROUP BY body) v"
     " ON v.body = b.id WHERE b.refs IS NOT ifnull(v.n, 0)"},
    {"part without an object or upload:",
     "SELECT DISTINCT body FROM part WHERE"
     " body NOT IN (SELECT id FROM body WHERE kind = 3)"
     " AND body NOT IN (SELECT body FROM upload)"},
    {"parts of a body do not add up:",
     "SELECT b.id AS body, b.parts, count(p.number) AS found,"
     " ifnull(sum(p.size), 0) AS bytes FROM body b"
     " LEFT JOIN part p ON p.body = b.id WHERE b.kind = 3 GROUP BY b.id"
     " HAVING b.parts <> count(p.number) OR max(p.number) <> b.parts"
     " OR sum(p.size) <> (SELECT size FROM version WHERE body = b.id)"},
    {"part at a wrong offset:",
     "SELECT p.body, p.number, p.offset FROM part p"
     " JOIN body b ON b.id = p.body AND b.kind = 3"
     " WHERE p.offset <> ifnull((SELECT q.offset + q.size FROM part q"
     "  WHERE q.body = p.body AND q.number = p.number - 1), 0)"},
    {"run counted wrong:",
     "WITH named(run, n) AS (SELECT run, count(*) FROM"
     " (SELECT run_of(content) AS run FROM body WHERE kind = 2 UNION ALL"
     "  SELECT run_of(content) FROM part WHERE kind = 2) GROUP BY run)"
     " SELECT ifnull(r.hi || ':' || r.lo, n.run) AS run,"
     " r.refs AS counted, n.n AS named"
     " FROM named n FULL JOIN run r ON r.hi || ':' || r.lo = n.run"
     " WHERE ifnull(r.refs, -1) <> ifnull(n.n, 0)"},
    {"garbage without a run, or not the run's:",
     "SELECT g.id AS garbage, run_of(g.manifest) AS run FROM garbage g"
     " LEFT JOIN run r ON r.hi || ':' || r.lo = run_of(g.manifest)"
     " WHERE r.garbage IS NOT g.id OR r.refs <> 0"},
    {"run that nothing names and that is not garbage:",
     "SELECT hi, lo, garbage FROM run WHERE refs = 0"
     " AND garbage NOT IN (SELECT id FROM garbage)"},
    {"rows counted wrong:",
     "SELECT * FROM state WHERE"
     " buckets <> (SELECT count(*) FROM bucket)"
     " OR objects <> (SELECT count(*) FROM version)"
     " OR uploads <> (SELECT count(*) FROM upload)"
     " OR garbage <> (SELECT count(*) FROM garbage)"},
};

uint64_t meta_verify_on(struct meta_db *db,
                        void (*report)(void *arg, const char *what), void *arg)
{
    struct verify v = {.db = db, .report = report, .arg = arg};

    check_integrity(&v);
    if (sqlite3_create_function(db->sqlite, "run_of", 1,
                                SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL,
                                run_of, NULL, NULL) != SQLITE_OK) {
        defect(&v, sqlite3_errmsg(db->sqlite));
        return v.defects;
    }
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        none_of(&v, checks[i].what, checks[i].sql);
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
