#include "meta/audit_entry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/wire.h"
#include "crypto/digest.h"

#define FORMAT 1
#define SIGNED_LABEL "godwit audit checkpoint 1"
#define HEAD_TYPE "godwit audit log 1"

_Static_assert(sizeof SIGNED_LABEL == 26, "AUDIT_SIGNED counts it");

static const char *const level_names[AUDIT_LEVELS] = {"none", "denied",
                                                      "writes", "all"};

static const struct {
    const char *json;
    size_t max;
} texts[AUDIT_TEXT_COUNT] = {
#define X(name, json, max) {json, max},
    AUDIT_TEXTS(X)
#undef X
};

const char *audit_level_name(enum audit_level l)
{
    return l < AUDIT_LEVELS ? level_names[l] : "?";
}

bool audit_level_parse(const char *name, enum audit_level *out)
{
    for (int i = 0; i < AUDIT_LEVELS; i++) {
        if (strcmp(level_names[i], name) == 0) {
            *out = (enum audit_level)i;
            return true;
        }
    }
    return false;
}

/* NULL: no such kind or rule. */
static const char *kind_name(unsigned kind)
{
    switch (kind) {
#define X(name, value, text) \
    case value:              \
        return text;
        AUDIT_KIND_TABLE(X)
#undef X
        default:
            return NULL;
    }
}

static const char *rule_name(unsigned rule)
{
    switch (rule) {
#define X(name, value, text) \
    case value:              \
        return text;
        AUDIT_RULE_TABLE(X)
#undef X
        default:
            return NULL;
    }
}

/* ---- bytes ---- */

void audit_set_bytes(struct audit_entry *e, enum audit_text which,
                     const void *p, size_t len)
{
    struct audit_bytes *t = &e->text[which];

    if (len > 0 && (!text_utf8(p, len) || memchr(p, 0, len) != NULL)) {
        *t = (struct audit_bytes){"?", 1};
        return;
    }
    *t = (struct audit_bytes){p, len};
    if (len > texts[which].max) {
        t->len = texts[which].max;
        while (!text_utf8(p, t->len)) { /* in the middle of a character */
            t->len--;
        }
    }
}

void audit_set_text(struct audit_entry *e, enum audit_text which, const char *s)
{
    audit_set_bytes(e, which, s != NULL ? s : "", s != NULL ? strlen(s) : 0);
}

void audit_draft_put(struct buf *out, const struct audit_entry *e)
{
    put_u8(out, FORMAT);
    put_u8(out, (uint8_t)e->kind);
    put_u8(out, e->denied);
    put_u8(out, (uint8_t)e->rule);
    put_u16(out, e->status);
    put_u32(out, e->server);
    put_u64(out, e->time_ms);
    put_u64(out, e->version);
    put_u64(out, e->device);
    put_u64(out, e->count);
    for (int i = 0; i < AUDIT_TEXT_COUNT; i++) {
        put_u16(out, (uint16_t)e->text[i].len);
        put_bytes(out, e->text[i].p, e->text[i].len);
    }
}

static void take_text(struct wire_reader *r, struct audit_bytes *out,
                      size_t max)
{
    size_t len = get_u16(r);

    if (len > max) {
        wire_fail(r);
        return;
    }
    out->p = (const char *)get_bytes(r, len);
    out->len = len;
    if (wire_ok(r) && len > 0 &&
        (!text_utf8(out->p, len) || memchr(out->p, 0, len) != NULL)) {
        wire_fail(r);
    }
}

int audit_draft_read(const void *p, size_t len, struct audit_entry *out,
                     struct err *err)
{
    struct audit_entry e = {0};
    struct wire_reader r;
    unsigned format, kind, denied, rule;

    wire_init(&r, p, len);
    format = get_u8(&r);
    kind = get_u8(&r);
    denied = get_u8(&r);
    rule = get_u8(&r);
    e.status = get_u16(&r);
    e.server = get_u32(&r);
    e.time_ms = get_u64(&r);
    e.version = get_u64(&r);
    e.device = get_u64(&r);
    e.count = get_u64(&r);
    for (int i = 0; i < AUDIT_TEXT_COUNT && wire_ok(&r); i++) {
        take_text(&r, &e.text[i], texts[i].max);
    }
    if (format != FORMAT || kind_name(kind) == NULL || denied > 1 ||
        rule_name(rule) == NULL || !wire_done(&r)) {
        return err_set(err, ERR_CORRUPT, "audit entry: bad near byte %zu",
                       len - r.left);
    }
    e.kind = (enum audit_kind)kind;
    e.denied = denied != 0;
    e.rule = (enum audit_rule)rule;
    *out = e;
    return 0;
}

