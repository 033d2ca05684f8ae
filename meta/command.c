#include "meta/command_internal.h"

#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"

#define COMMAND_VERSION 1
#define COMMAND_VERSION_MORE 2  /* as 1, and options behind */
#define BATCH_MAGIC 0x31424d43u /* "CMB1" */
#define BATCH_HEAD 8
#define NULL_LENGTH 0xffffffffu

/* An option: u8 of these, blob. They stand in this order. */
enum option {
    OPTION_VERSION = 1, /* u64 */
    OPTION_VERSIONS,    /* u64 for each item */
    OPTION_TAGS,
    OPTION_LOCK, /* u8 mode, u64 until */
    OPTION_HOLD, /* empty, as what follows */
    OPTION_BYPASS,
    OPTION_LOCKED,
    OPTION_DEVICE, /* u64 device, u64 sequence, u64 floor */
    OPTION_END,
    OPTION_ACTOR = 255 /* so that it can be added behind any other */
};

_Static_assert(COMMAND_BATCH_MAX < 1024, "ids are index * 1024 + position");

/* ---- encoding ---- */

void command_put_head(struct buf *out, enum command_type type)
{
    put_u8(out, (uint8_t)type);
    put_u8(out, COMMAND_VERSION);
}

static void put_condition(struct buf *out, const struct meta_condition *c)
{
    put_text(out, c != NULL ? c->if_match : NULL);
    put_text(out, c != NULL ? c->if_none_match : NULL);
}

static void put_content(struct buf *out, const struct meta_content *c)
{
    CHECK(c->inline_bytes == NULL || c->manifest == NULL);
    if (c->manifest != NULL) {
        put_u8(out, COMMAND_MANIFEST);
        put_u64(out, c->size_bytes);
        put_blob(out, c->manifest, c->manifest_len);
    } else if (c->size_bytes > 0) {
        CHECK(c->inline_bytes != NULL);
        CHECK(c->size_bytes <= META_INLINE_MAX);
        put_u8(out, COMMAND_INLINE);
        put_u64(out, c->size_bytes);
        put_blob(out, c->inline_bytes, (size_t)c->size_bytes);
    } else {
        put_u8(out, COMMAND_EMPTY);
        put_u64(out, 0);
        put_blob(out, NULL, 0);
    }
}

static void put_option(struct buf *out, enum option o, const void *p, size_t n)
{
    put_u8(out, (uint8_t)o);
    put_blob(out, p, n);
}

static void put_lock(struct buf *out, const struct command_more *more)
{
    uint8_t lock[1 + sizeof(uint64_t)] = {(uint8_t)more->lock};

    store_u64(lock + 1, more->retain_ms);
    put_option(out, OPTION_LOCK, lock, sizeof lock);
}

static void put_device(struct buf *out, const struct command_more *more)
{
    uint8_t device[3 * sizeof(uint64_t)];

    CHECK(more->sequence > 0 && more->floor <= more->sequence);
    store_u64(device, more->device);
    store_u64(device + 8, more->sequence);
    store_u64(device + 16, more->floor);
    put_option(out, OPTION_DEVICE, device, sizeof device);
}

/* @count: of items. */
static void add_more(struct buf *out, size_t start,
                     const struct command_more *more, size_t count)
{
    uint8_t number[sizeof(uint64_t)];

    CHECK(out->data[start + 1] == COMMAND_VERSION);
    out->data[start + 1] = COMMAND_VERSION_MORE;
    if (more->version != META_VERSION_CURRENT) {
        store_u64(number, more->version);
        put_option(out, OPTION_VERSION, number, sizeof number);
    }
    if (more->versions != NULL && count > 0) {
        put_u8(out, OPTION_VERSIONS);
        put_u32(out, (uint32_t)(count * sizeof(uint64_t)));
        for (size_t i = 0; i < count; i++) {
            put_u64(out, more->versions[i]);
        }
    }
    if (more->tags != NULL) {
        CHECK(more->tags_len <= META_TAGS_MAX);
        put_option(out, OPTION_TAGS, more->tags, more->tags_len);
    }
    if (more->lock != META_LOCK_NONE) {
        put_lock(out, more);
    }
    if (more->hold) {
        put_option(out, OPTION_HOLD, NULL, 0);
    }
    if (more->bypass) {
        put_option(out, OPTION_BYPASS, NULL, 0);
    }
    if (more->locked) {
        put_option(out, OPTION_LOCKED, NULL, 0);
    }
    if (more->device != 0) {
        put_device(out, more);
    }
}

