/* s3_internal.h: one signed request of s3_client, shared by its files.
 *
 * Threads: a call belongs to its caller.
 */
#ifndef GODWIT_CLIENT_S3_INTERNAL_H
#define GODWIT_CLIENT_S3_INTERNAL_H

#include "base/buf.h"
#include "client/http_client.h"
#include "client/s3_client.h"

#define S3_CALL_HEADERS_MAX 16

struct s3_call {
    const char *method;
    const char *bucket; /* or NULL */
    const char *key;    /* or NULL */
    struct buf query;   /* encoded and freed by s3_call; see s3_query */
    struct http_header headers[S3_CALL_HEADERS_MAX]; /* lower-case names */
    size_t header_count;
    const struct s3_body *body; /* or NULL */
    bool md5;                   /* send Content-MD5 (of a body in memory) */
    bool no_crc;      /* the header would speak of the object, not the body */
    bool conditional; /* again only when surely not done */
    const char *path; /* instead of bucket and key */
    int (*sink)(void *arg, const struct http_response *r, const void *p,
                size_t len, struct err *err);
    void *sink_arg;
    bool once; /* the caller tries again by itself */
};

/* Append "name=value" (value may be NULL: just "name"), encoded. */
void s3_query(struct s3_call *k, const char *name, const char *value);
void s3_query_u64(struct s3_call *k, const char *name, uint64_t value);
void s3_call_header(struct s3_call *k, const char *name, const char *value);

/* Do it; only a 2xx is a success. Frees k->query. @r must be freed after
 * success. */
int s3_call(struct s3_client *c, struct s3_call *k, struct http_response *r,
            struct err *err);

/* As s3_call when nothing of the answer matters. */
int s3_call_plain(struct s3_client *c, struct s3_call *k, struct err *err);

/* True when the attempt that gave @rc may be made again; then waits. @attempt
 * counts from 0. */
bool s3_again(struct s3_client *c, const struct s3_call *k, int rc, int status,
              unsigned attempt);

/* A copy of a header, or of "" (free()). */
char *s3_header_copy(const struct http_response *r, const char *name);

/* Text of encoding-type=url: '+' is a blank, %XX a byte; free(). NULL: a bad
 * escape or a NUL. */
char *s3_url_text(const char *s);

#endif
