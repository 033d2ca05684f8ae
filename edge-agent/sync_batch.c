/* sync_batch.c: small objects and deletes, many in one request. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "crypto/seal.h"
#include "edge-agent/sync_internal.h"
#include "fleet/batch.h"

/* An envelope has a head and its segment's header beside what is spooled. */
#define SMALL_MAX (BATCH_OBJECT_MAX - 2 * BATCH_SEGMENT_MAX)

_Static_assert(SYNC_BATCH_OBJECTS <= BATCH_OBJECTS_MAX, "a batch is a batch");

/* ---- building ---- */

int sync_read_envelope(struct sync *s, uint64_t id, struct buf *out,
                       struct err *err)
{
    struct intake_envelope *e = NULL;
    bool more = true;
    uint64_t size;
    int code = intake_envelope_open(s->intake, id, &e, &size, err);

    while (code == 0 && more) {
        code = intake_envelope_next(e, out, &more, err);
    }
    intake_envelope_close(e);
    return code;
}

/* @key is "BUCKET/KEY", with a NUL; is cut in two. */
static int describe(const struct spool_object *o, char *key,
                    const struct intake_meta *meta, struct batch_object *out,
                    struct err *err)
{
    char *slash = strchr(key, '/');

    if (slash == NULL) {
        return err_set(err, ERR_CORRUPT, "its key has no bucket");
    }
    *slash = '\0';
    out->bucket = key;
    out->key = slash + 1;
    out->sequence = o->id;
    out->time_ms = o->time_ms;
    out->class_id = o->class_id;
    out->flags = o->kind == SPOOL_DELETE ? BATCH_DELETE : 0;
    out->content_type = meta->content_type;
    out->pair_count = (uint8_t)meta->count;
    for (size_t i = 0; i < meta->count; i++) {
        out->pairs[i].name = meta->pairs[2 * i];
        out->pairs[i].value = meta->pairs[2 * i + 1];
    }
    return 0;
}

static int add_object(struct flight *f, struct batch_writer *w, uint64_t id,
                      size_t *bytes, struct err *err)
{
    struct sync *s = f->sync;
    struct buf text = {0}, envelope = {0};
    struct intake_meta meta = {0};
    struct batch_object b = {0};
    struct spool_object o;
    char *key = NULL;
    int code = spool_get(s->spool, id, &o, &text, err);

    if (code == 0 && o.kind == SPOOL_OBJECT) {
        code = intake_meta_read(&o, &meta, err);
        if (code == 0) {
            code = sync_read_envelope(s, id, &envelope, err);
        }
    }
    if (code == 0) {
        key = mem_strndup(o.key, o.key_len);
        code = describe(&o, key, &meta, &b, err);
    }
    if (code == 0) {
        b.data = envelope.data;
        b.len = envelope.len;
        if (seal_is_envelope(b.data, b.len)) { /* not a file of age */
            b.flags |= BATCH_SEALED;
        }
        code = batch_add(w, &b, err);
    }
    if (code == 0) {
        f->ids[f->count++] = id;
        *bytes += envelope.len + text.len;
    }
    intake_meta_free(&meta);
    free(key);
    buf_free(&text);
    buf_free(&envelope);
    return code;
}

/* ---- the answer ---- */

/* True when the object is to go once more. */
static bool settle(struct sync *s, uint64_t id, enum batch_status status)
{
    switch (status) {
        case BATCH_REPEATED:
            s->repeated++;
            sync_delivered(s, id);
            break;
        case BATCH_STORED:
            sync_delivered(s, id);
            break;
        case BATCH_DENIED:
            sync_denied(s, id);
            break;
        case BATCH_BAD:
            sync_refused(s, id, "the cluster cannot read it");
            break;
        case BATCH_RETRY:
        case BATCH_STATUS_END:
            sync_plan_end(&s->plan, id, true);
            return true;
    }
    return false;
}

/* Each object is answered, in the order sent. */
static int check_answer(const struct flight *f, const struct uplink_answer *a,
                        struct batch_answer *out, struct err *err)
{
    int code = batch_answer_open(out, a->body, a->body_len, err);

    if (code == 0 && out->count != f->count) {
        code = err_set(err, ERR_BAD_INPUT, "%zu answers to %zu objects",
                       out->count, f->count);
    }
    for (size_t i = 0; code == 0 && i < f->count; i++) {
        enum batch_status status;
        uint64_t sequence;
        batch_answer_row(out, i, &sequence, &status);
        if (sequence != f->ids[i]) {
            code = err_set(err, ERR_BAD_INPUT, "an answer to other objects");
        }
    }
    return code;
}

