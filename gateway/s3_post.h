/* s3_post.h: uploads by an HTML form.
 *
 * The fields stand in front of the file, so all that can be judged is judged
 * before its first byte: the signature is over the policy, the policy over the
 * fields. Then the fields become the request's headers, and the file is an
 * upload like others (s3_upload.h).
 *
 * Source: AWS "Browser-based uploads using POST (AWS Signature Version 4)",
 * POST Object.
 * Threads: as request.h.
 */
#ifndef GODWIT_GATEWAY_S3_POST_H
#define GODWIT_GATEWAY_S3_POST_H

#include <stdbool.h>

struct request;
struct s3_form;
struct s3_form_limits;

/* Is this an upload by a form? Such requests have no signature of their own. */
bool s3_post_is(const struct request *r);
/* The fields are there: judge them, set r->key and r->headers (@f keeps what
 * they point to). False: a reply was made. */
bool s3_post_fields(struct request *r, struct s3_form *f,
                    struct s3_form_limits *limits);
/* The object is there: begin the reply that the form asks for. */
void s3_post_reply(struct request *r, const struct s3_form *f,
                   const char *etag);

#endif
