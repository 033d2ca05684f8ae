#include "edge-agent/intake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/wire.h"
#include "crypto/age.h"
#include "edge-agent/intake_internal.h"
#include "edge-agent/redact.h"
#include "fleet/metadata.h"

#define PART INTAKE_SMALL
#define OBJECT_KEY_MAX 1024 /* S3: without its bucket */

_Static_assert(INTAKE_SMALL + SEAL_SALT + PRIM_TAG <= SPOOL_PAYLOAD_MAX,
               "a small object is one record");

/* A finished put, until its round is on the disk. */
struct waiter {
    struct list_node node;
    intake_done done; /* NULL: nobody waits */
    void *arg;
    int code;
    char *why;
};

struct intake_put {
    struct intake *in;
    char *key;
    size_t key_len;
    struct buf meta;
    uint8_t class_id;
    uint64_t size;
    struct prim_hash md5;
    uint8_t digest[PRIM_MD5];
    bool digested;
    bool large;
    struct shrink *stream; /* of a large one that pays */
    struct buf shrunk;     /* secret */
    bool redact;           /* fields are to be left out: it must be whole */
    struct buf text;       /* secret */
    struct seal_writer *writer; /* of a large envelope */
    struct age_writer *age;     /* of a large age file */
    struct buf sealed;
    struct spool_upload upload;
};

/* ---- the spool's calls ---- */

static int fresh_segment(struct intake *in, struct seal_segment **to,
                         struct err *err)
{
    struct seal_segment *segment;
    int code = seal_segment_new(in->recipients, in->recipient_count,
                                in->algorithm, &segment, err);

    if (code == 0) {
        seal_segment_free(*to);
        *to = segment;
    }
    return code;
}

static int on_segment(void *arg, uint64_t sequence, uint8_t *header,
                      size_t *len, struct err *err)
{
    struct intake *in = arg;
    const uint8_t *p;
    int code = fresh_segment(in, &in->segment, err);

    (void)sequence;
    if (code == 0) {
        p = seal_segment_header(in->segment, len);
        CHECK(*len <= SPOOL_HEADER_MAX);
        memcpy(header, p, *len);
    }
    return code;
}

static void on_committed(void *arg, int code, const char *why)
{
    struct intake *in = arg;

    LIST_EACH (node, &in->waiting) {
        struct waiter *w = LIST_OF(node, struct waiter, node);
        w->code = code;
        w->why = code != 0 ? mem_strdup(why) : NULL;
    }
    if (code != 0) {
        log_line(LOG_ERROR, "the spool's disk failed", "err", why, NULL);
    }
    list_move(&in->settled, &in->waiting);
}

static void on_shed(void *arg, const struct spool_object *o, const char *why)
{
    char id[24], class_id[4], size[24], what[48];
    char *key = mem_strndup(o->key != NULL ? o->key : "", o->key_len);

    (void)arg;
    snprintf(id, sizeof id, "%llu", (unsigned long long)o->id);
    snprintf(class_id, sizeof class_id, "%u", o->class_id);
    snprintf(size, sizeof size, "%llu", (unsigned long long)o->plain_size);
    snprintf(what, sizeof what, "shed an object for %s", why);
    log_line(LOG_WARN, what, "id", id, "key", key, "class", class_id, "bytes",
             size, NULL);
    free(key);
}

/* ---- life ---- */

int intake_new(const struct spool_disk *disk, const struct intake_options *o,
               struct intake **out, struct err *err)
{
    struct intake *in;
    struct spool_options so = {
        .max_bytes = o->max_bytes,
        .max_objects = o->max_objects,
        .when_full = o->when_full,
        .new_segment = on_segment,
        .committed = on_committed,
        .shed = on_shed,
    };
    int code;

    if (o->recipient_count == 0 || o->recipient_count > INTAKE_RECIPIENTS_MAX) {
        return err_set(err, ERR_BAD_INPUT, "1 to %d recipients to seal to",
                       INTAKE_RECIPIENTS_MAX);
    }
    in = mem_alloc(sizeof *in);
    list_init(&in->waiting);
    list_init(&in->settled);
    in->age = o->age;
    memcpy(in->recipients, o->recipients,
           o->recipient_count * sizeof in->recipients[0]);
    in->recipient_count = o->recipient_count;
    in->algorithm = o->algorithm;
    in->local_read = o->local_read;
    rng_bytes(in->mask, sizeof in->mask);
    if (in->local_read) {
        seal_identity_new(&in->local);
        seal_identity_recipient(&in->local,
                                &in->recipients[in->recipient_count++]);
    }
    so.arg = in;
    code = spool_open(disk, &so, &in->spool, err);
    if (code != 0) {
        intake_free(in);
        return code;
    }
    in->first_id = spool_coming_id(in->spool);
    *out = in;
    return 0;
}

