#include "node/shard_store_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "crypto/digest.h"
#include "node/drive_identity.h"

/* Of one reader thread. */
struct reader {
    struct shard_store *s;
    uint8_t *edges; /* two SHARD_BLOCKs: the first and last block of a range */
    uint8_t head[SEGMENT_UNIT];
    struct record_header header;
};

/* Where a shard is; the segment has a ref. */
struct found {
    struct segment *g;
    struct segment_entry e;
};

/* Close the segment handle that was not used for the longest time. Lock held,
 * and kept: closing a file that was only read does no I/O. */
static void close_oldest_reader(struct shard_store *s)
{
    struct volume *v = s->volume;
    struct segment *oldest = NULL;

    for (uint32_t i = 0; i < v->segment_count; i++) {
        struct segment *g = v->segments[i];
        if (g != NULL && g->reader != NULL && g->refs == 0 &&
            (oldest == NULL || g->last_get < oldest->last_get)) {
            oldest = g;
        }
    }
    if (oldest != NULL) {
        s->ops->close(s->ops->data, oldest->reader);
        oldest->reader = NULL;
        v->open_readers--;
    }
}

/* Lock held; takes a ref on success. */
static int find(struct shard_store *s, const struct shard_key *key,
                struct found *out, struct err *err)
{
    const struct index_entry *x;

    if (s->state == DRIVE_FAILED) {
        return store_failed(s, err);
    }
    x = shard_index_find(s->volume->index, key);
    if (x == NULL || x->state == INDEX_TOMBSTONE) {
        return err_set(err, ERR_NOT_FOUND, "drive %u: no such shard",
                       (unsigned)s->drive);
    }
    if (x->state == INDEX_LOST) {
        return err_set(err, ERR_CORRUPT, "drive %u: the shard is damaged",
                       (unsigned)s->drive);
    }
    out->g = s->volume->segments[x->segment];
    out->e = (struct segment_entry){
        .key = *key,
        .type = RECORD_SHARD,
        .group = x->group,
        .length = x->length,
        .unit = x->unit,
    };
    out->g->refs++;
    out->g->last_get = s->volume->get_turn++;
    return 0;
}

/* Lock held. */
static void unref(struct shard_store *s, struct segment *g)
{
    CHECK(g->refs > 0);
    g->refs--;
    if (g->refs == 0) {
        pthread_cond_broadcast(&s->quiet_cond);
    }
}

/* Have a handle for buffered reads. No lock held. */
static int open_reader(struct shard_store *s, struct segment *g,
                       struct drive_file **out, struct err *err)
{
    struct drive_file *file;
    char name[SEGMENT_NAME_MAX];
    int status;

    pthread_mutex_lock(&s->mutex);
    *out = g->reader;
    pthread_mutex_unlock(&s->mutex);
    if (*out != NULL) {
        return 0;
    }
    segment_name(g->number, name);
    status = s->ops->open(s->ops->data, s->path, name, 0, &file, err);
    if (status != 0) {
        return status;
    }
    pthread_mutex_lock(&s->mutex);
    if (g->reader == NULL) {
        g->reader = file;
        file = NULL;
        s->volume->open_readers++;
        if (s->volume->open_readers > OPEN_READERS_MAX) {
            close_oldest_reader(s);
        }
    }
    *out = g->reader;
    pthread_mutex_unlock(&s->mutex);
    s->ops->close(s->ops->data, file);
    return 0;
}

static bool header_is_of(const struct record_header *h, const struct found *f)
{
    return h->type == RECORD_SHARD && h->length == f->e.length &&
           h->sequence == f->g->header.sequence &&
           h->salt == f->g->header.salt &&
           shard_key_compare(&h->key, &f->e.key) == 0;
}

static int corrupt(struct shard_store *s, const struct found *f,
                   const char *what, struct err *err)
{
    pthread_mutex_lock(&s->mutex);
    s->count_corrupt++;
    pthread_mutex_unlock(&s->mutex);
    return err_set(err, ERR_CORRUPT,
                   "drive %u: segment %08x at unit %u: wrong checksum of %s",
                   (unsigned)s->drive, (unsigned)f->g->number,
                   (unsigned)f->e.unit, what);
}

