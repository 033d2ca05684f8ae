/* s3_ops.h: every operation of the gateway, in one table.
 *
 * X(operation, body, handler): the handler answers the request; where it runs
 * and how it gets its body follows from the body kind:
 *
 *   FAST    no body; runs on the I/O loop and must not wait for drives or
 *           commits: it answers, proposes, or asks for a worker
 *           (request_in_worker). In a cluster it runs on a worker, as a read
 *           of the catalogue asks other servers
 *   NONE    no body; runs on a worker
 *   XML     a small document gathered in r->document; runs on a worker
 *   OBJECT  bytes of an object or part (s3_upload.h); the handler runs, on a
 *           worker or, for inline objects, on the loop, when all bytes are
 *           written and every digest was found right
 *
 * Source: AWS S3 API Reference, operations.
 */
#ifndef GODWIT_GATEWAY_S3_OPS_H
#define GODWIT_GATEWAY_S3_OPS_H

/* Users: admin_users.c. */
#define ADMIN_USER_OPS(X)                       \
    X(AdminUsers, NONE, admin_users)            \
    X(AdminUserPut, XML, admin_user_put)        \
    X(AdminUserRemove, NONE, admin_user_remove) \
    X(AdminKeys, NONE, admin_keys)              \
    X(AdminKeyPut, XML, admin_key_put)          \
    X(AdminKeyRemove, NONE, admin_key_remove)   \
    X(AdminMasterKeys, NONE, admin_master_keys) \
    X(AdminMasterKeySet, NONE, admin_master_key_set)

/* The audit log: admin_audit.c. */
#define ADMIN_AUDIT_OPS(X)           \
    X(AdminAudit, NONE, admin_audit) \
    X(AdminAuditSet, NONE, admin_audit_set)

/* Devices: admin_devices.c, admin_device_policy.c. */
#define ADMIN_DEVICE_OPS(X)                         \
    X(AdminDevices, NONE, admin_devices)            \
    X(AdminDevicePut, XML, admin_device_put)        \
    X(AdminDeviceRevoke, NONE, admin_device_revoke) \
    X(AdminDeviceRemove, NONE, admin_device_remove) \
    X(AdminDevicePolicy, XML, admin_device_policy)

/* Erasures: admin_erase.c. */
#define ADMIN_ERASE_OPS(X)                        \
    X(AdminErasures, NONE, admin_erasures)        \
    X(AdminErase, NONE, admin_erase)              \
    X(AdminEraseCancel, NONE, admin_erase_cancel) \
    X(AdminEraseReceipt, NONE, admin_erase_receipt)

/* Temporary credentials: sts.h. Sts is one of the others, before it is known
 * which. */
#define STS_OPS(X)                    \
    X(Sts, XML, sts_post)             \
    X(AssumeRole, XML, sts_post)      \
    X(GetSessionToken, XML, sts_post) \
    X(GetCallerIdentity, XML, sts_post)

/* Devices themselves: edge_enroll.c, edge_batch.c, edge_fleet.c. */
#define EDGE_OPS(X)                 \
    X(EdgeEnroll, XML, edge_enroll) \
    X(EdgeRenew, XML, edge_renew)   \
    X(EdgeBatch, XML, edge_batch)   \
    X(EdgeReport, XML, edge_report) \
    X(EdgeSettings, NONE, edge_settings)

/* Of who may what with a bucket: s3_policy.c. */
#define S3_POLICY_OPS(X)                                            \
    X(GetBucketPolicy, FAST, s3_get_bucket_policy)                  \
    X(PutBucketPolicy, XML, s3_put_bucket_policy)                   \
    X(DeleteBucketPolicy, NONE, s3_delete_bucket_policy)            \
    X(GetBucketPolicyStatus, FAST, s3_get_bucket_policy_status)     \
    X(GetPublicAccessBlock, FAST, s3_get_bucket_config)             \
    X(PutPublicAccessBlock, XML, s3_put_bucket_config)              \
    X(DeletePublicAccessBlock, NONE, s3_delete_bucket_config)       \
    X(GetBucketOwnershipControls, FAST, s3_get_bucket_config)       \
    X(PutBucketOwnershipControls, XML, s3_put_bucket_config)        \
    X(DeleteBucketOwnershipControls, NONE, s3_delete_bucket_config) \
    X(GetBucketEncryption, FAST, s3_get_bucket_config)              \
    X(PutBucketEncryption, XML, s3_put_bucket_config)               \
    X(DeleteBucketEncryption, NONE, s3_delete_bucket_config)

/* Access control lists: s3_grants.h. */
#define S3_ACL_OPS(X)                        \
    X(GetBucketAcl, FAST, s3_get_bucket_acl) \
    X(PutBucketAcl, XML, s3_put_bucket_acl)  \
    X(GetObjectAcl, FAST, s3_get_object_acl) \
    X(PutObjectAcl, XML, s3_put_object_acl)

