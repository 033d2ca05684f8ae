/* test_command.c: commands as bytes.
 *
 * Goal: each command comes back as it was encoded; nothing that was cut short,
 * lengthened or out of bounds is taken for a command; the bytes of version 1
 * never change.
 * Method: one of each command, cut at every length and with every byte changed;
 * golden files of all of them, as one entry each: the first twelve, and those
 * of the registry.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/wire.h"
#include "meta/command.h"

#define GOLDEN "tests/golden/commands-v1.bin"
#define GOLDEN_CLUSTER "tests/golden/commands-cluster-v1.bin"
#define GOLDEN_MORE "tests/golden/commands-more-v1.bin"
#define KINDS 23
#define FIRST_CLUSTER 13

static const uint8_t upload[META_UPLOAD_ID] = "0123456789abcde";
static uint8_t manifest[40];

static const uint8_t cluster[META_CLUSTER_ID] = "cluster";
static const uint8_t token[META_TOKEN_HASH] = "token";
static const uint8_t fingerprint[META_FINGERPRINT] = "fingerprint";
static const struct command_drive drives[] = {{1000, "uuid-of-drive-0"},
                                              {UINT32_MAX, "uuid-of-drive-1"}};
static const struct command_server server = {.name = "Node-1.example_a",
                                             .address = "10.0.0.1:7000",
                                             .endpoint = "http://[::1]:9000",
                                             .zone = "hall-2",
                                             .roles = META_SERVER_ROLES,
                                             .fingerprint = fingerprint,
                                             .format = 3,
                                             .drives = drives,
                                             .drive_count = 2};

static void encode_cluster(int type, struct buf *out)
{
    struct command_server_update update = {
        .address = "host:1", .endpoint = "", .roles = META_SERVER_NODE};

    static const struct command_clock votes[] = {{1, 7}, {5, 1ull << 40}};

    switch (type) {
        case COMMAND_CLOCK_VOTE:
            command_clock_vote(out, votes, 2);
            break;
        case COMMAND_CLUSTER_INIT:
            command_cluster_init(out, cluster, &server, 20);
            break;
        case COMMAND_TOKEN_CREATE:
            command_token_create(out, token, 5, 22, "f\xc3\xbcr die Halle", 21);
            break;
        case COMMAND_TOKEN_REVOKE:
            command_token_revoke(out, token);
            break;
        case COMMAND_SERVER_JOIN:
            command_server_join(out, token, &server, 23);
            break;
        case COMMAND_SERVER_UPDATE:
            command_server_update(out, 7, &update);
            break;
        case COMMAND_SERVER_STATE:
            command_server_state(out, 8, META_SERVER_DRAINING);
            break;
        case COMMAND_SERVER_REMOVE:
            command_server_remove(out, META_SERVER_ID_MAX, true);
            break;
        case COMMAND_DRIVE_ADD:
            command_drive_add(out, 9, &drives[1], 24);
            break;
        case COMMAND_DRIVE_STATE:
            command_drive_state(out, META_DRIVE_ID_MAX, META_DRIVE_REMOVED, 11,
                                false);
            break;
        case COMMAND_DRIVE_WEIGHT:
            command_drive_weight(out, 3, 12);
            break;
        default:
            command_layout_change(out, 5, 1ull << 40, "layout", 6);
    }
}

/* One of each kind, with every field set. */
static void encode(int type, struct buf *out)
{
    struct meta_condition condition = {.if_match = "*", .if_none_match = "abc"};
    struct meta_content in_row = {.size_bytes = 3, .inline_bytes = "abc"};
    struct meta_content in_run = {.size_bytes = 1 << 20,
                                  .manifest = manifest,
                                  .manifest_len = sizeof manifest};
    const char *keys[] = {"a", "b/\xc3\xa4"};
    const char *etags[] = {NULL, "e2"};
    struct command_part parts[] = {{1, "p1"}, {7, "p7"}};
    struct command_expiry expiries[] = {
        {"a", META_VERSION_CURRENT, 1, 2, 3},
        {"b/\xc3\xa4", 5ull << 40, 1ull << 41, 1ull << 42, UINT64_MAX}};
    struct command_erase erase = {
        "bucket", META_ERASE_SUBJECT, "key", 5, "field", "value", "why", "who"};
    struct command_erased erased[] = {
        {"a", META_VERSION_NULL, 1, 2, META_ERASED_BYTES},
        {"b", 5ull << 40, 1ull << 41, 1ull << 42, META_ERASED_KEY}};
    uint64_t ids[] = {5, 1ull << 40};

    for (size_t i = 0; i < sizeof manifest; i++) {
        manifest[i] = (uint8_t)i;
    }
    switch (type) {
        case COMMAND_BUCKET_CREATE:
            command_bucket_create(out, "bucket", "owner", 11);
            break;
        case COMMAND_BUCKET_DELETE:
            command_bucket_delete(out, "bucket");
            break;
        case COMMAND_BUCKET_CONFIG:
            command_bucket_config(out, "bucket", META_CONFIG_TAGGING, "tags",
                                  4);
            break;
        case COMMAND_BODY_RECODE:
            command_body_recode(out, 99, 7, 0x1234, 1 << 24, &in_run, 20);
            break;
        case COMMAND_OBJECT_PUT:
            command_object_put(out, "bucket", "key", &condition, &in_row,
                               "etag", "attrs", 5, 12);
            break;
        case COMMAND_OBJECT_DELETE:
            command_object_delete(out, "bucket", "key", NULL, 13);
            break;
        case COMMAND_EXPIRE:
            command_expire(out, "bucket", expiries, 2, 14);
            break;
        case COMMAND_ERASE_BEGIN:
            command_erase_begin(out, &erase, 21);
            break;
        case COMMAND_ERASE_SOME:
            command_erase_some(out, 1ull << 33, true, false, erased, 2, 22);
            break;
        case COMMAND_ERASE_CANCEL:
            command_erase_cancel(out, 1ull << 34);
            break;
        case COMMAND_ERASE_CLEAN:
            command_erase_clean(out, 70000, 1ull << 35);
            break;
        case COMMAND_OBJECTS_DELETE:
            command_objects_delete(out, "bucket", keys, etags, 2, 14);
            break;
        case COMMAND_OBJECT_COPY:
            command_object_copy(out, "from", "source", 99, "bucket", "key",
                                &condition, "etag", "at", 2, 15);
            break;
        case COMMAND_UPLOAD_CREATE:
            command_upload_create(out, "bucket", "key", upload, "at", 2, 16);
            break;
        case COMMAND_PART_PUT:
            command_part_put(out, upload, 3, &in_run, "etag", "check", 17);
            break;
        case COMMAND_UPLOAD_COMPLETE:
            command_upload_complete(out, "bucket", "key", upload, parts, 2,
                                    5 << 20, &condition, "etag-2", NULL, 0, 18);
            break;
        case COMMAND_UPLOAD_ABORT:
            command_upload_abort(out, "bucket", "key", upload, 19);
            break;
        case COMMAND_GARBAGE_DONE:
            command_garbage_done(out, ids, 2);
            break;
        case COMMAND_LAYOUT_SET:
            command_layout_set(out, 4, "layout", 6);
            break;
        default:
            encode_cluster(type, out);
    }
}

