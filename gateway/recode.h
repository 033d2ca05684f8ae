/* recode.h: what is stored otherwise than its bucket says, stored anew.
 *
 * A thread where the catalogue is led. When a bucket is told another erasure
 * code or compression it goes through the bucket's objects in order of keys:
 * each run that does not accord is read, written anew by the rules of now, read
 * back and verified on every drive, and only then put in the place of the old
 * one, on the condition that nobody has replaced it meanwhile; the old one
 * becomes garbage then, and the new one if somebody had. When all is through,
 * that is noted in the bucket's configuration (RECODED): so a restart or a new
 * leader begins again, and passes quickly over what was done.
 *
 * INVARIANT (recoding): at each moment the catalogue names one whole run of the
 * object, whose shards were all found good when it was named.
 *
 * Uploads that began before the bucket was told and end after it was gone
 * through stay as they are; so do parts of uploads that are not complete.
 *
 * Threads: start and stop at start and end; look any.
 */
#ifndef GODWIT_GATEWAY_RECODE_H
#define GODWIT_GATEWAY_RECODE_H

#include <stdbool.h>
#include <stdint.h>

#include "meta/command.h"

struct bucket_rule;
struct gateway;
struct meta_bucket;
struct recode;

struct recode *recode_start(struct gateway *g);
void recode_stop(struct recode *r); /* NULL is nothing */

/* Is the bucket to be gone through? */
bool recode_wanted(const struct gateway *g, const struct meta_bucket *bucket,
                   const struct bucket_rule *rule);

/* The bucket that is gone through by this server, and how far it is. */
struct recode_progress {
    char bucket[META_BUCKET_MAX + 1]; /* "": none */
    uint64_t objects_done, objects;
    uint64_t bytes_done, bytes; /* of objects, gone through and in all */
    uint64_t runs_recoded, runs_failed;
    uint64_t eta_s; /* by the pace so far; 0: it cannot be told */
};
void recode_look(struct recode *r, struct recode_progress *out);

#endif
