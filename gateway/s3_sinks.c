/* Where a bucket tells what was done to it: access logs and events.
 *
 * Source: AWS S3 API Reference, PutBucketLogging,
 * PutBucketNotificationConfiguration.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "gateway/s3_config.h"
#include "gateway/s3_router.h"
#include "gateway/s3_tree.h"

/* ---- logging ---- */

/* <TargetObjectKeyFormat>: SimplePrefix, or PartitionedPrefix by a date. */
static int check_key_format(const struct s3_node *format, struct err *err)
{
    static const char *const forms[] = {"SimplePrefix", "PartitionedPrefix",
                                        NULL};
    static const char *const dates[] = {"PartitionDateSource", NULL};
    static const char *const nothing[] = {NULL};
    const struct s3_node *part, *date;
    const char *text = "";
    int rc = s3_node_check(format, forms, err);

    if (rc == 0 && format->children != 1) {
        rc = err_set(err, ERR_BAD_INPUT, "one format, please");
    }
    if (rc != 0) {
        return rc;
    }
    part = format->first;
    if (strcmp(part->name, "SimplePrefix") == 0) {
        return s3_node_check(part, nothing, err);
    }
    rc = s3_node_check(part, dates, err);
    date = s3_node_child(part, "PartitionDateSource");
    if (rc == 0 && date != NULL) {
        rc = s3_node_text(date, &text, err);
        if (rc == 0 && strcmp(text, "EventTime") != 0 &&
            strcmp(text, "DeliveryTime") != 0) {
            rc = err_set(err, ERR_BAD_INPUT, "no such PartitionDateSource");
        }
    }
    return rc;
}

static enum s3_error check_enabled(const struct s3_node *enabled,
                                   struct err *err)
{
    static const char *const names[] = {"!TargetBucket", "!TargetPrefix",
                                        "TargetGrants", "TargetObjectKeyFormat",
                                        NULL};
    const struct s3_node *format, *grants;
    const char *prefix = "", *bucket = "";
    const char *why;

    if (s3_node_check(enabled, names, err) != 0 ||
        s3_node_text(s3_node_child(enabled, "TargetBucket"), &bucket, err) !=
            0 ||
        s3_node_text(s3_node_child(enabled, "TargetPrefix"), &prefix, err) !=
            0) {
        return s3_config_malformed(err);
    }
    format = s3_node_child(enabled, "TargetObjectKeyFormat");
    if (format != NULL && check_key_format(format, err) != 0) {
        return s3_config_malformed(err);
    }
    grants = s3_node_child(enabled, "TargetGrants");
    if (grants != NULL && grants->children > 0) {
        err_set(err, ERR_UNSUPPORTED,
                "TargetGrants are not implemented: who may read the logs is "
                "said by the policy of the target bucket");
        return S3_NotImplemented;
    }
    if (strlen(prefix) > S3_LOGGING_PREFIX_MAX) {
        err_set(err, ERR_BAD_INPUT, "TargetPrefix has more than %d bytes",
                S3_LOGGING_PREFIX_MAX);
        return S3_InvalidArgument;
    }
    if (!s3_bucket_name_valid(bucket, &why)) {
        err_set(err, ERR_BAD_INPUT, "%s",
                s3_error_message(S3_InvalidTargetBucketForLogging));
        return S3_InvalidTargetBucketForLogging;
    }
    return S3_OK;
}

enum s3_error s3_logging_judge(const void *p, size_t len, struct buf *out,
                               struct err *err)
{
    static const char *const names[] = {"LoggingEnabled", NULL};
    const struct s3_node *enabled;
    struct s3_node *root;
    enum s3_error e = S3_OK;

    if (s3_tree_read(p, len, "BucketLoggingStatus", &root, err) != 0) {
        return s3_config_malformed(err);
    }
    if (s3_node_check(root, names, err) != 0) {
        e = s3_config_malformed(err);
    } else {
        enabled = s3_node_child(root, "LoggingEnabled");
        if (enabled != NULL) {
            e = check_enabled(enabled, err);
            if (e == S3_OK) {
                s3_tree_write(root, out);
            }
        }
    }
    s3_tree_free(root);
    return e;
}

char *s3_logging_target(const void *p, size_t len)
{
    const struct s3_node *enabled, *target;
    struct s3_node *root;
    char *out = NULL;

    if (s3_tree_read(p, len, "BucketLoggingStatus", &root, NULL) != 0) {
        return NULL;
    }
    enabled = s3_node_child(root, "LoggingEnabled");
    target = enabled != NULL ? s3_node_child(enabled, "TargetBucket") : NULL;
    if (target != NULL) {
        out = mem_strdup(target->text);
    }
    s3_tree_free(root);
    return out;
}

struct s3_logging *s3_logging_read(const void *p, size_t len)
{
    const struct s3_node *enabled, *target, *prefix, *format;
    struct s3_logging *out = NULL;
    struct s3_node *root;

    if (s3_tree_read(p, len, "BucketLoggingStatus", &root, NULL) != 0) {
        return NULL;
    }
    enabled = s3_node_child(root, "LoggingEnabled");
    target = enabled != NULL ? s3_node_child(enabled, "TargetBucket") : NULL;
    if (target != NULL) {
        prefix = s3_node_child(enabled, "TargetPrefix");
        format = s3_node_child(enabled, "TargetObjectKeyFormat");
        out = mem_alloc(sizeof *out);
        snprintf(out->target, sizeof out->target, "%s", target->text);
        snprintf(out->prefix, sizeof out->prefix, "%s",
                 prefix != NULL ? prefix->text : "");
        out->partitioned = format != NULL &&
                           s3_node_child(format, "PartitionedPrefix") != NULL;
    }
    s3_tree_free(root);
    return out;
}

/* ---- notification ---- */

enum s3_error s3_notification_judge(const void *p, size_t len, struct buf *out,
                                    struct err *err)
{
    static const char *const names[] = {
        "*TopicConfiguration", "*QueueConfiguration",
        "*CloudFunctionConfiguration", "EventBridgeConfiguration", NULL};
    struct s3_node *root;
    enum s3_error e = S3_OK;

    (void)out; /* what is not empty has a destination, and none works */
    if (s3_tree_read(p, len, "NotificationConfiguration", &root, err) != 0) {
        return s3_config_malformed(err);
    }
    if (s3_node_check(root, names, err) != 0) {
        e = s3_config_malformed(err);
    } else if (root->children > 0) {
        err_set(err, ERR_BAD_INPUT,
                "Unable to validate the following destination configurations: "
                "%s is of a service that is not there",
                root->first->name);
        e = S3_InvalidArgument;
    }
    s3_tree_free(root);
    return e;
}
