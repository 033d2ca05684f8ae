/* Commands of the registry as bytes: servers, drives, join tokens. */
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/text.h"
#include "meta/command_internal.h"

#define STATES 3 /* of servers and of drives */

_Static_assert(META_SERVER_REMOVED == STATES - 1, "the last state");
_Static_assert(META_DRIVE_REMOVED == STATES - 1, "the last state");

const char *command_refusal_text(uint64_t body)
{
    switch (body) {
#define X(name, value, text) \
    case value:              \
        return text;
        COMMAND_REFUSAL_TABLE(X)
#undef X
        default:
            return NULL;
    }
}

/* ---- encoding ---- */

static void put_drive(struct buf *out, const struct command_drive *d)
{
    put_u32(out, d->weight);
    put_bytes(out, d->uuid, META_DRIVE_UUID);
}

static void put_server(struct buf *out, const struct command_server *s)
{
    CHECK(s->drive_count <= META_SERVER_DRIVES_MAX);
    put_text(out, s->name);
    put_text(out, s->address);
    put_text(out, s->endpoint);
    put_text(out, s->zone);
    put_u32(out, s->roles);
    put_bytes(out, s->fingerprint, META_FINGERPRINT);
    put_u32(out, s->format);
    put_u32(out, (uint32_t)s->drive_count);
    for (size_t i = 0; i < s->drive_count; i++) {
        put_drive(out, &s->drives[i]);
    }
}

void command_cluster_init(struct buf *out,
                          const uint8_t cluster[META_CLUSTER_ID],
                          const struct command_server *server, uint64_t time_ms)
{
    command_put_head(out, COMMAND_CLUSTER_INIT);
    put_bytes(out, cluster, META_CLUSTER_ID);
    put_u64(out, time_ms);
    put_server(out, server);
}

void command_token_create(struct buf *out, const uint8_t hash[META_TOKEN_HASH],
                          uint32_t uses, uint64_t expires_ms, const char *note,
                          uint64_t time_ms)
{
    command_put_head(out, COMMAND_TOKEN_CREATE);
    put_bytes(out, hash, META_TOKEN_HASH);
    put_u64(out, time_ms);
    put_u64(out, expires_ms);
    put_u32(out, uses);
    put_text(out, note);
}

void command_token_revoke(struct buf *out, const uint8_t hash[META_TOKEN_HASH])
{
    command_put_head(out, COMMAND_TOKEN_REVOKE);
    put_bytes(out, hash, META_TOKEN_HASH);
}

void command_server_join(struct buf *out, const uint8_t token[META_TOKEN_HASH],
                         const struct command_server *server, uint64_t time_ms)
{
    command_put_head(out, COMMAND_SERVER_JOIN);
    put_bytes(out, token, META_TOKEN_HASH);
    put_u64(out, time_ms);
    put_server(out, server);
}

void command_server_update(struct buf *out, uint32_t server,
                           const struct command_server_update *update)
{
    command_put_head(out, COMMAND_SERVER_UPDATE);
    put_u32(out, server);
    put_text(out, update->address);
    put_text(out, update->endpoint);
    put_text(out, update->zone);
    put_u32(out, update->roles);
    put_u32(out, update->format);
}

void command_server_state(struct buf *out, uint32_t server,
                          enum meta_server_state state)
{
    command_put_head(out, COMMAND_SERVER_STATE);
    put_u32(out, server);
    put_u8(out, (uint8_t)state);
}

void command_server_remove(struct buf *out, uint32_t server, bool force)
{
    command_put_head(out, COMMAND_SERVER_REMOVE);
    put_u32(out, server);
    put_u8(out, force);
}

void command_drive_add(struct buf *out, uint32_t server,
                       const struct command_drive *drive, uint64_t time_ms)
{
    command_put_head(out, COMMAND_DRIVE_ADD);
    put_u32(out, server);
    put_u64(out, time_ms);
    put_drive(out, drive);
}

void command_drive_state(struct buf *out, uint16_t drive,
                         enum meta_drive_state state, uint32_t epoch,
                         bool force)
{
    command_put_head(out, COMMAND_DRIVE_STATE);
    put_u16(out, drive);
    put_u8(out, (uint8_t)state);
    put_u32(out, epoch);
    put_u8(out, force);
}

void command_drive_weight(struct buf *out, uint16_t drive, uint32_t weight)
{
    command_put_head(out, COMMAND_DRIVE_WEIGHT);
    put_u16(out, drive);
    put_u32(out, weight);
}