void command_add_more(struct buf *out, size_t start,
                      const struct command_more *more)
{
    struct command c;

    CHECK(command_decode(out->data + start, out->len - start, &c, NULL) == 0);
    add_more(out, start, more, c.count);
}

/* Is the command's last option the actor? */
static bool has_actor(const struct buf *out, size_t start)
{
    struct command c;

    CHECK(command_decode(out->data + start, out->len - start, &c, NULL) == 0);
    return c.actor.p != NULL;
}

void command_add_actor(struct buf *out, size_t start,
                       const struct command_actor *actor)
{
    struct buf value = {0};

    if (has_actor(out, start)) {
        return;
    }
    command_put_actor(&value, actor);
    out->data[start + 1] = COMMAND_VERSION_MORE;
    put_option(out, OPTION_ACTOR, value.data, value.len);
    buf_free(&value);
}

void command_bucket_create(struct buf *out, const char *bucket,
                           const char *owner, uint64_t time_ms)
{
    command_put_head(out, COMMAND_BUCKET_CREATE);
    put_text(out, bucket);
    put_text(out, owner);
    put_u64(out, time_ms);
}

void command_bucket_delete(struct buf *out, const char *bucket)
{
    command_put_head(out, COMMAND_BUCKET_DELETE);
    put_text(out, bucket);
}

void command_bucket_config(struct buf *out, const char *bucket,
                           enum meta_config_kind kind, const void *value,
                           size_t len)
{
    CHECK(len <= META_CONFIG_MAX);
    command_put_head(out, COMMAND_BUCKET_CONFIG);
    put_text(out, bucket);
    put_u8(out, (uint8_t)kind);
    put_blob(out, value, len);
}

void command_object_put(struct buf *out, const char *bucket, const char *key,
                        const struct meta_condition *condition,
                        const struct meta_content *content, const char *etag,
                        const void *attrs, size_t attrs_len, uint64_t time_ms)
{
    command_put_head(out, COMMAND_OBJECT_PUT);
    put_text(out, bucket);
    put_text(out, key);
    put_condition(out, condition);
    put_content(out, content);
    put_text(out, etag);
    put_blob(out, attrs, attrs_len);
    put_u64(out, time_ms);
}

void command_body_recode(struct buf *out, uint64_t body, uint32_t part,
                         uint64_t hi, uint64_t lo,
                         const struct meta_content *content, uint64_t time_ms)
{
    CHECK(content->manifest != NULL);
    command_put_head(out, COMMAND_BODY_RECODE);
    put_u64(out, body);
    put_u32(out, part);
    put_u64(out, hi);
    put_u64(out, lo);
    put_content(out, content);
    put_u64(out, time_ms);
}

void command_object_delete(struct buf *out, const char *bucket, const char *key,
                           const struct meta_condition *condition,
                           uint64_t time_ms)
{
    command_put_head(out, COMMAND_OBJECT_DELETE);
    put_text(out, bucket);
    put_text(out, key);
    put_condition(out, condition);
    put_u64(out, time_ms);
}

void command_objects_delete(struct buf *out, const char *bucket,
                            const char *const *keys, const char *const *etags,
                            size_t count, uint64_t time_ms)
{
    CHECK(count <= META_DELETE_MAX);
    command_put_head(out, COMMAND_OBJECTS_DELETE);
    put_text(out, bucket);
    put_u64(out, time_ms);
    put_u32(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        put_text(out, keys[i]);
        put_text(out, etags != NULL ? etags[i] : NULL);
    }
}