int audit_entry_read(const void *p, size_t len, struct audit_entry *out,
                     struct err *err)
{
    const uint8_t *bytes = p;
    int rc;

    if (len < AUDIT_HEAD) {
        return err_set(err, ERR_CORRUPT, "audit entry: %zu bytes", len);
    }
    rc = audit_draft_read(bytes + AUDIT_HEAD, len - AUDIT_HEAD, out, err);
    if (rc == 0) {
        out->number = load_u64(bytes);
        out->clock_ms = load_u64(bytes + 8);
    }
    return rc;
}

void audit_chain(uint8_t hash[AUDIT_HASH], const void *p, size_t len)
{
    struct digest d;

    digest_init(&d, DIGEST_SHA256);
    digest_update(&d, hash, AUDIT_HASH);
    digest_update(&d, p, len);
    digest_final(&d, hash);
}

void audit_hash_key(const char *bucket, size_t bucket_len, const char *key,
                    size_t key_len, char out[72])
{
    uint8_t sum[DIGEST_MAX];
    struct digest d;

    digest_init(&d, DIGEST_SHA256);
    digest_update(&d, bucket, bucket_len);
    digest_update(&d, "/", 1);
    digest_update(&d, key, key_len);
    digest_final(&d, sum);
    memcpy(out, "sha256:", 7);
    text_hex(sum, AUDIT_HASH, out + 7);
}

/* ---- writing lines ---- */

static void put_hex(struct buf *out, const char *name, const void *p,
                    size_t len, bool last)
{
    char hex[2 * AUDIT_SIGNATURE + 1];

    CHECK(len <= AUDIT_SIGNATURE);
    put_json_member(out, name, text_hex(p, len, hex), last);
}

void audit_checkpoint_text(const struct audit_checkpoint *c,
                           const uint8_t cluster[16], uint8_t out[AUDIT_SIGNED])
{
    uint8_t *p = out;

    memcpy(p, SIGNED_LABEL, sizeof SIGNED_LABEL);
    p += sizeof SIGNED_LABEL;
    memcpy(p, cluster, 16);
    store_u64(p + 16, c->number);
    store_u64(p + 24, c->clock_ms);
    store_u32(p + 32, c->server);
    memcpy(p + 36, c->hash, AUDIT_HASH);
    CHECK(p + 36 + AUDIT_HASH == out + AUDIT_SIGNED);
}

void audit_line_head(struct buf *out, const uint8_t cluster[16])
{
    buf_char(out, '{');
    put_json_member(out, "type", HEAD_TYPE, false);
    put_hex(out, "cluster", cluster, 16, true);
    buf_str(out, "}\n");
}

void audit_line_entry(struct buf *out, const struct audit_entry *e,
                      const uint8_t hash[AUDIT_HASH])
{
    buf_char(out, '{');
    put_json_member(out, "type", "entry", false);
    put_json_u64(out, "number", e->number, false);
    put_json_u64(out, "clock_ms", e->clock_ms, false);
    put_json_member(out, "kind", kind_name(e->kind), false);
    put_json_bool(out, "denied", e->denied, false);
    put_json_member(out, "rule", rule_name(e->rule), false);
    put_json_u64(out, "status", e->status, false);
    put_json_u64(out, "server", e->server, false);
    put_json_u64(out, "time_ms", e->time_ms, false);
    put_json_u64(out, "version", e->version, false);
    put_json_u64(out, "device", e->device, false);
    put_json_u64(out, "count", e->count, false);
    for (int i = 0; i < AUDIT_TEXT_COUNT; i++) {
        char text[1025]; /* of the longest, and its end */
        CHECK(e->text[i].len < sizeof text);
        if (e->text[i].len > 0) {
            memcpy(text, e->text[i].p, e->text[i].len);
        }
        text[e->text[i].len] = '\0';
        put_json_member(out, texts[i].json, text, false);
    }
    put_hex(out, "hash", hash, AUDIT_HASH, true);
    buf_str(out, "}\n");
}

void audit_line_checkpoint(struct buf *out, const struct audit_checkpoint *c)
{
    buf_char(out, '{');
    put_json_member(out, "type", "checkpoint", false);
    put_json_u64(out, "number", c->number, false);
    put_json_u64(out, "clock_ms", c->clock_ms, false);
    put_json_u64(out, "server", c->server, false);
    put_hex(out, "hash", c->hash, AUDIT_HASH, false);
    put_hex(out, "key", c->key, AUDIT_KEY, false);
    put_hex(out, "signature", c->signature, AUDIT_SIGNATURE, true);
    buf_str(out, "}\n");
}