void command_clock_vote(struct buf *out, const struct command_clock *votes,
                        size_t count)
{
    CHECK(count <= META_SERVERS_MAX);
    command_put_head(out, COMMAND_CLOCK_VOTE);
    put_u32(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        put_u32(out, votes[i].server);
        put_u64(out, votes[i].time_ms);
    }
}

void command_layout_change(struct buf *out, uint32_t epoch, uint64_t revision,
                           const void *layout, size_t len)
{
    command_put_head(out, COMMAND_LAYOUT_CHANGE);
    put_u32(out, epoch);
    put_u64(out, revision);
    put_blob(out, layout, len);
}

/* ---- decoding ---- */

static void must(struct decoder *d, bool good)
{
    if (!good) {
        wire_fail(&d->r);
    }
}

static bool is_name(unsigned c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

static bool is_zone(unsigned c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

static bool is_graph(unsigned c)
{
    return c > ' ' && c < 0x7f;
}

static bool all_good(const void *text, size_t len, bool (*good)(unsigned c))
{
    const uint8_t *p = text;

    for (size_t i = 0; i < len; i++) {
        if (!good(p[i])) {
            return false;
        }
    }
    return true;
}

bool command_is_server_name(const char *text)
{
    size_t len = strlen(text);

    return len > 0 && len <= META_NAME_MAX && all_good(text, len, is_name);
}

bool command_is_zone(const char *text)
{
    size_t len = strlen(text);

    return len > 0 && len <= META_ZONE_MAX && all_good(text, len, is_zone);
}

/* A text whose bytes are all @good. */
static struct command_bytes take_word(struct decoder *d, const char *field,
                                      size_t min, size_t max, bool null_ok,
                                      bool (*good)(unsigned c))
{
    struct command_bytes out = decode_text(d, field, min, max, null_ok);

    must(d, all_good(out.p, out.len, good));
    return out;
}

static void take_note(struct decoder *d, struct command *c)
{
    c->note = decode_text(d, "note", 0, META_NOTE_MAX, false);
    must(d, text_utf8(c->note.p, c->note.len));
}

static const uint8_t *take_id(struct decoder *d, const char *field, size_t len)
{
    decode_note(d, field);
    return get_bytes(&d->r, len);
}

/* A number of @min..@max. */
static uint32_t take_number(struct decoder *d, const char *field, uint32_t min,
                            uint32_t max)
{
    uint32_t v;

    decode_note(d, field);
    v = get_u32(&d->r);
    must(d, v >= min && v <= max);
    return v;
}

static void take_state(struct decoder *d, struct command *c, unsigned states)
{
    decode_note(d, "state");
    c->state = get_u8(&d->r);
    must(d, c->state < states);
}

static void take_force(struct decoder *d, struct command *c)
{
    uint8_t v;

    decode_note(d, "force");
    v = get_u8(&d->r);
    must(d, v <= 1);
    c->force = v == 1;
}

static void take_server_id(struct decoder *d, struct command *c)
{
    c->server = take_number(d, "server", 1, META_SERVER_ID_MAX);
}

static void take_drive_id(struct decoder *d, struct command *c)
{
    decode_note(d, "drive");
    c->drive = get_u16(&d->r);
    must(d, c->drive <= META_DRIVE_ID_MAX);
}

void decode_drive_item(struct decoder *d, struct command_item *out)
{
    out->weight = take_number(d, "drive weight", 1, UINT32_MAX);
    out->uuid = take_id(d, "drive uuid", META_DRIVE_UUID);
}

/* No two drives of the command are the same. */
static void see_drives_differ(struct decoder *d, const struct command *c)
{
    const uint8_t *seen[META_SERVER_DRIVES_MAX];
    size_t at = 0;

    for (uint32_t i = 0; i < c->count && wire_ok(&d->r); i++) {
        struct command_item item;
        command_item(c, &at, &item);
        seen[i] = item.uuid;
        for (uint32_t k = 0; k < i; k++) {
            must(d, memcmp(seen[k], item.uuid, META_DRIVE_UUID) != 0);
        }
    }
}

static void take_server(struct decoder *d, struct command *c)
{
    c->name = take_word(d, "name", 1, META_NAME_MAX, false, is_name);
    c->address = take_word(d, "address", 1, META_ADDRESS_MAX, false, is_graph);
    c->endpoint =
        take_word(d, "endpoint", 0, META_ADDRESS_MAX, false, is_graph);
    c->zone = take_word(d, "zone", 1, META_ZONE_MAX, false, is_zone);
    c->roles = take_number(d, "roles", 1, META_SERVER_ROLES);
    /* Who makes a cluster keeps its catalogue. */
    must(d,
         c->type != COMMAND_CLUSTER_INIT || (c->roles & META_SERVER_META) != 0);
    c->fingerprint = take_id(d, "fingerprint", META_FINGERPRINT);
    c->format = take_number(d, "format", 1, UINT32_MAX);
    decode_items(d, c, META_SERVER_DRIVES_MAX);
    decode_note(d, "drives");
    must(d, c->count == 0 || (c->roles & META_SERVER_NODE) != 0);
    see_drives_differ(d, c);
}

static void take_token_create(struct decoder *d, struct command *c)
{
    c->token = take_id(d, "token", META_TOKEN_HASH);
    decode_time(d, c);
    decode_note(d, "expires");
    c->expires_ms = get_u64(&d->r);
    must(d, c->expires_ms > c->time_ms && c->expires_ms <= (uint64_t)INT64_MAX);
    c->uses = take_number(d, "uses", 1, META_USES_MAX);
    take_note(d, c);
}

static void take_server_update(struct decoder *d, struct command *c)
{
    take_server_id(d, c);
    c->address = take_word(d, "address", 1, META_ADDRESS_MAX, true, is_graph);
    c->endpoint = take_word(d, "endpoint", 0, META_ADDRESS_MAX, true, is_graph);
    c->zone = take_word(d, "zone", 1, META_ZONE_MAX, true, is_zone);
    c->roles = take_number(d, "roles", 0, META_SERVER_ROLES);
    c->format = take_number(d, "format", 0, UINT32_MAX);
}

static void take_drive_add(struct decoder *d, struct command *c)
{
    struct command_item item;

    take_server_id(d, c);
    decode_time(d, c);
    decode_drive_item(d, &item);
    c->weight = item.weight;
    c->uuid = item.uuid;
}

static void take_drive_state(struct decoder *d, struct command *c)
{
    take_drive_id(d, c);
    take_state(d, c, STATES);
    decode_note(d, "epoch");
    c->epoch = get_u32(&d->r);
    take_force(d, c);
}

static void take_layout_change(struct decoder *d, struct command *c)
{
    decode_note(d, "epoch");
    c->epoch = get_u32(&d->r);
    decode_note(d, "revision");
    c->revision = get_u64(&d->r);
    c->content = decode_blob(d, "layout", META_COMMAND_MAX);
}

/* In order of the servers, so that none votes twice. */
static void take_clock_vote(struct decoder *d, struct command *c)
{
    struct command_item vote;
    int64_t last = -1;
    size_t at = 0;

    decode_items(d, c, META_SERVERS_MAX);
    for (uint32_t i = 0; i < c->count && wire_ok(&d->r); i++) {
        command_item(c, &at, &vote);
        must(d, vote.number > last && vote.id <= (uint64_t)INT64_MAX);
        last = vote.number;
    }
}

void decode_cluster(struct decoder *d, struct command *c)
{
    switch (c->type) {
        case COMMAND_CLUSTER_INIT:
            c->cluster = take_id(d, "cluster", META_CLUSTER_ID);
            decode_time(d, c);
            take_server(d, c);
            break;
        case COMMAND_TOKEN_CREATE:
            take_token_create(d, c);
            break;
        case COMMAND_TOKEN_REVOKE:
            c->token = take_id(d, "token", META_TOKEN_HASH);
            break;
        case COMMAND_SERVER_JOIN:
            c->token = take_id(d, "token", META_TOKEN_HASH);
            decode_time(d, c);
            take_server(d, c);
            break;
        case COMMAND_SERVER_UPDATE:
            take_server_update(d, c);
            break;
        case COMMAND_SERVER_STATE:
            take_server_id(d, c);
            take_state(d, c, META_SERVER_REMOVED); /* by SERVER_REMOVE */
            break;
        case COMMAND_SERVER_REMOVE:
            take_server_id(d, c);
            take_force(d, c);
            break;
        case COMMAND_DRIVE_ADD:
            take_drive_add(d, c);
            break;
        case COMMAND_DRIVE_STATE:
            take_drive_state(d, c);
            break;
        case COMMAND_DRIVE_WEIGHT:
            take_drive_id(d, c);
            c->weight = take_number(d, "weight", 1, UINT32_MAX);
            break;
        case COMMAND_LAYOUT_CHANGE:
            take_layout_change(d, c);
            break;
        case COMMAND_CLOCK_VOTE:
            take_clock_vote(d, c);
            break;
        default:
            wire_fail(&d->r);
    }
}
