/* lifecycle_walk.h: of lifecycle.c: one bucket, gone by its rules.
 *
 * Reads every version and upload of the bucket, a page after the other with a
 * pause between, and proposes to let go of those that are due.
 *
 * Threads: that of lifecycle.c.
 */
#ifndef GODWIT_GATEWAY_LIFECYCLE_WALK_H
#define GODWIT_GATEWAY_LIFECYCLE_WALK_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct gateway;
struct s3_lifecycle;

struct lifecycle_walk {
    struct gateway *gateway;
    const char *bucket;
    const struct s3_lifecycle *rules;
    uint64_t now_ms; /* the cluster's time */
    bool (*stopping)(void *arg);
    void *arg;
    /* What came of it: */
    uint64_t expired, aborted; /* proposed */
};

/* What the catalogue gives; the rest of the bucket is for the next walk. */
int lifecycle_walk(struct lifecycle_walk *w, struct err *err);

#endif
