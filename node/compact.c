#include "node/shard_store_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

/* Space that may stay dead, beside a share of what lives. */
#define DEAD_MIN_IDLE ((uint64_t)64 << 10)
/* A restart leaves a short segment; so many may stand about. */
#define SHORT_SEGMENTS_MAX 16
#define COPY_BYTES ((uint64_t)4 << 20)
#define COPIES_MAX 64

/* Records on their way through the writer. */
struct copies {
    struct shard_store *s;
    struct shard_copy copy[COPIES_MAX];
    struct record_bytes bytes[COPIES_MAX];
    unsigned count;
    unsigned left; /* not done; under the store's lock */
    int status;    /* the first that failed */
    uint64_t total;
};

static uint64_t dead_bytes(const struct segment *g)
{
    uint64_t used = g->tail < SEGMENT_UNIT ? 0 : g->tail - SEGMENT_UNIT;

    return used > g->live_bytes ? used - g->live_bytes : 0;
}

/* How much may be dead before it is worth the copying. Lock held. */
static uint64_t dead_allowed(const struct shard_store *s, bool asked)
{
    uint64_t live = s->volume->live_bytes;
    uint64_t part;
    uint64_t least;

    if (s->state == DRIVE_FULL) {
        part = live / 50;
        least = DEAD_MIN_IDLE;
    } else if (asked || store_idle(s)) {
        part = live / 10;
        least = DEAD_MIN_IDLE;
    } else {
        part = live / 5;
        least = s->segment_bytes / 2;
    }
    return part > least ? part : least;
}

/* True when @a is better emptied than @b: more of it is dead. */
static bool emptier(const struct segment *a, const struct segment *b)
{
    return b == NULL || (double)dead_bytes(a) * (double)b->tail >
                            (double)dead_bytes(b) * (double)a->tail;
}

static struct segment *choose(struct shard_store *s, bool asked)
{
    struct volume *v = s->volume;
    struct segment *best = NULL;
    struct segment *least = NULL;
    uint64_t dead = 0;
    unsigned short_count = 0;

    for (uint32_t i = 0; i < v->segment_count; i++) {
        struct segment *g = v->segments[i];
        if (g == NULL || g->state != SEGMENT_SEALED) {
            continue;
        }
        if (g->live_bytes == 0) {
            return g;
        }
        dead += dead_bytes(g);
        if (dead_bytes(g) > 0 && emptier(g, best)) {
            best = g;
        }
        if (g->file_bytes < s->segment_bytes / 4) {
            short_count++;
            if (least == NULL || g->live_bytes < least->live_bytes) {
                least = g;
            }
        }
    }
    if (dead > dead_allowed(s, asked)) {
        return best;
    }
    return short_count > SHORT_SEGMENTS_MAX ? least : NULL;
}

/* The active segment can only be emptied once it has ended. Lock held; the
 * writer must not be at work, or it would append to what has ended. */
static void retire_active(struct shard_store *s, bool asked)
{
    struct segment *g = s->volume->active;

    if (g == NULL || s->writer_busy || g->tail == 0 ||
        !(asked || store_idle(s)) || dead_bytes(g) <= dead_allowed(s, asked)) {
        return;
    }
    writer_retire(s);
}

static void copy_done(struct shard_copy *copy, int status)
{
    struct copies *c = copy->arg;

    pthread_mutex_lock(&c->s->mutex);
    if (status != 0 && c->status == 0) {
        c->status = status;
    }
    c->left--;
    pthread_cond_broadcast(&c->s->quiet_cond);
    pthread_mutex_unlock(&c->s->mutex);
}

