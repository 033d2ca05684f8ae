/* s3_more.h: tags, retention and legal hold of objects, in headers.
 *
 * What PutObject, CopyObject and CreateMultipartUpload say of the object beside
 * its attributes, and what GetObject and HeadObject tell of it. Tags are kept
 * in the form of x-amz-tagging, as s3_tags_write_query writes it.
 *
 * Source: AWS S3 API Reference, PutObject, GetObject; S3 User Guide, "Object
 * Lock considerations".
 * Threads: those of the request.
 */
#ifndef GODWIT_GATEWAY_S3_MORE_H
#define GODWIT_GATEWAY_S3_MORE_H

#include <stdbool.h>

#include "base/buf.h"
#include "meta/meta.h"

struct request;

struct s3_more {
    struct command_more more; /* tags point into: */
    struct buf tags;
};

/* From the headers x-amz-tagging and x-amz-object-lock-*. False: a reply was
 * made, and there is nothing to free. */
bool s3_more_from(struct request *r, struct s3_more *out);
void s3_more_free(struct s3_more *m);
/* Say it of r->command, if there is anything to say. */
void s3_more_add(struct request *r, const struct s3_more *m);

/* x-amz-tagging-count and x-amz-object-lock-*. */
void s3_more_reply(struct request *r, const struct meta_object *o);

/* x-amz-bypass-governance-retention. False: a reply was made. */
bool s3_bypass_header(struct request *r, bool *bypass);

/* "GOVERNANCE" and back; false when it is no mode. */
const char *s3_lock_mode_text(enum meta_lock_mode mode);
bool s3_lock_mode_parse(const char *text, enum meta_lock_mode *out);

#endif
