/* s3_error.h: S3's error codes, and the one map from ours to them.
 *
 * Source: AWS "Error responses", list of error codes.
 * Threads: any.
 */
#ifndef GODWIT_GATEWAY_S3_ERROR_H
#define GODWIT_GATEWAY_S3_ERROR_H

/* X(code, HTTP status, message); '_' of a code stands for '.'. */
#define S3_ERROR_TABLE(X)                                                      \
    X(AccessDenied, 403, "Access Denied")                                      \
    X(AccessForbidden, 403, "Access Forbidden")                                \
    X(AccessControlListNotSupported, 400, "The bucket does not allow ACLs")    \
    X(AuthorizationHeaderMalformed, 400,                                       \
      "The authorization header that you provided is not valid.")              \
    X(AuthorizationQueryParametersError, 400,                                  \
      "The authorization query parameters that you provided are not valid.")   \
    X(BadDigest, 400,                                                          \
      "The Content-MD5 or checksum value that you specified did not match "    \
      "what the server received.")                                             \
    X(BadRequest, 400, "Bad Request")                                          \
    X(BucketAlreadyExists, 409,                                                \
      "The requested bucket name is not available. The bucket namespace is "   \
      "shared by all users of the system. Please select a different name and " \
      "try again.")                                                            \
    X(MalformedPolicy, 400, "Policy has invalid syntax.")                      \
    X(MalformedPolicyDocument, 400, "The policy is malformed.")                \
    X(MalformedACLError, 400,                                                  \
      "The XML you provided was not well-formed or did not validate against "  \
      "our published schema")                                                  \
    X(MissingSecurityHeader, 400,                                              \
      "Your request was missing a required header.")                           \
    X(UnexpectedContent, 400, "This request contains unsupported content.")    \
    X(UnresolvableGrantByEmailAddress, 400,                                    \
      "The email address that you provided does not match any account on "     \
      "record.")                                                               \
    X(InvalidBucketAclWithObjectOwnership, 400,                                \
      "Bucket cannot have ACLs set with ObjectOwnership's "                    \
      "BucketOwnerEnforced setting")                                           \
    X(NoSuchPublicAccessBlockConfiguration, 404,                               \
      "The public access block configuration was not found")                   \
    X(OwnershipControlsNotFoundError, 404,                                     \
      "The bucket ownership controls were not found")                          \
    X(BucketAlreadyOwnedByYou, 409,                                            \
      "The bucket that you tried to create already exists, and you own it.")   \
    X(BucketNotEmpty, 409,                                                     \
      "The bucket that you tried to delete is not empty.")                     \
    X(EntityTooLarge, 400,                                                     \
      "Your proposed upload exceeds the maximum allowed object size.")         \
    X(EntityTooSmall, 400,                                                     \
      "Your proposed upload is smaller than the minimum allowed object "       \
      "size.")                                                                 \
    X(IllegalVersioningConfigurationException, 400,                            \
      "The Versioning element must be specified")                              \
    X(ExpiredToken, 400, "The provided token has expired.")                    \
    X(IllegalLocationConstraintException, 400,                                 \
      "The specified location constraint is not valid here.")                  \
    X(IncorrectNumberOfFilesInPostRequest, 400,                                \
      "POST requires exactly one file upload per request.")                    \
    X(IncompleteSignature, 400,                                                \
      "The request signature does not conform to AWS standards.")              \
    X(IncompleteBody, 400,                                                     \
      "You did not provide the number of bytes specified by the "              \
      "Content-Length HTTP header.")                                           \
    X(InternalError, 500,                                                      \
      "We encountered an internal error. Please try again.")                   \
    X(InvalidAccessKeyId, 403,                                                 \
      "The AWS access key ID that you provided does not exist in our "         \
      "records.")                                                              \
    X(InvalidAction, 400, "The action or operation is not valid.")             \
    X(InvalidClientTokenId, 403,                                               \
      "The security token included in the request is invalid.")                \
    X(InvalidArgument, 400, "Invalid Argument")                                \
    X(InvalidBucketState, 409,                                                 \
      "The request is not valid for the current state of the bucket.")         \
    X(InvalidBucketName, 400, "The specified bucket is not valid.")            \
    X(InvalidDigest, 400,                                                      \
      "The Content-MD5 or checksum value that you specified is not valid.")    \
    X(InvalidEncryptionAlgorithmError, 400,                                    \
      "The encryption request that you specified is not valid. The valid "     \
      "value is AES256.")                                                      \
    X(InvalidPart, 400,                                                        \
      "One or more of the specified parts could not be found. The part "       \
      "might not have been uploaded, or the specified entity tag might not "   \
      "have matched the part's entity tag.")                                   \
    X(InvalidPartNumber, 416, "The requested partnumber is not satisfiable")   \
    X(InvalidPartOrder, 400,                                                   \
      "The list of parts was not in ascending order. Parts must be ordered "   \
      "by part number.")                                                       \
    X(InvalidPolicyDocument, 400,                                              \
      "The content of the form does not meet the conditions specified in "     \
      "the policy document.")                                                  \
    X(InvalidRange, 416, "The requested range is not satisfiable")             \
    X(InvalidRequest, 400, "Invalid Request")                                  \
    X(InvalidStorageClass, 400,                                                \
      "The storage class that you specified is not valid.")                    \
    X(InvalidTag, 400, "The tag provided was not a valid tag.")                \
    X(InvalidToken, 400,                                                       \
      "The provided token is malformed or otherwise invalid.")                 \
    X(InvalidTargetBucketForLogging, 400,                                      \
      "The target bucket for logging does not exist, is not owned by you, "    \
      "or does not have the appropriate grants for the log-delivery group.")   \
    X(InvalidURI, 400, "Couldn't parse the specified URI.")                    \
    X(KMS_DisabledException, 400,                                              \
      "The request was rejected because the specified KMS key is disabled.")   \
    X(KMS_NotFoundException, 400, "The specified KMS key could not be found.") \
    X(KeyTooLongError, 400, "Your key is too long.")                           \
    X(MalformedPOSTRequest, 400,                                               \
      "The body of your POST request is not well-formed "                      \
      "multipart/form-data.")                                                  \
    X(MalformedXML, 400,                                                       \
      "The XML that you provided was not well-formed or did not validate "     \
      "against our published schema.")                                         \
    X(MaxPostPreDataLengthExceeded, 400,                                       \
      "Your POST request fields preceding the upload file were too large.")    \
    X(MaxMessageLengthExceeded, 400, "Your request was too large.")            \
    X(MetadataTooLarge, 400,                                                   \
      "Your metadata headers exceed the maximum allowed metadata size.")       \
    X(MethodNotAllowed, 405,                                                   \
      "The specified method is not allowed against this resource.")            \
    X(MissingAction, 400, "The request is missing an action.")                 \
    X(MissingAuthenticationToken, 403,                                         \
      "Request is missing Authentication Token")                               \
    X(MissingContentLength, 411,                                               \
      "You must provide the Content-Length HTTP header.")                      \
    X(MissingRequestBodyError, 400, "Request body is empty.")                  \
    X(NoSuchBucket, 404, "The specified bucket does not exist.")               \
    X(NoSuchBucketPolicy, 404, "The bucket policy does not exist.")            \
    X(NoSuchCORSConfiguration, 404, "The CORS configuration does not exist.")  \
    X(NoSuchKey, 404, "The specified key does not exist.")                     \
    X(NoSuchLifecycleConfiguration, 404,                                       \
      "The lifecycle configuration does not exist.")                           \
    X(NoSuchObjectLockConfiguration, 404,                                      \
      "The specified object does not have a ObjectLock configuration")         \
    X(NoSuchTagSet, 404, "The TagSet does not exist.")                         \
    X(NoSuchUpload, 404,                                                       \
      "The specified multipart upload does not exist. The upload ID might "    \
      "be invalid, or the multipart upload might have been aborted or "        \
      "completed.")                                                            \
    X(NoSuchVersion, 404, "The specified version does not exist.")             \
    X(NoSuchWebsiteConfiguration, 404,                                         \
      "The specified bucket does not have a website configuration.")           \
    X(NotFound, 404, "Not Found")                                              \
    X(NotImplemented, 501,                                                     \
      "A header or query parameter that you provided implies functionality "   \
      "that is not implemented.")                                              \
    X(NotModified, 304, "Not Modified")                                        \
    X(ObjectLockConfigurationNotFoundError, 404,                               \
      "Object Lock configuration does not exist for this bucket.")             \
    X(PreconditionFailed, 412,                                                 \
      "At least one of the preconditions that you specified did not hold.")    \
    X(ReplicationConfigurationNotFoundError, 404,                              \
      "The replication configuration was not found")                           \
    X(RequestHeaderSectionTooLarge, 400,                                       \
      "Your request header and query parameters exceed the maximum allowed "   \
      "size.")                                                                 \
    X(RequestTimeTooSkewed, 403,                                               \
      "The difference between the request time and the server's time is too "  \
      "large.")                                                                \
    X(RequestTimeout, 400,                                                     \
      "Your socket connection to the server was not read from or written to "  \
      "within the timeout period.")                                            \
    X(ServerSideEncryptionConfigurationNotFoundError, 404,                     \
      "The server side encryption configuration was not found.")               \
    X(ServiceUnavailable, 503, "Service is unable to handle request.")         \
    X(SignatureDoesNotMatch, 403,                                              \
      "The request signature we calculated does not match the signature you "  \
      "provided. Check your key and signing method.")                          \
    X(SlowDown, 503, "Please reduce your request rate.")                       \
    X(StorageFull, 507,                                                        \
      "The storage is full; the write was refused and nothing was changed.")   \
    X(TooManyBuckets, 400,                                                     \
      "You have attempted to create more buckets than allowed.")               \
    X(ValidationError, 400, "A value does not satisfy its constraint.")        \
    X(XAmzContentSHA256Mismatch, 400,                                          \
      "The provided 'x-amz-content-sha256' header does not match what was "    \
      "computed.")

enum s3_error {
    S3_OK,
#define X(code, status, message) S3_##code,
    S3_ERROR_TABLE(X)
#undef X
};

int s3_error_status(enum s3_error e);          /* 404 */
const char *s3_error_code(enum s3_error e);    /* "NoSuchKey" */
const char *s3_error_message(enum s3_error e); /* the table's sentence */

/* The S3 error that answers one of ERR_*. */
enum s3_error s3_error_of(int err_code);

#endif
