#include "node/shard_wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wire.h"
#include "crypto/digest.h"

#define HEAD 4 /* version, verb, and two bytes that verbs give a meaning */
#define KEY 20
#define INFO (KEY + 8)
#define CRC 4
#define STATS_FIXED 112 /* of one drive, before its reason */

static const struct verb {
    const char *name;
    uint8_t bytes; /* of the question's head */
} verbs[SHARD_VERBS] = {
    [SHARD_PUT] = {"put", HEAD + KEY + 12 + CRC},
    [SHARD_GET] = {"get", HEAD + KEY + 8 + CRC},
    [SHARD_DELETE] = {"delete", HEAD + KEY + CRC},
    [SHARD_STAT] = {"stat", HEAD + KEY + CRC},
    [SHARD_LIST] = {"list", HEAD + KEY + 8 + CRC},
    [SHARD_STATS] = {"stats", HEAD + CRC},
    [SHARD_VERIFY] = {"verify", HEAD + KEY + CRC},
};

const char *shard_verb_name(uint8_t verb)
{
    return verb < SHARD_VERBS && verbs[verb].name != NULL ? verbs[verb].name
                                                          : "?";
}

/* ---- what all share ---- */

static void put_head(uint8_t *p, enum shard_verb verb, uint16_t word)
{
    p[0] = SHARD_WIRE_VERSION;
    p[1] = (uint8_t)verb;
    store_u16(p + 2, word);
}

static void put_crc(uint8_t *p, size_t bytes)
{
    store_u32(p + bytes, crc32c(0, p, bytes));
}

/* Version, verb and checksum of a head of at least @min bytes, its CRC
 * included. */
static int check_head(const uint8_t *p, size_t len, size_t min,
                      enum shard_verb verb, struct err *err)
{
    const char *name = verbs[verb].name;

    if (len < min) {
        return err_set(err, ERR_BAD_INPUT,
                       "shard %s: head: %zu bytes, not %zu or more", name, len,
                       min);
    }
    if (p[0] != SHARD_WIRE_VERSION) {
        return err_set(err, ERR_VERSION, "shard %s: version %u is not known",
                       name, p[0]);
    }
    if (load_u32(p + len - CRC) != crc32c(0, p, len - CRC)) {
        return err_set(err, ERR_CORRUPT, "shard %s: head: wrong checksum",
                       name);
    }
    if (p[1] != verb) {
        return err_set(err, ERR_BAD_INPUT, "shard %s: verb: %u, not %u", name,
                       p[1], (unsigned)verb);
    }
    return 0;
}

static int check_bytes(size_t len, size_t want, enum shard_verb verb,
                       struct err *err)
{
    if (len == want) {
        return 0;
    }
    return err_set(err, ERR_BAD_INPUT, "shard %s: head: %zu bytes, not %zu",
                   verbs[verb].name, len, want);
}

static int bad(enum shard_verb verb, const char *field, uint32_t value,
               struct err *err)
{
    return err_set(err, ERR_BAD_INPUT, "shard %s: %s: %u", verbs[verb].name,
                   field, (unsigned)value);
}

static int check_zero(const uint8_t *p, size_t len, enum shard_verb verb,
                      struct err *err)
{
    for (size_t i = 0; i < len; i++) {
        if (p[i] != 0) {
            return bad(verb, "a byte kept zero", p[i], err);
        }
    }
    return 0;
}

static void put_key(uint8_t *p, const struct shard_key *key)
{
    store_u64(p, key->hi);
    store_u64(p + 8, key->lo);
    p[16] = key->slot;
    memset(p + 17, 0, 3);
}

static int take_key(const uint8_t *p, enum shard_verb verb,
                    struct shard_key *out, struct err *err)
{
    *out = (struct shard_key){load_u64(p), load_u64(p + 8), p[16]};
    return check_zero(p + 17, 3, verb, err);
}

static void put_info(uint8_t *p, const struct shard_info *i)
{
    put_key(p, &i->key);
    store_u32(p + KEY, i->group);
    store_u32(p + KEY + 4, i->length);
}

static int take_info(const uint8_t *p, enum shard_verb verb,
                     struct shard_info *out, struct err *err)
{
    int rc = take_key(p, verb, &out->key, err);

    out->group = load_u32(p + KEY);
    out->length = load_u32(p + KEY + 4);
    if (rc == 0 && (out->length < 1 || out->length > SHARD_BYTES_MAX)) {
        rc = bad(verb, "length", out->length, err);
    }
    return rc;
}