/* Send what was gathered through the writer and wait. */
static int copies_flush(struct copies *c, bool paced)
{
    struct shard_store *s = c->s;
    uint64_t total = c->total;
    int status;

    pthread_mutex_lock(&s->mutex);
    c->left = c->count;
    c->status = 0;
    for (unsigned i = 0; i < c->count; i++) {
        list_push(&s->copies, &c->copy[i].node);
    }
    pthread_cond_signal(&s->writer_cond);
    while (c->left > 0) {
        pthread_cond_wait(&s->quiet_cond, &s->mutex);
    }
    status = c->status;
    if (status == 0) {
        s->count_compacted += total;
    }
    paced = paced && s->state == DRIVE_UP && !s->compact_asked;
    pthread_mutex_unlock(&s->mutex);
    for (unsigned i = 0; i < c->count; i++) {
        record_bytes_free(&c->bytes[i]);
    }
    c->count = 0;
    c->total = 0;
    if (status == 0 && paced &&
        !keeper_pause(s, total * 1000 / s->compact_bytes_per_s)) {
        status = ERR_CLOSED;
    }
    return status;
}

static void copies_drop(struct copies *c)
{
    for (unsigned i = 0; i < c->count; i++) {
        record_bytes_free(&c->bytes[i]);
    }
    c->count = 0;
}

static bool is_current(struct shard_store *s, struct segment *g,
                       const struct segment_entry *e)
{
    bool current;

    pthread_mutex_lock(&s->mutex);
    current = volume_is_current(s->volume, g, e);
    pthread_mutex_unlock(&s->mutex);
    return current;
}

static void report(struct shard_store *s, const struct segment_entry *e)
{
    struct shard_info info = {
        .key = e->key, .group = e->group, .length = e->length};

    store_report_bad(s, &info);
}

static struct shard_copy *copies_add(struct copies *c, struct segment *g,
                                     const struct segment_entry *e)
{
    struct shard_copy *copy = &c->copy[c->count];

    memset(copy, 0, sizeof *copy);
    copy->from = g;
    copy->entry = *e;
    copy->done = copy_done;
    copy->arg = c;
    c->count++;
    return copy;
}

/* Gather one live shard. Bad blocks are copied as they are, with the checksums
 * that show them to be bad, and reported; without a header the shard is lost.
 */
static int gather_shard(struct copies *c, struct segment *g,
                        const struct segment_entry *e)
{
    struct shard_store *s = c->s;
    struct record_bytes *r = &c->bytes[c->count];
    struct shard_copy *copy;
    struct err err = {{0}};
    int status = reader_read_record(s, g, e, r, &err);

    if (status != 0) {
        if (store_is_fatal(status)) {
            store_fail(s, &err);
        }
        return status;
    }
    if (!r->header_good) {
        record_bytes_free(r);
        memset(r, 0, sizeof *r);
        pthread_mutex_lock(&s->mutex);
        if (volume_is_current(s->volume, g, e)) {
            volume_lose(s->volume, &e->key);
        }
        pthread_mutex_unlock(&s->mutex);
        report(s, e);
        return 0;
    }
    if (r->bad_blocks > 0) {
        report(s, e);
    }
    copy = copies_add(c, g, e);
    copy->header = &r->header;
    copy->data = r->pages + record_data_offset(e->length);
    c->total += r->span;
    return 0;
}

static int move_shards(struct copies *c, struct segment *g,
                       const struct segment_contents *all)
{
    int status = 0;

    for (uint32_t i = 0; i < all->count && status == 0; i++) {
        const struct segment_entry *e = &all->entries[i];
        if (e->type != RECORD_SHARD || !is_current(c->s, g, e)) {
            continue;
        }
        status = gather_shard(c, g, e);
        if (status == 0 && (c->count == COPIES_MAX || c->total >= COPY_BYTES)) {
            status = copies_flush(c, true);
        }
    }
    if (status == 0 && c->count > 0) {
        status = copies_flush(c, true);
    }
    copies_drop(c);
    return status;
}

