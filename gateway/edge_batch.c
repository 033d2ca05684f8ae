/* POST /-/edge/v1/batch: many small objects of a device (fleet/batch.h).
 *
 * The whole body is read before anything is stored. What does not fit into a
 * row goes to the drives first; then all commands are proposed at once, so that
 * they are one entry of the log, and each is answered for by itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/json.h"
#include "base/latch.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/text.h"
#include "crypto/digest.h"
#include "fleet/batch.h"
#include "fleet/metadata.h"
#include "gateway/access.h"
#include "gateway/audit.h"
#include "gateway/bucket_rules.h"
#include "gateway/edge_auth.h"
#include "gateway/gateway_internal.h"
#include "gateway/request.h"
#include "gateway/s3_access.h"
#include "gateway/s3_attrs.h"
#include "gateway/s3_router.h"
#include "gateway/s3_sse.h"
#include "meta/meta_device.h"
#include "object/object_put.h"
#include "object/object_store.h"

#define BUFFER_WAIT_MS 10000
/* With the header of its segment. */
#define OBJECT_MAX (BATCH_OBJECT_MAX + BATCH_SEGMENT_MAX)
#define OWN METADATA_HEADER METADATA_OWN
#define TIME_MAX_MS 253402300799999 /* the last of year 9999 */

struct item {
    struct meta_proposal proposal;
    struct buf command;
    struct object_put *put; /* its shards; NULL: none */
    uint64_t sequence;
    enum batch_status status;
    bool proposed;
};

struct batch {
    struct request *r;
    struct batch_reader reader;
    char *bucket; /* that of the device */
    struct item *items;
    size_t count;
    bool replied;
    struct latch latch;
};

/* ---- what an object is ---- */

/* Attrs as PutObject keeps them, and whose the object is and when it was, by
 * the device's clock. */
static bool put_attrs(const struct batch *b, const struct batch_object *o,
                      struct buf *out)
{
    size_t size = 0;
    char time[40];

    s3_attrs_begin(out);
    if (o->content_type != NULL) {
        s3_attrs_add(out, "content-type", o->content_type);
        if (!metadata_value_ok(o->content_type)) {
            return false;
        }
    }
    for (size_t i = 0; i < o->pair_count; i++) {
        const struct batch_pair *p = &o->pairs[i];
        char *name = mem_printf(METADATA_HEADER "%s", p->name);
        bool ok = metadata_name_ok(p->name) && metadata_value_ok(p->value);
        size += strlen(p->name) + strlen(p->value);
        if (ok) {
            s3_attrs_add(out, name, p->value);
        }
        free(name);
        if (!ok || size > METADATA_BYTES_MAX) {
            return false;
        }
    }
    s3_attrs_add(out, OWN "device",
                 b->r->user->name + strlen(ACCESS_DEVICE_PREFIX));
    s3_attrs_add(
        out, OWN "device-time",
        text_iso8601(o->time_ms < TIME_MAX_MS ? o->time_ms : TIME_MAX_MS,
                     time));
    return true;
}

/* May it be, and go on? Sets the item's status otherwise. */
static bool judge(const struct batch *b, const struct batch_object *o,
                  const char *bucket, struct item *item)
{
    size_t key_len = strlen(o->key);
    struct access_bucket *access = NULL;
    const char *why;
    bool good;
    int rc;

    item->status = BATCH_BAD;
    if (!s3_bucket_name_valid(bucket, &why) || key_len == 0 ||
        key_len > META_KEY_MAX || !text_utf8(o->key, key_len)) {
        return false;
    }
    rc = access_bucket(b->r->gateway, bucket, &access, NULL);
    access_bucket_free(access);
    if (rc != 0) { /* it may come back; what the device has is all there is */
        item->status = BATCH_RETRY;
        return false;
    }
    item->status = BATCH_DENIED;
    good = s3_may(
        b->r,
        (o->flags & BATCH_DELETE) != 0 ? "s3:DeleteObject" : "s3:PutObject",
        bucket, o->key);
    audit_key(b->r,
              (o->flags & BATCH_DELETE) != 0 ? "DeleteObject" : "PutObject",
              bucket, o->key, 0, !good);
    return good;
}

/* ---- bytes ---- */