static int read_all(struct shard_store *s, struct drive_file *file,
                    const struct iovec *iov, int count, uint64_t offset,
                    struct err *err)
{
    size_t want = 0;
    size_t got = 0;
    int status =
        s->ops->read(s->ops->data, file, iov, count, offset, &got, err);

    for (int i = 0; i < count; i++) {
        want += iov[i].iov_len;
    }
    if (status == 0 && got < want) {
        status = err_set(err, ERR_CORRUPT, "the file is shorter than it was");
    }
    return status;
}

/* A range of a shard as whole blocks: [edge] [middle, straight to out] [edge].
 */
struct cut {
    uint32_t begin, end; /* of the blocks that the range touches */
    uint32_t first_len;  /* bytes in edge 0; 0: none */
    uint32_t last_len;   /* bytes in edge 1; 0: none */
    uint8_t *middle;
    uint32_t middle_len;
    struct iovec iov[4];
    int count;
};

static void cut_range(struct cut *c, struct reader *r,
                      const struct shard_get *get, uint32_t shard_bytes)
{
    uint32_t end = get->offset + get->length;
    uint32_t middle = get->offset; /* where the middle begins in the shard */

    memset(c, 0, sizeof *c);
    c->begin = get->offset / SHARD_BLOCK * SHARD_BLOCK;
    c->end = record_blocks(end) * SHARD_BLOCK;
    c->end = c->end > shard_bytes ? shard_bytes : c->end;
    if (c->begin < get->offset ||
        (c->end - c->begin <= SHARD_BLOCK && end < c->end)) {
        c->first_len =
            c->end - c->begin < SHARD_BLOCK ? c->end - c->begin : SHARD_BLOCK;
        middle = c->begin + c->first_len;
        c->iov[c->count++] = (struct iovec){r->edges, c->first_len};
    }
    if (end < c->end && middle < c->end) {
        c->last_len = (c->end - 1) % SHARD_BLOCK + 1;
    }
    if (middle < c->end - c->last_len) {
        c->middle = (uint8_t *)get->out + (middle - get->offset);
        c->middle_len = c->end - c->last_len - middle;
        c->iov[c->count++] = (struct iovec){c->middle, c->middle_len};
    }
    if (c->last_len > 0) {
        c->iov[c->count++] =
            (struct iovec){r->edges + SHARD_BLOCK, c->last_len};
    }
}

/* Check the blocks that were read; the number of the first wrong one in
 * @bad. */
static bool check_blocks(const struct cut *c, const uint32_t *crc)
{
    uint32_t block = c->begin / SHARD_BLOCK;

    for (int i = 0; i < c->count; i++) {
        const uint8_t *p = c->iov[i].iov_base;
        for (size_t left = c->iov[i].iov_len; left > 0; block++) {
            size_t n = left < SHARD_BLOCK ? left : SHARD_BLOCK;
            if (crc32c(0, p, n) != crc[block]) {
                return false;
            }
            p += n;
            left -= n;
        }
    }
    return true;
}

/* Copy what the range has of the edges. */
static void copy_edges(const struct cut *c, const struct reader *r,
                       const struct shard_get *get)
{
    uint32_t skip = get->offset - c->begin;

    if (c->first_len > 0) {
        uint32_t n = c->first_len - skip;
        n = n > get->length ? get->length : n;
        memcpy(get->out, r->edges + skip, n);
    }
    if (c->last_len > 0) {
        uint32_t at = c->end - c->last_len - get->offset;
        memcpy((uint8_t *)get->out + at, r->edges + SHARD_BLOCK,
               get->length - at);
    }
}

static int read_range(struct reader *r, const struct found *f,
                      struct drive_file *file, const struct shard_get *get,
                      struct err *err)
{
    uint64_t record = (uint64_t)f->e.unit * SEGMENT_UNIT;
    uint32_t data = record_data_offset(f->e.length);
    struct iovec all[5] = {{r->head, data}};
    struct cut c;
    int status;

