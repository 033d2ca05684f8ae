/* s3_config.h: documents that say what a bucket is to be.
 *
 * Each kind (META_CONFIG_*) has three operations: put a document, which is read
 * and held to AWS's rules and kept in the form in which it is given back; get;
 * and, for most, delete. A kind is a row in s3_config.c and a judge: a pure
 * function that reads the document.
 *
 * Threads: as request.h; the judges any.
 */
#ifndef GODWIT_GATEWAY_S3_CONFIG_H
#define GODWIT_GATEWAY_S3_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/s3_error.h"
#include "meta/command.h"

struct buf;
struct err;
struct meta_bucket;
struct request;

/* S3_OK: @out has what is to be kept, the document without its XML declaration
 * (nothing: as if it was never set). Else the error that answers, with its
 * sentence in @err. */
typedef enum s3_error s3_config_judge(const void *p, size_t len,
                                      struct buf *out, struct err *err);

s3_config_judge s3_tagging_judge;      /* <Tagging> */
s3_config_judge s3_cors_judge;         /* <CORSConfiguration> */
s3_config_judge s3_lifecycle_judge;    /* <LifecycleConfiguration> */
s3_config_judge s3_logging_judge;      /* <BucketLoggingStatus> */
s3_config_judge s3_notification_judge; /* <NotificationConfiguration> */

s3_config_judge s3_encryption_judge; /* <ServerSideEncryptionConfiguration> */

s3_config_judge s3_public_access_judge;
s3_config_judge s3_ownership_judge;

/* MalformedXML: the table's message, whatever @err said. */
enum s3_error s3_config_malformed(struct err *err);

/* The bucket that a <BucketLoggingStatus> writes its logs to; NULL: none.
 * free(). */
char *s3_logging_target(const void *p, size_t len);

#define S3_LOGGING_PREFIX_MAX 800 /* AWS: prefix and suffix fit in a key */

struct s3_logging {
    char target[META_BUCKET_MAX + 1];
    char prefix[S3_LOGGING_PREFIX_MAX + 1];
    bool partitioned; /* PartitionedPrefix; by the time of delivery */
};
/* What it says; NULL: nothing is to be logged. free(). */
struct s3_logging *s3_logging_read(const void *p, size_t len);

#endif
