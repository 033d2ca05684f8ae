#include "edge-agent/sync_wire.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/wire.h"
#include "crypto/digest.h"
#include "edge-agent/spool.h"

#define BATCH_MAGIC "GWBR"
#define ANSWER_MAGIC "GWBA"
#define OVERHEAD 24U /* head and CRC */
#define OBJECT_FIXED 34U

void sync_wire_begin(struct sync_wire *w, uint64_t floor)
{
    *w = (struct sync_wire){.floor = floor, .size = OVERHEAD};
}

int sync_wire_add(struct sync_wire *w, const struct spool_object *o,
                  uint64_t segment, const struct buf *header,
                  const struct buf *payload, struct err *err)
{
    bool whole = o->kind != SPOOL_OBJECT || (o->flags & SPOOL_FLAG_ENVELOPE);
    bool fresh = !whole && (w->header_count == 0 || segment != w->segment);
    size_t more = OBJECT_FIXED + (size_t)o->key_len + o->meta_len +
                  payload->len + (fresh ? header->len + 2 : 0);

    if (w->size + more > SYNC_WIRE_MAX) {
        return err_set(err, ERR_LIMIT, "the batch is full");
    }
    if (fresh) {
        put_u16(&w->headers, (uint16_t)header->len);
        put_bytes(&w->headers, header->data, header->len);
        w->header_count++;
        w->segment = segment;
    }
    put_u64(&w->objects, o->id);
    put_u64(&w->objects, o->time_ms);
    put_u8(&w->objects, (uint8_t)o->kind);
    put_u8(&w->objects, whole && o->kind == SPOOL_OBJECT);
    put_u8(&w->objects, o->seal_flags);
    put_u8(&w->objects, 0);
    put_u32(&w->objects, whole ? 0 : o->link);
    put_u16(&w->objects, whole ? 0 : (uint16_t)(w->header_count - 1));
    put_u16(&w->objects, o->key_len);
    put_u16(&w->objects, o->meta_len);
    put_u32(&w->objects, (uint32_t)payload->len);
    put_bytes(&w->objects, o->key, o->key_len);
    put_bytes(&w->objects, o->meta, o->meta_len);
    put_bytes(&w->objects, payload->data, payload->len);
    w->count++;
    w->size += more;
    return 0;
}

void sync_wire_end(struct sync_wire *w, struct buf *out)
{
    size_t start = out->len;

    buf_reserve(out, w->size);
    put_bytes(out, BATCH_MAGIC, 4);
    put_u8(out, 1);
    put_u8(out, 0);
    put_u16(out, w->header_count);
    put_u32(out, w->count);
    put_u64(out, w->floor);
    put_bytes(out, w->headers.data, w->headers.len);
    put_bytes(out, w->objects.data, w->objects.len);
    put_u32(out, crc32c(0, out->data + start, out->len - start));
    sync_wire_free(w);
}

void sync_wire_free(struct sync_wire *w)
{
    buf_free(&w->headers);
    buf_free(&w->objects);
}

int sync_wire_answer(const void *p, size_t len, const uint64_t *ids,
                     size_t count, uint8_t **statuses, struct err *err)
{
    struct wire_reader r;
    const uint8_t *magic;
    uint8_t *out;
    bool same = true;

    wire_init(&r, p, len);
    magic = get_bytes(&r, 4);
    if (magic == NULL || __builtin_memcmp(magic, ANSWER_MAGIC, 4) != 0 ||
        get_u32(&r) != count || r.left != count * 9 + 4) {
        return err_set(err, ERR_BAD_INPUT,
                       "what came is no answer to the batch");
    }
    out = mem_calloc(count, 1);
    for (size_t i = 0; i < count; i++) {
        same = get_u64(&r) == ids[i] && same;
        out[i] = get_u8(&r);
        same = same && out[i] >= SYNC_WIRE_STORED && out[i] <= SYNC_WIRE_RETRY;
    }
    if (get_u32(&r) != crc32c(0, p, len - 4) || !same || !wire_done(&r)) {
        free(out);
        return err_set(err, ERR_BAD_INPUT,
                       "the answer to the batch is damaged");
    }
    *statuses = out;
    return 0;
}