/* ---- reading lines ---- */

static bool take_hex(const char *json, const char *name, void *out, size_t len)
{
    char *text = json_text(json, name);
    bool good = text_unhex(text, strlen(text), out, len);

    free(text);
    return good;
}

/* The value whose name is @text; 0xff for none. */
static unsigned value_of(const char *(*name)(unsigned), const char *text)
{
    for (unsigned i = 0; i < 64; i++) {
        if (name(i) != NULL && strcmp(name(i), text) == 0) {
            return i;
        }
    }
    return 0xff;
}

static unsigned take_name(const char *json, const char *member,
                          const char *(*name)(unsigned))
{
    char *text = json_text(json, member);
    unsigned value = value_of(name, text);

    free(text);
    return value;
}

static int take_entry(const char *json, struct audit_line *out, struct err *err)
{
    struct buf *b = out->bytes;

    buf_clear(b);
    put_u64(b, json_u64(json, "number"));
    put_u64(b, json_u64(json, "clock_ms"));
    put_u8(b, FORMAT);
    put_u8(b, (uint8_t)take_name(json, "kind", kind_name));
    put_u8(b, json_true(json, "denied"));
    put_u8(b, (uint8_t)take_name(json, "rule", rule_name));
    put_u16(b, (uint16_t)json_u64(json, "status"));
    put_u32(b, (uint32_t)json_u64(json, "server"));
    put_u64(b, json_u64(json, "time_ms"));
    put_u64(b, json_u64(json, "version"));
    put_u64(b, json_u64(json, "device"));
    put_u64(b, json_u64(json, "count"));
    for (int i = 0; i < AUDIT_TEXT_COUNT; i++) {
        char *text = json_text(json, texts[i].json);
        size_t len = strlen(text);
        put_u16(b, (uint16_t)(len < 0xffff ? len : 0xffff));
        put_bytes(b, text, len);
        free(text);
    }
    if (!take_hex(json, "hash", out->hash, AUDIT_HASH)) {
        return err_set(err, ERR_CORRUPT, "hash: is none");
    }
    return audit_entry_read(b->data, b->len, &out->entry, err);
}

static int take_checkpoint(const char *json, struct audit_line *out,
                           struct err *err)
{
    struct audit_checkpoint *c = &out->checkpoint;

    *c = (struct audit_checkpoint){
        .number = json_u64(json, "number"),
        .clock_ms = json_u64(json, "clock_ms"),
        .server = (uint32_t)json_u64(json, "server"),
    };
    if (!take_hex(json, "hash", c->hash, AUDIT_HASH) ||
        !take_hex(json, "key", c->key, AUDIT_KEY) ||
        !take_hex(json, "signature", c->signature, AUDIT_SIGNATURE)) {
        return err_set(err, ERR_CORRUPT, "hash, key or signature: is none");
    }
    memcpy(out->hash, c->hash, AUDIT_HASH);
    return 0;
}

static int take_line(const char *json, struct audit_line *out, struct err *err)
{
    char *type = json_text(json, "type");
    int rc = 0;

    if (strcmp(type, "entry") == 0) {
        out->kind = AUDIT_LINE_ENTRY;
        rc = take_entry(json, out, err);
    } else if (strcmp(type, "checkpoint") == 0) {
        out->kind = AUDIT_LINE_CHECKPOINT;
        rc = take_checkpoint(json, out, err);
    } else if (strcmp(type, HEAD_TYPE) == 0 &&
               take_hex(json, "cluster", out->cluster, 16)) {
        out->kind = AUDIT_LINE_HEAD;
    } else {
        rc = err_set(err, ERR_CORRUPT, "type: is none of an audit log");
    }
    free(type);
    return rc;
}

int audit_line_read(const char *line, size_t len, struct audit_line *out,
                    struct err *err)
{
    struct buf again = {0};
    char *json = mem_alloc(len + 1);
    int rc;

    memcpy(json, line, len);
    json[len] = '\0';
    rc = take_line(json, out, err);
    if (rc == 0) {
        switch (out->kind) {
            case AUDIT_LINE_HEAD:
                audit_line_head(&again, out->cluster);
                break;
            case AUDIT_LINE_ENTRY:
                audit_line_entry(&again, &out->entry, out->hash);
                break;
            case AUDIT_LINE_CHECKPOINT:
                audit_line_checkpoint(&again, &out->checkpoint);
                break;
        }
        if (again.len != len + 1 || memcmp(again.data, line, len) != 0) {
            rc = err_set(err, ERR_CORRUPT, "is not written as it was made");
        }
    }
    buf_free(&again);
    free(json);
    return rc;
}
