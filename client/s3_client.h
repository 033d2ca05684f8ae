/* s3_client.h: the S3 operations that the command line and agents use.
 *
 * Requests are path-style and signed (SigV4). Bodies carry their CRC64NVME, so
 * that they are checked end to end; a whole object that is read is checked
 * against the checksum it was stored with. Small bodies over plain HTTP are
 * signed with their SHA-256, others go as UNSIGNED-PAYLOAD.
 *
 * Tried again, with jittered waits and at most attempts_max times: what never
 * reached the server, what it refused with 500, 502, 503 or 504, and what is
 * idempotent and got no answer. A conditional write is tried again only when it
 * was surely not done. A read that breaks goes on where it stopped, with
 * If-Match.
 *
 * An error that S3 sent gives one of ERR_* (s3_client_error) and the sentence
 * "NoSuchKey: The specified key does not exist."
 *
 * Source: AWS S3 API Reference.
 * Threads: any; operations block their caller.
 */
#ifndef GODWIT_CLIENT_S3_CLIENT_H
#define GODWIT_CLIENT_S3_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/http_response.h"

struct err;
struct s3_client;

#define S3_CLIENT_KEY_MAX 1024
#define S3_CLIENT_DELETE_MAX 1000 /* keys of one DeleteObjects */
#define S3_CLIENT_PARTS_MAX 10000
#define S3_CLIENT_PART_MIN ((uint64_t)5 << 20) /* but the last */

struct s3_client_options {
    const char *endpoint;
    const char *region; /* NULL: us-east-1 */
    const char *access_key;
    const char *secret_key;
    const char *ca_file; /* or NULL */
    bool insecure;
    unsigned attempts_max;       /* 0: 4 */
    uint64_t connect_timeout_ms; /* 0: http_client.h's */
    uint64_t io_timeout_ms;      /* 0: http_client.h's */
};

/* Strings are copied. ERR_BAD_INPUT: endpoint or certificates. */
int s3_client_new(const struct s3_client_options *options,
                  struct s3_client **out, struct err *err);
void s3_client_free(struct s3_client *c); /* wipes */

/* Our code for S3's: ERR_NO_KEY for NoSuchKey; by @status when the code is
 * "" or not known. Never 0. */
int s3_client_error(const char *code, int status);

/* ---- buckets ---- */

struct s3_bucket {
    char *name;
    uint64_t time_ms;
};
struct s3_buckets {
    struct s3_bucket *items;
    size_t count;
};

int s3_client_list_buckets(struct s3_client *c, struct s3_buckets *out,
                           struct err *err);
void s3_buckets_free(struct s3_buckets *b);
int s3_client_create_bucket(struct s3_client *c, const char *bucket,
                            struct err *err);
int s3_client_head_bucket(struct s3_client *c, const char *bucket,
                          struct err *err);
int s3_client_delete_bucket(struct s3_client *c, const char *bucket,
                            struct err *err);

/* ---- listing ---- */

struct s3_object {
    char *key;
    char *etag; /* with its quotes */
    uint64_t size;
    uint64_t time_ms;
};
struct s3_page {
    struct s3_object *objects;
    size_t object_count;
    char **prefixes;
    size_t prefix_count;
    char *next; /* token of the next page; NULL: this was the last */
};
struct s3_list {
    const char *bucket;
    const char *prefix;    /* or NULL */
    const char *delimiter; /* or NULL */
    const char *token;     /* or NULL: the first page */
    unsigned max_keys;     /* 0: the server's 1,000 */
};

int s3_client_list_objects(struct s3_client *c, const struct s3_list *l,
                           struct s3_page *out, struct err *err);
void s3_page_free(struct s3_page *p);

/* All versions and delete markers of what @prefix begins, in order of key, the
 * newest of each first. */
struct s3_version {
    char *key;
    char *version; /* its id */
    char *etag;    /* with its quotes; NULL of a marker */
    uint64_t size;
    uint64_t time_ms;
    bool is_marker;
    bool is_latest;
};
struct s3_versions {
    struct s3_version *items;
    size_t count;
    char *next_key; /* of the next page; NULL: this was the last */
    char *next_version;
};
struct s3_list_versions {
    const char *bucket;
    const char *prefix;        /* or NULL */
    const char *after_key;     /* or NULL: the first page */
    const char *after_version; /* or NULL */
};

int s3_client_list_versions(struct s3_client *c,
                            const struct s3_list_versions *l,
                            struct s3_versions *out, struct err *err);
void s3_versions_free(struct s3_versions *v);

/* ---- objects ---- */

/* Bytes to send: @size at @data, or of the file @fd from @offset. */
struct s3_body {
    const void *data; /* NULL: from @fd */
    int fd;
    uint64_t offset;
    uint64_t size;
    /* @bytes more went out (negative: an attempt failed); may be NULL. */
    void (*progress)(void *arg, int64_t bytes);
    void *progress_arg;
};