void intake_free(struct intake *in)
{
    if (in == NULL) {
        return;
    }
    for (struct list_node *n; (n = list_pop(&in->waiting)) != NULL ||
                              (n = list_pop(&in->settled)) != NULL;) {
        struct waiter *w = LIST_OF(n, struct waiter, node);
        free(w->why);
        free(w);
    }
    if (in->spool != NULL) {
        (void)spool_save(in->spool, NULL); /* or it is delivered once more */
    }
    spool_close(in->spool);
    seal_segment_free(in->segment);
    seal_segment_free(in->apart);
    budget_free(&in->budget);
    shrink_free(in->shrink);
    mem_wipe(in, sizeof *in);
    free(in);
}

struct spool *intake_spool(struct intake *in)
{
    return in->spool;
}

void intake_set_rules(struct intake *in, const struct intake_rules *r)
{
    in->rules = *r;
    spool_set_rules(in->spool, &r->spool);
    budget_set(&in->budget, r->budget_path, r->flash_budget);
}

void intake_status(struct intake *in, struct buf *out)
{
    uint64_t today = budget_today(&in->budget, spool_flash_bytes(in->spool),
                                  clock_real_ms());

    buf_printf(out,
               ",\"flash_today_bytes\":%llu,\"flash_budget_bytes\":%llu,"
               "\"budget_refused_objects\":%llu",
               (unsigned long long)today,
               (unsigned long long)in->budget.per_day,
               (unsigned long long)in->budget.refused);
}

/* ---- waiting ---- */

static void wait_for_round(struct intake *in, intake_done done, void *arg)
{
    struct waiter *w = mem_alloc(sizeof *w);

    w->done = done;
    w->arg = arg;
    list_push(&in->waiting, &w->node);
}

bool intake_commit(struct intake *in)
{
    bool any = false;

    /* Parts that nobody waits for yet need no sync of their own. */
    if (!list_empty(&in->waiting)) {
        (void)spool_commit(in->spool, NULL); /* on_committed has the outcome */
    }
    for (struct list_node *n; (n = list_pop(&in->settled)) != NULL;) {
        struct waiter *w = LIST_OF(n, struct waiter, node);
        if (w->done != NULL) {
            w->done(w->arg, w->code, w->why != NULL ? w->why : "");
        }
        free(w->why);
        free(w);
        any = true;
    }
    return any;
}

static void forget_in(struct list_node *list, const void *arg)
{
    LIST_EACH (node, list) {
        struct waiter *w = LIST_OF(node, struct waiter, node);
        if (w->arg == arg) {
            w->done = NULL;
        }
    }
}

void intake_forget(struct intake *in, void *arg)
{
    forget_in(&in->waiting, arg);
    forget_in(&in->settled, arg);
}

/* ---- masking ---- */

static void mask_md5(const struct intake *in, uint64_t id,
                     const uint8_t from[PRIM_MD5], uint8_t to[PRIM_MD5])
{
    uint8_t number[8], pad[PRIM_HASH_MAX];
    struct prim_hash hash;

    /* All inputs are of one length and the hash stays here, so no HMAC is
     * needed; this is one block of SHA-256 instead of four. */
    store_u64(number, id);
    prim_hash_init(&hash, PRIM_HASH_SHA256);
    prim_hash_update(&hash, in->mask, sizeof in->mask);
    prim_hash_update(&hash, number, sizeof number);
    prim_hash_final(&hash, pad);
    prim_hash_free(&hash);
    for (size_t i = 0; i < PRIM_MD5; i++) {
        to[i] = from[i] ^ pad[i];
    }
    mem_wipe(pad, sizeof pad);
}

bool intake_md5(struct intake *in, const struct spool_object *o,
                uint8_t out[PRIM_MD5])
{
    if (o->id < in->first_id) {
        return false;
    }
    mask_md5(in, o->id, o->etag, out);
    return true;
}

/* ---- putting ---- */

