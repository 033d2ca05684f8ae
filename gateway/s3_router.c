#include "gateway/s3_router.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "gateway/request.h"

#define NAMES(a) (sizeof(a) / sizeof(a)[0])

enum level { SERVICE, BUCKET, KEY };

/* Sub-resources that some operation of ours answers. */
static const char *const known[] = {
    "uploadId",
    "uploads",
    "delete",
    "attributes",
    "location",
    "acl",
    "policy",
    "lifecycle",
    "cors",
    "tagging",
    "website",
    "replication",
    "encryption",
    "object-lock",
    "logging",
    "accelerate",
    "notification",
    "requestPayment",
    "versioning",
    "list-type",
    "versions",
    "retention",
    "legal-hold",
    "policyStatus",
    "publicAccessBlock",
    "ownershipControls",
};

/* What S3 has beside, with the sentence that refuses it. */
#define ABSENT(X)               \
    X("abac")                   \
    X("analytics")              \
    X("append")                 \
    X("intelligent-tiering")    \
    X("inventory")              \
    X("metadataConfiguration")  \
    X("metadataInventoryTable") \
    X("metadataJournalTable")   \
    X("metadataTable")          \
    X("metrics")                \
    X("renameObject")           \
    X("restore")                \
    X("select")                 \
    X("session")                \
    X("torrent")

static const struct {
    const char *name;
    const char *why;
} absent[] = {
#define X(name) {name, "?" name " is not implemented"},
    ABSENT(X)
#undef X
};

