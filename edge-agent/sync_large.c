/* sync_large.c: an object too large for a batch, as an S3 multipart upload.
 *
 * Create, parts of SYNC_PART bytes, complete; each a request of its own, so
 * that batches go on beside it. DATA/upload.json holds the upload's id: after a
 * cut or a restart the parts that the cluster has are asked for, and those that
 * are the same are not sent again. Complete carries the object's sequence, so
 * that it counts once. Source: AWS API reference, CreateMultipartUpload,
 * UploadPart, ListParts, CompleteMultipartUpload. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/prim.h"
#include "edge-agent/sync_internal.h"
#include "fleet/metadata.h"

#define UPLOAD_ID_MAX 1024
#define PARTS_PAGE 1000
#define SKIPS_AT_ONCE 4 /* parts read to be compared, between other work */
#define STRIKES_MAX 3   /* "bad request" so often, and it is given up */

enum step { CREATE, LIST, PART, COMPLETE };

struct part {
    uint8_t etag[PRIM_MD5];
    uint32_t size;
};

struct large {
    uint64_t id;
    uint8_t class_id;
    size_t part_max; /* bytes of all parts but the last */
    char *path;      /* "/BUCKET/KEY", escaped */
    char *upload;
    enum step step;
    bool flying;
    bool fresh; /* its end is told for the first time */
    unsigned strikes;
    struct intake_envelope *envelope;
    bool more; /* of the envelope */
    uint64_t size;
    struct buf bytes;   /* the part, and what was read beyond it */
    struct part *parts; /* 1, 2, ... */
    size_t part_count;
    size_t done;   /* parts that the cluster has, from the first */
    size_t listed; /* it said so of these */
};

/* ---- the file ---- */

static char *file_path(const struct sync *s)
{
    return mem_printf("%s/upload.json", s->data);
}

static void forget_upload(struct sync *s)
{
    char *path = file_path(s);

    unlink(path);
    free(path);
    free(s->large->upload);
    s->large->upload = NULL;
}

static void keep_upload(struct sync *s)
{
    char *path = file_path(s);
    struct buf b = {0};
    struct err err = {{0}};

    buf_printf(&b, "{\"number\":%llu,\"id\":%llu,\"upload\":",
               (unsigned long long)s->id.number,
               (unsigned long long)s->large->id);
    put_json_text(&b, s->large->upload);
    buf_str(&b, "}\n");
    if (fs_write(path, b.data, b.len, 0600, &err) != 0) {
        log_line(LOG_WARN, "upload.json was not written", "err", err.text,
                 NULL);
    }
    buf_free(&b);
    free(path);
}

/* The upload of this object that an earlier process began; NULL. */
static char *find_upload(const struct sync *s, uint64_t id)
{
    char *path = file_path(s);
    char *upload = NULL;
    struct buf b = {0};

    if (fs_read(path, DEVICE_ID_JSON_MAX, &b, NULL) == 0) {
        buf_char(&b, '\0');
        if (json_u64((char *)b.data, "number") == s->id.number &&
            json_u64((char *)b.data, "id") == id) {
            upload = json_text((char *)b.data, "upload");
        }
    }
    buf_free(&b);
    free(path);
    return upload;
}

/* ---- life ---- */

static void rewind_parts(struct large *l)
{
    intake_envelope_close(l->envelope);
    l->envelope = NULL;
    buf_clear(&l->bytes);
    l->done = 0;
}

void sync_large_free(struct sync *s)
{
    struct large *l = s->large;

    if (l != NULL) {
        intake_envelope_close(l->envelope);
        buf_free(&l->bytes);
        free(l->parts);
        free(l->upload);
        free(l->path);
        free(l);
        s->large = NULL;
    }
}

bool sync_large_idle(const struct sync *s)
{
    return s->large != NULL && !s->large->flying;
}

uint8_t sync_large_class(const struct sync *s)
{
    CHECK(s->large != NULL);
    return s->large->class_id;
}

static void end_large(struct sync *s)
{
    forget_upload(s);
    sync_large_free(s);
}