/* "BUCKET/KEY", as the cluster takes it. */
static int judge_key(const char *key, size_t len, struct err *err)
{
    const char *slash = memchr(key, '/', len);

    if (len == 0 || len > SPOOL_KEY_MAX ||
        (slash != NULL && len - (size_t)(slash - key) - 1 > OBJECT_KEY_MAX)) {
        return err_set(err, ERR_LIMIT, "a key has 1 to %d bytes",
                       OBJECT_KEY_MAX);
    }
    return text_utf8(key, len)
               ? 0
               : err_set(err, ERR_BAD_INPUT, "the key is no UTF-8");
}

/* Give the name in small letters; NULL: the cluster would not take it. */
static char *meta_name(const char *name)
{
    char *out = mem_strdup(name);

    for (char *p = out; *p != '\0'; p++) {
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
    }
    if (!metadata_name_ok(out)) {
        free(out);
        return NULL;
    }
    return out;
}

static int put_pair(struct buf *b, const char *name, const char *value,
                    struct err *err)
{
    char *small = meta_name(name);

    if (small == NULL || !metadata_value_ok(value)) {
        free(small);
        return err_set(err, ERR_BAD_INPUT,
                       "metadata are a-z, 0-9, '-', '_', '.' (not beginning "
                       "with " METADATA_OWN ") and UTF-8");
    }
    put_text(b, small);
    put_text(b, value);
    free(small);
    return 0;
}

static bool is_dropped(const struct config_list *names, const char *name)
{
    for (size_t i = 0; names != NULL && i < names->count; i++) {
        if (text_ieq(names->items[i], name)) {
            return true;
        }
    }
    return false;
}

static int put_meta(struct buf *b, const struct intake_what *what,
                    const struct config_list *drop, struct err *err)
{
    size_t bytes = 0, count = 0;
    int code = 0;

    if (what->meta_count > INTAKE_META_MAX) {
        return err_set(err, ERR_LIMIT, "more than %d metadata",
                       INTAKE_META_MAX);
    }
    if (what->content_type != NULL && !metadata_value_ok(what->content_type)) {
        return err_set(err, ERR_BAD_INPUT, "the content type is no UTF-8");
    }
    put_text(b, what->content_type);
    for (size_t i = 0; i < what->meta_count; i++) {
        count += is_dropped(drop, what->meta[2 * i]) ? 0 : 1;
    }
    put_u16(b, (uint16_t)count);
    for (size_t i = 0; code == 0 && i < what->meta_count; i++) {
        const char *name = what->meta[2 * i];
        const char *value = what->meta[2 * i + 1];
        if (is_dropped(drop, name)) {
            continue;
        }
        bytes += strlen(name) + strlen(value);
        code = put_pair(b, name, value, err);
    }
    if (code == 0 && (bytes > METADATA_BYTES_MAX || b->len > SPOOL_META_MAX)) {
        code = err_set(err, ERR_LIMIT, "the metadata are too long");
    }
    return code;
}

/* Is there flash left to write to today? */
static int judge_budget(struct intake *in, uint8_t class_id, struct err *err)
{
    if (in->rules.spool.reserved[class_id] > 0 ||
        budget_left(&in->budget, spool_flash_bytes(in->spool),
                    clock_real_ms())) {
        return 0;
    }
    in->budget.refused++;
    return err_set(err, ERR_BUSY,
                   "the flash budget of today (%llu bytes) is used up: only "
                   "classes with reserved room are taken",
                   (unsigned long long)in->budget.per_day);
}

int intake_put_open(struct intake *in, const struct intake_what *what,
                    struct intake_put **out, struct err *err)
{
    struct intake_put *p;
    int code = judge_key(what->key, what->key_len, err);

    if (code != 0) {
        return code;
    }
    if (what->class_id >= SPOOL_CLASSES) {
        return err_set(err, ERR_BAD_INPUT, "a class is 0 to %d",
                       SPOOL_CLASSES - 1);
    }
    if (what->size > spool_object_max(in->spool)) {
        /* Before others are shed for it in vain. */
        return err_set(err, ERR_FULL, "the spool has never so much room");
    }
    code = judge_budget(in, what->class_id, err);
    if (code != 0) {
        return code;
    }
    p = mem_alloc(sizeof *p);
    code = put_meta(&p->meta, what, in->rules.drop_metadata, err);
    if (code != 0) {
        buf_free(&p->meta);
        free(p);
        return code;
    }
    p->in = in;
    p->key = mem_dup(what->key, what->key_len);
    p->key_len = what->key_len;
    p->class_id = what->class_id;
    p->redact = in->rules.drop_json != NULL && in->rules.drop_json->count > 0 &&
                redact_is_json(what->content_type);
    prim_hash_init(&p->md5, PRIM_HASH_MD5);
    *out = p;
    return 0;
}

