#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "edge-agent/spool_state.h"

/* ---- files ---- */

int spool_slot_file(struct spool *s, uint32_t slot, int *file, struct err *err)
{
    int code;

    if (slot == s->active) {
        *file = s->file;
        return 0;
    }
    if (slot != s->read_slot) {
        spool_read_forget(s, s->read_slot);
        code = s->disk.open(s->disk.data, slot, false, &s->read_file, err);
        if (code != 0) {
            return code;
        }
        s->read_slot = slot;
    }
    *file = s->read_file;
    return 0;
}

void spool_read_forget(struct spool *s, uint32_t slot)
{
    if (slot != SPOOL_NONE && slot == s->read_slot) {
        s->disk.close(s->disk.data, s->read_file);
        s->read_slot = SPOOL_NONE;
        s->read_file = -1;
    }
}

static int read_at(struct spool *s, uint32_t slot, uint32_t at, void *p,
                   size_t len, struct err *err)
{
    int file;
    int code = spool_slot_file(s, slot, &file, err);

    return code == 0 ? s->disk.read(s->disk.data, file, at, p, len, err) : code;
}

/* ---- records ---- */

int spool_peek(struct spool *s, uint32_t slot, uint32_t at,
               struct spool_record *out, struct err *err)
{
    uint8_t fixed[SPOOL_RECORD];
    int code;

    if (slot >= s->slot_count || at > SPOOL_SEGMENT - SPOOL_RECORD) {
        return err_set(err, ERR_CORRUPT, "no such place in the spool");
    }
    code = read_at(s, slot, at, fixed, sizeof fixed, err);
    return code == 0 ? spool_record_peek(fixed, SPOOL_SEGMENT - at,
                                         s->slots[slot].sequence, out, err)
                     : code;
}

/* Append the whole record to @out, checked. */
static int read_record(struct spool *s, uint32_t slot, uint32_t at,
                       struct buf *out, struct spool_record *r, struct err *err)
{
    int code = spool_peek(s, slot, at, r, err);
    size_t len;

    if (code != 0) {
        return code;
    }
    len = SPOOL_RECORD + (size_t)r->key_len + r->meta_len + r->payload_len;
    buf_reserve(out, len);
    code = read_at(s, slot, at, out->data + out->len, len, err);
    if (code == 0) {
        code = spool_record_check(out->data + out->len, r, s->slots[slot].salt,
                                  err);
    }
    if (code == 0) {
        out->len += len;
    }
    return code;
}

int spool_parts(struct spool *s, uint32_t slot, uint32_t at,
                struct spool_part **parts, size_t *count, struct err *err)
{
    struct spool_record r;
    struct spool_part *list;
    uint64_t n, tag;
    int code = spool_peek(s, slot, at, &r, err);

    if (code != 0) {
        return code;
    }
    tag = r.link;
    slot = r.prev_slot;
    at = r.prev_at;
    code = spool_peek(s, slot, at, &r, err);
    if (code != 0) {
        return code;
    }
    n = r.plain_size + 1; /* the last part's number */
    if (n == 0 ||
        n > (uint64_t)s->slot_count * (SPOOL_SEGMENT / SPOOL_RECORD)) {
        return err_set(err, ERR_CORRUPT, "the parts of an object are broken");
    }
    list = mem_calloc((size_t)n, sizeof list[0]);
    for (uint64_t i = n; i-- > 0;) {
        code = spool_peek(s, slot, at, &r, err);
        if (code == 0 &&
            (r.kind != SPOOL_PART || r.id != tag || r.plain_size != i)) {
            code =
                err_set(err, ERR_CORRUPT, "the parts of an object are broken");
        }
        if (code != 0) {
            free(list);
            return code;
        }
        list[i] = (struct spool_part){slot, at};
        slot = r.prev_slot;
        at = r.prev_at;
    }
    *parts = list;
    *count = (size_t)n;
    return 0;
}

/* ---- objects ---- */

static int held(struct spool *s, uint64_t id, const struct index_entry **out,
                struct err *err)
{
    *out = spool_index_get(s->index, id);
    return *out != NULL
               ? 0
               : err_set(err, ERR_NOT_FOUND, "object %llu is not held any more",
                         (unsigned long long)id);
}

/* Key and metadata. With the payload they are checked when that is read; where
 * there is none, here: a delete of another key would be delivered. */
static int read_text(struct spool *s, const struct index_entry *e,
                     struct spool_record *r, struct buf *text, struct err *err)
{
    size_t len = (size_t)r->key_len + r->meta_len;
    int code;