/* The first row that fits is the operation. */
static const struct route {
    const char *method;
    enum level level;
    const char *sub; /* NULL: none */
    enum s3_op op;
} routes[] = {
    {"GET", SERVICE, NULL, S3_OP_ListBuckets},

    {"GET", BUCKET, NULL, S3_OP_ListObjects},
    {"GET", BUCKET, "list-type", S3_OP_ListObjectsV2},
    {"GET", BUCKET, "versions", S3_OP_ListObjectVersions},
    {"GET", BUCKET, "uploads", S3_OP_ListMultipartUploads},
    {"GET", BUCKET, "location", S3_OP_GetBucketLocation},
    {"GET", BUCKET, "versioning", S3_OP_GetBucketVersioning},
    {"PUT", BUCKET, "versioning", S3_OP_PutBucketVersioning},
    {"GET", BUCKET, "acl", S3_OP_GetBucketAcl},
    {"PUT", BUCKET, "acl", S3_OP_PutBucketAcl},
    {"GET", BUCKET, "policy", S3_OP_GetBucketPolicy},
    {"PUT", BUCKET, "policy", S3_OP_PutBucketPolicy},
    {"DELETE", BUCKET, "policy", S3_OP_DeleteBucketPolicy},
    {"GET", BUCKET, "policyStatus", S3_OP_GetBucketPolicyStatus},
    {"GET", BUCKET, "publicAccessBlock", S3_OP_GetPublicAccessBlock},
    {"PUT", BUCKET, "publicAccessBlock", S3_OP_PutPublicAccessBlock},
    {"DELETE", BUCKET, "publicAccessBlock", S3_OP_DeletePublicAccessBlock},
    {"GET", BUCKET, "ownershipControls", S3_OP_GetBucketOwnershipControls},
    {"PUT", BUCKET, "ownershipControls", S3_OP_PutBucketOwnershipControls},
    {"DELETE", BUCKET, "ownershipControls",
     S3_OP_DeleteBucketOwnershipControls},
    {"GET", BUCKET, "website", S3_OP_GetBucketAbsent},
    {"GET", BUCKET, "replication", S3_OP_GetBucketAbsent},
    {"GET", BUCKET, "encryption", S3_OP_GetBucketEncryption},
    {"PUT", BUCKET, "encryption", S3_OP_PutBucketEncryption},
    {"DELETE", BUCKET, "encryption", S3_OP_DeleteBucketEncryption},
    {"GET", BUCKET, "object-lock", S3_OP_GetObjectLockConfiguration},
    {"PUT", BUCKET, "object-lock", S3_OP_PutObjectLockConfiguration},
    {"GET", BUCKET, "accelerate", S3_OP_GetBucketAbsent},
    {"GET", BUCKET, "requestPayment", S3_OP_GetBucketAbsent},
    {"GET", BUCKET, "tagging", S3_OP_GetBucketTagging},
    {"PUT", BUCKET, "tagging", S3_OP_PutBucketTagging},
    {"DELETE", BUCKET, "tagging", S3_OP_DeleteBucketTagging},
    {"GET", BUCKET, "cors", S3_OP_GetBucketCors},
    {"PUT", BUCKET, "cors", S3_OP_PutBucketCors},
    {"DELETE", BUCKET, "cors", S3_OP_DeleteBucketCors},
    {"GET", BUCKET, "lifecycle", S3_OP_GetBucketLifecycleConfiguration},
    {"PUT", BUCKET, "lifecycle", S3_OP_PutBucketLifecycleConfiguration},
    {"DELETE", BUCKET, "lifecycle", S3_OP_DeleteBucketLifecycle},
    {"GET", BUCKET, "logging", S3_OP_GetBucketLogging},
    {"PUT", BUCKET, "logging", S3_OP_PutBucketLogging},
    {"GET", BUCKET, "notification", S3_OP_GetBucketNotificationConfiguration},
    {"PUT", BUCKET, "notification", S3_OP_PutBucketNotificationConfiguration},
    {"HEAD", BUCKET, NULL, S3_OP_HeadBucket},
    {"PUT", BUCKET, NULL, S3_OP_CreateBucket},
    {"DELETE", BUCKET, NULL, S3_OP_DeleteBucket},
    {"POST", BUCKET, "delete", S3_OP_DeleteObjects},
    {"POST", BUCKET, NULL, S3_OP_PostObject},

    {"GET", KEY, NULL, S3_OP_GetObject},
    {"GET", KEY, "acl", S3_OP_GetObjectAcl},
    {"PUT", KEY, "acl", S3_OP_PutObjectAcl},
    {"GET", KEY, "attributes", S3_OP_GetObjectAttributes},
    {"GET", KEY, "uploadId", S3_OP_ListParts},
    {"GET", KEY, "tagging", S3_OP_GetObjectTagging},
    {"PUT", KEY, "tagging", S3_OP_PutObjectTagging},
    {"DELETE", KEY, "tagging", S3_OP_DeleteObjectTagging},
    {"GET", KEY, "retention", S3_OP_GetObjectRetention},
    {"PUT", KEY, "retention", S3_OP_PutObjectRetention},
    {"GET", KEY, "legal-hold", S3_OP_GetObjectLegalHold},
    {"PUT", KEY, "legal-hold", S3_OP_PutObjectLegalHold},
    {"HEAD", KEY, NULL, S3_OP_HeadObject},
    {"PUT", KEY, NULL, S3_OP_PutObject},
    {"PUT", KEY, "uploadId", S3_OP_UploadPart},
    {"POST", KEY, "uploads", S3_OP_CreateMultipartUpload},
    {"POST", KEY, "uploadId", S3_OP_CompleteMultipartUpload},
    {"DELETE", KEY, NULL, S3_OP_DeleteObject},
    {"DELETE", KEY, "uploadId", S3_OP_AbortMultipartUpload},
};

/* Sub-resources that S3 has only by the methods of our own routes: another
 * method is a mistake, not something that is missing here. */
static const char *const complete[] = {"uploadId",   "uploads",    "delete",
                                       "attributes", "location",   "list-type",
                                       "versioning", "versions",   "retention",
                                       "legal-hold", "object-lock"};