/* ---- questions ---- */

size_t shard_ask_encode(const struct shard_ask *a,
                        uint8_t out[SHARD_ASK_BYTES_MAX])
{
    uint8_t *p = out + HEAD + KEY;
    size_t bytes;

    CHECK(a->verb >= SHARD_PUT && a->verb < SHARD_VERBS);
    bytes = verbs[a->verb].bytes;
    memset(out, 0, bytes);
    put_head(out, a->verb, a->verb == SHARD_STATS ? 0 : a->drive);
    if (a->verb != SHARD_STATS && !(a->verb == SHARD_LIST && a->from_start)) {
        put_key(out + HEAD, &a->key);
    }
    switch (a->verb) {
        case SHARD_PUT:
            store_u32(p, a->group);
            store_u32(p + 4, a->length);
            store_u32(p + 8, a->body_crc);
            break;
        case SHARD_GET:
            store_u32(p, a->offset);
            store_u32(p + 4, a->length);
            break;
        case SHARD_LIST:
            store_u32(p, a->group);
            store_u16(p + 4, a->max);
            p[6] = a->from_start;
            break;
        default:
            break;
    }
    put_crc(out, bytes - CRC);
    return bytes;
}

static int take_put(const uint8_t *p, struct shard_ask *a, struct err *err)
{
    a->group = load_u32(p);
    a->length = load_u32(p + 4);
    a->body_crc = load_u32(p + 8);
    if (a->length < 1 || a->length > SHARD_BYTES_MAX) {
        return bad(a->verb, "length", a->length, err);
    }
    return 0;
}

static int take_get(const uint8_t *p, struct shard_ask *a, struct err *err)
{
    a->offset = load_u32(p);
    a->length = load_u32(p + 4);
    if (a->offset >= SHARD_BYTES_MAX) {
        return bad(a->verb, "offset", a->offset, err);
    }
    if (a->length < 1 || a->length > SHARD_BYTES_MAX - a->offset) {
        return bad(a->verb, "length", a->length, err);
    }
    return 0;
}

static int take_list(const uint8_t *p, struct shard_ask *a, struct err *err)
{
    a->group = load_u32(p);
    a->max = load_u16(p + 4);
    a->from_start = p[6] == 1;
    if (a->max < 1 || a->max > SHARD_LIST_MAX) {
        return bad(a->verb, "max", a->max, err);
    }
    if (p[6] > 1) {
        return bad(a->verb, "from start", p[6], err);
    }
    if (a->from_start && (a->key.hi | a->key.lo | a->key.slot) != 0) {
        return bad(a->verb, "key, from the start, slot", a->key.slot, err);
    }
    return check_zero(p + 7, 1, a->verb, err);
}

int shard_ask_decode(uint8_t type, const void *p, size_t len,
                     struct shard_ask *out, struct err *err)
{
    const uint8_t *in = p;
    struct shard_ask a = {0};
    int rc;

    if (type < SHARD_PUT || type >= SHARD_VERBS) {
        return err_set(err, ERR_BAD_INPUT, "shard: verb: %u", type);
    }
    a.verb = (enum shard_verb)type;
    rc = check_bytes(len, verbs[type].bytes, a.verb, err);
    if (rc == 0) {
        rc = check_head(in, len, len, a.verb, err);
    }
    if (rc != 0) {
        return rc;
    }
    a.drive = load_u16(in + 2);
    if (a.verb == SHARD_STATS) {
        rc = check_zero(in + 2, 2, a.verb, err);
    } else {
        rc = take_key(in + HEAD, a.verb, &a.key, err);
    }
    if (rc == 0 && a.verb == SHARD_PUT) {
        rc = take_put(in + HEAD + KEY, &a, err);
    } else if (rc == 0 && a.verb == SHARD_GET) {
        rc = take_get(in + HEAD + KEY, &a, err);
    } else if (rc == 0 && a.verb == SHARD_LIST) {
        rc = take_list(in + HEAD + KEY, &a, err);
    }
    if (rc == 0) {
        *out = a;
    }
    return rc;
}

int shard_ask_check_body(const struct shard_ask *a, const void *body,
                         size_t len, struct err *err)
{
    size_t want = a->verb == SHARD_PUT ? a->length : 0;

    if (len != want) {
        return err_set(err, ERR_BAD_INPUT, "shard %s: body: %zu bytes, not %zu",
                       verbs[a->verb].name, len, want);
    }
    if (want > 0 && crc32c(0, body, len) != a->body_crc) {
        return err_set(err, ERR_MISMATCH, "shard %s: body: wrong checksum",
                       verbs[a->verb].name);
    }
    return 0;
}

