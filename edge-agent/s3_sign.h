/* s3_sign.h: requests signed as AWS Signature Version 4 has it, for S3.
 *
 * Signed are the method, the path, the query, Host, every field x-amz-*, and
 * the body's SHA-256.
 *
 * Source: AWS "Create a signed AWS API request". Threads: any.
 */
#ifndef GODWIT_EDGE_S3_SIGN_H
#define GODWIT_EDGE_S3_SIGN_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

struct s3_keys {
    char *access, *secret, *region;
};

/* Two lines of a file: the access key, the secret key. ERR_BAD_INPUT, and what
 * fs_read gives. */
int s3_keys_read(const char *path, const char *region, struct s3_keys *out,
                 struct err *err);
void s3_keys_free(struct s3_keys *k); /* wipes */

struct s3_sign_request {
    const char *method;
    const char *path;   /* escaped, with its query */
    const char *host;   /* as in the field Host */
    const char *fields; /* lines that end in CR LF; NULL: none */
    const void *body;
    size_t body_len;
    uint64_t time_ms;
};
/* Append the request's fields and those that sign it, as lines. */
void s3_sign(const struct s3_keys *k, const struct s3_sign_request *r,
             struct buf *out);

#endif
