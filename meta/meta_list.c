/* Listings: a walk over keys in byte order that seeks past what it may skip.
 *
 * With a delimiter, all keys that share prefix + name + delimiter are one
 * entry; after it the walk seeks to the first key that can come after all of
 * them. So a page costs its entries, not the keys below them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "meta/meta_internal.h"

/* Room for any key, and for the byte that makes "the next key". */
#define POSITION_MAX (META_KEY_MAX + 1)

struct walk {
    struct meta_db *db;
    const struct meta_list_query *q;
    uint64_t bucket;
    size_t prefix_len;
    enum meta_statement from;
    sqlite3_stmt *s; /* NULL: seek to position first */
    uint8_t position[POSITION_MAX];
    size_t position_len;
    bool end; /* nothing can come */
    /* Columns of the current row. */
    const uint8_t *key;
    size_t key_len;
};

bool meta_successor(uint8_t *p, size_t *len)
{
    while (*len > 0) {
        if (p[*len - 1] != 0xff) {
            p[*len - 1]++;
            return true;
        }
        (*len)--;
    }
    return false;
}

static void set_position(struct walk *w, const void *p, size_t len)
{
    if (len > POSITION_MAX) {
        len = POSITION_MAX;
    }
    memcpy(w->position, p, len);
    w->position_len = len;
    w->s = NULL;
}

/* Go on behind all keys that begin with the first @len bytes at @p. */
static void skip_all_with(struct walk *w, const void *p, size_t len)
{
    set_position(w, p, len);
    w->end = !meta_successor(w->position, &w->position_len);
}

size_t meta_common_prefix(const struct meta_list_query *q, const uint8_t *name,
                          size_t len)
{
    size_t prefix_len = strlen(q->prefix);
    size_t delimiter_len = strlen(q->delimiter);
    const uint8_t *hit;

    if (delimiter_len == 0 || len < prefix_len) {
        return 0;
    }
    hit = memmem(name + prefix_len, len - prefix_len, q->delimiter,
                 delimiter_len);
    return hit != NULL ? (size_t)(hit - name) + delimiter_len : 0;
}

/* Where the walk starts: at the prefix, or behind @q->after when that is
 * further. An entry is after @after when its name is: a common prefix that
 * @after begins with is not. */
static void set_start(struct walk *w)
{
    const char *prefix = w->q->prefix;
    const char *after = w->q->after;
    size_t after_len = strlen(after);
    size_t common;

    if (after_len == 0 || strcmp(after, prefix) < 0) {
        set_position(w, prefix, w->prefix_len);
        return;
    }
    if (after_len < w->prefix_len ||
        memcmp(after, prefix, w->prefix_len) != 0) {
        w->end = true; /* behind all that has the prefix */
        return;
    }
    common = meta_common_prefix(w->q, (const uint8_t *)after, after_len);
    if (common > 0) {
        skip_all_with(w, after, common);
        return;
    }
    /* The least key above @after is @after with a zero byte. */
    set_position(w, after, after_len);
    if (w->position_len < POSITION_MAX) {
        w->position[w->position_len++] = 0;
    }
}

static int walk_open(struct walk *w, struct meta_db *db,
                     const struct meta_list_query *q, enum meta_statement from,
                     struct err *err)
{
    memset(w, 0, sizeof *w);
    w->db = db;
    w->q = q;
    w->from = from;
    w->prefix_len = strlen(q->prefix);
    if (w->prefix_len > META_KEY_MAX) {
        w->end = true;
    } else {
        set_start(w);
    }
    return meta_read_bucket(db, q->bucket, &w->bucket, err);
}

/* Go to the next row: 1, 0 when there is none with the prefix, or -1. */
static int walk_next(struct walk *w, int *rc, struct err *err)
{
    int step;

    if (w->end) {
        return 0;
    }
    if (w->s == NULL) {
        w->s = meta_db_stmt(w->db, w->from);
        bind_u64(w->s, 1, w->bucket);
        bind_bytes(w->s, 2, w->position, w->position_len);
    }
    step = meta_read_step(w->db, w->s, rc, err);
    if (step != 1) {
        return step;
    }
    w->key = sqlite3_column_blob(w->s, 0);
    w->key_len = (size_t)sqlite3_column_bytes(w->s, 0);
    return w->key_len >= w->prefix_len &&
           memcmp(w->key, w->q->prefix, w->prefix_len) == 0;
}

static void object_entry(sqlite3_stmt *s, struct meta_list_entry *e)
{
    e->size_bytes = column_u64(s, 1);
    e->modified_ms = column_u64(s, 2);
    meta_column_etag(s, 3, e->etag);
    e->attrs = meta_column_bytes(s, 4, &e->attrs_len);
}

