#include "node/shard_store_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"

/* Bounds of one batch: what is in flight when a crash comes, and how long the
 * first waits for the last. */
#define BATCH_ITEMS_MAX 512
#define BATCH_IOV_MAX (DRIVE_IOV_MAX - 8)
#define BATCH_BYTES_MAX ((uint64_t)32 << 20)
#define STAGE_BYTES ((size_t)4 << 20)

enum item_kind { ITEM_PUT, ITEM_DELETE, ITEM_COPY };

struct item {
    enum item_kind kind;
    union {
        struct shard_put *put;
        struct shard_delete *del;
        struct shard_copy *copy;
    };
    struct segment_entry entry; /* unit 0: has no record */
};

/* Owned by the writer thread. */
struct batch {
    struct shard_store *s;
    struct list_node puts, deletes, copies; /* taken, not yet in items */
    struct segment *g;
    uint64_t start; /* offset in the file of the first iov */
    uint64_t bytes; /* of all iovs */
    uint32_t entries;
    bool sync;
    struct item items[BATCH_ITEMS_MAX];
    unsigned count;
    struct iovec iov[DRIVE_IOV_MAX];
    int iov_count;
    uint8_t *stage; /* headers, small records, ends of large ones */
    size_t stage_bytes;
    size_t stage_used;
    uint8_t *tombs; /* the open record of tombstones, in stage; or NULL */
    uint32_t tomb_unit;
    uint32_t tomb_count;
    struct record_header header; /* scratch */
};

/* What batch_* give beside error codes. */
#define BATCH_FLUSH (-1) /* write what is there first */

static void put_done(struct shard_store *s, struct shard_put *p, int status,
                     const struct err *err)
{
    pthread_mutex_lock(&s->mutex);
    s->waiting--;
    s->count_puts += status == 0;
    pthread_mutex_unlock(&s->mutex);
    p->done(p, status, err);
}

static void delete_done(struct shard_store *s, struct shard_delete *d,
                        int status, const struct err *err)
{
    pthread_mutex_lock(&s->mutex);
    s->waiting--;
    s->count_deletes += status == 0;
    pthread_mutex_unlock(&s->mutex);
    d->done(d, status, err);
}

static void item_done(struct shard_store *s, const struct item *i, int status,
                      const struct err *err)
{
    switch (i->kind) {
        case ITEM_PUT:
            put_done(s, i->put, status, err);
            break;
        case ITEM_DELETE:
            delete_done(s, i->del, status, err);
            break;
        default:
            i->copy->done(i->copy, status);
    }
}

static void fail_taken(struct batch *b, int status, const struct err *err)
{
    struct list_node *node;

    while ((node = list_pop(&b->copies)) != NULL) {
        struct shard_copy *c = LIST_OF(node, struct shard_copy, node);
        c->done(c, status);
    }
    while ((node = list_pop(&b->puts)) != NULL) {
        put_done(b->s, LIST_OF(node, struct shard_put, node), status, err);
    }
    while ((node = list_pop(&b->deletes)) != NULL) {
        delete_done(b->s, LIST_OF(node, struct shard_delete, node), status,
                    err);
    }
}

void writer_retire(struct shard_store *s)
{
    struct segment *g = s->volume->active;

    s->volume->active = NULL;
    g->state = SEGMENT_RETIRED;
    list_push(&s->volume->retired, &g->node);
    pthread_cond_signal(&s->keeper_cond);
}

/* Begin to append to a free segment. Called and returns with the lock held. */
static int activate(struct shard_store *s, struct err *err)
{
    struct volume *v = s->volume;
    struct segment *g = volume_pop_free(v);
    char name[SEGMENT_NAME_MAX];
    int status;

    g->header = (struct segment_header){
        .sequence = v->next_sequence++,
        .salt = rng_u64(),
        .segment_bytes = s->segment_bytes,
        .drive = s->drive,
        .in_use = true,
    };
    memcpy(g->header.cluster, s->cluster, 16);
    pthread_mutex_unlock(&s->mutex);
    segment_name(g->number, name);
    status = s->ops->open(s->ops->data, v->dir, name,
                          DRIVE_WRITE | DRIVE_DIRECT, &g->writer, err);
    if (status != 0) {
        err_wrap(err, status, "%s", name);
    }
    pthread_mutex_lock(&s->mutex);
    if (status != 0) {
        volume_push_free(v, g);
        if (store_is_fatal(status)) {
            store_fail_locked(s, err);
            status = ERR_IO;
        }
        return status;
    }
    g->state = SEGMENT_ACTIVE;
    g->tail = 0; /* the header goes out with the first batch */
    g->count = 0;
    v->used_bytes += g->file_bytes;
    v->active = g;
    return 0;
}