/* The first that was repeated though it never went out before; or 0. */
static uint64_t find_strange(const struct flight *f,
                             const struct uplink_answer *a,
                             const struct batch_answer *answer)
{
    for (size_t i = 0; i < f->count && !a->again; i++) {
        enum batch_status status;
        uint64_t sequence;
        batch_answer_row(answer, i, &sequence, &status);
        if (status == BATCH_REPEATED && sequence >= f->fresh) {
            return sequence;
        }
    }
    return 0;
}

static void settle_batch(struct flight *f, const struct batch_answer *answer)
{
    struct sync *s = f->sync;
    size_t count = f->count;
    size_t again = 0;

    s->batches++;
    f->count = 0;
    for (size_t i = 0; i < count; i++) {
        enum batch_status status;
        uint64_t sequence;
        batch_answer_row(answer, i, &sequence, &status);
        again += settle(s, sequence, status);
    }
    if (again < count) {
        sync_succeeded(s);
    }
    if (again > 0) {
        sync_failed(s, "the cluster cannot store %zu of %zu objects now", again,
                    count);
    }
    sync_remember(s, false);
}

static void all_again(struct flight *f)
{
    for (size_t i = 0; i < f->count; i++) {
        sync_plan_end(&f->sync->plan, f->ids[i], true);
    }
    f->count = 0;
}

static void on_batch(void *arg, int code, const struct uplink_answer *a,
                     const char *why)
{
    struct flight *f = arg;
    struct sync *s = f->sync;
    struct batch_answer answer;
    struct err err = {{0}};
    uint64_t strange;

    buf_free(&f->body); /* the next one may be far away */
    if (!sync_landed(f, code, a, why)) {
        all_again(f);
    } else if (a->status != 200) {
        sync_failed_answer(s, a);
        all_again(f);
    } else if (check_answer(f, a, &answer, &err) != 0) {
        sync_failed(s, "%s: no answer to a batch: %s", s->url.authority,
                    err.text);
        all_again(f);
    } else if ((strange = find_strange(f, a, &answer)) != 0) {
        sync_copied(s, strange);
        all_again(f);
    } else {
        settle_batch(f, &answer);
    }
    sync_pump(s);
}

/* Fill the batch; the id of a large object that must go by itself, or 0. */
static uint64_t fill(struct flight *f, struct batch_writer *w,
                     uint8_t priority_min)
{
    struct sync *s = f->sync;
    size_t bytes = 0;

    while (f->count < SYNC_BATCH_OBJECTS && bytes < SYNC_BATCH_BYTES) {
        const struct index_entry *e =
            sync_plan_next(&s->plan, spool_held(s->spool), priority_min,
                           s->large != NULL ? SMALL_MAX : UINT32_MAX);
        struct err err = {{0}};
        uint64_t id;
        int code;
        if (e == NULL) {
            break;
        }
        id = e->id;
        code = e->stored_size > SMALL_MAX ? ERR_LIMIT
                                          : add_object(f, w, id, &bytes, &err);
        if (code == ERR_LIMIT && f->count == 0 && s->large == NULL) {
            return id;
        }
        if (code == ERR_LIMIT || code == ERR_FULL) {
            sync_plan_put_back(&s->plan, id);
            break;
        }
        if (code == ERR_CORRUPT) {
            sync_damaged(s, id, &err);
        } else if (code != 0) {
            sync_plan_end(&s->plan, id, true);
            sync_failed(s, "the spool: %s", err.text);
            break;
        }
    }
    return 0;
}

bool sync_batch_start(struct flight *f, uint8_t priority_min, uint64_t *large)
{
    struct sync *s = f->sync;
    struct batch_writer *w = batch_writer_new();
    struct uplink_request r = {
        .method = "POST",
        .path = "/-/edge/v1/batch",
        .fields = "Content-Type: application/octet-stream\r\n"};

    struct err err = {{0}};

    f->count = 0;
    sync_plan_batch(&s->plan);
    *large = fill(f, w, priority_min);
    if (f->count > 0 && spool_save_shed(s->spool, &err) != 0) {
        all_again(f);
        sync_failed(s, "the spool: %s", err.text);
    }
    if (f->count > 0) {
        f->fresh = s->sent < s->first_id ? s->first_id : s->sent + 1;
        for (size_t i = 0; i < f->count; i++) {
            sync_used(s, f->ids[i]);
            s->sent = f->ids[i] > s->sent ? f->ids[i] : s->sent;
        }
        buf_free(&f->body);
        batch_finish(w, spool_floor(s->spool), clock_real_ms(), &f->body);
        r.body = f->body.data;
        r.body_len = f->body.len;
        sync_send(f, FLIGHT_BATCH, &r, on_batch);
    }
    batch_writer_free(w);
    return f->count > 0;
}
