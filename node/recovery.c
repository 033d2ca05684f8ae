#include "node/recovery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/drive_identity.h"

#define WINDOW_BYTES ((size_t)1 << 20)
#define NUMBER_MAX ((uint32_t)1 << 24)

/* A file read through a window of aligned bytes. */
struct window {
    const struct drive_ops *ops;
    struct drive_file *file;
    uint8_t *bytes;
    uint64_t begin;
    size_t len;
    unsigned errors;
};

struct recovery {
    const struct drive_ops *ops;
    struct volume *v;
    bool tolerate;
};

static bool window_fill(struct window *w, uint64_t begin, size_t len)
{
    struct iovec iov = {w->bytes, len};
    size_t got;

    if (w->ops->read(w->ops->data, w->file, &iov, 1, begin, &got, NULL) != 0) {
        return false;
    }
    w->begin = begin;
    w->len = got;
    return true;
}

static const uint8_t *window_read(void *arg, uint64_t offset, size_t len)
{
    struct window *w = arg;
    uint64_t begin = offset & ~(uint64_t)(SEGMENT_UNIT - 1);
    size_t need = mem_round_up(offset - begin + len, SEGMENT_UNIT);

    CHECK(len <= SHARD_BLOCK);
    if (offset < w->begin || offset + len > w->begin + w->len) {
        w->len = 0;
        if (!window_fill(w, begin, WINDOW_BYTES) &&
            !window_fill(w, begin, need)) {
            w->errors++;
            return NULL;
        }
        if (offset + len > w->begin + w->len) {
            return NULL; /* past the end */
        }
    }
    return w->bytes + (offset - w->begin);
}

static int window_open(struct window *w, const struct drive_ops *ops,
                       struct drive_file *file, struct err *err)
{
    *w = (struct window){.ops = ops, .file = file};
    w->bytes = mem_pages(WINDOW_BYTES);
    return w->bytes == NULL ? err_set(err, ERR_NOMEM, "%s", err_text(ERR_NOMEM))
                            : 0;
}

static void window_close(struct window *w)
{
    mem_pages_free(w->bytes, WINDOW_BYTES);
}

int recovery_read_footer(const struct drive_ops *ops, struct drive_file *file,
                         const struct segment_header *header,
                         uint64_t file_bytes, struct segment_contents *out,
                         struct err *err)
{
    struct segment_trailer t;
    struct segment_entry *entries;
    struct iovec iov = {.iov_len = SEGMENT_UNIT};
    size_t room = SEGMENT_UNIT;
    size_t got = 0;
    int status;