static void assert_bytes(const struct command_bytes *b, const char *want)
{
    assert_int_equal(b->len, strlen(want));
    assert_memory_equal(b->p, want, b->len);
}

static void must_decode(const struct buf *b, struct command *c)
{
    struct err err = {0};

    if (command_decode(b->data, b->len, c, &err) != 0) {
        fail_msg("%s", err.text);
    }
}

static void every_field_comes_back(void **state)
{
    struct buf b = {0};
    struct command c;

    (void)state;
    encode(COMMAND_BUCKET_CREATE, &b);
    must_decode(&b, &c);
    assert_int_equal(c.type, COMMAND_BUCKET_CREATE);
    assert_bytes(&c.bucket, "bucket");
    assert_bytes(&c.owner, "owner");
    assert_int_equal(c.time_ms, 11);

    buf_clear(&b);
    encode(COMMAND_BUCKET_CONFIG, &b);
    must_decode(&b, &c);
    assert_bytes(&c.bucket, "bucket");
    assert_int_equal(c.config, META_CONFIG_TAGGING);
    assert_bytes(&c.content, "tags");

    buf_clear(&b);
    encode(COMMAND_BODY_RECODE, &b);
    must_decode(&b, &c);
    assert_int_equal(c.body, 99);
    assert_int_equal(c.number, 7);
    assert_int_equal(c.run_hi, 0x1234);
    assert_int_equal(c.run_lo, 1 << 24);
    assert_int_equal(c.kind, COMMAND_MANIFEST);
    assert_int_equal(c.content.len, sizeof manifest);
    assert_int_equal(c.time_ms, 20);

    buf_clear(&b);
    encode(COMMAND_OBJECT_PUT, &b);
    must_decode(&b, &c);
    assert_bytes(&c.key, "key");
    assert_bytes(&c.if_match, "*");
    assert_bytes(&c.if_none_match, "abc");
    assert_int_equal(c.kind, COMMAND_INLINE);
    assert_int_equal(c.size_bytes, 3);
    assert_bytes(&c.content, "abc");
    assert_bytes(&c.etag, "etag");
    assert_bytes(&c.attrs, "attrs");

    buf_clear(&b);
    encode(COMMAND_OBJECT_DELETE, &b);
    must_decode(&b, &c);
    assert_null(c.if_match.p);
    assert_null(c.if_none_match.p);

    buf_clear(&b);
    encode(COMMAND_OBJECT_COPY, &b);
    must_decode(&b, &c);
    assert_bytes(&c.src_bucket, "from");
    assert_bytes(&c.src_key, "source");
    assert_int_equal(c.body, 99);

    buf_clear(&b);
    encode(COMMAND_PART_PUT, &b);
    must_decode(&b, &c);
    assert_memory_equal(c.upload, upload, sizeof upload);
    assert_int_equal(c.number, 3);
    assert_int_equal(c.kind, COMMAND_MANIFEST);
    assert_int_equal(c.content.len, sizeof manifest);
    assert_bytes(&c.check, "check");

    buf_clear(&b);
    encode(COMMAND_LAYOUT_SET, &b);
    must_decode(&b, &c);
    assert_int_equal(c.epoch, 4);
    assert_bytes(&c.content, "layout");
    buf_free(&b);
}

