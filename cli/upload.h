/* upload.h: a file or a stream to an object, in parts when it is large.
 *
 * A file of at least multipart_min bytes goes as a multipart upload, parallel
 * parts at a time. The upload's id is kept in a small file (upload_state_path)
 * until it is complete; when the same file (path, size, time) is sent to the
 * same key again, parts that are there already are compared by their MD5 and
 * not sent twice.
 *
 * Threads: an upload runs threads of its own and blocks its caller.
 */
#ifndef GODWIT_CLI_UPLOAD_H
#define GODWIT_CLI_UPLOAD_H

#include <stdbool.h>
#include <stdint.h>

struct err;
struct progress;
struct s3_client;

#define UPLOAD_PARALLEL_MAX 64

struct upload_options {
    struct s3_client *client;
    const char *endpoint; /* part of the state's name */
    unsigned parallel;    /* 1..UPLOAD_PARALLEL_MAX */
    uint64_t part_bytes;
    uint64_t multipart_min;
    const char *content_type; /* NULL: by the key's ending */
    bool no_clobber;          /* only when the key is not there */
    struct progress *progress;
};

/* Send the file @path. */
int upload_file(const struct upload_options *o, const char *path,
                const char *bucket, const char *key, struct err *err);

/* Send what @fd gives to its end. Not resumable. */
int upload_stream(const struct upload_options *o, int fd, const char *bucket,
                  const char *key, struct err *err);

/* Bytes of each part of @size bytes, so that S3_CLIENT_PARTS_MAX suffice. */
uint64_t upload_part_size(uint64_t size, uint64_t part_bytes);

/* Where the id of such an upload is kept; NULL: no home for it. free(). */
char *upload_state_path(const char *endpoint, const char *bucket,
                        const char *key, const char *path, uint64_t size,
                        uint64_t mtime_ns, uint64_t part_bytes);

/* "image/jpeg" for "a.jpg"; "application/octet-stream" when not known. */
const char *upload_content_type(const char *key);

#endif
