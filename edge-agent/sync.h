/* sync.h: what the agent holds goes to the cluster, exactly once.
 *
 * Up to SYNC_FLIGHTS requests are under way, each on a connection of its own:
 * batches of small objects (edge-agent/sync_batch.c), one upload in parts of a
 * large one (sync_large.c), and now and then a report, new settings or a new
 * certificate (sync_care.c). What goes next says edge-agent/sync_plan.h.
 *
 * An object is held until a valid answer says that it was stored, or that it
 * had been before; all else is a failure, after which the agent waits and tries
 * again. The cluster knows an object by the device's number and the object's
 * id, and is told below which id nothing comes any more, so what is sent again
 * after a cut link, a kill or a power cut is stored once.
 *
 * What the cluster refuses for good (ERR_DENIED twice, the second time after it
 * answered us as the device that we are; malformed) is logged, counted and
 * given up. A device that is refused as a whole keeps all.
 *
 * Threads: the agent's loop.
 */
#ifndef GODWIT_EDGE_SYNC_H
#define GODWIT_EDGE_SYNC_H

#include <stdbool.h>
#include <stdint.h>

#include "edge-agent/sync_plan.h"

struct buf;
struct err;
struct device_id;
struct intake;
struct loop;
struct s3_keys;
struct sync;

#define SYNC_FLIGHTS 2
#define SYNC_BATCH_BYTES \
    (256U * 1024) /* more gains nothing, and costs memory */
#define SYNC_PART (1024U * 1024)
#define SYNC_STORE_PART (5U * 1024 * 1024) /* S3: the least that a part has */
#define SYNC_REPORT_MS (60 * 1000)
#define SYNC_SETTINGS_MS (60 * 60 * 1000)

/* Deliver to any S3 store, instead of to a cluster that the device is enrolled
 * with: sync_s3.c. */
struct sync_store {
    const struct s3_keys *keys; /* kept */
    const char *ca_file;        /* PEM: whom to believe */
    bool snowball;              /* many small objects in one tar */
};

struct sync_options {
    const char *data;    /* copied */
    const char *gateway; /* NULL: where the device was enrolled */
    bool insecure;
    bool newest_first;
    uint64_t rate; /* bytes a second; 0: no bound */
    struct sync_hours hours;
    uint64_t answer_ms;
    const struct sync_store *store; /* NULL: the cluster */
    /* The cluster's settings came, with a NUL at their end; what else to
     * report, as JSON members that each begin with a comma. May be NULL. */
    void (*settings)(void *arg, const struct buf *json);
    void (*report)(void *arg, struct buf *out);
    void *arg;
};

/* What may change while it runs; at first as the options have it. */
struct sync_rules {
    struct sync_order order;
    uint64_t rate;
    struct sync_hours hours;
    const char *metered_file; /* copied; NULL: none */
    uint8_t metered_priority; /* at least, while it says so */
};

/* Takes @id, on success. ERR_BAD_INPUT: the gateway's URL; ERR_CORRUPT: the
 * spool is not the one that this identity delivered from. */
int sync_new(struct loop *loop, struct intake *in, struct device_id *id,
             const struct sync_options *o, struct sync **out, struct err *err);
void sync_free(struct sync *s); /* NULL is nothing */
void sync_set_rules(struct sync *s, const struct sync_rules *r);
/* Objects became durable. */
void sync_kick(struct sync *s);

/* Deliver all that is held now, at any hour and without waiting longer. @done
 * comes once, with 0 or why not, after this has returned. */
typedef void (*sync_done)(void *arg, int code, const char *why);
void sync_flush(struct sync *s, sync_done done, void *arg);
void sync_forget(struct sync *s, const void *arg); /* @done will not come */

/* Append JSON members that each begin with a comma. */
void sync_status(struct sync *s, struct buf *out);

#endif