    if (file_bytes < 2 * SEGMENT_UNIT) {
        return err_set(err, ERR_CORRUPT, "segment footer: none");
    }
    iov.iov_base = mem_pages(room);
    if (iov.iov_base == NULL) {
        return err_set(err, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
    }
    status = ops->read(ops->data, file, &iov, 1, file_bytes - SEGMENT_UNIT,
                       &got, err);
    if (status == 0 && got < SEGMENT_UNIT) {
        status = err_set(err, ERR_IO, "the file is shorter than it was");
    }
    if (status == 0) {
        status = segment_trailer_decode(iov.iov_base, &t, err);
    }
    mem_pages_free(iov.iov_base, room);
    if (status != 0) {
        return status;
    }
    if (t.sequence != header->sequence || t.salt != header->salt ||
        t.tail + t.entries_bytes + SEGMENT_UNIT > file_bytes) {
        return err_set(err, ERR_CORRUPT, "segment footer: of an earlier use");
    }
    *out = (struct segment_contents){.tail = t.tail};
    if (t.count == 0) {
        return 0;
    }
    room = t.entries_bytes;
    iov.iov_base = mem_pages(room);
    iov.iov_len = room;
    entries = calloc(t.count, sizeof *entries);
    if (iov.iov_base == NULL || entries == NULL) {
        status = err_set(err, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
        goto done;
    }
    status = ops->read(ops->data, file, &iov, 1,
                       file_bytes - SEGMENT_UNIT - room, &got, err);
    if (status == 0 && got < room) {
        status = err_set(err, ERR_IO, "the file is shorter than it was");
    }
    if (status == 0) {
        status = segment_entries_decode(&t, iov.iov_base, entries, err);
    }
    if (status == 0) {
        out->entries = entries;
        out->count = t.count;
        entries = NULL;
    }
done:
    free(entries);
    if (iov.iov_base != NULL) {
        mem_pages_free(iov.iov_base, room);
    }
    return status;
}

struct gathered {
    struct segment_contents *out;
    uint32_t cap;
};

static void gather(void *arg, const struct segment_entry *e)
{
    struct gathered *g = arg;
    struct segment_contents *c = g->out;

    if (c->count == g->cap) {
        g->cap = g->cap == 0 ? 64 : g->cap * 2;
        c->entries = mem_realloc(c->entries, g->cap * sizeof *c->entries);
    }
    c->entries[c->count++] = *e;
}

int recovery_scan(const struct drive_ops *ops, struct drive_file *file,
                  const struct segment_header *header, uint64_t file_bytes,
                  struct segment_contents *out, unsigned *errors,
                  struct err *err)
{
    struct window w;
    struct segment_source source = {
        .read = window_read, .arg = &w, .size_bytes = file_bytes};
    struct gathered g = {.out = out};
    int status = window_open(&w, ops, file, err);

    if (status != 0) {
        return status;
    }
    *out = (struct segment_contents){0};
    out->tail =
        segment_scan(&source, header->sequence, header->salt, gather, &g);
    *errors = w.errors;
    window_close(&w);
    return 0;
}

/* The header is damaged: its sequence and salt stand also in the footer and in
 * the first record. */
static bool guess_header(struct window *w, uint64_t file_bytes,
                         struct segment_header *h)
{
    struct segment_trailer t;
    struct record_header r;
    const uint8_t *p;

    h->in_use = true;
    h->segment_bytes = file_bytes;
    if (file_bytes < 2 * SEGMENT_UNIT) {
        return false;
    }
    p = window_read(w, file_bytes - SEGMENT_UNIT, SEGMENT_UNIT);
    if (p != NULL && segment_trailer_decode(p, &t, NULL) == 0) {
        h->sequence = t.sequence;
        h->salt = t.salt;
        return true;
    }
    p = window_read(w, SEGMENT_UNIT, SEGMENT_UNIT);
    if (p != NULL && record_header_decode(p, SEGMENT_UNIT, &r, NULL) == 0) {
        h->sequence = r.sequence;
        h->salt = r.salt;
        return true;
    }
    return false;
}

static int read_header(struct recovery *r, struct segment *g,
                       struct drive_file *file, struct err *err)
{
    struct window w;
    const uint8_t *p;
    int status = window_open(&w, r->ops, file, err);

    if (status != 0) {
        return status;
    }
    p = g->file_bytes < SEGMENT_UNIT ? NULL : window_read(&w, 0, SEGMENT_UNIT);
    if (w.errors > 0 && !r->tolerate) {
        status = err_set(err, ERR_IO, "cannot read the header");
        goto done;
    }
    status = p == NULL
                 ? (g->file_bytes < SEGMENT_UNIT ? ERR_NOT_FOUND : ERR_CORRUPT)
                 : segment_header_decode(p, &g->header, err);
    if (status == 0 && (memcmp(g->header.cluster, r->v->cluster, 16) != 0 ||
                        g->header.drive != r->v->drive)) {
        g->state = SEGMENT_BAD; /* was put here by hand; leave it alone */
    } else if (status == 0) {
        g->state = g->header.in_use ? SEGMENT_SEALED : SEGMENT_FREE;
    } else if (status == ERR_NOT_FOUND) {
        g->state = SEGMENT_FREE;
        status = 0;
    } else if (status == ERR_CORRUPT) {
        g->state = guess_header(&w, g->file_bytes, &g->header) ? SEGMENT_SEALED
                                                               : SEGMENT_BAD;
        status = w.errors > 0 && !r->tolerate
                     ? err_set(err, ERR_IO, "cannot read the segment")
                     : 0;
    }
done:
    window_close(&w);
    return status;
}

/* Find what the segment is: file size and header. */
static int probe_segment(struct recovery *r, struct segment *g, struct err *err)
{
    const struct drive_ops *ops = r->ops;
    struct drive_file *file;
    char name[SEGMENT_NAME_MAX];
    int status;

    segment_name(g->number, name);
    status = ops->open(ops->data, r->v->dir, name, DRIVE_DIRECT | DRIVE_FRESH,
                       &file, err);
    if (status != 0) {
        return status;
    }
    status = ops->size(ops->data, file, &g->file_bytes, err);
    if (status == 0) {
        g->file_bytes &= ~(uint64_t)(SEGMENT_UNIT - 1);
        status = read_header(r, g, file, err);
    }
    ops->close(ops->data, file);
    if (g->state == SEGMENT_BAD) {
        r->v->bad_segments++;
        log_line(LOG_WARN,
                 "segment left alone: its header is damaged or of "
                 "another drive",
                 "path", r->v->dir, "file", name, NULL);
    }
    return status == 0 ? 0 : err_wrap(err, status, "%s", name);
}

/* What has no footer may not be on stable media yet. */
static int sync_segment(struct recovery *r, const char *name, struct err *err)
{
    const struct drive_ops *ops = r->ops;
    struct drive_file *file;
    int status = ops->open(ops->data, r->v->dir, name, DRIVE_WRITE, &file, err);

    if (status != 0) {
        return status;
    }
    status = ops->sync(ops->data, file, err);
    ops->close(ops->data, file);
    return status;
}

static void apply_all(struct volume *v, struct segment *g,
                      struct segment_contents *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        volume_apply(v, g, &c->entries[i]);
    }
}

/* A scanned segment gets a footer later, without the bad records that stand
 * in for nothing. */
static void retire_scanned(struct volume *v, struct segment *g,
                           const struct segment_contents *c)
{
    g->state = SEGMENT_RETIRED;
    for (uint32_t i = 0; i < c->count; i++) {
        if (!c->entries[i].bad || volume_is_current(v, g, &c->entries[i])) {
            segment_add_entry(g, &c->entries[i]);
        }
    }
    list_push(&v->retired, &g->node);
}

static int scan_segment(struct recovery *r, struct segment *g, const char *name,
                        struct err *err)
{
    const struct drive_ops *ops = r->ops;
    struct segment_contents c = {0};
    struct drive_file *file;
    unsigned errors = 0;
    int status = sync_segment(r, name, err);

