/* Listings of versions: the current ones and the history, merged.
 *
 * Both tables are in the order of the listing, so two statements are stepped
 * side by side; what a delimiter hides is skipped by seeking both.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "meta/meta_internal.h"

#define POSITION_MAX (META_KEY_MAX + 1)

/* One table under way. */
struct rows {
    enum meta_statement from;
    sqlite3_stmt *s; /* NULL: seek first */
    bool rest;       /* s gives but the rest of one key, @from what follows */
    bool end;        /* nothing more comes */
    bool have;       /* a row is at hand: */
    const uint8_t *key;
    size_t key_len;
    uint64_t seq;
};

struct walk {
    struct meta_db *db;
    const struct meta_list_query *q;
    uint64_t bucket;
    size_t prefix_len;
    uint8_t position[POSITION_MAX];
    size_t position_len;
    bool end;
    struct rows current, history;
    bool within; /* of key q->after, only versions under this: */
    uint64_t below;
    char *seen; /* a newer version of this key has gone by */
    size_t seen_len;
};

static void set_position(struct walk *w, const void *p, size_t len)
{
    if (len > POSITION_MAX) {
        len = POSITION_MAX;
    }
    memcpy(w->position, p, len);
    w->position_len = len;
    w->current = (struct rows){.from = w->current.from};
    w->history = (struct rows){.from = w->history.from};
}

static void skip_all_with(struct walk *w, const void *p, size_t len)
{
    set_position(w, p, len);
    w->end = !meta_successor(w->position, &w->position_len);
}

/* The least key above the one at hand is that with a zero byte. */
static void step_behind(struct walk *w)
{
    if (w->position_len < POSITION_MAX) {
        w->position[w->position_len++] = 0;
    }
}

/* ---- where it begins ---- */

/* The number of the newest version of the key, and of its null version; 0 when
 * there is none (or it is older than all numbers). */
static int key_numbers(struct walk *w, const char *key, uint64_t *newest,
                       bool *has_null, uint64_t *null, struct err *err)
{
    static const enum meta_statement all[] = {
        STMT_VERSION_GET, STMT_HISTORY_NEWEST, STMT_HISTORY_GET_NULL};
    int rc = 0;

    *newest = 0;
    *null = 0;
    *has_null = false;
    for (size_t i = 0; i < sizeof all / sizeof all[0] && rc == 0; i++) {
        sqlite3_stmt *s = meta_db_stmt(w->db, all[i]);
        bind_u64(s, 1, w->bucket);
        bind_bytes(s, 2, key, strlen(key));
        if (meta_read_step(w->db, s, &rc, err) == 1) {
            uint64_t seq = column_u64(s, VERSION_COLUMN_SEQ);
            *newest = seq > *newest ? seq : *newest;
            if ((column_u64(s, VERSION_COLUMN_FLAGS) & VERSION_IS_NULL) != 0) {
                *has_null = true;
                *null = seq;
            }
        }
        meta_db_done(w->db, all[i]);
    }
    return rc;
}

/* Go on within the versions of q->after. When the null version, of which the
 * number is not known, is gone meanwhile, the key starts anew: something may be
 * shown twice, nothing is left out. */
static int start_behind_version(struct walk *w, struct err *err)
{
    const char *after = w->q->after;
    uint64_t newest, null;
    bool has_null;
    int rc = key_numbers(w, after, &newest, &has_null, &null, err);

    if (rc != 0) {
        return rc;
    }
    set_position(w, after, strlen(after));
    w->below = w->q->after_version;
    if (w->below == META_VERSION_NULL) {
        if (!has_null) {
            return 0;
        }
        w->below = null;
    }
    w->within = true;
    if (newest >= w->below) {
        w->seen = mem_strdup(after);
        w->seen_len = strlen(after);
    }
    w->history.rest = true;
    w->history.s = meta_db_stmt(w->db, STMT_HISTORY_OF);
    bind_u64(w->history.s, 1, w->bucket);
    bind_bytes(w->history.s, 2, after, strlen(after));
    bind_u64(w->history.s, 3, w->below);
    w->current.s = meta_db_stmt(w->db, w->current.from);
    bind_u64(w->current.s, 1, w->bucket);
    bind_bytes(w->current.s, 2, w->position, w->position_len);
    step_behind(w); /* where the history goes on */
    return 0;
}

static int set_start(struct walk *w, struct err *err)
{
    const char *prefix = w->q->prefix;
    const char *after = w->q->after;
    size_t len = strlen(after);
    size_t common;

    if (w->prefix_len > META_KEY_MAX) {
        w->end = true;
        return 0;
    }
    if (len == 0 || strcmp(after, prefix) < 0) {
        set_position(w, prefix, w->prefix_len);
        return 0;
    }
    if (len < w->prefix_len || memcmp(after, prefix, w->prefix_len) != 0) {
        w->end = true;
        return 0;
    }
    common = meta_common_prefix(w->q, (const uint8_t *)after, len);
    if (common > 0) {
        skip_all_with(w, after, common);
        return 0;
    }
    if (w->q->after_version != META_VERSION_CURRENT && len <= META_KEY_MAX) {
        return start_behind_version(w, err);
    }
    set_position(w, after, len);
    step_behind(w);
    return 0;
}

/* ---- stepping ---- */

