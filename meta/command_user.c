/* Commands of users, their access keys, and master keys, as bytes. */
#include "base/buf.h"
#include "base/check.h"
#include "meta/command_internal.h"

void command_user_put(struct buf *out, const char *name, bool create,
                      const void *policy, size_t policy_len, uint64_t time_ms)
{
    CHECK(policy_len <= META_USER_POLICY_MAX);
    command_put_head(out, COMMAND_USER_PUT);
    put_text(out, name);
    put_u8(out, create);
    put_blob(out, policy, policy_len);
    put_u64(out, time_ms);
}

void command_user_remove(struct buf *out, const char *name)
{
    command_put_head(out, COMMAND_USER_REMOVE);
    put_text(out, name);
}

void command_key_put(struct buf *out, const char *user, const char *access_key,
                     const char *secret_key, uint64_t time_ms)
{
    command_put_head(out, COMMAND_KEY_PUT);
    put_text(out, user);
    put_text(out, access_key);
    put_text(out, secret_key);
    put_u64(out, time_ms);
}

void command_key_remove(struct buf *out, const char *access_key)
{
    command_put_head(out, COMMAND_KEY_REMOVE);
    put_text(out, access_key);
}

static void take_access_key(struct decoder *d, struct command *c)
{
    c->access_key = decode_text(d, "access key", META_ACCESS_KEY_MIN,
                                META_ACCESS_KEY_MAX, false);
}

void decode_user(struct decoder *d, struct command *c)
{
    if (c->type != COMMAND_KEY_REMOVE) {
        c->name = decode_text(d, "user", 1, META_USER_MAX, false);
    }
    switch (c->type) {
        case COMMAND_USER_PUT:
            decode_note(d, "create");
            c->force = get_u8(&d->r) != 0;
            c->content = decode_blob(d, "policy", META_USER_POLICY_MAX);
            decode_time(d, c);
            break;
        case COMMAND_KEY_PUT:
            take_access_key(d, c);
            c->secret = decode_text(d, "secret key", META_SECRET_KEY_MIN,
                                    META_SECRET_KEY_MAX, false);
            decode_time(d, c);
            break;
        case COMMAND_KEY_REMOVE:
            take_access_key(d, c);
            break;
        default:
            break;
    }
}

void command_master_key_put(struct buf *out, const char *name, uint32_t number,
                            const void *wrapped, size_t wrapped_len,
                            uint64_t time_ms)
{
    CHECK(wrapped_len <= META_MASTER_WRAPPED_MAX);
    command_put_head(out, COMMAND_MASTER_KEY_PUT);
    put_text(out, name);
    put_u32(out, number);
    put_blob(out, wrapped, wrapped_len);
    put_u64(out, time_ms);
}

void command_master_key_state(struct buf *out, const char *name, bool disabled)
{
    command_put_head(out, COMMAND_MASTER_KEY_STATE);
    put_text(out, name);
    put_u8(out, disabled);
}

void decode_master_key(struct decoder *d, struct command *c)
{
    c->name = decode_text(d, "key name", 1, META_MASTER_NAME_MAX, false);
    if (c->type == COMMAND_MASTER_KEY_STATE) {
        decode_note(d, "state");
        c->force = get_u8(&d->r) != 0;
        return;
    }
    decode_note(d, "number");
    c->number = get_u32(&d->r);
    if (c->number == 0) {
        wire_fail(&d->r);
    }
    c->content = decode_blob(d, "wrapped key", META_MASTER_WRAPPED_MAX);
    decode_time(d, c);
}