void command_expire(struct buf *out, const char *bucket,
                    const struct command_expiry *items, size_t count,
                    uint64_t time_ms)
{
    CHECK(count <= META_DELETE_MAX);
    command_put_head(out, COMMAND_EXPIRE);
    put_text(out, bucket);
    put_u64(out, time_ms);
    put_u32(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        put_text(out, items[i].key);
        put_u64(out, items[i].version);
        put_u64(out, items[i].modified_ms);
        put_u64(out, items[i].size_bytes);
        put_u64(out, items[i].due_ms);
    }
}

void command_object_copy(struct buf *out, const char *src_bucket,
                         const char *src_key, uint64_t body, const char *bucket,
                         const char *key,
                         const struct meta_condition *condition,
                         const char *etag, const void *attrs, size_t attrs_len,
                         uint64_t time_ms)
{
    command_put_head(out, COMMAND_OBJECT_COPY);
    put_text(out, src_bucket);
    put_text(out, src_key);
    put_u64(out, body);
    put_text(out, bucket);
    put_text(out, key);
    put_condition(out, condition);
    put_text(out, etag);
    put_blob(out, attrs, attrs_len);
    put_u64(out, time_ms);
}

void command_object_set(struct buf *out, enum command_type type,
                        const char *bucket, const char *key,
                        const struct command_more *more, uint64_t time_ms)
{
    size_t start = out->len;

    command_put_head(out, type);
    put_text(out, bucket);
    put_text(out, key);
    put_u64(out, time_ms);
    add_more(out, start, more, 0);
}

void command_object_attrs(struct buf *out, const char *bucket, const char *key,
                          uint64_t which, const void *read, size_t read_len,
                          const void *attrs, size_t attrs_len, uint64_t time_ms)
{
    struct command_more more = {.version = which};
    size_t start = out->len;

    command_put_head(out, COMMAND_OBJECT_ATTRS);
    put_text(out, bucket);
    put_text(out, key);
    put_blob(out, read, read_len);
    put_blob(out, attrs, attrs_len);
    put_u64(out, time_ms);
    add_more(out, start, &more, 0);
}

void command_upload_create(struct buf *out, const char *bucket, const char *key,
                           const uint8_t upload[META_UPLOAD_ID],
                           const void *attrs, size_t attrs_len,
                           uint64_t time_ms)
{
    command_put_head(out, COMMAND_UPLOAD_CREATE);
    put_text(out, bucket);
    put_text(out, key);
    put_bytes(out, upload, META_UPLOAD_ID);
    put_blob(out, attrs, attrs_len);
    put_u64(out, time_ms);
}

void command_part_put(struct buf *out, const uint8_t upload[META_UPLOAD_ID],
                      uint32_t number, const struct meta_content *content,
                      const char *etag, const char *check, uint64_t time_ms)
{
    command_put_head(out, COMMAND_PART_PUT);
    put_bytes(out, upload, META_UPLOAD_ID);
    put_u32(out, number);
    put_content(out, content);
    put_text(out, etag);
    put_text(out, check);
    put_u64(out, time_ms);
}

void command_upload_complete(
    struct buf *out, const char *bucket, const char *key,
    const uint8_t upload[META_UPLOAD_ID], const struct command_part *parts,
    size_t count, uint64_t part_min, const struct meta_condition *condition,
    const char *etag, const void *attrs, size_t attrs_len, uint64_t time_ms)
{
    CHECK(count <= META_PARTS_MAX);
    command_put_head(out, COMMAND_UPLOAD_COMPLETE);
    put_text(out, bucket);
    put_text(out, key);
    put_bytes(out, upload, META_UPLOAD_ID);
    put_u64(out, part_min);
    put_condition(out, condition);
    put_text(out, etag);
    put_blob(out, attrs, attrs_len);
    put_u64(out, time_ms);
    put_u32(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        put_u32(out, parts[i].number);
        put_text(out, parts[i].etag);
    }
}

void command_upload_abort(struct buf *out, const char *bucket, const char *key,
                          const uint8_t upload[META_UPLOAD_ID],
                          uint64_t time_ms)
{
    command_put_head(out, COMMAND_UPLOAD_ABORT);
    put_text(out, bucket);
    put_text(out, key);
    put_bytes(out, upload, META_UPLOAD_ID);
    put_u64(out, time_ms);
}

