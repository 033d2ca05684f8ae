#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "edge-agent/spool_state.h"

/* A segment with a valid head, in the order of sequences. */
struct found {
    uint64_t sequence;
    uint32_t slot;
    uint32_t first_at; /* of its first record */
};

static void damaged(struct spool *s, uint32_t slot, const char *what)
{
    char number[16];

    s->cursor.damaged_objects++;
    snprintf(number, sizeof number, "%u", slot);
    log_line(LOG_ERROR, "a flaw in the spool", "segment", number, "what", what,
             NULL);
}

/* ---- cursor ---- */

static int load_cursor(struct spool *s, struct err *err)
{
    uint8_t blocks[2 * SPOOL_BLOCK] = {0};
    struct spool_cursor c;
    uint64_t size;
    int code = s->disk.open(s->disk.data, SPOOL_CURSOR_FILE, true,
                            &s->cursor_file, err);

    if (code != 0) {
        s->cursor_file = -1;
        return code;
    }
    code = s->disk.size(s->disk.data, s->cursor_file, &size, err);
    if (code == 0 && size < sizeof blocks) {
        code = s->disk.write(s->disk.data, s->cursor_file, size, blocks,
                             sizeof blocks - (size_t)size, err);
        if (code == 0) {
            code = s->disk.sync(s->disk.data, s->cursor_file, err);
        }
        if (code == 0) {
            code = s->disk.sync_dir(s->disk.data, err);
        }
    }
    if (code == 0) {
        code = s->disk.read(s->disk.data, s->cursor_file, 0, blocks,
                            sizeof blocks, err);
    }
    for (int i = 0; i < 2 && code == 0; i++) {
        if (spool_cursor_read(blocks + i * SPOOL_BLOCK, &c) &&
            c.generation > s->cursor.generation) {
            s->cursor = c;
        }
    }
    if (s->cursor.next_id > s->next_id) {
        s->next_id = s->cursor.next_id;
    }
    if (s->cursor.done >= s->next_id) {
        s->next_id = s->cursor.done + 1;
    }
    return code;
}

/* ---- segments ---- */