/* Ask the supply thread and wait for its answer, lock held. */
static int demand(struct shard_store *s, enum supply_demand what, bool inner,
                  uint64_t end, struct err *err)
{
    s->demand = what;
    s->demand_inner = inner;
    s->demand_end = end;
    pthread_cond_signal(&s->supply_cond);
    while (s->demand != SUPPLY_NONE && s->state != DRIVE_FAILED) {
        pthread_cond_wait(&s->supplied_cond, &s->mutex);
    }
    s->demand = SUPPLY_NONE;
    if (s->state == DRIVE_FAILED) {
        return store_failed(s, err);
    }
    if (s->denied != 0) {
        *err = s->denied_err;
    }
    return s->denied;
}

/* Could the next free segment take @span bytes as it is? Lock held. */
static bool free_takes(const struct shard_store *s, uint32_t span)
{
    const struct list_node *node = s->volume->free_segments.next;

    return s->volume->free_count > 0 &&
           LIST_OF(node, struct segment, node)->file_bytes >=
               SEGMENT_UNIT + span + segment_footer_bytes(1);
}

static uint64_t batch_tail(const struct batch *b, const struct segment *g)
{
    return b->count > 0 ? b->start + b->bytes
                        : (g->tail == 0 ? SEGMENT_UNIT : g->tail);
}

/* Make sure that the active segment takes @span more bytes and one more entry
 * for each of @entries: 0, BATCH_FLUSH, or an error. @inner: for deletes and
 * compaction, which may use the reserve. */
static int room(struct batch *b, uint32_t span, uint32_t entries, bool inner,
                struct err *err)
{
    struct shard_store *s = b->s;
    int status = 0;

    pthread_mutex_lock(&s->mutex);
    while (status == 0) {
        struct segment *g = s->volume->active;
        if (s->state == DRIVE_FAILED) {
            status = store_failed(s, err);
            break;
        }
        if (g != NULL) {
            uint64_t end = batch_tail(b, g) + span;
            bool fits =
                end + segment_footer_bytes(g->count + b->entries + entries) <=
                g->header.segment_bytes;
            if (fits && end <= g->file_bytes) {
                b->g = g;
                break;
            }
            if (b->count > 0) {
                status = BATCH_FLUSH;
                break;
            }
            if (fits) {
                status = demand(s, SUPPLY_GROW, inner, end, err);
                if (status != ERR_FULL || !free_takes(s, span)) {
                    continue;
                }
                status = 0; /* without taking more of the disk */
            }
        }
        if (s->volume->free_count == 0) {
            status = demand(s, SUPPLY_SEGMENT, inner, 0, err);
            continue;
        }
        if (g != NULL) {
            writer_retire(s);
        }
        status = activate(s, err);
    }
    pthread_mutex_unlock(&s->mutex);
    return status;
}