struct s3_put {
    const char *bucket;
    const char *key;
    const char *content_type;  /* or NULL */
    const char *if_match;      /* or NULL */
    const char *if_none_match; /* or NULL; "*" */
    struct s3_body body;
};

/* Gives the ETag (free()) when @etag is not NULL. */
int s3_client_put_object(struct s3_client *c, const struct s3_put *p,
                         char **etag, struct err *err);

/* What HEAD and GET say; the rest stands in response. Texts are borrowed from
 * it. */
struct s3_info {
    uint64_t size; /* of the whole object */
    uint64_t time_ms;
    const char *etag;         /* "" when none */
    const char *content_type; /* "" when none */
    struct http_response response;
};
void s3_info_free(struct s3_info *i);

int s3_client_head_object(struct s3_client *c, const char *bucket,
                          const char *key, struct s3_info *out,
                          struct err *err);

/* As above of a version; NULL the current one. */
int s3_client_head_version(struct s3_client *c, const char *bucket,
                           const char *key, const char *version,
                           struct s3_info *out, struct err *err);

struct s3_get {
    const char *bucket;
    const char *key;
    const char *if_match; /* or NULL */
    uint64_t offset;      /* first byte */
    uint64_t length;      /* 0: to the end */
    /* Called once before the first byte; may be NULL. */
    int (*begin)(void *arg, const struct s3_info *info, struct err *err);
    /* Bytes in order. */
    int (*sink)(void *arg, const void *p, size_t len, struct err *err);
    void *arg;
};

/* ERR_MISMATCH: a whole object does not match its checksum (all bytes were
 * handed out before that is known). */
int s3_client_get_object(struct s3_client *c, const struct s3_get *g,
                         struct err *err);

int s3_client_delete_object(struct s3_client *c, const char *bucket,
                            const char *key, struct err *err);
/* For good; NULL is as s3_client_delete_object. */
int s3_client_delete_version(struct s3_client *c, const char *bucket,
                             const char *key, const char *version,
                             struct err *err);
/* Delete at most S3_CLIENT_DELETE_MAX keys. @failed (may be NULL) hears of each
 * that was not. Gives the number of failures in *@failures. */
int s3_client_delete_objects(struct s3_client *c, const char *bucket,
                             const char *const *keys, size_t count,
                             void (*failed)(void *arg, const char *key,
                                            const char *why),
                             void *arg, size_t *failures, struct err *err);
int s3_client_copy_object(struct s3_client *c, const char *from_bucket,
                          const char *from_key, const char *bucket,
                          const char *key, struct err *err);

/* ---- multipart uploads ---- */

struct s3_part {
    unsigned number; /* 1..S3_CLIENT_PARTS_MAX */
    uint64_t size;
    char *etag; /* with its quotes */
};
struct s3_parts {
    struct s3_part *items;
    size_t count;
};
void s3_parts_free(struct s3_parts *p);

struct s3_client_upload {
    const char *bucket;
    const char *key;
    const char *id;
};

/* Gives the upload's id (free()). */
int s3_client_create_upload(struct s3_client *c, const char *bucket,
                            const char *key, const char *content_type,
                            char **id, struct err *err);
int s3_client_upload_part(struct s3_client *c, const struct s3_client_upload *u,
                          unsigned number, const struct s3_body *body,
                          char **etag, struct err *err);
/* All parts, in order of their numbers. */
int s3_client_list_parts(struct s3_client *c, const struct s3_client_upload *u,
                         struct s3_parts *out, struct err *err);
int s3_client_complete_upload(struct s3_client *c,
                              const struct s3_client_upload *u,
                              const struct s3_part *parts, size_t count,
                              struct err *err);
int s3_client_abort_upload(struct s3_client *c,
                           const struct s3_client_upload *u, struct err *err);

/* ---- beside S3 ---- */

/* A signed request of a path on the endpoint ("/-/status"); appends the body.
 * @pairs: names and values of the query in turn, ended by NULL, or NULL; a pair
 * whose value is NULL is left out. */
int s3_client_tell(struct s3_client *c, const char *path,
                   const char *const *pairs, const void *body, size_t len,
                   struct buf *out, struct err *err); /* POST with @body */
int s3_client_ask(struct s3_client *c, const char *method, const char *path,
                  const char *const *pairs, struct buf *out, struct err *err);

/* The same, GET and once: bytes go to @sink as they come. */
int s3_client_fetch(struct s3_client *c, const char *path,
                    int (*sink)(void *arg, const void *p, size_t len,
                                struct err *err),
                    void *arg, struct err *err);

#endif