static void put_free(struct intake_put *p)
{
    if (p->large) {
        p->in->large--;
    }
    if (p->stream != NULL) {
        p->in->streams--;
        shrink_free(p->stream);
    }
    seal_writer_free(p->writer);
    age_writer_free(p->age);
    buf_wipe(&p->shrunk);
    prim_hash_free(&p->md5);
    buf_wipe(&p->text);
    buf_free(&p->sealed);
    buf_free(&p->meta);
    free(p->key);
    free(p);
}

void intake_put_abort(struct intake_put *p)
{
    if (p != NULL) {
        spool_abort(p->in->spool, &p->upload);
        put_free(p);
    }
}

/* Spool whole parts of what is sealed, at the end the rest, too. */
static int spool_parts_of(struct intake_put *p, bool rest, struct err *err)
{
    size_t at = 0;
    int code = 0;

    while (code == 0 &&
           (p->sealed.len - at >= PART || (rest && p->sealed.len > at))) {
        size_t len = p->sealed.len - at < PART ? p->sealed.len - at : PART;
        uint8_t *payload;
        code = spool_part_begin(p->in->spool, &p->upload, len, p->class_id,
                                &payload, err);
        if (code == 0) {
            memcpy(payload, p->sealed.data + at, len);
            spool_part_end(p->in->spool, &p->upload);
            at += len;
        }
    }
    if (at > 0) {
        memmove(p->sealed.data, p->sealed.data + at, p->sealed.len - at);
        p->sealed.len -= at;
    }
    return code;
}

/* Room that sealing @len bytes, or ending, may take of either form. */
static size_t room_for(size_t len)
{
    size_t seal = SEAL_UPDATE_MAX(len) + SEAL_FINAL_MAX;
    size_t age = AGE_UPDATE_MAX(len) + AGE_FINAL_MAX;

    return seal > age ? seal : age;
}

static int seal_more(struct intake_put *p, const uint8_t *bytes, size_t len,
                     struct err *err)
{
    int code = 0;

    while (len > 0 && code == 0) {
        size_t n = len < PART ? len : PART;
        size_t sealed = 0;
        buf_reserve(&p->sealed, room_for(n));
        code = p->age != NULL
                   ? age_writer_update(p->age, bytes, n,
                                       p->sealed.data + p->sealed.len, &sealed,
                                       err)
                   : seal_writer_update(p->writer, bytes, n,
                                        p->sealed.data + p->sealed.len, &sealed,
                                        err);
        p->sealed.len += sealed;
        if (code == 0) {
            code = spool_parts_of(p, false, err);
        }
        bytes += n;
        len -= n;
    }
    return code;
}

/* More of a large text. */
static int take_more(struct intake_put *p, const uint8_t *bytes, size_t len,
                     struct err *err)
{
    int code = 0;

    if (p->stream == NULL) {
        return seal_more(p, bytes, len, err);
    }
    for (size_t at = 0; code == 0 && at < len;) {
        size_t n = len - at < PART ? len - at : PART;
        shrink_update(p->stream, bytes + at, n, &p->shrunk);
        code = seal_more(p, p->shrunk.data, p->shrunk.len, err);
        buf_clear(&p->shrunk);
        at += n;
    }
    return code;
}

/* A whole text as a frame, appended to @out; false: it does not pay, or is not
 * to be. */
static bool shrink_text(struct intake *in, const void *text, size_t len,
                        struct buf *out)
{
    if (!in->rules.zstd || in->age) {
        return false;
    }
    if (in->shrink == NULL) {
        in->shrink = shrink_new();
    }
    return shrink_whole(in->shrink, text, len, out);
}

/* Does its beginning say that it is worth it? */
static void choose_stream(struct intake_put *p, const uint8_t *bytes,
                          size_t len)
{
    bool held = p->text.len > 0;
    size_t n = len < PART ? len : PART;
    struct buf trial = {0};

    if (p->in->streams < SHRINK_STREAMS_MAX &&
        shrink_text(p->in, held ? p->text.data : bytes, held ? p->text.len : n,
                    &trial)) {
        p->stream = shrink_new();
        p->in->streams++;
    }
    buf_wipe(&trial);
}

/* Begin an envelope. It holds its own header, and takes none of the links that
 * the small objects of a segment need: it may be aborted, and often. */