static void upload_entry(sqlite3_stmt *s, struct meta_list_entry *e)
{
    e->modified_ms = column_u64(s, 1);
    if (sqlite3_column_bytes(s, 2) == META_UPLOAD_ID) {
        memcpy(e->upload, sqlite3_column_blob(s, 2), META_UPLOAD_ID);
    }
    e->attrs = meta_column_bytes(s, 3, &e->attrs_len);
}

/* Fill @out up to q->max entries and find out whether there is one more. */
static int collect(struct walk *w,
                   void (*fill)(sqlite3_stmt *s, struct meta_list_entry *e),
                   struct meta_list *out, struct err *err)
{
    struct meta_list list = {0};
    int rc = 0;

    CHECK(w->q->max > 0);
    list.entries = mem_calloc(w->q->max, sizeof *list.entries);
    while (walk_next(w, &rc, err) == 1) {
        struct meta_list_entry *e;
        size_t common = meta_common_prefix(w->q, w->key, w->key_len);
        if (list.count == w->q->max) {
            list.truncated = true;
            break;
        }
        e = &list.entries[list.count++];
        if (common > 0) {
            e->is_prefix = true;
            e->name = mem_strndup((const char *)w->key, common);
            skip_all_with(w, w->key, common);
        } else {
            e->name = mem_strndup((const char *)w->key, w->key_len);
            fill(w->s, e);
        }
    }
    meta_db_done(w->db, w->from);
    if (rc != 0) {
        meta_list_free(&list);
        return rc;
    }
    *out = list;
    return 0;
}

int meta_list_objects_on(struct meta_db *db, const struct meta_list_query *q,
                         struct meta_list *out, struct err *err)
{
    struct walk w;
    int rc = walk_open(&w, db, q, STMT_VERSION_FROM, err);

    return rc == 0 ? collect(&w, object_entry, out, err) : rc;
}

/* When the page before ended within the uploads of key @after, go on behind
 * the one it ended with. If that is gone meanwhile, the key starts anew:
 * something may be shown twice, nothing is left out. */
static int start_behind_upload(struct walk *w, struct err *err)
{
    sqlite3_stmt *s = meta_db_stmt(w->db, STMT_UPLOAD_HEAD);
    const char *after = w->q->after;
    size_t len = strlen(after);
    uint64_t created = 0;
    bool there = false;
    int rc = 0;

    if (len == 0 || len > META_KEY_MAX || strcmp(after, w->q->prefix) < 0 ||
        meta_common_prefix(w->q, (const uint8_t *)after, len) > 0) {
        return 0; /* as set_start has it */
    }
    bind_bytes(s, 1, w->q->after_upload, META_UPLOAD_ID);
    if (meta_read_step(w->db, s, &rc, err) == 1) {
        there = column_u64(s, 0) == w->bucket &&
                (size_t)sqlite3_column_bytes(s, 1) == len &&
                memcmp(sqlite3_column_blob(s, 1), after, len) == 0;
        created = column_u64(s, 3);
    }
    meta_db_done(w->db, STMT_UPLOAD_HEAD);
    if (rc != 0) {
        return rc;
    }
    if (!there) {
        set_position(w, after, len);
        return 0;
    }
    /* The rest of the walk seeks by key alone. */
    w->s = meta_db_stmt(w->db, STMT_UPLOAD_AFTER);
    bind_u64(w->s, 1, w->bucket);
    bind_bytes(w->s, 2, after, len);
    bind_u64(w->s, 3, created);
    bind_bytes(w->s, 4, w->q->after_upload, META_UPLOAD_ID);
    return 0;
}

int meta_list_uploads_on(struct meta_db *db, const struct meta_list_query *q,
                         struct meta_list *out, struct err *err)
{
    struct walk w;
    int rc = walk_open(&w, db, q, STMT_UPLOAD_FROM, err);

    if (rc == 0 && q->after_upload != NULL && !w.end) {
        rc = start_behind_upload(&w, err);
    }
    if (rc == 0) {
        rc = collect(&w, upload_entry, out, err);
        meta_db_done(db, STMT_UPLOAD_AFTER);
    }
    return rc;
}

int meta_list_objects(struct meta *m, const struct meta_list_query *q,
                      struct meta_list *out, struct err *err)
{
    struct meta_db *db;
    int rc = meta_read_begin(m, &db, err);

    if (rc == 0) {
        rc = meta_list_objects_on(db, q, out, err);
        meta_read_end(m, db);
    }
    return rc;
}

int meta_list_uploads(struct meta *m, const struct meta_list_query *q,
                      struct meta_list *out, struct err *err)
{
    struct meta_db *db;
    int rc = meta_read_begin(m, &db, err);

    if (rc == 0) {
        rc = meta_list_uploads_on(db, q, out, err);
        meta_read_end(m, db);
    }
    return rc;
}

void meta_list_free(struct meta_list *l)
{
    for (size_t i = 0; i < l->count; i++) {
        free(l->entries[i].name);
        free(l->entries[i].attrs);
    }
    free(l->entries);
    memset(l, 0, sizeof *l);
}