/* Tombstones that still hide an older record. */
static void move_tombstones(struct copies *c, struct segment *g,
                            const struct segment_contents *all)
{
    struct shard_store *s = c->s;

    for (uint32_t i = 0; i < all->count; i++) {
        const struct segment_entry *e = &all->entries[i];
        if (e->type == RECORD_TOMBSTONES && is_current(s, g, e)) {
            copies_add(c, g, e);
        }
        if (c->count == COPIES_MAX || (i + 1 == all->count && c->count > 0)) {
            copies_flush(c, false);
        }
    }
    /* What found no room is kept in memory: a delete may be lost in a crash. */
    pthread_mutex_lock(&s->mutex);
    for (uint32_t i = 0; i < all->count && s->state != DRIVE_FAILED; i++) {
        const struct segment_entry *e = &all->entries[i];
        if (e->type == RECORD_TOMBSTONES &&
            volume_is_current(s->volume, g, e)) {
            volume_unplace_tombstone(s->volume, &e->key);
        }
    }
    pthread_mutex_unlock(&s->mutex);
}

static void unstale_all(struct shard_store *s,
                        const struct segment_contents *all)
{
    pthread_mutex_lock(&s->mutex);
    for (uint32_t i = 0; i < all->count; i++) {
        if (all->entries[i].type == RECORD_SHARD) {
            volume_unstale(s->volume, &all->entries[i].key);
        }
    }
    pthread_mutex_unlock(&s->mutex);
}

static int load(struct shard_store *s, struct segment *g,
                struct segment_contents *out, struct err *err)
{
    struct drive_file *file;
    char name[SEGMENT_NAME_MAX];
    unsigned errors;
    int status;

    segment_name(g->number, name);
    status =
        s->ops->open(s->ops->data, s->path, name, DRIVE_DIRECT, &file, err);
    if (status != 0) {
        return err_wrap(err, status, "%s", name);
    }
    status =
        recovery_read_footer(s->ops, file, &g->header, g->file_bytes, out, err);
    if (status != 0) {
        status = recovery_scan(s->ops, file, &g->header, g->file_bytes, out,
                               &errors, err);
    }
    s->ops->close(s->ops->data, file);
    return status;
}

struct leftovers {
    uint32_t number;
    struct segment_contents *out;
    uint32_t cap;
};

static bool add_leftover(void *arg, struct index_entry *x)
{
    struct leftovers *l = arg;
    struct segment_contents *c = l->out;

    if (x->segment != l->number) {
        return true;
    }
    if (c->count == l->cap) {
        l->cap = l->cap == 0 ? 64 : l->cap * 2;
        c->entries = mem_realloc(c->entries, l->cap * sizeof *c->entries);
    }
    c->entries[c->count++] = (struct segment_entry){
        .key = index_entry_key(x),
        .type = x->state == INDEX_LIVE ? RECORD_SHARD : RECORD_TOMBSTONES,
        .group = x->group,
        .length = x->length,
        .unit = x->unit,
    };
    return true;
}

/* What the index knows in @g and its contents did not show, because headers
 * went bad since. */
static int move_leftovers(struct copies *c, struct segment *g)
{
    struct shard_store *s = c->s;
    struct segment_contents rest = {0};
    struct leftovers l = {.number = g->number, .out = &rest};
    int status;

    pthread_mutex_lock(&s->mutex);
    shard_index_walk(s->volume->index, NULL, add_leftover, &l);
    pthread_mutex_unlock(&s->mutex);
    status = move_shards(c, g, &rest);
    if (status == 0) {
        unstale_all(s, &rest);
        move_tombstones(c, g, &rest);
    }
    free(rest.entries);
    return status;
}

/* All that lived in @g is durable elsewhere: say so on the disk, then it is
 * free. */
