/* random_command.h: commands drawn from a seed, for tests of the catalogue.
 *
 * Few names, so that commands meet: puts replace, copies share, uploads are
 * completed and aborted, conditions hold and fail, manifests are named twice,
 * servers join again, tokens run out, drives drain and go.
 * Draws stand in statements of their own: the order in which arguments are
 * evaluated is the compiler's, and a seed is to mean one history.
 * In a header, because only tests that link meta/ may have it.
 *
 * Threads: any; a struct belongs to its caller.
 */
#ifndef GODWIT_TESTS_RANDOM_COMMAND_H
#define GODWIT_TESTS_RANDOM_COMMAND_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/wire.h"
#include "meta/command.h"

#define RANDOM_MANIFEST_SIZE 40

#define RANDOM_RECENT 8

/* A put, by the names and the body id that it gets when it is applied. */
struct random_put {
    const char *bucket;
    char key[32];
    uint64_t body;
    uint64_t run; /* the last that was named then: often its own */
};

struct random_command {
    uint64_t index;    /* of the entry that the next command goes into */
    uint64_t position; /* ... and its place there; both for copies */
    struct random_put recent[RANDOM_RECENT];
    uint64_t puts;
    uint64_t state;
    uint64_t time_ms;
    uint64_t run; /* the last one named */
    uint32_t epoch;
};

static inline uint64_t random_draw(struct random_command *r, uint64_t below)
{
    r->state ^= r->state << 13;
    r->state ^= r->state >> 7;
    r->state ^= r->state << 17;
    return (r->state * 0x2545f4914f6cdd1dull >> 11) % below;
}

static inline void random_command_init(struct random_command *r, uint64_t seed)
{
    *r = (struct random_command){
        .state = seed * 2654435761u + 88172645463325ull, .time_ms = 1000};
    for (int i = 0; i < 16; i++) {
        random_draw(r, 2);
    }
}

static inline void random_manifest(uint64_t run, uint8_t *out)
{
    memset(out, 0, RANDOM_MANIFEST_SIZE);
    out[0] = 1;
    out[1] = 4;
    out[2] = 2;
    store_u64(out + 8, 0xfedc000000000000ull + run);
    store_u64(out + 16, (run * 77 + 1) << 24);
    store_u64(out + 24, run);
}

/* Content of some kind; now and then a run that was named before. */
static inline void random_content(struct random_command *r,
                                  struct meta_content *c, uint8_t *bytes)
{
    *c = (struct meta_content){0};
    switch (random_draw(r, 4)) {
        case 0:
            break;
        case 1:
            c->size_bytes = 1 + random_draw(r, 100);
            memset(bytes, (int)random_draw(r, 256), 128);
            c->inline_bytes = bytes;
            break;
        default:
            if (random_draw(r, 10) > 0 || r->run == 0) {
                r->run++;
            }
            random_manifest(r->run, bytes);
            c->size_bytes = 1 + random_draw(r, 1 << 24);
            c->manifest = bytes;
            c->manifest_len = RANDOM_MANIFEST_SIZE;
    }
}

static inline const char *random_key(struct random_command *r, char *out)
{
    static const char *const forms[] = {"k%u", "a/%u", "a/b/%u", "\xc3\xa4/%u"};

    const char *form = forms[random_draw(r, 4)];

    snprintf(out, 32, form, (unsigned)random_draw(r, 8));
    return out;
}

static inline const char *random_etag(struct random_command *r, char *out)
{
    snprintf(out, 8, "e%u", (unsigned)(random_draw(r, 9) / 6));
    return out;
}

static const char *const random_buckets[] = {"one", "two", "three"};

/* Versions kept or not, in buckets of one kind each: "one" never keeps
 * any, Object Lock is of "three" alone. */
static inline void random_config(struct random_command *r, struct buf *out)
{
    uint8_t lock[META_LOCK_CONFIG] = {(uint8_t)random_draw(r, 3),
                                      META_LOCK_DAYS};
    uint8_t state = META_VERSIONING_ENABLED;
    const char *bucket = random_draw(r, 3) == 0 ? "three" : "two";

    if (random_draw(r, 3) == 0 && strcmp(bucket, "three") == 0) {
        lock[4] = lock[0] != META_LOCK_NONE;
        lock[1] = lock[4];
        command_bucket_config(out, bucket, META_CONFIG_OBJECT_LOCK, lock,
                              random_draw(r, 9) == 0 ? 0 : sizeof lock);
        return;
    }
    if (random_draw(r, 3) == 0) {
        state = META_VERSIONING_SUSPENDED;
    }
    command_bucket_config(out, bucket, META_CONFIG_VERSIONING, &state,
                          random_draw(r, 9) == 0 ? 0 : 1);
}

