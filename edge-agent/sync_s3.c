/* sync_s3.c: to a store that knows S3 and nothing of ours.
 *
 * One PUT or DELETE at a time on each connection; where the store unpacks tars
 * (x-amz-meta-snowball-auto-extract), small objects without metadata of their
 * own go many in one. Large ones are uploads in parts (sync_large.c). What got
 * no answer is sent again, so an object may be put twice: the same bytes under
 * the same key.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "crypto/prim.h"
#include "edge-agent/s3_sign.h"
#include "edge-agent/sync_internal.h"
#include "fleet/tar.h"

/* Stored bytes; larger ones go by themselves. */
#define SMALL_MAX (256U * 1024)
#define CODE_MAX 64

void sync_s3_sign(struct flight *f, struct uplink_request *r)
{
    struct sync *s = f->sync;
    bool known;
    const struct s3_sign_request sr = {.method = r->method,
                                       .path = r->path,
                                       .host = s->url.authority,
                                       .fields = r->fields,
                                       .body = r->body,
                                       .body_len = r->body_len,
                                       .time_ms = sync_now(s, &known)};

    buf_clear(&f->fields);
    s3_sign(s->store->keys, &sr, &f->fields);
    r->fields = (const char *)f->fields.data;
}

/* ---- answers ---- */

static void all_again(struct flight *f)
{
    for (size_t i = 0; i < f->count; i++) {
        sync_plan_end(&f->sync->plan, f->ids[i], true);
    }
    f->count = 0;
}

/* "the store answered 403 AccessDenied". */
static void failed(struct sync *s, const struct uplink_answer *a)
{
    const char *body = (const char *)a->body;
    const char *from = strstr(body, "<Code>");
    const char *to = from != NULL ? strstr(from, "</Code>") : NULL;
    int len = 0;

    if (to != NULL && to - from - 6 <= CODE_MAX) {
        from += 6;
        len = (int)(to - from);
    }
    sync_failed(s, "the store answered %d %.*s", a->status, len,
                len > 0 ? from : "");
}

/* Statuses that say that the request is wrong as it is. */
static bool is_refusal(int status)
{
    return status == 400 || status == 411 || status == 413 || status == 414 ||
           status == 415 || status == 422 || status == 501;
}

static void judge(struct flight *f, const struct uplink_answer *a)
{
    struct sync *s = f->sync;

    if (a->status == 200 || a->status == 204) {
        s->batches++;
        sync_succeeded(s);
        for (size_t i = 0; i < f->count; i++) {
            sync_delivered(s, f->ids[i]);
        }
        f->count = 0;
        return;
    }
    failed(s, a);
    if (is_refusal(a->status) && f->count == 1) {
        sync_denied(s, f->ids[0]); /* twice, and it is given up */
        f->count = 0;
    } else if (is_refusal(a->status) && s->store->snowball) {
        log_line(LOG_WARN, "the store takes no tars: one PUT each from now on",
                 "err", s->error, NULL);
        s->store_is.snowball = false;
    }
    all_again(f);
}

static void on_done(void *arg, int code, const struct uplink_answer *a,
                    const char *why)
{
    struct flight *f = arg;
    struct sync *s = f->sync;

    buf_free(&f->body);
    if (!sync_landed(f, code, a, why)) {
        all_again(f);
    } else {
        judge(f, a);
        sync_remember(s, false);
    }
    sync_pump(s);
}

/* ---- one at a time ---- */

static char *path_of(const struct spool_object *o)
{
    struct buf b = {0};
    size_t len;

    buf_char(&b, '/');
    text_uri_encode(&b, o->key, o->key_len, true);
    buf_char(&b, '\0');
    return (char *)buf_take(&b, &len);
}

static void send_one(struct flight *f, const struct spool_object *o)
{
    struct buf fields = {0};
    char *path = path_of(o);
    struct uplink_request r = {.method = "DELETE", .path = path};

    if (o->kind == SPOOL_OBJECT) {
        char text[TEXT_BASE64_MAX(PRIM_MD5)];
        uint8_t md5[PRIM_MD5];
        prim_md5(f->body.data, f->body.len, md5);
        sync_put_meta(f->sync, o, &fields);
        buf_printf(&fields, "Content-MD5: %s\r\n",
                   text_base64(md5, sizeof md5, text));
        r.method = "PUT";
        r.fields = (char *)fields.data;
        r.body = f->body.data;
        r.body_len = f->body.len;
    }
    sync_send(f, FLIGHT_BATCH, &r, on_done);
    buf_free(&fields);
    free(path);
}

/* ---- many in a tar ---- */