const char *s3_subresource(size_t i)
{
    if (i < NAMES(known)) {
        return known[i];
    }
    i -= NAMES(known);
    return i < NAMES(absent) ? absent[i].name : NULL;
}

static const char *find_param(const struct s3_route_input *in, const char *name)
{
    for (size_t i = 0; i < in->param_count; i++) {
        if (strcmp(in->params[i].name, name) == 0) {
            return in->params[i].value;
        }
    }
    return NULL;
}

static enum s3_op refuse(enum s3_error *refusal, const char **why,
                         enum s3_error e, const char *text)
{
    *refusal = e;
    *why = text;
    return S3_OP_NONE;
}

static enum s3_op refuse_sub(const char *sub, enum s3_error *refusal,
                             const char **why)
{
    for (size_t i = 0; i < NAMES(complete); i++) {
        if (strcmp(sub, complete[i]) == 0) {
            return refuse(refusal, why, S3_MethodNotAllowed, NULL);
        }
    }
    return refuse(refusal, why, S3_NotImplemented,
                  "this operation on the sub-resource is not implemented");
}

/* A part is a part only with both parameters; and what was meant as a part
 * must never become the object. */
static enum s3_op judge_put(const struct s3_route_input *in, enum s3_op op,
                            enum s3_error *refusal, const char **why)
{
    const char *number = find_param(in, "partNumber");

    if (op == S3_OP_UploadPart && (number == NULL || number[0] == '\0')) {
        return refuse(refusal, why, S3_InvalidArgument,
                      "partNumber must be given with uploadId");
    }
    if (op == S3_OP_PutObject && number != NULL) {
        return refuse(refusal, why, S3_InvalidArgument,
                      "uploadId must be given with partNumber");
    }
    if (in->has_copy_source) {
        return op == S3_OP_UploadPart ? S3_OP_UploadPartCopy : S3_OP_CopyObject;
    }
    return op;
}

static bool method_known(const char *method)
{
    static const char *const methods[] = {"GET", "HEAD", "PUT", "POST",
                                          "DELETE"};

    for (size_t i = 0; i < NAMES(methods); i++) {
        if (strcmp(method, methods[i]) == 0) {
            return true;
        }
    }
    return false;
}

static enum s3_op judge(const struct s3_route_input *in,
                        const struct route *found, enum s3_error *refusal,
                        const char **why)
{
    switch (found->op) {
        case S3_OP_PutObject:
        case S3_OP_UploadPart:
            return judge_put(in, found->op, refusal, why);
        case S3_OP_ListObjectsV2:
            if (strcmp(find_param(in, "list-type"), "2") != 0) {
                return refuse(refusal, why, S3_InvalidArgument,
                              "list-type must be 2");
            }
            return found->op;
        default:
            return found->op;
    }
}

enum s3_op s3_route(const struct s3_route_input *in, enum s3_error *refusal,
                    const char **why)
{
    enum level level = in->has_key ? KEY : in->has_bucket ? BUCKET : SERVICE;
    const char *sub = NULL;

    if (!method_known(in->method)) {
        return refuse(refusal, why, S3_MethodNotAllowed, NULL);
    }
    for (size_t i = 0; i < NAMES(absent) && level != SERVICE; i++) {
        if (find_param(in, absent[i].name) != NULL) {
            return refuse(refusal, why, S3_NotImplemented, absent[i].why);
        }
    }
    for (size_t i = 0; i < NAMES(known) && level != SERVICE; i++) {
        if (sub == NULL && find_param(in, known[i]) != NULL) {
            sub = known[i];
        }
    }
    for (size_t i = 0; i < NAMES(routes); i++) {
        const struct route *row = &routes[i];
        bool same_sub = row->sub == NULL
                            ? sub == NULL
                            : sub != NULL && strcmp(row->sub, sub) == 0;
        if (row->level == level && same_sub &&
            strcmp(row->method, in->method) == 0) {
            return judge(in, row, refusal, why);
        }
    }
    if (sub != NULL) {
        return refuse_sub(sub, refusal, why);
    }
    return refuse(refusal, why, S3_MethodNotAllowed, NULL);
}

