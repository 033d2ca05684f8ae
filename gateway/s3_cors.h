/* s3_cors.h: which pages of other origins may use a bucket.
 *
 * The rules stand in the bucket's <CORSConfiguration>; the first that fits
 * decides. It fits when one AllowedOrigin is the origin, one AllowedMethod the
 * method, and each header that a preflight asks for is an AllowedHeader. An
 * origin or a header of a rule may have one '*', for any run of characters.
 * Origins and methods are compared as they are, headers in any case.
 *
 * Source: AWS "Using cross-origin resource sharing (CORS)", "CORS
 * configuration", PutBucketCors, "Preflight: OPTIONS object"; Fetch standard,
 * section 3.2.
 * Threads: any; rules belong to their caller.
 */
#ifndef GODWIT_GATEWAY_S3_CORS_H
#define GODWIT_GATEWAY_S3_CORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/s3_error.h"

struct buf;
struct err;
struct request;

#define S3_CORS_RULES_MAX 100
#define S3_CORS_ID_MAX 255

struct s3_cors_list {
    size_t count;
    char **items;
};
struct s3_cors_rule {
    char *id; /* NULL: none */
    struct s3_cors_list headers, methods, origins, expose;
    bool has_max_age;
    uint64_t max_age_s;
};
struct s3_cors {
    size_t count;
    struct s3_cors_rule *rules;
};

/* S3_OK, or the error that answers with its sentence in @err. s3_cors_free. */
enum s3_error s3_cors_read(const void *p, size_t len, struct s3_cors *out,
                           struct err *err);
void s3_cors_free(struct s3_cors *c);
void s3_cors_write(const struct s3_cors *c, struct buf *out);

/* The rule that decides; NULL: none fits. @headers is what
 * Access-Control-Request-Headers says; NULL: none are asked for. */
const struct s3_cors_rule *s3_cors_match(const struct s3_cors *c,
                                         const char *origin, const char *method,
                                         const char *headers);
/* Does the rule let all origins in by "*"? Then the answer says "*". */
bool s3_cors_any_origin(const struct s3_cors_rule *rule);
/* GET, PUT, POST, DELETE, HEAD. */
bool s3_cors_method(const char *method);

/* ---- s3_preflight.c ---- */

/* A reply was made: add the headers of the rule that fits, where one does. May
 * wait for the catalogue. */
void s3_cors_answer(struct request *r);

#endif