/* From here on at the upload's beginning. */
static void begin_anew(struct sync *s)
{
    forget_upload(s);
    rewind_parts(s->large);
    s->large->listed = 0;
    s->large->step = CREATE;
}

/* ---- XML ---- */

/* The text of the first <@tag> in [@from, @end); NULL. */
static const char *element(const char *from, const char *end, const char *tag,
                           size_t *len)
{
    char open_tag[40], close_tag[40];
    const char *at, *to;

    snprintf(open_tag, sizeof open_tag, "<%s>", tag);
    snprintf(close_tag, sizeof close_tag, "</%s>", tag);
    at = memmem(from, (size_t)(end - from), open_tag, strlen(open_tag));
    if (at == NULL) {
        return NULL;
    }
    at += strlen(open_tag);
    to = memmem(at, (size_t)(end - at), close_tag, strlen(close_tag));
    *len = to != NULL ? (size_t)(to - at) : 0;
    return to != NULL ? at : NULL;
}

static bool number_in(const char *from, const char *end, const char *tag,
                      uint64_t *out)
{
    size_t len;
    const char *at = element(from, end, tag, &len);

    return at != NULL && text_u64_n(at, len, out);
}

/* Hex between quotes, plain or escaped. */
static bool read_etag(const char *at, size_t len, uint8_t out[PRIM_MD5])
{
    static const char quote[] = "&quot;";

    if (len > 12 && memcmp(at, quote, 6) == 0) {
        at += 6;
        len -= 12;
    } else if (len > 2 && *at == '"') {
        at++;
        len -= 2;
    }
    return len == 2 * PRIM_MD5 && text_unhex(at, len, out, PRIM_MD5);
}

static bool says(const struct uplink_answer *a, const char *text)
{
    return memmem(a->body, a->body_len, text, strlen(text)) != NULL;
}

/* ---- answers that are none ---- */

/* The upload is over by a refusal. */
static void give_up(struct sync *s, bool denied, const char *why)
{
    uint64_t id = s->large->id;

    end_large(s);
    if (denied) {
        sync_denied(s, id);
    } else {
        sync_refused(s, id, why);
    }
}

static void judge_refusal(struct sync *s, const struct uplink_answer *a)
{
    struct large *l = s->large;

    if ((a->status == 404 && says(a, "NoSuchUpload")) ||
        (a->status == 400 && says(a, "<Code>InvalidPart"))) {
        begin_anew(s);
        sync_failed(s, "the upload of a large object is gone: it begins anew");
    } else if (a->status == 403 && says(a, "<Code>AccessDenied</Code>")) {
        sync_failed(s, "the cluster denies a large object");
        give_up(s, true, "");
    } else {
        sync_failed_answer(s, a);
        if ((a->status == 400 || a->status == 413) &&
            ++l->strikes >= STRIKES_MAX) {
            give_up(s, false, s->error);
        }
    }
}

/* True when the answer is one to be read. */
static bool landed(struct flight *f, int code, const struct uplink_answer *a,
                   const char *why)
{
    struct sync *s = f->sync;

    s->large->flying = false;
    if (!sync_landed(f, code, a, why)) {
        return false;
    }
    if (a->status != 200) {
        judge_refusal(s, a);
        return false;
    }
    return true;
}

/* ---- create ---- */

void sync_put_meta(struct sync *s, const struct spool_object *o,
                   struct buf *out)
{
    struct intake_meta meta;
    char time[TEXT_TIME_MAX];

    if (intake_meta_read(o, &meta, NULL) == 0) {
        if (meta.content_type != NULL) {
            buf_printf(out, "Content-Type: %s\r\n", meta.content_type);
        }
        for (size_t i = 0; i < meta.count; i++) {
            buf_printf(out, METADATA_HEADER "%s: %s\r\n", meta.pairs[2 * i],
                       meta.pairs[2 * i + 1]);
        }
        intake_meta_free(&meta);
    }
    if (s->store == NULL) {
        buf_printf(out, METADATA_HEADER METADATA_OWN "device: %s\r\n",
                   s->id.device);
    }
    buf_printf(out, METADATA_HEADER METADATA_OWN "device-time: %s\r\n",
               text_iso8601(o->time_ms, time));
}