static int set_free(struct shard_store *s, struct segment *g, struct err *err)
{
    const struct drive_ops *ops = s->ops;
    struct iovec iov = {.iov_len = SEGMENT_UNIT};
    struct drive_file *file;
    char name[SEGMENT_NAME_MAX];
    int status;

    segment_name(g->number, name);
    status = ops->open(ops->data, s->path, name, DRIVE_WRITE | DRIVE_DIRECT,
                       &file, err);
    if (status != 0) {
        return err_wrap(err, status, "%s", name);
    }
    iov.iov_base = mem_pages(iov.iov_len);
    CHECK(iov.iov_base != NULL);
    g->header.in_use = false;
    segment_header_encode(&g->header, iov.iov_base);
    status = ops->write(ops->data, file, &iov, 1, 0, err);
    if (status == 0) {
        status = ops->sync(ops->data, file, err);
    }
    mem_pages_free(iov.iov_base, iov.iov_len);
    ops->close(ops->data, file);
    return status == 0 ? 0 : err_wrap(err, status, "%s", name);
}

/* Wait for the gets that read there, then put it on the free list. */
static int release(struct shard_store *s, struct segment *g)
{
    struct err err = {{0}};
    struct drive_file *reader;
    int status;

    pthread_mutex_lock(&s->mutex);
    while (g->refs > 0) {
        pthread_cond_wait(&s->quiet_cond, &s->mutex);
    }
    reader = g->reader;
    g->reader = NULL;
    s->volume->open_readers -= reader != NULL;
    pthread_mutex_unlock(&s->mutex);
    s->ops->close(s->ops->data, reader);
    status = set_free(s, g, &err);
    pthread_mutex_lock(&s->mutex);
    if (status != 0) {
        if (store_is_fatal(status)) {
            store_fail_locked(s, &err);
        }
        g->state = SEGMENT_SEALED;
        pthread_mutex_unlock(&s->mutex);
        return status;
    }
    s->volume->used_bytes -= g->file_bytes;
    g->state = SEGMENT_FREE;
    g->emptied = false;
    g->tail = 0;
    volume_push_free(s->volume, g);
    pthread_cond_signal(&s->supply_cond);
    pthread_mutex_unlock(&s->mutex);
    return 0;
}

static int empty(struct copies *c, struct segment *g, struct err *err)
{
    struct shard_store *s = c->s;
    struct segment_contents all = {0};
    bool rest;
    int status = load(s, g, &all, err);

    if (status != 0) {
        if (store_is_fatal(status)) {
            store_fail(s, err);
        }
        return status;
    }
    status = move_shards(c, g, &all);
    if (status == 0) {
        unstale_all(s, &all);
        move_tombstones(c, g, &all);
        pthread_mutex_lock(&s->mutex);
        rest = g->live_bytes > 0;
        pthread_mutex_unlock(&s->mutex);
        if (rest) {
            status = move_leftovers(c, g);
        }
    }
    free(all.entries);
    return status;
}

bool compact_round(struct shard_store *s, bool asked)
{
    struct copies *c;
    struct segment *g = NULL;
    struct err err = {{0}};
    int status;

    pthread_mutex_lock(&s->mutex);
    if (s->state != DRIVE_FAILED && !s->keeper_stop) {
        retire_active(s, asked);
        if (list_empty(&s->volume->retired)) {
            g = choose(s, asked);
        }
    }
    if (g == NULL) {
        bool more = s->state != DRIVE_FAILED && !s->keeper_stop &&
                    !list_empty(&s->volume->retired);
        pthread_mutex_unlock(&s->mutex);
        return more;
    }
    g->state = SEGMENT_LEAVING;
    pthread_mutex_unlock(&s->mutex);
    c = mem_alloc(sizeof *c);
    c->s = s;
    status = g->emptied ? 0 : empty(c, g, &err);
    free(c);
    pthread_mutex_lock(&s->mutex);
    if (status == 0 && (s->state == DRIVE_FAILED || g->live_bytes > 0)) {
        status = ERR_IO;
    }
    g->emptied = status == 0;
    if (status != 0) {
        g->state = SEGMENT_SEALED;
    }
    pthread_mutex_unlock(&s->mutex);
    if (status == 0) {
        status = release(s, g);
    }
    if (status == 0) {
        supply_trim(s, FREE_SEGMENTS_KEPT);
    }
    return status == 0;
}
