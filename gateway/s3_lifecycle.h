/* s3_lifecycle.h: when the objects of a bucket end.
 *
 * The rules stand in the bucket's <LifecycleConfiguration>. What is asked here
 * is pure: rules and an object, or an upload, give the time from which it is
 * due, and the rule that says so. Times are cluster times; a day counts from
 * the midnight (UTC) after the moment that is one day later, as with AWS, so
 * nothing is due early.
 *
 * When several rules fit, the earliest time decides.
 *
 * Source: AWS S3 User Guide, "Managing the lifecycle of objects",
 * "Lifecycle configuration elements", "Expiring objects", "Setting lifecycle
 * configuration to abort multipart uploads"; PutBucketLifecycleConfiguration.
 * Threads: any; rules belong to their caller.
 */
#ifndef GODWIT_GATEWAY_S3_LIFECYCLE_H
#define GODWIT_GATEWAY_S3_LIFECYCLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/s3_error.h"
#include "gateway/s3_tags.h"

struct buf;
struct err;

#define S3_LIFECYCLE_RULES_MAX 1000
#define S3_LIFECYCLE_ID_MAX 255
#define S3_LIFECYCLE_NEVER UINT64_MAX

struct s3_lifecycle_rule {
    char *id; /* made when none was sent */
    bool enabled;
    bool old_form; /* <Prefix> in the rule, not in a filter */

    /* which objects */
    char *prefix; /* NULL: none was sent */
    struct s3_tags tags;
    bool has_greater, has_less;
    uint64_t greater_than, less_than;

    /* what happens; 0 or false: nothing */
    uint32_t days;
    uint64_t date_ms;
    bool has_date, expired_marker, has_expired_marker;
    uint32_t noncurrent_days;
    uint32_t newer_noncurrent; /* so many noncurrent versions are kept */
    uint32_t abort_days;
};
struct s3_lifecycle {
    size_t count;
    struct s3_lifecycle_rule *rules;
};

/* S3_OK, or the error that answers with its sentence in @err.
 * s3_lifecycle_free. */
enum s3_error s3_lifecycle_read(const void *p, size_t len,
                                struct s3_lifecycle *out, struct err *err);
void s3_lifecycle_free(struct s3_lifecycle *l);
void s3_lifecycle_write(const struct s3_lifecycle *l, struct buf *out);

struct s3_lifecycle_object {
    const char *key;
    uint64_t size_bytes;
    uint64_t modified_ms;
    const struct s3_tags *tags; /* NULL: none */
};

/* Each gives the time from which it is due, S3_LIFECYCLE_NEVER for never, and
 * the rule in *@rule (may be NULL). */

/* What the key names now. */
uint64_t s3_lifecycle_current(const struct s3_lifecycle *l,
                              const struct s3_lifecycle_object *o,
                              const struct s3_lifecycle_rule **rule);
/* A version that another replaced at @since_ms, with @newer noncurrent ones
 * between. */
uint64_t s3_lifecycle_noncurrent(const struct s3_lifecycle *l,
                                 const struct s3_lifecycle_object *o,
                                 uint64_t since_ms, size_t newer,
                                 const struct s3_lifecycle_rule **rule);
/* A delete marker with no other version of its key. */
uint64_t s3_lifecycle_marker(const struct s3_lifecycle *l, const char *key,
                             uint64_t modified_ms,
                             const struct s3_lifecycle_rule **rule);
/* An upload that was begun at @begun_ms. */
uint64_t s3_lifecycle_upload(const struct s3_lifecycle *l, const char *key,
                             uint64_t begun_ms,
                             const struct s3_lifecycle_rule **rule);

/* Do rules look at tags at all? */
bool s3_lifecycle_needs_tags(const struct s3_lifecycle *l);

#endif
