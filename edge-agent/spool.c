#include "edge-agent/spool.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/wire.h"
#include "edge-agent/spool_state.h"

#define ENTRIES_MAX (SPOOL_SEGMENT / SPOOL_RECORD)
#define ZEROING (64U * 1024) /* bytes of one write */

_Static_assert(SPOOL_PAYLOAD_MAX + SPOOL_KEY_MAX + SPOOL_META_MAX +
                       SPOOL_RECORD + SPOOL_BLOCK <
                   SPOOL_ROUND / 2,
               "a round holds a head and any record");

/* ---- the cursor ---- */

/* All below the oldest that is held, durable or not, is done. */
static uint64_t done_now(struct spool *s)
{
    const struct index_entry *oldest = spool_index_after(s->index, 0);

    if (oldest != NULL) {
        return oldest->id - 1;
    }
    return (s->pending_count > 0 ? s->pending[0].id : s->next_id) - 1;
}

bool spool_moved(const struct spool *s)
{
    return s->cursor_moved;
}

int spool_save(struct spool *s, struct err *err)
{
    uint8_t block[SPOOL_BLOCK] = {0};
    struct spool_cursor c = s->cursor;
    uint64_t at;
    int code;

    if (!s->cursor_moved) {
        return 0;
    }
    c.generation++;
    c.done = done_now(s);
    c.next_id = s->next_id;
    c.flash_bytes += SPOOL_BLOCK;
    at = (c.generation & 1) * SPOOL_BLOCK;
    spool_cursor_write(&c, block);
    code = s->disk.write(s->disk.data, s->cursor_file, at, block, sizeof block,
                         err);
    if (code == 0) {
        code = s->disk.sync(s->disk.data, s->cursor_file, err);
    }
    if (code != 0) {
        return err_wrap(err, code, "cursor");
    }
    s->cursor = c;
    s->cursor_moved = false;
    s->gave_up = false;
    return 0;
}

int spool_save_shed(struct spool *s, struct err *err)
{
    return s->gave_up ? spool_save(s, err) : 0;
}

/* ---- letting go ---- */

static void release_slot(struct spool *s, uint32_t slot)
{
    CHECK(slot < s->slot_count && s->slots[slot].live > 0);
    s->slots[slot].live--;
}

void spool_drop(struct spool *s, uint64_t id, enum spool_fate fate)
{
    const struct index_entry *e = spool_index_get(s->index, id);
    struct spool_part *parts = NULL;
    size_t count = 0;

    if (e == NULL) {
        return;
    }
    /* A chain that cannot be read keeps its segments until the next start. */
    if (e->parts && spool_parts(s, e->slot, e->at, &parts, &count, NULL) == 0) {
        for (size_t i = 0; i < count; i++) {
            release_slot(s, parts[i].slot);
        }
        free(parts);
    }
    release_slot(s, e->slot);
    if (fate == SPOOL_SHED) {
        s->cursor.shed_objects++;
        s->cursor.shed_bytes += e->stored_size;
    } else if (fate == SPOOL_DAMAGED) {
        s->cursor.damaged_objects++;
    } else {
        s->cursor.delivered_objects++;
    }
    s->gave_up = s->gave_up || fate == SPOOL_SHED;
    spool_index_remove(s->index, id);
    s->cursor_moved = true;
}

/* ---- segments ---- */

/* A file of zeros, its name and size durable. */
static int zero_segment(struct spool *s, int file, uint64_t from,
                        struct err *err)
{
    uint8_t *zeros = mem_calloc(1, ZEROING);
    int code = 0;

    for (uint64_t at = from; at < SPOOL_SEGMENT && code == 0;) {
        size_t len = SPOOL_SEGMENT - at < ZEROING ? (size_t)(SPOOL_SEGMENT - at)
                                                  : ZEROING;
        code = s->disk.write(s->disk.data, file, at, zeros, len, err);
        at += len;
        s->cursor.flash_bytes += len;
    }
    free(zeros);
    if (code == 0) {
        code = s->disk.sync(s->disk.data, file, err);
    }
    if (code == 0) {
        code = s->disk.sync_dir(s->disk.data, err);
    }
    return code;
}