/* ---- answers ---- */

void shard_got_encode(const struct shard_got *g, uint8_t out[SHARD_GOT_BYTES])
{
    put_head(out, SHARD_GET, 0);
    store_u32(out + 4, g->group);
    store_u32(out + 8, g->length);
    store_u32(out + 12, g->body_crc);
    put_crc(out, SHARD_GOT_BYTES - CRC);
}

int shard_got_decode(const void *p, size_t len, struct shard_got *out,
                     struct err *err)
{
    const uint8_t *in = p;
    struct shard_got g;
    int rc = check_bytes(len, SHARD_GOT_BYTES, SHARD_GET, err);

    if (rc == 0) {
        rc = check_head(in, len, len, SHARD_GET, err);
    }
    if (rc == 0) {
        rc = check_zero(in + 2, 2, SHARD_GET, err);
    }
    if (rc != 0) {
        return rc;
    }
    g = (struct shard_got){load_u32(in + 4), load_u32(in + 8),
                           load_u32(in + 12)};
    if (g.length < 1 || g.length > SHARD_BYTES_MAX) {
        return bad(SHARD_GET, "length", g.length, err);
    }
    *out = g;
    return 0;
}

void shard_info_encode(enum shard_verb verb, const struct shard_info *i,
                       uint8_t out[SHARD_INFO_BYTES])
{
    CHECK(verb == SHARD_STAT || verb == SHARD_VERIFY);
    put_head(out, verb, 0);
    put_info(out + HEAD, i);
    put_crc(out, SHARD_INFO_BYTES - CRC);
}

int shard_info_decode(enum shard_verb verb, const void *p, size_t len,
                      struct shard_info *out, struct err *err)
{
    const uint8_t *in = p;
    struct shard_info i;
    int rc = check_bytes(len, SHARD_INFO_BYTES, verb, err);

    if (rc == 0) {
        rc = check_head(in, len, len, verb, err);
    }
    if (rc == 0) {
        rc = check_zero(in + 2, 2, verb, err);
    }
    if (rc == 0) {
        rc = take_info(in + HEAD, verb, &i, err);
    }
    if (rc == 0) {
        *out = i;
    }
    return rc;
}

#define PAGE_FIXED (HEAD + 4 + KEY)

void shard_page_encode(const struct shard_page *l, struct buf *out)
{
    size_t bytes = PAGE_FIXED + (size_t)l->count * INFO;
    uint8_t *p;

    CHECK(l->count <= SHARD_LIST_MAX);
    buf_reserve(out, bytes + CRC);
    p = out->data + out->len;
    memset(p, 0, PAGE_FIXED);
    put_head(p, SHARD_LIST, l->count);
    p[4] = l->end;
    if (!l->end) {
        put_key(p + 8, &l->last);
    }
    for (uint16_t i = 0; i < l->count; i++) {
        put_info(p + PAGE_FIXED + (size_t)i * INFO, &l->shards[i]);
    }
    put_crc(p, bytes);
    out->len += bytes + CRC;
}

int shard_page_decode(const void *p, size_t len, struct shard_info *shards,
                      uint16_t max, struct shard_page *out, struct err *err)
{
    const uint8_t *in = p;
    struct shard_page l = {.shards = shards};
    int rc = check_head(in, len, PAGE_FIXED + CRC, SHARD_LIST, err);

    if (rc != 0) {
        return rc;
    }
    l.count = load_u16(in + 2);
    l.end = in[4] == 1;
    if (l.count > max) {
        return bad(SHARD_LIST, "count", l.count, err);
    }
    if (in[4] > 1) {
        return bad(SHARD_LIST, "end", in[4], err);
    }
    rc = check_bytes(len, PAGE_FIXED + (size_t)l.count * INFO + CRC, SHARD_LIST,
                     err);
    if (rc == 0) {
        rc = check_zero(in + 5, 3, SHARD_LIST, err);
    }
    if (rc == 0) {
        rc = l.end ? check_zero(in + 8, KEY, SHARD_LIST, err)
                   : take_key(in + 8, SHARD_LIST, &l.last, err);
    }
    for (uint16_t i = 0; i < l.count && rc == 0; i++) {
        rc = take_info(in + PAGE_FIXED + (size_t)i * INFO, SHARD_LIST,
                       &shards[i], err);
    }
    if (rc == 0) {
        *out = l;
    }
    return rc;
}