/* What a command may say beside its fields; often of a version that was made.
 */
static inline void random_more(struct random_command *r,
                               struct command_more *more, const char **bucket,
                               char *key)
{
    const struct random_put *from = &r->recent[random_draw(r, RANDOM_RECENT)];

    *more = (struct command_more){.tags = NULL};
    if (random_draw(r, 3) == 0) {
        more->version = META_VERSION_NULL;
    } else if (from->bucket != NULL) {
        more->version = from->body * 1024;
        *bucket = from->bucket;
        snprintf(key, 32, "%s", from->key);
    }
    if (random_draw(r, 2) == 0) {
        more->tags = "tags";
        more->tags_len = random_draw(r, 5);
    }
    if (random_draw(r, 3) == 0) {
        more->lock = 1 + (enum meta_lock_mode)random_draw(r, 2);
        more->retain_ms = r->time_ms - 20 + random_draw(r, 120);
    }
    more->hold = random_draw(r, 5) == 0;
    more->bypass = random_draw(r, 3) == 0;
}

/* Of a version: delete it, or say something of it. */
static inline void random_version(struct random_command *r, const char *bucket,
                                  char *key, struct buf *out)
{
    static const enum command_type types[] = {
        COMMAND_OBJECT_TAGS, COMMAND_OBJECT_RETAIN, COMMAND_OBJECT_HOLD};
    enum command_type type;
    struct command_more more;
    uint64_t versions[3];
    const char *keys[3] = {key, key, key};
    size_t start = out->len;

    random_more(r, &more, &bucket, key);
    switch (random_draw(r, 4)) {
        case 0:
            type = types[random_draw(r, 3)];
            if (r->time_ms % 4 == 0) {
                command_object_attrs(out, bucket, key, more.version, "attrs", 5,
                                     "other", 5 * (r->time_ms / 4 % 2),
                                     r->time_ms);
                break;
            }
            command_object_set(out, type, bucket, key, &more, r->time_ms);
            break;
        case 1:
            versions[0] = more.version;
            versions[1] = META_VERSION_CURRENT;
            versions[2] = META_VERSION_NULL;
            more.versions = versions;
            more.version = 0;
            command_objects_delete(out, bucket, keys, NULL, 3, r->time_ms);
            command_add_more(out, start, &more);
            break;
        default:
            command_object_delete(out, bucket, key, NULL, r->time_ms);
            command_add_more(out, start, &more);
    }
}

/* An upload, and mostly the bucket and key that it is always made for. */
static inline void random_upload(struct random_command *r, uint8_t *out,
                                 const char **bucket, char *key)
{
    memset(out, 'u', META_UPLOAD_ID);
    out[0] = (uint8_t)random_draw(r, 6);
    if (random_draw(r, 10) > 0) {
        *bucket = random_buckets[out[0] % 3];
        snprintf(key, 32, "k%u", out[0]);
    }
}

static inline void random_objects_delete(struct random_command *r,
                                         const char *bucket, struct buf *out)
{
    char names[5][32], etags[5][8];
    const char *keys[5], *wants[5];

    for (int i = 0; i < 5; i++) {
        keys[i] = random_key(r, names[i]);
        wants[i] = random_draw(r, 3) == 0 ? random_etag(r, etags[i]) : NULL;
    }
    command_objects_delete(out, bucket, keys, wants, 5, r->time_ms);
}

static inline void random_complete(struct random_command *r, const char *bucket,
                                   char *key, const struct meta_condition *c,
                                   struct buf *out)
{
    struct command_part parts[4];
    uint8_t upload[META_UPLOAD_ID];
    char etags[4][8];
    size_t count = 0;

    random_upload(r, upload, &bucket, key);
    for (uint32_t n = 1; n < 5; n++) {
        if (random_draw(r, 2) == 0) {
            parts[count].number = n;
            parts[count].etag = random_etag(r, etags[count]);
            count++;
        }
    }
    command_upload_complete(out, bucket, key, upload, parts, count,
                            random_draw(r, 2) * 50, c, "multi", "m", 1,
                            r->time_ms);
}

/* A server of a few, with drives of its own or of another. */
static inline void random_server(struct random_command *r, bool first,
                                 struct buf *out)
{
    static const char *const zones[] = {"a", "b", "c"};
    struct command_drive drives[3] = {{0}};
    uint8_t id[META_TOKEN_HASH] = {0};
    unsigned n = (unsigned)random_draw(r, 8);
    uint8_t key[META_FINGERPRINT] = {(uint8_t)n};
    char name[16], address[16];
    struct command_server s = {.name = name,
                               .address = address,
                               .endpoint = "",
                               .roles = META_SERVER_NODE,
                               .fingerprint = key,
                               .format = 1,
                               .drives = drives};

