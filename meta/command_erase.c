/* Commands of erasures, as bytes. */
#include "base/buf.h"
#include "base/check.h"
#include "meta/command_internal.h"

#define BEGINS 1 /* flags of ERASE_SOME */
#define ENDS 2

void command_erase_begin(struct buf *out, const struct command_erase *e,
                         uint64_t time_ms)
{
    command_put_head(out, COMMAND_ERASE_BEGIN);
    put_text(out, e->bucket);
    put_u8(out, (uint8_t)e->selector);
    put_text(out, e->key);
    put_u64(out, e->version);
    put_text(out, e->field);
    put_text(out, e->value);
    put_text(out, e->reason);
    put_text(out, e->by);
    put_u64(out, time_ms);
}

void command_erase_some(struct buf *out, uint64_t request, bool begin, bool end,
                        const struct command_erased *items, size_t count,
                        uint64_t time_ms)
{
    CHECK(count <= META_DELETE_MAX);
    command_put_head(out, COMMAND_ERASE_SOME);
    put_u64(out, request);
    put_u8(out, (uint8_t)((begin ? BEGINS : 0) | (end ? ENDS : 0)));
    put_u64(out, time_ms);
    put_u32(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        put_text(out, items[i].key);
        put_u64(out, items[i].version);
        put_u64(out, items[i].modified_ms);
        put_u64(out, items[i].size_bytes);
        put_u8(out, (uint8_t)items[i].how);
    }
}

void command_erase_cancel(struct buf *out, uint64_t request)
{
    command_put_head(out, COMMAND_ERASE_CANCEL);
    put_u64(out, request);
}

void command_erase_clean(struct buf *out, uint32_t server, uint64_t upto)
{
    command_put_head(out, COMMAND_ERASE_CLEAN);
    put_u32(out, server);
    put_u64(out, upto);
}

static void take_request(struct decoder *d, struct command *c)
{
    decode_note(d, "request");
    c->request = get_u64(&d->r);
}

static void take_begin(struct decoder *d, struct command *c)
{
    c->bucket = decode_text(d, "bucket", 1, META_BUCKET_MAX, false);
    decode_note(d, "selector");
    c->state = get_u8(&d->r);
    if (c->state == 0 || c->state >= META_ERASE_SELECTORS) {
        wire_fail(&d->r);
    }
    c->key = decode_text(d, "key", 0, META_KEY_MAX, false);
    decode_note(d, "version");
    c->version = get_u64(&d->r);
    c->field = decode_text(d, "field", 0, META_ERASE_FIELD_MAX, false);
    c->value = decode_text(d, "value", 0, META_ERASE_VALUE_MAX, false);
    c->reason = decode_text(d, "reason", 0, META_ERASE_REASON_MAX, false);
    c->by = decode_text(d, "by", 0, META_ERASE_BY_MAX, false);
    decode_time(d, c);
}

static void take_some(struct decoder *d, struct command *c)
{
    uint8_t flags;

    take_request(d, c);
    decode_note(d, "flags");
    flags = get_u8(&d->r);
    if ((flags & ~(BEGINS | ENDS)) != 0) {
        wire_fail(&d->r);
    }
    c->begin = (flags & BEGINS) != 0;
    c->end = (flags & ENDS) != 0;
    decode_time(d, c);
    decode_items(d, c, META_DELETE_MAX);
}

void decode_erase(struct decoder *d, struct command *c)
{
    switch (c->type) {
        case COMMAND_ERASE_BEGIN:
            take_begin(d, c);
            break;
        case COMMAND_ERASE_SOME:
            take_some(d, c);
            break;
        case COMMAND_ERASE_CANCEL:
            take_request(d, c);
            break;
        default:
            decode_note(d, "server");
            c->server = get_u32(&d->r);
            decode_note(d, "index");
            c->request = get_u64(&d->r);
    }
}

void decode_erased(struct decoder *d, struct command_item *out)
{
    out->key = decode_text(d, "key", 1, META_KEY_MAX, false);
    decode_note(d, "erased version");
    out->version = get_u64(&d->r);
    out->modified_ms = get_u64(&d->r);
    out->size_bytes = get_u64(&d->r);
    out->how = get_u8(&d->r);
    if (out->how == 0 || out->how >= META_ERASED_HOWS) {
        wire_fail(&d->r);
    }
}