static void decode_kind(int type, struct buf *b, struct command *c)
{
    buf_clear(b);
    encode(type, b);
    must_decode(b, c);
    assert_int_equal(c->type, type);
}

static void assert_server(const struct command *c)
{
    struct command_item item;
    size_t at = 0;

    assert_bytes(&c->name, server.name);
    assert_bytes(&c->address, server.address);
    assert_bytes(&c->endpoint, server.endpoint);
    assert_bytes(&c->zone, server.zone);
    assert_int_equal(c->roles, server.roles);
    assert_memory_equal(c->fingerprint, fingerprint, sizeof fingerprint);
    assert_int_equal(c->format, 3);
    assert_int_equal(c->count, 2);
    for (int i = 0; i < 2; i++) {
        command_item(c, &at, &item);
        assert_int_equal(item.weight, drives[i].weight);
        assert_memory_equal(item.uuid, drives[i].uuid, META_DRIVE_UUID);
    }
}

static void every_field_of_a_server_comes_back(void **state)
{
    struct buf b = {0};
    struct command c;

    (void)state;
    decode_kind(COMMAND_CLUSTER_INIT, &b, &c);
    assert_memory_equal(c.cluster, cluster, sizeof cluster);
    assert_int_equal(c.time_ms, 20);
    assert_null(c.token);
    assert_server(&c);
    decode_kind(COMMAND_SERVER_JOIN, &b, &c);
    assert_memory_equal(c.token, token, sizeof token);
    assert_int_equal(c.time_ms, 23);
    assert_server(&c);
    decode_kind(COMMAND_SERVER_UPDATE, &b, &c);
    assert_int_equal(c.server, 7);
    assert_bytes(&c.address, "host:1");
    assert_non_null(c.endpoint.p); /* empty is not "as it is" */
    assert_int_equal(c.endpoint.len, 0);
    assert_null(c.zone.p);
    assert_int_equal(c.roles, META_SERVER_NODE);
    assert_int_equal(c.format, 0);
    decode_kind(COMMAND_SERVER_STATE, &b, &c);
    assert_int_equal(c.server, 8);
    assert_int_equal(c.state, META_SERVER_DRAINING);
    decode_kind(COMMAND_SERVER_REMOVE, &b, &c);
    assert_int_equal(c.server, META_SERVER_ID_MAX);
    assert_true(c.force);
    buf_free(&b);
}

static void every_field_of_tokens_drives_and_layouts_comes_back(void **state)
{
    struct buf b = {0};
    struct command_item item;
    size_t at = 0;
    struct command c;

    (void)state;
    decode_kind(COMMAND_TOKEN_CREATE, &b, &c);
    assert_memory_equal(c.token, token, sizeof token);
    assert_int_equal(c.uses, 5);
    assert_int_equal(c.time_ms, 21);
    assert_int_equal(c.expires_ms, 22);
    assert_bytes(&c.note, "f\xc3\xbcr die Halle");
    decode_kind(COMMAND_TOKEN_REVOKE, &b, &c);
    assert_memory_equal(c.token, token, sizeof token);
    decode_kind(COMMAND_DRIVE_ADD, &b, &c);
    assert_int_equal(c.server, 9);
    assert_int_equal(c.weight, UINT32_MAX);
    assert_memory_equal(c.uuid, drives[1].uuid, META_DRIVE_UUID);
    assert_int_equal(c.time_ms, 24);
    decode_kind(COMMAND_DRIVE_STATE, &b, &c);
    assert_int_equal(c.drive, META_DRIVE_ID_MAX);
    assert_int_equal(c.state, META_DRIVE_REMOVED);
    assert_int_equal(c.epoch, 11);
    assert_false(c.force);
    decode_kind(COMMAND_DRIVE_WEIGHT, &b, &c);
    assert_int_equal(c.drive, 3);
    assert_int_equal(c.weight, 12);
    decode_kind(COMMAND_CLOCK_VOTE, &b, &c);
    assert_int_equal(c.count, 2);
    command_item(&c, &at, &item);
    command_item(&c, &at, &item);
    assert_int_equal(item.number, 5);
    assert_int_equal(item.id, 1ull << 40);

    decode_kind(COMMAND_LAYOUT_CHANGE, &b, &c);
    assert_int_equal(c.epoch, 5);
    assert_int_equal(c.revision, 1ull << 40);
    assert_bytes(&c.content, "layout");
    buf_free(&b);
}