static int write_shards(struct batch *b, const char *bucket, struct s3_sse *sse,
                        const struct buf *bytes, struct item *item,
                        struct buf *manifest, struct err *err)
{
    struct gateway *g = b->r->gateway;
    uint32_t len = (uint32_t)bytes->len;
    uint32_t room = (uint32_t)s3_sse_sealed_bytes(OBJECT_MAX);
    size_t buffer_bytes = object_buffer_bytes(g->objects, room);
    void *buffer = pool_get_block(g->pool, buffer_bytes, BUFFER_WAIT_MS);
    int rc;

    if (buffer == NULL) {
        return err_set(err, ERR_BUSY, "no buffer for an object");
    }
    CHECK(len <= OBJECT_MAX);
    memcpy(buffer, bytes->data, len);
    if (sse != NULL) {
        len = s3_sse_seal(sse, buffer, len);
    }
    item->put = bucket_put_open(g, bucket, sse != NULL);
    rc = object_put_write(item->put, buffer, room, len, err);
    if (rc != 0) {
        pool_put(g->pool, buffer, buffer_bytes);
    } else {
        rc = object_put_commit(item->put, manifest, err);
    }
    if (rc != 0) {
        object_put_abort(item->put);
        item->put = NULL;
    }
    return rc;
}

/* What seals the bytes as the bucket has it by default; false: it cannot be,
 * which the reply says. */
static bool bucket_seals(struct batch *b, const char *bucket,
                         struct s3_sse **out)
{
    struct s3_sse_how how;
    bool ok;

    snprintf(b->r->bucket, sizeof b->r->bucket, "%s", bucket);
    ok = s3_sse_asked(b->r, &how);
    if (ok && how.kind != S3_SSE_NONE) {
        ok = s3_sse_new_as(b->r, &how, NULL, out);
    }
    mem_wipe(&how, sizeof how);
    b->replied = !ok;
    return ok;
}

/* Bytes into a row or to the drives, and a command that names them. */
static int store(struct batch *b, const struct batch_object *o,
                 const char *bucket, struct s3_sse *sse, struct buf *attrs,
                 struct item *item, struct err *err)
{
    struct buf bytes = {0}, manifest = {0};
    struct meta_content content = {.size_bytes = 0};
    uint8_t md5[DIGEST_MAX];
    char etag[2 * DIGEST_MAX + 1];
    int rc = 0;

    batch_content(o, &bytes);
    content.size_bytes = bytes.len;
    text_hex(md5, digest_of(DIGEST_MD5, bytes.data, bytes.len, md5), etag);
    if (sse != NULL) {
        s3_sse_etag(sse, md5, etag);
        s3_sse_attrs(sse, attrs);
    }
    if (bytes.len > META_INLINE_MAX || (sse != NULL && bytes.len > 0)) {
        rc = write_shards(b, bucket, sse, &bytes, item, &manifest, err);
        content.manifest = manifest.data;
        content.manifest_len = manifest.len;
    } else if (bytes.len > 0) {
        content.inline_bytes = bytes.data;
    }
    if (rc == 0) {
        command_object_put(&item->command, bucket, o->key, NULL, &content, etag,
                           attrs->data, attrs->len, b->r->time_ms);
    }
    buf_free(&bytes);
    buf_free(&manifest);
    return rc;
}

static int prepare_put(struct batch *b, const struct batch_object *o,
                       const char *bucket, struct item *item, struct err *err)
{
    struct buf attrs = {0};
    struct s3_sse *sse = NULL;
    int rc = 0;

    if (!put_attrs(b, o, &attrs)) {
        item->status = BATCH_BAD;
        rc = ERR_BAD_INPUT;
    } else if (!bucket_seals(b, bucket, &sse)) {
        rc = ERR_PRECONDITION;
    } else {
        rc = store(b, o, bucket, sse, &attrs, item, err);
    }
    s3_sse_free(sse);
    buf_free(&attrs);
    return rc;
}

/* Make the command of one object, unless its status is clear already. */
static void prepare(struct batch *b, const struct batch_object *o,
                    struct item *item)
{
    struct command_more more = {.device = b->r->user->device,
                                .sequence = o->sequence,
                                .floor = b->reader.floor};
    const char *bucket = o->bucket != NULL ? o->bucket : b->bucket;
    struct err err = {{0}};
    int rc = 0;

    if (!judge(b, o, bucket, item)) {
        return;
    }
    item->status = BATCH_RETRY;
    if ((o->flags & BATCH_DELETE) != 0) {
        command_object_delete(&item->command, bucket, o->key, NULL,
                              b->r->time_ms);
    } else {
        rc = prepare_put(b, o, bucket, item, &err);
    }
    if (rc == 0) {
        command_add_more(&item->command, 0, &more);
    } else if (item->status == BATCH_RETRY && !b->replied) {
        log_line(LOG_WARN, "delivery put off", "device", b->r->user->name,
                 "reason", err.text, NULL);
    }
}