/* Documents of a bucket: s3_config.h. */
#define S3_CONFIG_OPS(X)                                              \
    X(GetBucketTagging, FAST, s3_get_bucket_config)                   \
    X(PutBucketTagging, XML, s3_put_bucket_config)                    \
    X(DeleteBucketTagging, NONE, s3_delete_bucket_config)             \
    X(GetBucketCors, FAST, s3_get_bucket_config)                      \
    X(PutBucketCors, XML, s3_put_bucket_config)                       \
    X(DeleteBucketCors, NONE, s3_delete_bucket_config)                \
    X(GetBucketLifecycleConfiguration, FAST, s3_get_bucket_config)    \
    X(PutBucketLifecycleConfiguration, XML, s3_put_bucket_config)     \
    X(DeleteBucketLifecycle, NONE, s3_delete_bucket_config)           \
    X(GetBucketLogging, FAST, s3_get_bucket_config)                   \
    X(PutBucketLogging, XML, s3_put_bucket_config)                    \
    X(GetBucketNotificationConfiguration, FAST, s3_get_bucket_config) \
    X(PutBucketNotificationConfiguration, XML, s3_put_bucket_config)

#define S3_OPS_TABLE(X)                                     \
    X(ListBuckets, NONE, s3_list_buckets)                   \
    X(CreateBucket, XML, s3_create_bucket)                  \
    X(HeadBucket, FAST, s3_head_bucket)                     \
    X(DeleteBucket, NONE, s3_delete_bucket)                 \
    X(GetBucketLocation, FAST, s3_get_bucket_location)      \
    X(GetBucketVersioning, FAST, s3_get_bucket_versioning)  \
    X(PutBucketVersioning, XML, s3_put_bucket_versioning)   \
    S3_ACL_OPS(X)                                           \
    X(GetBucketAbsent, FAST, s3_get_bucket_absent)          \
    S3_CONFIG_OPS(X)                                        \
    S3_POLICY_OPS(X)                                        \
    X(ListObjects, NONE, s3_list_objects)                   \
    X(ListObjectsV2, NONE, s3_list_objects_v2)              \
    X(ListObjectVersions, NONE, s3_list_object_versions)    \
    X(ListMultipartUploads, NONE, s3_list_uploads)          \
    X(DeleteObjects, XML, s3_delete_objects)                \
    X(PutObject, OBJECT, s3_put_object)                     \
    X(CopyObject, NONE, s3_copy_object)                     \
    X(GetObject, FAST, s3_get_object)                       \
    X(HeadObject, FAST, s3_head_object)                     \
    X(GetObjectAttributes, NONE, s3_get_object_attributes)  \
    X(DeleteObject, FAST, s3_delete_object)                 \
    X(GetObjectTagging, FAST, s3_get_object_tagging)        \
    X(PutObjectTagging, XML, s3_put_object_tagging)         \
    X(DeleteObjectTagging, NONE, s3_delete_object_tagging)  \
    X(GetObjectLockConfiguration, FAST, s3_get_object_lock) \
    X(PutObjectLockConfiguration, XML, s3_put_object_lock)  \
    X(GetObjectRetention, FAST, s3_get_retention)           \
    X(PutObjectRetention, XML, s3_put_retention)            \
    X(GetObjectLegalHold, FAST, s3_get_legal_hold)          \
    X(PutObjectLegalHold, XML, s3_put_legal_hold)           \
    X(CreateMultipartUpload, NONE, s3_create_upload)        \
    X(UploadPart, OBJECT, s3_put_part)                      \
    X(UploadPartCopy, NONE, s3_copy_part)                   \
    X(ListParts, NONE, s3_list_parts)                       \
    X(CompleteMultipartUpload, XML, s3_complete_upload)     \
    X(AbortMultipartUpload, NONE, s3_abort_upload)          \
    X(PostObject, OBJECT, s3_put_object)                    \
    X(Live, FAST, admin_live)                               \
    X(Preflight, FAST, s3_preflight)                        \
    X(Ready, FAST, admin_ready)                             \
    X(Metrics, NONE, admin_metrics)                         \
    X(Status, NONE, admin_status)                           \
    X(AdminExplain, NONE, admin_explain)                    \
    X(AdminCatalogue, NONE, admin_catalogue)                \
    X(AdminTokens, NONE, admin_tokens)                      \
    X(AdminTokenCreate, NONE, admin_token_create)           \
    X(AdminTokenRevoke, NONE, admin_token_revoke)           \
    X(AdminServer, NONE, admin_server)                      \
    X(AdminRebalance, NONE, admin_rebalance)                \
    X(AdminDrive, NONE, admin_drive)                        \
    X(AdminBucket, NONE, admin_bucket)                      \
    X(AdminBucketSet, NONE, admin_bucket_set)               \
    ADMIN_USER_OPS(X)                                       \
    ADMIN_AUDIT_OPS(X)                                      \
    ADMIN_DEVICE_OPS(X)                                     \
    ADMIN_ERASE_OPS(X)                                      \
    STS_OPS(X)                                              \
    EDGE_OPS(X)

enum s3_op {
    S3_OP_NONE,
#define X(op, body, handler) S3_OP_##op,
    S3_OPS_TABLE(X)
#undef X
        S3_OPS_COUNT
};

enum s3_body { S3_BODY_FAST, S3_BODY_NONE, S3_BODY_XML, S3_BODY_OBJECT };

struct request;

#define X(op, body, handler) void handler(struct request *r);
S3_OPS_TABLE(X)
#undef X

struct s3_operation {
    const char *name;
    enum s3_body body;
    void (*handler)(struct request *r);
};

/* Never NULL for a value of the table. */
const struct s3_operation *s3_operation(enum s3_op op);

#endif