static void items_come_back_in_order(void **state)
{
    struct buf b = {0};
    struct command c;
    struct command_item item;
    size_t at = 0;

    (void)state;
    encode(COMMAND_OBJECTS_DELETE, &b);
    must_decode(&b, &c);
    assert_int_equal(c.count, 2);
    command_item(&c, &at, &item);
    assert_bytes(&item.key, "a");
    assert_null(item.etag.p);
    command_item(&c, &at, &item);
    assert_bytes(&item.key, "b/\xc3\xa4");
    assert_bytes(&item.etag, "e2");

    buf_clear(&b);
    at = 0;
    encode(COMMAND_UPLOAD_COMPLETE, &b);
    must_decode(&b, &c);
    assert_int_equal(c.part_min, 5 << 20);
    command_item(&c, &at, &item);
    command_item(&c, &at, &item);
    assert_int_equal(item.number, 7);
    assert_bytes(&item.etag, "p7");

    buf_clear(&b);
    at = 0;
    encode(COMMAND_GARBAGE_DONE, &b);
    must_decode(&b, &c);
    command_item(&c, &at, &item);
    command_item(&c, &at, &item);
    assert_int_equal(item.id, 1ull << 40);
    buf_free(&b);
}

static void a_command_cut_short_or_lengthened_is_refused(void **state)
{
    (void)state;
    for (int type = 1; type <= KINDS; type++) {
        struct buf b = {0};
        struct command c;
        encode(type, &b);
        for (size_t len = 0; len < b.len; len++) {
            struct err err = {0};
            /* A copy of just that length, for the address sanitizer. */
            uint8_t *p = mem_dup(b.data, len + 1);
            p = mem_realloc(p, len > 0 ? len : 1);
            assert_int_equal(command_decode(p, len, &c, &err), ERR_BAD_INPUT);
            assert_true(strlen(err.text) > 0);
            free(p);
        }
        buf_append(&b, "", 1);
        assert_int_equal(command_decode(b.data, b.len, &c, NULL),
                         ERR_BAD_INPUT);
        buf_free(&b);
    }
}

static void any_changed_byte_is_decoded_or_refused_within_bounds(void **state)
{
    (void)state;
    for (int type = 1; type <= KINDS; type++) {
        struct buf b = {0};
        encode(type, &b);
        for (size_t i = 0; i < b.len; i++) {
            for (unsigned v = 0; v < 256; v += 5) {
                struct command c;
                uint8_t was = b.data[i];
                b.data[i] = (uint8_t)v;
                if (command_decode(b.data, b.len, &c, NULL) == 0) {
                    size_t at = 0;
                    for (uint32_t k = 0; k < c.count; k++) {
                        struct command_item item;
                        command_item(&c, &at, &item);
                    }
                    assert_int_equal(at, c.items.len);
                }
                b.data[i] = was;
            }
        }
        buf_free(&b);
    }
}

/* Encode a put with these and expect to be refused over @field. */
static void refuse_put(const char *bucket, const char *key, size_t attrs_len,
                       const char *etag, const char *field)
{
    struct buf b = {0};
    struct command c;
    struct err err = {0};
    struct meta_content none = {0};
    uint8_t *attrs = mem_alloc(attrs_len + 1);

    command_object_put(&b, bucket, key, NULL, &none, etag, attrs, attrs_len, 1);
    assert_int_equal(command_decode(b.data, b.len, &c, &err), ERR_BAD_INPUT);
    if (strstr(err.text, field) == NULL) {
        fail_msg("%s: %s", field, err.text);
    }
    free(attrs);
    buf_free(&b);
}

static void fields_over_their_bounds_are_refused_by_name(void **state)
{
    char longer[META_KEY_MAX + 2];

    (void)state;
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    refuse_put("", "k", 0, "e", "bucket");
    refuse_put("b", "", 0, "e", "key");
    refuse_put("b", longer, 0, "e", "key");
    refuse_put("b", "k", META_ATTRS_MAX + 1, "e", "attrs");
    refuse_put(longer + META_KEY_MAX - META_BUCKET_MAX, "k", 0, "e", "bucket");
    refuse_put("b", "k", 0, longer, "etag");
    refuse_put("b", "k", 0, NULL, "etag");
}

/* What was encoded into @b is refused over @field. */
static void refuse(struct buf *b, const char *field)
{
    struct command c;
    struct err err = {0};
    char want[64];

    snprintf(want, sizeof want, "bad %s near", field);
    assert_int_equal(command_decode(b->data, b->len, &c, &err), ERR_BAD_INPUT);
    if (strstr(err.text, want) == NULL) {
        fail_msg("%s: %s", field, err.text);
    }
    buf_clear(b);
}

static void refuse_server(struct command_server s, const char *field)
{
    struct buf b = {0};

    command_server_join(&b, token, &s, 1);
    refuse(&b, field);
    buf_free(&b);
}

