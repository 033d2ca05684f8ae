/* local_s3.h: the S3-like way in, and what the command line asks.
 *
 *     PUT, GET, HEAD, DELETE /BUCKET/KEY
 *     GET /BUCKET?list-type=2[&prefix][&delimiter][&max-keys]
 *                [&start-after][&continuation-token]
 *     GET /-/status, GET /-/metrics, POST /-/flush, GET /-/ready
 *
 * One sees what is buffered, not what was delivered. Bodies come plain:
 * aws-chunked ones are refused, as is whatever else would be stored otherwise
 * than asked. Headers kept: Content-Type, x-amz-meta-*; x-godwit-class (0 to 9)
 * gives the class. Signatures are not looked at: who may connect may put; from
 * other machines that takes "Authorization: Bearer TOKEN". Requests that a web
 * page of another origin sends are refused.
 *
 * Threads: the agent's loop.
 */
#ifndef GODWIT_EDGE_LOCAL_S3_H
#define GODWIT_EDGE_LOCAL_S3_H

#include <stddef.h>

struct buf;
struct http_handler;
struct intake;
struct local_s3;

#define LOCAL_S3_LIST_MAX 1000 /* S3: keys in a page */

struct local_s3_options {
    const char *token; /* for other machines; NULL: none may. Kept. */
    /* Append what /-/status shows beside the spool, as JSON members that each
     * begin with a comma. May be NULL. */
    void (*status)(void *arg, struct buf *out);
    /* Deliver now, and call @done once with 0 or why not, but not before this
     * returns. NULL: the agent delivers nowhere. */
    void (*flush)(void *arg,
                  void (*done)(void *done_arg, int code, const char *why),
                  void *done_arg);
    void (*forget)(void *arg, void *done_arg); /* @done will not come */
    /* Keys below "BUCKET/PREFIX" alone; NULL: all. Kept. */
    const char *below;
    void *arg;
};

struct local_s3 *local_s3_new(struct intake *in,
                              const struct local_s3_options *options);
void local_s3_free(struct local_s3 *s);
/* To be given to http_server_new. */
void local_s3_handler(struct local_s3 *s, struct http_handler *out);

/* The spool's state as a JSON object, for /-/status and the command line. */
void local_s3_status(struct local_s3 *s, struct buf *out);

#endif
