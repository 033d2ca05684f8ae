/* fuzz_router.c: routing, names, hosts, ranges and conditions take any bytes.
 *
 * The input is cut at NULs into texts: method, three parameters, a bucket, a
 * host, a Range and an ETag list. What comes out must keep the promises of the
 * headers: a refusal has an error, a range lies within the object, a bucket
 * from a host fits.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "gateway/request.h"
#include "gateway/s3_conditions.h"
#include "gateway/s3_range.h"
#include "gateway/s3_router.h"

#define TEXTS 12

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_route(char **t, uint8_t flags)
{
    static const char *const methods[] = {"GET",  "HEAD",   "PUT",
                                          "POST", "DELETE", NULL};
    const char *known = s3_subresource(flags >> 3);
    struct request_param params[3] = {
        {known != NULL ? (char *)known : t[1], t[2]},
        {t[3], t[4]},
        {t[5], t[6]}};
    const char *method = methods[flags % 6];
    struct s3_route_input in = {.method = method != NULL ? method : t[0],
                                .has_bucket = (flags & 1) != 0,
                                .has_key = (flags & 3) == 3,
                                .has_copy_source = (flags & 4) != 0,
                                .params = params,
                                .param_count = 3};
    enum s3_error refusal = S3_OK;
    const char *why = NULL;
    enum s3_op op = s3_route(&in, &refusal, &why);

    CHECK(op < S3_OPS_COUNT);
    CHECK((op == S3_OP_NONE) == (refusal != S3_OK));
    CHECK(op != S3_OP_ListBuckets || !in.has_bucket);
}

static void try_names(char **t)
{
    char bucket[META_BUCKET_MAX + 1];
    const char *why = NULL;

    if (s3_bucket_name_valid(t[7], &why)) {
        CHECK(strlen(t[7]) >= 3 && strlen(t[7]) <= META_BUCKET_MAX);
        CHECK(strpbrk(t[7], "/%_ABC") == NULL);
    } else {
        CHECK(why != NULL);
    }
    if (s3_host_bucket(t[8], t[9], bucket)) {
        CHECK(bucket[0] != '\0' && strlen(bucket) <= META_BUCKET_MAX);
    }
}

static void try_range(const char *text, uint64_t size)
{
    uint64_t offset = 0, length = 0;

    if (s3_range_parse(text, size, &offset, &length) == S3_RANGE_OK) {
        CHECK(length > 0 && length <= size && offset <= size - length);
    }
}

static void try_conditions(const char *text)
{
    struct s3_put_conditions c = {NULL, NULL};
    enum s3_error refusal = S3_OK;
    const char *why = NULL;

    s3_conditions_get(text, text, text, text, "abcd", 1000);
    if (s3_put_conditions_parse(text, NULL, &c, &refusal, &why)) {
        CHECK(c.if_match != NULL && strlen(c.if_match) <= META_ETAG_MAX);
        s3_put_conditions_free(&c);
    } else {
        CHECK(refusal != S3_OK && why != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *texts[TEXTS];
    const char *why = NULL;
    const uint8_t *p = data + 1;
    size_t left = size - 1;

    if (size == 0) {
        return 0;
    }
    for (size_t i = 0; i < TEXTS; i++) {
        size_t len = strnlen((const char *)p, left);
        texts[i] = strndup((const char *)p, len);
        p += len;
        left -= len;
        p += left > 0;
        left -= left > 0;
    }
    try_route(texts, data[0]);
    try_names(texts);
    try_range(texts[10], data[0] * (uint64_t)1000);
    try_range(texts[10], UINT64_MAX);
    try_conditions(texts[11]);
    if (s3_key_valid((const char *)data, size, &why)) {
        CHECK(size <= META_KEY_MAX && memchr(data, 0, size) == NULL);
    }
    for (size_t i = 0; i < TEXTS; i++) {
        free(texts[i]);
    }
    return 0;
}
