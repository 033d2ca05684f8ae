/* s3_tags.h: tag sets, of buckets and of objects.
 *
 * Rules: at most S3_TAGS_OBJECT_MAX tags of an object, S3_TAGS_BUCKET_MAX of a
 * bucket; keys differ and have 1 to 128 characters, values 0 to 256, of
 * letters, digits, blanks and + - = . _ : / @ (letters of any script); a key
 * does not begin with "aws:".
 *
 * Source: AWS "Categorizing your objects using tags"; "Using cost allocation S3
 * bucket tags"; PutObjectTagging, PutBucketTagging; CreateMultipartUpload,
 * x-amz-tagging.
 * Threads: any; a set belongs to its caller.
 */
#ifndef GODWIT_GATEWAY_S3_TAGS_H
#define GODWIT_GATEWAY_S3_TAGS_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/s3_error.h"

struct buf;
struct err;
struct s3_node;

#define S3_TAGS_OBJECT_MAX 10
#define S3_TAGS_BUCKET_MAX 50
#define S3_TAG_KEY_MAX 128   /* characters */
#define S3_TAG_VALUE_MAX 256 /* characters */

struct s3_tag {
    char *key;
    char *value;
};
struct s3_tags {
    size_t count;
    struct s3_tag *list; /* in the order sent */
};

/* Readers: S3_OK, or the error that answers, with its sentence in @err (none
 * there: the table's message); @out is then untouched. @max is one of
 * S3_TAGS_*_MAX, and says what the tags are of. s3_tags_free. */

/* <Tagging><TagSet><Tag><Key/><Value/></Tag>.. */
enum s3_error s3_tags_read(const void *p, size_t len, size_t max,
                           struct s3_tags *out, struct err *err);
/* The header x-amz-tagging: k1=v1&k2=v2, escaped as in a query. */
enum s3_error s3_tags_query(const char *query, size_t max, struct s3_tags *out,
                            struct err *err);
void s3_tags_free(struct s3_tags *t);

/* <Tagging ...>: the whole document but its XML declaration. */
void s3_tags_write(const struct s3_tags *t, struct buf *out);
/* As s3_tags_query reads it: the form in which tags are kept. */
void s3_tags_write_query(const struct s3_tags *t, struct buf *out);
/* The value of @key; NULL for none. */
const char *s3_tags_value(const struct s3_tags *t, const char *key);

/* One <Tag>, for filters: key and value by the rules. Gives both (free()). */
enum s3_error s3_tag_read(const struct s3_node *tag, struct s3_tag *out,
                          struct err *err);

#endif
