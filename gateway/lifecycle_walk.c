#include "gateway/lifecycle_walk.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "gateway/gateway_internal.h"
#include "gateway/s3_lifecycle.h"
#include "meta/meta.h"

#define PAGE 1000
#define PAUSE_MS 5 /* between pages: requests go first */

/* Versions come by key, the newest first; what a version is depends on those
 * around it. */
struct versions {
    struct lifecycle_walk *w;
    struct command_expiry due[META_DELETE_MAX];
    char *names[META_DELETE_MAX]; /* owned; due[].key */
    size_t count;
    char *key;         /* of the last entry; NULL at first */
    uint64_t since_ms; /* when the last entry was made */
    size_t newer;      /* noncurrent ones of the key so far */
    bool alone;        /* the last entry is a marker, and newest: */
    uint64_t marker;   /* its version */
};

static int flush(struct versions *v, struct err *err)
{
    struct lifecycle_walk *w = v->w;
    struct buf command = {0};
    int rc = 0;

    if (v->count > 0) {
        command_expire(&command, w->bucket, v->due, v->count, clock_real_ms());
        rc = meta_propose_wait(w->gateway->meta, &command, NULL, err);
        buf_free(&command);
        w->expired += rc == 0 ? v->count : 0;
    }
    for (size_t i = 0; i < v->count; i++) {
        free(v->names[i]);
    }
    v->count = 0;
    return rc;
}

static int add(struct versions *v, const char *key, uint64_t version,
               uint64_t modified_ms, uint64_t size_bytes, uint64_t due_ms,
               struct err *err)
{
    if (due_ms > v->w->now_ms) {
        return 0;
    }
    v->names[v->count] = mem_strdup(key);
    v->due[v->count] = (struct command_expiry){v->names[v->count], version,
                                               modified_ms, size_bytes, due_ms};
    v->count++;
    return v->count == META_DELETE_MAX ? flush(v, err) : 0;
}

/* No other version of the key came: a newest marker hides nothing. */
static int end_key(struct versions *v, struct err *err)
{
    if (!v->alone) {
        return 0;
    }
    v->alone = false;
    return add(v, v->key, v->marker, v->since_ms, 0,
               s3_lifecycle_marker(v->w->rules, v->key, v->since_ms, NULL),
               err);
}

static void read_tags(struct versions *v, const struct meta_list_entry *e,
                      struct s3_tags *out)
{
    struct meta_object o = {0};
    char *text;

    if (meta_version_get(v->w->gateway->meta, v->w->bucket, e->name, e->version,
                         false, &o, NULL) == 0 &&
        o.tags_len > 0) {
        text = mem_strndup((const char *)o.tags, o.tags_len);
        s3_tags_query(text, S3_TAGS_OBJECT_MAX, out, NULL);
        free(text);
    }
    meta_object_free(&o);
}

static int see_object(struct versions *v, const struct meta_list_entry *e,
                      struct err *err)
{
    const struct s3_lifecycle *rules = v->w->rules;
    struct s3_tags tags = {0};
    struct s3_lifecycle_object o = {e->name, e->size_bytes, e->modified_ms,
                                    &tags};
    uint64_t due;
    int rc;

    if (s3_lifecycle_needs_tags(rules)) {
        read_tags(v, e, &tags);
    }
    due = e->is_latest
              ? s3_lifecycle_current(rules, &o, NULL)
              : s3_lifecycle_noncurrent(rules, &o, v->since_ms, v->newer, NULL);
    rc = add(v, e->name, e->is_latest ? META_VERSION_CURRENT : e->version,
             e->modified_ms, e->size_bytes, due, err);
    s3_tags_free(&tags);
    return rc;
}

static int see(struct versions *v, const struct meta_list_entry *e,
               struct err *err)
{
    int rc = 0;