/* Room in stage for @bytes: 0, BATCH_FLUSH or ERR_NOMEM. */
static int stage_room(struct batch *b, size_t bytes, struct err *err)
{
    uint8_t *pages;

    /* A header block, and one for the first record of tombstones. */
    bytes += 2 * SEGMENT_UNIT;
    if (b->stage_used + bytes <= b->stage_bytes) {
        return 0;
    }
    if (b->count > 0) {
        return BATCH_FLUSH;
    }
    pages = mem_pages(bytes);
    if (pages == NULL) {
        return err_set(err, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
    }
    mem_pages_free(b->stage, b->stage_bytes);
    b->stage = pages;
    b->stage_bytes = bytes;
    return 0;
}

static void add_iov(struct batch *b, const void *p, size_t len)
{
    struct iovec *last = b->iov_count > 0 ? &b->iov[b->iov_count - 1] : NULL;

    b->bytes += len;
    if (last != NULL && (uint8_t *)last->iov_base + last->iov_len == p) {
        last->iov_len += len;
        return;
    }
    CHECK(b->iov_count < DRIVE_IOV_MAX);
    b->iov[b->iov_count++] = (struct iovec){(void *)p, len};
}

/* The next @len bytes of stage, zeroed from @from on, added to the run. */
static uint8_t *add_stage(struct batch *b, size_t len, size_t from)
{
    uint8_t *p = b->stage + b->stage_used;

    CHECK(b->stage_used + len <= b->stage_bytes);
    memset(p + from, 0, len - from);
    b->stage_used += len;
    add_iov(b, p, len);
    return p;
}

/* Before the first record of a batch. */
static void begin(struct batch *b)
{
    b->start = b->g->tail;
    if (b->g->tail == 0) {
        segment_header_encode(&b->g->header,
                              add_stage(b, SEGMENT_UNIT, SEGMENT_UNIT));
    }
}

static uint32_t next_unit(const struct batch *b)
{
    return (uint32_t)((b->start + b->bytes) / SEGMENT_UNIT);
}

/* Write the header of the open record of tombstones. */
static void close_tombstones(struct batch *b)
{
    struct record_header *h = &b->header;
    uint32_t length = b->tomb_count * TOMBSTONE_BYTES;
    uint8_t *list;

    if (b->tombs == NULL) {
        return;
    }
    list = b->tombs + record_header_bytes(length);
    memset(h, 0, sizeof *h);
    h->type = RECORD_TOMBSTONES;
    h->length = length;
    h->sequence = b->g->header.sequence;
    h->salt = b->g->header.salt;
    record_checksum(h, list);
    record_header_encode(h, b->tombs);
    for (unsigned i = b->count;
         i-- > 0 && b->items[i].entry.unit >= b->tomb_unit;) {
        b->items[i].entry.length = length;
    }
    b->tombs = NULL;
}

/* Bytes of stage that a shard's record needs. Large ones are written from
 * where they stand if that is at a page boundary. */
static size_t stage_need(uint32_t length, const void *data)
{
    if (length < SEGMENT_APART || (uintptr_t)data % MEM_PAGE != 0) {
        return record_span(length);
    }
    return SEGMENT_UNIT + (length % SEGMENT_UNIT != 0 ? SEGMENT_UNIT : 0);
}

/* Add a shard's record; b->header has all but the segment's. */
static void add_shard(struct batch *b, const uint8_t *data)
{
    struct record_header *h = &b->header;
    uint32_t offset = record_data_offset(h->length);
    uint32_t span = record_span(h->length);
    uint32_t whole = h->length / SEGMENT_UNIT * SEGMENT_UNIT;
    uint8_t *p;

    h->sequence = b->g->header.sequence;
    h->salt = b->g->header.salt;
    if (stage_need(h->length, data) == span) {
        p = add_stage(b, span, 0);
        record_header_encode(h, p);
        memcpy(p + offset, data, h->length);
        return;
    }
    record_header_encode(h, add_stage(b, SEGMENT_UNIT, 0));
    add_iov(b, data, whole);
    if (whole < h->length) {
        p = add_stage(b, SEGMENT_UNIT, 0);
        memcpy(p, data + whole, h->length - whole);
    }
}

/* Common to puts and copies: room, then the record. */
static int add_record(struct batch *b, struct item *item, const uint8_t *data,
                      bool inner, struct err *err)
{
    struct segment_entry *e = &item->entry;
    uint32_t span = record_span(e->length);
    int status = room(b, span, 1, inner, err);

    if (status == 0) {
        status = stage_room(b, stage_need(e->length, data), err);
    }
    if (status != 0) {
        return status;
    }
    if (b->count == 0) {
        begin(b);
    }
    close_tombstones(b);
    e->unit = next_unit(b);
    if (item->kind == ITEM_PUT) {
        memset(&b->header, 0, sizeof b->header);
        b->header.type = RECORD_SHARD;
        b->header.key = e->key;
        b->header.group = e->group;
        b->header.length = e->length;
        record_checksum(&b->header, data);
    } else {
        b->header = *item->copy->header;
    }
    add_shard(b, data);
    b->entries++;
    b->sync = true;
    b->items[b->count++] = *item;
    return 0;
}

static int add_tombstone(struct batch *b, struct item *item, struct err *err)
{
    struct segment_entry *e = &item->entry;
    int status;

    e->type = RECORD_TOMBSTONES;
    if (b->tombs != NULL && b->tomb_count < TOMBSTONES_MAX) {
        status = room(b, 0, 1, true, err);
        if (status != 0) {
            return status;
        }
    } else {
        status = room(b, SEGMENT_UNIT, 1, true, err);
        if (status == 0) {
            status = stage_room(b, SEGMENT_UNIT, err);
        }
        if (status != 0) {
            return status;
        }
        if (b->count == 0) {
            begin(b);
        }
        close_tombstones(b);
        b->tomb_unit = next_unit(b);
        b->tombs = add_stage(b, SEGMENT_UNIT, 0);
        b->tomb_count = 0;
    }
    e->unit = b->tomb_unit;
    tombstone_encode(&e->key, b->tombs + record_header_bytes(1) +
                                  b->tomb_count * TOMBSTONE_BYTES);
    b->tomb_count++;
    b->entries++;
    b->items[b->count++] = *item;
    return 0;
}

static int add_put(struct batch *b, struct shard_put *p, struct err *err)
{
    struct item item = {.kind = ITEM_PUT, .put = p};
    uint64_t most;

    if (p->length == 0 || p->length > SHARD_BYTES_MAX) {
        return err_set(err, ERR_LIMIT, "drive %u: a shard of %u bytes",
                       (unsigned)b->s->drive, (unsigned)p->length);
    }
    most = b->s->segment_bytes - SEGMENT_UNIT - segment_footer_bytes(1);
    if (record_span(p->length) > most) {
        return err_set(err, ERR_LIMIT,
                       "drive %u: a shard of %u bytes does not fit in a "
                       "segment of %llu",
                       (unsigned)b->s->drive, (unsigned)p->length,
                       (unsigned long long)b->s->segment_bytes);
    }
    item.entry = (struct segment_entry){
        .key = p->key,
        .type = RECORD_SHARD,
        .group = p->group,
        .length = p->length,
    };
    return add_record(b, &item, p->data, false, err);
}

static int add_delete(struct batch *b, struct shard_delete *d, struct err *err)
{
    struct shard_store *s = b->s;
    struct item item = {.kind = ITEM_DELETE, .del = d};
    const struct index_entry *x;
    bool known;
    int status;

    item.entry.key = d->key;
    pthread_mutex_lock(&s->mutex);
    x = shard_index_find(s->volume->index, &d->key);
    known = x != NULL && x->state != INDEX_TOMBSTONE;
    pthread_mutex_unlock(&s->mutex);
    /* It may be in this very batch: then a tombstone is right as well. */
    if (!known && b->count == 0) {
        delete_done(s, d, 0, NULL);
        return 0;
    }
    status = add_tombstone(b, &item, err);
    if (status == ERR_FULL) {
        /* It may come back after a crash, which a delete may. */
        pthread_mutex_lock(&s->mutex);
        volume_forget(s->volume, &d->key);
        pthread_mutex_unlock(&s->mutex);
        delete_done(s, d, 0, NULL);
        status = 0;
    }
    return status;
}

/* Copies stand before all puts and deletes of a batch, so what the index says
 * now is what it says at their place in the log. */
static int add_copy(struct batch *b, struct shard_copy *c, struct err *err)
{
    struct shard_store *s = b->s;
    struct item item = {.kind = ITEM_COPY, .copy = c, .entry = c->entry};
    bool current;

    pthread_mutex_lock(&s->mutex);
    current = volume_is_current(s->volume, c->from, &c->entry);
    pthread_mutex_unlock(&s->mutex);
    if (!current) {
        c->done(c, 0);
        return 0;
    }
    b->sync = true;
    return c->entry.type == RECORD_SHARD
               ? add_record(b, &item, c->data, true, err)
               : add_tombstone(b, &item, err);
}

/* Add the oldest that waits: 0, or BATCH_FLUSH, when it stays first. */
static int add_next(struct batch *b)
{
    struct list_node *c = b->copies.next;
    struct list_node *p = b->puts.next;
    struct list_node *d = b->deletes.next;
    struct shard_put *put = LIST_OF(p, struct shard_put, node);
    struct shard_delete *del = LIST_OF(d, struct shard_delete, node);
    struct err err = {{0}};
    int status;

    if (c != &b->copies) {
        struct shard_copy *copy = LIST_OF(c, struct shard_copy, node);
        list_remove(c);
        status = add_copy(b, copy, &err);
        if (status == BATCH_FLUSH) {
            list_push(b->copies.next, c);
        } else if (status != 0) {
            copy->done(copy, status);
        }
    } else if (p != &b->puts && (d == &b->deletes || put->turn < del->turn)) {
        list_remove(p);
        status = add_put(b, put, &err);
        if (status == BATCH_FLUSH) {
            list_push(b->puts.next, p);
        } else if (status != 0) {
            put_done(b->s, put, status, &err);
        }
    } else {
        list_remove(d);
        status = add_delete(b, del, &err);
        if (status == BATCH_FLUSH) {
            list_push(b->deletes.next, d);
        } else if (status != 0) {
            delete_done(b->s, del, status, &err);
        }
    }
    return status == BATCH_FLUSH ? BATCH_FLUSH : 0;
}

static bool batch_has_room(const struct batch *b)
{
    return b->count < BATCH_ITEMS_MAX && b->iov_count < BATCH_IOV_MAX &&
           b->bytes < BATCH_BYTES_MAX;
}

static bool taken_empty(const struct batch *b)
{
    return list_empty(&b->copies) && list_empty(&b->puts) &&
           list_empty(&b->deletes);
}

/* The records are on disk: let them be seen. */
static void apply(struct batch *b)
{
    struct shard_store *s = b->s;
    struct segment *g = b->g;
    uint64_t now = clock_mono_ms();

    for (unsigned i = 0; i < b->count; i++) {
        struct item *item = &b->items[i];
        segment_add_entry(g, &item->entry);
        if (item->kind == ITEM_COPY) {
            volume_move(s->volume, item->copy->from, item->copy->entry.unit, g,
                        &item->entry);
        } else {
            volume_apply(s->volume, g, &item->entry);
            s->write_ms = now;
        }
    }
    g->tail = b->start + b->bytes;
    s->batch_bytes = s->batch_bytes / 8 * 7 + b->bytes / 8;
    s->count_syncs += b->sync;
}

/* Zero further before the writer comes there, and have the next segment ready
 * before this one ends. */
static void ask_ahead(struct shard_store *s)
{
    struct segment *g = s->volume->active;
    uint64_t near = g->tail + supply_step(s) / 2;

    if (near > g->file_bytes || near > g->header.segment_bytes) {
        pthread_cond_signal(&s->supply_cond);
    }
}

static void commit(struct batch *b)
{
    struct shard_store *s = b->s;
    struct err err = {{0}};
    bool written = false;
    int status;

    close_tombstones(b);
    status = s->ops->write(s->ops->data, b->g->writer, b->iov, b->iov_count,
                           b->start, &err);
    if (status == 0 && b->sync) {
        written = true;
        status = s->ops->sync(s->ops->data, b->g->writer, &err);
    }
    pthread_mutex_lock(&s->mutex);
    if (status == 0) {
        apply(b);
        ask_ahead(s);
    } else if (status == ERR_FULL && !written) {
        /* Parts of the batch may be there: nothing may follow them here. */
        b->g->tail = b->start == 0 ? SEGMENT_UNIT : b->start;
        writer_retire(s);
    } else {
        char name[SEGMENT_NAME_MAX];
        segment_name(b->g->number, name);
        err_wrap(&err, ERR_IO, "%s", name);
        store_fail_locked(s, &err);
        status = store_failed(s, &err);
    }
    pthread_mutex_unlock(&s->mutex);
    for (unsigned i = 0; i < b->count; i++) {
        item_done(s, &b->items[i], status, &err);
    }
}

static void run_batch(struct batch *b)
{
    b->g = NULL;
    b->bytes = 0;
    b->entries = 0;
    b->sync = false;
    b->count = 0;
    b->iov_count = 0;
    b->stage_used = 0;
    b->tombs = NULL;
    while (!taken_empty(b) && batch_has_room(b)) {
        if (add_next(b) == BATCH_FLUSH) {
            break;
        }
    }
    if (b->count > 0) {
        commit(b);
    }
}

static struct batch *batch_new(struct shard_store *s)
{
    struct batch *b = mem_alloc(sizeof *b);

    b->s = s;
    list_init(&b->puts);
    list_init(&b->deletes);
    list_init(&b->copies);
    b->stage_bytes = STAGE_BYTES;
    b->stage = mem_pages(b->stage_bytes);
    CHECK(b->stage != NULL);
    return b;
}

void *writer_main(void *arg)
{
    struct shard_store *s = arg;
    struct batch *b = batch_new(s);
    struct err err;

    pthread_mutex_lock(&s->mutex);
    for (;;) {
        list_move(&b->copies, &s->copies);
        list_move(&b->puts, &s->puts);
        list_move(&b->deletes, &s->deletes);
        if (taken_empty(b)) {
            if (s->writer_stop) {
                break;
            }
            pthread_cond_wait(&s->writer_cond, &s->mutex);
            continue;
        }
        if (s->state == DRIVE_FAILED) {
            int status = store_failed(s, &err);
            pthread_mutex_unlock(&s->mutex);
            fail_taken(b, status, &err);
            pthread_mutex_lock(&s->mutex);
            continue;
        }
        s->writer_busy = true;
        pthread_mutex_unlock(&s->mutex);
        run_batch(b);
        pthread_mutex_lock(&s->mutex);
        s->writer_busy = false;
        pthread_cond_broadcast(&s->quiet_cond);
    }
    pthread_mutex_unlock(&s->mutex);
    mem_pages_free(b->stage, b->stage_bytes);
    free(b);
    return NULL;
}
