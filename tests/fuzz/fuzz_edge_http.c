/* fuzz_edge_http.c: any bytes as a request to an agent, or an answer to it.
 *
 * A head that is accepted has the shape that handlers rely on; a chunked body
 * gives the same bytes in one run and in single bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "edge-agent/http_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void body(const uint8_t *p, size_t len, size_t run, uint8_t *out,
                 size_t *out_len, int *code)
{
    struct http_chunks c = {0};
    bool end = false;

    *out_len = 0;
    *code = 0;
    for (size_t at = 0; at < len && !end && *code == 0;) {
        size_t used, n, have = len - at < run ? len - at : run;
        const uint8_t *data;
        *code =
            http_chunks_read(&c, p + at, have, &used, &data, &n, &end, NULL);
        CHECK(used <= have && n <= used);
        if (*code == 0 && n > 0) {
            memcpy(out + *out_len, data, n);
            *out_len += n;
        }
        CHECK(used > 0 || end || *code != 0);
        at += used;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t end = http_head_end((const char *)data, size);
    uint8_t *a = malloc(size + 1), *b = malloc(size + 1);
    size_t a_len, b_len;
    int a_code, b_code;

    if (end > 0 && end <= HTTP_HEAD_MAX) {
        char *text = calloc(1, end + 1);
        struct http_head h;
        int status = 0;
        memcpy(text, data, end);
        if (http_head_parse(text, end, &h, &status, NULL) == 0) {
            CHECK(h.path[0] == '/' && h.query != NULL && *h.method != '\0');
            CHECK(!(h.chunked && h.has_length));
            CHECK(h.content_length <= HTTP_BODY_MAX);
            for (size_t i = 0; i < h.field_count; i++) {
                CHECK(strpbrk(h.fields[i].value, "\r\n") == NULL);
            }
        } else {
            CHECK(status >= 400 && status <= 505);
        }
        memcpy(text, data, end);
        if (http_reply_parse(text, end, &h, &status, NULL) == 0) {
            CHECK(status >= 100 && status <= 599);
            CHECK(!(h.chunked && h.has_length));
            CHECK(h.content_length <= HTTP_BODY_MAX);
        }
        free(text);
    }
    body(data, size, size, a, &a_len, &a_code);
    body(data, size, 1, b, &b_len, &b_code);
    CHECK(a_code == b_code);
    CHECK(a_code != 0 || (a_len == b_len && memcmp(a, b, a_len) == 0));
    free(a);
    free(b);
    return 0;
}