    if (e->is_latest) {
        rc = end_key(v, err);
        free(v->key);
        v->key = mem_strdup(e->name);
        v->newer = 0;
        v->alone = e->is_marker;
        v->marker = e->version;
    } else {
        v->alone = false;
    }
    /* A marker that another version hides counts as one of those: AWS lets it
     * go as it does them. */
    if (rc == 0 && !(e->is_marker && e->is_latest)) {
        rc = see_object(v, e, err);
    }
    if (!e->is_latest) {
        v->newer++;
    }
    v->since_ms = e->modified_ms;
    return rc;
}

static int walk_versions(struct lifecycle_walk *w, struct err *err)
{
    struct versions *v = mem_alloc(sizeof *v);
    struct meta_list_query q = {
        .bucket = w->bucket, .prefix = "", .delimiter = "", .max = PAGE};
    bool more = true;
    char *after = NULL;
    int rc = 0;

    v->w = w;
    while (rc == 0 && more && !w->stopping(w->arg)) {
        struct meta_list list = {0};
        q.after = after != NULL ? after : "";
        rc = meta_list_versions(w->gateway->meta, &q, &list, err);
        for (size_t i = 0; i < list.count && rc == 0; i++) {
            rc = see(v, &list.entries[i], err);
        }
        if (rc == 0 && list.count > 0) {
            free(after);
            after = mem_strdup(list.entries[list.count - 1].name);
            q.after_version = list.entries[list.count - 1].version;
        }
        more = list.truncated && list.count > 0;
        meta_list_free(&list);
        if (more) {
            clock_sleep_ms(PAUSE_MS);
        }
    }
    if (rc == 0 && !more) {
        rc = end_key(v, err);
    }
    if (rc == 0) {
        rc = flush(v, err);
    }
    for (size_t i = 0; i < v->count; i++) {
        free(v->names[i]);
    }
    free(after);
    free(v->key);
    free(v);
    return rc;
}

/* ---- uploads ---- */

static bool aborts(const struct s3_lifecycle *l)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->rules[i].enabled && l->rules[i].abort_days > 0) {
            return true;
        }
    }
    return false;
}

static int see_upload(struct lifecycle_walk *w, const struct meta_list_entry *e,
                      struct err *err)
{
    struct buf command = {0};
    int rc;

    if (s3_lifecycle_upload(w->rules, e->name, e->modified_ms, NULL) >
        w->now_ms) {
        return 0;
    }
    command_upload_abort(&command, w->bucket, e->name, e->upload,
                         clock_real_ms());
    rc = meta_propose_wait(w->gateway->meta, &command, NULL, err);
    buf_free(&command);
    if (rc == ERR_NO_UPLOAD) {
        return 0; /* its owner was faster */
    }
    w->aborted += rc == 0;
    return rc;
}

static int walk_uploads(struct lifecycle_walk *w, struct err *err)
{
    struct meta_list_query q = {
        .bucket = w->bucket, .prefix = "", .delimiter = "", .max = PAGE};
    bool more = aborts(w->rules);
    uint8_t id[META_UPLOAD_ID];
    char *after = NULL;
    int rc = 0;

    while (rc == 0 && more && !w->stopping(w->arg)) {
        struct meta_list list = {0};
        q.after = after != NULL ? after : "";
        rc = meta_list_uploads(w->gateway->meta, &q, &list, err);
        for (size_t i = 0; i < list.count && rc == 0; i++) {
            rc = see_upload(w, &list.entries[i], err);
        }
        more = list.truncated && list.count > 0;
        if (more) {
            free(after);
            after = mem_strdup(list.entries[list.count - 1].name);
            memcpy(id, list.entries[list.count - 1].upload, sizeof id);
            q.after_upload = id;
        }
        meta_list_free(&list);
    }
    free(after);
    return rc;
}

int lifecycle_walk(struct lifecycle_walk *w, struct err *err)
{
    int rc = walk_versions(w, err);

    return rc == 0 ? walk_uploads(w, err) : rc;
}