/* @s but for one field. */
#define BUT(s, member, value, field)  \
    do {                              \
        struct command_server x_ = s; \
        x_.member = value;            \
        refuse_server(x_, field);     \
    } while (0)

static void fields_of_a_server_out_of_bounds_are_refused_by_name(void **state)
{
    char longer[META_ADDRESS_MAX + 2];
    struct command_drive same[] = {{1, "u"}, {1, "v"}, {2, "u"}};
    struct command_drive none[] = {{1, "u"}, {0, "v"}};
    struct command_server one = server;

    (void)state;
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    BUT(server, name, "", "name");
    BUT(server, name, "two words", "name");
    BUT(server, name, "a/b", "name");
    BUT(server, name, longer + sizeof longer - 65, "name");
    BUT(server, address, "", "address");
    BUT(server, address, "a b", "address");
    BUT(server, address, "a\n", "address");
    BUT(server, address, "\xc3\xa4", "address");
    BUT(server, address, longer, "address");
    BUT(server, endpoint, NULL, "endpoint");
    BUT(server, endpoint, longer, "endpoint");
    BUT(server, zone, "", "zone");
    BUT(server, zone, "Hall", "zone");
    BUT(server, zone, "a.b", "zone");
    BUT(server, zone, longer + sizeof longer - 65, "zone");
    BUT(server, roles, 0, "roles");
    BUT(server, roles, META_SERVER_ROLES + 1, "roles");
    BUT(server, roles, META_SERVER_META, "drives"); /* of no node */
    BUT(server, format, 0, "format");
    BUT(server, drives, none, "drive weight");
    one.drive_count = 3;
    BUT(one, drives, same, "drives");
}

static void fields_of_the_registry_out_of_bounds_are_refused_by_name(
    void **state)
{
    struct buf b = {0};
    struct command_server no_meta = server;
    struct command_drive weightless = {0, "u"};
    struct command_server_update bad_zone = {.zone = "Z"};
    struct command_server_update no_address = {.address = ""};
    struct command_server_update roles = {.roles = 8};
    char note[META_NOTE_MAX + 2];

    (void)state;
    memset(note, 'n', sizeof note);
    note[sizeof note - 1] = '\0';
    no_meta.roles = META_SERVER_NODE;
    command_cluster_init(&b, cluster, &no_meta, 1);
    refuse(&b, "roles");
    command_cluster_init(&b, cluster, &server, UINT64_MAX);
    refuse(&b, "time");
    command_token_create(&b, token, 1, 5, "", 5);
    refuse(&b, "expires");
    command_token_create(&b, token, 1, UINT64_MAX, "", 5);
    refuse(&b, "expires");
    command_token_create(&b, token, 0, 6, "", 5);
    refuse(&b, "uses");
    command_token_create(&b, token, META_USES_MAX + 1, 6, "", 5);
    refuse(&b, "uses");
    command_token_create(&b, token, 1, 6, note, 5);
    refuse(&b, "note");
    command_token_create(&b, token, 1, 6, "\xff", 5);
    refuse(&b, "note");
    command_server_update(&b, 0, &roles);
    refuse(&b, "server");
    command_server_update(&b, META_SERVER_ID_MAX + 1, &roles);
    refuse(&b, "server");
    command_server_update(&b, 1, &roles);
    refuse(&b, "roles");
    command_server_update(&b, 1, &bad_zone);
    refuse(&b, "zone");
    command_server_update(&b, 1, &no_address);
    refuse(&b, "address");
    command_server_state(&b, 1, META_SERVER_REMOVED); /* has its own command */
    refuse(&b, "state");
    command_server_remove(&b, 1, false);
    b.data[b.len - 1] = 2;
    refuse(&b, "force");
    command_drive_add(&b, 1, &weightless, 1);
    refuse(&b, "drive weight");
    command_drive_state(&b, 0xffff, META_DRIVE_UP, 1, false);
    refuse(&b, "drive");
    command_drive_state(&b, 1, META_DRIVE_REMOVED + 1, 1, false);
    refuse(&b, "state");
    command_drive_weight(&b, 1, 0);
    refuse(&b, "weight");
    buf_free(&b);
}

static void content_that_contradicts_itself_is_refused(void **state)
{
    struct buf b = {0};
    struct command c;
    struct meta_content short_run = {
        .size_bytes = 1, .manifest = manifest, .manifest_len = 23};

    (void)state;
    command_part_put(&b, upload, 1, &short_run, "e", NULL, 1);
    assert_int_equal(command_decode(b.data, b.len, &c, NULL), ERR_BAD_INPUT);
    buf_clear(&b);
    encode(COMMAND_OBJECT_PUT, &b);
    for (size_t i = 0; i + 9 < b.len; i++) {
        /* The inline size of 3, not equal to the bytes that follow. */
        if (b.data[i] == COMMAND_INLINE && load_u64(b.data + i + 1) == 3) {
            store_u64(b.data + i + 1, 4);
            break;
        }
    }
    assert_int_equal(command_decode(b.data, b.len, &c, NULL), ERR_BAD_INPUT);
    buf_clear(&b);
    command_part_put(&b, upload, 0, &(struct meta_content){0}, "e", NULL, 1);
    assert_int_equal(command_decode(b.data, b.len, &c, NULL), ERR_BAD_INPUT);
    buf_clear(&b);
    command_part_put(&b, upload, META_PARTS_MAX + 1, &(struct meta_content){0},
                     "e", NULL, 1);
    assert_int_equal(command_decode(b.data, b.len, &c, NULL), ERR_BAD_INPUT);
    buf_free(&b);
}

