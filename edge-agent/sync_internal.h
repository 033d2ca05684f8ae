/* sync_internal.h: the inside of a sync, for sync*.c alone. */
#ifndef GODWIT_EDGE_SYNC_INTERNAL_H
#define GODWIT_EDGE_SYNC_INTERNAL_H

#include "base/buf.h"
#include "base/list.h"
#include "base/loop.h"
#include "edge-agent/device_id.h"
#include "edge-agent/intake.h"
#include "edge-agent/metered.h"
#include "edge-agent/rate.h"
#include "edge-agent/spool.h"
#include "edge-agent/sync.h"
#include "edge-agent/uplink.h"

struct edge_tls_trust;

#define SYNC_BATCH_OBJECTS 1000
#define SYNC_DENIED_MAX 256 /* denied once */
#define SYNC_ERROR_MAX 256

enum flight_kind { FLIGHT_NONE, FLIGHT_BATCH, FLIGHT_LARGE, FLIGHT_CARE };

struct flight {
    struct sync *sync;
    struct uplink *uplink;
    enum flight_kind kind;
    struct buf body;   /* of the request */
    struct buf fields; /* of it, when it is signed */
    uint64_t *ids;     /* of the batch, as sent */
    size_t count;
    uint64_t fresh; /* of those, ids from here on went out for the first time */
    uint64_t number; /* of the exchange, from 1 */
};

/* What is asked now and then. */
enum care { CARE_RENEW, CARE_SETTINGS, CARE_REPORT, CARES };

struct large; /* sync_large.c */

struct flush_waiter {
    struct list_node node;
    uint64_t through; /* all ids up to this */
    uint64_t after;   /* what an earlier exchange says does not count */
    uint64_t refused; /* by then */
    sync_done done;
    void *arg;
    bool settled;
    int code;
    char why[SYNC_ERROR_MAX];
};

struct sync {
    struct loop *loop;
    struct intake *intake;
    struct spool *spool;
    char *data;
    const struct sync_store *store; /* NULL: the cluster */
    struct sync_store store_is;
    struct device_id id; /* empty with a store */
    struct uplink_url url;
    struct edge_tls_trust *trust; /* NULL for http */
    struct edge_tls_trust *next;  /* once no flight is under way */
    struct rate rate;
    struct sync_hours hours;
    struct metered metered;
    uint8_t metered_priority, metered_min; /* when it costs; now */
    void (*on_settings)(void *arg, const struct buf *json);
    void (*on_report)(void *arg, struct buf *out);
    void *arg;
    struct sync_plan plan;
    struct flight flights[SYNC_FLIGHTS];
    struct large *large; /* NULL: none under way */
    struct loop_timer wake;
    struct list_node waiters;

    uint64_t denied[SYNC_DENIED_MAX]; /* ids */
    size_t denied_count;
    uint64_t first_id;        /* that this process took */
    uint64_t sent, completed; /* highest id of a batch; of a large one */
    bool copied;              /* see sync_copied */
    uint64_t saved_floor;
    uint64_t saved_ms; /* the cursor; due at save_ms; 0: it did not move */
    uint64_t save_ms;

    uint64_t exchanges; /* begun */
    uint64_t landed;    /* number of the one that is judged; or UINT64_MAX */
    enum flight_kind landed_kind, failed_kind;
    unsigned failures; /* one after the other */
    uint64_t pause_until_ms;
    char error[SYNC_ERROR_MAX]; /* of the last exchange; "" */
    uint64_t due_ms[CARES];

    struct sync_memory memory, stored;
    bool heard; /* the cluster's time, since the start */
    uint64_t heard_at_ms, heard_ms;
    uint64_t memory_saved_ms;
    uint64_t batches, repeated;
};

/* The cluster's time, as well as it is known. */
uint64_t sync_now(const struct sync *s, bool *known);
/* From an answer's Date. */
void sync_learn(struct sync *s, const struct http_head *head);
void sync_remember(struct sync *s, bool now);
/* @id goes out. */
void sync_used(struct sync *s, uint64_t id);

/* Send the flight's request; the answer comes to @done, which begins with
 * sync_landed. */
void sync_send(struct flight *f, enum flight_kind kind,
               const struct uplink_request *r, uplink_done done);
/* The exchange is over: the flight is free. False when there is no answer of
 * the gateway (@a may be NULL): the failure is noted. */
bool sync_landed(struct flight *f, int code, const struct uplink_answer *a,
                 const char *why);
/* What came means a failure: wait, then try again. Of what is asked and told
 * beside the objects (FLIGHT_CARE), objects do not wait for it. */
void sync_failed(struct sync *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* As "the gateway says: ... (403)". */
void sync_failed_answer(struct sync *s, const struct uplink_answer *a);
void sync_succeeded(struct sync *s);
/* Go on: see what each free flight may do. */
void sync_pump(struct sync *s);

/* The object is stored, or is given up. */
void sync_delivered(struct sync *s, uint64_t id);
void sync_refused(struct sync *s, uint64_t id, const char *why);
/* It is denied: give it up if that was so before. */
void sync_denied(struct sync *s, uint64_t id);
/* The cluster has had @id before, and this process took it and never sent it:
 * DATA is a copy of one that did. Nothing goes out any more, now and after a
 * start, until the device is enrolled anew. */
void sync_copied(struct sync *s, uint64_t id);
/* It cannot be read here any more. */
void sync_damaged(struct sync *s, uint64_t id, const struct err *why);

/* sync_batch.c: begin one; false when there is nothing to send, or when the
 * next one is a large object, which is busy now: *@large is its id. */
bool sync_batch_start(struct flight *f, uint8_t priority_min, uint64_t *large);

/* sync_batch.c: append an object's whole envelope. */
int sync_read_envelope(struct sync *s, uint64_t id, struct buf *out,
                       struct err *err);

/* sync_s3.c: instead of sync_batch_start, where a store is. */
bool sync_s3_start(struct flight *f, uint8_t priority_min, uint64_t *large);
/* Sign the request; its fields are then those in f->fields. */
void sync_s3_sign(struct flight *f, struct uplink_request *r);

/* sync_large.c: one upload at a time, a request after the other. */
void sync_large_start(struct flight *f, uint64_t id);
void sync_large_step(struct flight *f);
uint8_t sync_large_class(const struct sync *s); /* of the one under way */
bool sync_large_idle(
    const struct sync *s); /* under way, and waits for a step */
void sync_large_free(struct sync *s);
/* Append an object's content type and metadata, as fields of a PUT. */
void sync_put_meta(struct sync *s, const struct spool_object *o,
                   struct buf *out);

/* sync_care.c: begin what is due; false when nothing is. */
bool sync_care_start(struct flight *f);
uint64_t sync_care_due(const struct sync *s); /* clock_mono_ms */

#endif