static void on_created(void *arg, int code, const struct uplink_answer *a,
                       const char *why)
{
    struct flight *f = arg;
    struct sync *s = f->sync;
    const char *id;
    size_t len = 0;

    if (landed(f, code, a, why)) {
        id = element((const char *)a->body, (const char *)a->body + a->body_len,
                     "UploadId", &len);
        if (id == NULL || len == 0 || len > UPLOAD_ID_MAX ||
            memchr(id, '&', len) != NULL) {
            sync_failed(s, "the gateway began no upload");
        } else {
            sync_succeeded(s);
            s->large->upload = mem_strndup(id, len);
            s->large->step = PART;
            keep_upload(s);
        }
    }
    sync_pump(s);
}

static void send_create(struct flight *f, const struct spool_object *o)
{
    struct sync *s = f->sync;
    struct buf fields = {0};
    char *path = mem_printf("%s?uploads", s->large->path);
    struct uplink_request r = {.method = "POST", .path = path};

    sync_put_meta(s, o, &fields);
    r.fields = (char *)fields.data;
    sync_send(f, FLIGHT_LARGE, &r, on_created);
    buf_free(&fields);
    free(path);
}

static char *upload_path(const struct large *l, const char *more)
{
    struct buf b = {0};
    size_t len;

    buf_printf(&b, "%s?%suploadId=", l->path, more);
    text_uri_encode(&b, l->upload, strlen(l->upload), false);
    buf_char(&b, '\0');
    return (char *)buf_take(&b, &len);
}

/* ---- what the cluster has ---- */

/* Parts listed one after the other from the first. False: no such list. */
static bool read_list(struct large *l, const struct uplink_answer *a,
                      bool *more)
{
    const char *at = (const char *)a->body;
    const char *end = at + a->body_len;
    const char *part, *etag;
    size_t len = 0, etag_len = 0;

    if (!says(a, "</ListPartsResult>")) {
        return false;
    }
    while ((part = element(at, end, "Part", &len)) != NULL) {
        struct part p = {{0}, 0};
        uint64_t number = 0, size = 0;
        at = part + len;
        etag = element(part, at, "ETag", &etag_len);
        if (!number_in(part, at, "PartNumber", &number) ||
            !number_in(part, at, "Size", &size) || size > l->part_max ||
            etag == NULL || !read_etag(etag, etag_len, p.etag) ||
            number != l->listed + 1 || number > l->part_count) {
            continue; /* it is sent again */
        }
        p.size = (uint32_t)size;
        l->parts[l->listed++] = p;
    }
    *more = says(a, "<IsTruncated>true</IsTruncated>");
    return true;
}

static void on_listed(void *arg, int code, const struct uplink_answer *a,
                      const char *why)
{
    struct flight *f = arg;
    struct sync *s = f->sync;

    if (landed(f, code, a, why)) {
        size_t before = s->large->listed;
        bool more = false;
        if (!read_list(s->large, a, &more)) {
            sync_failed(s, "the gateway lists no parts");
        } else {
            sync_succeeded(s);
            if (!more || s->large->listed == before) {
                s->large->step = PART;
            }
        }
    }
    sync_pump(s);
}

static void send_list(struct flight *f)
{
    struct large *l = f->sync->large;
    char *more = mem_printf("max-parts=%d&part-number-marker=%zu&", PARTS_PAGE,
                            l->listed);
    char *path = upload_path(l, more);
    struct uplink_request r = {.method = "GET", .path = path};

    sync_send(f, FLIGHT_LARGE, &r, on_listed);
    free(path);
    free(more);
}

/* ---- parts ---- */

static size_t part_size(const struct large *l)
{
    uint64_t left = l->size - (uint64_t)l->done * l->part_max;

    return left < l->part_max ? (size_t)left : l->part_max;
}