static int begin_envelope(struct intake_put *p, struct err *err)
{
    struct intake *in = p->in;
    uint8_t flags = p->stream != NULL ? SEAL_FLAG_ZSTD : 0;
    struct seal_key key;
    const uint8_t *header;
    size_t header_len;
    int code = in->apart != NULL ? seal_segment_next(in->apart, &key, NULL)
                                 : ERR_LIMIT;

    if (code == ERR_LIMIT) {
        code = fresh_segment(in, &in->apart, err);
        if (code == 0) {
            code = seal_segment_next(in->apart, &key, err);
        }
    }
    if (code != 0) {
        return code;
    }
    header = seal_segment_header(in->apart, &header_len);
    buf_reserve(&p->sealed, SEAL_HEAD + header_len);
    p->sealed.len =
        seal_head_write(flags, key.link, header, header_len, p->sealed.data);
    p->writer = seal_writer_new();
    seal_writer_init(p->writer, &key, flags);
    return 0;
}

static int begin_sealing(struct intake_put *p, struct err *err)
{
    return p->in->age ? age_writer_new(p->in->recipients,
                                       p->in->recipient_count, &p->age, err)
                      : begin_envelope(p, err);
}

/* More than a record holds: from here on an envelope, or a file of age, in
 * parts. */
static int become_large(struct intake_put *p, const uint8_t *bytes, size_t len,
                        struct err *err)
{
    struct intake *in = p->in;
    int code;

    if (p->redact) {
        return err_set(err, ERR_LIMIT,
                       "JSON of which fields are left out has at most %u bytes",
                       INTAKE_SMALL);
    }
    if (in->large == INTAKE_LARGE_MAX) {
        return err_set(err, ERR_BUSY, "%d large objects come already",
                       INTAKE_LARGE_MAX);
    }
    choose_stream(p, bytes, len);
    code = begin_sealing(p, err);
    if (code != 0) {
        return code;
    }
    in->large++;
    p->large = true;
    code = take_more(p, p->text.data, p->text.len, err);
    buf_wipe(&p->text);
    return code;
}

int intake_put_update(struct intake_put *p, const void *bytes, size_t len,
                      struct err *err)
{
    int code = 0;

    CHECK(!p->digested);
    p->size += len;
    if (p->size > INTAKE_OBJECT_MAX) {
        return err_set(err, ERR_LIMIT, "an object has at most 5 GiB");
    }
    prim_hash_update(&p->md5, bytes, len);
    if (!p->large && p->text.len + len <= INTAKE_SMALL) {
        buf_append(&p->text, bytes, len);
        return 0;
    }
    if (!p->large) {
        code = become_large(p, bytes, len, err);
    }
    return code == 0 ? take_more(p, bytes, len, err) : code;
}

void intake_put_md5(struct intake_put *p, uint8_t out[PRIM_MD5])
{
    uint8_t digest[PRIM_HASH_MAX];

    if (!p->digested) {
        prim_hash_final(&p->md5, digest);
        memcpy(p->digest, digest, sizeof p->digest);
        p->digested = true;
    }
    memcpy(out, p->digest, sizeof p->digest);
}

static struct spool_object object_of(struct intake_put *p)
{
    struct spool_object o = {
        .kind = SPOOL_OBJECT,
        .time_ms = clock_real_ms(),
        .plain_size = p->size,
        .class_id = p->class_id,
        .flags = p->large || p->in->age ? SPOOL_FLAG_ENVELOPE : 0,
        .key = p->key,
        .key_len = (uint16_t)p->key_len,
        .meta = p->meta.data,
        .meta_len = (uint16_t)p->meta.len,
    };

    return o;
}

/* What ends the sealed bytes of a large one, or of any file of age. */
static void end_sealing(struct intake_put *p)
{
    size_t sealed = 0;

    buf_reserve(&p->sealed, room_for(0));
    if (p->age != NULL) {
        age_writer_final(p->age, p->sealed.data + p->sealed.len, &sealed);
    } else {
        seal_writer_final(p->writer, p->sealed.data + p->sealed.len, &sealed);
    }
    p->sealed.len += sealed;
}