    s.zone = zones[random_draw(r, 3)];
    s.drive_count = random_draw(r, 4);
    if (first || random_draw(r, 2) == 0) {
        s.roles = META_SERVER_ROLES;
    } else if (s.drive_count == 0) {
        s.roles = META_SERVER_GATEWAY;
    }
    snprintf(name, sizeof name, "s%u", n + (random_draw(r, 9) == 0));
    snprintf(address, sizeof address, "h:%u", n);
    for (unsigned i = 0; i < 3; i++) {
        drives[i].weight = 1 + (uint32_t)random_draw(r, 9);
        drives[i].uuid[0] = (uint8_t)(n + (random_draw(r, 9) == 0));
        drives[i].uuid[1] = (uint8_t)i;
    }
    if (first) {
        command_cluster_init(out, id, &s, r->time_ms);
    } else {
        id[0] = (uint8_t)random_draw(r, 4);
        command_server_join(out, id, &s, r->time_ms);
    }
}

/* A command for a drive that there may be. */
static inline void random_drive(struct random_command *r, struct buf *out)
{
    struct command_drive d = {.weight = 1 + (uint32_t)random_draw(r, 9)};
    uint16_t drive = (uint16_t)random_draw(r, 24);
    enum meta_drive_state state = (enum meta_drive_state)random_draw(r, 3);

    switch (random_draw(r, 4)) {
        case 0:
            d.uuid[0] = 9;
            d.uuid[1] = (uint8_t)random_draw(r, 40);
            command_drive_add(out, 1 + (uint32_t)random_draw(r, 9), &d,
                              r->time_ms);
            break;
        case 1:
            command_drive_weight(out, drive, d.weight);
            break;
        default:
            command_drive_state(out, drive, state, r->epoch,
                                random_draw(r, 4) == 0);
    }
}

/* Another run in the place of one; often of a body that has it no more. */
static inline void random_recode(struct random_command *r, struct buf *out)
{
    struct random_put *from = &r->recent[random_draw(r, RANDOM_RECENT)];
    uint8_t old[RANDOM_MANIFEST_SIZE], bytes[RANDOM_MANIFEST_SIZE];
    struct meta_content content = {
        .size_bytes = 1000, .manifest = bytes, .manifest_len = sizeof bytes};
    uint32_t part = random_draw(r, 4) == 0 ? 1 : 0;

    random_manifest(from->run, old);
    random_manifest(++r->run, bytes);
    command_body_recode(out, from->body, part, load_u64(old + 8),
                        load_u64(old + 16) & ~(uint64_t)0xffffff, &content,
                        r->time_ms);
    from->run = r->run;
}

/* A command of the registry. */
static inline void random_registry(struct random_command *r, struct buf *out)
{
    uint8_t hash[META_TOKEN_HASH] = {(uint8_t)random_draw(r, 4)};
    struct command_server_update u = {.format = 2};
    uint32_t server = 1 + (uint32_t)random_draw(r, 9);
    uint32_t uses = 1 + (uint32_t)random_draw(r, 3);

    switch (random_draw(r, 14)) {
        case 0:
            random_server(r, true, out);
            break;
        case 1:
        case 2:
            command_token_create(out, hash, uses,
                                 r->time_ms + 1 + random_draw(r, 200), "t",
                                 r->time_ms);
            break;
        case 3:
            command_token_revoke(out, hash);
            break;
        case 4:
        case 5:
        case 6:
            random_server(r, false, out);
            break;
        case 7:
            u.address = random_draw(r, 2) == 0 ? "h:1" : NULL;
            u.zone = random_draw(r, 2) == 0 ? "d" : NULL;
            u.roles = (uint32_t)random_draw(r, META_SERVER_ROLES + 1);
            command_server_update(out, server, &u);
            break;
        case 8:
            command_server_state(out, server,
                                 (enum meta_server_state)random_draw(r, 2));
            break;
        case 9:
            command_server_remove(out, server, random_draw(r, 2) == 0);
            break;
        case 10:
            r->epoch += random_draw(r, 2) == 0;
            command_layout_change(out, r->epoch, random_draw(r, 12), "l", 1);
            break;
        default:
            random_drive(r, out);
    }
}

/* The put that was begun at @start, with more. */
static inline void random_tagged(struct random_command *r, size_t start,
                                 struct buf *out)
{
    struct command_more more;
    const char *bucket;
    char key[32];