/* Read until the part is at hand. */
static int fill(struct sync *s, struct err *err)
{
    struct large *l = s->large;
    size_t want = part_size(l);
    uint64_t size;
    int code = 0;

    if (l->envelope == NULL) {
        code = intake_envelope_open(s->intake, l->id, &l->envelope, &size, err);
        if (code == 0 && size != l->size) {
            code = err_set(err, ERR_CORRUPT, "its size has changed");
        }
        l->more = true;
    }
    buf_reserve(&l->bytes, l->part_max + SPOOL_PAYLOAD_MAX - l->bytes.len);
    while (code == 0 && l->bytes.len < want && l->more) {
        code = intake_envelope_next(l->envelope, &l->bytes, &l->more, err);
    }
    if (code == 0 && l->bytes.len < want) {
        code = err_set(err, ERR_CORRUPT, "it ends early");
    }
    return code;
}

static void next_part(struct large *l, const uint8_t etag[PRIM_MD5])
{
    size_t size = part_size(l);

    memcpy(l->parts[l->done].etag, etag, PRIM_MD5);
    l->parts[l->done].size = (uint32_t)size;
    memmove(l->bytes.data, l->bytes.data + size, l->bytes.len - size);
    l->bytes.len -= size;
    if (++l->done == l->part_count) {
        l->step = COMPLETE;
    }
}

static void on_part(void *arg, int code, const struct uplink_answer *a,
                    const char *why)
{
    struct flight *f = arg;
    struct sync *s = f->sync;

    if (landed(f, code, a, why)) {
        const char *text = http_field(a->head, "ETag");
        uint8_t etag[PRIM_MD5];
        if (text == NULL || !read_etag(text, strlen(text), etag)) {
            sync_failed(s, "the gateway took a part without an ETag");
        } else {
            sync_succeeded(s);
            s->large->strikes = 0;
            next_part(s->large, etag);
        }
    }
    sync_pump(s);
}

static void send_part(struct flight *f, const uint8_t md5[PRIM_MD5])
{
    struct large *l = f->sync->large;
    char text[TEXT_BASE64_MAX(PRIM_MD5)];
    char *more = mem_printf("partNumber=%zu&", l->done + 1);
    char *path = upload_path(l, more);
    char *fields =
        mem_printf("Content-MD5: %s\r\n", text_base64(md5, PRIM_MD5, text));
    struct uplink_request r = {.method = "PUT",
                               .path = path,
                               .fields = fields,
                               .body = l->bytes.data,
                               .body_len = part_size(l)};

    sync_send(f, FLIGHT_LARGE, &r, on_part);
    free(fields);
    free(path);
    free(more);
}

/* Send the next part that the cluster does not have. False: nothing is sent
 * now. */
static bool go_on(struct flight *f, struct err *err, int *code)
{
    struct sync *s = f->sync;
    struct large *l = s->large;

    for (int i = 0; i < SKIPS_AT_ONCE; i++) {
        const struct part *p = &l->parts[l->done];
        uint8_t md5[PRIM_MD5];
        *code = fill(s, err);
        if (*code != 0) {
            return false;
        }
        prim_md5(l->bytes.data, part_size(l), md5);
        if (l->done >= l->listed || p->size != part_size(l) ||
            memcmp(p->etag, md5, sizeof md5) != 0) {
            send_part(f, md5);
            return true;
        }
        next_part(l, md5);
        if (l->step == COMPLETE) {
            break;
        }
    }
    loop_timer_set(s->loop, &s->wake, 0); /* others first, then here again */
    return false;
}

/* ---- complete ---- */

static void on_completed(void *arg, int code, const struct uplink_answer *a,
                         const char *why)
{
    struct flight *f = arg;
    struct sync *s = f->sync;

    if (landed(f, code, a, why)) {
        const char *repeated = http_field(a->head, "x-godwit-repeated");
        bool again = repeated != NULL && strcmp(repeated, "true") == 0;
        if (!again && !says(a, "</CompleteMultipartUploadResult>")) {
            sync_failed(s, "the gateway did not complete an upload");
        } else if (again && s->large->fresh && !a->again) {
            sync_copied(s, s->large->id);
        } else {
            uint64_t id = s->large->id;
            sync_succeeded(s);
            s->repeated += again;
            end_large(s);
            sync_delivered(s, id);
        }
    }
    sync_pump(s);
}

