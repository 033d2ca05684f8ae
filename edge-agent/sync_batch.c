/* sync_batch.c: small objects and deletes, many in one request. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wire.h"
#include "crypto/digest.h"
#include "crypto/seal.h"
#include "edge-agent/sync_internal.h"
#include "edge-agent/sync_wire.h"

/* ---- building ---- */

/* An object's bytes as they lie in the spool, and the header of its segment. */
static int add_object(struct flight *f, struct sync_wire *w,
                      const struct index_entry *e, struct err *err)
{
    struct sync *s = f->sync;
    struct buf text = {0}, header = {0}, payload = {0};
    struct spool_object o;
    uint64_t segment = 0;
    uint64_t id = e->id;
    int code = spool_get(s->spool, id, &o, &text, err);

    if (code == 0 && o.kind == SPOOL_OBJECT) {
        if ((o.flags & SPOOL_FLAG_ENVELOPE) == 0) {
            code = spool_segment_of(s->spool, id, &segment, &header, err);
        }
        if (code == 0) {
            code = spool_payload(s->spool, id, SYNC_WIRE_OBJECT_MAX, &payload,
                                 err);
        }
    }
    if (code == 0) {
        code = sync_wire_add(w, &o, segment, &header, &payload, err);
    }
    if (code == 0) {
        f->ids[f->count++] = id;
    }
    buf_free(&text);
    buf_free(&header);
    buf_free(&payload);
    return code;
}

/* ---- the answer ---- */

static void settle(struct sync *s, uint64_t id, uint8_t status, bool *again)
{
    switch (status) {
        case SYNC_WIRE_REPEATED:
            s->repeated++;
            sync_delivered(s, id);
            break;
        case SYNC_WIRE_STORED:
            sync_delivered(s, id);
            break;
        case SYNC_WIRE_DENIED:
            sync_denied(s, id);
            break;
        case SYNC_WIRE_BAD:
            sync_refused(s, id, "the cluster cannot read it");
            break;
        default:
            *again = true;
            sync_plan_end(&s->plan, id, true);
            break;
    }
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
    struct err err = {{0}};
    uint8_t *statuses = NULL;
    bool again = false;

    buf_free(&f->body); /* the next one may be far away */
    if (!sync_landed(f, code, a, why)) {
        all_again(f);
    } else if (a->status != 200) {
        sync_failed_answer(s, a);
        all_again(f);
    } else if (sync_wire_answer(a->body, a->body_len, f->ids, f->count,
                                &statuses, &err) != 0) {
        sync_failed(s, "%s: %s", s->url.authority, err.text);
        all_again(f);
    } else {
        s->batches++;
        sync_succeeded(s);
        for (size_t i = 0; i < f->count; i++) {
            settle(s, f->ids[i], statuses[i], &again);
        }
        f->count = 0;
        if (again) {
            sync_failed(s, "the cluster is busy: some objects go once more");
        }
        sync_remember(s, false);
    }
    free(statuses);
    sync_pump(s);
}

bool sync_batch_start(struct flight *f, uint8_t class_min, uint64_t *large)
{
    struct sync *s = f->sync;
    struct sync_wire w;
    const struct index_entry *e;
    struct err err = {{0}};
    struct uplink_request r = {
        .method = "POST",
        .path = "/-/edge/v1/batch",
        .fields = "Content-Type: application/octet-stream\r\n"};

    f->count = 0;
    sync_plan_batch(&s->plan);
    sync_wire_begin(&w, spool_floor(s->spool));
    while (f->count < SYNC_BATCH_OBJECTS && w.size < SYNC_BATCH_BYTES) {
        uint64_t id;
        int code;
        e = sync_plan_next(
            &s->plan, spool_held(s->spool), class_min,
            s->large != NULL ? SYNC_WIRE_OBJECT_MAX : UINT32_MAX);
        if (e == NULL) {
            break;
        }
        id = e->id;
        if (e->stored_size > SYNC_WIRE_OBJECT_MAX) {
            if (f->count == 0) {
                *large = id;
                sync_wire_free(&w);
                return false;
            }
            sync_plan_put_back(&s->plan, e);
            break;
        }
        code = add_object(f, &w, e, &err);
        if (code == ERR_CORRUPT) {
            sync_damaged(s, id, &err);
        } else if (code == ERR_LIMIT) { /* the batch is full */
            sync_plan_end(&s->plan, id, true);
            break;
        } else if (code != 0) {
            sync_plan_end(&s->plan, id, true);
            sync_failed(s, "the spool: %s", err.text);
            break;
        }
    }
    if (f->count == 0) {
        sync_wire_free(&w);
        return false;
    }
    sync_used(s, f->ids[f->count - 1]);
    buf_free(&f->body);
    sync_wire_end(&w, &f->body);
    r.body = f->body.data;
    r.body_len = f->body.len;
    sync_send(f, FLIGHT_BATCH, &r, on_batch);
    return true;
}
