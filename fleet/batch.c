#include "fleet/batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wire.h"
#include "crypto/digest.h"
#include "crypto/seal.h"

#define MAGIC 0x42455747u        /* "GWEB" */
#define ANSWER_MAGIC 0x41425747u /* "GWBA" */
#define ANSWER_HEAD 8
#define ANSWER_ROW 9
#define CRC 4
#define FIELDS 24 /* of an object's head before its texts */

/* ---- writing ---- */

struct batch_writer {
    struct buf segments, objects;
    size_t segment_count, count;
};

struct batch_writer *batch_writer_new(void)
{
    return mem_calloc(1, sizeof(struct batch_writer));
}

void batch_writer_free(struct batch_writer *w)
{
    if (w != NULL) {
        buf_free(&w->segments);
        buf_free(&w->objects);
        free(w);
    }
}

bool batch_writer_empty(const struct batch_writer *w)
{
    return w->count == 0;
}

static size_t text_size(const char *s)
{
    return 2 + (s != NULL ? strlen(s) + 1 : 0);
}

static size_t head_size(const struct batch_object *o)
{
    size_t size = FIELDS + text_size(o->bucket) + text_size(o->key) +
                  text_size(o->content_type);

    for (size_t i = 0; i < o->pair_count; i++) {
        size += text_size(o->pairs[i].name) + text_size(o->pairs[i].value);
    }
    return size;
}

static void put_crc(struct buf *b, size_t from)
{
    put_u32(b, crc32c(0, b->data + from, b->len - from));
}

static void put_short_text(struct buf *b, const char *s)
{
    if (s == NULL) {
        put_u16(b, 0);
        return;
    }
    put_u16(b, (uint16_t)(strlen(s) + 1));
    put_bytes(b, s, strlen(s) + 1);
}

static void put_head(struct buf *b, const struct batch_object *o, size_t len,
                     size_t segment)
{
    size_t start = b->len;

    put_u32(b, (uint32_t)head_size(o));
    put_u64(b, o->sequence);
    put_u64(b, o->time_ms);
    put_u32(b, (uint32_t)len);
    put_u8(b, o->flags);
    put_u8(b, o->class_id);
    put_u8(b, (uint8_t)segment);
    put_u8(b, o->pair_count);
    put_short_text(b, o->bucket);
    put_short_text(b, o->key);
    put_short_text(b, o->content_type);
    for (size_t i = 0; i < o->pair_count; i++) {
        put_short_text(b, o->pairs[i].name);
        put_short_text(b, o->pairs[i].value);
    }
    put_crc(b, start);
}

/* The place of a header in the table; segment_count: it is not there. */
static size_t find_segment(const struct batch_writer *w, const uint8_t *p,
                           size_t len)
{
    const uint8_t *at = w->segments.data;
    size_t i;

    for (i = 0; i < w->segment_count; i++) {
        size_t have = load_u16(at);
        if (have == len && memcmp(at + 2, p, len) == 0) {
            break;
        }
        at += 2 + have + CRC;
    }
    return i;
}

static int judge(const struct batch_object *o, size_t head, struct err *err)
{
    CHECK(o->sequence > 0 && o->key != NULL);
    CHECK(o->pair_count <= BATCH_META_MAX);
    CHECK((o->flags & BATCH_DELETE) == 0 || o->len == 0);
    if (o->len > BATCH_OBJECT_MAX || head > BATCH_OBJECT_HEAD_MAX) {
        return err_set(err, ERR_LIMIT,
                       "%s: %zu bytes and %zu of metadata are too much for a "
                       "batch",
                       o->key, o->len, head);
    }
    return 0;
}

int batch_add(struct batch_writer *w, const struct batch_object *o,
              struct err *err)
{
    size_t head = head_size(o), segment = 0, more, start;
    struct seal_head seal = {.size = 0};
    bool sealed = (o->flags & BATCH_SEALED) != 0, new_segment = false;
    int rc = judge(o, head, err);

    if (rc == 0 && sealed && seal_head_parse(o->data, o->len, &seal, NULL)) {
        rc = err_set(err, ERR_BAD_INPUT, "%s: not an envelope", o->key);
    }
    if (rc != 0) {
        return rc;
    }
    more = 4 + head + CRC + o->len - seal.header_len + CRC;
    if (sealed) {
        segment = find_segment(w, seal.header, seal.header_len);
        new_segment = segment == w->segment_count;
        more += new_segment ? 2 + seal.header_len + CRC : 0;
    }
    if (w->count == BATCH_OBJECTS_MAX || segment == BATCH_SEGMENTS_MAX ||
        BATCH_HEAD + w->segments.len + w->objects.len + more >
            BATCH_BYTES_MAX) {
        return err_set(err, ERR_FULL, "the batch is full");
    }
    if (new_segment) {
        start = w->segments.len;
        put_u16(&w->segments, (uint16_t)seal.header_len);
        put_bytes(&w->segments, seal.header, seal.header_len);
        put_crc(&w->segments, start);
        w->segment_count++;
    }
    put_head(&w->objects, o, o->len - seal.header_len, segment);
    start = w->objects.len;
    if (sealed) {
        put_bytes(&w->objects, o->data, SEAL_HEAD);
        put_bytes(&w->objects, (const uint8_t *)o->data + seal.size,
                  o->len - seal.size);
    } else {
        put_bytes(&w->objects, o->data, o->len);
    }
    put_crc(&w->objects, start);
    w->count++;
    return 0;
}