/* A whole file of age in one record. */
static int finish_small_age(struct intake_put *p, struct err *err)
{
    struct intake *in = p->in;
    struct spool_object o = object_of(p);
    uint8_t *payload;
    size_t sealed = 0;
    uint64_t id;
    int code = begin_sealing(p, err);

    if (code == 0) {
        buf_reserve(&p->sealed, room_for(p->text.len));
        code = age_writer_update(p->age, p->text.data, p->text.len,
                                 p->sealed.data, &sealed, err);
        p->sealed.len = sealed;
    }
    if (code == 0) {
        end_sealing(p);
        code = spool_begin(in->spool, p->key_len, p->meta.len, p->sealed.len,
                           p->class_id, &payload, err);
    }
    if (code != 0) {
        return code;
    }
    memcpy(payload, p->sealed.data, p->sealed.len);
    mask_md5(in, spool_coming_id(in->spool), p->digest, o.etag);
    spool_end(in->spool, &o, &id);
    return 0;
}

static int finish_small(struct intake_put *p, struct err *err)
{
    struct intake *in = p->in;
    struct spool_object o = object_of(p);
    struct seal_key key;
    uint8_t *payload;
    uint64_t id;
    int code;

    if (shrink_text(in, p->text.data, p->text.len, &p->shrunk)) {
        buf_wipe(&p->text);
        p->text = p->shrunk;
        p->shrunk = (struct buf){0};
        o.seal_flags = SEAL_FLAG_ZSTD;
    }
    code = spool_begin(in->spool, p->key_len, p->meta.len,
                       (size_t)seal_body_size(p->text.len), p->class_id,
                       &payload, err);
    if (code != 0) {
        return code;
    }
    /* A segment has room for fewer records than a root has links. */
    CHECK(seal_segment_next(in->segment, &key, err) == 0);
    o.link = key.link;
    seal_body(&key, o.seal_flags, p->text.data, p->text.len, payload);
    mask_md5(in, spool_coming_id(in->spool), p->digest, o.etag);
    spool_end(in->spool, &o, &id);
    return 0;
}

static int finish_large(struct intake_put *p, struct err *err)
{
    struct spool_object o = object_of(p);
    uint64_t id;
    int code = 0;

    if (p->stream != NULL) {
        shrink_final(p->stream, &p->shrunk);
        code = seal_more(p, p->shrunk.data, p->shrunk.len, err);
    }
    if (code != 0) {
        return code;
    }
    end_sealing(p);
    code = spool_parts_of(p, true, err);
    if (code == 0) {
        mask_md5(p->in, spool_coming_id(p->in->spool), p->digest, o.etag);
        code = spool_finish(p->in->spool, &p->upload, &o, &id, err);
    }
    return code;
}

/* Leave out what the rules say; its MD5 is that of what stays. */
static int redact(struct intake_put *p, struct err *err)
{
    const struct config_list *names = p->in->rules.drop_json;
    uint8_t digest[PRIM_HASH_MAX];
    struct prim_hash hash;
    struct buf out = {0};
    int code;

    if (!p->redact || names == NULL) {
        return 0;
    }
    code = redact_json(p->text.data, p->text.len, names, &out, err);
    if (code != 0) {
        return code;
    }
    buf_wipe(&p->text);
    p->text = out;
    p->size = out.len;
    prim_hash_init(&hash, PRIM_HASH_MD5);
    prim_hash_update(&hash, out.data, out.len);
    prim_hash_final(&hash, digest);
    prim_hash_free(&hash);
    memcpy(p->digest, digest, sizeof p->digest);
    return 0;
}

int intake_put_finish(struct intake_put *p, intake_done done, void *arg,
                      struct err *err)
{
    uint8_t digest[PRIM_MD5];
    int code;

    intake_put_md5(p, digest);
    code = redact(p, err);
    if (code == 0) {
        code = p->large     ? finish_large(p, err)
               : p->in->age ? finish_small_age(p, err)
                            : finish_small(p, err);
    }
    if (code != 0) {
        return code;
    }
    wait_for_round(p->in, done, arg);
    put_free(p);
    return 0;
}

int intake_delete(struct intake *in, const char *key, size_t key_len,
                  intake_done done, void *arg, struct err *err)
{
    struct spool_object o = {
        .kind = SPOOL_DELETE,
        .time_ms = clock_real_ms(),
        .class_id = SPOOL_CLASSES - 1, /* never shed before what it deletes */
        .key = key,
        .key_len = (uint16_t)key_len,
    };
    uint8_t *payload;
    uint64_t id;
    int code = judge_key(key, key_len, err);

    if (code == 0) {
        code = spool_begin(in->spool, key_len, 0, 0, o.class_id, &payload, err);
    }
    if (code == 0) {
        spool_end(in->spool, &o, &id);
        wait_for_round(in, done, arg);
    }
    return code;
}