void command_garbage_done(struct buf *out, const uint64_t *ids, size_t count)
{
    CHECK(count < NULL_LENGTH);
    command_put_head(out, COMMAND_GARBAGE_DONE);
    put_u32(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        put_u64(out, ids[i]);
    }
}

void command_layout_set(struct buf *out, uint32_t epoch, const void *layout,
                        size_t len)
{
    command_put_head(out, COMMAND_LAYOUT_SET);
    put_u32(out, epoch);
    put_blob(out, layout, len);
}

/* ---- decoding ---- */

void decode_note(struct decoder *d, const char *field)
{
    if (wire_ok(&d->r)) {
        d->field = field;
    }
}

struct command_bytes decode_text(struct decoder *d, const char *field,
                                 size_t min, size_t max, bool null_ok)
{
    struct command_bytes out = {0};
    uint32_t len;

    decode_note(d, field);
    len = get_u32(&d->r);
    if (len == NULL_LENGTH) {
        if (!null_ok) {
            wire_fail(&d->r);
        }
        return out;
    }
    if (len < min || len > max) {
        wire_fail(&d->r);
        return out;
    }
    out.p = get_bytes(&d->r, len);
    out.len = out.p != NULL ? len : 0;
    if (out.p != NULL && memchr(out.p, 0, len) != NULL) {
        wire_fail(&d->r);
    }
    return out;
}

struct command_bytes decode_blob(struct decoder *d, const char *field,
                                 size_t max)
{
    struct command_bytes out;

    decode_note(d, field);
    out.p = get_blob(&d->r, max, &out.len);
    return out;
}

static void take_bucket(struct decoder *d, struct command_bytes *out)
{
    *out = decode_text(d, "bucket", 1, META_BUCKET_MAX, false);
}

static void take_name(struct decoder *d, struct command *c)
{
    take_bucket(d, &c->bucket);
    c->key = decode_text(d, "key", 1, META_KEY_MAX, false);
}

static void take_condition(struct decoder *d, struct command *c)
{
    c->if_match = decode_text(d, "if_match", 0, META_ETAG_MAX, true);
    c->if_none_match = decode_text(d, "if_none_match", 0, META_ETAG_MAX, true);
}

static void take_content(struct decoder *d, struct command *c)
{
    bool good;

    decode_note(d, "content");
    c->kind = get_u8(&d->r);
    c->size_bytes = get_u64(&d->r);
    c->content = decode_blob(d, "content", META_COMMAND_MAX);
    switch (c->kind) {
        case COMMAND_EMPTY:
            good = c->size_bytes == 0 && c->content.len == 0;
            break;
        case COMMAND_INLINE:
            good = c->size_bytes > 0 && c->size_bytes <= META_INLINE_MAX &&
                   c->content.len == c->size_bytes;
            break;
        case COMMAND_MANIFEST:
            /* sizes are signed 64-bit numbers in the database */
            good = c->content.len >= COMMAND_RUN_SIZE &&
                   c->size_bytes <= (uint64_t)INT64_MAX;
            break;
        default:
            good = false;
    }
    if (!good) {
        wire_fail(&d->r);
    }
}

static void take_etag_attrs(struct decoder *d, struct command *c)
{
    c->etag = decode_text(d, "etag", 0, META_ETAG_MAX, false);
    c->attrs = decode_blob(d, "attrs", META_ATTRS_MAX);
}

void decode_time(struct decoder *d, struct command *c)
{
    decode_note(d, "time");
    c->time_ms = get_u64(&d->r);
    if (c->time_ms > (uint64_t)INT64_MAX) {
        wire_fail(&d->r);
    }
}

static void take_upload(struct decoder *d, struct command *c)
{
    decode_note(d, "upload");
    c->upload = get_bytes(&d->r, META_UPLOAD_ID);
}