/* ---- committing ---- */

static void committed(struct meta_proposal *p)
{
    struct batch *b = p->owner;

    latch_signal(&b->latch);
}

/* Many at once, and the catalogue's one thread makes one entry of them. */
static void propose_all(struct batch *b)
{
    size_t proposed = 0;

    for (size_t i = 0; i < b->count; i++) {
        struct item *item = &b->items[i];
        if (item->command.len > 0) {
            item->proposal = (struct meta_proposal){
                .command = item->command.data,
                .command_len = item->command.len,
                .done = committed,
                .owner = b,
            };
            item->proposed = true;
            proposed++;
            meta_propose(b->r->gateway->meta, &item->proposal);
        }
    }
    /* done() comes for each, however it ends. */
    while (!latch_wait(&b->latch, proposed, 60000)) {
        log_line(LOG_WARN, "deliveries wait for the catalogue", NULL);
    }
}

static enum batch_status status_of(const struct meta_proposal *p)
{
    switch (p->status) {
        case 0:
            return BATCH_STORED;
        case ERR_EXISTS:
            return BATCH_REPEATED;
        case ERR_DENIED:
        case ERR_RETAINED:
            return BATCH_DENIED;
        case ERR_BAD_INPUT:
        case ERR_NO_LOCK:
            return BATCH_BAD;
        default:
            return BATCH_RETRY;
    }
}

/* Let go of an item; its shards stay when the catalogue names them, or may. */
static void end_item(struct item *item)
{
    int status = item->proposed ? item->proposal.status : ERR_CLOSED;

    if (item->put != NULL) {
        object_put_close(item->put, status == 0 || status == ERR_UNKNOWN);
    }
    buf_free(&item->command);
}

/* ---- the request ---- */

/* The bucket of what names none. */
static int find_bucket(struct batch *b, struct err *err)
{
    struct meta_device d = {.policy = NULL};
    int rc =
        meta_device_local(b->r->gateway->meta, b->r->user->device, &d, err);

    if (rc == 0) {
        b->bucket = json_text(d.settings, "bucket");
    }
    meta_device_free(&d);
    return rc;
}

/* Read all of the body; prepare nothing before that is done. */
static int read_all(struct batch *b, struct batch_object *objects,
                    struct err *err)
{
    bool more = true;
    int rc = 0;

    while (rc == 0 && more) {
        struct batch_object o;
        rc = batch_next(&b->reader, &o, &more, err);
        if (rc == 0 && more) {
            objects[b->count++] = o;
        }
    }
    return rc;
}

static void answer(struct batch *b)
{
    struct request *r = b->r;

    reply(r, 200);
    reply_header(r, "Content-Type", "application/octet-stream");
    batch_answer_begin(&r->reply_body, b->count);
    for (size_t i = 0; i < b->count; i++) {
        struct item *item = &b->items[i];
        if (item->proposed) {
            item->status = status_of(&item->proposal);
        }
        batch_answer_add(&r->reply_body, item->sequence, item->status);
    }
    batch_answer_end(&r->reply_body);
}

void edge_batch(struct request *r)
{
    struct batch b = {.r = r};
    struct batch_object *objects = NULL;
    struct err err = {{0}};
    int rc;

    rc = batch_open(&b.reader, r->document.data, r->document.len, &err);
    if (rc == 0) {
        objects = mem_calloc(b.reader.count, sizeof *objects);
        rc = read_all(&b, objects, &err);
    }
    if (rc != 0) {
        edge_error(r, 400, "%s", err.text);
    } else if (find_bucket(&b, &err) != 0) {
        edge_error(r, 503, "%s", err.text);
    } else {
        latch_init(&b.latch);
        b.items = mem_calloc(b.count, sizeof *b.items);
        for (size_t i = 0; i < b.count && !b.replied; i++) {
            b.items[i].sequence = objects[i].sequence;
            prepare(&b, &objects[i], &b.items[i]);
        }
        if (!b.replied) {
            propose_all(&b);
            answer(&b);
        }
        for (size_t i = 0; i < b.count; i++) {
            end_item(&b.items[i]);
        }
        latch_close(&b.latch);
    }
    free(b.items);
    free(b.bucket);
    free(objects);
}
