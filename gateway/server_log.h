/* server_log.h: what was done to a bucket, as objects of another: S3's server
 * access logs.
 *
 * A bucket with PutBucketLogging has a line for each request to it that was
 * answered, in the format of AWS, gathered here by bucket and put into the
 * target bucket every --log-interval, or when LOG_BYTES are there:
 *
 *     PREFIX YYYY-mm-DD-HH-MM-SS-<16 hex digits>
 *     PREFIX owner/region/bucket/YYYY/MM/DD/ ...  (PartitionedPrefix)
 *
 * As on AWS this is no proof: a crash loses what was not delivered, and what
 * finds no room is dropped and counted. The audit log (audit.h) is for that.
 * The owner of both buckets must be one.
 *
 * Source: AWS S3 User Guide, "Amazon S3 server access log format".
 * Threads: any; one of its own delivers.
 */
#ifndef GODWIT_GATEWAY_SERVER_LOG_H
#define GODWIT_GATEWAY_SERVER_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/s3_error.h"

struct gateway;
struct request;
struct server_logs;

#define SERVER_LOG_BYTES ((size_t)1 << 20)      /* of one object, about */
#define SERVER_LOG_ROOM_BYTES ((size_t)8 << 20) /* of all not delivered */
#define SERVER_LOGS_MAX 256 /* buckets that have some at one time */

struct server_logs *server_logs_new(struct gateway *g);
void server_logs_free(struct server_logs *l); /* NULL is nothing */
void server_logs_start(struct server_logs *l);
/* Deliver what is there, and end; not started is nothing. */
void server_logs_stop(struct server_logs *l);

/* The answer is sent, or nobody waits for it any more. Loop only. */
void server_logs_request(struct request *r);
/* One key of DeleteObjects. */
void server_logs_deleted(struct request *r, const char *key,
                         enum s3_error error);

#endif