static void take_one_item(struct decoder *d, enum command_type type,
                          struct command_item *out)
{
    *out = (struct command_item){0};
    switch (type) {
        case COMMAND_OBJECTS_DELETE:
            out->key = decode_text(d, "key", 1, META_KEY_MAX, false);
            out->etag = decode_text(d, "etag", 0, META_ETAG_MAX, true);
            break;
        case COMMAND_EXPIRE:
            out->key = decode_text(d, "key", 1, META_KEY_MAX, false);
            decode_note(d, "expiry");
            out->version = get_u64(&d->r);
            out->modified_ms = get_u64(&d->r);
            out->size_bytes = get_u64(&d->r);
            out->due_ms = get_u64(&d->r);
            break;
        case COMMAND_ERASE_SOME:
            decode_erased(d, out);
            break;
        case COMMAND_UPLOAD_COMPLETE:
            decode_note(d, "part number");
            out->number = get_u32(&d->r);
            out->etag = decode_text(d, "part etag", 0, META_ETAG_MAX, false);
            break;
        case COMMAND_CLUSTER_INIT:
        case COMMAND_SERVER_JOIN:
            decode_drive_item(d, out);
            break;
        case COMMAND_AUDIT_APPEND:
            decode_audit_item(d, out);
            break;
        case COMMAND_CLOCK_VOTE:
            decode_note(d, "clock");
            out->number = get_u32(&d->r);
            out->id = get_u64(&d->r);
            break;
        default:
            decode_note(d, "garbage id");
            out->id = get_u64(&d->r);
    }
}

void decode_items(struct decoder *d, struct command *c, size_t max)
{
    const uint8_t *start;

    decode_note(d, "count");
    c->count = get_u32(&d->r);
    if (c->count > max) {
        wire_fail(&d->r);
    }
    start = d->r.p;
    for (uint32_t i = 0; i < c->count && wire_ok(&d->r); i++) {
        struct command_item item;
        take_one_item(d, c->type, &item);
    }
    c->items.p = start;
    c->items.len = (size_t)(d->r.p - start);
}

static void take_object_put(struct decoder *d, struct command *c)
{
    take_name(d, c);
    take_condition(d, c);
    take_content(d, c);
    take_etag_attrs(d, c);
    decode_time(d, c);
}

static void take_object_copy(struct decoder *d, struct command *c)
{
    take_bucket(d, &c->src_bucket);
    c->src_key = decode_text(d, "source key", 1, META_KEY_MAX, false);
    decode_note(d, "body");
    c->body = get_u64(&d->r);
    take_name(d, c);
    take_condition(d, c);
    take_etag_attrs(d, c);
    decode_time(d, c);
}

static void take_part_put(struct decoder *d, struct command *c)
{
    take_upload(d, c);
    decode_note(d, "part number");
    c->number = get_u32(&d->r);
    if (c->number < 1 || c->number > META_PARTS_MAX) {
        wire_fail(&d->r);
    }
    take_content(d, c);
    c->etag = decode_text(d, "etag", 0, META_ETAG_MAX, false);
    c->check = decode_text(d, "check", 0, META_ETAG_MAX * 2, true);
    decode_time(d, c);
}

static void take_upload_complete(struct decoder *d, struct command *c)
{
    take_name(d, c);
    take_upload(d, c);
    decode_note(d, "part_min");
    c->part_min = get_u64(&d->r);
    take_condition(d, c);
    take_etag_attrs(d, c);
    decode_time(d, c);
    decode_items(d, c, META_PARTS_MAX);
}

static void take_body_recode(struct decoder *d, struct command *c)
{
    decode_note(d, "body");
    c->body = get_u64(&d->r);
    decode_note(d, "part");
    c->number = get_u32(&d->r);
    if (c->number > META_PARTS_MAX) {
        wire_fail(&d->r);
    }
    decode_note(d, "run");
    c->run_hi = get_u64(&d->r);
    c->run_lo = get_u64(&d->r);
    take_content(d, c);
    if (c->kind != COMMAND_MANIFEST) {
        wire_fail(&d->r);
    }
    decode_time(d, c);
}