static uint32_t free_slot(const struct spool *s)
{
    for (uint32_t i = 0; i < s->slot_count; i++) {
        if (s->slots[i].live == 0 && i != s->active) {
            return i;
        }
    }
    return SPOOL_NONE;
}

/* Open the file of @slot, whole. */
static int prepare_slot(struct spool *s, uint32_t slot, int *out,
                        struct err *err)
{
    uint64_t size;
    int file;
    int code = s->disk.open(s->disk.data, slot, true, &file, err);

    if (code != 0) {
        return code;
    }
    code = s->disk.size(s->disk.data, file, &size, err);
    if (code == 0 && size < SPOOL_SEGMENT) {
        code = zero_segment(s, file, size, err);
    }
    if (code != 0) {
        s->disk.close(s->disk.data, file);
        return err_wrap(err, code, "segment %u", slot);
    }
    *out = file;
    return 0;
}

/* A slot to write to: one that holds nothing, a new one, or by shedding. */
static int take_slot(struct spool *s, uint8_t class_id, uint32_t *slot,
                     int *file, struct err *err)
{
    bool grow = s->slot_count < s->slot_max;
    int code;

    for (;;) {
        /* More may be there than there is to be: the bound was lowered. */
        bool over =
            s->slot_count > s->slot_max && spool_slots_used(s) >= s->slot_max;
        uint32_t i = over ? SPOOL_NONE : free_slot(s);
        if (i == SPOOL_NONE && grow) {
            i = s->slot_count;
            code = prepare_slot(s, i, file, err);
            if (code == 0) {
                s->slots = mem_realloc(s->slots, (i + 1) * sizeof s->slots[0]);
                s->slots[i] = (struct spool_slot){0};
                s->slot_count++;
                *slot = i;
                return 0;
            }
            if (code != ERR_FULL) {
                return code;
            }
            grow = false; /* the disk is fuller than the bound */
        } else if (i != SPOOL_NONE) {
            /* Invariant 3: what stood there must be known to be done. */
            code = spool_save(s, err);
            if (code == 0) {
                code = prepare_slot(s, i, file, err);
            }
            *slot = i;
            return code;
        } else if (!spool_shed_one(s, class_id)) {
            return err_set(err, ERR_FULL, "the spool is full");
        }
    }
}

static int open_segment(struct spool *s, uint8_t class_id, struct err *err)
{
    uint8_t header[SPOOL_HEADER_MAX];
    size_t header_len = 0;
    struct spool_head head;
    uint32_t slot = SPOOL_NONE;
    int file;
    int code = take_slot(s, class_id, &slot, &file, err);

    if (code != 0) {
        return code;
    }
    if (s->options.new_segment != NULL) {
        code = s->options.new_segment(s->options.arg, s->sequence + 1, header,
                                      &header_len, err);
        if (code != 0) {
            s->disk.close(s->disk.data, file);
            return code;
        }
    }
    CHECK(header_len <= sizeof header);
    spool_read_forget(s, slot);
    head.sequence = ++s->sequence;
    rng_bytes(&head.salt, sizeof head.salt);
    head.header = header;
    head.header_len = (uint16_t)header_len;
    spool_head_write(&head, s->round);
    s->round_len = (uint32_t)spool_head_size(header_len);
    s->slots[slot].sequence = head.sequence;
    s->slots[slot].salt = head.salt;
    s->active = slot;
    s->file = file;
    s->at = 0;
    s->entry_count = 0;
    return 0;
}

/* ---- the round ---- */

/* The round reached the disk, or never will. */
static void settle(struct spool *s, int code, const char *why)
{
    for (size_t i = 0; i < s->pending_count; i++) {
        if (code == 0) {
            const struct index_entry *e = &s->pending[i];
            spool_index_add(s->index, e);
            s->cursor.accepted_objects++;
            s->cursor.accepted_bytes += e->stored_size;
        } else {
            /* Parts of a lost object: its upload's owner aborts. */
            release_slot(s, s->pending[i].slot);
        }
    }
    s->pending_count = 0;
    s->round_len = 0;
    if (s->options.committed != NULL) {
        s->options.committed(s->options.arg, code, why);
    }
}

static void leave_segment(struct spool *s)
{
    s->disk.close(s->disk.data, s->file);
    s->active = SPOOL_NONE;
    s->file = -1;
}