    random_more(r, &more, &bucket, key);
    more.version = 0;
    command_add_more(out, start, &more);
}

/* Append the next command. */
static inline void random_command_next(struct random_command *r,
                                       struct buf *out)
{
    const char *bucket = random_buckets[random_draw(r, 3)];
    char key[32], etag[8], if_match[8], if_none[8];
    struct meta_condition condition = {0};
    struct meta_content content;
    uint8_t bytes[128], upload[META_UPLOAD_ID];
    const struct random_put *from;
    struct random_put *to;
    uint64_t ids[4];
    uint32_t number;
    size_t start = out->len;

    r->time_ms += random_draw(r, 3);
    random_key(r, key);
    random_etag(r, etag);
    if (random_draw(r, 5) == 0) {
        condition.if_match =
            random_draw(r, 2) == 0 ? "*" : random_etag(r, if_match);
    }
    if (random_draw(r, 5) == 0) {
        condition.if_none_match =
            random_draw(r, 2) == 0 ? "*" : random_etag(r, if_none);
    }
    switch (random_draw(r, 36)) {
        case 0:
            command_bucket_create(out, bucket, "owner", r->time_ms);
            break;
        case 1:
            command_bucket_delete(out, bucket);
            break;
        case 2:
        case 3:
        case 4:
            command_object_delete(out, bucket, key, &condition, r->time_ms);
            break;
        case 5:
            random_objects_delete(r, bucket, out);
            break;
        case 6:
        case 7:
            from = &r->recent[random_draw(r, RANDOM_RECENT)];
            if (from->bucket == NULL) {
                break;
            }
            command_object_copy(out, from->bucket, from->key, from->body,
                                bucket, key, &condition, etag, "c", 1,
                                r->time_ms);
            break;
        case 8:
        case 9:
            random_upload(r, upload, &bucket, key);
            command_upload_create(out, bucket, key, upload, "u", 1, r->time_ms);
            break;
        case 10:
        case 11:
        case 12:
        case 13:
            random_upload(r, upload, &bucket, key);
            random_content(r, &content, bytes);
            number = 1 + (uint32_t)random_draw(r, 4);
            command_part_put(out, upload, number, &content, etag,
                             random_draw(r, 2) == 0 ? "crc" : NULL, r->time_ms);
            break;
        case 14:
        case 15:
            random_complete(r, bucket, key, &condition, out);
            break;
        case 16:
            random_upload(r, upload, &bucket, key);
            command_upload_abort(out, bucket, key, upload, r->time_ms);
            break;
        case 17:
            for (int i = 0; i < 4; i++) {
                ids[i] = random_draw(r, 60);
            }
            command_garbage_done(out, ids, 4);
            break;
        case 18:
            r->epoch += random_draw(r, 2) == 0;
            command_layout_set(out, r->epoch, "layout", 6);
            break;
        case 19:
        case 20:
        case 21:
        case 22:
        case 23:
            random_registry(r, out);
            break;
        case 24:
            random_config(r, out);
            break;
        case 25:
        case 26:
        case 27:
            random_version(r, bucket, key, out);
            break;
        case 28:
            random_recode(r, out);
            break;
        default:
            random_content(r, &content, bytes);
            command_object_put(out, bucket, key, &condition, &content, etag,
                               "attrs", 5, r->time_ms);
            if (random_draw(r, 4) == 0) {
                random_tagged(r, start, out);
            }
            to = &r->recent[r->puts++ % RANDOM_RECENT];
            to->bucket = bucket;
            snprintf(to->key, sizeof to->key, "%s", key);
            to->body = r->index * 1024 + r->position;
            to->run = r->run;
    }
    if (out->len == start) {
        command_bucket_create(out, bucket, "owner", r->time_ms);
    }
}

/* Give an entry of @count of them (free()). */
static inline uint8_t *random_entry(struct random_command *r, size_t count,
                                    size_t *len)
{
    struct buf all = {0};
    size_t *ends = mem_calloc(count, sizeof *ends);
    uint8_t *p, *at;

    for (size_t i = 0; i < count; i++) {
        r->position = i;
        random_command_next(r, &all);
        ends[i] = all.len;
    }
    r->index++;
    *len = command_batch_size(count, all.len);
    p = mem_alloc(*len);
    at = command_batch_head(p, count);
    for (size_t i = 0; i < count; i++) {
        size_t from = i > 0 ? ends[i - 1] : 0;
        at = command_batch_put(at, all.data + from, ends[i] - from);
    }
    free(ends);
    buf_free(&all);
    return p;
}

#endif