static void take_bucket_config(struct decoder *d, struct command *c)
{
    take_bucket(d, &c->bucket);
    decode_note(d, "kind");
    c->config = get_u8(&d->r);
    if (c->config < META_CONFIG_VERSIONING || c->config >= META_CONFIG_END) {
        wire_fail(&d->r);
    }
    c->content = decode_blob(d, "value", META_CONFIG_MAX);
}

/* Fails unless the option has @len bytes. */
static bool sized(struct decoder *d, const struct command_bytes *value,
                  size_t len)
{
    if (value->p == NULL || value->len != len) {
        wire_fail(&d->r);
        return false;
    }
    return true;
}

static void take_lock(struct decoder *d, struct command *c,
                      const struct command_bytes *value)
{
    if (!sized(d, value, 1 + sizeof(uint64_t))) {
        return;
    }
    c->lock = value->p[0];
    c->retain_ms = load_u64(value->p + 1);
    if (c->lock < META_LOCK_GOVERNANCE || c->lock > META_LOCK_COMPLIANCE ||
        c->retain_ms > (uint64_t)INT64_MAX) {
        wire_fail(&d->r);
    }
}

static void take_device(struct decoder *d, struct command *c,
                        const struct command_bytes *value)
{
    bool is_delivery = c->type == COMMAND_OBJECT_PUT ||
                       c->type == COMMAND_OBJECT_DELETE ||
                       c->type == COMMAND_UPLOAD_COMPLETE;

    if (!sized(d, value, 3 * sizeof(uint64_t))) {
        return;
    }
    c->device = load_u64(value->p);
    c->sequence = load_u64(value->p + 8);
    c->floor = load_u64(value->p + 16);
    if (!is_delivery || c->device == 0 || c->sequence == 0 ||
        c->floor > c->sequence || c->sequence > INT64_MAX) {
        wire_fail(&d->r);
    }
}

static void take_actor(struct decoder *d, struct command *c,
                       const struct command_bytes *value)
{
    struct command_bytes who[4];
    uint32_t server;

    c->actor = *value;
    if (!command_read_actor(c, &server, who)) {
        wire_fail(&d->r);
    }
}

static void take_option(struct decoder *d, struct command *c, unsigned option)
{
    struct command_bytes value = decode_blob(d, "option", META_TAGS_MAX);

    switch (option) {
        case OPTION_VERSION:
            if (sized(d, &value, sizeof(uint64_t))) {
                c->version = load_u64(value.p);
            }
            break;
        case OPTION_VERSIONS:
            if (sized(d, &value, c->count * sizeof(uint64_t))) {
                c->versions = value;
            }
            break;
        case OPTION_TAGS:
            c->tags = value;
            break;
        case OPTION_LOCK:
            take_lock(d, c, &value);
            break;
        case OPTION_HOLD:
            c->hold = sized(d, &value, 0);
            break;
        case OPTION_BYPASS:
            c->bypass = sized(d, &value, 0);
            break;
        case OPTION_LOCKED:
            c->locked = sized(d, &value, 0);
            break;
        case OPTION_DEVICE:
            take_device(d, c, &value);
            break;
        case OPTION_ACTOR:
            take_actor(d, c, &value);
            break;
        default:
            wire_fail(&d->r);
    }
}

static void take_more(struct decoder *d, struct command *c)
{
    unsigned last = 0;

    while (wire_ok(&d->r) && d->r.left > 0) {
        unsigned option;
        decode_note(d, "option");
        option = get_u8(&d->r);
        if (option <= last) {
            wire_fail(&d->r);
        } else {
            take_option(d, c, option);
        }
        last = option;
    }
}