/* So that a start need not read the records. It comes after the sync of all
 * that it tells of and is not waited for: a start without it reads them. */
static void write_footer(struct spool *s)
{
    size_t room = spool_footer_room(s->entry_count);
    uint8_t *block = mem_calloc(1, room);

    memcpy(block + room - SPOOL_TRAILER - s->entry_count * SPOOL_ENTRY,
           s->entries, s->entry_count * SPOOL_ENTRY);
    spool_footer_seal(block + room, s->slots[s->active].sequence,
                      s->entry_first, s->entry_count);
    (void)s->disk.write(s->disk.data, s->file, SPOOL_SEGMENT - room, block,
                        room, NULL);
    s->cursor.flash_bytes += room;
    free(block);
}

/* Write the round: one write, one sync. */
static int write_round(struct spool *s, struct err *err)
{
    uint32_t len = (uint32_t)mem_round_up(s->round_len, SPOOL_BLOCK);
    size_t room = spool_footer_room(s->entry_count);
    struct err why = {{0}};
    int code = 0;

    CHECK(s->at + len + room <= SPOOL_SEGMENT); /* the footer has its place */
    if (len > 0) {
        memset(s->round + s->round_len, 0, len - s->round_len);
        code = s->disk.write(s->disk.data, s->file, s->at, s->round, len, &why);
        s->cursor.flash_bytes += len;
    }
    if (code == 0) {
        code = s->disk.sync(s->disk.data, s->file, &why);
        s->syncs++;
    }
    s->at += len;
    if (code != 0) {
        /* What the disk holds of it is unknown: never write there again. */
        s->failures++;
        leave_segment(s);
    }
    settle(s, code, why.text);
    return code == 0 ? 0 : err_set(err, code, "%s", why.text);
}

int spool_commit(struct spool *s, struct err *err)
{
    return spool_dirty(s) ? write_round(s, err) : 0;
}

bool spool_dirty(const struct spool *s)
{
    return s->active != SPOOL_NONE && s->round_len > 0;
}

/* Room for a record of @need bytes at the round's end. */
static int make_room(struct spool *s, size_t need, uint8_t class_id,
                     struct err *err)
{
    int code = 0;

    /* The round first: written, it ends at a block, and that may move the
     * record's end by one. */
    if (s->active != SPOOL_NONE &&
        s->round_len + need > SPOOL_ROUND - SPOOL_BLOCK) {
        code = write_round(s, err);
    }
    if (code == 0 && s->active != SPOOL_NONE &&
        s->at + mem_round_up(s->round_len + need, SPOOL_BLOCK) +
                spool_footer_room(s->entry_count + 1) >
            SPOOL_SEGMENT) {
        code = write_round(s, err);
        if (code == 0) {
            if (s->entry_count > 0) {
                write_footer(s);
            }
            leave_segment(s);
        }
    }
    if (code == 0 && s->active == SPOOL_NONE) {
        code = open_segment(s, class_id, err);
    }
    return code;
}

int spool_begin(struct spool *s, size_t key_len, size_t meta_len,
                size_t payload_len, uint8_t class_id, uint8_t **payload,
                struct err *err)
{
    size_t need;
    int code;

    CHECK(s->begun_len == 0 && class_id < SPOOL_CLASSES);
    if (key_len > SPOOL_KEY_MAX || meta_len > SPOOL_META_MAX ||
        payload_len > SPOOL_PAYLOAD_MAX) {
        return err_set(err, ERR_LIMIT, "key, metadata or bytes are too long");
    }
    while (spool_index_count(s->index) + s->pending_count >=
           s->rules.max_objects) {
        if (!spool_shed_one(s, class_id)) {
            return err_set(err, ERR_FULL, "the spool holds %llu objects",
                           (unsigned long long)s->rules.max_objects);
        }
    }
    need = spool_record_size(key_len, meta_len, payload_len);
    while (!spool_may_take(s, class_id, need)) {
        if (!spool_shed_one(s, class_id)) {
            return err_set(err, ERR_FULL,
                           "the rest of the spool is reserved for other "
                           "classes than %u",
                           class_id);
        }
    }
    code = make_room(s, need, class_id, err);
    if (code != 0) {
        return code;
    }
    s->begun_len = (uint32_t)payload_len;
    *payload = s->round + s->round_len + SPOOL_RECORD + key_len + meta_len;
    s->begun_len++; /* so that an empty one is told from none */
    return 0;
}