/* ---- names ---- */

static bool alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool ends_with(const char *s, const char *tail)
{
    size_t len = strlen(s);
    size_t tail_len = strlen(tail);

    return len >= tail_len && strcmp(s + len - tail_len, tail) == 0;
}

/* Four runs of digits with dots between. */
static bool looks_like_ipv4(const char *s)
{
    unsigned runs = 0;

    while (*s >= '0' && *s <= '9') {
        s += strspn(s, "0123456789");
        runs++;
        if (*s != '.') {
            break;
        }
        s++;
    }
    return *s == '\0' && runs == 4;
}

static const char *reserved(const char *name)
{
    static const char *const heads[] = {"xn--", "sthree-", "amzn-s3-demo-"};
    static const char *const tails[] = {"-s3alias", "--ol-s3", ".mrap",
                                        "--x-s3", "--table-s3"};

    for (size_t i = 0; i < NAMES(heads); i++) {
        if (text_starts(name, heads[i])) {
            return "the bucket name begins with a reserved prefix";
        }
    }
    for (size_t i = 0; i < NAMES(tails); i++) {
        if (ends_with(name, tails[i])) {
            return "the bucket name ends with a reserved suffix";
        }
    }
    return NULL;
}

static const char *bad_bucket_name(const char *name)
{
    size_t len = strlen(name);

    if (len < 3 || len > META_BUCKET_MAX) {
        return "a bucket name has 3 to 63 characters";
    }
    for (size_t i = 0; i < len; i++) {
        if (!alphanumeric(name[i]) && name[i] != '.' && name[i] != '-') {
            return "a bucket name has only lower-case letters, digits, dots "
                   "and hyphens";
        }
    }
    if (!alphanumeric(name[0]) || !alphanumeric(name[len - 1])) {
        return "a bucket name begins and ends with a letter or digit";
    }
    if (strstr(name, "..") != NULL || strstr(name, ".-") != NULL ||
        strstr(name, "-.") != NULL) {
        return "a bucket name has no dot beside a dot or hyphen";
    }
    if (looks_like_ipv4(name)) {
        return "a bucket name is not formatted as an IP address";
    }
    return reserved(name);
}

bool s3_bucket_name_valid(const char *name, const char **why)
{
    const char *bad = bad_bucket_name(name);

    if (bad != NULL) {
        *why = bad;
    }
    return bad == NULL;
}

bool s3_key_valid(const char *key, size_t len, const char **why)
{
    if (len == 0) {
        *why = "the key is empty";
    } else if (len > META_KEY_MAX) {
        *why = "the key has more than 1024 bytes";
    } else if (memchr(key, '\0', len) != NULL) {
        *why = "the key has a NUL byte";
    } else if (!text_utf8(key, len)) {
        *why = "the key is not UTF-8";
    } else {
        return true;
    }
    return false;
}

bool s3_host_bucket(const char *host, const char *domain,
                    char bucket[META_BUCKET_MAX + 1])
{
    size_t len = strcspn(host, ":");
    size_t domain_len = strcspn(domain, ":");
    size_t name_len;

    if (len > 0 && host[len - 1] == '.') { /* a fully qualified name */
        len--;
    }
    if (domain_len == 0 || len < domain_len + 2) {
        return false;
    }
    name_len = len - domain_len - 1;
    if (host[name_len] != '.' || name_len > META_BUCKET_MAX ||
        strncasecmp(host + name_len + 1, domain, domain_len) != 0) {
        return false;
    }
    for (size_t i = 0; i < name_len; i++) {
        bucket[i] = (char)tolower((unsigned char)host[i]);
    }
    bucket[name_len] = '\0';
    return true;
}
