/* lifecycle.h: the rules of buckets, at work.
 *
 * A thread walks the buckets every lifecycle_interval_ms: it learns their
 * rules, from which answers tell when an object will expire, and where the
 * catalogue is led it lets go of what is due, in batches. The walk decides
 * nothing: what it proposes is judged again in apply (meta/apply_expire.c), by
 * the cluster's time and against what is there then.
 *
 * Threads: any; a lock inside.
 */
#ifndef GODWIT_GATEWAY_LIFECYCLE_H
#define GODWIT_GATEWAY_LIFECYCLE_H

#include <stddef.h>
#include <stdint.h>

struct gateway;
struct lifecycle;
struct request;

struct lifecycle *lifecycle_new(struct gateway *g);
void lifecycle_free(struct lifecycle *l);

/* Begin to walk, when the catalogue answers; and end, if that was begun. */
void lifecycle_start(struct lifecycle *l);
void lifecycle_stop(struct lifecycle *l);

/* The rules of a bucket were set here (@len 0: removed). */
void lifecycle_learn(struct lifecycle *l, const char *bucket, const void *value,
                     size_t len);

/* Add x-amz-expiration to a reply about r->key, if a rule ends it. @tags are as
 * the catalogue keeps them. */
void lifecycle_reply(struct request *r, uint64_t size_bytes,
                     uint64_t modified_ms, const void *tags, size_t tags_len);
/* x-amz-abort-date and x-amz-abort-rule-id, of an upload of r->key. */
void lifecycle_reply_upload(struct request *r, uint64_t begun_ms);

#endif
