#include "gateway/erase_walk.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "fleet/metadata.h"
#include "gateway/gateway_internal.h"
#include "gateway/s3_attrs.h"
#include "meta/meta.h"
#include "meta/meta_erase.h"

#define PAGE 1000

/* Does the metadata field have the value? */
static bool has(const struct meta_list_entry *e, const char *field,
                const char *value)
{
    char *name = mem_printf(METADATA_HEADER "%s", field);
    char *is = s3_attrs_get(e->attrs, e->attrs_len, name);
    bool same = is != NULL && strcmp(is, value) == 0;

    free(name);
    free(is);
    return same;
}

static bool matches(const struct meta_erase *e,
                    const struct meta_list_entry *entry)
{
    if (entry->modified_ms > e->created_ms) {
        return false; /* of later */
    }
    switch (e->selector) {
        case META_ERASE_VERSION:
            return strcmp(entry->name, e->key) == 0 &&
                   entry->version == e->version;
        case META_ERASE_KEY:
            return strcmp(entry->name, e->key) == 0;
        case META_ERASE_PREFIX:
            return true;
        case META_ERASE_SUBJECT:
            return has(entry, e->field, e->value);
        default:
            return has(entry, METADATA_OWN "device", e->value);
    }
}

static enum meta_erased_how how_of(const struct meta_list_entry *e)
{
    static const char *const keys[] = {"godwit-sse-key", "godwit-sse-c-key"};

    if (e->is_marker) {
        return META_ERASED_MARKER;
    }
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char *key = s3_attrs_get(e->attrs, e->attrs_len, keys[i]);
        if (key != NULL) {
            free(key);
            return META_ERASED_KEY;
        }
    }
    return META_ERASED_BYTES;
}

/* Is @name behind all that could match? */
static bool is_past(const struct meta_erase *e, const char *name)
{
    return (e->selector == META_ERASE_VERSION ||
            e->selector == META_ERASE_KEY) &&
           strcmp(name, e->key) != 0;
}

static int see(const struct erase_walk *w, const struct meta_list *list,
               bool *past, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < list->count && rc == 0 && !*past; i++) {
        const struct meta_list_entry *e = &list->entries[i];
        *past = is_past(w->erase, e->name);
        if (!*past && matches(w->erase, e)) {
            rc = w->version(w->arg, e, how_of(e), err);
        }
    }
    return rc;
}

static struct meta_list_query query_of(const struct meta_erase *e)
{
    bool all =
        e->selector == META_ERASE_SUBJECT || e->selector == META_ERASE_DEVICE;

    return (struct meta_list_query){.bucket = e->bucket,
                                    .prefix = all ? "" : e->key,
                                    .delimiter = "",
                                    .max = PAGE};
}

static int walk_versions(const struct erase_walk *w, struct err *err)
{
    struct meta_list_query q = query_of(w->erase);
    bool more = true, past = false;
    char *after = NULL;
    int rc = 0;

    while (rc == 0 && more && !past) {
        struct meta_list list = {0};
        q.after = after != NULL ? after : "";
        rc = w->stopping(w->arg)
                 ? ERR_BUSY
                 : meta_list_versions(w->gateway->meta, &q, &list, err);
        if (rc == 0) {
            rc = see(w, &list, &past, err);
        }
        more = list.truncated && list.count > 0;
        if (more) {
            free(after);
            after = mem_strdup(list.entries[list.count - 1].name);
            q.after_version = list.entries[list.count - 1].version;
        }
        meta_list_free(&list);
    }
    free(after);
    return rc;
}

static int walk_uploads(const struct erase_walk *w, struct err *err)
{
    struct meta_list_query q = query_of(w->erase);
    uint8_t id[META_UPLOAD_ID];
    bool more = w->upload != NULL && w->erase->selector != META_ERASE_VERSION;
    char *after = NULL;
    int rc = 0;

    while (rc == 0 && more) {
        struct meta_list list = {0};
        q.after = after != NULL ? after : "";
        rc = w->stopping(w->arg)
                 ? ERR_BUSY
                 : meta_list_uploads(w->gateway->meta, &q, &list, err);
        for (size_t i = 0; i < list.count && rc == 0; i++) {
            if (matches(w->erase, &list.entries[i])) {
                rc = w->upload(w->arg, &list.entries[i], err);
            }
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

int erase_walk(const struct erase_walk *w, struct err *err)
{
    int rc = walk_versions(w, err);

    if (rc == 0) {
        rc = walk_uploads(w, err);
    }
    return rc == ERR_NO_BUCKET ? 0 : rc; /* gone, with all that it had */
}