/* See that the next row of the table, if any, is at hand. */
static int fill(struct walk *w, struct rows *t, struct err *err)
{
    int rc = 0;
    int step;

    if (t->have || t->end) {
        return 0;
    }
    do {
        if (t->s == NULL) {
            t->s = meta_db_stmt(w->db, t->from);
            bind_u64(t->s, 1, w->bucket);
            bind_bytes(t->s, 2, w->position, w->position_len);
        }
        step = meta_read_step(w->db, t->s, &rc, err);
        if (step == 0 && t->rest) {
            t->rest = false;
            t->s = NULL;
            step = 2;
        }
    } while (step == 2);
    if (step != 1) {
        t->end = true; /* to step again would begin anew */
        return rc;
    }
    t->key = sqlite3_column_blob(t->s, 0);
    t->key_len = (size_t)sqlite3_column_bytes(t->s, 0);
    t->seq = column_u64(t->s, 5);
    t->have = t->key_len >= w->prefix_len &&
              memcmp(t->key, w->q->prefix, w->prefix_len) == 0;
    t->end = !t->have;
    return 0;
}

static int compare(const struct rows *a, const struct rows *b)
{
    size_t len = a->key_len < b->key_len ? a->key_len : b->key_len;
    int c = len > 0 ? memcmp(a->key, b->key, len) : 0;

    return c != 0 ? c : (a->key_len > b->key_len) - (a->key_len < b->key_len);
}

static bool is_key(const struct rows *t, const char *key, size_t len)
{
    return t->key_len == len && memcmp(t->key, key, len) == 0;
}

/* The table whose row is next; NULL at the end. */
static int next(struct walk *w, struct rows **out, struct err *err)
{
    struct rows *a = &w->current, *b = &w->history;
    int rc = 0;

    *out = NULL;
    if (w->end) {
        return 0;
    }
    do {
        rc = fill(w, a, err);
        /* Shown on the page before, if it is not newly the current one. */
        if (rc == 0 && a->have && w->within && a->seq >= w->below &&
            is_key(a, w->q->after, strlen(w->q->after))) {
            a->have = false;
        } else {
            break;
        }
    } while (rc == 0);
    if (rc == 0) {
        rc = fill(w, b, err);
    }
    if (rc == 0 && (a->have || b->have)) {
        *out = a->have && (!b->have || compare(a, b) <= 0) ? a : b;
    }
    return rc;
}

static void take(struct walk *w, struct rows *t, struct meta_list_entry *e)
{
    uint64_t flags = column_u64(t->s, 6);

    e->name = mem_strndup((const char *)t->key, t->key_len);
    e->size_bytes = column_u64(t->s, 1);
    e->modified_ms = column_u64(t->s, 2);
    meta_column_etag(t->s, 3, e->etag);
    e->attrs = meta_column_bytes(t->s, 4, &e->attrs_len);
    e->version = (flags & VERSION_IS_NULL) != 0 ? META_VERSION_NULL : t->seq;
    e->is_marker = (flags & VERSION_IS_MARKER) != 0;
    e->is_latest = w->seen == NULL || !is_key(t, w->seen, w->seen_len);
    if (e->is_latest) {
        free(w->seen);
        w->seen = mem_strndup((const char *)t->key, t->key_len);
        w->seen_len = t->key_len;
    }
    t->have = false;
}

static int collect(struct walk *w, struct meta_list *list, struct err *err)
{
    struct rows *t;
    int rc;

    while ((rc = next(w, &t, err)) == 0 && t != NULL) {
        struct meta_list_entry *e;
        size_t common = meta_common_prefix(w->q, t->key, t->key_len);
        if (list->count == w->q->max) {
            list->truncated = true;
            break;
        }
        e = &list->entries[list->count++];
        if (common > 0) {
            e->is_prefix = true;
            e->name = mem_strndup((const char *)t->key, common);
            skip_all_with(w, e->name, common);
        } else {
            take(w, t, e);
        }
    }
    return rc;
}

int meta_list_versions_on(struct meta_db *db, const struct meta_list_query *q,
                          struct meta_list *out, struct err *err)
{
    struct walk w = {.db = db,
                     .q = q,
                     .prefix_len = strlen(q->prefix),
                     .current = {.from = STMT_VERSION_FROM},
                     .history = {.from = STMT_HISTORY_FROM}};
    struct meta_list list = {0};
    int rc = meta_read_bucket(db, q->bucket, &w.bucket, err);

    CHECK(q->max > 0);
    if (rc == 0) {
        rc = set_start(&w, err);
    }
    if (rc == 0) {
        list.entries = mem_calloc(q->max, sizeof *list.entries);
        rc = collect(&w, &list, err);
    }
    meta_db_done(db, STMT_VERSION_FROM);
    meta_db_done(db, STMT_HISTORY_FROM);
    meta_db_done(db, STMT_HISTORY_OF);
    free(w.seen);
    if (rc != 0) {
        meta_list_free(&list);
        return rc;
    }
    *out = list;
    return 0;
}

int meta_list_versions(struct meta *m, const struct meta_list_query *q,
                       struct meta_list *out, struct err *err)
{
    struct meta_db *db;
    int rc = meta_read_begin(m, &db, err);

    if (rc == 0) {
        rc = meta_list_versions_on(db, q, out, err);
        meta_read_end(m, db);
    }
    return rc;
}
