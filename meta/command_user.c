/* Commands of users and their access keys, as bytes. */
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