static void only_what_adds_is_refused_when_space_is_short(void **state)
{
    (void)state;
    assert_true(command_adds(COMMAND_OBJECT_PUT));
    assert_true(command_adds(COMMAND_BUCKET_CREATE));
    assert_true(command_adds(COMMAND_OBJECT_COPY));
    assert_true(command_adds(COMMAND_UPLOAD_CREATE));
    assert_true(command_adds(COMMAND_PART_PUT));
    assert_true(command_adds(COMMAND_UPLOAD_COMPLETE));
    assert_false(command_adds(COMMAND_OBJECT_DELETE));
    assert_false(command_adds(COMMAND_OBJECTS_DELETE));
    assert_false(command_adds(COMMAND_UPLOAD_ABORT));
    assert_false(command_adds(COMMAND_GARBAGE_DONE));
    assert_false(command_adds(COMMAND_BUCKET_DELETE));
    assert_false(command_adds(COMMAND_LAYOUT_SET));
    /* How one gets out of it. */
    assert_false(command_adds(COMMAND_SERVER_JOIN));
    assert_false(command_adds(COMMAND_DRIVE_ADD));
    assert_string_equal(command_name(COMMAND_PART_PUT), "PART_PUT");
    assert_string_equal(command_name(0), "?");
    assert_int_equal(command_peek("\x03", 1), COMMAND_OBJECT_PUT);
    assert_int_equal(command_peek(NULL, 0), 0);
}

/* Kinds @from..@to as one entry. */
static uint8_t *batch_of(int from, int to, size_t *len)
{
    struct buf commands[KINDS] = {{0}};
    size_t count = (size_t)(to - from + 1);
    size_t bytes = 0;
    uint8_t *p, *at;

    for (size_t i = 0; i < count; i++) {
        encode(from + (int)i, &commands[i]);
        bytes += commands[i].len;
    }
    *len = command_batch_size(count, bytes);
    p = mem_alloc(*len);
    at = command_batch_head(p, count);
    for (size_t i = 0; i < count; i++) {
        at = command_batch_put(at, commands[i].data, commands[i].len);
        buf_free(&commands[i]);
    }
    assert_true((size_t)(at - p) <= *len);
    return p;
}

static void a_batch_gives_its_commands_in_order(void **state)
{
    size_t len;
    uint8_t *p = batch_of(1, KINDS, &len);
    struct command_batch b;
    struct command_bytes bytes;
    int n = 0;

    (void)state;
    assert_int_equal(len % 8, 0);
    assert_int_equal(command_batch_open(&b, p, len, NULL), 0);
    while (command_batch_next(&b, &bytes)) {
        struct command c;
        n++;
        assert_int_equal(command_decode(bytes.p, bytes.len, &c, NULL), 0);
        assert_int_equal(c.type, n);
    }
    assert_int_equal(n, KINDS);
    free(p);
}

static void a_damaged_batch_is_corrupt(void **state)
{
    size_t len;
    uint8_t *p = batch_of(1, KINDS, &len);
    struct command_batch b;

    (void)state;
    for (size_t n = 0; n + 8 < len; n++) {
        assert_int_equal(command_batch_open(&b, p, n, NULL), ERR_CORRUPT);
    }
    p[0] ^= 1;
    assert_int_equal(command_batch_open(&b, p, len, NULL), ERR_CORRUPT);
    p[0] ^= 1;
    store_u32(p + 4, 0);
    assert_int_equal(command_batch_open(&b, p, len, NULL), ERR_CORRUPT);
    store_u32(p + 4, COMMAND_BATCH_MAX + 1);
    assert_int_equal(command_batch_open(&b, p, len, NULL), ERR_CORRUPT);
    store_u32(p + 4, KINDS - 1); /* something is left over */
    assert_int_equal(command_batch_open(&b, p, len, NULL), ERR_CORRUPT);
    free(p);
}

static void assert_golden(const char *path, int from, int to)
{
    struct buf have = {0};
    size_t len;
    uint8_t *p = batch_of(from, to, &len);

    if (getenv("GOLDEN_WRITE") != NULL) {
        assert_int_equal(fs_write(path, p, len, 0644, NULL), 0);
    }
    assert_int_equal(fs_read(path, 1 << 20, &have, NULL), 0);
    assert_int_equal(have.len, len);
    assert_memory_equal(have.data, p, len);
    buf_free(&have);
    free(p);
}