static void take_fields(struct decoder *d, struct command *c)
{
    switch (c->type) {
        case COMMAND_BUCKET_CREATE:
            take_bucket(d, &c->bucket);
            c->owner = decode_text(d, "owner", 0, META_KEY_MAX, false);
            decode_time(d, c);
            break;
        case COMMAND_BUCKET_DELETE:
            take_bucket(d, &c->bucket);
            break;
        case COMMAND_USER_PUT:
        case COMMAND_USER_REMOVE:
        case COMMAND_KEY_PUT:
        case COMMAND_KEY_REMOVE:
            decode_user(d, c);
            break;
        case COMMAND_MASTER_KEY_PUT:
        case COMMAND_MASTER_KEY_STATE:
            decode_master_key(d, c);
            break;
        case COMMAND_DEVICE_PUT:
        case COMMAND_DEVICE_ENROLL:
        case COMMAND_DEVICE_KEY:
        case COMMAND_DEVICE_REVOKE:
        case COMMAND_DEVICE_REMOVE:
        case COMMAND_DEVICE_REPORT:
            decode_device(d, c);
            break;
        case COMMAND_ERASE_BEGIN:
        case COMMAND_ERASE_SOME:
        case COMMAND_ERASE_CANCEL:
        case COMMAND_ERASE_CLEAN:
            decode_erase(d, c);
            break;
        case COMMAND_AUDIT_APPEND:
        case COMMAND_AUDIT_CHECKPOINT:
            decode_audit(d, c);
            break;
        case COMMAND_BUCKET_CONFIG:
            take_bucket_config(d, c);
            break;
        case COMMAND_BODY_RECODE:
            take_body_recode(d, c);
            break;
        case COMMAND_OBJECT_PUT:
            take_object_put(d, c);
            break;
        case COMMAND_OBJECT_DELETE:
            take_name(d, c);
            take_condition(d, c);
            decode_time(d, c);
            break;
        case COMMAND_OBJECT_TAGS:
        case COMMAND_OBJECT_RETAIN:
        case COMMAND_OBJECT_HOLD:
            take_name(d, c);
            decode_time(d, c);
            break;
        case COMMAND_OBJECT_ATTRS:
            take_name(d, c);
            c->content = decode_blob(d, "attrs that were read", META_ATTRS_MAX);
            c->attrs = decode_blob(d, "attrs", META_ATTRS_MAX);
            decode_time(d, c);
            break;
        case COMMAND_EXPIRE:
        case COMMAND_OBJECTS_DELETE:
            take_bucket(d, &c->bucket);
            decode_time(d, c);
            decode_items(d, c, META_DELETE_MAX);
            break;
        case COMMAND_OBJECT_COPY:
            take_object_copy(d, c);
            break;
        case COMMAND_UPLOAD_CREATE:
            take_name(d, c);
            take_upload(d, c);
            c->attrs = decode_blob(d, "attrs", META_ATTRS_MAX);
            decode_time(d, c);
            break;
        case COMMAND_PART_PUT:
            take_part_put(d, c);
            break;
        case COMMAND_UPLOAD_COMPLETE:
            take_upload_complete(d, c);
            break;
        case COMMAND_UPLOAD_ABORT:
            take_name(d, c);
            take_upload(d, c);
            decode_time(d, c);
            break;
        case COMMAND_GARBAGE_DONE:
            decode_items(d, c, META_COMMAND_MAX / sizeof(uint64_t));
            break;
        case COMMAND_LAYOUT_SET:
            decode_note(d, "epoch");
            c->epoch = get_u32(&d->r);
            c->content = decode_blob(d, "layout", META_COMMAND_MAX);
            break;
        default:
            decode_cluster(d, c);
    }
}

int command_decode(const void *p, size_t len, struct command *out,
                   struct err *err)
{
    struct decoder d = {.field = "type"};
    struct command c = {0};
    const uint8_t *start = p;
    unsigned version;

    if (len > META_COMMAND_MAX) {
        return err_set(err, ERR_BAD_INPUT, "command: %zu bytes, at most %d",
                       len, META_COMMAND_MAX);
    }
    wire_init(&d.r, p, len);
    c.type = get_u8(&d.r);
    decode_note(&d, "version");
    version = get_u8(&d.r);
    if (version != COMMAND_VERSION && version != COMMAND_VERSION_MORE) {
        wire_fail(&d.r);
    }
    if (wire_ok(&d.r)) {
        d.field = "type";
        take_fields(&d, &c);
    }
    if (version == COMMAND_VERSION_MORE) {
        take_more(&d, &c);
    }
    if (!wire_ok(&d.r)) {
        return err_set(err, ERR_BAD_INPUT, "command %s: bad %s near byte %zu",
                       command_name((int)c.type), d.field,
                       (size_t)(d.r.p - start));
    }
    if (!wire_done(&d.r)) {
        return err_set(err, ERR_BAD_INPUT, "command %s: %zu bytes left over",
                       command_name((int)c.type), d.r.left);
    }
    *out = c;
    return 0;
}