/* A tar keeps neither content type nor metadata, and no odd key. */
static bool fits_tar(const struct spool_object *o, const char *bucket,
                     const char *key)
{
    const char *as = "";
    struct intake_meta meta;
    bool plain;

    if (o->kind != SPOOL_OBJECT || intake_meta_read(o, &meta, NULL) != 0) {
        return false;
    }
    plain = meta.count == 0 && meta.content_type == NULL;
    intake_meta_free(&meta);
    return plain && bucket != NULL && tar_path_key(key, &as) == NULL &&
           as == key && key[strlen(key) - 1] != '/';
}

/* Add to the tar in f->body. False: it does not go there. */
static bool add_member(struct flight *f, uint64_t id, char **bucket)
{
    struct sync *s = f->sync;
    struct buf text = {0}, envelope = {0};
    struct spool_object o;
    char *key = NULL, *slash = NULL;
    bool fits = spool_get(s->spool, id, &o, &text, NULL) == 0;

    if (fits) {
        key = mem_strndup(o.key, o.key_len);
        slash = strchr(key, '/');
        fits = slash != NULL;
    }
    if (fits) {
        *slash = '\0';
        fits = fits_tar(&o, key, slash + 1) &&
               (*bucket == NULL || strcmp(*bucket, key) == 0) &&
               sync_read_envelope(s, id, &envelope, NULL) == 0;
    }
    if (fits) {
        tar_header(&f->body, slash + 1, envelope.len, o.time_ms / 1000);
        buf_append(&f->body, envelope.data, envelope.len);
        tar_pad(&f->body, envelope.len);
        f->ids[f->count++] = id;
        if (*bucket == NULL) {
            *bucket = mem_strdup(key);
        }
    }
    free(key);
    buf_free(&text);
    buf_free(&envelope);
    return fits;
}

static void send_tar(struct flight *f, const char *bucket)
{
    static const char fields[] =
        "Content-Type: application/x-tar\r\n"
        "x-amz-meta-snowball-auto-extract: true\r\n";
    char *path = mem_printf("/%s/godwit-edge-%llu.tar", bucket,
                            (unsigned long long)f->ids[0]);
    struct uplink_request r = {.method = "PUT", .path = path, .fields = fields};

    tar_end(&f->body);
    r.body = f->body.data;
    r.body_len = f->body.len;
    sync_send(f, FLIGHT_BATCH, &r, on_done);
    free(path);
}

/* More objects beside the first in the tar. */
static void fill(struct flight *f, uint8_t priority_min, char **bucket)
{
    struct sync *s = f->sync;

    while (f->count < SYNC_BATCH_OBJECTS && f->body.len < SYNC_BATCH_BYTES) {
        const struct index_entry *e = sync_plan_next(
            &s->plan, spool_held(s->spool), priority_min, SMALL_MAX);
        uint64_t id = e != NULL ? e->id : 0;
        if (e == NULL) {
            break;
        }
        if (!add_member(f, id, bucket)) {
            sync_plan_put_back(&s->plan, id);
            break;
        }
    }
}

/* ---- the next ---- */

/* It alone; false: it is not sent. */
static bool start_one(struct flight *f, uint64_t id)
{
    struct sync *s = f->sync;
    struct buf text = {0};
    struct spool_object o;
    struct err err = {{0}};
    int code = spool_get(s->spool, id, &o, &text, &err);

    buf_clear(&f->body);
    if (code == 0 && o.kind == SPOOL_OBJECT) {
        code = sync_read_envelope(s, id, &f->body, &err);
    }
    if (code == 0) {
        f->ids[f->count++] = id;
        send_one(f, &o);
    } else if (code == ERR_CORRUPT) {
        sync_damaged(s, id, &err);
    } else {
        sync_plan_end(&s->plan, id, true);
        sync_failed(s, "the spool: %s", err.text);
    }
    buf_free(&text);
    return code == 0;
}

bool sync_s3_start(struct flight *f, uint8_t priority_min, uint64_t *large)
{
    struct sync *s = f->sync;
    const struct index_entry *e;
    struct err err = {{0}};
    char *bucket = NULL;
    uint64_t id;

    f->count = 0;
    sync_plan_batch(&s->plan);
    e = sync_plan_next(&s->plan, spool_held(s->spool), priority_min,
                       s->large != NULL ? SYNC_STORE_PART : UINT32_MAX);
    if (e == NULL) {
        return false;
    }
    id = e->id;
    if (spool_save_shed(s->spool, &err) != 0) {
        sync_plan_end(&s->plan, id, true);
        sync_failed(s, "the spool: %s", err.text);
        return false;
    }
    if (e->stored_size > SYNC_STORE_PART) {
        *large = id;
        return false;
    }
    buf_clear(&f->body);
    if (!s->store->snowball || e->stored_size > SMALL_MAX ||
        !add_member(f, id, &bucket)) {
        return start_one(f, id);
    }
    fill(f, priority_min, &bucket);
    send_tar(f, bucket);
    free(bucket);
    return true;
}