static void the_golden_files_are_written_and_read_the_same(void **state)
{
    (void)state;
    assert_golden(GOLDEN, 1, FIRST_CLUSTER - 1);
    assert_golden(GOLDEN_CLUSTER, FIRST_CLUSTER, KINDS);
}

static void options_stand_behind_the_fields_of_any_command(void **state)
{
    static const uint64_t versions[] = {META_VERSION_NULL, 77};
    const char *keys[] = {"a", "b"};
    struct command_more more = {.version = 5,
                                .versions = versions,
                                .tags = "",
                                .lock = META_LOCK_COMPLIANCE,
                                .retain_ms = 9,
                                .hold = true,
                                .bypass = true,
                                .locked = true};
    struct buf b = {0};
    struct command c;
    size_t fields;

    (void)state;
    buf_str(&b, "before"); /* a command may be one of several in a buf */
    command_objects_delete(&b, "bucket", keys, NULL, 2, 14);
    fields = b.len - 6;
    command_add_more(&b, 6, &more);
    assert_int_equal(command_decode(b.data + 6, b.len - 6, &c, NULL), 0);
    assert_int_equal(c.version, 5);
    assert_int_equal(c.versions.len, sizeof versions);
    assert_int_equal(load_u64(c.versions.p + 8), 77);
    assert_non_null(c.tags.p);
    assert_int_equal(c.tags.len, 0);
    assert_int_equal(c.lock, META_LOCK_COMPLIANCE);
    assert_int_equal(c.retain_ms, 9);
    assert_true(c.hold && c.bypass && c.locked);
    /* The first option has 1 + 4 + 8 bytes. */
    for (size_t len = fields + 1; len < fields + 13; len++) {
        assert_int_equal(command_decode(b.data + 6, len, &c, NULL),
                         ERR_BAD_INPUT);
    }
    b.data[6 + fields + 13] = 1; /* the same option again */
    assert_int_equal(command_decode(b.data + 6, b.len - 6, &c, NULL),
                     ERR_BAD_INPUT);
    b.data[6 + fields + 13] = 99;
    assert_int_equal(command_decode(b.data + 6, b.len - 6, &c, NULL),
                     ERR_BAD_INPUT);
    buf_free(&b);

    command_object_set(&b, COMMAND_OBJECT_RETAIN, "bucket", "key", &more, 8);
    must_decode(&b, &c);
    assert_int_equal(c.type, COMMAND_OBJECT_RETAIN);
    assert_int_equal(c.time_ms, 8);
    b.data[b.len - 5 - 5 - 5 - 9] = 3; /* the mode */
    assert_int_equal(command_decode(b.data, b.len, &c, NULL), ERR_BAD_INPUT);
    buf_free(&b);
}

/* One of each command that takes options, each option at least once. */
static void encode_more(int i, struct buf *out)
{
    static const uint64_t versions[] = {META_VERSION_NULL, 7 << 20};
    static const enum command_type sets[] = {
        COMMAND_OBJECT_TAGS, COMMAND_OBJECT_RETAIN, COMMAND_OBJECT_HOLD};
    const char *keys[] = {"a", "b"};
    struct command_more more = {.lock = META_LOCK_NONE};

    switch (i) {
        case 0:
            command_bucket_create(out, "bucket", "owner", 1);
            more.locked = true;
            break;
        case 1:
            command_objects_delete(out, "bucket", keys, NULL, 2, 2);
            more.versions = versions;
            more.bypass = true;
            break;
        case 2:
            command_upload_create(out, "bucket", "key", upload, "at", 2, 3);
            more.tags = "a=1&b=2";
            more.tags_len = 7;
            more.lock = META_LOCK_COMPLIANCE;
            more.retain_ms = 1798761600000;
            more.hold = true;
            break;
        case 6:
            command_object_attrs(out, "bucket", "key", 9 << 20, "read", 4,
                                 "attrs", 5, 5);
            return;
        default:
            more.version = 9 << 20;
            command_object_set(out, sets[i - 3], "bucket", "key", &more, 4);
            return;
    }
    command_add_more(out, 0, &more);
}

static void the_golden_file_of_options_is_written_and_read_the_same(
    void **state)
{
    struct buf all = {0}, one = {0}, have = {0};

    (void)state;
    for (int i = 0; i < 7; i++) {
        struct command c;
        buf_clear(&one);
        encode_more(i, &one);
        must_decode(&one, &c);
        put_blob(&all, one.data, one.len);
    }
    if (getenv("GOLDEN_WRITE") != NULL) {
        assert_int_equal(fs_write(GOLDEN_MORE, all.data, all.len, 0644, NULL),
                         0);
    }
    assert_int_equal(fs_read(GOLDEN_MORE, 1 << 20, &have, NULL), 0);
    assert_int_equal(have.len, all.len);
    assert_memory_equal(have.data, all.data, all.len);
    buf_free(&all);
    buf_free(&one);
    buf_free(&have);
}