    buf_clear(text);
    buf_reserve(text, SPOOL_RECORD + len + 1);
    if (r->payload_len == 0) {
        code = read_record(s, e->slot, e->at, text, r, err);
        len = text->len > 0 ? text->len - SPOOL_RECORD : 0;
        memmove(text->data, text->data + SPOOL_RECORD, len);
    } else {
        code = read_at(s, e->slot, e->at + SPOOL_RECORD, text->data, len, err);
    }
    text->len = code == 0 ? len : 0;
    return code;
}

int spool_get(struct spool *s, uint64_t id, struct spool_object *out,
              struct buf *text, struct err *err)
{
    const struct index_entry *e;
    struct spool_record r;
    int code = held(s, id, &e, err);

    if (code == 0) {
        code = spool_peek(s, e->slot, e->at, &r, err);
    }
    if (code == 0 && (r.id != id || r.kind != e->kind)) {
        code = err_set(err, ERR_CORRUPT, "another record stands there");
    }
    if (code != 0) {
        return code;
    }
    code = read_text(s, e, &r, text, err);
    if (code != 0) {
        return code;
    }
    *out = (struct spool_object){
        .id = r.id,
        .time_ms = r.time_ms,
        .plain_size = r.plain_size,
        .stored_size = r.stored_size,
        .kind = (enum spool_kind)r.kind,
        .class_id = r.class_id,
        .flags = r.flags,
        .seal_flags = r.seal_flags,
        .link = r.link,
        .key = (const char *)text->data,
        .key_len = r.key_len,
        .meta = text->data + r.key_len,
        .meta_len = r.meta_len,
    };
    memcpy(out->etag, r.etag, sizeof r.etag);
    return 0;
}

int spool_find(struct spool *s, const char *key, size_t len, uint64_t *id,
               struct err *err)
{
    uint32_t hash = spool_hash(key, len);
    uint64_t below = UINT64_MAX;
    struct buf text = {0};
    int code = 0;

    for (const struct index_entry *e;
         (e = spool_index_find(s->index, hash, below)) != NULL;) {
        struct spool_object o;
        below = e->id;
        code = spool_get(s, below, &o, &text, err);
        if (code == ERR_CORRUPT) {
            continue; /* another's damage does not hide this key */
        }
        if (code != 0) {
            break;
        }
        if (o.key_len == len && memcmp(o.key, key, len) == 0) {
            buf_free(&text);
            if (o.kind == SPOOL_DELETE) {
                return err_set(err, ERR_NO_KEY, "the key was deleted");
            }
            *id = below;
            return 0;
        }
    }
    buf_free(&text);
    return code != 0 && code != ERR_CORRUPT
               ? code
               : err_set(err, ERR_NO_KEY, "no such key is held");
}

bool spool_is_newest(struct spool *s, uint64_t id)
{
    const struct index_entry *e = spool_index_get(s->index, id);
    const struct index_entry *newer =
        e != NULL ? spool_index_find(s->index, e->hash, UINT64_MAX) : NULL;
    struct spool_object o;
    struct buf text = {0};
    uint64_t found;
    bool is;

    if (e == NULL || newer == e) {
        return e != NULL;
    }
    is = spool_get(s, id, &o, &text, NULL) == 0 &&
         spool_find(s, o.key, o.key_len, &found, NULL) == 0 && found == id;
    buf_free(&text);
    return is;
}

uint64_t spool_next(struct spool *s, uint64_t id)
{
    const struct index_entry *e = spool_index_after(s->index, id);

    return e != NULL ? e->id : 0;
}

struct spool_index *spool_held(struct spool *s)
{
    return s->index;
}

uint64_t spool_floor(const struct spool *s)
{
    return s->cursor.done + 1;
}

int spool_segment_of(struct spool *s, uint64_t id, uint64_t *sequence,
                     struct buf *header, struct err *err)
{
    const struct index_entry *e;
    struct spool_head head;
    uint8_t *block;
    int code = held(s, id, &e, err);

    if (code != 0) {
        return code;
    }
    block = mem_alloc(SPOOL_BLOCK);
    code = read_at(s, e->slot, 0, block, SPOOL_BLOCK, err);
    if (code == 0) {
        code = spool_head_read(block, &head, err);
    }
    if (code == 0) {
        *sequence = head.sequence;
        buf_append(header, head.header, head.header_len);
    }
    free(block);
    return code;
}

/* ---- payloads ---- */

struct spool_stream {
    struct spool *spool;
    struct spool_part *parts; /* or the one record */
    size_t count, next;
    bool whole; /* the record of the object itself */
    struct buf record;
};

int spool_stream_open(struct spool *s, uint64_t id, struct spool_stream **out,
                      struct err *err)
{
    const struct index_entry *e;
    struct spool_stream *r;
    struct spool_part *parts = NULL;
    size_t count = 1;
    int code = held(s, id, &e, err);

