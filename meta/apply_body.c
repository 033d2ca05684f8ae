#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wire.h"
#include "meta/apply_step.h"

/* ---- runs and garbage ---- */

struct run_row {
    uint64_t hi, lo;
    bool there;
    uint64_t refs, garbage;
};

static int run_read(struct step *s, const uint8_t *manifest, struct run_row *r)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_RUN_GET);
    int rc;

    r->hi = load_u64(manifest + 8);
    r->lo = load_u64(manifest + 16) & ~(uint64_t)APPLY_RUN_LOW_BITS;
    bind_u64(q, 1, r->hi);
    bind_u64(q, 2, r->lo);
    rc = step_find(s, q, &r->there);
    if (rc == 0) {
        r->refs = r->there ? column_u64(q, 0) : 0;
        r->garbage = r->there ? column_u64(q, 1) : 0;
        meta_db_done(s->db, STMT_RUN_GET);
    }
    return rc;
}

static int run_write(struct step *s, const struct run_row *r)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_RUN_REFS);

    bind_u64(q, 1, r->hi);
    bind_u64(q, 2, r->lo);
    bind_u64(q, 3, r->refs);
    bind_u64(q, 4, r->garbage);
    return step_run(s, STMT_RUN_REFS, q);
}

int apply_content_check(struct step *s)
{
    struct run_row r;
    int rc;

    if (s->c->kind != COMMAND_MANIFEST) {
        return 0;
    }
    rc = run_read(s, s->c->content.p, &r);
    if (rc == 0 && r.there && r.garbage != 0) {
        s->status = ERR_BUSY;
    }
    return rc;
}

int apply_content_keep(struct step *s)
{
    struct run_row r;
    sqlite3_stmt *q;
    int rc;

    if (s->c->kind != COMMAND_MANIFEST) {
        return 0;
    }
    rc = run_read(s, s->c->content.p, &r);
    if (rc != 0) {
        return rc;
    }
    if (r.there) {
        r.refs++;
        return run_write(s, &r);
    }
    q = meta_db_stmt(s->db, STMT_RUN_INSERT);
    bind_u64(q, 1, r.hi);
    bind_u64(q, 2, r.lo);
    return step_run(s, STMT_RUN_INSERT, q);
}

int apply_manifest_release(struct step *s, const uint8_t *manifest, size_t len)
{
    struct run_row r;
    sqlite3_stmt *q;
    int rc = run_read(s, manifest, &r);

    if (rc != 0) {
        return rc;
    }
    if (!r.there || r.refs == 0) {
        return err_set(s->err, ERR_CORRUPT,
                       "run %016llx%016llx: named but not counted",
                       (unsigned long long)r.hi, (unsigned long long)r.lo);
    }
    r.refs--;
    if (r.refs == 0) {
        q = meta_db_stmt(s->db, STMT_GARBAGE_INSERT);
        bind_u64(q, 1, s->c->time_ms);
        bind_bytes(q, 2, manifest, len);
        rc = step_run(s, STMT_GARBAGE_INSERT, q);
        if (rc != 0) {
            return rc;
        }
        r.garbage = (uint64_t)sqlite3_last_insert_rowid(s->db->sqlite);
        s->a->state.garbage++;
    }
    return run_write(s, &r);
}

/* ---- bodies ---- */

int apply_parts_release(struct step *s, uint64_t body)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_PART_RUNS);
    bool found;
    int rc;

    bind_u64(q, 1, body);
    bind_u64(q, 2, 0);
    bind_u64(q, 3, META_PARTS_MAX);
    while ((rc = step_find(s, q, &found)) == 0 && found) {
        const uint8_t *content = sqlite3_column_blob(q, 1);
        size_t len = (size_t)sqlite3_column_bytes(q, 1);
        if (sqlite3_column_int(q, 0) != COMMAND_MANIFEST) {
            continue;
        }
        if (len < COMMAND_RUN_SIZE) {
            rc = err_set(s->err, ERR_CORRUPT, "part: manifest of %zu bytes",
                         len);
            break;
        }
        rc = apply_manifest_release(s, content, len);
        if (rc != 0) {
            break;
        }
    }
    meta_db_done(s->db, STMT_PART_RUNS);
    if (rc != 0) {
        return rc;
    }
    q = meta_db_stmt(s->db, STMT_PARTS_REMOVE);
    bind_u64(q, 1, body);
    return step_run(s, STMT_PARTS_REMOVE, q);
}

int apply_body_refs(struct step *s, uint64_t body, int64_t more)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_BODY_REFS);

    bind_u64(q, 1, body);
    CHECK(sqlite3_bind_int64(q, 2, more) == SQLITE_OK);
    return step_run(s, STMT_BODY_REFS, q);
}

