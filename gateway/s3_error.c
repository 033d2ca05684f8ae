#include "gateway/s3_error.h"

#include <stddef.h>

#include "base/check.h"
#include "base/err.h"

static const struct {
    const char *code;
    int status;
    const char *message;
} rows[] = {{"OK", 200, ""},
#define X(code, status, message) {#code, status, message},
            S3_ERROR_TABLE(X)
#undef X
};

#define ROWS (sizeof rows / sizeof rows[0])

int s3_error_status(enum s3_error e)
{
    CHECK((size_t)e < ROWS);
    return rows[e].status;
}

const char *s3_error_code(enum s3_error e)
{
    CHECK((size_t)e < ROWS);
    switch (e) { /* a name in C has no '.' */
        case S3_KMS_DisabledException:
            return "KMS.DisabledException";
        case S3_KMS_NotFoundException:
            return "KMS.NotFoundException";
        default:
            return rows[e].code;
    }
}

const char *s3_error_message(enum s3_error e)
{
    CHECK((size_t)e < ROWS);
    return rows[e].message;
}

enum s3_error s3_error_of(int err_code)
{
    switch (err_code) {
        case 0:
            return S3_OK;
        case ERR_NO_BUCKET:
            return S3_NoSuchBucket;
        case ERR_NO_KEY:
            return S3_NoSuchKey;
        case ERR_NO_VERSION:
            return S3_NoSuchVersion;
        case ERR_IS_MARKER:
            return S3_MethodNotAllowed;
        case ERR_NO_LOCK:
            return S3_InvalidRequest;
        case ERR_RETAINED:
            return S3_AccessDenied;
        case ERR_BUCKET_STATE:
            return S3_InvalidBucketState;
        case ERR_NO_UPLOAD:
            return S3_NoSuchUpload;
        case ERR_BUCKET_EXISTS:
            return S3_BucketAlreadyOwnedByYou;
        case ERR_BUCKET_NOT_EMPTY:
            return S3_BucketNotEmpty;
        case ERR_BAD_PART:
            return S3_InvalidPart;
        case ERR_PART_ORDER:
            return S3_InvalidPartOrder;
        case ERR_PART_TOO_SMALL:
            return S3_EntityTooSmall;
        case ERR_PRECONDITION:
            return S3_PreconditionFailed;
        case ERR_MISMATCH:
            return S3_BadDigest;
        case ERR_DENIED:
            return S3_AccessDenied;
        case ERR_BAD_INPUT:
            return S3_InvalidArgument;
        case ERR_RANGE:
            return S3_InvalidRange;
        case ERR_LIMIT:
            return S3_EntityTooLarge;
        case ERR_FULL:
            return S3_StorageFull;
        case ERR_BUSY:
        case ERR_NOMEM:
            return S3_SlowDown;
        case ERR_UNAVAILABLE:
        case ERR_TIMEOUT:
        case ERR_UNKNOWN:
        case ERR_CLOSED:
            return S3_ServiceUnavailable;
        case ERR_UNSUPPORTED:
            return S3_NotImplemented;
        default:
            return S3_InternalError;
    }
}