    if (status != 0) {
        return status;
    }
    status = ops->open(ops->data, r->v->dir, name, DRIVE_DIRECT | DRIVE_FRESH,
                       &file, err);
    if (status != 0) {
        return status;
    }
    status =
        recovery_scan(ops, file, &g->header, g->file_bytes, &c, &errors, err);
    ops->close(ops->data, file);
    if (status == 0 && errors > 0 && !r->tolerate) {
        status = err_set(err, ERR_IO, "%u parts cannot be read", errors);
    }
    if (status == 0) {
        g->tail = c.tail;
        apply_all(r->v, g, &c);
        if (errors == 0) {
            retire_scanned(r->v, g, &c);
        }
    }
    free(c.entries);
    return status;
}

static int load_segment(struct recovery *r, struct segment *g, struct err *err)
{
    const struct drive_ops *ops = r->ops;
    struct segment_contents c = {0};
    struct drive_file *file;
    char name[SEGMENT_NAME_MAX];
    int status;

    segment_name(g->number, name);
    r->v->used_bytes += g->file_bytes;
    status = ops->open(ops->data, r->v->dir, name, DRIVE_DIRECT, &file, err);
    if (status == 0) {
        status =
            recovery_read_footer(ops, file, &g->header, g->file_bytes, &c, err);
        ops->close(ops->data, file);
    }
    if (status == 0) {
        g->tail = c.tail;
        apply_all(r->v, g, &c);
        free(c.entries);
    } else if (status == ERR_CORRUPT || (status == ERR_IO && r->tolerate)) {
        status = scan_segment(r, g, name, err);
    }
    return status == 0 ? 0 : err_wrap(err, status, "%s", name);
}

static int by_sequence(const void *a, const void *b)
{
    const struct segment *const *x = a;
    const struct segment *const *y = b;
    uint64_t p = (*x)->header.sequence;
    uint64_t q = (*y)->header.sequence;

    return p < q ? -1 : p > q;
}

static int load_all(struct recovery *r, struct err *err)
{
    struct volume *v = r->v;
    struct segment **order = mem_calloc(v->segment_count + 1, sizeof *order);
    uint32_t count = 0;
    int status = 0;

    for (uint32_t i = 0; i < v->segment_count && status == 0; i++) {
        struct segment *g = v->segments[i];
        if (g == NULL) {
            continue;
        }
        status = probe_segment(r, g, err);
        if (g->header.sequence >= v->next_sequence && g->state != SEGMENT_BAD) {
            v->next_sequence = g->header.sequence + 1;
        }
        if (g->state == SEGMENT_SEALED) {
            order[count++] = g;
        } else if (g->state == SEGMENT_FREE) {
            volume_push_free(v, g);
        }
    }
    qsort(order, count, sizeof *order, by_sequence);
    for (uint32_t i = 0; i < count && status == 0; i++) {
        status = load_segment(r, order[i], err);
    }
    free(order);
    return status;
}

static void add_file(void *arg, const char *name)
{
    struct recovery *r = arg;
    char again[SEGMENT_NAME_MAX];
    unsigned number;
    int end = 0;

    if (sscanf(name, "%8x.seg%n", &number, &end) != 1 || end == 0 ||
        number >= NUMBER_MAX) {
        return;
    }
    segment_name(number, again);
    if (strcmp(name, again) == 0 &&
        (number >= r->v->segment_count || r->v->segments[number] == NULL)) {
        volume_add_segment(r->v, number);
    }
}

int recovery_open(const struct drive_ops *ops, const char *dir, uint16_t drive,
                  const uint8_t cluster[16], bool tolerate, struct volume **out,
                  bool *made, struct err *err)
{
    struct recovery r = {.ops = ops, .tolerate = tolerate};
    struct drive_file *lock;
    int status =
        drive_identity_open(ops, dir, drive, cluster, &lock, made, err);

    if (status != 0) {
        return status;
    }
    r.v = volume_new(ops, dir, drive, cluster);
    r.v->lock = lock;
    status = drive_write_test(ops, dir, err);
    if (status == 0) {
        status = ops->list(ops->data, dir, add_file, &r, err);
    }
    if (status == 0) {
        /* A segment whose making was cut short may be a name in the system's
         * cache only. */
        status = ops->sync_dir(ops->data, dir, err);
    }
    if (status == 0) {
        status = load_all(&r, err);
    }
    if (status != 0) {
        volume_free(r.v);
        return status;
    }
    *out = r.v;
    return 0;
}