static int by_sequence(const void *a, const void *b)
{
    const struct found *x = a, *y = b;

    return (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

/* Read the head of @slot; @f->sequence stays 0 when there is none. */
static int look(struct spool *s, uint32_t slot, uint8_t *block, struct found *f,
                struct err *err)
{
    struct spool_head head;
    uint64_t size = 0;
    int file;
    int code = s->disk.open(s->disk.data, slot, false, &file, err);

    if (code == ERR_NOT_FOUND) {
        return 0;
    }
    if (code != 0) {
        return code;
    }
    code = s->disk.size(s->disk.data, file, &size, err);
    if (code == 0 && size >= SPOOL_SEGMENT) {
        code = s->disk.read(s->disk.data, file, 0, block, SPOOL_BLOCK, err);
        if (code == 0) {
            code = spool_head_read(block, &head, err);
        }
        if (code == 0) {
            s->slots[slot].sequence = f->sequence = head.sequence;
            s->slots[slot].salt = head.salt;
            f->slot = slot;
            f->first_at = (uint32_t)spool_head_size(head.header_len);
        }
        /* Never used, or the power went while its first round was written:
         * nothing in it was acknowledged. Or a bit flipped. */
        if (code == ERR_CORRUPT) {
            char number[16];
            snprintf(number, sizeof number, "%u", slot);
            log_line(LOG_WARN, "a segment without a valid head is free",
                     "segment", number, NULL);
        }
        if (code == ERR_NOT_FOUND || code == ERR_CORRUPT) {
            code = 0;
        }
    }
    s->disk.close(s->disk.data, file);
    return code == 0 ? 0 : err_wrap(err, code, "segment %u", slot);
}

/* One more object, unless the cursor says that it is done. */
static void take(struct spool *s, const struct found *f,
                 const struct spool_entry *e, uint64_t *last)
{
    struct index_entry x = {
        .id = e->id,
        .hash = e->hash,
        .at = e->at,
        .stored_size = e->stored_size,
        .slot = (uint16_t)f->slot,
        .kind = e->kind,
        .class_id = e->class_id,
        .parts = e->parts,
    };

    if (e->id >= s->next_id) {
        s->next_id = e->id + 1;
    }
    if (e->id <= s->cursor.done) {
        return;
    }
    if (e->id <= *last) {
        damaged(s, f->slot, "ids do not ascend");
        return;
    }
    *last = e->id;
    spool_index_add(s->index, &x);
    s->slots[f->slot].live++;
}

/* By the footer; false when it has none of its own. */
static int load_footer(struct spool *s, const struct found *f, int file,
                       uint64_t *last, bool *loaded, struct err *err)
{
    uint8_t trailer[SPOOL_TRAILER];
    uint32_t count;
    size_t room;
    uint8_t *p;
    int code = s->disk.read(s->disk.data, file, SPOOL_SEGMENT - SPOOL_TRAILER,
                            trailer, sizeof trailer, err);

    *loaded = false;
    if (code != 0 || !spool_trailer_peek(trailer, f->sequence, &count)) {
        return code;
    }
    room = SPOOL_TRAILER + (size_t)count * SPOOL_ENTRY;
    p = mem_alloc(room);
    code = s->disk.read(s->disk.data, file, SPOOL_SEGMENT - room, p, room, err);
    if (code == 0 && spool_footer_check(p + room, count)) {
        *loaded = true;
        for (uint32_t i = 0; i < count; i++) {
            struct spool_entry e;
            if (spool_entry_read(p + room, count, i, &e)) {
                take(s, f, &e, last);
            }
        }
    }
    free(p);
    return code;
}

/* By its records: the segment was being written when the agent ended. A round
 * that was torn is followed by none, but a flipped bit may be: so go on at the
 * next block. */
static int load_records(struct spool *s, const struct found *f, int file,
                        uint64_t *last, struct err *err)
{
    uint32_t salt = s->slots[f->slot].salt;
    uint8_t *p = mem_pages(SPOOL_SEGMENT);
    int code;

    if (p == NULL) {
        return err_set(err, ERR_NOMEM, "no memory to read a segment");
    }
    code = s->disk.read(s->disk.data, file, 0, p, SPOOL_SEGMENT, err);
    for (uint32_t at = f->first_at;
         code == 0 && at + SPOOL_RECORD <= SPOOL_SEGMENT;) {
        struct spool_record r;
        if (spool_record_peek(p + at, SPOOL_SEGMENT - at, f->sequence, &r,
                              NULL) != 0 ||
            spool_record_check(p + at, &r, salt, NULL) != 0) {
            at = (uint32_t)mem_round_up(at + 1, SPOOL_BLOCK);
            continue;
        }
        if (r.kind != SPOOL_PART) {
            struct spool_entry e = {
                .at = at,
                .kind = r.kind,
                .class_id = r.class_id,
                .parts = (r.flags & SPOOL_FLAG_PARTS) != 0,
                .hash = spool_hash(p + at + SPOOL_RECORD, r.key_len),
                .stored_size = r.stored_size < UINT32_MAX
                                   ? (uint32_t)r.stored_size
                                   : UINT32_MAX,
                .id = r.id,
            };
            take(s, f, &e, last);
        }
        at += (uint32_t)spool_record_size(r.key_len, r.meta_len, r.payload_len);
    }
    mem_pages_free(p, SPOOL_SEGMENT);
    return code;
}

static int load(struct spool *s, const struct found *f, uint64_t *last,
                struct err *err)
{
    bool loaded;
    int file;
    int code = spool_slot_file(s, f->slot, &file, err);

    if (code == 0) {
        code = load_footer(s, f, file, last, &loaded, err);
    }
    if (code == 0 && !loaded) {
        code = load_records(s, f, file, last, err);
    }
    return code == 0 ? 0 : err_wrap(err, code, "segment %u", f->slot);
}

/* Hold the parts of objects that have them. */
static int hold_parts(struct spool *s, struct err *err)
{
    uint64_t id = 0;

    for (struct index_entry *e;
         (e = spool_index_after(s->index, id)) != NULL;) {
        struct spool_part *parts;
        size_t count;
        int code = 0;
        id = e->id;
        if (!e->parts) {
            continue;
        }
        code = spool_parts(s, e->slot, e->at, &parts, &count, err);
        if (code != 0 && code != ERR_CORRUPT && code != ERR_NOT_FOUND) {
            return code; /* they may be there */
        }
        if (code != 0) {
            damaged(s, e->slot, "a part of an object is missing");
            s->slots[e->slot].live--;
            spool_index_remove(s->index, id);
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            s->slots[parts[i].slot].live++;
        }
        free(parts);
    }
    return 0;
}

/* What a killed process wrote may be in memory alone: its files' names, the
 * cursor, and the last round, whose ids may be told to the cluster before the
 * power goes. */
static int make_safe(struct spool *s, struct err *err)
{
    struct err why = {{0}};
    int code = s->disk.sync_dir(s->disk.data, err);

    if (code == 0) {
        code = s->disk.sync(s->disk.data, s->cursor_file, err);
    }
    if (code == 0 && s->next_id > s->cursor.next_id) {
        s->cursor_moved = true;
        if (spool_save(s, &why) != 0) { /* to be tried again */
            log_line(LOG_ERROR, "the spool's disk failed", "err", why.text,
                     NULL);
        }
    }
    return code;
}

int spool_start(struct spool *s, struct err *err)
{
    uint8_t *block = mem_alloc(SPOOL_BLOCK);
    struct found *found = NULL;
    size_t count = 0;
    uint64_t last = 0;
    uint32_t files = 0;
    int code = load_cursor(s, err);

    if (code == 0) {
        code = s->disk.segments(s->disk.data, &files, err);
    }
    if (code == 0) {
        s->slots = mem_calloc(files + 1, sizeof s->slots[0]);
        s->slot_count = files;
        /* What is there stays in use when the bound was lowered. */
        s->slot_max = s->slot_max > files ? s->slot_max : files;
        found = mem_calloc(files + 1, sizeof found[0]);
    }
    for (uint32_t i = 0; i < files && code == 0; i++) {
        code = look(s, i, block, &found[count], err);
        count += found[count].sequence != 0;
    }
    if (count > 0) {
        qsort(found, count, sizeof found[0], by_sequence);
        s->sequence = found[count - 1].sequence;
    }
    for (size_t i = 0; i < count && code == 0; i++) {
        code = load(s, &found[i], &last, err);
    }
    if (code == 0) {
        code = hold_parts(s, err);
    }
    if (code == 0) {
        code = make_safe(s, err);
    }
    free(found);
    free(block);
    return code;
}
