/* fuzz_form.c: forms and policies of any bytes.
 *
 * A form gives the same fields, file and end whether it comes at once or a byte
 * at a time into a room of one; a policy ends in a decision with a sentence.
 * The first byte chooses.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/err.h"
#include "gateway/s3_form.h"
#include "gateway/s3_form_policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum s3_form_event feed(struct s3_form *f, const char *text, size_t len,
                               size_t step, size_t room, struct buf *file)
{
    enum s3_form_event event = S3_FORM_MORE;
    uint8_t out[256];

    for (size_t at = 0; at < len;) {
        size_t used = len - at < step ? len - at : step;
        size_t made;
        event = s3_form_feed(f, text + at, &used, out, room, &made);
        CHECK(made <= room);
        buf_append(file, out, made);
        at += used;
        if (event != S3_FORM_MORE && event != S3_FORM_FILE) {
            break;
        }
        CHECK(used > 0 || made > 0 || event == S3_FORM_FILE);
    }
    return event;
}

static void same(struct s3_form *a, struct s3_form *b)
{
    size_t n, m;
    const struct s3_form_field *p = s3_form_fields(a, &n);
    const struct s3_form_field *q = s3_form_fields(b, &m);

    CHECK(n == m && s3_form_has_file(a) == s3_form_has_file(b));
    for (size_t i = 0; i < n; i++) {
        CHECK(strcmp(p[i].name, q[i].name) == 0);
        CHECK(strcmp(p[i].value, q[i].value) == 0);
    }
    CHECK(strcmp(s3_form_filename(a), s3_form_filename(b)) == 0);
    CHECK(s3_form_expand(a) == s3_form_expand(b));
}

static void try_form(const uint8_t *data, size_t size)
{
    static const char type[] = "multipart/form-data; boundary=x";
    struct s3_form *a = s3_form_new(type);
    struct s3_form *b = s3_form_new(type);
    struct buf first = {0};
    struct buf second = {0};
    const char *text = (const char *)data;
    enum s3_form_event event = feed(a, text, size, size, 256, &first);

    CHECK(feed(b, text, size, 1, 1, &second) == event);
    CHECK(first.len == second.len &&
          (first.len == 0 || memcmp(first.data, second.data, first.len) == 0));
    same(a, b);
    s3_form_free(a);
    s3_form_free(b);
    buf_free(&first);
    buf_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct s3_form_field fields[] = {{"key", "a/b"},
                                                  {"acl", "private"}};
    struct s3_form_limits limits;
    struct err err = {{0}};

    if (size < 2) {
        return 0;
    }
    if (data[0] % 2 == 0) {
        try_form(data + 1, size - 1);
    } else if (s3_form_policy((const char *)data + 1, size - 1, "b", fields, 2,
                              1700000000000u, &limits, &err) != S3_OK) {
        CHECK(err.text[0] != '\0');
    }
    return 0;
}
