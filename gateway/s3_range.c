#include "gateway/s3_range.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

/* "-n": the last @n bytes. */
static enum s3_range suffix(const char *text, uint64_t size, uint64_t *offset,
                            uint64_t *length)
{
    uint64_t n;

    if (!text_u64(text, &n)) {
        return S3_RANGE_IGNORED;
    }
    if (n == 0 || size == 0) {
        return S3_RANGE_UNSATISFIABLE;
    }
    *length = n < size ? n : size;
    *offset = size - *length;
    return S3_RANGE_OK;
}

enum s3_range s3_range_parse(const char *header, uint64_t size,
                             uint64_t *offset, uint64_t *length)
{
    const char *p, *dash;
    uint64_t first, last = UINT64_MAX;

    if (strncasecmp(header, "bytes=", 6) != 0) {
        return S3_RANGE_IGNORED;
    }
    p = header + 6;
    dash = strchr(p, '-');
    if (dash == NULL || strchr(p, ',') != NULL) {
        return S3_RANGE_IGNORED;
    }
    if (dash == p) {
        return suffix(dash + 1, size, offset, length);
    }
    if (!text_u64_n(p, (size_t)(dash - p), &first) ||
        (dash[1] != '\0' && !text_u64(dash + 1, &last)) || last < first) {
        return S3_RANGE_IGNORED;
    }
    if (first >= size) {
        return S3_RANGE_UNSATISFIABLE;
    }
    *offset = first;
    *length = (last < size - 1 ? last : size - 1) - first + 1;
    return S3_RANGE_OK;
}