void command_item(const struct command *c, size_t *at, struct command_item *out)
{
    struct decoder d = {0};

    CHECK(*at <= c->items.len);
    wire_init(&d.r, c->items.p + *at, c->items.len - *at);
    take_one_item(&d, c->type, out);
    CHECK(wire_ok(&d.r));
    *at = c->items.len - d.r.left;
}

int command_peek(const void *p, size_t len)
{
    return len > 0 ? *(const uint8_t *)p : 0;
}

const char *command_name(int type)
{
    switch (type) {
#define X(name, value) \
    case value:        \
        return #name;
        COMMAND_TABLE(X)
#undef X
        default:
            return "?";
    }
}

bool command_adds(int type)
{
    switch (type) {
        case COMMAND_BUCKET_CREATE:
        case COMMAND_BUCKET_CONFIG:
        case COMMAND_BODY_RECODE:
        case COMMAND_OBJECT_PUT:
        case COMMAND_OBJECT_TAGS:
        case COMMAND_OBJECT_ATTRS:
        case COMMAND_OBJECT_COPY:
        case COMMAND_UPLOAD_CREATE:
        case COMMAND_PART_PUT:
        case COMMAND_UPLOAD_COMPLETE:
            return true;
        default: /* servers and drives are added when space is short */
            return false;
    }
}

/* ---- batches ---- */

size_t command_batch_size(size_t count, size_t bytes)
{
    /* libraft wants lengths that are a multiple of 8. */
    return (BATCH_HEAD + count * sizeof(uint32_t) + bytes + 7) & ~(size_t)7;
}

uint8_t *command_batch_head(uint8_t *p, size_t count)
{
    CHECK(count > 0 && count <= COMMAND_BATCH_MAX);
    store_u32(p, BATCH_MAGIC);
    store_u32(p + 4, (uint32_t)count);
    return p + BATCH_HEAD;
}

uint8_t *command_batch_put(uint8_t *at, const void *command, size_t len)
{
    store_u32(at, (uint32_t)len);
    memcpy(at + sizeof(uint32_t), command, len);
    return at + sizeof(uint32_t) + len;
}

int command_batch_open(struct command_batch *b, const void *p, size_t len,
                       struct err *err)
{
    const uint8_t *at = p;
    size_t left = len;
    uint32_t count;

    if (len < BATCH_HEAD || load_u32(at) != BATCH_MAGIC) {
        return err_set(err, ERR_CORRUPT, "entry: no batch of commands");
    }
    count = load_u32(at + 4);
    if (count == 0 || count > COMMAND_BATCH_MAX) {
        return err_set(err, ERR_CORRUPT, "entry: %u commands", count);
    }
    at += BATCH_HEAD;
    left -= BATCH_HEAD;
    *b = (struct command_batch){.p = at, .left = left, .count = count};
    for (uint32_t i = 0; i < count; i++) {
        size_t n;
        if (left < sizeof(uint32_t)) {
            return err_set(err, ERR_CORRUPT, "entry: cut at command %u", i);
        }
        n = load_u32(at);
        at += sizeof(uint32_t);
        left -= sizeof(uint32_t);
        if (n > left) {
            return err_set(err, ERR_CORRUPT, "entry: cut in command %u", i);
        }
        at += n;
        left -= n;
    }
    if (left > 7) {
        return err_set(err, ERR_CORRUPT, "entry: %zu bytes left over", left);
    }
    return 0;
}

bool command_batch_next(struct command_batch *b, struct command_bytes *out)
{
    if (b->count == 0) {
        return false;
    }
    out->len = load_u32(b->p);
    out->p = b->p + sizeof(uint32_t);
    b->p = out->p + out->len;
    b->left -= sizeof(uint32_t) + out->len;
    b->count--;
    return true;
}