/* Write the record that spool_begin made room for; gives its place. */
static uint32_t put_record(struct spool *s, struct spool_record *r,
                           const void *key, const void *meta)
{
    uint8_t *p = s->round + s->round_len;
    uint32_t at = s->at + s->round_len;

    CHECK(s->begun_len > 0);
    r->payload_len = s->begun_len - 1;
    r->sequence = s->slots[s->active].sequence;
    s->begun_len = 0;
    if (r->key_len > 0) {
        memcpy(p + SPOOL_RECORD, key, r->key_len);
    }
    if (r->meta_len > 0) {
        memcpy(p + SPOOL_RECORD + r->key_len, meta, r->meta_len);
    }
    spool_record_write(r, s->slots[s->active].salt, p);
    s->round_len +=
        (uint32_t)spool_record_size(r->key_len, r->meta_len, r->payload_len);
    s->slots[s->active].live++;
    return at;
}

/* The object's entry waits for the round, and in the footer to come. */
static void put_entry(struct spool *s, const struct spool_entry *e)
{
    if (s->pending_count == s->pending_cap) {
        s->pending_cap = s->pending_cap * 2 + 16;
        s->pending =
            mem_realloc(s->pending, s->pending_cap * sizeof s->pending[0]);
    }
    s->pending[s->pending_count++] = (struct index_entry){
        .id = e->id,
        .hash = e->hash,
        .at = e->at,
        .stored_size = e->stored_size,
        .slot = (uint16_t)s->active,
        .kind = e->kind,
        .class_id = e->class_id,
        .parts = e->parts,
    };
    if (s->entry_count == 0) {
        s->entry_first = e->id;
    }
    CHECK(s->entry_count < ENTRIES_MAX);
    spool_entry_write(e, s->entry_first,
                      s->entries + (size_t)s->entry_count++ * SPOOL_ENTRY);
}

static uint64_t end_object(struct spool *s, const struct spool_object *o,
                           const struct spool_upload *u)
{
    struct spool_record r = {
        .key_len = o->key_len,
        .meta_len = o->meta_len,
        .id = s->next_id++,
        .time_ms = o->time_ms,
        .plain_size = o->plain_size,
        .kind = (uint8_t)o->kind,
        .class_id = o->class_id,
        .flags = (uint8_t)(o->flags & ~SPOOL_FLAG_PARTS),
        .seal_flags = o->seal_flags,
        .link = o->link,
        .prev_slot = SPOOL_NONE,
        .stored_size = s->begun_len - 1,
    };
    struct spool_entry e = {
        .kind = r.kind,
        .class_id = r.class_id,
        .parts = u != NULL,
        .hash = spool_hash(o->key, o->key_len),
        .id = r.id,
    };

    if (u != NULL) {
        r.flags |= SPOOL_FLAG_PARTS;
        r.link = u->tag;
        r.prev_slot = u->parts[u->count - 1].slot;
        r.prev_at = u->parts[u->count - 1].at;
        r.stored_size = u->stored_size;
    }
    memcpy(r.etag, o->etag, sizeof r.etag);
    e.stored_size =
        r.stored_size < UINT32_MAX ? (uint32_t)r.stored_size : UINT32_MAX;
    e.at = put_record(s, &r, o->key, o->meta);
    put_entry(s, &e);
    return r.id;
}

void spool_end(struct spool *s, const struct spool_object *object, uint64_t *id)
{
    CHECK(object->kind == SPOOL_OBJECT || object->kind == SPOOL_DELETE);
    *id = end_object(s, object, NULL);
}

uint64_t spool_flash_bytes(const struct spool *s)
{
    return s->cursor.flash_bytes;
}

uint64_t spool_object_max(const struct spool *s)
{
    /* With heads and a footer 15 parts of 64 KiB go into a segment. */
    return (uint64_t)s->slot_max * (SPOOL_SEGMENT / 16 * 15);
}

uint64_t spool_coming_id(const struct spool *s)
{
    return s->next_id;
}

