/* Commands of devices, as bytes. */
#include "base/buf.h"
#include "base/check.h"
#include "meta/command_internal.h"

void command_device_put(struct buf *out, const char *name, const void *policy,
                        size_t policy_len, const void *settings,
                        size_t settings_len, const uint8_t *code_hash,
                        uint64_t expires_ms, uint64_t time_ms)
{
    CHECK(policy_len <= META_USER_POLICY_MAX);
    CHECK(settings_len <= META_DEVICE_SETTINGS_MAX);
    command_put_head(out, COMMAND_DEVICE_PUT);
    put_text(out, name);
    put_blob(out, policy, policy_len);
    put_blob(out, settings, settings_len);
    put_blob(out, code_hash, code_hash != NULL ? META_CODE_HASH : 0);
    put_u64(out, expires_ms);
    put_u64(out, time_ms);
}

void command_device_enroll(struct buf *out,
                           const uint8_t code_hash[META_CODE_HASH],
                           const uint8_t fingerprint[META_FINGERPRINT],
                           uint64_t time_ms)
{
    command_put_head(out, COMMAND_DEVICE_ENROLL);
    put_blob(out, code_hash, META_CODE_HASH);
    put_blob(out, fingerprint, META_FINGERPRINT);
    put_u64(out, time_ms);
}

void command_device_key(struct buf *out, uint64_t number,
                        const uint8_t fingerprint[META_FINGERPRINT],
                        uint64_t time_ms)
{
    command_put_head(out, COMMAND_DEVICE_KEY);
    put_u64(out, number);
    put_blob(out, fingerprint, META_FINGERPRINT);
    put_u64(out, time_ms);
}

void command_device_revoke(struct buf *out, const char *name, uint64_t time_ms)
{
    command_put_head(out, COMMAND_DEVICE_REVOKE);
    put_text(out, name);
    put_u64(out, time_ms);
}

void command_device_remove(struct buf *out, const char *name)
{
    command_put_head(out, COMMAND_DEVICE_REMOVE);
    put_text(out, name);
}

void command_device_report(struct buf *out, uint64_t number, const void *report,
                           size_t len, uint64_t time_ms)
{
    CHECK(len <= META_DEVICE_REPORT_MAX);
    command_put_head(out, COMMAND_DEVICE_REPORT);
    put_u64(out, number);
    put_blob(out, report, len);
    put_u64(out, time_ms);
}

/* A blob of @size bytes, or, with @none_ok, of none. */
static const uint8_t *take_sized(struct decoder *d, const char *field,
                                 size_t size, bool none_ok)
{
    struct command_bytes b = decode_blob(d, field, size);

    if (b.len == 0 && none_ok) {
        return NULL;
    }
    if (b.len != size) {
        wire_fail(&d->r);
    }
    return b.p;
}

static void take_device_name(struct decoder *d, struct command *c)
{
    c->name = decode_text(d, "device", 1, META_DEVICE_MAX, false);
}

static void take_number(struct decoder *d, struct command *c)
{
    decode_note(d, "number");
    c->device = get_u64(&d->r);
    if (c->device == 0) {
        wire_fail(&d->r);
    }
}

void decode_device(struct decoder *d, struct command *c)
{
    switch (c->type) {
        case COMMAND_DEVICE_PUT:
            take_device_name(d, c);
            c->content = decode_blob(d, "policy", META_USER_POLICY_MAX);
            c->settings = decode_blob(d, "settings", META_DEVICE_SETTINGS_MAX);
            c->code = take_sized(d, "code", META_CODE_HASH, true);
            decode_note(d, "end of code");
            c->expires_ms = get_u64(&d->r);
            break;
        case COMMAND_DEVICE_ENROLL:
            c->code = take_sized(d, "code", META_CODE_HASH, false);
            c->fingerprint = take_sized(d, "key", META_FINGERPRINT, false);
            break;
        case COMMAND_DEVICE_KEY:
            take_number(d, c);
            c->fingerprint = take_sized(d, "key", META_FINGERPRINT, false);
            break;
        case COMMAND_DEVICE_REPORT:
            take_number(d, c);
            c->content = decode_blob(d, "report", META_DEVICE_REPORT_MAX);
            break;
        case COMMAND_DEVICE_REMOVE:
            take_device_name(d, c);
            return;
        default:
            take_device_name(d, c);
    }
    decode_time(d, c);
}
