/* Commands of the audit log, and who had a command proposed, as bytes. */
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "meta/command_internal.h"

#define SETTINGS_SIZE 10

void command_audit_append(struct buf *out, const struct audit_settings *set,
                          const void *drafts, size_t len, uint32_t count)
{
    CHECK(count <= META_AUDIT_BATCH_MAX);
    command_put_head(out, COMMAND_AUDIT_APPEND);
    put_u8(out, set != NULL);
    if (set != NULL) {
        put_u8(out, set->level);
        put_u8(out, set->hash_keys);
        put_u64(out, set->keep_ms);
    }
    put_u32(out, count);
    put_bytes(out, drafts, len);
}

void command_audit_draft(struct buf *out, const struct audit_entry *e)
{
    size_t at = out->len;

    put_u32(out, 0);
    audit_draft_put(out, e);
    store_u32(out->data + at, (uint32_t)(out->len - at - 4));
}

void command_audit_checkpoint(struct buf *out, const struct audit_checkpoint *c)
{
    command_put_head(out, COMMAND_AUDIT_CHECKPOINT);
    put_u64(out, c->number);
    put_u64(out, c->clock_ms);
    put_u32(out, c->server);
    put_bytes(out, c->hash, AUDIT_HASH);
    put_bytes(out, c->key, AUDIT_KEY);
    put_bytes(out, c->signature, AUDIT_SIGNATURE);
}

static void take_settings(struct decoder *d, struct command *c)
{
    unsigned there, hash_keys;

    decode_note(d, "settings");
    there = get_u8(&d->r);
    if (there == 0) {
        return;
    }
    c->audit_set = true;
    c->audit.level = get_u8(&d->r);
    hash_keys = get_u8(&d->r);
    c->audit.hash_keys = hash_keys != 0;
    c->audit.keep_ms = get_u64(&d->r);
    if (there > 1 || hash_keys > 1 || c->audit.level >= AUDIT_LEVELS ||
        c->audit.keep_ms > (uint64_t)INT64_MAX) {
        wire_fail(&d->r);
    }
}

void decode_audit(struct decoder *d, struct command *c)
{
    if (c->type == COMMAND_AUDIT_APPEND) {
        take_settings(d, c);
        decode_items(d, c, META_AUDIT_BATCH_MAX);
        return;
    }
    decode_note(d, "checkpoint");
    c->revision = get_u64(&d->r);
    c->time_ms = get_u64(&d->r);
    c->server = get_u32(&d->r);
    c->code = get_bytes(&d->r, AUDIT_HASH);
    c->fingerprint = get_bytes(&d->r, AUDIT_KEY);
    c->content.p = get_bytes(&d->r, AUDIT_SIGNATURE);
    c->content.len = AUDIT_SIGNATURE;
    if (c->time_ms > (uint64_t)INT64_MAX || c->revision == 0 ||
        c->revision > (uint64_t)INT64_MAX) {
        wire_fail(&d->r);
    }
}

void decode_audit_item(struct decoder *d, struct command_item *out)
{
    struct audit_entry e;

    out->key = decode_blob(d, "audit entry", AUDIT_DRAFT_MAX);
    if (wire_ok(&d->r) &&
        audit_draft_read(out->key.p, out->key.len, &e, NULL) != 0) {
        wire_fail(&d->r);
    }
}

/* ---- who ---- */

static void put_short(struct buf *out, const char *s, size_t max)
{
    size_t len = s != NULL ? strlen(s) : 0;

    len = len < max ? len : max;
    put_u8(out, (uint8_t)len);
    put_bytes(out, s, len);
}

void command_put_actor(struct buf *out, const struct command_actor *a)
{
    put_u32(out, a->server);
    put_short(out, a->request, 32);
    put_short(out, a->user, 192);
    put_short(out, a->access_key, 128);
    put_short(out, a->address, 64);
}

static struct command_bytes take_short(struct wire_reader *r)
{
    struct command_bytes out;

    out.len = get_u8(r);
    out.p = get_bytes(r, out.len);
    return out;
}

bool command_read_actor(const struct command *c, uint32_t *server,
                        struct command_bytes out[4])
{
    struct wire_reader r;

    if (c->actor.p == NULL) {
        return false;
    }
    wire_init(&r, c->actor.p, c->actor.len);
    *server = get_u32(&r);
    for (int i = 0; i < 4; i++) {
        out[i] = take_short(&r);
    }
    return wire_done(&r);
}