void batch_finish(struct batch_writer *w, uint64_t floor, uint64_t now_ms,
                  struct buf *out)
{
    size_t start = out->len;

    CHECK(w->count > 0);
    put_u32(out, MAGIC);
    put_u8(out, BATCH_VERSION);
    put_u8(out, (uint8_t)w->segment_count);
    put_u16(out, (uint16_t)w->count);
    put_u64(out, floor);
    put_u64(out, now_ms);
    put_crc(out, start);
    put_bytes(out, w->segments.data, w->segments.len);
    put_bytes(out, w->objects.data, w->objects.len);
    buf_clear(&w->segments);
    buf_clear(&w->objects);
    w->segment_count = 0;
    w->count = 0;
}

/* ---- reading ---- */

static size_t at(const struct batch_reader *r)
{
    return (size_t)(r->p - r->start);
}

static int bad(const struct batch_reader *r, const char *what, struct err *err)
{
    return err_set(err, ERR_BAD_INPUT, "batch: bad %s near byte %zu", what,
                   at(r));
}

/* Borrow @len bytes and step over them and their CRC32C, which counts from
 * @before bytes earlier. */
static int take(struct batch_reader *r, size_t before, size_t len,
                const char *what, const uint8_t **out, struct err *err)
{
    size_t left = (size_t)(r->end - r->p);

    if (left < CRC || len > left - CRC) {
        return bad(r, what, err);
    }
    if (load_u32(r->p + len) != crc32c(0, r->p - before, before + len)) {
        return err_set(err, ERR_MISMATCH, "batch: checksum of %s at byte %zu",
                       what, at(r));
    }
    *out = r->p;
    r->p += len + CRC;
    return 0;
}

static int take_segments(struct batch_reader *r, size_t count, struct err *err)
{
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0; i++) {
        size_t len = r->end - r->p >= 2 ? load_u16(r->p) : 0;
        if (len == 0 || len > BATCH_SEGMENT_MAX) {
            return bad(r, "segment header", err);
        }
        r->p += 2;
        rc = take(r, 2, len, "segment header", &r->segments[i], err);
        r->segment_lens[i] = len;
    }
    r->segment_count = count;
    return rc;
}

int batch_open(struct batch_reader *r, const void *p, size_t len,
               struct err *err)
{
    const uint8_t *head;
    size_t segments;
    int rc;

    *r = (struct batch_reader){.p = p, .start = p};
    r->end = r->p + len;
    if (len < BATCH_HEAD || len > BATCH_BYTES_MAX || load_u32(p) != MAGIC) {
        return bad(r, "beginning", err);
    }
    if (r->p[4] != BATCH_VERSION) {
        return err_set(err, ERR_VERSION, "batch: version %u is not known",
                       r->p[4]);
    }
    rc = take(r, 0, BATCH_HEAD - CRC, "head", &head, err);
    if (rc != 0) {
        return rc;
    }
    segments = head[5];
    r->count = r->left = load_u16(head + 6);
    r->floor = load_u64(head + 8);
    r->sent_ms = load_u64(head + 16);
    if (segments > BATCH_SEGMENTS_MAX || r->count == 0 ||
        r->count > BATCH_OBJECTS_MAX) {
        return bad(r, "head", err);
    }
    return take_segments(r, segments, err);
}

/* NULL for none, and on failure. */
static const char *get_short_text(struct wire_reader *w)
{
    size_t len = get_u16(w);
    const uint8_t *p = len > 0 ? get_bytes(w, len) : NULL;

    if (p != NULL && memchr(p, '\0', len) != p + len - 1) {
        wire_fail(w);
        return NULL;
    }
    return (const char *)p;
}

static bool get_head(struct wire_reader *w, struct batch_object *o,
                     size_t *segment)
{
    o->sequence = get_u64(w);
    o->time_ms = get_u64(w);
    o->len = get_u32(w);
    o->flags = get_u8(w);
    o->class_id = get_u8(w);
    *segment = get_u8(w);
    o->pair_count = get_u8(w);
    o->bucket = get_short_text(w);
    o->key = get_short_text(w);
    o->content_type = get_short_text(w);
    if (o->pair_count > BATCH_META_MAX) {
        return false;
    }
    for (size_t i = 0; i < o->pair_count; i++) {
        o->pairs[i].name = get_short_text(w);
        o->pairs[i].value = get_short_text(w);
        if (o->pairs[i].name == NULL || o->pairs[i].value == NULL) {
            return false;
        }
    }
    return wire_done(w);
}