static void attrs_are_set_of_those_that_were_read(void **state)
{
    struct buf b = {0};
    struct command c;

    (void)state;
    command_object_attrs(&b, "bucket", "key", 7, "old", 3, "new attrs", 9, 15);
    must_decode(&b, &c);
    assert_int_equal(c.type, COMMAND_OBJECT_ATTRS);
    assert_bytes(&c.bucket, "bucket");
    assert_bytes(&c.key, "key");
    assert_int_equal(c.version, 7);
    assert_bytes(&c.content, "old");
    assert_bytes(&c.attrs, "new attrs");
    assert_int_equal(c.time_ms, 15);
    assert_true(command_adds(c.type));
    buf_free(&b);
    command_object_attrs(&b, "bucket", "key", META_VERSION_CURRENT, "", 0, "",
                         0, 15);
    must_decode(&b, &c);
    assert_int_equal(c.version, META_VERSION_CURRENT);
    assert_int_equal(c.content.len, 0);
    buf_free(&b);
}

static void an_expiry_says_what_was_seen(void **state)
{
    struct command_item item;
    struct buf b = {0};
    struct command c;
    size_t at = 0;

    (void)state;
    encode(COMMAND_EXPIRE, &b);
    must_decode(&b, &c);
    assert_bytes(&c.bucket, "bucket");
    assert_int_equal(c.time_ms, 14);
    assert_int_equal(c.count, 2);
    command_item(&c, &at, &item);
    assert_bytes(&item.key, "a");
    command_item(&c, &at, &item);
    assert_bytes(&item.key, "b/\xc3\xa4");
    assert_int_equal(item.version, 5ull << 40);
    assert_int_equal(item.modified_ms, 1ull << 41);
    assert_int_equal(item.size_bytes, 1ull << 42);
    assert_true(item.due_ms == UINT64_MAX);
    buf_free(&b);
}

static void an_erasure_says_what_where_and_why(void **state)
{
    struct command_item item;
    struct buf b = {0};
    struct command c;
    size_t at = 0;

    (void)state;
    encode(COMMAND_ERASE_BEGIN, &b);
    must_decode(&b, &c);
    assert_bytes(&c.bucket, "bucket");
    assert_int_equal(c.state, META_ERASE_SUBJECT);
    assert_bytes(&c.key, "key");
    assert_int_equal(c.version, 5);
    assert_bytes(&c.field, "field");
    assert_bytes(&c.value, "value");
    assert_bytes(&c.reason, "why");
    assert_bytes(&c.by, "who");
    assert_int_equal(c.time_ms, 21);
    buf_clear(&b);
    encode(COMMAND_ERASE_SOME, &b);
    must_decode(&b, &c);
    assert_int_equal(c.request, 1ull << 33);
    assert_true(c.begin && !c.end);
    assert_int_equal(c.time_ms, 22);
    command_item(&c, &at, &item);
    command_item(&c, &at, &item);
    assert_bytes(&item.key, "b");
    assert_int_equal(item.version, 5ull << 40);
    assert_int_equal(item.modified_ms, 1ull << 41);
    assert_int_equal(item.size_bytes, 1ull << 42);
    assert_int_equal(item.how, META_ERASED_KEY);
    buf_clear(&b);
    encode(COMMAND_ERASE_CLEAN, &b);
    must_decode(&b, &c);
    assert_int_equal(c.server, 70000);
    assert_int_equal(c.request, 1ull << 35);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attrs_are_set_of_those_that_were_read),
        cmocka_unit_test(an_expiry_says_what_was_seen),
        cmocka_unit_test(an_erasure_says_what_where_and_why),
        cmocka_unit_test(every_field_comes_back),
        cmocka_unit_test(every_field_of_a_server_comes_back),
        cmocka_unit_test(every_field_of_tokens_drives_and_layouts_comes_back),
        cmocka_unit_test(items_come_back_in_order),
        cmocka_unit_test(a_command_cut_short_or_lengthened_is_refused),
        cmocka_unit_test(any_changed_byte_is_decoded_or_refused_within_bounds),
        cmocka_unit_test(fields_over_their_bounds_are_refused_by_name),
        cmocka_unit_test(fields_of_a_server_out_of_bounds_are_refused_by_name),
        cmocka_unit_test(
            fields_of_the_registry_out_of_bounds_are_refused_by_name),
        cmocka_unit_test(content_that_contradicts_itself_is_refused),
        cmocka_unit_test(only_what_adds_is_refused_when_space_is_short),
        cmocka_unit_test(a_batch_gives_its_commands_in_order),
        cmocka_unit_test(a_damaged_batch_is_corrupt),
        cmocka_unit_test(the_golden_files_are_written_and_read_the_same),
        cmocka_unit_test(options_stand_behind_the_fields_of_any_command),
        cmocka_unit_test(
            the_golden_file_of_options_is_written_and_read_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
