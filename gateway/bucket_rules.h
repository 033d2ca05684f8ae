/* bucket_rules.h: how the bytes of a bucket are to be stored.
 *
 * Read from the bucket's configuration in the catalogue, kinds ERASURE and
 * COMPRESSION, whose values are the texts that the command line takes. A put
 * asks for its bucket's: what was read is kept for RULES_KEEP_MS, so a bucket
 * that is told something else is obeyed by the puts that begin that much later
 * (on the server that was told, at once).
 *
 * Threads: any; asking may read the catalogue and block.
 */
#ifndef GODWIT_GATEWAY_BUCKET_RULES_H
#define GODWIT_GATEWAY_BUCKET_RULES_H

#include <stdbool.h>

#include "erasure/geometry.h"

#define RULES_KEEP_MS 1000
/* Of buckets that nothing was said of: docs/DECISIONS.md, "Compression". */
#define RULES_COMPRESS false

struct bucket_rules;
struct err;
struct gateway;
struct meta_bucket;
struct object_put;

struct bucket_rule {
    bool compress;
    struct ec_policy policy;
    bool compress_set, policy_set; /* it was said of the bucket */
};

struct bucket_rules *bucket_rules_new(void);
void bucket_rules_free(struct bucket_rules *rules); /* NULL is nothing */

/* As the configuration of a bucket that was read has it. */
void bucket_rule_of(const struct gateway *g, const struct meta_bucket *bucket,
                    struct bucket_rule *out);
/* Those of a bucket that is not there are the defaults: the catalogue will
 * refuse what is put. */
void bucket_rules_get(struct gateway *g, const char *bucket,
                      struct bucket_rule *out);
/* The bucket was told something else. */
void bucket_rules_forget(struct gateway *g, const char *bucket);

/* A put by the rules of @bucket; what is @sealed no compression makes shorter,
 * and none is tried. */
struct object_put *bucket_put_open(struct gateway *g, const char *bucket,
                                   bool sealed);

/* "zstd" or "off"; ERR_BAD_INPUT. */
int bucket_compression_parse(const char *text, bool *out, struct err *err);
const char *bucket_compression_text(bool compress);

#endif