static void send_complete(struct flight *f)
{
    struct sync *s = f->sync;
    struct large *l = s->large;
    char *path = upload_path(l, "");
    char *number = s->store != NULL
                       ? mem_strdup("")
                       : mem_printf(
                             "x-godwit-sequence: %llu\r\n"
                             "x-godwit-floor: %llu\r\n",
                             (unsigned long long)l->id,
                             (unsigned long long)spool_floor(s->spool));
    char *fields = mem_printf("Content-Type: application/xml\r\n%s", number);
    struct uplink_request r = {
        .method = "POST", .path = path, .fields = fields};

    l->fresh = l->id >= s->first_id && l->id > s->completed;
    s->completed = l->id > s->completed ? l->id : s->completed;
    buf_clear(&f->body);
    buf_str(&f->body, "<CompleteMultipartUpload>");
    for (size_t i = 0; i < l->part_count; i++) {
        char hex[2 * PRIM_MD5 + 1];
        buf_printf(&f->body,
                   "<Part><PartNumber>%zu</PartNumber><ETag>%s</ETag></Part>",
                   i + 1, text_hex(l->parts[i].etag, PRIM_MD5, hex));
    }
    buf_str(&f->body, "</CompleteMultipartUpload>");
    r.body = f->body.data;
    r.body_len = f->body.len;
    sync_send(f, FLIGHT_LARGE, &r, on_completed);
    free(number);
    free(fields);
    free(path);
}

/* ---- steps ---- */

/* The object went, shed for room or read no more: so does its upload. */
static void drop_large(struct sync *s, int code, const struct err *why)
{
    uint64_t id = s->large->id;

    end_large(s);
    if (code == ERR_NOT_FOUND) {
        sync_plan_end(&s->plan, id, false);
    } else if (code == ERR_CORRUPT) {
        sync_damaged(s, id, why);
    } else {
        sync_plan_end(&s->plan, id, true);
        sync_failed(s, "a large object was not read: %s", why->text);
    }
}

void sync_large_step(struct flight *f)
{
    struct sync *s = f->sync;
    struct large *l = s->large;
    struct buf text = {0};
    struct spool_object o;
    struct err err = {{0}};
    int code = spool_get(s->spool, l->id, &o, &text, &err);

    if (code == 0) {
        l->flying = true;
        if (l->step == CREATE) {
            send_create(f, &o);
        } else if (l->step == LIST) {
            send_list(f);
        } else if (l->step == PART) {
            l->flying = go_on(f, &err, &code);
        } else if (spool_save_shed(s->spool, &err) != 0) {
            l->flying = false; /* once more, after a pause */
            sync_failed(s, "the spool: %s", err.text);
        } else {
            send_complete(f);
        }
    }
    buf_free(&text);
    if (code != 0) {
        drop_large(s, code, &err);
    }
}

void sync_large_start(struct flight *f, uint64_t id)
{
    struct sync *s = f->sync;
    struct large *l = mem_alloc(sizeof *l);
    struct buf text = {0}, path = {0};
    struct intake_envelope *e = NULL;
    struct spool_object o;
    struct err err = {{0}};
    size_t len;
    int code;

    CHECK(s->large == NULL);
    s->large = l;
    l->id = id;
    code = spool_get(s->spool, id, &o, &text, &err);
    if (code == 0) {
        l->class_id = o.class_id;
        code = intake_envelope_open(s->intake, id, &e, &l->size, &err);
    }
    if (code == 0) {
        intake_envelope_close(e);
        buf_char(&path, '/');
        text_uri_encode(&path, o.key, o.key_len, true);
        buf_char(&path, '\0');
        l->path = (char *)buf_take(&path, &len);
        l->part_max = s->store != NULL ? SYNC_STORE_PART : SYNC_PART;
        l->part_count = (size_t)((l->size + l->part_max - 1) / l->part_max);
        l->parts = mem_calloc(l->part_count, sizeof l->parts[0]);
        l->upload = find_upload(s, id);
        l->step = l->upload != NULL ? LIST : CREATE;
        sync_used(s, id);
    }
    buf_free(&text);
    if (code != 0) {
        drop_large(s, code, &err);
    } else {
        sync_large_step(f);
    }
}