    if (code == 0 && e->parts) {
        code = spool_parts(s, e->slot, e->at, &parts, &count, err);
    }
    if (code != 0) {
        return code;
    }
    if (parts == NULL) {
        parts = mem_alloc(sizeof parts[0]);
        *parts = (struct spool_part){e->slot, e->at};
    }
    r = mem_alloc(sizeof *r);
    r->spool = s;
    r->parts = parts;
    r->count = count;
    r->whole = !e->parts;
    *out = r;
    return 0;
}

int spool_stream_next(struct spool_stream *r, struct buf *out, bool *more,
                      struct err *err)
{
    struct spool_record rec;
    size_t skip;
    int code;

    if (r->next == r->count) {
        *more = false;
        return 0;
    }
    buf_clear(&r->record);
    code = read_record(r->spool, r->parts[r->next].slot, r->parts[r->next].at,
                       &r->record, &rec, err);
    if (code == 0 && (rec.kind == SPOOL_PART) == r->whole) {
        code = err_set(err, ERR_CORRUPT, "another record stands there");
    }
    if (code != 0) {
        return code;
    }
    skip = SPOOL_RECORD + (size_t)rec.key_len + rec.meta_len;
    buf_append(out, r->record.data + skip, rec.payload_len);
    *more = ++r->next < r->count;
    return 0;
}

void spool_stream_close(struct spool_stream *r)
{
    if (r != NULL) {
        buf_free(&r->record);
        free(r->parts);
        free(r);
    }
}

int spool_payload(struct spool *s, uint64_t id, size_t max, struct buf *out,
                  struct err *err)
{
    struct spool_stream *r;
    size_t start = out->len;
    bool more = true;
    int code = spool_stream_open(s, id, &r, err);

    if (code != 0) {
        return code;
    }
    while (code == 0 && more) {
        code = spool_stream_next(r, out, &more, err);
        if (code == 0 && out->len - start > max) {
            code = err_set(err, ERR_LIMIT, "an object of over %zu bytes", max);
        }
    }
    if (code != 0) {
        out->len = start;
    }
    spool_stream_close(r);
    return code;
}

static void log_damage(uint64_t id, const struct err *why)
{
    char number[24];

    snprintf(number, sizeof number, "%llu", (unsigned long long)id);
    log_line(LOG_ERROR, "a damaged object", "id", number, "err", why->text,
             NULL);
}

int spool_verify(struct spool *s, uint64_t *objects, uint64_t *damaged,
                 struct err *err)
{
    struct buf text = {0}, payload = {0};
    struct err why = {{0}};
    int code = 0;

    *objects = 0;
    *damaged = 0;
    for (uint64_t id = 0; code == 0 && (id = spool_next(s, id)) != 0;) {
        struct spool_object o;
        struct spool_stream *r = NULL;
        uint64_t bytes = 0;
        bool more = true;
        code = spool_get(s, id, &o, &text, &why);
        if (code == 0) {
            code = spool_stream_open(s, id, &r, &why);
        }
        while (code == 0 && more) {
            buf_clear(&payload);
            code = spool_stream_next(r, &payload, &more, &why);
            bytes += payload.len;
        }
        spool_stream_close(r);
        *objects += 1;
        if (code == 0 && bytes != o.stored_size) {
            code = err_set(&why, ERR_CORRUPT, "%llu bytes of %llu",
                           (unsigned long long)bytes,
                           (unsigned long long)o.stored_size);
        }
        if (code == ERR_CORRUPT) {
            *damaged += 1;
            log_damage(id, &why);
            code = 0;
        }
    }
    buf_free(&text);
    buf_free(&payload);
    return code == 0 ? 0 : err_set(err, code, "%s", why.text);
}

void spool_status(struct spool *s, struct spool_status *out)
{
    struct spool_status st = {
        .objects = spool_index_count(s->index),
        .bytes = spool_index_bytes(s->index),
        .newest_id = s->next_id - 1,
        .segments = s->slot_count,
        .segments_max = s->slot_max,
        .syncs = s->syncs,
        .expired = s->expired,
        .counters = s->cursor,
    };
    const struct index_entry *oldest = spool_index_after(s->index, 0);
    struct spool_record r;

    for (uint32_t i = 0; i < s->slot_count; i++) {
        st.segments_free += s->slots[i].live == 0 && i != s->active;
    }
    for (uint8_t c = 0; c < SPOOL_CLASSES; c++) {
        st.class_objects[c] = spool_index_class_count(s->index, c);
    }
    if (oldest != NULL) {
        st.oldest_id = oldest->id;
        if (spool_peek(s, oldest->slot, oldest->at, &r, NULL) == 0) {
            st.oldest_time_ms = r.time_ms;
        }
    }
    *out = st;
}