    cut_range(&c, r, get, f->e.length);
    if (c.begin == 0) { /* header and data in one read */
        memcpy(all + 1, c.iov, (size_t)c.count * sizeof all[0]);
        status = read_all(r->s, file, all, c.count + 1, record, err);
    } else {
        status = read_all(r->s, file, all, 1, record, err);
        if (status == 0) {
            status = read_all(r->s, file, c.iov, c.count,
                              record + data + c.begin, err);
        }
    }
    if (status != 0) {
        return status;
    }
    if (record_header_decode(r->head, data, &r->header, NULL) != 0 ||
        !header_is_of(&r->header, f)) {
        return corrupt(r->s, f, "a record header", err);
    }
    if (!check_blocks(&c, r->header.block_crc)) {
        return corrupt(r->s, f, "a block", err);
    }
    copy_edges(&c, r, get);
    return 0;
}

/* A read failed: is it one bad place, or the drive? 0 for a bad place. */
static int suspect(struct shard_store *s)
{
    struct err err;
    int status =
        drive_identity_check(s->ops, s->path, s->drive, s->cluster, &err);

    if (store_is_fatal(status)) {
        err_wrap(&err, ERR_IO, "identity");
        store_fail(s, &err);
    }
    return status;
}

/* Lock held, let go for I/O. */
static int serve(struct reader *r, struct shard_get *get, struct err *err)
{
    struct shard_store *s = r->s;
    struct drive_file *file;
    struct found f;
    int status = find(s, &get->key, &f, err);

    if (status != 0) {
        return status;
    }
    if (get->length == 0 || get->offset > f.e.length ||
        get->length > f.e.length - get->offset) {
        unref(s, f.g);
        return err_set(err, ERR_RANGE, "drive %u: bytes %u+%u of a shard of %u",
                       (unsigned)s->drive, (unsigned)get->offset,
                       (unsigned)get->length, (unsigned)f.e.length);
    }
    pthread_mutex_unlock(&s->mutex);
    status = open_reader(s, f.g, &file, err);
    if (status == 0) {
        status = read_range(r, &f, file, get, err);
    }
    if (status != 0 && status != ERR_CORRUPT) {
        suspect(s);
        status = err_wrap(err, ERR_IO, "drive %u: segment %08x",
                          (unsigned)s->drive, (unsigned)f.g->number);
    }
    pthread_mutex_lock(&s->mutex);
    unref(s, f.g);
    return status;
}

void *reader_main(void *arg)
{
    struct shard_store *s = arg;
    struct reader *r = mem_alloc(sizeof *r);
    struct list_node *node;

    r->s = s;
    r->edges = mem_pages(2 * SHARD_BLOCK);
    CHECK(r->edges != NULL);
    pthread_mutex_lock(&s->mutex);
    for (;;) {
        struct shard_get *get;
        struct err err = {{0}};
        int status;
        node = list_pop(&s->gets);
        if (node == NULL) {
            if (s->readers_stop) {
                break;
            }
            pthread_cond_wait(&s->reader_cond, &s->mutex);
            continue;
        }
        get = LIST_OF(node, struct shard_get, node);
        s->gets_busy++;
        status = serve(r, get, &err);
        s->gets_busy--;
        s->gets_waiting--;
        s->count_gets += status == 0;
        pthread_cond_broadcast(&s->quiet_cond);
        pthread_mutex_unlock(&s->mutex);
        get->done(get, status, &err);
        pthread_mutex_lock(&s->mutex);
    }
    pthread_mutex_unlock(&s->mutex);
    mem_pages_free(r->edges, 2 * SHARD_BLOCK);
    free(r);
    return NULL;
}

void record_bytes_free(struct record_bytes *r)
{
    if (r->pages != NULL) {
        mem_pages_free(r->pages, r->span);
        r->pages = NULL;
    }
}

/* Read unit by unit what cannot be read at once; zeros for what cannot be
 * read at all. Not 0 when it is the drive that fails. */