/* ---- parts ---- */

int spool_part_begin(struct spool *s, struct spool_upload *u, size_t len,
                     uint8_t class_id, uint8_t **payload, struct err *err)
{
    if (u->tag == 0) {
        while (u->tag == 0) {
            rng_bytes(&u->tag, sizeof u->tag);
        }
        u->failures = s->failures;
    }
    if (u->failures != s->failures) {
        return err_set(err, ERR_IO, "an earlier part was not written");
    }
    return spool_begin(s, 0, 0, len, class_id, payload, err);
}

void spool_part_end(struct spool *s, struct spool_upload *u)
{
    struct spool_record r = {
        .id = u->tag,
        .plain_size = u->count,
        .kind = SPOOL_PART,
        .prev_slot = u->count > 0 ? u->parts[u->count - 1].slot : SPOOL_NONE,
        .prev_at = u->count > 0 ? u->parts[u->count - 1].at : 0,
        .stored_size = s->begun_len - 1,
    };
    uint32_t at;

    if (u->count == u->cap) {
        u->cap = u->cap * 2 + 16;
        u->parts = mem_realloc(u->parts, u->cap * sizeof u->parts[0]);
    }
    u->stored_size += r.stored_size;
    at = put_record(s, &r, NULL, NULL);
    u->parts[u->count++] = (struct spool_part){s->active, at};
}

static void upload_free(struct spool_upload *u)
{
    free(u->parts);
    *u = (struct spool_upload){0};
}

int spool_finish(struct spool *s, struct spool_upload *u,
                 const struct spool_object *object, uint64_t *id,
                 struct err *err)
{
    uint8_t *none;
    int code;

    CHECK(u->count > 0);
    code = spool_begin(s, object->key_len, object->meta_len, 0,
                       object->class_id, &none, err);
    if (code != 0) {
        return code;
    }
    if (u->failures != s->failures) {
        s->begun_len = 0;
        return err_set(err, ERR_IO, "an earlier part was not written");
    }
    *id = end_object(s, object, u);
    upload_free(u);
    return 0;
}

void spool_abort(struct spool *s, struct spool_upload *u)
{
    for (uint32_t i = 0; i < u->count; i++) {
        release_slot(s, u->parts[i].slot);
    }
    upload_free(u);
}

/* ---- life ---- */

int spool_open(const struct spool_disk *disk,
               const struct spool_options *options, struct spool **out,
               struct err *err)
{
    uint64_t max = options->max_bytes / SPOOL_SEGMENT;
    struct spool *s;
    int code;

    CHECK(options->max_bytes >= SPOOL_BYTES_MIN &&
          options->max_bytes <= SPOOL_BYTES_MAX && options->max_objects > 0);
    s = mem_alloc(sizeof *s);
    s->disk = *disk;
    s->options = *options;
    s->rules = (struct spool_rules){.max_bytes = options->max_bytes,
                                    .max_objects = options->max_objects,
                                    .when_full = options->when_full};
    for (uint8_t c = 0; c < SPOOL_CLASSES; c++) {
        s->rules.priority[c] = c;
    }
    s->index = spool_index_new();
    s->slot_max = (uint32_t)max;
    s->active = SPOOL_NONE;
    s->file = -1;
    s->read_slot = SPOOL_NONE;
    s->read_file = -1;
    s->cursor_file = -1;
    s->next_id = 1;
    s->round = mem_pages(SPOOL_ROUND);
    s->entries = mem_calloc(ENTRIES_MAX, SPOOL_ENTRY);
    CHECK(s->round != NULL);
    code = spool_start(s, err);
    if (code != 0) {
        spool_close(s);
        return err_wrap(err, code, "spool");
    }
    *out = s;
    return 0;
}

void spool_close(struct spool *s)
{
    if (s == NULL) {
        return;
    }
    if (s->active != SPOOL_NONE) {
        leave_segment(s);
    }
    spool_read_forget(s, s->read_slot);
    if (s->cursor_file >= 0) {
        s->disk.close(s->disk.data, s->cursor_file);
    }
    spool_index_free(s->index);
    mem_pages_free(s->round, SPOOL_ROUND);
    free(s->entries);
    free(s->pending);
    free(s->slots);
    free(s);
}