static int content_release(struct step *s, uint64_t body)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_BODY_GET);
    uint8_t *manifest;
    size_t len;
    bool found;
    int rc;

    bind_u64(q, 1, body);
    rc = step_find(s, q, &found);
    if (rc != 0) {
        return rc;
    }
    len = (size_t)sqlite3_column_bytes(q, 2);
    if (!found || len < COMMAND_RUN_SIZE) {
        meta_db_done(s->db, STMT_BODY_GET);
        return err_set(s->err, ERR_CORRUPT, "body %llu: manifest of %zu bytes",
                       (unsigned long long)body, len);
    }
    manifest = mem_dup(sqlite3_column_blob(q, 2), len);
    meta_db_done(s->db, STMT_BODY_GET);
    rc = apply_manifest_release(s, manifest, len);
    mem_wipe(manifest, len);
    free(manifest);
    return rc;
}

int apply_body_release(struct step *s, uint64_t body)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_BODY_HEAD);
    uint64_t kind, refs;
    bool found;
    int rc;

    bind_u64(q, 1, body);
    rc = step_find(s, q, &found);
    if (rc != 0) {
        return rc;
    }
    if (!found) {
        return err_set(s->err, ERR_CORRUPT, "body %llu: named but missing",
                       (unsigned long long)body);
    }
    kind = column_u64(q, 0);
    refs = column_u64(q, 2);
    meta_db_done(s->db, STMT_BODY_HEAD);
    if (refs > 1) {
        return apply_body_refs(s, body, -1);
    }
    if (kind == COMMAND_MANIFEST) {
        rc = content_release(s, body);
    } else if (kind == APPLY_BODY_PARTS) {
        rc = apply_parts_release(s, body);
    }
    if (rc != 0) {
        return rc;
    }
    q = meta_db_stmt(s->db, STMT_BODY_REMOVE);
    bind_u64(q, 1, body);
    return step_run(s, STMT_BODY_REMOVE, q);
}

int apply_body_insert(struct step *s, uint64_t id, unsigned kind,
                      uint64_t parts, const struct command_bytes *content)
{
    sqlite3_stmt *q = meta_db_stmt(s->db, STMT_BODY_INSERT);

    bind_u64(q, 1, id);
    bind_u64(q, 2, kind);
    bind_u64(q, 3, parts);
    bind_bytes(q, 4, content->p, content->len);
    return step_run(s, STMT_BODY_INSERT, q);
}

/* What the row has of the manifest that the command names, as a copy; else
 * status ERR_PRECONDITION. */
static int recoded_row(struct step *s, uint8_t **manifest, size_t *len)
{
    bool part = s->c->number > 0;
    enum meta_statement name = part ? STMT_PART_GET : STMT_BODY_GET;
    sqlite3_stmt *q = meta_db_stmt(s->db, name);
    int kind = part ? 6 : 0, content = part ? 7 : 2; /* columns */
    const uint8_t *p;
    bool found;
    int rc;

    bind_u64(q, 1, s->c->body);
    if (part) {
        bind_u64(q, 2, s->c->number);
    }
    rc = step_find(s, q, &found);
    if (rc != 0) {
        return rc;
    }
    s->status = ERR_PRECONDITION;
    if (found && sqlite3_column_int(q, kind) == COMMAND_MANIFEST) {
        p = sqlite3_column_blob(q, content);
        *len = (size_t)sqlite3_column_bytes(q, content);
        if (*len >= COMMAND_RUN_SIZE && load_u64(p + 8) == s->c->run_hi &&
            (load_u64(p + 16) & ~(uint64_t)APPLY_RUN_LOW_BITS) ==
                s->c->run_lo) {
            *manifest = mem_dup(p, *len);
            s->status = 0;
        }
    }
    meta_db_done(s->db, name);
    return 0;
}

int apply_body_recode(struct step *s)
{
    enum meta_statement name =
        s->c->number > 0 ? STMT_PART_CONTENT : STMT_BODY_CONTENT;
    uint8_t *manifest = NULL;
    sqlite3_stmt *q;
    size_t len = 0;
    int rc = recoded_row(s, &manifest, &len);

    if (rc == 0 && s->status == 0) {
        rc = apply_content_check(s);
    }
    if (rc == 0 && s->status == 0) {
        rc = apply_content_keep(s);
    }
    if (rc == 0 && s->status == 0) {
        q = meta_db_stmt(s->db, name);
        bind_u64(q, 1, s->c->body);
        if (s->c->number > 0) {
            bind_u64(q, 2, s->c->number);
        }
        bind_bytes(q, s->c->number > 0 ? 3 : 2, s->c->content.p,
                   s->c->content.len);
        rc = step_run(s, name, q);
    }
    if (rc == 0 && s->status == 0) {
        rc = apply_manifest_release(s, manifest, len);
    }
    free(manifest);
    return rc;
}