static int read_piecewise(struct shard_store *s, struct drive_file *file,
                          uint64_t offset, struct record_bytes *out)
{
    bool any = false;

    for (uint32_t at = 0; at < out->span; at += SEGMENT_UNIT) {
        struct iovec iov = {out->pages + at, SEGMENT_UNIT};
        if (read_all(s, file, &iov, 1, offset + at, NULL) == 0) {
            any = true;
        } else {
            memset(out->pages + at, 0, SEGMENT_UNIT);
        }
    }
    return any ? 0 : suspect(s);
}

static uint32_t count_bad_blocks(const struct record_bytes *r)
{
    const uint8_t *p = r->pages + record_data_offset(r->header.length);
    uint32_t bad = 0;

    for (uint32_t i = 0, left = r->header.length; left > 0; i++) {
        uint32_t n = left < SHARD_BLOCK ? left : SHARD_BLOCK;
        bad += crc32c(0, p, n) != r->header.block_crc[i];
        p += n;
        left -= n;
    }
    return bad;
}

int reader_read_record(struct shard_store *s, struct segment *g,
                       const struct segment_entry *e, struct record_bytes *out,
                       struct err *err)
{
    struct found f = {g, *e};
    uint64_t offset = (uint64_t)e->unit * SEGMENT_UNIT;
    struct drive_file *file;
    char name[SEGMENT_NAME_MAX];
    struct iovec iov;
    int status;

    memset(out, 0, sizeof *out);
    out->span = record_span(e->length);
    out->pages = mem_pages(out->span);
    if (out->pages == NULL) {
        return err_set(err, ERR_NOMEM, "%s", err_text(ERR_NOMEM));
    }
    segment_name(g->number, name);
    status =
        s->ops->open(s->ops->data, s->path, name, DRIVE_DIRECT, &file, err);
    if (status != 0) {
        record_bytes_free(out);
        return err_wrap(err, store_is_fatal(status) ? ERR_IO : status, "%s",
                        name);
    }
    iov = (struct iovec){out->pages, out->span};
    status = read_all(s, file, &iov, 1, offset, err);
    if (status != 0) {
        status = read_piecewise(s, file, offset, out);
    }
    s->ops->close(s->ops->data, file);
    if (status != 0) {
        record_bytes_free(out);
        return err_wrap(err, store_is_fatal(status) ? ERR_IO : status, "%s",
                        name);
    }
    out->header_good =
        record_header_decode(out->pages, record_header_bytes(e->length),
                             &out->header, NULL) == 0 &&
        header_is_of(&out->header, &f);
    out->bad_blocks =
        out->header_good ? count_bad_blocks(out) : record_blocks(e->length);
    if (out->bad_blocks > 0) {
        pthread_mutex_lock(&s->mutex);
        s->count_corrupt += out->bad_blocks;
        pthread_mutex_unlock(&s->mutex);
    }
    return 0;
}

int reader_verify(struct shard_store *s, const struct shard_key *key,
                  uint32_t *span, struct err *err)
{
    struct record_bytes r;
    struct found f;
    int status;

    *span = 0;
    pthread_mutex_lock(&s->mutex);
    status = find(s, key, &f, err);
    if (status == 0) {
        s->gets_busy++;
    }
    pthread_mutex_unlock(&s->mutex);
    if (status != 0) {
        return status;
    }
    status = reader_read_record(s, f.g, &f.e, &r, err);
    if (status == 0) {
        *span = r.span;
        if (r.bad_blocks > 0) {
            status = err_set(err, ERR_CORRUPT,
                             "drive %u: segment %08x at unit %u: %u of %u "
                             "blocks have wrong checksums",
                             (unsigned)s->drive, (unsigned)f.g->number,
                             (unsigned)f.e.unit, (unsigned)r.bad_blocks,
                             (unsigned)record_blocks(f.e.length));
        }
        record_bytes_free(&r);
    } else if (status == ERR_IO) {
        suspect(s);
    }
    pthread_mutex_lock(&s->mutex);
    unref(s, f.g);
    s->gets_busy--;
    pthread_cond_broadcast(&s->quiet_cond);
    pthread_mutex_unlock(&s->mutex);
    return status;
}
