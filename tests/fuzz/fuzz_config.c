/* fuzz_config.c: no document of configuration makes its judge crash, leak or
 * keep what it would not take again.
 *
 * The first byte chooses the judge. What is kept must be taken once more and
 * come out the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "gateway/s3_config.h"
#include "gateway/s3_tags.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static s3_config_judge *const judges[] = {
    s3_tagging_judge, s3_cors_judge,         s3_lifecycle_judge,
    s3_logging_judge, s3_notification_judge,
};
#define JUDGES (sizeof judges / sizeof judges[0])

static void try_header(const uint8_t *data, size_t size)
{
    struct buf text = {0};
    struct s3_tags t = {0};
    struct s3_tags again = {0};

    buf_append(&text, data, size);
    buf_char(&text, '\0');
    if (s3_tags_query((char *)text.data, S3_TAGS_OBJECT_MAX, &t, NULL) ==
        S3_OK) {
        buf_clear(&text);
        s3_tags_write_query(&t, &text);
        buf_char(&text, '\0');
        CHECK(s3_tags_query((char *)text.data, S3_TAGS_OBJECT_MAX, &again,
                            NULL) == S3_OK);
        CHECK(again.count == t.count);
        s3_tags_free(&again);
    }
    s3_tags_free(&t);
    buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf kept = {0};
    struct buf again = {0};
    struct err err = {{0}};
    s3_config_judge *judge;

    if (size == 0) {
        return 0;
    }
    if (data[0] % (JUDGES + 1) == JUDGES) {
        try_header(data + 1, size - 1);
        return 0;
    }
    judge = judges[data[0] % (JUDGES + 1)];
    if (judge(data + 1, size - 1, &kept, &err) != S3_OK) {
        CHECK(err.text[0] != '\0');
    } else if (kept.len > 0) {
        CHECK(judge(kept.data, kept.len, &again, &err) == S3_OK);
        CHECK(again.len == kept.len &&
              memcmp(again.data, kept.data, kept.len) == 0);
    }
    buf_free(&kept);
    buf_free(&again);
    return 0;
}