/* ---- of drives ---- */

/* The numbers of a drive, in their order on the wire. */
#define NUMBERS 13
_Static_assert(STATS_FIXED == 8 + NUMBERS * 8, "docs/WIRE.md");

static void numbers_of(struct shard_store_stats *s, uint64_t *out[NUMBERS])
{
    uint64_t *all[NUMBERS] = {
        &s->shards,          &s->live_bytes, &s->used_bytes, &s->free_bytes,
        &s->size_bytes,      &s->segments,   &s->puts,       &s->gets,
        &s->deletes,         &s->syncs,      &s->corrupt,    &s->scrubbed_bytes,
        &s->compacted_bytes,
    };

    memcpy(out, all, sizeof all);
}

void shard_stats_encode(const struct shard_store_stats *drives, size_t count,
                        struct buf *out)
{
    size_t begin = out->len;
    uint32_t crc;

    CHECK(count <= SHARD_STATS_MAX);
    put_u8(out, SHARD_WIRE_VERSION);
    put_u8(out, SHARD_STATS);
    put_u16(out, (uint16_t)count);
    for (size_t i = 0; i < count; i++) {
        struct shard_store_stats s = drives[i];
        uint64_t *numbers[NUMBERS];
        size_t reason = strnlen(s.reason, sizeof s.reason - 1);
        put_u16(out, s.drive);
        put_u8(out, (uint8_t)s.state);
        put_u8(out, 0);
        put_u32(out, (uint32_t)reason);
        numbers_of(&s, numbers);
        for (int n = 0; n < NUMBERS; n++) {
            put_u64(out, *numbers[n]);
        }
        put_bytes(out, s.reason, reason);
    }
    crc = crc32c(0, out->data + begin, out->len - begin);
    put_u32(out, crc);
}

static int take_stats(struct wire_reader *r, struct shard_store_stats *s,
                      struct err *err)
{
    uint64_t *numbers[NUMBERS];
    const uint8_t *reason;
    uint8_t state, zero;
    uint32_t bytes;

    s->drive = get_u16(r);
    state = get_u8(r);
    zero = get_u8(r);
    bytes = get_u32(r);
    numbers_of(s, numbers);
    for (int n = 0; n < NUMBERS; n++) {
        *numbers[n] = get_u64(r);
    }
    if (state > DRIVE_FAILED) {
        return bad(SHARD_STATS, "state", state, err);
    }
    if (zero != 0) {
        return bad(SHARD_STATS, "a byte kept zero", zero, err);
    }
    if (bytes >= sizeof s->reason) {
        return bad(SHARD_STATS, "bytes of reason", bytes, err);
    }
    s->state = (enum drive_state)state;
    reason = get_bytes(r, bytes);
    if (reason != NULL && memchr(reason, 0, bytes) != NULL) {
        return bad(SHARD_STATS, "reason: a byte of value", 0, err);
    }
    if (reason != NULL) {
        memcpy(s->reason, reason, bytes);
    }
    return 0;
}

int shard_stats_decode(const void *p, size_t len,
                       struct shard_store_stats **drives, size_t *count,
                       struct err *err)
{
    const uint8_t *in = p;
    struct shard_store_stats *s;
    struct wire_reader r;
    uint16_t n;
    int rc = check_head(in, len, HEAD + CRC, SHARD_STATS, err);

    if (rc != 0) {
        return rc;
    }
    n = load_u16(in + 2);
    /* Before there is memory for them. */
    if (n > SHARD_STATS_MAX || (size_t)n * STATS_FIXED > len - HEAD - CRC) {
        return bad(SHARD_STATS, "count", n, err);
    }
    s = mem_calloc(n > 0 ? n : 1, sizeof *s);
    wire_init(&r, in + HEAD, len - HEAD - CRC);
    for (uint16_t i = 0; i < n && rc == 0; i++) {
        rc = take_stats(&r, &s[i], err);
    }
    if (rc == 0 && !wire_done(&r)) {
        rc = err_set(err, ERR_BAD_INPUT, "shard stats: head: %zu bytes", len);
    }
    if (rc != 0) {
        free(s);
        return rc;
    }
    *drives = s;
    *count = n;
    return 0;
}
