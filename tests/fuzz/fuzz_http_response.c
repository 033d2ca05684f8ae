/* fuzz_http_response.c: no answer of a server harms the client.
 *
 * The input is a stream: a head, then a body, decoded in steps whose size its
 * first byte gives. Payload must lie within what was given, and progress must
 * be made.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "client/http_response.h"
#include "client/xml_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_element(void *arg, const char *path, const char *text,
                      struct err *err)
{
    (void)err;
    CHECK(strlen(path) > 0);
    *(size_t *)arg += text != NULL ? strlen(text) : 0;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_response r = {0};
    struct http_body b;
    size_t texts = 0;
    size_t step;
    size_t head;

    if (size == 0) {
        return 0;
    }
    step = (size_t)data[0] + 1;
    data++;
    size--;
    xml_walk(data, size, on_element, &texts, NULL);
    CHECK(texts <= size * 4);
    head = http_response_head_end(data, size);
    if (head == 0 || http_response_parse(&r, data, head, NULL) != 0) {
        CHECK(r.text == NULL);
        return 0;
    }
    CHECK(r.status >= 100 && r.status <= 599);
    http_body_init(&b, &r, "GET");
    while (head < size && b.state != HTTP_BODY_DONE) {
        const uint8_t *out;
        size_t out_len;
        size_t len = size - head < step ? size - head : step;
        size_t given = len;
        if (http_body_decode(&b, data + head, &len, &out, &out_len, NULL) !=
            0) {
            break;
        }
        CHECK(len > 0 && len <= given);
        CHECK(out_len == 0 ||
              (out >= data + head && out + out_len <= data + head + len));
        head += len;
    }
    http_response_free(&r);
    return 0;
}