static bool head_holds(const struct batch_reader *r,
                       const struct batch_object *o, size_t segment)
{
    bool sealed = (o->flags & BATCH_SEALED) != 0;
    bool is_delete = (o->flags & BATCH_DELETE) != 0;

    return o->sequence > 0 && o->sequence >= r->floor && o->key != NULL &&
           (o->flags & ~BATCH_FLAGS_KNOWN) == 0 && o->len <= BATCH_OBJECT_MAX &&
           !(is_delete && o->len > 0) && !(is_delete && sealed) &&
           !(sealed && o->len < SEAL_HEAD) &&
           (sealed ? segment < r->segment_count : segment == 0);
}

int batch_next(struct batch_reader *r, struct batch_object *out, bool *more,
               struct err *err)
{
    struct wire_reader w;
    const uint8_t *p;
    size_t len, segment;
    int rc;

    *more = r->left > 0;
    if (r->left == 0) {
        return r->p == r->end ? 0 : bad(r, "end: bytes are left over", err);
    }
    len = r->end - r->p >= 4 ? load_u32(r->p) : 0;
    if (len < FIELDS || len > BATCH_OBJECT_HEAD_MAX) {
        return bad(r, "length of a head", err);
    }
    r->p += 4;
    rc = take(r, 4, len, "head of an object", &p, err);
    if (rc != 0) {
        return rc;
    }
    *out = (struct batch_object){.sequence = 0};
    wire_init(&w, p, len);
    if (!get_head(&w, out, &segment) || !head_holds(r, out, segment)) {
        return bad(r, "head of an object", err);
    }
    rc = take(r, 0, out->len, "bytes of an object", &p, err);
    if (rc == 0) {
        out->data = p;
        if ((out->flags & BATCH_SEALED) != 0) {
            out->segment = r->segments[segment];
            out->segment_len = r->segment_lens[segment];
        }
        r->left--;
    }
    return rc;
}

void batch_content(const struct batch_object *o, struct buf *out)
{
    if (o->segment == NULL) {
        buf_append(out, o->data, o->len);
        return;
    }
    buf_append(out, o->data, SEAL_HEAD);
    buf_append(out, o->segment, o->segment_len);
    buf_append(out, (const uint8_t *)o->data + SEAL_HEAD, o->len - SEAL_HEAD);
}

/* ---- the answer ---- */

void batch_answer_begin(struct buf *out, size_t count)
{
    CHECK(out->len == 0);
    put_u32(out, ANSWER_MAGIC);
    put_u32(out, (uint32_t)count);
}

void batch_answer_add(struct buf *out, uint64_t sequence,
                      enum batch_status status)
{
    put_u64(out, sequence);
    put_u8(out, (uint8_t)status);
}

void batch_answer_end(struct buf *out)
{
    CHECK(out->len == ANSWER_HEAD + ANSWER_ROW * load_u32(out->data + 4));
    put_crc(out, 0);
}

int batch_answer_open(struct batch_answer *a, const void *p, size_t len,
                      struct err *err)
{
    const uint8_t *bytes = p;
    size_t count;

    if (len < ANSWER_HEAD + CRC || load_u32(bytes) != ANSWER_MAGIC) {
        return err_set(err, ERR_BAD_INPUT, "no answer to a batch");
    }
    count = load_u32(bytes + 4);
    if (count > BATCH_OBJECTS_MAX ||
        len != ANSWER_HEAD + ANSWER_ROW * count + CRC) {
        return err_set(err, ERR_BAD_INPUT, "answer to a batch: bad length");
    }
    if (load_u32(bytes + len - CRC) != crc32c(0, bytes, len - CRC)) {
        return err_set(err, ERR_MISMATCH, "answer to a batch: checksum");
    }
    for (size_t i = 0; i < count; i++) {
        if (bytes[ANSWER_HEAD + ANSWER_ROW * i + 8] >= BATCH_STATUS_END) {
            return err_set(err, ERR_BAD_INPUT, "answer to a batch: status");
        }
    }
    *a = (struct batch_answer){.count = count, .p = bytes + ANSWER_HEAD};
    return 0;
}

void batch_answer_row(const struct batch_answer *a, size_t i,
                      uint64_t *sequence, enum batch_status *status)
{
    const uint8_t *row = a->p + ANSWER_ROW * i;

    CHECK(i < a->count);
    *sequence = load_u64(row);
    *status = (enum batch_status)row[8];
}
